import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hsl.hardness import SCORES, Regime

PGD = {"eps": "16/255", "step": "4/255", "steps": 5}


def problems(**regime):
    with pytest.raises(ValidationError) as caught:
        Regime.model_validate(regime)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_schema_imports_neither_torch_nor_ray():
    code = "import sys, hsl.hardness.schema.regimes as r; r.Regime(); assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_empty_regime_is_clean():
    regime = Regime.model_validate({})
    assert regime.is_clean
    assert regime.needs_scores is None
    assert regime.passes_per_step == 1
    assert Regime.model_validate({"keep": {"fraction": 1}}).is_clean


@pytest.mark.parametrize(
    "part",
    [
        {"keep": {"fraction": 0.99}},
        {"label_noise": {"rate": 0.01}},
        {"corruption": {"name": "contrast", "severity": 1}},
        {"attack": PGD},
    ],
)
def test_a_regime_with_a_part_is_not_clean(part):
    assert not Regime.model_validate(part).is_clean


def test_properties_follow_the_parts():
    scored = {"keep": {"fraction": 0.5, "by": "el2n"}}
    assert Regime.model_validate(scored).needs_scores == "el2n"
    assert Regime.model_validate({"keep": {"fraction": 1, "by": "el2n"}}).needs_scores is None
    assert Regime.model_validate({"keep": {"fraction": 0.5}}).needs_scores is None
    assert Regime.model_validate({"attack": PGD}).passes_per_step == 6


def test_defaults_are_those_of_the_sources():
    keep = Regime.model_validate({"keep": {"fraction": 0.5, "by": "el2n"}}).keep
    assert (keep.which, keep.models, keep.epoch, keep.class_balanced) == ("hardest", 10, 0.1, False)
    keep = Regime.model_validate({"keep": {"fraction": 0.5}}).keep
    assert (keep.by, keep.which, keep.models, keep.epoch) == ("random", "random", None, None)
    attack = Regime.model_validate({"attack": PGD}).attack
    assert (attack.name, attack.norm, attack.eval_steps, attack.random_start) == ("pgd", "linf", 20, True)


def test_equal_regimes_are_equal_values_however_written():
    long = {"fraction": 0.5, "by": "loss", "which": "hardest", "models": 10, "epoch": None}
    short = Regime.model_validate({"keep": {"fraction": 0.5, "by": "loss"}})
    assert Regime.model_validate({"keep": long}) == short
    explicit = {"keep": {"fraction": 0.5, "by": "random", "which": "random"}}
    assert Regime.model_validate(explicit) == Regime.model_validate({"keep": {"fraction": 0.5}})
    assert hash(short) == hash(Regime.model_validate({"keep": long}))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"keep": {"fraction": 0.5}, "attack": PGD},
        {"keep": {"fraction": 0.5, "by": "el2n"}},
        {"keep": {"fraction": 1}},
        {"keep": {"count": 100, "class_balanced": True}},
        {"keep": {"long_tail": {"imbalance": 0.1}}},
        {"keep": {"by": "margin", "percentiles": [10, 40]}},
        {"keep": {"by": "loss", "fraction": 0.2, "which": "stratified"}},
        {"keep": {"by": "loss", "fraction": 0.2, "which": "probabilistic"}},
        {"label_noise": {"kind": "asymmetric", "rate": 0.4, "map": "cifar10"}},
        {"corruption": {"name": ["fog", "snow"], "severity": 2, "test_severity": 3}},
        {"corruption": {"name": "contrast", "severity": 6, "allow_extrapolated": True, "where": "test"}},
        {"attack": {"name": "fgsm_rs"}},
        {"attack": {"norm": "l2"}},
    ],
)
def test_a_dumped_regime_loads_again_and_can_be_a_key(given):
    regime = Regime.model_validate(given)
    for options in ({"exclude_defaults": True}, {"exclude_none": True}, {}):
        assert Regime.model_validate(regime.model_dump(mode="json", **options)) == regime
    assert Regime.model_validate_json(regime.model_dump_json()) == regime
    assert hash(regime) == hash(Regime.model_validate(given))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("8/255", 8 / 255),
        ("8 / 255", 8 / 255),
        ("1.0/255", 1 / 255),
        (0.03, 0.03),
        ("0.03", 0.03),
        ("3e-2", 0.03),
        (0, 0.0),
    ],
)
def test_pixel_units_as_numbers_and_expressions(written, value):
    assert Regime.model_validate({"attack": {**PGD, "eps": written}}).attack.eps == value


@given(st.integers(1, 255), st.integers(255, 1000))
def test_every_fraction_is_the_nearest_float(numerator, denominator):
    attack = {**PGD, "eps": f"{numerator}/{denominator}"}
    assert Regime.model_validate({"attack": attack}).attack.eps == numerator / denominator


@pytest.mark.parametrize("written", [8, "8", -0.1, "-1/255", "255/8", 1.5])
def test_values_that_are_no_pixel_units_are_refused(written):
    for name in ("eps", "step"):
        message = problems(attack={**PGD, name: written})[f"attack.{name}"]
        assert str(written) in message
        assert "in pixel units, for example 8/255" in message


@pytest.mark.parametrize("written", ["eight", "8/0", "8//255", "", None, True, [8], "nan", float("inf")])
def test_values_that_are_no_numbers_are_refused(written):
    assert "pixel units, for example 8/255" in problems(attack={**PGD, "eps": written})["attack.eps"]


def test_a_step_of_zero_is_refused():
    assert "for example 2/255" in problems(attack={**PGD, "step": 0})["attack.step"]


def test_all_wrong_values_are_listed_with_their_places():
    found = problems(
        keep={"fraction": 1.5, "by": "el2m", "which": "hardst", "models": 0, "fracton": 1},
        label_noise={"kind": "symetric", "rate": 1.0},
        corruption={"name": "gausian_noise", "severity": 6, "redraw": "yes"},
        attack={"name": "pdg", "norm": "l3", "eps": 8, "step": 0, "steps": 0, "eval_steps": 1.5},
        augmentation={},
    )
    assert set(found) == {
        *(f"keep.{name}" for name in ("fraction", "by", "which", "models", "fracton")),
        *(f"label_noise.{name}" for name in ("kind", "rate")),
        *(f"corruption.{name}" for name in ("name", "severity", "redraw")),
        *(f"attack.{name}" for name in ("name", "norm", "eps", "step", "steps", "eval_steps")),
        "augmentation",
    }
    assert "did you mean 'el2n'" in found["keep.by"]
    assert "known: aum, confidence, datamap_" in found["keep.by"]
    assert "did you mean 'hardest'" in found["keep.which"]
    assert "did you mean 'symmetric'" in found["label_noise.kind"]
    assert "did you mean 'gaussian_noise'" in found["corruption.name"]
    assert "did you mean 'pgd'" in found["attack.name"]
    assert found["corruption.severity"].startswith("severity 6 does not exist; allowed is 1-5, and 6 by")


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, "half", True, None])
def test_fractions_outside_their_range_are_refused(fraction):
    assert "keep.fraction" in problems(keep={"fraction": fraction})


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5])
def test_noise_rates_outside_their_range_are_refused(rate):
    assert "label_noise.rate" in problems(label_noise={"rate": rate})


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_severities_outside_their_range_are_refused(severity):
    found = problems(corruption={"name": "contrast", "severity": severity})
    assert "allowed is 1-5" in found["corruption.severity"]


TRAJECTORIES = {"aum", "datamap_confidence", "datamap_variability", "forgetting", "learning_speed"}


@pytest.mark.parametrize("name", [name for name in SCORES if name != "random"])
def test_every_score_is_taken_and_trajectories_are_those_of_the_whole_training(name):
    keep = Regime.model_validate({"keep": {"fraction": 0.5, "by": name}}).keep
    is_trajectory = name in TRAJECTORIES
    assert (keep.models, keep.epoch) == (10, 1.0 if is_trajectory else 0.1)
    early = Regime.model_validate({"keep": {"fraction": 0.5, "by": name, "epoch": 0.3}}).keep
    assert early.epoch == 0.3


def test_a_score_that_can_be_negative_is_no_weight():
    found = problems(keep={"fraction": 0.5, "by": "margin", "which": "probabilistic"})["keep"]
    assert "margin can be negative" in found


def test_a_skew_ties_several_corruptions_to_training_images():
    mix = {"name": ["fog", "contrast"], "severity": 3}
    assert Regime.model_validate({"corruption": {**mix, "skew": 0.05}}).corruption.skew == 0.05
    assert Regime.model_validate({"corruption": mix}).corruption.skew is None
    found = problems(corruption={"name": "fog", "severity": 3, "skew": 0.05})
    assert "give a list of them" in found["corruption"]
    for other in ({"where": "test"}, {"redraw": True}):
        assert "one corruption; leave" in problems(corruption={**mix, "skew": 0.05, **other})["corruption"]
    for wrong in (0, 1, "0.5"):
        assert "corruption.skew" in problems(corruption={**mix, "skew": wrong})


def attack(**given):
    return Regime.model_validate({"attack": given}).attack


def test_attacks_have_the_usual_strength_of_their_norm():
    linf, l2 = attack(), attack(norm="l2")
    assert (linf.eps, linf.step, linf.steps) == (8 / 255, 2 / 255, 10)
    assert (l2.eps, l2.step, l2.steps) == (0.5, 15 / 255, 10)
    assert attack(eps="8/255", step="2/255", steps=10, norm="linf") == linf
    assert attack(name="pgd_margin", norm="l2", steps=3).step == l2.step
    fast = attack(name="fgsm_rs", eps="8/255")
    assert (fast.step, fast.steps, fast.random_start) == (pytest.approx(10 / 255), 1, True)
    assert attack(name="fgsm_rs") == fast
    assert attack(name="fgsm_rs", eps=1).step == 1
    assert attack(name="fgsm_rs", eps="8/255", step="8/255").step == 8 / 255
    assert Regime(attack=fast).passes_per_step == 2
    assert Regime.model_validate_json(Regime(attack=fast).model_dump_json()).attack == fast


@pytest.mark.parametrize("other", [{"norm": "l2"}, {"steps": 2}, {"random_start": False}])
def test_fgsm_rs_is_one_step_from_a_random_start(other):
    assert "one step in linf from a random start" in problems(attack={"name": "fgsm_rs", **other})["attack"]
    assert "pixel units" in problems(attack={"name": "fgsm_rs", "eps": 8})["attack.eps"]


def test_adversarial_trainings_have_the_options_of_their_authors():
    trades, mart, free = (attack(name=name) for name in ("trades", "mart", "free"))
    assert (trades.beta, trades.eps, trades.step, trades.steps) == (6, 8 / 255, 2 / 255, 10)
    assert (mart.beta, mart.eps, mart.steps) == (5, 8 / 255, 10)
    assert (free.replays, free.steps, free.step, free.beta) == (8, 1, free.eps, None)
    assert (attack(name="free", norm="l2").step, attack(name="trades", norm="l2").eps) == (0.5, 0.5)
    assert attack(name="trades", beta=1.5).beta == 1.5
    assert attack(name="free", replays=4).replays == 4
    assert attack(name="trades", beta=None) == trades
    assert (free.at_bounds, attack(name="free", at_bounds="clamp").at_bounds) == ("moved", "clamp")
    assert (trades.at_bounds, attack().at_bounds) == (None, None)
    passes = [Regime(attack=one).passes_per_step for one in (attack(steps=10), trades, mart, free)]
    assert passes == pytest.approx([11, 12 + 1 / 3, 12, 1])
    for one in (trades, mart, free, attack(bn_mode="train")):
        assert Regime.model_validate_json(Regime(attack=one).model_dump_json()).attack == one


def test_options_of_adversarial_trainings_are_refused_elsewhere():
    assert "beta belongs to mart and trades" in problems(attack={"beta": 6.0})["attack"]
    assert "replays belongs to free" in problems(attack={"name": "trades", "replays": 3})["attack"]
    assert "at_bounds belongs to free" in problems(attack={"at_bounds": "clamp"})["attack"]
    assert "attack.at_bounds" in problems(attack={"name": "free", "at_bounds": "torch"})
    for other in ({"steps": 3}, {"bn_mode": "train"}):
        assert "its own training steps" in problems(attack={"name": "free", **other})["attack"]
    found = problems(attack={"name": "pgd_divergence", "random_start": False})
    assert "no gradient at the image" in found["attack"]
    assert "did you mean 'trades'" in problems(attack={"name": "trade"})["attack.name"]
    assert "attack.bn_mode" in problems(attack={"bn_mode": "off"})
    assert "attack.beta" in problems(attack={"name": "trades", "beta": 0})


@pytest.mark.parametrize("value", [8, "8", 8.0, 255])
def test_eps_without_its_unit_is_named(value):
    message = problems(attack={"eps": value})["attack.eps"]
    assert f"{value} is outside 0-1" in message
    assert f"did you mean {int(float(value))}/255?" in message
    assert "for example 8/255" in problems(attack={"eps": 8.5})["attack.eps"]
    assert "for example 8/255" in problems(attack={"eps": -1})["attack.eps"]


def keep(**given):
    return Regime.model_validate({"keep": given}).keep


SCORED = {"by": "el2n", "fraction": 0.3}


def test_percentiles_are_a_window_of_the_order():
    window = keep(by="el2n", percentiles=[20, 80])
    assert (window.fraction, window.which, window.options) == (0.6, "window", {"offset": 0.2})
    assert window == keep(by="el2n", fraction=0.6, which="window", offset=0.2)
    assert keep(by="el2n", percentiles=[62.5, 100]) == keep(by="el2n", fraction=0.375)
    assert keep(by="el2n", percentiles=(0, 10)).offset == 0.9
    regime = Regime(keep=window)
    assert Regime.model_validate_json(regime.model_dump_json()) == regime
    assert isinstance(hash(regime), int)


@pytest.mark.parametrize("bounds", [[80, 20], [20], 20, [-1, 20], [20, 101], ["a", 3], [True, 3], [20, 20]])
def test_values_that_are_no_percentiles_are_refused(bounds):
    assert f"percentiles {bounds!r}" in problems(keep={"by": "el2n", "percentiles": bounds})["keep"]


def test_percentiles_need_a_score_and_stand_alone():
    assert "needs a score" in problems(keep={"percentiles": [20, 80]})["keep"]
    found = problems(keep={**SCORED, "percentiles": [20, 80]})
    assert "leave fraction out" in found["keep"]


def test_options_of_a_selection_have_defaults_and_belong_to_it():
    assert keep(**SCORED, which="stratified").options == {"mislabel_cut": 0.0}
    assert keep(**SCORED, which="probabilistic").options == {"power": 1.0}
    assert keep(**SCORED, which="probabilistic", power=2.0).options == {"power": 2.0}
    assert keep(**SCORED).options == keep(fraction=0.3).options == {}
    for option in ({"offset": 0.1}, {"mislabel_cut": 0.1}, {"power": 2.0}):
        found = problems(keep={**SCORED, **option})["keep"]
        assert f"{next(iter(option))} belongs to which: " in found
    assert "needs an offset" in problems(keep={**SCORED, "which": "window"})["keep"]


@pytest.mark.parametrize(
    "left_out", [{"which": "window", "offset": 0.8}, {"which": "stratified", "mislabel_cut": 0.71}]
)
def test_more_than_there_is_cannot_stay(left_out):
    assert "left out, so no 0.3 can stay" in problems(keep={**SCORED, **left_out})["keep"]
    assert keep(by="el2n", fraction=0.2, which="window", offset=0.8).offset == 0.8


def test_amounts_besides_a_fraction():
    counted, tail = keep(count=500), keep(long_tail={"imbalance": 0.01})
    for part in (counted, tail):
        regime = Regime(keep=part)
        assert part.fraction == 1
        assert not part.keeps_all
        assert not regime.is_clean
        assert regime.needs_scores is None
        assert Regime.model_validate(regime.model_dump(mode="json", exclude_defaults=True)) == regime
    assert (tail.long_tail.imbalance, tail.long_tail.profile) == (0.01, "exponential")
    assert keep(count=10, class_balanced=True).class_balanced
    assert "keep.fraction" in problems(keep={})
    assert "keep.count" in problems(keep={"count": 0})
    assert "give a fraction" in problems(keep={"count": 5, "by": "el2n"})["keep"]
    assert "give one of them" in problems(keep={"count": 5, "fraction": 0.5})["keep"]
    assert (
        "leave by and class_balanced out"
        in problems(keep={"long_tail": {"imbalance": 0.1}, "class_balanced": True})["keep"]
    )
    found = problems(keep={"long_tail": {"imbalance": 1, "profile": "linear"}})
    assert set(found) == {"keep.long_tail.imbalance", "keep.long_tail.profile"}


def label_noise(**given):
    return Regime.model_validate({"label_noise": {"rate": 0.2, **given}}).label_noise


def test_a_map_of_classes_in_every_form_is_the_same_value():
    mapped = label_noise(kind="asymmetric", map={5: 3, 3: 5})
    assert mapped.map == ((3, 5), (5, 3))
    assert isinstance(hash(mapped), int)
    assert label_noise(kind="asymmetric", map=[[5, 3], (3, 5)]) == mapped
    assert label_noise(kind="asymmetric", map="cifar10").map == ((2, 0), (3, 5), (4, 7), (5, 3), (9, 1))
    regime = Regime(label_noise=mapped)
    assert Regime.model_validate_json(regime.model_dump_json()) == regime


@pytest.mark.parametrize(
    "wrong", [{}, {3: 3}, {-1: 2}, {"a": 1}, [[1, 2, 3]], 5, [1, 2], {1: True}, [[1, 2], [1, 3]]]
)
def test_values_that_are_no_maps_are_refused(wrong):
    found = problems(label_noise={"kind": "asymmetric", "rate": 0.2, "map": wrong})
    assert "map of classes" in found["label_noise.map"] or "a class twice" in found["label_noise.map"]


def test_a_map_belongs_to_asymmetric_noise():
    assert "needs a map" in problems(label_noise={"kind": "asymmetric", "rate": 0.2})["label_noise"]
    assert "reads no map" in problems(label_noise={"kind": "pair", "rate": 0.2, "map": {1: 2}})["label_noise"]
    unknown = problems(label_noise={"kind": "asymmetric", "rate": 0.2, "map": "cifar01"})
    assert "did you mean 'cifar10'" in unknown["label_noise.map"]


FOG = {"name": "fog", "severity": 2}


def corruption(**given):
    return Regime.model_validate({"corruption": given}).corruption


def test_corruptions_are_mixed_in_any_order():
    mix = corruption(name=["fog", "contrast"], severity=2)
    assert mix == corruption(name=("contrast", "fog"), severity=2)
    assert mix.names == ("contrast", "fog")
    assert corruption(**FOG).names == ("fog",)
    assert corruption(name=["fog"], severity=2) == corruption(**FOG)
    assert corruption(name=["contrast", "brightness"], severity=1, redraw=True).redraw
    regime = Regime(corruption=mix)
    assert Regime.model_validate_json(regime.model_dump_json()) == regime
    assert isinstance(hash(regime), int)


@pytest.mark.parametrize("name", [[], ["fog", 3], 3, None, {"fog": 1}])
def test_values_that_are_no_corruptions_are_refused(name):
    found = problems(corruption={"name": name, "severity": 1})
    assert "give a name, or a list of names" in found["corruption.name"]


def test_wrong_names_in_a_mix_are_refused():
    unknown = problems(corruption={"name": ["fog", "contrats"], "severity": 1})
    assert "did you mean 'contrast'" in unknown["corruption.name"]
    twice = problems(corruption={"name": ["fog", "fog"], "severity": 1})
    assert "names a corruption twice" in twice["corruption.name"]


def test_a_severity_of_its_own_for_the_test():
    assert corruption(**FOG).matched_severity == 2
    assert corruption(**FOG, test_severity=4).matched_severity == 4
    assert corruption(**FOG, test_severity=2) == corruption(**FOG)
    for where in ("train", "test"):
        found = problems(corruption={**FOG, "where": where, "test_severity": 4})
        assert f"where: {where}" in found["corruption"]
        assert "leave test_severity out" in found["corruption"]
    assert "allowed is 1-5" in problems(corruption={**FOG, "test_severity": 0})["corruption.test_severity"]


def test_severity_six_must_be_permitted_and_exist():
    six = {"severity": 6, "allow_extrapolated": True}
    assert corruption(name="contrast", **six).severity == 6
    assert corruption(name=["contrast", "shot_noise"], **six).severity == 6
    assert corruption(name="contrast", severity=2, test_severity=6, allow_extrapolated=True).severity == 2
    refused = problems(corruption={"name": ["contrast", "fog"], **six})["corruption.severity"]
    assert "severity 6 of fog does not exist; it does of: brightness, contrast" in refused
    assert "allowed is 1-5" in problems(corruption={**six, **FOG, "severity": 7})["corruption.severity"]
    assert (
        "allow_extrapolated" not in problems(corruption={"name": "fog", "severity": 6})["corruption.severity"]
    )
    needless = problems(corruption={**FOG, "allow_extrapolated": True})
    assert "none is given; leave it out" in needless["corruption"]


def test_a_regime_that_damages_test_images_alone_is_not_clean():
    regime = Regime.model_validate({"corruption": {**FOG, "where": "test"}})
    assert not regime.is_clean
    found = problems(corruption={**FOG, "where": "test", "redraw": True})
    assert "where: test damages none" in found["corruption"]
    assert "corruption.where" in problems(corruption={**FOG, "where": "val"})


def test_options_without_an_effect_are_refused():
    assert "needs a score" in problems(keep={"fraction": 0.5, "which": "easiest"})["keep"]
    assert "belong to a score" in problems(keep={"fraction": 0.5, "models": 3})["keep"]
    assert (
        "does not look at el2n" in problems(keep={"fraction": 0.5, "by": "el2n", "which": "random"})["keep"]
    )
    found = problems(corruption={"name": "contrast", "severity": 1, "redraw": True})
    assert "draws nothing at random" in found["corruption"]


def test_plug_ins_are_accepted_by_their_form():
    regime = Regime.model_validate(
        {
            "keep": {"fraction": 0.5, "by": "my.package:margin"},
            "corruption": {"name": "my.package:fog", "severity": 2, "redraw": True},
        }
    )
    assert regime.needs_scores == "my.package:margin"


def test_regimes_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Regime().keep = None

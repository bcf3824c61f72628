"""Which spaces continue a store: growth is allowed, another meaning is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsl.errors import StoreError
from hsl.space.axes import configuration
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace
from hsl.space.stored import check_continues, differences, space_text, stored_space, with_defaults_of
from hsl.sparsity.methods import METHODS
from hsl.store.store import Store

STORED: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [32]},
    "training": {"epochs": 10},
    "regimes": {"clean": {}, "few": {"keep": {"fraction": 0.5}}},
    "factors": {"regime": ["clean", "few"], "sparsity": [0.5, 0.9]},
    "search": {"method": {"choice": ["set", "rigl"]}, "training.lr": {"loguniform": [0.01, 0.1]}},
    "budget": {"configurations_per_cell": 4},
    "confirm": {"top": 1, "seeds": 3},
}


def changed(path: str, value: Any) -> SearchSpace:
    """The stored space with one value replaced; dots of axis names are written as ``:``."""
    raw = copy.deepcopy(STORED)
    *parents, last = (part.replace(":", ".") for part in path.split("."))
    target = raw
    for part in parents:
        target = target.setdefault(part, {})
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return make_space(raw)


def check(space: SearchSpace) -> None:
    check_continues(space_text(make_space(STORED)), space, "runs/t")


def test_a_new_store_takes_any_space() -> None:
    check_continues(None, make_space(STORED), "runs/t")


def test_the_same_space_continues() -> None:
    check(make_space(STORED))


def test_the_stored_text_is_the_space() -> None:
    space = make_space(STORED)
    assert make_space(yaml.safe_load(space_text(space))) == space


def test_a_store_has_its_space(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=f"{tmp_path} has no space.yaml, so nobody knows"):
        stored_space(store, "nobody knows")
    store.write_space(space_text(make_space(STORED)))
    assert stored_space(store, "nobody knows") == make_space(STORED)
    store.write_space("- 1")
    with pytest.raises(StoreError, match=f"{tmp_path} holds a space that this version cannot read"):
        stored_space(store, "nobody knows")


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ({"uniform": [1, 2]}, {"uniform": [1, 2]}, False),
        ({"uniform": [1, 2]}, {"uniform": [0, 3]}, False),
        ({"uniform": [1, 2]}, {"uniform": [1.1, 2]}, True),
        ({"uniform": [1, 2]}, {"uniform": [1, 1.9]}, True),
        ({"int": [1, 9]}, {"int": [1, 8]}, True),
        ({"int": [1, 9]}, {"int": [0, 9]}, False),
        ({"loguniform": [1, 9]}, {"loguniform": [2, 8]}, True),
        ({"choice": [1, 2]}, {"choice": [2, 1, 3]}, False),
        ({"choice": [1, 2]}, {"choice": [0, 3]}, True),
        ({"steps": 3}, {"steps": 2}, True),
        ({"steps": 3}, {"steps": 3}, False),
        ({"steps": 3}, {"steps": 4}, False),
        ({"steps": None}, {"steps": 4}, True),
        ({"flag": True}, {"flag": False}, True),
        ({"flag": False}, {"flag": True}, True),
    ],
)
def test_what_is_searched_only_grows(old: dict[str, Any], new: dict[str, Any], lost: bool) -> None:
    stored = make_space(STORED).model_dump(mode="json")
    first, second = ({**stored, "search": {"training.lr": domain}} for domain in (old, new))
    assert bool(list(differences(first, second))) is lost


GROWTH = [
    ("regimes.noisy", {"label_noise": {"rate": 0.1}}),
    ("factors.regime", ["few", "clean"]),
    ("factors.sparsity", [0.5, 0.7, 0.9, 0.95]),
    ("search.method.choice", ["set", "rigl", "gmp"]),
    ("budget.configurations_per_cell", 9),
    ("confirm.seeds", 5),
    ("confirm.top", 2),
    ("resources", {"cpu": 2}),
    ("early_stopping", {"grace": 2}),
    ("early_stopping", "none"),
    ("trial_timeout", 60),
    ("search.training:lr", {"loguniform": [0.01, 1]}),
    ("search.training:lr", {"loguniform": [0.001, 0.1]}),
    ("sampler", "random"),
]


@pytest.mark.parametrize(("path", "value"), GROWTH)
def test_growth_continues(path: str, value: Any) -> None:
    check(changed(path, value))


def test_a_baseline_may_be_added() -> None:
    without = make_space(STORED | {"baseline": None})
    check_continues(space_text(without), make_space(STORED), "runs/t")


def test_lengths_of_training_are_compared_as_a_factor() -> None:
    longer = changed("training.epochs", 20)
    with pytest.raises(StoreError, match="to compare lengths use a factor"):
        check(longer)
    factors: dict[str, Any] = STORED["factors"]
    stored = make_space(STORED | {"factors": {**factors, "training.epochs": [10]}})
    given = make_space(STORED | {"factors": {**factors, "training.epochs": [10, 20]}})
    check_continues(space_text(stored), given, "runs/t")


def test_all_growth_at_once_continues() -> None:
    raw = copy.deepcopy(STORED)
    raw["regimes"]["noisy"] = {"label_noise": {"rate": 0.1}}
    raw["factors"]["regime"].append("noisy")
    raw["budget"]["configurations_per_cell"] = 100
    check(make_space(raw))


CHANGES = [
    ("name", "other", "name: stored t, given other"),
    ("dataset", "cifar10", "dataset: stored digits, given cifar10"),
    ("model.widths", [64], "model.widths: stored [32], given [64]"),
    ("training.epochs", 20, "training.epochs: stored 10, given 20"),
    ("split", {"seed": 3}, "split.seed: stored 0, given 3"),
    ("regimes.few", {"keep": {"fraction": 0.4}}, "regimes.few.keep.fraction: stored 0.5, given 0.4"),
    (
        "regimes.few",
        {"keep": {"fraction": 0.5}, "label_noise": {"rate": 0.2}},
        "regimes.few.label_noise: stored null, given {",
    ),
    ("factors.sparsity", [0.5], "factors.sparsity: stored [0.5, 0.9], now without [0.9]"),
    ("factors.init", ["dense", "sparse"], "factors.init: new, but stored trials have no value of it"),
    ("factors.sparsity", KeyError, "factors.sparsity: stored [0.5, 0.9], now missing"),
    ("search.method.choice", ["rigl"], "search.method.choice: stored [set, rigl], now without [set]"),
    ("search.training:lr", {"loguniform": [0.02, 1]}, "search.training.lr.loguniform: stored [0.01, 0.1]"),
    ("search.training:lr", {"loguniform": [0.1, 0.11]}, "search.training.lr.loguniform: stored [0.01, 0.1]"),
    ("search.training:lr", {"choice": [0.01, 0.1]}, "search.training.lr"),
    ("search.training:lr", KeyError, "search.training.lr: stored"),
    ("search.training:momentum", {"uniform": [0.1, 0.9]}, "search.training.momentum: new, but stored"),
    ("budget.configurations_per_cell", 3, "budget.configurations_per_cell: stored 4, now only 3"),
    ("confirm.seeds", 2, "confirm.seeds: stored 3, now only 2"),
    ("baseline", None, "baseline: stored dense, given null"),
    ("objective", "clean", "objective: stored matched, given clean"),
    ("seed", 1, "seed: stored 0, given 1"),
    ("init", "dense", "init: stored null, given dense (null leaves it to each method: hsl list methods)"),
]


@pytest.mark.parametrize(("path", "value", "message"), CHANGES)
def test_another_meaning_is_refused_with_the_difference(path: str, value: Any, message: str) -> None:
    with pytest.raises(StoreError) as caught:
        check(changed(path, value))
    assert message in str(caught.value)
    assert "runs/t belongs to another search space, nothing was started" in str(caught.value)


OF_0_1: dict[str, Any] = {
    "fraction": 0.5,
    "by": "forgetting",
    "which": "hardest",
    "class_balanced": False,
    "models": 10,
    "epoch": 1.0,
    "budget": "epochs",
}
"""A scored regime in a space.yaml that version 0.1.0 wrote."""


def space_of_0_1() -> dict[str, Any]:
    regimes = {"a.b": {"keep": OF_0_1}, "few": {"keep": {"fraction": 0.5, "by": "random", "which": "random"}}}
    evaluation = {"deciles": {"by": "el2n"}}
    return {**STORED, "regimes": regimes, "factors": {"regime": ["a.b", "few"]}, "evaluation": evaluation}


def test_a_space_of_version_0_1_is_read_with_its_defaults(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(yaml.safe_dump(space_of_0_1()))
    read = stored_space(store, "-")
    hard, few = (read.regimes[name].keep for name in ("a.b", "few"))
    assert hard is not None
    assert few is not None
    assert (hard.ties, hard.precision, few.ties, few.precision) == ("id", "single", None, None)
    assert read.evaluation.deciles is not None
    assert (read.evaluation.deciles.ties, read.evaluation.deciles.precision) == ("id", "single")
    store.write_space(space_text(read))
    assert stored_space(store, "-") == read
    for text in ("regimes: [1]", "regimes: {a: {keep: 3}}", "evaluation: 7"):
        store.write_space(f"name: t\ndataset: digits\nmodel: mlp\n{text}")
        with pytest.raises(StoreError, match="cannot read"):
            stored_space(store, "-")


def test_a_store_of_version_0_1_is_continued_with_its_defaults_alone() -> None:
    text = yaml.safe_dump(space_of_0_1())
    with pytest.raises(StoreError) as caught:
        check_continues(text, make_space(space_of_0_1()), "runs/t")
    for line in (
        "regimes.a.b.keep.ties: stored id, given keyed (trials of version 0.1.0 keep the lower id of equally hard "
        "samples; to continue them leave ties out)",
        "regimes.a.b.keep.precision: stored single, given double (scores of version 0.1.0 are float32; to continue "
        "with them leave precision out)",
    ):
        assert line in str(caught.value)
    assert "regimes.few" not in str(caught.value)
    kept = space_of_0_1()
    kept["regimes"] = {**kept["regimes"], "a.b": {"keep": {**OF_0_1, "ties": "id", "precision": "single"}}}
    check_continues(text, make_space({**kept, "defaults": "0.1"}), "runs/t")


def test_a_new_regime_may_not_take_the_place_of_the_only_one() -> None:
    """Without a regime factor all trials have the first regime."""
    fixed = {key: value for key, value in STORED.items() if key not in {"regimes", "factors"}}
    stored = make_space({**fixed, "factors": {"sparsity": [0.5]}, "regimes": {"clean": {}}})
    few = {"keep": {"fraction": 0.5}}
    before, after = ({"few": few, "clean": {}}, {"clean": {}, "few": few})
    check_continues(space_text(stored), stored.model_copy(update={"regimes": _regimes(after)}), "runs/t")
    with pytest.raises(StoreError, match="the regime of all trials: stored clean, given few"):
        check_continues(space_text(stored), stored.model_copy(update={"regimes": _regimes(before)}), "runs/t")


def _regimes(content: dict[str, Any]) -> dict[str, Any]:
    return make_space({**STORED, "regimes": content, "factors": {}, "regime": "clean"}).regimes


def test_all_differences_are_listed() -> None:
    stored, given = make_space(STORED).model_dump(mode="json"), make_space({**STORED, "seed": 1, "name": "u"})
    assert len(list(differences(stored, given.model_dump(mode="json")))) == 2


@pytest.mark.parametrize("text", ["[1", "name: 3", "{}", "[1, 2]", "null", "name: t\nmethod: gone"])
def test_a_stored_space_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(StoreError, match="runs/t holds a space that this version cannot read"):
        check_continues(text, make_space(STORED), "runs/t")


def test_a_space_without_baseline_and_early_stopping_continues_its_store() -> None:
    space = make_space(STORED | {"baseline": None, "early_stopping": None})
    assert make_space(yaml.safe_load(space_text(space))) == space
    check_continues(space_text(space), space, "store")


def test_a_baseline_that_is_added_hides_no_other_difference() -> None:
    without = make_space(STORED | {"baseline": None}).model_dump(mode="json")
    given = make_space(STORED | {"seed": 1, "objective": "clean", "init": "dense", "name": "u"})
    found = "\n".join(differences(without, given.model_dump(mode="json")))
    for line in ("seed: stored 0", "objective: stored matched", "init: stored null", "name: stored t"):
        assert line in found
    assert "baseline" not in found


def test_the_stored_text_begins_with_what_a_reader_looks_for() -> None:
    assert list(yaml.safe_load(space_text(make_space(STORED))))[:3] == ["name", "dataset", "model"]


FORMER = {
    **STORED,
    "regimes": {"clean": {}, "few": {"keep": {"fraction": 0.5, "by": "el2n"}}},
    "evaluation": {"deciles": "el2n"},
}


def stored_by_0_1(content: dict[str, Any]) -> str:
    """The text of a space as version 0.1.0 wrote it: without the keys that came later."""
    raw = yaml.safe_load(space_text(make_space(content)))
    del raw["defaults"], raw["layers"]["ties"]
    for later in ("ties", "precision"):
        del raw["regimes"]["few"]["keep"][later], raw["evaluation"]["deciles"][later]
    return yaml.safe_dump(raw)


def test_a_store_of_0_1_0_goes_on_with_its_defaults(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(stored_by_0_1(FORMER))
    stored, space = stored_space(store, ""), make_space(FORMER)
    former = with_defaults_of(stored, space)
    assert former == stored
    keep = former.regimes["few"].hardness.keep
    assert keep is not None
    assert (keep.ties, keep.precision, former.defaults) == ("id", "single", "0.1")
    assert configuration(former, {"method": "set", "sparsity": 0.9}).hyperparameters == {"restart_regrown": 0}
    assert configuration(space, {"method": "set", "sparsity": 0.9}).hyperparameters == {}
    by_grasp = {"method": "static", "distribution": "from:grasp", "sparsity": 0.9}
    assert (former.layers.ties, configuration(former, by_grasp).ratios) == ("index", {"samples_per_class": 0})
    assert (space.layers.ties, configuration(space, by_grasp).ratios) == ("random", {})
    asked_for = make_space({**FORMER, "ratios": {"samples_per_class": 3, "rounds": 7}})
    assert configuration(asked_for, by_grasp).ratios == {"samples_per_class": 3}
    assert configuration(asked_for, {**by_grasp, "distribution": "erk"}).ratios == {}
    check_continues(store.read_space(), former, "runs/t")
    asked = with_defaults_of(stored, make_space({**FORMER, "defaults": "0.2"}))
    with pytest.raises(StoreError, match=r"defaults: stored '0\.1', given '0\.2'"):
        check_continues(store.read_space(), asked, "runs/t")


@pytest.mark.parametrize(("key", "value"), [("ties", "keyed"), ("precision", "double")])
def test_what_is_written_is_refused_and_not_replaced(key: str, value: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(stored_by_0_1(FORMER))
    few = {"keep": {**FORMER["regimes"]["few"]["keep"], key: value}}
    asked = make_space({**FORMER, "regimes": {"clean": {}, "few": few}})
    space = with_defaults_of(stored_space(store, ""), asked)
    with pytest.raises(StoreError, match=f"few.keep.{key}: stored .*to continue"):
        check_continues(store.read_space(), space, "runs/t")


@pytest.mark.parametrize("init", ["sparse", "dense"])
def test_a_store_of_0_1_0_keeps_its_init_for_every_method(tmp_path: Path, init: str) -> None:
    store = Store(tmp_path)
    store.write_space(stored_by_0_1({**FORMER, "init": init}))
    given = FORMER if init == "sparse" else {**FORMER, "init": init}
    former = with_defaults_of(stored_space(store, ""), make_space(given))
    check_continues(store.read_space(), former, "runs/t")
    for method in ("static", "grasp"):
        assert configuration(former, {"method": method, "sparsity": 0.9}).init == init
        assert (
            configuration(make_space(FORMER), {"method": method, "sparsity": 0.9}).init
            == METHODS[method].init
        )
    with pytest.raises(StoreError, match=f"init: stored {init}, given energy"):
        energy = make_space({**FORMER, "init": "energy"})
        check_continues(store.read_space(), with_defaults_of(stored_space(store, ""), energy), "runs/t")


def test_a_store_of_this_version_keeps_its_defaults() -> None:
    space = make_space(FORMER)
    assert with_defaults_of(space, space) is space

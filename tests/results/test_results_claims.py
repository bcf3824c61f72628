"""The claims of the paper, on stores whose truth is known."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_rows import cell_row, filled, trial_row

from hsl.errors import NothingMatchedError
from hsl.results.claims import CLAIMS, Claim, Statement, evaluate
from hsl.results.claims.claim import EXACT, MEASURES
from hsl.results.show.output import show_claims
from hsl.results.show.text import claimed
from hsl.store.store import Store

LOW, SHOWN, HIGH = 0.3, 0.8, 0.9


def hardest(fraction: float) -> dict:
    return {"keep": {"by": "el2n", "fraction": fraction, "models": 10, "epoch": 0.1}}


def corrupted(severity: int, fraction: float) -> dict:
    kept = {} if fraction == 1 else {"keep": {"fraction": fraction, "which": "random"}}
    names = ["defocus_blur", "gaussian_noise"] if severity == 4 else "impulse_noise"
    return {"corruption": {"name": names, "severity": severity}, **kept}


PGD = {"attack": {"eps": 8 / 255, "step": 2 / 255, "steps": 10}}
HALF = {"keep": {"fraction": 0.5, "which": "random"}}

NETWORKS = {
    "set": ("set", "erk"),
    "snip": ("snip", "global"),
    "gmp": ("gmp", "global"),
    "omp": ("omp", "global"),
    "lth": ("lth", "global"),
    "omp erk": ("omp", "erk"),
    "random": ("static", "erk"),
    "uniform": ("static", "uniform"),
}


def all_alike(low: float, high: float, **other: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """Gain over dense at low and at high sparsity, of every network."""
    usual = dict.fromkeys(("set", "snip", "gmp", "omp"), (low, high)) | {"lth": (low - 0.005, high - 0.005)}
    return usual | {"omp erk": (0.02, 0.02), "random": (0.02, 0.02), "uniform": (-0.02, -0.02)} | other


# The world as the paper tells it: regime by its configuration, and what every network gains in it.
WORLD = [
    (hardest(0.5), all_alike(0.015, 0.015, set=(0.01, 0.04), snip=(0.01, 0.04), lth=(0.0, -0.02))),
    (hardest(0.3), all_alike(0.02, 0.02, set=(0.01, 0.04), snip=(0.01, 0.04))),
    (hardest(0.2), all_alike(0.02, 0.02, set=(0.01, 0.05))),
    (corrupted(5, 1), all_alike(0.04, -0.01)),
    (corrupted(5, 0.3), all_alike(0.005, 0.03, set=(0.005, 0.06), snip=(0.005, 0.06))),
    (corrupted(2, 0.3), all_alike(-0.03, -0.03, omp=(0.02, 0.02))),
    (corrupted(4, 0.3), all_alike(0.04, 0.04)),
    (corrupted(6, 0.3), all_alike(0.02, 0.02)),
    (PGD, all_alike(0.02, 0.02, set=(0.04, 0.04), omp=(0.012, 0.012), lth=(0.01, 0.01))),
    (PGD | HALF, all_alike(0.02, 0.02, set=(0.04, 0.04), omp=(0.012, 0.012), lth=(0.01, 0.01))),
]
# What no claim is about, and whose gains would turn them over.
ELSEWHERE = [
    ({}, -0.3),
    ({"label_noise": {"rate": 0.3}, **hardest(0.5)}, -0.3),
    ({"keep": {"by": "loss", "fraction": 0.5, "models": 10, "epoch": 0.1}}, -0.3),
    ({"keep": {"by": "el2n", "fraction": 0.5, "which": "easiest", "models": 10, "epoch": 0.1}}, -0.3),
    ({"corruption": {"name": "gaussian_noise", "severity": 5, "where": "test"}}, -0.3),
    ({"corruption": {"name": "gaussian_noise", "severity": 5, "test_severity": 3}}, -0.3),
    ({"attack": {"norm": "l2", "eps": 0.5, "step": 0.1, "steps": 10}}, -0.3),
]


def world(path: Path, sign: int = 1, noise: float = 0.0005, seeds: int = 5) -> Store:
    """A store of the world (or of its opposite), under names that say nothing."""
    generator = np.random.default_rng(2)
    rows, cells = [], []
    elsewhere = [(regime, all_alike(gain, gain)) for regime, gain in ELSEWHERE]
    for number, (regime, networks) in enumerate([*WORLD, *elsewhere]):
        dense = generator.normal(0.7, 0.05, seeds)
        plan = [
            ("dense", 0.0, 0.0),
            *((n, s, g[s > LOW]) for n, g in networks.items() for s in (LOW, SHOWN, HIGH)),
        ]
        for name, sparsity, gain in plan:
            method, distribution = NETWORKS.get(name, ("dense", None))
            cell = f"cell {number} {method} {distribution} {sparsity}"
            cells.append(cell_row(cell=cell, regime=f"r{number}", baseline=name == "dense"))
            for seed in range(seeds):
                drawn = generator.normal(0, noise) if name != "dense" else 0.0
                clean = drawn if sign > 0 or name == "dense" else -0.05 + drawn
                rows.append(
                    trial_row(
                        cell=cell,
                        regime=f"r{number}",
                        stage="confirm",
                        seed=seed + 1,
                        method=method,
                        distribution=distribution,
                        sparsity=sparsity,
                        configuration_id=cell,
                        dataset="cifar100",
                        model="resnet18",
                        configuration={"model": {"name": "resnet18"}, "regime": regime},
                        test_matched_accuracy=dense[seed] + sign * gain + drawn,
                        test_clean_accuracy=dense[seed] + clean,
                        layer_densities=densities(name, sign),
                        training_flops=cost(name, sparsity, sign),
                    )
                )
    return filled(path, rows, cells)


def densities(name: str, sign: int) -> dict[str, float]:
    shallow = [0.3, 0.2, 0.15, 0.05, 0.02][::sign]
    return dict(zip("abcde", shallow if name in ("set", "snip") else [0.1] * 5, strict=True))


def cost(name: str, sparsity: float, sign: int) -> float:
    usual = {"dense": 1.0, "set": 0.2, "snip": 0.2, "lth": 1.2, "omp": 1.1}.get(name, 0.9)
    return usual if sign > 0 else 1.7 - usual


@pytest.mark.parametrize(("sign", "verdict"), [(1, "supported"), (-1, "contradicted")])
def test_the_planted_truth_is_recovered(tmp_path: Path, sign: int, verdict: str) -> None:
    found = evaluate(world(tmp_path, sign)).to_pylist()
    assert {row["statement"]: row["verdict"] for row in found if row["verdict"] != verdict} == {}
    assert [row["claim"] for row in found] == [claim.id for claim in CLAIMS for _ in claim.statements]
    assert {row["claim_verdict"] for row in found} == {verdict}
    assert {row["n"] for row in found if row["n_of"] == "seeds"} == {5}
    exact = {row["measure"]: (row["n_of"], row["interval"]) for row in found if row["n_of"] != "seeds"}
    assert exact == {"shallow_excess": ("pairs of cells", "range"), "training_flops": ("trials", "range")}
    (row,) = (row for row in found if row["statement"] == "SET beats dense")
    expected = sign * (0.01 + 0.05 + 0.05) / 3  # at low sparsity, and at two high ones
    assert row["effect"] == pytest.approx(expected, abs=0.001)
    assert row["low"] < expected < row["high"]
    assert row["cells"] == ["cell 2 set erk 0.3", "cell 2 set erk 0.8", "cell 2 set erk 0.9"]


def test_of_the_opposite_no_difference_is_shown_where_there_is_none(tmp_path: Path) -> None:
    rows = {row["statement"]: row for row in evaluate(world(tmp_path, noise=0.2)).to_pylist()}
    assert {row["verdict"] for row in rows.values() if row["n_of"] == "seeds"} == {"not enough data"}
    assert "seed noise" in rows["SET beats dense"]["reason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "seed <= 2",
            "less than 3 confirming seeds, shared with dense, of SET with erk at 10 to 90 % sparsity",
        ),
        (
            "stage = 'search'",
            "less than 3 confirming seeds, shared with dense, of SET with erk at 10 to 90 % sparsity",
        ),
        (
            "NOT baseline",
            "less than 3 confirming seeds, shared with dense, of SET with erk at 10 to 90 % sparsity",
        ),
    ],
)
def test_without_seeds_or_dense_nothing_is_claimed(tmp_path: Path, change: str, reason: str) -> None:
    keep = {
        "seed <= 2": lambda row: row["seed"] <= 2,
        "NOT baseline": lambda row: row["method"] != "dense",
        "stage = 'search'": lambda row: True,
    }[change]
    source = world(tmp_path / "all")
    rows = [row for row in source.read("trials").to_pylist() if keep(row)]
    if change == "stage = 'search'":
        rows = [{**row, "stage": "search"} for row in rows]
    store = filled(tmp_path / "some", rows, source.read("cells").to_pylist())
    (row,) = (row for row in evaluate(store).to_pylist() if row["statement"] == "SET beats dense")
    assert (row["verdict"], row["reason"], row["effect"]) == ("not enough data", reason, None)


def test_stopped_and_failed_trials_count_nowhere(tmp_path: Path) -> None:
    store = world(tmp_path)
    before = evaluate(store).to_pylist()
    wrong = [
        {**row, "trial_id": f"{row['trial_id']}-{status}", "status": status, "test_matched_accuracy": 0.0}
        for row in store.read("trials").to_pylist()[:200]
        for status in ("stopped", "failed")
    ]
    store.append("trials", wrong)
    after = evaluate(store).to_pylist()
    assert any(row["seeds_lost"] for row in after), "they are said"
    assert [{**row, "seeds_lost": 0} for row in after] == before


ONE = Claim("T", "", "", (Statement("sparse beats dense", "true", "NOT baseline", "above"),))


def null_store(path: Path, datasets: int, **given: object) -> Store:
    """Many data sets on each of which sparse is as good as dense; seeds do much to both."""
    generator = np.random.default_rng(11)
    seeds = generator.normal(0.7, 0.05, (datasets, 5))
    rows = [
        trial_row(
            dataset=f"d{number:04}",
            cell=method,
            method=method,
            stage="confirm",
            seed=seed,
            configuration_id=method,
            test_matched_accuracy=value,
            test_clean_accuracy=value,
            **given,
        )
        for method in ("dense", "set")
        for number, values in enumerate((seeds + generator.normal(0, 0.01, (datasets, 5))).tolist())
        for seed, value in enumerate(values)
    ]
    cells = [cell_row(cell="dense", baseline=True), cell_row(cell="set")]
    return filled(path, rows, cells)


def test_null_of_a_thousand_draws(tmp_path: Path) -> None:
    found = evaluate(null_store(tmp_path, 1000), [ONE])
    p, low, high = (np.array(found[name]) for name in ("p_value", "low", "high"))
    assert len(p) == 1000
    assert np.mean(p < 0.05) <= 0.06
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97
    assert set(found["verdict"].to_pylist()) == {"not enough data"}  # corrected over the draws


@pytest.mark.parametrize(("bound", "verdict"), [(0.1, "supported"), (0.01, "not enough data")])
def test_equality_needs_an_interval_inside_the_bounds(tmp_path: Path, bound: float, verdict: str) -> None:
    equal = Statement("as good", "true", "NOT baseline", "within", measure="clean_gain", threshold=bound)
    found = evaluate(null_store(tmp_path, 5), [Claim("T", "", "", (equal,))])
    assert set(found["verdict"].to_pylist()) == {verdict}


def test_what_is_alike_weighs_the_same_on_both_sides(tmp_path: Path) -> None:
    """SET at two sparsities has two networks at one of them; LTH one at each: the difference is that alike."""
    level = {0.5: 0.2, 0.9: 0.0}  # what sparsity does to every method
    plan = [
        ("set", "erk", 0.5, 0.1),
        ("snip", "erk", 0.5, 0.1),
        ("set", "erk", 0.9, 0.1),
        ("dense", None, 0.0, 0.0),
    ]
    plan += [("lth", "erk", 0.5, 0.0), ("lth", "erk", 0.9, 0.0)]
    generator = np.random.default_rng(0)
    rows = [
        trial_row(
            cell=f"{method}{sparsity}",
            configuration_id=f"{method}{sparsity}",
            method=method,
            distribution=distribution,
            sparsity=sparsity,
            stage="confirm",
            seed=seed,
            test_matched_accuracy=0.5 + gain + level.get(sparsity, 0.0) + generator.normal(0, 1e-4),
        )
        for method, distribution, sparsity, gain in plan
        for seed in (1, 2, 3)
    ]
    statement = Statement("better", "true", "method IN ('set', 'snip')", "above", b="method = 'lth'")
    (row,) = evaluate(filled(tmp_path, rows), [Claim("T", "", "", (statement,))]).to_pylist()
    assert row["effect"] == pytest.approx(0.1, abs=1e-3)
    assert row["verdict"] == "supported"


def test_data_sets_and_further_factors_are_not_mixed(tmp_path: Path) -> None:
    store = null_store(tmp_path, 2)
    store.append("cells", [cell_row(cell="set", levels={"regime": "clean", "training.epochs": 30})])
    found = evaluate(store, [ONE]).to_pylist()
    assert [(row["dataset"], row["factors"]) for row in found] == [
        ("d0000", '{"training.epochs": 30}'),
        ("d0000", "{}"),
        ("d0001", '{"training.epochs": 30}'),
        ("d0001", "{}"),
    ]
    assert {row["n"] for row in found} == {0}  # dense of other factors is no reference


def test_damaged_configurations_are_no_evidence(tmp_path: Path) -> None:
    store = null_store(tmp_path, 1, configuration={"regime": "<script>", "model": [1]})
    assert evaluate(store, [ONE])["n"].to_pylist() == [5]
    store = null_store(tmp_path / "2", 1, configuration=json.dumps([1]))
    assert evaluate(store, [ONE])["model"].to_pylist() == ["mlp"]


def test_nothing_to_test(tmp_path: Path) -> None:
    with pytest.raises(NothingMatchedError, match="no completed trial"):
        evaluate(filled(tmp_path, [trial_row(status="failed")]))


def test_every_statement_can_be_tested(tmp_path: Path) -> None:
    texts = [statement.text for claim in CLAIMS for statement in claim.statements]
    assert len(set(texts)) == len(texts) or all(texts.count(text) <= 2 for text in texts)
    for claim in CLAIMS:
        for statement in claim.statements:
            assert statement.measure in MEASURES
            assert statement.direction in ("above", "below", "within")
            assert statement.direction != "within" or statement.threshold > 0


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_shown_for_people(tmp_path: Path, format: str) -> None:
    stream = io.StringIO()
    show_claims(evaluate(world(tmp_path)), format, stream)
    shown = stream.getvalue()
    assert "SET beats dense" in shown
    assert "supported: C1, C2, C3, C4, C5, C6, C7, C8, C9" in shown
    assert "[95 % t interval]" in shown


def named(*claims: str) -> list[Claim]:
    return [claim for claim in CLAIMS if claim.id in claims]


def changed(
    path: Path, change: Callable[[dict], dict | None], claims: Sequence[str], **given: int
) -> list[dict]:
    """The verdicts on the world with some rows changed or left out."""
    source = world(path / "all", **given)
    rows = [new for row in source.read("trials").to_pylist() if (new := change(row))]
    store = filled(path / "some", rows, source.read("cells").to_pylist())
    return evaluate(store, named(*claims)).to_pylist()


def test_a_collapse_beyond_the_grid_contradicts_nothing(tmp_path: Path) -> None:
    """The paper has no result at 95 and 99 %."""
    store = world(tmp_path)
    before = {row["statement"]: row for row in evaluate(store).to_pylist()}
    collapsed = [
        {
            **row,
            "trial_id": f"{row['trial_id']}-{sparsity}",
            "cell": f"{row['cell']} then {sparsity}",
            "configuration_id": f"{row['configuration_id']}-{sparsity}",
            "sparsity": sparsity,
            "test_matched_accuracy": 0.01,
            "test_clean_accuracy": 0.01,
        }
        for row in store.read("trials").to_pylist()
        for sparsity in (0.95, 0.99)
        if row["sparsity"] == HIGH
    ]
    store.append("trials", collapsed)
    after = {row["statement"]: row for row in evaluate(store).to_pylist()}
    assert after == before


@pytest.mark.parametrize("dataset", ["cifar10", "digits", "tiny-imagenet"])
def test_other_settings_are_not_testable_and_show_their_effect(dataset: str, tmp_path: Path) -> None:
    found = changed(tmp_path, lambda row: {**row, "dataset": dataset}, ("C3", "C9"), sign=-1)
    assert {(row["verdict"], row["claim_verdict"]) for row in found} == {("not testable", "not testable")}
    assert {row["p_adjusted"] for row in found} == {None}
    (row,) = (row for row in found if row["statement"] == "SET beats dense")
    assert row["effect"] < 0 and row["n"] == 5
    assert row["reason"] == (
        f"not testable with this store: it has resnet18 on {dataset}, the claim is about resnet18 on cifar100"
    )
    assert row["about"] == "resnet18 on cifar100"


def test_a_data_set_with_a_path_has_its_name(tmp_path: Path) -> None:
    tiny = {"dataset": "tiny-imagenet:/data/tiny", "model": "resnet34"}
    found = changed(tmp_path, lambda row: {**row, **tiny}, ("C2", "C3", "C7"))
    assert {row["claim_verdict"] for row in found if row["claim"] == "C2"} == {"supported"}
    assert {row["claim_verdict"] for row in found if row["claim"] != "C2"} == {"not testable"}


def test_what_the_paper_says_of_one_data_set_is_not_asked_of_the_other(tmp_path: Path) -> None:
    """LTH and OMP are behind on CIFAR-100, not on CIFAR-10."""
    vgg = {"dataset": "cifar10", "model": "vgg16"}
    found = changed(tmp_path, lambda row: {**row, **vgg}, ["C7"])
    assert {row["claim_verdict"] for row in found} == {"supported"}
    assert len(found) == 6
    assert not any("LTH and OMP are worse" in row["statement"] for row in found)


@pytest.mark.parametrize(
    ("claim", "kept", "missing"),
    [
        (
            "C4",
            lambda row: row["sparsity"] in (0.0, SHOWN),
            "no SET with erk at 10 to 50 % sparsity, SNIP with",
        ),
        ("C7", lambda row: row["sparsity"] in (0.0, SHOWN), "at 90 % sparsity"),
        (
            "C2",
            lambda row: row["method"] in ("dense", "set", "omp"),
            "no SNIP with global at 80 to 90 % sparsity",
        ),
        ("C2", lambda row: "cell 1 " not in row["cell"], "on the hardest 30 % by EL2N"),
        ("C5", lambda row: "cell 4 " not in row["cell"], "impulse noise or defocus blur of severity 5"),
    ],
)
def test_what_is_missing_is_named(claim: str, kept: Any, missing: str, tmp_path: Path) -> None:
    rows = changed(tmp_path, lambda row: row if kept(row) else None, [claim])
    assert any(
        row["verdict"] == "not testable"
        and row["reason"].startswith("not testable with this store: no ")
        and missing in row["reason"]
        for row in rows
    ), rows
    assert {row["claim_verdict"] for row in rows} <= {"not testable", "not enough data"}


def test_other_corruptions_and_radii_are_not_those_of_the_paper(tmp_path: Path) -> None:
    def other(row: dict) -> dict:
        text = row["configuration"].replace("impulse_noise", "fog").replace(f"{8 / 255}", f"{4 / 255}")
        return {**row, "configuration": text}

    verdicts = {row["claim"]: row["claim_verdict"] for row in changed(tmp_path, other, ["C1", "C4", "C7"])}
    assert {verdicts[claim] for claim in ("C4", "C7")} == {"not testable"}
    assert verdicts["C1"] == "supported"


def of_methods(path: Path, gains: dict[str, float], noise: float = 0.001) -> dict:
    """The first statement of C1, where each method gains this over dense."""
    generator = np.random.default_rng(5)
    configuration = {"model": {"name": "resnet18"}, "regime": hardest(0.5)}
    common = {"dataset": "cifar100", "model": "resnet18", "stage": "confirm", "configuration": configuration}
    rows = [
        trial_row(
            cell=name,
            configuration_id=name,
            method=NETWORKS.get(name, ("dense", None))[0],
            distribution=NETWORKS.get(name, ("dense", None))[1],
            sparsity=0.5 if name in gains else 0.0,
            seed=seed,
            test_matched_accuracy=0.5 + gains.get(name, 0.0) + generator.normal(0, noise),
            **common,
        )
        for name in ("dense", *gains)
        for seed in range(5)
    ]
    cells = [cell_row(cell=name, baseline=name == "dense") for name in ("dense", *gains)]
    found = evaluate(filled(path, rows, cells), named("C1")).to_pylist()
    (row,) = (row for row in found if "most of" in row["statement"])
    return row


GOOD, BAD = 0.01, -0.2


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((GOOD, GOOD, GOOD, BAD, BAD), "supported"),  # on average far worse than dense
        ((GOOD, GOOD, 0.5, BAD, BAD), "supported"),
        ((GOOD, 0.9, BAD, BAD, BAD), "contradicted"),  # on average no worse
        ((BAD,) * 5, "contradicted"),
        ((GOOD, GOOD, GOOD), "supported"),
        ((GOOD, GOOD), "not testable"),
        ((GOOD, GOOD, -0.01, BAD, BAD), "not enough data"),  # the third at the bound
    ],
)
def test_most_is_more_than_half_of_the_five(gains: tuple[float, ...], verdict: str, tmp_path: Path) -> None:
    row = of_methods(tmp_path, dict(zip(("set", "snip", "gmp", "omp", "lth"), gains, strict=False)))
    assert row["verdict"] == verdict
    assert (row["interval"] == "range over methods") == (len(gains) > 2)


def test_costs_and_densities_need_three_seeds_as_well(tmp_path: Path) -> None:
    """One pair of networks contradicted C8."""
    found = changed(tmp_path, lambda row: row if row["seed"] <= 2 else None, ("C8", "C9"), sign=-1)
    assert {row["verdict"] for row in found} == {"not enough data"}
    assert all("less than 3 seeds, of" in row["reason"] for row in found if row["measure"] in EXACT)


def test_a_configuration_in_two_cells_is_one_network(tmp_path: Path) -> None:
    """A merge gives cells of one name two names; their trials are the same, and may be divided among them."""
    source = world(tmp_path / "all")
    before = evaluate(source, named("C3", "C8", "C9")).to_pylist()
    rows = source.read("trials").to_pylist()
    again = [
        {**row, "cell": f"z {row['cell']}", "trial_id": f"z-{row['trial_id']}"}
        for row in rows
        if row["method"] != "dense" and row["seed"] % 2
    ]
    moved = [row for row in rows if row["method"] == "dense" or row["seed"] != 3]
    after = evaluate(
        filled(tmp_path / "two", [*again, *moved], source.read("cells").to_pylist()), named("C3", "C8", "C9")
    ).to_pylist()
    for old, new in zip(before, after, strict=True):
        assert new == {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in old.items()
        }


UNLIKE = {
    "a part of the data set": {"split": {"limit": 300}},
    "layers that are left out": {"layers": {"exclude": ["layer1*"]}},
    "kept dense": {"layers": {"last_dense": True}},
    "half of its 200 epochs": {"training": {"epochs": 1}},
}


@pytest.mark.parametrize("words", UNLIKE)
def test_networks_unlike_the_papers_neither_support_nor_contradict(words: str, tmp_path: Path) -> None:
    """A world in which all claims are wrong, of networks that no paper speaks of."""
    store = world(tmp_path / "store", -1)
    rows = store.read("trials").to_pylist()
    other = Store(tmp_path / "other")
    other.append("cells", store.read("cells").to_pylist())
    changed = [{**row, "configuration": json.loads(row["configuration"]) | UNLIKE[words]} for row in rows]
    other.append("trials", changed)
    assert {row["claim_verdict"] for row in evaluate(store).to_pylist()} == {"contradicted"}
    found = evaluate(other).to_pylist()
    assert {row["verdict"] for row in found} == {"not testable"}
    assert all(words in row["reason"] for row in found)


def test_corruptions_that_are_tied_to_classes_are_none_of_the_papers(tmp_path: Path) -> None:
    store = world(tmp_path / "store", -1)
    other = Store(tmp_path / "other")
    other.append("cells", store.read("cells").to_pylist())
    rows = store.read("trials").to_pylist()
    for row in rows:
        row["configuration"] = json.loads(row["configuration"])
        if "corruption" in row["configuration"]["regime"]:
            row["configuration"]["regime"]["corruption"]["skew"] = 0.9
    other.append("trials", rows)
    about = [row for row in evaluate(store).to_pylist() if row["verdict"] == "contradicted"]
    left = {row["statement"] for row in evaluate(other).to_pylist() if row["verdict"] == "contradicted"}
    assert left < {row["statement"] for row in about}


@pytest.mark.parametrize("keep", [{"class_balanced": True}, {"budget": "steps"}])
def test_selections_unlike_the_papers_say_nothing(keep: dict[str, Any], tmp_path: Path) -> None:
    store, other = world(tmp_path / "store", -1), Store(tmp_path / "other")
    other.append("cells", store.read("cells").to_pylist())
    rows = store.read("trials").to_pylist()
    for row in rows:
        row["configuration"] = json.loads(row["configuration"])
        if "keep" in row["configuration"]["regime"]:
            row["configuration"]["regime"]["keep"] |= keep
    other.append("trials", rows)
    told = {
        row["claim"]: row["claim_verdict"] for row in evaluate(other, named("C1", "C2", "C3")).to_pylist()
    }
    assert "contradicted" not in told.values()
    assert "contradicted" in {row["claim_verdict"] for row in evaluate(store, named("C1")).to_pylist()}


def test_lost_seeds_are_said(tmp_path: Path) -> None:
    store = world(tmp_path, -1)
    before = evaluate(store, named("C3")).to_pylist()
    assert {row["seeds_lost"] for row in before} == {0}
    row = store.read("trials").to_pylist()
    cell = before[0]["cells"][0]
    example = next(each for each in row if each["cell"] == cell and each["stage"] == "confirm")
    again = {**example, "configuration": json.loads(example["configuration"])}
    for seed in (91, 92):
        store.append("trials", [{**again, "trial_id": f"lost-{seed}", "seed": seed, "status": "failed"}])
    after = evaluate(store, named("C3")).to_pylist()
    assert after[0]["seeds_lost"] == 2
    assert [each["effect"] for each in after] == [each["effect"] for each in before]
    assert "(2 lost)" in str(claimed(evaluate(store, named("C3"))).to_pylist())

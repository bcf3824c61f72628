"""One dense counterpart of every sparse cell, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from results_rows import cell_row, filled, trial_row

from hsl.driver.ledger import cell_row as planned_row
from hsl.planning.plan import make_plan
from hsl.results.best import best
from hsl.results.claims.claim import Claim, Statement
from hsl.results.claims.verdicts import evaluate
from hsl.results.compare import compare
from hsl.results.dense import counterparts, is_sparsification, shared_axes, shared_key
from hsl.results.inspect import inspect
from hsl.results.report.evidence import gather
from hsl.results.report.significance import compare_winners
from hsl.space.load import make_space
from hsl.store.store import Store

DENSE = {"method": "dense", "distribution": None, "sparsity": 0.0}
TWO_INITS = {
    "name": "inits",
    "dataset": "digits",
    "model": "mlp",
    "method": "set",
    "distribution": "erk",
    "regimes": {"clean": {}, "few": {"keep": {"fraction": 0.5}}},
    "factors": {"regime": ["clean", "few"], "sparsity": [0.8, 0.9], "init": ["sparse", "dense"]},
}
BETTER = Claim("T", "", "", (Statement("sparse beats dense", "true", "NOT baseline", "above"),))


def confirmed(cell: str, value: float, **given: object) -> Iterator[dict[str, object]]:
    """Three seeds; a configuration is called like its cell unless told otherwise."""
    for seed, noise in ((1, -0.01), (2, 0.0), (3, 0.012)):
        made = {"configuration_id": cell, "test_matched_accuracy": value + noise + seed / 10**4 * value}
        yield trial_row(cell=cell, stage="confirm", seed=seed, **made | given)


@pytest.fixture
def two_inits(tmp_path: Path) -> Store:
    """A space whose factors tell sparse networks apart in the one way that the dense ones lack."""
    space = make_space(TWO_INITS)
    values = {"clean": 0.9, "few": 0.6}
    rows = []
    for cell in make_plan(space).cells:
        regime = cell.levels["regime"]
        content = space.regimes[regime].hardness.model_dump(mode="json", exclude_defaults=True)
        own = {"regime": regime, "configuration": {"regime": content}}
        kind = DENSE if cell.baseline else {"method": "set", "sparsity": cell.levels["sparsity"]}
        gain = 0.0 if cell.baseline else 0.02 if cell.levels["init"] == "dense" else 0.01
        rows += confirmed(cell.name, values[regime] + gain, **own, **kind)
    return filled(tmp_path, rows, [planned_row(cell, space) for cell in make_plan(space).cells])


def expected() -> dict[str, str]:
    cells = make_plan(make_space(TWO_INITS)).cells
    return {cell.name: f"{cell.levels['regime']}/dense" for cell in cells if not cell.baseline}


def gain_of(cell: str) -> float:
    return 0.02 if "init=dense" in cell else 0.01


def test_all_answers_have_the_same_counterpart(two_inits: Store) -> None:
    wanted = expected()
    assert len(wanted) == 8
    dense = {f"{regime}/dense": f"{regime}/dense" for regime in ("clean", "few")}
    assert counterparts(two_inits.read("cells"), two_inits.read("trials")) == wanted | dense
    found = {row["cell"]: row for row in best(two_inits, by=("cell",)).to_pylist() if not row["baseline"]}
    assert {cell: row["difference"] for cell, row in found.items()} == pytest.approx(
        {cell: gain_of(cell) for cell in wanted}, abs=1e-4
    )
    for cell, its in wanted.items():
        roles = {row["role"]: row["cell"] for row in inspect(two_inits, cell).to_pylist()}
        assert roles == {"winner": cell, "dense": its}
        (row,) = compare(two_inits, f"cell = '{cell}'", "baseline").to_pylist()
        assert row["difference"] == pytest.approx(found[cell]["difference"])


def test_the_report_has_it_too(two_inits: Store) -> None:
    evidence = gather(two_inits.uri)
    winners = evidence.best("cell")
    compared = compare_winners(evidence, winners)
    assert {one.row["cell"]: one.verdict for one in compared} == dict.fromkeys(
        expected(), "better than dense"
    )
    names = {one.row["cell"]: evidence.dense.of(one.row) for one in compared}
    assert {cell: dense["cell"] for cell, dense in names.items() if dense} == expected()


def test_claims_have_it_too(two_inits: Store) -> None:
    (row,) = evaluate(two_inits, [BETTER]).to_pylist()
    assert (row["n"], row["factors"]) == (3, "{}")
    assert set(row["cells"]) <= expected().keys()
    assert 0.01 <= row["effect"] <= 0.0201


def test_without_a_factor_that_dense_has_there_is_one_dense_cell(two_inits: Store) -> None:
    dense = [cell for cell in make_plan(make_space(TWO_INITS)).cells if cell.baseline]
    assert [cell.levels for cell in dense] == [{"regime": "clean"}, {"regime": "few"}]


def merged(path: Path, seeds: int = 3) -> Store:
    """Two sweeps of one regime: in the second it is no factor, dense is better, and sparse gains nothing."""
    cells, rows = [], []
    for name, levels, dense, gain, space in (
        ("first", {"regime": "clean"}, 0.7, 0.05, "h1"),
        ("second", {}, 0.9, 0.0, "h2"),
    ):
        cells += [
            cell_row(cell=f"{name}/dense", levels=levels, baseline=True, space_hash=space),
            cell_row(cell=f"{name}/0.9", levels={**levels, "sparsity": 0.9}, space_hash=space),
        ]
        rows += [*confirmed(f"{name}/0.9", dense + gain)][:seeds]
        rows += [*confirmed(f"{name}/dense", dense, **DENSE)][:seeds]
    return filled(path, rows, cells)


def test_of_two_dense_cells_that_of_the_same_space_counts(tmp_path: Path) -> None:
    store = merged(tmp_path)
    gains = {"first/0.9": 0.05, "second/0.9": 0.0}
    found = {
        row["cell"]: row["difference"] for row in best(store, by=("cell",)).to_pylist() if not row["baseline"]
    }
    assert found == pytest.approx(gains, abs=1e-4)
    for cell, gain in gains.items():
        (row,) = compare(store, f"cell = '{cell}'", "baseline").to_pylist()
        assert row["difference"] == pytest.approx(gain, abs=1e-4)
        dense = {row["cell"] for row in inspect(store, cell).to_pylist() if row["role"] == "dense"}
        assert dense == {cell.replace("0.9", "dense")}


def test_a_dense_row_names_its_own_mean(tmp_path: Path) -> None:
    dense = {row["cell"]: row for row in best(merged(tmp_path), by=("cell",)).to_pylist() if row["baseline"]}
    assert {
        cell: (row["difference"], row["dense_mean"] - row["test_mean"]) for cell, row in dense.items()
    } == {
        "first/dense": (None, 0.0),
        "second/dense": (None, 0.0),
    }


def test_compare_goes_on_where_no_counterpart_is_asked_for(tmp_path: Path) -> None:
    store = merged(tmp_path)
    (row,) = compare(store, "cell = 'first/0.9'", "cell = 'second/dense'").to_pylist()
    assert row["difference"] == pytest.approx(-0.15, abs=1e-4)


def cell_table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"space_hash": None, "levels": "{}", "regime": "clean", "baseline": False, **row} for row in rows],
        schema=pa.schema(
            [(name, pa.string()) for name in ("cell", "regime", "levels", "space_hash")]
            + [("baseline", pa.bool_())]
        ),
    )


def trial_table(*rows: tuple[str, str]) -> pa.Table:
    """Trials of cells, completed unless said otherwise."""
    columns = ("cell", "status", "dataset", "model", "split_seed", "regime", "method")
    made = [dict(zip(columns, (*row, "digits", "mlp", None, "clean", "set"), strict=True)) for row in rows]
    return pa.Table.from_pylist(made, schema=pa.schema([(name, pa.string()) for name in columns]))


@pytest.mark.parametrize(
    ("levels", "dense"),
    [
        ('{"sparsity": 0.9, "init": "dense", "method.alpha": 0.3, "training.lr": 0.1}', "dense"),
        ('{"training.lr": 0.1, "regime": "clean"}', "dense"),
        ('{"training.lr": 0.2}', None),
        ("{}", None),  # whatever its learning rate is, it is no level
        ('{"training.lr": 0.1, "model": "mlp"}', None),
    ],
)
def test_the_levels_that_dense_has_are_equal(levels: str, dense: str | None) -> None:
    cells = cell_table(
        {"cell": "dense", "baseline": True, "levels": '{"training.lr": 0.1}'},
        {"cell": "sparse", "levels": levels},
    )
    assert counterparts(cells, trial_table()).get("sparse") == dense


def test_one_with_a_trial_goes_before_one_of_the_same_space() -> None:
    cells = cell_table(
        {"cell": "a", "baseline": True, "space_hash": "1"},
        {"cell": "b", "baseline": True, "space_hash": "2"},
        {"cell": "s", "space_hash": "2"},
    )
    both = trial_table(("a", "completed"), ("b", "completed"), ("s", "completed"))
    assert counterparts(cells, both)["s"] == "b"
    assert counterparts(cells, trial_table(("a", "completed"), ("b", "failed")))["s"] == "a"
    assert counterparts(cells, trial_table())["s"] == "b"


def test_cells_that_are_not_stored_are_known_by_their_trials() -> None:
    trials = trial_table(("dense", "completed"), ("s", "completed"))
    method = pa.array(["dense", "set"])
    trials = trials.set_column(trials.column_names.index("method"), "method", method)
    assert counterparts(cell_table(), trials) == {"s": "dense", "dense": "dense"}


@pytest.mark.parametrize("axis", ["method", "distribution", "sparsity", "init", "method.drop_fraction"])
def test_axes_that_a_dense_network_lacks(axis: str) -> None:
    assert is_sparsification(axis)
    assert shared_axes({axis: 1, "training.lr": 2}) == {"training.lr": 2}


@pytest.mark.parametrize("axis", ["regime", "model", "training.lr", "training.weight_decay"])
def test_axes_that_a_dense_network_has(axis: str) -> None:
    assert not is_sparsification(axis)
    assert shared_key({axis: 1, "sparsity": 0.9}) == shared_key({axis: 1})
    assert shared_key({axis: 1}) != shared_key({axis: 2})

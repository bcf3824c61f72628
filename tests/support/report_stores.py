"""Generated stores for the tests of the report: one with a known answer, and a large one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from results_rows import cell_row, epoch_row, trial_row

from hsl.space.axes import configuration
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace
from hsl.store.columns import TABLES
from hsl.store.rows import arrow_schema
from hsl.store.store import Store

SEEDS = (1, 2, 3, 4, 5)
NOISE = tuple(0.002 * NormalDist().inv_cdf((seed - 0.5) / len(SEEDS)) for seed in SEEDS)
"""What a seed adds to every accuracy."""

ACCURACY = "test_matched_accuracy"

LAYERS = {"conv1": 1.0, "block.conv2": 0.4, "fc": 0.1}

SPACE = """
name: known
objective: matched
regimes: {easy: {}, hard: {}}
"""


def known_store(path: Path, gain: float = 0.04, regimes: tuple[str, ...] = ("easy", "hard")) -> Store:
    """Two regimes, two sparsities: in the second regime set is better than dense by `gain`, elsewhere nothing is."""
    store = Store(path)
    store.write_space(SPACE)
    for regime in regimes:
        bonus = gain if regime == regimes[-1] else 0.0
        store.append(
            "cells",
            [cell_row(cell=f"{regime}/dense", regime=regime, levels={"regime": regime}, baseline=True)],
        )
        store.append("trials", list(_cell(regime, None, 0.80)))
        for sparsity in (0.8, 0.9):
            levels = {"regime": regime, "sparsity": sparsity}
            store.append("cells", [cell_row(cell=f"{regime}/{sparsity}", regime=regime, levels=levels)])
            store.append("trials", list(_cell(regime, sparsity, 0.80 + bonus)))
    trials = store.read("trials", ["trial_id", "cell", "stage", "epochs", "objective", ACCURACY]).to_pylist()
    store.append("epochs", [row for trial in trials if trial["stage"] == "search" for row in _curve(trial)])
    store.append(
        "evaluations", [row for trial in trials if trial["stage"] == "confirm" for row in _deciles(trial)]
    )
    return store


ANSWERABLE = """
name: known
dataset: digits
model: mlp
regimes: {easy: {}, hard: {label_noise: {rate: 0.2}}}
factors: {regime: [easy, hard], sparsity: [0.8, 0.9]}
search:
  method: {choice: [static, set, rigl]}
  distribution: {choice: [erk]}
  training.lr: {loguniform: [0.01, 1.0]}
baseline: dense
budget: {configurations_per_cell: 6}
confirm: {top: 1, seeds: 5}
"""


def answerable_store(path: Path) -> Store:
    """The store of `known_store` with whatever any command asks for: a whole space, configurations, a session."""
    known_store(path)
    store = Store(path)  # whose rows are newer
    store.write_space(ANSWERABLE)
    space = make_space(yaml.safe_load(ANSWERABLE))
    store.append_table("trials", _configured(store.read("trials"), space))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    session = {"session": "s", "started_at": now, "updated_at": now, "epochs": 9.0, "wall_time": 60.0}
    store.append("sessions", [session])
    for table in TABLES:
        store.compact(table)
    return store


def _configured(trials: pa.Table, space: SearchSpace) -> pa.Table:
    """The trials with their configurations as a sweep stores them."""
    rows = trials.to_pylist()
    for row in rows:
        values = {**json.loads(row["parameters"]), "regime": row["regime"], "sparsity": row["sparsity"]}
        made = configuration(space, values)
        row["configuration"] = json.dumps(made.model_dump(mode="json", exclude_defaults=True))
    return pa.Table.from_pylist(rows, schema=trials.schema)


def _cell(regime: str, sparsity: float | None, accuracy: float) -> Iterator[dict[str, object]]:
    """A search of static, set and rigl (stopped early), and five fresh seeds of the best, set."""
    cell = f"{regime}/{sparsity or 'dense'}"
    methods = ("static", "set", "rigl") if sparsity else ("dense",)
    for place, method in enumerate(methods):
        for index, lr in enumerate((0.03, 0.1, 0.3, 0.05, 0.2, 0.08)):
            number = f"{cell}/{method}/{index}"
            worse = 0.01 * abs(index - 1) + 0.02 * (method == "static")
            stopped = method == "rigl"
            yield _trial(
                number, cell, regime, sparsity, method, lr,
                configuration_id=number,
                objective=accuracy - worse - 0.1 * stopped,
                status="stopped" if stopped else "completed",
                reason="early stopping" if stopped else None,
                epochs=4 if stopped else 12,
                test_matched_accuracy=None if stopped else accuracy - worse,
                training_flops=(1.0 - (sparsity or 0.0)) * (1 + place),
            )  # fmt: skip
    winner = f"{cell}/{'set' if sparsity else 'dense'}/1"
    for seed, noise in zip(SEEDS, NOISE, strict=True):
        yield _trial(
            f"{winner}/seed{seed}", cell, regime, sparsity, "set" if sparsity else "dense", 0.1,
            configuration_id=winner, stage="confirm", seed=seed, objective=accuracy + noise,
            test_matched_accuracy=accuracy + noise * (1.0 + 0.1 * (sparsity or 0.0)),
            training_flops=(1.0 - (sparsity or 0.0)) * (2 if sparsity else 1),
        )  # fmt: skip


def _trial(
    name: str, cell: str, regime: str, sparsity: float | None, method: str, lr: float, **given: object
) -> dict[str, object]:
    distribution = "erk" if sparsity else None
    densities = {layer: max(density * (1 - (sparsity or 0.0)), 0.01) for layer, density in LAYERS.items()}
    parameters = {"training.lr": lr} | ({"method": method, "distribution": "erk"} if sparsity else {})
    row = trial_row(
        trial_id=name, cell=cell, regime=regime, sparsity=sparsity or 0.0, method=method, distribution=distribution,
        parameters=parameters, configuration={}, epochs=12, budget_epochs=12, exempt=True,
        val_matched_accuracy=given["objective"], layer_densities=json.dumps(densities),
        provenance={"git_sha": "abc123", "versions": {"hsl": "0.1.0"}, "command": "hsl sweep known.yaml"},
    )  # fmt: skip
    return row | given


def _curve(trial: dict) -> Iterator[dict[str, object]]:
    for epoch in range(1, trial["epochs"] + 1):
        value = trial["objective"] * (1 - 0.5**epoch)
        yield epoch_row(
            trial_id=trial["trial_id"], cell=trial["cell"], epoch=epoch, epochs_at_target=epoch,
            val_matched_accuracy=value, rung=4 if epoch == 4 else None, cutoff=0.73 if epoch == 4 else None,
        )  # fmt: skip


def _deciles(trial: dict) -> Iterator[dict[str, object]]:
    for decile in range(10):
        yield {
            "trial_id": trial["trial_id"], "cell": trial["cell"], "checkpoint": "final", "epoch": 12,
            "split": "test", "measure": "decile", "detail": str(decile),
            "accuracy": trial[ACCURACY] - 0.03 * decile, "samples": 40, "parameters": {"by": "el2n"},
        }  # fmt: skip


def large_store(path: Path, regimes: int = 20, per_cell: int = 500, epochs: int = 20) -> Store:
    """A store of ``regimes * 5 * per_cell`` trials with `epochs` epochs each, written as one file per table."""
    generator = np.random.default_rng(0)
    sparsities = np.array([0.0, 0.5, 0.8, 0.9, 0.95])
    methods = np.array(["static", "snip", "set", "rigl", "gmp", "omp", "lth"])
    n = regimes * len(sparsities) * per_cell
    regime, sparsity = np.arange(n) % regimes, sparsities[np.arange(n) // regimes % len(sparsities)]
    cell = np.array([f"r{r:02d}/{s or 'dense'}" for r, s in zip(regime, sparsity, strict=True)])
    method = np.where(sparsity > 0, methods[generator.integers(0, 7, n)], "dense")
    lr = np.exp(generator.uniform(-4, -1, n)).round(5)
    accuracy = (
        0.9 - 0.02 * regime / regimes - 0.1 * (np.log(lr) + 2.5) ** 2 / 6 + generator.normal(0, 0.01, n)
    )
    confirm = (np.arange(n) // (regimes * len(sparsities))) % 10 == 0
    stopped = ~confirm & (generator.random(n) < 0.4)
    configuration = np.arange(n) // (regimes * len(sparsities) * 10) * 1000 + np.arange(n) % (
        regimes * len(sparsities)
    )
    density = [
        json.dumps({f"layer{i}": round(float(1 - s) / (i + 1), 4) for i in range(20)}) for s in sparsities
    ]
    parameters = [
        json.dumps(
            {"training.lr": float(x)} | ({"method": str(m), "distribution": "erk"} if m != "dense" else {})
        )
        for x, m in zip(lr, method, strict=True)
    ]
    trials = {
        "sequence": np.arange(n),
        "trial_id": [f"{i:016x}" for i in range(n)],
        "configuration_id": np.where(confirm, np.char.mod("c%d", configuration), np.char.mod("s%d", np.arange(n))),
        "cell": cell,
        "stage": np.where(confirm, "confirm", "search"),
        "seed": np.where(confirm, 1 + np.arange(n) // (regimes * len(sparsities) * 10) % 5, 0),
        "dataset": ["d"] * n, "model": ["m"] * n,
        "regime": [f"r{r:02d}" for r in regime],
        "method": method,
        "distribution": pa.array(np.where(sparsity > 0, "erk", ""), mask=sparsity == 0),
        "sparsity": sparsity,
        "parameters": parameters,
        "configuration": ["{}"] * n,
        "status": np.where(stopped, "stopped", "completed"),
        "epochs": np.where(stopped, epochs // 4, epochs),
        "budget_epochs": np.full(n, epochs),
        "objective": accuracy,
        "val_matched_accuracy": accuracy,
        "test_matched_accuracy": accuracy + generator.normal(0, 0.005, n),
        "layer_densities": [density[list(sparsities).index(s)] for s in sparsity],
        "seconds": generator.uniform(1, 9, n),
        "training_flops": np.maximum(1 - sparsity, 0.05) * generator.uniform(1, 1.5, n),
        "exempt": np.zeros(n, bool),
        "attempts": np.ones(n, int),
    }  # fmt: skip
    place(path, "trials", trials)
    number = np.tile(np.arange(1, epochs + 1), n)
    rows = {
        "sequence": np.arange(n * epochs),
        "trial_id": np.repeat(np.array(trials["trial_id"]), epochs),
        "cell": np.repeat(cell, epochs),
        "epoch": number,
        "epochs_at_target": number,
        "val_matched_accuracy": np.repeat(accuracy, epochs) * (1 - 0.6**number),
    }
    place(path, "epochs", rows)
    names = list(dict.fromkeys(cell))
    cells = [
        cell_row(cell=name, regime=name.split("/")[0], levels=_levels(name), baseline=name.endswith("dense"))
        for name in names
    ]
    store = Store(path)
    store.append("cells", cells)
    return store


def _levels(name: str) -> dict[str, object]:
    regime, level = name.split("/")
    return {"regime": regime} | ({} if level == "dense" else {"sparsity": float(level)})


def place(path: Path, table: str, columns: dict[str, object]) -> None:
    """One file of a table, written past the checks of every row, which take minutes for a million."""
    wanted = arrow_schema(table)
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    arrays = [
        pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(n, field.type)
        for field in wanted
    ]
    folder = path / table
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(arrays, schema=wanted), folder / f"part-{uuid4().hex}-1.parquet")

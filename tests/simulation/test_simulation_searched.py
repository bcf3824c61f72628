"""Samplers that choose among recorded configurations, as a sweep would with any number of workers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hsl.cli import app
from hsl.errors import HslError, SpaceError
from hsl.planning.plan import Plan, make_plan
from hsl.search.study import CellStudy
from hsl.simulation.bias import bias_rows
from hsl.simulation.comparison import Policy, bias_table, policy, replayed, replays, table
from hsl.simulation.curves import Curve, by_cell, read_curves
from hsl.simulation.proposals import Proposed
from hsl.simulation.replayed import Replay
from hsl.simulation.searched import Searched
from hsl.space.load import make_space
from hsl.space.policies import policy_of
from hsl.space.schema import SearchSpace
from hsl.space.stored import space_text
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "pool",
    "dataset": "digits",
    "model": "mlp",
    "training": {"epochs": 9},
    "regimes": {"clean": {}, "noisy": {"label_noise": {"rate": 0.2}}},
    "factors": {"regime": ["clean", "noisy"], "sparsity": [0.8, 0.9]},
    "search": {
        "method": {"choice": ["static", "set", "rigl"]},
        "training.lr": {"loguniform": [0.02, 0.5]},
    },
    "budget": {"configurations_per_cell": 12},
}
SAMPLERS = ("random", "tpe", "transfer", "{name: gp, n_startup_trials: 3}", "cmaes")


def plan_of(**content: Any) -> Plan:
    return make_plan(make_space({**SPACE, "sampler": "random", **content}))


def recorded(plan: Plan, seed: int = 0) -> dict[str, list[Curve]]:
    """Random configurations of every cell; the best learning rate is 0.1, sparse networks are better with rigl."""
    rng = np.random.default_rng(seed)
    curves = []
    for cell in plan.cells:
        study = CellStudy(plan.space, cell)
        while proposal := study.ask():
            rate, bonus = proposal.values["training.lr"], 0.02 * (proposal.values.get("method") == "rigl")
            final = 0.9 - 0.1 * math.log10(rate / 0.1) ** 2 + bonus
            values = final * (1 - np.exp(-np.arange(1, 10) / 2)) + rng.normal(0, 0.002, 9)
            rows = tuple(
                {"epoch": e, "epochs_at_target": e, "objective": v} for e, v in enumerate(values.tolist(), 1)
            )
            seconds = tuple((float(rng.random() + 0.5) * np.arange(1, 10)).tolist())
            name = f"{cell.name} {len(curves)}"
            regime, dense = str(cell.levels["regime"]), not cell.example.sparsity
            curves.append(Curve(name, cell.name, rows, seconds, proposal.values, regime, dense, final))
    return by_cell(curves)


class Listening:
    """Notes what is proposed."""

    def __init__(self, inner: Searched) -> None:
        self._inner = inner
        self.made: list[Proposed] = []

    def is_open(self) -> Mapping[str, bool]:
        return self._inner.is_open()

    def next(self) -> Proposed | None:
        found = self._inner.next()
        self.made += [found] if found else []
        return found

    def end(self, *ended: Any) -> None:
        self._inner.end(*ended)


@pytest.fixture(scope="module")
def pool() -> dict[str, list[Curve]]:
    return recorded(plan_of())


def space_of(text: str) -> SearchSpace:
    return policy_of(text, plan_of().space)


def proposed(text: str, pool: Mapping[str, Sequence[Curve]], workers: int) -> tuple[list[Proposed], int]:
    asked = policy("p", space_of(text), pool)
    heard = Listening(Searched(make_plan(asked.space), pool))
    return heard.made, Replay(asked.make(0), heard, workers).run().epochs


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_takes_what_was_recorded_once(sampler: str, pool: dict[str, list[Curve]]) -> None:
    text = f"{{sampler: {sampler}, early_stopping: none, budget: {{configurations_per_cell: 5}}}}"
    made, epochs = proposed(text, pool, 2)
    assert epochs == 6 * 5 * 9
    assert {name: len(own) for name, own in by_cell(one.curve for one in made).items()} == dict.fromkeys(
        pool, 5
    )
    assert len({one.curve.trial_id for one in made}) == len(made)


@pytest.mark.parametrize(
    "stopping", ["none", "{grace: 2, reduction_factor: 2, min_correlation: -1}", "stratified"]
)
def test_any_number_of_workers_trains_the_same(stopping: str, pool: dict[str, list[Curve]]) -> None:
    text = f"{{sampler: transfer, lag: 6, early_stopping: {stopping}}}"
    one = proposed(text, pool, 1)
    assert len(one[0]) == 72
    for workers in (2, 6, 16):
        assert proposed(text, pool, workers) == one
    assert (one[1] == 72 * 9) is (stopping == "none") or stopping == "stratified"


def test_what_learns_finds_the_best_with_fewer(pool: dict[str, list[Curve]]) -> None:
    def asked(sampler: str) -> Policy:
        text = f"{{sampler: {sampler}, budget: {{configurations_per_cell: 5}}}}"
        return policy("p", space_of(text), pool)

    found = {
        sampler: [replayed(asked(sampler), pool, 2, seed) for seed in range(6)]
        for sampler in ("random", "transfer")
    }
    lost = {
        name: np.mean(
            [max(c.final for c in pool[cell]) - best for run in runs for cell, best in run.best.items()]
        )
        for name, runs in found.items()
    }
    assert lost["transfer"] < 0.6 * lost["random"]


def test_bias_is_what_dense_loses_more(pool: dict[str, list[Curve]]) -> None:
    """By hand: dense cells end with their worst, sparse ones with their best."""
    runs = []
    for regret in (0, 1, 2):
        chosen = {
            cell: sorted(own, key=lambda c: c.final)[regret if own[0].is_dense else -1]
            for cell, own in pool.items()
        }
        run = replayed(policy("p", plan_of().space, pool), pool, 2, 0)
        runs.append(type(run)(run.epochs, run.seconds, run.finished, chosen))
    rows = {row["regime"]: row for row in bias_rows("p", runs, pool)}
    assert set(rows) == {"clean", "noisy"}
    for regime, row in rows.items():
        (dense,) = [own for own in pool.values() if own[0].is_dense and own[0].regime == regime]
        finals = sorted(c.final for c in dense)
        assert row["bias"] == pytest.approx(finals[-1] - np.mean(finals[:3]))
        assert row["bias_low"] < row["bias"] < row["bias_high"]
        assert row["true_bias"] > 0


def test_a_rule_that_stops_none_and_a_search_of_all_have_no_bias(pool: dict[str, list[Curve]]) -> None:
    runs = replays(pool, [None], 2, 3)
    row = bias_table({"none": runs["none"]}, pool).to_pylist()[0]
    assert (row["bias"], row["true_bias"]) == (0, 0)
    shown = table({"none": runs["none"]}, pool).to_pylist()[0]
    assert (shown["epochs"], shown["true_regret"]) == (1, 0)


def test_cells_without_a_recorded_configuration_are_named(pool: dict[str, list[Curve]]) -> None:
    with pytest.raises(HslError, match=r"possible in the cell 'clean/0\.8'"):
        Searched(plan_of(), {**pool, "clean/0.8": []})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{dataset: cifar10}", "not part of a policy"),
        ("{samplr: tpe}", "did you mean 'sampler'"),
        ("{sampler: tpee}", "unknown"),
        ("tpe", "give a mapping"),
        ("{", "not valid YAML"),
    ],
)
def test_policies_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        space_of(text)


def test_a_policy_keeps_what_it_does_not_name() -> None:
    found = space_of("{budget: {configurations_per_cell: 3}, lag: 5}")
    before = plan_of().space
    assert found.budget.configurations_per_cell == 3
    assert found.model_copy(update={"budget": before.budget, "lag": None}) == before


def test_the_command_searches_a_store_again(tmp_path: Path, pool: dict[str, list[Curve]]) -> None:
    store = str(stored(tmp_path / "store", pool))
    curves, _ = read_curves(Store(store))
    assert by_cell(curves).keys() == pool.keys()
    assert {c.kind for c in curves} == {"clean, dense", "clean, sparse", "noisy, dense", "noisy, sparse"}
    text = "{sampler: transfer, early_stopping: none, budget: {configurations_per_cell: 4}}"
    arguments = ["replay", store, "--policy", text, "--orders", "3", "--format", "json"]
    rows = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert rows[0]["setting"] == text
    assert rows[0]["epochs"] == pytest.approx(1 / 3)
    assert rows[0]["true_regret_low"] <= rows[0]["true_regret"] <= rows[0]["true_regret_high"]
    biases = json.loads(CliRunner().invoke(app, [*arguments, "--bias"]).stdout)
    assert {row["regime"] for row in biases} == {"clean", "noisy"}


def stored(folder: Path, pool: Mapping[str, Sequence[Curve]]) -> Path:
    """The curves as a store; the winner of every cell was confirmed once."""
    store = Store(folder)
    store.write_space(space_text(plan_of().space))
    epochs, trials = [], []
    for curve in (curve for own in pool.values() for curve in own):
        key = {"trial_id": curve.trial_id, "cell": curve.cell}
        for row, seconds in zip(curve.rows, curve.seconds, strict=True):
            known = {
                "epoch": row["epoch"],
                "epochs_at_target": row["epoch"],
                "seconds": seconds / row["epoch"],
            }
            epochs.append(key | known | {"sequence": len(epochs), "val_matched_accuracy": row["objective"]})
        trial = {
            "stage": "search", "seed": 0, "dataset": "digits", "model": "mlp", "regime": curve.regime,
            "method": curve.parameters.get("method", "dense"), "sparsity": 0.0 if curve.is_dense else 0.9,
            "parameters": curve.parameters, "configuration": {}, "budget_epochs": 9, "exempt": False, "attempts": 1,
            "sequence": len(epochs), "configuration_id": curve.trial_id, "status": "completed", "epochs": 9,
            "test_matched_accuracy": curve.worth,
        }  # fmt: skip
        trials.append(key | trial)
    store.append("epochs", epochs)
    store.append("trials", trials)
    return folder


def test_fresh_seeds_decide_what_a_configuration_is_worth(
    tmp_path: Path, pool: dict[str, list[Curve]]
) -> None:
    store = Store(stored(tmp_path / "store", pool))
    first = store.read("trials").to_pylist()[0]
    for seed, accuracy in ((1, 0.25), (2, 0.75)):
        again = {
            "trial_id": f"fresh{seed}",
            "stage": "confirm",
            "seed": seed,
            "test_matched_accuracy": accuracy,
        }
        store.append("trials", [first | again | {"sequence": 10**6 + seed}])
    worth = {curve.trial_id: curve.worth for curve in read_curves(store)[0]}
    expected = {curve.trial_id: curve.worth for own in pool.values() for curve in own}
    assert worth == {**expected, first["trial_id"]: 0.5}

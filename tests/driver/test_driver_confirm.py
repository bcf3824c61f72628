"""How many seeds a confirmation needs, by what has ended so far."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hsl.driver.confirm import confirm_jobs, winners
from hsl.driver.jobs import Jobs
from hsl.errors import SpaceError
from hsl.planning.plan import Plan, make_plan
from hsl.results.sequential import confidence_of_looks
from hsl.space.load import make_space
from hsl.store.layout import Library
from hsl.training.configuration import Configuration

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "regimes": {"clean": {}, "few": {"keep": {"fraction": 0.25}}},
    "factors": {"regime": ["clean", "few"], "sparsity": [0.9]},
    "method": "set",
    "confirm": {"seeds": 8, "min_seeds": 3, "stop": {"clear": True}},
}


def plan_of(**content: Any) -> Plan:
    return make_plan(make_space({**SPACE, **content}))


def search_rows(plan: Plan) -> list[dict[str, Any]]:
    """One completed configuration of each cell."""
    rows = []
    for cell in plan.cells:
        method = "dense" if cell.baseline else "set"
        content = {"dataset": "digits", "model": {"name": "mlp"}, "method": method}
        regime = {"keep": {"fraction": 0.25}} if cell.levels["regime"] == "few" else {}
        made = Configuration.model_validate(
            {**content, "regime": regime, **({} if cell.baseline else {"sparsity": 0.9})}
        )
        rows.append(
            {
                "cell": cell.name,
                "status": "completed",
                "objective": 0.9,
                "configuration_id": made.id,
                "configuration": json.dumps(made.stored()),
                "parameters": "{}",
            }
        )
    return rows


def confirm(plan: Plan, accuracy: Any) -> tuple[dict[str, int], int]:
    """Train whatever is asked for until nothing is; seeds of each cell, and the number of rounds."""
    rows, confirmed, rounds = search_rows(plan), [], 0
    jobs = Jobs(plan, Library("/nowhere"))
    while True:
        ended = {row["trial_id"] for row in confirmed}
        due = [j for j in confirm_jobs(plan, rows, jobs, confirmed) if j.trial_id not in ended]
        if not due:
            break
        rounds += 1
        for job in due:
            own = job.identity
            value = accuracy(own.cell, own.seed)
            row = {"trial_id": own.trial_id, "cell": own.cell, "configuration_id": own.configuration.id}
            status = "failed" if value is None else "completed"
            confirmed.append({**row, "seed": own.seed, "objective": value, "status": status})
    counts: dict[str, int] = {}
    for row in confirmed:
        counts[row["cell"]] = counts.get(row["cell"], 0) + 1
    return counts, rounds


def noise(seed: int) -> float:
    """The same for both sides of a pair, so that pairing takes it out."""
    return 0.2 * ((seed * 7919) % 11) / 11


def test_a_clear_winner_stops_and_an_unclear_one_takes_all_seeds() -> None:
    def accuracy(cell: str, seed: int) -> float:
        lead = 0.05 + 0.001 * (seed % 3) if cell == "clean/0.9" else 0.01 * (-1) ** seed
        return 0.5 + noise(seed) + (0.0 if cell.endswith("dense") else lead)

    counts, rounds = confirm(plan_of(), accuracy)
    assert counts == {"clean/dense": 3, "clean/0.9": 3, "few/dense": 8, "few/0.9": 8}
    assert rounds == 6


def test_a_narrow_interval_is_enough() -> None:
    def accuracy(cell: str, seed: int) -> float:
        return 0.5 + noise(seed) * (0 if cell.startswith("clean") else cell.endswith("dense"))

    plan = plan_of(confirm={"seeds": 6, "min_seeds": 4, "stop": {"width": 0.01}})
    counts, _ = confirm(plan, accuracy)
    assert counts == {"clean/dense": 4, "clean/0.9": 4, "few/dense": 6, "few/0.9": 6}


def test_failed_seeds_count_as_trained_but_say_nothing() -> None:
    counts, _ = confirm(plan_of(), lambda cell, seed: None if "0.9" in cell else 0.5)
    assert set(counts.values()) == {8}


def test_without_a_stop_all_seeds_are_trained_at_once() -> None:
    counts, rounds = confirm(plan_of(confirm={"seeds": 5}), lambda cell, seed: 0.5)
    assert (set(counts.values()), rounds) == ({5}, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"confirm": {"seeds": 3, "stop": {"clear": True}}}, "confirm.seeds"),
        ({"confirm": {"seeds": 8, "stop": {}}}, "width"),
        ({"confirm": {"seeds": 8, "stop": {"clear": True}}, "baseline": None}, "baseline"),
        ({"confirm": {"seeds": 8, "min_seeds": 2, "stop": {"clear": True}}}, "min_seeds"),
    ],
    ids=str,
)
def test_stops_that_mean_nothing_are_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        plan_of(**content)


def test_the_looks_are_those_that_the_level_was_made_for() -> None:
    assert plan_of().space.confirm.looks == (3, 4, 5, 6, 7, 8)
    assert plan_of(confirm={"seeds": 5}).space.confirm.looks == (5,)
    assert 0.95 < confidence_of_looks((3, 4, 5, 6, 7, 8)) < 1 - 0.05 / 6


def test_with_several_objectives_the_front_comes_first() -> None:
    rows = [
        {"cell": "c", "status": "completed", "objective": o, "training_flops": f, "configuration_id": i}
        for i, o, f in [("a", 0.8, 0.1), ("b", 0.9, 0.5), ("c", 0.85, 0.6), ("d", 0.7, None), ("e", 0.9, 0.6)]
    ]
    found = [row["configuration_id"] for row in winners(rows, "c", 5, ["training_flops"])]
    assert found == ["b", "a", "e", "c"]

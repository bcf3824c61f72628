"""Iterative magnitude pruning in a search: its parents are its own earlier rounds, down to a dense network."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsl.planning.plan import Plan, ancestors, make_plan
from hsl.prepare.inputs import Prerequisites
from hsl.prepare.parents import ParentTask, make_here, missing
from hsl.prepare.workers import waves
from hsl.space.load import make_space
from hsl.sparsity.methods.iterative import round_before, rounds_of
from hsl.store.layout import Library
from hsl.training import checkpoint
from hsl.trial.alone import only_configuration, train_once

SPACE = {
    "name": "tickets",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [32]},
    "training": {"epochs": 2, "batch_size": 64},
    "factors": {"sparsity": [0.9]},
    "method": "imp",
}


def plan_of(**changes: object) -> Plan:
    return make_plan(make_space({**SPACE, **changes}))


@pytest.mark.parametrize(
    ("sparsity", "rounds"), [(1 - 0.8**5, 5), (1 - 0.8**10, 10), (0.8, 8), (0.9, 11), (0.1, 1)]
)
def test_published_number_of_rounds(sparsity: float, rounds: int) -> None:
    assert rounds_of(sparsity, 0) == rounds


@given(st.floats(0.01, 0.99), st.integers(2, 20))
def test_densities_fall_by_the_same_factor(sparsity: float, rounds: int) -> None:
    before = round_before(sparsity, {"rounds": rounds})
    assert before is not None
    assert before[1] == rounds - 1
    assert (1 - before[0]) ** rounds == pytest.approx((1 - sparsity) ** (rounds - 1))


def test_a_plan_has_every_round_as_a_parent() -> None:
    parents = plan_of(search={"method.rounds": {"choice": [3]}}).parents
    assert [parent.method for parent in parents] == ["dense", "imp", "imp"]
    assert [parent.sparsity for parent in parents] == pytest.approx(
        [0, 1 - 0.1 ** (1 / 3), 1 - 0.1 ** (2 / 3)]
    )


def test_one_round_is_a_lottery_ticket_of_a_dense_parent() -> None:
    assert [parent.method for parent in plan_of(search={"method.rounds": {"choice": [1]}}).parents] == [
        "dense"
    ]


def test_tuned_rounds_are_left_out_with_the_reason() -> None:
    plan = plan_of(
        method=None, search={"method": {"choice": ["imp", "lth"]}, "method.rounds": {"int": [1, 5]}}
    )
    assert {method for cell in plan.cells for method in cell.distributions} == {"dense", "lth"}
    assert any("method.rounds is tuned" in omission.reason for omission in plan.omissions)


def test_rounds_are_made_one_after_the_other(tmp_path: Path) -> None:
    plan = plan_of(search={"method.rounds": {"choice": [3]}})
    tasks = list(Prerequisites(plan, Library(str(tmp_path))).of_search())
    assert [[task.configuration.method for task in wave] for wave in waves(reversed(tasks))] == [
        ["dense"],
        ["imp"],
        ["imp"],
    ]


def test_each_round_prunes_the_survivors_of_the_last_to_the_exact_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    space = make_space({**SPACE, "search": {"method.rounds": {"choice": [3]}}})
    chosen = only_configuration(space)
    library = Library(str(tmp_path / "prerequisites"))
    trainer = train_once(space, chosen, 0, "cpu", lambda row: None)
    states = [checkpoint.read(library.parent(parent.trial_id(0))) for parent in ancestors(chosen, space)[1:]]
    masks = [
        {name: value for name, value in state["model"].items() if name.endswith("weight_mask")}
        for state in (*states, {"model": trainer.model.state_dict()})
        if state
    ]
    weights = sum(mask.numel() for mask in masks[0].values())
    counts = [sum(int(mask.sum()) for mask in network.values()) for network in masks]
    assert counts == [round(weights * 0.1 ** (k / 3)) for k in (1, 2, 3)]
    for before, after in pairwise(masks):
        assert all(bool((after[name] <= before[name]).all()) for name in before)
    dense = trainer.meter.relative
    assert dense == pytest.approx(1 + sum(0.1 ** (k / 3) for k in (1, 2, 3)), rel=0.15)


def test_the_ratios_of_imp_are_those_of_its_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    found = {}
    for method in ("imp", "imp_ratios"):
        space = make_space({**SPACE, "method": method, "search": {"method.rounds": {"choice": [2]}}})
        trainer = train_once(space, only_configuration(space), 0, "cpu", lambda row: None)
        found[method] = trainer.sparsifier
    assert found["imp"].layer_densities() == found["imp_ratios"].layer_densities()
    masks = [network._layers.values() for network in found.values()]
    positions = [torch.cat([layer.weight_mask.flatten() for layer in layers]) for layers in masks]
    assert not torch.equal(*positions)


def test_only_missing_rounds_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    tasks = list(
        Prerequisites(plan_of(search={"method.rounds": {"choice": [2]}}), Library(str(tmp_path))).of_search()
    )
    make_here(tasks, "cpu")
    Path(tasks[-1].target).unlink()
    (left,) = missing(tasks)
    assert isinstance(left, ParentTask)
    assert left.configuration.method == "imp"

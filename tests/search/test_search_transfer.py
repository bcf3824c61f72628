"""The sampler across cells: what one cell shows counts in all others, failures are avoided, methods are spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_rows import cell_row, trial_row

from hsl.errors import SpaceError, StoreError
from hsl.planning.plan import Plan, make_plan
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.search.transfer import Encoding
from hsl.search.turns import Known, Turns, shared_model
from hsl.space.domain import Domain
from hsl.space.load import make_space
from hsl.store.outcomes import Status
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "regimes": {"clean": {}, "few": {"keep": {"fraction": 0.25}}, "noisy": {"label_noise": {"rate": 0.3}}},
    "factors": {"regime": ["clean", "few", "noisy"], "sparsity": [0.5, 0.8, 0.9]},
    "search": {
        "method": {"choice": ["static", "set", "rigl"]},
        "training.lr": {"loguniform": [0.001, 10.0]},
        "method.drop_fraction": {"uniform": [0.1, 0.5]},
    },
    "baseline": None,
    "budget": {"configurations_per_cell": 8},
}
Truth = Callable[[str, Proposal], Outcome]


def searched(plan: Plan, truth: Truth) -> dict[str, list[Proposal]]:
    """All proposals of a search in which each trial ends before the next begins."""
    model = shared_model(plan)
    turns = Turns(plan, [CellStudy(plan.space, cell, model) for cell in plan.cells])
    found: dict[str, list[Proposal]] = {cell.name: [] for cell in plan.cells}
    while turn := turns.propose():
        name, proposal = turn[0].cell.name, turn[1]
        found[name].append(proposal)
        turns.end(name, proposal.configuration.id, truth(name, proposal))
    assert turns.is_over
    return found


def rate(proposal: Proposal) -> float:
    return proposal.configuration.training.lr


def smooth(cell: str, proposal: Proposal) -> Outcome:
    """Best at a learning rate of 0.1 in every cell, at very different levels; rigl is a little better."""
    level = {"clean": 0.9, "few": 0.7, "noisy": 0.5}[cell.split("/", maxsplit=1)[0]]
    bonus = 0.02 * (proposal.configuration.method == "rigl")
    return Outcome(Status.COMPLETED, 30, level + bonus - 0.05 * abs(np.log10(rate(proposal)) + 1))


def regrets(sampler: str, seeds: range) -> list[float]:
    found = []
    for seed in seeds:
        proposals = searched(make_plan(make_space({**SPACE, "sampler": sampler, "seed": seed})), smooth)
        best = [max(smooth(cell, one).objective or 0.0 for one in own) for cell, own in proposals.items()]
        ideal = [{"clean": 0.92, "few": 0.72, "noisy": 0.52}[cell.split("/")[0]] for cell in proposals]
        found.append(float(np.mean(np.subtract(ideal, best))))
    return found


def test_cells_learn_from_each_other() -> None:
    """Eight configurations of a cell alone are too few to find anything; nine such cells together are not."""
    across, alone = regrets("transfer", range(3)), regrets("random", range(3))
    assert np.mean(across) < 0.6 * np.mean(alone)


def stored(folder: Path, found: dict[str, list[Proposal]], plan: Plan) -> str:
    """A store of a search, its cells in the words of the space."""
    store, levels = Store(folder), {cell.name: cell.levels for cell in plan.cells}
    rows = [
        trial_row(
            trial_id=proposal.configuration.id, cell=cell, sequence=proposal.turn, stage="search", status="completed",
            regime=levels[cell]["regime"], sparsity=levels[cell]["sparsity"], method=proposal.values["method"],
            parameters=proposal.values, objective=smooth(cell, proposal).objective,
        )
        for cell, own in found.items()
        for proposal in own
    ]  # fmt: skip
    store.append("trials", rows)
    store.append("cells", [cell_row(cell=name, levels=own) for name, own in levels.items()])
    return str(folder)


def test_earlier_stores_teach_the_first_proposals(tmp_path: Path) -> None:
    earlier = make_plan(make_space({**SPACE, "sampler": "random"}))
    uri = stored(tmp_path / "earlier", searched(earlier, smooth), earlier)
    short = {**SPACE, "sampler": "transfer", "seed": 5, "budget": {"configurations_per_cell": 2}}

    def regret(**content: Any) -> float:
        found = searched(make_plan(make_space({**short, **content})), smooth)
        return float(np.mean([min(abs(np.log10(rate(p)) + 1) for p in own) for own in found.values()]))

    assert regret(learn_from=[uri]) < 0.4 * regret()


def test_a_sampler_that_learns_from_no_other_store_says_so() -> None:
    with pytest.raises(
        SpaceError, match="sampler tpe does not learn from other stores; use sampler: transfer"
    ):
        make_space({**SPACE, "learn_from": ["runs/digits"]})


def test_a_store_to_learn_from_that_is_none_is_named(tmp_path: Path) -> None:
    space = make_space({**SPACE, "sampler": "transfer", "learn_from": [str(tmp_path / "none")]})
    with pytest.raises(StoreError, match="none"):
        shared_model(make_plan(space))


def test_configurations_that_fail_are_avoided() -> None:
    """Above 0.5 every trial fails: a third of the range of the learning rate."""

    def truth(cell: str, proposal: Proposal) -> Outcome:
        return Outcome(Status.FAILED, 1, None) if rate(proposal) > 0.5 else smooth(cell, proposal)

    plan = make_plan(make_space({**SPACE, "sampler": "transfer"}))
    proposals = [one for own in searched(plan, truth).values() for one in sorted(own, key=lambda p: p.turn)]
    late = [one for one in proposals if one.turn >= 2 * len(plan.cells)]
    assert sum(rate(one) > 0.5 for one in late) <= 0.1 * len(late)


def test_the_first_configurations_are_spread_over_methods() -> None:
    plan = make_plan(make_space({**SPACE, "sampler": "transfer"}))
    found = searched(plan, smooth)
    for regime in ("clean", "few", "noisy"):
        first = [
            one.configuration.method
            for cell, own in found.items()
            if cell.startswith(f"{regime}/")
            for one in own[:2]
        ]
        assert sorted(Counter(first).values()) == [2, 2, 2]


def test_sampler_and_candidates_are_those_of_the_space() -> None:
    plan = make_plan(make_space({**SPACE, "sampler": {"name": "transfer", "candidates": 2, "first": 1}}))
    assert {one.source for own in searched(plan, smooth).values() for one in own} == {"transfer"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"regime": "a", "sparsity": 0.5, "lr": 0.1}, [1.0, 0.0, 0.1, 0.5]),
        ({"regime": "b", "sparsity": 0.9}, [0.0, 1.0, -1.0, 0.9]),
    ],
)
def test_choices_become_columns_and_numbers_stay(values: dict[str, Any], expected: list[float]) -> None:
    cells = [{"regime": "a", "sparsity": 0.5}, {"regime": "b", "sparsity": 0.9}]
    encode = Encoding(cells, [{"lr": Domain(loguniform=(0.01, 1.0))}])
    found = dict(zip([axis for axis, _ in encode._columns], encode(values), strict=False))
    assert sorted(encode(values)) == sorted(expected)
    assert found["sparsity"] == values["sparsity"]


def test_a_cell_that_has_enough_proposes_nothing_more() -> None:
    """Where all rates are as good, nothing is worth a trial; where one is best, it is found before the cell ends."""

    def flat(cell: str, proposal: Proposal) -> Outcome:
        return Outcome(Status.COMPLETED, 30, 0.8)

    asked = {**SPACE, "sampler": "transfer", "budget": {"configurations_per_cell": 12}}
    every = searched(make_plan(make_space(asked)), flat)
    assert {len(own) for own in every.values()} == {12}
    enough = {**asked, "budget": {"configurations_per_cell": 12, "enough": 0.005}}
    few = searched(make_plan(make_space(enough)), flat)
    assert max(len(own) for own in few.values()) <= 3
    assert min(len(own) for own in few.values()) >= 2, "the first ones of a cell are tried in any case"
    some = searched(make_plan(make_space(enough)), smooth)
    spent = sum(map(len, some.values()))
    assert 2 * len(some) < spent < 12 * len(some)
    ideal = {"clean": 0.92, "few": 0.72, "noisy": 0.52}
    regret = [
        ideal[cell.split("/")[0]] - max(smooth(cell, one).objective or 0.0 for one in own)
        for cell, own in some.items()
    ]
    assert np.mean(regret) < 0.03


def test_what_is_enough_needs_a_sampler_that_predicts() -> None:
    with pytest.raises(SpaceError, match=r"budget.enough: sampler tpe predicts nothing of what is left"):
        make_space({**SPACE, "sampler": "tpe", "budget": {"enough": 0.01}})


def test_a_search_that_has_enough_is_over_after_every_restart() -> None:
    """At any point a search that is made again from what was known proposes what the undisturbed one does."""
    content = {**SPACE, "sampler": "transfer", "budget": {"configurations_per_cell": 12, "enough": 0.01}}
    plan = make_plan(make_space(content))

    def begun(known: list[Known]) -> Turns:
        model = shared_model(plan)
        return Turns(plan, [CellStudy(plan.space, cell, model) for cell in plan.cells], known)

    whole, known = begun([]), list[Known]()
    while turn := whole.propose():
        name, one = turn[0].cell.name, turn[1]
        outcome = smooth(name, one)
        known.append(
            Known(name, one.values, one.configuration.id, one.number, one.turn, one.seen, True, outcome)
        )
        whole.end(name, one.configuration.id, outcome)
    assert whole.is_over
    assert len(known) < 12 * len(plan.cells)
    assert begun(known).is_over
    for cut in (1, len(known) // 3, len(known) - 1):
        again = begun(known[:cut]).propose()
        assert again is not None
        assert (again[0].cell.name, again[1].configuration.id, again[1].turn) == (
            known[cut].cell, known[cut].configuration_id, known[cut].turn,
        )  # fmt: skip

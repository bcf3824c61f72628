"""A selection from outside with options of its own: given in a space, checked, stored, hashed and passed on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hsl import testing
from hsl.errors import SpaceError
from hsl.hardness.apply import training_ids
from hsl.hardness.registries import SelectionFacts
from hsl.planning.plan import make_plan
from hsl.prepare.preflight import combinations
from hsl.registry import Entry
from hsl.space.load import make_space
from hsl.training.configuration import Configuration


def _cycled(scores: Tensor, ids: Tensor, key: int, *, first: float, stride: float = 2.0) -> Tensor:
    """The hardest first, but from place `first` on, and every `stride`-th of them before the others."""
    order = scores.argsort(descending=True, stable=True).roll(-int(first))
    return torch.cat([order[start :: int(stride)] for start in range(int(stride))])


CYCLED = Entry(_cycled, SelectionFacts(options={"first": None, "stride": 2.0}))
NAME = "test_hardness_own_options:CYCLED"


def configuration(**keys: Any) -> Configuration:
    regime = {"keep": {"fraction": 0.5, "by": "el2n", "which": NAME, **keys}}
    content = {"name": "t", "dataset": "digits", "model": "mlp", "method": "static", "sparsity": 0.5}
    plan = make_plan(make_space({**content, "regimes": {"own": regime}}))
    return combinations(plan.space, plan.cells[0])[0]


def test_its_options_reach_it() -> None:
    scores, ids = torch.rand(12, generator=torch.Generator().manual_seed(0)).double(), torch.arange(12)
    for stride in (2, 3):
        regime = configuration(first=1, stride=stride).regime
        kept = training_ids(torch.zeros(12, dtype=torch.int64), ids, regime, 0, scores)
        order = sorted(range(12), key=lambda place: -scores[place])
        order = [*order[1:], order[0]]
        by_hand = [place for start in range(stride) for place in order[start::stride]][:6]
        assert sorted(kept.tolist()) == sorted(by_hand)


def test_they_are_stored_and_hashed_and_defaults_are_written_out() -> None:
    one, same, other = configuration(first=3), configuration(first=3.0, stride=2), configuration(first=4)
    assert one.id == same.id != other.id
    assert hash(one.regime) == hash(same.regime)
    assert one.regime.keep.options == {"first": 3.0, "stride": 2.0}
    again = Configuration.from_stored(one.stored())
    assert (again, again.id) == (one, one.id)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "needs an first, which it takes"),
        ({"first": "many"}, "'many'"),
        ({"first": float("nan")}, "finite"),
        ({"first": True}, "valid number"),
        ({"first": 1, "second": 2}, "keep.second: unknown key"),
        ({"first": 1, "own": {"second": 2}}, "has no option second; it has first, stride"),
        ({"first": 1, "own": 7}, "own"),
        ({"first": 1, "offset": 0.2}, "offset belongs to which: window"),
    ],
    ids=str,
)
def test_what_its_facts_do_not_name_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        configuration(**keys)


def test_options_of_ones_own_are_checked_by_the_suite() -> None:
    testing.check_selection(NAME)


def test_a_regime_without_them_is_as_it_was() -> None:
    keep = {"fraction": 0.5, "by": "el2n", "which": "window", "offset": 0.1}
    content = {"name": "t", "dataset": "digits", "model": "mlp", "method": "static", "sparsity": 0.5}
    plan = make_plan(make_space({**content, "regimes": {"own": {"keep": keep}}}))
    assert "own" not in str(combinations(plan.space, plan.cells[0])[0].stored())

"""What types of nodes would make of a plan, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hsl.cluster.fleet import Fleet
from hsl.cluster.launcher import NodeType
from hsl.planning.cluster_cost import Offers, offers_of
from hsl.planning.cost import Cost
from hsl.space.schema import Resources

SMALL = NodeType(
    name="small",
    machine="m4",
    cpus=4.0,
    gpus=0.0,
    most=3,
    price=0.36,
    on_demand_price=1.08,
    is_spot=True,
    priced_on="d",
)
LARGE = replace(
    SMALL, name="large", machine="m16", cpus=16.0, most=2, price=2.0, on_demand_price=None, is_spot=False
)
TINY = replace(SMALL, name="tiny", cpus=1.0)
COSTS = [
    Cost("parents", 50, 1, 1.0, 600.0),
    Cost("search", 30, 1, 1.0, 36_000.0),
    Cost("confirm", 5, 1, 1.0, 3000.0),
]


def offered(
    costs: list[Cost] = COSTS, most: int = 4, workers: Any = (SMALL, LARGE, TINY), **given: Any
) -> Offers:
    prices = given.pop("prices", None)
    return offers_of(Fleet("fleet.yaml", workers, most), Resources(**{"cpu": 2, **given}), costs, prices)


def test_each_type_by_itself() -> None:
    """Two trials fit on a small node and eight on a large one: 3 small and 2 large, 4 at most, hold 8 + 8 + 2 + 2."""
    found = offered()
    assert (found.source, found.most, found.trials) == ("fleet.yaml", 4, 20)
    assert found.seconds == pytest.approx(39_600 / 20)
    small, large = found.of_types
    assert (small.node_type, small.machine, small.is_spot, small.priced_on) == ("small", "m4", True, "d")
    assert (small.trials_per_node, small.nodes, small.trials) == (2, 3, 6)
    assert small.seconds == pytest.approx(39_600 / 6)
    assert small.cost == pytest.approx(39_600 / 2 / 3600 * 0.36)
    assert small.on_demand_cost == pytest.approx(39_600 / 2 / 3600 * 1.08)
    assert (large.trials_per_node, large.nodes, large.trials) == (8, 2, 16)
    assert large.cost == pytest.approx(39_600 / 8 / 3600 * 2.0)
    assert large.on_demand_cost is None
    assert found.cost == pytest.approx(large.cost)


def test_no_more_at_once_than_are_asked_for_or_there_are() -> None:
    assert offered(concurrent=3).trials == 3
    assert offered(concurrent=99).trials == 20
    (one,) = offered(
        [Cost("parents", 50, 1, 1.0, 9.0), Cost("search", 3, 1, 1.0, 9.0)], workers=(SMALL,)
    ).of_types
    assert (one.nodes, one.trials) == (2, 3), "parents do not count"
    assert offered([Cost("parents", 50, 1, 1.0, 9.0)]).trials == 1
    (few,) = offered(most=1, workers=(SMALL,)).of_types
    assert (few.nodes, few.trials) == (1, 2)


def test_prices_of_the_space_take_the_place_of_the_clusters() -> None:
    small, large = offered(prices={"small": 7.2, "default": 3.6}).of_types
    assert (small.price, small.priced_on, large.price) == (7.2, None, 3.6)
    assert offered(prices={"small": 7.2}).of_types[1].price is None
    assert offered(prices={"small": 7.2}).cost is None, "that of the other is not known"


def test_what_is_not_known_is_none() -> None:
    found = offered([*COSTS, Cost("confirm", 1, 1, None, None)])
    assert found.seconds is None
    assert {(offer.seconds, offer.cost, offer.on_demand_cost) for offer in found.of_types} == {
        (None, None, None)
    }
    assert Offers("x", 1, 1, None, ()).cost is None

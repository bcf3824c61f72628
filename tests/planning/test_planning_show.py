"""What `hsl plan` says, against a plan that is small enough to be written down."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from hsl.planning.budgets import Forecast
from hsl.planning.cluster_cost import Offer, Offers
from hsl.planning.cost import Cost
from hsl.planning.plan import make_plan
from hsl.planning.show import document, show_plan
from hsl.space.load import make_space

SPACE: dict[str, Any] = {
    "name": "tiny",
    "dataset": "digits",
    "model": "mlp",
    "training": {"epochs": 10},
    "baseline": None,
    "factors": {"sparsity": [0.8, 0.9]},
    "distribution": "erk",
    "method": "omp",
    "search": {"training.lr": {"loguniform": [0.01, 0.1]}},
    "budget": {"configurations_per_cell": 6},
    "sampler": "random",
}
COSTS = [Cost("parents", 1, 10, 2.5e6, 45.0), Cost("search", 12, 120, None, None)]
OFFERS = Offers(
    source="fleet.yaml",
    most=4,
    trials=8,
    seconds=600.0,
    of_types=(
        Offer("spot", "g4dn", 2, 4, 8, 600.0, 1.25, 4.0, 0.5, True, "2026-01-02"),
        Offer("own", "box", 1, 3, 3, None, None, None, None, False, None),
    ),
)


def shown(
    budgets: list[Forecast] | None = None,
    measured: bool = False,
    offers: Offers | None = None,
    **content: Any,
) -> str:
    out = StringIO()
    plan = make_plan(make_space({**SPACE, **content}))
    show_plan(plan, COSTS, budgets or [], measured, Console(file=out, width=240), offers)
    return out.getvalue()


def cells(line: str) -> list[str]:
    """What stands in a row of a table, blanks aside."""
    return [cell.strip() for cell in line.replace("│", "  ").split("  ") if cell.strip()]


def row(text: str, first: str) -> list[str]:
    (found,) = [cells(line) for line in text.splitlines() if cells(line)[:1] == [first]]
    return found


def test_cells_with_the_same_search_share_a_row() -> None:
    text = shown()
    assert "tiny: 2 cells, 12 configurations to search" in text
    assert row(text, "0.8") == ["0.8", "omp", "training.lr", "6"]
    assert row(text, "0.9") == ["0.9"]


def test_a_tuned_method_stands_in_its_own_column_only() -> None:
    text = shown(method=None, search={"method": {"choice": ["omp", "set"]}, **SPACE["search"]})
    assert row(text, "0.8") == ["0.8", "omp set", "training.lr", "6"]


def test_cells_with_other_searches_have_rows_of_their_own() -> None:
    factors = {"sparsity": [0.8], "method": ["omp", "set"]}
    text = shown(method=None, factors=factors)
    assert row(text, "0.8/omp") == ["0.8/omp", "omp", "training.lr", "6"]
    assert row(text, "0.8/set") == ["0.8/set", "set", "training.lr", "6"]


def test_costs_are_said_and_what_is_not_known() -> None:
    text = shown()
    assert row(text, "parents") == ["parents", "1", "10", "2.50", "45 s"]
    assert row(text, "search") == ["search", "12", "120", "unknown", "unknown"]
    assert "needs: 1 trained parents" in text
    assert "nominal, a guess until there is a store" in text
    assert "measured in the store" in shown(measured=True)


def test_what_is_left_out_and_searched_otherwise_is_said() -> None:
    text = shown(
        distribution=None,
        method="set",
        search={"distribution": {"choice": ["erk", "global"]}, "training.lr": {"choice": [0.1, 0.2]}},
    )
    assert "left out: set x global: " in text
    assert "sampler: the budget covers every combination, each is tried once: 0.8, 0.9" in text
    assert "sampler:" not in shown()
    assert "trained parents" not in shown(method="set")


def test_scores_are_said() -> None:
    regimes = {"hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 3, "epoch": 0.4}}}
    assert "needs: el2n scores, the mean over 3 models at epoch 4" in shown(regimes=regimes, regime="hard")


def test_budgets_are_said() -> None:
    text = shown(
        [
            Forecast("epochs", 130.0, None, 0.0),
            Forecast("wall_time", 7200.0, 3600.0, 60.0),
            Forecast("cost", None, 5.0, 0.0),
        ]
    )
    assert "epochs: at most 130\n" in text
    assert "wall_time: about 2.0 h, limit 60 min, spent so far 60 s; the sweep may stop before" in text
    assert "cost: unknown, limit 5.00\n" in text
    assert text.count("the sweep may stop") == 1


def test_offers_are_said() -> None:
    text = shown(offers=OFFERS)
    assert row(text, "spot") == ["spot", "g4dn", "2", "4", "8", "10 min", "1.25", "4.00"]
    assert row(text, "own") == ["own", "box", "1", "3", "3", "unknown", "unknown", "unknown"]
    assert "fleet.yaml: 8 trials at once on at most 4 nodes." in text
    assert "Prices: those of the file, of 2026-01-02." in text
    assert "fleet.yaml" not in shown()
    undated = Offers("fleet.yaml", 4, 8, None, OFFERS.of_types[1:])
    assert "Prices" not in shown(offers=undated)


def test_the_document_holds_all_of_it() -> None:
    plan = make_plan(make_space({**SPACE, "warm_start": {"configurations": 2}}))
    found = document(plan, COSTS, [Forecast("epochs", 130.0, None, 0.0)], False, OFFERS)
    low, high = found["cells"]
    assert (low["cell"], low["levels"], low["baseline"]) == ("0.8", {"sparsity": 0.8}, False)
    assert (low["methods"], low["configurations"]) == ({"omp": ["erk"]}, 6)
    assert low["tuned"] == {"training.lr": {"loguniform": [0.01, 0.1]}}
    assert low["sampler"]["name"] == "random"
    assert (low["starts_from"], high["starts_from"]) == ([], ["0.8"])
    assert found["stages"][0] == {
        "stage": "parents",
        "trials": 1,
        "epochs": 10,
        "passes": 2.5e6,
        "core_seconds": 45.0,
    }
    assert found["budgets"] == [{"budget": "epochs", "needed": 130.0, "limit": None, "spent": 0.0}]
    assert found["time_estimate"] == "nominal"
    assert found["cluster"]["of_types"][0]["machine"] == "g4dn"
    plain = document(make_plan(make_space(SPACE)), COSTS, [], True)
    assert plain["time_estimate"] == "measured"
    assert "cluster" not in plain
    assert "starts_from" not in plain["cells"][0]
    assert len(plain["parents"]) == 1

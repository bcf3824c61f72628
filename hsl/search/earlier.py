"""What the searches of earlier stores have shown, for samplers that learn from all cells."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hsl.search.outcome import Outcome
from hsl.space.axes import Values
from hsl.store.documents import mapping
from hsl.store.outcomes import Status, is_paused
from hsl.store.store import Store

_LEVELS = ("regime", "sparsity", "method", "distribution")
_COLUMNS = ("sequence", "stage", "status", "reason", "epochs", "objective", "parameters", "cell", *_LEVELS)


class Earlier(NamedTuple):
    """The end of a trial of an earlier store, with its levels among its values."""

    values: Values
    outcome: Outcome


def earlier_ends(uris: Sequence[str]) -> Iterator[list[Earlier]]:
    """Ends of the trials of the search of each store, in their order.

    Raises:
        StoreError: If one is no store.
    """
    for uri in uris:
        store = Store(uri)
        levels = {row["cell"]: mapping(row, "cells", "levels") for row in store.read("cells").to_pylist()}
        trials = store.read("trials", _COLUMNS).sort_by("sequence").to_pylist()
        searched = [row for row in trials if row["stage"] == "search" and not is_paused(row)]
        yield [_earlier(row, levels.get(row["cell"], {})) for row in searched]


def _earlier(row: dict[str, Any], levels: Values) -> Earlier:
    known = {name: row[name] for name in _LEVELS if row[name] is not None}
    values = {**known, **levels, **mapping(row, "trials", "parameters")}
    return Earlier(values, Outcome.of(Status(row["status"]), row, row["reason"]))

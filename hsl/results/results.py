"""A store from Python: its tables and its answers, as Arrow, pandas or polars. No torch, no Ray."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from hsl.errors import HslError, StoreError
from hsl.results.best import best
from hsl.results.claims import evaluate
from hsl.results.compare import compare
from hsl.results.inspect import inspect
from hsl.results.query import query
from hsl.store.store import Store


def load_results(uri: str | Path) -> Results:
    """The results of a sweep.

    Args:
        uri: Store of a sweep: local path, ``s3://bucket/path``, ``gs://`` or ``abfs://``.

    Returns:
        Tables and answers; each is read when it is asked for.

    Raises:
        StoreError: If there is no store.
    """
    store = Store(uri)
    if not store.exists():
        raise StoreError(
            f"{store.uri}: no result store here; give the --store of a sweep, for example runs/NAME"
        )
    return Results(store)


class Results:
    """Tables and answers of one store.

    A table is read once, when it is first asked for; an answer reads the store again. A conversion raises
    UnknownNameError for a table that does not exist, and HslError without the package that it needs.

    Args:
        store: Where to read.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def __repr__(self) -> str:
        return f"Results({self.store.uri!r})"

    @cached_property
    def trials(self) -> pa.Table:
        """One row per trial."""
        return self.store.read("trials")

    @cached_property
    def epochs(self) -> pa.Table:
        """One row per trial and epoch."""
        return self.store.read("epochs")

    @cached_property
    def cells(self) -> pa.Table:
        """One row per cell."""
        return self.store.read("cells")

    @cached_property
    def evaluations(self) -> pa.Table:
        """One row per network and evaluation."""
        return self.store.read("evaluations")

    @cached_property
    def sessions(self) -> pa.Table:
        """One row per run of the driver: what it cost."""
        return self.store.read("sessions")

    @property
    def space(self) -> str | None:
        """The search space as YAML, or None if it was not stored."""
        return self.store.read_space()

    def to_pandas(self, table: str = "trials") -> Any:
        """A table as a pandas DataFrame."""
        _require("pandas")
        return self.store.read(table).to_pandas()

    def to_polars(self, table: str = "trials") -> Any:
        """A table as a polars DataFrame."""
        return _require("polars").from_arrow(self.store.read(table))

    def best(
        self,
        by: Sequence[str] | None = None,
        where: str | None = None,
        top: int = 1,
        metric: str = "matched",
        *,
        pareto: tuple[str, str] | None = None,
        confirmed_only: bool | None = None,
    ) -> pa.Table:
        """The best configurations of every group: see `hsl.results.best.best`."""
        return best(self.store, by, where, top, metric, pareto=pareto, confirmed_only=confirmed_only)

    def compare(self, a: str, b: str, by: Sequence[str] | None = None, metric: str = "matched") -> pa.Table:
        """The difference between the trials of two filters: see `hsl.results.compare.compare`."""
        return compare(self.store, a, b, by, metric)

    def query(self, sql: str) -> pa.Table:
        """What one SELECT returns: see `hsl.results.query.query`."""
        return query(self.store, sql)

    def claims(self) -> pa.Table:
        """Verdicts on the claims of the paper: see `hsl.results.claims.evaluate`."""
        return evaluate(self.store)

    def show(self, name: str) -> pa.Table:
        """Everything about a trial or a cell: see `hsl.results.inspect.inspect`."""
        return inspect(self.store, name)


def _require(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise HslError(
            f"to_{package} needs {package}, which is not installed; pip install {package}, "
            "or use the Arrow tables: .trials, .epochs, .cells, .evaluations, .sessions"
        ) from error

"""A snapshot of a store, and the queries that the sections of a report share."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from hsl.errors import NothingMatchedError
from hsl.results.best import METRICS, best, check_metric
from hsl.results.dense import READ_CELLS, READ_TRIALS, SCOPE, DenseRows, counterparts
from hsl.results.divisions import SPLIT
from hsl.results.report.structs import Cell, Table, shortened
from hsl.results.sequential import asked_levels
from hsl.results.shaping import fields, grouped
from hsl.results.stats import CONFIDENCE, level_of_chosen
from hsl.store.database import label, run, sandbox
from hsl.store.rows import check_names, require_values
from hsl.store.store import Store

Values = dict[str, Any]
Key = tuple[str, str]
"""Cell and configuration_id."""

# The trials over which `best` averages a configuration.
_SHOWN = {SPLIT: "split {}"}
"""Column of a setting -> its value for people, where it does not speak for itself."""

_SEEDS = """
SELECT chosen.cell, configuration_id, trial_id, seed, test_{metric}_accuracy AS test, layer_densities
FROM labelled JOIN chosen USING (configuration_id, regime)
WHERE status = 'completed' AND isfinite(objective) AND (stage = 'confirm') = chosen.confirmed
  AND (NOT labelled.baseline OR labelled.cell = chosen.cell)
QUALIFY row_number() OVER (
  PARTITION BY chosen.cell, configuration_id, seed ORDER BY labelled.cell, trial_id) = 1
ORDER BY ALL
"""


def key_of(row: Mapping[str, Any]) -> Key:
    """The cell and the configuration of a row."""
    return row["cell"], row["configuration_id"]


class Snapshot(Store):
    """A store of which every table is read once, so that all sections of a report are about the same rows."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._tables: dict[str, pa.Table] = {}

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """As `Store.read`."""
        check_names(table, columns or ())
        if table not in self._tables:
            self._tables[table] = super().read(table)
        found = self._tables[table]
        return found if columns is None else found.select(list(columns))


@dataclass(frozen=True)
class Evidence:
    """The data of a report.

    Attributes:
        connection: Its trials as `labelled` (with `baseline`), cells, epochs and evaluations.
        space: The search space as it was written; empty where the store has none.
        metric: "matched" or "clean": whose accuracies are reported.
        settings: Columns that make a setting: the regime, and data set, model and split where there are several.
        methods: Names of methods in the order of their colours.
    """

    snapshot: Snapshot
    connection: duckdb.DuckDBPyConnection
    space: Mapping[str, Any]
    metric: str
    settings: tuple[str, ...]
    methods: tuple[str, ...]

    def rows(self, sql: str) -> list[Values]:
        """The rows of a query over `labelled`, cells, epochs and evaluations."""
        return run(self.connection, sql).to_pylist()

    def best(self, *columns: str, where: str | None = None) -> list[Values]:
        """The answer of `best` for every combination of a setting and `columns`; without a match no rows."""
        try:
            found = best(self.snapshot, (*self.settings, *columns), where, 1, self.metric)
        except NothingMatchedError:
            return []
        return self.in_order(found.to_pylist())

    def in_order(self, rows: Iterable[Values]) -> list[Values]:
        """Rows in the order in which the search space lists their regimes."""
        regimes = self.space.get("regimes")
        places = {name: place for place, name in enumerate(regimes if isinstance(regimes, Mapping) else ())}
        return sorted(rows, key=lambda row: places.get(row["regime"], len(places)))

    def of_trials(self, sql: str, trials: Iterable[Values]) -> dict[str, list[Values]]:
        """The rows of a query over `chosen_trials`, whose only column is trial_id, by trial."""
        named = {"trial_id": pa.array([row["trial_id"] for row in trials], pa.string())}
        self.connection.register("chosen_trials", pa.table(named))
        return grouped(self.rows(sql), lambda row: row["trial_id"])

    def table(self, columns: Sequence[str], rows: Sequence[tuple[Cell, ...]], command: str) -> Table:
        """A table whose first column is the setting; `command` shows the rows that are too many for it."""
        kept, note = shortened(rows, command)
        return Table((self.noun, *columns), kept, note)

    def setting(self, row: Mapping[str, Any]) -> str:
        """The setting of a row for people."""
        return " · ".join(_SHOWN.get(name, "{}").format(row[name]) for name in reversed(self.settings))

    @property
    def uri(self) -> str:
        """The store, quoted for a shell."""
        return shlex.quote(self.snapshot.uri)

    @property
    def noun(self) -> str:
        """What a setting is called: a regime, unless there are several data sets or models."""
        return "regime" if self.settings == ("regime",) else "setting"

    @property
    def setting_sql(self) -> str:
        """The columns of a setting, for a query."""
        return ", ".join(self.settings)

    @cached_property
    def winners(self) -> list[Values]:
        """The best configuration of every setting and sparsity, and of every dense baseline."""
        return self.best("sparsity")

    @cached_property
    def by_method(self) -> list[Values]:
        """The best configuration of every setting, sparsity and method."""
        return self.best("sparsity", "method")

    @cached_property
    def champions(self) -> list[Values]:
        """The best sparse configuration of every setting, over all sparsities."""
        chosen = {key_of(row) for row in self.best(where="NOT baseline")}
        return [row for row in self.winners if key_of(row) in chosen]

    @cached_property
    def dense(self) -> DenseRows:
        """The best dense configurations, to which winners are compared."""
        cells, trials = self.snapshot.read("cells", READ_CELLS), self.snapshot.read("trials", READ_TRIALS)
        return DenseRows(counterparts(cells, trials), self.best("cell", where="baseline"))

    def seeds(self, chosen: Iterable[Mapping[str, Any]]) -> dict[Key, list[Values]]:
        """The trials over which rows of `best` are averaged, ordered by seed.

        They have trial_id, seed, test (a fraction) and layer_densities; rows of `best` name their regime.
        """
        wanted = {key_of(row): row for row in chosen}
        columns = [
            *fields(pa.string(), "cell", "configuration_id", "regime"),
            *fields(pa.bool_(), "confirmed"),
        ]
        self.connection.register("chosen", pa.Table.from_pylist(list(wanted.values()), pa.schema(columns)))
        found = grouped(self.rows(_SEEDS.format(metric=self.metric)), key_of)
        return {key: found.get(key, []) for key in wanted}

    def level(self, *rows: Mapping[str, Any]) -> float:
        """The confidence that intervals over the seeds of these winners need to hold at 95 %."""
        asked = max((self._levels.get(row["cell"], CONFIDENCE) for row in rows), default=CONFIDENCE)
        return level_of_chosen(asked, math.prod(row.get("candidates") or 1 for row in rows))

    @cached_property
    def _levels(self) -> dict[str, float]:
        """Above 95 % where seeds were added until the result was clear."""
        return asked_levels(self.snapshot.read("cells", ["cell", "confidence"]))

    def ordered(self, methods: Iterable[str]) -> tuple[str, ...]:
        """Methods in the order of their colours."""
        return tuple(sorted(set(methods), key=self.methods.index))


def gather(uri: str, metric: str | None = None, methods: Sequence[str] = ()) -> Evidence:
    """Read a store for a report.

    Args:
        uri: The store.
        metric: "matched" or "clean"; by default what the sweep maximised.
        methods: Known methods in the order of their colours; others follow in alphabetical order.

    Raises:
        StoreError: If there is no store, or its trials lack what every trial has.
        NothingMatchedError: If it holds no trial.
        UnknownNameError: If there is no such metric.
    """
    snapshot = Snapshot(uri)
    tables = {name: snapshot.read(name) for name in ("trials", "cells", "epochs", "evaluations")}
    if not len(tables["trials"]):
        raise NothingMatchedError(f"{snapshot.uri}: no trial is stored yet; run `hsl sweep` first")
    require_values("trials", tables["trials"])
    if metric is not None:
        check_metric(metric)
    connection = sandbox(tables)
    label(connection)
    space = _space(snapshot)
    several = [name for name in SCOPE[:-1] if len(tables["trials"][name].unique()) > 1]
    return Evidence(
        snapshot=snapshot,
        connection=connection,
        space=space,
        metric=metric or (str(space["objective"]) if space.get("objective") in METRICS else METRICS[0]),
        settings=(*several, "regime"),
        methods=(*methods, *sorted(set(tables["trials"]["method"].unique().to_pylist()) - set(methods))),
    )


def _space(store: Store) -> Mapping[str, Any]:
    """The stored search space; empty where it is no mapping."""
    try:
        found = yaml.safe_load(store.read_space() or "")
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}

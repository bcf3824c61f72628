"""The values that a statement is tested on, from the trials of a store."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import duckdb

from hsl.results.claims.claim import EXACT, Part, Statement
from hsl.results.shaping import grouped, values_of
from hsl.results.stats import MINIMUM_SEEDS
from hsl.store.database import run

Row = Mapping[str, Any]
Scope = tuple[Any, ...]
"""Values of `SCOPE`."""

SCOPE = ("dataset", "model", "model_key", "factors")
"""Data set, model and its options, levels of further factors: what is never mixed."""

NETWORK = ("cell", "regime_key", "method", "distribution", "sparsity")
"""What the seeds of one network have in common."""

NOT_ALIKE = "no two trials to compare that are alike otherwise"


class Sample(NamedTuple):
    """The values that a statement is tested on.

    Attributes:
        values: One per seed; of an exact measure one per trial, or per pair of cells.
        cells: Cells of the values.
        lacks: Why there are no more of them.
    """

    values: list[float]
    cells: list[str]
    lacks: str


def selected(
    connection: duckdb.DuckDBPyConnection, statement: Statement, condition: str
) -> dict[Scope, list[Row]]:
    """The trials of one side that the measure is known of, by scope."""
    view = "described" if statement.measure in EXACT else "confirmed"
    needs = "".join(f", ({part.sql}) AS need_{index}" for index, part in enumerate(statement.needs))
    # A configuration that a merged store has under two names is one network, and each of its seeds counts once.
    same = f"{', '.join(SCOPE)}, regime_key, configuration_id"
    sql = f"""SELECT {", ".join(SCOPE)}, seed, {statement.measure} AS value,
      min(cell) OVER (PARTITION BY {same}) AS cell,
      {", ".join(dict.fromkeys(("regime_key", "method", "distribution", "sparsity", *statement.alike)))}{needs}
      FROM {view} WHERE unlike IS NULL AND ({statement.regime.sql}) AND ({condition}) AND isfinite({statement.measure})
      QUALIFY row_number() OVER (PARTITION BY {same}, seed ORDER BY {view}.cell, trial_id) = 1
      ORDER BY ALL"""
    return by_key(run(connection, sql).to_pylist(), SCOPE)


def present(connection: duckdb.DuckDBPyConnection, statement: Statement) -> dict[Scope, list[bool]]:
    """Whether a completed trial of each of the needs is there, by scope."""
    if not statement.needs:
        return {}
    columns = ", ".join(f"bool_or({part.sql}) AS need_{index}" for index, part in enumerate(statement.needs))
    scope = ", ".join(SCOPE)
    sql = f"SELECT {scope}, {columns} FROM described WHERE ({statement.regime.sql}) GROUP BY {scope}"
    names = [f"need_{index}" for index in range(len(statement.needs))]
    return {
        values_of(row, SCOPE): [bool(row[name]) for name in names] for row in run(connection, sql).to_pylist()
    }


def unlike(connection: duckdb.DuckDBPyConnection) -> dict[Scope, str]:
    """Scopes without a network such as the paper has, and what theirs are."""
    scope = ", ".join(SCOPE)
    sql = f"SELECT {scope}, min(unlike) AS unlike FROM described GROUP BY {scope} HAVING bool_and(unlike IS NOT NULL)"
    return {values_of(row, SCOPE): row["unlike"] for row in run(connection, sql).to_pylist()}


def lost_seeds(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Cells, and the confirming trials of each and of its dense counterpart that did not complete."""
    sql = """WITH lost AS (SELECT cell, trial_id FROM labelled WHERE stage = 'confirm' AND status <> 'completed')
      SELECT cell, trial_id FROM lost
      UNION SELECT counterparts.cell, trial_id FROM lost JOIN counterparts ON counterparts.dense = lost.cell"""
    found = grouped(run(connection, sql).to_pylist(), lambda row: row["cell"])
    return {cell: {row["trial_id"] for row in rows} for cell, rows in found.items()}


def absent(statement: Statement, present: Sequence[bool]) -> list[Part]:
    """The needs that are not there; of a statement about most none as long as most are there."""
    lacking = [part for part, is_there in zip(statement.needs, present, strict=True) if not is_there]
    return [] if statement.is_of_most and len(lacking) < majority(statement) else lacking


def majority(statement: Statement) -> int:
    """How many networks are more than half of those that it is about."""
    return len(statement.needs) // 2 + 1


def without_seeds(statement: Statement, rows: Iterable[Row]) -> list[Part]:
    """The needs of which no network has enough seeds, likewise."""
    enough = with_seeds(list(rows))
    places = range(len(statement.needs))
    return absent(statement, [any(row[f"need_{index}"] for row in enough) for index in places])


def each(statement: Statement, rows: Sequence[Row]) -> list[list[float]]:
    """One value per seed of each of the needs that has enough seeds."""
    found = [
        list(per_seed(with_seeds([row for row in rows if row[f"need_{index}"]]), NETWORK).values())
        for index in range(len(statement.needs))
    ]
    return [values for values in found if len(values) >= MINIMUM_SEEDS]


def sample(statement: Statement, a: Sequence[Row], b: Sequence[Row] | None) -> Sample:
    """The values of a statement in one scope, of networks with enough seeds."""
    if statement.measure in EXACT:
        return _exact_sample(statement, a, b)
    a = with_seeds(a)
    if b is None:
        values = per_seed(a, NETWORK)
        return Sample(list(values.values()), _cells(a), _lacks(a, values))
    b = with_seeds(b)
    shared = {values_of(row, statement.alike) for row in a} & {values_of(row, statement.alike) for row in b}
    a, b = ([row for row in side if values_of(row, statement.alike) in shared] for side in (a, b))
    x, y = per_seed(a, statement.alike), per_seed(b, statement.alike)
    values = {seed: x[seed] - y[seed] for seed in sorted(x.keys() & y.keys())}
    lacks = _lacks([*a, *b], values) if shared else NOT_ALIKE
    return Sample(list(values.values()), _cells([*a, *b]), lacks)


def _exact_sample(statement: Statement, a: Sequence[Row], b: Sequence[Row] | None) -> Sample:
    """The values of all trials; with a second side the difference of means of every two groups alike."""
    a = with_seeds(a)
    if b is None:
        return Sample([row["value"] for row in a], _cells(a), f"no such network with {MINIMUM_SEEDS} seeds")
    b = with_seeds(b)
    x, y = (by_key(side, statement.alike) for side in (a, b))
    shared = [key for key in x if key in y]
    values = [fmean(row["value"] for row in x[key]) - fmean(row["value"] for row in y[key]) for key in shared]
    cells = _cells(row for key in shared for row in (*x[key], *y[key]))
    return Sample(values, cells, NOT_ALIKE)


def by_key(rows: Iterable[Row], columns: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """The rows by their values of some columns."""
    return grouped(rows, lambda row: values_of(row, columns))


def with_seeds(rows: Sequence[Row]) -> list[Row]:
    """The trials of networks with enough seeds."""
    seeds = {key: {row["seed"] for row in found} for key, found in by_key(rows, NETWORK).items()}
    return [row for row in rows if len(seeds[values_of(row, NETWORK)]) >= MINIMUM_SEEDS]


def per_seed(rows: Sequence[Row], alike: Sequence[str]) -> dict[int, float]:
    """Means of the seeds that every network has, so that no seed is a mean over easier networks.

    They are over the combinations of `alike` first, so that these weigh the same on both sides.
    """
    networks = {values_of(row, NETWORK) for row in rows}
    seeds = grouped(rows, lambda row: row["seed"])
    return {
        seed: fmean(fmean(row["value"] for row in group) for group in by_key(found, alike).values())
        for seed, found in sorted(seeds.items())
        if len(found) == len(networks)
    }


def _lacks(rows: Sequence[Row], values: Mapping[int, float]) -> str:
    if not rows:
        return f"no such network with {MINIMUM_SEEDS} confirming seeds"
    return f"{len(values)} seeds in common, {MINIMUM_SEEDS} are needed"


def _cells(rows: Iterable[Row]) -> list[str]:
    return sorted({row["cell"] for row in rows})

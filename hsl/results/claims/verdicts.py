"""Verdicts on claims from the trials of a store: supported, contradicted, or not enough data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import copysign
from statistics import fmean
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from hsl.errors import NothingMatchedError
from hsl.results.claims.claim import EXACT, Claim, Statement
from hsl.results.claims.paper import CLAIMS
from hsl.results.claims.view import make_views, read_tables
from hsl.results.compare import MINIMUM_SEEDS, SIGNIFICANCE
from hsl.results.sequential import asked_levels
from hsl.results.shaping import fields, grouped, values_of
from hsl.results.stats import CONFIDENCE, adjusted, mean_interval, one_sample
from hsl.store.database import label, run, sandbox
from hsl.store.store import Store

SUPPORTED, CONTRADICTED, OPEN = "supported", "contradicted", "not enough data"

SCHEMA = pa.schema(
    [
        *fields(pa.string(), "claim", "claim_verdict", "statement", "dataset", "model", "factors", "verdict"),
        *fields(pa.string(), "reason", "measure", "direction"),
        *fields(pa.float64(), "threshold", "effect", "low", "high"),
        *fields(pa.string(), "interval"),
        *fields(pa.int64(), "n"),
        *fields(pa.string(), "n_of"),
        *fields(pa.float64(), "p_value", "p_adjusted"),
        *fields(pa.list_(pa.string()), "cells"),
        *fields(pa.string(), "source"),
    ]
)

Row = Mapping[str, Any]
Scope = tuple[Any, ...]
"""Values of `SCOPE`."""

SCOPE = ("dataset", "model", "model_key", "factors")
"""Data set, model and its options, levels of further factors: what is never mixed."""

NETWORK = ("cell", "regime_key", "method", "distribution", "sparsity")
"""What the confirming seeds of one network have in common."""

NOT_ALIKE = "no two trials to compare that are alike otherwise"


class _Sample(NamedTuple):
    """The values that a statement is tested on.

    Attributes:
        values: One per seed; of an exact measure one per trial, or per pair of cells.
        cells: Cells of the values.
        lacks: Why there are no more of them.
    """

    values: list[float]
    cells: list[str]
    lacks: str


def evaluate(store: Store, claims: Iterable[Claim] = CLAIMS) -> pa.Table:
    """Test every statement of the claims on the trials of a store that it is about.

    Accuracies are those of completed trials of the confirm stage, of the best configuration by validation
    per regime, method, distribution and sparsity. Values are averaged over cells to one per seed, over the
    seeds that every cell has; cells with fewer than three seeds are left out. A t test of the effect against
    the threshold (for "within" two one-sided ones), p-values corrected over all statements by
    Benjamini-Hochberg, decides at 0.05. Costs and layer densities are hardly a matter of seeds: there the
    range over all completed trials decides. Where seeds were added until the result was clear, intervals and
    p-values allow for it. Data sets, models and further factors are never mixed.

    Args:
        store: Where to read.
        claims: What to test.

    Returns:
        One row per statement and scope (data set, model, further factors): claim, claim_verdict (supported if
        all its statements are in that scope, contradicted if any is), statement, dataset, model, factors
        (JSON), verdict, reason (why there are not enough data), measure, direction, threshold, effect with
        low and high and the name of that interval, n, n_of ("seeds", "trials" or "pairs of cells"), p_value
        (two-sided, of "within" one-sided), p_adjusted, cells, source.

    Raises:
        NothingMatchedError: If the store holds no completed trial.
    """
    claims = list(claims)
    tables = read_tables(store)
    level = max(asked_levels(tables["cells"]).values(), default=CONFIDENCE)
    with sandbox(tables) as connection:
        label(connection)
        make_views(connection)
        found = run(connection, f"SELECT DISTINCT {', '.join(SCOPE)} FROM described ORDER BY ALL")
        scopes = [values_of(row, SCOPE) for row in found.to_pylist()]
        rows = [
            {"claim": claim.id, "source": claim.source, **row}
            for claim in claims
            for statement in claim.statements
            for row in _statement(connection, statement, scopes, level)
        ]
    if not rows:
        raise NothingMatchedError("no completed trial is stored yet; run `hsl sweep` first")
    corrected = adjusted([row.get("p_value") for row in rows])
    decided = [_decided(row, p) for row, p in zip(rows, corrected, strict=True)]
    return pa.Table.from_pylist(_with_claims(decided), schema=SCHEMA)


def _statement(
    connection: duckdb.DuckDBPyConnection, statement: Statement, scopes: Iterable[Scope], level: float
) -> Iterator[dict[str, Any]]:
    """The rows of a statement, before the correction."""
    a = _selected(connection, statement, statement.a)
    b = _selected(connection, statement, statement.b) if statement.b else None
    for scope in scopes:
        found = _sample(statement, a.get(scope, []), None if b is None else b.get(scope, []))
        yield {
            "statement": statement.text,
            **dict(zip(SCOPE, scope, strict=True)),
            "measure": statement.measure,
            "direction": statement.direction,
            "threshold": statement.threshold,
            "cells": found.cells,
            **_verdict_values(statement, found, level),
        }


def _selected(
    connection: duckdb.DuckDBPyConnection, statement: Statement, condition: str
) -> dict[Scope, list[Row]]:
    """The trials of one side, by scope."""
    view = "described" if statement.measure in EXACT else "confirmed"
    sql = f"""SELECT {", ".join(SCOPE)}, cell, seed, {statement.measure} AS value,
      {", ".join(dict.fromkeys(("regime_key", "method", "distribution", "sparsity", *statement.alike)))}
      FROM {view} WHERE ({statement.where}) AND ({condition}) AND isfinite({statement.measure})
      ORDER BY ALL"""
    return _by_key(run(connection, sql).to_pylist(), SCOPE)


def _sample(statement: Statement, a: Sequence[Row], b: Sequence[Row] | None) -> _Sample:
    if statement.measure in EXACT:
        return _exact_sample(statement, a, b)
    a = _with_seeds(a)
    if b is None:
        values = _per_seed(a, NETWORK)
        return _Sample(list(values.values()), _cells(a), _lacks(a, values))
    b = _with_seeds(b)
    shared = {values_of(row, statement.alike) for row in a} & {values_of(row, statement.alike) for row in b}
    a, b = ([row for row in side if values_of(row, statement.alike) in shared] for side in (a, b))
    x, y = _per_seed(a, statement.alike), _per_seed(b, statement.alike)
    values = {seed: x[seed] - y[seed] for seed in sorted(x.keys() & y.keys())}
    lacks = _lacks([*a, *b], values) if shared else NOT_ALIKE
    return _Sample(list(values.values()), _cells([*a, *b]), lacks)


def _exact_sample(statement: Statement, a: Sequence[Row], b: Sequence[Row] | None) -> _Sample:
    """The values of all trials; with a second side the difference of means of every two groups alike."""
    if b is None:
        return _Sample([row["value"] for row in a], _cells(a), "no such trial")
    x, y = (_by_key(side, statement.alike) for side in (a, b))
    shared = [key for key in x if key in y]
    values = [fmean(row["value"] for row in x[key]) - fmean(row["value"] for row in y[key]) for key in shared]
    cells = _cells(row for key in shared for row in (*x[key], *y[key]))
    return _Sample(values, cells, NOT_ALIKE)


def _by_key(rows: Iterable[Row], columns: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    return grouped(rows, lambda row: values_of(row, columns))


def _with_seeds(rows: Sequence[Row]) -> list[Row]:
    """The trials of networks with enough seeds."""
    seeds = {key: {row["seed"] for row in found} for key, found in _by_key(rows, NETWORK).items()}
    return [row for row in rows if len(seeds[values_of(row, NETWORK)]) >= MINIMUM_SEEDS]


def _per_seed(rows: Sequence[Row], alike: Sequence[str]) -> dict[int, float]:
    """Means of the seeds that every network has, so that no seed is a mean over easier networks.

    They are over the combinations of `alike` first, so that these weigh the same on both sides.
    """
    networks = {values_of(row, NETWORK) for row in rows}
    seeds = grouped(rows, lambda row: row["seed"])
    return {
        seed: fmean(fmean(row["value"] for row in group) for group in _by_key(found, alike).values())
        for seed, found in sorted(seeds.items())
        if len(found) == len(networks)
    }


def _lacks(rows: Sequence[Row], values: Mapping[int, float]) -> str:
    if not rows:
        return f"no such network with {MINIMUM_SEEDS} confirming seeds"
    return f"{len(values)} seeds in common, {MINIMUM_SEEDS} are needed"


def _cells(rows: Iterable[Row]) -> list[str]:
    return sorted({row["cell"] for row in rows})


def _verdict_values(statement: Statement, sample: _Sample, level: float) -> dict[str, Any]:
    """Effect, interval and p-value; the verdict on p-values comes with their correction."""
    values = sample.values
    if statement.measure in EXACT:
        return _exact(statement, sample)
    if len(values) < MINIMUM_SEEDS:
        return {"verdict": OPEN, "reason": sample.lacks, "n": len(values), "n_of": "seeds"}
    mean, low, high, n = mean_interval(values, level)
    p = _p_value(statement, values, level)
    row = {"effect": mean, "low": low, "high": high, "interval": "95 % t", "n": n, "n_of": "seeds"}
    reason = "seeds do not vary" if p is None else None
    return {**row, "p_value": p, "verdict": _side(statement, mean), "reason": reason}


def _exact(statement: Statement, sample: _Sample) -> dict[str, Any]:
    values, n_of = sample.values, "pairs of cells" if statement.b else "trials"
    if not values:
        return {"verdict": OPEN, "reason": sample.lacks, "n": 0, "n_of": n_of}
    sides = {_side(statement, value) for value in values}
    agreed = len(sides) == 1
    return {
        "effect": fmean(values),
        "low": min(values),
        "high": max(values),
        "interval": "range",
        "n": len(values),
        "n_of": n_of,
        "verdict": sides.pop() if agreed else OPEN,
        "reason": None if agreed else "they are on both sides",
    }


def _side(statement: Statement, effect: float) -> str:
    """The verdict if `effect` is significant."""
    holds = {
        "above": effect > statement.threshold,
        "below": effect < statement.threshold,
        "within": abs(effect) < statement.threshold,
    }[statement.direction]
    return SUPPORTED if holds else CONTRADICTED


def _p_value(statement: Statement, values: Sequence[float], level: float) -> float | None:
    """Of the effect against the threshold; of "within" by two one-sided tests (Schuirmann 1987)."""
    if statement.direction != "within":
        return one_sample(values, statement.threshold, level).p
    effect, bound = fmean(values), statement.threshold
    if _side(statement, effect) == CONTRADICTED:
        return one_sample(values, copysign(bound, effect), level).p
    found = [p for p in (one_sample(values, end, level).p for end in (-bound, bound)) if p is not None]
    return max(found) / 2 if len(found) == 2 else None


def _decided(row: dict[str, Any], p_adjusted: float | None) -> dict[str, Any]:
    if row.get("interval") != "95 % t":
        return row
    if p_adjusted is None or p_adjusted >= SIGNIFICANCE:
        reason = row["reason"] or "the effect is within seed noise"
        return {**row, "p_adjusted": p_adjusted, "verdict": OPEN, "reason": reason}
    return {**row, "p_adjusted": p_adjusted}


def _with_claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = ("claim", *SCOPE)
    verdicts = {
        key: _together({row["verdict"] for row in found}) for key, found in _by_key(rows, columns).items()
    }
    return [{**row, "claim_verdict": verdicts[values_of(row, columns)]} for row in rows]


def _together(verdicts: set[str]) -> str:
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return SUPPORTED if verdicts == {SUPPORTED} else OPEN

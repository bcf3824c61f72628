"""Verdicts on claims from the trials of a store: supported, contradicted, not enough data, or not testable with it."""

from collections.abc import Iterable, Iterator, Sequence
from math import copysign
from statistics import fmean, median
from typing import Any

import duckdb
import pyarrow as pa

from hsl.errors import NothingMatchedError
from hsl.results.claims.claim import EXACT, Claim, Part, Setting, Statement
from hsl.results.claims.paper import CLAIMS
from hsl.results.claims.samples import (
    SCOPE,
    Row,
    Sample,
    Scope,
    absent,
    by_key,
    each,
    lost_seeds,
    majority,
    present,
    sample,
    selected,
    unlike,
    without_seeds,
)
from hsl.results.claims.view import make_views, read_tables
from hsl.results.sequential import asked_levels
from hsl.results.shaping import fields, values_of
from hsl.results.stats import (
    ALIKE,
    CONFIDENCE,
    GAIN,
    MINIMUM_SEEDS,
    SIGNIFICANCE,
    adjusted,
    mean_interval,
    one_sample,
)
from hsl.store.database import label, run, sandbox
from hsl.store.store import Store
from hsl.wording import and_more

SUPPORTED, CONTRADICTED = "supported", "contradicted"
OPEN, UNTESTABLE = "not enough data", "not testable"

SHOWN_PARTS = 3

SCHEMA = pa.schema(
    [
        *fields(pa.string(), "claim", "claim_verdict", "statement", "dataset", "model", "factors", "verdict"),
        *fields(pa.string(), "reason", "about", "measure", "direction"),
        *fields(pa.float64(), "threshold", "effect", "low", "high"),
        *fields(pa.string(), "interval"),
        *fields(pa.int64(), "n"),
        *fields(pa.string(), "n_of"),
        *fields(pa.float64(), "p_value", "p_adjusted"),
        *fields(pa.int64(), "seeds_lost"),
        *fields(pa.list_(pa.string()), "cells"),
        *fields(pa.string(), "source"),
    ]
)


def evaluate(store: Store, claims: Iterable[Claim] = CLAIMS) -> pa.Table:
    """Test every statement of the claims on the trials of a store that it is about.

    Accuracies are those of completed trials of the confirm stage, of the best configuration by validation
    per regime, method, distribution and sparsity. Values are averaged over cells to one per seed, over the
    seeds that every cell has; cells with fewer than three seeds are left out. A t test of the effect against
    the threshold (for "within" two one-sided ones), p-values corrected over all statements by
    Benjamini-Hochberg, decides at 0.05. Costs and layer densities are hardly a matter of seeds: there the
    range over all completed trials of networks with three seeds decides. A statement is tested only where the paper
    makes it: on its networks and data sets, in its range of sparsities, with all methods that it names; elsewhere it is
    not testable, which neither supports nor contradicts it, and its effect is shown without a verdict. A statement
    about most methods is tested by partial conjunction: more than half of them. Where seeds were added until the
    result was clear, intervals and p-values allow for it. Data sets, models and further factors are never mixed.

    Args:
        store: Where to read.
        claims: What to test.

    Returns:
        One row per statement and scope (data set, model, further factors): claim, claim_verdict (supported if
        all its statements are in that scope, contradicted if any is), statement, dataset, model, factors
        (JSON), verdict, reason (what is missing), about (the networks and data sets of the paper), measure, direction,
        threshold, effect with low and high and the name of that interval, n, n_of ("seeds", "trials" or "pairs of
        cells"), p_value (two-sided, of "within" one-sided), p_adjusted, seeds_lost (confirming trials of its cells and
        of their dense counterparts that did not complete), cells, source.

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
            for row in _statement(connection, claim, statement, scopes, level)
        ]
        lost = lost_seeds(connection)
    if not rows:
        raise NothingMatchedError("no completed trial is stored yet; run `hsl sweep` first")
    corrected = adjusted([row.get("p_value") for row in rows])
    decided = [_decided(row, p) for row, p in zip(rows, corrected, strict=True)]
    for row in decided:
        row["seeds_lost"] = len(set[str]().union(*(lost.get(cell, ()) for cell in row["cells"])))
    return pa.Table.from_pylist(_with_claims(decided), schema=SCHEMA)


def _statement(
    connection: duckdb.DuckDBPyConnection,
    claim: Claim,
    statement: Statement,
    scopes: Iterable[Scope],
    level: float,
) -> Iterator[dict[str, Any]]:
    """The rows of a statement, before the correction."""
    a = selected(connection, statement, statement.a)
    b = selected(connection, statement, statement.b) if statement.b else None
    there, others = present(connection, statement), unlike(connection)
    settings = claim.settings_of(statement)
    for scope in scopes:
        own = setting(scope)
        if own in claim.settings and own not in settings:
            continue  # the paper does not say it of this one
        sides = a.get(scope, []), None if b is None else b.get(scope, [])
        missing = _missing(statement, settings, own, there.get(scope, [False] * len(statement.needs)))
        if scope in others and missing is None:
            missing = (
                f"not testable with this store: its networks have {others[scope]}, those of the claim do not"
            )
        yield {
            "statement": statement.text,
            **dict(zip(SCOPE, scope, strict=True)),
            "about": "; ".join(map(str, settings)) or None,
            "measure": statement.measure,
            "direction": statement.direction,
            "threshold": statement.threshold,
            **_in_bounds(statement, sides, level, missing),
        }


def setting(scope: Scope) -> Setting:
    """Model and data set of a scope by their names."""
    dataset, model, *_ = scope
    return Setting(model, dataset.partition(":")[0])


def _missing(
    statement: Statement, settings: Sequence[Setting], own: Setting, there: Sequence[bool]
) -> str | None:
    """Why a statement cannot be tested with a store, or None."""
    if settings and own not in settings:
        return f"not testable with this store: it has {own}, the claim is about {_listed(map(str, settings))}"
    if lacking := absent(statement, there):
        missing = _listed(part.words for part in lacking)
        return f"not testable with this store: no {missing}, on {statement.regime.words}"
    return None


def _listed(words: Iterable[str]) -> str:
    return and_more(dict.fromkeys(words), SHOWN_PARTS)


def _in_bounds(
    statement: Statement, sides: tuple[Sequence[Row], Sequence[Row] | None], level: float, missing: str | None
) -> dict[str, Any]:
    """Effect and verdict; outside the bounds of the paper the effect alone."""
    found = sample(statement, *sides)
    values = _verdict_values(statement, sides, found, level)
    if missing is not None:
        values |= {"verdict": UNTESTABLE, "reason": missing, "p_value": None}
    return {"cells": found.cells, **values}


def _verdict_values(
    statement: Statement,
    sides: tuple[Sequence[Row], Sequence[Row] | None],
    found: Sample,
    level: float,
) -> dict[str, Any]:
    """Effect, interval and p-value; the verdict on p-values comes with their correction."""
    a, b = sides
    if few := without_seeds(statement, [*a, *(b or ())]):
        return _too_few(statement, found, few)
    if statement.measure in EXACT:
        return _exact(statement, found)
    if statement.is_of_most:
        return _most(statement, each(statement, a), level)
    values = found.values
    if len(values) < MINIMUM_SEEDS:
        return {"verdict": OPEN, "reason": found.lacks, "n": len(values), "n_of": "seeds"}
    mean, low, high, n = mean_interval(values, level, GAIN)
    p = _p_value(statement, values, level)
    row = {"effect": mean, "low": low, "high": high, "interval": "95 % t", "n": n, "n_of": "seeds"}
    return {**row, "p_value": p, "verdict": _side(statement, mean), "reason": ALIKE if p is None else None}


def _too_few(statement: Statement, found: Sample, few: Sequence[Part]) -> dict[str, Any]:
    pairs = "seeds" if statement.measure in EXACT else "confirming seeds, shared with dense"
    reason = f"less than {MINIMUM_SEEDS} {pairs}, of {_listed(part.words for part in few)}"
    return {"verdict": OPEN, "reason": reason, "n": 0, "n_of": "seeds"}


def _most(statement: Statement, values: Sequence[Sequence[float]], level: float) -> dict[str, Any]:
    """Whether a statement holds of more than half of the networks, or does not hold of at least half.

    The p-value of "at least r of m hold" is (m - r + 1) times the r-th smallest of their one-sided p-values, valid for
    dependent tests (Benjamini and Heller, Biometrics 64, 2008); networks that are missing count as 1.
    """
    least, of = majority(statement), len(statement.needs)
    above = _conjunction([_one_sided(v, statement.threshold, 1, level) for v in values], least, of)
    below = _conjunction([_one_sided(v, statement.threshold, -1, level) for v in values], of - least + 1, of)
    holds, fails = (above, below) if statement.direction == "above" else (below, above)
    means = [fmean(v) for v in values]
    return {
        "effect": median(means),
        "low": min(means),
        "high": max(means),
        "interval": "range over methods",
        "n": min(map(len, values)),
        "n_of": "seeds",
        "p_value": min(1.0, 2 * min(holds, fails)),
        "verdict": SUPPORTED if holds <= fails else CONTRADICTED,
        "reason": None,
    }


def _conjunction(p_values: Sequence[float], least: int, of: int) -> float:
    ordered = sorted([*p_values, *[1.0] * (of - len(p_values))])
    return min(1.0, (of - least + 1) * ordered[least - 1])


def _one_sided(values: Sequence[float], bound: float, sign: int, level: float) -> float:
    """p-value of the mean being above the bound (`sign` 1) or below it (-1); 1 where seeds do not vary."""
    found = one_sample(values, bound, level)
    if found.p is None:
        return 1.0
    return found.p / 2 if sign * (found.difference - bound) > 0 else 1 - found.p / 2


def _exact(statement: Statement, found: Sample) -> dict[str, Any]:
    values, n_of = found.values, "pairs of cells" if statement.b else "trials"
    if not values:
        return {"verdict": OPEN, "reason": found.lacks, "n": 0, "n_of": n_of}
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
    if row.get("n_of") != "seeds" or row["verdict"] in {OPEN, UNTESTABLE}:
        return row
    if p_adjusted is None or p_adjusted >= SIGNIFICANCE:
        reason = row["reason"] or "the effect is within seed noise"
        return {**row, "p_adjusted": p_adjusted, "verdict": OPEN, "reason": reason}
    return {**row, "p_adjusted": p_adjusted}


def _with_claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = ("claim", *SCOPE)
    verdicts = {
        key: _together({row["verdict"] for row in found}) for key, found in by_key(rows, columns).items()
    }
    return [{**row, "claim_verdict": verdicts[values_of(row, columns)]} for row in rows]


def _together(verdicts: set[str]) -> str:
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return verdicts.pop() if len(verdicts) == 1 else OPEN

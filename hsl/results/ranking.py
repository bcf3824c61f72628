"""How configurations are ranked: by validation alone, confirmed ones first, cell by cell or along a front."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from hsl.errors import HslError, UnknownNameError
from hsl.store.database import label, run, sandbox

TESTED = ("test_matched_accuracy", "test_clean_accuracy")
"""Columns of which a trial that was tested has one."""

READ = (
    *(
        "trial_id",
        "cell",
        "configuration_id",
        "stage",
        "status",
        "seed",
        "objective",
        "dataset",
        "model",
        "split_seed",
        "regime",
    ),
    *("method", "distribution", "sparsity", "parameters"),
    *("seconds", "training_flops", "inference_flops", "nonzeros"),
    *TESTED,
)
"""Columns of trials that every ranking reads."""

TIE = 9
"""Decimals of a mean of accuracies: those of equal counts of samples may differ in the last bits of their sums."""

# Only completed trials are averaged. A configuration that was confirmed is ranked by its confirming seeds
# alone: the search seed is the one by which it was selected. A seed counts once, also where a merged store has it
# under two names. Nothing depends on the order of rows: sums are in the order of their terms.
_CONFIGURATIONS = """
WITH once AS (
  SELECT *, row_number() OVER (
      PARTITION BY {names}, baseline, configuration_id, stage ORDER BY usable DESC, cell, trial_id) AS place
  FROM (SELECT *, {keys}, {usable} AS usable FROM {source})
  QUALIFY row_number() OVER (
    PARTITION BY {names}, baseline, configuration_id, stage, seed ORDER BY usable DESC, cell, trial_id) = 1
), configurations AS (
  SELECT {names}, baseline, configuration_id, stage = 'confirm' AS confirmed,
    arg_min(cell, place) AS cell, arg_min(dataset, place) AS dataset, arg_min(model, place) AS model,
    arg_min(split_seed, place) AS split_seed, arg_min(regime, place) AS regime,
    arg_min(method, place) AS method, arg_min(distribution, place) AS distribution,
    arg_min(sparsity, place) AS sparsity, arg_min(parameters, place) AS parameters,
    count(*) FILTER (stage = 'search') AS searched,
    count(*) FILTER (stage = 'search' AND status = 'stopped') AS stopped_early,
    count(*) FILTER (status = 'failed') AS broken,
    count(*) FILTER (usable) AS seeds,
    count(*) FILTER (stage = 'confirm' AND NOT usable) AS seeds_lost,
    avg(objective ORDER BY objective) FILTER (usable) AS objective,
    avg(seconds ORDER BY seconds) FILTER (usable) AS seconds,
    avg(training_flops ORDER BY training_flops) FILTER (usable) AS training_flops,
    avg(inference_flops ORDER BY inference_flops) FILTER (usable) AS inference_flops,
    avg(nonzeros ORDER BY nonzeros) FILTER (usable) AS nonzeros,
    list({{'seed': seed, 'trial_id': trial_id, 'test': test_{metric}_accuracy, 'val': val_{metric}_accuracy}}
      ORDER BY seed) FILTER (usable) AS runs
  FROM once GROUP BY {names}, baseline, configuration_id, stage
), counted AS (
  SELECT *, (sum(searched) OVER everyone)::BIGINT AS considered,
    (sum(stopped_early) OVER everyone)::BIGINT AS stopped, (sum(broken) OVER everyone)::BIGINT AS failed
  FROM configurations WINDOW everyone AS (PARTITION BY {names}, baseline)
), preferred AS (
  SELECT * FROM counted WHERE seeds > 0
  QUALIFY row_number() OVER (PARTITION BY {names}, baseline, configuration_id ORDER BY confirmed DESC) = 1
), eligible AS (
  SELECT *, count(*) FILTER (confirmed) OVER (PARTITION BY {pool}) AS candidates
  FROM (SELECT *, {eligible} AS allowed FROM preferred) WHERE allowed
)
"""

USABLE = f"""(status = 'completed' AND coalesce(isfinite(objective), false)
    AND (stage <> 'confirm' OR coalesce(isfinite(coalesce({", ".join(TESTED)})), false)))"""
"""Which trials count: a confirming one without a test accuracy is lost, for its validation as well."""

_TOP = """
SELECT *, row_number() OVER (
  PARTITION BY {names}, baseline ORDER BY confirmed DESC, round(objective, {tie}) DESC, configuration_id) AS rank
FROM eligible QUALIFY rank <= {top} ORDER BY {names}, baseline DESC, rank
"""

# A point is on the front if none has more of x and at least as much of y, or as much of x and more of y.
_FRONT = """
, points AS (
  SELECT *, {first} AS y, {second} AS x FROM eligible
  WHERE isfinite({first}) AND isfinite({second})
), ranked AS (
  SELECT *, max(y) OVER (PARTITION BY {names}, x) AS best_here,
    max(y) OVER (PARTITION BY {names} ORDER BY x DESC
      RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS best_beyond
  FROM points
)
SELECT *, row_number() OVER (PARTITION BY {names} ORDER BY y DESC, x DESC, configuration_id) AS rank
FROM ranked WHERE y = best_here AND y > coalesce(best_beyond, '-infinity'::DOUBLE)
ORDER BY {names}, rank
"""

OBJECTIVES: Mapping[str, str] = {
    "accuracy": f"round(objective, {TIE})",
    "sparsity": "sparsity::DOUBLE",
    "flops": "-training_flops",
    "inference_flops": "-inference_flops",
    "nonzeros": "-nonzeros",
    "seconds": "-seconds",
}
"""What a front can weigh: name to an expression of which more is better. accuracy is the validation objective."""


class Ranking(NamedTuple):
    """What is ranked, and how.

    Attributes:
        by: Columns of trials; every combination of their values is a group.
        metric: "matched", "clean" or "worst_class": whose accuracies are listed.
        top: Configurations per group, at least 1.
        confirmed_only: True: only confirmed configurations. False: those of the search as well, after them.
            None: those of the search in groups alone where nothing is confirmed.
    """

    by: Sequence[str]
    metric: str
    top: int = 1
    confirmed_only: bool | None = None


def key_names(by: Sequence[str]) -> list[str]:
    """Names of the columns that say which group a row is of: key_0, key_1, ...; one where all rows are one group."""
    return [f"key_{i}" for i in range(max(len(by), 1))]


def key_columns(by: Sequence[str]) -> str:
    """These columns in SQL, of the columns that make the groups."""
    return ", ".join(f'"{name}" AS key_{i}' for i, name in enumerate(by)) or "0 AS key_0"


def ranked(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    ranking: Ranking,
    objectives: tuple[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The first configurations per group of the table `source`, or a front; key_0, key_1, ... name the group.

    `candidates` is the number of confirmed configurations among which they were chosen.

    Args:
        connection: Where the table is.
        source: Name of a table with the columns of trials and `baseline`.
        ranking: What is ranked, and how.
        objectives: Two of `OBJECTIVES`: instead of the first, all configurations that no other beats in one without
            losing in the other. Dense competes with sparse. Of equal points all are listed; a configuration that
            lacks a value is left out.
    """
    keys, names = key_columns(ranking.by), ", ".join(key_names(ranking.by))
    pool = names if objectives else f"{names}, baseline"  # within which a confirmed one shuts out the others
    eligible = {
        True: "confirmed",
        False: "true",
        None: f"confirmed OR NOT bool_or(confirmed) OVER (PARTITION BY {pool})",
    }[ranking.confirmed_only]
    first, second = (OBJECTIVES[name] for name in objectives or ("accuracy", "sparsity"))
    sql = (_CONFIGURATIONS + (_FRONT if objectives else _TOP)).format(
        keys=keys,
        names=names,
        source=source,
        metric=ranking.metric,
        usable=USABLE,
        eligible=eligible,
        pool=pool,
        top=int(ranking.top),
        first=first,
        second=second,
        tie=TIE,
    )
    return run(connection, sql).to_pylist()


def check_objectives(objectives: tuple[str, str]) -> None:
    """Refuse anything but two different objectives."""
    for name in objectives:
        if name not in OBJECTIVES:
            raise UnknownNameError("objective of a front", name, OBJECTIVES)
    if objectives[0] == objectives[1]:
        raise HslError(
            f"a front weighs two objectives; {objectives[0]!r} was given twice; allowed: {', '.join(OBJECTIVES)}"
        )


def ranks(tables: Mapping[str, pa.Table], cells: Sequence[str]) -> dict[tuple[str, str], int]:
    """Cell and configuration_id to its rank from 1, as `best` ranks what has a completed trial, without statistics.

    Args:
        tables: The tables trials and cells.
        cells: Names of the cells to rank within.
    """
    named = pa.table({"cell": pa.array(cells, pa.string())})
    with sandbox({**tables, "named": named}) as connection:
        label(connection)
        wanted = run(connection, "SELECT * FROM labelled WHERE cell IN (SELECT cell FROM named)")
        connection.register("matching", wanted)
        rows = ranked(connection, "matching", Ranking(("cell",), "matched", max(len(wanted), 1), False))
    return {(row["cell"], row["configuration_id"]): row["rank"] for row in rows}

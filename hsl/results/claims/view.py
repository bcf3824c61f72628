"""The trials of a store with what claims ask of them: their regime by its configuration, and their gains."""

import json
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from hsl.results.dense import READ_CELLS, counterparts, levels_of, shared_axes
from hsl.results.divisions import SPLIT
from hsl.results.ranking import TIE
from hsl.results.shaping import fields
from hsl.store.database import run
from hsl.store.store import Store

_COLUMNS = (
    *("trial_id", "configuration_id", "cell", "stage", "status", "seed", "dataset", "model", SPLIT),
    *("method", "distribution", "sparsity", "configuration", "layer_densities"),
    *("objective", "test_matched_accuracy", "test_clean_accuracy", "training_flops"),
)

UNLIKE = {
    "a part of the data set (split.limit)": "(configuration->>'$.split.limit') IS NOT NULL",
    "layers that are left out or kept dense": """coalesce(len(json_keys(configuration->'$.layers')), 0)
      > len(list_filter(json_keys(configuration->'$.layers'), lambda key: key IN ('ties', 'at_least')))""",
    "a selection that is balanced over classes": "(configuration->>'$.regime.keep.class_balanced') = 'true'",
    "as many steps as with all samples": "(configuration->>'$.regime.keep.budget') = 'steps'",
    "corruptions that are tied to classes (skew)": "(configuration->>'$.regime.corruption.skew') IS NOT NULL",
    "attacks whose steps do not reach their bound": """TRY_CAST(configuration->>'$.regime.attack.step' AS DOUBLE)
      * coalesce(TRY_CAST(configuration->>'$.regime.attack.steps' AS DOUBLE), 10)
      < TRY_CAST(configuration->>'$.regime.attack.eps' AS DOUBLE)""",
    "less than half of its 200 epochs": "TRY_CAST(configuration->>'$.training.epochs' AS BIGINT) < 100",
}
"""What no network of the paper has (in words, and in SQL), so that it says nothing of such networks."""

# Configurations are stored without what is default, hence the defaults here. A part of the data that is no
# plain share (a count, a long tail) has no fraction.
_DESCRIBED = """
CREATE TABLE described AS
SELECT trials.* EXCLUDE (regime), coalesce(others.factors, '{{}}') AS factors,
  coalesce(json_extract(regime, '$')::VARCHAR, '{{}}') AS regime_key,
  CASE WHEN (regime->>'$.keep.count') IS NULL AND (regime->>'$.keep.long_tail') IS NULL
    THEN coalesce(TRY_CAST(regime->>'$.keep.fraction' AS DOUBLE), 1.0) END AS fraction,
  coalesce(regime->>'$.keep.by', 'random') AS score,
  coalesce(regime->>'$.keep.which', 'hardest') AS which,
  coalesce(TRY_CAST(regime->>'$.corruption.severity' AS BIGINT), 0) AS severity,
  TRY_CAST(CASE WHEN json_type(regime, '$.corruption.name') = 'ARRAY' THEN regime->'$.corruption.name'
    WHEN (regime->>'$.corruption.name') IS NULL THEN '[]'::JSON
    ELSE json_array(regime->>'$.corruption.name') END AS VARCHAR[]) AS corruptions,
  CASE WHEN (regime->>'$.corruption.test_severity') IS NULL
    THEN coalesce(regime->>'$.corruption.where', 'both') ELSE 'different' END AS corrupted,
  CASE WHEN (regime->>'$.attack') IS NOT NULL THEN coalesce(regime->>'$.attack.name', 'pgd') END AS attack,
  coalesce(regime->>'$.attack.norm', 'linf') AS norm,
  TRY_CAST(regime->>'$.attack.eps' AS DOUBLE) AS eps,
  (regime->>'$.label_noise') IS NOT NULL AS label_noise,
  list_avg(densities[:len(densities) // 2]) - list_avg(densities[(len(densities) + 1) // 2 + 1:])
    AS shallow_excess
FROM (
  SELECT * EXCLUDE (configuration, layer_densities),
    json_extract(configuration, '$.regime') AS regime,
    nullif(concat_ws(', ', {unlike}), '') AS unlike,
    coalesce(json_extract(configuration, '$.model')::VARCHAR, json_object('name', model)::VARCHAR) AS model_key,
    CASE WHEN json_valid(layer_densities) THEN TRY_CAST(json_extract(layer_densities, '$.*') AS DOUBLE[]) END
      AS densities
  FROM labelled WHERE status = 'completed' AND json_valid(configuration)
) AS trials LEFT JOIN others USING (cell)
"""

# From these the dense counterpart of a cell is found; here a regime and a model are their configurations.
_KINDS = """
SELECT DISTINCT cell, dataset, model_key AS model, split_seed, regime_key AS regime, method, status FROM described
"""

# Of several configurations of one network in one regime the best by validation, as for every answer.
_CONFIRMED = """
CREATE TABLE confirmed AS
-- A seed of a configuration counts once, also where a merged store has it under two names.
WITH named AS (
  SELECT *, CASE WHEN baseline THEN cell ELSE '' END AS dense_cell
  FROM described WHERE stage = 'confirm' AND isfinite(objective)
), fresh AS (
  SELECT * REPLACE (min(cell) OVER (
    PARTITION BY dataset, model_key, factors, regime_key, dense_cell, configuration_id) AS cell)
  FROM named QUALIFY row_number() OVER (
    PARTITION BY dataset, model_key, factors, regime_key, dense_cell, configuration_id, seed
    ORDER BY named.cell, trial_id) = 1
), configurations AS (
  SELECT dataset, model_key, factors, regime_key, dense_cell, configuration_id
  FROM fresh GROUP BY dataset, model_key, factors, regime_key, dense_cell, method, distribution, sparsity,
    configuration_id
  QUALIFY row_number() OVER (
    PARTITION BY dataset, model_key, factors, regime_key, dense_cell, method, distribution, sparsity
    ORDER BY round(avg(objective ORDER BY objective), {tie}) DESC, configuration_id) = 1
), chosen AS (
  SELECT fresh.* FROM fresh
  SEMI JOIN configurations USING (dataset, model_key, factors, regime_key, dense_cell, configuration_id)
), dense AS (
  SELECT dataset, model_key, regime_key, dense_cell, seed, avg(test_matched_accuracy) AS matched,
    avg(test_clean_accuracy) AS clean
  FROM chosen WHERE baseline GROUP BY ALL
), sparse AS (
  SELECT chosen.* REPLACE (counterparts.dense AS dense_cell)
  FROM chosen LEFT JOIN counterparts USING (cell) WHERE NOT baseline
)
SELECT sparse.*, test_matched_accuracy - dense.matched AS matched_gain,
  test_clean_accuracy - dense.clean AS clean_gain
FROM sparse LEFT JOIN dense USING (dataset, model_key, regime_key, dense_cell, seed)
"""


def read_tables(store: Store) -> dict[str, pa.Table]:
    """The tables trials, cells, and others: levels of each cell in factors that no claim is about and dense has too."""
    cells, trials = store.read("cells", [*READ_CELLS, "confidence"]), store.read("trials", _COLUMNS)
    divisions, others = _divisions(trials), {}
    for cell, levels in levels_of(cells).items():
        shared = shared_axes(levels).items()
        own = {axis: level for axis, level in shared if axis not in ("regime", "model")}
        others[cell] = json.dumps(own | divisions.get(cell, {}), sort_keys=True)
    return {"trials": trials, "cells": cells, "others": _pairs("cell", "factors", others)}


def _divisions(trials: pa.Table) -> dict[str, dict[str, Any]]:
    """Of each cell the seed of its division of the data set, where there are several: seeds of two are never mixed."""
    if len(trials[SPLIT].unique()) < 2:
        return {}
    pairs = zip(trials["cell"].to_pylist(), trials[SPLIT].to_pylist(), strict=True)
    return {cell: {"split.seed": seed} for cell, seed in pairs}


def _pairs(key: str, value: str, found: Mapping[str, str]) -> pa.Table:
    """A mapping as a table of two columns."""
    return pa.table(
        {key: [*found], value: [*found.values()]}, schema=pa.schema(fields(pa.string(), key, value))
    )


def make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `described`, the completed trials, and `confirmed`, those of sparse networks that statements are tested on.

    Args:
        connection: With the tables of `read_tables` and the view `labelled`.
    """
    cases = (f"CASE WHEN {condition} THEN '{words}' END" for words, condition in UNLIKE.items())
    connection.execute(_DESCRIBED.format(unlike=", ".join(cases)))
    found = counterparts(run(connection, "SELECT * FROM cells"), run(connection, _KINDS))
    connection.register("counterparts", _pairs("cell", "dense", found))
    connection.execute(_CONFIRMED.format(tie=TIE))

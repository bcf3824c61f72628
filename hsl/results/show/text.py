"""Values and answers as text for people: percent, few digits, and the summary of `best`."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from hsl.results.divisions import ALIKE_SPLITS, COVERS_SPLITS, FEW_SPLITS
from hsl.results.shaping import grouped
from hsl.results.stats import ALIKE, CHOSEN, COVERS, COVERS_SAMPLES, EQUAL, FEW, MINIMUM_SEEDS

NOTES = {FEW: " *", ALIKE: " **", EQUAL: " =", FEW_SPLITS: " *", ALIKE_SPLITS: " **"}
"""Marks of differences without an interval."""


LOST = "lost: confirming trials that did not finish; the seeds that did may be the easier ones.\n"
"""What lost seeds mean."""


def percent(value: float | None, width: float | None = None, sign: bool = False) -> str:
    """A fraction as percent: one decimal, or two where the interval is narrower than half a percent.

    Args:
        value: Fraction; None gives "-".
        width: Width of its interval, as a fraction.
        sign: Whether to write a plus.
    """
    if value is None:
        return "-"
    digits = 2 if width is not None and width < 0.005 else 1
    return f"{100 * value:{'+' if sign else ''}.{digits}f}"


def with_interval(mean: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """Fractions as ``85.4 [82.0, 88.8]``, in percent; without the brackets where there is no interval."""
    if low is None or high is None:
        return percent(mean, sign=sign)
    return f"{percent(mean, high - low, sign)} {ends_only(low, high, sign)}"


def ends_only(low: float | None, high: float | None, sign: bool = False) -> str:
    """The ends of an interval of fractions as ``[82.0, 88.8]``, in percent; nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"[{percent(low, high - low, sign)}, {percent(high, high - low, sign)}]"


def is_accuracy(name: str) -> bool:
    """Whether a column of this name holds accuracies, which are fractions."""
    return name.endswith("_accuracy")


def cell(name: str, value: object, in_percent: bool = True) -> str:
    """A value for people; of a column of accuracies, which are fractions, in percent unless `in_percent` is false."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return percent(value) if in_percent and is_accuracy(name) else f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value if isinstance(value, str) else json.dumps(plain(value), default=str, ensure_ascii=False)


def plain(value: object) -> object:
    """`value` in the types of JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def summary(answer: pa.Table, pareto: tuple[str, str] | None = None) -> pa.Table:
    """The result of `best` in few columns of text, which fit 100 characters; of a front with what it weighs."""
    names = answer.column_names
    keys = names[: names.index("baseline")]
    rows = answer.to_pylist()
    if not pareto and any(row["rank"] > 1 for row in rows):
        keys = [*keys, "rank"]
    kept, unequal = _kept(rows, "test", "difference"), _had_unequal_choice(rows)
    shown = [
        _summary(row, keys, pareto) | (_choice(row) if unequal else {}) | _over_samples(row, kept)
        for row in rows
    ]
    return pa.Table.from_pylist(shown)


def _had_unequal_choice(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a winner was chosen from another number of finished configurations than its dense counterpart."""
    return any(row["advantage"] is not None and row["finished"] != row["dense_finished"] for row in rows)


def _choice(row: Mapping[str, Any]) -> dict[str, str]:
    if row["advantage"] is None:
        return {"of": str(row["finished"]), "advantage": ""}
    return {
        "of": f"{row['finished']} / {row['dense_finished']}",
        "advantage": percent(row["advantage"], sign=True),
    }


def caption(answer: pa.Table, pareto: tuple[str, str] | None = None) -> str:
    """What the marks in `summary` of this answer mean."""
    rows = answer.to_pylist()
    metric = rows[0]["metric"] if rows else ""
    kinds = {row["difference_kind"] for row in rows}
    lines = [
        f"Chosen on validation; {metric} test accuracy as mean [95 % t interval] and number of seeds n.",
        f"Intervals are {COVERS}; none below {MINIMUM_SEEDS} seeds, or if seeds do not vary.",
        *_splits_caption(rows),
        *_samples_caption(rows),
        *_chosen_caption(rows),
    ]
    if pareto:
        first, second = pareto
        lines.insert(
            0, f"No configuration has better {first} without worse {second}; accuracy is validation %."
        )
    if "paired" in kinds:
        lines.append("difference: to dense of the same regime, paired by seed.")
    if "unpaired" in kinds:
        lines.append("~ difference to dense of the same regime, seeds not shared (Welch).")
    if _compares_with_others(rows):
        lines.append(
            "dense %: of the dense counterpart, which need not be the dense row where there are several."
        )
    if _had_unequal_choice(rows):
        lines.append(
            "of: configurations trained to the end, of this group / of its dense counterpart; advantage: what the best "
            "of so many more is expected to gain by that alone, in points of validation."
        )
    noted = {row["difference_note"] for row in rows}
    lines += [f"{mark.strip()} no interval: {note}." for note, mark in NOTES.items() if note in noted]
    if not all(row["confirmed"] for row in rows):
        lines.append("unconfirmed: best trial of the search, not retrained with fresh seeds, so optimistic.")
    if any(row["seeds_lost"] for row in rows):
        lines.append("n of m seeds as n/m: the others did not finish and are not in the mean.")
    return "\n".join(lines)


def _compares_with_others(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a row is compared with another dense network than those that have rows."""
    dense = {row["test_mean"] for row in rows if row["baseline"]}
    return bool(dense) and any(
        row["dense_mean"] not in dense
        for row in rows
        if not row["baseline"] and row["dense_mean"] is not None
    )


def compared(answer: pa.Table) -> pa.Table:
    """The result of `compare` in few columns of text."""
    names = answer.column_names
    keys = names[: names.index("metric")]
    kept = _kept(answer.to_pylist(), "difference")
    averaged = _averages_cells(answer.to_pylist())
    rows = [
        {
            **{key: cell(key, row[key]) for key in keys},
            "a %": percent(row["a_mean"]),
            "b %": percent(row["b_mean"]),
            "difference [CI]": _difference({**row, "baseline": False}),
            **_over_samples(row, kept),
            "n": str(row["seeds"])
            + (f" x {row['splits']} splits" if _splits(row) > 1 else "")
            + (f" ({row['seeds_lost']} lost)" if row["seeds_lost"] else ""),
            **({"cells a, b": f"{row['a_cells']}, {row['b_cells']}"} if averaged else {}),
            "p": cell("p", row["p_value"]),
            "p corrected": cell("p", row["p_adjusted"]),
            "verdict": row["verdict"],
        }
        for row in answer.to_pylist()
    ]
    return pa.Table.from_pylist(rows)


def _averages_cells(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a side of some row is the mean of several cells."""
    return any(max(row["a_cells"], row["b_cells"]) > 1 for row in rows)


def compared_caption(answer: pa.Table, a: str, b: str) -> str:
    """What the columns of `compared` mean."""
    rows = answer.to_pylist()
    kinds = {row["difference_kind"] for row in rows}
    paired = "paired by seed" + (", or Welch where marked ~" if "unpaired" in kinds else "")
    cells = "cells: a side of several is the mean of their winners; name their factors in --by to tell them apart.\n"
    return (
        f"a: {a}; b: {b}; {rows[0]['metric']} test accuracy of the confirmed winner of each cell, a - b [95 % t "
        f"interval], {paired}.\n{LOST if any(row['seeds_lost'] for row in rows) else ''}"
        f"{cells if _averages_cells(rows) else ''}"
        f"Intervals are {COVERS}; none below {MINIMUM_SEEDS} seeds, or if seeds do not vary.\n"
        + "".join(
            f"{line}\n" for line in (*_splits_caption(rows), *_samples_caption(rows), *_chosen_caption(rows))
        )
        + f"p: two-sided t test, corrected over {len(rows)} rows by Benjamini-Hochberg; better means p below 0.05."
    )


def claimed(answer: pa.Table) -> pa.Table:
    """The result of `hsl.results.claims.evaluate` in few columns of text."""
    rows = answer.to_pylist()
    scope = [name for name in ("dataset", "model", "factors") if len({row[name] for row in rows}) > 1]
    signs = {"above": ">", "below": "<", "within": "±"}
    shown = [
        {
            "claim": row["claim"],
            **{name: cell(name, row[name]) for name in scope},
            "statement": row["statement"],
            "bound": f"{signs[row['direction']]} {100 * row['threshold']:g}",
            "effect": with_interval(row["effect"], row["low"], row["high"], sign=row["interval"] != "range"),
            "n": str(row["n"]) + (f" ({row['seeds_lost']} lost)" if row["seeds_lost"] else ""),
            "p": cell("p", row["p_adjusted"]),
            "verdict": row["verdict"] + (f" ({row['reason']})" if row["reason"] else ""),
        }
        for row in rows
    ]
    return pa.Table.from_pylist(shown)


def claimed_caption(answer: pa.Table) -> str:
    """What the columns of `claimed` mean, and the claims as a whole."""
    rows = answer.to_pylist()
    tested = sum(row["p_value"] is not None for row in rows)
    groups = sorted(grouped(rows, lambda row: row["claim_verdict"]).items())
    claims = {verdict: dict.fromkeys(row["claim"] for row in found) for verdict, found in groups}
    return "\n".join(
        [
            "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in claims.items()),
            f"effect: in percentage points, mean [95 % t interval] {COVERS}, n seeds; of layer densities and of costs "
            "(percent of dense), which seeds hardly change, mean [range] over n trials or pairs of cells.",
            "not testable: the paper does not say it of such networks, data or sparsities, or they are not there; "
            "it neither supports nor contradicts the claim.",
            *([LOST.rstrip()] if any(row["seeds_lost"] for row in rows) else []),
            f"p: t test against the bound, corrected over {tested} statements by Benjamini-Hochberg; "
            "--format json lists the cells of each.",
        ]
    )


_WEIGHED = {"flops": "training_flops"}
"""The columns of what a front weighs, where they have other names."""


def _weighed(row: Mapping[str, Any], pareto: tuple[str, str] | None) -> dict[str, str]:
    return {
        name: percent(row["objective"]) if name == "accuracy" else cell(name, row[_WEIGHED.get(name, name)])
        for name in pareto or ()
    }


def _summary(row: Mapping[str, Any], keys: list[str], pareto: tuple[str, str] | None) -> dict[str, str]:
    named = " ".join(row[name] for name in ("method", "distribution") if name not in keys and row[name])
    return {
        **{key: cell(key, row[key]) for key in keys},
        "configuration": named,
        **_weighed(row, pareto),
        "test % [95 % CI] n": _test(row),
        "dense %": "" if row["baseline"] else percent(row["dense_mean"]),
        "difference [CI]": _difference(row),
    }


def _test(row: Mapping[str, Any]) -> str:
    lost = f"/{row['seeds'] + row['seeds_lost']}" if row["seeds_lost"] else ""
    interval = with_interval(row["test_mean"], row["test_low"], row["test_high"])
    if row["confirmed"] and _splits(row) > 1:
        return f"{interval} {row['splits']} splits"
    return f"{interval} {row['seeds']}{lost}" if row["confirmed"] else f"{interval} unconfirmed"


_SIGNED = {"difference"}


def _kept(rows: Sequence[Mapping[str, Any]], *names: str) -> list[str]:
    """Those of some estimates that have an interval over seeds and samples in some row."""
    return [name for name in names if any(row.get(f"{name}_samples_low") is not None for row in rows)]


def _over_samples(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {f"{name} [CI+]": _ends_of(row, name) for name in names}


def _ends_of(row: Mapping[str, Any], name: str) -> str:
    return ends_only(row[f"{name}_samples_low"], row[f"{name}_samples_high"], sign=name in _SIGNED)


def _splits_caption(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return (
        [f"Of rows of several splits they are {COVERS_SPLITS}."]
        if max(map(_splits, rows), default=1) > 1
        else []
    )


def _splits(row: Mapping[str, Any]) -> int:
    return int(row.get("splits") or 1)


def _samples_caption(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    sizes = sorted({row["samples"] for row in rows if row.get("samples") is not None})
    return [f"CI+: {COVERS_SAMPLES}, of {' or '.join(map(str, sizes))} samples."] if sizes else []


def _chosen_caption(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    most = max((row.get("candidates") or 0 for row in rows), default=0)
    return [f"Chosen among up to {most} confirmed candidates; intervals {CHOSEN}."] if most > 1 else []


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "" if row["baseline"] else "no dense result"
    text = with_interval(row["difference"], row["difference_low"], row["difference_high"], sign=True)
    note = NOTES.get(row.get("difference_note") or "", "")
    return text + {"paired": "", "unpaired": " ~", "point": " no interval"}[row["difference_kind"]] + note

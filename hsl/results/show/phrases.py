"""Numbers and lists as the sentences of a report need them."""

from collections.abc import Mapping, Sequence
from typing import Any

from hsl.results.show import text
from hsl.results.stats import COVERS

NOTHING = "–"  # noqa: RUF001 (an en dash, which is what a table shows for no value)
INTERVAL = f"95 % t interval {COVERS}"
MAX_PANELS = 12
"""Panels of a figure; more would make it unreadable."""


def listed(names: Sequence[str], limit: int = 6) -> str:
    """``a, b and c``; names beyond the limit are counted."""
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit + 1} more"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def with_interval(mean: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """As `text.with_interval`; nothing is an en dash."""
    return NOTHING if mean is None else text.with_interval(mean, low, high, sign)


def ends(mean: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    """A mean and the ends of its interval, as a drawing takes them."""
    return {"mean": scaled(mean), "low": scaled(low), "high": scaled(high)}


def points(difference: float) -> str:
    """A difference of fractions as ``+8.4``, in percentage points."""
    shown = text.percent(difference, sign=True)
    return shown if float(shown) else "0.0"


def first_panels(names: Sequence[str]) -> tuple[list[str], str]:
    """The panels that fit into a figure, and the sentence that says how many did not."""
    kept = list(dict.fromkeys(names))
    if len(kept) <= MAX_PANELS:
        return kept, ""
    return kept[:MAX_PANELS], f" The first {MAX_PANELS} of {len(kept)} panels are drawn."


def named(row: Mapping[str, Any]) -> str:
    """Method and distribution of a row."""
    return " ".join(part for part in (row["method"], row["distribution"]) if part)


def scaled(fraction: float | None, digits: int = 3) -> float | None:
    """A fraction in percent, rounded to what a drawing can show."""
    return None if fraction is None else round(100.0 * fraction, digits)

"""Numbers and lists as the sentences of a report need them."""

from collections.abc import Mapping, Sequence
from typing import Any

from hsl.results.report.structs import Cell
from hsl.results.show import text

NOTHING = "–"  # noqa: RUF001 (an en dash, which is what a table shows for no value)
INTERVAL = "95 % t interval"
MAX_ROWS = 300
"""Rows of a table on the page; a query shows all."""
MAX_PANELS = 12
"""Panels of a figure, for the same reason."""


def listed(names: Sequence[str], limit: int = 6) -> str:
    """``a, b and c``; names beyond the limit are counted."""
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit + 1} more"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def with_interval(mean: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """As `text.with_interval`; nothing is an en dash."""
    return NOTHING if mean is None else text.with_interval(mean, low, high, sign)


def interval(mean: float | None, low: float | None, high: float | None, sign: bool = False) -> Cell:
    """`with_interval`, to sort by the mean."""
    return Cell(with_interval(mean, low, high, sign), mean)


def ends(mean: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    """A mean and the ends of its interval, as a drawing takes them."""
    return {"mean": scaled(mean), "low": scaled(low), "high": scaled(high)}


def points(difference: float) -> str:
    """A difference of fractions as ``+8.4``, in percentage points."""
    shown = text.percent(difference, sign=True)
    return shown if float(shown) else "0.0"


def number(value: float | None, digits: int = 3, mark: str = "") -> Cell:
    """A number to sort by, with a few significant digits."""
    return Cell(NOTHING) if value is None else Cell(f"{value:,.{digits}g}", value, mark)


def level(sparsity: float) -> Cell:
    """A sparsity to sort by, with all its digits."""
    return Cell(f"{sparsity:g}", sparsity)


def whole(value: int | None) -> Cell:
    """A whole number to sort by."""
    return Cell(NOTHING) if value is None else Cell(f"{value:,}", value)


def shortened(rows: Sequence[tuple[Cell, ...]], rest: str) -> tuple[tuple[tuple[Cell, ...], ...], str]:
    """The rows that fit on a page, and a sentence that names the command `rest`, which shows all."""
    if len(rows) <= MAX_ROWS:
        return tuple(rows), ""
    return tuple(rows[:MAX_ROWS]), f"The first {MAX_ROWS} of {len(rows):,} rows; all of them: {rest}"


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

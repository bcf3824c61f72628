"""Amounts in words."""

from collections.abc import Iterable


def amount(budget: str, value: float) -> str:
    """An amount as people write it."""
    if budget == "wall_time":
        return duration(value)
    return f"{value:.0f}" if budget == "epochs" else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use: ``0.25 s``, ``45 s``, ``12.5 min``, ``3.5 h``, ``2.0 d``."""
    if seconds < 90:
        return f"{round(seconds, 2):.3g} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.3g} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"


def count(number: int, noun: str) -> str:
    """``1 trial``, ``1,234 trials``."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def and_more(names: Iterable[object], most: int) -> str:
    """The first names, and how many others there are: ``a, b and 3 more``."""
    every = [str(name) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return f"{', '.join(every[:most])}{more}"


def kind_of(regime: str, is_sparse: bool) -> str:
    """Name of a kind of trials, which develop alike: those of a regime, dense apart from sparse."""
    return f"{regime}, {'sparse' if is_sparse else 'dense'}"

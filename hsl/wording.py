"""Amounts in words."""

from __future__ import annotations


def amount(budget: str, value: float) -> str:
    """An amount as people write it."""
    if budget == "wall_time":
        return duration(value)
    return f"{value:.0f}" if budget == "epochs" else f"{value:.2f}"


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

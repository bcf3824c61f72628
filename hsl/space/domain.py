"""Domains of the axes that a search tunes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from hsl.training.configuration import Strict

SIGNIFICANT_DIGITS = 4


def within(value: float, low: float, high: float) -> float:
    """`value` rounded to `SIGNIFICANT_DIGITS`, but between `low` and `high`."""
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)


def has_duplicates(values: Sequence[Any]) -> bool:
    """Whether two values are equal, 1 and 1.0 included."""
    return any(value in values[:index] for index, value in enumerate(values))


class Domain(Strict):
    """Values of a tuned parameter: exactly one of choice, uniform, loguniform and int.

    Attributes:
        choice: Values to choose from.
        uniform: Lowest and highest value.
        loguniform: The same, uniform in the logarithm; both above 0.
        int: Lowest and highest whole number.
        steps: Number of evenly spaced values of a real range, for loguniform in the logarithm.
    """

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    int: tuple[Whole, Whole] | None = None
    steps: Annotated[Whole, Field(ge=2, le=10_000)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Domain:
        given = self.model_dump(exclude_none=True, exclude={"steps"})
        if len(given) != 1:
            raise ValueError("give exactly one of choice, uniform, loguniform, int")
        bounds = self.bounds
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError(f"the lower bound {bounds[0]} must be below the upper bound {bounds[1]}")
        if self.choice and has_duplicates(self.choice):
            raise ValueError("a choice is listed twice")
        if self.steps and not (self.uniform or self.loguniform):
            raise ValueError("steps divide uniform or loguniform; choice and int are finite already")
        return self

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lowest and highest value of a numeric domain."""
        return self.uniform or self.loguniform or self.int

    @property
    def size(self) -> float:
        """Number of values; infinite for real ranges without steps."""
        if self.choice:
            return len(self.choice)
        return self.int[1] - self.int[0] + 1 if self.int else self.steps or math.inf

    def holds(self, value: Any) -> bool:
        """Whether a value is one of the domain; of a real range with steps one that is nearly."""
        if self.choice:
            return value in self.choice
        if isinstance(value, bool) or not isinstance(value, Whole | float):
            return False
        if self.steps:
            return any(
                math.isclose(value, self.value(i), rel_tol=10**-SIGNIFICANT_DIGITS) for i in range(self.steps)
            )
        low, high = self.bounds or (0.0, 0.0)
        return low <= value <= high and (self.int is None or value == Whole(value))

    def __str__(self) -> str:
        """The domain as it is written in a space."""
        given = self.model_dump(exclude_none=True, mode="json")
        return ", ".join(f"{name}: {value}" for name, value in given.items())

    def value(self, index: Whole) -> Any:
        """The value number `index`, from 0, of a finite domain."""
        if self.choice:
            return self.choice[index]
        if self.int:
            return self.int[0] + index
        assert self.steps is not None
        share = index / (self.steps - 1)
        if self.loguniform:
            low, high = self.loguniform
            return within(low * (high / low) ** share, low, high)
        low, high = self.uniform or (0.0, 1.0)
        return within(low + (high - low) * share, low, high)


LARGEST_GRID = 1_000_000
"""Most combinations of a grid: their order is kept in memory, and no sweep trains more."""


def infinite_axes(domains: dict[str, Domain]) -> list[str]:
    """Tuned axes that a grid cannot enumerate."""
    return [axis for axis, domain in domains.items() if math.isinf(domain.size)]


Whole = int
"""The type under a name that the field ``int`` of `Domain` does not shadow."""

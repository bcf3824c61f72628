"""The order of candidates by one objective or several: the best first. Pure."""

from collections.abc import Sequence
from typing import TypeVar

from hsl.space.sections import DIRECTIONS

T = TypeVar("T")

Point = tuple[float, ...]
"""Values of all objectives of a candidate, each to be maximised."""


def ranked(points: Sequence[Point]) -> list[int]:
    """Indices of `points`, all of the same length and without NaN, the best first.

    With one objective that is its order. With several, those that nothing dominates come first, then those that
    only they dominate, and so on (non-dominated sorting: Deb et al. 2002, NSGA-II); within such a front the first
    objective decides. Equal candidates keep their order.
    """
    left = sorted(range(len(points)), key=lambda index: points[index], reverse=True)
    if not points or len(points[0]) == 1:
        return left
    order: list[int] = []
    while left:
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        order += front
        left = [index for index in left if index not in set(front)]
    return order


def signed(values: Sequence[float], against: Sequence[str]) -> Point:
    """An objective, which is maximised, and further ones of these names, signed so that more is better."""
    signs = (1, *(1 if DIRECTIONS[name] == "maximize" else -1 for name in against))
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))


def interleaved(ranks: Sequence[Sequence[T]]) -> list[T]:
    """The first of each, then the second of each, and so on."""
    longest = max(map(len, ranks), default=0)
    return [rank[place] for place in range(longest) for rank in ranks if place < len(rank)]


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is as good as `b` in everything and better in something."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))

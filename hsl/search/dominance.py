"""The order of candidates by one objective or several: the best first. Pure."""

from collections.abc import Sequence

Point = tuple[float, ...]
"""Values of all objectives of a candidate, each to be maximised."""


def ranked(points: Sequence[Point]) -> list[int]:
    """Indices of `points`, the best first.

    With one objective that is its order. With several, those that nothing dominates come first, then those that
    only they dominate, and so on (non-dominated sorting: Deb et al. 2002, NSGA-II); within such a front the first
    objective decides. Equal candidates keep their order.

    Args:
        points: All of the same length, without NaN.
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


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is as good as `b` in everything and better in something."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))

"""How far apart configurations are (distance of Gower, Biometrics 27, 1971, positive numbers by their logarithm)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Values = Mapping[str, Any]


def distance(a: Values, b: Values, spans: Mapping[str, float]) -> float:
    """Mean over all parameters: 1 where they differ, numbers by their distance as a share of its span."""
    names = sorted({*a, *b})
    return sum(_apart(a.get(name), b.get(name), spans.get(name)) for name in names) / max(1, len(names))


def _apart(a: Any, b: Any, span: float | None) -> float:
    if span and _is_number(a) and _is_number(b) and min(a, b) > 0:
        return min(1.0, abs(math.log(a / b)) / span)
    return float(a != b)


def spans_of(configurations: Sequence[Values]) -> dict[str, float]:
    """Logarithmic range of each parameter whose values are positive numbers."""
    values: dict[str, list[Any]] = {}
    for configuration in configurations:
        for name, value in configuration.items():
            values.setdefault(name, []).append(value)
    numeric = {n: v for n, v in values.items() if all(_is_number(x) and x > 0 for x in v)}
    return {name: math.log(max(own) / min(own)) for name, own in numeric.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Rows in groups, and the columns of answers."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

Item = TypeVar("Item")
Group = TypeVar("Group")


def grouped(items: Iterable[Item], key: Callable[[Item], Group]) -> dict[Group, list[Item]]:
    """The items by their key, both in the order in which they come."""
    groups: dict[Group, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def values_of(row: Mapping[str, Any], columns: Iterable[str]) -> tuple[Any, ...]:
    """The values of a row in some columns."""
    return tuple(row[name] for name in columns)


def fields(kind: pa.DataType, *names: str) -> list[pa.Field]:
    """Columns of one type."""
    return [pa.field(name, kind) for name in names]

"""Readers of the JSON columns of the store; a value of another form is refused, with the row that holds it.

Every reader has the arguments of `document` and raises a StoreError that names the row.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from hsl.errors import StoreError
from hsl.store.rows import refuse_constant

_NAMES = ("trial_id", "configuration_id", "cell", "session")
"""Columns by which a row can be found again, the most exact first."""


def document(row: Mapping[str, Any], table: str, column: str) -> Any:
    """Any JSON; None for null.

    Args:
        row: Column name to value: the JSON column, and one that identifies the row.
        table: Its table, for the message.
        column: Name of the JSON column.

    Raises:
        StoreError: If it holds no JSON.
    """
    text = row[column]
    if text is None:
        return None
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _unfit(row, table, column, f"no JSON ({error})") from error


def mapping(row: Mapping[str, Any], table: str, column: str) -> dict[str, Any]:
    """A JSON object; empty for null."""
    found = document(row, table, column)
    if found is not None and not isinstance(found, dict):
        raise _unfit(row, table, column, "no JSON object")
    return found or {}


def numbers(row: Mapping[str, Any], table: str, column: str) -> dict[str, float]:
    """A JSON object of finite numbers; empty for null."""
    found = mapping(row, table, column)
    if not all(_is_finite(value) for value in found.values()):
        raise _unfit(row, table, column, "no JSON object of finite numbers")
    return {name: float(value) for name, value in found.items()}


def shaped(row: Mapping[str, Any], table: str, column: str, shape: Any) -> Any:
    """JSON that fits `shape`, a type that pydantic understands (strict)."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  most answers do without

    found = document(row, table, column)
    try:
        return TypeAdapter(shape).validate_python(found, strict=True)
    except ValidationError as error:
        raise _unfit(row, table, column, "JSON of another shape") from error


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _unfit(row: Mapping[str, Any], table: str, column: str, what: str) -> StoreError:
    name = next((name for name in _NAMES if name in row), None)
    where = f" of {name} {row[name]!r}" if name else ""
    return StoreError(
        f"{table}.{column}{where} holds {what}; restore the files of {table}/ "
        "or remove those that something else wrote"
    )

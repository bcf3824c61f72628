"""JSON columns of the store, read in one place: what has not the form it should is refused, and named."""

import json
import math
from collections.abc import Mapping
from typing import Any

from hsl.errors import StoreError
from hsl.store.rows import refuse_constant

_NAMES = ("trial_id", "configuration_id", "cell", "session")
"""Columns by which a row can be found again, the most exact first."""


def document(row: Mapping[str, Any], table: str, column: str) -> Any:
    """The value of a JSON column of a row; None where it has none.

    Args:
        row: With that column, and one that names the row.
        table: Its table, for the message.
        column: Name of the column.

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
    """The JSON object in a column of a row; empty where it has none.

    Args:
        row: As of `document`.
        table: As of `document`.
        column: As of `document`.

    Raises:
        StoreError: If it holds anything but a JSON object.
    """
    found = document(row, table, column)
    if found is not None and not isinstance(found, dict):
        raise _unfit(row, table, column, "no JSON object")
    return found or {}


def numbers(row: Mapping[str, Any], table: str, column: str) -> dict[str, float]:
    """The JSON object of numbers in a column of a row; empty where it has none.

    Args:
        row: As of `document`.
        table: As of `document`.
        column: As of `document`.

    Raises:
        StoreError: If it holds anything but a JSON object of finite numbers.
    """
    found = mapping(row, table, column)
    if not all(_is_finite(value) for value in found.values()):
        raise _unfit(row, table, column, "no JSON object of finite numbers")
    return {name: float(value) for name, value in found.items()}


def shaped(row: Mapping[str, Any], table: str, column: str, shape: Any) -> Any:
    """The JSON in a column of a row, of the types that are asked for.

    Args:
        row: As of `document`.
        table: As of `document`.
        column: As of `document`.
        shape: A type that pydantic understands.

    Raises:
        StoreError: If it holds anything else.
    """
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

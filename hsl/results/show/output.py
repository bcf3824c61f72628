"""Results on their way out: for a terminal, for a program, for a document.

Text in a result may be anything, so all that a terminal or a Markdown page could act on is made visible instead.
"""

import html
import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

import pyarrow as pa
from pyarrow import csv, parquet
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hsl.errors import HslError, UnknownNameError, printable
from hsl.results.show import text

FORMATS = ("table", "json", "csv", "parquet", "markdown")

_UNLIMITED = 100_000
"""Width for output that goes to no terminal: nothing is wrapped."""


def show(
    table: pa.Table,
    format: str = "table",
    stream: TextIO | None = None,
    caption: str = "",
    *,
    in_percent: bool = True,
) -> None:
    """Write `table` to `stream`.

    Args:
        table: Any result; columns whose names end in ``_accuracy`` are fractions.
        format: "table" and "markdown" are for people (accuracies in percent, few digits), "json" (list of
            objects), "csv" and "parquet" hold the exact values; in JSON a number that is not finite is null.
        stream: Text stream, standard output if None. Parquet goes to the binary buffer below it.
        caption: Text below a table for people.
        in_percent: Whether people see accuracies in percent; an expression of SQL may be called as a column of the
            store is, and be something else.

    Raises:
        UnknownNameError: If there is no such format.
        HslError: If Parquet would go to a terminal, or the format cannot hold a column's type.
    """
    stream = stream or sys.stdout
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    if format in _PEOPLE:
        _PEOPLE[format](table, stream, caption, in_percent)
        return
    try:
        _PROGRAMS[format](table, stream)
    except pa.ArrowException as error:
        raise HslError(f"{format} cannot hold this result: {error}; cast that column") from error


def show_best(
    answer: pa.Table,
    format: str = "table",
    stream: TextIO | None = None,
    *,
    pareto: tuple[str, str] | None = None,
) -> None:
    """Show what `hsl.results.best.best` returned, of a front with its objectives.

    This and the functions below sum an answer up for people and show every column to programs; format, stream and
    errors are those of `show`.
    """
    if format in _PEOPLE:
        show(text.summary(answer, pareto), format, stream, text.caption(answer, pareto))
    else:
        show(answer, format, stream)


def show_compared(
    answer: pa.Table, a: str, b: str, format: str = "table", stream: TextIO | None = None
) -> None:
    """Show what `hsl.results.compare.compare` returned for the filters `a` and `b`."""
    if format in _PEOPLE:
        show(text.compared(answer), format, stream, text.compared_caption(answer, a, b))
    else:
        show(answer, format, stream)


def show_claims(answer: pa.Table, format: str = "table", stream: TextIO | None = None) -> None:
    """Show what `hsl.results.claims.evaluate` returned."""
    if format in _PEOPLE:
        show(text.claimed(answer), format, stream, text.claimed_caption(answer))
    else:
        show(answer, format, stream)


def _terminal(table: pa.Table, stream: TextIO, caption: str, in_percent: bool) -> None:
    console = Console(file=stream, width=None if stream.isatty() else _UNLIMITED, highlight=False)
    empty = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    grid = _grid(table, _printable, empty, in_percent)
    unlimited = console.options.update(max_width=_UNLIMITED)
    if Measurement.get(console, unlimited, grid).minimum > console.width:
        _records(table, console, in_percent)
    else:
        console.print(grid)
    if caption:
        console.print(Text("\n".join(map(_printable, caption.splitlines()))))


def _records(table: pa.Table, console: Console, in_percent: bool) -> None:
    """One line per value, for rows that are too wide to be lines."""
    for row in table.to_pylist():
        grid = Table(box=None, show_header=False, pad_edge=False)
        for name, value in row.items():
            shown = text.cell(name, value, in_percent)
            grid.add_row(Text(_printable(name)), Text(_printable(shown)))
        console.print(grid, "")


def _markdown(table: pa.Table, stream: TextIO, caption: str, in_percent: bool) -> None:
    console = Console(file=stream, width=_UNLIMITED, highlight=False, color_system=None)
    console.print(_grid(table, _harmless, Table(box=box.MARKDOWN), in_percent))
    if caption:
        console.print(Text("\n" + caption.replace("\n", "  \n")))


def _grid(table: pa.Table, clean: Callable[[str], str], grid: Table, in_percent: bool) -> Table:
    """`grid`, filled with the columns and rows of `table`."""
    for field in table.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        unit = " %" if in_percent and text.is_accuracy(field.name) else ""
        header = Text(clean(field.name) + unit)
        grid.add_column(header, justify="right" if number else "left", overflow="fold")
    for row in table.to_pylist():
        grid.add_row(*(Text(clean(text.cell(name, value, in_percent))) for name, value in row.items()))
    return grid


def _printable(value: str) -> str:
    """`value` with control characters spelt out, so that it cannot steer the terminal."""
    return printable(value).replace("\n", "\\n")


def _harmless(value: str) -> str:
    """`value` so that Markdown shows it: no tag, no link or image, no end of the table cell."""
    return html.escape(_printable(value), quote=False).replace("|", "&#124;").replace("](", "]&#40;")


def _json(table: pa.Table, stream: TextIO) -> None:
    json.dump(text.plain(table.to_pylist()), stream, indent=2, ensure_ascii=False, default=str)
    stream.write("\n")


def _csv(table: pa.Table, stream: TextIO) -> None:
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            values = table[index].to_pylist()
            flat = [None if v is None else json.dumps(text.plain(v), default=str) for v in values]
            table = table.set_column(index, field.name, pa.array(flat, pa.string()))
    buffer = io.BytesIO()
    csv.write_csv(table, buffer)
    stream.write(buffer.getvalue().decode())


def _parquet(table: pa.Table, stream: TextIO) -> None:
    if stream.isatty():
        raise HslError("Parquet is no text for a terminal; redirect it into a file: > result.parquet")
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    stream.buffer.write(sink.getvalue())


_ForPeople = Callable[[pa.Table, TextIO, str, bool], None]
_ForPrograms = Callable[[pa.Table, TextIO], None]
_PEOPLE: Mapping[str, _ForPeople] = {"table": _terminal, "markdown": _markdown}
_PROGRAMS: Mapping[str, _ForPrograms] = {"json": _json, "csv": _csv, "parquet": _parquet}

"""The parts of a report as plain values; drawing and HTML know nothing of a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hsl.results.show.phrases import NOTHING, with_interval

Row = Mapping[str, Any]

MAX_ROWS = 300
"""Rows of a table on the page; more would make it unreadable, and a query shows all."""


class Cell(NamedTuple):
    """One value of a table.

    Attributes:
        text: What is shown.
        key: What the table is sorted by; the text where it is None.
        mark: Class of the value for its appearance: "good", "bad", "weak", "code" or nothing.
    """

    text: str
    key: float | None = None
    mark: str = ""


def interval(mean: float | None, low: float | None, high: float | None, sign: bool = False) -> Cell:
    """`with_interval`, to sort by the mean."""
    return Cell(with_interval(mean, low, high, sign), mean)


def number(value: float | None, digits: int = 3, mark: str = "") -> Cell:
    """A number to sort by, with a few significant digits."""
    return Cell(NOTHING) if value is None else Cell(f"{value:,.{digits}g}", value, mark)


def level(sparsity: float) -> Cell:
    """A sparsity to sort by, with all its digits."""
    return Cell(f"{sparsity:g}", sparsity)


def whole(value: int | None) -> Cell:
    """A whole number to sort by."""
    return Cell(NOTHING) if value is None else Cell(f"{value:,}", value)


def shortened(rows: Sequence[tuple[Cell, ...]], rest: str) -> tuple[tuple[tuple[Cell, ...], ...], str]:
    """The rows that fit on a page, and a sentence that names the command `rest`, which shows all."""
    if len(rows) <= MAX_ROWS:
        return tuple(rows), ""
    return tuple(rows[:MAX_ROWS]), f"The first {MAX_ROWS} of {len(rows):,} rows; all of them: {rest}"


class Mark(NamedTuple):
    """An entry of a legend, after those of the methods.

    Attributes:
        color: Name of its colour in the theme.
        shape: Its outline as an SVG path in a square from -1 to 1.
    """

    label: str
    color: str
    shape: str


@dataclass(frozen=True)
class Table:
    """A table for people, with a note below it, for example on how many rows were left out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """One of the small multiples of a figure.

    Attributes:
        title: What it shows a part of: a regime, a layer, a parameter.
        rows: The values to draw; every row has the same names.
        variant: Which of several forms of the drawing, where a figure has such.
    """

    title: str
    rows: tuple[Row, ...]
    variant: str = ""


@dataclass(frozen=True)
class Figure:
    """The data of one figure.

    Attributes:
        name: Which drawing it is, and the name of its image file.
        title: The finding, as a sentence.
        subtitle: What is drawn, of how many trials.
        caption: How to read it: interval, number of seeds, marks.
        panels: At least one.
        table: The same values in words and numbers.
        methods: Methods in it, in the order of their legend.
        marks: What else its legend explains.
        scales: What the panels share: domains and labels of their axes.
        height: Height of a panel in pixels.
    """

    name: str
    title: str
    subtitle: str
    caption: str
    panels: tuple[Panel, ...]
    table: Table
    methods: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    scales: Mapping[str, Any] = field(default_factory=dict)
    height: int = 240

    @property
    def variants(self) -> tuple[str, ...]:
        """The forms that its panels have, each once."""
        return tuple(dict.fromkeys(panel.variant for panel in self.panels))


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        name: Its anchor.
        text: Paragraphs.
        tables: Tables after those of the figures.
        missing: Sentences that say for what the store has not enough data.
        listings: Title and text of commands and files, to be copied.
    """

    name: str
    heading: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: tuple[str, ...] = ()
    listings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that a page shows.

    Attributes:
        title: Name of the sweep.
        finding: The answer in one sentence.
        facts: Pairs of label and value: how much was tried, by what, at what cost.
        palette: Method to the name of its colour and to its shape.
    """

    title: str
    finding: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    palette: Mapping[str, tuple[str, str]]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in the order of the page."""
        return tuple(figure for section in self.sections for figure in section.figures)

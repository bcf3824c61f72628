"""Progress of a sweep: counts by cell, shown live on a terminal and as plain lines elsewhere."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hsl.store.outcomes import Status
from hsl.wording import duration

LINE_SECONDS = 10.0
FRAME_SECONDS = 0.5
MAX_CELLS = 30
"""Rows of the live table; in larger sweeps the cells with something running come first."""


@dataclass
class CellTally:
    """Trials of one cell in a stage, and the best objective of those that were trained to the end; None so far."""

    planned: int = 0
    running: int = 0
    completed: int = 0
    stopped: int = 0
    failed: int = 0
    best: float | None = None

    @property
    def ended(self) -> int:
        """Trials that will not go on; paused ones are among them as long as they wait."""
        return self.completed + self.stopped + self.failed


@dataclass
class Tally:
    """Counts of one stage (``search`` or ``confirm``) by cell."""

    stage: str
    cells: dict[str, CellTally]
    began: float = field(default_factory=time.monotonic)
    _ended_before: int | None = None

    def start(self, cell: str, was_paused: bool = False) -> None:
        """Count a trial that starts; one that was paused is not counted as stopped any more."""
        if self._ended_before is None:
            self._ended_before = self.ended
        self.cells[cell].stopped -= was_paused
        self.cells[cell].running += 1

    def end(self, cell: str, status: Status, objective: float | None) -> None:
        """Count the end of a running trial; one that is paused counts as stopped until it continues."""
        self.halt(cell)
        self.count(cell, status, objective)

    def halt(self, cell: str) -> None:
        """Count a trial that leaves its worker without an end."""
        self.cells[cell].running -= 1

    def count(self, name: str, status: Status, objective: float | None) -> None:
        """Count a trial that has ended, now or in an earlier run."""
        cell = self.cells[name]
        setattr(cell, status, getattr(cell, status) + 1)
        if status == Status.COMPLETED and objective is not None:
            cell.best = objective if cell.best is None else max(cell.best, objective)

    @property
    def ended(self) -> int:
        """Trials that will not go on."""
        return sum(cell.ended for cell in self.cells.values())

    @property
    def planned(self) -> int:
        """Trials of the stage."""
        return sum(cell.planned for cell in self.cells.values())

    @property
    def failed(self) -> int:
        """Trials that ended by an error."""
        return sum(cell.failed for cell in self.cells.values())

    @property
    def running(self) -> int:
        """Trials that run now."""
        return sum(cell.running for cell in self.cells.values())

    def seconds_left(self) -> float | None:
        """Estimate from the rate of this run; None before the first trial has ended."""
        done = self.ended - (self._ended_before or 0)
        if done <= 0:
            return None
        return (time.monotonic() - self.began) / done * max(0, self.planned - self.ended)

    def line(self) -> str:
        """The counts of the stage in one line."""
        stopped = sum(cell.stopped for cell in self.cells.values())
        failed = f", {self.failed} failed" if self.failed else ""
        left = self.seconds_left()
        eta = f", about {duration(left)} left" if left is not None else ""
        return (
            f"{self.stage}: {self.ended} of {self.planned} trials ended ({stopped} stopped early{failed}), "
            f"{self.running} running{eta}"
        )


def tally_of(stage: str, planned: Mapping[str, int], ended: Iterable[Mapping[str, Any]]) -> Tally:
    """Counts of a stage, with the trials that earlier runs have ended."""
    tally = Tally(stage, {name: CellTally(planned=count) for name, count in planned.items()})
    for row in ended:
        if row["cell"] in tally.cells:
            tally.count(row["cell"], Status(row["status"]), row["objective"])
    return tally


def table_of(tally: Tally, resources: Mapping[str, float]) -> Group:
    """The live view: a line on the whole, a row for each cell."""
    table = Table("cell", box=None, pad_edge=False)
    for name in ("running", "done", "stopped", "of", "best"):
        table.add_column(name, justify="right")
    cells = list(tally.cells.items())
    if len(cells) > MAX_CELLS:
        cells = sorted(cells, key=lambda item: -item[1].running)[:MAX_CELLS]
    for name, cell in cells:
        best = "" if cell.best is None else f"{100 * cell.best:.1f} %"
        done = f"{cell.completed}" + (f" [red]+{cell.failed} failed[/red]" if cell.failed else "")
        counts = (str(cell.running or ""), done, str(cell.stopped or ""), str(cell.planned))
        table.add_row(name, *counts, best)
    used = ", ".join(f"{amount:g} {name}" for name, amount in resources.items() if name in {"CPU", "GPU"})
    return Group(Text(tally.line()), Text(f"cluster: {used}", style="dim"), table)


class Progress:
    """Shows a tally; `refresh` may be called at any rate."""

    def __init__(self, console: Console, resources: Callable[[], Mapping[str, float]]) -> None:
        self._console = console
        self._resources = resources
        self._live: Live | None = None
        self._shown = time.monotonic()

    @contextmanager
    def showing(self, tally: Tally) -> Iterator[None]:
        """Show `tally` as long as the context lasts, and its last state once more at the end."""
        self._tally = tally
        self._shown = time.monotonic()
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
                yield
        else:
            yield
        self._live = None
        self._console.print(tally.line(), highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Show the present state, if it is time."""
        now = time.monotonic()
        if now - self._shown < (FRAME_SECONDS if self._live else LINE_SECONDS):
            return
        self._shown = now
        if self._live:
            self._live.update(table_of(self._tally, self._resources()), refresh=True)
        else:
            self._console.print(self._tally.line(), highlight=False, markup=False, soft_wrap=True)

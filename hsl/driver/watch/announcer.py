"""Lines that a sweep prints."""

from collections.abc import Iterable

from rich.console import Console

from hsl.provenance import redact_known


class Announcer:
    """Prints what the user must know, without credentials, and each warning once."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._warned: set[str] = set()

    def say(self, line: str) -> None:
        """Print a line."""
        self.console.print(redact_known(line), highlight=False, markup=False, soft_wrap=True)

    def warn(self, warnings: Iterable[str]) -> None:
        """Print the warnings that were not printed before."""
        for warning in warnings:
            if warning not in self._warned:
                self.say(f"warning: {warning}")
                self._warned.add(warning)

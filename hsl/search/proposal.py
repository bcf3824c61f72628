"""A configuration that a search proposes."""

from dataclasses import dataclass
from typing import Any

from hsl.training.configuration import Configuration


@dataclass(frozen=True)
class Proposal:
    """A configuration to try.

    Attributes:
        values: Tuned values (axis -> value).
        number: Its place in the order of the cell's proposals, from 0.
        source: Who proposed it: name of the sampler, ``first`` or ``warm_start``.
        turn: Its place in the order of all proposals, from 0.
        seen: How many of these, from the first on, had ends that it depends on; None where none depends on any.
    """

    values: dict[str, Any]
    configuration: Configuration
    number: int = 0
    source: str = ""
    turn: int = 0
    seen: int | None = None

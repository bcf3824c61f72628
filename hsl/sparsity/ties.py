"""Which of equally scored weights are kept, dropped or grown, where not the first of them.

Weights tie more often than it seems: magnitudes in bfloat16, gradients of inputs that are constant (the border of an
image), zeros of units that are dead or were just grown. Indices are places in the network, so by index the first
inputs and the first units would be favoured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Ties:
    """At random: every choice among equal ones is as likely as any other.

    Attributes:
        generator: CPU generator of the draws. None are made where nothing ties, so that the masks, and all that is
            drawn later, are then those of no `Ties` at all, which is the lowest index.
    """

    generator: torch.Generator

    def some(self, total: int, wanted: int) -> Tensor:
        """Mask of `wanted` of `total` equal ones, boolean [total]; a tenth of the time of a permutation."""
        fewer = min(wanted, total - wanted)
        drawn = torch.zeros(total, dtype=torch.bool)
        missing = fewer
        while missing:  # some places were drawn twice
            drawn[torch.randint(total, (missing,), generator=self.generator)] = True
            missing = fewer - int(torch.count_nonzero(drawn))
        return drawn if fewer == wanted else ~drawn

    def order(self, total: int) -> Tensor:
        """Order of so many equal ones, int64 [total]."""
        return torch.randperm(total, generator=self.generator)


TIES: Mapping[str, Callable[[torch.Generator], Ties | None]] = {"random": Ties, "index": lambda _: None}
"""What a user may ask for -> what decides, from the generator of everything random."""


def shuffle_equal_(order: Tensor, values: Tensor, ties: Ties) -> None:
    """Rearrange, within runs of equal values, the positions that have them; in place.

    Args:
        order: Positions, int64 [N], by ascending value.
        values: Their values in that order, [N].
        ties: What decides.
    """
    same = values[1:] == values[:-1]
    tied = functional.pad(same, (0, 1)) | functional.pad(same, (1, 0))
    places = tied.nonzero().flatten()
    if len(places):
        runs = functional.pad((~same).cumsum(0), (1, 0))[places]
        mixed = ties.order(len(places)).to(places.device)
        order[places] = order[places[mixed[runs[mixed].argsort(stable=True)]]]

"""When masks change, and how much: pure functions of the step number. Torch-free.

There is one clock: the number of optimizer steps that are done. Fractions are fractions of a trial's total
steps, so a schedule means the same at any budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


def to_step(fraction: float, total_steps: int) -> int:
    """The step at `fraction` of `total_steps`, halves rounded up.

    Args:
        fraction: In [0, 1].
        total_steps: Steps of the whole training, at least 1.

    Returns:
        A step in [0, total_steps].
    """
    return math.floor(fraction * total_steps + 0.5)


def cubic_progress(step: int, start: int, end: int) -> float:
    """Fraction of the target sparsity that is due after `step` steps.

    Rises from 0 at `start` to exactly 1 at `end` as 1 - (1 - x)^3 (Zhu and Gupta 2017, arXiv:1710.01878).

    Args:
        step: Steps done.
        start: Last dense step.
        end: Step at which the target is due, larger than `start`.

    Returns:
        A number in [0, 1].
    """
    if step >= end:
        return 1.0
    remaining = 1.0 - max(step - start, 0) / (end - start)
    return 1.0 - remaining**3


def round_progress(sparsity: float, k: int, rounds: int) -> float:
    """Fraction of the target sparsity that is due after round k of n, when the density is to be d^(k / n).

    Args:
        sparsity: The target, in (0, 1).
        k: Rounds done, in [1, rounds].
        rounds: Rounds in all.

    Returns:
        A number in (0, 1], exactly 1 after the last round.
    """
    return 1.0 if k == rounds else (1.0 - (1.0 - sparsity) ** (k / rounds)) / sparsity


def cosine_drop_fraction(step: int, initial: float, end: int, final: float = 0.0) -> float:
    """Fraction of the active weights that an update at `step` drops.

    Goes from `initial` to `final` at `end` along half a cosine (Evci et al. 2020, arXiv:1911.11134).

    Args:
        step: Steps done.
        initial: Fraction at step 0, in [0, 1].
        end: Step at which `final` is due, at least 1.
        final: Fraction at the end, in [0, 1].

    Returns:
        A number between `initial` and `final`.
    """
    if step >= end:
        return final
    return final + (initial - final) / 2 * (1 + math.cos(math.pi * step / end))


def stepwise_fraction(step: int, initial: float, end: int) -> float:
    """Fraction that is halved at three quarters of the way and nothing at the end.

    So the mutation of MEST falls at epochs 90 and 120 (Yuan et al. 2021, arXiv:2110.14032).

    Args:
        step: Steps done.
        initial: Fraction at step 0.
        end: Step at which nothing is left, at least 1.
    """
    if step >= end:
        return 0.0
    return initial if step < 0.75 * end else initial / 2


@dataclass(frozen=True)
class GradualSchedule:
    """Steps after which a gradual method prunes, and how far.

    Attributes:
        start: Steps before pruning begins.
        end: Steps after which the target is reached, exactly.
        interval: Steps between prunings, at least 1.
        initial: Fraction of the target sparsity that the network starts with, in [0, 1].
    """

    start: int
    end: int
    interval: int
    initial: float = 0.0

    @classmethod
    def from_fractions(
        cls, start: float, end: float, interval: float, total_steps: int, *, initial: float = 0.0
    ) -> GradualSchedule:
        """Schedule of a training of `total_steps` (at least 1) from fractions of it, each in [0, 1].

        However small the budget is, the target is reached within it.
        """
        last = max(1, to_step(end, total_steps))
        first = min(to_step(start, total_steps), last - 1)
        return cls(first, last, max(1, to_step(interval, total_steps)), initial)

    def prunes_after(self, step: int) -> bool:
        """Whether weights are removed once `step` steps are done; always so at `end`."""
        on_grid = (step - self.start) % self.interval == 0
        return step == self.end or (self.start < step < self.end and on_grid)

    def progress(self, step: int) -> float:
        """Fraction of the target sparsity that is due after `step` steps."""
        if step >= self.end:
            return 1.0
        return self.initial + (1.0 - self.initial) * cubic_progress(step, self.start, self.end)


@dataclass(frozen=True)
class DropAndGrowSchedule:
    """Steps at which a dynamic method moves its non-zeros, and how many of them.

    Attributes:
        drop_fraction: Fraction dropped at first, in [0, 1].
        interval: Steps between updates, at least 2.
        end: First step without updates.
        decay: "cosine", "constant" or "stepwise".
        final: What a cosine ends at, in [0, 1].
    """

    drop_fraction: float
    interval: int
    end: int
    decay: str = "cosine"
    final: float = 0.0

    @classmethod
    def from_fractions(
        cls,
        drop_fraction: float,
        interval: float,
        until: float,
        total_steps: int,
        *,
        decay: str = "cosine",
        final: float = 0.0,
    ) -> DropAndGrowSchedule:
        """Schedule of a training of `total_steps` (at least 1) from fractions of it, each in [0, 1].

        An update replaces the optimizer step of the pruned layers. So the interval is two steps at least:
        with one step, a small budget would train no weight at all.
        """
        steps = max(2, to_step(interval, total_steps))
        return cls(drop_fraction, steps, to_step(until, total_steps), decay, final)

    def updates_at(self, step: int) -> bool:
        """Whether the mask is updated when `step` steps are done; never at step 0."""
        return 0 < step < self.end and step % self.interval == 0

    def fraction(self, step: int) -> float:
        """Fraction of the active weights of each layer that an update at `step` drops."""
        if self.decay == "stepwise":
            return stepwise_fraction(step, self.drop_fraction, self.end)
        if self.decay == "constant":
            return self.drop_fraction
        return cosine_drop_fraction(step, self.drop_fraction, self.end, self.final)


@dataclass(frozen=True)
class AlternatingSchedule:
    """Steps after which a network is made sparse or dense in turn (Peste et al. 2021, arXiv:2106.12379).

    Attributes:
        start: Steps of the first dense phase, at least 1.
        interval: Steps of every other phase, at least 1.
        end: Steps after which it stays sparse.
    """

    start: int
    interval: int
    end: int

    @classmethod
    def from_fractions(
        cls, start: float, end: float, interval: float, total_steps: int
    ) -> AlternatingSchedule:
        """Schedule of a training of `total_steps` (at least 1) from fractions of it, each in [0, 1]."""
        last = max(1, to_step(end, total_steps))
        first = min(max(1, to_step(start, total_steps)), last)
        return cls(first, max(1, to_step(interval, total_steps)), last)

    def change_after(self, step: int) -> Literal["sparse", "dense"] | None:
        """What the network becomes once `step` steps are done; None where it stays as it is."""
        if step == self.end:
            return "sparse"
        phase, rest = divmod(step - self.start, self.interval)
        if not self.start <= step < self.end or rest:
            return None
        return "dense" if phase % 2 else "sparse"


def granet_schedules(
    values: Mapping[str, float], sparsity: float, total_steps: int
) -> tuple[GradualSchedule, DropAndGrowSchedule]:
    """Schedules of the prunings of GraNet, and of its drops.

    Args:
        values: Hyperparameters of granet.
        sparsity: Target sparsity, in (0, 1).
        total_steps: Steps of the whole training, at least 1.
    """
    pruning = GradualSchedule.from_fractions(
        values["start"],
        values["end"],
        values["interval"],
        total_steps,
        initial=values["initial_sparsity"] / sparsity,
    )
    return pruning, DropAndGrowSchedule.from_fractions(
        values["drop_fraction"], values["interval"], 1.0, total_steps, final=values["final_drop_fraction"]
    )

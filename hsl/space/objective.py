"""Regimes as a search space describes them: what makes data hard, and by what a search on it is judged. Torch-free."""

from collections.abc import Iterable
from typing import Literal

from hsl.hardness.schema.regimes import Regime

Objective = Literal["matched", "clean", "worst_class"]
"""Validation accuracy that search and early stopping maximise: on samples as hard as those that are trained on, on
unchanged samples, or that of the class which is recognised worst, on unchanged samples."""


class SpaceRegime(Regime):
    """A regime of a search space.

    Attributes:
        objective: What is maximised in its cells; by default the objective of the space. It does not change what
            a training does, so it is no part of a configuration.
    """

    objective: Objective | None = None

    @property
    def hardness(self) -> Regime:
        """What makes the data hard, and nothing else."""
        return Regime(**{name: getattr(self, name) for name in Regime.model_fields})


def default_regime(named: str | None, regimes: Iterable[str]) -> str:
    """Name of the regime of whatever names none: the space's own, else the first that is described.

    Args:
        named: The space's ``regime``.
        regimes: Names of its ``regimes``, in order.
    """
    return named or next(iter(regimes))


def metric_name(objective: Objective) -> str:
    """Name of the column of an objective."""
    return f"val_{objective}_accuracy"

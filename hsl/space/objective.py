"""Regimes of a search space: what makes data hard, and the objective of a search on it. Torch-free."""

from collections.abc import Iterable
from typing import Literal

from hsl.hardness.schema.regimes import Regime

Objective = Literal["matched", "clean", "worst_class"]
"""Validation accuracy that search and early stopping maximise: on data matched to the training regime, on clean data,
or the lowest accuracy of a class on clean data."""


class SpaceRegime(Regime):
    """A regime of a search space.

    Attributes:
        objective: Objective of its cells; by default that of the space. It does not affect a training, so it is not
            part of a configuration.
    """

    objective: Objective | None = None

    @property
    def hardness(self) -> Regime:
        """The regime without its objective."""
        return Regime(**{name: getattr(self, name) for name in Regime.model_fields})


def default_regime(named: str | None, regimes: Iterable[str]) -> str:
    """The default regime: `named`, the ``regime`` of the space, else the first of its ``regimes``."""
    return named or next(iter(regimes))


def metric_name(objective: Objective) -> str:
    """The column of an objective."""
    return f"val_{objective}_accuracy"

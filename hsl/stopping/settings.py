"""The kinds of early stopping and their settings: what is asked of a kind before anything is trained."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import AfterValidator, Field, SerializeAsAny, WrapValidator

from hsl.errors import close_match
from hsl.registry import Registry, Wanted, imported
from hsl.stopping.rule import StoppingRule, every_epoch, milestones
from hsl.training.configuration import Strict, checked


def _epochs_or_fraction(value: float) -> float:
    """Whole epochs from 1 on, a fraction of the training below."""
    if value < 1:
        return value
    if value != int(value):
        raise ValueError("give whole epochs (1, 2, ...), or a fraction of the training between 0 and 1")
    return int(value)


Grace = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_epochs_or_fraction)]

Factor = Annotated[int, Field(ge=2)]

Share = Annotated[float, Field(ge=0, lt=1)]


class Kind(Strict):
    """The base of every kind of early stopping; by itself it stops no trial.

    One of your own adds its settings, and overrides `milestones` and `build`.

    Attributes:
        kind: Its name in a space; of one of your own ``package.module:attr``.
        rule: Reference to what makes a `StoppingRule` of the settings, the epochs of a full training, and the seed
            of its draws (exempt trials, brackets).
        progress: The column that milestones count.
        can_pause: Whether trials may have to continue from a milestone, so that they need a checkpoint there.
    """

    progress: ClassVar[Literal["epochs_at_target", "epoch"]] = "epochs_at_target"
    can_pause: ClassVar[bool] = False
    rule: ClassVar[str] = "hsl.stopping.rule:stops_nothing"

    kind: str = "none"

    @property
    def noise(self) -> float:
        """Standard deviation of the objective over seeds, where the settings say it, else 0."""
        return 0.0

    def build(self, epochs: int, seed: int) -> StoppingRule:
        """The stopping rule for trainings of so many epochs; `seed` is that of its draws."""
        return imported(self.rule, "stopping rule")(self, epochs, seed)

    def milestones(self, epochs: int) -> tuple[int, ...]:
        """When the rule decides in a training of so many epochs, so that the worker reports there."""
        return ()


class _Rule(Kind):
    """Common settings of the kinds of early stopping of this package.

    Attributes:
        grace: Epochs since the target sparsity was reached before the first decision, or a fraction of all epochs.
        exempt: Share of trials that are never stopped, so that false stops can be estimated, in [0, 1).
    """

    grace: Grace = 0.1
    exempt: Share = 0.05


class _Halving(_Rule):
    """Rungs at growing distances.

    Attributes:
        reduction_factor: Each rung is this many times further; about one in so many goes on.
    """

    reduction_factor: Factor = 4

    def milestones(self, epochs: int) -> tuple[int, ...]:
        """See `Kind.milestones`."""
        return milestones(self.grace, self.reduction_factor, epochs)


class Stratified(_Halving):
    """Stratified ASHA (`hsl.stopping.rule`); rungs count epochs since the target sparsity was reached.

    The defaults were chosen by replay on half of the cells of a digits grid (16 cells of 30 full trainings) and
    checked on the other half: 41 % of the epochs, 0.4 points below the best of a cell on average over all cells.

    Attributes:
        brackets: Bracket b leaves out the first b rungs; trials are spread over them as Hyperband does.
        min_entries: A rung stops no trial before it holds as many entries.
        tolerance: A trial this close to the cut-off, in units of the objective, goes on (seed noise).
        min_correlation: A rung stops trials only where those of the kind (regime, dense apart from sparse) that were
            trained to the end have shown that it predicts, and the lower bound of its rank correlation with the end is
            above this (`hsl.stopping.rung_evidence`); -1: it stops them from the first on.
    """

    rule = "hsl.stopping.stratified:Rungs"

    kind: Literal["stratified"] = "stratified"
    brackets: Annotated[int, Field(ge=1, le=10)] = 1
    min_entries: Annotated[int, Field(ge=1)] = 3
    tolerance: Share = 0.002
    min_correlation: Annotated[float, Field(ge=-1, lt=1)] = 0.0

    @property
    def noise(self) -> float:
        """See `Kind.noise`."""
        return self.tolerance


class Promotion(_Halving):
    """ASHA by promotion (`hsl.stopping.promotion`): every trial waits at its rung until it is among the best.

    Attributes:
        min_entries: A rung promotes no trial before it holds as many entries, or no other can come.
    """

    rule = "hsl.stopping.promotion:PromotionRungs"
    can_pause = True

    kind: Literal["promotion"] = "promotion"
    min_entries: Annotated[int, Field(ge=1)] = 3


class Median(_Rule):
    """Median stopping rule within cells (`hsl.stopping.median`).

    Attributes:
        min_entries: No trial is stopped before as many got as far.
        tolerance: A trial this close to the median, in units of the objective, goes on (seed noise).
    """

    rule = "hsl.stopping.median:MedianRule"

    kind: Literal["median"] = "median"
    min_entries: Annotated[int, Field(ge=1)] = 3
    tolerance: Share = 0.002

    @property
    def noise(self) -> float:
        """See `Kind.noise`."""
        return self.tolerance

    def milestones(self, epochs: int) -> tuple[int, ...]:
        """See `Kind.milestones`."""
        return every_epoch(self.grace, epochs)


class _OfRay(Kind):
    """Ray Tune's own schedulers, one per cell, for comparison: they count all epochs and decide after every one."""

    progress = "epoch"
    rule = "hsl.stopping.ray_rules:RayRules"

    def milestones(self, epochs: int) -> tuple[int, ...]:
        """See `Kind.milestones`."""
        return every_epoch(1, epochs)


class RayAsha(_OfRay):
    """Ray Tune's own ASHA, one per cell, by epochs; for comparison.

    Attributes:
        grace: Epochs before the first rung, or a fraction of all.
        reduction_factor: Each rung is this many times further.
    """

    kind: Literal["ray_asha"] = "ray_asha"
    grace: Grace = 0.1
    reduction_factor: Factor = 4


class RayHyperband(_OfRay):
    """Ray Tune's own synchronous HyperBand, one per cell, by epochs; for comparison.

    It first fills a bracket that stops no trial, so it saves nothing where few trials of a cell run at once.

    Attributes:
        reduction_factor: Each halving keeps one in so many.
    """

    can_pause = True

    kind: Literal["ray_hyperband"] = "ray_hyperband"
    reduction_factor: Factor = 3


class RayMedian(_OfRay):
    """Ray Tune's own median stopping rule, one per cell, by epochs; for comparison.

    Attributes:
        grace: Epochs before the first decision, or a fraction of all.
        min_entries: No trial is stopped before as many got as far.
    """

    kind: Literal["ray_median"] = "ray_median"
    grace: Grace = 0.1
    min_entries: Annotated[int, Field(ge=1)] = 3


EARLY_STOPPING: Registry[type[Kind], None] = Registry(
    "kind of early stopping",
    {
        "stratified": Stratified,
        "promotion": Promotion,
        "median": Median,
        "ray_asha": RayAsha,
        "ray_hyperband": RayHyperband,
        "ray_median": RayMedian,
    },
    wanted=Wanted(
        lambda found: isinstance(found, type) and issubclass(found, Kind),
        "a subclass of hsl.stopping.settings.Kind",
    ),
)
"""Kinds of early stopping by name; a plug-in is such a class as well. ``none`` is the absence of all.

An entry is the class itself, and its class stands in this module, for the schema of a space is made of all of them
when this module is imported: a reference to a module that imports this one would be a circle. What decides is named
by `Kind.rule`, in a module of its own. A plug-in may be in any module."""


def make_rule(
    settings: Kind | None, epochs: int, seed: int, kin: Mapping[str, str] | None = None
) -> StoppingRule:
    """The stopping rule that a space asks for, see `Kind.build`; without settings the base rule.

    Args:
        settings: Of the rule.
        epochs: Of a full training.
        seed: Of the draws of the rule.
        kin: Kind of each cell, see `StoppingRule.kin`.
    """
    rule = (settings or Kind()).build(epochs, seed)
    rule.kin = kin or {}
    return rule


def is_off(value: Any) -> bool:
    """Whether a section is switched off: ``off`` and ``no``, which YAML 1.1 reads as false."""
    return value is False or (isinstance(value, str) and value.lower() in {"off", "no"})


def _kind(value: Any) -> Any:
    """``early_stopping: none`` as well as YAML's own null; a name alone; the kind where it is left out."""
    if is_off(value):
        return None
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        return value
    kind = str(value.get("kind", "stratified"))
    if kind == "none":
        if len(value) > 1:
            raise ValueError("kind none takes no other key; leave the others out, or choose another kind")
        return None
    if not EARLY_STOPPING.knows(kind):
        known = [*EARLY_STOPPING, "none"]
        raise ValueError(f"unknown kind {kind!r}{close_match(kind, known)}; known: {', '.join(known)}")
    return {**value, "kind": kind}


def _plugged(value: Any, handler: Callable[[Any], Any]) -> Any:
    """A plug-in checks its own settings."""
    given = _kind(value)
    if not isinstance(given, dict) or given["kind"] in EARLY_STOPPING:
        return handler(given)
    return checked(EARLY_STOPPING.for_schema(given["kind"]), given)


if TYPE_CHECKING:
    EarlyStopping = Kind | None
else:
    _Known = Annotated[Union[tuple(EARLY_STOPPING.values())], Field(discriminator="kind")]  # noqa: UP007  made of the registry
    EarlyStopping = Annotated[SerializeAsAny[_Known] | None, WrapValidator(_plugged)]
"""How a space asks for early stopping; None for none."""

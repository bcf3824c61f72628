"""The schema of a regime: what makes the training data hard. Free of torch.

Every check raises inside pydantic, so that one `pydantic.ValidationError` lists all wrong values with their
places.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hsl.errors import UnknownNameError, close_match
from hsl.hardness.registries import (
    ATTACKS,
    CORRUPTIONS,
    DETERMINISTIC_CORRUPTIONS,
    LABEL_NOISES,
    SCORES,
    SELECTIONS,
)
from hsl.registry import Registry

NORMS = ("linf",)
"""Norms in which an attack is bounded."""

SCORING_MODELS = 10
SCORING_EPOCH = 0.1
"""Data Diet (Paul et al., NeurIPS 2021, arXiv 2107.07075): ten models, epoch 20 of 200."""


def _problem(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{message}", {"message": message})


def _known(registry: Registry[Any]) -> AfterValidator:
    def check(name: str) -> str:
        if not registry.knows(name):
            raise _problem("unknown_name", str(UnknownNameError(registry.kind, name, registry)))
        return name

    return AfterValidator(check)


def _norm(name: str) -> str:
    if name not in NORMS:
        message = f"unknown norm {name!r}{close_match(name, NORMS)}; known: {', '.join(NORMS)}"
        raise _problem("unknown_name", message)
    return name


def _severity(value: int) -> int:
    if not 1 <= value <= 5:
        raise _problem("severity", f"severity {value} does not exist; allowed is 1-5")
    return value


def _pixels(value: object) -> float:
    """Number or expression such as ``"8/255"``, as a fraction of the range of a pixel."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        numerator, *denominator = str(value).split("/")
        number = Fraction(numerator.strip())
        for divisor in denominator:
            number /= Fraction(divisor.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise _problem("pixels", f"{value!r} is no number; write pixel units, for example 8/255") from error
    if not 0 <= number <= 1:
        raise _problem("pixels", f"{value} is outside 0-1; write it in pixel units, for example 8/255")
    return float(number)


def _positive(value: float) -> float:
    if value <= 0:
        raise _problem("pixels", "a step of 0 moves nothing; write it in pixel units, for example 2/255")
    return value


Pixels = Annotated[float, BeforeValidator(_pixels)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Count = Annotated[StrictInt, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Keep(_Part):
    """Which part of the samples is kept.

    Attributes:
        fraction: Share of the samples that stays, in (0, 1].
        by: Difficulty score that orders the samples; ``random`` orders by chance.
        which: Part of the order that stays. Always ``random`` where `by` is.
        class_balanced: Keep the same share of every class.
        models: Number of scoring models whose scores are averaged; None where nothing is scored.
        epoch: When to score, as a share of the training epochs in (0, 1]; None where nothing is scored.
    """

    fraction: Share
    by: Annotated[StrictStr, _known(SCORES)] = "random"
    which: Annotated[StrictStr, _known(SELECTIONS)] = "hardest"
    class_balanced: StrictBool = False
    models: Count | None = None
    epoch: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        """Defaults that depend on `by`, written out so that equal regimes are equal values."""
        if not isinstance(given, dict):
            return given
        if given.get("by", "random") == "random":
            return {"which": "random"} | given
        given = {name: value for name, value in given.items() if value is not None}
        return {"models": SCORING_MODELS, "epoch": SCORING_EPOCH} | given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.by == "random" and self.which != "random":
            message = f"which: {self.which} needs a score; add by, for example by: el2n, or leave which out"
            raise _problem("keep", message)
        if self.by == "random" and not (self.models is None and self.epoch is None):
            raise _problem("keep", "models and epoch belong to a score; add by, for example by: el2n")
        if self.by != "random" and self.which == "random":
            raise _problem("keep", f"which: random does not look at {self.by}; leave by and which out")
        return self


class LabelNoise(_Part):
    """Wrong labels in the training set.

    Attributes:
        kind: How the wrong label is found.
        rate: Probability that a sample gets one, in (0, 1).
    """

    kind: Annotated[StrictStr, _known(LABEL_NOISES)] = "symmetric"
    rate: Annotated[float, Field(gt=0, lt=1, strict=True)]


class Corruption(_Part):
    """Damaged images, with the constants of CIFAR-C.

    Attributes:
        name: Kind of damage.
        severity: 1 (slight) to 5 (severe).
        redraw: Draw the damage of a training image anew every epoch instead of once.
    """

    name: Annotated[StrictStr, _known(CORRUPTIONS)]
    severity: Annotated[StrictInt, AfterValidator(_severity)]
    redraw: StrictBool = False

    @model_validator(mode="after")
    def _redraw_has_an_effect(self) -> Self:
        if self.redraw and self.name in DETERMINISTIC_CORRUPTIONS:
            raise _problem("redraw", f"{self.name} draws nothing at random; leave redraw out")
        return self


class Attack(_Part):
    """Adversarial training: every training batch is attacked before the step.

    Attributes:
        name: Attack.
        norm: Norm of the perturbation that `eps` bounds.
        eps: Largest perturbation, in pixel units (images in [0, 1]); 0 is no perturbation.
        step: Length of one step, in pixel units.
        steps: Steps while training.
        eval_steps: Steps while evaluating.
        random_start: Start from a random point of the ball instead of the image.
    """

    name: Annotated[StrictStr, _known(ATTACKS)] = "pgd"
    norm: Annotated[StrictStr, AfterValidator(_norm)] = "linf"
    eps: Pixels
    step: Annotated[Pixels, AfterValidator(_positive)]
    steps: Count
    eval_steps: Count = 20
    random_start: StrictBool = True


class Regime(_Part):
    """What makes the data hard; ``{}`` is clean. The parts apply in the order in which they are listed here.

    Attributes:
        keep: Which samples stay.
        label_noise: Wrong labels.
        corruption: Damaged images.
        attack: Adversarial perturbation.
    """

    keep: Keep | None = None
    label_noise: LabelNoise | None = None
    corruption: Corruption | None = None
    attack: Attack | None = None

    @property
    def needs_scores(self) -> str | None:
        """Name of the difficulty score that every sample must have first; None where nothing is scored."""
        scored = self.keep is not None and self.keep.by != "random" and self.keep.fraction < 1
        return self.keep.by if self.keep is not None and scored else None

    @property
    def is_clean(self) -> bool:
        """Whether the training data is the data set as it is."""
        all_kept = self.keep is None or self.keep.fraction == 1
        return all_kept and self.label_noise is None and self.corruption is None and self.attack is None

    @property
    def passes_per_step(self) -> int:
        """Forward-backward passes of one training step: one, and one per step of the attack."""
        return 1 + (self.attack.steps if self.attack is not None else 0)

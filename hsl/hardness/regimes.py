"""The schema of a regime: what makes the training data hard. Free of torch.

Every check raises inside pydantic, so that one `pydantic.ValidationError` lists all wrong values with their
places.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, field_validator, model_validator

from hsl.hardness.constants import EXTRAPOLATED, EXTRAPOLATED_SEVERITY
from hsl.hardness.fields import (
    ClassMap,
    CorruptionName,
    Count,
    Name,
    Norm,
    Part,
    Pixels,
    Share,
    Step,
    known,
    problem,
)
from hsl.hardness.registries import (
    ATTACKS,
    CORRUPTIONS,
    DETERMINISTIC_CORRUPTIONS,
    LABEL_NOISES,
    SCORES,
    SELECTIONS,
)

SCORING_MODELS = 10
SCORING_EPOCH = 0.1
"""Data Diet (Paul et al., NeurIPS 2021, arXiv 2107.07075): ten models, epoch 20 of 200."""


class Keep(Part):
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
    by: Annotated[Name, known(SCORES)] = "random"
    which: Annotated[Name, known(SELECTIONS)] = "hardest"
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
            raise problem("keep", message)
        if self.by == "random" and not (self.models is None and self.epoch is None):
            raise problem("keep", "models and epoch belong to a score; add by, for example by: el2n")
        if self.by != "random" and self.which == "random":
            raise problem("keep", f"which: random does not look at {self.by}; leave by and which out")
        return self


class LabelNoise(Part):
    """Wrong labels in the training set.

    Attributes:
        kind: How the wrong label is found.
        rate: Probability that a sample gets one, in (0, 1); of `permutation` that it takes part, of
            `asymmetric` within the classes of the map.
        map: Class that each class is mistaken for, for `asymmetric` alone: ``{3: 5, 5: 3}``, or ``cifar10``.
    """

    kind: Annotated[Name, known(LABEL_NOISES)] = "symmetric"
    rate: Annotated[float, Field(gt=0, lt=1, strict=True)]
    map: ClassMap | None = None

    @model_validator(mode="after")
    def _map_belongs_to_asymmetric(self) -> Self:
        if self.kind == "asymmetric" and self.map is None:
            raise problem("map", "asymmetric needs a map of classes, for example map: {3: 5, 5: 3}")
        if self.kind != "asymmetric" and self.map is not None:
            raise problem("map", f"{self.kind} reads no map; leave it out, or set kind: asymmetric")
        return self


class Corruption(Part):
    """Damaged images, with the constants of CIFAR-C or Tiny-ImageNet-C, by the side of the images.

    Attributes:
        name: Kind of damage. Of several, each sample gets one, all being equally likely.
        allow_extrapolated: Permit severity 6, which the published data sets do not have, for the corruptions
            of `hsl.hardness.constants.EXTRAPOLATED`.
        severity: 1 (slight) to 5 (severe), of training and matched samples.
        test_severity: Severity of the matched samples, where it differs.
        where: What is damaged: training samples, matched validation and test samples, or both.
        redraw: Draw the damage of a training image anew every epoch instead of once.
    """

    name: CorruptionName
    allow_extrapolated: StrictBool = False
    severity: StrictInt
    test_severity: StrictInt | None = None
    where: Literal["train", "test", "both"] = "both"
    redraw: StrictBool = False

    @field_validator("severity", "test_severity")
    @classmethod
    def _exists(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None or 1 <= value < EXTRAPOLATED_SEVERITY:
            return value
        message = f"severity {value} does not exist; allowed is 1-5"
        if value != EXTRAPOLATED_SEVERITY:
            raise problem("severity", message)
        if not info.data.get("allow_extrapolated", False):
            raise problem("severity", f"{message}, and 6 by extrapolation with allow_extrapolated: true")
        missing = [name for name in _names(info.data.get("name", ())) if not _reaches_six(name)]
        if missing:
            known = ", ".join(sorted(EXTRAPOLATED))
            raise problem(
                "severity", f"severity 6 of {', '.join(missing)} does not exist; it does of: {known}"
            )
        return value

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> Self:
        if self.redraw and self.name in DETERMINISTIC_CORRUPTIONS:
            raise problem("redraw", f"{self.name} draws nothing at random; leave redraw out")
        if self.redraw and self.where == "test":
            raise problem(
                "redraw", "redraw is about training images, and where: test damages none; leave it out"
            )
        if self.test_severity is not None and self.where != "both":
            advice = "severity is that of the test" if self.where == "test" else "no test image is damaged"
            raise problem("test_severity", f"where: {self.where}, so {advice}; leave test_severity out")
        if self.allow_extrapolated and EXTRAPOLATED_SEVERITY not in (self.severity, self.test_severity):
            raise problem(
                "severity", "allow_extrapolated permits severity 6, and none is given; leave it out"
            )
        if self.test_severity == self.severity:
            object.__setattr__(self, "test_severity", None)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions that are mixed, or the one there is."""
        return _names(self.name)

    @property
    def matched_severity(self) -> int:
        """Severity of matched samples."""
        return self.test_severity or self.severity


def _names(name: str | tuple[str, ...]) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) else name


def _reaches_six(name: str) -> bool:
    return name in EXTRAPOLATED or name not in CORRUPTIONS


class Attack(Part):
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

    name: Annotated[Name, known(ATTACKS)] = "pgd"
    norm: Norm = "linf"
    eps: Pixels
    step: Step
    steps: Count
    eval_steps: Count = 20
    random_start: StrictBool = True


class Regime(Part):
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
        """Whether every sample, for training and for evaluation, is that of the data set as it is."""
        all_kept = self.keep is None or self.keep.fraction == 1
        return all_kept and self.label_noise is None and self.corruption is None and self.attack is None

    @property
    def passes_per_step(self) -> int:
        """Forward-backward passes of one training step: one, and one per step of the attack."""
        return 1 + (self.attack.steps if self.attack is not None else 0)

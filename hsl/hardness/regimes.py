"""The schema of a regime: what makes the training data hard. Free of torch.

Every check raises inside pydantic, so that one `pydantic.ValidationError` lists all wrong values with their
places.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hsl.hardness.constants import EXTRAPOLATED, EXTRAPOLATED_SEVERITY
from hsl.hardness.fields import (
    ClassMap,
    CorruptionName,
    Count,
    Name,
    Norm,
    Part,
    Pixels,
    Step,
    known,
    pixels,
    problem,
)
from hsl.hardness.keep import Keep
from hsl.hardness.registries import ATTACKS, CORRUPTIONS, DETERMINISTIC_CORRUPTIONS, LABEL_NOISES

USUAL: dict[str, dict[str, object]] = {
    "linf": {"eps": "8/255", "step": "2/255", "steps": 10},
    "l2": {"eps": 0.5, "step": "15/255", "steps": 10},
}
"""Attacks of Rice et al., Overfitting in Adversarially Robust Deep Learning, ICML 2020, arXiv 2002.11569."""


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

    Values that are not given are the usual ones of the norm: 8/255 in 10 steps of 2/255 for ``linf``, 0.5 in
    10 steps of 15/255 for ``l2``; of `fgsm_rs`, one step of 1.25 * eps.

    Attributes:
        name: Attack.
        norm: Norm of the perturbation that `eps` bounds.
        eps: Largest perturbation, in pixel units (images in [0, 1]); 0 is no perturbation.
        step: Length of one step, in pixel units.
        steps: Steps while training.
        eval_steps: Steps while evaluating; of `fgsm_rs` more than one are those of `pgd`.
        random_start: Start from a random point of the ball instead of the image.
    """

    name: Annotated[Name, known(ATTACKS)] = "pgd"
    norm: Norm = "linf"
    eps: Pixels
    step: Step
    steps: Count
    eval_steps: Count = 20
    random_start: StrictBool = True

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        """Usual values, written out so that equal regimes are equal values."""
        if not isinstance(given, dict):
            return given
        usual = USUAL["l2" if given.get("norm") == "l2" else "linf"]
        if given.get("name") == "fgsm_rs":
            usual = usual | {"steps": 1, "step": _fast_step(given.get("eps", usual["eps"]))}
        return usual | given

    @model_validator(mode="after")
    def _is_fast(self) -> Self:
        if self.name == "fgsm_rs" and (self.norm != "linf" or self.steps != 1 or not self.random_start):
            raise problem(
                "attack", "fgsm_rs is one step in linf from a random start; leave the others out, or use pgd"
            )
        return self


def _fast_step(eps: object) -> float:
    """1.25 * eps, at most 1; of an eps that is none, any step, as the eps is refused anyway."""
    try:
        return min(1.0, 1.25 * pixels(eps)) or 1.0
    except PydanticCustomError:
        return 1.0


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
        all_kept = self.keep is None or self.keep.keeps_all
        return all_kept and self.label_noise is None and self.corruption is None and self.attack is None

    @property
    def passes_per_step(self) -> int:
        """Forward-backward passes of one training step: one, and one per step of the attack."""
        return 1 + (self.attack.steps if self.attack is not None else 0)

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
    as_window,
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
    SIGNED_SCORES,
)

OPTIONS: dict[str, dict[str, float]] = {"stratified": {"mislabel_cut": 0.0}, "probabilistic": {"power": 1.0}}
"""Selections whose options have defaults."""

OWNERS = {"offset": "window", "mislabel_cut": "stratified", "power": "probabilistic"}
"""Which selection an option belongs to."""

SCORING_MODELS = 10
SCORING_EPOCH = 0.1
"""Data Diet (Paul et al., NeurIPS 2021, arXiv 2107.07075): ten models, epoch 20 of 200."""


class LongTail(Part):
    """Classes of ever fewer samples, from the first to the last.

    Attributes:
        imbalance: Size of the smallest class over that of the largest, in (0, 1).
        profile: ``exponential``, or ``step``: the first half of the classes large, the second small.
    """

    imbalance: Annotated[float, Field(gt=0, lt=1, strict=True)]
    profile: Literal["exponential", "step"] = "exponential"


class Keep(Part):
    """Which part of the samples is kept: a `fraction`, a `count`, `percentiles` or a `long_tail`.

    ``percentiles: [20, 80]`` keeps the samples from the 20th to the 80th percentile of difficulty; it is
    written down as the window it is, here `fraction` 0.6 and `offset` 0.2.

    Attributes:
        fraction: Share of the samples that stays, in (0, 1]; 1 where count or long_tail say how many stay.
        count: Number of training samples that stay, chosen by chance.
        by: Difficulty score that orders the samples; ``random`` orders by chance.
        which: Part of the order that stays. Always ``random`` where `by` is.
        offset: Share of the hardest samples that a ``window`` leaves out, in (0, 1).
        mislabel_cut: Share of the hardest samples that ``stratified`` leaves out as suspected mislabels, in
            [0, 1).
        power: Power of the score that is the weight of a ``probabilistic`` draw, above 0.
        long_tail: Sizes of the classes, chosen by chance; matched samples keep all of theirs.
        class_balanced: Keep the same share of every class.
        models: Number of scoring models whose scores are averaged; None where nothing is scored.
        epoch: When to score, as a share of the training epochs in (0, 1]; None where nothing is scored.
    """

    fraction: Share
    count: Count | None = None
    by: Annotated[Name, known(SCORES)] = "random"
    which: Annotated[Name, known(SELECTIONS)] = "hardest"
    offset: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None
    mislabel_cut: Annotated[float, Field(ge=0, lt=1, strict=True)] | None = None
    power: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] | None = None
    long_tail: LongTail | None = None
    class_balanced: StrictBool = False
    models: Count | None = None
    epoch: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        """Defaults that depend on other values, written out so that equal regimes are equal values."""
        if not isinstance(given, dict):
            return given
        if given.get("percentiles") is not None:
            given = as_window(given)
        if given.get("count") is not None or given.get("long_tail") is not None:
            given = {"fraction": 1.0} | given
        if given.get("by", "random") == "random":
            return {"which": "random"} | given
        given = {name: value for name, value in given.items() if value is not None}
        given = OPTIONS.get(str(given.get("which")), {}) | given
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

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if self.count is not None and self.by != "random":
            message = (
                f"a count by {self.by} leaves open how many matched samples are as hard; give a fraction"
            )
            raise problem("keep", message)
        if self.long_tail is not None and (self.by != "random" or self.class_balanced):
            raise problem(
                "keep", "a long tail is drawn by chance in every class; leave by and class_balanced out"
            )
        amounts = [self.fraction < 1, self.count is not None, self.long_tail is not None]
        if sum(amounts) > 1:
            raise problem("keep", "fraction, count and long_tail each say how much stays; give one of them")
        return self

    @model_validator(mode="after")
    def _options_of_the_selection(self) -> Self:
        for option, which in OWNERS.items():
            if getattr(self, option) is not None and self.which != which:
                message = f"{option} belongs to which: {which}; leave it out, or set which: {which}"
                raise problem("keep", message)
        if self.which == "window" and self.offset is None:
            raise problem("keep", "a window needs an offset, the share of the hardest samples to leave out")
        left_out = (self.offset or 0) + (self.mislabel_cut or 0)
        if self.fraction + left_out > 1 + 1e-9:
            message = (
                f"{left_out} of the samples are left out, so no {self.fraction} can stay; lower one of them"
            )
            raise problem("keep", message)
        if self.which == "probabilistic" and self.by in SIGNED_SCORES:
            raise problem("keep", f"probabilistic needs a score of at least 0, {self.by} can be negative")
        return self

    @property
    def keeps_all(self) -> bool:
        """Whether every sample stays."""
        return self.fraction == 1 and self.count is None and self.long_tail is None

    @property
    def options(self) -> dict[str, float]:
        """Keyword arguments of the selection."""
        given = {option: getattr(self, option) for option in OWNERS}
        return {option: value for option, value in given.items() if value is not None}


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
        all_kept = self.keep is None or self.keep.keeps_all
        return all_kept and self.label_noise is None and self.corruption is None and self.attack is None

    @property
    def passes_per_step(self) -> int:
        """Forward-backward passes of one training step: one, and one per step of the attack."""
        return 1 + (self.attack.steps if self.attack is not None else 0)

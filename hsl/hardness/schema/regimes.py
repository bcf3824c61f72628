"""The schema of a regime, which makes the training data hard. Free of torch.

Every check raises inside pydantic, so that one `pydantic.ValidationError` lists all wrong values with their
places.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hsl.hardness.corruptions.constants import EXTRAPOLATED_SEVERITY
from hsl.hardness.registries import (
    ATTACKS,
    CORRUPTIONS,
    LABEL_NOISES,
    SCORES,
    SELECTIONS,
    TRAININGS,
    attack_facts,
)
from hsl.hardness.schema.fields import (
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
from hsl.hardness.schema.keep import Keep
from hsl.registry import Registry

USUAL: dict[str, dict[str, object]] = {
    "linf": {"eps": "8/255", "step": "2/255", "steps": 10},
    "l2": {"eps": 0.5, "step": "15/255", "steps": 10},
}
"""Attacks of Rice et al., Overfitting in Adversarially Robust Deep Learning, ICML 2020, arXiv 2002.11569."""


AtBounds = Literal["moved", "clamp"]
"""Gradient of free adversarial training at pixels that are 0 or 1: 1, or that of PyTorch's `clamp`."""


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
        allow_extrapolated: Permit severity 6, which the published data sets do not have, for corruptions
            whose facts say that they have it.
        severity: 1 (slight) to 5 (severe), of training and matched samples.
        test_severity: Severity of the matched samples, where it differs.
        where: What is damaged: training samples, matched validation and test samples, or both.
        redraw: Draw the damage of a training image again every epoch instead of once.
        skew: Tie each corruption of a list to classes of the training images, in (0, 1): class c has number c of
            the names in alphabetical order (modulo their number; classes without training samples do not count), but
            for this share of its images, which have one of the others. Of matched samples all are equally likely.
            0.05, 0.02, 0.01 and 0.005 are those of Nam et al., Learning from Failure, NeurIPS 2020, arXiv 2007.02561.
    """

    name: CorruptionName
    allow_extrapolated: StrictBool = False
    severity: StrictInt
    test_severity: StrictInt | None = None
    where: Literal["train", "test", "both"] = "both"
    redraw: StrictBool = False
    skew: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = None

    @field_validator("severity", "test_severity")
    @classmethod
    def _exists(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None or 1 <= value < EXTRAPOLATED_SEVERITY:
            return value
        message = f"severity {value} does not exist; allowed is 1-5"
        if value != EXTRAPOLATED_SEVERITY:
            raise problem("severity", message)
        missing = [name for name in _names(info.data.get("name", ())) if not _reaches_six(name)]
        if missing:
            known = ", ".join(name for name in CORRUPTIONS if _reaches_six(name))
            message = f"severity 6 of {', '.join(missing)} does not exist; it does of: {known}; else give 1-5"
            raise problem("severity", message)
        if not info.data.get("allow_extrapolated", False):
            raise problem("severity", f"{message}, and 6 by extrapolation with allow_extrapolated: true")
        return value

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> Self:
        if self.redraw and isinstance(self.name, str) and not CORRUPTIONS.facts(self.name).is_random:
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

    @model_validator(mode="after")
    def _skew_is_about_training_images_and_several_corruptions(self) -> Self:
        if self.skew is None:
            return self
        if isinstance(self.name, str):
            raise problem("skew", "skew ties corruptions to classes; give a list of them as the name")
        if self.where == "test" or self.redraw:
            found = "where: test" if self.where == "test" else "redraw"
            raise problem("skew", f"skew ties training images to one corruption; leave {found} out")
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
    return max(CORRUPTIONS.facts(name).severities) >= EXTRAPOLATED_SEVERITY


class Attack(Part):
    """Adversarial training: every training batch is attacked before the step.

    Defaults depend on the norm: 8/255 in 10 steps of 2/255 for ``linf``, 0.5 in 10 steps of 15/255 for
    ``l2``; of `fgsm_rs`, one step of 1.25 * eps; of `free`, steps of eps.

    Attributes:
        name: Attack on the training images, or adversarial training with a loss of its own: `trades`, `mart`,
            `free`. Those are evaluated by `pgd`.
        norm: Norm of the perturbation that `eps` bounds.
        eps: Largest perturbation, in pixel units (images in [0, 1]); 0 is no perturbation.
        step: Length of one step, in pixel units.
        steps: Steps while training.
        eval_steps: Steps while evaluating; of `fgsm_rs` more than one are those of `pgd`.
        random_start: Start from a random point of the ball instead of the image; of `trades`, `mart` and
            `free`, which have starts of their own, only while evaluating.
        bn_mode: Mode of the model while training images are attacked. ``train`` is that of the code of Xiao et
            al.: it normalises by the batch under attack, and moves the running statistics with every step.
        beta: Weight of the divergence in the loss of `trades` (default 6) and `mart` (5).
        replays: Steps in a row that `free` takes on a batch (default 8).
        at_bounds: What `free` does with black and white pixels: ``moved`` (default), perturbed as others; ``clamp``,
            moved along the gradient of `torch.clamp` (version 0.1.0), which from PyTorch 2.14 on is zero at 0 and 1,
            so that they stay as they are.
    """

    name: Annotated[Name, known(ATTACKS, TRAININGS)] = "pgd"
    norm: Norm = "linf"
    eps: Pixels
    step: Step
    steps: Count
    eval_steps: Count = 20
    random_start: StrictBool = True
    bn_mode: Literal["eval", "train"] = "eval"
    beta: Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)] | None = None
    replays: Count | None = None
    at_bounds: AtBounds | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        """Defaults that depend on other values, written out so that equal regimes are equal values."""
        if not isinstance(given, dict):
            return given
        defaults = USUAL["l2" if given.get("norm") == "l2" else "linf"]
        name = given.get("name")
        if not isinstance(name, str) or not (ATTACKS.knows(name) or name in TRAININGS):
            return defaults | given  # the field says what is wrong with it
        facts = attack_facts(name)
        defaults = defaults | {key: value for key, value in facts.fixed.items() if key in defaults}
        if facts.step_over_eps is not None:
            defaults = defaults | {"step": _times(facts.step_over_eps, given.get("eps", defaults["eps"]))}
        return defaults | given | {k: v for k, v in facts.options.items() if given.get(k) is None}

    @model_validator(mode="after")
    def _fits_its_name(self) -> Self:
        facts = attack_facts(self.name)
        if any(getattr(self, setting) != value for setting, value in facts.fixed.items()):
            raise problem("attack", facts.advice)
        return self

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> Self:
        taken = attack_facts(self.name).options
        for option in _options():
            if getattr(self, option) is not None and option not in taken:
                owners = [name for name in TRAININGS if option in TRAININGS.facts(name).options]
                message = f"{option} belongs to {' and '.join(owners)}; leave it out, or choose one of them"
                raise problem(option, message)
        return self

    @property
    def passes_per_step(self) -> float:
        """Forward-backward passes of one training step: one per step of the attack, and those of the loss."""
        facts = attack_facts(self.name)
        return self.steps * facts.is_attacked + facts.loss_passes


def _options() -> list[str]:
    """Options that only some adversarial trainings take."""
    return sorted({option for name in TRAININGS for option in TRAININGS.facts(name).options})


def _times(factor: float, eps: object) -> float:
    """A step, at most 1; of an invalid eps any step, as the eps is refused anyway."""
    try:
        return min(1.0, factor * pixels(eps)) or 1.0
    except PydanticCustomError:
        return 1.0


class Regime(Part):
    """Everything that makes the data hard; ``{}`` is clean. The parts apply in the order of this list.

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

    def names(self) -> Iterator[tuple[Registry[Any, Any], str]]:
        """Every name of a registry in it."""
        if self.keep:
            yield SCORES, self.keep.by
            yield SELECTIONS, self.keep.which
        if self.label_noise:
            yield LABEL_NOISES, self.label_noise.kind
        for name in self.corruption.names if self.corruption else ():
            yield CORRUPTIONS, name
        if self.attack:
            yield TRAININGS if self.attack.name in TRAININGS else ATTACKS, self.attack.name

    @property
    def needs_scores(self) -> str | None:
        """Name of the difficulty score that every sample must have first; None where nothing is scored."""
        scored = self.keep is not None and self.keep.is_ranked and self.keep.fraction < 1
        return self.keep.by if self.keep is not None and scored else None

    @property
    def is_clean(self) -> bool:
        """Whether every sample, for training and for evaluation, is that of the data set as it is."""
        all_kept = self.keep is None or self.keep.keeps_all
        return all_kept and self.label_noise is None and self.corruption is None and self.attack is None

    @property
    def changes_nothing(self) -> bool:
        """Whether it trains and evaluates as a clean regime, if only because the eps of its attack is 0."""
        is_still = self.attack is not None and self.attack.eps == 0 and self.attack.name in ATTACKS
        return self.model_copy(update={"attack": None}).is_clean if is_still else self.is_clean

    @property
    def passes_per_step(self) -> float:
        """Forward-backward passes of one training step."""
        return 1 if self.attack is None else self.attack.passes_per_step

"""Evaluation of trained networks: the section ``evaluation`` of a search space. Torch-free."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hsl.hardness.registries import CORRUPTIONS, ROBUST, SCORES
from hsl.hardness.schema.fields import Count, Name, Norm, Pixels, ScoreName, Share, known
from hsl.hardness.schema.keep import Precision, Ties
from hsl.hardness.schema.regimes import USUAL
from hsl.training.configuration import Strict

CIFAR_C = (
    "brightness",
    "contrast",
    "defocus_blur",
    "elastic_transform",
    "fog",
    "frost_procedural",
    "gaussian_noise",
    "glass_blur",
    "impulse_noise",
    "jpeg_compression",
    "motion_blur",
    "pixelate",
    "shot_noise",
    "snow",
    "zoom_blur",
)
"""The fifteen corruptions over which CIFAR-10-C is averaged (Hendrycks and Dietterich 2019, arXiv 1903.12261)."""


def _different(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(names)) < len(names):
        raise ValueError("one is listed twice")
    return names


def _under(key: str) -> BeforeValidator:
    """Accept a name or a list of names in place of the mapping whose `key` it is."""

    def wrap(value: Any) -> Any:
        return {key: value} if isinstance(value, str | list | tuple) else value

    return BeforeValidator(wrap)


Different = AfterValidator(_different)
Listed = BeforeValidator(lambda value: [value] if isinstance(value, str | int) else value)
SomeCorruptions = Annotated[
    tuple[Annotated[Name, known(CORRUPTIONS)], ...], Listed, Field(min_length=1), Different
]
SomeMeasures = Annotated[tuple[Annotated[Name, known(ROBUST)], ...], Listed, Field(min_length=1), Different]
Severity = Annotated[int, Field(ge=1, le=5, strict=True)]


class Deciles(Strict):
    """Accuracy on each tenth of the samples, from the easiest to the hardest.

    Attributes:
        by: Difficulty score that orders the samples.
        models: Number of scoring models whose scores are averaged; by default that of the score.
        epoch: When to score, as a share of the training epochs in (0, 1]; by default that of the score.
        ties: Choice between equally hard samples, as of a regime: ``keyed``, at random; ``id``, the lower id is the
            easier one.
        precision: Of the scores, as of a regime: ``double`` or ``single``.
    """

    by: ScoreName = "el2n"
    models: Count | None = None
    epoch: Share | None = None
    ties: Ties = "keyed"
    precision: Precision = "double"

    @model_validator(mode="after")
    def _scores_by_something(self) -> Deciles:
        if not SCORES.facts(self.by).ranks and (self.models, self.epoch) != (None, None):
            raise ValueError(
                "models and epoch belong to a score; leave them out, or choose one, for example el2n"
            )
        return self


class Corruptions(Strict):
    """Accuracy on corrupted samples, for each kind and severity, and the mean over all of them.

    Attributes:
        names: Kinds of corruption; by default the fifteen of CIFAR-10-C.
        severities: Levels, 1 to 5; by default all five, as in the published benchmark.
        published: Folder with the unpacked ``.npy`` files of CIFAR-10-C or CIFAR-100-C: their images instead of
            corruptions of this package, for the test samples of the data set; there are none of validation samples.
    """

    names: SomeCorruptions = CIFAR_C
    severities: Annotated[tuple[Severity, ...], Listed, Field(min_length=1), Different] = (1, 2, 3, 4, 5)
    published: Annotated[str, Field(min_length=1)] | None = None


class Attacks(Strict):
    """Robust accuracy: the share of samples that are classified correctly under every attack.

    The ball is the same in every regime, so that networks of different regimes can be compared; what a network
    does under the attack of its own regime is its accuracy on matched samples.

    Attributes:
        names: Measures of robustness.
        norm: ``linf`` or ``l2``.
        eps: Radius in pixel units; by default 8/255 in ``linf``, 0.5 in ``l2``.
    """

    names: SomeMeasures
    norm: Norm = "linf"
    eps: Pixels

    @model_validator(mode="before")
    @classmethod
    def _default_radius(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("eps") is not None:
            return given
        return {**given, "eps": USUAL["l2" if given.get("norm") == "l2" else "linf"]["eps"]}


class Evaluation(Strict):
    """Evaluation of a network that is trained to the end, in addition to that of every epoch.

    Attributes:
        stages: Of the trials: ``confirm``, ``search`` (those that are not stopped early), both, or none (``[]``).
        checkpoints: ``final``, the network at the end, and ``best``, as it was at the highest objective on
            validation data after it had reached the target sparsity.
        splits: Parts of the data set, ``test`` and ``val``.
        per_class: Accuracy of each class.
        per_sample: Which clean and matched samples are classified correctly; with ``final`` and ``test``, the answers
            have intervals over test samples as well as those over seeds.
        deciles: Accuracy by difficulty; by default not.
        corruptions: Accuracy on damaged samples; by default not.
        attacks: Robust accuracy; by default not.
        samples: Number of samples that are damaged and attacked, the same for all networks; by default all.
    """

    stages: Annotated[tuple[Literal["search", "confirm"], ...], Listed, Different] = ("confirm",)
    checkpoints: Annotated[tuple[Literal["final", "best"], ...], Listed, Field(min_length=1), Different] = (
        "final",
        "best",
    )
    splits: Annotated[tuple[Literal["test", "val"], ...], Listed, Field(min_length=1), Different] = ("test",)
    per_class: bool = True
    per_sample: bool = False
    deciles: Annotated[Deciles | None, _under("by")] = None
    corruptions: Annotated[Corruptions | None, _under("names")] = None
    attacks: Annotated[Attacks | None, _under("names")] = None
    samples: Count | None = None

    @model_validator(mode="after")
    def _samples_of_something(self) -> Evaluation:
        if self.samples is not None and self.corruptions is None and self.attacks is None:
            raise ValueError(
                "samples says how many are damaged and attacked, and neither is asked for; add corruptions or "
                "attacks, or leave samples out"
            )
        return self

    def keeps_best(self, stage: str) -> bool:
        """Whether the best network of a trial of this stage is kept until it is evaluated."""
        return stage in self.stages and "best" in self.checkpoints

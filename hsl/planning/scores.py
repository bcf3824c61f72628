"""Difficulty scores that a space needs: to select samples, and to divide them into deciles.

Pure; no torch, no ray.
"""

from dataclasses import dataclass, replace

from pydantic import ValidationError

from hsl.errors import Problem, SpaceError, close_match
from hsl.hardness.registries import SCORES
from hsl.hardness.schema.keep import Keep, Precision, usual_epoch
from hsl.hardness.schema.regimes import LabelNoise, Regime
from hsl.space.axes import SPLIT, configuration, options_of, splits
from hsl.space.schema import SearchSpace
from hsl.training.configuration import Configuration, ModelSpec, digest
from hsl.training.identity import FIRST


@dataclass(frozen=True)
class Scores:
    """Difficulty scores that a regime needs: the mean over several models, stopped early.

    Attributes:
        score: Name of the score.
        models: Number of scoring models.
        epochs: Epochs after which each scores.
        configuration: The scoring model: the dense network on clean data, or with the label noise of its regime.
        precision: In which they are computed from logits and stored.
        code: Digest of the code of a score from outside, where it is known.
    """

    score: str
    models: int
    epochs: int
    configuration: Configuration
    precision: Precision = "double"
    code: str | None = None

    @property
    def id(self) -> str:
        """Hash that identifies the result: the same scores are never computed twice."""
        return digest([self.score, self.models, self.epochs, *self._made_of])

    @property
    def model_id(self) -> str:
        """Hash that identifies the scores of one model, independent of the number of models."""
        return digest([self.score, self.epochs, *self._made_of])

    @property
    def _made_of(self) -> list[str]:
        """The scoring model, and what differs from version 0.1, whose scores keep their names."""
        precision = [] if self.precision == FIRST["regime.keep.precision"] else [self.precision]
        return [self.configuration.id, *precision, *([self.code] if self.code else [])]


def scores_for(child: Configuration, space: SearchSpace) -> Scores | None:
    """The difficulty scores that select the samples of `child`, or None."""
    keep = child.regime.keep
    if keep is None or child.regime.needs_scores is None:
        return None
    return _scores(keep, child.dense_counterpart(space.training, Regime()), space)


def all_scores(child: Configuration, space: SearchSpace, is_evaluated: bool = True) -> list[Scores]:
    """The difficulty scores for the training of `child` and, if there is one, for its final evaluation."""
    deciles = decile_scores(child, space) if is_evaluated else None
    return [scores for scores in (scores_for(child, space), deciles) if scores]


def decile_scores(child: Configuration, space: SearchSpace) -> Scores | None:
    """The difficulty scores of the deciles on which `child` is evaluated, or None."""
    wanted = space.evaluation.deciles
    if wanted is None:
        return None
    keep = Keep.model_validate(
        {"fraction": 0.5, **wanted.model_dump(exclude_none=True, exclude={"ties", "precision"})}
    )
    scored = child.dense_counterpart(space.training, Regime())
    scores = _scores(keep, scored, space, "evaluation.deciles.epoch")
    return replace(scores, precision=wanted.precision)


def _scores(keep: Keep, scored: Configuration, space: SearchSpace, where: str = "keep.epoch") -> Scores:
    epochs = max(1, round((keep.epoch or usual_epoch(keep.by)) * scored.training.epochs))
    least = SCORES.facts(keep.by).least_epochs
    if epochs < least:
        message = (
            f"{keep.by} compares at least {least} epochs, and {epochs} of {scored.training.epochs} "
            f"is asked for; raise epoch or training.epochs, or choose another score"
        )
        raise SpaceError(space.name, [Problem(where, message)])
    code = space.code.get(keep.by)
    return Scores(keep.by, keep.models or 1, epochs, scored, keep.precision or "double", code)


def asked_scores(
    space: SearchSpace,
    by: str,
    models: int | None,
    epoch: float | None,
    label_noise: str | None = None,
    precision: Precision = "double",
) -> Scores:
    """The difficulty scores of a space's data set, as a regime of the space would need them.

    Args:
        space: The space, for the data set and the training of the scoring models.
        by: Name of the score.
        models: Number of scoring models; None for the default.
        epoch: Epoch of scoring, as a share of the training epochs in (0, 1]; None for the default of the score.
        label_noise: Regime with whose wrong labels the scoring models are trained, or None for clean labels.
        precision: In which the scores are computed and stored.

    Raises:
        SpaceError: If there is no such score or regime, a value is out of its range, the regime has no wrong
            labels, or the space compares models or divisions of the data set.
    """
    chosen = {"model": options_of(space, "model"), SPLIT: [split.seed for split in splits(space)]}
    for axis, values in chosen.items():
        if len(values) > 1:
            message = f"has {len(values)} values; choose one, for example {axis}={_name_of(values[0])}"
            raise SpaceError(space.name, [Problem(axis, message)])
    given = {"models": models, "epoch": epoch}
    asked = {name: value for name, value in given.items() if value is not None}
    try:
        keep = Keep.model_validate({"fraction": 0.5, "by": by, **asked})
    except ValidationError as error:
        problems = [Problem(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise SpaceError(space.name, problems) from error
    example = configuration(
        space, {"method": "dense", **{axis: values[0] for axis, values in chosen.items()}}
    )
    regime = Regime(label_noise=_noise_of(space, label_noise)) if label_noise else Regime()
    scores = _scores(keep, example.dense_counterpart(space.training, regime), space)
    return replace(scores, precision=precision)


def _name_of(value: object) -> object:
    return value.name if isinstance(value, ModelSpec) else value


def _noise_of(space: SearchSpace, regime: str) -> LabelNoise:
    """The label noise of a regime of the space."""
    noisy = {name: given.label_noise for name, given in space.regimes.items() if given.label_noise}
    if regime in noisy:
        return noisy[regime]
    fault = "has no label_noise" if regime in space.regimes else f"does not exist{close_match(regime, noisy)}"
    there = f"those with wrong labels: {', '.join(noisy)}" if noisy else "no regime has wrong labels"
    advice = "choose one, or add a regime such as noisy: {label_noise: {rate: 0.1}}"
    raise SpaceError(space.name, [Problem(f"regimes.{regime}", f"{fault}; {there}; {advice}")])

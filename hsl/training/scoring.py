"""Difficulty of every sample of a data set for a network that is being trained on it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.errors import DataError, DivergedError
from hsl.hardness.apply import Samples
from hsl.hardness.registries import SCORES, ScoreFacts
from hsl.hardness.returned import check_difficulty
from hsl.hardness.scores.trajectories import QUANTITIES
from hsl.training.measuring.evaluation import BATCH, all_logits, to_float
from hsl.training.trainer import Trainer

DTYPES = {"double": torch.float64, "single": torch.float32}
"""Types in which scores are computed from logits and stored, by the `precision` of a regime."""


def score_samples(
    score: str, trainer: Trainer, samples: Samples, epochs: int, precision: str = "double"
) -> Tensor:
    """Train a network for some epochs and score samples by it, in eval mode and without augmentation.

    Args:
        score: Entry of `SCORES`.
        trainer: At epoch 0; it is left at the epoch of scoring.
        samples: N samples to score, whether the network is trained on them or not.
        epochs: When to score; a trajectory has one look after each epoch until then.
        precision: ``double``, or ``single`` as in version 0.1.0; the model itself computes as it was trained.

    Returns:
        Difficulty [N] in the type of the precision, higher is harder.

    Raises:
        DataError: If the network has diverged, or has no linear last layer where the score needs its features.
    """
    facts, dtype = SCORES.facts(score), DTYPES[precision]
    if facts.recorded == "trajectory":
        given = _looks(facts, trainer, samples, epochs, dtype)
    else:
        _train_until(trainer, epochs)
        if facts.recorded == "gradients":
            return _by_gradients(score, trainer.model, samples, dtype)
        given = _recorded(facts, trainer.model, samples)
    given["dtype"] = dtype
    options = {name: given[name] for name in facts.options}
    values: Tensor = SCORES[score](*(given[name] for name in facts.arguments), **options)
    check_difficulty(score, values, len(samples))
    return values.to(dtype)


def _train_until(trainer: Trainer, epoch: int) -> None:
    try:
        trainer.train_steps(epoch * trainer.steps_per_epoch)
    except DivergedError as error:
        raise DataError(f"the scoring model has diverged, lower its lr: {error}") from error


def _looks(
    facts: ScoreFacts, trainer: Trainer, samples: Samples, epochs: int, dtype: torch.dtype
) -> dict[str, Any]:
    """The quantity that a score of trajectories reads, of each sample after every epoch, [epochs, N]."""
    (quantity,) = facts.arguments
    looks = []
    for epoch in range(1, epochs + 1):
        _train_until(trainer, epoch)
        logits = all_logits(trainer.model, samples)
        looks.append(QUANTITIES[quantity](logits, samples.labels, dtype=dtype))
    return {"ids": samples.ids, quantity: torch.stack(looks)}


def _recorded(facts: ScoreFacts, model: nn.Module, samples: Samples) -> dict[str, Any]:
    """Everything that a score of logits or features may read."""
    given = {"labels": samples.labels, "ids": samples.ids}
    if facts.recorded == "logits":
        return {**given, "logits": all_logits(model, samples)}
    layer = _last_linear(model)
    logits, features = _logits_and_features(model, samples, layer)
    return {**given, "logits": logits, "features": features, "bias": layer.bias is not None}


def _by_gradients(score: str, model: nn.Module, samples: Samples, dtype: torch.dtype) -> Tensor:
    """Score in batches, so that the images of a whole data set are never held as floating point numbers."""
    batches = zip(samples.images.split(BATCH), samples.labels.split(BATCH), strict=True)
    options = {"dtype": dtype} if "dtype" in SCORES.facts(score).options else {}
    scores = []
    for images, labels in batches:
        scores.append(SCORES[score](model, to_float(images), labels, **options))
        check_difficulty(score, scores[-1], len(images))
    return torch.cat(scores).to(dtype)


def _logits_and_features(model: nn.Module, samples: Samples, layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Logits float32 [N, C], and features float32 [N, D], of which `layer`, the last one, has made them."""
    taken: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].detach().float()))
    try:
        logits = all_logits(model, samples)
    finally:
        handle.remove()
    features = torch.cat(taken) if taken else torch.zeros(0)
    with torch.no_grad():
        is_last = len(features) == len(logits) and _makes(layer, features, logits)
    if not is_last:
        raise DataError(_NO_FEATURES)
    return logits, features


def _makes(layer: nn.Linear, features: Tensor, logits: Tensor) -> bool:
    made = functional.linear(
        features, layer.weight.float(), None if layer.bias is None else layer.bias.float()
    )
    return made.shape == logits.shape and torch.allclose(made, logits, rtol=1e-3, atol=1e-3)


def _last_linear(model: nn.Module) -> nn.Linear:
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise DataError(_NO_FEATURES)
    return layers[-1]


_NO_FEATURES = (
    "the logits of this model are not the output of its last linear layer, so it has no features to score by; "
    "choose a score of logits, for example el2n, or grand"
)

"""The training and evaluation sets that a regime makes of a data set."""

from functools import lru_cache, partial

from torch import Tensor

from hsl.hardness import keyed
from hsl.hardness.apply import EVALUATION, Samples, matched_samples, redrawn, training_samples
from hsl.hardness.attacks.adversarial import evaluation_attack
from hsl.hardness.schema.regimes import Regime
from hsl.training.configuration import Configuration, Split
from hsl.training.data.batching import TrainingSet
from hsl.training.data.loaded import load_data
from hsl.training.data.score_files import read_scores
from hsl.training.measuring.evaluation import EvaluationSets


@lru_cache(maxsize=16)
def regime_sets(
    dataset: str,
    split: Split,
    device: str,
    regime: Regime,
    seed: int,
    scores: str | None,
    content: str | None = None,
) -> tuple[TrainingSet, EvaluationSets]:
    """Training and evaluation samples of a regime for one seed, as `sets_of`."""
    data = load_data(dataset, split, device, content)
    difficulty = read_scores(scores, data) if scores else None

    def of(samples: Samples) -> Tensor | None:
        return None if difficulty is None else difficulty[samples.ids]

    train = training_samples(data.train, regime, seed, of(data.train))
    redraws = regime.corruption is not None and regime.corruption.redraw
    clean = regime.is_clean or (regime.corruption is None and regime.needs_scores is None)
    val = data.val if clean else matched_samples(data.val, regime, of(data.val), split="val")
    test = data.test if clean else matched_samples(data.test, regime, of(data.test), split="test")
    attack = evaluation_attack(regime.attack, keyed.key(EVALUATION, "attack"))
    sets = EvaluationSets(data.val, val, data.test, test, attack)
    redraw = partial(redrawn, train, regime, seed) if redraws else None
    by_steps = regime.keep is not None and regime.keep.budget == "steps"
    return TrainingSet(train, redraw, exposure=len(data.train) if by_steps else None), sets


def sets_of(
    configuration: Configuration, seed: int, scores: str | None, device: str
) -> tuple[TrainingSet, EvaluationSets]:
    """Training and evaluation samples of a configuration for one seed.

    Args:
        configuration: Its data set, split and regime decide.
        seed: Seed of the trial.
        scores: URI of the difficulty scores, where the regime needs them.
        device: Torch device.
    """
    c = configuration
    return regime_sets(c.dataset, c.split, device, c.regime, seed, scores, c.content)

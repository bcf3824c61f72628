"""What is learned: the samples that a regime makes, what is evaluated, and the loss."""

from __future__ import annotations

from dataclasses import dataclass

from hsl.hardness.attacks.adversarial import TrainingLoss, training_loss
from hsl.training.configuration import Configuration
from hsl.training.data.batching import TrainingSet
from hsl.training.data.loaded import Data, load_data
from hsl.training.data.regime_sets import sets_of
from hsl.training.measuring.evaluation import EvaluationSets


@dataclass(frozen=True)
class Task:
    """What a network learns.

    Attributes:
        data: The whole data set.
        train: The training samples of the regime.
        sets: What is evaluated.
        loss: What is minimised on every batch.
    """

    data: Data
    train: TrainingSet
    sets: EvaluationSets
    loss: TrainingLoss

    @classmethod
    def of(cls, configuration: Configuration, seed: int, scores: str | None, device: str) -> Task:
        """The task of a configuration.

        Args:
            configuration: Its data set, split and regime.
            seed: Seed of the trial.
            scores: URI of the difficulty scores, for regimes that need them.
            device: Torch device.
        """
        data = load_data(configuration.dataset, configuration.split, device, configuration.content)
        train, sets = sets_of(configuration, seed, scores, device)
        return cls(data, train, sets, training_loss(configuration.regime.attack, seed))

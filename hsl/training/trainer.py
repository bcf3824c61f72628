"""The training loop: one network, one regime, one seed. Knows nothing of where it runs."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hsl.errors import DivergedError, MethodError
from hsl.hardness import keyed
from hsl.sparsity import Sparsifier
from hsl.training.configuration import Training
from hsl.training.cost.flops import TrainingMeter
from hsl.training.data.batching import Cycle
from hsl.training.measuring.best_epoch import BestEpoch
from hsl.training.measuring.evaluation import mean_loss_and_accuracy, to_float
from hsl.training.optimizers import learning_rate, load_moments, moments
from hsl.training.task import Task


@dataclass(frozen=True)
class SparseNetwork:
    """A network, and what makes and keeps it sparse.

    Attributes:
        model: Maps images in [0, 1] to logits; already on the device.
        forward: What batches are trained through: `model`, or a compiled form of it.
        optimizer: Over the model's parameters.
        sparsifier: Hooked into `optimizer`.
        meter: Adds up what the training costs relative to a dense one.
    """

    model: nn.Module
    forward: nn.Module
    optimizer: torch.optim.Optimizer
    sparsifier: Sparsifier
    meter: TrainingMeter


class Trainer:
    """Trains a network epoch by epoch; everything random is a function of (seed, cycle, sample id).

    A cycle is one time through the training samples. It is an epoch, unless the regime's budget is steps: then
    an epoch is as many steps as the whole data set takes, and few samples are gone through again and again. A
    loss that replays batches makes cycles longer, not epochs: each of them has a part of the batches.

    Args:
        network: What is trained.
        task: What it learns.
        training: Epochs, batch size, schedule, precision.
        seed: Seed of the batch order, the augmentation and the attack's starting points.
        objective: Name of the validation metric that says which epoch is the best.
        keep_best: Whether the network of that epoch is kept, besides the final one.
    """

    def __init__(
        self,
        network: SparseNetwork,
        task: Task,
        training: Training,
        seed: int,
        objective: str = "val_matched_accuracy",
        keep_best: bool = False,
    ) -> None:
        self.model = network.model
        self.sparsifier = network.sparsifier
        self.meter = network.meter
        self.training = training
        self.epoch = 0
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self.best = BestEpoch(objective, keep_best)
        self.train_samples = task.train
        self.sets = task.sets
        self._forward = network.forward
        self._optimizer = network.optimizer
        self._loss = task.loss
        self._seed = seed
        self._step = 0
        self._target_step: int | None = None
        self._mask_versions: tuple[int, ...] | None = None
        self._densities: dict[str, float] = {}
        self._steps_per_cycle = task.loss.replays * task.train.steps_per_cycle(training.batch_size)
        self.steps_per_epoch = task.train.steps_per_epoch(training.batch_size)
        self.total_steps = training.epochs * self.steps_per_epoch

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained."""
        return self.epoch >= self.training.epochs

    @property
    def epochs_at_target(self) -> int:
        """Whole epochs since the target sparsity was reached."""
        if self._target_step is None:
            return 0
        return (self._step - self._target_step) * self.training.epochs // self.total_steps

    def train_epoch(self) -> dict[str, Any]:
        """Train one epoch and evaluate it where it is due.

        Returns:
            One row of the `epochs` table, without the columns that say which trial it is of, and without
            metrics where they were not evaluated.

        Raises:
            DivergedError: If the loss is not finite.
            MethodError: If the method has left the network at another sparsity than was asked for.
        """
        began = time.perf_counter()
        rate = learning_rate(self.training, self._step, self.total_steps)
        loss, accuracy = self._train_until(self._end_of_epoch)
        if self.is_done:
            self._check_sparsity()
        metrics = self._metrics()
        seconds = time.perf_counter() - began
        self.seconds += seconds
        row = {
            "epoch": self.epoch,
            "epochs_at_target": self.epochs_at_target,
            "lr": rate,
            "train_loss": loss,
            "train_accuracy": accuracy,
            "sparsity": self.sparsifier.sparsity(),
            **metrics,
            "seconds": seconds,
        }
        self.history.append(row)
        if self._target_step is not None:  # a network that is still denser is not what was asked for
            self.best.see(row, self.model.state_dict())
        return row

    def _check_sparsity(self) -> None:
        """Refuse another sparsity at the end than was asked for, which a method from outside can leave."""
        if self.sparsifier.excess:
            raise MethodError(
                f"method {self.sparsifier.method.name!r} has left the network {100 * self.sparsifier.sparsity():.4g} % "
                f"sparse at the end, and {100 * self.sparsifier.target_sparsity:.4g} % was asked for; "
                "hsl.testing.check_method says where it fails"
            )

    def train_steps(self, count: int) -> None:
        """Train until `count` steps are done, without evaluation: parents, scoring models, rewinding points.

        Raises:
            DivergedError: If the loss is not finite.
        """
        while self._step < count:
            self._train_until(min(count, self._end_of_epoch))

    @property
    def _end_of_epoch(self) -> int:
        """Steps that are done at the end of the current epoch."""
        return (self._step // self.steps_per_epoch + 1) * self.steps_per_epoch

    def _train_until(self, end: int) -> tuple[float, float]:
        """Take the steps of one epoch, or some of them; mean loss and accuracy."""
        self.epoch = math.ceil(end / self.steps_per_epoch)
        loss, accuracy = self._train_batches(end)
        self._meter_steps()
        if not math.isfinite(loss):
            raise DivergedError(
                f"the training loss is {loss} in epoch {self.epoch}; try a smaller training.lr"
            )
        return loss, accuracy

    def _meter_steps(self) -> None:
        """Count the steps since the last count; their forward passes all had the same masks."""
        self.meter.add(self._densities, self._step - self.meter.steps)

    def _see_masks(self) -> None:
        """Before a forward pass: where masks have changed, count the steps until then."""
        if self.sparsifier.mask_versions != self._mask_versions:
            self._meter_steps()
            self._mask_versions = self.sparsifier.mask_versions
            self._densities = self.sparsifier.layer_densities()

    def _metrics(self) -> dict[str, float]:
        due = self.is_done or self.epoch % self.training.evaluate_every == 0
        return self.sets.measure(self.model) if due else {}

    def _train_batches(self, end: int) -> tuple[float, float]:
        self.model.train()
        self._loss.begin_epoch()
        losses: list[Tensor] = []
        predicted: list[Tensor] = []
        labelled: list[Tensor] = []
        for images, labels, ids in self._batches(end):
            logits, loss = self._train_batch(to_float(images), labels, ids)
            losses.append(loss)
            predicted.append(logits.argmax(1))
            labelled.append(labels)
        return mean_loss_and_accuracy(losses, predicted, labelled)

    def _batches(self, end: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images, labels and ids of the steps until `end`, cycle by cycle, wherever in a cycle they begin."""
        while self._step < end:
            number, done = self._cycle, self._step % self._steps_per_cycle
            augment = keyed.key(self._seed, "augment", number) if self.training.augment else None
            order = keyed.key(self._seed, "order", number)
            cycle = Cycle(self.train_samples.at(number), order, self.training.batch_size, augment)
            replayed = [batch for batch in range(len(cycle)) for _ in range(self._loss.replays)]
            for batch in replayed[done : done + end - self._step]:
                yield cycle.batch(batch)

    @property
    def _cycle(self) -> int:
        """Number of the current cycle, from 1."""
        return self._step // self._steps_per_cycle + 1

    def _train_batch(self, images: Tensor, labels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        self._see_masks()
        if self.training.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        self._optimizer.zero_grad(set_to_none=True)
        if self.training.cuda_graphs:  # what the last step's graphs returned may be overwritten
            torch.compiler.cudagraph_mark_step_begin()
        with self._precision(images.device):
            logits, loss = self._loss(self._forward, images, labels, ids, self._cycle)
        loss.backward()
        self._set_learning_rate()
        self._optimizer.step()
        self._step += 1
        if self._target_step is None and self.sparsifier.target_reached:
            self._target_step = self._step if self._step > 1 else 0
        return logits.detach(), loss.detach()

    def _precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        if not self.training.amp:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)

    def _set_learning_rate(self) -> None:
        rate = learning_rate(self.training, self._step, self.total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Everything that continuing needs: tensors and JSON-able values, nested by strings."""
        return {
            "model": self.model.state_dict(),
            "optimizer": moments(self._optimizer),
            "sparsifier": self.sparsifier.state_dict(),
            "meter": self.meter.state_dict(),
            "generator": torch.get_rng_state(),
            "epoch": self.epoch,
            "step": self._step,
            "target_step": self._target_step,
            "seconds": self.seconds,
            "history": self.history,
            "best": self.best.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state of `state_dict`; on CPU to the last bit as if never interrupted."""
        self.model.load_state_dict(state["model"])
        load_moments(self._optimizer, state["optimizer"])
        self.sparsifier.load_state_dict(state["sparsifier"])
        self.meter.load_state_dict(state["meter"])
        torch.set_rng_state(state["generator"])
        self.epoch = state["epoch"]
        self._step = state["step"]
        self._target_step = state["target_step"]
        self.seconds = state["seconds"]
        self.history = list(state["history"])
        self.best.load_state_dict(state.get("best", {}))

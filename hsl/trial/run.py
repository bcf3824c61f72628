"""One trial on a worker: a job becomes a Trainer that reports. The only seam between Ray and training."""

import json
import platform
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch

from hsl.filesystems import UNREACHABLE
from hsl.planning.job import Job
from hsl.provenance import redact_known
from hsl.store import checkpoints
from hsl.store.outcomes import Status
from hsl.training import checkpoint
from hsl.training.build import build_bench, build_trainer
from hsl.training.configuration import digest
from hsl.training.cost.flops import relative_forward
from hsl.training.cost.passes import count_passes
from hsl.training.data.arrays import cache_folder
from hsl.training.measuring.kept import evaluate_kept, kept_networks
from hsl.training.measuring.measures import items
from hsl.training.models import INNER
from hsl.training.trainer import Trainer
from hsl.trial.log import TrialLog
from hsl.trial.report import Report

Row = dict[str, Any]

REPORT_SECONDS = 2.0
"""A trial reports at least this often (and at every rung): every report costs the driver a round trip."""


class TrialRun:
    """Trains one job, from its checkpoint if there is one, and summarises it; events go to `log`."""

    def __init__(self, job: Job, device: str, log: TrialLog | None = None) -> None:
        self._job = job
        self._device = device
        self._log = log or TrialLog()
        self._started_at = datetime.now(UTC)
        evaluation = job.reporting.evaluation
        self._trainer = build_trainer(
            job.identity.configuration,
            job.identity.seed,
            parent=job.inputs.parent,
            scores=job.inputs.scores,
            device=device,
            objective=job.reporting.objective,
            keep_best=evaluation is not None and evaluation.keeps_best(job.identity.stage),
        )
        state = checkpoints.read(job.inputs.checkpoint, checkpoint.from_bytes)
        if state is not None:
            self._trainer.load_state_dict(state["trainer"])
            self._started_at = datetime.fromisoformat(state["started_at"])
        self._began = self._trainer.epoch
        self._unreported = list(self._trainer.history)
        self._passed = max(map(self._rungs_at, self._unreported), default=0)
        self._evaluating = self._evaluate()
        self._is_evaluated = False
        self._note: str | None = None
        self._log.note(beginning(job, device, None if state is None else self._began))
        self._log.write()

    def advance(self) -> Report:
        """Train until the next rung, or for `REPORT_SECONDS`; a continued trial first reports how far it is.

        In the end the network is evaluated. The last epochs are reported with the end of the trial, so that it is
        not stopped while it is evaluated.
        """
        if not self._unreported:
            self._train()
        if not self._trainer.is_done:
            return self._report(self._taken(), Status.RUNNING, [])
        found = self._evaluate_until(time.monotonic() + REPORT_SECONDS)
        if not self._is_evaluated:
            return self._report([], Status.RUNNING, found)
        return self._report(self._taken(), Status.COMPLETED, found)

    def _taken(self) -> list[Row]:
        """Rows of epochs that were not reported before."""
        rows, self._unreported = self._unreported, []
        return rows

    def _report(self, rows: list[Row], status: Status, evaluations: list[Row]) -> Report:
        note, self._note = self._note, None
        return Report(rows, self._summary(), status, evaluations=evaluations, began=self._began, note=note)

    def _evaluate_until(self, until: float) -> list[Row]:
        rows: list[Row] = []
        for found in self._evaluating:
            rows += found
            if time.monotonic() > until:
                return rows
        self._is_evaluated = True
        return rows

    def _evaluate(self) -> Iterator[list[Row]]:
        """Rows of the table of evaluations, measure by measure; none while a costly one is in progress."""
        job, evaluation = self._job, self._job.reporting.evaluation
        if evaluation is None:
            return
        bench_of = partial(
            build_bench,
            job.identity.configuration,
            job.identity.seed,
            scores=job.inputs.scores,
            difficulty=job.inputs.deciles,
            device=self._device,
        )
        kept = kept_networks(self._trainer.state_dict(), evaluation.checkpoints)
        states = cache_folder() / "evaluations" / digest([job.inputs.checkpoint])
        yield from evaluate_kept(kept, items(evaluation), bench_of, states=states)

    def _train(self) -> None:
        until = time.monotonic() + REPORT_SECONDS
        while not self._trainer.is_done:
            row = self._trainer.train_epoch()
            self._unreported.append(row)
            self._log.note(epoch_in_words(row, self._job.reporting.objective))
            at_rung = self._rungs_at(row) > self._passed
            self._passed = max(self._passed, self._rungs_at(row))
            due = self._trainer.epoch % self._trainer.training.checkpoint_every == 0
            if due or self._trainer.is_done or (at_rung and self._job.reporting.can_pause):
                self._save()
            if at_rung or time.monotonic() >= until:
                break

    def _rungs_at(self, row: Mapping[str, Any]) -> int:
        """Rungs that are passed at an epoch, if it was evaluated: a stopping rule needs the objective."""
        if self._job.reporting.objective not in row:
            return 0
        return sum(row[self._job.reporting.progress] >= rung for rung in self._job.reporting.milestones)

    def _save(self) -> None:
        state = {
            "job": self._job.model_dump(mode="json", exclude_defaults=True),
            "started_at": self._started_at.isoformat(),
            "trainer": self._trainer.state_dict(),
        }
        try:
            checkpoints.write(self._job.inputs.checkpoint, checkpoint.to_bytes(state))
            self._log.note(f"checkpoint after epoch {self._trainer.epoch}")
        except UNREACHABLE as error:  # a full disk costs what a checkpoint protects, not the trial
            self._note = (
                f"checkpoints cannot be written ({redact_known(str(error))}); trials go on, but one that is "
                f"interrupted starts again from its last checkpoint, and confirmed networks may be missing; free space"
            )
            self._log.note(self._note)
        self._log.write()

    def _summary(self) -> dict[str, Any]:
        """Columns of the trials table that only the worker knows."""
        trainer = self._trainer
        layers = trainer.sparsifier.report()
        last: Row = next((row for row in reversed(trainer.history) if "val_clean_accuracy" in row), {})
        metrics = {name: value for name, value in last.items() if name.startswith(("val_", "test_"))}
        return {
            **metrics,
            "objective": metrics.get(self._job.reporting.objective),
            **best_metrics(trainer, self._job.reporting.objective),
            "train_loss": trainer.history[-1]["train_loss"] if trainer.history else None,
            "epochs": trainer.epoch,
            "realised_sparsity": trainer.sparsifier.sparsity(),
            "parameters_total": sum(layer.weights for layer in layers),
            "nonzeros": sum(layer.non_zeros for layer in layers),
            # As text, because objects are stored in the order of their names instead of that of the network.
            "layer_densities": json.dumps(
                {layer.name.removeprefix(INNER): layer.density for layer in layers}
            ),
            "training_flops": trainer.meter.relative,
            "inference_flops": relative_forward(trainer.meter.macs, trainer.sparsifier.layer_densities()),
            "seconds": trainer.seconds,
            "passes": count_passes(
                self._job.identity.configuration,
                trainer.epoch,
                trainer.train_samples.exposure,
                *trainer.sets.sizes,
            ),
            "device": device_name(self._device),
            "node": platform.node(),
            "started_at": self._started_at,
        }


def beginning(job: Job, device: str, epoch: int | None) -> str:
    """First line of an attempt; `epoch` is that of the checkpoint from which it continues, if there is one."""
    what = "starts" if epoch is None else f"continues after epoch {epoch}"
    return (
        f"trial {job.trial_id} of {job.identity.cell} ({job.identity.stage}, seed {job.identity.seed}) {what} "
        f"on {platform.node()}, {device_name(device)}"
    )


def epoch_in_words(row: Mapping[str, Any], objective: str) -> str:
    """One line about an epoch."""
    reached = f", {objective} {row[objective]:.4f}" if row.get(objective) is not None else ""
    return (
        f"epoch {row['epoch']}: train_loss {row['train_loss']:.4f}{reached}, "
        f"sparsity {row['sparsity']:.4f}, {row['seconds']:.2f} s"
    )


def best_metrics(trainer: Trainer, objective: str) -> dict[str, Any]:
    """Columns of the trials table about the epoch of the best objective, if there is one yet."""
    if (epoch := trainer.best.epoch) is None:
        return {}
    row = trainer.history[epoch - 1]
    return {
        "best_epoch": epoch,
        "best_objective": row[objective],
        "best_test_clean_accuracy": row["test_clean_accuracy"],
        "best_test_matched_accuracy": row["test_matched_accuracy"],
    }


def device_name(device: str) -> str:
    """Name of the GPU, or the kind of CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"cpu {platform.machine()}"

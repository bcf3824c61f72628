"""The columns of the result store: the single source of files, checks and documentation.

A new column must be nullable, because older files do not have it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hsl.store.outcomes import ENDS


@dataclass(frozen=True)
class Column:
    """One column of the store.

    Attributes:
        name: Name in the file and in SQL.
        type: "string", "int64", "float64", "bool", "timestamp" (UTC, in us) or "json" (stored as text).
        unit: Unit or kind of value; empty where there is none.
        meaning: One sentence for the documentation.
        required: Whether every row must have a value.
        allowed: The only values permitted; empty for any.
    """

    name: str
    type: str
    unit: str
    meaning: str
    required: bool = False
    allowed: tuple[str, ...] = ()


def _metrics() -> tuple[Column, ...]:
    rows = []
    for split in ("val", "test"):
        clean, matched = f"clean {split} data", f"{split} data matched to the training regime"
        worst = f"Lowest accuracy of a class that has training samples, on {clean}."
        rows += [
            Column(f"{split}_clean_accuracy", "float64", "fraction", f"Accuracy on {clean}."),
            Column(f"{split}_clean_loss", "float64", "nats", f"Mean loss on {clean}."),
            Column(f"{split}_matched_accuracy", "float64", "fraction", f"Accuracy on {matched}."),
            Column(f"{split}_matched_loss", "float64", "nats", f"Mean loss on {matched}."),
            Column(f"{split}_worst_class_accuracy", "float64", "fraction", worst),
        ]
    return tuple(rows)


_TRIALS = (
    Column("sequence", "int64", "", "Order of arrival, counted over the whole sweep.", True),
    Column("trial_id", "string", "", "Hash of the non-default configuration and the seed.", True),
    Column("configuration_id", "string", "", "Hash of the non-default configuration without the seed.", True),
    Column("cell", "string", "", "The cell that the trial belongs to.", True),
    Column("stage", "string", "", "What the trial is for.", True, ("search", "confirm")),
    Column("seed", "int64", "", "Seed of everything random.", True),
    Column("dataset", "string", "", "Name of the data set.", True),
    Column("model", "string", "", "Name of the model.", True),
    Column("split_seed", "int64", "", "Seed of the division into training, validation and test samples."),
    Column("regime", "string", "", "Name of the hardness regime.", True),
    Column("method", "string", "", "How the mask is found and changed.", True),
    Column("distribution", "string", "", "How non-zeros are split over layers; null if the method has none."),
    Column("sparsity", "float64", "fraction", "Requested fraction of zeros among prunable weights.", True),
    Column("parameters", "json", "", "Tuned parameters: dotted name to value.", True),
    Column("configuration", "json", "", "The full configuration.", True),
    Column("proposal", "int64", "", "Place among the proposals of its cell, from 0; null outside a search."),
    Column(
        "proposed_by", "string", "", "Sampler that proposed it, first or warm_start; null outside a search."
    ),
    Column("turn", "int64", "", "Place among the proposals of all cells, from 0; null outside a search."),
    Column(
        "seen", "int64", "", "Turns, from the first on, whose ends the proposal depends on; null likewise."
    ),
    Column("status", "string", "", "How the trial ended.", True, tuple(ENDS)),
    Column("reason", "string", "", "Why it was stopped or failed."),
    Column("epochs", "int64", "epochs", "Epochs trained.", True),
    Column("budget_epochs", "int64", "epochs", "Epochs of a full training.", True),
    Column("objective", "float64", "", "Validation metric that search and early stopping maximise."),
    Column("objective_metric", "string", "", "Name of that metric, for example val_matched_accuracy."),
    *_metrics(),
    Column("best_epoch", "int64", "epochs", "Epoch of the highest objective at the target sparsity."),
    Column("best_objective", "float64", "", "Objective of that epoch."),
    Column("best_test_clean_accuracy", "float64", "fraction", "Clean test accuracy after that epoch."),
    Column("best_test_matched_accuracy", "float64", "fraction", "Matched test accuracy after that epoch."),
    Column("train_loss", "float64", "nats", "Mean training loss of the last epoch."),
    Column("realised_sparsity", "float64", "fraction", "Fraction of zeros reached at the end."),
    Column("parameters_total", "int64", "weights", "Prunable weights of the model."),
    Column("nonzeros", "int64", "weights", "Active prunable weights at the end."),
    Column("layer_densities", "json", "", "Layer name to its fraction of active weights at the end."),
    Column("seconds", "float64", "s", "Training time."),
    Column("passes", "float64", "samples", "Forward-backward passes, counted per sample."),
    Column(
        "training_flops",
        "float64",
        "fraction",
        "Training FLOPs of prunable layers relative to dense, parent included.",
    ),
    Column(
        "inference_flops",
        "float64",
        "fraction",
        "FLOPs of a forward pass of prunable layers relative to dense.",
    ),
    Column("exempt", "bool", "", "Whether early stopping was not allowed to stop the trial.", True),
    Column(
        "attempts",
        "int64",
        "",
        "Workers that started it, in the run of the driver in which it ended.",
        True,
    ),
    Column("losses", "int64", "", "How often its node was preempted or lost; that never makes it fail."),
    Column("repeated_epochs", "int64", "epochs", "Epochs trained again after an interruption."),
    Column("device", "string", "", "Device it was trained on."),
    Column("node", "string", "", "Machine it was trained on."),
    Column("started_at", "timestamp", "UTC", "Start of the first attempt."),
    Column("ended_at", "timestamp", "UTC", "End of the last attempt."),
    Column("provenance", "json", "", "Versions, commit and machine that produced the row."),
)

_EPOCHS = (
    Column("sequence", "int64", "", "Order of arrival, counted over the whole sweep.", True),
    Column("trial_id", "string", "", "The trial.", True),
    Column("cell", "string", "", "The cell that the trial belongs to.", True),
    Column("epoch", "int64", "epochs", "Epoch that ended, counted from 1.", True),
    Column("epochs_at_target", "int64", "epochs", "Epochs trained since the target sparsity was reached."),
    Column("rung", "int64", "epochs", "Rung reached after this epoch, in epochs at the target sparsity."),
    Column("cutoff", "float64", "", "Objective below which the rung stops trials; null if it compared none."),
    Column(
        "evidence",
        "float64",
        "",
        "Odds that the rung predicts, by trials that had ended; it acts from 20 on.",
    ),
    Column("correlation_low", "float64", "", "80 % lower bound of the rank correlation of rung and end."),
    Column("lr", "float64", "", "Learning rate of the first step of the epoch."),
    Column("train_loss", "float64", "nats", "Mean training loss."),
    Column("train_accuracy", "float64", "fraction", "Accuracy on the training data as trained on."),
    *_metrics(),
    Column("sparsity", "float64", "fraction", "Fraction of zeros among prunable weights after the epoch."),
    Column("seconds", "float64", "s", "Time of the epoch."),
)

_CELLS = (
    Column("cell", "string", "", "Name of the cell: one combination of levels.", True),
    Column("regime", "string", "", "Name of the hardness regime.", True),
    Column("levels", "json", "", "Factor to level.", True),
    Column("baseline", "bool", "", "Whether it is the dense baseline of its regime.", True),
    Column("configurations", "int64", "", "Budget: configurations to search.", True),
    Column("space_hash", "string", "", "Hash of the search space that planned the cell."),
    Column("sampler", "json", "", "Sampler of its search with all arguments."),
    Column("confidence", "float64", "", "Level that gives its intervals 95 % coverage if seeds ended early."),
    Column("enough", "int64", "", "Configurations after which no other was worth a trial (budget.enough)."),
)

_EVALUATIONS = (
    Column("trial_id", "string", "", "The trial whose network was evaluated.", True),
    Column("cell", "string", "", "The cell that the trial belongs to.", True),
    Column("checkpoint", "string", "", "Last epoch, or best objective.", True, ("final", "best")),
    Column("epoch", "int64", "epochs", "Epoch of that checkpoint.", True),
    Column("split", "string", "", "Part of the data set.", True, ("val", "test")),
    Column("measure", "string", "", "Evaluation: clean, matched, class, decile, corruption, ...", True),
    Column("detail", "string", "", "Class, decile (0 is easiest) or corruption; empty if only one.", True),
    Column("accuracy", "float64", "fraction", "Accuracy."),
    Column("loss", "float64", "nats", "Mean loss."),
    Column("samples", "int64", "samples", "Number of samples.", True),
    Column("parameters", "json", "", "Settings of the evaluation, for example eps and steps of an attack."),
    Column("seconds", "float64", "s", "Time it took."),
    Column("correct", "string", "", "Samples and which of them are correct, packed; of measure sample only."),
)

_SESSIONS = (
    Column("session", "string", "", "One run of the driver.", True),
    Column("started_at", "timestamp", "UTC", "When it began.", True),
    Column("updated_at", "timestamp", "UTC", "When the row was last renewed.", True),
    Column("epochs", "float64", "epochs", "Epochs that it added, parents included."),
    Column("wall_time", "float64", "s", "Time during which it trained."),
    Column("gpu_hours", "float64", "h", "GPUs that trials and parents held, times hours."),
    Column("cost", "float64", "", "Money for the nodes that were there, by the prices of the space."),
    Column("under_way", "json", "", "Trials that were being trained when the row was last renewed."),
    Column("lost_nodes", "int64", "", "Nodes that were preempted, or died unexpectedly."),
    Column("nodes", "json", "", "Node type to its nodes, cpus, gpus and gpus_held when last seen."),
    Column("running", "int64", "", "Trials that had a worker then."),
    Column("pending", "int64", "", "Trials that waited for one then."),
)

TABLES: Mapping[str, tuple[Column, ...]] = {
    "trials": _TRIALS,
    "epochs": _EPOCHS,
    "cells": _CELLS,
    "evaluations": _EVALUATIONS,
    "sessions": _SESSIONS,
}

KEYS: Mapping[str, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "epochs": ("trial_id", "epoch"),
    "cells": ("cell",),
    "evaluations": ("trial_id", "checkpoint", "split", "measure", "detail"),
    "sessions": ("session",),
}
"""The columns of which a table has at most one row per combination of values."""

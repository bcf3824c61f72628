"""What a worker is told of a trial: JSON-able, small, and kept in the trial's own checkpoint."""

from typing import Any, Literal

from hsl.training.configuration import Configuration, Strict
from hsl.training.measuring.evaluation_settings import Evaluation

NOT_PROMOTED = "not promoted"
"""Reason of a trial that waits at its rung; the row of one that goes on later takes the place of this one."""


class Job(Strict):
    """One trial to be trained.

    Attributes:
        trial_id: Identity of configuration and seed.
        configuration: What is trained.
        seed: Its seed.
        cell: Name of its cell.
        regime: Name of its regime.
        stage: ``search`` or ``confirm``.
        baseline: Whether the cell is a dense reference.
        parameters: Tuned values (axis -> value).
        proposal: Number of the proposal in the study of its cell; None outside a search.
        proposed_by: Name of the sampler, or ``warm_start``; None outside a search.
        parent: URI of its parent, where it needs one.
        scores: URI of the difficulty scores, where its regime needs them.
        checkpoint: URI of its checkpoint.
        log: URI of its log; None keeps none.
        milestones: When it is judged, so that it reports there.
        progress: What milestones count.
        can_pause: Whether it may have to continue from there later, so that it saves a checkpoint.
        objective: Name of the metric that is maximised.
        evaluation: What is measured on the network in the end; None for nothing.
        deciles: URI of the scores that make deciles of difficulty, where they are measured.
        timeout: Seconds without a report after which its worker is killed; None waits for ever.
        losses: Machines that it has lost so far.
        repeated_epochs: Epochs of it that were trained again so far.
    """

    trial_id: str
    configuration: Configuration
    seed: int
    cell: str
    regime: str
    stage: Literal["search", "confirm"]
    baseline: bool = False
    parameters: dict[str, Any] = {}
    proposal: int | None = None
    proposed_by: str | None = None
    parent: str | None = None
    scores: str | None = None
    checkpoint: str
    log: str | None = None
    milestones: tuple[int, ...] = ()
    progress: Literal["epochs_at_target", "epoch"] = "epochs_at_target"
    can_pause: bool = False
    objective: str = "val_matched_accuracy"
    evaluation: Evaluation | None = None
    deciles: str | None = None
    timeout: float | None = None
    losses: int = 0
    repeated_epochs: int = 0

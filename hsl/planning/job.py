"""What a worker receives of a trial: JSON-able, small, and kept in the trial's own checkpoint."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_serializer, field_validator, model_validator

from hsl.training.configuration import Configuration, Strict
from hsl.training.measuring.evaluation_settings import Evaluation


class Identity(Strict):
    """Which trial it is, and who asked for it.

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

    @field_validator("configuration", mode="before")
    @classmethod
    def _from_stored(cls, value: Any) -> Any:
        return Configuration.from_stored(value) if isinstance(value, Mapping) else value

    @field_serializer("configuration")
    def _stored(self, value: Configuration) -> dict[str, Any]:
        return value.stored()


class Inputs(Strict):
    """URIs of the files that a trial reads, and of its own checkpoint.

    Attributes:
        checkpoint: Its checkpoint.
        parent: Its parent, where it needs one.
        scores: The difficulty scores, where its regime needs them.
        deciles: The scores that make deciles of difficulty, where they are measured.
    """

    checkpoint: str
    parent: str | None = None
    scores: str | None = None
    deciles: str | None = None


class Reporting(Strict):
    """When and what a trial reports.

    Attributes:
        objective: Name of the metric that is maximised.
        milestones: When the stopping rule looks at it, so that it reports there.
        progress: What milestones count.
        can_pause: Whether it may have to continue from there later, so that it saves a checkpoint.
        evaluation: What is measured on the network in the end; None for nothing.
        log: URI of its log; None keeps none.
        timeout: Seconds without a report after which its worker is killed; None waits for ever.
    """

    objective: str = "val_matched_accuracy"
    milestones: tuple[int, ...] = ()
    progress: Literal["epochs_at_target", "epoch"] = "epochs_at_target"
    can_pause: bool = False
    evaluation: Evaluation | None = None
    log: str | None = None
    timeout: float | None = None


class History(Strict):
    """What has happened to a trial so far, in all runs of the driver.

    Attributes:
        losses: Preempted or lost nodes that it was on.
        repeated_epochs: Epochs of it that were trained again.
    """

    losses: int = 0
    repeated_epochs: int = 0

    def with_most_of(self, other: "History") -> "History":
        """The larger counts of two records of the same trial."""
        return History(
            losses=max(self.losses, other.losses),
            repeated_epochs=max(self.repeated_epochs, other.repeated_epochs),
        )


class Job(Strict):
    """One trial to be trained.

    Attributes:
        identity: Which trial it is.
        inputs: What it reads.
        reporting: When and what it reports.
        history: What has happened to it so far.
    """

    identity: Identity
    inputs: Inputs
    reporting: Reporting = Reporting()
    history: History = History()

    @model_validator(mode="before")
    @classmethod
    def _of_0_1(cls, value: Any) -> Any:
        """Jobs in checkpoints and sessions of version 0.1 had all fields side by side."""
        if not isinstance(value, Mapping) or "trial_id" not in value:
            return value
        parts: dict[str, type[Strict]] = {
            "identity": Identity,
            "inputs": Inputs,
            "reporting": Reporting,
            "history": History,
        }
        return {
            part: {name: value[name] for name in schema.model_fields if name in value}
            for part, schema in parts.items()
        }

    @property
    def trial_id(self) -> str:
        """Identity of configuration and seed."""
        return self.identity.trial_id

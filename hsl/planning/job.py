"""The job of a worker, one trial: JSON-able, small, and stored in the trial's own checkpoint."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_serializer, field_validator, model_validator

from hsl.training.configuration import Configuration, Strict
from hsl.training.measuring.evaluation_settings import Evaluation

ORIGIN = ("proposal", "proposed_by", "turn", "seen")
"""Fields of `Identity` on how a trial was proposed; columns of the trials table."""


class Identity(Strict):
    """Identity and origin of a trial.

    Attributes:
        trial_id: Hash of configuration and seed.
        baseline: Whether the cell is a dense reference.
        parameters: Tuned values (axis -> value).
        proposal: Number of the proposal in the study of its cell; None outside a search.
        proposed_by: Name of the sampler, ``first`` or ``warm_start``; None outside a search.
        turn: Place of the proposal in the order of those of all cells; None outside a search, and in version 0.1.
        seen: How many of these, from the first on, had ends that it depends on; None likewise.
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
    turn: int | None = None
    seen: int | None = None

    @field_validator("configuration", mode="before")
    @classmethod
    def _from_stored(cls, value: Any) -> Any:
        return Configuration.from_stored(value) if isinstance(value, Mapping) else value

    @field_serializer("configuration")
    def _stored(self, value: Configuration) -> dict[str, Any]:
        place = {"dataset": value.dataset, "content": value.content} if value.content else {}
        return value.stored() | place


class Inputs(Strict):
    """URIs of a trial's own checkpoint, and of the files that it reads, None if it does not need them.

    These are the parent, the difficulty scores of its regime, and the scores of the deciles that it is evaluated on.
    """

    checkpoint: str
    parent: str | None = None
    scores: str | None = None
    deciles: str | None = None


class Reporting(Strict):
    """Reports of a trial.

    Attributes:
        objective: Name of the metric that is maximised.
        milestones: Values of `progress` at which it reports to the stopping rule.
        progress: Unit of the milestones.
        can_pause: Whether it saves a checkpoint at milestones, from which it may have to continue later.
        evaluation: Final evaluation of the network; None for none.
        log: URI of its log; None for none.
        timeout: Seconds without a report after which its worker is killed; None for no limit.
    """

    objective: str = "val_matched_accuracy"
    milestones: tuple[int, ...] = ()
    progress: Literal["epochs_at_target", "epoch"] = "epochs_at_target"
    can_pause: bool = False
    evaluation: Evaluation | None = None
    log: str | None = None
    timeout: float | None = None


class History(Strict):
    """Interruptions of a trial in all runs of the driver: `losses` of preempted or lost nodes, and repeated epochs."""

    losses: int = 0
    repeated_epochs: int = 0

    def with_most_of(self, other: "History") -> "History":
        """The larger counts of two records of the same trial."""
        counts = {name: max(getattr(self, name), getattr(other, name)) for name in History.model_fields}
        return History(**counts)


class Job(Strict):
    """One trial to be trained."""

    identity: Identity
    inputs: Inputs
    reporting: Reporting = Reporting()
    history: History = History()

    @model_validator(mode="before")
    @classmethod
    def _of_0_1(cls, value: Any) -> Any:
        """Convert the flat jobs in checkpoints and sessions of version 0.1."""
        if not isinstance(value, Mapping) or "trial_id" not in value:
            return value
        return {
            part: {name: value[name] for name in schema.model_fields if name in value}
            for part, schema in cls.__annotations__.items()
        }

    @property
    def trial_id(self) -> str:
        """Hash of configuration and seed."""
        return self.identity.trial_id

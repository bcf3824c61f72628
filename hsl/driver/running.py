"""What the driver knows of a trial between its start and its end. Pure; no torch, no ray."""

from dataclasses import dataclass, field
from enum import Enum

from hsl.driver.events import Ended
from hsl.planning.job import History, Job


class Working(Enum):
    """Whether a trial has a worker."""

    NOT_YET = "not yet"
    YES = "yes"
    INTERRUPTED = "interrupted"


@dataclass
class Interruption:
    """The end of a worker in the middle of a trial.

    Attributes:
        node: Its node; None if it ended before it reported.
        at: When it ended, in seconds of the driver's clock.
        is_loss: Whether the node is lost, or was about to be.
    """

    node: str | None
    at: float
    is_loss: bool


@dataclass(eq=False)
class Running:
    """One trial.

    Attributes:
        was_paused: Whether it has waited at a rung and was promoted.
        attempts: Number of workers that have started it in this run of the driver.
        worker: Id of its present or last worker, by which Ray calls it in messages.
        node: Node that it is trained on; None before its worker has reported.
        heard: When it was started or has reported last, in seconds of the driver's clock.
        is_halting: Whether it leaves its worker now because a budget is spent.
        interruptions: Workers that it has lost in this run.
        message: Ray's message on the last interruption.
        repeated_epochs: Epochs that were trained again in this run.
        ended: How it has ended; None as long as it has not.
    """

    job: Job
    was_paused: bool = False
    working: Working = Working.NOT_YET
    attempts: int = 0
    worker: str | None = None
    node: str | None = None
    heard: float = 0.0
    is_halting: bool = False
    interruptions: list[Interruption] = field(default_factory=list)
    message: str | None = None
    repeated_epochs: int = 0
    ended: Ended | None = None

    @property
    def history(self) -> History:
        """Its interruptions and repeated epochs, earlier runs included."""
        before = self.job.history
        losses = before.losses + sum(one.is_loss for one in self.interruptions)
        return History(losses=losses, repeated_epochs=before.repeated_epochs + self.repeated_epochs)

    @property
    def counted(self) -> Job:
        """The job, with its history so far."""
        return self.job.model_copy(update={"history": self.history})

"""What an optimizer and a schedule read of a training: two that train the same network are equal so. Torch-free."""

from typing import Any

from hsl.training.configuration import READ_BY, Training

MEASURING = frozenset({"evaluate_every", "checkpoint_every"})
"""Fields that change no weight of a network."""

_DEFAULTS = Training()


def reads(training: Training, field: str) -> bool:
    """Whether a field of a training is read by its optimizer and its schedule."""
    owner, readers = READ_BY.get(field, ("", frozenset()))
    return not owner or getattr(training, owner) in readers


def as_read(training: Training) -> Training:
    """A training with the same steps, equal for all that differ only in what their optimizer and schedule do not read.

    Args:
        training: Any.

    Returns:
        It, with the default of every field that nothing reads, of the milestones of ``step`` the first alone, those of
        ``multistep`` in ascending order, and ``one_cycle`` as the ``cosine`` with its warm-up that it is; a rate that
        every milestone multiplies by 1 is ``constant``.
    """
    found: dict[str, Any] = {}
    if training.schedule == "one_cycle":
        found |= {"schedule": "cosine", "warmup": training.warmup or 0.3}
    elif reads(training, "gamma") and training.gamma == 1:
        found |= {"schedule": "constant"}
    elif training.schedule == "step":
        found |= {"milestones": tuple(training.milestones[:1])}
    elif training.schedule == "multistep":
        found |= {"milestones": tuple(sorted(training.milestones))}
    same = training.model_copy(update=found)
    unread = {name: getattr(_DEFAULTS, name) for name in READ_BY if not reads(same, name)}
    return same.model_copy(update=unread)

"""Reasons why a trial has failed, with advice and without credentials."""

from collections.abc import Iterator

from hsl.provenance import redact_known

CPU_ALLOCATOR = "DefaultCPUAllocator"
"""Part of torch's message when this machine's memory does not suffice; for a GPU there is an exception of its own."""

LOST = "lost its worker"
"""Begin of the reason of a trial that failed by no fault of its configuration, as far as is known."""

RAY_MONITOR = "low on memory"
"""Part of Ray's message when it ends a worker because its machine runs out of memory."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def out_of_memory(error: object) -> str:
    """Message for a machine or a GPU with too little memory for a trial."""
    said = redact_known(str(error))
    return f"out of memory: {said}; try a smaller training.batch_size or fewer trials at once (resources)"


def in_one_line(reason: str) -> str:
    """The last line of a traceback, or the first line of any other reason."""
    lines = reason.strip().splitlines() or [""]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def reason_of_loss(timeout: float | None, silent: float, error: object) -> str:
    """Why a trial that lost its workers has failed.

    Args:
        timeout: Seconds without a report after which a worker is killed; None for none.
        silent: Seconds since its last report.
        error: The error from Ray.
    """
    if timeout is not None and silent >= timeout:
        return (
            f"no report within trial_timeout ({timeout:g} s), each time it was tried: it hangs, "
            f"or an epoch takes longer; then raise trial_timeout"
        )
    if RAY_MONITOR in str(error):
        return out_of_memory(f"Ray ended its worker each time it was tried: {error}")
    return redact_known(f"{LOST} each time it was tried: {error}")

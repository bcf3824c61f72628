"""Time limit for a block, even if it hangs in native code."""

import contextlib
import faulthandler
from collections.abc import Iterator


@contextlib.contextmanager
def watchdog(seconds: float | None) -> Iterator[None]:
    """End this process, with the stack of every thread on its stderr, if the block takes longer.

    Works even where native code hangs and holds the interpreter, because the waiting thread needs neither.
    """
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()

"""Settings of the process's memory allocator."""

import ctypes
import functools

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of `mallopt` (malloc.h of the GNU C library)."""

KEPT_BYTES = 1 << 30
GROWTH_BYTES = 1 << 26


@functools.cache
def keep_freed_memory() -> bool:
    """Let the allocator keep freed memory: every step of a training requests the same large tensors again.

    By default the GNU C library gives large blocks back to the system at once, and the system fills each new one
    with zeros, page by page: with small convolutional networks that takes as long as the arithmetic. Other allocators
    are left as they are; then the result is False. The setting holds for the whole process, so only owners of one
    call this: workers and the command line.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not every system has it, or a library to look in
        return False
    wanted = {M_MMAP_THRESHOLD: KEPT_BYTES, M_TRIM_THRESHOLD: KEPT_BYTES, M_TOP_PAD: GROWTH_BYTES}
    return 0 not in [mallopt(parameter, value) for parameter, value in wanted.items()]

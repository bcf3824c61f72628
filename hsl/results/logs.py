"""The logs of trials, as their workers wrote them to the store."""

import pyarrow as pa

from hsl.errors import HslError, NothingMatchedError
from hsl.store.layout import LOG_SUFFIX, LOGS
from hsl.store.store import Store

_SHOWN = 5


def read_log(store: Store, trial: str) -> str:
    """The log of the only trial whose id begins with `trial`.

    Raises:
        NothingMatchedError: If no such trial has a log.
        HslError: If several have.
    """
    found = sorted(name for name in store.files(LOGS) if name.startswith(trial) and name.endswith(LOG_SUFFIX))
    if trial + LOG_SUFFIX in found:
        found = [trial + LOG_SUFFIX]
    if not found:
        raise NothingMatchedError(
            f"no trial {trial!r} has a log in {store.uri}; "
            f"ids: hsl query {store.uri} 'SELECT trial_id, cell, status FROM trials'"
        )
    if len(found) > 1:
        shown = ", ".join(name.removesuffix(LOG_SUFFIX) for name in found[:_SHOWN])
        raise HslError(f"{len(found)} trials begin with {trial!r}: {shown}; give more of the id")
    return pa.py_buffer(store.read_file(f"{LOGS}/{found[0]}")).to_pybytes().decode(errors="replace")

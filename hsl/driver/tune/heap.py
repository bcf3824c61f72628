"""Keeps Python's garbage collector from walking through all trials of a large sweep again and again."""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.driver.tune.ray import Unsaved

TRIALS = 250
"""How many trials end between two times that what is left of them is put aside."""


class Heap(Unsaved, tune.Callback):
    """Puts aside, now and then, what Tune keeps of trials that have ended: none of it is garbage before the sweep ends.

    A full collection visits every object that lives. With ten thousand trials it takes a second, and it comes again
    whenever a quarter has been added.
    """

    def __init__(self) -> None:
        self._ended = 0

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has ended."""
        self._ended += 1
        if self._ended % TRIALS == 0:
            _put_aside()


@contextlib.contextmanager
def put_aside() -> Iterator[None]:
    """Leave what is imported now, and what a `Heap` puts aside, out of collections as long as the context lasts."""
    _put_aside()
    try:
        yield
    finally:
        gc.unfreeze()


def _put_aside() -> None:
    gc.collect()
    gc.freeze()

"""Interruptions of the driver."""

from __future__ import annotations

import contextlib
import signal

import pytest

from hsl.search.runtime import check_interrupted, interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_is_swallowed_is_not_lost(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        with contextlib.suppress(KeyboardInterrupt):  # as callbacks of other languages do
            signal.raise_signal(number)
        check_interrupted()


def test_one_that_nobody_asks_for_comes_at_the_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible(), contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_without_one_nothing_happens() -> None:
    with interruptible():
        check_interrupted()

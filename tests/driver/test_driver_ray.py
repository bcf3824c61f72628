"""Interruptions of the driver."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
from typing import Any

import pytest
from ray.tune.execution import class_cache

from hsl.driver.tune.ray import _keep_credentials, check_interrupted, interruptible


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
    check_interrupted()  # what comes afterwards in this process has not been interrupted


def test_without_one_nothing_happens() -> None:
    with interruptible():
        check_interrupted()


def as_ray_has_it() -> Any:
    """What Tune copies by itself, whatever earlier sweeps have changed in this process."""
    found = importlib.util.find_spec(class_cache.__name__)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.ENV_VARS_TO_PROPAGATE


def test_tune_does_not_copy_the_keys_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would stand in the command line of every worker."""
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", as_ray_has_it())
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_CHDIR_TO_TRIAL_DIR"):
        monkeypatch.setenv(name, f"value of {name}")

    def copied() -> str:
        return str(class_cache._ActorClassCache().get(type("Trainable", (), {}))._default_options)

    assert "value of AWS_SECRET_ACCESS_KEY" in copied(), "Ray does so by itself"
    _keep_credentials()
    assert "value of AWS" not in copied()
    assert "value of RAY_CHDIR_TO_TRIAL_DIR" in copied()

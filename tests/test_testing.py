"""The conformance suites: what is in the package and good plug-ins pass them, each broken plug-in fails one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import own_axes
import pytest
import torch
from torch import Tensor, nn

from hsl import testing
from hsl.hardness.registries import ATTACKS, CORRUPTIONS, SCORES, SELECTIONS, CorruptionFacts
from hsl.registry import Entry
from hsl.space.samplers import SAMPLERS
from hsl.sparsity import DISTRIBUTIONS, METHODS
from hsl.sparsity.distributions.formulas import uniform
from hsl.stopping.rule import Decision, StoppingRule, Verdict
from hsl.stopping.settings import EARLY_STOPPING, Kind
from hsl.testing.methods import check_method

CHECKS = {
    "attack": (ATTACKS, testing.check_attack),
    "corruption": (CORRUPTIONS, testing.check_corruption),
    "distribution": (DISTRIBUTIONS, testing.check_distribution),
    "early stopping": (EARLY_STOPPING, testing.check_early_stopping),
    "sampler": (SAMPLERS, testing.check_sampler),
    "score": (SCORES, testing.check_score),
    "selection": (SELECTIONS, testing.check_selection),
}
BUILT_IN = [(axis, name) for axis, (registry, _) in CHECKS.items() for name in registry]


@pytest.mark.parametrize(("axis", "name"), BUILT_IN)
def test_what_the_package_has_passes(axis: str, name: str) -> None:
    CHECKS[axis][1](name)


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_the_package_pass(name: str) -> None:
    check_method(name, [METHODS[name].distributions[0]] if METHODS[name].distributions else None)


def test_models_and_data_sets_of_the_package_pass() -> None:
    for model in ("mlp", "lenet", "resnet8"):
        testing.check_model(model)
    testing.check_dataset("digits")


def test_good_plug_ins_pass() -> None:
    testing.check_attack("own_axes:sign")
    testing.check_corruption("own_axes:STRIPES")
    testing.check_dataset("own_axes:bars:50")
    testing.check_distribution("own_axes:by_width")
    testing.check_early_stopping({"kind": "own_axes:Floor", "floor": 0.3})
    testing.check_method("own_axes:HALF_WAY")
    testing.check_model("own_axes:small", width=8)
    testing.check_sampler({"name": "own_axes:Eager", "drawn": 3})
    testing.check_sampler({"name": "optuna.samplers:TPESampler", "multivariate": True})
    testing.check_score("own_axes:SLOPE")
    testing.check_selection("own_axes:every_other")


CALLS = itertools.count()


def random_score(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.arange(len(labels)).float()


def half_score(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.abs().sum(1).half()


def negative_score(logits: Tensor, labels: Tensor) -> Tensor:
    return -logits.abs().sum(1)


def twice(scores: Tensor, ids: Tensor, key: int) -> Tensor:
    return torch.zeros(len(scores), dtype=torch.int64)


def another_order(scores: Tensor, ids: Tensor, key: int) -> Tensor:
    return torch.roll(torch.arange(len(scores)), next(CALLS))


def lower_ids_first(scores: Tensor, ids: Tensor, key: int) -> Tensor:
    by_id = torch.argsort(ids)
    return by_id[torch.argsort(scores[by_id], descending=True, stable=True)]


def by_place(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    return pixels + torch.arange(len(pixels)).view(-1, 1, 1, 1) * severity


NOT_RANDOM = Entry(lambda pixels, ids, severity, key: 255 - pixels, CorruptionFacts())


def far(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, **_: Any) -> Tensor:
    return (images + 2 * eps).clamp(0, 1)


def careless(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, **_: Any) -> Tensor:
    model(images).sum().backward()
    return images


def too_dense(shapes: Any, sparsity: float, *, keep_dense: Any = ()) -> dict[str, float]:
    return dict.fromkeys(shapes, 1.0)


def deaf(shapes: Any, sparsity: float, *, keep_dense: Any = ()) -> dict[str, float]:
    return uniform(shapes, sparsity)


class Late(own_axes.HalfWay):
    """Never reaches its target."""

    def build(self, start: Any) -> Any:
        driver = super().build(start)
        driver.reached_at = 10**9
        return driver


class Slow(own_axes.HalfWay):
    """Prunes in the fourth step, however few there are."""

    def build(self, start: Any) -> Any:
        driver = super().build(start)
        driver.reached_at = 4
        return driver


class Blind(own_axes.HalfWay):
    """Does not look at the layers that are to stay dense."""

    def build(self, start: Any) -> Any:
        budget = replace(start.network.budget, keep_dense=frozenset())
        return super().build(replace(start, network=replace(start.network, budget=budget)))


class Global(own_axes.HalfWay):
    """Draws from the generator that belongs to the user."""

    def build(self, start: Any) -> Any:
        torch.rand(1)
        return super().build(start)


LATE = replace(own_axes.HALF_WAY, name="test_testing:LATE", moment=Late())
SLOW = replace(own_axes.HALF_WAY, name="test_testing:SLOW", moment=Slow())
BLIND = replace(own_axes.HALF_WAY, name="test_testing:BLIND", moment=Blind())
GLOBAL = replace(own_axes.HALF_WAY, name="test_testing:GLOBAL", moment=Global())


def headless(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes + 1))


def constant(shape: tuple[int, int, int], classes: int) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    return model


def floats(path: str) -> Any:
    arrays = own_axes.bars(path)
    return replace(arrays, images=arrays.images.astype(np.float32))


class Moody(own_axes.Eager):
    def build(self, seed: int) -> Any:
        return super().build(seed + next(CALLS))


class Forgetful(Kind):
    def build(self, epochs: int, seed: int) -> StoppingRule:
        return ForgetfulRule()


class ForgetfulRule(StoppingRule):
    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        return Verdict(Decision.STOP if next(CALLS) % 7 == 0 else Decision.CONTINUE)


class Promising(Kind):
    def milestones(self, epochs: int) -> tuple[int, ...]:
        return (2, 4)


@pytest.mark.parametrize(
    ("axis", "name", "message"),
    [
        ("score", "random_score", "depends on the order of the samples"),
        ("score", "half_score", "must be float64 or float32"),
        ("score", "negative_score", "say is_signed"),
        ("selection", "twice", "names a position twice"),
        ("selection", "another_order", "another order for the same scores"),
        ("selection", "lower_ids_first", "it orders them by id, which says how they are stored"),
        ("corruption", "by_place", "depends on the order or the size of batches"),
        ("corruption", "NOT_RANDOM", "is_random is True in its facts"),
        ("attack", "far", "leaves the ball"),
        ("attack", "careless", "leaves gradients behind"),
        ("distribution", "too_dense", "leave"),
        ("distribution", "deaf", "kept dense"),
        ("method", "LATE", "does not reach its target"),
        ("method", "SLOW", "in 1 steps does not reach its target"),
        ("method", "BLIND", "a layer that is kept dense has density"),
        ("method", "GLOBAL", "global generator"),
        ("model", "headless", "returns"),
        ("model", "constant", "no random weights"),
        ("dataset", "floats", "images are float32"),
        ("sampler", "Moody", "not the same again"),
        ("early_stopping", "Forgetful", "another answer"),
        ("early_stopping", "Promising", "other milestones"),
    ],
)
def test_a_broken_plug_in_fails_and_is_told_why(axis: str, name: str, message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        getattr(testing, f"check_{axis}")(f"test_testing:{name}")
    assert isinstance(caught.value, AssertionError) or axis == "distribution"

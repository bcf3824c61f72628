"""The samples by which weights are scored before the training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_small import with_method

from hsl.training import build
from hsl.training.build import build_trainer, first_of_each_class


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 12), st.integers(0, 99))
def test_the_first_of_each_class_in_the_order(classes: list[int], count: int, seed: int) -> None:
    labels = torch.tensor(classes)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
    expected, taken = [], dict.fromkeys(range(5), 0)
    for sample in order.tolist():
        if taken[classes[sample]] < count:
            taken[classes[sample]] += 1
            expected.append(sample)
    assert first_of_each_class(order, labels, count).tolist() == expected


def scored_by(monkeypatch: pytest.MonkeyPatch, method: str, **hyperparameters: float) -> torch.Tensor:
    """Classes of the samples that score the weights."""
    seen: list[torch.Tensor] = []
    real = build.functional.cross_entropy

    def noting(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return real(logits, labels)

    monkeypatch.setattr(build.functional, "cross_entropy", noting)
    build_trainer(with_method(method, split={"limit": 600}, hyperparameters=hyperparameters), seed=0)
    return seen[0]


def test_grasp_scores_ten_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scored_by(monkeypatch, "grasp").bincount().tolist() == [10] * 10
    assert scored_by(monkeypatch, "grasp", samples_per_class=3).bincount().tolist() == [3] * 10


def test_snip_scores_128_at_random_and_so_did_grasp_in_version_0_1(monkeypatch: pytest.MonkeyPatch) -> None:
    of_snip = scored_by(monkeypatch, "snip")
    assert len(of_snip) == 128
    assert torch.equal(scored_by(monkeypatch, "grasp", samples_per_class=0), of_snip)

"""Accuracy and loss against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss, recall_score
from torch import Tensor, nn

from hsl.hardness.apply import Samples
from hsl.training.configuration import Split
from hsl.training.data.loaded import load_data
from hsl.training.measuring import evaluation
from hsl.training.measuring.evaluation import all_logits, classify, to_float


@pytest.fixture
def samples() -> Samples:
    return load_data("digits", Split(), "cpu").test


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Dropout(0.5))
    return nn.Sequential(layers, nn.Linear(20, 10))


def test_metrics_are_scikit_learns(model: nn.Module, samples: Samples) -> None:
    metrics = classify(model, samples).metrics
    with torch.no_grad():
        probabilities = model.eval()(samples.images.float() / 255).softmax(1).double().numpy()
    labels = samples.labels.numpy()
    assert metrics.accuracy == accuracy_score(labels, probabilities.argmax(1))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert metrics.loss == pytest.approx(log_loss(labels, probabilities, labels=range(10)), rel=1e-6)


class Table(nn.Module):
    """A network that says of each image what is written in a table, one row after the other."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[: len(images)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_logits_without_a_softmax_are_wrong_whatever_the_label(seed: int) -> None:
    samples = load_data("digits", Split(), "cpu").test
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(samples), 10, generator=generator)
    odd = torch.tensor([torch.nan, torch.inf, -torch.inf])[
        torch.randint(3, logits.shape, generator=generator)
    ]
    logits = torch.where(torch.rand(logits.shape, generator=generator) < 0.1, odd, logits)
    logits[:3] = torch.tensor([torch.nan, torch.inf, -torch.inf])[:, None]
    labels = torch.where(torch.arange(len(samples)) % 2 == 0, logits.argmax(1), samples.labels)
    found = classify(Table(logits), replace(samples, labels=labels))
    with np.errstate(invalid="ignore"):
        probabilities = softmax(logits.double().numpy(), axis=1)
    is_there = np.isfinite(probabilities).all(axis=1)
    expected = is_there & (probabilities.argmax(1) == labels.numpy())
    assert 0 < expected.sum() < len(samples)
    assert 0.3 < is_there.mean() < 0.7
    assert np.array_equal(found.correct.numpy(), expected)
    assert np.isnan(found.losses.numpy()[~is_there]).all()


@pytest.mark.parametrize("labels", [range(10), [2, 3, 7]])
def test_the_worst_class_is_that_of_scikit_learn(
    model: nn.Module, samples: Samples, labels: list[int]
) -> None:
    part = samples.where(torch.isin(samples.labels, torch.tensor(list(labels))))
    classified = classify(model, part)
    found = all_logits(model, part).argmax(1).numpy()
    recalls = recall_score(part.labels.numpy(), found, average=None, labels=list(labels), zero_division=0)
    assert classified.worst_class(part.labels) == recalls.min()


@pytest.mark.parametrize("batch", [1, 7, 359, 5000])
def test_the_batch_size_of_an_evaluation_changes_nothing(
    model: nn.Module, samples: Samples, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = classify(model, samples).metrics
    monkeypatch.setattr(evaluation, "BATCH", batch)
    cut = classify(model, samples).metrics
    assert cut.accuracy == whole.accuracy
    assert cut.loss == pytest.approx(whole.loss, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_an_evaluation_leaves_the_model_as_it_was(model: nn.Module, samples: Samples, training: bool) -> None:
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    classify(model, samples)
    all_logits(model, samples)
    assert model.training == training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_perturbation_sees_every_sample_once_in_eval_mode(
    model: nn.Module, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "BATCH", 100)
    seen: list[Tensor] = []

    def blank(network: nn.Module, images: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        assert not network.training
        assert torch.equal(labels, samples.labels[torch.isin(samples.ids, ids)])
        seen.append(ids)
        return torch.zeros_like(images)

    attacked = classify(model, samples, blank).metrics
    assert torch.equal(torch.cat(seen), samples.ids)
    black = Samples(torch.zeros_like(samples.images), samples.labels, samples.ids)
    assert attacked == classify(model, black).metrics


def test_logits_come_in_the_order_of_the_samples(model: nn.Module, samples: Samples) -> None:
    logits = all_logits(model, samples)
    accuracy = (logits.argmax(1) == samples.labels).double().mean().item()
    assert accuracy == pytest.approx(classify(model, samples).metrics.accuracy)


def test_pixels_are_scaled_to_the_unit_interval() -> None:
    assert torch.equal(to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)), torch.tensor([0.0, 0.2, 1.0]))

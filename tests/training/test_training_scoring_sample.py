"""The samples by which weights are scored before the training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_small import with_method

from hsl.training import build
from hsl.training.build import build_trainer, first_of_each_class
from hsl.training.configuration import Configuration, digest


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
    return all_scored_by(monkeypatch, with_method(method, **SMALL, hyperparameters=hyperparameters))[0]


SMALL = {"split": {"limit": 600}}


def all_scored_by(monkeypatch: pytest.MonkeyPatch, configuration: Configuration) -> list[torch.Tensor]:
    """The same of everything that scores them, in order."""
    seen: list[torch.Tensor] = []
    real = build.functional.cross_entropy

    def noting(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return real(logits, labels)

    monkeypatch.setattr(build.functional, "cross_entropy", noting)
    build_trainer(configuration, seed=0)
    return seen


def test_grasp_scores_ten_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scored_by(monkeypatch, "grasp").bincount().tolist() == [10] * 10
    assert scored_by(monkeypatch, "grasp", samples_per_class=3).bincount().tolist() == [3] * 10


def test_snip_scores_128_at_random_and_so_did_grasp_in_version_0_1(monkeypatch: pytest.MonkeyPatch) -> None:
    of_snip = scored_by(monkeypatch, "snip")
    assert len(of_snip) == 128
    assert torch.equal(scored_by(monkeypatch, "grasp", samples_per_class=0), of_snip)


def test_a_distribution_is_scored_as_its_method_scores_and_not_as_the_one_that_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With dense initial weights, which look at no samples by themselves."""
    of_ratios, own = all_scored_by(
        monkeypatch, with_method("snip", **SMALL, init="dense", distribution="from:grasp")
    )
    assert (of_ratios.bincount().tolist(), len(own)) == ([10] * 10, 128)
    of_ratios, own = all_scored_by(
        monkeypatch, with_method("grasp", **SMALL, init="dense", distribution="from:snip")
    )
    assert (len(of_ratios), own.bincount().tolist()) == (128, [10] * 10)
    former = with_method(
        "snip", **SMALL, init="dense", distribution="from:grasp", ratios={"samples_per_class": 0}
    )
    assert torch.equal(*all_scored_by(monkeypatch, former))


def test_distributions_by_grasp_of_version_0_1_keep_their_identity() -> None:
    sparse = {"method": "static", "sparsity": 0.9, "distribution": "from:grasp"}
    stored = {"dataset": "digits", "model": {"name": "mlp"}, **sparse}
    given = {**stored, "layers": {"ties": "index"}}
    former, present = (
        Configuration.model_validate({**given, "ratios": ratios}) for ratios in ({"samples_per_class": 0}, {})
    )
    assert former.stored() == stored
    assert former.id == digest(stored)
    assert present.stored()["ratios"] == {"samples_per_class": 10}
    for whole in (former, present):
        assert Configuration.from_stored(whole.stored()) == whole
    assert Configuration.from_stored(stored) == former
    others = Configuration.model_validate({**given, "distribution": "from:snip"})
    assert others.stored() == {**stored, "distribution": "from:snip"}
    with pytest.raises(ValueError, match="ratios are of distributions from:METHOD by scores, not of erk"):
        Configuration.model_validate({**given, "distribution": "erk", "ratios": {"samples_per_class": 0}})
    with pytest.raises(ValueError, match="method 'grasp' has no hyperparameter 'rounds'"):
        Configuration.model_validate({**given, "ratios": {"rounds": 3}})

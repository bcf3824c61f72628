"""Everything that a regime can name is trained with, whatever is added to the registries of hardness."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional
from training_small import everything, score_file, small, train, trainer_of

from hsl.errors import DataError
from hsl.hardness.attacks import attacks
from hsl.hardness.registries import ATTACKS, CORRUPTIONS, LABEL_NOISES, SCORES, SELECTIONS, TRAININGS
from hsl.training.build import build_trainer
from hsl.training.cost.passes import count_passes


def check_trains(regime: dict[str, Any], folder: Path, **given: Any) -> None:
    configuration = small({"epochs": 2}, regime=regime)
    first, again = (train(trainer_of(configuration, folder, **given)) for _ in range(2))
    assert all(math.isfinite(value) for row in first.history for value in row.values())
    assert everything(first) == everything(again)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [*ATTACKS, *TRAININGS])
def test_every_attack(attack: str, norm: str, tmp_path: Path) -> None:
    regime = {"attack": {"name": attack, "norm": norm, "eval_steps": 2}}
    if (attack, norm) == ("fgsm_rs", "l2"):
        with pytest.raises(ValidationError, match="fgsm_rs is one step in linf"):
            small(regime=regime)
        return
    check_trains(regime, tmp_path)


def as_in_0_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arithmetic of attacks of version 0.1.0: any length is divided by, any cross-entropy climbed."""

    def direction(ball: attacks.Ball, gradient: Tensor) -> Tensor:
        lengths = gradient.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1, 1)
        return gradient.sign() if ball._norm == "linf" else gradient / lengths

    plain = partial(functional.cross_entropy, reduction="sum")
    monkeypatch.setattr(attacks.Ball, "direction", direction)
    monkeypatch.setattr(attacks, "cross_entropy", lambda *_: plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "norm"), [("pgd", "linf"), ("pgd", "l2"), ("trades", "l2"), ("mart", "l2")]
)
def test_networks_that_learn_are_trained_as_by_0_1(
    attack: str, norm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same ids, on digits as in the example; only steps of very sure networks have changed."""
    training = {"epochs": 30, "batch_size": 64, "evaluate_every": 30}
    regime = {"attack": {"name": attack, "norm": norm, "steps": 5, "eval_steps": 1}}
    whole = {"split": {}, "model": {"name": "mlp", "widths": [256, 256]}}
    configuration = small(training, regime=regime, **whole)
    now = train(trainer_of(configuration, tmp_path))
    as_in_0_1(monkeypatch)
    before = train(trainer_of(configuration, tmp_path))
    assert now.history[-1]["val_clean_accuracy"] > 0.95
    for name, weights in now.model.state_dict().items():
        assert torch.equal(weights, before.model.state_dict()[name])


def test_free_training_sees_each_sample_in_one_of_so_many_epochs(tmp_path: Path) -> None:
    """Of 4 batches, 3 epochs take 3 steps on each of 4 batches; so cycles are as long as `replays` epochs."""
    regime = {"attack": {"name": "free", "replays": 3, "eval_steps": 1}}
    trainer = trainer_of(small({"epochs": 6, "batch_size": 30}, regime=regime), tmp_path)
    seen: list[tuple[int, ...]] = []
    epochs: list[int] = []
    loss = trainer._loss

    class Recorded(type(loss)):  # type: ignore[misc]
        def __call__(self, model: Any, images: Any, labels: Any, ids: Any, cycle: int) -> Any:
            seen.append(tuple(ids.tolist()))
            epochs.append(trainer.epoch)
            return super().__call__(model, images, labels, ids, cycle)

    loss.__class__ = Recorded
    train(trainer)
    assert trainer.total_steps == len(seen) == 24
    assert [epochs.count(e) for e in range(1, 7)] == [4] * 6
    for first in range(0, 24, 3):
        assert len(set(seen[first : first + 3])) == 1
    everyone = set(trainer.train_samples.at(1).ids.tolist())
    for cycle in (seen[:12], seen[12:]):
        assert set().union(*cycle) == everyone
        assert len(set(cycle)) == 4
    assert set(seen[:12]) != set(seen[12:])
    assert trainer.history[-1]["train_accuracy"] > 0.5


def test_what_an_attack_costs_is_counted(tmp_path: Path) -> None:
    sizes = trainer_of(small(), tmp_path).sets.sizes
    counted = {
        name: count_passes(small(regime={"attack": {"name": name, "steps": 2} | extra}), 4, 120, 0, 0)
        for name, extra in {"pgd": {}, "trades": {}, "mart": {}, "free": {"steps": 1}}.items()
    }
    assert {name: passes / 480 for name, passes in counted.items()} == pytest.approx(
        {"pgd": 3, "trades": 4 + 1 / 3, "mart": 4, "free": 1}
    )
    judged = small(regime={"attack": {"name": "free", "eval_steps": 7}})
    evaluated = 4 * (sizes[0] / 3 + sizes[1] * (7 + 1 / 3))
    assert count_passes(judged, 4, 120, *sizes) == pytest.approx(480 + evaluated)


@pytest.mark.parametrize("kind", LABEL_NOISES)
def test_every_label_noise(kind: str, tmp_path: Path) -> None:
    classes = {"map": {3: 5, 5: 3}} if kind == "asymmetric" else {}
    check_trains({"label_noise": {"kind": kind, "rate": 0.3, **classes}}, tmp_path)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_trains_or_says_on_which_images_it_does(name: str, tmp_path: Path) -> None:
    regime = {"corruption": {"name": name, "severity": 3}}
    try:
        build_trainer(small(regime=regime), 0)
    except DataError as error:
        assert str(error).startswith(f"{name} is ")
        assert "defined on images of" in str(error)
    else:
        check_trains(regime, tmp_path)


@pytest.mark.filterwarnings("ignore:keep.fraction")
@pytest.mark.parametrize("score", SCORES)
def test_every_score_selects_samples(score: str, tmp_path: Path) -> None:
    uri = score_file(tmp_path, score, small(), epochs=2)
    keep = {"fraction": 0.5} if score == "random" else {"fraction": 0.5, "by": score, "class_balanced": True}
    check_trains({"keep": keep}, tmp_path, scores=uri)


OPTIONS: dict[str, Any] = {"window": {"offset": 0.2}, "stratified": {"mislabel_cut": 0.1}}


@pytest.mark.filterwarnings("ignore:keep.fraction")
@pytest.mark.parametrize("which", [name for name in SELECTIONS if name != "random"])
def test_every_selection_keeps_its_share(which: str, tmp_path: Path) -> None:
    uri = score_file(tmp_path, "el2n", small(), epochs=1)
    regime = {"keep": {"fraction": 0.5, "by": "el2n", "which": which, **OPTIONS.get(which, {})}}
    trainer = trainer_of(small(regime=regime), tmp_path, scores=uri)
    assert len(trainer.train_samples) == 60
    check_trains(regime, tmp_path, scores=uri)


@pytest.mark.parametrize(
    ("where", "train_differs", "matched_differs"),
    [("train", True, False), ("test", False, True), ("both", True, True)],
)
def test_a_corruption_is_where_it_is_asked_for(
    where: str, train_differs: bool, matched_differs: bool, tmp_path: Path
) -> None:
    noise = {"corruption": {"name": "gaussian_noise", "severity": 3, "where": where}}
    clean = trainer_of(small(), tmp_path)
    damaged = trainer_of(small(regime=noise), tmp_path)
    one, other = clean.train_samples.at(1).images, damaged.train_samples.at(1).images
    assert bool((one != other).any()) is train_differs
    assert bool((damaged.sets.val_clean.images != damaged.sets.val_matched.images).any()) is matched_differs
    evaluations = 4
    evaluated = sum(clean.sets.sizes) / 2 / 3 * (2 if matched_differs else 1)
    expected = 4 * 120 + evaluations * evaluated
    configuration = small(regime=noise)
    assert count_passes(configuration, 4, 120, *damaged.sets.sizes) == pytest.approx(expected)

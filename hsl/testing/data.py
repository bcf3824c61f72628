"""What holds for everything that makes data hard, for data sets, and for models."""

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hsl.errors import DataError
from hsl.hardness.corruptions.corrupt import corrupt
from hsl.hardness.registries import ATTACKS, CORRUPTIONS, SCORES, SELECTIONS
from hsl.hardness.schema.keep import Keep
from hsl.hardness.selection import select
from hsl.sparsity.layers import prunable_layers
from hsl.training.available import DATASETS, kind_and_path, model_builder
from hsl.training.data.checked_arrays import checked

SAMPLES, CLASSES, KEY = 24, 10, 7
TIED = 500
"""Equally hard samples of a class, to try how they are chosen."""


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _recorded() -> dict[str, Any]:
    """All inputs of scores, of some samples and a model that is far from perfect."""
    generator = _generator()
    labels = torch.arange(SAMPLES) % CLASSES
    trajectory = torch.randn(5, SAMPLES, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, CLASSES))
    return {
        "labels": labels,
        "ids": torch.arange(SAMPLES),
        "bias": True,
        "dtype": torch.float64,
        "logits": torch.randn(SAMPLES, CLASSES, generator=generator),
        "features": torch.randn(SAMPLES, 16, generator=generator),
        "margins": trajectory,
        "probabilities": torch.sigmoid(trajectory),
        "correct": trajectory > 0,
        "images": torch.rand(SAMPLES, 3, 8, 8, generator=generator),
        "model": model,
    }


def check_score(name: str) -> None:
    """A score is a finite float64 or float32 per sample, independent of the order of the samples.

    Args:
        name: Registry name or reference.
    """
    facts, given = SCORES.facts(name), _recorded()
    taken = list(inspect.signature(SCORES[name]).parameters)
    missing = {*facts.arguments, *facts.options} - given.keys()
    assert not missing, f"{name}: its facts name {sorted(missing)}, there are {sorted(given)}"
    assert len(taken) >= len(facts.arguments), f"{name} takes {taken}, its facts name {facts.arguments}"

    def scored(order: Tensor) -> Tensor:
        axis = 1 if facts.recorded == "trajectory" else 0
        values = {
            key: given[key].index_select(axis, order) if isinstance(given[key], Tensor) else given[key]
            for key in (*facts.arguments, *facts.options)
        }
        options = {key: values[key] for key in facts.options}
        scores: Tensor = SCORES[name](*(values[key] for key in facts.arguments), **options)
        return scores

    scores = scored(torch.arange(SAMPLES))
    assert scores.dtype in (torch.float64, torch.float32), (
        f"{name} is {scores.dtype}, it must be float64 or float32"
    )
    assert scores.shape == (SAMPLES,), f"{name} has shape {tuple(scores.shape)} for {SAMPLES} samples"
    assert bool(torch.isfinite(scores).all()), f"{name} is not finite"
    assert facts.is_signed or scores.min() >= 0, f"{name} can be negative; say is_signed in its facts"
    order = torch.randperm(SAMPLES, generator=_generator())
    assert torch.allclose(scored(order), scores[order], atol=1e-5), (
        f"{name} depends on the order of the samples"
    )


def check_selection(name: str) -> None:
    """A selection orders all positions, as a function of scores, ids and key alone, and equally hard ones not by id.

    Args:
        name: Registry name or reference.
    """
    ids = torch.arange(100, 100 + SAMPLES)
    scores = torch.rand(SAMPLES, generator=_generator())
    facts = SELECTIONS.facts(name)
    options = {key: 0.25 if value is None else value for key, value in facts.options.items()}
    if facts.reads_scores:
        keep = Keep.model_validate({"fraction": 0.5, "by": "el2n", "which": name, **options})
        assert keep.options == options, f"{name} receives {keep.options} from a regime that says {options}"
    order = SELECTIONS[name](scores, ids, KEY, **options)
    assert order.dtype == torch.int64, f"{name} returns {order.dtype}, it must be int64"
    positions = sorted(order.tolist())
    assert len(set(positions)) == len(positions), f"{name} names a position twice"
    assert set(positions) <= set(range(SAMPLES)), f"{name} names positions that do not exist"
    again = SELECTIONS[name](scores, ids, KEY, **options)
    assert torch.equal(order, again), f"{name} gives another order for the same scores, ids and key"
    _check_ties(name, options)


def _check_ties(name: str, options: dict[str, Any]) -> None:
    """Of equally hard samples of two classes, stored one after the other, about as many of each are kept."""
    labels = torch.arange(2 * TIED) // TIED
    kept = select(torch.ones(2 * TIED), labels, torch.arange(2 * TIED), 0.5, name, key=KEY, options=options)
    first = int((labels[kept] == 0).sum())
    # Hypergeometric: TIED / 2 of each, with a deviation of sqrt(TIED / 8).
    assert abs(first - TIED / 2) < 6 * (TIED / 8) ** 0.5, (
        f"{name} keeps {first} of {TIED} samples of one class and {TIED - first} of another, all equally hard: it "
        f"orders them by id, which says how they are stored; leave equally hard samples as they are given"
    )


def check_corruption(name: str) -> None:
    """A corruption keeps the form of images, and depends on id and key alone, as its facts say.

    Args:
        name: Registry name or reference.
    """
    facts = CORRUPTIONS.facts(name)
    side = max(32, facts.least_side)
    channels = facts.channels[-1] if facts.channels else 3
    images = torch.randint(0, 256, (16, channels, side, side), generator=_generator()).to(torch.uint8)
    ids = torch.arange(16)
    for severity in range(1, facts.severities[side >= 48] + 1):
        damaged = corrupt(images, ids, name, severity, KEY)
        where = f"{name} at severity {severity}"
        assert damaged.shape == images.shape, f"{where} has another shape"
        assert not torch.equal(damaged, images), f"{where} changes nothing"
        order = torch.randperm(16, generator=_generator())
        shuffled = corrupt(images[order], ids[order], name, severity, KEY, chunk=5)
        assert torch.equal(shuffled, damaged[order]), f"{where} depends on the order or the size of batches"
        same = torch.equal(damaged, corrupt(images, ids, name, severity, KEY + 1))
        assert same is not facts.is_random, f"{where}: is_random is {facts.is_random} in its facts"


def check_attack(name: str) -> None:
    """An attack stays in its ball and in [0, 1], and leaves the model as it was.

    Args:
        name: Registry name or reference.
    """
    given, eps = _recorded(), 4 / 255
    model, images, labels = given["model"], given["images"], given["labels"]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start = torch.rand(images.shape, generator=_generator()).mul(2 * eps).sub(eps)
    attacked = ATTACKS[name](
        model, images, labels, eps=eps, step=eps / 2, steps=1, norm="linf", start=start, bn_mode="eval"
    )
    assert attacked.shape == images.shape, f"{name} has another shape"
    assert float((attacked - images).abs().max()) <= eps + 1e-6, f"{name} leaves the ball of eps"
    assert float(attacked.min()) >= 0, f"{name} leaves [0, 1]"
    assert float(attacked.max()) <= 1, f"{name} leaves [0, 1]"
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), f"{name} changes the model"
    assert all(parameter.grad is None for parameter in model.parameters()), f"{name} leaves gradients behind"


def check_dataset(name: str) -> None:
    """A data set reads the same twice: uint8 images [N, C, H, W], classes from 0 on, a flag for test samples.

    Args:
        name: As in a space: a registry name with its path, or ``package.module:attr:PATH``.
    """
    kind, path = kind_and_path(name)
    try:
        one, other = (checked(DATASETS[kind](path), name) for _ in range(2))
    except DataError as error:
        raise AssertionError(str(error)) from error
    classes = sorted(set(np.asarray(one.labels).tolist()))
    assert classes == list(range(len(classes))), (
        f"classes of {name} are {classes[:9]}: count from 0, leave none out"
    )
    for part in ("images", "labels", "is_test"):
        assert np.array_equal(getattr(one, part), getattr(other, part)), (
            f"{part} of {name} differ when read again"
        )
    size = DATASETS.facts(kind).size
    assert size is None or size.samples == len(one.labels), (
        f"{name} has {len(one.labels)} samples, not {size}"
    )


def check_model(name: str, shape: tuple[int, int, int] = (3, 32, 32), **options: Any) -> None:
    """A model maps images to logits, can be pruned, trains every parameter, and follows the seed.

    Args:
        name: Registry name or reference.
        shape: (C, H, W) of the images.
        options: Its options.
    """
    made = []
    for seed in (0, 0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made.append(model_builder(name)(shape=shape, classes=CLASSES, **options))
    states = [model.state_dict() for model in made]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0]), f"{name} ignores the seed"
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0]), (
        f"{name} has no random weights"
    )
    logits = made[0](torch.rand(4, *shape, generator=_generator()))
    assert logits.shape == (4, CLASSES), (
        f"{name} returns {tuple(logits.shape)} for 4 images and {CLASSES} classes"
    )
    logits.logsumexp(1).sum().backward()
    idle = [key for key, parameter in made[0].named_parameters() if parameter.grad is None]
    assert not idle, f"parameters of {name} that play no part: {', '.join(idle)}"
    assert prunable_layers(made[0]), f"{name} has no layer that can be pruned"

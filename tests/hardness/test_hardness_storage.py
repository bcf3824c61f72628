"""Nothing depends on the order in which samples are stored, of whatever score and selection the registries have.

A data set is stored twice: class by class, as an image folder is read, and shuffled. Ids are places, so what is drawn
at random for a sample differs; what is decided by its content must not, and no class may gain by its place.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from hsl.hardness import SCORES, SELECTIONS, keyed
from hsl.hardness.registries import ScoreFacts
from hsl.hardness.selection import select
from hsl.training.measuring.measures import deciles

N, CLASSES, SEEDS = 600, 5, 30
GENERATOR = torch.Generator().manual_seed(3)
LABELS = torch.arange(N) * CLASSES // N
"""Of the content: how difficult a sample is does not depend on its class."""

ORDERS = {"by class": torch.arange(N), "shuffled": torch.randperm(N, generator=GENERATOR)}
"""Content of each place. The id of a sample is its place."""

FEW = torch.randint(0, 3, (N,), generator=GENERATOR).double()
ALL_DIFFERENT = torch.randperm(N, generator=GENERATOR).double()
OPTIONS: dict[str, dict[str, Any]] = {
    name: {key: 0.2 if value is None else value for key, value in SELECTIONS.facts(name).options.items()}
    for name in SELECTIONS
}


def kept_content(scores: Tensor, order: Tensor, which: str, key: int, **given: Any) -> Tensor:
    """The content that is kept, bool [N], where content `order[i]` is stored at place i."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = select(
            scores[order],
            LABELS[order],
            torch.arange(N),
            0.4,
            which,
            key=key,
            options=OPTIONS[which],
            **given,
        )
    return torch.isin(torch.arange(N), order[kept])


def counts(scores: Tensor, stored: str, which: str, **given: Any) -> Tensor:
    """Samples of each class that are kept, over several seeds, int64 [CLASSES]."""
    kept = [kept_content(scores, ORDERS[stored], which, keyed.key(seed), **given) for seed in range(SEEDS)]
    return torch.stack([LABELS[one].bincount(minlength=CLASSES) for one in kept]).sum(0)


def by_chance(scores: Tensor, which: str, **given: Any) -> float:
    """Probability of class counts as different as those of the two orders, if the order did not matter."""
    table = [counts(scores, stored, which, **given).tolist() for stored in ORDERS]
    return float(stats.chi2_contingency(table).pvalue)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("which", SELECTIONS)
def test_no_class_gains_by_its_place(which: str, balanced: bool) -> None:
    assert by_chance(FEW, which, class_balanced=balanced) > 1e-3


@pytest.mark.parametrize("which", ["hardest", "easiest", "middle", "window"])
def test_by_id_the_first_classes_would_gain(which: str) -> None:
    """The rule of version 0.1.0, which this file would find."""
    assert by_chance(FEW, which, ties="id") < 1e-9


@pytest.mark.parametrize("which", SELECTIONS)
def test_what_the_score_decides_alone_does_not_depend_on_the_place(which: str) -> None:
    """Of scores that are all different; random draws are keyed by the id and may differ."""
    one, other = (kept_content(ALL_DIFFERENT, ORDERS["by class"], which, key) for key in (1, 2))
    draws = not torch.equal(one, other)
    assert draws or torch.equal(one, kept_content(ALL_DIFFERENT, ORDERS["shuffled"], which, 1))


def test_equally_hard_samples_differ_by_seed_and_stay_for_a_seed() -> None:
    first, second = (kept_content(FEW * 0, ORDERS["by class"], "hardest", keyed.key(seed)) for seed in (0, 1))
    assert torch.equal(first, kept_content(FEW * 0, ORDERS["by class"], "hardest", keyed.key(0)))
    assert not torch.equal(first, second)
    assert first.sum() == second.sum() == round(0.4 * N)


@pytest.mark.parametrize("count", [1, 7, 60])
def test_of_two_classes_the_next_of_a_balanced_selection_is_any(count: int) -> None:
    """What is left over after equal shares goes to a class at random, where all samples are equally hard."""
    labels, ids = torch.arange(N) * 2 // N, torch.arange(N)
    lone = torch.zeros(2, dtype=torch.int64)
    for seed in range(200):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = select(FEW * 0, labels, ids, which="hardest", count=count, key=keyed.key(seed))
        lone += labels[kept].bincount(minlength=2)
    assert stats.binomtest(int(lone[0]), int(lone.sum())).pvalue > 1e-4


def recorded(facts: ScoreFacts) -> dict[str, Any]:
    """Inputs of a score, by content: confident predictions, and short trajectories, which have many ties."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(N, CLASSES, generator=generator)
    logits[torch.arange(N), LABELS] += torch.rand(N, generator=generator) * 30
    path = torch.rand(3, N, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES))
    inputs: dict[str, Any] = {
        "labels": LABELS,
        "logits": logits,
        "margins": path * 40,
        "probabilities": path,
        "correct": path > 0.3,
        "features": torch.randn(N, 8, generator=generator),
        "images": torch.rand(N, 3, 2, 2, generator=generator),
        "model": model,
        "ids": torch.arange(N),
        "bias": True,
        "dtype": torch.float64,
    }
    return {name: inputs[name] for name in (*facts.arguments, *facts.options)}


def scored(name: str, order: Tensor) -> Tensor:
    """Scores of content, where content `order[i]` is stored at place i and has this id."""
    facts = SCORES.facts(name)
    values = recorded(facts)
    for key, value in values.items():
        if isinstance(value, Tensor) and key != "ids":
            values[key] = value[:, order] if facts.recorded == "trajectory" else value[order]
    found: Tensor = SCORES[name](
        *(values[key] for key in facts.arguments), **{key: values[key] for key in facts.options}
    )
    by_content = torch.empty_like(found)
    by_content[order] = found
    return by_content


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_decided_by_content_and_no_class_gains_by_its_place(name: str) -> None:
    one, other = (scored(name, order) for order in ORDERS.values())
    if not SCORES.facts(name).ranks:
        assert stats.kstest(one.numpy(), "uniform").pvalue > 1e-3
        return
    np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-12)
    table = [
        counts(values, stored, "hardest").tolist()
        for stored, values in zip(ORDERS, (one, other), strict=True)
    ]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_tenths_of_equally_hard_samples_have_all_classes() -> None:
    """Stored class by class: by id, each class would be two tenths of its own."""
    for ties, mixed in (("keyed", True), ("id", False)):
        tenths = deciles(torch.zeros(N), torch.arange(N), ties)
        table = [LABELS[tenths == number].bincount(minlength=CLASSES).tolist() for number in range(10)]
        assert bool(stats.chi2_contingency(table).pvalue > 1e-3) is mixed

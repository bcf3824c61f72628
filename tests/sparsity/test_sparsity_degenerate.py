"""Scores that say nothing, and layers that would keep nothing: refused or named, never filled in by order of index."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hsl.errors import HslError, InfeasibleError, MethodError
from hsl.sparsity import DISTRIBUTIONS, Budget, Layers, Parent, Sparsifier
from hsl.sparsity.distributions.allocate import share_out
from hsl.sparsity.distributions.ranked import Family
from hsl.sparsity.network import keep_top
from hsl.training.configuration import Configuration

GENERATOR = torch.Generator().manual_seed(0)
IMAGES, CLASSES = torch.rand(32, 3, 8, 8, generator=GENERATOR), torch.arange(32) % 10


def loss(model: nn.Module) -> Tensor:
    return functional.cross_entropy(model(IMAGES), CLASSES)


def convolutions(activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [
        part
        for index in range(depth)
        for part in (nn.Conv2d(3 if index == 0 else 16, 16, 3, padding=1), nn.BatchNorm2d(16), activation())
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def sparse(model: nn.Module, **options: Any) -> tuple[Sparsifier, torch.optim.SGD]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    given_ = {"sparsity": 0.8, "total_steps": 10, "loss": loss} | options
    return Sparsifier(model, optimizer, **given_), optimizer


def with_zero_head(model: nn.Sequential) -> nn.Sequential:
    """As torchvision's vision transformers begin."""
    nn.init.zeros_(model[-1].weight)  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("method", ["snip", "synflow", "snip_ratios"])
def test_a_head_that_starts_at_zero_is_named(method: str) -> None:
    model = with_zero_head(convolutions())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        MethodError, match=r"are zero, or all the same, in layers .*0, 3, 6.* a head .* start at zero"
    ):
        sparse(model, method=method)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.state_dict().keys() == before.keys()


def test_it_is_named_at_the_first_step_as_well() -> None:
    model = with_zero_head(convolutions())
    _, optimizer = sparse(model, method="snip", loss=None)
    loss(model).backward()
    with pytest.raises(MethodError, match="scores of snip are zero"):
        optimizer.step()


def test_a_flow_that_saturates_is_refused_and_one_that_does_not_is_pruned() -> None:
    """Mobilenet's activation: a flow of more than 6 has no gradient."""
    with pytest.raises(MethodError, match=r"scores of synflow are zero.* layers 0.*as ReLU6"):
        sparse(convolutions(nn.ReLU6, depth=5), method="synflow")
    sparse(convolutions(nn.ReLU, depth=5), method="synflow")


def test_a_normalisation_of_equal_inputs_has_no_flow() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 10))
    with pytest.raises(MethodError, match=r"scores of synflow are zero.* layers 2"):
        sparse(model, method="synflow")
    sparse(model, method="snip")


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_a_parent_without_an_order_is_refused(distribution: str) -> None:
    trained = {name: value.clone() for name, value in convolutions().state_dict().items()}
    for value, message in (
        (0.5, "all the same"),
        (0.0, "zero"),
        (math.nan, "not finite in layers 9, 11|not finite"),
    ):
        equal = {name: torch.full_like(t, value) if t.ndim > 1 else t for name, t in trained.items()}
        with pytest.raises(MethodError, match=message):
            sparse(convolutions(), method="omp", distribution=distribution, parent=Parent(trained=equal))
    last = {**trained, "11.weight": torch.full_like(trained["11.weight"], 0.2)}
    if distribution == "uniform":
        with pytest.raises(MethodError, match="in layers 11, so they cannot say"):
            sparse(convolutions(), method="omp", distribution=distribution, parent=Parent(trained=last))
    else:  # ranked with the others, a layer of equal weights has its place
        sparse(convolutions(), method="omp", distribution=distribution, parent=Parent(trained=last))


def test_a_layer_that_stays_dense_may_score_nothing() -> None:
    model = with_zero_head(convolutions(depth=1))
    with pytest.raises(MethodError, match="in layers 0, so"):
        sparse(model, method="snip", sparsity=0.5, layers=Layers(last_dense=True))
    model = convolutions(depth=2)
    nn.init.zeros_(model[0].weight)  # type: ignore[arg-type]
    sparse(model, method="snip", sparsity=0.5, layers=Layers(first_dense=True))


def test_many_equal_scores_at_the_border_are_said(caplog: pytest.LogCaptureFixture) -> None:
    """Pixels that are always black: their weights score 0, and at this sparsity some of them must stay."""
    black = IMAGES.clone()
    black[:, :, :, :4] = 0

    def of_half(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(black), CLASSES)

    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))

    with caplog.at_level(logging.WARNING):
        sparse(model(), method="snip", sparsity=0.6, loss=of_half)
        assert not caplog.text
        sparse(model(), method="snip", sparsity=0.4, loss=of_half)
    assert (
        "192 of the weights that snip keeps in 1 have the same score as 768 that it does not" in caplog.text
    )


FORMULAS = [name for name in DISTRIBUTIONS if DISTRIBUTIONS.facts(name).family is Family.FORMULA]
SHAPES = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3), st.just(3)),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("distribution", FORMULAS)
@given(SHAPES, st.floats(0.01, 0.999), st.integers(0, 3))
def test_every_layer_keeps_a_weight_where_the_total_allows_it(
    distribution: str, shapes: list[tuple[int, ...]], sparsity: float, least: int
) -> None:
    named = {str(index): shape for index, shape in enumerate(shapes)}
    sizes = {name: math.prod(shape) for name, shape in named.items()}
    budget, former = (Budget(named, sparsity, distribution, at_least=number) for number in (least, 0))
    try:
        former.check()
    except InfeasibleError:
        assume(condition=False)
    if former.total() < sum(min(least, size) for size in sizes.values()):
        with pytest.raises(InfeasibleError, match="at_least"):
            budget.check()
        return
    budget.check()
    counts, before = budget.counts(), former.counts()
    assert sum(counts.values()) == sum(before.values()) == budget.total()
    assert all(min(least, size) <= counts[name] <= size for name, size in sizes.items())
    if all(before[name] >= min(least, size) for name, size in sizes.items()):
        assert counts == before  # where nothing was empty, nothing changes
    by_default = Budget(named, sparsity, distribution)
    if min(before.values()) == 0:
        with pytest.raises(InfeasibleError, match="would keep no weight at all"):
            by_default.check()
    else:
        by_default.check()
        assert by_default.counts() == before
    half = budget.counts(0.5)
    assert all(half[name] >= counts[name] for name in counts)


@given(st.floats(0.5, 0.99), st.integers(0, 2), st.integers(0, 1000))
def test_one_ranking_of_several_layers_keeps_one_in_each(sparsity: float, least: int, seed: int) -> None:
    shapes = {"a": (20, 10), "b": (3, 4), "c": (30, 9)}
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    scores["b"] *= 1e-3
    for distribution in ("global", "halves"):
        budget = Budget(shapes, sparsity, distribution, at_least=least)
        if budget.total() < 3 * least:
            continue
        masks = keep_top(scores, budget)
        assert sum(int(mask.sum()) for mask in masks.values()) == budget.total()
        for name, mask in masks.items():
            assert mask.sum() >= least
            assert not mask.any() or scores[name][mask].min() >= scores[name][~mask].max()
        later = Budget(shapes, 1 - 0.9 * (1 - sparsity), distribution, at_least=least)
        if later.total() < 3 * least:
            continue
        again = keep_top(  # what is gone stays gone
            {name: score.masked_fill(~masks[name], -torch.inf) for name, score in scores.items()},
            later,
            ceilings={name: int(mask.sum()) for name, mask in masks.items()},
        )
        assert all(not (again[name] & ~masks[name]).any() for name in masks)


def test_an_empty_layer_of_a_ranking_is_named(caplog: pytest.LogCaptureFixture) -> None:
    scores = {"a": torch.rand(20, 10), "b": 1e-3 * torch.rand(3, 4)}
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    with caplog.at_level(logging.WARNING):
        keep_top(scores, Budget(shapes, 0.5, "global", at_least=0))
        keep_top(scores, Budget(shapes, 0.5, "global"), progress=0.5)
        assert not caplog.text
        keep_top(scores, Budget(shapes, 0.5, "global"))
    assert "no weight of b is kept" in caplog.text


@pytest.mark.parametrize("method", ["static", "set", "rigl", "gmp", "acdc", "topkast", "snfs", "mest_soft"])
def test_training_keeps_a_weight_in_every_layer(method: str) -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 2), nn.ReLU(), nn.Linear(2, 10)
    )
    options = {"method": method, "sparsity": 0.997, "distribution": "uniform"}
    with pytest.raises(InfeasibleError, match="3, 5 would keep no weight at all"):
        sparse(model, **options)
    sparsifier, optimizer = sparse(model, **options, layers=Layers(at_least=1))
    for _ in range(10):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
        assert min(row.non_zeros for row in sparsifier.report()) >= 1
    assert sum(row.non_zeros for row in sparsifier.report()) == round(0.003 * (192 * 64 + 128 + 20))


def test_torchvisions_efficientnet_had_five_empty_layers() -> None:
    from torchvision.models import efficientnet_b0  # noqa: PLC0415  an import of a second

    with torch.device("meta"):
        model = efficientnet_b0()
    shapes = {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    former = Budget(shapes, 0.95, "uniform_plus", at_least=0).counts()
    assert sum(count == 0 for count in former.values()) == 5
    with pytest.raises(InfeasibleError, match=r"features.*, .*would keep no weight"):
        Budget(shapes, 0.95, "uniform_plus").check()
    now = Budget(shapes, 0.95, "uniform_plus", at_least=1).counts()
    assert min(now.values()) == 1
    assert sum(now.values()) == sum(former.values())


def test_ratios_of_another_method_that_empty_a_layer_are_refused() -> None:
    trained = {name: value.clone() for name, value in convolutions().state_dict().items()}
    trained["11.weight"] *= 1e-6
    options = {"method": "omp_ratios", "parent": Parent(trained=trained)}
    with pytest.raises(InfeasibleError, match="11 would keep no weight"):
        sparse(convolutions(), **options)
    kept = sparse(convolutions(), **options, layers=Layers(at_least=2))[0].report()[-1]
    assert kept.non_zeros == 2
    assert sparse(convolutions(), **options, layers=Layers(at_least=0))[0].report()[-1].non_zeros == 0


def test_an_empty_layer_gets_no_share_of_snfs() -> None:
    """Its mean momentum is the mean of no weights; all layers got the same for it."""
    assert share_out(10, {"a": 3.0, "b": math.nan, "c": 1.0}, {"a": 9, "b": 9, "c": 9}) == {
        "a": 8,
        "b": 0,
        "c": 2,
    }


@pytest.mark.parametrize("least", [-1, 1.5, True, "1"])
def test_what_is_no_number_of_weights_is_refused(least: Any) -> None:
    with pytest.raises(HslError, match=r"at_least is .*, it must be a whole number"):
        sparse(convolutions(), method="static", layers=Layers(at_least=least))


def test_names_of_configurations_do_not_change_by_it() -> None:
    base: dict[str, Any] = {
        "dataset": "digits",
        "model": {"name": "mlp"},
        "method": "static",
        "sparsity": 0.9,
    }
    former = {"ties": "index"}
    plain = Configuration(**base, layers=former)
    floored = Configuration(**base, layers={**former, "at_least": 1})
    assert "layers" not in plain.stored()
    assert floored.stored()["layers"] == {"at_least": 1}
    assert Configuration.from_stored(floored.stored()) == floored
    assert plain.id != floored.id
    as_before = Configuration(
        **base, layers={**former, "at_least": 0}
    )  # trains what 0.1.0 trained without being asked to
    assert Configuration.from_stored(as_before.stored()) == as_before
    assert as_before.id == plain.id
    both = [
        Configuration(**base, layers={**former, "first_dense": True, **more})
        for more in ({}, {"at_least": 0})
    ]
    assert both[0].id == both[1].id != plain.id

"""Choices of weights against literal ones, and which layers have masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsl.errors import MethodError
from hsl.sparsity.layers import Layer, Layers, attach_masks, prunable_layers, set_mask_
from hsl.sparsity.masks import drop_and_grow, top_k, top_k_among


def bits(text):
    return torch.tensor([letter == "1" for letter in text])


def literal_top_k(scores, k):
    ranked = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return [index in ranked[:k] for index in range(len(scores))]


scores_with_ties = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=30)


@given(scores_with_ties, st.data())
def test_top_k_is_exact_and_breaks_ties_by_index(scores, data):
    k = data.draw(st.integers(0, len(scores)))
    assert top_k(torch.tensor(scores), k).tolist() == literal_top_k(scores, k)


@given(scores_with_ties, st.data())
def test_top_k_among_takes_candidates_only(scores, data):
    candidates = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    k = data.draw(st.integers(0, sum(candidates)))
    chosen = top_k_among(torch.tensor(scores), k, torch.tensor(candidates)).tolist()
    allowed = [index for index, candidate in enumerate(candidates) if candidate]
    expected = literal_top_k([scores[index] for index in allowed], k)
    assert [chosen[index] for index in allowed] == expected
    assert sum(chosen) == k


def test_top_k_stays_exact_with_nan_and_infinity():
    scores = torch.tensor([[float("nan"), float("inf"), 1.0], [-float("inf"), -1.0, float("nan")]])
    assert top_k(scores, 3).tolist() == [[True, True, True], [False, False, False]]


@pytest.mark.parametrize(("fraction", "expected"), [(0.25, "11010100"), (0.5, "11001100")])
def test_drop_and_grow_of_the_jaxpruner_example(fraction, expected):
    mask, values = bits("01010110"), torch.tensor([-9.0, 1, 4, -1, 5, 8, -2, 3])
    found = torch.logical_or(*drop_and_grow(mask, values, values.abs(), int(fraction * 4)))
    assert found.tolist() == bits(expected).tolist()


def test_set_drops_the_weights_closest_to_zero():
    values = torch.tensor([0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.4, -0.4, 0.5, -0.5, 0, 0, 0, 0])
    mask = torch.arange(14) < 10
    found = torch.logical_or(*drop_and_grow(mask, values.abs(), torch.arange(14.0), 4))
    assert found.tolist() == [False] * 4 + [True] * 10


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 2**31), st.data())
def test_as_many_are_grown_as_dropped(active, seed, data):
    mask = torch.tensor(active)
    n = data.draw(st.integers(0, sum(active)))
    drop, grow = torch.rand(2, len(active), generator=torch.Generator().manual_seed(seed))
    stays, grown = drop_and_grow(mask, drop, grow, n)
    assert not (stays & grown).any()
    assert int(grown.sum()) == n
    found = stays | grown
    assert int(found.sum()) == int(mask.sum())
    assert int((mask & ~found).sum()) <= n
    kept = torch.tensor(literal_top_k(torch.where(mask, drop, -1.0).tolist(), sum(active) - n)) & mask
    assert bool((found | ~kept).all())


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.extract = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.act_linear = nn.Linear(8, 8)
        self.layer_norm = nn.LayerNorm(8)
        self.embed = nn.Embedding(5, 8)
        self.line = nn.Conv1d(2, 2, 3)
        self.cube = nn.Conv3d(1, 1, 3)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.act_linear.weight


def test_layers_are_chosen_by_type_and_once_per_weight():
    assert list(prunable_layers(Mixed())) == ["extract", "act_linear", "line", "cube"]


def test_layers_are_included_and_excluded_by_glob():
    assert list(prunable_layers(Mixed(), Layers(include=["*e*"], exclude=["cube"]))) == [
        "extract",
        "act_linear",
        "line",
    ]
    assert list(prunable_layers(Mixed(), Layers(include="ext*"))) == ["extract"]
    assert Layers(keep_dense=["a.*"]).dense(["a.x", "a.y", "b"]) == {"a.x", "a.y"}


def test_globs_without_a_match_are_refused():
    with pytest.raises(MethodError, match=r"'head\*' matches no prunable layer; there are extract, "):
        prunable_layers(Mixed(), Layers(exclude=["head*"]))
    with pytest.raises(MethodError, match="no prunable layer is left of 1"):
        prunable_layers(nn.Sequential(nn.Linear(2, 2)), Layers(exclude=["0"]))
    with pytest.raises(MethodError, match="only Linear, Conv1d"):
        prunable_layers(nn.BatchNorm1d(3))


def test_parametrised_weights_are_refused():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(MethodError, match="parametrisation"):
        prunable_layers(model)


def test_masks_are_buffers_changed_in_place():
    layer = nn.Linear(4, 3)
    attach_masks({"fc": Layer(layer)})
    assert layer.state_dict()["weight_mask"].dtype == torch.bool
    pointers = layer.weight_mask.data_ptr(), layer.weight.data_ptr()
    set_mask_(Layer(layer), torch.eye(3, 4, dtype=torch.bool))
    assert (layer.weight_mask.data_ptr(), layer.weight.data_ptr()) == pointers
    assert layer.weight.count_nonzero() == 3
    with pytest.raises(MethodError, match=r"'fc' has a mask already.*remove\(\)"):
        attach_masks({"fc": Layer(layer)})


def test_a_grown_weight_starts_at_zero():
    layer = nn.Linear(2, 1)
    attach_masks({"fc": Layer(layer)})
    set_mask_(Layer(layer), torch.tensor([[True, False]]))
    with torch.no_grad():
        layer.weight.fill_(7.0)
    set_mask_(Layer(layer), torch.tensor([[True, True]]))
    assert layer.weight.tolist() == [[7.0, 0.0]]

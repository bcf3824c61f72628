"""How finished networks are stored: against dense layers, and torch's own converter of 2:4 weights."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.sparse import SparseSemiStructuredTensorCUTLASS
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from hsl.errors import MethodError
from hsl.sparsity import Sparsifier, formats
from hsl.sparsity.formats import TILE, is_two_of_four
from hsl.sparsity.layers import Layers

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def sparsified(model, structure=None, sparsity=0.5):
    return Sparsifier(
        model, sgd(model), method="static", sparsity=sparsity, layers=Layers(structure=structure)
    )


def wide():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 96), nn.ReLU(), nn.Linear(96, 20))


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.lists(st.integers(0, 4), max_size=3),
    st.floats(0, 0.99),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=60, deadline=None)
def test_rows_compute_what_the_dense_layer_does(inputs, outputs, before, sparsity, bias, dtype):
    """Any leading dimensions, none and empty ones included."""
    dense = nn.Sequential(nn.Linear(inputs, outputs, bias=bias, dtype=dtype))
    with torch.no_grad():
        dense[0].weight *= torch.rand_like(dense[0].weight) >= sparsity
    rows = copy.deepcopy(dense)
    Sparsifier(rows, sgd(rows), method="dense", sparsity=0.0).finalize("csr")
    assert rows[0].weight.layout == torch.sparse_csr
    images = torch.rand(*before, inputs, dtype=dtype)
    with torch.no_grad():
        expected, found = dense(images), rows(images)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_rows_keep_the_module_its_name_and_its_hooks():
    model = wide()
    first, seen = model[0], []
    first.register_forward_hook(lambda *_: seen.append(1))
    names = list(model.state_dict())
    sparsifier = sparsified(model)
    assert sparsifier.finalize("csr") is model
    model(torch.rand(3, 128))
    assert model[0] is first
    assert isinstance(first, nn.Linear)
    assert seen == [1]
    assert list(model.state_dict()) == names


def test_rows_hold_the_active_weights_and_half_of_the_index():
    model = wide()
    sparsifier = sparsified(model, sparsity=0.9)
    counts = [row.non_zeros for row in sparsifier.report()]
    sparsifier.finalize("csr")
    stored = [model[0].weight, model[2].weight]
    assert [len(weight.values()) for weight in stored] == counts
    assert {weight.col_indices().dtype for weight in stored} == {torch.int32}


def test_attention_stays_dense_and_works():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).eval()
    images = torch.rand(2, 5, 16, requires_grad=True)  # so that torch takes no fused path through the layer
    sparsifier = sparsified(model)
    expected = model(images)
    finished = sparsifier.finalize("csr")
    assert finished.linear1.weight.layout == torch.sparse_csr
    assert finished.self_attn.out_proj.weight.layout == torch.strided
    torch.testing.assert_close(finished(images), expected, rtol=1e-4, atol=1e-5)


def test_what_csr_cannot_hold_on_a_cpu_is_refused():
    model = wide().bfloat16()
    sparsifier = sparsified(model)
    with pytest.raises(MethodError, match=r"'csr': the weights are bfloat16, .* call model\.float\(\) first"):
        sparsifier.finalize("csr")


def test_a_refusal_names_all_that_is_in_the_way_and_leaves_everything_as_it_was():
    model = wide()
    sparsifier = sparsified(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(MethodError) as refused:
        sparsifier.finalize("2:4")
    for part in (
        "on cpu",
        "'csr' on a CPU",
        "are float32",
        "call model.bfloat16()",
        "Layers(structure='2:4')",
    ):
        assert part in str(refused.value)
    assert {"0.weight_mask", "2.weight_mask"} <= set(before) == set(model.state_dict())
    optimizer = sgd(model)
    sparsifier.follow(optimizer)
    again = copy.deepcopy(model)
    nn.functional.mse_loss(model(torch.rand(4, 128)), torch.rand(4, 20)).backward()
    optimizer.step()
    assert sparsifier.sparsity() == pytest.approx(0.5)
    assert again[0].weight.layout == torch.strided


@pytest.mark.parametrize("structure", ["2:4", None])
def test_what_torch_packs_is_what_is_taken(structure):
    """Its converter keeps two of every four values, and so returns the same weight only where that is all."""
    model = wide()
    sparsified(model, structure)
    weight = model[0].weight.detach().half()
    restored = sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(weight))
    assert is_two_of_four(weight) == torch.equal(restored, weight) == (structure is not None)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 31), st.integers(0, 63))
@settings(max_examples=40, deadline=None)
def test_sizes_that_are_taken_are_whole_tiles_of_both_kernels(rows, columns, more, beside):
    weight = torch.zeros(32 * rows + more, 64 * columns + beside, dtype=torch.float16)
    assert is_two_of_four(weight) == (more == beside == 0)
    kernel = SparseSemiStructuredTensorCUTLASS._DTYPE_SHAPE_CONSTRAINTS[torch.float16]
    assert (kernel.sparse_min_rows, kernel.sparse_min_cols) == TILE


def test_two_of_four_replaces_the_layers_that_have_it(monkeypatch):
    """On a CPU the packing itself is torch's reference, unpacked again: everything else is what a GPU runs."""

    def packed(weight):
        assert weight.is_contiguous()
        return sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(weight))

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", packed)
    monkeypatch.setattr("hsl.sparsity.formats._too_old", lambda _: False)
    model = wide()
    sparsifier = sparsified(model, "2:4")
    model.bfloat16()
    images = torch.rand(3, 128, dtype=torch.bfloat16)
    with torch.no_grad():
        expected, last = model(images), model[2].weight
        finished = sparsifier.finalize("2:4")
        assert torch.equal(finished(images), expected)
    assert not finished[0].weight.requires_grad
    assert finished[2].weight is last
    assert not [name for name in finished.state_dict() if "mask" in name]


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
    reason="needs a GPU with sparse tensor cores",
)
def test_two_of_four_on_a_gpu():
    model = wide().cuda()
    sparsifier = sparsified(model, "2:4")
    model.half()
    images = torch.rand(64, 128, device="cuda", dtype=torch.float16)
    with torch.no_grad():
        expected = model(images)
        torch.testing.assert_close(sparsifier.finalize("2:4")(images), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("capability", "too_old"), [((7, 5), True), ((8, 0), False), ((8, 6), False), ((9, 0), False)]
)
def test_sparse_tensor_cores_come_with_ampere(capability, too_old, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert formats._too_old(torch.device("cuda:0")) is too_old
    assert formats._too_old(torch.device("cpu"))

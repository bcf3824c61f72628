"""Transposed convolutions, attention, layers kept dense by option, N of every M, and operation counts."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsl.errors import InfeasibleError, MethodError
from hsl.sparsity import METHODS, Parent, Sparsifier, layer_macs, layer_shapes, prunable_layers
from hsl.sparsity.init import energy, live_fan_in, scale_layer_
from hsl.sparsity.layers import Layer, Layers
from hsl.sparsity.masks import top_n_of_m

ENDS_DENSE = Layers(first_dense=True, last_dense=True)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


class Attending(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs):
        hidden = self.norm(inputs)
        return self.head(self.attn(hidden, hidden, hidden)[0].mean(1))


class Crossing(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, inputs):
        return self.attn(inputs[:, :3], key=inputs, value=inputs)[0]


def test_attention_projections_are_chosen_by_type():
    shapes = layer_shapes(prunable_layers(Attending()))
    assert shapes == {"attn.in_proj": (24, 8), "attn.out_proj": (8, 8), "head": (3, 8)}
    apart = layer_shapes(prunable_layers(Attending(kdim=6, vdim=4)))
    assert apart == {
        "attn.q_proj": (8, 8),
        "attn.k_proj": (8, 6),
        "attn.v_proj": (8, 4),
        "attn.out_proj": (8, 8),
        "head": (3, 8),
    }
    assert list(prunable_layers(Attending(), Layers(include="*.in_proj"))) == ["attn.in_proj"]
    assert list(prunable_layers(nn.MultiheadAttention(8, 2))) == ["in_proj", "out_proj"]


@pytest.mark.parametrize("method", ["static", "snip", "rigl", "gmp", "topkast", "snfs", "acdc", "grasp"])
def test_attention_trains_sparse(method):
    torch.manual_seed(0)
    model, inputs, classes = Attending(), torch.randn(16, 5, 8), torch.randint(3, (16,))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    sparsifier = Sparsifier(
        model,
        optimizer,
        method=method,
        sparsity=0.7,
        total_steps=12,
        loss=lambda net: nn.functional.cross_entropy(net(inputs), classes),
    )
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
    assert sum(row.non_zeros for row in sparsifier.report()) == round(0.3 * (192 + 64 + 24))
    assert model.attn.in_proj_weight_mask.shape == (24, 8)
    assert model.attn.in_proj_weight[~model.attn.in_proj_weight_mask].count_nonzero() == 0
    fresh = Attending()
    Sparsifier(fresh, sgd(fresh), method="static", sparsity=0.7, total_steps=12)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.attn.in_proj_weight_mask, model.attn.in_proj_weight_mask)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (nn.ConvTranspose2d(6, 8, 3, groups=2, bias=False), (1, 6, 5, 5)),
        (nn.ConvTranspose1d(4, 6, 5, stride=2, bias=False), (1, 4, 9)),
        (nn.ConvTranspose3d(2, 4, 2, bias=False), (1, 2, 3, 3, 3)),
    ],
)
def test_transposed_convolutions_are_scaled_by_their_own_inputs(layer, inputs):
    model = nn.Sequential(layer)
    assert layer_shapes(prunable_layers(model)) == {"0": tuple(layer.weight.shape)}
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(layer.weight.shape, generator=generator) < 0.4
    weight = layer.weight.detach().clone()
    for factors, share in (
        (live_fan_in, lambda _, live: max(1, int(live.sum())) / live.numel()),
        (energy, lambda row, live: max(float((row[live] ** 2).sum() / (row**2).sum()), 1 / live.numel())),
    ):
        layer.weight.data.copy_(weight)
        scale_layer_(Layer(layer), mask, factors)
        per_group = layer.in_channels // layer.groups
        for group in range(layer.groups):
            rows = slice(group * per_group, (group + 1) * per_group)
            for unit in range(layer.weight.shape[1]):
                row, live = weight[rows, unit], mask[rows, unit]
                assert torch.allclose(layer.weight[rows, unit], row * share(row, live) ** -0.5)
    assert layer(torch.rand(inputs)).shape[1] == layer.out_channels


def test_first_and_last_layer_stay_dense_by_option(mlp):
    sparsifier = Sparsifier(
        mlp,
        sgd(mlp),
        method="static",
        sparsity=0.2,
        total_steps=9,
        layers=ENDS_DENSE,
    )
    assert list(sparsifier.layer_densities().values()) == [
        1.0,
        pytest.approx(1 - 0.2 * 3392 / 1024, abs=1e-3),
        1.0,
    ]
    other = copy.deepcopy(mlp)
    for layer in (other[0], other[2], other[4]):
        del layer._buffers["weight_mask"]
    with pytest.raises(InfeasibleError, match=r"4, 0|0, 4"):
        Sparsifier(
            other,
            sgd(other),
            method="static",
            sparsity=0.9,
            total_steps=9,
            layers=ENDS_DENSE,
        )


def literal_n_of_m(scores, n, m):
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    out, inputs = scores.shape[:2]
    flat = scores.reshape(out, inputs, -1)
    for unit in range(out):
        for place in range(flat.shape[2]):
            for run in range(0, inputs, m):
                best = sorted(range(run, run + m), key=lambda i: (-float(flat[unit, i, place]), i))[:n]
                mask.view(out, inputs, -1)[unit, best, place] = True
    return mask


@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(0, 9999))
def test_n_of_m_is_literal(n, runs, out, seed):
    generator = torch.Generator().manual_seed(seed)
    for shape in ((out, 4 * runs), (out, 4 * runs, 3, 2)):
        scores = torch.randint(0, 4, shape, generator=generator).float()
        assert torch.equal(top_n_of_m(scores, n, 4), literal_n_of_m(scores, n, 4))


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].takes_structure])
def test_two_of_four(method, mlp, digits):
    images, classes = digits
    state = copy.deepcopy(mlp.state_dict())
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(
        mlp,
        optimizer,
        method=method,
        sparsity=0.5,
        total_steps=20,
        layers=Layers(structure="2:4"),
        parent=Parent(trained=state, rewind=state) if METHODS[method].needs_parent else None,
        loss=lambda net: nn.functional.cross_entropy(net(images[:64]), classes[:64]),
    )
    for step in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(mlp(images[32 * step :][:32]), classes[32 * step :][:32]).backward()
        optimizer.step()
    assert sparsifier.target_reached
    for index in (0, 2, 4):
        assert (mlp[index].weight_mask.view(mlp[index].out_features, -1, 4).sum(-1) == 2).all()
    assert sparsifier.sparsity() == 0.5


def test_gradual_pruning_goes_through_three_of_four(mlp, digits):
    optimizer = sgd(mlp)
    Sparsifier(mlp, optimizer, method="gmp", sparsity=0.5, total_steps=20, layers=Layers(structure="2:4"))
    seen = []
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(mlp(digits[0][:32]), digits[1][:32]).backward()
        optimizer.step()
        seen.append({int(kept) for kept in mlp[0].weight_mask.view(32, -1, 4).sum(-1).flatten()})
    assert seen[0] == {4}
    assert {3} in seen
    assert seen[15:] == [{2}] * 5


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "rigl"}, MethodError, "'rigl' takes no structure; those that do are static, snip"),
        ({"layers": Layers(structure="4:2")}, MethodError, "structure is '4:2', it must be like \"2:4\""),
        ({"layers": Layers(structure="half")}, MethodError, 'it must be like "2:4"'),
        ({"sparsity": 0.9}, InfeasibleError, r"given have sparsity 0\.5, not 0\.9: ask for that sparsity"),
        ({"distribution": "erk"}, MethodError, "leave distribution erk out"),
        (
            {"layers": Layers(structure="1:3"), "sparsity": 2 / 3},
            InfeasibleError,
            "that 3 divides, which 0, 2, 4 do not have",
        ),
    ],
)
def test_impossible_structures_are_explained(options, error, message, mlp):
    request = {
        "method": "omp",
        "sparsity": 0.5,
        "total_steps": 9,
        "layers": Layers(structure="2:4"),
    } | options
    parent = Parent(trained=copy.deepcopy(mlp.state_dict())) if request["method"] == "omp" else None
    with pytest.raises(error, match=message):
        Sparsifier(mlp, sgd(mlp), parent=parent, **request)


def test_operations_of_convolutions_and_linear_layers(cnn):
    before = copy.deepcopy(cnn.state_dict())
    macs = layer_macs(cnn, torch.rand(3, 64))
    # 8x8 positions; 4x4 positions; one position each.
    assert macs == {"1": 64 * 8 * 9, "4": 16 * 16 * 8 * 9, "7": 256 * 24, "9": 24 * 10}
    assert all(torch.equal(value, before[name]) for name, value in cnn.state_dict().items())
    assert cnn.training


def test_operations_of_attention_and_transposed_convolutions():
    assert layer_macs(Attending(), torch.rand(2, 5, 8)) == {
        "attn.in_proj": 5 * 192,
        "attn.out_proj": 5 * 64,
        "head": 24,
    }
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    found = layer_macs(encoder, torch.rand(2, 5, 8))
    assert found == {"self_attn.in_proj": 960, "self_attn.out_proj": 320, "linear1": 640, "linear2": 640}
    assert layer_macs(Crossing(), torch.rand(2, 5, 8)) == {
        "attn.in_proj": (3 + 5 + 5) * 64,
        "attn.out_proj": 3 * 64,
    }
    up = nn.Sequential(nn.ConvTranspose2d(3, 5, 4, stride=2))
    assert layer_macs(up, torch.rand(2, 3, 6, 6)) == {"0": 36 * 3 * 5 * 16}


def test_operations_of_resnet18_are_the_published_ones():
    from torchvision.models import resnet18  # noqa: PLC0415  an import of a second

    with torch.device("meta"):
        model = resnet18(num_classes=10)
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
        inputs = torch.empty(1, 3, 32, 32)
    assert sum(layer_macs(model, inputs).values()) == 555_422_720


@pytest.mark.parametrize(
    "asked", [{"include": ["features.*"]}, {"exclude": ["9"]}, {"include": ["*"], "exclude": "x"}]
)
def test_a_glob_that_matches_nothing_is_refused(asked, mlp):
    with pytest.raises(MethodError, match=r"matches no prunable layer; there are 0, 2, 4"):
        prunable_layers(mlp, Layers(**asked))
    with pytest.raises(MethodError, match="'b' matches no prunable layer"):
        Layers(keep_dense=["a", "b"]).dense(["a", "c"])
    assert Layers(keep_dense="a*").dense(["a", "ab", "c"]) == {"a", "ab"}

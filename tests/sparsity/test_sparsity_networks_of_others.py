"""Networks that others built: tied, frozen, lazy, sharded and parametrised weights, attention and tokens."""

import logging

import pytest
import torch
from torch import nn

from hsl.errors import MethodError
from hsl.sparsity import Layers, Sparsifier, prunable_layers


def sgd(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)


class Transposed(nn.Module):
    """A linear layer whose weight is (in, out): a type of its own, as in GPT-2 of Hugging Face."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(inputs, outputs))

    def forward(self, inputs):
        return inputs @ self.weight


class Language(nn.Module):
    """Tokens to logits, with an output layer that shares its weight with the embedding."""

    def __init__(self, block, tied=True):
        super().__init__()
        self.embedding, self.block, self.head = nn.Embedding(11, 16), block, nn.Linear(16, 11, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(torch.relu(self.block(self.embedding(tokens)))).mean(1)


TOKENS = torch.arange(24).view(4, 6) % 11


def language_loss(model):
    return nn.functional.cross_entropy(model(TOKENS), TOKENS[:, 0])


def test_an_output_layer_tied_to_an_embedding_stays_dense():
    model = Language(nn.Linear(16, 16))
    assert list(prunable_layers(model)) == ["block"]
    optimizer = sgd(model)
    sparsifier = Sparsifier(model, optimizer, method="static", sparsity=0.75)
    language_loss(model).backward()
    optimizer.step()
    assert (sparsifier.sparsity(), sparsifier.report()[0].weights) == (0.75, 256)
    assert model.embedding.weight.count_nonzero() == 176
    assert list(prunable_layers(Language(nn.Linear(16, 16), tied=False))) == ["block", "head"]


def test_a_shared_weight_is_excluded_under_all_its_names_or_under_none():
    model = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("first", "second", "head")})
    model["second"].weight = model["first"].weight
    for name, other in (("first", "second"), ("second", "first")):
        with pytest.raises(MethodError, match=f"'{other}' is that of '{name}' as well, which is excluded"):
            prunable_layers(model, Layers(exclude=[name]))
    assert list(prunable_layers(model, Layers(exclude=["first", "second"]))) == ["head"]
    assert list(prunable_layers(model, Layers(include=["second"]))) == ["second"]
    assert list(prunable_layers(model)) == ["first", "head"]


def test_a_network_of_which_only_the_tied_layer_is_known_is_refused():
    with pytest.raises(MethodError, match="not where they share their weight with another module"):
        Sparsifier(model := Language(Transposed(16, 16)), sgd(model), method="static", sparsity=0.9)


def test_it_is_said_that_most_weights_stay_dense(caplog):
    model = nn.Sequential(nn.Linear(8, 8), Transposed(8, 32), Transposed(32, 8), nn.Embedding(100, 8))
    with caplog.at_level(logging.WARNING):
        Sparsifier(model, sgd(model), method="static", sparsity=0.5)
    assert "512 weights of matrices in modules that cannot be pruned stay dense (1.weight" in caplog.text
    assert "the sparsity is that of the other 64 weights" in caplog.text
    caplog.clear()
    plain = nn.Sequential(nn.Linear(8, 8), nn.Embedding(100, 8))
    with caplog.at_level(logging.WARNING):
        Sparsifier(plain, sgd(plain), method="static", sparsity=0.5, layers=Layers(include=["0"]))
    assert not caplog.text


@pytest.mark.parametrize("method", ["static", "set", "snip", "grasp", "synflow", "gmp"])
def test_frozen_layers_are_refused_and_can_be_left_out(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    inputs, classes = torch.randn(10, 8), torch.arange(10) % 4
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()

    def loss(network):
        return nn.functional.cross_entropy(network(inputs), classes)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"method": method, "sparsity": 0.5, "total_steps": 6, "loss": loss}
    with pytest.raises(MethodError, match=r"layers 0 are frozen .*exclude=\['0'\]"):
        Sparsifier(model, optimizer, **options)
    sparsifier = Sparsifier(model, optimizer, layers=Layers(exclude=["0"]), **options)
    for _ in range(6):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    assert sparsifier.sparsity() == 0.5
    assert torch.equal(model[0].weight, before)


def test_a_lazy_layer_is_refused_until_it_has_weights():
    model = nn.Sequential(nn.LazyLinear(5), nn.LazyConv2d(2, 3))
    with pytest.raises(
        MethodError, match=r"layer '0' does not exist before the first batch.*layer '1' does not"
    ):
        Sparsifier(model, torch.optim.SGD([nn.Parameter(torch.ones(1))]), method="static", sparsity=0.5)
    model = nn.Sequential(nn.LazyLinear(5))
    model(torch.ones(2, 8))
    assert Sparsifier(model, sgd(model), method="static", sparsity=0.5).sparsity() == 0.5


def test_sharded_weights_are_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/one", rank=0, world_size=1)
    try:
        from torch.distributed.fsdp import fully_shard  # noqa: PLC0415  slow to import

        model = nn.Sequential(nn.Linear(8, 8))
        later = nn.Sequential(nn.Linear(8, 8))
        optimizer = sgd(later)
        sparsifier = Sparsifier(later, optimizer, method="static", sparsity=0.5)
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
        for network in (model, later):
            fully_shard(network, mesh=mesh)
        with pytest.raises(MethodError, match=r"layer '0' is a DTensor .*sharded by FSDP"):
            Sparsifier(model, sgd(model), method="static", sparsity=0.5)
        with pytest.raises(MethodError, match=r"layer '0' was replaced after .*fully_shard"):
            sparsifier.sparsity()
    finally:
        torch.distributed.destroy_process_group()


def transformer():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
    return nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(32, 5))


SEQUENCES = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(21) % 5


def transformer_loss(model):
    return nn.functional.cross_entropy(model(SEQUENCES).flatten(0, 1), CLASSES)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("padded", [False, True])
def test_a_transformer_in_compressed_rows_computes_the_same(padded):
    outputs = []
    mask = torch.arange(7).expand(3, 7) >= torch.tensor([[7], [5], [6]]) if padded else None
    for format in ("dense", "csr"):
        model = transformer()
        optimizer = sgd(model)
        sparsifier = Sparsifier(model, optimizer, method="static", sparsity=0.8)
        transformer_loss(model).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            encoded = sparsifier.finalize(format)[0](SEQUENCES, src_key_padding_mask=mask)
            outputs.append(model[1](encoded))
    assert model[0].layers[0].linear1.weight.layout == torch.sparse_csr
    seen = slice(None) if mask is None else ~mask
    assert torch.allclose(outputs[0][seen], outputs[1][seen], atol=1e-5)


def test_grasp_of_attention_is_the_derivative_of_the_squared_gradient_norm():
    """Against finite differences: S = w * (H g), and H g is the slope of the gradient along itself."""
    model, options = transformer().double(), {"temperature": 1.0, "samples_per_class": 10}
    layers = prunable_layers(model)

    def loss(network):
        return nn.functional.cross_entropy(network(SEQUENCES.double()).flatten(0, 1), CLASSES)

    def gradients():
        return torch.autograd.grad(loss(model), [layer.weight for layer in layers.values()])

    with torch.no_grad():
        begun = [layer.weight.clone() for layer in layers.values()]
    here, sides = gradients(), []
    for sign in (1, -1):
        with torch.no_grad():
            for layer, weight, slope in zip(layers.values(), begun, here, strict=True):
                layer.weight.copy_(weight + sign * 1e-4 * slope)
        sides.append(gradients())
    scores = [(weight * (up - down) / 2e-4).flatten() for weight, up, down in zip(begun, *sides, strict=True)]
    with torch.no_grad():
        for layer, weight in zip(layers.values(), begun, strict=True):
            layer.weight.copy_(weight)
    Sparsifier(
        model, sgd(model), method="grasp", sparsity=0.5, loss=loss, init="dense", hyperparameters=options
    )
    found = torch.cat([layer.weight_mask.flatten() for layer in layers.values()])
    expected = torch.cat(scores) >= torch.cat(scores).median()
    assert (found == expected).float().mean() > 0.999


def test_synflow_of_tokens_is_refused_with_the_reason():
    model = Language(nn.Linear(16, 16))
    with pytest.raises(MethodError, match=r"takes torch\.int64, for which there is none"):
        Sparsifier(model, sgd(model), method="synflow", sparsity=0.5, loss=language_loss)

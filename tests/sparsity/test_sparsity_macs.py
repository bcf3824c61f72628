"""Operations by weight: against torch's own counter on published networks, and by hand where a weight is used oddly."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.flop_counter import FlopCounterMode

from hsl.errors import MethodError
from hsl.sparsity import layer_macs


@contextmanager
def _slow_attention() -> Iterator[None]:
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def counted_by_torch(model: nn.Module, inputs: Tensor) -> float:
    """Multiply-accumulates per sample, without products of two activations: those of attention, here all `bmm`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _slow_attention():
        model(inputs)
    counts = counter.get_flop_counts()["Global"]
    return sum(count for op, count in counts.items() if op is not torch.ops.aten.bmm) / 2 / len(inputs)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # Multiply-accumulates in 10^9 that torchvision publishes with the weights; they include those of attention.
        ("swin_t", 4.491),
        *(
            pytest.param(*model, marks=pytest.mark.slow)
            for model in (
                ("swin_v2_t", 5.94),
                ("swin_b", 15.431),
                ("vit_b_16", 17.564),
                ("maxvit_t", 5.558),
                ("mobilenet_v2", 0.301),
                ("mobilenet_v3_small", 0.057),
                ("efficientnet_b0", 0.386),
                ("efficientnet_v2_s", 8.366),
                ("convnext_tiny", 4.456),
                ("densenet121", 2.834),
                ("resnet18", 1.814),
                ("resnext50_32x4d", 4.23),
                ("shufflenet_v2_x1_0", 0.145),
                ("squeezenet1_0", 0.819),
            )
        ),
    ],
)
def test_operations_of_published_networks(name: str, published: float) -> None:
    from torchvision.models import get_model, get_model_weights  # noqa: PLC0415  an import of a second

    meta = next(iter(get_model_weights(name))).meta
    assert meta["_ops"] == pytest.approx(published, abs=1e-3)
    with torch.device("meta"):
        model, inputs = get_model(name).eval(), torch.empty(2, 3, 224, 224)
    macs = layer_macs(model, inputs)
    assert sum(macs.values()) == counted_by_torch(model, inputs)
    assert all(macs.values())


class Given(nn.Module):
    """One linear layer of 4 inputs and 6 outputs, whose weight a function uses on batches of shape (batch, 3, 4)."""

    def __init__(self, use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        return self.use(x, self.layer.weight)


def standardised(weight: Tensor) -> Tensor:
    return (weight - weight.mean(1, keepdim=True)) / weight.std(1, keepdim=True)


def autocast_linear(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return functional.linear(x, weight)


USES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "a function": (functional.linear, 3 * 24),
    "twice": (lambda x, w: functional.linear(x, w) + functional.linear(x.flip(0), w), 2 * 3 * 24),
    "a product": (lambda x, w: x @ w.T, 3 * 24),
    "einsum": (lambda x, w: torch.einsum("bti,oi->bto", x, w), 3 * 24),
    "a batch of matrices": (lambda x, w: torch.bmm(x, w.T.expand(len(x), 4, 6)), 3 * 24),
    "a vector": (lambda x, w: torch.stack([w.mv(row) for row in x[:, 0]]), 24),
    "its first half": (lambda x, w: functional.linear(x, w[:3]), 3 * 12),
    "its last rows": (lambda x, w: functional.linear(x, w[4:]), 3 * 8),
    "another type": (lambda x, w: functional.linear(x.double(), w.double()), 3 * 24),
    "scaled": (lambda x, w: functional.linear(x, w * 0.1 + 1), 3 * 24),
    "standardised": (lambda x, w: functional.linear(x, standardised(w)), 3 * 24),
    "in another order": (lambda x, w: functional.linear(x, w.T.contiguous().T), 3 * 24),
    "as a convolution": (lambda x, w: functional.conv1d(x.transpose(1, 2), w[:, :, None]), 3 * 24),
    "autocast": (autocast_linear, 3 * 24),
}


@pytest.mark.parametrize("use", USES)
def test_a_weight_counts_however_it_is_used(use: str) -> None:
    function, expected = USES[use]
    assert layer_macs(Given(function), torch.rand(2, 3, 4)) == {"layer": expected}


def test_a_shared_weight_counts_at_every_use() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert layer_macs(nn.Sequential(first, nn.ReLU(), second), torch.rand(2, 4)) == {"0": 32}


def test_weights_in_one_piece_of_memory_are_told_apart_by_their_place() -> None:
    first, last = nn.Linear(4, 6), nn.Linear(6, 2)
    model = nn.Sequential(first, nn.ReLU(), last)
    vector_to_parameters(parameters_to_vector(model.parameters()).detach(), model.parameters())
    assert first.weight.untyped_storage().data_ptr() == last.weight.untyped_storage().data_ptr()
    assert layer_macs(model, torch.rand(2, 4)) == {"0": 24, "2": 12}


def test_grouped_and_scripted_convolutions_count() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), torch.jit.script(nn.Conv2d(8, 2, 1)))
    assert layer_macs(model, torch.rand(2, 4, 6, 6))["0"] == 16 * 8 * 2 * 9


def test_a_layer_that_nothing_uses_is_named(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Given(lambda x, _: x))
    with caplog.at_level(logging.WARNING):
        assert layer_macs(model, torch.rand(2, 3, 4)) == {"0": 48, "1.layer": 0}
    assert "no product of a forward pass in eval mode uses the weights of 1.layer" in caplog.text
    with pytest.raises(MethodError, match="uses the weights of any prunable layer: the model must use"):
        layer_macs(model[1], torch.rand(2, 3, 4))


def test_attention_of_the_fused_kind_is_seen_through_and_the_setting_stays() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(False)
    macs = layer_macs(encoder, torch.rand(2, 5, 8))
    assert macs == {"self_attn.in_proj": 960, "self_attn.out_proj": 320, "linear1": 640, "linear2": 640}
    assert torch.backends.mha.get_fastpath_enabled()

"""Networks: shapes, sizes, and what is refused."""

from __future__ import annotations

import pytest
import torch

from hsl.errors import DataError, HslError, UnknownNameError
from hsl.training.build import make_network
from hsl.training.configuration import ModelSpec
from hsl.training.models import Normalized
from hsl.training.registries import MODELS

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 9, 13)]


def network(name: str, shape: tuple[int, int, int], classes: int = 10, **options: object) -> torch.nn.Module:
    return make_network(ModelSpec(name=name, **options), shape, classes)


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_maps_images_of_every_shape_to_logits(name: str, shape: tuple[int, int, int]) -> None:
    logits = network(name, shape, 7)(torch.rand(2, *shape))
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


def test_resnet18_has_the_size_of_its_cifar_variant() -> None:
    assert size(network("resnet18", (3, 32, 32))) == 11_173_962


def test_resnet18_keeps_the_resolution_in_its_stem() -> None:
    model = network("resnet18", (3, 32, 32)).eval()
    stem = model.maxpool(model.relu(model.bn1(model.conv1(torch.rand(1, 3, 32, 32)))))
    assert stem.shape == (1, 64, 32, 32)


def test_the_mlp_has_the_layers_it_was_given() -> None:
    assert size(network("mlp", (1, 8, 8), widths=[20, 30])) == (64 + 1) * 20 + (20 + 1) * 30 + (30 + 1) * 10
    assert size(network("mlp", (1, 8, 8))) == (64 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 10


def test_the_width_of_lenet_sets_its_channels() -> None:
    convolutions = [
        m for m in network("lenet", (1, 8, 8), width=5).modules() if isinstance(m, torch.nn.Conv2d)
    ]
    assert [c.out_channels for c in convolutions] == [5, 10]


@pytest.mark.parametrize("shape", [(1, 7, 8), (3, 8, 7), (1, 4, 4)])
def test_lenet_refuses_images_that_are_too_small(shape: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match=rf"at least 8x8 pixels, got {shape[1]}x{shape[2]}; use mlp"):
        network("lenet", shape)


def test_an_option_that_the_builder_does_not_take_is_named() -> None:
    with pytest.raises(
        HslError, match=r"model 'mlp' with \{'width': 3\}.*unexpected keyword argument 'width'"
    ):
        network("mlp", (1, 8, 8), width=3)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lenet'"):
        MODELS["lenett"]


def test_normalisation_is_part_of_the_model() -> None:
    seen: list[torch.Tensor] = []
    model = Normalized(torch.nn.Identity(), mean=[0.5, 0.25], std=[0.5, 0.1])
    images = torch.rand(3, 2, 4, 4)
    seen.append(model(images))
    by_hand = torch.stack([(images[:, 0] - 0.5) / 0.5, (images[:, 1] - 0.25) / 0.1], dim=1)
    assert torch.allclose(seen[0], by_hand)
    assert {"mean", "std"} <= set(model.state_dict())

"""Networks: shapes, sizes, and what is refused."""

from __future__ import annotations

import pytest
import torch

from hsl.errors import DataError, HslError, UnknownNameError
from hsl.sparsity import Sparsifier, prunable_layers
from hsl.training.available import MODELS
from hsl.training.build import make_network
from hsl.training.configuration import ModelSpec
from hsl.training.models import Normalized
from hsl.training.models.small_resnets import Shortcut

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 33, 47)]
OPTIONS = {"torchvision": {"architecture": "resnet18"}, "wide_resnet": {"depth": 16, "width": 2}}
SMALLEST = {"lenet": 8, "vgg11": 32, "vgg13": 32, "vgg16": 32, "vgg19": 32}
"""Side of the smallest images of the networks that do not take any."""


def network(name: str, shape: tuple[int, int, int], classes: int = 10, **options: object) -> torch.nn.Module:
    return make_network(ModelSpec(name=name, **options), shape, classes)


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def size_of(name: str, shape: tuple[int, int, int], classes: int = 10, **options: object) -> int:
    """Number of parameters, counted without making any."""
    with torch.device("meta"):
        return size(network(name, shape, classes, **options))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_maps_images_of_every_shape_to_logits(name: str, shape: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        if min(shape[1:]) < SMALLEST.get(name, 1):
            with pytest.raises(DataError, match=f"{name} needs images of at least"):
                network(name, shape)
            return
        assert network(name, shape, 7, **OPTIONS.get(name, {}))(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_masked_steps(name: str) -> None:
    """A pruned step leaves exactly as many weights as it should, and every parameter learns something."""
    shape = (3, 32, 32) if SMALLEST.get(name, 1) > 8 else (3, 8, 8)
    torch.manual_seed(0)
    model = network(name, shape, 5, **OPTIONS.get(name, {}))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    sparsifier = Sparsifier(model, optimizer, method="set", sparsity=0.9, distribution="erk", total_steps=2)
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(model(torch.rand(4, *shape)), torch.arange(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rows = sparsifier.report()
    weights = sum(row.weights for row in rows)
    assert torch.isfinite(loss)
    assert sum(row.non_zeros for row in rows) == round(0.1 * weights)
    assert weights == sum(parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


PUBLISHED = [
    ("resnet20", {}, 10, 269_722),
    ("resnet18", {}, 10, 11_173_962),
    ("resnet34", {}, 10, 21_282_122),
    ("resnet50", {}, 10, 23_520_842),
    # as published, with the biases of convolutions that are normalised, which these networks leave out
    ("vgg11", {}, 10, 9_231_114 - 2_752),
    ("vgg13", {}, 10, 9_416_010 - 2_944),
    ("vgg16", {}, 10, 14_728_266 - 4_224),
    ("vgg19", {}, 10, 20_040_522 - 5_504),
    ("wide_resnet", {"depth": 28, "width": 10}, 10, 36_479_194),
    ("wide_resnet", {"depth": 16, "width": 8}, 10, 10_961_370),
    ("wide_resnet", {"depth": 40, "width": 2}, 10, 2_243_546),
    ("torchvision:mobilenet_v2", {}, 1000, 3_504_872),
]


@pytest.mark.parametrize(("name", "options", "classes", "parameters"), PUBLISHED)
def test_models_have_the_size_that_is_published(
    name: str, options: dict[str, int], classes: int, parameters: int
) -> None:
    assert size_of(name, (3, 32, 32), classes, **options) == parameters


def test_the_layers_of_resnet18_are_those_of_the_published_erk_densities() -> None:
    """11,164,352 prunable weights, of which densities for CIFAR-10 were computed elsewhere."""
    with torch.device("meta"):
        layers = prunable_layers(network("resnet18", (3, 32, 32)))
    assert sum(layer.weight.numel() for layer in layers.values()) == 11_164_352
    assert {"conv1", "layer2.0.conv1", "layer2.0.downsample.0", "layer4.1.conv2", "fc"} <= set(layers)
    assert len(layers) == 1 + 16 + 3 + 1


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("depth", [10, 16, 22])
def test_the_size_of_a_wide_resnet_follows_from_depth_and_width(depth: int, width: int) -> None:
    blocks, parameters, channels = (depth - 4) // 6, 3 * 16 * 9, 16
    for stage in (16, 32, 64):
        wide = stage * width
        for _ in range(blocks):
            shortcut = channels * wide if channels != wide else 0
            parameters += 9 * channels * wide + 9 * wide * wide + shortcut + 2 * channels + 2 * wide
            channels = wide
    parameters += 2 * channels + channels * 10 + 10
    assert size_of("wide_resnet", (3, 32, 32), depth=depth, width=width) == parameters


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 1), ("resnet20", 3)])
def test_the_size_of_a_small_resnet_follows_from_its_blocks(name: str, blocks: int) -> None:
    for width in (4, 16):
        parameters, channels = 9 * width + 2 * width, width
        for wide in (width, 2 * width, 4 * width):
            for _ in range(blocks):
                parameters += 9 * wide * (channels + wide) + 4 * wide
                channels = wide
        parameters += channels * 10 + 10
        assert size_of(name, (1, 28, 28), width=width) == parameters


def test_the_shortcut_of_a_small_resnet_takes_every_other_pixel_and_pads_channels() -> None:
    features = torch.rand(2, 3, 5, 6)
    found = Shortcut(3, 6, 2)(features)
    assert found.shape == (2, 6, 3, 3)
    assert torch.equal(found[:, 1:4], features[:, :, ::2, ::2])
    assert not found[:, [0, 4, 5]].any()


def test_the_stem_for_tiny_imagenet_halves_the_resolution_and_is_not_pooled() -> None:
    model = network("resnet34", (3, 64, 64), 200, stem="tiny", head_bias=False).eval()
    assert model.conv1.weight.shape == (64, 3, 7, 7)
    assert model.fc.bias is None
    stem = model.maxpool(model.relu(model.bn1(model.conv1(torch.rand(1, 3, 64, 64)))))
    assert stem.shape == (1, 64, 32, 32)
    cifar = size_of("resnet34", (3, 64, 64), 200)
    assert size(model) - cifar == 64 * 3 * (49 - 9) - 200


def test_the_heads_of_vgg_are_those_of_the_papers_code() -> None:
    assert size_of("vgg16", (3, 32, 32), head=[512, 512]) - size_of("vgg16", (3, 32, 32)) == 2 * (
        512 * 513 + 1024
    )
    with torch.device("meta"):
        hidden = network("vgg16", (3, 32, 32), head=[512, 512]).classifier
    kinds = [type(module).__name__ for module in hidden]
    assert kinds == ["Linear", "ReLU", "BatchNorm1d", "Linear", "ReLU", "BatchNorm1d", "Linear"]


def test_wide_resnet_22_2_has_as_many_convolutions_as_its_name_says() -> None:
    with torch.device("meta"):
        model = network("wide_resnet", (3, 32, 32), depth=22, width=2)
    counted = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    shortcuts = [m for m in counted if getattr(m, "kernel_size", None) == (1, 1)]
    assert len(counted) - len(shortcuts) == 22 - 2
    assert len(shortcuts) == 3


@pytest.mark.parametrize("depth", [4, 20, 27])
def test_a_wide_resnet_of_another_depth_is_refused(depth: int) -> None:
    with pytest.raises(HslError, match=rf"has a depth of 6n \+ 4, got {depth}; use 10, 16"):
        network("wide_resnet", (3, 32, 32), depth=depth)


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(HslError, match=r"unknown stem 'tinny' \(did you mean 'tiny'\?\); known: cifar, tiny"):
        network("resnet18", (3, 32, 32), stem="tinny")


def test_networks_of_torchvision_are_torchvisions_own() -> None:
    from torchvision.models import resnet18, vit_b_16  # noqa: PLC0415

    torch.manual_seed(3)
    ours = network("torchvision:resnet18", (3, 64, 64), 4).eval()
    torch.manual_seed(3)
    theirs = resnet18(num_classes=4).eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))
    given = {"image_size": 32, "num_classes": 4}
    with torch.device("meta"):
        assert size(network("torchvision:vit_b_16", (3, 32, 32), 4, image_size=32)) == size(vit_b_16(**given))


def test_grey_images_are_tripled_for_torchvision() -> None:
    model = network("torchvision:squeezenet1_1", (1, 32, 32), 4).eval()
    grey = torch.rand(2, 1, 32, 32)
    assert torch.equal(model(grey), model(grey.repeat(1, 3, 1, 1)))
    assert "features.0" in prunable_layers(model)


def test_torchvision_is_no_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_PLUGINS", "off")
    assert size_of("torchvision:resnet18", (3, 32, 32), 10) == size_of(
        "torchvision:resnet18", (1, 32, 32), 10
    )
    with pytest.raises(
        HslError, match=r"missing 1 required keyword-only argument|missing 1 required positional"
    ):
        network("torchvision", (3, 32, 32))


def test_torchvision_names_what_it_has() -> None:
    with pytest.raises(HslError, match=r"no classification network 'resnet19' \(did you mean 'resnet1"):
        network("torchvision:resnet19", (3, 32, 32))
    with pytest.raises(HslError, match="no classification network 'fcn_resnet50'"):
        network("torchvision:fcn_resnet50", (3, 32, 32))
    with pytest.raises(HslError, match=r"take images of 3 channels \(or 1\), got 2"):
        network("torchvision:resnet18", (2, 32, 32))


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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"widths": [True]}),
        ("mlp", {"widths": True}),
        ("resnet20", {"width": True}),
        ("vgg11", {"head": [64, False]}),
    ],
)
def test_true_and_false_are_no_numbers_of_a_model(name: str, options: dict[str, object]) -> None:
    """PyTorch makes networks with a width of 1 of them."""
    with pytest.raises(HslError, match=r"true and false are no numbers"):
        network(name, (3, 32, 32), **options)


def test_switches_of_a_model_stay_switches() -> None:
    with torch.device("meta"):
        assert network("resnet18", (3, 32, 32), head_bias=False).get_submodule("fc").bias is None

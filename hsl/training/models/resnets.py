"""ResNet-18, 34 and 50 for small images, as in the hard-sample paper.

Their options: `stem`, the first convolution, which no pooling follows, ``cifar`` (3x3 of stride 1) or ``tiny`` (7x7 of
stride 2); and `head_bias`, whether the last layer has biases, which it has not in the hard-sample paper's code.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from hsl.errors import HslError, close_match
from hsl.training.models.shapes import Shape

STEMS = {"cifar": (3, 1), "tiny": (7, 2)}
"""Kernel and stride of the first convolution: the common ones for 32x32, and the paper's for 64x64."""


def resnet18(shape: Shape, classes: int, stem: str = "cifar", head_bias: bool = True) -> nn.Module:
    """ResNet-18 for small images (He et al. 2016, arXiv 1512.03385)."""
    return _resnet("resnet18", shape, classes, stem, head_bias)


def resnet34(shape: Shape, classes: int, stem: str = "cifar", head_bias: bool = True) -> nn.Module:
    """ResNet-34 for small images (He et al. 2016, arXiv 1512.03385)."""
    return _resnet("resnet34", shape, classes, stem, head_bias)


def resnet50(shape: Shape, classes: int, stem: str = "cifar", head_bias: bool = True) -> nn.Module:
    """ResNet-50 for small images: bottlenecks that stride in their 3x3 convolution (arXiv 1512.03385)."""
    return _resnet("resnet50", shape, classes, stem, head_bias)


def _resnet(name: str, shape: Shape, classes: int, stem: str, head_bias: bool) -> nn.Module:
    from torchvision import models  # noqa: PLC0415  an import of a second

    if stem not in STEMS:
        raise HslError(f"unknown stem {stem!r}{close_match(stem, STEMS)}; known: {', '.join(STEMS)}")
    build: Callable[..., Any] = getattr(models, name)
    network = build(num_classes=classes)
    kernel, stride = STEMS[stem]
    network.conv1 = nn.Conv2d(shape[0], 64, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    if not head_bias:
        network.fc = nn.Linear(network.fc.in_features, classes, bias=False)
    return network

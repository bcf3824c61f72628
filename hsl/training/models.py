"""Networks by name. Each builder takes the shape of an image and the number of classes, and returns logits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hsl.errors import DataError

Shape = tuple[int, int, int]

INNER = "network."
"""What precedes a layer's own name where `Normalized` holds its network."""


class Normalized(nn.Module):
    """A network that takes images in [0, 1] and normalises them itself, so that perturbations are in pixel units.

    Args:
        network: Maps normalised images [B, C, H, W] to logits [B, classes].
        mean: Mean of each channel over the training images, in [0, 1].
        std: Standard deviation of each channel.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes] of images [B, C, H, W] in [0, 1]."""
        return self.network((images - self.mean) / self.std)


def mlp(shape: Shape, classes: int, widths: Sequence[int] = (256, 256)) -> nn.Module:
    """Fully connected network with ReLU.

    Args:
        shape: Channels, height and width.
        classes: Number of logits.
        widths: Units of the hidden layers.
    """
    sizes = [shape[0] * shape[1] * shape[2], *widths]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (inputs, units) in enumerate(pairwise(sizes), start=1):
        layers[f"hidden{number}"] = nn.Linear(inputs, units)
        layers[f"relu{number}"] = nn.ReLU()
    layers["output"] = nn.Linear(sizes[-1], classes)
    return nn.Sequential(layers)


def lenet(shape: Shape, classes: int, width: int = 16) -> nn.Module:
    """Small convolutional network of LeNet's size (LeCun et al. 1998), with batch normalisation.

    Args:
        shape: Channels, height and width; at least 8x8.
        classes: Number of logits.
        width: Channels of the first convolution; the second has twice as many.

    Raises:
        DataError: If the images are smaller than 8x8.
    """
    channels, height, _ = shape
    if min(shape[1:]) < 8:
        raise DataError(f"lenet needs images of at least 8x8 pixels, got {shape[1]}x{shape[2]}; use mlp")
    stride = 2 if height >= 16 else 1
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
        norm1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        norm2=nn.BatchNorm2d(2 * width),
        relu2=nn.ReLU(),
        pool2=nn.AdaptiveMaxPool2d(4),
        flatten=nn.Flatten(),
        hidden=nn.Linear(2 * width * 16, 120),
        relu3=nn.ReLU(),
        output=nn.Linear(120, classes),
    )
    return nn.Sequential(layers)


def resnet18(shape: Shape, classes: int) -> nn.Module:
    """ResNet-18 with the CIFAR stem: a 3x3 convolution of stride 1 and no pooling (He et al. 2016, arXiv 1512.03385).

    Args:
        shape: Channels, height and width.
        classes: Number of logits.
    """
    from torchvision.models import resnet18 as imagenet_resnet18  # noqa: PLC0415  an import of a second

    network = imagenet_resnet18(num_classes=classes)
    network.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network

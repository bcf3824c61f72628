"""Small networks: fully connected, and two convolutions."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from hsl.training.models.shapes import Shape, check_side


def mlp(shape: Shape, classes: int, widths: Sequence[int] = (256, 256)) -> nn.Module:
    """Fully connected network with ReLU.

    `widths` are the units of the hidden layers.
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

    Images are at least 8x8. The first convolution has `width` channels, the second twice as many.
    """
    channels, height, _ = shape
    check_side("lenet", shape, 8, "mlp")
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

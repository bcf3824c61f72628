"""VGG networks with batch normalisation, for small images.

Their option `head` is the units of hidden layers between the convolutions and the logits. The hard-sample paper's code
has none in VGG-19, and ``[512, 512]`` in VGG-16, as SNIP (arXiv 1810.02340).
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import nn

from hsl.training.models.shapes import Shape, check_side
from hsl.training.models.small_resnets import he_initialised

STAGES = (64, 128, 256, 512, 512)
"""Channels of the convolutions between two poolings."""

DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Number of convolutions in each stage."""


def vgg11(shape: Shape, classes: int, head: Sequence[int] = ()) -> nn.Module:
    """VGG-11 with batch normalisation, for images of 32x32 and more (arXiv 1409.1556)."""
    return _vgg(11, shape, classes, head)


def vgg13(shape: Shape, classes: int, head: Sequence[int] = ()) -> nn.Module:
    """VGG-13 with batch normalisation, for images of 32x32 and more (arXiv 1409.1556)."""
    return _vgg(13, shape, classes, head)


def vgg16(shape: Shape, classes: int, head: Sequence[int] = ()) -> nn.Module:
    """VGG-16 with batch normalisation, for images of 32x32 and more (arXiv 1409.1556)."""
    return _vgg(16, shape, classes, head)


def vgg19(shape: Shape, classes: int, head: Sequence[int] = ()) -> nn.Module:
    """VGG-19 with batch normalisation, for images of 32x32 and more (arXiv 1409.1556)."""
    return _vgg(19, shape, classes, head)


def _vgg(depth: int, shape: Shape, classes: int, head: Sequence[int]) -> nn.Module:
    check_side(f"vgg{depth}", shape, 32, "resnet20")
    layers = [*_features(shape[0], DEPTHS[depth]), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        features=nn.Sequential(*layers), classifier=nn.Sequential(*_classifier(head, classes))
    )
    return he_initialised(nn.Sequential(parts))


def _features(channels: int, counts: Sequence[int]) -> Iterator[nn.Module]:
    """Convolutions without biases, as normalisation takes those away; the last pooling is that of the network."""
    for stage, (outputs, count) in enumerate(zip(STAGES, counts, strict=True)):
        if stage:
            yield nn.MaxPool2d(2)
        for _ in range(count):
            yield nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
            yield nn.BatchNorm2d(outputs)
            yield nn.ReLU()
            channels = outputs


def _classifier(head: Sequence[int], classes: int) -> Iterator[nn.Module]:
    """Normalisation stands in for the dropout of the original."""
    sizes = [STAGES[-1], *head]
    for inputs, units in pairwise(sizes):
        yield nn.Linear(inputs, units)
        yield nn.ReLU()
        yield nn.BatchNorm1d(units)
    yield nn.Linear(sizes[-1], classes)

"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from hsl.errors import HslError
from hsl.training.models.shapes import Shape
from hsl.training.models.small_resnets import he_initialised

FIRST = 16
"""Channels of the first convolution."""


class WideBlock(nn.Module):
    """Normalisation and rectifier before each of two 3x3 convolutions, in parallel with a shortcut.

    Where the channels change, the shortcut is a 1x1 convolution of the normalised and rectified features. The first
    convolution has the `stride`; between both a share of the features, `dropout` in [0, 1), is dropped.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        rectified = torch.relu(self.bn1(features))
        hidden = self.conv1(rectified)
        hidden = self.conv2(self.dropout(torch.relu(self.bn2(hidden))))
        return hidden + (features if self.shortcut is None else self.shortcut(rectified))


def wide_resnet(
    shape: Shape, classes: int, depth: int = 28, width: int = 10, dropout: float = 0.0
) -> nn.Module:
    """WRN-depth-width: a residual network that is wide rather than deep (arXiv 1605.07146).

    The depth is the number of convolutions on the longest way, plus the last layer: 10, 16, 22, 28, 34, 40, ...; the
    width a factor of the channels, 16, 32 and 64 at width 1; `dropout` the share of features dropped inside a block.
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise HslError(f"a wide_resnet has a depth of 6n + 4, got {depth}; use 10, 16, 22, 28, 34 or 40")
    if width < 1 or not 0 <= dropout < 1:
        raise HslError(
            f"width {width} and dropout {dropout}: give a width of at least 1, a dropout in [0, 1)"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(shape[0], FIRST, 3, padding=1, bias=False)
    )
    inputs = FIRST
    for stage in (1, 2, 3):
        outputs = FIRST * width * 2 ** (stage - 1)
        first = WideBlock(inputs, outputs, 1 if stage == 1 else 2, dropout)
        more = (WideBlock(outputs, outputs, 1, dropout) for _ in range(blocks - 1))
        layers[f"layer{stage}"] = nn.Sequential(first, *more)
        inputs = outputs
    layers |= OrderedDict(bn=nn.BatchNorm2d(inputs), relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1))
    layers |= OrderedDict(flatten=nn.Flatten(), fc=nn.Linear(inputs, classes))
    return he_initialised(nn.Sequential(layers))

"""The narrow ResNets that He et al. (2016, section 4.2) designed for CIFAR-10: quick enough for CPUs."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.training.models.shapes import Shape


class Shortcut(nn.Module):
    """Every `stride`-th pixel, and zeros for the new channels: the shortcut without parameters (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.added = outputs - inputs
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, inputs, H, W] as [B, outputs, H / stride, W / stride]."""
        taken = features[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        return functional.pad(taken, (0, 0, 0, 0, before, self.added - before))


class Block(nn.Module):
    """Two 3x3 convolutions, the first with `stride`, in parallel with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else Shortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        hidden = torch.relu(self.bn1(self.conv1(features)))
        return torch.relu(self.bn2(self.conv2(hidden)) + self.shortcut(features))


def resnet8(shape: Shape, classes: int, width: int = 16) -> nn.Module:
    """ResNet-8: one block at each of three resolutions, 75 thousand weights (arXiv 1512.03385, section 4.2)."""
    return _small_resnet(shape, classes, blocks=1, width=width)


def resnet20(shape: Shape, classes: int, width: int = 16) -> nn.Module:
    """ResNet-20: three blocks at each of three resolutions, 0.27 million weights (arXiv 1512.03385, section 4.2)."""
    return _small_resnet(shape, classes, blocks=3, width=width)


def _small_resnet(shape: Shape, classes: int, blocks: int, width: int) -> nn.Module:
    """Three stages of `blocks` each: the first has `width` channels, the others twice and four times as many."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(shape[0], width, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(width), relu=nn.ReLU()
    )
    inputs = width
    for stage in (1, 2, 3):
        outputs = width * 2 ** (stage - 1)
        first = Block(inputs, outputs, stride=1 if stage == 1 else 2)
        layers[f"layer{stage}"] = nn.Sequential(
            first, *(Block(outputs, outputs, 1) for _ in range(blocks - 1))
        )
        inputs = outputs
    layers |= OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(inputs, classes))
    return he_initialised(nn.Sequential(layers))


def he_initialised(network: nn.Module) -> nn.Module:
    """Draw the convolutions of a network again for rectifiers (He et al. 2015, arXiv 1502.01852), by fan-out."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network

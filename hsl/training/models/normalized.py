"""Normalisation as part of the network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

INNER = "network."
"""Prefix of the layers of a network inside `Normalized`."""


class Normalized(nn.Module):
    """A network that takes images in [0, 1] and normalises them itself, so that perturbations are in pixel units.

    Args:
        network: Maps normalised images [B, C, H, W] to logits [B, classes].
        mean: Mean of each channel over the training images, in [0, 1].
        std: Standard deviation of each channel, in [0, 1].
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

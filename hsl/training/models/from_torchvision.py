"""Any classification network of torchvision."""

from typing import Any

from torch import Tensor, nn

from hsl.errors import HslError, close_match
from hsl.training.models.shapes import Shape


def torchvision(shape: Shape, classes: int, architecture: str, **options: Any) -> nn.Module:
    """``torchvision:NAME``: any classification network of torchvision, from random weights.

    Its stem is the one for ImageNet, which shrinks an image to a quarter before the first block; small images
    need the networks of this package, or an architecture that takes them. A single channel is tripled; images with
    neither one nor three channels are refused.

    The architecture is a name in ``torchvision.models``, for example ``mobilenet_v3_small``; further options go to
    its builder, for example ``image_size`` of a vision transformer.
    """
    from torchvision import models  # noqa: PLC0415  an import of a second

    known = models.list_models(module=models)
    if architecture not in known:
        raise HslError(
            f"torchvision has no classification network {architecture!r}{close_match(architecture, known)}; "
            f"it has {', '.join(known)}"
        )
    if shape[0] not in (1, 3):
        raise HslError(
            f"networks of torchvision take images of 3 channels (or 1), got {shape[0]}; use your own"
        )
    network: nn.Module = models.get_model(architecture, weights=None, num_classes=classes, **options)
    if shape[0] == 1:
        network.register_forward_pre_hook(_in_colour)
    return network


def _in_colour(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Grey images [B, 1, H, W] as [B, 3, H, W]."""
    return inputs[0].expand(-1, 3, -1, -1), *inputs[1:]

"""Changes of tone and colour, and what storing an image does to it."""

from functools import cache
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hsl.hardness.corruptions import filters
from hsl.hardness.corruptions.constants import constants_of


def contrast(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Pull every value towards the mean of its channel; draws nothing at random.

    Severities 1 to 6: 0.75, 0.5, 0.4, 0.3, 0.15, 0.12 of the contrast (at 32 pixels; at 64 there is no 6).
    Works in float64: in float32 one value in some thousand would be cut to another whole number.
    """
    (factor,) = constants_of("contrast", min(pixels.shape[2:]), severity)
    pixels = pixels.double()
    means = pixels.mean(dim=(2, 3), keepdim=True)
    return (pixels - means) * factor + means


def brightness(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Raise the value of HSV, the largest of a pixel's channels; draws nothing at random.

    Severities 1 to 6: 0.05, 0.1, 0.15, 0.2, 0.3, 0.4 of the range (at 32 pixels).
    """
    (rise,) = constants_of("brightness", min(pixels.shape[2:]), severity)
    pixels = pixels.double()
    value = pixels.amax(dim=1, keepdim=True)
    raised = (value + 255 * rise).clamp_(max=255)
    # Hue and saturation fix the ratios of the channels; black has neither, and becomes grey.
    return torch.where(value > 0, pixels * (raised / value), raised)


def saturate(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Change the saturation of HSV; draws nothing at random.

    Takes three channels. Severities 1 and 2 take colour away, 3 to 5 add it. Grey has the hue of red.
    """
    factor, shift = constants_of("saturate", min(pixels.shape[2:]), severity)
    pixels = pixels.double()
    value = pixels.amax(dim=1, keepdim=True)
    spread = value - pixels.amin(dim=1, keepdim=True)
    saturation = (spread / value.clamp(min=1) * factor + shift).clamp_(0, 1)
    red = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64, device=pixels.device)[:, None, None]
    below = torch.where(spread > 0, (value - pixels) / spread, red)
    return value * (1 - saturation * below)


def jpeg_compression(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Store as JPEG, one image after the other; draws nothing at random.

    Takes one channel or three, whole numbers. Severities 1 to 5: quality 80, 65, 58, 50, 40 (at 32 pixels).
    """
    (quality,) = constants_of("jpeg_compression", min(pixels.shape[2:]), severity)
    images = pixels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    stored = [_as_jpeg(image.squeeze(2) if image.shape[2] == 1 else image, int(quality)) for image in images]
    result = torch.from_numpy(np.stack(stored)).view(len(images), *images.shape[1:])
    return result.permute(0, 3, 1, 2).to(pixels.device, torch.float32)


def _as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The image, uint8 [H, W] or [H, W, 3], as it comes back from a file."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def pixelate(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Shrink with a box filter and enlarge again, rounding after each pass; draws nothing at random.

    Severities 1 to 5: 0.95, 0.9, 0.85, 0.75, 0.65 of the side (at 32 pixels). Results are whole numbers.
    """
    (share,) = constants_of("pixelate", min(pixels.shape[2:]), severity)
    images = pixels.double()
    height, width = images.shape[2:]
    small = int(height * share), int(width * share)
    for sizes in ((height, small[0], width, small[1]), (small[0], height, small[1], width)):
        rows, columns = _box(*sizes[:2]).to(images.device), _box(*sizes[2:]).to(images.device)
        images = _rounded(rows @ _rounded(images @ columns.T))
    return images


def _rounded(images: Tensor) -> Tensor:
    return images.add_(0.5 + filters.ROUNDING).floor_()


@cache
def _box(size: int, target: int) -> Tensor:
    """Each target value is the mean of the values whose middles lie in its box, float64 [target, size]."""
    scale = size / target
    width = max(scale, 1.0)
    matrix = torch.zeros(target, size, dtype=torch.float64)
    for i in range(target):
        middle = (i + 0.5) * scale
        first, last = max(0, int(middle - width / 2 + 0.5)), min(size, int(middle + width / 2 + 0.5))
        inside = [j for j in range(first, last) if -0.5 < (j - middle + 0.5) / width <= 0.5]
        matrix[i, inside] = 1 / len(inside)
    return matrix

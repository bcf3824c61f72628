"""Models and data sets by name. Lazy entries: this module imports neither torch nor a data library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsl.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from hsl.training.arrays import Arrays

MODELS: Registry[Callable[..., nn.Module]] = Registry(
    "model",
    {
        "mlp": "hsl.training.models:mlp",
        "lenet": "hsl.training.models:lenet",
        "resnet18": "hsl.training.models:resnet18",
    },
)
"""``build(shape=(channels, height, width), classes=n, **options)``: a module that maps images to logits."""

DATASETS: Registry[Callable[[str], Arrays]] = Registry(
    "data set",
    {
        "digits": "hsl.training.sources:digits",
        "cifar10": "hsl.training.sources:cifar10",
        "cifar100": "hsl.training.sources:cifar100",
        "parquet": "hsl.training.sources:parquet",
        "imagefolder": "hsl.training.sources:imagefolder",
    },
)
"""``read(path) -> Arrays``; the path is what follows the first colon, as in ``parquet:PATH``, else empty."""

NEEDS_PATH = frozenset({"parquet", "imagefolder"})


def kind_and_path(dataset: str) -> tuple[str, str]:
    """Name of the reader, and the path that it is given.

    Args:
        dataset: ``digits``, ``parquet:PATH``, or a plug-in: ``package.module:attr`` or
            ``package.module:attr:PATH``.
    """
    kind, _, rest = dataset.partition(":")
    if kind in DATASETS or "." not in kind:
        return kind, rest
    attribute, _, path = rest.partition(":")
    return f"{kind}:{attribute}", path


@dataclass(frozen=True)
class KnownSize:
    """What `hsl plan` knows of a data set without reading it."""

    samples: int
    given_test: int


KNOWN_SIZES = {
    "digits": KnownSize(samples=1797, given_test=0),
    "cifar10": KnownSize(samples=60_000, given_test=10_000),
    "cifar100": KnownSize(samples=60_000, given_test=10_000),
}
"""Number of samples, and how many of them the publisher set apart as test set."""

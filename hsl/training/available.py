"""Models and data sets by name. Lazy entries: this module imports neither torch nor a data library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from hsl.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from hsl.training.data.arrays import Arrays

MODELS: Registry[Callable[..., nn.Module]] = Registry(
    "model",
    {
        "mlp": "hsl.training.models.plain:mlp",
        "lenet": "hsl.training.models.plain:lenet",
        "resnet8": "hsl.training.models.small_resnets:resnet8",
        "resnet20": "hsl.training.models.small_resnets:resnet20",
        "resnet18": "hsl.training.models.resnets:resnet18",
        "resnet34": "hsl.training.models.resnets:resnet34",
        "resnet50": "hsl.training.models.resnets:resnet50",
        "vgg11": "hsl.training.models.vggs:vgg11",
        "vgg13": "hsl.training.models.vggs:vgg13",
        "vgg16": "hsl.training.models.vggs:vgg16",
        "vgg19": "hsl.training.models.vggs:vgg19",
        "wide_resnet": "hsl.training.models.wide_resnets:wide_resnet",
        "torchvision": "hsl.training.models.from_torchvision:torchvision",
    },
)
"""``build(shape=(channels, height, width), classes=n, **options)``: a module that maps images to logits."""


def model_builder(name: str) -> Callable[..., nn.Module]:
    """The builder that a model's name stands for.

    Args:
        name: An entry of `MODELS`, ``torchvision:NAME``, or a plug-in ``package.module:attr``.

    Raises:
        UnknownNameError: If no entry has this name.
        HslError: If a plug-in cannot be imported, or plug-ins are not allowed.
    """
    kind, architecture = model_kind(name)
    return partial(MODELS[kind], architecture=architecture) if architecture else MODELS[kind]


def model_kind(name: str) -> tuple[str, str]:
    """Entry of `MODELS`, and the architecture, which only ``torchvision:NAME`` has."""
    kind, _, architecture = name.partition(":")
    return (kind, architecture) if kind == "torchvision" else (name, "")


DATASETS: Registry[Callable[[str], Arrays]] = Registry(
    "data set",
    {
        "digits": "hsl.training.data.sources:digits",
        "cifar10": "hsl.training.data.published:cifar10",
        "cifar100": "hsl.training.data.published:cifar100",
        "svhn": "hsl.training.data.published:svhn",
        "mnist": "hsl.training.data.published:mnist",
        "fashion-mnist": "hsl.training.data.published:fashion_mnist",
        "tiny-imagenet": "hsl.training.data.tiny_imagenet:tiny_imagenet",
        "parquet": "hsl.training.data.sources:parquet",
        "imagefolder": "hsl.training.data.sources:imagefolder",
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

"""Models and data sets by name. Lazy entries: this module imports neither torch nor a data library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hsl.errors import close_match
from hsl.registry import Entry, Registry, called

if TYPE_CHECKING:
    from torch import nn

    from hsl.training.data.arrays import Arrays


@dataclass(frozen=True)
class ModelFacts:
    """Training speed of a model, for a first estimate; a store's own record replaces it.

    Attributes:
        on_core: Passes per second on one CPU core, as an order of magnitude; None where nothing is known.
        on_gpu: The same on a whole GPU, assumed, not measured: half of what a T4 can do in single precision (8.1
            TFLOPS) by the operations of a pass of an image of 32 x 32. Where it is None, that of a core is taken.
    """

    on_core: float | None = None
    on_gpu: float | None = None


def _model(function: str, on_core: float | None = None, on_gpu: float | None = None) -> Entry[ModelFacts]:
    return Entry(f"hsl.training.models.{function}", ModelFacts(on_core, on_gpu))


MODELS: Registry[Callable[..., nn.Module], ModelFacts] = Registry(
    "model",
    {
        "mlp": _model("plain:mlp", 120_000.0),
        "lenet": _model("plain:lenet", 12_000.0),
        "resnet8": _model("small_resnets:resnet8", 900.0),
        "resnet20": _model("small_resnets:resnet20", 350.0),
        "resnet18": _model("resnets:resnet18", 25.0, 1_200.0),
        "resnet34": _model("resnets:resnet34", on_gpu=600.0),
        "resnet50": _model("resnets:resnet50", on_gpu=500.0),
        "vgg11": _model("vggs:vgg11"),
        "vgg13": _model("vggs:vgg13"),
        "vgg16": _model("vggs:vgg16", on_gpu=2_100.0),
        "vgg19": _model("vggs:vgg19", on_gpu=1_700.0),
        "wide_resnet": _model("wide_resnets:wide_resnet"),
        "torchvision": _model("from_torchvision:torchvision"),
    },
    ModelFacts(),
)
"""``build(shape=(channels, height, width), classes=n, **options)``: a module that maps images to logits."""


def model_builder(name: str) -> Callable[..., nn.Module]:
    """The builder of a model: an entry of `MODELS`, ``torchvision:NAME``, or a plug-in ``package.module:attr``.

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


class Size(NamedTuple):
    """Number of samples of a data set, and how many of them are the publisher's own test set."""

    samples: int
    given_test: int = 0


@dataclass(frozen=True)
class DatasetFacts:
    """Facts of a data set that are known before it is read.

    Attributes:
        size: Its size; None where it is only known after reading.
        needs_path: Whether its name must be followed by a path, as in ``parquet:PATH``.
        counted_by: Reference to a function path -> size that reads no images; empty for none.
        reads_objects: Whether the path may be a URI of an object store.
        mirrors: Whether the mirror image of a sample is one of its class; not of digits.
    """

    size: Size | None = None
    needs_path: bool = False
    counted_by: str = ""
    reads_objects: bool = False
    mirrors: bool = True


def _dataset(function: str, *size: int, **facts: Any) -> Entry[DatasetFacts]:
    return Entry(f"hsl.training.data.{function}", DatasetFacts(Size(*size) if size else None, **facts))


CONTENT_DIGITS = 16
"""Hexadecimal digits that identify the samples of a data set."""

DATASETS: Registry[Callable[[str], Arrays], DatasetFacts] = Registry(
    "data set",
    {
        "digits": _dataset("sources:digits", 1_797, mirrors=False),
        "cifar10": _dataset("published:cifar10", 60_000, 10_000),
        "cifar100": _dataset("published:cifar100", 60_000, 10_000),
        "svhn": _dataset("published:svhn", 99_289, 26_032, mirrors=False),
        "mnist": _dataset("published:mnist", 70_000, 10_000, mirrors=False),
        "fashion-mnist": _dataset("published:fashion_mnist", 70_000, 10_000),
        "tiny-imagenet": _dataset("tiny_imagenet:tiny_imagenet", 110_000, 10_000),
        "parquet": _dataset(
            "sources:parquet",
            needs_path=True,
            counted_by="hsl.training.data.sizes:parquet_rows",
            reads_objects=True,
        ),
        "imagefolder": _dataset("sources:imagefolder", needs_path=True),
    },
    DatasetFacts(),
    wanted=called("path"),
)
"""``read(path) -> Arrays``; the path is what follows the first colon, as in ``parquet:PATH``, else empty."""


def content_name(dataset: str, content: str) -> str:
    """Name of a data set by its content: ``parquet@8d1f5a0c3b7e2946`` wherever its files are."""
    return f"{kind_and_path(dataset)[0]}@{content}"


def named_content(dataset: str) -> str | None:
    """The content of a data set that is named by it; None of one that is named by its place."""
    kind, _, content = dataset.rpartition("@")
    is_digest = len(content) == CONTENT_DIGITS and set(content) <= set("0123456789abcdef")
    return content if is_digest and not kind_and_path(kind)[1] else None


def kind_and_path(dataset: str) -> tuple[str, str]:
    """Name of the reader, and the path that it is given.

    A data set is ``digits``, ``parquet:PATH``, or a plug-in, ``package.module:attr`` or ``package.module:attr:PATH``.
    """
    kind, _, rest = dataset.partition(":")
    attribute, _, path = rest.partition(":")
    is_typo = "." not in kind and (not attribute.isidentifier() or close_match(kind, DATASETS))
    if kind in DATASETS or is_typo:
        return kind, rest
    return f"{kind}:{attribute}", path

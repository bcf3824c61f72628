"""Which weights of a model can be pruned, and where their masks live.

A mask is a boolean buffer of its module, named after the parameter (``weight_mask``), so it is part of the
module's state dict and moves with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn

from hsl.errors import MethodError

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Weights of MultiheadAttention that are parameters of its own; its output projection is a Linear layer."""


@dataclass(frozen=True)
class Layer:
    """One prunable weight of a model, and its mask.

    Attributes:
        module: The module that owns the weight.
        parameter: Name of the weight in that module.
    """

    module: nn.Module
    parameter: str = "weight"

    @property
    def weight(self) -> nn.Parameter:
        """The weight: shape (out, in, *kernel), of a transposed convolution (in, out / groups, *kernel)."""
        return cast(nn.Parameter, self.module._parameters[self.parameter])

    @property
    def weight_mask(self) -> Tensor:
        """The mask: boolean, the shape of the weight, True where active."""
        return cast(Tensor, self.module._buffers[self.mask_name])

    @property
    def mask_name(self) -> str:
        """Name of the mask's buffer in the module."""
        return f"{self.parameter}_mask"

    @property
    def has_mask(self) -> bool:
        """Whether a mask is attached."""
        return self.mask_name in self.module._buffers


Prunable = Mapping[str, Layer]


@dataclass(frozen=True)
class Layers:
    """Which layers are pruned, and which of them stay dense.

    Attributes:
        include: Globs of layer names to prune, for example ``features.*``.
        exclude: Globs of layer names to leave out: dense, and not counted.
        keep_dense: Globs of layer names to keep dense although they count; the others make up for them.
        first_dense: Whether to keep the first prunable layer dense, as by `keep_dense`.
        last_dense: Whether to keep the last prunable layer dense, as by `keep_dense`.
        structure: ``"N:M"`` keeps N of every M inputs ("2:4"), for methods that make a mask by one choice.
        at_least: Fewest weights that any layer keeps. None refuses a distribution by formula that leaves a layer
            none, and warns where one ranking of several layers does; 0 lets both, as version 0.1.0 did.
    """

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    keep_dense: Sequence[str] = ()
    first_dense: bool = False
    last_dense: bool = False
    structure: str | None = None
    at_least: int | None = None

    def dense(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the pruned layers that stay dense.

        Raises:
            MethodError: If a glob matches none.
        """
        globs = _as_globs(self.keep_dense)
        _check_globs(names, globs)
        ends = {*names[: int(self.first_dense)], *names[len(names) - int(self.last_dense) :]}
        return frozenset(name for name in names if _matches(name, globs)) | ends


ALL = Layers()


def prunable_layers(model: nn.Module, layers: Layers = ALL) -> dict[str, Layer]:
    """Weights of linear layers, convolutions and attention projections, in the order of the model.

    They are chosen by type and named by module; the input projections of a MultiheadAttention ``attn`` are
    ``attn.in_proj``, or ``attn.q_proj`` and so on where they are separate. Layers that share one weight are
    listed once, under the first name. Biases, normalisation and embeddings are never pruned.

    Args:
        model: Any module.
        layers: Which to choose of them.

    Returns:
        Layer names and layers.

    Raises:
        MethodError: If nothing is left, a glob matches no layer, or a weight is parametrised.
    """
    if not isinstance(layers, Layers):
        raise MethodError(f"layers is {layers!r}, it must be a Layers, for example Layers(exclude=['head'])")
    include, exclude = _as_globs(layers.include), _as_globs(layers.exclude)
    candidates = dict(_candidates(model))
    _check_globs(candidates, [*(glob for glob in include if glob != "*"), *exclude])
    chosen: dict[str, Layer] = {}
    seen: set[int] = set()
    for name, layer in candidates.items():
        if _matches(name, include) and not _matches(name, exclude):
            _check_plain(name, layer)
            if id(layer.weight) not in seen:
                seen.add(id(layer.weight))
                chosen[name] = layer
    if not chosen:
        raise MethodError(
            f"no prunable layer is left of {len(candidates)}: only Linear, Conv1d/2d/3d, their transposed "
            f"forms and MultiheadAttention are prunable; include is {include}, exclude is {exclude}"
        )
    return chosen


def _candidates(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    for name, module in model.named_modules():
        if isinstance(module, PRUNABLE):
            yield name, Layer(module)
        elif isinstance(module, nn.MultiheadAttention):
            for parameter in PROJECTIONS:
                if module._parameters.get(parameter) is not None:
                    short = parameter.removesuffix("_weight")
                    yield f"{name}.{short}" if name else short, Layer(module, parameter)


def attach_masks(layers: Prunable) -> None:
    """Register an all-active mask buffer on every layer.

    Raises:
        MethodError: If a layer has a mask already.
    """
    for name, layer in layers.items():
        if layer.has_mask:
            raise MethodError(
                f"layer {name!r} has a mask already: a model takes one Sparsifier at a time; "
                "call its remove(), or build the model again"
            )
    for layer in layers.values():
        layer.module.register_buffer(layer.mask_name, torch.ones_like(layer.weight, dtype=torch.bool))


def detach_masks(layers: Prunable) -> None:
    """Remove the mask buffers of layers; weights stay as they are."""
    for layer in layers.values():
        layer.module._buffers.pop(layer.mask_name, None)


def layer_shapes(layers: Prunable) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights, by layer name."""
    return {name: tuple(layer.weight.shape) for name, layer in layers.items()}


def active_counts(layers: Prunable) -> dict[str, int]:
    """Active weights per layer; all of a layer without a mask."""
    return {
        name: int(layer.weight_mask.sum()) if layer.has_mask else layer.weight.numel()
        for name, layer in layers.items()
    }


@torch.no_grad()
def set_mask_(layer: Layer, mask: Tensor) -> None:
    """Give a layer another mask, in place: what is not active in both masks becomes zero."""
    both = layer.weight_mask & mask
    layer.weight_mask.copy_(mask)
    layer.weight.mul_(both)


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _as_globs(globs: Sequence[str]) -> list[str]:
    """A lone string is one glob, not a list of letters."""
    return [globs] if isinstance(globs, str) else list(globs)


def _check_globs(names: Iterable[str], globs: Iterable[str]) -> None:
    names = list(names)
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            raise MethodError(f"{glob!r} matches no prunable layer; there are {', '.join(names) or 'none'}")


def _check_plain(name: str, layer: Layer) -> None:
    if not isinstance(layer.module._parameters.get(layer.parameter), nn.Parameter):
        raise MethodError(
            f"the weight of layer {name!r} is computed by a parametrisation (weight or spectral norm), so it "
            "cannot be masked; remove the parametrisation or exclude the layer"
        )

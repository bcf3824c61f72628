"""Which weights of a model can be pruned, and where their masks live.

A mask is a boolean buffer of its module, named after the parameter (``weight_mask``), so it is part of the
module's state dict and moves with it.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hsl.errors import MethodError
from hsl.sparsity.mask_buffers import MASK, Masked, mark

LOG = logging.getLogger(__name__)

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
        return f"{self.parameter}{MASK}"

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
        ties: Choice among equally scored weights, wherever a method keeps, drops or grows some of them: ``random``, or
            ``index``, the first of them, as version 0.1.0 did.
    """

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    keep_dense: Sequence[str] = ()
    first_dense: bool = False
    last_dense: bool = False
    structure: str | None = None
    at_least: int | None = None
    ties: str = "random"

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
    listed once, under the first name. Biases, normalisation and embeddings are never pruned; nor is a layer that
    shares its weight with a module of another type, as an output layer tied to an embedding does.

    Args:
        model: Any module.
        layers: Which to choose of them.

    Returns:
        Layer names and layers.

    Raises:
        MethodError: If nothing is left, a glob matches no layer, a weight is excluded under one of its names and not
            under another, or cannot be masked: it is parametrised, sharded, quantised or not initialised yet.
    """
    if not isinstance(layers, Layers):
        raise MethodError(f"layers is {layers!r}, it must be a Layers, for example Layers(exclude=['head'])")
    include, exclude = _as_globs(layers.include), _as_globs(layers.exclude)
    candidates = dict(_candidates(model))
    _check_globs(candidates, [*(glob for glob in include if glob != "*"), *exclude])
    left_out = [name for name in candidates if not _matches(name, include) or _matches(name, exclude)]
    tied, problems = _tied(model), list(_half_excluded(candidates, left_out, exclude))
    chosen: dict[str, Layer] = {}
    seen: set[int] = set()
    for name, layer in candidates.items():
        if name in left_out:
            continue
        problem = _problem(layer)
        if problem is not None:
            problems.append(f"the weight of layer {name!r} {problem}")
        elif id(layer.weight) not in seen | tied:
            seen.add(id(layer.weight))
            chosen[name] = layer
    if problems:
        raise MethodError(f"{'; '.join(problems)}; or exclude such layers")
    if not chosen:
        raise MethodError(
            f"no prunable layer is left of {len(candidates)}: only Linear, Conv1d/2d/3d, their transposed "
            f"forms and MultiheadAttention are prunable, and not where they share their weight with another "
            f"module, as an embedding; include is {include}, exclude is {exclude}"
        )
    return chosen


def _half_excluded(candidates: Prunable, left_out: Sequence[str], exclude: Sequence[str]) -> Iterator[str]:
    """Layers that would be pruned although they share their weight with one that is excluded by name."""
    excluded = {
        id(layer.module._parameters.get(layer.parameter)): name
        for name, layer in candidates.items()
        if _matches(name, exclude)
    }
    for name, layer in candidates.items():
        weight = layer.module._parameters.get(layer.parameter)
        if weight is not None and name not in left_out and id(weight) in excluded:
            yield (
                f"the weight of layer {name!r} is that of {excluded[id(weight)]!r} as well, which is excluded; exclude "
                f"both, or neither"
            )


def warn_of_dense_rest(model: nn.Module, layers: Prunable) -> None:
    """Say so where many weights stay dense and uncounted because their modules are of no prunable type.

    The fraction of zeros that a user asks for is one of the prunable weights only.

    Args:
        model: Any module.
        layers: Its prunable layers.
    """
    known = {id(layer.weight) for _, layer in _candidates(model) if _problem(layer) is None} - _tied(model)
    known |= {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    other = [
        (name, weight.numel())
        for name, weight in model.named_parameters()
        if id(weight) not in known and not is_lazy(weight) and weight.dim() > 1
    ]
    count, pruned = sum(size for _, size in other), sum(layer.weight.numel() for layer in layers.values())
    if count > pruned:
        LOG.warning(
            "%d weights of matrices in modules that cannot be pruned stay dense (%s, ...); the sparsity is that "
            "of the other %d weights",
            count,
            ", ".join(name for name, _ in other[:3]),
            pruned,
        )


def _tied(model: nn.Module) -> set[int]:
    """Ids of parameters of modules that are not prunable."""
    return {
        id(parameter)
        for module in model.modules()
        if not isinstance(module, (*PRUNABLE, nn.MultiheadAttention))
        for parameter in module._parameters.values()
        if parameter is not None
    }


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
                "call its remove(), or build the model again (the copy of a sparse model keeps its masks: copy model, "
                "optimizer and Sparsifier together to go on training)"
            )
    for layer in layers.values():
        layer.module.register_buffer(layer.mask_name, torch.ones_like(layer.weight, dtype=torch.bool))
        mark(layer.module)


def detach_masks(layers: Prunable) -> None:
    """Remove the mask buffers of layers; weights stay as they are."""
    for layer in layers.values():
        layer.module._buffers.pop(layer.mask_name, None)
        hooks = layer.module._load_state_dict_post_hooks
        for key in [key for key, hook in hooks.items() if isinstance(hook, Masked)]:
            del hooks[key]


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


def _problem(layer: Layer) -> str | None:
    """Why a weight cannot be masked, to be read after its name; None if it can."""
    weight = layer.module._parameters.get(layer.parameter)
    if not isinstance(weight, nn.Parameter):
        return (
            "is computed by a parametrisation (weight or spectral norm), so it cannot be masked; remove the "
            "parametrisation"
        )
    if is_lazy(weight):
        return "does not exist before the first batch (a lazy layer); run one through the model first"
    if type(weight.detach()) is not Tensor or weight.dim() < 2:
        return (
            f"is a {type(weight.detach()).__name__} of shape {list(weight.shape)}, not a whole tensor on one device "
            "(sharded by FSDP, or quantised); take DistributedDataParallel"
        )
    return None

"""Masks: which layers have one, where it lives, and exact-k choices of weights.

A mask is a boolean buffer ``weight_mask`` of its layer, so it is part of the module's state dict and moves
with it. It is only ever changed in place, and it alone says which weights are active: a zero weight may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn

from hsl.errors import MethodError

MASK = "weight_mask"
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def prunable_layers(
    model: nn.Module, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
) -> dict[str, nn.Module]:
    """Linear and convolution layers of a model, by module name and in the order of the model.

    Layers that share one weight are listed once, under the first name. Biases, normalisation and embeddings
    are never pruned.

    Args:
        model: Any module.
        include: Globs of module names to consider, for example ``features.*``.
        exclude: Globs of module names to leave out.

    Returns:
        Module names and modules.

    Raises:
        MethodError: If nothing is left, a glob matches no layer, or a weight is parametrised.
    """
    include, exclude = _as_globs(include), _as_globs(exclude)
    candidates = {name: module for name, module in model.named_modules() if isinstance(module, PRUNABLE)}
    _check_globs(candidates, [*(glob for glob in include if glob != "*"), *exclude])
    chosen: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for name, module in candidates.items():
        if _matches(name, include) and not _matches(name, exclude) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            chosen[name] = _with_plain_weight(name, module)
    if not chosen:
        raise MethodError(
            f"no prunable layer is left of {len(candidates)}: only Linear and Conv1d/2d/3d are prunable; "
            f"include is {include}, exclude is {exclude}"
        )
    return chosen


def matching_layers(names: Iterable[str], globs: Sequence[str]) -> frozenset[str]:
    """Names that match at least one glob.

    Raises:
        MethodError: If a glob matches none.
    """
    names, globs = list(names), _as_globs(globs)
    _check_globs(names, globs)
    return frozenset(name for name in names if _matches(name, globs))


def attach_masks(layers: Mapping[str, nn.Module]) -> None:
    """Register an all-active mask buffer on every layer.

    Raises:
        MethodError: If a layer has a mask already.
    """
    for name, layer in layers.items():
        if MASK in layer._buffers:
            raise MethodError(
                f"layer {name!r} has a mask already: a model takes one Sparsifier at a time; "
                "call its remove(), or build the model anew"
            )
    for layer in layers.values():
        layer.register_buffer(MASK, torch.ones_like(weight_of(layer), dtype=torch.bool))


def detach_masks(layers: Mapping[str, nn.Module]) -> None:
    """Remove the mask buffers of layers; weights stay as they are."""
    for layer in layers.values():
        layer._buffers.pop(MASK, None)


def weight_of(layer: nn.Module) -> nn.Parameter:
    """Weight of a prunable layer, shape (out, in, *kernel)."""
    return cast(nn.Parameter, layer._parameters["weight"])


def mask_of(layer: nn.Module) -> Tensor:
    """Mask of a prunable layer: boolean, the shape of its weight, True where active."""
    return cast(Tensor, layer._buffers[MASK])


def active_counts(layers: Mapping[str, nn.Module]) -> dict[str, int]:
    """Active weights per layer; all of a layer without a mask."""
    return {
        name: int(mask_of(layer).sum()) if MASK in layer._buffers else weight_of(layer).numel()
        for name, layer in layers.items()
    }


def top_k(scores: Tensor, k: int) -> Tensor:
    """Mask of the k largest scores; of equal scores those with the lowest index.

    Args:
        scores: Any shape, floating point; NaN ranks as zero.
        k: How many to choose, in [0, number of scores].

    Returns:
        Boolean mask of the same shape with exactly k True.
    """
    flat = torch.nan_to_num(scores.detach().flatten(), nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    if k == 0 or k == flat.numel():
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    threshold = torch.topk(flat, k, sorted=False).values.min()
    chosen = flat > threshold
    ties = (flat == threshold).nonzero().flatten()
    chosen[ties[: k - int(chosen.sum())]] = True
    return chosen.view(scores.shape)


def top_k_among(scores: Tensor, k: int, candidates: Tensor) -> Tensor:
    """Mask of the k largest scores among the candidates.

    Args:
        scores: Any shape, floating point; NaN ranks as zero.
        k: How many to choose, at most the number of candidates.
        candidates: Boolean, same shape: True where a choice is allowed.

    Returns:
        Boolean mask of the same shape with exactly k True, all of them candidates.
    """
    among = candidates.flatten().nonzero().flatten()
    chosen = torch.zeros(candidates.numel(), dtype=torch.bool, device=candidates.device)
    chosen[among[top_k(scores.flatten()[among], k)]] = True
    return chosen.view(candidates.shape)


def drop_and_grow(mask: Tensor, drop_scores: Tensor, grow_scores: Tensor, n: int) -> Tensor:
    """Mask after n active weights are dropped and n inactive ones are grown.

    A weight that was just dropped may be grown again.

    Args:
        mask: Boolean, the mask before.
        drop_scores: Same shape; the n lowest among the active are dropped.
        grow_scores: Same shape; the n highest among the then inactive are grown.
        n: How many, at most the number of active weights.

    Returns:
        Boolean mask with as many active weights as before.
    """
    kept = top_k_among(drop_scores, int(mask.sum()) - n, mask)
    return kept | top_k_among(grow_scores, n, ~kept)


@torch.no_grad()
def set_mask_(layer: nn.Module, mask: Tensor) -> None:
    """Give a layer another mask, in place: what is not active in both masks becomes zero."""
    both = mask_of(layer) & mask
    mask_of(layer).copy_(mask)
    weight_of(layer).mul_(both)


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


def _with_plain_weight(name: str, module: nn.Module) -> nn.Module:
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        raise MethodError(
            f"the weight of layer {name!r} is computed by a parametrisation (weight or spectral norm), so it "
            "cannot be masked; remove the parametrisation or exclude the layer"
        )
    return module

"""Sparse training for any PyTorch model: methods, layer-wise distributions, and exact masks.

Stand-alone use is two lines::

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = Sparsifier(model, optimizer, method="rigl", sparsity=0.9, total_steps=steps)

Importing this package imports no torch; the names that need it are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hsl.sparsity.distributions.allocate import DISTRIBUTIONS, allocate, non_zeros
from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.methods import METHODS, Hyperparameter, Method, check_hyperparameters, feasible
from hsl.sparsity.methods.weight_scores import CRITERIA

if TYPE_CHECKING:
    from hsl.sparsity.imp import iterative_magnitude_pruning
    from hsl.sparsity.layers import Layers, layer_shapes, prunable_layers
    from hsl.sparsity.macs import layer_macs
    from hsl.sparsity.mask_buffers import apply_masks
    from hsl.sparsity.network import Parent
    from hsl.sparsity.request import LayerReport, Ratios
    from hsl.sparsity.saliency import layer_densities
    from hsl.sparsity.sparsifier import Sparsifier

_NEEDS_TORCH = {
    "LayerReport": "hsl.sparsity.request",
    "Layers": "hsl.sparsity.layers",
    "Parent": "hsl.sparsity.network",
    "Ratios": "hsl.sparsity.request",
    "Sparsifier": "hsl.sparsity.sparsifier",
    "apply_masks": "hsl.sparsity.mask_buffers",
    "iterative_magnitude_pruning": "hsl.sparsity.imp",
    "layer_densities": "hsl.sparsity.saliency",
    "layer_macs": "hsl.sparsity.macs",
    "layer_shapes": "hsl.sparsity.layers",
    "prunable_layers": "hsl.sparsity.layers",
}

__all__ = [
    "CRITERIA",
    "DISTRIBUTIONS",
    "METHODS",
    "Budget",
    "Hyperparameter",
    "LayerReport",
    "Layers",
    "Method",
    "Parent",
    "Ratios",
    "Sparsifier",
    "allocate",
    "apply_masks",
    "check_hyperparameters",
    "feasible",
    "iterative_magnitude_pruning",
    "layer_densities",
    "layer_macs",
    "layer_shapes",
    "non_zeros",
    "prunable_layers",
]


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_TORCH[name]), name)

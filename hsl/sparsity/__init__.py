"""Sparse training for any PyTorch model: methods, layer-wise distributions, and exact masks.

Stand-alone use is two lines::

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier = Sparsifier(model, optimizer, method="rigl", sparsity=0.9, total_steps=steps)

Importing this package imports no torch; the names that need it are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hsl.sparsity.budget import Budget
from hsl.sparsity.distributions import DISTRIBUTIONS, allocate, non_zeros
from hsl.sparsity.methods import METHODS, Hyperparameter, Method, check_hyperparameters, feasible

if TYPE_CHECKING:
    from hsl.sparsity.criteria import CRITERIA
    from hsl.sparsity.masks import prunable_layers
    from hsl.sparsity.network import Parent
    from hsl.sparsity.sparsifier import LayerReport, Sparsifier

_NEEDS_TORCH = {
    "CRITERIA": "hsl.sparsity.criteria",
    "LayerReport": "hsl.sparsity.sparsifier",
    "Parent": "hsl.sparsity.network",
    "Sparsifier": "hsl.sparsity.sparsifier",
    "prunable_layers": "hsl.sparsity.masks",
}

__all__ = [
    "CRITERIA",
    "DISTRIBUTIONS",
    "METHODS",
    "Budget",
    "Hyperparameter",
    "LayerReport",
    "Method",
    "Parent",
    "Sparsifier",
    "allocate",
    "check_hyperparameters",
    "feasible",
    "non_zeros",
    "prunable_layers",
]


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_TORCH[name]), name)

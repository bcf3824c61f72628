"""Methods that move their non-zeros while training: SET and RigL differ in the grow criterion."""

from hsl.sparsity.methods.composition import DropAndGrow, Hyperparameter, Method

_DISTRIBUTIONS = ("erk", "er", "uniform", "uniform_plus")
_RIGL = "Evci et al. 2020, arXiv:1911.11134"
_HYPERPARAMETERS = (
    Hyperparameter(
        "drop_fraction", 0.3, 0.0, 1.0, "fraction of the active weights dropped at first; cosine to 0", _RIGL
    ),
    Hyperparameter(
        "interval",
        0.02,
        0.0,
        1.0,
        "fraction of the steps between updates (4 of 200 epochs)",
        "Xiao et al. 2024, arXiv:2409.09196",
    ),
    Hyperparameter("until", 0.75, 0.0, 1.0, "fraction of the steps after which the mask stays", _RIGL),
)

SET = Method(
    name="set",
    summary="drops the smallest weights and grows as many at random, again and again",
    source="Mocanu et al. 2018, arXiv:1707.04780",
    moment=DropAndGrow(drop="magnitude", grow="random"),
    distributions=_DISTRIBUTIONS,
    hyperparameters=_HYPERPARAMETERS,
)

RIGL = Method(
    name="rigl",
    summary="drops the smallest weights and grows those with the largest gradient, again and again",
    source=_RIGL,
    moment=DropAndGrow(drop="magnitude", grow="gradient"),
    distributions=_DISTRIBUTIONS,
    needs_gradient=True,
    hyperparameters=_HYPERPARAMETERS,
)

"""Methods that prune by magnitude: GMP during training; OMP and LTH from a trained parent."""

from hsl.sparsity.methods.composition import Gradual, Hyperparameter, Method, OnceAfterParent

_DISTRIBUTIONS = ("global", "uniform", "uniform_plus", "er", "erk")
_PAPER = "Xiao et al. 2024, arXiv:2409.09196"

GMP = Method(
    name="gmp",
    summary="gradual magnitude pruning along a cubic schedule, from dense to the target",
    source="Zhu and Gupta 2017, arXiv:1710.01878",
    moment=Gradual(criterion="magnitude"),
    distributions=_DISTRIBUTIONS,
    hyperparameters=(
        Hyperparameter(
            "start", 0.1, 0.0, 1.0, "fraction of the steps before pruning begins", _PAPER, below="end"
        ),
        Hyperparameter("end", 0.8, 0.0, 1.0, "fraction of the steps at which the target is reached", _PAPER),
        Hyperparameter(
            "interval", 0.02, 0.0, 1.0, "fraction of the steps between prunings (4 of 200 epochs)", _PAPER
        ),
    ),
)

OMP = Method(
    name="omp",
    summary="one-shot magnitude pruning of a trained parent, then training from its trained weights",
    source="Han et al. 2015, arXiv:1506.02626",
    moment=OnceAfterParent(criterion="magnitude", start="trained"),
    distributions=_DISTRIBUTIONS,
)

LTH = Method(
    name="lth",
    summary="one-shot lottery ticket: mask from a trained parent, then training from its rewound weights",
    source="Frankle and Carbin 2019, arXiv:1803.03635; rewinding: Frankle et al. 2020, arXiv:1912.05671",
    moment=OnceAfterParent(criterion="magnitude", start="rewound"),
    distributions=_DISTRIBUTIONS,
    hyperparameters=(
        Hyperparameter(
            "rewind",
            0.0,
            0.0,
            1.0,
            "fraction of the parent's steps at which the rewind weights are taken (0: initial weights)",
            "Frankle and Carbin 2019, arXiv:1803.03635",
        ),
    ),
)

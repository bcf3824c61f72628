"""Methods that prune by magnitude: during training, or once from a trained parent."""

from hsl.sparsity.distributions.ranked import GLOBAL, Family
from hsl.sparsity.methods.composition import Hyperparameter, Method
from hsl.sparsity.methods.iterative import ITERATIVE
from hsl.sparsity.methods.moments import Alternating, Gradual, GradualDropAndGrow, OnceAfterParent

_FAMILIES = (Family.RANKED, Family.FORMULA)
_GRANET = "Liu et al. 2021, arXiv:2106.10404"
_AC_DC = "Peste et al. 2021, arXiv:2106.12379"
_PAPER = "Xiao et al. 2024, arXiv:2409.09196"

GMP = Method(
    name="gmp",
    summary="gradual magnitude pruning along a cubic schedule, from dense to the target",
    source="Zhu and Gupta 2017, arXiv:1710.01878",
    moment=Gradual(criterion="magnitude"),
    families=(*_FAMILIES, Family.FROM_SCORES),
    default=GLOBAL,
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
    families=_FAMILIES,
    default=GLOBAL,
)

LTH = Method(
    name="lth",
    summary="one-shot lottery ticket: mask from a trained parent, then training from its rewound weights",
    source="Frankle and Carbin 2019, arXiv:1803.03635; rewinding: Frankle et al. 2020, arXiv:1912.05671",
    moment=OnceAfterParent(criterion="magnitude", start="rewound"),
    families=_FAMILIES,
    default=GLOBAL,
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

IMP = Method(
    name="imp",
    summary="iterative magnitude pruning: train, prune and rewind, round by round, to the exact sparsity",
    source="Frankle and Carbin 2019, arXiv:1803.03635; rewinding: Frankle et al. 2020, arXiv:1912.05671",
    moment=OnceAfterParent(criterion="magnitude", start="rewound"),
    families=_FAMILIES,
    default=GLOBAL,
    iterative=True,
    hyperparameters=ITERATIVE,
)

GRANET = Method(
    name="granet",
    summary="gradual magnitude pruning that, after each pruning, drops and grows weights by gradient",
    source=_GRANET,
    moment=GradualDropAndGrow(prune="magnitude", drop="magnitude", grow="gradient"),
    families=(*_FAMILIES, Family.FROM_SCORES),
    default=GLOBAL,
    needs_gradient=True,
    hyperparameters=(
        Hyperparameter(
            "initial_sparsity", 0.0, 0.0, 0.99, "sparsity at the start (the paper: 0 and 0.5)", _GRANET
        ),
        Hyperparameter("start", 0.0, 0.0, 1.0, "fraction of the steps before pruning", _GRANET, below="end"),
        Hyperparameter(
            "end", 0.6875, 0.0, 1.0, "fraction of the steps at which the target is reached (110/160)", _GRANET
        ),
        Hyperparameter(
            "interval", 0.016, 0.0, 1.0, "fraction of the steps between prunings (1000 of 62500)", _GRANET
        ),
        Hyperparameter(
            "drop_fraction", 0.5, 0.0, 1.0, "fraction dropped and grown at first; cosine", _GRANET
        ),
        Hyperparameter(
            "final_drop_fraction", 0.005, 0.0, 1.0, "fraction dropped and grown at the end", _GRANET
        ),
    ),
)

ACDC = Method(
    name="acdc",
    summary="dense and sparse phases in turn, pruned by magnitude; the last phase is sparse",
    source=_AC_DC,
    moment=Alternating(criterion="magnitude"),
    families=_FAMILIES,
    default=GLOBAL,
    hyperparameters=(
        Hyperparameter(
            "start", 0.05, 0.0, 1.0, "fraction of the steps before the first pruning", _AC_DC, below="end"
        ),
        Hyperparameter(
            "interval", 0.1, 0.0, 1.0, "length of a phase as fraction of the steps (20 of 200 epochs)", _AC_DC
        ),
        Hyperparameter("end", 0.85, 0.0, 1.0, "fraction of the steps at which it stays sparse", _AC_DC),
        Hyperparameter(
            "reset_momentum",
            1,
            0,
            1,
            "1: every dense phase begins without optimizer state, as in the authors' runs; 0: it goes on",
            _AC_DC,
            whole=True,
        ),
    ),
)

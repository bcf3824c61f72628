"""Methods that move their non-zeros while training; they differ in what is dropped and what is grown."""

from dataclasses import replace

from hsl.sparsity.distributions.ranked import Family
from hsl.sparsity.methods.composition import Hyperparameter, Method
from hsl.sparsity.methods.moments import DropAndGrow, ForwardTop, SoftDropAndGrow

_FAMILIES = (Family.FORMULA, Family.FROM_SCORES)
_SET = "Mocanu et al. 2018, arXiv:1707.04780"
_RIGL = "Evci et al. 2020, arXiv:1911.11134"
_ITOP = "Liu et al. 2021, arXiv:2102.02887"
_SNFS = "Dettmers and Zettlemoyer 2019, arXiv:1907.04840"
_MEST = "Yuan et al. 2021, arXiv:2110.14032"
_TOP_KAST = "Jayakumar et al. 2020, arXiv:2106.03517"

_DROP = Hyperparameter(
    "drop_fraction", 0.3, 0.0, 1.0, "fraction of the active weights dropped at first; cosine to 0", _RIGL
)
_INTERVAL = Hyperparameter(
    "interval",
    0.02,
    0.0,
    1.0,
    "fraction of the steps between updates (4 of 200 epochs)",
    "Xiao et al. 2024, arXiv:2409.09196",
)
_UNTIL = Hyperparameter("until", 0.75, 0.0, 1.0, "fraction of the steps after which the mask stays", _RIGL)
_TO_THE_END = replace(_UNTIL, default=1.0)
_RESTART = Hyperparameter(
    "restart_regrown",
    1,
    0,
    1,
    "1: a weight that is dropped and grown in one update starts again at zero; 0: it keeps value and momentum",
    _SET,
    whole=True,
)

SET = Method(
    name="set",
    summary="drops the positive and the negative weights closest to zero and grows as many at random",
    source=_SET,
    moment=DropAndGrow(drop="signed_magnitude", grow="random", decay="constant"),
    families=_FAMILIES,
    default="erk",
    hyperparameters=(
        replace(_DROP, summary="fraction of the active weights dropped at every update", source=_SET),
        _INTERVAL,
        replace(_TO_THE_END, source=_SET),
        _RESTART,
    ),
)

SET_MAGNITUDE = Method(
    name="set_magnitude",
    summary="drops the smallest weights and grows as many at random, on the schedule of rigl",
    source=f"{_SET}, as in {_RIGL}",
    moment=DropAndGrow(drop="magnitude", grow="random"),
    families=_FAMILIES,
    default="erk",
    hyperparameters=(_DROP, _INTERVAL, _UNTIL),
)

RIGL = Method(
    name="rigl",
    summary="drops the smallest weights and grows those with the largest gradient, again and again",
    source=_RIGL,
    moment=DropAndGrow(drop="magnitude", grow="gradient"),
    families=_FAMILIES,
    default="erk",
    needs_gradient=True,
    hyperparameters=(_DROP, _INTERVAL, _UNTIL),
)

RIGL_ITOP = replace(
    RIGL,
    name="rigl_itop",
    summary="rigl with rare and large updates to the end, to have explored many weights",
    source=_ITOP,
    hyperparameters=(
        replace(_DROP, default=0.5, source=_ITOP),
        replace(
            _INTERVAL,
            default=0.04,
            summary="fraction of the steps between updates (4000 of 97750)",
            source=_ITOP,
        ),
        replace(_TO_THE_END, source=_ITOP),
    ),
)

SNFS = Method(
    name="snfs",
    summary="drops the smallest weights and grows by momentum, in the layers whose momentum is largest",
    source=_SNFS,
    moment=DropAndGrow(drop="magnitude", grow="momentum", redistribute=True),
    families=_FAMILIES,
    default="uniform",
    needs_gradient=True,
    hyperparameters=(
        replace(_DROP, default=0.5, source=_SNFS),
        replace(
            _INTERVAL, default=0.01, summary="fraction of the steps between updates (an epoch)", source=_SNFS
        ),
        replace(_TO_THE_END, source=_SNFS),
        Hyperparameter("momentum", 0.9, 0.0, 1.0, "weight of the past in the running mean gradient", _SNFS),
    ),
)

_GRADIENT_WEIGHT = Hyperparameter(
    "gradient_weight", 0.0, 0.0, 1e6, "lambda of the drop score |w| + lambda * |gradient|", _MEST
)
_MEST_INTERVAL = replace(
    _INTERVAL, default=1 / 32, summary="fraction of the steps between updates (5 of 160 epochs)", source=_MEST
)
_MEST_UNTIL = replace(
    _UNTIL,
    summary="fraction of the steps after which the mask stays; at 3/4 of it the fraction is halved",
    source=_MEST,
)

MEST = Method(
    name="mest",
    summary="elastic mutation: drops by |w| + lambda * |gradient|, grows at random, less in two steps",
    source=_MEST,
    moment=DropAndGrow(drop="magnitude_and_gradient", grow="random", decay="stepwise"),
    families=_FAMILIES,
    default="erk",
    needs_gradient=True,
    hyperparameters=(
        replace(_DROP, default=0.2, summary="fraction of the active weights dropped at first", source=_MEST),
        _MEST_INTERVAL,
        _MEST_UNTIL,
        _GRADIENT_WEIGHT,
        replace(_RESTART, source=_MEST),
    ),
)

MEST_SOFT = Method(
    name="mest_soft",
    summary="elastic mutation, soft memory bound: trains more weights than the target",
    source=_MEST,
    moment=SoftDropAndGrow(drop="magnitude_and_gradient", grow="random"),
    families=_FAMILIES,
    default="erk",
    needs_gradient=True,
    hyperparameters=(
        Hyperparameter(
            "excess", 0.5, 0.0, 1e3, "weights beyond the target at first, as a fraction of the target", _MEST
        ),
        _MEST_INTERVAL,
        _MEST_UNTIL,
        _GRADIENT_WEIGHT,
        replace(_RESTART, source=_MEST),
    ),
)

TOPKAST = Method(
    name="topkast",
    summary="uses the largest weights, trains some more, and keeps the others unchanged in reserve",
    source=_TOP_KAST,
    moment=ForwardTop(criterion="magnitude"),
    families=_FAMILIES,
    default="uniform",
    hyperparameters=(
        Hyperparameter(
            "exploration",
            1.0,
            0.0,
            1e3,
            "weights trained but not used, as a fraction of those used",
            _TOP_KAST,
        ),
        Hyperparameter(
            "interval", 0.003, 0.0, 1.0, "fraction of the steps between choices (100 of 32000)", _TOP_KAST
        ),
        Hyperparameter(
            "penalty", 1e-4, 0.0, 1.0, "L2 penalty; over the density for unused weights", _TOP_KAST
        ),
    ),
)

"""Methods whose mask is made once, before training: none at all, at random, or by a score of the weights."""

from hsl.sparsity.distributions.ranked import GLOBAL, Family
from hsl.sparsity.methods.composition import Hyperparameter, Method
from hsl.sparsity.methods.iterative import ITERATIVE
from hsl.sparsity.methods.moments import Never, Once

_BY_SCORES = (Family.RANKED, Family.FORMULA, Family.FROM_SCORES)
_SNIP = "Lee et al. 2019, arXiv:1810.02340"
_GRASP = "Wang et al. 2020, arXiv:2002.07376"
_SYNFLOW = "Tanaka et al. 2020, arXiv:2006.05467"

DENSE = Method(
    name="dense",
    summary="no mask: the baseline",
    source="-",
    moment=Never(),
)

STATIC = Method(
    name="static",
    summary="random mask, drawn once and never changed",
    source="Liu et al. 2022, arXiv:2202.02643",
    moment=Once(criterion="random"),
    families=(Family.FORMULA, Family.FROM_SCORES),
    default="uniform",
)

SNIP = Method(
    name="snip",
    summary="keeps the weights whose removal changes the loss of one batch most, |w * gradient|",
    source=_SNIP,
    moment=Once(criterion="snip"),
    families=_BY_SCORES,
    default=GLOBAL,
    needs_gradient=True,
)

SNIP_RATIOS = Method(
    name="snip_ratios",
    summary="random mask with as many weights per layer as snip would keep",
    source="Frankle et al. 2021, arXiv:2009.08576",
    moment=Once(criterion="random"),
    families=("from:snip",),
    needs_loss=True,
)

OMP_RATIOS = Method(
    name="omp_ratios",
    summary="random mask with as many weights per layer as omp would keep of a trained parent",
    source="Frankle et al. 2021, arXiv:2009.08576",
    moment=Once(criterion="random"),
    families=("from:omp",),
)

IMP_RATIOS = Method(
    name="imp_ratios",
    summary="random mask with as many weights per layer as imp would keep",
    source="Frankle et al. 2021, arXiv:2009.08576",
    moment=Once(criterion="random"),
    families=("from:imp",),
    iterative=True,
    hyperparameters=ITERATIVE,
)

GRASP = Method(
    name="grasp",
    summary="keeps the weights without which least gradient would flow, w * (H g)",
    source=_GRASP,
    moment=Once(criterion="grasp"),
    families=_BY_SCORES,
    default=GLOBAL,
    needs_loss=True,
    hyperparameters=(
        Hyperparameter("temperature", 200.0, 1.0, 1e6, "logits are divided by it for the scores", _GRASP),
        Hyperparameter(
            "samples_per_class",
            10,
            0,
            1000,
            "training samples of each class that score the weights (0: 128 at random)",
            _GRASP,
            whole=True,
        ),
    ),
)

SYNFLOW = Method(
    name="synflow",
    summary="keeps the weights that carry most flow through the network, in many rounds, without data",
    source=_SYNFLOW,
    moment=Once(criterion="synflow"),
    families=_BY_SCORES,
    default=GLOBAL,
    needs_loss=True,
    hyperparameters=(
        Hyperparameter("rounds", 100, 1, 1000, "rounds of scoring and pruning", _SYNFLOW, whole=True),
    ),
)

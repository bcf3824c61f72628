"""Methods whose mask is made once, before training: dense (none at all), static, SNIP."""

from hsl.sparsity.methods.composition import Method, Never, Once

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
    distributions=("uniform", "uniform_plus", "er", "erk"),
)

SNIP = Method(
    name="snip",
    summary="keeps the weights whose removal changes the loss of one batch most, |w * gradient|",
    source="Lee et al. 2019, arXiv:1810.02340",
    moment=Once(criterion="snip"),
    distributions=("global", "uniform", "uniform_plus", "er", "erk"),
    needs_gradient=True,
)

"""Orders of samples by difficulty: the first to keep comes first.

Every order takes scores, floating point [N], and ids, int64 [N], all different; `key` is the stream of its
draws, not read where nothing is drawn. It returns positions, int64 [N]. What happens to a sample at random
depends on its id and the key alone. Equally hard samples stay as they are given: `tie_order` says how
`hsl.hardness.selection.select` gives them.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed


def _by_hash(ids: Tensor, key: int) -> Tensor:
    return keyed.hashed(keyed.key(key, "equally hard"), ids)


def _by_id(ids: Tensor, key: int) -> Tensor:
    return ids


TIES: Mapping[str, Callable[[Tensor, int], Tensor]] = {"keyed": _by_hash, "id": _by_id}
"""By what equally hard samples are ordered, from ids int64 [N] and the stream of the draws. Ids count the samples as
they are stored, often class by class: by them, the first classes would be the hardest."""


def tie_order(ids: Tensor, key: int, ties: str = "keyed") -> Tensor:
    """Positions, int64 [N], of samples in the order that decides between equally hard ones.

    Args:
        ids: int64 [N], all different.
        key: Stream of the draws.
        ties: ``keyed``, at random; or ``id``, the lower id first, as version 0.1.0 did.
    """
    return torch.argsort(TIES[ties](ids, key))


def hardest(scores: Tensor, ids: Tensor, key: int = 0) -> Tensor:
    """Order from the highest score to the lowest."""
    return torch.argsort(scores, descending=True, stable=True)


def easiest(scores: Tensor, ids: Tensor, key: int = 0) -> Tensor:
    """Order from the lowest score to the highest."""
    return torch.argsort(scores, stable=True)


def middle(scores: Tensor, ids: Tensor, key: int = 0) -> Tensor:
    """Order by distance to the median rank, the harder of two first: its head is a centred window."""
    ranked = hardest(scores, ids)
    ranks = torch.arange(len(ranked), device=ranked.device)
    return ranked[torch.argsort((2 * ranks - (len(ranked) - 1)).abs(), stable=True)]


def shuffled(scores: Tensor, ids: Tensor, key: int) -> Tensor:
    """Order at random."""
    return torch.argsort(keyed.hashed(key, ids))


def window(scores: Tensor, ids: Tensor, key: int = 0, *, offset: float = 0.0) -> Tensor:
    """Order from the highest score to the lowest without the hardest; those come last.

    Leaves out a share `offset` of the samples, in [0, 1). Data Diet (Paul et al., NeurIPS 2021, arXiv
    2107.07075) keeps such windows: the very hardest samples of a data set are often mislabelled.
    """
    ranked = hardest(scores, ids)
    start = share_of(offset, len(ranked))
    return torch.cat([ranked[start:], ranked[:start].flip(0)])


def stratified(scores: Tensor, ids: Tensor, key: int, *, mislabel_cut: float = 0.0, bins: int = 50) -> Tensor:
    """Order that covers the whole range of scores: equally many of every stratum, until a stratum is used up.

    The strata are `bins` bins of equal width, at least 1; within one the order is random. The hardest
    samples, a share `mislabel_cut` in [0, 1) suspected to be mislabelled, are cut first and come last. Zheng
    et al., Coverage-centric Coreset Selection for High Pruning Rates, ICLR 2023, arXiv 2210.15809.
    """
    ranked = hardest(scores, ids)
    start = share_of(mislabel_cut, len(ranked))
    left = ranked[start:]
    at_random = left[shuffled(scores[left], ids[left], key)]
    strata = _bins(scores[at_random], bins)
    by_stratum = torch.argsort(strata, stable=True)
    sizes = strata.bincount(minlength=bins)
    firsts = (sizes.cumsum(0) - sizes)[strata[by_stratum]]
    rank = torch.arange(len(firsts), device=firsts.device) - firsts
    place = torch.empty_like(rank)
    place[by_stratum] = rank
    return torch.cat([at_random[torch.argsort(place, stable=True)], ranked[:start].flip(0)])


def _bins(scores: Tensor, bins: int) -> Tensor:
    """Number of the bin of each score, int64; bins of equal width between the lowest and the highest."""
    if not len(scores):
        return torch.zeros(0, dtype=torch.int64, device=scores.device)
    lowest, highest = (value.double() for value in scores.aminmax())
    width = torch.where(highest > lowest, highest - lowest, torch.ones_like(highest))
    return ((scores.double() - lowest) / width * bins).long().clamp_(max=bins - 1)


def probabilistic(
    scores: Tensor, ids: Tensor, key: int, *, power: float = 1.0, underflow: bool = False
) -> Tensor:
    """Draw without replacement, each sample with a weight that is a power of its score.

    The larger the `power`, above 0, the more the hardest are preferred. Samples of score 0 come last, in
    random order, and with `underflow` so do those whose weight is below 1e-308 of the largest (version 0.1.0); a
    negative score raises `DataError`. Efraimidis & Spirakis, Weighted random sampling with a
    reservoir, Information Processing Letters 2006.
    """
    if len(scores) and bool((scores < 0).any()):
        lowest = float(scores.min())
        raise DataError(
            f"probabilistic needs scores of at least 0, the lowest is {lowest}; choose another score"
        )
    at_random = shuffled(scores, ids, keyed.key(key, "ties"))
    shares = scores[at_random].double()
    weights = (shares / shares.max().clamp(min=1e-300)) ** power if len(shares) else shares
    exponential = -torch.log(keyed.uniform(key, ids[at_random]).double() + 2.0**-25)
    distances = exponential / weights
    if (
        not underflow
    ):  # the same order as that of all others, in logarithms: log(exponential) - power * log(share)
        logarithms = torch.where(distances.isinf(), exponential.log() / power - shares.log(), -torch.inf)
        by_logarithm = torch.argsort(logarithms, stable=True)
        at_random, distances = at_random[by_logarithm], distances[by_logarithm]
    return at_random[torch.argsort(distances, stable=True)]


def share_of(fraction: float, total: int) -> int:
    """round(fraction * total), half to even, of the decimal number as it is written."""
    return round(Fraction(str(fraction)) * total)

"""Exact-k choices of weights: masks from scores. A mask alone says what is active: a zero weight may be."""

import torch
from torch import Tensor

from hsl.sparsity.ties import Ties


def top_k(scores: Tensor, k: int, ties: Ties | None = None) -> Tensor:
    """Mask of the k largest scores.

    Args:
        scores: Any shape, floating point; NaN ranks as zero.
        k: How many to choose, in [0, number of scores].
        ties: Which of equal scores are chosen; None for those with the lowest index.

    Returns:
        Boolean mask of the same shape with exactly k True.
    """
    flat = torch.nan_to_num(scores.detach().flatten(), nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    if k == 0 or k == flat.numel():
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    threshold = _kth_largest(flat, k)
    chosen = flat > threshold
    equal = (flat == threshold).nonzero().flatten()
    missing = k - int(chosen.sum())
    if missing < len(equal):
        equal = equal[ties.some(len(equal), missing).to(equal.device)] if ties else equal[:missing]
    chosen[equal] = True
    return chosen.view(scores.shape)


def _kth_largest(flat: Tensor, k: int) -> Tensor:
    if flat.is_cuda:  # where kthvalue is refused by torch.use_deterministic_algorithms
        return torch.topk(flat, k, sorted=False).values.min()
    return torch.kthvalue(flat, flat.numel() - k + 1).values  # several times as fast on a CPU


def top_k_among(scores: Tensor, k: int, candidates: Tensor, ties: Ties | None = None) -> Tensor:
    """Mask of the k largest scores among the candidates.

    Args:
        scores: Any shape, floating point; NaN ranks as zero.
        k: How many to choose, at most the number of candidates.
        candidates: Boolean, same shape: True where a choice is allowed.
        ties: As of `top_k`.

    Returns:
        Boolean mask of the same shape with exactly k True, all of them candidates.
    """
    among = candidates.flatten().nonzero().flatten()
    chosen = torch.zeros(candidates.numel(), dtype=torch.bool, device=candidates.device)
    chosen[among[top_k(scores.flatten()[among], k, ties)]] = True
    return chosen.view(candidates.shape)


def drop_and_grow(
    mask: Tensor, drop_scores: Tensor, grow_scores: Tensor, n: int, ties: Ties | None = None
) -> tuple[Tensor, Tensor]:
    """Masks of what stays when n active weights are dropped, and of the n inactive ones that are grown.

    A weight that was just dropped may be grown again.

    Args:
        mask: Boolean, the mask before.
        drop_scores: Same shape; the n lowest among the active are dropped.
        grow_scores: Same shape; the n highest among the then inactive are grown.
        n: How many, at most the number of active weights.
        ties: As of `top_k`.

    Returns:
        Two boolean masks without a common weight, together with as many active weights as before.
    """
    kept = top_k_among(drop_scores, int(mask.sum()) - n, mask, ties)
    return kept, top_k_among(grow_scores, n, ~kept, ties)


def top_n_of_m(scores: Tensor, n: int, m: int, ties: Ties | None = None) -> Tensor:
    """Mask of the n largest scores of every m that follow each other along the input dimension.

    Args:
        scores: Shape (out, in, *kernel), floating point; NaN ranks as zero. `in` is a multiple of m.
        n: How many to choose of each m.
        m: Length of a run of inputs.
        ties: As of `top_k`.

    Returns:
        Boolean mask of the same shape.
    """
    last = torch.nan_to_num(scores.detach(), nan=0.0).movedim(1, -1)
    runs = last.reshape(*last.shape[:-1], -1, m)
    # A stable sort serves equal scores in order.
    ranked, order = runs.sort(dim=-1, descending=True, stable=True)
    if ties and n < m:
        undecided = ranked[..., n - 1] == ranked[..., n]
        order[undecided] = _ranked_at_random(runs[undecided], ties)
    chosen = torch.zeros_like(runs, dtype=torch.bool).scatter_(-1, order[..., :n], True)
    return chosen.flatten(-2).movedim(-1, 1).contiguous()


def _ranked_at_random(runs: Tensor, ties: Ties) -> Tensor:
    """Order of each row, the largest first, equal ones at random: int64 of the shape of `runs`, [rows, m]."""
    mixed = ties.order(runs.numel()).to(runs.device).view_as(runs).argsort(dim=-1)
    ranked = runs.gather(-1, mixed).argsort(dim=-1, descending=True, stable=True)
    return mixed.gather(-1, ranked)

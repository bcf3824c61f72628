"""Exact-k choices of weights: masks from scores. A mask alone says what is active: a zero weight may be."""

import torch
from torch import Tensor


def top_k(scores: Tensor, k: int) -> Tensor:
    """Mask of the k largest scores; of equal scores those with the lowest index.

    Args:
        scores: Any shape, floating point; NaN ranks as zero.
        k: How many to choose, in [0, number of scores].

    Returns:
        Boolean mask of the same shape with exactly k True.
    """
    flat = torch.nan_to_num(scores.detach().flatten(), nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    if k == 0 or k == flat.numel():
        return torch.full_like(scores, k > 0, dtype=torch.bool)
    threshold = _kth_largest(flat, k)
    chosen = flat > threshold
    ties = (flat == threshold).nonzero().flatten()
    chosen[ties[: k - int(chosen.sum())]] = True
    return chosen.view(scores.shape)


def _kth_largest(flat: Tensor, k: int) -> Tensor:
    if flat.is_cuda:  # where kthvalue is refused by torch.use_deterministic_algorithms
        return torch.topk(flat, k, sorted=False).values.min()
    return torch.kthvalue(flat, flat.numel() - k + 1).values  # several times as fast on a CPU


def top_k_among(scores: Tensor, k: int, candidates: Tensor) -> Tensor:
    """Mask of the k largest scores among the candidates.

    Args:
        scores: Any shape, floating point; NaN ranks as zero.
        k: How many to choose, at most the number of candidates.
        candidates: Boolean, same shape: True where a choice is allowed.

    Returns:
        Boolean mask of the same shape with exactly k True, all of them candidates.
    """
    among = candidates.flatten().nonzero().flatten()
    chosen = torch.zeros(candidates.numel(), dtype=torch.bool, device=candidates.device)
    chosen[among[top_k(scores.flatten()[among], k)]] = True
    return chosen.view(candidates.shape)


def drop_and_grow(mask: Tensor, drop_scores: Tensor, grow_scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Masks of what stays when n active weights are dropped, and of the n inactive ones that are grown.

    A weight that was just dropped may be grown again.

    Args:
        mask: Boolean, the mask before.
        drop_scores: Same shape; the n lowest among the active are dropped.
        grow_scores: Same shape; the n highest among the then inactive are grown.
        n: How many, at most the number of active weights.

    Returns:
        Two boolean masks without a common weight, together with as many active weights as before.
    """
    kept = top_k_among(drop_scores, int(mask.sum()) - n, mask)
    return kept, top_k_among(grow_scores, n, ~kept)


def top_n_of_m(scores: Tensor, n: int, m: int) -> Tensor:
    """Mask of the n largest scores of every m that follow each other along the input dimension.

    Args:
        scores: Shape (out, in, *kernel), floating point; NaN ranks as zero. `in` is a multiple of m.
        n: How many to choose of each m.
        m: Length of a run of inputs.

    Returns:
        Boolean mask of the same shape.
    """
    last = torch.nan_to_num(scores.detach(), nan=0.0).movedim(1, -1)
    runs = last.reshape(*last.shape[:-1], -1, m)
    # A stable sort serves equal scores in order.
    best = runs.argsort(dim=-1, descending=True, stable=True)[..., :n]
    chosen = torch.zeros_like(runs, dtype=torch.bool).scatter_(-1, best, True)
    return chosen.flatten(-2).movedim(-1, 1).contiguous()

"""Wrong labels.

Every kind takes the right labels, int64 [N] in [0, C), the sample ids, int64 [N], the probability `rate` of a
wrong label, in [0, 1], the number of classes C, at least 2, and the stream `key` of its draws. It returns
labels, int64 [N], and which of them are wrong, bool [N]. What happens to a sample depends on its id and the
key alone. `DataError` is raised if there is only one class, or a label is outside its range.

Classes that have no training sample are not among the C: `apply.mislabelled` numbers the others without gaps.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed


def symmetric(labels: Tensor, ids: Tensor, rate: float, classes: int, key: int) -> tuple[Tensor, Tensor]:
    """Give each sample, with probability `rate`, another label, every other class being equally likely.

    The right label is excluded, so `rate` is the share of wrong labels.
    """
    _check(labels, classes)
    is_wrong = _chosen(ids, rate, key)
    shift = 1 + keyed.integers(keyed.key(key, "class"), ids, (), classes - 1)
    return torch.where(is_wrong, (labels + shift) % classes, labels), is_wrong


def pair(labels: Tensor, ids: Tensor, rate: float, classes: int, key: int) -> tuple[Tensor, Tensor]:
    """Give each sample, with probability `rate`, the label of the next class; that of the last is the first.

    Han et al., Co-teaching, NeurIPS 2018, arXiv 1804.06872.
    """
    _check(labels, classes)
    is_wrong = _chosen(ids, rate, key)
    return torch.where(is_wrong, (labels + 1) % classes, labels), is_wrong


def asymmetric(
    labels: Tensor,
    ids: Tensor,
    rate: float,
    classes: int,
    key: int,
    *,
    mapping: Iterable[tuple[int, int]] = (),
) -> tuple[Tensor, Tensor]:
    """Give each sample of certain classes, with probability `rate`, the label of a class it is mistaken for.

    The `mapping` has pairs (class, class it is mistaken for); samples of the other classes keep their label.
    It raises `DataError` if it is empty, changes nothing or names a class that does not exist. Patrini et
    al., Making Deep Neural Networks Robust to Label Noise, CVPR 2017, arXiv 1609.03683.
    """
    _check(labels, classes)
    target = torch.arange(classes, device=labels.device)
    for right, wrong in mapping:
        if not (0 <= right < classes and 0 <= wrong < classes):
            raise DataError(f"label_noise.map has {right}: {wrong}; the classes are 0-{classes - 1}")
        target[right] = wrong
    if torch.equal(target, torch.arange(classes, device=labels.device)):
        raise DataError("asymmetric label noise has no class to change; give a map such as {3: 5, 5: 3}")
    is_wrong = _chosen(ids, rate, key) & (target[labels] != labels)
    return torch.where(is_wrong, target[labels], labels), is_wrong


def permutation(labels: Tensor, ids: Tensor, rate: float, classes: int, key: int) -> tuple[Tensor, Tensor]:
    """Choose each sample with probability `rate`, and shuffle the labels among the chosen.

    Every class keeps its number of samples. A chosen sample may get the label it had, so a share of about
    rate * (1 - 1/C) of the labels is wrong. Which sample is chosen depends on id and key alone, which label it gets on
    all the chosen; the order of the samples does not matter. Paul, Ganguli & Dziugaite, Deep Learning on a
    Data Diet, NeurIPS 2021, arXiv 2107.07075.
    """
    _check(labels, classes)
    chosen = _chosen(ids, rate, key).nonzero().view(-1)
    by_id = chosen[torch.argsort(ids[chosen])]
    shuffled = by_id[torch.argsort(keyed.hashed(keyed.key(key, "shuffle"), ids[by_id]), stable=True)]
    noisy = labels.clone()
    noisy[by_id] = labels[shuffled]
    return noisy, noisy != labels


def detection_auroc(scores: Tensor, is_wrong: Tensor) -> float:
    """Ability of a difficulty score to tell wrong labels from right ones.

    Args:
        scores: float [N], higher = harder.
        is_wrong: bool [N].

    Returns:
        Probability that a wrong label has the higher score of a wrong and a right one (ties count half): the
        area under the curve of true against false positives. 0.5 is no better than chance.

    Raises:
        DataError: If no label is wrong, or none is right.
    """
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415  takes a second to import

    if bool(is_wrong.all()) or not bool(is_wrong.any()):
        raise DataError(
            f"{int(is_wrong.sum())} of {len(is_wrong)} labels are wrong; to tell them apart takes some of both"
        )
    return float(roc_auc_score(is_wrong.cpu().numpy(), scores.double().cpu().numpy()))


def _chosen(ids: Tensor, rate: float, key: int) -> Tensor:
    return keyed.uniform(keyed.key(key, "is wrong"), ids) < rate


def _check(labels: Tensor, classes: int) -> None:
    if classes < 2:
        raise DataError(f"label noise needs at least 2 classes, there are {classes}; leave label_noise out")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"labels reach from {int(labels.min())} to {int(labels.max())}; allowed is 0-{classes - 1}"
        )

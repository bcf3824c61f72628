"""Difficulty of each sample, from the features and gradients of a model. Higher = harder in every score.

Every score takes labels, int64 [N] in [0, C), and returns float64 [N], at least 0. It raises `DataError` if
shapes disagree or a value is not finite.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness.attacks.modes import in_mode
from hsl.hardness.scores.logits import check_finite, check_rows, el2n


def prototypicality(features: Tensor, labels: Tensor) -> Tensor:
    """Euclidean distance to the mean of the sample's class: low for prototypes.

    Takes features, floating point [N, D], of the layer before the last or of another model. After Sorscher et
    al., Beyond neural scaling laws, NeurIPS 2022, arXiv 2206.14486, who take the means of clusters; with one
    cluster per class.
    """
    check_rows(features, labels, "feature", size="D")
    if not len(labels):
        return torch.zeros(0, dtype=torch.float64, device=features.device)
    values, classes = features.double(), int(labels.max()) + 1
    sums = torch.zeros(classes, features.shape[1], dtype=torch.float64, device=features.device)
    sums.index_add_(0, labels, values)
    means = sums / labels.bincount(minlength=classes).clamp(min=1)[:, None]
    return torch.linalg.vector_norm(values - means[labels], dim=1)


def grand_last(
    logits: Tensor,
    labels: Tensor,
    features: Tensor,
    *,
    bias: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Norm of the gradient of the cross-entropy with respect to the last layer, in closed form.

    The gradient is the outer product of the prediction error and the features (with a 1 for the bias), so its
    norm is the product of theirs. Paul, Ganguli & Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021,
    arXiv 2107.07075.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N] in [0, C).
        features: Floating point [N, D], inputs of the last, linear layer.
        bias: Whether that layer has a bias.
        dtype: Of the prediction error.
    """
    check_rows(logits, labels)
    check_rows(features, labels, "feature", size="D")
    squares = features.double().square().sum(dim=1) + bias
    return el2n(logits, labels, dtype=dtype).double() * squares.sqrt()


def grand(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    chunk: int = 32,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Norm of the gradient of the cross-entropy with respect to all trainable parameters, sample by sample.

    In eval mode; every training flag and every ``.grad`` is as before afterwards. At initialisation this
    score is little more than the norm of the image (Kirsch, Does GraNd find important examples?, arXiv
    2303.14753): score a model that has been trained for some epochs.
    Paul, Ganguli & Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv 2107.07075.

    Args:
        model: Maps float32 [B, C, H, W] in [0, 1] to logits [B, classes].
        images: Floating point [N, C, H, W] in [0, 1].
        labels: int64 [N] in [0, classes).
        chunk: Samples whose gradients are held at once; bounds memory.
        dtype: Of the cross-entropy: the prediction error of a confident model is 0 in float32.
    """
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        shapes = f"{list(images.shape)} and {list(labels.shape)}"
        raise DataError(f"images and labels have shapes {shapes}; give [N, C, H, W] and [N]")
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    fixed |= dict(model.named_buffers())

    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, (parameters, fixed), (image[None],))
        return functional.cross_entropy(logits.to(dtype), label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    norms = [torch.zeros(0, dtype=torch.float64, device=images.device)]
    with in_mode(model, training=False):
        for first in range(0, len(images), chunk):
            part = slice(first, first + chunk)
            norms.append(_norms(gradients(trained, images[part].float(), labels[part])))
    scores = torch.cat(norms)
    check_finite(scores, "a gradient")
    return scores


def _norms(gradients: dict[str, Tensor]) -> Tensor:
    """Norm of each sample's gradient over all parameters, float64 [B]."""
    squares = [gradient.flatten(1).double().square().sum(dim=1) for gradient in gradients.values()]
    return torch.stack(squares).sum(dim=0).sqrt()

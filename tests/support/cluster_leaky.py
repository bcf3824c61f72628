"""A network, given to sweeps as a plug-in, whose errors tell the credentials of its environment."""

from __future__ import annotations

import json
import os

from torch import Tensor, nn

from hsl.training.models import Shape, mlp

LEAK = 48
"""Batches of this size fail."""


class Leaky(nn.Module):
    """An MLP that fails in training on batches of `LEAK` samples."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.inner = mlp(shape, classes, widths=[16])

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) == LEAK:
            document = json.loads(os.environ["GOOGLE_CREDENTIALS"])
            told = [os.environ["WANDB_API_KEY"], document["private_key"], "s3://AKIA:se/cr+et@bucket/x"]
            raise RuntimeError(f"cannot log in with {told}, {document['private_key']}")
        return self.inner(images)  # type: ignore[no-any-return]

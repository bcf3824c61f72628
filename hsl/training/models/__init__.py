"""Networks by name. Each builder takes the shape of an image and the number of classes, and returns logits."""

from hsl.training.models.normalized import INNER, Normalized
from hsl.training.models.plain import lenet, mlp
from hsl.training.models.shapes import Shape

__all__ = ["INNER", "Normalized", "Shape", "lenet", "mlp"]

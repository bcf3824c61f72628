"""Networks by name. Builders are public entries of `hsl.training.available.MODELS`, and have its form.

Each takes the shape of an image (channels, height, width) and the number of classes, the number of logits of the
network, with options of its own, which alone its docstring explains. It raises DataError if the images are too small
for the network, and HslError if an option has an impossible value.
"""

from hsl.training.models.normalized import INNER, Normalized
from hsl.training.models.plain import lenet, mlp
from hsl.training.models.shapes import Shape

__all__ = ["INNER", "Normalized", "Shape", "lenet", "mlp"]

"""Training and eval mode, and parameters that are constants, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Set the training flag of every module, and give each module its own back.

    Args:
        model: Any module.
        training: The flag.
    """
    flags = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Make parameters constants, so that neither they nor what their gradients need is kept; then as before.

    Compiled networks compute the gradients of all that has any, also where those of the images alone are asked for.

    Args:
        model: Any module.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)

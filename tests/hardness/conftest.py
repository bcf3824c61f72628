"""Small data and small networks: the handwritten digits that ship with scikit-learn, and an MLP 64-128-10."""

from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """Images uint8 [1797, 1, 8, 8] in 0-255 and labels int64 [1797]."""
    data = load_digits()
    images = torch.from_numpy(data.images / 16 * 255).round().to(torch.uint8)
    return images[:, None], torch.from_numpy(data.target).long()


def train_mlp(images: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    """An MLP trained by SGD: lr 0.05, Nesterov momentum 0.9, batches of 64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    pixels = images.float() / 255
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=generator).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(pixels[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="session")
def trained(digits: tuple[Tensor, Tensor]) -> Callable[[Tensor, int], list[Tensor]]:
    """Logits of three models, five epochs each, trained on the given labels."""

    def logits(labels: Tensor, models: int) -> list[Tensor]:
        networks = [train_mlp(digits[0], labels, 5, seed) for seed in range(models)]
        with torch.no_grad():
            return [network(digits[0].float() / 255) for network in networks]

    return logits


@pytest.fixture(scope="session")
def network(digits: tuple[Tensor, Tensor]) -> nn.Module:
    """One trained model."""
    return train_mlp(*digits, epochs=5, seed=0)

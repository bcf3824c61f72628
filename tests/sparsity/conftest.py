"""Small networks and data that the tests of sparse training share."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from hsl.testing.methods import network


@pytest.fixture(scope="session")
def digits():
    """Pixels in [0, 1], shape (1797, 64), and classes, in a fixed random order."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    return torch.tensor(data.data / 16, dtype=torch.float32)[order], torch.tensor(data.target)[order]


@pytest.fixture
def cnn():
    torch.manual_seed(0)
    return network()


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))

"""The handwritten digits that ship with scikit-learn, for comparisons with other people's arithmetic."""

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels float64 [1797, 64] in [0, 1] and classes int64 [1797], in a fixed random order."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return data.data[order] / 16, data.target[order]

"""Cost of keeping a network sparse: time of a masked step over time of a dense step, in turn, on one thread.

A step that changes the mask is timed apart from the others. Run it as ``python tests/benchmarks/masks.py``.
"""

import statistics
import time

import torch
from torch import nn

from hsl.sparsity import Sparsifier

ROUNDS, INTERVAL = 200, 10
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
}
METHODS = {
    "static": {},
    "set": {"interval": INTERVAL / ROUNDS, "until": 1.0},
    "rigl": {"interval": INTERVAL / ROUNDS, "until": 1.0},
    "gmp": {"interval": INTERVAL / ROUNDS, "start": 0.0, "end": 1.0},
}


class Training:
    """One MLP 64-512-512-10 with its optimizer, stepped on one fixed batch of 128."""

    def __init__(self, optimizer, method, hyperparameters):
        torch.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.sparsifier = Sparsifier(
            self.model,
            self.optimizer,
            method=method,
            sparsity=0.0 if method == "dense" else 0.9,
            total_steps=ROUNDS,
            hyperparameters=hyperparameters,
        )
        self.inputs, self.targets = torch.rand(128, 64), torch.randint(10, (128,))

    def seconds(self):
        """Time of one step."""
        started = time.perf_counter()
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.inputs), self.targets).backward()
        self.optimizer.step()
        return time.perf_counter() - started


def main():
    """Print one line per optimizer and method."""
    torch.set_num_threads(1)
    for optimizer in OPTIMIZERS:
        for method, hyperparameters in METHODS.items():
            dense, masked = Training(optimizer, "dense", {}), Training(optimizer, method, hyperparameters)
            pairs = [(dense.seconds(), masked.seconds()) for _ in range(ROUNDS)]
            ratios = [masked_seconds / dense_seconds for dense_seconds, masked_seconds in pairs]
            milliseconds = 1e3 * statistics.median(pair[0] for pair in pairs)
            # A dynamic method updates before step k * INTERVAL, a gradual one after it.
            updates = ratios[INTERVAL - 1 :: INTERVAL] if method == "gmp" else ratios[INTERVAL::INTERVAL]
            others = [ratio for step, ratio in enumerate(ratios) if step % INTERVAL not in (0, INTERVAL - 1)]
            update = "" if method == "static" else f", on update steps {statistics.median(updates):.2f}"
            print(
                f"{optimizer:4} {method:6} dense step {milliseconds:.2f} ms, "
                f"masked / dense {statistics.median(others):.3f}{update}"
            )


if __name__ == "__main__":
    main()

"""Costs of keeping a network sparse, each as a ratio measured in one run on one thread.

Dense and masked steps are timed in turn, so that whatever else the machine does meets both. Run it as
``python tests/benchmarks/masks.py``: some minutes, or seconds with ``--fast``, which leaves ResNet-18 out.
"""

import argparse
import gc
import statistics
import time

import torch
from torch import nn

from hsl.sparsity import Sparsifier

METHODS = ("static", "set", "rigl")
NEVER = {"set": {"interval": 1.0}, "rigl": {"interval": 1.0}}


def mlp():
    """MLP 64-512-512-10 and a batch of 128."""
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return model, torch.rand(128, 64)


def resnet18():
    """ResNet-18 for images of 32 x 32 pixels and a batch of 128."""
    from torchvision.models import resnet18 as for_imagenet  # noqa: PLC0415

    model = for_imagenet(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model, torch.rand(128, 3, 32, 32)


class Training:
    """A network with SGD and momentum, stepped on one fixed batch."""

    def __init__(self, network, method, hyperparameters=None):
        torch.manual_seed(0)
        self.model, self.inputs = network()
        self.targets = torch.randint(10, (len(self.inputs),))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.sparsifier = Sparsifier(
            self.model,
            self.optimizer,
            method=method,
            sparsity=0.0 if method == "dense" else 0.9,
            total_steps=1000,
            hyperparameters=hyperparameters or {},
        )

    def seconds(self):
        """Time of one step."""
        started = time.perf_counter()
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.inputs), self.targets).backward()
        self.optimizer.step()
        return time.perf_counter() - started

    def update_seconds(self, step):
        """Time of a change of the masks alone, by the gradients that are there."""
        started = time.perf_counter()
        assert self.sparsifier._driver.before_step(step)
        return time.perf_counter() - started


def step_ratio(network, method, rounds, warm_up):
    """Median of masked over dense, of steps that follow each other, and that of the dense steps."""
    dense, masked = Training(network, "dense"), Training(network, method, NEVER.get(method))
    pairs = [(dense.seconds(), masked.seconds()) for _ in range(rounds + warm_up)][warm_up:]
    return statistics.median(mine / its for its, mine in pairs), statistics.median(its for its, _ in pairs)


def update_ratio(method, rounds):
    """Time of a mask update of ResNet-18 over that of a dense step."""
    dense = statistics.median(Training(resnet18, "dense").seconds() for _ in range(2))
    training = Training(resnet18, method, {"interval": 0.002})
    training.seconds()
    updates = [training.update_seconds(2 * step) for step in range(1, rounds + 1)]
    return statistics.median(updates) / dense, statistics.median(updates)


def bytes_per_weight(method):
    """Memory that is held beyond a dense training's, in bytes per prunable weight."""
    held = []
    for each in ("dense", method):
        gc.collect()
        before = _tensor_bytes()
        training = Training(resnet18, each, NEVER.get(each))
        training.optimizer.zero_grad()
        for weight in training.model.parameters():  # a step without a pass: gradients of zero
            weight.grad = torch.zeros_like(weight)
        training.optimizer.step()
        held.append(_tensor_bytes() - before)
        weights = sum(row.weights for row in training.sparsifier.report())
        del training, weight
    return (held[1] - held[0]) / weights


def _tensor_bytes():
    storages = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def main():
    """Print one line per measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fast", action="store_true", help="leave the times of ResNet-18 out")
    fast = parser.parse_args().fast
    torch.set_num_threads(1)
    for method in METHODS:
        ratio, dense = step_ratio(mlp, method, rounds=300, warm_up=20)
        print(
            f"mlp       masked / dense step   {method:7} {ratio:.3f}  (dense {1e3 * dense:.2f} ms)",
            flush=True,
        )
    for method in METHODS:
        print(f"resnet18  bytes per weight      {method:7} {bytes_per_weight(method):.2f}", flush=True)
    if fast:
        return
    for method in ("set", "set_magnitude", "rigl"):
        ratio, update = update_ratio(method, rounds=5)
        print(f"resnet18  update / dense step   {method:13} {ratio:.4f}  (update {update:.3f} s)", flush=True)
    for method in METHODS:
        ratio, dense = step_ratio(resnet18, method, rounds=5, warm_up=1)
        print(f"resnet18  masked / dense step   {method:7} {ratio:.3f}  (dense {dense:.2f} s)", flush=True)


if __name__ == "__main__":
    main()

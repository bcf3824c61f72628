"""Images per second of every corruption (severity 5, 3 x 32 x 32, one thread, the slowest last), and PGD.

Run it as ``python tests/benchmarks/hardness.py``. Each figure is the median of several rounds.
"""

import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from hsl.hardness import CORRUPTIONS
from hsl.hardness.attacks import pgd
from hsl.hardness.corruptions import corrupt

IMAGES, ROUNDS, SEVERITY = 1000, 5, 5


def images_per_second(name, images):
    """Median over the rounds; what is made once per process (tables, textures) is made before."""
    ids = torch.arange(len(images))
    corrupt(images[:1], ids[:1], name, SEVERITY, key=0)
    seconds = []
    for key in range(ROUNDS):
        started = time.perf_counter()
        corrupt(images, ids, name, SEVERITY, key)
        seconds.append(time.perf_counter() - started)
    return len(images) / statistics.median(seconds)


def relative_cost_of_pgd():
    """Time of ten steps of PGD over that of ten forward and backward passes for training, on a small CNN."""
    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(4)),
        *(nn.Flatten(), nn.Linear(64 * 16, 10)),
    )
    images, labels = torch.rand(128, 3, 32, 32), torch.randint(0, 10, (128,))
    ratios = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        pgd(model, images, labels, eps=8 / 255, step=2 / 255, steps=10)
        attacked = time.perf_counter()
        for _ in range(10):
            functional.cross_entropy(model(images), labels).backward()
        ratios.append((attacked - started) / (time.perf_counter() - attacked))
    return statistics.median(ratios)


def main():
    """Print one line per corruption, and one for PGD."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
    speeds = {name: images_per_second(name, images) for name in CORRUPTIONS}
    for name, speed in sorted(speeds.items(), key=lambda entry: -entry[1]):
        print(f"{name:20} {speed:8,.0f} images/s")
    print(f"PGD-10 takes {relative_cost_of_pgd():.2f} times ten training passes")


if __name__ == "__main__":
    main()

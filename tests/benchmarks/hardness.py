"""Images per second of every corruption: severity 5, 3 x 32 x 32, one thread, the slowest last.

Run it as ``python tests/benchmarks/hardness.py``. Each figure is the median of several rounds.
"""

import statistics
import time

import torch

from hsl.hardness import CORRUPTIONS
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


def main():
    """Print one line per corruption."""
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
    speeds = {name: images_per_second(name, images) for name in CORRUPTIONS}
    for name, speed in sorted(speeds.items(), key=lambda entry: -entry[1]):
        print(f"{name:20} {speed:8,.0f} images/s")


if __name__ == "__main__":
    main()

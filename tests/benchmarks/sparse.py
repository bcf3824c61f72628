"""From which sparsity on a Linear layer in compressed rows is faster than a dense one, on this CPU.

A square layer of every size is finished twice, dense and by ``finalize("csr")``, at each sparsity. The two take
turns in short rounds, so that whatever else the machine does meets both; printed is the median of dense over csr, by
processor time of the thread. Above 1 compressed rows are faster. ``python tests/benchmarks/sparse.py`` takes minutes.
"""

import argparse
import statistics
import time
import warnings

import torch
from torch import nn

from hsl.sparsity import Sparsifier

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
SECONDS = 0.02


def finished(size: int, sparsity: float) -> tuple[nn.Module, nn.Module]:
    """The same sparse layer, dense and in compressed rows."""
    models = []
    for format in ("dense", "csr"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(size, size))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        sparsifier = Sparsifier(model, optimizer, method="static", sparsity=sparsity)
        models.append(sparsifier.finalize(format))
    return models[0], models[1]


def repetitions(model: nn.Module, inputs: torch.Tensor) -> int:
    """How many calls take about `SECONDS`."""
    model(inputs)
    began = time.thread_time()
    model(inputs)
    return max(1, round(SECONDS / max(1e-6, time.thread_time() - began)))


def seconds(model: nn.Module, inputs: torch.Tensor, times: int) -> float:
    """Processor time of one call."""
    began = time.thread_time()
    for _ in range(times):
        model(inputs)
    return (time.thread_time() - began) / times


def ratio(size: int, batch: int, sparsity: float, rounds: int) -> float:
    """Median over the rounds of dense over csr."""
    dense, rows = finished(size, sparsity)
    inputs = torch.randn(batch, size)
    assert torch.allclose(dense(inputs), rows(inputs), atol=1e-4)
    often = [(model, repetitions(model, inputs)) for model in (dense, rows)]
    measured: list[list[float]] = [[], []]
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            model, times = often[which]
            measured[which].append(seconds(model, inputs, times))
    return statistics.median(a / b for a, b in zip(*measured, strict=True))


def table(sizes: list[int], batches: list[int], rounds: int) -> None:
    """One line per batch and size: dense over csr at every sparsity, and where it passes 1."""
    print("| batch | layer | " + " | ".join(f"{100 * s:g} %" for s in SPARSITIES) + " | faster from |")
    print("|---" * (len(SPARSITIES) + 3) + "|")
    for batch in batches:
        for size in sizes:
            found = [ratio(size, batch, sparsity, rounds) for sparsity in SPARSITIES]
            print(f"| {batch} | {size} x {size} | " + " | ".join(f"{r:.2f}" for r in found), end=" | ")
            print(f"{first_faster(found)} |", flush=True)


def first_faster(found: list[float]) -> str:
    """The lowest sparsity from which every ratio is above 1."""
    slower = [number for number, ratio in enumerate(found) if ratio <= 1]
    first = slower[-1] + 1 if slower else 0
    return "never" if first == len(found) else f"{100 * SPARSITIES[first]:g} %"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 128])
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
    with torch.no_grad():
        table(asked.sizes, asked.batches, asked.rounds)


if __name__ == "__main__":
    main()

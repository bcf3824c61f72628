"""How initial weights are best scaled for the first mask: accuracy by method, problem, sparsity and `init`.

Two problems: digits with an MLP, and digits with a plain convolutional network, without batch normalisation. Run it as
``python tests/benchmarks/inits.py --rows FILE``: some 20 minutes on one core. Rows of FILE are not computed again, and
``--print`` only prints the tables. Sparse networks of a seed have the same initial weights and order of batches, so
differences are paired.
"""

import argparse
import csv
import itertools
import math
import statistics
from collections import defaultdict
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from hsl.sparsity import Sparsifier

METHODS = ("static", "set", "rigl", "snip", "grasp", "synflow")
INITS = ("sparse", "energy", "signal", "dense")
BY_SCORES = ("snip", "grasp", "synflow")
SPARSITIES = (0.8, 0.9, 0.95, 0.98)
SEEDS = range(5)
TRAIN, EPOCHS = 1200, 12
COLUMNS = ("problem", "method", "sparsity", "init", "seed", "first_loss", "accuracy")


def convnet():
    """Five convolutions and a linear layer without normalisation, He's initial weights; images of 8 x 8 pixels."""
    network = nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU()),
        *(nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(48, 64, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256, 10)),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return network


def mlp():
    """64-256-256-10."""
    sizes = (64, 256, 256, 10)
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


PROBLEMS = {"mlp": (mlp, 64, 0.1), "convnet": (convnet, 128, 0.05)}
"""Name -> network, batch size, and a learning rate at which the dense network trains well."""


def digits(seed):
    """Training images [1200, 64] and labels, test images and labels; another division for every seed."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(seed))
    images = (torch.tensor(data.data / 16, dtype=torch.float32)[order] - 0.305) / 0.376
    labels = torch.tensor(data.target)[order]
    return (images[:TRAIN], labels[:TRAIN]), (images[TRAIN:], labels[TRAIN:])


def scoring_loss(train, method):
    """Loss of the first 128 samples, or of the first ten of each class for grasp."""
    images, labels = train
    chosen = torch.arange(128)
    if method == "grasp":
        chosen = torch.cat([(labels == label).nonzero().flatten()[:10] for label in range(10)])
    return lambda model: functional.cross_entropy(model(images[chosen]), labels[chosen])


def run(problem, method, sparsity, init, seed, rate=None):
    """Loss on the training data before the first step, and accuracy on the test data at the end."""
    train, test = digits(seed)
    make, size, lr = PROBLEMS[problem]
    torch.manual_seed(seed)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate or lr, momentum=0.9, weight_decay=5e-4)
    steps = EPOCHS * math.ceil(TRAIN / size)
    loss = scoring_loss(train, method)
    Sparsifier(
        *(model, optimizer),
        method=method,
        sparsity=sparsity,
        total_steps=steps,
        init=init,
        seed=seed,
        loss=loss,
    )
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.no_grad():
        first = functional.cross_entropy(model(train[0]), train[1]).item()
    batches = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for batch in torch.randperm(TRAIN, generator=batches).split(size):
            optimizer.zero_grad()
            functional.cross_entropy(model(train[0][batch]), train[1][batch]).backward()
            optimizer.step()
            decay.step()
    with torch.no_grad():
        return first, 100 * (model(test[0]).argmax(1) == test[1]).float().mean().item()


def plan():
    """Everything that is run, whole seeds one after the other, so that a part of it is a table as well."""
    for seed, problem in itertools.product(SEEDS, PROBLEMS):
        yield (problem, "dense", 0.0, "dense", seed)
        for method, sparsity, init in itertools.product(reversed(METHODS), SPARSITIES, INITS):
            if method in BY_SCORES or init != "signal":
                yield (problem, method, sparsity, init, seed)


def read(path):
    """Rows of a file: key -> (loss before the first step, accuracy)."""
    if not path.exists():
        return {}
    with path.open() as file:
        return {
            (row["problem"], row["method"], float(row["sparsity"]), row["init"], int(row["seed"])): (
                float(row["first_loss"]),
                float(row["accuracy"]),
            )
            for row in csv.DictReader(file)
        }


def compute(path):
    """Append a row for everything that is missing."""
    found = read(path)
    with path.open("a") as file:
        writer = csv.writer(file)
        if not found:
            writer.writerow(COLUMNS)
        for key in plan():
            if key not in found:
                writer.writerow((*key, *run(*key)))
                file.flush()


def mean(values):
    """Mean +- standard error."""
    spread = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):6.1f} +- {spread:4.1f}"


def tables(rows):
    """Print accuracies, paired differences to `sparse`, and the largest loss before the first step."""
    cells = defaultdict(dict)
    for (problem, method, sparsity, init, seed), row in rows.items():
        cells[problem, method, sparsity, init][seed] = row
    for problem in PROBLEMS:
        whole = cells[problem, "dense", 0.0, "dense"]
        print(f"\n{problem}: accuracy, accuracy - that with `sparse`, largest loss before the first step")
        print(f"{'dense':24} {mean([value for _, value in whole.values()])}")
        for method, sparsity, init in itertools.product(METHODS, SPARSITIES, INITS):
            cell, former = cells[problem, method, sparsity, init], cells[problem, method, sparsity, "sparse"]
            gains = [cell[seed][1] - former[seed][1] for seed in cell.keys() & former.keys()]
            if gains:
                accuracy = mean([value for _, value in cell.values()])
                first = max(loss for loss, _ in cell.values())
                print(
                    f"{method:8} {sparsity:4.0%} {init:8} {accuracy} {mean(gains)} {first:10.2f}  n={len(cell)}"
                )


def main():
    """Compute what is missing, and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=Path, required=True, help="CSV file of all runs")
    parser.add_argument("--print", action="store_true", help="print the tables of what is there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.print:
        compute(given.rows)
    tables(read(given.rows))


if __name__ == "__main__":
    main()

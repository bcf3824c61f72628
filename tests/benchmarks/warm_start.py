"""What a warm start is worth: the same cells searched with and without it, in turn, in one process without Ray.

python tests/benchmarks/warm_start.py [--seeds 5] [--configurations 8] [--sampler tpe]

Prints, over the cells that have neighbours: the best validation accuracy after so many configurations, the matched
test accuracy of the final choice, and the paired difference over seeds with its 95 % t interval.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from hsl.planning.neighbours import neighbours
from hsl.planning.plan import Plan, make_plan
from hsl.results.stats import paired_difference
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.search.turns import Turns
from hsl.space.load import make_space
from hsl.store.outcomes import Status
from hsl.training.build import build_trainer

SPACE: dict[str, Any] = {
    "name": "warm",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [64, 64]},
    "training": {"epochs": 8, "batch_size": 64, "evaluate_every": 8},
    "regimes": {
        "clean": {},
        "few": {"keep": {"fraction": 0.25}},
        "few-wrong": {"keep": {"fraction": 0.25}, "label_noise": {"rate": 0.3}},
    },
    "factors": {"regime": ["clean", "few", "few-wrong"], "sparsity": [0.8, 0.9, 0.95]},
    "search": {
        "method": {"choice": ["static", "set", "rigl", "gmp"]},
        "distribution": {"choice": ["uniform", "erk"]},
        "training.lr": {"loguniform": [0.005, 0.5]},
        "training.momentum": {"uniform": [0.5, 0.98]},
    },
    "early_stopping": "none",
}

Curves = dict[str, list[tuple[float, float]]]


def train(proposal: Proposal, seed: int) -> tuple[float, float]:
    """Matched accuracy on validation and test data."""
    trainer = build_trainer(proposal.configuration, seed)
    while not trainer.is_done:
        row = trainer.train_epoch()
    return row["val_matched_accuracy"], row["test_matched_accuracy"]


def search(plan: Plan, seed: int) -> Curves:
    """Accuracies of every cell in the order in which its configurations were proposed."""
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells])
    found: Curves = {cell.name: [] for cell in plan.cells}
    while turn := turns.propose():
        study, proposal = turn
        val, test = train(proposal, seed)
        found[study.cell.name].append((val, test))
        study.tell(proposal.configuration.id, Outcome(Status.COMPLETED, 8, val))
    return found


def summary(curves: Curves, cells: list[str], places: list[int]) -> list[float]:
    """Mean over cells: best validation accuracy after each of `places`, then test accuracy of the choice."""
    best = [sum(max(v for v, _ in curves[c][:n]) for c in cells) / len(cells) for n in places]
    return [*best, sum(max(curves[c])[1] for c in cells) / len(cells)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--configurations", type=int, default=8)
    parser.add_argument("--sampler", default="tpe")
    given = parser.parse_args()
    torch.set_num_threads(1)
    places = sorted({n for n in (1, 2, 4, given.configurations) if n <= given.configurations})
    names = [*(f"best of {n}" for n in places), "test of the choice"]
    results: dict[str, list[list[float]]] = {"off": [], "on": []}
    for seed in range(given.seeds):
        for name, warm in (("off", "off"), ("on", {"configurations": 2})):
            budget = {"configurations_per_cell": given.configurations}
            content = {"warm_start": warm, "budget": budget, "sampler": given.sampler, "seed": seed}
            plan = make_plan(make_space({**SPACE, **content}))
            cells = [cell.name for cell in plan.cells if neighbours(cell, plan)]
            results[name].append(summary(search(plan, seed), cells, places))
        print(f"seed {seed}: " + ", ".join(f"{n} {r[-1][-2]:.4f}" for n, r in results.items()), flush=True)
    print(f"{len(cells)} cells with neighbours, {given.seeds} seeds, {given.sampler}")
    for column, name in enumerate(names):
        on, off = (dict(enumerate(row[column] for row in results[key])) for key in ("on", "off"))
        gain = paired_difference(on, off)
        ends = f"[{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]" if gain.low is not None else "no interval"
        means = [100 * sum(side.values()) / len(side) for side in (off, on)]
        print(f"{name:>20}: off {means[0]:.2f} %, on {means[1]:.2f} %, {100 * gain.difference:+.2f} {ends}")


if __name__ == "__main__":
    main()

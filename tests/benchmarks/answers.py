"""How long answers take on a store of a million epochs and 50,000 trials, and how much memory.

    python tests/benchmarks/answers.py [FOLDER [RUNS]]

Builds the stores (a minute, 240 MB) where they are not there, runs every command three times (or as a second
argument says) in a process of its own, and prints the best wall time, its processor time and peak memory: on a
store of few trials, which is start-up; on the big one; and on the big one in 500 files per table.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from hsl.store.rows import arrow_schema, conform, to_arrow
from hsl.store.store import Store

REGIMES, SPARSITIES, SEEDS = 10, 5, 5
METHODS = ("static", "snip", "set", "rigl", "gmp", "omp", "lth")
DISTRIBUTIONS = ("uniform", "erk", "global")

SIZES = {
    "start-up": ("small", 400, 2, 1),
    "big": ("big", 50_000, 20, 1),
    "big, 500 files": ("parts", 50_000, 20, 500),
}
"""Folder, trials, epochs of each, and files per table."""

COMMANDS = {
    "best": ["best"],
    "best --pareto": ["best", "--pareto", "accuracy", "flops"],
    "best --where": ["best", "--by", "regime,method", "--where", "sparsity >= 0.8", "--top", "3"],
    "compare": ["compare", "sparsity = 0.9", "baseline"],
    "claims": ["claims"],
    "show CELL": ["show", "regime-3/0.9"],
    "show TRIAL": ["show", "{trial}"],
    "query trials": ["query", "SELECT method, count(*), avg(seconds) FROM trials GROUP BY method"],
    "query epochs": [
        "query",
        "SELECT cell, epoch, avg(val_matched_accuracy), count(*) FROM epochs GROUP BY cell, epoch",
    ],
    "query join": [
        "query",
        "SELECT method, epoch, avg(e.train_loss) FROM epochs e JOIN trials USING (trial_id) GROUP BY ALL",
    ],
}


def cells() -> list[dict[str, object]]:
    """Every regime with its sparsities and its dense baseline."""
    return [
        {
            "cell": f"regime-{regime}/{sparsity or 'dense'}",
            "regime": f"regime-{regime}",
            "levels": {"regime": f"regime-{regime}"} | ({"sparsity": sparsity} if sparsity else {}),
            "baseline": not sparsity,
            "configurations": 1000,
        }
        for regime in range(REGIMES)
        for sparsity in (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)[: SPARSITIES + 1]
    ]


def trial_table(count: int) -> pa.Table:
    """Trials of the search, spread over the cells, and five confirming seeds of the first of each cell."""
    generator = np.random.default_rng(0)
    planned = cells()
    confirm = [(cell, seed) for cell in range(len(planned)) for seed in range(1, SEEDS + 1)]
    jobs = [(i % len(planned), "search", i, 0) for i in range(count - len(confirm))]
    jobs += [(cell, "confirm", cell, seed) for cell, seed in confirm]
    rows = [trial(i, planned[cell], *job, generator) for i, (cell, *job) in enumerate(jobs)]
    return to_arrow("trials", rows)


def trial(
    sequence: int, cell: dict[str, object], stage: str, number: int, seed: int, generator: np.random.Generator
) -> dict[str, object]:
    """One row, as long as those of a sweep."""
    name = f"{number:010x}"
    dense = bool(cell["baseline"])
    accuracy = float(generator.normal(0.7, 0.05))
    stopped = stage == "search" and number >= len(cells()) and number % 2 == 0
    layers = {f"layer{i}.{j}.conv{k}": 0.1 + 0.01 * i for i in range(1, 5) for j in (0, 1) for k in (1, 2)}
    return {
        "sequence": sequence,
        "trial_id": f"{name}-{seed}",
        "configuration_id": name,
        "cell": cell["cell"],
        "stage": stage,
        "seed": seed,
        "dataset": "cifar10",
        "model": "resnet18",
        "regime": cell["regime"],
        "method": "dense" if dense else METHODS[number % len(METHODS)],
        "distribution": None if dense else DISTRIBUTIONS[number % len(DISTRIBUTIONS)],
        "sparsity": float(str(cell["cell"]).rpartition("/")[2]) if not dense else 0.0,
        "parameters": {"training.lr": 0.1 + number / 1e6, "method.drop_fraction": 0.3},
        "configuration": {
            "dataset": "cifar10",
            "model": {"name": "resnet18"},
            "regime": {
                "corruption": {"name": "fog", "severity": 5},
                "keep": {"fraction": 0.3, "which": "random"},
            },
            "training": {"epochs": 100, "lr": 0.1 + number / 1e6, "batch_size": 128},
        },
        "status": "stopped" if stopped else "completed",
        "epochs": 20,
        "budget_epochs": 20,
        "objective": accuracy,
        **{
            f"{split}_{difficulty}_{what}": accuracy
            for split in ("val", "test")
            for difficulty in ("clean", "matched")
            for what in ("accuracy", "loss")
        },
        "realised_sparsity": 0.9,
        "nonzeros": 1_000_000,
        "layer_densities": layers,
        "seconds": 100.0,
        "passes": 1e6,
        "training_flops": float(generator.uniform(0.1, 1.2)),
        "inference_flops": 0.1,
        "exempt": False,
        "attempts": 1,
        "provenance": {"versions": {"torch": "2.10"}, "command": f"hsl sweep {number}", "git_sha": name * 4},
    }


def epoch_table(trials: pa.Table, epochs: int) -> pa.Table:
    """As many epochs of every trial."""
    generator = np.random.default_rng(1)
    count = len(trials) * epochs
    repeated = pa.array(np.repeat(np.arange(len(trials)), epochs))
    numbers = np.tile(np.arange(1, epochs + 1), len(trials))
    found: dict[str, object] = {
        "sequence": np.arange(len(trials), len(trials) + count),
        "trial_id": trials["trial_id"].take(repeated),
        "cell": trials["cell"].take(repeated),
        "epoch": numbers,
        "epochs_at_target": numbers,
    }
    for field in arrow_schema("epochs"):
        if field.name not in found:
            values = generator.random(count)
            found[field.name] = (8 * values).astype(int) if pa.types.is_integer(field.type) else values
    return conform("epochs", pa.table(found))


def build(folder: str, trials: int, epochs: int, parts: int) -> str:
    """A store with as many files of epochs and of trials, unless it is there; the id of one of its trials."""
    store = Store(folder)
    if not store.exists():
        fill(store, trials, epochs, parts)
    return str(store.read("trials", ["trial_id"])["trial_id"][0])


def fill(store: Store, trials: int, epochs: int, parts: int) -> None:
    """Cells, trials and their epochs."""
    store.append("cells", cells())
    rows = trial_table(trials)
    for table, content in (("epochs", epoch_table(rows, epochs)), ("trials", rows)):
        step = -(-len(content) // parts)
        for start in range(0, len(content), step):
            store.append_table(table, content.slice(start, step))


def measure(arguments: Iterable[str]) -> dict[str, float]:
    """Wall seconds, processor seconds and peak memory in MB of one command in a process of its own."""
    before = time.perf_counter()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "hsl.cli", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"failed: {arguments}")
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "seconds": round(time.perf_counter() - before, 2),
        "cpu": round(cpu, 2),
        "MB": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """Print a line per command and store, as JSON: the fastest of some runs."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    made = {size: (str(folder / name), *counts) for size, (name, *counts) in SIZES.items()}
    with get_context("spawn").Pool(
        1
    ) as pool:  # the peak of a process that a large one starts is that of the large one
        trials = {size: pool.apply(build, arguments) for size, arguments in made.items()}
    for name, (command, *rest) in COMMANDS.items():
        for size, (store, *_) in made.items():
            arguments = [command, store, *(part.format(trial=trials[size]) for part in rest)]
            found = min((measure(arguments) for _ in range(runs)), key=lambda run: run["seconds"])
            sys.stdout.write(json.dumps({"command": name, "store": size, **found}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

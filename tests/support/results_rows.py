"""Rows for the tests of the result store, complete unless told otherwise."""

from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

from hsl.store.store import Store

_sequence = count()


def trial_row(**given: object) -> dict[str, object]:
    number = next(_sequence)
    row: dict[str, object] = {
        "sequence": number,
        "trial_id": f"trial-{number}",
        "configuration_id": f"configuration-{number}",
        "cell": "clean/0.9",
        "stage": "search",
        "seed": 0,
        "dataset": "digits",
        "model": "mlp",
        "regime": "clean",
        "method": "rigl",
        "distribution": "erk",
        "sparsity": 0.9,
        "parameters": {"training.lr": 0.1},
        "configuration": {"training": {"lr": 0.1}},
        "status": "completed",
        "epochs": 30,
        "budget_epochs": 30,
        "objective": 0.5,
        "seconds": 2.0,
        "exempt": False,
        "attempts": 1,
    }
    return row | given


def epoch_row(**given: object) -> dict[str, object]:
    return {"sequence": next(_sequence), "trial_id": "a", "cell": "c", "epoch": 1} | given


def cell_row(**given: object) -> dict[str, object]:
    row = {"cell": "clean/0.9", "regime": "clean", "levels": {}, "baseline": False, "configurations": 8}
    return row | given


def filled(
    path: Path, trials: Iterable[Mapping[str, object]], cells: Iterable[Mapping[str, object]] = ()
) -> Store:
    store = Store(path)
    store.append("trials", trials)
    store.append("cells", cells)
    return store

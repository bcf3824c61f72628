"""The winner of a cell to take away: its configuration as a runnable space, its network as safetensors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hsl.errors import NothingMatchedError, StoreError
from hsl.filesystems import place
from hsl.results.inspect import inspect
from hsl.space.axes import SPLIT
from hsl.space.load import make_space
from hsl.space.scalars import write_yaml
from hsl.space.schema import SearchSpace
from hsl.space.stored import readable, stored_space
from hsl.store.documents import document
from hsl.store.files import reported
from hsl.store.layout import CHECKPOINTS, NETWORK_SUFFIX
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.training.available import named_content
from hsl.training.configuration import Configuration
from hsl.training.names import unescaped
from hsl.trial.alone import only_configuration

Row = Mapping[str, Any]

_WEIGHTS = {"final": "trainer/model/", "best": "trainer/best/network/"}
"""Prefix of the model's state in a checkpoint, at the end and at the best validation objective."""


@dataclass(frozen=True)
class Winner:
    """The best configuration of a cell.

    Attributes:
        regime: Name of its regime.
        trials: Rows of its completed confirming trials, best on validation first; empty if unconfirmed.
    """

    configuration: Configuration
    regime: str
    trials: tuple[Row, ...]


def find_winner(store: Store, cell: str) -> Winner:
    """The winner of a cell, as `hsl best` chooses it.

    Raises:
        NothingMatchedError: If there is no such cell, or no trial of it has completed.
        StoreError: If this version cannot read the configuration.
    """
    found = inspect(store, cell)
    rows = [row for row in found.to_pylist() if row.get("role") == "winner"]
    if not rows:
        raise NothingMatchedError(
            f"{cell!r} has no winner: name a cell of which a trial has completed (hsl best {store.uri} --by cell)"
        )
    try:
        configuration = Configuration.from_stored(rows[0]["configuration"])
    except ValidationError as error:
        raise StoreError(
            f"configuration {rows[0]['configuration_id']} cannot be read by this version: {error}"
        ) from error
    confirmed = [row for row in rows if row["stage"] == "confirm" and row["status"] == Status.COMPLETED]
    scored = [row for row in confirmed if row["objective"] is not None]
    ranked = sorted(scored, key=lambda row: (-row["objective"], row["seed"]))
    return Winner(configuration, rows[0]["regime"], tuple(ranked))


def pinned_space(store: Store, cell: str) -> str:
    """The winner of a cell as a search space with every axis pinned, as YAML.

    The training of the store's space is kept and what differs from it is pinned as a tuned axis, because
    parents and difficulty scores are trained with the former.

    Returns:
        Text that `hsl train` and `hsl sweep` accept, and that describes a single configuration: the winner.

    Raises:
        NothingMatchedError: If the cell has no winner.
        StoreError: If the store has no space, or this version cannot describe the configuration.
    """
    space = stored_space(store, "the winner's defaults are unknown; restore it")
    winner = find_winner(store, cell)
    with readable(store.uri):
        content = _content(space, winner, cell)
        described = only_configuration(make_space(content, source=cell))
    if described.id != winner.configuration.id:
        raise StoreError(
            f"{cell}: configuration {winner.configuration.id} does not come from the space in {store.uri}; "
            "restore the space.yaml with which it was trained"
        )
    return write_yaml(content)


def _content(space: SearchSpace, winner: Winner, cell: str) -> dict[str, Any]:
    """The space of `winner` as its YAML holds it."""
    raw = space.model_dump(mode="json", exclude_none=True)
    configuration = winner.configuration.located(space.dataset, space.content)
    chosen = configuration.model_dump(mode="json", exclude_none=True)
    dense = winner.configuration.method == "dense"
    own = () if dense else ("method", "distribution", "sparsity")
    described = space.regimes.get(winner.regime)
    objective = {"objective": described.objective} if described and described.objective else {}
    kept = ("training", "confirm", "sampler", "objective", "evaluation", "resources", "seed")
    return {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", f"{space.name}-{cell}"),
        "dataset": chosen["dataset"],
        "model": chosen["model"],
        "regimes": {winner.regime: chosen["regime"] | objective},
        "regime": winner.regime,
        **{name: chosen[name] for name in own if name in chosen},
        "init": chosen["init"],
        "split": raw["split"] | ({"seed": chosen["split"]["seed"]} if SPLIT in space.factors else {}),
        **({} if dense else {"layers": chosen["layers"], "ratios": chosen["ratios"]}),
        "search": {axis: {"choice": [value]} for axis, value in _tuned(raw, chosen).items()},
        "baseline": "dense" if dense else None,
        **{name: raw[name] for name in kept},
        **{name: value for name, value in _identity(configuration).items() if value},
    }


def _identity(configuration: Configuration) -> dict[str, Any]:
    """Content of the data and digests of the code."""
    content = configuration.content or named_content(configuration.dataset)
    return {"content": content, "code": configuration.code}


def _tuned(space: Row, chosen: Row) -> dict[str, Any]:
    """Training and hyperparameters in which a configuration differs from the defaults, by axis."""
    changed = {
        name: value for name, value in chosen["training"].items() if value != space["training"].get(name)
    }
    parts = {"training": changed, "method": chosen["hyperparameters"]}
    return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}


def network(store: Store, cell: str, checkpoint: str = "final") -> bytes:
    """The confirmed network of a cell's winner, of the seed that is best on validation, as safetensors.

    Args:
        store: Where to read.
        cell: Name of a cell.
        checkpoint: ``final``, as it was at the end, or ``best``, as it was at its best validation objective.

    Returns:
        A safetensors file with the model's state by the names of its state dict, a boolean ``NAME_mask``
        for every prunable weight, and a header whose entry ``hsl`` is JSON: trial_id, seed,
        configuration_id, configuration, cell, regime, checkpoint, epoch, metrics, provenance, and of the final
        network layer_densities.

    Raises:
        NothingMatchedError: If the winner is not confirmed, or this network of it is not in the store.
        StoreError: If the network is damaged or cannot be read.
    """
    from safetensors import SafetensorError  # noqa: PLC0415  only this function needs it
    from safetensors.numpy import load, save  # noqa: PLC0415

    winner = find_winner(store, cell)
    if not winner.trials:
        raise NothingMatchedError(
            f"{cell}: the winner is not confirmed, so no network was kept; run the sweep with confirm.seeds above 0"
        )
    row = winner.trials[0]
    where = f"{CHECKPOINTS}/{row['trial_id']}{NETWORK_SUFFIX}"
    try:
        tensors = load(store.read_file(where).to_pybytes())
    except FileNotFoundError as error:
        raise NothingMatchedError(
            f"the store has no {where}, the confirmed network; copy it into the store, "
            "or train it again: hsl export without -o, then hsl train"
        ) from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreError(f"{store.uri}/{where} is damaged: {error}; train it again with hsl train") from error
    weights = {
        unescaped(name.removeprefix(_WEIGHTS[checkpoint])): tensor
        for name, tensor in tensors.items()
        if name.startswith(_WEIGHTS[checkpoint])
    }
    if not weights:
        raise NothingMatchedError(
            f"{store.uri}/{where} has no {checkpoint} network; a sweep keeps the best one where the section "
            "evaluation of its space lists it under checkpoints. Take the final one"
        )
    return bytes(save(weights, metadata={"hsl": json.dumps(_header(row, checkpoint), sort_keys=True)}))


def _header(row: Row, checkpoint: str) -> dict[str, Any]:
    is_best = checkpoint == "best"
    names = ("trial_id", "seed", "configuration_id", "cell", "regime", "sparsity", "realised_sparsity")
    documents = ("configuration", "provenance", *(() if is_best else ("layer_densities",)))
    return {
        **{name: row[name] for name in names},
        "checkpoint": checkpoint,
        "epoch": row["best_epoch" if is_best else "epochs"],
        "metrics": {
            name.removeprefix("best_"): value
            for name, value in row.items()
            if name.endswith("_accuracy") and value is not None and name.startswith("best_") is is_best
        },
        **{name: document(row, "trials", name) for name in documents},
    }


def export(uri: str, cell: str, folder: str | Path, checkpoint: str = "final") -> tuple[Path, Path]:
    """Write the winner of a cell as ``space.yaml`` and ``network.safetensors``.

    Args:
        uri: The store's path or URI.
        cell: Name of a cell.
        folder: Folder of both files, which are returned; nothing in it is replaced.
        checkpoint: ``final`` or ``best``, as of `network`.

    Raises:
        NothingMatchedError: If there is no winner, or no confirmed network. Nothing is written then.
        StoreError: If a file exists, or the store or the folder cannot be used.
    """
    store = Store(uri)
    space, file = Path(folder) / "space.yaml", Path(folder) / "network.safetensors"
    if existing := [str(path) for path in (space, file) if path.exists()]:
        raise StoreError(f"{', '.join(existing)} exists and is not replaced; choose another folder")
    text, content = pinned_space(store, cell), network(store, cell, checkpoint)
    with reported(str(folder)):
        place(str(space), text.encode())
        place(str(file), content)
    return space, file

"""A winner to take away: the same configuration again, and the network that was confirmed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
import yaml
from safetensors.torch import load_file

from hsl.driver.events import Ended
from hsl.driver.ledger import trial_row
from hsl.errors import NothingMatchedError, StoreError
from hsl.planning.job import Identity, Inputs, Job
from hsl.planning.plan import make_plan, parent_of
from hsl.space.axes import configuration
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace
from hsl.space.stored import space_text
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.training import checkpoint
from hsl.training.configuration import Configuration
from hsl.trial.alone import only_configuration
from hsl.winner import export, pinned_space

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 3, "lr": 0.05},
    "regimes": {"clean": {}, "pgd": {"attack": {"name": "pgd", "norm": "linf", "eps": "16/255", "steps": 2}}},
    "factors": {"regime": ["clean", "pgd"], "sparsity": [0.5, 0.9]},
    "search": {
        "method": {"choice": ["rigl", "omp", "gmp"]},
        "distribution": {"choice": ["uniform", "erk", "global"]},
        "training.lr": {"loguniform": [0.01, 0.1]},
        "method.drop_fraction": {"uniform": [0.1, 0.5]},
    },
}

CHOSEN: dict[str, dict[str, Any]] = {
    "pgd/0.9": {"method": "rigl", "distribution": "erk", "method.drop_fraction": 0.42, "training.lr": 0.0123},
    "clean/0.5": {"method": "omp", "distribution": "global", "training.lr": 0.05},
    "clean/0.9": {"method": "gmp", "distribution": "uniform"},
    "pgd/dense": {"training.lr": 0.02},
}


def made(space: SearchSpace, name: str) -> Configuration:
    (cell,) = (cell for cell in make_plan(space).cells if cell.name == name)
    return configuration(space, {**cell.levels, **CHOSEN[name]})


def row(space: SearchSpace, name: str, stage: Any, seed: int, objective: float) -> dict[str, Any]:
    chosen = made(space, name)
    own = Identity(
        trial_id=chosen.trial_id(seed),
        configuration=chosen,
        seed=seed,
        cell=name,
        regime=name.partition("/")[0],
        stage=stage,
        parameters=CHOSEN[name],
    )
    job = Job(identity=own, inputs=Inputs(checkpoint="unused"))
    values = {"objective": objective, "test_clean_accuracy": 0.7, "layer_densities": {"1": 0.5}}
    numbers = {"sequence": seed, "exempt": False, "attempts": 1}
    return trial_row(job, Ended(Status.COMPLETED, summary=values)) | numbers


def network_of(seed: int) -> dict[str, torch.Tensor]:
    mask = torch.arange(8).reshape(2, 4) % 2 == 0
    return {"1.weight": torch.full((2, 4), float(seed)) * mask, "1.weight_mask": mask}


def swept(path: Path, space: SearchSpace, seeds: int = 3) -> Store:
    """A store in which every cell has a winner, which is confirmed; the second seed is best on validation."""
    store = Store(path)
    store.write_space(space_text(space))
    for cell in make_plan(space).cells:
        if cell.name not in CHOSEN:
            continue
        levels = {"levels": cell.levels, "baseline": cell.baseline, "configurations": 1}
        store.append("cells", [{"cell": cell.name, "regime": cell.levels["regime"], **levels}])
        store.append("trials", [row(space, cell.name, "search", 0, 0.8)])
        for seed in range(1, 1 + seeds):
            confirmed = row(space, cell.name, "confirm", seed, 0.9 if seed == 2 else 0.5)
            store.append("trials", [confirmed])
            state = {"trainer": {"model": network_of(seed), "optimizer": {"0": network_of(9)}, "step": 3}}
            checkpoint.write(f"{path}/checkpoints/{confirmed['trial_id']}.safetensors", state)
    return store


@pytest.mark.parametrize("layers", [{}, {"first_dense": True, "ties": "index"}])
@pytest.mark.parametrize("cell", CHOSEN)
def test_the_space_describes_the_winner_alone(cell: str, layers: dict[str, Any], tmp_path: Path) -> None:
    space = make_space({**SPACE, "layers": layers})
    text = pinned_space(swept(tmp_path, space), cell)
    again = make_space(yaml.safe_load(text))
    wanted = made(space, cell)
    assert only_configuration(again).id == wanted.id
    plan = make_plan(again)
    assert plan.search_trials == 1  # a sweep tries it and nothing else
    assert parent_of(wanted, again) == parent_of(wanted, space)  # and starts from the same parent


def test_the_network_is_the_confirmed_one_that_is_best_on_validation(tmp_path: Path) -> None:
    space = make_space(SPACE)
    swept(tmp_path / "store", space)
    text, file = export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out")
    tensors, expected = load_file(file), network_of(2)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    with safetensors.safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["hsl"])
    assert header["trial_id"] == made(space, "pgd/0.9").trial_id(2)
    assert header["metrics"] == {"test_clean_accuracy": 0.7}
    assert header["layer_densities"] == {"1": 0.5}
    assert text.read_text() == pinned_space(Store(tmp_path / "store"), "pgd/0.9")


def test_the_network_of_the_best_epoch_may_be_taken(tmp_path: Path) -> None:
    space = make_space(SPACE)
    store = swept(tmp_path / "store", space)
    with pytest.raises(NothingMatchedError, match="has no best network"):
        export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out", "best")
    confirmed = row(space, "pgd/0.9", "confirm", 2, 0.9)
    of_best = {"best_epoch": 2, "best_test_clean_accuracy": 0.75}
    store.append("trials", [{**confirmed, **of_best, "sequence": 99}])
    best = {"epoch": 2, "value": 0.95, "network": network_of(7)}
    state = {"trainer": {"model": network_of(2), "best": best}}
    checkpoint.write(f"{tmp_path}/store/checkpoints/{confirmed['trial_id']}.safetensors", state)
    _, file = export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out", "best")
    tensors, expected = load_file(file), network_of(7)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    with safetensors.safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["hsl"])
    assert (header["checkpoint"], header["epoch"]) == ("best", 2)
    assert header["metrics"] == {"test_clean_accuracy": 0.75}
    assert "layer_densities" not in header


def test_nothing_is_replaced(tmp_path: Path) -> None:
    swept(tmp_path / "store", make_space(SPACE))
    export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out")
    with pytest.raises(StoreError, match="not replaced"):
        export(str(tmp_path / "store"), "clean/0.5", tmp_path / "out")


def test_an_unconfirmed_winner_has_a_space_and_no_network(tmp_path: Path) -> None:
    store = swept(tmp_path / "store", make_space(SPACE), seeds=0)
    assert "rigl" in pinned_space(store, "pgd/0.9")
    with pytest.raises(NothingMatchedError, match="not confirmed"):
        export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_lost_or_damaged_network_is_refused(tmp_path: Path) -> None:
    swept(tmp_path / "store", make_space(SPACE))
    (best,) = (tmp_path / "store" / "checkpoints").glob(f"{made(make_space(SPACE), 'pgd/0.9').trial_id(2)}*")
    best.write_bytes(best.read_bytes()[:50])
    with pytest.raises(StoreError, match="damaged"):
        export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out")
    best.unlink()
    with pytest.raises(NothingMatchedError, match="the store has no checkpoints/"):
        export(str(tmp_path / "store"), "pgd/0.9", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cells_without_winner_are_refused(tmp_path: Path) -> None:
    store = swept(tmp_path, make_space(SPACE))
    levels = {"levels": {}, "baseline": False, "configurations": 1}
    store.append("cells", [{"cell": "empty", "regime": "clean", **levels}])
    with pytest.raises(NothingMatchedError, match="'empty' has no winner"):
        pinned_space(store, "empty")
    with pytest.raises(NothingMatchedError, match=r"did you mean 'pgd/0.9'"):
        pinned_space(store, "pgd/0.99")


def test_a_space_that_did_not_make_the_winner_is_refused(tmp_path: Path) -> None:
    store = swept(tmp_path, make_space(SPACE))
    store.write_space(space_text(make_space(SPACE | {"split": {"validation": 0.3}})))
    with pytest.raises(StoreError, match="does not come from the space"):
        pinned_space(store, "pgd/0.9")

"""Compiled training: close to the plain one, masks obeyed as they move, and refused where it is impossible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_small import everything, small, train, trainer_of, with_method

from hsl.errors import HslError, SpaceError
from hsl.planning.plan import make_plan
from hsl.prepare.preflight import preflight
from hsl.space.load import make_space
from hsl.training import compiled as compiled_module
from hsl.training.build import build_trainer
from hsl.training.compiled import check_compiled, missing_tools
from hsl.training.configuration import Training

ATTACK: dict[str, Any] = {"attack": {"eps": "8/255", "step": "4/255", "steps": 2, "eval_steps": 2}}


def test_both_are_off_and_change_no_identity() -> None:
    assert (Training().compile, Training().cuda_graphs) == (False, False)
    assert small().id == small({"compile": False, "cuda_graphs": False}).id
    assert len({small().id, small({"compile": True}).id, small({"cuda_graphs": True}).id}) == 3


def test_graphs_are_refused_without_a_gpu_before_anything_is_read() -> None:
    configuration = small({"cuda_graphs": True}).model_copy(update={"dataset": "imagefolder:/nowhere"})
    with pytest.raises(HslError, match=r"cuda_graphs needs an NVIDIA GPU, the device is cpu; leave it out"):
        build_trainer(configuration, 0)


def test_all_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiled_module.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(HslError) as refused:
        check_compiled(Training(compile=True, cuda_graphs=True), "cpu")
    for part in (
        "cuda_graphs needs an NVIDIA GPU",
        "a C++ compiler",
        "the headers of Python",
        "leave it out",
    ):
        assert part in str(refused.value)
    check_compiled(Training(), "cpu")


def test_a_sweep_on_cpus_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raw = {"name": "x", "dataset": "digits", "model": "mlp", "method": "static", "sparsity": 0.5}
    plan = make_plan(make_space({**raw, "training": {"compile": True}}))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SpaceError, match=r"training: training\.compile needs a C\+\+ compiler"):
        preflight(plan)


def test_a_compiler_of_ones_own_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "mine"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "a C++ compiler (g++)" in missing_tools("cpu")
    monkeypatch.setenv("CXX", "mine")
    assert "a C++ compiler (g++)" not in missing_tools("cpu")


needs_a_compiler = pytest.mark.skipif(bool(missing_tools("cpu")), reason="torch.compile has no compiler here")


@pytest.mark.slow
@needs_a_compiler
@pytest.mark.parametrize(
    ("method", "model", "regime"),
    [("rigl", "mlp", {}), ("gmp", "lenet", {}), ("topkast", "mlp", {}), ("static", "mlp", ATTACK)],
)
def test_a_compiled_training_is_close_to_a_plain_one(
    method: str, model: str, regime: dict[str, Any], tmp_path: Path
) -> None:
    """Masks that move in between are obeyed by code that was compiled before."""
    plain, fast = (
        train(
            trainer_of(
                with_method(
                    method, model={"name": model}, regime=regime, training={"lr": 0.02, "compile": compile}
                ),
                tmp_path,
            )
        )
        for compile in (False, True)
    )
    assert fast._forward is not fast.model
    expected, found = plain.model.state_dict(), fast.model.state_dict()
    assert list(found) == list(expected)
    for name, value in found.items():
        if name.endswith("weight_mask"):
            weight = found[name.removesuffix("_mask")]
            assert int(value.sum()) == int(expected[name].sum())
            assert weight[~value].count_nonzero() == 0
    assert [row["sparsity"] for row in fast.history] == [row["sparsity"] for row in plain.history]
    for ours, theirs in zip(fast.history, plain.history, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.02)


@pytest.mark.slow
@needs_a_compiler
def test_a_compiled_training_continues_bit_for_bit(tmp_path: Path) -> None:
    configuration = with_method("rigl", training={"compile": True})
    whole = train(trainer_of(configuration, tmp_path))
    begun = train(trainer_of(configuration, tmp_path), 2)
    state = begun.state_dict()
    continued = trainer_of(configuration, tmp_path)
    continued.load_state_dict(state)
    assert everything(train(continued)) == everything(whole)


@pytest.mark.slow
def test_the_path_of_cuda_graphs_runs_up_to_the_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU the backend traces forward and backward pass, and runs them as they are."""
    monkeypatch.setattr("hsl.training.build.check_compiled", lambda *_: None)
    plain, traced = (
        train(trainer_of(with_method("rigl", training={"cuda_graphs": graphs}), tmp_path))
        for graphs in (False, True)
    )
    for name, value in plain.model.state_dict().items():
        assert torch.allclose(value.float(), traced.model.state_dict()[name].float(), atol=1e-4), name

"""Checkpoints come back as they were, never half-written, and never through pickle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from hsl.errors import StoreError
from hsl.training import checkpoint
from hsl.training.checkpoint import from_bytes, read, to_bytes, write

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
KEYS = st.text(max_size=4).filter(lambda key: key != checkpoint.JSON_ENTRY)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    tensor = torch.randint(0, 100, shape).to(draw(st.sampled_from(DTYPES)))
    return tensor.transpose(0, -1) if len(shape) > 1 and draw(st.booleans()) else tensor


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
)
STATES = st.dictionaries(
    KEYS, st.recursive(tensors() | JSON, lambda inner: st.dictionaries(KEYS, inner, max_size=3)), max_size=4
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@given(STATES)
@settings(max_examples=150, deadline=None)
def test_a_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    assert same(from_bytes(to_bytes(state)), state)


def test_not_a_number_and_infinity_come_back() -> None:
    back = from_bytes(to_bytes({"a": float("nan"), "b": [float("inf")]}))
    assert back["a"] != back["a"]
    assert back["b"] == [float("inf")]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_refused(data: st.DataObject) -> None:
    whole = to_bytes({"weights": torch.rand(5, 3), "step": 7})
    with pytest.raises(StoreError, match="the checkpoint is damaged"):
        from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(StoreError, match="the checkpoint is damaged"):
        from_bytes(content)


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": torch.ones(2)},
        {checkpoint.JSON_ENTRY: torch.ones(2)},
        {checkpoint.JSON_ENTRY: torch.tensor(list(b"[1]"), dtype=torch.uint8)},
        {checkpoint.JSON_ENTRY: torch.tensor(list(b'{"a": 1}'), dtype=torch.uint8), "a/b": torch.ones(1)},
    ],
)
def test_a_safetensors_file_of_somebody_else_is_refused(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(StoreError, match="the checkpoint is damaged"):
        from_bytes(save(tensors))


def test_a_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    content = f"cpathlib\nPath.touch\n(cpathlib\nPath\n(V{marker}\ntRtR.".encode()
    with pytest.raises(StoreError):
        from_bytes(content)
    assert not marker.exists()


def test_reading_and_writing_need_no_pickle(tmp_path: Path) -> None:
    code = f"""
import pickle, torch
from hsl.training import checkpoint
def refuse(*_, **__):
    raise SystemExit("pickle was used")
pickle.load = pickle.loads = pickle.dump = pickle.dumps = pickle.Unpickler = pickle.Pickler = refuse
torch.load = torch.save = refuse
checkpoint.write({str(tmp_path / "a.safetensors")!r}, {{"w": torch.ones(3), "n": [1]}})
assert checkpoint.read({str(tmp_path / "a.safetensors")!r})["n"] == [1]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_is_written_read_and_replaced(tmp_path: Path) -> None:
    uri = str(tmp_path / "new" / "folder" / "a.safetensors")
    assert read(uri) is None
    write(uri, {"n": 1})
    write(uri, {"n": 2})
    assert read(uri) == {"n": 2}
    assert [file.name for file in Path(uri).parent.iterdir()] == ["a.safetensors"]


def test_a_relative_path_and_a_uri_name_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.safetensors", {"n": 1})
    assert read(f"file://{tmp_path}/a.safetensors") == {"n": 1}

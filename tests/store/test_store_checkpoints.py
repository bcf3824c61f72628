"""Checkpoints of trials under way: two generations, of which the newest readable one counts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hsl.store import checkpoints
from hsl.store.checkpoints import PREVIOUS, read_json, remove, remove_previous
from hsl.training import checkpoint


def state(epoch: int) -> dict[str, object]:
    return {"job": {"trial_id": "t"}, "w": {"a/b": torch.full((5,), float(epoch))}, "epoch": epoch}


def write(uri: str, state: dict[str, object]) -> None:
    checkpoints.write(uri, checkpoint.to_bytes(state))


def read(uri: str) -> dict[str, object] | None:
    return checkpoints.read(uri, checkpoint.from_bytes)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "t.safetensors")


def epoch_of(uri: str) -> object:
    found = read(uri)
    return None if found is None else found["epoch"]


def test_the_newest_counts_and_one_is_kept_before_it(uri: str) -> None:
    assert read(uri) is None
    for epoch in (1, 2, 3):
        write(uri, state(epoch))
    assert epoch_of(uri) == 3
    previous = checkpoint.read(uri + PREVIOUS)
    assert previous is not None
    assert previous["epoch"] == 2


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1], ids="{} bytes".format)
def test_the_one_before_is_used_where_the_newest_is_cut_off(
    uri: str, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    for epoch in (1, 2):
        write(uri, state(epoch))
    content = Path(uri).read_bytes()
    Path(uri).write_bytes(content[:kept])
    with caplog.at_level(logging.WARNING):
        assert epoch_of(uri) == 1
        found = read_json(uri)
    assert found is not None
    assert found["epoch"] == 1
    assert caplog.text.count("damaged") == 2


def test_work_is_lost_but_no_trial_where_no_generation_is_readable(uri: str) -> None:
    for epoch in (1, 2):
        write(uri, state(epoch))
    Path(uri).write_bytes(b"")
    Path(uri + PREVIOUS).write_bytes(b"nonsense")
    assert read(uri) is None
    assert read_json(uri) is None
    write(uri, state(3))
    assert epoch_of(uri) == 3


def test_a_write_that_fails_leaves_the_one_before(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(uri, state(1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "place_on", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            write(uri, state(2))
    assert epoch_of(uri) == 1
    write(uri, state(2))
    assert epoch_of(uri) == 2


def test_what_is_no_tensor_is_read_as_the_library_reads_it(uri: str) -> None:
    write(uri, state(1))
    found = read_json(uri)
    with safe_open(uri, framework="pt") as file:
        text = file.get_tensor(checkpoint.JSON_ENTRY).numpy().tobytes().decode()
    assert found is not None
    assert found == checkpoint.json.loads(text)
    assert found["job"] == {"trial_id": "t"}


def test_nothing_is_left_of_what_is_removed(uri: str, tmp_path: Path) -> None:
    for epoch in (1, 2):
        write(uri, state(epoch))
    remove_previous(uri)
    assert epoch_of(uri) == 2
    remove(uri)
    assert list(tmp_path.iterdir()) == []

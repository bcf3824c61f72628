"""Checkpoints of trials under way: two generations, of which the newest readable one counts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hsl.training import checkpoint, generations


def state(epoch: int) -> dict[str, object]:
    return {"job": {"trial_id": "t"}, "w": {"a/b": torch.full((5,), float(epoch))}, "epoch": epoch}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "t.safetensors")


def epoch_of(uri: str) -> int | None:
    found = generations.read(uri)
    return None if found is None else found["epoch"]


def test_the_newest_counts_and_one_is_kept_before_it(uri: str) -> None:
    assert generations.read(uri) is None
    for epoch in (1, 2, 3):
        generations.write(uri, state(epoch))
    assert epoch_of(uri) == 3
    previous = checkpoint.read(uri + generations.PREVIOUS)
    assert previous is not None
    assert previous["epoch"] == 2


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1], ids="{} bytes".format)
def test_the_one_before_is_used_where_the_newest_is_cut_off(
    uri: str, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    for epoch in (1, 2):
        generations.write(uri, state(epoch))
    content = Path(uri).read_bytes()
    Path(uri).write_bytes(content[:kept])
    with caplog.at_level(logging.WARNING):
        assert epoch_of(uri) == 1
        found = generations.read_json(uri)
    assert found is not None
    assert found["epoch"] == 1
    assert caplog.text.count("damaged") == 2


def test_work_is_lost_but_no_trial_where_no_generation_is_readable(uri: str) -> None:
    for epoch in (1, 2):
        generations.write(uri, state(epoch))
    Path(uri).write_bytes(b"")
    Path(uri + generations.PREVIOUS).write_bytes(b"nonsense")
    assert generations.read(uri) is None
    assert generations.read_json(uri) is None
    generations.write(uri, state(3))
    assert epoch_of(uri) == 3


def test_a_write_that_fails_leaves_the_one_before(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generations.write(uri, state(1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "place", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            generations.write(uri, state(2))
    assert epoch_of(uri) == 1
    generations.write(uri, state(2))
    assert epoch_of(uri) == 2


def test_what_is_no_tensor_is_read_as_the_library_reads_it(uri: str) -> None:
    generations.write(uri, state(1))
    found = generations.read_json(uri)
    with safe_open(uri, framework="pt") as file:
        text = file.get_tensor(checkpoint.JSON_ENTRY).numpy().tobytes().decode()
    assert found is not None
    assert found == checkpoint.json.loads(text)
    assert found["job"] == {"trial_id": "t"}


def test_nothing_is_left_of_what_is_removed(uri: str, tmp_path: Path) -> None:
    for epoch in (1, 2):
        generations.write(uri, state(epoch))
    generations.remove_previous(uri)
    assert epoch_of(uri) == 2
    generations.remove(uri)
    assert list(tmp_path.iterdir()) == []

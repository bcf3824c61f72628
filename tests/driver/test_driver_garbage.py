"""Which checkpoints are of use, and that the others go."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from hsl.driver.garbage import collect_garbage, garbage
from hsl.store.layout import Library
from hsl.store.store import Store

ENDED = [
    {"trial_id": "stopped-0", "stage": "search"},
    {"trial_id": "completed-0", "stage": "search"},
    {"trial_id": "confirmed-1", "stage": "confirm"},
]
USEFUL = {
    "running-0.safetensors",
    "running-0.safetensors.previous",
    "confirmed-1.safetensors",
    "notes.txt",
}
USELESS = {
    "stopped-0.safetensors",
    "completed-0.safetensors",
    "completed-0.safetensors.previous",
    "confirmed-1.safetensors.previous",
    "running-0.safetensors.0123abcd.part",
    ".tmp-0123abcd.safetensors",
}


def test_only_trials_under_way_and_confirmed_networks_are_of_use() -> None:
    assert set(garbage(USEFUL | USELESS, ENDED)) == USELESS
    assert list(garbage(USEFUL, [])) == []


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in USEFUL | USELESS:
        (folder / name).touch()
    store = Store(tmp_path)
    monkeypatch.setattr(store, "read", lambda *_: pa.Table.from_pylist(ENDED))
    return store


def test_it_is_deleted(store: Store, tmp_path: Path) -> None:
    collect_garbage(store, Library(str(tmp_path)))
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == USEFUL


def test_what_cannot_be_deleted_ends_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreachable(fs.LocalFileSystem):
        def delete_file(self, path: str) -> None:
            raise OSError("unreachable")

    opened = (Unreachable(), str(tmp_path))
    monkeypatch.setattr("hsl.driver.garbage.open_filesystem", lambda uri: opened)
    with caplog.at_level(logging.WARNING):
        collect_garbage(store, Library(str(tmp_path)))
    assert "cannot be tidied up: unreachable" in caplog.text

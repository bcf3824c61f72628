"""What a sweep says of its data when it binds a space to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsl.prepare.binding import bind
from hsl.space.load import make_space
from hsl.store.store import Store


def test_what_is_left_out_of_the_data_is_said_at_every_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "data" / name)
    (tmp_path / "data" / "a" / ".x.png").write_bytes(b"")
    space = make_space({"name": "t", "dataset": f"imagefolder:{tmp_path / 'data'}", "model": "mlp"})
    first, second, third = (bind(space, Store(tmp_path / "store")).warnings for _ in range(3))
    (said,) = [record.getMessage() for record in caplog.records]
    assert "left out: 1 file hidden or beginning with an underscore" in said
    assert (first, second, third) == ((), (said,), (said,)), "at the first start the reader says it"

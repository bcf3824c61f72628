"""Channels without any spread are found, and not perturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hsl.errors import SpaceError
from hsl.planning.plan import make_plan
from hsl.prepare.selections import of_plan, try_selections
from hsl.space.load import make_space
from hsl.store.layout import Library
from hsl.training.data import channels
from hsl.training.data.channels import constant_channels


@given(
    st.lists(st.sampled_from(["same", "by image", "one pixel"]), min_size=1, max_size=4), st.integers(2, 7)
)
def test_constant_channels_are_those_with_one_value(kinds: list[str], count: int) -> None:
    images = np.full((count + 1, len(kinds), 2, 3), 7, np.uint8)
    for channel, kind in enumerate(kinds):
        images[:count, channel] += {"by image": np.arange(count, dtype=np.uint8)[:, None, None]}.get(
            kind, np.uint8(0)
        )
        images[count - 1, channel, 1, 2] += kind == "one pixel"
    images[count] = 200  # no image of those that count
    expected = [c for c in range(len(kinds)) if len(np.unique(images[:count, c])) == 1]
    old, channels.CHUNK = channels.CHUNK, 2
    try:
        assert constant_channels(images, np.arange(count)) == expected
    finally:
        channels.CHUNK = old


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"regimes": {"noisy": {"corruption": {"name": "gaussian_noise", "severity": 1}}}}, "regimes.noisy"),
        ({"regimes": {"pgd": {"attack": {}}}}, "regimes.pgd"),
        ({"evaluation": {"corruptions": ["gaussian_noise"]}}, "evaluation"),
        ({"regimes": {"wrong": {"label_noise": {"rate": 0.2}}}}, None),
        ({}, None),
    ],
)
def test_a_channel_without_spread_is_not_perturbed(
    asked: dict[str, Any], place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    for number in range(24):
        folder = tmp_path / "data" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        pixels[..., 2] = 0
        Image.fromarray(pixels).save(folder / f"{number}.png")
    space = make_space({"name": "t", "dataset": f"imagefolder:{tmp_path / 'data'}", "model": "mlp", **asked})
    examples = of_plan(make_plan(space))
    if place is None:
        assert try_selections(space, examples, Library(str(tmp_path)), 0) == []
        return
    with pytest.raises(SpaceError, match="channel 2 is the same in all pixels") as caught:
        try_selections(space, examples, Library(str(tmp_path)), 0)
    assert [problem.where for problem in caught.value.problems] == [place]

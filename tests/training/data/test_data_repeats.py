"""Images that are there more than once: found as a slow comparison of every pair finds them, and said."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hsl.planning.plan import make_plan
from hsl.prepare.selections import of_plan, try_selections
from hsl.space.load import make_space
from hsl.store.layout import Library
from hsl.training.data.contents.content import Content
from hsl.training.data.contents.repeats import repeated

SAMPLES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.sampled_from(["train", "val", "test"])),
    min_size=1,
    max_size=30,
)


@given(SAMPLES)
def test_as_many_are_found_as_by_comparing_every_pair(samples: list[tuple[int, int, str]]) -> None:
    pixels, labels = np.array([s[0] for s in samples], np.uint64), np.array([s[1] for s in samples])
    parts = {name: [i for i, s in enumerate(samples) if s[2] == name] for name in ("train", "val", "test")}
    ids = [np.array(part, np.int64) for part in parts.values()]
    content = Content((1, 1, 1), (), pixels, labels, np.zeros(len(samples), bool))
    expected = []
    for name, shown in (("val", "validation"), ("test", "test")):
        known = sum(any(samples[i][0] == samples[j][0] for j in parts["train"]) for i in parts[name])
        expected += [f"{known} of {len(parts[name])} {shown} samples are"] if known else []
    unlike = {a[0] for a, b in combinations(samples, 2) if a[0] == b[0] and a[1] != b[1]}
    expected += [f"{len(unlike)} different images"] if unlike else []
    found = list(repeated(content, *ids))
    assert [text.startswith(start) for text, start in zip(found, expected, strict=True)] == [True] * len(
        found
    )


def test_copies_of_images_are_said_before_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    for label in range(2):
        (tmp_path / "data" / str(label)).mkdir(parents=True)
        for number in range(20):
            pixels = np.random.default_rng([label, number]).integers(0, 256, (8, 8), dtype=np.uint8)
            for name in ("{}.png", "copy of {}.png")[: 1 + (number < 10)]:
                Image.fromarray(pixels).save(tmp_path / "data" / str(label) / name.format(number))
    space = make_space({"name": "t", "dataset": f"imagefolder:{tmp_path / 'data'}", "model": "mlp"})
    said = try_selections(space, of_plan(make_plan(space)), Library(str(tmp_path)), 0)
    assert [text.partition(" samples are, to the byte")[0].partition(" of ")[2] for text in said] == [
        "8 validation",
        "12 test",
    ]

"""Which samples are correct, as text: what was packed comes back, and what is damaged is refused."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results_rows import filled, trial_row

from hsl.errors import StoreError
from hsl.store.packed import packed, unpacked
from hsl.store.store import Store

OUTCOMES = st.dictionaries(st.integers(0, 3000), st.booleans(), min_size=1)


@given(outcomes=OUTCOMES)
@settings(max_examples=40, deadline=None)
def test_what_is_packed_comes_back(outcomes: dict[int, bool]) -> None:
    ids, correct = np.array([*outcomes]), np.array([*outcomes.values()])
    found = unpacked(packed(ids, correct))
    assert dict(zip(*(part.tolist() for part in found), strict=True)) == outcomes
    assert found[0].tolist() == sorted(outcomes)


def test_ten_thousand_samples_take_little_more_than_their_entropy() -> None:
    rng = np.random.default_rng(0)
    text = packed(np.arange(50_000, 60_000), rng.random(10_000) < 0.9)
    assert len(text) < 1.5 * 4 / 3 * 10_000 * 0.469 / 8, "bits of entropy, in base64"


@given(outcomes=OUTCOMES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_changed_character_is_noticed(outcomes: dict[int, bool], data: st.DataObject) -> None:
    text = packed(np.array([*outcomes]), np.array([*outcomes.values()]))
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("Aaz9+/=? ").filter(lambda c: c != text[place]))
    changed = f"{text[:place]}{other}{text[place + 1 :]}"
    try:
        found = unpacked(changed)
    except StoreError:
        return
    expected = unpacked(text)  # the last character has bits that mean nothing
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "content", [b"abc", b"\x00\x01", zlib.compress(bytes(2**12 + 2)), zlib.compress(b"ab")[:-5]]
)
def test_what_is_no_list_of_samples_is_refused(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsl.store.packed.MOST_BYTES", 2**12)
    text = base64.b64encode(content if content[:1] == b"x" else zlib.compress(content)).decode()
    with pytest.raises(StoreError, match="predictions of samples cannot be read"):
        unpacked(text)


def test_a_flipped_bit_in_a_table_is_no_other_number(tmp_path) -> None:
    """Without checksums of pages a flipped bit passed in a third of all cases."""
    store = filled(tmp_path, [trial_row(seed=seed) for seed in range(30)])
    (file,) = (tmp_path / "trials").iterdir()
    content, expected = file.read_bytes(), store.read("trials")
    for place in np.random.default_rng(0).integers(4, len(content), 15):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(place) % 8
        file.write_bytes(damaged)
        found = _readable(store)
        assert found is None or not len(found) or found.equals(expected)


def _readable(store: Store):
    try:
        return store.read("trials")
    except StoreError:
        return None

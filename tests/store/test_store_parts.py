"""Rows of one key: found as a set of tuples would find them, whatever the keys are."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from results_rows import epoch_row

from hsl.store.parts import newest
from hsl.store.rows import to_arrow

EPOCHS = st.one_of(st.integers(0, 3), st.sampled_from([-(2**63), -1, 2**40, 2**63 - 1]))
TRIALS = st.sampled_from(["a", "b", "", "ab", "ä"])


def naive(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each key the row that comes last in the order of arrival."""
    ordered = sorted(rows, key=lambda row: row["sequence"])
    last = {(row["trial_id"], row["epoch"]): row for row in ordered}
    return [row for row in ordered if last[row["trial_id"], row["epoch"]] is row]


@given(keys=st.lists(st.tuples(TRIALS, EPOCHS, st.integers(0, 5)), max_size=12), cut=st.integers(0, 12))
@settings(max_examples=200, deadline=None)
def test_the_newest_row_of_every_key_is_kept(keys: list[tuple[str, int, int]], cut: int) -> None:
    rows = [
        epoch_row(trial_id=trial, epoch=epoch, sequence=sequence, lr=float(index))
        for index, (trial, epoch, sequence) in enumerate(keys)
    ]
    parts = [to_arrow("epochs", part) for part in (rows[:cut], rows[cut:])]
    found = newest("epochs", parts, ["lr"])
    assert found["lr"].to_pylist() == [row["lr"] for row in naive(rows)]
    assert isinstance(found, pa.Table)

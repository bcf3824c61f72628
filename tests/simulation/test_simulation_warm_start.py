"""Cells that begin from their neighbours, by the space that a store holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsl.errors import StoreError
from hsl.simulation.warm_start import sources
from hsl.space.load import make_space
from hsl.space.stored import space_text
from hsl.store.store import Store

SPACE = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "method": "set",
    "factors": {"sparsity": [0.5, 0.8, 0.9]},
}


def test_cells_begin_from_the_next_lower_sparsity(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(space_text(make_space(SPACE)))
    assert sources(store) == {"dense": (), "0.5": (), "0.8": ("0.5",), "0.9": ("0.8",)}


@pytest.mark.parametrize("text", ["[1", "null", "[1, 2]", "name: t\nmethod: gone"])
def test_a_stored_space_that_cannot_be_read_is_told(text: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(text)
    with pytest.raises(StoreError, match="holds a space that this version cannot read"):
        sources(store)


def test_without_a_space_there_are_no_neighbours(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="leave out --warm-start"):
        sources(Store(tmp_path))

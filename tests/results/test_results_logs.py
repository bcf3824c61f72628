"""Logs by the beginning of an id: which one is meant, and what is said where none or several are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hsl.errors import HslError, NothingMatchedError
from hsl.results.logs import read_log
from hsl.store.store import Store


def store_of(folder: Path, *names: str) -> Store:
    store = Store(folder)
    store.write_space("name: t")
    for name in names:
        store.write_file(f"logs/{name}", pa.py_buffer(f"of {name}".encode()))
    return store


def test_a_whole_id_goes_before_longer_ones_and_a_beginning_is_enough(tmp_path: Path) -> None:
    store = store_of(tmp_path, "ab.txt", "abc.txt", "xy.txt", "xyz.log")
    assert read_log(store, "ab") == "of ab.txt"
    assert read_log(store, "abc") == "of abc.txt"
    assert read_log(store, "x") == "of xy.txt", "only .txt is a log"


def test_of_several_the_first_five_are_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, *(f"t{n}.txt" for n in (6, 2, 5, 1, 4, 3)))
    with pytest.raises(HslError) as caught:
        read_log(store, "t")
    assert str(caught.value) == "6 trials begin with 't': t1, t2, t3, t4, t5; give more of the id"
    with pytest.raises(HslError, match="2 trials begin with 'u': u1, u2; give more of the id"):
        read_log(store_of(tmp_path / "other", "u1.txt", "u2.txt"), "u")


def test_where_there_is_none_the_ids_are_a_query_away(tmp_path: Path) -> None:
    with pytest.raises(NothingMatchedError, match=f"no trial 'q' has a log in {tmp_path}.*SELECT trial_id"):
        read_log(store_of(tmp_path, "ab.txt"), "q")


def test_bytes_that_are_no_text_are_shown_all_the_same(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.write_file("logs/a.txt", pa.py_buffer(b"fine \xff end"))
    assert read_log(store, "a") == "fine \N{REPLACEMENT CHARACTER} end"

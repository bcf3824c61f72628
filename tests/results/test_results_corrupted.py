"""Stores of which something else wrote one value: every question is answered, or refused with a reason."""

from __future__ import annotations

import itertools
import shutil
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_stores import ANSWERABLE, answerable_store

from hsl.store.columns import TABLES

DOCUMENTS = (
    "{",
    "",
    "[]",
    "5",
    "null",
    '"x"',
    '{"a": {"b": [1, null]}}',
    '{"a": NaN}',
    "[" * 5000,
    '{"": "x"}',
)

VALUES: dict[str, tuple[Any, ...]] = {
    "json": (None, *DOCUMENTS),
    "string": (None, "", "other", "\x1b[2J'; DROP TABLE trials; --"),
    "int64": (None, -1, 0, 7, 2**63 - 1, -(2**63)),
    "float64": (None, float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 7.0, 1e308),
    "bool": (None, True, False),
    "timestamp": (None, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
}

CORRUPTIONS = [
    (table, column.name, value)
    for table, columns in TABLES.items()
    for column in columns
    for value in VALUES[column.type]
]

QUESTIONS = (
    ("best", "{store}"),
    ("best", "{store}", "--pareto", "accuracy", "flops", "--by", "cell", "--format", "markdown"),
    ("compare", "{store}", "sparsity = 0.9", "baseline"),
    ("claims", "{store}"),
    ("query", "{store}", "SELECT * FROM trials JOIN cells USING (cell)", "--format", "csv"),
    ("show", "{store}", "easy/0.9/set/1/seed1"),
    ("show", "{store}", "easy/0.9"),
    ("export", "{store}", "easy/0.9"),
    ("merge", "{store}", "--into", "{folder}/merged"),
    ("status", "{store}"),
    ("replay", "{store}", "--orders", "1", "--early-stopping", "{{kind: stratified, grace: 2}}"),
    ("plan", "{folder}/space.yaml", "--store", "{store}"),
)
REPORT = ("report", "{store}", "-o", "{folder}/report.html")
"""Takes seconds."""

ANSWERED = {0, 2, 4}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("intact")
    answerable_store(folder / "store")
    (folder / "space.yaml").write_text(ANSWERABLE)
    return folder


def corrupted(intact: Path, folder: Path, table: str, column: str, value: object, place: int) -> Path:
    """A copy of a store in which one value is another one."""
    shutil.copytree(intact, folder, dirs_exist_ok=True)
    (part,) = (folder / "store" / table).glob("*.parquet")
    rows = pq.read_table(part)
    values = rows[column].to_pylist()
    values[place % len(values)] = value
    index = rows.column_names.index(column)
    changed = rows.set_column(index, rows.field(column), pa.array(values, rows.field(column).type))
    pq.write_table(changed, part)
    return folder


def ask(folder: Path, question: tuple[str, ...]) -> int:
    """The exit code of a question; whatever is no error of the user ends the test."""
    names = {"store": folder / "store", "folder": folder}
    return command(*(part.format(**names) for part in question)).returncode


def ask_everything(folder: Path, questions: Iterable[tuple[str, ...]]) -> list[str]:
    """What went wrong."""
    wrong = []
    for question in questions:
        try:
            code = ask(folder, question)
            if code not in ANSWERED:
                wrong.append(f"{question}: exit code {code}")
        except Exception:  # noqa: BLE001 (which is what is looked for)
            wrong.append(f"{question}: {''.join(traceback.format_exc().splitlines(True)[-9:])}")
    return wrong


def test_the_intact_store_answers_everything(intact: Path, tmp_path: Path) -> None:
    shutil.copytree(intact, tmp_path, dirs_exist_ok=True)
    codes = {question: ask(tmp_path, question) for question in QUESTIONS}
    assert set(codes.values()) == {0}, codes


@given(
    corruption=st.sampled_from(CORRUPTIONS),
    place=st.integers(0, 9),
    questions=st.lists(st.sampled_from(QUESTIONS), min_size=2, max_size=2, unique=True),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_foreign_value_is_no_traceback(
    intact: Path,
    tmp_path_factory: pytest.TempPathFactory,
    corruption: tuple[str, str, Any],
    place: int,
    questions: list[tuple[str, ...]],
) -> None:
    folder = corrupted(intact, tmp_path_factory.mktemp("corrupted"), *corruption, place)
    assert not ask_everything(folder, questions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "column"), [(name, column.name) for name in TABLES for column in TABLES[name]]
)
def test_no_foreign_value_is_a_traceback(intact: Path, tmp_path: Path, table: str, column: str) -> None:
    mine = [value for name, other, value in CORRUPTIONS if (name, other) == (table, column)]
    for index, (value, place) in enumerate(zip(mine, itertools.cycle((0, 40)), strict=False)):
        folder = corrupted(intact, tmp_path / str(index), table, column, value, place)
        assert not ask_everything(folder, (*QUESTIONS, REPORT)), (value, place)
        shutil.rmtree(folder)

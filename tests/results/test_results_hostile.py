"""Stores and questions that mean harm or are broken: refused or shown harmlessly, with the right exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import command
from results_rows import cell_row, epoch_row, filled, trial_row

from hsl.store.store import Store

NASTY = [
    "<script>alert(1)</script>",
    "'; DROP TABLE trials; --",
    "\x1b[2J\x1b]0;owned\x07",
    "[bold red]markup[/bold red] [/]",
    "![x](http://example.org/x.png) | `code`",
    "\u202eevil\u2066\r\nnext",
    '"quoted" \\ {braces} %s {0}',
]


def rows_of(name: str) -> list[dict[str, object]]:
    named = {"regime": name, "dataset": name, "model": name, "reason": name}
    return [
        trial_row(
            cell=f"{name}{method}",
            method=method,
            distribution=name,
            stage="confirm",
            seed=seed,
            configuration_id=f"{name}{method}",
            trial_id=f"{name}{method}-{seed}",
            parameters={name: name},
            layer_densities={name: 0.1},
            test_matched_accuracy=0.5 + seed / 100,
            training_flops=0.5,
            **named,
        )
        for method in ("set", "dense")
        for seed in (1, 2, 3)
    ]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("hostile") / "store"
    rows = [row for name in NASTY for row in rows_of(name)]
    cells = [
        cell_row(cell=f"{name}{method}", regime=name, levels={"regime": name}, baseline=method == "dense")
        for name in NASTY
        for method in ("set", "dense")
    ]
    store = filled(folder, rows, cells)
    measured = {"checkpoint": "final", "epoch": 1, "split": "test", "samples": 3, "accuracy": 0.5}
    first = {"trial_id": rows[0]["trial_id"], "cell": rows[0]["cell"]}
    store.append("evaluations", [{**first, **measured, "measure": name, "detail": name} for name in NASTY])
    store.write_space(f"name: {json.dumps(NASTY[0])}\n")
    return store


def answer(*arguments: str) -> str:
    """What a question that can be answered prints."""
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def questions(store: Store, folder: Path) -> list[list[str]]:
    return [
        ["best", store.uri],
        ["best", store.uri, "--pareto", "accuracy", "sparsity"],
        ["compare", store.uri, "method = 'set'", "baseline"],
        ["claims", store.uri],
        ["show", store.uri, f"{NASTY[0]}set"],
        ["show", store.uri, f"{NASTY[0]}set-1"],
        ["query", store.uri, "SELECT * FROM trials"],
        ["query", store.uri, 'SELECT regime AS "<script>\x1b[2J" FROM trials'],
        ["merge", store.uri, "--into", str(folder / "merged")],
    ]


@pytest.mark.parametrize("format", ["table", "markdown", "json", "csv"])
def test_hostile_names_are_shown_harmlessly(hostile: Store, tmp_path: Path, format: str) -> None:
    for arguments in questions(hostile, tmp_path):
        done = command(*arguments, "--format", format)
        out, err = done.stdout, done.stderr
        assert done.returncode == 0, arguments
        assert out
        assert "\x1b" not in err
        if format != "csv":  # which is for programs and has the exact text
            assert not any(bad in out for bad in ("\x1b", "\x07", "\r", "\u202e")) or format == "json"
        if format == "json":
            assert "\x1b" not in out
            json.loads(out)
        if format == "markdown":
            assert "<script>" not in out
            assert "](http" not in out
    assert "[bold red]markup[/bold red]" in answer("best", hostile.uri)
    assert len(hostile.read("trials")) == len(NASTY) * 6


def test_everything_of_a_trial_with_its_evaluations(hostile: Store) -> None:
    out = answer("show", hostile.uri, f"{NASTY[0]}set-1")
    assert f"evaluations.test final {NASTY[0]} {NASTY[0]}" in out
    assert "50.0 % of 3 samples" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["query", "{store}", "DROP TABLE trials"], 2, "one SELECT"),
        (["query", "{store}", "COPY trials TO '{folder}/x.csv'"], 2, "one SELECT"),
        (["query", "{store}", "ATTACH '{folder}/x.db'"], 2, "one SELECT"),
        (["query", "{store}", "INSTALL httpfs"], 2, "one SELECT"),
        (["query", "{store}", "SELECT * FROM read_text('/etc/hostname')"], 2, "disabled"),
        (["query", "{store}", "SELECT getenv('HOME') FROM trials"], 2, "getenv"),
        (["best", "{store}", "--where", "'; DROP TABLE trials; --"], 2, "condition"),
        (["best", "{store}", "--where", "regime = 'none'"], 4, "no completed trial matches"),
        (["best", "{store}", "--by", "regime; DROP TABLE trials"], 2, "unknown column"),
        (["best", "{store}", "--pareto", "accuracy", "1; DROP TABLE trials"], 2, "unknown objective"),
        (["best", "{store}", "--metric", "matched_accuracy FROM trials --"], 2, "unknown metric"),
        (["compare", "{store}", "true", "true"], 2, "match both"),
        (["compare", "{store}", "regime = 'none'", "true"], 4, "no completed trial"),
        (["show", "{store}", "../../etc/passwd"], 4, "neither a trial nor a cell"),
        (["claims", "{folder}/none"], 2, "no result store"),
        (["merge", "{store}", "{folder}/none", "--into", "{folder}/new"], 2, "no result store"),
        (["merge", "{store}", "--into", "{store}"], 2, "itself one of the stores"),
        (["best", "ftp://example.org/store"], 2, "give a local path"),
    ],
)
def test_exit_codes(
    hostile: Store,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    given = [part.replace("{store}", hostile.uri).replace("{folder}", str(tmp_path)) for part in arguments]
    done = command(*given)
    assert done.returncode == code
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def broken(path: Path) -> Store:
    store = filled(
        path, rows_of("clean"), [cell_row(cell="cleanset"), cell_row(cell="cleandense", baseline=True)]
    )
    store.append("epochs", [epoch_row()])
    return store


def part_of(store: Store, table: str) -> Path:
    return next(Path(store.uri, table).glob("*.parquet"))


def test_missing_tables_are_empty(tmp_path: Path) -> None:
    store = broken(tmp_path / "store")
    part_of(store, "epochs").unlink()
    part_of(store, "cells").unlink()
    for question in ("best", "claims"):
        assert answer(question, store.uri)
    assert answer("query", store.uri, "SELECT count(*) AS n FROM epochs", "-f", "csv") == '"n"\n0\n'
    part_of(store, "trials").unlink()
    for question in ("best", "claims"):
        assert command(question, store.uri).returncode == 4


def test_errors_and_warnings_cannot_steer_the_terminal(hostile: Store) -> None:
    for arguments in (["show", hostile.uri, "\x1b[2J"], ["best", hostile.uri, "--where", "\x1b[2J"]):
        done = command(*arguments)
        assert done.returncode in (2, 4)
        assert "\x1b" not in done.stderr


def test_truncated_file_costs_its_rows_and_says_so(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = broken(tmp_path / "store")
    store.append("trials", rows_of("other"))
    part = max(Path(store.uri, "trials").glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    part.write_bytes(part.read_bytes()[:-100])
    assert answer("query", store.uri, "SELECT count(*) AS n FROM trials", "-f", "csv") == '"n"\n6\n'
    assert part.name in caplog.text
    assert "left out" in caplog.text


@pytest.mark.parametrize("question", ["best", "claims", "show", "compare", "query", "merge"])
def test_newer_store_is_refused_with_advice(tmp_path: Path, question: str) -> None:
    store = broken(tmp_path / "store")
    part = part_of(store, "trials")
    rows = pq.read_table(part)
    pq.write_table(rows.replace_schema_metadata({"hsl.table": "trials", "hsl.schema_version": "2"}), part)
    rest = {
        "show": ["x"],
        "compare": ["true", "true"],
        "query": ["SELECT seed FROM trials"],
        "merge": ["--into", str(tmp_path / "new")],
    }
    done = command(question, store.uri, *rest.get(question, []))
    assert done.returncode == 2
    assert "newer hsl: schema version 2, and this one reads 1; update hsl" in done.stderr


def test_unknown_columns_are_left_out(tmp_path: Path) -> None:
    store = broken(tmp_path / "store")
    part = part_of(store, "trials")
    rows = pq.read_table(part)
    pq.write_table(rows.append_column("DROP TABLE", pa.array([1] * len(rows))), part)
    for arguments in questions(store, tmp_path):
        if arguments[0] != "show":
            answer(*arguments, "--format", "csv")

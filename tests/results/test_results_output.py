import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from results_rows import cell_row, filled, trial_row
from rich.text import Text

from hsl.errors import HslError, UnknownNameError
from hsl.results.best import best
from hsl.results.query import query
from hsl.results.show.output import FORMATS, show, show_best, show_claims, show_compared
from hsl.results.show.text import (
    caption,
    cell,
    claimed,
    claimed_caption,
    compared,
    compared_caption,
    percent,
    plain,
    summary,
)

HOSTILE = [
    "'; DROP TABLE trials; --",
    "<script>alert(1)</script>",
    "[red]x[/red] :smile:",
    "a|b",
    "\x1b[2J\x1b]0;t\x07",
]
HOSTILE += [
    "line\nbreak",
    "\u202eright to left",
    "[text](javascript:alert(1))",
    "![i](http://example.org/i)",
    "=1+1",
    'q"',
]


WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NULLS = pyarrow.csv.ConvertOptions(strings_can_be_null=True)


class Stream(io.TextIOWrapper):
    """Standard output in a pipe, or a terminal of a given width."""

    def __init__(self, terminal=False):
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True, newline="")
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def binary(self):
        self.flush()
        return self.buffer.getvalue()


def shown(table, format, terminal=False, **options):
    stream = Stream(terminal)
    show(table, format, stream, **options)
    return stream.binary() if format == "parquet" else stream.binary().decode()


@pytest.fixture(autouse=True)
def known_terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def table():
    return pa.table(
        {
            "name": ["a", None, "c,d"],
            "seed": [1, None, 3],
            "test_clean_accuracy": [0.91239, None, 1.0],
            "sparsity": [0.9, 0.123456789, None],
            "ok": [True, False, None],
            "when": pa.array([WHEN, None, None], pa.timestamp("us", tz="UTC")),
        }
    )  # fmt: skip


def test_parquet_round_trip(table):
    assert pq.read_table(io.BytesIO(shown(table, "parquet"))).equals(table)


def test_parquet_is_refused_by_a_terminal(table):
    with pytest.raises(HslError, match="redirect"):
        shown(table, "parquet", terminal=True)


def test_json_round_trip(table):
    rows = json.loads(shown(table, "json"))
    expected = table.to_pylist()
    expected[0]["when"] = "2026-01-02T03:04:05+00:00"
    assert rows == expected


def test_csv_round_trip(table):
    read = pyarrow.csv.read_csv(io.BytesIO(shown(table, "csv").encode()), convert_options=NULLS)
    assert read.drop_columns("when").equals(table.drop_columns("when"))


def test_json_has_no_number_that_json_lacks():
    text = shown(pa.table({"x": [float("nan"), float("inf"), 0.5]}), "json")
    rows = json.loads(text, parse_constant=pytest.fail)
    assert rows == [{"x": None}, {"x": None}, {"x": 0.5}]


def test_types_of_any_query(tmp_path):
    store = filled(tmp_path, [trial_row()])
    sql = """SELECT [1, 2] AS l, {'a': 0.5} AS s, sum(seed) AS h, 1.5::DECIMAL(5, 2) AS d,
      date '2026-01-01' AS day, map {'k': 1} AS m, count(*) AS n, NULL AS nothing FROM trials"""
    answer = query(store, sql)
    (row,) = json.loads(shown(answer, "json"))
    assert (row["l"], row["s"], row["h"], row["d"], row["day"]) == ([1, 2], {"a": 0.5}, 0, 1.5, "2026-01-01")
    (row,) = csv.DictReader(io.StringIO(shown(answer, "csv")))
    assert (row["l"], json.loads(row["s"]), row["n"], row["nothing"]) == ("[1, 2]", {"a": 0.5}, "1", "")
    assert pq.read_table(io.BytesIO(shown(answer, "parquet"))).num_rows == 1
    for format in ("table", "markdown"):
        assert "[1, 2]" in shown(answer, format)


def test_a_type_that_a_format_lacks(tmp_path):
    answer = query(filled(tmp_path, [trial_row()]), "SELECT INTERVAL 1 DAY AS i FROM trials")
    with pytest.raises(HslError, match="parquet cannot hold"):
        shown(answer, "parquet")


def test_unknown_format(table):
    with pytest.raises(UnknownNameError, match=r"did you mean 'json'"):
        show(table, "jsonl", Stream())


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_people_read_percent_and_few_digits(table, format):
    text = shown(table, format, caption="what it means")
    assert "test_clean_accuracy %" in text
    assert " 91.2 " in text
    assert "100.0" in text
    assert "0.91239" not in text
    assert "0.1235" in text
    assert "0.123456789" not in text
    assert "2026-01-02 03:04:05" in text
    assert " yes " in text
    assert text.rstrip().endswith("what it means")


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_what_sql_has_made_is_shown_as_it_is(format):
    """A column that SQL calls as one of accuracies may be a count, or percent already."""
    said = shown(pa.table({"a_accuracy": [91.239], "n_accuracy": [0.5]}), format, in_percent=False)
    assert "91.24" in said
    assert "0.5" in said
    assert "%" not in said


def test_markdown_is_a_table(table):
    lines = shown(table, "markdown").strip().splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    assert cells[0] == ["name", "seed", "test_clean_accuracy %", "sparsity", "ok", "when"]
    assert all(set(cell) <= set("-:") for cell in cells[1])
    assert cells[2][:4] == ["a", "1", "91.2", "0.9"]
    assert [len(row) for row in cells] == [6] * 5


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_names_do_nothing_on_a_terminal(name, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # so that every escape code is the name's
    text = shown(pa.table({"name": [name], name: ["value"]}), "table", terminal)
    assert all(character.isprintable() or character == "\n" for character in text)
    visible = name if name.isprintable() else name.encode("unicode_escape").decode()
    assert visible.split("]")[0] in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_nothing_in_markdown(name):
    lines = shown(pa.table({"name": [name], name: ["value"]}), "markdown").strip().splitlines()
    assert len(lines) == 3
    assert all(line.strip().strip("|").count("|") == 1 for line in lines)
    assert not any(mark in "".join(lines) for mark in ("<", "](", "\x1b"))


@pytest.mark.parametrize("format", ["json", "csv"])
def test_hostile_names_survive_for_programs(format):
    text = shown(pa.table({"name": HOSTILE}), format)
    rows = json.loads(text) if format == "json" else csv.DictReader(io.StringIO(text, newline=""))
    assert [row["name"] for row in rows] == HOSTILE


def test_hostile_names_pass_through_the_store(tmp_path):
    rows = [
        trial_row(regime=name, method=name, cell=name, trial_id=name, configuration_id=name)
        for name in HOSTILE
    ]
    answer = best(filled(tmp_path, rows), by=("regime", "method"))
    assert sorted(answer["regime"].to_pylist()) == sorted(HOSTILE)
    for format in FORMATS:
        show_best(answer, format, Stream())


def test_rows_wider_than_the_terminal_become_records(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = query(filled(tmp_path, [trial_row(regime="noisy"), trial_row()]), "SELECT * FROM trials")
    lines = Text.from_ansi(shown(answer, "table", terminal=True)).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.startswith("regime ")] == [
        ["regime", "noisy"],
        ["regime", "clean"],
    ]


@pytest.fixture
def answer(tmp_path):
    """Three regimes: paired with a lost seed, unpaired, and never confirmed; names as long as they get."""
    cells, rows = [], []
    for regime, seeds in (("noisy-quarter", 5), ("pgd", 3), ("hardest-half", 0)):
        for sparsity in (0.0, 0.9):
            cell = f"{regime}/{sparsity}"
            cells.append(
                cell_row(cell=cell, regime=regime, baseline=sparsity == 0.0, levels={"sparsity": sparsity})
            )
            own = {"cell": cell, "regime": regime, "sparsity": sparsity, "configuration_id": cell}
            own |= {"distribution": "uniform_plus"} if sparsity else {"method": "dense", "distribution": None}
            rows.append(trial_row(test_matched_accuracy=0.5, **own))
            first = 10 if regime == "pgd" and sparsity else 0
            for seed in range(first, first + seeds):
                test = 0.9 + 0.01 * seed % 0.03 + (0.02 if sparsity else 0.0)
                rows.append(trial_row(stage="confirm", seed=seed, test_matched_accuracy=test, **own))
    lost = {
        "cell": "noisy-quarter/0.9",
        "configuration_id": "noisy-quarter/0.9",
        "stage": "confirm",
        "seed": 9,
    }
    rows.append(trial_row(regime="noisy-quarter", status="failed", objective=None, **lost))
    return best(filled(tmp_path, rows, cells))


def test_summary_of_best(answer):
    rows = {(row["regime"], row["sparsity"]): row for row in summary(answer).to_pylist()}
    noisy, pgd, half = (rows[regime, "0.9"] for regime in ("noisy-quarter", "pgd", "hardest-half"))
    assert noisy["configuration"] == "rigl uniform_plus"
    assert noisy["test % [95 % CI] n"].endswith(" 5/6")
    assert noisy["difference [CI]"].startswith("+2.0")
    assert noisy["difference [CI]"].endswith(" **")
    assert pgd["difference [CI]"].endswith("] ~")
    assert half["test % [95 % CI] n"] == "50.0 unconfirmed"
    assert half["difference [CI]"] == "+0.0 no interval"
    assert rows["pgd", "0"]["dense %"] == rows["pgd", "0"]["difference [CI]"] == ""


def test_table_of_best_fits_100_columns_and_explains_its_marks(answer, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    stream = Stream(terminal=True)
    show_best(answer, "table", stream)
    lines = Text.from_ansi(stream.binary().decode()).plain.splitlines()
    assert max(map(len, lines)) <= 100
    assert (
        len([line for line in lines if line.strip().startswith(("noisy-quarter", "pgd", "hardest-half"))])
        == 6
    )
    assert any("rigl uniform_plus" in line and "5/6" in line for line in lines)  # nothing is folded
    legend = "\n".join(lines)
    assert all(f"\n{mark}" in legend for mark in ("~ ", "unconfirmed:", "n of m seeds", "difference:"))


def test_programs_get_every_column_of_best(answer):
    stream = Stream()
    show_best(answer, "parquet", stream)
    assert pq.read_table(io.BytesIO(stream.binary())).equals(answer)


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.91239, {}, "91.2"),
        (0.91239, {"width": 0.004}, "91.24"),
        (0.91239, {"width": 0.02}, "91.2"),
        (0.0, {"sign": True}, "+0.0"),
        (-0.015, {"sign": True}, "-1.5"),
        (None, {}, "-"),
    ],
)
def test_percent(value, options, text):
    assert percent(value, **options) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x", None, "-"),
        ("x", 0.123456, "0.1235"),
        ("test_accuracy", 0.123456, "12.3"),
        ("accuracy_of", 0.5, "0.5"),
        ("x", True, "yes"),
        ("x", False, "no"),
        ("x", 7, "7"),
        ("x", "ü|", "ü|"),
        ("x", datetime(2026, 1, 2, 3, 4, 5, 678), "2026-01-02 03:04:05"),
        ("x", {"a": [0.5, float("nan")], "ü": None}, '{"a": [0.5, null], "ü": null}'),
    ],
)
def test_a_cell_for_people(name, value, text):
    assert cell(name, value) == text


def test_plain_values_are_those_of_json():
    given = {1: Decimal("2"), "d": Decimal("2.5"), "t": (1.5, float("inf")), "w": WHEN, "l": [{"x": 0.25}]}
    expected = {"1": 2, "d": 2.5, "t": [1.5, None], "w": WHEN.isoformat(), "l": [{"x": 0.25}]}
    assert plain(given) == expected
    assert isinstance(plain(Decimal("2")), int)


def test_the_caption_explains_what_is_there_and_nothing_else(answer):
    rows = answer.to_pylist()

    def said(pareto=None, **keep):
        kept = [row for row in rows if all(row[name] == value for name, value in keep.items())]
        return caption(pa.Table.from_pylist(kept, answer.schema), pareto).splitlines()

    (*chosen, paired, welch, alike, single, lost) = said()
    assert chosen[0].startswith("Chosen on validation; matched test accuracy")
    assert chosen[1].startswith(
        "Intervals are over training seeds on one fixed split and test set; none below 3"
    )
    assert paired.startswith("difference: ")
    assert welch.startswith("~ ")
    assert alike == "** no interval: seeds do not vary."
    assert single.startswith("unconfirmed: ")
    assert lost.startswith("n of m")
    assert said(regime="pgd", baseline=False) == [*chosen, welch]
    assert said(regime="noisy-quarter", baseline=False) == [*chosen, paired, alike, lost]
    assert said(regime="hardest-half", baseline=False) == [*chosen, single]
    front = said(("accuracy", "flops"), regime="pgd", baseline=False)
    assert front == [
        "No configuration has better accuracy without worse flops; accuracy is validation %.",
        *chosen,
        welch,
    ]
    assert caption(answer.slice(0, 0)).startswith("Chosen on validation;  test accuracy")


def test_another_dense_network_than_the_one_shown_is_said(answer):
    """A regime with two dense cells shows the better one; each sparse cell is compared with its own."""
    rows = answer.to_pylist()
    dense = {row["regime"]: row["test_mean"] for row in rows if row["baseline"]}
    own = [{**row, "dense_mean": None if row["baseline"] else dense.get(row["regime"])} for row in rows]
    assert "need not be the dense row" not in caption(pa.Table.from_pylist(own, answer.schema))
    other = [{**row, "dense_mean": None if row["baseline"] else 0.123} for row in rows]
    assert "need not be the dense row" in caption(pa.Table.from_pylist(other, answer.schema))


def test_several_of_a_cell_show_their_rank_and_a_front_what_it_weighs(answer):
    assert "rank" not in summary(answer).column_names
    second = pa.Table.from_pylist([{**row, "rank": 2} for row in answer.to_pylist()], answer.schema)
    both = pa.concat_tables([answer, second])
    names = summary(both).column_names
    assert names[names.index("configuration") - 1] == "rank"
    rows = [{**row, "objective": 0.9123, "training_flops": 0.12346} for row in answer.to_pylist()]
    weighed = summary(pa.Table.from_pylist(rows), ("accuracy", "flops"))
    assert "rank" not in weighed.column_names
    assert [(row["accuracy"], row["flops"]) for row in weighed.to_pylist()] == [("91.2", "0.1235")] * 6


def test_without_dense_there_is_no_difference(answer):
    rows = [{**row, "difference": None} for row in answer.to_pylist()]
    found = summary(pa.Table.from_pylist(rows, answer.schema)).to_pylist()
    assert {row["difference [CI]"] for row in found if row["sparsity"] == "0"} == {""}
    assert {row["difference [CI]"] for row in found if row["sparsity"] != "0"} == {"no dense result"}


COMPARED = pa.table(
    {
        "regime": ["a", "b"],
        "metric": ["clean"] * 2,
        "a_mean": [0.9, 0.5],
        "b_mean": [0.8, None],
        "difference": [0.1, None],
        "difference_low": [0.0999, None],
        "difference_high": [0.1001, None],
        "difference_kind": ["unpaired", None],
        "seeds": [5, 0],
        "seeds_lost": [0, 1],
        "a_cells": [1, 1],
        "b_cells": [1, 1],
        "p_value": [0.01236, None],
        "p_adjusted": [0.02469, None],
        "verdict": ["better", "not enough data"],
    }
)


def test_compared_in_few_columns():
    first, second = compared(COMPARED).to_pylist()
    assert first == {
        "regime": "a",
        "a %": "90.0",
        "b %": "80.0",
        "difference [CI]": "+10.00 [+9.99, +10.01] ~",
        "n": "5",
        "p": "0.01236",
        "p corrected": "0.02469",
        "verdict": "better",
    }
    assert (second["b %"], second["difference [CI]"], second["p"]) == ("-", "no dense result", "-")
    text = compared_caption(COMPARED, "x = 1", "y = 2")
    assert text.startswith("a: x = 1; b: y = 2; clean test accuracy of the confirmed winner of each cell")
    assert "paired by seed, or Welch where marked ~." in text
    assert "corrected over 2 rows" in text
    assert "Welch" not in compared_caption(COMPARED.slice(1), "", "")


def claim(name, **given):
    row = {"claim": name, "dataset": "d", "model": "m", "factors": "{}", "statement": f"{name} holds"}
    row |= {
        "direction": "above",
        "threshold": 0.02,
        "effect": 0.05,
        "low": 0.03,
        "high": 0.07,
        "n": 5,
        "seeds_lost": 0,
    }
    row |= {"interval": "95 % t", "p_value": 0.01, "p_adjusted": 0.02, "verdict": "supported", "reason": None}
    return {**row, "claim_verdict": "supported", **given}


def test_claims_in_few_columns():
    exact = {"interval": "range", "direction": "within", "p_value": None, "p_adjusted": None}
    open_ = {"verdict": "not enough data", "reason": "why", "claim_verdict": "not enough data"}
    answer = pa.Table.from_pylist(
        [claim("A"), claim("B", direction="below"), claim("C", **exact), claim("D", **open_)]
    )
    a, b, c, d = claimed(answer).to_pylist()
    assert list(a) == ["claim", "statement", "bound", "effect", "n", "p", "verdict"]
    assert (a["bound"], a["effect"], a["n"], a["p"]) == ("> 2", "+5.0 [+3.0, +7.0]", "5", "0.02")
    assert (b["bound"], b["verdict"]) == ("< 2", "supported")
    assert (c["bound"], c["effect"], c["p"]) == ("± 2", "5.0 [3.0, 7.0]", "-")
    assert d["verdict"] == "not enough data (why)"
    text = claimed_caption(answer)
    assert text.startswith("not enough data: D; supported: A, B, C\n")
    assert "corrected over 3 statements" in text


def test_claims_say_what_they_are_of_where_that_differs():
    answer = pa.Table.from_pylist([claim("A"), claim("A", dataset="e")])
    assert [row["dataset"] for row in claimed(answer).to_pylist()] == ["d", "e"]
    assert "model" not in claimed(answer).column_names


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_people_get_the_short_forms(answer, format):
    for show_it, columns in (
        (
            lambda stream: show_best(answer, format, stream),
            ("configuration", "dense %", "Chosen on validation"),
        ),
        (lambda stream: show_compared(COMPARED, "x", "y", format, stream), ("p corrected", "a: x; b: y;")),
        (
            lambda stream: show_claims(pa.Table.from_pylist([claim("A")]), format, stream),
            ("bound", "supported: A"),
        ),
    ):
        stream = Stream()
        show_it(stream)
        shown_text = stream.binary().decode()
        assert all(column in shown_text for column in columns)


def test_programs_get_all_of_it(answer):
    claims = pa.Table.from_pylist([claim("A")])
    for show_it, whole in (
        (lambda stream: show_best(answer, "json", stream), answer),
        (lambda stream: show_compared(COMPARED, "x", "y", "json", stream), COMPARED),
        (lambda stream: show_claims(claims, "json", stream), claims),
    ):
        stream = Stream()
        show_it(stream)
        rows = json.loads(stream.binary())
        assert [list(row) for row in rows] == [whole.column_names] * len(whole)

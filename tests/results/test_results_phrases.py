"""Numbers and lists as the sentences of a report need them."""

import pytest

from hsl.results.report.structs import MAX_ROWS, Cell, number, shortened, whole
from hsl.results.show.phrases import (
    MAX_PANELS,
    NOTHING,
    first_panels,
    listed,
    named,
    points,
    scaled,
    with_interval,
)
from hsl.wording import count


def test_counts():
    assert [count(n, "trial") for n in (0, 1, 2, 1234)] == ["0 trials", "1 trial", "2 trials", "1,234 trials"]
    assert (count(1, "entry"), count(2, "entry")) == ("1 entry", "2 entries")


@pytest.mark.parametrize(
    ("names", "limit", "text"),
    [
        ([], 6, ""),
        (["a"], 6, "a"),
        (["a", "b"], 6, "a and b"),
        (["a", "b", "c"], 3, "a, b and c"),
        (["a", "b", "c", "d"], 3, "a, b and 2 more"),
        (list("abcdef"), 6, "a, b, c, d, e and f"),
        (list("abcdefg"), 6, "a, b, c, d, e and 2 more"),
    ],
)
def test_lists(names, limit, text):
    assert listed(names, limit) == text
    assert limit != 6 or listed(names) == text


@pytest.mark.parametrize(
    ("values", "sign", "text"),
    [
        ((0.854, 0.82, 0.888), False, "85.4 [82.0, 88.8]"),
        ((0.854, 0.8539, 0.8541), False, "85.40 [85.39, 85.41]"),
        ((0.1, 0.05, 0.15), True, "+10.0 [+5.0, +15.0]"),
        ((0.5, None, 0.6), False, "50.0"),
        ((0.5, 0.4, None), True, "+50.0"),
        ((None, None, None), False, NOTHING),
        ((None, 0.1, 0.2), False, NOTHING),
    ],
)
def test_intervals(values, sign, text):
    assert with_interval(*values, sign=sign) == text


def test_points():
    assert [points(value) for value in (0.084, -0.02, 0.0, 0.0004, -0.0004)] == [
        "+8.4",
        "-2.0",
        "0.0",
        "0.0",
        "0.0",
    ]


def test_numbers_to_sort_by():
    assert number(None) == Cell(NOTHING)
    assert number(1234.5678) == Cell("1.23e+03", 1234.5678)
    assert number(0.12345, 2, "weak") == Cell("0.12", 0.12345, "weak")
    assert (whole(None), whole(1234)) == (Cell(NOTHING), Cell("1,234", 1234))


def test_rows_that_fit_on_a_page():
    rows = [(Cell(str(n)),) for n in range(MAX_ROWS + 1)]
    assert shortened(rows[:-1], "x") == (tuple(rows[:-1]), "")
    kept, note = shortened(rows, "hsl query")
    assert kept == tuple(rows[:-1])
    assert note == f"The first {MAX_ROWS} of {MAX_ROWS + 1} rows; all of them: hsl query"


def test_panels_that_fit_into_a_figure():
    names = [f"p{n}" for n in range(MAX_PANELS + 1)]
    assert first_panels([*names[:-1], "p0"]) == (names[:-1], "")
    assert first_panels([*names, "p0"]) == (
        names[:-1],
        f" The first {MAX_PANELS} of {MAX_PANELS + 1} panels are drawn.",
    )


def test_networks_and_fractions():
    assert named({"method": "set", "distribution": "erk"}) == "set erk"
    assert named({"method": "dense", "distribution": None}) == "dense"
    assert (scaled(None), scaled(0.123456), scaled(0.123456, 1)) == (None, 12.346, 12.3)

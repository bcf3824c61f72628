"""The report's data against stores of known truth, and its page against hostile and poor stores."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import command
from hypothesis import given, settings
from hypothesis import strategies as st
from report_stores import NOISE, SEEDS, known_store, place
from results_rows import cell_row, epoch_row, filled, trial_row
from scipy import stats

from hsl.errors import ExitCode, NothingMatchedError
from hsl.results.report import compute, images, parameters, pareto
from hsl.results.report.charts import DRAWINGS, draw
from hsl.results.report.contents import make_report
from hsl.results.report.page import as_json, page
from hsl.results.report.structs import Figure, Report, Table
from hsl.results.show.phrases import NOTHING
from hsl.sparsity.methods import METHODS
from hsl.store.store import Store

HOSTILE = "</script><script>alert(1)</script>'; DROP TABLE trials; --"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return known_store(tmp_path_factory.mktemp("known") / "store")


@pytest.fixture(scope="module")
def report(store: Store) -> Report:
    return make_report(store.uri, None, tuple(METHODS))


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return page(report)


def figure(report: Report, name: str) -> Figure:
    return next(figure for figure in report.figures if figure.name == name)


def missing(report: Report, name: str) -> str:
    return " ".join(next(section.missing for section in report.sections if section.name == name))


def rows(figure: Figure) -> list[dict[str, Any]]:
    return [dict(row) for panel in figure.panels for row in panel.rows]


def test_finding_is_the_known_truth(report: Report) -> None:
    assert report.finding == "The sparse winner beats dense in 1 of 2 regimes: hard (+4.0 points)."


def test_a_loss_is_found_as_well(tmp_path: Path) -> None:
    store = known_store(tmp_path / "store", gain=-0.03, regimes=("easy", "hard"))
    assert (
        make_report(store.uri).finding
        == "The sparse winner loses to dense in 1 of 2 regimes: hard (-3.0 points)."
    )


def test_heat_map_marks_only_true_differences(report: Report) -> None:
    squares = {(row["setting"], row["sparsity"]): row for row in rows(figure(report, "difference"))}
    assert {key for key, row in squares.items() if row["frame"] == "beyond chance"} == {
        ("hard", "0.8"),
        ("hard", "0.9"),
    }
    assert {row["n"] for row in squares.values()} == {"n=5"}
    assert squares["hard", "0.8"]["text"] == "+4.0"


def test_p_values_are_those_of_scipy_corrected_over_all_winners(report: Report) -> None:
    noise = np.array(NOISE)
    sides = [(base + noise * (1 + 0.1 * s), 0.8 + noise) for base in (0.80, 0.84) for s in (0.8, 0.9)]
    expected = stats.false_discovery_control([stats.ttest_rel(*side).pvalue for side in sides])
    (table,) = report.sections[0].tables
    column, verdict = table.columns.index("p, corrected"), table.columns.index("verdict")
    sparse = [line for line in table.rows if line[verdict].text != "baseline"]
    assert [line[column].key for line in sparse] == pytest.approx(list(expected), rel=1e-6)
    assert [line[verdict].text for line in sparse] == ["= no difference shown"] * 2 + [
        "▲ better than dense"
    ] * 2


def test_intervals_are_those_of_scipy(report: Report) -> None:
    points = [row for row in rows(figure(report, "sparsity")) if row["kind"] == "confirmed"]
    values = 100 * (0.84 + np.array(NOISE) * 1.08)
    low, high = stats.t.interval(0.95, len(SEEDS) - 1, values.mean(), stats.sem(values))
    found = [row for row in points if row["sparsity"] == "0.8" and row["mean"] > 82]
    assert [(row["low"], row["high"]) for row in found] == [
        (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))
    ]
    assert {row["method"] for row in points} == {"set"}


def test_stopped_trials_are_nowhere_but_in_curves_and_cost(report: Report) -> None:
    for name in ("sparsity", "pareto", "slices", "layers", "deciles"):
        assert "rigl" not in {row.get("method") for row in rows(figure(report, name))}, name
    curves = [row for row in rows(figure(report, "curves")) if row["kind"] == "stopped"]
    assert {row["method"] for row in curves} == {"rigl"}
    assert {row["epoch"] for row in curves} == {4}
    assert (
        figure(report, "curves").title
        == "Early stopping ended 24 of 84 trials of the search after 4 of 12 epochs"
    )
    assert {row["epoch"] for row in rows(figure(report, "curves")) if row["kind"] == "rung"} == {4}


def test_saved_epochs_are_counted(report: Report) -> None:
    assert f"left out {100 * 24 * 8 / (84 * 12):.0f} % of the search's epochs" in figure(report, "cost").title


def test_deciles_pair_seeds(report: Report) -> None:
    found = figure(report, "deciles")
    assert [panel.title for panel in found.panels] == ["easy: set erk at 0.8", "hard: set erk at 0.8"]
    hardest = [line for line in found.table.rows if line[1].text == "9"]
    assert [line[4].key for line in hardest] == [pytest.approx(0.0), pytest.approx(0.04)]
    assert {line[5].text for line in hardest} == {"5, paired"}
    assert "(el2n)" in found.subtitle


def test_layers_are_in_the_order_of_the_network_beside_their_references(report: Report) -> None:
    bars = list(figure(report, "layers").panels[0].rows)
    assert [row["layer"] for row in bars] == ["conv1", "block.conv2", "fc"]
    assert [row["mean"] for row in bars] == [20.0, 8.0, 2.0]
    assert [row["erk"] for row in bars] == [20.0, 8.0, 2.0]
    assert {row["uniform"] for row in bars} == {None}
    assert "as dense in 4" in figure(report, "layers").title


def test_rungs_that_foretell_the_end_are_told_apart(report: Report) -> None:
    assert [bar["rho"] for bar in rows(figure(report, "stopping"))] == pytest.approx([1.0] * 4, abs=0.01)
    # Behind 0.73 after epoch 4 is what ends below 0.73 / (1 - 1/16): of the easy regime static and set, of both dense.
    assert "0 of 18 exempt trials behind a cut-off would have won" in figure(report, "stopping").title


costs = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=25)


@given(costs)
@settings(max_examples=60, deadline=None)
def test_front_is_that_of_brute_force(points: list[tuple[int, int]]) -> None:
    given_rows = [{"flops": flops, "score": score} for flops, score in points]
    found = {(row["flops"], row["score"]) for row in pareto.front(given_rows)}
    beaten = {(f, s) for f, s in points if any(g <= f and t >= s and (g, t) != (f, s) for g, t in points)}
    assert found == set(points) - beaten


def test_importance_finds_the_only_parameter_that_matters() -> None:
    generator = np.random.default_rng(0)
    samples = [
        (
            {"x": float(x), "y": float(y), "only-some": 1} if x < 0.9 else {"x": float(x), "y": float(y)},
            float(x**2),
        )
        for x, y in generator.random((60, 2))
    ]
    found = parameters.importances(samples)
    assert list(found) == ["x", "y"]
    assert fmean(found["x"]) > 0.9
    assert parameters.importances(samples[: parameters.MIN_TRIALS - 1]) == {}
    assert parameters.importances([({"x": 1.0 * i}, 0.5) for i in range(40)]) == {}


def test_importance_treats_names_as_names() -> None:
    samples = [({"method": "ab"[i % 2], "lr": 0.1 * (i % 5 + 1)}, float(i % 2)) for i in range(40)]
    assert fmean(parameters.importances(samples)["method"]) > 0.95


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.08], False),  # a range of eight
        ([0.01, 0.0801], True),
        ([1, 9], True),
        ([0.0, 9.0], False),
        ([-1.0, 9.0], False),
        ([1e-9, 1.0], True),
        ([5, 5], False),
    ],
)
def test_values_that_span_more_than_a_range_of_eight_are_drawn_by_their_logarithms(
    values: list[float], expected: bool
) -> None:
    assert parameters._is_logarithmic(values) is expected
    if len(set(values)) > 1:
        distribution = parameters._float_distribution(values)
        assert (distribution.low, distribution.high, distribution.log) == (*values, expected)


@pytest.mark.parametrize(
    ("rows", "most", "kept"),
    [(0, 3, []), (3, 3, [0, 1, 2]), (4, 3, [0, 2]), (6, 3, [0, 2, 4]), (7, 3, [0, 3, 6]), (1, 3, [0])],
)
def test_samples_are_evenly_out_of_all(rows: int, most: int, kept: list[int]) -> None:
    assert [row["n"] for row in parameters._sample([{"n": n} for n in range(rows)], most)] == kept


def test_the_report_draws_and_analyses_no_more_than_it_says() -> None:
    """A mark of 400 in a panel can be seen, an analysis of 150 takes a second."""
    trials = [
        {"parameters": {"lr": 0.1 * (1 + n % 9)}, "gap": -0.001 * n, "method": "set"} for n in range(801)
    ]
    assert len(parameters._slice(trials, "lr").rows) == 267
    assert len(parameters._slice(trials[:800], "lr").rows) == 400
    assert len(parameters._sample(trials[:300], parameters.MAX_ANALYSED)) == 150
    assert (parameters.MAX_STUDIES, parameters.FORESTS, parameters.TREES, parameters.DEPTH) == (4, 3, 16, 8)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, True),
        (0.5, True),
        (-2, True),
        (True, False),
        ("1", False),
        (None, False),
        (float("inf"), False),
        (-float("inf"), False),
        (float("nan"), False),
        (10**308, True),
        (10**309, False),
        (sys.float_info.max, True),
    ],
)
def test_numbers_are_what_can_stand_on_an_axis(value: Any, expected: bool) -> None:
    assert parameters._is_number(value) is expected


def test_where_the_good_trials_are() -> None:
    """Good is within a point of the best, the point included; a choice counts from three trials on."""

    def trial(gap: float, **values: Any) -> dict[str, Any]:
        return {"parameters": values, "gap": gap}

    rates = [
        trial(0.0, lr=0.1),
        trial(-0.01, lr=0.3),
        trial(-0.0101, lr=9.0),
        trial(-0.5, lr=0.001),
        trial(0.0),
    ]
    assert parameters._good(rates, "lr") == "lr 0.1 to 0.3"
    assert parameters._good([trial(-0.02, lr=0.1)], "lr") == "lr nowhere"
    three = [trial(0.0, m="a"), trial(-0.1, m="a"), trial(0.0, m="a")]
    two = [trial(0.0, m="b"), trial(0.0, m="b")]
    assert parameters._good(three + two, "m") == "2 of 3 trials with m a"
    assert parameters._good([*three, *two, trial(0.0, m="b")], "m") == "3 of 3 trials with m b"
    assert parameters._good(three[:2] + two, "m") == "2 of 2 trials with m b"
    assert (
        parameters._good([*two, trial(0.0, m=True), trial(0.0, m=True)], "m") == "2 of 2 trials with m true"
    )


def test_marks_of_a_panel_are_spread_over_seven_places() -> None:
    trials = [{"parameters": {"m": "ab"[n % 2]}, "gap": -0.0123, "method": "set"} for n in range(9)]
    panel = parameters._slice(trials, "m")
    assert [row["spread"] for row in panel.rows] == [-3, -2, -1, 0, 1, 2, 3, -3, -2]
    assert panel.variant == "choice"
    assert panel.rows[1] == {
        "value": "b",
        "gap": -1.23,
        "method": "set",
        "spread": -2,
        "tip": "m b, set: -1.2 points",
    }
    numbers = [{"parameters": {"n": n + 1}, "gap": 0.0, "method": "set"} for n in range(9)]
    assert parameters._slice(numbers, "n").variant == "log"
    assert parameters._slice(numbers[:8], "n").variant == "linear"


def test_parameters_stand_in_their_order() -> None:
    trials = [
        {"parameters": dict.fromkeys(("z", "distribution", "a", "method"), 1)},
        {"parameters": {"b": 1}},
    ]
    assert parameters._names(trials) == ["method", "distribution", "a", "b", "z"]


@pytest.mark.parametrize(
    ("longest", "unit"),
    [
        (0.0, (1.0, "seconds")),
        (59.9, (1.0, "seconds")),
        (60.0, (60.0, "minutes")),
        (3599.0, (60.0, "minutes")),
        (3600.0, (3600.0, "hours")),
        (1e6, (3600.0, "hours")),
    ],
)
def test_the_longest_bar_chooses_the_unit(longest: float, unit: tuple[float, str]) -> None:
    assert compute._unit(longest) == unit


def test_what_was_saved_is_said_of_the_search_alone() -> None:
    row = {"kind": "search, completed", "seconds": 30.0, "failed": 0, "budget": 100, "epochs": 75}
    confirm = {**row, "kind": "confirm", "epochs": 100}
    assert compute._title([row, confirm]) == (
        "60 s of training, early stopping left out 25 % of the search's epochs; no trial failed"
    )
    assert compute._title([confirm]) == "30 s of training; no trial failed"
    assert compute._title([{**row, "failed": 1, "epochs": 100}]).endswith(
        " 0 % of the search's epochs; 1 trial failed"
    )


@pytest.mark.parametrize(("regimes", "height"), [(1, 80), (2, 92), (13, 452)])
def test_bars_have_their_height(tmp_path: Path, regimes: int, height: int) -> None:
    """36 pixels each and 20 more, from 80 on, for at most twelve settings."""
    trials = [trial_row(regime=f"r{n:02}", cell=f"r{n:02}/0.9") for n in range(regimes)]
    found = figure(make_report(filled(tmp_path / "store", trials).uri), "cost")
    assert found.height == height
    assert len(rows(found)) == min(regimes, 12)
    assert len(found.table.rows) == regimes


def test_every_drawing_is_valid_vega_lite(report: Report) -> None:
    assert [found.name for found in report.figures] == list(DRAWINGS)
    for found in report.figures:
        for variant in found.variants:
            draw(found, report.palette, variant, validate=True)


def test_every_figure_has_a_table_and_says_how_to_read_it(report: Report) -> None:
    for found in report.figures:
        assert found.table.rows
        assert all(len(line) == len(found.table.columns) for line in found.table.rows)
        assert found.title
        assert found.subtitle
        assert found.caption
        assert all(panel.rows for panel in found.panels)
        assert set(found.methods) <= report.palette.keys()


def test_methods_look_the_same_whatever_else_is_stored(tmp_path: Path, report: Report) -> None:
    other = filled(
        tmp_path / "store", [trial_row(method="set"), trial_row(method="lth"), trial_row(method="own:method")]
    )
    look = make_report(other.uri, None, tuple(METHODS)).palette
    assert look["set"][0] == report.palette["set"][0]
    assert len({shape for _, shape in look.values()}) >= 3


class Scripts(HTMLParser):
    """Scripts, links and sources of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.outside: list[str] = []
        self.text = ""
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._open = tag == "script"
        if self._open:
            self.scripts.append((named, ""))
        self.outside += [
            value for key, value in attrs if key in {"src", "href"} and value and not value.startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.text += data


def test_page_needs_nothing_from_outside_and_runs_only_its_own_scripts(text: str) -> None:
    parsed = Scripts(text)
    assert parsed.outside == []
    assert len(text.encode()) < 4e6
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    allowed = set(re.findall(r"sha256-([\w+/=]+)", policy[1]))
    run = [body for named, body in parsed.scripts if "type" not in named]
    assert {base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in run} == allowed
    assert len(run) == 2
    assert "default-src 'none'" in policy[1].replace("&#39;", "'")


def test_the_same_store_gives_the_same_page(store: Store, text: str) -> None:
    assert text == page(make_report(store.uri, None, tuple(METHODS)))


def test_hostile_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write_space("regimes: {}\nname: '<img src=x onerror=alert(2)>'\n")
    for seed in range(4):
        row = trial_row(
            **dict.fromkeys(
                ("regime", "cell", "method", "distribution", "configuration_id", "model"), HOSTILE
            )
        )
        row |= {"trial_id": f"{HOSTILE}{seed}", "seed": seed, "stage": "confirm" if seed else "search"}
        row |= {"parameters": {HOSTILE: HOSTILE}, "layer_densities": {HOSTILE: 0.5}, "training_flops": 0.5}
        row |= {
            "test_matched_accuracy": 0.5 + seed / 100,
            "provenance": {"command": HOSTILE, "git_sha": HOSTILE},
        }
        store.append("trials", [row])
    store.append("trials", [trial_row(status="failed", reason=HOSTILE, cell=HOSTILE, trial_id="--all")])
    text = page(make_report(store.uri, None, tuple(METHODS)))
    parsed = Scripts(text)
    assert len(parsed.scripts) == 3
    assert HOSTILE in parsed.text
    content = json.loads(parsed.scripts[0][1])
    assert HOSTILE in content["sparsity"]["panels"][0]["columns"]["method"]
    assert "<img" not in text.split("<script")[0]


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_json_in_a_script_is_harmless_and_unchanged(text: str) -> None:
    written = as_json({text: text})
    assert json.loads(written) == {text: text}
    assert not set("<>&\u2028\u2029") & set(written)


def test_no_trial_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.append("cells", [cell_row()])
    with pytest.raises(NothingMatchedError, match="hsl sweep"):
        make_report(store.uri)


def test_a_store_of_failures_says_so(tmp_path: Path) -> None:
    store = filled(
        tmp_path / "store", [trial_row(status="failed", reason="out of memory", objective=None)] * 2
    )
    report = make_report(store.uri)
    assert "no winner" in missing(report, "winners")
    assert report.finding == "No sparse configuration was trained to the end."
    assert "out of memory" in page(report)
    assert {figure.name for figure in report.figures} == {"cost"}


def test_without_confirmation_nothing_is_claimed(tmp_path: Path) -> None:
    trials = [trial_row(method=method, sparsity=s, cell=f"clean/{s or 'dense'}", test_matched_accuracy=value, epochs=2)
              for method, s, value in (("dense", 0.0, 0.8), ("rigl", 0.9, 0.9), ("set", 0.9, 0.7))]  # fmt: skip
    report = make_report(filled(tmp_path / "store", trials).uri)
    assert report.finding == "No claim against dense is possible for 1 sparse winner: unconfirmed."
    assert {row["frame"] for row in rows(figure(report, "difference"))} == {"unclear"}
    assert {row["low"] for row in rows(figure(report, "sparsity"))} == {None}
    assert "two epochs or more" in missing(report, "curves")
    assert "measure decile" in missing(report, "deciles")
    page(report)


def test_two_seeds_are_no_claim(tmp_path: Path) -> None:
    trials = [trial_row(method=method, sparsity=s, cell=f"clean/{s or 'dense'}", stage="confirm", seed=seed,
                        configuration_id=method, test_matched_accuracy=value + seed / 1000)
              for method, s, value in (("dense", 0.0, 0.5), ("rigl", 0.9, 0.9)) for seed in (1, 2)]  # fmt: skip
    cells = [
        cell_row(cell="clean/dense", baseline=True),
        cell_row(cell="clean/0.9", levels={"sparsity": 0.9}),
    ]
    report = make_report(filled(tmp_path / "store", trials, cells).uri)
    (square,) = rows(figure(report, "difference"))
    assert "not enough seeds" in report.finding
    assert (square["kind"], square["n"]) == ("unclear", "n=2")


def test_a_store_without_its_cells_is_compared_all_the_same(tmp_path: Path, report: Report) -> None:
    store = known_store(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "cells")
    assert make_report(store.uri).finding == report.finding


def test_one_cell_without_dense(tmp_path: Path) -> None:
    report = make_report(filled(tmp_path / "store", [trial_row(test_matched_accuracy=0.5)]).uri)
    assert figure(report, "difference").title == "There is no dense baseline to compare to"
    page(report)


def test_several_models_are_several_settings(tmp_path: Path) -> None:
    trials = [trial_row(model=model, test_matched_accuracy=0.5, cell=model) for model in ("small", "large")]
    report = make_report(filled(tmp_path / "store", trials).uri)
    assert figure(report, "difference").scales["settings"] == ["clean · large", "clean · small"]


def test_curves_are_thinned_and_keep_their_end(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", [trial_row(trial_id="a", epochs=200, test_matched_accuracy=0.5)])
    store.append("epochs", [epoch_row(epoch=n, val_matched_accuracy=n / 400) for n in range(1, 201)])
    found = [row for row in rows(figure(make_report(store.uri), "curves")) if row["kind"] != "rung"]
    assert 30 <= len(found) <= 41
    assert found[-1]["kind"] == "ended"
    assert found[-1]["epoch"] == 200


def test_images_are_images(tmp_path: Path, report: Report) -> None:
    chosen = [figure(report, name) for name in ("difference", "slices")]
    written = images.write_images(chosen, report.palette, tmp_path)
    assert [path.name for path in written] == ["difference.svg", "difference.png", "slices.svg", "slices.png"]
    assert written[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = ElementTree.parse(written[2]).getroot()
    assert drawn.tag.endswith("svg")
    assert len(drawn.findall(".//{*}path")) > 50
    assert "var(" not in written[2].read_text()


def test_command_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsl.commands.report.find_spec", lambda name: None if name == "altair" else object())
    done = command("report", "anything")
    assert done.returncode == ExitCode.USAGE
    assert "altair; install the extra: pip install 'hsl[report]'" in done.stderr


def test_command_refuses_with_a_reason(tmp_path: Path) -> None:
    full, empty = filled(tmp_path / "full", [trial_row()]), Store(tmp_path / "empty")
    empty.append("cells", [cell_row()])
    place(tmp_path / "odd", "trials", {"sequence": [0], "trial_id": ["a"]})
    for code, arguments, message in (
        (ExitCode.NOTHING_MATCHED, (empty.uri,), "hsl sweep"),
        (ExitCode.USAGE, (tmp_path / "nowhere",), "no result store"),
        (ExitCode.USAGE, (tmp_path / "odd",), "no value"),
        (ExitCode.USAGE, (full.uri, "--metric", "robust"), "unknown metric 'robust'"),
        (ExitCode.USAGE, (full.uri, "-o", tmp_path), "give another --out"),
    ):
        done = command("report", *arguments)
        assert done.returncode == code
        assert message in done.stderr


def test_command_writes_and_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", [trial_row(test_matched_accuracy=0.5)])
    program = (
        "import sys\nfrom hsl import cli\nsys.argv = ['hsl', 'report', *sys.argv[1:]]\n"
        "try: cli.main()\nexcept SystemExit as e: assert not e.code\n"
        "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    out = tmp_path / "new" / "report.html"
    done = subprocess.run(
        [sys.executable, "-c", program, store.uri, "-o", str(out)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert done.stdout.splitlines() == [str(out), "[]"]
    assert out.read_text().startswith("<!doctype html>")


def texts(table: Table, regime: str | None = None) -> list[tuple[str, ...]]:
    """What stands in the cells of a table, of one regime without its name."""
    lines = [tuple(cell.text for cell in line) for line in table.rows]
    return lines if regime is None else [line[1:] for line in lines if line[0] == regime]


def t_interval(values: np.ndarray) -> tuple[float, float]:
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return round(100 * low, 3), round(100 * high, 3)


def test_the_headline_table_is_the_known_truth(report: Report) -> None:
    """Accuracies are 80 and 84 % plus noise; sparse noise is 8 and 9 % larger, so intervals pass half a percent."""
    (table,) = report.sections[0].tables
    sparse = (
        "set erk",
        "+4.00 [+3.98, +4.02]",
        "▲ better than dense",
        "84.0 [83.7, 84.3]",
        "5",
        "80.0",
        "1.8e-10",
    )
    assert texts(table, "hard") == [
        ("0", "dense", "", "baseline", "80.00 [79.76, 80.24]", "5", "", "", "lr=0.1", "2 s", "hard/dense"),
        ("0.8", *sparse, "lr=0.1", "2 s", "hard/0.8"),
        ("0.9", *sparse, "lr=0.1", "2 s", "hard/0.9"),
    ]
    heat = figure(report, "difference")
    assert texts(heat.table, "easy") == [
        (sparsity, "+0.00 [-0.02, +0.02]", "5", "= no difference shown") for sparsity in ("0.8", "0.9")
    ]
    assert (
        heat.title
        == "Sparse is better than dense in 2 and worse in 0 of 4 compared pairs of regime and sparsity"
    )
    assert [(row["kind"], row["strength"], row["frame"]) for row in rows(heat)] == [
        ("gain", 0.06, "none"),
        ("gain", 0.06, "none"),
        ("gain", 0.6, "beyond chance"),
        ("gain", 0.6, "beyond chance"),
    ]
    assert heat.scales == {"settings": ["easy", "hard"], "sparsities": ["0.8", "0.9"]}


def test_half_a_gain_is_half_as_strong_and_a_loss_is_one(tmp_path: Path) -> None:
    """In the last regime set is better at 0.8 by 4 points and worse at 0.9 by 2."""
    store = known_store(tmp_path / "store", regimes=("hard",))
    lower = [
        {
            **row,
            "sequence": 10_000 + row["sequence"],
            "test_matched_accuracy": row["test_matched_accuracy"] - 0.06,
        }
        for row in store.read("trials").to_pylist()
        if row["cell"] == "hard/0.9" and row["test_matched_accuracy"]
    ]
    store.append("trials", lower)
    heat = figure(make_report(store.uri), "difference")
    assert [(row["text"], row["kind"], row["strength"]) for row in rows(heat)] == [
        ("+4.0", "gain", 0.6),
        ("-2.0", "loss", 0.33),
    ]
    assert "better than dense in 1 and worse in 1 of 2" in heat.title


def test_sparsity_points_are_the_known_truth(report: Report) -> None:
    found = figure(report, "sparsity")
    assert found.title == "Validation prefers sparsity 0.8 in easy and 0.8 in hard"
    assert "4 of 8 points confirmed" in found.subtitle
    hard = list(found.panels[1].rows)
    assert [(row["kind"], row["method"], row["sparsity"], row["mean"]) for row in hard] == [
        ("confirmed", "set", "0.8", 84.0),
        ("unconfirmed", "static", "0.8", 82.0),
        ("confirmed", "set", "0.9", 84.0),
        ("unconfirmed", "static", "0.9", 82.0),
        ("dense", "dense", "0", 80.0),
    ]
    low, high = t_interval(0.8 + np.array(NOISE))
    assert (hard[-1]["low"], hard[-1]["high"], hard[-1]["top"]) == (low, high, high)
    assert (hard[1]["low"], hard[1]["high"], hard[1]["top"]) == (None, None, 82.0)
    assert hard[0]["tip"] == "set erk lr=0.1: 84.0 [83.7, 84.3] %, mean of 5 seeds"
    assert hard[1]["tip"] == "static erk lr=0.1: 82.0 %, unconfirmed, one seed"
    assert texts(found.table, "hard") == [
        ("0", "dense", "80.00 [79.76, 80.24]", "5"),
        ("0.8", "set erk", "84.0 [83.7, 84.3]", "5"),
        ("0.8", "static erk", "82.0", "1, unconfirmed"),
        ("0.9", "set erk", "84.0 [83.7, 84.3]", "5"),
        ("0.9", "static erk", "82.0", "1, unconfirmed"),
    ]


def test_layers_have_a_row_each_with_what_erk_gives_them(report: Report) -> None:
    found = figure(report, "layers")
    assert texts(found.table, "easy")[:3] == [
        ("0.8", "set erk", "conv1", "20.0", "5", "20.0", NOTHING),
        ("0.8", "set erk", "block.conv2", "8.0", "5", "8.0", NOTHING),
        ("0.8", "set erk", "fc", "2.0", "5", "2.0", NOTHING),
    ]
    assert [row["erk"] for row in found.panels[1].rows] == [10.0, 4.0, 1.0], "that of its own sparsity"
    assert len(found.table.rows) == 2 * 2 * 3


def test_layers_denser_or_sparser_than_erk_are_counted(tmp_path: Path) -> None:
    """First layers of 0.2 beside references of 0.1, 0.2 / 1.04 and 0.3, each of its own model."""
    trials = []
    for model, erk in (("a", 0.1), ("b", 0.2 / 1.04), ("c", 0.3), ("d", 0.201)):
        for distribution, density, value in (("erk", erk, 0.5), ("global", 0.2, 0.6)):
            own = {"model": model, "cell": model, "distribution": distribution, "objective": value}
            own["layer_densities"] = json.dumps({"first": density, "second": 0.5})
            trials.append(trial_row(**own, test_matched_accuracy=value))
    found = figure(make_report(filled(tmp_path / "store", trials).uri), "layers")
    assert (
        found.title
        == "The first layer is denser than under ERK in 1, as dense in 2 and sparser in 1 of 4 winners"
    )
    assert [next(iter(panel.rows))["erk"] for panel in found.panels] == [10.0, 19.231, 30.0, 20.1]
    uniform = [{**row, "distribution": "uniform"} if row["distribution"] == "erk" else row for row in trials]
    found = figure(make_report(filled(tmp_path / "other", uniform).uri), "layers")
    assert "denser than under uniform in 1" in found.title
    assert [next(iter(panel.rows))["uniform"] for panel in found.panels] == [10.0, 19.231, 30.0, 20.1]


def test_the_front_is_the_known_truth(report: Report) -> None:
    """Operations are the density, times two for set: the cheapest is static at 0.9, better only set at 0.9."""
    found = figure(report, "pareto")
    assert "0.4 times dense in easy and 0.4 times dense in hard" in found.title
    assert "60 configurations" in found.subtitle
    assert texts(found.table, "hard") == [
        ("static erk", "0.9", "0.1", "82.0", "1, unconfirmed"),
        ("set erk", "0.9", "0.2", "84.0 [83.7, 84.3]", "5"),
    ]
    panel = list(found.panels[1].rows)
    assert [(row["kind"], row["name"], row["flops"]) for row in panel if row["name"]] == [
        ("front", "static 0.9", 0.1),
        ("front", "set 0.9", 0.2),
    ]
    assert len(panel) == 30
    assert sum(row["confirmed"] for row in panel) == 3
    assert all(row["low"] is None for row in panel if row["kind"] == "dominated")
    low, high = t_interval(0.84 + np.array(NOISE) * 1.09)
    assert (panel[1]["low"], panel[1]["high"]) == (low, high)
    assert panel[1]["tip"] == "set erk at 0.9: 84.0 [83.7, 84.3] %, 5 seeds, 0.2 times dense"


def test_deciles_are_the_known_truth(report: Report) -> None:
    found = figure(report, "deciles")
    assert "above 0 in 1 and below 0 in 0 of 2 regimes" in found.title
    sparse, dense = list(found.panels[1].rows)[:10], list(found.panels[1].rows)[10:]
    assert [row["mean"] for row in sparse] == pytest.approx([84.0 - 3 * n for n in range(10)])
    assert [row["mean"] for row in dense] == pytest.approx([80.0 - 3 * n for n in range(10)])
    assert {row["method"] for row in dense} == {"dense"}
    assert [round(a["place"] + b["place"], 6) for a, b in zip(sparse, dense, strict=True)] == list(
        range(0, 20, 2)
    )
    assert all(a["place"] > b["place"] for a, b in zip(sparse, dense, strict=True))
    assert texts(found.table, "hard")[0] == (
        *("0", "84.0 [83.7, 84.3]", "80.00 [79.76, 80.24]"),
        *("+4.00 [+3.98, +4.02]", "5, paired"),
    )
    assert [cell.key for cell in found.table.rows[13][2:5]] == pytest.approx([0.75, 0.71, 0.04])
    assert len(found.table.rows) == 20


def test_a_loss_on_the_hardest_is_counted_below(tmp_path: Path) -> None:
    report = make_report(known_store(tmp_path / "store", gain=-0.03).uri)
    assert "above 0 in 0 and below 0 in 1 of 2 regimes" in figure(report, "deciles").title


def test_the_audit_is_shown(report: Report) -> None:
    """14 of 24 exempt sparse trials of the easy regime are behind; Wilson's upper bound of none of 14 is 21.5 %."""
    found = figure(report, "stopping")
    lines = texts(found.table)
    assert [line[0] for line in lines] == [
        f"{kind}, rung 4, epoch 4" for kind in ("easy, dense", "easy, sparse", "hard, dense", "hard, sparse")
    ]
    assert lines[1][1:] == (
        *("36", "12", "24", "1.00 [1.00, 1.00]"),
        *("0 of 14", "0.0 [0.0, 21.5]", "0.00", "\N{EN DASH}", "yes"),
    )
    bar = rows(found)[1]
    assert bar["rung"] == "easy, sparse, rung 4, epoch 4 (n=24)"
    assert bar["tip"] == "1.00 [1.00, 1.00], 24 exempt trials"


def test_cost_is_summed_by_kind(report: Report) -> None:
    """Every trial took 2 s: per regime 30 were completed, 12 stopped, 15 confirm."""
    found = figure(report, "cost")
    assert (
        found.title
        == "3.8 min of training, early stopping left out 19 % of the search's epochs; no trial failed"
    )
    assert texts(found.table, "easy") == [
        ("confirm", "15", "0", "30 s", "180 of 180"),
        ("search, completed", "30", "0", "60 s", "360 of 360"),
        ("search, stopped early", "12", "0", "24 s", "48 of 144"),
    ]
    easy = [row for row in rows(found) if row["setting"] == "easy"]
    assert [(row["order"], row["time"]) for row in easy] == [(3, 0.5), (0, 1.0), (1, 0.4)]
    assert found.scales["unit"] == "minutes"
    assert "No trial failed." in next(section.text for section in report.sections if section.name == "cost")
    assert missing(report, "cost") == ""


def test_failures_are_counted_by_reason(tmp_path: Path) -> None:
    trials = [trial_row(test_matched_accuracy=0.5, seconds=7200.0)]
    trials += [trial_row(status="failed", reason="nan", cell=f"c{n}", trial_id=f"n{n}") for n in range(4)]
    trials += [trial_row(status="failed", reason="x" * 400, cell="c0", trial_id="x0")]
    report = make_report(filled(tmp_path / "store", trials).uri)
    (section,) = (section for section in report.sections if section.name == "cost")
    (table,) = section.tables
    many, single = texts(table)
    assert many[:3] == ("nan", "4", "c0, c1, c2, ...")
    assert many[3].endswith(" n0")
    assert single[:3] == ("x" * 300, "1", "c0")
    assert section.text == ()
    assert "5 trials failed" in figure(report, "cost").title
    assert figure(report, "cost").scales["unit"] == "hours"


def test_reasons_beyond_thirty_are_counted(tmp_path: Path) -> None:
    trials = [trial_row(status="failed", reason=f"reason {n:02}", seconds=0.0) for n in range(33)]
    report = make_report(filled(tmp_path / "store", trials).uri)
    (section,) = (section for section in report.sections if section.name == "cost")
    assert len(section.tables[0].rows) == 30
    assert section.tables[0].note == "The first 30 of 33 reasons."
    assert section.missing == ("No training time is recorded.",)


def test_provenance_is_that_of_the_trials(tmp_path: Path, report: Report) -> None:
    (section,) = (section for section in report.sections if section.name == "provenance")
    assert section.text == ("Seeds by stage: search: 0; confirm: 1, 2, 3, 4 and 5.",)
    assert texts(section.tables[0]) == [("114", "abc123", "hsl 0.1.0", NOTHING, NOTHING, NOTHING)]
    commands = dict(section.listings)["Run it again"].splitlines()
    assert commands[0] == "git checkout abc123"
    assert [line.split()[-3:] for line in commands if line.startswith("hsl export")] == [
        ["easy/0.8", "--out", "winner-easy-0-8"],
        ["hard/0.8", "--out", "winner-hard-0-8"],
    ]
    assert commands[-2:] == ["# as it was started", "# hsl sweep known.yaml"]
    one = {"git_sha": "a" * 40, "git_dirty": True, "python": "3.11", "versions": {"torch": "2", "x": None}}
    trials = [trial_row(test_matched_accuracy=0.5, provenance=one, device="cpu") for _ in range(2)]
    trials += [trial_row(provenance={"hostname": "h", "platform": "p"})]
    other = make_report(filled(tmp_path / "store", trials).uri)
    (section,) = (section for section in other.sections if section.name == "provenance")
    assert texts(section.tables[0]) == [
        ("2", "a" * 12 + "+", "python 3.11, torch 2", "cpu", NOTHING, NOTHING),
        ("1", NOTHING, NOTHING, NOTHING, "h", "p"),
    ]
    assert section.text[1:] == (
        "Trials come from more than one commit; the table says which.",
        "Some trials ran with changes that were not committed (marked +).",
    )
    assert "no search space" in " ".join(section.missing)


def test_origins_beyond_thirty_are_counted(tmp_path: Path) -> None:
    trials = [trial_row(test_matched_accuracy=0.5, provenance={"git_sha": f"{n:040}"}) for n in range(32)]
    report = make_report(filled(tmp_path / "store", trials).uri)
    (section,) = (section for section in report.sections if section.name == "provenance")
    assert (len(section.tables[0].rows), section.tables[0].note) == (30, "The first 30 of 32 origins.")


def test_curves_are_the_known_truth(report: Report) -> None:
    """The first trials of a cell in the order of the search; the objective approaches its end as 1 - 2^-epoch."""
    found = figure(report, "curves")
    assert "80 trials of the search, of 84" in found.subtitle
    first = [row for row in found.panels[0].rows if row["kind"] != "rung" and row["trial"] == 0]
    assert [row["epoch"] for row in first] == [1, 2, 3, 4]
    assert [row["value"] for row in first] == pytest.approx(
        [69 / 2, 69 * 3 / 4, 69 * 7 / 8, 69 * 15 / 16], abs=0.06
    )
    assert [row["kind"] for row in first] == ["on"] * 3 + ["stopped"]
    assert first[-1]["tip"] == "rigl erk at 0.8, stopped after 4 epochs"
    assert texts(found.table, "easy")[0] == (
        "0.8",
        "rigl erk",
        "stopped",
        "4 of 12",
        "69.0",
        "easy/0.8/rigl/0",
    )
    assert len(found.table.rows) == 80


def test_slices_are_the_known_truth(report: Report) -> None:
    found = figure(report, "slices")
    assert found.title.startswith("Within a point of their cell's best: 4 of 24 trials with method set")
    assert [(panel.title, len(panel.rows)) for panel in found.panels] == [("method", 48), ("training.lr", 48)]
    gaps = {(row["method"], row["value"]): row["gap"] for row in found.panels[1].rows}
    by_rate = {0.03: -1.0, 0.1: 0.0, 0.3: -1.0, 0.05: -2.0, 0.2: -3.0, 0.08: -4.0}
    assert gaps == {
        **{("set", rate): pytest.approx(gap) for rate, gap in by_rate.items()},
        **{("static", rate): pytest.approx(gap - 2) for rate, gap in by_rate.items()},
    }
    (importance,) = figure(report, "importance").panels
    assert importance.title == "all regimes (n=48)"
    assert sum(row["share"] for row in importance.rows) == pytest.approx(100, abs=0.2)
    assert all(row["low"] <= row["share"] <= row["high"] for row in importance.rows)

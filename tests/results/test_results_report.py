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
from hypothesis import given, settings
from hypothesis import strategies as st
from report_stores import NOISE, SEEDS, known_store, place
from results_rows import cell_row, epoch_row, filled, trial_row
from scipy import stats

from hsl import cli
from hsl.errors import ExitCode, NothingMatchedError
from hsl.results.report import images, parameters, pareto
from hsl.results.report.charts import DRAWINGS, draw
from hsl.results.report.contents import make_report
from hsl.results.report.page import as_json, page
from hsl.results.report.structs import Figure, Report
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
    (bar,) = rows(figure(report, "stopping"))
    assert bar["rho"] == pytest.approx(1.0, abs=0.01)
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


def test_every_drawing_is_valid_vega_lite(report: Report) -> None:
    assert [found.name for found in report.figures] == list(DRAWINGS)
    for found in report.figures:
        for variant in found.variants:
            draw(found, report.palette, variant, validate=True)


def test_every_figure_has_a_table_and_says_how_to_read_it(report: Report) -> None:
    for found in report.figures:
        assert found.table.rows
        assert all(len(line) == len(found.table.columns) for line in found.table.rows)
        assert found.title and found.subtitle and found.caption
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
    assert found[-1]["kind"] == "ended" and found[-1]["epoch"] == 200


def test_images_are_images(tmp_path: Path, report: Report) -> None:
    chosen = [figure(report, name) for name in ("difference", "slices")]
    written = images.write_images(chosen, report.palette, tmp_path)
    assert [path.name for path in written] == ["difference.svg", "difference.png", "slices.svg", "slices.png"]
    assert written[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    drawn = ElementTree.parse(written[2]).getroot()
    assert drawn.tag.endswith("svg") and len(drawn.findall(".//{*}path")) > 50
    assert "var(" not in written[2].read_text()


def test_command_without_its_extra_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hsl.commands.report.find_spec", lambda name: None if name == "altair" else object())
    monkeypatch.setattr(sys, "argv", ["hsl", "report", "anything"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.USAGE
    assert "altair; install the extra: pip install 'hsl[report]'" in capsys.readouterr().err


def ended_with(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["hsl", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_command_refuses_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full, empty = filled(tmp_path / "full", [trial_row()]), Store(tmp_path / "empty")
    empty.append("cells", [cell_row()])
    place(tmp_path / "odd", "trials", {"sequence": [0], "trial_id": ["a"]})
    assert ended_with(monkeypatch, empty.uri) == ExitCode.NOTHING_MATCHED
    assert ended_with(monkeypatch, tmp_path / "nowhere") == ExitCode.USAGE
    assert ended_with(monkeypatch, tmp_path / "odd") == ExitCode.USAGE
    assert ended_with(monkeypatch, full.uri, "--metric", "robust") == ExitCode.USAGE
    assert ended_with(monkeypatch, full.uri, "-o", tmp_path) == ExitCode.USAGE
    messages = capsys.readouterr().err
    assert all(
        text in messages
        for text in ("hsl sweep", "no value", "unknown metric 'robust'", "give another --out")
    )


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

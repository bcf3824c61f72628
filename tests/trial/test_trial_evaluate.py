"""``hsl evaluate`` on a store that was filled without Ray: the same numbers as in the trials, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from hsl.cli import app
from hsl.driver.events import Ended
from hsl.driver.jobs import Jobs
from hsl.driver.ledger import Ledger, cell_row
from hsl.driver.watch.progress import CellTally, Tally
from hsl.errors import HslError, NothingMatchedError, StoreError
from hsl.planning.plan import make_plan
from hsl.prepare.parents import make_here, missing
from hsl.space.load import make_space
from hsl.space.stored import space_text
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.packed import unpacked
from hsl.store.store import Store
from hsl.training.configuration import Configuration
from hsl.training.measuring.evaluation_settings import Evaluation
from hsl.training.measuring.measures import Bench
from hsl.trial.evaluate import StoredEvaluation, summed_up
from hsl.trial.run import TrialRun

SPACE: dict[str, Any] = {
    "name": "stored",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [16]},
    "training": {"epochs": 4, "batch_size": 64, "lr": 0.5, "schedule": "constant"},
    "factors": {"sparsity": [0.5]},
    "method": "static",
    "evaluation": {"attacks": ["fgsm"], "samples": 60, "deciles": {"by": "el2n", "models": 1}},
}
ITEMS = 5  # clean, matched, class, decile, fgsm


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two confirmed networks of each of two cells."""
    folder = tmp_path_factory.mktemp("runs") / "store"
    space, store = make_space(SPACE), Store(folder)
    plan = make_plan(space)
    jobs = Jobs(plan, Library(str(folder)))
    store.write_space(space_text(space))
    store.append("cells", [cell_row(cell, space) for cell in plan.cells])
    tally = Tally("confirm", {cell.name: CellTally(2) for cell in plan.cells})
    ledger = Ledger(store, 0, lambda _: False, lambda _: None, tally)
    for cell in plan.cells:
        method = next(iter(cell.distributions))
        values = {"method": method, "sparsity": 0.5 if method == "static" else 0.0}
        chosen = Configuration.model_validate(
            {**{name: SPACE[name] for name in ("dataset", "model", "training")}, **values}
        )
        for seed in (1, 2):
            make_here(missing(jobs.prerequisites.of(chosen, seed, "confirm")), "cpu")
            job = jobs.make(cell, "confirm", chosen, seed, {})
            result = TrialRun(job, "cpu").advance()
            ledger.report(job, [], result.evaluations)
            ledger.end(job, Ended(Status.COMPLETED, summary=result.summary))
    ledger.close()
    return folder


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "store"))


@pytest.fixture
def bare(store: Path) -> Path:
    """The store without what its trials have measured."""
    shutil.rmtree(store / "evaluations")
    return store


def evaluate(folder: Path, *cells: str, asked: tuple[str, ...] = (), said: list[str] | None = None) -> Any:
    say: Callable[[str], None] = said.append if said is not None else lambda _: None
    return StoredEvaluation(str(folder), cells, asked, "cpu", say).run()


def timeless(folder: Path) -> list[dict[str, Any]]:
    rows = Store(folder).read("evaluations").to_pylist()
    names = ("trial_id", "checkpoint", "split", "measure", "detail")
    return sorted(
        ({k: v for k, v in row.items() if k != "seconds"} for row in rows),
        key=lambda r: [r[n] for n in names],
    )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the measures that are really taken."""
    taken: list[str] = []
    measure = Bench.measuring

    def counted(bench: Bench, item: Any, *state: Any) -> Any:
        taken.append(item.measure)
        return measure(bench, item, *state)

    monkeypatch.setattr(Bench, "measuring", counted)
    return taken


def test_measured_later_is_measured_the_same(trained: Path, bare: Path) -> None:
    answer = evaluate(bare)
    assert timeless(bare) == timeless(trained)
    assert len(answer) == len(timeless(trained))
    assert len({row["trial_id"] for row in answer.to_pylist()}) == 4


def test_what_is_there_is_not_measured_again(store: Path, measured: list[str]) -> None:
    answer = evaluate(store)
    assert measured == []
    assert len(answer) == len(timeless(store))


def test_samples_are_added_to_what_is_there(store: Path, measured: list[str]) -> None:
    evaluate(store, asked=("evaluation.per_sample=true",))
    assert set(measured) == {"sample"}
    rows = Store(store).read("evaluations").to_pylist()
    trials = {row["trial_id"]: row for row in Store(store).read("trials").to_pylist()}
    final = [row for row in rows if (row["measure"], row["checkpoint"]) == ("sample", "final")]
    assert len(final) == 8
    for row in final:
        correct = unpacked(row["correct"])[1]
        accuracy = trials[row["trial_id"]][f"test_{row['detail']}_accuracy"]
        assert (correct.mean(), len(correct)) == (pytest.approx(accuracy), row["samples"])


def test_more_samples_are_not_replaced_by_fewer(store: Path, measured: list[str]) -> None:
    """Otherwise cells would be compared on other samples."""
    before = timeless(store)
    answer = evaluate(store, asked=("evaluation.samples=20",))
    assert measured == []
    assert timeless(store) == before
    assert len(answer) == len(before)
    evaluate(store, asked=("evaluation.samples=90",))
    assert set(measured) == {"fgsm"}
    rows = [row for row in Store(store).read("evaluations").to_pylist() if row["measure"] == "fgsm"]
    assert {row["samples"] for row in rows} == {90}


def test_an_interrupted_evaluation_goes_on(
    trained: Path, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, left = Bench.measuring, [7]

    def limited(bench: Bench, item: Any, *state: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return measure(bench, item, *state)

    monkeypatch.setattr(Bench, "measuring", limited)
    with pytest.raises(KeyboardInterrupt):
        evaluate(bare)
    stored = len(timeless(bare))
    assert 0 < stored < len(timeless(trained))
    left[0] = 1_000
    evaluate(bare)
    assert timeless(bare) == timeless(trained)
    assert 1_000 - left[0] + 7 <= 4 * 2 * ITEMS


def test_a_space_may_leave_all_of_it_for_later(trained: Path, bare: Path) -> None:
    """With no stage the sweep measures nothing, and what the section lists is measured when it is asked for."""
    later = make_space({**SPACE, "evaluation": {**SPACE["evaluation"], "stages": []}})
    assert make_plan(later).scores == ()
    Store(bare).write_space(space_text(later))
    shutil.rmtree(bare / "scores")
    evaluate(bare)
    assert timeless(bare) == timeless(trained)


def test_other_parameters_are_measured_anew(store: Path, measured: list[str]) -> None:
    answer = evaluate(store, asked=("evaluation.samples=90", "evaluation.deciles=null")).to_pylist()
    rows = [row for row in answer if row["measure"] == "fgsm"]
    assert set(measured) == {"fgsm"}
    order = [row["measure"] for row in answer]
    assert order[: len(order) // 8] == ["clean", "matched", *["class"] * 10, "worst_class", "fgsm"]
    assert {row["samples"] for row in rows} == {90}
    stored = [row for row in timeless(store) if row["measure"] == "fgsm"]
    assert len(stored) == len(rows) == 4 * 2


def test_only_the_cells_that_are_named(bare: Path) -> None:
    evaluate(bare, "dense")
    assert {row["cell"] for row in timeless(bare)} == {"dense"}
    with pytest.raises(NothingMatchedError, match=r"no cell is called 0.7; cells: 0.5, dense"):
        evaluate(bare, "0.7")


def test_the_mean_of_a_cell_is_that_of_its_networks(store: Path) -> None:
    answer = evaluate(store)
    ids = {row["trial_id"]: row["configuration_id"] for row in Store(str(store)).read("trials").to_pylist()}
    rows, summary = answer.to_pylist(), summed_up(answer, ids, {}, is_brief=False).to_pylist()
    for line in summary:
        key = ("cell", "checkpoint", "split", "measure", "detail")
        values = [row["accuracy"] for row in rows if all(row[name] == line[name] for name in key)]
        assert line["networks"] == len(values) == 2
        assert line["mean_accuracy"] == pytest.approx(sum(values) / 2)
    assert len(summary) == 2 * 2 * (2 + 10 + 1 + 10 + 1)
    assert len(summed_up(answer, ids, {}, is_brief=True)) == 2 * 2 * (2 + 1 + 10 + 1)


def test_runners_up_are_not_pooled_with_the_winner() -> None:
    """Two configurations of one cell, as confirm.top: 2 leaves them; a level that the cell asks for is used."""
    row = {
        "cell": "c",
        "checkpoint": "final",
        "split": "test",
        "measure": "clean",
        "detail": "",
        "samples": 9,
    }
    accuracies = {"a0": 0.9, "a1": 0.92, "a2": 0.91, "b0": 0.5, "b1": 0.52, "b2": 0.51}
    answer = pa.Table.from_pylist(
        [{**row, "trial_id": name, "accuracy": at} for name, at in accuracies.items()]
    )
    ids = {name: name[0] for name in accuracies}
    plain, wide = (summed_up(answer, ids, levels, False).to_pylist() for levels in ({}, {"c": 0.99}))
    assert [(line["configuration_id"], line["networks"]) for line in plain] == [("a", 3), ("b", 3)]
    assert [line["mean_accuracy"] for line in plain] == pytest.approx([0.91, 0.51])
    assert wide[0]["low_accuracy"] < plain[0]["low_accuracy"]


def test_networks_that_are_gone_are_named(bare: Path) -> None:
    files = sorted((bare / "checkpoints").iterdir())
    files[0].unlink()
    said: list[str] = []
    answer = evaluate(bare, said=said)
    assert f"left out, as they are not there: {files[0].stem} (final), {files[0].stem} (best)" in said[0]
    assert len({row["trial_id"] for row in answer.to_pylist()}) == 3
    for file in files[1:]:
        file.unlink()
    with pytest.raises(StoreError, match=r"none of the networks is there: .* and 3 more"):
        evaluate(bare)


def test_nothing_confirmed_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(space_text(make_space(SPACE)))
    with pytest.raises(NothingMatchedError, match=r"confirm.seeds above 0"):
        evaluate(tmp_path)


def test_what_is_not_defined_on_the_images_is_refused(store: Path, measured: list[str]) -> None:
    with pytest.raises(HslError, match="corruptions: fog is not defined on images of 8 x 8"):
        evaluate(store, asked=("evaluation.corruptions=fog",))
    assert measured == []


def test_the_command_needs_no_ray(bare: Path) -> None:
    section = (
        "evaluation={attacks: {names: fgsm, eps: 16/255}, samples: 20, checkpoints: final, per_class: false}"
    )
    options = [section, "-f", "json"]
    program = (
        "import sys; from hsl.cli import app\n"
        f"try: app({['evaluate', str(bare), 'dense', *options]!r})\n"
        "except SystemExit as end: sys.exit(end.code or 'ray' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["measure"], row["detail"], row["networks"]) for row in rows] == [
        ("clean", "", 2),
        ("matched", "", 2),
        ("fgsm", "linf 16/255", 2),
    ]
    assert "1 of 2, dense seed 1: final fgsm linf 16/255" in done.stderr


def section(folder: Path, *overrides: str) -> Evaluation:
    return StoredEvaluation(str(folder), (), overrides, "cpu", lambda _: None)._evaluation


OVERRIDES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "nothing": ((), {}),
    "one key": (("evaluation.samples=30",), {"samples": 30}),
    "another score": (
        ("evaluation.deciles.by=random", "evaluation.deciles.models=null"),
        {"deciles": "random"},
    ),
    "one of several": (
        ("evaluation.splits=val", "evaluation.checkpoints=[best]"),
        {"splits": ["val"], "checkpoints": ["best"]},
    ),
    "a radius": (("evaluation.attacks.eps=16/255",), {"attacks": {"names": ["fgsm"], "eps": "16/255"}}),
    "a norm with its usual radius": (
        ("evaluation.attacks.norm=l2",),
        {"attacks": {"names": ["fgsm"], "norm": "l2"}},
    ),
    "names, then more": (
        ("evaluation.corruptions=[contrast]", "evaluation.corruptions.severities=3"),
        {"corruptions": {"names": ["contrast"], "severities": [3]}},
    ),
    "no attack": (("evaluation.attacks=null", "evaluation.samples=null"), {"attacks": None, "samples": None}),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_overrides_change_what_the_space_says(case: str, store: Path) -> None:
    overrides, changes = OVERRIDES[case]
    assert section(store, *overrides) == Evaluation.model_validate({**SPACE["evaluation"], **changes})


def test_a_whole_section_replaces_that_of_the_space(store: Path) -> None:
    assert section(store, "evaluation={per_class: false, attacks: pgd20}") == Evaluation.model_validate(
        {"per_class": False, "attacks": ["pgd20"]}
    )


WRONG: dict[str, tuple[list[str], str]] = {
    "measure": (["evaluation.attacks=pgd2"], "(did you mean 'pgd20'?)"),
    "key": (
        ["evaluation.corruptions.severitys=[1]"],
        "(did you mean 'severities'?); known: names, published, sev",
    ),
    "no section": (["samples=5"], "(did you mean 'evaluation.samples'?); known: evaluation.checkpoints, "),
    "section of another name": (["evaluations.samples=5"], "(did you mean 'evaluation.samples'?)"),
    "stages": (["evaluation.stages=[search]"], "here confirmed networks are evaluated"),
    "a radius of nothing": (["evaluation.attacks=null", "evaluation.attacks.eps=8/255"], "names: missing"),
    "samples of nothing": (["evaluation.attacks=null"], "add corruptions or attacks"),
    "eps": (["evaluation.attacks.eps=8"], "for example 8/255"),
    "kind": (["evaluation.corruptions=foggy"], "did you mean 'fog'"),
    "severity": (["evaluation.corruptions.severities=6"], "less than or equal to 5"),
    "value": (["evaluation.attacks=[fgsm"], "not a YAML value"),
    "cell": (["clean/training.lr=0.1"], "no cell is called clean/training.lr=0.1; cells: 0.5, dense"),
    "cell of an axis": (
        ["sparsity=0.9"],
        "no cell is called sparsity=0.9; cells: 0.5, dense; what can be set here begins with evaluation.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused(case: str, store: Path) -> None:
    asked, message = WRONG[case]
    done = CliRunner().invoke(app, ["evaluate", str(store), *asked])
    assert isinstance(done.exception, HslError)
    assert message in str(done.exception)


def test_an_option_of_the_past_names_the_key_of_today(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--severity", "3"])
    assert done.exit_code == 2
    assert "evaluation.corruptions.severities" in " ".join(done.output.split())

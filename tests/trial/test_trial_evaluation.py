"""What a trial measures in the end: reported once, the same after an interruption, stored with its trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hsl.driver.events import Ended
from hsl.driver.jobs import Jobs
from hsl.driver.ledger import Ledger
from hsl.driver.resume import Past, refill
from hsl.driver.watch.progress import CellTally, Tally
from hsl.errors import SpaceError
from hsl.hardness.schema.regimes import Regime
from hsl.planning.job import Job
from hsl.planning.plan import make_plan, objective_of
from hsl.prepare.parents import make_here, missing
from hsl.prepare.preflight import preflight
from hsl.space.axes import configuration
from hsl.space.load import load_space, make_space
from hsl.space.schema import SearchSpace
from hsl.space.stored import check_continues, space_text
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.trial import run as trial_module
from hsl.trial.report import Report
from hsl.trial.run import TrialRun

Row = dict[str, Any]

EVALUATION: dict[str, Any] = {
    "deciles": {"by": "el2n", "models": 1, "epoch": 0.5},
    "corruptions": {"names": ["gaussian_noise"], "severities": [3]},
    "attacks": ["fgsm"],
    "samples": 50,
}
STAGES = (None, "search", "confirm")
TRAINING = {"epochs": 6, "batch_size": 64, "checkpoint_every": 1, "lr": 0.5, "schedule": "constant"}


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def space(space_file: Callable[..., Path]) -> SearchSpace:
    return load_space(space_file(evaluation=EVALUATION, training=TRAINING))


def job_of(space: SearchSpace, folder: Path, stage: Any = "confirm", cell: str = "clean/0.8") -> Job:
    plan = make_plan(space)
    (planned,) = [item for item in plan.cells if item.name == cell]
    made = configuration(space, {**planned.levels, "method": "rigl"})
    jobs = Jobs(plan, Library(str(folder)))
    make_here(missing(jobs.prerequisites.of(made, 1, stage)), "cpu")
    return jobs.make(planned, stage, made, 1, {})


def run_to_end(job: Job) -> tuple[list[Row], Report]:
    """Rows of evaluations, and the last report."""
    run, rows = TrialRun(job, "cpu"), []
    while True:
        result = run.advance()
        rows += result.evaluations
        if result.is_last:
            return rows, result


def timeless(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_final_and_best_network_are_measured(space: SearchSpace, tmp_path: Path) -> None:
    rows, result = run_to_end(job_of(space, tmp_path))
    summary = result.summary
    found = {(row["checkpoint"], row["measure"], row["detail"]): row for row in rows}
    assert len(found) == len(rows)
    measures = {"clean", "matched", "class", "worst_class", "decile", "corruption", "corruption_mean", "fgsm"}
    assert {row["measure"] for row in rows} == measures
    assert summary["best_epoch"] < summary["epochs"] == 6
    assert summary["best_objective"] > summary["objective"]
    for name, of in (
        ("clean", "test_clean"),
        ("matched", "test_matched"),
        ("worst_class", "test_worst_class"),
    ):
        assert found["final", name, ""]["accuracy"] == summary[f"{of}_accuracy"]
    for name in ("clean", "matched"):
        assert found["best", name, ""]["accuracy"] == summary[f"best_test_{name}_accuracy"]
    assert {row["epoch"] for row in rows if row["checkpoint"] == "best"} == {summary["best_epoch"]}
    assert {row["epoch"] for row in rows if row["checkpoint"] == "final"} == {6}
    assert {row["split"] for row in rows} == {"test"}
    assert found["final", "fgsm", "linf 8/255"]["samples"] == 50


@pytest.mark.parametrize("interrupted_after", [2, 7])
def test_an_interrupted_trial_measures_the_same(
    interrupted_after: int, space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, whether training or measuring was interrupted, by a time limit of nothing at all."""
    expected, last = run_to_end(job_of(space, tmp_path / "undisturbed"))
    monkeypatch.setattr(trial_module, "REPORT_SECONDS", 0.0)
    job = job_of(space, tmp_path / "interrupted")
    interrupted = TrialRun(job, "cpu")
    for _ in range(interrupted_after):
        assert interrupted.advance().status is Status.RUNNING
    rows, result = run_to_end(job)
    assert timeless(rows) == timeless(expected)
    ignored = {"seconds", "started_at"}
    assert {k: v for k, v in result.summary.items() if k not in ignored} == {
        k: v for k, v in last.summary.items() if k not in ignored
    }


def test_the_last_epochs_are_reported_when_all_is_measured(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no scheduler stops a trial that is only being measured."""
    monkeypatch.setattr(trial_module, "REPORT_SECONDS", 0.0)
    run = TrialRun(job_of(space, tmp_path), "cpu")
    reports = [run.advance() for _ in range(6)]
    assert [[row["epoch"] for row in report.rows] for report in reports] == [[1], [2], [3], [4], [5], []]
    while not reports[-1].is_last:
        reports.append(run.advance())
    assert not any(report.rows for report in reports[5:-1])
    assert sum(len(report.evaluations) > 0 for report in reports[5:]) > 5
    assert [row["epoch"] for row in reports[-1].rows] == [6]


def test_the_search_measures_nothing_unless_it_is_asked_to(space: SearchSpace, tmp_path: Path) -> None:
    rows, result = run_to_end(job_of(space, tmp_path, "search"))
    assert rows == []
    assert result.summary["best_epoch"] is not None
    asked = space.model_copy(
        update={"evaluation": space.evaluation.model_copy(update={"stages": ("search",)})}
    )
    rows, _ = run_to_end(job_of(asked, tmp_path / "asked", "search"))
    assert rows
    assert run_to_end(job_of(asked, tmp_path / "asked", "confirm"))[0] == []


def test_rows_are_stored_once(space: SearchSpace, tmp_path: Path) -> None:
    job = job_of(space, tmp_path)
    rows, result = run_to_end(job)
    store = Store(tmp_path / "store")
    ledger = Ledger(
        store, 0, lambda _: False, lambda _: None, Tally("confirm", {job.identity.cell: CellTally(1)})
    )
    for _ in range(2):
        ledger.report(job, [], rows)
        ledger.end(job, Ended(Status.COMPLETED, summary=result.summary))
        ledger.close()
    stored = store.read("evaluations").to_pylist()
    assert len(stored) == len(rows)
    assert {(row["trial_id"], row["cell"]) for row in stored} == {(job.trial_id, job.identity.cell)}
    (trial,) = store.read("trials").to_pylist()
    assert trial["best_epoch"] == result.summary["best_epoch"]
    assert trial["test_worst_class_accuracy"] == result.summary["test_worst_class_accuracy"]


def test_deciles_need_scores_of_their_own(space: SearchSpace, tmp_path: Path) -> None:
    plan = make_plan(space)
    assert [(s.score, s.models, s.epochs) for s in plan.scores] == [("el2n", 1, 3), ("el2n", 2, 1)]
    jobs = Jobs(plan, Library(str(tmp_path)))
    cell = next(cell for cell in plan.cells if cell.name == "hard/0.8")
    job = jobs.make(cell, "confirm", configuration(space, {**cell.levels, "method": "rigl"}), 1, {})
    assert job.inputs.deciles != job.inputs.scores is not None
    assert jobs.make(cell, "search", job.identity.configuration, 1, {}).inputs.deciles is None
    wanted = {
        stage: [task.target for task in jobs.prerequisites.of(job.identity.configuration, 1, stage)]
        for stage in STAGES
    }
    scores, deciles = job.inputs.scores, job.inputs.deciles
    assert wanted == {None: [scores], "search": [scores], "confirm": [scores, deciles]}


def test_what_is_measured_may_change_in_a_store(space: SearchSpace) -> None:
    other = space.model_copy(update={"evaluation": make_space({**RAW, "evaluation": {}}).evaluation})
    check_continues(space_text(space), other, "store")


RAW: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 2},
    "regimes": {"clean": {}, "noisy": {"label_noise": {"rate": 0.2}, "objective": "clean"}},
    "factors": {"regime": ["clean", "noisy"]},
    "method": "static",
    "sparsity": 0.5,
}


def test_what_cannot_be_measured_is_refused_before_anything_runs() -> None:
    asked = {"corruptions": ["fog", "contrast"], "attacks": ["fgsm"]}
    with pytest.raises(SpaceError, match=r"evaluation: corruptions: fog is not defined on images of 8 x 8"):
        preflight(make_plan(make_space({**RAW, "evaluation": asked})))
    preflight(make_plan(make_space({**RAW, "evaluation": {"corruptions": ["contrast"]}})))


def test_autoattack_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsl.prepare.preflight.find_spec", lambda name: None)
    with pytest.raises(SpaceError, match=r"pip install 'hsl\[autoattack\]'"):
        preflight(make_plan(make_space({**RAW, "evaluation": {"attacks": ["autoattack"]}})))


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"corruption": ["fog"]}, r"evaluation.corruption: unknown key \(did you mean 'corruptions'\?\)"),
        ({"attacks": {"names": ["pgd20"], "epsilon": 1}}, "evaluation.attacks.epsilon: unknown key"),
        ({"deciles": {"by": "el3n"}}, "evaluation.deciles.by: .*did you mean 'el2n'"),
        (
            {"deciles": {"by": "random", "models": 3}},
            "evaluation.deciles: .*models and epoch belong to a score",
        ),
        ({"attacks": ["pgd3"]}, "evaluation.attacks.names.0: .*did you mean 'pgd20'"),
    ],
)
def test_mistakes_are_named_with_their_place(evaluation: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space({**RAW, "evaluation": evaluation})


def test_deciles_by_too_few_looks_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"evaluation.deciles.epoch: forgetting compares at least 2 epochs"):
        make_plan(make_space({**RAW, "evaluation": {"deciles": {"by": "forgetting", "epoch": 0.5}}}))


def test_a_regime_has_an_objective_of_its_own() -> None:
    space = make_space({**RAW, "objective": "worst_class"})
    objectives = {cell.name: objective_of(cell, space) for cell in make_plan(space).cells}
    assert objectives == {
        "clean/dense": "val_worst_class_accuracy",
        "clean": "val_worst_class_accuracy",
        "noisy/dense": "val_clean_accuracy",
        "noisy": "val_clean_accuracy",
    }


def test_an_objective_is_no_part_of_a_configuration() -> None:
    values = {"regime": "noisy", "method": "static"}
    with_objective = configuration(make_space(RAW), values)
    regimes = {"clean": {}, "noisy": {"label_noise": {"rate": 0.2}}}
    without = configuration(make_space({**RAW, "regimes": regimes}), values)
    assert with_objective.id == without.id
    assert with_objective == without
    assert type(with_objective.regime) is Regime


def test_an_unknown_objective_is_refused() -> None:
    for raw in ({"objective": "best"}, {"regimes": {"clean": {"objective": "best"}}, "factors": {}}):
        with pytest.raises(SpaceError, match=r"objective: .*'matched', 'clean' or 'worst_class'"):
            make_space({**RAW, **raw})


def test_a_store_with_another_objective_is_not_continued() -> None:
    stored = space_text(make_space(RAW))
    changed = {**RAW["regimes"], "noisy": {**RAW["regimes"]["noisy"], "objective": "worst_class"}}
    with pytest.raises(Exception, match=r"regimes.noisy.objective: stored clean, given worst_class"):
        check_continues(stored, make_space({**RAW, "regimes": changed}), "store")


def test_rungs_are_refilled_by_the_objective_of_each_cell() -> None:
    seen: list[tuple[str, float]] = []
    admitted: list[str] = []

    class Listener:
        def admit(self, trial_id: str, turn: int | None, place: int | None) -> None:
            admitted.append(trial_id)

        def report(self, cell: str, trial_id: str, row: Any, objective: str) -> bool:
            seen.append((trial_id, row[objective]))
            return False

    rows = [
        {"trial_id": name, "cell": name, "epoch": 1, "epochs_at_target": 1, "sequence": number}
        | {"val_clean_accuracy": 0.25, "val_matched_accuracy": 0.75}
        for number, name in enumerate(("a", "b", "elsewhere"))
    ]
    trials = [{**row, "stage": "search", "status": "stopped"} for row in rows]
    objectives = {"a": "val_clean_accuracy", "b": "val_matched_accuracy"}
    refill(Listener(), Past(trials, pa.Table.from_pylist(rows), [], 0), objectives)
    assert seen == [("a", 0.25), ("b", 0.75)]
    assert admitted == ["a", "b"]

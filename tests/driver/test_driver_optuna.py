"""Studies in a persistent Optuna storage, read back with Optuna itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState
from optuna_dashboard import wsgi

from hsl.driver.watch.optuna import Mirror
from hsl.errors import HslError
from hsl.planning.plan import Plan, make_plan
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.space.load import make_space
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE: dict[str, Any] = {
    "name": "tiny",
    "dataset": "digits",
    "model": "mlp",
    "factors": {"sparsity": [0.5, 0.9]},
    "search": {
        "method": {"choice": ["static", "set", "rigl"]},
        "distribution": {"choice": ["uniform", "erk"]},
        "training.lr": {"loguniform": [0.02, 0.2]},
    },
    "budget": {"configurations_per_cell": 5},
}


def plan_of(**content: Any) -> Plan:
    return make_plan(make_space({**SPACE, **content}))


def asked(study: CellStudy) -> Proposal:
    proposal = study.ask()
    assert proposal is not None
    return proposal


def trials(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=url).trials


OUTCOMES = [Outcome(Status.COMPLETED, 10, 0.8), Outcome("stopped", 4, 0.3), Outcome("failed", 1, None)]


def test_running_studies_can_be_opened_and_a_restart_writes_no_trial_twice(tmp_path: Path) -> None:
    url, plan = f"sqlite:///{tmp_path}/studies.db", plan_of()
    studies = [CellStudy(plan.space, cell) for cell in plan.cells]
    mirror = Mirror(url, plan.space, "store")
    mirror.rebuild(studies)
    names = sorted(summary.study_name for summary in optuna.get_all_study_summaries(url))
    assert names == ["tiny/0.5", "tiny/0.9", "tiny/dense"]
    study = next(study for study in studies if study.cell.name == "0.9")
    proposals = [asked(study) for _ in range(4)]
    for proposal in proposals:
        mirror.proposed(study, proposal.configuration.id)
    assert [t.state for t in trials(url, "tiny/0.9")] == [TrialState.RUNNING] * 4
    for proposal, outcome in zip(proposals, OUTCOMES, strict=False):
        study.tell(proposal.configuration.id, outcome)
        mirror.ended(study, proposal.configuration.id)

    def check() -> None:
        found = trials(url, "tiny/0.9")
        assert [t.state for t in found] == [
            TrialState.COMPLETE,
            TrialState.PRUNED,
            TrialState.FAIL,
            TrialState.RUNNING,
        ]
        assert found[0].value == 0.8
        assert found[1].intermediate_values == {4: 0.3}
        assert [t.params["training.lr"] for t in found] == [p.values["training.lr"] for p in proposals]
        assert [t.user_attrs["configuration"] for t in found] == [p.configuration.id for p in proposals]

    check()
    mirror.rebuild(studies)
    check()
    Mirror(url, plan.space, "store").rebuild(studies)
    check()
    opened = optuna.load_study(study_name="tiny/0.9", storage=url)
    assert opened.metric_names == ["matched"]
    assert opened.user_attrs["sampler"]["name"] == "tpe"


def served(app: Any, path: str) -> Any:
    """What a web application answers to a GET, as JSON."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    status: list[str] = []
    body = b"".join(app(environ, lambda line, headers, *_: status.append(line)))
    assert status == ["200 OK"], body
    return json.loads(body)


def test_optuna_dashboard_opens_running_studies(tmp_path: Path) -> None:
    url, plan = f"sqlite:///{tmp_path}/studies.db", plan_of()
    studies = [CellStudy(plan.space, cell) for cell in plan.cells]
    mirror = Mirror(url, plan.space, "store")
    mirror.rebuild(studies)
    proposals = [asked(studies[0]) for _ in range(2)]
    for proposal in proposals:
        mirror.proposed(studies[0], proposal.configuration.id)
    studies[0].tell(proposals[0].configuration.id, OUTCOMES[0])
    mirror.ended(studies[0], proposals[0].configuration.id)

    app = wsgi(url)
    summaries = served(app, "/api/studies")["study_summaries"]
    assert sorted(found["study_name"] for found in summaries) == ["tiny/0.5", "tiny/0.9", "tiny/dense"]
    (number,) = [f["study_id"] for f in summaries if f["study_name"] == f"tiny/{studies[0].cell.name}"]
    shown = served(app, f"/api/studies/{number}")["trials"]
    assert [trial["state"] for trial in shown] == ["Complete", "Running"]
    assert shown[0]["values"] == [0.8]


def test_studies_of_others_are_left_alone(tmp_path: Path) -> None:
    url, plan = f"sqlite:///{tmp_path}/studies.db", plan_of()
    optuna.create_study(study_name="tiny/0.9", storage=url).add_trial(optuna.trial.create_trial(value=1.0))
    mirror = Mirror(url, plan.space, "store")
    with pytest.raises(HslError, match=r"tiny/0\.9"):
        mirror.rebuild([CellStudy(plan.space, cell) for cell in plan.cells])
    assert [s.study_name for s in optuna.get_all_study_summaries(url)] == ["tiny/0.9"]
    assert len(trials(url, "tiny/0.9")) == 1


def test_several_objectives_are_mirrored(tmp_path: Path) -> None:
    url, plan = f"sqlite:///{tmp_path}/studies.db", plan_of(against=["training_flops"])
    studies = [CellStudy(plan.space, cell) for cell in plan.cells]
    mirror = Mirror(url, plan.space, "store")
    mirror.rebuild(studies)
    proposal = asked(studies[1])
    mirror.proposed(studies[1], proposal.configuration.id)
    studies[1].tell(proposal.configuration.id, Outcome(Status.COMPLETED, 10, 0.8, {"training_flops": 0.2}))
    mirror.ended(studies[1], proposal.configuration.id)
    opened = optuna.load_study(study_name=f"tiny/{studies[1].cell.name}", storage=url)
    assert [trial.values for trial in opened.best_trials] == [[0.8, 0.2]]
    assert [d.name for d in opened.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_a_storage_that_breaks_ends_no_sweep(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url, plan = f"sqlite:///{tmp_path}/studies.db", plan_of()
    study = CellStudy(plan.space, plan.cells[0])
    mirror = Mirror(url, plan.space, "store")
    mirror.rebuild([study])
    first, second = asked(study), asked(study)
    mirror.proposed(study, first.configuration.id)
    optuna.delete_study(study_name="tiny/dense", storage=url)
    study.tell(first.configuration.id, OUTCOMES[0])
    mirror.ended(study, first.configuration.id)
    mirror.proposed(study, second.configuration.id)
    assert len(caplog.records) == 1
    Mirror(url, plan.space, "store").rebuild([study])
    assert [t.state.name for t in trials(url, "tiny/dense")] == ["COMPLETE", "RUNNING"]


def test_a_storage_that_cannot_be_opened_is_refused_without_its_password() -> None:
    with pytest.raises(HslError, match="Optuna storage") as caught:
        Mirror("postgresql://me:secret@localhost:1/x", plan_of().space, "store")
    assert "secret" not in str(caught.value)

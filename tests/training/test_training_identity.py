"""Names and stored configurations when a default changes: nothing old is renamed, nothing new takes an old name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hsl.planning.job import Job
from hsl.training import identity
from hsl.training.configuration import Configuration, Training, digest

BASE: dict[str, Any] = {"dataset": "digits", "model": {"name": "mlp"}}


def made(**content: Any) -> Configuration:
    return Configuration.model_validate({**BASE, **content})


NOW = Training().momentum
BEFORE = 0.123
"""As if the momentum had been this in version 0.1."""


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(identity.FIRST, "training.momentum", BEFORE)
    monkeypatch.setitem(identity.FIRST_HYPERPARAMETERS, "rigl", {"drop_fraction": 0.456})


def test_without_a_changed_default_only_differences_are_stored() -> None:
    assert made().stored() == {"dataset": "digits", "model": {"name": "mlp"}}
    assert made(training={"epochs": 3}).stored()["training"] == {"epochs": 3}
    assert made().id == digest(made().model_dump(mode="json", exclude_defaults=True))


@pytest.mark.usefixtures("changed")
def test_what_has_the_former_default_keeps_its_name_and_the_new_default_gets_another() -> None:
    former, present = made(training={"momentum": BEFORE}), made()
    assert "training" not in former.stored()
    assert former.id == digest({"dataset": "digits", "model": {"name": "mlp"}})
    assert present.stored()["training"] == {"momentum": NOW}
    assert present.id != former.id
    both = made(training={"momentum": BEFORE, "epochs": 3})
    assert both.stored()["training"] == {"epochs": 3}


@pytest.mark.usefixtures("changed")
def test_what_an_earlier_version_stored_is_read_with_the_former_default() -> None:
    read = Configuration.from_stored('{"dataset": "digits", "model": {"name": "mlp"}}')
    assert read.training.momentum == BEFORE
    assert read == made(training={"momentum": BEFORE})
    for content in ({}, {"training": {"momentum": 0.7}}, {"training": {"epochs": 3}}):
        whole = made(**content)
        assert Configuration.from_stored(json.dumps(whole.stored())) == whole


@pytest.mark.usefixtures("changed")
def test_hyperparameters_of_methods_are_treated_the_same() -> None:
    sparse = {"method": "rigl", "sparsity": 0.9}
    former, present = made(**sparse, hyperparameters={"drop_fraction": 0.456}), made(**sparse)
    assert "hyperparameters" not in former.stored()
    assert present.stored()["hyperparameters"] == {"drop_fraction": 0.3}
    for whole in (former, present):
        assert Configuration.from_stored(whole.stored()) == whole
    others = made(method="set", sparsity=0.9)
    assert "hyperparameters" not in others.stored()


@pytest.mark.usefixtures("changed")
def test_jobs_of_version_0_1_go_on_as_they_began() -> None:
    flat = {
        "trial_id": "t",
        "configuration": BASE,
        "seed": 0,
        "cell": "c",
        "regime": "clean",
        "stage": "search",
    }
    job = Job.model_validate({**flat, "checkpoint": "x", "losses": 2, "log": None, "milestones": [1, 4]})
    assert job.identity.configuration.training.momentum == BEFORE
    assert (job.history.losses, job.reporting.milestones, job.inputs.checkpoint) == (2, (1, 4), "x")
    assert Job.model_validate_json(job.model_dump_json(exclude_defaults=True)) == job
    assert (
        job.model_dump(mode="json")["identity"]["configuration"]
        == made(training={"momentum": BEFORE}).stored()
    )

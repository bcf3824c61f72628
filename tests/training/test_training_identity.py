"""Names and stored configurations when a default changes: nothing old is renamed, nothing new takes an old name."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from hsl.hardness.schema.keep import Keep
from hsl.hardness.schema.regimes import Attack
from hsl.planning.job import Job
from hsl.sparsity.methods import METHODS, check_hyperparameters
from hsl.training import identity
from hsl.training.configuration import Configuration, Training, digest
from hsl.training.measuring.evaluation_settings import Deciles

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
    assert made().id == digest(made().model_dump(mode="json", exclude_defaults=True, exclude={"init"}))


@pytest.mark.usefixtures("changed")
def test_what_has_the_former_default_keeps_its_name_and_the_new_default_gets_another() -> None:
    former, present = made(training={"momentum": BEFORE}), made()
    assert "training" not in former.stored()
    assert former.id == digest({"dataset": "digits", "model": {"name": "mlp"}})
    assert present.stored()["training"] == {"momentum": NOW}
    assert present.id != former.id
    both = made(training={"momentum": BEFORE, "epochs": 3})
    assert both.stored()["training"] == {"epochs": 3}


HARD_OF_0_1: dict[str, Any] = {"fraction": 0.5, "by": "el2n", "models": 10, "epoch": 0.1}
"""As 0.1.0 stored the regime ``keep: {fraction: 0.5, by: el2n}``."""


def test_regimes_that_are_scored_have_a_new_identity_and_those_of_0_1_keep_theirs() -> None:
    """The ids are those that version 0.1.0 gave (commit 4ef07ef)."""
    scored = {"fraction": 0.5, "by": "el2n"}
    former = made(regime={"keep": {**scored, "ties": "id", "precision": "single"}})
    assert former.stored()["regime"] == {"keep": HARD_OF_0_1}
    assert former.id == digest({**BASE, "regime": {"keep": HARD_OF_0_1}}) == "9c8c50f856"
    present = made(regime={"keep": scored})
    assert present.stored()["regime"] == {"keep": {**HARD_OF_0_1, "ties": "keyed", "precision": "double"}}
    assert len({former.id, present.id, made(regime={"keep": {**scored, "ties": "id"}}).id}) == 3
    for whole in (former, present):
        assert Configuration.from_stored(json.dumps(whole.stored())) == whole
    read = Configuration.from_stored({**BASE, "regime": {"keep": HARD_OF_0_1}})
    assert read == former
    assert read.regime.keep is not None
    assert (read.regime.keep.ties, read.regime.keep.precision) == ("id", "single")


@pytest.mark.parametrize(
    ("regime", "former"),
    [
        ({}, "533b516523"),
        ({"keep": {"fraction": 0.25}}, "b8dd77c9e0"),
        ({"keep": {"long_tail": {"imbalance": 0.1}}}, "91dae4d24a"),
        ({"label_noise": {"rate": 0.1}}, "ecab87e7b9"),
    ],
)
def test_regimes_without_scores_keep_their_identity_and_get_no_ties(
    regime: dict[str, Any], former: str
) -> None:
    found = made(regime=regime)
    assert found.id == former
    assert Configuration.from_stored(json.dumps(found.stored())) == found
    assert found.regime.keep is None or (found.regime.keep.ties, found.regime.keep.precision) == (None, None)


FREE_OF_0_1: dict[str, Any] = {
    "name": "free",
    "norm": "l2",
    "eps": 0.5,
    "step": 0.5,
    "steps": 1,
    "replays": 4,
}
"""As 0.1.0 stored the regime ``attack: {name: free, norm: l2, replays: 4}``."""


def test_free_training_has_a_new_identity_and_that_of_0_1_keeps_its_own() -> None:
    """The id is that which version 0.1.0 gave (commit 4ef07ef)."""
    given = {"name": "free", "norm": "l2", "replays": 4}
    former = made(regime={"attack": {**given, "at_bounds": "clamp"}})
    assert former.stored()["regime"] == {"attack": FREE_OF_0_1}
    assert former.id == "3692ff2df9"
    present = made(regime={"attack": given})
    assert present.stored()["regime"] == {"attack": {**FREE_OF_0_1, "at_bounds": "moved"}}
    assert present.id != former.id
    for whole in (former, present):
        assert Configuration.from_stored(json.dumps(whole.stored())) == whole
    assert Configuration.from_stored({**BASE, "regime": {"attack": FREE_OF_0_1}}) == former


@pytest.mark.parametrize(
    ("attack", "former"),
    [
        ({}, "73604c8a4c"),
        ({"norm": "l2"}, "ceb027c425"),
        ({"name": "fgsm_rs"}, "ebab8ccc9f"),
        ({"name": "pgd_divergence"}, "5ef4be73b0"),
        ({"name": "pgd_margin"}, "f1034408f9"),
        ({"name": "trades"}, "d677f422c9"),
        ({"name": "mart"}, "0366366065"),
    ],
)
def test_other_attacks_keep_their_identity(attack: dict[str, Any], former: str) -> None:
    """The ids are those that version 0.1.0 gave (commit 4ef07ef)."""
    found = made(regime={"attack": attack})
    assert found.id == former
    assert Configuration.from_stored(json.dumps(found.stored())) == found
    assert found.regime.attack is not None
    assert found.regime.attack.at_bounds is None


SPARSE_OF_0_1: dict[str, Any] = {**BASE, "method": "rigl", "distribution": "erk", "sparsity": 0.9}


def test_masks_by_scores_have_a_new_identity_and_those_of_0_1_keep_theirs() -> None:
    """Of equally scored weights 0.1.0 kept the first; a dense network has no masks, and keeps its name."""
    sparse = {"method": "rigl", "sparsity": 0.9}
    former, present = made(**sparse, layers={"ties": "index"}), made(**sparse)
    assert former.stored() == SPARSE_OF_0_1
    assert present.stored() == {**SPARSE_OF_0_1, "layers": {"ties": "random"}}
    assert former.id == digest(SPARSE_OF_0_1) != present.id
    assert Configuration.from_stored(SPARSE_OF_0_1) == former
    floored = {**SPARSE_OF_0_1, "layers": {"first_dense": True}}
    assert Configuration.from_stored(floored).layers.ties == "index"
    for whole in (former, present, made()):
        assert Configuration.from_stored(json.dumps(whole.stored())) == whole
    assert identity.filled_space({"name": "a"})["layers"] == {"ties": "index"}
    given = {"layers": {"ties": "random", "last_dense": True}}
    assert identity.former_space(given, {"layers": {"last_dense": True}})["layers"] == {
        "ties": "index",
        "last_dense": True,
    }


INIT_OF_0_1 = [
    ("static", "1bf43506ac"),
    ("snip", "649d8969e9"),
    ("grasp", "26881f65e2"),
    ("synflow", "4aec9553d7"),
    ("rigl", "062ea9b406"),
    ("gmp", "83996b49e4"),
]


@pytest.mark.parametrize(("method", "former"), INIT_OF_0_1)
def test_init_by_method_gives_scored_masks_a_new_identity_and_rows_of_0_1_keep_theirs(
    method: str, former: str
) -> None:
    """Ids and stored forms are those of version 0.1.0, in which every method had ``init: sparse``."""
    asked = {"method": method, "sparsity": 0.9, "layers": {"ties": "index"}}
    hyperparameters = {"samples_per_class": 0} if method == "grasp" else {}
    old = made(**asked, init="sparse", hyperparameters=hyperparameters)
    assert (old.id, "init" in old.stored()) == (former, False)
    assert Configuration.from_stored(json.dumps(old.stored())) == old
    present = made(**asked, hyperparameters=hyperparameters)
    assert present.init == METHODS[method].init
    assert (present.id == former) == (present.init == "sparse")
    assert present.stored().get("init", "sparse") == present.init
    assert Configuration.from_stored(json.dumps(present.stored())) == present


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
    others = made(method="gmp", sparsity=0.9)
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


OF_0_1: dict[str, Any] = {
    "split": {"validation": 0.15, "test": 0.2, "seed": 0, "limit": None},
    "training": {
        "epochs": 30,
        "batch_size": 128,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0005,
        "schedule": "cosine",
        "milestones": [0.5, 0.75],
        "gamma": 0.1,
        "warmup": 0.0,
        "augment": None,
        "amp": False,
        "channels_last": False,
        "compile": False,
        "cuda_graphs": False,
        "evaluate_every": 1,
        "checkpoint_every": 10,
    },
    "layers": {
        "include": ["*"],
        "exclude": [],
        "keep_dense": [],
        "first_dense": False,
        "last_dense": False,
        "structure": None,
    },
}
HYPERPARAMETERS_OF_0_1: dict[str, dict[str, float]] = {
    "grasp": {"temperature": 200.0},
    "synflow": {"rounds": 100},
    "set": {"drop_fraction": 0.3, "interval": 0.02, "until": 1.0},
    "set_magnitude": {"drop_fraction": 0.3, "interval": 0.02, "until": 0.75},
    "rigl": {"drop_fraction": 0.3, "interval": 0.02, "until": 0.75},
    "rigl_itop": {"drop_fraction": 0.5, "interval": 0.04, "until": 1.0},
    "snfs": {"drop_fraction": 0.5, "interval": 0.01, "until": 1.0, "momentum": 0.9},
    "mest": {"drop_fraction": 0.2, "interval": 0.03125, "until": 0.75, "gradient_weight": 0.0},
    "mest_soft": {"excess": 0.5, "interval": 0.03125, "until": 0.75, "gradient_weight": 0.0},
    "topkast": {"exploration": 1.0, "interval": 0.003, "penalty": 0.0001},
    "gmp": {"start": 0.1, "end": 0.8, "interval": 0.02},
    "granet": {
        "initial_sparsity": 0.0,
        "start": 0.0,
        "end": 0.6875,
        "interval": 0.016,
        "drop_fraction": 0.5,
        "final_drop_fraction": 0.005,
    },
    "acdc": {"start": 0.05, "interval": 0.1, "end": 0.85},
    "lth": {"rewind": 0.0},
    "imp": {"rounds": 0, "rewind": 0.0},
    "imp_ratios": {"rounds": 0, "rewind": 0.0},
}


KEEP_OF_0_1 = {
    *("fraction", "count", "by", "which", "offset", "mislabel_cut", "power", "long_tail", "class_balanced"),
    *("models", "epoch", "budget"),
}
DECILES_OF_0_1 = {"by", "models", "epoch"}
ATTACK_OF_0_1 = {
    *("name", "norm", "eps", "step", "steps", "eval_steps", "random_start", "bn_mode", "beta", "replays"),
}


def test_new_options_of_parts_that_need_not_be_there_have_a_former_value_and_an_owner() -> None:
    for prefix, schema, former, listed in (
        ("regime.keep", Keep, KEEP_OF_0_1, identity.FIRST),
        ("regime.attack", Attack, ATTACK_OF_0_1, identity.FIRST),
        ("evaluation.deciles", Deciles, DECILES_OF_0_1, identity.FIRST_OF_EVALUATION),
    ):
        assert former <= set(schema.model_fields)
        for name in (
            set(schema.model_fields) - former - {"own"}
        ):  # only selections that 0.1.0 could not use have it
            owner = identity.OWNERS[f"{prefix}.{name}"].path
            assert f"{prefix}.{name}" in listed
            assert owner.rpartition(".")[0] == prefix
            assert owner.rpartition(".")[2] in former


@pytest.mark.usefixtures("changed")
def test_a_stored_space_has_the_former_defaults_where_it_says_nothing() -> None:
    scored = {"fraction": 0.5, "by": "el2n", "models": 3}
    attacks = {
        "e": {"attack": {"name": "free"}},
        "f": {"attack": {"eps": 0.1}},
        "g": {"attack": {"name": [1]}},
    }
    others = {"b": {}, "c": None, "d": {"keep": None}, **attacks}
    stored = {"regimes": {"a": {"keep": scored}, **others}, "evaluation": None}
    before = copy.deepcopy(stored)
    read = identity.filled_space(stored)
    assert read["training"] == {"momentum": BEFORE}
    assert read["regimes"] == {
        **before["regimes"],
        "a": {"keep": {**scored, "ties": "id", "precision": "single"}},
        "e": {"attack": {"name": "free", "at_bounds": "clamp"}},
    }
    assert read["evaluation"] is None
    assert stored == before
    said = {"training": {"momentum": 0.7}, "regimes": {"a": {"keep": {**scored, "ties": "keyed"}}}}
    again = identity.filled_space(said)
    assert again["training"] == said["training"]
    assert again["regimes"]["a"]["keep"] == {**scored, "ties": "keyed", "precision": "single"}


def test_whoever_changes_a_default_lists_the_former_one() -> None:
    present = made().model_dump(mode="json")
    for group, first in OF_0_1.items():
        for name, value in first.items():
            assert identity.FIRST.get(f"{group}.{name}", present[group][name]) == value, f"{group}.{name}"
    for method, values in HYPERPARAMETERS_OF_0_1.items():
        listed = identity.FIRST_HYPERPARAMETERS.get(method, {})
        first = {**check_hyperparameters(method, {}), **listed}
        assert {name: first[name] for name in values} == values, method
        assert first.keys() - values.keys() <= listed.keys(), (
            f"{method}: what 0.1 did without it is not listed"
        )

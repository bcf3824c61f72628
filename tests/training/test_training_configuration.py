"""The identity of a configuration: it must change with whatever changes a result, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hsl.sparsity.methods import METHODS
from hsl.training.configuration import Configuration, Split, Training, digest, model_spec

MINIMAL: dict[str, Any] = {"dataset": "digits", "model": {"name": "mlp"}}
SPARSE = {**MINIMAL, "method": "rigl", "sparsity": 0.9}

OTHER_TRAINING: dict[str, Any] = {
    "epochs": 7,
    "batch_size": 32,
    "optimizer": "adamw",
    "lr": 0.05,
    "momentum": 0.5,
    "nesterov": True,
    "weight_decay": 0.0,
    "schedule": "step",
    "milestones": [0.3],
    "gamma": 0.5,
    "warmup": 0.1,
    "augment": True,
    "amp": True,
    "channels_last": True,
    "compile": True,
    "cuda_graphs": True,
    "evaluate_every": 2,
    "checkpoint_every": 3,
}
OTHER_SPLIT: dict[str, Any] = {"validation": 0.2, "test": 0.3, "seed": 1, "limit": 100}
OTHER: dict[str, Any] = {
    "dataset": "cifar10",
    "model": {"name": "lenet"},
    "split": {"seed": 5},
    "training": {"lr": 0.2},
    "regime": {"keep": {"fraction": 0.5}},
    "method": "set",
    "hyperparameters": {"drop_fraction": 0.4},
    "distribution": "from:grasp",
    "sparsity": 0.8,
    "init": "dense",
    "layers": {"last_dense": True},
    "content": "0123456789abcdef",
    "code": {"rigl": "0123456789abcdef"},
    "ratios": {"samples_per_class": 3},
}


def id_of(**content: Any) -> str:
    return Configuration(**content).id


@pytest.mark.parametrize("field", OTHER)
def test_every_field_changes_the_id(field: str) -> None:
    base = {**SPARSE, "distribution": OTHER["distribution"]} if field == "ratios" else SPARSE
    assert id_of(**{**base, field: OTHER[field]}) != id_of(**base)


@pytest.mark.parametrize("field", OTHER_TRAINING)
def test_every_training_field_changes_the_id(field: str) -> None:
    assert id_of(**MINIMAL, training={field: OTHER_TRAINING[field]}) != id_of(**MINIMAL)


@pytest.mark.parametrize("field", OTHER_SPLIT)
def test_every_split_field_changes_the_id(field: str) -> None:
    assert id_of(**MINIMAL, split={field: OTHER_SPLIT[field]}) != id_of(**MINIMAL)


def test_no_field_is_left_out_above() -> None:
    assert set(OTHER) == set(Configuration.model_fields)
    assert set(OTHER_TRAINING) == set(Training.model_fields)
    assert set(OTHER_SPLIT) == set(Split.model_fields)


def test_model_options_change_the_id() -> None:
    one = {**MINIMAL, "model": {"name": "mlp", "widths": [64]}}
    other = {**MINIMAL, "model": {"name": "mlp", "widths": [65]}}
    assert len({id_of(**MINIMAL), id_of(**one), id_of(**other)}) == 3


@given(st.permutations(list(OTHER_TRAINING)), st.permutations(["dataset", "model", "training"]))
def test_the_order_of_keys_does_not_change_the_id(training: list[str], top: list[str]) -> None:
    content = {**MINIMAL, "training": OTHER_TRAINING}
    shuffled = {**content, "training": {key: OTHER_TRAINING[key] for key in training}}
    assert id_of(**{key: shuffled[key] for key in top}) == id_of(**content)


@pytest.mark.parametrize("method", METHODS)
def test_defaults_given_explicitly_do_not_change_the_id(method: str) -> None:
    entry = METHODS[method]
    base = {**MINIMAL, "method": method, "sparsity": 0.9 if entry.distributions else 0.0}
    explicit = {
        **base,
        "training": Training().model_dump(),
        "split": Split().model_dump(mode="json"),
        "regime": {},
        "init": entry.init,
        "hyperparameters": {h.name: h.default for h in entry.hyperparameters},
        "distribution": entry.distributions[0] if entry.distributions else None,
    }
    assert id_of(**explicit) == id_of(**base)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"training": {"lr": 1}}, {"training": {"lr": 1.0}}),
        ({"training": {"milestones": [0.5]}}, {"training": {"milestones": (0.5,)}}),
        (
            {"regime": {"attack": {"eps": "8/255", "step": "2/255", "steps": 3}}},
            {"regime": {"attack": {"eps": 8 / 255, "step": 2 / 255, "steps": 3}}},
        ),
    ],
)
def test_two_ways_to_write_a_value_have_one_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert id_of(**MINIMAL, **one) == id_of(**MINIMAL, **other)


PINNED: list[tuple[str, dict[str, Any]]] = [
    ("533b516523", MINIMAL),
    ("1bf43506ac", {**MINIMAL, "method": "static", "sparsity": 0.9}),
    ("16e50c8ccd", {**MINIMAL, "method": "snip", "sparsity": 0.95, "init": "sparse"}),
    (
        "174c2f48fd",
        {
            **MINIMAL,
            "method": "set",
            "sparsity": 0.8,
            "hyperparameters": {"drop_fraction": 0.4, "restart_regrown": 0},
        },
    ),
    ("431107e15e", {**MINIMAL, "method": "rigl", "sparsity": 0.5, "distribution": "uniform"}),
    ("59ebe8f0a4", {**MINIMAL, "method": "gmp", "sparsity": 0.9, "init": "dense"}),
    ("735a9fd367", {**MINIMAL, "method": "omp", "sparsity": 0.9, "training": {"lr": 0.05}}),
    ("325273534b", {**MINIMAL, "method": "lth", "sparsity": 0.9, "hyperparameters": {"rewind": 0.1}}),
    ("7caf6182d3", {**MINIMAL, "model": {"name": "mlp", "widths": [64, 32]}}),
    (
        "2a5fe19d90",
        {
            **MINIMAL,
            "dataset": "cifar10",
            "model": {"name": "resnet18"},
            "training": {"epochs": 200, "schedule": "multistep", "amp": True},
        },
    ),
    (
        "9c8c50f856",
        {**MINIMAL, "regime": {"keep": {"fraction": 0.5, "by": "el2n", "ties": "id", "precision": "single"}}},
    ),
    (
        "9e7b333cc4",
        {
            **MINIMAL,
            "regime": {"keep": {"fraction": 0.25}, "corruption": {"name": "gaussian_noise", "severity": 3}},
        },
    ),
    ("a17a1e97d6", {**MINIMAL, "regime": {"attack": {"eps": "16/255", "step": "4/255", "steps": 5}}}),
    ("f10b0264a2", {**MINIMAL, "regime": {"label_noise": {"rate": 0.2}}, "split": {"limit": 500, "seed": 3}}),
]


@pytest.mark.parametrize(("expected", "content"), PINNED)
def test_ids_are_what_stores_of_earlier_versions_hold(expected: str, content: dict[str, Any]) -> None:
    """If this fails, a default has changed: results under old ids would silently get another meaning."""
    former = {"layers": {"ties": "index"}} if content.get("sparsity") else {}
    assert id_of(**content, **former) == expected


def test_a_trial_is_a_configuration_with_a_seed() -> None:
    configuration = Configuration(**SPARSE)
    assert configuration.trial_id(3) == f"{configuration.id}-3"


def test_ids_survive_json() -> None:
    configuration = Configuration(**{**SPARSE, **OTHER, "method": "rigl", "training": OTHER_TRAINING})
    assert Configuration.model_validate_json(configuration.model_dump_json()).id == configuration.id
    short = configuration.model_dump(mode="json", exclude_defaults=True)
    assert Configuration.model_validate(short).id == configuration.id


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=6), st.randoms())
def test_a_digest_ignores_the_order_of_keys(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)


@pytest.mark.parametrize("sparsity", [1.0, 1, -0.1, "90%", "0.9", True, None, [0.5], float("nan")])
def test_no_other_sparsity_is_taken(sparsity: Any) -> None:
    with pytest.raises(ValidationError, match=r"a number in \[0, 1\); for 90 % write 0\.9"):
        Configuration(**{**SPARSE, "sparsity": sparsity})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "rigll"}, "unknown method 'rigll' (did you mean 'rigl'?); known: "),
        ({"distribution": "erkk"}, "(did you mean 'erk'?)"),
        ({"dataset": "digit"}, "unknown data set 'digit' (did you mean 'digits'?); known: cifar10,"),
        ({"dataset": "parqet:data/x.y"}, "unknown data set 'parqet' (did you mean 'parquet'?)"),
        ({"dataset": "parquet"}, "needs a path, for example parquet:data/parquet"),
        ({"model": {"name": "resnet19"}}, "(did you mean 'resnet1"),
        ({"training": {"schedule": "cosin"}}, "'constant', 'cosine', 'step', 'multistep' or 'one_cycle'"),
        ({"hyperparameters": {"drop_fractoin": 0.3}}, "(did you mean 'drop_fraction'?)"),
        ({"hyperparameters": {"drop_fraction": 2.0}}, "it must be in [0, 1]"),
        ({"distribution": "global"}, "rigl does not take distribution global; it takes erk,"),
        ({"sparsity": 0.0}, "rigl at sparsity 0 is dense training; use method dense"),
        ({"method": "dense"}, "dense prunes nothing, so its sparsity is 0 (0.9 was given)"),
        ({"training": {"lr": 0}}, "greater than 0"),
        ({"training": {"lr": float("inf")}}, "finite number"),
        ({"training": {"epochs": 0}}, "greater than or equal to 1"),
        ({"training": {"milestones": []}}, "at least 1 item"),
        ({"epochs": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Configuration(**{**SPARSE, **change})
    assert message in str(caught.value)


def test_a_model_is_given_by_name_or_with_options() -> None:
    assert model_spec("mlp") == model_spec({"name": "mlp"}) == model_spec(model_spec("mlp"))
    assert model_spec({"name": "mlp", "widths": [3]}).options == {"widths": [3]}


def test_the_dense_counterpart_shares_data_and_model_alone() -> None:
    child = Configuration(**{**SPARSE, "split": {"limit": 100}, "init": "dense"})
    dense = child.dense_counterpart(Training(lr=0.3), child.regime)
    assert (dense.method, dense.sparsity, dense.distribution, dense.init) == ("dense", 0.0, None, "sparse")
    assert (dense.dataset, dense.model, dense.split) == (child.dataset, child.model, child.split)
    assert dense.training.lr == 0.3


@pytest.mark.parametrize(
    "module",
    [
        "configuration",
        "available",
        "data.arrays",
        "data.sources",
        "data.datasets",
        "data.score_tables",
        "cost.passes",
    ],
)
def test_what_planning_needs_imports_no_torch(module: str) -> None:
    code = f"import hsl.training.{module}, sys; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

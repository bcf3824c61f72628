"""The settings of samplers: defaults, both sides of every limit, and which there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hsl.space.samplers import CmaEs, Gp, Grid, Random, Sampler, Tpe

DEFAULTS: Mapping[type[Any], Mapping[str, Any]] = {
    Random: {"name": "random"},
    Grid: {"name": "grid"},
    Tpe: {
        "name": "tpe",
        "n_startup_trials": None,
        "n_ei_candidates": 24,  # as in Optuna
        "multivariate": True,
        "group": True,
        "constant_liar": True,
    },
    CmaEs: {"name": "cmaes", "n_startup_trials": None, "popsize": None},
    Gp: {"name": "gp", "n_startup_trials": None, "deterministic_objective": False},
}

LIMITS = [
    ("tpe", "n_startup_trials", (0, 1, None), (-1, 1.5)),
    ("tpe", "n_ei_candidates", (1, 24), (0, -1, 1.5)),
    ("cmaes", "n_startup_trials", (1, 2, None), (0, -1, 1.5)),
    ("cmaes", "popsize", (2, 3, None), (1, 0, 2.5)),
    ("gp", "n_startup_trials", (0, 1, None), (-1, 1.5)),
]

sampler = TypeAdapter(Sampler).validate_python


@pytest.mark.parametrize("model", DEFAULTS)
def test_a_name_alone_is_a_sampler_with_its_defaults(model: type[Any]) -> None:
    name = DEFAULTS[model]["name"]
    found = sampler(name)
    assert type(found) is model
    assert found.model_dump() == DEFAULTS[model]
    assert sampler({"name": name}) == found == sampler(found)


@pytest.mark.parametrize(("name", "field", "accepted", "refused"), LIMITS)
def test_both_sides_of_every_limit(
    name: str, field: str, accepted: tuple[Any, ...], refused: tuple[Any, ...]
) -> None:
    for value in accepted:
        assert getattr(sampler({"name": name, field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError):
            sampler({"name": name, field: value})


@pytest.mark.parametrize("given", ["sobol", {"name": "random", "seed": 1}, {}, 3, {"n_startup_trials": 1}])
def test_others_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        sampler(given)


@pytest.mark.parametrize(("group", "multivariate"), [(True, True), (False, True), (False, False)])
def test_groups_are_multivariate(group: bool, multivariate: bool) -> None:
    found = sampler({"name": "tpe", "group": group, "multivariate": multivariate})
    assert (found.group, found.multivariate) == (group, multivariate)
    with pytest.raises(ValidationError, match="group asks for multivariate; set group: false as well"):
        sampler({"name": "tpe", "multivariate": False})

"""Sections that a name alone stands for: an override of another key keeps the name; unknown names are said in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hsl.errors import SpaceError
from hsl.space.load import load_space, make_space, override
from hsl.space.problems import short_form
from hsl.space.samplers import SAMPLERS
from hsl.stopping.settings import EARLY_STOPPING

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "method": "static", "sparsity": 0.5}
DIGITS = Path(__file__).parents[2] / "search_spaces" / "digits.yaml"


def problems(**content: Any) -> str:
    with pytest.raises(SpaceError) as caught:
        make_space({**BASE, **content})
    return str(caught.value)


@pytest.mark.parametrize(
    ("location", "value", "key"),
    [
        (("model",), "mlp", "name"),
        (("evaluation", "corruptions"), "fog", "names"),
        (("evaluation", "corruptions"), ["fog", "snow"], "names"),
        (("evaluation", "attacks"), "pgd20", "names"),
        (("evaluation", "deciles"), "grand", "by"),
        *((("sampler",), name, "name") for name in SAMPLERS),
        *((("early_stopping",), name, "kind") for name in EARLY_STOPPING),
        (("early_stopping",), "own_axes:Floor", "kind"),
        (("early_stopping",), "meridian", "kind"),
        (("nothing",), "mlp", None),
    ],
)
def test_the_schema_says_which_key_is_meant(location: Any, value: Any, key: str | None) -> None:
    assert short_form(location, value) == key


def test_the_key_of_an_early_stopping_is_not_lost_by_an_override() -> None:
    found = load_space(DIGITS, ["early_stopping=median", "early_stopping.tolerance=0.01"]).early_stopping
    assert found is not None
    assert (found.kind, found.noise) == ("median", 0.01)


def test_an_override_of_a_name_that_is_unknown_says_so() -> None:
    raw = {**BASE, "early_stopping": "medain"}
    override(raw, "early_stopping.tolerance=0.01")
    with pytest.raises(SpaceError, match=r"unknown kind 'medain' \(did you mean 'median'\?\)"):
        make_space(raw)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (
            "randm",
            "sampler: unknown sampler 'randm' (did you mean 'random'?); known: cmaes, gp, grid, random, tpe",
        ),
        ({"name": "hil"}, "sampler: unknown sampler 'hil'; known: cmaes, gp, grid, random, tpe"),
        ({"n_startup_trials": 3}, "sampler: name is missing; give it, for example sampler: {name: ...}"),
        (
            {"name": "tpe", "popsize": 3},
            "sampler.popsize: unknown key; known: constant_liar, group, multivariate",
        ),
    ],
    ids=str,
)
def test_an_unknown_sampler_is_said_as_every_unknown_name(sampler: Any, message: str) -> None:
    assert message in problems(sampler=sampler)


def test_a_method_that_cannot_be_imported_is_one_problem() -> None:
    tuned = {"method.first": {"uniform": [0, 1]}, "method.drop_fraction": {"uniform": [0.1, 3.0]}}
    said = problems(method="nowhere:METHOD", search={**tuned, "training.rate": {"uniform": [0, 1]}})
    assert "method: method 'nowhere:METHOD' cannot be imported: No module named 'nowhere'" in said
    assert "method.first" not in said, "it may have one of this name"
    assert "search.training.rate: unknown axis" in said
    assert "search.method.drop_fraction: 3.0" in said, "of a known one the value is checked"
    assert "unknown axis (did you mean 'method.end'" not in said

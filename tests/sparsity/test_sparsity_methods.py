"""The registry of methods, what users may ask of one, and that asking imports no torch."""

import re
import subprocess
import sys

import pytest

import hsl.sparsity
from hsl.errors import MethodError, UnknownNameError
from hsl.sparsity import DISTRIBUTIONS, METHODS, check_hyperparameters, feasible
from hsl.sparsity.criteria import CRITERIA

READ_GRADIENTS = {"gradient", "snip", "momentum", "magnitude_and_gradient"}


def test_planning_imports_neither_torch_nor_ray():
    program = (
        "import sys, hsl.sparsity as s, hsl.sparsity.schedules\n"
        "s.check_hyperparameters('rigl', {}); s.feasible('snip', 'erk')\n"
        "assert not {'torch', 'ray'} & set(sys.modules), 'torch or ray was imported'\n"
        "assert s.Sparsifier.__name__ == 'Sparsifier' and 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_public_names_exist():
    assert all(hasattr(hsl.sparsity, name) for name in hsl.sparsity.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = hsl.sparsity.nothing


@pytest.mark.parametrize("name", list(METHODS))
def test_compositions_name_what_exists(name):
    method = METHODS[name]
    assert method.name == name
    assert all(distribution in DISTRIBUTIONS for distribution in method.distributions)
    settings = {"start", "decay", "redistribute"}
    criteria = {value for field, value in vars(method.moment).items() if field not in settings}
    assert criteria <= set(CRITERIA)
    assert method.needs_gradient == bool(criteria & READ_GRADIENTS)
    assert all(parameter.low <= parameter.default <= parameter.high for parameter in method.hyperparameters)


def test_set_magnitude_and_rigl_differ_in_the_grow_criterion_only():
    rigl, set_ = METHODS["rigl"], METHODS["set_magnitude"]
    assert (rigl.moment.drop, rigl.hyperparameters) == (set_.moment.drop, set_.hyperparameters)
    assert (rigl.moment.grow, set_.moment.grow) == ("gradient", "random")


def test_defaults_are_filled_in():
    assert check_hyperparameters("rigl", {"drop_fraction": 0.5}) == {
        "drop_fraction": 0.5,
        "interval": 0.02,
        "until": 0.75,
    }
    assert check_hyperparameters("gmp", {}) == {"start": 0.1, "end": 0.8, "interval": 0.02}
    assert check_hyperparameters("lth", {}) == {"rewind": 0.0}
    assert check_hyperparameters("dense", {}) == {}


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        (
            "rigl",
            {"drop_fracton": 0.3},
            r"no hyperparameter 'drop_fracton' \(did you mean 'drop_fraction'\?\)",
        ),
        ("static", {"interval": 0.1}, r"'static' has no hyperparameter 'interval'; it has none"),
        ("set", {"drop_fraction": 1.5}, r"method\.drop_fraction of set is 1\.5, it must be in \[0, 1\]"),
        ("gmp", {"start": 0.9}, r"method\.start of gmp is 0\.9, it must be smaller than method\.end.*0\.8"),
        ("gmp", {"end": "late"}, r"method\.end of gmp must be a number, not 'late'"),
        ("gmp", {"end": True}, r"must be a number, not True"),
        ("gmp", {"end": float("nan")}, r"it must be in \[0, 1\]"),
    ],
)
def test_wrong_hyperparameters_are_refused(method, given, message):
    with pytest.raises(MethodError, match=message):
        check_hyperparameters(method, given)


@pytest.mark.parametrize(
    ("method", "distribution", "sparsity", "reason"),
    [
        ("static", "global", 0.9, "static does not take distribution global; it takes uniform,"),
        ("rigl", "global", None, "rigl does not take distribution global"),
        ("rigl", None, 0, "rigl at sparsity 0 is dense training; use method dense"),
        ("dense", "erk", None, r"prunes nothing, so it takes no distribution \(erk was given\)"),
        ("dense", None, 0.5, r"its sparsity is 0 \(0\.5 was given\)"),
        ("dense", "my.module:split", 0, "takes no distribution"),
    ],
)
def test_what_means_nothing_has_a_reason(method, distribution, sparsity, reason):
    assert re.search(reason, feasible(method, distribution, sparsity))


@pytest.mark.parametrize(
    ("method", "distribution", "sparsity"),
    [("snip", "erk", 0.9), ("gmp", None, None), ("dense", None, 0), ("rigl", "my.module:split", 0.5)],
)
def test_what_means_something_has_none(method, distribution, sparsity):
    assert feasible(method, distribution, sparsity) is None


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match=r"unknown method 'rigel' \(did you mean 'rigl'\?\)"):
        feasible("rigel", "erk")
    with pytest.raises(UnknownNameError, match="unknown distribution 'erg'"):
        feasible("rigl", "erg")

"""The registry of methods, what users may ask of one, and that asking imports no torch."""

import re
import subprocess
import sys

import pytest

import hsl.sparsity
from hsl.errors import MethodError, UnknownNameError
from hsl.sparsity import DISTRIBUTIONS, METHODS, check_hyperparameters, feasible
from hsl.sparsity.methods.iterative import round_before, rounds_of
from hsl.sparsity.methods.weight_scores import CRITERIA

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
    assert method.default == next(iter(method.distributions), None) or len(method.distributions) == 1
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


PUBLISHED = {
    # Wang et al. 2020: logits over 200. Tanaka et al. 2020: 100 rounds.
    "grasp": {"temperature": (200, 1, 1e6), "samples_per_class": (10, 0, 1000)},
    "synflow": {"rounds": (100, 1, 1000)},
    # Xiao et al. 2024: of 200 epochs, pruning from 20 to 160 every 4.
    "gmp": {"start": (20 / 200, 0, 1), "end": (160 / 200, 0, 1), "interval": (4 / 200, 0, 1)},
    # Liu et al. 2021: of 160 epochs, until 110; drops half, at last 0.5 %.
    "granet": {
        "initial_sparsity": (0, 0, 0.99),
        "start": (0, 0, 1),
        "end": (110 / 160, 0, 1),
        "interval": (0.016, 0, 1),
        "drop_fraction": (0.5, 0, 1),
        "final_drop_fraction": (0.005, 0, 1),
    },
    # Peste et al. 2021: of 100 epochs, dense until 5, phases of 10, sparse from 85.
    # Its authors' runs restart the optimizer as a dense phase begins.
    "acdc": {
        "start": (5 / 100, 0, 1),
        "interval": (10 / 100, 0, 1),
        "end": (85 / 100, 0, 1),
        "reset_momentum": (1, 0, 1),
    },
    # Frankle and Carbin 2019: rewound to the initial weights.
    "lth": {"rewind": (0, 0, 1)},
    "imp": {"rounds": (0, 0, 100), "rewind": (0, 0, 1)},
    "imp_ratios": {"rounds": (0, 0, 100), "rewind": (0, 0, 1)},
    "topkast": {"exploration": (1, 0, 1000), "interval": (0.003, 0, 1), "penalty": (1e-4, 0, 1)},
    **{name: {} for name in ("dense", "static", "snip", "snip_ratios", "omp", "omp_ratios")},
}
"""Defaults as the papers have them, with the bounds that they make sense in."""


WHOLE = {"rounds", "samples_per_class", "reset_momentum"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_hyperparameters_are_those_of_the_papers(name):
    found = {h.name: (h.default, h.low, h.high) for h in METHODS[name].hyperparameters}
    assert found == {key: pytest.approx(value) for key, value in PUBLISHED[name].items()}
    assert {h.name for h in METHODS[name].hyperparameters if h.whole} == WHOLE & found.keys()
    ordered = {h.name: h.below for h in METHODS[name].hyperparameters if h.below}
    assert ordered == ({"start": "end"} if name in ("gmp", "granet", "acdc") else {})


def test_what_a_method_needs_and_takes():
    gradient = {name for name in METHODS if METHODS[name].needs_gradient}
    assert gradient == {"snip", "rigl", "rigl_itop", "snfs", "mest", "mest_soft", "granet"}
    assert {name for name in METHODS if METHODS[name].needs_loss} == {"grasp", "synflow", "snip_ratios"}
    assert {name for name in METHODS if METHODS[name].iterative} == {"imp", "imp_ratios"}
    parents = {name for name in METHODS if METHODS[name].needs_parent}
    assert parents == {"omp", "lth", "imp", "omp_ratios", "imp_ratios"}
    structured = {name for name in METHODS if METHODS[name].takes_structure}
    assert structured == {"static", "snip", "grasp", "omp", "lth", "imp", "gmp", "acdc"}
    assert not METHODS["dense"].has_schedule and METHODS["gmp"].has_schedule
    assert METHODS["set"].starts_sparse and not METHODS["gmp"].starts_sparse
    own = "hsl.sparsity.distributions.formulas:erk"
    assert METHODS["set"].takes(own) and not METHODS["snip_ratios"].takes(own)
    assert METHODS["snip_ratios"].takes("from:snip") and not METHODS["snip_ratios"].takes("erk")


@pytest.mark.parametrize(
    ("sparsity", "asked", "rounds"),
    [(0.1, 0, 1), (0.2, 0, 1), (0.21, 0, 2), (0.36, 0, 2), (0.9, 0, 11), (0.9, 3, 3)],
)
def test_as_few_rounds_as_keep_four_fifths(sparsity, asked, rounds):
    assert rounds_of(sparsity, asked) == rounds


def test_the_round_before_keeps_the_same_fraction():
    """Three rounds to 1/8: the two before leave 1/4, of a round the dense network is the parent."""
    sparsity, rounds = round_before(7 / 8, {"rounds": 3})
    assert (sparsity, rounds) == (pytest.approx(3 / 4), 2)
    assert round_before(sparsity, {"rounds": rounds}) == (pytest.approx(1 / 2), 1)
    assert round_before(0.5, {"rounds": 1}) is None

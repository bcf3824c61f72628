"""Plans: which cells there are, what is left out, and what they need; counted by hand."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hsl.errors import SpaceError
from hsl.planning.cost import estimate
from hsl.planning.plan import Plan, ancestors, make_plan
from hsl.planning.scores import asked_scores, scores_for
from hsl.space.axes import configuration
from hsl.space.load import load_space, make_space
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.training.configuration import Configuration, Layers, Training

DIGITS = Path(__file__).parents[2] / "search_spaces" / "digits.yaml"
BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "training": {"epochs": 10}}


def planned(**content: Any) -> Plan:
    return make_plan(make_space({**BASE, **content}))


def names(plan: Plan) -> list[str]:
    return [cell.name for cell in plan.cells]


def confirm_trials(plan: Plan) -> int:
    (found,) = (cost.trials for cost in estimate(plan) if cost.stage == "confirm")
    return found


class TestDigits:
    """The space that ships: four regimes x three sparsities, and a dense baseline per regime."""

    plan = make_plan(load_space(DIGITS))

    def test_there_is_a_cell_for_every_combination_and_a_baseline_for_every_regime(self) -> None:
        regimes = ("clean", "noisy-quarter", "hardest-half", "pgd")
        expected = {f"{r}/{s}" for r in regimes for s in (0.8, 0.9, 0.95)} | {f"{r}/dense" for r in regimes}
        assert len(names(self.plan)) == 16
        assert set(names(self.plan)) == expected

    def test_baselines_come_first_and_are_tuned_under_the_same_budget(self) -> None:
        assert [cell.baseline for cell in self.plan.cells] == [True] * 4 + [False] * 12
        assert {cell.configurations for cell in self.plan.cells} == {8}
        assert all(set(cell.domains) == {"training.lr"} for cell in self.plan.cells[:4])

    def test_trials_are_counted(self) -> None:
        assert self.plan.search_trials == 16 * 8
        assert confirm_trials(self.plan) == 16 * 5

    def test_each_regime_has_one_dense_parent(self) -> None:
        assert len(self.plan.parents) == 4
        assert {parent.method for parent in self.plan.parents} == {"dense"}
        assert {parent.regime for parent in self.plan.parents} == {
            regime.hardness for regime in self.plan.space.regimes.values()
        }

    def test_the_hardest_half_needs_scores_of_ten_models_at_a_tenth_of_the_training(self) -> None:
        (scores,) = self.plan.scores
        assert (scores.score, scores.models, scores.epochs) == ("el2n", 10, 3)
        assert scores.configuration.regime.is_clean
        assert scores.configuration.method == "dense"

    def test_global_is_left_out_where_a_method_takes_none(self) -> None:
        assert {o.combination for o in self.plan.omissions} == {
            f"{m} x global" for m in ("static", "set", "rigl")
        }
        cell = self.plan.cells[-1]
        assert cell.distributions["rigl"] == ("uniform", "erk")
        assert cell.distributions["snip"] == ("uniform", "erk", "global")


def test_a_method_factor_makes_cells_and_a_dense_level_is_the_baseline() -> None:
    plan = planned(factors={"method": ["dense", "set", "omp"], "sparsity": [0.5, 0.9]})
    assert names(plan) == ["dense", "set/0.5", "set/0.9", "omp/0.5", "omp/0.9"]
    assert [list(cell.distributions) for cell in plan.cells] == [
        ["dense"],
        ["set"],
        ["set"],
        ["omp"],
        ["omp"],
    ]
    assert len(plan.parents) == 1
    assert not plan.omissions


def test_a_dense_level_without_a_baseline_is_left_out_and_said_so() -> None:
    plan = planned(baseline=None, factors={"method": ["dense", "set"], "sparsity": [0.5]})
    assert names(plan) == ["set/0.5"]
    (omission,) = plan.omissions
    assert omission.combination == "dense"
    assert "set baseline: dense" in omission.reason


def test_a_distribution_factor_leaves_out_what_means_nothing() -> None:
    plan = planned(
        factors={"method": ["static", "snip"], "distribution": ["erk", "global"], "sparsity": [0.5]},
    )
    assert names(plan) == ["dense", "static/erk/0.5", "snip/erk/0.5", "snip/global/0.5"]
    (omission,) = plan.omissions
    assert omission.combination == "static x global"
    assert omission.reason.startswith("static does not take distribution global; it takes uniform")


def test_a_distribution_factor_limits_the_tuned_methods() -> None:
    plan = planned(
        factors={"distribution": ["erk", "global"], "sparsity": [0.5]},
        search={"method": {"choice": ["static", "snip"]}},
    )
    methods = {cell.name: list(cell.distributions) for cell in plan.cells}
    assert methods == {"dense": ["dense"], "erk/0.5": ["static", "snip"], "global/0.5": ["snip"]}


def test_a_model_factor_is_crossed_with_the_baseline() -> None:
    plan = planned(factors={"model": ["mlp", "lenet"], "sparsity": [0.5]}, method="omp")
    assert names(plan) == ["mlp/dense", "lenet/dense", "mlp/0.5", "lenet/0.5"]
    assert [parent.model.name for parent in plan.parents] == ["mlp", "lenet"]


def test_sparsity_zero_is_left_out_of_sparse_methods() -> None:
    plan = planned(factors={"sparsity": [0.0, 0.5]}, method="set")
    assert names(plan) == ["dense", "0.5"]
    assert [o.reason for o in plan.omissions] == ["set at sparsity 0 is dense training; use method dense"]


def test_a_hyperparameter_is_tuned_where_some_method_has_it() -> None:
    plan = planned(
        factors={"method": ["static", "set"], "sparsity": [0.5]},
        search={"method.drop_fraction": {"uniform": [0.1, 0.5]}},
    )
    assert [set(cell.domains) for cell in plan.cells] == [set(), set(), {"method.drop_fraction"}]


ORDER = "method.start of gmp is 0.8, it must be smaller than method.end, which is 0.3"


def test_a_method_whose_pinned_hyperparameters_exclude_each_other_is_left_out() -> None:
    plan = planned(
        sparsity=0.5,
        search={
            "method": {"choice": ["gmp", "set"]},
            "method.start": {"choice": [0.8]},
            "method.end": {"choice": [0.3]},
        },
    )
    assert [set(cell.distributions) for cell in plan.cells] == [{"dense"}, {"set"}]
    assert [(omission.combination, omission.reason) for omission in plan.omissions] == [("gmp", ORDER)]


def test_levels_of_hyperparameters_that_exclude_each_other_make_no_cell() -> None:
    factors = {"method.start": [0.1, 0.8], "method.end": [0.3, 0.9]}
    plan = planned(sparsity=0.5, method="gmp", factors=factors)
    levels = [tuple(cell.levels.values()) for cell in plan.cells if not cell.baseline]
    assert levels == [(0.1, 0.3), (0.1, 0.9), (0.8, 0.9)]
    assert [omission.reason for omission in plan.omissions] == [ORDER]


def test_a_space_is_validated_once_and_few_configurations_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One configuration per cell; a child and its dense parent for each method that needs one; models of scores."""
    made: Counter[type] = Counter()
    for model in (SearchSpace, Configuration, Training):
        count_validations(monkeypatch, model, made)
    plan = make_plan(load_space(DIGITS))
    estimate(plan)
    assert made[SearchSpace] == 1
    assert made[Training] == 3  # the bounds of training.lr, and a value between them
    needing = sum(METHODS[method].needs_parent for cell in plan.cells for method in cell.distributions)
    scoring = 4 + 16  # hardest-half, and deciles in every cell
    assert made[Configuration] == len(plan.cells) + 2 * needing + scoring == 84


def count_validations(monkeypatch: pytest.MonkeyPatch, model: type[BaseModel], made: Counter[type]) -> None:
    """Count how often pydantic looks at the content of a model, by itself or as `model_validate`."""
    validator = model.__pydantic_validator__

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(validator, name)

        def validate_python(self, *given: Any, **options: Any) -> Any:
            made[model] += 1
            return validator.validate_python(*given, **options)

    monkeypatch.setattr(model, "__pydantic_validator__", Counting())


@pytest.mark.parametrize(("budget", "expected"), [(2, 2), (6, 6), (100, 6)])
def test_a_cell_has_no_more_configurations_than_there_are(budget: int, expected: int) -> None:
    plan = planned(
        sparsity=0.5,
        search={"method": {"choice": ["set", "rigl"]}, "training.lr": {"choice": [0.1, 0.2, 0.3]}},
        budget={"configurations_per_cell": budget},
        confirm={"top": 4, "seeds": 3},
    )
    dense, sparse = plan.cells
    assert (dense.configurations, sparse.configurations) == (min(3, budget), expected)
    assert confirm_trials(plan) == 3 * (min(4, dense.configurations) + min(4, expected))


def test_cells_that_differ_in_the_regime_alone_have_their_own_parents_and_share_scores() -> None:
    half, tenth = ({"keep": {"fraction": f, "by": "el2n"}} for f in (0.5, 0.1))
    plan = planned(
        regimes={"half": half, "tenth": tenth, "loss": {"keep": {"fraction": 0.5, "by": "loss"}}},
        factors={"regime": ["half", "tenth", "loss"], "sparsity": [0.5]},
        method="lth",
    )
    assert len(plan.parents) == 3
    assert sorted(scores.score for scores in plan.scores) == ["el2n", "loss"]


def test_scores_are_asked_early_and_at_least_after_one_epoch() -> None:
    plan = planned(regimes={"hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 3, "epoch": 0.01}}})
    (scores,) = plan.scores
    assert (scores.models, scores.epochs) == (3, 1)
    assert scores_for(scores.configuration, plan.space) is None


def test_trajectories_are_those_of_the_whole_training() -> None:
    halves = {by: {"keep": {"fraction": 0.5, "by": by}} for by in ("el2n", "forgetting")}
    plan = planned(
        regimes=halves,
        factors={"regime": list(halves), "sparsity": [0.5]},
        training={"epochs": 20},
        method="set",
    )
    assert {s.score: (s.models, s.epochs) for s in plan.scores} == {"el2n": (10, 2), "forgetting": (10, 20)}


def test_a_trajectory_that_is_too_short_is_refused_by_the_plan() -> None:
    keep = {"fraction": 0.5, "by": "forgetting", "epoch": 0.1}
    with pytest.raises(SpaceError, match="forgetting compares at least 2 epochs, and 1 of 10 is asked for"):
        planned(regimes={"forgotten": {"keep": keep}})
    planned(regimes={"slow": {"keep": {**keep, "by": "learning_speed"}}})


def test_what_a_model_finds_is_shared_by_any_number_of_models() -> None:
    space = make_space(BASE)
    three, ten = (asked_scores(space, "el2n", models, None) for models in (3, 10))
    assert three.id != ten.id
    assert three.model_id == ten.model_id
    assert asked_scores(space, "loss", 3, None).model_id != three.model_id


def test_scores_on_request_are_those_of_a_regime() -> None:
    plan = planned(regimes={"hard": {"keep": {"fraction": 0.3, "by": "aum", "models": 2}}})
    assert asked_scores(plan.space, "aum", 2, None) == plan.scores[0]


@pytest.mark.parametrize(
    ("by", "models", "epoch", "message"),
    [
        ("el2m", None, None, "did you mean 'el2n'"),
        ("el2n", 0, None, "greater than or equal to 1"),
        ("el2n", None, 1.5, "less than or equal to 1"),
        ("random", 3, None, "models, epoch, ties and precision belong to a score"),
    ],
)
def test_scores_on_request_that_mean_nothing_are_refused(
    by: str, models: int | None, epoch: float | None, message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        asked_scores(make_space(BASE), by, models, epoch)


def test_scores_on_request_may_be_of_models_with_wrong_labels() -> None:
    space = make_space(
        {**BASE, "regime": "clean", "regimes": {"clean": {}, "noisy": {"label_noise": {"rate": 0.1}}}}
    )
    right, wrong = (asked_scores(space, "el2n", 2, None, noise) for noise in (None, "noisy"))
    assert wrong.configuration.regime.label_noise == space.regimes["noisy"].label_noise
    assert right.configuration.regime.is_clean
    assert right.id != wrong.id
    with pytest.raises(SpaceError, match=r"clean: has no label_noise; those with wrong labels: noisy"):
        asked_scores(space, "el2n", 2, None, "clean")
    with pytest.raises(SpaceError, match=r"did you mean 'noisy'"):
        asked_scores(space, "el2n", 2, None, "nosy")


def test_scores_on_request_are_of_one_model() -> None:
    compared = make_space({**BASE, "factors": {"model": ["mlp", "lenet"]}})
    with pytest.raises(SpaceError, match="has 2 values; choose one, for example model=mlp"):
        asked_scores(compared, "el2n", None, None)


def test_a_tuned_learning_rate_does_not_change_the_parent() -> None:
    plan = planned(sparsity=0.5, method="omp", search={"training.lr": {"loguniform": [0.01, 1]}})
    (parent,) = plan.parents
    assert parent.training == plan.space.training


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "set"}, "add sparsity to factors, or set sparsity: 0.9"),
        ({"baseline": None}, "neither a method nor a baseline is given"),
        (
            {"baseline": None, "method": "set", "distribution": "global", "sparsity": 0.5},
            "set x global: set does",
        ),
    ],
)
def test_a_space_without_cells_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        planned(**content)
    assert message in str(caught.value)


@pytest.mark.parametrize("arguments", [["plan", str(DIGITS)], ["--help"]])
def test_planning_and_help_import_neither_torch_nor_ray(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
import sys
from hsl.cli import app
app({arguments!r}, standalone_mode=False)
sys.exit("torch" in sys.modules or "ray" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_names_of_cells_are_unique_and_say_the_axis_where_a_level_does_not() -> None:
    factors = {
        "init": ["dense", "sparse"],
        "model": ["mlp", {"name": "mlp", "widths": [16]}],
        "training.lr": [0.1, 0.2],
        "sparsity": [0.5],
    }
    cells = make_plan(
        make_space({"name": "n", "dataset": "digits", "model": "mlp", "method": "static", "factors": factors})
    ).cells
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names) == 2 * 2 * 2 + 2 * 2
    assert "init=dense/mlp(widths=[16])/training.lr=0.2/0.5" in names
    assert "mlp/training.lr=0.1/dense" in names


def test_only_the_rounds_of_iterative_methods_must_be_one_value() -> None:
    """Those of synflow are rounds of scoring, without parents of their own."""
    tuned = {"method.rounds": {"choice": [2, 3]}}
    assert names(planned(method="synflow", sparsity=0.9, search=tuned, baseline=None)) == ["t"]
    plan = planned(factors={"method": ["synflow", "imp"]}, sparsity=0.9, search=tuned, baseline=None)
    assert names(plan) == ["synflow"]
    (omission,) = plan.omissions
    assert omission.combination == "imp"
    assert "method.rounds is tuned" in omission.reason
    fixed = planned(method="imp", sparsity=0.9, search={"method.rounds": {"choice": [2]}}, baseline=None)
    assert len(fixed.parents) == 2, "the dense network, and that of one round"
    assert fixed.omissions == ()


def test_levels_that_a_method_does_not_have_make_no_further_cells() -> None:
    """static has no drop_fraction, so that its two cells had the same trials, trained again at every run."""
    levels = {"method": ["static", "set"], "method.drop_fraction": [0.1, 0.3]}
    plan = planned(factors=levels, sparsity=0.5, search={})
    sparse = [cell for cell in plan.cells if not cell.baseline]
    assert [cell.levels["method.drop_fraction"] for cell in sparse] == [0.1, 0.1, 0.3]
    assert len({cell.example.id for cell in sparse}) == 3
    (left_out,) = plan.omissions
    assert left_out.combination == "static/method.drop_fraction=0.3"
    assert left_out.reason.startswith("the same trials as static/method.drop_fraction=0.1")


def test_dense_alone_says_that_nothing_is_sparse() -> None:
    plan = planned(method="dense", factors={"sparsity": [0.5, 0.9]})
    assert [cell.name for cell in plan.cells] == ["dense"]
    assert [str(each.reason) for each in plan.omissions] == [
        "no sparse method is given, so only dense networks are trained"
    ]


@pytest.mark.parametrize(
    "content",
    [
        {"sparsity": 0.9},
        {"factors": {"sparsity": [0.5, 0.9]}},
        {"distribution": "erk"},
        {"factors": {"method.drop_fraction": [0.1]}},
    ],
)
def test_a_sparsity_without_a_method_is_refused(content: dict[str, Any]) -> None:
    """It planned dense networks only, without a word; a stored space of version 0.1 still does."""
    raw = {"name": "t", "dataset": "digits", "model": "mlp", **content}
    with pytest.raises(SpaceError, match="no method is given, so only dense networks would be trained"):
        make_space(raw)
    assert [cell.baseline for cell in make_plan(make_space(raw, is_stored=True)).cells] == [True]


@pytest.mark.parametrize(
    ("layers", "before"),
    [
        ({}, Layers()),
        ({"first_dense": True}, Layers(first_dense=True)),
        ({"first_dense": True, "ties": "index"}, Layers(ties="index")),
    ],
)
def test_earlier_rounds_of_imp_prune_the_same_layers_but_in_version_0_1(
    layers: dict[str, Any], before: Layers
) -> None:
    content = {**BASE, "method": "imp", "sparsity": 0.9, "factors": {"sparsity": [0.9]}, "layers": layers}
    space = make_space(content)
    chain = ancestors(configuration(space, {"sparsity": 0.9}), space)
    assert len(chain) > 3
    assert [made.layers for made in chain[1:]] == [before] * (len(chain) - 1)


@pytest.mark.parametrize(
    ("factors", "left_out"),
    [
        (
            {"training.optimizer": ["sgd", "adamw"], "training.momentum": [0.8, 0.9]},
            ["training.optimizer=adamw/training.momentum=0.9"],
        ),
        (
            {"training.optimizer": ["sgd", "adamw"], "training.nesterov": [True, False]},
            ["training.optimizer=adamw/training.nesterov=False"],
        ),
        (
            {"training.schedule": ["cosine", "step"], "training.gamma": [0.1, 0.5]},
            ["training.schedule=cosine/training.gamma=0.5"],
        ),
        (
            {"training.schedule": ["step", "multistep"], "training.milestones": [[0.4, 0.6], [0.4, 0.9]]},
            ["training.schedule=step/training.milestones=[0.4, 0.9]"],
        ),
    ],
)
def test_levels_that_an_optimizer_or_schedule_does_not_read_make_no_further_cells(
    factors: dict[str, list[Any]], left_out: list[str]
) -> None:
    plan = planned(factors={"sparsity": [0.5], **factors}, method="static")
    assert [each.combination for each in plan.omissions] == [f"{name}/dense" for name in left_out] + [
        f"0.5/{name}" for name in left_out
    ]
    assert len([cell for cell in plan.cells if not cell.baseline]) == 3
    assert len([cell for cell in plan.cells if cell.baseline]) == 3

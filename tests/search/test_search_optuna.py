"""Every class of `optuna.samplers` works in a cell as it does in Optuna's own loop, or is refused in words."""

from __future__ import annotations

import inspect
import json
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
import optuna
import pytest
from scipy.stats import qmc

from hsl.errors import HslError, SpaceError
from hsl.planning.plan import make_plan
from hsl.prepare.preflight import check_samplers
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.space.load import make_space
from hsl.space.samplers import OF_OPTUNA, SamplerSettings
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BUDGET, SEEDS = 48, 3
POPULATION = {"population_size": 6}
START = {"n_startup_trials": 5}
MODELS: dict[str, dict[str, Any]] = {
    "CmaEsSampler": {"n_startup_trials": 1},
    "GPSampler": START,
    "NSGAIIISampler": POPULATION,
    "NSGAIISampler": POPULATION,
    "TPESampler": START,
}
"""Samplers that learn, with arguments for few trials."""


def study(sampler: Any, seed: int = 0, budget: int = BUDGET, **content: Any) -> CellStudy:
    given = {
        "name": "bowl",
        "dataset": "digits",
        "model": "mlp",
        "method": "static",
        "sparsity": 0.9,
        "baseline": None,
        "search": {"training.momentum": {"uniform": [0.0, 0.9]}, "training.warmup": {"uniform": [0.0, 0.9]}},
        "early_stopping": None,
        "budget": {"configurations_per_cell": budget},
    }
    plan = make_plan(make_space({**given, "sampler": sampler, "seed": seed, **content}))
    check_samplers(plan)
    return CellStudy(plan.space, plan.cells[0])


def bowl(one: float, other: float) -> float:
    """A loss with its minimum of 0 at (0.7, 0.2), on [0, 0.9] x [0, 0.9]."""
    return (one - 0.7) ** 2 + (other - 0.2) ** 2


def point(proposal: Proposal) -> tuple[float, float]:
    return proposal.values["training.momentum"], proposal.values["training.warmup"]


def outcome(proposal: Proposal) -> Outcome:
    return Outcome(Status.COMPLETED, 10, 1 - bowl(*point(proposal)))


def asked(source: CellStudy) -> list[Proposal]:
    found = []
    while proposal := source.ask():
        found.append(proposal)
        source.tell(proposal.configuration.id, outcome(proposal))
    return found


def of_hsl(sampler: Any, budget: int = BUDGET) -> list[float]:
    """Losses of the last third of the proposals, over all seeds."""
    runs = [asked(study(sampler, seed, budget)) for seed in range(SEEDS)]
    return [bowl(*point(proposal)) for run in runs for proposal in run[-(budget // 3) :]]


def of_optuna(name: str, budget: int, arguments: dict[str, Any]) -> list[float]:
    """The same losses from Optuna's own loop."""
    losses = []
    for seed in range(SEEDS):
        sampler = getattr(optuna.samplers, name)(seed=seed, **arguments)
        plain = optuna.create_study(sampler=sampler)
        plain.optimize(
            lambda trial: bowl(trial.suggest_float("a", 0, 0.9), trial.suggest_float("b", 0, 0.9)), budget
        )
        losses += [trial.values[0] for trial in plain.get_trials(deepcopy=False)[-(budget // 3) :]]
    return losses


@pytest.fixture(scope="module")
def at_random() -> float:
    return fmean(of_hsl("random"))


CLASSES = sorted(
    name
    for name, kind in inspect.getmembers(optuna.samplers, inspect.isclass)
    if issubclass(kind, optuna.samplers.BaseSampler)
    and name != "BaseSampler"
    and not inspect.isabstract(kind)
)
REFUSED = ["BruteForceSampler", "GridSampler", "PartialFixedSampler"]


def test_every_class_of_optuna_is_tried_here() -> None:
    assert set(CLASSES) == {*MODELS, *REFUSED, "QMCSampler", "RandomSampler"}
    assert set(CLASSES) >= OF_OPTUNA.keys()


SLOW = {"GPSampler": pytest.mark.slow}  # it fits a process for every draw


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW.get(n, ())) for n in ("cmaes", *MODELS)])
def test_what_models_the_results_is_as_good_as_in_the_loop_of_optuna(name: str, at_random: float) -> None:
    budget = 18 if name in SLOW else BUDGET
    arguments = MODELS.get(name, {"popsize": 6, "n_startup_trials": 1})
    reference = name if name in MODELS else "CmaEsSampler"
    found = of_hsl({"name": f"optuna.samplers:{name}" if name in MODELS else name, **arguments}, budget)
    plain = of_optuna(reference, budget, arguments)
    assert fmean(found) < 0.7 * at_random, "no better than random"
    assert fmean(found) < 1.5 * fmean(plain) + 0.15 * at_random, "worse than the sampler by itself"


class Unsaid(SamplerSettings):
    """A genetic algorithm; nothing says that it writes to its trials."""

    def build(self, seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.NSGAIISampler(population_size=6, seed=seed)


def test_a_sampler_of_ones_own_that_marks_trials_need_not_say_so(at_random: float) -> None:
    assert fmean(of_hsl("test_search_optuna:Unsaid")) < 0.7 * at_random


@pytest.mark.parametrize(
    "arguments", [{}, {"scramble": True}, {"qmc_type": "halton", "scramble": True}], ids=str
)
def test_a_sequence_is_that_of_scipy(arguments: dict[str, Any]) -> None:
    """All but the first, which Optuna draws at random, are consecutive points of one sequence."""
    source = study({"name": "optuna.samplers:QMCSampler", **arguments}, budget=20)
    engine = qmc.Halton if arguments.get("qmc_type") == "halton" else qmc.Sobol
    sequence = engine(2, seed=source._seed, scramble=bool(arguments.get("scramble"))).random(32) * 0.9
    proposed = np.array([point(proposal) for proposal in asked(source)[1:]])
    places = [int(np.abs(sequence - values).max(1).argmin()) for values in proposed]
    assert np.abs(sequence[places] - proposed).max() < 1e-3, "numbers are rounded"
    assert places == list(range(places[0], places[0] + 19))


def test_independent_draws_of_a_sequence_are_not_all_the_same() -> None:
    """Until the first trial ends, Optuna draws at random; so several may be under way."""
    source = study({"name": "optuna.samplers:QMCSampler"}, budget=6)
    proposals = [source.ask() for _ in range(6)]
    assert {proposal.source for proposal in proposals if proposal} == {"optuna.samplers:QMCSampler"}


RESTARTED = [
    *({"name": f"optuna.samplers:{name}", **given} for name, given in MODELS.items() if name != "GPSampler"),
    {"name": "cmaes", "popsize": 6},
    {"name": "optuna.samplers:QMCSampler", "scramble": True},
    {"name": "optuna.samplers:RandomSampler"},
    "test_search_optuna:Unsaid",
]


@pytest.mark.parametrize(
    "sampler", RESTARTED, ids=lambda given: given["name"] if isinstance(given, dict) else given
)
def test_a_study_that_is_made_again_goes_on(sampler: Any) -> None:
    """Marks are not in the store: they are drawn again, in the order of the proposals."""
    everything = asked(study(sampler))
    lost = study(sampler)
    for proposal in everything[:30]:
        lost.remember(json.loads(json.dumps(proposal.values)), proposal.configuration.id, proposal.number)
        lost.tell(proposal.configuration.id, outcome(proposal))
    assert [p.values for p in asked(lost)] == [p.values for p in everything[30:]]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_what_can(name: str) -> None:
    with pytest.raises(SpaceError, match=rf"sampler: .*{name} cannot be used so: it (lists|takes)"):
        study({"name": f"optuna.samplers:{name}"})


class Listed(SamplerSettings):
    """Makes a sampler that cannot be used."""

    def build(self, seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.BruteForceSampler(seed=seed)


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ("test_search_optuna:Listed", "makes a BruteForceSampler: .*use sampler: grid"),
        ({"name": "optuna.samplers:CmaEsSampler", "with_margin": True}, "with_margin: .*leave it out"),
        ({"name": "optuna.samplers:TPESampler", "trials": 3}, "cannot be made: TypeError: .*'trials'"),
        ({"name": "optuna.samplers:NSGAIISampler", "population_size": 1}, "cannot be made: ValueError: "),
    ],
    ids=str,
)
def test_arguments_and_own_samplers_that_cannot_work_are_refused(sampler: Any, said: str) -> None:
    with pytest.raises(HslError, match=said):
        study(sampler)


@pytest.mark.parametrize("name", ["cmaes", "optuna.samplers:CmaEsSampler"])
def test_a_single_objective_cannot_search_a_front(name: str) -> None:
    with pytest.raises(SpaceError, match="has a single objective"):
        study(name, against=["training_flops"])


def test_proposals_of_all_samplers_are_not_the_same() -> None:
    """The names stand for different samplers: their late proposals differ."""
    late = {str(s): [p.values for p in asked(study(s))][-1] for s in RESTARTED[:4]}
    assert all(one != other for one, other in combinations(late.values(), 2))

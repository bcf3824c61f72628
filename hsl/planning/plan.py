"""SearchSpace -> Plan: cells, what is left out and why, parents, scores, number of trials. Pure; no torch, no ray."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from hsl.errors import MethodError, Problem, SpaceError
from hsl.planning.scores import Scores, all_scores
from hsl.results.dense import is_sparsification, shared_axes
from hsl.space.axes import Values, configuration, default_sparsity, level_name, options_of
from hsl.space.domain import Domain
from hsl.space.objective import default_regime, metric_name
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS, check_hyperparameters, feasible
from hsl.sparsity.methods.iterative import ITERATIVE, round_before
from hsl.training.configuration import READ_BY, Configuration, Layers
from hsl.training.read_settings import as_read, reads
from hsl.wording import kind_of

VERSION = "version"
"""Axis of cells whose data or code have changed since the store was begun."""

SHARED = ("dataset", "content", "code", "model", "split")
"""What all networks of a sweep with the same model have in common."""


@dataclass(frozen=True)
class Cell:
    """One combination of levels, with a search of its own.

    Attributes:
        name: Its levels, joined by slashes.
        levels: Level of every factor (axis -> value); a baseline has those that do not concern sparsification.
        baseline: Whether it is the dense reference of its regime.
        domains: Domains of its tuned axes (axis -> domain).
        distributions: Distributions that each method may be proposed with; the keys are the cell's methods.
        configurations: Number of configurations that its search trains.
        example: One of them, for properties that do not depend on the tuned values.
    """

    name: str
    levels: dict[str, Any]
    baseline: bool
    domains: dict[str, Domain]
    distributions: dict[str, tuple[str | None, ...]]
    configurations: int
    example: Configuration

    @property
    def combinations(self) -> float:
        """Combinations of its tuned values; infinite if a domain is a real range."""
        return math.prod(domain.size for domain in self.domains.values())


@dataclass(frozen=True)
class Omission:
    """A combination that is meaningless and therefore never trained."""

    combination: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The plan of a sweep.

    Attributes:
        space: Its search space.
        cells: In the order of the factors' levels, baselines first.
        omissions: Combinations that are left out.
        parents: Configurations whose trained weights some method of the search starts from, once per seed.
        scores: Difficulty scores that the regimes need.
    """

    space: SearchSpace
    cells: tuple[Cell, ...]
    omissions: tuple[Omission, ...]
    parents: tuple[Configuration, ...]
    scores: tuple[Scores, ...]

    @property
    def search_trials(self) -> int:
        """Trials of the search stage, if none is a duplicate."""
        return sum(cell.configurations for cell in self.cells)


def make_plan(space: SearchSpace) -> Plan:
    """Cross the factors and determine the needs of each cell.

    Raises:
        SpaceError: If no cell is left, or the space names no method or sparsity where one is needed.
    """
    omissions: dict[str, Omission] = {}
    cells = list(_distinct([*_baselines(space), *_sparse_cells(space, omissions)], space, omissions))
    if not cells:
        reasons = [Problem("factors", f"{o.combination}: {o.reason}") for o in omissions.values()]
        raise SpaceError(space.name, reasons or [Problem("", "neither a method nor a baseline is given")])
    is_evaluated = bool(space.evaluation.stages)
    scores = {s.id: s for cell in cells for s in all_scores(cell.example, space, is_evaluated)}
    return Plan(
        space=space,
        cells=tuple(cells),
        omissions=tuple(omissions.values()),
        parents=tuple({parent.id: parent for parent in _parents(space, cells)}.values()),
        scores=tuple(scores.values()),
    )


def _distinct(cells: list[Cell], space: SearchSpace, omissions: dict[str, Omission]) -> Iterator[Cell]:
    """The cells without those that have the trials of an earlier one, as with a hyperparameter that a method lacks."""
    seen: dict[str, str] = {}
    for cell in cells:
        example = cell.example.model_copy(update={"training": as_read(cell.example.training)})
        trials = repr((example.id, _read(cell), cell.distributions, objective_of(cell, space)))
        first = seen.setdefault(trials, cell.name)
        if first == cell.name:
            yield cell
        else:
            reason = f"the same trials as {first}, which it differs from in nothing that its method or training reads"
            omissions.setdefault(f"{cell.name} {reason}", Omission(cell.name, reason))


def _read(cell: Cell) -> dict[str, Domain]:
    """The tuned axes of a cell but those that its optimizer or its schedule, if it is not tuned, does not read."""
    fixed = {axis: axis.partition(".")[2] for axis in cell.domains if _owner(axis) not in cell.domains}
    unread = {axis for axis, field in fixed.items() if not reads(cell.example.training, field)}
    return {axis: domain for axis, domain in cell.domains.items() if axis not in unread}


def _owner(axis: str) -> str:
    return f"training.{READ_BY.get(axis.removeprefix('training.'), ('',))[0]}"


def _baselines(space: SearchSpace) -> Iterator[Cell]:
    if space.baseline is None:
        return
    domains = shared_axes(space.search)
    for levels in _crossed(shared_axes(_factors(space))):
        yield Cell(
            name="/".join([*_names(levels), "dense"]),
            levels=levels,
            baseline=True,
            domains=domains,
            distributions={"dense": (None,)},
            configurations=_count(space, domains),
            example=configuration(space, {**levels, "method": "dense"}),
        )


def _sparse_cells(space: SearchSpace, omissions: dict[str, Omission]) -> Iterator[Cell]:
    methods = options_of(space, "method")
    if not any(METHODS[name].distributions for name in methods):
        if named := [
            axis for axis in (*space.factors, *space.search) if axis != "method" and is_sparsification(axis)
        ]:
            reason = "no sparse method is given, so only dense networks are trained"
            omissions.setdefault(reason, Omission(", ".join(named), reason))
        return
    _check_sparsity_is_given(space)
    for levels in _crossed(_factors(space)):
        if levels.get("method") == "dense":  # the baseline is this cell
            if space.baseline is None:
                reason = "dense has cells of its own, without a sparsity; set baseline: dense to have them"
                omissions.setdefault(reason, Omission("dense", reason))
            continue
        own = (levels["method"],) if "method" in levels else methods
        taken = {name: found for name in own if (found := _distributions(space, levels, name, omissions))}
        if not taken:
            continue
        domains = {axis: domain for axis, domain in space.search.items() if _applies(axis, taken)}
        method, distributions = next(iter(taken.items()))
        yield Cell(
            name="/".join(_names(levels)) or space.name,
            levels=levels,
            baseline=False,
            domains=domains,
            distributions=taken,
            configurations=_count(space, domains),
            example=configuration(space, {**levels, "method": method, "distribution": distributions[0]}),
        )


def _distributions(
    space: SearchSpace, levels: Values, method: str, omissions: dict[str, Omission]
) -> tuple[str | None, ...]:
    """Distributions that `method` can have at these levels; records omissions."""
    offered = (levels["distribution"],) if "distribution" in levels else options_of(space, "distribution")
    sparsity = levels.get("sparsity", default_sparsity(space))
    if METHODS[method].iterative and (tuned := _tuned_rounds(space)):
        costly = f"{tuned} is tuned, so every proposal would need parents of its own; set it to one value"
        omissions.setdefault(f"{method} {costly}", Omission(method, costly))
        return ()
    if unfit := _unfit(space, levels, method):
        omissions.setdefault(unfit, Omission(method, unfit))
        return ()
    reasons = {distribution: feasible(method, distribution, sparsity) for distribution in offered or (None,)}
    for distribution, reason in reasons.items():
        if reason is not None:
            combination = f"{method} x {distribution}" if distribution else method
            omissions.setdefault(reason, Omission(combination, reason))
    return tuple(distribution for distribution, reason in reasons.items() if reason is None)


def _unfit(space: SearchSpace, levels: Values, method: str) -> str | None:
    """Why `method` cannot have its hyperparameters at these levels, or None."""
    takes = {f"method.{parameter.name}" for parameter in METHODS[method].hyperparameters}
    fixed = {**_pinned(space.search), **levels}
    given = {axis.partition(".")[2]: value for axis, value in fixed.items() if axis in takes}
    try:
        check_hyperparameters(method, given)
    except MethodError as error:
        return str(error)
    return None


def _pinned(domains: Mapping[str, Domain]) -> dict[str, Any]:
    """The values of tuned axes that have a single one."""
    return {axis: domain.choice[0] for axis, domain in domains.items() if domain.choice and domain.size == 1}


def _tuned_rounds(space: SearchSpace) -> str | None:
    """A tuned axis on which the parents of an iterative method depend, or None."""
    axes = ("sparsity", *(f"method.{parameter.name}" for parameter in ITERATIVE))
    return next((axis for axis in axes if axis in space.search and space.search[axis].size > 1), None)


def _applies(axis: str, methods: dict[str, Any]) -> bool:
    """Whether a tuned axis concerns any of these methods."""
    group, _, name = axis.partition(".")
    hyperparameters = (h.name for method in methods for h in METHODS[method].hyperparameters)
    return group != "method" or not name or name in hyperparameters


def _check_sparsity_is_given(space: SearchSpace) -> None:
    if "sparsity" not in space.factors and default_sparsity(space) is None:
        message = "missing; a sparse method needs it: add sparsity to factors, or set sparsity: 0.9"
        raise SpaceError(space.name, [Problem("factors.sparsity", message)])


def _factors(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """The factors of a space; changed data or code are a level of their own."""
    return {**({} if space.version == 1 else {VERSION: (space.version,)}), **space.factors}


def _crossed(factors: dict[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for levels in product(*factors.values()):
        yield dict(zip(factors, levels, strict=True))


def _names(levels: Values) -> list[str]:
    return [level_name(axis, level) for axis, level in levels.items()]


def _count(space: SearchSpace, domains: dict[str, Domain]) -> int:
    """Configurations of a cell: the budget, or all there are."""
    return int(min(space.budget.configurations_per_cell, math.prod(d.size for d in domains.values())))


def parent_of(child: Configuration, space: SearchSpace) -> Configuration | None:
    """The network whose trained weights `child` starts from: dense, pruned in one round less, or None."""
    method = METHODS[child.method]
    if not method.needs_parent:
        return None
    dense = child.dense_counterpart(space.training, child.regime)
    given = check_hyperparameters(child.method, child.hyperparameters)
    before = round_before(child.sparsity, given) if method.iterative else None
    if before is None:
        return dense
    sparsity, rounds = before
    return Configuration(
        **{name: getattr(dense, name) for name in (*SHARED, "training", "regime")},
        method="imp",
        hyperparameters={**given, "rounds": rounds},
        distribution=child.distribution if child.distribution in METHODS["imp"].distributions else None,
        sparsity=sparsity,
        layers=_layers_before(child),
    )


def _layers_before(child: Configuration) -> Layers:
    """Those of an earlier round; version 0.1, which broke ties otherwise, gave it no other option of the layers."""
    present = Layers()
    return child.layers if child.layers.ties == present.ties else Layers(ties=child.layers.ties)


def ancestors(child: Configuration, space: SearchSpace) -> list[Configuration]:
    """The chain of parents of `child`, the oldest first."""
    parent = parent_of(child, space)
    return [*ancestors(parent, space), parent] if parent else []


def _parents(space: SearchSpace, cells: list[Cell]) -> Iterator[Configuration]:
    for cell in cells:
        pinned = _pinned(cell.domains)
        for method, distributions in cell.distributions.items():
            if not METHODS[method].needs_parent:
                continue
            for distribution in distributions if METHODS[method].iterative else distributions[:1]:
                levels = {**pinned, **cell.levels, "method": method, "distribution": distribution}
                child = configuration(space, levels)
                yield from ancestors(child, space)


def regime_of(cell: Cell, space: SearchSpace) -> str:
    """Name of the regime of a cell."""
    return str(cell.levels.get("regime") or default_regime(space.regime, space.regimes))


def objective_of(cell: Cell, space: SearchSpace) -> str:
    """Name of the metric that search and early stopping maximise in a cell: its regime's, else the space's."""
    return metric_name(space.regimes[regime_of(cell, space)].objective or space.objective)


def kin_of(plan: Plan) -> dict[str, str]:
    """Kind of each cell: its regime, dense apart from sparse, which develop alike and are comparable."""
    return {
        cell.name: kind_of(regime_of(cell, plan.space), bool(cell.example.sparsity)) for cell in plan.cells
    }

"""Checks that need the data set and the network, before anything is started."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch

from hsl.errors import HslError, InfeasibleError, Problem, SpaceError
from hsl.hardness.apply import check_regime
from hsl.hardness.corruptions.constants import check_corruption
from hsl.hardness.registries import CORRUPTIONS, ROBUST, SCORES
from hsl.planning.plan import Cell, Plan
from hsl.planning.sampling import sampler_of
from hsl.registry import Registry
from hsl.search.optuna_terms import built
from hsl.search.turns import shared_model
from hsl.space.axes import configuration, options_of
from hsl.space.schema import SearchSpace
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS
from hsl.sparsity.distributions.formulas import weight_count
from hsl.sparsity.layers import Layers, prunable_layers
from hsl.sparsity.request import chosen_distribution, make_budget
from hsl.training.available import DATASETS, MODELS, kind_and_path, model_kind
from hsl.training.build import make_network
from hsl.training.compiled import check_compiled
from hsl.training.configuration import Configuration, ModelSpec, model_spec
from hsl.training.configuration import Layers as LayersAsked
from hsl.training.data.datasets import load_divided
from hsl.training.measuring.evaluation_settings import Evaluation
from hsl.training.models import Shape


def preflight(plan: Plan) -> None:
    """Read the data set and try every combination of network, distribution and sparsity.

    Raises:
        HslError: If a sampler from outside is none.
        SpaceError: With everything else from outside that cannot be imported or is called otherwise.
        DataError: If the data set is missing, empty, unreadable, or too small for its split.
        SpaceError: With every combination that is infeasible.
    """
    check_samplers(plan)
    check_plugins(plan)
    arrays, _ = load_divided(plan.space.dataset, plan.space.split)
    problems: dict[str, Problem] = {}
    kept: dict[tuple[ModelSpec, LayersAsked, int], float] = {}
    for cell in plan.cells:
        for configuration_ in combinations(plan.space, cell):
            try:
                left = check_fits(configuration_, arrays.shape, arrays.classes)
                _check_apart(configuration_, left, kept)
            except HslError as error:
                problems.setdefault(str(error), Problem(f"cell {cell.name}", str(error)))
    if not plan.space.resources.gpu:  # else the driver may be another kind of machine than the workers
        try:
            check_compiled(plan.space.training, "cpu")
        except HslError as error:
            problems["training"] = Problem("training", str(error))
    for message in unmeasurable(plan.space.evaluation, arrays.shape):
        problems.setdefault(message, Problem("evaluation", message))
    if problems:
        raise SpaceError(plan.space.name, list(problems.values()))


def check_samplers(plan: Plan) -> None:
    """Make every sampler of the plan once, and what they learn from.

    Raises:
        HslError: If a plug-in makes something else than a sampler.
    """
    shared_model(plan)
    used = [sampler_of(plan.space, cell) for cell in plan.cells]
    for sampler in {made.model_dump_json(): made for made in used}.values():
        built(sampler, plan.space.seed)


def check_plugins(plan: Plan) -> None:
    """Import everything that the plan names and that is from outside the package.

    Raises:
        SpaceError: With everything that cannot be imported, is of another kind, or is called otherwise.
    """
    problems: dict[str, Problem] = {}
    for where, registry, name in _named(plan):
        try:
            _ = name in registry or registry[name]
        except HslError as error:
            problems[str(error)] = Problem(where, str(error))
    if problems:
        raise SpaceError(plan.space.name, list(problems.values()))


def _named(plan: Plan) -> Iterator[tuple[str, Registry[Any, Any], str]]:
    """Every name of a registry in a plan, and where it stands."""
    space = plan.space
    yield "dataset", DATASETS, kind_and_path(space.dataset)[0]
    for cell in plan.cells:
        for model in options_of(space, "model"):
            yield "model", MODELS, model_kind(model_spec(model).name)[0]
        for distributions in cell.distributions.values():
            yield from (("distribution", DISTRIBUTIONS, name) for name in distributions if name)
    for name, regime in space.regimes.items():
        yield from ((f"regimes.{name}", registry, found) for registry, found in regime.names())
    evaluation = space.evaluation
    if evaluation.deciles:
        yield "evaluation.deciles", SCORES, evaluation.deciles.by
    for registry, some in ((CORRUPTIONS, evaluation.corruptions), (ROBUST, evaluation.attacks)):
        yield from (("evaluation", registry, name) for name in (some.names if some else ()))


def unmeasurable(evaluation: Evaluation, shape: Shape) -> Iterator[str]:
    """Problems of an evaluation: not defined on images of this shape, or without its package."""
    corruptions = evaluation.corruptions
    for name in corruptions.names if corruptions else ():
        try:
            check_corruption(name, shape)
        except HslError as error:
            yield f"corruptions: {error}"
    for name in evaluation.attacks.names if evaluation.attacks else ():
        facts = ROBUST.facts(name)
        if facts.package and find_spec(facts.package) is None:
            yield (
                f"attacks: {name} needs the package {facts.package}, which is not installed: "
                f"pip install 'hsl[{facts.extra}]', or choose pgd50x10"
            )


def combinations(space: SearchSpace, cell: Cell) -> list[Configuration]:
    """One configuration for each method and distribution that the cell may try."""
    return [
        configuration(space, {**cell.levels, "method": method, "distribution": distribution})
        for method, distributions in cell.distributions.items()
        for distribution in distributions
    ]


def _check_apart(
    checked: Configuration, left: int | None, kept: dict[tuple[ModelSpec, LayersAsked, int], float]
) -> None:
    """Refuse a level of sparsity that leaves as many weights as an earlier one: they would train the same networks.

    Args:
        checked: A configuration.
        left: Weights that it keeps; None for dense.
        kept: Network and number of weights -> the level that came first; it is added to.

    Raises:
        InfeasibleError: If another level keeps as many.
    """
    if left is None:
        return
    first = kept.setdefault((checked.model, checked.layers, left), checked.sparsity)
    if first != checked.sparsity:
        raise InfeasibleError(
            f"sparsity {checked.sparsity} keeps as many weights as {first}, {left}, so they would be the same "
            "networks under two names; keep one of them"
        )


def _check_outputs(name: str, network: torch.nn.Module, shape: Shape, classes: int) -> None:
    """Refuse a network from outside with another number of outputs than classes; one that needs values is not tried."""
    if name in MODELS:
        return
    try:
        with torch.no_grad(), torch.device("meta"):
            outputs = network.eval()(torch.empty(1, *shape))
    except Exception:  # noqa: BLE001  code of the user's, which can look at values
        return
    if tuple(getattr(outputs, "shape", ())) != (1, classes):
        found = list(getattr(outputs, "shape", ())) or type(outputs).__name__
        raise HslError(
            f"model {name!r} makes {found} of one image, and must make [1, {classes}], one per class"
        )


def check_fits(checked: Configuration, shape: Shape, classes: int) -> int | None:
    """Raise unless the images permit the regime, and the layers of the network the sparsity; allocates nothing.

    Returns:
        How many prunable weights the network keeps; None for dense.

    Raises:
        HslError: If a corruption is not defined for the images, the network cannot be built for them, a glob
            matches none of its layers, the method does not take the structure, or the distribution cannot reach
            the sparsity, or it prunes nothing.
    """
    check_regime(shape, checked.regime)
    with torch.device("meta"):
        network = make_network(checked.model, shape, classes)
    _check_outputs(checked.model.name, network, shape, classes)
    if checked.distribution is None:
        return None
    layers = Layers(**checked.layers.model_dump())
    distribution = chosen_distribution(checked.method, checked.distribution, layers.structure)
    budget = make_budget(
        prunable_layers(network, layers), checked.sparsity, distribution or "uniform", layers
    )
    if checked.sparsity > 0 and budget.total() == (weights := weight_count(budget.shapes)):
        raise InfeasibleError(
            f"sparsity {checked.sparsity:g} prunes none of {weights} weights; raise it, or leave it out"
        )
    return budget.total()

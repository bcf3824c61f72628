"""Everything that a search space can name. Torch-free."""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hsl.driver.tune.trackers import TRACKERS
from hsl.errors import UnknownNameError
from hsl.hardness.registries import ATTACKS, CORRUPTIONS, LABEL_NOISES, ROBUST, SCORES, SELECTIONS, TRAININGS
from hsl.space.samplers import SAMPLERS
from hsl.space.schema import SearchSpace
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS
from hsl.sparsity.methods import METHODS
from hsl.stopping.settings import EARLY_STOPPING
from hsl.training.available import DATASETS, MODELS

Row = dict[str, Any]


def entries(kind: str | None = None) -> list[Row]:
    """Rows of kind, name and details, of one of `KINDS` or of all.

    Raises:
        UnknownNameError: If there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    chosen = [kind] if kind else list(KINDS)
    return [{"kind": name, **row} for name in chosen for row in KINDS[name]()]


def _methods() -> Iterator[Row]:
    for name, method in METHODS.items():
        tuned = ", ".join(f"method.{h.name}={h.default:g}" for h in method.hyperparameters)
        takes = ", ".join(method.distributions)
        init = f"init: {method.init}" if method.starts_sparse else ""
        yield {
            "name": name,
            "details": "; ".join(part for part in (method.summary, takes, tuned, init) if part),
        }


def _objects(registry: Mapping[str, Any]) -> Callable[[], Iterator[Row]]:
    """Rows of a registry that holds its objects, with the first line of their docstrings."""
    return lambda: (
        {"name": name, "details": (found.__doc__ or "").partition("\n")[0]}
        for name, found in registry.items()
    )


def _datasets() -> Iterator[Row]:
    for name in DATASETS:
        shown = f"{name}:PATH" if DATASETS.facts(name).needs_path else name
        yield {"name": shown, "details": summary(DATASETS.reference(name))}


def _spaces() -> Iterator[Row]:
    for name, field in SearchSpace.model_fields.items():
        yield {"name": name, "details": "required" if field.is_required() else ""}


def _names(registry: Any) -> Callable[[], Iterator[Row]]:
    return lambda: ({"name": name, "details": summary(registry.reference(name))} for name in registry)


def summary(reference: str | None) -> str:
    """First line of the docstring of ``hsl.module:attr``, read from the source: nothing is imported."""
    if reference is None:
        return ""
    module, _, attribute = reference.partition(":")
    for node in _definitions(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


@cache
def _definitions(module: str) -> list[ast.stmt]:
    """Top-level statements of a module of this package; its parents are not imported either."""
    file = Path(__file__).parent.joinpath(*module.split(".")[1:])
    source = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return ast.parse(source.read_text(encoding="utf-8")).body


KINDS: dict[str, Callable[[], Iterator[Row]]] = {
    "methods": _methods,
    "distributions": _objects(DISTRIBUTIONS),
    "scores": _names(SCORES),
    "selections": _names(SELECTIONS),
    "label-noises": _names(LABEL_NOISES),
    "corruptions": _names(CORRUPTIONS),
    "attacks": _names(ATTACKS),
    "adversarial-trainings": _names(TRAININGS),
    "robustness-measures": _names(ROBUST),
    "datasets": _datasets,
    "models": _names(MODELS),
    "samplers": _objects(SAMPLERS),
    "early-stopping": _objects(EARLY_STOPPING),
    "trackers": _names(TRACKERS),
    "space-keys": _spaces,
}

"""Axes of the training that do nothing, or something else than they say. Pure."""

from collections.abc import Iterator
from typing import Any

from hsl.space.problems import Found, at
from hsl.space.schema import SearchSpace
from hsl.training.configuration import READ_BY


def training_problems(space: SearchSpace) -> Iterator[Found]:
    """Compared and tuned fields that no network of the space reads, and values that fail or mean another one."""
    for field, (owner, readers) in READ_BY.items():
        others = _values(space, owner)
        several = _is_axis(space, field) and len(_values(space, field)) > 1
        if several and readers.isdisjoint(others):
            message = (
                f"{field} belongs to {owner} {' or '.join(sorted(readers))}, and {owner} is "
                f"{' or '.join(map(str, others))}, so all its values train the same; take it out"
            )
            yield at(_place(space, field), message)
    if (
        True in _values(space, "nesterov")
        and 0 in _values(space, "momentum")
        and "sgd" in _values(space, "optimizer")
    ):
        yield at(
            _place(space, "momentum"),
            "Nesterov momentum needs a momentum above 0; raise it, or leave nesterov out",
        )
    given = _is_axis(space, "warmup") or "warmup" in space.training.model_fields_set
    if given and 0 in _values(space, "warmup") and "one_cycle" in _values(space, "schedule"):
        message = (
            "0 means the default of schedule one_cycle, 0.3 of the run; write 0.3, or a small one as 0.001"
        )
        yield at(_place(space, "warmup"), message)


def _is_axis(space: SearchSpace, field: str) -> bool:
    return f"training.{field}" in {**space.factors, **space.search}


def _place(space: SearchSpace, field: str) -> tuple[str, ...]:
    axis = f"training.{field}"
    sections = [name for name, axes in (("factors", space.factors), ("search", space.search)) if axis in axes]
    return (sections[0], axis) if sections else ("training", field)


def _values(space: SearchSpace, field: str) -> tuple[Any, ...]:
    """All values that a field of the training takes; the bounds of a range."""
    axis = f"training.{field}"
    if axis in space.factors:
        return space.factors[axis]
    if axis in space.search:
        domain = space.search[axis]
        return domain.choice or domain.bounds or ()
    return (getattr(space.training, field),)

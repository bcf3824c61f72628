"""Axes of the training that do nothing, or something else than they say. Pure."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

from hsl.space.problems import Found, at
from hsl.space.schema import SearchSpace
from hsl.training.configuration import READ_BY, Training
from hsl.training.read_settings import as_read


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

    yield from _equal_levels(space)


def _equal_levels(space: SearchSpace) -> Iterator[Found]:
    """Levels and choices with which every network of the space is trained as with an earlier one."""
    for field in ("schedule", "milestones"):
        trained = {str(value): _trained(space, field, value) for value in _listed(space, field)}
        for first, other in combinations(trained, 2):
            if trained[first] == trained[other]:
                owner = "" if field == "schedule" else f" with {_said(space, 'schedule')}"
                message = f"{first} and {other} give the same learning rates{owner}; keep one of them"
                yield at(_place(space, field), message)


def _trained(space: SearchSpace, field: str, value: Any) -> list[Training]:
    """What is read of every training of the space that has this value of a field."""
    others = [name for name in ("schedule", "gamma", "warmup") if name != field]
    crossed = product(*(_values(space, name) for name in others))
    given = [dict(zip(others, values, strict=True)) | {field: value} for values in crossed]
    return [as_read(space.training.model_copy(update=each)) for each in given]


def _said(space: SearchSpace, field: str) -> str:
    return f"{field} {' or '.join(map(str, _values(space, field)))}"


def _listed(space: SearchSpace, field: str) -> tuple[Any, ...]:
    """The values of a compared or tuned field; none of one that is fixed, or of one that no schedule reads."""
    owner, readers = READ_BY.get(field, ("", frozenset()))
    is_read = not owner or not readers.isdisjoint(_values(space, owner))
    return _values(space, field) if _is_axis(space, field) and is_read else ()


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

"""True and false are no numbers in any field of any schema, also of those that are yet to come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from hsl.errors import SpaceError
from hsl.hardness.schema.fields import Typed
from hsl.planning.job import Job
from hsl.space.load import make_space
from hsl.training.configuration import Training


def schemas(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for schema in base.__subclasses__():
        yield schema
        yield from schemas(schema)


def switched(described: Any) -> Any:
    """A value with a switch in place of a number, for a part of a JSON schema; None where there is no number."""
    if not isinstance(described, dict):
        return None
    if "anyOf" in described:
        parts = described["anyOf"]
        if any(part.get("type") == "boolean" for part in parts):
            return None
        return next((found for part in parts if (found := switched(part)) is not None), None)
    kind = described.get("type")
    if kind in {"integer", "number"}:
        return True
    if kind == "array":
        items = described.get("prefixItems") or [described.get("items", {})]
        inner = [switched(item) for item in items]
        return None if None in inner else inner
    inner = switched(described.get("additionalProperties")) if kind == "object" else None
    return None if inner is None else {"x": inner}


def numbers() -> list[Any]:
    found = {}
    for schema in schemas(Typed):
        if not schema.__module__.startswith("hsl."):
            continue
        for name, described in schema.model_json_schema(mode="validation").get("properties", {}).items():
            if (value := switched(described)) is not None:
                found[f"{schema.__name__}.{name}"] = (schema, name, value)
    return [pytest.param(*item, id=key) for key, item in sorted(found.items())]


@pytest.mark.parametrize(("schema", "name", "value"), numbers())
def test_a_switch_is_no_number(schema: type[BaseModel], name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        schema.model_validate({name: value})
    own = [error for error in caught.value.errors() if error["loc"][:1] == (name,)]
    assert any("true" in repr(error["input"]).lower() for error in own)


def test_fields_of_every_schema_are_found() -> None:
    named = {f"{schema.__name__}.{name}" for schema, name, _ in (item.values for item in numbers())}
    some = {"Training.epochs", "Training.milestones", "Keep.power", "SearchSpace.prices", "Domain.uniform"}
    some |= {"Resources.cpu", "Budget.gpu_hours", "Confirm.seeds", "Attack.eps", "Tpe.n_startup_trials"}
    assert some | {"Configuration.hyperparameters", "Evaluation.samples", "Reporting.milestones"} <= named
    assert not {"Training.amp", "StopRule.clear", "Keep.class_balanced"} & named
    assert len(named) > 80
    assert issubclass(Job, Typed)


def test_switches_stay_switches_and_numbers_may_be_text() -> None:
    """YAML 1.1 reads 1e-1 as text, and so do overrides of others."""
    found = Training.model_validate({"amp": True, "augment": False, "lr": "1e-1", "epochs": 3.0})
    assert (found.amp, found.augment, found.lr, found.epochs) == (True, False, 0.1, 3)
    assert type(found.epochs) is int


def test_all_of_them_are_said_at_once_with_their_places() -> None:
    training = {"epochs": True, "lr": False, "milestones": [True, 0.5], "amp": True}
    with pytest.raises(SpaceError) as caught:
        make_space({"name": "t", "dataset": "digits", "model": "mlp", "training": training, "seed": True})
    places = {problem.where for problem in caught.value.problems}
    assert places == {"training.epochs", "training.lr", "training.milestones.0", "seed"}

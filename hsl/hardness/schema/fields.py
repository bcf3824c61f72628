"""Types of the values in a regime, and the messages for invalid values. Free of torch."""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StrictInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hsl.errors import HslError, UnknownNameError, close_match
from hsl.hardness.registries import CORRUPTIONS, SCORES
from hsl.registry import Registry

NORMS = ("linf", "l2")
"""Norms in which an attack is bounded."""


def problem(kind: str, message: str) -> PydanticCustomError:
    """A validation error with this message."""
    return PydanticCustomError(kind, "{message}", {"message": message})


def known(registry: Registry[Any, Any], *others: Registry[Any, Any]) -> AfterValidator:
    """Validator that accepts the names of registries, and plug-ins; a message names the kind of the first."""

    def check(name: str) -> str:
        if not any(name in other for other in others):
            check_known(name, registry, *others)
        return name

    return AfterValidator(check)


def check_known(name: str, registry: Registry[Any, Any], *others: Registry[Any, Any]) -> None:
    """Refuse a name that is neither an entry of a registry nor a plug-in that may be imported.

    Raises:
        PydanticCustomError: If it is neither; the message lists the names of the other registries as well.
    """
    try:
        registry.check(name)
    except UnknownNameError as error:
        names = [entry for entries in (registry, *others) for entry in entries]
        raise problem("unknown_name", str(UnknownNameError(registry.kind, name, names))) from error
    except HslError as error:
        raise problem("plugin", str(error)) from error


def _corruption_name(value: object) -> str | tuple[str, ...]:
    """One name, or several different ones in alphabetical order."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise problem(
            "corruption", f"{value!r} is no corruption; give a name, or a list of names to be mixed"
        )
    for name in names:
        check_known(name, CORRUPTIONS)
    if len(set(names)) < len(names):
        raise problem(
            "corruption", f"{value!r} names a corruption twice; name each once, all are equally likely"
        )
    return names[0] if len(names) == 1 else tuple(sorted(names))


PROFILES = ("exponential", "step")
"""How the sizes of the classes of a long tail fall."""

CLASS_MAPS = {"cifar10": {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}}
"""Classes of a data set and what they are mistaken for: truck for automobile, bird for airplane, deer for
horse, cat for dog and dog for cat."""


def as_window(given: dict[str, Any]) -> dict[str, Any]:
    """The keys of a kept part, with the equivalent window in place of its percentiles (easiest first)."""
    rest = {name: value for name, value in given.items() if name != "percentiles"}
    bounds = given["percentiles"]
    if others := [name for name in ("fraction", "count", "which", "offset") if name in rest]:
        raise problem("percentiles", f"percentiles say what stays; leave {', '.join(others)} out")
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(_is_number(b) for b in bounds):
        raise problem("percentiles", f"percentiles {bounds!r}: give the lower and the upper, as in [20, 80]")
    lower, upper = (Fraction(str(bound)) / 100 for bound in bounds)
    if not 0 <= lower < upper <= 1:
        raise problem("percentiles", f"percentiles {bounds!r}: allowed is 0 <= lower < upper <= 100")
    if 0 < lower < upper < Fraction(1, 100):
        message = f"percentiles {bounds!r} are less than a hundredth; they are in percent, as in [20, 80]"
        raise problem("percentiles", message)
    place = {"which": "window", "offset": float(1 - upper)} if upper < 1 else {"which": "hardest"}
    return {**rest, "fraction": float(upper - lower), **place}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _class_map(value: object) -> tuple[tuple[int, int], ...]:
    """Pairs of different classes in ascending order, of a mapping, of pairs or of the name of a data set."""
    if isinstance(value, str):
        if value not in CLASS_MAPS:
            raise problem("unknown_name", str(UnknownNameError("map", value, CLASS_MAPS)))
        value = CLASS_MAPS[value]
    items = value.items() if isinstance(value, dict) else value
    pairs = [*items] if isinstance(items, Iterable) else []
    if not pairs or not all(_is_class_pair(pair) for pair in pairs):
        message = f"{value!r} is no map of classes; write {{3: 5, 5: 3}}, or the name of a data set"
        raise problem("class_map", message)
    if len({pair[0] for pair in pairs}) < len(pairs):
        raise problem("class_map", f"{value!r} has a class twice; give each class one other class")
    return tuple(sorted((pair[0], pair[1]) for pair in pairs))


def _is_class_pair(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] == pair[1]:
        return False
    return all(isinstance(label, int) and not isinstance(label, bool) and label >= 0 for label in pair)


def _norm(name: str) -> str:
    if name not in NORMS:
        message = f"unknown norm {name!r}{close_match(name, NORMS)}; known: {', '.join(NORMS)}"
        raise problem("unknown_name", message)
    return name


def pixels(value: object) -> float:
    """Number or expression such as ``"8/255"``, as a fraction of the range of a pixel."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        numerator, *denominator = str(value).split("/")
        number = Fraction(numerator.strip())
        for divisor in denominator:
            number /= Fraction(divisor.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise problem("pixels", f"{value!r} is not a number; write pixel units, for example 8/255") from error
    if not 0 <= number <= 1:
        is_level = number.denominator == 1 and 1 < number <= 255
        meant = f" (did you mean {number}/255?)" if is_level else ""
        raise problem("pixels", f"{value} is outside 0-1; write it in pixel units, for example 8/255{meant}")
    return float(number)


def _positive(value: float) -> float:
    if value <= 0:
        raise problem("pixels", "a step of 0 moves nothing; write it in pixel units, for example 2/255")
    return value


Pixels = Annotated[float, BeforeValidator(pixels)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Count = Annotated[StrictInt, Field(ge=1)]
Name = Annotated[str, Field(strict=True)]
ScoreName = Annotated[Name, known(SCORES)]
CorruptionName = Annotated[str | tuple[str, ...], BeforeValidator(_corruption_name)]
ClassMap = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_class_map)]
Norm = Annotated[Name, AfterValidator(_norm)]
Step = Annotated[Pixels, AfterValidator(_positive)]


class Typed(BaseModel):
    """Base of every schema: ``true`` and ``1e-1_0`` are no numbers, although Python takes them for 1 and 1e-10."""

    @model_validator(mode="before")
    @classmethod
    def _only_numbers_are_numbers(cls, given: Any) -> Any:
        """The values; what Python alone takes for a number is text that every numeric field refuses."""
        if not isinstance(given, dict) or not _has(given, _is_number_of_python_alone):
            return given
        numeric = {name for name, field in cls.model_fields.items() if is_numeric(field.annotation)}
        return {name: _as_text(value) if name in numeric else value for name, value in given.items()}


def has_switch(value: object) -> bool:
    """Whether a value is true or false, or contains it."""
    return _has(value, lambda part: isinstance(part, bool))


def _has(value: object, holds: Callable[[object], bool]) -> bool:
    """Whether something holds of a value, or of a part of it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return holds(value) or any(_has(part, holds) for part in inner)


def _is_number_of_python_alone(value: object) -> bool:
    """Whether it is a switch, or text such as ``1_000``, which Python reads as a number and YAML does not."""
    if isinstance(value, bool):
        return True
    try:
        return isinstance(value, str) and "_" in value and math.isfinite(float(value))
    except ValueError:
        return False


def _as_text(value: Any) -> Any:
    """A value in which what Python alone takes for a number is text: a switch in small letters, other text quoted."""
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if _is_number_of_python_alone(value) else value


def is_numeric(annotation: object) -> bool:
    """Whether values of a type are numbers, or contain numbers and no switches."""
    leaves, waiting = set(), [annotation]
    while waiting:
        part = waiting.pop()
        waiting += get_args(part)
        leaves |= {part} if isinstance(part, type) else set()
    return bool(leaves & {int, float}) and bool not in leaves


class Part(Typed):
    """Base of every part of a regime: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _written(cls, given: object, validated: ModelWrapValidatorHandler[Self]) -> Self:
        """Only what was given counts as set, and not the defaults that a validator has written out."""
        part = validated(given)
        if isinstance(given, dict):
            part.model_fields_set.intersection_update(given)
        return part

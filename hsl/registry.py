"""Registries: one explicit mapping from names to objects per axis, with errors that list the known names.

An entry is the object itself or a lazy reference ``"package.module:attr"``, so that listing names imports nothing
heavy. Any other name with a colon is such a reference as well: a plug-in needs no edit here. An `Entry` carries facts
of the object that must be known before it is used, in a registry as well as in the module of a plug-in.

Python code may use plug-ins freely. The command line reads names from files of unknown origin: it refuses plug-ins
without ``--allow-plugins``, and its workers inherit that.
"""

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from hsl.errors import HslError, PluginError, UnknownNameError
from hsl.openings import listen

T = TypeVar("T")
F = TypeVar("F")

LOG = logging.getLogger(__name__)

PLUGINS = "HSL_PLUGINS"
"""Environment variable that the command line sets to ``off`` or ``on``; unset, as in Python code, means ``on``."""


@dataclass(frozen=True)
class Entry(Generic[F]):
    """An object, or a lazy reference to it, and its facts."""

    target: object
    facts: F


@dataclass(frozen=True)
class Call:
    """How an object is called.

    Attributes:
        positional: Names of the positional arguments, for messages; an object may call them otherwise.
        keywords: Names of the keyword arguments.
    """

    positional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    def __str__(self) -> str:
        star = ("*",) if self.keywords else ()
        return f"({', '.join([*self.positional, *star, *self.keywords])})"

    def problem(self, found: Callable[..., object]) -> str | None:
        """What keeps `found` from being called so, or None."""
        try:
            signature = inspect.signature(found)
        except (TypeError, ValueError):  # some functions in C have none
            return None
        try:
            signature.bind(*self.positional, **dict.fromkeys(self.keywords))
        except TypeError as error:
            return f"takes {signature}, it must accept {self}: {error}"
        return None


@dataclass(frozen=True)
class Wanted(Generic[F]):
    """What the objects of a registry must be.

    Attributes:
        is_one: Whether an object is of the right kind.
        words: What an object must be, for messages.
        call: Facts -> how an object with these facts is called; None if that is not known.
    """

    is_one: Callable[[object], bool] = callable
    words: str = "a function or a class"
    call: Callable[[F], Call] | None = None

    def problem(self, found: object, facts: F) -> str | None:
        """What is wrong with an object, or None."""
        if not self.is_one(found):
            return f"is {_described(found)}, it must be {self.words}"
        return self.call(facts).problem(found) if self.call and callable(found) else None


def called(*positional: str, keywords: tuple[str, ...] = ()) -> Wanted[Any]:
    """Functions that are all called in the same way."""
    call = Call(positional, keywords)
    return Wanted(call=lambda _: call)


def _described(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}"
    name = getattr(found, "__name__", "")
    return f"the {type(found).__name__} {name}" if name else f"an object of {type(found).__name__}"


class Registry(Mapping[str, T], Generic[T, F]):
    """Read-only mapping from names to objects of one kind.

    Args:
        kind: Kind of the entries, in the singular, for messages ("method", "corruption", ...).
        entries: Objects or lazy references to them, in an `Entry` if their facts are not the default.
        facts: The default facts.
        wanted: What objects must be. It is asked of a plug-in when it is imported.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, object],
        facts: F = None,  # type: ignore[assignment]
        wanted: Wanted[F] | None = None,
    ) -> None:
        self.kind = kind
        self._facts = facts
        self._wanted = wanted or Wanted()
        self._entries = {name: self._entry(entry) for name, entry in entries.items()}

    def __getitem__(self, name: str) -> T:
        """The object called `name`.

        Raises:
            UnknownNameError: If no entry has this name.
            PluginError: If it is a plug-in, and plug-ins are not allowed.
            HslError: If a plug-in reference cannot be imported, or is of another kind.
        """
        target = (self._entries.get(name) or self._plugin(name)).target
        return cast(T, imported(target, self.kind) if isinstance(target, str) else target)

    def facts(self, name: str) -> F:
        """The facts of the object called `name`; an entry is not imported for this.

        A plug-in that cannot be imported has the default facts, so that a store can be read without the plug-ins of
        its sweep; only use of the object itself fails.

        Raises:
            UnknownNameError: If no entry has this name.
            PluginError: If it is a plug-in, and plug-ins are not allowed.
        """
        if name in self._entries:
            return self._entries[name].facts
        self.check(name)
        try:
            return self._plugin(name).facts
        except Exception:  # noqa: BLE001  it is code of the user's
            return self._facts

    def for_schema(self, name: str) -> T:
        """The object called `name` for a pydantic validator: errors other than a PluginError are ValueErrors."""
        try:
            return self[name]
        except PluginError:
            raise
        except HslError as error:
            raise ValueError(str(error)) from error

    def _plugin(self, name: str) -> Entry[F]:
        self.check(name)
        _announce(self.kind, name)
        entry = self._entry(imported(name, self.kind))
        if message := self.problem(entry):
            raise HslError(f"{self.kind} {name!r} {message}")
        return entry

    def problem(self, entry: Entry[F]) -> str | None:
        """What keeps an entry from being one of this registry, or None."""
        facts = type(self._facts)
        if not isinstance(entry.facts, facts):
            return f"has {_described(entry.facts)} for its facts, they must be {facts.__name__}"
        return self._wanted.problem(entry.target, entry.facts)

    def _entry(self, found: object) -> Entry[F]:
        return found if isinstance(found, Entry) else Entry(found, self._facts)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def reference(self, name: str) -> str | None:
        """The lazy reference of an entry; None if the entry is the object itself."""
        target = self._entries[name].target
        return target if isinstance(target, str) else None

    def knows(self, name: str) -> bool:
        """Whether `name` is an entry or has the form of a plug-in reference, which is not imported."""
        return name in self._entries or ":" in name

    def check(self, name: str) -> None:
        """Refuse a name that is neither an entry nor a plug-in that may be imported; import nothing.

        Raises:
            UnknownNameError: If it is not an entry and does not have the form of a plug-in reference.
            PluginError: If it is a plug-in, and plug-ins are not allowed.
        """
        if name in self._entries:
            return
        if not isinstance(name, str) or ":" not in name:
            raise UnknownNameError(self.kind, name, self._entries)
        if os.environ.get(PLUGINS) == "off":
            raise PluginError(self.kind, name)


@lru_cache
def _announce(kind: str, reference: str) -> None:
    """Log a plug-in once, before its code runs."""
    LOG.info("importing %s %r", kind, reference)


def imported(reference: str, kind: str) -> Any:
    """Import the object of a reference ``package.module:attr``; `kind` names it in the message.

    Raises:
        HslError: If it cannot be imported.
    """
    module_name, _, attribute = reference.partition(":")
    if module_name.partition(".")[0] != __name__.partition(".")[0]:
        listen()  # the files that it opens on import are part of its code
    try:
        return getattr(import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        name = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise HslError(f"{kind} {reference!r} cannot be imported: {name}{error}") from error

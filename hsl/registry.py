"""Registries: one explicit mapping from names to objects per axis, with errors that list the known names.

An entry is the object itself or a lazy reference ``"package.module:attr"``, so that listing names imports nothing
heavy. Any other name with a colon is such a reference as well: a plug-in needs no edit here. An `Entry` carries facts
of the object that must be known before it is used, in a registry as well as in the module of a plug-in.

Python code may use plug-ins freely. The command line reads names from files of unknown origin: it refuses plug-ins
without ``--allow-plugins``, and its workers inherit that.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from hsl.errors import HslError, PluginError, UnknownNameError

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


class Registry(Mapping[str, T], Generic[T, F]):
    """Read-only mapping from names to objects of one kind.

    Args:
        kind: Kind of the entries, in the singular, for messages ("method", "corruption", ...).
        entries: Objects or lazy references to them, in an `Entry` if their facts are not the default.
        facts: The default facts.
    """

    def __init__(self, kind: str, entries: Mapping[str, object], facts: F = None) -> None:  # type: ignore[assignment]
        self.kind = kind
        self._facts = facts
        self._entries = {name: self._entry(entry) for name, entry in entries.items()}

    def __getitem__(self, name: str) -> T:
        """The object called `name`.

        Raises:
            UnknownNameError: If no entry has this name.
            PluginError: If it is a plug-in, and plug-ins are not allowed.
            HslError: If a plug-in reference cannot be imported.
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
        return self._entry(imported(name, self.kind))

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
    try:
        return getattr(import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        name = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise HslError(f"{kind} {reference!r} cannot be imported: {name}{error}") from error

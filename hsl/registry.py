"""name -> object: one explicit dict per axis, and an error that lists the dict.

An entry is the object itself or a lazy reference ``"package.module:attr"``; so listing names imports nothing
heavy. A name with a colon that is no entry is such a reference too: users plug in their own without an edit here.
Python code may do so freely. The command line reads names from files, which may be a stranger's: it refuses plug-ins
unless it was given ``--allow-plugins``, and its workers inherit that.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Generic, TypeVar, cast

from hsl.errors import HslError, PluginError, UnknownNameError

T = TypeVar("T")

LOG = logging.getLogger(__name__)

PLUGINS = "HSL_PLUGINS"
"""Environment variable that the command line sets to ``off`` or ``on``; unset, as in Python code, means ``on``."""


class Registry(Mapping[str, T], Generic[T]):
    """Read-only mapping from names to objects of one kind.

    Args:
        kind: What an entry is, in the singular, for messages ("method", "corruption", ...).
        entries: Objects, or lazy references to them.
    """

    def __init__(self, kind: str, entries: Mapping[str, T | str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        """The object called `name`.

        Raises:
            UnknownNameError: If no entry has this name.
            PluginError: If it is a plug-in, and plug-ins are not allowed.
            HslError: If a plug-in reference cannot be imported.
        """
        if name in self._entries:
            entry = self._entries[name]
            return cast(T, _import(entry, self.kind)) if isinstance(entry, str) else entry
        self.check(name)
        _announce(self.kind, name)
        return cast(T, _import(name, self.kind))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def reference(self, name: str) -> str | None:
        """The lazy reference of an entry; None where the entry is the object itself."""
        entry = self._entries[name]
        return entry if isinstance(entry, str) else None

    def knows(self, name: str) -> bool:
        """Whether `name` is an entry or has the form of a plug-in reference (which is not imported for this)."""
        return name in self._entries or ":" in name

    def check(self, name: str) -> None:
        """Refuse a name that is neither an entry nor a plug-in that may be imported; nothing is imported for this.

        Raises:
            UnknownNameError: If no entry has this name, and it has not the form of a plug-in reference.
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
    """Name a plug-in once, before its code runs."""
    LOG.info("importing %s %r", kind, reference)


def _import(reference: str, kind: str) -> object:
    module_name, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise HslError(f"{kind} {reference!r} cannot be imported: {error}") from error

"""Digests of the code of plug-ins: what they compute, not how it is written down.

Comments, docstrings and formatting do not count. Packages that are installed have versions, which are provenance; all
other code has none, and changes. So the digest is of the plug-in and of all that it leads to: what its code imports,
wherever that is found, also inside of functions and by `importlib`, and the files that it opens on import.
"""

import ast
import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from hsl.errors import HslError
from hsl.openings import listen, opened_on_import
from hsl.registry import PLUGINS

INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib"))


def code_digest(reference: str) -> str | None:
    """Digest of the module of a plug-in, and of all modules and files that it leads to.

    Args:
        reference: ``package.module:attr``.

    Returns:
        16 hexadecimal digits; None if there is no such module, or it comes from an installed package, or has no source.
    """
    first = _imported(reference.partition(":")[0])
    if first is None or _source(first.__name__) is None:
        return None
    # What was imported is what runs, although its files may have changed since.
    if first not in _KNOWN:
        _KNOWN[first] = _digest(first.__name__)
    return _KNOWN[first]


def check_code(expected: Mapping[str, str]) -> None:
    """Refuse to go on with plug-ins whose code is other than it was where the work was planned.

    Args:
        expected: Digests by reference, as `code_digest` gave them.

    Raises:
        HslError: If there are some.
    """
    found = {name: code_digest(name) for name in expected}
    if changed := [name for name in expected if found[name] != expected[name]]:
        listed = ", ".join(f"{name} ({found[name] or 'installed, or missing'})" for name in changed)
        raise HslError(
            f"the code of {listed} is another on this machine than where the work was planned "
            f"({', '.join(expected[name] for name in changed)}): give every machine the same version"
        )


def codes_of(names: Iterable[str]) -> dict[str, str]:
    """Digests of those plug-ins among some names of an axis whose code is not that of an installed package."""
    digests = {name: code_digest(name) for name in names if ":" in name}
    return {name: digest for name, digest in digests.items() if digest is not None}


_KNOWN: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()


def _digest(first: str) -> str:
    made = hashlib.blake2b(digest_size=8)
    for name, tree in _closure(first):
        made.update(repr((name, _meaning(tree))).encode())
        for file in opened_on_import(name):
            if not _is_installed(file):
                made.update(repr((name, file.name, file.read_bytes())).encode())
    return made.hexdigest()


def _imported(name: str) -> ModuleType | None:
    """A module, which is imported where plug-ins are allowed; None if that fails."""
    if os.environ.get(PLUGINS) == "off":
        return None
    # A user's code can raise anything; using the plug-in will say what is wrong.
    listen()
    with contextlib.suppress(Exception, SystemExit):
        return import_module(name)
    return None


def _closure(first: str) -> list[tuple[str, ast.Module]]:
    """A module and those that it leads to, by name, with their syntax trees.

    Also those that are imported later, inside of a function: it does not depend on what has run yet.
    """
    found: dict[str, ast.Module] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        source = None if name in found else _source(name)
        # A file that is never imported may be none of Python's, or lead nowhere.
        with contextlib.suppress(SyntaxError, ValueError, ImportError):
            if source is None:
                continue
            found[name] = ast.parse(source)
            spec = _spec(name)
            package = name if spec and spec.submodule_search_locations else name.rpartition(".")[0]
            waiting += [*_imports(found[name], package), *_held(name)]
    return sorted(found.items())


def _source(name: str) -> bytes | str | None:
    """The source of a module that is found as Python finds it; None of one that is installed, or has none."""
    spec = _spec(name)
    if spec is None or not spec.origin or name.partition(".")[0] == __name__.partition(".")[0]:
        return None
    origin = Path(spec.origin)
    if _is_installed(origin):
        return None
    if origin.is_file():
        return origin.read_bytes() if origin.suffix == ".py" else None
    with contextlib.suppress(ImportError, OSError, AttributeError):  # for example in an archive
        return str(spec.loader.get_source(name))  # type: ignore[union-attr]
    return None


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing it or what it is in."""
    with contextlib.suppress(ValueError, ImportError, AttributeError):
        if (module := sys.modules.get(name)) is not None and module.__spec__ is not None:
            return module.__spec__
        above = name.rpartition(".")[0]
        parent = _spec(above) if above else None
        if not above:
            return PathFinder.find_spec(name)
        if parent and parent.submodule_search_locations is not None:
            return PathFinder.find_spec(name, list(parent.submodule_search_locations))
    return None


def _is_installed(file: Path) -> bool:
    return any(path.is_relative_to(root) for root in INSTALLED for path in (file, file.resolve()))


def _held(name: str) -> Iterator[str]:
    """Modules that a module holds, or whose functions and classes it does: it may have them by `importlib`."""
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
        held = None
        with contextlib.suppress(Exception):  # a user's object may do anything when it is asked
            held = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(held, str):
            yield from _above([held])


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Full names of what a module of a package imports, and of everything above these; not all of them are modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from _above(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, package) if node.level else base
            yield from _above([base, *(f"{base}.{alias.name}" for alias in node.names)])


def _above(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _meaning(tree: ast.Module) -> str:
    """A syntax tree without docstrings and places, as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_text and isinstance(first.value.value, str):  # type: ignore[union-attr]
                node.body = node.body[1:]
    return ast.dump(tree)

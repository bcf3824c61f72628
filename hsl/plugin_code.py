"""Digests of the code of plug-ins: what they compute, not how it is written down.

Comments, docstrings and formatting do not count. Packages that are installed have versions, which are provenance; the
code in a working folder has none, and changes.
"""

import ast
import contextlib
import hashlib
import os
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from hsl.errors import HslError
from hsl.registry import PLUGINS

INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib"))


def code_digest(reference: str) -> str | None:
    """Digest of the module of a plug-in, and of all modules that it leads to and that come from the same place.

    Args:
        reference: ``package.module:attr``.

    Returns:
        16 hexadecimal digits; None if there is no such module, or it comes from an installed package, or has no source.
    """
    first = _imported(reference.partition(":")[0])
    place = _place(first) if first else None
    if first is None or place is None:
        return None
    # What was imported is what runs, although its files may have changed since.
    if first not in _KNOWN:
        _KNOWN[first] = _digest(first.__name__, place)
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


def _digest(first: str, place: Path) -> str:
    made = hashlib.blake2b(digest_size=8)
    for name, tree in _closure(first, place):
        made.update(repr((name, _meaning(tree))).encode())
    return made.hexdigest()


def _imported(name: str) -> ModuleType | None:
    """A module, which is imported where plug-ins are allowed; None if that fails."""
    if os.environ.get(PLUGINS) == "off":
        return None
    # A user's code can raise anything; using the plug-in will say what is wrong.
    with contextlib.suppress(Exception, SystemExit):
        return import_module(name)
    return None


def _place(module: ModuleType) -> Path | None:
    """The folder from which a module was imported, above its packages; None of installed ones."""
    if _file(module) is None:
        return None
    file = Path(str(_file(module)))
    depth = len(module.__name__.split(".")) - (file.name != "__init__.py")
    place = file.parents[depth]
    is_own = module.__name__.partition(".")[0] == __name__.partition(".")[0]
    return None if is_own or any(file.is_relative_to(root) for root in INSTALLED) else place


def _file(module: ModuleType) -> Path | None:
    """The source file of a module, if it has one."""
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file and file.endswith(".py") and Path(file).is_file() else None


def _closure(first: str, place: Path) -> list[tuple[str, ast.Module]]:
    """A module and those of the same place that it leads to, by name, with their syntax trees.

    Also those that are imported later, inside of a function: it does not depend on what has run yet.
    """
    found: dict[str, ast.Module] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        source = None if name in found else _source(name, place)
        # A file that is never imported may be none of Python's, or lead nowhere.
        with contextlib.suppress(SyntaxError, ValueError, ImportError):
            if source is None:
                continue
            found[name] = ast.parse(source.read_bytes())
            package = name if source.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imports(found[name], package)
    return sorted(found.items())


def _source(name: str, place: Path) -> Path | None:
    """The file of a module that is imported from a place, if it is there."""
    path = place.joinpath(*name.split("."))
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in files if file.is_file()), None)


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

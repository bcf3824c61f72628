"""Digests of the code of plug-ins: what they compute, not how it is written down.

Comments, docstrings and formatting do not count. Packages that are installed have versions, which are provenance; the
code in a working folder has none, and changes.
"""

import ast
import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

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
    made = hashlib.blake2b(digest_size=8)
    for module in _closure(first, place):
        made.update(repr((module.__name__, _meaning(_tree(module)))).encode())
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


def _closure(first: ModuleType, place: Path) -> list[ModuleType]:
    """A module and those of the same place that it leads to, by name."""
    found, waiting = {first.__name__: first}, [first]
    while waiting:
        for name in _imports(waiting.pop()):
            module = sys.modules.get(name)
            if module is not None and name not in found and _place(module) == place:
                found[name] = module
                waiting.append(module)
    return [found[name] for name in sorted(found)]


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(_file(module))).read_bytes())


def _imports(module: ModuleType) -> Iterator[str]:
    """Full names of what a module imports, and of everything above these; not all of them are modules."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from _above(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, module.__package__) if node.level else base
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

"""Which test files are a module's own: read off names and imports, so that no list is to be kept."""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

REFERENCE = re.compile(r"hsl(\.\w+)+(?=:)")
"""A line of a registry, `module:attribute`, imports as well."""


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names under `hsl` that a file imports anywhere; the last part of one may be that of a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and (match := REFERENCE.match(str(node.value))):
            found.add(match[0])
    return frozenset(name for name in found if f"{name}.".startswith("hsl."))


def dotted(file: Path, root: Path) -> str:
    """Name under which a module is imported."""
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def own_tests(file: Path, root: Path) -> tuple[Path, ...]:
    """The test files of a module.

    Those in its room that bear its name (`hsl/sparsity/criteria.py`: `tests/sparsity/test_sparsity_criteria.py`),
    else its folder's (`hsl/results/claims/view.py`: `tests/results/test_results_claims.py`). Where there is none,
    those that import it or have the shortest chain of imports to it, in its room or, if none there has one,
    anywhere; of several, those in whose text a public name of the module stands.

    Args:
        file: A module of `hsl`, in the tree below `root`.
        root: Root of the checkout.

    Returns:
        Files, sorted; empty if no test reaches the module.
    """
    name = dotted(file, root)
    *folders, stem = name.split(".")[1:]
    room = sorted((root / "tests" / (folders or [stem])[0]).rglob("test_*.py"))
    for above, own in ((folders, stem), (folders[:-1], (folders or [""])[-1])):
        names = {f"test_{folder}_{own}" for folder in above}
        if named := [test for test in room if test.stem in names]:
            return tuple(named)
    nearest = _nearest(file, room, root) or _nearest(file, sorted((root / "tests").rglob("test_*.py")), root)
    words = re.compile(rf"\b({'|'.join([stem, *public(file)])})\b")
    return tuple(test for test in nearest if words.search(test.read_text())) or nearest


def public(file: Path) -> list[str]:
    """Names of the classes and functions of a module that do not begin with an underscore."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, kinds)]
    return [name for name in found if not name.startswith("_")]


def _nearest(file: Path, tests: Sequence[Path], root: Path) -> tuple[Path, ...]:
    distances = {test: distance for test in tests if (distance := _reached(test, root).get(file)) is not None}
    shortest = min(distances.values(), default=0)
    return tuple(test for test, distance in distances.items() if distance == shortest)


@cache
def _reached(test: Path, root: Path) -> Mapping[Path, int]:
    """Modules that a test imports, through however many others, and through how many."""
    queue, steps = deque([test]), {test: 0}
    while queue:
        file = queue.popleft()
        for imported in _imported(file, root):
            if imported not in steps:
                steps[imported] = steps[file] + 1
                queue.append(imported)
    return steps


@cache
def _imported(file: Path, root: Path) -> tuple[Path, ...]:
    """What a file imports: modules, and the packages of names that are no modules."""
    paths = [root.joinpath(*name.split(".")) for name in sorted(imports(file))]
    places = ((path.with_suffix(".py"), path / "__init__.py", path.parent / "__init__.py") for path in paths)
    return tuple(dict.fromkeys(found for each in places if (found := next(filter(Path.is_file, each), None))))

"""The rooms of the package: one ordered list, every import points down, light rooms stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hsl

PACKAGE = Path(hsl.__file__).parent

ROOMS = (
    *("cli", "commands", "testing", "catalogue", "winner"),
    *("driver", "trial", "prepare", "simulation", "search", "planning", "space", "stopping"),
    *("results", "training", "sparsity", "hardness", "store", "cluster"),
    *("filesystems", "plugin_code", "registry", "openings", "reasons", "provenance", "wording", "errors"),
)
"""From the doors to the ground. A room imports itself and the rooms behind it, no other."""

APART = {"results": {"training", "sparsity", "hardness"}, "sparsity": {"hardness"}}
"""Rooms that do not know each other although one stands before the other."""

WITHOUT = {
    "torch": ("results", "space", "planning", "stopping", "store", "cluster"),
    "ray": ("results", "space", "planning", "search", "training", "sparsity", "hardness", "store", "cluster"),
    "ray.tune": tuple(room for room in ROOMS if room != "driver"),
}
"""Packages, and the rooms that import them nowhere, not even when they need them."""

RAY_TUNE = ("driver/tune/", "stopping/ray_rules.py")
"""Where Ray Tune may be named: what drives it, and the rule that asks Ray's own schedulers as pure state."""

LIGHT = (
    *("hsl", "hsl.cli", "hsl.sparsity", "hsl.hardness", "hsl.training", "hsl.store.lease"),
    *("hsl.planning.plan", "hsl.planning.show", "hsl.driver.watch.status"),
)

MOST_FILES = 20
MOST_LINES = 350


@cache
def modules() -> dict[str, Path]:
    """Dotted name within the package -> file."""
    files = {".".join(f.relative_to(PACKAGE).with_suffix("").parts): f for f in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): file for name, file in sorted(files.items())}


def imports(file: Path) -> Iterator[str]:
    """Names that a file imports anywhere, also those of modules that are imported from their package."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("hsl.") in modules() else node.module


@cache
def arrows() -> dict[str, frozenset[str]]:
    """Module -> modules of the package that it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, file in modules().items():
        own = (target.removeprefix("hsl.") for target in imports(file) if target.startswith("hsl."))
        found[name] |= set(own) & modules().keys() - {name}
    return {name: frozenset(targets) for name, targets in found.items()}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def test_every_file_is_in_a_room() -> None:
    named = {room_of(module) for module in modules()} - {"__init__", "__main__"}
    assert named == set(ROOMS)


def test_every_import_points_down() -> None:
    upward = [
        f"{module} imports {target}"
        for module, targets in arrows().items()
        if room_of(module) in ROOMS
        for target in sorted(targets)
        if ROOMS.index(room_of(target)) < ROOMS.index(room_of(module))
        or room_of(target) in APART.get(room_of(module), ())
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("package", WITHOUT)
def test_a_room_without_a_package_imports_it_nowhere(package: str) -> None:
    found = [
        f"{module} imports {name}"
        for module, file in modules().items()
        if room_of(module) in WITHOUT[package] and not str(file.relative_to(PACKAGE)).startswith(RAY_TUNE)
        for name in imports(file)
        if f"{name}.".startswith(f"{package}.")
    ]
    assert found == []


def test_ray_tune_is_named_in_its_room_only() -> None:
    found = {
        str(file.relative_to(PACKAGE))
        for file in modules().values()
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("ray.tune."))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "ray"
            and "tune" in {a.name for a in node.names}
        )
    }
    assert [file for file in sorted(found) if not file.startswith(RAY_TUNE)] == []


def test_no_folder_is_flat() -> None:
    sizes = Counter(file.parent.relative_to(PACKAGE) for file in modules().values())
    assert {str(folder): count for folder, count in sizes.items() if count > MOST_FILES} == {}


def test_no_name_stands_twice() -> None:
    stems = Counter(
        file.stem
        for name, file in modules().items()
        if file.stem != "__init__" and room_of(name) != "commands"
    )
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_no_file_is_long() -> None:
    lines = {name: len(file.read_text().splitlines()) for name, file in modules().items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_light_modules_import_neither_torch_nor_ray() -> None:
    """One after the other in one process: the first that imports either is the one that is named."""
    program = f"""
import importlib, sys
for name in {LIGHT!r}:
    importlib.import_module(name)
    if {{"torch", "ray"}} & set(sys.modules):
        sys.exit(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr

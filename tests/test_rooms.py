"""The rooms depend on each other in one direction only, and light rooms stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hsl

PACKAGE = Path(hsl.__file__).parent

FORBIDDEN = {
    "sparsity": ("ray", "hsl.hardness", "hsl.training", "hsl.search", "hsl.results", "hsl.cli"),
    "hardness": ("ray", "hsl.sparsity", "hsl.training", "hsl.search", "hsl.results", "hsl.cli"),
    "training": ("ray", "hsl.search", "hsl.results", "hsl.cli"),
    "results": ("ray", "torch", "hsl.training", "hsl.sparsity", "hsl.hardness", "hsl.cli"),
    "search": ("hsl.cli",),
}

LIGHT = [
    "hsl",
    "hsl.cli",
    "hsl.sparsity",
    "hsl.hardness",
    "hsl.training",
    "hsl.search.plan",
    "hsl.search.describe",
    "hsl.search.lease",
    "hsl.search.status",
]


def imports(file: Path) -> Iterator[str]:
    """Modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("room", FORBIDDEN)
def test_dependencies_point_one_way(room: str) -> None:
    found = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in sorted((PACKAGE / room).rglob("*.py"))
        for name in imports(file)
        if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN[room])
    ]
    assert found == []


def test_only_one_module_builds_a_tuner() -> None:
    builders = [file.name for file in PACKAGE.rglob("*.py") if ".Tuner(" in file.read_text()]
    assert builders == ["tuning.py"]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_neither_torch_nor_ray(module: str) -> None:
    program = f"import sys, {module}; sys.exit(bool({{'torch', 'ray'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0

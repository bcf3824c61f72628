"""The README is true: its commands run, its example is the file, its columns are the code's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hsl.store.rows import markdown

pytestmark = pytest.mark.timeout(1800)  # for all commands, before the first of these tests

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()

SMALL = [
    "factors.regime=[clean]",
    "factors.sparsity=[0.9]",
    "search.method.choice=[static,set]",
    "search.distribution.choice=[erk]",
    "training.epochs=2",
    "budget.configurations_per_cell=1",
    "confirm.seeds=2",
]


def section(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", README, re.DOTALL)
    assert found, f"the README has no section {name}"
    return found[1]


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("hsl ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a sweep of the default space, made small, has run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    done = run(folder, ["sweep", "search_spaces/digits.yaml", *SMALL])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """What the commands say, one after the other as they stand: some use what an earlier one has made."""
    return {line: run(folder, shlex.split(line)[1:]) for line in shell_lines()}


def run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HSL_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "hsl.cli", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.parametrize("line", shell_lines())
def test_commands_run(line: str, answers: dict[str, subprocess.CompletedProcess[str]]) -> None:
    done = answers[line]
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_are_two_set_up_commands() -> None:
    commands = [line for line in section("set-up").splitlines() if line.startswith("pip")]
    assert commands == [
        "pip install . && hsl sweep search_spaces/digits.yaml",
        "pip install '.[test]' && pytest -n 2",
    ]


def test_python_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(example, names)
    assert len(names["results"].trials) > 0  # type: ignore[attr-defined]
    assert names["sparsifier"].sparsity() == pytest.approx(0.9, abs=1e-4)  # type: ignore[attr-defined]


def test_space_is_the_file() -> None:
    assert section("space").strip() == f"```yaml\n{(ROOT / 'search_spaces/digits.yaml').read_text()}```"


def test_columns_are_those_of_the_code() -> None:
    assert section("columns").strip() == markdown().strip()

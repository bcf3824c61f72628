"""The README is true: its commands run, its example is the file, its columns are the code's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Outcome, command
from in_process import without_ray

from hsl.store.rows import markdown

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a sweep of the default space, made small, has run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        without_ray(patch, folder / "cache")
        done = command("sweep", "search_spaces/digits.yaml", *SMALL)
        assert done.returncode == 0, done.stderr
        yield folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Outcome]:
    """What the commands say, one after the other as they stand: some use what an earlier one has made."""
    return {line: command(*shlex.split(line)[1:]) for line in shell_lines()}


@pytest.mark.parametrize("line", shell_lines())
def test_commands_run(line: str, answers: dict[str, Outcome]) -> None:
    done = answers[line]
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_are_two_set_up_commands() -> None:
    commands = [line for line in section("set-up").splitlines() if line.startswith("pip")]
    assert commands == [
        "pip install . && hsl sweep search_spaces/digits.yaml",
        "pip install '.[test]' && pytest -n 2",
    ]


def test_python_examples_run(folder: Path) -> None:
    assert Path.cwd() == folder
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(example, names)
    assert len(names["results"].trials) > 0  # type: ignore[attr-defined]
    assert names["sparsifier"].sparsity() == pytest.approx(0.9, abs=1e-4)  # type: ignore[attr-defined]


def test_space_is_the_file() -> None:
    assert section("space").strip() == f"```yaml\n{(ROOT / 'search_spaces/digits.yaml').read_text()}```"


def test_columns_are_those_of_the_code() -> None:
    assert section("columns").strip() == markdown().strip()

"""Mutants of a file that is written down here."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import Copy, Outcome
from mutants import at, sample

CODE = '''"""Add 1 and 2."""

LOG = __import__("logging").getLogger()
LIMIT: int | None = 3
PAIRS = zip((), (), strict=True)


def total(a: int | str = 4, *, flag: bool = True) -> int | None:
    """Say 5 + 6."""
    LOG.info("more than %d", 7 + 8)
    if a == 9:
        raise ValueError(f"{a + 10} is not {flag or 11}")
    return a + 12
'''
TEST = """from mutated.sums import total


def test_total():
    assert total(1) == 13


def test_broken():
    assert False
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "mutated" / "sums.py"
    found.parent.mkdir(parents=True)
    found.write_text(CODE)
    return found


def test_prose_annotations_and_messages_are_left_alone(tmp_path: Path, file: Path) -> None:
    changed = {(mutant.line, mutant.new) for mutant in at(tmp_path, file, [])}
    assert {line for line, _ in changed} == {4, 8, 11, 13}
    assert {new for line, new in changed if line == 4} == {"LIMIT: int | None = 4", "LIMIT: int | None = 2"}
    assert {new for line, new in changed if line == 11} == {
        *("if not a == 9:", "if a != 9:", "if a == 10:", "if a == 8:"),
    }
    assert {new for line, new in changed if line == 13} == {
        *("return a - 12", "return a * 12", "return a + 13", "return a + 11"),
    }


def test_a_sample_is_that_of_its_seed_and_has_one_mutant_of_a_line(tmp_path: Path, file: Path) -> None:
    one, same, other = ([m.new for m in sample(tmp_path, [file], seed)] for seed in (1, 1, 2))
    assert one == same != other
    assert sorted(m.line for m in sample(tmp_path, [file], 3)) == [4, 8, 11, 13]


def test_a_mutant_dies_by_a_test_that_passes_without_it(tmp_path: Path, file: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    tests = tmp_path / "tests" / "test_sums.py"
    tests.parent.mkdir()
    tests.write_text(TEST.partition("def test_broken")[0])
    copy = Copy(tmp_path)
    sum_, product, *_ = at(tmp_path, file, [13])
    outcome, note = copy.judge(sum_.file, sum_.code, [tests], 60.0)
    assert (outcome, note) == (Outcome.DEAD, "tests/test_sums.py::test_total")
    assert file.read_text() == CODE
    limit = next(iter(at(tmp_path, file, [4])))
    assert copy.judge(limit.file, limit.code, [tests], 60.0)[0] is Outcome.ALIVE
    assert copy.judge(product.file, product.code, [], 60.0) == (Outcome.ALIVE, "no test reaches the module")
    tests.write_text(TEST.replace("def test_total", "def other"))
    outcome, note = copy.judge(sum_.file, sum_.code, [tests], 60.0)
    assert outcome is Outcome.ALIVE
    assert note.endswith("fails without the change as well")

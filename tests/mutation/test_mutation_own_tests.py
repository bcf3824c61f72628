"""Which tests are a module's own, and that the list of equivalent mutants speaks of code that is there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from own_tests import own_tests

ROOT = Path(__file__).parents[2]
ROOMS = ("space", "planning", "stopping", "search", "sparsity", "hardness", "results")
EQUIVALENT = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())["mutant"]


def own(module: str) -> list[str]:
    return [str(test.relative_to(ROOT / "tests")) for test in own_tests(ROOT / "hsl" / module, ROOT)]


@pytest.mark.parametrize(
    ("module", "tests"),
    [
        ("sparsity/criteria.py", ["sparsity/test_sparsity_criteria.py"]),
        ("hardness/corruptions/blur.py", ["hardness/test_hardness_corruptions.py"]),
        ("results/claims/view.py", ["results/test_results_claims.py"]),
        ("results/sequential.py", ["results/test_results_sequential.py"]),
    ],
)
def test_a_module_has_the_tests_of_its_name_or_its_folders(module: str, tests: list[str]) -> None:
    assert own(module) == tests


def test_without_a_name_imports_decide() -> None:
    found = own("results/dense.py")
    assert found
    assert all("dense" in (ROOT / "tests" / test).read_text() for test in found)
    assert {test.split("/")[0] for test in found} == {"results"}


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_tests(room: str) -> None:
    files = [file for file in (ROOT / "hsl" / room).rglob("*.py") if file.stem != "__init__"]
    assert [file.name for file in files if not own_tests(file, ROOT)] == []


@pytest.mark.parametrize("entry", EQUIVALENT, ids=lambda entry: f"{entry['file']}: {entry['change']}")
def test_an_equivalent_mutant_is_one_of_code_that_is_there(entry: dict[str, str]) -> None:
    lines = [line.strip() for line in (ROOT / entry["file"]).read_text().splitlines()]
    assert entry["code"] in lines
    assert entry["change"] != entry["code"]
    assert entry["reason"]

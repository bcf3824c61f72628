"""One value has one name: levels have the type of their axis, and stores of version 0.1 keep their names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsl.errors import SpaceError, StoreError
from hsl.planning.plan import make_plan
from hsl.space.axes import configuration
from hsl.space.levels import typed
from hsl.space.load import load_space, make_space
from hsl.space.scalars import read_yaml
from hsl.space.schema import SearchSpace
from hsl.space.stored import check_continues, space_text, stored_space
from hsl.store.store import Store

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "method": "set", "sparsity": 0.5}

SAME = [
    ("training.lr", [0.1, "1e-1", "0.1", "0.10"]),
    ("training.lr", [1, 1.0, "1"]),
    ("training.batch_size", [64, 64.0, "64", 6.4e1]),
    ("training.nesterov", [True, "yes", "true", 1]),
    ("training.milestones", [[0.5, 0.75], ["0.5", 0.75], (0.5, 7.5e-1)]),
    ("training.augment", [None]),
    ("sparsity", [0.5, 5e-1]),
    ("method.drop_fraction", [0, 0.0]),
    ("method.rounds", [3, 3.0]),
    ("model", ["mlp", {"name": "mlp"}]),
    (
        "model",
        [{"name": "mlp", "widths": [8], "norm": "batch"}, {"norm": "batch", "widths": [8], "name": "mlp"}],
    ),
]


@pytest.mark.parametrize(("axis", "forms"), SAME)
def test_equal_values_are_one_level_and_one_trial(axis: str, forms: list[Any]) -> None:
    spaces = [
        make_space({**BASE, "method": "imp" if "rounds" in axis else "set", "factors": {axis: [form]}})
        for form in forms
    ]
    names = [[cell.name for cell in make_plan(space).cells] for space in spaces]
    assert all(each == names[0] for each in names)
    assert len({configuration(space, {axis: space.factors[axis][0]}).id for space in spaces}) == 1
    for section in ({"factors": {axis: list(forms)}}, {"search": {axis: {"choice": list(forms)}}}):
        if len(forms) > 1:
            with pytest.raises(SpaceError, match="listed twice"):
                make_space({**BASE, **section})


@given(st.floats(0.001, 9, exclude_min=True) | st.integers(1, 9))
def test_a_number_and_its_text_are_the_same_level(number: float) -> None:
    text = typed("training.lr", f"{number!r}")
    assert (type(text), text) == (float, number)
    assert typed("training.lr", text) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"keep": None}),
        ({"keep": {"fraction": 0.5}}, {"keep": {"fraction": 0.5, "which": "random"}}),
        (
            {"keep": {"fraction": 0.5, "by": "el2n"}},
            {"keep": {"by": "el2n", "fraction": 0.5, "which": "hardest"}},
        ),
        ({"attack": {"name": "pgd", "eps": 0.25}}, {"attack": {"name": "pgd", "eps": "1/4"}}),
    ],
)
def test_a_regime_in_other_words_is_the_same_regime(one: Any, other: Any) -> None:
    """Both would have the same trials, in two cells."""
    raw = {**BASE, "regimes": {"a": one, "b": other}, "factors": {"regime": ["a", "b"]}}
    with pytest.raises(SpaceError, match="the same as regime 'a'"):
        make_space(raw)


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        *(("training.lr", value) for value in ("fast", [0.1], None, float("nan"), {})),
        *(("sparsity", value) for value in ("0.9", True, 90)),
        *(("method.drop_fraction", value) for value in ("0.1", True)),
        *(("training.epochs", value) for value in (2.5, "2.5")),
        *((axis, 3) for axis in ("training", "training.", "method", "method.", "nothing", "")),
    ],
)
def test_what_an_axis_does_not_take_stays_for_the_message(axis: str, value: Any) -> None:
    assert typed(axis, value) is value


def load(folder: Path, text: str, *overrides: str) -> SearchSpace:
    file = folder / "space.yaml"
    file.write_text(yaml.safe_dump(BASE) + text)
    return load_space(file, overrides)


@pytest.mark.parametrize(
    "levels", ["training.lr: [1e-1, 0.1]", "training.batch_size: [64, 64.0]", "training.lr: ['0.9', 0.9]"]
)
def test_a_level_that_is_listed_in_two_forms_is_refused(levels: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="listed twice"):
        load(tmp_path, f"factors: {{{levels}}}\n")


def test_a_quoted_number_is_no_sparsity(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"'0\.9': sparsity is the fraction"):
        load(tmp_path, "factors: {sparsity: ['0.9', 0.9]}\n")


def test_overrides_have_the_type_of_their_axis_too(tmp_path: Path) -> None:
    space = load(
        tmp_path,
        "factors: {training.batch_size: [8, 16]}\n",
        "training.batch_size=64.0",
        "factors.training.lr=[1e-1]",
    )
    assert [cell.name for cell in make_plan(space).cells][-1] == "training.batch_size=64/training.lr=0.1"
    with pytest.raises(SpaceError, match="listed twice"):
        load(tmp_path, "", "factors.training.lr=[1e-1, 0.1]")


def old(factors: dict[str, Any], search: dict[str, Any] | None = None) -> str:
    """The space.yaml of version 0.1, which kept levels as the file had them."""
    raw = {**copy.deepcopy(BASE), "factors": factors, "search": search or {}}
    return yaml.safe_dump(make_space(raw, is_stored=True).model_dump(mode="json", exclude_none=True))


def cells(space: SearchSpace) -> list[str]:
    return [cell.name for cell in make_plan(space).cells]


OLD = {"training.lr": ["5e-1", 0.1], "training.weight_decay": [0, 0.5]}


def test_a_space_of_version_01_reads_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space(old(OLD))
    assert cells(stored_space(store, ""))[-1] == "training.lr=0.1/training.weight_decay=0.5"
    assert cells(stored_space(store, ""))[-4] == "training.lr=5e-1/training.weight_decay=0"


def test_the_cells_of_a_store_keep_their_names() -> None:
    given = make_space(
        {**BASE, "factors": {"training.lr": [0.5, 0.1, 0.2], "training.weight_decay": [0.0, 0.5]}}
    )
    continued = check_continues(old(OLD), given, "runs/t")
    assert continued.factors == {"training.lr": ("5e-1", 0.1, 0.2), "training.weight_decay": (0, 0.5)}
    found = cells(continued)
    assert "training.lr=5e-1/training.weight_decay=0" in found
    assert "training.lr=0.2/training.weight_decay=0" in found
    assert check_continues(space_text(continued), given, "runs/t") == continued


def test_a_choice_of_a_store_keeps_its_form() -> None:
    text = old({}, {"training.lr": {"choice": ["5e-1", 1]}})
    continued = check_continues(
        text, make_space({**BASE, "search": {"training.lr": {"choice": [0.5, 1.0, 2]}}}), "t"
    )
    assert continued.search["training.lr"].choice == ("5e-1", 1, 2.0)


def test_a_store_with_one_level_twice_is_continued_without_the_second() -> None:
    text = old({"training.lr": ["1e-1", 0.1, 0.2]})
    continued = check_continues(text, make_space({**BASE, "factors": {"training.lr": [0.1, 0.2]}}), "t")
    assert continued.factors == {"training.lr": (0.1, 0.2)}
    with pytest.raises(StoreError, match=r"now without \[0.1\]"):
        check_continues(text, make_space({**BASE, "factors": {"training.lr": [0.2]}}), "t")


@pytest.mark.parametrize("text", ["1e-1_0", "1_0", "0.0_1"])
def test_a_number_with_underscores_is_text(text: str) -> None:
    """Python alone reads it as a number, the first as 1e-10."""
    written = f"name: t\ndataset: digits\nmodel: mlp\nfactors: {{training.lr: [0.1, {text}]}}\n"
    with pytest.raises(SpaceError, match="number"):
        make_space(read_yaml(written)[0])
    with pytest.raises(SpaceError, match="number"):
        make_space({"name": "t", "dataset": "digits", "model": "mlp", "training": {"weight_decay": text}})

"""Scalars of spaces are those of YAML 1.2, and what YAML 1.1 reads otherwise does not change without a word."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsl.errors import SpaceError
from hsl.space.load import load_space
from hsl.space.scalars import read_yaml, write_yaml

SPACE = "name: a\ndataset: digits\nmodel: mlp\n"

NULL = ["", "~", "null", "Null", "NULL"]
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
INTEGERS = {"0": 0, "-0": 0, "+23": 23, "07": 7, "08": 8, "0011": 11, "0o10": 8, "0x2A": 42, "0xa": 10}
FLOATS = {
    **dict.fromkeys(("1e-1", "0.1", ".1", "1E-1", "+.1e+0", "00.1", "100.e-3"), 0.1),
    "3.": 3.0,
    "-3.14": -3.14,
    "5e-4": 5e-4,
    "1.e3": 1e3,
    "3e3": 3e3,
    ".inf": math.inf,
    "-.INF": -math.inf,
}
TEXT = [
    *("y", "Y", "n", "N", "yes", "Yes", "no", "NO", "on", "ON", "off", "Off"),
    *("0b100", "02_0", "100_000", "190:20:30", "190:20:30.15", "85_230.15", "-0x30", "._14", ".", "+.nan"),
    *("2026-01-01", "2001-12-14t21:59:43.10-05:00", "=", "1e", "e5", "0o8", "nULL", "tRUE", "1.2.3"),
]
"""YAML 1.2.2, section 10.3.2, and the table of core scalars in github.com/perlpunk/yaml-test-schema."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in NULL),
        *((text, True) for text in TRUE),
        *((text, False) for text in FALSE),
        *INTEGERS.items(),
        *FLOATS.items(),
        *((text, text) for text in TEXT),
        *((f"'{text}'", text) for text in (*NULL, *TRUE, *INTEGERS, *FLOATS)),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    (found,) = read_yaml(f"key: {text}")[0].values()
    assert (type(found), found) == (type(value), value)


def test_of_merged_mappings_the_first_wins_and_own_keys_before_all() -> None:
    """The example of https://yaml.org/type/merge.html; its fourth to seventh items are equal."""
    text = """
- &CENTER {x: 1, yy: 2}
- &LEFT {x: 0, yy: 2}
- &BIG {rr: 10}
- &SMALL {rr: 1}
- {x: 1, yy: 2, rr: 10, label: center/big}
- {<<: *CENTER, rr: 10, label: center/big}
- {<<: [*CENTER, *BIG], label: center/big}
- {<<: [*BIG, *LEFT, *SMALL], x: 1, label: center/big}
"""
    content = read_yaml(text)[0]
    assert content[5] == content[6] == content[7] == content[4]
    assert content[:4] == [{"x": 1, "yy": 2}, {"x": 0, "yy": 2}, {"rr": 10}, {"rr": 1}]


def test_merging_ends_and_is_of_mappings_only() -> None:
    assert read_yaml("a: &a {b: 1, <<: {<<: {c: 2, b: 3}, d: 4}}")[0] == {"a": {"b": 1, "c": 2, "d": 4}}
    assert read_yaml("a: &a {b: 1, <<: *a}")[0] == {"a": {"b": 1}}
    with pytest.raises(yaml.YAMLError, match="<< merges a mapping or a list of mappings, not '3'"):
        read_yaml("{a: &a {b: 1}, c: {<<: [*a, 3]}}")


def test_nan_is_a_number_and_merge_keys_stay() -> None:
    assert math.isnan(read_yaml("key: .NaN")[0]["key"])
    assert read_yaml("{a: &x {b: 1}, c: {<<: *x, d: 2}}")[0]["c"] == {"b": 1, "d": 2}


@given(
    st.text(max_size=8)
    | st.sampled_from([*TEXT, *INTEGERS, *FLOATS, *TRUE])
    | st.floats(allow_nan=False)
    | st.integers()
)
def test_what_is_written_reads_the_same_in_both_versions_of_yaml(value: Any) -> None:
    text = write_yaml({"key": value})
    for found in (yaml.safe_load(text), read_yaml(text)[0]):
        assert (type(found["key"]), found["key"]) == (type(value), value)


def refused(folder: Path, text: str, *overrides: str) -> list[str]:
    file = folder / "space.yaml"
    file.write_text(text)
    with pytest.raises(SpaceError) as caught:
        load_space(file, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_numbers_that_were_octal_are_refused(tmp_path: Path) -> None:
    found = refused(tmp_path, SPACE + "seed: 010\nregimes:\n  010: {}\n  '011': {}\n")
    assert [each.split("; ")[0] for each in found] == [
        "line 4: seed: 010: octal in YAML 1.1, decimal in YAML 1.2",
        "line 6: regimes.010: 010: octal in YAML 1.1, decimal in YAML 1.2",
    ]
    assert found[0].endswith("write 10, or as text '010'")
    assert refused(tmp_path, SPACE, "seed=010") == [found[0].removeprefix("line 4: ")]


@pytest.mark.parametrize("word", ["no", "On", "1:30", "2026-01-01", "1_000"])
def test_an_option_without_a_type_does_not_change_its_meaning(word: str, tmp_path: Path) -> None:
    """YAML 1.1 reads these as false, true, 90, a date and 1000, which a builder of a model would take otherwise."""
    text = SPACE.replace("mlp", f"{{name: mlp, option: {word}}}")
    (found,) = refused(tmp_path, text)
    assert found.startswith(f"line 3: model.option: {word}: text in YAML 1.2")
    assert refused(tmp_path, SPACE, f"model.option={word}")[0].startswith(f"model.option: {word}: text")
    factor = SPACE + f"factors: {{model: [mlp, {{name: mlp, option: {word}}}]}}\n"
    assert refused(tmp_path, factor)[0].startswith(f"line 4: factors.model.1.option: {word}: text")


def test_words_are_names_of_regimes_and_switches_by_their_type(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        SPACE
        + "regimes: {no: {}, on: {keep: {fraction: 0.5}}}\nfactors: {regime: [no, on], training.nesterov: [yes, off]}\n"
        + "early_stopping: off\ntraining: {amp: yes}\nbaseline: dense\nwarm_start: off\n"
    )
    space = load_space(file)
    assert list(space.regimes) == ["no", "on"]
    assert space.factors == {"regime": ("no", "on"), "training.nesterov": (True, False)}
    assert (space.early_stopping, space.training.amp, space.warm_start) == (None, True, None)


@pytest.mark.parametrize(("key", "shown"), [("12", "12"), ("1.5", "1.5"), ("true", "True"), ("null", "None")])
def test_a_name_that_is_no_text_is_refused_in_words(key: str, shown: str, tmp_path: Path) -> None:
    found = refused(tmp_path, SPACE + f"regimes:\n  {key}: {{}}\n")
    assert any(f"{shown} is no text; put it in quotes" in each for each in found), found

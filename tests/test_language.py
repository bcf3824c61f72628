"""The words of the package: docstrings, messages, help and columns use the field's terms, not a dialect."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import hsl

PACKAGE = Path(hsl.__file__).parent

DIALECT = re.compile(
    r"""\b(
    judg\w+ | told | whatever | whoever | nobody | somebody | anew | tried\ again | no\ number | twins? | courses?
    | by\ chance | usual(ly)? | beside | lies | measured | as\ hard\ as | unchanged\ test\ data
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)

MEANT: dict[str, tuple[str, ...]] = {
    "planning/cost.py": ("Measured throughput",),
    "planning/show.py": ("measured in the store",),
    "training/available.py": ("assumed, not measured",),
}
"""Where such a word is the right one: file -> the text around it."""


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every comment and every string that is a sentence or part of one."""
    source = file.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value
    with file.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def found_in(file: Path) -> Iterator[str]:
    name = file.relative_to(PACKAGE).as_posix()
    for line, text in texts(file):
        plain = " ".join(text.split())
        for meant in MEANT.get(name, ()):
            plain = plain.replace(meant, "")
        yield from (
            f"{name}:{line}: {found.group()!r} in {plain[:100]!r}" for found in DIALECT.finditer(plain)
        )


def test_texts_use_the_words_of_the_field() -> None:
    found = [each for file in sorted(PACKAGE.rglob("*.py")) for each in found_in(file)]
    assert not found, "\n".join(found)


def test_what_is_excepted_is_there() -> None:
    for name, allowed in MEANT.items():
        whole = " ".join(" ".join(text.split()) for _, text in texts(PACKAGE / name))
        assert [meant for meant in allowed if meant not in whole or not DIALECT.search(meant)] == [], name

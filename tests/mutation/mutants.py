"""Mutants of a file: Cosmic Ray's operators, without changes that are absurd or that no test should notice."""

from __future__ import annotations

import difflib
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.tree import NodeOrLeaf

ARITHMETIC = (
    *("Add_Sub", "Add_Mul", "Sub_Add", "Mul_Div", "Mul_Add", "Div_Mul", "Div_FloorDiv", "FloorDiv_Div"),
    *("FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul", "RShift_LShift", "LShift_RShift", "BitOr_BitAnd"),
    *("BitAnd_BitOr", "BitXor_BitOr"),
)
COMPARISONS = (
    *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt"),
    *("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
)
OPERATORS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in ARITHMETIC),
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Invert"),
    *("ReplaceUnaryOperator_Delete_Not", "AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer", "ExceptionReplacer"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
)
"""No `+` for `<<` and no `is` for `==`: those die of themselves, and a share with them in it says little."""

MUTABLE = {
    *("operator", "keyword", "number", "comparison", "factor", "not_test", "test", "except_clause"),
    *("if_stmt", "while_stmt", "assert_stmt", "for_stmt"),
}
"""Nodes that the operators change; to ask all of them about every name takes a while."""

SAYING = re.compile(r"(LOG|warnings)\.\w+|alt\.value|.*\.(mark_\w+|properties|configure\w*)", re.DOTALL)
"""Calls that say something to a person, or that only make a chart look well."""

SEALED = {"fstring", "raise_stmt", "decorator", "import_from", "import_name"}
"""Nodes in which nothing is changed: prose, and what stands beside it."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: Path from the root of the checkout.
        line: Number of the line, from 1.
        old: The line that changes, without its indentation.
        new: The same after the change.
        code: The whole file after the change.
    """

    file: str
    line: int
    old: str
    new: str
    code: str

    @property
    def place(self) -> str:
        """Where it is, as editors read it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Change:
    """What an operator can do at one place.

    Attributes:
        operator: Name of Cosmic Ray's operator.
        occurrence: Number of the place among those of that operator in the file.
    """

    operator: str
    occurrence: int


@cache
def changes(file: Path) -> Mapping[int, Sequence[Sequence[Change]]]:
    """Line -> places on it -> changes at each."""
    operators = {name: _operator(name) for name in OPERATORS}
    counted: dict[str, int] = defaultdict(int)
    found: dict[int, dict[tuple[int, int], list[Change]]] = defaultdict(lambda: defaultdict(list))
    for node in ast_nodes(get_ast(file.read_text())):
        if node.type not in MUTABLE:
            continue
        sealed: bool | None = None
        for name, operator in operators.items():
            for start, _ in operator.mutation_positions(node):
                sealed = is_sealed(node) if sealed is None else sealed
                if not sealed:
                    found[start[0]][start].append(Change(name, counted[name]))
                counted[name] += 1
    return {line: list(places.values()) for line, places in found.items()}


def _operator(name: str) -> Operator:
    return get_operator(f"core/{name}")()


def is_sealed(node: NodeOrLeaf) -> bool:
    """Whether a node is part of an annotation, a message, a decorator, an import, or the guard of a `zip`."""
    child, parent = node, node.parent
    if parent is not None and parent.type == "parameters":  # the star before keywords is no product
        return True
    while parent is not None:
        if parent.type in SEALED or _is_annotation(child, parent) or _is_saying(parent) or _is_guard(parent):
            return True
        child, parent = parent, parent.parent
    return False


def _is_annotation(child: NodeOrLeaf, parent: NodeOrLeaf) -> bool:
    before = child.get_previous_sibling()
    if parent.type == "annassign" or parent.type == "tfpdef":
        return before is not None and before.get_code().strip() == ":"
    return parent.type == "funcdef" and before is not None and before.get_code().strip() == "->"


def _is_guard(node: NodeOrLeaf) -> bool:
    return node.type == "argument" and node.get_code().strip() == "strict=True"


def _is_saying(node: NodeOrLeaf) -> bool:
    if node.type != "trailer" or node.children[0] != "(":
        return False
    siblings = node.parent.children
    called = "".join(sibling.get_code() for sibling in siblings[: siblings.index(node)])
    return SAYING.fullmatch(called.strip()) is not None


def mutant(root: Path, file: Path, line: int, change: Change) -> Mutant | None:
    """Apply a change.

    Returns:
        The mutant; None if Python cannot read it, or if nothing changes.
    """
    before = file.read_text()
    try:
        after = mutate_code(before, _operator(change.operator), change.occurrence)
    except AttributeError:  # Cosmic Ray's at `except package.Error`
        return None
    if after is None or not _compiles(after):
        return None
    pairs = [(old, new) for old, new in _lines_changed(before, after) if old != new]
    if not pairs:
        return None
    return Mutant(str(file.relative_to(root)), line, *pairs[0], after)


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _lines_changed(before: str, after: str) -> list[tuple[str, str]]:
    old, new = before.splitlines(), after.splitlines()
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [
        (" ".join(map(str.strip, old[a:b])), " ".join(map(str.strip, new[c:d])))
        for tag, a, b, c, d in blocks
        if tag != "equal"
    ]


def sample(root: Path, files: Sequence[Path], seed: int) -> Iterator[Mutant]:
    """Draw mutants at random, none twice: a line, a place on it, what is changed there.

    A line is drawn first so that tables of numbers do not drown the rest. Cut anywhere, it is a sample of the whole.
    """
    generator = random.Random(seed)
    lines = [(file, line + 1) for file in files for line in range(len(file.read_text().splitlines()))]
    generator.shuffle(lines)
    for file, line in lines:
        places = changes(file).get(line)
        found = places and mutant(root, file, line, generator.choice(generator.choice(places)))
        if found:
            yield found


def at(root: Path, file: Path, lines: Sequence[int]) -> Iterator[Mutant]:
    """Every mutant of some lines; of all lines if none is named."""
    for line, places in sorted(changes(file).items()):
        for change in (change for place in places for change in place if not lines or line in lines):
            found = mutant(root, file, line, change)
            if found is not None:
                yield found

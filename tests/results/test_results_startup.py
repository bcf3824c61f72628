"""What a command that asks a store loads: nothing that takes longer than its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from report_stores import ANSWERABLE, answerable_store

from hsl.commands.startup import ANSWERING

SLOW = (
    "torch", "torchvision", "ray", "optuna", "pandas", "polars", "sklearn", "scipy.stats", "altair", "vl_convert",
)  # fmt: skip
"""Modules of which each takes a tenth of a second or more, and some take seconds."""

COMMANDS = [
    ["list"],
    ["best", "{store}"],
    ["best", "{store}", "--pareto", "accuracy", "flops", "--format", "json"],
    ["compare", "{store}", "sparsity = 0.9", "baseline"],
    ["claims", "{store}", "--format", "markdown"],
    ["query", "{store}", "SELECT cell, avg(val_matched_accuracy) FROM epochs GROUP BY cell"],
    ["show", "{store}", "easy/0.9"],
    ["show", "{store}", "easy/0.9/set/1/seed1"],
    ["export", "{store}", "easy/0.9"],
    ["merge", "{store}", "--into", "{folder}/merged"],
    ["status", "{store}"],
    ["plan", "{folder}/space.yaml", "--store", "{store}"],
    ["replay", "{store}", "--orders", "1", "--early-stopping", "{{kind: stratified, grace: 2}}"],
]

PROGRAM = """
import json, sys
from hsl.cli import main
slow, commands = json.loads(sys.argv[1])
for command in commands:
    sys.argv = ["hsl", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{command} ended with {end.code}")
    if loaded := sorted(set(slow) & set(sys.modules)):
        sys.exit(f"{command} loads {loaded}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("startup")
    answerable_store(folder / "store")
    (folder / "space.yaml").write_text(ANSWERABLE)
    return folder


def run(program: str, argument: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, argument], check=False, timeout=600, capture_output=True, text=True
    )


def test_every_answering_command_is_here() -> None:
    assert {command[0] for command in COMMANDS} == ANSWERING - {"report"}  # which draws, with Altair


def test_no_answer_loads_what_takes_longer_than_itself(folder: Path) -> None:
    names = {"store": folder / "store", "folder": folder}
    commands = [[part.format(**names) for part in command] for command in COMMANDS]
    done = run(PROGRAM, json.dumps([SLOW, commands]))
    assert (done.returncode, done.stderr.partition("Traceback")[1]) == (0, ""), done.stderr


def test_a_data_frame_is_to_be_had_all_the_same() -> None:
    done = run("""
import sys
from hsl.commands.startup import spare_pandas
spare_pandas()
import pyarrow as pa
table = pa.table({"a": [1, 2], "b": ["x", None]})
assert "pandas" not in sys.modules
frame = table.to_pandas()
assert frame["a"].sum() == 3
assert pa.Table.from_pandas(frame, preserve_index=False).to_pylist() == table.to_pylist()
assert pa.array(frame["a"]).to_pylist() == [1, 2]
""")
    assert done.returncode == 0, done.stderr

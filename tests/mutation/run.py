"""Mutation run over the rooms without Ray: change one thing in the code, and see whether the module's tests notice.

    python tests/mutation/run.py                            a random sample, for half an hour
    python tests/mutation/run.py --seed 7 --minutes 5       another one, shorter
    python tests/mutation/run.py --at hsl/sparsity/masks.py:40    everything that can be changed on one line

Works in a copy of the checkout, which is never touched itself. A mutant is dead if one of its module's own test files
(`own_tests.py` says which those are) fails with it, and the test that failed passes without it. One whose tests take
too long is counted as alive. Mutants that mean the same as the original are named in `equivalent.toml`, each with the
reason; they are listed and not counted. Ends with exit code 1 if fewer than `--at-least` percent died.

Needs Cosmic Ray, whose operators it uses: `pip install -e '.[mutation]'`.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from copies import Copy, Outcome
from mutants import Mutant, at, sample
from own_tests import own_tests

ROOT = Path(__file__).resolve().parents[2]

ROOMS = ("space", "planning", "stopping", "search", "sparsity", "hardness", "results")

EQUIVALENT = Path(__file__).with_name("equivalent.toml")

HEAVY = (
    *(
        "numpy",
        "torch",
        "torchvision",
        "scipy.stats",
        "pyarrow.parquet",
        "pyarrow.compute",
        "duckdb",
        "optuna",
    ),
    *(
        "sklearn.datasets",
        "hypothesis",
        "pydantic",
        "yaml",
        "rich.console",
        "rich.table",
        "typer.testing",
        "ray",
    ),
)
"""Imported once, before the processes that run the tests are forked off."""


@dataclass(frozen=True)
class Judged:
    """A mutant and what became of it.

    Attributes:
        mutant: The change.
        outcome: What its tests said.
        note: The test that killed it, or why it is equivalent.
    """

    mutant: Mutant
    outcome: Outcome
    note: str

    def __str__(self) -> str:
        """Return what a person reads: where, what became of it, and the change."""
        change = f"    - {self.mutant.old}\n    + {self.mutant.new}"
        return f"{self.outcome.value:<10} {self.mutant.place}  {self.note}\n{change}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (0)")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin no mutant after this time (30)")
    parser.add_argument("--mutants", type=int, help="how many at most")
    parser.add_argument(
        "--skip", type=int, default=0, help="leave out the first of the sample, to go on with it"
    )
    parser.add_argument("--rooms", nargs="+", default=ROOMS, metavar="ROOM", help=f"({' '.join(ROOMS)})")
    parser.add_argument(
        "--at", nargs="+", metavar="FILE[:LINE]", help="every mutant of these lines, no sample"
    )
    parser.add_argument(
        "--limit", type=float, default=300.0, help="seconds for the tests of one mutant (300)"
    )
    parser.add_argument("--at-least", type=float, default=85.0, help="percent that must die (85)")
    return parser.parse_args()


def drawn(options: argparse.Namespace, root: Path) -> Iterator[Mutant]:
    """The mutants to judge, in order."""
    if options.at:
        for named in options.at:
            file, _, line = named.partition(":")
            yield from at(root, root / file, [int(line)] if line else [])
        return
    files = [file for room in options.rooms for file in sorted((root / "hsl" / room).rglob("*.py"))]
    yield from itertools.islice(sample(root, files, options.seed), options.skip, None)


def equivalents() -> dict[tuple[str, str, str], str]:
    """File, line before and line after -> why the two mean the same."""
    listed = tomllib.loads(EQUIVALENT.read_text())["mutant"]
    return {(entry["file"], entry["code"], entry["change"]): entry["reason"] for entry in listed}


def judge(mutant: Mutant, copy: Copy, known: dict[tuple[str, str, str], str], limit: float) -> Judged:
    """Run the tests of a mutant, unless it is known to be equivalent."""
    reason = known.get((mutant.file, mutant.old, mutant.new))
    if reason is not None:
        return Judged(mutant, Outcome.EQUIVALENT, reason)
    tests = own_tests(copy.root / mutant.file, copy.root)
    return Judged(mutant, *copy.judge(mutant.file, mutant.code, tests, limit))


def copied(folder: Path) -> Path:
    """A copy of the tracked files and of those that git does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def table(judged: Sequence[Judged]) -> str:
    """Counts per room, and the share that died."""
    counts = Counter((one.mutant.file.split("/")[1], one.outcome) for one in judged)
    rooms = sorted({room for room, _ in counts})
    lines = [f"{'room':<12}" + "".join(f"{outcome.value:>12}" for outcome in Outcome)]
    for room in [*rooms, "all"]:
        numbers = [sum(counts[r, outcome] for r in rooms if room in (r, "all")) for outcome in Outcome]
        lines.append(f"{room:<12}" + "".join(f"{number:>12}" for number in numbers))
    return "\n".join(lines)


def share(judged: Sequence[Judged]) -> float:
    """Percent of the mutants that are not equivalent that died; 100 if there is none."""
    counted = [one.outcome is Outcome.DEAD for one in judged if one.outcome is not Outcome.EQUIVALENT]
    return 100 * sum(counted) / len(counted) if counted else 100.0


def report(judged: Sequence[Judged]) -> None:
    """Print what is left to look at, the equivalent ones, and the counts."""
    for outcome in (Outcome.EQUIVALENT, Outcome.TOO_LONG, Outcome.ALIVE):
        of_it = [one for one in judged if one.outcome is outcome]
        print(f"\n{outcome.value}: {len(of_it)}", *of_it, sep="\n")
    print(f"\n{table(judged)}\n\n{share(judged):.1f} % of {len(judged)} died, equivalent ones not counted")


def main() -> int:
    """Run, and say how many died."""
    options = arguments()
    for name in HEAVY:
        importlib.import_module(name)
    until, known = time.monotonic() + 60 * options.minutes, equivalents()
    judged: list[Judged] = []
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        root = copied(Path(folder))
        copy = Copy(root)
        for mutant in itertools.islice(drawn(options, root), options.mutants):
            if time.monotonic() > until:
                break
            judged.append(judge(mutant, copy, known, options.limit))
            print(f"{len(judged):>4} {judged[-1]}", flush=True)
    report(judged)
    return int(share(judged) < options.at_least)


if __name__ == "__main__":
    sys.exit(main())

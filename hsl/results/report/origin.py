"""Where the results come from, and how to get them again."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hsl.results.report.evidence import Evidence, Values
from hsl.results.report.structs import Cell, Section, Table, whole
from hsl.results.show.phrases import NOTHING, listed
from hsl.store.documents import mapping

HEADING = "Provenance and how to reproduce"
_MAX_ROWS = 30
_MAX_EXAMPLES = 3

_SOURCES = """
SELECT provenance, device, count(*) AS trials, min(trial_id) AS trial_id FROM labelled
GROUP BY provenance, device
"""

_SEEDS = """
SELECT stage, list(DISTINCT seed ORDER BY seed) AS seeds FROM labelled GROUP BY stage ORDER BY stage DESC
"""


def section(evidence: Evidence) -> Section:
    """The section: versions and machines, commands, the search space."""
    sources = _sources(evidence.rows(_SOURCES))
    seeds = [f"{row['stage']}: {listed(list(map(str, row['seeds'])), 12)}" for row in evidence.rows(_SEEDS)]
    text = (f"Seeds by stage: {'; '.join(seeds)}.", *_warning(sources))
    space = evidence.snapshot.read_space()
    listings = [("Run it again", _commands(evidence, sources, bool(space)))]
    if space:
        listings.append(("space.yaml", space))
    lacking = "The store holds no search space, so that the sweep cannot be run again from it."
    missing = () if space else (lacking,)
    return Section("provenance", HEADING, text, (), (_table(sources),), missing, tuple(listings))


def _sources(rows: Sequence[Values]) -> list[tuple[dict[str, Any], int]]:
    """Distinct origins with their number of trials, most frequent first."""
    counted: Counter[str] = Counter()
    for row in rows:
        origin = mapping(row, "trials", "provenance")
        counted[json.dumps({**origin, "device": row["device"]}, sort_keys=True)] += row["trials"]
    return [(json.loads(text), trials) for text, trials in counted.most_common()]


def _warning(sources: Sequence[tuple[Mapping[str, Any], int]]) -> list[str]:
    commits = {origin.get("git_sha") for origin, _ in sources}
    said = []
    if len(commits) > 1:
        said.append("Trials come from more than one commit; the table says which.")
    if any(origin.get("git_dirty") for origin, _ in sources):
        said.append("Some trials ran with changes that were not committed (marked +).")
    return said


def _table(sources: Sequence[tuple[Mapping[str, Any], int]]) -> Table:
    rows = tuple(
        (
            whole(trials),
            Cell(_commit(origin), mark="code"),
            Cell(_versions(origin)),
            *(Cell(str(origin.get(name) or NOTHING)) for name in ("device", "hostname", "platform")),
        )
        for origin, trials in sources[:_MAX_ROWS]
    )
    note = f"The first {_MAX_ROWS} of {len(sources):,} origins." if len(sources) > _MAX_ROWS else ""
    return Table(("trials", "commit", "versions", "device", "machine", "platform"), rows, note)


def _commit(origin: Mapping[str, Any]) -> str:
    sha = origin.get("git_sha")
    return f"{str(sha)[:12]}{'+' if origin.get('git_dirty') else ''}" if sha else NOTHING


def _versions(origin: Mapping[str, Any]) -> str:
    versions = origin.get("versions")
    found = {"python": origin.get("python"), **(versions if isinstance(versions, dict) else {})}
    return ", ".join(f"{name} {number}" for name, number in found.items() if number) or NOTHING


def _commands(evidence: Evidence, sources: Sequence[tuple[Mapping[str, Any], int]], has_space: bool) -> str:
    """Shell lines that repeat the sweep, its report and its winners."""
    origin = sources[0][0] if sources else {}
    uri = evidence.uri
    lines = []
    if origin.get("git_sha"):
        lines.append(f"git checkout {shlex.quote(str(origin['git_sha']))}")
    lines += [
        f"cp {uri}/space.yaml again.yaml" if "://" not in uri else "# save the space below as again.yaml"
    ]
    lines += ["hsl sweep again.yaml --store runs/again", "hsl report runs/again -o again.html", ""]
    lines.append("# a winner by itself: its space with every axis pinned, and its confirmed network")
    for row in evidence.champions[:_MAX_EXAMPLES]:
        folder = shlex.quote("winner-" + "".join(c if c.isalnum() else "-" for c in row["cell"]))
        lines.append(f"hsl export {uri} {shlex.quote(row['cell'])} --out {folder}")
    if recorded := origin.get("command"):
        lines += ["", "# as it was started", *(f"# {line}" for line in str(recorded).splitlines())]
    return "\n".join(lines)

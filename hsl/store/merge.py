"""Merging of several stores into one: every trial once, in one order of arrival, with the networks that were kept."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

from hsl.errors import StoreError, UnknownNameError
from hsl.store import union
from hsl.store.columns import TABLES
from hsl.store.database import run, sandbox
from hsl.store.layout import CHECKPOINTS, LOG_SUFFIX, LOGS, NETWORK_SUFFIX
from hsl.store.outcomes import Status
from hsl.store.store import Store

POLICIES = ("refuse", "first")

_STORES = ["store", "trials", "taken", "networks", "networks_missing"]
_SHOWN = 5


class Merged(NamedTuple):
    """What a merge did.

    Attributes:
        stores: One row per store: store, trials, taken (of these), networks (of confirmed trials that were
            taken: copied, or there already), networks_missing.
        renamed: Cells and regimes that got another name than in their store.
        conflicts: Trials whose completed rows have different numbers; those of the first store were taken.
        space: Whether the stores share one space, so that a sweep can continue the merged one.
        changed: Whether anything was written.
    """

    stores: pa.Table
    renamed: list[union.Renaming]
    conflicts: list[str]
    space: bool
    changed: bool

    def narration(self) -> list[str]:
        """Messages for the user, line by line."""
        lines = [f"{item.kind} {item.old} is now {item.new}" for item in self.renamed]
        if found := self.conflicts:
            shown = ", ".join(found[:_SHOWN])
            lines.append(f"{len(found)} trials had different numbers, the first store's count: {shown}")
        if missing := sum(self.stores["networks_missing"].to_pylist()):
            lines.append(f"{missing} networks of confirmed trials were not copied")
        if not self.space:
            lines.append("the spaces of the stores differ: the merged one answers, but no sweep continues it")
        return lines if self.changed else [*lines, "nothing to do: everything was there"]


def merge(
    sources: Sequence[Store],
    into: Store,
    on_conflict: str = "refuse",
    networks: bool = True,
    logs: bool = True,
) -> Merged:
    """Write the trials of several stores to another one.

    A trial that several stores have is taken once, with its epochs: completed before stopped before failed,
    then from the first store. Sequence numbers are assigned again, store by store. A cell or regime whose name
    means different things in different stores (another data set, network, division, regime, other levels, or a training
    that differs in what is neither compared nor tuned) is prefixed with the name of its space. The space is kept if all
    stores have the same; otherwise the merged store answers questions, and no sweep continues it. Parents, scores and
    checkpoints of trials under way are not copied.

    The sources are not changed. Merging again changes nothing; an interrupted merge is completed by another one.

    Args:
        sources: Stores to read, on any file system.
        into: Where to write: empty, or the result of an earlier merge of these stores.
        on_conflict: For a trial with different numbers in two stores: "refuse" to merge, or take the "first".
        networks: Copy the checkpoints of completed confirmation trials.
        logs: Copy the logs of all trials.

    Raises:
        StoreError: If there is nothing to read, a conflict, or `into` holds something else; nothing is written then.
        UnknownNameError: If `on_conflict` is not a policy.
    """
    if on_conflict not in POLICIES:
        raise UnknownNameError("policy", on_conflict, POLICIES)
    _check_places(sources, into)
    tables = [{table: source.read(table) for table in TABLES} for source in sources]
    with sandbox(union.together(tables)) as connection:
        conflicts = union.conflicts(connection)
        if conflicts and on_conflict == "refuse":
            raise StoreError(_refusal(conflicts, sources))
        renamed = union.renamings(connection, _prefixes(sources))
        union.rename(connection, renamed)
        merged = union.united(connection)
        chosen = run(connection, "SELECT source, trial_id, stage, status FROM chosen").to_pylist()
    space = _shared_space([source.read_space() for source in sources])
    changed = _write(into, merged, space)
    rows = []
    for i, source in enumerate(sources):
        taken = [row["trial_id"] for row in chosen if row["source"] == i]
        kept = _kept(chosen, i)
        copied = _copy(source, into, CHECKPOINTS, kept, NETWORK_SUFFIX) if networks else 0
        missing = len(kept) - copied
        if logs:
            _copy(source, into, LOGS, taken, LOG_SUFFIX)
        rows.append((source.uri, len(tables[i]["trials"]), len(taken), copied, missing))
    stores = pa.table([list(column) for column in zip(*rows, strict=True)], names=_STORES)
    conflicting = [conflict.trial_id for conflict in conflicts]
    return Merged(stores, renamed, conflicting, space is not None, changed)


def _check_places(sources: Sequence[Store], into: Store) -> None:
    if not sources:
        raise StoreError("no store to merge; name at least one")
    if missing := [source.uri for source in sources if not source.exists()]:
        raise StoreError(f"{', '.join(missing)}: no result store here; nothing was merged")
    places = [source.place for source in sources]
    if into.place in places:
        raise StoreError(f"{into.uri} is itself one of the stores to merge; choose another place")
    if len(set(places)) < len(places):
        raise StoreError("one store is named twice; name every store once")


def _refusal(conflicts: Sequence[union.Conflict], sources: Sequence[Store]) -> str:
    shown = "; ".join(
        f"{conflict.trial_id} in {' and '.join(sources[number].uri for number in conflict.sources)}"
        for conflict in conflicts[:_SHOWN]
    )
    return (
        f"{len(conflicts)} trials have different numbers in different stores: {shown}; nothing was merged; "
        "take those of the first store with --on-conflict first, or leave a store out"
    )


def _prefixes(sources: Sequence[Store]) -> list[str]:
    """The name of each store's space, or of its folder; numbered where it is not unique."""
    names: list[str] = []
    for source in sources:
        name = _space_name(source.read_space()) or source.place.rpartition("/")[2]
        count = sum(other.partition("#")[0] == name for other in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names


def _shared_space(texts: Sequence[str | None]) -> str | None:
    """The first space, if all stores have the same; the place of data whose content is known does not matter."""
    return texts[0] if len({_without_place(text) for text in texts}) == 1 else None


def _without_place(text: str | None) -> str | None:
    with contextlib.suppress(yaml.YAMLError):
        space = yaml.safe_load(text or "")
        if isinstance(space, dict) and space.get("content"):
            return yaml.safe_dump(space | {"dataset": ""})
    return text


def _space_name(text: str | None) -> str:
    try:
        space = yaml.safe_load(text or "")
    except yaml.YAMLError:
        return ""
    return str(space.get("name", "")) if isinstance(space, dict) else ""


def _write(into: Store, merged: Mapping[str, pa.Table], space: str | None) -> bool:
    """Write the tables that differ in `into`, trials last: a trial whose row is stored has everything else."""
    there = {table: into.read(table) for table in merged} if into.exists() else {}
    _check_contained(into, there, merged)
    lacking = [table for table, rows in merged.items() if there.get(table, rows.slice(0, 0)) != rows]
    for table in lacking:
        into.replace_table(table, merged[table])
    if space is None or (into.exists() and into.read_space() == space):
        return bool(lacking)
    into.write_space(space)
    return True


def _check_contained(into: Store, there: Mapping[str, pa.Table], merged: Mapping[str, pa.Table]) -> None:
    """Refuse to replace rows that come from no merged store."""
    for table, key in (("trials", "trial_id"), ("epochs", "trial_id"), ("cells", "cell")):
        found = set(there[table][key].to_pylist()) if there else set()
        if foreign := sorted(found - set(merged[table][key].to_pylist())):
            shown = ", ".join(foreign[:_SHOWN])
            raise StoreError(
                f"{into.uri} holds {len(foreign)} {key}s that none of the stores has ({shown}); "
                "choose an empty place, or merge that store as well"
            )


def _kept(chosen: Sequence[Mapping[str, Any]], number: int) -> list[str]:
    """Trials of a store whose networks sweeps keep."""
    kept = (number, "confirm", Status.COMPLETED)
    return [row["trial_id"] for row in chosen if (row["source"], row["stage"], row["status"]) == kept]


def _copy(source: Store, into: Store, folder: str, trials: Sequence[str], suffix: str) -> int:
    """Copy the files of some trials that `source` has and `into` lacks; returns how many are in both."""
    found, there = source.files(folder), into.files(folder)
    wanted = [name for name in (f"{trial}{suffix}" for trial in trials) if name in found]
    for name in wanted:
        if there.get(name) != found[name]:
            into.write_file(f"{folder}/{name}", source.read_file(f"{folder}/{name}"))
    return len(wanted)

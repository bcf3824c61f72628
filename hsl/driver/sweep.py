"""Plan -> store, stage by stage.

A sweep is idempotent: the store is the truth. What it lacks is trained, and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console

from hsl.cluster.fleet import Fleet
from hsl.driver import ledger
from hsl.driver.garbage import collect_garbage
from hsl.driver.jobs import Jobs
from hsl.driver.runner import Runner
from hsl.driver.session import Session
from hsl.driver.site import Site
from hsl.driver.stages import Stages
from hsl.driver.tune.ray import on_fleet
from hsl.driver.tune.trackers import check_trackers
from hsl.driver.watch.announcer import Announcer
from hsl.driver.watch.optuna import Mirror
from hsl.filesystems import absolute
from hsl.planning.plan import Plan, make_plan
from hsl.prepare.binding import bind
from hsl.prepare.preflight import preflight
from hsl.reasons import in_one_line
from hsl.space.checks import check_priced
from hsl.space.schema import SearchSpace
from hsl.space.stored import check_continues, space_text
from hsl.store.layout import Library
from hsl.store.lease import lease
from hsl.store.outcomes import Status
from hsl.store.store import Store


@dataclass(frozen=True)
class SweepRequest:
    """What is asked of a sweep.

    Attributes:
        space: What is searched.
        uri: Path or URI of the store.
        address: Address of a Ray cluster; by default this machine.
        optuna_storage: URL of an Optuna storage that shows the studies; by default none.
        retry_failed: Whether trials that failed in earlier runs are trained again.
        trackers: Names of trackers that receive every epoch.
        fleet: What the cluster can grow to, where that is known.
        new_data: Whether data or code that have changed since the store was begun become a level of their own.
    """

    space: SearchSpace
    uri: str
    address: str | None = None
    optuna_storage: str | None = None
    retry_failed: bool = False
    trackers: Sequence[str] = ()
    fleet: Fleet | None = None
    new_data: bool = False


@dataclass(frozen=True)
class SweepReport:
    """How a sweep ended.

    Attributes:
        trained: Trials that ended in this run.
        failed: Failed trials in the store, those of earlier runs included.
        left: Which budget was spent and what it left, in words; None if everything was trained.
        ended: Trials in the store.
        completed: Those of them that were trained to the end.
        reasons: Why trials failed, in one line each -> how many for it, the most frequent first.
    """

    trained: int
    failed: int
    left: str | None = None
    ended: int = 0
    completed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


def sweep(request: SweepRequest, console: Console) -> SweepReport:
    """Train what the store lacks.

    Args:
        request: What is asked for.
        console: Where progress is shown.

    Raises:
        HslError: If the data, the space or the store do not permit it; nothing was started then.
    """
    check_trackers(request.trackers)
    check_priced(request.space, request.fleet)
    store = Store(request.uri)
    bound = bind(request.space, store, request.new_data)
    space = check_continues(store.read_space(), bound.space, store.uri)
    site = site_of(replace(request, space=space), console)
    site.announcer.warn(bound.warnings)
    preflight(site.plan)
    site.try_selections()
    with lease(site.library.root) as check_lease:
        site = replace(site, check_lease=check_lease)
        bound.record(site.library)
        _describe(site.plan, site.store)
        stages = Stages(site.plan, site.store, site.library, site.jobs, site.mirror, request.retry_failed)
        with Runner(site, Session(site.store, request.space.budget.limits)) as runner:
            runner.run(stages.search)
            # Where confirmation may stop early, what has ended decides whether another seed is needed.
            while runner.left is None and runner.run(stages.confirm):
                pass
            if runner.left is None:
                collect_garbage(site.store, site.library)
            ledger.compact(site.store)
    return _report(runner, site.store)


def site_of(request: SweepRequest, console: Console) -> Site:
    """Where the sweep takes place; nothing is read or written yet."""
    space, plan = request.space, make_plan(request.space)
    library = Library(absolute(request.uri))
    storage = request.optuna_storage
    return Site(
        plan=plan,
        sized_space=on_fleet(space, request.fleet),
        store=Store(request.uri),
        library=library,
        jobs=Jobs(plan, library),
        announcer=Announcer(console),
        address=request.address,
        trackers=tuple(dict.fromkeys(request.trackers)),
        mirror=Mirror(storage, space, library.root) if storage else None,
    )


def _describe(plan: Plan, store: Store) -> None:
    """Write what the sweep is to find to the store."""
    store.write_space(space_text(plan.space))
    stored = store.read("cells", ["cell", "sampler", "confidence"]).to_pylist()
    known = {(row["cell"], row["sampler"], row["confidence"]) for row in stored}
    rows = [ledger.cell_row(cell, plan.space) for cell in plan.cells]
    store.append(
        "cells",
        [row for row in rows if (row["cell"], json.dumps(row["sampler"]), row["confidence"]) not in known],
    )


def _report(runner: Runner, store: Store) -> SweepReport:
    rows = store.read("trials", ["status", "reason"]).to_pylist()
    completed = sum(row["status"] == Status.COMPLETED for row in rows)
    reasons = Counter(in_one_line(row["reason"] or "") for row in rows if row["status"] == Status.FAILED)
    return SweepReport(
        runner.trained, runner.failed, runner.left, len(rows), completed, dict(reasons.most_common())
    )

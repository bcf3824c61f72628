"""What a driver makes of machines that come and go and of workers that end, as Ray Tune calls it, without Ray."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_jobs import made_job
from ray.tune import PlacementGroupFactory
from ray.tune.experiment import Trial

from hsl.driver import survey as module
from hsl.driver.interruptions import MAX_CRASHES, Interruptions
from hsl.driver.ledger import Ledger
from hsl.driver.resume import read_past
from hsl.driver.session import Session
from hsl.driver.supply import Supply
from hsl.driver.survey import Survey, set_price
from hsl.driver.trials import Trials
from hsl.driver.tune.callback import DriverCallback
from hsl.driver.tune.scheduler import CellScheduler
from hsl.driver.watch.progress import CellTally, Progress, Tally
from hsl.errors import HslError
from hsl.planning.plan import make_plan
from hsl.search.turns import Turns
from hsl.space.load import make_space
from hsl.stopping.pauses import Pauses
from hsl.stopping.rule import StoppingRule
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.trial.report import Report

SPACE = make_space(
    {
        "name": "t",
        "dataset": "digits",
        "model": "mlp",
        "factors": {"sparsity": [0.9]},
        "method": "set",
        "resources": {"gpu": 0.5},
        "prices": {"spot": 3.6, "default": 0.0},
    }
)


class Driver:
    """One driver, and the cluster that it sees."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *trials: str) -> None:
        monkeypatch.setattr(module, "LOOK_SECONDS", -1.0)
        monkeypatch.setattr(module, "ANXIOUS_SECONDS", -1.0)
        monkeypatch.setattr("hsl.driver.session.SAVE_SECONDS", -1.0)
        monkeypatch.setattr("hsl.driver.session.SOON_SECONDS", -1.0)
        self.now = 0.0
        self.nodes = [node("home", Resources={"CPU": 4.0}), spot("a"), spot("b")]
        self.store = Store(folder)
        self.store.write_space("name: t")
        self.session = Session(self.store, {}, lambda: self.now)
        tally = Tally("search", {"c": CellTally(planned=len(trials))})
        self.ledger = Ledger(self.store, 0, lambda _: False, lambda _: None, tally)
        interruptions = Interruptions("home", lambda: self.now)
        survey = Survey(self.session, SPACE, interruptions, lambda: self.nodes)
        queue = [made_job(name) for name in trials]
        supply = Supply(queue, Turns(make_plan(SPACE), []), no_job, Pauses(StoppingRule()))
        self.handed_out = Trials(supply, self.ledger, self.session, survey)
        for name in trials:
            self.handed_out.begin(f"tune {name}")
        progress = Progress(SimpleNamespace(is_terminal=False), dict)  # type: ignore[arg-type]
        monkeypatch.setattr(progress, "refresh", lambda: None)
        self.callback = DriverCallback(self.handed_out, progress)
        self.scheduler = CellScheduler(self.handed_out)
        self.trials = {name: tune_trial(name) for name in trials}

    def tell(self, event: str, name: str, **info: Any) -> None:
        getattr(self.callback, f"on_trial_{event}")(0, [], self.trials[name], **info)

    def report(self, name: str, node: str, began: int, *epochs: int, status: Status = Status.RUNNING) -> None:
        rows = [{"epoch": n, "epochs_at_target": n, "val_matched_accuracy": 0.5} for n in epochs]
        report = Report(rows, {"epochs": max(epochs)}, status, node=node, began=began)
        self.tell("result", name, result={"report": report, "done": report.is_last, "pid": 1})
        if report.is_last:
            self.tell("complete", name)

    def step(self) -> None:
        self.callback.on_step_end(0, [])

    def lose_worker(self, name: str) -> bool:
        """Whether the trial is tried again."""
        trial = self.trials[name]
        self.scheduler.on_trial_add(None, trial)
        self.tell("recover", name)
        self.step()
        return self.scheduler.choose_trial_to_run(self) is trial

    def stop_trial(self, trial: Any) -> None:
        """Tune's."""
        trial.status = Trial.TERMINATED
        self.tell("complete", trial.trial_id.removeprefix("tune "))

    def rows(self) -> dict[str, dict[str, Any]]:
        self.ledger.close()
        return {row["trial_id"]: row for row in self.store.read("trials").to_pylist()}

    def row(self) -> dict[str, Any]:
        self.step()
        return self.store.read("sessions").to_pylist()[-1]


def no_job(*_: Any) -> Any:
    """No study proposes anything."""
    raise AssertionError


def node(name: str, **more: Any) -> dict[str, Any]:
    return {"NodeID": name, "Alive": True, **more}


def spot(name: str, **more: Any) -> dict[str, Any]:
    resources = {"CPU": 8.0, "GPU": 1.0}
    return node(name, Resources=resources, Labels={"ray.io/node-group": "spot"}, **more)


def tune_trial(name: str) -> Any:
    return SimpleNamespace(
        trial_id=f"tune {name}",
        status=Trial.PENDING,
        get_error=lambda: "it died",
        get_pickled_error=lambda: RuntimeError("it died"),
        temporary_state=SimpleNamespace(ray_actor=None),
        run_metadata=SimpleNamespace(metric_analysis={"done": {}}, metric_n_steps={"done": {}}),
        placement_group_factory=PlacementGroupFactory([{"CPU": 1.0}]),
        config={"name": name},
    )


def test_ended_trials_share_what_tune_keeps_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(tmp_path / "s", monkeypatch, "x", "y", "z")
    for name in ("x", "y"):
        driver.report(name, "n", 0, 1, status=Status.COMPLETED)
    x, y, z = (driver.trials[name] for name in "xyz")
    assert x.placement_group_factory is y.placement_group_factory is not z.placement_group_factory
    assert x.placement_group_factory == z.placement_group_factory
    assert (x.config, x.run_metadata.metric_analysis) == ({}, {})
    assert z.config == {"name": "z"}


def test_the_row_of_the_session_shows_who_works_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(tmp_path / "s", monkeypatch, "x", "y", "z")
    for name in "xy":
        driver.tell("start", name)
    driver.report("x", "a", 0, 1)
    driver.report("y", "a", 0, 1)
    driver.step()
    row = driver.row()
    assert json.loads(row["nodes"]) == {
        "CPU": {"nodes": 1, "cpus": 4.0, "gpus": 0, "gpus_held": 0},
        "spot": {"nodes": 2, "cpus": 16.0, "gpus": 2.0, "gpus_held": 1.0},
    }
    assert (row["running"], row["pending"], row["lost_nodes"]) == (2, 1, 0)
    assert driver.session.price == pytest.approx(7.2)
    driver.now = 3600.0
    driver.nodes[1] = spot("a", Alive=False, DeathReason=2) | {"Alive": False}
    assert driver.lose_worker("x")
    row = driver.row()
    assert json.loads(row["nodes"])["spot"] == {"nodes": 1, "cpus": 8.0, "gpus": 1.0, "gpus_held": 0}
    assert (row["running"], row["pending"], row["lost_nodes"]) == (1, 2, 1)
    assert driver.session.price == pytest.approx(3.6)
    assert row["gpu_hours"] == pytest.approx(1.0)
    driver.now = 7200.0
    assert driver.row()["gpu_hours"] == pytest.approx(1.5), "what waits for a machine holds no GPU"


def test_losses_are_counted_and_never_end_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(tmp_path / "s", monkeypatch, "x")
    for number in range(2 * MAX_CRASHES):
        name = f"n{number}"
        driver.nodes = [node("home"), spot(name)]
        driver.step()
        driver.tell("start", "x")
        driver.report("x", name, number, *range(1, number + 3))
        driver.nodes = [node("home"), spot(name) | {"Alive": False, "DeathReason": 2}]
        assert driver.lose_worker("x")
        driver.now += 100
    driver.row()
    (under_way,) = read_past(driver.store, Library(str(tmp_path / "s"))).under_way
    assert under_way.history.losses == 2 * MAX_CRASHES
    driver.tell("start", "x")
    driver.report("x", "home", 12, *range(1, 13), status=Status.COMPLETED)
    row = driver.rows()["x"]
    assert (row["status"], row["losses"], row["attempts"]) == ("completed", 6, 7)
    # each attempt began one epoch before what the one before it had told
    assert row["repeated_epochs"] == 2 * MAX_CRASHES - 1


def test_crashes_end_a_trial_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(tmp_path / "s", monkeypatch, "x")
    for number in range(MAX_CRASHES + 1):
        driver.step()
        driver.tell("start", "x")
        driver.report("x", "home", 0, 1)
        assert driver.lose_worker("x") == (number < MAX_CRASHES)
    assert not driver.handed_out.running
    row = driver.rows()["x"]
    assert (row["status"], row["losses"]) == ("failed", 0)
    assert row["reason"] == "lost its worker each time it was tried: it died"
    assert driver.row()["running"] == 0


def priced(tmp_path: Path, nodes: list[dict[str, Any]], strict: bool = False, **content: Any) -> float:
    """Price of a session that sees some nodes, in a space with `content`."""
    plain = {"name": "t", "dataset": "digits", "model": "mlp", "method": "set", "sparsity": 0.9}
    store = Store(tmp_path / "s")
    session = Session(store, {}, lambda: 0.0)
    session.machines.look(nodes, set())
    set_price(session, make_space({**plain, **content}), strict)
    return session.price


def test_nodes_without_a_price_are_refused_where_money_is_limited(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known, nodes = {"prices": {"spot": 3.0}}, [node("home", Resources={"CPU": 4.0}), spot("a")]
    limited = {"budget": {"configurations_per_cell": 2, "cost": 5.0}}
    with pytest.raises(HslError, match="nothing is known of nodes of type default; add their price"):
        priced(tmp_path, nodes, strict=True, **known, **limited)
    assert priced(tmp_path, nodes[1:], strict=True, **known, **limited) == 3.0
    assert "count as free" not in caplog.text
    assert priced(tmp_path, nodes, strict=False, **known, **limited) == 3.0
    assert caplog.text.count("count as free") == 1
    assert priced(tmp_path, nodes, strict=True, **known) == 3.0
    assert caplog.text.count("count as free") == 2


def test_where_nothing_has_a_price_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert priced(tmp_path, [node("home"), spot("a")], strict=True) == 0.0
    assert caplog.text == ""


def test_nodes_are_looked_at_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each 10 s; each second while it is not known why a worker has ended."""
    looks: list[float] = []
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)

    def nodes() -> list[dict[str, Any]]:
        looks.append(clock.now)
        return [node("home")]

    interruptions: Any = SimpleNamespace(is_undecided=False, look=lambda alive, lost: None)
    survey = Survey(Session(Store(tmp_path / "s"), {}, lambda: 0.0), SPACE, interruptions, nodes)
    for second in range(23):
        clock.now = float(second)
        survey.look_if_due(())
    assert looks == [0, 10, 20]
    interruptions.is_undecided = True
    for half in range(47, 53):
        clock.now = half / 2
        survey.look_if_due(())
    assert looks == [0, 10, 20, 23.5, 24.5, 25.5]

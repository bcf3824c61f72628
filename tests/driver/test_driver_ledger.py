"""What the ledger does when its store cannot be written: rows wait, nothing is lost, in the end it says so."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_jobs import made_job

from hsl.driver import ledger as module
from hsl.driver.events import Ended
from hsl.driver.ledger import Ledger
from hsl.driver.resume import Past
from hsl.driver.watch.progress import CellTally, Tally
from hsl.errors import LeaseError, StoreError
from hsl.planning.job import Job
from hsl.store.outcomes import Status
from hsl.store.store import Store

JOB = made_job()


def make(
    store: Store, forgotten: list[str] | None = None, check: Callable[[], None] = lambda: None
) -> Ledger:
    tally = Tally("search", {"c": CellTally(planned=1)})
    forget = (forgotten if forgotten is not None else []).append
    return Ledger(store, 0, lambda _: False, lambda job: forget(job.trial_id), tally, check)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is due at once, and so is every further attempt."""
    for name in ("FLUSH_SECONDS", "MAX_FLUSH_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)


def broken(*_: Any) -> None:
    raise StoreError("store/epochs: cannot be written: [Errno 28] No space left on device")


def test_rows_wait_while_the_store_is_full_and_arrive_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, forgotten = Store(tmp_path / "store"), []
    ledger = make(store, forgotten)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(store, "append_table", broken)
        for epoch in (1, 2):
            ledger.report(JOB, [{"epoch": epoch}])
        ledger.start(JOB)
        ledger.end(JOB, Ended(Status.COMPLETED, summary={"epochs": 2, "objective": 0.5}))
    assert forgotten == []
    assert caplog.text.count("nothing is lost, trials go on") == 1
    ledger.flush_if_due()
    assert forgotten == ["t"]
    assert "can be written again" in caplog.text
    assert [row["epoch"] for row in store.read("epochs").to_pylist()] == [1, 2]
    assert [row["sequence"] for row in store.read("trials").to_pylist()] == [2]


def test_an_epoch_that_is_reported_again_keeps_its_first_number_and_takes_the_last_values(
    tmp_path: Path,
) -> None:
    store, other = Store(tmp_path / "store"), made_job(trial_id="other")
    ledger = make(store)
    for job, epoch in ((JOB, 1), (other, 1), (JOB, 2)):
        ledger.report(job, [{"epoch": epoch, "train_loss": 1.0}])
    ledger.report(JOB, [{"epoch": epoch, "train_loss": 2.0} for epoch in (1, 2, 3)])
    ledger.close()
    columns = ("sequence", "trial_id", "epoch", "train_loss")

    def found() -> list[tuple[Any, ...]]:
        return [tuple(row[name] for name in columns) for row in store.read("epochs").to_pylist()]

    mine, others = JOB.trial_id, other.trial_id
    assert found() == [(0, mine, 1, 2.0), (1, others, 1, 1.0), (2, mine, 2, 2.0), (3, mine, 3, 2.0)]
    past = Past([], store.read("epochs"), [JOB], next_sequence=4)
    assert past.numbers() == {mine: {1: 0, 2: 2, 3: 3}}
    later = Ledger(store, 4, lambda _: False, lambda _: None, ledger.tally, numbers=past.numbers())
    later.report(JOB, [{"epoch": epoch, "train_loss": 3.0} for epoch in (2, 3, 4)])
    later.end(JOB, Ended(Status.COMPLETED, summary={"epochs": 4, "objective": 0.5}))
    later.close()
    assert [(row[0], row[3]) for row in found()] == [(0, 2.0), (1, 1.0), (2, 3.0), (3, 3.0), (4, 3.0)]
    assert store.read("trials")["sequence"].to_pylist() == [5]
    store.compact("epochs")
    assert [row[0] for row in found()] == [0, 1, 2, 3, 4]


def test_an_outage_that_lasts_ends_the_sweep_with_what_was_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    ledger = make(store)
    monkeypatch.setattr(store, "append_table", broken)
    ledger.report(JOB, [{"epoch": 1}])
    monkeypatch.setattr(module, "OUTAGE_SECONDS", -1.0)
    with pytest.raises(StoreError, match="No space left"):
        ledger.flush_if_due()
    with pytest.raises(StoreError, match="1 rows were not stored") as caught:
        ledger.close()
    assert "run the same command again" in str(caught.value)


def test_without_the_lease_nothing_is_written(tmp_path: Path) -> None:
    def lost() -> None:
        raise LeaseError("another sweep is writing")

    store = Store(tmp_path / "store")
    ledger = make(store, check=lost)
    with pytest.raises(LeaseError):
        ledger.report(JOB, [{"epoch": 1}])
    with pytest.raises(LeaseError):
        ledger.close()
    assert not store.exists()


def test_parts_are_compacted_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSHES_PER_COMPACTION", 5)
    store = Store(tmp_path / "store")
    ledger = make(store)
    for epoch in range(1, 14):
        ledger.report(JOB, [{"epoch": epoch}])
    ledger.close()
    assert len(list((tmp_path / "store/epochs").glob("*.parquet"))) == 4
    assert [row["epoch"] for row in store.read("epochs").to_pylist()] == list(range(1, 14))


FULL_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, str(Path(sys.argv[1]).parent / "support"))
from test_driver_ledger import JOB, Ended, Status, make, module
from hsl.store.store import Store

module.FLUSH_SECONDS = module.MAX_FLUSH_SECONDS = module.RETRY_SECONDS = 0.0
disk = Path(sys.argv[2])
store = Store(disk / "store")
ledger = make(store)
ledger.report(JOB, [{"epoch": 1}])
filler = disk / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"0" * 4096)
    except OSError as error:
        print(error)
for epoch in range(2, 9):
    ledger.report(JOB, [{"epoch": epoch}])
print("stored while full:", len(store.read("epochs")))
filler.unlink()
ledger.end(JOB, Ended(Status.COMPLETED, summary={"epochs": 8, "objective": 0.5}))
ledger.close()
print("stored in the end:", len(store.read("epochs")), len(store.read("trials")))
print("scratch files:", len(list(disk.rglob(".tmp-*"))))
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """On a real file system that is full: a small one in memory, in a name space of its own."""
    script = 'mount -t tmpfs -o size=256k none $0 && exec $1 -c "$2" $3 $0'
    command = ["unshare", "-rm", "sh", "-c", script, str(tmp_path), sys.executable, FULL_DISK]
    try:
        done = subprocess.run(
            [*command, str(Path(__file__).parent)], capture_output=True, text=True, timeout=600, check=False
        )
    except FileNotFoundError:
        pytest.skip("needs name spaces or mounts: no unshare on this machine")
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"needs name spaces or mounts: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert "stored while full: 1\n" in done.stdout
    assert "stored in the end: 8 1\n" in done.stdout
    assert "scratch files: 0" in done.stdout
    assert done.stderr.count("nothing is lost") == 1


def test_what_cannot_be_deleted_waits_and_loses_no_row(tmp_path: Path) -> None:
    store, asked = Store(tmp_path / "store"), []

    def forget(job: Job) -> None:
        asked.append(job.trial_id)
        if len(asked) == 1:
            raise StoreError("unreachable")

    tally = Tally("search", {"c": CellTally(planned=2)})
    ledger = Ledger(store, 0, lambda _: False, forget, tally)
    for name in ("t", "u"):
        job = made_job(name)
        ledger.start(job)
        ledger.end(job, Ended(Status.FAILED, "a bug"))
    assert sorted(asked) == ["t", "t", "u"]
    assert len(store.read("trials")) == 2


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Rows are due after 3 of them or 2 s, after 30 s at most; a store out of reach is asked again after 5 s."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    seconds = {"FLUSH_SECONDS": 2.0, "MAX_FLUSH_SECONDS": 30.0, "RETRY_SECONDS": 5.0, "OUTAGE_SECONDS": 60.0}
    for name, value in {**seconds, "FLUSH_ROWS": 3}.items():
        monkeypatch.setattr(module, name, value)
    return made


def stored(store: Store) -> int:
    return len(store.read("epochs")) if store.exists() else 0


def test_rows_are_written_when_there_are_enough(tmp_path: Path, clock: Clock) -> None:
    store = Store(tmp_path / "store")
    ledger = make(store)
    counts = []
    for epoch in range(1, 8):
        ledger.report(JOB, [{"epoch": epoch}])
        counts.append(stored(store))
    assert counts == [0, 0, 3, 3, 3, 6, 6]


def test_rows_are_written_when_they_have_waited(tmp_path: Path, clock: Clock) -> None:
    store = Store(tmp_path / "store")
    ledger = make(store)
    clock.now += 2.0
    ledger.report(JOB, [{"epoch": 1}])
    assert stored(store) == 0, "not longer than 2 s"
    clock.now += 0.5
    ledger.flush_if_due()
    assert stored(store) == 1
    ledger.report(JOB, [{"epoch": 2}])
    assert stored(store) == 1, "the time counts from the last flush"


@pytest.mark.parametrize(("run", "wait"), [(100.0, 2.0), (1000.0, 10.0), (9000.0, 30.0)])
def test_the_longer_the_sweep_the_longer_rows_wait(
    tmp_path: Path, clock: Clock, run: float, wait: float
) -> None:
    """A hundredth of the run so far, within bounds."""
    store = Store(tmp_path / "store")
    ledger = make(store)
    clock.now += run - wait
    ledger.report(JOB, [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}])
    ledger.report(JOB, [{"epoch": 4}])
    clock.now += 0.95 * wait
    ledger.flush_if_due()
    assert stored(store) == 3
    clock.now += 0.1 * wait
    ledger.flush_if_due()
    assert stored(store) == 4


def test_nothing_is_written_where_nothing_waits(tmp_path: Path, clock: Clock) -> None:
    checks: list[None] = []
    ledger = make(Store(tmp_path / "store"), check=lambda: checks.append(None))
    clock.now += 100.0
    ledger.flush_if_due()
    assert checks == []


def test_a_store_out_of_reach_is_asked_again_after_a_while(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = Store(tmp_path / "store"), []

    def refusing(*_: Any) -> None:
        asked.append(clock.now)
        broken()

    ledger = make(store)
    monkeypatch.setattr(store, "append_table", refusing)
    ledger.report(JOB, [{"epoch": epoch} for epoch in (1, 2, 3)])
    for _ in range(65):
        clock.now += 1.0
        ledger.flush_if_due()
    assert [at - 1000 for at in asked] == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    clock.now += 1.0
    with pytest.raises(StoreError, match="No space left"):
        ledger.flush_if_due()

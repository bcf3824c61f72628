import logging
import os
import pickle
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from results_rows import cell_row, epoch_row, trial_row

from hsl.errors import StoreError
from hsl.filesystems import TEMPORARY
from hsl.store.rows import TABLES, arrow_schema, check_row
from hsl.store.store import Store, Writer


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def parts(store, table="epochs"):
    return sorted(Path(store.uri, table).glob("part-*.parquet"))


def rows(store, *names):
    return store.read("epochs").select(list(names)).to_pylist()


def test_missing_store_says_what_to_do(store):
    assert not store.exists()
    assert store.read_space() is None
    for act in (lambda: store.read("trials"), lambda: store.compact("trials")):
        with pytest.raises(StoreError, match=r"no result store here.*hsl sweep"):
            act()
    assert not Path(store.uri).exists()


def test_other_tables_of_a_store_are_empty(store):
    store.append("cells", [cell_row()])
    assert store.exists()
    assert store.read("trials").num_rows == 0
    assert store.read("trials").schema.equals(arrow_schema("trials"))


def test_what_is_appended_is_read(store):
    given_rows = [trial_row(objective=0.25, distribution=None), trial_row(objective=None)]
    store.append("trials", given_rows)
    store.append("trials", [])
    read = store.read("trials").to_pylist()
    assert [row["trial_id"] for row in read] == [row["trial_id"] for row in given_rows]
    assert [row["objective"] for row in read] == [0.25, None]
    assert len(parts(store, "trials")) == 1


def test_rows_come_in_order_of_arrival(store):
    for sequence in (5, 1, 3):
        store.append("epochs", [epoch_row(sequence=sequence, epoch=sequence)])
    assert [row["sequence"] for row in rows(store, "sequence")] == [1, 3, 5]


def test_last_sequence_wins_whatever_the_file(store):
    store.append("epochs", [epoch_row(sequence=9, lr=0.9)])
    store.append("epochs", [epoch_row(sequence=4, lr=0.4), epoch_row(sequence=10, epoch=2, lr=1.0)])
    assert rows(store, "epoch", "lr") == [{"epoch": 1, "lr": 0.9}, {"epoch": 2, "lr": 1.0}]


def test_last_file_wins_where_nothing_is_counted(store):
    for budget in (8, 16, 12):
        store.append("cells", [cell_row(configurations=budget)])
    assert store.read("cells")["configurations"].to_pylist() == [12]


def test_a_bad_row_stores_nothing_of_its_batch(store):
    with pytest.raises(StoreError):
        store.append("epochs", [epoch_row(), epoch_row(epoch="two")])
    assert not store.exists()


def test_space_is_replaced_whole(store):
    store.write_space("name: a long first version\n")
    store.write_space("name: b\n")
    assert store.read_space() == "name: b\n"
    assert store.exists()


@pytest.mark.parametrize("uri", ["ftp://host/path", "s3://", "s4:///x", "://"])
def test_unusable_uri(uri):
    with pytest.raises(StoreError, match="local path, s3"):
        Store(uri)


def test_credentials_are_not_shown():
    with pytest.raises(StoreError) as caught:
        Store("ftp://key:secret@host/path")
    assert "secret" not in str(caught.value)


def test_file_uri_and_path_are_the_same_store(tmp_path):
    Store(f"file://{tmp_path}/s").append("cells", [cell_row()])
    assert Store(tmp_path / "s").read("cells").num_rows == 1


def test_unwritable_place_is_an_error_of_the_user(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="check the path"):
        Store(tmp_path / "file" / "store").append("cells", [cell_row()])


def test_copy_in_another_process_writes_other_files(store):
    copy = pickle.loads(pickle.dumps(store))
    store.append("epochs", [epoch_row()])
    copy.append("epochs", [epoch_row(epoch=2)])
    assert len(store.read("epochs")) == 2
    assert len({part.name.split("-")[1] for part in parts(store)}) == 2


def test_relative_path_is_the_same_store_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    store.append("epochs", [epoch_row()])
    copy = pickle.dumps(store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(store.read("epochs")) == len(pickle.loads(copy).read("epochs")) == 1


def test_files_of_one_instant_have_different_names(store, monkeypatch):
    monkeypatch.setattr("hsl.store.store.time.time_ns", lambda: 7)
    for epoch in (1, 2, 3):
        store.append("epochs", [epoch_row(epoch=epoch)])
    assert [row["epoch"] for row in rows(store, "epoch")] == [1, 2, 3]


def damage_truncate(part):
    part.write_bytes(part.read_bytes()[:-20])


def damage_empty(part):
    part.write_bytes(b"")


def damage_middle(part):
    content = part.read_bytes()
    part.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])


def damage_foreign(part):
    pq.write_table(pa.table({"x": [1]}), part)


def damage_types(part):
    pq.write_table(pa.table({"sequence": [1], "trial_id": ["a"], "epoch": ["first"]}), part)


def damage_nulls(part):
    pq.write_table(pa.table({"sequence": pa.nulls(1, pa.int64()), "trial_id": ["a"], "epoch": [1]}), part)


def damage_other_table(part):
    pq.write_table(
        pa.table({"sequence": [1], "trial_id": ["a"], "epoch": [1]}, metadata={"hsl.table": "trials"}), part
    )


def damage_twins(part):
    twins = pa.Table.from_arrays(
        [pa.array(["a"])] * 2 + [pa.array([1])] * 2, ["trial_id", "trial_id", "sequence", "epoch"]
    )
    pq.write_table(twins, part)


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_empty,
        damage_middle,
        damage_foreign,
        damage_types,
        damage_nulls,
        damage_other_table,
        damage_twins,
    ],
)
def test_damaged_file_costs_only_its_rows(store, caplog, damage):
    store.append("epochs", [epoch_row(epoch=1)])
    before = set(parts(store))
    store.append("epochs", [epoch_row(epoch=2)])
    (broken,) = set(parts(store)) - before
    damage(broken)
    with caplog.at_level(logging.WARNING, "hsl.results"):
        assert rows(store, "epoch") == [{"epoch": 1}]
    assert broken.name in caplog.text
    store.append("epochs", [epoch_row(epoch=3)])
    store.compact("epochs")
    assert broken in parts(store)
    assert [row["epoch"] for row in rows(store, "epoch")] == [1, 3]


def test_half_written_and_foreign_names_are_left_out(store, caplog):
    store.append("epochs", [epoch_row()])
    folder = Path(store.uri, "epochs")
    (folder / f"{TEMPORARY}abc").write_bytes(b"PAR1")
    assert len(rows(store, "epoch")) == 1
    assert caplog.text == ""
    (folder / "notes.txt").write_text("mine")
    assert len(rows(store, "epoch")) == 1
    assert "notes.txt" in caplog.text


def test_files_of_other_versions(store, caplog):
    store.append("epochs", [epoch_row(sequence=1, epoch=1, lr=0.5)])
    old = pa.table({"sequence": [100], "trial_id": ["old"], "epoch": pa.array([1], pa.int32())})
    new = pa.table({"sequence": [101], "trial_id": ["new"], "epoch": [1], "lr": [1], "watts": [3.0]})
    folder = Path(store.uri, "epochs")
    pq.write_table(old, folder / "part-aa-1.parquet")
    pq.write_table(new, folder / "part-bb-2.parquet")
    assert [(row["trial_id"], row["lr"]) for row in rows(store, "trial_id", "lr")] == [
        ("a", 0.5),
        ("old", None),
        ("new", 1.0),
    ]
    assert store.read("epochs").schema.equals(arrow_schema("epochs"))
    store.compact("epochs")
    assert len(parts(store)) == 3  # the newer file's column would be lost
    assert "newer hsl" in caplog.text


def test_compact_keeps_rows_in_one_file(store):
    for epoch in range(1, 6):
        store.append("epochs", [epoch_row(epoch=epoch), epoch_row(epoch=1, lr=0.1 * epoch)])
    before = store.read("epochs")
    store.compact("epochs")
    assert store.read("epochs").equals(before)
    (part,) = parts(store)
    assert pq.read_schema(part).metadata[b"hsl.schema_version"] == b"1"
    store.compact("epochs")
    assert parts(store) == [part]


def test_append_during_compaction_is_kept_and_newer(store, monkeypatch):
    other = Store(store.uri)
    store.append("cells", [cell_row(configurations=1)])
    store.append("cells", [cell_row(configurations=2)])
    write = Store._write_compacted

    def append_in_between(self, table, found):
        other.append("cells", [cell_row(configurations=3), cell_row(cell="new")])
        write(self, table, found)

    monkeypatch.setattr(Store, "_write_compacted", append_in_between)
    store.compact("cells")
    assert dict(
        zip(*store.read("cells").select(["cell", "configurations"]).to_pydict().values(), strict=True)
    ) == {
        "clean/0.9": 3,
        "new": 8,
    }


def test_reader_meets_a_compaction(store, monkeypatch):
    for epoch in (1, 2, 3):
        store.append("epochs", [epoch_row(epoch=epoch)])
    read, compacted = Store._read_part, []

    def compact_after_first(self, table, part, columns):
        found = read(self, table, part, columns)
        if not compacted:
            compacted.append(True)
            Store(self.uri).compact(table)
        return found

    monkeypatch.setattr(Store, "_read_part", compact_after_first)
    assert [row["epoch"] for row in rows(store, "epoch")] == [1, 2, 3]


def test_appends_of_threads_and_compactions_lose_nothing(store):
    def append(first):
        for epoch in range(first, first + 20):
            store.append("epochs", [epoch_row(epoch=epoch, sequence=epoch)])

    threads = [threading.Thread(target=append, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if store.exists():
            store.compact("epochs")
    for thread in threads:
        thread.join()
    expected = [epoch for first in (0, 100, 200) for epoch in range(first, first + 20)]
    assert [row["epoch"] for row in rows(store, "epoch")] == expected


def test_unreachable_file_is_an_error_not_a_missing_row(store, monkeypatch):
    store.append("epochs", [epoch_row()])

    class Unreachable:
        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            return getattr(self.real, name)

        def open_input_file(self, path):
            raise OSError("network is down")

    monkeypatch.setattr(store, "_filesystem", Unreachable(store._filesystem))
    for act in (lambda: store.read("epochs"), store.read_space):
        with pytest.raises(StoreError, match="network is down"):
            act()


def test_object_store_takes_single_puts(tmp_path, monkeypatch):
    """A file system that is not the local one gets no temporary file and no rename."""
    for table in TABLES:
        (tmp_path / "bucket" / table).mkdir(parents=True)
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr("hsl.store.store.open_filesystem", lambda uri: (bucket, "bucket"))
    monkeypatch.setattr("hsl.filesystems.settle", lambda *_: pytest.fail("renamed"))
    store = Store("s3://bucket")
    for epoch in (1, 2):
        store.append("epochs", [epoch_row(epoch=epoch)])
    store.write_space("name: a\n")
    store.compact("epochs")
    assert [row["epoch"] for row in rows(store, "epoch")] == [1, 2]
    assert store.read_space() == "name: a\n"
    assert len(list((tmp_path / "bucket" / "epochs").iterdir())) == 1
    assert repr(store) == "Store('s3://bucket')"


class Crash(Exception):
    pass


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 4), st.integers(0, 30)),
        st.tuples(st.just("flush")),
        st.tuples(st.just("crash")),
        st.tuples(st.just("compact"), st.none() | st.integers(0, 6)),
        st.tuples(st.just("half written")),
    ),
    max_size=25,
)


def compact_until(store, steps, monkeypatch):
    """Compact and die before the given operation on the file system (or not at all)."""
    left = [steps]

    def step(act):
        def limited(*arguments):
            if left[0] is not None:
                if left[0] == 0:
                    raise Crash
                left[0] -= 1
            return act(*arguments)

        return limited

    class Dying:
        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            return step(self.real.delete_file) if name == "delete_file" else getattr(self.real, name)

    real = store._filesystem
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_place", step(Store._place))
        store._filesystem = Dying(real)
        try:
            store.compact("epochs")
        except Crash:
            pass
        finally:
            store._filesystem = real


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_no_crash_loses_or_doubles_a_flushed_row(tmp_path_factory, monkeypatch, actions):
    path = tmp_path_factory.mktemp("store")
    store = Store(path)
    store.append("cells", [cell_row()])
    writer, waiting, stored = Writer(store, rows=1000, seconds=1e9), [], {}
    for sequence, (kind, *arguments) in enumerate(actions):
        if kind == "add":
            epoch, value = arguments
            waiting.append((epoch, sequence, float(value)))
            writer.add("epochs", epoch_row(epoch=epoch, sequence=sequence, lr=float(value)))
        elif kind == "flush":
            writer.flush()
            stored |= {epoch: (sequence, value) for epoch, sequence, value in waiting}
            waiting = []
        elif kind == "crash":
            store = Store(path)
            writer, waiting = Writer(store, rows=1000, seconds=1e9), []
        elif kind == "compact":
            # Operations on the file system of a compaction: write one file, then delete the others.
            compact_until(store, arguments[0], monkeypatch)
        else:
            (path / "epochs").mkdir(exist_ok=True)
            (path / "epochs" / f"{TEMPORARY}{sequence}").write_bytes(b"PAR1")
        read = {row["epoch"]: (row["sequence"], row["lr"]) for row in rows(store, "epoch", "sequence", "lr")}
        assert read == stored
        assert len(rows(store, "epoch")) == len(stored)


def test_interrupted_compaction_leaves_both_generations(store, monkeypatch):
    for epoch in (1, 2, 3):
        store.append("epochs", [epoch_row(epoch=epoch)])
    expected = store.read("epochs")
    counts = []
    for steps in (0, 1, 2):
        compact_until(store, steps, monkeypatch)
        counts.append(len(parts(store)))
        assert store.read("epochs").equals(expected)
    # Died before the write; after it; after a second write and one deletion.
    assert counts == [3, 4, 4]


def test_died_while_writing_leaves_nothing(store, monkeypatch):
    store.append("epochs", [epoch_row()])

    def die(_):
        raise Crash

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(Crash):
        store.append("epochs", [epoch_row(epoch=2)])
    assert len(list(Path(store.uri, "epochs").iterdir())) == 1


def test_writer_flushes_when_there_are_enough_rows(store):
    writer = Writer(store, rows=3, seconds=1e9)
    for epoch in (1, 2):
        writer.add("epochs", epoch_row(epoch=epoch))
    assert not store.exists()
    writer.add("trials", trial_row())
    assert len(store.read("epochs")) == 2
    assert len(store.read("trials")) == 1


def test_every_row_is_checked_once(store, monkeypatch):
    checked = []

    def check(table, row):
        checked.append(row["sequence"])
        return check_row(table, row)

    for module in ("rows", "store"):
        monkeypatch.setattr(f"hsl.store.{module}.check_row", check)
    with Writer(store, rows=7) as writer:
        for sequence in range(30):
            writer.add("epochs", epoch_row(sequence=sequence, epoch=sequence))
    assert checked == list(range(30))
    store.append("epochs", (epoch_row(sequence=n, epoch=n) for n in range(30, 40)))
    assert checked == list(range(40))
    assert store.read("epochs")["epoch"].to_pylist() == list(range(40))


def test_writer_flushes_old_rows(store, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("hsl.store.store.time.monotonic", lambda: now[0])
    writer = Writer(store, rows=100, seconds=10)
    writer.add("epochs", epoch_row())
    now[0] += 9.9
    writer.add("epochs", epoch_row(epoch=2))
    assert not store.exists()
    now[0] += 0.1
    writer.add("epochs", epoch_row(epoch=3))
    assert len(store.read("epochs")) == 3


def test_writer_refuses_a_bad_row_at_once_and_keeps_the_others(store):
    with Writer(store) as writer:
        writer.add("epochs", epoch_row())
        with pytest.raises(StoreError):
            writer.add("epochs", epoch_row(epoch=2**70))
    assert len(store.read("epochs")) == 1


def test_writer_flushes_on_the_way_out_of_an_error(store):
    with pytest.raises(Crash), Writer(store) as writer:
        writer.add("epochs", epoch_row())
        raise Crash
    assert len(store.read("epochs")) == 1


def test_writer_keeps_what_could_not_be_written(store, monkeypatch):
    writer = Writer(store)
    writer.add("epochs", epoch_row())
    with monkeypatch.context() as patch:
        patch.setattr("hsl.store.store.place_on", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
        with pytest.raises(StoreError, match=r"disk full.*free space"):
            writer.flush()
    writer.flush()
    writer.flush()
    assert len(parts(store)) == 1


def test_epochs_are_stored_before_their_trial(store, monkeypatch):
    order = []
    monkeypatch.setattr(Store, "append_table", lambda _, table, rows: order.append(table) if rows else None)
    with Writer(store) as writer:
        writer.add("trials", trial_row())
        writer.add("epochs", epoch_row())
    assert order == ["epochs", "trials"]


@pytest.mark.parametrize("limits", [{"rows": 0}, {"seconds": -1}])
def test_writer_refuses_useless_limits(store, limits):
    with pytest.raises(StoreError):
        Writer(store, **limits)

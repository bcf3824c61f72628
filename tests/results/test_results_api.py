"""The Python face of a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from results_rows import cell_row, epoch_row, filled, trial_row

import hsl
from hsl.errors import HslError, StoreError, UnknownNameError
from hsl.store.columns import TABLES
from hsl.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rows = [
        trial_row(
            method=method,
            cell=method,
            configuration_id=method,
            stage="confirm",
            seed=seed,
            test_matched_accuracy=value,
        )
        for method, value in (("set", 0.8), ("dense", 0.7))
        for seed in (1, 2, 3)
    ]
    store = filled(tmp_path / "store", rows, [cell_row(cell="set"), cell_row(cell="dense", baseline=True)])
    store.append("epochs", [epoch_row()])
    return store


def test_tables_and_answers(store: Store) -> None:
    results = hsl.load_results(store.uri)
    for table in TABLES:
        assert getattr(results, table) == store.read(table)
    assert results.query("SELECT count(*) AS n FROM trials").to_pylist() == [{"n": 6}]
    assert results.best(where="method = 'set'")["test_mean"].to_pylist() == [pytest.approx(0.8)]
    assert results.best(pareto=("accuracy", "sparsity")).num_rows == 2
    (row,) = results.compare("method = 'set'", "method = 'dense'").to_pylist()
    assert row["difference"] == pytest.approx(0.1)
    assert results.claims().num_rows > 20
    assert results.show("set").num_rows == 6
    assert results.space is None


def test_data_frames_hold_what_arrow_holds(store: Store) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    results = hsl.load_results(store.uri)
    for table in TABLES:
        expected = store.read(table).to_pylist()
        assert results.to_polars(table).to_dicts() == expected
        frame = results.to_pandas(table)
        assert list(frame.columns) == store.read(table).column_names
        assert pa.Table.from_pandas(frame, schema=store.read(table).schema).to_pylist() == expected


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_missing_package_is_named(store: Store, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(HslError, match=f"pip install {package}"):
        getattr(hsl.load_results(store.uri), f"to_{package}")()


def test_what_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no result store"):
        hsl.load_results(tmp_path / "none")
    with pytest.raises(UnknownNameError, match="did you mean 'trials'"):
        hsl.load_results(store.uri).to_pandas("trial")
    with pytest.raises(AttributeError, match="load_result'"):
        _ = hsl.load_result


def test_loads_neither_torch_nor_ray(store: Store) -> None:
    program = f"""
import sys, hsl
assert "pyarrow" not in sys.modules
results = hsl.load_results({store.uri!r})
results.best(), results.claims(), results.to_pandas()
sys.exit(bool({{"torch", "ray", "optuna"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=600).returncode == 0

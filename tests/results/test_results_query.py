import subprocess
import sys
from pathlib import Path

import pytest
from results_rows import cell_row, epoch_row, filled, trial_row

from hsl.errors import HslError, StoreError
from hsl.results.query import passes_per_second, query
from hsl.store.columns import TABLES
from hsl.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = filled(
        tmp_path_factory.mktemp("query") / "store", [trial_row(seed=seed) for seed in range(4)], [cell_row()]
    )
    store.append("epochs", [epoch_row(epoch=epoch, lr=0.5**epoch) for epoch in (1, 2)])
    return store


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT count(*) AS n, max(seed) AS last FROM trials", [{"n": 4, "last": 3}]),
        ("select sum(lr) as total from EPOCHS", [{"total": 0.75}]),
        ("WITH x AS (SELECT * FROM cells) SELECT configurations AS n FROM x", [{"n": 8}]),
        ("select count(*) as n from trials join cells using (cell)", [{"n": 4}]),
        ("select parameters->>'training.lr' as lr from trials limit 1", [{"lr": "0.1"}]),
        ("from query('select count(*) as n from trials')", [{"n": 4}]),
        ("select 1 as one;", [{"one": 1}]),
        (
            "select list(name order by name) as t from (show tables)",
            [{"t": sorted(TABLES)}],
        ),
        ("select column_type from (describe trials) where column_name = 'seed'", [{"column_type": "BIGINT"}]),
        ("select count(*) as n from (describe trials), cells where configurations = 8", [{"n": len(TABLES["trials"])}]),
        ("select columns('^(seed|stage)$') from trials where seed = 1", [{"stage": "search", "seed": 1}]),
        ("select t.regime from (select c as t from cells c)", [{"regime": "clean"}]),
        ("select regime, baseline from trials natural join cells limit 1", [{"regime": "clean", "baseline": False}]),
    ],
)  # fmt: skip
def test_select(store, sql, answer):
    assert query(store, sql).to_pylist() == answer


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "secret.csv").write_text("password\nhunter2\n")
    return tmp_path


def files(store, folder):
    """What is in the store and in a folder beside it, with the times of the last changes."""
    return {file: file.stat().st_mtime_ns for top in (folder, Path(store.uri)) for file in top.rglob("*")}


FORBIDDEN = [
    "INSERT INTO trials SELECT * FROM trials",
    "UPDATE trials SET seed = 1",
    "DELETE FROM trials",
    "DROP VIEW trials",
    "TRUNCATE trials",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "ALTER TABLE trials ADD COLUMN x INT",
    "COPY trials TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.parquet'",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/out.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "PREPARE q AS SELECT 1",
    "BEGIN",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW trials",
    "WITH x AS MATERIALIZED (DELETE FROM trials) SELECT 1",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT (SELECT content FROM read_text('{folder}/secret.csv')) FROM trials",
    "SELECT * FROM store",
    "SELECT nothing FROM trials",
    "SELECT",
    "SELEC 1",
    "",
    "-- nothing",
    "'; DROP TABLE trials; --",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_anything_but_reading_the_tables_is_refused(store, outside, sql):
    before = files(store, outside)
    with pytest.raises(HslError) as caught:
        query(store, sql.format(folder=outside))
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert "hunter2" not in message
    assert files(store, outside) == before
    assert query(store, "SELECT count(*) AS n FROM trials").to_pylist() == [{"n": 4}]


def test_wrong_sql_says_where_to_look(store):
    with pytest.raises(
        HslError, match=r"tables are trials, epochs, cells, evaluations, sessions; `DESCRIBE trials`"
    ):
        query(store, "SELECT accuracy FROM trials")


def test_only_what_is_read_is_loaded(store, monkeypatch):
    read, loaded = Store.read, []
    monkeypatch.setattr(Store, "read", lambda self, *asked: loaded.append(asked) or read(self, *asked))
    query(store, "SELECT method, count(*) FROM trials WHERE sparsity > 0.5 GROUP BY method")
    assert loaded == [("trials", ["method", "sparsity"])]


def test_missing_store(tmp_path):
    with pytest.raises(StoreError, match="no result store"):
        query(Store(tmp_path / "none"), "SELECT 1 FROM trials")


def test_speed_is_that_of_all_trials_whose_time_is_known(tmp_path):
    assert passes_per_second(Store(tmp_path / "none")) is None
    timeless = filled(tmp_path / "timeless", [trial_row(seconds=0.0)], [])
    assert passes_per_second(timeless) is None
    rows = [
        trial_row(seed=seed, passes=passes, seconds=s)
        for seed, passes, s in ((0, 10, 2.0), (1, 50, 4.0), (2, 7, 0.0))
    ]
    assert passes_per_second(filled(tmp_path / "some", rows, [])) == pytest.approx(60 / 6)


def test_start_up_imports_nothing_heavy():
    modules = ["store.rows", "store.store", "results.stats", "results.show.output", "results.query"]
    heavy = {
        "torch",
        "ray",
        "optuna",
        "pandas",
        "scipy",
        "sklearn",
        "hsl.search",
        "hsl.driver",
        "hsl.training",
        "hsl.sparsity",
    }
    imports = "; ".join(f"import hsl.{module}" for module in modules)
    code = f"import sys; {imports}; print(*sorted({heavy!r} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == ""

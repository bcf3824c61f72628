from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from results_rows import epoch_row, trial_row

from hsl.errors import StoreError, UnknownNameError
from hsl.store.columns import TABLES
from hsl.store.rows import arrow_schema, check_row, columns_of, markdown, to_arrow

# Written down once more, so that a name that is already in people's stores cannot change unnoticed.
TRIALS = """
sequence trial_id configuration_id cell stage seed dataset model regime method distribution sparsity
parameters configuration status reason epochs budget_epochs objective val_clean_accuracy val_matched_accuracy
test_clean_accuracy test_matched_accuracy val_clean_loss val_matched_loss test_clean_loss test_matched_loss
train_loss realised_sparsity parameters_total nonzeros layer_densities seconds passes training_flops
inference_flops exempt attempts device node started_at ended_at provenance
"""
EPOCHS = """
sequence trial_id cell epoch epochs_at_target lr train_loss train_accuracy val_clean_accuracy val_clean_loss
val_matched_accuracy val_matched_loss test_clean_accuracy test_clean_loss test_matched_accuracy
test_matched_loss sparsity seconds
"""
CELLS = "cell regime levels baseline configurations space_hash"
EVALUATIONS = "trial_id cell checkpoint epoch split measure detail accuracy loss samples parameters seconds"


@pytest.mark.parametrize(
    ("table", "names"),
    [("trials", TRIALS), ("epochs", EPOCHS), ("cells", CELLS), ("evaluations", EVALUATIONS)],
)
def test_published_names_stay(table, names):
    assert set(arrow_schema(table).names) >= set(names.split())


def test_every_file_says_what_it_is():
    metadata = arrow_schema("epochs").metadata
    assert metadata == {b"hsl.table": b"epochs", b"hsl.schema_version": b"1"}


def test_markdown_documents_every_column_once():
    lines = [line for line in markdown().splitlines() if line.startswith("| `")]
    documented = [line.split("`")[1] for line in lines]
    assert sorted(documented) == sorted(column.name for columns in TABLES.values() for column in columns)
    assert all(len(line.split(" | ")) == 4 for line in lines)


def test_units_have_no_wrong_type():
    types = {column.name: column.type for columns in TABLES.values() for column in columns}
    assert types["sequence"] == types["nonzeros"] == "int64"
    assert types["passes"] == types["sparsity"] == types["objective"] == "float64"
    assert arrow_schema("trials").field("started_at").type == pa.timestamp("us", tz="UTC")


def test_unknown_table():
    with pytest.raises(UnknownNameError, match=r"did you mean 'trials'"):
        columns_of("trial")


def test_row_is_completed_and_converted():
    local = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    row = check_row("trials", trial_row(seed=np.int32(3), objective=np.float32(0.5), started_at=local))
    assert list(row) == arrow_schema("trials").names
    assert (row["seed"], row["objective"], row["reason"]) == (3, 0.5, None)
    assert row["started_at"] == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert row["parameters"] == '{"training.lr": 0.1}'


def test_nan_is_null():
    assert to_arrow("epochs", [epoch_row(lr=float("nan"))])["lr"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("seed", 1.5),
        ("seed", True),
        ("seed", 2**63),
        ("seed", None),
        ("objective", "0.5"),
        ("objective", False),
        ("exempt", 1),
        ("method", 3),
        ("method", "\ud800"),
        ("stage", "parents"),
        ("status", "done"),
        ("parameters", "{not json"),
        ("parameters", '{"lr": NaN}'),
        ("parameters", {"lr": float("inf")}),
        ("parameters", {"lr": object()}),
        ("parameters", 3),
        ("started_at", datetime(2026, 1, 1)),
        ("started_at", "2026-01-01"),
    ],
)
def test_unfit_value_is_named(column, value):
    with pytest.raises(StoreError, match=rf"trials\.{column}"):
        check_row("trials", trial_row(**{column: value}))


def test_unknown_column_has_a_hint():
    with pytest.raises(StoreError, match="did you mean 'objective'"):
        check_row("trials", trial_row(objectiv=1.0))


def test_required_column_must_be_there():
    row = trial_row()
    del row["trial_id"]
    with pytest.raises(StoreError, match="trial_id has no value"):
        check_row("trials", row)

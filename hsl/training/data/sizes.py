"""Size of a data set, as far as it is known without reading images. Torch-free."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import cast

from hsl.errors import DataError
from hsl.registry import imported
from hsl.training.available import DATASETS, Size, kind_and_path


@cache
def known_size(dataset: str) -> Size | None:
    """Size of a data set, or None where it is only known after reading; Parquet files say how many rows they have."""
    kind, path = kind_and_path(dataset)
    facts = DATASETS.facts(kind)
    if facts.counted_by:
        return cast(Size | None, imported(facts.counted_by, "size of data set")(path))
    return facts.size


def parquet_rows(path: str) -> Size | None:
    """Rows of the files at a path; None where they cannot be read now."""
    try:
        counts = list(_counts(path))
    except (OSError, ValueError, DataError):  # reading the data will say what is wrong
        return None
    return Size(sum(rows for rows, _ in counts), sum(rows for rows, is_test in counts if is_test))


def _counts(path: str) -> Iterator[tuple[int, bool]]:
    """Rows of each file, and whether it belongs to a test set."""
    import pyarrow.parquet as pq  # noqa: PLC0415  only these data sets need it

    from hsl.training.data.remote import is_remote, reached, remote_files  # noqa: PLC0415  as above
    from hsl.training.data.sources import is_test_file, parquet_files  # noqa: PLC0415

    if not is_remote(path):
        root = Path(path).expanduser()
        for file in parquet_files(path):
            yield pq.read_metadata(file).num_rows, is_test_file(file, root)
        return
    with reached(path) as (filesystem, place):
        for info in remote_files(path):
            if info.path.endswith(".parquet"):
                rows = pq.read_metadata(info.path, filesystem=filesystem).num_rows
                yield rows, is_test_file(PurePosixPath(info.path), PurePosixPath(place))

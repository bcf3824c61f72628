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
    """Rows of each file that is read, and whether it belongs to the test set."""
    import pyarrow.parquet as pq  # noqa: PLC0415  only these data sets need it

    from hsl.training.data.files.parquet_files import chosen, local_files  # noqa: PLC0415  as above
    from hsl.training.data.remote import is_remote, reached, remote_files  # noqa: PLC0415

    if not is_remote(path):
        for file, is_test in chosen(local_files(path), Path(path).expanduser()).is_test.items():
            yield pq.read_metadata(file).num_rows, is_test
        return
    with reached(path) as (filesystem, place):
        files = [PurePosixPath(info.path) for info in remote_files(path)]
        for file, is_test in chosen(files, PurePosixPath(place)).is_test.items():
            yield pq.read_metadata(str(file), filesystem=filesystem).num_rows, is_test

"""How large a data set is, as far as that is known without reading its images. Torch-free."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from hsl.errors import DataError
from hsl.training.available import kind_and_path


@dataclass(frozen=True)
class KnownSize:
    """What `hsl plan` knows of a data set without reading it."""

    samples: int
    given_test: int


KNOWN_SIZES = {
    "digits": KnownSize(samples=1797, given_test=0),
    "cifar10": KnownSize(samples=60_000, given_test=10_000),
    "cifar100": KnownSize(samples=60_000, given_test=10_000),
    "svhn": KnownSize(samples=99_289, given_test=26_032),
    "mnist": KnownSize(samples=70_000, given_test=10_000),
    "fashion-mnist": KnownSize(samples=70_000, given_test=10_000),
    "tiny-imagenet": KnownSize(samples=110_000, given_test=10_000),
}
"""Number of samples, and how many of them the publisher set apart as test set."""


@cache
def known_size(dataset: str) -> KnownSize | None:
    """Size of a data set, or None where only reading it tells.

    Args:
        dataset: Name, for example ``cifar10`` or ``parquet:PATH``, whose files say how many rows they have.
    """
    kind, path = kind_and_path(dataset)
    return _rows(path) if kind == "parquet" else KNOWN_SIZES.get(kind)


def _rows(path: str) -> KnownSize | None:
    try:
        counts = list(_counts(path))
    except (OSError, ValueError, DataError):  # whoever reads the data will say what is wrong with them
        return None
    return KnownSize(sum(rows for rows, _ in counts), sum(rows for rows, is_test in counts if is_test))


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

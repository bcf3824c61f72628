"""The Parquet files of a data set, and their columns. Torch-free."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq

from hsl.errors import DataError
from hsl.training.data.files.omitted import HIDDEN, Omitted, is_set_apart, listed
from hsl.training.data.files.splits import Assigned, assigned, published_part

SUFFIX = ".parquet"
IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label")
SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?!\d)")


def local_files(path: str) -> list[Path]:
    """The files at or below a path, in order of their names.

    Raises:
        DataError: If there is nothing.
    """
    root = Path(path).expanduser()
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise DataError(f"no Parquet file at {path!r}; give a .parquet file or a folder that holds some")
    return files


def chosen(files: Sequence[PurePath], root: PurePath) -> Assigned[PurePath]:
    """The Parquet files among files, and which of them are the test set; by their names alone.

    Args:
        files: In the order of reading. One that is `root` itself is read, under any name, and is no test set.
        root: What the data set's path names.

    Returns:
        Files that are read; of those that are not, paths relative to `root`.

    Raises:
        DataError: If there is no Parquet file, or the names of the files contradict each other.
    """
    if list(files) == [root]:
        return Assigned({root: False})
    short = {file.relative_to(root): file for file in files}
    tables = [name for name in short if name.suffix.lower() == SUFFIX]
    hidden = [name for name in tables if is_set_apart(name)]
    read = assigned({name: published_part(name) for name in tables if not is_set_apart(name)})
    if not read.is_test:
        aside = f" but for hidden ones, {listed(hidden)}" if hidden else ""
        raise DataError(
            f"no Parquet file at {str(root)!r}{aside}; give a .parquet file or a folder that holds some"
        )
    is_test = {short[name]: test for name, test in read.is_test.items()}
    return Assigned(is_test, [*read.omitted, Omitted(HIDDEN, hidden)])


def counted(omitted: Iterable[Omitted[PurePath]], root: Path) -> Iterator[Omitted[str]]:
    """The same files with their numbers of rows, where they can be read."""
    for each in omitted:
        yield Omitted(each.reason, [f"{name}{_rows(root / name)}" for name in each.items], each.kind)


def _rows(file: Path) -> str:
    try:
        return f" ({pq.read_metadata(file).num_rows} rows)"
    except (OSError, ValueError):  # it is not used
        return ""


def missing_shards(files: Iterable[PurePath]) -> Iterator[str]:
    """Say which files of sets ``name-00000-of-00002.parquet`` are not there.

    Raises:
        DataError: If there are two such sets of one name, as a new upload leaves them: their rows would count twice.
    """
    found: dict[tuple[PurePath, str, int], set[int]] = defaultdict(set)
    for file in files:
        if shard := SHARD.match(file.name):
            found[file.parent, shard["name"], int(shard["count"])].add(int(shard["number"]))
    counts: dict[tuple[PurePath, str], int] = {}
    for (folder, name, count), numbers in found.items():
        if (other := counts.setdefault((folder, name), count)) != count:
            raise DataError(
                f"{folder / name} is there in {other} and in {count} files (-of-{other:05} and -of-{count:05}), so "
                f"rows would count twice; remove the older set"
            )
        if len(numbers) < count:
            yield f"{count - len(numbers)} of the {count} files {folder / name}-*, as they are not there"


def image_and_label(schema: pa.Schema, file: str) -> tuple[str, str]:
    """Names of the columns of images and of labels.

    The image column is named ``image`` or ``img``, or is the only one of images: a struct with ``bytes``, and with
    ``path`` as well in most files. The label column is named ``label``, ``labels`` or ``fine_label``.

    Args:
        schema: Of the table.
        file: Names it in messages.

    Raises:
        DataError: If one of them is not there, or several could be the image.
    """
    kinds = {field.name: field.type for field in schema}
    of_images = [name for name, kind in kinds.items() if _holds_images(kind)]
    label = next((name for name in LABEL_NAMES if name in kinds), None)
    if not of_images or label is None or not pa.types.is_integer(kinds[label]):
        raise DataError(
            f"{file} has the columns {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}; needed are an "
            f"image column (struct of bytes and path) and an integer column named {' or '.join(LABEL_NAMES)}"
        )
    named = [name for wanted in IMAGE_NAMES for name in of_images if name.lower() == wanted]
    if not named and len(of_images) > 1:
        raise DataError(
            f"{file} has several columns of images, {', '.join(of_images)}; name the one to train on image"
        )
    return (named or of_images)[0], label


def _holds_images(kind: pa.DataType) -> bool:
    content = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    is_bytes = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return content >= 0 and any(holds(kind.field(content).type) for holds in is_bytes)

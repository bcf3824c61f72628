"""The content of a data set as a file of a store: what its trials were trained on. Torch-free."""

import json

import pyarrow as pa

from hsl.errors import DamagedError
from hsl.store.tables import stored_table, write_table
from hsl.training.data.contents.content import Content


def write_samples(uri: str, content: Content) -> None:
    """Place the content of a data set as one Parquet file, atomically."""
    table = pa.table(
        {
            "pixels": pa.array(content.pixels, pa.uint64()),
            "label": pa.array(content.labels, pa.int64()),
            "is_test": pa.array(content.is_test, pa.bool_()),
        }
    )
    about = {"shape": content.shape, "names": content.names, "digest": content.digest}
    write_table(uri, table.replace_schema_metadata({"hsl": json.dumps(about)}))


def read_samples(uri: str) -> Content | None:
    """The content that was written; None if there is no file.

    Raises:
        DamagedError: If it is damaged.
    """
    table = stored_table(uri, "the list of samples is")
    if table is None:
        return None
    try:
        about = json.loads(table.schema.metadata[b"hsl"])
        columns = [table.column(name).to_numpy() for name in ("pixels", "label", "is_test")]
        content = Content(tuple(about["shape"]), tuple(about["names"]), *columns)
    except (pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"the list of samples is damaged ({error})") from error
    if content.digest != about["digest"]:
        raise DamagedError("the list of samples is damaged (its digest is another)")
    return content

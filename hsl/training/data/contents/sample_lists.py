"""The content of a data set as a file of a store: what its trials were trained on. Torch-free."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from hsl.errors import DamagedError
from hsl.store.checkpoints import content_of
from hsl.training.data.contents.content import Content
from hsl.training.data.score_tables import write_table


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
    found = content_of(uri)
    if found is None:
        return None
    try:
        table = pq.read_table(pa.BufferReader(found), page_checksum_verification=True)
        about = json.loads(table.schema.metadata[b"hsl"])
        columns = [table.column(name).to_numpy() for name in ("pixels", "label", "is_test")]
        content = Content(tuple(about["shape"]), tuple(about["names"]), *columns)
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"the list of samples is damaged ({error})") from error
    if content.digest != about["digest"]:
        raise DamagedError("the list of samples is damaged (its digest is another)")
    return content

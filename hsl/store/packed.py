"""Whether each sample is classified correctly, packed into text for a column of the store."""

import base64
import binascii
import zlib

import numpy as np
import numpy.typing as npt

from hsl.errors import StoreError

MOST_BYTES = 2**28
"""Of two bit maps: a billion samples; more is no list of samples, but a small text that unpacks into a large one."""


def packed(ids: npt.NDArray[np.int64], correct: npt.NDArray[np.bool_]) -> str:
    """Base64 of zlib of two bit maps over the ids from 0: those that are there, and those of correct samples.

    Ten thousand samples of which nine in ten are correct take about 1 kB.

    Args:
        ids: int64 [N], all different, at least 0; N at least 1.
        correct: bool [N].
    """
    maps = np.zeros((2, int(ids.max()) + 1), np.bool_)
    maps[0, ids], maps[1, ids[correct]] = True, True
    return base64.b64encode(zlib.compress(np.packbits(maps, axis=1).tobytes(), 9)).decode()


def unpacked(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The ids that were packed, rising, and whether they are correct.

    Raises:
        StoreError: If it is not what `packed` returns; zlib's checksum shows changed bits.
    """
    try:
        inflate = zlib.decompressobj()
        content = inflate.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
        if not inflate.eof:
            raise ValueError("it is cut off, or too large")
        there, right = np.unpackbits(np.frombuffer(content, np.uint8).reshape(2, -1), axis=1).view(np.bool_)
        if (right & ~there).any():
            raise ValueError("samples are correct that are not there")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise StoreError(f"predictions of samples cannot be read: {error}") from error
    return np.flatnonzero(there), right[there]

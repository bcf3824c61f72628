"""Counter-based randomness: every value is a pure function of (key, sample id, position); no generator.

The bits come from integer hashes: the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) for keys and
ids, and the 32-bit mixer "lowbias32" (C. Wellons, hash-prospector, public domain) for the elements. Floats
are made from them by exact IEEE operations and table look-ups alone. So a value is the same to the last bit
for any batch size, order of the ids, chunk, process and device.

`uniform`, `normal` and `integers` take a stream, from `key`, sample ids, int64 [B], and the shape of one
sample's draw, in which positions count in row-major order. They return [B, *shape] on the device of `ids`.
"""

import math
from collections.abc import Callable
from functools import cache
from hashlib import blake2b

import torch
from torch import Tensor

_CACHED_ELEMENTS = 1 << 16  # a piece of this size stays in the second-level cache of a CPU core
_ELEMENTS = 1 << 26  # elsewhere a piece only has to fit into memory
_TABLE_BITS = 16


def key(*parts: int | str | float) -> int:
    """Hash of the parts: the name of one stream of random values.

    Args:
        parts: What the draws are for, for example ``key(seed, "corruption", "contrast", 3)``. The type
            counts: ``1``, ``1.0`` and ``"1"`` are three different parts.

    Returns:
        Integer in [0, 2**64), the same in every process and on every machine.
    """
    digest = blake2b(digest_size=8)
    for part in parts:
        if not isinstance(part, int | str | float):
            raise TypeError(f"a key is made of int, str and float, not of {type(part).__name__}")
        text = f"{type(part).__name__}:{part!r}".encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little")


def uniform(key: int, ids: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """Uniform values, float32 in [0, 1), multiples of 2**-24."""

    def to_uniform(words: Tensor) -> Tensor:
        return _shifted(words, 8).to(torch.float32).mul_(2.0**-24)

    return _drawn(key, ids, shape, torch.float32, to_uniform)


def normal(key: int, ids: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """Standard normal values, float32: sums of two entries of a table of 65,536 normal quantiles, at most 6.12.

    A table rather than Box-Muller: logarithm and cosine differ between devices and vector units, sums do not.
    """
    table = _quantiles(str(ids.device))

    def to_normal(words: Tensor) -> Tensor:
        low = table.index_select(0, words.bitwise_and(0xFFFF).view(-1))
        high = table.index_select(0, _shifted(words, 16).view(-1))
        return low.add_(high).view_as(words)

    return _drawn(key, ids, shape, torch.float32, to_normal)


def integers(key: int, ids: Tensor, shape: tuple[int, ...], high: int) -> Tensor:
    """Uniform integers, int64 in [0, high), for `high` in [1, 2**31].

    No value is likelier than another by more than a factor of 1 + high / 2**32.
    """
    if not 1 <= high <= 2**31:
        raise ValueError(f"high is {high}; allowed is 1 to 2**31")

    def to_integers(words: Tensor) -> Tensor:
        return words.to(torch.int64).bitwise_and_(0xFFFFFFFF).mul_(high).bitwise_right_shift_(32)

    return _drawn(key, ids, shape, torch.int64, to_integers)


def permutation(key: int, n: int, device: torch.device | str = "cpu") -> Tensor:
    """Order of 0..n-1 by their hashes under the key, ties by the number itself: int64 [n] on the device."""
    ids = torch.arange(n, device=device)
    return torch.argsort(hashed(key, ids), stable=True)


def hashed(key: int, ids: Tensor) -> Tensor:
    """64-bit hash of each id, int64 of any shape, uniform over all int64; different ids have different ones."""
    return _mix64(_mix64(ids) ^ _signed(key, 64))


def _drawn(
    key: int, ids: Tensor, shape: tuple[int, ...], dtype: torch.dtype, convert: Callable[[Tensor], Tensor]
) -> Tensor:
    """Random 32-bit words for every id and position, converted piece by piece."""
    if ids.dtype != torch.int64 or ids.ndim != 1:
        raise TypeError(f"ids are int64 [B], not {ids.dtype} {list(ids.shape)}")
    size = math.prod(shape)
    offsets, factors = _id_words(key, ids)
    positions = _mix32(torch.arange(size, dtype=torch.int32, device=ids.device) ^ _signed(key >> 32, 32))
    drawn = torch.empty((len(ids), size), dtype=dtype, device=ids.device)
    rows = max(1, (_CACHED_ELEMENTS if ids.device.type == "cpu" else _ELEMENTS) // max(1, size))
    for first in range(0, len(ids), rows):
        piece = slice(first, first + rows)
        words = torch.bitwise_xor(offsets[piece, None], positions).mul_(factors[piece, None])
        drawn[piece] = convert(_mix32(words))
    return drawn.view(len(ids), *shape)


def _id_words(key: int, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Two 32-bit words per id, int32 [B] each; the second is odd, so that multiplying by it loses nothing."""
    words = hashed(key, ids)
    return words.to(torch.int32), _shifted(words, 32).to(torch.int32).bitwise_or_(1)


def _mix32(words: Tensor) -> Tensor:
    """Bijection of int32 in which every input bit moves every output bit; works in place."""
    words ^= _shifted(words, 16)
    words *= 0x7FEB352D
    words ^= _shifted(words, 15)
    words *= _signed(0x846CA68B, 32)
    words ^= _shifted(words, 16)
    return words


def _mix64(words: Tensor) -> Tensor:
    """Bijection of int64 in which every input bit moves every output bit."""
    words = words + _signed(0x9E3779B97F4A7C15, 64)
    words = (words ^ _shifted(words, 30)) * _signed(0xBF58476D1CE4E5B9, 64)
    words = (words ^ _shifted(words, 27)) * _signed(0x94D049BB133111EB, 64)
    return words ^ _shifted(words, 31)


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Right shift that fills with zeros; torch's own fills with the sign."""
    width = torch.iinfo(words.dtype).bits
    return words.bitwise_right_shift(bits).bitwise_and_((1 << (width - bits)) - 1)


def _signed(value: int, bits: int) -> int:
    """The low `bits` of `value` read as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


@cache
def _quantiles(device: str) -> Tensor:
    """Normal quantiles scaled to variance 1/2, float32 [65536]: the sum of two of them has variance 1."""
    size = 1 << _TABLE_BITS
    middles = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    values = torch.special.ndtri(middles)
    values = values * torch.sqrt(0.5 / values.square().mean())
    return values.to(torch.float32).to(device)

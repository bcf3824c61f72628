import hashlib
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsl.hardness import keyed

M32, M64 = 2**32 - 1, 2**64 - 1
KEY = keyed.key(7, "test")


def splitmix64(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M64
    return x ^ (x >> 31)


def lowbias32(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & M32
    x = ((x ^ (x >> 15)) * 0x846CA68B) & M32
    return x ^ (x >> 16)


def word(key: int, sample: int, position: int) -> int:
    """The 32 random bits of one element, in plain integers."""
    mixed = splitmix64(splitmix64(sample & M64) ^ key)
    offset, factor = mixed & M32, (mixed >> 32) | 1
    place = lowbias32(position ^ (key >> 32))
    return lowbias32(((offset ^ place) * factor) & M32)


def test_splitmix64_gives_the_published_sequence():
    state = torch.tensor([0, 0x9E3779B97F4A7C15 - 2**64, 0x9E3779B97F4A7C15 * 2 % 2**64])
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [value & M64 for value in keyed._mix64(state).tolist()] == published


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, M64),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
    st.integers(1, 50),
)
def test_words_are_those_of_a_literal_implementation(key, ids, high):
    expected = [[word(key, sample, position) for position in range(6)] for sample in ids]
    tensor = torch.tensor(ids)
    uniform, integers = keyed.uniform(key, tensor, (2, 3)), keyed.integers(key, tensor, (6,), high)
    assert uniform.flatten(1).tolist() == [[(w >> 8) / 2**24 for w in row] for row in expected]
    assert integers.tolist() == [[w * high >> 32 for w in row] for row in expected]


def test_normals_are_sums_of_two_quantiles():
    ids = torch.arange(40)
    quantiles = stats.norm.ppf((torch.arange(65536).double().numpy() + 0.5) / 65536)
    expected = [quantiles[word(KEY, i, 5) & 0xFFFF] + quantiles[word(KEY, i, 5) >> 16] for i in range(40)]
    drawn = keyed.normal(KEY, ids, (9,))[:, 5]
    torch.testing.assert_close(drawn, torch.tensor(expected).float() / 2**0.5, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("draw", [keyed.uniform, keyed.normal])
def test_values_depend_on_neither_batch_nor_order_nor_chunk(draw, monkeypatch):
    ids = torch.randperm(1000)[:200] - 100
    whole = draw(KEY, ids, (3, 8, 8))
    order = torch.randperm(200)
    assert torch.equal(draw(KEY, ids[order], (3, 8, 8)), whole[order])
    assert torch.equal(torch.cat([draw(KEY, part, (3, 8, 8)) for part in ids.split(7)]), whole)
    assert torch.equal(draw(KEY, ids, (192,)).view_as(whole), whole)
    monkeypatch.setattr(keyed, "_CACHED_ELEMENTS", 1000)
    assert torch.equal(draw(KEY, ids, (3, 8, 8)), whole)


def test_another_process_draws_the_same():
    code = (
        "import torch; from hsl.hardness import keyed; k = keyed.key(7, 'test');"
        "print(keyed.normal(k, torch.tensor([5, 3]), (4,)).tolist(), keyed.permutation(k, 9).tolist())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = keyed.normal(KEY, torch.tensor([3, 5]), (4,)).flip(0).tolist()
    assert output.split() == f"{here} {keyed.permutation(KEY, 9).tolist()}".split()


def test_keys_are_stable_and_tell_parts_apart():
    encoded = b"".join(
        len(part).to_bytes(8, "little") + part for part in (b"int:1", b"str:'noise'", b"float:0.5")
    )
    literal = hashlib.blake2b(encoded, digest_size=8).digest()
    assert keyed.key(1, "noise", 0.5) == int.from_bytes(literal, "little")
    different = [(1,), (1.0,), ("1",), ("1", ""), ("", "1"), (11,), (1, 1), ("11",), (-1,), ()]
    assert len({keyed.key(*parts) for parts in different}) == len(different)
    with pytest.raises(TypeError, match="not of list"):
        keyed.key([1])


def test_uniform_passes_chi_square_over_elements_ids_and_keys():
    values = keyed.uniform(KEY, torch.arange(2000), (100,))
    over_keys = torch.stack([keyed.uniform(keyed.key(k), torch.tensor([4]), (2,)) for k in range(3000)])
    for sample in (values.view(-1), values[:, 0], values[0], over_keys.view(-1)):
        counts = torch.histc(sample, 20, 0, 1)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    assert values.min() >= 0
    assert values.max() < 1


def test_normal_has_the_moments_and_the_distribution_of_a_normal():
    values = keyed.normal(KEY, torch.arange(5000), (200,)).view(-1).double()
    n = len(values)
    assert abs(values.mean()) < 4 / n**0.5
    assert abs(values.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((values**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert stats.kstest(values.numpy(), "norm").pvalue > 1e-4
    assert 4.4 < values.abs().max() < 6.2


def test_neighbouring_ids_positions_and_keys_are_uncorrelated():
    draws = keyed.normal(KEY, torch.arange(300), (300,))
    other = keyed.normal(KEY + 1, torch.arange(300), (300,))
    above = torch.ones(300, 300).triu(1).bool()
    pairs = {
        "next id": (draws[1:], draws[:-1]),
        "next position": (draws[:, 1:], draws[:, :-1]),
        "next key": (draws, other),
        "id and position exchanged": (draws[above], draws.T[above]),
    }
    for name, (first, second) in pairs.items():
        pair = torch.stack([first.flatten(), second.flatten()])
        assert abs(torch.corrcoef(pair)[0, 1]) < 5 / pair.shape[1] ** 0.5, name


def test_no_two_samples_share_their_noise():
    between = torch.corrcoef(keyed.normal(KEY, torch.arange(300), (300,))).fill_diagonal_(0)
    assert between.abs().max() < 6.5 / 300**0.5
    assert between.square().mean() == pytest.approx(1 / 300, rel=0.05)


def test_every_output_bit_follows_every_input_bit():
    ids = torch.arange(4096)
    base = keyed.integers(KEY, ids, (), 2**31)
    for bit in (0, 5, 20, 40, 62):
        flipped = keyed.integers(KEY, ids ^ (1 << bit), (), 2**31) ^ base
        rates = torch.stack([(flipped >> out & 1).float().mean() for out in range(31)])
        assert (rates - 0.5).abs().max() < 5 * 0.5 / 4096**0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, M64), st.integers(0, 300))
def test_permutation_is_one_and_sorts_by_hash(key, n):
    order = keyed.permutation(key, n)
    assert sorted(order.tolist()) == list(range(n))
    signed = [(h ^ 2**63) for h in (splitmix64(splitmix64(i) ^ key) for i in order.tolist())]
    assert signed == sorted(signed)


def test_permutations_of_three_are_equally_likely():
    seen = [tuple(keyed.permutation(keyed.key(k), 3).tolist()) for k in range(1200)]
    assert stats.chisquare([seen.count(order) for order in set(seen)]).pvalue > 1e-4
    assert len(set(seen)) == 6


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="high is 0"):
        keyed.integers(KEY, torch.arange(2), (), 0)
    with pytest.raises(TypeError, match=r"int64 \[B\]"):
        keyed.uniform(KEY, torch.arange(2, dtype=torch.int32))
    assert keyed.normal(KEY, torch.arange(0), (3,)).shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "bits", "signed"),
    [
        (0, 8, 0),
        (1, 8, 1),
        (127, 8, 127),
        (128, 8, -128),
        (255, 8, -1),
        (256, 8, 0),
        (0x846CA68B, 32, 0x846CA68B - 2**32),
        (2**31 - 1, 32, 2**31 - 1),
        (2**31, 32, -(2**31)),
        (2**64 - 1, 64, -1),
        (2**64 + 5, 64, 5),
    ],
)
def test_twos_complement(value, bits, signed):
    assert keyed._signed(value, bits) == signed
    assert int.from_bytes((value % 2**bits).to_bytes(bits // 8, "big"), "big", signed=True) == signed


def test_a_right_shift_fills_with_zeros():
    words = torch.tensor([-1, 1, 2**31 - 1, -(2**31)], dtype=torch.int32)
    assert keyed._shifted(words, 16).tolist() == [0xFFFF, 0, 0x7FFF, 0x8000]
    assert keyed._shifted(torch.tensor([-1, -(2**63)]), 1).tolist() == [2**63 - 1, 2**62]


def test_normals_come_from_two_tables_of_quantiles_of_half_the_variance():
    table = keyed._quantiles("cpu")
    assert len(table) == 65536
    assert table.dtype == torch.float32
    assert table.double().square().mean().item() == pytest.approx(0.5, abs=1e-6)
    torch.testing.assert_close(table, -table.flip(0), atol=1e-5, rtol=0)
    assert 2 * table[-1].item() == pytest.approx(6.12, abs=0.005)


@pytest.mark.parametrize("high", [1, 2**31])
def test_the_limits_of_whole_numbers(high):
    drawn = keyed.integers(KEY, torch.arange(50), (), high)
    assert drawn.min() >= 0
    assert drawn.max() < high
    with pytest.raises(ValueError, match="allowed is 1 to"):
        keyed.integers(KEY, torch.arange(2), (), 2**31 + 1)


@pytest.mark.parametrize("size", [60_000, 65_536, 70_000])
def test_pieces_are_of_rows_that_fit_into_the_cache(size, monkeypatch):
    """A row that is larger by itself is a piece by itself."""
    pieces = []
    mix = keyed._mix32
    monkeypatch.setattr(keyed, "_mix32", lambda words: (pieces.append(tuple(words.shape)), mix(words))[1])
    keyed.uniform(KEY, torch.arange(3), (size,))
    assert pieces == [(size,), *[(1, size)] * 3]
    pieces.clear()
    keyed.uniform(KEY, torch.arange(5), (2**15,))
    assert pieces == [(2**15,), (2, 2**15), (2, 2**15), (1, 2**15)]

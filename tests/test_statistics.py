"""Masks look random: each law is tested on fastdrop's masks and on generators known to break it.

Every statistic is a pure function of masks (packed), bits or words. It returns standard normal
deviations, one or many; `excess` alone judges them. Seeds are fixed, so a result never changes.
"""

import math
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import contract
import fastdrop as fd
from test_bit_identity import below, planes

Packed = NDArray[np.uint8]
Deviations = NDArray[np.float64]

ROOT = Path(__file__).parents[1]
# A sound generator fails one `excess(...) < 1` with this probability, however many deviations it
# judges: |z| < 4.9 for one, 6.3 for 4,096. There are 35 of these, so with new seeds this file would
# fail once in 28,000 times.
FALSE_ALARM = 1e-6
# A control has to go this many times beyond the bound: at least 19 standard deviations.
WIDE = 4.0
KEY = (0x12345678, 0x9ABCDEF0)


def excess(z: Deviations) -> float:
    """Return the largest of the deviations, in units of what none of a sound generator's reach."""
    return float(np.abs(z).max() / -NormalDist().inv_cdf(FALSE_ALARM / 2 / np.size(z)))


# ---- the generators: fastdrop, and what is wrong with it in one respect ----


def sound(
    rate: float, n: int, key: tuple[int, int] = KEY, stream: int = 0, first: int = 0
) -> Packed:
    more: Any = {"rng": fd.Key.from_words(*key), "stream": stream, "offset": first}
    return fd.bernoulli(rate, n, dtype="packed", **more)


def weak_philox(
    counter: Sequence[NDArray[np.uint64]], k0: int, k1: int, rounds: int = 3
) -> list[NDArray[np.uint64]]:
    """Return Philox4x32 stopped before every bit of the counter has met every other."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = counter
    for _ in range(rounds):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> half) ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = (p0 >> half) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def weak(
    rate: float,
    n: int,
    key: tuple[int, int] = KEY,
    stream: int = 0,
    first: int = 0,
    rounds: int = 3,
) -> Packed:
    """Draw what `sound` would with the weak Philox; n and first are multiples of 128."""
    masks = []
    for b in range(0, n // 128, 4096):
        blocks = np.arange(b, min(b + 4096, n // 128), dtype=np.uint64) + np.uint64(first // 128)
        numbers = planes(key, stream, blocks, philox=partial(weak_philox, rounds=rounds))
        masks.append(below(numbers, round(rate * 2**32)))
    return np.concatenate(masks).astype("<u4").reshape(-1).view(np.uint8)


def with_a_lane_twice(mask: Packed) -> Packed:
    """Let elements 32..63 of every block repeat its elements 0..31."""
    octets = mask.reshape(-1, 16).copy()
    octets[:, 4:8] = octets[:, :4]
    return octets.reshape(-1)


# ---- the statistics ----


def ones(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


def rate_z(masks: Packed, rates: NDArray[np.float64]) -> Deviations:
    """Return for each row of masks how far its number of events is from the rate's."""
    n = 8 * masks.shape[1]
    return (ones(masks.view(np.uint64)) - n * rates) / np.sqrt(n * rates * (1 - rates))


def chi_square_z(chi_square: float, freedom: int) -> Deviations:
    """Turn a chi-square into a normal deviation, by Wilson and Hilferty's cube root (1931)."""
    v = 2 / (9 * freedom)
    return np.array([((chi_square / freedom) ** (1 / 3) - (1 - v)) / math.sqrt(v)])


def popcount_z(mask: Packed, size: int, rate: float) -> Deviations:
    """Compare the events in each `size` elements with the binomial distribution."""
    counts = ones(mask.view(np.uint64).reshape(-1, size // 64))
    observed = np.bincount(counts, minlength=size + 1)
    k = range(size + 1)
    ways = np.array(
        [math.lgamma(size + 1) - math.lgamma(i + 1) - math.lgamma(size - i + 1) for i in k]
    )
    expected = len(counts) * np.exp(
        ways + np.multiply(k, math.log(rate)) + np.multiply(k[::-1], math.log1p(-rate))
    )
    # One bin a number of events where at least ten blocks are expected; each tail goes to the last.
    bins = np.flatnonzero(expected >= 10)
    bin_of = np.clip(k, bins[0], bins[-1]) - bins[0]
    o, e = np.bincount(bin_of, observed), np.bincount(bin_of, expected)
    return chi_square_z(float(((o - e) ** 2 / e).sum()), len(bins) - 1)


def lag_z(mask: Packed, rate: float, lags: int) -> Deviations:
    """Return the correlation of the mask with itself, moved round by 1, 2, ..., lags elements."""
    x = np.unpackbits(mask, bitorder="little") - np.float32(rate)
    spectrum = np.fft.rfft(x)
    products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, len(x))[1 : lags + 1]
    return products.astype(np.float64) / (rate * (1 - rate) * math.sqrt(len(x)))


def pair_z(columns: NDArray[np.uint8]) -> Deviations:
    """Return for every pair of columns of fair bits how often they agree."""
    signs = 2 * columns.astype(np.float32) - 1
    sums = signs.T @ signs / math.sqrt(len(signs))
    return sums[np.triu_indices(len(sums), 1)].astype(np.float64)


def agreement_z(masks: Packed, rate: float) -> Deviations:
    """Return for every pair of rows how often they agree.

    Independent ones do so with probability rate**2 + (1 - rate)**2.
    """
    n, p = 8 * masks.shape[1], rate**2 + (1 - rate) ** 2
    differ = np.array([ones(a ^ b) for a, b in combinations(masks.view(np.uint64), 2)])
    return (n - differ - n * p) / math.sqrt(n * p * (1 - p))


def repeats_z(words: NDArray[np.uint32]) -> Deviations:
    """Return how far the number of words that were there before is from that of chance."""
    expected = len(words) + 2.0**32 * math.expm1(len(words) * math.log1p(-(2.0**-32)))
    repeats = len(words) - len(np.unique(words))
    # Nearly Poisson: Anscombe's root (1948) is nearly normal, of standard deviation 1.
    return np.array([2 * math.sqrt(repeats + 3 / 8) - 2 * math.sqrt(expected + 3 / 8)])


# ---- the laws ----


@pytest.mark.parametrize("rounds", [3, 10])
def test_the_weak_generator_is_sound_but_for_its_rounds(rounds: int) -> None:
    n = 5000 * 128
    args = (n, KEY, 3 << 32 | 5, 128 * (2**32 - 7))
    assert np.array_equal(weak(0.1, *args, rounds=rounds), sound(0.1, *args)) == (rounds == 10)


def test_rates() -> None:
    """60 of them: from 2**-15 to 1 - 2**-16 and evenly between."""
    n = 1 << 22
    rates = np.array(
        [k / 31 for k in range(1, 31)]
        + [2.0**-k for k in range(1, 16)]
        + [1 - 2.0**-k for k in range(2, 17)]
    )
    z = rate_z(np.stack([sound(rate, n, stream=i) for i, rate in enumerate(rates)]), rates)
    assert z.shape == (60,)
    assert excess(z) < 1
    assert excess(chi_square_z(float((z**2).sum()), 60)) < 1
    coarse = np.round(rates * 256) / 256  # as of a generator that compares 8 bits
    z = rate_z(np.stack([sound(rate, n, stream=i) for i, rate in enumerate(coarse)]), rates)
    assert excess(z) > WIDE
    bad = np.stack([weak(rate, 1 << 20) for rate in rates[::6]])
    assert excess(rate_z(bad, rates[::6])) > WIDE


@pytest.mark.parametrize("rate", [0.1, 1 / 3, 0.5])
@pytest.mark.parametrize("size", [128, 1024, 2048])
def test_events_in_a_block_are_binomial(size: int, rate: float) -> None:
    n = 1 << 24
    mask = sound(rate, n, stream=1)
    assert excess(popcount_z(mask, size, rate)) < 1
    assert excess(popcount_z(with_a_lane_twice(mask), size, rate)) > WIDE
    assert excess(popcount_z(weak(rate, n), size, rate)) > WIDE


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_no_serial_correlation(rate: float) -> None:
    """Lags 1 to 4,096: inside a block, and between blocks up to 32 apart."""
    n = 1 << 22
    mask = sound(rate, n, stream=2)
    assert excess(lag_z(mask, rate, 4096)) < 1
    assert excess(lag_z(with_a_lane_twice(mask), rate, 4096)) > WIDE
    assert excess(lag_z(weak(rate, n), rate, 4096)) > WIDE


def test_the_bits_of_a_number_are_independent() -> None:
    """All pairs of the 32 bits of U_i, each from a round of its own.

    A mask shows U_i only through a threshold; the backends are held to these bits elsewhere.
    """
    blocks = np.arange(4096, dtype=np.uint64)

    def bits(numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
        return np.unpackbits(numbers.reshape(32, -1).view(np.uint8), axis=1).T

    numbers = planes(KEY, 3, blocks)
    assert excess(pair_z(bits(numbers))) < 1
    numbers[20] = numbers[5]
    assert excess(pair_z(bits(numbers))) > WIDE
    bad = planes(KEY, 3, blocks, philox=weak_philox)
    assert excess(pair_z(bits(bad))) > WIDE


def test_the_lanes_and_rounds_of_a_block_are_independent() -> None:
    """All pairs of the 1,024 bits that eight rounds of one block give."""
    blocks = np.arange(8192, dtype=np.uint64)

    def bits(numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
        eight = numbers[[0, 1, 2, 4, 8, 16, 30, 31]].swapaxes(0, 1).reshape(len(blocks), -1)
        return np.unpackbits(eight.view(np.uint8), axis=1)

    numbers = planes(KEY, 4, blocks)
    assert excess(pair_z(bits(numbers))) < 1
    numbers[2, :, 1] = numbers[2, :, 0]
    assert excess(pair_z(bits(numbers))) > WIDE
    bad = planes(KEY, 4, blocks, philox=weak_philox)
    assert excess(pair_z(bits(bad))) > WIDE


GRID = [(a, b) for a in range(8) for b in range(8)]
# For each kind the masks (key, stream, first element): as the program numbers them, and those that
# differ from one another in two bits at most.
NEIGHBOURS = {
    "keys": [((KEY[0] + a, KEY[1] + b), 0, 0) for a, b in GRID],
    "key bits": [((KEY[0] ^ 1 << b, KEY[1]), 0, 0) for b in range(32)]
    + [((KEY[0], KEY[1] ^ 1 << b), 0, 0) for b in range(32)],
    "seeds": [((key.k0, key.k1), key.base, 0) for key in map(fd.Key, range(64))],
    "sites and samples": [(KEY, site << 32 | sample, 0) for site, sample in GRID],
    "stream bits": [(KEY, 1 << b, 0) for b in range(64)],
    "place bits": [(KEY, 0, 1 << b) for b in range(17, 63)],
}


@pytest.mark.parametrize("rate", [0.1, 1 / 3, 0.5])
@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_neighbours_have_nothing_in_common(kind: str, rate: float) -> None:
    n = 1 << 17
    masks = np.stack([sound(rate, n, *which) for which in NEIGHBOURS[kind]])
    assert excess(agreement_z(masks, rate)) < 1
    bad = np.stack([weak(rate, n, *which) for which in NEIGHBOURS[kind]])
    assert excess(agreement_z(bad, rate)) > WIDE


def test_a_forgotten_site_is_noticed() -> None:
    """A stream of 32 bits would give the same mask at every site."""
    masks = np.stack(
        [sound(0.1, 1 << 17, stream=s % 2**32) for _, s, _ in NEIGHBOURS["sites and samples"]]
    )
    assert excess(agreement_z(masks, 0.1)) > WIDE


def words_of(keys: list[fd.Key], streams: list[int]) -> NDArray[np.uint32]:
    """Draw 4,096 fair bits from each key and stream."""
    drawn = [
        fd.bernoulli(0.5, 4096, rng=key, stream=s, dtype="packed")
        for key, s in zip(keys, streams, strict=True)
    ]
    return np.concatenate(drawn).view(np.uint32)


def test_words_repeat_as_often_as_birthdays() -> None:
    """A million words of 8,192 seeds, or streams: 128 repeats expected."""
    many = range(8192)
    seeds, streams = [fd.Key(seed) for seed in many], [s % 64 << 32 | s // 64 for s in many]
    assert excess(repeats_z(words_of(seeds, [0] * 8192))) < 1
    assert excess(repeats_z(words_of([fd.Key(0)] * 8192, streams))) < 1
    # A generator that keeps 12 bits of a seed.
    few = [seeds[i] for i in np.random.default_rng(0).integers(0, 4096, 8192)]
    assert excess(repeats_z(words_of(few, [0] * 8192))) > WIDE


# ---- the stream that batteries of tests read ----


needs_benchmarks = pytest.mark.skipif(
    not (ROOT / "benchmarks").exists(), reason="the benchmarks are not here"
)


def streamed(*arguments: str) -> bytes:
    command = [sys.executable, "-m", "benchmarks.stream", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert not done.stderr
    return done.stdout


@needs_benchmarks
def test_streamed_numbers_are_the_contracts() -> None:
    """Also where the second piece of 2,048 blocks begins."""
    numbers = np.frombuffer(
        streamed("uniforms", "--seed=5", "--stream=6", "--bytes=1049100"), "<u4"
    )
    assert len(numbers) == 2049 * 128 + 3
    key = fd.Key(5)
    for block in (0, 1, 2047, 2048):
        expected = contract.uniforms((key.k0, key.k1), key.stream(6), block)
        assert numbers[128 * block : 128 * block + 128].tolist() == expected


@needs_benchmarks
@pytest.mark.parametrize(("option", "rate"), [([], 0.5), (["--rate=0.1"], 0.1)])
def test_streamed_masks_are_fastdrops(option: list[str], rate: float) -> None:
    n = (1 << 20) + 999
    got = np.frombuffer(
        streamed("masks", "--seed=5", "--stream=6", f"--bytes={n}", *option), np.uint8
    )
    assert np.array_equal(got, fd.bernoulli(rate, 8 * n, rng=5, stream=6, dtype="packed"))


@needs_benchmarks
@pytest.mark.parametrize("what", ["uniforms", "masks"])
def test_a_reader_may_leave(what: str) -> None:
    command = [sys.executable, "-m", "benchmarks.stream", what]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode == 0

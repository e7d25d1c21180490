"""Every backend's masks bit for bit, millions of them, against a comparison that never stops early.

The numbers U_i are held as 32 bit planes: plane r of a block is Philox's output of round r as it
is, four words of 32 elements. A comparison then works on whole words and needs no unpacking.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import contract
import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend
from fastdrop._fallback import _philox

Words = NDArray[np.uint32]

KEY = (0x12345678, 0x9ABCDEF0)
STREAM = 0xFEDCBA9876543210
RATES = [0.1, 1 / 3, 0.5, 0.7, 1 - 2.0**-32, 2.0**-32]
# The first elements of this key and stream whose numbers are the least and the greatest.
RAREST = [(9_445_502_717, 0), (4_217_934_219, 0xFFFFFFFF)]
# A chunk is no multiple of anything, so that every next one begins elsewhere in a block, in a byte
# and in what a vector kernel takes at a time; together the chunks are a whole without a gap.
CHUNK = 1_000_003
# An odd place in the first block; one from which the block's number runs over 32 bits within the
# second chunk; the last chunks of the index range.
STARTS = {
    "first": lambda chunks: 77,
    "block 2**32": lambda chunks: (1 << 39) - CHUNK * 3 // 2,
    "last": lambda chunks: (1 << 63) - CHUNK * chunks,
}


def planes(
    key: tuple[int, int],
    stream: int,
    blocks: NDArray[np.uint64],
    philox: Callable[..., Sequence[NDArray[np.uint64]]] = _philox,
) -> Words:
    """Return bit 31 - r of every U_i as words of shape (r, blocks, 4), lowest element lowest."""
    low, high = blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32)
    s = [np.full_like(blocks, word) for word in (stream & 0xFFFFFFFF, stream >> 32)]
    numbers = np.empty((32, len(blocks), 4), np.uint32)
    for r in range(32):
        for word, output in enumerate(philox((low, high | np.uint64(r << 24), *s), *key)):
            numbers[r, :, word] = output
    return numbers


def below(numbers: Words, threshold: int) -> Words:
    """Return U_i < T as words of shape (blocks, 4): the borrow that U_i - T leaves.

    From the lowest bit up, where the backends go down from the highest: nothing to stop early for.
    """
    borrow = np.zeros_like(numbers[0])
    for r in reversed(range(32)):
        if threshold >> (31 - r) & 1:
            borrow |= ~numbers[r]
        else:
            borrow &= ~numbers[r]
    return borrow


def packed_from(words: Words, skip: int, n: int) -> NDArray[np.uint8]:
    """Return n bits from bit `skip` on as bytes, lowest first, with nothing after the last."""
    octets = np.append(words.astype("<u4").reshape(-1).view(np.uint8), np.uint8(0))
    octets = octets[skip // 8 :][: -(-n // 8) + 1]
    octets = octets[:-1] >> skip % 8 | octets[1:] << 8 - skip % 8 if skip % 8 else octets[:-1]
    if n % 8:
        octets[-1] &= (1 << n % 8) - 1
    return octets


def compare(start: int, chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare CHUNK * chunks bits of every rate, in memory that does not grow with their number."""
    key = fd.Key.from_words(*KEY)
    for first in range(start, start + CHUNK * chunks, CHUNK):
        block, skip = divmod(first, 128)
        blocks = np.arange(-(-(skip + CHUNK) // 128), dtype=np.uint64) + np.uint64(block)
        numbers = planes(KEY, STREAM, blocks)
        for rate in RATES:
            expected = packed_from(below(numbers, round(rate * 2**32)), skip, CHUNK)
            for tier, backend in BACKENDS.items():
                monkeypatch.setattr(_backend, "active", backend)
                more: Any = {"rng": key, "stream": STREAM, "offset": first}
                got = fd.bernoulli(rate, CHUNK, dtype="packed", **more)
                assert np.array_equal(got, expected), (tier, rate, first)
                if first == start:
                    got = fd.bernoulli(rate, CHUNK, **more)
                    got = np.packbits(got, bitorder="little")
                    assert np.array_equal(got, expected), (tier, rate, first, "bool")


@pytest.mark.parametrize("block", [0, 2**32 - 1, 2**56 - 2])
def test_the_comparison_is_the_contracts(block: int) -> None:
    """Planes, borrow and shift against plain Python integers."""
    uniforms = contract.events(KEY, STREAM, block, 2)
    numbers = planes(KEY, STREAM, np.arange(block, block + 2, dtype=np.uint64))
    for rate in RATES:
        threshold = round(rate * 2**32)
        drop = uniforms < np.uint64(threshold)
        for skip, n in [(0, 256), (0, 129), (1, 255), (8, 7), (77, 100), (131, 125)]:
            got = packed_from(below(numbers, threshold), skip, n)
            expected = np.packbits(drop[skip : skip + n], bitorder="little")
            assert np.array_equal(got, expected), (rate, skip, n)
    # At the two outermost rates a mask hardly ever shows a number's last bits, so all of them:
    for r in range(32):
        bit = np.packbits((uniforms >> np.uint64(31 - r) & np.uint64(1)) != 0, bitorder="little")
        assert np.array_equal(packed_from(numbers[r], 0, 256), bit), r


def both(rate: float, n: int, first: int) -> list[NDArray[np.bool_]]:
    """Draw the mask packed and unpacked: kernels of their own."""
    more: Any = {"rng": fd.Key.from_words(*KEY), "stream": STREAM, "offset": first}
    packed = fd.bernoulli(rate, n, dtype="packed", **more)
    return [
        np.unpackbits(packed, count=n, bitorder="little").view(bool),
        fd.bernoulli(rate, n, **more),
    ]


@pytest.mark.parametrize(("element", "uniform"), RAREST)
def test_the_rarest_events(backend: str, element: int, uniform: int) -> None:
    """One number in 2**32 is an event at the rate 2**-32, and one is none at 1 - 2**-32.

    Millions of bits all but never hold one, so here is one of each, 32 rounds deep.
    """
    assert contract.uniforms(KEY, STREAM, element // 128)[element % 128] == uniform
    there = np.zeros(2049, bool)
    there[1000] = True
    for mask in both(2.0**-32, 2049, element - 1000):
        assert np.array_equal(mask, there & (uniform == 0))
    for mask in both(1 - 2.0**-32, 2049, element - 1000):
        assert np.array_equal(mask, ~there | (uniform == 0))


@pytest.fixture(scope="module")
def numbers() -> NDArray[np.uint64]:
    return contract.events(KEY, STREAM, 2**32 - 20, 40)


def test_thresholds_beside_a_number(backend: str, numbers: NDArray[np.uint64]) -> None:
    """At T = U_i element i is no event, at T = U_i + 1 it is: its last bit decides.

    With any other threshold hardly one element in 2**28 looks at the last four bits of either.
    """
    for i in range(5, len(numbers), 67):
        for threshold in (int(numbers[i]), int(numbers[i]) + 1):
            expected = numbers < np.uint64(threshold)
            assert expected[i] == (threshold > numbers[i])
            for mask in both(threshold / 2**32, len(numbers), 128 * (2**32 - 20)):
                assert np.array_equal(mask, expected), (i, threshold)


@pytest.mark.parametrize("start", STARTS)
def test_ten_million_bits_agree(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every rate, on every backend, from every start."""
    compare(STARTS[start](10), 10, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("start", STARTS)
def test_a_thousand_million_bits_agree(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every rate, on every backend: a third from each start."""
    compare(STARTS[start](334), 334, monkeypatch)

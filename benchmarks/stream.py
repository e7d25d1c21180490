"""Write the random numbers behind the masks to standard output, for a battery of tests to judge.

The 32-bit numbers U_i that are compared with a rate, as little-endian words:

    python -m benchmarks.stream uniforms | RNG_test stdin32          # PractRand
    python -m benchmarks.stream uniforms | dieharder -a -g 200       # reads native words

Masks, eight elements a byte, the first in the least significant bit; at the rate 0.5 they must look
as random as the numbers do:

    python -m benchmarks.stream masks | RNG_test stdin32
    python -m benchmarks.stream masks --rate 0.1 --bytes 100000000 | ent -b

TestU01 has no command of its own: a generator that returns fread(stdin)'s next word is enough.
"""

import argparse
import os
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop._fallback import _philox

Octets = NDArray[np.uint8]

BLOCKS = 2048  # at a time, so that NumPy's intermediate arrays stay in cache
MASK_BYTES = 1 << 20
SQUARES = [(16, 0x0000FFFF), (8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)]


def uniforms(key: fd.Key, stream: int) -> Iterator[Octets]:
    """Yield U_0, U_1, ... as little-endian words: all 32 rounds of block after block.

    Computed in NumPy from the contract, and so not by the code that draws masks.
    """
    s = key.stream(stream)
    rest = [np.full(BLOCKS, word, np.uint64) for word in (s & 0xFFFFFFFF, s >> 32)]
    rows = np.empty((32, BLOCKS, 4), np.uint32)
    for first in range(0, 1 << 56, BLOCKS):
        blocks = np.arange(first, first + BLOCKS, dtype=np.uint64)
        low, high = blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32)
        for r in range(32):
            counter = (low, high | np.uint64(r << 24), *rest)
            for word, output in enumerate(_philox(counter, key.k0, key.k1)):
                rows[31 - r, :, word] = output
        # Bit j of row k is bit k of number j: transpose, exchanging ever smaller squares of bits.
        for j, mask in SQUARES:
            upper, lower = rows.reshape(-1, 2, j, 4 * BLOCKS).swapaxes(0, 1)
            exchanged = (upper >> np.uint32(j) ^ lower) & np.uint32(mask)
            upper ^= exchanged << np.uint32(j)
            lower ^= exchanged
        yield np.moveaxis(rows, 0, 2).astype("<u4", order="C").reshape(-1).view(np.uint8)


def masks(key: fd.Key, stream: int, rate: float) -> Iterator[Octets]:
    """Yield the packed mask of one rate, piece after piece."""
    n = 8 * MASK_BYTES
    for first in range(0, 1 << 63, n):
        yield fd.bernoulli(rate, n, rng=key, stream=stream, offset=first, dtype="packed")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stream",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["uniforms", "masks"])
    parser.add_argument("--rate", type=float, default=0.5, help="of the masks; 0.5 if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the Key; 0 if not given")
    parser.add_argument("--stream", type=int, default=0, help="0 if not given")
    parser.add_argument("--bytes", type=int, help="how many; without end if not given")
    options = parser.parse_args()
    if options.bytes is not None and options.bytes < 0:
        parser.error("--bytes: expected an integer >= 0")
    key = fd.Key(options.seed)
    if options.what == "uniforms":
        pieces = uniforms(key, options.stream)
    else:
        pieces = masks(key, options.stream, options.rate)
    left = options.bytes
    try:
        for piece in pieces:
            sys.stdout.buffer.write(piece[:left].data)
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    break
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read has seen enough. Python would flush once more at its exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()

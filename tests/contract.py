"""The mask contract in plain Python integers: every round of every block, nothing clever.

Written from the contract alone, so that a mistake in a backend is not a mistake here.
"""

import numpy as np
from numpy.typing import NDArray


def philox4x32_10(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, int, int, int]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % (1 << 32), (k1 + 0xBB67AE85) % (1 << 32)
    return c0, c1, c2, c3


def uniforms(key: tuple[int, int], stream: int, block: int) -> list[int]:
    """Return U_i for the 128 elements of a block."""
    numbers = [0] * 128
    for r in range(32):
        counter = (
            block % (1 << 32),
            block >> 32 | r << 24,
            stream % (1 << 32),
            stream >> 32,
        )
        words = philox4x32_10(counter, key)
        for lane in range(128):
            word, bit = divmod(lane, 32)
            numbers[lane] = numbers[lane] << 1 | words[word] >> bit & 1
    return numbers


def events(key: tuple[int, int], stream: int, first_block: int, blocks: int) -> NDArray[np.uint64]:
    """Return U_i of consecutive blocks, to be compared with any threshold."""
    numbers = [u for b in range(blocks) for u in uniforms(key, stream, first_block + b)]
    return np.array(numbers, np.uint64)

"""Run every mask kernel of a tier with pages that must not be touched on both sides.

    python guard_pages.py TIER

A process of its own: a read or write too far ends it with a signal. Sanitizers do not see masked
vector loads, the processor does.
"""

import ctypes
import mmap
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend

PAGE = mmap.PAGESIZE
CANARY = 0xA5
LENGTHS, OFFSETS = range(321), range(64)
WHOLE = 512
Array = NDArray[Any]

WORDS = (0x12345678, 0x9ABCDEF0, 7)
THRESHOLD = round(0.3 * 2**32)
INPUT = np.random.default_rng(0).normal(size=2 * WHOLE)
MASK = np.random.default_rng(1).integers(0, 256, WHOLE // 8).astype(np.uint8)
COLUMNS = 7  # that share a bit, in one of the layouts


class Guarded:
    """A page to use, between two that may be neither read nor written."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 3 * PAGE)
        self.bytes = np.frombuffer(self._map, np.uint8)[PAGE : 2 * PAGE]
        address = self.bytes.ctypes.data
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for guard in (address - PAGE, address + PAGE):
            if protect(guard, PAGE, 0):  # PROT_NONE
                raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, array: Array, at_end: bool) -> Array:
        """Put a copy at one end of the page."""
        self.bytes[:] = CANARY
        place = slice(PAGE - array.nbytes, PAGE) if at_end else slice(0, array.nbytes)
        self.bytes[place] = array.view(np.uint8)
        return self.bytes[place].view(array.dtype)


def packed(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.bernoulli_packed(out, n, *WORDS, first, THRESHOLD)


def bernoulli(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.bernoulli(out, *WORDS, first, THRESHOLD)


def dropout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.dropout(out, *inputs, 1.5, *WORDS, first, THRESHOLD)


def alpha_dropout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.alpha_dropout(out, *inputs, 1.5, 0.25, -1.75, *WORDS, first, THRESHOLD)


def zoneout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.zoneout(out, *inputs, *WORDS, first, THRESHOLD)


def gaussian_noise(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.gaussian_noise(out, *inputs, 1.5, *WORDS, first)


def gaussian_dropout(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    backend.gaussian_dropout(out, *inputs, 1.5, *WORDS, first)


def apply_bits(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    x, bits = inputs
    backend.apply_mask(out, x, 1.5, bits, (WHOLE,), (1,), first)


def apply_shared_bits(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    x, bits = inputs
    backend.apply_mask(out, x, 1.5, bits, (-(-WHOLE // COLUMNS), COLUMNS), (1, 0), first)


def apply_alpha(backend: Any, out: Array, inputs: list[Array], first: int, n: int) -> None:
    x, bits = inputs
    backend.apply_alpha(out, x, 1.5, 0.25, -1.75, bits, (WHOLE,), (1,), first)


def of(dtype: str, first: int, n: int) -> list[Array]:
    """Inputs for a range of elements; 16 bits that are not of NumPy's float16 mean bfloat16."""
    values = INPUT[first : first + n]
    if dtype == "uint16":
        return [(values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)]
    return [values.astype(dtype)]


def two_of(dtype: str, first: int, n: int) -> list[Array]:
    return of(dtype, first, n) + of(dtype, first + WHOLE, n)


def with_bits(dtype: str, first: int, n: int) -> list[Array]:
    return [*of(dtype, first, n), MASK[: -(-(first + n) // 8)]]


def with_shared_bits(dtype: str, first: int, n: int) -> list[Array]:
    rows = -(-(first + n) // COLUMNS)
    return [*of(dtype, first, n), MASK[: -(-rows // 8)]]


def nothing(dtype: str, first: int, n: int) -> list[Array]:
    return []


Case = tuple[Callable[..., None], Callable[[str, int, int], list[Array]], str]
FLOATS = ("uint16", "float16", "float32", "float64")
CASES: list[Case] = [
    (packed, nothing, "uint8"),
    *((bernoulli, nothing, dtype) for dtype in ("uint8", "float32", "float64")),
    *((dropout, of, dtype) for dtype in FLOATS),
    *((alpha_dropout, of, dtype) for dtype in ("float32", "float64")),
    *((zoneout, two_of, dtype) for dtype in ("uint16", "float32", "float64")),
    *((gaussian_noise, of, dtype) for dtype in ("float32", "float64")),
    *((gaussian_dropout, of, dtype) for dtype in ("float32", "float64")),
    *((apply_alpha, with_bits, dtype) for dtype in ("float32", "float64")),
    *((apply_bits, with_bits, dtype) for dtype in FLOATS),
    *((apply_shared_bits, with_shared_bits, dtype) for dtype in FLOATS),
]


BLOCKS = 100  # more than the widest tier's kernels take at once, three times


def check_whole_blocks(backend: Any) -> int:
    """Packed masks that begin a block are written where they belong, and by all of a kernel."""
    page, calls = Guarded(), 0
    for rate in (0.5, 0.25, 0.3):
        whole = np.empty(16 * BLOCKS, np.uint8)
        backend.bernoulli_packed(whole, 128 * BLOCKS, *WORDS, 0, round(rate * 2**32))
        for n in (128 * blocks + more for blocks in range(BLOCKS) for more in (0, 8, 120)):
            for at_end in (False, True):
                out = page.hold(np.zeros(n // 8, np.uint8), at_end)
                backend.bernoulli_packed(out, n, *WORDS, 0, round(rate * 2**32))
                assert out.tobytes() == whole[: n // 8].tobytes(), (rate, n, at_end)
                out[:] = CANARY
                assert (page.bytes == CANARY).all(), (rate, n, at_end, "wrote beside its array")
                calls += 1
    return calls


def check(backend: Any) -> int:
    """Compare every part of a whole with the whole, which holds what is right elsewhere."""
    pages = [Guarded(), Guarded(), Guarded()]
    calls = 0
    for run, inputs, dtype in CASES:
        whole = np.empty(WHOLE, dtype)
        run(backend, whole, inputs(dtype, 0, WHOLE), 0, WHOLE)
        if run is packed:
            bits = np.unpackbits(whole[: WHOLE // 8], bitorder="little")
        for n in LENGTHS:
            for first in OFFSETS:
                expected = whole[first : first + n]
                if run is packed:
                    expected = np.packbits(bits[first : first + n], bitorder="little")
                given = inputs(dtype, first, n)
                for at_end in (False, True):
                    where = (run.__name__, dtype, n, first, at_end)
                    held = [p.hold(a, at_end) for p, a in zip(pages[1:], given, strict=False)]
                    out = pages[0].hold(np.full_like(expected, 1), at_end)
                    run(backend, out, held, first, n)
                    assert out.tobytes() == expected.tobytes(), where
                    out.view(np.uint8)[:] = CANARY
                    assert (pages[0].bytes == CANARY).all(), (*where, "wrote beside its array")
                    calls += 1
    return calls


if __name__ == "__main__":
    (tier,) = sys.argv[1:]
    chosen = {backend.tier: backend for backend in _backend.available}[tier]
    print(check_whole_blocks(chosen) + check(chosen), "calls")

"""Run every mask kernel of a tier with pages that must not be touched on both sides.

    python guard_pages.py TIER

A process of its own: a read or write too far ends it with a signal. Sanitizers do not see masked
vector loads, the processor does.
"""

import ctypes
import mmap
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastdrop import _backend

PAGE = mmap.PAGESIZE
CANARY = 0xA5
LENGTHS, OFFSETS = range(321), range(64)


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

    def place(self, nbytes: int, at_end: bool) -> slice:
        return slice(PAGE - nbytes, PAGE) if at_end else slice(0, nbytes)


def check(backend: Any) -> int:
    words = (0x12345678, 0x9ABCDEF0, 7)
    threshold = round(0.3 * 2**32)
    whole = np.empty(512, np.uint8)
    backend.bernoulli(whole, *words, 0, threshold)
    values = np.random.default_rng(0).normal(size=512)
    out, source = Guarded(), Guarded()
    calls = 0
    for at_end, (name, n, offset) in ((e, c) for e in (False, True) for c in cases()):
        event = whole[offset : offset + n] != 0
        if name == "packed":
            expected: np.ndarray = np.packbits(event, bitorder="little")
        elif name.startswith("drop"):
            dtype = np.dtype(name[4:])
            x_place = source.place(n * dtype.itemsize, at_end)
            x = source.bytes[x_place].view(dtype)
            x[:] = values[:n]
            expected = np.where(event, dtype.type(0), x * dtype.type(1.5))
        else:
            expected = event.astype(name)
        place = out.place(expected.nbytes, at_end)
        out.bytes[:] = CANARY
        target = out.bytes[place].view(expected.dtype)
        if name == "packed":
            backend.bernoulli_packed(target, n, *words, offset, threshold)
        elif name.startswith("drop"):
            backend.dropout(target, x, 1.5, *words, offset, threshold)
        else:
            backend.bernoulli(target, *words, offset, threshold)
        assert np.array_equal(target, expected), (name, n, offset, at_end)
        out.bytes[place] = CANARY
        assert (out.bytes == CANARY).all(), (name, n, offset, at_end, "wrote beside its array")
        calls += 1
    return calls


def cases() -> Iterator[tuple[str, int, int]]:
    for name in ("packed", "uint8", "float32", "float64", "dropfloat32", "dropfloat64"):
        for n in LENGTHS:
            for offset in OFFSETS:
                yield name, n, offset


if __name__ == "__main__":
    (tier,) = sys.argv[1:]
    print(check({backend.tier: backend for backend in _backend.available}[tier]), "calls")

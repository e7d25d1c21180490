"""The backend in NumPy: the readable specification of what the C kernels compute.

Names, signatures and argument order are those of the native backend. Arrays arrive checked,
C-contiguous, aligned and of one floating-point type a call.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


# ---- Philox4x32-10 (Salmon et al., SC 2011) ----


def _philox(counter: Sequence[Array], k0: int, k1: int) -> list[Array]:
    """Ten rounds over arrays of 32-bit words held in uint64."""
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c0
        p1 = np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> _32) ^ c1 ^ np.uint64(k0), p1 & _LOW
        c2, c3 = (p0 >> _32) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


# ---- masks ----

# Blocks compared at a time. Bounds the memory in use, and keeps it in cache.
_TILE_BLOCKS = 2048


def _event_words(
    blocks: NDArray[np.uint64], k0: int, k1: int, stream: int, threshold: int
) -> NDArray[np.uint32]:
    """For each block four words: bit set where the element's number is below the threshold.

    Round r gives bit 31 - r of every number, so numbers and threshold are compared from the top.
    """
    event = np.zeros((len(blocks), 4), np.uint32)
    equal = np.full((len(blocks), 4), 0xFFFFFFFF, np.uint32)
    for r in range(32):
        # Nothing is below a threshold whose remaining bits are all zero.
        if not threshold & (0xFFFFFFFF >> r) or not equal.any():
            break
        u = np.stack(
            _philox(
                (
                    blocks & _LOW,
                    (blocks >> _32) | np.uint64(r << 24),
                    np.full_like(blocks, stream & 0xFFFFFFFF),
                    np.full_like(blocks, stream >> 32),
                ),
                k0,
                k1,
            ),
            axis=1,
        ).astype(np.uint32)
        if threshold >> (31 - r) & 1:
            event |= equal & ~u
            equal &= u
        else:
            equal &= ~u
    return event


def _events(n: int, k0: int, k1: int, stream: int, first: int, threshold: int) -> NDArray[np.bool_]:
    """drop_i = U_i < T for the elements first, ..., first + n - 1."""
    if threshold == 0 or threshold >> 32:
        return np.full(n, threshold != 0)
    first_block, skip = divmod(first, 128)
    count = -(-(skip + n) // 128)
    bits = np.empty((count, 128), bool)
    for b in range(0, count, _TILE_BLOCKS):
        blocks = np.arange(b, min(b + _TILE_BLOCKS, count), dtype=np.uint64)
        words = _event_words(blocks + np.uint64(first_block), k0, k1, stream, threshold)
        octets = words.astype("<u4").view(np.uint8)
        bits[b : b + len(blocks)] = np.unpackbits(octets, axis=1, bitorder="little")
    return bits.reshape(-1)[skip : skip + n]


# ---- recurrent layers ----


def _add_product(z: Array, v: Array, w: Array, mask: Array | None) -> None:
    """Z (N, G, H) += (v (N, K) * mask (N or 1, G or 1, K)) w (K, G, H), adding k = 0, 1, ..."""
    v = v[:, np.newaxis, :]
    if mask is not None:
        v = np.where(mask == 0, v.dtype.type(0), v * mask)  # selected, so a dropped NaN is gone
    for k in range(w.shape[0]):
        z += v[:, :, k, np.newaxis] * w[k]


class Numpy:
    """Every kernel in NumPy."""

    name = "numpy"
    tier = "numpy"

    def philox(self, counter: Sequence[int], k0: int, k1: int) -> tuple[int, int, int, int]:
        w0, w1, w2, w3 = _philox([np.array([c], np.uint64) for c in counter], k0, k1)
        return int(w0[0]), int(w1[0]), int(w2[0]), int(w3[0])

    def bernoulli_packed(
        self, out: Array, n: int, k0: int, k1: int, stream: int, first: int, threshold: int
    ) -> None:
        out[:] = np.packbits(_events(n, k0, k1, stream, first, threshold), bitorder="little")

    def bernoulli(
        self, out: Array, k0: int, k1: int, stream: int, first: int, threshold: int
    ) -> None:
        out[:] = _events(len(out), k0, k1, stream, first, threshold)

    def dropout(
        self,
        out: Array,
        x: Array,
        scale: float,
        k0: int,
        k1: int,
        stream: int,
        first: int,
        threshold: int,
    ) -> None:
        drop = _events(len(x), k0, k1, stream, first, threshold)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            np.multiply(x, x.dtype.type(scale), out=out)
        out[drop] = 0

    def activate(self, v: Array, activation: str) -> None:
        """In place: v = activation(v); tanh and sigmoid are computed in double."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            match activation:
                case "linear":
                    pass
                case "tanh":
                    v[:] = np.tanh(v.astype(np.float64))
                case "sigmoid":
                    v[:] = 1 / (1 + np.exp(-v.astype(np.float64)))
                case "relu":
                    np.maximum(v, 0, out=v)
                case "hard_sigmoid":
                    np.clip(v / 6 + v.dtype.type(0.5), 0, 1, out=v)
                case "hard_sigmoid_legacy":
                    np.clip(v * v.dtype.type(0.2) + v.dtype.type(0.5), 0, 1, out=v)
                case _:
                    raise AssertionError(activation)

    def dense(self, out: Array, x: Array, kernel: Array, bias: Array | None) -> None:
        out[:] = 0 if bias is None else bias
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for k in range(kernel.shape[0]):
                out += x[:, k, np.newaxis] * kernel[k]

    def lstm(
        self,
        y_last: Array,
        h: Array,
        c: Array,
        y: Array | None,
        x: Array,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None,
        input_mask: Array | None,
        recurrent_mask: Array | None,
        step_mask: Array | None,
        first: int,
        last: int,
        activation: str,
        recurrent_activation: str,
        backwards: bool,
        zero_masked_steps: bool,
    ) -> None:
        rows, steps, features = x.shape
        units = h.shape[1]
        kernel = kernel.reshape(features, 4, units)
        recurrent_kernel = recurrent_kernel.reshape(units, 4, units)
        for s in range(first, last):
            t = steps - 1 - s if backwards else s
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                z = np.zeros((rows, 4, units), x.dtype)
                if bias is not None:
                    z[:] = bias.reshape(4, units)
                _add_product(z, x[:, t], kernel, input_mask)
                _add_product(z, h, recurrent_kernel, recurrent_mask)
                # One contiguous array a gate: NumPy's results for strided ones may differ.
                i, f, g, o = (np.ascontiguousarray(z[:, gate]) for gate in range(4))
                for gate in (i, f, o):
                    self.activate(gate, recurrent_activation)
                self.activate(g, activation)
                c_new = f * c + i * g
                h_new = c_new.copy()
                self.activate(h_new, activation)
                h_new = o * h_new
            if step_mask is None:
                h[:], c[:], y_last[:] = h_new, c_new, h_new
            else:
                valid = step_mask[:, t, np.newaxis] != 0
                np.copyto(h, h_new, where=valid)
                np.copyto(c, c_new, where=valid)
                np.copyto(y_last, h_new, where=valid)
                if zero_masked_steps:
                    np.copyto(y_last, 0, where=~valid)
            if y is not None:
                y[:, s] = y_last

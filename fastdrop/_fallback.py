"""The backend in NumPy: the readable specification of what the C kernels compute.

Names, signatures and argument order are those of the native backend. Arrays arrive checked,
C-contiguous, aligned and of one floating-point type a call; bfloat16 arrives as the uint16 of its
bits, for NumPy itself does not know it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
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

Stream = tuple[int, int, int, int]  # k0, k1, stream, threshold

# Blocks compared at a time. Bounds the memory in use, and keeps it in cache.
_TILE_BLOCKS = 2048
# Rounds drawn at a time: most blocks need no more, and calls of NumPy cost more than some numbers.
_ROUNDS = 8


def _round_words(blocks: NDArray[np.uint64], rounds: range, s: Stream) -> NDArray[np.uint32]:
    """Four words of each block in each of the rounds: (rounds, blocks, 4)."""
    k0, k1, stream, _ = s
    shape = (len(rounds), len(blocks))
    counter = (
        np.broadcast_to(blocks & _LOW, shape),
        (blocks >> _32) | np.array(rounds, np.uint64)[:, np.newaxis] << np.uint64(24),
        np.full(shape, stream & 0xFFFFFFFF, np.uint64),
        np.full(shape, stream >> 32, np.uint64),
    )
    return np.stack(_philox(counter, k0, k1), axis=2).astype(np.uint32)


def _event_words(blocks: NDArray[np.uint64], s: Stream) -> NDArray[np.uint32]:
    """For each block four words: bit set where the element's number is below the threshold.

    Round r gives bit 31 - r of every number, so numbers and threshold are compared from the top.
    """
    threshold = s[3]
    event = np.zeros((len(blocks), 4), np.uint32)
    equal = np.full((len(blocks), 4), 0xFFFFFFFF, np.uint32)
    # Nothing is below a threshold whose remaining bits are all zero.
    last = 33 - (threshold & -threshold).bit_length()
    for begin in range(0, last, _ROUNDS):
        rounds = range(begin, min(begin + _ROUNDS, last))
        for r, u in zip(rounds, _round_words(blocks, rounds, s), strict=True):
            if threshold >> (31 - r) & 1:
                event |= equal & ~u
                equal &= u
            else:
                equal &= ~u
        if not equal.any():
            break
    return event


def _events(s: Stream, first: int, n: int) -> NDArray[np.bool_]:
    """drop_i = U_i < T for the elements first, ..., first + n - 1."""
    threshold = s[3]
    if threshold == 0 or threshold >> 32:
        return np.full(n, threshold != 0)
    first_block, skip = divmod(first, 128)
    count = -(-(skip + n) // 128)
    bits = np.empty((count, 128), bool)
    for b in range(0, count, _TILE_BLOCKS):
        blocks = np.arange(b, min(b + _TILE_BLOCKS, count), dtype=np.uint64)
        words = _event_words(blocks + np.uint64(first_block), s)
        octets = words.astype("<u4").view(np.uint8)
        bits[b : b + len(blocks)] = np.unpackbits(octets, axis=1, bitorder="little")
    return bits.reshape(-1)[skip : skip + n]


# Elements computed at a time where every one takes several temporary numbers of 8 bytes.
_TILE_ELEMENTS = 1 << 15


def _tiles(n: int) -> Iterator[slice]:
    for start in range(0, n, _TILE_ELEMENTS):
        yield slice(start, min(start + _TILE_ELEMENTS, n))


def _scaled(out: Array, x: Array, scale: float) -> None:
    """Out = x * scale, rounded once; the 16-bit types by a product in float32, exact there."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if x.dtype != np.uint16:
            np.multiply(x, x.dtype.type(scale), out=out)
            return
        product = (x.astype(np.uint32) << np.uint32(16)).view(np.float32) * np.float32(scale)
    bits = product.view(np.uint32)
    half_to_even = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    # A NaN stays one: its payload came from 16 bits too, so below them nothing can carry.
    out[:] = (bits + half_to_even) >> np.uint32(16)


def _affine(out: Array, x: Array, scale: float, shift: float) -> None:
    """Out = scale * x + shift, rounded twice."""
    _scaled(out, x, scale)
    with np.errstate(invalid="ignore", over="ignore"):
        out += x.dtype.type(shift)


def _bits_of(
    bits: Array, lengths: Sequence[int], strides: Sequence[int], first: int, last: int
) -> NDArray[np.bool_]:
    """Whether the bits are set of the elements first, ..., last - 1 of an array."""
    element = np.arange(first, last)
    number = np.zeros_like(element)
    for length, stride in zip(reversed(lengths), reversed(strides), strict=True):
        element, index = np.divmod(element, length)
        number += index * stride
    found: NDArray[np.bool_] = bits[number >> 3] >> (number & 7).astype(np.uint8) & 1 != 0
    return found


# ---- normals: Wichura's algorithm AS 241 (PPND16), Applied Statistics 37 (1988) ----

# Numerator and denominator by falling powers, for p near 1/2, in the tail, and far out.
_CENTRAL = (
    (
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ),
)
_NEAR = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ),
)
_FAR = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ),
)
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fefa3800p-1"), float.fromhex("0x1.ef35793c76730p-45")


def _polynomial(coefficients: Sequence[float], r: Array) -> Array:
    """Horner's rule, a multiplication and an addition at a time."""
    value: Array = np.full_like(r, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * r + coefficient
    return value


def _log(p: Array) -> Array:
    """Logarithm in +, -, * and / alone: the C library's would not be the same everywhere."""
    fraction, exponent = np.frexp(p)
    f, e = fraction * 2, exponent - 1.0
    above = f > 1.4142135623730951
    f, e = np.where(above, f * 0.5, f), np.where(above, e + 1, e)
    s = (f - 1) / (f + 1)
    t = s * s
    d = s + s
    series = _polynomial([1 / k for k in range(21, 1, -2)], t)
    log: Array = e * _LN2_HIGH + ((d + d * (t * series)) + e * _LN2_LOW)
    return log


def _quantiles(v: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The standard normal of each 64-bit number: a sign and 52 bits of probability."""
    p = ((v >> np.uint64(11) & np.uint64(2**52 - 1)).astype(np.float64) + 0.5) * 2.0**-53
    q = 0.5 - p
    z = np.empty_like(p)
    central = q <= 0.425
    y = q[central]
    r = 0.180625 - y * y
    z[central] = (y * _polynomial(_CENTRAL[0], r)) / _polynomial(_CENTRAL[1], r)
    r = np.sqrt(-_log(p[~central]))
    near, far = np.minimum(r, 5) - 1.6, np.maximum(r, 5) - 5
    z[~central] = np.where(
        r <= 5,
        _polynomial(_NEAR[0], near) / _polynomial(_NEAR[1], near),
        _polynomial(_FAR[0], far) / _polynomial(_FAR[1], far),
    )
    np.negative(z, out=z, where=v >> np.uint64(63) != 0)
    return z


def _normals(s: Stream, first: int, n: int) -> NDArray[np.float64]:
    """The normals of the elements first, ..., first + n - 1; two from each Philox call."""
    k0, k1, stream, _ = s
    skip = first % 2
    pairs = np.arange(-(-(skip + n) // 2), dtype=np.uint64) + np.uint64(first // 2)
    w = _philox(
        (
            pairs & _LOW,
            (pairs >> _32) | np.uint64(64 << 24),
            np.full_like(pairs, stream & 0xFFFFFFFF),
            np.full_like(pairs, stream >> 32),
        ),
        k0,
        k1,
    )
    numbers = np.stack([w[0] | w[1] << _32, w[2] | w[3] << _32], axis=1)
    return _quantiles(numbers.reshape(-1)[skip : skip + n])


# ---- recurrent layers ----

_GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}


def to_bfloat16(v: Array) -> Array:
    """Numbers of float32 rounded to bfloat16, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(v).view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + (bits >> 16 & 1))  # modulo 2**32, of NaN alone
    rounded = np.where(np.isnan(v), bits | np.uint32(0x400000), rounded)
    found: Array = (rounded & np.uint32(0xFFFF0000)).view(np.float32)
    return found


@dataclass(frozen=True, eq=False, slots=True)
class _Packed:
    """A layer's weights: D features, G gates, H units."""

    cell: str
    kernel: Array  # (D, G, H)
    recurrent_kernel: Array  # (H, G, H)
    bias: Array  # (G, H), where every sum starts
    # (H,), where the sum starts that a GRU's reset gate multiplies. None: the gate multiplies h.
    recurrent_bias: Array | None
    activation: str | tuple[Any, ...]
    recurrent_activation: str | tuple[Any, ...]
    bfloat16: bool
    # (1, G or 1, D) and (1, G or 1, H), where all rows share them.
    input_mask: Array | None = None
    recurrent_mask: Array | None = None

    @property
    def width(self) -> int:
        return self.bias.size

    def operand(self, v: Array) -> Array:
        """What is multiplied by the weights."""
        return to_bfloat16(v) if self.bfloat16 else v


def _masked(v: Array, mask: Array | None) -> Array:
    """V (N, K) times mask (N or 1, G or 1, K), as (N, G or 1, K)."""
    v = v[:, np.newaxis, :]
    if mask is None:
        return v
    return np.where(mask == 0, v.dtype.type(0), v * mask)  # selected, so a dropped NaN is gone


def _add_product(z: Array, v: Array, w: Array) -> None:
    """Z (N, G, H) += v (N, G or 1, K) times w (K, G, H), adding k = 0, 1, ... in order."""
    for k in range(len(w)):
        z += v[:, :, k, np.newaxis] * w[k]


def _update(v: Array, new: Array, valid: Array, zoneout: Array | None, step: int) -> None:
    """V = new, but where the step is passed over or zoneout keeps the previous value."""
    np.copyto(v, new, where=valid if zoneout is None else valid & (zoneout[:, step] == 0))


# ---- activations, in double: Keras's, which it names and defines in keras.activations ----

_erfc = np.frompyfunc(math.erfc, 1, 1)

# The logarithm of what no number is as small as: from there on below zero, products of e^v are
# what they tend to, where infinity times zero would not be.
_LOWEST = -800.0


def _exponential_linear(v: Array, alpha: float) -> Array:
    return np.where(v < 0, alpha * np.expm1(np.minimum(v, 0)), v)


def _bent_relu(v: Array, slope: float, most: float, threshold: float) -> Array:
    below = slope * (v - threshold) if slope else np.where(np.isnan(v), v, 0)
    return np.where(v > threshold, np.minimum(v, most), below)


def _silu(v: Array) -> Array:
    v = np.maximum(v, _LOWEST)
    value: Array = v / (1 + np.exp(-v))
    return value


def _gelu_tanh(v: Array) -> Array:
    v = np.maximum(v, -40.0)
    value: Array = v / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))
    return value


def _gelu(v: Array) -> Array:
    v = np.maximum(v, -40.0)
    value: Array = v / 2 * _erfc(-v / np.sqrt(2)).astype(np.float64)
    return value


def _mish(v: Array) -> Array:
    v = np.maximum(v, _LOWEST)
    return v * np.tanh(np.logaddexp(v, 0))


def _softsign(v: Array) -> Array:
    v = np.clip(v, -(2.0**60), 2.0**60)  # +-1 there already, as at infinity
    value: Array = v / (1 + np.abs(v))
    return value


def _tanh_shrink(v: Array) -> Array:
    """V - tanh(v), for small v as (v cosh v - sinh v) / cosh v: the series has no differences."""
    few = np.clip(v, -2, 2)
    series = sum(2 * k / math.factorial(2 * k + 1) * few ** (2 * k) for k in range(1, 17))
    return np.where(np.abs(v) < 2, v * series / np.cosh(few), v - np.tanh(v))


def _squareplus(v: Array, b: float) -> Array:
    """(V + sqrt(v^2 + b)) / 2, below zero written without a difference."""
    mean = np.hypot(v, np.sqrt(b)) / 2 + np.abs(v) / 2
    return np.where(v < 0, b / 4 / mean, mean)


# Rows of softmax that are summed in order.
_SHORT_ROW = 32


def _unless_nan(v: Array, value: float) -> Array:
    return np.where(np.isnan(v), v, value)


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "relu": _bent_relu,
    "relu6": lambda v: np.clip(v, 0, 6) + 0,  # -0 is +0
    "leaky_relu": lambda v, slope: np.where(v < 0, slope * v, v),
    "elu": _exponential_linear,
    "selu": lambda v: 1.0507009873554805 * _exponential_linear(v, 1.6732632423543772),
    "celu": lambda v, alpha: np.where(v < 0, alpha * np.expm1(np.minimum(v, 0) / alpha), v),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "mish": _mish,
    "softplus": lambda v: np.logaddexp(v, 0),
    "log_sigmoid": lambda v: -np.logaddexp(-v, 0),
    "softsign": _softsign,
    "exponential": np.exp,
    "hard_silu": lambda v: np.maximum(v, -3) * (np.clip(v + 3, 0, 6) / 6),
    "hard_tanh": lambda v: np.clip(v, -1, 1),
    "tanh_shrink": _tanh_shrink,
    "soft_shrink": lambda v, threshold: v - np.clip(v, -threshold, threshold),
    "hard_shrink": lambda v, threshold: np.where(np.abs(v) > threshold, v, _unless_nan(v, 0)),
    "threshold": lambda v, threshold, value: np.where(v > threshold, v, _unless_nan(v, value)),
    "sparse_plus": lambda v: np.where(v < 1, (np.maximum(v, -1) + 1) ** 2 / 4, v),
    "sparse_sigmoid": lambda v: np.clip(0.5 * (v + 1), 0, 1),
    "squareplus": _squareplus,
}


def added_in_turn(total: Array, values: Array) -> Array:
    """Return a sum to which values (samples, width) are added one after another."""
    if values.shape[1] < _NARROW:
        return np.array(np.add.accumulate(np.concatenate([total[np.newaxis], values]), axis=0)[-1])
    for value in values:
        total += value
    return total


# Below this width a sum of many samples takes longer to call for than to compute.
_NARROW = 256


class Numpy:
    """Every kernel in NumPy."""

    name = "numpy"
    tier = "numpy"
    bfloat16 = "float32"
    adds_in_turn = True

    def philox(self, counter: Sequence[int], k0: int, k1: int) -> tuple[int, int, int, int]:
        w0, w1, w2, w3 = _philox([np.array([c], np.uint64) for c in counter], k0, k1)
        return int(w0[0]), int(w1[0]), int(w2[0]), int(w3[0])

    def plain_bernoulli(
        self,
        p: object,
        shape: object,
        key: object,
        stream: object,
        offset: object,
        dtype: object,
        out: object,
        threads: object,
    ) -> None:
        """Leave all calls to what checks them in Python."""

    def plain_dropout(
        self,
        x: object,
        rate: object,
        key: object,
        stream: object,
        offset: object,
        out: object,
        threads: object,
    ) -> None:
        """Leave these, too."""

    def dropout_at(
        self, out: int, x: int, n: int, dtype: str, scale: float, seed: list[int], threshold: int
    ) -> bool:
        return False  # it takes arrays alone

    def bernoulli_packed(self, out: Array, stream: Stream, first: int, n: int) -> None:
        out[:] = np.packbits(_events(stream, first, n), bitorder="little")

    def bernoulli(self, out: Array, stream: Stream, first: int) -> None:
        out[:] = _events(stream, first, len(out))

    def dropout(self, out: Array, x: Array, scale: float, stream: Stream, first: int) -> None:
        drop = _events(stream, first, len(x))
        _scaled(out, x, scale)
        out[drop] = 0

    def dropout_streams(
        self, out: Array, x: Array, scale: float, stream: Stream, first: int
    ) -> None:
        k0, k1, number, threshold = stream
        for j, (row, given) in enumerate(zip(out, np.broadcast_to(x, out.shape), strict=True)):
            self.dropout(
                row, given, scale, (k0, k1, number + j & 0xFFFFFFFFFFFFFFFF, threshold), first
            )

    def apply_mask(
        self,
        out: Array,
        x: Array,
        scale: float,
        bits: Array,
        lengths: Sequence[int],
        strides: Sequence[int],
        first: int,
    ) -> None:
        for tile in _tiles(len(x)):
            drop = _bits_of(bits, lengths, strides, first + tile.start, first + tile.stop)
            _scaled(out[tile], x[tile], scale)
            out[tile][drop] = 0

    def apply_alpha(
        self,
        out: Array,
        x: Array,
        scale: float,
        shift: float,
        fill: float,
        bits: Array,
        lengths: Sequence[int],
        strides: Sequence[int],
        first: int,
    ) -> None:
        for tile in _tiles(len(x)):
            drop = _bits_of(bits, lengths, strides, first + tile.start, first + tile.stop)
            _affine(out[tile], x[tile], scale, shift)
            out[tile][drop] = fill

    def zoneout(self, out: Array, previous: Array, new: Array, stream: Stream, first: int) -> None:
        event = _events(stream, first, len(out))
        out[:] = np.where(event, previous, new)

    def alpha_dropout(
        self,
        out: Array,
        x: Array,
        scale: float,
        shift: float,
        fill: float,
        stream: Stream,
        first: int,
    ) -> None:
        drop = _events(stream, first, len(x))
        _affine(out, x, scale, shift)
        out[drop] = fill

    def gaussian_noise(
        self, out: Array, x: Array, stddev: float, stream: Stream, first: int
    ) -> None:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for tile in _tiles(len(x)):
                z = _normals(stream, first + tile.start, tile.stop - tile.start)
                out[tile] = x[tile].astype(np.float64) + stddev * z

    def gaussian_dropout(
        self, out: Array, x: Array, stddev: float, stream: Stream, first: int
    ) -> None:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for tile in _tiles(len(x)):
                z = _normals(stream, first + tile.start, tile.stop - tile.start)
                out[tile] = x[tile].astype(np.float64) * (1 + stddev * z)

    def activate(self, v: Array, activation: str | tuple[Any, ...]) -> None:
        """In place: v = activation(v)."""
        name, *parameters = (activation,) if isinstance(activation, str) else activation
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            match name:
                case "linear":
                    pass
                case "relu" if not parameters:
                    np.maximum(v, 0, out=v)
                case "hard_sigmoid":
                    np.clip(v / 6 + v.dtype.type(0.5), 0, 1, out=v)
                case "hard_sigmoid_legacy":
                    np.clip(v * v.dtype.type(0.2) + v.dtype.type(0.5), 0, 1, out=v)
                case _:
                    own = [float(v.dtype.type(parameter)) for parameter in parameters]
                    v[:] = _FUNCTIONS[name](v.astype(np.float64), *own)

    def softmax(self, v: Array, logarithm: bool) -> None:
        """In place, along the rows (n, width), each summed in an order that does not depend on n.

        NumPy's own order depends on it for short rows: these are summed in order.
        """
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            v -= v.max(axis=1, keepdims=True)
            e = np.exp(v)
            if v.shape[1] > _SHORT_ROW:
                total = e.sum(axis=1, keepdims=True)
            else:
                total = reduce(np.add, e.T)[:, np.newaxis]
            v[:] = v - np.log(total) if logarithm else e / total

    def moments(self, total: Array, squares: Array, origin: Array, values: Array) -> None:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            away = np.subtract(values, origin, dtype=np.float64)
            total[:] = added_in_turn(total, away)
            squares[:] = added_in_turn(squares, away * away)

    def dense(self, out: Array, x: Array, kernel: Array, bias: Array | None) -> None:
        out[:] = 0 if bias is None else bias
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for k in range(kernel.shape[0]):
                out += x[:, k, np.newaxis] * kernel[k]

    def matmul(self, out: Array, a: Array, b: Array) -> None:
        for product, left, right in zip(out, a, b, strict=True):
            self.dense(product, left, right, None)

    def masks(self, out: Array, scale: float, stream: Stream, first: int) -> None:
        k0, k1, number, threshold = stream
        for j, row in enumerate(out):
            drop = _events((k0, k1, (number + j) % 2**64, threshold), first, len(row))
            row[:] = np.where(drop, 0, scale)

    def pack(
        self,
        cell: str,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array,
        reset_after: bool,
        activation: str | tuple[Any, ...],
        recurrent_activation: str | tuple[Any, ...],
        bfloat16: bool,
    ) -> _Packed:
        gates, units = _GATES[cell], len(recurrent_kernel)
        recurrent_bias = None
        if cell == "gru" and reset_after:
            recurrent_bias = bias[1, 2 * units :].copy()
            bias = np.concatenate(
                [bias[0, : 2 * units] + bias[1, : 2 * units], bias[0, 2 * units :]]
            )
        return _Packed(
            cell,
            kernel.reshape(len(kernel), gates, units).copy(),
            recurrent_kernel.reshape(units, gates, units).copy(),
            bias.reshape(gates, units).copy(),
            recurrent_bias,
            activation,
            recurrent_activation,
            bfloat16,
        )

    def share(
        self, packed: _Packed, input_mask: Array | None, recurrent_mask: Array | None
    ) -> _Packed:
        return replace(
            packed,
            input_mask=None if input_mask is None else input_mask[np.newaxis],
            recurrent_mask=None if recurrent_mask is None else recurrent_mask[np.newaxis],
        )

    def rows_together(self, packed: Any) -> int:
        return sys.maxsize  # all

    def distinct(self, tokens: Array, vocabulary: int) -> tuple[Array, Array, Array]:
        rows, size = tokens.shape
        count = rows * vocabulary
        if count <= 32 * tokens.size or not tokens.size:  # a table is faster than sorting
            keys = tokens + np.arange(0, count, vocabulary)[:, np.newaxis]
            seen = np.zeros(count, bool)
            seen[keys] = True
            found = np.flatnonzero(seen)
            place = np.empty(count, np.int64)
            place[found] = np.arange(len(found))
            of, words = np.divmod(found, vocabulary)
            return words, of, np.take(place, keys)
        # A token and where it stands as one number, for numbers are sorted faster than places are.
        both = tokens * size + np.arange(size)
        both.sort(axis=1)
        words = both // size
        new = np.ones((rows, size), bool)
        np.not_equal(words[:, 1:], words[:, :-1], out=new[:, 1:])
        place = both - words * size + np.arange(0, rows * size, size)[:, np.newaxis]
        index = np.empty(rows * size, np.int64)
        index[place] = new.cumsum().reshape(rows, size) - 1
        of = np.repeat(np.arange(rows), np.count_nonzero(new, axis=1))
        return words[new], of, index.reshape(tokens.shape)

    def project(
        self,
        out: Array,
        packed: _Packed,
        table: Array,
        index: Array | None,
        factors: Array | None,
        factor_rows: Array | None,
        input_mask: Array | None,
        mask_rows: Array | None,
    ) -> None:
        x, mask = table if index is None else table[index], packed.input_mask
        if input_mask is not None:
            mask = input_mask[:1] if mask_rows is None else input_mask[mask_rows]
        z = out.reshape(len(out), *packed.bias.shape)
        z[:] = packed.bias
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if factors is not None:
                factors = factors[:1] if factor_rows is None else factors[factor_rows]
                x = _masked(x, factors[:, np.newaxis])[:, 0]
            _add_product(z, packed.operand(_masked(x, mask)), packed.kernel)

    plain_rnn = None  # steps take far longer than all around them

    def rnn(self, call: Any) -> None:
        packed, h, c, x, index = call.packed, call.h, call.c, call.x, call.index
        input_mask, recurrent_mask = call.input_mask, call.recurrent_mask
        inputs: Any = index if x is None else x
        steps = inputs.shape[1]
        rows = np.arange(len(h)) if input_mask is not None and len(input_mask) > 1 else None
        mask = packed.recurrent_mask if recurrent_mask is None else recurrent_mask

        def gate(z: Array, name: str | tuple[Any, ...]) -> Array:
            """The activation of z (N, H), in an array of its own."""
            z = z.copy()  # contiguous: NumPy's results for others may differ
            if name not in ("softmax", "log_softmax"):
                self.activate(z, name)
            else:
                self.softmax(z, name == "log_softmax")
            return z

        def candidate(z: Array) -> Array:
            g = gate(z, packed.activation)
            if call.candidate_mask is not None:
                g = _masked(g, call.candidate_mask[:, np.newaxis])[:, 0]
            return g

        def lstm(z: Array) -> tuple[Array, Array | None]:
            _add_product(z, packed.operand(_masked(h, mask)), packed.recurrent_kernel)
            i, f, o = (gate(z[:, k], packed.recurrent_activation) for k in (0, 1, 3))
            c_new = f * c + i * candidate(z[:, 2])
            return o * gate(c_new, packed.activation), c_new

        def gru(z: Array) -> tuple[Array, None]:
            R = packed.recurrent_kernel
            v = np.broadcast_to(_masked(h, mask), z.shape)
            _add_product(z[:, :2], packed.operand(v[:, :2]), R[:, :2])
            update, reset = (gate(z[:, k], packed.recurrent_activation) for k in (0, 1))
            if packed.recurrent_bias is None:
                inner = reset[:, np.newaxis] * v[:, 2:]
                _add_product(z[:, 2:], packed.operand(inner), R[:, 2:])
            else:
                inner = np.tile(packed.recurrent_bias, (len(h), 1, 1))
                _add_product(inner, packed.operand(v[:, 2:]), R[:, 2:])
                z[:, 2] += reset * inner[:, 0]
            return update * h + (1 - update) * candidate(z[:, 2]), None

        def simple_rnn(z: Array) -> tuple[Array, None]:
            _add_product(z, packed.operand(_masked(h, mask)), packed.recurrent_kernel)
            return gate(z[:, 0], packed.activation), None

        step = {"lstm": lstm, "gru": gru, "simple_rnn": simple_rnn}[packed.cell]
        for s in range(call.first, call.last):
            t = steps - 1 - s if call.backwards else s
            z = np.empty((len(h), packed.width), h.dtype)
            if call.projected is not None:
                z[:] = call.projected[inputs[:, t]]
            else:
                self.project(z, packed, inputs[:, t], None, None, None, input_mask, rows)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                h_new, c_new = step(z.reshape(len(h), *packed.bias.shape))
            valid = np.full((len(h), 1), True)
            if call.step_mask is not None:
                valid = call.step_mask[:, t, np.newaxis] != 0
            _update(h, h_new, valid, call.zoneout_h, s - call.first)
            if c is not None and c_new is not None:
                _update(c, c_new, valid, call.zoneout_c, s - call.first)
            np.copyto(call.y_last, h, where=valid)
            if call.zero_masked_steps:
                np.copyto(call.y_last, 0, where=~valid)
            if call.y is not None:
                call.y[:, s] = call.y_last

    def team(self, call: Any, threads: int) -> None:
        """None, for a step takes many calls of NumPy, each of which would be waited for."""

    def hold(self, call: Any) -> _Held:
        return _Held(self, call)


class _Held:
    """A call of one step that is made again and again."""

    def __init__(self, backend: Numpy, call: Any) -> None:
        self._backend = backend
        self._call = replace(call, h=call.h.copy(), c=None if call.c is None else call.c.copy())

    def step(self, x: Array, out: Array, zoneout_h: Array | None, zoneout_c: Array | None) -> None:
        call = self._call
        call.x, call.y_last = x[:, np.newaxis], out
        call.zoneout_h = None if zoneout_h is None else zoneout_h[:, np.newaxis]
        call.zoneout_c = None if zoneout_c is None else zoneout_c[:, np.newaxis]
        self._backend.rnn(call)

    def state(self, h: Array, c: Array | None) -> None:
        h[:] = self._call.h
        if c is not None:
            c[:] = self._call.c

    def set_state(self, h: Array, c: Array | None) -> None:
        self._call.h[:] = h
        if c is not None:
            self._call.c[:] = c

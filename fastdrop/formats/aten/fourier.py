"""Discrete Fourier transforms along an axis of known length, and complex numbers in two parts.

A transform is a product with cosines and sines, which for the lengths of sequences costs less than
the layers around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fastdrop.formats._networks import Networks
from fastdrop.formats._values import Array, Spread, Tensor, UnsupportedError, Value, counted
from fastdrop.formats.aten import axes
from fastdrop.formats.aten._rows import ROWS, Arguments, Row, row


@dataclass(frozen=True)
class Complex:
    """Complex numbers: their real and their imaginary parts, of one shape."""

    real: Value
    imag: Value

    @property
    def ndim(self) -> int:
        return self.real.ndim

    @property
    def shape(self) -> Any:
        return self.real.shape


def _parts(value: Any) -> tuple[Any, Any]:
    """Return the two parts of a number; None for an imaginary part that it does not have."""
    if isinstance(value, Complex):
        return value.real, value.imag
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        return value.real.astype(np.float32), value.imag.astype(np.float32)
    if isinstance(value, complex):
        return value.real, value.imag
    return value, None


def is_complex(value: object) -> bool:
    """Whether a value, or one in a list, is of complex numbers."""
    if isinstance(value, (list, tuple)):
        return any(map(is_complex, value))
    return _parts(value)[1] is not None


# ---- transforms ----


def _waves(length: int, count: int) -> tuple[Array, Array]:
    """Return cosines and sines (length, count) of so many frequencies, exact to the last place."""
    steps = np.arange(length)[:, np.newaxis] * np.arange(count) % length
    angles = 2 * np.pi / length * steps
    return np.cos(angles), np.sin(angles)


def _scale(norm: str | None, length: int, *, inverse: bool) -> float:
    """Return what a transform is multiplied by."""
    if norm == "ortho":
        return float(length**-0.5)
    undone = norm == "forward"
    if norm not in (None, "backward", "forward"):
        raise UnsupportedError(f"norm {norm!r} of a Fourier transform")
    return 1 / length if undone != inverse else 1.0


def _fitted(b: Networks, value: Value, axis: int, length: int | None) -> tuple[Value, int]:
    """Return numbers with so many places along an axis, zeros behind, and how many there are."""
    own = value.shape[axis]
    if not isinstance(own, int):
        raise UnsupportedError(f"a Fourier transform of {own} places")
    if length is None or length == own:
        return value, own
    if length < own:
        return b.slice(value, axis, 0, length), length
    widths = [(0, length - own if i == axis else 0) for i in range(value.ndim)]
    return b.pad(value, widths, 0.0), length


def _along(b: Networks, value: Value, axis: int, matrix: Array) -> Value:
    """Multiply what is along an axis by a matrix."""
    last = [i for i in range(value.ndim) if i != axis] + [axis]
    found = b.matmul(b.permute(value, last), np.ascontiguousarray(matrix, np.float32))
    return b.permute(found, [last.index(i) for i in range(value.ndim)])


def _forward(b: Networks, a: Arguments, *, half: bool = False, inverse: bool = False) -> Complex:
    real, imag = _parts(a.values["self"])
    axis = counted(a.dim, real.ndim)
    real, length = _fitted(b, real, axis, a.n)
    cosines, sines = _waves(length, length // 2 + 1 if half else length)
    scale = _scale(a.norm, length, inverse=inverse)
    sines = sines if inverse else -sines
    found = [_along(b, real, axis, scale * wave) for wave in (cosines, sines)]
    if imag is not None:
        imag, _ = _fitted(b, imag, axis, a.n)
        more = [_along(b, imag, axis, scale * wave) for wave in (-sines, cosines)]
        found = [b.elementwise("add", *pair) for pair in zip(found, more, strict=True)]
    return Complex(*found)


def _to_real(b: Networks, a: Arguments) -> Value:
    """Return the real numbers of which these are the first half of the frequencies."""
    real, imag = _parts(a.values["self"])
    axis = counted(a.dim, real.ndim)
    own = real.shape[axis]
    if not isinstance(own, int):
        raise UnsupportedError(f"a Fourier transform of {own} places")
    length = 2 * (own - 1) if a.n is None else a.n
    count = length // 2 + 1
    cosines, sines = _waves(length, count)
    # All frequencies but the first, and the last of an even length, stand for two.
    twice = np.where((np.arange(count) % length == 0) | (2 * np.arange(count) == length), 1, 2)
    scale = _scale(a.norm, length, inverse=True) * twice
    found = _along(b, _fitted(b, real, axis, count)[0], axis, (cosines * scale).T)
    if imag is None:
        return found
    more = _along(b, _fitted(b, imag, axis, count)[0], axis, (sines * scale).T)
    return b.elementwise("subtract", found, more)


row("fft_fft")(_forward)
row("fft_ifft")(partial(_forward, inverse=True))
row("fft_rfft")(partial(_forward, half=True))
row("fft_irfft")(_to_real)


# ---- complex numbers ----


@row("real")
def _real(b: Networks, a: Arguments) -> Any:
    return _parts(a.first())[0]


@row("imag")
def _imag(b: Networks, a: Arguments) -> Any:
    return _parts(a.first())[1]


@row("view_as_real")
def _as_real(b: Networks, a: Arguments) -> Any:
    real, imag = _parts(a.first())
    return b.stack([real, imag], real.ndim)


@row("view_as_complex")
def _as_complex(b: Networks, a: Arguments) -> Any:
    return Complex(b.select(a.first(), -1, 0), b.select(a.first(), -1, 1))


@row("complex")
def _joined(b: Networks, a: Arguments) -> Any:
    return Complex(a.real, a.imag)


@row("polar")
def _polar(b: Networks, a: Arguments) -> Any:
    size, angle = a.values["abs"], a.angle
    parts = (b.elementwise(function, angle) for function in ("cos", "sin"))
    return Complex(*(b.elementwise("multiply", size, part) for part in parts))


@row("angle")
def _angle(b: Networks, a: Arguments) -> Any:
    real, imag = _parts(a.first())
    return b.elementwise("arctan2", 0.0 if imag is None else imag, real)


@row("conj", "_conj", "conj_physical", "_conj_physical", "resolve_conj")
def _conjugate(b: Networks, a: Arguments) -> Any:
    real, imag = _parts(a.first())
    return real if imag is None else Complex(real, b.elementwise("negative", imag))


def _divided(compute: Row, b: Networks, a: Arguments) -> Any:
    """Divide by a number, or multiply by the conjugate of one and divide by its square."""
    one, other = a.values["self"], a.other
    real, imag = _parts(other)
    if imag is not None:
        size = b.elementwise("add", b.elementwise("square", real), b.elementwise("square", imag))
        turned = Complex(real, b.elementwise("negative", imag))
        one = _product(ROWS["mul"], b, Arguments({"self": one, "other": turned}))
        other = size
    return Complex(*(compute(b, Arguments({"self": part, "other": other})) for part in _parts(one)))


def _absolute(compute: Row, b: Networks, a: Arguments) -> Any:
    real, imag = (b.elementwise("square", part) for part in _parts(a.first()))
    return b.elementwise("sqrt", b.elementwise("add", real, imag))


def _product(compute: Row, b: Networks, a: Arguments) -> Any:
    """Compute what is linear in each of two operands, of which some are complex."""
    names = [*a.values][:2]
    listed = "tensors" in a.values
    given = a.tensors if listed else [a.values[name] for name in names]
    if len(given) != 2:
        raise UnsupportedError("several complex numbers multiplied")

    def times(left: Any, right: Any) -> Value:
        pair = {"tensors": [left, right]} if listed else dict(zip(names, (left, right)))  # noqa: B905
        found: Value = compute(b, replace(a, values={**a.values, **pair}))
        return found

    (real, imag), (other, more) = map(_parts, given)
    first = times(real, other)
    if imag is None or more is None:
        second = times(real, more) if imag is None else times(imag, other)
        return Complex(first, second)
    return Complex(
        b.elementwise("subtract", first, times(imag, more)),
        b.elementwise("add", times(real, more), times(imag, other)),
    )


def _sum(compute: Row, b: Networks, a: Arguments) -> Any:
    """Add or subtract: numbers without an imaginary part have 0 there."""
    pairs = [_parts(a.values[name]) for name in ("self", "other")]
    imaginary = [_zeros(b, real) if imag is None else imag for real, imag in pairs]
    found = [
        compute(b, replace(a, values={**a.values, "self": one, "other": two}))
        for one, two in ([real for real, _ in pairs], imaginary)
    ]
    return Complex(*found)


def _zeros(b: Networks, value: Any) -> Any:
    """Return zeros in the place of numbers."""
    if isinstance(value, (Tensor, Spread)):
        return b.elementwise("zeros", value)
    return np.zeros_like(value) if isinstance(value, np.ndarray) else 0.0


def _each_part(compute: Row, b: Networks, a: Arguments) -> Any:
    """Compute what does the same to real and to imaginary parts."""

    def part(value: Any, number: int) -> Any:
        if isinstance(value, list):
            return [part(item, number) for item in value]
        if not is_complex(value):
            return _zeros(b, value) if number and isinstance(value, (Tensor, Spread)) else value
        return _parts(value)[number]

    found = [
        compute(b, replace(a, values={n: part(v, number) for n, v in a.values.items()}))
        for number in (0, 1)
    ]
    if isinstance(found[0], tuple):
        return tuple(Complex(*pair) for pair in zip(*found, strict=True))
    return Complex(*found)


# What operators do to complex numbers whose rows know real ones alone.
_OTHERWISE: dict[str, Callable[[Row, Networks, Arguments], Any]] = {
    "abs": _absolute,
    "div": _divided,
    **dict.fromkeys(("mul", "matmul", "mm", "bmm", "einsum"), _product),
    **dict.fromkeys(("add", "sub", "rsub"), _sum),
    **dict.fromkeys(("neg", "mean", "sum", "cumsum", "index_select", "index"), _each_part),
}
_OWN = [row for name, row in ROWS.items() if name.startswith("fft_") or row.__module__ == __name__]


def of_complex(base: str, row: Row, compute: Row, b: Networks, a: Arguments) -> Any:
    """Return what an operator makes of complex numbers."""
    if row in _OWN:
        return row(b, a)
    otherwise = _OTHERWISE.get(base)
    if otherwise is None and row.__module__ == axes.__name__:
        otherwise = _each_part
    if otherwise is None:
        raise UnsupportedError(f"{base} of complex numbers")
    return otherwise(compute, b, a)

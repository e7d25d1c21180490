"""What is made of nothing but sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._lengths import BATCH, Length, divided, product
from fastdrop.formats._networks import Networks
from fastdrop.formats._values import (
    Order,
    RowNumbers,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
)
from fastdrop.formats.aten._rows import Arguments, Row, is_open, row

Array = NDArray[Any]


@dataclass(frozen=True)
class Offsets:
    """Where each row begins if all are laid out one after another: 0, step, 2 * step and so on."""

    step: Any


def filled(b: Networks, size: Sequence[Length], number: Any) -> Any:
    """Return one number everywhere, of lengths some of which may be open, or that of the batch."""
    if is_open(number):
        return b.counts(np.asarray(number, object)).expanded(b, size, b.rows)
    if sum(n == b.rows for n in size) == 1:  # of several such lengths none says which it is
        size = [BATCH if n == b.rows else n for n in size]
    rows = any(divided(n, BATCH) is not None for n in size)
    if any(map(is_open, size)) and not rows:
        single = b.some_tensor(Spread(np.full((1,) * len(size), number), 0))
        return Steps(b.broadcast(single, size))
    return b.expand(np.asarray(number), size) if size else np.asarray(number)


def _filled(value: float | None) -> Row:
    def make(b: Networks, a: Arguments) -> Any:
        return filled(b, a.values.get("size", ()), a.fill_value if value is None else value)

    return make


@row("resize")
def _resize(b: Networks, a: Arguments) -> Any:
    """Make room in what is empty."""
    if 0 not in a.first().shape:
        raise UnsupportedError("numbers that are laid out anew, more or fewer of them")
    return filled(b, a.size, 0.0)


for _name, _number in {
    "zeros": 0.0,
    "empty.memory_format": 0.0,
    "new_zeros": 0.0,
    "new_empty": 0.0,
    "ones": 1.0,
    "new_ones": 1.0,
    "full": None,
    "new_full": None,
}.items():
    row(_name)(_filled(_number))


@row("full_like")
def _full_like(b: Networks, a: Arguments) -> Any:
    return _fill(b, Arguments({"self": a.first(), "value": a.fill_value}))


@row("empty_like")
def _empty_like(b: Networks, a: Arguments) -> Any:
    if isinstance(a.first(), Order):
        return a.first()
    return b.elementwise("zeros", a.first())


@row("fill", "zero")
def _fill(b: Networks, a: Arguments) -> Any:
    value = a.values.get("value", 0.0)
    return b.elementwise("multiply", b.elementwise("ones", a.first()), value)


@row("arange", "arange.start", "arange.start_step")
def _arange(b: Networks, a: Arguments) -> Any:
    start, step = a.values.get("start", 0), a.values.get("step", 1)
    if (start, step) == (0, 1) and a.end in (BATCH, b.rows):
        return RowNumbers()
    if all(isinstance(n, (int, float)) for n in (start, a.end, step)):
        return np.arange(start, a.end, step)
    if start == 0 and a.end == BATCH * step:
        return Offsets(step)
    if not all(isinstance(n, int) or is_open(n) for n in (start, a.end, step)):
        raise UnsupportedError("numbers up to one that is computed of lengths or of the input")
    if step == 1 and isinstance(start, int):
        found: Value = b.positions(a.end - start)
        return Steps.of(found if start == 0 else b.elementwise("add", found, float(start)))
    if step == -1 and isinstance(a.end, int):
        found = b.slice(b.positions(start - a.end), 1, None, None, -1)
        return Steps.of(found if a.end == -1 else b.elementwise("add", found, a.end + 1.0))
    raise UnsupportedError(f"numbers from {start} to {a.end} by {step}")


@row("linspace")
def _linspace(b: Networks, a: Arguments) -> Any:
    return np.linspace(a.start, a.end, a.steps, dtype=np.float32)


@row("triu")
def _triu(b: Networks, a: Arguments) -> Any:
    return _triangle(b, np.triu, a)


@row("tril")
def _tril(b: Networks, a: Arguments) -> Any:
    return _triangle(b, np.tril, a)


def _triangle(b: Networks, function: Callable[..., Array], a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps):
        return value.triangle(b, a.diagonal, upper=function is np.triu)
    if not isinstance(value, (Tensor, Spread)):
        return function(value, a.diagonal)
    shape = value.shape[-2:]
    if value.at >= value.ndim - 2 or not all(isinstance(n, int) for n in shape):
        raise UnsupportedError("a triangle of an open length")
    return b.elementwise("where", function(np.ones(shape, np.float32), a.diagonal), value, 0.0)


@row("eye", "eye.m")
def _eye(b: Networks, a: Arguments) -> Any:
    lengths = a.n, a.values.get("m", a.n)
    if is_open(a.n) and lengths[0] == lengths[1]:
        places = b.positions(a.n)
        return Steps.of(b.elementwise("equal", b.unsqueeze(places, 2), b.unsqueeze(places, 1)))
    if not all(isinstance(n, int) for n in lengths):
        raise UnsupportedError("a diagonal of an open length")
    return np.eye(*lengths, dtype=np.float32)


@row("scalar_tensor")
def _scalar(b: Networks, a: Arguments) -> Any:
    if is_open(a.s):
        return b.counts(np.asarray(a.s, object))
    if isinstance(a.s, Steps):
        return a.s
    return np.asarray(a.s)


@row("size")
def _sizes(b: Networks, a: Arguments) -> Any:
    return list(a.first().shape)


@row("sym_size.int")
def _size(b: Networks, a: Arguments) -> Any:
    value, axis = list(a.values.values())
    length: Length = value.shape[axis]
    return length


@row("sym_numel")
def _numel(b: Networks, a: Arguments) -> Any:
    return product(a.first().shape)

"""Operators that turn sequences around, move blocks of images to channels, and list tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastdrop.formats._lengths import BATCH, Length, Open, divided, product
from fastdrop.formats._values import (
    OfRows,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    counted,
)
from fastdrop.formats.onnx._records import DTYPES
from fastdrop.formats.onnx._rows import Arguments, Made, fixed, number_of, operator, simplified
from fastdrop.formats.onnx.shapes import reshaped


@operator("Size")
def _size(a: Arguments) -> Made:
    a.dtype = np.dtype(np.int64)
    return simplified(np.array(product(a.input().shape), object))


@operator("EyeLike")
def _eye_like(a: Arguments) -> Made:
    """Ones on a diagonal."""
    told = a.attribute("dtype")
    if told is not None and told not in DTYPES:
        raise UnsupportedError(f"elements of type {told}")
    name = a.dtypes[0].name if told is None else DTYPES[told]
    a.dtype = np.dtype("float32" if name in ("float16", "bfloat16") else name)
    shape, diagonal = a.input().shape, int(a.attribute("k", 0))
    if len(shape) != 2 or BATCH in shape:
        raise UnsupportedError(f"a diagonal of a tensor of shape {[*shape]}")
    if not any(isinstance(n, Open) for n in shape):
        rows, columns = (fixed(n) for n in shape)
        a.check_size([rows, columns])
        return np.asarray(np.eye(rows, columns, diagonal), a.dtype)
    one, two = (
        np.arange(n, dtype=np.float32)[np.newaxis] if isinstance(n, int) else a.net.positions(n)
        for n in shape
    )
    first = a.net.elementwise("add", a.net.unsqueeze(one, 2), float(diagonal))
    return Steps.of(a.net.elementwise("equal", first, a.net.unsqueeze(two, 1)))


@operator("ReverseSequence")
def _reverse_sequence(a: Arguments) -> Made:
    """Turn around as many first steps of each row as are told, and leave the others."""
    value, lengths = a.input(0), a.input(1)
    rows = counted(a.attribute("batch_axis", 1), value.ndim)
    axis = counted(a.attribute("time_axis", 0), value.ndim)
    if {rows, axis} != {0, 1}:
        raise UnsupportedError(f"axes {rows} and {axis} of rows and steps")
    if not isinstance(value, Tensor) or value.at != rows:
        raise UnsupportedError("sequences turned around that are no rows")
    own = value.shape[axis]
    if not isinstance(lengths, Tensor):
        given = lengths.value if isinstance(lengths, Spread) else lengths
        told = {n if isinstance(n, Open) else int(n) for n in np.ravel(given).tolist()}
        if told != {own}:
            raise UnsupportedError(f"sequences of {sorted(map(str, told))} steps turned around")
        return a.net.slice(value, axis, None, None, -1)
    if lengths.shape != (BATCH,):
        raise UnsupportedError(f"lengths of shape {[*lengths.shape]}")
    steps: Value = np.arange(own)[np.newaxis] if isinstance(own, int) else a.net.positions(own)
    ends = a.net.unsqueeze(lengths, 1)
    turned = a.net.elementwise("subtract", a.net.elementwise("subtract", ends, 1.0), steps)
    within = a.net.elementwise("less", steps, ends)
    numbers = a.net.elementwise("where", within, turned, steps)
    assert isinstance(numbers, Tensor)
    return a.net.take(value, axis, numbers)


# ---- blocks of images ----


@operator("DepthToSpace")
def _depth_to_space(a: Arguments) -> Made:
    value, size = _image(a)
    channels, height, width = value.shape[1:]
    depth = _quotient(channels, size * size)
    mode = a.attribute("mode", "DCR")
    if mode == "DCR":
        parts, order = [size, size, depth], [0, 3, 4, 1, 5, 2]
    elif mode == "CRD":
        parts, order = [depth, size, size], [0, 1, 4, 2, 5, 3]
    else:
        raise UnsupportedError(f"attribute 'mode': {mode}")
    apart = reshaped(a, value, [value.shape[0], *parts, height, width])
    moved = a.net.permute(apart, order)
    return reshaped(a, moved, [value.shape[0], depth, height * size, width * size])


@operator("SpaceToDepth")
def _space_to_depth(a: Arguments) -> Made:
    value, size = _image(a)
    channels, height, width = value.shape[1:]
    rows, columns = _quotient(height, size), _quotient(width, size)
    apart = reshaped(a, value, [value.shape[0], channels, rows, size, columns, size])
    moved = a.net.permute(apart, [0, 3, 5, 1, 2, 4])
    return reshaped(a, moved, [value.shape[0], channels * (size * size), rows, columns])


def _image(a: Arguments) -> tuple[Value, int]:
    value, size = a.input(), a.attribute("blocksize", 1)
    if value.ndim != 4 or size < 1:
        raise UnsupportedError(f"blocks of {size} of a tensor of {value.ndim} axes")
    return value, size


def _quotient(length: Length, by: int) -> Length:
    found = divided(length, by)
    if found is None:
        raise UnsupportedError(f"{length} places in blocks of {by}")
    return found


# ---- several tensors as one value ----


@dataclass(frozen=True, slots=True)
class Listed(OfRows):
    """Tensors in a row, as a sequence of ONNX is."""

    values: tuple[Any, ...]


@operator("SequenceConstruct")
def _sequence(a: Arguments) -> Made:
    return Listed(tuple(a.given()))


@operator("SequenceEmpty")
def _no_sequence(a: Arguments) -> Made:
    a.attribute("dtype", 1)
    return Listed(())


@operator("SequenceInsert")
def _inserted(a: Arguments) -> Made:
    values, position = [*_listed(a)], a.constant(2)
    a.dtype = a.dtypes[1]
    place = len(values) if position is None else int(number_of(position))
    if not -len(values) <= place <= len(values):
        raise UnsupportedError(f"place {place} of {len(values)} tensors")
    values.insert(place if place >= 0 else len(values) + place, a.input(1))
    return Listed(tuple(values))


@operator("SequenceErase")
def _erased(a: Arguments) -> Made:
    values, position = [*_listed(a)], a.constant(1)
    del values[_place(values, -1 if position is None else int(number_of(position)))]
    return Listed(tuple(values))


@operator("SequenceAt")
def _one_of_sequence(a: Arguments) -> Made:
    values = _listed(a)
    made: Made = values[_place(values, int(number_of(a.array(1))))]
    return made


@operator("SequenceLength")
def _sequence_length(a: Arguments) -> Made:
    a.dtype = np.dtype(np.int64)
    return np.array(len(_listed(a)), np.int64)


@operator("SplitToSequence")
def _split_to_sequence(a: Arguments) -> Made:
    """List parts along an axis: so many places each, or as told, or place by place."""
    value, split = a.input(0), a.constant(1)
    axis = counted(a.attribute("axis", 0), value.ndim)
    keepdims = a.flag("keepdims", default=True)
    length = value.shape[axis]
    if not isinstance(length, int):
        raise UnsupportedError(f"parts of an axis of open length ({length})")
    if split is None:
        places = [a.net.select(value, axis, i) for i in range(length)]
        return Listed(tuple(a.net.unsqueeze(v, axis) if keepdims else v for v in places))
    if split.ndim:
        sizes = [int(n) for n in split.reshape(-1).tolist()]
    else:
        size = int(number_of(split))
        if size < 1:
            raise UnsupportedError(f"parts of {size} places")
        sizes = [min(size, length - start) for start in range(0, length, size)]
    if sum(sizes) != length or min(sizes, default=0) < 0:
        raise UnsupportedError(f"parts of {sizes} of an axis of {length}")
    ends = np.cumsum(sizes).tolist()
    parts = [a.net.slice(value, axis, e - n, e) for n, e in zip(sizes, ends, strict=True)]
    return Listed(tuple(parts))


@operator("ConcatFromSequence")
def _concat_from_sequence(a: Arguments) -> Made:
    values, axis = _listed(a), a.attribute("axis")
    if not values or not isinstance(axis, int):
        raise UnsupportedError("no tensors, or no axis to join them along")
    if a.flag("new_axis"):
        return a.net.stack(values, counted(axis, values[0].ndim + 1))
    return a.net.concatenate(values, counted(axis, values[0].ndim))


def _listed(a: Arguments) -> Sequence[Any]:
    given: Any = a.input(0)
    if not isinstance(given, Listed):
        raise UnsupportedError("no sequence of tensors")
    return given.values


def _place(values: Sequence[Any], place: int) -> int:
    if not -len(values) <= place < len(values):
        raise UnsupportedError(f"place {place} of {len(values)} tensors")
    return place

"""Tensors of other libraries, computed number by number or along axes: `Numbers`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastdrop import activate, layers
from fastdrop.formats._axes import Array, Axes
from fastdrop.formats._lengths import Open
from fastdrop.formats._values import (
    Order,
    Spread,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    broadcast,
    counted,
)
from fastdrop.layers.operations import FUNCTIONS
from fastdrop.layers.ordering import ACCUMULATIONS

# What is noted of a model whose rows were sorted.
SORTED = "where rows are sorted they stay in the order of the inputs, outputs too"


class Numbers(Axes):
    """Calls of layers that compute what stays as long, or less along axes that are gone."""

    def elementwise(self, function: str, *operands: Value | float) -> Value:
        """Compute a function of `FUNCTIONS`, of what broadcasts."""
        for operand in operands:
            if isinstance(operand, Open):
                raise UnsupportedError(f"numbers computed with a length left open, {operand}")
        values: list[Value] = [
            o if isinstance(o, (Tensor, Spread)) else np.asarray(o) for o in operands
        ]
        compute = FUNCTIONS[function][1]
        if not any(isinstance(v, (Tensor, Spread)) for v in values):
            with np.errstate(all="ignore"):
                return np.asarray(compute(*values))
        rank = max(v.ndim for v in values)
        framed = [v for v in values if isinstance(v, (Tensor, Spread))]
        places = {rank - v.ndim + v.at for v in framed}
        merges = {(v.before, v.behind) for v in values if isinstance(v, Tensor)}
        if len(places) > 1 or len(merges) > 1:
            raise UnsupportedError("rows of a batch are computed with one another")
        (at,), (before, behind) = places, next(iter(merges), (0, 0))
        tensors: list[Tensor] = []
        parts: list[Any] = []
        for value in values:
            if isinstance(value, Tensor):
                missing = rank - value.ndim
                tensors.append(self._led(value, missing))
                parts.append(len(tensors) - 1)
            elif isinstance(value, Spread):
                lengths = value.value.shape
                shape = (*lengths[: value.at], *(1,) * (before + behind), *lengths[value.at :])
                parts.append(value.value.reshape(shape))
            else:
                parts.append(_without_batch(value, rank - at, before + behind))
        if not tensors:
            with np.errstate(all="ignore"):
                return Spread(np.asarray(compute(*parts)), at)
        parts = [_as_float32(part) for part in parts]
        layer = layers.Elementwise(name=self.scope, function=function, operands=tuple(parts))
        rows = [t.row for t in tensors]
        (name,) = self.call(layer, [t.name for t in tensors], rows)
        shapes = [tensors[p].row if isinstance(p, int) else p.shape for p in parts]
        return self._known(Tensor(name, broadcast(shapes), at, before, behind))

    def activation(self, value: Value, activation: Any, axis: int = -1) -> Value:
        """Apply an activation; softmax and log_softmax along an axis."""
        if not isinstance(value, Tensor):
            return _constant_activation(value, activation, axis)
        along = value.axis(axis) if activation in ("softmax", "log_softmax") else -1
        along = -1 if along == len(value.row) - 1 else along
        layer = layers.Activation(name=self.scope, activation=activation, axis=along)
        return self.single(layer, value)

    def erf(self, value: Value) -> Value:
        """Compute the error function by gelu(x) = x (1 + erf(x / sqrt 2)) / 2, near 0 as a line."""
        if not isinstance(value, (Tensor, Spread)):
            numbers = [math.erf(x) for x in value.reshape(-1)]
            return np.asarray(numbers, value.dtype).reshape(value.shape)
        near = self.elementwise("less", self.elementwise("absolute", value), 1e-3)
        away = self.elementwise("where", near, 1.0, value)
        wide = self.elementwise("multiply", away, math.sqrt(2))
        twice = self.elementwise("multiply", self.activation(wide, "gelu"), 2.0)
        found = self.elementwise("subtract", self.elementwise("divide", twice, wide), 1.0)
        slope = self.elementwise("multiply", value, 2 / math.sqrt(math.pi))
        return self.elementwise("where", near, slope, found)

    def take_along(self, value: Value, numbers: Value, axis: int) -> Value:
        """Take places along an axis by their numbers, of as many axes."""
        tensors = self.alike([value, numbers])
        if tensors is None:
            return np.take_along_axis(as_array(value), as_array(numbers), axis)
        one, two = tensors
        at = one.axis(axis)
        layer = layers.TakeAlong(name=self.scope, axis=at)
        (name,) = self.call(layer, [one.name, two.name], [one.row, two.row])
        others = broadcast([(*t.row[:at], 1, *t.row[at + 1 :]) for t in tensors])
        row = (*others[:at], two.row[at], *others[at + 1 :])
        return self._known(replace(one, name=name, row=row))

    def reduce(
        self, function: str, value: Value, axes: Sequence[int] | None, keepdims: bool = False
    ) -> Value:
        """Reduce along some axes, or along all of them (None)."""
        if isinstance(value, Spread):
            value_axes = (
                range(value.ndim) if axes is None else [counted(a, value.ndim) for a in axes]
            )
            if value.at in value_axes:
                raise UnsupportedError("rows of a batch are computed with one another")
            inside = tuple(a - (a > value.at) for a in value_axes)
            found = _numpy_reduced(function, value.value, inside, keepdims)
            at = value.at if keepdims else value.at - sum(a < value.at for a in value_axes)
            return Spread(found, at)
        if not isinstance(value, Tensor):
            every = tuple(range(value.ndim)) if axes is None else tuple(axes)
            return _numpy_reduced(function, value, every, keepdims)
        given = range(value.ndim) if axes is None else [value.counted(axis) for axis in axes]
        gone = sorted({value.axis(axis) for axis in given})
        row = tuple(
            1 if i in gone else n for i, n in enumerate(value.row) if keepdims or i not in gone
        )
        at = value.at if keepdims else value.at - sum(a < value.at for a in given)
        layer = layers.Reduce(
            name=self.scope, function=function, axes=tuple(gone), keepdims=keepdims
        )
        (name,) = self.call(layer, [value.name], [value.row])
        return self._known(replace(value, name=name, row=row, at=at))

    def log_sum_exp(self, value: Value, axes: Sequence[int] | None, keepdims: bool) -> Value:
        """Take logarithms of sums of powers of e."""
        largest, kept = (self._finite(self.reduce("max", value, axes, k)) for k in (True, keepdims))
        powers = self.elementwise("exp", self.elementwise("subtract", value, largest))
        logs = self.elementwise("log", self.reduce("sum", powers, axes, keepdims))
        return self.elementwise("add", logs, kept)

    def _finite(self, value: Value) -> Value:
        """Put zeros in the place of infinite numbers."""
        infinite = self.elementwise("equal", self.elementwise("absolute", value), np.inf)
        return self.elementwise("where", infinite, 0.0, value)

    def accumulate(self, function: str, value: Value, axis: int) -> Value:
        """Take together numbers up to each place along an axis, by one of `ACCUMULATIONS`."""
        axis = counted(axis, value.ndim)
        if not isinstance(value, (Tensor, Spread)):
            return _numpy_accumulated(function, value, axis)
        if axis == value.at:
            raise UnsupportedError("rows of a batch are computed with one another")
        if isinstance(value, Spread):
            inside = axis - (axis > value.at)
            return Spread(_numpy_accumulated(function, value.value, inside), value.at)
        along = value.axis(axis)
        return self.single(layers.Accumulate(name=self.scope, function=function, axis=along), value)

    def sorted_rows(self, value: Value) -> tuple[Value, Order]:
        """Sort rows by one number of each: they stay where they are, for none knows of another."""
        if SORTED not in self.notes:
            self.notes.append(SORTED)
        return value, Order(*value.shape)

    def sort(self, value: Value, axis: int, *, descending: bool = False) -> tuple[Value, Value]:
        """Sort along an axis, and say where the numbers were."""
        axis = counted(axis, value.ndim)
        if not isinstance(value, Tensor):
            raise UnsupportedError("a constant is sorted")
        if axis == value.at:
            raise UnsupportedError("rows of a batch are sorted by several numbers")
        layer = layers.ArgSort(name=self.scope, axis=value.axis(axis), descending=descending)
        places = self.single(layer, value)
        return self.take_along(value, places, axis), places

    def dense(self, value: Value, kernel: Array, bias: Array | None = None) -> Value:
        """Multiply along the last axis by a matrix (inputs, units)."""
        if isinstance(value, Spread):
            if value.at == value.ndim - 1:
                raise UnsupportedError("rows of a batch are computed with one another")
            return Spread(np.asarray(self.dense(value.value, kernel, bias)), value.at)
        if not isinstance(value, Tensor):
            found = np.matmul(value, kernel)
            return np.asarray(found if bias is None else found + bias)
        value.axis(-1)
        layer = layers.Dense(
            name=self.scope,
            kernel=np.ascontiguousarray(kernel, np.float32),
            bias=None if bias is None else np.ascontiguousarray(bias, np.float32),
        )
        return self.single(layer, value, (*value.row[:-1], kernel.shape[1]))


def _constant_activation(value: Spread | Array, activation: Any, axis: int) -> Value:
    """Compute an activation of a constant by the function for arrays."""
    if isinstance(value, Spread):
        axis = counted(axis, value.ndim)
        if axis == value.at and activation in ("softmax", "log_softmax"):
            raise UnsupportedError("rows of a batch are computed with one another")
        found = _constant_activation(value.value, activation, axis - (axis > value.at))
        return Spread(as_array(found), value.at)
    numbers = np.asarray(value, np.float32)
    if activation not in ("softmax", "log_softmax"):
        return np.asarray(activate(numbers, activation))
    last = np.moveaxis(numbers, axis, -1)
    return np.moveaxis(np.asarray(activate(last, activation)), -1, axis)


def _as_float32(part: Any) -> Any:
    """Return a constant as float32, and the number of a tensor as it is."""
    if isinstance(part, int):
        return part
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(part).astype(np.float32, copy=False)


def _without_batch(array: Array, behind: int, merged: int) -> Array:
    """Take the axis of the batch out of a constant, so many axes from its end."""
    if array.ndim < behind:
        return array
    at = array.ndim - behind
    if array.shape[at] != 1:
        raise UnsupportedError(f"a constant of shape {array.shape} along the batch")
    shape = (*array.shape[:at], *(1,) * merged, *array.shape[at + 1 :])
    return array.reshape(shape)


def _numpy_reduced(function: str, array: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    if function == "argmax":
        return np.asarray(np.argmax(array, axis=axes[0], keepdims=keepdims))
    if function == "median":  # NumPy's is another one
        raise UnsupportedError("the median of a constant")
    return np.asarray(getattr(np, function)(array, axis=axes, keepdims=keepdims))


def _numpy_accumulated(function: str, array: Array, axis: int) -> Array:
    ufunc, _ = ACCUMULATIONS[function]
    whole = array.dtype.kind in "biu"
    found = ufunc.accumulate(array, axis=axis, dtype=np.int64 if whole else np.float64)
    return np.asarray(found if whole else found.astype(array.dtype))

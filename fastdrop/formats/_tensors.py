"""Tensors of other libraries with axes of other lengths, some of them left open: `Tensors`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from fastdrop import layers
from fastdrop.formats._axes import Array
from fastdrop.formats._lengths import BATCH, Length, Open, divided, known, product, quotient
from fastdrop.formats._numbers import Numbers
from fastdrop.formats._values import (
    Counts,
    Spread,
    Tensor,
    UnsupportedError,
    Value,
    broadcast,
    counted,
)
from fastdrop.model import Call, Model

# Tensors are put behind themselves as often; more is laid out anew.
MOST_BEHIND = 16
# Positions are counted to so many times a length that is known.
MOST_TIMES = 64
# Of an axis of open length that a slice asks for.
_MOST_PLACES = 4096
# How many places are put side by side, where a row has several open lengths.
_MOST_JOINED = 16
# How many lengths are looked through for one that is near another, and how long its text may be.
MOST_LENGTHS, MOST_TEXT = 256, 2000


class Tensors(Numbers):
    """Calls of layers that take places, lay them out anew, and count them."""

    # ---- places ----

    def slice(
        self, value: Value, axis: int, start: Any = None, stop: Any = None, step: int = 1
    ) -> Value:
        """Take places along an axis, as a slice does."""
        axis = counted(axis, value.ndim)
        length = value.shape[axis]
        beyond = start - length if isinstance(start, Open) else None
        if (isinstance(beyond, int) and beyond >= 0) or (start == length and length != 0):
            start, stop = 0, 0  # nothing, which no end of an axis may stand for
        start, stop = _bound(start, length), _bound(stop, length)
        if start in (None, 0) and stop is None and step == 1:
            return value
        if isinstance(value, Tensor) and axis == value.at and value.before and step == 1:
            return self._some_batches(value, start or 0, length if stop is None else stop)
        if isinstance(start, Open) or isinstance(stop, Open):
            first = _from_front(start or 0, length)
            last = _from_front(length if stop is None else stop, length)
            if isinstance(first, int) and (isinstance(last, int) or last == length):
                return self.slice(value, axis, first, last, step)
            count = last - first
            if step != 1 or isinstance(value, Spread) or not isinstance(count, Open):
                raise UnsupportedError(f"places from {start} to {stop} of {length}")
            if not isinstance(value, Tensor):
                return self.first_places(value, axis, count, first)
            return self.take(value, axis, self.numbers_from(first, count))
        part = slice(start, stop, step)
        if isinstance(value, Spread):
            if axis == value.at:
                raise UnsupportedError("some rows of the batch are taken out")
            inside = axis - (axis > value.at)
            return Spread(value.value[(*(slice(None),) * inside, part)], value.at)
        if not isinstance(value, Tensor):
            return value[(*(slice(None),) * axis, part)]
        at = value.axis(axis)
        made = _sliced(length, part)
        key = (*(slice(None),) * at, part)
        row = (*value.row[:at], made, *value.row[at + 1 :])
        layer = layers.Slice(name=self.scope, key=key)
        if isinstance(made, int) and isinstance(length, Open) and 0 < made <= _MOST_PLACES:
            numbers = range(start or 0, stop or 0, step)
            self._exact[id(layer)] = layers.Take(name=layer.name, axis=at, places=tuple(numbers))
        return self.single(layer, value, row)

    def batches(self, tensors: Sequence[Tensor]) -> Tensor:
        """Put batches one behind the other along their axis: all rows of one, then of the next."""
        at = tensors[0].at
        if any(tensor.at != at or tensor.merged for tensor in tensors):
            raise UnsupportedError("tensors whose batch is on different axes")
        stacked = self.stack(tensors, at)
        assert isinstance(stacked, Tensor)
        return replace(stacked, at=at, before=1)

    def _some_batches(self, value: Tensor, start: Length, stop: Length) -> Value:
        """Take some of the batches that stand one behind the other along one axis."""
        at, count = value.at, value.row[value.at]
        first, last = (0 if n == 0 else divided(n, BATCH) for n in (start, stop))
        if (
            (value.before, value.behind) != (1, 0)
            or not isinstance(count, int)
            or not isinstance(first, int)
            or not isinstance(last, int)
        ):
            raise UnsupportedError("some rows of the batch are taken out")
        numbers = range(count)[first:last]
        apart = replace(value, at=at + 1, before=0)
        if len(numbers) == 1:
            return self.select(apart, at, numbers[0])
        some = self.slice(apart, at, numbers.start, numbers.stop)
        assert isinstance(some, Tensor)
        return replace(some, at=at, before=1)

    def model(self, calls: Sequence[Call], *given: Any, **options: Any) -> Model:
        """Return the model of calls, of which slices take all that they ask for where they must.

        Of an axis that is shorter a slice takes fewer; what reads it may need as many as it says.
        """
        try:
            return Model(calls, *given, **options)
        except ValueError:
            if not any(id(call.layer) in self._exact for call in calls):
                raise
            whole = [self._exact.get(id(call.layer), call.layer) for call in calls]
            changed = [
                Call(layer, call.inputs, call.name, call.training)
                for layer, call in zip(whole, calls, strict=True)
            ]
            return Model(changed, *given, **options)

    def take(self, value: Tensor, axis: int, numbers: Tensor) -> Tensor:
        """Take places along an axis by their numbers, which are the same for each row."""
        at, rank = value.axis(axis), len(value.row)
        (count,) = numbers.row
        laid = self.laid_along(numbers, at, rank)
        along = layers.TakeAlong(name=self.scope, axis=at)
        (name,) = self.call(along, [value.name, laid.name], [value.row, laid.row])
        row = (*value.row[:at], count, *value.row[at + 1 :])
        return self._known(replace(value, name=name, row=row))

    def take_known(self, value: Value, numbers: Array, axis: int) -> Value:
        """Take places along an axis by numbers that are known, one after another."""
        axis = counted(axis, value.ndim)
        if not isinstance(value, Tensor):
            raise UnsupportedError("places of a constant")
        if axis == value.at:
            raise UnsupportedError("some rows of the batch are taken out")
        if value.merged:
            return self.stack([self.select(value, axis, int(n)) for n in numbers], axis)
        shape = [1] * (value.ndim - 1)
        shape[axis - (axis > value.at)] = len(numbers)
        return self.take_along(value, Spread(numbers.reshape(shape), value.at), axis)

    def laid_along(self, numbers: Tensor, axis: int, rank: int) -> Tensor:
        """Lay numbers (batch, places) along one of so many axes of a row."""
        (count,) = numbers.row
        row = tuple(count if i == axis else 1 for i in range(rank))
        shape = tuple(-1 if i == axis else 1 for i in range(rank))
        return self.single(layers.Reshape(name=self.scope, target_shape=shape), numbers, row)

    def place(self, value: Tensor, axis: int, number: Open) -> Value:
        """Take one place along an axis, which is gone then, by a number computed of lengths."""
        axis, at = value.counted(axis), value.axis(axis)
        behind = number - value.row[at]
        if isinstance(behind, int):
            return self.select(value, axis, behind)
        count = self.unsqueeze(self.count(number), 1)
        assert isinstance(count, Tensor)
        return self.squeeze(self.take(value, axis, count), [axis])

    def first_places(self, value: Array, axis: int, length: Length, start: Length = 0) -> Tensor:
        """Return so many places of a constant, with an axis of length 1 for the batch."""
        at = next((i for i, n in enumerate(value.shape) if n == 1 and i != axis), None)
        if at is None:
            raise UnsupportedError(f"places up to {length} of {list(value.shape)}")
        rest = [i for i in range(value.ndim) if i not in (at, axis)]
        table = np.transpose(value, [axis, at, *rest]).reshape(value.shape[axis], -1)
        numbers = self.numbers_from(start, length)
        layer = layers.Embedding(name=self.scope, table=np.ascontiguousarray(table, np.float32))
        found = self.single(layer, numbers, (length, table.shape[1]))
        if len(rest) != 1:
            shape = tuple(value.shape[i] for i in rest)
            reshaped = layers.Reshape(name=self.scope, target_shape=(-1, *shape))
            found = self.single(reshaped, found, (length, *shape))
        order = [axis, *rest]
        moved = [order.index(i) for i in range(value.ndim) if i != at]
        return replace(self._transposed(found, moved), at=at)

    # ---- shapes ----

    def reshape(self, value: Value, shape: Sequence[Length]) -> Value:
        """Lay out numbers anew; one length may be -1."""
        shape = list(shape)
        if not isinstance(value, (Tensor, Spread)):
            if all(isinstance(n, int) for n in shape):
                return value.reshape([int(n) for n in shape if isinstance(n, int)])
            raise UnsupportedError(f"an array of shape {value.shape} as {shape}")
        if shape.count(-1) > 1:
            raise UnsupportedError(f"a shape of {shape}")
        if -1 in shape:
            if self.rows in shape and not any(map(_of_batch, shape)):
                shape[shape.index(self.rows)] = BATCH  # the first: time is behind it, or -1
            others = product(n for n in shape if n != -1)
            rest = divided(product(value.shape), others)
            if rest is None and isinstance(value, Tensor) and isinstance(others // BATCH, int):
                found = self._in_parts(value, shape)
                if found is not None:
                    return found
            if rest is None:
                raise UnsupportedError(f"a tensor of shape {list(value.shape)} as {shape}")
            shape[shape.index(-1)] = rest
        shape = self._with_batch(value, shape)
        if isinstance(value, Spread):
            if BATCH not in shape:
                if any(divided(n, BATCH) is not None for n in shape):  # with it, heads or groups
                    return self.reshape(self.some_tensor(value), shape)
                raise UnsupportedError(f"a tensor of shape {list(value.shape)} as {shape}")
            at = shape.index(BATCH)
            lengths = [int(n) for i, n in enumerate(shape) if i != at and isinstance(n, int)]
            same = product(value.value.shape[: value.at]) == product(lengths[:at])
            if len(lengths) != len(shape) - 1 or not same:
                raise UnsupportedError(f"a tensor of shape {list(value.shape)} as {shape}")
            return Spread(value.value.reshape(lengths), at)
        row, at, before, behind = _regrouped(value, shape)
        made = replace(value, row=tuple(row), at=at, before=before, behind=behind)
        if made.row == value.row:
            return made
        if not row:
            return self.squeeze(replace(value, before=0, behind=0, at=0))
        target = list(known(row))
        if target.count(None) > 1:
            if _longer(row) == _longer(value.row):
                return self._with_ones(made, value)
            count = _side_by_side(value.row, row)
            if count and made.at == value.at < value.ndim - 2:
                return self.concatenate([self.select(value, -2, i) for i in range(count)], -1)
            moved = [i for i, n in enumerate(row) if i >= len(value.row) or value.row[i] != n]
            raise UnsupportedError(f"several open lengths in {shape} (axis {moved[0]})")
        layer = layers.Reshape(
            name=self.scope, target_shape=tuple(-1 if n is None else n for n in target)
        )
        (name,) = self.call(layer, [value.name], [value.row])
        return self._known(replace(made, name=name))

    def _with_ones(self, made: Tensor, value: Tensor) -> Tensor:
        """Lay out a tensor as another, of which only the axes of length 1 are elsewhere."""
        name, row = value.name, _longer(value.row)
        if len(row) < len(value.row):
            gone = tuple(i for i, n in enumerate(value.row) if n == 1)
            (name,) = self.call(layers.Squeeze(name=self.scope, axes=gone), [name], [value.row])
        for axis, n in enumerate(made.row):
            if n == 1:
                layer = layers.ExpandDims(name=self.scope, axis=axis)
                (name,) = self.call(layer, [name], [row])
                row.insert(axis, 1)
        return self._known(replace(made, name=name))

    def _in_parts(self, value: Tensor, shape: Sequence[Length]) -> Tensor | None:
        """Lay out rows with as many places along one axis, -1, as they have numbers for."""
        count = product(value.row) // product(n for n in shape[1:] if n != -1)
        if value.at or value.merged or shape[0] != BATCH or not isinstance(count, Open):
            return None
        row = [count if n == -1 else n for n in shape[1:]]
        target = tuple(n if isinstance(n, int) else -1 for n in shape[1:])
        return self.single(layers.Reshape(name=self.scope, target_shape=target), value, row)

    def _with_batch(self, value: Tensor | Spread, shape: list[Length]) -> list[Length]:
        """Return a shape with the batch in the place of its fixed number of rows."""
        if self.rows is None or any(divided(n, BATCH) is not None for n in shape):
            return shape
        for at, n in enumerate(shape):
            rest = divided(n, self.rows) if n else None
            if rest is not None:
                found = [*shape[:at], BATCH * rest, *shape[at + 1 :]]
                if divided(product(value.shape), product(found)) == 1:
                    return found
        return shape

    def expand(self, value: Value, shape: Sequence[Length]) -> Value:
        """Repeat axes of length 1; -1 leaves an axis as it is, and axes may be put in front."""
        wanted = list(shape)
        while value.ndim < len(wanted):
            value = self.unsqueeze(value, 0)
        lengths = [own if n == -1 else n for own, n in zip(value.shape, wanted, strict=True)]
        if isinstance(value, (Tensor, Spread)) and lengths[value.at] == self.rows:
            lengths[value.at] = value.shape[value.at]
        if not isinstance(value, (Tensor, Spread)):
            at = next((i for i, n in enumerate(lengths) if divided(n, BATCH) is not None), None)
            if at is not None:
                if value.shape[at] != 1:
                    raise UnsupportedError(f"an array of shape {value.shape} as {shape}")
                value = Spread(np.squeeze(value, at), at)
            elif all(isinstance(n, int) for n in lengths):
                return np.broadcast_to(value, [int(n) for n in lengths])  # type: ignore[arg-type]
            else:
                raise UnsupportedError(f"an array of shape {value.shape} as {shape}")
        if isinstance(value, Spread):
            inside = [n for i, n in enumerate(lengths) if i != value.at]
            if lengths[value.at] == BATCH and not all(isinstance(n, int) for n in inside):
                return self.broadcast(self.some_tensor(value), inside)
            if divided(lengths[value.at], BATCH) is None or not all(
                isinstance(n, int) for n in inside
            ):
                raise UnsupportedError(f"a tensor of shape {list(value.shape)} as {shape}")
            return Spread(np.broadcast_to(value.value, inside), value.at)  # type: ignore[arg-type]
        if lengths[value.at] != value.shape[value.at]:
            raise UnsupportedError(f"a tensor of shape {list(value.shape)} as {shape}")
        row = list(value.row)
        for axis, n in enumerate(lengths):
            if axis != value.at:
                row[value.axis(axis)] = n
        return self.broadcast(value, row)

    def broadcast(self, tensor: Tensor, row: Sequence[Length]) -> Tensor:
        """Repeat axes of length 1 of each row."""
        row = tuple(row)
        if row == tensor.row:
            return tensor
        for own, n in zip(tensor.row, row, strict=True):
            if own not in (1, n):
                raise UnsupportedError(f"rows of shape {list(tensor.row)} as {list(row)}")
        fixed = [n if own == 1 and isinstance(n, int) else 1 for own, n in zip(tensor.row, row)]  # noqa: B905
        if any(n != 1 for n in fixed):
            ones = np.broadcast_to(np.float32(1), fixed)  # which takes no memory
            made = tuple(n if n != 1 else own for own, n in zip(tensor.row, fixed, strict=True))
            layer = layers.Elementwise(name=self.scope, function="multiply", operands=(0, ones))
            tensor = self.single(layer, tensor, made)
        for axis, (own, n) in enumerate(zip(tensor.row, row, strict=True)):
            if own != n:
                ones_of = self._ones(n, axis, len(row))
                layer = layers.Elementwise(name=self.scope, function="multiply", operands=(0, 1))
                made = (*tensor.row[:axis], n, *tensor.row[axis + 1 :])
                (name,) = self.call(layer, [tensor.name, ones_of.name], [tensor.row, ones_of.row])
                tensor = replace(tensor, name=name, row=made)
        return tensor

    # ---- lengths ----

    def positions(self, length: Length) -> Tensor:
        """Return 0, 1, 2 and so on up to an open length, as rows."""
        if length not in self._open:
            return self._positions_by_others(length)
        name, row, axis = self._open[length]
        (made,) = self.call(layers.Positions(name=self.scope, axis=axis), [name], [row])
        return Tensor(made, (length,))

    def _positions_by_others(self, length: Length) -> Tensor:
        """Return positions up to a length that no tensor has, by those up to another."""
        _check_short(length)
        others = [*islice(self._open, MOST_LENGTHS)]
        near = {n: own for own in others if isinstance(n := length - own, int)}
        more = min(near, key=abs, default=0)
        times = {m: own for own in others if isinstance(m := divided(length, own), int)}
        common = math.gcd(*(n for _, n in getattr(length, "terms", ())))
        part = divided(length, common) if common > 1 else None
        if part is not None:
            times.setdefault(common, part)
        parts = [q for names, _ in getattr(length, "terms", ()) if (q := quotient(names))]
        made: Value | None = None
        if -MOST_BEHIND <= more < 0:
            made = self.slice(self.positions(near[more]), 1, None, more)
        elif 0 < more <= MOST_BEHIND:
            last = self.unsqueeze(self.count(near[more]), 1)
            last = self.elementwise("add", last, np.arange(more, dtype=np.float32))
            made = self.concatenate([self.positions(near[more]), last], 1)
        elif times and min(times) <= MOST_TIMES:
            several = min(times)
            first = self.elementwise("multiply", self.positions(times[several]), float(several))
            each = np.arange(several, dtype=np.float32)
            wide = self.elementwise("add", self.unsqueeze(first, 2), each)
            made = self.reshape(wide, [BATCH, length])
        for whole, by in parts:
            if made is None and length == whole // by:  # as many as have all of `by` places
                made = self.slice(self.positions(whole), 1, by - 1, None, by)
                made = self.elementwise("subtract", made, by - 1.0)
                made = self.elementwise("divide", made, float(by))
            every = length + whole // by  # a quotient rounded up is what is left of all
            if made is None and whole == every * (by - 1):
                made = self.slice(self.positions(every), 1, None, None, by)
                made = self.elementwise("divide", made, float(by))
        if not isinstance(made, Tensor):
            raise UnsupportedError(f"numbers up to {length}")
        return replace(made, row=(length,))

    def numbers_from(self, start: Length, count: Length) -> Tensor:
        """Return so many numbers that follow on one another, as rows."""
        numbers: Value = self.positions(count)
        if isinstance(start, Open):
            numbers = self.elementwise("add", numbers, self.unsqueeze(self.count(start), 1))
        elif start:
            numbers = self.elementwise("add", numbers, float(start))
        assert isinstance(numbers, Tensor)
        return replace(numbers, row=(count,))

    def count(self, length: Length) -> Tensor:
        """Return a length that is left open as a number of each row: ones summed along an axis.

        One that no tensor has is computed of those that it is made of.
        """
        if length in self._counted:
            return self._counted[length]
        if not isinstance(length, Open) or length == BATCH:
            raise UnsupportedError("numbers computed of how many rows there are")
        _check_short(length)
        found: Value = np.zeros((), np.float32)
        (names, times), *more = length.terms
        if length in self._open:
            found = self.reduce("sum", self.elementwise("ones", self.positions(length)), [1])
        elif more or len(names) > 1 or times != 1:
            for names, times in length.terms:
                term: Value = np.full((), times, np.float32)
                for name in names:
                    term = self.elementwise("multiply", self.count(Open.named(name)), term)
                found = self.elementwise("add", term, found)
        else:
            whole, by = quotient(names) or (0, 0)
            if not isinstance(whole, Open):
                raise UnsupportedError(
                    f"a number computed of {length}, along which no row has places"
                )
            found = self.elementwise("divide", self.count(whole), float(by))
            found = self.elementwise("floor", found)
        assert isinstance(found, Tensor)
        self._counted[length] = found
        return found

    def counts(self, lengths: Array) -> Counts:
        """Return lengths, some of which are left open, as numbers to compute with."""
        numbers: list[Value] = [
            self.count(n) if isinstance(n, Open) else np.full(1, n, np.float32)
            for n in lengths.reshape(-1).tolist()
        ]
        found = numbers[0]
        if lengths.ndim:
            found = self.concatenate([self.unsqueeze(n, 1) for n in numbers], 1)
            found = self.reshape(found, [BATCH, *lengths.shape])
        assert isinstance(found, Tensor)
        return Counts(found, lengths)

    def _ones(self, length: Length, axis: int, rank: int) -> Tensor:
        """Return ones along an axis of an open length, of rows of so many axes."""
        tensor = self.positions(length)
        ones = self.single(layers.Elementwise(name=self.scope, function="ones"), tensor)
        return self.laid_along(ones, axis, rank)

    # ---- several times, and products ----

    def repeat_places(self, value: Value, axis: int, times: int) -> Value:
        """Repeat each place along an axis, one behind the other."""
        axis, shape = counted(axis, value.ndim), list(value.shape)
        wide = self.unsqueeze(value, axis + 1)
        repeated = [times if i == axis + 1 else -1 for i in range(wide.ndim)]
        laid = [*shape[:axis], shape[axis] * times, *shape[axis + 1 :]]
        return self.reshape(self.expand(wide, repeated), laid)

    def repeat(self, value: Value, axis: int, times: int) -> Value:
        """Repeat what is along an axis, as a whole."""
        axis = counted(axis, value.ndim)
        if not isinstance(value, (Tensor, Spread)):
            return np.concatenate([value] * times, axis)
        if axis == value.at:
            raise UnsupportedError(f"rows of a batch repeated {times} times")
        if isinstance(value, Spread):
            inside = axis - (axis > value.at)
            return Spread(np.concatenate([value.value] * times, inside), value.at)
        if times <= MOST_BEHIND:
            return self.concatenate([value] * times, axis)
        shape = value.shape
        wide = self.unsqueeze(value, axis)
        repeated = self.expand(wide, [times if i == axis else -1 for i in range(wide.ndim)])
        return self.reshape(repeated, [*shape[:axis], shape[axis] * times, *shape[axis + 1 :]])

    def largest(
        self, value: Value, axis: int, count: object, *, smallest: bool = False
    ) -> tuple[Value, Value]:
        """Take out the largest along an axis, so many, and say where they were."""
        length = value.shape[axis]
        if count == length:
            return self.sort(value, axis, descending=not smallest)
        if not isinstance(count, int) or count < 1:
            raise UnsupportedError(f"the {count} largest numbers")
        if isinstance(length, int) and count > length:
            raise UnsupportedError(f"the {count} largest of {length} numbers")
        if count == 1 and isinstance(value, Tensor):
            sign: Value = self.elementwise("negative", value) if smallest else value
            place = self.reduce("argmax", sign, [axis], True)
            return self.take_along(value, place, axis), place
        _, places = self.sort(value, axis, descending=not smallest)
        # Where the length is open there may be fewer, which is to be seen.
        first = (
            self.slice(places, axis, 0, count)
            if isinstance(length, int)
            else self.take_known(places, np.arange(count), axis)
        )
        return self.take_along(value, first, axis), first

    def matmul(self, left: Value, right: Value) -> Value:
        """Multiply matrices, stacks of them, and vectors, as `numpy.matmul` does."""
        if not isinstance(left, (Tensor, Spread)) and not isinstance(right, (Tensor, Spread)):
            return np.asarray(np.matmul(left, right))
        if isinstance(left, Spread) and isinstance(right, np.ndarray) and right.ndim == 2:
            if left.at == left.ndim - 1:
                raise UnsupportedError("rows of a batch are computed with one another")
            return Spread(np.asarray(np.matmul(left.value, right)), left.at)
        if not isinstance(left, Tensor) and not isinstance(right, Tensor):
            raise UnsupportedError("a product of constants alone")
        if left.ndim == 1:
            found = self.matmul(self.unsqueeze(left, 0), right)
            return self.squeeze(found, [-2])
        if right.ndim == 1:
            found = self.matmul(left, self.unsqueeze(right, 1))
            return self.squeeze(found, [-1])
        if isinstance(left, Tensor) and isinstance(right, np.ndarray) and right.ndim == 2:
            return self.dense(left, right)
        if isinstance(right, Tensor) and isinstance(left, np.ndarray) and left.ndim == 2:
            swapped = [*range(right.ndim - 2), right.ndim - 1, right.ndim - 2]
            found = self.dense(self.permute(right, swapped), left.T)
            return self.permute(found, swapped)
        rank = max(left.ndim, right.ndim)
        like = left if isinstance(left, Tensor) else right
        assert isinstance(like, Tensor)
        operands = []
        for value in (left, right):
            tensor = value
            if isinstance(value, np.ndarray):
                tensor = Spread(value, 0) if value.ndim < rank else self._spread(value, like)
                while tensor.ndim < rank:
                    tensor = self.unsqueeze(tensor, 1)
            tensor = self._led(self.tensor(tensor, like), rank - tensor.ndim)
            if tensor.at >= rank - 2:
                raise UnsupportedError("rows of a batch are computed with one another")
            operands.append(tensor)
        one, two = operands
        if (one.at, one.before, one.behind) != (two.at, two.before, two.behind):
            raise UnsupportedError("tensors whose batch is on different axes")
        leading = broadcast([one.row[:-2], two.row[:-2]])
        one = self.broadcast(one, (*leading, *one.row[-2:]))
        two = self.broadcast(two, (*leading, *two.row[-2:]))
        layer = self.each(layers.MatMul(name=self.scope), len(leading))
        (name,) = self.call(layer, [one.name, two.name], [one.row, two.row])
        return self._known(replace(one, name=name, row=(*one.row[:-1], two.row[-1])))


def _of_batch(length: Length) -> bool:
    return divided(length, BATCH) is not None


def _bound(bound: Any, length: Length) -> Any:
    """Return an end of a slice; None where it is that of the axis."""
    if bound is None or bound == length:
        return None
    if isinstance(bound, Open):
        difference = bound - length
        if isinstance(difference, int):
            return difference if difference < 0 else None
        return bound
    if isinstance(length, int):
        return None if bound >= length else bound
    return None if bound >= 2**31 - 1 else bound


def _check_short(length: Length) -> None:
    """Refuse a length that is computed in more steps than are followed."""
    if len(str(length)) > MOST_TEXT:
        raise UnsupportedError("a number computed of lengths in too many steps")


def _from_front(bound: Length, length: Length) -> Length:
    """Return a place counted from the front; one that is computed is not below 0 else.

    What is as far from the end whatever the lengths are is counted from there.
    """
    if isinstance(bound, int):
        behind = bound < 0
    else:
        behind = all(n < 0 for _, n in bound.terms)
        behind |= isinstance(length, Open) and isinstance(bound + length, int)
    return bound + length if behind else bound


def _sliced(length: Length, part: slice) -> Length:
    """Return how long a slice is."""
    if isinstance(length, int):
        return len(range(*part.indices(length)))
    start: int = part.start or 0
    stop: int | None = part.stop
    step: int = part.step
    if step == 1 and start >= 0 and stop is not None and stop < 0:
        return length + stop - start
    if step == 1 and stop is None:
        return length - start if start >= 0 else -start
    if step > 0 and start >= 0 and stop is not None and stop > 0:
        return len(range(start, stop, step))  # of an axis that is long enough
    if step == -1 and part.start is None and stop is None:
        return length
    if step > 1 and start >= 0 and (stop is None or stop < 0):
        return (length + (stop or 0) - start + step - 1) // step
    return Open.named(f"[{start}:{stop}:{step} of {length}]")


def _longer(row: Sequence[Length]) -> list[Length]:
    """Return the lengths that are not 1."""
    return [n for n in row if n != 1]


def _side_by_side(row: Sequence[Length], made: Sequence[Length]) -> int:
    """Return how many places of a row come side by side, where no other axes change; 0 else."""
    count = row[-2] if len(row) > 1 else 0
    if not isinstance(count, int) or not 0 < count <= _MOST_JOINED:
        return 0
    return count if [*row[:-2], count * row[-1]] == [*made] else 0


def _regrouped(tensor: Tensor, shape: Sequence[Length]) -> tuple[list[Length], int, int, int]:
    """Return a row's shape, and how the batch is joined with it, for a tensor of another shape."""
    wrong = UnsupportedError(f"a tensor of shape {list(tensor.shape)} as {list(shape)}")
    batch = next((i for i, n in enumerate(shape) if divided(n, BATCH) is not None), None)
    if batch is None or divided(product(tensor.shape), product(shape)) != 1:
        raise wrong
    split = tensor.at + tensor.before
    in_front, behind = tensor.row[:split], tensor.row[split:]
    # What is left of the axes on each side of the batch is in its axis.
    front = divided(product(in_front), product(shape[:batch]))
    back = divided(product(behind), product(shape[batch + 1 :]))
    if front is None or back is None:
        raise wrong
    own_front = _kept(in_front, shape[:batch], front)
    own_back = _kept(behind[::-1], shape[:batch:-1], back)[::-1]
    row = [*shape[:batch], *own_front, *own_back, *shape[batch + 1 :]]
    return row, batch, len(own_front), len(own_back)


def _kept(axes: Sequence[Length], outer: Sequence[Length], merged: Length) -> Sequence[Length]:
    """Return the axes of a row that are joined with the batch: those there are, or one.

    Of length 1 there are none, by which those of two tensors would differ.
    """
    if merged == 1:
        return ()
    if tuple(axes[: len(outer)]) == tuple(outer):
        return _longer(axes[len(outer) :])
    return (merged,)

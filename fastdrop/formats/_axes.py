"""Tensors as other libraries have them, written as calls of layers: `Axes`, which moves axes about.

What depends on no input is computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import layers
from fastdrop.formats._lengths import Length, Open, known
from fastdrop.formats._values import (
    OfRows,
    Piece,
    Spread,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    counted,
    joined,
    without_row,
)
from fastdrop.layers._layer import Layer
from fastdrop.model import Call

Array = NDArray[Any]


class Axes:
    """Calls of layers, as they are written one after another.

    Attributes
    ----------
    entries : list of Call
    inputs : list of Tensor
    rows : int or None
        How many rows a batch has where a file or module has fixed it; each such number may be it.
    single_row : bool
        Whether that is one, so that its axis may be taken away, and put in anywhere.
    scope : str
        What layers are called that are written now.
    notes : list of str
        What a reader should know of how something is done.
    """

    def __init__(self) -> None:
        self.entries: list[Call] = []
        self.inputs: list[Tensor] = []
        self.rows: int | None = None
        self.single_row: bool = False
        self.scope: str = "layer"
        self.notes: list[str] = []
        # The rows of a batch of which some has been taken out by itself.
        self.taken_rows: set[int] = set()
        self._taken: set[str] = set()
        # What some tensors were made of, for what undoes it or takes a part.
        self._moved: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
        self._stacked: dict[str, tuple[int, list[Tensor]]] = {}
        # Along which axis of rows a tensor was put together, and of which pieces.
        self.pieces: dict[str, tuple[int, list[Piece]]] = {}
        # An axis of a tensor of each open length.
        self._open: dict[Length, tuple[str, tuple[Length, ...], int]] = {}
        self._counted: dict[Length, Tensor] = {}
        # What takes as many places as a slice asks for of an axis of open length, by the slice.
        self._exact: dict[int, Layer] = {}

    # ---- calls ----

    def called(self, scope: str) -> str:
        """Call layers so that are written from now on, and return what they were called."""
        before, self.scope = self.scope, scope
        return before

    def input(self, name: str, shape: Sequence[Length], at: int) -> Tensor:
        """Return one of the model's inputs."""
        self._taken.add(name)
        row = tuple(n for i, n in enumerate(shape) if i != at)
        tensor = self._known(Tensor(name, row, at))
        self.inputs.append(tensor)
        return tensor

    def _known(self, tensor: Tensor) -> Tensor:
        for axis, length in enumerate(tensor.row):
            if isinstance(length, Open):
                self._open.setdefault(length, (tensor.name, tensor.row, axis))
        return tensor

    def call(
        self, layer: Layer, inputs: Sequence[str], rows: Sequence[Sequence[Length]]
    ) -> list[str]:
        """Write a call, given the shapes of rows that it takes, and return the names it makes."""
        name, count = layer.name, 0
        while name in self._taken:
            count += 1
            name = f"{layer.name}@{count}"
        try:
            made = len(layer.output_shapes([known(row) for row in rows]))
        except ValueError as error:
            raise UnsupportedError(str(error)) from error
        self._taken.add(name)
        self.entries.append(Call(layer, list(inputs), name))
        return [name, *(f"{name}:{k}" for k in range(1, made))]

    def single(self, layer: Layer, tensor: Tensor, row: Sequence[Length] | None = None) -> Tensor:
        """Write a call of one tensor, which keeps its axes, or has others in a row as told."""
        (name,) = self.call(layer, [tensor.name], [tensor.row])
        made = tensor.row if row is None else tuple(row)
        return self._known(replace(tensor, name=name, row=made))

    def each(self, layer: Layer, extra: int) -> Layer:
        """Return a layer that does the same for each place of so many axes in front."""
        for _ in range(extra):
            layer = layers.TimeDistributed(name=layer.name, layer=layer)
        return layer

    def tensor(self, value: Value, like: Tensor) -> Tensor:
        """Return a constant as a tensor of rows, for the rows that another tensor has."""
        if isinstance(value, Tensor):
            return value
        if not isinstance(value, Spread):
            raise UnsupportedError("a constant where rows of a batch are needed")
        numbers = np.asarray(value.value, np.float32)
        layer = layers.Constant(name=self.scope, value=numbers)
        (name,) = self.call(layer, [like.name], [like.row])
        return Tensor(name, numbers.shape, value.at)

    def some_tensor(self, value: Value) -> Tensor:
        """Return a constant as a tensor of rows."""
        if not self.inputs:
            raise UnsupportedError("rows of a batch that no input has")
        return self.tensor(value, self.inputs[0])

    def same(self, one: Value, other: Value) -> bool:
        """Whether two values are the same one, or computed number by number of the same."""
        if not isinstance(one, Tensor) or not isinstance(other, Tensor):
            return one is other
        if replace(one, name=other.name) != other:
            return False
        calls = {call.name: call for call in self.entries}
        waiting = [(one.name, other.name)]
        while waiting:
            names = waiting.pop()
            if names[0] == names[1]:
                continue
            first, second = (calls.get(name) for name in names)
            if first is None or second is None or not _alike(first.layer, second.layer):
                return False
            inputs = [first.inputs or (), second.inputs or ()]
            if len(inputs[0]) != len(inputs[1]):
                return False
            waiting += zip(*inputs, strict=True)
        return True

    # ---- axes ----

    def bundled_first(self, tensor: Tensor) -> Tensor:
        """Return the same with the batch, and what is merged with it, in front."""
        if not tensor.at or not tensor.merged:
            return replace(tensor, at=0)
        order = [tensor.at, *(i for i in range(tensor.ndim) if i != tensor.at)]
        moved = self.permute(tensor, order)
        assert isinstance(moved, Tensor)
        return moved

    def permute(self, value: Value, axes: Sequence[int]) -> Value:
        """Put axes into another order."""
        axes = [counted(axis, value.ndim) for axis in axes]
        if isinstance(value, Spread):
            order = [a - (a > value.at) for a in axes if a != value.at]
            return Spread(value.value.transpose(order), axes.index(value.at))
        if not isinstance(value, Tensor):
            return np.transpose(value, axes)
        order = []
        for axis in axes:
            if axis == value.at:
                order += range(value.at, value.at + value.merged)
            else:
                order.append(value.axis(axis))
        moved = self._transposed(value, order)
        return replace(moved, at=axes.index(value.at))

    def _transposed(self, tensor: Tensor, order: Sequence[int]) -> Tensor:
        """Put the axes of rows into another order; what undoes another is left out."""
        row = tuple(tensor.row[axis] for axis in order)
        source, before = self._moved.get(tensor.name, (tensor, tuple(range(len(order)))))
        whole = tuple(before[axis] for axis in order)
        if whole == tuple(range(len(order))):
            return replace(tensor, name=source.name, row=row)
        layer = layers.Transpose(name=self.scope, axes=whole)
        (name,) = self.call(layer, [source.name], [source.row])
        self._moved[name] = (source, whole)
        return self._known(replace(tensor, name=name, row=row))

    def unsqueeze(self, value: Value, axis: int) -> Value:
        """Put in an axis of length 1, counted in the result."""
        if isinstance(value, OfRows):
            raise UnsupportedError("numbers of rows, computed with")
        axis = counted(axis, value.ndim + 1)
        if isinstance(value, Spread):
            inside = axis - (axis > value.at)
            return Spread(np.expand_dims(value.value, inside), value.at + (axis <= value.at))
        if not isinstance(value, Tensor):
            return np.expand_dims(value, axis)
        at = axis if axis <= value.at else axis - 1 + value.merged
        row = (*value.row[:at], 1, *value.row[at:])
        layer = layers.ExpandDims(name=self.scope, axis=at)
        (name,) = self.call(layer, [value.name], [value.row])
        return value.inserted(axis, row, name)

    def squeeze(self, value: Value, axes: Sequence[int] | None = None) -> Value:
        """Take out axes of length 1; those of other lengths stay."""
        given = range(value.ndim) if axes is None else [counted(a, value.ndim) for a in axes]
        if isinstance(value, Spread):
            kept = [a for a in given if a != value.at and value.shape[a] == 1]
            inside = tuple(a - (a > value.at) for a in kept)
            at = value.at - sum(a < value.at for a in kept)
            return Spread(np.squeeze(value.value, inside), at)
        if not isinstance(value, Tensor):
            return np.squeeze(value, tuple(a for a in given if value.shape[a] == 1))
        kept = [a for a in given if value.shape[a] == 1]
        single = self.single_row and not value.merged and value.at in given
        if kept:
            gone = [value.axis(a) for a in kept]
            row = tuple(n for i, n in enumerate(value.row) if i not in gone)
            layer = layers.Squeeze(name=self.scope, axes=tuple(gone))
            (name,) = self.call(layer, [value.name], [value.row])
            at = value.at - sum(a < value.at for a in kept)
            value = replace(value, name=name, row=row, at=at)
        return without_row(value) if single and (value.row or axes is not None) else value

    def row_on(self, value: Value, at: int) -> Value:
        """Put the axis of one row on an axis of length 1, where it can be."""
        if not self.single_row or not isinstance(value, Tensor) or value.merged > 1:
            return value
        if not at < value.ndim or at == value.at or value.shape[at] != 1:
            return value
        if value.merged:
            found = self.squeeze(replace(value, at=0, before=0, behind=0), [1 + at])
            assert isinstance(found, Tensor)
            return replace(found, at=at)
        order = [i for i in range(value.ndim) if i != value.at]
        return self.permute(value, [*order[:at], value.at, *order[at:]])

    def with_row(self, value: Tensor) -> Tensor:
        """Put the axis of one row that has none on the first axis of length 1, if there is one."""
        if not value.merged or 1 not in value.shape:
            return value
        found = self.row_on(value, value.shape.index(1))
        assert isinstance(found, Tensor)
        return found

    def _led(self, tensor: Tensor, missing: int) -> Tensor:
        """Put axes of length 1 in front."""
        for _ in range(missing):
            value = self.unsqueeze(tensor, 0)
            assert isinstance(value, Tensor)
            tensor = value
        return tensor

    def select(self, value: Value, axis: int, index: int) -> Value:
        """Take one place along an axis, which is gone then."""
        axis = counted(axis, value.ndim)
        if isinstance(value, Spread):
            if axis == value.at:
                raise UnsupportedError("one row of the batch is taken out")
            inside = axis - (axis > value.at)
            if not -value.value.shape[inside] <= index < value.value.shape[inside]:
                raise UnsupportedError(f"index {index} of an axis of length {value.shape[axis]}")
            found = np.take(value.value, index, inside)
            return Spread(found, value.at - (axis < value.at))
        if not isinstance(value, Tensor):
            return np.asarray(np.take(value, index, axis))
        if axis == value.at and self.single_row and index in (0, -1) and not value.merged:
            return without_row(value)
        if axis == value.at:
            self.taken_rows.add(index)
            raise UnsupportedError("one row of the batch is taken out")
        at = value.axis(axis)
        length = value.row[at]
        if isinstance(length, int) and not -length <= index < length:
            raise UnsupportedError(f"index {index} of an axis of length {length}")
        stacked = self._stacked.get(value.name)
        if stacked is not None and stacked[0] == at:
            return replace(
                value,
                name=stacked[1][index].name,
                row=tuple(n for i, n in enumerate(value.row) if i != at),
                at=value.at - (axis < value.at),
            )
        pieces = self.pieces_of(value, at)
        if pieces is not None and isinstance(length, int):
            piece, place = _piece_at(pieces, index % length)
            return self.select(piece.of, axis, place)
        row = tuple(n for i, n in enumerate(value.row) if i != at)
        key: tuple[Any, ...] = (*(slice(None),) * at, index)
        layer = layers.Slice(name=self.scope, key=key)
        (name,) = self.call(layer, [value.name], [value.row])
        return replace(value, name=name, row=row, at=value.at - (axis < value.at))

    def pieces_of(self, tensor: Tensor, axis: int) -> list[Piece] | None:
        """Return of what a tensor was put together along an axis of rows, if it was."""
        along, pieces = self.pieces.get(tensor.name, (None, []))
        if along != axis:
            return None
        return [replace(p, of=replace(tensor, name=p.of.name, row=p.of.row)) for p in pieces]

    # ---- several tensors ----

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Put tensors one behind the other."""
        values = [v for v in values if isinstance(v, (Tensor, Spread)) or v.size or v.ndim > 1]
        if len(values) == 1:
            return values[0]
        axis = counted(axis, values[0].ndim)
        tensors = self.alike(values)
        if tensors is None:
            if any(isinstance(v, Spread) for v in values):
                spread = [v for v in values if isinstance(v, Spread)]
                places = {s.at for s in spread}
                if len(spread) < len(values) or len(places) > 1 or axis in places:
                    raise UnsupportedError("constants of different kinds, joined")
                inside = axis - (axis > spread[0].at)
                whole = np.concatenate([s.value for s in spread], inside)
                return Spread(whole, spread[0].at)
            return np.concatenate([as_array(v) for v in values], axis)
        alone = not tensors[0].merged and bool(tensors[0].row)
        if self.single_row and alone and tensors[0].at == axis:  # one behind the other of one each
            stacked = self.stack(tensors, axis + 1)
            assert isinstance(stacked, Tensor)
            return joined(stacked, axis)
        at = tensors[0].axis(axis)
        layer = layers.Concatenate(name=self.scope, axis=at, masks="none")
        (name,) = self.call(layer, [t.name for t in tensors], [t.row for t in tensors])
        length: Length = 0
        for tensor in tensors:
            length = length + tensor.row[at]
        row = (*tensors[0].row[:at], length, *tensors[0].row[at + 1 :])
        return self._known(replace(tensors[0], name=name, row=row))

    def stack(self, values: Sequence[Value], axis: int) -> Value:
        """Put tensors side by side along a new axis, counted in the result."""
        axis = counted(axis, values[0].ndim + 1)
        tensors = self.alike(values)
        if tensors is None:
            return self.concatenate([self.unsqueeze(v, axis) for v in values], axis)
        first = tensors[0]
        at = axis if axis <= first.at else axis - 1 + first.merged
        layer = layers.Stack(name=self.scope, axis=at)
        (name,) = self.call(layer, [t.name for t in tensors], [t.row for t in tensors])
        row = (*first.row[:at], len(tensors), *first.row[at:])
        self._stacked[name] = (at, list(tensors))
        return first.inserted(axis, row, name)

    def alike(self, values: Sequence[Value]) -> list[Tensor] | None:
        """Return values as tensors whose batch is on one axis; None if none is one."""
        first = next((v for v in values if isinstance(v, Tensor)), None)
        if first is None:
            return None
        tensors = [self.tensor(self._spread(v, first), first) for v in values]
        for tensor in tensors:
            layout = (tensor.at, tensor.before, tensor.behind)
            if layout != (first.at, first.before, first.behind):
                raise UnsupportedError("tensors whose batch is on different axes")
        return tensors

    def _spread(self, value: Value, like: Tensor) -> Value:
        """Return a constant that is as long as 1 along the batch as one for each row."""
        if isinstance(value, (Tensor, Spread)) or value.ndim != like.ndim or like.merged:
            return value
        return Spread(np.squeeze(value, like.at), like.at) if value.shape[like.at] == 1 else value


def _alike(one: Layer, other: Layer) -> bool:
    """Whether two layers compute the same function number by number."""
    if not isinstance(one, layers.Elementwise) or not isinstance(other, layers.Elementwise):
        return False
    return (
        one.function == other.function
        and len(one.operands) == len(other.operands)
        and all(map(np.array_equal, one.operands, other.operands))
    )


def _piece_at(pieces: Sequence[Piece], place: int) -> tuple[Piece, int]:
    """Return the piece that has a place of the whole, and which of its tensor that is."""
    start = 0
    for piece in pieces:
        if place < start + piece.stop - piece.start:
            return piece, piece.start + place - start
        start += piece.stop - piece.start
    raise IndexError(place)

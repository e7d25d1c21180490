"""Numbers written to places of a tensor: the result is put together of pieces.

What is known of places is known when a model is read, so nothing looks for them when it runs. A
tensor that is written into again and again, as a loop over time steps does, is made of what was
written last to each place, and what lies in between is never computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from fastdrop.formats._axes import Array
from fastdrop.formats._lengths import BATCH, Length, Open, product
from fastdrop.formats._tensors import Tensors
from fastdrop.formats._values import (
    OfRows,
    Piece,
    RowBlocks,
    RowNumbers,
    RowPlaces,
    RowStarts,
    RowSums,
    Spread,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    broadcast,
    counted,
)

# Of how many pieces a tensor may be: each is copied by itself.
MOST_PIECES = 1024
# How many places along an axis may be computed, and of how many: all are compared with each.
MOST_COMPUTED, MOST_COMPARED = 64, 2**24


def is_counted(value: object) -> bool:
    """Say whether it is the number of each row."""
    return isinstance(value, RowNumbers) and value.ndim == 1


def is_one_a_row(value: object) -> bool:
    """Say whether it is one number of each row."""
    return isinstance(value, Tensor) and value.shape == (BATCH,)


def place_of_row(b: Tensors, function: str, one: Any, other: Any) -> OfRows:
    """Compute a place of each row among those of all, which are laid out one after another."""
    first, second = (one, other) if isinstance(one, OfRows) else (other, one)
    if function == "multiply" and is_counted(first) and isinstance(second, (int, Open)):
        return RowStarts(second)
    if isinstance(one, RowPlaces) and isinstance(other, int) and function in ("add", "subtract"):
        number = b.elementwise(function, one.number, float(other))
        assert isinstance(number, Tensor)
        return RowPlaces(number, one.step)
    plain = function == "add" and not isinstance(second, OfRows)
    if plain and isinstance(first, (RowNumbers, RowSums)):
        return RowSums(broadcast([first.lengths, getattr(second, "shape", ())]))
    if function == "add" and isinstance(first, RowStarts) and is_one_a_row(second):
        return RowPlaces(second, first.step)
    blocks, rows = (first, second) if isinstance(first, RowBlocks) else (second, first)
    if function == "add" and isinstance(blocks, RowBlocks) and is_counted(rows):
        return RowPlaces(blocks.number, None)
    raise UnsupportedError("numbers of rows, computed with")


def put(b: Tensors, value: Value, numbers: Value, axis: int, places: Sequence[int]) -> Value:
    """Write numbers to places along an axis, of which they have as many.

    value, numbers : Tensor, Spread or array
        One of them must be a tensor; the batch is on one axis of both, and not on this one.
    places : sequence of int
        Counted from the end if negative, each of them once.
    """
    axis = counted(axis, value.ndim)
    length = value.shape[axis]
    if not isinstance(length, int):
        raise UnsupportedError(f"numbers put to places of an axis of open length ({length})")
    if any(not -length <= n < length for n in places):
        raise UnsupportedError(f"places beyond an axis of length {length}")
    found = [n % length for n in places]
    if len({*found}) != len(found):
        raise UnsupportedError("several numbers put to one place")
    if [*value.shape[:axis], len(found), *value.shape[axis + 1 :]] != [*numbers.shape]:
        raise UnsupportedError(
            f"numbers of shape {list(numbers.shape)} put to {len(found)} places of "
            f"{list(value.shape)}"
        )
    runs = _runs(found)
    if runs == [(0, 0, length)]:
        return numbers
    tensors = b.alike([value, numbers])
    if tensors is None:
        return _constant(value, numbers, axis, found)
    old, new = tensors
    at = old.axis(axis)
    pieces = b.pieces_of(old, at) or [Piece(old, 0, length)]
    for place, first, count in runs:
        pieces = _replaced(pieces, place, Piece(new, first, first + count))
    if len(pieces) > MOST_PIECES:
        raise UnsupportedError(f"a tensor of {len(pieces)} pieces")
    joined = b.concatenate([b.slice(p.of, axis, p.start, p.stop) for p in pieces], axis)
    assert isinstance(joined, Tensor)
    b.pieces[joined.name] = (at, pieces)
    return joined


def _runs(places: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return places that follow on one another: the first, which of all it is, and how many."""
    ends = [i for i, (m, n) in enumerate(pairwise(places), 1) if m + 1 != n]
    if len(ends) >= MOST_PIECES:
        raise UnsupportedError(f"a tensor of more than {len(ends)} pieces")
    return [(places[i], i, j - i) for i, j in pairwise([0, *ends, len(places)])]


def _replaced(pieces: Sequence[Piece], place: int, new: Piece) -> list[Piece]:
    """Return the pieces of an axis with one more in the place of what was there."""
    end = place + new.stop - new.start
    before, behind = [], []
    start = 0
    for piece in pieces:
        stop = start + piece.stop - piece.start
        if start < place:
            before.append(replace(piece, stop=min(piece.stop, piece.start + place - start)))
        if stop > end:
            behind.append(replace(piece, start=max(piece.start, piece.stop - stop + end)))
        start = stop
    return [*before, new, *behind]


def put_along(
    b: Tensors, value: Value, places: Value, numbers: Value, axis: int, rows: int | None = None
) -> Value:
    """Write numbers to places along an axis, known ones all over the others, or computed ones.

    `places` has the axes of `numbers`. `rows` is how many a batch has where a file has fixed it.
    """
    axis = counted(axis, value.ndim)
    if places.ndim != value.ndim:
        raise UnsupportedError(f"{list(places.shape)} places of {list(value.shape)}")
    given = (places, value, numbers)
    framed = next((v for v in given if isinstance(v, (Tensor, Spread))), None)
    at = None if framed is None else framed.at
    if at == axis:
        raise UnsupportedError("numbers put to rows of the batch")
    if at is not None:
        value, places, numbers = (of_rows(rows, v, at) for v in (value, places, numbers))
    if places.shape != numbers.shape:
        raise UnsupportedError(f"{list(places.shape)} places for {list(numbers.shape)} numbers")
    if isinstance(places, Tensor):
        return _put_computed(b, value, places, numbers, axis)
    array = places.value if isinstance(places, Spread) else as_array(places)
    along = np.moveaxis(array, axis - (at is not None and at < axis), -1)
    found = along.reshape(-1, along.shape[-1])
    if not found.size or (found != found[0]).any():
        raise UnsupportedError("numbers put to other places in each row")
    return put(b, value, numbers, axis, [int(n) for n in found[0]])


def add_along(
    b: Tensors, value: Value, places: Value, numbers: Value, axis: int, rows: int | None = None
) -> Value:
    """Add numbers to places along an axis, several to one or none: a product with where each goes.

    Arguments are those of `put_along`, but that places may be other ones everywhere.
    """
    axis = counted(axis, value.ndim)
    given = (places, value, numbers)
    framed = next((v for v in given if isinstance(v, (Tensor, Spread))), None)
    if framed is not None and framed.at == axis:
        raise UnsupportedError("numbers added to rows of the batch")
    if framed is not None:
        value, places, numbers = (of_rows(rows, v, framed.at) for v in (value, places, numbers))
    others = [[n for i, n in enumerate(v.shape) if i != axis] for v in (value, places, numbers)]
    if not others[0] == others[1] == others[2]:
        raise UnsupportedError("numbers added to a part of the places on another axis")
    length = value.shape[axis]
    if not isinstance(length, int):
        raise UnsupportedError(f"numbers added to places of an axis of open length ({length})")
    last = [i for i in range(value.ndim) if i != axis] + [axis]
    value, places, numbers = (b.permute(v, last) for v in (value, places, numbers))
    behind = b.elementwise("multiply", b.elementwise("less", places, 0.0), float(length))
    places = b.unsqueeze(b.elementwise("add", places, behind), places.ndim)
    here = b.elementwise("equal", places, np.arange(length, dtype=np.float32))
    added = b.matmul(b.unsqueeze(numbers, numbers.ndim - 1), here)
    made = b.elementwise("add", value, b.squeeze(added, [added.ndim - 2]))
    return b.permute(made, [last.index(i) for i in range(value.ndim)])


def _put_computed(b: Tensors, value: Value, places: Tensor, numbers: Value, axis: int) -> Value:
    """Write numbers to places that each row computes: all places are compared with them."""
    length, count = value.shape[axis], places.shape[axis]
    if [n for i, n in enumerate(places.shape) if i != axis] != [
        n for i, n in enumerate(value.shape) if i != axis
    ]:
        raise UnsupportedError(f"{list(places.shape)} places of {list(value.shape)}")
    if not isinstance(length, int) or not isinstance(count, int):
        raise UnsupportedError(f"{count} computed places of {length}")
    if count > MOST_COMPUTED or length > MOST_COMPARED:
        raise UnsupportedError(f"{count} computed places of {length}")
    every = np.arange(length, dtype=np.float32).reshape(-1, *(1,) * (value.ndim - 1 - axis))
    for i in range(count):
        place, number = (b.slice(v, axis, i, i + 1) for v in (places, numbers))
        behind = b.elementwise("multiply", b.elementwise("less", place, 0.0), float(length))
        here = b.elementwise("equal", every, b.elementwise("add", place, behind))
        value = b.elementwise("where", here, number, value)
    return value


def _constant(value: Value, numbers: Value, axis: int, places: Sequence[int]) -> Value:
    """Write constants to places of a constant."""
    if isinstance(value, Spread) and isinstance(numbers, Spread) and value.at == numbers.at:
        inside = axis - (axis > value.at)
        made = _constant(value.value, numbers.value, inside, places)
        return Spread(as_array(made), value.at)
    made = as_array(value).copy()
    np.moveaxis(made, axis, 0)[list(places)] = np.moveaxis(as_array(numbers), axis, 0)
    return made


@dataclass(frozen=True)
class _Place:
    """Where the numbers that are written go on one axis: `of` has the axes of the indices."""

    axis: int
    of: Array


def scatter(
    b: Tensors,
    value: Value,
    indices: Sequence[RowNumbers | Tensor | Spread | Array],
    numbers: Value,
    rows: int | None = None,
) -> Value:
    """Write numbers where indices of the first axes say, as `value[indices] = numbers` does.

    `numbers` has the axes of an index, then those of the value that have none. Each row writes into
    itself: of the axis of the batch, all rows are written to, each once. `rows` is how many a batch
    has where a file has fixed it.
    """
    ndim, count = _rank(indices), len(indices)
    if count > value.ndim or numbers.ndim != ndim + value.ndim - count:
        raise UnsupportedError(f"{count} indices of {ndim} axes for {list(value.shape)}")
    for index in indices:
        given = zip(index.shape, numbers.shape, strict=False)
        if any(m not in (n, rows) and n not in (m, rows) for n, m in given):
            raise UnsupportedError(
                f"indices of shape {list(index.shape)} for numbers of {list(numbers.shape)}"
            )
    arrays = [v for v in (value, numbers, *indices) if isinstance(v, np.ndarray)]
    if len(arrays) == count + 2:
        return _all_constant(arrays)
    if any(isinstance(index, Tensor) for index in indices):
        return _put_in_each_row(b, value, indices, numbers, rows)
    at, along = _batch(rows, value, indices, numbers, ndim)
    value, numbers = of_rows(rows, value, at), of_rows(rows, numbers, along)
    within = range(ndim) if along >= ndim else [i for i in range(ndim) if i != along]
    places = [
        _Place(axis, _of_one_row(rows, index, along if at < count else None))
        for axis, index in enumerate(indices)
        if axis != at
    ]
    # Axes of which all places are written to in order stay beside the batch; then come those of
    # which some are, laid out as one, and those that have no index.
    counted_out = _in_order(places, value.shape)
    own, taken = [at, *counted_out], [along, *(within[i] for i in counted_out.values())]
    some = [place for place in places if place.axis not in counted_out]
    rest = [a for a in range(count, value.ndim) if a != at]
    order = [*own, *(place.axis for place in some), *rest]
    free = [i for i in within if i not in taken]
    old = b.permute(value, order)
    new = b.permute(numbers, [*taken, *free, *(ndim + a - count for a in rest)])
    outer, inner = old.shape[: len(own)], old.shape[len(own) + len(some) :]
    lengths = old.shape[len(own) : len(own) + len(some)]
    flat = _flat(some, lengths, [within.index(i) for i in free])
    old = _as(b, old, [*outer, product(lengths), *inner])
    made = put(b, old, _as(b, new, [*outer, len(flat), *inner]), len(own), flat)
    made = _as(b, made, [*outer, *lengths, *inner])
    return b.permute(made, [order.index(a) for a in range(value.ndim)])


def _put_in_each_row(
    b: Tensors, value: Value, indices: Sequence[Any], numbers: Value, rows: int | None
) -> Value:
    """Write a number into each row, at a place that the row computes."""
    computed = [i for i, index in enumerate(indices) if isinstance(index, Tensor)]
    at = next((i for i, index in enumerate(indices) if isinstance(index, RowNumbers)), None)
    if len(indices) != 2 or len(computed) != 1 or at is None or indices[at].ndim != 1:
        raise UnsupportedError("numbers put to places that are computed")
    (axis,), value = computed, of_rows(rows, value, at)
    numbers = b.unsqueeze(of_rows(rows, numbers, 0), axis)
    place: Value = indices[axis]
    for _ in range(value.ndim - 1):
        place = b.unsqueeze(place, place.ndim)
    moved = b.permute(place, [1, 0, *range(2, place.ndim)] if at else [*range(place.ndim)])
    shape = [1 if i == axis else n for i, n in enumerate(value.shape)]
    return put_along(b, value, b.expand(moved, shape), numbers, axis, rows)


def _all_constant(arrays: Sequence[Array]) -> Array:
    value, numbers, *indices = arrays
    for index, n in zip(indices, value.shape, strict=False):
        if index.size and not -n <= index.min() <= index.max() < n:
            raise UnsupportedError(f"places beyond an axis of length {n}")
    made = value.copy()
    made[tuple(indices)] = numbers
    return made


def _as(b: Tensors, value: Value, shape: Sequence[Length]) -> Value:
    return value if tuple(value.shape) == tuple(shape) else b.reshape(value, shape)


def _rank(indices: Sequence[Any]) -> int:
    ranks: set[int] = {index.ndim for index in indices}
    if len(ranks) != 1:
        raise UnsupportedError("indices of different shapes")
    return ranks.pop()


def _batch(
    rows: int | None,
    value: Value,
    indices: Sequence[Any],
    numbers: Value,
    ndim: int,
) -> tuple[int, int]:
    """Return on which axis of the value the batch is, and on which of the numbers."""
    count = len(indices)
    if isinstance(value, (Tensor, Spread)):
        at = value.at
    elif isinstance(numbers, (Tensor, Spread)) and numbers.at >= ndim:
        at = numbers.at - ndim + count
    else:
        found = [
            i
            for i, index in enumerate(indices)
            if value.shape[i] == rows and _rows_along(rows, index, numbers) is not None
        ]
        # One row may be on any axis of length 1.
        single = range(count, value.ndim) if rows == 1 else ()
        found += [i for i in single if value.shape[i] == 1]
        if not found or not isinstance(numbers, (Tensor, Spread)):
            raise UnsupportedError("constants put to places of rows")
        at = found[0]
    if at >= count:
        return at, ndim + at - count
    along = _rows_along(rows, indices[at], numbers)
    if along is None:
        raise UnsupportedError("numbers put to rows of the batch")
    return at, along


def _rows_along(rows: int | None, index: Any, numbers: Value) -> int | None:
    """Return along which of its axes an index counts rows; None for none."""
    at = numbers.at if isinstance(numbers, (Tensor, Spread)) else None
    if isinstance(index, RowNumbers):
        return index.at if at in (None, index.at) else None
    if isinstance(index, Spread) or rows is None:
        return None
    for axis in range(index.ndim) if at is None else [at]:
        if axis < index.ndim and index.shape[axis] == rows and _counts(index, axis):
            return axis
    return None


def _counts(index: Array, axis: int) -> bool:
    """Say whether it is 0, 1, 2 and so on along an axis, and the same along others."""
    numbers = np.arange(index.shape[axis]).reshape(-1, *(1,) * (index.ndim - 1 - axis))
    return bool((index == numbers).all())


def of_rows(rows: int | None, value: Value, at: int) -> Value:
    """Return a constant with the batch on an axis along which it is the same."""
    if isinstance(value, (Tensor, Spread)):
        passed = value.shape[min(at, value.at) : max(at, value.at) + 1]
        if rows == 1 and all(n == 1 for n in passed if n != BATCH):
            value = replace(value, at=at)
        if value.at != at or (isinstance(value, Tensor) and value.merged):
            raise UnsupportedError("numbers put to places, whose batch is on another axis")
        return value
    if value.shape[at] != rows:
        raise UnsupportedError(f"a constant of {value.shape[at]} rows")
    return Spread(np.squeeze(one_row(value, at), at), at)


def one_row(value: Array, axis: int) -> Array:
    """Return the one row of a constant that is the same for all rows."""
    if value.shape[axis] == 1:
        return value
    first: Array = value.take([0], axis)
    if not (value == first).all():
        raise UnsupportedError("a constant that differs from row to row")
    return first


def _of_one_row(rows: int | None, index: Any, along: int | None) -> Array:
    """Return an index without the axis of rows."""
    if isinstance(index, RowNumbers) or (isinstance(index, Spread) and index.at != along):
        raise UnsupportedError("numbers of rows as places of other axes")
    if isinstance(index, Spread):
        return index.value
    array = as_array(index)
    if along is None:
        return array
    if array.shape[along] != rows:
        raise UnsupportedError(f"places of {array.shape[along]} rows")
    return np.squeeze(one_row(array, along), along)


def _varies(index: Array, axis: int) -> bool:
    return index.shape[axis] > 1 and bool((index != np.take(index, [0], axis)).any())


def _in_order(places: Sequence[_Place], shape: Sequence[Length]) -> dict[int, int]:
    """Return axes of which all places are counted in order, with the axis of the indices."""
    found: dict[int, int] = {}
    for place in places:
        others = [p.of for p in places if p is not place]
        for i, n in enumerate(place.of.shape):
            counts = n == shape[place.axis] and n > 1 and _counts(place.of, i)
            if counts and not any(_varies(of, i) for of in others):
                found[place.axis] = i
    return found


def _flat(places: Sequence[_Place], lengths: Sequence[Length], free: Sequence[int]) -> list[int]:
    """Return where numbers go on indexed axes laid out as one; `free` are the index's axes."""
    found: Any = 0
    for place, n in zip(places, lengths, strict=True):
        if not isinstance(n, int):
            raise UnsupportedError(f"numbers put to places of an axis of open length ({n})")
        rest = tuple(slice(None) if i in free else 0 for i in range(place.of.ndim))
        own = place.of[rest].astype(np.int64)
        if own.size and not -n <= own.min() <= own.max() < n:
            raise UnsupportedError(f"places beyond an axis of length {n}")
        found = found * n + own % n
    return [int(i) for i in np.reshape(found, -1)]

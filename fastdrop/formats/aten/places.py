"""Operators that take, write and order places by their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._lengths import BATCH, Length
from fastdrop.formats._networks import Networks
from fastdrop.formats._places import add_along, put, put_along, scatter
from fastdrop.formats._values import (
    Chosen,
    OfRows,
    Order,
    RowNumbers,
    RowPlaces,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    broadcast,
    counted,
)
from fastdrop.formats.aten._rows import Arguments, is_open, row
from fastdrop.formats.aten.random import truth

Array = NDArray[Any]


@row("index_put")
def _index_put(b: Networks, a: Arguments) -> Any:
    """Write where a mask is true, or to places by their numbers."""
    value, numbers = a.values["self"], a.values["values"]
    if a.accumulate:
        return _added(b, value, a.indices, numbers)
    if len(a.indices) == 1 and isinstance(a.indices[0], (Tensor, Spread)):
        return _put_masked(b, value, a.indices[0], numbers)
    taken = [i for i, index in enumerate(a.indices) if index is not None]
    indices = _beside_one_another([a.indices[i] for i in taken])
    rest = [i for i in range(value.ndim) if i not in taken]
    # Where several indices stand side by side their axes are there, or else in front.
    side_by_side = taken == [*range(taken[0], taken[-1] + 1)]
    first = taken[0] if side_by_side else 0
    rank, own = indices[0].ndim, indices[0].shape
    lengths = [value.shape[i] for i in rest]
    numbers = b.expand(numbers, [*lengths[:first], *own, *lengths[first:]])
    places = [*range(first, first + rank)]
    others = [i for i in range(numbers.ndim) if i not in places]
    moved, order = b.permute(numbers, [*places, *others]), [*taken, *rest]
    made = scatter(b, b.permute(value, order), indices, moved, b.rows)
    return b.permute(made, [order.index(i) for i in range(value.ndim)])


def _added(b: Networks, value: Value, indices: Sequence[Any], numbers: Value) -> Value:
    """Add numbers to places along an axis, by their numbers."""
    taken = [i for i, index in enumerate(indices) if index is not None]
    index = indices[taken[0]]
    if len(taken) > 1 or index.ndim != 1:
        raise UnsupportedError("numbers added to places on several axes")
    axis = taken[0]
    own = [*value.shape[:axis], index.shape[0], *value.shape[axis + 1 :]]
    index = np.asarray(as_array(index), np.float32)
    places = index.reshape(-1, *(1,) * (value.ndim - 1 - axis))
    return add_along(b, value, b.expand(places, own), b.expand(numbers, own), axis, b.rows)


def _put_masked(b: Networks, value: Value, mask: Value, numbers: Value | Chosen) -> Value:
    """Write where a mask of the first axes is true: one number, or what was computed there."""
    number: Value | float
    if isinstance(numbers, Chosen):
        if not b.same(numbers.mask, mask):
            raise UnsupportedError("numbers of one mask written where another is true")
        number = numbers.value
    elif isinstance(numbers, (Tensor, Spread)):
        raise UnsupportedError("several numbers written where a mask is true")
    elif np.size(numbers) == 1:
        number = np.ravel(numbers)[0]
    elif np.ndim(numbers) <= value.ndim - mask.ndim:  # the same at each place of the mask
        number = np.asarray(numbers, np.float32)
    else:
        raise UnsupportedError("several numbers written where a mask is true")
    mask = truth(b, mask)
    for _ in range(value.ndim - mask.ndim):
        mask = b.unsqueeze(mask, mask.ndim)
    return b.elementwise("where", mask, number, value)


def _beside_one_another(indices: Sequence[Any]) -> list[RowNumbers | Tensor | Spread | Array]:
    """Return indices of one shape."""
    shape = broadcast([index.shape for index in indices])
    for index in indices:
        known = isinstance(index, np.ndarray) and index.dtype.kind in "iu"
        computed = isinstance(index, Tensor) and index.shape == shape
        if not (known or computed or isinstance(index, RowNumbers)):
            raise UnsupportedError("places written by numbers that are computed")
    if BATCH not in shape:
        return [*np.broadcast_arrays(*indices)]
    at = shape.index(BATCH)
    found: list[RowNumbers | Tensor | Spread | Array] = []
    for index in indices:
        if not isinstance(index, np.ndarray):
            found.append(index if isinstance(index, Tensor) else RowNumbers(shape))
            continue
        wide = index.reshape((1,) * (len(shape) - index.ndim) + index.shape)
        if wide.shape[at] != 1:
            raise UnsupportedError("other places in each row")
        lengths = [n for i, n in enumerate(shape) if i != at and isinstance(n, int)]
        found.append(Spread(np.broadcast_to(np.squeeze(wide, at), lengths), at))
    return found


@row("masked_select")
def _masked_select(b: Networks, a: Arguments) -> Any:
    shape = broadcast([a.values["self"].shape, a.mask.shape])
    return Chosen(b.expand(a.values["self"], shape), b.expand(a.mask, shape))


@row("masked_scatter")
def _masked_scatter(b: Networks, a: Arguments) -> Any:
    if not isinstance(a.source, Chosen) or a.source.mask.shape != a.values["self"].shape:
        raise UnsupportedError("numbers written one after another where a mask is true")
    return _put_masked(b, a.values["self"], a.mask, a.source)


@row("scatter_add")
def _scatter_add(b: Networks, a: Arguments) -> Any:
    axis, numbers = counted(a.dim, a.values["self"].ndim), a.src
    if isinstance(a.index.shape[axis], int):  # of more numbers the first ones
        numbers = b.slice(numbers, axis, 0, a.index.shape[axis])
    return add_along(b, a.values["self"], a.index, numbers, axis, b.rows)


@row("select_scatter")
def _select_scatter(b: Networks, a: Arguments) -> Any:
    return put(b, a.first(), b.unsqueeze(a.src, a.dim), a.dim, [a.index])


@row("slice_scatter")
def _slice_scatter(b: Networks, a: Arguments) -> Any:
    value, length = a.first(), a.first().shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError("a part of an axis of open length, written")
    places = range(*slice(a.start, a.end, a.step).indices(length))
    return put(b, value, a.src, a.dim, places)


@row("index_copy", "index_fill.int_Scalar", "index_fill.int_Tensor")
def _index_copy(b: Networks, a: Arguments) -> Any:
    """Write places along an axis, by their numbers."""
    value, places = a.first(), [int(n) for n in np.ravel(as_array(a.index))]
    numbers = a.values.get("source")
    if numbers is None:
        own = [*value.shape]
        own[counted(a.dim, value.ndim)] = len(places)
        numbers = b.expand(np.asarray(as_array(a.value), np.float32), own)
    return put(b, value, numbers, a.dim, places)


@row("one_hot")
def _one_hot(b: Networks, a: Arguments) -> Any:
    if a.num_classes < 0:
        raise UnsupportedError("one_hot without num_classes")
    numbers = np.arange(a.num_classes, dtype=np.float32)
    return b.elementwise("equal", b.unsqueeze(a.first(), a.first().ndim), numbers)


@row("gather")
def _gather(b: Networks, a: Arguments) -> Any:
    return b.take_along(a.values["self"], a.index, a.dim)


@row("index.Tensor")
def _index(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    given = [_rows_counted(b, value, i, n) for i, n in enumerate(a.indices)]
    if len(given) == 1 and "indices" in a.bools:
        return Chosen(value, given[0])
    if len([n for n in given if n is not None]) == 1 and isinstance(given[-1], Order):
        return given[-1].of(value, len(given) - 1)
    if any(isinstance(n, Order) for n in given):
        raise UnsupportedError("places put into an order of rows")
    if len(given) == 1 and isinstance(given[0], RowPlaces):
        return b.rows_laid_out(value, given[0])
    constant = [i for i, n in enumerate(given) if isinstance(n, np.ndarray)]
    if not isinstance(value, (Tensor, Spread)) and len(constant) == len(given):
        return value[tuple(given)]
    some = [i for i, n in enumerate(given) if n is not None]
    if len(some) == 1 and isinstance(given[some[0]], Steps):
        return _index_select(b, Arguments({"self": value, "dim": some[0], "index": given[some[0]]}))
    if len(given) == 1 and isinstance(value, np.ndarray) and isinstance(given[0], (Tensor, Spread)):
        return _looked_up(b, value, given[0])
    if len(constant) == 1 and all(n is None for i, n in enumerate(given) if i not in constant):
        return _index_select(
            b, Arguments({"self": value, "dim": constant[0], "index": given[constant[0]]})
        )
    if some == constant and some == [*range(some[0], some[-1] + 1)]:
        return _side_by_side(b, value, [given[i] for i in some], some[0])
    return b.rows_at(value, given)


def _rows_counted(b: Networks, value: Any, axis: int, numbers: Any) -> Any:
    """Return what counts all rows of a fixed number as such, as `range(len(x))` does."""
    counted = isinstance(value, Tensor) and value.at == axis and isinstance(numbers, np.ndarray)
    if counted and b.rows and np.array_equal(numbers, np.arange(b.rows)):
        return RowNumbers()
    return numbers


def _side_by_side(b: Networks, value: Value, numbers: Sequence[Array], first: int) -> Value:
    """Take out places on several axes, one behind the other, as places on one of all of them."""
    own = value.shape
    end = first + len(numbers)
    lengths = [n for n in own[first:end] if isinstance(n, int)]
    if len(lengths) < len(numbers) or any(
        (n < -m).any() or (n >= m).any() for n, m in zip(numbers, lengths, strict=True)
    ):
        raise UnsupportedError("places taken out of axes of open length")
    joined = b.reshape(value, [*own[:first], math.prod(lengths), *own[end:]])
    counted_up = np.broadcast_arrays(*(n % m for n, m in zip(numbers, lengths, strict=True)))
    places: Array = np.ravel_multi_index(counted_up, lengths)
    found: Value = _index_select(b, Arguments({"self": joined, "dim": first, "index": places}))
    return found


def _looked_up(b: Networks, table: Array, numbers: Value) -> Value:
    """Take out places on the first axis of a constant, by numbers that are computed."""
    found = b.embedding(table.reshape(len(table), -1), numbers)
    return b.reshape(found, [*numbers.shape, *table.shape[1:]])


def _at_places(b: Networks, value: Any, axis: int, places: Steps) -> Any:
    """Take places along an axis, by numbers that are the same for each row."""
    if isinstance(value, np.ndarray) and axis == 0:
        return Steps.of(_looked_up(b, value, places.value))
    if isinstance(value, Tensor) and axis != value.at and places.ndim == 1:
        numbers: Value = places.value
        if is_open(value.shape[axis]):  # counted from the end where they are negative
            count = b.unsqueeze(b.count(value.shape[axis]), 1)
            numbers = b.elementwise("mod", numbers, count)
        assert isinstance(numbers, Tensor)
        return b.take(value, axis, numbers)
    raise UnsupportedError("places taken out by numbers that rows of a batch share")


@row("index_select")
def _index_select(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    if isinstance(a.index, Order):
        return a.index.of(value, a.dim % value.ndim)
    if isinstance(a.index, RowPlaces) and not a.dim % value.ndim:
        return b.rows_laid_out(value, a.index)
    if isinstance(a.index, OfRows):
        raise UnsupportedError("places by numbers of rows")
    if isinstance(a.index, Steps):
        return _at_places(b, value, a.dim % value.ndim, a.index)
    if isinstance(value, np.ndarray) and isinstance(a.index, (Tensor, Spread)):
        order = [*range(1, value.ndim)]
        order.insert(a.dim % value.ndim, 0)
        return b.permute(_looked_up(b, np.moveaxis(value, a.dim, 0), a.index), order)
    numbers = as_array(a.index)
    if not isinstance(value, (Tensor, Spread)):
        return np.take(value, numbers, a.dim)
    if numbers.ndim == 0:
        return b.select(value, a.dim, int(numbers))
    if numbers.ndim != 1:
        axis = counted(a.dim, value.ndim)
        found = _index_select(b, Arguments({"self": value, "dim": axis, "index": numbers.ravel()}))
        return b.reshape(found, [*value.shape[:axis], *numbers.shape, *value.shape[axis + 1 :]])
    steps = np.diff(numbers)
    if len(numbers) > 1 and steps[0] and not np.ptp(steps) and numbers.min() >= 0:
        step = int(steps[0])
        stop = int(numbers[-1]) + (1 if step > 0 else -1)
        if stop >= 0 or step > 0:
            return b.slice(value, a.dim, int(numbers[0]), stop, step)
    return b.take_known(value, numbers, a.dim)


@row("sort", "sort.stable")
def _sort(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Order):
        return value, value
    if isinstance(value, Tensor) and value.ndim == 1:  # rows, and what is joined with them
        return b.sorted_rows(value)
    return b.sort(value, a.dim, descending=bool(a.descending))


@row("topk")
def _topk(b: Networks, a: Arguments) -> Any:
    return b.largest(a.first(), a.dim, a.k, smallest=not a.largest)


@row("kthvalue")
def _kth_value(b: Networks, a: Arguments) -> Any:
    found = (b.slice(v, a.dim, a.k - 1, a.k) for v in b.sort(a.first(), a.dim))
    return tuple(v if a.keepdim else b.squeeze(v, [a.dim]) for v in found)


@row("argsort", "argsort.stable")
def _argsort(b: Networks, a: Arguments) -> Any:
    return _sort(b, a)[1]


@row("scatter.src", "scatter.value")
def _scatter(b: Networks, a: Arguments) -> Any:
    """Write places along an axis, or turn an order of rows around."""
    index, value, numbers = a.index, a.first(), a.values.get("src", a.values.get("value"))
    if isinstance(index, Order) and isinstance(numbers, RowNumbers):
        return index
    if isinstance(index, OfRows) or isinstance(numbers, OfRows):
        raise UnsupportedError("places written by numbers that are computed")
    if "src" not in a.values:
        numbers = b.expand(np.asarray(as_array(numbers), np.float32), index.shape)
    elif numbers.shape != index.shape:
        numbers = _first_places(b, numbers, index.shape)
    return put_along(b, value, index, numbers, a.dim, b.rows)


def _first_places(b: Networks, value: Value, shape: Sequence[Length]) -> Value:
    """Return as many first places along each axis as a shape has."""
    for axis, n in enumerate(shape):
        value = value if value.shape[axis] == n else b.slice(value, axis, 0, n)
    return value

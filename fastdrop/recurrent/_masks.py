"""Masks of recurrent layers: those that serve all steps, and those that are new at each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check
from fastdrop._backend import Stream
from fastdrop.masks import run as run_kernel

Array = NDArray[Any]

# What is new at each step numbers the steps of a row up to here: step t of row n of the data set
# has the elements (n * STEPS + t) * width + j.
STEPS = 1 << 24


def recurrent_masks(
    stream: Stream, first_row: int, shape: tuple[int, int, int, int], dtype: np.dtype[Any]
) -> Array:
    """Draw masks that serve all steps, of several samples in one call of the backend.

    Parameters
    ----------
    stream : Stream
        What the first sample's are drawn from; each further sample has the next stream.
    first_row : int
        The number of the first row in the whole data set.
    shape : tuple of int
        (samples, rows, gates, width): masks a row, and elements a mask.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    ndarray, shape (samples, rows, gates, width)
        Zero where an element is dropped, else the scale: element (row * gates + g) * width + j.

    Examples
    --------
    >>> stream = Stream(1, 2, 5 << 32, 1 << 31)
    >>> recurrent_masks(stream, 0, (3, 2, 4, 7), np.dtype(np.float32)).shape
    (3, 2, 4, 7)
    """
    samples, _, gates, width = shape
    out = np.empty(shape, dtype)
    if out.size:
        scale, first = _check.scale(stream.threshold, dtype), first_row * gates * width
        _backend.active.masks(out.reshape(samples, -1), scale, stream, first)
    return out


class Undrawn(NamedTuple):
    """Masks that serve all steps, to be drawn for the rows that are run."""

    stream: Stream
    gates: int
    width: int
    dtype: np.dtype[Any]

    def of_rows(self, first_row: int, rows: int) -> Array:
        """Factors (rows, gates, width) of rows of the data set from `first_row` on."""
        shape = (1, rows, self.gates, self.width)
        masks = recurrent_masks(self.stream, first_row, shape, self.dtype)
        return masks.reshape(shape[1:])


def masks_of(mask: Array | Undrawn | None, piece: slice, first_row: int) -> Array | None:
    """Return the rows of a piece; a mask of one row serves all pieces."""
    if mask is None:
        return None
    if isinstance(mask, Undrawn):
        return mask.of_rows(first_row, piece.stop - piece.start)
    return rows_of(mask, piece)


def rows_of(mask: Array | None, piece: slice) -> Array | None:
    """Return the rows of a piece, of what is given or is None; one row serves all pieces."""
    return mask if mask is None or len(mask) == 1 else mask[piece]


class Place(NamedTuple):
    """Where rows and steps stand in the data set; shared, all rows have the masks of row 0."""

    row: int
    step: int
    shared: bool

    def element(self, n: int, width: int) -> int:
        """Return the number of the first element of the n-th row from here on."""
        return ((0 if self.shared else self.row + n) * STEPS + self.step) * width


def step_events(stream: Stream, place: Place, shape: tuple[int, int, int]) -> Array:
    """Draw events (rows, steps, width), uint8, new at each step."""
    rows, _, width = shape
    out = np.empty(shape, np.uint8)
    for n in range(min(rows, 1) if place.shared else rows):
        _run(_backend.active.bernoulli, (out[n],), (stream,), place.element(n, width))
    if place.shared:
        out[1:] = out[:1]
    return out


def drop_steps(stream: Stream, place: Place, values: Array) -> None:
    """Drop from values (rows, steps, width) anew at each step, in place."""
    scale = _check.scale(stream.threshold, values.dtype)
    for n, row in enumerate(values):
        head, first = (scale, stream), place.element(n, values.shape[2])
        _run(_backend.active.dropout, (row, row), head, first)


def _run(
    kernel: Callable[..., None], arrays: tuple[Array, ...], head: tuple[Any, ...], first: int
) -> None:
    run_kernel(kernel, tuple(array.reshape(-1) for array in arrays), head, first, 1)

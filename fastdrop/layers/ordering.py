"""Layers that go along an axis: sorted, in differences, or all together so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.layers._axes import axis_of
from fastdrop.layers._layer import Array, Draw, Flow, Shape, Single


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Along(Single):
    """What is made along an axis, as long as it was."""

    axis: int

    def output_shape(self, shape: Shape) -> Shape:
        axis_of(self.label, self.axis, len(shape))
        return shape


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ArgSort(_Along):
    """Say where the numbers along an axis are, from the smallest to the largest or back.

    Equal numbers stay in their order, and NaN counts as the largest. See `numpy.argsort`.
    """

    descending: bool = False

    def __post_init__(self) -> None:
        _check.flag(self.descending, f"{self.label} descending")

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        return Flow(_order(flow.values, at, self.descending).astype(np.float32))


def _order(values: Array, axis: int, descending: bool) -> NDArray[np.intp]:
    """Return the places along an axis in the order of their numbers, those of equal ones as is."""
    if not descending:
        return np.argsort(values, axis=axis, kind="stable")
    # Back from the end equal numbers are in their order if they were when seen from there.
    places = np.argsort(np.flip(values, axis), axis=axis, kind="stable")
    return np.flip(values.shape[axis] - 1 - places, axis)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sort(Single):
    """Sort the numbers along an axis, and say where they were, in a second output.

    They go from the smallest to the largest or back, the first `count` of them or all (None).
    Equal numbers stay in their order, and NaN counts as the largest. See `numpy.sort`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.layers import Sort
    >>> model = fd.Model([Sort(name="largest", axis=-1, descending=True, count=2)], (4,))
    >>> model.predict(np.array([[3, 1, 4, 2]], np.float32))
    array([[4., 3.]], dtype=float32)
    """

    axis: int
    descending: bool = False
    count: int | None = None

    def __post_init__(self) -> None:
        _check.flag(self.descending, f"{self.label} descending")
        if self.count is not None:
            _check.integer(self.count, f"{self.label} count", 1, None)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape = self.only(inputs)
        at = axis_of(self.label, self.axis, len(shape))
        length, count = shape[at], self.count
        if count is not None:
            expected = f"of {count} places or more on axis {self.axis}"
            self.check_fits(shape, expected, length is None or count <= length)
            length = count
        return [(*shape[:at], length, *shape[at + 1 :])] * 2

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        values = inputs[0].values
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        count = values.shape[at] if self.count is None else self.count
        if count > values.shape[at]:
            raise ValueError(f"{self.label}: expected {count} numbers or more along its axis")
        places = np.take(_order(values, at, self.descending), range(count), axis=at)
        found = np.take_along_axis(values, places, axis=at)
        return [Flow(found), Flow(places.astype(np.float32))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Difference(Single):
    """Subtract each number along an axis from the next one, so many `times`. See `numpy.diff`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.layers import Difference
    >>> model = fd.Model([Difference(name="growth", axis=0)], (4,))
    >>> model.predict(np.array([[1, 2, 4, 8]], np.float32))
    array([[1., 2., 4.]], dtype=float32)
    """

    axis: int
    times: int = 1

    function: ClassVar[str] = "difference"

    def __post_init__(self) -> None:
        _check.integer(self.times, f"{self.label} times", 0, 64)

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        length = shape[at]
        left = None if length is None else max(0, length - self.times)
        return (*shape[:at], left, *shape[at + 1 :])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        with np.errstate(all="ignore"):
            return Flow(np.diff(flow.values, self.times, axis=at))


# How numbers up to a place are taken together. Sums and products are of binary64, in which what is
# rounded at a place is nothing to those behind.
ACCUMULATIONS: dict[str, tuple[np.ufunc, type]] = {
    "sum": (np.add, np.float64),
    "prod": (np.multiply, np.float64),
    "max": (np.maximum, np.float32),
    "min": (np.minimum, np.float32),
    "logsumexp": (np.logaddexp, np.float64),
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Accumulate(_Along):
    """Take together all numbers up to each place along an axis. See `numpy.ufunc.accumulate`."""

    function: str

    def __post_init__(self) -> None:
        _check.choice(self.function, f"{self.label} function", tuple(ACCUMULATIONS))

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        ufunc, dtype = ACCUMULATIONS[self.function]
        with np.errstate(all="ignore"):
            return Flow(ufunc.accumulate(flow.values, axis=at, dtype=dtype).astype(np.float32))

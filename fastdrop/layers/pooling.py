"""Pooling: the largest number or the mean of each window, or of whole rows. Channels are last."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np

from fastdrop import _check
from fastdrop.layers._layer import Array, Draw, Flow, Shape
from fastdrop.layers._windows import Each, Spatial, Window, taps, windowed


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Pooling(Spatial):
    """A number for each window and channel. A mask ends here.

    `strides` are as long as the windows if not given. What "same" padding adds does not count.
    """

    pool_size: Each = 2
    strides: Each | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        strides = self.pool_size if self.strides is None else self.strides
        self.prepare(
            pool_size=_check.each(self.pool_size, f"{self.label} pool_size", self.dims),
            strides=_check.each(strides, f"{self.label} strides", self.dims),
        )
        _check.choice(self.padding, f"{self.label} padding", ("valid", "same"))

    @property
    def windows(self) -> list[Window]:
        assert isinstance(self.pool_size, tuple)
        assert isinstance(self.strides, tuple)
        pairs = zip(self.pool_size, self.strides, strict=True)
        return [Window(size, stride, 1, self.padding) for size, stride in pairs]

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        return (*windowed(self, self.windows, shape), shape[-1])

    def pooled(self, values: Array, function: np.ufunc, start: float) -> Array:
        """Join the places of each window of (rows, lengths ..., channels), in their order."""
        lengths = values.shape[1:-1]
        counts = [w.count(n) for w, n in zip(self.windows, lengths, strict=True)]
        out = np.full((len(values), *counts, values.shape[-1]), start, np.float32)
        places = [w.reaching(n) for w, n in zip(self.windows, lengths, strict=True)]
        for found, where in taps(self.windows, lengths, [range(n) for n in counts], places):
            part = out[(slice(None), *found)]
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                function(part, values[(slice(None), *where)], out=part)
        return out


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _MaxPooling(_Pooling):
    dilation_rate: Each = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = _check.each(self.dilation_rate, f"{self.label} dilation_rate", self.dims)
        self.prepare(dilation_rate=rates)

    @property
    def windows(self) -> list[Window]:
        assert isinstance(self.dilation_rate, tuple)
        pairs = zip(super().windows, self.dilation_rate, strict=True)
        return [replace(window, dilation=dilation) for window, dilation in pairs]

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, *shape = flow.values.shape
        values = self.pooled(flow.values.reshape(samples * rows, *shape), np.maximum, -np.inf)
        return Flow(_positive_zeros(values).reshape(samples, rows, *values.shape[1:]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _AveragePooling(_Pooling):
    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, *shape = flow.values.shape
        values = self.pooled(flow.values.reshape(samples * rows, *shape), np.add, 0.0)
        ones = np.ones((1, *shape[:-1], 1), np.float32)
        values /= self.pooled(ones, np.add, 0.0)
        return Flow(values.reshape(samples, rows, *values.shape[1:]))


def _positive_zeros(values: Array) -> Array:
    """Make -0.0 to 0.0, in place: which of the two is the larger depends on the instructions."""
    with np.errstate(invalid="ignore"):
        values += np.float32(0)
    return values


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MaxPooling1D(_MaxPooling):
    """The largest number of each window of time steps, which are `dilation_rate` apart."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MaxPooling2D(_MaxPooling):
    """The largest number of each window of an image, whose places are `dilation_rate` apart."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MaxPooling3D(_MaxPooling):
    """The largest number of each window of a volume, whose places are `dilation_rate` apart."""

    dims: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AveragePooling1D(_AveragePooling):
    """The mean of each window of time steps."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AveragePooling2D(_AveragePooling):
    """The mean of each window of an image."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume."""

    dims: ClassVar[int] = 3


# ---- of whole rows ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _GlobalPooling(Spatial):
    """A number for each channel. A mask ends here."""

    keepdims: bool = False

    def __post_init__(self) -> None:
        _check.flag(self.keepdims, f"{self.label} keepdims")

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        self.check_fits(shape, "with a place at least", 0 not in shape[:-1])
        return (*(1,) * (self.dims * self.keepdims), shape[-1])

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return math.prod(n or 1 for n in inputs[0])

    def finished(self, values: Array) -> Flow:
        samples, rows, channels = values.shape
        return Flow(values.reshape(samples, rows, *(1,) * (self.dims * self.keepdims), channels))


def _joined(values: Array, function: np.ufunc) -> Array:
    """Join the places of (samples, rows, places, channels) half by half.

    The order depends on their number alone, and rounding grows with its logarithm.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        while (places := values.shape[2]) > 1:
            half = places // 2
            joined = function(values[:, :, :half], values[:, :, half : 2 * half])
            if places % 2:
                function(joined[:, :, 0], values[:, :, -1], out=joined[:, :, 0])
            values = joined
    return values[:, :, 0]


def _in_line(values: Array) -> Array:
    """Return (samples, rows, places, channels)."""
    samples, rows, *lengths, channels = values.shape
    return values.reshape(samples, rows, math.prod(lengths), channels)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _GlobalMaxPooling(_GlobalPooling):
    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        places = _in_line(flow.values)
        return self.finished(_joined(places, np.maximum) + np.float32(0))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _GlobalAveragePooling(_GlobalPooling):
    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        places = _in_line(flow.values)
        total = _joined(places, np.add)
        return self.finished(total / np.float32(places.shape[2]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest number of all time steps, of padding too."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest number of an image."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest number of a volume."""

    dims: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean of all time steps that are no padding, NaN where all of them are."""

    dims: ClassVar[int] = 1

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        if flow.mask is None:
            return super().forward(flow, draw)
        mask = flow.mask[..., np.newaxis]
        total = _joined(np.where(mask, flow.values, np.float32(0)), np.add)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.finished(total / mask.sum(axis=2, dtype=np.int64).astype(np.float32))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean of an image."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The mean of a volume."""

    dims: ClassVar[int] = 3


# ---- so many windows ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _AdaptivePooling(Spatial):
    """A number for each of so many windows along each axis, and channel. A mask ends here.

    Window i of n begins at the place i * length / n, rounded down, and ends before
    (i + 1) * length / n, rounded up: they are as long as each other, or nearly, and may share a
    place.
    """

    output_size: Each

    def __post_init__(self) -> None:
        sizes = _check.each(self.output_size, f"{self.label} output_size", self.dims)
        self.prepare(output_size=sizes)

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        self.check_fits(shape, "with a place at least", 0 not in shape[:-1])
        assert isinstance(self.output_size, tuple)
        return (*self.output_size, shape[-1])

    def windows(self, values: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Yield the number of each window, and (samples, rows, places, channels) of it."""
        assert isinstance(self.output_size, tuple)
        lengths = values.shape[2:-1]
        if 0 in lengths:
            raise ValueError(f"{self.label}: expected a place at least, got none")
        for number in product(*map(range, self.output_size)):
            where: list[Any] = [...]
            for i, n, length in zip(number, self.output_size, lengths, strict=True):
                where.append(slice(i * length // n, -(-(i + 1) * length // n)))
            yield number, _in_line(values[(*where, slice(None))])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, *_, channels = flow.values.shape
        assert isinstance(self.output_size, tuple)
        out = np.empty((samples, rows, *self.output_size, channels), np.float32)
        for number, places in self.windows(flow.values):
            where: tuple[Any, ...] = (..., *number, slice(None))
            out[where] = self.number(places)
        return Flow(out)

    def number(self, places: Array) -> Array:
        """Return what stands for (samples, rows, places, channels)."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _AdaptiveMaxPooling(_AdaptivePooling):
    def number(self, places: Array) -> Array:
        return _joined(places, np.maximum) + np.float32(0)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _AdaptiveAveragePooling(_AdaptivePooling):
    def number(self, places: Array) -> Array:
        return np.asarray(_joined(places, np.add) / np.float32(places.shape[2]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The largest number of each of so many windows of time steps."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The largest number of each of so many windows of an image."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The largest number of each of so many windows of a volume."""

    dims: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """The mean of each of so many windows of time steps."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """The mean of each of so many windows of an image."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """The mean of each of so many windows of a volume."""

    dims: ClassVar[int] = 3

"""Windows along axes, written as calls of layers: convolutions, pooling, padding, interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastdrop import layers
from fastdrop.formats._lengths import Length
from fastdrop.formats._tensors import Tensors
from fastdrop.formats._values import (
    BatchAxisError,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    counted,
)

Array = NDArray[Any]

# Widths in front of each axis and behind it; or such that there are as many windows as places,
# divided by the strides, which of an open length are not known.
SAME: Literal["same"] = "same"
Padding = Sequence[tuple[int, int]] | Literal["same"]

# Parts of a length that are counted in binary64 as they are in whole numbers.
_MOST_PARTS = 32


class Windows(Tensors):
    """Calls of layers that look at windows of places, which stand behind the channels."""

    def _channels_last(self, value: Value, axes: int, what: str) -> Tensor:
        """Return (batch, channels, ...) with channels last, the batch in front."""
        if not isinstance(value, Tensor) or value.ndim != axes + 2:
            raise UnsupportedError(f"{what} over a tensor of {value.ndim} axes")
        if value.at != 0:
            raise BatchAxisError(f"it takes the batch on axis 0, and finds it on {value.at}")
        moved = self.permute(value, [0, *range(2, axes + 2), 1])
        assert isinstance(moved, Tensor)
        return moved

    def _channels_first(self, tensor: Tensor) -> Value:
        return self.permute(tensor, [0, tensor.ndim - 1, *range(1, tensor.ndim - 1)])

    def convolution(
        self,
        value: Value,
        weight: Value,
        bias: Value | None,
        *,
        strides: Sequence[int],
        padding: Padding,
        dilation: Sequence[int],
        groups: int = 1,
    ) -> Value:
        """Convolve (batch, channels, ...) with (filters, channels of a group, sizes ...)."""
        kernel = as_array(weight)
        axes = kernel.ndim - 2
        if axes not in (1, 2, 3):
            raise UnsupportedError(f"a convolution over {axes} axes")
        tensor = self._channels_last(value, axes, "a convolution")
        sizes = kernel.shape[2:]
        if padding != SAME:
            tensor = self._padded(tensor, padding, 0.0)
        counts = _counts(tensor, sizes, strides, dilation, padding)
        kind = (layers.Conv1D, layers.Conv2D, layers.Conv3D)[axes - 1]
        layer = kind(
            name=self.scope,
            **_with_channels_last(kernel, bias),
            strides=tuple(strides),
            dilation_rate=tuple(dilation),
            groups=groups,
            padding="same" if padding == SAME else "valid",
        )
        leading = tensor.row[: tensor.merged]
        made = self.single(
            self.each(layer, tensor.merged), tensor, (*leading, *counts, len(kernel))
        )
        return self._channels_first(made)

    def transposed_convolution(
        self,
        value: Value,
        weight: Value,
        bias: Value | None,
        *,
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int],
        groups: int = 1,
    ) -> Value:
        """Lay (batch, channels, ...) over windows (channels, filters of a group, sizes ...).

        Padding is what is taken off what they cover; what is negative is put there instead.
        """
        kernel = as_array(weight)
        axes = kernel.ndim - 2
        if axes not in (1, 2, 3):
            raise UnsupportedError(f"a transposed convolution over {axes} axes")
        tensor = self._channels_last(value, axes, "a transposed convolution")
        if min(before for before, _ in padding) < 0:
            raise UnsupportedError("places put before those of a transposed convolution")
        kinds = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
        kind = kinds[axes - 1]
        layer = kind(
            name=self.scope,
            **_with_channels_last(kernel, bias),
            strides=tuple(strides),
            output_padding=tuple(max(0, -behind) for _, behind in padding),
            dilation_rate=tuple(dilation),
            groups=groups,
        )
        lengths: list[Length] = []
        windows = zip(kernel.shape[2:], strides, dilation, padding, strict=True)
        for n, (size, stride, step, (_, behind)) in zip(
            tensor.row[tensor.merged : -1], windows, strict=True
        ):
            lengths.append((n - 1) * stride + (size - 1) * step + 1 + max(0, -behind))
        leading = tensor.row[: tensor.merged]
        made: Value = self.single(
            self.each(layer, tensor.merged), tensor, (*leading, *lengths, layer.filters)
        )
        for axis, (before, behind) in enumerate(padding, 1):
            length = made.shape[axis]
            if isinstance(length, int) and length <= before + max(behind, 0):
                raise UnsupportedError(f"padding of {before} and {behind} of {length} places")
            made = self.slice(made, axis, before, -behind if behind > 0 else None)
        assert isinstance(made, Tensor)
        return self._channels_first(made)

    def pool(
        self,
        value: Value,
        kind: str,
        sizes: Sequence[int],
        strides: Sequence[int],
        padding: Padding,
        *,
        dilation: Sequence[int] | None = None,
        ceil: bool = False,
        count_padding: bool = True,
    ) -> Value:
        """Take the "max" or the "mean" of windows of (batch, channels, ...).

        Places of windows whose largest number is taken may be `dilation` apart.
        """
        axes = len(sizes)
        gaps = tuple(dilation or (1,) * axes)
        if kind == "mean" and max(gaps) > 1:
            raise UnsupportedError("means of windows with gaps (dilation)")
        if axes not in (1, 2, 3):
            raise UnsupportedError(f"pooling over {axes} axes")
        if padding == SAME and kind == "mean" and count_padding:
            raise UnsupportedError("means that count padding of an open length")
        tensor = self._channels_last(value, axes, "pooling")
        pairs = [(0, 0)] * axes if padding == SAME else [(a, b) for a, b in padding]
        if ceil:
            lengths = tensor.row[tensor.merged : -1]
            extents = [(n - 1) * gap + 1 for n, gap in zip(sizes, gaps, strict=True)]
            pairs = [
                _for_ceil(*item) for item in zip(lengths, extents, strides, pairs, strict=True)
            ]
        bare = tensor.row[tensor.merged : -1]
        tensor = self._padded(tensor, pairs, -math.inf if kind == "max" else 0.0)
        counts = _counts(tensor, sizes, strides, gaps, padding)
        pooling: Any = {
            ("max", 1): layers.MaxPooling1D,
            ("max", 2): layers.MaxPooling2D,
            ("max", 3): layers.MaxPooling3D,
            ("mean", 1): layers.AveragePooling1D,
            ("mean", 2): layers.AveragePooling2D,
            ("mean", 3): layers.AveragePooling3D,
        }[kind, axes]
        options: dict[str, Any] = {"dilation_rate": gaps} if kind == "max" else {}
        if padding == SAME:
            options["padding"] = "same"
        layer = pooling(name=self.scope, pool_size=tuple(sizes), strides=tuple(strides), **options)
        row = (*tensor.row[: tensor.merged], *counts, tensor.row[-1])
        found = self._channels_first(self.single(self.each(layer, tensor.merged), tensor, row))
        if kind == "max" or padding == SAME:
            return found
        for axis, (before, behind) in enumerate(padding):
            counted_behind = behind if count_padding else 0
            widths = (0 if count_padding else before, pairs[axis][1] - counted_behind)
            if any(widths):
                there = (before - widths[0], counted_behind)
                share = self._shares(bare[axis], sizes[axis], strides[axis], there, widths)
                found = self._shared_out(found, share, axes - 1 - axis)
        return found

    def _shares(
        self,
        length: Length,
        size: int,
        stride: int,
        there: tuple[int, int],
        widths: tuple[int, int],
    ) -> Tensor | Array:
        """Return which part of each window along an axis counts in its mean.

        An axis counts with what is put to its ends (`there`), and what is put around that does not.
        """
        if isinstance(length, int):
            counts = np.pad(np.ones(length + sum(there), np.float32), widths)
            windows = np.lib.stride_tricks.sliding_window_view(counts, size)[::stride]
            return np.asarray(windows.mean(-1))
        places = self.elementwise("ones", self.positions(length))
        counted_ones = self.pad(self.pad(places, [there], 1.0), [widths], 0.0)
        ones = self.unsqueeze(counted_ones, 2)
        assert isinstance(ones, Tensor)
        layer = layers.AveragePooling1D(name=self.scope, pool_size=size, strides=stride)
        count = _windows(ones.row[0], size, stride, 1)
        found = self.squeeze(self.single(layer, ones, (count, 1)), [2])
        assert isinstance(found, Tensor)
        return found

    def _shared_out(self, value: Value, share: Tensor | Array, behind: int) -> Value:
        """Divide by numbers along the axis of which so many are behind."""
        if isinstance(share, Tensor):
            share = self.laid_along(share, 0, 1 + behind)
            assert isinstance(value, Tensor)
            return self.elementwise("divide", value, Steps(share).under(self, value.ndim, value))
        return self.elementwise("divide", value, share.reshape(-1, *(1,) * behind))

    def adaptive_pool(self, value: Value, kind: str, sizes: Sequence[int | None]) -> Value:
        """Make so many windows, of equal size, of each of the last axes."""
        if not isinstance(value, Tensor):
            raise UnsupportedError("pooling of a constant")
        lengths = value.shape[-len(sizes) :]
        if all(size == 1 for size in sizes):
            axes = list(range(-len(sizes), 0))
            return self.reduce("mean" if kind == "mean" else "max", value, axes, keepdims=True)
        widths = []
        for axis, (size, length) in enumerate(zip(sizes, lengths, strict=True), -len(sizes)):
            if size is None or size == length:
                part = 1
            elif isinstance(length, int) and length % size == 0 and not value.at:
                part = length // size
            else:
                made = self._unequal(value, kind, value.counted(axis), size)
                rest = [None if i - len(sizes) == axis else n for i, n in enumerate(sizes)]
                return (
                    made if all(n is None for n in rest) else self.adaptive_pool(made, kind, rest)
                )
            widths.append(part)
        return self.pool(value, kind, widths, widths, [(0, 0)] * len(widths))

    def _unequal(self, value: Tensor, kind: str, axis: int, size: int) -> Value:
        """Make so many windows along one axis, which are nearly as long as each other."""
        if axis == value.at:
            raise UnsupportedError(f"{size} windows along rows of a batch")
        *others, channels = [i for i in range(value.ndim) if i not in (value.at, axis)]
        order = [value.at, *others, axis, channels]
        moved = self.permute(value, order)
        assert isinstance(moved, Tensor)
        pooling = layers.AdaptiveAveragePooling1D if kind == "mean" else layers.AdaptiveMaxPooling1D
        *ahead, _, last = moved.row
        layer = self.each(pooling(name=self.scope, output_size=size), len(ahead))
        found = self.single(layer, moved, (*ahead, size, last))
        return self.permute(found, [order.index(i) for i in range(value.ndim)])

    def pad(self, value: Value, widths: Sequence[tuple[Any, Any]], number: float) -> Value:
        """Put a number before and behind on the last axes, of lengths that may be open."""
        if not isinstance(value, Tensor):
            every = [(0, 0)] * (value.ndim - len(widths)) + [*widths]
            if isinstance(value, Spread):
                raise UnsupportedError("padding of a constant along the batch")
            return np.pad(value, every, constant_values=number)
        every = [(0, 0)] * (value.ndim - len(widths)) + [*widths]
        if every[value.at] != (0, 0):
            raise UnsupportedError("rows put to the batch")
        for axis, (before, behind) in enumerate(every):
            if not isinstance(before, int) or not isinstance(behind, int):
                value = self._padded_by(value, axis, before, behind, number)
                every[axis] = (0, 0)
        pairs = [(0, 0)] * len(value.row)
        for axis, pair in enumerate(every):
            if axis != value.at:
                pairs[value.axis(axis)] = pair
        for axis, (before, behind) in enumerate(every):
            if min(before, behind) < 0:
                found = self.slice(value, axis, max(-before, 0), min(behind, 0) or None)
                assert isinstance(found, Tensor)
                value = found
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
        return self._put_around(value, pairs, number)

    def _padded_by(
        self, value: Tensor, axis: int, before: Length, behind: Length, number: float
    ) -> Tensor:
        """Put a number before and behind along an axis, or take as many off, of open lengths."""
        length, along = value.shape[axis], value.axis(axis)
        ends: list[Value] = [
            self.unsqueeze(self.count(n), 1) if not isinstance(n, int) else np.asarray(n, "f4")
            for n in (before, length)
        ]
        whole = length + before + behind
        places = self.elementwise("subtract", self.positions(whole), ends[0])
        there = self.elementwise(
            "logical_and",
            self.elementwise("greater_equal", places, 0.0),
            self.elementwise("less", places, ends[1]),
        )
        last = self.elementwise("subtract", ends[1], 1.0)
        numbers = self.elementwise("maximum", self.elementwise("minimum", places, last), 0.0)
        assert isinstance(numbers, Tensor)
        assert isinstance(there, Tensor)
        laid = self.laid_along(there, along, len(value.row))
        mask = replace(value, name=laid.name, row=laid.row)
        found = self.elementwise("where", mask, self.take(value, axis, numbers), number)
        assert isinstance(found, Tensor)
        return found

    def interpolate(self, value: Value, axis: int, *, scale: float | None, **options: Any) -> Value:
        """Take numbers between places along an axis: `scale` times as many, or so many (size)."""
        axis, length = counted(axis, value.ndim), value.shape[axis]
        if not isinstance(value, Tensor) or axis == value.at:
            raise UnsupportedError("a constant or rows of a batch are interpolated")
        size, at = options.pop("size", None), value.axis(axis)
        row, like = value.row, []
        found: Any = size
        if scale is not None:
            found = self._scaled(length, scale)
        elif not isinstance(size, int):
            tensor = self.positions(size)
            size, like = None, [tensor]
        layer = layers.Interpolate(name=self.scope, axis=at, scale=scale, size=size, **options)
        inputs = [value, *like]
        (name,) = self.call(layer, [t.name for t in inputs], [t.row for t in inputs])
        return self._known(replace(value, name=name, row=(*row[:at], found, *row[at + 1 :])))

    def _scaled(self, length: Length, scale: float) -> Length:
        """Return so many times a length, rounded down."""
        if isinstance(length, int):
            return math.floor(length * scale)
        factor = Fraction(scale).limit_denominator(_MOST_PARTS)
        if float(factor) != scale:
            raise UnsupportedError(f"{length} places interpolated at {scale} times as many")
        return length * factor.numerator // factor.denominator

    def pad_again(self, value: Value, widths: Sequence[tuple[int, int]], mode: str) -> Value:
        """Put what is there before and behind on the last axes, as `numpy.pad` does.

        mode : {"reflect", "edge", "wrap"}
        """
        every = [(0, 0)] * (value.ndim - len(widths)) + [*widths]
        if min(map(min, every)) < 0:
            raise UnsupportedError("padding of a negative width")
        for axis, pair in enumerate(every):
            length = value.shape[axis]
            least = {"reflect": max(pair) + 1, "edge": 1, "wrap": max(pair)}[mode]
            if any(pair) and isinstance(length, int) and length < least:
                raise UnsupportedError(f"{length} places padded by {max(pair)} ({mode})")
        if isinstance(value, (Tensor, Spread)) and any(every[value.at]):
            raise UnsupportedError("rows put to the batch")
        if isinstance(value, Spread):
            inside = [pair for axis, pair in enumerate(every) if axis != value.at]
            return Spread(np.pad(value.value, inside, mode=mode), value.at)  # type: ignore[call-overload]
        if not isinstance(value, Tensor):
            return np.asarray(np.pad(value, every, mode=mode))  # type: ignore[call-overload]
        for axis, (before, behind) in enumerate(every):
            parts: list[Value] = [value]
            if before:
                parts.insert(0, self._edge(value, axis, before, mode, behind=False))
            if behind:
                parts.append(self._edge(value, axis, behind, mode, behind=True))
            value = self.concatenate(parts, axis)
            assert isinstance(value, Tensor)
        return value

    def _edge(self, value: Tensor, axis: int, width: int, mode: str, *, behind: bool) -> Value:
        """Return what is put to one end of an axis, made of what is there."""
        if mode == "edge":
            times = [width if i == axis else -1 for i in range(value.ndim)]
            return self.expand(self._place(value, axis, -1 if behind else 0), times)
        if mode == "reflect":
            start, stop = (-width - 1, -1) if behind else (1, width + 1)
        else:
            start, stop = (0, width) if behind else (-width, 0)
        # The farthest place by itself, which must be there however short an open axis is.
        far = self._place(value, axis, start if start < 0 else stop - 1)
        parts = [far]
        if width > 1 and start < 0:
            parts.append(self.slice(value, axis, start + 1, stop or None))
        elif width > 1:
            parts.insert(0, self.slice(value, axis, start, stop - 1))
        part = self.concatenate(parts, axis)
        assert isinstance(part, Tensor)
        at = part.axis(axis)
        part = replace(part, row=(*part.row[:at], width, *part.row[at + 1 :]))
        return part if mode == "wrap" else self.slice(part, axis, None, None, -1)

    def _place(self, value: Tensor, axis: int, index: int) -> Value:
        """Return one place along an axis, which stays."""
        return self.unsqueeze(self.select(value, axis, index), axis)

    def _padded(self, tensor: Tensor, widths: Sequence[tuple[int, int]], number: float) -> Tensor:
        """Put a number around the axes between batch and channels."""
        pairs = [(0, 0)] * tensor.merged + [(a, b) for a, b in widths] + [(0, 0)]
        return self._put_around(tensor, pairs, number)

    def _put_around(
        self, tensor: Tensor, pairs: Sequence[tuple[int, int]], number: float
    ) -> Tensor:
        if not any(map(any, pairs)):
            return tensor
        row = [n + a + b for n, (a, b) in zip(tensor.row, pairs, strict=True)]
        layer = layers.Pad(name=self.scope, widths=tuple(pairs), value=number)
        return self.single(layer, tensor, row)


def around(
    padding: str | int | Sequence[int], sizes: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return what PyTorch's convolutions put on both sides: as told, "same" or "valid"."""
    if padding == "same":
        lacking = [d * (n - 1) for d, n in zip(dilation, sizes, strict=True)]
        return [(n // 2, n - n // 2) for n in lacking]
    told: Any = 0 if padding == "valid" else padding
    return [(n, n) for n in for_each(told, len(sizes))]


def for_each(value: int | Sequence[int], axes: int) -> list[int]:
    """Return a number for each axis: one for all, or one by one."""
    given = [value] if isinstance(value, int) else [int(n) for n in value]
    return given * axes if len(given) == 1 else given


def _with_channels_last(kernel: Array, bias: Value | None) -> dict[str, Any]:
    """Return weights of windows (a, b, sizes ...) as layers take them, (sizes ..., b, a)."""
    return {
        "kernel": np.ascontiguousarray(np.moveaxis(kernel, (1, 0), (-2, -1)), np.float32),
        "bias": None if bias is None else np.asarray(as_array(bias), np.float32),
    }


def _counts(
    tensor: Tensor,
    sizes: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
) -> list[Length]:
    """Return how many windows there are on each axis in front of the last."""
    lengths = tensor.row[tensor.merged : -1]
    if padding == SAME:
        return [-(-length // stride) for length, stride in zip(lengths, strides, strict=True)]
    windows = zip(lengths, sizes, strides, dilation, strict=True)
    return [_windows(*window) for window in windows]


def _windows(length: Length, size: int, stride: int, dilation: int) -> Length:
    """Return how many windows there are on an axis."""
    extent = (size - 1) * dilation + 1
    if isinstance(length, int) and length < extent:
        raise UnsupportedError(f"windows of {extent} places on an axis of {length}")
    return (length - extent) // stride + 1


def _for_ceil(length: Length, size: int, stride: int, padding: tuple[int, int]) -> tuple[int, int]:
    """Return the padding with which windows that begin within the axis are whole."""
    before, behind = padding
    if not isinstance(length, int):
        if behind > size - stride:  # the last window may begin in the padding, which none does
            raise UnsupportedError("windows that are cut off (ceil_mode) of an open length")
        return before, behind + stride - 1
    whole = length + before + behind
    count = -(-(whole - size) // stride) + 1
    if (count - 1) * stride >= length + before:
        count -= 1
    return before, behind + max(0, (count - 1) * stride + size - whole)

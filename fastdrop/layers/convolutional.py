"""Convolutions, and layers that lengthen or shorten the axes that these slide over.

A mask ends at each of them. Channels are last.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.feedforward import activate, dense
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Memory,
    Shape,
    Stepper,
    Weight,
    for_samples,
    last_axis,
    meaning_of,
    refuse_shape,
)
from fastdrop.layers._windows import Each, Spatial, Window, taps, windowed

# Windows are copied side by side, so many numbers at a time, to be multiplied by the kernel.
_PIECE = 1 << 17
# Windows of so many places on the last axis, and fewer channels, are copied a line of places at a
# time, instead of a place at a time: more numbers lie side by side, and are copied together.
_LONG, _FEW = 5, 16


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Conv(Spatial):
    """``activation(sum of kernel * window + bias)`` for each window.

    The kernel (sizes of the window, channels of a group, filters) is as Keras has it. With groups
    each has its share of the channels and of the filters.
    """

    kernel: Weight
    bias: Weight | None = None
    strides: Each = 1
    padding: str = "valid"
    dilation_rate: Each = 1
    groups: int = 1
    activation: _check.Activation = "linear"

    weight_fields: ClassVar[tuple[str, ...]] = ("kernel", "bias")
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __post_init__(self) -> None:
        self.check_weight("kernel", (None,) * (self.dims + 2))
        filters = self.kernel.shape[-1]
        self.check_weight("bias", (filters,))
        for field in ("strides", "dilation_rate"):
            value = _check.each(getattr(self, field), f"{self.label} {field}", self.dims)
            self.prepare(**{field: value})
        _check.choice(self.padding, f"{self.label} padding", self.paddings)
        _check.activation(self.activation, f"{self.label} activation")
        groups = _check.integer(self.groups, f"{self.label} groups", 1, None)
        if filters % groups:
            what = f"a divisor of the {filters} filters"
            _check.refuse(ValueError, f"{self.label} groups", what, groups)

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        filters: int = 1,
        kernel_size: Sequence[int] = (),
        use_bias: bool = True,
        groups: int = 1,
        depth_multiplier: int | None = None,
        **options: Any,
    ) -> Self:
        channels = last_axis(name, inputs[0])
        if depth_multiplier is not None:  # each channel by itself has so many filters
            groups, filters = channels, channels * depth_multiplier
        if channels % groups:
            refuse_shape(name, inputs[0], f"(..., channels), a multiple of {groups} channels")
        kernel = Declared((*kernel_size, channels // groups, filters))
        bias = Declared((filters,)) if use_bias else None
        return cls(name=name, kernel=kernel, bias=bias, groups=groups, **options)

    @property
    def windows(self) -> list[Window]:
        assert isinstance(self.strides, tuple)
        assert isinstance(self.dilation_rate, tuple)
        sizes = self.kernel.shape[:-2]
        return [
            Window(size, stride, dilation, self.padding)
            for size, stride, dilation in zip(sizes, self.strides, self.dilation_rate, strict=True)
        ]

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        channels = self.kernel.shape[-2] * self.groups
        self.check_fits(shape, f"(..., {channels})", shape[-1] == channels)
        return (*windowed(self, self.windows, shape), self.kernel.shape[-1])

    def meaning(self, inputs: Sequence[str]) -> str:
        return meaning_of(self.activation)

    def _lines(self, lengths: Sequence[int]) -> tuple[int, int]:
        """Return the numbers in the windows of a row, and in those of one place on the first axis.

        `lengths` are those of the output's axes.
        """
        line = math.prod(lengths[1:]) * math.prod(self.kernel.shape[:-1]) * self.groups
        return line * lengths[0], line

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        lengths = [n or 1 for n in self.output_shape(inputs[0])[:-1]]
        row, line = self._lines(lengths)
        work = min(row, max(line, _PIECE))
        if not self._in_lines:
            return work
        window, n = self.windows[-1], lengths[-1]
        padded = (n - 1) * window.stride + window.size  # of n windows on the last axis
        return work + work * padded // (n * window.size)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, *shape = flow.values.shape
        lengths = [n or 0 for n in self.output_shape(tuple(shape))[:-1]]
        values = flow.values.reshape(samples * rows, *shape)
        filters = self.kernel.shape[-1]
        multiply = self._each_channel if self._depthwise else self._windows_times_kernel
        out = np.empty((len(values), *lengths, filters), np.float32)
        row, line = self._lines(lengths)
        height = max(1, _PIECE // max(row, 1))
        step = lengths[0] if row <= _PIECE else max(1, _PIECE // max(line, 1))
        for n in range(0, len(values), height):
            for start in range(0, lengths[0], max(step, 1)):
                some = range(start, min(start + step, lengths[0]))
                part = multiply(values[n : n + height], [some, *map(range, lengths[1:])])
                out[n : n + height, some.start : some.stop] = activate(part, self.activation)
        return Flow(out.reshape(samples, rows, *lengths, filters))

    @property
    def _depthwise(self) -> bool:
        """Whether each of several channels is a group."""
        return self.groups > 1 and self.kernel.shape[-2] == 1

    def _each_channel(self, values: Array, which: Sequence[range]) -> Array:
        """Return sums over some windows: numbers by those of the kernel, a place at a time.

        Windows side by side would take a product for each channel.
        """
        counts, places = [len(some) for some in which], [range(n) for n in self.kernel.shape[:-2]]
        kernel = self.kernel.reshape(-1, self.groups, self.kernel.shape[-1] // self.groups)
        sums = np.zeros((len(values), *counts, *kernel.shape[1:]), np.float32)
        for place, (found, where) in enumerate(
            taps(self.windows, values.shape[1:-1], which, places)
        ):
            numbers = values[(slice(None), *where)][..., np.newaxis]
            sums[(slice(None), *found)] += numbers * kernel[place]
        made = sums.reshape(len(values), *counts, -1)
        return made if self.bias is None else np.add(made, self.bias, out=made)

    def _windows_times_kernel(self, values: Array, which: Sequence[range]) -> Array:
        """Return sums over some windows: these side by side, a product for each group."""
        patches, filters = self._patches(values, which), self.kernel.shape[-1]
        share = filters // self.groups
        parts = [
            dense(
                patches[g // share].reshape(*patches.shape[1:-2], -1),
                self.kernel[..., g : g + share].reshape(-1, share),
                None if self.bias is None else self.bias[g : g + share],
            )
            for g in range(0, filters, share)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    @property
    def _in_lines(self) -> bool:
        """Whether windows are copied a line of places at a time."""
        windows = self.windows
        overlap = all(w.dilation == 1 and w.stride <= w.size for w in windows)
        long = windows[-1].size >= _LONG and self.kernel.shape[-2] < _FEW
        return overlap and long and self.groups == 1

    def _patches(self, values: Array, which: Sequence[range]) -> Array:
        """Return what stands in some windows: (groups, rows, windows ..., places, channels)."""
        copied = self._line_by_line if self._in_lines else self._place_by_place
        return copied(values, which)

    def _line_by_line(self, values: Array, which: Sequence[range]) -> Array:
        """Do it by a view of the numbers, padded, in which each window has axes of its own."""
        inside, padded, at = [], [], []
        for window, length, some in zip(self.windows, values.shape[1:-1], which, strict=True):
            first = some.start * window.stride - window.before(length)
            size = (len(some) - 1) * window.stride + window.size
            there = range(length)[max(first, 0) : max(first + size, 0)]
            inside.append(slice(there.start, there.stop))
            padded.append(size)
            at.append(slice(max(-first, 0), max(-first, 0) + len(there)))
        lines = found = values[(slice(None), *inside)]
        if found.shape[1:-1] != tuple(padded):
            lines = np.zeros((len(values), *padded, values.shape[-1]), np.float32)
            lines[(slice(None), *at)] = found
        sizes, strides = [w.size for w in self.windows], lines.strides
        steps = [step * w.stride for step, w in zip(strides[1:-1], self.windows, strict=True)]
        view = np.lib.stride_tricks.as_strided(
            lines,
            (len(values), *map(len, which), *sizes, values.shape[-1]),
            (strides[0], *steps, *strides[1:]),
            writeable=False,
        )
        places = math.prod(sizes)
        return view.reshape(1, len(values), *map(len, which), places, values.shape[-1])

    def _place_by_place(self, values: Array, which: Sequence[range]) -> Array:
        windows, channels = self.windows, self.kernel.shape[-2]
        places = math.prod(window.size for window in windows)
        counts = [len(some) for some in which]
        shape = (self.groups, len(values), *counts, places, channels)
        patches = np.zeros(shape, np.float32)
        grouped = np.moveaxis(values.reshape(*values.shape[:-1], self.groups, channels), -2, 0)
        lengths = values.shape[1:-1]
        all_places = [range(window.size) for window in windows]
        for place, (found, where) in enumerate(taps(windows, lengths, which, all_places)):
            # All groups, and all rows, at this place.
            patches[..., place, :][:, :, *found] = grouped[:, :, *where]
        return patches


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Conv1D(_Conv):
    """``activation(sum of kernel * window + bias)`` for each window of time steps.

    The kernel is (steps, channels of a group, filters). A window that "causal" padding places at a
    step ends there.
    """

    dims: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same", "causal")

    def stepper(self, inputs: Sequence[Shape]) -> Stepper | None:
        if self.padding != "causal" or self.strides != (1,):
            return None
        return _CausalSteps(self, int(inputs[0][-1] or 0))


class _CausalSteps:
    """A causal convolution that takes a step at a time, and remembers those in its window."""

    sequences = (True,)

    def __init__(self, layer: Conv1D, channels: int) -> None:
        self._layer = replace(layer, padding="valid")
        self._behind = layer.windows[0].extent - 1
        self.remembers = {"window": (self._behind, channels)}

    def start(self, inputs: Sequence[Flow]) -> Memory:
        values = inputs[0].values
        return {"window": np.zeros((1, values.shape[1], self._behind, values.shape[3]), np.float32)}

    def step(
        self, inputs: Sequence[Flow], draw: Draw | None, memory: Memory, number: int
    ) -> tuple[list[Flow], Memory]:
        flow, behind = inputs[0], memory["window"]
        samples = max(len(behind), len(flow.values))
        window = [for_samples(values, samples) for values in (behind, flow.values)]
        whole = np.concatenate(window, axis=2)
        found = self._layer.forward(Flow(whole), draw)
        return [found], {"window": whole[:, :, 1:]}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Conv2D(_Conv):
    """``activation(sum of kernel * window + bias)`` for each window of an image.

    The kernel is (height, width, channels of a group, filters).
    """

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Conv3D(_Conv):
    """``activation(sum of kernel * window + bias)`` for each window of a volume.

    The kernel is (three sizes, channels of a group, filters).
    """

    dims: ClassVar[int] = 3


# ---- windows of each channel by itself, and then a product at each place ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _SeparableConv(Spatial):
    """``activation(sum of pointwise kernel * channels + bias)``, channels being convolved before.

    The depthwise kernel (sizes of the window, channels, filters of each) makes of each channel so
    many others, side by side; the pointwise kernel is (1 for each size, these, filters), as Keras
    has it.
    """

    depthwise_kernel: Weight
    pointwise_kernel: Weight
    bias: Weight | None = None
    strides: Each = 1
    padding: str = "valid"
    dilation_rate: Each = 1
    activation: _check.Activation = "linear"

    weight_fields: ClassVar[tuple[str, ...]] = ("depthwise_kernel", "pointwise_kernel", "bias")
    depthwise_layer: ClassVar[type[_Conv]]

    def __post_init__(self) -> None:
        self.check_weight("depthwise_kernel", (None,) * (self.dims + 2))
        depthwise = self._depthwise()
        channels = depthwise.kernel.shape[-1]
        self.check_weight("pointwise_kernel", (*(1,) * self.dims, channels, None))
        self.check_weight("bias", (self.pointwise_kernel.shape[-1],))
        self.prepare(strides=depthwise.strides, dilation_rate=depthwise.dilation_rate)
        _check.activation(self.activation, f"{self.label} activation")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        filters: int = 1,
        kernel_size: Sequence[int] = (),
        depth_multiplier: int = 1,
        use_bias: bool = True,
        **options: Any,
    ) -> Self:
        channels = last_axis(name, inputs[0])
        ones = (1,) * len(kernel_size)
        return cls(
            name=name,
            depthwise_kernel=Declared((*kernel_size, channels, depth_multiplier)),
            pointwise_kernel=Declared((*ones, channels * depth_multiplier, filters)),
            bias=Declared((filters,)) if use_bias else None,
            **options,
        )

    def _depthwise(self) -> _Conv:
        """Return the convolution of each channel by itself."""
        *sizes, channels, multiplier = self.depthwise_kernel.shape
        shape = (*sizes, 1, channels * multiplier)
        kernel = self.depthwise_kernel
        return self.depthwise_layer(
            name=self.name,
            kernel=Declared(shape) if isinstance(kernel, Declared) else kernel.reshape(shape),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=channels,
        )

    def output_shape(self, shape: Shape) -> Shape:
        return (*self._depthwise().output_shape(shape)[:-1], self.pointwise_kernel.shape[-1])

    def meaning(self, inputs: Sequence[str]) -> str:
        return meaning_of(self.activation)

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        depthwise = self._depthwise()
        between = math.prod(n or 1 for n in depthwise.output_shape(inputs[0]))
        return depthwise.work_elements(inputs) + between

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        values = self._depthwise().forward(flow, draw).values
        kernel = self.pointwise_kernel.reshape(self.pointwise_kernel.shape[-2:])
        return Flow(activate(dense(values, kernel, self.bias), self.activation))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SeparableConv1D(_SeparableConv):
    """``activation(sum of pointwise kernel * channels + bias)``, channels being convolved before.

    The depthwise kernel is (steps, channels, filters of each), the pointwise one (1, these,
    filters). A window that "causal" padding places at a step ends there.
    """

    dims: ClassVar[int] = 1
    depthwise_layer: ClassVar[type[_Conv]] = Conv1D


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SeparableConv2D(_SeparableConv):
    """``activation(sum of pointwise kernel * channels + bias)``, channels being convolved before.

    The depthwise kernel is (height, width, channels, filters of each), the pointwise one (1, 1,
    these, filters).
    """

    dims: ClassVar[int] = 2
    depthwise_layer: ClassVar[type[_Conv]] = Conv2D


# ---- from each place to a window ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _ConvTranspose(Spatial):
    """``activation(sum of kernel * place + bias)``, each place being laid over a window.

    The kernel (sizes of the window, filters of a group, channels) is as Keras has it. Windows begin
    `strides` places apart. "valid" padding keeps all that they cover, and with windows shorter than
    strides what is between them; "same" padding makes axes `strides` times as long. With
    `output_padding` axes are (places - 1) * strides + that and the window's extent, of which "same"
    padding counts 1 if it is odd, and nothing otherwise.
    """

    kernel: Weight
    bias: Weight | None = None
    strides: Each = 1
    padding: str = "valid"
    output_padding: Each | None = None
    dilation_rate: Each = 1
    groups: int = 1
    activation: _check.Activation = "linear"

    weight_fields: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    def __post_init__(self) -> None:
        self.check_weight("kernel", (None,) * (self.dims + 2))
        channels = self.kernel.shape[-1]
        groups = _check.integer(self.groups, f"{self.label} groups", 1, None)
        if channels % groups:
            what = f"a divisor of the {channels} channels"
            _check.refuse(ValueError, f"{self.label} groups", what, groups)
        self.check_weight("bias", (self.filters,))
        for field, least in (("strides", 1), ("dilation_rate", 1), ("output_padding", 0)):
            value = getattr(self, field)
            if value is not None:
                value = _check.each(value, f"{self.label} {field}", self.dims, least)
                self.prepare(**{field: value})
        _check.choice(self.padding, f"{self.label} padding", ("valid", "same"))
        _check.activation(self.activation, f"{self.label} activation")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        filters: int = 1,
        kernel_size: Sequence[int] = (),
        use_bias: bool = True,
        **options: Any,
    ) -> Self:
        kernel = Declared((*kernel_size, filters, last_axis(name, inputs[0])))
        bias = Declared((filters,)) if use_bias else None
        return cls(name=name, kernel=kernel, bias=bias, **options)

    @property
    def filters(self) -> int:
        return int(self.kernel.shape[-2]) * self.groups

    def _ends(self) -> list[tuple[int, int, int]]:
        """Return of each axis its stride, what is added to strides, and what is cut before."""
        assert isinstance(self.strides, tuple)
        assert isinstance(self.dilation_rate, tuple)
        more = (None,) * self.dims if self.output_padding is None else self.output_padding
        assert isinstance(more, tuple)
        found = []
        for axis, (stride, dilation) in enumerate(
            zip(self.strides, self.dilation_rate, strict=True)
        ):
            extent = (self.kernel.shape[axis] - 1) * dilation + 1
            longer, added = extent - stride, more[axis]
            if self.padding == "valid":
                found.append((stride, max(longer, 0) if added is None else longer + added, 0))
                continue
            kept = 0 if added is None else extent % 2 - stride + added
            found.append((stride, kept, max(longer - kept, 0) // 2))
        return found

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        channels = self.kernel.shape[-1]
        self.check_fits(shape, f"(..., {channels})", shape[-1] == channels)
        self.check_fits(shape, "with a place at least", 0 not in shape[:-1])
        lengths = [
            None if n is None else n * stride + added
            for n, (stride, added, _) in zip(shape, self._ends(), strict=False)
        ]
        least = all(n is None or n > 0 for n in lengths)
        self.check_fits(shape, "of which something is left", least)
        return (*lengths, self.filters)

    def meaning(self, inputs: Sequence[str]) -> str:
        return meaning_of(self.activation)

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        places = math.prod(n or 1 for n in inputs[0][:-1])
        return places * (inputs[0][-1] or 1) + 2 * places * self.filters

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, *shape = flow.values.shape
        lengths = [n or 0 for n in self.output_shape(tuple(shape))[:-1]]
        values = flow.values.reshape(samples * rows, *shape)
        out = np.zeros((len(values), *lengths, self.filters), np.float32)
        share = self.kernel.shape[-1] // self.groups
        # Places of the windows one by one: what they add to a number is added in their order.
        for tap in product(*map(range, self.kernel.shape[: self.dims])):
            where, found = self._laid(tap, shape, lengths)
            if any(part.start >= part.stop for part in where):
                continue
            given = values[(slice(None), *where)]
            kernel = self.kernel[tap]
            parts = [
                dense(given[..., c : c + share], kernel[:, c : c + share].T)
                for c in range(0, shape[-1], share)
            ]
            made = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                out[(slice(None), *found)] += made
        if self.bias is not None:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                out += self.bias
        out = activate(out, self.activation)
        return Flow(out.reshape(samples, rows, *out.shape[1:]))

    def _laid(
        self, tap: Sequence[int], shape: Sequence[int], lengths: Sequence[int]
    ) -> tuple[list[slice], list[slice]]:
        """Return which places have their window's place `tap` among those kept, and where."""
        assert isinstance(self.dilation_rate, tuple)
        where, found = [], []
        for axis, (stride, _, before) in enumerate(self._ends()):
            shift = tap[axis] * self.dilation_rate[axis] - before
            first = max(0, -(shift // stride))
            last = min(shape[axis], (lengths[axis] - 1 - shift) // stride + 1)
            where.append(slice(first, max(first, last)))
            start = first * stride + shift
            found.append(slice(start, start + (last - first) * stride, stride))
        return where, found


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Conv1DTranspose(_ConvTranspose):
    """``activation(sum of kernel * step + bias)``, each time step being laid over a window.

    The kernel is (steps, filters of a group, channels), padding and lengths are as Keras has them:
    "valid" or "same", with or without `output_padding`.
    """

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Conv2DTranspose(_ConvTranspose):
    """``activation(sum of kernel * place + bias)``, each place of an image over a window.

    The kernel is (height, width, filters of a group, channels).
    """

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Conv3DTranspose(_ConvTranspose):
    """``activation(sum of kernel * place + bias)``, each place of a volume over a window.

    The kernel is (three sizes, filters of a group, channels).
    """

    dims: ClassVar[int] = 3


# ---- longer and shorter axes ----


def _pairs(value: Any, name: str, dims: int) -> tuple[tuple[int, int], ...]:
    """Return what is before and behind on each axis: one number, one an axis, or a pair an axis.

    For one axis, a pair itself.
    """
    if dims == 1 and isinstance(value, Sequence) and len(value) == 2:
        value = (value,)
    each = (value,) * dims if not isinstance(value, Sequence) else value
    if len(each) != dims:
        _check.refuse(ValueError, name, f"a number or a pair for each of {dims} axes", value)
    found = [_check.each(item, name, 2, 0) for item in each]
    return tuple((a, b) for a, b in found)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _ZeroPadding(Spatial):
    padding: Any = 1

    def __post_init__(self) -> None:
        self.prepare(padding=_pairs(self.padding, f"{self.label} padding", self.dims))

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        lengths = [
            None if n is None else a + n + b for n, (a, b) in zip(shape, self.padding, strict=False)
        ]
        return (*lengths, shape[-1])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(np.pad(flow.values, [(0, 0), (0, 0), *self.padding, (0, 0)]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ZeroPadding1D(_ZeroPadding):
    """Put steps of zeros before and behind: a number of them, or one for each end."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ZeroPadding2D(_ZeroPadding):
    """Put zeros around images: a number, one for each axis, or a pair for each."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ZeroPadding3D(_ZeroPadding):
    """Put zeros around volumes: a number, one for each axis, or a pair for each."""

    dims: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Cropping(Spatial):
    cropping: Any = 0

    def __post_init__(self) -> None:
        self.prepare(cropping=_pairs(self.cropping, f"{self.label} cropping", self.dims))

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        lengths = [
            None if n is None else max(0, n - a - b)
            for n, (a, b) in zip(shape, self.cropping, strict=False)
        ]
        self.check_fits(shape, f"longer than what {self.cropping} takes off", 0 not in lengths)
        return (*lengths, shape[-1])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        lengths = flow.values.shape[2:]
        kept = (slice(a, n - b) for n, (a, b) in zip(lengths, self.cropping, strict=False))
        return Flow(np.ascontiguousarray(flow.values[(slice(None), slice(None), *kept)]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Cropping1D(_Cropping):
    """Take steps off before and behind: a number of them, or one for each end."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Cropping2D(_Cropping):
    """Take the edges off images: a number, one for each axis, or a pair for each."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Cropping3D(_Cropping):
    """Take the sides off volumes: a number, one for each axis, or a pair for each."""

    dims: ClassVar[int] = 3


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _UpSampling(Spatial):
    size: Each = 2

    def __post_init__(self) -> None:
        self.prepare(size=_check.each(self.size, f"{self.label} size", self.dims))

    @property
    def sizes(self) -> tuple[int, ...]:
        assert isinstance(self.size, tuple)
        return self.size

    def output_shape(self, shape: Shape) -> Shape:
        self.check_rank(shape)
        lengths = [
            None if n is None else n * size for n, size in zip(shape, self.sizes, strict=False)
        ]
        return (*lengths, shape[-1])

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return math.prod(n or 1 for n in self.output_shape(inputs[0])) * (self.dims - 1)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        values = flow.values
        for axis, size in enumerate(self.sizes):
            values = np.repeat(values, size, axis=axis + 2)
        return Flow(values)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class UpSampling1D(_UpSampling):
    """Repeat each time step."""

    dims: ClassVar[int] = 1


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class UpSampling2D(_UpSampling):
    """Repeat each row and column of images."""

    dims: ClassVar[int] = 2


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class UpSampling3D(_UpSampling):
    """Repeat each place of volumes along each axis."""

    dims: ClassVar[int] = 3

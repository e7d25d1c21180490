"""Layers that move numbers: slices, stacks, other orders of axes, places to take."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.layers._axes import axes_of, axis_of, broadcast
from fastdrop.layers._layer import Draw, Flow, Layer, Shape, Single, Weight, for_samples

# ---- slices and shapes ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Slice(Single):
    """Take a part of each row: integers, slices, None for a new axis, as in NumPy."""

    key: tuple[int | slice | None, ...]

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, whole: tuple[Any, ...] = (), **options: Any
    ) -> Self:
        """Take `whole`, a key that counts the batch and may hold an ellipsis, in place of `key`."""
        used = sum(part is not None and part is not ... for part in whole)
        missing = len(inputs[0]) + 1 - used
        rest = [slice(None)] * missing
        parts: list[Any] = []
        for part in whole:
            parts += rest if part is ... else [part]
        if parts[:1] != [slice(None)] or missing < 0 or sum(p is ... for p in whole) > 1:
            _check.refuse(
                ValueError, f"layer {name!r} key", "a key that takes the whole batch", whole
            )
        return cls(name=name, key=tuple(parts[1:]), **options)

    def __post_init__(self) -> None:
        if not all(part is None or isinstance(part, (int, slice)) for part in self.key):
            _check.refuse(TypeError, f"{self.label} key", "integers, slices and None", self.key)

    def output_shape(self, shape: Shape) -> Shape:
        found: list[int | None] = []
        lengths = list(shape)
        for part in self.key:
            if part is None:
                found.append(1)
                continue
            if not lengths:
                raise ValueError(f"{self.label}: expected at most {len(shape)} indices")
            length = lengths.pop(0)
            if isinstance(part, slice):
                found.append(_sliced(part, length))
            elif length is not None and not -length <= part < length:
                raise ValueError(f"{self.label}: index {part} of an axis of length {length}")
        return (*found, *lengths)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(flow.values[(slice(None), slice(None), *self.key)])


def _sliced(part: slice, length: int | None) -> int | None:
    """Return how long a slice of an axis is, if that is known."""
    if length is not None:
        return len(range(*part.indices(length)))
    return None


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ExpandDims(Single):
    """Put in an axis of length 1, counted in the result."""

    axis: int

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape) + 1)
        return (*shape[:at], 1, *shape[at:])

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        return None if values[0] is None else ("expand", self.axis, values[0])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = axis_of(self.label, self.axis, flow.values.ndim - 1)
        return Flow(np.expand_dims(flow.values, 2 + at))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Squeeze(Single):
    """Take out axes of length 1: those given, or all of them (None)."""

    axes: tuple[int, ...] | None = None

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(i for i, n in enumerate(shape) if n == 1)
        return axes_of(self.label, self.axes, len(shape))

    def output_shape(self, shape: Shape) -> Shape:
        axes = self._axes(shape)
        for axis in axes:
            self.check_fits(shape, f"of length 1 along axis {axis}", shape[axis] in (1, None))
        return tuple(n for i, n in enumerate(shape) if i not in axes)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        axes = self._axes(flow.values.shape[2:])
        return Flow(np.squeeze(flow.values, tuple(2 + axis for axis in axes)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Stack(Layer):
    """Put inputs of one shape side by side along a new axis, counted in the result."""

    axis: int

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if not inputs:
            raise ValueError(f"{self.label}: expected one input or more, got 0")
        if any(len(shape) != len(inputs[0]) for shape in inputs):
            raise ValueError(f"{self.label}: expected inputs of one shape, got {list(inputs)}")
        at = axis_of(self.label, self.axis, len(inputs[0]) + 1)
        same = broadcast(self.label, inputs)
        return [(*same[:at], len(inputs), *same[at:])]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        samples = max(len(flow.values) for flow in inputs)
        values = [for_samples(flow.values, samples) for flow in inputs]
        at = axis_of(self.label, self.axis, values[0].ndim - 1)
        return [Flow(np.stack(values, axis=2 + at))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Transpose(Single):
    """Put the axes of a row into another order; `axes[i]` is what becomes axis i."""

    axes: tuple[int, ...]

    @classmethod
    def declare(cls, inputs: Sequence[Shape], *, name: str, **options: Any) -> Self:
        """Take `moved`, (axes, where they go to), in place of `axes`. See `numpy.moveaxis`."""
        moved = options.pop("moved", None)
        if moved is None:
            return cls(name=name, **options)
        rank = len(inputs[0])
        source, destination = (axes_of(f"layer {name!r}", axes, rank) for axes in moved)
        axes = [axis for axis in range(rank) if axis not in source]
        for at, axis in sorted(zip(destination, source, strict=True)):
            axes.insert(at, axis)
        return cls(name=name, axes=tuple(axes), **options)

    def output_shape(self, shape: Shape) -> Shape:
        fits = sorted(self.axes) == list(range(len(shape)))
        self.check_fits(shape, f"of {len(self.axes)} axes, to be ordered {self.axes}", fits)
        return tuple(shape[axis] for axis in self.axes)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(flow.values.transpose(0, 1, *(2 + axis for axis in self.axes)))


# ---- what is put in and taken out ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Split(Single):
    """Cut each row along an axis: an output for each part, the places of `cuts` between them.

    With `unstacked` each part has one place, and no axis for it.
    """

    axis: int
    cuts: tuple[int, ...]
    unstacked: bool = False

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        count: int | None = None,
        lengths: Sequence[int] = (),
        **options: Any,
    ) -> Self:
        """Take the number of equal parts, or the length of each, in place of `cuts`."""
        label, axis = f"layer {name!r}", options["axis"]
        whole = inputs[0][axis_of(label, axis, len(inputs[0]))]
        if lengths and sum(lengths) != whole:
            raise ValueError(f"{label}: expected parts of {whole} places, got {list(lengths)}")
        if "cuts" not in options and not lengths:
            count = whole if count is None else count
            if not whole or not count or whole % count:
                raise ValueError(f"{label}: expected a length of {count} equal parts, got {whole}")
            lengths = [whole // count] * count
        if lengths:
            options["cuts"] = tuple(accumulate(lengths[:-1]))
        return cls(name=name, **options)

    def __post_init__(self) -> None:
        cuts = _check.integers(self.cuts, f"{self.label} cuts", 0) if self.cuts else ()
        if list(cuts) != sorted(cuts):
            _check.refuse(ValueError, f"{self.label} cuts", "places in their order", self.cuts)
        _check.flag(self.unstacked, f"{self.label} unstacked")
        self.prepare(cuts=tuple(cuts))

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape = self.only(inputs)
        at = axis_of(self.label, self.axis, len(shape))
        whole, last = shape[at], max((0, *self.cuts))
        expected = f"a fixed length of {last} or more on axis {self.axis}"
        self.check_fits(shape, f"of {expected}", whole is not None and last <= whole)
        assert whole is not None
        lengths = [b - a for a, b in pairwise((0, *self.cuts, whole))]
        if not self.unstacked:
            return [(*shape[:at], n, *shape[at + 1 :]) for n in lengths]
        expected = f"with {len(lengths)} places on axis {self.axis}"
        self.check_fits(shape, expected, {*lengths} == {1})
        return [(*shape[:at], *shape[at + 1 :]) for _ in lengths]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        values = inputs[0].values
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        parts = np.split(values, self.cuts, axis=at)
        return [Flow(part.squeeze(at) if self.unstacked else part) for part in parts]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Repeat(Single):
    """Repeat each row along an axis: place by place, or with `whole` all of it behind itself."""

    axis: int
    count: int
    whole: bool = False

    def __post_init__(self) -> None:
        _check.integer(self.count, f"{self.label} count", 1, None)
        _check.flag(self.whole, f"{self.label} whole")

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        length = shape[at]
        return (*shape[:at], None if length is None else length * self.count, *shape[at + 1 :])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        if self.whole:
            return Flow(np.concatenate([flow.values] * self.count, axis=at))
        return Flow(np.repeat(flow.values, self.count, axis=at))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Roll(Single):
    """Move each row round along an axis, by `shift` places towards its end. See `numpy.roll`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.layers import Roll
    >>> model = fd.Model([Roll(name="later", axis=0, shift=1)], (None,))
    >>> model.predict(np.array([[3, 1, 4]], np.float32))
    array([[4., 3., 1.]], dtype=float32)
    """

    axis: int
    shift: int

    def __post_init__(self) -> None:
        _check.integer(self.shift, f"{self.label} shift", -(2**31), 2**31)

    def output_shape(self, shape: Shape) -> Shape:
        axis_of(self.label, self.axis, len(shape))
        return shape

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return axis_of(self.label, self.axis, len(inputs[0])) > 0

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        return Flow(np.roll(flow.values, self.shift, axis=at))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Constant(Single):
    """The same numbers for each row, whatever the input is."""

    value: Weight

    weight_fields: ClassVar[tuple[str, ...]] = ("value",)

    def __post_init__(self) -> None:
        self.check_weight("value", (None,) * np.ndim(self.value))

    def output_shape(self, shape: Shape) -> Shape:
        return tuple(self.value.shape)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(np.broadcast_to(self.value, (1, flow.rows, *self.value.shape)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Positions(Single):
    """Number the places along an axis of the input: 0, 1, 2 and so on."""

    axis: int = 0

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[axis_of(self.label, self.axis, len(shape))],)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        lengths = flow.values.shape[2:]
        count = lengths[axis_of(self.label, self.axis, len(lengths))]
        numbers = np.arange(count, dtype=np.float32)
        return Flow(np.broadcast_to(numbers, (1, flow.rows, count)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Pad(Single):
    """Put a number before and behind on each axis of a row, (before, behind) for each of them."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0

    def __post_init__(self) -> None:
        name = f"{self.label} widths"
        pairs = [_check.integers(pair, name, 0) for pair in self.widths]
        if any(len(pair) != 2 for pair in pairs):
            _check.refuse(ValueError, name, "pairs of integers", self.widths)
        self.prepare(widths=tuple(pairs))

    def output_shape(self, shape: Shape) -> Shape:
        axes = len(self.widths)
        self.check_fits(shape, f"of {axes} axes", len(shape) == axes)
        return tuple(
            None if n is None else before + n + behind
            for n, (before, behind) in zip(shape, self.widths, strict=True)
        )

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return self.widths[0] == (0, 0)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        widths = [(0, 0), (0, 0), *self.widths]
        with np.errstate(over="ignore", under="ignore"):
            value = np.float64(self.value).astype(np.float32)
        return Flow(np.pad(flow.values, widths, constant_values=value))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TakeAlong(Layer):
    """Take places of the first input along an axis, by their numbers in the second.

    Both have equally many axes; but for that one they are of equal lengths or 1. Numbers count
    from 0, or from the end where they are negative. See `numpy.take_along_axis`.
    """

    axis: int

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if len(inputs) != 2 or len(inputs[0]) != len(inputs[1]):
            expected = "two inputs of equally many axes"
            raise ValueError(f"{self.label}: expected {expected}, got {list(inputs)}")
        values, numbers = inputs
        at = axis_of(self.label, self.axis, len(values))
        others = [(*shape[:at], 1, *shape[at + 1 :]) for shape in inputs]
        same = broadcast(self.label, others)
        return [(*same[:at], numbers[at], *same[at + 1 :])]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        samples = max(len(flow.values) for flow in inputs)
        values, numbers = (for_samples(flow.values, samples) for flow in inputs)
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        count = values.shape[at]
        found = numbers.astype(np.int64)
        if ((found < -count) | (found >= count) | (found != numbers)).any():
            raise ValueError(f"{self.label}: expected numbers of {count} places")
        return [Flow(np.take_along_axis(values, found, axis=at))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Take(Single):
    """Take some places of each row along an axis, one after another: `places` are their numbers.

    They count from 0, or from the end where they are negative. See `numpy.take`.
    """

    axis: int
    places: tuple[int, ...]

    def __post_init__(self) -> None:
        self.prepare(places=_check.integers(self.places, f"{self.label} places", -(2**31)))

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        count, farthest = shape[at], max(max(n, -n - 1) for n in self.places)
        expected = f"of {farthest + 1} places or more on axis {self.axis}"
        self.check_fits(shape, expected, count is None or farthest < count)
        return (*shape[:at], len(self.places), *shape[at + 1 :])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        return Flow(np.take(flow.values, np.array(self.places, np.intp), axis=at))


# ---- masks ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class WithMask(Layer):
    """Give a tensor another time mask: the second input, zero where a step is padding.

    With `borrowed` it is not that input itself but the mask that it bears: "always", or "if none"
    where there is no other.
    """

    borrowed: str = ""

    takes_table: ClassVar[bool] = True

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape, mask = inputs
        pairs = zip(shape, () if self.borrowed else mask, strict=False)
        fits = all(None in (n, m) or m in (1, n) for n, m in pairs)
        self.check_fits(mask, f"{shape[: len(mask)]}, a mask of the steps of {shape}", fits)
        return [shape]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        flow, other = inputs
        mask = other.mask if self.borrowed else other.values != 0
        if self.borrowed == "if none" and flow.mask is not None:
            mask = flow.mask
        return [Flow(flow.values, mask, flow.table, flow.factors)]

"""Layers that shift and scale: normalization, always with what training has left behind.

Axes are those of a row: 0 is the first one behind the batch's, -1 the last.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Shape,
    Single,
    Weight,
    refuse_shape,
)

Axes = int | Sequence[int]

# Keras's guard against dividing by a standard deviation of 0.
_LEAST_STDDEV = 1e-7
# So many numbers are worked on at a time, in binary64.
_PIECE = 1 << 14


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Normalizing(Single):
    """What looks at some axes of its input and passes a mask on."""

    axis: Axes | None = -1

    passes_mask = True

    def __post_init__(self) -> None:
        axes = _axes_given(self.axis, f"{self.label} axis")
        if not axes:
            _check.refuse(ValueError, f"{self.label} axis", "at least one axis", self.axis)
        self.prepare(axis=axes)

    @property
    def axes(self) -> tuple[int, ...]:
        return _axes_given(self.axis, f"{self.label} axis")

    def row_axes(self, shape: Shape) -> tuple[int, ...]:
        """Return the axes from the front, in the order given; their lengths must be known."""
        return _row_axes(self.name, self.axes, shape)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return 0 not in self.row_axes(inputs[0])

    def check_lengths(self, shape: Shape, weight: Weight | None) -> None:
        """Refuse an input that does not fit a weight of the axes' lengths."""
        found = tuple(shape[axis] for axis in self.row_axes(shape))
        if weight is not None:
            expected = f"with lengths {weight.shape} along axis {self.axes}"
            self.check_fits(shape, expected, found == weight.shape)


def _axes_given(value: Axes | None, name: str) -> tuple[int, ...]:
    """Return axes as a tuple, an empty one for None."""
    if value is None or (isinstance(value, Sequence) and not value):
        return ()
    return _check.integers(value if isinstance(value, Sequence) else (value,), name, -64)


def _row_axes(name: str, axes: Sequence[int], shape: Shape) -> tuple[int, ...]:
    found = tuple(a + len(shape) if a < 0 else a for a in axes)
    fits = all(0 <= a < len(shape) and shape[a] is not None for a in found)
    if not fits or len(set(found)) < len(found):
        refuse_shape(name, shape, f"with fixed lengths along different axes {tuple(axes)}")
    return found


def _declared(
    name: str, axis: Axes | None, inputs: Sequence[Shape], *, in_order: bool = False
) -> tuple[tuple[int, ...], Declared]:
    """Return axes from the front, and a weight of their lengths, perhaps put in order."""
    axes = _row_axes(name, _axes_given(axis, f"layer {name!r} axis"), inputs[0])
    axes = tuple(sorted(axes)) if in_order else axes
    return axes, Declared(tuple(inputs[0][a] or 0 for a in axes))


def _along(vector: Array, axes: Sequence[int], rank: int) -> Array:
    """Return numbers of some axes of a row such that they broadcast to (samples, rows, ...).

    They lie in memory in the order of the axes in the row.
    """
    lengths = dict(zip(sorted(axes), _sorted_lengths(vector, axes), strict=True))
    return vector.reshape([1, 1, *(lengths.get(axis, 1) for axis in range(rank))])


def _sorted_lengths(vector: Array, axes: Sequence[int]) -> list[int]:
    return [n for _, n in sorted(zip(axes, vector.shape, strict=True))]


def _by_vectors(values: Array, axes: Sequence[int], function: Callable[[Array], Array]) -> Array:
    """Apply a function to the numbers along some axes of rows, taken as vectors in binary64.

    The function takes and gives (vectors, numbers) and sums along the last axis, contiguous, so
    that the order of a vector's sums depends on its length alone.
    """
    last = [a - len(axes) for a in range(len(axes))]
    moved = np.moveaxis(values, [a + 2 for a in sorted(axes)], last)
    width = math.prod(moved.shape[moved.ndim - len(axes) :])
    vectors = np.ascontiguousarray(moved).reshape(-1, max(width, 1) if values.size else 1)
    out = np.empty(vectors.shape, np.float32)
    height = max(1, _PIECE // max(width, 1))
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        for n in range(0, len(vectors), height):
            out[n : n + height] = function(vectors[n : n + height].astype(np.float64))
    back = np.moveaxis(out.reshape(moved.shape), last, [a + 2 for a in sorted(axes)])
    return np.ascontiguousarray(back)


def _vector_work(shape: Shape, axes: Sequence[int]) -> int:
    """Return the numbers that `_by_vectors` holds for a row."""
    known = [n or 1 for n in shape]
    moved = 0 if sorted(axes) == list(range(len(shape) - len(axes), len(shape))) else 2
    return moved * math.prod(known) + 6 * math.prod(known[axis] for axis in axes)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BatchNormalization(_Normalizing):
    """``gamma (x - moving_mean) / sqrt(moving_variance + epsilon) + beta`` along one axis.

    Ioffe and Szegedy, "Batch Normalization", ICML 2015, always with the statistics kept from
    training.
    """

    gamma: Weight | None = None
    beta: Weight | None = None
    moving_mean: Weight
    moving_variance: Weight
    epsilon: float = 1e-3

    weight_fields: ClassVar[tuple[str, ...]] = ("gamma", "beta", "moving_mean", "moving_variance")
    state_fields: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.axes) != 1:
            _check.refuse(ValueError, f"{self.label} axis", "one axis", self.axis)
        self.prepare(epsilon=_check.stddev(self.epsilon, f"{self.label} epsilon"))
        self.check_weight("moving_mean", (None,))
        for field in ("gamma", "beta", "moving_variance"):
            self.check_weight(field, (len(self.moving_mean),))

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        axis: Axes = -1,
        scale: bool = True,
        center: bool = True,
        **options: Any,
    ) -> Self:
        axes, vector = _declared(name, axis, inputs)
        return cls(
            name=name,
            axis=axes,
            gamma=vector if scale else None,
            beta=vector if center else None,
            moving_mean=vector,
            moving_variance=vector,
            **options,
        )

    def output_shape(self, shape: Shape) -> Shape:
        self.check_lengths(shape, self.moving_mean)
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        axes, rank = self.row_axes(flow.values.shape[2:]), flow.values.ndim - 2
        with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
            factor = 1 / np.sqrt(self.moving_variance.astype(np.float64) + self.epsilon)
            if self.gamma is not None:
                factor *= self.gamma
            # The mean is taken off first: what is left of x is exact where they are close.
            values = flow.values - _along(self.moving_mean, axes, rank)
            values *= _along(factor.astype(np.float32), axes, rank)
            if self.beta is not None:
                values += _along(self.beta, axes, rank)
        return flow.with_values(values)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LayerNormalization(_Normalizing):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, of each row by itself.

    Mean and variance are those along `axis`; gamma and beta hold a number for each place there, in
    the order of the axes. Ba, Kiros and Hinton, "Layer Normalization", 2016. With `rms_scaling` x
    stands in the place of x - mean, as Keras has it, and there is no beta.
    """

    gamma: Weight | None = None
    beta: Weight | None = None
    epsilon: float = 1e-3
    rms_scaling: bool = False

    weight_fields: ClassVar[tuple[str, ...]] = ("gamma", "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.prepare(epsilon=_check.stddev(self.epsilon, f"{self.label} epsilon"))
        _check.flag(self.rms_scaling, f"{self.label} rms_scaling")
        self.check_weight("gamma", (None,) * len(self.axes))
        self.check_weight("beta", (None,) * len(self.axes))
        if self.rms_scaling and self.beta is not None:
            raise ValueError(f"{self.label} beta: expected None with rms_scaling, got an array")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        axis: Axes = -1,
        scale: bool = True,
        center: bool = True,
        rms_scaling: bool = False,
        **options: Any,
    ) -> Self:
        axes, vector = _declared(name, axis, inputs)
        weights = {
            "gamma": vector if scale or rms_scaling else None,
            "beta": vector if center and not rms_scaling else None,
        }
        return cls(name=name, axis=axes, rms_scaling=rms_scaling, **(weights | options))

    def output_shape(self, shape: Shape) -> Shape:
        self.check_lengths(shape, self.gamma)
        self.check_lengths(shape, self.beta)
        return shape

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return _vector_work(inputs[0], self.row_axes(inputs[0]))

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        def normalized(x: Array) -> Array:
            centred = x - x.mean(axis=-1, keepdims=True)
            variance = np.square(centred).mean(axis=-1, keepdims=True)
            y: Array = x if self.rms_scaling else centred
            y /= np.sqrt(variance + self.epsilon)
            if self.gamma is not None:
                y *= self.gamma.reshape(-1)
            if self.beta is not None:
                y += self.beta.reshape(-1)
            return y

        axes = self.row_axes(flow.values.shape[2:])
        return flow.with_values(_by_vectors(flow.values, axes, normalized))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RMSNormalization(_Normalizing):
    """``scale x / sqrt(mean(x^2) + epsilon)``, of each row by itself.

    The mean is that along `axis`; scale holds a number for each place there, in the order of the
    axes. A mask ends here, as in Keras. Zhang and Sennrich, "Root Mean Square Layer Normalization",
    NeurIPS 2019.
    """

    scale: Weight | None = None
    epsilon: float = 1e-6

    weight_fields: ClassVar[tuple[str, ...]] = ("scale",)
    passes_mask = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.prepare(epsilon=_check.stddev(self.epsilon, f"{self.label} epsilon"))
        self.check_weight("scale", (None,) * len(self.axes))

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, axis: Axes = -1, **options: Any
    ) -> Self:
        axes, vector = _declared(name, axis, inputs)
        return cls(name=name, axis=axes, scale=vector, **options)

    def output_shape(self, shape: Shape) -> Shape:
        self.check_lengths(shape, self.scale)
        return shape

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return _vector_work(inputs[0], self.row_axes(inputs[0]))

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        def normalized(x: Array) -> Array:
            x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.epsilon)
            if self.scale is not None:
                x *= self.scale.reshape(-1)
            return x

        axes = self.row_axes(flow.values.shape[2:])
        return Flow(_by_vectors(flow.values, axes, normalized))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GroupNormalization(_Normalizing):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, of groups of a row's channels.

    Channels are along `axis`, which is one, and as many groups of them follow each other; -1 stands
    for one of each channel. Mean and variance are those of all numbers of a group, wherever they
    are in the row. Wu and He, "Group Normalization", ECCV 2018.
    """

    groups: int = 32
    gamma: Weight | None = None
    beta: Weight | None = None
    epsilon: float = 1e-3

    weight_fields: ClassVar[tuple[str, ...]] = ("gamma", "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.prepare(epsilon=_check.stddev(self.epsilon, f"{self.label} epsilon"))
        name = f"{self.label} groups"
        if _check.integer(self.groups, name, -1, None) == 0:
            _check.refuse(ValueError, name, "at least one group, or -1", self.groups)
        if len(self.axes) > 1:
            _check.refuse(ValueError, f"{self.label} axis", "one axis", self.axis)
        self.check_weight("gamma", (None,))
        self.check_weight("beta", (None,))

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        axis: Axes = -1,
        scale: bool = True,
        center: bool = True,
        **options: Any,
    ) -> Self:
        axes, vector = _declared(name, axis, inputs)
        gamma, beta = (vector if wanted else None for wanted in (scale, center))
        return cls(name=name, axis=axes, gamma=gamma, beta=beta, **options)

    def _groups(self, channels: int) -> int:
        return channels if self.groups == -1 else self.groups

    def output_shape(self, shape: Shape) -> Shape:
        self.check_lengths(shape, self.gamma)
        self.check_lengths(shape, self.beta)
        channels = shape[self.row_axes(shape)[0]] or 0
        fits = channels > 0 and channels % self._groups(channels) == 0
        self.check_fits(shape, f"with channels for {self.groups} groups along {self.axes}", fits)
        return shape

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return False  # it looks at all steps

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return 3 * math.prod(n or 1 for n in inputs[0])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        def normalized(x: Array) -> Array:
            x -= x.mean(axis=-1, keepdims=True)
            x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.epsilon)
            return x

        (axis,) = self.row_axes(flow.values.shape[2:])
        moved = np.moveaxis(flow.values, axis + 2, 2)
        samples, rows, channels = moved.shape[:3]
        groups = self._groups(channels)
        of_groups = moved.reshape(samples, rows, groups, math.prod(moved.shape[2:]) // groups)
        found = _by_vectors(of_groups, (1,), normalized).reshape(moved.shape)
        shape = (channels, *(1,) * (moved.ndim - 3))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if self.gamma is not None:
                found *= self.gamma.reshape(shape)
            if self.beta is not None:
                found += self.beta.reshape(shape)
        return flow.with_values(np.ascontiguousarray(np.moveaxis(found, 2, axis + 2)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class UnitNormalization(_Normalizing):
    """Divide by the Euclidean norm along `axis`, but by `least_norm` where it is smaller."""

    least_norm: float = 1e-12

    def __post_init__(self) -> None:
        super().__post_init__()
        name = f"{self.label} least_norm"
        if _check.stddev(self.least_norm, name) == 0:
            _check.refuse(ValueError, name, "a number > 0", self.least_norm)

    def output_shape(self, shape: Shape) -> Shape:
        self.row_axes(shape)
        return shape

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        return _vector_work(inputs[0], self.row_axes(inputs[0]))

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        def unit(x: Array) -> Array:
            norm = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
            x /= np.maximum(norm, self.least_norm)
            return x

        axes = self.row_axes(flow.values.shape[2:])
        return flow.with_values(_by_vectors(flow.values, axes, unit))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Normalization(_Normalizing):
    """``(x - mean) / sqrt(variance)``, both for each place along `axis`; None for one of each.

    The standard deviation is 1e-7 at least. `invert` is the way back. `passes_mask` says whether a
    mask goes on too.
    """

    mean: Weight
    variance: Weight
    invert: bool = False
    passes_mask: bool = True

    weight_fields: ClassVar[tuple[str, ...]] = ("mean", "variance")
    state_fields: ClassVar[tuple[str, ...]] = ("mean", "variance")

    def __post_init__(self) -> None:
        self.prepare(axis=self.axes)
        self.check_weight("mean", (None,) * len(self.axes))
        self.check_weight("variance", self.mean.shape)
        _check.flag(self.invert, f"{self.label} invert")
        _check.flag(self.passes_mask, f"{self.label} passes_mask")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        axis: Axes | None = -1,
        mean: Array | None = None,
        variance: Array | None = None,
        **options: Any,
    ) -> Self:
        axes, declared = _declared(name, axis, inputs, in_order=True)
        lengths = declared.shape
        return cls(
            name=name,
            axis=axes,
            mean=declared if mean is None else _spread(name, "mean", mean, lengths),
            variance=declared if variance is None else _spread(name, "variance", variance, lengths),
            **options,
        )

    def output_shape(self, shape: Shape) -> Shape:
        self.check_lengths(shape, self.mean)
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        axes, rank = self.row_axes(flow.values.shape[2:]), flow.values.ndim - 2
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            stddev = np.maximum(np.sqrt(self.variance.astype(np.float64)), _LEAST_STDDEV)
            mean = _along(self.mean, axes, rank)
            stddev = _along(stddev.astype(np.float32), axes, rank)
            if self.invert:
                values = flow.values * stddev
                values += mean
            else:
                values = flow.values - mean
                values /= stddev
        return flow.with_values(values) if self.passes_mask else Flow(values)


def _spread(name: str, field: str, value: Array, lengths: tuple[int, ...]) -> Array:
    """Return given numbers for every place; leading axes of length 1 do not count."""
    array = np.asarray(value, np.float64)
    while array.ndim > len(lengths) and array.shape[0] == 1:
        array = array[0]
    try:
        spread = np.broadcast_to(array, lengths)
    except ValueError:
        raise ValueError(
            f"layer {name!r} {field}: expected numbers of shape {lengths}, got {np.shape(value)}"
        ) from None
    return _check.float32(spread, f"layer {name!r} {field}")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Rescaling(Single):
    """``x scale + offset``: numbers, or arrays of them that broadcast to a row.

    `passes_mask` says whether a mask goes on too.
    """

    scale: Any
    offset: Any = 0.0
    passes_mask: bool = True

    def __post_init__(self) -> None:
        _check.flag(self.passes_mask, f"{self.label} passes_mask")
        for field in ("scale", "offset"):
            name = f"{self.label} {field}"
            value = _check.array(getattr(self, field), name, _check.NUMBERS)
            if not np.isfinite(value).all():
                _check.refuse(ValueError, name, "finite numbers", value)
            self.prepare(**{field: _check.float32(value, name)})

    def output_shape(self, shape: Shape) -> Shape:
        for field in ("scale", "offset"):
            lengths = getattr(self, field).shape
            own = shape[len(shape) - len(lengths) :]
            fits = len(lengths) <= len(shape) and all(
                n in (1, m) for n, m in zip(lengths, own, strict=True)
            )
            self.check_fits(shape, f"to which {field} of shape {lengths} broadcasts", fits)
        return shape

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return all(
            value.ndim < len(inputs[0]) or value.shape[0] == 1
            for value in (self.scale, self.offset)
        )

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            values = flow.values * self.scale
            values += self.offset
        return flow.with_values(values) if self.passes_mask else Flow(values)

"""Activations that stand as layers of their own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.feedforward import activate
from fastdrop.layers._axes import axis_of
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Layer,
    Shape,
    Single,
    Weight,
    meaning_of,
    refuse_shape,
)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Activation(Single):
    """An activation by itself; softmax and log_softmax are along an axis of a row."""

    activation: _check.Activation
    axis: int = -1

    passes_mask = True

    def __post_init__(self) -> None:
        activation = _check.activation(self.activation, f"{self.label} activation")
        axis = _check.integer(self.axis, f"{self.label} axis", -64, 64)
        self.prepare(activation=activation, axis=axis)

    def output_shape(self, shape: Shape) -> Shape:
        if shape:
            axis_of(self.label, self.axis, len(shape))
        return shape

    def meaning(self, inputs: Sequence[str]) -> str:
        if self.activation == "linear":
            return inputs[0]
        found = meaning_of(self.activation)
        return found if self.axis == -1 or found == "binary" else "regression"

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        rows = self.activation in _check.ROW_ACTIVATIONS
        return not rows or axis_of(self.label, self.axis, len(inputs[0])) > 0

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(along(flow.values, self.activation, self.axis))


def along(values: Array, activation: _check.Activation, axis: int) -> Array:
    """Apply an activation to rows (samples, rows, ...), along an axis of a row."""
    if axis in (-1, values.ndim - 3) or activation not in _check.ROW_ACTIVATIONS:
        return activate(values, activation)
    at = axis if axis < 0 else 2 + axis
    return np.moveaxis(activate(np.moveaxis(values, at, -1), activation), -1, at)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GLU(Single):
    """Multiply the first half of the numbers along an axis by the sigmoid of the second.

    See "Language Modeling with Gated Convolutional Networks" (Dauphin et al., 2017).

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.layers import GLU
    >>> model = fd.Model([GLU(name="gated")], (4,))
    >>> model.predict(np.array([[1, 2, 0, 100]], np.float32))
    array([[0.5, 2. ]], dtype=float32)
    """

    axis: int = -1

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        length = shape[at]
        expected = f"of an even length on axis {self.axis}"
        self.check_fits(shape, expected, length is not None and length % 2 == 0)
        assert length is not None
        return (*shape[:at], length // 2, *shape[at + 1 :])

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return axis_of(self.label, self.axis, len(inputs[0])) > 0

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        values, gates = np.split(flow.values, 2, axis=at)
        with np.errstate(all="ignore"):
            return Flow(values * activate(np.ascontiguousarray(gates), "sigmoid"))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Softmax(Layer):
    """Softmax along axes of a row together.

    A second input, of numbers above 0.5 (or true), says what is kept. With `zeros_masked` the rest
    is zero, also where nothing is kept.
    """

    axes: tuple[int, ...] = (-1,)
    zeros_masked: bool = False

    passes_mask = True

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape, *masks = inputs
        for axis in self.axes:
            axis_of(self.label, axis, len(shape))
        if any(mask != shape for mask in masks):
            refuse_shape(self.name, masks[0], f"{shape} as a mask")
        return [shape]

    def meaning(self, inputs: Sequence[str]) -> str:
        return "multiclass" if self.axes == (-1,) else "regression"

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return all(axis_of(self.label, a, len(inputs[0])) for a in self.axes)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        flow, *masks = inputs
        values = flow.values
        kept = [mask.values > 0.5 for mask in masks]
        for places in kept:
            values = np.where(places, values, np.float32(-1e9))
        found = self._softmax(values)
        for places in kept if self.zeros_masked else ():
            found = np.where(places, found, np.float32(0))
        return [flow.with_values(found)]

    def _softmax(self, values: Array) -> Array:
        if len(self.axes) == 1:
            return along(values, "softmax", self.axes[0])
        rank = values.ndim - 2
        axes = [2 + axis_of(self.label, axis, rank) for axis in self.axes]
        moved = np.moveaxis(values, axes, range(-len(axes), 0))
        count = math.prod(moved.shape[-len(axes) :])
        flat = np.ascontiguousarray(moved).reshape(*moved.shape[: -len(axes)], count)
        found = activate(flat, "softmax").reshape(moved.shape)
        return np.moveaxis(found, range(-len(axes), 0), axes)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PReLU(Single):
    """Multiply what is negative by a weight, one for each place in a row or for all of an axis."""

    alpha: Weight

    weight_fields: ClassVar[tuple[str, ...]] = ("alpha",)
    passes_mask = True

    def __post_init__(self) -> None:
        self.check_weight("alpha", (None,) * np.ndim(self.alpha))

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        shared_axes: Sequence[int] = (),
        **options: Any,
    ) -> Self:
        """Take `shared_axes` of a row, along which one weight serves all."""
        rank = len(inputs[0])
        shared = {axis_of(f"layer {name!r}", axis, rank) for axis in shared_axes}
        lengths = [1 if i in shared else n for i, n in enumerate(inputs[0])]
        if None in lengths:
            refuse_shape(name, inputs[0], "of fixed lengths, but for shared axes")
        return cls(name=name, alpha=Declared(tuple(n for n in lengths if n is not None)), **options)

    def output_shape(self, shape: Shape) -> Shape:
        fits = len(shape) == self.alpha.ndim and all(
            a in (1, n) for a, n in zip(self.alpha.shape, shape, strict=True)
        )
        axes = self.alpha.ndim
        self.check_fits(shape, f"of {axes} axes, to which {self.alpha.shape} broadcasts", fits)
        return shape

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return bool(self.alpha.shape[0] == 1)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        values = flow.values
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return flow.with_values(np.where(values > 0, values, self.alpha * values))

"""Layers that make one tensor of several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from fastdrop import _check
from fastdrop.layers._axes import axis_of, broadcast
from fastdrop.layers._layer import Array, Draw, Flow, Layer, Shape, for_samples
from fastdrop.layers.products import matmul

MERGES: dict[str, Any] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "average": np.add,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
# How the masks of several inputs become one.
MASKS = ("any", "all", "none")


def _check_masks(layer: Layer, masks: object) -> None:
    _check.choice(masks, f"{layer.label} masks", MASKS)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Merge(Layer):
    """Combine inputs number by number, one after another: see `MERGES`.

    Inputs of fewer axes stand for as many leading axes of time as they lack, of length 1. With
    `masks` "any" a step counts where any input has it, if all inputs have masks; with "all" where
    all that have masks have it; with "none" all steps do.
    """

    function: str
    masks: str = "any"

    def __post_init__(self) -> None:
        _check.choice(self.function, f"{self.label} function", tuple(MERGES))
        _check_masks(self, self.masks)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if len(inputs) < 2 or (self.function == "subtract" and len(inputs) != 2):
            wanted = "2" if self.function == "subtract" else "2 or more"
            raise ValueError(f"{self.label}: expected {wanted} inputs, got {len(inputs)}")
        rank = max(len(shape) for shape in inputs)
        return [broadcast(self.label, [(1,) * (rank - len(s)) + s for s in inputs])]

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        return masks[0] if len(set(masks)) == 1 and self.masks != "none" else None

    def meaning(self, inputs: Sequence[str]) -> str:
        # An average of probabilities is one.
        same = len(set(inputs)) == 1 and self.function == "average"
        return inputs[0] if same else "regression"

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return len({len(shape) for shape in inputs}) == 1

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        rank = max(flow.values.ndim for flow in inputs)
        values = [_with_axes(flow.values, rank) for flow in inputs]
        if self.masks == "any" and self.function in ("multiply", "maximum", "minimum"):
            return [self._with_masks(values, [flow.mask for flow in inputs])]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            merged: Array = reduce(MERGES[self.function], values)
            if self.function == "average":
                merged = merged / np.float32(len(values))
        return [Flow(merged, self._mask(inputs))]

    def _with_masks(self, values: Sequence[Array], masks: Sequence[Array | None]) -> Flow:
        """Combine what counts alone: a step that an input lacks leaves that input out."""
        compute = MERGES[self.function]
        merged, whole = values[0], masks[0]
        if self.function == "multiply" and whole is not None:
            merged = np.where(_spread(whole, merged.ndim), merged, np.float32(1))
        for x, mask in zip(values[1:], masks[1:], strict=True):
            given = x
            if mask is not None:
                instead = np.float32(1) if self.function == "multiply" else merged
                given = np.where(_spread(mask, x.ndim), x, instead)
            if whole is not None and self.function != "multiply":
                merged = np.where(_spread(whole, merged.ndim), merged, given)
            whole = None if whole is None or mask is None else whole | mask
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                merged = compute(merged, given)
        if whole is not None and self.function == "multiply":
            merged = np.where(_spread(whole, merged.ndim), merged, np.float32(0))
        return Flow(merged, whole)

    def _mask(self, inputs: Sequence[Flow]) -> Array | None:
        masks = [flow.mask for flow in inputs if flow.mask is not None]
        if not masks or self.masks == "none":
            return None
        if self.masks == "any" and len(masks) < len(inputs):
            return None
        join: Any = np.logical_or if self.masks == "any" else np.logical_and
        found: Array = reduce(join, masks)
        return found


def _spread(mask: Array, rank: int) -> Array:
    """Return a mask with axes of length 1 for what is behind its own."""
    return mask.reshape(*mask.shape, *(1,) * (rank - mask.ndim))


def _with_axes(values: Array, rank: int) -> Array:
    """Return the same with axes of length 1 behind that of the rows."""
    missing = rank - values.ndim
    return values.reshape(*values.shape[:2], *(1,) * missing, *values.shape[2:])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Concatenate(Layer):
    """Put inputs one behind the other along an axis of a row."""

    axis: int = -1
    masks: str = "any"

    def __post_init__(self) -> None:
        self.prepare(axis=_check.integer(self.axis, f"{self.label} axis", -64, 64))
        _check_masks(self, self.masks)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if not inputs:
            raise ValueError(f"{self.label}: expected one input or more, got 0")
        rank = len(inputs[0])
        if any(len(shape) != rank for shape in inputs):
            raise ValueError(f"{self.label}: expected inputs of equally many axes, got {inputs}")
        at = axis_of(self.label, self.axis, rank)
        others = [(*shape[:at], *shape[at + 1 :]) for shape in inputs]
        for lengths in zip(*others, strict=True):
            if len({*lengths} - {None}) > 1:
                raise ValueError(
                    f"{self.label}: expected inputs that differ along axis {at} alone, "
                    f"got {list(inputs)}"
                )
        same = tuple(
            next((n for n in ls if n is not None), None) for ls in zip(*others, strict=True)
        )
        along = [shape[at] for shape in inputs]
        length = None if None in along else sum(n for n in along if n is not None)
        return [(*same[:at], length, *same[at:])]

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        same = len(set(masks)) == 1 and self.axis == -1 and self.masks != "none"
        return masks[0] if same else None

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return axis_of(self.label, self.axis, len(inputs[0])) > 0

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        samples = max(len(flow.values) for flow in inputs)
        values = [for_samples(flow.values, samples) for flow in inputs]
        at = 2 + axis_of(self.label, self.axis, values[0].ndim - 2)
        return [Flow(np.concatenate(values, axis=at), self._mask(inputs, at))]

    def _mask(self, inputs: Sequence[Flow], at: int) -> Array | None:
        """Spread masks over the features, join them as the values, and look whether any is set."""
        if self.masks == "none" or all(flow.mask is None for flow in inputs):
            return None
        samples = max(len(flow.mask) for flow in inputs if flow.mask is not None)
        spread = []
        for flow in inputs:
            shape = (samples, *flow.values.shape[1:])
            mask = flow.mask
            if mask is None:
                spread.append(np.ones(shape, bool))
            else:
                missing = len(shape) - mask.ndim
                spread.append(np.broadcast_to(mask.reshape(*mask.shape, *(1,) * missing), shape))
        joined = np.concatenate(spread, axis=at)
        found: Array = (np.any if self.masks == "any" else np.all)(joined, axis=-1)
        return found


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Dot(Layer):
    """Sum products of two inputs along an axis of each, counted from 1 as Keras does.

    With `normalize` both are scaled to length 1 along their axis first.
    """

    axes: tuple[int, int]
    normalize: bool = False

    def _along(self, ranks: Sequence[int]) -> list[int]:
        return [
            axis_of(self.label, axis - 1 if axis > 0 else axis, rank)
            for axis, rank in zip(self.axes, ranks, strict=True)
        ]

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if len(inputs) != 2:
            raise ValueError(f"{self.label}: expected 2 inputs, got {len(inputs)}")
        ranks = [len(shape) for shape in inputs]
        along = self._along(ranks)
        lengths = {shape[at] for shape, at in zip(inputs, along, strict=True)} - {None}
        if len(lengths) > 1:
            raise ValueError(f"{self.label}: expected axes of one length, got {list(inputs)}")
        left, right = (
            tuple(n for i, n in enumerate(shape) if i != at)
            for shape, at in zip(inputs, along, strict=True)
        )
        return [(*left, *right) or (1,)]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        along = self._along([flow.values.ndim - 2 for flow in inputs])
        samples = max(len(flow.values) for flow in inputs)
        operands = []
        for flow, at in zip(inputs, along, strict=True):
            values = np.moveaxis(flow.values, 2 + at, -1)
            if self.normalize:
                values = normalized(values)
            operands.append(for_samples(values, samples))
        left, right = operands
        found = products(left, right)
        return [Flow(found if found.ndim > 2 else found[..., np.newaxis])]


def normalized(values: Array) -> Array:
    """Scale to length 1 along the last axis."""
    values = np.ascontiguousarray(values)
    with np.errstate(all="ignore"):
        squares = np.sum(np.square(values), axis=-1, keepdims=True)
        scaled: Array = values * (np.float32(1) / np.sqrt(np.maximum(squares, np.float32(1e-12))))
        return scaled


def products(left: Array, right: Array) -> Array:
    """Return sums of products along the last axes of rows (..., k) and (..., k).

    The other axes of the first are followed by those of the second. Row by row, so that none
    depends on another.
    """
    samples, rows, *one, length = left.shape
    other = right.shape[2:-1]
    counts = math.prod(one), math.prod(other)  # there may be no rows that would tell them
    flat = [
        part.reshape(samples, rows, count, length)
        for part, count in zip((left, right), counts, strict=True)
    ]
    found = matmul(flat[0], np.swapaxes(flat[1], -1, -2))
    return found.reshape(samples, rows, *one, *other)

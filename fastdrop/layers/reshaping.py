"""Layers that only lay out numbers anew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastdrop import _check
from fastdrop.layers._layer import Draw, Flow, Layer, Memory, Shape, Single, Stepper


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RepeatVector(Single):
    """Make a sequence of `count` equal time steps of each vector."""

    count: int

    def __post_init__(self) -> None:
        self.prepare(count=_check.integer(self.count, f"{self.label} count", 1, None))

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, "(features,)", len(shape) == 1)
        return (self.count, *shape)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, features = flow.values.shape
        # The vectors are a table: a recurrent layer projects each of them once, not each step.
        table = flow.values.reshape(samples * rows, features)
        numbers = np.arange(samples * rows).reshape(samples, rows, 1)
        return Flow(np.broadcast_to(numbers, (samples, rows, self.count)), table=table)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Flatten(Single):
    """Lay out all numbers of a row as one vector. A mask ends here."""

    def output_shape(self, shape: Shape) -> Shape:
        return (_product(shape),)

    def meaning(self, inputs: Sequence[str]) -> str:
        return "binary" if inputs[0] == "binary" else "regression"

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return _laid_out(flow, self.output_shape(flow.values.shape[2:]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Reshape(Single):
    """Give rows another shape; one length may be -1, which is what remains. A mask ends here."""

    target_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        name = f"{self.label} target_shape"
        lengths = _check.integers(self.target_shape, name, -1)
        if 0 in lengths or lengths.count(-1) > 1:
            _check.refuse(ValueError, name, "positive lengths, at most one of them -1", lengths)
        self.prepare(target_shape=lengths)

    def output_shape(self, shape: Shape) -> Shape:
        size, known = _product(shape), math.prod(n for n in self.target_shape if n > 0)
        if -1 not in self.target_shape:
            fits = size is None or size == known
            self.check_fits(shape, f"of {known} numbers", fits)
            return self.target_shape
        self.check_fits(shape, f"of a multiple of {known} numbers", not size or size % known == 0)
        rest = None if size is None else size // known
        return tuple(rest if n < 0 else n for n in self.target_shape)

    def meaning(self, inputs: Sequence[str]) -> str:
        return "binary" if inputs[0] == "binary" else "regression"

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return _laid_out(flow, self.output_shape(flow.values.shape[2:]))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Permute(Single):
    """Put the axes of a row into another order, the first one being 1. A mask ends here."""

    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        name = f"{self.label} dims"
        dims = _check.integers(self.dims, name, 1)
        if sorted(dims) != list(range(1, len(dims) + 1)):
            _check.refuse(ValueError, name, f"1 to {len(dims)}, each once", dims)
        self.prepare(dims=dims)

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, f"of {len(self.dims)} axes", len(shape) == len(self.dims))
        return tuple(shape[d - 1] for d in self.dims)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        order = (0, 1, *(d + 1 for d in self.dims))
        return Flow(np.ascontiguousarray(flow.values.transpose(order)))


def _product(shape: Shape) -> int | None:
    """Return how many numbers there are; None where a length is left open."""
    return None if None in shape else math.prod(n for n in shape if n is not None)


def _laid_out(flow: Flow, shape: Shape) -> Flow:
    return Flow(flow.values.reshape(*flow.values.shape[:2], *(n or 0 for n in shape)))


def channels_moved(shapes: Sequence[Shape], axis: int) -> list[Shape]:
    """Return shapes with the channels last that have them at an axis of the first shape.

    Those of fewer axes, as of a single step, have them so much sooner.
    """
    found = []
    for shape in shapes:
        at = _channels_at(axis, len(shapes[0]), len(shape))
        found.append((*shape[:at], *shape[at + 1 :], *shape[at : at + 1]))
    return found


def _channels_at(axis: int, most: int, rank: int) -> int:
    return max(0, axis - (most - rank))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ChannelsFirst(Layer):
    """A layer whose inputs and outputs have their channels in front of what it slides along.

    They are at an axis of the first input's rows, and in what has fewer axes so much sooner. What
    the layer draws it draws as if they were last.
    """

    layer: Layer
    axis: int = 0

    part_fields: ClassVar[tuple[str, ...]] = ("layer",)

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            _check.refuse(TypeError, f"{self.label} layer", "a layer", self.layer)
        _check.integer(self.axis, f"{self.label} axis", 0, 2)

    @property
    def passes_mask(self) -> bool:
        return self.layer.passes_mask

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        self.check_fits(inputs[0], "(channels, ...)", len(inputs[0]) > self.axis + 1)
        try:
            shapes = self.layer.output_shapes(channels_moved(inputs, self.axis))
        except ValueError as error:
            raise ValueError(f"{error}, its channels moved behind") from error
        found: list[Shape] = []
        for shape in shapes:
            at = _channels_at(self.axis, len(inputs[0]), len(shape))
            found.append((*shape[:at], shape[-1], *shape[at:-1]))
        return found

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        copied = sum(math.prod(n or 1 for n in shape) for shape in inputs)
        return copied + self.layer.work_elements(channels_moved(inputs, self.axis))

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return self.layer.mask_elements(channels_moved(inputs, self.axis))

    def draws_for(self, inputs: Sequence[Shape]) -> str:
        return self.layer.draws_for(channels_moved(inputs, self.axis))

    def stepper(self, inputs: Sequence[Shape]) -> Stepper | None:
        if self.axis == 0:
            return None
        inner = self.layer.stepper(channels_moved(inputs, self.axis))
        return None if inner is None else _StepsMoved(inner, self.axis)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        most = inputs[0].values.ndim - 2
        return _in_front(self.layer.run(_behind(inputs, self.axis), draw), self.axis, most)


def _behind(flows: Sequence[Flow], axis: int) -> list[Flow]:
    """Move the channels of inputs behind."""
    most = flows[0].values.ndim - 2
    found = []
    for flow in flows:
        at = _channels_at(axis, most, flow.values.ndim - 2)
        moved = np.moveaxis(flow.values, 2 + at, -1)
        found.append(Flow(np.ascontiguousarray(moved), flow.mask))
    return found


def _in_front(flows: Sequence[Flow], axis: int, most: int) -> list[Flow]:
    """Move the channels of outputs to the front, of inputs of at most so many axes."""
    found = []
    for flow in flows:
        at = _channels_at(axis, most, flow.values.ndim - 2)
        found.append(Flow(np.moveaxis(flow.values, -1, 2 + at), flow.mask))
    return found


class _StepsMoved:
    """A layer that takes a step at a time, of channels in front."""

    def __init__(self, inner: Stepper, axis: int) -> None:
        self._inner, self._axis = inner, axis
        self.sequences, self.remembers = inner.sequences, inner.remembers

    def start(self, inputs: Sequence[Flow]) -> Memory:
        return self._inner.start(_behind(inputs, self._axis))

    def step(
        self, inputs: Sequence[Flow], draw: Draw | None, memory: Memory, number: int
    ) -> tuple[list[Flow], Memory]:
        given, most = _behind(inputs, self._axis), inputs[0].values.ndim - 2
        flows, memory = self._inner.step(given, draw, memory, number)
        return _in_front(flows, self._axis, most), memory

"""Calls of layers, as nodes of ONNX ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._lengths import Length
from fastdrop.formats._networks import Networks
from fastdrop.formats._values import Spread, Tensor, UnsupportedError, Value
from fastdrop.layers import Elementwise, Layer, Positions, Reduce
from fastdrop.layers.operations import MOST_WHOLE

Array = NDArray[Any]

_TOO_LARGE = "whole numbers that float32 does not hold"
# Functions of which no number is negative, and those by which none becomes so.
_NEVER = frozenset(
    (
        *("absolute", "equal", "greater", "greater_equal", "less", "less_equal", "logical_and"),
        *("logical_not", "logical_or", "logical_xor", "not_equal", "ones", "zeros"),
    )
)
_KEEPING = frozenset(
    ("add", "clip", "divide", "maximum", "minimum", "mod", "multiply", "trunc", "where", "whole")
)


class Calls(Networks):
    """Calls of layers, without those that undo each other."""

    def __init__(self) -> None:
        super().__init__()
        # What tensors were before an axis was put in, or they were laid out anew.
        self._before: dict[str, tuple[Tensor, Tensor]] = {}
        # Of tensors of places along an axis how many there are.
        self.places: dict[str, int] = {}
        # Tensors of whole numbers that are 0 or 1.
        self.truths: set[str] = set()
        # Tensors in which whole numbers may be negative, other than inputs.
        self.negative: set[str] = set()

    def call(
        self, layer: Layer, inputs: Sequence[str], rows: Sequence[Sequence[Length]]
    ) -> list[str]:
        names = super().call(layer, inputs, rows)
        if _may_be_negative(layer, any(name in self.negative for name in inputs)):
            self.negative.update(names)
        return names

    def once(self, array: Array, options: tuple[Any, ...], make: Callable[[Array], Array]) -> Array:
        """Return what is made of a constant, the same each time."""
        found: Array = self.kept([array], options, lambda: make(array))
        return found

    def float32(self, array: Array) -> Array:
        if array.dtype == np.float32:
            return array
        found = self.once(array, ("float32",), lambda a: np.asarray(a, np.float32))
        if array.dtype.kind in "iu" and (found.astype(np.float64) != array).any():
            raise UnsupportedError(_TOO_LARGE)
        return found

    def elementwise(self, function: str, *operands: Value | float) -> Value:
        if any(isinstance(o, Tensor) for o in operands):
            operands = tuple(self._spread32(o) if isinstance(o, Spread) else o for o in operands)
        return super().elementwise(function, *operands)

    def tensor(self, value: Value, like: Tensor) -> Tensor:
        return super().tensor(self._spread32(value) if isinstance(value, Spread) else value, like)

    def _spread32(self, value: Spread) -> Spread:
        return Spread(self.float32(value.value), value.at)

    def from_the_front(self, places: Value, count: int) -> Value:
        """Return places of so many as they are counted from the front, where some may not be."""
        if not isinstance(places, Tensor) or places.name not in self.negative:
            return places
        behind = self.elementwise("less", places, 0.0)
        moved = self.elementwise("add", places, float(count))
        return self.elementwise("where", behind, moved, places)

    def whole(self, value: Value, sizes: Value | None = None, most: float = MOST_WHOLE) -> Value:
        """Return whole numbers, which may not be as large as `most`, nor may other sizes be.

        What depends on inputs is looked at when it is computed.
        """
        sizes = value if sizes is None else sizes
        if isinstance(value, Tensor) and isinstance(sizes, Tensor):
            return self.elementwise("whole", value, sizes, most)
        held = sizes.value if isinstance(sizes, Spread) else sizes
        if isinstance(value, Spread) and value.value.dtype.kind in "iu":
            return value
        if isinstance(held, np.ndarray) and (np.abs(held) >= most).any():
            raise UnsupportedError(_TOO_LARGE)
        return value

    def unsqueeze(self, value: Value, axis: int) -> Value:
        made = super().unsqueeze(value, axis)
        if isinstance(value, Tensor) and isinstance(made, Tensor):
            self._before[made.name] = (made, value)
        return made

    def squeeze(self, value: Value, axes: Sequence[int] | None = None) -> Value:
        name = getattr(value, "name", "")
        along, stacked = self._stacked.get(name, (None, []))
        if isinstance(value, Tensor) and len(stacked) == 1 and axes is not None and len(axes) == 1:
            axis = value.counted(axes[0])
            if axis != value.at and value.axis(axis) == along:
                at = value.at - (axis < value.at)
                return replace(value, name=stacked[0].name, row=stacked[0].row, at=at)
        made, source = self._before.get(name, (None, None))
        if made is not None and source is not None and made == value and axes is not None:
            without = [
                n for i, n in enumerate(made.shape) if i not in [a % made.ndim for a in axes]
            ]
            at = made.at - sum(a % made.ndim < made.at for a in axes)
            if len(axes) == 1 and tuple(without) == source.shape and at == source.at:
                return source
        return super().squeeze(value, axes)

    def reshape(self, value: Value, shape: Sequence[Length]) -> Value:
        made = super().reshape(value, shape)
        if not isinstance(value, Tensor) or not isinstance(made, Tensor):
            return made
        _, source = self._before.get(value.name, (None, None))
        if source is not None and replace(made, name=source.name) == source:
            return source
        if made.name != value.name:
            self._before[made.name] = (made, value)
        return made


def _may_be_negative(layer: Layer, given: bool) -> bool:
    """Say whether a layer may make negative numbers, of what may be such or not."""
    if isinstance(layer, Positions) or (isinstance(layer, Reduce) and layer.function == "argmax"):
        return False
    if not isinstance(layer, Elementwise):
        return given
    if layer.function in _NEVER:
        return False
    constants = [np.asarray(o) for o in layer.operands if not isinstance(o, int)]
    signs = [bool((o < 0).any()) for o in constants]
    if layer.function == "maximum" and not all(signs):
        return False
    return given or layer.function not in _KEEPING or any(signs)

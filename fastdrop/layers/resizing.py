"""Layers that make axes longer or shorter by what lies between numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastdrop import _check
from fastdrop.layers._axes import axis_of
from fastdrop.layers._layer import Array, Draw, Flow, Layer, Shape, Single

METHODS = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "asymmetric", "align_corners")
# Of two places that are equally near, and of which is the nearest.
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
}
_CUBIC = -0.75  # as PyTorch and ONNX have it


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Interpolate(Layer):
    """Take numbers at other places along an axis, and between them: as many times as many, or some.

    Either `scale` or `size` is given, or a second input, along whose first axis are as many places.
    `coordinates` say where the places are: those of ends on ends ("align_corners"), first on first
    ("asymmetric"), or as the middles of cells ("half_pixel"). The method is what is nearest by a
    `rounding`, or a line or cubic curve (a = -3/4) through those around, of which the ends stay the
    same beyond. See `torch.nn.functional.interpolate`; places are computed in float32, as there.
    """

    axis: int
    scale: float | None = None
    size: int | None = None
    method: str = "linear"
    coordinates: str = "half_pixel"
    rounding: str = "floor"

    def __post_init__(self) -> None:
        _check.choice(self.method, f"{self.label} method", METHODS)
        _check.choice(self.coordinates, f"{self.label} coordinates", COORDINATES)
        _check.choice(self.rounding, f"{self.label} rounding", tuple(ROUNDINGS))
        given = [v for v in (self.scale, self.size) if v is not None]
        if len(given) > 1 or not all(0 < v < np.inf for v in given):
            got = f"scale={self.scale}, size={self.size}"
            raise ValueError(f"{self.label}: expected one of scale and size, positive, got {got}")
        if self.size is not None:
            _check.integer(self.size, f"{self.label} size", 1, None)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        expected = 2 if self.scale is None and self.size is None else 1
        if len(inputs) != expected or not all(inputs[1:]):
            what = (
                "one input" if expected == 1 else "a second input, with an axis as long as wanted"
            )
            raise ValueError(f"{self.label}: expected {what}, got {list(inputs)}")
        shape = inputs[0]
        at = axis_of(self.label, self.axis, len(shape))
        length, count = shape[at], inputs[1][0] if len(inputs) > 1 else self.size
        if self.scale is not None and length is not None:
            count = math.floor(length * self.scale)
        return [(*shape[:at], count, *shape[at + 1 :])]

    def _places(self, length: int, count: int) -> Array:
        """Return where each number is taken among the places that there are."""
        places = np.arange(count, dtype=np.float32)
        if not count:
            return places
        if self.coordinates == "align_corners":
            return places * (np.float32(length - 1) / np.float32(max(count - 1, 1)))
        step = np.float32(1 / self.scale if self.scale else length / count)
        half = np.float32(0.5 if self.coordinates == "half_pixel" else 0)
        return np.asarray((places + half) * step - half)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        values = inputs[0].values
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        length = values.shape[at]
        count = inputs[1].values.shape[2] if len(inputs) > 1 else self.size
        if count is None:
            count = math.floor(length * (self.scale or 0))
        places = self._places(length, count)
        if not length and len(places):
            raise ValueError(f"{self.label}: expected numbers along axis {self.axis}, got none")

        def taken(numbers: Array) -> Array:
            return np.take(values, np.clip(numbers, 0, length - 1).astype(np.intp), axis=at)

        if self.method == "nearest":
            return [Flow(taken(ROUNDINGS[self.rounding](places)))]
        if self.method == "linear":
            places = np.clip(places, 0, max(length - 1, 0))
        first = np.floor(places)
        shares = _cubic_shares if self.method == "cubic" else _linear_shares
        shape = (-1, *(1,) * (values.ndim - 1 - at))
        with np.errstate(all="ignore"):
            parts = [
                taken(first + shift) * share.astype(np.float32).reshape(shape)
                for shift, share in shares(places - first)
            ]
            return [Flow(sum(parts[1:], start=parts[0]))]


def _linear_shares(t: Array) -> list[tuple[int, Array]]:
    """Return what the places around have part in a number at t between them."""
    return [(0, 1 - t), (1, t)]


def _cubic_shares(t: Array) -> list[tuple[int, Array]]:
    """Return the same by a cubic convolution (Keys, 1981)."""

    def near(x: Array) -> Array:
        return ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1

    def far(x: Array) -> Array:
        return ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC

    return [(-1, far(t + 1)), (0, near(t)), (1, near(1 - t)), (2, far(2 - t))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Resizing(Single):
    """Make images (height, width, channels) larger or smaller, to a `size` or by a `scale`.

    Both are of height and width. "nearest" takes what lies nearest to the middle of a new cell,
    "bilinear" lines between the middles of those around it; nothing is smoothed before.
    """

    size: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _check.choice(self.interpolation, f"{self.label} interpolation", tuple(_RESIZED))
        if (self.size is None) == (self.scale is None):
            got = f"size={self.size}, scale={self.scale}"
            raise ValueError(f"{self.label}: expected one of size and scale, got {got}")
        for name in ("size", "scale"):
            if (value := getattr(self, name)) is not None:
                self.prepare(**{name: _check.each(value, f"{self.label} {name}", 2)})

    @property
    def _axes(self) -> list[Interpolate]:
        options = _RESIZED[self.interpolation]
        each: list[dict[str, Any]] = [{"size": n} for n in self.size or ()] + [
            {"scale": n} for n in self.scale or ()
        ]
        return [Interpolate(name=self.name, axis=i, **n, **options) for i, n in enumerate(each)]

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, "(height, width, channels)", len(shape) == 3)
        for layer in self._axes:
            (shape,) = layer.output_shapes([shape])
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        for layer in self._axes:
            (flow,) = layer.run([flow], None)
        return flow


# How each way is one of those along an axis.
_RESIZED: dict[str, dict[str, Any]] = {
    "nearest": {"method": "nearest", "rounding": "round_prefer_ceil"},
    "bilinear": {"method": "linear"},
}

"""What runs through the layers of a model, and what a model asks of a layer.

A layer's ``run`` takes activations of shape (samples, rows, ...), one row an input, and gives the
same. Where nothing random has happened yet all samples are equal and the samples axis is a
broadcast one, of stride zero.

A stochastic layer draws its masks from sites ``SITES * index``, ... where `index` is its place in
the model: site and sample number make the stream, the row's number in the whole data set makes the
element offset.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.random import Key
from fastdrop.recurrent import recurrent_masks

Array = NDArray[Any]
Shape = tuple[int | None, ...]

# Sites a layer may use: input and recurrent masks, for two directions.
SITES = 4


@dataclass(frozen=True, slots=True)
class Draw:
    """Which masks to draw: those of some samples and rows, at one layer."""

    key: Key
    site: int
    samples: range
    first_row: int
    rows: int
    shared: bool

    def stream(self, sample: int, site: int = 0) -> int:
        return (self.site + site) << 32 | sample

    def masks(self, site: int, rate: float, gates: int, width: int) -> Array | None:
        """Draw scaled masks (samples, rows or 1, gates, width), time-constant; None at rate 0."""
        if not _check.threshold(rate):
            return None
        return recurrent_masks(
            self.key,
            self.stream(0, site),
            self.samples,
            rate,
            0 if self.shared else self.first_row,
            1 if self.shared else self.rows,
            gates,
            width,
            np.dtype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Flow:
    """What runs through the layers.

    values (samples, rows, ...); mask (rows, time), False where a time step is padding, or None.

    With a `table` (V, D) the activations are rows of it that nobody has looked up yet: `values`
    (samples, rows, time) are their indices, and `factors` (samples, rows or 1, D), or None,
    multiply all time steps alike. A recurrent layer works on the table itself, once for each
    entry that occurs; the model looks the rows up for every other layer.
    """

    values: Array
    mask: Array | None = None
    table: Array | None = None
    factors: Array | None = None

    def with_values(self, values: Array) -> "Flow":
        return Flow(values, self.mask)

    def repeated(self, samples: int) -> "Flow":
        """The same for so many samples, all equal."""
        return replace(self, values=np.broadcast_to(self.values, (samples, *self.values.shape[1:])))

    def looked_up(self) -> "Flow":
        """The same without a table."""
        if self.table is None:
            return self
        values = np.take(self.table, self.values[:1] if equal(self.values) else self.values, axis=0)
        values = np.broadcast_to(values, (len(self.values), *values.shape[1:]))
        if self.factors is not None:
            # Selected where dropped, as `dropout` does: 0 times infinity is not 0.
            factors = self.factors[:, :, np.newaxis]
            dropped = np.zeros(values.shape, values.dtype)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                values = np.multiply(values, factors, out=dropped, where=factors != 0)
        return self.with_values(values)


def equal(values: Array) -> bool:
    """Whether the samples are one and the same, by the samples axis."""
    return values.strides[0] == 0


@runtime_checkable
class Layer(Protocol):
    """What a model asks of a layer."""

    @property
    def name(self) -> str: ...
    @property
    def stochastic(self) -> str:
        """What is random about it, for people; empty if nothing is."""

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of a row's output for a row's input; None is a length left open."""

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        """Run with dropout off (draw None) or on."""


def parts(layer: Layer) -> Iterator[Layer]:
    """Yield a layer and the layers it is made of."""
    yield layer
    for value in vars(layer).values():
        if isinstance(value, Layer):
            yield from parts(value)


def check_fits(layer: str, shape: Shape, expected: str, fits: bool) -> None:
    if not fits:
        raise ValueError(f"layer {layer!r}: expected an input of shape {expected}, got {shape}")


def where(layer: Layer) -> str:
    return f"layer {_check.text(layer.name, 'name')!r}"


def check_bias(bias: Array | None, label: str, shape: tuple[int, ...]) -> Array | None:
    if bias is None:
        return None
    return _check.shaped(_check.weight(bias, f"{label} bias", len(shape)), f"{label} bias", shape)


def prepare(layer: Layer, **fields: Any) -> None:
    """Put what was checked and prepared in place of what was given."""
    for name, value in fields.items():
        object.__setattr__(layer, name, value)

"""The layers of a model that carry nothing from one time step to the next."""

import math
from dataclasses import dataclass

import numpy as np

from fastdrop import _check
from fastdrop.feedforward import activate, dense
from fastdrop.masks import dropout
from fastdrop.model._flow import (
    Array,
    Draw,
    Flow,
    Shape,
    check_bias,
    check_fits,
    equal,
    prepare,
    where,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding:
    """Replace each index by its row of a table (V, D)."""

    name: str
    table: Array
    mask_zero: bool = False

    stochastic = ""

    def __post_init__(self) -> None:
        label = where(self)
        prepare(self, table=_check.weight(self.table, f"{label} table", 2))
        _check.flag(self.mask_zero, f"{label} mask_zero")

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape, self.table.shape[1])

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        indices = flow.values[0]  # no sample differs before an embedding
        mask = indices != 0 if self.mask_zero else None
        found = Flow(flow.values, mask, table=self.table)
        return found if indices.ndim == 2 else found.looked_up()


def _drop(flow: Flow, draw: Draw, rate: float, noise_shape: tuple[int | None, ...] | None) -> Flow:
    """Draw a mask of the noise shape for every sample and apply it."""
    values = np.empty(flow.values.shape, flow.values.dtype)
    noise = _check.noise_shape(noise_shape, values.shape[1:])
    # One mask for all rows, by the layer's own shape or by the scope, starts at element 0.
    for_all = draw.shared or (noise_shape is not None and noise_shape[0] == 1)
    offset = 0 if for_all else draw.first_row * math.prod(noise[1:])
    if for_all:
        noise = (1, *noise[1:])
    for j, sample in enumerate(draw.samples):
        dropout(
            flow.values[j],
            rate,
            rng=draw.key,
            stream=draw.stream(sample),
            offset=offset,
            noise_shape=noise,
            out=values[j],
            threads=1,
        )
    return flow.with_values(values)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dropout:
    """Elementwise dropout, a new mask value for every element of the (broadcast) noise shape."""

    name: str
    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        label = where(self)
        _check.probability(self.rate, f"{label} rate")
        if self.noise_shape is not None:
            noise_shape = _check.open_shape(self.noise_shape, f"{label} noise_shape")
            if noise_shape[:1] not in ((None,), (1,)):
                _check.refuse(
                    ValueError, f"{label} noise_shape", "None or 1 for the batch axis", noise_shape
                )
            prepare(self, noise_shape=noise_shape)

    @property
    def stochastic(self) -> str:
        return f"dropout {self.rate:g}" if _check.threshold(self.rate) else ""

    def output_shape(self, shape: Shape) -> Shape:
        if self.noise_shape is not None:
            noise = self.noise_shape[1:]
            fits = len(noise) == len(shape) and all(
                a in (None, 1, n) or n is None for a, n in zip(noise, shape, strict=True)
            )
            check_fits(self.name, shape, f"to which {noise} broadcasts", fits)
        return shape

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow if draw is None else _drop(flow, draw, self.rate, self.noise_shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class SpatialDropout1D:
    """Drop whole channels: one mask value for a row's channel, the same at all time steps."""

    name: str
    rate: float

    def __post_init__(self) -> None:
        _check.probability(self.rate, f"{where(self)} rate")

    @property
    def stochastic(self) -> str:
        return f"spatial dropout {self.rate:g}" if _check.threshold(self.rate) else ""

    def output_shape(self, shape: Shape) -> Shape:
        check_fits(self.name, shape, "(time, channels)", len(shape) == 2)
        return shape

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        if draw is None:
            return flow
        everything = _check.threshold(self.rate) >> 32
        if flow.table is None or flow.factors is not None or everything:
            return _drop(flow.looked_up(), draw, self.rate, (None, 1, None))
        # The same mask elements, kept as factors so that nothing has to be looked up yet.
        factors = draw.masks(0, self.rate, 1, flow.table.shape[1])
        assert factors is not None
        return Flow(flow.values, flow.mask, flow.table, factors[:, :, 0])


@dataclass(frozen=True, eq=False, kw_only=True)
class RepeatVector:
    """Make a sequence of `count` equal time steps of each vector."""

    name: str
    count: int

    stochastic = ""

    def __post_init__(self) -> None:
        label = where(self)
        prepare(self, count=_check.integer(self.count, f"{label} count", 1, None))

    def output_shape(self, shape: Shape) -> Shape:
        check_fits(self.name, shape, "(features,)", len(shape) == 1)
        return (self.count, *shape)

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, features = flow.values.shape
        # The vectors are a table too: a recurrent layer projects each of them once, not each step.
        if equal(flow.values):
            table: Array = flow.values[0]
            numbers: Array = np.arange(rows)
        else:
            table = flow.values.reshape(samples * rows, features)
            numbers = np.arange(samples * rows).reshape(samples, rows)
        indices = np.broadcast_to(numbers[..., np.newaxis], (samples, rows, self.count))
        return Flow(indices, table=table)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense:
    """``activation(x kernel + bias)`` over the last axis."""

    name: str
    kernel: Array
    bias: Array | None = None
    activation: _check.Activation = "linear"

    stochastic = ""

    def __post_init__(self) -> None:
        label = where(self)
        kernel = _check.weight(self.kernel, f"{label} kernel", 2)
        bias = check_bias(self.bias, label, (kernel.shape[1],))
        prepare(self, kernel=kernel, bias=bias)
        _check.activation(self.activation, f"{label} activation", rows=True)

    def output_shape(self, shape: Shape) -> Shape:
        inputs = len(self.kernel)
        check_fits(self.name, shape, f"(..., {inputs})", shape[-1:] == (inputs,))
        return (*shape[:-1], self.kernel.shape[1])

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(
            dense(flow.values, self.kernel, self.bias, activation=self.activation)
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeDistributed:
    """A dense layer at every time step."""

    name: str
    layer: Dense

    stochastic = ""

    def __post_init__(self) -> None:
        label = where(self)
        if not isinstance(self.layer, Dense):
            _check.refuse(TypeError, f"{label} layer", "a Dense layer", self.layer)

    def output_shape(self, shape: Shape) -> Shape:
        check_fits(self.name, shape, "(time, ..., features)", len(shape) >= 2)
        return self.layer.output_shape(shape)

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return self.layer.run(flow, None)  # it works along the last axis wherever it is


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation:
    """An activation by itself; softmax is along the last axis."""

    name: str
    activation: _check.Activation

    stochastic = ""

    def __post_init__(self) -> None:
        _check.activation(self.activation, f"{where(self)} activation", rows=True)

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(activate(flow.values, self.activation))

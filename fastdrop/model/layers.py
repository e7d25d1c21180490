"""The layers of a model.

A layer's ``run`` takes activations of shape (samples, rows, ...), one row an input, and gives the
same. Where nothing random has happened yet all samples are equal and the samples axis is a
broadcast one, of stride zero.

A stochastic layer draws its masks from sites ``SITES * index``, ... where `index` is its place in
the model: site and sample number make the stream, the row's number in the whole data set makes the
element offset.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.feedforward import OUTPUT_ACTIVATIONS, activate, dense
from fastdrop.masks import dropout
from fastdrop.random import Key
from fastdrop.recurrent import lstm

Array = NDArray[Any]

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


@dataclass(frozen=True, slots=True)
class Flow:
    """What runs through the layers.

    values (samples, rows, ...); mask (rows, time), False where a time step is padding, or None.
    """

    values: Array
    mask: Array | None = None

    def with_values(self, values: Array) -> "Flow":
        return Flow(values, self.mask)


@runtime_checkable
class Layer(Protocol):
    """What a model asks of a layer."""

    @property
    def name(self) -> str: ...
    @property
    def stochastic(self) -> str:
        """What is random about it, for people; empty if nothing is."""

    def output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of a row's output for a row's input; None is a length left open."""

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        """Run with dropout off (draw None) or on."""


def _fits(layer: str, shape: tuple[int | None, ...], expected: str, fits: bool) -> None:
    if not fits:
        raise ValueError(f"layer {layer!r}: expected an input of shape {expected}, got {shape}")


def _where(layer: Layer) -> str:
    return f"layer {_check.text(layer.name, 'name')!r}"


def _bias(bias: Array | None, where: str, width: int) -> Array | None:
    if bias is None:
        return None
    return _check.shaped(_check.weight(bias, f"{where} bias", 1), f"{where} bias", (width,))


def _prepare(layer: Layer, **arrays: Array | None) -> None:
    """Put arrays that were checked and prepared in place of those given."""
    for name, array in arrays.items():
        object.__setattr__(layer, name, array)


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding:
    """Replace each index by its row of a table (V, D)."""

    name: str
    table: Array
    mask_zero: bool = False

    stochastic = ""

    def __post_init__(self) -> None:
        where = _where(self)
        _prepare(self, table=_check.weight(self.table, f"{where} table", 2))
        _check.flag(self.mask_zero, f"{where} mask_zero")

    def output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*shape, self.table.shape[1])

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        indices = flow.values[0]  # no sample differs before an embedding
        values = np.take(self.table, indices, axis=0)
        mask = indices != 0 if self.mask_zero else None
        return Flow(np.broadcast_to(values, (len(flow.values), *values.shape)), mask)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dropout:
    """Elementwise dropout, a new mask value for every element of the (broadcast) noise shape."""

    name: str
    rate: float
    noise_shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        where = _where(self)
        _check.probability(self.rate, f"{where} rate")
        if self.noise_shape is not None:
            noise_shape = _check.open_shape(self.noise_shape, f"{where} noise_shape")
            if noise_shape[:1] not in ((None,), (1,)):
                _check.refuse(
                    ValueError, f"{where} noise_shape", "None or 1 for the batch axis", noise_shape
                )
            object.__setattr__(self, "noise_shape", noise_shape)

    @property
    def stochastic(self) -> str:
        return f"dropout {self.rate:g}" if _check.threshold(self.rate) else ""

    def output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if self.noise_shape is not None:
            noise = self.noise_shape[1:]
            fits = len(noise) == len(shape) and all(
                a in (None, 1, n) or n is None for a, n in zip(noise, shape, strict=True)
            )
            _fits(self.name, shape, f"to which {noise} broadcasts", fits)
        return shape

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        if draw is None:
            return flow
        values = np.empty(flow.values.shape, flow.values.dtype)
        noise = _check.noise_shape(self.noise_shape, values.shape[1:])
        # One mask for all rows, by the layer's own shape or by the scope, starts at element 0.
        for_all = draw.shared or (self.noise_shape is not None and self.noise_shape[0] == 1)
        offset = 0 if for_all else draw.first_row * math.prod(noise[1:])
        if for_all:
            noise = (1, *noise[1:])
        for j, sample in enumerate(draw.samples):
            dropout(
                flow.values[j],
                self.rate,
                rng=draw.key,
                stream=draw.stream(sample),
                offset=offset,
                noise_shape=noise,
                out=values[j],
                threads=1,
            )
        return flow.with_values(values)


@dataclass(frozen=True, eq=False, kw_only=True)
class LSTM:
    """An LSTM layer; see `fastdrop.lstm` for the arrays and options."""

    name: str
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None = None
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    scheme: str = "per_gate"
    go_backwards: bool = False
    return_sequences: bool = False
    zero_output_for_mask: bool = False

    def __post_init__(self) -> None:
        where = _where(self)
        recurrent_kernel = _check.weight(self.recurrent_kernel, f"{where} recurrent_kernel", 2)
        width = 4 * len(recurrent_kernel)
        _check.shaped(recurrent_kernel, f"{where} recurrent_kernel", (width // 4, width))
        kernel = _check.weight(self.kernel, f"{where} kernel", 2)
        _check.shaped(kernel, f"{where} kernel", (len(kernel), width))
        bias = _bias(self.bias, where, width)
        _prepare(self, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias)
        for option in ("activation", "recurrent_activation"):
            _check.choice(getattr(self, option), f"{where} {option}", _check.ACTIVATIONS)
        for option in ("dropout", "recurrent_dropout"):
            _check.recurrent_rate(getattr(self, option), f"{where} {option}")
        _check.choice(self.scheme, f"{where} scheme", _check.SCHEMES)
        for option in ("go_backwards", "return_sequences", "zero_output_for_mask"):
            _check.flag(getattr(self, option), f"{where} {option}")

    @property
    def stochastic(self) -> str:
        rates = (("input dropout", self.dropout), ("recurrent dropout", self.recurrent_dropout))
        parts = [f"{what} {rate:g}" for what, rate in rates if _check.threshold(rate)]
        return f"{', '.join(parts)} ({self.scheme})" if parts else ""

    @property
    def units(self) -> int:
        return int(self.recurrent_kernel.shape[0])

    def output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        features = len(self.kernel)
        _fits(self.name, shape, f"(time, {features})", len(shape) == 2 and shape[1] == features)
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows = flow.values.shape[:2]
        if draw is None:  # samples are all equal, or random through an earlier layer
            input_mask = recurrent_mask = None
        else:
            input_mask = self._masks(draw, 0, self.dropout, self.kernel.shape[0])
            recurrent_mask = self._masks(draw, 1, self.recurrent_dropout, self.units)
        y = lstm(
            flow.values.reshape(samples * rows, *flow.values.shape[2:]),
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
            input_mask=input_mask,
            recurrent_mask=recurrent_mask,
            mask=None if flow.mask is None else np.tile(flow.mask, (samples, 1)),
            go_backwards=self.go_backwards,
            return_sequences=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask,
            threads=1,  # the model splits the work
        )
        mask = flow.mask if self.return_sequences else None
        return Flow(y.reshape(samples, rows, *y.shape[1:]), mask)

    def _masks(self, draw: Draw, site: int, rate: float, width: int) -> Array | None:
        """Draw scaled masks (samples * rows, gates, width)."""
        if not _check.threshold(rate):
            return None
        gates = 4 if self.scheme == "per_gate" else 1
        rows, first_row = (1, 0) if draw.shared else (draw.rows, draw.first_row)
        ones = np.ones((rows, gates, width), self.kernel.dtype)
        masks = np.empty((len(draw.samples), draw.rows, gates, width), self.kernel.dtype)
        for j, sample in enumerate(draw.samples):
            masks[j] = dropout(
                ones,
                rate,
                rng=draw.key,
                stream=draw.stream(sample, site),
                offset=first_row * gates * width,
                threads=1,
            )
        return masks.reshape(-1, gates, width)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense:
    """``activation(x kernel + bias)`` over the last axis."""

    name: str
    kernel: Array
    bias: Array | None = None
    activation: str = "linear"

    stochastic = ""

    def __post_init__(self) -> None:
        where = _where(self)
        kernel = _check.weight(self.kernel, f"{where} kernel", 2)
        bias = _bias(self.bias, where, kernel.shape[1])
        _prepare(self, kernel=kernel, bias=bias)
        _check.choice(self.activation, f"{where} activation", OUTPUT_ACTIVATIONS)

    def output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        inputs = len(self.kernel)
        _fits(self.name, shape, f"(..., {inputs})", shape[-1:] == (inputs,))
        return (*shape[:-1], self.kernel.shape[1])

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(
            dense(flow.values, self.kernel, self.bias, activation=self.activation)
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation:
    """An activation by itself."""

    name: str
    activation: str

    stochastic = ""

    def __post_init__(self) -> None:
        where = _where(self)
        _check.choice(self.activation, f"{where} activation", OUTPUT_ACTIVATIONS)

    def output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(activate(flow.values, self.activation))

"""The recurrent layers of a model."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastdrop import _check
from fastdrop.model._flow import Array, Draw, Flow, Shape, check_bias, check_fits, prepare, where
from fastdrop.packed import PackedWeights, pack_gru, pack_lstm, pack_simple_rnn
from fastdrop.recurrent import merge, rnn


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrent:
    """What the recurrent layers have in common; see `fastdrop.rnn` for the options."""

    name: str
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None = None
    activation: _check.Activation = "tanh"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    go_backwards: bool = False
    return_sequences: bool = False
    zero_output_for_mask: bool = False
    # Packed once, for all calls and threads.
    packed: PackedWeights = field(init=False, repr=False)

    gates: ClassVar[int] = 1

    def __post_init__(self) -> None:
        label = where(self)
        recurrent_kernel = _check.weight(self.recurrent_kernel, f"{label} recurrent_kernel", 2)
        units, width = len(recurrent_kernel), self.gates * len(recurrent_kernel)
        _check.shaped(recurrent_kernel, f"{label} recurrent_kernel", (units, width))
        kernel = _check.weight(self.kernel, f"{label} kernel", 2)
        _check.shaped(kernel, f"{label} kernel", (len(kernel), width))
        bias = check_bias(self.bias, label, self._bias_shape(width))
        _check.activation(self.activation, f"{label} activation")
        for option in ("dropout", "recurrent_dropout"):
            _check.recurrent_rate(getattr(self, option), f"{label} {option}")
        for option in ("go_backwards", "return_sequences", "zero_output_for_mask"):
            _check.flag(getattr(self, option), f"{label} {option}")
        self._check_more(label)
        packed = self._pack(kernel, recurrent_kernel, bias)
        prepare(
            self,
            kernel=packed.kernel,
            recurrent_kernel=packed.recurrent_kernel,
            bias=packed.bias,
            packed=packed,
        )

    def _bias_shape(self, width: int) -> tuple[int, ...]:
        return (width,)

    def _check_more(self, label: str) -> None:
        """Check the options that not all cells have."""

    def _pack(self, kernel: Array, recurrent_kernel: Array, bias: Array | None) -> PackedWeights:
        raise NotImplementedError

    @property
    def mask_gates(self) -> int:
        """How many masks a row has."""
        return 1

    @property
    def stochastic(self) -> str:
        rates = (("input dropout", self.dropout), ("recurrent dropout", self.recurrent_dropout))
        return ", ".join(f"{what} {rate:g}" for what, rate in rates if _check.threshold(rate))

    @property
    def units(self) -> int:
        return int(self.recurrent_kernel.shape[0])

    def output_shape(self, shape: Shape) -> Shape:
        features = len(self.kernel)
        fits = len(shape) == 2 and shape[1] == features
        check_fits(self.name, shape, f"(time, {features})", fits)
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(self.outputs(flow, draw), flow.mask if self.return_sequences else None)

    def outputs(self, flow: Flow, draw: Draw | None, direction: int = 0) -> Array:
        """Return the outputs (samples, rows, ...), with the masks of one of two directions."""
        input_mask = recurrent_mask = None
        if draw is not None:  # else samples are all equal, or random through an earlier layer
            site, gates = 2 * direction, self.mask_gates
            input_mask = draw.masks(site, self.dropout, gates, len(self.kernel))
            recurrent_mask = draw.masks(site + 1, self.recurrent_dropout, gates, self.units)
        samples, rows = flow.values.shape[:2]

        def call(part: slice) -> Array:
            """Run some samples as one batch."""
            x = flow.values[part]
            count = len(x)
            y: Array = rnn(
                x.reshape(count * rows, *x.shape[2:]),
                self.packed,
                input_mask=_batch(input_mask, part),
                recurrent_mask=_batch(recurrent_mask, part),
                embedding=flow.table,
                embedding_mask=_batch(flow.factors, part),
                mask=None if flow.mask is None else np.tile(flow.mask, (count, 1)),
                go_backwards=self.go_backwards,
                return_sequences=self.return_sequences,
                zero_output_for_mask=self.zero_output_for_mask,
                threads=1,  # the model splits the work
            )
            return y.reshape(count, rows, *y.shape[1:])

        # Rows that share a sample's mask make a call of their own, which need not compute with
        # what the mask drops.
        masks = (input_mask, recurrent_mask, flow.factors)
        if all(mask is None or mask.shape[1] == rows for mask in masks):
            return call(slice(0, samples))
        return np.concatenate([call(slice(j, j + 1)) for j in range(samples)])


def _batch(mask: Array | None, part: slice) -> Array | None:
    """Return the masks of some samples (samples, rows, ...) as those of one batch."""
    if mask is None:
        return None
    some = mask[part]
    return some.reshape(-1, *some.shape[2:])


@dataclass(frozen=True, eq=False, kw_only=True)
class _Gated(Recurrent):
    """A cell with gates, which may have masks of their own."""

    recurrent_activation: _check.Activation = "sigmoid"
    scheme: str = "per_gate"

    def _check_more(self, label: str) -> None:
        _check.activation(self.recurrent_activation, f"{label} recurrent_activation")
        _check.choice(self.scheme, f"{label} scheme", _check.SCHEMES)

    @property
    def mask_gates(self) -> int:
        return self.gates if self.scheme == "per_gate" else 1

    @property
    def stochastic(self) -> str:
        text = super().stochastic
        return f"{text} ({self.scheme})" if text else ""


@dataclass(frozen=True, eq=False, kw_only=True)
class LSTM(_Gated):
    """An LSTM layer; see `fastdrop.lstm` for the arrays and options."""

    gates: ClassVar[int] = 4

    def _pack(self, kernel: Array, recurrent_kernel: Array, bias: Array | None) -> PackedWeights:
        return pack_lstm(
            kernel,
            recurrent_kernel,
            bias,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class GRU(_Gated):
    """A GRU layer; see `fastdrop.gru` for the arrays and options."""

    reset_after: bool = True

    gates: ClassVar[int] = 3

    def _bias_shape(self, width: int) -> tuple[int, ...]:
        return (2, width) if self.reset_after else (width,)

    def _check_more(self, label: str) -> None:
        super()._check_more(label)
        _check.flag(self.reset_after, f"{label} reset_after")

    def _pack(self, kernel: Array, recurrent_kernel: Array, bias: Array | None) -> PackedWeights:
        return pack_gru(
            kernel,
            recurrent_kernel,
            bias,
            reset_after=self.reset_after,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class SimpleRNN(Recurrent):
    """A simple recurrent layer; see `fastdrop.simple_rnn` for the arrays and options."""

    def _pack(self, kernel: Array, recurrent_kernel: Array, bias: Array | None) -> PackedWeights:
        return pack_simple_rnn(kernel, recurrent_kernel, bias, activation=self.activation)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bidirectional:
    """Two recurrent layers, one of which takes the time steps from the last to the first.

    Their outputs are merged step by step: "concat", "sum", "mul" or "ave" (their mean).
    """

    name: str
    forward: Recurrent
    backward: Recurrent
    merge_mode: str = "concat"

    def __post_init__(self) -> None:
        label = where(self)
        for name in ("forward", "backward"):
            layer = getattr(self, name)
            if not isinstance(layer, Recurrent):
                _check.refuse(TypeError, f"{label} {name}", "a recurrent layer", layer)
            if layer.go_backwards is not (name == "backward"):
                _check.refuse(
                    ValueError,
                    f"{label} {name}",
                    f"a layer with go_backwards={name == 'backward'}",
                    layer.go_backwards,
                )
        for option in ("return_sequences", "units"):
            value = getattr(self.forward, option)
            if getattr(self.backward, option) != value:
                _check.refuse(
                    ValueError,
                    f"{label} backward",
                    f"{option}={value}, as the forward layer has",
                    getattr(self.backward, option),
                )
        _check.choice(self.merge_mode, f"{label} merge_mode", _check.MERGE_MODES)

    @property
    def stochastic(self) -> str:
        forward, backward = self.forward.stochastic, self.backward.stochastic
        if forward == backward:
            return forward
        return f"forward: {forward or 'nothing'}; backward: {backward or 'nothing'}"

    def output_shape(self, shape: Shape) -> Shape:
        *lengths, units = self.forward.output_shape(shape)
        self.backward.output_shape(shape)
        assert units is not None
        return (*lengths, 2 * units if self.merge_mode == "concat" else units)

    def run(self, flow: Flow, draw: Draw | None) -> Flow:
        forward = self.forward.outputs(flow, draw if self.forward.stochastic else None, 0)
        backward = self.backward.outputs(flow, draw if self.backward.stochastic else None, 1)
        sequences = self.forward.return_sequences
        if sequences:
            backward = backward[:, :, ::-1]  # it put them out in the order it took them
        values = merge(forward, backward, self.merge_mode)
        return Flow(values, flow.mask if sequences else None)

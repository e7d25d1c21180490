"""LSTM layers whose products are convolutions: steps and states are images. Channels are last.

Source: Shi et al., Convolutional LSTM Network, 2015, without peepholes, as Keras computes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdrop import _check
from fastdrop.feedforward import activate
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Memory,
    Shape,
    Stepper,
    Weight,
    last_axis,
)
from fastdrop.layers._windows import Each
from fastdrop.layers.convolutional import Conv1D, Conv2D, Conv3D, _Conv
from fastdrop.layers.rnn import OverTime
from fastdrop.recurrent import SITES

# In the order of their weights: input, forget, candidate, output.
_GATES = 4


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _ConvLSTM(OverTime):
    """An LSTM over images, with convolutions in the place of its products.

    The kernels (sizes of the window, channels or filters, 4 * filters) and the bias (4 * filters)
    are as Keras has them. `strides`, `padding` and `dilation_rate` are those of the step's
    convolution; that of the state keeps its lengths. Masks are of numbers, an own one for each gate
    of each row, and serve all steps: (gates, lengths ..., channels) in this order.
    """

    kernel: Weight
    recurrent_kernel: Weight
    bias: Weight | None = None
    strides: Each = 1
    padding: str = "valid"
    dilation_rate: Each = 1
    activation: _check.Activation = "tanh"
    recurrent_activation: _check.Activation = "sigmoid"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    go_backwards: bool = False
    return_sequences: bool = False
    return_state: bool = False
    zero_output_for_mask: bool = False
    # False: time masks are passed on, but all steps are taken.
    uses_mask: bool = True

    weight_fields: ClassVar[tuple[str, ...]] = ("kernel", "recurrent_kernel", "bias")
    rate_fields: ClassVar[tuple[str, ...]] = ("dropout", "recurrent_dropout")
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    can_draw = True
    is_recurrent = True
    convolution: ClassVar[type[_Conv]]

    def __post_init__(self) -> None:
        label, dims = self.label, self.convolution.dims
        self.check_weight("kernel", (None,) * (dims + 2))
        *sizes, _, width = self.kernel.shape
        filters, rest = divmod(width, _GATES)
        if rest:
            what = f"filters of {_GATES} gates on its last axis"
            _check.refuse(ValueError, f"{label} kernel", what, self.kernel.shape)
        self.check_weight("recurrent_kernel", (*sizes, filters, width))
        self.check_weight("bias", (width,))
        _check.choice(self.padding, f"{label} padding", ("valid", "same"))
        for option in ("activation", "recurrent_activation"):
            _check.activation(getattr(self, option), f"{label} {option}")
        for option in self.rate_fields:
            _check.recurrent_rate(getattr(self, option), f"{label} {option}")
        for option in (
            "go_backwards",
            "return_sequences",
            "return_state",
            "zero_output_for_mask",
            "uses_mask",
        ):
            _check.flag(getattr(self, option), f"{label} {option}")
        of_steps = self._of_steps(masked=False)
        self.prepare(strides=of_steps.strides, dilation_rate=of_steps.dilation_rate)

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        filters: int = 1,
        kernel_size: Sequence[int] = (),
        use_bias: bool = True,
        **options: Any,
    ) -> Self:
        width = _GATES * filters
        return cls(
            name=name,
            kernel=Declared((*kernel_size, last_axis(name, inputs[0]), width)),
            recurrent_kernel=Declared((*kernel_size, filters, width)),
            bias=Declared((width,)) if use_bias else None,
            **options,
        )

    # ---- its convolutions ----

    def _of_steps(self, *, masked: bool) -> _Conv:
        """Return the convolution of a step; of one for each gate where masks differ."""
        return self.convolution(
            name=self.name,
            kernel=self.kernel,
            bias=self.bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=_GATES if masked else 1,
        )

    def _of_states(self, *, masked: bool) -> _Conv:
        return self.convolution(
            name=self.name,
            kernel=self.recurrent_kernel,
            padding="same",
            groups=_GATES if masked else 1,
        )

    # ---- what a model asks ----

    @property
    def units(self) -> int:
        return int(self.recurrent_kernel.shape[-2])

    @property
    def stochastic(self) -> str:
        rates = (("input dropout", self.dropout), ("recurrent dropout", self.recurrent_dropout))
        text = ", ".join(f"{what} {rate:g}" for what, rate in rates if _check.threshold(rate))
        return f"{text} (per_gate)" if text else ""

    def _state_shape(self, step: Shape) -> Shape:
        """Return the shape of a state, for that of a step, whose lengths must be known."""
        self.check_fits((None, *step), "(time, ...) of known lengths", None not in step)
        return (*self._of_steps(masked=False).output_shape(step)[:-1], self.units)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape, *states = inputs
        dims = self.convolution.dims
        axes = ", ".join(("height", "width", "depth")[:dims] if dims > 1 else ("places",))
        self.check_fits(shape, f"(time, {axes}, channels)", len(shape) == dims + 2)
        state = self._state_shape(shape[1:])
        if len(states) not in (0, len(self.state_names)):
            raise ValueError(
                f"{self.label}: expected no initial state or {len(self.state_names)} "
                f"({', '.join(self.state_names)}), got {len(states)}"
            )
        for given in states:
            self.check_fits(given, f"{state} as a state", given == state)
        output = (shape[0], *state) if self.return_sequences else state
        return [output, *([state] * len(self.state_names) if self.return_state else [])]

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        step = inputs[0][1:]
        return _GATES * max(_size(step), _size(self._state_shape(step)))

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        step = inputs[0][1:]
        state = self._state_shape(step)
        wide = [(*lengths[:-1], _GATES * (lengths[-1] or 1)) for lengths in (step, state)]
        windows = max(
            conv.work_elements([shape])
            for conv, shape in zip(
                (self._of_steps(masked=True), self._of_states(masked=True)), wide, strict=True
            )
        )
        # Masks, what they leave of a step and a state, sums of the gates, and two states.
        masks = 2 * _GATES * (_size(step) + _size(state))
        return windows + masks + (2 * _GATES + 4) * _size(state)

    # ---- what it computes ----

    def outputs(
        self, flow: Flow, states: Sequence[Array], draw: Draw | None, direction: int = 0
    ) -> tuple[Array, list[Array]]:
        """Return the outputs (samples or 1, rows, ...) and final states, of one of two directions.

        The direction says which masks are drawn.
        """
        values, mask = flow.values, flow.mask if self.uses_mask else None
        shape = self._state_shape(values.shape[3:])
        if mask is not None and mask.shape[3:] not in ((), shape[:-1]):
            raise ValueError(
                f"{self.label}: expected a mask of time steps, or of places {shape[:-1]} of each, "
                f"got one of {mask.shape[3:]}"
            )
        zeros = np.zeros((1, flow.rows, *(n or 0 for n in shape)), np.float32)
        remembered = [*(states or (zeros, zeros)), zeros]
        cell = _Cell(self, draw, values.shape[3:], direction)
        put_out = []
        steps = range(values.shape[2])
        for t in reversed(steps) if self.go_backwards else steps:
            taken = None if mask is None else mask[:, :, t]
            remembered = cell.step(values[:, :, t], taken, remembered)
            put_out.append(remembered[-1])
        *final, last = remembered
        if not self.return_sequences:
            return last, final
        samples = max((len(y) for y in put_out), default=1)
        out = np.empty((samples, flow.rows, len(put_out), *zeros.shape[2:]), np.float32)
        for t, y in enumerate(put_out):
            out[:, :, t] = y
        return out, final

    def stepper(self, inputs: Sequence[Shape]) -> Stepper | None:
        return None if self.go_backwards else _ConvLSTMSteps(self, inputs[0][1:])


def _size(shape: Shape) -> int:
    return math.prod(n or 1 for n in shape)


class _Cell:
    """A convolutional LSTM in one step, with the masks of some samples and rows."""

    def __init__(
        self, layer: _ConvLSTM, draw: Draw | None, step: tuple[int, ...], direction: int = 0
    ) -> None:
        self._layer = layer
        masks: list[Array | None] = [None, None]
        if draw is not None and layer.stochastic:  # else random through an earlier layer, or not
            state = tuple(n or 0 for n in layer._state_shape(step))
            rates = (layer.dropout, layer.recurrent_dropout)
            for i, (rate, shape) in enumerate(zip(rates, (step, state), strict=True)):
                drawn = draw.masks(SITES * direction + i, rate, _GATES, math.prod(shape))
                masks[i] = None if drawn is None else drawn.reshape(*drawn.shape[:3], *shape)
        self._masks = masks
        self._convolutions = (
            layer._of_steps(masked=masks[0] is not None),
            layer._of_states(masked=masks[1] is not None),
        )

    def step(self, x: Array, mask: Array | None, before: Sequence[Array]) -> list[Array]:
        """Return h, c and the output after a step (samples or 1, rows, lengths ..., channels).

        Where the mask (samples or 1, rows, or places too) is False they are those of before, or the
        output is 0.
        """
        h, c, y = before
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            of_x, of_h = map(_convolved, self._convolutions, (x, h), self._masks)
            i, f, new, o = map(np.ascontiguousarray, np.split(of_x + of_h, _GATES, axis=-1))
            i, f, o = (activate(gate, self._layer.recurrent_activation) for gate in (i, f, o))
            c = f * c + i * activate(new, self._layer.activation)
            h = o * activate(c, self._layer.activation)
        if mask is None:
            return [h, c, h]
        taken = mask.reshape(*mask.shape, *(1,) * (h.ndim - mask.ndim))
        y = np.zeros_like(y) if self._layer.zero_output_for_mask else y
        return [np.where(taken, a, b) for a, b in zip((h, c, h), (*before[:2], y), strict=True)]


def _convolved(convolution: _Conv, values: Array, masks: Array | None) -> Array:
    """Convolve (samples or 1, rows, ...), for each gate what a mask of its own leaves.

    Numbers are selected where dropped: 0 times infinity is not 0.
    """
    if masks is not None:
        ahead = values[:, :, np.newaxis]
        dropped = np.zeros(np.broadcast_shapes(masks.shape, ahead.shape), np.float32)
        np.multiply(ahead, masks, out=dropped, where=masks != 0)
        gates = np.moveaxis(dropped, 2, -2)  # side by side, as groups of the channels
        values = gates.reshape(*gates.shape[:-2], -1)
    return convolution.forward(Flow(values), None).values


class _ConvLSTMSteps:
    """A convolutional LSTM that takes a step at a time."""

    def __init__(self, layer: _ConvLSTM, step: Shape) -> None:
        self._layer = layer
        self.sequences = [layer.return_sequences]
        if layer.return_state:
            self.sequences += [False] * len(layer.state_names)
        state = tuple(n or 0 for n in layer._state_shape(step))
        self.remembers = dict.fromkeys((*layer.state_names, "output"), state)
        # A cell, and for what it was made.
        self._cell: tuple[Draw | None, _Cell] | None = None

    def start(self, inputs: Sequence[Flow]) -> Memory:
        flow, *states = inputs
        memory = {
            name: np.zeros((1, flow.rows, *shape), np.float32)
            for name, shape in self.remembers.items()
        }
        names = self._layer.state_names
        return memory | {n: state.values for n, state in zip(names, states, strict=False)}

    def step(
        self, inputs: Sequence[Flow], draw: Draw | None, memory: Memory, number: int
    ) -> tuple[list[Flow], Memory]:
        flow, layer = inputs[0], self._layer
        if self._cell is None or self._cell[0] != draw:
            self._cell = (draw, _Cell(layer, draw, flow.values.shape[3:]))
        mask = flow.mask[:, :, 0] if flow.mask is not None and layer.uses_mask else None
        before = [memory[name] for name in self.remembers]
        after = self._cell[1].step(flow.values[:, :, 0], mask, before)
        *states, y = after
        found = Flow(y[:, :, np.newaxis], flow.mask) if self.sequences[0] else Flow(y)
        given = map(Flow, states) if len(self.sequences) > 1 else ()
        return [found, *given], dict(zip(self.remembers, after, strict=True))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ConvLSTM1D(_ConvLSTM):
    """An LSTM with convolutions in the place of its products, of (time, places, channels).

    The kernels are (places, channels or filters, 4 * filters). Masks are of each gate and row, and
    serve all steps.
    """

    convolution: ClassVar[type[_Conv]] = Conv1D


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ConvLSTM2D(_ConvLSTM):
    """An LSTM with convolutions in the place of its products, of images over time.

    The kernels are (height, width, channels or filters, 4 * filters). Masks are of each gate and
    row, and serve all steps.
    """

    convolution: ClassVar[type[_Conv]] = Conv2D


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ConvLSTM3D(_ConvLSTM):
    """An LSTM with convolutions in the place of its products, of volumes over time.

    The kernels are (three sizes, channels or filters, 4 * filters). Masks are of each gate and row,
    and serve all steps.
    """

    convolution: ClassVar[type[_Conv]] = Conv3D

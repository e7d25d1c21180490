"""Recurrent cells that the kernels do not have: a loop over time steps, in NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from fastdrop import _check
from fastdrop.feedforward import activate, dense
from fastdrop.layers._layer import Array, Declared, Draw, Flow, Shape, Weight, last_axis
from fastdrop.layers.rnn import Gated


class _Cell(NamedTuple):
    gates: int
    state_names: tuple[str, ...]


_CELLS = {"lstm": _Cell(4, ("h", "c")), "gru": _Cell(3, ("h",)), "rnn": _Cell(1, ("h",))}
# Activations that only these cells have, each with its two parameters, alpha and beta.
_OWN = ("affine", "hard_sigmoid", "scaled_tanh")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RecurrentLoop(Gated):
    """An LSTM, a GRU or a simple recurrent layer with options that `fastdrop.rnn` does not have.

    What `LSTM`, `GRU` and `SimpleRNN` have too means the same here, and the same masks are drawn.
    It is slower than they are.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}
        Which one.
    kernel : array_like, shape (features, gates * units)
        Gates in Keras's order: i, f, c, o; z, r, h.
    recurrent_kernel : array_like, shape (width, gates * units)
        The width is that of the output: `units`, or the columns of the projection.
    bias : array_like, shape (gates * units,), optional
        For a GRU with `reset_after` (2, 3 * units): the input's and the recurrent one.
    peepholes : array_like, shape (3, units), optional
        Factors of c that are added to the gates i, f and o of an LSTM; o looks at the new c.
    projection : array_like, shape (units, width), optional
        What the output of an LSTM is multiplied by, before it is put out and becomes the state h.
    clip : float, optional
        Gates and candidates are clipped to [-clip, clip] before their activation.
    activation, recurrent_activation : str or tuple, optional
        As in `fastdrop.activate`, and ``("affine", alpha, beta)``: alpha x + beta;
        ``("hard_sigmoid", alpha, beta)``: alpha x + beta clipped to [0, 1];
        ``("scaled_tanh", alpha, beta)``: alpha tanh(beta x).
    output_activation : str or tuple, optional
        That of an LSTM's new c, where it differs from `activation`.
    input_forget : bool, optional
        The forget gate of an LSTM is 1 - i; its own weights are not looked at.
    reset_after : bool, optional
        Whether a GRU's reset gate multiplies what comes after the recurrent product or before.

    Notes
    -----
    Peepholes, clip, activations and coupled gates are those of the operators LSTM, GRU and RNN of
    ONNX, as ONNX Runtime computes them: c is not clipped. The projection is ``proj_size`` of
    PyTorch's ``nn.LSTM``.
    """

    cell: str = "lstm"
    peepholes: Weight | None = None
    projection: Weight | None = None
    clip: float | None = None
    output_activation: _check.Activation | None = None
    input_forget: bool = False
    reset_after: bool = True

    weight_fields: ClassVar[tuple[str, ...]] = (
        "kernel",
        "recurrent_kernel",
        "bias",
        "peepholes",
        "projection",
    )
    takes_table: ClassVar[bool] = False

    def __post_init__(self) -> None:
        label = self.label
        cell = _CELLS[_check.choice(self.cell, f"{label} cell", tuple(_CELLS))]
        self.prepare(gates=cell.gates, state_names=cell.state_names)
        for option in ("peepholes", "projection", "output_activation"):
            value = getattr(self, option)
            if value is not None and self.cell != "lstm":
                _check.refuse(ValueError, f"{label} {option}", "None, but for an LSTM", value)
        self.check_weight("projection", (None, None))
        self.check_weight("recurrent_kernel", (None, None))
        units = len(self.recurrent_kernel)
        if self.projection is not None:
            units = len(self.projection)
            self.check_weight("projection", (units, len(self.recurrent_kernel)))
        width = cell.gates * units
        self.check_weight("recurrent_kernel", (None, width))
        self.check_weight("kernel", (None, width))
        self.check_weight("bias", self._bias_shape(width))
        self.check_weight("peepholes", (3, units))
        self._check_options()

    def _check_options(self) -> None:
        super()._check_options()
        label = self.label
        if self.weight_dropout:
            expected = "0 of a cell that the kernels do not have"
            _check.refuse(ValueError, f"{label} weight_dropout", expected, self.weight_dropout)
        _check.flag(self.input_forget, f"{label} input_forget")
        _check.flag(self.reset_after, f"{label} reset_after")
        if self.input_forget and self.cell != "lstm":
            _check.refuse(ValueError, f"{label} input_forget", "False, but for an LSTM", True)
        if self.clip is not None and _check.finite(self.clip, f"{label} clip") <= 0:
            _check.refuse(ValueError, f"{label} clip", "None or a number above 0", self.clip)

    def _check_activations(self, label: str) -> None:
        for option in ("activation", "recurrent_activation", "output_activation"):
            value = getattr(self, option)
            if _is_own(value):
                for name, number in zip(("alpha", "beta"), value[1:], strict=True):
                    _check.finite(number, f"{label} {option} {name}")
            elif value is not None:
                _check.activation(value, f"{label} {option}")

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        units: int = 0,
        use_bias: bool = True,
        **options: Any,
    ) -> Self:
        """Make a layer of declared weights; `peepholes` is a bool here, `projection` a width."""
        gates = _CELLS[_check.choice(options.get("cell", "lstm"), "cell", tuple(_CELLS))].gates
        width, projected = gates * units, options.pop("projection", None)
        two = options.get("cell") == "gru" and options.get("reset_after", True)
        return cls(
            name=name,
            kernel=Declared((last_axis(name, inputs[0]), width)),
            recurrent_kernel=Declared((units if projected is None else projected, width)),
            bias=Declared((2, width) if two else (width,)) if use_bias else None,
            peepholes=Declared((3, units)) if options.pop("peepholes", False) else None,
            projection=None if projected is None else Declared((units, projected)),
            **options,
        )

    def _bias_shape(self, width: int) -> tuple[int, ...]:
        return (2, width) if self.cell == "gru" and self.reset_after else (width,)

    @property
    def drawn_scheme(self) -> str:
        return "tied" if self.cell == "rnn" else super().drawn_scheme

    @property
    def cell_units(self) -> int:
        """The units of the cell, of which the output may be a projection."""
        return int(self.kernel.shape[1]) // self.gates

    @property
    def state_widths(self) -> tuple[int, ...]:
        return (self.units, self.cell_units)[: len(self.state_names)]

    def remarks(self, inputs: Sequence[Shape]) -> list[str]:
        found = super().remarks(inputs)
        if self.precision != "float32":
            found[-1] = f"{self.label}: products are taken in float32, for it has no others"
        return found

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        # The input part of all steps, what is multiplied, and the gates of a step.
        width = int(self.kernel.shape[1])
        steps = (inputs[0][0] or 1) * (width + len(self.kernel))
        return super().work_elements(inputs) + self.mask_elements([(None, 0)]) + steps + 4 * width

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return max(super().mask_elements(inputs), self.gates * self.units)

    def outputs(
        self,
        flow: Flow,
        states: Sequence[Array],
        draw: Draw | None,
        direction: int = 0,
        first_step: int = 0,
    ) -> tuple[Array, list[Array]]:
        return super().outputs(flow.looked_up(), states, draw, direction, first_step)

    def _take_steps(self, x: Array, **arrays: Any) -> Sequence[Array]:
        assert not isinstance(self.kernel, Declared), "weights are declared only"
        rows, steps = x.shape[:2]
        state = [np.zeros((rows, width), x.dtype) for width in self.state_widths]
        if arrays["initial_state"] is not None:
            state = list(arrays["initial_state"])
        mask, recurrent_mask = arrays["mask"], arrays["recurrent_mask"]
        bias = self.bias if self.bias is None or self.bias.ndim == 1 else self.bias[0]
        step = {"lstm": self._lstm, "gru": self._gru, "rnn": self._rnn}[self.cell]
        y = np.zeros_like(state[0]) if steps else state[0]
        sequence = np.empty((rows, steps if self.return_sequences else 0, self.units), x.dtype)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            z = _products(x, arrays["input_mask"], self.kernel, bias, self.gates)
            for s in range(steps):
                t = steps - 1 - s if self.go_backwards else s
                new = step(z[:, t], state, recurrent_mask)
                if mask is None:
                    state, y = new, new[0]
                else:
                    taken = mask[:, t, np.newaxis]
                    pairs = zip(new, state, strict=True)
                    state = [np.where(taken, after, before) for after, before in pairs]
                    y = np.where(taken, new[0], x.dtype.type(0) if self.zero_output_for_mask else y)
                if self.return_sequences:
                    sequence[:, s] = y
        output = sequence if self.return_sequences else y
        return [output, *state] if self.return_state else [output]

    # ---- the cells: from the input part (N, gates, units) and the state to the new state ----

    def _lstm(self, z: Array, state: list[Array], factors: Array | None) -> list[Array]:
        h, c = state
        z = z + _products(h, factors, self.recurrent_kernel, None, 4)
        i, f, o = z[:, 0], z[:, 1], z[:, 3]
        if self.peepholes is not None:
            i, f = i + self.peepholes[0] * c, f + self.peepholes[1] * c
        i = self._gate(i)
        f = 1 - i if self.input_forget else self._gate(f)
        c = f * c + i * self._candidate(z[:, 2])
        if self.peepholes is not None:
            o = o + self.peepholes[2] * c
        last = self.activation if self.output_activation is None else self.output_activation
        h = self._gate(o) * _activated(c, last)
        return [h if self.projection is None else dense(h, self.projection), c]

    def _gru(self, z: Array, state: list[Array], factors: Array | None) -> list[Array]:
        (h,) = state
        kernel, two = self.recurrent_kernel, 2 * self.cell_units
        bias = self.bias[1] if self.bias is not None and self.reset_after else None
        own = factors if factors is None or factors.shape[1] == 1 else factors[:, 2:]
        gates = z[:, :2] + _products(
            h, factors, kernel[:, :two], None if bias is None else bias[:two], 2
        )
        update, reset = self._gate(gates[:, 0]), self._gate(gates[:, 1])
        if self.reset_after:
            inner = _products(h, own, kernel[:, two:], None if bias is None else bias[two:], 1)
            inner = reset * inner[:, 0]
        else:
            inner = dense(reset * _masked(h, own), kernel[:, two:])
        return [update * h + (1 - update) * self._candidate(z[:, 2] + inner)]

    def _rnn(self, z: Array, state: list[Array], factors: Array | None) -> list[Array]:
        z = z + _products(state[0], factors, self.recurrent_kernel, None, 1)
        return [self._candidate(z[:, 0])]

    def _gate(self, z: Array) -> Array:
        return _activated(self._clipped(z), self.recurrent_activation)

    def _candidate(self, z: Array) -> Array:
        return _activated(self._clipped(z), self.activation)

    def _clipped(self, z: Array) -> Array:
        return z if self.clip is None else np.clip(z, -self.clip, self.clip)


def _is_own(activation: object) -> bool:
    return isinstance(activation, tuple) and len(activation) == 3 and activation[0] in _OWN


def _activated(z: Array, activation: _check.Activation) -> Array:
    if not _is_own(activation):
        return activate(z, activation)
    alpha, beta = (z.dtype.type(number) for number in activation[1:])
    if activation[0] == "scaled_tanh":
        return np.asarray(alpha * activate(beta * z, "tanh"))
    linear = np.asarray(alpha * z + beta)
    return linear if activation[0] == "affine" else np.clip(linear, 0, 1)


def _products(
    v: Array, factors: Array | None, kernel: Array, bias: Array | None, gates: int
) -> Array:
    """Return v (N, ..., K) times the weights of each gate (K, gates * H), as (N, ..., gates, H).

    Factors are (N or 1, gates or more or 1, K): v is multiplied by those of each gate, or of all.
    """
    width = kernel.shape[1] // gates
    if factors is None or factors.shape[1] == 1:
        return dense(_masked(v, factors), kernel, bias).reshape(*v.shape[:-1], gates, width)
    out = np.empty((*v.shape[:-1], gates, width), v.dtype)
    for g in range(gates):
        own = slice(g * width, (g + 1) * width)
        some = None if bias is None else bias[own]
        out[..., g, :] = dense(_masked(v, factors[:, g : g + 1]), kernel[:, own], some)
    return out


def _masked(v: Array, factors: Array | None) -> Array:
    """Return v (N, ..., K) times factors (N or 1, 1, K), selected, so a dropped NaN is gone."""
    if factors is None:
        return v
    factors = factors if v.ndim == 3 else factors[:, 0]
    return np.where(factors == 0, v.dtype.type(0), v * factors)

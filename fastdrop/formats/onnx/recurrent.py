"""Recurrent layers, and what goes through a sequence the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastdrop import layers
from fastdrop.formats._errors import show
from fastdrop.formats._lengths import BATCH, divided
from fastdrop.formats._networks import Cell, gates
from fastdrop.formats._places import one_row
from fastdrop.formats._values import Spread, Tensor, UnsupportedError, Value
from fastdrop.formats.onnx._rows import Arguments, Array, Made, is_lengths, operator

# Where the gates that Keras has in order stand in a file: LSTM i, o, f, c; GRU z, r, h.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2), "RNN": (0,)}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_FIELDS = {
    "LSTM": ("recurrent_activation", "activation", "output_activation"),
    "GRU": ("recurrent_activation", "activation"),
    "RNN": ("activation",),
}
# Activations by their names in lower case: which of alpha and beta they take, with the defaults on
# which runtimes agree.
_ACTIVATIONS: dict[str, tuple[str, tuple[float | None, ...]]] = {
    "relu": ("relu", ()),
    "tanh": ("tanh", ()),
    "sigmoid": ("sigmoid", ()),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
    "elu": ("elu", (1.0,)),
    "leakyrelu": ("leaky_relu", (0.01,)),
    "thresholdedrelu": ("threshold", (None,)),
    "affine": ("affine", (None, None)),
    "scaledtanh": ("scaled_tanh", (None, None)),
    "hardsigmoid": ("hard_sigmoid", (0.2, 0.5)),
}


@dataclass(frozen=True)
class _Direction(Cell):
    """A layer in one direction, of kernels if they have all of its options."""

    backwards: bool = False
    loop: bool = False

    def layer(self, name: str, *, backwards: bool, masked: bool) -> Any:
        backwards = backwards or self.backwards
        if not self.loop:
            return super().layer(name, backwards=backwards, masked=masked)
        return layers.RecurrentLoop(
            name=name,
            cell=self.kind,
            kernel=self.kernel,
            recurrent_kernel=self.recurrent_kernel,
            bias=self.bias,
            go_backwards=backwards,
            return_sequences=True,
            return_state=True,
            zero_output_for_mask=masked,
            **dict(self.options),
        )


@operator("LSTM", "GRU", "RNN")
def _recurrent(a: Arguments) -> Made:
    direction = a.attribute("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise UnsupportedError(f"attribute 'direction': {show(direction)}")
    batch_first = a.flag("layout")
    count = 1 + (direction == "bidirectional")
    cells = _cells(a, count, direction == "reverse")
    at = 0 if batch_first else 1
    names = (5, 6) if a.op == "LSTM" else (5,)
    value = a.net.row_on(a.of_rows(a.input(), at, _sequences_a_row(a, at, names)), at)
    lengths = _lengths(a, value, 1 if batch_first else 0)
    states = [_state(a, number, cells, batch_first) for number in names]
    zeros = np.zeros((count, 1, cells[0].outputs), np.float32)
    output, final = a.net.recurrent(
        value,
        [cells],
        [zeros if s is None else s for s in states],
        batch_first=batch_first,
        lengths=lengths,
    )
    made: Value = output
    if cells[0].backwards:
        made = a.net.slice(made, 1 if batch_first else 0, None, None, -1)
    # The directions have an axis of their own: (steps, directions, batch, units).
    if count == 1:
        made = a.net.unsqueeze(made, 2 if batch_first else 1)
    else:
        made = _parted(a, made, count)
        made = made if batch_first else a.net.permute(made, [0, 2, 1, 3])
    ends = [a.net.permute(state, [1, 0, 2]) if batch_first else state for state in final]
    return [made, *ends]


def _sequences_a_row(a: Arguments, at: int, states: Sequence[int]) -> int:
    """Return how many sequences each row of the batch has, by the states that come in."""
    given = (a.optional(number) for number in states)
    state = next((v for v in given if isinstance(v, Tensor) and v.ndim == 3), None)
    times = None if state is None else divided(state.shape[at], BATCH)
    return times if isinstance(times, int) else 1


def _parted(a: Arguments, value: Value, count: int) -> Value:
    """Give the directions, which are side by side, an axis of their own in front of the last."""
    *lengths, width = value.shape
    assert isinstance(width, int)
    size = width // count
    try:
        return a.net.reshape(value, [*lengths, count, size])
    except UnsupportedError:  # of several lengths that are open
        parts = [a.net.slice(value, 2, k * size, (k + 1) * size) for k in range(count)]
        return a.net.stack(parts, 2)


def _cells(a: Arguments, count: int, backwards: bool) -> list[_Direction]:
    """Return the weights and options of each direction."""
    kernel, recurrent, bias = a.array(1), a.array(2), a.constant(3)
    peepholes = a.constant(7) if a.op == "LSTM" else None
    width, units = recurrent.shape[-2:] if recurrent.ndim == 3 else (0, 0)
    number = len(_ORDER[a.op])
    expected = {
        "W": (kernel, (count, number * units, kernel.shape[-1] if kernel.ndim else 0)),
        "R": (recurrent, (count, number * units, units)),
        "B": (bias, (count, 2 * number * units)),
        "P": (peepholes, (count, 3 * units)),
    }
    for name, (array, shape) in expected.items():
        if array is not None and (array.shape != shape or array.dtype.kind != "f"):
            raise UnsupportedError(f"{name}: expected shape {shape}, found {array.shape}")
    if a.attribute("hidden_size", units) != units or not width:
        raise UnsupportedError(f"attribute 'hidden_size': {a.node.attributes.get('hidden_size')}")
    shared = _shared(a)
    activations = _activations(a, count)
    found = []
    for d in range(count):
        options = dict(zip(_FIELDS[a.op], activations[d], strict=True)) | shared
        if options.get("output_activation") == options["activation"]:
            del options["output_activation"]
        if peepholes is not None:
            i, o, f = np.split(np.asarray(peepholes[d], np.float32), 3)
            options["peepholes"] = np.stack([i, f, o])
        own = {"clip", "peepholes", "input_forget", "output_activation"} & options.keys()
        loop = bool(own) or any(_is_own(v) for v in activations[d])
        found.append(
            _Direction(
                a.op.lower(),
                _matrix(a, kernel[d]),
                _matrix(a, recurrent[d]),
                _bias(a, None if bias is None else bias[d], bool(options.get("reset_after"))),
                None,
                tuple(options.items()),
                backwards,
                loop,
            )
        )
    return found


def _matrix(a: Arguments, weight: Array) -> Array:
    return np.ascontiguousarray(gates(weight, _ORDER[a.op]).T, np.float32)


def _bias(a: Arguments, bias: Array | None, two: bool) -> Array | None:
    if bias is None:
        return None
    pair = [gates(half.astype(np.float32), _ORDER[a.op]) for half in np.split(bias, 2)]
    return np.stack(pair) if two else pair[0] + pair[1]


def _shared(a: Arguments) -> dict[str, Any]:
    """Return the options that both directions have."""
    options: dict[str, Any] = {}
    clip = a.attribute("clip", 0.0)
    if clip:
        options["clip"] = float(clip)
    if a.op == "LSTM" and a.flag("input_forget"):
        options["input_forget"] = True
    if a.op == "GRU":
        options["reset_after"] = a.flag("linear_before_reset")
    return options


def _is_own(activation: Any) -> bool:
    """Say whether only the loop has an activation."""
    name = activation if isinstance(activation, str) else activation[0]
    return name in ("affine", "scaled_tanh") or (name == "hard_sigmoid" and name != activation)


def _activations(a: Arguments, count: int) -> list[list[Any]]:
    """Return the activations of each direction, with their parameters."""
    names = a.numbers("activations")
    alphas, betas = (
        list(a.numbers(name) or []) for name in ("activation_alpha", "activation_beta")
    )
    defaults = _DEFAULTS[a.op]
    names = list(defaults) * count if names is None else names
    if len(names) == len(defaults) and count == 2 and a.op == "RNN":
        names = names * 2
    if len(names) != count * len(defaults):
        raise UnsupportedError(f"attribute 'activations': {show(names)}")
    found: list[Any] = []
    for name in names:
        known = _ACTIVATIONS.get(name.lower() if isinstance(name, str) else "")
        if known is None:
            raise UnsupportedError(f"activation {show(name)}")
        function, parameters = known
        numbers = []
        for default, listed in zip(parameters, (alphas, betas), strict=False):
            number = listed.pop(0) if listed else default
            if number is None:
                raise UnsupportedError(
                    f"activation {show(name)} without its alpha and beta, on which runtimes differ"
                )
            numbers.append(float(number))
        found.append(_spelled(function, numbers))
    if alphas or betas:
        raise UnsupportedError("more of 'activation_alpha' or 'activation_beta' than are taken")
    return [found[d * len(defaults) : (d + 1) * len(defaults)] for d in range(count)]


def _spelled(function: str, numbers: list[float]) -> Any:
    if function == "threshold":
        return (function, *numbers, 0.0)
    if function == "hard_sigmoid" and numbers[1] == 0.5:
        named = {0.2: "hard_sigmoid_legacy", 0.166667: "hard_sigmoid"}.get(round(numbers[0], 6))
        if named is not None:
            return named
    return (function, *numbers) if numbers else function


def _lengths(a: Arguments, value: Value, axis: int) -> Value | None:
    """Return how many steps each row has, None where that is all of them."""
    lengths = a.optional(4)
    if lengths is None or value.ndim != 3:
        return None
    if isinstance(lengths, Tensor):
        return lengths
    given = lengths.value if isinstance(lengths, Spread) else lengths
    if not all(n == value.shape[axis] for n in np.asarray(given).reshape(-1).tolist()):
        raise UnsupportedError("lengths of sequences that are no input")
    return None


def _state(a: Arguments, number: int, cells: Sequence[Cell], batch_first: bool) -> Value | None:
    """Return initial states (directions, batch, units), None where none are given."""
    state = a.optional(number)
    if state is None:
        return None
    if state.ndim != 3:
        raise UnsupportedError("initial states that are not (directions, batch, units)")
    if batch_first:
        state = a.net.permute(state, [1, 0, 2])
    state = a.net.row_on(state, 1)
    if isinstance(state, np.ndarray):
        if is_lengths(state):
            raise UnsupportedError("initial states of lengths")
        state = one_row(state.astype(np.float32), 1)
    if state.shape[-1] != cells[0].outputs:
        wrong = f"initial states of {state.shape[-1]} units, expected {cells[0].outputs}"
        if number == 6:  # the cell's, which are more than what is put out
            wrong += (
                "; PyTorch's exporter loses weights of an LSTM with proj_size, from_torch does not"
            )
        raise UnsupportedError(wrong)
    return state

"""A model of PyTorch's weights and a description of the layers that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._lengths import Length, Open, known
from fastdrop.formats._networks import Cell, Networks
from fastdrop.formats._values import Tensor, UnsupportedError, Value, counted
from fastdrop.formats._windows import around
from fastdrop.model import Model

Array = NDArray[Any]

INPUT = "input"
# Names of weights that a message has at most.
_SHOWN = 12
# Options that every layer takes: the entries whose outputs it takes, by name.
_INPUTS = "inputs"


@dataclass(frozen=True)
class Entry:
    """One layer of a description: its name in the module, its class, its options."""

    name: str
    kind: str
    options: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"{self.name} ({self.kind})" if self.name else self.kind


def check(architecture: object) -> list[Entry]:
    """Return the entries of a description, refusing what is none.

    Raises
    ------
    TypeError, ValueError
        An entry is of another form, or its class or an option of it is unknown.
    """
    expected = 'a list of layers: "ReLU", ("fc", "Linear") or ("lstm", "LSTM", {"dropout": 0.3})'
    if not isinstance(architecture, (list, tuple)):
        _check.refuse(TypeError, "architecture", expected, architecture)
    if not architecture:
        _check.refuse(ValueError, "architecture", expected, architecture)
    entries: list[Entry] = []
    for i, item in enumerate(architecture):
        label = f"architecture[{i}]"
        parts = (item,) if isinstance(item, str) else item
        options: Mapping[str, Any] = {}
        if isinstance(parts, (list, tuple)) and parts and isinstance(parts[-1], Mapping):
            *parts, options = parts
        strings = isinstance(parts, (list, tuple)) and all(isinstance(p, str) for p in parts)
        if not strings or len(parts) not in (1, 2):
            what = 'names of its weights and its class, as in ("lstm", "LSTM", {"dropout": 0.3})'
            _check.refuse(TypeError, label, what, item)
        kind = parts[-1]
        row = LAYERS[_check.choice(kind, f"{label} class", tuple(LAYERS))]
        if len(parts) == 1 and row.weights:
            what = f'the name of its weights before it, as in ("fc", "{kind}")'
            _check.refuse(ValueError, label, what, item)
        for option in options:
            if option not in (*row.options, _INPUTS):
                what = _check.words((*row.options, _INPUTS))
                _check.refuse(ValueError, f"{label} option", what, option)
        if kind == "Input" and entries:
            _check.refuse(ValueError, label, "the input as the first entry alone", item)
        entries.append(Entry(parts[0] if len(parts) == 2 else "", kind, dict(options)))
    return entries


def read(
    tensors: Mapping[str, Array],
    notes: Sequence[str],
    entries: Sequence[Entry],
    source: str,
    max_layers: int,
) -> Model:
    """Return the model of a description and its weights.

    Raises
    ------
    ModelFormatError
        Weights are missing, left over, or of shapes that do not fit; all of them are named.
    """
    if len(entries) > max_layers:
        raise ModelFormatError(f"{len(entries)} layers, max_layers is {max_layers}")
    return _Reading(tensors, list(notes), entries).model(source)


@dataclass
class _Weights:
    """The weights under a name, and which of them were taken."""

    tensors: Mapping[str, Array]
    prefix: str
    where: str
    taken: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    failed: bool = False

    def find(self, name: str, *shape: int | None) -> Array | None:
        """Return a weight, if there is one, of a shape of which None is any length."""
        key = f"{self.prefix}{name}"
        if key in self.tensors:
            self.taken.add(key)
            found = self.tensors[key]
        elif (pair := self._length_and_direction(name)) is not None:
            found = _normalized(*(self.tensors[key] for key in pair))
            self.taken.update(pair)
        elif (pair := self._pruned(name)) is not None:
            found = self.tensors[pair[0]] * self.tensors[pair[1]]
            self.taken.update(pair)
        elif (triple := self._with_vectors(name)) is not None:
            found = _of_norm_one(*(self.tensors[key] for key in triple))
            self.taken.update(triple)
        else:
            return None
        fits = found.ndim == len(shape) and all(
            n is None or n == m for n, m in zip(shape, found.shape, strict=True)
        )
        if shape and not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            self.wrong.append(
                f"{self.where}: {show(key)} has shape {found.shape}, expected ({wanted})"
            )
        return found

    def _length_and_direction(self, name: str) -> tuple[str, str] | None:
        """Return the names of the tensors that weight normalization keeps in a weight's place."""
        new = f"{self.prefix}parametrizations.{name}.original"
        for pair in ((f"{new}0", f"{new}1"), *[tuple(f"{self.prefix}{name}_{c}" for c in "gv")]):
            length, direction = (self.tensors.get(key) for key in pair)
            whole = length is not None and length.size == 1  # one length of all
            if length is None or direction is None:
                continue
            if length.ndim == direction.ndim or whole:
                return pair[0], pair[1]
        return None

    def _pruned(self, name: str) -> tuple[str, str] | None:
        """Return the names of the tensors that pruning keeps in a weight's place."""
        pair = f"{self.prefix}{name}_orig", f"{self.prefix}{name}_mask"
        weight, mask = (self.tensors.get(key) for key in pair)
        fits = weight is not None and mask is not None and weight.shape == mask.shape
        return pair if fits else None

    def _with_vectors(self, name: str) -> tuple[str, str, str] | None:
        """Return the names of the tensors that spectral normalization keeps in a weight's place."""
        new, old = f"{self.prefix}parametrizations.{name}.", f"{self.prefix}{name}_"
        for triple in (
            (f"{new}original", f"{new}0._u", f"{new}0._v"),
            (f"{old}orig", f"{old}u", f"{old}v"),
        ):
            found = [self.tensors[key] for key in triple if key in self.tensors]
            if len(found) == 3 and found[0].ndim > 1 and found[1].ndim == found[2].ndim == 1:
                return triple
        return None

    def bias(self, options: Mapping[str, Any], name: str, *shape: int | None) -> Array | None:
        """Return a shift, which must be there unless ``bias`` is False."""
        return self.take(name, *shape) if _check.flag(options.get("bias", True), "bias") else None

    def take(self, name: str, *shape: int | None) -> Array:
        """Return a weight that must be there."""
        found = self.find(name, *shape)
        if found is None:
            near = [key for key in self.tensors if key.startswith(f"{self.prefix}{name}")]
            more = f"; there is {', '.join(map(show, near[:_SHOWN]))}" if near else ""
            if name.startswith("bias"):
                more += "; without it the option is {'bias': False}"
            raise _MissingError(f"{self.where}: there is no {show(self.prefix + name)}{more}")
        return found


def _normalized(length: Array, direction: Array) -> Array:
    """Return weights by their direction and length, along the axes on which that is 1 long."""
    axes = tuple(i for i, n in enumerate(length.shape) if n == 1)
    if length.ndim != direction.ndim:
        axes = tuple(range(direction.ndim))
    norm = np.sqrt(np.square(direction, dtype=np.float64).sum(axes, keepdims=True))
    return np.asarray(direction * (length / norm), np.float32)


def _of_norm_one(weight: Array, left: Array, right: Array) -> Array:
    """Return weights divided by their largest singular value, whose vectors are told.

    One vector is along an axis of the weights. Of several that are as long, it is that for which
    the vectors belong together.
    """
    fitting: list[tuple[float, float]] = []
    for axis, n in enumerate(weight.shape):
        matrix = np.moveaxis(weight.astype(np.float64), axis, 0).reshape(n, -1)
        if matrix.shape == (left.size, right.size):
            product = left.astype(np.float64) @ matrix
            value = float(product @ right)
            fitting.append((value / max(float(np.linalg.norm(product)), 1e-300), value))
    if not fitting:
        shapes = f"vectors of {left.size} and {right.size} numbers"
        raise UnsupportedError(f"{shapes} beside weights of shape {weight.shape}")
    with np.errstate(all="ignore"):
        return np.asarray(weight / max(fitting)[1], np.float32)


class _MissingError(Exception):
    pass


class _Reading:
    def __init__(
        self, tensors: Mapping[str, Array], notes: list[str], entries: Sequence[Entry]
    ) -> None:
        self.tensors, self.notes, self.entries = tensors, notes, entries
        self.builder = Networks()
        self.obstacles: list[str] = []
        self.prefix = self._prefix()

    def _prefix(self) -> str:
        """Return what stands in front of all names, under which the layers' own are found."""
        named = [e.name for e in self.entries if LAYERS[e.kind].weights and e.kind != "Unused"]
        found: set[str] | None = None
        for name in named:
            own = {
                key[: key.index(f"{name}.", at)]
                for key in self.tensors
                for at in _places(key, f"{name}.")
            }
            found = own if found is None else found & own or found
        if not found or "" in found:
            return ""
        if len(found) > 1:
            prefixes = ", ".join(sorted(map(show, found)))
            self.obstacles.append(f"the layers are there under several names: {prefixes}")
        prefix = min(found)
        self.notes.append(f"{show(prefix)} stands in front of all names of layers")
        return prefix

    def model(self, source: str) -> Model:
        prefixes = [f"{self.prefix}{e.name}." if e.name else self.prefix for e in self.entries]
        weights = [
            _Weights(self.tensors, prefix, e.where)
            for prefix, e in zip(prefixes, self.entries, strict=True)
        ]
        made: dict[str, Value] = {}
        values: list[Value | None] = []
        for entry, own in zip(self.entries, weights, strict=True):
            value = self._entry(entry, own, values, made)
            values.append(value)
            if entry.name and value is not None:
                made[entry.name] = value
            self.obstacles += own.wrong
        taken = {key for own in weights for key in own.taken}
        failed = tuple(
            own.prefix
            for own, e in zip(weights, self.entries, strict=True)
            if own.failed and LAYERS[e.kind].weights
        )
        left = [k for k in self.tensors if k not in taken and not k.startswith(failed)]
        if left:
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            some = ", ".join(map(show, left[:_SHOWN]))
            self.obstacles.append(
                f"weights that no layer takes: {some}{more}; an entry ({show(left[0])}, 'Unused') "
                "leaves such out"
            )
        if self.obstacles:
            raise ModelFormatError.of([*dict.fromkeys(self.obstacles)])
        last = values[-1]
        if not isinstance(last, Tensor):
            raise ModelFormatError("no output is computed of the input")
        first = self.builder.inputs[0]
        try:
            return self.builder.model(
                self.builder.trimmed([last.name]),
                known(first.row),
                outputs=last.name,
                source=source,
                notes=self.notes,
            )
        except ValueError as error:
            raise ModelFormatError(str(error)) from error

    def _entry(
        self,
        entry: Entry,
        own: _Weights,
        values: Sequence[Value | None],
        made: Mapping[str, Value],
    ) -> Value | None:
        """Write an entry's calls; None where something stands in the way."""
        row = LAYERS[entry.kind]
        self.builder.scope = entry.name or entry.kind.lower()
        try:
            if row.shape is None:  # the input itself
                return self._input(entry.options["shape"])
            if not self.builder.inputs:
                self._input(row.shape(own, entry.options))
            given = self._given(entry, values, made)
            if given is not None:
                return row.run(self.builder, own, entry.options, given)
            self._look_at(row, own, entry)
        except _MissingError as error:
            self.obstacles.append(str(error))
        except KeyError as error:
            self.obstacles.append(f"{entry.where}: expected the option {error}")
        except (UnsupportedError, ArithmeticError, ValueError, TypeError, IndexError) as error:
            if not own.wrong:
                self.obstacles.append(f"{entry.where}: {error}{self._guessed(error)}")
        own.failed = True
        return None

    def _guessed(self, error: Exception) -> str:
        """Return how to say the shape of the input, where that is the first layer's guess."""
        told = any(LAYERS[entry.kind].shape is None for entry in self.entries)
        if told or not self.builder.inputs or not isinstance(error, UnsupportedError):
            return ""
        shape = show(known(self.builder.inputs[0].row))
        return f'; a row is taken to be {shape}: ("Input", {{"shape": …}}) in front says another'

    def _look_at(self, row: Row, own: _Weights, entry: Entry) -> None:
        """Take an entry's weights where its input is not known, for what is wrong with them."""
        with suppress(
            UnsupportedError, ArithmeticError, LookupError, ValueError, TypeError, AttributeError
        ):
            row.run(Networks(), own, entry.options, [np.zeros(())])

    def _input(self, shape: object) -> Tensor:
        lengths: list[Length] = [
            Open.named(f"axis {i + 1}") if n is None else n
            for i, n in enumerate(_check.open_shape(shape, "shape"))
        ]
        row = self.builder.input(INPUT, [0, *lengths], 0)
        assert row.row == tuple(lengths)
        return row

    def _given(
        self, entry: Entry, values: Sequence[Value | None], made: Mapping[str, Value]
    ) -> list[Value] | None:
        names = entry.options.get(_INPUTS)
        if names is None:
            value = values[-1] if values else self.builder.inputs[0]
            return None if value is None else [value]
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            _check.refuse(TypeError, _INPUTS, "a name or a list of names", names)
        everything = {INPUT: self.builder.inputs[0], **made}
        unknown = [name for name in names if name not in everything]
        earlier = {e.name for e in self.entries[: len(values)]}
        if set(unknown) - earlier:
            raise UnsupportedError(f"no layer before it is called {', '.join(map(show, unknown))}")
        return None if unknown else [everything[name] for name in names]


def _places(key: str, part: str) -> Iterator[int]:
    """Yield where a name stands in a key: at its beginning or behind a dot."""
    at = key.find(part)
    while at >= 0:
        if at == 0 or key[at - 1] == ".":
            yield at
        at = key.find(part, at + 1)


# ---- the layers ----

Run = Callable[[Networks, _Weights, Mapping[str, Any], list[Value]], Value]
Shape = Callable[[_Weights, Mapping[str, Any]], Sequence[int | None]]


@dataclass(frozen=True)
class Row:
    """How one class of PyTorch's is read: its options, and the input that it takes by itself."""

    run: Run
    options: tuple[str, ...]
    weights: bool
    shape: Shape | None


def _no_shape(weights: _Weights, options: Mapping[str, Any]) -> Sequence[int | None]:
    raise UnsupportedError(
        'the shape of the input is not known: begin with ("Input", {"shape": …})'
    )


LAYERS: dict[str, Row] = {}


def _row(
    *names: str,
    options: Sequence[str] = (),
    weights: bool = False,
    shape: Shape | None = _no_shape,
) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        for name in names:
            LAYERS[name] = Row(run, tuple(options), weights, shape)
        return run

    return add


@_row("Unused", weights=True)
def _unused(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    """Leave out a weight, or all under a name."""
    name = w.prefix.removesuffix(".")
    found = {key for key in w.tensors if key == name or key.startswith(w.prefix)}
    if not found:  # what stands in front of the layers' names need not stand in front of this one
        own = w.where.removesuffix(" (Unused)")
        found = {key for key in w.tensors if key == own or key.startswith(f"{own}.")}
    if not found:
        raise _MissingError(f"{w.where}: there is no {show(name)}")
    w.taken |= found
    return x[0]


@_row("Input", options=("shape",), shape=None)
def _input(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    raise AssertionError("the input is no call")


# What an activation has in its place, and its parameters with their defaults.
_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "ReLU": ("relu", {}),
    "ReLU6": ("relu6", {}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": 0.01}),
    "ELU": ("elu", {"alpha": 1.0}),
    "SELU": ("selu", {}),
    "CELU": ("celu", {"alpha": 1.0}),
    "SiLU": ("silu", {}),
    "Mish": ("mish", {}),
    "Softsign": ("softsign", {}),
    "Softplus": ("softplus", {}),
    "Tanh": ("tanh", {}),
    "Sigmoid": ("sigmoid", {}),
    "Hardsigmoid": ("hard_sigmoid", {}),
    "Hardswish": ("hard_silu", {}),
    "LogSigmoid": ("log_sigmoid", {}),
    "Tanhshrink": ("tanh_shrink", {}),
}


def _activation(name: str, parameters: Mapping[str, float]) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        given = [float(o.get(key, default)) for key, default in parameters.items()]
        return b.activation(x[0], (name, *given) if given else name)

    return run


for _name, (_function, _parameters) in _ACTIVATIONS.items():
    _row(_name, options=(*_parameters, "inplace"))(_activation(_function, _parameters))


@_row("GELU", options=("approximate",))
def _gelu(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    how = _check.choice(o.get("approximate", "none"), "approximate", ("none", "tanh"))
    return b.activation(x[0], "gelu" if how == "none" else "gelu_tanh")


def _softmax_of(name: str) -> Run:
    return lambda b, w, o, x: b.activation(x[0], name, _axis(o, "dim", -1))


_row("Softmax", options=("dim",))(_softmax_of("softmax"))
_row("LogSoftmax", options=("dim",))(_softmax_of("log_softmax"))


@_row("Identity")
def _identity(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return x[0]


def _rate(options: Mapping[str, Any]) -> float:
    return float(_check.probability(options.get("p", 0.5), "p"))


def _axis(options: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """Return an axis, or a place on one; without a default it must be given."""
    value = options[name] if default is None else options.get(name, default)
    return _check.integer(value, name, -(2**31), 2**31)


def _each(given: object, name: str, axes: int, low: int = 1) -> tuple[int, ...]:
    """Return an option of windows for each axis: one number for all, or one by one."""
    if not isinstance(given, (list, tuple)):
        given = [_check.integer(given, name, low, None)]
    found = _check.integers(given, name, low)
    return found * axes if len(found) == 1 else found


@_row("Dropout", options=("p", "inplace"))
def _dropout(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.dropout(x[0], _rate(o))


@_row("Dropout1d", "Dropout2d", options=("p", "inplace"))
def _channel_dropout(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.feature_dropout(x[0], _rate(o))


@_row("AlphaDropout", options=("p", "inplace"))
def _alpha_dropout(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.alpha_dropout(x[0], _rate(o))


# ---- with weights ----


def _features(weights: _Weights, options: Mapping[str, Any]) -> Sequence[int | None]:
    return (weights.take("weight", None, None).shape[1],)


@_row("Linear", options=("bias",), weights=True, shape=_features)
def _linear(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    kernel = w.take("weight", None, None)
    return b.linear(x[0], kernel, w.bias(o, "bias", len(kernel)))


@_row("Embedding", options=("padding_idx",), weights=True, shape=lambda w, o: (None,))
def _embedding(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.embedding(w.take("weight", None, None), x[0])


@_row("EmbeddingBag", options=("mode", "padding_idx"), weights=True, shape=lambda w, o: (None,))
def _embedding_bag(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    mode = _check.choice(o.get("mode", "mean"), "mode", ("sum", "mean", "max"))
    padding = o.get("padding_idx")
    if padding is not None:
        padding = _check.integer(padding, "padding_idx", 0, None)
    return b.embedding_bag(w.take("weight", None, None), x[0], mode, padding)


def _steps(weights: _Weights, options: Mapping[str, Any]) -> Sequence[int | None]:
    return (None, weights.take("weight_ih_l0", None, None).shape[1])


_TAKEN = ("output", "last", "h_n")
_RECURRENT = ("batch_first", "bias", "bidirectional", "dropout", "num_layers", "take")


def _recurrent(kind: str) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        take = _check.choice(o.get("take", "output"), "take", _TAKEN)
        activation = _check.choice(o.get("nonlinearity", "tanh"), "nonlinearity", ("tanh", "relu"))
        stack = list(_cells(w, o, kind, activation))
        first = stack[0][0]
        seen = {
            "num_layers": len(stack),
            "bidirectional": len(stack[0]) == 2,
            "proj_size": 0 if first.projection is None else first.outputs,
        }
        for name, found in seen.items():
            if o.get(name, found) != found:
                raise UnsupportedError(f"{name}={o[name]}, but the weights are of {name}={found}")
        rate = _check.probability(o.get("dropout", 0.0), "dropout")
        output, final = b.recurrent(x[0], stack, batch_first=True, rate=float(rate))
        if take == "output":
            return output
        if take == "last":
            return b.select(output, 1, -1)
        parts = [b.select(final[0], 0, -k) for k in range(len(stack[-1]), 0, -1)]
        return parts[0] if len(parts) == 1 else b.concatenate(parts, -1)

    return run


def _cells(w: _Weights, o: Mapping[str, Any], kind: str, activation: str) -> Iterator[list[Cell]]:
    """Yield the cells of each layer, in one or two directions, as many as have weights."""
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[kind]
    level, width = 0, None
    both = f"{w.prefix}weight_ih_l0_reverse" in w.tensors
    while not level or f"{w.prefix}weight_ih_l{level}" in w.tensors:
        cells = []
        for suffix in ("", "_reverse") if both else ("",):
            end = f"l{level}{suffix}"
            units = (*w.take(f"weight_ih_{end}").shape, 0)[0] // gates
            hr = w.find(f"weight_hr_{end}", None, units)
            outputs = units if hr is None else len(hr)
            weight_ih = w.take(f"weight_ih_{end}", gates * units, width)
            weight_hh = w.take(f"weight_hh_{end}", gates * units, outputs)
            bias_ih, bias_hh = (
                w.bias(o, f"bias_{part}_{end}", gates * units) for part in ("ih", "hh")
            )
            if not w.wrong:
                cell = Cell.of_torch(kind, weight_ih, weight_hh, bias_ih, bias_hh, hr, activation)
                cells.append(cell)
        if w.wrong:
            raise UnsupportedError("its weights do not fit")
        width = sum(cell.outputs for cell in cells)
        yield cells
        level += 1


for _name, _kind, _more in (
    ("LSTM", "lstm", ("proj_size",)),
    ("GRU", "gru", ()),
    ("RNN", "rnn", ("nonlinearity",)),
):
    _row(_name, options=(*_RECURRENT, *_more), weights=True, shape=_steps)(_recurrent(_kind))


def _channels(weights: _Weights, options: Mapping[str, Any]) -> Sequence[int | None]:
    kernel = weights.take("weight")
    return (kernel.shape[1] * options.get("groups", 1), *(None,) * (kernel.ndim - 2))


def _convolution(axes: int) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        kernel = w.take("weight", *(None,) * (axes + 2))
        dilation = _each(o.get("dilation", 1), "dilation", axes)
        pairs = around(o.get("padding", 0), kernel.shape[2:], dilation)
        return b.convolution(
            x[0],
            kernel,
            w.bias(o, "bias", len(kernel)),
            strides=_each(o.get("stride", 1), "stride", axes),
            padding=pairs,
            dilation=dilation,
            groups=o.get("groups", 1),
        )

    return run


def _transposed_channels(weights: _Weights, options: Mapping[str, Any]) -> Sequence[int | None]:
    kernel = weights.take("weight")
    return (kernel.shape[0], *(None,) * (kernel.ndim - 2))


def _transposed_convolution(axes: int) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        kernel = w.take("weight", *(None,) * (axes + 2))
        groups = _check.integer(o.get("groups", 1), "groups", 1, None)
        padding, more = (
            _each(o.get(name, 0), name, axes, 0) for name in ("padding", "output_padding")
        )
        return b.transposed_convolution(
            x[0],
            kernel,
            w.bias(o, "bias", kernel.shape[1] * groups),
            strides=_each(o.get("stride", 1), "stride", axes),
            padding=[(n, n - m) for n, m in zip(padding, more, strict=True)],
            dilation=_each(o.get("dilation", 1), "dilation", axes),
            groups=groups,
        )

    return run


def _pooling(kind: str, axes: int) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        sizes = _each(o["kernel_size"], "kernel_size", axes)
        strides = sizes if o.get("stride") is None else _each(o["stride"], "stride", axes)
        pairs = [(n, n) for n in _each(o.get("padding", 0), "padding", axes, 0)]
        return b.pool(
            x[0],
            kind,
            sizes,
            strides,
            pairs,
            dilation=_each(o.get("dilation", 1), "dilation", axes),
            ceil=o.get("ceil_mode", False),
            count_padding=o.get("count_include_pad", True),
        )

    return run


_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")
for _axes in (1, 2):
    _row(
        f"Conv{_axes}d",
        options=("bias", "stride", "padding", "dilation", "groups"),
        weights=True,
        shape=_channels,
    )(_convolution(_axes))
    _row(
        f"ConvTranspose{_axes}d",
        options=("bias", "stride", "padding", "output_padding", "dilation", "groups"),
        weights=True,
        shape=_transposed_channels,
    )(_transposed_convolution(_axes))
    _row(f"MaxPool{_axes}d", options=(*_WINDOW, "dilation"))(_pooling("max", _axes))
    _row(f"AvgPool{_axes}d", options=(*_WINDOW, "count_include_pad"))(_pooling("mean", _axes))


def _adaptive(kind: str, axes: int) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        sizes = o.get("output_size", 1)
        given = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes] * axes
        counts = [n if n is None else _check.integer(n, "output_size", 1, None) for n in given]
        return b.adaptive_pool(x[0], kind, counts)

    return run


for _axes in (1, 2):
    _row(f"AdaptiveAvgPool{_axes}d", options=("output_size",))(_adaptive("mean", _axes))
    _row(f"AdaptiveMaxPool{_axes}d", options=("output_size",))(_adaptive("max", _axes))


@_row("BatchNorm1d", "BatchNorm2d", options=("eps", "affine", "momentum"), weights=True)
def _batch_norm(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    mean = w.take("running_mean", None)
    count = len(mean)
    affine = _check.flag(o.get("affine", True), "affine")
    gamma, beta = (w.take(name, count) if affine else None for name in ("weight", "bias"))
    variance = w.take("running_var", count)
    return b.batch_norm(x[0], gamma, beta, mean, variance, float(o.get("eps", 1e-5)))


@_row("LayerNorm", options=("eps", "bias"), weights=True)
def _layer_norm(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    gamma = w.take("weight")
    beta = w.bias(o, "bias", *gamma.shape)
    return b.layer_norm(x[0], gamma.ndim, gamma, beta, float(o.get("eps", 1e-5)))


@_row("RMSNorm", options=("eps",), weights=True)
def _rms_norm(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    gamma = w.take("weight")
    epsilon = o.get("eps")
    epsilon = float(np.finfo(np.float32).eps if epsilon is None else epsilon)
    return b.rms_norm(x[0], gamma.ndim, gamma, epsilon)


@_row("PReLU", options=("num_parameters",), weights=True)
def _prelu(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.prelu(x[0], w.take("weight", None))


# ---- what has no module of its own, by the names of functions ----


@_row("transpose", options=("dim0", "dim1"))
def _transpose(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    order = list(range(x[0].ndim))
    one, other = _axis(o, "dim0"), _axis(o, "dim1")
    order[one], order[other] = order[other], order[one]
    return b.permute(x[0], order)


@_row("select", options=("dim", "index"))
def _select(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.select(x[0], _axis(o, "dim"), _axis(o, "index"))


@_row("Flatten", options=("start_dim",))
def _flatten(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    shape = x[0].shape
    start = counted(_axis(o, "start_dim", 1), len(shape))
    return b.reshape(x[0], [*shape[:start], -1])


def _reduction(name: str) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        axes = [o["dim"]] if isinstance(o["dim"], int) else list(o["dim"])
        return b.reduce(name, x[0], axes, bool(o.get("keepdim", False)))

    return run


for _name in ("mean", "sum", "max"):
    _row(_name, options=("dim", "keepdim"))(_reduction(_name))


@_row("cat", options=("dim",))
def _cat(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.concatenate(x, _axis(o, "dim", 0))


@_row("squeeze", options=("dim",))
def _squeeze(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.squeeze(x[0], [_axis(o, "dim")])


@_row("unsqueeze", options=("dim",))
def _unsqueeze(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
    return b.unsqueeze(x[0], _axis(o, "dim"))


def _joined(name: str) -> Run:
    def run(b: Networks, w: _Weights, o: Mapping[str, Any], x: list[Value]) -> Value:
        found = x[0]
        for other in x[1:]:
            found = b.elementwise(name, found, other)
        return found

    return run


_row("add")(_joined("add"))
_row("mul")(_joined("multiply"))

"""Known answers for every recurrent layer, from Keras and PyTorch, under known dropout masks.

    cd tests && python -m references.make_recurrent [FILE]

writes recurrent.npz; it needs torch and keras, on the engine that KERAS_BACKEND names (TensorFlow
if it names none). `cases()` runs them. A case is (id, options, arrays, outputs):

* options are "layers", the cell and the activations of every layer's every direction; "form": one
  "layer", a "pair" of directions or a "stack"; and "call": keywords of `rnn`, rng as a Key's words;
* arrays are x, initial.L.D.h and initial.L.D.c, the weights kernel.L.D, recurrent_kernel.L.D and
  bias.L.D of direction D of layer L, and array keywords of `rnn`;
* outputs are y and the final state, state.L.D.h and state.L.D.c.

The engines:

keras       layers, Bidirectional, and layers after one another. `draws`: the masks are Keras's own,
            recorded, and go into the arrays. Otherwise they are the contract's at the documented
            streams and elements, put in the place of Keras's. Keras masks no candidates itself;
            here its cell gets an activation that does.
torch       LSTM, GRU and RNN modules; pack_padded_sequence for lengths. They show no masks, so for
            dropout between layers each layer is a module of its own and its output is multiplied;
            DropConnect multiplies weight_hh.
keras-cell  Keras's or PyTorch's cells, a step at a time, and everything around them done here. No
torch-cell  engine has zoneout: this takes the state of its cell, and keeps what zoneout keeps.

Every case is computed again in NumPy: a mask that an engine did not use, or used otherwise, is an
AssertionError. Weights and inputs are multiples of 1/16: exact in every dtype, and they compress
well.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contract import uniforms

from .make_lstm import remember, time_mask
from .stored import Arrays, Result, load, save

FILE = Path(__file__).with_name("recurrent.npz")

Array = np.ndarray
State = tuple[Array, ...]
CellStep = Callable[[Array, State], State]

GATES = {"lstm": 4, "gru": 3, "gru_before": 3, "simple_rnn": 1}
CELLS = tuple(GATES)  # gru_before is a GRU with reset_after=False
TORCH_CELLS = ("lstm", "gru", "simple_rnn")
MERGE_MODES = ("concat", "sum", "mul", "ave")
# Streams of a direction, from its base site on.
INPUT, RECURRENT, CANDIDATE, ZONEOUT_H, ZONEOUT_C, WEIGHTS, BETWEEN = range(7)


@dataclass
class Spec:
    """What is run. What is None is chosen by the case's number."""

    engine: str
    cells: tuple[str, ...]  # one a layer
    pair: bool = False
    stack: bool = False
    draws: bool = False  # Keras draws the masks
    rates: dict[str, Any] = field(default_factory=dict)  # the keywords of `rnn`
    call: dict[str, Any] = field(default_factory=dict)  # further keywords of `rnn`
    mask: str = ""  # a name of time_mask, or "lengths"
    embedding: str = ""  # "plain" or "masked"
    activations: tuple[str, str] = ("tanh", "sigmoid")
    split: bool = False  # one input mask a gate, where Keras has one for all
    shape: tuple[int, int, int, int] | None = None  # batch, time, features, units
    sequences: bool | None = None  # return_sequences
    state: bool | None = None  # give an initial state
    bias: bool | None = None
    dtype: str | None = None


def specs() -> Iterator[Spec]:
    both = {"dropout": 0.3, "recurrent_dropout": 0.4}
    only_input, only_recurrent = {"dropout": 0.5}, {"recurrent_dropout": 0.25}
    everywhere = {"row_offset": 7, "site": 5, "sample": 3}
    back, zero = {"go_backwards": True}, {"zero_output_for_mask": True}

    # One layer under masks that Keras drew.
    keras = functools.partial(Spec, "keras", draws=True)
    for cell in CELLS:
        for call in ({}, back):
            for rates in ({}, only_input, only_recurrent, both):
                yield keras((cell,), rates=rates, call=call)
            if cell != "simple_rnn":
                yield keras((cell,), rates={"dropout": 0.4}, call=call, split=True)
        for mask in ("right", "left", "holes", "empty", "lengths"):
            yield keras((cell,), rates=both, mask=mask)
            yield keras((cell,), rates=only_recurrent, mask=mask, call=zero, sequences=True)
        yield keras((cell,), rates=both, mask="holes", call=back)
        yield keras((cell,), rates=both, mask="holes", call=back | zero)
        pairs = [("relu", "sigmoid"), ("linear", "hard_sigmoid"), ("hard_sigmoid", "tanh")]
        for activations in (*pairs, ("sigmoid", "relu"), ("tanh", "hard_sigmoid")):
            if cell != "simple_rnn" or activations[0] != "tanh":
                yield keras((cell,), rates=both, activations=activations)
        yield keras((cell,), rates=both, bias=False)
        yield keras((cell,), bias=False)
        yield keras((cell,), rates=both, dtype="float64")
        yield keras((cell,), rates=both, dtype="float64", mask="holes", state=True)

    # Masks of the contract: schemes and scopes; two directions; layers after one another.
    keras = functools.partial(Spec, "keras")
    dropped = [
        {},
        both,
        both | {"scheme": "tied"},
        only_input | everywhere,
        both | {"scheme": "tied", "scope": "shared"} | everywhere,
        only_recurrent | {"scope": "shared"},
    ]
    drops = itertools.cycle(dropped)
    for cell in CELLS:
        for options in dropped[1:]:
            yield keras((cell,), rates=options)
        yield keras((cell,), rates=dropped[2], mask="lengths", call=back)
    for cell in CELLS:
        for merge_mode in MERGE_MODES:
            for sequences in (False, True):
                call = {"merge_mode": merge_mode}
                yield keras((cell,), pair=True, rates=next(drops), call=call, sequences=sequences)
        yield keras((cell,), pair=True, rates=both, mask="holes", sequences=True)
        yield keras((cell,), pair=True, rates=both, mask="holes", call=zero, sequences=True)
        yield keras((cell,), pair=True, rates=both, mask="left", sequences=False)
        yield keras((cell,), pair=True, rates=both, mask="lengths", call=zero, sequences=True)
    for cell in CELLS:
        for depth in (1, 2, 3):
            yield keras((cell,) * depth, stack=True, rates=next(drops))
        yield keras((cell,) * 2, stack=True, pair=True, rates=next(drops))
        yield keras((cell,) * 2, stack=True, pair=True, rates=both, mask="lengths", sequences=False)
        yield keras((cell,) * 2, stack=True, rates=both | everywhere, mask="holes")
        yield keras((cell,) * 2, stack=True, rates=both, call=back)
        yield keras((cell,) * 3, stack=True, rates=both | {"between_dropout": 0.5} | everywhere)
        call = {"merge_mode": "sum"}
        yield keras((cell,) * 2, stack=True, pair=True, rates={"between_dropout": 0.3}, call=call)
    yield keras(("lstm", "gru"), stack=True, rates=both)
    yield keras(("gru_before", "simple_rnn", "lstm"), stack=True, rates=both, mask="right")
    yield keras(("simple_rnn", "lstm"), stack=True, pair=True, rates=both | everywhere)

    # Embedded tokens.
    for cell in CELLS:
        yield keras((cell,), embedding="plain", rates=both, mask="lengths")
        yield keras((cell,), embedding="masked", rates=both | {"scheme": "tied"})
    yield keras(("lstm", "gru"), embedding="masked", stack=True, pair=True, rates=both)
    yield keras(("gru",), embedding="plain", pair=True, rates=both | {"scope": "shared"})
    yield keras(("lstm",), embedding="masked")

    # Candidates under masks: Keras's cells with an activation that masks.
    for cell in ("lstm", "gru", "gru_before"):
        candidate = {"candidate_dropout": 0.4}
        yield keras((cell,), rates=candidate)
        yield keras((cell,), rates=candidate | both | everywhere, mask="holes")
        yield keras((cell,), rates=candidate | {"scope": "shared"}, call=back)
        yield keras((cell,), pair=True, rates=candidate | {"recurrent_dropout": 0.2})
        yield keras((cell,) * 2, stack=True, rates=candidate, activations=("relu", "hard_sigmoid"))
        yield keras((cell,), call={"candidate_mask": True}, rates=candidate)

    # PyTorch's modules.
    torch = functools.partial(Spec, "torch")
    for cell, activation in (*zip(TORCH_CELLS, ["tanh"] * 3, strict=True), ("simple_rnn", "relu")):
        activations = (activation, "sigmoid")
        one = functools.partial(torch, activations=activations)
        for depth in (1, 2, 3):
            for pair in (False, True):
                cells = (cell,) * depth
                yield one(cells, stack=True, pair=pair, sequences=False)
                yield one(cells, stack=True, pair=pair, mask="lengths", sequences=False)
                yield one(cells, stack=True, pair=pair, mask="lengths", call=zero, sequences=True)
        yield one((cell,))
        yield one((cell,), pair=True, sequences=True)
        for pair in (False, True):
            between = {"between_dropout": 0.5}
            stacked = functools.partial(one, stack=True, pair=pair)
            yield stacked((cell,) * 3, rates=between)
            yield stacked((cell,) * 2, rates=between | everywhere, sequences=True)
            shared = between | {"scope": "shared"}
            yield stacked((cell,) * 2, rates=shared, mask="lengths", sequences=False)
        weights = {"weight_dropout": 0.4}
        yield one((cell,), rates=weights)
        yield one((cell,), pair=True, rates=weights | everywhere)
        yield one((cell,) * 2, stack=True, rates=weights, mask="lengths", sequences=False)
        yield one((cell,) * 2, stack=True, pair=True, rates=weights | between | {"sample": 9})
    for scheme in ("per_gate", "tied"):
        rates = {"weight_dropout": 0.5, "recurrent_dropout": 0.3, "scheme": scheme}
        yield keras(("gru_before",), rates=rates)
        yield keras(("lstm",), rates=rates, pair=True)

    # A step at a time: zoneout, and everything at once.
    for cell in CELLS:
        engine = "keras-cell" if cell == "gru_before" else "torch-cell"
        by_step = functools.partial(Spec, engine)
        zoneout = {"zoneout": 0.3}
        yield by_step((cell,), rates=zoneout)
        yield by_step((cell,), rates=zoneout | everywhere, mask="holes", sequences=True)
        yield by_step((cell,), rates=zoneout | everywhere, call={"first_step": 1000})
        yield by_step((cell,), rates=zoneout | {"scope": "shared"}, call=back)
        yield by_step((cell,), rates=zoneout | {"weight_dropout": 0.5}, mask="left", call=zero)
        yield by_step((cell,), pair=True, rates=zoneout)
        yield by_step((cell,), pair=True, rates=zoneout, mask="lengths")
        yield by_step((cell,) * 2, stack=True, rates=zoneout | {"between_dropout": 0.3})
        call = {"first_step": 2**24 - 9}
        yield by_step((cell,) * 2, stack=True, rates=zoneout | {"between_dropout": 0.3}, call=call)
        candidate = {} if cell == "simple_rnn" else {"candidate_dropout": 0.3}
        rates = both | zoneout | candidate | {"weight_dropout": 0.3, "between_dropout": 0.2}
        by_step = functools.partial(Spec, "keras-cell", (cell,) * 2, stack=True)
        yield by_step(rates=rates | everywhere)
        yield by_step(rates=rates, mask="left", call=back)
        yield by_step(rates=rates | {"scheme": "tied"}, mask="holes", dtype="float64")
        yield by_step(rates=rates, pair=True, mask="lengths", call={"merge_mode": "ave"})
    for rates in ({"zoneout": (0.2, 0.0)}, {"zoneout": (0.0, 0.4)}, {"zoneout": (0.1, 0.6)}):
        yield Spec("torch-cell", ("lstm",), rates=rates, mask="holes")
        yield Spec("torch-cell", ("lstm",), pair=True, rates=rates | everywhere)


SHAPES = [
    (2, 5, 3, 4), (3, 4, 5, 2), (1, 7, 2, 6), (4, 3, 7, 5), (2, 6, 1, 9), (5, 2, 4, 3),
    (3, 3, 9, 1), (1, 2, 8, 11), (4, 6, 2, 3), (2, 4, 6, 7),
]  # fmt: skip


def settled(spec: Spec, number: int) -> Spec:
    """Choose what the spec leaves open."""
    rng = np.random.default_rng([number, 1])
    chosen = {
        "shape": SHAPES[rng.integers(len(SHAPES))],
        "sequences": bool(rng.random() < 0.5),
        "state": bool(rng.random() < 0.4),
        "bias": bool(rng.random() < 0.85),
        "dtype": "float64" if rng.random() < 0.12 else "float32",
    }
    if spec.mask:  # enough rows and steps for the masks to be different
        chosen["shape"] = [(4, 5, 2, 3), (3, 6, 4, 2), (5, 4, 3, 5)][rng.integers(3)]
    elif spec.rates.get("scope") == "shared":  # enough rows and steps to prepare weights for a mask
        chosen["shape"] = [(4, 5, 3, 2), (3, 6, 2, 5), (5, 4, 4, 3)][rng.integers(3)]
    elif len(spec.cells) > 1:  # there are enough numbers to store
        chosen["shape"] = [(2, 3, 3, 2), (3, 4, 2, 3), (1, 5, 4, 2), (4, 2, 1, 3)][rng.integers(4)]
    given = {name: value for name, value in vars(spec).items() if value is not None}
    return Spec(**chosen | given)


# ---- masks of the contract ----


@functools.cache
def block(key: tuple[int, int], stream: int, number: int) -> list[int]:
    return uniforms(key, stream, number)


def threshold(rate: float) -> int:
    return round(rate * 2**32)


@dataclass(frozen=True)
class Draw:
    """Bits of the contract for one call."""

    key: tuple[int, int, int]
    site: int
    sample: int
    rows: Array  # the numbers of the batch's rows in the data set; one 0 where they share masks
    dtype: Any

    def events(self, where: tuple[int, int], kind: int, rate: float, elements: Array) -> Array:
        """Return the events of elements, for a direction (layer, direction)."""
        site = self.site + 8 * (2 * where[0] + where[1]) + kind
        stream = ((site << 32 | self.sample) + self.key[2]) % 2**64
        numbers = [block(self.key[:2], stream, int(i) // 128)[i % 128] for i in elements.flat]
        return (np.array(numbers, np.uint64) < threshold(rate)).reshape(elements.shape)

    def factors(self, where: tuple[int, int], kind: int, rate: float, elements: Array) -> Array:
        scale = np.float64(2**32) / (2**32 - threshold(rate))
        events = self.events(where, kind, rate, elements)
        return np.where(events, 0, scale).astype(self.dtype)

    def constant(self, gates: int, width: int) -> Array:
        """Return the elements (rows, gates, width) of masks that stay over the time steps."""
        row, gate = self.rows[:, None, None], np.arange(gates)[:, None]
        return (row * gates + gate) * width + np.arange(width)

    def varying(self, steps: int, width: int, first_step: int) -> Array:
        """Return the elements (rows, steps, width) of masks that are new at each step."""
        t = first_step + np.arange(steps)[:, None]
        return (self.rows[:, None, None] * 2**24 + t) * width + np.arange(width)


# ---- what is computed ----


@dataclass
class Direction:
    cell: str
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    initial: State | None
    # Masks; None where nothing is dropped. Factors (rows or 1, gates or 1, width) of the input and
    # the previous output, (rows or 1, units) of the candidate; zoneout (rows or 1, steps, units)
    # by the order of the steps; factors of the recurrent kernel.
    input_mask: Array | None = None
    recurrent_mask: Array | None = None
    candidate_mask: Array | None = None
    zoneout_h: Array | None = None
    zoneout_c: Array | None = None
    weight_mask: Array | None = None

    @property
    def units(self) -> int:
        return len(self.recurrent_kernel)

    @property
    def dropped_kernel(self) -> Array:
        mask = self.weight_mask
        return self.recurrent_kernel if mask is None else self.recurrent_kernel * mask


@dataclass
class Problem:
    spec: Spec
    x: Array
    layers: list[list[Direction]]
    counts: Array  # (rows, steps), False where a step is passed over
    between: list[Array | float]  # factors of the output of each layer but the last
    activation: str
    recurrent_activation: str

    def option(self, name: str, default: Any = False) -> Any:
        return self.spec.call.get(name, default)

    def merged(self, outputs: list[Any]) -> Any:
        mode = self.option("merge_mode", "concat")
        if len(outputs) == 1:
            return outputs[0]
        if mode == "concat":
            return np.concatenate(outputs, axis=-1)
        a, b = outputs
        return a * b if mode == "mul" else (a + b) / (2 if mode == "ave" else 1)


def problem(spec: Spec, number: int) -> tuple[Problem, Arrays, dict[str, Any]]:
    """Return the problem, the arrays that do not depend on what ran, and the keywords of `rnn`."""
    rng = np.random.default_rng([number, 2])
    batch, steps, features, units = spec.shape  # type: ignore[misc]
    dtype = np.dtype(spec.dtype)

    def normal(scale: float, *shape: int) -> Array:
        return (np.rint(rng.normal(0, scale, shape) * 16) / 16).astype(dtype)

    call = spec.call | {"return_sequences": spec.sequences}
    key = tuple(int(word) for word in rng.integers(0, 2**32, 2))
    base = int(rng.integers(0, 2**64, dtype=np.uint64))
    if spec.rates and not spec.draws:
        call |= spec.rates | {"rng": (*key, base)}
    draw = Draw(
        (*key, base),
        spec.rates.get("site", 0),
        spec.rates.get("sample", 0),
        np.zeros(1, np.int64)
        if spec.rates.get("scope") == "shared"
        else spec.rates.get("row_offset", 0) + np.arange(batch),
        dtype,
    )
    first_step = spec.call.get("first_step", 0)

    arrays: Arrays = {}
    if spec.embedding:
        arrays["x"] = rng.integers(0, 6, (batch, steps))
        arrays["embedding"] = normal(1, 6, features)
        x = arrays["embedding"][arrays["x"]]
        if spec.embedding == "masked":
            kept = rng.random((batch, features)) < 0.7
            arrays["embedding_mask"] = np.where(kept, 1.25, 0).astype(dtype)
            x = x * arrays["embedding_mask"][:, None]
    else:
        arrays["x"] = x = normal(1, batch, steps, features)
    counts = np.ones((batch, steps), bool)
    if spec.mask == "lengths":
        lengths = rng.integers(spec.engine == "torch", steps + 1, batch)
        lengths[0] = steps - 1
        arrays["lengths"] = lengths
        counts = np.arange(steps) < lengths[:, None]
    elif spec.mask:
        arrays["mask"] = counts = time_mask(spec.mask, batch, steps)

    layers, between, width = [], [], features
    for level, cell in enumerate(spec.cells):
        # PyTorch's layers are all of one size.
        size, gates = units + level * (spec.engine != "torch"), GATES[cell]
        layer = []
        for d in range(1 + spec.pair):
            biases = (2, 3 * size) if cell == "gru" else (gates * size,)
            direction = Direction(
                cell,
                normal(width**-0.5, width, gates * size),
                normal(size**-0.5, size, gates * size),
                normal(0.5, *biases) if spec.bias else None,
                tuple(normal(0.5, batch, size) for _ in range(1 + (cell == "lstm")))
                if spec.state
                else None,
            )
            if not spec.draws:
                draw_masks(direction, draw, (level, d), spec, (steps, width), first_step)
            layer.append(direction)
            name = f"{level}.{d}"
            arrays |= {
                f"kernel.{name}": direction.kernel,
                f"recurrent_kernel.{name}": direction.recurrent_kernel,
            }
            if direction.bias is not None:
                arrays[f"bias.{name}"] = direction.bias
            for part, value in zip("hc", direction.initial or (), strict=False):
                arrays[f"initial.{name}.{part}"] = value
        layers.append(layer)
        width = size * (2 if spec.pair and call.get("merge_mode", "concat") == "concat" else 1)
        rate = spec.rates.get("between_dropout", 0)
        elements = draw.varying(steps, width, first_step)
        between.append(draw.factors((level, 0), BETWEEN, rate, elements) if rate else 1)
    if call.pop("candidate_mask", False):  # given as it is, not drawn
        for name in ("candidate_dropout", "rng"):
            del call[name]
        arrays["candidate_mask"] = layers[0][0].candidate_mask
    return Problem(spec, x, layers, counts, between[:-1], *spec.activations), arrays, call


def draw_masks(
    direction: Direction,
    draw: Draw,
    where: tuple[int, int],
    spec: Spec,
    size: tuple[int, int],
    first_step: int,
) -> None:
    """Give a direction the contract's masks."""
    (steps, features), units, rates = size, direction.units, spec.rates
    all_gates = GATES[direction.cell]
    gates = all_gates if rates.get("scheme", "per_gate") == "per_gate" else 1
    if rate := rates.get("dropout"):
        elements = draw.constant(gates, features)
        direction.input_mask = draw.factors(where, INPUT, rate, elements)
    if rate := rates.get("recurrent_dropout"):
        elements = draw.constant(gates, units)
        direction.recurrent_mask = draw.factors(where, RECURRENT, rate, elements)
    if rate := rates.get("candidate_dropout"):
        elements = draw.constant(1, units)[:, 0]
        direction.candidate_mask = draw.factors(where, CANDIDATE, rate, elements)
    zoneout = rates.get("zoneout", 0)
    rate_h, rate_c = zoneout if isinstance(zoneout, tuple) else (zoneout, zoneout)
    elements = draw.varying(steps, units, first_step)
    if rate_h:
        direction.zoneout_h = draw.events(where, ZONEOUT_H, rate_h, elements)
    if rate_c and direction.cell == "lstm":
        direction.zoneout_c = draw.events(where, ZONEOUT_C, rate_c, elements)
    if rate := rates.get("weight_dropout"):
        columns = all_gates * units
        elements = np.arange(units)[:, None] * columns + np.arange(columns)
        direction.weight_mask = draw.factors(where, WEIGHTS, rate, elements)


# ---- steps, directions, layers ----


def walk(
    p: Problem, d: Direction, x: Array, counts: Array, backwards: bool, step: CellStep
) -> tuple[Array, Array, State]:
    """Take the steps of one direction: all outputs in the order taken, the last, the state."""
    (batch, steps, _), units = x.shape, d.units
    zeros = np.zeros((batch, units), x.dtype)
    state: State = d.initial or (zeros,) * (1 + (d.cell == "lstm"))
    state = tuple(np.asarray(part, x.dtype) for part in state)
    output, outputs = zeros, []
    for s in range(steps):
        t = steps - 1 - s if backwards else s
        new = list(step(x[:, t], state))
        for part, zoneout in enumerate((d.zoneout_h, d.zoneout_c)):
            if zoneout is not None:
                new[part] = np.where(zoneout[:, s], state[part], new[part])
        valid = counts[:, t, None]
        output = np.where(valid, new[0], zeros if p.option("zero_output_for_mask") else output)
        state = tuple(np.where(valid, n, old) for n, old in zip(new, state, strict=True))
        outputs.append(output)
    return np.stack(outputs, axis=1), output, state


def chain(p: Problem, x: Array, step_of: Callable[[Direction], CellStep]) -> list[Array]:
    """Run all layers and directions: the output, and the parts of all states."""
    states: list[Array] = []
    if p.option("go_backwards"):  # all layers take the steps from the last to the first
        x = x[:, ::-1]
    counts = p.counts[:, ::-1] if p.option("go_backwards") else p.counts
    for level, layer in enumerate(p.layers):
        sequences, lasts = [], []
        for number, direction in enumerate(layer):
            step = step_of(direction)
            sequence, last, state = walk(p, direction, x, counts, number == 1, step)
            sequences.append(sequence[:, ::-1] if number else sequence)
            lasts.append(last)
            states += state
        x = p.merged(sequences)
        if level < len(p.between):
            x = x * p.between[level]
    return [x if p.spec.sequences else p.merged(lasts), *states]


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: np.maximum(z, 0),
    "linear": lambda z: z,
    "hard_sigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
}


def numpy_cell(p: Problem, d: Direction) -> CellStep:
    """Return one step of the cell in NumPy."""
    act, gate_act = FUNCTIONS[p.activation], FUNCTIONS[p.recurrent_activation]
    gates, units = GATES[d.cell], d.units

    def masked(v: Array, mask: Array | None, gate: int) -> Array:
        return v if mask is None else v * mask[:, gate % mask.shape[1]]

    def columns(w: Array, gate: int) -> Array:
        return w[..., gate * units : (gate + 1) * units].astype(np.float64)

    bias = np.zeros((2, gates * units)) if d.bias is None else np.atleast_2d(d.bias)
    kept = 1.0 if d.candidate_mask is None else d.candidate_mask

    def step(x: Array, state: State) -> State:
        h = state[0]

        def inner(gate: int) -> Array:
            return masked(x, d.input_mask, gate) @ columns(d.kernel, gate) + columns(bias, gate)[0]

        def outer(gate: int, scale: Array | float = 1.0) -> Array:
            return (scale * masked(h, d.recurrent_mask, gate)) @ columns(d.dropped_kernel, gate)

        if d.cell == "simple_rnn":
            return (act(inner(0) + outer(0)),)
        if d.cell == "lstm":
            i, f, o = (gate_act(inner(gate) + outer(gate)) for gate in (0, 1, 3))
            c = f * state[1] + i * (act(inner(2) + outer(2)) * kept)
            return o * act(c), c
        if d.cell == "gru":  # the second row of the bias belongs to the recurrent part
            z, r = (gate_act(inner(g) + outer(g) + columns(bias, g)[1]) for g in (0, 1))
            candidate = act(inner(2) + r * (outer(2) + columns(bias, 2)[1]))
        else:
            z, r = (gate_act(inner(gate) + outer(gate)) for gate in (0, 1))
            candidate = act(inner(2) + outer(2, r))
        return (z * h + (1 - z) * candidate * kept,)

    return step


# ---- Keras ----


class Keras:
    def __init__(self) -> None:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        import keras

        self.keras = keras
        self.drawn: dict[str, Callable[..., Any]] = {}

    def array(self, value: Any) -> Array:
        return np.array(self.keras.ops.convert_to_numpy(value))

    def tensor(self, value: Array) -> Any:
        return self.keras.ops.convert_to_tensor(value, value.dtype.name)  # else it may be float32

    def layer(self, p: Problem, d: Direction, backwards: bool, sequences: bool) -> Any:
        options: dict[str, Any] = {
            "activation": p.activation,
            "use_bias": d.bias is not None,
            "go_backwards": backwards,
            "zero_output_for_mask": p.option("zero_output_for_mask"),
            "return_sequences": sequences,
            "return_state": True,
            "dtype": p.spec.dtype,
        }
        options |= {name: p.spec.rates.get(name, 0) for name in ("dropout", "recurrent_dropout")}
        name = {"lstm": "LSTM", "simple_rnn": "SimpleRNN"}.get(d.cell, "GRU")
        if d.cell != "simple_rnn":
            options["recurrent_activation"] = p.recurrent_activation
            if p.spec.split or p.spec.rates or d.candidate_mask is not None:
                options["use_cudnn"] = False  # it would not see a mask a gate
        if name == "GRU":
            options["reset_after"] = d.cell == "gru"
        return getattr(self.keras.layers, name)(d.units, **options)

    def equip(self, p: Problem, d: Direction, layer: Any) -> Any:
        """Give a built layer its weights and masks; return its cell."""
        weights = [d.kernel, d.dropped_kernel, d.bias]
        layer.set_weights([w for w in weights if w is not None])
        cell, gates = layer.cell, GATES[d.cell]
        split = d.input_mask is not None and d.input_mask.shape[1] > 1
        if (p.spec.split or split) and d.cell != "simple_rnn":
            cell.implementation, cell.dropout_mask_count = 1, gates
        for target, method in (
            ("input_mask", "get_dropout_mask"),
            ("recurrent_mask", "get_recurrent_dropout_mask"),
        ):
            if p.spec.draws:
                self.drawn[target] = remember(getattr(cell, method))
                setattr(cell, method, self.drawn[target])
            elif (mask := getattr(d, target)) is not None:
                masks: Any = [self.tensor(mask[:, gate % mask.shape[1]]) for gate in range(gates)]
                if not hasattr(cell, "dropout_mask_count"):
                    masks = masks[0]
                setattr(cell, method, functools.partial(lambda masks, _: masks, masks))
        if d.candidate_mask is not None:
            # An LSTM cell activates its candidate, then its cell state, in turn.
            factors = [self.tensor(d.candidate_mask)] + [1.0] * (d.cell == "lstm")
            turn, activation = itertools.cycle(factors), cell.activation
            cell.activation = lambda z: activation(z) * next(turn)
        return cell

    def layers(self, p: Problem) -> list[Array]:
        """Run whole layers."""
        keras = self.keras
        mask = None if p.counts.all() else self.tensor(p.counts)
        x, states = self.tensor(p.x), []
        for level, directions in enumerate(p.layers):
            inside = level < len(p.between)
            sequences = inside or p.spec.sequences
            # The layers after one that goes backwards have its outputs in the order taken.
            backwards = p.option("go_backwards") and level == 0
            runs = [
                self.layer(p, d, backwards or number == 1, sequences)
                for number, d in enumerate(directions)
            ]
            if p.spec.pair:
                mode = p.option("merge_mode", "concat")
                layer = keras.layers.Bidirectional(runs[0], mode, backward_layer=runs[1])
                layer.dtype_policy = runs[0].dtype_policy
                runs = [layer.forward_layer, layer.backward_layer]
                for run in runs:  # Bidirectional puts in its own choice
                    run.zero_output_for_mask = p.option("zero_output_for_mask")
            else:
                layer = runs[0]
            layer.build(x.shape)
            for d, run in zip(directions, runs, strict=True):
                self.equip(p, d, run)
            initial = [self.tensor(part) for d in directions for part in d.initial or ()]
            x, *new = layer(x, mask=mask, initial_state=initial or None, training=True)
            states += new
            if inside:
                factors = p.between[level]
                x = x * (self.tensor(factors) if isinstance(factors, np.ndarray) else factors)
        return [self.array(value) for value in (x, *states)]

    def cell(self, p: Problem, d: Direction) -> CellStep:
        """Return one step of a cell."""
        layer = self.layer(p, d, backwards=False, sequences=True)
        layer.build((None, None, len(d.kernel)))
        cell = self.equip(p, d, layer)

        def step(x: Array, state: State) -> State:
            tensors = [self.tensor(part) for part in (x, *state)]
            _, new = cell(tensors[0], tensors[1:], training=True)
            return tuple(self.array(part) for part in new)

        return step


# ---- PyTorch ----


def torch_weights(d: Direction) -> dict[str, Any]:
    """Return the weights by PyTorch's names and in its order of gates."""
    import torch

    units = d.units
    order = [1, 0, 2] if d.cell == "gru" else range(GATES[d.cell])  # r, z, n

    def convert(w: Array) -> Any:
        gates = [w[..., gate * units : (gate + 1) * units] for gate in order]
        return torch.tensor(np.ascontiguousarray(np.concatenate(gates, axis=-1).T))

    weights = {"weight_ih": convert(d.kernel), "weight_hh": convert(d.dropped_kernel)}
    if d.bias is not None:
        # Where PyTorch adds both biases, they are parts of one.
        half = np.round(d.bias * 8) / 16
        rows = d.bias if d.cell == "gru" else (half, d.bias - half)
        weights |= {"bias_ih": convert(rows[0]), "bias_hh": convert(rows[1])}
    return weights


def torch_modules(p: Problem) -> list[Array]:
    """Run whole modules: one of all layers, or one a layer with dropout in between."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    lengths = torch.tensor(p.counts.sum(axis=1))
    separate = bool(p.spec.rates.get("between_dropout"))
    groups = [[layer] for layer in p.layers] if separate else [p.layers]
    x, states = torch.tensor(p.x), []
    for level, layers in enumerate(groups):
        first = layers[0][0]
        options: dict[str, Any] = {"nonlinearity": p.activation} if first.cell[0] == "s" else {}
        module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}[
            first.cell
        ](
            x.shape[2],
            first.units,
            len(layers),
            bias=first.bias is not None,
            batch_first=True,
            bidirectional=p.spec.pair,
            dtype=x.dtype,
            **options,
        )
        names = [
            (d, f"_l{number}{'_reverse' * reverse}")
            for number, layer in enumerate(layers)
            for reverse, d in enumerate(layer)
        ]
        module.load_state_dict(
            {key + name: w for d, name in names for key, w in torch_weights(d).items()}
        )
        initial: Any = None
        if first.initial:
            initial = [
                torch.tensor(np.stack(parts))
                for parts in zip(*(d.initial for d, _ in names), strict=True)  # type: ignore[arg-type]
            ]
            initial = tuple(initial) if first.cell == "lstm" else initial[0]
        with torch.no_grad():
            if p.counts.all():
                x, final = module(x, initial)
            else:
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                packed, final = module(packed, initial)
                x, _ = pad_packed_sequence(packed, batch_first=True, total_length=p.x.shape[1])
        parts = final if first.cell == "lstm" else (final,)
        states += [part[number] for number in range(len(names)) for part in parts]
        if separate and level < len(p.between):
            x = x * torch.tensor(p.between[level])
    if not p.spec.sequences:  # each direction's last output is its final h
        count = len(p.layers[-1])
        x = torch.cat(tuple(parts[0][-count:]), dim=-1)
    return [value.numpy() for value in (x, *states)]


def torch_cell(p: Problem, d: Direction) -> CellStep:
    import torch

    options: dict[str, Any] = {"nonlinearity": p.activation} if d.cell == "simple_rnn" else {}
    module = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "simple_rnn": torch.nn.RNNCell}[
        d.cell
    ](
        len(d.kernel),
        d.units,
        bias=d.bias is not None,
        dtype=torch.tensor(d.kernel).dtype,
        **options,
    )
    module.load_state_dict(torch_weights(d))

    def step(x: Array, state: State) -> State:
        tensors = [torch.tensor(part) for part in state]
        with torch.no_grad():
            new = module(torch.tensor(x), tuple(tensors) if d.cell == "lstm" else tensors[0])
        return tuple(part.numpy() for part in (new if d.cell == "lstm" else (new,)))

    return step


# ---- cases ----


def name_of(spec: Spec) -> str:
    words = [spec.engine, "+".join(spec.cells), "pair" * spec.pair, "stack" * spec.stack]
    words += ["draws" * spec.draws, "split" * spec.split, spec.mask, spec.embedding]
    words += [f"{name}={value}" for name, value in (spec.rates | spec.call).items()]
    words += ["sequences" if spec.sequences else "", "state" if spec.state else ""]
    words += [] if spec.bias else ["no bias"]
    if spec.activations != ("tanh", "sigmoid"):
        words += spec.activations
    words += [spec.dtype or "", "x".join(map(str, spec.shape or ()))]
    return "-".join(word.replace(" ", "") for word in words if word)


def run(spec: Spec, number: int, engine: Keras) -> Result:
    """Run one case and check it against NumPy."""
    p, arrays, call = problem(spec, number)
    engine.keras.utils.set_random_seed(number)
    engine.drawn.clear()
    match spec.engine:
        case "keras":
            outputs = engine.layers(p)
        case "torch":
            outputs = torch_modules(p)
        case "keras-cell":
            outputs = chain(p, p.x, functools.partial(engine.cell, p))
        case "torch-cell":
            outputs = chain(p, p.x, functools.partial(torch_cell, p))
    for target, draw in engine.drawn.items():
        if (masks := draw(None)) is not None:
            parts = masks if isinstance(masks, list) else [masks]
            mask = np.stack([engine.array(part) for part in parts], axis=1)
            arrays[target] = mask if mask.shape[1] > 1 else mask[:, 0]
            setattr(p.layers[0][0], target, mask)
    expected = chain(p, p.x.astype(np.float64), functools.partial(numpy_cell, p))
    names = ["y"] + [
        f"state.{level}.{d}.{part}"
        for level, layer in enumerate(p.layers)
        for d, direction in enumerate(layer)
        for part in ("hc" if direction.cell == "lstm" else "h")
    ]
    case = f"{number}-{name_of(spec)}"
    tolerance = 1e-12 if spec.dtype == "float64" else 1e-5
    for name, got, value in zip(names, outputs, expected, strict=True):
        assert got.shape == value.shape, f"{case}: {name} has shape {got.shape}, not {value.shape}"
        assert got.dtype == spec.dtype, f"{case}: {name} is {got.dtype}"
        error = np.abs(got - value).max() / max(np.abs(value).max(), 1e-3)
        assert error <= tolerance, f"{case}: {name} differs from NumPy by {error:.1e}"

    def cell(d: Direction) -> dict[str, Any]:
        entry: dict[str, Any] = {"activation": p.activation}
        if d.cell != "simple_rnn":
            entry["recurrent_activation"] = p.recurrent_activation
        if d.cell.startswith("gru"):
            entry["reset_after"] = d.cell == "gru"
        return {"cell": d.cell.removesuffix("_before"), **entry}

    options = {
        "form": "stack" if spec.stack else "pair" if spec.pair else "layer",
        "layers": [[cell(d) for d in layer] for layer in p.layers],
        "call": call,
    }
    return case, options, arrays, dict(zip(names, outputs, strict=True))


def cases() -> Iterator[Result]:
    engine = Keras()
    for number, spec in enumerate(specs()):
        chosen, backend = settled(spec, number), engine.keras.backend.backend()
        if spec.engine.startswith("keras") and backend != "tensorflow":
            chosen.dtype = "float32"  # there Keras multiplies matrices of float64 as float32
        if spec.engine == "keras" and backend == "jax" and spec.mask:
            chosen.state = False  # there its initial h is put out before the first step taken
        yield run(chosen, number, engine)


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    save(file, cases())
    print(f"{file.name}: {sum(1 for _ in load(file))} cases, {file.stat().st_size} bytes")

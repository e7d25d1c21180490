"""The layers of other libraries, written as calls of layers: `Networks`.

Weights come as PyTorch keeps them or as ONNX does, (outputs, inputs), and gates in the order of
Keras's, into which `Gates` puts those of either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from string import ascii_letters
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastdrop import layers
from fastdrop.formats._lengths import BATCH, Length, product
from fastdrop.formats._values import (
    BatchAxisError,
    Counts,
    RowNumbers,
    RowPlaces,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
)
from fastdrop.formats._windows import Windows
from fastdrop.layers._layer import Layer
from fastdrop.layers.operations import FUNCTIONS
from fastdrop.layers.rnn import Recurrent
from fastdrop.model import Call

Array = NDArray[Any]

CELLS: dict[str, tuple[type[layers.LSTM] | type[layers.GRU] | type[layers.SimpleRNN], int]] = {
    "lstm": (layers.LSTM, 4),
    "gru": (layers.GRU, 3),
    "rnn": (layers.SimpleRNN, 1),
}
# Where PyTorch keeps the gates that Keras has in order: LSTM i, f, g, o as i, f, c, o; GRU r, z, n.
TORCH_GATES = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "rnn": (0,)}


def _written_out(equation: str, ranks: Sequence[int]) -> str:
    """Return an equation of `einsum` with its result, and letters in the place of dots."""
    terms, arrow, out = equation.partition("->")
    names = terms.split(",")
    if not arrow:
        letters = terms.replace(",", "").replace("...", "")
        out = "..." * ("..." in terms) + "".join(
            sorted(c for c in letters if letters.count(c) == 1)
        )
    if "..." not in equation or len(names) != len(ranks):
        return f"{terms}->{out}"
    others = [c for c in ascii_letters if c not in equation]
    counts = [rank - len(name.replace("...", "")) for name, rank in zip(names, ranks, strict=True)]
    most = max((n for name, n in zip(names, counts, strict=True) if "..." in name), default=0)
    if not 0 <= most <= len(others):
        raise UnsupportedError(f"einsum {equation!r}")
    dots = "".join(others[:most])
    names = [
        name.replace("...", dots[most - n :] if n > 0 else "")
        for name, n in zip(names, counts, strict=True)
    ]
    return f"{','.join(names)}->{out.replace('...', dots)}"


def gates(weight: Array, order: Sequence[int]) -> Array:
    """Put the gates along the first axis into another order."""
    return np.concatenate([np.split(weight, len(order))[i] for i in order])


# What leaves numbers as they are.
_LAYOUTS = (layers.ExpandDims, layers.Reshape, layers.Slice, layers.Squeeze, layers.Transpose)


@dataclass(frozen=True)
class Cell:
    """A recurrent layer's weights in one direction, in the order of Keras's gates.

    kernel (inputs, gates * units), recurrent_kernel (outputs, gates * units), bias (gates * units),
    or (2, gates * units) of a GRU; projection (units, outputs).
    """

    kind: str
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    projection: Array | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of_torch(
        cls,
        kind: str,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None = None,
        bias_hh: Array | None = None,
        weight_hr: Array | None = None,
        activation: str = "tanh",
    ) -> Cell:
        """Take weights as PyTorch keeps them."""
        order = TORCH_GATES[kind]
        bias = None
        if bias_ih is not None and bias_hh is not None:
            pair = [gates(bias_ih, order), gates(bias_hh, order)]
            bias = np.stack(pair) if kind == "gru" else pair[0] + pair[1]
        return cls(
            kind,
            np.ascontiguousarray(gates(weight_ih, order).T),
            np.ascontiguousarray(gates(weight_hh, order).T),
            bias,
            None if weight_hr is None else np.ascontiguousarray(weight_hr.T),
            (("activation", activation),) if kind == "rnn" else (),
        )

    @property
    def outputs(self) -> int:
        """How many numbers it puts out."""
        return len(self.recurrent_kernel)

    @property
    def states(self) -> tuple[int, ...]:
        """How many numbers each of its states has."""
        if self.kind != "lstm":
            return (self.outputs,)
        return self.outputs, self.outputs if self.projection is None else len(self.projection)

    def layer(self, name: str, *, backwards: bool, masked: bool) -> Any:
        """Return the layer, which puts out all steps and its final states."""
        options: dict[str, Any] = {
            "name": name,
            "kernel": self.kernel,
            "recurrent_kernel": self.recurrent_kernel,
            "bias": self.bias,
            "go_backwards": backwards,
            "return_sequences": True,
            "return_state": True,
            "zero_output_for_mask": masked,
        }
        options |= dict(self.options)
        if self.projection is not None:
            return layers.RecurrentLoop(cell=self.kind, projection=self.projection, **options)
        return CELLS[self.kind][0](**options)


class Networks(Windows):
    """Calls of layers with weights, and of what is around them."""

    def __init__(self) -> None:
        super().__init__()
        # What has been made of constants, which are kept beside it: another that came later could
        # have the identity of one that is gone.
        self._made: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        # What recurrent layers put out of sequences of several lengths.
        self._zeros_behind: set[str] = set()
        # What is 1 with a probability, and 0 otherwise.
        self.chances: set[str] = set()
        # What is the same number everywhere.
        self.filled: dict[str, float] = {}
        # How long the sequences are that recurrent layers go over.
        self.walks: set[Length] = set()
        # The last step of what a recurrent layer puts out, where that is its state.
        self._last: dict[str, tuple[int, Tensor]] = {}

    def elementwise(self, function: str, *operands: Value | float) -> Value:
        """Compute a function of `FUNCTIONS`; of numbers that are the same everywhere, note them."""
        found = super().elementwise(function, *operands)
        if isinstance(found, Tensor):
            number = self._everywhere(function, operands)
            if number is not None:
                self.filled[found.name] = number
        return found

    def _everywhere(self, function: str, operands: Sequence[Value | float]) -> float | None:
        """Return the number that a function is everywhere, if it is known."""
        if function in ("ones", "zeros"):
            return float(function == "ones")
        numbers = [self._single_number(operand) for operand in operands]
        if None in numbers:
            return None
        with np.errstate(all="ignore"):
            return float(FUNCTIONS[function][1](*map(np.asarray, numbers)))

    def _single_number(self, operand: Value | float) -> float | None:
        """Return the number that something is everywhere, if it is known."""
        if isinstance(operand, Tensor):
            return self.filled.get(operand.name)
        value = np.asarray(operand.value if isinstance(operand, Spread) else operand)
        return float(value.flat[0]) if value.size == 1 else None

    def kept(
        self, sources: Sequence[Any], options: tuple[Any, ...], make: Callable[[], Any]
    ) -> Any:
        """Return what is made of objects and options, the same each time."""
        key = (*map(id, sources), *options)
        if key not in self._made:
            made = make()
            if isinstance(made, np.ndarray):
                made.flags.writeable = False  # for layers to share it
            self._made[key] = (tuple(sources), made)
        return self._made[key][1]

    # ---- what is random ----

    def call(
        self, layer: Layer, inputs: Sequence[str], rows: Sequence[Sequence[Length]]
    ) -> list[str]:
        names = super().call(layer, inputs, rows)
        if isinstance(layer, _LAYOUTS) and inputs[0] in self.chances:
            self.chances.update(names)
        return names

    def dropout(self, value: Value, rate: float) -> Value:
        """Drop numbers."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor):
            raise UnsupportedError("dropout of a constant")
        return self.single(layers.Dropout(name=self.scope, rate=rate), value)

    def feature_dropout(self, value: Value, rate: float, *, alpha: bool = False) -> Value:
        """Drop channels, which are axis 1, whole."""
        if not isinstance(value, Tensor):
            raise UnsupportedError("dropout of a constant")
        channel = value.axis(1)
        batch = range(value.at, value.at + value.merged)
        shared = [i for i in range(len(value.row)) if i != channel and i not in batch]
        return self._shared(value, rate, shared, alpha=alpha)

    def shared_dropout(
        self, value: Value, rate: float, axes: Sequence[int], *, alpha: bool = False
    ) -> Value:
        """Drop what is along some axes whole."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor):
            raise UnsupportedError("dropout of a constant")
        return self._shared(value, rate, [value.axis(axis) for axis in axes], alpha=alpha)

    def _shared(self, value: Tensor, rate: float, shared: Sequence[int], *, alpha: bool) -> Tensor:
        noise = (None, *(1 if i in shared else None for i in range(len(value.row))))
        kind = layers.AlphaDropout if alpha else layers.Dropout
        return self.single(kind(name=self.scope, rate=rate, noise_shape=noise), value)

    def alpha_dropout(self, value: Value, rate: float) -> Value:
        """Drop numbers such that mean and variance stay."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor):
            raise UnsupportedError("dropout of a constant")
        return self.single(layers.AlphaDropout(name=self.scope, rate=rate), value)

    def noise(self, value: Value) -> Value:
        """Draw a normal number for each number of a tensor: 0 where nothing is random."""
        zeros = self._with_rows(self.elementwise("zeros", value))
        if not isinstance(zeros, Tensor):
            raise UnsupportedError("random numbers that rows of a batch share")
        return self.single(layers.GaussianNoise(name=self.scope, stddev=1.0), zeros)

    def _with_rows(self, value: Value) -> Value:
        """Return what all rows share as a tensor, and anything else as it is."""
        return self.some_tensor(value) if isinstance(value, Spread) else value

    def uniform(self, value: Value) -> Value:
        """Draw a number between 0 and 1 for each of a tensor: 1 / 2 where nothing is random.

        It is how many normal numbers lie below one that is drawn.
        """
        normal = self.elementwise("multiply", self.noise(value), math.sqrt(0.5))
        return self.elementwise("add", self.elementwise("multiply", self.erf(normal), 0.5), 0.5)

    # ---- products ----

    def linear(self, value: Value, weight: Value, bias: Value | None = None) -> Value:
        """Multiply along the last axis by (units, inputs)."""
        kernel = as_array(weight)
        if kernel.ndim == 1:
            found = self.dense(value, kernel[:, np.newaxis])
            return self.squeeze(found, [-1])
        return self.dense(value, kernel.T, None if bias is None else as_array(bias))

    def einsum(self, equation: str, values: Sequence[Value | Steps]) -> Value | Steps:
        """Multiply and sum by Einstein's convention, two at a time.

        `Steps` get the letter that the batch has beside them, or another where there is none.
        """
        equation = _written_out(equation.replace(" ", ""), [v.ndim for v in values])
        terms, _, out = equation.partition("->")
        names = terms.split(",")
        told = [len(t) for t in names] == [v.ndim for v in values] and {*out} <= {*"".join(names)}
        if not told or any(len(set(t)) < len(t) for t in (*names, out)):
            raise UnsupportedError(f"einsum {equation!r}")
        rows = [
            name[v.at]
            for name, v in zip(names, values, strict=True)
            if isinstance(v, (Tensor, Spread))
        ]
        letter = rows[0] if rows else next(c for c in ascii_letters if c not in equation)
        rest: list[tuple[str, Value]] = []
        for name, value in zip(names, values, strict=True):
            if isinstance(value, Steps):
                if letter in name:
                    raise UnsupportedError(f"{list(value.shape)} along rows of a batch")
                name, value = letter + name, value.value
            rest.append((name, value))
        alone = not rows and any(isinstance(v, Steps) for v in values)
        out = letter + out if alone else out
        while len(rest) > 1:
            (left, one), (right, two), *rest = rest
            later = {*out, *"".join(n for n, _ in rest)}
            rest.insert(0, self._product(left, one, right, two, later))
        name, found = rest[0]
        gone = [i for i, c in enumerate(name) if c not in out]
        if gone:
            found = self.reduce("sum", found, gone)
            name = "".join(c for c in name if c in out)
        found = self.permute(found, [name.index(c) for c in out])
        return Steps.of(found) if alone else found

    def _product(
        self, left: str, one: Value, right: str, two: Value, later: set[str]
    ) -> tuple[str, Value]:
        """Multiply as matrices: axes shared and kept, shared and summed, and each one's own."""
        lengths = dict(zip(left, one.shape, strict=True)) | dict(zip(right, two.shape, strict=True))
        kept = [c for c in left if c in right and c in later]
        summed = [c for c in left if c in right and c not in later]
        own_left = [c for c in left if c not in right]
        own_right = [c for c in right if c not in left]
        rows = [n[v.at] for n, v in ((left, one), (right, two)) if isinstance(v, (Tensor, Spread))]
        if kept and rows and rows[0] in own_right:
            return self._product(right, two, left, one, later)
        # Each row of a batch has its matrices, which are multiplied by those that all rows share.
        ahead = [c for c in own_left if kept and c in rows]
        own_left = [c for c in own_left if c not in ahead]
        first = self._grouped(one, left, lengths, [ahead + kept, own_left, summed])
        second = self._grouped(two, right, lengths, [kept, summed, own_right])
        order = ahead + kept + own_left + own_right
        found = self.matmul(first, second)
        return "".join(order), self.reshape(found, [lengths[c] for c in order])

    def _grouped(
        self,
        value: Value,
        names: str,
        lengths: Mapping[str, Length],
        groups: Sequence[Sequence[str]],
    ) -> Value:
        """Put axes in groups: those of the first stay single, each other becomes one axis."""
        order = [c for group in groups for c in group]
        moved = self.permute(value, [names.index(c) for c in order])
        shape = [lengths[c] for c in groups[0]]
        return self.reshape(moved, [*shape, *(product(lengths[c] for c in g) for g in groups[1:])])

    def prelu(self, value: Value, weight: Value) -> Value:
        """Multiply what is negative by a weight, one or one for each channel, which are axis 1."""
        if not isinstance(value, Tensor):
            raise UnsupportedError("an activation of a constant")
        slope = as_array(weight)
        if slope.size > 1:
            slope = slope.reshape(slope.size, *(1,) * (value.ndim - 2))
        scaled = self.elementwise("multiply", value, slope)
        return self.elementwise("where", self.elementwise("greater", value, 0.0), value, scaled)

    def embedding(self, table: Value, tokens: Value, rate: float = 0.0) -> Value:
        """Look up rows of a table (entries, features), of which whole ones may be dropped."""
        rows = np.ascontiguousarray(as_array(table), np.float32)
        if rate:
            tokens = self.some_tensor(tokens)
            dropping = layers.EmbeddingDropout(name=self.scope, table=rows, rate=rate)
            return self.single(dropping, tokens, (*tokens.row, rows.shape[1]))
        if not isinstance(tokens, Tensor):
            known = tokens.value if isinstance(tokens, Spread) else tokens
            if known.size and not -len(rows) <= known.min() <= known.max() < len(rows):
                raise UnsupportedError(f"places beyond a table of {len(rows)}")
            found = np.asarray(rows[known.astype(np.int64)])
            return Spread(found, tokens.at) if isinstance(tokens, Spread) else found
        layer = layers.Embedding(name=self.scope, table=rows)
        return self.single(layer, tokens, (*tokens.row, rows.shape[1]))

    def embedding_bag(
        self,
        table: Value,
        tokens: Value,
        mode: str,
        padding: int | None = None,
        weights: Value | None = None,
    ) -> Value:
        """Take the "sum", "mean" or "max" of what is looked up for (batch, tokens).

        A token that is padding counts in neither; without any other there are zeros.
        """
        found = self.embedding(table, tokens)
        if weights is not None:
            found = self.elementwise("multiply", found, self.unsqueeze(weights, 2))
        if padding is None:
            return self.reduce(mode, found, [1])
        if mode == "max":
            raise UnsupportedError("maxima of bags with padding")
        counted = self.unsqueeze(self.elementwise("not_equal", tokens, float(padding)), 2)
        total = self.reduce("sum", self.elementwise("where", counted, found, 0.0), [1])
        if mode == "sum":
            return total
        count = self.elementwise("maximum", self.reduce("sum", counted, [1]), 1.0)
        return self.elementwise("divide", total, count)

    def attention(
        self,
        query: Value,
        key: Value,
        value: Value,
        mask: Value | None = None,
        rate: float = 0.0,
        *,
        causal: bool = False,
        scale: float | None = None,
        boolean: bool = False,
    ) -> Value:
        """Scaled dot-product attention, of (..., places, features).

        A mask may be beside a causal one.
        """
        width = query.shape[-1]
        if not isinstance(width, int):
            raise UnsupportedError(f"attention over {width} features")
        swapped = [*range(key.ndim - 2), key.ndim - 1, key.ndim - 2]
        factor = 1 / math.sqrt(width) if scale is None else scale
        query = self.elementwise("multiply", query, factor)
        scores = self.matmul(query, self.permute(key, swapped))
        if causal:
            scores = self.elementwise("where", self._not_behind(scores), scores, -math.inf)
        if mask is not None:
            if boolean:
                scores = self.elementwise("where", mask, scores, -math.inf)
            else:
                scores = self.elementwise("add", scores, mask)
        weights = self.activation(scores, "softmax", -1)
        if mask is not None and (causal or _may_hide_all(mask, boolean)):
            # Who may look at nothing takes nothing.
            most = self.reduce("max", scores, [-1], keepdims=True)
            nothing = self.elementwise("equal", most, -math.inf)
            weights = self.elementwise("where", nothing, 0.0, weights)
        if rate:
            weights = self.dropout(weights, rate)
        return self.matmul(weights, value)

    def _not_behind(self, scores: Value) -> Value:
        """Return the mask of places that are not behind the one that looks at them."""
        steps = scores.shape[-2:]
        if all(isinstance(n, int) for n in steps):
            return np.tri(*steps, dtype=bool)
        own, others = (
            np.arange(n)[np.newaxis] if isinstance(n, int) else self.positions(n) for n in steps
        )
        mask = self.elementwise("greater_equal", self.unsqueeze(own, 2), self.unsqueeze(others, 1))
        while mask.ndim < scores.ndim:
            mask = self.unsqueeze(mask, 1)
        return mask

    # ---- recurrent layers ----

    def recurrent(
        self,
        value: Value,
        cells: Sequence[Sequence[Cell]],
        states: Sequence[Value] = (),
        *,
        batch_first: bool,
        rate: float | None = None,
        lengths: Value | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Run layers one on top of the other, of one or two directions each.

        States are (layers * directions, batch, outputs), as PyTorch has them. Between layers there
        is dropout, of each number at each step, if a rate is given. Returns the outputs and the
        final states.
        """
        value = self.row_on(self._with_rows(value), 0 if batch_first else 1)
        if not isinstance(value, Tensor) or value.ndim != 3:
            raise UnsupportedError("a recurrent layer over a tensor without a batch")
        if value.at != (0 if batch_first else 1):
            raise BatchAxisError(
                f"it takes the batch on axis {0 if batch_first else 1}, and finds it on {value.at}"
            )
        count = sum(map(len, cells))
        initial = [self._states(state, count, value) for state in states]
        if all(some is None for some in initial):
            initial = []
        single = self.bundled_first(value)
        self.walks.add(single.row[-2])
        extra = single.merged
        mask = None if lengths is None else self.bundled_first(self._mask(value, lengths))
        finals: list[list[Tensor]] = []
        for level, directions in enumerate(cells):
            if level and rate is not None:
                name = self.called(f"{self.scope}.dropout")
                dropped = self.dropout(single, rate)
                self.called(name)
                assert isinstance(dropped, Tensor)
                single = dropped
            if mask is not None:
                layer = layers.WithMask(name=f"{self.scope}.mask")
                (name,) = self.call(layer, [single.name, mask.name], [single.row, mask.row])
                single = replace(single, name=name)
            position = sum(map(len, cells[:level]))
            given = [
                self._state(some, position + k, width, single.row[:extra], value)
                for k, cell in enumerate(directions)
                for some, width in zip(initial, cell.states, strict=False)
            ]
            single, final = self._level(single, directions, given, extra, masked=mask is not None)
            finals += final
            if mask is not None:
                single = self.single(
                    layers.Identity(name=f"{self.scope}.all", passes_mask=False), single
                )
        output = single
        if mask is not None:
            self._zeros_behind.add(single.name)
        if value.at:
            moved = self.permute(single, [*range(1, value.at + 1), 0, *range(value.at + 1, 3)])
            assert isinstance(moved, Tensor)
            output = moved
        if len(cells[-1]) == 1 and mask is None:
            steps = 0 if value.at else len(output.row) - 2
            self._last[output.name] = (steps, finals[-1][0])
        stacked = []
        for k in range(len(finals[0])):
            state = self.stack([final[k] for final in finals], 0)
            assert isinstance(state, Tensor)
            stacked.append(state)
        return output, stacked

    def _level(
        self,
        tensor: Tensor,
        directions: Sequence[Cell],
        states: Sequence[Tensor],
        extra: int,
        *,
        masked: bool,
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Run one layer, of one or two directions, and return outputs and states of each."""
        layer = self._recurrent_layer(directions, masked)
        inputs = [tensor, *states]
        made = self.call(self.each(layer, extra), [t.name for t in inputs], [t.row for t in inputs])
        leading = tensor.row[:extra]
        width = sum(cell.outputs for cell in directions)
        output = self._known(replace(tensor, name=made[0], row=(*tensor.row[:-1], width)))
        final = []
        rest = iter(made[1:])
        for cell in directions:
            rows = [(*leading, n) for n in cell.states]
            final.append([replace(tensor, name=next(rest), row=row, at=0) for row in rows])
        return output, final

    def _recurrent_layer(self, directions: Sequence[Cell], masked: bool) -> Layer:
        """Return the layer of some cells, which is packed once."""

        def make() -> Layer:
            ahead: Layer = directions[0].layer(self.scope, backwards=False, masked=masked)
            if len(directions) == 1:
                return ahead
            back = directions[1].layer(f"{self.scope}.reverse", backwards=True, masked=masked)
            return layers.Bidirectional(name=self.scope, forward=ahead, backward=back)  # type: ignore[arg-type]

        found: Layer = self.kept(directions, (self.scope, masked), make)
        return found

    def _states(self, state: Value, count: int, like: Tensor) -> Value | None:
        """Return initial states (layers * directions, batch, outputs); None for zeros."""
        if isinstance(state, Spread) and not state.value.any():
            return None
        if isinstance(state, np.ndarray) and not state.any():
            return None
        if isinstance(state, np.ndarray) and state.ndim == 3 and state.shape[1] == 1:
            state = Spread(state[:, 0], 1)
        state = self.row_on(state, 1)
        if not isinstance(state, (Tensor, Spread)) or state.ndim != 3:
            raise UnsupportedError("initial states without a batch")
        if state.at != 1:
            raise BatchAxisError(f"states have the batch on axis 1, these on {state.at}")
        if state.shape[0] != count:
            raise UnsupportedError(f"{state.shape[0]} initial states for {count} layers")
        return self.tensor(state, like)

    def _state(
        self, states: Value | None, number: int, width: int, leading: Sequence[Length], like: Tensor
    ) -> Tensor:
        """Return one of several initial states, of rows; zeros where there are none."""
        if states is None:
            zeros = np.zeros(width, np.float32)
            state: Value = self.tensor(Spread(zeros, 0), like)
        else:
            state = self.select(states, 0, number)
        assert isinstance(state, Tensor)
        state = self.bundled_first(state)
        if state.merged and (state.before, state.behind) != (like.before, like.behind):
            raise UnsupportedError("initial states of rows in another order")
        while len(state.row) <= len(leading):  # the same for what is merged with the batch
            inner = self.unsqueeze(state, 1)
            assert isinstance(inner, Tensor)
            state = inner
        return self.broadcast(state, (*leading, width))

    def _mask(self, value: Tensor, lengths: Value) -> Tensor:
        """Return (batch, steps) for a sequence: 1 for each step that a row has, else 0."""
        if not isinstance(lengths, Tensor) or lengths.ndim != 1:
            raise UnsupportedError("lengths of sequences that are no input")
        if (lengths.before, lengths.behind) != (value.before, value.behind):
            raise UnsupportedError("lengths of rows in another order")
        steps = value.shape[0 if value.at else 1]
        ends = self.unsqueeze(lengths, 1)
        assert isinstance(ends, Tensor)
        numbers: Value
        if isinstance(steps, int):
            numbers = np.arange(steps)
        else:
            numbers = Steps.of(self.positions(steps)).under(self, 2, ends)
        found = self.elementwise("less", numbers, ends)
        assert isinstance(found, Tensor)
        return found

    def padded(self, value: Value, lengths: Value) -> Value:
        """Return (batch, steps, ...) with zeros behind each row's length."""
        if not isinstance(value, Tensor) or value.name in self._zeros_behind:
            return value
        mask: Value = self._mask(value, lengths)
        for _ in range(value.ndim - 2):
            mask = self.unsqueeze(mask, mask.ndim)
        return self.elementwise("where", mask, value, 0.0)

    def cell_step(self, value: Value, cell: Cell, states: Sequence[Value]) -> list[Tensor]:
        """Take one step (batch, inputs) from states (batch, outputs), and return the new ones."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor) or value.ndim != 2:
            raise UnsupportedError("a step of a tensor without a batch")
        sequence = self.unsqueeze(value, 1)
        stacked = [self.unsqueeze(state, 0) for state in states]
        _, final = self.recurrent(sequence, [[cell]], stacked, batch_first=True)
        found = []
        for state in final:
            one = self.select(state, 0, 0)
            assert isinstance(one, Tensor)
            found.append(one)
        return found

    def select(self, value: Value, axis: int, index: int) -> Value:
        if isinstance(value, Tensor):
            along, state = self._last.get(value.name, (None, None))
            axis = value.counted(axis)
            whole = value.shape[axis]
            last = index == -1 or (isinstance(whole, int) and index == whole - 1)
            if state is not None and axis != value.at and value.axis(axis) == along and last:
                row = tuple(n for i, n in enumerate(value.row) if i != along)
                return replace(value, name=state.name, row=row, at=value.at - (axis < value.at))
        return super().select(value, axis, index)

    # ---- normalization ----

    def batch_norm(
        self,
        value: Value,
        gamma: Value | None,
        beta: Value | None,
        mean: Value | None,
        variance: Value | None,
        epsilon: float,
    ) -> Value:
        """Shift and scale channels, which are axis 1, by what training has left behind."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor):
            raise UnsupportedError("normalization of a constant")
        if mean is None or variance is None:
            raise UnsupportedError("batch normalization without running statistics")
        weights = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        arrays = {
            k: None if w is None else np.asarray(as_array(w), np.float32)
            for k, w in weights.items()
        }
        layer = layers.BatchNormalization(
            name=self.scope, axis=value.axis(1), epsilon=epsilon, **arrays
        )
        return self.single(layer, value)

    def layer_norm(
        self,
        value: Value,
        axes: int,
        gamma: Value | None,
        beta: Value | None,
        epsilon: float,
    ) -> Value:
        """Normalize each row's numbers along so many of the last axes."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor):
            raise UnsupportedError("normalization of a constant")
        for axis in range(-axes, 0):
            value.axis(axis)  # which is not that of the batch
        gamma, beta = (
            None if w is None else np.asarray(as_array(w), np.float32) for w in (gamma, beta)
        )
        layer = layers.LayerNormalization(
            name=self.scope,
            axis=tuple(range(-axes, 0)),
            gamma=gamma,
            beta=beta,
            epsilon=epsilon,
        )
        return self.single(layer, value)

    def group_norm(
        self,
        value: Value,
        groups: int,
        gamma: Value | None,
        beta: Value | None,
        epsilon: float,
    ) -> Value:
        """Normalize each row's groups of channels, which are axis 1, with all behind them."""
        value = self._with_rows(value)
        if not isinstance(value, Tensor):
            raise UnsupportedError("normalization of a constant")
        if value.at or value.ndim < 2:
            raise UnsupportedError("normalization of groups with the batch not in front")
        rows, channels, *rest = value.shape
        if not isinstance(channels, int):
            raise UnsupportedError(f"normalization of {channels} channels")
        if groups < 1 or channels % groups:
            raise UnsupportedError(f"{groups} groups of {channels} channels")
        weights = [None if w is None else as_array(w).reshape(-1) for w in (gamma, beta)]
        if any(w is not None and len(w) != channels for w in weights):
            raise UnsupportedError(f"other weights than one for each of {channels} channels")
        split = value
        if groups < channels or not rest:
            each = [rows, groups, channels // groups, *rest]
            split = cast(Tensor, self.reshape(value, each))
        along = list(range(2, split.ndim))
        mean = self.reduce("mean", split, along, keepdims=True)
        centred = self.elementwise("subtract", split, mean)
        squares = self.reduce("mean", self.elementwise("square", centred), along, keepdims=True)
        factor = self.elementwise("rsqrt", self.elementwise("add", squares, epsilon))
        found = self.elementwise("multiply", centred, factor)
        found = found if split is value else self.reshape(found, value.shape)
        for function, weight, nothing in (("multiply", weights[0], 1), ("add", weights[1], 0)):
            if weight is not None and (weight != nothing).any():
                array = weight.reshape(-1, *(1,) * len(rest))
                found = self.elementwise(function, found, array)
        return found

    def rms_norm(self, value: Value, axes: int, gamma: Value | None, epsilon: float) -> Value:
        """Divide each row's numbers by the root of their mean square along the last axes."""
        along = list(range(-axes, 0))
        squares = self.reduce("mean", self.elementwise("square", value), along, keepdims=True)
        factor = self.elementwise("rsqrt", self.elementwise("add", squares, epsilon))
        found = self.elementwise("multiply", value, factor)
        return found if gamma is None else self.elementwise("multiply", found, gamma)

    # ---- indices ----

    def rows_at(self, value: Value, numbers: Sequence[Any]) -> Value:
        """Take places by numbers for each of the first axes, as `value[numbers]` does.

        One of the numbers may be `RowNumbers`, for the batch, and one a tensor of a number a row,
        or a number for all.
        """
        if isinstance(value, Tensor) and not value.merged and value.at < len(numbers):
            own = numbers[value.at]
            others = [i for i, n in enumerate(numbers) if n is not None and i != value.at]
            counted = isinstance(own, RowNumbers) and own.ndim == 1
            if counted and not others:
                return value
            if counted and len(others) == 1:
                axis, number = others[0], numbers[others[0]]
                known = number.value if isinstance(number, Spread) else number
                if isinstance(known, np.ndarray) and known.size == 1:
                    return self.select(value, axis, int(known.item()))
                if isinstance(number, Counts) and not number.shape:
                    return self.place(value, axis, number.lengths.item())
                if isinstance(number, Tensor) and number.ndim == 1:
                    for _ in range(value.ndim - 1):
                        number = self.unsqueeze(number, number.ndim)
                    moved = self._moved_batch(number, value.at)
                    found = self.take_along(value, moved, axis)
                    return self.squeeze(found, [axis])
        raise UnsupportedError("places taken out by numbers")

    def rows_laid_out(self, value: Value, places: RowPlaces) -> Value:
        """Take a place of each row out of a tensor in which rows are one after another.

        What is before the first place is counted from the end of the same row.
        """
        places_of: Sequence[Any] = (RowNumbers(), places.number)
        if not isinstance(value, Tensor) or value.at:
            raise UnsupportedError("places taken out by numbers")
        if places.step is None and value.before and not value.behind:
            shape = [product(value.row[: value.before]), BATCH]
            places_of = places_of[::-1]
        elif places.step is None or value.before or not value.behind:
            raise UnsupportedError("places taken out by numbers")
        elif product(value.row[: value.behind]) != places.step:
            wrong = f"rows of {list(value.shape)} that begin every {places.step}"
            raise UnsupportedError(wrong)
        else:
            shape = [BATCH, places.step]
        return self.rows_at(self.reshape(value, [*shape, *value.shape[1:]]), places_of)

    def _moved_batch(self, value: Value, at: int) -> Value:
        """Return the same with the batch on another axis, in front of which all are 1 long."""
        assert isinstance(value, Tensor)
        order = list(range(value.ndim))
        order.insert(at, order.pop(value.at))
        return self.permute(value, order)

    # ---- the whole ----

    def trimmed(self, outputs: Sequence[str]) -> list[Call]:
        """Return the calls that some output needs; recurrent layers put out what is taken."""
        read = set(outputs)
        kept: list[Call] = []
        taken: dict[int, set[int]] = {}
        for call in reversed(self.entries):
            assert call.name is not None
            made = {call.name, *(f"{call.name}:{k}" for k in range(1, 8))}
            if read.isdisjoint(made):
                continue
            kept.append(call)
            taken.setdefault(id(call.layer), set()).update(
                k for k in range(8) if (f"{call.name}:{k}" if k else call.name) in read
            )
            assert call.inputs is not None
            read |= {call.inputs} if isinstance(call.inputs, str) else set(call.inputs)
        changed = {id(call.layer): _putting_out(call.layer, taken[id(call.layer)]) for call in kept}
        return [Call(changed[id(c.layer)], c.inputs, c.name, c.training) for c in reversed(kept)]


def _putting_out(layer: Layer, taken: set[int]) -> Layer:
    """Return a recurrent layer that puts out no sequence, or no states, that nobody takes."""
    if isinstance(layer, layers.TimeDistributed):
        inner = _putting_out(layer.layer, taken)
        return layer if inner is layer.layer else replace(layer, layer=inner)
    if isinstance(layer, layers.Bidirectional):
        forward: Any = _putting_out(layer.forward, taken)
        if forward is layer.forward:
            return layer
        backward: Any = _putting_out(layer.backward, taken)
        return replace(layer, forward=forward, backward=backward)
    if not isinstance(layer, Recurrent) or not layer.return_state:
        return layer
    sequences, states = 0 in taken, taken != {0}
    if sequences and states:
        return layer
    changed = copy(layer)  # what is packed stays so
    changed.prepare(return_sequences=sequences, return_state=states)
    return changed


def _may_hide_all(mask: Value, boolean: bool) -> bool:
    """Whether a mask of attention may leave nothing to look at."""
    if not isinstance(mask, np.ndarray):
        return True
    seen = mask if boolean else mask > -math.inf
    return not np.asarray(seen, bool).any(-1).all()

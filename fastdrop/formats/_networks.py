"""The layers of other libraries, written as calls of layers: `Networks`.

Weights come as PyTorch keeps them or as ONNX does, (outputs, inputs), and gates in the order of
Keras's, into which `Gates` puts those of either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastdrop import layers
from fastdrop.formats._lengths import BATCH, Length, product
from fastdrop.formats._tensors import (
    BatchAxisError,
    RowNumbers,
    RowPlaces,
    Spread,
    Tensor,
    Tensors,
    UnsupportedError,
    Value,
    as_array,
    counted,
)
from fastdrop.layers._layer import Layer
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


class Networks(Tensors):
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

    def kept(
        self, sources: Sequence[Any], options: tuple[Any, ...], make: Callable[[], Any]
    ) -> Any:
        """Return what is made of objects and options, the same each time."""
        key = (*map(id, sources), *options)
        if key not in self._made:
            self._made[key] = (tuple(sources), make())
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

    def some_tensor(self, value: Value) -> Tensor:
        """Return a constant as a tensor of rows."""
        if not self.inputs:
            raise UnsupportedError("rows of a batch that no input has")
        return self.tensor(value, self.inputs[0])

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

    def einsum(self, equation: str, values: Sequence[Value]) -> Value:
        """Multiply and sum by Einstein's convention, two at a time."""
        equation = equation.replace(" ", "")
        terms, _, out = equation.partition("->")
        names = terms.split(",")
        told = [len(t) for t in names] == [v.ndim for v in values] and {*out} <= {*"".join(names)}
        if not told or any(len(set(t)) < len(t) for t in (*names, out)) or "->" not in equation:
            raise UnsupportedError(f"einsum {equation!r}")
        rest = [*zip(names, values, strict=True)]
        while len(rest) > 1:
            (left, one), (right, two), *rest = rest
            later = {*out, *"".join(n for n, _ in rest)}
            rest.insert(0, self._product(left, one, right, two, later))
        name, found = rest[0]
        gone = [i for i, c in enumerate(name) if c not in out]
        if gone:
            found = self.reduce("sum", found, gone)
            name = "".join(c for c in name if c in out)
        return self.permute(found, [name.index(c) for c in out])

    def _product(
        self, left: str, one: Value, right: str, two: Value, later: set[str]
    ) -> tuple[str, Value]:
        """Multiply as matrices: axes shared and kept, shared and summed, and each one's own."""
        lengths = dict(zip(left, one.shape, strict=True)) | dict(zip(right, two.shape, strict=True))
        kept = [c for c in left if c in right and c in later]
        summed = [c for c in left if c in right and c not in later]
        own_left = [c for c in left if c not in right]
        own_right = [c for c in right if c not in left]
        first = self._grouped(one, left, lengths, [kept, own_left, summed])
        second = self._grouped(two, right, lengths, [kept, summed, own_right])
        order = kept + own_left + own_right
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
            tokens, row = self.tensor(tokens, self.inputs[0]), rows.shape[1]
            dropping = layers.EmbeddingDropout(name=self.scope, table=rows, rate=rate)
            return self.single(dropping, tokens, (*tokens.row, row))
        if isinstance(tokens, Spread):
            return Spread(rows[tokens.value.astype(np.int64)], tokens.at)
        if not isinstance(tokens, Tensor):
            return np.asarray(rows[tokens.astype(np.int64)])
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
        """Scaled dot-product attention, of (..., places, features)."""
        width = query.shape[-1]
        if not isinstance(width, int):
            raise UnsupportedError(f"attention over {width} features")
        swapped = [*range(key.ndim - 2), key.ndim - 1, key.ndim - 2]
        factor = 1 / math.sqrt(width) if scale is None else scale
        query = self.elementwise("multiply", query, factor)
        scores = self.matmul(query, self.permute(key, swapped))
        if causal:
            steps = scores.shape[-2:]
            if all(isinstance(n, int) for n in steps):
                mask = np.tri(*steps, dtype=bool)
            else:
                own, others = (
                    np.arange(n)[np.newaxis] if isinstance(n, int) else self.positions(n)
                    for n in steps
                )
                mask = self.elementwise(
                    "greater_equal", self.unsqueeze(own, 2), self.unsqueeze(others, 1)
                )
                for _ in range(scores.ndim - mask.ndim):
                    mask = self.unsqueeze(mask, 1)
            boolean = True
        if mask is not None:
            if boolean:
                scores = self.elementwise("where", mask, scores, -math.inf)
            else:
                scores = self.elementwise("add", scores, mask)
        weights = self.activation(scores, "softmax", -1)
        if rate:
            weights = self.dropout(weights, rate)
        return self.matmul(weights, value)

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
        value = self._with_rows(value)
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
        mask = None if lengths is None else self._mask(single.row[-2], lengths)
        finals: list[list[Tensor]] = []
        for level, directions in enumerate(cells):
            if level and rate is not None:
                name = self.scope
                self.scope = f"{name}.dropout"
                dropped = self.dropout(single, rate)
                self.scope = name
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
            self._last[output.name] = (len(output.row) - 2, finals[-1][0])
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

    def _mask(self, steps: Length, lengths: Value) -> Tensor:
        """Return (batch, steps): 1 for each step that a row has, else 0."""
        if not isinstance(lengths, Tensor) or lengths.ndim != 1:
            raise UnsupportedError("lengths of sequences that are no input")
        numbers: Value = np.arange(steps) if isinstance(steps, int) else self.positions(steps)
        found = self.elementwise("less", numbers, self.unsqueeze(lengths, 1))
        assert isinstance(found, Tensor)
        return found

    def padded(self, value: Value, lengths: Value) -> Value:
        """Return (batch, steps, ...) with zeros behind each row's length."""
        if not isinstance(value, Tensor) or value.name in self._zeros_behind:
            return value
        mask: Value = self._mask(value.row[0], lengths)
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

    # ---- windows ----

    def _channels_last(self, value: Value, axes: int, what: str) -> Tensor:
        """Return (batch, channels, ...) with channels last, the batch in front."""
        if not isinstance(value, Tensor) or value.ndim != axes + 2:
            raise UnsupportedError(f"{what} over a tensor of {value.ndim} axes")
        if value.at != 0:
            raise BatchAxisError(f"it takes the batch on axis 0, and finds it on {value.at}")
        moved = self.permute(value, [0, *range(2, axes + 2), 1])
        assert isinstance(moved, Tensor)
        return moved

    def _channels_first(self, tensor: Tensor) -> Value:
        return self.permute(tensor, [0, tensor.ndim - 1, *range(1, tensor.ndim - 1)])

    def convolution(
        self,
        value: Value,
        weight: Value,
        bias: Value | None,
        *,
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int],
        groups: int = 1,
    ) -> Value:
        """Convolve (batch, channels, ...) with (filters, channels of a group, sizes ...)."""
        kernel = as_array(weight)
        axes = kernel.ndim - 2
        if axes not in (1, 2):
            raise UnsupportedError(f"a convolution over {axes} axes")
        tensor = self._channels_last(value, axes, "a convolution")
        sizes = kernel.shape[2:]
        tensor = self._padded(tensor, padding, 0.0)
        row = tensor.row[tensor.merged :]
        counts = [
            _windows(n, size, stride, step)
            for n, size, stride, step in zip(row[:-1], sizes, strides, dilation, strict=True)
        ]
        kind = layers.Conv1D if axes == 1 else layers.Conv2D
        layer = kind(
            name=self.scope,
            **_with_channels_last(kernel, bias),
            strides=tuple(strides),
            dilation_rate=tuple(dilation),
            groups=groups,
        )
        leading = tensor.row[: tensor.merged]
        made = self.single(
            self.each(layer, tensor.merged), tensor, (*leading, *counts, len(kernel))
        )
        return self._channels_first(made)

    def transposed_convolution(
        self,
        value: Value,
        weight: Value,
        bias: Value | None,
        *,
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        dilation: Sequence[int],
        groups: int = 1,
    ) -> Value:
        """Lay (batch, channels, ...) over windows (channels, filters of a group, sizes ...).

        Padding is what is taken off what they cover; what is negative is put there instead.
        """
        kernel = as_array(weight)
        axes = kernel.ndim - 2
        if axes not in (1, 2):
            raise UnsupportedError(f"a transposed convolution over {axes} axes")
        tensor = self._channels_last(value, axes, "a transposed convolution")
        if min(before for before, _ in padding) < 0:
            raise UnsupportedError("places put before those of a transposed convolution")
        kind = layers.Conv1DTranspose if axes == 1 else layers.Conv2DTranspose
        layer = kind(
            name=self.scope,
            **_with_channels_last(kernel, bias),
            strides=tuple(strides),
            output_padding=tuple(max(0, -behind) for _, behind in padding),
            dilation_rate=tuple(dilation),
            groups=groups,
        )
        lengths: list[Length] = []
        windows = zip(kernel.shape[2:], strides, dilation, padding, strict=True)
        for n, (size, stride, step, (_, behind)) in zip(
            tensor.row[tensor.merged : -1], windows, strict=True
        ):
            lengths.append((n - 1) * stride + (size - 1) * step + 1 + max(0, -behind))
        leading = tensor.row[: tensor.merged]
        made: Value = self.single(
            self.each(layer, tensor.merged), tensor, (*leading, *lengths, layer.filters)
        )
        for axis, (before, behind) in enumerate(padding, 1):
            length = made.shape[axis]
            if isinstance(length, int) and length <= before + max(behind, 0):
                raise UnsupportedError(f"padding of {before} and {behind} of {length} places")
            made = self.slice(made, axis, before, -behind if behind > 0 else None)
        assert isinstance(made, Tensor)
        return self._channels_first(made)

    def pool(
        self,
        value: Value,
        kind: str,
        sizes: Sequence[int],
        strides: Sequence[int],
        padding: Sequence[tuple[int, int]],
        *,
        dilation: Sequence[int] | None = None,
        ceil: bool = False,
        count_padding: bool = True,
    ) -> Value:
        """Take the "max" or the "mean" of windows of (batch, channels, ...).

        Places of windows whose largest number is taken may be `dilation` apart.
        """
        axes = len(sizes)
        gaps = tuple(dilation or (1,) * axes)
        if kind == "mean" and max(gaps) > 1:
            raise UnsupportedError("means of windows with gaps (dilation)")
        if axes not in (1, 2):
            raise UnsupportedError(f"pooling over {axes} axes")
        tensor = self._channels_last(value, axes, "pooling")
        pairs = [(a, b) for a, b in padding]
        if ceil:
            lengths = tensor.row[tensor.merged : -1]
            extents = [(n - 1) * gap + 1 for n, gap in zip(sizes, gaps, strict=True)]
            pairs = [
                _for_ceil(*item) for item in zip(lengths, extents, strides, padding, strict=True)
            ]
        share = None
        if kind == "mean" and (pairs != [*map(tuple, padding)] or not count_padding):
            lengths = tensor.row[tensor.merged : -1]
            share = _counted_shares(lengths, sizes, strides, padding, pairs, count_padding)
        tensor = self._padded(tensor, pairs, -math.inf if kind == "max" else 0.0)
        row = tensor.row[tensor.merged :]
        counts = [
            _windows(n, size, stride, gap)
            for n, size, stride, gap in zip(row[:-1], sizes, strides, gaps, strict=True)
        ]
        pooling: Any = {
            ("max", 1): layers.MaxPooling1D,
            ("max", 2): layers.MaxPooling2D,
            ("mean", 1): layers.AveragePooling1D,
            ("mean", 2): layers.AveragePooling2D,
        }[kind, axes]
        options = {"dilation_rate": gaps} if kind == "max" else {}
        layer = pooling(name=self.scope, pool_size=tuple(sizes), strides=tuple(strides), **options)
        leading = tensor.row[: tensor.merged]
        made = self.single(self.each(layer, tensor.merged), tensor, (*leading, *counts, row[-1]))
        found = self._channels_first(made)
        return found if share is None else self.elementwise("divide", found, share)

    def adaptive_pool(self, value: Value, kind: str, sizes: Sequence[int | None]) -> Value:
        """Make so many windows, of equal size, of each of the last axes."""
        if not isinstance(value, Tensor):
            raise UnsupportedError("pooling of a constant")
        lengths = value.shape[-len(sizes) :]
        if all(size == 1 for size in sizes):
            axes = list(range(-len(sizes), 0))
            return self.reduce("mean" if kind == "mean" else "max", value, axes, keepdims=True)
        widths = []
        for axis, (size, length) in enumerate(zip(sizes, lengths, strict=True), -len(sizes)):
            if size is None or size == length:
                part = 1
            elif isinstance(length, int) and length % size == 0:
                part = length // size
            else:
                return self._unequal(value, kind, axis, size, sizes)
            widths.append(part)
        return self.pool(value, kind, widths, widths, [(0, 0)] * len(widths))

    def _unequal(
        self, value: Tensor, kind: str, axis: int, size: int, sizes: Sequence[int | None]
    ) -> Value:
        """Make windows of unequal size along one axis, and then those along the others."""
        length = value.shape[axis]
        if not isinstance(length, int):
            raise UnsupportedError(f"{size} windows of unequal size of {length} places")
        parts = []
        for i in range(size):
            start, stop = i * length // size, -(-(i + 1) * length // size)
            part = self.slice(value, axis, start, stop)
            parts.append(self.reduce("mean" if kind == "mean" else "max", part, [axis], True))
        rest = [None if i - len(sizes) == axis else n for i, n in enumerate(sizes)]
        made = self.concatenate(parts, axis)
        return made if all(n is None for n in rest) else self.adaptive_pool(made, kind, rest)

    def pad(self, value: Value, widths: Sequence[tuple[int, int]], number: float) -> Value:
        """Put a number before and behind on the last axes."""
        if not isinstance(value, Tensor):
            every = [(0, 0)] * (value.ndim - len(widths)) + [*widths]
            if isinstance(value, Spread):
                raise UnsupportedError("padding of a constant along the batch")
            return np.pad(value, every, constant_values=number)
        every = [(0, 0)] * (value.ndim - len(widths)) + [*widths]
        if every[value.at] != (0, 0):
            raise UnsupportedError("rows put to the batch")
        pairs = [(0, 0)] * len(value.row)
        for axis, pair in enumerate(every):
            if axis != value.at:
                pairs[value.axis(axis)] = pair
        for axis, (before, behind) in enumerate(every):
            if min(before, behind) < 0:
                found = self.slice(value, axis, max(-before, 0), min(behind, 0) or None)
                assert isinstance(found, Tensor)
                value = found
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
        return self._put_around(value, pairs, number)

    def interpolate(self, value: Value, axis: int, *, scale: float | None, **options: Any) -> Value:
        """Take numbers between places along an axis: `scale` times as many, or so many (size)."""
        axis, length = counted(axis, value.ndim), value.shape[axis]
        if not isinstance(value, Tensor) or axis == value.at:
            raise UnsupportedError("a constant or rows of a batch are interpolated")
        size = options.get("size")
        if scale is None:
            found: Any = size
        elif isinstance(length, int):
            found = math.floor(length * scale)
        else:
            found = length * int(scale) if scale == int(scale) else None
        if not isinstance(found, int) and (scale is None or found is None):
            raise UnsupportedError(f"{length} places interpolated at {scale or size} times as many")
        at = value.axis(axis)
        layer = layers.Interpolate(name=self.scope, axis=at, scale=scale, **options)
        (name,) = self.call(layer, [value.name], [value.row])
        return self._known(
            replace(value, name=name, row=(*value.row[:at], found, *value.row[at + 1 :]))
        )

    def pad_again(self, value: Value, widths: Sequence[tuple[int, int]], mode: str) -> Value:
        """Put what is there before and behind on the last axes, as `numpy.pad` does.

        mode : {"reflect", "edge", "wrap"}
        """
        every = [(0, 0)] * (value.ndim - len(widths)) + [*widths]
        if min(map(min, every)) < 0:
            raise UnsupportedError("padding of a negative width")
        for axis, pair in enumerate(every):
            length = value.shape[axis]
            least = {"reflect": max(pair) + 1, "edge": 1, "wrap": max(pair)}[mode]
            if any(pair) and isinstance(length, int) and length < least:
                raise UnsupportedError(f"{length} places padded by {max(pair)} ({mode})")
        if isinstance(value, (Tensor, Spread)) and any(every[value.at]):
            raise UnsupportedError("rows put to the batch")
        if isinstance(value, Spread):
            inside = [pair for axis, pair in enumerate(every) if axis != value.at]
            return Spread(np.pad(value.value, inside, mode=mode), value.at)  # type: ignore[call-overload]
        if not isinstance(value, Tensor):
            return np.asarray(np.pad(value, every, mode=mode))  # type: ignore[call-overload]
        for axis, (before, behind) in enumerate(every):
            parts: list[Value] = [value]
            if before:
                parts.insert(0, self._edge(value, axis, before, mode, behind=False))
            if behind:
                parts.append(self._edge(value, axis, behind, mode, behind=True))
            value = self.concatenate(parts, axis)
            assert isinstance(value, Tensor)
        return value

    def _edge(self, value: Tensor, axis: int, width: int, mode: str, *, behind: bool) -> Value:
        """Return what is put to one end of an axis, made of what is there."""
        if mode == "edge":
            times = [width if i == axis else -1 for i in range(value.ndim)]
            return self.expand(self._place(value, axis, -1 if behind else 0), times)
        if mode == "reflect":
            start, stop = (-width - 1, -1) if behind else (1, width + 1)
        else:
            start, stop = (0, width) if behind else (-width, 0)
        # The farthest place by itself, which must be there however short an open axis is.
        far = self._place(value, axis, start if start < 0 else stop - 1)
        parts = [far]
        if width > 1 and start < 0:
            parts.append(self.slice(value, axis, start + 1, stop or None))
        elif width > 1:
            parts.insert(0, self.slice(value, axis, start, stop - 1))
        part = self.concatenate(parts, axis)
        assert isinstance(part, Tensor)
        at = part.axis(axis)
        part = replace(part, row=(*part.row[:at], width, *part.row[at + 1 :]))
        return part if mode == "wrap" else self.slice(part, axis, None, None, -1)

    def _place(self, value: Tensor, axis: int, index: int) -> Value:
        """Return one place along an axis, which stays."""
        return self.unsqueeze(self.select(value, axis, index), axis)

    def _padded(self, tensor: Tensor, widths: Sequence[tuple[int, int]], number: float) -> Tensor:
        """Put a number around the axes between batch and channels."""
        pairs = [(0, 0)] * tensor.merged + [(a, b) for a, b in widths] + [(0, 0)]
        return self._put_around(tensor, pairs, number)

    def _put_around(
        self, tensor: Tensor, pairs: Sequence[tuple[int, int]], number: float
    ) -> Tensor:
        if not any(map(any, pairs)):
            return tensor
        row = [n + a + b for n, (a, b) in zip(tensor.row, pairs, strict=True)]
        layer = layers.Pad(name=self.scope, widths=tuple(pairs), value=number)
        return self.single(layer, tensor, row)

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

        One of the numbers may be `RowNumbers`, for the batch, and one a tensor of a number a row.
        """
        if isinstance(value, Tensor) and not value.merged and value.at < len(numbers):
            own = numbers[value.at]
            others = [i for i, n in enumerate(numbers) if n is not None and i != value.at]
            counted = isinstance(own, RowNumbers) and own.ndim == 1
            if counted and len(others) == 1:
                axis, number = others[0], numbers[others[0]]
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


def around(
    padding: str | int | Sequence[int], sizes: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return what PyTorch's convolutions put on both sides: as told, "same" or "valid"."""
    if padding == "same":
        lacking = [d * (n - 1) for d, n in zip(dilation, sizes, strict=True)]
        return [(n // 2, n - n // 2) for n in lacking]
    told: Any = 0 if padding == "valid" else padding
    return [(n, n) for n in for_each(told, len(sizes))]


def for_each(value: int | Sequence[int], axes: int) -> list[int]:
    """Return a number for each axis: one for all, or one by one."""
    given = [value] if isinstance(value, int) else [int(n) for n in value]
    return given * axes if len(given) == 1 else given


def _with_channels_last(kernel: Array, bias: Value | None) -> dict[str, Any]:
    """Return weights of windows (a, b, sizes ...) as layers take them, (sizes ..., b, a)."""
    return {
        "kernel": np.ascontiguousarray(np.moveaxis(kernel, (1, 0), (-2, -1)), np.float32),
        "bias": None if bias is None else np.asarray(as_array(bias), np.float32),
    }


def _windows(length: Length, size: int, stride: int, dilation: int) -> Length:
    """Return how many windows there are on an axis."""
    extent = (size - 1) * dilation + 1
    if isinstance(length, int) and length < extent:
        raise UnsupportedError(f"windows of {extent} places on an axis of {length}")
    return (length - extent) // stride + 1


def _counted_shares(
    lengths: Sequence[Length],
    sizes: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    pairs: Sequence[tuple[int, int]],
    count_padding: bool,
) -> Array | None:
    """Return which part of each window counts in its mean; None where all of all do.

    What is padded counts or not, and what is behind it, of windows that are cut off, never does.
    """
    found = np.ones((1,) * len(sizes))
    for axis, (length, size, stride) in enumerate(zip(lengths, sizes, strides, strict=True)):
        before, behind = padding[axis]
        if pairs[axis] == (0, 0):
            continue
        if not isinstance(length, int):
            raise UnsupportedError("means that leave padding out, of an open length")
        counts = np.ones(length + sum(pairs[axis]))
        stop = before + length + behind * count_padding
        counts[stop:] = 0
        counts[: 0 if count_padding else before] = 0
        shares = np.lib.stride_tricks.sliding_window_view(counts, size)[::stride].mean(-1)
        found = found * shares.reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return None if (found == 1).all() else found.astype(np.float32)


def _for_ceil(length: Length, size: int, stride: int, padding: tuple[int, int]) -> tuple[int, int]:
    """Return the padding with which windows that begin within the axis are whole."""
    before, behind = padding
    if not isinstance(length, int):
        if (size, stride) == (1, 1):
            return before, behind
        raise UnsupportedError("windows that are cut off (ceil_mode) of an open length")
    whole = length + before + behind
    count = -(-(whole - size) // stride) + 1
    if (count - 1) * stride >= length + before:
        count -= 1
    return before, behind + max(0, (count - 1) * stride + size - whole)

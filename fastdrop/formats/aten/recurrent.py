"""Recurrent layers and their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fastdrop.formats._networks import Cell, Networks
from fastdrop.formats._values import Tensor, UnsupportedError, Value, as_array
from fastdrop.formats.aten._rows import Arguments, Row, row
from fastdrop.formats.aten.random import DroppedWeights


@dataclass(frozen=True)
class Packed:
    """A sequence (batch, steps, features) and how many steps each row has."""

    value: Tensor
    lengths: Value


@row("packed")
def _packed(b: Networks, a: Arguments) -> Any:
    return Packed(a.x, a.lengths)


@row("padded")
def _padded(b: Networks, a: Arguments) -> Any:
    return b.padded(a.x, a.lengths)


def cells(
    b: Networks,
    kind: str,
    params: Sequence[Value],
    *,
    layers: int,
    bidirectional: bool,
    biases: bool,
    projected: bool = False,
    activation: str = "tanh",
) -> list[list[Cell]]:
    """Return the cells of PyTorch's flat list of weights, the same for the same."""
    arrays = [np.asarray(as_array(p), np.float32) for p in params]
    each = 2 + 2 * biases + projected
    directions = 1 + bidirectional
    if len(arrays) != each * directions * layers:
        raise UnsupportedError(f"{len(arrays)} weights of {layers} recurrent layers")
    made = []
    for i in range(0, len(arrays), each):
        own = arrays[i : i + each]
        bias = own[2:4] if biases else [None, None]
        hr = own[-1] if projected else None
        weights = (own[0], own[1], bias[0], bias[1], hr)
        make = partial(Cell.of_torch, kind, *weights, activation)
        made.append(b.kept(weights, (kind, activation), make))
    return [made[i : i + directions] for i in range(0, len(made), directions)]


def _some_dropped(params: Sequence[Any], size: int) -> tuple[list[Any], list[float]]:
    """Return weights as they are, and the rates of recurrent ones, the second of each `size`."""
    weights, rates = [*params], [0.0] * (len(params) // size)
    for place, given in enumerate(params):
        if isinstance(given, DroppedWeights):
            if place % size != 1 or given.noise != given.shape:
                raise UnsupportedError("weights are dropped, but recurrent ones, one by one")
            weights[place], rates[place // size] = given.of_layer()
    return weights, rates


def _recurrent(kind: str, activation: str = "tanh") -> Row:
    def run(b: Networks, a: Arguments) -> Any:
        states = a.hx if kind == "lstm" else [a.hx]
        projected = kind == "lstm" and len(a.params) == (3 + 2 * a.has_biases) * a.num_layers * (
            1 + a.bidirectional
        )
        weights, rates = _some_dropped(a.params, 2 + 2 * a.has_biases + projected)
        stack = cells(
            b,
            kind,
            weights,
            layers=a.num_layers,
            bidirectional=a.bidirectional,
            biases=a.has_biases,
            projected=projected,
            activation=activation,
        )
        if any(rates):
            if projected:
                raise UnsupportedError("weights are dropped of an LSTM whose output is projected")
            drop = iter(rates)
            stack = [
                [replace(c, options=(*c.options, ("weight_dropout", next(drop)))) for c in layer]
                for layer in stack
            ]
        packed = isinstance(a.input, Packed)
        output, final = b.recurrent(
            a.input.value if packed else a.input,
            stack,
            states,
            batch_first=a.batch_first,
            rate=float(a.dropout),
            lengths=a.input.lengths if packed else None,
        )
        return (output, *final)

    return run


def _cell(kind: str, activation: str = "tanh") -> Row:
    def run(b: Networks, a: Arguments) -> Any:
        states = a.hx if kind == "lstm" else [a.hx]
        weights = [a.w_ih, a.w_hh] + ([] if a.b_ih is None else [a.b_ih, a.b_hh])
        (((cell,),)) = cells(
            b,
            kind,
            weights,
            layers=1,
            bidirectional=False,
            biases=a.b_ih is not None,
            activation=activation,
        )
        found = b.cell_step(a.input, cell, states)
        return tuple(found) if kind == "lstm" else found[0]

    return run


for _name, _kind, _how in (
    ("lstm", "lstm", "tanh"),
    ("gru", "gru", "tanh"),
    ("rnn_tanh", "rnn", "tanh"),
    ("rnn_relu", "rnn", "relu"),
):
    row(f"{_name}.input")(_recurrent(_kind, _how))
    row(f"{_name}_cell")(_cell(_kind, _how))

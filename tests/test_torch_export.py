"""`fastdrop.torch.from_torch` against PyTorch itself: generated modules and whole ones.

A module is exported with two rows and compared with three, so that no number of rows, nor of time
steps where those stay open, is that of the example.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import random as RANDOM  # noqa: N812 - by a name of its own, as some import it
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

import fastdrop as fd  # noqa: E402
from fastdrop import torch as ours  # noqa: E402
from fastdrop.formats import ModelFormatError  # noqa: E402
from fastdrop.formats import torch as description  # noqa: E402
from fastdrop.formats.aten import OWN, ROWS  # noqa: E402
from fastdrop.torch import from_torch  # noqa: E402
from fastdrop.torch._conversion import Conversion  # noqa: E402
from torch_models import MODELS  # noqa: E402

pytestmark = pytest.mark.live

TOLERANCE = 1e-5
torch.set_num_threads(1)  # the tests themselves run side by side


@dataclass(frozen=True)
class Case:
    """A module, and how to make inputs for it of so many rows and time steps."""

    make: Callable[[], nn.Module]
    inputs: Callable[[int, int], tuple[torch.Tensor, ...]]
    in_axes: Sequence[int] = ()
    out_axes: Sequence[int] = ()
    steps: int | None = None  # fixed: another number of them does not fit the module


class Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


class With(nn.Module):
    """A module called by a function, which gets it first."""

    def __init__(self, module: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(self.module, *inputs)


def sequence(features: int = 3, *, first: bool = True) -> Any:
    """Make sequences (rows, steps, features), or steps first."""

    def make(rows: int, steps: int) -> tuple[torch.Tensor, ...]:
        shape = (rows, steps, features) if first else (steps, rows, features)
        return (torch.randn(shape),)

    return make


def fixed(*shape: int) -> Any:
    return lambda rows, steps: (torch.randn(rows, *shape),)


def tokens(count: int = 11) -> Any:
    return lambda rows, steps: (torch.randint(0, count, (rows, steps)),)


CASES: dict[str, Case] = {}


def add(name: str, *args: Any, **options: Any) -> None:
    assert name not in CASES, name
    CASES[name] = Case(*args, **options)


# ---- recurrent modules ----

KINDS: dict[str, Callable[..., nn.Module]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
}


def _taken(first: bool, how: str) -> Callable[..., Any]:
    """Return what is taken of a recurrent module's results."""

    def run(module: nn.Module, x: torch.Tensor) -> Any:
        y, state = module(x)
        h = state[0] if isinstance(state, tuple) else state
        if how == "sequence":
            return y
        if how == "last":
            return y[:, -1] if first else y[-1]
        if how == "states":
            return torch.cat(list(h), dim=-1)
        return y, h[-1], *(state[1:] if isinstance(state, tuple) else ())

    return run


TAKEN = itertools.cycle(("sequence", "last", "states", "all"))
for _kind, _layers, _both, _first, _bias in itertools.product(
    KINDS, (1, 2, 3), (False, True), (True, False), (True, False)
):
    _how = next(TAKEN)
    _out = {"sequence": [1 - _first], "last": [0], "states": [0], "all": [1 - _first, 0, 1]}[_how]
    add(
        f"{_kind}-{_layers}-{'both' if _both else 'one'}-{'batch' if _first else 'time'}"
        f"-{'bias' if _bias else 'plain'}-{_how}",
        lambda k=_kind, n=_layers, d=_both, f=_first, b=_bias, t=_how: With(
            KINDS[k](3, 5, n, bidirectional=d, batch_first=f, bias=b, dropout=0.2 * (n > 1)),
            _taken(f, t),
        ),
        sequence(first=_first),
        in_axes=[1 - _first],
        out_axes=_out[: 2 if _how == "all" and _kind != "lstm" else 3],
    )
for _layers, _both, _first in itertools.product((1, 2), (False, True), (True, False)):
    add(
        f"projected-{_layers}-{'both' if _both else 'one'}-{'batch' if _first else 'time'}",
        lambda n=_layers, d=_both, f=_first: With(
            nn.LSTM(3, 5, n, bidirectional=d, batch_first=f, proj_size=2), _taken(f, "all")
        ),
        sequence(first=_first),
        in_axes=[1 - _first],
        out_axes=[1 - _first, 0, 1],
    )


class Started(nn.Module):
    """A recurrent module from states of its own or from the caller's."""

    def __init__(self, kind: str, given: bool, projected: bool = False) -> None:
        super().__init__()
        options = {"proj_size": 2} if projected else {}
        self.rnn = KINDS[kind](3, 5, 2, batch_first=True, **options)
        self.kind, self.given = kind, given
        width = 2 if projected else 5
        self.start = nn.Parameter(torch.randn(2, 1, width))
        self.cell = nn.Parameter(torch.randn(2, 1, 5))

    def forward(self, x: Any, h: Any = None, c: Any = None) -> Any:
        if not self.given:
            h = self.start.expand(-1, x.size(0), -1).contiguous()
            c = self.cell.expand(-1, x.size(0), -1).contiguous()
        y, _ = self.rnn(x, (h, c) if self.kind == "lstm" else h)
        return y


for _kind in KINDS:
    add(f"learned-state-{_kind}", lambda k=_kind: Started(k, given=False), sequence())
    _count = 3 if _kind == "lstm" else 2
    add(
        f"given-state-{_kind}",
        lambda k=_kind: Started(k, given=True),
        lambda rows, steps, n=_count: (
            torch.randn(rows, steps, 3),
            *(torch.randn(2, rows, 5) for _ in range(n - 1)),
        ),
        in_axes=[0, 1, 1][:_count],
    )
add("learned-state-projected", lambda: Started("lstm", False, True), sequence())


class Loop(nn.Module):
    """A cell in a loop of the user's."""

    def __init__(self, cell: nn.Module, pair: bool) -> None:
        super().__init__()
        self.cell, self.pair = cell, pair
        self.head = nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        h = torch.zeros(x.size(0), 5)
        c = torch.zeros(x.size(0), 5)
        found = []
        for step in x.unbind(1):
            if self.pair:
                h, c = self.cell(step, (h, c))
            else:
                h = self.cell(step, h)
            found.append(self.head(h))
        return torch.stack(found, 1)


for _name, _cell, _bias in itertools.product(
    ("lstm", "gru", "tanh", "relu"), (None,), (True, False)
):
    add(
        f"cell-{_name}-{'bias' if _bias else 'plain'}",
        lambda n=_name, b=_bias: Loop(
            {
                "lstm": lambda: nn.LSTMCell(3, 5, bias=b),
                "gru": lambda: nn.GRUCell(3, 5, bias=b),
                "tanh": lambda: nn.RNNCell(3, 5, bias=b),
                "relu": lambda: nn.RNNCell(3, 5, bias=b, nonlinearity="relu"),
            }[n](),
            n == "lstm",
        ),
        sequence(),
        steps=4,
    )


class Packs(nn.Module):
    """Packed sequences: the lengths come with the input."""

    def __init__(self, kind: str, layers: int, both: bool, first: bool, in_order: bool) -> None:
        super().__init__()
        self.rnn = KINDS[kind](3, 5, layers, batch_first=first, bidirectional=both)
        self.first, self.in_order = first, in_order

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=self.first, enforce_sorted=self.in_order
        )
        y, state = self.rnn(packed)
        y, back = nn.utils.rnn.pad_packed_sequence(y, batch_first=self.first)
        h = state[0] if isinstance(state, tuple) else state
        return y, h[-1], back


def _with_lengths(first: bool, in_order: bool) -> Any:
    def make(rows: int, steps: int) -> tuple[torch.Tensor, ...]:
        lengths = torch.tensor([steps, *torch.randint(1, steps, (rows - 1,)).tolist()])
        lengths = lengths.sort(descending=True).values if in_order else lengths.flip(0)
        shape = (rows, steps, 3) if first else (steps, rows, 3)
        return torch.randn(shape), lengths

    return make


for _kind, _layers, _both, _first, _order in itertools.product(
    ("lstm", "gru", "rnn"), (1, 2), (False, True), (True, False), (True, False)
):
    add(
        f"packed-{_kind}-{_layers}-{'both' if _both else 'one'}-{'batch' if _first else 'time'}"
        f"-{'sorted' if _order else 'any'}",
        lambda k=_kind, n=_layers, d=_both, f=_first, o=_order: Packs(k, n, d, f, o),
        _with_lengths(_first, _order),
        in_axes=[1 - _first, 0],
        out_axes=[1 - _first, 0, 0],
    )


class Document(nn.Module):
    """Sentences of words: a recurrent layer over the words of all sentences of all rows."""

    def __init__(self, take: str) -> None:
        super().__init__()
        self.take = take
        self.words = nn.Embedding(11, 4)
        self.inner = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        self.outer = nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Any, lengths: Any) -> Any:
        rows, sentences, steps = x.shape
        n = lengths.reshape(rows * sentences)
        y = self.words(x).view(rows * sentences, steps, -1)
        if self.take == "in an order of mine":
            n, order = n.sort(descending=True)
            packed, y = self.inner(pack_padded_sequence(y[order], n, True))
            y = pad_packed_sequence(packed, batch_first=True)[0][order.argsort()].sum(1)
        else:
            start = None
            if self.take == "from states":
                start = (y.new_ones(2, len(n), 3), y.new_zeros(2, len(n), 3))
            packed = pack_padded_sequence(y, n, batch_first=True, enforce_sorted=False)
            packed, (h, c) = self.inner(packed, start)
            y = {"cells": c, "from states": h}.get(self.take, h).transpose(0, 1).reshape(len(n), 6)
        if self.take == "all steps":
            y = pad_packed_sequence(packed, batch_first=True, padding_value=-2.0)[0].amax(1)
        if self.take == "a mean":
            y, back = pad_packed_sequence(packed, batch_first=True, total_length=steps)
            y = y.sum(1) / back.unsqueeze(1)
        if self.take == "attention":
            y, _ = pad_packed_sequence(packed, batch_first=True, total_length=steps)
            behind = torch.arange(steps) >= n[:, None]
            y = (torch.softmax(y.sum(-1).masked_fill(behind, -1e9), 1)[..., None] * y).sum(1)
        return self.outer(y.view(rows, sentences, 6))[0]


def _sentences(rows: int, steps: int) -> tuple[torch.Tensor, ...]:
    lengths = torch.randint(1, steps + 1, (rows, steps - 1))
    lengths[0, 0] = steps
    return torch.randint(0, 11, (rows, steps - 1, steps)), lengths


for _take in ("states", "cells", "from states", "all steps", "a mean", "attention"):
    add(f"packed-sentences-{_take}", lambda t=_take: Document(t), _sentences)
add("packed-sentences-sorted", lambda: Document("in an order of mine"), _sentences)


# ---- windows ----

for _size, _stride, _padding, _dilation, _groups, _bias in (
    (3, 1, 0, 1, 1, True),
    (3, 1, 1, 1, 1, True),
    (3, 2, 1, 1, 1, False),
    (2, 1, "same", 1, 1, True),
    (4, 1, "same", 2, 1, True),
    (3, 1, "valid", 1, 1, True),
    (3, 1, 2, 2, 1, True),
    (1, 1, 0, 1, 1, True),
    (3, 1, 1, 1, 2, True),
    (5, 3, 4, 1, 4, True),
):
    add(
        f"conv1d-{_size}-{_stride}-{_padding}-{_dilation}-{_groups}",
        lambda a=_size, s=_stride, p=_padding, d=_dilation, g=_groups, b=_bias: nn.Conv1d(
            4, 8, a, s, p, d, g, bias=b
        ),
        lambda rows, steps: (torch.randn(rows, 4, steps + 8),),
    )
    add(
        f"conv2d-{_size}-{_stride}-{_padding}-{_dilation}-{_groups}",
        lambda a=_size, s=_stride, p=_padding, d=_dilation, g=_groups, b=_bias: nn.Conv2d(
            4, 8, (a, 2), s, p, d, g, bias=b
        ),
        fixed(4, 13, 9),
    )
for _size, _stride, _padding, _more, _dilation, _groups, _bias in (
    (3, 1, 0, 0, 1, 1, True),
    (4, 2, 1, 0, 1, 1, False),
    (3, 2, 1, 1, 1, 2, True),
    (2, 3, 1, 2, 1, 4, True),
    (3, 2, 2, 1, 2, 1, True),
):
    _id = f"{_size}-{_stride}-{_padding}-{_more}-{_dilation}-{_groups}"
    add(
        f"convtranspose1d-{_id}",
        lambda a=_size, s=_stride, p=_padding, m=_more, d=_dilation, g=_groups, b=_bias: (
            nn.ConvTranspose1d(4, 8, a, s, p, m, g, bias=b, dilation=d)
        ),
        lambda rows, steps: (torch.randn(rows, 4, steps + 2),),
    )
    add(
        f"convtranspose2d-{_id}",
        lambda a=_size, s=_stride, p=_padding, m=_more, d=_dilation, g=_groups, b=_bias: (
            nn.ConvTranspose2d(4, 8, (a, 4), s, p, m, g, bias=b, dilation=d)
        ),
        fixed(4, 7, 5),
    )
for _size, _stride, _padding, _ceil in (
    (2, None, 0, False),
    (3, 1, 1, False),
    (3, 2, 1, False),
    (3, 2, 0, True),
    (2, 2, 1, True),
):
    _id = f"{_size}-{_stride}-{_padding}-{'ceil' if _ceil else 'floor'}"
    add(
        f"maxpool1d-{_id}",
        lambda a=_size, s=_stride, p=_padding, c=_ceil: nn.MaxPool1d(a, s, p, ceil_mode=c),
        fixed(4, 11),
    )
    add(
        f"maxpool2d-{_id}",
        lambda a=_size, s=_stride, p=_padding, c=_ceil: nn.MaxPool2d(a, s, p, ceil_mode=c),
        fixed(4, 11, 8),
    )
    if not _ceil:
        add(
            f"avgpool1d-{_id}",
            lambda a=_size, s=_stride, p=_padding: nn.AvgPool1d(a, s, p),
            lambda rows, steps: (torch.randn(rows, 4, steps + 4),),
        )
        add(
            f"avgpool2d-{_id}",
            lambda a=_size, s=_stride, p=_padding: nn.AvgPool2d(a, s, p),
            fixed(4, 11, 8),
        )
add(
    "maxpool1d-gaps",
    lambda: nn.MaxPool1d(3, 2, 1, dilation=2),
    lambda n, t: (torch.randn(n, 4, t + 4),),
)
add("maxpool1d-gaps-ceil", lambda: nn.MaxPool1d(3, 2, dilation=2, ceil_mode=True), fixed(4, 10))
add("maxpool2d-gaps", lambda: nn.MaxPool2d((3, 2), 2, 1, dilation=(2, 3)), fixed(4, 11, 8))
for _size in (1, 2, 5):
    add(f"adaptive-mean-{_size}", lambda n=_size: nn.AdaptiveAvgPool1d(n), fixed(4, 10))
    add(f"adaptive-max-{_size}", lambda n=_size: nn.AdaptiveMaxPool1d(n), fixed(4, 10))
for _size in (3, 12):
    add(f"adaptive-unequal-mean-{_size}", lambda n=_size: nn.AdaptiveAvgPool1d(n), fixed(4, 10))
    add(f"adaptive-unequal-max-{_size}", lambda n=_size: nn.AdaptiveMaxPool1d(n), fixed(4, 10))
for _ceil, _count in itertools.product((False, True), (False, True)):
    add(
        f"avgpool1d-{'ceil' if _ceil else 'floor'}-{'all' if _count else 'own'}",
        lambda c=_ceil, n=_count: nn.AvgPool1d(3, 2, 1, ceil_mode=c, count_include_pad=n),
        fixed(4, 8),
    )
    add(
        f"avgpool2d-{'ceil' if _ceil else 'floor'}-{'all' if _count else 'own'}",
        lambda c=_ceil, n=_count: nn.AvgPool2d((3, 2), 2, (1, 0), ceil_mode=c, count_include_pad=n),
        fixed(4, 8, 7),
    )
for _mode in ("reflect", "circular", "replicate"):
    add(
        f"conv1d-{_mode}",
        lambda m=_mode: nn.Conv1d(4, 6, 3, padding=2, padding_mode=m),
        lambda n, t: (torch.randn(n, 4, t),),
    )
    add(
        f"conv2d-{_mode}",
        lambda m=_mode: nn.Conv2d(4, 6, 3, padding=1, padding_mode=m),
        fixed(4, 7, 6),
    )
add("maxpool1d-open", lambda: nn.MaxPool1d(3, 2, 1), lambda n, t: (torch.randn(n, 4, t),))
add("adaptive-mean-2d-unequal", lambda: nn.AdaptiveAvgPool2d((3, 2)), fixed(4, 7, 6))
add("adaptive-mean-2d", lambda: nn.AdaptiveAvgPool2d((1, 1)), fixed(4, 6, 7))
add("adaptive-mean-open", lambda: nn.AdaptiveAvgPool1d(1), lambda n, t: (torch.randn(n, 4, t),))

# ---- normalization ----


def _norm(kind: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    module = kind(*args, **options)
    with torch.no_grad():
        for name, weight in (*module.named_parameters(), *module.named_buffers()):
            if weight.is_floating_point():
                weight.copy_(torch.rand_like(weight) + 0.5 * (name == "running_var"))
    return module


for _affine in (True, False):
    _id = "affine" if _affine else "plain"
    add(f"batchnorm-2-{_id}", lambda a=_affine: _norm(nn.BatchNorm1d, 4, affine=a), fixed(4))
    add(
        f"batchnorm-3-{_id}",
        lambda a=_affine: _norm(nn.BatchNorm1d, 4, affine=a),
        lambda n, t: (torch.randn(n, 4, t),),
    )
    add(f"batchnorm-4-{_id}", lambda a=_affine: _norm(nn.BatchNorm2d, 4, affine=a), fixed(4, 5, 6))
    add(
        f"layernorm-1-{_id}",
        lambda a=_affine: _norm(nn.LayerNorm, 4, elementwise_affine=a, eps=1e-3),
        sequence(4),
    )
    add(
        f"layernorm-2-{_id}",
        lambda a=_affine: _norm(nn.LayerNorm, (5, 4), elementwise_affine=a),
        fixed(5, 4),
    )
    add(
        f"rmsnorm-{_id}",
        lambda a=_affine: _norm(nn.RMSNorm, 4, elementwise_affine=a),
        sequence(4),
    )
for _affine in (True, False):
    _id = "affine" if _affine else "plain"
    add(
        f"groupnorm-{_id}",
        lambda a=_affine: _norm(nn.GroupNorm, 2, 4, affine=a),
        lambda n, t: (torch.randn(n, 4, t),),
    )
    add(
        f"instancenorm-{_id}",
        lambda a=_affine: _norm(nn.InstanceNorm1d, 4, affine=a),
        lambda n, t: (torch.randn(n, 4, t),),
    )
    add(
        f"instancenorm-running-{_id}",
        lambda a=_affine: _norm(nn.InstanceNorm2d, 4, affine=a, track_running_stats=True),
        fixed(4, 5, 6),
    )
add("groupnorm-flat", lambda: _norm(nn.GroupNorm, 3, 6), fixed(6))
add("bilinear", lambda: With(nn.Bilinear(3, 3, 4), lambda m, x: m(x, 2 * x)), sequence())
add(
    "weight-norm-of-all",
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4), dim=None),
    sequence(),
)
add(
    "weight-norm",
    lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 3)),
    lambda n, t: (torch.randn(n, 3, t),),
)
add("layernorm-without-shift", lambda: _norm(nn.LayerNorm, 4, bias=False), sequence(4))

# ---- activations ----

for _module in (
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2),
    nn.ELU(),
    nn.ELU(0.7),
    nn.SELU(),
    nn.CELU(1.5),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Softplus(),
    nn.Softplus(2.0),
    nn.Softsign(),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.Hardsigmoid(),
    nn.Hardswish(),
    nn.Hardtanh(-0.5, 0.7),
    nn.LogSigmoid(),
    nn.Tanhshrink(),
    nn.PReLU(),
    nn.GLU(),
    nn.Softmax(-1),
    nn.Softmax(1),
    nn.LogSoftmax(-1),
    nn.Identity(),
):
    add(f"activation-{_module!r}", lambda m=_module: m, fixed(5, 6))
add("activation-prelu-channels", lambda: nn.PReLU(5), fixed(5, 6))

# ---- functions ----


def _written(how: str) -> Callable[[Any], Any]:
    """Return a function that writes into a tensor or a part of it."""

    def run(x: Any) -> Any:
        a = x * 1
        if how == "part":
            a[:, 0] = 0
        elif how == "slice":
            a[:, :, 1:3] = a[:, :, 1:3] * 2
        elif how == "last":
            a[:, :, -1] = x[:, :, 0]
        elif how == "mask":
            a[a < 0] = 0
        elif how == "whole":
            a = torch.zeros(x.size(0), 3, dtype=torch.long)
            a[:, 0] = 3 * x[:, 0, 0]
        elif how == "truth":
            a = torch.zeros(x.size(0), 3, dtype=torch.bool)
            a[:, 0] = x[:, 0, 0]
        elif how == "twice":
            a.add_(1).mul_(2)
        elif how == "same":
            a.contiguous().add_(1)
        elif how == "filled":
            a = torch.zeros(x.size(0), 4, 6)
            for i in range(4):
                a[:, i] = x[:, i] * i
        elif how == "filled-and-read":
            a = torch.zeros(x.size(0), 4, 6)
            for i in range(1, 4):
                a[:, i] = a[:, i - 1] * 2 + x[:, i]
        elif how == "steps":
            a[..., ::2] = 2 * x[..., 3:]
        elif how == "numbers":
            a[:, :, [4, -1]] = x[..., :2]
        elif how == "one-number":
            a[:, :, torch.tensor([3, 0])] = 2.5
        elif how == "rows-and-numbers":
            a[torch.arange(x.size(0)), :, torch.tensor([1])] = 0.5
        elif how == "pairs":
            a = torch.zeros(x.size(0), 3, 4, 6)
            a[:, torch.tensor([[0], [2]]), [1, 3]] = x[:, :1, None].expand(-1, 2, 2, -1)
        elif how == "mask-of-steps":
            a[x[..., 0] > 0] = 1.5
        elif how == "along":
            a.scatter_(2, torch.tensor([[[5, 1]]]).expand(x.size(0), x.size(1), 2), x[..., 2:])
        elif how == "number-along":
            places = torch.full((x.size(0), x.size(1), 1), 4)
            a = a.scatter(2, places, 3.0)
        elif how == "copies":
            a = a.index_copy(2, torch.tensor([4, 0]), x[..., 1:3]).index_fill(2, torch.tensor(3), 7)
        elif how == "functional":
            a = torch.select_scatter(a, x[..., 0], 2, -1)
            a = torch.slice_scatter(a, x[..., :2], 2, 1, 5, 2)
        elif how == "other-views":
            part, copy, turned = a[:, :, :2], a.clone(), a.transpose(1, 2)
            a[:, :, 1] = 9
            a = torch.cat((part, copy, turned.transpose(1, 2)), -1)
        elif how == "through-views":
            a = torch.zeros(x.size(0), 2, 3)
            a.view(x.size(0), 6)[:, 4] = x[:, 0, 0]
            a.transpose(1, 2)[:, 2] = x[:, 0, 1:3]
            a.unsqueeze(1)[:, :, 0, 1] = 5
        elif how == "computed-place":
            a[torch.arange(x.size(0)), x[:, 0].argmax(1)] = 1.5
        elif how == "one-hot":
            a = torch.zeros_like(x).scatter_(2, x.argmax(2, keepdim=True), 1.0)
        elif how == "largest":
            numbers, places = x.topk(2, 2)
            a = torch.zeros_like(x).scatter(2, places, numbers)
        elif how == "copied":
            laid = a.transpose(1, 2).contiguous()
            a[:, :, 0] = 4
            a = torch.cat((laid.transpose(1, 2), a), -1)
        return a

    return run


def _sparsemax(x: Any) -> Any:
    """Project onto the simplex (Martins and Astudillo, 2016)."""
    ordered = x.sort(-1, descending=True)[0]
    counts = torch.arange(1, x.size(-1) + 1)
    sums = ordered.cumsum(-1) - 1
    size = (counts * ordered > sums).sum(-1, keepdim=True)
    return torch.clamp(x - sums.gather(-1, size - 1) / size, min=0)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + 1.5,
    "radd": lambda x: 2 - x,
    "alpha": lambda x: torch.add(x, x, alpha=0.5),
    "sub": lambda x: torch.sub(x, x * x, alpha=2),
    "mul": lambda x: x * x.mean(-1, keepdim=True),
    "div": lambda x: x / (x.abs() + 1),
    "larger": lambda x: torch.max(x, x.mean(-1, keepdim=True)),
    "smaller": lambda x: torch.min(x, x.roll(1, -1)),
    "rdiv": lambda x: 1 / (x.abs() + 1),
    "floor-div": lambda x: torch.div(x, 0.3, rounding_mode="floor"),
    "trunc-div": lambda x: torch.div(x, 0.3, rounding_mode="trunc"),
    "pow": lambda x: x.abs() ** 1.5,
    "square": lambda x: x**2,
    "exp": torch.exp,
    "log": lambda x: torch.log(x.abs() + 1),
    "log1p": lambda x: torch.log1p(x.abs()),
    "sqrt": lambda x: torch.sqrt(x.abs()),
    "rsqrt": lambda x: torch.rsqrt(x.abs() + 1),
    "neg": lambda x: -x,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "round": torch.round,
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "clamp-min": lambda x: x.clamp(min=0.1),
    "maximum": lambda x: torch.maximum(x, -x),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "masked-fill": lambda x: x.masked_fill(x > 0, 0.5),
    "not": lambda x: x.masked_fill(~(x > 0), 0.5),
    "and": lambda x: x.masked_fill((x > 0) & (x < 1), 0.5),
    "lerp": lambda x: torch.lerp(x, x * x, 0.3),
    "mean": lambda x: x.mean(1),
    "mean-last": lambda x: x.mean(-1, keepdim=True),
    "mean-both": lambda x: x.mean((1, 2)),
    "sum": lambda x: x.sum(1),
    "max": lambda x: x.max(1).values,
    "max-keep": lambda x: x.max(-1, keepdim=True)[0],
    "min": lambda x: x.min(1).values,
    "amax": lambda x: x.amax((1, 2)),
    "argmax": lambda x: x.argmax(-1).float(),
    "norm": lambda x: x / x.norm(dim=-1, keepdim=True),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "transpose": lambda x: x.transpose(1, 2),
    "permute": lambda x: x.permute(0, 2, 1),
    "there-and-back": lambda x: (x.transpose(0, 1) + 1).transpose(0, 1),
    "time-first-linear": lambda x: x.permute(1, 0, 2).mean(0),
    "flatten": lambda x: x.flatten(1),
    "view": lambda x: x.reshape(x.size(0), -1),
    "view-rows": lambda x: (x.reshape(-1, x.size(2)) * 2).view(x.size(0), -1, x.size(2)),
    "view-split": lambda x: x.reshape(x.size(0), x.size(1), 2, 3).sum(2),
    "unflatten": lambda x: x.unflatten(-1, (3, 2)).mean(-1),
    "unsqueeze": lambda x: x.unsqueeze(1).squeeze(1) + x.unsqueeze(-1).squeeze(-1),
    "select": lambda x: x[:, 0] + x[:, -1],
    "select-step": lambda x: x.select(1, 2),
    "slice": lambda x: x[:, 1:],
    "slice-end": lambda x: x[:, :-1],
    "slice-features": lambda x: x[..., 1:4],
    "slice-stride": lambda x: x[:, :, ::2],
    "last-places": lambda x: x[:, -2:],
    "chunk": lambda x: sum(x.chunk(3, -1)),
    "split": lambda x: x.split([2, 4], -1)[1],
    "unbind": lambda x: x.unbind(-1)[2],
    "flip": lambda x: x.flip(1),
    "flip-both": lambda x: x.flip((1, 2)),
    "cat": lambda x: torch.cat((x, x * 2), -1),
    "cat-time": lambda x: torch.cat((x, x), 1),
    "cat-zeros": lambda x: torch.cat((x, torch.zeros(x.size(0), 1, 6)), 1),
    "stack": lambda x: torch.stack((x, x + 1), 1).sum(1),
    "stack-last": lambda x: torch.stack((x, -x), -1),
    "expand": lambda x: x[:, :1].expand(-1, 4, -1),
    "repeat": lambda x: x.mean(1, keepdim=True).repeat(1, 3, 2),
    "repeat-steps": lambda x: x.mean(1).unsqueeze(1).repeat(1, 3, 1),
    "broadcast": lambda x: x * x.mean(1, keepdim=True) + x.mean((1, 2))[:, None, None],
    "matmul": lambda x: x @ x.transpose(1, 2),
    "bmm": lambda x: torch.bmm(x.transpose(1, 2), x),
    "weights-matmul": lambda x: x @ torch.linspace(-1, 1, 12).view(6, 2),
    "left-matmul": lambda x: torch.linspace(-1, 1, 12).view(2, 6) @ x.transpose(1, 2),
    "vector-matmul": lambda x: x @ torch.linspace(-1, 1, 6),
    "einsum": lambda x: torch.einsum("btf,bsf->bts", x, x),
    "einsum-weights": lambda x: torch.einsum(
        "btf,fg->btg", x, torch.linspace(-1, 1, 12).view(6, 2)
    ),
    "attention": lambda x: torch.bmm(F.softmax(x @ x.transpose(1, 2), -1), x),
    "einsum-three": lambda x: torch.einsum(
        "btf,fg,bsg->bts", x, torch.linspace(-1, 1, 12).view(6, 2), x[..., :2]
    ),
    "einsum-one": lambda x: torch.einsum("btf->bf", x),
    "topk": lambda x: (*x.topk(3, -1), *x.topk(1, 1), *x.topk(2, 2, largest=False)),
    "sort": lambda x: (*x.sort(-1), *x.sort(2, descending=True), x.argsort(-1)),
    "flat": lambda x: x[:, -1, :1].reshape(-1),
    "pad": lambda x: F.pad(x, (1, 2)),
    "pad-time": lambda x: F.pad(x, (0, 0, 2, 0), value=1.5),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5),
    "in-place": lambda x: (x * 1).add_(1).mul_(2).relu_(),
    "to-int": lambda x: (x * 3).long().float() + x.double().float(),
    "gather": lambda x: x.gather(1, torch.zeros(x.size(0), 2, 6, dtype=torch.long)),
    "locked": lambda x: x * torch.ones(x.size(0), 1, x.size(2)),
    "index-list": lambda x: x[:, [0, 2, 3]],
    "movedim": lambda x: x.movedim(1, 2),
    "outer": lambda x: x.unsqueeze(2) * x.unsqueeze(1),
    "double-softmax": lambda x: F.log_softmax(F.softmax(x, 1), 2),
    "triu": lambda x: x[:, :, :4] @ torch.triu(torch.ones(4, 4)),
    "size-arithmetic": lambda x: x[:, x.size(1) - 2],
    "truth": lambda x: (x.bool().float().sum(-1), (2 * x).long().bool().sum(1)),
    "round-decimals": lambda x: torch.round(x, decimals=2),
    "root-of-length": lambda x: x / x.size(1) ** 0.5,
    "squeeze-slice": lambda x: x[:, :, :1].squeeze(-1),
    "stack-moved": lambda x: torch.stack([x[:, 0], 2 * x[:, 1]], 1).permute(0, 2, 1)[:, 1],
    "stack-around": lambda x: torch.stack([x[:, 0], 2 * x[:, 1]], 0).permute(1, 2, 0)[:, 1],
    "min-places": lambda x: (x.min(1).indices, x.argmin(-1)),
    "var": lambda x: (x.var(1), x.var((1, 2), unbiased=False), *torch.var_mean(x, -1)),
    "std": lambda x: x.std(1, keepdim=True),
    "logsumexp": lambda x: torch.logsumexp(x, 1),
    "logsumexp-of-few": lambda x: x.masked_fill(x < 1, -np.inf).logsumexp(-1).clamp(-9),
    "topk-of-few": lambda x: x.masked_fill(x < 1, -np.inf).topk(4).values.clamp(-9),
    "cumsum": lambda x: x[:, :5].cumsum(1),
    "cumsum-steps": lambda x: (x.cumsum(1), x[..., 0].cumsum(1), x[..., None].cumsum(1)),
    "norms": lambda x: (x.norm(p=1, dim=-1), x.norm(p=3, dim=1), x.norm(p=np.inf, dim=1)),
    "cosine": lambda x: F.cosine_similarity(x, x[:, :1], dim=-1),
    "distance": lambda x: F.pairwise_distance(x[:, 0], x[:, -1]),
    "one-hot": lambda x: F.one_hot((x > 0).long(), 3).float(),
    "tensordot": lambda x: torch.tensordot(x, torch.linspace(-1, 1, 24).view(4, 6), ([2], [1])),
    "roll": lambda x: torch.roll(x, (1, -2), (1, 2)),
    "diff": lambda x: torch.diff(x, dim=1),
    "unfold": lambda x: x.unfold(1, 3, 1).mean(-1),
    "tile": lambda x: x.tile((1, 2, 1)),
    "repeat-interleave": lambda x: x[:, :4].repeat_interleave(2, dim=1),
    "pad-modes": lambda x: tuple(
        F.pad(x, (2, 1), mode=mode) for mode in ("reflect", "replicate", "circular")
    ),
    "pad-less": lambda x: F.pad(x, (-1, 2)),
    "interpolate": lambda x: F.interpolate(x[:, :, :4], scale_factor=2),
    "xor": lambda x: ((x > 0) ^ (x > 1)).float(),
    "numbers-alone": lambda x: (torch.fmod(x, 0.3), torch.frac(x), torch.tan(x / 3)),
    "remainders-of-tenths": lambda x: torch.fmod(torch.round(10 * x) / 10, 0.1),
    "hyperbolic": lambda x: torch.sinh(x) + torch.cosh(x),
    "logarithms": lambda x: torch.log2(x.abs() + 1) + torch.log10(x.abs() + 1) + torch.exp2(x),
    "finite": lambda x: torch.nan_to_num(torch.where(x > 1, torch.inf, x)),
    "shrink": lambda x: F.softshrink(x) + F.hardshrink(x) + F.threshold(x, 0.1, 20.0),
    "softplus-threshold": lambda x: F.softplus(x * 30, beta=2, threshold=5),
    "addcdiv": lambda x: torch.addcdiv(x, x, x.abs() + 1, value=0.5),
    "diagonal": lambda x: (x.transpose(1, 2) @ x).diagonal(dim1=1, dim2=2),
    "triangle": lambda x: torch.tril(x.transpose(1, 2) @ x) + torch.triu(x.mT @ x, 1),
    "hstack": lambda x: torch.hstack((x, x)),
    "erf": lambda x: (torch.erf(x), torch.erfc(x), torch.erf(x / 1000)),
    "gelu-by-hand": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "angles": lambda x: torch.asin(x / 9) + torch.acos(x / 9) + torch.atan(x) + torch.atan2(x, -x),
    "areas": lambda x: torch.asinh(x) + torch.acosh(1 + x.abs()) + torch.atanh(x / 9),
    "cumulated": lambda x: (x.cumprod(1), x.cummax(-1)[0], x.cummin(1)[0], x.logcumsumexp(1)),
    "survival": lambda x: torch.cumprod(1 - x.sigmoid(), 1),
    "median": lambda x: (x.median(1).values, x.median(-1, keepdim=True)[0]),
    "sort-steps": lambda x: (*x.sort(1, descending=True), x.topk(3, 1).values),
    "quantile": lambda x: (x[:, :4].quantile(0.3, 1), x.quantile(torch.tensor([0.1, 0.5]), -1)[1]),
    "sparsemax": lambda x: _sparsemax(x),
    "buckets": lambda x: torch.bucketize(x, torch.linspace(-1, 1, 5)).float(),
    "buckets-right": lambda x: torch.searchsorted(
        torch.linspace(-1, 1, 5), x.round(decimals=1), right=True
    ),
    "cdist": lambda x: (torch.cdist(x, x), torch.cdist(x, x[:, :2], p=1.0)),
    "index-pairs": lambda x: x[:, [0, 2, -1], [1, 0, 5]],
    "index-matrix": lambda x: x[:, :, torch.tensor([[0, 5], [3, 3]])],
    "index-grid": lambda x: x[:, torch.tensor([[0], [2]]), torch.tensor([4, 1, 1])],
    "index-add": lambda x: torch.zeros_like(x[:, :4]).index_add(
        1, torch.tensor([3, 0, 3]), x[:, :3]
    ),
    "leaky-by-chance": lambda x: F.rrelu(x, 0.1, 0.4, training=False),
    "kth": lambda x: (*x[:, :5].kthvalue(2, 1), x.kthvalue(6, -1, keepdim=True)[0]),
    "signs": lambda x: (torch.copysign(x, x.roll(1, -1)), torch.signbit(x).float()),
    "among": lambda x: torch.isin(x.argmax(-1), torch.tensor([1, 4])).float(),
    "pool-and-places": lambda x: F.max_pool1d(x, 2, return_indices=True)[0],
    "entropy": lambda x: torch.distributions.Categorical(logits=x).entropy(),
    "of-constants": lambda x: (
        x[:, :5] @ torch.linalg.inv(torch.eye(6) + 0.1 * torch.ones(6, 6))
        + torch.hann_window(5)[:, None]
    ),
    "outer-of-row": lambda x: (
        torch.outer(torch.linspace(0, 1, 3), torch.ones(6)) @ x[:, 0, :, None]
    ),
    "logaddexp": lambda x: torch.logaddexp(x, 1 - x),
    "xlogy": lambda x: torch.xlogy(x.abs(), x.abs() + 1),
    "losses": lambda x: (
        F.mse_loss(x, x * x, reduction="none"),
        F.smooth_l1_loss(x, 2 * x, reduction="none"),
        F.huber_loss(x, 2 * x, reduction="none", delta=0.7),
        F.binary_cross_entropy_with_logits(x, x.sigmoid().roll(1, -1), reduction="none"),
        F.cross_entropy(x.transpose(1, 2), x.argmin(-1), reduction="none"),
    ),
    "mesh": lambda x: (
        torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")[1] * x[:, :4]
    ),
    "trapezoid": lambda x: torch.trapezoid(x, dim=1),
    "cross": lambda x: torch.linalg.cross(x[..., :3], x[..., 3:]),
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.5)),
    "sinc": torch.sinc,
    "rot90": lambda x: torch.rot90(x, 1, (1, 2)),
    "diag-embed": lambda x: torch.diag_embed(x[:, 0]),
    "pixel-shuffle": lambda x: F.pixel_shuffle(x[:, :4, None], 2),
    "windows-2d": lambda x: F.unfold(x[:, None, :5], (3, 2), padding=1, stride=2),
    "nanmean": lambda x: torch.where(x > 1, torch.nan, x).nanmean(-1),
    "response-norm": lambda x: F.local_response_norm(x, 3),
    "lp-pool": lambda x: F.lp_pool1d(x.abs(), 2, 2),
    "take-along": lambda x: torch.take_along_dim(x, x.argsort(-1)[..., :2], 2),
    "tensor-split": lambda x: torch.tensor_split(x, 4, -1)[1],
    "channel-shuffle": lambda x: F.channel_shuffle(x.transpose(1, 2), 3),
    "constant-softmax": lambda x: x * torch.softmax(torch.linspace(-1, 1, 6), 0),
} | {
    f"written-{how}": _written(how)
    for how in (
        *("part", "slice", "last", "mask", "whole", "truth", "twice", "same", "filled"),
        *("filled-and-read", "steps", "numbers", "one-number", "rows-and-numbers", "pairs"),
        *("mask-of-steps", "along", "number-along", "copies", "functional", "other-views"),
        *("through-views", "copied", "computed-place", "one-hot", "largest"),
    )
}
for _mode, _options in {
    "linear": {"scale_factor": 2},
    "linear-third": {"scale_factor": 3},
    "linear-size": {"size": 13},
    "linear-ends": {"size": 13, "align_corners": True},
    "linear-part": {"scale_factor": 0.6},
    "linear-computed": {"scale_factor": 1.4, "recompute_scale_factor": True},
    "nearest-size": {"size": 13},
    "nearest-half": {"scale_factor": 0.5},
    "nearest-exact": {"size": 11},
    "bilinear": {"scale_factor": (2, 1.5)},
    "bilinear-ends": {"size": (3, 9), "align_corners": True},
    "bicubic": {"size": (10, 3)},
}.items():
    _method = "nearest-exact" if _mode == "nearest-exact" else _mode.partition("-")[0]
    FUNCTIONS[f"interpolate-{_mode}"] = lambda x, m=_method, o=_options: F.interpolate(
        x[:, None] if m.startswith("bi") else x.transpose(1, 2), mode=m, **o
    )
for _name, _function in FUNCTIONS.items():
    add(f"function-{_name}", lambda f=_function: Function(f), sequence(6))

# ---- embeddings and linear ----

add("linear", lambda: nn.Linear(3, 4), sequence())
add("linear-plain", lambda: nn.Linear(3, 4, bias=False), fixed(3))
add(
    "linear-merged",
    lambda: With(nn.Linear(3, 4), lambda m, x: m(x.flatten(0, 1)).unflatten(0, (-1, x.size(1)))),
    sequence(),
)
add("bilinear-form", lambda: With(nn.Linear(3, 3), lambda m, x: (m(x) * x).sum(-1)), sequence())
add("embedding", lambda: nn.Embedding(11, 4), tokens())
add("embedding-padding", lambda: nn.Embedding(11, 4, padding_idx=0), tokens())
for _mode in ("mean", "sum", "max"):
    add(f"embedding-bag-{_mode}", lambda m=_mode: nn.EmbeddingBag(11, 4, mode=m), tokens())
    if _mode != "max":
        add(
            f"embedding-bag-padding-{_mode}",
            lambda m=_mode: nn.EmbeddingBag(3, 4, mode=m, padding_idx=1),
            tokens(3),
        )

# ---- attention ----

for _first, _bias, _heads, _weights in itertools.product(
    (True, False), (True, False), (1, 2), (True, False)
):
    add(
        f"attention-{'batch' if _first else 'time'}-{'bias' if _bias else 'plain'}-{_heads}"
        f"-{'weights' if _weights else 'fast'}",
        lambda f=_first, b=_bias, h=_heads, w=_weights: With(
            nn.MultiheadAttention(6, h, dropout=0.1, bias=b, batch_first=f),
            lambda m, x, w=w: m(x, x, x, need_weights=w)[0],
        ),
        sequence(6, first=_first),
        in_axes=[1 - _first],
        out_axes=[1 - _first],
    )
add(
    "attention-keys",
    lambda: With(
        nn.MultiheadAttention(6, 2, kdim=4, vdim=5, batch_first=True),
        lambda m, q, k, v: m(q, k, v),
    ),
    lambda n, t: (torch.randn(n, 3, 6), torch.randn(n, t, 4), torch.randn(n, t, 5)),
)
add(
    "attention-padding",
    lambda: With(
        nn.MultiheadAttention(6, 2, batch_first=True),
        lambda m, x: m(x, x, x, key_padding_mask=x[:, :, 0] > 1.5)[0],
    ),
    sequence(6),
)
add(
    "attention-causal",
    lambda: With(
        nn.MultiheadAttention(6, 2, batch_first=True),
        lambda m, x: m(
            x, x, x, attn_mask=torch.ones(5, 5, dtype=torch.bool).triu(1), need_weights=False
        )[0],
    ),
    sequence(6),
    steps=5,
)


class Queries(nn.Module):
    """Queries that are learned, the same for all rows, which look at those and put them out."""

    def __init__(self, heads: int, expand: Callable[[Any, Any], Any], rate: float = 0.1) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(3, 6))
        self.attention = nn.MultiheadAttention(6, heads, dropout=rate, batch_first=True)
        self.expand = expand

    def forward(self, x: Any) -> Any:
        return self.attention(self.expand(self.queries, x), x, x, need_weights=False)[0]


QUERIES: dict[str, Callable[[Any, Any], Any]] = {
    "expand": lambda q, x: q.expand(x.size(0), -1, -1),
    "repeat": lambda q, x: q.unsqueeze(0).repeat(x.size(0), 1, 1),
    "zeros": lambda q, x: torch.zeros_like(x[:, :3]) + q,
}
for _heads, (_how, _expand) in itertools.product((1, 2, 3), QUERIES.items()):
    add(
        f"attention-queries-{_heads}-{_how}",
        lambda h=_heads, e=_expand: Queries(h, e),
        sequence(6),
    )
for _first in (True, False):
    add(
        f"decoder-queries-{'batch' if _first else 'time'}",
        lambda f=_first: With(
            nn.TransformerDecoderLayer(6, 2, 12, batch_first=f),
            lambda m, x, f=f: m(
                (torch.arange(18.0) / 9)
                .view((1, 3, 6) if f else (3, 1, 6))
                .expand((x.size(0), 3, 6) if f else (3, x.size(1), 6)),
                x,
            ),
        ),
        sequence(6, first=_first),
        in_axes=[1 - _first],
        out_axes=[1 - _first],
    )
for _before, _first in itertools.product((True, False), (True, False)):
    _id = f"{'pre' if _before else 'post'}-{'batch' if _first else 'time'}"
    add(
        f"encoder-layer-{_id}",
        lambda p=_before, f=_first: nn.TransformerEncoderLayer(
            6, 2, 12, activation="gelu", norm_first=p, batch_first=f
        ),
        sequence(6, first=_first),
        in_axes=[1 - _first],
        out_axes=[1 - _first],
    )
    add(
        f"decoder-layer-{_id}",
        lambda p=_before, f=_first: nn.TransformerDecoderLayer(
            6, 2, 12, norm_first=p, batch_first=f
        ),
        lambda n, t, f=_first: tuple(torch.randn((n, k, 6) if f else (k, n, 6)) for k in (3, t)),
        in_axes=[1 - _first, 1 - _first],
        out_axes=[1 - _first],
    )


add("embedding-max-norm", lambda: nn.Embedding(11, 4, max_norm=1.5), tokens())
add(
    "embedding-max-norm-1",
    lambda: nn.Embedding(11, 4, padding_idx=0, max_norm=2.0, norm_type=1.0),
    tokens(),
)

VOLUMES: dict[str, Callable[[], nn.Module]] = {
    "conv3d": lambda: nn.Conv3d(4, 6, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 1)),
    "conv3d-groups": lambda: nn.Conv3d(4, 6, 2, groups=2, dilation=(1, 2, 1), padding="same"),
    "conv_transpose3d": lambda: nn.ConvTranspose3d(4, 3, 2, stride=(2, 1, 3), padding=(0, 0, 1)),
    "max_pool3d": lambda: nn.MaxPool3d(2, stride=(1, 2, 1), ceil_mode=True),
    "avg_pool3d": lambda: nn.AvgPool3d((2, 1, 3), padding=(1, 0, 1), count_include_pad=False),
    "adaptive_avg_pool3d": lambda: nn.AdaptiveAvgPool3d((2, 3, 1)),
    "adaptive_avg_pool3d-1": lambda: nn.AdaptiveAvgPool3d(1),
    "adaptive_max_pool3d": lambda: nn.AdaptiveMaxPool3d((3, 2, 5)),
    "batch_norm3d": lambda: nn.BatchNorm3d(4),
    "instance_norm3d": lambda: nn.InstanceNorm3d(4, affine=True),
    "upsample3d": lambda: nn.Upsample(scale_factor=(1, 2, 3)),
    "upsample3d-linear": lambda: nn.Upsample(size=(3, 8, 5), mode="trilinear"),
    "zero_pad3d": lambda: nn.ZeroPad3d((1, 0, 2, 0, 0, 3)),
    "replication_pad3d": lambda: nn.ReplicationPad3d(1),
    "network3d": lambda: nn.Sequential(
        nn.Conv3d(4, 8, 3, padding=1),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Dropout3d(0.2),
        nn.Flatten(),
        nn.Linear(96, 2),
    ),
}
for _name, _make in VOLUMES.items():
    add(_name, _make, fixed(4, 4, 6, 5))


# ---- the tests ----


def rows_first(value: torch.Tensor, axis: int) -> np.ndarray[Any, Any]:
    return np.moveaxis(value.detach().resolve_neg().numpy(), axis, 0)


def check(case: Case, rows: int = 3, steps: int = 7, *, seed: int = 0) -> Any:
    """Export with two rows, compare with other numbers of rows, and return the model."""
    torch.manual_seed(seed)
    module = case.make()
    model = from_torch(module, case.inputs(2, case.steps or steps))
    assert module.training
    module.eval()
    shape = model.input_shape
    first = next(iter(shape.values())) if isinstance(shape, dict) else shape
    lengths = [n for n in (case.steps or steps, (case.steps or steps) + 2) if n]
    for length in lengths if None in first and case.steps is None else lengths[:1]:
        given = case.inputs(rows, length)
        in_axes = case.in_axes or [0] * len(given)
        x = [rows_first(v, at) for v, at in zip(given, in_axes, strict=True)]
        found = model.predict(x if len(x) > 1 else x[0])
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ways that PyTorch did not take
            expected = module(*given)
        if isinstance(expected, dict):
            expected, found = tuple(expected.values()), [found[key] for key in expected]
        expected = tuple(expected) if isinstance(expected, (tuple, list)) else (expected,)
        found = found if isinstance(found, list) else [found]
        out_axes = case.out_axes or [0] * len(expected)
        for y, reference, at in zip(found, expected, out_axes, strict=True):
            wanted = rows_first(reference, at)
            assert y.shape == wanted.shape
            scale = max(1.0, float(np.abs(wanted).max()))
            np.testing.assert_allclose(y, wanted, rtol=0, atol=TOLERANCE * scale)
    return model


@pytest.mark.parametrize("name", CASES, ids=list(CASES))
def test_modules_compute_what_pytorch_computes(name: str) -> None:
    check(CASES[name])


@pytest.mark.parametrize("kind", KINDS)
def test_time_steps_stay_open(kind: str) -> None:
    """A model is asked for more steps than it was exported with."""
    case = Case(
        lambda: With(KINDS[kind](3, 5, 2, batch_first=True), _taken(True, "sequence")), sequence()
    )
    assert check(case).input_shape == (None, 3)


def test_a_model_stays_as_it_is_when_the_module_trains_on() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(9, 4)
            self.scale = nn.Parameter(torch.ones(4))
            self.lstm, self.head = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(self.words(x) * self.scale)[0][:, -1])

    module, x = Net(), torch.randint(0, 9, (2, 6))
    model = from_torch(module, x)
    before = model.predict(x.numpy())
    module(x).sum().backward()
    torch.optim.SGD(module.parameters(), lr=1.0).step()
    assert not np.allclose(module(x).detach().numpy(), before)
    np.testing.assert_array_equal(model.predict(x.numpy()), before)


@pytest.mark.parametrize(
    "compute",
    [
        lambda d, s: d * 86400 + s,
        lambda d, s: (d * 9000).cumsum(1),
        lambda d, s: (d * 9000).sum(1),
        lambda d, s: d**2 - s,
    ],
    ids=["product", "running sum", "sum", "power"],
)
def test_whole_numbers_are_computed_as_far_as_float32_holds_them(compute: Any) -> None:
    days, seconds = torch.arange(10).reshape(2, 5), torch.arange(10).reshape(2, 5) * 7
    model = from_torch(Function(compute), (days, seconds))
    found = model.predict([days.numpy(), seconds.numpy()])
    np.testing.assert_array_equal(found, compute(days, seconds).numpy())
    with pytest.raises(ValueError, match="whole"):
        model.predict([(days + 19000).numpy(), seconds.numpy()])


def test_obstacles_name_all_and_the_line() -> None:
    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            y = torch.lgamma(x)
            z = torch.linalg.qr(x)[0]
            return y.mean(), z

    with pytest.raises(ModelFormatError) as caught:
        from_torch(Odd(), torch.rand(2, 4, 3))
    text = str(caught.value)
    assert "lgamma" in text
    assert "qr" in text
    assert "torch.lgamma(x)" in text
    assert len(caught.value.obstacles) >= 2


@pytest.mark.parametrize("name", MODELS, ids=list(MODELS))
def test_whole_models_compute_what_pytorch_computes(name: str) -> None:
    make, inputs, in_axes, out_axes = MODELS[name]
    check(Case(make, inputs, in_axes, out_axes), steps=9)


# ---- dropout ----


class Dropping(nn.Module):
    """A dropout module over a fixed input, so that what it drops alone is random."""

    def __init__(self, drop: nn.Module) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, x: Any) -> Any:
        return self.drop(x)


@pytest.mark.parametrize(
    ("drop", "shape", "shared"),
    [
        (nn.Dropout(0.3), (4, 5), ()),
        (nn.Dropout1d(0.3), (4, 5), (2,)),
        (nn.Dropout2d(0.3), (4, 5, 2), (2, 3)),
        (nn.AlphaDropout(0.3), (4, 5), ()),
        (nn.FeatureAlphaDropout(0.3), (4, 5), (2,)),
    ],
    ids=["elements", "channels-1d", "channels-2d", "alpha", "feature-alpha"],
)
def test_dropout_has_the_values_and_frequencies_of_pytorch(
    drop: nn.Module, shape: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    x = torch.rand(3, *shape) + 1
    model = from_torch(Dropping(drop), x)
    np.testing.assert_array_equal(model.predict(x.numpy()), x.numpy())
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    with torch.no_grad():
        drop.train()
        sets = [drop(x).numpy() for _ in range(40)]
    known = [np.unique(np.stack([s[i] for s in sets]).round(4)) for i in np.ndindex(x.shape)]
    for values, i in zip(known, np.ndindex(x.shape), strict=True):
        assert len(values) == 2
        np.testing.assert_allclose(
            np.unique(samples[(slice(None), *i)].round(4)), values, atol=2e-4
        )
    scaled = np.stack([v[-1] for v in known]).reshape(x.shape)
    kept = np.isclose(samples, scaled, atol=2e-4)
    error = np.sqrt(0.3 * 0.7 / len(samples))
    assert np.abs(kept.mean(0) - 0.7).max() < 5 * error
    for axis in shared:
        assert (kept.any(axis + 1) == kept.all(axis + 1)).all()
    if not shared:
        assert not (kept.any(-1) == kept.all(-1)).all()


def _drawn(x: Any) -> Any:
    return x + torch.randn_like(x) * 2


def _drawn_anew(x: Any) -> Any:
    return x + torch.normal(torch.ones_like(x), 2 * torch.ones_like(x))


def _drawn_by_size(x: Any) -> Any:
    return x + 2 * torch.randn(x.size(0), 4)


@pytest.mark.parametrize(
    ("function", "mean"),
    [(_drawn, 0.0), (_drawn_anew, 1.0), (_drawn_by_size, 0.0)],
    ids=["like", "normal", "by-size"],
)
def test_normal_noise_is_drawn_while_sampling_alone(
    function: Callable[..., Any], mean: float
) -> None:
    x = torch.linspace(-1, 1, 12).view(3, 4)
    model = from_torch(Function(function), x)
    np.testing.assert_array_equal(model.predict(x.numpy()), x.numpy() + np.float32(mean))
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    noise = samples - x.numpy() - mean
    assert np.abs(noise.mean(0)).max() < 5 * 2 / np.sqrt(len(samples))
    np.testing.assert_allclose(noise.std(0), 2, rtol=0.07)
    assert np.abs(np.corrcoef(noise.reshape(len(samples), -1).T) - np.eye(12)).max() < 0.1


def _stochastic_depth(x: Any) -> Any:
    keep = 0.7
    mask = keep + torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), dtype=x.dtype)
    mask.floor_()
    return x.div(keep) * mask


def _kept_below(x: Any) -> Any:
    return x * (torch.rand(x.size(0), 1) < 0.7) / 0.7


def _kept_above(x: Any) -> Any:
    return x * (torch.rand_like(x[:, :1]) >= 0.3).float() / (1 - 0.3)


def _kept_in_place(x: Any) -> Any:
    return x * (torch.empty(x.size(0), 1).uniform_() > 0.3) / 0.7


def _kept_of_ones(x: Any) -> Any:
    return x * torch.bernoulli(torch.ones_like(x[:, :1]) * (1 - 0.3)) / 0.7


def _kept_of_zeros(x: Any) -> Any:
    return x * torch.bernoulli(1 - (torch.zeros_like(x[:, :1]) + 0.3)) / 0.7


MASKS = (_stochastic_depth, _kept_below, _kept_above, _kept_in_place, _kept_of_ones, _kept_of_zeros)


@pytest.mark.parametrize("drop", MASKS)
def test_masks_of_random_numbers_are_dropout(drop: Callable[..., Any]) -> None:
    """Of a row as a whole: as blocks are left out of (Huang et al., 2016)."""

    class Depth(nn.Module):
        def forward(self, x: Any) -> Any:
            return drop(x) if self.training else x

    x = torch.linspace(1, 2, 12).view(3, 4)
    model = from_torch(Depth(), x)
    np.testing.assert_allclose(model.predict(x.numpy()), x.numpy(), rtol=1e-6)
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    kept = samples > 0
    np.testing.assert_allclose(samples, kept * x.numpy() / np.float32(0.7), rtol=1e-6)
    assert (kept.any(-1) == kept.all(-1)).all()
    assert np.abs(kept[..., 0].mean(0) - 0.7).max() < 5 * np.sqrt(0.3 * 0.7 / len(samples))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ((x > 1) + (x > 0)).float(),
        lambda x: (x > 1).logical_or(x < 0) + (x > 2) + 1,
        lambda x: x.masked_fill((x > 1).__iadd__(x > 0), 3),
        lambda x: ((x > 0) * (x < 1)).float(),
        lambda x: sum([x > 0, x > 1]) * 1.0,  # from 0 on, a whole number
        lambda x: ((x > 0) + (torch.arange(x.size(1)) > 2)[:, None]).float(),
    ],
    ids=["or", "three", "in-place", "and", "from-0", "beside-steps"],
)
def test_truths_are_computed_with_as_such(function: Callable[..., Any]) -> None:
    model = from_torch(Function(function), torch.randn(2, 5, 3))
    x = torch.randn(3, 5, 3) * 2
    np.testing.assert_allclose(
        model.predict(x.numpy()), function(x).numpy(), rtol=0, atol=TOLERANCE
    )


def test_words_of_one_kind_that_are_left_out_by_a_mask() -> None:
    """What is mostly not so is not so in `predict`, also together with another condition."""

    def forward(m: Any, x: Any) -> Any:
        if m.training:
            x = torch.where((torch.rand(x.shape) < 0.2) & (x == 5), 1, x)
        return m(x)

    module = With(nn.Embedding(11, 4), forward).eval()
    x = torch.tensor([[1, 5, 3], [5, 6, 7]])
    model = from_torch(module, x)
    table = module.module.weight.detach().numpy()
    np.testing.assert_array_equal(model.predict(x.numpy()), table[x])
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    np.testing.assert_array_equal(samples[:, 0, 2], np.broadcast_to(table[3], (4000, 4)))
    left_out = (samples[:, 0, 1] == table[1]).all(-1)
    np.testing.assert_array_equal(samples[~left_out, 0, 1][0], table[5])
    assert np.abs(left_out.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / len(samples))


def _unknown_words(x: Any) -> Any:
    return x.masked_fill(torch.rand(x.shape) < 0.3, 0)


def _unknown_words_by_where(x: Any) -> Any:
    keep = torch.bernoulli(torch.full_like(x, 0.7, dtype=torch.float32)).bool()
    return torch.where(~keep, 0, x)


def _unknown_words_written(x: Any) -> Any:
    y = x.clone()
    y[torch.rand(x.shape) >= 0.7] = 0
    return y


@pytest.mark.parametrize("drop", [_unknown_words, _unknown_words_by_where, _unknown_words_written])
def test_words_that_are_left_out_by_a_mask(drop: Callable[..., Any]) -> None:
    """A mask that is a condition is what it mostly is where nothing is random."""

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 2)

        def forward(self, x: Any) -> Any:
            return self.table(drop(x) if self.training else x)

    torch.manual_seed(0)
    module = Words()
    x = torch.arange(1, 9).view(2, 4)
    model = from_torch(module, x)
    table = module.table.weight.detach().numpy()
    np.testing.assert_array_equal(model.predict(x.numpy()), table[x.numpy()])
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    left_out = (samples == table[0]).all(-1)
    np.testing.assert_array_equal(
        samples[~left_out], np.broadcast_to(table[x], samples.shape)[~left_out]
    )
    assert np.abs(left_out.mean(0) - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / len(samples))


@pytest.mark.parametrize("low", [0.0, -2.0])
def test_uniform_numbers_are_drawn_while_sampling_alone(low: float) -> None:
    def drawn(x: Any) -> Any:
        return x + (torch.rand_like(x) if low == 0 else torch.empty_like(x).uniform_(low, 1))

    x = torch.linspace(-1, 1, 12).view(3, 4)
    model = from_torch(Function(drawn), x)
    np.testing.assert_allclose(model.predict(x.numpy()), x.numpy() + (low + 1) / 2, atol=1e-6)
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    numbers = np.sort(((samples - x.numpy() - low) / (1 - low)).reshape(len(samples), -1), 0)
    assert numbers.min() > -1e-6
    assert numbers.max() < 1 + 1e-6
    expected = (np.arange(len(samples)) + 0.5)[:, np.newaxis] / len(samples)
    # Kolmogorov's bound for each of 12, at 1e-5.
    assert np.abs(numbers - expected).max() < 2.6 / np.sqrt(len(samples))


def test_what_is_drawn_by_gumbel_is_a_choice() -> None:
    """Each with the probability that softmax says (Jang et al., 2017)."""
    x = torch.tensor([[0.0, 1.0, -1.0, 0.5]] * 2)
    model = from_torch(Function(lambda x: F.gumbel_softmax(x, tau=0.01)), x)
    samples = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples
    chosen = samples.argmax(-1)
    shares = np.stack([(chosen == i).mean(0) for i in range(4)], -1)
    wanted = torch.softmax(x, -1).numpy()
    assert np.abs(shares - wanted).max() < 5 * np.sqrt(0.25 / len(samples))


def test_rrelu_is_random_while_sampling_alone() -> None:
    x = torch.linspace(-2, -1, 12).view(3, 4)
    model = from_torch(nn.RReLU(0.1, 0.5), x)
    np.testing.assert_allclose(model.predict(x.numpy()), x.numpy() * np.float32(0.3), rtol=1e-6)
    slopes = model.mc_predict(x.numpy(), 4000, rng=1, keep_samples=True).samples / x.numpy()
    assert slopes.min() > 0.1 - 1e-6
    assert slopes.max() < 0.5 + 1e-6
    np.testing.assert_allclose(slopes.std(0), 0.4 / np.sqrt(12), rtol=0.05)


class OurDropout(nn.Module):
    """What `fastdrop.torch` drops while a module is trained, or what PyTorch drops in its place."""

    def __init__(self, how: str, rng: Any = None) -> None:
        super().__init__()
        self.lstm: nn.Module = nn.LSTM(3, 4, batch_first=how != "locked-time-first")
        self.drop: nn.Module = {
            "elements": ours.Dropout,
            "channels": ours.Dropout1d,
            "alpha": ours.AlphaDropout,
            "locked": partial(ours.LockedDropout, batch_first=True),
            "locked-time-first": ours.LockedDropout,
            "weights": ours.Dropout,
        }[how](0.3, rng=rng)
        if how == "weights":
            own = None if rng is None else rng + 1  # one key gives both the same masks
            self.lstm = ours.WeightDrop(self.lstm, "weight_hh_l0", 0.4, rng=own)

    def forward(self, x: Any) -> Any:
        return self.drop(self.lstm(x)[0])


@pytest.mark.parametrize("rng", [None, 5])
@pytest.mark.parametrize(
    "how", ["elements", "channels", "alpha", "locked", "locked-time-first", "weights"]
)
def test_dropout_of_ours_is_taken_over(how: str, rng: Any) -> None:
    """A module that was trained with `fastdrop.torch`: the moments of its own passes."""
    torch.manual_seed(1)
    module = OurDropout(how, rng)
    axis = 1 if how == "locked-time-first" else 0
    given = torch.randn((6, 2, 3) if axis else (2, 6, 3))
    model = from_torch(module, given)
    x = rows_first(given, axis)
    with torch.no_grad():
        expected = rows_first(module.eval()(given), axis)
        np.testing.assert_allclose(model.predict(x), expected, atol=1e-6)
        module.train()
        passes = np.stack([rows_first(module(given), axis) for _ in range(1500)])
    same_moments(model.mc_predict(x, 1500, rng=0, keep_samples=True).samples, passes)


def test_attention_of_learned_queries_drops_as_the_module() -> None:
    torch.manual_seed(2)
    module = Queries(2, QUERIES["expand"], 0.3)
    x = torch.randn(2, 4, 6)
    model = from_torch(module, x)
    with torch.no_grad():
        passes = np.stack([module.train()(x) for _ in range(1500)])
    same_moments(model.mc_predict(x.numpy(), 1500, rng=0, keep_samples=True).samples, passes)


def same_moments(samples: np.ndarray, passes: np.ndarray) -> None:
    """Compare 1,500 samples with as many passes of a module, whose numbers are all random."""
    spread = passes.std(0)
    assert (spread > 0).all()
    assert np.abs((samples.mean(0) - passes.mean(0)) / (spread * np.sqrt(2 / 1500))).max() < 5
    assert abs(np.log(samples.std(0) / spread)).max() < 0.25
    # What is shared over time, or by all rows of a sample, is so.
    pairs = [np.corrcoef(s.reshape(1500, -1).T) for s in (samples, passes)]
    assert np.abs(pairs[0] - pairs[1]).max() < 0.2


def _kept(like: Any, sizes: Any, p: float) -> Any:
    return like.new_empty(sizes).bernoulli_(1 - p).div_(1 - p)


def _words_as_fastai(module: Any, tokens: Any) -> Any:
    weight = module.weight
    return F.embedding(tokens, weight * _kept(weight.data, (len(weight), 1), 0.4))


def _words_as_awd_lstm(module: Any, tokens: Any) -> Any:
    weight = module.weight
    mask = weight.data.new().resize_((weight.size(0), 1)).bernoulli_(0.6).expand_as(weight) / 0.6
    return F.embedding(tokens, mask * weight, -1)


def _words_by_dropout(module: Any, tokens: Any) -> Any:
    return F.embedding(tokens, module.weight * F.dropout(torch.ones(len(module.weight), 1), 0.4))


def _words_by_rand(module: Any, tokens: Any) -> Any:
    kept = (torch.rand(len(module.weight), 1) > 0.4).float() / 0.6
    return F.embedding(tokens, module.weight * kept)


def _words_by_bernoulli(module: Any, tokens: Any) -> Any:
    kept = torch.bernoulli(torch.full((len(module.weight), 1), 0.6))
    return F.embedding(tokens, kept.detach() * module.weight / 0.6)


TOKENS = torch.tensor([[1, 2, 1], [3, 1, 4]])


@pytest.mark.parametrize(
    "drop",
    [
        _words_as_fastai,
        _words_as_awd_lstm,
        _words_by_dropout,
        _words_by_rand,
        _words_by_bernoulli,
    ],
)
def test_words_that_a_module_drops(drop: Callable[..., Any]) -> None:
    """Whole words of a table, each wherever it occurs (Gal and Ghahramani, 2016)."""
    torch.manual_seed(4)
    module = With(nn.Embedding(6, 2), lambda m, x: drop(m, x) if m.training else m(x))
    model = from_torch(module, TOKENS)
    (layer,) = model.layers
    assert isinstance(layer, fd.layers.EmbeddingDropout)
    assert layer.rate == pytest.approx(0.4)
    assert model.notes == (OF_ROWS,)
    with torch.no_grad():
        np.testing.assert_allclose(model.predict(TOKENS.numpy()), module.eval()(TOKENS), rtol=1e-6)
        passes = np.stack([module.train()(TOKENS) for _ in range(1500)])
    options: dict[str, Any] = {"samples": 1500, "rng": 0, "keep_samples": True}
    same_moments(model.mc_predict(TOKENS.numpy(), scope="shared", **options).samples, passes)
    same_moments(model.mc_predict(TOKENS[:1].numpy(), **options).samples, passes[:, :1])


OF_ROWS = "what the module draws once for all rows is drawn for each, or once by scope='shared'"


class Positions(nn.Module):
    """Positions that are learnt, which are added to what comes in."""

    def __init__(self, looked_up: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 3)
        self.looked_up = looked_up

    def forward(self, x: Any) -> Any:
        places = torch.arange(x.size(1)) if self.looked_up else slice(4)
        table = self.table(places) if self.looked_up else self.table.weight[None, places]
        return x + F.dropout(table, 0.3, self.training)


class ByHand(nn.Module):
    """A loop from a state of zeros, whose recurrent weights drop once for all steps."""

    def __init__(self, product: Callable[[Any, Any], Any], begin: Any = torch.zeros) -> None:
        super().__init__()
        self.cell = nn.RNNCell(3, 2)
        self.product, self.begin = product, begin

    def forward(self, x: Any) -> Any:
        h = self.begin(x.size(0), 2)
        weight = F.dropout(self.cell.weight_hh, 0.3, self.training)
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] @ self.cell.weight_ih.t() + self.product(h, weight))
        return h


class Zoneout(nn.Module):
    """A loop that keeps numbers of its state by chance, and has the mean of that in evaluation."""

    def __init__(self, as_told: bool) -> None:
        super().__init__()
        self.cell, self.as_told = nn.GRUCell(3, 2), as_told

    def forward(self, x: Any) -> Any:
        h = x.new_zeros(x.size(0), 2)
        for t in range(x.size(1)):
            new = self.cell(x[:, t], h)
            if self.as_told:
                h = h + (1 - 0.3) * F.dropout(new - h, 0.3, self.training)
            elif self.training:
                h = torch.where(torch.rand_like(h) < 0.3, h, new)
            else:
                h = 0.3 * h + 0.7 * new
        return h


class TrainsOtherwise(nn.Module):
    """What is done in training alone, and changes numbers."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.change, self.out = change, nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        if self.training:
            x = self.change(x)
        return self.out(x)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * torch.bernoulli(torch.full((x.size(0), 1, 3), 0.8)),
        lambda x: x * (torch.rand_like(x) > 0.3).float(),
        lambda x: x * 0.5,
    ],
    ids=["mask", "random numbers", "factor"],
)
def test_what_training_alone_does_is_refused_with_its_line(change: Callable[[Any], Any]) -> None:
    told = r"computes something else in eval mode.*\(test_torch_export.py:\d+: x = self.change\(x\)"
    with pytest.raises(ModelFormatError, match=told):
        from_torch(TrainsOtherwise(change), torch.randn(2, 4, 3))


def test_zoneout_by_hand_is_refused_and_taken_as_the_message_says() -> None:
    torch.manual_seed(3)
    module, x = Zoneout(as_told=False), torch.randn(2, 4, 3)
    told = re.escape("write old + (1 - rate) * F.dropout(new - old, rate, self.training)")
    with pytest.raises(ModelFormatError, match=f"computes something else in eval mode; .*{told}"):
        from_torch(module, x)
    other = Zoneout(as_told=True)
    other.load_state_dict(module.state_dict())
    model = from_torch(other, x)
    with torch.no_grad():
        np.testing.assert_allclose(model.predict(x.numpy()), module.eval()(x), atol=1e-6)
        passes = np.stack([module.train()(x) for _ in range(1500)])
    same_moments(model.mc_predict(x.numpy(), 1500, rng=0, keep_samples=True).samples, passes)


def test_weights_are_dropped_by_one_mask_or_refused() -> None:
    """The same weights turned around have that mask turned around, even if they are the same."""

    def function(m: Any, x: Any) -> Any:
        weight = F.dropout(torch.ones(3, 3), 0.3, m.training)
        return x @ weight + (x @ weight.t() if twice else x @ weight)

    for twice in (False, True):
        module = With(nn.Identity(), function)
        if twice:
            with pytest.raises(ModelFormatError, match="drawn once and used in two ways"):
                from_torch(module, torch.randn(2, 4, 3))
        else:
            assert from_torch(module, torch.randn(2, 4, 3)).stochastic


def _switched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that a module in `With` is called by while it is trained."""
    return lambda m, x: function(m, x) if m.training else m(x)


FOR_ALL_ROWS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "weights of a dense layer": (
        lambda: With(
            nn.Linear(3, 2),
            _switched(lambda m, x: F.linear(x, F.dropout(m.weight, 0.3), m.bias)),
        ),
        True,
    ),
    "recurrent weights from zeros": (lambda: ByHand(lambda h, w: h @ w), False),
    "recurrent weights by mm": (lambda: ByHand(lambda h, w: torch.mm(h, w.t())), False),
    "recurrent weights by linear": (lambda: ByHand(F.linear), False),
    "recurrent weights from ones": (lambda: ByHand(lambda h, w: h.matmul(w), torch.ones), False),
    "weights by matmul": (
        lambda: With(
            nn.Linear(3, 2, bias=False),
            _switched(lambda m, x: x @ F.dropout(m.weight, 0.3).t()),
        ),
        True,
    ),
    "units of a dense layer": (
        lambda: With(
            nn.Linear(3, 2, bias=False),
            _switched(lambda m, x: F.linear(x, _kept(x, (2, 1), 0.3) * m.weight)),
        ),
        True,
    ),
    "positions": (lambda: Positions(False), False),
    "positions looked up": (lambda: Positions(True), True),
    "a mask": (
        lambda: With(
            nn.Identity(), _switched(lambda m, x: x * torch.bernoulli(torch.full((3,), 0.6)) / 0.6)
        ),
        True,
    ),
    "a mask of steps": (
        lambda: With(
            nn.Identity(), _switched(lambda m, x: x * (torch.rand(x.size(1), 3) > 0.4) / 0.6)
        ),
        True,
    ),
    "a condition": (
        lambda: With(
            nn.Identity(), _switched(lambda m, x: torch.where(torch.rand(3) < 0.4, 0.0, x))
        ),
        True,
    ),
    "normal numbers": (
        lambda: With(nn.Identity(), _switched(lambda m, x: x + 0.3 * torch.randn(1, 1, 3))),
        True,
    ),
    "normal numbers in place": (
        lambda: With(nn.Identity(), _switched(lambda m, x: x + torch.empty(3).normal_(0, 0.3))),
        True,
    ),
    "uniform numbers": (
        lambda: With(nn.Identity(), _switched(lambda m, x: x + torch.rand(3) - 0.5)),
        True,
    ),
    "uniform numbers in place": (
        lambda: With(nn.Identity(), _switched(lambda m, x: x + torch.zeros(3).uniform_(-1, 1))),
        True,
    ),
    "alpha dropout of positions": (
        lambda: With(
            nn.Embedding(4, 3),
            lambda m, x: x + F.alpha_dropout(m.weight, 0.3, m.training),
        ),
        False,
    ),
    "ours": (
        lambda: With(nn.Embedding(4, 3), lambda m, x: x + ours.dropout(m.weight, 0.3, m.training)),
        False,
    ),
    "ours, locked": (
        lambda: With(
            nn.Embedding(4, 3),
            lambda m, x: x + ours.locked_dropout(m.weight[None], 0.3, m.training, batch_first=True),
        ),
        False,
    ),
}


@pytest.mark.parametrize(("make", "is_open"), FOR_ALL_ROWS.values(), ids=FOR_ALL_ROWS)
def test_what_a_module_draws_for_all_rows(make: Callable[[], nn.Module], is_open: bool) -> None:
    """What has no axis for rows is each row's own, or one for all where these share masks."""
    torch.manual_seed(5)
    module, x = make(), torch.randn(2, 4, 3)
    model = from_torch(module, x)
    assert OF_ROWS in model.notes
    assert (model.input_shape[0] is None) == is_open
    with torch.no_grad():
        np.testing.assert_allclose(model.predict(x.numpy()), module.eval()(x), atol=1e-6)
        passes = np.stack([module.train()(x) for _ in range(1500)])
    options: dict[str, Any] = {"samples": 1500, "rng": 0, "keep_samples": True}
    same_moments(model.mc_predict(x.numpy(), scope="shared", **options).samples, passes)
    same_moments(model.mc_predict(x[:1].numpy(), **options).samples, passes[:, :1])


class Dropped(nn.Module):
    """Recurrent weights dropped by hand, as in AWD-LSTM (Merity et al., 2017)."""

    def __init__(
        self, kind: str, rate: float, weight: str = "weight_hh_l0", **options: Any
    ) -> None:
        super().__init__()
        self.rnn = KINDS[kind](3, 4, batch_first=True, **options)
        self.rate, self.weight = rate, weight
        self.raw = nn.Parameter(getattr(self.rnn, weight).detach().clone())
        del self.rnn._parameters[weight]

    def forward(self, x: Any) -> Any:
        setattr(self.rnn, self.weight, F.dropout(self.raw, self.rate, self.training))
        return self.rnn(x)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_weights_that_a_module_drops(kind: str) -> None:
    torch.manual_seed(2)
    model = check(Case(lambda: Dropped(kind, 0.5, bidirectional=kind == "gru"), sequence()))
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 6, 3)), 3, axis=0).astype(np.float32)
    samples = model.mc_predict(x, 20, rng=0, keep_samples=True).samples
    assert np.array_equal(samples, np.repeat(samples[:, :1], 3, axis=1))  # rows of a sample alike
    # Before the first step there is nothing to multiply.
    assert np.ptp(samples[:, 0, 0, :4], axis=0).max() == 0
    assert np.ptp(samples[:, 0, 1:, :4], axis=0).max() > 0


def test_other_weights_that_a_module_drops_are_refused() -> None:
    with pytest.raises(ModelFormatError, match="weights are dropped, but recurrent ones, one by"):
        from_torch(Dropped("lstm", 0.5, "weight_ih_l0"), torch.randn(2, 5, 3))
    table = With(nn.Embedding(5, 4), lambda m, x: F.embedding(x, F.dropout(m.weight, 0.2)))
    with pytest.raises(ModelFormatError, match="a table of which not words are dropped"):
        from_torch(table, torch.tensor([[1, 2]]))
    linear = With(nn.Linear(3, 4), lambda m, x: F.linear(x, F.dropout(m.weight, 0.2)))
    steps_first = With(linear, lambda m, x: m(x.transpose(0, 1)))
    with pytest.raises(ModelFormatError, match="dropped where the batch is not in front"):
        from_torch(steps_first, torch.randn(2, 5, 3))


def test_dropout_between_layers_is_new_at_each_step() -> None:
    """With a recurrent module that is an identity of sums, so that a step's mask can be read."""
    torch.manual_seed(0)
    rnn = nn.RNN(1, 6, 2, nonlinearity="relu", dropout=0.4, batch_first=True)
    with torch.no_grad():
        for name, weight in rnn.named_parameters():
            weight.zero_()
            if name == "weight_ih_l0":
                weight.fill_(1)
            elif name == "weight_ih_l1":
                weight.copy_(torch.eye(6))
    model = from_torch(With(rnn, _taken(True, "sequence")), torch.ones(2, 50, 1))
    x = np.ones((1, 50, 1), np.float32)
    samples = model.mc_predict(x, 300, rng=0, keep_samples=True).samples[:, 0]
    assert {*np.unique(samples.round(3)).tolist()} == {0.0, np.float32(1 / 0.6).round(3).item()}
    dropped = samples == 0
    error = np.sqrt(0.4 * 0.6 / len(samples))
    assert np.abs(dropped.mean(0) - 0.4).max() < 5 * error
    # Neighbours in time are independent.
    both = (dropped[:, 1:] & dropped[:, :-1]).mean()
    assert abs(both - 0.16) < 5 * np.sqrt(0.16 * 0.84 / dropped[:, 1:].size)


@pytest.mark.parametrize("name", ["sentiment", "locked-language-model", "conv-lstm", "transformer"])
def test_samples_are_distributed_as_in_training_mode(name: str) -> None:
    make, inputs, in_axes, out_axes = MODELS[name]
    torch.manual_seed(3)
    module = make()
    module.eval()
    given = inputs(4, 6)
    model = from_torch(module, given)
    x = [rows_first(v, at) for v, at in zip(given, in_axes or [0] * len(given), strict=True)]
    p = model.mc_predict(x if len(x) > 1 else x[0], 1500, rng=0)
    module.eval()
    for part in module.modules():  # statistics of batches are not drawn from
        if not isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.training = True
    # All samples in one pass, side by side, each of which has masks of its own.
    count, axes = 1500, in_axes or [0] * len(given)
    at = (out_axes or (0,))[0]
    tiled = [v.repeat_interleave(count, axis) for v, axis in zip(given, axes, strict=True)]
    with torch.no_grad():
        values = rows_first(module(*tiled), at).astype(np.float64)
    values = values.reshape(-1, count, *values.shape[1:])
    mean, variance = values.mean(1), values.var(1)
    assert (variance > 0).any()
    error = np.sqrt((variance + p.std**2) / count) + 1e-6
    z = (p.mean - mean) / error
    assert np.abs(z).max() < 5.5
    assert abs(np.square(z).mean() - 1) < 0.9
    ratio = p.std[variance > 0] ** 2 / variance[variance > 0]
    assert abs(np.log(ratio).mean()) < 0.1


def test_rates_give_a_recurrent_module_what_pytorch_lacks() -> None:
    make, inputs, _, _ = MODELS["forecaster"]
    torch.manual_seed(0)
    module, (x,) = make(), inputs(3, 6)
    plain = from_torch(module, x)
    model = from_torch(module, x, rates={"lstm1": {"recurrent_dropout": 0.5}, "drop2": 0.0})
    assert [s.rates() for s in model.layers if s.name == "lstm1"] == [
        {"dropout": 0.0, "recurrent_dropout": 0.5}
    ]
    np.testing.assert_array_equal(model.predict(x.numpy()), plain.predict(x.numpy()))
    one = from_torch(module, x, rates=0.3)
    assert {s.rates()["dropout"] for s in one.layers if s.is_recurrent} == {0.3}
    with pytest.raises(ValueError, match="lstm1"):
        from_torch(module, x, rates={"lstm": 0.3})


def test_a_cell_in_a_loop_is_packed_once() -> None:
    """And its layer is one, which is called at each step."""
    torch.manual_seed(0)
    model = from_torch(Loop(nn.LSTMCell(3, 5), pair=True), torch.randn(2, 6, 3))
    assert len([layer for layer in model.layers if layer.is_recurrent]) == 1
    assert len([step for step in model.graph.steps if step.layer.is_recurrent]) == 6


# ---- what is refused, and what stays as it was ----


def test_the_module_stays_as_it_was() -> None:
    module = MODELS["conv-lstm"][0]()
    module.eval()
    module.features[4].train()
    modes = {name: part.training for name, part in module.named_modules()}
    before = {name: value.clone() for name, value in module.state_dict().items()}
    forwards = nn.LSTM.forward, nn.GRU.forward, torch.nn.utils.rnn._VF
    from_torch(module, MODELS["conv-lstm"][1](2, 6))
    assert {name: part.training for name, part in module.named_modules()} == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert forwards == (nn.LSTM.forward, nn.GRU.forward, torch.nn.utils.rnn._VF)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_tables_of_rows_that_are_shortened_stay_as_they_were() -> None:
    module = nn.Embedding(5, 3, max_norm=0.1)
    before = module.weight.detach().clone()
    from_torch(module, torch.zeros(2, 4, dtype=torch.long))
    assert torch.equal(module.weight, before)


def test_weights_are_taken_as_they_are_then() -> None:
    """What is trained further does not change the model."""
    module = nn.Linear(3, 2)
    x = torch.randn(2, 3)
    model = from_torch(module, x)
    before = model.predict(x.numpy())
    with torch.no_grad():
        module.weight.mul_(2)
    np.testing.assert_array_equal(model.predict(x.numpy()), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.to("meta"), "on the CPU"),
        (lambda m: m.weight.data.fill_(float("nan")), "finite"),
    ],
    ids=["meta", "nan"],
)
def test_modules_are_refused(change: Callable[[nn.Module], Any], message: str) -> None:
    module = nn.Linear(3, 2)
    change(module)
    with pytest.raises(ValueError, match=message):
        from_torch(module, torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("module", "inputs", "error", "message"),
    [
        (3, torch.zeros(2, 3), TypeError, "module"),
        (nn.Linear(3, 2), np.zeros((2, 3)), TypeError, "example_inputs"),
        (nn.Linear(3, 2), (), TypeError, "example_inputs"),
        (nn.Linear(3, 2), torch.tensor(1.0), ValueError, "example_inputs"),
        (nn.Linear(3, 2), torch.zeros(2, 4), ModelFormatError, "torch.export"),
        (nn.Linear(3, 2), {"x": torch.zeros(2, 3)}, (ModelFormatError, TypeError), "x"),
    ],
    ids=["module", "array", "nothing", "scalar", "shape", "name"],
)
def test_arguments_are_refused(module: Any, inputs: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        from_torch(module, inputs)


ROWS_TOGETHER: dict[str, Callable[[Any], Any]] = {
    "mean": lambda x: x - x.mean(0),
    "matmul": lambda x: x.mean(1) @ x.mean(1).T,
    "flip": lambda x: x.flip(0),
    "first-row": lambda x: x + x[0],
    "shift": lambda x: torch.cat((x[1:], x[:1])),
    "outer": lambda x: x.mean(1)[:, None] - x.mean(1)[None],
    "softmax": lambda x: x.softmax(0),
    "sort": lambda x: x.sort(0).values,
    "argsort": lambda x: x.argsort(0),
    "everything": lambda x: x / x.max(),
}


@pytest.mark.parametrize("name", ROWS_TOGETHER, ids=list(ROWS_TOGETHER))
def test_what_computes_with_several_rows_is_refused(name: str) -> None:
    with pytest.raises(ModelFormatError):
        from_torch(Function(ROWS_TOGETHER[name]), torch.randn(4, 5, 3))


def test_rows_taken_out_by_numbers_are_refused() -> None:
    with pytest.raises(ModelFormatError, match="places taken out by numbers"):
        from_torch(Function(lambda x: x[x[:, 0, 0].long()]), torch.rand(4, 5, 3))


def test_what_is_switched_within_a_module() -> None:
    """A part of a module without gradients is computed; what is written there or stands in it."""

    def part(x: Any) -> Any:
        with torch.enable_grad():
            y = x * 2
            with torch.no_grad():
                z = y.softmax(-1)
            return z + x

    check(Case(lambda: Function(part), sequence(4)))

    def written(x: Any) -> Any:
        y = x * 1
        with torch.enable_grad():
            y.add_(1)
        return y

    with pytest.raises(ModelFormatError, match="written into where gradients"):
        from_torch(Function(written), torch.randn(2, 4))

    def chosen(x: Any) -> Any:
        return torch.cond(torch.tensor([True])[0], lambda x: x.sin(), lambda x: x.cos(), (x,))

    with pytest.raises(ModelFormatError, match="operator cond is not supported"):
        from_torch(Function(chosen), torch.randn(2, 4))


@pytest.mark.parametrize("name", ["digamma", "lgamma", "erfinv"])
def test_an_operator_that_is_made_of_nothing_else_is_refused(name: str) -> None:
    with pytest.raises(ModelFormatError, match=f"operator aten.{name} is not supported"):
        from_torch(Function(getattr(torch, name)), torch.rand(2, 4))


def test_what_computes_something_else_in_eval_mode_is_refused() -> None:
    class Unscaled(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * torch.bernoulli(torch.ones(x.shape) * 0.9) if self.training else x

    with pytest.raises(ModelFormatError, match="eval mode"):
        from_torch(Unscaled(), torch.randn(4, 5))


def test_inputs_of_different_rows_are_refused() -> None:
    class Rows(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x.sum() + y

    with pytest.raises(ModelFormatError, match="numbers of rows"):
        from_torch(Rows(), (torch.randn(12), torch.randn(3)))


def _put_by_two_computed_numbers(x: torch.Tensor) -> Any:
    a = x * 1
    a[torch.arange(x.size(0)), x.sum(2).argmax(1), x.sum(1).argmax(1)] = 1
    return a


def _added_to_places(x: torch.Tensor) -> Any:
    return x.index_put((torch.arange(x.size(0)), torch.tensor(1)), torch.ones(3), accumulate=True)


def _written_through_a_window(x: torch.Tensor) -> Any:
    a = x * 1
    a.unfold(1, 2, 1)[:, 0, 0, 0] = 1
    return a


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_put_by_two_computed_numbers, "numbers put to places that are computed"),
        (_added_to_places, "numbers added to places"),
        (_written_through_a_window, "a part of a tensor is written into"),
    ],
)
def test_what_is_written_elsewhere_in_each_row_is_refused(
    function: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ModelFormatError, match=message):
        from_torch(Function(function), torch.randn(4, 5, 3))


def _waves(length: Any, *, stacked: bool = False) -> Any:
    """Return positions as sines and cosines (Vaswani et al., 2017)."""
    steps = torch.arange(length).unsqueeze(1) * torch.exp(torch.arange(0, 4, 2) * -1.5)
    if stacked:
        return torch.stack((torch.sin(steps), torch.cos(steps)), -1).transpose(1, 2).flatten(1)
    return torch.cat((torch.sin(steps), torch.cos(steps)), -1)


OPEN_POSITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "table": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1))),
    "row": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1)).unsqueeze(0).expand_as(x)),
    "expanded": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1)).expand(x.size(0), x.size(1))),
    "repeated": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1))[None].repeat(x.size(0), 1)),
    "repeated-rows": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1)).repeat(x.size(0), 1)),
    "expanded-as": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1)).expand_as(x)),
    "from-one": lambda m, x: m.e(x) + m.p(torch.arange(1, x.size(1) + 1)),
    "from-the-last": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1) - 1, -1, -1)),
    "down-to-one": lambda m, x: m.e(x) + m.p(torch.arange(x.size(1), 0, -1)),
    "behind-the-first": lambda m, x: m.e(x)[:, 1:] + m.p(torch.arange(x.size(1))[1:]),
    "numbers": lambda m, x: m.e(x) * torch.arange(x.size(1)).float()[:, None],
    "quotients": lambda m, x: m.e(x) * (torch.arange(x.size(1)) / 10)[:, None],
    "how-far": lambda m, x: (
        m.e(x) @ m.e(x).mT
        - (torch.arange(x.size(1))[None] - torch.arange(x.size(1))[:, None]).abs()
    ),
    "zeros-of-a-triangle": lambda m, x: (m.e(x) @ m.e(x).mT).masked_fill(
        torch.tril(torch.ones(x.size(1), x.size(1))) == 0, -1e9
    ),
    "waves": lambda m, x: m.e(x) + _waves(x.size(1)),
    "waves-side-by-side": lambda m, x: m.e(x) + _waves(x.size(1), stacked=True),
    "decay": lambda m, x: (m.e(x) * (0.9 ** torch.arange(x.size(1))).flip(0)[:, None]).sum(1),
    "relative": lambda m, x: (
        m.e(x) @ m.e(x).mT
        + m.p((torch.arange(x.size(1))[None] - torch.arange(x.size(1))[:, None]).clamp(-3, 3) + 3)[
            ..., 0
        ]
    ),
    "kinds": lambda m, x: torch.cat(
        [m.e(x), F.one_hot(torch.arange(x.size(1)) % 3, 3)[None].expand(x.size(0), -1, -1)], -1
    ),
    "itself": lambda m, x: (m.e(x) @ m.e(x).mT).masked_fill(torch.eye(x.size(1)).bool(), -1e9),
    "itself-and-before": lambda m, x: (m.e(x) @ m.e(x).mT).masked_fill(
        ~torch.ones(x.size(1), x.size(1)).tril().bool(), -1e9
    ),
    "slice": lambda m, x: m.e(x) + m.q[:, : x.size(1)],
    "slice-of-two": lambda m, x: m.e(x) + m.q[0, : x.size(1)],
    "mask": lambda m, x: (
        (m.e(x) @ m.e(x).mT)
        .masked_fill(m.mask[:, : x.size(1), : x.size(1)] == 0, -np.inf)
        .softmax(-1)
    ),
}


@pytest.mark.parametrize("name", OPEN_POSITIONS, ids=list(OPEN_POSITIONS))
def test_positions_leave_time_open(name: str) -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.p = nn.Embedding(11, 4), nn.Embedding(30, 4)
            self.q = nn.Parameter(torch.randn(1, 30, 4))
            self.register_buffer("mask", torch.tril(torch.ones(30, 30))[None])

        def forward(self, x: Any) -> Any:
            return OPEN_POSITIONS[name](self, x)

    assert check(Case(Positions, tokens())).input_shape == (None,)


OPEN_LENGTHS: dict[str, Callable[[Any], Any]] = {
    "mean-by-hand": lambda x: x.sum(1) / x.size(1),
    "times-a-part": lambda x: x * (1 / x.size(1)),
    "root": lambda x: x / x.size(1) ** 0.5,
    "root-of-a-tensor": lambda x: x / torch.sqrt(torch.tensor(x.size(1) * 1.0)),
    "number": lambda x: x * torch.tensor(x.size(1)).float() - x.size(1) // 2,
    "part-of-the-way": lambda x: x * (torch.arange(x.size(1)) / x.size(1))[:, None],
    "line": lambda x: x * torch.linspace(0, 1, x.size(1))[None, :, None],
    "line-weights": lambda x: (x * torch.linspace(-1, 2, x.size(1)).softmax(0)[:, None]).sum(1),
    "middle": lambda x: x[:, x.size(1) // 2],
    "a-third-before-the-end": lambda x: x[:, x.size(1) - x.size(1) // 3],
    "halves": lambda x: x[:, : x.size(1) // 2].mean(1) - x[:, x.size(1) // 2 :].mean(1),
    "windows-in-steps": lambda x: x.unfold(1, 3, 2).mean(-1),
    "rolled": lambda x: x.roll(1, 1) - x.roll(-1, 1),
    "rolled-by-more": lambda x: x.roll((5, 1), (1, 2)) + x.roll(-7, 1),
    "filled-up": lambda x: F.pad(
        F.interpolate(F.max_pool1d(x.mT, 2), scale_factor=2.0), (0, x.size(1) - x.size(1) // 2 * 2)
    ),
    "filled-up-on-both-sides": lambda x: F.pad(
        F.max_pool1d(x.mT, 2), (x.size(1) // 4, x.size(1) - x.size(1) // 2 - x.size(1) // 4)
    ),
    "cut-off": lambda x: F.pad(x.mT.repeat_interleave(2, 2), (1, -x.size(1) - 1)),
    "table-at-places": lambda x: x + torch.eye(40, 6)[torch.arange(x.size(1))],
    "places-backwards": lambda x: x[:, torch.arange(x.size(1) - 1, -1, -1)],
    "places-from-the-end": lambda x: x[:, torch.arange(x.size(1)) - 1],
    "sum-of-places": lambda x: x * torch.arange(x.size(1)).float().sum(),
    "mean-of-distances": lambda x: (
        x
        + (torch.arange(x.size(1))[:, None] - torch.arange(x.size(1)))
        .abs()
        .float()
        .mean(1)[:, None]
    ),
    "causal-heads": lambda x: F.multi_head_attention_forward(
        *[x.transpose(0, 1)] * 3,
        *(6, 2, torch.eye(18, 6), None, None, None, False, 0.0, torch.eye(6), None),
        attn_mask=torch.ones(x.size(1), x.size(1)).triu(1).bool(),
    )[0].transpose(0, 1),
    "added-to-products": lambda x: torch.baddbmm(torch.ones(x.size(1), x.size(1)).tril(), x, x.mT),
    "einsum-by-channel": lambda x: torch.einsum("btf,f->btf", x, torch.arange(6.0)),
    "einsum-of-states": lambda x: torch.einsum("bld,dn->bldn", x, torch.ones(6, 2).cumsum(0)),
    "einsum-of-groups": lambda x: torch.einsum(
        "gio,btgi->btgo", torch.arange(24.0).view(2, 3, 4), x.view(x.size(0), -1, 2, 3)
    ),
    "einsum-of-three": lambda x: torch.einsum("bxi,ij,byj->bxy", x, torch.eye(6).cumsum(1), x),
    "einsum-of-the-last": lambda x: torch.einsum("...i,io->...o", x, torch.eye(6, 3)),
    "einsum-without-result": lambda x: torch.einsum("bti,io", x, torch.eye(6, 3)),
    "mean-of-all-steps-2d": lambda x: F.avg_pool2d(x, (x.size(1), 1)).squeeze(1),
    "grouped-queries": lambda x: F.scaled_dot_product_attention(
        x.view(x.size(0), x.size(1), 2, 3).transpose(1, 2),
        x[:, None, :, :3],
        x[:, None, :, 3:],
        enable_gqa=True,
    ),
    "class-token": lambda x: torch.cat([torch.ones(6).expand(len(x), 1, -1), x], 1),
    "cut-at-places": lambda x: torch.cat(torch.tensor_split(x, (1, 2), 1)[::-1], 1),
    "last-of-each-row": lambda x: x[torch.arange(x.size(0)), -1],
    "last-by-full": lambda x: x[torch.arange(len(x)), torch.full((len(x),), x.size(1) - 1)],
    "last-by-gather": lambda x: x.gather(1, torch.full((x.size(0), 1, 6), x.size(1) - 1))[:, 0],
    "each-row": lambda x: x[torch.arange(x.size(0))].mean(1),
    "rotary": lambda x: (
        x * torch.einsum("i,j->ij", torch.arange(x.size(1)).float(), torch.logspace(0, -2, 6)).cos()
    ),
    "weighted-by-einsum": lambda x: torch.einsum("t,btf->bf", torch.arange(x.size(1)) / 10, x),
    "einsum-of-places": lambda x: torch.einsum(
        "ij,bjf->bif", (torch.arange(x.size(1))[:, None] - torch.arange(x.size(1))).abs() / 10, x
    ),
    "as-long-as-before": lambda x: F.interpolate(
        F.avg_pool1d(x.mT, 2), size=x.size(1), mode="linear"
    ),
    "as-long-as-before-by-ends": lambda x: F.interpolate(
        x[:, ::2].mT, size=x.size(1), mode="linear", align_corners=True
    ),
    "nearest-as-before": lambda x: x + F.interpolate(x[:, ::2].mT, size=x.size(1)).mT,
    "half-as-long": lambda x: F.interpolate(x.mT, scale_factor=0.5, mode="linear"),
    "half-longer": lambda x: F.interpolate(x.mT, scale_factor=1.5, mode="linear"),
    "three-means": lambda x: F.adaptive_avg_pool1d(x.mT, 3),
    "four-maxima": lambda x: F.adaptive_max_pool1d(x.mT, 4),
    "windows-of-one-axis": lambda x: F.adaptive_avg_pool2d(x[:, None], (None, 4)),
    "windows-of-the-other": lambda x: F.adaptive_max_pool2d(x[:, None], (4, None)),
    "patches": lambda x: F.pad(x.mT, (0, 2), mode="replicate").unfold(-1, 4, 2).flatten(2),
    "sum-so-far": lambda x: torch.ones(x.size(1), x.size(1)).tril() @ x,
    "mean-so-far": lambda x: x.cumsum(1) / torch.arange(1, x.size(1) + 1)[:, None],
    "twice-as-many": lambda x: F.interpolate(x.mT, scale_factor=2, mode="linear"),
    "three-largest": lambda x: x.topk(3, 1).values.mean(1),
    "in-order": lambda x: x.sort(1)[0],
    "filled-up-to-fours": lambda x: F.pad(x, (0, 0, 0, -x.size(1) % 4)).unflatten(1, (-1, 4)),
    "filled-up-to-threes": lambda x: (
        F.pad(x, (0, 0, 0, (3 - x.size(1) % 3) % 3)).view(len(x), -1, 3, 6).mean(2)
    ),
    "pairs-of-steps": lambda x: x[:, : x.size(1) // 2 * 2].reshape(len(x), -1, 12),
    "all-but-what-is-left": lambda x: x[:, : x.size(1) - x.size(1) % 3].view(len(x), -1, 18),
    "two-chunks": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "first-of-a-length": lambda x: x.narrow(1, 1, 5),
    "last-of-a-length": lambda x: x.narrow(1, -3, 3),
    "of-a-length-before-the-end": lambda x: x.narrow(1, -4, 2) + x.narrow(1, -1, 1),
    "maxima-cut-off": lambda x: F.max_pool1d(x.mT, 2, ceil_mode=True),
    "maxima-cut-off-and-padded": lambda x: F.max_pool1d(x.mT, 4, 3, 1, ceil_mode=True),
    "means-cut-off": lambda x: F.avg_pool1d(x.mT, 2, ceil_mode=True),
    "means-cut-off-and-padded": lambda x: F.avg_pool1d(x.mT, 4, 3, 1, ceil_mode=True),
    "means-without-padding": lambda x: F.avg_pool1d(x.mT, 3, 2, 1, count_include_pad=False),
    "means-without-padding-2d": lambda x: F.avg_pool2d(
        x[:, None], 3, (2, 1), (1, 1), count_include_pad=False
    ),
    "means-cut-off-without-padding": lambda x: F.avg_pool1d(
        x.mT, 4, 2, 1, ceil_mode=True, count_include_pad=False
    ),
    "len": lambda x: (lambda y: y[len(y) - 1])(x.transpose(0, 1)),
    "len-of-a-row": lambda x: x.cumsum(1)[:, len(x.transpose(0, 1)) // 2],
    "rows-and-steps": lambda x: (2 * x.reshape(x.shape[0] * x.shape[1], -1)).view(x.shape),
}


@pytest.mark.parametrize("name", OPEN_LENGTHS)
def test_numbers_computed_of_lengths_leave_them_open(name: str) -> None:
    module = lambda: With(nn.Linear(6, 6), lambda m, x: OPEN_LENGTHS[name](m(x)))  # noqa: E731
    assert check(Case(module, sequence(6))).input_shape == (None, 6)


class Cells(nn.Module):
    """A cell of one's own over steps that are in front."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.size(1), 4)
        for t in range(x.size(0)):
            h = torch.tanh(self.x(x[t]) + self.h(h))
        return h


def test_steps_that_are_taken_one_by_one_are_in_front() -> None:
    torch.manual_seed(0)
    module = Cells()
    model = from_torch(module, torch.randn(5, 2, 3))
    fixed, turned = model.notes
    assert "fixes axis 0 of input 'x'" in fixed
    assert "for t in range(x.size(0))" in fixed
    assert turned == "input 'x': the module takes rows along axis 1, here it is axis 0"
    x = torch.randn(5, 4, 3)
    expected = module(x).detach()
    np.testing.assert_allclose(model.predict(x.transpose(0, 1).numpy()), expected, atol=1e-6)


def test_states_of_several_layers_have_their_rows_second() -> None:
    torch.manual_seed(0)
    module = With(nn.GRU(3, 4, 2, batch_first=True), lambda m, x, h: m(x, h)[0])
    model = from_torch(module, (torch.randn(3, 5, 3), torch.randn(2, 3, 4)))
    x, h = torch.randn(2, 7, 3), torch.randn(2, 2, 4)
    found = model.predict([x.numpy(), h.transpose(0, 1).numpy()])
    np.testing.assert_allclose(found, module(x, h).detach(), atol=1e-6)


def test_states_of_each_layer_have_their_rows_second() -> None:
    """Seven tensors, six of which have them there: more ways than are tried in turn."""
    layers = nn.ModuleList(nn.LSTM(3, 3, batch_first=True) for _ in range(3))

    def run(module: Any, x: Any, states: Any) -> Any:
        for layer, state in zip(module, states, strict=True):
            x, _ = layer(x, state)
        return x

    def states(rows: int) -> Any:
        return [(torch.randn(1, rows, 3), torch.randn(1, rows, 3)) for _ in range(3)]

    module = With(layers, run).eval()
    model = from_torch(module, (torch.randn(3, 5, 3), states(3)))
    x, given = torch.randn(2, 7, 3), states(2)
    arrays = [t.transpose(0, 1).numpy() for pair in given for t in pair]
    found = model.predict([x.numpy(), *arrays])
    np.testing.assert_allclose(found, module(x, given).detach(), atol=1e-6)


@pytest.mark.parametrize("options", [{"num_layers": 2}, {"bidirectional": True}, {"proj_size": 2}])
def test_states_of_packed_sequences_leave_time_open(options: dict[str, Any]) -> None:
    kind = nn.LSTM if "proj_size" in options else nn.GRU
    count, width = 1 + ("proj_size" not in options), options.get("proj_size", 4)

    def run(layer: Any, x: Any, lengths: Any, *state: Any) -> Any:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = layer(packed, state if len(state) == 2 else state[0])
        return pad_packed_sequence(y, batch_first=True, total_length=x.size(1))[0]

    def inputs(lengths: Sequence[int], steps: int) -> Any:
        rows = len(lengths)
        h, c = torch.randn(count, rows, width), torch.randn(count, rows, 4)
        states = (h, c) if kind is nn.LSTM else (h,)
        return torch.randn(rows, steps, 3), torch.tensor(lengths), *states

    module = With(kind(3, 4, batch_first=True, **options), run).eval()
    model = from_torch(module, inputs([2, 5], 5))
    given = inputs([7, 1, 4], 7)
    arrays = [t.numpy() if t.ndim < 3 or len(t) == 3 else t.transpose(0, 1).numpy() for t in given]
    found = model.predict(arrays)
    np.testing.assert_allclose(found, module(*given).detach(), atol=1e-6)
    wrong = inputs([2, 5], 5)
    with pytest.raises(ModelFormatError, match="expected initial states"):
        from_torch(module, (*wrong[:2], *(torch.cat([s, s]) for s in wrong[2:])))


@pytest.mark.parametrize(
    "count",
    [lambda x: range(len(x)), lambda x: range(x.size(0)), lambda x: [*range(len(x))]],
    ids=["range-len", "range-size", "list"],
)
def test_rows_counted_by_a_range(count: Callable[[Any], Any]) -> None:
    gru = nn.GRU(3, 4, batch_first=True)
    module = With(gru, lambda m, x, n: m(x)[0][count(x), n - 1, :2])
    model = from_torch(module, (torch.randn(2, 5, 3), torch.tensor([5, 2])))
    x, n = torch.randn(3, 7, 3), torch.tensor([1, 7, 4])
    found = model.predict([x.numpy(), n.numpy()])
    np.testing.assert_allclose(found, module(x, n).detach(), atol=1e-6)


def test_the_largest_of_weights_is_known() -> None:
    linear = nn.Linear(3, 4)
    module = With(linear, lambda m, x: m(x) / m.weight.max() - m.bias.min())
    x = torch.randn(3, 3)
    found = from_torch(module, torch.randn(2, 3)).predict(x.numpy())
    np.testing.assert_allclose(found, module(x).detach(), rtol=1e-5, atol=1e-6)


class Twins(nn.Module):
    """Two sequences that are encoded as one batch, one behind the other."""

    def __init__(self, compare: Any) -> None:
        super().__init__()
        self.lstm, self.compare = nn.LSTM(3, 4, batch_first=True), compare

    def forward(self, a: Any, b: Any) -> Any:
        y = self.lstm(torch.cat([a, b, a.flip(1)]))[0].amax(1)
        return self.compare(y, len(a))


@pytest.mark.parametrize(
    "compare",
    [
        lambda y, n: torch.cat([(part * i) for i, part in enumerate(y.chunk(3, 0), 1)], 1),
        lambda y, n: torch.cat([(part * i) for i, part in enumerate(y.split(n), 1)], 1),
        lambda y, n: y[:n] - 2 * y[-n:] + 3 * y[n : 2 * n],
        lambda y, n: y[n:].view(2, n, 4).sum(0) * y[:n],
        lambda y, n: y[: 2 * n].reshape(2, n, -1).transpose(0, 1).flatten(1) * y[-n:, :1],
    ],
)
def test_batches_one_behind_the_other(compare: Any) -> None:
    module = Twins(compare)
    model = from_torch(module, (torch.randn(2, 5, 3), torch.randn(2, 5, 3)))
    assert not model.notes
    x = [torch.randn(4, 7, 3), torch.randn(4, 7, 3)]
    found = model.predict([t.numpy() for t in x])
    np.testing.assert_allclose(found, module(*x).detach(), atol=1e-6)


@pytest.mark.parametrize("some", [lambda y, n: y[:1], lambda y, n: y[n - 1 :], lambda y, n: y[::2]])
def test_parts_of_batches_one_behind_the_other(some: Any) -> None:
    with pytest.raises(ModelFormatError, match=r"of the batch (is|are) taken out|with one another"):
        from_torch(Twins(some), (torch.randn(2, 5, 3), torch.randn(2, 5, 3)))


@pytest.mark.parametrize(
    "moved",
    [
        lambda bias: bias.permute(2, 0, 1),
        lambda bias: bias.transpose(0, 1).permute(-1, 0, 1),
        lambda bias: bias.movedim(-1, 0).mT,
        lambda bias: bias.swapaxes(0, 2),
    ],
)
def test_relative_positions_of_open_lengths(moved: Any) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.bias = nn.Linear(4, 12), nn.Embedding(9, 2)

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(x).unflatten(2, (3, 2, 2)).permute(2, 0, 3, 1, 4)
            places = torch.arange(x.size(1))
            bias = self.bias((places[None] - places[:, None]).clamp(-4, 4) + 4)
            weights = (q @ k.transpose(-1, -2) + moved(bias)[None]).softmax(-1)
            return (weights @ v).transpose(1, 2).flatten(2)

    module = Attends()
    model = from_torch(module, torch.randn(2, 5, 4))
    assert not model.notes
    x = torch.randn(3, 8, 4)
    np.testing.assert_allclose(model.predict(x.numpy()), module(x).detach(), atol=1e-6)


def test_places_counted_from_the_end_by_lengths() -> None:
    """As skip connections of convolutions that shorten what goes through them."""

    def forward(x: Any) -> Any:
        y, z = x[:, 1:], x[:, 4:]
        return y[:, -z.size(1) :] + z, y[:, : -z.size(1)]

    module = Function(forward)
    model = from_torch(module, torch.randn(2, 9))
    assert not model.notes
    x = torch.randn(3, 12)
    for found, wanted in zip(model.predict(x.numpy()), module(x), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def most(lengths: Any) -> Any:
    return int(lengths.max())


@pytest.mark.parametrize(
    "mask",
    [
        lambda x, n: torch.arange(n.max()) < n[:, None],
        lambda x, n: torch.arange(n.max().item()).expand(len(n), -1) < n.unsqueeze(1),
        lambda x, n: torch.arange(0, int(n.max()))[None] < n[:, None],
        lambda x, n: torch.arange(most(n)).repeat(x.size(0), 1) < n[:, None],
        lambda x, n: torch.arange(max(n))[None] < n[:, None],
        lambda x, n: torch.arange(max(n.tolist()))[None] < n[:, None],
        lambda x, n: torch.ones(len(n), int(n.max())).cumsum(1) <= n[:, None],
        lambda x, n: torch.arange(n.max().item() - 1, -1, -1).flip(0) < n[:, None],
        lambda x, n: torch.arange((x > -9).sum(1).max().item()) < n[:, None],
        lambda x, n: (torch.arange(n.max().item()) < n[:, None]) & (x > torch.zeros(int(n.max()))),
    ],
)
def test_the_most_steps_of_all_rows_are_the_steps(mask: Any) -> None:
    """A mask that is as long as the longest row fits no other number of steps."""
    module = Function(lambda x, n: (x * mask(x, n)).sum(1) / n)
    model = from_torch(module, (torch.randn(2, 5), torch.tensor([5, 2])))
    assert not model.notes
    x, n = torch.randn(4, 8), torch.tensor([1, 8, 3, 8])
    np.testing.assert_allclose(model.predict([x.numpy(), n.numpy()]), module(x, n), atol=1e-6)


def test_the_most_steps_of_all_rows_are_those_that_were_packed() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=True)

        def forward(self, x: Any, n: Any) -> Any:
            packed = pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
            mask = torch.arange(int(n.max()))[None, :] < n[:, None]
            return y.masked_fill(~mask[..., None], -1.0).amax(1)

    module = Tagger()
    model = from_torch(module, (torch.randn(2, 5, 3), torch.tensor([5, 2])))
    x, n = torch.randn(4, 8, 3), torch.tensor([1, 7, 3, 8])
    found = model.predict([x.numpy(), n.numpy()])
    np.testing.assert_allclose(found, module(x, n).detach(), atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: x[:, : int(n.max())].cumsum(1)[:, -1],
        lambda x, n: x.sum(1) / int(n.max()),
        lambda x, n: x * n.max(),
    ],
)
def test_the_largest_length_is_that_of_other_rows(function: Any) -> None:
    with pytest.raises(ModelFormatError, match=r"largest or smallest of all rows; .* x.size\(1\)"):
        from_torch(Function(function), (torch.randn(2, 5), torch.tensor([5, 2])))
    assert "int" not in globals()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, int(x.size(1)) // 2 :].sum(1),
        lambda x: x.sum(1) / max(3, x.size(1)),
        lambda x: x.sum(1) / max(x.size(1) / 2, 3.5),
        lambda x: x.sum(1) * min(x.size(1), 9, x.size(1) - 1),
        lambda x: x.sum(1) * isinstance(3, int) + int("2") + int(2.5) + ({int: 1}[int]),
    ],
)
def test_numbers_of_lengths_that_are_left_open(function: Any) -> None:
    module = Function(function)
    model = from_torch(module, torch.randn(2, 5))
    assert not model.notes
    for steps in (2, 4, 8, 11):
        x = torch.randn(3, steps)
        np.testing.assert_allclose(model.predict(x.numpy()), module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, : min(30, x.size(1))].sum(1),
        lambda x: F.pad(x, (0, max(12 - x.size(1), 0))).sum(1),
        lambda x: x.sum(1) * int(x.size(1) > 3),
        lambda x: x[:, int(x.size(1) * 0.5) :].sum(1),
        lambda x: x.sum(1) * torch.arange(max(3, x.size(1))).sum(),
    ],
)
def test_lengths_that_are_computed_otherwise(function: Any) -> None:
    """Lengths are those of the example then; it is told which line asks for that."""
    module, x = Function(function), torch.randn(3, 5)
    model = from_torch(module, torch.randn(2, 5))
    (note,) = model.notes
    assert "a number computed of lengths that are left open" in note
    assert re.search(r" \(test_torch_export\.py:\d+: ", note)
    np.testing.assert_allclose(model.predict(x.numpy()), module(x), rtol=1e-5, atol=1e-6)


def test_other_types_that_are_switched_off() -> None:
    class Plain(nn.Module):
        def __init__(self, on: bool) -> None:
            super().__init__()
            self.gru, self.on = nn.GRU(3, 4, batch_first=True), on

        def forward(self, x: Any) -> Any:
            with torch.autocast("cpu", enabled=self.on):
                return self.gru(x)[0]

    check(Case(lambda: Plain(False), sequence()))
    with pytest.raises(ModelFormatError, match="wrap_with_autocast"):
        from_torch(Plain(True), torch.randn(2, 5, 3))


@dataclass
class Said:
    """What a module returns by name, of which some is not there."""

    y: Any
    loss: Any = None
    last: Any = None


def test_outputs_of_a_dataclass_are_outputs_by_name() -> None:
    module = With(nn.GRU(3, 4, batch_first=True), lambda m, x: Said(m(x)[0], None, m(x)[0][:, -1]))
    model = from_torch(module, torch.randn(2, 5, 3))
    x = torch.randn(3, 7, 3)
    found, expected = model.predict(x.numpy()), module(x)
    assert {*found} == {"y", "last"}
    for name, array in found.items():
        np.testing.assert_allclose(array, getattr(expected, name).detach(), atol=1e-6)


class Forced(nn.Module):
    """A decoder that is told the truth by chance."""

    def __init__(self, chance: Callable[[Any, float], bool]) -> None:
        super().__init__()
        self.cell, self.out, self.chance = nn.GRUCell(2, 4), nn.Linear(4, 2), chance

    def forward(self, x: Any, ratio: float = 0.5) -> Any:
        h, said, found = x.new_zeros(x.size(0), 4), x[:, 0], []
        told = self.chance(self, ratio)
        for t in range(4):
            h = self.cell(said, h)
            found.append(self.out(h))
            said = x[:, t] if told else found[-1]
        return torch.stack(found, 1)


CHANCES: dict[str, Callable[[Any, float], bool]] = {
    "random": lambda m, ratio: random.random() < ratio,
    "by-name": lambda m, ratio: RANDOM() < ratio,
    "uniform": lambda m, ratio: random.uniform(0, 1) < ratio,
    "numpy": lambda m, ratio: np.random.rand() < ratio,  # noqa: NPY002
    "rare": lambda m, ratio: random.random() < ratio / 1000,
}


@pytest.mark.parametrize("name", CHANCES)
def test_what_is_decided_by_chance_is_refused(name: str) -> None:
    before = random.getstate()
    with pytest.raises(ModelFormatError, match="decides by numbers of Python's random or NumPy's"):
        from_torch(Forced(CHANCES[name]), torch.randn(3, 4, 2))
    assert random.getstate() == before
    model = from_torch(Forced(CHANCES[name]), (torch.randn(3, 4, 2), 0.0))
    assert model.input_names == ("input",)


def test_chance_while_training_is_none_here() -> None:
    """As in evaluation, whatever would have been drawn."""
    module = Forced(lambda m, ratio: random.random() < (ratio if m.training else 0.0)).eval()
    x = torch.randn(5, 4, 2)
    for seed in range(4):
        random.seed(seed)
        found = from_torch(module, torch.randn(3, 4, 2)).predict(x.numpy())
        np.testing.assert_allclose(found, module(x).detach(), atol=1e-6)


def test_a_line_of_one_step_is_its_start() -> None:
    line = Function(lambda x: x + torch.linspace(2, 3, x.size(1))[:, None])
    model = from_torch(line, torch.zeros(2, 5, 3))
    np.testing.assert_array_equal(model.predict(np.zeros((1, 1, 3), np.float32)), [[[2, 2, 2]]])


class Table(nn.Module):
    """Numbers that are looked up without an `nn.Embedding`."""

    def __init__(self, function: Callable[..., Any], *shape: int) -> None:
        super().__init__()
        self.function, self.table = function, nn.Parameter(torch.randn(*shape))

    def forward(self, *inputs: Any) -> Any:
        return self.function(self.table, *inputs)


TABLES: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "tokens": (lambda t, x: t[x], (11, 4)),
    "matrices": (lambda t, x: t[x].flatten(2), (11, 2, 3)),
    "numbers": (lambda t, x: t[x], (11,)),
    "a-step": (lambda t, x: t[x[:, -1]], (11, 4)),
    "selected": (lambda t, x: torch.index_select(t, 0, x[:, 0]), (11, 4)),
    "columns": (lambda t, x: torch.index_select(t, 1, x[:, 0]).T, (4, 11)),
    "computed": (lambda t, x: t[(x + 3) % 11], (11, 4)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_parameter_is_a_table_to_look_up(name: str) -> None:
    function, shape = TABLES[name]
    check(Case(lambda: Table(function, *shape), tokens()))


ADDED: dict[str, Callable[[Any, Any], Any]] = {
    "to-zeros": lambda x, i: torch.zeros(x.size(0), 11).scatter_add(1, i, x[..., 0]),
    "in-place": lambda x, i: x.mean(1).repeat(1, 4)[:, :11].scatter_add_(-1, i, x[..., 1]),
    "another-axis": lambda x, i: torch.ones(x.size(0), 11, 3).scatter_add(
        1, i[..., None].expand(-1, -1, 3), x
    ),
    "some": lambda x, i: torch.zeros(x.size(0), 11).scatter_add(1, i[:, :2], x[..., 0]),
}


@pytest.mark.parametrize("name", ADDED)
def test_numbers_are_added_to_places(name: str) -> None:
    """As networks that copy words of their input add up what points to each."""

    def inputs(rows: int, steps: int) -> tuple[torch.Tensor, ...]:
        return torch.randn(rows, steps, 3), torch.randint(0, 11, (rows, steps))

    check(Case(lambda: Function(ADDED[name]), inputs))


@pytest.mark.parametrize("value", [-9.0, -np.inf])
@pytest.mark.parametrize("first", [True, False])
def test_places_behind_the_end_of_a_sequence_are_filled(first: bool, value: float) -> None:
    """As before the largest of its steps are taken."""

    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=first)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, first, enforce_sorted=False)
            y, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], first, value)
            return y.amax(1 if first else 0), y.clamp(-10)

    made = _with_lengths(first, False)
    check(Case(Filled, made, in_axes=[1 - first, 0], out_axes=[0, 1 - first]))


def test_numbers_are_added_to_places_that_are_refused() -> None:
    def to_a_part(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(x.size(0), 4, 5).scatter_add(2, x[:, :2].long().abs() % 5, x[:, :2])

    with pytest.raises(ModelFormatError, match="added to a part of the places on another axis"):
        from_torch(Function(to_a_part), torch.randn(3, 3, 2))


def test_what_leaves_no_other_lengths_is_noted() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0] + x.chunk(3, 1)[0].mean((1, 2))[:, None, None]

    model = from_torch(Scaled(), torch.zeros(2, 5, 3))
    assert model.input_shape == (5, 3)
    (note,) = model.notes
    assert note.startswith("lengths are those of the examples; what allows no others: ")
    assert "chunks of" in note
    assert not from_torch(nn.Linear(3, 4), torch.zeros(2, 5, 3)).notes


def test_whole_numbers_that_float32_does_not_hold_are_refused() -> None:
    hours = Table(lambda t, x: t[(x // 3600) % 24], 24, 4)
    model = from_torch(hours, torch.arange(9)[None] * 3600)
    np.testing.assert_array_equal(
        model.predict(np.array([[7200]])), hours(torch.tensor([[7200]])).detach()
    )
    with pytest.raises(ValueError, match="x: expected whole numbers that float32 holds"):
        model.predict(np.array([[1_600_000_001]]))
    hashed = Table(lambda t, x: t[(x * 1000003) % 97], 97, 4)
    model = from_torch(hashed, torch.arange(9)[None])
    with pytest.raises(ValueError, match=r"below 2\*\*24.* up to which float32 holds all"):
        model.predict(np.array([[30_000]]))


def test_a_module_is_left_as_it_was() -> None:
    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.hidden = nn.GRU(3, 4, batch_first=True), None
            self.register_buffer("last", torch.zeros(1))
            self.keeps_last = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, self.hidden = self.gru(x, self.hidden)
            if self.keeps_last:
                self.last = y[:, -1]
            return y

    module = Remembering().train()
    model = from_torch(module, torch.randn(2, 5, 3))
    assert module.last.shape == (1,)
    assert module.hidden is None
    module.keeps_last = False
    assert module.training
    x = torch.randn(3, 5, 3)
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(x.numpy()), model.predict(x.numpy()))


def test_the_number_of_rows_is_no_number() -> None:
    with pytest.raises(ModelFormatError, match="numbers computed of how many rows there are"):
        from_torch(Function(lambda x: x / x.size(0)), torch.randn(4, 5, 3))


def test_half_and_double_weights_are_taken_with_a_note() -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        module = nn.Linear(3, 2).to(dtype)
        model = from_torch(module, torch.zeros(2, 3, dtype=dtype))
        assert any(str(dtype).removeprefix("torch.") in note for note in model.notes)
        x = torch.randn(4, 3)
        expected = module.float()(x).detach().numpy()
        np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_numbers_that_a_module_rounds_have_a_note(narrow: torch.dtype) -> None:
    class Rounding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.to(narrow).float()).to(narrow).float()

    module = Rounding()
    (note,) = from_torch(module, torch.zeros(2, 3)).notes
    assert str(narrow) in note
    assert not from_torch(module.layer, torch.zeros(2, 3)).notes
    x = torch.randn(50, 3)  # and it is as said: as if nothing was rounded
    expected = module.layer(x).detach().numpy()
    np.testing.assert_allclose(
        from_torch(module, torch.zeros(2, 3)).predict(x.numpy()), expected, rtol=1e-5, atol=1e-6
    )


def test_inputs_by_name_are_inputs_by_name() -> None:
    module = MODELS["many-inputs"][0]().eval()
    x, category, numbers = MODELS["many-inputs"][1](3, 5)
    given = {"x": x, "category": category, "numbers": numbers}
    model = from_torch(module, given)
    assert model.input_names == ("x", "category", "numbers")
    found = model.predict({k: v.numpy() for k, v in given.items()})
    with torch.no_grad():
        expected = module(**given).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


class Nested(nn.Module):
    """A module that is given its state, and options of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Any, hidden: Any = None, scale: float = 1.0, **more: Any) -> Any:
        y, (h, c) = self.lstm(x, hidden)
        y = y * more["weight"][..., None] if "weight" in more else y
        return {"y": scale * y, "h": h.transpose(0, 1), "c": c.transpose(0, 1)}


NESTED: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "tuple": (lambda x, h, c, w: (x, (h, c)), ["x", "hidden_0", "hidden_1"]),
    "list": (lambda x, h, c, w: [x, [h, c], 2.5], ["x", "hidden_0", "hidden_1"]),
    "name": (lambda x, h, c, w: {"hidden": (h, c), "x": x}, ["hidden_0", "hidden_1", "x"]),
    "nothing": (lambda x, h, c, w: (x, None, 3), ["input"]),
    "other-names": (lambda x, h, c, w: {"weight": w, "x": x, "hidden": None}, ["weight", "x"]),
    "all": (
        lambda x, h, c, w: {"x": x, "weight": w, "hidden": (h, c), "scale": 2},
        ["x", "weight", "hidden_0", "hidden_1"],
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_inputs_within_others(name: str) -> None:
    module, (given, names) = Nested(), NESTED[name]

    def inputs(rows: int, steps: int) -> Any:
        state = torch.randn(2, 1, rows, 4)
        return given(torch.randn(rows, steps, 3), *state, torch.rand(rows, steps))

    model = from_torch(module, inputs(2, 5))
    assert [*model.input_names] == names
    some = inputs(3, 7)
    tensors = [v for v in torch.utils._pytree.tree_leaves(some) if isinstance(v, torch.Tensor)]
    x = [v.numpy() if len(v) == 3 else v.transpose(0, 1).numpy() for v in tensors]
    found = model.predict(dict(zip(names, x, strict=True)) if len(x) > 1 else x[0])
    module.eval()
    expected = module(**some) if isinstance(some, dict) else module(*some)
    for key, wanted in expected.items():
        np.testing.assert_allclose(found[key], wanted.detach().numpy(), rtol=0, atol=TOLERANCE)


class Batch(nn.Module):
    """A module that takes a batch as its loader makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, batch: Any, *others: Any) -> Any:
        return self.gru(batch["past"])[0] + batch["known"][0] + sum(others)


def test_inputs_in_a_dict_and_one_after_another() -> None:
    module = Batch().eval()
    x, y = torch.randn(3, 7, 3), torch.randn(3, 7, 4)
    model = from_torch(module, ({"past": x[:2, :5], "known": [y[:2, :5]]}, y[:2, :5], y[:2, :5]))
    names = ("batch_past", "batch_known_0", "others_0", "others_1")
    assert model.input_names == names
    arrays = dict(zip(names, (x.numpy(), *[y.numpy()] * 3), strict=True))
    expected = module({"past": x, "known": [y]}, y, y).detach().numpy()
    np.testing.assert_allclose(model.predict(arrays), expected, rtol=0, atol=TOLERANCE)


def test_inputs_that_cannot_be_told_apart_are_refused() -> None:
    x = torch.randn(2, 5, 3)
    with pytest.raises(TypeError, match="example_inputs: expected tensors of real numbers"):
        from_torch(Nested(), torch.zeros(2, 5, 3, dtype=torch.cfloat))
    for given in ({"x": x, "hidden": object()}, {"x": x, 3: x}, (x, None, b"")):
        with pytest.raises(TypeError, match="example_inputs: expected"):
            from_torch(Nested(), given)
    with pytest.raises(TypeError, match="example_inputs: expected a tensor, or a tuple or dict"):
        from_torch(Nested(), (None, True))
    with pytest.raises(TypeError, match=r"example_inputs: forward.*too many positional arguments"):
        from_torch(Nested(), (x, None, 1, 2))
    with pytest.raises(ValueError, match="example_inputs: expected inputs of different names"):
        from_torch(Nested(), {"x": x, "hidden": (x, x), "hidden_0": x})


class Recurrent(nn.Module):
    """A recurrent layer and a head, put together by a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 4)
        self.function = function

    def forward(self, *given: Any) -> Any:
        return self.function(self, *given)


# ---- places counted through all rows ----

FLAT: dict[str, Callable[[Any, Any], Any]] = {
    "index": lambda y, n: y.reshape(-1, 4)[torch.arange(len(y)) * y.size(1) + n - 1],
    "swapped": lambda y, n: y.reshape(-1, 4)[(n - 1) + torch.arange(len(y)) * y.size(1)],
    "first": lambda y, n: y.reshape(-1, 4)[y.size(1) * torch.arange(len(y)) + (n - 2 + 1)],
    "selected": lambda y, n: y.reshape(-1, 4).index_select(
        0, torch.arange(len(y)) * y.size(1) + n - 1
    ),
}


@pytest.mark.parametrize("function", FLAT.values(), ids=FLAT)
def test_places_counted_through_all_rows(function: Any) -> None:
    module = Recurrent(lambda m, x, n: function(m.lstm(x)[0], n)).eval()
    model = from_torch(module, (torch.randn(3, 6, 3), torch.tensor([6, 2, 4])))
    for steps, lengths in ((6, [1, 6, 3, 2]), (9, [9, 4])):
        x, n = torch.randn(len(lengths), steps, 3), torch.tensor(lengths)
        expected = module(x, n).detach().numpy()
        found = model.predict([x.numpy(), n.numpy()])
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_places_counted_otherwise_are_refused() -> None:
    for function in (
        lambda y, n: y.reshape(-1, 4)[torch.arange(len(y)) * 5 + n - 1],
        lambda y, n: y.reshape(-1, 4)[torch.arange(len(y)) * n],
        lambda y, n: y + torch.arange(len(y))[:, None, None],
    ):
        module = Recurrent(lambda m, x, n, function=function: function(m.lstm(x)[0], n))
        with pytest.raises(ModelFormatError):
            from_torch(module, (torch.randn(3, 6, 3), torch.tensor([1, 2, 1])))


# ---- how tensors lie, what is checked, and rows that are sorted ----


def _as_a_matrix(m: Any, x: Any) -> Any:
    y, _ = m.lstm(x)
    return m.head(m.relu(y.contiguous().view(-1, 4))).view(len(x), -1, 4) + y


def _reshaped(m: Any, x: Any) -> Any:
    y, _ = m.lstm(x)
    return m.head(m.relu(y.reshape(-1, 4))).view(len(x), -1, 4) + y


def _last_step_as_it_lies(m: Any, x: Any) -> Any:
    y, _ = m.lstm(x)
    return m.head(m.relu(y[:, -1].contiguous())) + y.mean(1)


def _steps_first_as_it_lies(m: Any, x: Any) -> Any:
    y, _ = m.lstm(x)
    z = y.transpose(0, 1).contiguous().mul_(2)
    return y + z.transpose(0, 1)


def _padded_as_it_lies(m: Any, x: Any) -> Any:
    lengths = torch.full((len(x),), x.size(1))
    y, _ = m.lstm(pack_padded_sequence(x, lengths, batch_first=True))
    y, _ = pad_packed_sequence(y, batch_first=True)
    return m.head(m.relu(y.contiguous().view(-1, 4))).view(len(x), -1, 4) + y


LYING = [
    *(_as_a_matrix, _reshaped, _last_step_as_it_lies, _steps_first_as_it_lies),
    _padded_as_it_lies,
]


@pytest.mark.parametrize("function", LYING, ids=lambda f: f.__name__)
def test_what_is_written_into_by_how_it_lies(function: Any) -> None:
    """What a recurrent layer puts out lies steps first: what is contiguous is a copy, or is not."""
    module = Recurrent(function).eval()
    model = from_torch(module, torch.randn(3, 6, 3))
    for rows, steps in ((3, 6), (5, 4), (2, 9)):
        x = torch.randn(rows, steps, 3)
        expected = module(x.clone()).detach().numpy()
        np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)


def test_what_lies_otherwise_for_the_example_is_refused() -> None:
    """Of one row it is no copy."""
    with pytest.raises(ModelFormatError, match="the module computes something else in eval mode"):
        from_torch(Recurrent(_as_a_matrix), torch.randn(1, 6, 3))


def _asserted(m: Any, x: Any) -> Any:
    assert torch.isfinite(x).all() and (x < 100).all(), "a number"  # noqa: PT018
    assert not torch.isnan(x).any()
    y, (h, _) = m.lstm(x)
    assert (y[:, -1] == h[-1]).all()
    return m.head(y)


def _raised(m: Any, x: Any) -> Any:
    if torch.isnan(x).any() or torch.isinf(x).any():
        raise ValueError("a number")
    if not (x < 100).all():
        raise ValueError("too large")
    return m.lstm(x)[0]


def _chosen(m: Any, x: Any) -> Any:
    if (x > 0).any():
        return m.lstm(x)[0]
    return m.head(m.lstm(x)[0])


def _mixed(m: Any, x: Any) -> Any:
    assert (x > 0).any() or (x < 0).any()
    return m.lstm(x)[0]


@pytest.mark.parametrize("function", [_raised, _asserted], ids=lambda f: f.__name__)
def test_checks_of_numbers_are_left_out(function: Any, capfd: Any) -> None:
    module = Recurrent(function).eval()
    model = from_torch(module, torch.randn(3, 6, 3))
    x = torch.randn(4, 5, 3)
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)
    assert not capfd.readouterr().err


def _left_before(m: Any, x: Any) -> Any:
    if (x < 0).all():
        if not m.training:
            return m.lstm(x)[0] * 2
        raise ValueError("all")
    return m.lstm(x)[0]


def _caught(m: Any, x: Any) -> Any:
    try:
        if (x > 1).any():
            raise ValueError("large")
    except ValueError:
        return m.lstm(x)[0] * 0
    return m.lstm(x)[0]


def _layers_left_out(m: Any, x: Any) -> Any:
    return x if m.training and torch.rand(1).item() < 0.5 else m.lstm(x)[0]


def _as_many_as_said(m: Any, x: Any) -> Any:
    return m.lstm(x[:, : int(x[0, 0, 0].abs()) + 1])[0]


@pytest.mark.parametrize(
    "function", [_chosen, _layers_left_out, _as_many_as_said], ids=lambda f: f.__name__
)
def test_what_to_do_instead_of_asking_for_a_number(function: Any, capfd: Any) -> None:
    with pytest.raises(ModelFormatError) as caught:
        from_torch(Recurrent(function), torch.randn(3, 6, 3))
    text = str(caught.value)
    assert "asks for a number of a tensor" in text
    assert "lengths.max(), are x.size(1) here" in text
    assert capfd.readouterr() == ("", "")  # where export prints what it has until then
    assert "torch.where(keep, layer(x), x)" in text
    assert re.search(r" \(test_torch_export\.py:\d+: .*(item|int|any|sum)\(", text)


def test_nothing_else_is_said_of_what_is_refused(capfd: Any, caplog: Any) -> None:
    """PyTorch logs and prints the graph of it; what the module logs, and others do, is theirs."""
    own, theirs = logging.getLogger("own"), logging.getLogger("torch.export._trace")

    def forward(x: torch.Tensor) -> torch.Tensor:
        own.warning("called")
        other = threading.Thread(target=theirs.warning, args=("of another thread",))
        other.start()
        other.join()
        return x if x.sum() > 0 else -x

    import torch.export._trace as trace

    theirs.addHandler(caplog.handler)
    try:
        with pytest.raises(ModelFormatError, match="asks for a number of a tensor"):
            from_torch(Function(forward), torch.ones(2, 3))
        theirs.warning("afterwards")
    finally:
        theirs.removeHandler(caplog.handler)
    told = {record.message for record in caplog.records if record.levelno >= logging.WARNING}
    assert told == {"called", "of another thread", "afterwards"}
    said = capfd.readouterr().err
    assert "def forward" not in said
    assert "exportdb" not in said
    assert "print" not in vars(trace)
    assert not theirs.filters


def test_layers_that_are_left_out_as_the_message_says() -> None:
    """All rows of a call share what is drawn, or none does; in evaluation nothing is left out."""

    def function(m: Any, x: Any) -> Any:
        keep = torch.nn.functional.dropout(torch.ones(()), 0.3, m.training) > 0
        y = m.lstm(x)[0]
        return torch.where(keep, m.head(y), y)

    module = Recurrent(function)
    x = torch.randn(4, 6, 3)
    model = from_torch(module, x)
    module.eval()
    with torch.no_grad():
        wanted, without = module(x).numpy(), module.lstm(x)[0].numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), wanted, rtol=1e-5, atol=1e-5)
    samples = model.mc_predict(x.numpy(), 400, rng=0, keep_samples=True).samples
    left_out = np.isclose(samples, without, rtol=1e-5, atol=1e-5).all((-1, -2))
    made = np.where(left_out[..., None, None], without, wanted)
    np.testing.assert_allclose(samples, made, rtol=1e-5, atol=1e-5)
    assert abs(left_out.mean() - 0.3) < 5 * np.sqrt(0.21 / left_out.size)


@pytest.mark.parametrize(
    "function",
    [
        torch.logical_xor,
        lambda x, y: torch.logical_xor(x > 0, y),
        lambda x, y: torch.logical_xor(x.floor(), y > 0),
        lambda x, y: torch.logical_xor(x.round(), x.floor()),
        lambda x, y: torch.logical_xor(x, torch.tensor([2.0, 0.0, -1.0])),
        lambda x, y: (x > 0) ^ (y > 0),
    ],
    ids=["numbers", "truths first", "truths last", "whole", "constant", "truths"],
)
def test_one_of_two_that_is_no_zero(function: Callable[..., Any]) -> None:
    model = from_torch(Function(lambda x: function(x, x.flip(1)).float() + x), torch.randn(4, 3))
    x = torch.randn(40, 3) * (torch.rand(40, 3) > 0.3)
    wanted = function(x, x.flip(1)).float() + x
    np.testing.assert_array_equal(model.predict(x.numpy()), wanted.numpy())


@pytest.mark.parametrize(
    "function", [_chosen, _mixed, _left_before, _caught], ids=lambda f: f.__name__
)
def test_other_questions_of_numbers_are_refused(function: Any) -> None:
    with pytest.raises(ModelFormatError, match=r"torch\.export refuses it"):
        from_torch(Recurrent(function), torch.randn(3, 6, 3))


def _rare_words_left_out(m: Any, x: Any) -> Any:
    x = torch.where((x == 5).any(-1, keepdim=True), 1, x) if m.training else x
    return m(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m(x.clamp(-3, 3) if m.training else x),
        lambda m, x: m(x) * ((x != 0).any(-1, keepdim=True).float() if m.training else 1),
        lambda m, x: m(x).clamp(max=6) if m.training else m(x),
        lambda m, x: (
            m(F.dropout(x, 0.3, m.training)) + (x < -2).any(-1)[..., None] if m.training else m(x)
        ),
    ],
    ids=["clamped", "zeros", "output", "beside-dropout"],
)
def test_what_training_alone_does_elsewhere_is_refused(function: Callable[..., Any]) -> None:
    """The example, of numbers from 0 to 1, does not tell."""
    with pytest.raises(ModelFormatError, match="something else in eval mode, of other inputs"):
        from_torch(With(nn.Linear(3, 4), function), torch.rand(2, 7, 3))


def test_what_training_alone_does_of_other_words_is_refused() -> None:
    module = With(nn.Embedding(11, 4), _rare_words_left_out)
    with pytest.raises(ModelFormatError, match="something else in eval mode, of other inputs"):
        from_torch(module, torch.tensor([[1, 2, 3], [4, 6, 7]]))


def test_what_training_alone_does_of_more_steps_fixes_them() -> None:
    module = With(nn.Linear(3, 4), lambda m, x: m(x[:, :10] if m.training else x))
    model = from_torch(module, torch.rand(2, 7, 3))
    assert "something else in eval mode, of other inputs" in model.notes[0]
    with pytest.raises(ValueError, match="expected shape"):
        model.predict(np.zeros((2, 20, 3), np.float32))


def _every_step(m: Any, x: Any) -> Any:
    return torch.stack([m(x[:, t]) for t in range(x.size(1))], 1)


def _steps_apart(m: Any, x: Any) -> Any:
    return torch.stack([m(step) for step in x.unbind(1)], 1)


def _by_the_root_of_the_steps(m: Any, x: Any) -> Any:
    return m(x) * math.sqrt(x.size(1))


@pytest.mark.parametrize("function", [_every_step, _steps_apart, _by_the_root_of_the_steps])
def test_what_fixes_lengths_that_a_module_leaves_open_is_noted(function: Any) -> None:
    model = from_torch(With(nn.Linear(3, 4), function), torch.randn(2, 7, 3))
    assert model.input_shape == (7, 3)
    (note,) = (note for note in model.notes if note.startswith("lengths are those"))
    assert "axis 1 of input 'inputs" in note
    assert "(test_torch_export.py:" in note


def test_another_way_for_a_single_step_is_noted() -> None:
    module = With(
        nn.GRU(3, 4, batch_first=True), lambda m, x: m(x[:, 1:] if x.size(1) > 1 else x)[0].sum(1)
    )
    model = from_torch(module, torch.randn(2, 7, 3))
    assert model.notes[-1] == "of a single step the module computes something else than here"
    assert model.input_shape == (None, 3)
    one = With(nn.GRU(3, 4, batch_first=True), lambda m, x: m(x[:, -1:])[0].sum(1))
    assert not any("single step" in note for note in from_torch(one, torch.randn(2, 7, 3)).notes)


def test_lengths_that_a_module_fixes_have_no_note() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Flatten(), nn.Linear(28, 2))
    assert not from_torch(module, torch.randn(2, 7, 3)).notes


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * (torch.rand_like(x) < 0.8) / 0.8,
        lambda x: F.dropout(x, 0.2),
        lambda x: x + torch.randn_like(x),
    ],
)
def test_numbers_that_are_drawn_in_eval_mode_are_noted(function: Any) -> None:
    note = "the module draws random numbers in eval mode, too"
    model = from_torch(Function(function), torch.randn(2, 3))
    assert any(found.startswith(note) for found in model.notes)
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(model.predict(x), model.predict(x))
    switched = With(nn.Identity(), lambda m, x: function(x) if m.training else x)
    assert not from_torch(switched, torch.randn(2, 3)).notes


def test_inputs_that_a_module_refuses_are_no_reason_to_refuse_it() -> None:
    """Nor are those whose numbers are not finite, or hang on how they are rounded."""

    def forward(m: Any, x: Any) -> Any:
        torch._check(x.size(1) < 9)
        place = (x[..., 0] * 1e4).sin().argmax(1, keepdim=True)
        return torch.log(m(x)) + place.unsqueeze(-1)

    module = With(nn.Linear(3, 4), forward)
    from_torch(module, torch.rand(2, 7, 3))


def test_a_number_of_lengths_beside_a_part_of_them_fixes_these() -> None:
    module = Function(lambda x: x[:, : math.ceil(x.size(1) / 2)] * math.sqrt(x.size(1)))
    model = from_torch(module, torch.randn(2, 7, 3))
    assert "lengths are those of the examples" in model.notes[0]
    x = torch.randn(3, 7, 3)
    np.testing.assert_allclose(model.predict(x.numpy()), module(x).numpy(), rtol=0, atol=TOLERANCE)


def test_what_was_not_expected_of_open_lengths_fixes_these(monkeypatch: pytest.MonkeyPatch) -> None:
    def number(self: Any, function: str, operands: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(Conversion, "_number", number)
    model = from_torch(Function(lambda x: x * x.size(1) ** 0.5), torch.randn(2, 7, 3))
    assert "something was not expected here (AssertionError: )" in model.notes[0]
    assert model.predict(np.ones((4, 7, 3), np.float32))[0, 0, 0] == np.float32(7**0.5)


def test_lengths_that_are_made_up_are_within_the_steps() -> None:
    """What is beyond would be a step of the next row."""
    module = Recurrent(lambda m, x, n: FLAT["index"](m.lstm(x)[0], n)).eval()
    model = from_torch(module, (torch.randn(3, 6, 3), torch.tensor([5, 2, 4])))
    assert not model.notes


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, 1:] - x[:, :-1],
        lambda x: x * 2,
        lambda x: x + 100,
        lambda x: -x,
        lambda x: x.float().byte() - 1,
        lambda x: (x.float() * 127).to(torch.int8),
        lambda x: x.to(torch.int16) ** 2,
        lambda x: x.add_(x),
        lambda x: x.to(torch.int32).to(torch.int16) * x,
    ],
)
def test_whole_numbers_of_few_bits_that_may_go_beyond_are_refused(function: Any) -> None:
    with pytest.raises(ModelFormatError, match=r"in torch\.u?int(8|16), whose numbers begin anew"):
        from_torch(Function(lambda x: function(x).float()), torch.ones(2, 5, dtype=torch.uint8))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 1 - (x > 3).byte(),
        lambda x: (x > 3).to(torch.int8).unsqueeze(1) * (x > 5).to(torch.int8)[:, None] + 1,
        lambda x: x.to(torch.int16) - x,
        lambda x: x.int() * x - 1,
        lambda x: (x.float() * 3).clamp(0, 255).byte(),
        lambda x: (torch.arange(5, dtype=torch.uint8) + 3) * (x > 2),
    ],
)
def test_whole_numbers_of_few_bits_that_are_known_to_fit(function: Any) -> None:
    model = from_torch(Function(lambda x: function(x).float()), torch.ones(2, 5, dtype=torch.uint8))
    x = torch.randint(0, 256, (3, 5), dtype=torch.uint8)
    np.testing.assert_array_equal(model.predict(x.numpy()), function(x).float().numpy())


def test_numbers_that_are_none_are_not_taken_for_written_ones() -> None:
    module = Remembers(lambda m, x: m.linear(x) + m.plain.nan_to_num(1.0))
    module.plain = torch.tensor([1.0, np.nan, 2.0])
    assert not from_torch(module, torch.randn(3, 5, 3)).notes


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x * (torch.arange(x.size(1)) >= torch.randint(0, 5, (1,)))[:, None], "random"),
        (lambda x: x[:, torch.randint(0, 5, (1,))], "random whole numbers"),
    ],
    ids=["compared", "places"],
)
def test_random_whole_numbers_are_refused_by_name(function: Any, why: str) -> None:
    with pytest.raises(ModelFormatError, match=f"{why}.*test_torch_export.py"):
        from_torch(Function(function), torch.randn(2, 7, 3))


def test_rolls_by_a_part_of_the_steps_fix_these() -> None:
    module = Function(lambda x: torch.roll(x, x.size(1) // 2, 1))
    model = from_torch(module, torch.randn(2, 7, 3))
    assert "a tensor rolled by" in model.notes[0]
    x = torch.randn(3, 7, 3)
    np.testing.assert_array_equal(model.predict(x.numpy()), module(x).numpy())


class Remembers(nn.Module):
    """What a call changes, in place."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.linear = nn.Linear(3, 3)
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.zeros(3))
        self.plain = torch.ones(3)
        self.kept: list[Any] = []
        self.named: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def _counted(m: Any, x: Any) -> Any:
    m.count += 1
    return m.linear(x) + m.count


def _counted_in_part(m: Any, x: Any) -> Any:
    m.count[0] = m.count[0] + 5
    return m.linear(x) + m.count


def _copied(m: Any, x: Any) -> Any:
    m.count.copy_(m.count * 2 + 1)
    return m.linear(x) + m.count


def _plain(m: Any, x: Any) -> Any:
    m.plain.mul_(2)
    return m.linear(x) + m.plain


def _weight(m: Any, x: Any) -> Any:
    with torch.no_grad():
        m.weight.mul_(2)
    return m.linear(x) * m.weight


def _listed(m: Any, x: Any) -> Any:
    y = m.linear(x)
    m.kept.append(y)
    m.named["y"] = y
    return y


def _refused(m: Any, x: Any) -> Any:
    return torch.linalg.svd(_listed(m, _counted(m, x)))[0]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (_counted, "count"),
        (_counted_in_part, "count"),
        (_copied, "count"),
        (_plain, "plain"),
        (_weight, "weight"),
        (_listed, None),
        (_refused, None),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_a_call_writes_into_is_left_as_it_was(
    function: Callable[..., Any], name: str | None
) -> None:
    module = Remembers(function).eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    x = torch.randn(3, 5, 3)
    if function is _refused:
        with pytest.raises(ModelFormatError, match="linalg_svd"):
            from_torch(module, x)
    else:
        model = from_torch(module, x)
        noted = [note for note in model.notes if "from call to call" in note]
        assert [repr(name) in note for note in noted] == ([True] if name else [])
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert torch.equal(module.plain, torch.ones(3))
    assert not module.kept
    assert not module.named
    if function is not _refused:
        expected = module(x).detach().numpy()
        np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)


class DroppedWeight(nn.Module):
    """A weight that is taken out of a layer, and put there anew in each call, as people do it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)
        self.raw = self.gru._parameters.pop("weight_hh_l0")

    def forward(self, x: Any) -> Any:
        self.gru.weight_hh_l0 = F.dropout(self.raw, 0.5, self.training)
        return self.gru(x)[0]


def test_what_a_call_registers_is_registered_no_more() -> None:
    module = DroppedWeight()
    names = [name for name, _ in module.named_parameters()]
    x = torch.randn(2, 5, 3)
    model = from_torch(module, x)
    assert [name for name, _ in module.named_parameters()] == names
    module(x)  # which cannot be called in training mode once a parameter has that name
    expected = module.eval()(x).detach().numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.utils.weight_norm(nn.GRU(3, 4, batch_first=True), "weight_hh_l0"),
        lambda: nn.utils.spectral_norm(nn.Linear(3, 4)),
    ],
    ids=["weight-norm", "spectral-norm"],
)
def test_weights_that_are_computed_anew_are_not_kept(make: Callable[[], nn.Module]) -> None:
    module = With(make(), lambda m, x: _first_of(m(x))).eval()
    model = from_torch(module, torch.randn(2, 5, 3))
    assert not model.notes
    x = torch.randn(3, 7, 3)
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=0, atol=TOLERANCE)


def _first_of(made: Any) -> Any:
    return made[0] if isinstance(made, tuple) else made


def test_rows_that_are_packed_unsorted_stay_without_a_word_of_it() -> None:
    def forward(m: Any, x: Any, n: Any) -> Any:
        return m.lstm(pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False))[1][0][-1]

    model = from_torch(Recurrent(forward), (torch.randn(3, 6, 3), torch.tensor([2, 6, 4])))
    assert model.notes == ()


def test_lengths_of_more_rows_than_are_packed_are_refused() -> None:
    def forward(m: Any, x: Any, n: Any) -> Any:
        packed = pack_padded_sequence(x, n[:, 0].repeat(2), batch_first=True, enforce_sorted=False)
        return m.lstm(packed)[1][0][-1]

    with pytest.raises(ModelFormatError, match=r"test_torch_export.py:\d+: packed = "):
        from_torch(Recurrent(forward), (torch.randn(3, 6, 3), torch.full((3, 2), 6)))


def test_sorted_rows_beside_others_are_refused() -> None:
    """Whether they are in another order than others is not seen where they came sorted."""

    def forward(m: Any, x: Any, n: Any, z: Any) -> Any:
        n, order = n.sort(descending=True)
        _, (h, _) = m.lstm(pack_padded_sequence(x[order], n, batch_first=True))
        return h[-1] + z

    def unsorted(m: Any, x: Any, n: Any, z: Any) -> Any:
        n, order = n.sort(descending=True)
        _, (h, _) = m.lstm(pack_padded_sequence(x[order], n, batch_first=True))
        return h[-1][order.argsort()] + z

    for lengths in ([6, 5, 3, 2], [6, 6, 6, 6]):
        given = (torch.randn(4, 6, 3), torch.tensor(lengths), torch.randn(4, 4))
        with pytest.raises(ModelFormatError, match="something else of rows in another order"):
            from_torch(Recurrent(forward), given)
        model = from_torch(Recurrent(unsorted), given)
        assert "where rows are sorted they stay in the order of the inputs" in model.notes[-1]


# ---- Fourier transforms ----


class Filter(nn.Module):
    """Weights of frequencies, as in FMLP-Rec."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 5, 6, 2))

    def forward(self, x: Any) -> Any:
        frequencies = torch.fft.rfft(x, dim=1, norm="ortho")
        weighted = frequencies * torch.view_as_complex(self.weight)
        return torch.fft.irfft(weighted, n=x.size(1), dim=1, norm="ortho") + x


class Modes(nn.Module):
    """Some frequencies, mixed by complex weights, as in Fourier neural operators."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4, 3, dtype=torch.cfloat))

    def forward(self, x: Any) -> Any:
        modes = torch.fft.rfft(x.mT)[:, :, :3]
        mixed = torch.einsum("bix,iox->box", modes, self.weight)
        return torch.fft.irfft(mixed, n=x.size(1)).mT


def _correlated(x: Any) -> Any:
    one, two = torch.fft.rfft(x, dim=1), torch.fft.rfft(x.roll(1, 2), dim=1)
    return torch.fft.irfft(one * torch.conj(two), dim=1)


def _parts(x: Any) -> Any:
    y = torch.fft.fft(x, dim=1)
    return torch.cat((y.real, y.imag, y.abs()), -1)


def _written_into_a_part(x: Any) -> Any:
    z = torch.fft.fft(x, dim=2)
    z.imag[:, 0] = 5
    return z.imag + z.real


FOURIER: dict[str, Callable[[], nn.Module]] = {
    "parts": lambda: Function(_parts),
    "twice": lambda: Function(lambda x: torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real),
    "there-and-back": lambda: Function(
        lambda x: torch.fft.ifft(torch.fft.fft(x, dim=1), dim=1).real
    ),
    "inverse-of-reals": lambda: Function(lambda x: torch.fft.ifft(x, dim=2, norm="forward").imag),
    "more-places": lambda: Function(lambda x: torch.fft.rfft(x, n=11, dim=1).abs()),
    "fewer-places": lambda: Function(lambda x: torch.fft.rfft(x, n=4, dim=1, norm="forward").real),
    "back-to-more": lambda: Function(
        lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1), n=13, dim=1)
    ),
    "back-to-fewer": lambda: Function(
        lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1), n=5, dim=1, norm="forward")
    ),
    "of-reals": lambda: Function(lambda x: torch.fft.irfft(x, dim=1)),
    "angles": lambda: Function(lambda x: torch.fft.rfft(x, dim=1)[:, 1:-1].angle().cos()),
    "correlation": lambda: Function(_correlated),
    "quotient": lambda: Function(
        lambda x: torch.fft.irfft(
            torch.fft.rfft(x, dim=1) / (torch.fft.rfft(x.abs() + 1, dim=1) * 2), dim=1
        )
    ),
    "sums": lambda: Function(lambda x: (torch.fft.rfft(x, dim=1) + x[:, :5] - 2).sum(1).abs()),
    "two-parts": lambda: Function(
        lambda x: torch.view_as_real(torch.fft.rfft(x, dim=1)).flatten(2)
    ),
    "made-of-two": lambda: Function(
        lambda x: torch.fft.ifft(torch.complex(x, x.flip(1)), dim=1).imag
    ),
    "joined": lambda: Function(
        lambda x: torch.stack((torch.fft.rfft(x, dim=1), torch.fft.rfft(x * 2, dim=1)), 1).abs()
    ),
    "by-angles": lambda: Function(
        lambda x: torch.fft.irfft(torch.polar(x[:, :5].abs(), x[:, 1:6]), n=8, dim=1)
    ),
    "filter": Filter,
    "modes": Modes,
}


@pytest.mark.parametrize("name", FOURIER)
def test_fourier_transforms(name: str) -> None:
    check(Case(FOURIER[name], fixed(8, 6)))


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_fourier_transforms_of_any_length(length: int) -> None:
    check(Case(lambda: Function(_parts), fixed(length, 2)))
    check(Case(lambda: Function(lambda x: torch.fft.irfft(x, n=length, dim=1)), fixed(4, 2)))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.fft.rfft(x, dim=2), "an output of complex numbers"),
        (lambda x: torch.fft.rfft(x, dim=2).exp().real, "exp of complex numbers"),
        (lambda x: torch.cat([torch.fft.fft(x, dim=2), x.to(torch.cfloat)], 1).real, "made of"),
        (_written_into_a_part, "a part of a tensor is written into"),
        (lambda x: torch.fft.fft(x, dim=0).real, "a Fourier transform of batch places"),
    ],
)
def test_complex_numbers_that_are_refused(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        from_torch(Function(lambda x: function(x @ torch.eye(6))), torch.randn(3, 5, 6))


# ---- numbers where a mask is true ----


def _chosen(x: Any) -> Any:
    y, m = x.clone(), x > 0
    y[m] = y[m] * 2
    return y


def _chosen_anew(x: Any) -> Any:
    y = torch.zeros_like(x)
    y[x > 0] = x[x > 0].exp() + 1
    return y


def _chosen_twice(x: Any) -> Any:
    y = x.clone()
    y[y > 0] = y[y > 0] + 1
    y[y > 0] = y[y > 0] * 3
    return y


def _chosen_in_place(x: Any) -> Any:
    y, m = x.clone(), x.mean(-1) > 0
    z = y[m]
    z *= 2
    z += torch.arange(float(x.size(-1)))
    y[m] = z
    y[~m] /= 3
    return y


def _chosen_rows(x: Any) -> Any:
    y, m = x.clone(), x[:, 0, 0] > 0
    y[m] = y[m].abs()
    y[~m] = torch.arange(float(x.size(-1)))
    return y


CHOSEN: dict[str, Callable[[Any], Any]] = {
    "doubled": _chosen,
    "by-two-masks-alike": _chosen_anew,
    "written-in-between": _chosen_twice,
    "in-place": _chosen_in_place,
    "rows": _chosen_rows,
    "scattered": lambda x: x.masked_scatter(x > 0, x[x > 0] - 1),
    "selected": lambda x: x.masked_scatter(x > 0, torch.masked_select(x, x > 0).sqrt()),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_numbers_where_a_mask_is_true(name: str) -> None:
    check(Case(lambda: Function(CHOSEN[name]), sequence(6)))


class Packed(nn.Module):
    """A module that computes with the places alone that are no padding."""

    def __init__(self, rate: float = 0.0, least: float = 4.0) -> None:
        super().__init__()
        self.linear, self.dropout, self.least = nn.Linear(6, 4), nn.Dropout(rate), least
        self.norm = nn.LayerNorm(4) if not rate else nn.Identity()

    def forward(self, x: Any) -> Any:
        there = x.abs().sum(-1) > self.least
        y = x.new_zeros(*x.shape[:2], 4)
        y[there] = self.norm(self.dropout(torch.tanh(self.linear(x[there])))) + 0.5
        return y


def test_places_that_are_no_padding() -> None:
    check(Case(Packed, sequence(6)))
    torch.manual_seed(0)
    module, x = Packed(0.4, 0.0), torch.randn(3, 7, 6)
    model = from_torch(module, x)
    assert model.stochastic
    samples = model.mc_predict(x.numpy(), 4000, rng=0, keep_samples=True).samples
    with torch.no_grad():
        passes = np.stack([module(x).numpy() for _ in range(4000)])
    same_moments(samples, passes)


CHOSEN_APART: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another-mask": (lambda x: x.masked_scatter(x > 0, x[x > 1]), "where another is true"),
    "mean": (lambda x: x[x > 0].mean().expand(len(x)), "mean of as many numbers as a mask"),
    "put-out": (lambda x: x[x > 0], "an output of as many places as a mask is true for"),
    "beside": (lambda x: x.masked_scatter(x > 0, x[x > 0] + x[x > 1]), "of several masks"),
    "products": (
        lambda x: x.masked_scatter(x > 0, torch.einsum("n,n->n", x[x > 0], x[x > 0])),
        "einsum of as many numbers",
    ),
    "one-after-another": (
        lambda x: x.masked_scatter(x > 0, torch.arange(300.0)),
        "one after another",
    ),
}


@pytest.mark.parametrize("name", CHOSEN_APART)
def test_numbers_of_no_known_count_are_refused(name: str) -> None:
    function, message = CHOSEN_APART[name]
    with pytest.raises(ModelFormatError, match=message):
        from_torch(Function(function), torch.randn(3, 5, 6))


def test_a_length_that_a_module_takes_must_be_there() -> None:
    model = from_torch(Function(lambda x: x.narrow(1, 2, 4) * 2), torch.randn(2, 9, 3))
    assert model.input_shape == (None, None)
    assert model.predict(np.ones((1, 6, 3), np.float32)).shape == (1, 4, 3)
    with pytest.raises(ValueError, match="index 5 of an axis of length 5"):
        model.predict(np.ones((1, 5, 3), np.float32))
    model = from_torch(Function(lambda x: x[:, -4:].mean(1)), torch.randn(2, 9, 3))
    assert model.predict(np.ones((1, 3, 3), np.float32)).tolist() == [[1, 1, 1]]  # fewer will do
    linear = With(nn.Linear(4, 2), lambda m, x: m(x[:, -4:].transpose(1, 2)))
    model = from_torch(linear, torch.randn(2, 9, 3))
    assert model.input_shape == (None, None)
    for steps in (4, 5, 11):
        x = torch.randn(3, steps, 3)
        np.testing.assert_allclose(model.predict(x.numpy()), linear(x).detach(), atol=1e-6)
    with pytest.raises(ValueError, match="of 4 places or more on axis 0"):
        model.predict(np.ones((1, 3, 3), np.float32))
    model = from_torch(Function(lambda x: x.unfold(1, 4, 2).mean(-1)), torch.randn(2, 9, 3))
    with pytest.raises(ValueError, match="index 3 of an axis of length 3"):
        model.predict(np.ones((1, 3, 3), np.float32))
    model = from_torch(Function(lambda x: x.narrow(1, -4, 2) * 2), torch.randn(2, 9, 3))
    with pytest.raises(ValueError, match="index -4 of an axis of length 3"):
        model.predict(np.ones((1, 3, 3), np.float32))


# ---- the same from weights and a description ----

DESCRIBED: dict[str, list[Any]] = {
    "forecaster": [
        ("lstm1", "LSTM"),
        ("drop1", "Dropout", {"p": 0.2}),
        ("lstm2", "LSTM", {"take": "last"}),
        ("drop2", "Dropout", {"p": 0.2}),
        ("fc.0", "Linear"),
        "ReLU",
        ("fc.2", "Linear"),
    ],
    "conv-lstm": [
        ("Input", {"shape": (None, 3)}),
        ("transpose", {"dim0": 1, "dim1": 2}),
        ("features.0", "Conv1d", {"padding": 1}),
        ("features.1", "BatchNorm1d"),
        "ReLU",
        ("MaxPool1d", {"kernel_size": 2}),
        ("features.4", "Dropout1d", {"p": 0.2}),
        ("features.5", "Conv1d", {"padding": "same"}),
        "LeakyReLU",
        ("transpose", {"dim0": 1, "dim1": 2}),
        ("lstm", "LSTM"),
        ("mean", {"dim": 1}),
        ("head", "Linear"),
        "Softmax",
    ],
    "additive-attention": [
        ("embedding", "Embedding"),
        ("gru", "GRU", {"bidirectional": True}),
        ("score.0", "Linear"),
        "Tanh",
        ("score.2", "Linear", {"bias": False}),
        ("squeeze", {"dim": -1}),
        ("weights", "Softmax", {"dim": 1}),
        ("column", "unsqueeze", {"dim": -1}),
        ("mul", {"inputs": ["gru", "column"]}),
        ("sum", {"dim": 1}),
        ("head", "Linear"),
    ],
    "bag-of-words": [
        ("bag", "EmbeddingBag"),
        ("mlp.0", "Linear"),
        "GELU",
        ("mlp.2", "Dropout", {"p": 0.2}),
        ("mlp.3", "Linear"),
    ],
}


@pytest.mark.parametrize("name", DESCRIBED, ids=list(DESCRIBED))
def test_a_description_gives_the_bits_of_the_module(name: str) -> None:
    make, inputs, _, _ = MODELS[name]
    torch.manual_seed(0)
    module, (x,) = make(), inputs(4, 8)
    live = from_torch(module, x)
    state = {k: v.numpy() for k, v in module.state_dict().items() if "num_batches" not in k}
    model = description.read(state, [], description.check(DESCRIBED[name]), "m.pt", 100)
    expected = live.predict(x.numpy())
    expected = expected[0] if isinstance(expected, list) else expected
    if name == "additive-attention":  # the module sums by a product of matrices
        np.testing.assert_allclose(model.predict(x.numpy()), expected, rtol=1e-5, atol=1e-6)
        return
    np.testing.assert_array_equal(model.predict(x.numpy()), expected)
    if live.stochastic:
        one, two = (m.mc_predict(x.numpy(), 5, rng=0, keep_samples=True) for m in (live, model))
        np.testing.assert_array_equal(one.samples, two.samples)


# ---- by way of files ----


@pytest.mark.parametrize("kind", ["pt", "old-pt", "safetensors"])
def test_files_of_weights_give_the_bits_of_the_module(kind: str, tmp_path: Path) -> None:
    make, inputs, _, _ = MODELS["forecaster"]
    torch.manual_seed(0)
    module, (x,) = make(), inputs(4, 8)
    path = tmp_path / f"m.{kind.removeprefix('old-')}"
    if kind == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path, _use_new_zipfile_serialization=kind == "pt")
    with pytest.raises(ModelFormatError, match="architecture="):
        fd.load(path)
    model = fd.load(path, architecture=DESCRIBED["forecaster"], rates={"lstm1": 0.1})
    live = from_torch(module, x, rates={"lstm1": 0.1})
    one, two = (m.mc_predict(x.numpy(), 5, rng=0, keep_samples=True) for m in (live, model))
    np.testing.assert_array_equal(one.samples, two.samples)


@pytest.mark.parametrize("name", MODELS, ids=list(MODELS))
def test_models_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    """So that PyTorch need not be where they run."""
    make, inputs, in_axes, _ = MODELS[name]
    torch.manual_seed(0)
    given = inputs(3, 9)
    model = from_torch(make(), given)
    model.save(tmp_path / "m.safetensors")
    again = fd.load(tmp_path / "m.safetensors")
    axes = in_axes or [0] * len(given)
    x = [rows_first(v, at) for v, at in zip(given, axes, strict=True)]
    x = x if len(x) > 1 else x[0]
    for one, two in zip(as_list(model.predict(x)), as_list(again.predict(x)), strict=True):
        np.testing.assert_array_equal(one, two)
    if model.stochastic:
        drawn = [as_list(m.mc_predict(x, 3, rng=0)) for m in (model, again)]
        for one, two in zip(*drawn, strict=True):
            np.testing.assert_array_equal(one.std, two.std)


def as_list(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def test_the_page_lists_every_operator() -> None:
    page = Path(__file__).parent.parent / "docs" / "pytorch.md"
    if not page.is_file():
        pytest.skip("docs/ is in a checkout alone")
    text = page.read_text("utf-8")
    for name in {name.partition(".")[0] for name in ROWS} - OWN:
        assert f"`{name}`" in text
    for name in description.LAYERS:  # classes of torch.nn, or named on the page
        assert hasattr(nn, name) or f"`{name}`" in text or f'"{name}"' in text


def test_doctests() -> None:
    import doctest

    from fastdrop.torch import _export

    result = doctest.testmod(_export)
    assert result.attempted
    assert not result.failed


def _two_halves(x: Any) -> Any:
    """Mix a row with itself turned around, by one mask and what it leaves."""
    kept = torch.rand(x.size(0), 1, 1) < 0.3
    random = torch.rand(x.size(0), x.size(1), 3)
    parts = torch.where(random >= 0.4, x, 0.0) + torch.where(random < 0.4, 2 * x, 0.0)
    return kept * x + parts + (~kept) * x.flip(-1)


def _noise_twice(x: Any) -> Any:
    noise = torch.rand_like(x)
    return noise + x * noise


def test_random_numbers_that_are_used_twice_are_the_same() -> None:
    torch.manual_seed(6)
    x = torch.randn(2, 4, 3)
    for function in (_two_halves, _noise_twice):
        model = from_torch(With(nn.Identity(), lambda _, x, f=function: f(x)), x)
        passes = np.stack([function(x) for _ in range(1500)])
        same_moments(model.mc_predict(x.numpy(), 1500, rng=0, keep_samples=True).samples, passes)


def _compared_twice(x: Any) -> Any:
    numbers = torch.rand_like(x)
    return x * (numbers < 0.3) + (numbers < 0.6)


def _compared_and_added(x: Any) -> Any:
    numbers = torch.rand_like(x)
    return x * (numbers < 0.3) + numbers


def _words_twice(module: Any, tokens: Any) -> Any:
    weight = module.weight * F.dropout(torch.ones(len(module.weight), 1), 0.4, module.training)
    return F.linear(F.embedding(tokens, weight), weight)


@pytest.mark.parametrize("function", [_compared_twice, _compared_and_added])
def test_random_numbers_that_are_used_in_two_ways_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(ModelFormatError, match="drawn once and used in two ways"):
        from_torch(Function(function), torch.randn(2, 4, 3))


def test_a_table_that_drops_words_for_two_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="drawn once and used in two ways"):
        from_torch(With(nn.Embedding(6, 3), _words_twice), TOKENS)


# ---- other ways ----


def _asserted(x: Any) -> Any:
    assert x.size(1) <= 512, "too many steps"
    return x * 2


def _raised(x: Any) -> Any:
    if (
        x.size(1) > 512  # beyond the table
        or x.size(1) < 1
    ):
        raise ValueError("too many steps, or none")
    return x * 2


def _single(x: Any) -> Any:
    if x.size(0) == 1 or x.size(1) == 1:
        return x + x
    return x * 2


def _shorter(x: Any) -> Any:
    return x * 2 if x.size(1) > 5 else x * 3


def _filled_up(x: Any) -> Any:
    missing = (-x.size(1)) % 3
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x * 2


def _raises_elsewhere(x: Any) -> Any:
    if x.size(1) > 512:
        x = x * 3
    elif x.size(1) < 1:
        raise ValueError("no steps")
    return x * 2


def _other_batch(x: Any) -> Any:
    return x * 2 if x.size(0) > 3 else x * 3


def _as_long(x: Any, y: Any) -> Any:
    return x.sum(1) if x.size(1) == y.size(1) else y.sum(1)


@pytest.mark.parametrize("function", [_asserted, _raised, _single])
def test_conditions_that_hold_or_raise_leave_lengths_open(function: Callable[..., Any]) -> None:
    model = from_torch(Function(function), torch.randn(2, 6, 3))
    assert model.input_shape == (None, None)
    for rows, steps in ((3, 8), (1, 1), (1, 4)):
        x = np.random.default_rng(0).normal(size=(rows, steps, 3)).astype(np.float32)
        np.testing.assert_array_equal(model.predict(x), x * 2)


@pytest.mark.parametrize("function", [_shorter, _filled_up, _raises_elsewhere])
def test_a_module_that_goes_another_way_for_other_lengths_has_one(
    function: Callable[..., Any],
) -> None:
    x = torch.randn(2, 6, 3)
    model = from_torch(Function(function), x)
    assert model.input_shape == (6, 3)
    (note,) = model.notes
    assert "what allows no others: the module goes another way" in note
    assert "test_torch_export.py" in note
    np.testing.assert_allclose(model.predict(x.numpy()), function(x), rtol=1e-6)


def test_a_module_that_goes_another_way_for_other_rows_is_refused() -> None:
    with pytest.raises(ModelFormatError, match=r"another way for other .*x.size\(0\) > 3"):
        from_torch(Function(_other_batch), torch.randn(2, 6, 3))


def test_a_module_that_compares_lengths_has_those_of_the_example() -> None:
    x, y = torch.randn(2, 6, 3), torch.randn(2, 4, 3)
    model = from_torch(Function(_as_long), (x, y))
    assert [*model.input_shape.values()] == [(6, 3), (4, 3)]
    np.testing.assert_allclose(model.predict([x.numpy(), y.numpy()]), y.sum(1), rtol=1e-6)


def test_inputs_of_whole_numbers_take_no_others() -> None:
    module = Function(lambda x, y: x.float() * y)
    x, y = torch.tensor([[1, 2], [3, 4]]), torch.randn(2, 2)
    model = from_torch(module, (x, y))
    whole, other = model.input_names
    assert model.input_dtypes == {whole: "int64"}
    given = {whole: x.double().numpy(), other: y.numpy()}
    np.testing.assert_allclose(model.predict(given), module(x, y), rtol=1e-6)
    with pytest.raises(ValueError, match="expected whole numbers that int64 holds, for the input"):
        model.predict(given | {whole: x.numpy() + 0.5})

"""Tensors and layers of other libraries, wherever these have the batch, beside NumPy.

An array stands for a tensor whose batch is one of its axes, or in one together with others; for a
constant that is the same for all rows, which are one of its axes; or for a constant. A function of
`Networks` makes of each what NumPy makes of the array, or refuses it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers
from fastdrop.formats._lengths import BATCH, Length, Open, known
from fastdrop.formats._networks import Networks
from fastdrop.formats._tensors import Spread, Tensor, UnsupportedError, Value
from layer_laws import normal

Function = Callable[..., Any]
OPEN = Open.named("T")


class Written(Networks):
    """Calls, and the arrays for which their inputs stand."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: dict[str, np.ndarray] = {}
        self.lengths: dict[str, int] = {}

    def value(self, array: np.ndarray, layout: str) -> Value:
        """Return what stands for an array.

        "1": the batch is on axis 1; "1+", "+1": there with two places behind it, or in front of it;
        "1, 0 open": of axis 0 only a name is known; "all 1": the same for all rows, on axis 1;
        "none": a constant.
        """
        if layout == "none":
            return array
        if layout.startswith("all"):
            at = int(layout.removeprefix("all"))
            self.rows = array.shape[at]
            return Spread(array.take(0, at), at)
        place, _, opened = layout.partition(",")
        at = int(place.strip("+"))
        if "+" in place:
            parts = (-1, 2) if place.endswith("+") else (2, -1)
            apart = array.reshape(*array.shape[:at], *parts, *array.shape[at + 1 :])
            whole = self.value(apart, str(at + place.startswith("+")))
            return self.reshape(whole, [*array.shape[:at], BATCH * 2, *array.shape[at + 1 :]])
        shape: list[Length] = list(array.shape)
        if opened:
            axis = int(opened.removesuffix(" open"))
            shape[axis], self.lengths["T"] = OPEN, array.shape[axis]
        self.rows = self.lengths["batch"] = array.shape[at]
        name = f"x{len(self.inputs)}"
        self.arrays[name] = np.moveaxis(array, at, 0)
        return self.input(name, shape, at)

    def model(self, tensor: Tensor) -> fd.Model:
        if tensor.name in self.arrays:
            tensor = self.single(layers.Identity(name="same"), tensor)
        shapes = {given.name: known(given.row) for given in self.inputs}
        return fd.Model(self.trimmed([tensor.name]), shapes, outputs=tensor.name)

    def array(self, value: Value, rows: int) -> np.ndarray:
        """Return the array for which a value stands."""
        if isinstance(value, Spread):
            return np.repeat(np.expand_dims(value.value, value.at), rows, value.at)
        if not isinstance(value, Tensor):
            return value
        made = self.model(value).predict(self.arrays)
        assert isinstance(made, np.ndarray)
        numbers = [self.number(n) for n in value.row]
        assert [*made.shape[1:]] == [n or m for n, m in zip(numbers, made.shape[1:], strict=True)]
        found = np.moveaxis(made, 0, value.at + value.before)
        start, stop = value.at, value.at + value.merged + 1
        joined = math.prod(found.shape[start:stop])
        return found.reshape(*found.shape[:start], joined, *found.shape[stop:])

    def number(self, length: Length) -> int | None:
        """Return a length, None where it is but a name."""
        if isinstance(length, int):
            return length
        names = {name for term, _ in length.terms for name in term}
        if not names <= self.lengths.keys():
            return None
        return sum(n * math.prod(self.lengths[a] for a in term) for term, n in length.terms)


def whole(array: np.ndarray, layout: str) -> np.ndarray:
    """Return the array with all rows alike, where they are."""
    if not layout.startswith("all"):
        return array
    at = int(layout.removeprefix("all"))
    return np.repeat(array.take([0], at), array.shape[at], at)


LAYOUTS = (
    *("0", "1", "2", "0+", "+0", "1+", "+1", "0, 1 open", "1, 0 open", "1, 2 open"),
    *("all 0", "all 1", "all 2", "none"),
)
X = normal(6, 10, 4)


@dataclass(frozen=True)
class Case:
    """What is done with an array, by us and by NumPy; of which axes it needs all places at once.

    The batch is not on these; what else is refused is `refused`.
    """

    ours: Function
    numpy: Function
    needs: tuple[int, ...] = ()
    refused: tuple[str, ...] = ()
    array: np.ndarray = field(default_factory=lambda: X)
    layouts: tuple[str, ...] = LAYOUTS

    def check(self) -> None:
        refused = set()
        for layout in self.layouts:
            net = Written()
            try:
                value = self.ours(net, net.value(self.array, layout))
            except (UnsupportedError, ValueError):
                refused.add(layout)
                continue
            at = axis_of(layout) or 0
            got = np.asarray(net.array(value, self.array.shape[at]))
            expected = np.asarray(self.numpy(whole(self.array, layout)))
            error = f"the batch is on {layout}"
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5, err_msg=error)
        asked = {layout for layout in self.layouts if axis_of(layout) in self.needs}
        assert refused == asked | {*self.refused}


def axis_of(layout: str) -> int | None:
    found = re.search(r"\d", layout)
    return int(found[0]) if found else None


def permuted(*axes: int) -> Case:
    return Case(lambda net, x: net.permute(x, axes), lambda x: x.transpose(axes))


def sliced(axis: int, start: Any, stop: Any, step: int = 1, **options: Any) -> Case:
    key = (slice(None),) * axis + (slice(start, stop, step),)
    return Case(
        lambda net, x: net.slice(x, axis, start, stop, step), lambda x: x[key], (axis,), **options
    )


def reshaped(*shape: int, refused: tuple[str, ...]) -> Case:
    return Case(
        lambda net, x: net.reshape(x, shape),
        lambda x: x.reshape(shape),
        refused=refused,
    )


def reduced(function: str, *axes: int, keepdims: bool = False) -> Case:
    def numpy(x: np.ndarray) -> Any:
        along = axes[0] if function == "argmax" else axes
        return getattr(np, function)(x, axis=along, keepdims=keepdims)

    needs = tuple(axis % 3 for axis in axes)
    return Case(lambda net, x: net.reduce(function, x, axes, keepdims), numpy, needs)


def computed(name: str, other: np.ndarray, *needs: int) -> Case:
    """Return a case of a function of what broadcasts, with a constant behind it and before it."""
    function = getattr(np, name)
    return Case(
        lambda net, x: net.elementwise(name, other, net.elementwise(name, x, other)),
        lambda x: function(other, function(x, other)),
        needs,
    )


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)


def twice(net: Written, x: Value) -> Value:
    return net.elementwise("multiply", x, 2.0)


def whole_numbers(net: Written, x: Value) -> Value:
    """Return 0 or 1."""
    return net.elementwise("where", net.elementwise("greater", x, 0.0), 1, 0)


def beyond(x: np.ndarray) -> np.ndarray:
    return (x > 0).astype(int)


def activated(name: str, numpy: Function, *axis: int) -> Case:
    needs = tuple(a % 3 for a in axis)
    return Case(lambda net, x: net.activation(x, name, *axis), lambda x: numpy(x, *axis), needs)


def windows(x: np.ndarray, size: Sequence[int], stride: Sequence[int]) -> np.ndarray:
    """Return windows of the last axes, which become the last ones."""
    axes = tuple(range(-len(size), 0))
    found = np.lib.stride_tricks.sliding_window_view(x, size, axes)
    steps = (..., *(slice(None, None, s) for s in stride), *(slice(None),) * len(size))
    return found[steps]


def put_around(x: np.ndarray, *pairs: tuple[int, int], number: float = 0) -> np.ndarray:
    widths = [(0, 0)] * (x.ndim - len(pairs)) + [*pairs]
    return np.pad(x, widths, constant_values=number)


ALL = ("all 0", "all 1", "all 2")
OPENED = ("0, 1 open", "1, 0 open", "1, 2 open")
FEATURES = {"needs": (2,), "refused": ("1, 2 open",)}  # of a known number
STEPS = {"needs": (1,), "refused": ("0, 1 open",)}

AXES: dict[str, Case] = {
    "permute": permuted(2, 0, 1),
    "permute, from behind": permuted(-2, -1, 0),
    "permute twice": Case(
        lambda net, x: net.permute(net.permute(x, [2, 0, 1]), [0, 2, 1]),
        lambda x: x.transpose(2, 1, 0),
    ),
    "permute and back": Case(
        lambda net, x: net.permute(net.permute(x, [2, 0, 1]), [1, 2, 0]), lambda x: x
    ),
    **{
        f"unsqueeze {k}": Case(
            lambda net, x, k=k: net.unsqueeze(x, k), lambda x, k=k: np.expand_dims(x, k)
        )
        for k in (0, 1, 2, 3, -1, -3)
    },
    "squeeze one": Case(
        lambda net, x: net.squeeze(net.unsqueeze(net.unsqueeze(x, 1), -1), [1]),
        lambda x: x[..., np.newaxis],
    ),
    "squeeze last": Case(
        lambda net, x: net.squeeze(net.unsqueeze(net.unsqueeze(x, 1), -1), [-1]),
        lambda x: x[:, np.newaxis],
    ),
    "squeeze some": Case(
        lambda net, x: net.squeeze(net.unsqueeze(net.unsqueeze(x, 0), 2), [0, -3, 1]),
        lambda x: x,
    ),
    "squeeze all": Case(
        lambda net, x: net.squeeze(net.unsqueeze(net.unsqueeze(x, 0), 2)), lambda x: x
    ),
    "squeeze nothing": Case(lambda net, x: net.squeeze(x, [0, 1, 2]), lambda x: x),
    "select 0": Case(lambda net, x: net.select(x, 0, 4), lambda x: x[4], (0,)),
    "select 1": Case(lambda net, x: net.select(x, -2, -1), lambda x: x[:, -1], (1,)),
    "select 2": Case(lambda net, x: net.select(x, 2, 1), lambda x: x[:, :, 1], (2,)),
    "select, first from behind": Case(
        lambda net, x: net.select(x, 2, -4), lambda x: x[..., 0], (2,)
    ),
    "slice 0": sliced(0, 1, 3),
    "slice 0 to last": sliced(0, None, -1),
    "slice 1": sliced(1, -4, -1),
    "slice 2": sliced(2, 1, None),
    "slice head": sliced(1, 0, 3),
    "slice tail": sliced(1, -2, None),
    "slice middle": sliced(1, 2, -2),
    "slice from": sliced(1, 2, None),
    "slice far": sliced(1, 3, 2**31),
    "slice nothing": sliced(1, 2, 2),
    "slice behind the end": sliced(1, 10, 10),
    "slice some": sliced(1, 1, 8, 3),
    "slice back": sliced(1, None, None, -1),
    "slice some back": sliced(1, 7, 2, -2),
    "slice every second": sliced(1, None, None, 2),
    "slice all": Case(lambda net, x: net.slice(x, 1, 0, None), lambda x: x),
    "slice and back": Case(  # as long as it was
        lambda net, x: net.elementwise(
            "subtract",
            x,
            net.concatenate([net.slice(x, 1, 3, None), net.slice(x, 1, None, 3)], 1),
        ),
        lambda x: x - np.roll(x, -3, 1),
        (1,),
    ),
    "reshape behind": reshaped(
        6,
        -1,
        refused=(
            "0",
            "0+",
            "+0",
            "0, 1 open",
            "1, 0 open",
            *ALL,
        ),
    ),
    "reshape in front": reshaped(
        -1,
        4,
        refused=(
            "2",
            "1, 2 open",
            *ALL,
        ),
    ),
    "reshape 60": reshaped(
        60,
        4,
        refused=(
            "2",
            *OPENED,
            *ALL,
        ),
    ),
    "reshape apart": reshaped(
        6,
        5,
        2,
        4,
        refused=(
            "1",
            "+1",
            "all 1",
            *OPENED,
        ),
    ),
    "reshape first apart": reshaped(
        3,
        2,
        10,
        4,
        refused=(
            "0",
            "+0",
            "all 0",
            *OPENED,
        ),
    ),
    "reshape first apart otherwise": reshaped(
        2,
        3,
        10,
        4,
        refused=(
            "0",
            "0+",
            "all 0",
            *OPENED,
        ),
    ),
    "reshape with one": reshaped(6, 1, 10, 4, refused=(*OPENED,)),
    "reshape all": reshaped(-1, refused=(*ALL,)),
    "reshape turned": reshaped(
        10,
        6,
        4,
        refused=(
            "0",
            "1",
            "0+",
            "+0",
            "1+",
            "+1",
            "all 0",
            "all 1",
            *OPENED,
        ),
    ),
    "expand": Case(
        lambda net, x: net.expand(net.unsqueeze(x, 1), [-1, 3, -1, 4]),
        lambda x: np.repeat(x[:, np.newaxis], 3, 1),
        refused=("1, 2 open",),
    ),
    "expand in front": Case(
        lambda net, x: net.expand(x, [2, -1, -1, -1]), lambda x: np.stack([x, x])
    ),
}


@pytest.mark.parametrize("name", AXES)
def test_axes(name: str) -> None:
    AXES[name].check()


NUMBERS: dict[str, Case] = {
    "sum 0": reduced("sum", 0),
    "mean 1": reduced("mean", 1),
    "max 2": reduced("max", -1, keepdims=True),
    "min 2 0": reduced("min", -1, 0),
    "prod -1 1": reduced("prod", -1, 1, keepdims=True),
    "sum 0 1": reduced("sum", 0, 1),
    "sum of all": Case(lambda net, x: net.reduce("sum", x, None), np.sum, (0, 1, 2)),
    "argmax 1": reduced("argmax", 1),
    "argmax 0": reduced("argmax", 0, keepdims=True),
    "relu": activated("relu", lambda x: np.maximum(x, 0)),
    "softmax 0": activated("softmax", softmax, 0),
    "softmax 1": activated("softmax", softmax, 1),
    "softmax -1": activated("softmax", softmax, -1),
    "log_softmax -2": activated("log_softmax", lambda x, axis: np.log(softmax(x, axis)), -2),
    "number": computed("add", np.float32(1.5)),
    "last": computed("subtract", normal(4), 2),
    "middle": computed("multiply", normal(10, 1), 1),
    "first": computed("subtract", normal(6, 1, 1), 0),
    "two": computed("subtract", normal(1, 10, 4), 1, 2),
    "ones in front": computed("subtract", normal(1, 1, 1, 4), 2),
    "more axes": computed("subtract", normal(3, 1, 1, 1)),
    "itself": Case(lambda net, x: net.elementwise("subtract", twice(net, x), x), lambda x: x),
    "its mean": Case(
        lambda net, x: net.elementwise("subtract", x, net.reduce("mean", x, [1], True)),
        lambda x: x - x.mean(1, keepdims=True),
        (1,),
    ),
    "itself with more axes": Case(
        lambda net, x: net.elementwise("subtract", x, net.unsqueeze(twice(net, x), 0)),
        lambda x: -x[np.newaxis],
    ),
    "prelu": Case(
        lambda net, x: net.prelu(x, np.float32([0.3])),
        lambda x: np.where(x > 0, x, 0.3 * x),
        refused=(*ALL, "none"),
    ),
    "prelu of channels": Case(
        lambda net, x: net.prelu(x, normal(10)),
        lambda x: np.where(x > 0, x, normal(10)[:, np.newaxis] * x),
        needs=(1,),
        refused=(*ALL, "none"),
    ),
    "embedding": Case(
        lambda net, x: net.embedding(normal(2, 3), whole_numbers(net, x)),
        lambda x: normal(2, 3)[beyond(x)],
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    NUMBERS[name].check()


SEVERAL: dict[str, Case] = {
    **{
        f"concatenate {k}": Case(
            lambda net, x, k=k: net.concatenate([x, twice(net, x)], k),
            lambda x, k=k: np.concatenate([x, 2 * x], k),
            needs=(k % 3,),
        )
        for k in (0, 1, -1)
    },
    "concatenate with nothing": Case(
        lambda net, x: net.concatenate([np.zeros(0), x], 0), lambda x: x
    ),
    "concatenate with a constant": Case(
        lambda net, x: net.concatenate([x, normal(6, 1, 4)], 1),
        lambda x: np.concatenate([x, normal(6, 1, 4)], 1),
        needs=(0, 1, 2),
        refused=ALL,
    ),
    **{
        f"stack {k}": Case(
            lambda net, x, k=k: net.stack([x, twice(net, x)], k),
            lambda x, k=k: np.stack([x, 2 * x], k),
        )
        for k in (0, 1, 2, -1)
    },
    **{
        f"stack {k} and select": Case(
            lambda net, x, k=k: net.select(net.stack([x, twice(net, x)], k), k, -1),
            lambda x: 2 * x,
        )
        for k in (0, 2)
    },
    "stack and select otherwise": Case(
        lambda net, x: net.select(net.stack([x, twice(net, x)], 1), 3, 1),
        lambda x: np.stack([x, 2 * x], 1)[..., 1],
        needs=(2,),
    ),
    "take along 1": Case(
        lambda net, x: net.take_along(x, net.reduce("argmax", x, [1], True), 1),
        lambda x: x.max(1, keepdims=True),
        needs=(1,),
        refused=ALL,
    ),
    "take along -1": Case(
        lambda net, x: net.take_along(x, net.reduce("argmax", x, [2], True), -1),
        lambda x: x.max(2, keepdims=True),
        needs=(2,),
        refused=ALL,
    ),
    "take along for more": Case(
        lambda net, x: net.take_along(net.reduce("max", x, [2], True), whole_numbers(net, x), 1),
        lambda x: np.take_along_axis(x.max(2)[..., np.newaxis] + 0 * x, beyond(x), 1),
        needs=(1, 2),
        refused=ALL,
    ),
    "matrix": Case(
        lambda net, x: net.matmul(x, normal(4, 3)), lambda x: x @ normal(4, 3), **FEATURES
    ),
    "matrix in front": Case(
        lambda net, x: net.matmul(normal(3, 10), x),
        lambda x: normal(3, 10) @ x,
        needs=(1,),
        refused=("0, 1 open", *ALL),
    ),
    "vector": Case(
        lambda net, x: net.matmul(x, normal(4)),
        lambda x: x @ normal(4),
        needs=(2,),
        refused=("1, 2 open", *ALL),
    ),
    "vector in front": Case(
        lambda net, x: net.matmul(normal(10), x),
        lambda x: normal(10) @ x,
        needs=(1,),
        refused=("0, 1 open", *ALL),
    ),
    "one matrix": Case(
        lambda net, x: net.matmul(x, normal(1, 4, 3)),
        lambda x: x @ normal(1, 4, 3),
        needs=(1, 2),
        refused=("0+", "+0", *ALL),
    ),
    "one matrix in front": Case(
        lambda net, x: net.matmul(normal(1, 3, 10), x),
        lambda x: normal(1, 3, 10) @ x,
        needs=(1, 2),
        refused=("0+", "+0", *ALL),
    ),
    "matrices": Case(
        lambda net, x: net.matmul(x, normal(6, 4, 3)),
        lambda x: x @ normal(6, 4, 3),
        needs=(0, 1, 2),
        refused=ALL,
    ),
    "itself turned": Case(
        lambda net, x: net.matmul(x, net.permute(x, [0, 2, 1])),
        lambda x: x @ x.swapaxes(1, 2),
        needs=(1, 2),
        refused=ALL,
    ),
    "more matrices": Case(
        lambda net, x: net.matmul(net.unsqueeze(x, 1), normal(3, 4, 2)),
        lambda x: x[:, np.newaxis] @ normal(3, 4, 2),
        needs=(1, 2),
        refused=("0+", "+0", *ALL),
    ),
    "dense": Case(
        lambda net, x: net.dense(x, normal(4, 3), normal(3)),
        lambda x: x @ normal(4, 3) + normal(3),
        **FEATURES,
    ),
    "linear": Case(
        lambda net, x: net.linear(x, normal(3, 4), normal(3)),
        lambda x: x @ normal(3, 4).T + normal(3),
        **FEATURES,
    ),
    "linear without bias": Case(
        lambda net, x: net.linear(x, normal(3, 4)), lambda x: x @ normal(3, 4).T, **FEATURES
    ),
    "linear to one": Case(
        lambda net, x: net.linear(x, normal(4)), lambda x: x @ normal(4), **FEATURES
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several(name: str) -> None:
    SEVERAL[name].check()


def pooled(kind: str, size: int, stride: int, pad: tuple[int, int] = (0, 0)) -> Case:
    """Return a case of windows over the steps of (batch, channels, steps)."""
    function, number = (np.max, -np.inf) if kind == "max" else (np.mean, 0)
    return Case(
        lambda net, x: net.pool(x, kind, [size], [stride], [pad]),
        lambda x: function(windows(put_around(x, pad, number=number), [size], [stride]), -1),
        **CHANNELS,
    )


def convolved(
    groups: int = 1, stride: int = 1, pad: tuple[int, int] = (0, 0), dilation: int = 1
) -> Case:
    kernel, bias = normal(4, 10 // groups, 2), normal(4)

    def numpy(x: np.ndarray) -> np.ndarray:
        parts = np.split(windows(put_around(x, pad), [dilation + 1], [stride]), groups, 1)
        pairs = zip(parts, np.split(kernel, groups), strict=True)
        made = [np.einsum("ncsk,fck->nfs", p[..., ::dilation], k) for p, k in pairs]
        return np.concatenate(made, 1) + bias[:, np.newaxis]

    return Case(
        lambda net, x: net.convolution(
            x, kernel, bias, strides=[stride], padding=[pad], dilation=[dilation], groups=groups
        ),
        numpy,
        needs=(1, 2),
        refused=("0, 1 open", *ALL, "none"),
        array=normal(6, 10, 7),
        layouts=(*LAYOUTS, "0, 2 open"),
    )


CHANNELS: dict[str, Any] = {
    "needs": (1, 2),
    "refused": (*ALL, "none"),
    "array": normal(6, 10, 7),
    "layouts": (*LAYOUTS, "0, 2 open"),
}
LAYERS: dict[str, Case] = {
    "convolution": convolved(),
    "convolution, all options": convolved(2, 2, (1, 3), 3),
    "max": pooled("max", 3, 2),
    "max, padded": pooled("max", 3, 1, (1, 2)),
    "mean": pooled("mean", 2, 3),
    "mean, padded": pooled("mean", 3, 2, (1, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    LAYERS[name].check()

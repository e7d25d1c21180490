"""Tensors and layers of other libraries, wherever these have the batch, beside NumPy.

An array stands for a tensor whose batch is one of its axes, or in one together with others; for a
constant that is the same for all rows, which are one of its axes; or for a constant. A function of
`Networks` makes of each what NumPy makes of the array, or refuses it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop as fd
from fastdrop import layers
from fastdrop.formats._lengths import BATCH, Length, Open, _Quotient, divided, known
from fastdrop.formats._networks import Cell, Networks
from fastdrop.formats._values import (
    Order,
    RowNumbers,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
)
from fastdrop.formats._windows import around
from layer_laws import normal
from tolerances import FLOAT32, assert_close

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
        pairs = zip(numbers, made.shape[1:], strict=True)
        assert [*made.shape[1:]] == [m if n is None else n for n, m in pairs]
        found = np.moveaxis(made, 0, value.at + value.before)
        start, stop = value.at, value.at + value.merged + 1
        joined = math.prod(found.shape[start:stop])
        return found.reshape(*found.shape[:start], joined, *found.shape[stop:])

    def number(self, length: Length) -> int | None:
        """Return a length, None where it is but a name."""
        if isinstance(length, int):
            return length
        names = {name for term, _ in length.terms for name in term}
        if "T" in self.lengths and not names <= self.lengths.keys():
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
TWO = ("0", "1", "0, 1 open", "1, 0 open", "all 0", "all 1", "none")
FOUR = (
    *("0", "1", "2", "3", "0+", "+0", "0, 1 open", "0, 2 open", "0, 3 open"),
    *("all 0", "none"),
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
            except UnsupportedError:
                refused.add(layout)
                continue
            try:
                got = np.asarray(net.array(value, self.array.shape[axis_of(layout) or 0]))
            except ValueError:  # by the model
                refused.add(layout)
                continue
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


def log(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.log(x))


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
    "slice back to": sliced(1, None, 3, -1),
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
    "reshape behind": reshaped(6, -1, refused=("0+", "+0", "1, 0 open", "all 1", "all 2")),
    "reshape in front": reshaped(-1, 4, refused=("1, 2 open", "all 0", "all 1")),
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
    "its mean, twice": Case(
        lambda net, x: twice(net, net.reduce("mean", x, [1], True)),
        lambda x: 2 * x.mean(1, keepdims=True),
        (1,),
    ),
    "itself with more axes": Case(
        lambda net, x: net.elementwise("subtract", x, net.unsqueeze(twice(net, x), 0)),
        lambda x: -x[np.newaxis],
    ),
    "logarithm of what has none": Case(
        lambda net, x: net.elementwise("log", x), log, layouts=("all 0", "none")
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
    "itself": Case(
        lambda net, x: net.matmul(x, twice(net, x)),
        lambda x: 2 * x @ x,
        needs=(1, 2),
        refused=ALL,
        array=normal(4, 4, 4),
    ),
    "more matrices": Case(
        lambda net, x: net.matmul(net.unsqueeze(x, 1), normal(3, 4, 2)),
        lambda x: x[:, np.newaxis] @ normal(3, 4, 2),
        needs=(1, 2),
        refused=("0+", "+0", *ALL),
    ),
    "matrices of fewer axes": Case(
        lambda net, x: net.matmul(net.unsqueeze(x, 1), normal(7, 5, 2)),
        lambda x: x[:, np.newaxis] @ normal(7, 5, 2),
        needs=(1, 2, 3),
        refused=("0+", "+0", "0, 1 open", "all 0"),
        array=normal(6, 7, 4, 5),
        layouts=FOUR,
    ),
    "dense": Case(
        lambda net, x: net.dense(x, normal(4, 3), normal(3)),
        lambda x: x @ normal(4, 3) + normal(3),
        **FEATURES,
    ),
    "dense of what a constant is added to": Case(
        lambda net, x: net.dense(net.elementwise("add", x, normal(4)), normal(4, 3)),
        lambda x: (x + normal(4)) @ normal(4, 3),
        needs=(2,),
    ),
    "dense of as many steps as features": Case(
        lambda net, x: net.dense(x, normal(4, 3)),
        lambda x: x @ normal(4, 3),
        array=normal(6, 4, 4),
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


def letters(equation: str, *others: np.ndarray, **options: Any) -> Case:
    """Return a case of Einstein's convention, with constants."""
    return Case(
        lambda net, x: net.einsum(equation, [x, *others]),
        lambda x: np.einsum(equation, x, *others),
        **options,
    )


def accumulated(function: str, ufunc: np.ufunc, axis: int) -> Case:
    return Case(
        lambda net, x: net.accumulate(function, x, axis),
        lambda x: ufunc.accumulate(x, axis),
        (axis % 3,),
    )


def ordered(axis: int, count: int, **options: Any) -> dict[str, Case]:
    """Return cases of the first numbers by their size, and of their places, by either end."""

    def function(number: int, smallest: bool) -> Function:
        return lambda net, x: net.largest(x, axis, count, smallest=smallest)[number]

    def numpy(number: int, smallest: bool) -> Function:
        def found(x: np.ndarray) -> np.ndarray:
            order = np.argsort(x if smallest else -x, axis, kind="stable")
            places = order.take(np.arange(count), axis)
            return places if number else np.take_along_axis(x, places, axis)

        return found

    return {
        f"{'places of ' * number}the {count} {name} of {axis}": Case(
            function(number, name == "smallest"),
            numpy(number, name == "smallest"),
            (axis % 3,),
            **options,
        )
        for number in (0, 1)
        for name in ("largest", "smallest")
    }


def less_known(net: Written, x: Value, bound: float, other: float) -> Value:
    """Put a number in the place of what is less than another."""
    return net.elementwise("where", net.elementwise("less", x, bound), other, x)


def log_sum_exp(*axes: int, keepdims: bool = False, factor: float = 1.0, **options: Any) -> Case:
    return Case(
        lambda net, x: net.log_sum_exp(net.elementwise("multiply", x, factor), axes, keepdims),
        lambda x: np.logaddexp.reduce(x.astype(float) * factor, axes, keepdims=keepdims),
        tuple(axis % 3 for axis in axes),
        **options,
    )


UNKNOWN = (*ALL, "none")


def _between(x: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """Interpolate along an axis by NumPy."""
    known = np.arange(x.shape[axis])
    return np.apply_along_axis(lambda line: np.interp(places, known, line), axis, x)


FOLDED: dict[str, Case] = {
    "letters of a matrix": letters(
        "bij,jk->bik", normal(4, 3), needs=(2,), refused=("1, 2 open", *ALL)
    ),
    "letters in another order": letters(
        "b i j, k j -> k i b", normal(3, 4), needs=(2,), refused=("1, 2 open", *ALL)
    ),
    "letters of a vector": letters("bij,j->bi", normal(4), needs=(2,), refused=("1, 2 open", *ALL)),
    "letters turned": letters("bij->jib"),
    "letters turned and summed": letters("bij->jb", needs=(1,)),
    "letters of steps": letters("bij,ik->bjk", normal(10, 3), needs=(1,), refused=(*OPENED, *ALL)),
    "letters of each one's own": letters("bij,k->kbij", normal(3), refused=ALL),
    "letters of three": letters(
        "bij,jk,kl->bil", normal(4, 3), normal(3, 2), needs=(2,), refused=("1, 2 open", *ALL)
    ),
    "letters of itself": Case(
        lambda net, x: net.einsum("bij,bkj->bki", [x, twice(net, x)]),
        lambda x: np.einsum("bij,bkj->bki", x, 2 * x),
        needs=(1, 2),
        refused=ALL,
    ),
    "letters of itself, row by row": Case(
        lambda net, x: net.einsum("bij,bij->bi", [x, twice(net, x)]),
        lambda x: np.einsum("bij,bij->bi", x, 2 * x),
        needs=(2,),
        refused=ALL,
    ),
    "sums up to 0": accumulated("sum", np.add, 0),
    "sums up to 1": accumulated("sum", np.add, 1),
    "sums up to -1": accumulated("sum", np.add, -1),
    "products up to 1": accumulated("prod", np.multiply, 1),
    "the largest up to 0": accumulated("max", np.maximum, 0),
    "the smallest up to -1": accumulated("min", np.minimum, -1),
    "logarithms of sums up to 1": accumulated("logsumexp", np.logaddexp, 1),
    **ordered(1, 3, refused=UNKNOWN),
    **ordered(-1, 4, refused=UNKNOWN),
    **ordered(0, 1, refused=UNKNOWN),
    "places of the largest of few": Case(
        lambda net, x: net.largest(less_known(net, x, 0.5, -np.inf), 1, 10)[1],
        lambda x: np.argsort(-np.where(x < 0.5, -np.inf, x), 1, kind="stable"),
        needs=(1,),
        refused=UNKNOWN,
    ),
    "logarithms of sums of powers": log_sum_exp(1),
    "logarithms of sums of great powers": log_sum_exp(1, -1, keepdims=True, factor=100.0),
    "logarithms of sums of no powers": Case(
        lambda net, x: net.log_sum_exp(less_known(net, x, 1.0, -np.inf), [2], False),
        lambda x: np.logaddexp.reduce(np.where(x < 1, -np.inf, x), 2),
        needs=(2,),
    ),
    "noise": Case(lambda net, x: net.noise(x), np.zeros_like, refused=UNKNOWN),
    "uniform noise": Case(
        lambda net, x: net.uniform(x), lambda x: np.full_like(x, 0.5), refused=UNKNOWN
    ),
    "error function": Case(lambda net, x: net.erf(x), np.vectorize(math.erf)),
    "error function of what is small": Case(
        lambda net, x: net.elementwise("multiply", net.erf(net.elementwise("divide", x, 1e5)), 1e5),
        lambda x: x * (2 / math.sqrt(math.pi)),
    ),
    "middle numbers": Case(
        lambda net, x: net.reduce("median", x, [1]),
        lambda x: np.sort(x, 1)[:, (x.shape[1] - 1) // 2],
        needs=(1,),
        refused=UNKNOWN,
    ),
    "sorted": Case(
        lambda net, x: net.sort(x, -2)[0], lambda x: np.sort(x, 1), needs=(1,), refused=UNKNOWN
    ),
    "places of what is sorted": Case(
        lambda net, x: net.sort(x, 1, descending=True)[1],
        lambda x: np.argsort(-x, 1, kind="stable"),
        needs=(1,),
        refused=UNKNOWN,
    ),
    "places of equal numbers": Case(
        lambda net, x: net.sort(net.elementwise("floor", x), 2, descending=True)[1],
        lambda x: np.argsort(-np.floor(x), 2, kind="stable"),
        needs=(2,),
        refused=UNKNOWN,
    ),
    "known places": Case(
        lambda net, x: net.take_known(x, np.array([0, 2, -1, 2]), 1),
        lambda x: x[:, [0, 2, -1, 2]],
        needs=(1,),
        refused=UNKNOWN,
    ),
    "lines between places": Case(
        lambda net, x: net.interpolate(x, 1, scale=2.0),
        lambda x: _between(x, 1, np.clip((np.arange(2 * x.shape[1]) - 0.5) / 2, 0, None)),
        needs=(1,),
        refused=UNKNOWN,
    ),
    "lines from end to end": Case(
        lambda net, x: net.interpolate(x, -1, scale=None, size=7, coordinates="align_corners"),
        lambda x: _between(x, 2, np.linspace(0, x.shape[2] - 1, 7)),
        needs=(2,),
        refused=UNKNOWN,
    ),
    "as many places as rows": Case(
        lambda net, x: net.reshape(x, [BATCH, 6, 2, -1]),
        lambda x: x.reshape(6, 6, 2, 2),
        array=normal(6, 6, 4),
        layouts=("0", "all 0"),
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_letters_sums_and_orders(name: str) -> None:
    FOLDED[name].check()


def test_noise_is_normal() -> None:
    """Of all rows alike too, which draw their own."""
    for layout in ("0", "all 1"):
        net = Written()
        net.value(X, "0")
        x = net.value(normal(20, 6, 50) if layout == "all 1" else X, layout)
        noise = net.noise(x)
        assert isinstance(noise, Tensor)
        drawn = net.model(noise).mc_predict(net.arrays, samples=100, rng=0)
        assert abs(drawn.mean.mean()) < 0.05
        assert abs(drawn.std.mean() - 1) < 0.05


@pytest.mark.parametrize("layout", ["0", "0, 1 open"])
@pytest.mark.parametrize("array", [X, X[..., 0], X[..., np.newaxis]], ids=["3", "2", "4"])
def test_zeros_behind_each_rows_length(layout: str, array: np.ndarray) -> None:
    net = Written()
    x, lengths = net.value(array, layout), net.value(np.arange(6, dtype=np.float32), "0")
    expected = array.copy()
    for row, length in zip(expected, range(6), strict=True):
        row[length:] = 0
    assert np.array_equal(net.array(net.padded(x, lengths), 6), expected)
    assert net.padded(array, lengths) is array


def test_what_a_recurrent_layer_puts_out_has_zeros_behind_it() -> None:
    net = Written()
    cells = [[Cell.of_torch("gru", *weights_of("gru", 4, 0))]]
    x, lengths = net.value(X, "0"), net.value(np.arange(1, 7, dtype=np.float32), "0")
    walked, _ = net.recurrent(x, cells, batch_first=True, lengths=lengths)
    assert net.padded(walked, lengths) is walked
    assert net.padded(x, lengths) is not x
    whole, _ = net.recurrent(x, cells, batch_first=True)
    assert net.padded(whole, lengths) is not whole


def test_how_far_recurrent_layers_go_is_known() -> None:
    for layout, steps in (("0", 10), ("0, 1 open", OPEN)):
        net = Written()
        assert net.walks == set()
        cells = [[Cell.of_torch("gru", *weights_of("gru", 4, 0))]]
        net.recurrent(net.value(X, layout), cells, batch_first=True)
        assert net.walks == {steps}


# ---- shapes that are taken from other tensors ----


def first_places(constant: np.ndarray, axis: int, *needs: int, **options: Any) -> Case:
    """Return a case that adds so many places of a constant as the tensor has."""
    return Case(
        lambda net, x: net.elementwise("add", x, net.slice(constant, axis, None, x.shape[axis])),
        lambda x: x + constant.take(range(x.shape[axis]), axis),
        needs,
        **options,
    )


SHAPES: dict[str, Case] = {
    "mean as often as it was": Case(
        lambda net, x: net.expand(net.reduce("mean", x, [1], True), x.shape),
        lambda x: x.mean(1, keepdims=True) + 0 * x,
        needs=(1,),
    ),
    "two means as often as they were": Case(
        lambda net, x: net.expand(net.reduce("max", x, [1, 2], True), x.shape),
        lambda x: x.max((1, 2), keepdims=True) + 0 * x,
        needs=(1, 2),
    ),
    "first mean as often as it was": Case(
        lambda net, x: net.expand(net.reduce("mean", x, [0], True), x.shape),
        lambda x: x.mean(0, keepdims=True) + 0 * x,
        needs=(0,),
    ),
    "features for all": Case(
        lambda net, x: net.elementwise("add", x, net.expand(normal(4), x.shape)),
        lambda x: x + normal(4),
        needs=(2,),
        refused=("1, 2 open",),
    ),
    "steps for all": Case(
        lambda net, x: net.elementwise("add", x, net.expand(normal(1, 10, 1), x.shape)),
        lambda x: x + normal(1, 10, 1),
        needs=(1,),
        refused=("0, 1 open", "1, 0 open", "1, 2 open"),
    ),
    "first steps": first_places(normal(1, 12, 4), 1, 1, 2),
    "first steps of one": first_places(normal(1, 12, 1), 1, 1),
    "first rows": first_places(normal(9, 1, 4), 0, 0, 2),
    "first features": first_places(normal(6, 1, 8), 2, 0, 2),
    "first steps of pictures": first_places(
        normal(1, 9, 5, 3), 1, 1, 2, 3, array=normal(6, 7, 5, 3), layouts=FOUR
    ),
    "first columns of pictures": first_places(
        normal(1, 7, 1, 5), 3, 1, 3, array=normal(6, 7, 5, 3), layouts=FOUR
    ),
    "first numbers": first_places(normal(1, 12), 1, 1, array=normal(6, 10), layouts=TWO),
    "shape of itself": Case(
        lambda net, x: net.reshape(net.reshape(x, [*x.shape[:2], 2, 2]), x.shape),
        lambda x: x,
        needs=(2,),
        refused=("1, 2 open",),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    SHAPES[name].check()


# ---- layers with weights ----


def means(
    x: np.ndarray, size: int, stride: int, pad: tuple[int, int], ceil: bool, count: bool
) -> np.ndarray:
    """Return means of windows of the last axis, by the definition of PyTorch."""
    before, behind = pad
    length, found, start = x.shape[-1], [], -before
    while start < length and (ceil or start + size <= length + behind):
        stop = min(start + size, length + behind)
        part = x[..., max(start, 0) : max(stop, 0)]
        found.append(part.sum(-1) / ((stop - start) if count else part.shape[-1]))
        start += stride
        if start + size - stride >= length + behind:  # the last one was whole
            break
    return np.stack(found, -1)


CHANNELS: dict[str, Any] = {  # (batch, channels, steps)
    "needs": (1, 2),
    "refused": (*ALL, "none"),
    "array": normal(6, 10, 7),
    "layouts": (*LAYOUTS, "0, 2 open"),
}
PICTURES: dict[str, Any] = {  # (batch, channels, rows, columns)
    "needs": (1, 2, 3),
    "refused": ("all 0", "none"),
    "array": normal(6, 4, 7, 5),
    "layouts": FOUR,
}


def pooled(kind: str, size: int, stride: int, pad: tuple[int, int] = (0, 0)) -> Case:
    function, number = (np.max, -np.inf) if kind == "max" else (np.mean, 0)
    return Case(
        lambda net, x: net.pool(x, kind, [size], [stride], [pad]),
        lambda x: function(windows(put_around(x, pad, number=number), [size], [stride]), -1),
        **CHANNELS,
    )


def averaged(
    size: int, stride: int, pad: tuple[int, int], *, ceil: bool, count: bool, **options: Any
) -> Case:
    return Case(
        lambda net, x: net.pool(x, "mean", [size], [stride], [pad], ceil=ceil, count_padding=count),
        lambda x: means(x, size, stride, pad, ceil, count),
        **CHANNELS | options,
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
        **CHANNELS | {"refused": ("0, 1 open", *ALL, "none")},
    )


def parted(*counts: int | None, kind: str = "mean", **options: Any) -> Case:
    """Return a case of so many windows of each of the last axes."""

    def numpy(x: np.ndarray) -> np.ndarray:
        for axis, count in enumerate(counts, x.ndim - len(counts)):
            n = x.shape[axis]
            k = n if count is None else count
            parts = [range(i * n // k, -(-(i + 1) * n // k)) for i in range(k)]
            function = np.mean if kind == "mean" else np.max
            x = np.stack([function(x.take(part, axis), axis) for part in parts], axis)
        return x

    return Case(lambda net, x: net.adaptive_pool(x, kind, counts), numpy, **options)


def normalized(x: np.ndarray, *axes: int) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.1)


def rms_norm(x: np.ndarray, *axes: int) -> np.ndarray:
    return x / np.sqrt(np.square(x).mean(axes, keepdims=True) + 0.1)


# Of a window that is cut off, and of padding behind, in which it may begin.
OF_KNOWN = ("0, 2 open", "1, 2 open", *ALL, "none")
LAYERS: dict[str, Case] = {
    "convolution": convolved(),
    "convolution with all options": convolved(2, 2, (1, 3), 3),
    "convolution of pictures": Case(
        lambda net, x: net.convolution(
            x,
            normal(3, 4, 2, 3),
            None,
            strides=[2, 1],
            padding=[(0, 1), (2, 0)],
            dilation=[1, 1],
        ),
        lambda x: np.einsum(
            "nchwij,fcij->nfhw",
            windows(put_around(x, (0, 1), (2, 0)), [2, 3], [2, 1]),
            normal(3, 4, 2, 3),
        ),
        **PICTURES | {"refused": ("0, 1 open", "all 0", "none")},
    ),
    "max": pooled("max", 3, 2),
    "padded max": pooled("max", 3, 1, (1, 2)),
    "mean": pooled("mean", 2, 3),
    "padded mean": pooled("mean", 3, 2, (1, 1)),
    "max of one, of ends too": Case(
        lambda net, x: net.pool(x, "max", [1], [1], [(0, 0)], ceil=True), lambda x: x, **CHANNELS
    ),
    "max of two, of ends too": Case(
        lambda net, x: net.pool(x, "max", [2], [1], [(0, 0)], ceil=True),
        lambda x: np.maximum(x[..., 1:], x[..., :-1]),
        **CHANNELS,
    ),
    "max of pictures": Case(
        lambda net, x: net.pool(x, "max", [2, 3], [2, 1], [(0, 0), (1, 1)]),
        lambda x: windows(put_around(x, (0, 0), (1, 1), number=-np.inf), [2, 3], [2, 1]).max(
            (-1, -2)
        ),
        **PICTURES,
    ),
    "mean of pictures": Case(
        lambda net, x: net.pool(x, "mean", [2, 3], [2, 1], [(0, 0), (1, 1)]),
        lambda x: windows(put_around(x, (0, 0), (1, 1)), [2, 3], [2, 1]).mean((-1, -2)),
        **PICTURES,
    ),
    **{
        f"mean of {size} by {stride}, {pad} around, {'ceil' * ceil} {'count' * count}": averaged(
            size,
            stride,
            pad,
            ceil=ceil,
            count=count,
            refused=OF_KNOWN if ceil and pad[1] > size - stride else CHANNELS["refused"],
        )
        for size, stride, pad in (
            *((3, 2, (1, 1)), (2, 3, (0, 1)), (4, 4, (2, 0)), (3, 3, (1, 1))),
            *((4, 3, (1, 1)), (2, 4, (0, 1)), (3, 1, (1, 1))),
        )
        for ceil in (True, False)
        for count in (True, False)
        if ceil or not count
    },
    "mean of one window": averaged(9, 1, (1, 1), ceil=False, count=False),
    "mean of columns of pictures": Case(
        lambda net, x: net.pool(x, "mean", [1, 3], [1, 2], [(0, 0), (1, 1)], count_padding=False),
        lambda x: means(x, 3, 2, (1, 1), ceil=False, count=False),
        **PICTURES,
    ),
    "one part": parted(1, **CHANNELS | {"needs": (2,)}),
    "three parts": parted(3, **CHANNELS | {"needs": (2,)}),
    "all parts": parted(None, **CHANNELS),
    "five maxima": parted(
        5,
        kind="max",
        **CHANNELS | {"needs": (2,)},
    ),
    "parts of equal size": parted(5, needs=(2,), refused=(*ALL, "none"), array=normal(6, 4, 10)),
    "parts of pictures": parted(3, 5, **PICTURES),
    "maxima of pictures": parted(7, 2, kind="max", **PICTURES),
    "one row of pictures": parted(1, 3, **PICTURES | {"needs": (2, 3)}),
    "batch_norm": Case(
        lambda net, x: net.batch_norm(
            x, normal(10), None, normal(10, seed=1), normal(10, seed=2) ** 2, 0.1
        ),
        lambda x: (
            (x - normal(10, seed=1)[:, np.newaxis])
            / np.sqrt(normal(10, seed=2) ** 2 + np.float32(0.1))[:, np.newaxis]
            * normal(10)[:, np.newaxis]
        ),
        needs=(1,),
        refused=("0, 1 open", *ALL, "none"),
    ),
    "layer_norm": Case(
        lambda net, x: net.layer_norm(x, 1, normal(4), normal(4, seed=1), 0.1),
        lambda x: normalized(x, -1) * normal(4) + normal(4, seed=1),
        needs=(2,),
        refused=("1, 2 open", *ALL, "none"),
    ),
    "layer_norm without weights": Case(
        lambda net, x: net.layer_norm(x, 1, None, None, 0.1),
        lambda x: normalized(x, -1),
        needs=(2,),
        refused=("1, 2 open", *ALL, "none"),
    ),
    "layer_norm of two without weights": Case(
        lambda net, x: net.layer_norm(x, 2, None, None, 0.1),
        lambda x: normalized(x, 1, 2),
        needs=(1, 2),
        refused=("0, 1 open", *ALL, "none"),
    ),
    "layer_norm of two": Case(
        lambda net, x: net.layer_norm(x, 2, normal(10, 4), None, 0.1),
        lambda x: normalized(x, 1, 2) * normal(10, 4),
        needs=(1, 2),
        refused=("0, 1 open", *ALL, "none"),
    ),
    "group_norm": Case(
        lambda net, x: net.group_norm(x, 2, normal(10), normal(10, 1, seed=1)[:, 0], 0.1),
        lambda x: (
            normalized(x.reshape(6, 2, 5, 4), 2, 3).reshape(x.shape) * normal(10)[:, np.newaxis]
            + normal(10, 1, seed=1)
        ),
        needs=(1, 2),
        refused=("0, 1 open", *ALL, "none"),
    ),
    "group_norm without weights": Case(
        lambda net, x: net.group_norm(x, 5, None, None, 0.1),
        lambda x: normalized(x.reshape(6, 5, 2, 4), 2, 3).reshape(x.shape),
        needs=(1, 2),
        refused=("0, 1 open", *ALL, "none"),
    ),
    "rms_norm": Case(
        lambda net, x: net.rms_norm(x, 1, normal(4), 0.1),
        lambda x: rms_norm(x, 2) * normal(4),
        needs=(2,),
    ),
    "rms_norm of two": Case(
        lambda net, x: net.rms_norm(x, 2, None, 0.1), lambda x: rms_norm(x, 1, 2), needs=(1, 2)
    ),
    "pad last": Case(
        lambda net, x: net.pad(x, [(1, 2)], 7.0),
        lambda x: put_around(x, (1, 2), number=7),
        needs=(2,),
        refused=ALL,
    ),
    "pad two": Case(
        lambda net, x: net.pad(x, [(0, 3), (1, 0)], 0.0),
        lambda x: put_around(x, (0, 3), (1, 0)),
        needs=(1, 2),
        refused=ALL,
    ),
    "pad less": Case(
        lambda net, x: net.pad(x, [(-1, 2), (2, -1)], 7.0),
        lambda x: put_around(x[:, 1:, :-1], (0, 2), (2, 0), number=7),
        needs=(1, 2),
        refused=ALL,
        layouts=LAYOUTS[:-1],
    ),
    "pad nothing": Case(lambda net, x: net.pad(x, [(0, 0)], 7.0), lambda x: x, refused=ALL),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    LAYERS[name].check()


# ---- attention, bags, rows by number ----


def attention(x: np.ndarray, mask: Any = 0.0, scale: float = 0.5) -> np.ndarray:
    return softmax(x @ (2 * x).swapaxes(1, 2) * scale + mask, -1) @ x


def attending(added: Any = 0.0, **options: Any) -> Case:
    return Case(
        lambda net, x: net.attention(x, twice(net, x), x, **options),
        lambda x: attention(x, added, options.get("scale", 0.5)),
        needs=(1, 2),
        refused=ALL,
    )


def bag(mode: str, padding: int | None = None, *, weighted: bool = False) -> Case:
    """Return a case of (batch, tokens), of which each is looked up."""
    table = normal(2, 5)

    def numpy(x: np.ndarray) -> np.ndarray:
        tokens = beyond(x)
        found = table[tokens] * (x[..., np.newaxis] if weighted else 1)
        counts = np.ones(x.shape, bool) if padding is None else tokens != padding
        if mode == "max":
            return found.max(1)
        total = np.where(counts[..., np.newaxis], found, 0).sum(1)
        return total / np.maximum(counts.sum(1, keepdims=True), 1) if mode == "mean" else total

    return Case(
        lambda net, x: net.embedding_bag(
            table, whole_numbers(net, x), mode, padding, x if weighted else None
        ),
        numpy,
        needs=(1,),
        array=np.concatenate([normal(6, 5), np.ones((1, 5), np.float32)]),
        layouts=TWO,
    )


LOOKED_UP: dict[str, Case] = {
    "attention": attending(),
    "scaled attention": attending(scale=0.2),
    "attention to what was": attending(np.where(np.tri(10), 0, -np.inf), causal=True),
    "attention with a mask": attending(
        np.where(np.eye(10), -np.inf, 0), mask=np.eye(10) == 0, boolean=True
    ),
    "attention with what is added": attending(normal(10, 10), mask=normal(10, 10)),
    "sums": bag("sum"),
    "means": bag("mean"),
    "maxima": bag("max"),
    "weighted sums": bag("sum", weighted=True),
    "sums without padding": bag("sum", 1),
    "means without padding": bag("mean", 1),
    "one step of each row": Case(
        lambda net, x: net.rows_at(
            x, [RowNumbers(), net.reduce("argmax", net.select(x, 2, 0), [1])]
        ),
        lambda x: x[np.arange(6), x[..., 0].argmax(1)],
        needs=(1, 2),
        refused=("0+", "+0", *ALL, "none"),
    ),
    "one feature of each row": Case(
        lambda net, x: net.rows_at(
            x, [RowNumbers(), None, net.reduce("argmax", net.select(x, 1, 0), [1])]
        ),
        lambda x: np.take_along_axis(x, x[:, 0].argmax(1)[:, np.newaxis, np.newaxis], 2)[..., 0],
        needs=(1, 2),
        refused=("0+", "+0", *ALL, "none"),
    ),
    "one place of each row": Case(
        lambda net, x: net.rows_at(
            x, [net.reduce("argmax", net.select(x, 2, 0), [0]), RowNumbers()]
        ),
        lambda x: x[x[..., 0].argmax(0), np.arange(10)],
        needs=(0, 2),
        refused=("1+", "+1", *ALL, "none"),
    ),
    "the last step of each row": Case(
        lambda net, x: net.rows_at(x, [RowNumbers(), np.array(-1)]),
        lambda x: x[:, -1],
        needs=(1, 2),
        refused=("0+", "+0", *ALL, "none"),
    ),
    "all of each row": Case(
        lambda net, x: net.rows_at(x, [RowNumbers()]),
        lambda x: x,
        needs=(1, 2),
        refused=("0+", "+0", *ALL, "none"),
    ),
}


@pytest.mark.parametrize("name", LOOKED_UP)
def test_what_is_looked_up(name: str) -> None:
    LOOKED_UP[name].check()


# ---- recurrent layers ----


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(kind: str, x: np.ndarray, states: list[np.ndarray], weights: list[np.ndarray]) -> Any:
    """Take a step as PyTorch's pages have it, and return the new states."""
    w_ih, w_hh, b_ih, b_hh, *projection = weights
    h, given, kept = states[0], x @ w_ih.T + b_ih, states[0] @ w_hh.T + b_hh
    if kind == "rnn":
        return [np.tanh(given + kept)]
    if kind == "gru":
        (r, z, n), (kr, kz, kn) = np.split(given, 3, -1), np.split(kept, 3, -1)
        z = sigmoid(z + kz)
        return [(1 - z) * np.tanh(n + sigmoid(r + kr) * kn) + z * h]
    i, f, g, o = np.split(given + kept, 4, -1)
    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return [h @ projection[0].T if projection else h, c]


def weights_of(kind: str, inputs: int, seed: int, *, projected: bool = False) -> list[np.ndarray]:
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[kind] * 3
    outputs = 2 if projected else 3
    shapes = [(rows, inputs), (rows, outputs), (rows,), (rows,), *[(2, 3)] * projected]
    return [normal(*shape, seed=seed + k) * np.float32(0.5) for k, shape in enumerate(shapes)]


def recurrent(
    kind: str,
    number: int | None = None,
    *,
    levels: int = 1,
    directions: int = 1,
    batch_first: bool = True,
    started: bool | str = False,
    lengths: bool = False,
    projected: bool = False,
) -> Case:
    """Return a case of layers over X: their outputs, the last of them (-1), or one of the states.

    They start at the first step's first features, or at constants, or at zeros; there are as many
    steps as have a positive first feature, and one more.
    """
    outputs = 2 if projected else 3
    widths = (outputs, 3) if kind == "lstm" else (outputs,)
    weights = [
        [
            weights_of(kind, directions * outputs if k else 4, 10 * k + 5 * d, projected=projected)
            for d in range(directions)
        ]
        for k in range(levels)
    ]
    along = 1 if batch_first else 0

    def ours(net: Written, x: Value) -> Value:
        first = net.select(x, along, 0)
        starts = [net.stack([net.slice(first, 1, 0, n)] * levels * directions, 0) for n in widths]
        if started == "constant":
            starts = [normal(levels * directions, 1, n) for n in widths]
        ends = net.reduce("sum", whole_numbers(net, net.select(x, 2, 0)), [along])
        output, states = net.recurrent(
            x,
            [[Cell.of_torch(kind, *own) for own in level] for level in weights],
            starts if started else (),
            batch_first=batch_first,
            lengths=net.elementwise("add", ends, 1.0) if lengths else None,
        )
        if number == -1:
            return net.select(output, along, -1)
        return output if number is None else states[number]

    def numpy(x: np.ndarray) -> np.ndarray:
        steps = x if batch_first else x.swapaxes(0, 1)
        ends = beyond(steps[..., 0]).sum(1) + 1 if lengths else [steps.shape[1]] * len(steps)
        start = [steps[:, 0, :n] if started else np.zeros((len(steps), n)) for n in widths]
        finals: list[Any] = []
        for level in weights:
            made = np.zeros((*steps.shape[:2], directions * outputs))
            for d, own in enumerate(level):
                if started == "constant":
                    k = len(finals)
                    start = [
                        np.repeat(normal(levels * directions, 1, n)[k], len(steps), 0)
                        for n in widths
                    ]
                last = [np.empty_like(state) for state in start]
                for row, end in enumerate(ends):
                    states = [state[row] for state in start]
                    for k in reversed(range(end)) if d else range(end):
                        states = step(kind, steps[row, k], states, own)
                        made[row, k, d * outputs : (d + 1) * outputs] = states[0]
                    for found, state in zip(last, states, strict=True):
                        found[row] = state
                finals.append(last)
            steps = made
        if number == -1:
            return steps[:, -1]
        if number is not None:
            return np.stack([final[number] for final in finals])
        return steps if batch_first else steps.swapaxes(0, 1)

    opened = ("1, 2 open",) if started is True else ()  # states of a number that is not known
    return Case(ours, numpy, needs=(2, along), refused=(*opened, *ALL, "none"))


JOINED = ("0+", "+0", "1+", "+1")
RECURRENT: dict[str, Case] = {
    "lstm": recurrent("lstm"),
    "lstm with states": recurrent("lstm", started=True),
    "memory of an lstm": recurrent("lstm", 1, started=True),
    "memory of a projected lstm": recurrent("lstm", 1, started=True, projected=True),
    "two projected lstms": recurrent("lstm", levels=2, directions=2, projected=True),
    "gru, steps in front": recurrent("gru", batch_first=False, started=True),
    "state of grus": recurrent("gru", 0, levels=2, directions=2, batch_first=False),
    "state of grus with states": recurrent("gru", 0, levels=2, directions=2, started=True),
    "constant states": recurrent("lstm", started="constant", levels=2, directions=2),
    "constant states, steps in front": recurrent("gru", 0, started="constant", batch_first=False),
    "last step": recurrent("gru", -1),
    "last step, steps in front": recurrent("lstm", -1, batch_first=False),
    "last step of two directions": recurrent("rnn", -1, directions=2),
    "last step of lengths": recurrent("gru", -1, lengths=True),
    "two rnns": recurrent("rnn", levels=2),
    "rnn in two directions": recurrent("rnn", directions=2, batch_first=False, started=True),
    "lengths": recurrent("gru", lengths=True, levels=2, directions=2),
    "lengths of an lstm": recurrent("lstm", lengths=True, started=True, batch_first=False),
    "state of lengths": recurrent("lstm", 0, lengths=True, directions=2),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name: str) -> None:
    RECURRENT[name].check()


def one_step(kind: str, number: int = 0) -> Case:
    """Return a case of a step from a state that is a constant, and one of the input's numbers."""
    own, start = weights_of(kind, 4, 3), normal(1, 3)

    def ours(net: Written, x: Value) -> Value:
        cell = Cell.of_torch(kind, *own)
        return net.cell_step(x, cell, [start, net.slice(x, 1, 0, 3)][: len(cell.states)])[number]

    def numpy(x: np.ndarray) -> np.ndarray:
        states = [np.repeat(start, len(x), 0), x[:, :3]]
        return np.asarray(step(kind, x, states, own)[number])

    refused = ("0, 1 open",) if kind == "lstm" else ()  # a state of a number that is not known
    return Case(ours, numpy, (1,), (*refused, "all 0", "none"), array=normal(6, 4), layouts=TWO)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_one_step(name: str) -> None:
    one_step(name, 0).check()


# What layers do with the same numbers for all rows.
ALIKE: dict[str, tuple[np.ndarray, Function]] = {
    "dropout": (normal(4), lambda net, x: net.dropout(x, 0.5)),
    "recurrent": (
        normal(10, 4),
        lambda net, x: net.recurrent(
            x, [[Cell.of_torch("gru", *weights_of("gru", 4, 0))]], batch_first=True
        )[0],
    ),
    "cell": (
        normal(4),
        lambda net, x: net.cell_step(
            x, Cell.of_torch("gru", *weights_of("gru", 4, 0)), [normal(1, 3)]
        )[0],
    ),
    "batch_norm": (
        normal(4, 3),
        lambda net, x: net.batch_norm(x, normal(4), None, normal(4), np.abs(normal(4)), 0.1),
    ),
    "layer_norm": (normal(3, 4), lambda net, x: net.layer_norm(x, 1, normal(4), None, 0.1)),
}


@pytest.mark.parametrize("name", ALIKE)
def test_layers_of_rows_that_are_alike(name: str) -> None:
    row, function = ALIKE[name]
    found = []
    for array in (None, np.repeat(row[np.newaxis], 6, 0)):
        net = Written()
        net.value(normal(6, 2), "0")
        value = function(net, Spread(row, 0) if array is None else net.value(array, "0"))
        found.append(net.array(value, 6))
    assert np.array_equal(*found)


def test_the_memory_of_one_step() -> None:
    one_step("lstm", 1).check()


@pytest.mark.parametrize("rate", [None, 0.3])
def test_dropout_between_recurrent_layers(rate: float | None) -> None:
    net = Written()
    cells = [[Cell.of_torch("gru", *weights_of("gru", n, n))] for n in (4, 3, 3)]
    x = net.value(X, "0")
    output, _ = net.recurrent(x, cells, batch_first=True, rate=rate)
    model = net.model(output)
    assert np.isfinite(model.predict(X)).all()
    between = [] if rate is None else ["Dropout"]
    assert [type(layer).__name__ for layer in model.layers] == (["GRU", *between] * 3)[
        : 5 if rate else 3
    ]
    assert all(
        layer.name == "layer.dropout" and layer.rate == rate for layer in model.layers[1::2] if rate
    )


@pytest.mark.parametrize("joined", [False, True], ids=["", "joined"])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_recurrent_layer_puts_out_what_is_taken(directions: int, joined: bool) -> None:
    """The last step of one direction is its state, and a sequence that nobody takes is none."""
    expected: dict[str, Any] = {"outputs": (True, False), "state": (False, True)}
    expected["last"] = expected["last by number"] = (directions == 2, directions == 1)
    expected["other"] = expected["outputs"]
    expected["both"] = (True, True)
    for taken, puts_out in expected.items():
        net = Written()
        cells = [[Cell.of_torch("gru", *weights_of("gru", 4, 5 * d)) for d in range(directions)]]
        output, (state,) = net.recurrent(
            net.value(X, "0+" if joined else "0"), cells, batch_first=True
        )
        last = net.select(output, 1, -1)
        value = {
            "outputs": output,
            "state": net.select(state, 0, 0),
            "last": last,
            "last by number": net.select(output, 1, 9),
            "other": net.select(output, 1, 3),
            "both": net.elementwise(
                "add",
                net.select(output, 1, 3),
                net.concatenate([net.select(state, 0, 0)] * directions, 1),
            ),
        }[taken]
        assert isinstance(value, Tensor)
        layer: Any = net.model(value).layers[0]
        layer = layer.layer if joined else layer
        assert isinstance(layer, layers.GRU if directions == 1 else layers.Bidirectional)
        for each in [layer] if directions == 1 else [layer.forward, layer.backward]:
            assert (each.return_sequences, each.return_state) == puts_out, taken


def test_what_was_stacked_is_taken_as_it_was() -> None:
    net = Written()
    x = net.value(X, "1")
    value = net.select(net.stack([x, twice(net, x)], 1), 1, 1)
    assert isinstance(value, Tensor)
    assert [type(layer).__name__ for layer in net.model(value).layers] == ["Elementwise"]


def test_constants_are_rounded_in_any_mode_of_numpy() -> None:
    net = Written()
    x = net.value(X, "0")
    with np.errstate(all="raise"):
        value = net.elementwise("minimum", net.elementwise("add", x, 1e-300), 1e300)
    assert np.array_equal(net.array(value, 6), X)


def test_cells_are_packed_once() -> None:
    net = Written()
    cells = [[Cell.of_torch("gru", *weights_of("gru", 4, 0))]]
    x = net.value(X, "0")
    first, second = (net.recurrent(x, cells, batch_first=True)[0] for _ in range(2))
    model = net.model(net.concatenate([first, second], -1))
    assert len({id(layer) for layer in model.layers if isinstance(layer, layers.GRU)}) == 1


# ---- what is random ----


def dropped(layout: str, drop: Function) -> np.ndarray:
    """Return which numbers are dropped in one sample, with axes as in the array."""
    net = Written()
    value = drop(net, net.value(np.ones_like(X), layout))
    p = net.model(value).mc_predict(net.arrays["x0"], samples=1, rng=0, keep_samples=True)
    found = np.moveaxis(p.samples[0], 0, value.at + value.before)
    return found.reshape(X.shape)


@pytest.mark.parametrize("layout", ["0", "2", "0+", "+0"])
@pytest.mark.parametrize("alpha", [False, True], ids=["", "alpha"])
def test_dropout_of_channels(layout: str, alpha: bool) -> None:
    """They are axis 1, of each row, with whatever stands beside the row in the batch."""
    made = dropped(layout, lambda net, x: net.feature_dropout(x, 0.5, alpha=alpha))
    rows = np.moveaxis(made, axis_of(layout) or 0, 0)
    channels = rows if layout != "2" else rows.swapaxes(1, 2)
    assert (channels == channels[:, :, :1]).all()
    assert len(np.unique(channels[:, :, 0])) == 2
    assert len(np.unique(channels[:, :, 0], axis=0)) == len(channels)
    assert (0 in made) is not alpha


@pytest.mark.parametrize("alpha", [False, True], ids=["", "alpha"])
def test_dropout_of_numbers(alpha: bool) -> None:
    made = dropped("1", lambda net, x: (net.alpha_dropout if alpha else net.dropout)(x, 0.5))
    kept = 0 if not alpha else made.min()
    assert 80 < (made == kept).sum() < 160
    assert len(np.unique(made)) == 2
    assert (0 in made) is not alpha


def test_attention_drops_its_weights() -> None:
    net = Written()
    x = net.value(X, "0")
    model = net.model(net.attention(x, x, x, rate=0.4))
    assert [layer.rates() for layer in model.layers if layer.rates()] == [{"rate": 0.4}]
    plain = net.model(net.attention(x, x, x))
    assert not plain.stochastic
    assert np.array_equal(model.predict(X), plain.predict(X))


# ---- several inputs ----


def test_as_many_steps_as_another_tensor_has() -> None:
    net = Written()
    x, y = net.value(X, "0, 1 open"), net.value(normal(6, 12, 4), "0")
    value = net.elementwise("subtract", net.slice(y, 1, 0, x.shape[1]), x)
    assert_close(net.array(value, 6), normal(6, 12, 4)[:, :10] - X, FLOAT32)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
def test_numbers_computed_of_lengths(steps: int) -> None:
    """Numbers, and as many positions, of lengths that no tensor has."""
    for make in (
        lambda t: t,
        lambda t: t + 3,
        lambda t: t - 1,
        lambda t: t // 2,
        lambda t: t // 3,
        lambda t: t - t // 2,
        lambda t: 2 * t,
        lambda t: 2 * t * t - (t + 1) // 2 + 5,
    ):
        net = Written()
        length = make(net.value(X[:, :steps], "0, 1 open").shape[1])
        assert_close(net.array(net.count(length), 6), np.full(6, make(steps), np.float32), FLOAT32)
        if make(9) < 20:
            positions = np.tile(np.arange(make(steps), dtype=np.float32), (6, 1))
            assert_close(net.array(net.positions(length), 6), positions, FLOAT32)


def test_numbers_computed_of_lengths_that_no_row_has() -> None:
    net = Written()
    net.value(X, "0, 1 open")
    for length, message in (
        (BATCH, "how many rows there are"),
        (BATCH * OPEN, "how many rows there are"),
        (Open.named("S"), "computed of S, along which"),
        (Open.named("S" * 3000), "in too many steps"),
        (Open.named("S") // 2, "computed of S, along which"),
        (7 // Open.named("S"), r"computed of \[\(7\) // \(S\)\], along which"),
    ):
        with pytest.raises(UnsupportedError, match=message):
            net.count(length)


def test_lengths_end_with_their_layer() -> None:
    """A layer behind it that is given none runs over all steps."""
    cells = [[Cell.of_torch("gru", *weights_of("gru", n, n))] for n in (4, 3)]
    net = Written()
    x, lengths = net.value(X, "0"), net.value(np.arange(1, 7, dtype=np.float32), "0")
    first, _ = net.recurrent(x, cells[:1], batch_first=True, lengths=lengths)
    whole, _ = net.recurrent(first, cells[1:], batch_first=True)
    made = net.array(first, 6)
    assert not made[0, 1:].any()
    alone = Written()
    expected, _ = alone.recurrent(alone.value(made, "0"), cells[1:], batch_first=True)
    assert np.array_equal(net.array(whole, 6), alone.array(expected, 6))


def test_causal_attention_from_known_steps_to_open_ones() -> None:
    plain = Written()
    x = plain.value(X, "0")
    expected = plain.array(plain.attention(x, x, x, causal=True), 6)
    for query, key in (("0", "0, 1 open"), ("0, 1 open", "0")):
        net = Written()
        q, k = net.value(X, query), net.value(X, key)
        assert_close(net.array(net.attention(q, k, k, causal=True), 6), expected, FLOAT32)


@pytest.mark.parametrize("opened", ["", ", 2 open"], ids=["known", "open"])
def test_causal_attention_of_heads(opened: str) -> None:
    net = Written()
    heads = normal(6, 3, 10, 4)
    x = net.value(heads, "0" + opened)
    found = net.array(net.attention(x, twice(net, x), x, causal=True), 6)
    for k in range(3):
        expected = attention(heads[:, k], np.where(np.tri(10), 0, -np.inf))
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-5, atol=1e-5)


def test_lengths_that_do_not_broadcast() -> None:
    net = Written()
    x, y = net.value(normal(3, 2, 4, 5), "0"), net.value(normal(3, 6, 5, 2), "0")
    with pytest.raises(UnsupportedError, match="do not broadcast"):
        net.matmul(x, y)


@pytest.mark.parametrize(
    ("at", "shape"),
    [(1, [3, BATCH * 2, 4]), (0, [BATCH * 3, 8]), (0, [BATCH * 6, 4]), (2, [3, 4, BATCH * 2])],
    ids=str,
)
def test_what_all_rows_share_is_laid_out_with_the_batch(at: int, shape: list[Length]) -> None:
    """As heads of queries that are learned."""
    net = Written()
    net.value(normal(5, 2), "0")
    shared = Spread(normal(3, 8), at)
    lengths = [n if isinstance(n, int) else -1 for n in shape]
    with pytest.raises(UnsupportedError, match="a tensor of shape"):
        net.reshape(shared, [2, BATCH * 11])
    found = net.reshape(shared, shape)
    assert found.shape == tuple(shape)
    np.testing.assert_array_equal(net.array(found, 5), net.array(shared, 5).reshape(lengths))


def test_a_constant_for_all_rows() -> None:
    net = Written()
    net.value(X, "0")
    tensor = net.some_tensor(Spread(normal(2, 3), 1))
    assert np.array_equal(net.array(tensor, 6), np.repeat(normal(2, 3)[:, np.newaxis], 6, 1))


@pytest.mark.parametrize(
    ("padding", "sizes", "dilation", "expected"),
    [
        ("valid", (3, 2), (1, 1), [(0, 0), (0, 0)]),
        ("same", (3, 2), (1, 1), [(1, 1), (0, 1)]),
        ("same", (3, 4), (2, 3), [(2, 2), (4, 5)]),
        (2, (3, 2), (1, 1), [(2, 2), (2, 2)]),
        ([2], (3, 2), (1, 1), [(2, 2), (2, 2)]),
        ([2, 1], (3, 2), (1, 1), [(2, 2), (1, 1)]),
    ],
    ids=["valid", "same", "dilated", "number", "one", "two"],
)
def test_what_convolutions_put_around(
    padding: Any, sizes: Any, dilation: Any, expected: list[tuple[int, int]]
) -> None:
    """PyTorch puts what is odd behind."""
    assert around(padding, sizes, dilation) == expected


def test_states_of_rows_in_another_order() -> None:
    """Both have the batch and two places on one axis, and not in the same order."""
    cells = [[Cell.of_torch("gru", *weights_of("gru", 4, 0))]]
    for layout, refused in (("0+", False), ("+0", True)):
        net = Written()
        x, h = net.value(X, "0+"), net.value(normal(6, 3), layout)
        if refused:
            with pytest.raises(UnsupportedError, match="initial states of rows in another order"):
                net.recurrent(x, cells, [net.unsqueeze(h, 0)], batch_first=True)
        else:
            net.recurrent(x, cells, [net.unsqueeze(h, 0)], batch_first=True)


# ---- what is refused ----

KERNEL = normal(3, 2, 2)
REFUSALS: dict[str, tuple[Function, str]] = {
    "constant dropped": (lambda net, x: net.dropout(X, 0.5), "dropout of a constant"),
    "letters": (lambda net, x: net.einsum("bii->bi", [x]), "einsum 'bii->bi'"),
    "letters twice behind": (lambda net, x: net.einsum("bij->bijj", [x]), "einsum 'bij->bijj'"),
    "letters for more": (lambda net, x: net.einsum("bi->b", [x]), "einsum 'bi->b'"),
    "letters of nothing": (lambda net, x: net.einsum("bij->bik", [x]), "einsum 'bij->bik'"),
    "letters of one": (lambda net, x: net.einsum("bij,ij->b", [x]), "einsum 'bij,ij->b'"),
    "letters without an arrow": (lambda net, x: net.einsum("bii", [x]), "einsum 'bii->b'"),
    "dots for more": (lambda net, x: net.einsum("bijk...->b", [x]), "einsum 'bijk...->b'"),
    "noise of a constant": (lambda net, x: net.noise(X), "that rows of a batch share"),
    "rows of no input": (
        lambda net, x: Written().some_tensor(normal(2)),
        "rows of a batch that no input has",
    ),
    "some of an order": (
        lambda net, x: Order().of(x, 1),
        "places put into an order of rows",
    ),
    "places of rows": (lambda net, x: net.take_known(x, np.arange(2), 0), "some rows of the batch"),
    "places of a constant": (
        lambda net, x: net.take_known(X, np.arange(2), 0),
        "places of a constant",
    ),
    "interpolated rows": (lambda net, x: net.interpolate(x, 0, scale=2.0), "rows of a batch are"),
    "roots of an open length": (
        lambda net, x: net.interpolate(net.value(X, "0, 1 open"), 1, scale=2**0.5),
        "places interpolated at 1.4142135623730951 times as many",
    ),
    "the middle of a constant": (
        lambda net, x: net.reduce("median", X, [1]),
        "the median of a constant",
    ),
    "none of the largest": (lambda net, x: net.largest(x, 1, 0), "the 0 largest numbers"),
    "fewer than none": (lambda net, x: net.largest(x, 1, -1), "the -1 largest numbers"),
    "more than there are": (lambda net, x: net.largest(x, 2, 5), "the 5 largest of 4 numbers"),
    "one place of rows that are alike": (
        lambda net, x: net.select(Spread(normal(4), 0), 1, 4),
        "index 4 of an axis of length 4",
    ),
    "one place of rows that are alike, from behind": (
        lambda net, x: net.select(Spread(normal(4, 2), 1), 0, -5),
        "index -5 of an axis of length 4",
    ),
    "sums over rows that are alike": (
        lambda net, x: net.accumulate("sum", Spread(normal(4), 0), 0),
        "rows of a batch are computed with one another",
    ),
    "channels of a constant dropped": (
        lambda net, x: net.feature_dropout(X, 0.5),
        "dropout of a constant",
    ),
    "constant dropped otherwise": (
        lambda net, x: net.alpha_dropout(X, 0.5),
        "dropout of a constant",
    ),
    "maxima with padding": (
        lambda net, x: net.embedding_bag(normal(2, 3), net.select(x, 2, 0), "max", 1),
        "maxima of bags with padding",
    ),
    "rows turned": (
        lambda net, x: net.elementwise("add", net.unsqueeze(x, 0), net.unsqueeze(x, 1)),
        "rows of a batch are computed with one another",
    ),
    "rows turned, joined": (
        lambda net, x: net.concatenate([x, net.permute(x, [1, 0, 2])], 2),
        "tensors whose batch is on different axes",
    ),
    "rows turned, multiplied": (
        lambda net, x: net.matmul(net.unsqueeze(x, 0), net.unsqueeze(x, 1)),
        "tensors whose batch is on different axes",
    ),
    "index": (lambda net, x: net.select(x, 1, 10), "index 10 of an axis of length 10"),
    "index from behind": (lambda net, x: net.select(x, 1, -11), "index -11 of an axis"),
    "index of several": (
        lambda net, x: net.select(net.stack([x, x], 1), 1, 2),
        "index 2 of an axis of length 2",
    ),
    "more rows": (lambda net, x: net.reshape(x, [BATCH * 2, 10, 4]), "a tensor of shape"),
    "rows repeated": (lambda net, x: net.expand(x, [BATCH * 2, -1, -1]), "a tensor of shape"),
    "batch on another axis": (
        lambda net, x: net.recurrent(x, CELLS, batch_first=False),
        "it takes the batch on axis 1, and finds it on 0",
    ),
    "channels beside the batch": (
        lambda net, x: net.pool(net.permute(x, [1, 0, 2]), "max", [1], [1], [(0, 0)]),
        "it takes the batch on axis 0, and finds it on 1",
    ),
    "rows by more numbers": (
        lambda net, x: net.rows_at(x, [RowNumbers(), x]),
        "places taken out by numbers",
    ),
    "first places of no rows": (
        lambda net, x: net.slice(normal(12, 4), 0, None, BATCH),
        "places up to batch of [12, 4]",
    ),
    "axis": (lambda net, x: net.unsqueeze(x, 4), "axis 4 of a tensor of 4 axes"),
    "axis from behind": (lambda net, x: net.squeeze(x, [-4]), "axis -4 of a tensor of 3 axes"),
    "shapes": (
        lambda net, x: net.elementwise("add", x, normal(3)),
        "expected shapes that broadcast",
    ),
    "two lengths": (lambda net, x: net.reshape(x, [-1, -1, 4]), "a shape of"),
    "no such shape": (lambda net, x: net.reshape(x, [BATCH, 41]), "a tensor of shape"),
    "no such rest": (lambda net, x: net.reshape(x, [BATCH, 7, -1]), "a tensor of shape"),
    "repeated": (lambda net, x: net.expand(x, [-1, 20, -1]), "rows of shape"),
    "steps without a batch": (
        lambda net, x: net.recurrent(X, [[]], batch_first=True),
        "a recurrent layer over a tensor",
    ),
    "state without a batch": (
        lambda net, x: net.recurrent(x, CELLS, [normal(1, 5, 3)], batch_first=True),
        "initial states without a batch",
    ),
    "states in front": (
        lambda net, x: net.recurrent(
            x, CELLS, [net.slice(net.slice(x, 2, 0, 3), 1, 0, 1)], batch_first=True
        ),
        "states have the batch on axis 1, these on 0",
    ),
    "too many states": (
        lambda net, x: net.recurrent(x, CELLS, [normal(2, 1, 3)], batch_first=True),
        "2 initial states for 1 layers",
    ),
    "constant lengths": (
        lambda net, x: net.recurrent(x, CELLS, lengths=np.ones(6), batch_first=True),
        "lengths of sequences that are no input",
    ),
    "several lengths a row": (
        lambda net, x: net.recurrent(x, CELLS, lengths=net.select(x, 2, 0), batch_first=True),
        "lengths of sequences that are no input",
    ),
    "step of a sequence": (
        lambda net, x: net.cell_step(x, CELLS[0][0], [normal(1, 3)]),
        "a step of a tensor without",
    ),
    "windows over too much": (
        lambda net, x: net.convolution(
            x, normal(1, 10, 5), None, strides=[1], padding=[(0, 0)], dilation=[1]
        ),
        "windows of 5 places on an axis of 4",
    ),
    "axes of windows": (
        lambda net, x: net.convolution(
            x, normal(1, 10, 1, 1, 1, 1), None, strides=[1], padding=[(0, 0)], dilation=[1]
        ),
        "a convolution over 4 axes",
    ),
    "axes of a tensor": (
        lambda net, x: net.convolution(
            x, normal(1, 10, 1, 1), None, strides=[1], padding=[(0, 0)], dilation=[1]
        ),
        "a convolution over a tensor of 3 axes",
    ),
    "axes that are pooled": (
        lambda net, x: net.pool(x, "max", [1] * 4, [1] * 4, [(0, 0)] * 4),
        "pooling over 4 axes",
    ),
    "no statistics": (
        lambda net, x: net.batch_norm(x, None, None, None, normal(10), 0.1),
        "batch normalization without running statistics",
    ),
    "no variance": (
        lambda net, x: net.batch_norm(x, None, None, normal(10), None, 0.1),
        "batch normalization without running statistics",
    ),
    "places of all rows": (
        lambda net, x: net.rows_at(
            x, [np.zeros(6), net.reduce("argmax", net.select(x, 2, 0), [1])]
        ),
        "places taken out by numbers",
    ),
    "constants of all rows, joined": (
        lambda net, x: net.concatenate([Spread(normal(2), 0), normal(6, 2)], 1),
        "constants of different kinds, joined",
    ),
    "numbers up to what nothing has": (
        lambda net, x: net.positions(Open.named("S")),
        "numbers up to S",
    ),
    "constant repeated for rows": (
        lambda net, x: net.expand(normal(6, 1), [BATCH, 4]),
        "an array of shape",
    ),
    "constants of all rows, turned": (
        lambda net, x: net.concatenate([Spread(normal(2, 3), 0), Spread(normal(2, 3), 1)], 2),
        "constants of different kinds, joined",
    ),
    "places up to a length": (
        lambda net, x: net.slice(Spread(normal(12), 0), 1, None, OPEN),
        "places from None to T of 12",
    ),
    "weights of the input": (
        lambda net, x: net.linear(x, x),
        "what is computed of the input cannot stand here",
    ),
    "constant repeated for a length": (
        lambda net, x: net.expand(normal(1, 4), [OPEN, 4]),
        "an array of shape (1, 4) as [T, 4]",
    ),
    "constant of all rows, repeated for more rows": (
        lambda net, x: net.expand(Spread(normal(1, 4), 0), [BATCH * 2, OPEN, 4]),
        "a tensor of shape",
    ),
    "constant of all rows for a length": (
        lambda net, x: net.reshape(Spread(normal(6, 4), 0), [BATCH, OPEN, 4]),
        "a tensor of shape",
    ),
    "constant as a row": (
        lambda net, x: net.tensor(normal(6, 1), x),
        "a constant where rows of a batch are needed",
    ),
}
CELLS = [[Cell.of_torch("gru", *weights_of("gru", 4, 0))]]


@pytest.mark.parametrize(("function", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(function: Function, message: str) -> None:
    net = Written()
    with pytest.raises(UnsupportedError) as caught:
        function(net, net.value(X, "0"))
    assert message in str(caught.value)


# ---- lengths that are left open ----


def test_lengths_are_computed_like_numbers() -> None:
    """Whatever is computed of names, it is what comes of the numbers."""
    numbers = {"a": 3, "b": 5, "c": 4}
    a, b, c = (Open.named(name) for name in numbers)

    def number(length: Length) -> int:
        terms = length.terms if isinstance(length, Open) else [((), length)]
        return sum(n * math.prod(numbers[name] for name in names) for names, n in terms)

    factors: list[Length] = [a, b, a * b, 3 * a, -c, 7, -2]
    lengths: list[Length] = [*factors, a + 2, 2 - b, a - a + 7, 0 * a, (a + b) * (c - 1)]
    for x, y in itertools.product(lengths, repeat=2):
        assert number(x + y) == number(x) + number(y)
        assert number(x - y) == number(x) - number(y)
        assert number(x * y) == number(x) * number(y)
        assert (x * y, x + y, x - y + y) == (y * x, y + x, x)
    for x, y in itertools.product(factors, factors):
        assert divided(x * y, y) == x * y // y == x
    assert isinstance(a - a, int)
    assert known([a, 3, a * b, a - a]) == (None, 3, None, 0)


def test_lengths_that_are_not_known_to_be_whole() -> None:
    a, b = Open.named("a"), Open.named("b")
    pairs: list[tuple[Length, Length]] = [
        (a, b),
        (3 * a, 2),
        (2 * a + b, a),
        (3, 2),
        (a * a + b, a + 1),
        (a, 0),
    ]
    for x, y in pairs:
        assert divided(x, y) is None
    assert divided(a + 1, 1 + a) == 1
    assert a // 2 == a // 2 != b // 2
    assert str(a // 2 + 2 * a * b - 3) == "-3 + [(a) // (2)] + 2*a*b"
    assert str(7 // a) == "[(7) // (a)]"
    assert [str(a // n) for n in (b, 0, -2)] == ["[(a) // (b)]", "[(a) // (0)]", "[(a) // (-2)]"]


def counted_out(length: Length, t: int) -> int:
    """Return what a length is where T is t."""
    if isinstance(length, int):
        return length
    values = {
        name: counted_out(name.divided, t) // name.by if isinstance(name, _Quotient) else t
        for names, _ in length.terms
        for name in names
    }
    return sum(n * math.prod(values[name] for name in names) for names, n in length.terms)


STEPS_DOWN = st.lists(
    st.tuples(st.sampled_from(["+", "*", "//"]), st.integers(1, 5), st.booleans()), max_size=6
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS_DOWN)
def test_lengths_that_are_divided_are_those_of_whole_numbers(
    steps: list[tuple[str, int, bool]],
) -> None:
    length: Length = OPEN
    numbers = list(range(1, 40))
    for function, n, negative in steps:
        if function == "+":
            by = -n if negative else n
            length, numbers = length + by, [m + by for m in numbers]
        elif function == "*":
            length, numbers = length * n, [m * n for m in numbers]
        else:
            length, numbers = length // n, [m // n for m in numbers]
    assert [counted_out(length, t) for t in range(1, 40)] == numbers


def test_quotients_have_one_form() -> None:
    t = OPEN
    assert (t - 1) // 2 + 1 == (t + 1) // 2
    assert ((t + 1) // 2 + 1) // 2 == (t + 3) // 4  # two convolutions of stride 2
    assert (t // 2) // 3 == t // 6
    assert (2 * t + 1) // 2 == t
    assert (3 * t) // 2 == t + t // 2
    assert t // 2 != (t + 1) // 2
    assert divided(t // 2 * (t + 3), t + 3) == t // 2
    assert divided(t * t + t, t + 3) is None


# ---- what is random ----


def test_chances_are_such_however_they_are_laid_out() -> None:
    net = Written()
    chance = net.dropout(net.value(normal(2, 3, 4), "0"), 0.4)
    assert isinstance(chance, Tensor)
    net.chances.add(chance.name)
    laid_out = [
        net.unsqueeze(chance, 1),
        net.squeeze(net.unsqueeze(chance, 1), [1]),
        net.permute(chance, [0, 2, 1]),
        net.slice(chance, 2, 1, 3),
        net.reshape(chance, [BATCH, 12]),
    ]
    computed = [
        net.elementwise("add", chance, 1.0),
        net.unsqueeze(net.activation(chance, "relu"), 1),
    ]
    names = [[v.name for v in values if isinstance(v, Tensor)] for values in (laid_out, computed)]
    assert net.chances.issuperset(names[0])
    assert not net.chances.intersection(names[1])


@pytest.mark.parametrize("layout", ["0", "all 0"])
def test_words_of_a_table_are_dropped(layout: str) -> None:
    net = Written()
    table, words = normal(5, 3), np.array([[0, 1, 4], [0, 1, 4]], np.float32)
    first = net.value(normal(2, 1), "0")
    assert isinstance(first, Tensor)
    found = net.embedding(table, net.value(words, layout), 0.4)
    assert isinstance(found, Tensor)
    assert found.shape == (BATCH, 3, 3)
    layer = next(entry.layer for entry in net.entries if entry.name == found.name)
    assert isinstance(layer, fd.layers.EmbeddingDropout)
    assert layer.rate == 0.4
    np.testing.assert_array_equal(layer.table, table)


@pytest.mark.parametrize("steps", [2, 5])
def test_einsum_of_what_all_rows_share(steps: int) -> None:
    """Positions have the letter of the batch beside them, or one of their own."""
    net = Written()
    x, table = normal(3, steps, 4), normal(4)
    given = net.value(x, "0, 1 open")
    assert isinstance(given, Tensor)
    positions = Steps(net.positions(given.shape[1]))
    alone = net.einsum("i,j->ij", [positions, table])
    beside = net.einsum("t,btf->bf", [positions, given])
    assert isinstance(alone, Steps)
    assert isinstance(beside, Tensor)
    assert alone.shape == (given.shape[1], 4)
    numbers = np.arange(steps, dtype=np.float32)
    assert_close(net.array(alone.value, 3)[0], np.outer(numbers, table), FLOAT32)
    assert_close(net.array(beside, 3), np.einsum("t,btf->bf", numbers, x), FLOAT32)
    with pytest.raises(UnsupportedError, match="along rows of a batch"):
        net.einsum("b,btf->tf", [positions, given])

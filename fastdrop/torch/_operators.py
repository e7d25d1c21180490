"""Operators of PyTorch (ATen), one row each, written as calls of layers.

A row takes what calls are written with and the operator's arguments by their names in its schema,
and returns its value, or a tuple of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._lengths import BATCH, Open, product
from fastdrop.formats._networks import Cell, Networks
from fastdrop.formats._tensors import (
    RowNumbers,
    Spread,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class Arguments:
    """What an operator is called with: values by name, and which of them are of bools."""

    values: Mapping[str, Any]
    bools: frozenset[str] = frozenset()
    floats: bool = True  # whether what comes out is no whole number
    truth: bool = False  # whether it is true or false

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def first(self) -> Any:
        return next(iter(self.values.values()))


@dataclass(frozen=True)
class Packed:
    """A sequence (batch, steps, features) and how many steps each row has."""

    value: Tensor
    lengths: Value


class Order:
    """An order of rows, by anything: rows know nothing of one another."""


@dataclass(frozen=True)
class Offsets:
    """Where each row begins if all are laid out one after another: 0, step, 2 * step and so on."""

    step: Any


Row = Callable[[Networks, Arguments], Any]
ROWS: dict[str, Row] = {}


def row(*names: str) -> Callable[[Row], Row]:
    """Make a function the row of operators, by name, of one overload or of all."""

    def add(function: Row) -> Row:
        for name in names:
            assert name not in ROWS, name
            ROWS[name] = function
        return function

    return add


def find(name: str) -> Row | None:
    """Return the row of an operator like ``add_.Tensor``."""
    base, _, overload = name.partition(".")
    return next(
        (
            ROWS[spelled]
            for spelled in (name, base, f"{base.rstrip('_')}.{overload}", base.rstrip("_"))
            if spelled in ROWS
        ),
        None,
    )


# ---- number by number ----

_BINARY = {
    "mul": "multiply",
    "maximum": "maximum",
    "minimum": "minimum",
    "floor_divide": "floor_divide",
    "remainder": "mod",
    "pow": "power",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
}
_UNARY = {
    "neg": "negative",
    "abs": "absolute",
    "sign": "sign",
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "sqrt": "sqrt",
    "rsqrt": "rsqrt",
    "square": "square",
    "reciprocal": "reciprocal",
    "sin": "sin",
    "cos": "cos",
    "floor": "floor",
    "ceil": "ceil",
    "round": "round",
    "trunc": "trunc",
    "logical_not": "logical_not",
    "zeros_like": "zeros",
    "ones_like": "ones",
}


def _binary(function: str) -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        left, right = list(a.values.values())[:2]
        if _open(left) or _open(right):
            return _PYTHON[function](left, right)
        return b.elementwise(function, left, right)

    return compute


def _unary(function: str) -> Row:
    return lambda b, a: b.elementwise(function, a.first())


def _open(value: object) -> bool:
    return isinstance(value, Open)


_PYTHON: dict[str, Any] = {
    "multiply": operator.mul,
    "floor_divide": operator.floordiv,
}

for _name, _function in _BINARY.items():
    row(_name)(_binary(_function))
for _name, _function in _UNARY.items():
    row(_name)(_unary(_function))


@row("add")
def _add(b: Networks, a: Arguments) -> Any:
    return _sum(b, "add", a)


@row("sub")
def _subtract(b: Networks, a: Arguments) -> Any:
    return _sum(b, "subtract", a)


@row("rsub")
def _rsub(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    value = value if a.alpha == 1 else b.elementwise("multiply", value, a.alpha)
    return b.elementwise("subtract", a.other, value)


def _sum(b: Networks, function: str, a: Arguments) -> Any:
    left, other = a.values["self"], a.other
    if a.alpha != 1:
        other = b.elementwise("multiply", other, a.alpha)
    return b.elementwise(function, left, other)


@row("div")
def _divide(b: Networks, a: Arguments) -> Any:
    mode = a.values.get("rounding_mode")
    found = b.elementwise("divide", a.values["self"], a.other)
    if mode is None:
        return found
    return b.elementwise({"floor": "floor", "trunc": "trunc"}[mode], found)


@row("addcmul")
def _addcmul(b: Networks, a: Arguments) -> Any:
    both = b.elementwise("multiply", a.tensor1, a.tensor2)
    return b.elementwise("add", a.values["self"], b.elementwise("multiply", both, a.value))


@row("clamp", "clamp_min", "clamp_max", "clip", "hardtanh")
def _clamp(b: Networks, a: Arguments) -> Any:
    value = a.first()
    low = a.values.get("min", a.values.get("min_val"))
    high = a.values.get("max", a.values.get("max_val"))
    if low is not None:
        value = b.elementwise("maximum", value, low)
    return value if high is None else b.elementwise("minimum", value, high)


@row("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(b: Networks, a: Arguments) -> Any:
    return b.elementwise("where", a.condition, a.values["self"], a.other)


@row("masked_fill")
def _masked_fill(b: Networks, a: Arguments) -> Any:
    return b.elementwise("where", a.mask, a.value, a.values["self"])


def _bitwise(function: str) -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        if "self" not in a.bools:
            raise UnsupportedError("bits of whole numbers")
        return b.elementwise(function, *a.values.values())

    return compute


row("bitwise_not")(_bitwise("logical_not"))
row("bitwise_and", "__and__")(_bitwise("logical_and"))
row("bitwise_or", "__or__")(_bitwise("logical_or"))


@row("lerp.Tensor", "lerp.Scalar")
def _lerp(b: Networks, a: Arguments) -> Any:
    start = a.values["self"]
    distance = b.elementwise("subtract", a.end, start)
    return b.elementwise("add", start, b.elementwise("multiply", distance, a.weight))


# ---- activations ----

_ACTIVATIONS: dict[str, str] = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "relu6": "relu6",
    "selu": "selu",
    "silu": "silu",
    "mish": "mish",
    "softsign": "softsign",
    "log_sigmoid": "log_sigmoid",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_silu",
    "tanhshrink": "tanh_shrink",
}


def _activation(name: str) -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        value = a.first()
        if not isinstance(value, Tensor):
            return _constant_activation(name, value)
        return b.activation(value, name)

    return compute


def _constant_activation(name: str, value: Any) -> Any:
    """Compute an activation of a constant by the function for arrays."""
    from fastdrop import activate

    if isinstance(value, Spread):
        return Spread(_constant_activation(name, value.value), value.at)
    return activate(np.asarray(value, np.float32), name)


for _name, _function in _ACTIVATIONS.items():
    row(_name)(_activation(_function))


@row("gelu")
def _gelu(b: Networks, a: Arguments) -> Any:
    return b.activation(a.first(), "gelu" if a.approximate == "none" else "gelu_tanh")


@row("leaky_relu")
def _leaky_relu(b: Networks, a: Arguments) -> Any:
    return b.activation(a.first(), ("leaky_relu", float(a.negative_slope)))


@row("elu")
def _elu(b: Networks, a: Arguments) -> Any:
    if a.input_scale != 1:
        raise UnsupportedError("elu of a scaled input")
    found = b.activation(a.first(), ("elu", float(a.alpha)) if a.alpha != 1 else "elu")
    return found if a.scale == 1 else b.elementwise("multiply", found, a.scale)


@row("celu")
def _celu(b: Networks, a: Arguments) -> Any:
    return b.activation(a.first(), ("celu", float(a.alpha)))


@row("softplus")
def _softplus(b: Networks, a: Arguments) -> Any:
    # Above the threshold PyTorch takes the input itself, which is nearer than the float32 result.
    scaled = a.first() if a.beta == 1 else b.elementwise("multiply", a.first(), a.beta)
    found = b.activation(scaled, "softplus")
    return found if a.beta == 1 else b.elementwise("divide", found, a.beta)


@row("prelu")
def _prelu(b: Networks, a: Arguments) -> Any:
    return b.prelu(a.first(), a.weight)


@row("glu")
def _glu(b: Networks, a: Arguments) -> Any:
    value = a.first()
    length = value.shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError(f"halves of {length} numbers")
    half = length // 2
    one = b.slice(value, a.dim, 0, half)
    two = b.slice(value, a.dim, half, length)
    return b.elementwise("multiply", one, b.activation(two, "sigmoid"))


@row("softmax.int", "_softmax", "special_softmax")
def _softmax(b: Networks, a: Arguments) -> Any:
    return b.activation(a.first(), "softmax", a.dim)


@row("log_softmax.int", "_log_softmax", "special_log_softmax")
def _log_softmax(b: Networks, a: Arguments) -> Any:
    return b.activation(a.first(), "log_softmax", a.dim)


# ---- axes ----


@row(
    "contiguous",
    "clone",
    "detach",
    "alias",
    "lift_fresh_copy",
    "positive",
    "type_as",
    "pin_memory",
    "view_as_real",
)
def _same(b: Networks, a: Arguments) -> Any:
    return a.first()


@row("to", "_to_copy")
def _to(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if not isinstance(value, (Tensor, Spread, np.ndarray)):
        return value
    if a.truth:
        return value if "self" in a.bools else b.elementwise("not_equal", value, 0.0)
    return value if a.floats else b.elementwise("trunc", value)


@row("dropout")
def _dropout(b: Networks, a: Arguments) -> Any:
    return b.dropout(a.first(), float(a.p)) if a.train else a.first()


@row("native_dropout")
def _native_dropout(b: Networks, a: Arguments) -> Any:
    return (b.dropout(a.first(), float(a.p)) if a.train else a.first(), None)


@row("alpha_dropout")
def _alpha_dropout(b: Networks, a: Arguments) -> Any:
    return b.alpha_dropout(a.first(), float(a.p)) if a.train else a.first()


@row("feature_dropout")
def _feature_dropout(b: Networks, a: Arguments) -> Any:
    return b.feature_dropout(a.first(), float(a.p)) if a.train else a.first()


@row("feature_alpha_dropout")
def _feature_alpha_dropout(b: Networks, a: Arguments) -> Any:
    return b.feature_dropout(a.first(), float(a.p), alpha=True) if a.train else a.first()


@row("bernoulli.p", "bernoulli_.float")
def _bernoulli(b: Networks, a: Arguments) -> Any:
    """Draw 1 with a probability: dropout of ones, which is off where dropout is, times it."""
    value = a.first()
    if not isinstance(value, (Tensor, Spread)):
        raise UnsupportedError("random numbers that rows of a batch share")
    ones = b.elementwise("ones", value)
    if not isinstance(ones, Tensor):
        ones = b.some_tensor(ones)
    return b.elementwise("multiply", b.dropout(ones, 1 - float(a.p)), float(a.p))


@row("bernoulli", "bernoulli_.Tensor")
def _bernoulli_of(b: Networks, a: Arguments) -> Any:
    value = a.values.get("p", a.first())
    shape = a.first()
    constant = value.value if isinstance(value, Spread) else value
    if isinstance(constant, Tensor) or np.ptp(constant):
        raise UnsupportedError("random numbers of several probabilities")
    return _bernoulli(b, Arguments({"self": shape, "p": float(np.ravel(constant)[0])}))


@row("transpose", "swapaxes")
def _transpose(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    one, other = list(a.values.values())[1:3]
    order = list(range(value.ndim))
    order[one], order[other] = order[other], order[one]
    return b.permute(value, order)


@row("t", "numpy_T", "mT")
def _t(b: Networks, a: Arguments) -> Any:
    value = a.first()
    order = list(range(value.ndim))
    if value.ndim >= 2:
        order[-1], order[-2] = order[-2], order[-1]
    return b.permute(value, order)


@row("permute")
def _permute(b: Networks, a: Arguments) -> Any:
    return b.permute(a.first(), a.dims)


@row("movedim.int", "moveaxis.int")
def _movedim(b: Networks, a: Arguments) -> Any:
    value = a.first()
    source, destination = a.source % value.ndim, a.destination % value.ndim
    order = [i for i in range(value.ndim) if i != source]
    order.insert(destination, source)
    return b.permute(value, order)


@row("view", "reshape", "_unsafe_view")
def _view(b: Networks, a: Arguments) -> Any:
    return b.reshape(a.first(), list(a.values.values())[1])


@row("view_as", "reshape_as")
def _view_as(b: Networks, a: Arguments) -> Any:
    return b.reshape(a.first(), a.other.shape)


@row("flatten.using_ints")
def _flatten(b: Networks, a: Arguments) -> Any:
    value = a.first()
    shape = list(value.shape)
    start, end = a.start_dim % value.ndim, a.end_dim % value.ndim
    return b.reshape(value, [*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :]])


@row("unflatten.int")
def _unflatten(b: Networks, a: Arguments) -> Any:
    value = a.first()
    shape, at = list(value.shape), a.dim % value.ndim
    sizes = list(a.sizes)
    if -1 in sizes:
        others = product(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = shape[at] // others
    return b.reshape(value, [*shape[:at], *sizes, *shape[at + 1 :]])


@row("unsqueeze")
def _unsqueeze(b: Networks, a: Arguments) -> Any:
    return b.unsqueeze(a.first(), a.dim)


@row("squeeze")
def _squeeze(b: Networks, a: Arguments) -> Any:
    dim = a.values.get("dim")
    return b.squeeze(a.first(), None if dim is None else [dim] if isinstance(dim, int) else dim)


@row("select.int", "select_copy.int")
def _select(b: Networks, a: Arguments) -> Any:
    if not isinstance(a.index, int):
        behind = a.index - a.first().shape[a.dim]
        if not isinstance(behind, int):
            raise UnsupportedError(f"place {a.index} of an open axis")
        return b.select(a.first(), a.dim, behind)
    return b.select(a.first(), a.dim, a.index)


@row("slice.Tensor", "slice_copy.Tensor")
def _slice(b: Networks, a: Arguments) -> Any:
    return b.slice(a.first(), a.dim, a.start, a.end, a.step)


@row("narrow")
def _narrow(b: Networks, a: Arguments) -> Any:
    return b.slice(a.first(), a.dim, a.start, a.start + a.length)


@row("split.Tensor", "split.sizes", "split_with_sizes", "unsafe_split.Tensor")
def _split(b: Networks, a: Arguments) -> Any:
    value = a.first()
    sizes = list(a.values.values())[1]
    length = value.shape[a.dim]
    if isinstance(sizes, int):
        sizes = _pieces(length, sizes)
    return _parts(b, value, a.dim, sizes)


@row("chunk")
def _chunk(b: Networks, a: Arguments) -> Any:
    value = a.first()
    length = value.shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError(f"chunks of {length} places")
    return _parts(b, value, a.dim, _pieces(length, -(-length // a.chunks)))


def _pieces(length: Any, size: int) -> list[int]:
    if not isinstance(length, int):
        raise UnsupportedError(f"pieces of {length} places")
    return [min(size, length - start) for start in range(0, length, size)]


def _parts(b: Networks, value: Value, axis: int, sizes: Sequence[Any]) -> tuple[Value, ...]:
    found = []
    start: Any = 0
    for size in sizes:
        found.append(b.slice(value, axis, start, start + size))
        start = start + size
    return tuple(found)


@row("unbind.int")
def _unbind(b: Networks, a: Arguments) -> Any:
    value = a.first()
    length = value.shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError(f"each of {length} places by itself")
    return tuple(b.select(value, a.dim, i) for i in range(length))


@row("flip")
def _flip(b: Networks, a: Arguments) -> Any:
    value = a.first()
    for axis in a.dims:
        value = b.slice(value, axis, None, None, -1)
    return value


@row("expand")
def _expand(b: Networks, a: Arguments) -> Any:
    return b.expand(a.first(), a.size)


@row("expand_as")
def _expand_as(b: Networks, a: Arguments) -> Any:
    return b.expand(a.first(), a.other.shape)


@row("repeat")
def _repeat(b: Networks, a: Arguments) -> Any:
    value = a.first()
    while value.ndim < len(a.repeats):
        value = b.unsqueeze(value, 0)
    shape: list[Any] = []
    for length, times in zip(value.shape, a.repeats, strict=True):
        if times == 1:
            shape.append(-1)
        elif length == 1:
            shape.append(times)
        elif not isinstance(value, (Tensor, Spread)) and isinstance(times, int):
            return np.tile(value, a.repeats)
        elif isinstance(times, int) and isinstance(value, Tensor):
            axis = len(shape)
            value = b.concatenate([value] * times, axis)
            shape.append(-1)
        else:
            raise UnsupportedError(f"{length} places repeated {times} times")
    return b.expand(value, shape)


@row("cat", "concat")
def _cat(b: Networks, a: Arguments) -> Any:
    return b.concatenate(a.tensors, a.values.get("dim", 0))


@row("stack")
def _stack(b: Networks, a: Arguments) -> Any:
    return b.stack(a.tensors, a.dim)


@row("gather")
def _gather(b: Networks, a: Arguments) -> Any:
    return b.take_along(a.values["self"], a.index, a.dim)


@row("index.Tensor")
def _index(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    given = a.indices
    if any(isinstance(n, Order) for n in given):
        return _ordered(value, [i for i, n in enumerate(given) if n is not None])
    constant = [i for i, n in enumerate(given) if isinstance(n, np.ndarray)]
    if not isinstance(value, (Tensor, Spread)) and len(constant) == len(given):
        return value[tuple(given)]
    if len(constant) == 1 and all(n is None for i, n in enumerate(given) if i not in constant):
        return _index_select(
            b, Arguments({"self": value, "dim": constant[0], "index": given[constant[0]]})
        )
    return b.rows_at(value, given)


def _ordered(value: Value, axes: Sequence[int]) -> Value:
    """Put rows into another order, which no row knows of."""
    if isinstance(value, (Tensor, Spread)) and list(axes) == [value.at]:
        return value
    raise UnsupportedError("places put into an order of rows")


@row("index_select")
def _index_select(b: Networks, a: Arguments) -> Any:
    if isinstance(a.index, Order):
        return _ordered(a.values["self"], [a.dim % a.values["self"].ndim])
    numbers = as_array(a.index)
    value = a.values["self"]
    if not isinstance(value, (Tensor, Spread)):
        return np.take(value, numbers, a.dim)
    if numbers.ndim == 0:
        return b.select(value, a.dim, int(numbers))
    if numbers.ndim != 1:
        raise UnsupportedError("places taken out by a matrix of numbers")
    steps = np.diff(numbers)
    if len(numbers) > 1 and steps[0] and not np.ptp(steps) and numbers.min() >= 0:
        step = int(steps[0])
        stop = int(numbers[-1]) + (1 if step > 0 else -1)
        if stop >= 0 or step > 0:
            return b.slice(value, a.dim, int(numbers[0]), stop, step)
    return b.stack([b.select(value, a.dim, int(n)) for n in numbers], a.dim)


@row("constant_pad_nd")
def _constant_pad(b: Networks, a: Arguments) -> Any:
    return b.pad(a.first(), _around(a.pad), float(a.value or 0))


@row("pad")
def _pad(b: Networks, a: Arguments) -> Any:
    if a.mode != "constant":
        raise UnsupportedError(f"padding of mode {a.mode!r}")
    return b.pad(a.first(), _around(a.pad), float(a.value or 0))


def _around(pad: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs in the order of the axes; PyTorch begins with the last."""
    return [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]


# ---- reductions ----


def _reduction(name: str) -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        dim = a.values.get("dim")
        axes = None if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
        return b.reduce(name, a.first(), axes, bool(a.values.get("keepdim", False)))

    return compute


for _name, _function in {
    "mean": "mean",
    "sum": "sum",
    "amax": "max",
    "amin": "min",
    "prod": "prod",
    "any": "any",
    "all": "all",
    "argmax": "argmax",
}.items():
    row(_name)(_reduction(_function))


@row("max.dim")
def _max(b: Networks, a: Arguments) -> Any:
    values = b.reduce("max", a.first(), [a.dim], a.keepdim)
    return values, b.reduce("argmax", a.first(), [a.dim], a.keepdim)


@row("min.dim")
def _min(b: Networks, a: Arguments) -> Any:
    return b.reduce("min", a.first(), [a.dim], a.keepdim), None


row("max.other")(_binary("maximum"))
row("min.other")(_binary("minimum"))


@row("norm.ScalarOpt_dim", "linalg_vector_norm")
def _norm(b: Networks, a: Arguments) -> Any:
    order = a.values.get("p", a.values.get("ord", 2))
    if order not in (2, 2.0, None):
        raise UnsupportedError(f"a norm of order {order}")
    squares = b.reduce("sum", b.elementwise("square", a.first()), a.dim, a.keepdim)
    return b.elementwise("sqrt", squares)


# ---- products ----


@row("linear")
def _linear(b: Networks, a: Arguments) -> Any:
    return b.linear(a.input, a.weight, a.bias)


@row("matmul", "mm", "bmm", "mv", "dot")
def _matmul(b: Networks, a: Arguments) -> Any:
    left, right = list(a.values.values())[:2]
    return b.matmul(left, right)


@row("addmm", "baddbmm")
def _addmm(b: Networks, a: Arguments) -> Any:
    one, two = list(a.values.values())[1:3]
    found = b.matmul(one, two)
    found = found if a.alpha == 1 else b.elementwise("multiply", found, a.alpha)
    given = a.values["self"]
    if a.beta == 0:
        return found
    given = given if a.beta == 1 else b.elementwise("multiply", given, a.beta)
    return b.elementwise("add", found, given)


@row("einsum")
def _einsum(b: Networks, a: Arguments) -> Any:
    """Two operands as one product of matrices: axes shared and summed, shared and kept, own."""
    equation = a.equation.replace(" ", "")
    terms, _, out = equation.partition("->")
    names = terms.split(",")
    if len(names) != 2 or "." in equation or any(len(set(t)) < len(t) for t in (*names, out)):
        raise UnsupportedError(f"einsum {a.equation!r}")
    left, right = names
    kept = [c for c in left if c in right and c in out]
    summed = [c for c in left if c in right and c not in out]
    own_left = [c for c in left if c not in right]
    own_right = [c for c in right if c not in left]
    if not (set(own_left) | set(own_right)) <= set(out) or len(out) != len(
        kept + own_left + own_right
    ):
        raise UnsupportedError(f"einsum {a.equation!r}")
    one = _grouped(b, a.tensors[0], left, [kept, own_left, summed])
    two = _grouped(b, a.tensors[1], right, [kept, summed, own_right])
    found = b.matmul(one, two)
    lengths = dict(zip(left, a.tensors[0].shape, strict=True))
    lengths |= dict(zip(right, a.tensors[1].shape, strict=True))
    order = kept + own_left + own_right
    found = b.reshape(found, [lengths[c] for c in order])
    return b.permute(found, [order.index(c) for c in out])


def _grouped(b: Networks, value: Value, names: str, groups: Sequence[Sequence[str]]) -> Value:
    """Put axes in groups, the first of which stay single and the last two become one axis each."""
    order = [c for group in groups for c in group]
    moved = b.permute(value, [names.index(c) for c in order])
    lengths = dict(zip(names, value.shape, strict=True))
    shape = [lengths[c] for c in groups[0]]
    return b.reshape(moved, [*shape, *(product(lengths[c] for c in g) for g in groups[1:])])


@row("embedding")
def _embedding(b: Networks, a: Arguments) -> Any:
    return b.embedding(a.weight, a.indices)


@row("embedding_bag", "embedding_bag.padding_idx")
def _embedding_bag(b: Networks, a: Arguments) -> Any:
    """Sums, means and maxima of bags that are rows: tokens laid out one after another."""
    tokens = a.indices
    offsets = a.offsets
    if isinstance(offsets, RowNumbers):
        offsets = Offsets(1)
    if not isinstance(tokens, Tensor) or not isinstance(offsets, Offsets) or tokens.merged != 1:
        raise UnsupportedError("bags of different sizes")
    if tokens.row != (offsets.step,):
        raise UnsupportedError("bags of several rows")
    if a.values.get("padding_idx") not in (None, -1) or a.include_last_offset:
        raise UnsupportedError("bags with padding")
    bags = b.reshape(tokens, [BATCH, tokens.row[0]])
    found = b.embedding(a.weight, bags)
    if a.per_sample_weights is not None:
        weights = b.reshape(a.per_sample_weights, [BATCH, tokens.row[0], 1])
        found = b.elementwise("multiply", found, weights)
    name = ("sum", "mean", "max")[a.mode]
    return b.reduce(name, found, [1]), None, None, None


@row("scaled_dot_product_attention")
def _attention(b: Networks, a: Arguments) -> Any:
    if a.values.get("enable_gqa"):
        raise UnsupportedError("attention with grouped queries")
    return b.attention(
        a.query,
        a.key,
        a.value,
        a.attn_mask,
        float(a.dropout_p),
        causal=a.is_causal,
        scale=a.scale,
        boolean="attn_mask" in a.bools,
    )


# ---- recurrent layers ----


@row("packed")
def _packed(b: Networks, a: Arguments) -> Any:
    return Packed(a.x, a.lengths)


@row("sort", "sort.stable")
def _sort(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if not isinstance(value, Tensor) or value.counted(a.dim) != value.at:
        raise UnsupportedError("numbers put in order")
    return value, Order()


@row("argsort", "argsort.stable")
def _argsort(b: Networks, a: Arguments) -> Any:
    return _sort(b, a)[1]


@row("scatter.src")
def _scatter(b: Networks, a: Arguments) -> Any:
    if not isinstance(a.index, Order) or not isinstance(a.src, RowNumbers):
        raise UnsupportedError("places written by numbers")
    return a.index


def cells(
    kind: str,
    params: Sequence[Value],
    *,
    layers: int,
    bidirectional: bool,
    biases: bool,
    projected: bool = False,
    activation: str = "tanh",
) -> list[list[Cell]]:
    """Return the cells of PyTorch's flat list of weights."""
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
        made.append(Cell.of_torch(kind, own[0], own[1], bias[0], bias[1], hr, activation))
    return [made[i : i + directions] for i in range(0, len(made), directions)]


def _recurrent(kind: str, activation: str = "tanh") -> Row:
    def run(b: Networks, a: Arguments) -> Any:
        states = a.hx if kind == "lstm" else [a.hx]
        projected = kind == "lstm" and len(a.params) == (3 + 2 * a.has_biases) * a.num_layers * (
            1 + a.bidirectional
        )
        stack = cells(
            kind,
            a.params,
            layers=a.num_layers,
            bidirectional=a.bidirectional,
            biases=a.has_biases,
            projected=projected,
            activation=activation,
        )
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


for _name, _kind, _how in (
    ("lstm.input", "lstm", "tanh"),
    ("gru.input", "gru", "tanh"),
    ("rnn_tanh.input", "rnn", "tanh"),
    ("rnn_relu.input", "rnn", "relu"),
):
    row(_name)(_recurrent(_kind, _how))


def _cell(kind: str, activation: str = "tanh") -> Row:
    def run(b: Networks, a: Arguments) -> Any:
        states = a.hx if kind == "lstm" else [a.hx]
        weights = [a.w_ih, a.w_hh] + ([] if a.b_ih is None else [a.b_ih, a.b_hh])
        (((cell,),)) = cells(
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
    ("lstm_cell", "lstm", "tanh"),
    ("gru_cell", "gru", "tanh"),
    ("rnn_tanh_cell", "rnn", "tanh"),
    ("rnn_relu_cell", "rnn", "relu"),
):
    row(_name)(_cell(_kind, _how))


# ---- windows and normalization ----


def _each(value: Any, axes: int) -> list[int]:
    given = [value] if isinstance(value, int) else list(value)
    return given * axes if len(given) == 1 else given


@row("conv1d", "conv2d")
def _conv(b: Networks, a: Arguments) -> Any:
    axes = as_array(a.weight).ndim - 2
    dilation = _each(a.dilation, axes)
    if a.padding == "same":
        sizes = as_array(a.weight).shape[2:]
        lacking = [d * (n - 1) for d, n in zip(dilation, sizes, strict=True)]
        padding = [(n // 2, n - n // 2) for n in lacking]
    elif a.padding == "valid":
        padding = [(0, 0)] * axes
    else:
        padding = [(n, n) for n in _each(a.padding, axes)]
    return b.convolution(
        a.input,
        a.weight,
        a.bias,
        strides=_each(a.stride, axes),
        padding=padding,
        dilation=dilation,
        groups=a.groups,
    )


@row("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
def _pool(b: Networks, a: Arguments) -> Any:
    axes = len(_each(a.kernel_size, 1))
    value = a.first()
    if isinstance(value, Tensor):
        axes = max(axes, value.ndim - 2) if len(_each(a.kernel_size, 1)) == 1 else axes
    sizes = _each(a.kernel_size, axes)
    if any(n != 1 for n in _each(a.values.get("dilation", 1), axes)):
        raise UnsupportedError("windows with gaps (dilation)")
    if a.values.get("divisor_override") is not None:
        raise UnsupportedError("means with another divisor (divisor_override)")
    strides = _each(a.stride, axes) if a.stride else sizes
    return b.pool(
        value,
        "mean" if "count_include_pad" in a.values else "max",
        sizes,
        strides,
        [(n, n) for n in _each(a.padding, axes)],
        ceil=a.ceil_mode,
        count_padding=a.values.get("count_include_pad", True),
    )


@row("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _adaptive_mean(b: Networks, a: Arguments) -> Any:
    return b.adaptive_pool(a.first(), "mean", a.output_size)


@row("adaptive_max_pool1d", "adaptive_max_pool2d")
def _adaptive_max(b: Networks, a: Arguments) -> Any:
    return b.adaptive_pool(a.first(), "max", a.output_size), None


@row("batch_norm")
def _batch_norm(b: Networks, a: Arguments) -> Any:
    return b.batch_norm(a.input, a.weight, a.bias, a.running_mean, a.running_var, a.eps)


@row("layer_norm")
def _layer_norm(b: Networks, a: Arguments) -> Any:
    return b.layer_norm(a.input, len(a.normalized_shape), a.weight, a.bias, a.eps)


@row("rms_norm")
def _rms_norm(b: Networks, a: Arguments) -> Any:
    epsilon = float(np.finfo(np.float32).eps) if a.eps is None else a.eps
    return b.rms_norm(a.input, len(a.normalized_shape), a.weight, epsilon)


# ---- what is made of nothing ----


def _filled(value: float | None) -> Row:
    def make(b: Networks, a: Arguments) -> Any:
        number = a.fill_value if value is None else value
        size = a.values.get("size", ())
        return b.expand(np.asarray(number), list(size)) if size else np.asarray(number)

    return make


for _name, _number in {
    "zeros": 0.0,
    "empty.memory_format": 0.0,
    "new_zeros": 0.0,
    "new_empty": 0.0,
    "ones": 1.0,
    "new_ones": 1.0,
    "full": None,
    "new_full": None,
}.items():
    row(_name)(_filled(_number))


@row("full_like")
def _full_like(b: Networks, a: Arguments) -> Any:
    ones = b.elementwise("ones", a.first())
    return b.elementwise("multiply", ones, a.fill_value)


@row("empty_like")
def _empty_like(b: Networks, a: Arguments) -> Any:
    if isinstance(a.first(), Order):
        return a.first()
    return b.elementwise("zeros", a.first())


@row("fill", "zero")
def _fill(b: Networks, a: Arguments) -> Any:
    ones = b.elementwise("ones", a.first())
    return b.elementwise("multiply", ones, a.values.get("value", 0.0))


@row("arange", "arange.start", "arange.start_step")
def _arange(b: Networks, a: Arguments) -> Any:
    start, step = a.values.get("start", 0), a.values.get("step", 1)
    if all(isinstance(n, (int, float)) for n in (start, a.end, step)):
        return np.arange(start, a.end, step)
    if (start, step) == (0, 1) and a.end == BATCH:
        return RowNumbers()
    if start == 0 and a.end == BATCH * step:
        return Offsets(step)
    raise UnsupportedError(f"numbers from {start} to {a.end} by {step}")


@row("linspace")
def _linspace(b: Networks, a: Arguments) -> Any:
    return np.linspace(a.start, a.end, a.steps, dtype=np.float32)


@row("triu")
def _triu(b: Networks, a: Arguments) -> Any:
    return np.triu(as_array(a.first()), a.diagonal)


@row("tril")
def _tril(b: Networks, a: Arguments) -> Any:
    return np.tril(as_array(a.first()), a.diagonal)


@row("scalar_tensor")
def _scalar(b: Networks, a: Arguments) -> Any:
    return np.asarray(a.s)


@row("sym_size.int")
def _size(b: Networks, a: Arguments) -> Any:
    value, axis = list(a.values.values())
    return BATCH if isinstance(value, Order) else value.shape[axis]


@row("sym_numel")
def _numel(b: Networks, a: Arguments) -> Any:
    return BATCH if isinstance(a.first(), Order) else product(a.first().shape)

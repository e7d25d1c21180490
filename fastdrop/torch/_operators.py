"""Operators of PyTorch (ATen), one row each, written as calls of layers.

A row takes what calls are written with and the operator's arguments by their names in its schema,
and returns its value, or a tuple of them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._lengths import BATCH, Length, Open, divided, product
from fastdrop.formats._networks import Cell, Networks, around, for_each
from fastdrop.formats._places import add_along, put, put_along, scatter
from fastdrop.formats._tensors import (
    OfRows,
    Order,
    RowNumbers,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    broadcast,
    counted,
    steps_beside,
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


@dataclass(frozen=True)
class Offsets:
    """Where each row begins if all are laid out one after another: 0, step, 2 * step and so on."""

    step: Any


@dataclass(frozen=True)
class Uniform:
    """Numbers from 0 to 1, a new one for each of a value, and something that is added to them.

    Where they are compared with a number, or rounded down, what comes out is 1 with a probability,
    as masks of dropout are.
    """

    value: Any
    plus: float = 0.0

    def tensor(self, b: Networks) -> Value:
        found = b.uniform(self.value)
        return b.elementwise("add", found, self.plus) if self.plus else found

    def below(self, b: Networks, bound: float) -> Value:
        """Return whether they are below a number."""
        return _chance(b, self.value, min(max(bound - self.plus, 0.0), 1.0))


@dataclass(frozen=True)
class DroppedWeights:
    """Weights of which some are dropped, anew in each sample."""

    weights: Array
    rate: float


@dataclass(frozen=True)
class Seed:
    """Whole numbers that are random."""


def _plain(value: object) -> float | None:
    """Return a number that is no tensor, if it is one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return float(value) if isinstance(value, (int, float)) else None


def _of_uniform(base: str, b: Networks, a: Arguments) -> Any:
    """Return what an operator makes of random numbers and of one that is known, or None."""
    first, *rest = a.values.values()
    if base == "floor" and isinstance(first, Uniform) and 0 <= first.plus <= 1:
        return _chance(b, first.value, first.plus)
    if not rest or base not in ("add", "lt", "le", "gt", "ge"):
        return None
    uniform, bound = first, _plain(rest[0])
    if isinstance(rest[0], Uniform):
        uniform, bound = rest[0], _plain(first)
        base = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}.get(base, base)
    if bound is None or not isinstance(uniform, Uniform):
        return None
    if base == "add":
        return replace(uniform, plus=uniform.plus + bound) if a.alpha == 1 else None
    below = uniform.below(b, bound)
    if base in ("lt", "le"):
        return below
    return _of_chance(b, below, b.elementwise("subtract", 1.0, below))


# Of fastdrop's own, or taken for its seeds alone.
OWN = frozenset(("copy_seed", "packed", "padded", "randint"))
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
    for spelled in (name, base, f"{base.rstrip('_')}.{overload}", base.rstrip("_")):
        if spelled in ROWS:
            return partial(_with_steps, ROWS[spelled], base.rstrip("_"))
    return None


def _all_given(a: Arguments) -> list[Any]:
    """Return arguments, and what is in those that are lists."""
    given = list(a.values.values())
    return given + [v for some in given if isinstance(some, list) for v in some]


def _with_steps(row: Row, base: str, b: Networks, a: Arguments) -> Any:
    """Compute an operator of what may be `Steps`, which become tensors beside tensors."""
    given = _all_given(a)
    if any(isinstance(v, DroppedWeights) for v in given) and base not in _OF_WEIGHTS:
        raise UnsupportedError("weights are dropped, but for recurrent ones")
    if base in _BY_NUMBER and any(isinstance(v, (Tensor, Spread, Steps)) for v in given):
        a = _changed(a, Open, lambda v: b.counts(np.asarray(v, object)))
        given = _all_given(a)
    if any(isinstance(v, Uniform) for v in given):
        found = _of_uniform(base, b, a)
        return row(b, _changed(a, Uniform, lambda v: v.tensor(b))) if found is None else found
    if base in _OF_STEPS or not any(isinstance(v, Steps) for v in given):
        return row(b, a)
    if base in _ALONG and not any(isinstance(v, (Tensor, Spread)) for v in given):
        return _in_front(row, b, a)
    if base == "matmul" and all(v.at == 0 and v.ndim == 3 for v in given if isinstance(v, Tensor)):
        return row(b, _changed(a, Steps, lambda v: v.value if v.ndim == 2 else v.single(b)))
    if base not in _BY_NUMBER:
        return row(b, _changed(a, Steps, lambda v: v.single(b)))
    change, alone = steps_beside(b, given)
    made = row(b, _changed(a, Steps, change))
    return Steps.of(made) if alone else made


def _in_front(row: Row, b: Networks, a: Arguments) -> Any:
    """Compute an operator along axes of `Steps` and constants, with the batch in front."""
    a = _changed(a, Steps, lambda v: v.value)
    a = _changed(a, np.ndarray, lambda v: v[np.newaxis])
    axes = {
        name: [n + (n >= 0) for n in value] if isinstance(value, list) else value + (value >= 0)
        for name, value in a.values.items()
        if name in _AXES
    }
    made = row(b, replace(a, values={**a.values, **axes}))
    return tuple(map(Steps.of, made)) if isinstance(made, tuple) else Steps.of(made)


def _changed(a: Arguments, kind: type, change: Callable[[Any], Any]) -> Arguments:
    """Return arguments with something else in the place of each that is of a kind."""

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(v) for v in value]
        return change(value) if isinstance(value, kind) else value

    return replace(a, values={name: changed(v) for name, v in a.values.items()})


# ---- number by number ----

_BINARY = {
    "mul": "multiply",
    "maximum": "maximum",
    "minimum": "minimum",
    "max.other": "maximum",
    "min.other": "minimum",
    "floor_divide": "floor_divide",
    "remainder": "mod",
    "pow": "power",
    "atan2": "arctan2",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "not_equal",
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
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "floor": "floor",
    "ceil": "ceil",
    "round": "round",
    "sgn": "sign",
    "trunc": "trunc",
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


@row("fmod")
def _fmod(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    sizes = [b.elementwise("absolute", v) for v in (value, a.other)]
    return b.elementwise("multiply", b.elementwise("sign", value), b.elementwise("mod", *sizes))


@row("round.decimals")
def _round(b: Networks, a: Arguments) -> Any:
    found = b.elementwise("round", b.elementwise("multiply", a.first(), 10.0**a.decimals))
    return b.elementwise("divide", found, 10.0**a.decimals)


@row("exp2")
def _exp2(b: Networks, a: Arguments) -> Any:
    return b.elementwise("power", 2.0, a.first())


@row("log2")
def _log2(b: Networks, a: Arguments) -> Any:
    return b.elementwise("divide", b.elementwise("log", a.first()), float(np.log(2)))


@row("log10")
def _log10(b: Networks, a: Arguments) -> Any:
    return b.elementwise("divide", b.elementwise("log", a.first()), float(np.log(10)))


@row("frac")
def _frac(b: Networks, a: Arguments) -> Any:
    return b.elementwise("subtract", a.first(), b.elementwise("trunc", a.first()))


@row("erf", "special_erf")
def _erf(b: Networks, a: Arguments) -> Any:
    return b.erf(a.first())


@row("erfc", "special_erfc")
def _erfc(b: Networks, a: Arguments) -> Any:
    return b.elementwise("subtract", 1.0, b.erf(a.first()))


@row("signbit")
def _signbit(b: Networks, a: Arguments) -> Any:
    return b.elementwise("less", a.first(), 0.0)


@row("copysign")
def _copysign(b: Networks, a: Arguments) -> Any:
    size = b.elementwise("absolute", a.values["self"])
    below = b.elementwise("less", a.other, 0.0)
    return b.elementwise("where", below, b.elementwise("negative", size), size)


@row("isin.Tensor_Tensor", "isin.Tensor_Scalar")
def _isin(b: Networks, a: Arguments) -> Any:
    """Say which numbers are among some that are known."""
    some = np.ravel(as_array(a.values.get("test_elements", a.values.get("test_element"))))
    found = b.elementwise("equal", b.unsqueeze(a.elements, a.elements.ndim), some)
    found = b.reduce("any", found, [-1])
    return b.elementwise("logical_not", found) if a.invert else found


@row("isnan")
def _isnan(b: Networks, a: Arguments) -> Any:
    return b.elementwise("not_equal", a.first(), a.first())


@row("isinf")
def _isinf(b: Networks, a: Arguments) -> Any:
    return b.elementwise("equal", b.elementwise("absolute", a.first()), np.inf)


@row("isfinite")
def _isfinite(b: Networks, a: Arguments) -> Any:
    return b.elementwise("less", b.elementwise("absolute", a.first()), np.inf)


@row("nan_to_num")
def _nan_to_num(b: Networks, a: Arguments) -> Any:
    value, largest = a.first(), float(np.finfo(np.float32).max)
    for low, other in ((False, a.posinf), (True, a.neginf)):
        edge = -np.inf if low else np.inf
        other = (-largest if low else largest) if other is None else other
        value = b.elementwise("where", b.elementwise("equal", value, edge), other, value)
    nan = b.elementwise("not_equal", value, value)
    return b.elementwise("where", nan, a.nan or 0.0, value)


@row("hypot")
def _hypot(b: Networks, a: Arguments) -> Any:
    squares = [b.elementwise("square", v) for v in list(a.values.values())[:2]]
    return b.elementwise("sqrt", b.elementwise("add", *squares))


@row("logit")
def _logit(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if a.eps is not None:
        value = b.elementwise("clip", value, a.eps, 1 - a.eps)
    return b.elementwise("log", b.elementwise("divide", value, b.elementwise("subtract", 1, value)))


@row("addcdiv")
def _addcdiv(b: Networks, a: Arguments) -> Any:
    both = b.elementwise("divide", a.tensor1, a.tensor2)
    return b.elementwise("add", a.values["self"], b.elementwise("multiply", both, a.value))


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
    return b.elementwise("where", _truth(b, a.condition), a.values["self"], a.other)


@row("masked_fill")
def _masked_fill(b: Networks, a: Arguments) -> Any:
    return b.elementwise("where", _truth(b, a.mask), a.value, a.values["self"])


def _bitwise(function: str) -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        if "self" not in a.bools:
            raise UnsupportedError("bits of whole numbers")
        return b.elementwise(function, *a.values.values())

    return compute


@row("bitwise_not")
def _bitwise_not(b: Networks, a: Arguments) -> Any:
    return _logical_not(b, a) if "self" in a.bools else _bitwise("logical_not")(b, a)


row("bitwise_and", "__and__")(_bitwise("logical_and"))
row("bitwise_or", "__or__")(_bitwise("logical_or"))
row("bitwise_xor", "__xor__")(_bitwise("not_equal"))


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
    return lambda b, a: b.activation(a.first(), name)


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
    scaled = a.first() if a.beta == 1 else b.elementwise("multiply", a.first(), a.beta)
    found = b.activation(scaled, "softplus")
    found = found if a.beta == 1 else b.elementwise("divide", found, a.beta)
    if a.threshold >= 20:  # where the input itself is as near as float32 is
        return found
    return b.elementwise("where", b.elementwise("greater", scaled, a.threshold), a.first(), found)


@row("softshrink")
def _softshrink(b: Networks, a: Arguments) -> Any:
    within = b.elementwise("clip", a.first(), -a.lambd, a.lambd)
    return b.elementwise("subtract", a.first(), within)


@row("hardshrink")
def _hardshrink(b: Networks, a: Arguments) -> Any:
    near = b.elementwise("less_equal", b.elementwise("absolute", a.first()), a.lambd)
    return b.elementwise("where", near, 0.0, a.first())


@row("rrelu")
def _rrelu(b: Networks, a: Arguments) -> Any:
    """Multiply what is negative by a random number, or by the middle of those that it may be."""
    slope: Any = (a.lower + a.upper) / 2
    if a.training:
        random = b.elementwise("multiply", b.uniform(a.first()), a.upper - a.lower)
        slope = b.elementwise("add", random, a.lower)
    below = b.elementwise("multiply", b.elementwise("minimum", a.first(), 0.0), slope)
    return b.elementwise("add", b.elementwise("maximum", a.first(), 0.0), below)


@row("threshold")
def _threshold(b: Networks, a: Arguments) -> Any:
    above = b.elementwise("greater", a.first(), a.threshold)
    return b.elementwise("where", above, a.first(), a.value)


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


# What is computed number by number, and what else takes `Steps`.
_BY_NUMBER = frozenset(
    (
        *(*_BINARY, *_UNARY, *_ACTIVATIONS),
        *("add", "sub", "rsub", "div", "where", "masked_fill", "to", "_to_copy", "type_as"),
        *("bitwise_not", "bitwise_and", "bitwise_or", "__and__", "__or__", "clamp", "contiguous"),
        *("clone", "detach", "fmod", "full_like", "alias"),
    )
)
_OF_WEIGHTS = frozenset(
    ("lstm", "gru", "rnn_tanh", "rnn_relu", "detach", "alias", "clone", "contiguous")
)
# What is computed along axes that are named so.
_ALONG = frozenset(
    (
        *("cat", "concat", "stack", "flip", "one_hot", "softmax", "_softmax", "select"),
        *("transpose", "cumsum", "cumprod", "flatten"),
    )
)
_AXES = ("dim", "dims", "dim0", "dim1", "start_dim", "end_dim")
_OF_STEPS = frozenset(
    (
        *("unsqueeze", "expand", "expand_as", "repeat", "embedding", "view", "reshape"),
        *("triu", "tril", "sym_size", "slice", "scalar_tensor"),
    )
)


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
    value = a.first()
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f":
        return DroppedWeights(value, float(a.p)) if a.values.get("train", True) else value
    if "seed" in a.values:  # fastdrop.torch's own
        return _drop_by_seed(b, a)
    return b.dropout(a.first(), float(a.p)) if a.train else a.first()


def _drop_by_seed(b: Networks, a: Arguments) -> Any:
    """Drop as `fastdrop.torch` does, which may share a mask; the seed is not that of the module."""
    alpha = a.kind == "alpha"
    if a.noise is None:
        return (b.alpha_dropout if alpha else b.dropout)(a.x, float(a.p))
    shared = [i for i, n in enumerate(a.noise) if n == 1 and a.x.shape[i] != 1]
    return b.shared_dropout(a.x, float(a.p), shared, alpha=alpha)


@row("randint.low", "copy_seed")
def _seed(b: Networks, a: Arguments) -> Any:
    """Draw what `fastdrop.torch` makes a seed of, and nothing else can take."""
    return Seed()


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
    return _chance(b, a.first(), float(a.p))


def _chance(b: Networks, value: Any, p: float) -> Value:
    """Draw 1 with a probability for each number of a value, and 0 otherwise."""
    if not isinstance(value, (Tensor, Spread)):
        raise UnsupportedError("random numbers that rows of a batch share")
    ones = b.elementwise("ones", value)
    if not isinstance(ones, Tensor):
        ones = b.some_tensor(ones)
    found = b.elementwise("multiply", b.dropout(ones, 1 - p), p)
    assert isinstance(found, Tensor)
    b.chances.add(found.name)
    return found


def _is_chance(b: Networks, value: object) -> bool:
    return isinstance(value, Tensor) and value.name in b.chances


def _truth(b: Networks, condition: Any) -> Any:
    """Return a condition; of what is true with a probability, whether it mostly is."""
    if _is_chance(b, condition):
        return b.elementwise("greater", condition, 0.5)
    return condition


def _of_chance(b: Networks, value: Any, found: Any) -> Any:
    """Return what is made of a value, which is true with a probability if that was."""
    if _is_chance(b, value):
        b.chances.add(found.name)
    return found


@row("logical_not")
def _logical_not(b: Networks, a: Arguments) -> Any:
    if _is_chance(b, a.first()):
        return _of_chance(b, a.first(), b.elementwise("subtract", 1.0, a.first()))
    return b.elementwise("logical_not", a.first())


@row("bernoulli", "bernoulli_.Tensor")
def _bernoulli_of(b: Networks, a: Arguments) -> Any:
    value = a.values.get("p", a.first())
    shape = a.first()
    constant = value.value if isinstance(value, Spread) else value
    if isinstance(constant, Tensor) and constant.name in b.filled:
        constant = b.filled[constant.name]
    if isinstance(constant, Tensor) or np.ptp(constant):
        raise UnsupportedError("random numbers of several probabilities")
    return _bernoulli(b, Arguments({"self": shape, "p": float(np.ravel(constant)[0])}))


@row("rand_like")
def _rand_like(b: Networks, a: Arguments) -> Any:
    return Uniform(a.first())


@row("rand")
def _rand(b: Networks, a: Arguments) -> Any:
    return Uniform(b.expand(np.asarray(0.0), list(a.size)))


@row("uniform_")
def _uniform(b: Networks, a: Arguments) -> Any:
    low, high = a.values["from"], a.to
    found = Uniform(a.first())
    if (low, high) == (0, 1):
        return found
    scaled = b.elementwise("multiply", found.tensor(b), high - low)
    return b.elementwise("add", scaled, low)


@row("randn_like", "normal_")
def _randn_like(b: Networks, a: Arguments) -> Any:
    found = b.noise(a.first())
    if a.values.get("std", 1.0) != 1:
        found = b.elementwise("multiply", found, a.std)
    return b.elementwise("add", found, a.mean) if a.values.get("mean", 0.0) else found


@row("randn", "normal.float_float")
def _randn(b: Networks, a: Arguments) -> Any:
    zeros = b.expand(np.asarray(0.0), list(a.size))
    return _randn_like(b, Arguments({"self": zeros} | dict(a.values)))


@row("normal.Tensor_Tensor", "normal.float_Tensor", "normal.Tensor_float")
def _normal_of(b: Networks, a: Arguments) -> Any:
    spread = a.std if isinstance(a.std, (Tensor, Spread)) else a.mean
    return b.elementwise("add", b.elementwise("multiply", b.noise(spread), a.std), a.mean)


@row("transpose", "swapaxes", "swapdims")
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


@row("movedim.intlist", "moveaxis.intlist")
def _movedims(b: Networks, a: Arguments) -> Any:
    rank = a.first().ndim
    moved = {d % rank: s % rank for s, d in zip(a.source, a.destination, strict=True)}
    rest = iter([i for i in range(rank) if i not in moved.values()])
    return b.permute(a.first(), [moved[i] if i in moved else next(rest) for i in range(rank)])


@row("view", "reshape", "_unsafe_view")
def _view(b: Networks, a: Arguments) -> Any:
    value, shape = list(a.values.values())[:2]
    if isinstance(value, Steps):
        return Steps.of(b.reshape(value.value, [BATCH, *shape]))
    return b.reshape(value, shape)


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
    if isinstance(a.first(), Steps):
        axis = a.dim % (a.first().ndim + 1)
        return a.first().unsqueezed(b, axis)
    return _of_chance(b, a.first(), b.unsqueeze(a.first(), a.dim))


@row("squeeze")
def _squeeze(b: Networks, a: Arguments) -> Any:
    dim = a.values.get("dim")
    return b.squeeze(a.first(), None if dim is None else [dim] if isinstance(dim, int) else dim)


@row("select.int", "select_copy.int")
def _select(b: Networks, a: Arguments) -> Any:
    if not isinstance(a.index, int):
        if not isinstance(a.first(), Tensor):
            raise UnsupportedError(f"place {a.index} of what is no row")
        return b.place(a.first(), a.dim, a.index)
    return b.select(a.first(), a.dim, a.index)


@row("slice.Tensor", "slice_copy.Tensor")
def _slice(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps):
        axis = a.dim % value.ndim + 1
        return Steps.of(b.slice(value.value, axis, a.start, a.end, a.step))
    if isinstance(value, np.ndarray) and _open(a.end) and 1 not in value.shape:
        if a.start or a.step != 1:
            raise UnsupportedError(f"places from {a.start} to {a.end}")
        ahead = b.unsqueeze(value, 0)
        assert isinstance(ahead, np.ndarray)
        return Steps(b.first_places(ahead, a.dim % value.ndim + 1, a.end))
    return b.slice(value, a.dim, a.start, a.end, a.step)


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
        raise UnsupportedError(f"chunks of {length} places")  # there may be fewer of them
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
    value = a.first()
    if isinstance(value, Steps):
        return value.expanded(b, a.size, b.rows)
    return b.expand(value, a.size)


@row("expand_as")
def _expand_as(b: Networks, a: Arguments) -> Any:
    return _expand(b, Arguments({"self": a.first(), "size": [*a.other.shape]}))


@row("repeat")
def _repeat(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps) and len(a.repeats) == value.ndim + 1:
        if a.repeats[0] not in (BATCH, b.rows):
            raise UnsupportedError(f"places repeated {a.repeats[0]} times")
        value = value.put(0)
        return _repeat(b, Arguments({"self": value, "repeats": [1, *a.repeats[1:]]}))
    if isinstance(value, Steps):
        pairs = [*zip(value.shape, a.repeats, strict=True)]
        if all(1 in pair for pair in pairs):  # one place becomes many
            size = [-1 if times == 1 else times for _, times in pairs]
            return _expand(b, Arguments({"self": value, "size": size}))
        value = value.single(b)
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
        elif isinstance(times, int) and times > 0 and isinstance(value, Tensor):
            value = b.repeat(value, len(shape), times)
            shape.append(-1)
        else:
            raise UnsupportedError(f"{length} places repeated {times} times")
    return b.expand(value, shape)


@row("tile")
def _tile(b: Networks, a: Arguments) -> Any:
    repeats = [1] * (a.first().ndim - len(a.dims)) + list(a.dims)
    return _repeat(b, Arguments({"self": a.first(), "repeats": repeats}))


@row("repeat_interleave.self_int")
def _repeat_interleave(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if a.dim is None:
        raise UnsupportedError("rows of a batch laid out one after another")
    return b.repeat_places(value, a.dim, a.repeats)


@row("roll")
def _roll(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if not a.dims:
        raise UnsupportedError("a tensor rolled along all axes at once")
    for shift, axis in zip(a.shifts, a.dims, strict=True):
        length = value.shape[axis]
        shift = shift % length if isinstance(length, int) else shift
        if shift:
            ends = b.slice(value, axis, -shift, None), b.slice(value, axis, 0, -shift)
            value = b.concatenate(ends, axis)
    return value


@row("diff")
def _diff(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    before, behind = a.values.get("prepend"), a.values.get("append")
    parts = [v for v in (before, value, behind) if v is not None]
    value = parts[0] if len(parts) == 1 else b.concatenate(parts, a.dim)
    for _ in range(a.n):
        later, earlier = b.slice(value, a.dim, 1, None), b.slice(value, a.dim, 0, -1)
        value = b.elementwise("subtract", later, earlier)
    return value


@row("unfold")
def _unfold(b: Networks, a: Arguments) -> Any:
    """Windows along an axis: for each place in a window, what is at it, side by side."""
    value, axis = a.first(), a.dimension % a.first().ndim
    length = value.shape[axis]
    parts = []
    for i in range(a.size):
        if isinstance(length, int):
            count = (length - a.size) // a.step + 1
            stop: Any = i + (count - 1) * a.step + 1
        else:
            stop = i + 1 - a.size or None
        parts.append(b.slice(value, axis, i, stop, a.step))
    return b.stack(parts, -1)


@row("diagonal")
def _diagonal(b: Networks, a: Arguments) -> Any:
    value = a.first()
    one, two = a.dim1 % value.ndim, a.dim2 % value.ndim
    length = value.shape[one]
    if a.offset or not isinstance(length, int) or value.shape[two] != length:
        raise UnsupportedError("a diagonal of an open length, or of no square")
    order = [i for i in range(value.ndim) if i not in (one, two)]
    moved = b.permute(value, [*order, one, two])
    picked = b.elementwise("multiply", moved, np.eye(length, dtype=np.float32))
    return b.reduce("sum", picked, [-1])


@row("hstack", "column_stack")
def _hstack(b: Networks, a: Arguments) -> Any:
    if any(v.ndim < 2 for v in a.tensors):
        raise UnsupportedError("numbers of rows, side by side")
    return b.concatenate(a.tensors, 1)


@row("dstack")
def _dstack(b: Networks, a: Arguments) -> Any:
    if any(v.ndim < 3 for v in a.tensors):
        return b.stack(a.tensors, 2)
    return b.concatenate(a.tensors, 2)


@row("broadcast_tensors")
def _broadcast_tensors(b: Networks, a: Arguments) -> Any:
    return tuple(a.tensors)


@row("broadcast_to")
def _broadcast_to(b: Networks, a: Arguments) -> Any:
    return b.expand(a.first(), a.size)


@row("copy")
def _copy(b: Networks, a: Arguments) -> Any:
    """Write one tensor over another: what is written, in the other's shape and kind."""
    source = a.src if isinstance(a.src, (Tensor, Spread)) else as_array(a.src)
    if a.truth:
        source = b.elementwise("not_equal", source, 0.0)
    return b.expand(source if a.floats else b.elementwise("trunc", source), a.first().shape)


@row("index_put")
def _index_put(b: Networks, a: Arguments) -> Any:
    """Write where a mask is true, or to places by their numbers."""
    value, numbers = a.values["self"], a.values["values"]
    if a.accumulate:
        return _added(b, value, a.indices, numbers)
    if len(a.indices) == 1 and isinstance(a.indices[0], (Tensor, Spread)):
        return _put_masked(b, value, a.indices[0], numbers)
    taken = [i for i, index in enumerate(a.indices) if index is not None]
    indices = _beside_one_another([a.indices[i] for i in taken])
    rest = [i for i in range(value.ndim) if i not in taken]
    # Where several indices stand side by side their axes are there, or else in front.
    side_by_side = taken == [*range(taken[0], taken[-1] + 1)]
    first = taken[0] if side_by_side else 0
    rank, own = indices[0].ndim, indices[0].shape
    lengths = [value.shape[i] for i in rest]
    numbers = b.expand(numbers, [*lengths[:first], *own, *lengths[first:]])
    places = [*range(first, first + rank)]
    others = [i for i in range(numbers.ndim) if i not in places]
    moved, order = b.permute(numbers, [*places, *others]), [*taken, *rest]
    made = scatter(b, b.permute(value, order), indices, moved, b.rows)
    return b.permute(made, [order.index(i) for i in range(value.ndim)])


def _added(b: Networks, value: Value, indices: Sequence[Any], numbers: Value) -> Value:
    """Add numbers to places along an axis, by their numbers."""
    taken = [i for i, index in enumerate(indices) if index is not None]
    index = indices[taken[0]]
    if len(taken) > 1 or index.ndim != 1:
        raise UnsupportedError("numbers added to places on several axes")
    axis = taken[0]
    own = [*value.shape[:axis], index.shape[0], *value.shape[axis + 1 :]]
    index = np.asarray(as_array(index), np.float32)
    places = index.reshape(-1, *(1,) * (value.ndim - 1 - axis))
    return add_along(b, value, b.expand(places, own), b.expand(numbers, own), axis, b.rows)


def _put_masked(b: Networks, value: Value, mask: Value, numbers: Value) -> Value:
    """Write one number where a mask of the first axes is true."""
    if isinstance(numbers, (Tensor, Spread)) or np.size(numbers) != 1:
        raise UnsupportedError("several numbers written where a mask is true")
    mask = _truth(b, mask)
    for _ in range(value.ndim - mask.ndim):
        mask = b.unsqueeze(mask, mask.ndim)
    return b.elementwise("where", mask, np.ravel(numbers)[0], value)


def _beside_one_another(indices: Sequence[Any]) -> list[RowNumbers | Tensor | Spread | Array]:
    """Return indices of one shape."""
    shape = broadcast([index.shape for index in indices])
    for index in indices:
        known = isinstance(index, np.ndarray) and index.dtype.kind in "iu"
        computed = isinstance(index, Tensor) and index.shape == shape
        if not (known or computed or isinstance(index, RowNumbers)):
            raise UnsupportedError("places written by numbers that are computed")
    if BATCH not in shape:
        return [*np.broadcast_arrays(*indices)]
    at = shape.index(BATCH)
    found: list[RowNumbers | Tensor | Spread | Array] = []
    for index in indices:
        if not isinstance(index, np.ndarray):
            found.append(index if isinstance(index, Tensor) else RowNumbers(shape))
            continue
        wide = index.reshape((1,) * (len(shape) - index.ndim) + index.shape)
        if wide.shape[at] != 1:
            raise UnsupportedError("other places in each row")
        lengths = [n for i, n in enumerate(shape) if i != at and isinstance(n, int)]
        found.append(Spread(np.broadcast_to(np.squeeze(wide, at), lengths), at))
    return found


@row("scatter_add")
def _scatter_add(b: Networks, a: Arguments) -> Any:
    axis, numbers = counted(a.dim, a.values["self"].ndim), a.src
    if isinstance(a.index.shape[axis], int):  # of more numbers the first ones
        numbers = b.slice(numbers, axis, 0, a.index.shape[axis])
    return add_along(b, a.values["self"], a.index, numbers, axis, b.rows)


@row("select_scatter")
def _select_scatter(b: Networks, a: Arguments) -> Any:
    return put(b, a.first(), b.unsqueeze(a.src, a.dim), a.dim, [a.index])


@row("slice_scatter")
def _slice_scatter(b: Networks, a: Arguments) -> Any:
    value, length = a.first(), a.first().shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError("a part of an axis of open length, written")
    places = range(*slice(a.start, a.end, a.step).indices(length))
    return put(b, value, a.src, a.dim, places)


@row("index_copy", "index_fill.int_Scalar", "index_fill.int_Tensor")
def _index_copy(b: Networks, a: Arguments) -> Any:
    """Write places along an axis, by their numbers."""
    value, places = a.first(), [int(n) for n in np.ravel(as_array(a.index))]
    numbers = a.values.get("source")
    if numbers is None:
        own = [*value.shape]
        own[counted(a.dim, value.ndim)] = len(places)
        numbers = b.expand(np.asarray(as_array(a.value), np.float32), own)
    return put(b, value, numbers, a.dim, places)


@row("one_hot")
def _one_hot(b: Networks, a: Arguments) -> Any:
    if a.num_classes < 0:
        raise UnsupportedError("one_hot without num_classes")
    numbers = np.arange(a.num_classes, dtype=np.float32)
    return b.elementwise("equal", b.unsqueeze(a.first(), a.first().ndim), numbers)


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
    if len([n for n in given if n is not None]) == 1 and isinstance(given[-1], Order):
        return given[-1].of(value, len(given) - 1)
    if any(isinstance(n, Order) for n in given):
        raise UnsupportedError("places put into an order of rows")
    constant = [i for i, n in enumerate(given) if isinstance(n, np.ndarray)]
    if not isinstance(value, (Tensor, Spread)) and len(constant) == len(given):
        return value[tuple(given)]
    if len(given) == 1 and isinstance(value, np.ndarray) and isinstance(given[0], (Tensor, Spread)):
        return _looked_up(b, value, given[0])
    if len(constant) == 1 and all(n is None for i, n in enumerate(given) if i not in constant):
        return _index_select(
            b, Arguments({"self": value, "dim": constant[0], "index": given[constant[0]]})
        )
    some = [i for i, n in enumerate(given) if n is not None]
    if some == constant and some == [*range(some[0], some[-1] + 1)]:
        return _side_by_side(b, value, [given[i] for i in some], some[0])
    return b.rows_at(value, given)


def _side_by_side(b: Networks, value: Value, numbers: Sequence[Array], first: int) -> Value:
    """Take out places on several axes, one behind the other, as places on one of all of them."""
    own = value.shape
    end = first + len(numbers)
    lengths = [n for n in own[first:end] if isinstance(n, int)]
    if len(lengths) < len(numbers) or any(
        (n < -m).any() or (n >= m).any() for n, m in zip(numbers, lengths, strict=True)
    ):
        raise UnsupportedError("places taken out of axes of open length")
    joined = b.reshape(value, [*own[:first], math.prod(lengths), *own[end:]])
    counted_up = np.broadcast_arrays(*(n % m for n, m in zip(numbers, lengths, strict=True)))
    places: Array = np.ravel_multi_index(counted_up, lengths)
    found: Value = _index_select(b, Arguments({"self": joined, "dim": first, "index": places}))
    return found


def _looked_up(b: Networks, table: Array, numbers: Value) -> Value:
    """Take out places on the first axis of a constant, by numbers that are computed."""
    found = b.embedding(table.reshape(len(table), -1), numbers)
    return b.reshape(found, [*numbers.shape, *table.shape[1:]])


@row("index_select")
def _index_select(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    if isinstance(a.index, Order):
        return a.index.of(value, a.dim % value.ndim)
    if isinstance(value, np.ndarray) and isinstance(a.index, (Tensor, Spread)):
        order = [*range(1, value.ndim)]
        order.insert(a.dim % value.ndim, 0)
        return b.permute(_looked_up(b, np.moveaxis(value, a.dim, 0), a.index), order)
    numbers = as_array(a.index)
    if not isinstance(value, (Tensor, Spread)):
        return np.take(value, numbers, a.dim)
    if numbers.ndim == 0:
        return b.select(value, a.dim, int(numbers))
    if numbers.ndim != 1:
        axis = counted(a.dim, value.ndim)
        found = _index_select(b, Arguments({"self": value, "dim": axis, "index": numbers.ravel()}))
        return b.reshape(found, [*value.shape[:axis], *numbers.shape, *value.shape[axis + 1 :]])
    steps = np.diff(numbers)
    if len(numbers) > 1 and steps[0] and not np.ptp(steps) and numbers.min() >= 0:
        step = int(steps[0])
        stop = int(numbers[-1]) + (1 if step > 0 else -1)
        if stop >= 0 or step > 0:
            return b.slice(value, a.dim, int(numbers[0]), stop, step)
    return b.take_known(value, numbers, a.dim)


@row("constant_pad_nd")
def _constant_pad(b: Networks, a: Arguments) -> Any:
    return b.pad(a.first(), _around(a.pad), float(a.value or 0))


@row("pad")
def _pad(b: Networks, a: Arguments) -> Any:
    if a.mode == "constant":
        return b.pad(a.first(), _around(a.pad), float(a.value or 0))
    mode = {"replicate": "edge", "circular": "wrap"}.get(a.mode, a.mode)
    return b.pad_again(a.first(), _around(a.pad), mode)


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
    return b.reduce("min", a.first(), [a.dim], a.keepdim), _argmin(b, a)


@row("argmin")
def _argmin(b: Networks, a: Arguments) -> Any:
    axes = None if a.dim is None else [a.dim]
    return b.reduce("argmax", b.elementwise("negative", a.first()), axes, a.keepdim)


@row("aminmax")
def _aminmax(b: Networks, a: Arguments) -> Any:
    axes = None if a.dim is None else [a.dim]
    return tuple(b.reduce(name, a.first(), axes, a.keepdim) for name in ("min", "max"))


@row("count_nonzero.dim_IntList", "count_nonzero")
def _count(b: Networks, a: Arguments) -> Any:
    return b.reduce("sum", b.elementwise("not_equal", a.first(), 0.0), _axes(a.dim))


@row("logsumexp")
def _logsumexp(b: Networks, a: Arguments) -> Any:
    return b.log_sum_exp(a.first(), _axes(a.dim), a.keepdim)


def _axes(dim: Any) -> Any:
    return [dim] if isinstance(dim, int) else dim or None


def _deviations(b: Networks, a: Arguments, *, root: bool = False) -> Any:
    """Return variances, or their roots, by the correction that is asked for."""
    value, axes = a.first(), _axes(a.values.get("dim"))
    if "unbiased" in a.values:
        less: Any = int(a.unbiased)
    else:
        less = 1 if a.correction is None else a.correction
    keep = bool(a.values.get("keepdim", False))
    mean = b.reduce("mean", value, axes, True)
    squares = b.elementwise("square", b.elementwise("subtract", value, mean))
    found = b.reduce("mean", squares, axes, keep)
    if less:
        every = range(value.ndim) if axes is None else axes
        count = product(value.shape[axis] for axis in every)
        if isinstance(count, int):
            found = b.elementwise(
                "multiply", found, count / max(count - less, 0) if count != less else np.nan
            )
        else:
            ones = b.reduce("sum", b.elementwise("ones", value), axes, keep)
            rest = b.elementwise("maximum", b.elementwise("subtract", ones, float(less)), 0.0)
            found = b.elementwise("divide", b.reduce("sum", squares, axes, keep), rest)
    return b.elementwise("sqrt", found) if root else found


@row("var")
def _var(b: Networks, a: Arguments) -> Any:
    return _deviations(b, a)


@row("std")
def _std(b: Networks, a: Arguments) -> Any:
    return _deviations(b, a, root=True)


@row("var_mean")
def _var_mean(b: Networks, a: Arguments) -> Any:
    return _deviations(b, a), _reduction("mean")(b, a)


@row("std_mean")
def _std_mean(b: Networks, a: Arguments) -> Any:
    return _deviations(b, a, root=True), _reduction("mean")(b, a)


def _accumulation(function: str) -> Row:
    return lambda b, a: b.accumulate(function, a.first(), a.dim)


row("cumsum")(_accumulation("sum"))
row("cumprod")(_accumulation("prod"))
row("logcumsumexp")(_accumulation("logsumexp"))


@row("cummax")
def _cummax(b: Networks, a: Arguments) -> Any:
    return b.accumulate("max", a.first(), a.dim), None


@row("cummin")
def _cummin(b: Networks, a: Arguments) -> Any:
    return b.accumulate("min", a.first(), a.dim), None


@row("median", "median.dim")
def _median(b: Networks, a: Arguments) -> Any:
    if "dim" not in a.values:
        return b.reduce("median", a.first(), None)
    return b.reduce("median", a.first(), [a.dim], a.keepdim), None


@row("bucketize.Tensor", "searchsorted.Tensor")
def _bucketize(b: Networks, a: Arguments) -> Any:
    """Count the bounds that lie below each number, or those that do not lie above."""
    if a.values.get("sorter") is not None:
        raise UnsupportedError("bounds that are out of order")
    values = a.values["self"]
    bounds = as_array(a.values.get("boundaries", a.values.get("sorted_sequence")))
    if bounds.ndim != 1:
        raise UnsupportedError("bounds of more than one axis")
    right = a.right or a.values.get("side") == "right"
    compared = b.elementwise(
        "less_equal" if right else "less", bounds, b.unsqueeze(values, values.ndim)
    )
    return b.reduce("sum", compared, [-1])


@row("norm.ScalarOpt_dim", "linalg_vector_norm")
def _norm(b: Networks, a: Arguments) -> Any:
    order = a.values.get("p", a.values.get("ord", 2))
    axes, keep = _axes(a.dim), a.keepdim
    if order in (2, None):
        squares = b.reduce("sum", b.elementwise("square", a.first()), axes, keep)
        return b.elementwise("sqrt", squares)
    sizes = b.elementwise("absolute", a.first())
    if order == np.inf:
        return b.reduce("max", sizes, axes, keep)
    if order == 1:
        return b.reduce("sum", sizes, axes, keep)
    if order <= 0:
        raise UnsupportedError(f"a norm of order {order}")
    powers = b.reduce("sum", b.elementwise("power", sizes, order), axes, keep)
    return b.elementwise("power", powers, 1 / order)


@row("cosine_similarity")
def _cosine_similarity(b: Networks, a: Arguments) -> Any:
    lengths = []
    for value in (a.x1, a.x2):
        squares = b.reduce("sum", b.elementwise("square", value), [a.dim], True)
        lengths.append(b.elementwise("maximum", b.elementwise("sqrt", squares), a.eps))
    one, two = (b.elementwise("divide", v, n) for v, n in zip((a.x1, a.x2), lengths, strict=True))
    return b.reduce("sum", b.elementwise("multiply", one, two), [a.dim])


@row("pairwise_distance")
def _pairwise_distance(b: Networks, a: Arguments) -> Any:
    between = b.elementwise("add", b.elementwise("subtract", a.x1, a.x2), a.eps)
    return _norm(b, Arguments({"self": between, "p": a.p, "dim": [-1], "keepdim": a.keepdim}))


@row("cdist")
def _cdist(b: Networks, a: Arguments) -> Any:
    """Measure from each row of matrices to each of others."""
    one, two = b.unsqueeze(a.x1, a.x1.ndim - 1), b.unsqueeze(a.x2, a.x2.ndim - 2)
    between = b.elementwise("subtract", one, two)
    return _norm(b, Arguments({"self": between, "p": a.p, "dim": [-1], "keepdim": False}))


# ---- products ----


@row("linear")
def _linear(b: Networks, a: Arguments) -> Any:
    return b.linear(a.input, a.weight, a.bias)


@row("matmul", "mm", "bmm", "mv", "dot", "vdot")
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


@row("tensordot")
def _tensordot(b: Networks, a: Arguments) -> Any:
    one, two = a.values["self"], a.other
    left, right = (
        [d % v.ndim for d in dims] for v, dims in ((one, a.dims_self), (two, a.dims_other))
    )
    own = [[i for i in range(v.ndim) if i not in dims] for v, dims in ((one, left), (two, right))]
    shape = [one.shape[i] for i in own[0]] + [two.shape[i] for i in own[1]]
    inner = product(one.shape[i] for i in left)
    two = b.permute(two, [*right, *own[1]])
    two = b.reshape(two, [inner, product(two.shape[len(right) :])])
    one = b.permute(one, [*own[0], *left])
    one = b.reshape(one, [*one.shape[: len(own[0])], inner])
    return b.reshape(b.matmul(one, two), shape)


@row("bilinear")
def _bilinear(b: Networks, a: Arguments) -> Any:
    """One input by all matrices at once, and each product by the other one."""
    weight = as_array(a.weight)
    units, first, second = weight.shape
    flat = np.ascontiguousarray(weight.transpose(1, 0, 2).reshape(first, units * second))
    made = b.matmul(a.input1, flat)
    made = b.reshape(made, [*made.shape[:-1], units, second])
    other = b.unsqueeze(a.input2, a.input2.ndim - 1)
    found = b.reduce("sum", b.elementwise("multiply", made, other), [-1])
    return found if a.bias is None else b.elementwise("add", found, as_array(a.bias))


@row("einsum")
def _einsum(b: Networks, a: Arguments) -> Any:
    return b.einsum(a.equation, a.tensors)


@row("_weight_norm")
def _weight_norm(b: Networks, a: Arguments) -> Any:
    """Weights by their direction and length."""
    direction, length = as_array(a.v), as_array(a.g)
    axes = tuple(i for i in range(direction.ndim) if i != a.dim)  # -1: of all numbers
    norm = np.sqrt(np.square(direction, dtype=np.float64).sum(axes, keepdims=True))
    return (direction * (length / norm)).astype(np.float32)


@row("embedding")
def _embedding(b: Networks, a: Arguments) -> Any:
    if isinstance(a.indices, Steps):
        found = b.embedding(a.weight, a.indices.value)
        assert isinstance(found, Tensor)
        return Steps(found)
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
    if a.include_last_offset:
        raise UnsupportedError("bags of which the last one's end is told")
    shape = [BATCH, tokens.row[0]]
    weights = a.per_sample_weights
    weights = None if weights is None else b.reshape(weights, shape)
    padding = a.values.get("padding_idx")
    padding = None if padding is None or padding < 0 else padding
    mode = ("sum", "mean", "max")[a.mode]
    bags = b.embedding_bag(a.weight, b.reshape(tokens, shape), mode, padding, weights)
    return bags, None, None, None


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


@row("padded")
def _padded(b: Networks, a: Arguments) -> Any:
    return b.padded(a.x, a.lengths)


@row("sort", "sort.stable")
def _sort(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Order):
        return value, value
    if isinstance(value, Tensor) and value.shape == (BATCH,):
        return b.sorted_rows(value)
    return b.sort(value, a.dim, descending=bool(a.descending))


@row("topk")
def _topk(b: Networks, a: Arguments) -> Any:
    return b.largest(a.first(), a.dim, a.k, smallest=not a.largest)


@row("kthvalue")
def _kth_value(b: Networks, a: Arguments) -> Any:
    found = (b.slice(v, a.dim, a.k - 1, a.k) for v in b.sort(a.first(), a.dim))
    return tuple(v if a.keepdim else b.squeeze(v, [a.dim]) for v in found)


@row("argsort", "argsort.stable")
def _argsort(b: Networks, a: Arguments) -> Any:
    return _sort(b, a)[1]


@row("scatter.src", "scatter.value")
def _scatter(b: Networks, a: Arguments) -> Any:
    """Write places along an axis, or turn an order of rows around."""
    index, value, numbers = a.index, a.first(), a.values.get("src", a.values.get("value"))
    if isinstance(index, Order) and isinstance(numbers, RowNumbers):
        return index
    if isinstance(index, OfRows) or isinstance(numbers, OfRows):
        raise UnsupportedError("places written by numbers that are computed")
    if "src" not in a.values:
        numbers = b.expand(np.asarray(as_array(numbers), np.float32), index.shape)
    elif numbers.shape != index.shape:
        numbers = _first_places(b, numbers, index.shape)
    return put_along(b, value, index, numbers, a.dim, b.rows)


def _first_places(b: Networks, value: Value, shape: Sequence[Length]) -> Value:
    """Return as many first places along each axis as a shape has."""
    for axis, n in enumerate(shape):
        value = value if value.shape[axis] == n else b.slice(value, axis, 0, n)
    return value


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
    rates = [0.0] * (len(params) // size)
    for place, given in enumerate(params):
        if isinstance(given, DroppedWeights):
            if place % size != 1:
                raise UnsupportedError("weights are dropped, but for recurrent ones")
            rates[place // size] = given.rate
    return [p.weights if isinstance(p, DroppedWeights) else p for p in params], rates


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


# ---- windows and normalization ----


@row("conv1d", "conv2d")
def _conv(b: Networks, a: Arguments) -> Any:
    axes = as_array(a.weight).ndim - 2
    dilation = for_each(a.dilation, axes)
    padding = around(a.padding, as_array(a.weight).shape[2:], dilation)
    return b.convolution(
        a.input,
        a.weight,
        a.bias,
        strides=for_each(a.stride, axes),
        padding=padding,
        dilation=dilation,
        groups=a.groups,
    )


@row("conv_transpose1d", "conv_transpose2d.input")
def _conv_transpose(b: Networks, a: Arguments) -> Any:
    axes = as_array(a.weight).ndim - 2
    padding, more = for_each(a.padding, axes), for_each(a.output_padding, axes)
    return b.transposed_convolution(
        a.input,
        a.weight,
        a.bias,
        strides=for_each(a.stride, axes),
        padding=[(n, n - m) for n, m in zip(padding, more, strict=True)],
        dilation=for_each(a.dilation, axes),
        groups=a.groups,
    )


@row("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
def _pool(b: Networks, a: Arguments) -> Any:
    axes = len(for_each(a.kernel_size, 1))
    value = a.first()
    if isinstance(value, Tensor):
        axes = max(axes, value.ndim - 2) if len(for_each(a.kernel_size, 1)) == 1 else axes
    sizes = for_each(a.kernel_size, axes)
    if a.values.get("divisor_override") is not None:
        raise UnsupportedError("means with another divisor (divisor_override)")
    strides = for_each(a.stride, axes) if a.stride else sizes
    return b.pool(
        value,
        "mean" if "count_include_pad" in a.values else "max",
        sizes,
        strides,
        [(n, n) for n in for_each(a.padding, axes)],
        dilation=for_each(a.values.get("dilation", 1), axes),
        ceil=a.ceil_mode,
        count_padding=a.values.get("count_include_pad", True),
    )


@row("max_pool1d_with_indices", "max_pool2d_with_indices")
def _pool_and_places(b: Networks, a: Arguments) -> Any:
    return _pool(b, a), None


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


@row("group_norm")
def _group_norm(b: Networks, a: Arguments) -> Any:
    return b.group_norm(a.input, a.num_groups, a.weight, a.bias, a.eps)


@row("instance_norm")
def _instance_norm(b: Networks, a: Arguments) -> Any:
    if a.running_mean is not None:  # which counts, as that of batch normalization does
        return _batch_norm(b, a)
    channels = a.input.shape[1]
    if not isinstance(channels, int):
        raise UnsupportedError(f"normalization of {channels} channels")
    return b.group_norm(a.input, channels, a.weight, a.bias, a.eps)


def _interpolation(method: str, coordinates: str, rounding: str = "floor") -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        value, scales = a.input, a.scale_factors
        where = "align_corners" if a.values.get("align_corners") else coordinates
        for axis in range(2, value.ndim):
            size = None if scales else a.output_size[axis - 2]
            scale = float(scales[axis - 2]) if scales else None
            if scale == 1 or (scale is None and size == value.shape[axis]):
                continue
            if scale is not None and method == "nearest" and scale == int(scale):
                value = b.repeat_places(value, axis, int(scale))
                continue
            value = b.interpolate(
                value,
                axis,
                scale=scale,
                size=size,
                method=method,
                coordinates=where,
                rounding=rounding,
            )
        return value

    return compute


row("upsample_nearest1d.vec", "upsample_nearest2d.vec")(_interpolation("nearest", "asymmetric"))
row("_upsample_nearest_exact1d.vec", "_upsample_nearest_exact2d.vec")(
    _interpolation("nearest", "half_pixel", "round_prefer_ceil")
)
row("upsample_linear1d.vec", "upsample_bilinear2d.vec")(_interpolation("linear", "half_pixel"))
row("upsample_bicubic2d.vec")(_interpolation("cubic", "half_pixel"))


# ---- what is made of nothing ----


def _filled(value: float | None) -> Row:
    def make(b: Networks, a: Arguments) -> Any:
        number = a.fill_value if value is None else value
        size = [BATCH if n == b.rows else n for n in a.values.get("size", ())]
        rows = any(divided(n, BATCH) is not None for n in size)
        if any(map(_open, size)) and not rows:
            single = b.some_tensor(Spread(np.full((1,) * len(size), number), 0))
            return Steps(b.broadcast(single, size))
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
    return _fill(b, Arguments({"self": a.first(), "value": a.fill_value}))


@row("empty_like")
def _empty_like(b: Networks, a: Arguments) -> Any:
    if isinstance(a.first(), Order):
        return a.first()
    return b.elementwise("zeros", a.first())


@row("fill", "zero")
def _fill(b: Networks, a: Arguments) -> Any:
    value = a.values.get("value", 0.0)
    found = b.elementwise("multiply", b.elementwise("ones", a.first()), value)
    if isinstance(found, Tensor) and isinstance(value, (int, float)):
        b.filled[found.name] = float(value)
    return found


@row("arange", "arange.start", "arange.start_step")
def _arange(b: Networks, a: Arguments) -> Any:
    start, step = a.values.get("start", 0), a.values.get("step", 1)
    if all(isinstance(n, (int, float)) for n in (start, a.end, step)):
        return np.arange(start, a.end, step)
    if (start, step) == (0, 1) and a.end == BATCH:
        return RowNumbers()
    if start == 0 and a.end == BATCH * step:
        return Offsets(step)
    if step == 1 and isinstance(start, int):
        found: Value = b.positions(a.end - start)
        return Steps.of(found if start == 0 else b.elementwise("add", found, float(start)))
    if step == -1 and isinstance(a.end, int):
        found = b.slice(b.positions(start - a.end), 1, None, None, -1)
        return Steps.of(found if a.end == -1 else b.elementwise("add", found, a.end + 1.0))
    raise UnsupportedError(f"numbers from {start} to {a.end} by {step}")


@row("linspace")
def _linspace(b: Networks, a: Arguments) -> Any:
    return np.linspace(a.start, a.end, a.steps, dtype=np.float32)


@row("triu")
def _triu(b: Networks, a: Arguments) -> Any:
    return _triangle(b, np.triu, a)


@row("tril")
def _tril(b: Networks, a: Arguments) -> Any:
    return _triangle(b, np.tril, a)


def _triangle(b: Networks, function: Callable[..., Array], a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps):
        return value.triangle(b, a.diagonal, upper=function is np.triu)
    if not isinstance(value, (Tensor, Spread)):
        return function(value, a.diagonal)
    shape = value.shape[-2:]
    if value.at >= value.ndim - 2 or not all(isinstance(n, int) for n in shape):
        raise UnsupportedError("a triangle of an open length")
    return b.elementwise("where", function(np.ones(shape, np.float32), a.diagonal), value, 0.0)


@row("eye", "eye.m")
def _eye(b: Networks, a: Arguments) -> Any:
    lengths = a.n, a.values.get("m", a.n)
    if _open(a.n) and lengths[0] == lengths[1]:
        places = b.positions(a.n)
        return Steps.of(b.elementwise("equal", b.unsqueeze(places, 2), b.unsqueeze(places, 1)))
    if not all(isinstance(n, int) for n in lengths):
        raise UnsupportedError("a diagonal of an open length")
    return np.eye(*lengths, dtype=np.float32)


@row("scalar_tensor")
def _scalar(b: Networks, a: Arguments) -> Any:
    if _open(a.s):
        return b.counts(np.asarray(a.s, object))
    if isinstance(a.s, Steps):
        return a.s
    return np.asarray(a.s)


@row("size")
def _sizes(b: Networks, a: Arguments) -> Any:
    return [BATCH] if isinstance(a.first(), Order) else list(a.first().shape)


@row("sym_size.int")
def _size(b: Networks, a: Arguments) -> Any:
    value, axis = list(a.values.values())
    return BATCH if isinstance(value, Order) else value.shape[axis]


@row("sym_numel")
def _numel(b: Networks, a: Arguments) -> Any:
    return BATCH if isinstance(a.first(), Order) else product(a.first().shape)

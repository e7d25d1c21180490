"""Operators that take numbers one by one, activations among them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastdrop.formats._networks import Networks
from fastdrop.formats._places import place_of_row
from fastdrop.formats._values import OfRows, Spread, Tensor, UnsupportedError, as_array
from fastdrop.formats.aten._rows import ROWS, Arguments, Row, is_open, row
from fastdrop.formats.aten.random import complement, is_chance, truth

BINARY = {
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
}

LOGICAL = {
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "not_equal",
}

UNARY = {
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
        if (is_open(left) or is_open(right)) and not isinstance(left, OfRows):
            return _PYTHON[function](left, right)
        return _number_by_number(b, function, left, right)

    return compute


def _number_by_number(b: Networks, function: str, left: Any, right: Any) -> Any:
    """Compute a function of two, of which one may be numbers of rows."""
    if isinstance(left, OfRows) or isinstance(right, OfRows):
        return place_of_row(b, function, left, right)
    return b.elementwise(function, left, right)


def _unary(function: str) -> Row:
    return lambda b, a: b.elementwise(function, a.first())


_PYTHON: dict[str, Any] = {
    "multiply": operator.mul,
    "floor_divide": operator.floordiv,
}

for _name, _function in BINARY.items():
    row(_name)(_binary(_function))

for _name, _function in UNARY.items():
    row(_name)(_unary(_function))


@row("add")
def _add(b: Networks, a: Arguments) -> Any:
    """Add; of what is true or false, say whether one of both is true."""
    if a.truth:
        return _logical("logical_or")(b, a)
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
    return _number_by_number(b, function, left, other)


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
    return b.elementwise("where", truth(b, a.condition), a.values["self"], a.other)


@row("masked_fill")
def _masked_fill(b: Networks, a: Arguments) -> Any:
    return b.elementwise("where", truth(b, a.mask), a.value, a.values["self"])


def _bitwise(function: str) -> Row:
    def compute(b: Networks, a: Arguments) -> Any:
        if "self" not in a.bools:
            raise UnsupportedError("bits of whole numbers")
        return _logical(function)(b, a)

    return compute


def _logical(function: str) -> Row:
    """Compute of truths; of what is true with a probability, of whether it mostly is."""

    def compute(b: Networks, a: Arguments) -> Any:
        left, right = (
            value
            if function != "not_equal" or name in a.bools
            else b.elementwise("not_equal", value, 0.0)
            for name, value in [*a.values.items()][:2]
        )
        return b.elementwise(function, truth(b, left), truth(b, right))

    return compute


@row("bitwise_not")
def _bitwise_not(b: Networks, a: Arguments) -> Any:
    return _logical_not(b, a) if "self" in a.bools else _bitwise("logical_not")(b, a)


for _name, _function in LOGICAL.items():
    row(_name)(_logical(_function))

row("bitwise_and", "__and__")(_bitwise("logical_and"))

row("bitwise_or", "__or__")(_bitwise("logical_or"))

row("bitwise_xor", "__xor__")(_bitwise("not_equal"))


@row("lerp.Tensor", "lerp.Scalar")
def _lerp(b: Networks, a: Arguments) -> Any:
    start = a.values["self"]
    distance = b.elementwise("subtract", a.end, start)
    return b.elementwise("add", start, b.elementwise("multiply", distance, a.weight))


ACTIVATIONS: dict[str, str] = {
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


for _name, _function in ACTIVATIONS.items():
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


@row("to", "_to_copy")
def _to(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if not isinstance(value, (Tensor, Spread, np.ndarray)):
        return value
    if a.truth:
        return value if "self" in a.bools else b.elementwise("not_equal", value, 0.0)
    return value if a.floats else b.elementwise("trunc", value)


@row("logical_not")
def _logical_not(b: Networks, a: Arguments) -> Any:
    if is_chance(b, a.first()):
        return complement(b, a.first())
    return b.elementwise("logical_not", a.first())


# Of these, what looks at more than one number.
_ALONG_AN_AXIS = (
    *("glu", "prelu", "softmax", "_softmax", "special_softmax"),
    *("log_softmax", "_log_softmax", "special_log_softmax"),
)
EACH_NUMBER = frozenset(
    function
    for name, function in ROWS.items()
    if function.__module__ == __name__ and name.partition(".")[0] not in _ALONG_AN_AXIS
)

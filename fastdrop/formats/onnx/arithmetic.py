"""Operators that compute number by number, and those that reduce axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastdrop.feedforward import activate
from fastdrop.formats._lengths import BATCH, Open
from fastdrop.formats._places import is_one_a_row, one_row, place_of_row
from fastdrop.formats._values import (
    Counts,
    OfRows,
    RowBlocks,
    RowNumbers,
    RowStarts,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    counted,
)
from fastdrop.formats.onnx._records import DTYPES
from fastdrop.formats.onnx._rows import (
    Arguments,
    Array,
    Made,
    is_lengths,
    number_of,
    operator,
    simplified,
    whole_numbers,
)

_BOOL = np.dtype(bool)
_INTEGERS = "iu"

# Operators of single numbers: the layer's function, and NumPy's for constants.
_FUNCTIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    "Add": ("add", np.add),
    "Sub": ("subtract", np.subtract),
    "Mul": ("multiply", np.multiply),
    "Neg": ("negative", np.negative),
    "Abs": ("absolute", np.abs),
    "Sign": ("sign", np.sign),
    "Exp": ("exp", np.exp),
    "Log": ("log", np.log),
    "Sqrt": ("sqrt", np.sqrt),
    "Reciprocal": ("reciprocal", np.reciprocal),
    "Sin": ("sin", np.sin),
    "Cos": ("cos", np.cos),
    "Tan": ("tan", np.tan),
    "Asin": ("arcsin", np.arcsin),
    "Acos": ("arccos", np.arccos),
    "Atan": ("arctan", np.arctan),
    "Sinh": ("sinh", np.sinh),
    "Cosh": ("cosh", np.cosh),
    "Asinh": ("arcsinh", np.arcsinh),
    "Acosh": ("arccosh", np.arccosh),
    "Atanh": ("arctanh", np.arctanh),
    "Floor": ("floor", np.floor),
    "Ceil": ("ceil", np.ceil),
    "Round": ("round", np.rint),
}
_TRUTHS: dict[str, tuple[str, Callable[..., Any]]] = {
    "And": ("logical_and", np.logical_and),
    "Or": ("logical_or", np.logical_or),
    "Xor": ("not_equal", np.logical_xor),
    "Not": ("logical_not", np.logical_not),
    "Equal": ("equal", np.equal),
    "Greater": ("greater", np.greater),
    "GreaterOrEqual": ("greater_equal", np.greater_equal),
    "Less": ("less", np.less),
    "LessOrEqual": ("less_equal", np.less_equal),
}


def compute(a: Arguments, function: str, numpy: Callable[..., Any], *operands: Any) -> Value:
    """Compute a function of what broadcasts, of constants at once."""
    if any(isinstance(o, (Tensor, Spread)) for o in operands):
        if any(is_lengths(o) for o in operands):
            raise UnsupportedError("a length left open, computed with")
        if not any(isinstance(o, Tensor) for o in operands):
            _check_broadcast(a, [tuple(1 if n == BATCH else n for n in o.shape) for o in operands])
        return a.net.elementwise(function, *_for_all_rows(a, operands))
    arrays = [np.asarray(o) for o in operands]
    _check_broadcast(a, [array.shape for array in arrays])
    try:
        return simplified(numpy(*arrays))
    except (AttributeError, TypeError) as error:  # of lengths there are sums and products alone
        raise UnsupportedError("a length left open, computed with") from error


def whole(a: Arguments, value: Value, sizes: Value | None = None) -> Value:
    """Return what an operator made, whole numbers only if they are no larger than float32 holds.

    `sizes` are those of what they were computed of, if these may be larger than what comes out.
    """
    if a.dtype.kind not in _INTEGERS or not isinstance(value, (Tensor, Spread)):
        return value
    return a.net.whole(value, sizes)


def _check_broadcast(a: Arguments, shapes: Sequence[Any]) -> None:
    try:
        a.check_size(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise UnsupportedError(f"shapes {shapes} do not broadcast") from error


def _for_all_rows(a: Arguments, operands: Sequence[Any]) -> list[Any]:
    """Return operands, constants that repeat a row for a fixed number of rows having one."""
    framed = next(o for o in operands if isinstance(o, (Tensor, Spread)))
    behind = framed.ndim - framed.at
    found = []
    for operand in operands:
        shape = np.shape(operand) if not isinstance(operand, (Tensor, Spread)) else ()
        if len(shape) >= behind and shape[-behind] == a.fixed_batch:
            operand = one_row(operand, len(shape) - behind)
        found.append(a.net.float32(operand) if isinstance(operand, np.ndarray) else operand)
    return found


@operator(*_FUNCTIONS)
def _numbers(a: Arguments) -> Made:
    given = [_counted_rows(a, v) for v in a.given()]
    if any(isinstance(v, OfRows) for v in given):
        return _place(a, given)
    if a.op == "Mul" and any(map(is_one_a_row, given)):
        number, times = given if is_one_a_row(given[0]) else given[::-1]
        if is_lengths(times) and _length(times) == BATCH:
            return RowBlocks(number)
    found = compute(a, *_FUNCTIONS[a.op], *given)
    if isinstance(found, (Tensor, Spread)) and a.op in ("Add", "Sub", "Mul", "Neg"):
        _check_range(a)
        return whole(a, found) if a.op != "Neg" else found
    return found


def _check_range(a: Arguments) -> None:
    """Refuse whole numbers that begin anew where they leave their type."""
    short = a.dtype.kind in _INTEGERS and a.dtype.itemsize < 4
    if short or (a.dtype.kind == "u" and a.op in ("Sub", "Neg")):
        raise UnsupportedError(f"{a.op} of {a.dtype.name}, which may leave its range")


def _place(a: Arguments, given: Sequence[Any]) -> OfRows:
    """Compute a place of each row; what is beside numbers of rows is one number or one a row."""
    single = [isinstance(v, np.ndarray) and v.size == 1 and v.ndim < 2 for v in given]
    numbers = [_length(v) if one else v for v, one in zip(given, single, strict=True)]
    functions = {"Mul": "multiply", "Add": "add", "Sub": "subtract"}
    return place_of_row(a.net, functions.get(a.op, a.op), *numbers)


def _counted_rows(a: Arguments, value: Any) -> Any:
    """Return what is added to a place of each row as what it stands for, if it counts rows.

    A file for one number of rows has it as a constant.
    """
    many, given = a.fixed_batch, a.given()
    if many is None or a.op != "Add" or np.shape(value) != (many,):
        return value
    blocks = any(isinstance(v, RowBlocks) for v in given)
    step = 1 if blocks or many == 1 else value[1]
    if value.dtype.kind not in _INTEGERS or step < 1 or (value != np.arange(many) * step).any():
        return value
    if blocks:
        return RowNumbers()
    return RowStarts(int(step)) if many != 1 and any(map(is_one_a_row, given)) else value


def _length(array: Array) -> Any:
    found = whole_numbers(array)
    if len(found) != 1:
        raise UnsupportedError("numbers of rows, computed with")
    return found[0]


@operator(*_TRUTHS)
def _truths(a: Arguments) -> Made:
    a.dtype = _BOOL
    return compute(a, *_TRUTHS[a.op], *a.given())


@operator("Pow")
def _power(a: Arguments) -> Made:
    """Raise numbers to powers: whole ones to whole ones, whatever the powers are."""
    given: list[Any] = a.given()
    base, power = given
    if _is_whole(base) and _is_whole(power):
        if (power < 0).any() and (base == 0).any():
            raise UnsupportedError("a division by zero")
        return compute(a, "", _whole_power, base, power)
    found = compute(a, "power", np.power, base, power)
    if a.dtype.kind not in _INTEGERS:
        return found
    cut = compute(a, "trunc", np.trunc, found)
    return cut.astype(a.dtype) if isinstance(cut, np.ndarray) else whole(a, cut)


def _is_whole(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in _INTEGERS


def _whole_power(base: Array, power: Array) -> Array:
    """Return powers of whole numbers, those to negative ones rounded to zero."""
    found = np.power(base, np.abs(power))
    cut = np.where(np.abs(base) == 1, found, 0)
    return np.asarray(np.where(power < 0, cut, found), base.dtype)


@operator("Div")
def _divide(a: Arguments) -> Made:
    left, right = a.given()
    if a.dtype.kind not in _INTEGERS:
        return compute(a, "divide", np.true_divide, left, right)
    if not any(isinstance(v, (Tensor, Spread)) for v in (left, right)):
        if np.any(np.equal(np.asarray(right), 0)):
            raise UnsupportedError("a division by zero")
        return compute(a, "", _whole_quotient, left, right)
    quotient = compute(a, "divide", np.true_divide, left, right)
    # Of larger numbers one that is rounded up may be the next.
    return whole(a, compute(a, "trunc", np.trunc, quotient), left)


def _whole_quotient(left: Array, right: Array) -> Array:
    """Return a quotient rounded to zero."""
    if object in (left.dtype, right.dtype):  # lengths are not negative
        return np.floor_divide(left, right)
    found = np.floor_divide(left, right)
    inexact = (found * right != left) & ((left < 0) != (right < 0))
    return np.asarray(found + inexact, left.dtype)


@operator("Mod")
def _mod(a: Arguments) -> Made:
    left, right = a.given()
    if not a.flag("fmod"):
        return compute(a, "mod", np.mod, left, right)
    if not any(isinstance(v, (Tensor, Spread)) for v in (left, right)):
        return compute(a, "", np.fmod, left, right)
    # With the sign of what is divided.
    sizes = [compute(a, "absolute", np.abs, v) for v in (left, right)]
    found = compute(a, "mod", np.mod, *sizes)
    return compute(a, "multiply", np.multiply, compute(a, "sign", np.sign, left), found)


@operator("Max", "Min", "Sum", "Mean")
def _several(a: Arguments) -> Made:
    function, numpy = {
        "Max": ("maximum", np.maximum),
        "Min": ("minimum", np.minimum),
        "Sum": ("add", np.add),
        "Mean": ("add", np.add),
    }[a.op]
    first, *rest = a.given()
    for value in rest:
        if is_lengths(first) and is_lengths(value) and a.op in ("Max", "Min"):
            first = _one_of_lengths(a, first, value)
        else:
            first = compute(a, function, numpy, first, value)
    if a.op == "Mean":
        return compute(a, "multiply", np.multiply, first, np.float32(1 / len(a.values)))
    return first


def _one_of_lengths(a: Arguments, one: Any, other: Any) -> Value:
    """Return the larger lengths or the smaller, where open ones are beside the same."""
    if one.shape != other.shape:
        raise UnsupportedError("a length left open, computed with")
    found = np.empty(one.shape, object)
    for place in np.ndindex(*one.shape):
        pair = one[place], other[place]
        if pair[0] != pair[1] and any(isinstance(n, Open) for n in pair):
            raise UnsupportedError("a length left open, computed with")
        found[place] = pair[0] if pair[0] == pair[1] else (max if a.op == "Max" else min)(pair)
    return found


@operator("Where")
def _where(a: Arguments) -> Made:
    condition, x, y = a.given()
    a.dtype = a.dtypes[1]
    if is_lengths(condition):
        raise UnsupportedError("a length left open, as a condition")
    return compute(a, "where", np.where, condition, x, y)


@operator("Clip")
def _clip(a: Arguments) -> Made:
    value = a.input()
    if a.opset < 11:
        low, high = a.attribute("min"), a.attribute("max")
    else:
        bounds = [a.optional(1), a.optional(2)]
        if any(isinstance(b, (Tensor, Spread)) for b in bounds):
            return _clip_computed(a, value, *bounds)
        low, high = (None if b is None else number_of(np.asarray(b)) for b in bounds)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if isinstance(value, (Tensor, Spread)):
        return a.net.elementwise("clip", value, low, high)
    if is_lengths(value):
        raise UnsupportedError("a length left open, computed with")
    return np.minimum(np.maximum(value, low), high).astype(value.dtype)


def _clip_computed(a: Arguments, value: Value, low: Value | None, high: Value | None) -> Value:
    """Clip to bounds of which some are computed."""
    if low is not None:
        value = compute(a, "maximum", np.maximum, value, low)
    return value if high is None else compute(a, "minimum", np.minimum, value, high)


@operator("Identity")
def _identity(a: Arguments) -> Made:
    return a.input()


@operator("Cast", "CastLike")
def _cast(a: Arguments) -> Made:
    a.attribute("saturate", 1)
    a.attribute("round_mode", "up")
    if a.op == "CastLike":
        a.dtype = a.dtypes[1]
    else:
        name = DTYPES.get(a.attribute("to"))
        if name is None:
            raise UnsupportedError(f"elements of type {a.node.attributes.get('to')}")
        a.dtype = np.dtype("float32" if name in ("float16", "bfloat16") else name)
        if name in ("float16", "bfloat16"):
            a.note(f"{name} is computed with as float32")
    if a.dtype == np.float64 and not isinstance(a.input(), np.ndarray):
        a.note("float64 is computed with as float32", of_node=False)
    value, before = a.input(), a.dtypes[0]
    if isinstance(value, OfRows) and (a.dtype.kind == "b" or a.dtype.itemsize < 4):
        raise UnsupportedError("numbers of rows, computed with")
    if isinstance(value, OfRows):
        return value
    if isinstance(value, Counts) and (a.dtype.kind == "f" or a.dtype.itemsize >= 4):
        return value if a.dtype.kind == "f" else value.lengths
    if isinstance(value, Steps):
        return Steps.of(_numbers_cast(a, value.value, before))
    if isinstance(value, (Tensor, Spread)):
        return _numbers_cast(a, value, before)
    if is_lengths(value):
        if a.dtype.kind == "f":
            return a.net.counts(value)
        if a.dtype.kind not in _INTEGERS:
            raise UnsupportedError("a length left open, computed with")
        return value
    return value.astype(a.dtype)


def _numbers_cast(a: Arguments, value: Tensor | Spread, before: np.dtype[Any]) -> Value:
    """Return numbers of one type as those of another, all of which are kept as float32."""
    if a.dtype.kind == "b" and before.kind != "b":
        return a.net.elementwise("not_equal", value, 0.0)
    if before.kind == "b" and isinstance(value, Tensor):
        a.net.truths.add(value.name)
    if a.dtype.kind == "i" and before.kind == "f" and a.dtype.itemsize >= 4:
        whole_ones = a.net.elementwise("trunc", value)
        found = a.net.whole(whole_ones, most=2.0 ** (8 * a.dtype.itemsize - 1))
        if isinstance(found, Tensor):
            a.net.negative.add(found.name)
        return found
    most = a.net.places.get(value.name) if isinstance(value, Tensor) else None
    if most is not None and a.dtype.kind in _INTEGERS and most - 1 <= np.iinfo(a.dtype).max:
        return value
    fits = np.can_cast(before, a.dtype)
    if a.dtype.kind in _INTEGERS and a.dtype.itemsize < 4 and not fits:
        raise UnsupportedError(f"whole numbers of {a.dtype.itemsize * 8} bits")
    if a.dtype.kind == "u" and before.kind in "if":
        raise UnsupportedError("whole numbers of which negative ones become others")
    return value


# ---- activations ----

_ACTIVATIONS: dict[str, Any] = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Mish": "mish",
    "HardSwish": "hard_silu",
}


def activated(a: Arguments, value: Value, activation: Any, axis: int = -1) -> Value:
    if isinstance(value, (Tensor, Spread)):
        return a.net.activation(value, activation, axis)
    if value.dtype.kind != "f" or activation in ("softmax", "log_softmax"):
        raise UnsupportedError(f"{a.op} of a constant")
    return activate(value.astype(np.float32), activation)


@operator(*_ACTIVATIONS)
def _activation(a: Arguments) -> Made:
    return activated(a, a.input(), _ACTIVATIONS[a.op])


@operator("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Selu")
def _with_alpha(a: Arguments) -> Made:
    default = {"LeakyRelu": 0.01, "Selu": 1.67326319217681884765625}.get(a.op, 1.0)
    alpha = float(a.attribute("alpha", default))
    value = a.input()
    if a.op == "LeakyRelu":
        return activated(a, value, ("leaky_relu", alpha))
    if a.op == "ThresholdedRelu":
        return activated(a, value, ("threshold", alpha, 0.0))
    if a.op != "Selu":
        return activated(a, value, (a.op.lower(), alpha))
    gamma = float(a.attribute("gamma", 1.05070102214813232421875))
    if (round(alpha, 6), round(gamma, 6)) == (1.673263, 1.050701):
        return activated(a, value, "selu")
    found = activated(a, value, ("elu", alpha))
    return compute(a, "multiply", np.multiply, found, np.float32(gamma))


@operator("IsNaN")
def _is_nan(a: Arguments) -> Made:
    a.dtype = _BOOL
    return compute(a, "not_equal", np.not_equal, a.input(), a.input())


@operator("IsInf")
def _is_inf(a: Arguments) -> Made:
    a.dtype = _BOOL
    below, above = (a.flag(f"detect_{s}", default=True) for s in ("negative", "positive"))
    value = a.input()
    if below and above:
        value = compute(a, "absolute", np.abs, value)
    elif not (below or above):
        return compute(a, "less", np.less, compute(a, "absolute", np.abs, value), np.float32(0))
    return compute(a, "equal", np.equal, value, np.float32(np.inf if above else -np.inf))


@operator("Erf")
def _erf(a: Arguments) -> Made:
    return a.net.erf(a.input())


@operator("Gelu")
def _gelu(a: Arguments) -> Made:
    kind = a.attribute("approximate", "none")
    if kind not in ("none", "tanh"):
        raise UnsupportedError(f"attribute 'approximate': {kind}")
    return activated(a, a.input(), "gelu" if kind == "none" else "gelu_tanh")


@operator("Swish")
def _swish(a: Arguments) -> Made:
    value, alpha = a.input(), float(a.attribute("alpha", 1.0))
    if alpha == 1:
        return activated(a, value, "silu")
    gate = activated(a, compute(a, "multiply", np.multiply, value, np.float32(alpha)), "sigmoid")
    return compute(a, "multiply", np.multiply, value, gate)


@operator("HardSigmoid")
def _hard_sigmoid(a: Arguments) -> Made:
    value = a.input()
    alpha, beta = float(a.attribute("alpha", 0.2)), float(a.attribute("beta", 0.5))
    named = {0.2: "hard_sigmoid_legacy", 0.166667: "hard_sigmoid"}.get(round(alpha, 6))
    if named is not None and beta == 0.5:
        return activated(a, value, named)
    line = compute(a, "multiply", np.multiply, value, np.float32(alpha))
    line = compute(a, "add", np.add, line, np.float32(beta))
    return compute(a, "clip", np.clip, line, np.float32(0), np.float32(1))


@operator("PRelu")
def _prelu(a: Arguments) -> Made:
    value, slope = a.given()
    zero = np.float32(0)
    above = compute(a, "maximum", np.maximum, value, zero)
    below = compute(a, "minimum", np.minimum, value, zero)
    return compute(a, "add", np.add, above, compute(a, "multiply", np.multiply, below, slope))


@operator("Shrink")
def _shrink(a: Arguments) -> Made:
    value = a.input()
    limit, bias = float(a.attribute("lambd", 0.5)), np.float32(a.attribute("bias", 0.0))
    above = compute(a, "greater", np.greater, value, np.float32(limit))
    below = compute(a, "less", np.less, value, np.float32(-limit))
    less = compute(a, "subtract", np.subtract, value, bias)
    more = compute(a, "add", np.add, value, bias)
    found = compute(a, "where", np.where, below, more, np.float32(0))
    return compute(a, "where", np.where, above, less, found)


@operator("Hardmax")
def _hardmax(a: Arguments) -> Made:
    """1 at the first of the largest numbers along an axis, else 0."""
    value = a.input()
    axis = counted(a.attribute("axis", -1 if a.opset >= 13 else 1), value.ndim)
    shape = value.shape
    if a.opset < 13:  # when all axes from this one on were taken together
        value = a.net.reshape(value, [*shape[:axis], -1])
    length = value.shape[axis]
    if not isinstance(length, int):
        raise UnsupportedError(f"Hardmax over {length} places")
    place = a.net.reduce("argmax", value, [axis], keepdims=True)
    numbers = np.arange(length, dtype=np.float32).reshape(-1, *(1,) * (value.ndim - 1 - axis))
    return a.net.reshape(compute(a, "equal", np.equal, place, numbers), shape)


@operator("Softmax", "LogSoftmax")
def _softmax(a: Arguments) -> Made:
    value: Any = a.input()
    activation = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}[a.op]
    axis = a.attribute("axis", -1 if a.opset >= 13 else 1)
    if isinstance(value, Steps):
        axis = counted(axis, value.ndim)
        if a.opset < 13 and axis != value.ndim - 1:
            raise UnsupportedError("several axes taken together")
        return Steps.of(activated(a, value.value, activation, axis + 1))
    if a.opset >= 13 or axis in (-1, value.ndim - 1):
        return activated(a, value, activation, axis)
    # Before, all axes from this one on were taken together.
    shape, axis = value.shape, counted(axis, value.ndim)
    joined = a.net.reshape(value, [*shape[:axis], -1])
    return a.net.reshape(activated(a, joined, activation), shape)


# What is computed number by number.
BY_NUMBER = frozenset(
    (
        *(*_FUNCTIONS, *_TRUTHS, *_ACTIVATIONS),
        *("Pow", "Div", "Mod", "Max", "Min", "Sum", "Mean", "Where", "Clip", "IsInf", "IsNaN"),
        "Erf",
    )
)

# ---- reductions ----

REDUCTIONS = {
    "ReduceSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceL1": "sum",
    "ReduceL2": "sum",
    "ReduceSumSquare": "sum",
    "ReduceLogSum": "sum",
    "ReduceLogSumExp": "sum",
}
# The operator set since which axes are an input.
_AXES_INPUT = {"ReduceSum": 13}


@operator(*REDUCTIONS)
def _reduce(a: Arguments) -> Made:
    value: Any = a.input()
    axes = a.attribute_or_input("axes", 1, _AXES_INPUT.get(a.op, 18))
    keepdims = a.flag("keepdims", default=True)
    none = a.flag("noop_with_empty_axes")
    if axes == [] or axes is None:
        axes = [] if none else None
    if isinstance(value, Steps):
        inside = range(value.ndim) if axes is None else axes
        along = [counted(axis, value.ndim) + 1 for axis in inside]
        return Steps.of(_reduction(a, value.value, along, keepdims))
    return _reduction(a, value, axes, keepdims)


def _reduction(a: Arguments, value: Value, axes: Sequence[int] | None, keepdims: bool) -> Value:
    if a.op == "ReduceLogSumExp":
        if is_lengths(value):
            raise UnsupportedError("a length left open, computed with")
        if axes == []:
            return value
        if a.dtype.kind in _INTEGERS and isinstance(value, np.ndarray):
            raise UnsupportedError("logarithms of whole numbers")
        logs = a.net.log_sum_exp(value, axes, keepdims)
        return compute(a, "trunc", np.trunc, logs) if a.dtype.kind in _INTEGERS else logs
    if a.op == "ReduceL1":
        value = compute(a, "absolute", np.abs, value)
    elif a.op in ("ReduceL2", "ReduceSumSquare"):
        value = compute(a, "square", np.square, value)
    found = _reduced(a, REDUCTIONS[a.op], value, axes, keepdims)
    if a.op in ("ReduceSum", "ReduceMean", "ReduceLogSum"):
        found = whole(a, found, _sum_of_sizes(a, value, axes, keepdims))
    elif a.op not in ("ReduceMax", "ReduceMin"):
        found = whole(a, found)
    if a.op == "ReduceMean" and a.dtype.kind in _INTEGERS:
        return compute(a, "trunc", np.trunc, found)
    if a.op == "ReduceL2":
        root = compute(a, "sqrt", np.sqrt, found)
        return compute(a, "trunc", np.trunc, root) if a.dtype.kind in _INTEGERS else root
    if a.op == "ReduceLogSum":
        logs = compute(a, "log", np.log, found)
        return compute(a, "trunc", np.trunc, logs) if a.dtype.kind in _INTEGERS else logs
    return found


def _sum_of_sizes(
    a: Arguments, value: Value, axes: Sequence[int] | None, keepdims: bool
) -> Value | None:
    """Return sums of the sizes of whole numbers, for sums on the way may be larger than the last.

    Where they are truths there are fewer places.
    """
    if a.dtype.kind not in _INTEGERS or not isinstance(value, Tensor) or axes == []:
        return None
    if value.name in a.net.truths:
        return None
    return a.net.reduce("sum", a.net.elementwise("absolute", value), axes, keepdims)


def _reduced(
    a: Arguments, function: str, value: Value, axes: Sequence[int] | None, keepdims: bool
) -> Value:
    if axes == []:
        return value
    if is_lengths(value):
        assert isinstance(value, np.ndarray)
        if function not in ("prod", "sum") or value.ndim != 1 or axes not in (None, [0], [-1]):
            raise UnsupportedError("a length left open, computed with")
        total = np.prod(value) if function == "prod" else np.sum(value)
        return simplified([total] if keepdims else total)
    if isinstance(value, np.ndarray) and a.dtype.kind in _INTEGERS and function == "mean":
        raise UnsupportedError("the mean of whole numbers")
    found = a.net.reduce(function, value, axes, keepdims)
    return found.astype(a.dtype) if isinstance(found, np.ndarray) else found


@operator("ArgMax", "ArgMin")
def _arg(a: Arguments) -> Made:
    value, axis = a.input(), a.attribute("axis", 0)
    keepdims = a.flag("keepdims", default=True)
    last = a.flag("select_last_index")
    axis = counted(axis, value.ndim)
    count = value.shape[axis]
    if a.op == "ArgMin":
        value = compute(a, "negative", np.negative, value)
    a.dtype = np.dtype(np.int64)
    if not last:
        found = a.net.reduce("argmax", value, [axis], keepdims)
    elif isinstance(count, int):
        turned = a.net.slice(value, axis, None, None, -1)
        place = a.net.reduce("argmax", turned, [axis], keepdims)
        found = compute(a, "subtract", np.subtract, np.int64(count - 1), place)
    else:
        raise UnsupportedError(f"the last of the largest of {count} places")
    if isinstance(found, Tensor) and isinstance(count, int):
        a.net.places[found.name] = count
    return found


@operator("CumSum", "CumProd")
def _cumulated(a: Arguments) -> Made:
    """Sums or products of all numbers up to each along an axis, or up to the one before."""
    value, axis = a.input(), counted(int(number_of(a.array(1))), a.input().ndim)
    function, nothing = ("sum", 0.0) if a.op == "CumSum" else ("prod", 1.0)
    others, back = a.flag("exclusive"), a.flag("reverse")
    if is_lengths(value):
        raise UnsupportedError("a length left open, computed with")
    if back:
        value = a.net.slice(value, axis, None, None, -1)
    found = whole(a, a.net.accumulate(function, value, axis))
    if others:
        widths = [(int(i == axis), 0) for i in range(found.ndim)]
        found = a.net.slice(a.net.pad(found, widths, nothing), axis, 0, -1)
    return a.net.slice(found, axis, None, None, -1) if back else found


@operator("Einsum")
def _einsum(a: Arguments) -> Made:
    equation, values = a.attribute("equation", "").replace(" ", ""), a.given()
    if any(map(is_lengths, values)):
        raise UnsupportedError("a length left open, computed with")
    if all(isinstance(v, np.ndarray) for v in values):
        return _einsum_of_constants(a, equation, values)
    given = [a.net.float32(v) if isinstance(v, np.ndarray) else v for v in values]
    made: Made = product_of(a, lambda operands: a.net.einsum(equation, operands), given)
    return made


def product_of(a: Arguments, multiply: Callable[[Sequence[Any]], Any], operands: Any) -> Any:
    """Return sums of products, of whole numbers where those of their sizes are not too large."""
    found = multiply(operands)
    if a.dtype.kind not in _INTEGERS or isinstance(found, np.ndarray):
        return found
    sizes = multiply([_size(a, v) for v in operands])
    if isinstance(found, Steps):
        return Steps.of(whole(a, found.value, sizes.value))
    return whole(a, found, sizes)


def _size(a: Arguments, value: Any) -> Any:
    if isinstance(value, Steps):
        return Steps.of(_size(a, value.value))
    return a.net.elementwise("absolute", value)


def _einsum_of_constants(a: Arguments, equation: str, values: Sequence[Any]) -> Array:
    names = equation.partition("->")[0].split(",")
    if [len(name) for name in names] != [v.ndim for v in values]:
        raise UnsupportedError(f"einsum {equation!r}")
    lengths = {c: n for name, v in zip(names, values, strict=True) for c, n in zip(name, v.shape)}  # noqa: B905
    a.check_size(lengths.values())
    return np.asarray(np.einsum(equation, *values), a.dtype)

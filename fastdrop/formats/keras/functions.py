"""Functions of ``keras.ops``, each a row: its arguments, and the layer that does the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats.keras._arguments import FLOATS, Arguments, Built, Function, constant_of
from fastdrop.formats.keras._rows import Tensor
from fastdrop.layers import (
    GLU,
    Accumulate,
    Activation,
    ArgSort,
    CategoryEncoding,
    Concatenate,
    Difference,
    Einsum,
    EinsumDense,
    Elementwise,
    ExpandDims,
    Identity,
    Layer,
    LayerNormalization,
    MatMul,
    Pad,
    Reduce,
    Repeat,
    Reshape,
    Roll,
    Slice,
    Sort,
    Split,
    Squeeze,
    Stack,
    Take,
    TakeAlong,
    Transpose,
    UnitNormalization,
)


def elementwise(function: str, *names: str) -> Function:
    def build(given: Arguments) -> Built:
        operands = tuple(given.operand(name) for name in names)
        if not given.tensors:
            raise given.refuse(names[0], "a tensor")
        return Elementwise, {"function": function, "operands": operands}

    return Function(names, build)


def _reduction(function: str) -> Function:
    def build(given: Arguments) -> Built:
        given.input("x")
        axes = given.axes("axis")
        if axes is None:
            raise given.refuse("axis", "axes: without, rows of a batch would be mixed")
        return Reduce, {"function": function, "axes": axes, "keepdims": given.flag("keepdims")}

    return Function(("x", "axis", "keepdims"), build)


def _activation(name: str, *parameters: tuple[str, float]) -> Function:
    def build(given: Arguments) -> Built:
        given.input("x")
        numbers = tuple(given.number(key, default) for key, default in parameters)
        return Activation, {"activation": (name, *numbers) if numbers else name}

    return Function(("x", *(key for key, _ in parameters)), build)


def gelu(default: bool) -> Function:
    def build(given: Arguments) -> Built:
        given.input("x")
        if "approximate" not in given.values:
            given.values["approximate"] = default
        return Activation, {"activation": "gelu_tanh" if given.flag("approximate") else "gelu"}

    return Function(("x", "approximate"), build)


def _softmax(name: str) -> Function:
    def build(given: Arguments) -> Built:
        given.input("x")
        return Activation, {"activation": name, "axis": _last_or(given)}

    return Function(("x", "axis"), build)


def _relu(given: Arguments) -> Built:
    given.input("x")
    slope = given.number("negative_slope", 0.0)
    highest = given.values.pop("max_value", None)
    threshold = given.number("threshold", 0.0)
    return Activation, {"activation": ("relu", slope, highest, threshold)}


def _reshape(given: Arguments) -> Built:
    given.input("x")
    shape = given.values.get("newshape")
    if not isinstance(shape, list) or not shape or not all(type(n) is int for n in shape):
        raise given.refuse("newshape", "a list of lengths")
    if shape[0] != -1 and -1 not in shape[1:]:
        raise given.refuse("newshape", "-1 for the batch, the first axis")
    given.take("newshape")  # a batch of fixed size stands for any
    return Reshape, {"target_shape": tuple(shape[1:])}


def _transpose(given: Arguments) -> Built:
    given.input("x")
    axes = given.values.get("axes")
    if not isinstance(axes, list) or axes[:1] != [0] or not all(type(n) is int for n in axes):
        raise given.refuse("axes", "all axes, the batch first")
    given.take("axes")
    return Transpose, {"axes": tuple(n - 1 for n in axes[1:])}


def _swapaxes(given: Arguments) -> Built:
    given.input("x")
    axes = given.axis("axis1"), given.axis("axis2")
    return Transpose, {"moved": (axes, axes[::-1])}


def _moveaxis(given: Arguments) -> Built:
    given.input("x")
    value = given.values.get("destination")
    moved = given.axes("source") or (), given.axes("destination") or ()
    if len(moved[0]) != len(moved[1]):
        raise given.refuse("destination", "as many axes as in source", value)
    return Transpose, {"moved": moved}


def _squeeze(given: Arguments) -> Built:
    given.input("x")
    return Squeeze, {"axes": given.axes("axis")}


_MOST_AXES = 64  # of NumPy's arrays
_MOST_TIMES = 4096  # that a tensor is repeated


def _expand_dims(given: Arguments) -> Built:
    given.input("x")
    listed = given.values.get("axis")
    if isinstance(listed, list) and len(listed) != 1:
        axes = given.axes("axis") or ()
        if not all(0 <= axis < _MOST_AXES for axis in axes):
            raise given.refuse("axis", "axes counted from the front", listed)
        places = range(max((*axes, -1)) + 1)
        return Slice, {
            "whole": (slice(None), *(None if i in axes else slice(None) for i in places), ...)
        }
    return ExpandDims, {"axis": given.axis("axis")}


def _average(given: Arguments) -> Built:
    found = given.values.get("weights")
    if found is None:
        return _reduction("mean").build(given)
    weights = constant_of(found)
    if weights is None or weights.ndim != 1 or not 0 < abs(total := weights.sum()) < math.inf:
        raise given.refuse("weights", "numbers along one axis, whose sum is not 0")
    given.take("weights")
    given.input("x")
    axis = given.axis("axis")
    before, behind = (
        ("...", ascii_lowercase[: -axis - 1])
        if axis < 0
        else (
            ascii_lowercase[: axis + 1],
            "...",
        )
    )
    equation = f"{before}Z{behind},Z->{before}{behind}"
    return EinsumDense, {"whole": equation, "kernel": weights / total}


def _flip(given: Arguments) -> Built:
    given.input("x")
    value = given.values.get("axis")
    axes = given.axes("axis")
    if axes is None or not all(-_MOST_AXES < axis < _MOST_AXES for axis in axes):
        raise given.refuse("axis", "axes of a row", value)
    before = [slice(None)] * (max((*axes, -1)) + 2)  # the batch, and then a row
    behind = [slice(None)] * -min((*axes, 0))
    for axis in axes:
        (before if axis >= 0 else behind)[axis + (axis >= 0)] = slice(None, None, -1)
    return Slice, {"whole": (*before, ..., *behind)}


def _pad(given: Arguments) -> Built:
    given.input("x")
    widths, mode = given.values.get("pad_width"), given.take("mode", "constant")
    if str(mode).lower() != "constant":
        raise given.refuse("mode", "'constant'", mode)
    pairs = widths if isinstance(widths, list) else []
    fits = all(
        isinstance(p, list) and len(p) == 2 and all(type(n) is int for n in p) for p in pairs
    )
    if len(pairs) < 2 or not fits or pairs[0] != [0, 0] or min(map(min, pairs)) < 0:
        raise given.refuse("pad_width", "two numbers for each axis, of the batch 0")
    given.take("pad_width")
    value = given.number("constant_values", 0.0)
    return Pad, {"widths": tuple(map(tuple, pairs[1:])), "value": value}


def _repeat(given: Arguments) -> Built:
    given.input("x")
    count = given.values.get("repeats")
    count = count[0] if isinstance(count, list) and len(count) == 1 else count
    if type(count) is not int or not 0 < count <= _MOST_TIMES:
        raise given.refuse("repeats", f"an integer up to {_MOST_TIMES}")
    given.take("repeats")
    return Repeat, {"axis": given.axis("axis"), "count": count}


def _tile(given: Arguments) -> Built:
    given.input("x")
    counts = given.values.get("repeats")
    listed = counts if isinstance(counts, list) else []
    fits = all(type(n) is int and 0 < n <= _MOST_TIMES for n in listed)
    axes = [i - len(listed) for i, n in enumerate(listed) if n != 1]
    if not listed or not fits or len(axes) > 1:
        raise given.refuse("repeats", f"integers up to {_MOST_TIMES}, of which one is not 1")
    given.take("repeats")
    axis = axes[0] if axes else -1
    return Repeat, {"axis": axis, "count": listed[axis], "whole": True}


def split(given: Arguments) -> Built:
    given.input("x")
    parts = given.take("indices_or_sections")
    found: dict[str, Any] = {"axis": given.axis("axis")}
    if isinstance(parts, list) and all(type(n) is int for n in parts):
        return Split, found | {"cuts": tuple(parts)}
    if type(parts) is not int:
        raise given.refuse("indices_or_sections", "an integer, or a list of such", parts)
    return Split, found | {"count": parts}


def _unstack(given: Arguments) -> Built:
    given.input("x")
    count = given.take("num")
    if count is not None and type(count) is not int:
        raise given.refuse("num", "an integer", count)
    return Split, {"axis": given.axis("axis"), "count": count, "unstacked": True}


def _accumulation(function: str) -> Function:
    def build(given: Arguments) -> Built:
        given.input("x")
        given.floating("dtype")
        return Accumulate, {"function": function, "axis": given.axis("axis")}

    return Function(("x", "axis", "dtype"), build)


def _place(function: str) -> Function:
    def build(given: Arguments) -> Built:
        given.input("x")
        given.take("dtype")  # of whole numbers, which float32 holds
        axes = (given.axis("axis"),)
        return Reduce, {"function": function, "axes": axes, "keepdims": given.flag("keepdims")}

    return Function(("x", "axis", "keepdims"), build)


def _sort(given: Arguments) -> Built:
    given.input("x")
    return Sort, {"axis": _last_or(given), "descending": _descending(given)}


def _argsort(given: Arguments) -> Built:
    given.input("x")
    given.flag("stable")  # it always is
    return ArgSort, {"axis": _last_or(given), "descending": _descending(given)}


def _last_or(given: Arguments) -> int:
    """Take one axis, the last one where a call says nothing; null is all of them in Keras 3."""
    return given.axis("axis") if "axis" in given.said else -1


def _descending(given: Arguments) -> bool:
    direction = given.take("direction", "ASCENDING")
    if direction not in ("ASCENDING", "DESCENDING"):
        raise given.refuse("direction", "'ASCENDING' or 'DESCENDING'", direction)
    return bool(direction == "DESCENDING")


def _top_k(given: Arguments) -> Built:
    given.input("x")
    count, ordered = given.take("k", 1), given.take("sorted", True)
    if type(count) is not int or count < 1:
        raise given.refuse("k", "a positive integer", count)
    if ordered is not True:
        raise given.refuse("sorted", "true: without, the order is not defined", ordered)
    given.take("index_type")  # of whole numbers, which float32 holds
    return Sort, {"axis": -1, "descending": True, "count": count}


def _diff(given: Arguments) -> Built:
    given.input("a")
    times = given.take("n", 1)
    if type(times) is not int:
        raise given.refuse("n", "an integer", times)
    return Difference, {"axis": _last_or(given), "times": times}


def _glu(given: Arguments) -> Built:
    given.input("x")
    return GLU, {"axis": _last_or(given)}


def _full_like(given: Arguments) -> Built:
    given.input("x")
    given.floating("dtype")
    value = given.operand("fill_value")
    return Elementwise, {"function": "where", "operands": (0, value, value)}


_LARGEST = float(np.finfo(np.float32).max)


def _nan_to_num(given: Arguments) -> Built:
    given.input("x")
    names = {"nan": 0.0, "posinf": _LARGEST, "neginf": -_LARGEST}
    numbers = [np.float32(given.number(name, default)) for name, default in names.items()]
    return Elementwise, {"function": "nan_to_num", "operands": (0, *numbers)}


def _roll(given: Arguments) -> Built:
    given.input("x")
    shift = given.values.get("shift")
    if type(shift) is not int or abs(shift) >= 2**31:
        raise given.refuse("shift", "an integer")
    given.take("shift")
    return Roll, {"axis": given.axis("axis"), "shift": shift}


def _take(given: Arguments) -> Built:
    given.input("x")
    numbers = constant_of(given.values.get("indices"))
    whole = numbers is not None and numbers.ndim < 2 and (numbers == np.trunc(numbers)).all()
    if not whole or not numbers.size:
        raise given.refuse("indices", "whole numbers, which are the same for each row")
    given.take("indices")
    shared = given.take("batch_dims", 0)
    if shared != 0:
        raise given.refuse("batch_dims", "0", shared)
    axis = given.axis("axis")
    if numbers.ndim:
        return Take, {"axis": axis, "places": tuple(int(n) for n in numbers)}
    own = [slice(None)] * (axis if axis >= 0 else -axis - 1)
    whole = (slice(None), *own, int(numbers)) if axis >= 0 else (..., int(numbers), *own)
    return Slice, {"whole": whole}


def _take_along(given: Arguments) -> Built:
    given.input("x")
    given.input("indices")
    return TakeAlong, {"axis": given.axis("axis")}


def _one_hot(given: Arguments) -> Built:
    given.input("x")
    count, axis = given.take("num_classes"), given.take("axis", -1)
    if type(count) is not int or not 0 < count <= _MOST_TIMES:
        raise given.refuse("num_classes", f"an integer up to {_MOST_TIMES}", count)
    if axis != -1:
        raise given.refuse("axis", "-1", axis)
    given.floating("dtype")
    return CategoryEncoding, {"num_tokens": count, "output_mode": "one_hot"}


def _norm(given: Arguments) -> Built:
    order = given.take("ord", "euclidean")
    if order not in (2, "euclidean", "fro"):
        raise given.refuse("ord", "that of Euclid", order)
    if order == 2 and isinstance(axis := given.values.get("axis"), list) and len(axis) > 1:
        raise given.refuse("axis", "one axis for a norm of order 2")
    return _reduction("norm").build(given)


def normalize(given: Arguments) -> Built:
    order, least = given.take("order", 2), given.number("epsilon", 1e-12)
    if order != 2:
        raise given.refuse("order", "2", order)
    given.input("x")
    axis = given.axes("axis") if "axis" in given.said else (-1,)
    if axis is None:
        raise given.refuse("axis", "axes: without, rows of a batch would be mixed")
    return UnitNormalization, {"axis": axis, "least_norm": least}


def _layer_norm(given: Arguments) -> Built:
    given.input("x")
    value = given.values.get("axis", -1)
    axes = given.axes("axis") if "axis" in given.said else (-1,)
    if not axes or min(axes) < 0 <= max(axes):
        raise given.refuse("axis", "axes of a row, all counted from the same end", value)
    options: dict[str, Any] = {
        "axis": tuple(sorted(axes)),
        "rms_scaling": given.flag("rms_scaling"),
    }
    options["epsilon"] = given.number("epsilon", 1e-7)
    for name in ("gamma", "beta"):
        options[name] = None
        if name not in given.values:
            continue
        numbers = constant_of(given.values[name])
        # Keras leaves those without an axis where they are, and they have others of the tensor.
        if numbers is None or numbers.ndim != len(axes):
            raise given.refuse(name, f"numbers, of {len(axes)} axes as those that are normalized")
        options[name] = numbers
        given.take(name)
    return LayerNormalization, options


_OPERANDS = tuple(f"operand {n + 1}" for n in range(8))
_MOST_NUMBERS = 2**24  # that a product of numbers of the file may have


def _multiplied(
    given: Arguments, terms: Sequence[str], names: Sequence[str], wanted: str
) -> tuple[str, Any]:
    """Return the product of several constants by Einstein's convention, and its axes."""
    arrays = [given.operand(name) for name in names]
    pairs = list(zip(terms, arrays, strict=True))
    fits = all(term.isalpha() and len(term) == array.ndim for term, array in pairs)
    lengths: dict[str, int] = {}
    for term, array in pairs:
        for letter, length in zip(term, array.shape, strict=False):
            fits &= lengths.setdefault(letter, length) == length
    if not fits or math.prod(lengths.values()) > _MOST_NUMBERS:
        expected = f"a letter for each axis of numbers, of which {_MOST_NUMBERS} are made at most"
        raise given.refuse("subscripts", expected, ",".join(terms))
    out = "".join(letter for letter in lengths if letter in wanted)
    found = np.einsum(f"{','.join(terms)}->{out}", *arrays, dtype=np.float64)
    return out, found.astype(np.float32)


def _einsum(given: Arguments) -> Built:
    equation = given.take("subscripts")
    if not isinstance(equation, str):
        raise given.refuse("subscripts", "an equation", equation)
    names = [name for name in _OPERANDS if name in given.values]
    constants = [n for n in names if constant_of(given.values[n]) is not None]
    tensors = [name for name in names if name not in constants]
    if not constants or not tensors:
        for name in names:
            given.input(name)
        return Einsum, {"whole": equation}
    inputs, _, out = equation.replace(" ", "").partition("->")
    terms = dict(zip(names, inputs.split(","), strict=False))
    for name in tensors:
        given.input(name)
    of_tensors = ",".join(terms.get(name, "") for name in tensors)
    if len(constants) == 1:
        term, numbers = terms.get(constants[0]), given.operand(constants[0])
    else:
        of_numbers = [terms.get(name, "") for name in constants]
        term, numbers = _multiplied(given, of_numbers, constants, f"{of_tensors}{out}")
    whole = f"{of_tensors},{term}->{out}"
    if len(tensors) == 1:
        return EinsumDense, {"whole": whole, "kernel": numbers}
    return Einsum, {"whole": whole, "factor": numbers}


def _is_nan(given: Arguments) -> Built:
    given.input("x")
    return Elementwise, {"function": "not_equal", "operands": (0, 0)}


def _joined(layer: type[Layer], **options: Any) -> Function:
    def build(given: Arguments) -> Built:
        given.inputs("xs")
        return layer, {"axis": given.axis("axis"), **options}

    return Function(("xs", "axis"), build)


def _matmul(given: Arguments) -> Built:
    sides = {key: given.flag(key) for key in ("transpose_a", "transpose_b")}
    of_tensors = [isinstance(given.values.get(key), Tensor) for key in ("x1", "x2")]
    if all(of_tensors):
        given.input("x1")
        given.input("x2")
        return MatMul, sides
    if of_tensors[0]:
        given.input("x1")
        kernel = given.matrix("x2", sides["transpose_b"])
        x, k, out = "...k", "kj", "...j"
        if sides["transpose_a"]:
            x, out = "...ki", "...ij"
    else:
        kernel = given.matrix("x1", sides["transpose_a"])
        given.input("x2")
        x, k, out = "...jk" if sides["transpose_b"] else "...kj", "ik", "...ij"
    if kernel.ndim == 1:  # it has no other axis than the one that is summed
        out = out.replace(k.replace("k", ""), "")
        k = "k"
    return EinsumDense, {"whole": f"{x},{k}->{out}", "kernel": kernel}


def _dot(given: Arguments) -> Built:
    """Multiply by numbers: the rows of two tensors would be mixed."""
    axes = given.take("axes", 1)
    if axes != 1:
        raise given.refuse("axes", "1", axes)
    given.input("x1")
    kernel = given.matrix("x2")
    whole = "...k,kj->...j" if kernel.ndim > 1 else "...k,k->..."
    return EinsumDense, {"whole": whole, "kernel": kernel}


def _cast(given: Arguments) -> Built:
    given.input("x")
    dtype = str(given.take("dtype"))
    if dtype == "float32":  # in which everything is computed: the same tensor
        return Identity, {}
    if dtype.startswith(FLOATS):
        return Elementwise, {"function": "identity", "operands": (0,)}
    if dtype.startswith(("int", "uint")):
        return Elementwise, {"function": "trunc", "operands": (0,)}
    if dtype == "bool":
        return Elementwise, {"function": "not_equal", "operands": (0, np.float32(0))}
    raise ModelFormatError(f"{given.where}: dtype: {show(dtype)} is not supported")


def _convert(given: Arguments) -> Built:
    given.values.setdefault("dtype", "float32")
    return _cast(given)


def _round(given: Arguments) -> Built:
    given.input("x")
    decimals = given.take("decimals", 0)
    if type(decimals) is not int or decimals:
        raise given.refuse("decimals", "0", decimals)
    return Elementwise, {"function": "round", "operands": (0,)}


def _prod(given: Arguments) -> Built:
    given.floating("dtype")
    return _reduction("prod").build(given)


def _get_item(given: Arguments) -> Built:
    given.input("x")
    if "key" not in given.values:
        given.values["key"] = None
    key = given.take("key")
    parts = key if isinstance(key, list) else [key]
    return Slice, {"whole": tuple(_index(part, given) for part in parts)}


def _index(part: Any, given: Arguments) -> Any:
    """Return an index, a slice, None or ... out of what stands for it."""
    if part is None or type(part) is int:
        return part
    if isinstance(part, dict):
        config = part.get("config", part)
        if part.get("class_name") == "__ellipsis__":
            return ...
        if isinstance(config, dict) and "start" in config:
            ends = [config.get(name) for name in ("start", "stop", "step")]
            if all(n is None or type(n) is int for n in ends):
                return slice(*ends)
    raise ModelFormatError(f"{given.where}: key: {show(part)} is not supported")


# Keras 3's classes.
KERAS: dict[str, Function] = {
    **{
        name: elementwise(function, "x1", "x2")
        for name, function in {
            "Add": "add",
            "Subtract": "subtract",
            "Multiply": "multiply",
            "Divide": "divide",
            "TrueDivide": "divide",
            "FloorDivide": "floor_divide",
            "Mod": "mod",
            "Power": "power",
            "Maximum": "maximum",
            "Minimum": "minimum",
            "Equal": "equal",
            "NotEqual": "not_equal",
            "Greater": "greater",
            "GreaterEqual": "greater_equal",
            "Less": "less",
            "LessEqual": "less_equal",
            "LogicalAnd": "logical_and",
            "LogicalOr": "logical_or",
            "LogicalXor": "logical_xor",
            "Arctan2": "arctan2",
            "DivideNoNan": "divide_no_nan",
            "Logaddexp": "logaddexp",
            "Hypot": "hypot",
        }.items()
    },
    **{
        name: elementwise(function, "x")
        for name, function in {
            "Negative": "negative",
            "Absolute": "absolute",
            "Abs": "absolute",
            "Sign": "sign",
            "Exp": "exp",
            "Expm1": "expm1",
            "Log": "log",
            "Log1p": "log1p",
            "Log2": "log2",
            "Log10": "log10",
            "Exp2": "exp2",
            "Sqrt": "sqrt",
            "Rsqrt": "rsqrt",
            "Square": "square",
            "Reciprocal": "reciprocal",
            "Sin": "sin",
            "Cos": "cos",
            "Tan": "tan",
            "Arcsin": "arcsin",
            "Arccos": "arccos",
            "Arctan": "arctan",
            "Sinh": "sinh",
            "Cosh": "cosh",
            "Arcsinh": "arcsinh",
            "Arccosh": "arccosh",
            "Arctanh": "arctanh",
            "Floor": "floor",
            "Ceil": "ceil",
            "Trunc": "trunc",
            "Identity": "identity",
            "StopGradient": "identity",
            "Copy": "identity",
            "LogicalNot": "logical_not",
            "Isfinite": "isfinite",
            "Isinf": "isinf",
            "ZerosLike": "zeros",
            "OnesLike": "ones",
        }.items()
    },
    "Clip": elementwise("clip", "x", "x_min", "x_max"),
    "Where": elementwise("where", "condition", "x1", "x2"),
    **{
        name: _reduction(function)
        for name, function in {
            "Mean": "mean",
            "Sum": "sum",
            "Max": "max",
            "Min": "min",
            "Amax": "max",
            "Amin": "min",
            "Any": "any",
            "All": "all",
            "Var": "var",
            "Std": "std",
            "Logsumexp": "logsumexp",
            "CountNonzero": "count_nonzero",
            "Median": "middle",
        }.items()
    },
    "Norm": Function(("x", "ord", "axis", "keepdims"), _norm),
    "Normalize": Function(("x", "axis", "order", "epsilon"), normalize),
    "LayerNorm": Function(("x", "gamma", "beta", "axis", "epsilon", "rms_scaling"), _layer_norm),
    "Sort": Function(("x", "axis", "direction"), _sort),
    "Argsort": Function(("x", "axis", "direction", "stable"), _argsort),
    "TopK": Function(("x", "k", "sorted", "index_type"), _top_k),
    "Diff": Function(("a", "n", "axis"), _diff),
    "FullLike": Function(("x", "fill_value", "dtype"), _full_like),
    "NanToNum": Function(("x", "nan", "posinf", "neginf"), _nan_to_num),
    "Glu": Function(("x", "axis"), _glu),
    "Roll": Function(("x", "shift", "axis"), _roll),
    "Take": Function(("x", "indices", "axis"), _take),
    "TakeAlongAxis": Function(("x", "indices", "axis"), _take_along),
    "OneHot": Function(("x", "num_classes", "axis", "dtype"), _one_hot),
    "Average": Function(("x", "axis", "weights"), _average),
    "Argmax": _place("argmax"),
    "Argmin": _place("argmin"),
    "Cumsum": _accumulation("sum"),
    "Cumprod": _accumulation("prod"),
    "Isnan": Function(("x",), _is_nan),
    "Prod": Function(("x", "axis", "keepdims", "dtype"), _prod),
    **{
        name: _activation(function)
        for name, function in {
            "Tanh": "tanh",
            "Sigmoid": "sigmoid",
            "Relu": "relu",
            "Relu6": "relu6",
            "Silu": "silu",
            "HardSigmoid": "hard_sigmoid",
            "HardSilu": "hard_silu",
            "HardTanh": "hard_tanh",
            "Softplus": "softplus",
            "Softsign": "softsign",
            "Selu": "selu",
            "LogSigmoid": "log_sigmoid",
            "Mish": "mish",
            "TanhShrink": "tanh_shrink",
            "SparsePlus": "sparse_plus",
            "SparseSigmoid": "sparse_sigmoid",
        }.items()
    },
    "Elu": _activation("elu", ("alpha", 1.0)),
    "Celu": _activation("celu", ("alpha", 1.0)),
    "Squareplus": _activation("squareplus", ("b", 4.0)),
    "SoftShrink": _activation("soft_shrink", ("threshold", 0.5)),
    "HardShrink": _activation("hard_shrink", ("threshold", 0.5)),
    "Threshold": _activation("threshold", ("threshold", 0.0), ("default_value", 0.0)),
    "LeakyRelu": _activation("leaky_relu", ("negative_slope", 0.2)),
    "Gelu": gelu(True),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Reshape": Function(("x", "newshape"), _reshape),
    "Transpose": Function(("x", "axes"), _transpose),
    "Swapaxes": Function(("x", "axis1", "axis2"), _swapaxes),
    "Moveaxis": Function(("x", "source", "destination"), _moveaxis),
    "Pad": Function(("x", "pad_width", "mode", "constant_values"), _pad),
    "Repeat": Function(("x", "repeats", "axis"), _repeat),
    "Tile": Function(("x", "repeats"), _tile),
    "Split": Function(("x", "indices_or_sections", "axis"), split),
    "Unstack": Function(("x", "num", "axis"), _unstack),
    "Einsum": Function(_OPERANDS, _einsum),
    "Squeeze": Function(("x", "axis"), _squeeze),
    "ExpandDims": Function(("x", "axis"), _expand_dims),
    "Flip": Function(("x", "axis"), _flip),
    "Concatenate": _joined(Concatenate, masks="none"),
    "Stack": _joined(Stack),
    "Matmul": Function(("x1", "x2"), _matmul),
    "Dot": Function(("x1", "x2"), _dot),
    "Tensordot": Function(("x1", "x2", "axes"), _dot),
    "Cast": Function(("x", "dtype"), _cast),
    "ConvertToTensor": Function(("x", "dtype"), _convert),
    "Round": Function(("x", "decimals"), _round),
    "GetItem": Function(("x", "key"), _get_item),
    "ReLU": Function(("x", "negative_slope", "max_value", "threshold"), _relu),
}

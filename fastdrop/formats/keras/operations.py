"""Functions of tensors that a functional model holds where layers stand.

Keras 3 saves a call of ``keras.ops`` as a class of that name, TensorFlow's Keras 2 one of
TensorFlow's functions as TFOpLambda, and a slice as SlicingOpLambda. Each is a row of a table: the
names of the arguments, and what becomes of them. Axes count the batch, which no function may touch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats.keras._records import Node, Record
from fastdrop.formats.keras._rows import Planned, Planning, Row, Tensor
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
    MatMul,
    Merge,
    Pad,
    Reduce,
    Repeat,
    Reshape,
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
from fastdrop.layers._layer import Shape


class Arguments:
    """The arguments of one call, by name; what nobody asks for is refused."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values: dict[str, Any] = {k: v for k, v in values.items() if v is not None}
        self.said = {*values}  # also what is said to be none
        self.where = where
        self.tensors: list[Tensor] = []

    def refuse(self, name: str, expected: str, taken: Any = None) -> ModelFormatError:
        """Return the error about an argument; `taken` is its value if it has been taken out."""
        found = show(self.values.get(name, taken))
        return ModelFormatError(f"{self.where}: {name}: expected {expected}, found {found}")

    def take(self, name: str, default: Any = None) -> Any:
        return self.values.pop(name, default)

    def input(self, name: str) -> None:
        """Take a tensor as the next input."""
        value = self.values.get(name)
        if not isinstance(value, Tensor):
            raise self.refuse(name, "a tensor")
        self.tensors.append(self.take(name))

    def inputs(self, name: str) -> None:
        """Take a list of tensors as inputs."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(v, Tensor) for v in value):
            raise self.refuse(name, "tensors")
        self.tensors += self.take(name)

    def operand(self, name: str) -> Any:
        """Take a tensor as an input and return its number, or return a constant."""
        value = self.values.get(name)
        if isinstance(value, Tensor):
            self.take(name)
            if value not in self.tensors:
                self.tensors.append(value)
            return self.tensors.index(value)
        constant = _constant(value)
        if constant is None:
            raise self.refuse(name, "a tensor or numbers")
        self.take(name)
        return constant

    def matrix(self, name: str, transposed: bool = False) -> Any:
        """Take constants along one axis or two."""
        constant = _constant(self.values.get(name))
        if constant is None or constant.ndim not in (1, 2):
            raise self.refuse(name, "a tensor, or numbers along one axis or two")
        self.take(name)
        return constant.T if transposed else constant

    def axes(self, name: str) -> tuple[int, ...] | None:
        """Take axes that count the batch, and return those of a row; None for all."""
        value = self.values.get(name)
        if value is None:
            return None
        listed = value if isinstance(value, list) else [value]
        if not all(type(n) is int for n in listed):
            raise self.refuse(name, "whole numbers")
        if 0 in listed:
            raise self.refuse(name, "no axis 0, which is that of the batch")
        self.take(name)
        return tuple(n - 1 if n > 0 else n for n in listed)

    def axis(self, name: str) -> int:
        """Take one axis."""
        value = self.values.get(name)
        axes = self.axes(name)
        if axes is None or len(axes) != 1:
            raise self.refuse(name, "one axis", value)
        return axes[0]

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false", value)
        return value

    def number(self, name: str, default: float) -> float:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 2**128:
            raise self.refuse(name, "a number", value)
        return float(value)

    def floating(self, name: str) -> None:
        """Take a type, which must be a floating-point one; none is as good."""
        dtype = self.take(name, "float32")
        if not str(dtype).startswith(_FLOATS):
            raise self.refuse(name, "a floating-point type", dtype)

    def finish(self) -> None:
        for name, value in self.values.items():
            if value is not False:
                raise ModelFormatError(
                    f"{self.where}: unsupported argument {show(name)}: {show(value)}"
                )


def _constant(value: Any) -> Any:
    """Return a constant as an array; None if it is none."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else None
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return None
    if array.dtype.kind not in "bif" or array.ndim > 8:
        return None
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


Built = tuple[type[Layer], dict[str, Any]]
_FLOATS = ("float", "bfloat")


@dataclass(frozen=True)
class Function:
    """A function: its arguments by position, and what becomes of them."""

    arguments: tuple[str, ...]
    build: Callable[[Arguments], Built]


def _elementwise(function: str, *names: str) -> Function:
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


def _gelu(default: bool) -> Function:
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


def _slice(given: Arguments) -> Built:
    given.input("x")
    begin, size = (_integers(given, name) for name in ("begin", "size"))
    fits = len(begin) == len(size) and begin[:1] == [0] and size[:1] == [-1]
    if not fits or min(begin) < 0 or min(size) < -1:
        raise given.refuse("size", "-1 for the batch, all of which is taken", size)
    pairs = zip(begin, size, strict=True)
    return Slice, {"whole": tuple(slice(at or None, None if n < 0 else at + n) for at, n in pairs)}


def _integers(given: Arguments, name: str) -> list[int]:
    value = given.take(name)
    if not isinstance(value, list) or not all(type(n) is int for n in value):
        raise given.refuse(name, "a list of integers", value)
    return value


def _add_all(given: Arguments) -> Built:
    given.inputs("xs")
    return Merge, {"function": "add"}


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
    weights = _constant(found)
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


def _split(given: Arguments) -> Built:
    given.input("x")
    parts = given.take("indices_or_sections")
    found: dict[str, Any] = {"axis": given.axis("axis")}
    if isinstance(parts, list) and all(type(n) is int for n in parts):
        return Split, found | {"cuts": tuple(parts)}
    if type(parts) is not int:
        raise given.refuse("indices_or_sections", "an integer, or a list of such", parts)
    return Split, found | {"count": parts}


def _split_by_lengths(given: Arguments) -> Built:
    parts = given.values.get("indices_or_sections")
    if not isinstance(parts, list):
        return _split(given)
    given.input("x")
    if not all(type(n) is int and n >= 0 for n in parts):
        raise given.refuse("indices_or_sections", "an integer, or lengths of all parts")
    given.take("indices_or_sections")
    return Split, {"axis": given.axis("axis"), "lengths": parts}


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
    if type(shift) is not int:
        raise given.refuse("shift", "an integer")
    given.take("shift")
    return Take, {"axis": given.axis("axis"), "shift": shift}


def _take(given: Arguments) -> Built:
    given.input("x")
    numbers = _constant(given.values.get("indices"))
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


def _normalize(given: Arguments) -> Built:
    order, least = given.take("order", 2), given.number("epsilon", 1e-12)
    if order != 2:
        raise given.refuse("order", "2", order)
    given.input("x")
    axis = given.axes("axis") if "axis" in given.said else (-1,)
    if axis is None:
        raise given.refuse("axis", "axes: without, rows of a batch would be mixed")
    return UnitNormalization, {"axis": axis, "least_norm": least}


def _unit(given: Arguments) -> Built:
    # What stands under the root is at least that.
    given.values["epsilon"] = math.sqrt(given.number("epsilon", 1e-12))
    return _normalize(given)


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
    constants = [n for n in names if _constant(given.values[n]) is not None]
    if constants and len(names) == len(constants) + 1:
        inputs, _, out = equation.replace(" ", "").partition("->")
        terms = dict(zip(names, inputs.split(","), strict=False))
        (x,) = (n for n in names if n not in constants)
        given.input(x)
        if len(constants) == 1:
            term, kernel = terms.get(constants[0]), given.operand(constants[0])
        else:
            term, kernel = _multiplied(
                given, [terms.get(n, "") for n in constants], constants, f"{terms.get(x)}{out}"
            )
        return EinsumDense, {"whole": f"{terms.get(x)},{term}->{out}", "kernel": kernel}
    for name in names:
        given.input(name)
    return Einsum, {"whole": equation}


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
    if dtype.startswith(_FLOATS):
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
        name: _elementwise(function, "x1", "x2")
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
        name: _elementwise(function, "x")
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
    "Clip": _elementwise("clip", "x", "x_min", "x_max"),
    "Where": _elementwise("where", "condition", "x1", "x2"),
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
    "Normalize": Function(("x", "axis", "order", "epsilon"), _normalize),
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
    "Gelu": _gelu(True),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Reshape": Function(("x", "newshape"), _reshape),
    "Transpose": Function(("x", "axes"), _transpose),
    "Swapaxes": Function(("x", "axis1", "axis2"), _swapaxes),
    "Moveaxis": Function(("x", "source", "destination"), _moveaxis),
    "Pad": Function(("x", "pad_width", "mode", "constant_values"), _pad),
    "Repeat": Function(("x", "repeats", "axis"), _repeat),
    "Tile": Function(("x", "repeats"), _tile),
    "Split": Function(("x", "indices_or_sections", "axis"), _split),
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
}


def _relu(given: Arguments) -> Built:
    given.input("x")
    slope = given.number("negative_slope", 0.0)
    highest = given.values.pop("max_value", None)
    threshold = given.number("threshold", 0.0)
    return Activation, {"activation": ("relu", slope, highest, threshold)}


KERAS["ReLU"] = Function(("x", "negative_slope", "max_value", "threshold"), _relu)

# TensorFlow's functions: the class above that does the same, and their own names of its arguments.
_TWO = {"x": "x1", "y": "x2"}
_REDUCE = {"input_tensor": "x", "axis": "axis", "keepdims": "keepdims"}
_SAME = {"x": "x", "features": "x", "logits": "x", "input": "x"}
TENSORFLOW: dict[str, tuple[str, dict[str, str]]] = {
    **{
        f"{module}.{function}": (name, _TWO)
        for function, name in {
            "add": "Add",
            "subtract": "Subtract",
            "sub": "Subtract",
            "multiply": "Multiply",
            "mul": "Multiply",
            "truediv": "TrueDivide",
            "divide": "TrueDivide",
            "div": "TrueDivide",
            "floordiv": "FloorDivide",
            "pow": "Power",
            "maximum": "Maximum",
            "minimum": "Minimum",
            "equal": "Equal",
            "not_equal": "NotEqual",
            "ne": "NotEqual",
            "greater": "Greater",
            "gt": "Greater",
            "greater_equal": "GreaterEqual",
            "ge": "GreaterEqual",
            "less": "Less",
            "lt": "Less",
            "less_equal": "LessEqual",
            "le": "LessEqual",
            "logical_and": "LogicalAnd",
            "logical_or": "LogicalOr",
        }.items()
        for module in ("math", "__operators__")
    },
    **{
        f"math.{function}": (name, _SAME)
        for function, name in {
            "negative": "Negative",
            "abs": "Absolute",
            "exp": "Exp",
            "log": "Log",
            "log1p": "Log1p",
            "sqrt": "Sqrt",
            "rsqrt": "Rsqrt",
            "square": "Square",
            "reciprocal": "Reciprocal",
            "sign": "Sign",
            "round": "Round",
            "floor": "Floor",
            "ceil": "Ceil",
            "expm1": "Expm1",
            "is_finite": "Isfinite",
            "is_inf": "Isinf",
            "sin": "Sin",
            "cos": "Cos",
            "tan": "Tan",
            "asin": "Arcsin",
            "acos": "Arccos",
            "atan": "Arctan",
            "sinh": "Sinh",
            "cosh": "Cosh",
            "asinh": "Arcsinh",
            "acosh": "Arccosh",
            "atanh": "Arctanh",
            "is_nan": "Isnan",
            "tanh": "Tanh",
            "sigmoid": "Sigmoid",
            "softplus": "Softplus",
            "logical_not": "LogicalNot",
        }.items()
    },
    **{
        f"nn.{function}": (name, _SAME)
        for function, name in {
            "relu": "Relu",
            "relu6": "Relu6",
            "elu": "Elu",
            "selu": "Selu",
            "silu": "Silu",
            "swish": "Silu",
            "softsign": "Softsign",
            "softplus": "Softplus",
            "sigmoid": "Sigmoid",
            "tanh": "Tanh",
        }.items()
    },
    "__operators__.neg": ("Negative", _SAME),
    "__operators__.abs": ("Absolute", _SAME),
    "nn.leaky_relu": ("LeakyRelu", _SAME | {"alpha": "negative_slope"}),
    "nn.softmax": ("Softmax", _SAME | {"axis": "axis"}),
    "nn.log_softmax": ("LogSoftmax", _SAME | {"axis": "axis"}),
    "zeros_like": ("ZerosLike", _SAME),
    "ones_like": ("OnesLike", _SAME),
    "identity": ("Identity", _SAME),
    "stop_gradient": ("Identity", _SAME),
    "cast": ("Cast", {"x": "x", "dtype": "dtype"}),
    "clip_by_value": ("Clip", {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "where": ("Where", {"condition": "condition", "x": "x1", "y": "x2"}),
    "expand_dims": ("ExpandDims", {"input": "x", "axis": "axis"}),
    "reshape": ("Reshape", {"tensor": "x", "shape": "newshape"}),
    "squeeze": ("Squeeze", {"input": "x", "axis": "axis"}),
    "compat.v1.squeeze": ("Squeeze", {"input": "x", "axis": "axis"}),
    "transpose": ("Transpose", {"a": "x", "perm": "axes"}),
    "compat.v1.transpose": ("Transpose", {"a": "x", "perm": "axes", "conjugate": "conjugate"}),
    "linalg.matmul": (
        "Matmul",
        {"a": "x1", "b": "x2", "transpose_a": "transpose_a", "transpose_b": "transpose_b"},
    ),
    "tensordot": ("Tensordot", {"a": "x1", "b": "x2", "axes": "axes"}),
    "reverse": ("Flip", {"tensor": "x", "axis": "axis"}),
    "concat": ("Concatenate", {"values": "xs", "axis": "axis"}),
    "stack": ("Stack", {"values": "xs", "axis": "axis"}),
    **{
        f"math.reduce_{function}": (name, _REDUCE)
        for function, name in {
            "mean": "Mean",
            "sum": "Sum",
            "max": "Max",
            "min": "Min",
            "prod": "Prod",
            "any": "Any",
            "all": "All",
            "variance": "Var",
            "std": "Std",
            "logsumexp": "Logsumexp",
        }.items()
    },
    "math.count_nonzero": ("CountNonzero", {"input": "x", "axis": "axis", "keepdims": "keepdims"}),
    "math.floormod": ("Mod", _TWO),
    "compat.v1.floor_div": ("FloorDivide", _TWO),
    "math.squared_difference": ("SquaredDifference", _TWO),
    "math.divide_no_nan": ("DivideNoNan", _TWO),
    "math.l2_normalize": ("UnitOfTensorFlow", {"x": "x", "axis": "axis", "epsilon": "epsilon"}),
    "compat.v1.norm": (
        "Norm",
        {"tensor": "x", "ord": "ord", "axis": "axis", "keepdims": "keepdims"},
    ),
    "one_hot": ("OneHot", {"indices": "x", "depth": "num_classes", "axis": "axis"}),
    "compat.v1.gather": (
        "Take",
        {"params": "x", "indices": "indices", "axis": "axis", "batch_dims": "batch_dims"},
    ),
    "sort": ("Sort", {"values": "x", "axis": "axis", "direction": "direction"}),
    "argsort": (
        "Argsort",
        {"values": "x", "axis": "axis", "direction": "direction", "stable": "stable"},
    ),
    "math.top_k": (
        "TopK",
        {"input": "x", "k": "k", "sorted": "sorted", "index_type": "index_type"},
    ),
    "slice": ("SliceOfTensorFlow", {"input_": "x", "begin": "begin", "size": "size"}),
    "math.add_n": ("AddOfTensorFlow", {"inputs": "xs"}),
    "nn.bias_add": ("Add", {"value": "x1", "bias": "x2"}),
    "roll": ("Roll", {"input": "x", "shift": "shift", "axis": "axis"}),
    "math.argmax": ("Argmax", {"input": "x", "axis": "axis", "output_type": "dtype"}),
    "math.argmin": ("Argmin", {"input": "x", "axis": "axis", "output_type": "dtype"}),
    "math.cumsum": ("Cumsum", {"x": "x", "axis": "axis"}),
    "math.cumprod": ("Cumprod", {"x": "x", "axis": "axis"}),
    "math.atan2": ("Arctan2", {"y": "x1", "x": "x2"}),
    "compat.v1.pad": (
        "Pad",
        {
            "tensor": "x",
            "paddings": "pad_width",
            "mode": "mode",
            "constant_values": "constant_values",
        },
    ),
    "repeat": ("Repeat", {"input": "x", "repeats": "repeats", "axis": "axis"}),
    "tile": ("Tile", {"input": "x", "multiples": "repeats"}),
    "split": (
        "SplitOfTensorFlow",
        {"value": "x", "num_or_size_splits": "indices_or_sections", "axis": "axis"},
    ),
    "unstack": ("Unstack", {"value": "x", "num": "num", "axis": "axis"}),
}
TENSORFLOW["nn.gelu"] = ("GeluOfTensorFlow", _SAME | {"approximate": "approximate"})
_TF_ONLY = {
    "SquaredDifference": _elementwise("squared_difference", "x1", "x2"),
    "SliceOfTensorFlow": Function(("x", "begin", "size"), _slice),
    "AddOfTensorFlow": Function(("xs",), _add_all),
    "UnitOfTensorFlow": Function(("x", "axis", "epsilon"), _unit),
    "GeluOfTensorFlow": _gelu(False),
    "SplitOfTensorFlow": Function(("x", "indices_or_sections", "axis"), _split_by_lengths),
}


def _called(function: Function, given: Arguments) -> tuple[list[Tensor], dict[str, Any]]:
    layer, options = function.build(given)
    given.finish()
    return given.tensors, {"layer": layer, **options}


def _of_keras(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take apart a call of a function of Keras 3, whose options are in the configuration."""
    function = KERAS[record.class_name]
    if len(node.args) > len(function.arguments):
        raise ModelFormatError(f"{record.where}: expected at most {len(function.arguments)} inputs")
    values = dict(zip(function.arguments, node.args, strict=False)) | node.kwargs
    unused = {"name", "trainable", "dtype"} - set(function.arguments)
    options = {k: v for k, v in record.config.values.items() if k not in unused}
    return _called(function, Arguments(options | values, record.where))


def _of_tensorflow(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take apart a call of a function of TensorFlow, whose options are keywords."""
    name = record.config.string("function")
    if name == "einsum":
        raise ModelFormatError(
            f"{record.where}: 'einsum' is saved without its tensors, so Keras itself cannot read "
            "the file; build the model with tf.matmul, or with layers, and give it the weights"
        )
    if name not in TENSORFLOW:
        raise ModelFormatError(f"{record.where}: the function {show(name)} is not supported")
    class_name, names = TENSORFLOW[name]
    function = _TF_ONLY.get(class_name) or KERAS[class_name]
    first = node.args
    if class_name in ("Concatenate", "Stack", "AddOfTensorFlow"):
        listed = bool(node.args) and isinstance(node.args[0], list)
        first = [node.args[0] if listed else node.args]
    values = dict(zip(names, first, strict=False)) | node.kwargs
    values.pop("name", None)
    for key, value in values.items():
        if key not in names and value is not None and value is not False:
            raise ModelFormatError(
                f"{record.where}: unsupported argument {show(key)}: {show(value)} of its call"
            )
    given = {names[k]: v for k, v in values.items() if k in names and v is not None}
    if class_name in ("Concatenate", "Stack") and "axis" not in given:
        given["axis"] = 0
    return _called(function, Arguments(given, record.where))


def _of_slice(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    values = {"x": node.args[0] if node.args else None, "key": node.kwargs.get("slice_spec")}
    return _called(KERAS["GetItem"], Arguments(values, record.where))


class OperationRow(Row):
    """A function: which layer it is, and its options, are known from the call."""

    @property
    def per_call(self) -> bool:
        return True

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        if inputs is None or "layer" not in more:
            return None
        options = dict(more)
        layer: type[Layer] = options.pop("layer")
        made = layer.declare(inputs, name=record.name, **options)
        # What is filled has the type of its input, if the call names none.
        own = record.class_name == "FullLike" and record.config.values.get("dtype") is None
        rounds = own and not all((o == np.trunc(o)).all() for o in options["operands"][1:])
        return Planned(made, groups={"vars": record.name}, rounds=rounds)


ROWS = tuple(OperationRow(name, Layer, call=_of_keras) for name in KERAS)
# They stand among the layers.
LAMBDAS = (
    OperationRow("TFOpLambda", Layer, call=_of_tensorflow),
    OperationRow("SlicingOpLambda", Layer, call=_of_slice),
)

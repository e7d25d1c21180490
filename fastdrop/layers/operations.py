"""Functions of tensors, as layers: arithmetic, reductions, slices and changes of shape.

Axes are those of a row: the first one after the batch is 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, feedforward
from fastdrop.layers._equations import check_equation, terms_of_rows
from fastdrop.layers._layer import (
    Array,
    Draw,
    Flow,
    Layer,
    Shape,
    Single,
    Weight,
    for_samples,
    kept,
)

# ---- elementwise ----


def _truth(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that says 1 for true and 0 for false."""
    return lambda *values: function(*values).astype(np.float32)


def _logical(function: Callable[..., Any]) -> Callable[..., Any]:
    return _truth(lambda *values: function(*(value != 0 for value in values)))


_ZERO, _ONE = np.float32(0), np.float32(1)
_COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")

# What can be computed of single numbers: how many it takes, and how.
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "add": (2, np.add),
    "subtract": (2, np.subtract),
    "multiply": (2, np.multiply),
    "divide": (2, np.true_divide),
    "floor_divide": (2, np.floor_divide),
    "mod": (2, np.mod),
    "power": (2, np.power),
    "maximum": (2, np.maximum),
    "minimum": (2, np.minimum),
    "negative": (1, np.negative),
    "absolute": (1, np.abs),
    "sign": (1, np.sign),
    "exp": (1, np.exp),
    "expm1": (1, np.expm1),
    "log": (1, np.log),
    "log1p": (1, np.log1p),
    "log2": (1, np.log2),
    "log10": (1, np.log10),
    "exp2": (1, np.exp2),
    "sqrt": (1, np.sqrt),
    "rsqrt": (1, lambda x: _ONE / np.sqrt(x)),
    "square": (1, np.square),
    "reciprocal": (1, lambda x: _ONE / x),
    "sin": (1, np.sin),
    "cos": (1, np.cos),
    "tan": (1, np.tan),
    "arcsin": (1, np.arcsin),
    "arccos": (1, np.arccos),
    "arctan": (1, np.arctan),
    "arctan2": (2, np.arctan2),
    "sinh": (1, np.sinh),
    "cosh": (1, np.cosh),
    "arcsinh": (1, np.arcsinh),
    "arccosh": (1, np.arccosh),
    "arctanh": (1, np.arctanh),
    "floor": (1, np.floor),
    "ceil": (1, np.ceil),
    "round": (1, np.rint),
    "trunc": (1, np.trunc),
    "identity": (1, np.positive),
    "zeros": (1, np.zeros_like),
    "ones": (1, np.ones_like),
    "clip": (3, lambda x, low, high: np.minimum(np.maximum(x, low), high)),
    "where": (3, lambda condition, x, y: np.where(condition != 0, x, y)),
    "equal": (2, _truth(np.equal)),
    "not_equal": (2, _truth(np.not_equal)),
    "greater": (2, _truth(np.greater)),
    "greater_equal": (2, _truth(np.greater_equal)),
    "less": (2, _truth(np.less)),
    "less_equal": (2, _truth(np.less_equal)),
    "logical_and": (2, _logical(np.logical_and)),
    "logical_or": (2, _logical(np.logical_or)),
    "logical_xor": (2, _logical(np.logical_xor)),
    "logical_not": (1, _logical(np.logical_not)),
    "isfinite": (1, _truth(np.isfinite)),
    "isinf": (1, _truth(np.isinf)),
    "squared_difference": (2, lambda x, y: np.square(x - y)),
    "divide_no_nan": (2, lambda x, y: np.where(y == 0, _ZERO, np.true_divide(x, y))),
    "logaddexp": (2, np.logaddexp),
    "hypot": (2, np.hypot),
    # The first as it is, where the second is of a size below the third, a power of 2.
    "whole": (3, lambda x, size, most: x),
    # What stands for NaN, for infinity and for the negative one.
    "nan_to_num": (
        4,
        lambda x, nan, high, low: np.where(
            np.isnan(x), nan, np.where(x == np.inf, high, np.where(x == -np.inf, low, x))
        ),
    ),
}


# What means nothing of whole numbers that have been rounded.
_OF_WHOLE = frozenset(("floor_divide", "mod"))
# Below it float32 holds all whole numbers.
MOST_WHOLE = 2.0**24


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Elementwise(Layer):
    """Compute a function of single numbers, of tensors and constants.

    `operands` are the function's arguments in their order: the number of an input, or an array
    (float32) that broadcasts to a row. Inputs have equally many axes, of equal lengths or 1.
    """

    function: str
    operands: tuple[int | Array, ...] = (0,)

    @classmethod
    def declare(cls, inputs: Sequence[Shape], *, name: str, **options: Any) -> Self:
        """Take constants with an axis of length 1 for the batch, too."""
        rank = len(inputs[0]) + 1
        operands = [
            o[0] if not isinstance(o, int) and np.ndim(o) == rank and len(o) == 1 else o
            for o in options.pop("operands")
        ]
        return cls(name=name, operands=tuple(operands), **options)

    def __post_init__(self) -> None:
        _check.choice(self.function, f"{self.label} function", tuple(FUNCTIONS))
        count, _ = FUNCTIONS[self.function]
        if len(self.operands) != count:
            _check.refuse(
                ValueError, f"{self.label} operands", f"{count} of them", len(self.operands)
            )
        prepared = tuple(
            o if isinstance(o, int) else kept(np.asarray(o, np.float32)) for o in self.operands
        )
        self.prepare(operands=prepared)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shapes = []
        for operand in self.operands:
            if not isinstance(operand, int):
                shapes.append(operand.shape)
            elif operand >= len(inputs):
                raise ValueError(f"{self.label}: expected {operand + 1} inputs, got {len(inputs)}")
            else:
                shapes.append(inputs[operand])
        if len({len(shape) for shape in inputs}) > 1:
            raise ValueError(f"{self.label}: expected inputs of equally many axes, got {inputs}")
        rank = len(inputs[0])
        if any(len(shape) > rank for shape in shapes):
            raise ValueError(f"{self.label}: a constant has more axes than a row, {shapes}")
        return [broadcast(self.label, [(1,) * (rank - len(s)) + s for s in shapes])]

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        if self.function in ("not_equal", "equal", "greater", "less", "zeros", "ones"):
            constants = [o if isinstance(o, int) else o.tobytes() for o in self.operands]
            if self.function == "not_equal" and len(tensors) == 1:
                constant = self.operands[1]
                if not isinstance(constant, int) and constant.size == 1:
                    return ("not equal", tensors[0], float(constant.item()))
            return (self.function, *tensors, *constants)
        if self.function.startswith("logical") or self.function in _COMPARISONS:
            return (self.function, *values) if None not in values else ("made by", self.name)
        if self.function in ("identity", "whole"):
            return values[0]
        return (self.function, *values) if None not in values else None

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        constants = [o for o in self.operands if not isinstance(o, int)]
        return all(o.ndim < len(inputs[0]) or o.shape[0] == 1 for o in constants)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        _, compute = FUNCTIONS[self.function]
        values = [inputs[o].values if isinstance(o, int) else o for o in self.operands]
        if self.function in _OF_WHOLE:
            number = np.abs(values[0])
            if ((number >= MOST_WHOLE) & (number < np.inf)).any():
                largest = number[number < np.inf].max()
                raise ValueError(
                    f"{self.label}: expected numbers below 2**24, up to which float32 holds all "
                    f"whole ones, for {self.function}, got {largest:.9g}"
                )
        if self.function == "whole":
            self._check_whole(*values[1:])
        with np.errstate(all="ignore"):
            return [Flow(np.asarray(compute(*values), np.float32))]

    def _check_whole(self, sizes: Array, most: Array) -> None:
        """Refuse whole numbers that came out so large that they may have been rounded."""
        beyond = np.abs(sizes) >= most
        if beyond.any():
            largest = np.abs(sizes)[beyond].max()
            why = ", up to which float32 holds all" if np.max(most) == MOST_WHOLE else ""
            raise ValueError(
                f"{self.label}: expected whole numbers below 2**{round(math.log2(np.max(most)))}"
                f" here and on the way{why}, got {largest:.9g}"
            )


def broadcast(label: str, shapes: Sequence[Shape]) -> Shape:
    """Return the shape to which shapes of as many axes broadcast."""
    found: list[int | None] = []
    for lengths in zip(*shapes, strict=True):
        fixed = {n for n in lengths if n not in (1, None)}
        if len(fixed) > 1:
            raise ValueError(f"{label}: expected shapes that broadcast, got {list(shapes)}")
        found.append(fixed.pop() if fixed else None if None in lengths else 1)
    return tuple(found)


# ---- reductions ----


def _median(x: Array, axis: int) -> Array:
    """Return the middle number, the lower one of two: NaN where there is one."""
    middle = np.take(np.sort(x, axis=axis), (x.shape[axis] - 1) // 2, axis=axis)
    return np.where(np.isnan(x).any(axis=axis), np.float32(np.nan), middle)


def _middle(x: Array, axis: int) -> Array:
    """Return the middle number, or what lies halfway between two: NaN where there is one."""
    length, ordered = x.shape[axis], np.sort(x, axis=axis).astype(np.float64)
    pair = (np.take(ordered, place, axis=axis) for place in ((length - 1) // 2, length // 2))
    return np.where(np.isnan(x).any(axis=axis), np.nan, sum(pair) / 2)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "median": _median,
    "middle": _middle,
    "any": lambda x, axis: np.any(x != 0, axis=axis).astype(np.float32),
    "all": lambda x, axis: np.all(x != 0, axis=axis).astype(np.float32),
    "var": lambda x, axis: np.var(x, axis=axis, dtype=np.float64),
    "std": lambda x, axis: np.std(x, axis=axis, dtype=np.float64),
    "logsumexp": lambda x, axis: np.logaddexp.reduce(x, axis=axis, dtype=np.float64),
    "norm": lambda x, axis: np.sqrt(np.sum(np.square(x, dtype=np.float64), axis=axis)),
    "count_nonzero": lambda x, axis: np.count_nonzero(x, axis=axis).astype(np.float32),
    "argmax": lambda x, axis: np.argmax(x, axis=axis).astype(np.float32),
    "argmin": lambda x, axis: np.argmin(x, axis=axis).astype(np.float32),
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Reduce(Single):
    """Reduce a row along some axes, or along all of them (None)."""

    function: str
    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def __post_init__(self) -> None:
        _check.choice(self.function, f"{self.label} function", tuple(REDUCTIONS))
        _check.flag(self.keepdims, f"{self.label} keepdims")

    def _axes(self, rank: int) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(range(rank))
        return tuple(sorted(axes_of(self.label, self.axes, rank)))

    def output_shape(self, shape: Shape) -> Shape:
        axes = self._axes(len(shape))
        if self.keepdims:
            return tuple(1 if i in axes else n for i, n in enumerate(shape))
        return tuple(n for i, n in enumerate(shape) if i not in axes)

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        if self.function not in ("any", "all"):
            return None
        known = self.axes == (-1,) and not self.keepdims and values[0] is not None
        return (self.function, values[0]) if known else ("made by", self.name)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(
            reduced(flow.values, self.function, self._axes(flow.values.ndim - 2), self.keepdims)
        )


_OF_SOME = ("max", "min", "argmax", "argmin", "median", "middle")  # of nothing they are nothing


def reduced(values: Array, function: str, axes: Sequence[int], keepdims: bool) -> Array:
    """Reduce rows (samples, rows, ...) along axes of a row, each in an order of its own."""
    rank = values.ndim - 2
    if function in _OF_SOME and 0 in [values.shape[2 + axis] for axis in axes]:
        raise ValueError(f"expected one place or more of which to take the {function}, got none")
    kept = [i for i in range(rank) if i not in axes]
    moved = values.transpose(0, 1, *(2 + i for i in kept), *(2 + i for i in axes))
    lengths = moved.shape[: 2 + len(kept)]
    # Along contiguous numbers NumPy's order depends on their count alone.
    flat = np.ascontiguousarray(moved).reshape(*lengths, math.prod(moved.shape[2 + len(kept) :]))
    with np.errstate(all="ignore"):
        found = np.asarray(REDUCTIONS[function](flat, axis=-1), np.float32)
    if not keepdims:
        return found
    shape = [1 if i in axes else values.shape[2 + i] for i in range(rank)]
    return found.reshape(*values.shape[:2], *shape)


def axis_of(label: str, axis: int, rank: int) -> int:
    """Return an axis of a row counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"{label}: expected an axis of a row of {rank} axes, got {axis}")
    return axis % rank


def axes_of(label: str, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes of a row counted from the front."""
    found = tuple(axis_of(label, axis, rank) for axis in axes)
    if len({*found}) < len(found):
        raise ValueError(f"{label}: expected axes that differ, got {tuple(axes)}")
    return found


# ---- slices and shapes ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Slice(Single):
    """Take a part of each row: integers, slices, None for a new axis, as in NumPy."""

    key: tuple[int | slice | None, ...]

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, whole: tuple[Any, ...] = (), **options: Any
    ) -> Self:
        """Take `whole`, a key that counts the batch and may hold an ellipsis, in place of `key`."""
        used = sum(part is not None and part is not ... for part in whole)
        missing = len(inputs[0]) + 1 - used
        rest = [slice(None)] * missing
        parts: list[Any] = []
        for part in whole:
            parts += rest if part is ... else [part]
        if parts[:1] != [slice(None)] or missing < 0 or sum(p is ... for p in whole) > 1:
            _check.refuse(
                ValueError, f"layer {name!r} key", "a key that takes the whole batch", whole
            )
        return cls(name=name, key=tuple(parts[1:]), **options)

    def __post_init__(self) -> None:
        if not all(part is None or isinstance(part, (int, slice)) for part in self.key):
            _check.refuse(TypeError, f"{self.label} key", "integers, slices and None", self.key)

    def output_shape(self, shape: Shape) -> Shape:
        found: list[int | None] = []
        lengths = list(shape)
        for part in self.key:
            if part is None:
                found.append(1)
                continue
            if not lengths:
                raise ValueError(f"{self.label}: expected at most {len(shape)} indices")
            length = lengths.pop(0)
            if isinstance(part, slice):
                found.append(_sliced(part, length))
            elif length is not None and not -length <= part < length:
                raise ValueError(f"{self.label}: index {part} of an axis of length {length}")
        return (*found, *lengths)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(flow.values[(slice(None), slice(None), *self.key)])


def _sliced(part: slice, length: int | None) -> int | None:
    """Return how long a slice of an axis is, if that is known."""
    if length is not None:
        return len(range(*part.indices(length)))
    return None


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ExpandDims(Single):
    """Put in an axis of length 1, counted in the result."""

    axis: int

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape) + 1)
        return (*shape[:at], 1, *shape[at:])

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        return None if values[0] is None else ("expand", self.axis, values[0])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = axis_of(self.label, self.axis, flow.values.ndim - 1)
        return Flow(np.expand_dims(flow.values, 2 + at))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Squeeze(Single):
    """Take out axes of length 1: those given, or all of them (None)."""

    axes: tuple[int, ...] | None = None

    def _axes(self, shape: Shape) -> tuple[int, ...]:
        if self.axes is None:
            return tuple(i for i, n in enumerate(shape) if n == 1)
        return axes_of(self.label, self.axes, len(shape))

    def output_shape(self, shape: Shape) -> Shape:
        axes = self._axes(shape)
        for axis in axes:
            self.check_fits(shape, f"of length 1 along axis {axis}", shape[axis] in (1, None))
        return tuple(n for i, n in enumerate(shape) if i not in axes)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        axes = self._axes(flow.values.shape[2:])
        return Flow(np.squeeze(flow.values, tuple(2 + axis for axis in axes)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Stack(Layer):
    """Put inputs of one shape side by side along a new axis, counted in the result."""

    axis: int

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if not inputs:
            raise ValueError(f"{self.label}: expected one input or more, got 0")
        if any(len(shape) != len(inputs[0]) for shape in inputs):
            raise ValueError(f"{self.label}: expected inputs of one shape, got {list(inputs)}")
        at = axis_of(self.label, self.axis, len(inputs[0]) + 1)
        same = broadcast(self.label, inputs)
        return [(*same[:at], len(inputs), *same[at:])]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        samples = max(len(flow.values) for flow in inputs)
        values = [for_samples(flow.values, samples) for flow in inputs]
        at = axis_of(self.label, self.axis, values[0].ndim - 1)
        return [Flow(np.stack(values, axis=2 + at))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Transpose(Single):
    """Put the axes of a row into another order; `axes[i]` is what becomes axis i."""

    axes: tuple[int, ...]

    @classmethod
    def declare(cls, inputs: Sequence[Shape], *, name: str, **options: Any) -> Self:
        """Take `moved`, (axes, where they go to), in place of `axes`. See `numpy.moveaxis`."""
        moved = options.pop("moved", None)
        if moved is None:
            return cls(name=name, **options)
        rank = len(inputs[0])
        source, destination = (axes_of(f"layer {name!r}", axes, rank) for axes in moved)
        axes = [axis for axis in range(rank) if axis not in source]
        for at, axis in sorted(zip(destination, source, strict=True)):
            axes.insert(at, axis)
        return cls(name=name, axes=tuple(axes), **options)

    def output_shape(self, shape: Shape) -> Shape:
        fits = sorted(self.axes) == list(range(len(shape)))
        self.check_fits(shape, f"of {len(self.axes)} axes, to be ordered {self.axes}", fits)
        return tuple(shape[axis] for axis in self.axes)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(flow.values.transpose(0, 1, *(2 + axis for axis in self.axes)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MatMul(Layer):
    """Multiply the matrices of two inputs (..., a, k) and (..., k, b), row by row.

    Axes in front of those of the matrices are of equal lengths or 1.
    """

    transpose_a: bool = False
    transpose_b: bool = False

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        ranks = {len(shape) for shape in inputs}
        if len(inputs) != 2 or len(ranks) > 1 or min(ranks) < 2:
            raise ValueError(f"{self.label}: expected two inputs of matrices, got {list(inputs)}")
        (*stack, a, k), (*other, m, b) = inputs
        (a, k) = (k, a) if self.transpose_a else (a, k)
        (m, b) = (b, m) if self.transpose_b else (m, b)
        if len({k, m} - {None}) > 1:
            raise ValueError(f"{self.label}: expected matrices that fit, got {list(inputs)}")
        return [(*broadcast(self.label, [tuple(stack), tuple(other)]), a, b)]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        """Both sides, each as often as the other has matrices for it."""
        (*stack, _, _) = self.output_shapes(inputs)[0]
        sides = sum(math.prod(n or 1 for n in shape[-2:]) for shape in inputs)
        return sides * math.prod(n or 1 for n in stack)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        left, right = (flow.values for flow in inputs)
        left = np.swapaxes(left, -1, -2) if self.transpose_a else left
        right = np.swapaxes(right, -1, -2) if self.transpose_b else right
        stack = np.broadcast_shapes(left.shape[2:-2], right.shape[2:-2])
        count = math.prod(stack)

        def flat(values: Array) -> Array:
            """Let the matrices of a row stand beside those of the next one."""
            samples, rows, *_, a, b = values.shape
            whole = np.broadcast_to(values, (samples, rows, *stack, a, b))
            return whole.reshape(samples, rows * count, a, b)

        found = matmul(flat(left), flat(right))
        samples, _, a, b = found.shape
        return [Flow(found.reshape(samples, left.shape[1], *stack, a, b))]


def matmul(left: Array, right: Array) -> Array:
    """Multiply stacks of matrices (samples or 1, rows, a, k) and (samples or 1, rows, k, b)."""
    samples, rows = max(len(left), len(right)), left.shape[1]
    a = for_samples(left, samples).reshape(samples * rows, *left.shape[2:])
    b = for_samples(right, samples).reshape(samples * rows, *right.shape[2:])
    found: Array = feedforward.matmul(a, b)
    return found.reshape(samples, rows, *found.shape[1:])


# ---- Einstein's convention ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Einsum(Layer):
    """Multiply and sum by Einstein's convention, row by row. See `numpy.einsum`.

    `equation` names the axes of rows: ``"ij,jk->ik"`` multiplies matrices. Inputs are taken two at
    a time, from the left; none has a letter twice.
    """

    equation: str

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, whole: str = "", **options: Any
    ) -> Self:
        """Take `whole`, an equation that names the batch, and may have ellipses."""
        if whole:
            ranks = [len(shape) + 1 for shape in inputs]
            terms, out = terms_of_rows(f"layer {name!r}", whole, ranks)
            options["equation"] = ",".join(terms) + "->" + out
        return cls(name=name, **options)

    def __post_init__(self) -> None:
        check_equation(f"{self.label} equation", self.equation)

    @property
    def _terms(self) -> tuple[list[str], str]:
        terms, _, out = self.equation.partition("->")
        return terms.split(","), out

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        terms, out = self._terms
        lengths: dict[str, int] = {}
        fits = [len(shape) for shape in inputs] == [len(term) for term in terms]
        for term, shape in zip(terms, inputs, strict=False):
            for letter, length in zip(term, shape, strict=False):
                fits &= length is None or lengths.setdefault(letter, length) == length
        if not fits:
            raise ValueError(f"{self.label}: expected {self.equation}, got {list(inputs)}")
        return [tuple(lengths.get(letter) for letter in out)]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        terms, out = self._terms
        rest = [(term, flow.values) for term, flow in zip(terms, inputs, strict=True)]
        while len(rest) > 1:
            one, other, *rest = rest
            later = {*out, *"".join(term for term, _ in rest)}
            rest.insert(0, _product(one, other, later))
        term, values = _summed(*rest[0], {*out})
        return [Flow(values.transpose(0, 1, *(2 + term.index(letter) for letter in out)))]


def _summed(term: str, values: Array, wanted: set[str]) -> tuple[str, Array]:
    """Sum over the axes of rows that nobody wants."""
    gone = [axis for axis, letter in enumerate(term) if letter not in wanted]
    if not gone:
        return term, values
    kept = "".join(letter for letter in term if letter in wanted)
    return kept, reduced(values, "sum", gone, keepdims=False)


def _product(
    one: tuple[str, Array], other: tuple[str, Array], later: set[str]
) -> tuple[str, Array]:
    """Multiply as matrices: axes that both have and keep, that are summed, and each one's own."""
    left, a = _summed(*one, later | {*other[0]})
    right, b = _summed(*other, later | {*left})
    kept = [c for c in left if c in right and c in later]
    summed = [c for c in left if c in right and c not in later]
    own_left = [c for c in left if c not in right]
    own_right = [c for c in right if c not in left]
    lengths = dict(zip(left + right, a.shape[2:] + b.shape[2:], strict=True))

    def grouped(term: str, values: Array, *groups: list[str]) -> Array:
        order = [2 + term.index(c) for group in (kept, *groups) for c in group]
        stack, *sides = (math.prod(lengths[c] for c in group) for group in (kept, *groups))
        moved = values.transpose(0, 1, *order)
        return moved.reshape(len(values), values.shape[1] * stack, *sides)

    found = matmul(grouped(left, a, own_left, summed), grouped(right, b, summed, own_right))
    order = [*kept, *own_left, *own_right]
    return "".join(order), found.reshape(len(found), a.shape[1], *(lengths[c] for c in order))


# ---- what is put in and taken out ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Split(Single):
    """Cut each row along an axis: an output for each part, the places of `cuts` between them.

    With `unstacked` each part has one place, and no axis for it.
    """

    axis: int
    cuts: tuple[int, ...]
    unstacked: bool = False

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        count: int | None = None,
        lengths: Sequence[int] = (),
        **options: Any,
    ) -> Self:
        """Take the number of equal parts, or the length of each, in place of `cuts`."""
        label, axis = f"layer {name!r}", options["axis"]
        whole = inputs[0][axis_of(label, axis, len(inputs[0]))]
        if lengths and sum(lengths) != whole:
            raise ValueError(f"{label}: expected parts of {whole} places, got {list(lengths)}")
        if "cuts" not in options and not lengths:
            count = whole if count is None else count
            if not whole or not count or whole % count:
                raise ValueError(f"{label}: expected a length of {count} equal parts, got {whole}")
            lengths = [whole // count] * count
        if lengths:
            options["cuts"] = tuple(accumulate(lengths[:-1]))
        return cls(name=name, **options)

    def __post_init__(self) -> None:
        cuts = _check.integers(self.cuts, f"{self.label} cuts", 0) if self.cuts else ()
        if list(cuts) != sorted(cuts):
            _check.refuse(ValueError, f"{self.label} cuts", "places in their order", self.cuts)
        _check.flag(self.unstacked, f"{self.label} unstacked")
        self.prepare(cuts=tuple(cuts))

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape = self.only(inputs)
        at = axis_of(self.label, self.axis, len(shape))
        whole, last = shape[at], max((0, *self.cuts))
        expected = f"a fixed length of {last} or more on axis {self.axis}"
        self.check_fits(shape, f"of {expected}", whole is not None and last <= whole)
        assert whole is not None
        lengths = [b - a for a, b in pairwise((0, *self.cuts, whole))]
        if not self.unstacked:
            return [(*shape[:at], n, *shape[at + 1 :]) for n in lengths]
        expected = f"with {len(lengths)} places on axis {self.axis}"
        self.check_fits(shape, expected, {*lengths} == {1})
        return [(*shape[:at], *shape[at + 1 :]) for _ in lengths]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        values = inputs[0].values
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        parts = np.split(values, self.cuts, axis=at)
        return [Flow(part.squeeze(at) if self.unstacked else part) for part in parts]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Repeat(Single):
    """Repeat each row along an axis: place by place, or with `whole` all of it behind itself."""

    axis: int
    count: int
    whole: bool = False

    def __post_init__(self) -> None:
        _check.integer(self.count, f"{self.label} count", 1, None)
        _check.flag(self.whole, f"{self.label} whole")

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        length = shape[at]
        return (*shape[:at], None if length is None else length * self.count, *shape[at + 1 :])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        if self.whole:
            return Flow(np.concatenate([flow.values] * self.count, axis=at))
        return Flow(np.repeat(flow.values, self.count, axis=at))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Constant(Single):
    """The same numbers for each row, whatever the input is."""

    value: Weight

    weight_fields: ClassVar[tuple[str, ...]] = ("value",)

    def __post_init__(self) -> None:
        self.check_weight("value", (None,) * np.ndim(self.value))

    def output_shape(self, shape: Shape) -> Shape:
        return tuple(self.value.shape)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return Flow(np.broadcast_to(self.value, (1, flow.rows, *self.value.shape)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Positions(Single):
    """Number the places along an axis of the input: 0, 1, 2 and so on."""

    axis: int = 0

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[axis_of(self.label, self.axis, len(shape))],)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        lengths = flow.values.shape[2:]
        count = lengths[axis_of(self.label, self.axis, len(lengths))]
        numbers = np.arange(count, dtype=np.float32)
        return Flow(np.broadcast_to(numbers, (1, flow.rows, count)))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Pad(Single):
    """Put a number before and behind on each axis of a row, (before, behind) for each of them."""

    widths: tuple[tuple[int, int], ...]
    value: float = 0.0

    def __post_init__(self) -> None:
        name = f"{self.label} widths"
        pairs = [_check.integers(pair, name, 0) for pair in self.widths]
        if any(len(pair) != 2 for pair in pairs):
            _check.refuse(ValueError, name, "pairs of integers", self.widths)
        self.prepare(widths=tuple(pairs))

    def output_shape(self, shape: Shape) -> Shape:
        axes = len(self.widths)
        self.check_fits(shape, f"of {axes} axes", len(shape) == axes)
        return tuple(
            None if n is None else before + n + behind
            for n, (before, behind) in zip(shape, self.widths, strict=True)
        )

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return self.widths[0] == (0, 0)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        widths = [(0, 0), (0, 0), *self.widths]
        with np.errstate(over="ignore", under="ignore"):
            value = np.float64(self.value).astype(np.float32)
        return Flow(np.pad(flow.values, widths, constant_values=value))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TakeAlong(Layer):
    """Take places of the first input along an axis, by their numbers in the second.

    Both have equally many axes; but for that one they are of equal lengths or 1. Numbers count
    from 0, or from the end where they are negative. See `numpy.take_along_axis`.
    """

    axis: int

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        if len(inputs) != 2 or len(inputs[0]) != len(inputs[1]):
            expected = "two inputs of equally many axes"
            raise ValueError(f"{self.label}: expected {expected}, got {list(inputs)}")
        values, numbers = inputs
        at = axis_of(self.label, self.axis, len(values))
        others = [(*shape[:at], 1, *shape[at + 1 :]) for shape in inputs]
        same = broadcast(self.label, others)
        return [(*same[:at], numbers[at], *same[at + 1 :])]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        samples = max(len(flow.values) for flow in inputs)
        values, numbers = (for_samples(flow.values, samples) for flow in inputs)
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        count = values.shape[at]
        found = numbers.astype(np.int64)
        if ((found < -count) | (found >= count) | (found != numbers)).any():
            raise ValueError(f"{self.label}: expected numbers of {count} places")
        return [Flow(np.take_along_axis(values, found, axis=at))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Take(Single):
    """Take some places of each row along an axis, one after another: `places` are their numbers.

    They count from 0, or from the end where they are negative. See `numpy.take`.
    """

    axis: int
    places: tuple[int, ...]

    @classmethod
    def declare(
        cls, inputs: Sequence[Shape], *, name: str, shift: int | None = None, **options: Any
    ) -> Self:
        """Take `shift`, by how many places all are moved round, in place of `places`."""
        if shift is not None:
            label, axis = f"layer {name!r}", options["axis"]
            length = inputs[0][axis_of(label, axis, len(inputs[0]))]
            if length is None:
                raise ValueError(f"{label}: expected a fixed length on axis {axis}")
            options["places"] = tuple((n - shift) % length for n in range(length))
        return cls(name=name, **options)

    def __post_init__(self) -> None:
        self.prepare(places=_check.integers(self.places, f"{self.label} places", -(2**31)))

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        count, farthest = shape[at], max(max(n, -n - 1) for n in self.places)
        expected = f"of {farthest + 1} places or more on axis {self.axis}"
        self.check_fits(shape, expected, count is None or farthest < count)
        return (*shape[:at], len(self.places), *shape[at + 1 :])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        return Flow(np.take(flow.values, np.array(self.places, np.intp), axis=at))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class _Along(Single):
    """What is made along an axis, as long as it was."""

    axis: int

    def output_shape(self, shape: Shape) -> Shape:
        axis_of(self.label, self.axis, len(shape))
        return shape


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ArgSort(_Along):
    """Say where the numbers along an axis are, from the smallest to the largest or back.

    Equal numbers stay in their order, and NaN counts as the largest. See `numpy.argsort`.
    """

    descending: bool = False

    def __post_init__(self) -> None:
        _check.flag(self.descending, f"{self.label} descending")

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        return Flow(_order(flow.values, at, self.descending).astype(np.float32))


def _order(values: Array, axis: int, descending: bool) -> NDArray[np.intp]:
    """Return the places along an axis in the order of their numbers, those of equal ones as is."""
    if not descending:
        return np.argsort(values, axis=axis, kind="stable")
    # Back from the end equal numbers are in their order if they were when seen from there.
    places = np.argsort(np.flip(values, axis), axis=axis, kind="stable")
    return np.flip(values.shape[axis] - 1 - places, axis)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sort(Single):
    """Sort the numbers along an axis, and say where they were, in a second output.

    They go from the smallest to the largest or back, the first `count` of them or all (None).
    Equal numbers stay in their order, and NaN counts as the largest. See `numpy.sort`.

    Examples
    --------
    >>> from fastdrop.layers import Sort
    >>> model = fd.Model([Sort(name="largest", axis=-1, descending=True, count=2)], (4,))
    >>> numbers, places = model.predict(np.array([[3, 1, 4, 2]], np.float32))
    >>> numbers, places
    (array([[4., 3.]], dtype=float32), array([[2., 0.]], dtype=float32))
    """

    axis: int
    descending: bool = False
    count: int | None = None

    def __post_init__(self) -> None:
        _check.flag(self.descending, f"{self.label} descending")
        if self.count is not None:
            _check.integer(self.count, f"{self.label} count", 1, None)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape = self.only(inputs)
        at = axis_of(self.label, self.axis, len(shape))
        length, count = shape[at], self.count
        if count is not None:
            expected = f"of {count} places or more on axis {self.axis}"
            self.check_fits(shape, expected, length is None or count <= length)
            length = count
        return [(*shape[:at], length, *shape[at + 1 :])] * 2

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        values = inputs[0].values
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        count = values.shape[at] if self.count is None else self.count
        if count > values.shape[at]:
            raise ValueError(f"{self.label}: expected {count} numbers or more along its axis")
        places = np.take(_order(values, at, self.descending), range(count), axis=at)
        found = np.take_along_axis(values, places, axis=at)
        return [Flow(found), Flow(places.astype(np.float32))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Difference(Single):
    """Subtract each number along an axis from the next one, so many `times`. See `numpy.diff`.

    Examples
    --------
    >>> from fastdrop.layers import Difference
    >>> model = fd.Model([Difference(name="growth", axis=0)], (4,))
    >>> model.predict(np.array([[1, 2, 4, 8]], np.float32))
    array([[1., 2., 4.]], dtype=float32)
    """

    axis: int
    times: int = 1

    function: ClassVar[str] = "difference"

    def __post_init__(self) -> None:
        _check.integer(self.times, f"{self.label} times", 0, 64)

    def output_shape(self, shape: Shape) -> Shape:
        at = axis_of(self.label, self.axis, len(shape))
        length = shape[at]
        left = None if length is None else max(0, length - self.times)
        return (*shape[:at], left, *shape[at + 1 :])

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        with np.errstate(all="ignore"):
            return Flow(np.diff(flow.values, self.times, axis=at))


# How numbers up to a place are taken together. Sums and products are of binary64, in which what is
# rounded at a place is nothing to those behind.
ACCUMULATIONS: dict[str, tuple[np.ufunc, type]] = {
    "sum": (np.add, np.float64),
    "prod": (np.multiply, np.float64),
    "max": (np.maximum, np.float32),
    "min": (np.minimum, np.float32),
    "logsumexp": (np.logaddexp, np.float64),
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Accumulate(_Along):
    """Take together all numbers up to each place along an axis. See `numpy.ufunc.accumulate`."""

    function: str

    def __post_init__(self) -> None:
        _check.choice(self.function, f"{self.label} function", tuple(ACCUMULATIONS))

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        at = 2 + axis_of(self.label, self.axis, flow.values.ndim - 2)
        ufunc, dtype = ACCUMULATIONS[self.function]
        with np.errstate(all="ignore"):
            return Flow(ufunc.accumulate(flow.values, axis=at, dtype=dtype).astype(np.float32))


METHODS = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "asymmetric", "align_corners")
# Of two places that are equally near, and of which is the nearest.
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
}
_CUBIC = -0.75  # as PyTorch and ONNX have it


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Interpolate(Layer):
    """Take numbers at other places along an axis, and between them: as many times as many, or some.

    Either `scale` or `size` is given, or a second input, along whose first axis are as many places.
    `coordinates` say where the places are: those of ends on ends ("align_corners"), first on first
    ("asymmetric"), or as the middles of cells ("half_pixel"). The method is what is nearest by a
    `rounding`, or a line or cubic curve (a = -3/4) through those around, of which the ends stay the
    same beyond. See `torch.nn.functional.interpolate`; places are computed in float32, as there.
    """

    axis: int
    scale: float | None = None
    size: int | None = None
    method: str = "linear"
    coordinates: str = "half_pixel"
    rounding: str = "floor"

    def __post_init__(self) -> None:
        _check.choice(self.method, f"{self.label} method", METHODS)
        _check.choice(self.coordinates, f"{self.label} coordinates", COORDINATES)
        _check.choice(self.rounding, f"{self.label} rounding", tuple(ROUNDINGS))
        given = [v for v in (self.scale, self.size) if v is not None]
        if len(given) > 1 or not all(0 < v < np.inf for v in given):
            got = f"scale={self.scale}, size={self.size}"
            raise ValueError(f"{self.label}: expected one of scale and size, positive, got {got}")
        if self.size is not None:
            _check.integer(self.size, f"{self.label} size", 1, None)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        expected = 2 if self.scale is None and self.size is None else 1
        if len(inputs) != expected or not all(inputs[1:]):
            what = (
                "one input" if expected == 1 else "a second input, with an axis as long as wanted"
            )
            raise ValueError(f"{self.label}: expected {what}, got {list(inputs)}")
        shape = inputs[0]
        at = axis_of(self.label, self.axis, len(shape))
        length, count = shape[at], inputs[1][0] if len(inputs) > 1 else self.size
        if self.scale is not None and length is not None:
            count = math.floor(length * self.scale)
        return [(*shape[:at], count, *shape[at + 1 :])]

    def _places(self, length: int, count: int) -> Array:
        """Return where each number is taken among the places that there are."""
        places = np.arange(count, dtype=np.float32)
        if not count:
            return places
        if self.coordinates == "align_corners":
            return places * (np.float32(length - 1) / np.float32(max(count - 1, 1)))
        step = np.float32(1 / self.scale if self.scale else length / count)
        half = np.float32(0.5 if self.coordinates == "half_pixel" else 0)
        return np.asarray((places + half) * step - half)

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        values = inputs[0].values
        at = 2 + axis_of(self.label, self.axis, values.ndim - 2)
        length = values.shape[at]
        count = inputs[1].values.shape[2] if len(inputs) > 1 else self.size
        if count is None:
            count = math.floor(length * (self.scale or 0))
        places = self._places(length, count)
        if not length and len(places):
            raise ValueError(f"{self.label}: expected numbers along axis {self.axis}, got none")

        def taken(numbers: Array) -> Array:
            return np.take(values, np.clip(numbers, 0, length - 1).astype(np.intp), axis=at)

        if self.method == "nearest":
            return [Flow(taken(ROUNDINGS[self.rounding](places)))]
        if self.method == "linear":
            places = np.clip(places, 0, max(length - 1, 0))
        first = np.floor(places)
        shares = _cubic_shares if self.method == "cubic" else _linear_shares
        shape = (-1, *(1,) * (values.ndim - 1 - at))
        with np.errstate(all="ignore"):
            parts = [
                taken(first + shift) * share.astype(np.float32).reshape(shape)
                for shift, share in shares(places - first)
            ]
            return [Flow(sum(parts[1:], start=parts[0]))]


def _linear_shares(t: Array) -> list[tuple[int, Array]]:
    """Return what the places around have part in a number at t between them."""
    return [(0, 1 - t), (1, t)]


def _cubic_shares(t: Array) -> list[tuple[int, Array]]:
    """Return the same by a cubic convolution (Keys, 1981)."""

    def near(x: Array) -> Array:
        return ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1

    def far(x: Array) -> Array:
        return ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC

    return [(-1, far(t + 1)), (0, near(t)), (1, near(1 - t)), (2, far(2 - t))]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Resizing(Single):
    """Make images (height, width, channels) larger or smaller, to a `size` or by a `scale`.

    Both are of height and width. "nearest" takes what lies nearest to the middle of a new cell,
    "bilinear" lines between the middles of those around it; nothing is smoothed before.
    """

    size: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _check.choice(self.interpolation, f"{self.label} interpolation", tuple(_RESIZED))
        if (self.size is None) == (self.scale is None):
            got = f"size={self.size}, scale={self.scale}"
            raise ValueError(f"{self.label}: expected one of size and scale, got {got}")
        for name in ("size", "scale"):
            if (value := getattr(self, name)) is not None:
                self.prepare(**{name: _check.each(value, f"{self.label} {name}", 2)})

    @property
    def _axes(self) -> list[Interpolate]:
        options = _RESIZED[self.interpolation]
        each: list[dict[str, Any]] = [{"size": n} for n in self.size or ()] + [
            {"scale": n} for n in self.scale or ()
        ]
        return [Interpolate(name=self.name, axis=i, **n, **options) for i, n in enumerate(each)]

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, "(height, width, channels)", len(shape) == 3)
        for layer in self._axes:
            (shape,) = layer.output_shapes([shape])
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        for layer in self._axes:
            (flow,) = layer.run([flow], None)
        return flow


# How each way is one of those along an axis.
_RESIZED: dict[str, dict[str, Any]] = {
    "nearest": {"method": "nearest", "rounding": "round_prefer_ceil"},
    "bilinear": {"method": "linear"},
}


# ---- masks ----


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class WithMask(Layer):
    """Give a tensor another time mask: the second input, zero where a step is padding.

    With `borrowed` it is not that input itself but the mask that it bears: "always", or "if none"
    where there is no other.
    """

    borrowed: str = ""

    takes_table: ClassVar[bool] = True

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        return [inputs[0]]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        flow, other = inputs
        mask = other.mask if self.borrowed else other.values != 0
        if self.borrowed == "if none" and flow.mask is not None:
            mask = flow.mask
        return [Flow(flow.values, mask, flow.table, flow.factors)]

"""Layers without weights: functions of each number, and of the numbers along axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fastdrop import _check
from fastdrop.layers._axes import axes_of, broadcast
from fastdrop.layers._layer import Array, Draw, Flow, Layer, Shape, Single, kept

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

"""Finding the row of an operator, and calling it with what may be beside tensors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fastdrop.formats._lengths import Open
from fastdrop.formats._networks import Networks
from fastdrop.formats._values import (
    Chosen,
    Elsewhere,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    steps_beside,
)
from fastdrop.formats.aten._rows import ROWS, Arguments, Row
from fastdrop.formats.aten.arithmetic import ACTIVATIONS, BINARY, LOGICAL, UNARY
from fastdrop.formats.aten.chosen import of_chosen
from fastdrop.formats.aten.fourier import is_complex, of_complex
from fastdrop.formats.aten.networks import by_each
from fastdrop.formats.aten.random import DroppedWeights, Seed, Uniform, of_dropped, of_uniform

# What takes seeds as well.
_OF_SEEDS = frozenset(("dropout", "clone", "detach", "alias", "lift_fresh_copy"))
# Of fastdrop's own, or taken for its seeds alone.
OWN = frozenset(("copy_seed", "packed", "padded", "randint"))


def find(name: str) -> Row | None:
    """Return the row of an operator like ``add_.Tensor``."""
    base, _, overload = name.partition(".")
    for spelled in (name, base, f"{base.rstrip('_')}.{overload}", base.rstrip("_")):
        if spelled in ROWS:
            return partial(_of_one_row, ROWS[spelled], base.rstrip("_"))
    return None


def _of_one_row(row: Row, base: str, b: Networks, a: Arguments) -> Any:
    """Compute an operator; of one row, what cannot be as its axis stands may be elsewhere."""
    try:
        return _with_steps(row, base, b, a)
    except UnsupportedError:
        if not b.single_row:
            raise
        for way in Elsewhere.all(_all_given(a), of_vectors=base in _OF_VECTORS):
            other = _changed(a, Tensor, way.seen)
            if way.behind is None and other.values.get("dim") == 0:
                other = replace(other, values={**other.values, "dim": -1})
            with suppress(UnsupportedError):
                return way.made(_with_steps(row, base, b, other))
        raise


def _all_given(a: Arguments) -> list[Any]:
    """Return arguments, and what is in those that are lists."""
    given = list(a.values.values())
    return given + [v for some in given if isinstance(some, list) for v in some]


def _with_steps(row: Row, base: str, b: Networks, a: Arguments) -> Any:
    """Compute an operator of what may be `Steps`, which become tensors beside tensors."""
    given = _all_given(a)
    if base not in OWN | _OF_SEEDS and any(isinstance(v, Seed) for v in given):
        raise UnsupportedError("random whole numbers")
    if any(isinstance(v, Chosen) for v in given):
        return of_chosen(base, row, partial(_with_steps, row, base), b, a)
    if any(map(is_complex, given)):
        return of_complex(base, row, partial(_with_steps, row, base), b, a)
    if any(isinstance(v, DroppedWeights) for v in given):
        found = row(b, a) if base in _OF_WEIGHTS else of_dropped(base, a)
        if found is not None:
            return found
        a = _changed(a, DroppedWeights, lambda v: v.steps(b))
        given = _all_given(a)
    if base in _BY_NUMBER and any(isinstance(v, (Tensor, Spread, Steps)) for v in given):
        a = _changed(a, Open, lambda v: b.counts(np.asarray(v, object)))
        given = _all_given(a)
    if any(isinstance(v, Uniform) for v in given):
        found = of_uniform(base, b, a)
        if found is not None:
            return found
        a = _changed(a, Uniform, lambda v: v.drawn(b))
        given = _all_given(a)
    if base in _OF_STEPS or not any(isinstance(v, Steps) for v in given):
        return row(b, a)
    if base in _ALONG and not any(isinstance(v, (Tensor, Spread)) for v in given):
        return _in_front(row, base, b, a)
    if base in ("matmul", "mm"):
        left, right = given[:2]
        rows = isinstance(left, (Tensor, Spread)) and not left.at and left.ndim > 1
        if rows and isinstance(right, Steps) and right.ndim == 2:
            return by_each(b, left, right.value)
    if base == "matmul" and all(v.at == 0 and v.ndim == 3 for v in given if isinstance(v, Tensor)):
        return row(b, _changed(a, Steps, lambda v: v.value if v.ndim == 2 else v.single(b)))
    if base not in _BY_NUMBER:
        return row(b, _changed(a, Steps, lambda v: v.single(b)))
    change, alone = steps_beside(b, given)
    made = row(b, _changed(a, Steps, change))
    return Steps.of(made) if alone else made


def _in_front(row: Row, base: str, b: Networks, a: Arguments) -> Any:
    """Compute an operator along axes of `Steps` and constants, with the batch in front."""
    a = _changed(a, Steps, lambda v: v.value)
    a = _changed(a, np.ndarray, lambda v: v[np.newaxis])
    if base in _OVER_ALL and a.values.get("dim") in (None, []):
        every = [*range(-a.first().ndim + 1, 0)]
        a = replace(a, values={**a.values, "dim": every})
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


# What is computed number by number, and what else takes `Steps`.
_BY_NUMBER = frozenset(
    (
        *(*BINARY, *LOGICAL, *UNARY, *ACTIVATIONS),
        *("add", "sub", "rsub", "div", "where", "masked_fill", "to", "_to_copy", "type_as"),
        *("bitwise_not", "bitwise_and", "bitwise_or", "__and__", "__or__", "clamp", "contiguous"),
        *("clone", "detach", "fmod", "full_like", "alias"),
    )
)

# What takes vectors of one row as a matrix of one line.
_OF_VECTORS = _BY_NUMBER | {
    *("cat", "concat", "dropout", "linear", "log_softmax", "matmul", "softmax")
}

# What takes weights some of which are dropped.
_OF_WEIGHTS = frozenset(("lstm", "gru", "rnn_tanh", "rnn_relu", "embedding", "linear"))

# What is computed along axes that are named so; of these, over all where none is named.
_OVER_ALL = ("mean", "sum", "amax", "amin", "prod")
_ALONG = frozenset(
    (
        *("cat", "concat", "stack", "flip", "one_hot", "softmax", "_softmax", "select"),
        *("cumsum", "cumprod", "flatten", *_OVER_ALL),
    )
)

_AXES = ("dim", "dims", "dim0", "dim1", "start_dim", "end_dim")

_OF_STEPS = frozenset(
    (
        *("unsqueeze", "expand", "expand_as", "repeat", "embedding", "view", "reshape"),
        *("triu", "tril", "sym_size", "slice", "scalar_tensor"),
        *("movedim", "moveaxis", "mT", "numpy_T", "permute", "swapaxes", "swapdims", "t"),
        "transpose",
        *("dropout", "native_dropout", "alpha_dropout", "bernoulli", "uniform", "rand_like"),
        *("randn_like", "normal", "einsum", "addmm", "baddbmm", "index", "index_select"),
    )
)

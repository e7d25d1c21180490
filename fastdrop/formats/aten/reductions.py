"""Operators that reduce or accumulate along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastdrop.formats._lengths import product
from fastdrop.formats._networks import Networks
from fastdrop.formats._values import UnsupportedError, as_array
from fastdrop.formats.aten._rows import Arguments, Row, row


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

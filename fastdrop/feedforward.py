"""What stands between and after recurrent layers, with sums in the same fixed order."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _backend, _check, _threads

OUTPUT_ACTIVATIONS = (*_check.ACTIVATIONS, "softmax")

# Weights that a call packs: with many more, as many columns at a time.
_PACKED_NUMBERS, _PANEL = 1 << 22, 16
# Softmax takes the columns of rows up to so long, and so many numbers at a time.
_SHORT_ROW, _CACHED_NUMBERS = 32, 30_000


def dense(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = None, *, activation: str = "linear"
) -> NDArray[Any]:
    """Compute ``activation(x @ kernel + bias)``, each row independently of the others.

    Parameters
    ----------
    x : array_like, shape (..., inputs)
        float32 or float64.
    kernel : array_like, shape (inputs, columns)
    bias : array_like, shape (columns,), optional
    activation : str, optional
        As in `activate`.

    Returns
    -------
    ndarray, shape (..., columns)
        Of the common dtype of the arguments. A row's result has the same bits whatever other rows
        are computed with it (but for the sign of a NaN), which ``x @ kernel`` does not promise.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.dense(np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5]))
    array([[21.5]])
    """
    x = _check.array(x, "x", _check.FLOATS)
    if x.ndim == 0:
        _check.refuse(ValueError, "x", "an array of 1 dimension or more", x)
    kernel = _check.array(kernel, "kernel", _check.FLOATS, 2)
    inputs, columns = _check.shaped(kernel, "kernel", (x.shape[-1], kernel.shape[1])).shape
    arrays = [x, kernel]
    if bias is not None:
        bias = _check.shaped(_check.array(bias, "bias", _check.FLOATS, 1), "bias", (columns,))
        arrays.append(bias)
    activation = _check.choice(activation, "activation", OUTPUT_ACTIVATIONS)
    dtype = np.result_type(*arrays)
    out = np.empty((x.size // inputs if inputs else int(np.prod(x.shape[:-1])), columns), dtype)
    rows = _check.contiguous(x, dtype).reshape(len(out), inputs)
    kernel = _check.contiguous(kernel, dtype)
    bias = None if bias is None else _check.contiguous(bias, dtype)
    width = max(_PANEL, _PACKED_NUMBERS // max(1, inputs) // _PANEL * _PANEL)
    height = max(1, int(_threads.PIECE_FLOPS / max(1, 2 * inputs * min(width, columns))))
    for c in range(0, columns, width):
        some = slice(c, c + width)
        for n in range(0, len(out), height):
            _backend.active.dense(
                out[n : n + height, some],
                rows[n : n + height],
                kernel[:, some],
                None if bias is None else bias[some],
            )
    _activate(out, activation)
    return out.reshape(*x.shape[:-1], columns)


def activate(x: ArrayLike, activation: str) -> NDArray[Any]:
    """Apply an activation to every element, or softmax along the last axis.

    Parameters
    ----------
    x : array_like
        float32 or float64.
    activation : str
        "linear", "tanh", "sigmoid", "relu", "hard_sigmoid" (x / 6 + 0.5 clipped to [0, 1]),
        "hard_sigmoid_legacy" (0.2 x + 0.5 clipped) or "softmax".

    Returns
    -------
    ndarray
        A new C-contiguous array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If `x` is of another dtype, 0-d for softmax, or `activation` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.activate(np.array([-1.0, 0.0, 6.0]), "hard_sigmoid").round(4)
    array([0.3333, 0.5   , 1.    ])
    """
    array = _check.array(x, "x", _check.FLOATS)
    activation = _check.choice(activation, "activation", OUTPUT_ACTIVATIONS)
    if activation == "softmax" and array.ndim == 0:
        _check.refuse(ValueError, "x", "an array of 1 dimension or more", array)
    out = np.array(array, order="C")
    _activate(out, activation)
    return out


def _activate(v: NDArray[Any], activation: str) -> None:
    """In place, on a contiguous array, so that every row is treated alike."""
    if activation == "softmax":
        if v.size:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                _softmax(v.reshape(-1, v.shape[-1]))
    else:
        _backend.active.activate(v.reshape(-1), activation)


def _softmax(rows: NDArray[Any]) -> None:
    """In place, along short rows (n, width) by columns, for NumPy reduces those many times faster.

    The sums are in order then: NumPy's own order would depend on n.
    """
    width = rows.shape[1]
    if width > _SHORT_ROW:
        rows -= rows.max(axis=1, keepdims=True)
        np.exp(rows, out=rows)
        rows /= rows.sum(axis=1, keepdims=True)
        return
    height = _CACHED_NUMBERS // width
    for n in range(0, len(rows), height):
        columns = rows[n : n + height].T.copy()
        columns -= columns.max(axis=0)
        np.exp(columns, out=columns)
        columns /= reduce(np.add, columns)
        rows[n : n + height] = columns.T

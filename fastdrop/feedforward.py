"""What stands between and after recurrent layers, with sums in the same fixed order."""

from __future__ import annotations

import typing
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check, _threads
from fastdrop.typing import Activation, ArrayLike

__all__ = ["activate", "dense", "matmul"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


F = TypeVar("F", np.float32, np.float64)

# An activation takes so many numbers in a call: the slowest takes some 100 ns for each, in NumPy.
_PIECE_NUMBERS = 1 << 19
# Weights that a call packs: with many more, as many columns at a time.
_PACKED_NUMBERS, _PANEL = 1 << 22, 16


@typing.overload
def dense(
    x: NDArray[F],
    kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    activation: Activation = ...,
) -> NDArray[F]: ...
@typing.overload
def dense(
    x: ArrayLike, kernel: ArrayLike, bias: ArrayLike | None = ..., *, activation: Activation = ...
) -> NDArray[Any]: ...
def dense(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: Activation = "linear",
) -> NDArray[Any]:
    """Compute ``activation(x @ kernel + bias)``, each row independently of the others.

    Parameters
    ----------
    x : array_like, shape (..., inputs)
        float32 or float64.
    kernel : array_like, shape (inputs, columns)
    bias : array_like, shape (columns,), optional
    activation : str or tuple, optional
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
    activation = _check.activation(activation, "activation")
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


@typing.overload
def activate(x: NDArray[F], activation: Activation) -> NDArray[F]: ...
@typing.overload
def activate(x: ArrayLike, activation: Activation) -> NDArray[Any]: ...
def activate(x: ArrayLike, activation: Activation) -> NDArray[Any]:
    """Apply an activation to every element, or softmax or log_softmax along the last axis.

    Parameters
    ----------
    x : array_like
        float32 or float64.
    activation : str or tuple
        A name, or a tuple of it and its parameters, of which the last may be left out:
        ``"elu"``, ``("elu", 0.5)``.

    Returns
    -------
    ndarray
        A new C-contiguous array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If `x` is of another dtype, 0-d for what is taken along an axis, or `activation` is unknown
        or its parameters are not of the ranges below.

    Notes
    -----
    As ``keras.activations`` of Keras 3 has them, by its names and with its parameters:

    ====================================  ================================================
    linear                                x
    relu, negative_slope = 0,             x > threshold: the lesser of x and max_value;
    max_value = None, threshold = 0       else negative_slope (x - threshold)
    relu6, hard_tanh                      x clipped to [0, 6], to [-1, 1]
    leaky_relu, negative_slope = 0.2      x, and negative_slope x below 0
    elu, alpha = 1                        x, and alpha (e^x - 1) below 0
    selu                                  1.0507... times elu of alpha 1.6732...
    celu, alpha = 1                       x, and alpha (e^(x / alpha) - 1) below 0
    sigmoid, tanh, exponential            1 / (1 + e^-x), tanh(x), e^x
    softplus, log_sigmoid                 log(1 + e^x), -log(1 + e^-x)
    softsign                              x / (1 + abs(x))
    silu (swish), mish                    x sigmoid(x), x tanh(softplus(x))
    gelu                                  x (1 + erf(x / sqrt(2))) / 2
    gelu_tanh                             Keras's gelu with approximate=True
    hard_sigmoid                          x / 6 + 0.5 clipped to [0, 1]
    hard_sigmoid_legacy                   Keras 2's: 0.2 x + 0.5 clipped to [0, 1]
    hard_silu (hard_swish)                x hard_sigmoid(x)
    tanh_shrink                           x - tanh(x)
    soft_shrink, threshold = 0.5          x - x clipped to [-threshold, threshold]
    hard_shrink, threshold = 0.5          x where abs(x) > threshold, else 0
    threshold, threshold, value           x where x > threshold, else value
    sparse_plus                           x, below 1 (x + 1)^2 / 4, below -1 0
    sparse_sigmoid                        (x + 1) / 2 clipped to [0, 1]
    squareplus, b = 4                     (x + sqrt(x^2 + b)) / 2
    softmax, log_softmax                  along the last axis
    ====================================  ================================================

    Parameters are numbers of at most 2**64; max_value, the shrinks' thresholds and relu's are not
    negative, and celu's alpha and b are at least 2**-64. They are rounded to `x`'s dtype. NaN stays
    NaN, and infinity gives what the activation tends to. float32 is right to 2 units in the last
    place, or a little more for tanh_shrink.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.activate(np.array([-1.0, 0.0, 6.0]), "hard_sigmoid").round(4)
    array([0.3333, 0.5   , 1.    ])
    >>> fd.activate(np.array([-1.0, 0.0, 6.0]), ("leaky_relu", 0.3))
    array([-0.3,  0. ,  6. ])
    """
    array = _check.array(x, "x", _check.FLOATS)
    activation = _check.activation(activation, "activation")
    if activation in _check.ROW_ACTIVATIONS and array.ndim == 0:
        _check.refuse(ValueError, "x", "an array of 1 dimension or more", array)
    out = np.array(array, order="C")
    _activate(out, activation)
    return out


def _activate(v: NDArray[Any], activation: Activation) -> None:
    """In place, on a contiguous array, so that every row is treated alike."""
    if not v.size:
        return
    if activation in _check.ROW_ACTIVATIONS:
        rows = v.reshape(-1, v.shape[-1])
        height = max(1, _PIECE_NUMBERS // rows.shape[1])
        for n in range(0, len(rows), height):
            _backend.active.softmax(rows[n : n + height], activation == "log_softmax")
    else:
        flat = v.reshape(-1)
        for n in range(0, len(flat), _PIECE_NUMBERS):
            _backend.active.activate(flat[n : n + _PIECE_NUMBERS], activation)


@typing.overload
def matmul(a: NDArray[F], b: NDArray[F]) -> NDArray[F]: ...
@typing.overload
def matmul(a: ArrayLike, b: ArrayLike) -> NDArray[Any]: ...
def matmul(a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
    """Multiply stacks of matrices, each sum in the order of `dense`, so independent of the others.

    Parameters
    ----------
    a : array_like, shape (n, rows, inputs)
        float32 or float64.
    b : array_like, shape (n, inputs, columns)

    Returns
    -------
    ndarray, shape (n, rows, columns)
        Of the common dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop.feedforward import matmul
    >>> matmul(np.arange(4.0).reshape(2, 1, 2), np.ones((2, 2, 3)))
    array([[[1., 1., 1.]],
    <BLANKLINE>
           [[5., 5., 5.]]])
    """
    a = _check.array(a, "a", _check.FLOATS, 3)
    n, rows, inputs = a.shape
    b = _check.array(b, "b", _check.FLOATS, 3)
    columns = _check.shaped(b, "b", (n, inputs, b.shape[2])).shape[2]
    dtype = np.result_type(a, b)
    out = np.empty((n, rows, columns), dtype)
    a, b = _check.contiguous(a, dtype), _check.contiguous(b, dtype)
    row_flops = 2 * inputs * columns
    # Packing a matrix takes as long as some rows. Of a matrix that is too large, some rows.
    together = int(_threads.PIECE_FLOPS / max(1, row_flops * (rows + 8)))
    height = max(1, rows if together else int(_threads.PIECE_FLOPS / row_flops))
    for i in range(0, n, max(1, together)):
        for r in range(0, rows, height):
            matrices, part = slice(i, i + max(1, together)), slice(r, r + height)
            _backend.active.matmul(out[matrices, part], a[matrices, part], b[matrices])
    return out

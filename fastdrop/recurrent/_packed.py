"""Weights of recurrent layers, packed once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check
from fastdrop._fallback import to_bfloat16
from fastdrop.typing import Activation, ArrayLike, Precision

Array = NDArray[Any]
# Weights to look at together, for Ctrl-C is seen between: few enough for a cache.
_FINITE_NUMBERS = 1 << 20
# What rounds to a larger number than this becomes infinite in bfloat16.
_BFLOAT16_MAX = float.fromhex("0x1.fep127")
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class PackedWeights:
    """The weights of a recurrent layer, kept in the order in which kernels read them.

    Made by `pack_lstm`, `pack_gru` and `pack_simple_rnn`. Immutable, safe to use from many threads,
    and picklable.

    Attributes
    ----------
    cell : {"lstm", "gru", "simple_rnn"}
        What the weights are for.
    kernel : ndarray, shape (features, gates * units)
        Read-only, as all the arrays; gates as in the function that packed them.
    recurrent_kernel : ndarray, shape (units, gates * units)
    bias : ndarray or None
        Of the shape given.
    activation : str or tuple
        Of the candidate, the LSTM's output, or the simple RNN's output.
    recurrent_activation : str or tuple
        Of the gates; a simple RNN has none and ignores it.
    reset_after : bool
        Whether a GRU's reset gate acts after the matrix product; False for other cells.
    features, units, gates : int
        The widths of the input and of the output; how many gates the weights are for.
    dtype : dtype
        float32 or float64: the common dtype of the arrays.
    precision : {"float32", "float64", "bfloat16"}
        What products are taken in; but for "bfloat16" the dtype's name.

    Notes
    -----
    A pickle holds the plain arrays. They are packed when first used, once for each implementation
    and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.pack_gru(np.zeros((3, 15)), np.zeros((5, 15)))
    PackedWeights(cell='gru', features=3, units=5, dtype=float64)
    """

    cell: str
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    activation: _check.Activation
    recurrent_activation: _check.Activation
    reset_after: bool
    features: int
    units: int
    gates: int
    dtype: np.dtype[Any]
    precision: str
    _forms: dict[tuple[_backend.Backend, str], _backend.Packed]
    _finite: list[bool]

    @classmethod
    def make(
        cls,
        cell: str,
        kernel: object,
        recurrent_kernel: object,
        bias: object,
        activation: object,
        recurrent_activation: object = "sigmoid",
        reset_after: object = False,
        precision: object = None,
        *,
        keep: bool = True,
    ) -> PackedWeights:
        """Check the weights. What outlives the call is copied."""
        reset_after = _check.flag(reset_after, "reset_after")
        arrays = _fitting(GATES[cell], kernel, recurrent_kernel, bias, 2 if reset_after else 1)
        dtype = arrays[3]
        precision = fitting_precision(precision, dtype) or dtype.name
        fixed = [None if a is None else _check.contiguous(a, dtype) for a in arrays[:3]]
        if keep:
            fixed = [None if a is None else a.copy() for a in fixed]
            for array in fixed:
                if array is not None:
                    array.flags.writeable = False
        values: dict[str, Any] = {
            "cell": cell,
            "kernel": fixed[0],
            "recurrent_kernel": fixed[1],
            "bias": fixed[2],
            "activation": _check.activation(activation, "activation"),
            "recurrent_activation": _check.activation(recurrent_activation, "recurrent_activation"),
            "reset_after": reset_after,
            "features": len(arrays[0]),
            "units": len(arrays[1]),
            "gates": GATES[cell],
            "dtype": dtype,
            "precision": precision,
            "_forms": {},
            "_finite": [],
        }
        made = cls.__new__(cls)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made

    def __init__(self) -> None:
        raise TypeError("PackedWeights: made by pack_lstm, pack_gru and pack_simple_rnn")

    def __repr__(self) -> str:
        sizes = f"features={self.features}, units={self.units}, dtype={self.dtype}"
        if self.precision == "bfloat16":
            sizes += ", precision='bfloat16'"
        return f"PackedWeights(cell={self.cell!r}, {sizes})"

    def __reduce__(self) -> tuple[Callable[..., PackedWeights], tuple[Any, ...]]:
        return PackedWeights.make, (
            self.cell,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            self.activation,
            self.recurrent_activation,
            self.reset_after,
            None if self.precision == self.dtype.name else self.precision,
        )

    def finite(self) -> bool:
        """Whether no weight is infinite or NaN, rounded to bfloat16 neither; looked at once."""
        if not self._finite:
            most = _BFLOAT16_MAX if self.dtype == np.float32 else np.finfo(np.float64).max
            self._finite.append(
                all(
                    bool((np.abs(kernel[part]) <= most).all())
                    for kernel in (self.kernel, self.recurrent_kernel)
                    for part in _parts(kernel)
                )
            )
        return self._finite[0]

    def form(
        self, dtype: np.dtype[Any], bfloat16: bool, recurrent_kernel: Array | None = None
    ) -> _backend.Packed:
        """Return the active backend's form: kept, unless other recurrent weights are given."""
        backend = _backend.active
        kind = (backend, "bfloat16" if bfloat16 else dtype.char)
        keep = recurrent_kernel is None
        if keep and kind in self._forms:
            return self._forms[kind]
        if recurrent_kernel is None:
            recurrent_kernel = _check.contiguous(self.recurrent_kernel, dtype)
        kernel, bias = _check.contiguous(self.kernel, dtype), self.bias
        if bias is None:
            width = self.kernel.shape[1]
            bias = np.zeros((2, width) if self.reset_after else width, dtype)
        if bfloat16:
            kernel, recurrent_kernel = _rounded(kernel), _rounded(recurrent_kernel)
        packed = backend.pack(
            self.cell,
            kernel,
            recurrent_kernel,
            _check.contiguous(bias, dtype),
            self.reset_after,
            self.activation,
            self.recurrent_activation,
            bfloat16,
        )
        # Of two threads that pack at the same time, one has worked in vain.
        return self._forms.setdefault(kind, packed) if keep else packed


def _parts(kernel: Array) -> list[slice]:
    """Rows of a matrix to look at together."""
    height = max(1, _FINITE_NUMBERS // max(1, kernel.shape[1]))
    return [slice(n, n + height) for n in range(0, len(kernel), height)]


def _rounded(kernel: Array) -> Array:
    rounded = np.empty_like(kernel)
    for part in _parts(kernel):
        rounded[part] = to_bfloat16(kernel[part])
    return rounded


def fitting_precision(value: object, dtype: np.dtype[Any]) -> str | None:
    """Return what products are to be taken in; None where nothing is asked for."""
    if value is None:
        return None
    precision = _check.choice(value, "precision", _check.PRECISIONS)
    if dtype != np.float32:
        expected = f"None where numbers are {dtype}"
        _check.refuse(ValueError, "precision", expected, precision)
    return precision


def _fitting(
    gates: int, kernel: object, recurrent_kernel: object, bias: object, rows_of_bias: int
) -> tuple[Array, Array, Array | None, np.dtype[Any]]:
    """Weights that fit each other, and their common dtype."""
    recurrent = _check.array(recurrent_kernel, "recurrent_kernel", _check.FLOATS, 2)
    _check_way(recurrent, "recurrent_kernel", gates * len(recurrent), gates * recurrent.shape[1])
    width = gates * len(recurrent)
    inputs = _check.array(kernel, "kernel", _check.FLOATS, 2)
    _check_way(inputs, "kernel", width, width)
    dtype = inputs.dtype if inputs.dtype == recurrent.dtype else np.dtype(np.float64)
    if bias is None:
        return inputs, recurrent, None, dtype
    shape = (width,) if rows_of_bias == 1 else (rows_of_bias, width)
    start = _check.array(bias, "bias", _check.FLOATS)
    if rows_of_bias == 2 and start.shape == (width,):
        expected = f"shape {shape}, or {start.shape} with reset_after=False"
        _check.refuse(ValueError, "bias", expected, start)
    _check.shaped(start, "bias", shape)
    return inputs, recurrent, start, dtype if start.dtype == dtype else np.dtype(np.float64)


def _check_way(weights: Array, name: str, width: int, transposed: int) -> None:
    """Refuse weights of another width, and say so where they are transposed, as in PyTorch."""
    rows, columns = weights.shape
    if columns != width and rows == transposed:
        expected = f"shape {(columns, rows)}, as {name}.T has (gates in the order of Keras)"
        _check.refuse(ValueError, name, expected, weights)
    _check.shaped(weights, name, (rows, width))


def pack_lstm(
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    precision: Precision | None = None,
) -> PackedWeights:
    """Prepare the weights of an LSTM layer for `rnn` and `step`.

    Parameters
    ----------
    kernel : array_like, shape (features, 4 * units)
        float32 or float64. Gates in the order input, forget, candidate, output (Keras's i, f, c,
        o).
    recurrent_kernel : array_like, shape (units, 4 * units)
    bias : array_like, shape (4 * units,), optional
    activation, recurrent_activation : str or tuple, optional
        "tanh", "sigmoid", "relu", "linear", "hard_sigmoid" (x / 6 + 0.5 clipped to [0, 1], as in
        Keras 3 and PyTorch) or "hard_sigmoid_legacy" (0.2 x + 0.5 clipped, as in tf-keras and
        ONNX), or any other that `activate` takes. softmax and log_softmax are along all units of a
        row. The second is that of the three gates.
    precision : {"float32", "bfloat16"}, optional
        For float32 weights: what products are taken in, if not float32. With "bfloat16" the
        weights, and what they are multiplied by, are rounded to it (to nearest, ties to even);
        products are added in float32, and all else stays float32.

    Returns
    -------
    PackedWeights

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    Notes
    -----
    Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), with forget
    gates. What is computed is written in `rnn`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> weights = fd.pack_lstm(np.ones((3, 20), np.float32), np.ones((5, 20), np.float32))
    >>> fd.rnn(np.ones((2, 4, 3), np.float32), weights).shape
    (2, 5)
    """
    return PackedWeights.make(
        "lstm",
        kernel,
        recurrent_kernel,
        bias,
        activation,
        recurrent_activation,
        precision=precision,
    )


def pack_gru(
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    reset_after: bool = True,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    precision: Precision | None = None,
) -> PackedWeights:
    """Prepare the weights of a GRU layer for `rnn` and `step`.

    Parameters
    ----------
    kernel : array_like, shape (features, 3 * units)
        float32 or float64. Gates in the order update, reset, candidate (Keras's z, r, h).
    recurrent_kernel : array_like, shape (units, 3 * units)
    bias : array_like, optional
        Of shape (2, 3 * units) with `reset_after`: the input's and the previous output's. Otherwise
        of shape (3 * units,).
    reset_after : bool, optional
        Whether the reset gate acts after the matrix product, as in Keras's default, PyTorch and
        cuDNN, or before it, as in the paper.
    activation, recurrent_activation : str or tuple, optional
        As in `pack_lstm`. The second is that of the two gates.
    precision : {"float32", "bfloat16"}, optional
        As in `pack_lstm`.

    Returns
    -------
    PackedWeights

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    Notes
    -----
    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation", EMNLP 2014. What is computed is written in `rnn`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> weights = fd.pack_gru(np.ones((3, 15), np.float32), np.ones((5, 15), np.float32))
    >>> fd.rnn(np.ones((2, 4, 3), np.float32), weights).shape
    (2, 5)
    """
    return PackedWeights.make(
        "gru",
        kernel,
        recurrent_kernel,
        bias,
        activation,
        recurrent_activation,
        reset_after,
        precision,
    )


def pack_simple_rnn(
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    precision: Precision | None = None,
) -> PackedWeights:
    """Prepare the weights of a simple recurrent layer for `rnn` and `step`.

    Parameters
    ----------
    kernel : array_like, shape (features, units)
        float32 or float64.
    recurrent_kernel : array_like, shape (units, units)
    bias : array_like, shape (units,), optional
    activation : str or tuple, optional
        As in `pack_lstm`.
    precision : {"float32", "bfloat16"}, optional
        As in `pack_lstm`.

    Returns
    -------
    PackedWeights

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range.

    Notes
    -----
    Elman, "Finding Structure in Time", Cognitive Science 14 (1990). What is computed is written in
    `rnn`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> weights = fd.pack_simple_rnn(np.ones((3, 5), np.float32), np.ones((5, 5), np.float32))
    >>> fd.rnn(np.ones((2, 4, 3), np.float32), weights).shape
    (2, 5)
    """
    return PackedWeights.make(
        "simple_rnn", kernel, recurrent_kernel, bias, activation, precision=precision
    )

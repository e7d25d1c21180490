"""Recurrent layers with dropout."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _backend, _check, _threads
from fastdrop.masks import dropout as _dropout
from fastdrop.random import Key, as_key, check_rng

# Rows that a call takes together. Enough for any kernel to work on side by side.
_PIECE_ROWS = 64


def lstm(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    rng: object = None,
    scheme: str = "per_gate",
    scope: str = "per_row",
    site: int = 0,
    sample: int = 0,
    row_offset: int = 0,
    input_mask: ArrayLike | None = None,
    recurrent_mask: ArrayLike | None = None,
    initial_state: tuple[ArrayLike, ArrayLike] | None = None,
    mask: ArrayLike | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
    return_sequences: bool = False,
    return_state: bool = False,
    threads: int | None = None,
) -> Any:
    """Run an LSTM layer with input and recurrent dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. All arrays are computed with in their common dtype.
    kernel : array_like, shape (features, 4 * units)
        Gates in the order input, forget, candidate, output (Keras's i, f, c, o).
    recurrent_kernel : array_like, shape (units, 4 * units)
    bias : array_like, shape (4 * units,), optional
    activation, recurrent_activation : str, optional
        "tanh", "sigmoid", "relu", "linear", "hard_sigmoid" (x / 6 + 0.5 clipped to [0, 1], as in
        Keras 3 and PyTorch) or "hard_sigmoid_legacy" (0.2 x + 0.5 clipped, as in tf-keras and
        ONNX). The second is that of the three gates.
    dropout, recurrent_dropout : float, optional
        The probability, in [0, 1), of dropping an input feature and a unit of the previous output.
        A mask is drawn once for a row and serves all its time steps.
    rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
        As in `bernoulli`. Used only where a mask is drawn.
    scheme : {"per_gate", "tied"}, optional
        One mask for each of the four gates, or one for all of them.
    scope : {"per_row", "shared"}, optional
        Whether each row has its own masks, or all rows share those of one row.
    site, sample : int, optional
        Which streams are used: ``site << 32 | sample`` for the input masks and
        ``(site + 1) << 32 | sample`` for the recurrent masks. In [0, 2**32 - 1) and [0, 2**32).
    row_offset : int, optional
        The number of the first row in the whole data set. Row n of the data set has the same masks
        however the data set is split.
    input_mask : array_like, shape (batch, 4, features) or (batch, features), optional
        Factors to use in place of drawn ones, for replay; zero drops. 1 may stand for the batch.
    recurrent_mask : array_like, shape (batch, 4, units) or (batch, units), optional
        The same for the previous output.
    initial_state : (h, c), each of shape (batch, units), optional
        Zeros if not given. h is masked like any other previous output; c never is.
    mask : array_like of bool, shape (batch, time), optional
        False marks a step to pass over: the state stays and the last output is repeated (zeros
        before the first step taken).
    zero_output_for_mask : bool, optional
        Put out zeros for the steps passed over.
    go_backwards : bool, optional
        Take the steps from the last to the first; outputs are in the order taken.
    return_sequences : bool, optional
        Return the outputs of all steps.
    return_state : bool, optional
        Return the final state too.
    threads : int, optional
        At most this many threads, each with rows of its own. Never changes a result.

    Returns
    -------
    ndarray, shape (batch, units) or (batch, time, units)
        The last output (with no time steps: the initial h), or all outputs.
    h, c : ndarray, shape (batch, units)
        Only with `return_state`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range, or a rate is given together with the
        mask that it would draw.

    Notes
    -----
    Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), with forget
    gates. Dropout after Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in
    Recurrent Neural Networks", NIPS 2016: "tied" is their tied-weights variant, "per_gate" is what
    Keras does when `recurrent_dropout` is above zero::

        i, f, o = recurrent_activation(b + (x_t * mx) W + (h * mh) R)    gate by gate
        g       = activation(b + (x_t * mx) W + (h * mh) R)
        c       = f * c + i * g
        h       = o * activation(c)

    Each sum starts from the bias and adds the input's products, then the recurrent ones, in order.
    A row's bits do not depend on the batch, the threads or `row_offset`'s split of the data.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((2, 3, 4), np.float32)
    >>> kernel = np.full((4, 20), 0.1, np.float32)
    >>> recurrent = np.full((5, 20), 0.1, np.float32)
    >>> both = fd.lstm(x, kernel, recurrent, dropout=0.5, recurrent_dropout=0.5, rng=0)
    >>> both.shape
    (2, 5)
    >>> second = fd.lstm(x[1:], kernel, recurrent, dropout=0.5, recurrent_dropout=0.5, rng=0,
    ...                  row_offset=1)
    >>> bool((second == both[1:]).all())
    True
    """
    # Everything that can be refused is looked at before anything is computed.
    x = _check.array(x, "x", _check.FLOATS, 3)
    rows, steps, features = x.shape
    recurrent_kernel = _check.array(recurrent_kernel, "recurrent_kernel", _check.FLOATS, 2)
    units = recurrent_kernel.shape[0]
    _check.shaped(recurrent_kernel, "recurrent_kernel", (units, 4 * units))
    kernel = _check.array(kernel, "kernel", _check.FLOATS, 2)
    _check.shaped(kernel, "kernel", (features, 4 * units))
    if bias is not None:
        bias = _check.shaped(_check.array(bias, "bias", _check.FLOATS, 1), "bias", (4 * units,))
    dtype = np.result_type(*[a for a in (x, kernel, recurrent_kernel, bias) if a is not None])
    activation = _check.choice(activation, "activation", _check.ACTIVATIONS)
    recurrent_activation = _check.choice(
        recurrent_activation, "recurrent_activation", _check.ACTIVATIONS
    )
    scheme = _check.choice(scheme, "scheme", _check.SCHEMES)
    scope = _check.choice(scope, "scope", _check.SCOPES)
    site = _check.integer(site, "site", 0, (1 << 32) - 1)
    sample = _check.integer(sample, "sample", 0, 1 << 32)
    gates = 4 if scheme == "per_gate" else 1
    first_row = _check.rows_range(row_offset, rows, gates * max(features, units, 1))
    rates = []
    for rate, name, replayed in (
        (dropout, "dropout", input_mask),
        (recurrent_dropout, "recurrent_dropout", recurrent_mask),
    ):
        rates.append(_check.recurrent_rate(rate, name))
        if replayed is not None and rates[-1]:
            _check.refuse(ValueError, name, "0 where the mask itself is given", rate)
    if input_mask is not None:
        input_mask = _check.dropout_mask(input_mask, "input_mask", rows, 4, features, dtype)
    if recurrent_mask is not None:
        recurrent_mask = _check.dropout_mask(
            recurrent_mask, "recurrent_mask", rows, 4, units, dtype
        )
    h, c = _check.state(initial_state, ("h", "c"), rows, units, dtype)
    step_mask = None if mask is None else _check.step_mask(mask, rows, steps)
    zero_output_for_mask = _check.flag(zero_output_for_mask, "zero_output_for_mask")
    go_backwards = _check.flag(go_backwards, "go_backwards")
    return_sequences = _check.flag(return_sequences, "return_sequences")
    return_state = _check.flag(return_state, "return_state")
    threads = _check.thread_count(threads, _threads.DEFAULT)

    if not any(rates):
        check_rng(rng)
    else:
        key = as_key(rng)
        mask_rows, start = (1, 0) if scope == "shared" else (rows, first_row)
        masks = [
            _draw_mask(key, s << 32 | sample, rate, start, (mask_rows, gates, width), dtype)
            if rate
            else None
            for s, rate, width in ((site, rates[0], features), (site + 1, rates[1], units))
        ]
        input_mask = masks[0] if input_mask is None else input_mask
        recurrent_mask = masks[1] if recurrent_mask is None else recurrent_mask
    x, kernel, recurrent_kernel = (
        _check.contiguous(a, dtype) for a in (x, kernel, recurrent_kernel)
    )
    bias = None if bias is None else _check.contiguous(bias, dtype)
    y = np.empty((rows, steps, units), dtype) if return_sequences else None
    # Before the first step taken there is no output to repeat. With no steps at all h_T is h_0.
    y_last = np.zeros((rows, units), dtype) if steps else h.copy()

    def run(piece: slice) -> None:
        """Run the rows of a piece through the whole sequence, a window of time after another."""
        for first in range(0, steps, window):
            if _threads.abandoned():
                return
            _backend.active.lstm(
                y_last[piece],
                h[piece],
                c[piece],
                None if y is None else y[piece],
                x[piece],
                kernel,
                recurrent_kernel,
                bias,
                _part(input_mask, piece),
                _part(recurrent_mask, piece),
                _part(step_mask, piece),
                first,
                min(first + window, steps),
                activation,
                recurrent_activation,
                go_backwards,
                zero_output_for_mask,
            )

    row_step_flops = max(1, 8 * units * (features + units))
    affordable = int(_threads.PIECE_FLOPS / row_step_flops)
    height = max(1, min(_PIECE_ROWS, -(-rows // threads), affordable))
    window = max(1, affordable // height)
    pieces = [slice(n, n + height) for n in range(0, rows, height)]
    for _ in _threads.ordered_map(run, pieces, max(1, min(threads, len(pieces)))):
        pass

    output = y_last if y is None else y
    return (output, h, c) if return_state else output


def _draw_mask(
    key: Key,
    stream: int,
    rate: float,
    first_row: int,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Draw scaled masks (rows, gates, width) for rows of the data set from `first_row` on."""
    ones = np.ones(shape, dtype)
    offset = first_row * shape[1] * shape[2]
    return _dropout(ones, rate, rng=key, stream=stream, offset=offset, out=ones, threads=1)


def _part(array: Any, piece: slice) -> Any:
    """Return the rows of a piece; a mask of one row serves all pieces."""
    if array is None or len(array) == 1:
        return array
    return array[piece]

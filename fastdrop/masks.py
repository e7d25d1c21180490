"""Bernoulli masks and dropout."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastdrop import _backend, _check, _threads
from fastdrop.random import as_key

_EVENT_DTYPES = ("bool", "uint8", "float32", "float64")
_PIECE = _threads.PIECE_ELEMENTS


def bernoulli(
    p: float,
    shape: int | tuple[int, ...],
    *,
    rng: object = None,
    stream: int = 0,
    offset: int = 0,
    dtype: DTypeLike = bool,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Draw independent events of probability `p`, as the mask contract says.

    Parameters
    ----------
    p : float
        The probability of the event, in [0, 1]; used to 32 bits: round-half-even(p * 2**32).
    shape : int or tuple of int
        The mask's shape. Elements are numbered in C order.
    rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
        Where the randomness comes from. The same integer twice is the same mask twice. None takes
        fresh entropy.
    stream : int, optional
        Which of the key's 2**64 streams.
    offset : int, optional
        The number of the first element, so that a mask can be drawn in parts, or continued:
        ``offset + size <= 2**63``.
    dtype : dtype or "packed", optional
        bool, uint8, float32 or float64 (1 for the event, 0 otherwise), or "packed": eight
        elements a byte, the first in the least significant bit, as
        ``numpy.packbits(mask.ravel(), bitorder="little")`` gives.
    out : ndarray, optional
        An array of that shape and dtype to write to; for "packed" uint8 of shape
        (ceil(size / 8),).
    threads : int, optional
        At most this many threads, for masks of more than 8 million elements; None means
        ``fastdrop.info().threads``. Never changes a result.

    Returns
    -------
    ndarray
        `out`, or a new array; for "packed" of shape (ceil(size / 8),).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    Bit by bit comparison of a Philox4x32-10 stream with the threshold, most significant bit first
    (mask contract ``fastdrop-mask/1``): the bits depend on nothing but the key, the stream, the
    element's number and the threshold.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.bernoulli(0.5, 8, rng=fd.Key.from_words(0, 0)).astype(int)
    array([0, 1, 0, 1, 0, 1, 0, 0])
    >>> whole = fd.bernoulli(0.1, 1000, rng=7)
    >>> part = fd.bernoulli(0.1, 400, rng=7, offset=600)
    >>> bool((whole[600:] == part).all())
    True
    """
    packed = isinstance(dtype, str) and dtype == "packed"
    threshold = _check.threshold(_check.probability(p, "p"))
    axes = _check.shape(shape, "shape")
    size = math.prod(axes)
    first = _check.element_range(offset, size)
    number = _check.integer(stream, "stream", 0, 1 << 64)
    kind = np.dtype(np.uint8) if packed else _check.event_dtype(dtype, _EVENT_DTYPES)
    target = (-(-size // 8),) if packed else axes
    if out is not None:
        _check.output(out, target, kind)
    threads = _check.thread_count(threads, _threads.DEFAULT)
    key = as_key(rng)
    if out is not None and out.flags.c_contiguous and out.flags.aligned:
        mask = out
    else:
        mask = np.empty(target, kind)
    if size:
        flat = mask.reshape(-1)
        if not packed and kind.kind == "b":
            flat = flat.view(np.uint8)

        def draw(n: int) -> None:
            count = min(_PIECE, size - n)
            words = (key.k0, key.k1, key.stream(number), first + n, threshold)
            if packed:
                _backend.active.bernoulli_packed(flat[n // 8 : -(-(n + count) // 8)], count, *words)
            else:
                _backend.active.bernoulli(flat[n : n + count], *words)

        _in_pieces(draw, size, threads)
    return _delivered(mask, out)


def dropout(
    x: ArrayLike,
    rate: float,
    *,
    rng: object = None,
    stream: int = 0,
    offset: int = 0,
    noise_shape: tuple[int | None, ...] | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Set elements to zero with probability `rate` and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    x : array_like
        float32 or float64, of any shape and strides.
    rate : float
        The probability of dropping, in [0, 1]; used to 32 bits.
    rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
        As in `bernoulli`.
    stream, offset : int, optional
        As in `bernoulli`; elements are those of the mask, in C order.
    noise_shape : tuple of int or None, optional
        The mask's shape, where one mask value serves several elements: for each axis of `x` either
        1 (one value along the whole axis) or its length, for which None may stand.
    out : ndarray, optional
        An array of `x`'s shape and dtype to write to. It may be `x`, or overlap it.
    threads : int, optional
        As in `bernoulli`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array of `x`'s shape and dtype. What is dropped is +0.0 even
        where `x` is NaN or infinite.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    Inverted dropout: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15 (2014); Keras's ``Dropout`` in training, PyTorch's ``F.dropout``. The mask
    is ``bernoulli(rate, noise_shape, ...)``, True meaning dropped.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.dropout(np.arange(1.0, 7.0), 0.5, rng=fd.Key.from_words(0, 0))
    array([ 2.,  0.,  6.,  0., 10.,  0.])
    """
    array = _check.array(x, "x", _check.FLOATS)
    threshold = _check.threshold(_check.probability(rate, "rate"))
    noise = _check.noise_shape(noise_shape, array.shape)
    first = _check.element_range(offset, math.prod(noise))
    number = _check.integer(stream, "stream", 0, 1 << 64)
    if out is not None:
        _check.output(out, array.shape, array.dtype)
    threads = _check.thread_count(threads, _threads.DEFAULT)
    key = as_key(rng)
    source = _check.contiguous(array, array.dtype)
    if out is None or not (out.flags.c_contiguous and out.flags.aligned):
        result = np.empty(array.shape, array.dtype)
    else:
        result = out
        same = source.__array_interface__["data"] == out.__array_interface__["data"]
        if not same and np.may_share_memory(source, out):
            source = source.copy()
    if array.size:
        scale = _check.scale(threshold)
        if noise == array.shape:
            flat, x_flat = result.reshape(-1), source.reshape(-1)

            def drop(n: int) -> None:
                piece = slice(n, n + _PIECE)
                words = (key.k0, key.k1, key.stream(number), first + n, threshold)
                _backend.active.dropout(flat[piece], x_flat[piece], scale, *words)

            _in_pieces(drop, array.size, threads)
        else:
            dropped = bernoulli(rate, noise, rng=key, stream=number, offset=first, threads=threads)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                np.multiply(source, array.dtype.type(scale), out=result)
            np.copyto(result, 0, where=dropped)
    return _delivered(result, out)


def _in_pieces(run: Callable[[int], None], size: int, threads: int) -> None:
    """Call run(n) for the first element n of every piece."""
    starts = range(0, size, _PIECE)
    for _ in _threads.ordered_map(run, starts, min(threads, len(starts))):
        pass


def _delivered(result: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """Return `out`, holding the result, where the caller gave one."""
    if out is None:
        return result
    if out is not result:
        out[...] = result
    return out

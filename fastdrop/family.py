"""The dropout family: other things that masks and noise do to arrays."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check, _threads
from fastdrop.masks import (
    T,
    apply_mask,
    bernoulli,
    delivered,
    draw_packed,
    drop,
    flat,
    layout,
    prepared,
    readable,
    run,
)
from fastdrop.random import Key, stream_of
from fastdrop.typing import ArrayLike, RNGLike, Scope

__all__ = [
    "alpha_dropout",
    "drop_connect",
    "embedding_dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "spatial_dropout1d",
    "spatial_dropout2d",
    "spatial_dropout3d",
    "zoneout",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


# The negative saturation value of SELU: alpha times lambda of Klambauer et al. (2017).
_SATURATION = -(1.6732632423543772 * 1.0507009873554805)

# How many elements of a mask are drawn in the time of one normal number, at least: pieces for
# threads, and between looks at Ctrl-C, are so much shorter.
_NORMAL_COST = 8


if typing.TYPE_CHECKING:  # what overloads take
    from fastdrop.masks import DrawOptions, DropoutOptions

    class SpatialOptions(DrawOptions, total=False):
        """Those of `spatial_dropout1d` and the like."""

        data_format: _check.DataFormat

    class EmbeddingOptions(TypedDict, total=False):
        """Those of `embedding_dropout`."""

        rng: RNGLike
        stream: int
        row_offset: int
        scope: Scope
        threads: int | None


# ---- dropout of whole channels, and of weights ----


@typing.overload
def spatial_dropout1d(
    x: NDArray[T], rate: float, **options: Unpack[SpatialOptions]
) -> NDArray[T]: ...
@typing.overload
def spatial_dropout1d(
    x: ArrayLike, rate: float, **options: Unpack[SpatialOptions]
) -> NDArray[Any]: ...
def spatial_dropout1d(
    x: ArrayLike,
    rate: float,
    *,
    data_format: _check.DataFormat = "channels_last",
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Drop whole channels of sequences with probability `rate`, and scale the others.

    Parameters
    ----------
    x : array_like
        float16, bfloat16, float32 or float64 of shape (batch, steps, channels), or
        (batch, channels, steps) with "channels_first".
    rate : float
        The probability of dropping a channel of a row, in [0, 1]; used to 32 bits.
    data_format : {"channels_last", "channels_first"}, optional
        Which axis is that of the channels.
    rng, stream, offset, out, threads : optional
        As in `dropout`; elements are the batch * channels of the mask. One key and stream give the
        same bits in every function.

    Returns
    -------
    ndarray
        `out`, or a new array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    ``dropout`` with a `noise_shape` of (batch, 1, channels), or (batch, channels, 1). Tompson et
    al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015. It is Keras's
    ``SpatialDropout1D`` (which knows only channels_last) and, with "channels_first", PyTorch's
    ``F.dropout1d`` (which also takes a single row, without the batch axis).

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.spatial_dropout1d(np.ones((1, 3, 4)), 0.5, rng=fd.Key.from_words(0, 0))
    array([[[2., 0., 2., 0.],
            [2., 0., 2., 0.],
            [2., 0., 2., 0.]]])
    """
    return _spatial(1, x, rate, data_format, rng, stream, offset, out, threads)


@typing.overload
def spatial_dropout2d(
    x: NDArray[T], rate: float, **options: Unpack[SpatialOptions]
) -> NDArray[T]: ...
@typing.overload
def spatial_dropout2d(
    x: ArrayLike, rate: float, **options: Unpack[SpatialOptions]
) -> NDArray[Any]: ...
def spatial_dropout2d(
    x: ArrayLike,
    rate: float,
    *,
    data_format: _check.DataFormat = "channels_last",
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Drop whole channels of images with probability `rate`, and scale the others.

    Parameters
    ----------
    x : array_like
        float16, bfloat16, float32 or float64 of shape (batch, rows, columns, channels), or
        (batch, channels, rows, columns) with "channels_first".
    rate : float
        The probability of dropping a channel of an image, in [0, 1]; used to 32 bits.
    data_format : {"channels_last", "channels_first"}, optional
        Which axis is that of the channels.
    rng, stream, offset, out, threads : optional
        As in `dropout`; elements are the batch * channels of the mask. One key and stream give the
        same bits in every function.

    Returns
    -------
    ndarray
        `out`, or a new array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        As in `spatial_dropout1d`.

    Notes
    -----
    As `spatial_dropout1d`, with the same source. It is Keras's ``SpatialDropout2D`` and, with
    "channels_first", PyTorch's ``F.dropout2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((8, 5, 5, 3), np.float32)
    >>> y = fd.spatial_dropout2d(x, 0.25, rng=0)
    >>> bool((y == y[:, :1, :1]).all())
    True
    """
    return _spatial(2, x, rate, data_format, rng, stream, offset, out, threads)


@typing.overload
def spatial_dropout3d(
    x: NDArray[T], rate: float, **options: Unpack[SpatialOptions]
) -> NDArray[T]: ...
@typing.overload
def spatial_dropout3d(
    x: ArrayLike, rate: float, **options: Unpack[SpatialOptions]
) -> NDArray[Any]: ...
def spatial_dropout3d(
    x: ArrayLike,
    rate: float,
    *,
    data_format: _check.DataFormat = "channels_last",
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Drop whole channels of volumes with probability `rate`, and scale the others.

    Parameters
    ----------
    x : array_like
        float16, bfloat16, float32 or float64 of shape (batch, d1, d2, d3, channels), or
        (batch, channels, d1, d2, d3) with "channels_first".
    rate : float
        The probability of dropping a channel of a volume, in [0, 1]; used to 32 bits.
    data_format : {"channels_last", "channels_first"}, optional
        Which axis is that of the channels.
    rng, stream, offset, out, threads : optional
        As in `dropout`; elements are the batch * channels of the mask. One key and stream give the
        same bits in every function.

    Returns
    -------
    ndarray
        `out`, or a new array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        As in `spatial_dropout1d`.

    Notes
    -----
    As `spatial_dropout1d`, with the same source. It is Keras's ``SpatialDropout3D`` and, with
    "channels_first", PyTorch's ``F.dropout3d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((8, 3, 4, 4, 4), np.float32)
    >>> y = fd.spatial_dropout3d(x, 0.25, data_format="channels_first", rng=0)
    >>> bool((y == y[:, :, :1, :1, :1]).all())
    True
    """
    return _spatial(3, x, rate, data_format, rng, stream, offset, out, threads)


def _spatial(
    axes: int,
    x: ArrayLike,
    rate: float,
    data_format: _check.DataFormat,
    rng: RNGLike,
    stream: int,
    offset: int,
    out: NDArray[Any] | None,
    threads: int | None,
) -> NDArray[Any]:
    array = _check.operand(x, "x", _check.DROPPABLE, axes + 2)
    last = _check.choice(data_format, "data_format", _check.DATA_FORMATS) == "channels_last"
    noise = (None, *(1,) * axes, None) if last else (None, None, *(1,) * axes)
    return drop(array, "x", rate, rng, stream, offset, noise, out, False, threads)[0]


@typing.overload
def drop_connect(weight: NDArray[T], rate: float, **options: Unpack[DrawOptions]) -> NDArray[T]: ...
@typing.overload
def drop_connect(
    weight: ArrayLike, rate: float, **options: Unpack[DrawOptions]
) -> NDArray[Any]: ...
def drop_connect(
    weight: ArrayLike,
    rate: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Set weights, rather than activations, to zero with probability `rate`, and scale the others.

    Parameters
    ----------
    weight : array_like
        float16, bfloat16, float32 or float64, of any shape.
    rate : float
        The probability of dropping a weight, in [0, 1]; used to 32 bits.
    rng, stream, offset, out, threads : optional
        As in `dropout`. One key and stream give the same bits in every function.

    Returns
    -------
    ndarray
        `out`, or a new array of `weight`'s shape and dtype: what is kept is scaled by
        1 / (1 - rate).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    Wan et al., "Regularization of Neural Networks using DropConnect", ICML 2013. They do not scale;
    the scaling is that of the weight-dropped LSTM (Merity, Keskar and Socher, "Regularizing and
    Optimizing LSTM Language Models", 2017), which drops recurrent weights once a sequence. Neither
    Keras nor PyTorch has a function for it; it is PyTorch's ``F.dropout`` on a weight.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.drop_connect(np.ones((2, 4)), 0.5, rng=fd.Key.from_words(0, 0))
    array([[2., 0., 2., 0.],
           [2., 0., 2., 2.]])
    """
    return drop(weight, "weight", rate, rng, stream, offset, None, out, False, threads)[0]


@typing.overload
def embedding_dropout(
    indices: ArrayLike, table: NDArray[T], rate: float, **options: Unpack[EmbeddingOptions]
) -> NDArray[T]: ...
@typing.overload
def embedding_dropout(
    indices: ArrayLike, table: ArrayLike, rate: float, **options: Unpack[EmbeddingOptions]
) -> NDArray[Any]: ...
def embedding_dropout(
    indices: ArrayLike,
    table: ArrayLike,
    rate: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    row_offset: int = 0,
    scope: Scope = "per_row",
    threads: int | None = None,
) -> NDArray[Any]:
    """Look up embeddings with whole words dropped, each wherever it occurs.

    Parameters
    ----------
    indices : array_like
        Integers in [0, V), of 1 dimension or more; rows are along the first axis.
    table : array_like
        The embeddings: float16, bfloat16, float32 or float64 of shape (V, D).
    rate : float
        The probability of dropping a word, in [0, 1]; used to 32 bits.
    rng, stream, threads : optional
        As in `dropout`. One key and stream give the same bits in every function.
    row_offset : int, optional
        The number of the first row in the whole data set, so that splitting the data changes
        nothing.
    scope : {"per_row", "shared"}, optional
        Whether every row drops words of its own, or all drop the same.

    Returns
    -------
    ndarray
        ``table[indices]``, of shape indices.shape + (D,), with the words that were dropped +0.0
        and the others scaled by 1 / (1 - rate).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape.

    Notes
    -----
    Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural
    Networks", NeurIPS 2016: word types are dropped, not occurrences. Word w of row n is dropped if
    event number (row_offset + n) * V + w of ``bernoulli(rate, ...)`` occurs; with "shared", as in
    Merity, Keskar and Socher (2017), number w. Neither Keras nor PyTorch has it. All V events of a
    row are drawn, however few words it has.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> table = np.arange(1.0, 7.0).reshape(3, 2)
    >>> fd.embedding_dropout([[0, 1, 0, 2]], table, 0.5, rng=fd.Key.from_words(0, 0))
    array([[[ 2.,  4.],
            [ 0.,  0.],
            [ 2.,  4.],
            [10., 12.]]])
    """
    words = _check.array(indices, "indices", _check.INTEGERS)
    if words.ndim == 0:
        _check.refuse(ValueError, "indices", "an array of 1 dimension or more", words)
    array = _check.array(table, "table", _check.DROPPABLE, 2)
    count = len(array)
    _check.indices(words, count)
    _check.probability(rate, "rate")
    first_row = _check.rows_range(row_offset, len(words), count)
    per_row = _check.choice(scope, "scope", _check.SCOPES) == "per_row"
    threads = _check.thread_count(threads, _threads.DEFAULT)
    source = stream_of(rng, stream)
    key = Key.from_words(source.k0, source.k1, source.stream)
    words = words.astype(np.int64, copy=False)
    if per_row:
        dropped = np.empty(words.shape, np.uint8)
        step = max(1, _threads.PIECE_ELEMENTS // max(count, 1))
        for row in range(0, len(words), step):
            some = words[row : row + step]
            number = np.arange(len(some)).reshape(-1, *(1,) * (words.ndim - 1)) * count + some
            start = (first_row + row) * count
            dropped[row : row + step] = _events(
                rate, number, len(some) * count, rng=key, offset=start, threads=threads
            )
    else:
        dropped = _events(rate, words, count, rng=key, offset=0, threads=threads)
    y = np.take(array, words, axis=0)
    bits = np.packbits(dropped, bitorder="little")
    return apply_mask(y, bits, rate=rate, noise_shape=(*words.shape, 1), out=y, threads=threads)


def _events(rate: float, number: NDArray[np.int64], size: int, **options: Any) -> NDArray[np.uint8]:
    """Whether the events of these numbers occur, of the first `size`."""
    bits = bernoulli(rate, size, dtype="packed", **options)
    occurs: NDArray[np.uint8] = bits[number >> 3] >> (number & 7).astype(np.uint8) & np.uint8(1)
    return occurs


# ---- dropout that keeps mean and variance ----


@typing.overload
def alpha_dropout(x: NDArray[T], rate: float, **options: Unpack[DropoutOptions]) -> NDArray[T]: ...
@typing.overload
def alpha_dropout(x: ArrayLike, rate: float, **options: Unpack[DropoutOptions]) -> NDArray[Any]: ...
def alpha_dropout(
    x: ArrayLike,
    rate: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    noise_shape: tuple[int | None, ...] | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Set elements to SELU's negative limit with probability `rate`, and restore mean and variance.

    Parameters
    ----------
    x : array_like
        float32 or float64, of any shape and strides.
    rate : float
        The probability of dropping, in [0, 1) also after rounding to 32 bits.
    rng, stream, offset, noise_shape, out, threads : optional
        As in `dropout`. One key and stream give the same bits in every function.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017. With p the rate and
    alpha' = -1.7580993408473766, the limit of SELU at minus infinity::

        a = ((1 - p) (1 + p alpha'^2))^(-1/2),   b = -a alpha' p
        y = a x + b  where kept,   a alpha' + b  where dropped

    so that inputs of mean 0 and variance 1 give such outputs. a, b and a alpha' + b are computed
    in binary64 and rounded once to `x`'s dtype, in which a x and a x + b are then each rounded.

    Keras's ``AlphaDropout`` in training and PyTorch's ``F.alpha_dropout`` with the same a and b.
    Both multiply by a mask where fastdrop selects, so there a dropped NaN stays. At a rate of 1
    PyTorch gives zeros and Keras divides by zero; here it is refused.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.alpha_dropout(np.zeros(4), 0.5, rng=fd.Key.from_words(0, 0)).round(4)
    array([ 0.7792, -0.7792,  0.7792, -0.7792])
    """
    array = _check.operand(x, "x", _check.FLOATS)
    threshold = _check.threshold(_check.recurrent_rate(rate, "rate"))
    shape, dtype = array.shape, _check.native(array.dtype)
    noise = _check.noise_shape(noise_shape, shape)
    first = _check.element_range(offset, math.prod(noise))
    if out is not None:
        _check.output(out, shape, dtype)
    threads = _check.thread_count(threads, _threads.DEFAULT)
    source = stream_of(rng, stream, threshold)
    affine = tuple(_check.rounded(number, dtype) for number in alpha_numbers(threshold))
    result, given = prepared(out, array)
    arrays = flat(result), flat(given)
    if noise == shape:
        run(_backend.active.alpha_dropout, arrays, (*affine, source), first, threads)
    else:
        bits = draw_packed(math.prod(noise), source, first, threads)
        head = (*affine, bits, *layout(shape, noise))
        run(_backend.active.apply_alpha, arrays, head, 0, threads)
    return delivered(result, out)


def alpha_numbers(threshold: int) -> tuple[float, float, float]:
    """Give a, b and a alpha' + b of alpha dropout, in binary64."""
    p = threshold / 2.0**32
    a = 1 / math.sqrt((1 - p) * (1 + p * _SATURATION**2))
    # At p = 0 the shift is -0.0, the one number whose addition changes nothing, not even -0.0.
    b = -a * _SATURATION * p if threshold else -0.0
    return a, b, a * _SATURATION + b


# ---- Gaussian noise ----


@typing.overload
def gaussian_dropout(x: NDArray[T], rate: float, **options: Unpack[DrawOptions]) -> NDArray[T]: ...
@typing.overload
def gaussian_dropout(x: ArrayLike, rate: float, **options: Unpack[DrawOptions]) -> NDArray[Any]: ...
def gaussian_dropout(
    x: ArrayLike,
    rate: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Multiply by normal noise of mean 1 and the variance that dropout at `rate` has.

    Parameters
    ----------
    x : array_like
        float32 or float64, of any shape and strides.
    rate : float
        In [0, 1): the noise has the variance rate / (1 - rate).
    rng : optional
        As in `dropout`. One key and stream give the same normals in every function, and no mask
        has their bits.
    stream, offset : int, optional
        As in `dropout`, but ``offset + size <= 2**57``.
    out, threads : optional
        As in `dropout`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    y = x * (1 + sqrt(rate / (1 - rate)) z) with z standard normal, in binary64, rounded once to
    `x`'s dtype: Srivastava et al. (2014), section 10; Keras's ``GaussianDropout`` in training.
    PyTorch has no such function. The normals are those of `gaussian_noise`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> y = fd.gaussian_dropout(np.ones(100_000), 0.2, rng=0)
    >>> print(f"{y.mean():.2f} {y.std():.1f}")
    1.00 0.5
    """
    number = _check.probability(rate, "rate", below_one=True)
    stddev = math.sqrt(number / (1 - number))
    return _gaussian(_backend.active.gaussian_dropout, x, stddev, rng, stream, offset, out, threads)


@typing.overload
def gaussian_noise(x: NDArray[T], stddev: float, **options: Unpack[DrawOptions]) -> NDArray[T]: ...
@typing.overload
def gaussian_noise(x: ArrayLike, stddev: float, **options: Unpack[DrawOptions]) -> NDArray[Any]: ...
def gaussian_noise(
    x: ArrayLike,
    stddev: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Add normal noise of mean 0.

    Parameters
    ----------
    x : array_like
        float32 or float64, of any shape and strides.
    stddev : float
        The standard deviation of the noise: finite, not negative.
    rng : optional
        As in `dropout`. One key and stream give the same normals in every function, and no mask
        has their bits.
    stream, offset : int, optional
        As in `dropout`, but ``offset + size <= 2**57``.
    out, threads : optional
        As in `dropout`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array of `x`'s shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    y = x + stddev z with z standard normal, in binary64, rounded once to `x`'s dtype: Keras's
    ``GaussianNoise`` in training (which takes no stddev above 1). PyTorch has no such function.

    Normal number i of a key and a stream is the quantile of one 64-bit number (contract
    ``fastdrop-normal/1``): 52 bits of probability and a sign, through Wichura's algorithm AS 241,
    Applied Statistics 37 (1988), in operations that round alike everywhere. It depends on nothing
    else, and no mask of that key and stream uses the same bits.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.gaussian_noise(np.zeros(3), 1.0, rng=fd.Key.from_words(0, 0)).round(4)
    array([0.704 , 0.9895, 0.3664])
    >>> bool((fd.gaussian_noise(np.ones(3), 0.0) == 1).all())
    True
    """
    number = _check.stddev(stddev)
    return _gaussian(_backend.active.gaussian_noise, x, number, rng, stream, offset, out, threads)


def _gaussian(
    kernel: Callable[..., None],
    x: ArrayLike,
    stddev: float,
    rng: RNGLike,
    stream: int,
    offset: int,
    out: NDArray[Any] | None,
    threads: int | None,
) -> NDArray[Any]:
    array = _check.operand(x, "x", _check.FLOATS)
    first = _check.element_range(offset, array.size, _check.NORMALS_END)
    if out is not None:
        _check.output(out, array.shape, _check.native(array.dtype))
    threads = _check.thread_count(threads, _threads.DEFAULT)
    source = stream_of(rng, stream)
    result, given = prepared(out, array)
    if stddev == 0:  # not -0.0 + 0.0, which is 0.0
        np.copyto(result, given)
    else:
        arrays = flat(result), flat(given)
        run(kernel, arrays, (stddev, source), first, threads, _NORMAL_COST)
    return delivered(result, out)


# ---- recurrent states ----


@typing.overload
def zoneout(
    previous: NDArray[T], new: NDArray[T], rate: float, **options: Unpack[DrawOptions]
) -> NDArray[T]: ...
@typing.overload
def zoneout(
    previous: ArrayLike, new: ArrayLike, rate: float, **options: Unpack[DrawOptions]
) -> NDArray[Any]: ...
def zoneout(
    previous: ArrayLike,
    new: ArrayLike,
    rate: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Let elements of a recurrent state keep their previous values with probability `rate`.

    Parameters
    ----------
    previous, new : array_like
        The state before and after a step: float16, bfloat16, float32 or float64, both of the same
        dtype and shape.
    rate : float
        The probability of keeping the previous value, in [0, 1]; used to 32 bits.
    rng, stream, offset, threads : optional
        As in `dropout`. One key and stream give the same bits in every function: take another
        `stream` or `offset` at each step.
    out : ndarray, optional
        An array of that shape and dtype to write to. It may be either input, or overlap both.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array. Nothing is scaled; every element is that of one input.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    Notes
    -----
    Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations", ICLR
    2017. At inference they use the expectation, rate * previous + (1 - rate) * new. Neither Keras
    nor PyTorch has it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.zoneout(np.zeros(6), np.arange(1.0, 7.0), 0.5, rng=fd.Key.from_words(0, 0))
    array([1., 0., 3., 0., 5., 0.])
    """
    old = _check.operand(previous, "previous", _check.DROPPABLE)
    fresh = _check.operand(new, "new", _check.DROPPABLE)
    dtype = _check.native(old.dtype)
    if _check.native(fresh.dtype) != dtype:
        _check.refuse(TypeError, "new", f"an array of {dtype}, as previous is", fresh)
    _check.shaped(fresh, "new", old.shape)
    threshold = _check.threshold(_check.probability(rate, "rate"))
    first = _check.element_range(offset, old.size)
    if out is not None:
        _check.output(out, old.shape, dtype)
    threads = _check.thread_count(threads, _threads.DEFAULT)
    source = stream_of(rng, stream, threshold)
    result = out if out is not None and out.flags.carray else np.empty(old.shape, dtype)
    old = readable(old, result, fresh)
    fresh = readable(fresh, result, old)
    arrays = (flat(result), flat(old), flat(fresh))
    run(_backend.active.zoneout, arrays, (source,), first, threads)
    return delivered(result, out)

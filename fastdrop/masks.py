"""Bernoulli masks, and dropout by them."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop import _backend, _check, _threads
from fastdrop._backend import Stream
from fastdrop.random import Key, replayable, stream_of, stream_under
from fastdrop.typing import ArrayLike, RNGLike

__all__ = ["apply_mask", "bernoulli", "dropout", "dropout_backward", "unpack_mask"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


_PIECE = _threads.PIECE_ELEMENTS
T = TypeVar("T", bound=np.generic)


if typing.TYPE_CHECKING:  # what overloads take

    class Options(TypedDict, total=False):
        """Those of functions that write an array."""

        out: NDArray[Any] | None
        threads: int | None

    class BackwardOptions(Options, total=False):
        """Those of `dropout_backward`."""

        stream: int
        offset: int
        noise_shape: tuple[int | None, ...] | None

    class DrawOptions(Options, total=False):
        """Those of functions that draw."""

        rng: RNGLike
        stream: int
        offset: int

    class DropoutOptions(DrawOptions, total=False):
        """Those of `dropout`."""

        noise_shape: tuple[int | None, ...] | None

    class MaskOptions(Options, total=False):
        """Those of `apply_mask`."""

        marks: _check.Marks
        rate: float
        noise_shape: tuple[int | None, ...] | None


# Written with its module, overloads are left alone by jedi, which then completes all keywords.
@typing.overload
def bernoulli(
    p: float,
    shape: int | tuple[int, ...],
    *,
    dtype: type[bool] = ...,
    **options: Unpack[DrawOptions],
) -> NDArray[np.bool_]: ...
@typing.overload
def bernoulli(
    p: float,
    shape: int | tuple[int, ...],
    *,
    dtype: Literal["packed"],
    **options: Unpack[DrawOptions],
) -> NDArray[np.uint8]: ...
@typing.overload
def bernoulli(
    p: float,
    shape: int | tuple[int, ...],
    *,
    dtype: type[T] | np.dtype[T],
    **options: Unpack[DrawOptions],
) -> NDArray[T]: ...
@typing.overload
def bernoulli(
    p: float, shape: int | tuple[int, ...], *, dtype: DTypeLike, **options: Unpack[DrawOptions]
) -> NDArray[Any]: ...
def bernoulli(
    p: float,
    shape: int | tuple[int, ...],
    *,
    rng: RNGLike = None,
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
        fresh entropy. One key and stream give the same bits in every function: see `Key.split`.
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
        At most this many threads, where there is enough to do for them; None means
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
    if type(rng) is Key:  # without checks in Python, which take longer than a small mask
        draw = _backend.active.plain_bernoulli
        drawn = draw(p, shape, rng, stream, offset, dtype, out, threads)
        if drawn is not None:
            return drawn
    packed = isinstance(dtype, str) and dtype == "packed"
    threshold = _check.threshold(_check.probability(p, "p"))
    axes = _check.shape(shape, "shape")
    size = math.prod(axes)
    first = _check.element_range(offset, size)
    kind = np.dtype(np.uint8) if packed else _check.event_dtype(dtype)
    target = (-(-size // 8),) if packed else axes
    if out is not None:
        _check.output(out, target, kind)
    threads = _check.thread_count(threads, _threads.DEFAULT)
    source = stream_of(rng, stream, threshold)
    mask = out if out is not None and out.flags.carray else np.empty(target, kind)
    if packed:
        draw_packed(size, source, first, threads, mask)
    else:
        run(_backend.active.bernoulli, (flat(mask),), (source,), first, threads)
    return delivered(mask, out)


@typing.overload
def dropout(
    x: NDArray[T],
    rate: float,
    *,
    return_mask: Literal[False] = ...,
    **options: Unpack[DropoutOptions],
) -> NDArray[T]: ...
@typing.overload
def dropout(
    x: NDArray[T], rate: float, *, return_mask: Literal[True], **options: Unpack[DropoutOptions]
) -> tuple[NDArray[T], NDArray[np.uint8]]: ...
@typing.overload
def dropout(
    x: ArrayLike,
    rate: float,
    *,
    return_mask: Literal[False] = ...,
    **options: Unpack[DropoutOptions],
) -> NDArray[Any]: ...
@typing.overload
def dropout(
    x: ArrayLike, rate: float, *, return_mask: Literal[True], **options: Unpack[DropoutOptions]
) -> tuple[NDArray[Any], NDArray[np.uint8]]: ...
def dropout(
    x: ArrayLike,
    rate: float,
    *,
    rng: RNGLike = None,
    stream: int = 0,
    offset: int = 0,
    noise_shape: tuple[int | None, ...] | None = None,
    out: NDArray[Any] | None = None,
    return_mask: bool = False,
    threads: int | None = None,
) -> NDArray[Any] | tuple[NDArray[Any], NDArray[np.uint8]]:
    """Set elements to zero with probability `rate` and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    x : array_like
        float16, bfloat16 (of ``ml_dtypes``), float32 or float64, of any shape and strides.
    rate : float
        The probability of dropping, in [0, 1]; used to 32 bits.
    rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
        As in `bernoulli`. One key and stream give the same bits in every function.
    stream, offset : int, optional
        As in `bernoulli`; elements are those of the mask, in C order.
    noise_shape : tuple of int or None, optional
        The mask's shape, where one mask value serves several elements: any shape that broadcasts
        to `x`'s. Entries belong to the last axes of `x`, each 1 (one value along the whole axis)
        or the axis's length, for which None may stand; axes without an entry have 1.
    out : ndarray, optional
        An array of `x`'s shape and dtype to write to. It may be `x`, or overlap it.
    return_mask : bool, optional
        Return the mask of what was dropped, too.
    threads : int, optional
        As in `bernoulli`.

    Returns
    -------
    y : ndarray
        `out`, or a new C-contiguous array of `x`'s shape and dtype. What is dropped is +0.0 even
        where `x` is NaN or infinite.
    mask : ndarray of uint8
        Only with `return_mask`: ``bernoulli(rate, noise_shape, dtype="packed", ...)``, as
        `apply_mask` takes it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range or of the wrong shape. Nothing has been
        written then.

    See Also
    --------
    dropout_backward : The gradient, without a mask kept.

    Notes
    -----
    Inverted dropout: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15 (2014); Keras's ``Dropout`` in training, PyTorch's ``F.dropout``. The mask
    is ``bernoulli(rate, noise_shape, ...)``, True meaning dropped. The factor 1 / (1 - rate) is
    rounded to `x`'s dtype, and so is each product, once. In float16 the factor is infinite from
    65520 on, and what is kept then infinite, or NaN where it was zero.

    PyTorch multiplies by a mask where fastdrop and Keras select, so there a dropped NaN or infinity
    becomes NaN. Keras's JAX backend divides by 1 - rate, which may round differently.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.dropout(np.arange(1.0, 7.0), 0.5, rng=fd.Key.from_words(0, 0))
    array([ 2.,  0.,  6.,  0., 10.,  0.])
    >>> fd.dropout(np.ones((3, 4)), 0.5, rng=fd.Key.from_words(0, 0), noise_shape=(3, 1))
    array([[2., 2., 2., 2.],
           [0., 0., 0., 0.],
           [2., 2., 2., 2.]])
    """
    if type(rng) is Key and noise_shape is None and return_mask is False:
        dropped = _backend.active.plain_dropout(x, rate, rng, stream, offset, out, threads)
        if dropped is not None:
            return dropped
    return_mask = _check.flag(return_mask, "return_mask")
    y, mask = drop(x, "x", rate, rng, stream, offset, noise_shape, out, return_mask, threads)
    return y if mask is None else (y, mask)


@typing.overload
def dropout_backward(
    grad: NDArray[T], rate: float, *, rng: RNGLike, **options: Unpack[BackwardOptions]
) -> NDArray[T]: ...
@typing.overload
def dropout_backward(
    grad: ArrayLike, rate: float, *, rng: RNGLike, **options: Unpack[BackwardOptions]
) -> NDArray[Any]: ...
def dropout_backward(
    grad: ArrayLike,
    rate: float,
    *,
    rng: RNGLike,
    stream: int = 0,
    offset: int = 0,
    noise_shape: tuple[int | None, ...] | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Give the gradient of `dropout` by its input, drawing the same mask again.

    Parameters
    ----------
    grad : array_like
        The gradient by `dropout`'s result: float16, bfloat16, float32 or float64, of `x`'s shape.
    rate : float
        As in the forward call.
    rng : int, Key or SeedSequence
        As in the forward call. What gives another mask each time is refused. One key and stream
        give the same bits in every function.
    stream, offset, noise_shape : optional
        As in the forward call.
    out : ndarray, optional
        An array of `grad`'s shape and dtype to write to. It may be `grad`, or overlap it.
    threads : int, optional
        As in `bernoulli`.

    Returns
    -------
    ndarray
        `grad` / (1 - rate) where the forward call kept the element, +0.0 where it dropped it.

    Raises
    ------
    TypeError
        Also for an `rng` of None, a Generator or a BitGenerator.
    ValueError
        If an argument is out of range or of the wrong shape. Nothing has been written then.

    Notes
    -----
    With y = x * m / (1 - rate), the gradient by x is the gradient by y * m / (1 - rate): dropout
    with the same mask. Keras and PyTorch keep the mask between the two; here nothing is kept, as
    the mask is a pure function of the key, the stream and the element's number.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> y = fd.dropout(np.ones(6), 0.5, rng=7)
    >>> grad = fd.dropout_backward(np.full(6, 3.0), 0.5, rng=7)
    >>> bool((grad == 3 * y).all())
    True
    """
    key = replayable(rng)
    if noise_shape is None:
        dropped = _backend.active.plain_dropout(grad, rate, key, stream, offset, out, threads)
        if dropped is not None:
            return dropped
    return drop(grad, "grad", rate, key, stream, offset, noise_shape, out, False, threads)[0]


@typing.overload
def apply_mask(x: NDArray[T], mask: ArrayLike, **options: Unpack[MaskOptions]) -> NDArray[T]: ...
@typing.overload
def apply_mask(x: ArrayLike, mask: ArrayLike, **options: Unpack[MaskOptions]) -> NDArray[Any]: ...
def apply_mask(
    x: ArrayLike,
    mask: ArrayLike,
    *,
    marks: _check.Marks = "dropped",
    rate: float = 0.0,
    noise_shape: tuple[int | None, ...] | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Set elements to zero where a mask says so and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    x : array_like
        float16, bfloat16 (of ``ml_dtypes``), float32 or float64, of any shape and strides.
    mask : ndarray of bool or uint8
        Which elements are dropped, or kept. bool: of the shape `noise_shape`, True where the event
        occurs that `marks` names. uint8: the same mask packed, as
        ``bernoulli(..., dtype="packed")`` gives it, eight elements a byte, the first in the least
        significant bit; bits behind the last element are not looked at.
    marks : {"dropped", "kept"}, optional
        What an element is where the mask is True.
    rate : float, optional
        The rate the mask was drawn at, in [0, 1]; used to 32 bits. 0 leaves what is kept as it is;
        1, where nothing should be kept, multiplies it by 0.
    noise_shape : tuple of int or None, optional
        The mask's shape if not `x`'s: any shape that broadcasts to it, as in `dropout`.
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
    One mask for several arrays, a mask stored for later, or one of your own. With a mask drawn at
    `rate` it is `dropout`, bit for bit.

    ``numpy.packbits(mask, axis=None, bitorder="little")`` packs a bool mask, and `unpack_mask`
    unpacks it again.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.apply_mask(np.arange(1.0, 7.0), np.array([0b101010], np.uint8), rate=0.5)
    array([ 2.,  0.,  6.,  0., 10.,  0.])
    >>> fd.apply_mask(np.ones(3), np.array([False, True, False]))
    array([1., 0., 1.])
    >>> fd.apply_mask(np.ones(3), np.array([False, True, False]), marks="kept")
    array([0., 1., 0.])
    """
    array = _check.operand(x, "x", _check.DROPPABLE)
    threshold = _check.threshold(_check.probability(rate, "rate"))
    noise = _check.noise_shape(noise_shape, array.shape)
    bits = _check.mask(mask, noise)
    kept = _check.choice(marks, "marks", _check.MARKS) == "kept"
    if out is not None:
        _check.output(out, array.shape, _check.native(array.dtype))
    threads = _check.thread_count(threads, _threads.DEFAULT)
    if kept:
        bits = ~bits
    elif out is not None and np.may_share_memory(bits, out):
        bits = bits.copy()
    result, source = prepared(out, array)
    _select(result, source, threshold, bits, noise, threads)
    return delivered(result, out)


def unpack_mask(packed: ArrayLike, shape: int | tuple[int, ...]) -> NDArray[np.bool_]:
    """Unpack a mask of eight elements a byte.

    Parameters
    ----------
    packed : ndarray of uint8, shape (ceil(size / 8),)
        As ``bernoulli(..., dtype="packed")`` and ``dropout(..., return_mask=True)`` give it: the
        first element in the least significant bit. Bits behind the last element are not looked at.
    shape : int or tuple of int
        The mask's shape.

    Returns
    -------
    ndarray of bool
        A new array of that shape.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or `packed` not of the size that `shape` needs.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> fd.unpack_mask(np.array([0b101010], np.uint8), (2, 3))
    array([[False,  True, False],
           [ True, False,  True]])
    """
    axes = _check.shape(shape, "shape")
    size = math.prod(axes)
    bits = _check.array(packed, "packed", ("uint8",))
    if bits.shape != (-(-size // 8),):
        expected = f"uint8 of shape {(-(-size // 8),)}, for a mask of shape {axes}"
        _check.refuse(ValueError, "packed", expected, packed)
    return np.unpackbits(bits, count=size, bitorder="little").view(bool).reshape(axes)


# ---- shared by all of the family ----


def drop(
    x: ArrayLike,
    name: str,
    rate: float,
    rng: RNGLike,
    stream: int,
    offset: int,
    noise_shape: tuple[int | None, ...] | None,
    out: NDArray[Any] | None,
    return_mask: bool,
    threads: int | None,
) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """Check the arguments of `dropout`, whose x is called `name`, and do it."""
    array = _check.operand(x, name, _check.DROPPABLE)
    threshold = _check.threshold(_check.probability(rate, "rate"))
    shape = array.shape
    noise = shape if noise_shape is None else _check.noise_shape(noise_shape, shape)
    first = _check.element_range(offset, math.prod(noise))
    if out is not None:
        _check.output(out, shape, _check.native(array.dtype))
    threads = _check.thread_count(threads, _threads.DEFAULT)
    source = stream_of(rng, stream, threshold)
    result, given = prepared(out, array)
    mask = None
    if noise == shape and not return_mask:
        scale = _check.scale(threshold, result.dtype)
        arrays = (flat(result), flat(given))
        run(_backend.active.dropout, arrays, (scale, source), first, threads)
    else:
        mask = draw_packed(math.prod(noise), source, first, threads)
        _select(result, given, threshold, mask, noise, threads)
    return delivered(result, out), mask if return_mask else None


def drop_streams(
    x: NDArray[Any],
    rate: float,
    key: Key,
    stream: int,
    offset: int,
    noise: tuple[int, ...],
    out: NDArray[Any],
) -> None:
    """Do what `dropout` does for each of the streams from one on, on one thread, unchecked.

    x (streams or 1, ...) and out (streams, ...) are of one dtype, contiguous and apart.
    """
    threshold = _check.threshold(rate)
    scale, (count, *shape) = _check.scale(threshold, out.dtype), out.shape
    size = math.prod(shape)
    results, given = out.reshape(count, size), x.reshape(len(x), size)
    if noise == (*shape,) and size <= _PIECE:
        together = _PIECE // max(1, size)
        for first in range(0, count, together):
            part = slice(first, first + together)
            source = stream_under(key, stream + first, threshold)
            own = given[part] if len(given) > 1 else given
            _backend.active.dropout_streams(results[part], own, scale, source, offset)
        return
    lengths, strides = layout((*shape,), noise)
    for j, result in enumerate(results):
        source, own = stream_under(key, stream + j, threshold), given[j if len(given) > 1 else 0]
        if noise == (*shape,):
            run(_backend.active.dropout, (result, own), (scale, source), offset, 1)
        else:
            mask = draw_packed(math.prod(noise), source, offset, 1)
            run(_backend.active.apply_mask, (result, own), (scale, mask, lengths, strides), 0, 1)


def draw_packed(
    size: int,
    source: Stream,
    first: int,
    threads: int,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Draw the packed mask of a range of elements."""
    mask = np.empty(-(-size // 8), np.uint8) if out is None else out
    # Nothing but the bits is written, so the rounds that they take are the cost: as many as the
    # threshold has bits, and 8 where those are many. A thread must have enough to do.
    rounds = max(1, 33 - (source.threshold & -source.threshold).bit_length())
    length = _PIECE << max(0, 3 - (rounds - 1).bit_length())

    def draw(n: int) -> None:
        count = min(length, size - n)
        octets = mask[n // 8 : -(-(n + count) // 8)]
        _backend.active.bernoulli_packed(octets, source, first + n, count)

    _threads.for_each(draw, range(0, size, length), threads)
    return mask


def _select(
    result: NDArray[Any],
    source: NDArray[Any],
    threshold: int,
    bits: NDArray[np.uint8],
    noise: tuple[int, ...],
    threads: int,
) -> None:
    """Put into `result` the source with what the bits say dropped, and the rest scaled."""
    lengths, strides = layout(result.shape, noise)
    head = (_check.scale(threshold, result.dtype), bits, lengths, strides)
    run(_backend.active.apply_mask, (flat(result), flat(source)), head, 0, threads)


def layout(
    shape: tuple[int, ...], noise: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths, and strides in the mask, of the axes with neighbours of one kind merged."""
    lengths: list[int] = []
    strides: list[int] = []
    below = 1  # mask elements for each index of this axis
    for length, own in zip(reversed(shape), reversed(noise), strict=True):
        if length == 1:
            continue
        if lengths and (strides[-1] == 0) == (own == 1):
            lengths[-1] *= length
        else:
            lengths.append(length)
            strides.append(0 if own == 1 else below)
        below *= own
    return tuple(reversed(lengths)) or (1,), tuple(reversed(strides)) or (0,)


def run(
    kernel: Callable[..., None],
    arrays: tuple[NDArray[Any], ...],
    head: tuple[Any, ...],
    first: int,
    threads: int,
    cost: int = 1,
) -> None:
    """Call kernel(*arrays, *head, first) for flat arrays, a piece of them at a time.

    An element takes about `cost` times as long as one of a mask.
    """
    size, length = arrays[0].size, _PIECE // cost
    if 0 < size <= length:
        kernel(*arrays, *head, first)
        return

    def piece(n: int) -> None:
        part = slice(n, n + length)
        kernel(*[array[part] for array in arrays], *head, first + n)

    _threads.for_each(piece, range(0, size, length), threads)


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """As kernels take a contiguous array: one axis, and a dtype that NumPy knows."""
    if array.dtype.kind == "V":  # bfloat16
        array = array.view(np.uint16)
    return array if array.ndim == 1 else array.reshape(-1)


def plain(array: NDArray[Any]) -> bool:
    """Whether a kernel can read it where it lies."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned and array.dtype.isnative


def apart(array: NDArray[Any], result: NDArray[Any]) -> bool:
    """Whether writing the result element by element spoils no element still to be read."""
    if array.flags.owndata and result.flags.owndata:
        return True  # they may be one, but cannot overlap otherwise
    return (
        not np.may_share_memory(array, result)
        or array.__array_interface__["data"] == result.__array_interface__["data"]
    )


def prepared(out: NDArray[Any] | None, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the array to write to, and `x` as a kernel can read it."""
    if out is not None and out.flags.carray:
        return out, x if x is out else readable(x, out)
    result = np.empty(x.shape, _check.native(x.dtype))
    if plain(x):
        return result, x
    np.copyto(result, x)
    return result, result


def readable(x: NDArray[Any], result: NDArray[Any], *others: NDArray[Any]) -> NDArray[Any]:
    """Return `x` as a kernel can read it that writes `result`: itself, in `result`, or a copy.

    It is not put into `result` over itself, for np.copyto does not see every overlap, nor over
    others that are still to be read.
    """
    if plain(x) and apart(x, result):
        return x
    if any(np.may_share_memory(a, result) for a in (x, *others)):
        return np.array(x, result.dtype, order="C")
    np.copyto(result, x)
    return result


def delivered(result: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """Return `out`, holding the result, where the caller gave one."""
    if out is None:
        return result
    if out is not result:
        out[...] = result
    return out

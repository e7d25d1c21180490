"""Dropout as functions of tensors: kernels under autograd, transforms and in compiled code."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F  # noqa: N812

from fastdrop import _backend, _check, _threads
from fastdrop._backend import Stream
from fastdrop.family import alpha_numbers
from fastdrop.masks import draw_packed, layout, run
from fastdrop.random import replayable

Seeds = Callable[[], Tensor]

# What kernels take; the name is that of the dtype whose numbers a kept value is multiplied by.
_DTYPES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
}
# As NumPy names them, and the bits of bfloat16, which it does not know.
_NUMPYS = {dtype: "uint16" if name == "bfloat16" else name for dtype, name in _DTYPES.items()}
# From 4 MB on NumPy asks Linux for huge pages. PyTorch's allocator does not, and to get new memory
# in small ones takes several times as long as dropout.
_HUGE = 1 << 20
_MOST, _WORD = (1 << 63) - 1, (1 << 64) - 1
_HALVES = (torch.float16, torch.bfloat16)
# Numbers of half width become float32 so many at a time, which the second cache holds.
_HALF_PIECE = 1 << 16
_BINARY64 = np.dtype(np.float64)
_PLAIN = (Tensor, torch.nn.Parameter)
# What the gradient of each kind is: linear, by the same mask.
_GRADIENT = {"dropout": "dropout", "alpha": "slope", "slope": "slope"}


# ---- public ----


def dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: object = None,
    stream: int = 0,
) -> Tensor:
    """Set elements to zero with probability `p` and scale the others by 1 / (1 - p).

    Parameters
    ----------
    x : Tensor
        float16, bfloat16, float32 or float64, of any shape and strides.
    p : float, optional
        The probability of dropping, in [0, 1]; used to 32 bits.
    training : bool, optional
        Whether to drop at all. If not, or if `p` is 0, `x` itself is returned.
    inplace : bool, optional
        Write the result to `x`.
    rng : None, int, Key or SeedSequence, optional
        Where the randomness comes from. None draws a key from PyTorch's default generator, as
        ``torch.manual_seed`` and ``torch.set_rng_state`` set it. All else is what ``fd.dropout``
        takes, and gives the same mask each time. One key and stream give the same bits in every
        function.
    stream : int, optional
        Which of the key's 2**64 streams; of no effect without `rng`.

    Returns
    -------
    Tensor
        Of `x`'s shape, dtype and strides; `x` if `inplace`. What is dropped is +0.0 even where `x`
        is NaN or infinite.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, or if `rng` is given for a tensor that
        is PyTorch's own matter.

    Notes
    -----
    ``torch.nn.functional.dropout`` on CPUs, with the mask and the rounding of ``fd.dropout``:
    elements are numbered in C order of the shape, whatever the strides. The mask is not kept for
    the backward pass, which draws it again: 16 bytes are saved. Backward passes can be
    differentiated again, and so can forward ones (``torch.func.jvp``). Under ``torch.func.vmap``
    its `randomness` counts, without `rng`. Threads are as many as ``torch.get_num_threads()`` and
    ``fastdrop.info().threads`` both allow.

    Tensors on other devices, sparse or nested ones and other dtypes are handed on to PyTorch's own
    function.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import dropout
    >>> x = torch.arange(1.0, 7.0, requires_grad=True)
    >>> y = dropout(x, 0.5, rng=fd.Key.from_words(0, 0))
    >>> y.tolist()
    [2.0, 0.0, 6.0, 0.0, 10.0, 0.0]
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [2.0, 0.0, 2.0, 0.0, 2.0, 0.0]
    """
    return drop(F.dropout, x, p, training, inplace, seeds_of(rng, stream))


def dropout1d(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: object = None,
    stream: int = 0,
) -> Tensor:
    """Drop whole channels of sequences with probability `p`, and scale the others.

    Parameters
    ----------
    x : Tensor
        Of shape (batch, channels, length) or (channels, length), else as in `dropout`.
    p, training, inplace, rng, stream : optional
        As in `dropout`; elements of the mask are the channels. One key and stream give the same
        bits in every function.

    Returns
    -------
    Tensor
        As of `dropout`.

    Raises
    ------
    RuntimeError
        If `x` has another number of dimensions: PyTorch's own function refuses it.
    TypeError, ValueError
        As of `dropout`.

    Notes
    -----
    ``torch.nn.functional.dropout1d``, with the mask of ``fd.dropout`` of a `noise_shape`
    (batch, channels, 1). Otherwise as `dropout`.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import dropout1d
    >>> dropout1d(torch.ones(3, 4), 0.5, rng=fd.Key.from_words(0, 0))
    tensor([[2., 2., 2., 2.],
            [0., 0., 0., 0.],
            [2., 2., 2., 2.]])
    """
    return drop(F.dropout1d, x, p, training, inplace, seeds_of(rng, stream))


def dropout2d(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: object = None,
    stream: int = 0,
) -> Tensor:
    """Drop whole channels of images with probability `p`, and scale the others.

    Parameters
    ----------
    x : Tensor
        Of shape (batch, channels, height, width), else as in `dropout`. Other numbers of dimensions
        are handed on to PyTorch's own function, which warns of them.
    p, training, inplace, rng, stream : optional
        As in `dropout`; elements of the mask are the channels. One key and stream give the same
        bits in every function.

    Returns
    -------
    Tensor
        As of `dropout`.

    Raises
    ------
    TypeError, ValueError
        As of `dropout`.

    Notes
    -----
    ``torch.nn.functional.dropout2d``, with the mask of ``fd.dropout`` of a `noise_shape`
    (batch, channels, 1, 1). Otherwise as `dropout`.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import dropout2d
    >>> y = dropout2d(torch.ones(1, 4, 2, 2), 0.5, rng=fd.Key.from_words(0, 0))
    >>> y[0, :, 0, 0].tolist()
    [2.0, 0.0, 2.0, 0.0]
    """
    return drop(F.dropout2d, x, p, training, inplace, seeds_of(rng, stream))


def alpha_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: object = None,
    stream: int = 0,
) -> Tensor:
    """Set elements to SELU's negative limit with probability `p`, and restore mean and variance.

    Parameters
    ----------
    x : Tensor
        As in `dropout`.
    p, inplace, rng, stream : optional
        As in `dropout`. One key and stream give the same bits in every function.
    training : bool, optional
        As in `dropout`, but False if it is not given, as in PyTorch.

    Returns
    -------
    Tensor
        As of `dropout`.

    Raises
    ------
    TypeError, ValueError
        As of `dropout`.

    Notes
    -----
    ``torch.nn.functional.alpha_dropout`` on CPUs, with the mask and the rounding of
    ``fd.alpha_dropout``; numbers of 16 bits are computed in float32 and rounded once. Where nothing
    is kept, at a `p` of 1, PyTorch's own function gives zeros. Otherwise as `dropout`.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import alpha_dropout
    >>> alpha_dropout(torch.zeros(4), 0.5, training=True, rng=fd.Key.from_words(0, 0))
    tensor([ 0.7792, -0.7792,  0.7792, -0.7792])
    """
    return drop(F.alpha_dropout, x, p, training, inplace, seeds_of(rng, stream))


def locked_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    *,
    batch_first: bool = False,
    rng: object = None,
    stream: int = 0,
) -> Tensor:
    """Drop features of sequences with probability `p`, the same at all time steps.

    Parameters
    ----------
    x : Tensor
        Of shape (time, batch, features), or (batch, time, features) if `batch_first`, or
        (time, features), else as in `dropout`.
    p, training, rng, stream : optional
        As in `dropout`; elements of the mask are batch * features. One key and stream give the same
        bits in every function.
    batch_first : bool, optional
        Which axis is that of time, as in ``torch.nn.LSTM``.

    Returns
    -------
    Tensor
        As of `dropout`.

    Raises
    ------
    TypeError, ValueError
        As of `dropout`, and if `x` has another number of dimensions.

    Notes
    -----
    Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural
    Networks", NeurIPS 2016; the "locked" dropout of Merity, Keskar and Socher, "Regularizing and
    Optimizing LSTM Language Models", 2017. PyTorch has no function for it.

    Examples
    --------
    >>> import torch
    >>> import fastdrop as fd
    >>> from fastdrop.torch import locked_dropout
    >>> locked_dropout(torch.ones(3, 4), 0.5, rng=fd.Key.from_words(0, 0))
    tensor([[2., 0., 2., 0.],
            [2., 0., 2., 0.],
            [2., 0., 2., 0.]])
    """
    return drop_locked(x, p, training, batch_first, seeds_of(rng, stream))


# ---- shared with modules ----


def seeds_of(rng: object, stream: int) -> Seeds:
    """Say what gives the seed of a call, if it comes to one."""
    return fresh if rng is None else lambda: seed_of(rng, stream)


def fresh() -> Tensor:
    """Draw a key and a stream from PyTorch's default generator."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return torch.randint(0, _MOST, (2,), dtype=torch.int64, device="cpu")
    return torch.empty(2, dtype=torch.int64, device="cpu").random_(0, _MOST)  # the same, sooner


def seed_of(rng: object, stream: int) -> Tensor:
    """Hold a key and a stream in two numbers: k0 and k1, and the contract's stream."""
    return torch.tensor(_words(rng, stream), dtype=torch.int64, device="cpu")


def _words(rng: object, stream: int) -> list[int]:
    key = replayable(rng)
    return [(key.k0 | key.k1 << 32) - (key.k1 >> 31 << 64), _signed(key.stream(stream))]


# What `torch.compiler.assume_constant_result` does, which imports all of the compiler for it.
_words._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _signed(word: int) -> int:
    return word - (word >> 63 << 64)


def drop(
    own: Callable[..., Tensor], x: Tensor, p: float, training: bool, inplace: bool, seeds: Seeds
) -> Tensor:
    """Do what a function of PyTorch does, which is called for what is not done here."""
    p = rate_of(p)
    if not isinstance(x, Tensor):
        _check.refuse(TypeError, "x", "a torch.Tensor", x)
    if not training or p == 0.0:
        return x
    noise: list[int] | None = None
    here = _is_ours(x)
    if own is F.dropout1d:
        here = here and x.ndim in (2, 3)
        noise = [*x.shape[:-1], 1]
    elif own is F.dropout2d:
        here = here and x.ndim == 4
        noise = [*x.shape[:-2], 1, 1]
    elif own is F.alpha_dropout:
        here = here and p < 1 - 2.0**-33
    if not here:
        return _handed_on(own, x, p, inplace, seeds)
    kind = "alpha" if own is F.alpha_dropout else "dropout"
    return _dropped(x, p, kind, noise, inplace, seeds)


def drop_locked(x: Tensor, p: float, training: bool, batch_first: bool, seeds: Seeds) -> Tensor:
    """Do what `locked_dropout` does; where it is PyTorch's matter, by its dropout of a mask."""
    p = rate_of(p)
    if not isinstance(x, Tensor):
        _check.refuse(TypeError, "x", "a torch.Tensor", x)
    if x.ndim not in (2, 3):
        raise ValueError(f"x: expected 2 or 3 dimensions, got shape {tuple(x.shape)}")
    if not training or p == 0.0:
        return x
    noise = list(x.shape)
    noise[1 if batch_first and x.ndim == 3 else 0] = 1
    if _is_ours(x):
        return _dropped(x, p, "dropout", noise, False, seeds)
    return x * _handed_on(F.dropout, x.new_ones(noise), p, False, seeds)


def rate_of(p: object) -> float:
    """Check a probability, of which compiled code may know no more than that it is a float."""
    if isinstance(p, float) and 0.0 <= p <= 1.0:
        return p
    return _check.probability(p, "p")


def _is_ours(x: Tensor) -> bool:
    return x.is_cpu and x.dtype in _DTYPES and x.layout is torch.strided and not x.is_nested


def _handed_on(
    own: Callable[..., Tensor], x: Tensor, p: float, inplace: bool, seeds: Seeds
) -> Tensor:
    if seeds is not fresh:
        found = f"a tensor of {x.dtype} with {x.ndim} dimensions on {x.device}"
        raise ValueError(f"rng: expected None where {own.__name__} is PyTorch's own, for {found}")
    return own(x, p, True, inplace)


def _dropped(
    x: Tensor, p: float, kind: str, noise: list[int] | None, inplace: bool, seeds: Seeds
) -> Tensor:
    if not inplace:
        return _select(x, seeds(), p, kind, noise)
    if (  # then PyTorch looks after what is written over
        (x.requires_grad and torch.is_grad_enabled())
        or _is_dispatched(x)
        or _is_traced()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or x.is_inference()
        or x.is_neg()
    ):
        return x.copy_(_select(x, seeds(), p, kind, noise))
    torch.autograd.graph.increment_version(x)
    _write(x, x, seeds(), p, kind, noise)
    return x


# ---- one operation, under autograd ----


def _select(x: Tensor, seed: Tensor, p: float, kind: str, noise: list[int] | None) -> Tensor:
    """Drop by the mask of a seed: a pure function, and one that autograd knows."""
    if _is_dispatched(x) or type(seed) is not Tensor:
        found: Tensor = _operation(x, seed, p, kind, noise)
        return found
    if torch._C._are_functorch_transforms_active():
        return _Transformed.apply(x, seed, p, kind, noise)
    if (x.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0:
        return _Plain.apply(x, (seed, p, kind, noise))
    return _seen(x, seed, p, kind, noise)


def _is_dispatched(x: Tensor) -> bool:
    """Whether PyTorch has to see an operation: it compiles, or what it has is no plain tensor.

    The batched tensors of ``torch.autograd.grad(..., is_grads_batched=True)`` are none.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or type(x) not in _PLAIN
        or torch._C._functorch.is_legacy_batchedtensor(x)
    )


def _is_traced() -> bool:
    """Whether PyTorch writes down what is done with plain tensors."""
    return bool(torch._C._len_torch_dispatch_stack())


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, seed, p, kind, noise = inputs
    ctx.save_for_backward(seed)
    ctx.rest = p, _GRADIENT[kind], noise


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
    return _select(grad, ctx.saved_tensors[0], *ctx.rest), None, None, None, None


def _vmap(
    info: Any,
    in_dims: tuple[int | None, ...],
    x: Tensor,
    seed: Tensor,
    p: float,
    kind: str,
    noise: list[int] | None,
) -> tuple[Tensor, int]:
    """One mask for all where there is one seed, else a mask for each."""
    x_dim, seed_dim = in_dims[:2]
    x = x.expand(info.batch_size, *x.shape) if x_dim is None else x.movedim(x_dim, 0)
    if seed_dim is None:
        return _select(x, seed, p, kind, [1, *(x.shape[1:] if noise is None else noise)]), 0
    pairs = zip(x.unbind(), seed.movedim(seed_dim, 0).unbind(), strict=True)
    return torch.stack([_select(one, its, p, kind, noise) for one, its in pairs]), 0


class _Plain(torch.autograd.Function):
    """For plain tensors, with as little around it as can be: a small call takes microseconds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: tuple[Tensor, float, str, list[int] | None]) -> Tensor:
        seed, p, kind, noise = call
        ctx.call = seed, p, _GRADIENT[kind], noise
        return _seen(x, seed, p, kind, noise)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _select(grad, *ctx.call), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return _select(tangent, *ctx.call)


class _Transformed(torch.autograd.Function):
    """For what ``torch.func`` transforms, which takes the context apart from the computation."""

    @staticmethod
    def forward(x: Tensor, seed: Tensor, p: float, kind: str, noise: list[int] | None) -> Tensor:
        return _seen(x, seed, p, kind, noise)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _setup(ctx, inputs, output)
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _select(tangent, ctx.saved_tensors[0], *ctx.rest)

    backward = staticmethod(_backward)
    vmap = staticmethod(_vmap)


# The schema is read from the annotations, in which it knows Optional alone.
@torch.library.custom_op("fastdrop::dropout", mutates_args=(), device_types="cpu")
def _operation(
    x: Tensor,
    seed: Tensor,
    p: float,
    kind: str,
    noise: Optional[Sequence[int]],  # noqa: UP045
) -> Tensor:
    return _computed(x, seed, p, kind, noise)


_operation.register_fake(lambda x, seed, p, kind, noise: torch.empty_like(x))
_operation.register_autograd(_backward, setup_context=_setup)
_operation.register_vmap(_vmap)


# A compiler would rather keep a module's seed, which changes, and copy it again on the way back,
# than keep the copy. It does not repeat what it does not know.
@torch.library.custom_op("fastdrop::copy_seed", mutates_args=(), device_types="cpu")
def copy_seed(seed: Tensor) -> Tensor:
    return seed.clone()


copy_seed.register_fake(torch.empty_like)


# ---- from tensors to kernels ----


def _seen(x: Tensor, seed: Tensor, p: float, kind: str, noise: list[int] | None) -> Tensor:
    """Drop by the mask of a seed; where PyTorch writes down what is done, by an operation."""
    if _is_traced():
        found: Tensor = _operation(x, seed, p, kind, noise)
        return found
    return _computed(x, seed, p, kind, noise)


def _computed(x: Tensor, seed: Tensor, p: float, kind: str, noise: Sequence[int] | None) -> Tensor:
    size = x.numel()
    if x.is_neg():
        x = x.resolve_neg()
    if size < _HUGE or not x.is_contiguous():
        y = torch.empty_like(x)
        if noise is None and kind == "dropout" and x.is_contiguous():  # as by `_write`, sooner
            threshold, scale, _ = _numbers(p, kind, x.dtype)
            to, of, dtype, words = y.data_ptr(), x.data_ptr(), _DTYPES[x.dtype], seed.tolist()
            if _backend.active.dropout_at(to, of, size, dtype, scale, words, threshold):
                return y
    else:
        y = torch.from_numpy(np.empty(x.shape, _NUMPYS[x.dtype])).view(x.dtype)
    _write(y, x, seed, p, kind, noise)
    return y


def _write(
    y: Tensor, x: Tensor, seed: Tensor, p: float, kind: str, noise: Sequence[int] | None
) -> None:
    """Write the result for x to y: x itself, or a tensor apart from it, with strides like it."""
    result, given = _array(y), _array(x)
    if not given.flags.carray:  # numbered in C order, whatever lies where
        if not result.flags.carray:
            ordered = x.clone(memory_format=torch.contiguous_format)
            _write(ordered, ordered, seed, p, kind, noise)
            y.copy_(ordered)
            return
        y.copy_(x)
        x, given = y, result
    if given.ndim != 1:
        result, given = result.reshape(-1), given.reshape(-1)
    threshold, scale, affine = _numbers(p, kind, x.dtype)
    key, stream = seed.tolist()
    source = Stream(key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF, stream & _WORD, threshold)
    backend, size = _backend.active, given.size
    if noise is None and affine is None and 0 < size <= _threads.PIECE_ELEMENTS:
        backend.dropout(result, given, scale, source, 0)  # as below, in less time
        return
    threads = min(torch.get_num_threads(), _threads.DEFAULT)
    whole = noise is None or tuple(noise) == tuple(x.shape)
    more: tuple[Any, ...] = (source,)
    if noise is not None and not whole:
        mask = draw_packed(math.prod(noise), source, 0, threads)
        more = (mask, *layout(tuple(x.shape), tuple(noise)))
    kernel: Callable[..., None]
    if affine is None:
        kernel = backend.dropout if whole else backend.apply_mask
        run(kernel, (result, given), (scale, *more), 0, threads)
        return
    kernel = backend.alpha_dropout if whole else backend.apply_alpha
    head = (scale, *affine, *more)
    if x.dtype not in _HALVES:
        run(kernel, (result, given), head, 0, threads)
        return
    to, of = y.view(-1), x.view(-1)
    for first in range(0, size, _HALF_PIECE):
        part = slice(first, first + _HALF_PIECE)
        piece = of[part].float()
        run(kernel, (piece.numpy(), piece.numpy()), head, first, 1)
        to[part].copy_(piece)


def _array(x: Tensor) -> NDArray[Any]:
    """Give the tensor's memory; bfloat16 as the bits that kernels take."""
    if x.dtype is torch.bfloat16:
        x = x.view(torch.uint16)
    array: NDArray[Any] = x.numpy()
    return array


@functools.lru_cache
def _numbers(
    p: float, kind: str, dtype: torch.dtype
) -> tuple[int, float, tuple[float, float] | None]:
    """Give the threshold, the scale of what is kept, and for "alpha" its shift and what drops."""
    threshold = _check.threshold(p)
    name = _DTYPES[dtype]
    if kind == "dropout":
        return threshold, _check.rounded_to(_check.scale(threshold, _BINARY64), name), None
    if kind == "alpha" and dtype in _HALVES:
        name = "float32"
    scale, shift, fill = (_check.rounded_to(n, name) for n in alpha_numbers(threshold))
    return threshold, scale, (shift, fill) if kind == "alpha" else None

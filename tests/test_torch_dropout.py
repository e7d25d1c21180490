"""Dropout of tensors: beside PyTorch's own, by laws of masks, and under all that PyTorch does."""

import copy
import doctest
import io
import math
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra `torch`")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

import fastdrop.torch as ft  # noqa: E402
from fastdrop.torch import _functional, _modules  # noqa: E402

pytestmark = pytest.mark.live

KEY = fd.Key.from_words(0xDEADBEEF, 0x81234567, 0xFEDCBA9876543210)
# PyTorch's own, where forward-mode differentiation is first used.
uses_jvp = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler",
)

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
RATES = [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]


def alpha(x: Any, p: float = 0.5, training: bool = True, **more: Any) -> Any:
    return ft.alpha_dropout(x, p, training, **more)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dropout": ft.dropout,
    "dropout1d": ft.dropout1d,
    "dropout2d": ft.dropout2d,
    "alpha_dropout": alpha,
    "locked_dropout": ft.locked_dropout,
}
# What each takes, and its mask's shape.
SHAPES = {
    "dropout": ((4, 6), (4, 6)),
    "dropout1d": ((3, 5, 4), (3, 5, 1)),
    "dropout2d": ((3, 5, 2, 3), (3, 5, 1, 1)),
    "alpha_dropout": ((4, 6), (4, 6)),
    "locked_dropout": ((5, 3, 4), (1, 3, 4)),
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def numbers(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bits(x: Any) -> bytes:
    x = x.detach()
    return bytes((x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy().tobytes())


def same(a: Any, b: Any) -> bool:
    """Bit for bit, so that zeros have signs; NaN too has its bits."""
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)


# ---- masks and numbers are fastdrop's ----


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dropout_is_that_of_arrays(backend: str, dtype: str, rate: float) -> None:
    x = numbers(37, 29, dtype=DTYPES[dtype])
    x[0, :6] = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 0.0, 65504.0])
    y = ft.dropout(x, rate, rng=KEY, stream=7)
    expected = fd.dropout(x.numpy(), rate, rng=KEY, stream=7)
    assert same(y, torch.from_numpy(expected))


@pytest.mark.parametrize("rate", RATES)
def test_bfloat16_is_rounded_once(backend: str, rate: float) -> None:
    """The factor to bfloat16, as PyTorch has it, then each product, which float32 holds."""
    x = numbers(37, 29, dtype=torch.bfloat16)
    drop = torch.from_numpy(fd.bernoulli(rate, x.shape, rng=KEY))
    threshold = round(rate * 2**32)
    scale = torch.tensor(2**32 / max(1, 2**32 - threshold), dtype=torch.bfloat16)
    expected = (x.float() * scale.float()).bfloat16().masked_fill(drop, 0.0)
    assert same(ft.dropout(x, rate, rng=KEY), expected)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_alpha_dropout_is_that_of_arrays(backend: str, dtype: str, rate: float) -> None:
    x = numbers(37, 29, dtype=DTYPES[dtype])
    expected = fd.alpha_dropout(x.numpy(), rate, rng=KEY)
    assert same(alpha(x, rate, rng=KEY), torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_alpha_dropout_of_halves(backend: str, dtype: str, monkeypatch: Any) -> None:
    """Computed in float32 and rounded once, in pieces that the mask does not see."""
    monkeypatch.setattr(_functional, "_HALF_PIECE", 129)
    x = numbers(37, 29, dtype=DTYPES[dtype])
    expected = alpha(x.float(), 0.3, rng=KEY).to(x.dtype)
    assert same(alpha(x, 0.3, rng=KEY), expected)


@every_function
def test_masks_are_those_of_bernoulli(backend: str, name: str) -> None:
    shape, noise = SHAPES[name]
    x = torch.ones(shape)
    y = FUNCTIONS[name](x, 0.5, rng=KEY, stream=4)
    drop = torch.from_numpy(fd.bernoulli(0.5, noise, rng=KEY, stream=4))
    assert drop.any()
    assert not drop.all()
    value = y[~drop.expand(shape)].unique()
    assert value.shape == (1,)
    assert bool(((y != value) == drop).all())


@pytest.mark.parametrize("batch_first", [False, True], ids=["time_first", "batch_first"])
def test_a_locked_mask_has_no_time(batch_first: bool) -> None:
    x = torch.ones(6, 5, 40)
    y = ft.locked_dropout(x, 0.5, batch_first=batch_first, rng=1)
    first = y[:, :1] if batch_first else y[:1]
    assert bool((y == first).all())
    others = y[0, 0], (y[1, 0] if batch_first else y[0, 1])
    assert not torch.equal(*others)
    assert torch.equal(ft.locked_dropout(x[0], 0.5, batch_first=batch_first, rng=1)[0], y[0, 0])


@pytest.mark.parametrize("dtype", list(DTYPES))
@every_function
def test_strides_do_not_matter(backend: str, name: str, dtype: str) -> None:
    """Elements are numbered in C order; the result has the strides of PyTorch's own."""
    shape, _ = SHAPES[name]
    x = numbers(*shape, dtype=DTYPES[dtype])
    expected = FUNCTIONS[name](x, 0.4, rng=KEY)
    layouts = {
        "reversed axes": x.permute(*reversed(range(x.ndim)))
        .contiguous()
        .permute(*reversed(range(x.ndim))),
        "every other": torch.stack([x, x], -1).flatten(-2)[..., ::2],
        "offset": torch.cat([x.flatten()[:1], x.flatten()])[1:].view(shape),
    }
    if x.ndim == 4:
        layouts["channels_last"] = x.contiguous(memory_format=torch.channels_last)
    for layout, other in layouts.items():
        assert torch.equal(other, x)
        got = FUNCTIONS[name](other, 0.4, rng=KEY)
        assert same(got, expected), layout
        assert got.stride() == F.dropout(other, 0.4).stride(), layout
        assert torch.equal(other, x), layout


@pytest.mark.parametrize("inplace", [False, True])
def test_a_tensor_that_is_the_negative_of_its_memory(backend: str, inplace: bool) -> None:
    whole = torch.complex(numbers(8), numbers(8, seed=1)).conj()
    x = whole.imag
    assert x.is_neg()
    expected = torch.from_numpy(fd.dropout(-numbers(8, seed=1).numpy(), 0.5, rng=KEY))
    y = ft.dropout(x, 0.5, inplace=inplace, rng=KEY)
    assert torch.equal(y, expected)
    assert torch.equal(whole.imag, expected if inplace else -numbers(8, seed=1))


def test_an_expanded_tensor_is_dropped_element_by_element(backend: str) -> None:
    x = torch.ones(1, 300).expand(200, 300)
    expected = torch.from_numpy(fd.dropout(np.ones((200, 300), np.float32), 0.5, rng=KEY))
    assert same(ft.dropout(x, 0.5, rng=KEY), expected)


def test_memory_that_is_not_aligned(backend: str) -> None:
    x = torch.frombuffer(bytearray(4 * 64 + 1), dtype=torch.float32, offset=1)
    assert x.data_ptr() % 4
    expected = torch.from_numpy(fd.dropout(np.zeros(64, np.float32), 0.5, rng=KEY))
    assert same(ft.dropout(x, 0.5, rng=KEY), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_tensors_are_dropped_in_pieces(monkeypatch: Any, threads: int) -> None:
    """No call is longer than a piece, on as many threads as PyTorch's number allows."""
    monkeypatch.setattr("fastdrop.masks._PIECE", 1 << 10)
    monkeypatch.setattr("fastdrop._threads.PIECE_ELEMENTS", 1 << 10)
    monkeypatch.setattr("fastdrop._threads.DEFAULT", 8)
    monkeypatch.setattr(_functional, "_HUGE", 1 << 10)
    asked = []
    run = _functional.run

    def watched(kernel: Any, arrays: Any, head: Any, first: int, threads: int) -> None:
        asked.append(threads)
        run(kernel, arrays, head, first, threads)

    monkeypatch.setattr(_functional, "run", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for dtype in DTYPES.values():
            x = torch.ones(5000, dtype=dtype)
            drop = fd.bernoulli(0.3, 5000, rng=KEY)
            assert np.array_equal((ft.dropout(x, 0.3, rng=KEY) == 0).numpy(), drop)
    finally:
        torch.set_num_threads(before)
    assert asked == [threads] * 4


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (127,), (128,), (129,)], ids=str)
def test_small_shapes(backend: str, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    y = ft.dropout(x, 0.5, rng=KEY)
    assert same(y, torch.from_numpy(np.asarray(fd.dropout(x.numpy(), 0.5, rng=KEY))))
    assert ft.dropout1d(torch.ones(2, 3, 0), 0.5).shape == (2, 3, 0)


# ---- beside PyTorch's own ----


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["dropout", "alpha_dropout"])
def test_as_many_are_dropped_as_by_pytorch(name: str, rate: float) -> None:
    """Fractions, and means and deviations of what was normal, within six standard errors."""
    own = {"dropout": F.dropout, "alpha_dropout": F.alpha_dropout}[name]
    n = 1 << 20
    x = numbers(n)
    torch.manual_seed(5)
    theirs, ours = own(x, rate, True), FUNCTIONS[name](x, rate)
    dropped = theirs[torch.argmax((theirs != theirs.mode()[0]).to(torch.uint8) ^ 1)]
    counts = [
        int((y == dropped if name == "dropout" else y == y.mode()[0]).sum()) for y in (theirs, ours)
    ]
    deviation = math.sqrt(n * rate * (1 - rate))
    for count in counts:
        assert abs(count - n * rate) < 6 * deviation
    for a, b in ((theirs, ours), (theirs**2, ours**2)):
        error = math.sqrt(float(a.var() + b.var()) / n)
        assert abs(float(a.mean() - b.mean())) < 6 * error


def test_kept_values_are_those_of_pytorch() -> None:
    for dtype in DTYPES.values():
        x = numbers(1000, dtype=dtype)
        for rate in (0.1, 0.5):
            theirs, ours = F.dropout(x, rate), ft.dropout(x, rate)
            both = (theirs != 0) & (ours != 0)
            assert both.any()
            bound = max(1e-9, torch.finfo(dtype).eps * 2)  # rates have 32 bits
            assert torch.allclose(theirs[both], ours[both], rtol=bound, atol=0)


def test_channels_are_dropped_as_by_pytorch() -> None:
    n = 20_000
    for own, name, shape in (
        (F.dropout1d, "dropout1d", (n, 5, 3)),
        (F.dropout2d, "dropout2d", (n, 5, 2, 2)),
    ):
        for function in (own, FUNCTIONS[name]):
            y = function(torch.ones(shape), 0.3).flatten(2)
            assert bool((y == y[..., :1]).all())
            dropped = int((y[..., 0] == 0).sum())
            assert abs(dropped - 5 * n * 0.3) < 6 * math.sqrt(5 * n * 0.3 * 0.7)


@every_function
def test_nothing_is_done_where_nothing_is_asked_for(name: str) -> None:
    x = numbers(*SHAPES[name][0])
    state = torch.get_rng_state()
    assert FUNCTIONS[name](x, 0.5, False) is x
    assert FUNCTIONS[name](x, 0.0) is x
    assert FUNCTIONS[name](x, 0) is x
    assert torch.equal(torch.get_rng_state(), state)
    assert ft.alpha_dropout(x, 0.5) is x  # as PyTorch's, whose default is not to train


@every_function
def test_everything_is_dropped(name: str) -> None:
    x = numbers(*SHAPES[name][0]).requires_grad_()
    for p in (1, 1.0):
        y = FUNCTIONS[name](x, p)
        assert bool((y == 0).all())
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert bool((grad == 0).all())


def test_dropped_values_are_selected() -> None:
    x = torch.full((64,), math.nan, requires_grad=True)
    y = ft.dropout(x, 0.5, rng=KEY)
    (grad,) = torch.autograd.grad(y, x, torch.full((64,), math.inf))
    drop = torch.from_numpy(fd.bernoulli(0.5, 64, rng=KEY))
    assert torch.equal(y.detach() == 0, drop)
    assert torch.equal(grad == 0, drop)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan], ids=str)
@every_function
def test_rates_out_of_range(name: str, p: float) -> None:
    with pytest.raises(ValueError, match=r"p: expected a number in \[0, 1\]"):
        FUNCTIONS[name](torch.ones(SHAPES[name][0]), p, False)
    with pytest.raises(TypeError, match="p: expected a number"):
        FUNCTIONS[name](torch.ones(SHAPES[name][0]), "0.5")


@every_function
def test_what_is_no_tensor(name: str) -> None:
    with pytest.raises(TypeError, match=r"x: expected a torch\.Tensor, got"):
        FUNCTIONS[name](np.ones(SHAPES[name][0]))


@pytest.mark.parametrize("rng", [np.random.default_rng(0), 0.5, -1, "1"], ids=["a", "b", "c", "d"])
def test_what_is_no_key(rng: object) -> None:
    with pytest.raises((TypeError, ValueError), match="rng: expected"):
        ft.dropout(torch.ones(3), 0.5, rng=rng)
    with pytest.raises((TypeError, ValueError), match="rng: expected"):
        ft.Dropout(0.5, rng=rng)


def test_dimensions() -> None:
    for shape in ((4,), (1, 2, 3, 4)):
        with pytest.raises(RuntimeError, match="dropout1d: Expected 2D or 3D"):
            ft.dropout1d(torch.ones(shape))
        with pytest.raises(ValueError, match="x: expected 2 or 3 dimensions"):
            ft.locked_dropout(torch.ones(shape))
    with pytest.warns(UserWarning, match="dropout2d: Received a 3D input"):
        ft.dropout2d(torch.ones(2, 3, 4))


HANDED_ON = {
    "meta": lambda: torch.ones(3, 4, device="meta"),
    "jagged": lambda: torch.nested.nested_tensor(
        [torch.ones(2, 4), torch.ones(3, 4)], layout=torch.jagged
    ),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)]),
}


@pytest.mark.parametrize("kind", HANDED_ON)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_what_is_handed_on(kind: str) -> None:
    x = HANDED_ON[kind]()
    y = ft.dropout(x, 0.5)
    assert type(y) is type(x)
    assert (y.dtype, y.device, y.layout) == (x.dtype, x.device, x.layout)
    assert y.is_nested == x.is_nested
    with pytest.raises(ValueError, match=r"rng: expected None where dropout is PyTorch's own"):
        ft.dropout(x, 0.5, rng=0)


def test_what_pytorch_refuses() -> None:
    for function in (F.dropout, ft.dropout):
        with pytest.raises(RuntimeError, match="cast"):
            function(torch.ones(3, dtype=torch.int64), 0.5)
        with pytest.raises(NotImplementedError, match="bernoulli"):
            function(torch.eye(3).to_sparse(), 0.5)


def test_fake_tensors() -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        for name, function in FUNCTIONS.items():
            x = torch.ones(SHAPES[name][0], requires_grad=True)
            y = function(x.transpose(0, 1) if name == "dropout" else x, 0.5)
            assert type(y).__name__ == "FakeTensor"
            assert y.stride() == (
                F.dropout(x.transpose(0, 1)).stride() if name == "dropout" else y.stride()
            )
            y.sum().backward()
            assert x.grad is not None
            assert x.grad.shape == x.shape


# ---- in place ----


def test_in_place() -> None:
    for name in ("dropout", "dropout1d", "dropout2d", "alpha_dropout"):
        x = numbers(*SHAPES[name][0])
        for layout in (x.clone(), x.transpose(0, 1).contiguous().transpose(0, 1)):
            expected = FUNCTIONS[name](x, 0.5, rng=KEY)
            version = layout._version
            assert FUNCTIONS[name](layout, 0.5, True, inplace=True, rng=KEY) is layout
            assert same(layout, expected)
            assert layout._version > version


def test_in_place_where_autograd_looks_on() -> None:
    x = numbers(64).requires_grad_()
    for function in (F.dropout, ft.dropout):
        for leaf in (x, x[:3]):
            with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
                function(leaf, 0.5, True, True)
        assert torch.equal(x.detach(), numbers(64))
    y = x * 1
    assert ft.dropout(y, 0.5, True, True, rng=KEY) is y
    (grad,) = torch.autograd.grad(y.sum(), x)
    expected = fd.dropout(np.ones(64), 0.5, rng=KEY)
    assert np.array_equal(grad.numpy(), expected)
    # What the backward pass needs, and has been written over.
    weight = numbers(64, seed=1).requires_grad_()
    data = numbers(64)
    product = weight * data
    ft.dropout(data, 0.5, True, True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    with torch.inference_mode():
        data = torch.ones(64)
        assert bool((ft.dropout(data, 0.5, True, True) == 0).any())
        assert bool((data == 0).any())
    for function in (F.dropout, ft.dropout):
        with pytest.raises(RuntimeError, match="inference tensor outside InferenceMode"):
            function(data, 0.5, True, True)


# ---- autograd ----


@uses_jvp
@every_function
def test_gradients(name: str) -> None:
    x = numbers(*SHAPES[name][0]).requires_grad_()

    def function(x: Any) -> Any:
        return FUNCTIONS[name](x, 0.4, rng=KEY)

    assert gradcheck(function, (x,), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, (x,), check_batched_grad=True)
    if name != "locked_dropout":
        assert gradcheck(lambda x: FUNCTIONS[name](x * 1, 0.4, inplace=True, rng=KEY), (x,))


@pytest.mark.parametrize("dtype", list(DTYPES))
@every_function
def test_the_backward_pass_has_the_forward_mask(backend: str, name: str, dtype: str) -> None:
    """Also where the gradient lies otherwise in memory, and where autograd differentiates it."""
    shape, _ = SHAPES[name]
    for seed in range(5):
        torch.manual_seed(seed)
        x = torch.zeros(shape, dtype=DTYPES[dtype]).requires_grad_()
        y = FUNCTIONS[name](x + 1, 0.5)
        low = FUNCTIONS["dropout"](x, 0.0)  # x itself: no mask, no gradient of its own
        assert low is x
        dropped = y.detach() == y.detach().min()
        weights = torch.ones_like(y).requires_grad_()
        strided = torch.stack([weights, weights], -1)[..., 0]
        (grad,) = torch.autograd.grad(y, x, strided, create_graph=True)
        assert torch.equal(grad == 0, dropped)
        (again,) = torch.autograd.grad(grad.sum(), weights)
        assert same(again, grad.detach())


def test_the_gradient_of_dropout_is_dropout_backward(backend: str) -> None:
    x = numbers(1000, dtype=torch.float32).requires_grad_()
    weights = numbers(1000, dtype=torch.float32, seed=1)
    (grad,) = torch.autograd.grad(ft.dropout(x, 0.3, rng=9), x, weights)
    assert same(grad, torch.from_numpy(fd.dropout_backward(weights.numpy(), 0.3, rng=9)))


def test_nothing_of_the_masks_size_is_kept() -> None:
    kept = []

    def pack(x: Any) -> Any:
        kept.append(x.nbytes)
        return x

    x = torch.ones(1000, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        F.dropout(x, 0.5)
        assert sum(kept) >= 1000  # as PyTorch, so that this sees something
        kept.clear()
        y = ft.dropout(x, 0.5)
        ft._functional._operation(x, _functional.fresh(), 0.5, "dropout", None)
    assert sum(kept) <= 16
    assert not any(getattr(value, "nbytes", 0) > 16 for value in y.grad_fn.call)


@uses_jvp
def test_transforms() -> None:
    def function(x: Any) -> Any:
        return ft.dropout(x, 0.5, rng=KEY)

    x = numbers(8)
    expected = torch.from_numpy(fd.dropout(np.ones(8), 0.5, rng=KEY))
    y, tangent = torch.func.jvp(function, (x,), (torch.ones(8).double(),))
    assert same(y, function(x))
    assert same(tangent, expected)
    for jacobian in (torch.func.jacrev(function), torch.func.jacfwd(function)):
        assert torch.equal(jacobian(x), torch.diag(expected))
    vectorized = torch.autograd.functional.jacobian(function, x, vectorize=True)
    assert torch.equal(vectorized, torch.diag(expected))
    assert torch.equal(torch.func.grad(lambda x: function(x).sum())(x), expected)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x.clone(), torch.ones(8).double())
        in_place = ft.dropout(dual, 0.5, True, True, rng=KEY)
        assert same(torch.autograd.forward_ad.unpack_dual(in_place).tangent, expected)


@every_function
def test_vmap_has_the_randomness_of_pytorch(name: str) -> None:
    """One mask for all, or one for each, which gradients have too; none without being told."""
    x = torch.ones(16, *SHAPES[name][0])

    def one(x: Any) -> Any:
        y = FUNCTIONS[name](x, 0.5)
        return y.sum(), y

    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(one)(x)
    _, shared = torch.vmap(one, randomness="same")(x)
    assert bool((shared == shared[:1]).all())
    grads, own = torch.vmap(torch.func.grad(one, has_aux=True), randomness="different")(x)
    assert len({y.numpy().tobytes() for y in own}) > 8
    assert torch.equal(grads == 0, own == own.min())
    along = torch.vmap(lambda x: FUNCTIONS[name](x, 0.5, rng=3), in_dims=-1, out_dims=-1)
    assert torch.equal(along(x.movedim(0, -1))[..., 5], FUNCTIONS[name](x[5], 0.5, rng=3))


# ---- seeds ----


@every_function
def test_manual_seed_repeats(name: str) -> None:
    x = torch.ones([32 * n if n > 1 else n for n in SHAPES[name][0]])
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append([FUNCTIONS[name](x, 0.5) for _ in range(2)])
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(draws[0][0], draws[0][1])
    assert not torch.equal(draws[0][0], draws[2][0])
    state = torch.get_rng_state()
    first = FUNCTIONS[name](x, 0.5)
    torch.set_rng_state(state)
    assert torch.equal(FUNCTIONS[name](x, 0.5), first)


def test_calls_draw_keys_of_their_own() -> None:
    torch.manual_seed(0)
    seeds = torch.stack([_functional.fresh() for _ in range(1000)])
    assert len(seeds.flatten().unique()) == 2000
    ones = [int(n).bit_count() for n in seeds.flatten().tolist()]
    assert abs(sum(ones) - 2000 * 63 / 2) < 6 * math.sqrt(2000 * 63 / 4)


def test_integers_are_seeds_and_streams_differ() -> None:
    x = torch.ones(1000)
    assert torch.equal(ft.dropout(x, rng=5), ft.dropout(x, rng=fd.Key(5)))
    assert not torch.equal(ft.dropout(x, rng=5), ft.dropout(x, rng=6))
    assert not torch.equal(ft.dropout(x, rng=5), ft.dropout(x, rng=5, stream=1))


MODULES: dict[str, Callable[..., Any]] = {
    "dropout": ft.Dropout,
    "dropout1d": ft.Dropout1d,
    "dropout2d": ft.Dropout2d,
    "alpha_dropout": ft.AlphaDropout,
    "locked_dropout": ft.LockedDropout,
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_their_functions(name: str) -> None:
    x = torch.ones([8 * n if n > 1 else n for n in SHAPES[name][0]])
    module = MODULES[name](0.3, rng=KEY)
    for n in range(3):
        assert torch.equal(module(x), FUNCTIONS[name](x, 0.3, rng=KEY, stream=n))
    assert module.eval()(x) is x
    module.train()
    assert torch.equal(module(x), FUNCTIONS[name](x, 0.3, rng=KEY, stream=3))
    module = MODULES[name](0.3)
    torch.manual_seed(3)
    y = module(x)
    torch.manual_seed(3)
    assert torch.equal(y, FUNCTIONS[name](x, 0.3))
    with pytest.raises(ValueError, match="p: expected"):
        MODULES[name](1.5)


def test_copies_of_a_module_with_a_key_go_on_from_where_it_was() -> None:
    x = torch.ones(100)
    module = ft.Dropout(0.5, rng=KEY)
    module(x)
    assert list(module.state_dict()) == []
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    copies = [
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(file, weights_only=False),
    ]
    expected = ft.dropout(x, 0.5, rng=KEY, stream=1)
    for one in (*copies, module):
        assert torch.equal(one(x), expected)
    assert torch.equal(module.double()(x), ft.dropout(x, 0.5, rng=KEY, stream=2))
    kept = module.seed.clone()
    after = module(x)
    module.seed.copy_(kept)
    assert torch.equal(module(x), after)


@pytest.mark.parametrize("reentrant", [False, True], ids=["plain", "reentrant"])
def test_checkpoints_repeat_the_mask(reentrant: bool) -> None:
    x = torch.ones(1000, requires_grad=True)
    module = ft.Dropout(0.5)
    y = checkpoint(lambda x: module(x * 1) * x, x, use_reentrant=reentrant)
    y.sum().backward()
    assert torch.equal(x.grad, 2 * y.detach())
    keyed = ft.Dropout(0.5, rng=KEY)
    y = checkpoint(lambda x: keyed(x).exp(), x, use_reentrant=reentrant)
    with pytest.raises(RuntimeError, match="rng: expected None where the backward pass repeats"):
        y.sum().backward()
    # A key of a function says which mask it is.
    x.grad = None
    y = checkpoint(lambda x: ft.dropout(x, 0.5, rng=KEY) * x, x, use_reentrant=reentrant)
    y.sum().backward()
    assert torch.equal(x.grad, 2 * y.detach())


# ---- WeightDrop ----


@pytest.mark.parametrize("layers", [1, 2])
def test_weight_drop_is_an_lstm_with_dropped_weights(layers: int) -> None:
    lstm = torch.nn.LSTM(5, 8, layers)
    names = [f"weight_hh_l{n}" for n in range(layers)]
    wrapped = ft.WeightDrop(lstm, names, p=0.4, rng=KEY)
    x = numbers(7, 3, 5, dtype=torch.float32)
    for call in range(2):
        other = copy.deepcopy(lstm)
        with torch.no_grad():
            for n, name in enumerate(names):
                weight = other.get_parameter(name)
                weight.copy_(ft.dropout(weight, 0.4, rng=KEY, stream=layers * call + n))
        y, (h, c) = wrapped(x)
        expected, (h2, c2) = other(x)
        assert torch.equal(y, expected)
        assert torch.equal(h, h2)
        assert torch.equal(c, c2)
        wrapped.zero_grad()
        y.sum().backward()
        expected.sum().backward()
        for n, name in enumerate(names):
            drop = fd.bernoulli(0.4, (32, 8), rng=KEY, stream=layers * call + n)
            grad, theirs = lstm.get_parameter(name).grad, other.get_parameter(name).grad
            assert np.array_equal(grad.numpy() == 0, drop)
            factor = torch.from_numpy(~drop) * np.float32(1 / 0.6)
            assert torch.allclose(grad, theirs * factor, rtol=1e-5)
        assert torch.equal(lstm.weight_ih_l0.grad, other.weight_ih_l0.grad)


def test_weight_drop_trains_what_it_drops() -> None:
    torch.manual_seed(0)
    wrapped = ft.WeightDrop(torch.nn.LSTM(4, 16), "weight_hh_l0", p=0.5)
    assert sorted(wrapped.state_dict()) == sorted(
        f"module.{name}_l0" for name in ("bias_hh", "bias_ih", "weight_hh", "weight_ih")
    )
    before = wrapped.module.weight_hh_l0.detach().clone()
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=1.0)
    x = numbers(9, 2, 4, dtype=torch.float32)
    first, second = (wrapped(x)[0] for _ in range(2))
    assert not torch.equal(first, second)
    second.sum().backward()
    optimizer.step()
    moved = wrapped.module.weight_hh_l0.detach() != before
    assert 0.3 < float(moved.float().mean()) < 0.7
    assert isinstance(wrapped.module.weight_hh_l0, torch.nn.Parameter)
    for other in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(other.module.weight_hh_l0, wrapped.module.weight_hh_l0)
        torch.manual_seed(1)
        y = other(x)[0]
        torch.manual_seed(1)
        assert torch.equal(y, wrapped(x)[0])
    fresh = ft.WeightDrop(torch.nn.LSTM(4, 16), ["weight_hh_l0"])
    fresh.load_state_dict(wrapped.state_dict())
    assert torch.equal(fresh.eval()(x)[0], wrapped.module(x)[0])
    assert torch.equal(wrapped.eval()(x)[0], wrapped.module(x)[0])


def test_weight_drop_of_any_module() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    wrapped = ft.WeightDrop(model, "1.weight", p=1.0)
    y = wrapped(torch.ones(5, 3))
    assert torch.equal(y, model[1].bias.detach().expand(5, 2))
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    x = torch.eye(3)
    both = ft.WeightDrop(tied, "0.weight", p=1.0)(x)
    assert torch.equal(both, tied[1](tied[0].bias.expand(3, 3)))
    assert not torch.equal(both, tied[1].bias.expand(3, 3))
    with pytest.raises(ValueError, match="weights: expected names of parameters: 0"):
        ft.WeightDrop(model, "weight")
    with pytest.raises(TypeError, match=r"module: expected a torch\.nn\.Module"):
        ft.WeightDrop("model", "weight")


# ---- replace_dropout ----


def test_replaced_modules_go_on_as_they_were() -> None:
    shared = torch.nn.Dropout(0.2, inplace=True)
    model = torch.nn.ModuleDict(
        {
            "a": shared,
            "b": torch.nn.Sequential(shared, torch.nn.Dropout1d(0.3), torch.nn.Linear(3, 3)),
            "c": torch.nn.Dropout2d(0.4).eval(),
            "d": torch.nn.AlphaDropout(0.5),
        }
    )
    calls = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    state = model.state_dict()
    assert ft.replace_dropout(model) is model
    assert model["a"] is model["b"][0] is shared
    kinds = [type(model[name]) for name in "acd"] + [type(model["b"][1])]
    assert kinds == [ft.Dropout, ft.Dropout2d, ft.AlphaDropout, ft.Dropout1d]
    assert [model[name].p for name in "acd"] == [0.2, 0.4, 0.5]
    assert shared.inplace
    assert shared.training
    assert not model["c"].training
    assert isinstance(shared, torch.nn.Dropout)
    assert model.state_dict().keys() == state.keys()
    x = torch.ones(1000)
    torch.manual_seed(0)
    y = shared(x)
    assert y is x
    torch.manual_seed(0)
    assert torch.equal(ft.dropout(torch.ones(1000), 0.2), y)
    assert calls == [1]
    again = copy.deepcopy(ft.replace_dropout(model))
    assert type(again["a"]) is ft.Dropout
    assert type(ft.replace_dropout(torch.nn.Dropout(0.1))) is ft.Dropout


def test_what_is_not_replaced_is_named() -> None:
    class Own(torch.nn.Dropout):
        pass

    model = torch.nn.ModuleDict(
        {
            "own": Own(0.1),
            "volume": torch.nn.Dropout3d(0.1),
            "features": torch.nn.FeatureAlphaDropout(0.1),
            "lstm": torch.nn.LSTM(2, 2, 2, dropout=0.1),
            "plain": torch.nn.LSTM(2, 2),
            "layer": torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1),
        }
    )
    with pytest.warns(UserWarning, match="replace_dropout: dropout of PyTorch is left in") as found:
        ft.replace_dropout(model)
    (message,) = (str(warning.message) for warning in found)
    left = message.partition("left in ")[2].split(", ")
    assert left == [
        "own (Own)",
        "volume (Dropout3d)",
        "features (FeatureAlphaDropout)",
        "lstm (LSTM)",
        "layer.self_attn (MultiheadAttention)",
    ]
    assert found[0].filename == __file__
    assert type(model["own"]) is Own
    assert type(model["layer"].dropout) is ft.Dropout
    with pytest.raises(TypeError, match="module: expected"):
        ft.replace_dropout([torch.nn.Dropout()])


# ---- compiled, exported, in other processes ----


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Any:
    torch._dynamo.reset()
    yield lambda function, **more: torch.compile(function, fullgraph=True, **more)
    torch._dynamo.reset()


compiling = [
    needs_compiler,
    # PyTorch's own, of what it imports and does while it compiles.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def marked(function: Any) -> Any:
    for mark in compiling:
        function = mark(function)
    return function


@marked
@every_function
def test_compiled_functions_draw_the_same_masks(compiled: Any, name: str) -> None:
    x = numbers(*SHAPES[name][0]).requires_grad_()

    def function(x: Any) -> Any:
        return FUNCTIONS[name](x * 1, 0.5, rng=KEY, stream=2)

    y, expected = compiled(function)(x), function(x)
    assert torch.allclose(y, expected)
    assert torch.equal(y == y.min(), expected == expected.min())
    weights = numbers(*y.shape, seed=1)
    grads = [torch.autograd.grad(out, x, weights)[0] for out in (y, expected)]
    assert torch.allclose(*grads)


@marked
def test_compiled_modules(compiled: Any) -> None:
    """No graph break, seeded masks, new ones at each call, and the forward mask on the way back."""
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 64), ft.Dropout(0.5), ft.Dropout(0.3, True, rng=KEY)
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(64))
        model[0].bias.zero_()
    run = compiled(model)
    x = torch.ones(16, 64, requires_grad=True)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model[2].seed.copy_(_functional.seed_of(KEY, 0))
        outs.append([run(x) for _ in range(2)])
    assert torch.equal(outs[0][0], outs[1][0])
    assert torch.equal(outs[0][1], outs[1][1])
    assert not torch.equal(outs[0][0], outs[0][1])
    assert not torch.equal(outs[0][0], outs[2][0])
    (grad,) = torch.autograd.grad(outs[2][0].sum(), x)
    assert torch.equal(grad, outs[2][0].detach())
    for call in range(2):
        keyed = fd.bernoulli(0.3, (16, 64), rng=KEY, stream=call)
        assert not outs[0][call].detach().numpy()[keyed].any()
    assert torch.equal(model[2].seed, _functional.seed_of(KEY, 2))


@marked
def test_compiled_shapes_that_change_and_weights(compiled: Any) -> None:
    run = compiled(lambda x: ft.locked_dropout(x, 0.5, batch_first=True), dynamic=True)
    for steps in (3, 4, 5):
        y = run(torch.ones(2, steps, 50))
        assert y.shape == (2, steps, 50)
        assert bool((y == y[:, :1]).all())
        assert 0 < int((y == 0).sum()) < y.numel()
    wrapped = ft.WeightDrop(torch.nn.Linear(32, 32), "weight", 0.5)
    compiled(wrapped)(torch.ones(3, 32)).sum().backward()
    zeros = float((wrapped.module.weight.grad == 0).float().mean())
    assert 0.3 < zeros < 0.7


def test_the_operation_keeps_the_rules_of_pytorch() -> None:
    seed = torch.tensor([1, 2])
    for x in (numbers(3, 4), numbers(3, 4).t()):
        for kind, noise in (("dropout", None), ("alpha", [1, x.shape[1]]), ("slope", None)):
            arguments = x.clone().requires_grad_(), seed, 0.5, kind, noise
            torch.library.opcheck(_functional._operation, arguments)


def test_exported_programs() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), ft.Dropout(0.5)).train()
    program = torch.export.export(model, (torch.ones(2, 4),))
    names = [str(node.target) for node in program.graph.nodes]
    assert "fastdrop.dropout.default" in names
    torch.manual_seed(0)
    outs = [program.module()(torch.ones(2, 4)) for _ in range(8)]
    assert len({y.detach().numpy().tobytes() for y in outs}) > 1


class Noisy(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return ft.dropout(torch.ones(64), 0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_of_a_data_loader() -> None:
    """Each row a mask of its own, the same for the same seed."""
    ft.dropout(torch.ones(1 << 24), 0.5)  # threads have run in this process before
    rows = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        loader = torch.utils.data.DataLoader(
            Noisy(), batch_size=2, num_workers=2, multiprocessing_context="fork"
        )
        rows.append(torch.cat(list(loader)))
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    assert len({row.numpy().tobytes() for row in rows[0]}) == 8


TRAINING = """
import sys
import torch
import torch.distributed as dist
import fastdrop as fd
import fastdrop.torch as ft

rank, path = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=2)
torch.manual_seed(0)
linear = torch.nn.Linear(32, 32, bias=False)
model = torch.nn.Sequential(linear, ft.Dropout(0.5), ft.Dropout(0.25, rng=fd.Key(1).fold_in(rank)))
model = torch.nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
torch.manual_seed(100 + rank)
y = model(torch.ones(4, 32))
y.sum().backward()
# Of y = m * (W x), summed over the rows, for this process's masks.
own = (y.detach() / linear(torch.ones(4, 32))).detach().sum(0)[:, None].expand(32, 32)
torch.save((y.detach() == 0, own, linear.weight.grad), f"{path}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
    reason="PyTorch was built without gloo",
)
def test_two_processes_train_together(tmp_path: Path) -> None:
    """Each with its own masks; the gradient is the mean over both."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TRAINING, str(rank), str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    (drop0, own0, grad0), (drop1, own1, grad1) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in range(2)
    )
    assert not torch.equal(drop0, drop1)
    assert torch.equal(grad0, grad1)
    assert torch.allclose(grad0, (own0 + own1) / 2, rtol=1e-4)


# ---- the package ----


def test_fastdrop_alone_does_not_import_pytorch() -> None:
    code = "import sys, fastdrop as fd; fd.Model; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "False"


def test_doctests() -> None:
    tried = 0
    for module in (_functional, _modules):
        result = doctest.testmod(module)
        assert not result.failed
        tried += result.attempted
    assert tried > 30


def test_public_names_have_examples() -> None:
    for name in ft.__all__:
        text = getattr(ft, name).__doc__ or ""
        assert "Parameters" in text, name
        assert "Examples" in text, name


def test_training_does_not_wait_for_the_compiler() -> None:
    """Neither PyTorch's compiler nor what exports is imported with dropout, unless PyTorch does."""
    code = (
        "import sys, torch\n"
        "slow = {'torch._dynamo', 'torch.fx.experimental.symbolic_shapes', 'fastdrop.model'}\n"
        "slow -= set(sys.modules)\n"
        "import fastdrop.torch\n"
        "print(sorted(slow.intersection(sys.modules)))\n"
        "print('from_torch' in dir(fastdrop.torch), fastdrop.torch.from_torch.__module__)"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert found.stdout.splitlines() == ["[]", "True fastdrop.torch._export"]


# ---- what PyTorch writes down ----


def _by_key(x: Any) -> Any:
    return ft.dropout(x, 0.5, rng=fd.Key.from_words(0, 0))


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_a_trace_drops_by_the_same_mask(mode: str) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    x = torch.arange(1.0, 65.0)
    traced = make_fx(_by_key, tracing_mode=mode)(x)
    assert torch.equal(traced(x), _by_key(x))
    assert torch.equal(traced(2 * x), _by_key(2 * x))
    gradient = torch.func.grad(lambda x: _by_key(x).sum())
    assert torch.equal(make_fx(gradient, tracing_mode=mode)(x)(x), _by_key(torch.ones(64)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated", "ignore:Attempted to insert a")
@pytest.mark.parametrize("function", ["dropout", "alpha_dropout", "locked_dropout"])
def test_what_is_linear_by_the_same_mask(function: str) -> None:
    key = fd.Key.from_words(0, 0)

    def drop(x: Any) -> Any:
        return getattr(ft, function)(x, 0.5, rng=key)

    x = torch.randn(2, 3, 8)
    y, linear = torch.func.linearize(drop, x)
    assert torch.equal(y, drop(x))
    _, wanted = torch.func.jvp(drop, (x,), (torch.ones(2, 3, 8),))
    assert torch.equal(linear(torch.ones(2, 3, 8)), wanted)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("layers", [1, 2])
def test_a_traced_module_draws(layers: int) -> None:
    module = ft.Dropout(0.5)
    if layers == 2:
        module = torch.nn.Sequential(torch.nn.Linear(64, 64), module)
    x = torch.ones(4, 64)
    traced = torch.jit.trace(module, x, check_trace=False)
    one, two = traced(x), traced(x)
    kept = torch.full((4, 64), 2.0) if layers == 1 else 2 * module[0](x)
    for y in (one, two):
        assert torch.allclose(torch.where(y == 0, kept, y), kept)
        assert 0.3 < float((y == 0).float().mean()) < 0.7
    assert not torch.equal(one == 0, two == 0)


def test_replaced_modules_are_told_from_pytorchs() -> None:
    net = torch.nn.Sequential(torch.nn.Dropout(0.3), torch.nn.Dropout1d(0.2, inplace=True))
    ft.replace_dropout(net)
    assert repr(net[0]) == "fastdrop.torch.Dropout(p=0.3, inplace=False)"
    assert repr(net[1]) == "fastdrop.torch.Dropout1d(p=0.2, inplace=True)"

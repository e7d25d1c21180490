"""What is measured, library by library: the ways to get a mask, or dropout, that each one offers.

A library is one generator of `Row`s. Its imports stay inside, so that a missing one is a row that
says so. Buffers are reused wherever the library can write to one.
"""

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import metadata
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import _backend

LIMIT, TORCH, TF = "memory limit", "PyTorch", "TensorFlow"
NUMPY, NUMPY_NEW = "NumPy idiom, buffers reused", "NumPy idiom"
THREEFRY, RBG = "JAX, threefry", "JAX, rbg"
TIERS = {backend.tier: backend for backend in _backend.available}
STRONGEST = next(iter(TIERS))
F32 = np.float32


def fastdrop_label(tier: str) -> str:
    return f"**fastdrop, {tier}**"


@dataclass(frozen=True)
class Task:
    """One point of the measurements; `kind` is "masks" (packed and bool) or "dropout"."""

    kind: str
    size: int
    rate: float
    threads: int

    @cached_property
    def x(self) -> NDArray[np.float32]:
        """No zeros, so that a zero in the result is a dropped element."""
        return np.random.default_rng(0).random(self.size, dtype=F32) + 1

    @property
    def scale(self) -> np.float32:
        return F32(1 / (1 - self.rate))

    @property
    def in_256ths(self) -> int:
        return round(self.rate * 256)

    @property
    def octets(self) -> int:
        """The length of a packed mask."""
        return -(-self.size // 8)


class Row(NamedTuple):
    """One way to do it. `rate` is that of the events; None where nothing is random."""

    operation: str  # packed, bool or dropout
    label: str
    rate: float | None
    call: Callable[[], Any] | None  # None: not installed
    threads: int = 1
    backend: _backend.Backend | None = None


def limits(task: Task) -> Iterator[Row]:
    """Writing the result, and for dropout reading x, with no work in between."""

    def shared(run: Callable[[Any], object], *arrays: NDArray[Any]) -> Callable[[], object]:
        """Run over the arrays, each thread over its part of them."""
        bounds = [task.size * t // task.threads for t in range(task.threads + 1)]
        bounds = [len(arrays[0]) * bound // task.size for bound in bounds]
        parts = [[array[a:b] for array in arrays] for a, b in pairwise(bounds)]
        if len(parts) == 1:
            return partial(run, parts[0])
        pool = ThreadPoolExecutor(task.threads)
        return lambda: list(pool.map(run, parts))

    def multiply(part: list[NDArray[Any]]) -> None:
        np.multiply(part[0], c, out=part[1])

    def fill(part: list[NDArray[Any]]) -> None:
        part[0].fill(1)

    c, threads = task.scale, task.threads
    if task.kind == "dropout":
        yield Row("dropout", LIMIT, None, shared(multiply, task.x, np.empty_like(task.x)), threads)
    else:
        for operation, count in (("packed", task.octets), ("bool", task.size)):
            yield Row(operation, LIMIT, None, shared(fill, np.empty(count, np.uint8)), threads)


def fastdrop(task: Task) -> Iterator[Row]:
    """Every tier, on one thread and, where the task says two, on two."""
    key, p, x = fd.Key(0), task.rate, task.x
    for tier, backend in TIERS.items():
        if tier == "numpy" and (task.threads > 1 or task.size > 1 << 24):
            continue  # it takes too long
        for threads in sorted({1, task.threads}):
            label = fastdrop_label(tier)
            more: dict[str, Any] = {"rng": key, "threads": threads}
            if task.kind == "dropout":
                call = partial(fd.dropout, x, p, out=np.empty_like(x), **more)
                yield Row("dropout", label, p, call, threads, backend)
            else:
                m, bits = np.empty(task.size, bool), np.empty(task.octets, np.uint8)
                draw = partial(fd.bernoulli, p, task.size, **more)
                yield Row(
                    "packed", label, p, partial(draw, dtype="packed", out=bits), threads, backend
                )
                yield Row("bool", label, p, partial(draw, out=m), threads, backend)
    if task.kind == "dropout" and task.threads == 1:
        label = fastdrop_label(_backend.active.tier)
        call = partial(fd.dropout, x, p, rng=key, threads=1)
        yield Row("dropout", f"{label}, new array", p, call)
        call = partial(fd.dropout, x, p, rng=1, out=np.empty_like(x), threads=1)
        yield Row("dropout", f"{label}, seed instead of key", p, call)


def numpy(task: Task) -> Iterator[Row]:
    """The usual idioms, as usually written and with every array reused."""
    size, p, x, c = task.size, task.rate, task.x, task.scale
    p32, t = F32(p), task.in_256ths
    u, m, y = np.empty(size, F32), np.empty(size, bool), np.empty_like(x)
    rng, sfc = np.random.default_rng(0), np.random.Generator(np.random.SFC64(0))

    def reuse() -> NDArray[Any]:
        rng.random(out=u, dtype=F32)
        np.greater_equal(u, p32, out=m)
        np.multiply(x, c, out=y)
        return np.multiply(y, m, out=y)

    def less(generator: np.random.Generator) -> NDArray[Any]:
        return np.less(generator.random(out=u, dtype=F32), p32, out=m)

    if task.kind == "dropout":
        yield Row("dropout", NUMPY, p, reuse)
        yield Row("dropout", NUMPY_NEW, p, lambda: x * (rng.random(size, dtype=F32) >= p32) * c)
        return
    yield Row("bool", NUMPY, p, partial(less, rng))
    yield Row("bool", NUMPY_NEW, p, lambda: rng.random(size, dtype=F32) < p32)
    yield Row("bool", "NumPy, SFC64, buffers reused", p, partial(less, sfc))
    yield Row(
        "bool",
        "NumPy `integers(…, uint8) < t`, rates in 1/256",
        t / 256,
        lambda: rng.integers(0, 256, size, np.uint8) < t,
    )
    if p == 0.5:
        yield Row("packed", "NumPy `bytes`, rate 0.5 only", p, partial(rng.bytes, task.octets))


def randomgen(task: Task) -> Iterator[Row]:
    """Its fastest generator of float32 where this was written."""
    from randomgen import Xoroshiro128

    rng, p32 = np.random.Generator(Xoroshiro128(0)), F32(task.rate)
    u, m = np.empty(task.size, F32), np.empty(task.size, bool)
    if task.kind == "masks":
        yield Row(
            "bool",
            "randomgen, Xoroshiro128",
            task.rate,
            lambda: np.less(rng.random(out=u, dtype=F32), p32, out=m),
        )


def mkl_random(task: Task) -> Iterator[Row]:
    """It has no Bernoulli of its own; ARS5 is its fastest generator where this was written."""
    from mkl_random import MKLRandomState

    rng, size, p, x, c = MKLRandomState(0, brng="ARS5"), task.size, task.rate, task.x, task.scale
    t = task.in_256ths
    if task.kind == "dropout":
        yield Row("dropout", "mkl_random idiom", p, lambda: x * (rng.uniform(size=size) >= p) * c)
        return
    yield Row("bool", "mkl_random `uniform < p`", p, lambda: rng.uniform(size=size) < p)
    yield Row(
        "bool",
        "mkl_random `bytes < t`, rates in 1/256",
        t / 256,
        lambda: np.frombuffer(rng.bytes(size), np.uint8) < t,
    )
    if p == 0.5:
        yield Row("packed", "mkl_random `bytes`, rate 0.5 only", p, partial(rng.bytes, task.octets))


def torch(task: Task) -> Iterator[Row]:
    """`bernoulli_` in place, and `F.dropout`."""
    import torch
    from torch.nn.functional import dropout

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    p = task.rate
    if task.kind == "dropout":
        x = torch.from_numpy(task.x)
        yield Row("dropout", TORCH, p, lambda: dropout(x, p, training=True), task.threads)
    else:
        m = torch.empty(task.size, dtype=torch.bool)
        yield Row("bool", TORCH, p, partial(m.bernoulli_, p), task.threads)


def jax(task: Task) -> Iterator[Row]:
    """Both compiled; the same key every time, so that none need be split."""
    import jax
    import jax.numpy as jnp

    p, x = task.rate, jnp.asarray(task.x)

    def mask(key: Any, x: Any) -> Any:
        return jax.random.bernoulli(key, p, x.shape)

    def drop(key: Any, x: Any) -> Any:
        return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)

    def ready(run: Callable[..., Any], key: Any) -> Any:
        return run(key, x).block_until_ready()

    operation, function = ("bool", mask) if task.kind == "masks" else ("dropout", drop)
    for label, name in ((THREEFRY, "threefry2x32"), (RBG, "rbg")):
        call = partial(ready, jax.jit(function), jax.random.key(0, impl=name))
        yield Row(operation, label, p, call, task.threads)


def tensorflow(task: Task) -> Iterator[Row]:
    """Eager, as it is called most."""
    import tensorflow as tf

    p = task.rate
    if task.kind == "dropout":
        x = tf.constant(task.x)
        yield Row("dropout", TF, p, lambda: tf.nn.dropout(x, p), task.threads)
    else:
        shape, seed = tf.constant([task.size]), tf.constant([1, 2])
        uniform = tf.random.stateless_uniform
        yield Row("bool", TF, p, lambda: uniform(shape, seed) < p, task.threads)


class Library(NamedTuple):
    """Modules that must be there, the distributions that may have brought the first, its rows."""

    modules: tuple[str, ...]
    distributions: tuple[str, ...]
    rows: Callable[[Any], Iterator[Any]]
    has_threads: bool = True

    def installed(self) -> bool:
        return all(importlib.util.find_spec(module) is not None for module in self.modules)


LIBRARIES = {
    "limit": Library(("numpy",), (), limits),
    "fastdrop": Library(("fastdrop",), (), fastdrop),
    "NumPy": Library(("numpy",), ("numpy",), numpy, has_threads=False),
    "randomgen": Library(("randomgen",), ("randomgen",), randomgen, has_threads=False),
    "mkl_random": Library(("mkl_random",), ("mkl_random",), mkl_random, has_threads=False),
    TORCH: Library(("torch",), ("torch",), torch),
    "JAX": Library(("jax",), ("jax",), jax),
    TF: Library(("tensorflow",), ("tensorflow_cpu", "tensorflow"), tensorflow),
}


def rows(task: Task) -> Iterator[Row]:
    """Every way of every library, and one row for each library that is not installed."""
    for name, library in LIBRARIES.items():
        if task.threads > 1 and not library.has_threads:
            continue
        if library.installed():
            yield from library.rows(task)
        else:
            operation = "bool" if task.kind == "masks" else "dropout"
            yield Row(operation, name, None, None, task.threads)


def versions(libraries: dict[str, Library] = LIBRARIES) -> dict[str, str]:
    """Name and version of each library; "not installed" where it is not."""
    found = {"fastdrop": fd.__version__}
    for name, library in libraries.items():
        for distribution in library.distributions:
            try:
                found[name] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                found[name] = "not installed"
    return found

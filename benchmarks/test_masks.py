"""Masks, dropout and its family: operation by tier, size, rate and threads."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastdrop as fd

pytestmark = pytest.mark.benchmark(max_time=0.05)

LARGE = 1 << 24
RATES = [0.1, 0.5]
# A second thread has work to do in the largest arrays only.
POINTS = [(64, 1), (4096, 1), (1 << 20, 1), (LARGE, 1), (LARGE, 2)]
KEY = fd.Key(0)
NOISES = ("gaussian_dropout", "gaussian_noise")
FAMILY = (
    "dropout",
    "dropout_backward",
    "drop_connect",
    "apply_mask",
    "spatial_dropout1d",
    "zoneout",
    "alpha_dropout",
    "embedding_dropout",
    *NOISES,
)
# Words and width of the table of embeddings.
VOCABULARY, WIDTH = 1000, 64

Array = NDArray[Any]
by_point = pytest.mark.parametrize(("size", "threads"), POINTS, ids=lambda value: str(value))


@lru_cache(maxsize=8)
def numbers(size: int, dtype: str = "float32") -> Array:
    """In [1, 2]: something to divide by."""
    return (np.random.default_rng(0).random(size, np.float32) + 1).astype(dtype)


@lru_cache(maxsize=8)
def drops(rate: float, size: int) -> Array:
    """Draw the mask, and look that it holds as many events as it should."""
    drop = fd.bernoulli(rate, size, rng=KEY)
    assert abs(int(drop.sum()) - rate * size) <= 6 * (rate * (1 - rate) * size) ** 0.5
    return drop


@pytest.fixture(autouse=True)
def in_time(request: pytest.FixtureRequest, tier: str, size: int) -> None:
    if tier == "numpy" and size == LARGE:
        pytest.skip("the NumPy backend would take seconds a call")


@pytest.fixture
def on_threads(timed: Any, threads: int) -> Any:
    timed.extra_info["threads"] = threads
    return timed


@by_point
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", ["packed", "bool", "float32"])
def test_bernoulli(on_threads: Any, dtype: str, rate: float, size: int, threads: int) -> None:
    options: dict[str, Any] = {"rng": KEY, "dtype": dtype, "threads": threads}
    out = fd.bernoulli(rate, size, **options)
    drop = drops(rate, size)
    assert np.array_equal(out, np.packbits(drop, bitorder="little") if dtype == "packed" else drop)
    on_threads(fd.bernoulli, rate, size, out=out, **options)


def prepared(operation: str, x: Array, rate: float) -> tuple[Callable[..., Array], Array]:
    """Return the call, and what it must give; for noises NaN, which stands for anything."""
    drop = drops(rate, x.size)
    scaled = x * x.dtype.type(1 / (1 - rate))
    call = partial(getattr(fd, operation), x, rate, rng=KEY)
    match operation:
        case "apply_mask":
            bits = np.packbits(drop, bitorder="little")
            return partial(fd.apply_mask, x, bits, rate=rate), np.where(drop, 0, scaled)
        case "spatial_dropout1d":
            shape = (-1, 8, 8) if x.size == 64 else (-1, 32, 128)
            x, scaled = x.reshape(shape), scaled.reshape(shape)
            channels = drops(rate, x.size // x.shape[1]).reshape(len(x), 1, -1)
            return partial(fd.spatial_dropout1d, x, rate, rng=KEY), np.where(channels, 0, scaled)
        case "zoneout":
            return partial(fd.zoneout, x, -x, rate, rng=KEY), np.where(drop, x, -x)
        case "alpha_dropout":
            limit = -1.7580993408473766
            a = ((1 - rate) * (1 + rate * limit**2)) ** -0.5
            return call, a * np.where(drop, x.dtype.type(limit), x) - a * limit * rate
        case "embedding_dropout":
            steps = min(64, x.size // WIDTH)
            table = np.random.default_rng(1).random((VOCABULARY, WIDTH), np.float32)
            words = np.random.default_rng(2).integers(0, VOCABULARY, (x.size // WIDTH, 1))
            words = words.reshape(-1, steps)
            gone = drops(rate, len(words) * VOCABULARY).reshape(-1, VOCABULARY)
            gone = np.take_along_axis(gone, words, axis=1)[..., np.newaxis]
            y = np.where(gone, 0, table[words] / np.float32(1 - rate))
            return partial(fd.embedding_dropout, words, table, rate, rng=KEY), y
        case "gaussian_dropout" | "gaussian_noise":
            return call, np.full_like(x, np.nan)
    return call, np.where(drop, 0, scaled)


@by_point
@pytest.mark.parametrize(
    ("operation", "rate"),
    # The cost of a normal does not depend on what it is multiplied by.
    [(name, rate) for name in FAMILY for rate in RATES if name not in NOISES or rate == 0.5],
)
def test_family(on_threads: Any, operation: str, rate: float, size: int, threads: int) -> None:
    x = numbers(size)
    call, expected = prepared(operation, x, rate)
    options: dict[str, Any] = {"threads": threads}
    if operation != "embedding_dropout":  # it makes its result itself
        options["out"] = np.empty_like(expected)
    y = call(**options)
    if operation in NOISES:
        z = (
            (y / x - 1) * np.sqrt(1 / rate - 1)
            if operation == "gaussian_dropout"
            else (y - x) / rate
        )
        # The mean and the mean square of normals, six standard deviations wide.
        assert abs(z.mean(dtype=float)) < 6 / size**0.5
        assert abs(np.square(z).mean(dtype=float) - 1) < 6 * (2 / size) ** 0.5
    else:
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
    on_threads(call, **options)


@by_point
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dropout(on_threads: Any, dtype: str, rate: float, size: int, threads: int) -> None:
    x = numbers(size, dtype)
    options: dict[str, Any] = {"rng": KEY, "out": np.empty_like(x), "threads": threads}
    y = fd.dropout(x, rate, **options)
    expected = np.where(drops(rate, size), 0, x * x.dtype.type(1 / (1 - rate)))
    np.testing.assert_allclose(y, expected, rtol=1e-3 if dtype == "float16" else 1e-9)
    on_threads(fd.dropout, x, rate, **options)

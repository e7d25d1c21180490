"""Activations against values computed in more digits, and dense layers in their fixed order."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from tolerances import FLOAT64, assert_close

# Tiers of fused multiply-adds, whose tanh and sigmoid of float32 are computed in float32; the
# others compute them in double.
FUSED = [tier for tier in ("avx512", "avx2", "neon") if tier in BACKENDS]
# Units in the last place: little more than the largest errors there are.
ULP32 = {tier: 1.6 if tier in FUSED else 1.0 for tier in BACKENDS}
ULP64 = 3.0


def of_every_magnitude(dtype: type, n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    lowest, highest = np.log10(np.finfo(dtype).tiny), np.log10(np.finfo(dtype).max)
    magnitudes = 10.0 ** np.concatenate(
        [rng.uniform(-8, 2.5, n), rng.uniform(lowest, highest, n // 4)]
    )
    return (magnitudes * rng.choice([-1, 1], len(magnitudes))).astype(dtype)


def of_every_exponent(n: int) -> np.ndarray:
    """All of them, denormals included, with the borders of their mantissas and others."""
    rng = np.random.default_rng(4)
    high = np.arange(2 * 255, dtype=np.uint32)[:, np.newaxis] % 255 << 23
    high |= np.arange(2 * 255, dtype=np.uint32)[:, np.newaxis] // 255 << 31
    low = rng.integers(0, 2**23, (len(high), n), dtype=np.uint32)
    low[:, :4] = 0, 1, 2**23 - 2, 2**23 - 1
    return (high | low).reshape(-1).view(np.float32)


# Where errors of tiers of fused multiply-adds are, or once were, the largest there are.
WORST = np.array(
    [-4.157294, -6.237699, 4.5050907, 2.0220995, 0.19849896, 0.10355733, -4.846455], np.float32
)


def in_double(name: str, x: np.ndarray) -> np.ndarray:
    """An activation of float32 numbers: its own error is far below theirs."""
    wide = x.astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        if name == "tanh":
            return np.tanh(wide)
        t = np.exp(-np.abs(wide))
        return np.where(wide < 0, t, 1) / (1 + t)


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Errors of float32 numbers in steps of theirs."""
    with np.errstate(over="ignore", under="ignore"):
        # What underflows is measured by the smallest step there is.
        step = np.abs(np.spacing(exact.astype(np.float32)).astype(np.float64))
    return np.abs(got.astype(np.float64) - exact) / step


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_float32_against_double(backend: str, name: str) -> None:
    x = np.concatenate(
        [of_every_magnitude(np.float32, 200_000), of_every_exponent(300), WORST, -WORST]
    )
    errors = ulps(fd.activate(x, name), in_double(name, x))
    worst = errors.argmax()
    assert errors[worst] <= ULP32[backend], x[worst]


# Numbers whose results need every correction that is made.
HARD = {
    "tanh": [0.20556, 0.19876, 0.18236, 0.20596, 0.22624, 0.19528],
    "sigmoid": [-12.1582, -12.15828, -12.15892, -12.15964, -4.69212, -4.74828, -16.96304],
}


@pytest.mark.parametrize("name", HARD)
def test_hard_numbers_are_rounded_right(backend: str, name: str) -> None:
    x = np.array(HARD[name], np.float32)
    assert (ulps(fd.activate(x, name), in_double(name, x)) <= 0.5).all()


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiers_of_one_arithmetic_have_the_same_bits(name: str, dtype: str) -> None:
    x = of_every_exponent(300) if dtype == "float32" else of_every_magnitude(np.float64, 50_000)
    results = []
    for tier in FUSED:
        results.append(x.copy())
        BACKENDS[tier].activate(results[-1], name)
    assert all(result.tobytes() == results[0].tobytes() for result in results[1:])


@pytest.mark.long
@pytest.mark.skipif(not FUSED, reason="needs a tier that computes float32 in float32")
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_every_float32_there_is(name: str) -> None:
    """Some 3 minutes: within 2 ulp of the values in double, and alike on all tiers."""
    size = 1 << 22

    def largest_error(first: int) -> tuple[float, float]:
        x = np.arange(first, first + size, dtype=np.uint32).view(np.float32)
        results = []
        for tier in FUSED:
            results.append(x.copy())
            BACKENDS[tier].activate(results[-1], name)
        known = ~np.isnan(x)
        assert all(np.isnan(result[~known]).all() for result in results), first
        x, results = x[known], [result[known] for result in results]
        assert all(result.tobytes() == results[0].tobytes() for result in results[1:]), first
        if not len(x):
            return 0.0, 0.0
        errors = ulps(results[0], in_double(name, x))
        worst = errors.argmax()
        return float(errors[worst]), float(x[worst])

    with ThreadPoolExecutor(2) as pool:
        error, at = max(pool.map(largest_error, range(0, 1 << 32, size)))
    print(f"{name}: at most {error:.4f} ulp, at {at!r}")
    assert 0.5 <= error <= 2, at


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_float64_against_fifty_digits(backend: str, name: str) -> None:
    getcontext().prec = 50
    x = of_every_magnitude(np.float64, 1500)
    x = x[np.abs(x) < 700]
    worst = 0.0
    for value, got in zip(x.tolist(), fd.activate(x, name).tolist(), strict=True):
        v = Decimal(value)
        if name == "sigmoid":
            exact = 1 / (1 + (-v).exp())
        elif abs(v) < Decimal("1e-9"):
            exact = v - v**3 / 3  # the next term is below 1e-36 of it
        else:
            exact = ((2 * v).exp() - 1) / ((2 * v).exp() + 1)
        step = Decimal(float(np.spacing(abs(float(exact)))))
        worst = max(worst, float(abs(Decimal(got) - exact) / step))
    assert worst <= ULP64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(backend: str, dtype: str) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    expected = {
        "linear": special,
        "tanh": [np.nan, 1, -1, 0, -0.0],
        "sigmoid": [np.nan, 1, 0, 0.5, 0.5],
        "relu": [np.nan, np.inf, 0, 0, 0],
        "hard_sigmoid": [np.nan, 1, 0, 0.5, 0.5],
        "hard_sigmoid_legacy": [np.nan, 1, 0, 0.5, 0.5],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(fd.activate(special, name), values, atol=1e-300, err_msg=name)
    assert np.signbit(fd.activate(special, "tanh")).tolist()[1:] == [False, True, False, True]


@pytest.mark.parametrize(
    ("name", "slope", "offset"), [("hard_sigmoid", 1 / 6, 0.5), ("hard_sigmoid_legacy", 0.2, 0.5)]
)
def test_hard_sigmoids(backend: str, name: str, slope: float, offset: float) -> None:
    x = np.linspace(-4, 4, 1001)
    np.testing.assert_allclose(
        fd.activate(x, name), np.clip(slope * x + offset, 0, 1), rtol=1e-14, atol=1e-16
    )


def test_every_length_and_place_alike(backend: str) -> None:
    """A value's result does not depend on where in an array it stands."""
    x = np.random.default_rng(1).normal(0, 3, 67).astype(np.float32)
    for name in ("tanh", "sigmoid", "relu", "hard_sigmoid"):
        whole = fd.activate(x, name)
        one_by_one = np.concatenate([fd.activate(x[i : i + 1], name) for i in range(len(x))])
        assert np.array_equal(one_by_one, whole)
        assert np.array_equal(fd.activate(x[::-2], name), whole[::-2])


def test_softmax(backend: str) -> None:
    x = np.random.default_rng(2).normal(0, 50, (7, 5, 9))
    got = fd.activate(x, "softmax")
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(got, exponentials / exponentials.sum(axis=-1, keepdims=True))
    assert np.array_equal(fd.activate(x[2, 3], "softmax"), got[2, 3])
    assert np.isfinite(fd.activate(np.array([1e308, -1e308]), "softmax")).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 2, 9, 17, 32, 33, 200])
def test_softmax_of_a_row_alone(backend: str, width: int, dtype: str) -> None:
    """A row's bits do not depend on the rows it comes with, nor on where they are cut."""
    count = 70_000 // width
    x = np.random.default_rng(3).normal(0, 3, (count, width)).astype(dtype)
    x[1], x[2, 0] = np.inf, np.nan
    whole = fd.activate(x, "softmax")
    alone = [0, 1, 2, *range(3, count, max(1, count // 99))]
    expected = [fd.activate(x[n], "softmax") for n in alone]
    assert np.array_equal(whole[alone], expected, equal_nan=True)
    for n in (2, count // 2, count - 1):
        assert np.array_equal(fd.activate(x[n:], "softmax"), whole[n:], equal_nan=True)
    assert np.flatnonzero(np.isnan(whole).any(axis=1)).tolist() == [1, 2]


def rounded(exact: Fraction, dtype: str) -> np.floating:
    """The nearest number of a type, half to even: by double alone it would be rounded twice."""
    real = np.dtype(dtype).type
    near = real(float(exact))
    candidates = [near, np.nextafter(near, real(-np.inf)), np.nextafter(near, real(np.inf))]
    bits = f"u{near.itemsize}"
    return min(candidates, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(bits)) % 2))


def in_order(
    tier: str, start: float, x: Sequence[float], weights: Sequence[float], dtype: str
) -> np.floating:
    """The sum of start and of products, as a tier adds: each product is rounded, or none is."""
    total = np.dtype(dtype).type(start)
    for a, b in zip(x, weights, strict=True):
        product = Fraction(float(a)) * Fraction(float(b))
        if tier not in FUSED:
            product = Fraction(float(rounded(product, dtype)))
        total = rounded(product + Fraction(float(total)), dtype)
    return total


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (0, 6)])
def test_dense_adds_in_order(backend: str, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(dtype)
    kernel, bias = rng.normal(size=(6, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    expected = np.empty((*shape[:-1], 4), dtype)
    for place in np.ndindex(expected.shape):
        j = place[-1]
        expected[place] = in_order(backend, bias[j], x[place[:-1]], kernel[:, j], dtype)
    got = fd.dense(x, kernel, bias)
    assert np.array_equal(got, expected)
    assert_close(fd.dense(x, kernel).astype(float), (x.astype(float) @ kernel), FLOAT64 * 1e7)
    assert np.array_equal(
        fd.dense(x, kernel, bias, activation="tanh"), fd.activate(expected, "tanh")
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "inputs", "columns"), [(1, 300, 150), (8, 257, 33), (67, 513, 9)])
def test_long_sums_have_the_same_order(
    backend: str, dtype: str, rows: int, inputs: int, columns: int
) -> None:
    """Also where kernels take so many rows, inputs and columns at a time; some sums of each."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    kernel = rng.normal(size=(inputs, columns)).astype(dtype)
    bias = rng.normal(size=columns).astype(dtype)
    got = fd.dense(x, kernel, bias)
    for n in {0, rows // 2, rows - 1}:
        for j in {0, columns // 2, columns - 1}:
            assert got[n, j] == in_order(backend, bias[j], x[n], kernel[:, j], dtype), (n, j)


def test_fused_sums_are_others() -> None:
    """What the tests above can see: sums that are rounded once, twice, or in another order."""
    rng = np.random.default_rng(6)
    x, w = rng.normal(size=(2, 50)).astype(np.float32)
    sums = {in_order(tier, 0.5, x, w, "float32") for tier in ("portable", *FUSED)}
    sums.add(in_order("portable", 0.5, x[::-1], w[::-1], "float32"))
    assert len(sums) == (3 if FUSED else 2)
    # Between two numbers of float32, by less than a double can tell: rounded once it goes up.
    exact = 1 + Fraction(1, 2**24) + Fraction(1, 2**80)
    assert np.float32(float(exact)) == 1
    assert rounded(exact, "float32") == np.nextafter(np.float32(1), np.float32(2))
    assert rounded(exact - Fraction(1, 2**80), "float32") == 1  # half to even


@pytest.mark.parametrize("shapes", [((3, 0), (0, 2)), ((3, 2), (2, 0)), ((0, 2), (2, 3))])
def test_dense_of_nothing(backend: str, shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    x, kernel = np.ones(shapes[0]), np.ones(shapes[1])
    assert np.array_equal(fd.dense(x, kernel), x @ kernel)

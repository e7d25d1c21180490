"""Activations against values computed in more digits, and dense layers in their fixed order."""

from decimal import Decimal, getcontext

import numpy as np
import pytest

import fastdrop as fd
from tolerances import FLOAT64, assert_close

# Units in the last place. For float32 all backends compute in double.
ULP32, ULP64 = 1.0, 3.0


def of_every_magnitude(dtype: type, n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    lowest, highest = np.log10(np.finfo(dtype).tiny), np.log10(np.finfo(dtype).max)
    magnitudes = 10.0 ** np.concatenate(
        [rng.uniform(-8, 2.5, n), rng.uniform(lowest, highest, n // 4)]
    )
    return (magnitudes * rng.choice([-1, 1], len(magnitudes))).astype(dtype)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_float32_against_double(backend: str, name: str) -> None:
    x = of_every_magnitude(np.float32, 200_000)
    wide = x.astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        exact = np.tanh(wide) if name == "tanh" else 1 / (1 + np.exp(-wide))
        got = fd.activate(x, name).astype(np.float64)
        # What underflows is measured by the smallest step there is.
        step = np.abs(np.spacing(exact.astype(np.float32)).astype(np.float64))
    assert (np.abs(got - exact) / step).max() <= ULP32


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
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (0, 6)])
def test_dense_adds_in_order(backend: str, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(dtype)
    kernel, bias = rng.normal(size=(6, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    expected = np.broadcast_to(bias, (*shape[:-1], 4)).copy()
    for k in range(6):
        expected = expected + x[..., k, np.newaxis] * kernel[k]
    got = fd.dense(x, kernel, bias)
    assert np.array_equal(got, expected)
    assert_close(fd.dense(x, kernel).astype(float), (x.astype(float) @ kernel), FLOAT64 * 1e7)
    assert np.array_equal(
        fd.dense(x, kernel, bias, activation="tanh"), fd.activate(expected, "tanh")
    )


@pytest.mark.parametrize("shapes", [((3, 0), (0, 2)), ((3, 2), (2, 0)), ((0, 2), (2, 3))])
def test_dense_of_nothing(backend: str, shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    x, kernel = np.ones(shapes[0]), np.ones(shapes[1])
    assert np.array_equal(fd.dense(x, kernel), x @ kernel)

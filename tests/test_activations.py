"""Activations against values computed in more digits, and dense layers in their fixed order."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, _check, feedforward
from fastdrop._check import Activation
from references.stored import load
from test_masks import LAYOUTS
from tolerances import FLOAT32, FLOAT64, assert_close

REFERENCES = Path(__file__).parent / "references"

# Tiers of fused multiply-adds, whose tanh and sigmoid of float32 are computed in float32; the
# others compute them in double.
FUSED = [tier for tier in ("avx512", "avx2", "neon") if tier in BACKENDS]
# Units in the last place.
ULP32 = {tier: 2.0 if tier in FUSED else 1.0 for tier in BACKENDS}
# Little more than the largest errors there are of what cells always have.
TIGHT = {tier: 1.6 if tier in FUSED else 1.0 for tier in BACKENDS}
# Of float64 they are 3, but where a formula in double is written as one reads it: the exponent of
# a tail then is a rounded number.
ULP64 = {
    ("numpy", "gelu"): 50.0,
    ("numpy", "gelu_tanh"): 50.0,
    ("numpy", "tanh_shrink"): 6.0,
    ("portable", "gelu_tanh"): 50.0,
    ("portable", "tanh_shrink"): 4.0,
}


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


def root_of_mean_square(v: np.ndarray, b: float) -> np.ndarray:
    mean = np.hypot(v, np.sqrt(b)) / 2 + np.abs(v) / 2
    return np.where(v < 0, b / 4 / mean, mean)


def sigmoid_in_double(v: np.ndarray) -> np.ndarray:
    t = np.exp(-np.abs(v))
    return np.where(v < 0, t, 1) / (1 + t)


def tanh_shrink_in_double(v: np.ndarray) -> np.ndarray:
    """From (v cosh v - sinh v) / cosh v: the difference as the sum of its series."""
    few = np.clip(v, -3, 3)
    terms = (2 * k / math.factorial(2 * k + 1) * few ** (2 * k) for k in range(1, 22))
    return np.where(np.abs(v) < 3, v * sum(terms) / np.cosh(few), v - np.tanh(v))


def elu_in_double(v: np.ndarray, alpha: float = 1.0, scale: float = 1.0) -> np.ndarray:
    return scale * np.where(v < 0, alpha * np.expm1(np.minimum(v, 0)), v)


erfc = np.frompyfunc(math.erfc, 1, 1)
LOW = -800.0  # e^LOW is zero, and finite: so are products of it

# Activations of float32 numbers, as Keras defines them: their own error is far below float32's.
DOUBLE: dict[str, Callable[..., np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid_in_double,
    "relu": lambda v, slope=0.0, most=np.inf, threshold=0.0: np.where(
        v > threshold, np.minimum(v, most), np.where(slope == 0, 0, slope * (v - threshold))
    ),
    "relu6": lambda v: np.clip(v, 0, 6),
    "leaky_relu": lambda v, slope: np.where(v < 0, slope * v, v),
    "elu": elu_in_double,
    "selu": lambda v: elu_in_double(v, 1.6732632423543772, 1.0507009873554805),
    "celu": lambda v, alpha: np.where(v < 0, alpha * np.expm1(np.minimum(v, 0) / alpha), v),
    "gelu": lambda v: np.maximum(v, LOW) / 2 * erfc(-np.maximum(v, LOW) / 2**0.5).astype(float),
    "gelu_tanh": lambda v: (
        np.maximum(v, LOW)
        * sigmoid_in_double((8 / np.pi) ** 0.5 * (v + 0.044715 * np.clip(v, -1e9, 1e9) ** 3))
    ),
    "silu": lambda v: np.maximum(v, LOW) * sigmoid_in_double(v),
    "mish": lambda v: np.maximum(v, LOW) * np.tanh(np.logaddexp(v, 0)),
    "softplus": lambda v: np.logaddexp(v, 0),
    "log_sigmoid": lambda v: -np.logaddexp(-v, 0),
    "softsign": lambda v: v / (1 + np.abs(v)),
    "exponential": np.exp,
    "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
    "hard_silu": lambda v: np.maximum(v, -3) * (np.clip(v + 3, 0, 6) / 6),
    "hard_tanh": lambda v: np.clip(v, -1, 1),
    "tanh_shrink": tanh_shrink_in_double,
    "soft_shrink": lambda v, threshold: v - np.clip(v, -threshold, threshold),
    "hard_shrink": lambda v, threshold: np.where(np.abs(v) > threshold, v, 0),
    "threshold": lambda v, threshold, value: np.where(v > threshold, v, value),
    "sparse_plus": lambda v: np.where(v < 1, (np.maximum(v, -1) + 1) ** 2 / 4, v),
    "sparse_sigmoid": lambda v: np.clip((v + 1) / 2, 0, 1),
    "squareplus": root_of_mean_square,
}

# With all their parameters: Keras's, where it has some, and others.
CURVED: tuple[Activation, ...] = (
    "tanh",
    "sigmoid",
    "silu",
    "gelu",
    "gelu_tanh",
    "mish",
    "softplus",
    "log_sigmoid",
    "softsign",
    "exponential",
    "selu",
    "tanh_shrink",
    ("elu", 1.0),
    ("elu", 0.3),
    ("elu", 2.5),
    ("celu", 1.0),
    ("celu", 0.3),
    ("squareplus", 4.0),
    ("squareplus", 0.01),
)
PIECEWISE: tuple[Activation, ...] = (
    "relu",
    "relu6",
    "hard_silu",
    "hard_tanh",
    "sparse_plus",
    "sparse_sigmoid",
    ("leaky_relu", 0.2),
    ("leaky_relu", 1.5),  # steeper below zero
    ("leaky_relu", -0.5),
    ("relu", 0.1, 3.0, 0.5),
    ("relu", 1.5, 3.0, 0.5),
    ("relu", 0.0, np.inf, 1.0),
    ("relu", 0.0, 2.0, 0.0),
    ("soft_shrink", 0.5),
    ("hard_shrink", 0.5),
    ("threshold", 0.5, -0.3),
)


def label(activation: object) -> str:
    return str(activation).replace(" ", "")


def parts(activation: Activation) -> tuple[str, list[float]]:
    name, *parameters = (activation,) if isinstance(activation, str) else activation
    return name, parameters


def in_double(activation: Activation, x: np.ndarray) -> np.ndarray:
    """An activation of numbers, whose type is its parameters'."""
    name, parameters = parts(activation)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        own = [float(x.dtype.type(parameter)) for parameter in parameters]
        return np.asarray(DOUBLE[name](x.astype(np.float64), *own), np.float64)


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Errors of float32 numbers in steps of theirs; infinity is the number after the largest."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # What underflows is measured by the smallest step there is.
        largest = np.finfo(np.float32).max
        step = np.abs(np.spacing(np.clip(exact, -largest, largest).astype(np.float32)))
        bounded = np.clip([got.astype(np.float64), exact], -(2.0**128), 2.0**128)
        return np.abs(bounded[0] - bounded[1]) / step.astype(np.float64)


@pytest.mark.parametrize("activation", [*CURVED, *PIECEWISE], ids=label)
def test_float32_against_double(backend: str, activation: Activation) -> None:
    x = np.concatenate(
        [
            of_every_magnitude(np.float32, 60_000 if backend == "numpy" else 200_000),
            of_every_exponent(60 if backend == "numpy" else 300),
            np.random.default_rng(7).normal(0, 2, 100_000).astype(np.float32),
            *(WORST, -WORST),
        ]
    )
    errors = ulps(fd.activate(x, activation), in_double(activation, x))
    worst = errors.argmax()
    assert errors[worst] <= (TIGHT if activation in ("tanh", "sigmoid") else ULP32)[backend], x[
        worst
    ]


# Numbers whose results need every correction that is made.
HARD = {
    "tanh": [0.20556, 0.19876, 0.18236, 0.20596, 0.22624, 0.19528],
    "sigmoid": [-12.1582, -12.15828, -12.15892, -12.15964, -4.69212, -4.74828, -16.96304],
}


@pytest.mark.parametrize("name", HARD)
def test_hard_numbers_are_rounded_right(backend: str, name: str) -> None:
    x = np.array(HARD[name], np.float32)
    assert (ulps(fd.activate(x, name), in_double(name, x)) <= 0.5).all()


@pytest.mark.parametrize("activation", [*CURVED, *PIECEWISE], ids=label)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiers_of_one_arithmetic_have_the_same_bits(activation: Activation, dtype: str) -> None:
    x = of_every_exponent(300) if dtype == "float32" else of_every_magnitude(np.float64, 50_000)
    results = []
    for tier in FUSED:
        results.append(x.copy())
        BACKENDS[tier].activate(results[-1], activation)
    assert all(result.tobytes() == results[0].tobytes() for result in results[1:])


@pytest.mark.long
@pytest.mark.skipif(not FUSED, reason="needs a tier that computes float32 in float32")
@pytest.mark.parametrize("activation", CURVED, ids=label)
def test_every_float32_there_is(activation: Activation) -> None:
    """Some 3 minutes each: within 2 ulp of the values in double, and alike on all tiers."""
    size = 1 << 22

    def largest_error(first: int) -> tuple[float, float]:
        x = np.arange(first, first + size, dtype=np.uint32).view(np.float32)
        results = []
        for tier in FUSED:
            results.append(x.copy())
            BACKENDS[tier].activate(results[-1], activation)
        known = ~np.isnan(x)
        assert all(np.isnan(result[~known]).all() for result in results), first
        x, results = x[known], [result[known] for result in results]
        assert all(result.tobytes() == results[0].tobytes() for result in results[1:]), first
        if not len(x):
            return 0.0, 0.0
        errors = ulps(results[0], in_double(activation, x))
        worst = errors.argmax()
        return float(errors[worst]), float(x[worst])

    with ThreadPoolExecutor(2) as pool:
        error, at = max(pool.map(largest_error, range(0, 1 << 32, size)))
    print(f"{label(activation)}: at most {error:.4f} ulp, at {at!r}")
    assert 0.5 <= error <= 2, at


def erfc_of(z: Decimal) -> Decimal:
    """1 - erf(z): by its series, or where that would take too many digits by a fraction."""
    if z < 0:
        return 2 - erfc_of(-z)
    if z < 5:
        term = total = z
        for n in range(1, 200):
            term *= 2 * z * z / (2 * n + 1)
            total += term
        return 1 - 2 / PI.sqrt() * (-z * z).exp() * total
    below = z
    for k in range(200, 0, -1):
        below = z + Decimal(k) / 2 / below
    return (-z * z).exp() / PI.sqrt() / below


def tanh_of(v: Decimal) -> Decimal:
    if abs(v) < Decimal("1e-20"):
        return v - v**3 / 3  # the next term is below 1e-80 of it
    return 1 - 2 / ((2 * v).exp() + 1)


def log1p_of(t: Decimal) -> Decimal:
    return (1 + t).ln() if t > Decimal("1e-40") else t - t * t / 2


def softplus_of(v: Decimal) -> Decimal:
    return max(v, Decimal(0)) + log1p_of((-abs(v)).exp())


def expm1_of(v: Decimal) -> Decimal:
    return v.exp() - 1 if abs(v) > Decimal("1e-40") else v + v * v / 2


def elu_of(v: Decimal, alpha: Decimal) -> Decimal:
    return v if v >= 0 else alpha * expm1_of(v)


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
SCALE = Decimal("1.0507009873554804934193349852946")
ALPHA = Decimal("1.6732632423543772848170429916717")
DIGITS: dict[str, Callable[..., Decimal]] = {
    "tanh": tanh_of,
    "sigmoid": lambda v: 1 / (1 + (-v).exp()),
    "silu": lambda v: v / (1 + (-v).exp()),
    "gelu": lambda v: v / 2 * erfc_of(-v / Decimal(2).sqrt()),
    "gelu_tanh": lambda v: v / (1 + (-((8 / PI).sqrt() * (v + Decimal("0.044715") * v**3))).exp()),
    "mish": lambda v: v * tanh_of(softplus_of(v)),
    "softplus": softplus_of,
    "log_sigmoid": lambda v: -softplus_of(-v),
    "softsign": lambda v: v / (1 + abs(v)),
    "exponential": lambda v: v.exp(),
    "elu": elu_of,
    "selu": lambda v: SCALE * elu_of(v, ALPHA),
    "celu": lambda v, alpha: v if v >= 0 else alpha * expm1_of(v / alpha),
    "tanh_shrink": lambda v: v - tanh_of(v) if abs(v) > Decimal("1e-20") else v**3 / 3,
    "squareplus": lambda v, b: (v + (v * v + b).sqrt()) / 2,
}


@pytest.mark.parametrize("activation", CURVED, ids=label)
def test_float64_against_eighty_digits(backend: str, activation: Activation) -> None:
    name, parameters = parts(activation)
    x = np.concatenate(
        [
            of_every_magnitude(np.float64, 300),
            np.random.default_rng(8).normal(0, 3, 400),
            *(np.linspace(20, 45, 51), -np.linspace(20, 45, 51)),  # to where they are x, or 0
        ]
    )
    x = x[np.abs(x) < 700]
    if ULP64.get((backend, name)) == 50:
        x = x[np.abs(x) < 6]  # it grows with the exponent
    worst, where = 0.0, 0.0
    with localcontext(prec=80):
        for value, got in zip(x.tolist(), fd.activate(x, activation).tolist(), strict=True):
            exact = DIGITS[name](Decimal(value), *map(Decimal, parameters))
            step = Decimal(float(np.spacing(abs(float(exact)))))
            error = float(abs(Decimal(got) - exact) / step)
            worst, where = max((worst, where), (error, value))
    assert worst <= ULP64.get((backend, name), 3.0), where


# At NaN, infinity, minus infinity, 0 and -0: NaN is never hidden, and where Keras computes
# infinity times zero the limit stands.
SPECIAL: dict[Activation, tuple[float, ...]] = {
    "linear": (np.nan, np.inf, -np.inf, 0.0, -0.0),
    "tanh": (np.nan, 1, -1, 0, -0.0),
    "sigmoid": (np.nan, 1, 0, 0.5, 0.5),
    "relu": (np.nan, np.inf, 0, 0, 0),
    ("relu", 0.1, 3.0, 0.5): (np.nan, 3, -np.inf, -0.05, -0.05),
    ("relu", 0.0, 3.0, 0.5): (np.nan, 3, 0, 0, 0),
    "relu6": (np.nan, 6, 0, 0, 0),
    "leaky_relu": (np.nan, np.inf, -np.inf, 0, -0.0),
    ("leaky_relu", 0): (np.nan, np.inf, 0, 0, 0),
    "hard_sigmoid": (np.nan, 1, 0, 0.5, 0.5),
    "hard_sigmoid_legacy": (np.nan, 1, 0, 0.5, 0.5),
    "hard_silu": (np.nan, np.inf, -0.0, 0, -0.0),
    "hard_tanh": (np.nan, 1, -1, 0, -0.0),
    "elu": (np.nan, np.inf, -1, 0, -0.0),
    "selu": (np.nan, np.inf, -1.7580993408473766, 0, -0.0),
    ("celu", 0.5): (np.nan, np.inf, -0.5, 0, -0.0),
    "gelu": (np.nan, np.inf, -0.0, 0, -0.0),
    "gelu_tanh": (np.nan, np.inf, -0.0, 0, -0.0),
    "silu": (np.nan, np.inf, -0.0, 0, -0.0),
    "mish": (np.nan, np.inf, -0.0, 0, -0.0),
    "softplus": (np.nan, np.inf, 0, np.log(2), np.log(2)),
    "log_sigmoid": (np.nan, -0.0, -np.inf, -np.log(2), -np.log(2)),
    "softsign": (np.nan, 1, -1, 0, -0.0),
    "exponential": (np.nan, np.inf, 0, 1, 1),
    "tanh_shrink": (np.nan, np.inf, -np.inf, 0, -0.0),
    "soft_shrink": (np.nan, np.inf, -np.inf, 0, 0),
    "hard_shrink": (np.nan, np.inf, -np.inf, 0, 0),
    ("threshold", 0.5, -0.25): (np.nan, np.inf, -0.25, -0.25, -0.25),
    "sparse_plus": (np.nan, np.inf, 0, 0.25, 0.25),
    "sparse_sigmoid": (np.nan, 1, 0, 0.5, 0.5),
    "squareplus": (np.nan, np.inf, 0, 1, 1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", SPECIAL, ids=label)
def test_special_values(backend: str, activation: Activation, dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    got, expected = fd.activate(x, activation), np.array(SPECIAL[activation], dtype)
    np.testing.assert_allclose(got, expected, rtol=3e-7, atol=1e-300)
    assert np.signbit(got).tolist()[1:] == np.signbit(expected).tolist()[1:]


def test_as_keras_computes(backend: str) -> None:
    """What Keras put out, for the parameters that it was given."""
    tested = set()
    for case, options, arrays, outputs in load(REFERENCES / "activations.npz"):
        given = tuple(options["activation"])
        got = fd.activate(arrays["x"], given if len(given) > 1 else given[0])
        # Keras takes differences: these are exact to the last bit of numbers of up to 20.
        np.testing.assert_allclose(got, outputs["y"], rtol=2e-6, atol=2e-6, err_msg=case)
        tested.add(given[0])
    assert tested == {*_check.ACTIVATIONS, *_check.ROW_ACTIVATIONS} - {"hard_sigmoid_legacy"}


def test_every_name_is_tested() -> None:
    names = {parts(activation)[0] for activation in SPECIAL} | {"swish", "hard_swish"}
    assert names == set(_check.ACTIVATIONS)
    assert {parts(activation)[0] for activation in CURVED} == set(DIGITS)


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
    for activation in SPECIAL:
        whole = fd.activate(x, activation)
        one_by_one = np.concatenate([fd.activate(x[i : i + 1], activation) for i in range(len(x))])
        assert np.array_equal(one_by_one, whole)
        assert np.array_equal(fd.activate(x[::-2], activation), whole[::-2])


def test_other_names_and_parameters(backend: str) -> None:
    """What a name stands for; a number is rounded to the array's type as it is."""
    x = np.random.default_rng(9).normal(0, 2, 300).astype(np.float32)
    same: dict[Activation, Activation] = {
        "swish": "silu",
        "hard_swish": "hard_silu",
        "leaky_relu": ("leaky_relu", 0.2),
        "elu": ("elu", 1),
        "celu": ("celu", 1.0),
        "soft_shrink": ("soft_shrink", 0.5),
        "hard_shrink": ("hard_shrink", 0.5),
        "squareplus": ("squareplus", 4),
        ("relu", 0, None, 0): "relu",
        ("relu", 0.0, 6.0): "relu6",
        ("relu", 0.2): "leaky_relu",
        ("tanh",): "tanh",
    }
    for given, expected in same.items():
        assert np.array_equal(fd.activate(x, given), fd.activate(x, expected)), given
        weights = fd.pack_lstm(x[:20].reshape(1, 20), x[:100].reshape(5, 20), activation=given)
        other = fd.pack_lstm(x[:20].reshape(1, 20), x[:100].reshape(5, 20), activation=expected)
        ran = [fd.rnn(x.reshape(30, 10, 1), w) for w in (weights, other)]
        assert np.array_equal(*ran), given


def test_parameters_are_rounded_to_the_arrays_type(backend: str) -> None:
    """float32's 0.1 is more than 0.1, but no more than a threshold that is given so."""
    x = np.array([0.1, -0.1, 0.2], np.float32)
    borders: dict[Activation, float] = {
        ("threshold", 0.1, 7): 7,
        ("relu", 0, None, 0.1): 0,
        ("hard_shrink", 0.1): 0,
    }
    for activation, border in borders.items():
        assert fd.activate(x, activation).tolist() == [border, border, x[2]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*CURVED, *PIECEWISE], ids=label)
def test_in_every_gate_of_every_cell(backend: str, activation: Activation, dtype: str) -> None:
    """One step, from its definition in NumPy, with the activation inside, outside, and both.

    Of the candidates some are dropped.
    """
    rng = np.random.default_rng(10)
    rows, units = 3, 19
    h, c = rng.normal(0, 0.5, (2, rows, units)).astype(dtype)
    mask = rng.choice([0, 1, 1.5], (rows, units)).astype(dtype)
    bound = FLOAT32 if dtype == "float32" else FLOAT64

    def act(which: Activation, z: np.ndarray) -> np.ndarray:
        return in_double(which, z.astype(dtype))

    for inner, outer in ((activation, "sigmoid"), ("tanh", activation), (activation, activation)):
        for cell, gates in (("lstm", 4), ("gru", 3), ("gru_reset_first", 3), ("simple_rnn", 1)):
            if cell == "simple_rnn" and inner == "tanh":
                continue
            # The identity as kernel, and nothing recurrent, so z is known exactly; but what a reset
            # gate multiplies is the state itself.
            z = rng.normal(0, 0.7, (rows, gates, units)).astype(dtype)
            kernel, recurrent = (np.zeros((n * units, gates * units), dtype) for n in (gates, 1))
            np.fill_diagonal(kernel, 1)
            options = {"activation": inner}
            options |= {} if cell == "simple_rnn" else {"recurrent_activation": outer}
            if cell.startswith("gru"):
                options["reset_after"] = cell == "gru"
                np.fill_diagonal(recurrent[:, 2 * units :], 1)
            name = cell.removesuffix("_reset_first")
            pack = {"lstm": fd.pack_lstm, "gru": fd.pack_gru, "simple_rnn": fd.pack_simple_rnn}
            weights = pack[name](kernel, recurrent, **options)  # type: ignore[operator]
            state = (h, c) if cell == "lstm" else h
            drop: dict[str, Any] = {} if cell == "simple_rnn" else {"candidate_mask": mask}
            got, after = fd.step(z.reshape(rows, -1), weights, state, **drop)
            if cell == "lstm":
                i, f, o = (act(outer, z[:, k]) for k in (0, 1, 3))
                state_c = (f * c + i * act(inner, z[:, 2]) * mask).astype(dtype)
                assert_close(after[1], state_c, bound)
                expected = o * act(inner, after[1])
            elif name == "gru":
                update, reset = (act(outer, z[:, k]) for k in (0, 1))
                candidate = act(inner, z[:, 2] + reset * h) * mask
                expected = update * h + (1 - update) * candidate
            else:
                expected = act(inner, z[:, 0])
            assert_close(got, expected.astype(dtype), bound)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 2, 8, 9, 16, 17, 31, 200])
def test_softmax(backend: str, width: int, dtype: str) -> None:
    x = np.random.default_rng(2).normal(0, 20, (7, 5, width)).astype(dtype)
    below = x.astype(np.longdouble) - x.max(axis=-1, keepdims=True)
    total = np.exp(below).sum(axis=-1, keepdims=True)
    got = fd.activate(x, "softmax")
    bound = FLOAT32 if dtype == "float32" else FLOAT64
    assert_close(got, (np.exp(below) / total).astype(dtype), bound)
    assert_close(fd.activate(x, "log_softmax"), (below - np.log(total)).astype(dtype), bound)
    assert np.array_equal(fd.activate(x[2, 3], "softmax"), got[2, 3])
    kernel = np.eye(width, dtype=dtype)
    assert np.array_equal(fd.dense(x, kernel, activation="softmax"), got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_extremes(backend: str, dtype: str) -> None:
    huge, inf = float(np.finfo(dtype).max), np.inf
    for row, expected in (
        ([huge, -huge], [1, 0]),
        ([-inf, 3, -inf, 3], [0, 0.5, 0, 0.5]),
        ([-huge] * 17, [1 / 17] * 17),
        ([inf, 1], [np.nan, np.nan]),
        ([-inf] * 9, [np.nan] * 9),
        ([np.nan, *[0.0] * 20], [np.nan] * 21),
        ([*[0.0] * 20, np.nan, 0.0], [np.nan] * 22),
    ):
        x = np.array(row, dtype)
        np.testing.assert_allclose(fd.activate(x, "softmax"), expected, rtol=1e-6)
        with np.errstate(divide="ignore"):
            logarithm = np.log(expected)
        # What is infinitely far below is so; else a huge number below is still a number.
        got = fd.activate(x, "log_softmax")
        assert np.array_equal(np.isnan(got), np.isnan(logarithm))
        few = np.isfinite(logarithm)
        np.testing.assert_allclose(got[few], logarithm[few], rtol=1e-6)
        assert (got[~few & ~np.isnan(got)] < -1e30).all()


@pytest.mark.parametrize(("dtype", "below"), [("float32", -95.0), ("float64", -735.0)])
def test_softmax_down_to_the_smallest_number(backend: str, dtype: str, below: float) -> None:
    got = fd.activate(np.array([0, below], dtype), "softmax")
    least = np.finfo(dtype).smallest_subnormal
    assert abs(got[1] - math.exp(below)) <= 2 * float(least)


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_has_the_same_bits_on_tiers_of_vectors(dtype: str, logarithm: bool) -> None:
    for width in (*range(1, 40), 300):
        x = np.random.default_rng(width).normal(0, 5, (3, width)).astype(dtype)
        results = [x.copy() for _ in FUSED]
        for tier, result in zip(FUSED, results, strict=True):
            BACKENDS[tier].softmax(result, logarithm)
        assert all(result.tobytes() == results[0].tobytes() for result in results[1:])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 2, 9, 17, 32, 33, 200])
def test_softmax_of_a_row_alone(
    backend: str, width: int, dtype: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row's bits do not depend on the rows it comes with, nor on where they are cut."""
    count = 70_000 // width
    x = np.random.default_rng(3).normal(0, 3, (count, width)).astype(dtype)
    x[1], x[2, 0] = np.inf, np.nan
    whole = fd.activate(x, name)
    alone = [0, 1, 2, *range(3, count, max(1, count // 99))]
    expected = [fd.activate(x[n], name) for n in alone]
    assert np.array_equal(whole[alone], expected, equal_nan=True)
    monkeypatch.setattr(feedforward, "_PIECE_NUMBERS", 1000)
    for n in (0, 2, count // 2, count - 1):
        assert np.array_equal(fd.activate(x[n:], name), whole[n:], equal_nan=True)
    assert np.flatnonzero(np.isnan(whole).any(axis=1)).tolist() == [1, 2]


def test_activations_in_pieces(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(4).normal(size=(50, 41))
    whole = fd.activate(x, "silu")
    monkeypatch.setattr(feedforward, "_PIECE_NUMBERS", 1000)
    assert np.array_equal(fd.activate(x, "silu"), whole)


@pytest.mark.parametrize("activation", ["tanh", "softmax", "log_softmax"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_do_not_matter(backend: str, activation: str, layout: str) -> None:
    x = np.random.default_rng(11).normal(size=(13, 29))
    other = LAYOUTS[layout](x)
    before = np.array(other)
    got = fd.activate(other, activation)
    assert got.flags.c_contiguous
    assert np.array_equal(got, fd.activate(x, activation))
    assert np.array_equal(other, before)
    assert np.array_equal(fd.activate(x[2, 3], "tanh"), fd.activate(x, "tanh")[2, 3])


def test_no_call_of_an_activation_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many numbers, or one row; and as few calls as that takes."""
    sizes: list[int] = []

    class Spy:
        def activate(self, v: np.ndarray, activation: Activation) -> None:
            sizes.append(v.size)

        def softmax(self, v: np.ndarray, logarithm: bool) -> None:
            assert v.ndim == 2
            sizes.append(v.size)

    monkeypatch.setattr(_backend, "active", Spy())
    most = feedforward._PIECE_NUMBERS
    for activation, shape, expected in (
        ("tanh", (3, most), [most] * 3),
        ("tanh", (2, most // 2 + 1), [most, 2]),
        ("softmax", (2, most), [most] * 2),
        ("softmax", (3, 2, most // 4), [most, most // 2]),
        ("log_softmax", (2, most + 1), [most + 1] * 2),
    ):
        sizes.clear()
        fd.activate(np.zeros(shape, np.float32), activation)
        assert sizes == expected


def test_rows_longer_than_a_piece(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(12).normal(size=(3, 40))
    expected = [fd.activate(x, name) for name in ("softmax", "log_softmax")]
    monkeypatch.setattr(feedforward, "_PIECE_NUMBERS", 7)
    for name, whole in zip(("softmax", "log_softmax"), expected, strict=True):
        assert np.array_equal(fd.activate(x, name), whole)


@pytest.mark.parametrize("kinds", list(product(["float32", "float64"], repeat=3)))
def test_mixed_dtypes_are_computed_in_the_wider(backend: str, kinds: tuple[str, ...]) -> None:
    """Whichever of them is: numbers of the narrower are among those of the wider."""
    rng = np.random.default_rng(13)
    x, kernel, bias = (
        rng.normal(size=shape).astype(kind)
        for shape, kind in zip(((7, 6), (6, 5), (5,)), kinds, strict=True)
    )
    dtype = "float64" if "float64" in kinds else "float32"
    got = fd.dense(x, kernel, bias)
    assert got.dtype == dtype
    assert np.array_equal(got, fd.dense(*(a.astype(dtype) for a in (x, kernel, bias))))
    left, right = x[np.newaxis], kernel[np.newaxis]
    product_of_two = feedforward.matmul(left, right)
    assert product_of_two.dtype == np.result_type(left, right)
    assert np.array_equal(product_of_two[0], fd.dense(x, kernel))


@pytest.mark.parametrize(
    ("shape", "calls"),
    [
        ((50, 3, 4, 6), 50 // 18 + 1),  # 18 matrices at a time
        ((2, 300, 4, 6), 2 * 2),  # of each 208 rows, and the rest
        ((1, 3, 70, 80), 3),  # of each a row, which is too long
    ],
)
def test_no_call_of_matmul_is_long(
    shape: tuple[int, int, int, int], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, rows, inputs, columns = shape
    work = []

    class Spy:
        def matmul(self, out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
            assert out.shape == (len(a), a.shape[1], b.shape[2])
            work.append((a.shape[1], 2 * a.size * b.shape[2]))

    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(feedforward._threads, "PIECE_FLOPS", 1e4)
    feedforward.matmul(np.zeros((n, rows, inputs)), np.zeros((n, inputs, columns)))
    assert all(flops <= 1e4 or height == 1 for height, flops in work)
    assert sum(flops for _, flops in work) == 2 * n * rows * inputs * columns
    assert len(work) == calls


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape",
    [(3, 5, 6, 4), (1, 70, 300, 9), (4, 1, 7, 33), (0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4)],
)
@pytest.mark.parametrize("piece", [2e8, 3000, 10])
def test_matmul_is_a_dense_layer_for_each_matrix(
    backend: str,
    dtype: str,
    shape: tuple[int, int, int, int],
    piece: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n, rows, inputs, columns = shape
    rng = np.random.default_rng(5)
    a = rng.normal(size=(n, rows, inputs)).astype(dtype)
    b = rng.normal(size=(n, inputs, columns)).astype(dtype)
    expected = [fd.dense(left, right) for left, right in zip(a, b, strict=True)]
    monkeypatch.setattr(feedforward._threads, "PIECE_FLOPS", piece)
    got = feedforward.matmul(a, b)
    assert got.dtype == dtype
    assert np.array_equal(got, np.reshape(expected, (n, rows, columns)))
    turned = b.transpose(0, 2, 1).copy().transpose(0, 2, 1)
    assert np.array_equal(feedforward.matmul(a[:, ::-1], turned), got[:, ::-1])


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 3, 4)), ValueError, "a: expected an array of 3 dimensions"),
        (np.ones((2, 3, 4)), np.ones((4, 4)), ValueError, "b: expected an array of 3 dimensions"),
        (np.ones((2, 3, 4)), np.ones((3, 4, 4)), ValueError, r"b: expected shape \(2, 4, 4\)"),
        (np.ones((2, 3, 4)), np.ones((2, 3, 4)), ValueError, r"b: expected shape \(2, 4, 4\)"),
        (np.ones((2, 3, 4), int), np.ones((2, 4, 4)), TypeError, "a: expected an array of float32"),
    ],
)
def test_matmul_refuses(a: np.ndarray, b: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        feedforward.matmul(a, b)


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


@pytest.mark.parametrize(
    "shapes", [((3, 0), (0, 2)), ((2, 3, 0), (0, 2)), ((3, 2), (2, 0)), ((0, 2), (2, 3))]
)
def test_dense_of_nothing(backend: str, shapes: tuple[tuple[int, ...], tuple[int, int]]) -> None:
    x, kernel = np.ones(shapes[0]), np.ones(shapes[1])
    assert np.array_equal(fd.dense(x, kernel), x @ kernel)
    got = fd.dense(x, kernel, activation="softmax")
    assert np.array_equal(got, np.full_like(x @ kernel, 1 / max(1, kernel.shape[1])))


def test_of_many_names_a_close_one_is_told() -> None:
    message = r"^activation: .* 32 names, or .*, got 'tahn' \(str\); did you mean 'tanh'\? known: "
    with pytest.raises(ValueError, match=message):
        fd.activate(np.ones(3), "tahn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^activation: .*, got 'xyz' \(str\); known: 'linear', "):
        fd.activate(np.ones(3), "xyz")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got 'LTSM' \(str\); did you mean 'LSTM'\?"):
        fd.load("m.pt", architecture=[("lstm", "LTSM")])

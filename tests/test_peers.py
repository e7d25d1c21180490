"""Dropout and its family beside Keras and PyTorch: the same distributions, element by element.

Every library draws from the same input, repeated along the first axis, so that a row is one draw.
Means, variances, third and fourth moments of every element, and the covariance of every pair
(which elements drop together), may differ by chance alone. What is kept or dropped has the same
values everywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import fastdrop as fd

pytestmark = pytest.mark.live

DRAWS = 20_000
# Standard errors. 2,000 comparisons at 5 go wrong by chance once in 800 runs; seeds are fixed.
AGREES, DETECTED = 5.0, 8.0
RATE = 0.3

Array = NDArray[Any]
Draw = Callable[[Array], Array]
SEEDED: dict[str, Any] = {"rng": 2024}
FIRST: dict[str, Any] = {"rng": 2024, "data_format": "channels_first"}


class Case(NamedTuple):
    """A call of fastdrop, what the others call it, and calls that are wrong and must be seen."""

    ours: Draw
    theirs: str
    options: dict[str, Any]
    wrong: dict[str, Draw]
    shape: tuple[int, ...] = (4, 3)
    values: int = 2  # how many an element can have; 0 for a continuum


def call(name: str, *args: Any, **options: Any) -> Draw:
    """Return a call of a function of fastdrop on an array that comes first."""
    function = getattr(fd, name)
    return lambda x: function(x, *args, **{**SEEDED, **options})


RATE_KEYWORD = {"rate": RATE}
SHARED = {"noise_shape": (None, 1, None)}
wrong_rate = {"another rate": call("dropout", RATE + 0.03)}

KERAS = [
    Case(
        call("dropout", RATE),
        "Dropout",
        RATE_KEYWORD,
        wrong_rate | {"shared": call("dropout", RATE, **SHARED)},
    ),
    Case(
        call("dropout", RATE, **SHARED),
        "Dropout",
        RATE_KEYWORD | SHARED,
        {
            "another rate": call("dropout", RATE + 0.03, **SHARED),
            "another axis": call("dropout", RATE, noise_shape=(None, None, 1)),
            "not shared": call("dropout", RATE),
        },
    ),
    *(
        Case(
            call(f"spatial_dropout{len(shape) - 1}d", RATE),
            f"SpatialDropout{len(shape) - 1}D",
            RATE_KEYWORD,
            {
                "another rate": call(f"spatial_dropout{len(shape) - 1}d", RATE + 0.03),
                "another axis": call(f"spatial_dropout{len(shape) - 1}d", RATE, **FIRST),
            },
            shape,
        )
        for shape in ((4, 3), (2, 2, 3), (2, 1, 2, 3))
    ),
    Case(
        call("alpha_dropout", RATE),
        "AlphaDropout",
        RATE_KEYWORD,
        {
            "another rate": call("alpha_dropout", RATE + 0.03),
            "shared": call("alpha_dropout", RATE, **SHARED),
            "to zero": call("dropout", RATE),
        },
    ),
    Case(
        call("alpha_dropout", RATE, **SHARED),
        "AlphaDropout",
        RATE_KEYWORD | SHARED,
        {"not shared": call("alpha_dropout", RATE)},
    ),
    Case(
        call("gaussian_dropout", RATE),
        "GaussianDropout",
        RATE_KEYWORD,
        {
            "another rate": call("gaussian_dropout", RATE + 0.03),
            "added": call("gaussian_noise", (RATE / (1 - RATE)) ** 0.5),
            "two values": call("dropout", RATE),
        },
        values=0,
    ),
    Case(
        call("gaussian_noise", 0.4),
        "GaussianNoise",
        {"stddev": 0.4},
        {"variance": call("gaussian_noise", 0.4**2), "more": call("gaussian_noise", 0.43)},
        values=0,
    ),
]
TORCH = [
    Case(
        call("dropout", RATE),
        "dropout",
        {},
        wrong_rate | {"shared": call("dropout", RATE, **SHARED)},
    ),
    *(
        Case(
            call(f"spatial_dropout{len(shape) - 1}d", RATE, **FIRST),
            f"dropout{len(shape) - 1}d",
            {},
            {
                "another rate": call(f"spatial_dropout{len(shape) - 1}d", RATE + 0.03, **FIRST),
                "another axis": call(f"spatial_dropout{len(shape) - 1}d", RATE),
            },
            shape,
        )
        for shape in ((3, 4), (3, 2, 2), (3, 2, 1, 2))
    ),
    Case(
        call("alpha_dropout", RATE),
        "alpha_dropout",
        {},
        {
            "another rate": call("alpha_dropout", RATE + 0.03),
            "shared": call("alpha_dropout", RATE, **SHARED),
        },
    ),
]


def largest_score(a: Array, b: Array) -> float:
    """By how many standard errors the moments of two sets of draws differ at most."""
    a, b = (draws.reshape(DRAWS, -1).astype(np.float64) for draws in (a, b))
    both = np.concatenate((a, b))
    mean, deviation = both.mean(axis=0), both.std(axis=0)

    def statistics(draws: Array) -> Array:
        z = (draws - mean) / deviation
        i, j = np.triu_indices(z.shape[1])
        return np.concatenate((z, z**3, z**4, z[:, i] * z[:, j]), axis=1)

    s, t = statistics(a), statistics(b)
    difference = s.mean(axis=0) - t.mean(axis=0)
    error = np.sqrt((s.var(axis=0) + t.var(axis=0)) / DRAWS)
    return float(np.abs(difference / error).max())


def values(draws: Array, count: int) -> Array:
    """Return the values that each element takes, which must be so many: (elements, count)."""
    columns = draws.reshape(DRAWS, -1).T
    found = [np.unique(column) for column in columns]
    assert {len(column) for column in found} == {count}
    return np.array(found)


def compare(case: Case, theirs: Draw) -> None:
    # No zero, and both signs: a dropped element is seen, and which way it goes.
    one = np.linspace(-1.1, 1.3, int(np.prod(case.shape)), dtype=np.float32).reshape(case.shape)
    x = np.repeat(one[np.newaxis], DRAWS, axis=0)
    drawn = theirs(x)
    assert drawn.shape == x.shape
    ours = case.ours(x)
    assert largest_score(ours, drawn) < AGREES
    if case.values:
        expected = values(drawn, case.values)
        np.testing.assert_allclose(values(ours, case.values), expected, rtol=2e-6, atol=1e-6)
        zeros = expected == 0
        assert np.array_equal(values(ours, case.values)[zeros], expected[zeros])
    for name, wrong in case.wrong.items():
        assert largest_score(wrong(x), drawn) > DETECTED, name


@pytest.mark.parametrize("case", KERAS, ids=lambda case: f"{case.theirs}-{len(case.options)}")
def test_keras(case: Case) -> None:
    keras = pytest.importorskip("keras")
    layer = getattr(keras.layers, case.theirs)(**case.options, seed=1)
    compare(case, lambda x: keras.ops.convert_to_numpy(layer(x, training=True)))


@pytest.mark.parametrize("case", TORCH, ids=lambda case: case.theirs)
def test_torch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    function = partial(getattr(torch.nn.functional, case.theirs), p=RATE, training=True)
    compare(case, lambda x: function(torch.from_numpy(x)).numpy())

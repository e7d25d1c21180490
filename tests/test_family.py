"""The dropout family: each against a formula of its own, the normals, and laws for all."""

import math
import statistics
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import contract
import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, _check, masks
from fastdrop._fallback import _quantiles
from test_masks import LAYOUTS

RNG = np.random.default_rng(0)
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 6e-8, 65504.0, 1e-45]
KEY = fd.Key.from_words(0x12345678, 0x9ABCDEF0)
Call = Callable[..., Any]


def rows_of(x: Any) -> tuple[int | None, ...]:
    """A noise shape with one value a row."""
    return (None, 1, 1)[: np.ndim(x)]


def mask_of(x: Any) -> np.ndarray:
    return fd.bernoulli(0.3, np.shape(x), rng=5, dtype="packed")


def bools_of(x: Any) -> np.ndarray:
    return fd.bernoulli(0.3, np.shape(x), rng=5)


# Every function as one of x and options. All take float32 and float64, the first ones all dtypes.
ALL_DTYPES: dict[str, Call] = {
    "dropout": lambda x, **k: fd.dropout(x, 0.3, rng=5, **k),
    "rows": lambda x, **k: fd.dropout(x, 0.3, rng=5, noise_shape=rows_of(x), **k),
    "mask": lambda x, **k: fd.dropout(x, 0.3, rng=5, return_mask=True, **k)[0],
    "apply_mask": lambda x, **k: fd.apply_mask(x, mask_of(x), rate=0.3, **k),
    "bool mask": lambda x, **k: fd.apply_mask(x, bools_of(x), rate=0.3, **k),
    "backward": lambda x, **k: fd.dropout_backward(x, 0.3, rng=5, **k),
    "drop_connect": lambda x, **k: fd.drop_connect(x, 0.3, rng=5, **k),
    "zoneout from": lambda x, **k: fd.zoneout(x, np.zeros_like(x), 0.3, rng=5, **k),
    "zoneout to": lambda x, **k: fd.zoneout(np.zeros_like(x), x, 0.3, rng=5, **k),
}
ELEMENTWISE: dict[str, Call] = ALL_DTYPES | {
    "alpha_dropout": lambda x, **k: fd.alpha_dropout(x, 0.3, rng=5, **k),
    "alpha rows": lambda x, **k: fd.alpha_dropout(x, 0.3, rng=5, noise_shape=rows_of(x), **k),
    "gaussian_dropout": lambda x, **k: fd.gaussian_dropout(x, 0.3, rng=5, **k),
    "gaussian_noise": lambda x, **k: fd.gaussian_noise(x, 0.7, rng=5, **k),
}
WITHOUT_OFFSET = ("rows", "apply_mask", "bool mask", "alpha rows")
WITH_OFFSET = [name for name in ELEMENTWISE if name not in WITHOUT_OFFSET]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Bit for bit, except that a NaN need only be a NaN."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.dtype == np.uint16:  # bfloat16: infinity is 0x7F80
        nan = [(x & 0x7FFF) > 0x7F80 for x in (a, b)]
    else:
        nan = [np.isnan(x) for x in (a, b)]
    whole = f"u{a.itemsize}"
    equal = np.ascontiguousarray(a).view(whole) == np.ascontiguousarray(b).view(whole)
    return bool(np.where(nan[0], nan[1], equal).all())


# ---- normals ----


@pytest.mark.parametrize("first", [0, 1, 2**33 - 6, 2**33 - 5, 2**56 + 1, 2**57 - 9])
def test_normals_are_the_contracts(backend: str, first: int) -> None:
    """Where the counter's low word runs over, at an odd place, and at the end of the range."""
    stream = 0xFEDCBA9876543210
    n = min(600, 2**57 - first)
    expected = [contract.normal((KEY.k0, KEY.k1), stream, i) for i in range(first, first + n)]
    got = fd.gaussian_noise(np.zeros(n), 1.0, rng=KEY, stream=stream, offset=first)
    assert same(got, np.array(expected))


@pytest.mark.parametrize("tier", [tier for tier in BACKENDS if tier != "numpy"])
def test_many_normals_have_the_bits_of_the_readable_version(tier: str) -> None:
    """A last term of a series changes one number in tens of thousands."""
    key, n = fd.Key(0), 100_000
    results = [np.empty(n) for _ in range(2)]
    for out, backend in zip(results, (BACKENDS[tier], BACKENDS["numpy"]), strict=True):
        backend.gaussian_noise(
            out, np.zeros(n), 1.0, _backend.Stream(key.k0, key.k1, key.base, 0), 0
        )
    assert same(*results)


def numbers_of(m: list[int]) -> list[int]:
    """The 64-bit numbers of these 52 bits, of both signs, with other bits set below."""
    return [sign << 63 | k % 2**52 << 11 | 0x2A5 for k in m for sign in (0, 1)]


CENTRAL_ENDS = round(0.075 * 2**53)
NEAR_ENDS = round(math.exp(-25) * 2**53)
PLACES = [
    *range(40),  # 2**-54 is the smallest probability
    *range(2**52 - 40, 2**52),
    *range(CENTRAL_ENDS - 40, CENTRAL_ENDS + 40),
    *range(NEAR_ENDS - 40, NEAR_ENDS + 40),
    *(2**k for k in range(6, 52)),
    *(round(math.sqrt(0.5) * 2**k) + d for k in range(30, 53) for d in (-1, 0, 1)),
    *(int(m) for m in RNG.integers(0, 2**52, 3000)),
]


def test_golden_normals(backend: str) -> None:
    """The known answers of the contract."""
    z = fd.gaussian_noise(np.zeros(4), 1.0, rng=fd.Key.from_words(0, 0))
    known = "0x1.687576bca3f7cp-1 0x1.fa9d785e3aaaep-1 0x1.7737d5d3cfdc9p-2 0x1.23852e5940aaep-2"
    assert [float(v).hex() for v in z] == known.split()


# Elements of key 0, 0, stream 0 in the far tails, of which there is one in 36,000,000,000.
FAR = [34300055030, 99010045524]


@pytest.mark.parametrize("i", FAR)
def test_normals_of_the_far_tail(backend: str, i: int) -> None:
    expected = contract.normal((0, 0), 0, i)
    assert abs(expected) > 6.66
    got = fd.gaussian_noise(np.zeros(3), 1.0, rng=fd.Key.from_words(0, 0), offset=i - 1)[1]
    assert float(got).hex() == expected.hex()


def test_quantiles_are_the_contracts() -> None:
    v = numbers_of(PLACES)
    assert same(_quantiles(np.array(v, np.uint64)), np.array([contract.quantile(n) for n in v]))


def test_quantiles_are_the_standard_librarys() -> None:
    """The same algorithm from other hands, but for the logarithm."""
    v = numbers_of(PLACES)
    expected = []
    for number in v:
        p = ((number >> 11) % 2**52 + 0.5) / 2**53
        expected.append(math.copysign(statistics.NormalDist().inv_cdf(p), 0.5 - (number >> 63)))
    got = _quantiles(np.array(v, np.uint64))
    np.testing.assert_allclose(got, expected, rtol=1e-15, atol=0)
    assert got.max() > 8.2
    # All three branches, and both sides of where they meet.
    p = np.array(PLACES) / 2**53
    for low, high in ((0, math.exp(-25)), (math.exp(-25), 0.075), (0.075, 0.5)):
        assert ((p >= low) & (p < high)).sum() > 50


def kolmogorov_smirnov(z: np.ndarray) -> float:
    """Return sqrt(n) times the greatest distance from the normal distribution function."""
    n = len(z)
    cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in np.sort(z)])
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * max((steps[1:] - cdf).max(), (cdf - steps[:-1]).max())


@pytest.fixture(scope="module")
def million() -> np.ndarray:
    return fd.gaussian_noise(np.zeros(10**6), 1.0, rng=3, stream=4)


def test_moments_of_normals(million: np.ndarray) -> None:
    """Mean, variance, skewness and kurtosis: each within 4.5 standard errors."""
    n = len(million)
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        error = abs((million**power).mean() - expected) / math.sqrt(variance / n)
        assert error < 4.5, power


def test_distribution_of_normals(million: np.ndarray) -> None:
    """Above 2.5 comes by chance once in 130 000 times: 2 exp(-2 * 2.5^2)."""
    assert kolmogorov_smirnov(million) < 2.5
    # It sees a standard deviation that is 2 per cent too great, and sums of 12 uniforms.
    assert kolmogorov_smirnov(1.02 * million) > 2.5
    sums = RNG.random((12, 10**6)).sum(axis=0) - 6
    assert kolmogorov_smirnov(sums) > 2.5


def test_normals_are_independent(million: np.ndarray) -> None:
    """Neighbours, also those of one Philox call; magnitudes; streams; the masks of one key."""
    n = len(million)
    other = fd.gaussian_noise(np.zeros(n), 1.0, rng=3, stream=5)
    events = fd.bernoulli(0.5, n, rng=3, stream=4) - 0.5
    pairs = [
        (million[:-1], million[1:]),
        (million[::2], million[1::2]),
        (million[:-2], million[2:]),
        (np.abs(million[::2]), np.abs(million[1::2])),
        (million, other),
        (million, events),
    ]
    for a, b in pairs:
        assert abs(np.corrcoef(a, b)[0, 1]) * math.sqrt(len(a)) < 4.5
    # The test's power: a correlation of 0.01 is seen.
    assert abs(np.corrcoef(million, other + 0.01 * million)[0, 1]) * math.sqrt(n) > 4.5


def test_the_end_of_the_normals(backend: str) -> None:
    whole = fd.gaussian_noise(np.zeros(5), 1.0, rng=0, offset=2**57 - 5)
    assert np.array_equal(fd.gaussian_noise(np.zeros(1), 1.0, rng=0, offset=2**57 - 1), whole[4:])
    for function in (fd.gaussian_noise, fd.gaussian_dropout):
        with pytest.raises(ValueError, match=r"offset \+ 6 elements to end at or before 2\*\*57"):
            function(np.zeros(6), 0.5, rng=0, offset=2**57 - 5)


# ---- each function by its own formula ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gaussian_noise_and_dropout(backend: str, dtype: str) -> None:
    x = RNG.normal(size=(41, 13)).astype(dtype)
    z = fd.gaussian_noise(np.zeros(x.shape), 1.0, rng=2, stream=3, offset=7)
    got = fd.gaussian_noise(x, 0.3, rng=2, stream=3, offset=7)
    assert same(got, (x.astype(np.float64) + 0.3 * z).astype(dtype))
    got = fd.gaussian_dropout(x, 0.2, rng=2, stream=3, offset=7)
    stddev = math.sqrt(0.2 / (1 - 0.2))
    assert same(got, (x.astype(np.float64) * (1 + stddev * z)).astype(dtype))


def test_gaussian_dropout_has_the_moments_of_dropout(backend: str) -> None:
    """Mean 1, variance rate / (1 - rate); of rate or (1 - rate)^-1 - 1 confused, 0.1 is far off."""
    n, rate = 200_000, 0.25
    y = fd.gaussian_dropout(np.ones(n), rate, rng=1)
    variance = rate / (1 - rate)
    assert abs(y.mean() - 1) < 4.5 * math.sqrt(variance / n)
    assert abs(y.var() - variance) < 4.5 * variance * math.sqrt(2 / n)
    assert abs(y.var() - rate) > 4.5 * variance * math.sqrt(2 / n)


def alpha_parameters(rate: float) -> tuple[float, float, float]:
    """Scale, shift and fill from the paper: unit variance and no mean, by other algebra."""
    p = Fraction(round(rate * 2**32), 2**32)
    alpha = Fraction("1.6732632423543772848170429916717") * Fraction(
        "1.0507009873554804934193349852946"
    )
    q = 1 - p
    a = float(q + alpha**2 * q * p) ** -0.5
    return a, a * float(p * alpha), -a * float(q * alpha)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("noise_shape", [None, (None, 1), (7,), (1,)])
def test_alpha_dropout(backend: str, dtype: str, noise_shape: Any) -> None:
    x = RNG.normal(size=(53, 7)).astype(dtype)
    scale, shift, fill = alpha_parameters(0.1)
    dropped = fd.bernoulli(0.1, _check.noise_shape(noise_shape, x.shape), rng=3, offset=5)
    got = fd.alpha_dropout(x, 0.1, rng=3, offset=5, noise_shape=noise_shape)
    assert got.dtype == dtype
    # The parameters may round differently: they are computed in another order here.
    np.testing.assert_allclose(
        got,
        np.where(dropped, fill, x * scale + shift),
        rtol=4 * np.finfo(dtype).eps,
        atol=1e-15 if dtype == "float64" else 1e-7,
    )
    if dropped.any():
        assert len(np.unique(got[np.broadcast_to(dropped, x.shape)])) == 1


def test_alpha_dropout_selects_and_rounds_twice(backend: str) -> None:
    x = np.full(4096, np.nan, np.float32)
    y = fd.alpha_dropout(x, 0.5, rng=0)
    dropped = fd.bernoulli(0.5, 4096, rng=0)
    assert np.array_equal(np.isnan(y), ~dropped)
    x = RNG.normal(size=4096).astype(np.float32)
    y = fd.alpha_dropout(x, 0.5, rng=0)
    whole_row = fd.alpha_dropout(np.stack([x, x]), 0.5, rng=0, noise_shape=(1, None))
    assert same(whole_row[0], y)  # NumPy multiplies, then adds


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(backend: str, rate: float) -> None:
    n = 200_000
    x = np.random.default_rng(7).normal(size=n)

    def largest_z(y: np.ndarray) -> float:
        fourth = ((y - y.mean()) ** 4).mean()
        return max(
            abs(y.mean()) / (y.std() / math.sqrt(n)),
            abs(y.var() - 1) / math.sqrt((fourth - y.var() ** 2) / n),
        )

    assert largest_z(fd.alpha_dropout(x, rate, rng=1)) < 4.5
    assert largest_z(fd.dropout(x, rate, rng=1)) > 4.5


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_spatial_dropout(backend: str, axes: int, data_format: str) -> None:
    function: Call = getattr(fd, f"spatial_dropout{axes}d")
    sizes = (3, 4, 2)[:axes]
    shape = (5, *sizes, 6) if data_format == "channels_last" else (5, 6, *sizes)
    x = RNG.normal(size=shape).astype(np.float32)
    dropped = fd.bernoulli(0.5, (5, 6), rng=2, offset=3)
    channels = dropped.reshape(5, *(1,) * axes, 6)
    if data_format == "channels_first":
        channels = dropped.reshape(5, 6, *(1,) * axes)
    got = function(x, 0.5, data_format=data_format, rng=2, offset=3)
    assert same(got, np.where(channels, np.float32(0), x * np.float32(2)))
    assert 0 < dropped.sum() < dropped.size
    out = np.empty_like(x)
    assert function(x, 0.5, data_format=data_format, rng=2, offset=3, out=out) is out
    assert same(out, got)


def test_drop_connect(backend: str) -> None:
    weight = RNG.normal(size=(20, 30))
    dropped = fd.bernoulli(0.5, (20, 30), rng=2, stream=9, offset=11)
    got = fd.drop_connect(weight, 0.5, rng=2, stream=9, offset=11)
    assert same(got, np.where(dropped, 0.0, weight * 2))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["int8", "uint64", "list", "swapped"])
def test_embedding_dropout(
    backend: str, dtype: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = RNG.normal(size=(37, 5)).astype(dtype)
    table[3] = np.nan
    tokens = RNG.integers(0, 37, (9, 11, 2))
    indices: Any = {"list": tokens.tolist(), "swapped": tokens.astype(">i4")}.get(kind)
    if indices is None:
        indices = tokens.astype(kind)
    dropped = fd.bernoulli(0.5, (9, 37), rng=1, stream=6, offset=37 * 4)
    there = dropped[np.arange(9)[:, np.newaxis, np.newaxis], tokens]
    doubled = table * table.dtype.type(2)
    expected = np.where(there[..., np.newaxis], table.dtype.type(0), doubled[tokens])
    for piece in (1 << 23, 100, 1):  # rows drawn together: all, 2, 1
        monkeypatch.setattr("fastdrop._threads.PIECE_ELEMENTS", piece)
        got = fd.embedding_dropout(indices, table, 0.5, rng=1, stream=6, row_offset=4)
        assert same(got, expected)
    part = fd.embedding_dropout(tokens[5:7], table, 0.5, rng=1, stream=6, row_offset=9)
    assert same(part, expected[5:7])
    shared = fd.bernoulli(0.5, 37, rng=1)[tokens][..., np.newaxis]
    got = fd.embedding_dropout(indices, table, 0.5, rng=1, row_offset=4, scope="shared")
    assert same(got, np.where(shared, table.dtype.type(0), doubled[tokens]))


@pytest.mark.parametrize(("piece", "rows"), [(100, [2, 2, 2, 2, 1]), (1, [1] * 9), (333, [9])])
def test_embedding_dropout_draws_some_rows_at_a_time(
    piece: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the events of a large vocabulary never take more memory than a piece, or a row."""
    sizes = []

    def spy(rate: float, size: int, **options: Any) -> np.ndarray:
        sizes.append(size)
        return fd.bernoulli(rate, size, **options)

    monkeypatch.setattr("fastdrop.family.bernoulli", spy)
    monkeypatch.setattr("fastdrop._threads.PIECE_ELEMENTS", piece)
    fd.embedding_dropout(RNG.integers(0, 37, (9, 11)), RNG.normal(size=(37, 5)), 0.5, rng=1)
    assert sizes == [37 * n for n in rows]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_embedding_dropout_of_nothing(backend: str, shape: tuple[int, ...]) -> None:
    empty = np.empty(shape, int)
    for scope in ("per_row", "shared"):
        got = fd.embedding_dropout(empty, np.ones((6, 2)), 0.5, rng=0, scope=scope)  # type: ignore[arg-type]
        assert got.shape == (*shape, 2)
        got = fd.embedding_dropout(empty, np.ones((0, 2)), 0.5, rng=0, scope=scope)  # type: ignore[arg-type]
        assert got.shape == (*shape, 2)
    assert fd.embedding_dropout(np.zeros((2, 3), int), np.ones((6, 0)), 0.5).shape == (2, 3, 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_zoneout(backend: str, dtype: str) -> None:
    previous = np.resize(np.array(SPECIAL), 331).astype(dtype)
    new = np.arange(331).astype(dtype)
    kept = fd.bernoulli(0.3, 331, rng=2, offset=5)
    got = fd.zoneout(previous, new, 0.3, rng=2, offset=5)
    assert got.tobytes() == np.where(kept, previous, new).tobytes()
    assert fd.zoneout(previous, new, 0).tobytes() == new.tobytes()
    assert fd.zoneout(previous, new, 1).tobytes() == previous.tobytes()


@pytest.mark.parametrize("contiguous_out", [True, False])
def test_zoneout_overlapping_everything(backend: str, contiguous_out: bool) -> None:
    """Inputs and out in one buffer, ahead, behind, reversed and in place, in every combination."""
    views = [slice(0, 200), slice(3, 203), slice(100, 300), slice(199, None, -1), slice(0, 400, 2)]
    outs = views[:3] if contiguous_out else views[3:]
    for p, n, o in product(views, views, outs):
        buffer = np.arange(400.0)
        expected = fd.zoneout(buffer[p].copy(), buffer[n].copy(), 0.4, rng=1)
        fd.zoneout(buffer[p], buffer[n], 0.4, rng=1, out=buffer[o])
        assert np.array_equal(buffer[o], expected), (p, n, o)


def test_zoneout_of_unaligned_and_swapped(backend: str) -> None:
    previous, new = RNG.normal(size=(2, 8, 9))
    expected = fd.zoneout(previous, new, 0.4, rng=1)
    for a, b in product(LAYOUTS, LAYOUTS):
        got = fd.zoneout(LAYOUTS[a](previous), LAYOUTS[b](new), 0.4, rng=1)
        assert got.dtype.isnative
        assert np.array_equal(got, expected), (a, b)


# ---- masks: noise shapes, apply_mask, the gradient ----


def noise_shapes(shape: tuple[int, ...]) -> list[tuple[int | None, ...]]:
    """Every noise shape: each axis its length, None or 1, with leading axes left away."""
    return [
        noise
        for axes in range(len(shape) + 1)
        for noise in product(*((n, None, 1) for n in shape[len(shape) - axes :]))
    ]


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (3, 1, 2), (2, 3, 4, 5), (1, 1), (0, 3)])
def test_every_noise_shape(backend: str, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape).astype(np.float32)
    for noise in noise_shapes(shape):
        padded = (1,) * (len(shape) - len(noise)) + noise
        full = tuple(n if a is None else a for a, n in zip(padded, shape, strict=True))
        dropped = fd.bernoulli(0.5, full, rng=2, offset=3)
        expected = np.where(dropped, np.float32(0), x * np.float32(2))
        got, mask = fd.dropout(x, 0.5, rng=2, offset=3, noise_shape=noise, return_mask=True)
        assert same(got, expected), noise
        assert np.array_equal(mask, np.packbits(dropped, bitorder="little"))
        assert same(fd.dropout(x, 0.5, rng=2, offset=3, noise_shape=noise), expected), noise
        for drops in (mask, dropped):
            assert same(fd.apply_mask(x, drops, rate=0.5, noise_shape=noise), expected), noise


@pytest.mark.parametrize("width", [57, 63, 64, 65, 200])
def test_rows_of_bits_that_begin_anywhere(backend: str, width: int) -> None:
    """Within a byte, and go on for more than the 64 that are taken together."""
    rng = np.random.default_rng(width)
    x, drops = rng.normal(size=(9, 2, width)), rng.random((9, 1, width)) < 0.5
    got = fd.apply_mask(x, drops, noise_shape=drops.shape)
    assert same(got, np.where(drops, 0.0, x))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0])
def test_apply_mask_is_dropout(backend: str, dtype: str, rate: float) -> None:
    x = np.resize(np.array(SPECIAL), (37, 29)).astype(dtype)
    mask = fd.bernoulli(rate, x.shape, rng=KEY, dtype="packed")
    expected = fd.dropout(x, rate, rng=KEY)
    assert same(fd.apply_mask(x, mask, rate=rate), expected)
    assert same(fd.apply_mask(x, fd.bernoulli(rate, x.shape, rng=KEY), rate=rate), expected)
    y, drops = fd.dropout(x, rate, rng=KEY, return_mask=True)
    assert same(y, expected)
    assert np.array_equal(drops, mask)


def test_apply_mask_takes_any_mask(backend: str) -> None:
    """Not only those that were drawn; without a rate what is kept stays; spare bits are ignored."""
    x = np.array([np.nan, 1.5, -0.0, np.inf, 7.0])
    packed = np.array([0b11101001], np.uint8)
    got = fd.apply_mask(x, packed)
    assert same(got, np.array([0.0, 1.5, -0.0, 0.0, 7.0]))
    every_other = np.repeat(packed, 2)[::2]
    assert same(fd.apply_mask(x, every_other), got)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided", "read-only", "broadcast"])
def test_apply_mask_takes_bools_in_any_layout(backend: str, layout: str) -> None:
    """True where dropped, whatever the order in memory; the way back from bits is NumPy's."""
    x = RNG.normal(size=(13, 29))
    mask = RNG.random((13, 29)) < 0.5
    if layout == "broadcast":
        other = mask = np.broadcast_to(mask[0], mask.shape)
    else:
        other = LAYOUTS[layout](mask)
    got = fd.apply_mask(x, other, rate=0.5)
    assert same(got, np.where(mask, 0.0, 2 * x))
    packed = np.packbits(mask, axis=None, bitorder="little")
    assert same(fd.apply_mask(x, packed, rate=0.5), got)
    again = np.unpackbits(packed, count=mask.size, bitorder="little").astype(bool)
    assert np.array_equal(again.reshape(mask.shape), mask)
    every_other = np.repeat(mask, 2, axis=0)[::2]
    assert same(fd.apply_mask(x, every_other, rate=0.5), got)


@pytest.mark.parametrize("noise", [(64, 6), (64, 1)], ids=["elements", "rows"])
def test_apply_mask_of_what_is_kept(backend: str, noise: tuple[int, int]) -> None:
    """The complement of what is dropped, whether packed or not."""
    x = np.arange(1, 385, dtype=np.float32).reshape(64, 6)
    drop = fd.bernoulli(0.3, noise, rng=KEY)
    before = drop.copy()
    expected = fd.apply_mask(x, drop, rate=0.3, noise_shape=noise)
    assert (expected == 0).any()
    assert (expected != 0).any()
    for keep in (~drop, np.packbits(~drop, bitorder="little")):
        got = fd.apply_mask(x, keep, marks="kept", rate=0.3, noise_shape=noise)
        assert same(got, expected)
    assert same(fd.apply_mask(x, drop, marks="dropped", rate=0.3, noise_shape=noise), expected)
    packed = np.packbits(~drop, bitorder="little")
    fd.apply_mask(x, packed, marks="kept", noise_shape=noise)
    assert same(packed, np.packbits(~drop, bitorder="little"))
    assert same(drop, before)


def test_apply_mask_onto_its_own_mask(backend: str) -> None:
    n = 1 << 17
    packed = RNG.integers(0, 256, n // 8, np.uint8)
    x = np.ones(n, np.float16)
    expected = fd.apply_mask(x, packed)
    buffer = np.zeros(2 * n, np.uint8)
    buffer[: n // 8] = packed
    fd.apply_mask(x, buffer[: n // 8], out=buffer.view(np.float16))
    assert same(buffer.view(np.float16), expected)


@pytest.mark.parametrize("noise_shape", [None, (None, 1), (8,)])
def test_the_gradient_has_the_forward_mask(backend: str, noise_shape: Any) -> None:
    """By differences: dropout is linear, so y(x + g) - y(x) is the product with the gradient."""
    key = np.random.SeedSequence(3)
    more: Any = {"rng": key, "stream": 2, "offset": 9, "noise_shape": noise_shape}
    x, grad = RNG.integers(-9, 9, (2, 6, 8)).astype(np.float64)
    step = fd.dropout(x + grad, 0.5, **more) - fd.dropout(x, 0.5, **more)
    backward = fd.dropout_backward(grad, 0.5, **more)
    assert np.array_equal(step, backward)
    assert same(backward, fd.dropout(grad, 0.5, **more))
    out = grad.copy()
    assert fd.dropout_backward(out, 0.5, **more, out=out) is out
    assert same(out, backward)


def test_the_end_of_the_index_range_counts_masks(backend: str) -> None:
    """Not the elements of x, where a mask value serves several of them."""
    x = np.ones((4, 100))
    for function in (fd.dropout, fd.alpha_dropout):
        more: Any = {"rng": 2, "noise_shape": (4, 1)}
        whole = function(np.ones((6, 100)), 0.5, offset=2**63 - 6, rng=2, noise_shape=(6, 1))
        assert same(function(x, 0.5, offset=2**63 - 4, **more), whole[2:])
        with pytest.raises(ValueError, match=r"offset: expected offset \+ 4 elements"):
            function(x, 0.5, offset=2**63 - 3, **more)
    spatial = fd.spatial_dropout1d(x.reshape(1, 4, 100), 0.5, rng=2, offset=2**63 - 100)
    assert spatial.shape == (1, 4, 100)
    assert fd.dropout_backward(x, 0.5, rng=2, offset=2**63 - 4, noise_shape=(4, 1)).shape == x.shape


# ---- 16-bit types ----

BITS = np.arange(1 << 16, dtype=np.uint16)
# Factors with every bit in use, with ties in every other product, and beyond most numbers' range.
SCALES = {"float16": [1.428, 1.5, 65504.0], "bfloat16": [1.4296875, 1.5, 2.0**32]}


def bfloat16_value(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def bfloat16_nearest(value: np.ndarray) -> np.ndarray:
    """The value of the nearest bfloat16, half to even: 8 bits, the last of 2**-133 or more."""
    _, exponent = np.frexp(np.where(np.isfinite(value), value, 1))
    last = np.ldexp(1.0, np.maximum(exponent - 8, -133))
    with np.errstate(invalid="ignore"):
        near = np.where(np.isfinite(value), np.rint(value / last) * last, value)
    return np.where(np.abs(near) >= 2.0**128, np.copysign(np.inf, near), near)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_16_bit_number_is_rounded_once(backend: str, name: str, which: int) -> None:
    """All 65536 patterns, against the exact product in binary64."""
    if name == "float16":
        x = BITS.view(np.float16)
        scale = float(np.float16(SCALES[name][which]))
        with np.errstate(over="ignore", invalid="ignore"):
            expected = (x.astype(np.float64) * scale).astype(np.float16).astype(np.float64)
    else:
        x, scale = BITS, SCALES[name][which]
        with np.errstate(invalid="ignore"):
            expected = bfloat16_nearest(bfloat16_value(x) * scale)
    kernels: Any = _backend.active
    by_bits, by_draw = np.empty_like(x), np.empty_like(x)
    kernels.apply_mask(by_bits, x, scale, np.zeros(1 << 13, np.uint8), (1 << 16,), (1,), 0)
    kernels.dropout(by_draw, x, scale, _backend.Stream(1, 2, 3, 0), 0)
    for got in (by_bits, by_draw):
        value = bfloat16_value(got) if name == "bfloat16" else got.astype(np.float64)
        np.testing.assert_array_equal(value, expected)
        assert np.array_equal(
            np.signbit(value)[~np.isnan(value)], np.signbit(expected)[~np.isnan(expected)]
        )


def test_bfloat16(backend: str) -> None:
    """Every function that takes it, on ml_dtypes' own arrays and in every layout."""
    bfloat16 = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = RNG.normal(size=(13, 29)).astype(bfloat16)
    x[3, :5] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
    dropped = fd.bernoulli(0.3, x.shape, rng=5)
    factor = np.array(1 / (1 - round(0.3 * 2**32) / 2**32)).astype(bfloat16)
    expected = np.where(dropped, np.zeros_like(x), x * factor)
    assert same(fd.dropout(x, 0.3, rng=5).view(np.uint16), expected.view(np.uint16))
    for name, function in ALL_DTYPES.items():
        plain = function(x)
        assert plain.dtype == bfloat16, name
        for layout in (layout for layout in LAYOUTS if layout != "list"):
            got = function(LAYOUTS[layout](x))
            assert same(got.view(np.uint16), plain.view(np.uint16)), (name, layout)
        out = x.copy()
        assert function(out, out=out) is out
        assert same(out.view(np.uint16), plain.view(np.uint16)), name
    tokens = np.array([[1, 3], [0, 12]])
    dropped = fd.bernoulli(0.5, (2, 13), rng=5)[[[0], [1]], tokens]
    got = fd.embedding_dropout(tokens, x, 0.5, rng=5)
    expected = np.where(
        dropped[..., np.newaxis], np.zeros_like(x[tokens]), x[tokens] * bfloat16.type(2)
    )
    assert same(got.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("rate", [0.1, 1 / 3, 0.7, 1 - 2.0**-10])
def test_scales_are_rounded_once(rate: float) -> None:
    """To the nearest multiple of the last place, by fractions."""
    exact = 1.0 / (1.0 - round(rate * 2**32) / 2**32)
    for dtype, digits in (("float16", 11), ("bfloat16", 8), ("float32", 24), ("float64", 53)):
        last = Fraction(2) ** (math.floor(math.log2(exact)) + 1 - digits)
        expected = float(round(Fraction(exact) / last) * last)
        kind: Any = SimpleNamespace(name=dtype) if dtype == "bfloat16" else np.dtype(dtype)
        assert _check.rounded(exact, kind) == expected


def test_roundings_that_a_detour_would_spoil() -> None:
    bfloat16: Any = SimpleNamespace(name="bfloat16")
    above_half = 1 + 2.0**-8 + 2.0**-40  # float32 would make it a tie, which goes to 1
    assert _check.rounded(above_half, bfloat16) == 1 + 2.0**-7
    assert _check.rounded(1 + 2.0**-11 + 2.0**-40, np.dtype("float16")) == 1 + 2.0**-10
    float16 = np.dtype("float16")
    assert _check.scale(2**32 - 1, float16) == math.inf  # and no warning
    # The greatest number, and the first that is nearer to what would come next.
    assert _check.rounded(65504.0, float16) == _check.rounded(65519.9, float16) == 65504.0
    assert _check.rounded(65520.0, float16) == math.inf
    assert _check.rounded(65520.0, np.dtype("float32")) == 65520.0
    assert _check.rounded(-0.0, float16) == 0.0
    assert math.copysign(1, _check.rounded(-0.0, float16)) == -1.0


@pytest.mark.parametrize(("threshold", "scale"), [(2**32 - 65568, 65504.0), (2**32 - 1, np.inf)])
def test_the_greatest_factors_of_float16(backend: str, threshold: int, scale: float) -> None:
    """Whatever is kept of a hundred thousand, which is an element or two."""
    mask, rate = np.ones(8, bool), threshold / 2**32
    mask[3] = False
    expected = np.where(mask, 0, scale).astype(np.float16)
    assert same(fd.apply_mask(np.ones(8, np.float16), mask, rate=rate), expected)
    x = np.ones(10**6, np.float16)
    kept = ~fd.bernoulli(rate, x.size, rng=1)
    assert same(fd.dropout(x, rate, rng=1), np.where(kept, scale, 0).astype(np.float16))


# ---- laws for all ----


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*product(ALL_DTYPES, ["float16"]), *product(ELEMENTWISE, ["float32", "float64"])],
)
def test_backends_agree_on_every_length(
    backend: str, name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = ELEMENTWISE[name]
    x = np.concatenate([SPECIAL, RNG.normal(size=300)]).astype(dtype)
    for more in [{"offset": 0}, {"offset": 77}] if name in WITH_OFFSET else [{}]:
        with monkeypatch.context() as patch:
            patch.setattr(_backend, "active", BACKENDS["numpy"])
            whole = function(x, **more)
        for n in range(len(x) + 1):
            assert same(function(x[:n], **more), whole[:n]), (n, more)


# More than two of the tiles of 131,072 elements that kernels take at a time, and no multiple.
LARGE = (293, 300, 3)
BROADCAST: dict[str, Call] = {
    f"{function.__name__} {noise}": lambda x, f=function, n=noise: f(x, 0.3, rng=5, noise_shape=n)
    for function in (fd.dropout, fd.alpha_dropout)
    for noise in ((1, 300, 1), (293, 1, 3), (1, 1, 3), (1, 1, 1))
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *BROADCAST])
def test_backends_agree_on_large_arrays(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tiles meet, and on rare branches: of 100,000 normals every one."""
    function = (ELEMENTWISE | BROADCAST)[name]
    x = np.random.default_rng(1).normal(size=LARGE).astype(dtype)
    more = {"offset": 2**40 + 77} if name in WITH_OFFSET else {}
    got = []
    for backend in BACKENDS.values():
        monkeypatch.setattr(_backend, "active", backend)
        got.append(function(x, **more))
    for other in got[:-1]:
        assert same(other, got[-1])


@pytest.mark.parametrize("dtype", ["bool", "float32", "float64", "packed"])
def test_backends_agree_on_large_masks(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for offset in (0, 128, 2**40 + 77):
        got = []
        for backend in BACKENDS.values():
            monkeypatch.setattr(_backend, "active", backend)
            got.append(fd.bernoulli(0.3, LARGE, rng=5, offset=offset, dtype=dtype))
        for other in got[:-1]:
            assert np.array_equal(other, got[-1])


@pytest.mark.parametrize("name", WITH_OFFSET)
def test_parts_are_the_whole(backend: str, name: str) -> None:
    function, x = ELEMENTWISE[name], RNG.normal(size=(40, 61))
    whole = function(x, offset=2**40 + 1)
    parts = [function(x[n : n + 8], offset=2**40 + 1 + 61 * n) for n in range(0, 40, 8)]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_threads_and_pieces_change_nothing(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, x = ELEMENTWISE[name], RNG.normal(size=(50, 7, 3))
    expected = function(x)
    monkeypatch.setattr("fastdrop.masks._PIECE", 64)
    for threads in (1, 2, 7):
        assert np.array_equal(function(x, threads=threads), expected)
        assert np.array_equal(function(x.copy(), out=np.empty_like(x), threads=threads), expected)
        strided = np.empty((50, 14, 3))[:, ::2]
        assert np.array_equal(function(x[::-1][::-1], out=strided, threads=threads), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rate_zero_is_the_identity(backend: str, dtype: str) -> None:
    """Bit for bit, also for -0.0."""
    x = np.resize(np.array(SPECIAL), (7, 9)).astype(dtype)
    for y in (
        fd.dropout(x, 0),
        fd.dropout(x, 2.0**-34),  # which rounds to 0
        fd.dropout(x, 0.0, noise_shape=(1,)),
        fd.apply_mask(x, np.zeros(8, np.uint8)),
        fd.dropout_backward(x, 0, rng=0),
        fd.drop_connect(x, 0),
        fd.spatial_dropout1d(x[np.newaxis], 0)[0],
        fd.alpha_dropout(x, 0),
        fd.alpha_dropout(x, 0, noise_shape=(1,)),
        fd.gaussian_dropout(x, 0),
        fd.gaussian_noise(x, 0),
        fd.embedding_dropout(np.arange(7), x, 0),
    ):
        assert same(y, x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_layouts_do_not_matter(backend: str, name: str, layout: str) -> None:
    function, x = ELEMENTWISE[name], RNG.normal(size=(13, 29))
    expected = function(x)
    other = LAYOUTS[layout](x)
    got = function(other)
    assert got.dtype == np.float64
    assert got.flags.c_contiguous
    assert np.array_equal(got, expected)
    frame = np.zeros((26, 58))
    for out in (np.empty_like(x), frame[::2, ::-2], np.asfortranarray(x)):
        assert function(other, out=out) is out
        assert np.array_equal(out, expected)
    assert not frame[1::2].any()  # nothing between the rows


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_out_is_x_or_overlaps_it(backend: str, name: str) -> None:
    function, base = ELEMENTWISE[name], RNG.normal(size=1000)
    in_place = base[:900].copy()
    assert function(in_place, out=in_place) is in_place
    assert np.array_equal(in_place, function(base[:900]))
    # np.copyto goes wrong where both steps are positive and different.
    views = [slice(0, 900), slice(1, 901), slice(100, 1000), slice(899, None, -1)]
    halves = [
        slice(0, 1000, 2),
        slice(0, 500),
        slice(3, 503),
        slice(499, 999),
        slice(999, None, -2),
    ]
    for source, target in [*product(views, views), *product(halves, halves)]:
        buffer = base.copy()
        expected = function(base[source].copy())
        function(buffer[source], out=buffer[target])
        assert np.array_equal(buffer[target], expected), (source, target)
    square = base[:900].reshape(30, 30).copy()
    expected = function(square.T.copy())
    assert np.array_equal(function(square.T, out=square), expected)


class Backend:
    """A backend that looks at, or waits before, every call of a kernel."""

    def __init__(self, tier: str, before: Call) -> None:
        self.tier, self.before = tier, before

    def __getattr__(self, name: str) -> Call:
        kernel = getattr(BACKENDS[self.tier], name)
        if name.startswith("plain_"):  # takes arguments as they come
            return lambda *arguments: None

        def call(*arguments: Any) -> None:
            self.before(name, *arguments)
            kernel(*arguments)

        return call


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_kernels_get_what_they_are_promised(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat, contiguous, aligned and native arrays; inputs apart from the output, or the same."""
    calls = []

    def look(kernel: str, *arguments: Any) -> None:
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        for array in arrays:
            assert array.ndim == 1
            assert array.size
            assert array.flags.c_contiguous
            assert array.flags.aligned
            assert array.dtype.isnative
        for array in arrays[1:]:
            assert array.ctypes.data == arrays[0].ctypes.data or not np.shares_memory(
                array, arrays[0]
            )
        calls.append(kernel)

    x = RNG.normal(size=(30, 30))
    monkeypatch.setattr(_backend, "active", Backend(backend, look))
    for layout in LAYOUTS.values():
        for out in (None, np.empty((30, 30)), np.empty((60, 30))[::2], LAYOUTS["unaligned"](x)):
            ELEMENTWISE[name](layout(x), out=out)
    ELEMENTWISE[name](x.T, out=x)
    ELEMENTWISE[name](x, out=x)
    buffer = np.ones(1000)
    ELEMENTWISE[name](buffer[:900], out=buffer[100:])
    assert len(calls) >= 4 * len(LAYOUTS) + 3


@pytest.mark.parametrize("name", WITH_OFFSET)
def test_the_first_stream_and_element_are_number_0(name: str) -> None:
    function, x = ELEMENTWISE[name], RNG.normal(size=300)
    assert same(function(x), function(x, stream=0, offset=0))
    assert not same(function(x), function(x, stream=1))
    assert not same(function(x), function(x, offset=1))


def test_numbers_from_0_of_masks_and_words() -> None:
    assert np.array_equal(
        fd.bernoulli(0.5, 300, rng=5), fd.bernoulli(0.5, 300, rng=5, stream=0, offset=0)
    )
    tokens, table = RNG.integers(0, 37, (9, 11)), RNG.normal(size=(37, 5))
    more: Any = {"stream": 0, "row_offset": 0, "scope": "per_row"}
    got = fd.embedding_dropout(tokens, table, 0.5, rng=5)
    assert same(got, fd.embedding_dropout(tokens, table, 0.5, rng=5, **more))
    x = RNG.normal(size=(4, 5, 3, 2, 6))
    for part, function in (
        (x[0, 0], fd.spatial_dropout1d),
        (x[0], fd.spatial_dropout2d),
        (x, fd.spatial_dropout3d),
    ):
        options: Any = {"data_format": "channels_last", "stream": 0, "offset": 0}
        assert same(function(part, 0.5, rng=5), function(part, 0.5, rng=5, **options))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_as_few_calls_as_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal number counts for 8 elements; what is written in place is read there."""
    calls = []

    def look(kernel: str, *arguments: Any) -> None:
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        if not kernel.startswith("bernoulli"):
            calls.append(arrays[0].ctypes.data == arrays[1].ctypes.data)

    monkeypatch.setattr(_backend, "active", Backend("numpy", look))
    monkeypatch.setattr("fastdrop.masks._PIECE", 64)
    piece = 8 if name.startswith("gaussian") else 64
    for n, count in ((1, 1), (piece, 1), (piece + 1, 2), (3 * piece, 3)):
        calls.clear()
        x = RNG.normal(size=(n, 1))
        ELEMENTWISE[name](x[:], out=x[:], threads=1)
        assert calls == [name != "zoneout to"] * count


@pytest.mark.parametrize(
    ("shape", "noise", "lengths", "strides"),
    [
        ((2, 3, 4, 5), (2, 3, 4, 5), (120,), (1,)),
        ((2, 3, 4, 5), (2, 3, 1, 1), (6, 20), (1, 0)),
        ((2, 3, 4, 5), (1, 1, 4, 5), (6, 20), (0, 1)),
        ((2, 3, 4, 5), (1, 3, 1, 5), (2, 3, 4, 5), (0, 5, 0, 1)),
        ((2, 1, 4, 1), (2, 1, 4, 1), (8,), (1,)),
        ((2, 3), (1, 1), (6,), (0,)),
        ((1, 1), (1, 1), (1,), (0,)),
        ((), (), (1,), (0,)),
    ],
)
def test_neighbouring_axes_of_one_kind_are_one(
    shape: tuple[int, ...],
    noise: tuple[int, ...],
    lengths: tuple[int, ...],
    strides: tuple[int, ...],
) -> None:
    assert masks.layout(shape, noise) == (lengths, strides)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 1, 1)])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_small_shapes(backend: str, name: str, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    out = np.empty_like(x)
    for y in (ELEMENTWISE[name](x), ELEMENTWISE[name](x, out=out)):
        assert isinstance(y, np.ndarray)
        assert y.shape == shape
        assert y.dtype == np.float32


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_array_resized_during_a_call(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held in the middle of its kernel by another thread: resizing raises, the call ends right."""
    running, tried = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        running.set()
        assert tried.wait(60)

    x = RNG.normal(size=300)
    expected = ELEMENTWISE[name](x)
    # The call has the only other references.
    given, results = [(x, np.zeros(300))], []

    def call() -> None:
        a, out = given.pop()
        results.append(ELEMENTWISE[name](a, out=out))

    out = given[0][1]
    with monkeypatch.context() as patch:
        patch.setattr(_backend, "active", Backend(backend, wait))
        worker = threading.Thread(target=call)
        worker.start()
        assert running.wait(60)
        for array in (x, out):
            with pytest.raises(ValueError, match="resize"):
                array.resize(7)
        tried.set()
        worker.join()
    assert np.array_equal(results.pop(), expected)
    del array
    x.resize(7)  # and afterwards it can be
    out.resize(7)


# Not those whose mask or other input would be as large as x.
@pytest.mark.parametrize("name", [name for name in WITH_OFFSET if "zoneout" not in name])
def test_out_of_memory_leaves_everything_working(backend: str, name: str) -> None:
    huge = np.broadcast_to(np.float32(1), (2**46,))
    with pytest.raises(MemoryError):
        ELEMENTWISE[name](huge)
    assert ELEMENTWISE[name](np.ones(4)).shape == (4,)

"""What is made of samples: moments and quantiles as NumPy has them, and how they are shown."""

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastdrop.layers import Dropout
from fastdrop.model import Model
from fastdrop.uncertainty import Moments, Prediction, QuantileSketch, _quantiles
from fastdrop.uncertainty._quantiles import CAPACITY

INF, NAN = np.inf, np.nan
# Columns of samples, and with them every mixture of what is no number.
COLUMNS = {
    "finite": [1.5, -2.0, 0.25, 7.0],
    "inf": [INF, INF, INF, INF],
    "-inf": [-INF, -INF, -INF, -INF],
    "a last inf": [1.5, -2.0, 0.25, INF],
    "a first inf": [INF, -2.0, 0.25, 7.0],
    "-inf between": [1.5, -INF, 0.25, 7.0],
    "both": [INF, -INF, 0.25, 7.0],
    "both, apart": [-INF, 1.0, 2.0, INF],
    "NaN": [1.5, NAN, 0.25, 7.0],
    "NaN and inf": [1.5, NAN, INF, 7.0],
    "inf, then NaN": [INF, 1.0, 2.0, NAN],
    "zeros": [0.0, -0.0, 0.0, -0.0],
    "great": [3e38, -3e38, 3e38, 3e38],
}
SAMPLES = np.array(list(COLUMNS.values()), np.float32).T
Q = np.array([0.0, 1e-9, 0.05, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1 - 2.0**-53, 1.0])


def numpys(samples: NDArray[Any], q: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.quantile(samples.astype(np.float64), q, axis=0))


def sketched(samples: NDArray[Any], *, step: int = 100) -> QuantileSketch:
    sketch = QuantileSketch(samples.shape[1], len(samples), samples.dtype)
    for n in range(0, len(samples), step):
        sketch.add(samples[n : n + step])
    return sketch


# ---- moments ----


@pytest.mark.parametrize("step", [1, 3, 4])
def test_moments_are_numpys(step: int) -> None:
    """Also where samples are infinite or NaN, without a warning."""
    moments = Moments(SAMPLES.shape[1])
    for n in range(0, len(SAMPLES), step):
        moments.add(SAMPLES[n : n + step])
    values = SAMPLES.astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-15)
    np.testing.assert_allclose(moments.std(), std, rtol=1e-15)
    assert np.isposinf(mean[[1, 3, 4]]).all()
    assert np.isneginf(mean[[2, 5]]).all()
    assert np.isnan(mean[6:11]).all()
    assert moments.count == len(SAMPLES)


def test_moments_of_one_value_and_of_none() -> None:
    moments = Moments(2)
    assert np.isnan(moments.std()).all()
    moments.add(np.array([[1.0, INF]]))
    assert moments.mean.tolist() == [1.0, INF]
    assert np.isnan(moments.std()).all()
    moments.add(np.array([[2.0, INF]]))
    assert moments.std()[0] == np.std([1.0, 2.0], ddof=1)


def test_moments_far_from_zero() -> None:
    """Where the mean of squares less the square of the mean would have no digit left."""
    values = 1e9 + np.random.default_rng(0).normal(size=(1000, 3))
    moments = Moments(3)
    moments.add(values)
    np.testing.assert_allclose(moments.std(), values.std(axis=0, ddof=1), rtol=1e-7)


def test_samples_are_not_changed() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    before = values.copy()
    moments = Moments(3)
    moments.add(values)
    sketched(values).quantile(Q)
    assert np.array_equal(values, before)


# ---- quantiles ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 100, CAPACITY])
def test_quantiles_are_numpys_to_the_bit(n: int, dtype: str) -> None:
    samples = np.random.default_rng(n).normal(size=(n, 37)).astype(dtype)
    samples[n // 2 :, :5] = samples[0, :5]  # ties
    sketch = sketched(samples)
    q = np.concatenate([Q, np.random.default_rng(0).random(50)])
    assert np.array_equal(sketch.quantile(q), numpys(samples, q))
    assert np.array_equal(sketch.quantile(q), numpys(samples, q))  # and it is as it was


def test_quantiles_of_infinite_samples() -> None:
    """As NumPy has them, and where it has none: one of two equal neighbours, or the infinite one.

    Between minus infinity and infinity there is none.
    """
    expected, got = numpys(SAMPLES, Q), sketched(SAMPLES).quantile(Q)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(got[known], expected[known])
    quantile = dict(zip(COLUMNS, got.T, strict=True))
    assert np.isposinf(quantile["inf"]).all()
    assert np.isneginf(quantile["-inf"]).all()
    assert quantile["a last inf"][4] == 0.25  # of rank 1
    assert np.isposinf(quantile["a last inf"][Q > 2 / 3]).all()
    assert np.isneginf(quantile["-inf between"][Q < 1 / 3]).all()
    assert np.isneginf(quantile["both, apart"][Q < 1 / 3]).all()
    assert quantile["both, apart"][5] == 1.5
    for name in ("NaN", "NaN and inf", "inf, then NaN"):
        assert np.isnan(quantile[name]).all()
    halves = sketched(np.array([[-INF], [INF]])).quantile(np.array([0, 0.5, 1]))[:, 0]
    assert (halves[0], halves[2]) == (-INF, INF)
    assert np.isnan(halves[1])
    # At its rank it is the sample, whatever comes behind.
    assert sketched(np.array([[1.0], [2.0], [INF]])).quantile(np.array([0.5])) == 2


@pytest.mark.parametrize("n", [3000, 20_000])
def test_quantiles_beyond_the_capacity(n: int) -> None:
    """Against the definition, value by value: weights stand for neighbouring ranks."""
    samples = np.random.default_rng(n).normal(size=(n, 3)).round(2).astype(np.float32)
    samples[:10, 1] = INF
    samples[n - 1, 2] = NAN
    sketch = sketched(samples)
    got = sketch.quantile(Q)
    assert np.isnan(got[:, 2]).all()
    levels = [(2.0**k, level) for k, level in enumerate(sketch._levels) if level is not None]
    held = [(1.0, sketch._buffer[: sketch._filled]), *levels]
    for j in (0, 1):
        assert sum(w * len(v) for w, v in held) == n
        exact = np.quantile(samples[:, j], Q, method="nearest")
        assert (got[0, j], got[-1, j]) == (exact[0], exact[-1])
        # A value of weight w stands in the middle of w neighbouring ranks.
        values = np.concatenate([v[:, j] for _, v in held]).astype(np.float64)
        weights = np.concatenate([np.full(len(v), int(w)) for w, v in held])
        order = np.argsort(values, kind="stable")
        ranks = np.repeat(np.arange(len(values)), weights[order])
        places = np.bincount(ranks, np.arange(n)) / np.bincount(ranks)
        expected = np.interp(Q * (n - 1), places, values[order])
        np.testing.assert_allclose(got[1:-1, j], expected[1:-1], rtol=1e-12)
        bound = np.log2(n / CAPACITY) / (2 * CAPACITY) * n
        place = np.searchsorted(np.sort(samples[:, j]), got[1:-1, j], side="right")
        assert (place >= Q[1:-1] * (n - 1) - bound - 1).all()


@pytest.mark.parametrize("n", [100, 3000])
def test_blocks_of_streams_change_nothing(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(size=(n, 50)).astype(np.float32)
    sketch = sketched(samples)
    whole = sketch.quantile(Q)
    for together in (1, 7 * n, 50 * n, 51 * n):
        monkeypatch.setattr(_quantiles, "_TOGETHER", together)
        assert np.array_equal(sketch.quantile(Q), whole)
    for j in (0, 31, 49):
        alone = sketched(samples[:, j : j + 1]).quantile(Q)
        assert np.array_equal(alone[:, 0], whole[:, j])


@pytest.mark.parametrize("step", [1, CAPACITY - 1, CAPACITY, CAPACITY + 1, 5000])
def test_how_samples_come_changes_no_quantile(step: int) -> None:
    samples = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    assert np.array_equal(sketched(samples, step=step).quantile(Q), sketched(samples).quantile(Q))


def test_merges_take_all_of_many_streams() -> None:
    """They are made for 1,024 streams at a time."""
    samples = np.random.default_rng(0).normal(size=(2 * CAPACITY + 1, 1030)).astype(np.float32)
    got = sketched(samples).quantile(Q)
    for j in (0, 1023, 1024, 1029):
        assert np.array_equal(got[:, j], sketched(samples[:, j : j + 1]).quantile(Q)[:, 0])


def test_many_outputs_take_no_loop_and_little_memory() -> None:
    """40,000 outputs of 200 samples: the values are held once, and blocks of them are copied.

    An interpolation of each output by itself takes 20 microseconds, 0.8 s.
    """
    samples = np.random.default_rng(0).normal(size=(200, 40_000)).astype(np.float32)
    sketch, q = sketched(samples), np.array([0.05, 0.5, 0.95])
    seconds = []
    for _ in range(3):
        start = time.process_time()
        sketch.quantile(q)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.6
    tracemalloc.start()
    got = sketch.quantile(q)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < got.nbytes + 8e6  # of 32 MB
    assert np.array_equal(got[:, ::1000], numpys(samples[:, ::1000], q))


def test_a_callers_error_state_changes_nothing() -> None:
    tiny, great = np.full((4, 1), 1e-300), np.full((4, 1), 1e308)
    tiny[0], great[0] = 2e-300, -1e308
    samples = np.hstack([tiny, great, SAMPLES.astype(np.float64)])
    with np.errstate(all="raise"):
        moments = Moments(samples.shape[1])
        moments.add(samples)
        moments.std()
        got = sketched(samples).quantile(Q)
    assert moments.mean[0] == 1.25e-300
    assert np.array_equal(got, sketched(samples).quantile(Q), equal_nan=True)


def test_a_sum_beyond_float64_hides_no_infinite_sample() -> None:
    values = np.array([[-1e308], [1e308], [-INF]])
    whole, first, last = Moments(1), Moments(1), Moments(1)
    whole.add(values)
    first.add(values[:2])
    last.add(values[2:])
    first.merge(last)
    assert whole.mean == first.mean == -INF


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_are_those_that_were_given(dtype: Any) -> None:
    """Whatever becomes of the array."""
    given = np.arange(6, dtype=dtype).reshape(3, 2, 1)
    p = Prediction.from_samples(given)
    given[:] = -1
    assert p.samples is not None
    assert p.samples.reshape(-1).tolist() == [0, 1, 2, 3, 4, 5]
    assert p.mean.tolist() == [[2], [3]]


def test_an_interval_has_the_quantiles_of_its_level_as_it_was_written() -> None:
    """0.05 and 0.95 of 21 samples are two of them; (1 - 0.9) / 2 is less than 0.05 in binary."""
    low, high = Prediction.from_samples(np.arange(21.0)[:, np.newaxis]).interval(0.9)
    assert (low.item(), high.item()) == (1, 19)


@pytest.mark.parametrize("width", [0, 1])
def test_no_quantile_and_no_stream(width: int) -> None:
    sketch = sketched(np.ones((4, width), np.float32))
    assert sketch.quantile(np.empty(0)).shape == (0, width)
    assert sketch.quantile(Q).shape == (len(Q), width)


# ---- predictions ----


def predicted(x: Any, samples: int = 20, **options: Any) -> Prediction:
    x = np.asarray(x, np.float32)
    model = Model([Dropout(name="drop", rate=0.5)], x.shape[1:])
    return model.mc_predict(x, samples, rng=0, **options)


def test_samples_and_their_count() -> None:
    p = predicted(np.ones((3, 2)))
    assert (p.n_samples, p.samples) == (20, None)
    p = predicted(np.ones((3, 2)), keep_samples=True)
    assert p.n_samples == 20
    assert p.samples is not None
    assert p.samples.shape == (20, 3, 2)
    assert np.array_equal(p.quantile(0.3), numpys(p.samples, np.array(0.3)))
    assert np.array_equal(p.quantile([[0.3]])[0, 0], p.quantile(0.3))
    for q in (np.float16(0.3), np.float32(0.3), [0, 1], np.array(1, np.int8)):
        assert np.array_equal(p.quantile(q), numpys(p.samples, np.asarray(q, np.float64)))


def test_a_prediction_of_no_inputs() -> None:
    p = predicted(np.empty((0, 3)))
    assert p.mean.shape == p.std.shape == (0, 3)
    assert p.quantile(0.5).shape == (0, 3)
    assert p.quantile([[0.05, 0.95]]).shape == (1, 2, 0, 3)


def test_a_prediction_is_not_merged_with_itself() -> None:
    """Samples from elsewhere have no key by which they could be told."""
    p = Prediction.from_samples(np.ones((3, 2, 1)))
    with pytest.raises(ValueError, match="other: expected other samples of the same rows"):
        p.merge(p)
    assert p.merge(Prediction.from_samples(np.ones((3, 2, 1)))).n_samples == 6


def test_predictions_of_no_inputs_are_merged() -> None:
    """They know how many samples there were, and what was asked for."""
    options: dict[str, Any] = {"keep_samples": True, "folds": ["covariance"]}
    p = predicted(np.empty((0, 3)), **options)
    both = p.merge(predicted(np.empty((0, 3)), first_sample=20, **options))
    assert both.n_samples == 40
    assert both.samples is not None
    assert both.samples.shape == (40, 0, 3)
    assert both.covariance.shape == (0, 3, 3)
    with pytest.raises(ValueError, match="other: expected other samples of the same rows"):
        p.merge(p)
    some = predicted(np.ones((2, 3)), **options)
    assert np.array_equal(p.merge(some).mean, some.mean)


def test_a_prediction_is_one_thing() -> None:
    """It can be kept in a set, and not be changed."""
    p, q = predicted(np.ones((3, 2))), predicted(np.ones((3, 2)))
    assert len({p, q, p}) == 2
    with pytest.raises(AttributeError):
        p.n_samples = 3  # type: ignore[misc]


def test_infinite_outputs() -> None:
    """A prediction of a model, against its own samples."""
    p = predicted([[INF, -INF, NAN, 1.0]], 30, keep_samples=True)
    assert p.samples is not None
    values = p.samples.astype(np.float64)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(p.mean, values.mean(axis=0), rtol=1e-15)
        np.testing.assert_allclose(p.std, values.std(axis=0, ddof=1), rtol=1e-14)
    assert p.mean[0, :2].tolist() == [INF, -INF]


@pytest.mark.parametrize(
    ("x", "options", "expected"),
    [
        ([[0.0]], {}, "1 row of shape (1,), 20 samples|mean 0, std 0"),
        ([[0.0]], {"keep_samples": True}, "1 row of shape (1,), 20 samples, kept|mean 0, std 0"),
        ([[0.0]], {"samples": 1}, "1 row of shape (1,), 1 sample|mean 0, std NaN"),
        ([[INF, 0.0]], {}, "1 row of shape (2,), 20 samples|mean 0 to inf, std 0 and NaN"),
        ([[NAN]], {}, "1 row of shape (1,), 20 samples|mean NaN, std NaN"),
        (np.empty((0, 3)), {}, "0 rows of shape (3,), 20 samples|mean none, std none"),
        (
            np.zeros((2, 3)),
            {"kind": "binary"},
            "2 rows of shape (3,), 20 samples|mean 0, std 0|entropy 0, mutual_information 0",
        ),
    ],
)
def test_how_a_prediction_is_shown(x: Any, options: Any, expected: str) -> None:
    kind = options.get("kind", "regression")
    lines = f"{kind}, {expected}".split("|")
    assert repr(predicted(x, **options)) == "<Prediction: " + "\n  ".join(lines) + ">"


def test_a_large_prediction_is_shown_in_few_lines() -> None:
    p = predicted(np.arange(10_000.0).reshape(100, 100))
    text = repr(p)
    assert len(text) < 200
    assert f"mean 0 to {p.mean.max():.3g}, std 0 to {p.std.max():.3g}" in text

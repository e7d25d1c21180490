"""Calibration against its definition as a plain loop, the law of its coverage, and MAPIE."""

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdrop import scores
from fastdrop.calibration import Calibration, calibrate
from references.scores import make_scores
from references.stored import load

INF, NAN = math.inf, math.nan
STORED = Path(__file__).parent / "references" / "scores" / "scores.npz"
REFERENCES = {case: (arrays, outputs["score"]) for case, _, arrays, outputs in load(STORED)}


@dataclass
class Normal:
    """A prediction of normal distributions."""

    mean: Any
    std: Any
    kind: str = "regression"

    def quantile(self, q: Any) -> Any:
        z = np.array([NormalDist().inv_cdf(level) for level in q])
        mean, std = np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64)
        return mean + z.reshape(-1, *(1,) * mean.ndim) * std


@dataclass
class Ends:
    """A prediction of two quantiles."""

    ends: Any
    kind: str = "regression"

    def quantile(self, q: Any) -> Any:
        assert len(q) == 2
        assert q[0] + q[1] == pytest.approx(1)
        return np.asarray(self.ends)


@dataclass
class Classes:
    probabilities: Any
    kind: str = "multiclass"


# ---- the definition ----


def plain_rank(n: int, level: float) -> int:
    """Return ceil((n + 1) level) of the level that was written."""
    rank = 0
    while rank < (n + 1) * Fraction(str(level)):
        rank += 1
    return rank


def plain(fitted: list[float], level: float) -> float:
    return sorted(fitted)[plain_rank(len(fitted), level) - 1]


RNG = np.random.default_rng(0)
N, STEPS = 60, (3, 2)
MEAN, STD = RNG.normal(size=(N, *STEPS)), RNG.gamma(2, 1, (N, *STEPS))
Y = MEAN + STD * RNG.standard_t(4, (N, *STEPS)) * np.arange(1, 7).reshape(STEPS)
NEW = Normal(RNG.normal(size=(5, *STEPS)), RNG.gamma(2, 1, (5, *STEPS)))


@pytest.mark.parametrize("level", [0.05, 0.5, 0.8, 0.9, 0.98])
def test_scaled_is_as_written(level: float) -> None:
    made = calibrate(Normal(MEAN, STD), Y, level)
    low, high = made.interval(NEW)
    assert made.score.shape == STEPS
    for at in np.ndindex(STEPS):
        rows = (slice(None), *at)
        q = plain((np.abs(Y[rows] - MEAN[rows]) / STD[rows]).tolist(), level)
        assert made.score[at] == q
        assert np.allclose(low[rows], NEW.mean[rows] - q * NEW.std[rows], rtol=1e-13)
        assert np.allclose(high[rows], NEW.mean[rows] + q * NEW.std[rows], rtol=1e-13)
    assert calibrate(Normal(MEAN, STD), Y, level, method="scaled").score.tolist() == (
        made.score.tolist()
    )


@pytest.mark.parametrize("level", [0.05, 0.5, 0.8, 0.9, 0.98])
def test_cqr_is_as_written(level: float) -> None:
    predicted = Normal(MEAN, STD)
    made = calibrate(predicted, Y, level, method="cqr")
    low, high = made.interval(NEW)
    tail = (1 - level) / 2
    ends, new = predicted.quantile([tail, 1 - tail]), NEW.quantile([tail, 1 - tail])
    for at in np.ndindex(STEPS):
        rows = (slice(None), *at)
        q = plain(
            [max(a - y, y - b) for a, b, y in zip(*ends[:, *rows], Y[rows], strict=True)], level
        )
        assert made.score[at] == pytest.approx(q, rel=1e-12)
        expected = new[0][rows] - q, new[1][rows] + q
        crossed = expected[0] > expected[1]
        middle = (new[0][rows] + new[1][rows]) / 2
        assert np.allclose(low[rows], np.where(crossed, middle, expected[0]), rtol=1e-12)
        assert np.allclose(high[rows], np.where(crossed, middle, expected[1]), rtol=1e-12)


def test_intervals_that_are_too_wide_shrink_to_their_middle_at_most() -> None:
    predicted = Ends([np.full(19, -10.0), np.full(19, 30.0)])
    made = calibrate(predicted, np.full(19, 25.0), 0.5, method="cqr")
    assert made.score == -5
    low, high = made.interval(Ends([[0.0, 0.0, 2.0], [20.0, 10.0, 4.0]]))
    assert np.allclose([low, high], [[5, 5, 3], [15, 5, 3]], rtol=1e-12)
    assert scores.coverage([4.0, 6.0, 4.0], low, high) == 0
    # The sum of such ends is infinite, their middle is not.
    huge = calibrate(Ends([np.full(19, -1e307), np.full(19, 1e307)]), np.zeros(19), method="cqr")
    low, high = huge.interval(Ends([[1.5e308], [1.6e308]]))
    assert np.allclose([low, high], 1.55e308, rtol=1e-12)


PROBABILITIES = RNG.dirichlet(np.full(4, 0.7), (N, 2))
LABELS = RNG.integers(0, 4, (N, 2))


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.98])
def test_lac_is_as_written(level: float) -> None:
    made = calibrate(Classes(PROBABILITIES), LABELS, level)
    new = RNG.dirichlet(np.full(4, 0.7), (9, 2))
    found = made.sets(Classes(new))
    assert found.dtype == bool
    assert found.shape == (9, 2, 4)
    for step in range(2):
        q = plain([1 - PROBABILITIES[i, step, LABELS[i, step]] for i in range(N)], level)
        assert np.array_equal(found[:, step], 1 - new[:, step] <= q)
    assert np.array_equal(
        calibrate(Classes(PROBABILITIES), LABELS, level, method="lac").score, made.score
    )


def test_two_classes_are_the_same_with_an_axis_or_without() -> None:
    chances, labels = RNG.random((40, 1)), RNG.integers(0, 2, (40, 1))
    binary = Classes(chances, "binary")
    both = Classes(np.stack([1 - chances, chances], axis=-1))
    made = calibrate(binary, labels, 0.8)
    found = made.sets(binary)
    assert found.shape == (40, 1, 2)
    assert np.array_equal(found, calibrate(both, labels, 0.8).sets(both))
    assert np.array_equal(found, made.sets(both))
    # An output of one value may be told without its axis.
    assert calibrate(binary, labels[:, 0], 0.8).score == made.score
    assert calibrate(binary, labels[:, 0] == 1, 0.8).score == made.score


def test_one_output_may_be_told_without_its_axis() -> None:
    p = Normal(MEAN[:, 0, :1], STD[:, 0, :1])
    made = calibrate(p, Y[:, 0, :1])
    assert made.score.shape == (1,)
    assert calibrate(p, Y[:, 0, 0]).score == made.score
    assert made.interval(p)[0].shape == (N, 1)


@given(st.integers(1, 3000), st.integers(1, 99))
def test_the_rank_is_that_of_the_level_as_it_was_written(n: int, percent: int) -> None:
    """100 * 0.55 is 55.000000000000007 in binary, and would be rounded up to 56."""
    level = percent / 100
    p = Normal(np.zeros(n), np.ones(n))
    rank = -(-(n + 1) * percent // 100)
    if rank > n:
        with pytest.raises(ValueError, match="y: expected at least"):
            calibrate(p, np.arange(n), level)
    else:
        assert calibrate(p, np.arange(n), level).score == rank - 1


@pytest.mark.parametrize("level", [0.5, 0.7, 0.85, 0.9, 0.95, 0.99])
def test_the_fewest_rows(level: float) -> None:
    rows = next(n for n in range(1, 1000) if plain_rank(n, level) <= n)
    assert calibrate(Normal(np.zeros(rows), np.ones(rows)), np.zeros(rows), level).n == rows
    for kind in (
        Normal(np.zeros(rows - 1), np.ones(rows - 1)),
        Classes(np.ones((rows - 1, 2)) / 2),
    ):
        expected = rf"y: expected at least {rows} rows for level {level}, got {rows - 1}"
        with pytest.raises(ValueError, match=expected):
            calibrate(kind, np.zeros(rows - 1), level)


# ---- MAPIE ----


def ours(case: str, arrays: dict[str, Any]) -> Any:
    level = make_scores.LEVEL
    if "Classifier" in case:
        classes = Classes(arrays["probabilities"])
        return calibrate(classes, arrays["y"], level).sets(classes)
    if "Quantile" in case:
        ends = Ends([arrays["low"], arrays["high"]])
        return calibrate(ends, arrays["y"], level, method="cqr").interval(ends)
    normal = Normal(arrays["mean"], np.ones(len(arrays["mean"])))
    return calibrate(normal, arrays["y"], level).interval(normal)


CASES = [case for case in make_scores.THEIRS if case.startswith("MAPIE")]


@pytest.mark.parametrize("case", CASES)
def test_what_mapie_said(case: str) -> None:
    arrays, expected = REFERENCES[case]
    assert np.allclose(ours(case, arrays), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.live
@pytest.mark.filterwarnings("default")  # theirs
@pytest.mark.parametrize("case", CASES)
def test_what_mapie_says(case: str) -> None:
    pytest.importorskip("mapie")
    kind, says = make_scores.THEIRS[case]
    for seed in range(1, 6):
        arrays = make_scores.forecasts(seed)[kind]
        assert np.allclose(ours(case, arrays), says(**arrays), rtol=1e-9, atol=1e-12), seed


# ---- what is promised ----

LEVEL, ROWS, TO_COME, TIMES = 0.9, 99, 200, 2000
RANK = plain_rank(ROWS, LEVEL)


def simulated(rng: np.random.Generator, rows: int, noise: float = 1.0) -> tuple[Normal, Any]:
    """Return what a model that is wrong in every way says of TIMES outputs, and what came.

    Outputs are independent, and each is calibrated by itself: a column is a repetition.
    """
    size = (rows, TIMES)
    truth, width = rng.normal(size=size), np.exp(rng.normal(size=size))
    y = truth + noise * width * rng.standard_exponential(size)
    return Normal(0.8 * truth + 0.1, 0.3 * width**0.7), y


def simulated_classes(rng: np.random.Generator, rows: int, mixed: float = 0.0) -> tuple[Any, Any]:
    """Return what a model that is too sure says, and labels; some are not drawn as it thinks."""
    size = (rows, TIMES // 10)
    logits = rng.normal(size=(*size, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    labels = (rng.random((*size, 1)) > honest.cumsum(axis=-1)).sum(axis=-1).clip(max=2)
    strange = rng.random(size) < mixed
    labels = np.where(strange, honest.argmin(axis=-1), labels)
    sure = honest**2 / (honest**2).sum(axis=-1, keepdims=True)
    return Classes(sure), labels


def covered(made: Calibration, p: Any, y: Any) -> Any:
    """Return which of the answers are inside."""
    if made.method == "lac":
        return np.take_along_axis(made.sets(p), y[..., np.newaxis], axis=-1)[..., 0]
    low, high = made.interval(p)
    return (low <= y) & (y <= high)


METHODS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "scaled": simulated,
    "cqr": simulated,
    "lac": simulated_classes,
}


@pytest.mark.parametrize("method", METHODS)
def test_coverage_has_its_law(method: str) -> None:
    """Of N rows to come BetaBinomial(N, k, n + 1 - k) are inside: mean, variance, distribution.

    The model is biased and far too sure, and it does not matter.
    """
    rng = np.random.default_rng(8)
    draw = METHODS[method]
    p, y = draw(rng, ROWS)
    made = calibrate(p, y, LEVEL, method=method)
    inside = covered(made, *draw(rng, TO_COME)).sum(axis=0)
    a, b, n = RANK, ROWS + 1 - RANK, TO_COME
    law = np.array(
        [
            math.exp(
                math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
                + math.lgamma(k + a) + math.lgamma(n - k + b) - math.lgamma(n + a + b)
                - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
            )
            for k in range(n + 1)
        ]
    )  # fmt: skip
    assert law.sum() == pytest.approx(1)
    mean = law @ np.arange(n + 1)
    assert mean == pytest.approx(LEVEL * n)
    variance = law @ (np.arange(n + 1) - mean) ** 2
    times = len(inside)
    assert abs(inside.mean() - mean) < 4 * math.sqrt(variance / times)
    assert abs(inside.var() / variance - 1) < 4 * math.sqrt(2.5 / times)
    # Kolmogorov and Smirnov: > 1.95 once in 1,000 times, less often as k is discrete.
    found = np.bincount(inside, minlength=n + 1).cumsum() / times
    assert np.abs(found - law.cumsum()).max() * math.sqrt(times) < 1.95


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("method", METHODS)
def test_levels_are_kept(method: str, level: float) -> None:
    """On average by as much as k / (n + 1) says; the raw intervals of this model are not."""
    rng = np.random.default_rng(9)
    draw = METHODS[method]
    p, y = draw(rng, ROWS)
    new, came = draw(rng, TO_COME)
    inside = covered(calibrate(p, y, level, method=method), new, came).mean(axis=0)
    expected = plain_rank(ROWS, level) / (ROWS + 1)
    error = math.sqrt(expected * (1 - expected) * (1 / TO_COME + 1 / (ROWS + 2)) / len(inside))
    assert abs(inside.mean() - expected) < 4 * error
    if method != "lac":
        raw = scores.coverage(came, *new.quantile([(1 - level) / 2, (1 + level) / 2]))
        assert raw < level - 0.1


def test_it_fails_under_drift() -> None:
    """As it must: what is to come is not exchangeable with what it was learnt from."""
    rng = np.random.default_rng(10)
    for method in ("scaled", "cqr"):
        made = calibrate(*simulated(rng, ROWS), LEVEL, method=method)
        new, came = simulated(rng, TO_COME, noise=2.0)
        assert covered(made, new, came).mean() < LEVEL - 0.1
    made = calibrate(*simulated_classes(rng, ROWS), LEVEL)
    assert covered(made, *simulated_classes(rng, TO_COME, mixed=0.5)).mean() < LEVEL - 0.1


def test_every_output_has_its_own_width() -> None:
    """One width for all would cover the quiet step always and the loud one too seldom."""
    rng = np.random.default_rng(12)
    loud = np.array([1.0, 10.0])

    def drawn(rows: int) -> tuple[Normal, Any]:
        return Normal(np.zeros((rows, 2)), np.ones((rows, 2))), loud * rng.normal(size=(rows, 2))

    made = calibrate(*drawn(2000), LEVEL)
    new, y = drawn(20_000)
    assert np.abs(scores.coverage(y, *made.interval(new), axis=0) - LEVEL).max() < 0.03


# ---- ties, and what has no width ----


@pytest.mark.parametrize("method", ["scaled", "cqr"])
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_ties_are_inside(method: str, noise: float) -> None:
    """Where all rows are the same, y lies on the edge; rounding does not put it outside."""
    rng = np.random.default_rng(13)
    mean, std = rng.normal(size=5000), rng.gamma(2, 1, 5000)
    rows = [np.tile(a, (9, 1)) for a in (mean, std, mean + noise * std * rng.normal(size=5000))]
    p, y = Normal(*rows[:2]), rows[2]
    made = calibrate(p, y, LEVEL, method=method)
    assert covered(made, p, y).all()
    low, high = made.interval(p)
    assert np.minimum(np.abs(y - low), np.abs(high - y)).max() < 1e-13


def test_tied_probabilities_are_inside() -> None:
    p = Classes(np.tile([0.1, 0.3, 0.6], (50, 1)))
    made = calibrate(p, np.repeat([1, 2], 25), LEVEL)
    assert np.array_equal(made.sets(p), np.tile([False, True, True], (50, 1)))


def test_sets_may_be_empty() -> None:
    """A model that was always right and sure says nothing where it is not."""
    made = calibrate(Classes(np.tile([0.05, 0.95], (20, 1))), np.ones(20), LEVEL)
    assert made.sets(Classes([[0.5, 0.5], [0.95, 0.05]])).tolist() == [
        [False, False],
        [True, False],
    ]


def test_a_std_of_zero() -> None:
    """Its score is 0 or infinite; where too many are infinite, so is the interval."""
    n = 19
    mean, std = np.zeros(n), np.ones(n)
    y = np.linspace(0.1, 1.9, n)
    std[:1] = 0
    made = calibrate(Normal(mean, std), y, LEVEL)
    assert made.score == pytest.approx(1.9)  # the 18th of 19, one of them infinite
    new = Normal([1.0, 1.0], [0.0, 2.0])
    low, high = made.interval(new)
    assert np.allclose([low, high], [[1, -2.8], [1, 4.8]])
    std[:2] = 0
    made = calibrate(Normal(mean, std), y, LEVEL)
    assert made.score == INF
    assert np.array_equal(made.interval(new), [[-INF, -INF], [INF, INF]])
    # Where the mean was right, nothing is wrong with having been certain.
    certain = calibrate(Normal(np.ones(n), np.zeros(n)), np.ones(n), LEVEL)
    assert certain.score == 0
    assert np.array_equal(certain.interval(new), [[1, 1], [1, 1]])


def test_nan_of_a_prediction_to_come_stays() -> None:
    p = Normal(np.zeros(19), np.ones(19))
    new = Normal([NAN, 0.0, 0.0], [1.0, NAN, 1.0])
    for method in ("scaled", "cqr"):
        made = calibrate(p, np.arange(19), method=method)
        with np.errstate(all="raise"):
            low, high = made.interval(new)
        for end in (low, high):
            assert np.isnan(end).tolist() == [True, True, False]
    with np.errstate(all="raise"):  # a caller's own
        infinite = calibrate(Normal(np.zeros(19), np.zeros(19)), np.arange(19))
    assert np.isnan(infinite.interval(new)).tolist() == [[True, True, False]] * 2


# ---- the object ----


def test_what_it_says() -> None:
    made = calibrate(Normal(MEAN, STD), Y, 0.8, method="cqr")
    assert repr(made) == "<Calibration: level 0.8, method 'cqr', n 60, outputs (3, 2)>"
    assert calibrate(Normal(MEAN, STD), Y).level == 0.9


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_is_of_its_method(method: str) -> None:
    p, y = (C, LABELS) if method == "lac" else (P, Y)
    made = calibrate(p, y, 0.8, method=method)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert repr(again) == repr(made)
        use = "sets" if method == "lac" else "interval"
        assert np.array_equal(getattr(again, use)(p), getattr(made, use)(p))


def test_it_is_immutable() -> None:
    made = calibrate(Normal(MEAN, STD), Y)
    for again in (made, pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        with pytest.raises(AttributeError):
            again.level = 0.5
        with pytest.raises(ValueError, match="read-only"):
            again.score[0, 0] = 1
        assert repr(again) == repr(made)
        assert np.array_equal(again.interval(NEW), made.interval(NEW))


def test_it_has_an_array_of_its_own() -> None:
    score = np.array([1.0, 2.0])
    made = Calibration(0.9, "scaled", 9, score, (2,))
    score[0] = 5  # neither frozen with it, nor shared
    assert made.score.tolist() == [1, 2]


def test_nothing_is_written_to() -> None:
    arrays = [MEAN.copy(), STD.copy(), Y.copy(), PROBABILITIES.copy(), LABELS.copy()]
    for array in arrays:
        array.setflags(write=False)
    mean, std, y, probabilities, labels = arrays
    for method in ("scaled", "cqr"):
        made = calibrate(Normal(mean, std), y, method=method)
        for end in made.interval(Normal(mean, std)):
            end[:] = 0
    calibrate(Classes(probabilities), labels).sets(Classes(probabilities))[:] = True


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, ">f8"])
def test_dtypes(dtype: Any) -> None:
    mean, std, y = (np.round(2 * a).astype(dtype) for a in (MEAN, STD, Y))
    exact = [a.astype(np.float64) for a in (mean, std, y)]
    expected = calibrate(Normal(*exact[:2]), exact[2]).score
    assert np.array_equal(calibrate(Normal(mean, std), y).score, expected)
    assert np.array_equal(
        calibrate(Normal(mean.tolist(), std.tolist()), y.tolist()).score, expected
    )


# ---- refusals ----

P, C = Normal(MEAN, STD), Classes(PROBABILITIES)
HOLE, ENDLESS = Y.copy(), Y.copy()
HOLE[3, 1, 1], ENDLESS[3, 1, 1] = NAN, INF
REFUSED: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    ([P], Y, {}, TypeError, "p: expected a Prediction"),
    ({"a": P}, Y, {}, TypeError, "p: expected a Prediction"),
    (MEAN, Y, {}, TypeError, "p: expected a Prediction"),
    (Normal(MEAN, STD, "count"), Y, {}, ValueError, "p.kind: expected 'regression', 'binary' or"),
    (P, Y, {"level": 1.0}, ValueError, r"level: expected a number in \(0, 1\)"),
    (P, Y, {"level": 0}, ValueError, "level: expected"),
    (P, Y, {"level": NAN}, ValueError, "level: expected"),
    (P, Y, {"level": [0.9]}, TypeError, "level: expected"),
    (P, Y, {"method": "lac"}, ValueError, "method: expected 'scaled' or 'cqr' for regression"),
    (C, LABELS, {"method": "cqr"}, ValueError, "method: expected 'lac' for multiclass"),
    (P, Y, {"method": "aps"}, ValueError, "method: expected 'scaled', 'cqr' or 'lac'"),
    (P, Y, {"method": 1}, TypeError, "method: expected"),
    (P, Y[:-1], {}, ValueError, r"y: expected shape \(60, 3, 2\)"),
    (P, Y[..., 0], {}, ValueError, r"y: expected shape \(60, 3, 2\)"),
    (P, Y[:, :, :, np.newaxis], {}, ValueError, r"y: expected shape \(60, 3, 2\)"),
    (P, HOLE, {}, ValueError, "y: expected finite numbers, got nan"),
    (P, ENDLESS, {"method": "cqr"}, ValueError, "y: expected finite numbers, got inf"),
    (P, Y.astype(str), {}, TypeError, "y: expected an array"),
    (Normal(HOLE, STD), Y, {}, ValueError, "p.mean: expected finite numbers, got nan"),
    (Normal(MEAN, STD * NAN), Y, {}, ValueError, "p.std: expected finite numbers, got nan"),
    (Normal(MEAN, -STD), Y, {}, ValueError, "p.std: expected numbers >= 0"),
    (Normal(MEAN, STD[:1]), Y, {}, ValueError, r"p.std: expected shape \(60, 3, 2\)"),
    (Normal(0.0, 1.0), 0.0, {}, ValueError, "p.mean: expected rows"),
    (Ends(np.zeros((3, 60))), np.zeros(60), {"method": "cqr"}, ValueError, "p.quantile: .*two lev"),
    (Ends([0.0, 1.0]), 0.0, {"method": "cqr"}, ValueError, "p.quantile: expected shape"),
    (Ends([MEAN, HOLE]), Y, {"method": "cqr"}, ValueError, "p.quantile: expected finite numbers"),
    (C, LABELS + 1, {}, ValueError, r"y: expected labels: whole numbers in \[0, 4\)"),
    (C, LABELS[:, 0], {}, ValueError, r"y: expected shape \(60, 2\)"),
    (Classes(PROBABILITIES * 2), LABELS, {}, ValueError, "p.probabilities: expected"),
    (Classes(PROBABILITIES / 2), LABELS, {}, ValueError, "p.probabilities: .* add up to 1"),
    (Classes([0.5, 0.5]), 0, {}, ValueError, "p.probabilities: expected rows"),
    (Classes(0.5), 0, {}, ValueError, "p.probabilities: expected two classes or more"),
    (Classes(np.ones((60, 1))), LABELS[:, 0] * 0, {}, ValueError, "p.probabilities: .*two classes"),
    (Classes(PROBABILITIES * 0.998), LABELS, {}, ValueError, "p.probabilities: .* add up to 1"),
    (Classes(0.5, "binary"), 0, {}, ValueError, "p.probabilities: expected rows"),
    (Normal(MEAN[:0], STD[:0]), Y[:0], {}, ValueError, "y: expected at least 9 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("p", "y", "options", "error", "message"), REFUSED)
def test_what_is_refused(
    p: Any, y: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(p, y, **options)


def test_what_does_not_fit_is_refused() -> None:
    intervals, sets = calibrate(P, Y), calibrate(C, LABELS)
    with pytest.raises(ValueError, match=r"sets: expected a calibration of classes, got <Cal"):
        intervals.sets(C)
    with pytest.raises(ValueError, match=r"interval: expected a calibration of a regression"):
        sets.interval(P)
    with pytest.raises(ValueError, match=r"p.kind: expected 'regression', .*, got 'multiclass'"):
        intervals.interval(SimpleNamespace(kind="multiclass", mean=MEAN, std=STD))
    with pytest.raises(
        ValueError, match=r"p.kind: expected 'binary' or 'multiclass', .*, got 'reg"
    ):
        sets.sets(P)
    with pytest.raises(TypeError, match="p: expected a Prediction"):
        intervals.interval([P])
    with pytest.raises(ValueError, match=r"p.mean: expected shape \(60, 3, 2\), got .*\(60, 2\)"):
        intervals.interval(Normal(MEAN[:, 0], STD[:, 0]))
    with pytest.raises(ValueError, match=r"p.probabilities: expected shape \(60, 2, 4\)"):
        sets.sets(Classes(np.full((60, 2, 3), 1 / 3)))
    with pytest.raises(ValueError, match=r"p.std: expected numbers >= 0"):
        intervals.interval(Normal(MEAN, -STD))


def test_what_came_is_told_as_it_came() -> None:
    with pytest.raises(ValueError, match=r"^y: expected shape .*, got int8 array of shape \(3,\)$"):
        calibrate(Normal(MEAN, STD), np.ones(3, np.int8))
    with pytest.raises(ValueError, match=r"^samples: .*, got int16 array of shape \(2, 3\)$"):
        scores.crps(np.ones(4), np.ones((2, 3), np.int16))

"""Scores against their definitions as plain loops, closed forms, other libraries, and laws."""

import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop as fd
from fastdrop import scores
from references.scores import make_scores
from references.stored import Arrays, load

RNG = np.random.default_rng(0)
INF, NAN = math.inf, math.nan
STORED = Path(__file__).parent / "references" / "scores" / "scores.npz"
REFERENCES = {case: (arrays, outputs["score"]) for case, _, arrays, outputs in load(STORED)}


# ---- other libraries ----


def diagram(y: Any, probabilities: Any) -> Any:
    table = scores.reliability(y, probabilities, make_scores.BINS)
    full = table.count > 0
    return table.accuracy[full], table.confidence[full]


def pinball_means(y: Any, quantiles: Any, levels: Any) -> Any:
    return scores.pinball(y, quantiles, levels).mean(axis=(1, 2))


def interval_score(y: Any, low: Any, high: Any) -> Any:
    return scores.interval_score(y, low, high, make_scores.LEVEL)


OURS: dict[str, Callable[..., Any]] = {
    "scoringrules crps_ensemble nrg": scores.crps,
    "scoringrules crps_ensemble int": scores.crps,
    "properscoring crps_ensemble": scores.crps,
    "scoringrules quantile_score": scores.pinball,
    "scikit-learn mean_pinball_loss": pinball_means,
    "scoringrules crps_quantile": scores.crps_quantiles,
    "scoringrules interval_score": interval_score,
    "scoringrules crps_normal": scores.crps_normal,
    "properscoring crps_gaussian": scores.crps_normal,
    "scoringrules logs_normal": scores.nll_normal,
    "scikit-learn log_loss of classes": lambda y, probabilities: scores.nll(
        y, probabilities
    ).mean(),
    "scikit-learn log_loss of two": lambda y, probabilities: scores.nll(y, probabilities).mean(),
    "scikit-learn brier_score_loss of classes": (
        lambda y, probabilities: scores.brier(y, probabilities).mean()
    ),
    "scikit-learn brier_score_loss of two": (
        lambda y, probabilities: scores.brier(y, probabilities).mean()
    ),
    "scoringrules brier_score": scores.brier,
    "properscoring brier_score": scores.brier,
    "scikit-learn calibration_curve": diagram,
}


@pytest.mark.parametrize("case", OURS)
def test_what_other_libraries_said(case: str) -> None:
    arrays, expected = REFERENCES[case]
    assert np.allclose(OURS[case](**arrays), expected, rtol=1e-12, atol=1e-14)


def test_every_reference_is_compared() -> None:
    assert {case for case in REFERENCES if not case.startswith("MAPIE")} == set(OURS)


@pytest.mark.live
@pytest.mark.filterwarnings("default")  # theirs
@pytest.mark.parametrize("case", OURS)
def test_what_other_libraries_say(case: str) -> None:
    module = next(m for name, m in make_scores.MODULES.items() if case.startswith(name))
    pytest.importorskip(module)
    kind, says = make_scores.THEIRS[case]
    for seed in range(1, 20):
        arrays = make_scores.forecasts(seed)[kind]
        expected = says(**arrays)
        assert np.allclose(OURS[case](**arrays), expected, rtol=1e-9, atol=1e-12), seed


# ---- definitions, as they are written ----


def plain_crps(y: float, samples: Any) -> float:
    """Return the integral of (F(t) - (y <= t))^2, piece by piece, in exact arithmetic."""
    x = [Fraction(float(value)) for value in samples]
    came = Fraction(float(y))
    total = Fraction(0)
    for a, b in pairwise(sorted({*x, came})):
        below = Fraction(sum(value <= a for value in x), len(x))
        total += (below - (came <= a)) ** 2 * (b - a)
    return float(total)


def plain_pinball(y: float, quantile: float, level: float) -> float:
    return (level if y >= quantile else level - 1) * (y - quantile)


def plain_interval_score(y: float, low: float, high: float, level: float) -> float:
    score = high - low
    if y < low:
        score += 2 / (1 - level) * (low - y)
    if y > high:
        score += 2 / (1 - level) * (y - high)
    return score


numbers = st.floats(-1e6, 1e6, width=32) | st.integers(-3, 3).map(float)
levels = st.floats(0.01, 0.99)


@given(numbers, st.lists(numbers, min_size=1, max_size=12))
def test_crps_is_its_integral(y: float, samples: list[float]) -> None:
    expected = plain_crps(y, samples)
    assert scores.crps(y, samples) == pytest.approx(expected, rel=1e-13, abs=0)


def test_crps_loses_nothing_where_numbers_are_large() -> None:
    """The mean of distances less half that of pairs would keep 5 digits of these."""
    samples = 1e9 + np.arange(7) / 1024
    assert scores.crps(1e9 + 3 / 1024, samples) == pytest.approx(
        scores.crps(3.0, np.arange(7)) / 1024, rel=1e-14
    )


@given(numbers, st.lists(numbers, min_size=1, max_size=12))
def test_crps_is_that_of_quantiles_at_midpoints(y: float, samples: list[float]) -> None:
    """Sorted samples are their own quantiles, at (k + 1/2) / n: the sum over levels is exact."""
    n = len(samples)
    at = (np.arange(n) + 0.5) / n
    found = scores.crps_quantiles(y, np.sort(samples), at)
    assert found == pytest.approx(scores.crps(y, samples), rel=1e-9, abs=1e-9)


@given(numbers, numbers, levels)
def test_pinball_is_as_written(y: float, quantile: float, level: float) -> None:
    expected = plain_pinball(y, quantile, level)
    assert scores.pinball(y, quantile, level) == pytest.approx(expected, rel=1e-14)


@given(numbers, numbers, numbers, levels)
def test_interval_score_is_as_written(y: float, a: float, b: float, level: float) -> None:
    low, high = min(a, b), max(a, b)
    expected = plain_interval_score(y, low, high, level)
    assert scores.interval_score(y, low, high, level) == pytest.approx(expected, rel=1e-13)
    # Gneiting and Raftery: the pinball losses of both ends, at their levels.
    tail = (1 - level) / 2
    ends = scores.pinball(y, [low, high], [tail, 1 - tail]).sum()
    assert ends * 2 / (1 - level) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_the_level_of_an_interval_is_nine_tenths() -> None:
    assert scores.interval_score(3.0, 0.0, 1.0) == pytest.approx(1 + 2 / 0.1 * 2)


@given(numbers, st.lists(numbers, min_size=1, max_size=12))
def test_pit_is_the_middle_of_the_step(y: float, samples: list[float]) -> None:
    below = sum(x < y for x in samples) / len(samples)
    up_to = sum(x <= y for x in samples) / len(samples)
    found = scores.pit(y, samples)
    assert found == pytest.approx((below + up_to) / 2, abs=1e-15)
    assert 0 <= found <= 1


@pytest.mark.parametrize("std", [1e-3, 1.0, 50.0])
def test_crps_normal_is_its_integral(std: float) -> None:
    """Twice the integral of pinball losses over levels, by the midpoint rule of many."""
    k = 20_000
    at = (np.arange(k) + 0.5) / k
    quantiles = np.array([NormalDist(3.0, std).inv_cdf(level) for level in at])
    for y in (3.0, 3 + std / 2, 3 - 2 * std, 3 + 9 * std):
        expected = scores.crps_quantiles(y, quantiles, at)
        assert scores.crps_normal(y, 3.0, std) == pytest.approx(expected, rel=2e-4)


def test_crps_normal_at_its_mean() -> None:
    expected = 5 * (math.sqrt(2) - 1) / math.sqrt(math.pi)
    assert scores.crps_normal(1.0, 1.0, 5.0) == pytest.approx(expected, rel=1e-14)


def test_nll_normal_is_minus_the_logarithm_of_the_density() -> None:
    for y, mean, std in [(0.0, 0.0, 1.0), (2.0, -1.0, 0.5), (1e3, 0.0, 70.0)]:
        expected = -math.log(NormalDist(mean, std).pdf(y))
        assert scores.nll_normal(y, mean, std) == pytest.approx(expected, rel=1e-13)
    # Where the density is nothing that float64 holds.
    assert scores.nll_normal(40.0, 0.0, 1.0) == pytest.approx(800 + math.log(2 * math.pi) / 2)


def test_a_normal_distribution_without_width() -> None:
    y, mean = np.array([1.0, 3.0, NAN, 1.0]), np.array([1.0, 1.0, 1.0, NAN])
    zero = np.zeros(4)
    assert np.array_equal(scores.crps_normal(y, mean, zero), [0, 2, NAN, NAN], equal_nan=True)
    assert np.array_equal(scores.nll_normal(y, mean, zero), [-INF, INF, NAN, NAN], equal_nan=True)


# ---- classes ----

PROBABILITIES = RNG.dirichlet(np.full(3, 0.6), (40, 2))
LABELS = RNG.integers(0, 3, (40, 2))
CHANCES, ANSWERS = RNG.random((40, 2)), RNG.integers(0, 2, (40, 2))


def test_scores_of_classes_are_as_written() -> None:
    found_nll, found_brier = scores.nll(LABELS, PROBABILITIES), scores.brier(LABELS, PROBABILITIES)
    assert found_nll.shape == found_brier.shape == LABELS.shape
    for place, label in np.ndenumerate(LABELS):
        p = PROBABILITIES[place]
        assert found_nll[place] == pytest.approx(-math.log(p[label]), rel=1e-14)
        distance = sum((p[k] - (k == label)) ** 2 for k in range(3))
        assert found_brier[place] == pytest.approx(distance, rel=1e-14)


def test_scores_of_two_classes_are_as_written() -> None:
    found_nll, found_brier = scores.nll(ANSWERS, CHANCES), scores.brier(ANSWERS, CHANCES)
    for place, answer in np.ndenumerate(ANSWERS):
        p = CHANCES[place]
        expected = -math.log(p if answer else 1 - p)
        assert found_nll[place] == pytest.approx(expected, rel=1e-14)
        assert found_brier[place] == pytest.approx((p - answer) ** 2, rel=1e-14)


def test_two_classes_are_the_same_with_an_axis_or_without() -> None:
    both = np.stack([1 - CHANCES, CHANCES], axis=-1)
    assert np.array_equal(scores.nll(ANSWERS, CHANCES), scores.nll(ANSWERS, both))
    assert np.allclose(scores.brier(ANSWERS, CHANCES) * 2, scores.brier(ANSWERS, both), rtol=1e-14)
    found = scores.expected_calibration_error(ANSWERS, CHANCES)
    assert found == scores.expected_calibration_error(ANSWERS, both)


def test_certainty() -> None:
    found = scores.nll([0, 1, 1], [0.0, 0.0, 1.0])
    assert np.array_equal(found, [0, INF, 0])
    assert not np.signbit(found).any()
    assert scores.brier([0, 1], [[0.0, 1.0], [0.0, 1.0]]).tolist() == [2, 0]


def plain_table(y: Any, probabilities: Any, bins: int) -> list[list[tuple[float, bool]]]:
    """Return the labels of each bin ((m - 1) / M, m / M]: how sure, and whether right."""
    table: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for label, p in zip(y, probabilities, strict=True):
        confidence = max(p)
        for m in range(1, bins + 1):
            if (m - 1) / bins < confidence <= m / bins:
                table[m - 1].append((confidence, list(p).index(confidence) == label))
    return table


@pytest.mark.parametrize("bins", [1, 4, 15, 1000])
def test_reliability_is_as_written(bins: int) -> None:
    # Multiples of 1/8: on edges of bins, and tied with each other.
    parts = RNG.multinomial(8, [0.5, 0.3, 0.2], 200)
    y, probabilities = RNG.integers(0, 3, 200), parts / 8
    table, expected = (
        scores.reliability(y, probabilities, bins),
        plain_table(y, probabilities, bins),
    )
    assert np.array_equal(table.edges, np.linspace(0, 1, bins + 1))
    assert table.count.tolist() == [len(rows) for rows in expected]
    error = 0.0
    for m, rows in enumerate(expected):
        if not rows:
            assert math.isnan(table.confidence[m])
            assert math.isnan(table.accuracy[m])
            continue
        confidence, accuracy = np.mean(rows, axis=0)
        assert table.confidence[m] == pytest.approx(confidence, rel=1e-14)
        assert table.accuracy[m] == pytest.approx(accuracy, rel=1e-14)
        error += len(rows) / 200 * abs(confidence - accuracy)
    found = scores.expected_calibration_error(y, probabilities, bins)
    assert found == pytest.approx(error, rel=1e-13)


def test_there_are_fifteen_bins() -> None:
    assert len(scores.reliability(LABELS, PROBABILITIES).count) == 15
    found = scores.expected_calibration_error(LABELS, PROBABILITIES)
    assert found == scores.expected_calibration_error(LABELS, PROBABILITIES, bins=15)
    assert found != scores.expected_calibration_error(LABELS, PROBABILITIES, bins=14)


def test_a_table_is_kept_as_it_is() -> None:
    table = scores.reliability(ANSWERS, CHANCES, 3)
    with pytest.raises(AttributeError):
        table.count = None  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(table))
    for name in ("edges", "count", "confidence", "accuracy"):
        assert np.array_equal(getattr(again, name), getattr(table, name), equal_nan=True)


def test_honest_probabilities_have_little_calibration_error() -> None:
    """What is left is chance; of labels drawn otherwise it is far more."""
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.5), 50_000)
    honest = (rng.random((50_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=3)
    assert scores.expected_calibration_error(honest, probabilities) < 0.01
    sure = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert scores.expected_calibration_error(honest, sure) > 0.1


# ---- coverage ----


def test_coverage_counts_both_ends() -> None:
    y = np.array([[0.0, 1.0, 2.0, 3.0], [1.5, 1.5, 0.5, 9.0]])
    low, high = np.ones((2, 4)), np.full((2, 4), 2.0)
    assert scores.coverage(y, low, high) == 0.5
    assert scores.coverage(y, low, high, axis=0).tolist() == [0.5, 1, 0.5, 0]
    assert scores.coverage(y, low, high, axis=-1).tolist() == [0.5, 0.5]
    assert scores.coverage(y, low, high, axis=(0, 1)) == 0.5
    assert scores.coverage(3.0, -INF, INF) == 1
    for name, value in (("y", y), ("low", low), ("high", high)):
        arrays = {"y": y, "low": low, "high": high, name: value.copy()}
        arrays[name][1, 2] = NAN
        assert math.isnan(scores.coverage(**arrays))
        by_column = scores.coverage(**arrays, axis=0)
        assert np.array_equal(by_column, [0.5, 1, NAN, 0], equal_nan=True)


# ---- laws ----


def of_numbers(seed: int = 3) -> dict[str, tuple[Callable[..., Any], Arrays]]:
    """Return every score of numbers with arguments of shape (5, 4)."""
    rng = np.random.default_rng(seed)
    y, mean = rng.normal(size=(2, 5, 4))
    quantiles = np.sort(rng.normal(size=(2, 5, 4)), axis=0)
    ends = {"y": y, "low": quantiles[0], "high": quantiles[1]}
    at = {"y": y, "quantiles": quantiles, "levels": np.array([0.1, 0.7])}
    normal = {"y": y, "mean": mean, "std": rng.gamma(2, 1, (5, 4))}
    samples = {"y": y, "samples": rng.normal(size=(9, 5, 4))}
    return {
        "crps": (scores.crps, samples),
        "pit": (scores.pit, samples),
        "pinball": (scores.pinball, at),
        "crps_quantiles": (scores.crps_quantiles, at),
        "interval_score": (scores.interval_score, ends),
        "crps_normal": (scores.crps_normal, normal),
        "nll_normal": (scores.nll_normal, normal),
    }


NUMBERS = of_numbers()


@pytest.mark.parametrize("name", NUMBERS)
def test_each_element_is_scored_by_itself(name: str) -> None:
    score, arrays = NUMBERS[name]
    whole = score(**arrays)
    assert whole.dtype == np.float64
    for place in np.ndindex(5, 4):
        one = {k: a if k == "levels" else a[..., *place] for k, a in arrays.items()}
        assert np.allclose(score(**one), whole[..., *place], rtol=1e-13, atol=0)
    none = {k: a if k == "levels" else a[..., :0, :] for k, a in arrays.items()}
    assert score(**none).shape == (*whole.shape[:-2], 0, 4)


@pytest.mark.parametrize("name", NUMBERS)
def test_nan_stays_where_it_is(name: str) -> None:
    score, arrays = NUMBERS[name]
    for argument, array in arrays.items():
        if argument != "levels":
            for first in np.ndindex(array.shape[:-2]):
                holed = array.copy()
                holed[*first, 2, 1] = NAN
                found = np.isnan(score(**{**arrays, argument: holed}))
                hit = found[first] if name == "pinball" and first else found
                assert hit[..., 2, 1].all(), argument
                assert found.sum() == hit[..., 2, 1].size, argument


@pytest.mark.parametrize("name", NUMBERS)
def test_dtypes_and_containers(name: str) -> None:
    """Whatever float64 holds is the same from every dtype; nothing is written to."""
    score, arrays = NUMBERS[name]
    whole = {k: a if k == "levels" else np.round(2 * (a + 8)) for k, a in arrays.items()}
    expected = score(**whole)
    for dtype in (np.float16, np.float32, np.int8, np.uint64, ">f8"):
        other = {k: a if k == "levels" else a.astype(dtype) for k, a in whole.items()}
        for array in other.values():
            array.setflags(write=False)
        assert np.array_equal(score(**other), expected)
    listed = {k: a.tolist() for k, a in whole.items()}
    assert np.array_equal(score(**listed), expected)
    strided = {k: a if k == "levels" else np.asfortranarray(a) for k, a in whole.items()}
    assert np.allclose(score(**strided), expected, rtol=1e-14, atol=0)  # sums in another order


@pytest.mark.parametrize("name", NUMBERS)
def test_one_output_may_have_an_axis(name: str) -> None:
    """As networks give it. An axis of y is never made up for."""
    score, arrays = NUMBERS[name]
    more = {k: a if k in ("y", "levels") else a[..., np.newaxis] for k, a in arrays.items()}
    assert np.array_equal(score(**more), score(**arrays))
    with pytest.raises(ValueError, match=r"expected shape \(.*5, 4, 1\), got"):
        score(**{**arrays, "y": arrays["y"][..., np.newaxis]})


@given(
    numbers,
    st.lists(numbers, min_size=1, max_size=9),
    st.integers(-8, 8).map(lambda k: 2.0**k),
)
def test_crps_is_in_the_unit_of_y(y: float, samples: list[float], unit: float) -> None:
    found = scores.crps(y, samples)
    assert found >= 0
    assert scores.crps(unit * y, unit * np.array(samples)) == unit * found
    assert scores.crps(-y, -np.array(samples)) == pytest.approx(found, rel=1e-13)
    assert scores.crps(y, samples[::-1]) == found
    assert scores.crps(y, samples * 3) == pytest.approx(found, rel=1e-13)
    assert scores.crps(y, samples[:1]) == abs(samples[0] - y)


def test_infinite_numbers() -> None:
    assert scores.crps(1.0, [0.0, INF]) == INF
    assert scores.crps(1.0, [-INF, 0.0, INF]) == INF
    assert scores.crps(INF, [0.0, 1.0]) == INF
    assert scores.crps(-INF, [-INF, 0.0]) == INF
    assert scores.crps(INF, [INF, INF]) == 0
    assert scores.pit(INF, [0.0, INF]) == 0.75
    assert scores.pinball(INF, INF, 0.3) == 0
    assert scores.pinball(INF, 0.0, 0.3) == INF
    assert scores.interval_score(0.0, -INF, INF) == INF
    assert scores.interval_score(INF, 0.0, INF) == INF
    assert scores.interval_score(INF, 0.0, 1.0) == INF
    assert scores.crps_normal(INF, 0.0, 1.0) == INF
    assert scores.crps_normal(0.0, 0.0, INF) == INF
    assert scores.nll_normal(INF, 0.0, 1.0) == INF


def test_callers_floating_point_state_is_left_alone() -> None:
    with np.errstate(all="raise"):
        for score, arrays in NUMBERS.values():
            score(**arrays)
        test_infinite_numbers()
        scores.nll([0], [1.0])
        scores.reliability(ANSWERS, CHANCES, 100)


def test_pit_of_honest_samples_is_uniform() -> None:
    """On 0, 1/n, ..., 1; of samples that are too narrow it is not."""
    rng = np.random.default_rng(5)
    n, count = 9, 100_000
    y, samples = rng.normal(size=count), rng.normal(size=(n, count))
    for factor, low, high in ((1.0, 0.0, 30.0), (0.8, 1000.0, INF)):
        found = np.bincount(
            (scores.pit(y, factor * samples) * n).round().astype(int), minlength=n + 1
        )
        expected = count / (n + 1)
        chi_square = ((found - expected) ** 2 / expected).sum()  # 9 degrees: > 30 once in 2,300
        assert low <= chi_square < high


# ---- proper: the expected score is the least where the forecast is true ----

GRID = np.linspace(-0.6, 0.6, 7)  # what is wrong with a forecast; nothing in the middle
WHO = np.random.default_rng(11).normal(size=50_000)  # the truth: standard normal
NORMAL = NormalDist()
LEVELS = (np.arange(25) + 0.5) / 25
QUANTILES = np.array([NORMAL.inv_cdf(level) for level in LEVELS])


def everywhere(value: Any) -> Any:
    """Return the same forecast for every y."""
    return np.broadcast_to(np.asarray(value)[..., np.newaxis], (*np.shape(value), len(WHO)))


MOVED: dict[str, Callable[[float, float], Any]] = {
    "crps": lambda shift, scale: scores.crps(WHO, everywhere(QUANTILES * scale + shift)),
    "crps_quantiles": lambda shift, scale: scores.crps_quantiles(
        WHO, everywhere(QUANTILES * scale + shift), LEVELS
    ),
    "interval_score": lambda shift, scale: scores.interval_score(
        WHO, *everywhere(scale * np.array([-1, 1]) * NORMAL.inv_cdf(0.9) + shift), level=0.8
    ),
    "crps_normal": lambda shift, scale: scores.crps_normal(
        WHO, everywhere(shift), everywhere(scale)
    ),
    "nll_normal": lambda shift, scale: scores.nll_normal(WHO, everywhere(shift), everywhere(scale)),
}


@pytest.mark.parametrize("name", MOVED)
def test_no_other_normal_distribution_is_better(name: str) -> None:
    for wrong in (
        [MOVED[name](error, 1.0).mean() for error in GRID],
        [MOVED[name](0.0, math.exp(error)).mean() for error in GRID],
    ):
        assert np.diff(wrong[:4]).max() < 0
        assert np.diff(wrong[3:]).min() > 0


@pytest.mark.parametrize("level", [0.1, 0.5, 0.95])
def test_no_other_quantile_is_better(level: float) -> None:
    wrong = [
        scores.pinball(WHO, everywhere(NORMAL.inv_cdf(level) + error), level).mean()
        for error in GRID
    ]
    assert np.diff(wrong[:4]).max() < 0
    assert np.diff(wrong[3:]).min() > 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 99), min_size=2, max_size=5), st.data())
def test_no_other_probabilities_are_better(parts: list[int], data: st.DataObject) -> None:
    """Expectations over classes are sums, so nothing is left to chance."""
    others = data.draw(st.lists(st.integers(1, 99), min_size=len(parts), max_size=len(parts)))
    truth, other = (np.array(some) / sum(some) for some in (parts, others))
    classes = np.arange(len(truth))
    for score in (scores.nll, scores.brier):
        said, told = (score(classes, np.tile(p, (len(p), 1))) @ truth for p in (other, truth))
        assert told <= said + 1e-12
        if np.abs(truth - other).max() > 1e-3:
            assert told < said


# ---- refusals ----

Y = np.zeros(3)
ONE, TWO = {"y": Y, "samples": np.zeros((2, 3))}, np.full((3, 2), 0.5)
AT = {"y": Y, "quantiles": np.zeros((2, 3)), "levels": [0.1, 0.9]}
ENDS = {"y": Y, "low": Y, "high": Y + 1}
WIDE = {"y": Y, "mean": Y, "std": Y + 1}
SURE: dict[str, Any] = {"y": [0, 1, 0], "probabilities": TWO}
MASKED = np.ma.masked_array(Y, [True, False, False])
REFUSED: list[tuple[Callable[..., Any], dict[str, Any], type[Exception], str]] = [
    (scores.crps, ONE | {"y": "a"}, TypeError, "y: expected an array of float16"),
    (scores.crps, ONE | {"y": None}, TypeError, "y: expected an array"),
    (scores.crps, ONE | {"y": Y + 1j}, TypeError, "y: expected an array"),
    (scores.crps, ONE | {"y": Y.astype(object)}, TypeError, "y: expected an array"),
    (scores.crps, ONE | {"y": Y > 0}, TypeError, "y: expected an array"),
    (scores.crps, ONE | {"y": MASKED}, TypeError, "y: expected an array.*MaskedArray"),
    (scores.crps, ONE | {"y": [[1.0], [1.0, 2.0]]}, ValueError, "y: expected an array"),
    (scores.crps, ONE | {"y": [2**53] * 3}, ValueError, r"y: expected integers between -2\*\*53"),
    (scores.crps, ONE | {"samples": Y}, ValueError, r"samples: expected shape \(3, 3\)"),
    (scores.crps, ONE | {"samples": TWO}, ValueError, r"samples: expected shape \(3, 3\)"),
    (scores.crps, ONE | {"samples": 1.0}, ValueError, r"samples: expected shape \('n', 3\)"),
    (scores.crps, ONE | {"samples": np.ones((0, 3))}, ValueError, "samples: .*n >= 1"),
    (scores.pit, ONE | {"samples": np.ones((0, 3))}, ValueError, "samples: .*n >= 1"),
    (scores.pinball, AT | {"levels": [0.0, 0.5]}, ValueError, r"levels: expected .* in \(0, 1\)"),
    (scores.pinball, AT | {"levels": [0.5, 1.0]}, ValueError, r"levels: expected .* in \(0, 1\)"),
    (scores.pinball, AT | {"levels": [NAN, 0.5]}, ValueError, r"levels: expected .* in \(0, 1\)"),
    (scores.pinball, AT | {"levels": [0.5]}, ValueError, r"quantiles: expected shape \(1, 3\)"),
    (scores.pinball, AT | {"levels": 0.5}, ValueError, r"quantiles: expected shape \(3,\)"),
    (scores.crps_quantiles, AT | {"levels": 0.5, "quantiles": Y}, ValueError, "levels: .*k >= 1"),
    (scores.crps_quantiles, AT | {"levels": []}, ValueError, "levels: expected"),
    (scores.interval_score, ENDS | {"level": 1}, ValueError, r"level: expected .* in \(0, 1\)"),
    (scores.interval_score, ENDS | {"level": 0.0}, ValueError, "level: expected"),
    (scores.interval_score, ENDS | {"level": NAN}, ValueError, "level: expected"),
    (scores.interval_score, ENDS | {"level": "0.9"}, TypeError, "level: expected"),
    (scores.interval_score, ENDS | {"low": Y + 2}, ValueError, r"high: .* low, 2\.0, got 1\.0"),
    (scores.coverage, ENDS | {"low": Y + 2}, ValueError, r"high: .* low, 2\.0, got 1\.0"),
    (scores.coverage, ENDS | {"low": Y[:2]}, ValueError, r"low: expected shape \(3,\)"),
    (scores.coverage, ENDS | {"high": Y[:2]}, ValueError, r"high: expected shape \(3,\)"),
    (scores.coverage, ENDS | {"axis": 1}, ValueError, "axis: expected"),
    (scores.coverage, ENDS | {"axis": 0.0}, TypeError, "axis: expected"),
    (scores.coverage, ENDS | {"axis": (0, -1)}, ValueError, "axis: expected each axis once"),
    (scores.coverage, dict.fromkeys(ENDS, Y[:0]), ValueError, "y: expected at least one number"),
    (scores.crps_normal, WIDE | {"std": Y - 1}, ValueError, "std: expected numbers >= 0"),
    (scores.nll_normal, WIDE | {"std": Y - 1}, ValueError, "std: expected numbers >= 0"),
    (scores.nll_normal, WIDE | {"mean": Y[:1]}, ValueError, r"mean: expected shape \(3,\)"),
    *(
        (score, SURE | changes, error, message)
        for score in (scores.nll, scores.brier, scores.reliability)
        for changes, error, message in [
            ({"y": [0, 1, 2]}, ValueError, r"y: expected labels: whole numbers in \[0, 2\)"),
            ({"y": [0, 1, -1]}, ValueError, "y: expected labels"),
            ({"y": [0, 1, 0.5]}, ValueError, "y: expected labels"),
            ({"y": [0, 1, NAN]}, ValueError, "y: expected labels"),
            ({"y": ["a", "b", "c"]}, TypeError, "y: expected an array"),
            (
                {"y": [0, 1]},
                ValueError,
                r"probabilities: expected shape \(2,\) for two classes, or",
            ),
            ({"probabilities": TWO * 1.01}, ValueError, r"add up to 1 \(within 0\.001\)"),
            ({"probabilities": TWO * 0.998}, ValueError, r"add up to 1 \(within 0\.001\)"),
            ({"probabilities": TWO[:, :1] * 3}, ValueError, r"probabilities in \[0, 1\]"),
            ({"probabilities": TWO - [2, -2]}, ValueError, r"probabilities in \[0, 1\]"),
            ({"probabilities": TWO * NAN}, ValueError, r"probabilities in \[0, 1\]"),
            ({"probabilities": 0.5}, ValueError, "probabilities: expected shape"),
            ({"probabilities": TWO[:, :0]}, ValueError, "two classes or more"),
        ]
    ),
    (scores.reliability, SURE | {"bins": 0}, ValueError, "bins: expected"),
    (scores.reliability, SURE | {"bins": 2.0}, TypeError, "bins: expected"),
    (scores.expected_calibration_error, SURE | {"bins": 0}, ValueError, "bins: expected"),
    (scores.reliability, {"y": Y[:0], "probabilities": Y[:0]}, ValueError, "y: .*at least one"),
]


@pytest.mark.parametrize(("score", "arguments", "error", "message"), REFUSED)
def test_what_is_refused(
    score: Callable[..., Any], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        score(**arguments)


def test_labels_of_any_dtype() -> None:
    expected = scores.nll(ANSWERS, CHANCES)
    for labels in (ANSWERS == 1, ANSWERS.astype(np.float32), ANSWERS.astype(np.uint8)):
        assert np.array_equal(scores.nll(labels, CHANCES), expected)
    assert np.array_equal(scores.nll(ANSWERS, CHANCES[..., np.newaxis]), expected)


@pytest.mark.parametrize(
    "score",
    [scores.nll, scores.brier, scores.expected_calibration_error, scores.reliability],
)
def test_one_hot_labels_are_refused(score: Any) -> None:
    """They would be taken for outputs of two classes each; an axis more says that they are."""
    shares = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    hot = np.eye(3)[[0, 1]]
    for y in (hot, hot == 1, hot.astype(np.int32)):
        with pytest.raises(ValueError, match=r"^y: expected labels, y.argmax\(-1\).*got one-hot"):
            score(y, shares)
    score(hot.argmax(-1), shares)
    score(hot, shares[..., np.newaxis])
    for other in (1 - hot, np.zeros_like(hot)):  # several answers, or none
        score(other, shares)
    score(hot, np.full_like(shares, 0.5))  # no distributions over three classes
    score(np.array([0, 1]), np.array([0.25, 0.75]))  # two rows of one output
    score(np.array([[0], [1]]), np.array([[0.25], [0.5]]))


def test_probabilities_that_were_rounded() -> None:
    """To float16, sums are off by less than 1e-3."""
    rounded = PROBABILITIES.astype(np.float16)
    assert np.abs(rounded.astype(np.float64).sum(axis=-1) - 1).max() > 1e-4
    assert scores.nll(LABELS, rounded).shape == LABELS.shape


@pytest.mark.live
def test_pandas() -> None:
    pd = pytest.importorskip("pandas")
    series = pd.Series([1.0, 2.0], index=[7, 3])
    assert scores.crps(series, np.zeros((2, 2))).tolist() == [1, 2]
    frame = pd.DataFrame({"ham": [0.25, 1.0], "spam": [0.75, 0.0]})
    assert scores.brier(pd.Series([True, False]), frame).tolist() == [0.125, 0]
    with pytest.raises(TypeError, match="y: expected an array"):
        scores.crps(pd.Series([1.0, None], dtype=object), np.zeros((2, 2)))


@pytest.mark.parametrize("score", [scores.crps, scores.pit])
def test_samples_that_were_not_kept(score: Any) -> None:
    """The error says how they are kept, and where they are in a prediction."""
    p = fd.Prediction.from_samples(np.zeros((3, 2)), keep_samples=False)
    for samples in (p.samples, p):
        with pytest.raises(TypeError, match=r"samples: expected .*keep_samples=True\)\.samples"):
            score(np.zeros(2), samples)


def test_whole_numbers_that_float64_does_not_hold() -> None:
    for dtype in (np.int64, np.uint64):
        y = np.array([2**53 - 1], dtype)
        assert scores.crps(y, [y]).tolist() == [0]
        with pytest.raises(ValueError, match=r"y: expected integers between -2\*\*53 and 2\*\*53"):
            scores.crps(y + y.dtype.type(2), [y])


def test_no_labels_are_no_vectors_of_classes() -> None:
    for score in (scores.nll, scores.brier):
        assert score(np.zeros((0, 2), int), np.zeros((0, 2))).shape == (0, 2)


def test_samples_may_be_any_array() -> None:
    """Also one that has quantiles of its own, as tables of pandas have; a prediction is none."""

    class Table:
        def __init__(self, values: list[list[float]]) -> None:
            self.values = np.array(values)

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return self.values

        def quantile(self, q: float) -> float:
            return float(np.quantile(self.values, q))

    assert scores.crps([2.0], Table([[1.0], [3.0]])).tolist() == [0.5]  # type: ignore[arg-type]

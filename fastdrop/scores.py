"""Scores of probabilistic forecasts: how good, and how honest, they were once the answers came.

What came is the first argument, `y`. Forecasts have the shape of `y`, with an axis of samples or of
levels of quantiles before it, or one of classes after it; so a prediction's ``samples``,
``quantile(levels)``, ``interval(level)`` and ``probabilities`` fit as they are. A forecast may have
one more axis of length 1 at its end, as networks with one output give it. Nothing else is
broadcast.

Smaller is better. A score has a number for each element of `y`, and its mean is what is reported;
only `coverage`, `expected_calibration_error` and `reliability` speak of many elements together. All
are computed in float64. Where a number of `y` or of its forecast is NaN, so is the score; labels
and probabilities may not be NaN.

CRPS, pinball loss, interval score, NLL and Brier score are proper: nobody can expect a better one
than by saying what they believe (Gneiting and Raftery, Journal of the American Statistical
Association 102, 2007).
"""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _forecasts
from fastdrop.typing import ArrayLike

__all__ = [
    "Reliability",
    "brier",
    "coverage",
    "crps",
    "crps_normal",
    "crps_quantiles",
    "expected_calibration_error",
    "interval_score",
    "nll",
    "nll_normal",
    "pinball",
    "pit",
    "reliability",
]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


Floats = NDArray[np.float64]

_erf = np.frompyfunc(math.erf, 1, 1)


# ---- samples ----


def crps(y: ArrayLike, samples: ArrayLike) -> Floats:
    """Score samples by the continuous ranked probability score.

    Parameters
    ----------
    y : array_like
        What came.
    samples : array_like, shape (n, *y.shape)
        At least one sample of each element.

    Returns
    -------
    ndarray of float64, shape y.shape
        In the unit of `y`; for a single sample the absolute error.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, or shapes do not fit.

    Notes
    -----
    The integral of ``(F(t) - (y <= t))**2`` over t, where F is the distribution function of the
    samples: the forecast is the samples, all equally likely. It equals
    ``mean(abs(x - y)) - mean(abs(x - x')) / 2`` over all samples x and all pairs x, x' (Gneiting
    and Raftery 2007), which is also called the estimator "nrg". On average it is that of the
    distribution that the samples were drawn from and ``E abs(x - x') / (2 n)``: compare forecasts
    of one number of samples. It is summed over the gaps between sorted samples, in which nothing
    cancels.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.crps([2.0, 5.0], [[1.0, 1.0], [3.0, 3.0]])
    array([0.5, 2.5])
    """
    seen = _forecasts.numbers(y, "y")
    x = np.sort(_forecasts.samples(samples, seen.shape), axis=0)
    below_share = np.arange(1, len(x)).reshape((-1,) + (1,) * seen.ndim) / len(x)
    with np.errstate(all="ignore"):
        middle = np.clip(seen, x[:-1], x[1:])
        below, above = _difference(middle, x[:-1]), _difference(x[1:], middle)
        between = (below_share**2 * below + (1 - below_share) ** 2 * above).sum(axis=0)
        outside = _excess(x[0], seen) + _excess(seen, x[-1])
        return between + outside  # type: ignore[no-any-return]


def pit(y: ArrayLike, samples: ArrayLike) -> Floats:
    """Say where among the samples `y` lies: the probability integral transform.

    Parameters
    ----------
    y : array_like
        What came.
    samples : array_like, shape (n, *y.shape)
        At least one sample of each element.

    Returns
    -------
    ndarray of float64, shape y.shape
        In [0, 1]: the share of samples below `y`, and half of that of samples equal to it.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, or shapes do not fit.

    Notes
    -----
    The mid-distribution of the samples at `y`; nothing is drawn. If `y` is distributed as its
    samples, and ties do not occur, all of ``0, 1/n, ..., 1`` are equally likely (Gneiting,
    Balabdaoui and Raftery, Journal of the Royal Statistical Society B 69, 2007). A histogram shows
    that if its bins hold equally many of these n + 1 numbers. A U is the mark of forecasts that are
    too narrow.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.pit([0.5, 2.0, 9.0], [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    array([0.  , 0.75, 1.  ])
    """
    seen = _forecasts.numbers(y, "y")
    x = _forecasts.samples(samples, seen.shape)
    share = (x < seen).mean(axis=0) + (x == seen).mean(axis=0) / 2
    return _unknown(share, seen, np.isnan(x).any(axis=0))


# ---- quantiles and intervals ----


def pinball(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Score each quantile by the pinball loss, which is also called quantile loss.

    Parameters
    ----------
    y : array_like
        What came.
    quantiles : array_like, shape (*levels.shape, *y.shape)
        As ``quantile(levels)`` of a prediction gives them.
    levels : float or array_like of float
        Their levels in (0, 1), in any order.

    Returns
    -------
    ndarray of float64, shape (*levels.shape, *y.shape)
        ``level * (y - quantile)`` where `y` lies above its quantile, and
        ``(1 - level) * (quantile - y)`` where it lies below, in the unit of `y` (Koenker and
        Bassett, Econometrica 46, 1978).

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, shapes do not fit, or a level is outside (0, 1).

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.pinball([10.0, 0.0], [[5.0, 5.0], [6.0, 6.0]], [0.5, 0.75])
    array([[2.5, 2.5],
           [3. , 1.5]])
    """
    seen, given = _forecasts.numbers(y, "y"), _forecasts.levels(levels)
    forecast = _forecasts.forecast(quantiles, "quantiles", seen.shape, given.shape)
    level = given.reshape(given.shape + (1,) * seen.ndim)
    with np.errstate(all="ignore"):
        loss: Floats = level * _excess(seen, forecast) + (1 - level) * _excess(forecast, seen)
        return loss


def crps_quantiles(y: ArrayLike, quantiles: ArrayLike, levels: ArrayLike) -> Floats:
    """Score quantiles by the CRPS that they stand for: twice the mean of their pinball losses.

    Parameters
    ----------
    y : array_like
        What came.
    quantiles : array_like, shape (k, *y.shape)
        As ``quantile(levels)`` of a prediction gives them.
    levels : array_like of float, shape (k,)
        Their levels in (0, 1), at least one.

    Returns
    -------
    ndarray of float64, shape y.shape
        In the unit of `y`.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, shapes do not fit, or a level is outside (0, 1).

    Notes
    -----
    The CRPS is twice the integral of the pinball loss over all levels (Laio and Tamea, Hydrology
    and Earth System Sciences 11, 2007). Here all levels have equal weights, so they should be
    spread evenly: ``(arange(k) + 0.5) / k`` is the midpoint rule.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.crps_quantiles([2.0, 5.0], [[1.0, 1.0], [3.0, 3.0]], [0.25, 0.75])
    array([0.5, 2.5])
    """
    given = _forecasts.levels(levels)
    if given.ndim != 1 or not given.size:
        _check.refuse(ValueError, "levels", "shape (k,) with k >= 1", levels)
    return 2 * pinball(y, quantiles, given).mean(axis=0)  # type: ignore[no-any-return]


def interval_score(y: ArrayLike, low: ArrayLike, high: ArrayLike, level: float = 0.9) -> Floats:
    """Score intervals by their width, and by how far `y` lies outside.

    Parameters
    ----------
    y : array_like
        What came.
    low, high : array_like, shape y.shape
        The intervals, as ``interval(level)`` of a prediction gives them.
    level : float, optional
        The probability in (0, 1) that they claim to hold `y` with.

    Returns
    -------
    ndarray of float64, shape y.shape
        ``high - low``, and ``2 / (1 - level)`` times the distance of `y` from the interval, in the
        unit of `y` (Winkler, Journal of the American Statistical Association 67, 1972; Gneiting and
        Raftery 2007, equation 43).

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, shapes do not fit, a `low` is above its `high`,
        or `level` is outside (0, 1).

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.interval_score([2.0, 5.0], [1.0, 1.0], [3.0, 3.0], level=0.5)
    array([ 2., 10.])
    """
    seen, weight = _forecasts.numbers(y, "y"), 2 / (1 - _check.level(level))
    lows, highs = _forecasts.limits(low, high, seen.shape)
    with np.errstate(all="ignore"):
        outside = _excess(lows, seen) + _excess(seen, highs)
        score: Floats = _difference(highs, lows) + weight * outside
        return score


@typing.overload
def coverage(y: ArrayLike, low: ArrayLike, high: ArrayLike, *, axis: None = None) -> np.float64: ...
@typing.overload
def coverage(
    y: ArrayLike, low: ArrayLike, high: ArrayLike, *, axis: int | tuple[int, ...] | None
) -> np.float64 | Floats: ...
def coverage(
    y: ArrayLike, low: ArrayLike, high: ArrayLike, *, axis: int | tuple[int, ...] | None = None
) -> np.float64 | Floats:
    """Say what share of `y` lies in its interval, ends included.

    Parameters
    ----------
    y : array_like
        What came.
    low, high : array_like, shape y.shape
        The intervals, as ``interval(level)`` of a prediction gives them.
    axis : None, int or tuple of int, optional
        Count along these axes of `y`; all of them if None. 0 gives the coverage of each output.

    Returns
    -------
    float64, or ndarray of float64 for the axes that are left
        In [0, 1]; NaN where a number among those counted is NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, shapes do not fit, a `low` is above its `high`,
        there is no such axis, or there is nothing to count.

    Examples
    --------
    >>> from fastdrop import scores
    >>> float(scores.coverage([2.0, 5.0], [1.0, 1.0], [3.0, 3.0]))
    0.5
    """
    seen = _forecasts.numbers(y, "y")
    lows, highs = _forecasts.limits(low, high, seen.shape)
    axes = _forecasts.reduced(axis, seen)
    inside = _unknown((lows <= seen) & (seen <= highs), seen, np.isnan(lows), np.isnan(highs))
    share: np.float64 | Floats = inside.mean(axis=axes)
    return share


# ---- normal distributions ----


def crps_normal(y: ArrayLike, mean: ArrayLike, std: ArrayLike) -> Floats:
    """Score normal distributions by the continuous ranked probability score.

    Parameters
    ----------
    y : array_like
        What came.
    mean, std : array_like, shape y.shape
        Of the forecast; `std` >= 0.

    Returns
    -------
    ndarray of float64, shape y.shape
        In the unit of `y` (Gneiting and others, Monthly Weather Review 133, 2005, equation 5); the
        absolute error where `std` is 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, shapes do not fit, or `std` is negative.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.crps_normal([0.0, 3.0], [0.0, 1.0], [1.0, 0.0]).round(4)
    array([0.2337, 2.    ])
    """
    seen = _forecasts.numbers(y, "y")
    center = _forecasts.forecast(mean, "mean", seen.shape)
    scale = _forecasts.deviations(std, "std", seen.shape)
    with np.errstate(all="ignore"):
        error = np.abs(_difference(seen, center))
        z = error / scale
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        inner = np.asarray(_erf(z / math.sqrt(2)), np.float64)  # 2 Phi(z) - 1
        score = error * inner + scale * (2 * density - 1 / math.sqrt(math.pi))
        return np.where(scale == 0, error, score)


def nll_normal(y: ArrayLike, mean: ArrayLike, std: ArrayLike) -> Floats:
    """Score normal distributions by the negative logarithm of their density at `y`.

    Parameters
    ----------
    y : array_like
        What came.
    mean, std : array_like, shape y.shape
        Of the forecast; `std` >= 0.

    Returns
    -------
    ndarray of float64, shape y.shape
        Natural logarithms. Where `std` is 0, -inf if `y` equals the mean and inf if it does not.

    Raises
    ------
    TypeError, ValueError
        If an argument is no array of real numbers, shapes do not fit, or `std` is negative.

    Notes
    -----
    The logarithmic score (Good, Journal of the Royal Statistical Society B 14, 1952) of a normal
    distribution. It depends on the unit of `y`, and one forecast that is too sure can outweigh all
    others.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.nll_normal([0.0, 3.0], [0.0, 1.0], [1.0, 0.0]).round(4)
    array([0.9189,    inf])
    """
    seen = _forecasts.numbers(y, "y")
    center = _forecasts.forecast(mean, "mean", seen.shape)
    scale = _forecasts.deviations(std, "std", seen.shape)
    with np.errstate(all="ignore"):
        error = _difference(seen, center)
        z = error / scale
        score = math.log(2 * math.pi) / 2 + np.log(scale) + z * z / 2
        certain = np.where(error == 0, -np.inf, np.abs(error) * np.inf)  # NaN stays
        return np.where(scale == 0, certain, score)


# ---- classes ----


def nll(y: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Score probabilities of classes by the negative logarithm of that of the class that came.

    Parameters
    ----------
    y : array_like
        Labels: whole numbers, or bool.
    probabilities : array_like, shape (*y.shape, classes), or y.shape for two classes
        Adding up to 1 (within 0.001) along the last axis; for two classes those of class 1. An
        array of `y`'s own shape always is the latter, so labels may not be one-hot: what looks so,
        for all of both add up to 1, is refused, but with an axis of length 1 behind probabilities.

    Returns
    -------
    ndarray of float64, shape y.shape
        Natural logarithms; inf where what came had the probability 0. Also called cross-entropy,
        and logarithmic score (Good, Journal of the Royal Statistical Society B 14, 1952).

    Raises
    ------
    TypeError, ValueError
        If labels are not whole numbers in [0, classes), or one-hot, probabilities are outside
        [0, 1] or do not add up, or shapes do not fit.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.nll([0, 2], [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]).round(4)
    array([0.6931, 0.    ])
    >>> scores.nll([1, 0], [0.5, 0.0]).round(4)
    array([0.6931, 0.    ])
    """
    labels, shares, _ = _classes(y, probabilities)
    with np.errstate(all="ignore"):
        return np.abs(np.log(_of_labels(shares, labels)))  # what stays <= 0, without a sign


def brier(y: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Score probabilities of classes by their squared distance from what came.

    Parameters
    ----------
    y : array_like
        Labels: whole numbers, or bool.
    probabilities : array_like, shape (*y.shape, classes), or y.shape for two classes
        As in `nll`.

    Returns
    -------
    ndarray of float64, shape y.shape
        The sum over classes of ``(probability - (class == y))**2``, from 0 to 2 (Brier, Monthly
        Weather Review 78, 1950). Of probabilities of class 1 alone: ``(probability - y)**2``, from
        0 to 1, which is half of that, as is usual for two classes.

    Raises
    ------
    TypeError, ValueError
        As `nll`.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.brier([0, 2], [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    array([0.375, 0.   ])
    >>> scores.brier([1, 0], [0.5, 0.0])
    array([0.25, 0.  ])
    """
    labels, shares, binary = _classes(y, probabilities)
    came = labels[..., np.newaxis] == np.arange(shares.shape[-1])
    squares: Floats = (shares - came) ** 2
    return squares[..., 1] if binary else squares.sum(axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """How often a classifier was right, by how sure it was: see `reliability`.

    Attributes
    ----------
    edges : ndarray of float64, shape (bins + 1,)
        Bin k holds confidences in (edges[k], edges[k + 1]].
    count : ndarray of int64, shape (bins,)
        How many labels are in each bin.
    confidence, accuracy : ndarray of float64, shape (bins,)
        The mean probability of the label that was thought most likely, and how often it was the
        right one; NaN where `count` is 0.
    """

    edges: Floats
    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


def reliability(y: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> Reliability:
    """Compare how sure a classifier was with how often it was right.

    Parameters
    ----------
    y : array_like
        Labels: whole numbers, or bool; at least one.
    probabilities : array_like, shape (*y.shape, classes), or y.shape for two classes
        As in `nll`.
    bins : int, optional
        How many bins of equal width [0, 1] is cut into.

    Returns
    -------
    Reliability
        The table of a reliability diagram (Guo and others, "On Calibration of Modern Neural
        Networks", ICML 2017): of honest probabilities, confidence and accuracy are equal.

    Raises
    ------
    TypeError, ValueError
        As `nll`; if there are no labels, or `bins` is no integer >= 1.

    Notes
    -----
    The confidence is the largest probability, and so at least 0.5 for two classes: what is
    judged is the label that was chosen, the first of several that are equally likely.

    Examples
    --------
    >>> from fastdrop import scores
    >>> table = scores.reliability([1, 0, 1, 1], [0.75, 0.75, 0.875, 0.25], bins=2)
    >>> table.count, table.confidence, table.accuracy
    (array([0, 4]), array([    nan, 0.78125]), array([nan, 0.5]))
    """
    labels, shares, _ = _classes(y, probabilities)
    count = _check.integer(bins, "bins", 1, 1 << 24)
    if not labels.size:
        _check.refuse(ValueError, "y", "at least one label", labels)
    confidences = shares.max(axis=-1).ravel()
    right = (shares.argmax(axis=-1) == labels).ravel()
    edges = np.linspace(0, 1, count + 1)
    places = np.searchsorted(edges[1:-1], confidences, side="left")
    found = np.bincount(places, minlength=count)
    with np.errstate(invalid="ignore"):  # nothing by nothing
        confidence = np.bincount(places, confidences, count) / found
        accuracy = np.bincount(places, right, count) / found
    return Reliability(edges, found.astype(np.int64), confidence, accuracy)


def expected_calibration_error(y: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Say how far confidence and accuracy of a classifier are apart.

    Parameters
    ----------
    y : array_like
        Labels: whole numbers, or bool; at least one.
    probabilities : array_like, shape (*y.shape, classes), or y.shape for two classes
        As in `nll`.
    bins : int, optional
        How many bins of equal width [0, 1] is cut into.

    Returns
    -------
    float
        In [0, 1]: the mean over all labels of the distance between confidence and accuracy of their
        bin in `reliability` (Guo and others 2017, equation 3).

    Raises
    ------
    TypeError, ValueError
        As `reliability`.

    Notes
    -----
    It depends on the number of bins, it is above 0 even for honest probabilities, by chance, and it
    is not proper: saying the same of everything can bring it to 0. Report `nll` or `brier` beside
    it.

    Examples
    --------
    >>> from fastdrop import scores
    >>> scores.expected_calibration_error([1, 0, 1, 1], [0.75, 0.75, 0.875, 0.25], bins=2)
    0.28125
    """
    table = reliability(y, probabilities, bins)
    full = table.count > 0
    gaps = np.abs(table.confidence - table.accuracy)[full]
    return float(gaps @ table.count[full] / table.count.sum())


# ---- parts ----


def _difference(a: Floats, b: Floats) -> Floats:
    """Return a - b, and 0 where both are infinite and equal."""
    return np.where(a == b, 0.0, a - b)


def _excess(a: Floats, b: Floats) -> Floats:
    """Return by how much `a` is above `b`: 0 where it is not, NaN where one of them is."""
    return np.maximum(_difference(a, b), 0.0)


def _unknown(values: NDArray[Any], y: Floats, *more: Any) -> Floats:
    """Return them with NaN where `y` is, or something more is unknown."""
    return np.where(np.logical_or.reduce([np.isnan(y), *more]), np.nan, values)


def _classes(y: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.intp], Floats, bool]:
    """Return labels, probabilities with an axis of classes, and whether they came without one."""
    seen = _check.array(y, "y", ("bool", *_check.NUMBERS))
    given = _check.probabilities(probabilities, "probabilities")
    of = seen.shape
    binary = given.shape in (of, (*of, 1))
    if given.shape == of and _are_one_hot(seen, given):
        expected = (
            "labels, y.argmax(-1) (of several outputs with two classes each, "
            "probabilities[..., np.newaxis] beside it)"
        )
        raise ValueError(f"y: expected {expected}, got one-hot vectors")
    if binary:
        shares = _forecasts.two_classes(given.reshape(of), "probabilities")
    elif given.shape[:-1] == of:
        shares = _forecasts.distributions(given, "probabilities")
    else:
        expected = f"shape {of} for two classes, or {(*of, 'classes')}"
        _check.refuse(ValueError, "probabilities", expected, given)
    return _forecasts.labels(y, shares.shape[-1]), shares, binary


def _are_one_hot(y: NDArray[Any], probabilities: Floats) -> bool:
    """Whether labels look like vectors of classes, over which probabilities are distributions."""
    if y.ndim < 2 or y.shape[-1] < 2 or not y.size or not ((y == 0) | (y == 1)).all():
        return False
    sums = np.abs(probabilities.sum(axis=-1) - 1) <= _forecasts.SUM_TOLERANCE
    return bool(sums.all() and (y.sum(axis=-1) == 1).all())


def _of_labels(shares: Floats, labels: NDArray[np.intp]) -> Floats:
    """Return the probabilities of the labels."""
    return np.take_along_axis(shares, labels[..., np.newaxis], axis=-1)[..., 0]

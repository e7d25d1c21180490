"""Intervals and sets that hold what they promise: split conformal prediction.

What Monte-Carlo samples say about their spread is the model's own doubt, and not tested by
anything. `calibrate` compares predictions with what came, on rows that the model was not trained
on, and finds by how much intervals have to be wider, or narrower, to hold a share of `level` of the
answers.

Rows to come are promised to be covered with a probability of at least `level`, whatever the model
and the distribution, if they are exchangeable with the rows of the calibration: drawn alike, in any
order. Over time they often are not. The promise is one of the mean over rows; it is no promise for
rows of some kind, and none that all outputs of a row are covered at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _forecasts
from fastdrop.typing import ArrayLike

__all__ = ["Calibration", "calibrate"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


Floats = NDArray[np.float64]
KINDS = ("regression", "binary", "multiclass")

# What a score and the interval made of it may differ by in rounding: so y on an edge is inside.
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def calibrate(
    p: Any, y: ArrayLike, level: float = 0.9, *, method: str | None = None
) -> Calibration:
    """Learn from predictions and what came how wide honest intervals are, or how large honest sets.

    Parameters
    ----------
    p : Prediction
        Of rows that the model was not trained on; with the sampling options of those to come.
        Anything will do that has its ``kind``, and what the method asks for: ``mean`` and ``std``,
        ``quantile``, or ``probabilities``.
    y : array_like
        What came: shaped like ``p.mean``, or labels shaped like ``p.label``. A last axis of length
        1 may be missing.
    level : float, optional
        The share in (0, 1) that is to be covered.
    method : str, optional
        For a regression ``"scaled"`` (what is taken if None) or ``"cqr"``, for classes ``"lac"``:
        see Notes.

    Returns
    -------
    Calibration
        Its ``interval`` or ``sets`` takes predictions to come. Each output of a row (a time step,
        say) is calibrated by itself.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or shape, `method` is not for such predictions, a number
        is NaN or infinite, a label is unknown, or the rows are too few: with fewer than
        ``level / (1 - level)`` only infinite intervals, and sets of all classes, keep the promise.

    Notes
    -----
    Each row has a score for how ill what came fits the prediction; of n scores the
    ceil((n + 1) level)-th smallest, q, is kept. With a new row, its score is at most that with a
    probability of at least `level` (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random
    World", 2005; Lei and others, Journal of the American Statistical Association 113, 2018).

    "scaled"
        The score is ``abs(y - mean) / std``, the interval ``mean - q std`` to ``mean + q std``.
        Where std is 0 the score is 0 if `y` equals the mean and else infinite; where too many are,
        the interval is from -inf to inf.
    "cqr"
        The score is how far `y` is outside of the central interval at `level`, negative inside;
        both ends of that are moved by q (Romano, Patterson and Candes, "Conformalized Quantile
        Regression", NeurIPS 2019), at most to its middle.
    "lac"
        The score is ``1 - probability`` of the label that came, the set has all labels whose score
        is at most q (Sadinle, Lei and Wasserman, Journal of the American Statistical Association
        114, 2019). A set may be empty.

    Over new rows the coverage differs from one calibration to the next, as Beta(k, n + 1 - k) with
    k = ceil((n + 1) level): with 1,000 rows by 0.01 (a standard deviation) at a level of 0.9.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastdrop.calibration import calibrate
    >>> p = SimpleNamespace(kind="regression", mean=[0.0, 0.0, 0.0, 0.0], std=[1.0, 1.0, 2.0, 2.0])
    >>> c = calibrate(p, [1.5, -0.5, 2.0, 5.0], level=0.75)
    >>> c
    <Calibration: level 0.75, method 'scaled', n 4, outputs ()>
    >>> low, high = c.interval(SimpleNamespace(kind="regression", mean=[10.0], std=[2.0]))
    >>> low.round(6), high.round(6)
    (array([5.]), array([15.]))
    """
    share = _check.level(level)
    name = _name(method, _kind(p))
    chosen = _METHODS[name]
    parts = chosen.read(p, share)
    for label, part in zip(chosen.reads, parts, strict=True):
        _finite(part, label)
    scores = chosen.scores(y, *parts)
    # As a decimal fraction: 100 times 0.55 is more than 55 in binary.
    exact = Fraction(repr(share))
    rank = math.ceil((len(scores) + 1) * exact)
    if rank > len(scores):
        wanted = math.ceil(exact / (1 - exact))
        _check.refuse(ValueError, "y", f"at least {wanted} rows for level {share}", len(scores))
    score = np.partition(scores, rank - 1, axis=0)[rank - 1]
    return Calibration(share, name, len(scores), score, parts[0].shape[1:])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Calibration:
    """What `calibrate` has found: immutable, and picklable.

    Attributes
    ----------
    level : float
        The share that is to be covered.
    method : str
        "scaled", "cqr" or "lac".
    n : int
        How many rows it was learnt from.
    score : ndarray of float64, shape of one row's outputs
        The largest score that is still inside: q in the notes of `calibrate`.
    shape : tuple of int
        Of what is predicted for one row: its outputs; with classes, these as the last axis.
    """

    level: float
    method: str
    n: int
    score: Floats
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        own = np.array(self.score, np.float64)
        own.setflags(write=False)
        object.__setattr__(self, "score", own)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.level, self.method, self.n, self.score, self.shape)

    def __repr__(self) -> str:
        about = f"level {self.level}, method {self.method!r}, n {self.n}"
        return f"<Calibration: {about}, outputs {self.score.shape}>"

    def interval(self, p: Any) -> tuple[Floats, Floats]:
        """Return intervals that hold a share of `level` of what is to come.

        Parameters
        ----------
        p : Prediction
            Of other rows, with the outputs of those that it was learnt from.

        Returns
        -------
        low, high : ndarray of float64, shape p.mean.shape
            NaN where the prediction is.

        Raises
        ------
        TypeError, ValueError
            If it was learnt for classes (`sets` is for those), or `p` is of another kind or shape.
        """
        low, high = self._region(p, "interval", classes=False)
        return low, high

    def sets(self, p: Any) -> NDArray[np.bool_]:
        """Return sets of labels that hold a share of `level` of what is to come.

        Parameters
        ----------
        p : Prediction
            Of other rows, with the outputs and classes of those that it was learnt from.

        Returns
        -------
        ndarray of bool, shape (*p.label.shape, classes)
            Whether each label is in the set. That is the shape of ``p.probabilities``; but where
            these are those of class 1 alone, the last axis has class 0 and class 1.

        Raises
        ------
        TypeError, ValueError
            If it was learnt for a regression (`interval` is for that), or `p` is of another kind or
            shape, or its probabilities are outside [0, 1] or do not add up to 1.
        """
        (inside,) = self._region(p, "sets", classes=True)
        return inside

    def _region(self, p: Any, name: str, *, classes: bool) -> tuple[NDArray[Any], ...]:
        method = _METHODS[self.method]
        if method.classes != classes:
            expected = f"a calibration of {'classes' if classes else 'a regression'}"
            _check.refuse(ValueError, name, expected, self)
        kind = _kind(p)
        if (kind != "regression") != classes:
            expected = "'binary' or 'multiclass'" if classes else "'regression'"
            _check.refuse(ValueError, "p.kind", f"{expected}, as was learnt from", kind)
        parts = method.read(p, self.level)
        _check.shaped(parts[0], method.reads[0], (len(parts[0]), *self.shape))
        return method.region(self.score, *parts)


# ---- methods ----


class _Method(NamedTuple):
    """What a method reads of a prediction, rows first, and what it makes of that.

    `scores` takes y and what was read, `region` the score that is still inside and what was read.
    """

    classes: bool
    reads: tuple[str, ...]
    read: Callable[[Any, float], tuple[Floats, ...]]
    scores: Callable[..., Floats]
    region: Callable[..., tuple[NDArray[Any], ...]]


def _mean_and_std(p: Any, level: float) -> tuple[Floats, ...]:
    mean = _forecasts.numbers(p.mean, "p.mean")
    return _rows(mean, "p.mean"), _forecasts.deviations(p.std, "p.std", mean.shape)


def _scaled_scores(y: ArrayLike, mean: Floats, std: Floats) -> Floats:
    error = np.abs(_came(y, mean.shape) - mean)
    with np.errstate(all="ignore"):
        return np.where(error == 0, 0.0, error / std)


def _scaled_interval(score: Floats, mean: Floats, std: Floats) -> tuple[NDArray[Any], ...]:
    with np.errstate(all="ignore"):
        half = score * std * (1 + _ROUNDING)
        # Whose score may be infinite, of that nothing is outside.
        half = np.where((score == np.inf) & (std == 0), np.inf, half)
        return mean - half, mean + half


def _ends(p: Any, level: float) -> tuple[Floats, ...]:
    ends = _forecasts.numbers(p.quantile([(1 - level) / 2, (1 + level) / 2]), "p.quantile")
    if ends.ndim < 2 or len(ends) != 2:
        _check.refuse(ValueError, "p.quantile", "shape (2, rows, ...) for two levels", ends)
    return ends[0], ends[1]


def _cqr_scores(y: ArrayLike, low: Floats, high: Floats) -> Floats:
    came = _came(y, low.shape)
    return np.maximum(low - came, came - high)


def _cqr_interval(score: Floats, low: Floats, high: Floats) -> tuple[NDArray[Any], ...]:
    with np.errstate(all="ignore"):
        more = score + _ROUNDING * np.abs(score)
        low, high = low - more, high + more
        middle = low / 2 + high / 2
    crossed = low > high  # nothing is inside: the least interval that there is
    return np.where(crossed, middle, low), np.where(crossed, middle, high)


def _shares(p: Any, level: float) -> tuple[Floats, ...]:
    name = "p.probabilities"
    check = _forecasts.two_classes if p.kind == "binary" else _forecasts.distributions
    return (_rows(check(p.probabilities, name), name, 2),)


def _lac_scores(y: ArrayLike, shares: Floats) -> Floats:
    labels = _forecasts.labels(y, shares.shape[-1])
    chosen = _as_outputs(labels, shares.shape[:-1], y)[..., np.newaxis]
    return 1 - np.take_along_axis(shares, chosen, axis=-1)[..., 0]


def _lac_sets(score: Floats, shares: Floats) -> tuple[NDArray[Any], ...]:
    return (1 - shares <= score[..., np.newaxis],)


# The first of a kind is what is taken where nothing is asked for.
_METHODS = {
    "scaled": _Method(False, ("p.mean", "p.std"), _mean_and_std, _scaled_scores, _scaled_interval),
    "cqr": _Method(False, ("p.quantile", "p.quantile"), _ends, _cqr_scores, _cqr_interval),
    "lac": _Method(True, ("p.probabilities",), _shares, _lac_scores, _lac_sets),
}


# ---- parts ----


def _kind(p: Any) -> str:
    kind = getattr(p, "kind", None)
    if not isinstance(kind, str):
        expected = "a Prediction (where a model has several outputs, that of one)"
        _check.refuse(TypeError, "p", expected, p)
    return _check.choice(kind, "p.kind", KINDS)


def _name(method: str | None, kind: str) -> str:
    """Return the name of a method that is for predictions of this kind."""
    classes = kind != "regression"
    options = [name for name, known in _METHODS.items() if known.classes == classes]
    if method is None:
        return options[0]
    if _check.choice(method, "method", tuple(_METHODS)) not in options:
        _check.refuse(ValueError, "method", f"{_check.words(options)} for {kind}", method)
    return method


def _rows(value: Floats, name: str, ndim: int = 1) -> Floats:
    if value.ndim < ndim:
        _check.refuse(ValueError, name, "rows as the first axis", value)
    return value


def _finite(value: Floats, name: str) -> Floats:
    wrong = ~np.isfinite(value)
    if wrong.any():
        _check.refuse(ValueError, name, "finite numbers", float(value[wrong][0]))
    return value


def _as_outputs(value: NDArray[Any], shape: tuple[int, ...], given: object) -> NDArray[Any]:
    """Return y in the shape of the outputs, where a last axis of length 1 was missing too."""
    if (*value.shape, 1) == shape:
        return value[..., np.newaxis]
    return _check.shaped(value, "y", shape, given)


def _came(y: ArrayLike, shape: tuple[int, ...]) -> Floats:
    return _as_outputs(_finite(_forecasts.numbers(y, "y"), "y"), shape, y)

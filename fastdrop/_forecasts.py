"""What is refused of forecasts and of what came, by what scores and calibrates them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check

# Probabilities of classes add up to 1 but for this: float16 rounds by as much.
SUM_TOLERANCE = 1e-3


def numbers(value: object, name: str) -> NDArray[np.float64]:
    """Real numbers as binary64; integers that may not fit into it are refused."""
    given = _check.array(value, name, _check.NUMBERS)
    exact = given.astype(np.float64)
    if given.dtype.kind in "iu" and (np.abs(exact) >= 2.0**53).any():
        _check.refuse(ValueError, name, "integers between -2**53 and 2**53", value)
    return exact


def forecast(
    value: object, name: str, of: tuple[int, ...], before: tuple[int, ...] = ()
) -> NDArray[np.float64]:
    """Numbers of shape (*before, *of), from which a last axis of length 1 has been taken away."""
    given = numbers(value, name)
    whole = (*before, *of)
    fitting = given[..., 0] if given.shape == (*whole, 1) else given
    return _check.shaped(fitting, name, whole, value)


def deviations(value: object, name: str, of: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard deviations; NaN stays."""
    given = forecast(value, name, of)
    if (given < 0).any():
        _check.refuse(ValueError, name, "numbers >= 0", value)
    return given


def samples(value: object, of: tuple[int, ...]) -> NDArray[np.float64]:
    """At least one sample of each element."""
    if value is None or (hasattr(value, "quantile") and not hasattr(value, "__array__")):
        expected = "an array of samples, as mc_predict(..., keep_samples=True).samples is"
        _check.refuse(TypeError, "samples", expected, value)
    given = numbers(value, "samples")
    if given.ndim == 0 or not len(given):
        _check.refuse(ValueError, "samples", f"shape {('n', *of)} with n >= 1", value)
    return forecast(value, "samples", of, given.shape[:1])


def levels(value: object) -> NDArray[np.float64]:
    """Levels of quantiles, in any order."""
    given = numbers(value, "levels")
    if not ((given > 0) & (given < 1)).all():  # also refuses NaN
        _check.refuse(ValueError, "levels", "numbers in (0, 1)", value)
    return given


def limits(
    low: object, high: object, of: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of intervals, in their order; NaN stays."""
    lows, highs = forecast(low, "low", of), forecast(high, "high", of)
    crossed = lows > highs
    if crossed.any():
        expected = f"at least low, {lows[crossed][0]}"
        _check.refuse(ValueError, "high", expected, float(highs[crossed][0]))
    return lows, highs


def reduced(axis: object, of: NDArray[Any]) -> tuple[int, ...]:
    """Axes of an array along which there is something to count; all of them if None."""
    ndim = of.ndim
    given = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(_check.integer(item, "axis", -ndim, ndim) % max(1, ndim) for item in given)
    if len(set(axes)) < len(axes):
        _check.refuse(ValueError, "axis", "each axis once", axis)
    if not math.prod(of.shape[item] for item in axes):
        _check.refuse(ValueError, "y", "at least one number to count", of)
    return axes


def distributions(value: object, name: str) -> NDArray[np.float64]:
    """Probabilities of two classes or more, along the last axis."""
    given = _check.probabilities(value, name)
    if given.ndim == 0 or given.shape[-1] < 2:
        _check.refuse(ValueError, name, "two classes or more along the last axis", value)
    if (np.abs(given.sum(axis=-1) - 1) > SUM_TOLERANCE).any():
        expected = f"probabilities that add up to 1 (within {SUM_TOLERANCE}) along the last axis"
        _check.refuse(ValueError, name, expected, value)
    return given


def two_classes(value: object, name: str) -> NDArray[np.float64]:
    """Probabilities of the class 1, as distributions over the classes 0 and 1."""
    given = _check.probabilities(value, name)
    return np.stack([1 - given, given], axis=-1)


def labels(value: object, classes: int) -> NDArray[np.intp]:
    """Numbers of classes, of whatever dtype."""
    given = _check.array(value, "y", ("bool", *_check.NUMBERS))
    if not ((given >= 0) & (given < classes) & (given == np.floor(given))).all():
        _check.refuse(ValueError, "y", f"labels: whole numbers in [0, {classes})", value)
    return given.astype(np.intp)

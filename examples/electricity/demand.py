"""What training and forecasting share: the series, its parts, and windows as the model has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

DAY = 48
"""Half hours of a day."""

DAYS = 7
"""Days that the model sees before the one it forecasts."""

WEEK = 7 * DAY

SCALE = 5000.0
"""Megawatts that are 1 to the model: about what demand spreads about a week's mean."""

HERE = Path(__file__).parent
MODEL = HERE / "demand.keras"
DATA = HERE / "demand.npz"

Array = npt.NDArray[np.float64]


def load(path: Path = DATA) -> tuple[npt.NDArray[np.datetime64], Array]:
    """Return when each half hour begins, and the demand in it, MW."""
    with np.load(path) as file:
        demand = file["demand"].astype(np.float64)
        start = file["start"]
    return start + np.timedelta64(30, "m") * np.arange(len(demand)), demand


def parts() -> dict[str, slice]:
    """Return the half hours of each part, in the order of time: no part sees a later one."""
    weeks = {"train": (0, 7), "validation": (7, 8), "calibration": (8, 10), "test": (10, 12)}
    return {name: slice(a * WEEK, b * WEEK) for name, (a, b) in weeks.items()}


def windows(demand: Array, part: slice, every: int = 1) -> tuple[npt.NDArray[np.float32], Array]:
    """Return the forecasts that can be made of a part.

    Parameters
    ----------
    demand : numpy.ndarray
        The whole series, shape (half hours,).
    part : slice
        Each forecast begins and ends in it; what the model sees may begin before it.
    every : int, optional
        A forecast begins every so many half hours.

    Returns
    -------
    x : numpy.ndarray
        The days before each forecast, from the mean of these days, in SCALE, shape
        (forecasts, DAYS, DAY).
    level : numpy.ndarray
        That mean, MW, shape (forecasts, 1). An output y of the model is level + SCALE * y.
    """
    starts = begins(part, every)
    seen = np.stack([demand[start - DAYS * DAY : start] for start in starts])
    level = seen.mean(axis=1, keepdims=True)
    return ((seen - level) / SCALE).astype(np.float32).reshape(-1, DAYS, DAY), level


def days(demand: Array, part: slice, every: int = 1) -> Array:
    """Return what the forecasts of a part are to say, MW, shape (forecasts, DAY)."""
    return np.stack([demand[start : start + DAY] for start in begins(part, every)])


def begins(part: slice, every: int = 1) -> npt.NDArray[np.int64]:
    """Return the half hour with which each forecast of a part begins."""
    return np.arange(max(part.start, DAYS * DAY), part.stop - DAY + 1, every)

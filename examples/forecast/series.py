"""What training and forecasting share: the series, its windows, and the paths of a forecast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

import fastdrop

WINDOW = 60
"""Number of weeks that the model sees."""

SCALE = 2.5
"""Parts per million that are 1 to the model: what a window spreads about its mean."""

HERE = Path(__file__).parent
MODEL = HERE / "forecast.keras"
DATA = HERE / "co2.npz"

Array = npt.NDArray[np.float64]


def load() -> tuple[npt.NDArray[np.datetime64], Array, Array]:
    """Return the weeks, the series, and the errors one week ahead on the weeks that validate."""
    with np.load(DATA) as file:
        return file["weeks"], file["values"].astype(np.float64), file["errors"].astype(np.float64)


def parts(length: int) -> tuple[slice, slice, slice]:
    """Return which weeks train, validate, and are held out: the last tenth, a year or so each."""
    first, second = length * 7 // 10, length * 8 // 10
    return slice(0, first), slice(first, second), slice(second, length)


def scaled(windows: Array) -> tuple[npt.NDArray[np.float32], Array]:
    """Return windows (…, WINDOW) as the model takes them, and the mean of each, (…, 1).

    The series rises for decades: what the model sees is how a window lies about its own mean.
    """
    level = windows.mean(axis=-1, keepdims=True)
    return ((windows - level) / SCALE).astype(np.float32)[..., np.newaxis], level


def paths(
    model: fastdrop.Model, history: Array, weeks: int, seed: int, errors: Array | None
) -> Array:
    """Return paths that begin where each history ends.

    A week is forecast from the 60 before it, and joins them. The masks of a path are the same in
    all weeks, for the seed and the row are the same: a path is what one thinned network says. With
    `errors`, one of them, drawn at random, is added to each week of each path.

    Parameters
    ----------
    model : fastdrop.Model
    history : numpy.ndarray
        A window for each path, shape (paths, WINDOW).
    weeks : int
        How many to forecast.
    seed : int
        For the masks and for the errors.
    errors : numpy.ndarray, optional
        What the model was off by, one week ahead.

    Returns
    -------
    numpy.ndarray
        Of shape (weeks, paths).
    """
    rng = np.random.default_rng(seed)
    series = np.concatenate([history, np.empty((len(history), weeks))], axis=1)
    for week in range(weeks):
        x, level = scaled(series[:, week : week + WINDOW])
        y = model.mc_predict(x, samples=1, rng=seed).mean * SCALE + level
        series[:, week + WINDOW] = y[:, 0]
        if errors is not None:
            series[:, week + WINDOW] += rng.choice(errors, len(history))
    return series[:, WINDOW:].T

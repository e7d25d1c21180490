"""How often do the intervals of the forecasts hold what was measured?

    python intervals.py

Forecasts 52 weeks from every eighth week of those held out, and counts; then compares the errors
of the forecasts with those of a linear regression on the same windows, which trains on the same
weeks and runs week by week too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from series import MODEL, SCALE, WINDOW, Array, load, parts, paths, scaled

import fastdrop

WEEKS, EVERY = 52, 8
HORIZONS = ((1, 1), (2, 4), (5, 13), (14, 26), (27, 52))


def linear(values: Array, train: slice, history: Array) -> Array:
    """Return the forecasts of a linear regression, shape (WEEKS, histories)."""
    ends = np.arange(WINDOW, train.stop)
    x, level = scaled(np.stack([values[end - WINDOW : end] for end in ends]))
    weights = np.linalg.lstsq(x[..., 0], values[ends, np.newaxis] - level, rcond=None)[0]
    series = history
    for _ in range(WEEKS):
        x, level = scaled(series[:, -WINDOW:])
        series = np.concatenate([series, x[..., 0] @ weights + level], axis=1)
    return series[:, WINDOW:].T


def by_horizon(name: str, values: Array, form: str) -> None:
    """Print a figure of each week and start, averaged over the weeks of each horizon."""
    cells = (format(values[a - 1 : b].mean(), form) for a, b in HORIZONS)
    print(f"{name:32}" + "".join(f"{cell:>10}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the coverage of the intervals.")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--paths", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    _, values, errors = load()
    train, _, held_out = parts(len(values))
    model = fastdrop.load(args.model)
    starts = np.arange(held_out.start, held_out.stop - WEEKS + 1, EVERY)
    history = np.stack([values[start - WINDOW : start] for start in starts])
    truth = np.stack([values[start : start + WEEKS] for start in starts], axis=1)
    print(
        f"{len(starts)} forecasts of {WEEKS} weeks, {args.paths} paths each; SCALE is {SCALE} ppm"
    )
    print(f"{'weeks ahead':32}" + "".join(f"{f'{a} to {b}':>10}" for a, b in HORIZONS))
    repeated = np.repeat(history, args.paths, axis=0)
    for name, noise in (("dropout alone", None), ("dropout and errors", errors)):
        found = paths(model, repeated, WEEKS, args.seed, noise)
        found = found.reshape(WEEKS, len(starts), args.paths)
        low, high = np.quantile(found, [0.05, 0.95], axis=-1)
        by_horizon(f"{name}: inside 90 %", (low <= truth) & (truth <= high), ".1%")
        by_horizon(f"{name}: width, ppm", high - low, ".2f")
    by_horizon("mean of the paths: error, ppm", abs(found.mean(axis=-1) - truth), ".2f")
    by_horizon("linear regression: error, ppm", abs(linear(values, train, history) - truth), ".2f")


if __name__ == "__main__":
    main()

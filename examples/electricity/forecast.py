"""Forecast a day of electricity demand, and measure what the intervals hold.

    python forecast.py
    python forecast.py --plot demand.svg     # needs matplotlib

Two weeks calibrate, the two after them test. A forecast of 48 half hours begins with every half
hour. The raw interval is that of dropout's samples; the calibrated one is as many standard
deviations wide as the errors of the weeks that calibrate were, for each half hour ahead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from demand import DAY, MODEL, SCALE, Array, begins, days, load, parts, windows

import fastdrop
from fastdrop.calibration import calibrate

LEVEL = 0.9
HOURS = ((0, 1), (1, 3), (3, 6), (6, 12), (12, 24))


def by_hours(name: str, values: Array, form: str) -> None:
    """Print a figure of each forecast and half hour, averaged over the hours ahead."""
    ranges = [(2 * a, 2 * b) for a, b in HOURS] + [(0, DAY)]
    print(f"{name:27}" + "".join(f"{format(values[:, a:b].mean(), form):>9}" for a, b in ranges))


def by_time(name: str, values: Array, starts: npt.NDArray[np.int64]) -> None:
    """Print the same, averaged over times of day: which six hours a half hour lies in."""
    quarter = (starts[:, np.newaxis] + np.arange(DAY)) % DAY // 12
    print(f"{name:27}" + "".join(f"{values[quarter == n].mean():>9.1%}" for n in range(4)))


def plot(path: Path, when: Array, truth: Array, fan: Array, low: Array, high: Array) -> None:
    """Draw forecasts of whole days, one after another.

    Parameters
    ----------
    path : pathlib.Path
        The picture to write.
    when, truth, low, high : numpy.ndarray
        Half hours, demand, and the calibrated interval, shape (days, DAY).
    fan : numpy.ndarray
        Quantiles of the samples, from the outermost pair to the median, shape (5, days, DAY).
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "electricity"})
    from matplotlib import dates, pyplot

    figure, ax = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    bands = [
        (low, high, {"color": "C1", "alpha": 0.25, "label": "calibrated 90 %"}),
        (fan[0], fan[4], {"color": "C0", "alpha": 0.4, "label": "samples, 90 %"}),
        (fan[1], fan[3], {"color": "C0", "alpha": 0.5, "label": "samples, 50 %"}),
    ]
    for day, t in enumerate(when):
        for lower, upper, style in bands:
            ax.fill_between(t, lower[day] / 1000, upper[day] / 1000, lw=0, **style)
        ax.plot(t, truth[day] / 1000, color="black", lw=1, label="measured")
        if day == 0:
            ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.13), frameon=False)
    ax.set_ylabel("demand, GW")
    ax.set_xlim(when[0, 0], when[-1, -1])
    ax.xaxis.set_major_formatter(dates.DateFormatter("%a %d %b"))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast days of demand, with intervals.")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--every", type=int, default=1, help="half hours between two forecasts")
    parser.add_argument("--plot", type=Path, help="a picture to write, .svg or .png")
    parser.add_argument("--days", type=int, default=7, help="how many days to draw")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    when, demand = load()
    model = fastdrop.load(args.model)
    found, level, truth = {}, {}, {}
    for number, name in enumerate(("calibration", "test")):
        x, level[name] = windows(demand, parts()[name], args.every)
        truth[name] = days(demand, parts()[name], args.every)
        key = fastdrop.Key(args.seed).fold_in(number)
        found[name] = model.mc_predict(x, samples=args.samples, rng=key)
    # What the model says is in SCALE about a level: so is what it is to be compared with.
    y = (truth["calibration"] - level["calibration"]) / SCALE
    calibrated = calibrate(found["calibration"], y, level=LEVEL)
    p, level, truth = found["test"], level["test"], truth["test"]

    print(f"{len(y)} forecasts calibrate, {len(truth)} test, {args.samples} samples each")
    names = [f"{a} to {b}" for a, b in HOURS] + ["all"]
    print(f"{'hours ahead':27}" + "".join(f"{name:>9}" for name in names))
    by_hours("mean absolute error, MW", abs(p.mean * SCALE + level - truth), ".0f")
    inside = {}
    for name, interval in (
        ("raw 90 %", p.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2])),
        ("calibrated 90 %", calibrated.interval(p)),
    ):
        low, high = (side * SCALE + level for side in interval)
        inside[name] = (low <= truth) & (truth <= high)
        by_hours(f"{name}: holds", inside[name], ".1%")
        by_hours(f"{name}: width, MW", high - low, ".0f")
    print(f"{'hours of the day':27}" + "".join(f"{f'{a} to {a + 6}':>9}" for a in (0, 6, 12, 18)))
    starts = begins(parts()["test"], args.every)
    for name, holds in inside.items():
        by_time(f"{name}: holds", holds, starts)

    if args.plot is not None:
        part = slice(parts()["test"].start, parts()["test"].start + args.days * DAY)
        x, level = windows(demand, part, DAY)
        p = model.mc_predict(x, samples=args.samples, rng=args.seed)
        fan = p.quantile([0.05, 0.25, 0.5, 0.75, 0.95]) * SCALE + level
        low, high = (side * SCALE + level for side in calibrated.interval(p))
        half_hours = np.stack([when[start : start + DAY] for start in begins(part, DAY)])
        plot(args.plot, half_hours, days(demand, part, DAY), fan, low, high)


if __name__ == "__main__":
    main()

"""Forecast the carbon dioxide over Mauna Loa, and say how sure the forecast is.

    python forecast.py --start 2001-01-06
    python forecast.py --weeks 26            # beyond the end of the series

Each of many paths runs the model week by week, one network thinned by dropout a path, and adds to
each week an error that the model made on the weeks that validate. The mean of the paths is the
forecast; nine tenths of them lie in the interval. Where the series has the week, it is shown too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from series import MODEL, WINDOW, load, paths

import fastdrop


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast weeks of a series, with intervals.")
    parser.add_argument("--start", type=np.datetime64, help="the first week; after the last if not")
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--every", type=int, default=4, help="print every n-th week")
    parser.add_argument("--no-errors", action="store_true", help="let dropout alone spread")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--paths", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    weeks, values, errors = load()
    first = len(weeks) if args.start is None else int(np.searchsorted(weeks, args.start))
    if first < WINDOW:
        parser.error(f"--start: expected {weeks[WINDOW]} or later")
    model = fastdrop.load(args.model)
    history = np.tile(values[first - WINDOW : first], (args.paths, 1))
    found = paths(model, history, args.weeks, args.seed, None if args.no_errors else errors)
    low, high = np.quantile(found, [0.05, 0.95], axis=1)
    print(f"{'week':11} {'ppm':>7}  {'std':>5}  {'90 % interval':17} {'measured':>8}")
    for n in range(args.every - 1, args.weeks, args.every):
        week = weeks[0] + np.timedelta64(7, "D") * (first + n)
        known = f"{values[first + n]:8.1f}" if first + n < len(values) else ""
        line = f"{week!s:11} {found[n].mean():7.1f}  {found[n].std():5.2f}  "
        print(f"{line}{low[n]:.1f} to {high[n]:.1f}    {known}".rstrip())


if __name__ == "__main__":
    main()

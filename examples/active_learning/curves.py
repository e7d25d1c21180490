"""Print and draw what came of the experiment, from the figures that were kept.

    python curves.py
    python curves.py --plot curves.svg    # needs matplotlib

A band, and what stands behind ±, is the mean's standard error over the seeds, twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from words import CURVES

Array = npt.NDArray[np.float64]

WAYS = ("random", "bald")
MEASURES = {"accuracy": "accuracy", "f1": "F1 of spam"}


def mean_and_band(values: Array) -> tuple[Array, Array]:
    """Return the mean over seeds, the first axis, and twice its standard error."""
    return values.mean(axis=0), 2 * values.std(axis=0, ddof=1) / np.sqrt(len(values))


def plot(path: Path, curves: dict[str, Array]) -> None:
    """Draw the curves of both measures, with their bands."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "curves"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for ax, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        for way, label in zip(WAYS, ("chosen at random", "chosen by BALD"), strict=True):
            mean, band = mean_and_band(curves[f"{way}_{measure}"])
            ax.plot(curves["labels"], mean, label=label)
            ax.fill_between(curves["labels"], mean - band, mean + band, alpha=0.25, lw=0)
        ax.set_xlabel("labels")
        ax.set_ylabel(f"{name}, held out")
        ax.grid(alpha=0.3)
    axes[0].legend(loc="lower right", frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Show the learning curves.")
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--every", type=int, default=3, help="print every n-th round")
    parser.add_argument("--plot", type=Path, help="a picture to write, .svg or .png")
    args = parser.parse_args()

    with np.load(args.curves) as file:
        curves = dict(file)
    print(f"{len(curves['bald_f1'])} seeds; by number of labels, chosen at random and by BALD")
    for measure, name in MEASURES.items():
        print(f"{name:10} {'random':>8} {'BALD':>8} {'BALD - random':>17}   spam labelled")
        random, bald = (curves[f"{way}_{measure}"] for way in WAYS)
        difference, band = mean_and_band(bald - random)
        spam = [curves[f"{way}_spam"].mean(axis=0) for way in WAYS]
        for n in range(0, len(curves["labels"]), args.every):
            line = f"{curves['labels'][n]:>10} {random[:, n].mean():8.3f} {bald[:, n].mean():8.3f} "
            line += f"{difference[n]:+9.3f} ± {band[n]:.3f}"
            print(f"{line}   {spam[0][n]:.1f}, {spam[1][n]:.1f}")
        over = (bald - random)[:, 1:].mean(axis=1)  # before the first choice both are the same
        mean, error = mean_and_band(over)
        print(f"all rounds after the first: {mean:+.3f} ± {error:.3f}, ", end="")
        print(f"above 0 for {(over > 0).sum()} of {len(over)} seeds")
    if args.plot is not None:
        plot(args.plot, curves)


if __name__ == "__main__":
    main()

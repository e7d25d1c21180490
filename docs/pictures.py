"""Draw the pictures of the guides and of the README: `python docs/pictures.py`.

Every mask is one that fastdrop draws, and every forecast one that a model of `examples/` makes.
Nothing lies behind a picture, and its greys can be read on a light page and on a dark one.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

import fastdrop as fd

Array = NDArray[Any]

DOCS = FilePath(__file__).parent
EXAMPLES = DOCS.parent / "examples"
GREY = "#7d8288"
KEPT, DROPPED = "#3b8ac4", "#cc6a0c"
GATES = "ifco"
SQUARE = np.array([(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94), (0.06, 0.06)])
STROKE = np.array([(0.3, 0.3), (0.7, 0.7)])
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fastdrop",
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.titlesize": 9.5,
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.labelcolor": GREY,
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
}


def cells(ax: Axes, dropped: Array, numbers: Array | None = None) -> None:
    """Draw a mask, shape (columns, lines), as cells: dropped ones are struck out too."""
    columns, lines = dropped.shape
    for gone, colour in ((False, KEPT), (True, DROPPED)):
        # One path for all cells of a colour: a file of a path each would be ten times as large.
        places = np.argwhere(dropped == gone)
        if len(places):
            squares = Path.make_compound_path(
                *(Path(place + SQUARE, closed=True) for place in places)
            )
            ax.add_patch(PathPatch(squares, facecolor=colour, edgecolor="none"))
    if numbers is None:
        strokes = [Path(place + STROKE) for place in np.argwhere(dropped)]
        if strokes:
            stroke = {"edgecolor": "white", "lw": 1, "fill": False}
            ax.add_patch(PathPatch(Path.make_compound_path(*strokes), **stroke))
    else:
        text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": "white"}
        for (i, j), number in np.ndenumerate(numbers):
            ax.text(i + 0.5, j + 0.52, number, **text)
    ax.set(xlim=(0, columns), ylim=(lines, 0), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def dropout_where() -> plt.Figure:
    """What four ways of dropping take out of a sequence, for each gate of an LSTM."""
    steps, features, rate = 10, 5, 0.3
    # A seed whose masks drop about as many as they do on average.
    everywhere, channels, gates = fd.Key(114).split(3)
    ones = np.ones((1, steps, features))
    every = np.broadcast_to(fd.dropout(ones, rate, rng=everywhere)[0] == 0, (4, steps, features))
    spatial = fd.spatial_dropout1d(ones, rate, rng=channels)[0] == 0
    spatial = np.broadcast_to(spatial, (4, steps, features))
    inputs, units = (
        fd.bernoulli(rate, (4, features), rng=gates, stream=site << 32) for site in (0, 1)
    )
    constant = [np.repeat(mask[:, np.newaxis], steps, axis=1) for mask in (inputs, units)]
    titles = (
        "Dropout after Embedding\nnew at each step",
        "SpatialDropout1D\nfeatures, for all steps",
        "LSTM(dropout=)\nfeatures, by gate*",
        "LSTM(recurrent_dropout=)\nunits of h, by gate*",
    )
    figure, axes = plt.subplots(4, 4, figsize=(8, 5))
    for column, (title, masks) in enumerate(zip(titles, (every, spatial, *constant), strict=True)):
        axes[0, column].set_title(title)
        for line, (gate, mask) in enumerate(zip(GATES, masks, strict=True)):
            cells(axes[line, column], mask)
            if column == 0:
                axes[line, 0].set_ylabel(f"gate {gate}", fontsize=10)
        axes[3, column].set_xlabel(f"{'units' if column == 3 else 'features'} ↓   time →")
    figure.supxlabel(
        "orange: dropped, blue: kept, rate 0.3.   * a mask for each gate where "
        "recurrent_dropout > 0, else one for all",
        fontsize=9,
        color=GREY,
    )
    return figure


def recurrent_masks() -> plt.Figure:
    """The masks of each scheme and scope, with the numbers of their elements."""
    width, rate, key = 5, 0.4, fd.Key(1)
    gates = [f"gate {gate}" for gate in GATES]
    kinds = {
        '"per_gate"': (gates, 4 * width),
        '"tied"': (["all gates"], width),
        '"per_step"': ([f"step {t}" for t in range(4)], 2**24 * width),
        '"per_gate", "shared"': (gates, 0),
    }
    figure, axes = plt.subplots(2, 4, figsize=(8, 3.7))
    for column, (title, (lines, stride)) in enumerate(kinds.items()):
        axes[0, column].set_title(title)
        for row, ax in enumerate(axes[:, column]):
            first, shape = row * stride, (len(lines), width)
            dropped = fd.bernoulli(rate, shape, rng=key, offset=first)
            far = first > 1000
            numbers = np.arange(dropped.size).reshape(shape) + (0 if far else first)
            text = np.char.add("+" if far else "", numbers.astype(str))
            cells(ax, dropped.T, text.T)
            ax.set_yticks(np.arange(len(lines)) + 0.5, lines, fontsize=9)
            ax.tick_params(length=0)
            if far:
                ax.set_xlabel(f"counted from {first:,} = {width} · 2^24", fontsize=9)
            if column == 0:
                place = {"rotation": 90, "va": "center", "ha": "center", "fontsize": 10.5}
                ax.text(-0.5, 0.5, f"row {row}", transform=ax.transAxes, **place)
    note = "numbers of elements, 5 features or units; orange: dropped, blue: kept"
    figure.supxlabel(note, fontsize=9, color=GREY)
    return figure


def fan() -> plt.Figure:
    """A day's forecast of electricity demand: the first one of the weeks that test."""
    sys.path.insert(0, str(EXAMPLES / "electricity"))
    series = importlib.import_module("demand")

    when, demand = series.load()
    model = fd.load(series.MODEL)
    x, level = series.windows(demand, series.parts()["calibration"])
    y = (series.days(demand, series.parts()["calibration"]) - level) / series.SCALE
    learnt = fd.calibration.calibrate(model.mc_predict(x, rng=fd.Key(0).fold_in(0)), y)
    start = series.parts()["test"].start
    x, level = series.windows(demand, slice(start, start + 48))
    p = model.mc_predict(x, rng=fd.Key(0).fold_in(1))
    day, before = slice(start, start + 48), slice(start - 72, start + 48)
    figure, ax = plt.subplots(figsize=(8, 3))
    for (low, high), colour, strength, label in (
        (learnt.interval(p), DROPPED, 0.25, "90 %, calibrated"),
        (p.interval(0.9), KEPT, 0.4, "90 % of the samples"),
        (p.interval(0.5), KEPT, 0.5, "50 % of the samples"),
    ):
        low, high = ((end[0] * series.SCALE + level[0]) / 1000 for end in (low, high))
        ax.fill_between(when[day], low, high, color=colour, alpha=strength, lw=0, label=label)
    ax.plot(when[day], (p.mean[0] * series.SCALE + level[0]) / 1000, color=KEPT, label="mean")
    ax.plot(when[before], demand[before] / 1000, color=GREY, lw=1.6, label="measured")
    ax.axvline(when[start], color=GREY, lw=0.8, ls=":")
    ax.set(ylabel="demand, GW", xlim=(when[before][0], when[before][-1]))
    ax.xaxis.set_major_locator(dates.HourLocator((0, 12)))
    ax.xaxis.set_major_formatter(dates.DateFormatter("%a %H:%M"))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", frameon=False, fontsize=9)
    return figure


PICTURES: dict[str, Callable[[], plt.Figure]] = {
    "guides/dropout_where.svg": dropout_where,
    "guides/recurrent_masks.svg": recurrent_masks,
    "fan.svg": fan,
}


def main() -> None:
    mpl.rcParams.update(STYLE)
    for name, draw in PICTURES.items():
        figure = draw()
        figure.savefig(DOCS / name, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()

"""Pictures of predictions."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.uncertainty._tables import names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastdrop.uncertainty._prediction import Prediction

Array = NDArray[Any]
# Of the lines that show intervals, in points, from the widest interval to the narrowest.
_THIN, _THICK = 1.2, 4.5
# How much of its colour the widest band has, the narrowest, and a bar.
_PALE, _DEEP = 0.18, 0.45
# Between a bar and the mark above it, of a probability.
_GAP = 0.03


def plot(
    p: "Prediction",
    ax: "Axes | None",
    row: int | None,
    output: int | None,
    levels: float | Sequence[float],
    interval: object,
    y: object,
) -> "Axes":
    try:
        from matplotlib.axes import Axes
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise _check.missing("plot", "matplotlib", "plot") from error
    if ax is not None and not isinstance(ax, Axes):
        _check.refuse(TypeError, "ax", "None or matplotlib Axes", ax)
    drawn = _Drawn(p, row, output, _levels(levels), _interval(interval, p.mean.shape))
    seen = None if y is None else drawn.observed(y)
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots()[1]
    drawn.draw(ax)
    if seen is not None:
        drawn.draw_observed(ax, seen)
    ax.set_xlabel(drawn.xlabel)
    if p.kind != "regression":
        ax.set_ylabel("probability")
    if drawn.title:
        ax.set_title(drawn.title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def _levels(levels: object) -> list[float]:
    """Return the shares of the samples to show, the greatest first."""
    given = _check.probabilities(levels, "levels")
    if given.ndim > 1:
        _check.refuse(ValueError, "levels", "a sequence of probabilities", levels)
    return sorted({*given.reshape(-1).tolist()}, reverse=True)


def _interval(value: object, shape: tuple[int, ...]) -> tuple[Array, Array] | None:
    """Return both ends of an interval that was given."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        _check.refuse(TypeError, "interval", "a pair (low, high) of arrays", value)
    low, high = (
        _check.shaped(_check.array(end, f"interval {name}", _check.NUMBERS), "interval", shape)
        for name, end in zip(("low", "high"), value, strict=True)
    )
    return low, high


class _Drawn:
    """The numbers that are shown, along one axis, and how."""

    def __init__(
        self,
        p: "Prediction",
        row: int | None,
        output: int | None,
        levels: list[float],
        interval: tuple[Array, Array] | None,
    ) -> None:
        self.kind = p.kind
        self.shape = p.mean.shape
        self.labels = [f"{100 * level:.4g} % of samples" for level in levels]
        rows, axes = self.shape[0], len(self.shape) - 1
        if not p.mean.size:
            _check.refuse(ValueError, "plot", "a prediction of a number or more", p.mean)
        names = names_of(p)
        # An axis of outputs beside that of time, of which one is shown.
        self.chosen = axes == 2
        if axes > 2:
            expected = "outputs of at most two axes, time and outputs"
            _check.refuse(ValueError, "plot", expected, p.mean)
        if output is not None and not self.chosen:
            expected = "None where outputs have no axis besides that of time"
            _check.refuse(ValueError, "output", expected, output)
        self.output = 0
        if self.chosen:
            count = self.shape[2]
            what = f"the number of the {names[1]} to show, an integer"
            if output is None and count > 1:
                _check.refuse(ValueError, "output", f"{what} in [0, {count})", output)
            self.output = _check.integer(output or 0, "output", 0, count, what)
        # Along the rows, where each has one number.
        self.bars = self.kind == "multiclass" and not self.chosen
        self.along_rows = axes < 2 and not self.bars and p.mean[0].size == 1
        self.row = None if self.along_rows and row is None else 0
        if row is not None:
            self.row = _check.integer(row, "row", 0, rows, "the number of a row, an integer")
        bounds = [[(1 - level) / 2, (1 + level) / 2] for level in levels]
        shown: Any = p.quantile(np.reshape(bounds, (-1, 2)))
        if interval is not None:
            shown, self.labels = [interval], ["interval"]
        self.mean = self._taken(p.mean)
        self.bands = [(self._taken(low), self._taken(high)) for low, high in shown]
        first = p._row_offset + (self.row or 0)
        self.xlabel = "row" if self.along_rows else names[0]
        start = first if self.along_rows else 0
        self.x = start + np.arange(len(self.mean))
        self.title = "" if self.row is None or rows == 1 or self.along_rows else f"row {first}"
        if self.chosen and self.shape[2] > 1:
            self.title = ", ".join(filter(None, [self.title, f"{names[1]} {self.output}"]))

    def _taken(self, values: Array) -> Array:
        """Return what is shown of an array shaped like the mean."""
        return self._of_row(values if self.row is None else values[self.row])

    def _of_row(self, values: Array) -> Array:
        return (values[..., self.output] if self.chosen else values).reshape(-1)

    def observed(self, y: object) -> Array:
        """Return what came, in the places of what is shown; of bars the class."""
        given = _check.array(y, "y", (*_check.NUMBERS, "bool"))
        if self.bars or (self.kind == "multiclass" and self.chosen):
            return self._classes(given)
        if self.along_rows and given.shape == self.shape[:1]:
            given = given.reshape(self.shape)
        if given.shape == self.shape:
            return self._taken(given)
        if self.row is not None and given.shape == self.shape[1:]:
            return self._of_row(given)
        if given.shape != self.mean.shape:
            expected = f"an array of shape {self.shape} or {self.mean.shape}"
            _check.refuse(ValueError, "y", expected, given)
        return given

    def _classes(self, given: Array) -> Array:
        assert self.row is not None
        lead = self.shape[:-1]
        if given.dtype.kind not in "iu":
            _check.refuse(TypeError, "y", "numbers of classes, integers", given)
        if given.shape == lead:
            given = given[self.row]
        if given.shape != lead[1:]:
            _check.refuse(ValueError, "y", f"classes of shape {lead} or {lead[1:]}", given)
        if ((given < 0) | (given >= self.shape[-1])).any():
            _check.refuse(ValueError, "y", f"classes in [0, {self.shape[-1]})", given)
        return given.reshape(-1)

    def draw(self, ax: "Axes") -> None:
        if self.bars:
            ax.bar(self.x, self.mean, alpha=_DEEP, label="mean")
            self._lines(ax, _ink())
        elif self.along_rows or len(self.x) == 1:
            (line,) = ax.plot(self.x, self.mean, "o", label="mean", zorder=3)
            line.set_markerfacecolor(ax.get_facecolor())  # to be seen on an interval
            self._lines(ax, line.get_color())
        else:
            (line,) = ax.plot(self.x, self.mean, label="mean", zorder=3)
            style: dict[str, Any] = {"color": line.get_color(), "lw": 0}
            for alpha, label, (low, high) in self._bands(_PALE, _DEEP):
                ax.fill_between(self.x, low, high, alpha=alpha, label=label, **style)

    def _lines(self, ax: "Axes", colour: Any) -> None:
        """Draw intervals as upright lines, the narrower the thicker."""
        for width, label, (low, high) in self._bands(_THIN, _THICK):
            ax.vlines(self.x, low, high, colors=colour, lw=width, label=label)

    def _bands(self, first: float, last: float) -> Iterator[tuple[float, str, tuple[Array, Array]]]:
        """Return the intervals from the widest to the narrowest, each with a number between."""
        between = np.linspace(first, last, max(len(self.labels), 2)).tolist()
        yield from zip(between, self.labels, self.bands, strict=False)

    def draw_observed(self, ax: "Axes", y: Array) -> None:
        style: dict[str, Any] = {"color": _ink(), "label": "observed", "zorder": 4}
        if self.bars:  # above all that is drawn of the class
            tops = np.max([self.mean, *(high for _, high in self.bands)], axis=0)
            ax.plot(y, tops[y] + _GAP, "v", **style)
        elif self.kind == "multiclass":
            ax.plot(self.x, y == self.output, "x", **style)
        elif self.along_rows or len(self.x) == 1:
            ax.plot(self.x, y.reshape(-1), "x", **style)
        else:
            ax.plot(self.x, y.reshape(-1), ".--", lw=1, **style)


def _ink() -> Any:
    """Return the colour of what is written."""
    from matplotlib import rcParams

    return rcParams["text.color"]

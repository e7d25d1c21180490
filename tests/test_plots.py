"""Pictures of predictions: what is drawn is what was asked for, at the places of its numbers."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastdrop as fd

pytest.importorskip("matplotlib", reason="matplotlib is not installed: the extra `plot`")

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    mpl.use("Agg")
    yield
    plt.close("all")


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).random(shape)


def distributions(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).dirichlet(np.ones(shape[-1]), shape[:-1])


def lines(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    found = {}
    for line in ax.lines:
        found[str(line.get_label())] = (list(line.get_xdata()), list(line.get_ydata()))
    return found


def bands(ax: Axes) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return places, lower and upper ends of bands and of upright lines."""
    found = {}
    for artist in ax.collections:
        if isinstance(artist, LineCollection):
            segments = np.array(artist.get_segments())
            x, low, high = segments[:, 0, 0], segments[:, 0, 1], segments[:, 1, 1]
        else:
            assert isinstance(artist, PolyCollection)
            points = artist.get_paths()[0].vertices
            x = np.unique(points[:, 0])
            low = np.array([points[points[:, 0] == one, 1].min() for one in x])
            high = np.array([points[points[:, 0] == one, 1].max() for one in x])
        found[str(artist.get_label())] = (x, low, high)
    return found


def is_of(ax: Axes, values: np.ndarray, x: np.ndarray, levels: tuple[float, ...]) -> None:
    """Check bands of samples (samples, places) of some levels."""
    found = bands(ax)
    assert list(found) == [f"{100 * level:g} % of samples" for level in levels]
    for level, (places, low, high) in zip(levels, found.values(), strict=True):
        assert np.array_equal(places, x)
        ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
        np.testing.assert_allclose([low, high], ends, rtol=1e-12)


# ---- sequences ----


@pytest.mark.parametrize("row", [None, 0, 2])
@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_a_fan_of_a_sequence(shape: tuple[int, ...], row: int | None) -> None:
    values = samples(40, 3, *shape)
    ax = fd.Prediction.from_samples(values, row_offset=7).plot(row=row)
    mine = values[:, row or 0].reshape(40, 12)
    x, mean = lines(ax)["mean"]
    assert x == list(range(12))
    np.testing.assert_allclose(mean, mine.mean(axis=0), rtol=1e-12)
    is_of(ax, mine, np.arange(12), (0.9, 0.5))
    assert all(isinstance(artist, PolyCollection) for artist in ax.collections)
    assert ax.get_title() == f"row {7 + (row or 0)}"
    assert ax.get_xlabel() == ("output" if len(shape) == 1 else "time")
    assert ax.get_ylabel() == ""


def test_a_fan_of_one_of_several_outputs() -> None:
    values = samples(40, 2, 12, 3)
    p = fd.Prediction.from_samples(values)
    ax = p.plot(row=1, output=2)
    is_of(ax, values[:, 1, :, 2], np.arange(12), (0.9, 0.5))
    assert ax.get_title() == "row 1, output 2"
    for output, found in ((None, "None"), (3, "3 "), (-1, "-1")):
        with pytest.raises((ValueError, TypeError), match=rf"^output: .* in \[0, 3\), got {found}"):
            p.plot(output=output)
    ax = fd.Prediction.from_samples(values[:, :1]).plot(output=0)
    assert ax.get_title() == "output 0"


def test_a_fan_of_the_probability_of_a_class() -> None:
    values = distributions(40, 2, 12, 3)
    p = fd.Prediction.from_samples(values, "multiclass")
    labels = np.random.default_rng(0).integers(0, 3, (2, 12))
    ax = p.plot(row=1, output=2, y=labels)
    is_of(ax, values[:, 1, :, 2], np.arange(12), (0.9, 0.5))
    assert ax.get_title() == "row 1, class 2"
    assert lines(ax)["observed"] == ([*range(12)], [*(labels[1] == 2)])
    assert ax.get_ylabel() == "probability"


def test_a_sequence_of_one_step_can_be_seen() -> None:
    values = samples(40, 2, 1, 3)
    ax = fd.Prediction.from_samples(values).plot(output=1)
    is_of(ax, values[:, 0, :, 1], np.array([0]), (0.9, 0.5))
    assert all(isinstance(artist, LineCollection) for artist in ax.collections)


# ---- rows ----


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_intervals_of_rows(kind: str, shape: tuple[int, ...]) -> None:
    values = samples(40, 5, *shape)
    y = np.arange(5.0)
    for given in (y, y.reshape(5, *shape), y.tolist()):
        ax = fd.Prediction.from_samples(values, kind, row_offset=3).plot(
            levels=[0.25, 0.8, 0.5], y=given
        )
        is_of(ax, values.reshape(40, 5), np.arange(3, 8), (0.8, 0.5, 0.25))
        assert lines(ax)["observed"] == ([3, 4, 5, 6, 7], y.tolist())
        assert lines(ax)["mean"][0] == [3, 4, 5, 6, 7]
    widths = [artist.get_linewidth()[0] for artist in ax.collections]
    assert widths == sorted(widths)
    assert len({*widths}) == 3
    assert (ax.get_xlabel(), ax.get_title()) == ("row", "")
    assert ax.get_ylabel() == ("probability" if kind == "binary" else "")


def test_the_interval_of_one_row() -> None:
    values = samples(40, 5, 1)
    p = fd.Prediction.from_samples(values, row_offset=3)
    for y in ([9.0], [[0.0], [1.0], [2.0], [3.0], [9.0]], [0.0, 1.0, 2.0, 3.0, 9.0]):
        ax = p.plot(row=4, y=y)
        is_of(ax, values[:, 4], np.array([7]), (0.9, 0.5))
        assert lines(ax)["observed"] == ([7], [9.0])


# ---- classes ----


@pytest.mark.parametrize("row", [None, 1])
def test_bars_of_classes(row: int | None) -> None:
    values = distributions(40, 3, 4)
    p = fd.Prediction.from_samples(values, "multiclass")
    for y in ([3, 2, 1], 3 - (row or 0)):
        ax = p.plot(row=row, y=y)
        mine = values[:, row or 0]
        heights = [patch.get_height() for patch in ax.patches]
        np.testing.assert_allclose(heights, mine.mean(axis=0), rtol=1e-12)
        is_of(ax, mine, np.arange(4), (0.9, 0.5))
        (place,), (height,) = lines(ax)["observed"]
        assert place == 3 - (row or 0)
        above = height - np.quantile(mine[:, place], 0.95)
        assert 0.01 < above < 0.1  # apart from the interval, and near enough to belong to it
        assert ax.get_title() == f"row {row or 0}"
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("class", "probability")


# ---- what really came ----


def test_what_came_in_every_shape() -> None:
    p = fd.Prediction.from_samples(samples(40, 3, 12, 2))
    y = samples(3, 12, 2)
    y[2, 4] = np.nan  # was not seen
    for given in (y, y[2], y[2, :, 1]):
        x, found = lines(p.plot(row=2, output=1, y=given))["observed"]
        assert x == list(range(12))
        np.testing.assert_array_equal(found, y[2, :, 1])


@pytest.mark.parametrize(
    ("kind", "y", "error", "found"),
    [
        ("regression", np.zeros(11), ValueError, r"shape \(3, 12\) or \(12,\), got float64 array"),
        ("regression", np.zeros((2, 12)), ValueError, r"shape \(3, 12\) or \(12,\)"),
        ("regression", "a", TypeError, "an array of"),
        ("regression", np.zeros(12, object), TypeError, "an array of"),
        ("multiclass", np.zeros(3), TypeError, "numbers of classes, integers, got"),
        ("multiclass", [0, 1], ValueError, r"classes of shape \(3,\) or \(\), got"),
        ("multiclass", [12, 0, 0], ValueError, r"classes in \[0, 12\), got"),
        ("multiclass", -1, ValueError, r"classes in \[0, 12\), got"),
    ],
)
def test_what_cannot_have_come(kind: str, y: Any, error: type[Exception], found: str) -> None:
    p = fd.Prediction.from_samples(distributions(40, 3, 12), kind)
    with pytest.raises(error, match=f"^y: .*{found}"):
        p.plot(y=y)
    assert not plt.get_fignums()


# ---- axes and styles ----


def test_axes_are_those_given_or_new() -> None:
    p = fd.Prediction.from_samples(samples(40, 3))
    figure, axes = plt.subplots(2)
    assert p.plot(axes[1]) is axes[1]
    assert not axes[0].has_data()
    assert plt.get_fignums() == [figure.number]
    assert p.plot() not in axes
    assert len(plt.get_fignums()) == 2


def test_no_style_is_changed() -> None:
    before = dict(mpl.rcParams)
    fd.Prediction.from_samples(samples(40, 3, 12)).plot(y=samples(12)).figure.canvas.draw()
    assert dict(mpl.rcParams) == before


def test_a_style_is_kept() -> None:
    """What came is to be seen on a dark background too."""
    with plt.style.context("dark_background"):
        ax = fd.Prediction.from_samples(samples(40, 3, 12)).plot(y=samples(12))
        seen = next(line for line in ax.lines if line.get_label() == "observed")
    assert to_rgb(seen.get_color()) == (1, 1, 1)


def test_bands_differ_without_colour() -> None:
    ax = fd.Prediction.from_samples(samples(40, 3, 12)).plot(levels=[0.5, 0.9, 0.99])
    shares = [artist.get_alpha() for artist in ax.collections]
    assert shares == sorted(shares)
    assert len({*shares}) == 3
    # A band ends where its interval does: a line around it would make it wider.
    assert [list(artist.get_linewidth()) for artist in ax.collections] == [[0]] * 3


def test_the_legend_names_all() -> None:
    ax = fd.Prediction.from_samples(samples(40, 3, 12)).plot(levels=[0.9], y=samples(12))
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["mean", "90 % of samples", "observed"]
    ax = fd.Prediction.from_samples(samples(40, 1, 12)).plot(levels=[])
    assert [str(line.get_label()) for line in ax.lines] == ["mean"]
    assert not ax.collections
    assert ax.get_title() == ""


@pytest.mark.parametrize(
    ("options", "error", "found"),
    [
        ({"ax": 3}, TypeError, "ax: expected None or matplotlib Axes, got 3"),
        ({"row": 3}, ValueError, r"row: expected the number of a row, an integer in \[0, 3\)"),
        ({"row": -1}, ValueError, "row: expected"),
        ({"row": 1.0}, TypeError, "row: expected"),
        ({"row": True}, TypeError, "row: expected"),
        ({"output": 0}, ValueError, "output: expected None where"),
        ({"levels": [1.5]}, ValueError, r"levels: expected probabilities in \[0, 1\]"),
        ({"levels": [[0.5]]}, ValueError, "levels: expected a sequence of probabilities"),
        ({"levels": "90"}, TypeError, "levels: expected"),
    ],
)
def test_what_cannot_be_drawn(options: Any, error: type[Exception], found: str) -> None:
    p = fd.Prediction.from_samples(samples(40, 3, 12))
    with pytest.raises(error, match=f"^{found}"):
        p.plot(**options)
    assert not plt.get_fignums()


@pytest.mark.parametrize("shape", [(0, 3), (0,), (3, 0)])
def test_nothing_to_draw(shape: tuple[int, ...]) -> None:
    p = fd.Prediction.from_samples(samples(40, *shape))
    with pytest.raises(ValueError, match=r"^plot: expected a prediction of a number or more"):
        p.plot()


def test_too_many_axes() -> None:
    p = fd.Prediction.from_samples(samples(40, 3, 2, 2, 2))
    with pytest.raises(ValueError, match=r"^plot: expected outputs of at most two axes"):
        p.plot()


def test_means_are_seen_on_their_intervals() -> None:
    """In the colour of the background, for the lines have the same as their marks."""
    ax = fd.Prediction.from_samples(samples(40, 3)).plot()
    (marks,) = ax.lines
    assert to_rgb(marks.get_markerfacecolor()) == to_rgb(ax.get_facecolor())


def test_there_is_nothing_between_two_rows() -> None:
    for values, kind in (
        (samples(40, 2), "regression"),
        (samples(40, 1, 2), "regression"),
        (distributions(40, 1, 2), "multiclass"),
    ):
        ax = fd.Prediction.from_samples(values, kind).plot()
        assert all(tick == round(tick) for tick in ax.get_xticks())


def test_a_single_level() -> None:
    values = samples(40, 3, 12)
    ax = fd.Prediction.from_samples(values).plot(levels=0.8)
    is_of(ax, values[:, 0], np.arange(12), (0.8,))


def test_what_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ImportError, match=r'^plot: .* pip install "fastdrop-rnn\[plot\]"$'):
        fd.Prediction.from_samples(samples(40, 3)).plot()


def test_an_interval_of_ones_own() -> None:
    """In place of the samples' own: its ends are those of the band, or of the lines."""
    p = fd.Prediction.from_samples(samples(20, 3, 5))
    low, high = p.mean - 0.1, p.mean + 0.3
    ax = p.plot(row=1, interval=(low, high))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mean", "interval"]
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert np.isclose(corners[:, 1].min(), low[1].min())
    assert np.isclose(corners[:, 1].max(), high[1].max())
    alone = fd.Prediction.from_samples(samples(20, 4, 1))
    (lines,) = alone.plot(interval=(alone.mean - 1, alone.mean + 2)).collections
    ends = np.array([segment[:, 1] for segment in lines.get_segments()])
    np.testing.assert_allclose(ends, np.hstack([alone.mean - 1, alone.mean + 2]))
    for wrong in (low, (low,), (low, high, high), (low[0], high[0]), ("a", "b")):
        with pytest.raises((TypeError, ValueError), match="interval"):
            p.plot(interval=wrong)

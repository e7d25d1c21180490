"""The forecaster of electricity demand: against Keras's outputs kept beside it, and its scripts."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from example_scripts import run_in
from tolerances import FLOAT32, assert_close

EXAMPLE = Path(__file__).parents[1] / "examples" / "electricity"
run = partial(run_in, EXAMPLE)
MODEL = EXAMPLE / "demand.keras"


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(EXAMPLE / "reference.npz") as file:
        return dict(file)


def test_predict_is_keras(backend: str, reference: dict[str, np.ndarray]) -> None:
    assert_close(fd.load(MODEL).predict(reference["x"]), reference["predict"], FLOAT32)


def test_samples_are_distributed_as_keras_draws_them(reference: dict[str, np.ndarray]) -> None:
    samples, passes = 2000, int(reference["passes"])
    p = fd.load(MODEL).mc_predict(reference["x"], samples=samples, rng=1)
    variance = reference["variance"]
    z = (p.mean - reference["mean"]) / np.sqrt(variance * (1 / samples + 1 / passes))
    assert np.abs(z).max() < 5
    np.testing.assert_allclose(p.std**2, variance, rtol=0.25)


def script(arguments: str) -> list[str]:
    return run(
        f"sys.argv[1:] = '{arguments}'.split(); import forecast; forecast.main()"
    ).splitlines()


def test_nothing_is_seen_before_its_time() -> None:
    """Of a series that counts half hours, each window ends where its day begins."""
    code = """
from demand import *
when, demand = load()
assert str(when[0]) == "2000-06-05T00:00" and str(when[-1]) == "2000-08-27T23:30"
assert len(demand) == 12 * 336 and demand[:3].tolist() == [22262, 21756, 22247]
order = np.arange(len(demand), dtype=float)
stop = 0
for part in parts().values():
    assert part.start == stop
    stop = part.stop
    x, level = windows(order, part)
    y = days(order, part)
    seen = x.reshape(len(x), -1) * SCALE + level
    assert abs(seen[:, -1] - (y[:, 0] - 1)).max() < 0.01
    assert abs(np.diff(seen, axis=1) - 1).max() < 0.01 and (np.diff(y, axis=1) == 1).all()
    assert seen.shape == (len(y), 7 * 48) and y.shape[1] == 48
    assert y.min() >= part.start and y.max() == part.stop - 1
    assert (y[:, 0] == begins(part)).all() and (np.diff(begins(part, 5)) == 5).all()
print(stop)
"""
    assert run(code) == "4032\n"


def test_the_script_says_what_the_intervals_hold() -> None:
    """Against split conformal prediction written out: the k-th smallest score of each half hour."""
    with np.load(EXAMPLE / "demand.npz") as file:
        series = file["demand"].astype(np.float64)
    model = fd.load(MODEL)

    def forecasts(weeks: range, number: int) -> tuple[fd.Prediction, np.ndarray, np.ndarray]:
        first, last = weeks.start * 336, weeks.stop * 336 - 48
        starts = range(first, last + 1, 12)
        level = np.array([[series[n - 336 : n].mean()] for n in starts])
        x = np.array([series[n - 336 : n].reshape(7, 48) for n in starts]) - level[:, np.newaxis]
        p = model.mc_predict((x / 5000).astype(np.float32), 50, rng=fd.Key(3).fold_in(number))
        return p, level, np.array([series[n : n + 48] for n in starts])

    p, level, truth = forecasts(range(8, 10), 0)
    scores = np.sort(np.abs((truth - level) / 5000 - p.mean) / p.std, axis=0)
    score = scores[math.ceil(0.9 * (len(scores) + 1)) - 1]
    p, level, truth = forecasts(range(10, 12), 1)
    inside = np.abs((truth - level) / 5000 - p.mean) <= score * p.std
    low, high = p.quantile([0.05, 0.95]) * 5000 + level
    raw = (low <= truth) & (truth <= high)

    first, *lines = script("--samples 50 --every 12 --seed 3")
    assert first == "53 forecasts calibrate, 53 test, 50 samples each"
    printed = {line[:27].rstrip(): line[27:].split() for line in lines[:6]}
    hours = [slice(0, 2), slice(2, 6), slice(6, 12), slice(12, 24), slice(24, 48), slice(0, 48)]
    for name, values, form in (
        ("raw 90 %: holds", raw, ".1%"),
        ("raw 90 %: width, MW", high - low, ".0f"),
        ("calibrated 90 %: holds", inside, ".1%"),
        ("calibrated 90 %: width, MW", 10000 * score * p.std, ".0f"),
        ("mean absolute error, MW", abs(p.mean * 5000 + level - truth), ".0f"),
    ):
        assert printed[name] == [format(values[:, some].mean(), form) for some in hours]
    # Forecasts begin at 0, 6, 12 and 18 o'clock: 12 half hours of each day lie in each quarter.
    quarter = (np.arange(53)[:, np.newaxis] + np.arange(48) // 12) % 4
    for line, values in zip(lines[7:], (raw, inside), strict=True):
        assert line[27:].split() == [f"{values[quarter == n].mean():.1%}" for n in range(4)]


@pytest.mark.live
def test_the_picture_has_its_days(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "demand.svg"
    script(f"--samples 20 --every 24 --days 3 --plot {path}")
    drawn = path.read_text(encoding="utf-8")
    days = [day for day in range(14, 28) if f">{day} Aug<" in drawn or f" {day} Aug<" in drawn]
    assert days[:3] == [14, 15, 16]
    assert "calibrated 90 %" in drawn

"""How samples are drawn: rows that stop by themselves, what goes on, noise that a model says."""

import re
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import contract
import fastdrop as fd
from fastdrop import layers
from fastdrop.model import _sampling
from fastdrop.uncertainty import Prediction
from layer_laws import normal
from test_model_laws import STEPS, random_graph

Array = NDArray[Any]
X = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
NAMES = ("mean", "std", "entropy", "expected_entropy", "variation_ratio")


def classifier(rate: float = 0.5) -> fd.Model:
    kernel = np.random.default_rng(0).normal(0, 1, (5, 3)).astype(np.float32)
    return fd.Model(
        [
            layers.Dropout(name="drop", rate=rate),
            layers.Dense(name="dense", kernel=kernel, activation="softmax"),
        ],
        (5,),
    )


def same(a: Prediction, b: Prediction, names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), name
    q = [0.05, 0.5, 0.95]
    assert np.array_equal(a.quantile(q), b.quantile(q), equal_nan=True)


# ---- enough samples ----


@pytest.mark.parametrize("until", [0.03, {"std": 0.05}, {"mean": 0.02, "std": 0.1}])
@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_a_row_that_stops_is_one_of_so_many_samples(until: Any, scope: str) -> None:
    model = classifier()
    p = model.mc_predict(X, 1000, rng=3, until=until, scope=scope, keep_samples=True)
    stops = {32, 64, 128, 256, 512, 1000}
    assert p.n_samples.shape == (7,)
    assert set(p.n_samples) <= stops
    assert len(set(p.n_samples)) > 1
    for row, count in enumerate(p.n_samples):
        alone = model.mc_predict(
            X[row : row + 1], int(count), rng=3, row_offset=row, scope=scope, keep_samples=True
        )
        for name in NAMES:
            assert np.array_equal(getattr(alone, name)[0], getattr(p, name)[row]), name
        assert np.array_equal(alone.quantile(0.3)[0], p.quantile(0.3)[row])
        assert np.array_equal(alone.samples[:, 0], p.samples[:count, row])
        assert np.isnan(p.samples[count:, row]).all()


def test_rows_stop_as_soon_as_their_error_is_small() -> None:
    """At the first of the numbers at which it is, by the samples themselves."""
    model, limit = classifier(), 0.02
    p = model.mc_predict(X, 1000, rng=0, until=limit)
    s = model.mc_predict(X, 1000, rng=0, keep_samples=True).samples.astype(np.float64)
    relative = model.mc_predict(X, 1000, rng=0, until={"std": 0.05}).n_samples
    for row in range(len(X)):
        for count in (32, 64, 128, 256, 512, 1000):
            some = s[:count, row]
            if (some.std(axis=0, ddof=1) / np.sqrt(count) <= limit).all():
                break
        assert p.n_samples[row] == count
        for count in (32, 64, 128, 256, 512, 1000):
            some = s[:count, row]
            away = some - some.mean(axis=0)
            variance, fourth = some.var(axis=0, ddof=1), (away**4).mean(axis=0)
            error = np.sqrt((fourth - variance**2 * (count - 3) / (count - 1)) / count)
            if (error / (2 * variance) <= 0.05).all():
                break
        assert relative[row] == count


def test_what_is_enough_for_all_outputs() -> None:
    calls = [
        fd.Call(layers.Dropout(name="a", rate=0.5), "input"),
        fd.Call(layers.Rescaling(name="b", scale=0.1), "a"),
    ]
    model = fd.Model(calls, (5,), outputs=["a", "b"])
    both = model.mc_predict(X, 1000, rng=0, until=0.05)
    assert np.array_equal(both[0].n_samples, both[1].n_samples)
    first = fd.Model(calls[:1], (5,)).mc_predict(X, 1000, rng=0, until=0.05)
    assert np.array_equal(first.n_samples, both[0].n_samples)


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 64, 65, 100])
def test_no_more_samples_than_asked_for(samples: int) -> None:
    p = classifier().mc_predict(X, samples, rng=0, until=1e-9)
    assert (p.n_samples == samples).all()
    same(p, classifier().mc_predict(X, samples, rng=0))
    easy = classifier().mc_predict(X, samples, rng=0, until=1e9)
    assert (easy.n_samples == (samples if samples == 1 else min(samples, 32))).all()


def test_equal_outputs_are_enough_at_once() -> None:
    p = classifier().mc_predict(np.zeros((3, 5)), 100, rng=0, until={"mean": 1e-9, "std": 1e-9})
    assert (p.n_samples == 32).all()


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(1, 3))
def test_stopping_depends_on_the_row_alone(threads: int, rows: int, cut: int) -> None:
    model = classifier()
    with pytest.MonkeyPatch.context() as patch:
        whole = model.mc_predict(X, 300, rng=5, until=0.03)
        patch.setattr(_sampling, "_CHUNK_ROWS", rows)
        other = model.mc_predict(X, 300, rng=5, until=0.03, threads=threads)
        assert np.array_equal(whole.n_samples, other.n_samples)
        same(whole, other)
        first = model.mc_predict(X[:cut], 300, rng=5, until=0.03, threads=threads)
        rest = model.mc_predict(X[cut:], 300, rng=5, until=0.03, row_offset=cut)
        both = rest.merge(first)
        assert np.array_equal(whole.n_samples, both.n_samples)
        same(whole, both)


def test_stopping_numbers_are_those_of_theory() -> None:
    """A thousand rows of one kind, each with masks of its own.

    The error of the mean of a rate r and scale 1 / (1 - r) is sqrt(r / (1 - r) / n): 1 / sqrt(n) at
    0.5. By the sample deviation sqrt(n / (n - 1) * 4 f (1 - f)) of a share f kept, which is at most
    just above 1, rows reach 0.1 at 128 samples but for those few that 64 happen to seem enough for:
    the chance is that of a binomial share so far from one half.
    """
    from math import comb

    model = fd.Model([layers.Dropout(name="drop", rate=0.5)], (1,))
    p = model.mc_predict(np.ones((1000, 1)), 1000, rng=0, until=0.1)

    def chance(n: int, limit: float) -> float:
        """Of a sample of n whose error of the mean is at most the limit."""
        found = 0.0
        for kept in range(n + 1):
            f = kept / n
            if 4 * f * (1 - f) / (n - 1) <= limit**2:
                found += comb(n, kept) / 2**n
        return found

    early = (p.n_samples < 128).mean()
    expected = chance(32, 0.1) + (1 - chance(32, 0.1)) * chance(64, 0.1)
    assert abs(early - expected) < 5 * np.sqrt(max(expected, 1e-3) / 1000)
    assert set(p.n_samples) <= {32, 64, 128}
    # And the means are as far from 1 as was asked for.
    assert np.sqrt(np.mean((p.mean - 1) ** 2)) == pytest.approx(1 / np.sqrt(128), rel=0.1)


@pytest.mark.parametrize(
    "until", [0, -0.1, np.nan, np.inf, "std", {"mode": 0.1}, {"std": 0}, {}, True, [0.1]]
)
def test_until_that_is_none(until: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^until"):
        classifier().mc_predict(X, 100, rng=0, until=until)


# ---- going on ----


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 99), st.integers(1, 6))
def test_parts_are_the_whole(samples: int, rows: int) -> None:
    model = classifier()
    whole = model.mc_predict(X, 100, rng=0, folds=["covariance"], keep_samples=True)

    def part(first: int, count: int, start: int, stop: int) -> Prediction:
        return model.mc_predict(
            X[start:stop],
            count,
            rng=0,
            first_sample=first,
            row_offset=start,
            folds=["covariance"],
            keep_samples=True,
        )

    above = part(0, samples, 0, rows).merge(part(0, samples, rows, 7))
    below = part(samples, 100 - samples, rows, 7)
    below = below.merge(part(samples, 100 - samples, 0, rows))
    both = above.merge(below)
    assert both.n_samples == 100
    assert np.array_equal(both.samples, whole.samples)
    assert np.array_equal(both.quantile([0.1, 0.5]), whole.quantile([0.1, 0.5]))
    assert np.array_equal(both.variation_ratio, whole.variation_ratio)
    for name in ("mean", "std", "entropy", "expected_entropy", "covariance"):
        np.testing.assert_allclose(
            getattr(both, name), getattr(whole, name), rtol=1e-10, atol=1e-13, err_msg=name
        )


@settings(deadline=None, max_examples=12)
@given(
    st.integers(0, 29), st.integers(1, 40), st.integers(1, 3), st.integers(1, 29), st.integers(1, 2)
)
def test_folds_are_numpys_for_any_model(
    seed: int, chunk: int, threads: int, first: int, row: int
) -> None:
    """Whatever chunks, threads and parts: NumPy's statistics of the samples themselves."""
    model = random_graph(seed)
    x = [normal(3, STEPS, n, seed=seed) for n in (2, 3)]
    kept = model.mc_predict(x, 30, rng=seed, keep_samples=True)
    parts = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sampling, "_CHUNK_ROWS", chunk)
        for rows in (slice(0, row), slice(row, 3)):
            given = [a[rows] for a in x]
            options: dict[str, Any] = {"rng": seed, "threads": threads, "row_offset": rows.start}
            a = model.mc_predict(given, first, **options)
            b = model.mc_predict(given, 30 - first, first_sample=first, **options)
            parts.append([p.merge(q) for p, q in zip(a, b, strict=True)])
    for whole, above, below in zip(kept, *parts, strict=True):
        p, s = above.merge(below), whole.samples.astype(np.float64)
        np.testing.assert_allclose(p.mean, s.mean(axis=0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(p.std, s.std(axis=0, ddof=1), rtol=1e-7, atol=1e-12)
        q = [0.0, 0.05, 0.5, 1.0]
        np.testing.assert_array_equal(p.quantile(q), np.quantile(s, q, axis=0))


def test_merging_rows_of_different_numbers() -> None:
    """Each row has what it had, and more."""
    model = classifier()
    a = model.mc_predict(X, 500, rng=0, until=0.03)
    b = model.mc_predict(X, 40, rng=1)
    both = a.merge(b)
    assert np.array_equal(both.n_samples, a.n_samples + 40)
    for row in range(7):
        alone = model.mc_predict(X[row : row + 1], int(a.n_samples[row]), rng=0, row_offset=row)
        alone = alone.merge(model.mc_predict(X[row : row + 1], 40, rng=1, row_offset=row))
        assert np.array_equal(alone.mean[0], both.mean[row])
        assert np.array_equal(alone.quantile(0.5)[0], both.quantile(0.5)[row])
    assert (a.n_samples != both.n_samples).all()  # and what was merged is as it was
    same(a, model.mc_predict(X, 500, rng=0, until=0.03))


def test_what_does_not_go_together() -> None:
    model = classifier()
    p = model.mc_predict(X, 10, rng=0)
    with pytest.raises(ValueError, match="samples 5 to 9 of the same key, which are in both"):
        p.merge(model.mc_predict(X, 10, rng=0, first_sample=5))
    with pytest.raises(ValueError, match="expected rows 0 to 6 again, or those beside them"):
        p.merge(model.mc_predict(X, 10, rng=0, row_offset=8))
    with pytest.raises(ValueError, match="expected rows 0 to 6 again"):
        p.merge(model.mc_predict(X[:3], 10, rng=1))
    with pytest.raises(ValueError, match="other: expected one of the same kind"):
        p.merge(model.mc_predict(X, 10, rng=1, kind="regression"))
    with pytest.raises(ValueError, match="other: expected one of the same kind"):
        p.merge(model.mc_predict(X, 10, rng=1, keep_samples=True))
    with pytest.raises(TypeError, match="other: expected a Prediction"):
        p.merge(p.mean)  # type: ignore[arg-type]
    three = p.merge(model.mc_predict(X, 10, rng=0, first_sample=20))
    more = model.mc_predict(X, 15, rng=0, first_sample=10)
    for one, other in ((three, more), (more, three)):
        with pytest.raises(ValueError, match="samples 20 to 24"):
            one.merge(other)
    assert three.merge(model.mc_predict(X, 10, rng=0, first_sample=10)).n_samples == 30


def test_samples_of_ones_own_go_together() -> None:
    values = np.random.default_rng(0).normal(size=(30, 4, 2))
    a, b = Prediction.from_samples(values[:10]), Prediction.from_samples(values[10:])
    both = a.merge(b)
    np.testing.assert_allclose(both.mean, values.mean(axis=0), rtol=1e-12)
    assert np.array_equal(both.samples, values)
    assert both.samples.dtype == np.float64
    rows = Prediction.from_samples(values[:, :1]).merge(
        Prediction.from_samples(values[:, 1:], row_offset=1)
    )
    assert np.array_equal(rows.samples, values)
    assert Prediction.from_samples(values, keep_samples=False).samples is None
    for bad in (3.0, [1.0, 2.0], np.empty((0, 3)), np.array([["a"]]), [[1j]]):
        with pytest.raises((TypeError, ValueError), match="samples: expected"):
            Prediction.from_samples(bad)


@pytest.mark.parametrize(("level", "q"), [(0.9, [0.05, 0.95]), (0.5, [0.25, 0.75]), (0, [0.5] * 2)])
def test_intervals_are_quantiles(level: float, q: list[float]) -> None:
    p = classifier().mc_predict(X, 50, rng=0)
    assert np.array_equal(p.interval(level), p.quantile(q))
    assert np.array_equal(p.interval(), p.quantile([0.05, 0.95]))
    low, high = p.interval(1)
    assert np.array_equal([low, high], p.quantile([0, 1]))
    for wrong in (-0.1, 1.1, "x", None):
        with pytest.raises((TypeError, ValueError), match="level: expected"):
            p.interval(wrong)  # type: ignore[arg-type]


# ---- progress, and Ctrl-C ----


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("until", [None, 0.03])
def test_progress(threads: int, until: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, each once, up to the end."""
    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 16)
    told: list[tuple[int, int]] = []
    p = classifier().mc_predict(
        X, 300, rng=0, until=until, threads=threads, progress=lambda *now: told.append(now)
    )
    done = [now for now, _ in told]
    assert {total for _, total in told} == {7 * 300}
    assert len(done) > 10
    assert done == sorted(set(done))
    assert done[-1] == 7 * 300
    same(p, classifier().mc_predict(X, 300, rng=0, until=until))


def test_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed: the extra `progress`")
    classifier().mc_predict(X, 100, rng=0, progress=True)
    shown = capsys.readouterr().err
    assert "100%" in shown
    # It knows from the start how far there is to go.
    assert len({*re.findall(r"/(\S+) \[", shown)}) == 1


def test_a_bar_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises(ImportError, match=r'pip install "fastdrop-rnn\[progress\]"'):
        classifier().mc_predict(X, 100, rng=rng, progress=True)
    assert rng.bit_generator.state == state


@pytest.mark.parametrize(
    "options", [{"progress": 1}, {"on_interrupt": "stop"}, {"kind": "classes"}]
)
def test_options_that_are_none_draw_nothing(options: Any) -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        classifier().mc_predict(X, 100, rng=rng, **options)
    assert rng.bit_generator.state == state


def interrupting(after: int) -> Any:
    """A report that stands for Ctrl-C once so many samples are done."""

    def report(done: int, total: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("until", [None, 0.02])
@pytest.mark.parametrize(("after", "chunk"), [(1, 3), (1, 24), (700, 24), (1500, 24)])
def test_ctrl_c_returns_what_there_is(
    until: float | None, after: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row's samples so far, as if no more had been asked for; NaN of rows without any."""
    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", chunk)
    model = classifier()
    p = model.mc_predict(
        X,
        300,
        rng=0,
        until=until,
        threads=1,
        progress=interrupting(after),
        on_interrupt="return",
        keep_samples=True,
    )
    counts = np.broadcast_to(p.n_samples, 7)
    assert 0 < counts.sum() < 7 * 300
    assert counts.all() == (chunk > 7)
    for row, count in enumerate(counts):
        if not count:
            assert np.isnan(p.mean[row]).all()
            assert np.isnan(p.quantile(0.5)[row]).all()
            assert p.label[row] == -1
            continue
        alone = model.mc_predict(X[row : row + 1], int(count), rng=0, row_offset=row)
        assert np.array_equal(alone.mean[0], p.mean[row])
        assert np.array_equal(alone.quantile(0.5)[0], p.quantile(0.5)[row])


def test_ctrl_c_says_that_nothing_is_kept() -> None:
    with pytest.raises(KeyboardInterrupt, match="of 2100 samples of rows; nothing is kept"):
        classifier().mc_predict(X, 300, rng=0, progress=interrupting(1))


def test_ctrl_c_while_samples_are_folded_comes_after() -> None:
    """So that what is returned has all statistics of the same samples."""
    assert threading.current_thread() is threading.main_thread()

    class Slow:
        def __init__(self) -> None:
            self.count = 0

        def add(self, values: Array) -> None:
            signal.raise_signal(signal.SIGINT)
            self.count += len(values)

        def merge(self, other: Any) -> None:
            self.count += other.count

        def result(self) -> int:
            return self.count

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        p = classifier().mc_predict(
            X[:1], 300, rng=0, folds=[Slow], on_interrupt="return", threads=1
        )
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    counts = np.atleast_1d(p.n_samples)
    assert counts[0] > 0
    assert p.folds["Slow"][0] == counts[0]
    alone = classifier().mc_predict(X[:1], int(counts[0]), rng=0)
    assert np.array_equal(alone.mean, p.mean)


INTERRUPT = """
import os, signal, sys, threading, time
import numpy as np, fastdrop as fd
signal.signal(signal.SIGINT, signal.default_int_handler)
kernel = np.full((64, 512), 0.01, np.float32)
recurrent = np.full((128, 512), 0.01, np.float32)
lstm = fd.layers.LSTM(
    name="l", kernel=kernel, recurrent_kernel=recurrent, recurrent_dropout=0.5)
model = fd.Model([lstm], (None, 64))
x = np.ones((64, 400, 64), np.float32)
delays, kept = [], []
for _ in range(3):
    sent = []
    def interrupt():
        sent[:] = [time.process_time()]
        os.kill(os.getpid(), signal.SIGINT)
    timer = threading.Timer(0.5, interrupt)
    timer.start()
    try:
        p = model.mc_predict(x, 2000, rng=0, on_interrupt=sys.argv[1], threads=2)
        kept.append(np.sum(p.n_samples) < 64 * 2000)
    except KeyboardInterrupt as error:
        kept.append("nothing is kept" in str(error))
    delays.append(time.process_time() - sent[0])
    timer.join()
print(min(delays), all(kept))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
@pytest.mark.parametrize("on_interrupt", ["raise", "return"])
def test_ctrl_c_is_seen_at_once(on_interrupt: str) -> None:
    """In time of the process on two threads, as the machine may be busy with others."""
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPT, on_interrupt],
        capture_output=True,
        text=True,
        check=True,
    )
    delay, kept = result.stdout.split()
    assert kept == "True"
    assert float(delay) < 0.3


# ---- a mean and a scale ----


def heads(rate: float = 0.3, *, positive: bool = False) -> fd.Model:
    """Two means and two scales; those are 0.5 and more where they must be positive."""
    kernel = np.random.default_rng(0).normal(0, 0.5, (5, 4)).astype(np.float32)
    bias = np.zeros(4, np.float32)
    if positive:
        kernel[:, 2:], bias[2:] = 0, (0.5, 1.5)
    dense = layers.Dense(name="dense", kernel=kernel, bias=bias)
    return fd.Model([layers.Dropout(name="drop", rate=rate), dense], (5,))


SCALES = {
    "log_variance": lambda v: np.exp(v / 2),
    "log_std": np.exp,
    "softplus": lambda v: np.log1p(np.exp(v)),
    "std": lambda v: v,
}


@pytest.mark.parametrize("scale", SCALES)
def test_the_parts_of_a_variance(scale: str) -> None:
    model = heads(positive=scale == "std")
    raw = model.mc_predict(X, 100, rng=0, keep_samples=True)
    mean, said = np.split(raw.samples.astype(np.float64), 2, axis=-1)
    std = SCALES[scale](said)
    p = model.mc_predict(X, 100, rng=0, likelihood="normal", scale=scale, keep_samples=True)
    assert p.kind == "regression"
    assert p.mean.shape == (7, 2)
    np.testing.assert_allclose(p.mean, mean.mean(axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(p.epistemic, mean.std(axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(p.aleatoric, np.sqrt((std**2).mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(p.var, p.epistemic**2 + p.aleatoric**2, rtol=1e-12)
    np.testing.assert_allclose(p.std, np.sqrt(p.var), rtol=1e-15)
    # What is drawn: the contract's normal numbers, by the streams that are promised.
    key = fd.Key(0).fold_in("likelihood").fold_in(0)
    for m in (0, 57):
        for row in (0, 6):
            normal = [contract.normal((key.k0, key.k1), key.base + m, row * 2 + j) for j in (0, 1)]
            drawn = mean[m, row] + std[m, row] * np.array(normal)
            np.testing.assert_allclose(p.samples[m, row], drawn, rtol=1e-5, atol=1e-6)
    assert np.array_equal(p.quantile(0.5), np.quantile(p.samples.astype(float), 0.5, axis=0))


def test_noise_is_that_of_the_row_and_sample() -> None:
    options: dict[str, Any] = {"rng": 0, "likelihood": "normal", "keep_samples": True}
    whole = heads().mc_predict(X, 60, **options)
    part = heads().mc_predict(X[2:5], 20, row_offset=2, first_sample=30, **options)
    assert np.array_equal(part.samples, whole.samples[30:50, 2:5])
    rest = heads().mc_predict(X, 30, first_sample=60, **options)
    both = whole.merge(rest)
    again = heads().mc_predict(X, 90, **options)
    assert np.array_equal(both.samples, again.samples)
    for name in ("mean", "epistemic", "aleatoric", "std"):
        np.testing.assert_allclose(getattr(both, name), getattr(again, name), rtol=1e-9)


def test_two_outputs_are_a_mean_and_a_scale() -> None:
    kernel = np.random.default_rng(0).normal(0, 0.5, (5, 4)).astype(np.float32)
    calls = [
        fd.Call(layers.Dropout(name="drop", rate=0.3), "input"),
        fd.Call(layers.Dense(name="mean", kernel=kernel[:, :2].copy()), "drop"),
        fd.Call(layers.Dense(name="scale", kernel=kernel[:, 2:].copy()), "drop"),
    ]
    two = fd.Model(calls, (5,), outputs=["mean", "scale"])
    a = two.mc_predict(X, 50, rng=0, likelihood="normal")
    b = heads().mc_predict(X, 50, rng=0, likelihood="normal")
    assert isinstance(a, Prediction)
    for name in ("mean", "std", "epistemic", "aleatoric"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-6)


def test_noise_through_a_function() -> None:
    """Means and deviations in the units that it makes."""
    p = heads().mc_predict(X, 4000, rng=0, likelihood="normal")
    q = heads().mc_predict(X, 4000, rng=0, likelihood="normal", transform=lambda v: 10 * v + 3)
    np.testing.assert_allclose(q.epistemic, 10 * p.epistemic, rtol=1e-5)
    np.testing.assert_allclose(q.mean, 10 * p.mean + 3, rtol=0.05, atol=1.5)
    np.testing.assert_allclose(q.aleatoric, 10 * p.aleatoric, rtol=0.05)
    np.testing.assert_allclose(q.quantile(0.9), 10 * p.quantile(0.9) + 3, rtol=1e-5, atol=1e-4)


def test_intervals_hold_what_the_noise_makes() -> None:
    """Of a model that is right: what is observed lies in the interval as often as it says."""
    x = np.tile(X[:1], (2000, 1))
    model = heads(rate=0.3)
    observed = model.mc_predict(x, 1, rng=7, likelihood="normal", keep_samples=True).samples[0]
    low, high = model.mc_predict(x[:1], 4000, rng=0, likelihood="normal").interval(0.8)
    inside = ((observed >= low) & (observed <= high)).mean()
    assert abs(inside - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 4000) + 0.01


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"likelihood": "laplace"}, "likelihood: expected"),
        ({"likelihood": "normal", "scale": "variance"}, "scale: expected"),
        ({"likelihood": "normal", "kind": "binary"}, "kind: expected 'regression'"),
    ],
)
def test_likelihoods_that_are_none(options: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        heads().mc_predict(X, 5, rng=0, **options)


def test_an_odd_output_has_no_scale_for_each_mean() -> None:
    with pytest.raises(ValueError, match="likelihood: expected an output whose last axis"):
        classifier().mc_predict(X, 5, rng=0, likelihood="normal", kind="regression")


def test_probabilities_are_no_means_and_scales() -> None:
    with pytest.raises(ValueError, match="likelihood: expected none of a model that puts out prob"):
        classifier().mc_predict(X, 5, rng=0, likelihood="normal")


def test_standard_deviations_are_not_negative() -> None:
    with pytest.raises(ValueError, match="scale: expected an output of standard deviations >= 0"):
        heads().mc_predict(X, 5, rng=0, likelihood="normal", scale="std")
    with pytest.raises(ValueError, match="scale: expected none without a likelihood, got 'std'"):
        heads().mc_predict(X, 5, rng=0, scale="std")


def test_a_standard_deviation_may_be_0() -> None:
    dense = layers.Dense(name="dense", kernel=np.array([[1, 0]], np.float32))
    model = fd.Model([layers.Dropout(name="drop", rate=0.5), dense], (1,))
    p = model.mc_predict(X[:, :1], 9, rng=0, likelihood="normal", scale="std", keep_samples=True)
    assert p.aleatoric.tolist() == [[0]] * len(X)
    assert p.samples is not None
    assert np.isin(p.samples[..., 0], [*X[:, 0] * 2, 0]).all()


def test_more_samples_than_memory_holds_are_not_drawn() -> None:
    with pytest.raises(MemoryError):
        heads().mc_predict(np.zeros((10**6, 5)), 2**32 - 1, rng=0, keep_samples=True)


def test_nothing_is_drawn_for_models_that_refuse() -> None:
    def words(count: int) -> fd.Model:
        table = np.ones((count, 2), np.float32)
        drop = layers.Dropout(name="drop", rate=0.5)
        return fd.Model([layers.Embedding(name="words", table=table), drop], (3,))

    ensemble = fd.Ensemble([words(9), words(4)])
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    # The second model does not know the last word.
    for x, options in (
        (np.ones((2, 4), int), {}),
        (np.full((2, 3), 8), {}),
        (np.ones((2, 3), int), {"folds": ["all"]}),
    ):
        with pytest.raises(ValueError, match="expected"):
            ensemble.mc_predict(x, 10, rng=rng, **options)
        assert rng.bit_generator.state == before

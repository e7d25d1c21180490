"""What is folded while samples are drawn, against NumPy on the samples themselves."""

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import layers
from fastdrop.uncertainty import (
    Covariance,
    ExpectedEntropy,
    FourthMoments,
    Moments,
    Prediction,
    QuantileSketch,
    Statistic,
    Votes,
)
from fastdrop.uncertainty._quantiles import CAPACITY

Array = NDArray[Any]
ROWS, CLASSES = 3, 4
WIDTH = ROWS * CLASSES
MAKERS: dict[str, Callable[[], Any]] = {
    "moments": lambda: Moments(WIDTH),
    "quantiles": lambda: QuantileSketch(WIDTH, 10, np.dtype(np.float32)),
    "fourth": lambda: FourthMoments(WIDTH),
    "entropies": lambda: ExpectedEntropy(WIDTH, "multiclass", CLASSES),
    "binary entropies": lambda: ExpectedEntropy(WIDTH, "binary", 1),
    "votes": lambda: Votes(WIDTH, "multiclass", CLASSES),
    "binary votes": lambda: Votes(WIDTH, "binary", 1),
    "covariance": lambda: Covariance(WIDTH, CLASSES),
}


@pytest.mark.parametrize("width", [0, 1, 5, 255, 256, 257, 700])
@pytest.mark.parametrize(
    ("dtype", "origin"), [("float32", "float32"), ("float64", "float64"), ("float64", "float32")]
)
def test_sums_of_moments_are_taken_in_turn(
    backend: str, width: int, dtype: str, origin: str
) -> None:
    rng = np.random.default_rng(width)
    values = (rng.normal(1e3, 30, (2 * width, 9)).astype(dtype)).T[:, ::2]  # not contiguous
    moments = Moments(width, np.dtype(origin))
    for part in (values[:4], values[4:4], values[4:5], values[5:]):
        moments.add(part)
    first = values[0].astype(origin).astype(float) if width else values[0]
    for j, begin in enumerate(first.tolist()):
        total = squares = 0.0
        for value in values[:, j].tolist():
            total += value - begin
            squares += (value - begin) * (value - begin)
        assert (moments._sum[j], moments._squares[j]) == (total, squares)
    if width:
        exact = values.astype(np.longdouble)
        np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-15)
        np.testing.assert_allclose(moments.variance(), exact.var(axis=0, ddof=1), rtol=1e-13)


def distributions(count: int, seed: int) -> Array:
    """Samples (count, WIDTH) of probabilities of classes, some of them certain."""
    rng = np.random.default_rng(seed)
    found = rng.dirichlet(np.full(CLASSES, 0.3), (count, ROWS)).astype(np.float32)
    found[rng.random((count, ROWS)) < 0.2] = np.eye(CLASSES, dtype=np.float32)[1]
    return found.reshape(count, WIDTH)


def plain_entropy(p: Array) -> Array:
    """By the definition, number by number."""
    terms = [0.0 if q == 0 else -float(q) * np.log(float(q)) for q in p.reshape(-1)]
    return np.array(terms).reshape(p.shape)


def expected(name: str, values: Array) -> Array:
    """What NumPy says of values (samples, WIDTH)."""
    v = values.astype(np.float64)
    shaped = v.reshape(len(v), ROWS, CLASSES)
    if name == "moments":
        return np.stack([v.mean(axis=0), v.var(axis=0, ddof=1)])
    if name == "fourth":
        away = v - v.mean(axis=0)
        return np.stack([v.mean(axis=0), *((away**k).sum(axis=0) for k in (2, 3, 4))])
    if name == "entropies":
        return np.asarray(plain_entropy(shaped).sum(axis=-1).mean(axis=0))
    if name == "binary entropies":
        return np.asarray((plain_entropy(v) + plain_entropy(1 - v)).mean(axis=0))
    if name == "votes":
        said = shaped.argmax(axis=-1)
        return np.array([np.bincount(said[:, r], minlength=CLASSES) for r in range(ROWS)])
    if name == "binary votes":
        return np.stack([(v <= 0.5).sum(axis=0), (v > 0.5).sum(axis=0)], axis=-1)
    assert name == "covariance"
    return np.array([np.cov(shaped[:, r].T) for r in range(ROWS)])


def folded(name: str, values: Array, cuts: list[int]) -> Statistic:
    found: Statistic = MAKERS[name]()
    for start, stop in pairwise([0, *sorted(cuts), len(values)]):
        found.add(values[start:stop])
    return found


def result(statistic: Statistic) -> Array:
    if isinstance(statistic, QuantileSketch):
        return statistic.quantile(np.linspace(0, 1, 11))
    return statistic.result()


numbers = st.integers(2, 40)
cuts = st.lists(st.integers(0, 40), max_size=4)


@given(numbers, cuts, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_folds_are_numpys(count: int, where: list[int], seed: int) -> None:
    values = distributions(count, seed)
    where = [min(cut, count) for cut in where]
    for name in MAKERS:
        got = result(folded(name, values, where))
        if name == "quantiles":
            quantiles = np.quantile(values.astype(float), np.linspace(0, 1, 11), axis=0)
            np.testing.assert_array_equal(got, quantiles)
        else:
            np.testing.assert_allclose(got, expected(name, values), rtol=1e-9, atol=1e-12)


@given(numbers, cuts, cuts, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_grouping_changes_no_bit(count: int, a: list[int], b: list[int], seed: int) -> None:
    values = distributions(count, seed)
    for name in MAKERS:
        results = [result(folded(name, values, [min(c, count) for c in some])) for some in (a, b)]
        assert np.array_equal(results[0], results[1])


@given(numbers, st.integers(0, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_merging_is_folding_both(count: int, cut: int, seed: int) -> None:
    values = distributions(count, seed)
    cut = min(cut, count)
    for name in MAKERS:
        whole, first = folded(name, values, []), folded(name, values[:cut], [])
        second = folded(name, values[cut:], [])
        before = result(second) if second.count > 1 else None
        first.merge(second)
        assert first.count == count
        exact = name in ("quantiles", "votes", "binary votes")
        tolerance = 0 if exact else 1e-9
        np.testing.assert_allclose(result(first), result(whole), rtol=tolerance, atol=tolerance)
        if before is not None:
            assert np.array_equal(result(second), before)


@pytest.mark.parametrize("count", [0, 1, 20])
@pytest.mark.parametrize("name", MAKERS)
def test_what_has_seen_nothing_is_merged(name: str, count: int) -> None:
    """It changes no bit of another, and is folded on as what it takes over, but for rounding."""
    values = distributions(27, 1)
    whole = result(folded(name, values, [count]))
    for first, second in ((count, 0), (0, count)):
        found = folded(name, values[:first], [])
        found.merge(folded(name, values[:second], []))
        assert found.count == count
        found.add(values[count:])
        if first == count:
            assert np.array_equal(result(found), whole)
        np.testing.assert_allclose(result(found), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MAKERS)
def test_rows_are_taken_and_put_together(name: str) -> None:
    """A row's statistics are the same bits whatever rows stand beside it, and go on by themselves.

    What is taken is a copy.
    """
    values, more = distributions(20, 1), distributions(7, 2)
    whole = folded(name, values, [])
    before = result(whole)
    rows = [whole.take(np.array([row]), ROWS) for row in (2, 0, 1)]
    for row in rows:
        row.add(more[:, :CLASSES])
    assert np.array_equal(result(whole), before)
    together = rows[0].joined(rows[1:])
    order = [2, 0, 1]
    shaped = values.reshape(20, ROWS, CLASSES)[:, order].reshape(20, WIDTH)
    again = folded(name, shaped, [])
    again.add(np.tile(more[:, :CLASSES], ROWS))
    assert np.array_equal(result(together), result(again))
    assert together.count == 27
    none = whole.take(np.array([], int), ROWS)
    assert result(none).size == 0


def test_sketches_are_merged_beyond_what_they_hold() -> None:
    """All values count, by the weights they have, within the bound on ranks."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7000, 2)).astype(np.float32)
    parts = []
    for start, stop in ((0, 300), (300, 2000), (2000, 3800), (3800, 7000)):
        sketch = QuantileSketch(2, 10, values.dtype)
        sketch.add(values[start:stop])
        parts.append(sketch)
    whole = parts[0]
    for part in parts[1:]:
        before = part.quantile(np.linspace(0, 1, 21))
        whole.merge(part)
        assert np.array_equal(part.quantile(np.linspace(0, 1, 21)), before)
    assert whole.count == 7000
    q = np.linspace(0, 1, 21)
    got = whole.quantile(q)
    bound = 7000 * np.log2(7000 / CAPACITY) / CAPACITY
    for j in range(2):
        ordered = np.sort(values[:, j])
        assert (got[0, j], got[-1, j]) == (ordered[0], ordered[-1])
        ranks = np.searchsorted(ordered, got[:, j])
        assert (abs(ranks - q * 6999) <= bound + 1).all()


def test_errors_of_many_merges_do_not_add_up() -> None:
    """What is kept of two neighbours is the lower and the upper one in turn.

    Of the lower ones alone, values would be those of about 96 ranks below.
    """
    n = 1 << 16
    values = np.random.default_rng(0).permutation(n).astype(np.float32)
    sketch = QuantileSketch(1, n, values.dtype)
    sketch.add(values[:, np.newaxis])
    q = np.linspace(0.05, 0.95, 91)
    off = sketch.quantile(q)[:, 0] - q * (n - 1)
    assert abs(off.mean()) < 20


@pytest.mark.parametrize("name", ["moments", "covariance"])
def test_what_one_has_seen_is_kept_by_an_empty_one(name: str) -> None:
    """To the last bit, far from 0 too."""
    values = 1e8 + distributions(20, 1).astype(np.float64)
    found, other = MAKERS[name](), folded(name, values, [])
    found.merge(other)
    assert np.array_equal(result(found), result(other))


def test_first_values_far_apart() -> None:
    """Both are numbers of float32, and what is between them is none."""
    parts = np.array([[3e7], [1.25]], np.float32), np.array([[1.1], [2.7]], np.float32)
    first, second = Moments(1, np.float32), Moments(1, np.float32)
    first.add(parts[0])
    second.add(parts[1])
    first.merge(second)
    exact = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(first.mean, exact.mean(axis=0), rtol=1e-15)


def test_a_sketch_takes_more_than_it_expects() -> None:
    values = np.random.default_rng(0).normal(size=(900, 3)).astype(np.float32)
    sketch = QuantileSketch(3, 5, values.dtype)
    for n in range(0, 900, 7):
        sketch.add(values[n : n + 7])
    q = np.array([0.1, 0.5])
    assert np.array_equal(sketch.quantile(q), np.quantile(values.astype(float), q, axis=0))


def test_the_error_of_a_deviation() -> None:
    """Of normal numbers one over the root of 2 n, and 0 of equal ones; against simulation else."""
    rng = np.random.default_rng(0)
    samples = np.stack([rng.normal(size=(400, 500)), rng.exponential(size=(400, 500))])
    for values in samples:  # 500 streams of 400 values
        fourth = FourthMoments(500)
        fourth.add(values)
        told = np.median(fourth.error_of_std())
        seen = values.std(axis=0, ddof=1)
        assert told == pytest.approx(seen.std() / seen.mean(), rel=0.25)
    normal = FourthMoments(500)
    normal.add(samples[0])
    assert np.median(normal.error_of_std()) == pytest.approx(1 / np.sqrt(800), rel=0.1)
    # Exactly, of few: Mood, Graybill and Boes, "Introduction to the Theory of Statistics", 1974.
    few = np.array([[0.0], [1.0], [1.0], [6.0]])
    variance, central = few.var(ddof=1), np.mean((few - few.mean()) ** 4)
    of_variance = np.sqrt((central - (4 - 3) / (4 - 1) * variance**2) / 4)
    four = FourthMoments(1)
    four.add(few)
    assert four.error_of_std() == pytest.approx(of_variance / (2 * variance))
    same = FourthMoments(1)
    same.add(np.full((10, 1), 0.3))
    assert same.error_of_std() == 0
    one = FourthMoments(1)
    one.add(np.ones((1, 1)))
    assert np.isnan(one.error_of_std())


# ---- predictions ----


def classifier(activation: str = "softmax", width: int = CLASSES) -> fd.Model:
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 1.5, (5, width)).astype(np.float32)
    return fd.Model(
        [
            layers.Dropout(name="drop", rate=0.5),
            layers.Dense(name="dense", kernel=kernel, activation=activation),
        ],
        (5,),
    )


X = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)


def test_classes_against_their_samples() -> None:
    p = classifier().mc_predict(X, 100, rng=0, keep_samples=True, folds=["covariance"])
    assert p.kind == "multiclass"
    s = p.samples.astype(np.float64)
    mean = s.mean(axis=0)
    np.testing.assert_allclose(p.probabilities, mean, rtol=1e-12)
    np.testing.assert_array_equal(p.label, mean.argmax(axis=-1))
    total, own = plain_entropy(mean).sum(axis=-1), plain_entropy(s).sum(axis=-1).mean(axis=0)
    np.testing.assert_allclose(p.entropy, total, rtol=1e-10)
    np.testing.assert_allclose(p.expected_entropy, own, rtol=1e-10)
    np.testing.assert_allclose(p.mutual_information, total - own, rtol=1e-8, atol=1e-12)
    votes = np.apply_along_axis(np.bincount, 0, s.argmax(axis=-1), minlength=CLASSES)
    np.testing.assert_allclose(p.variation_ratio, 1 - votes.max(axis=0) / 100, rtol=1e-12)
    ordered = np.sort(mean, axis=-1)
    np.testing.assert_allclose(p.margin, ordered[:, -1] - ordered[:, -2], rtol=1e-9)
    cov = np.array([np.cov(s[:, row].T) for row in range(len(X))])
    np.testing.assert_allclose(p.covariance, cov, rtol=1e-9, atol=1e-15)
    assert p.folds["covariance"] is p.covariance


def test_events_against_their_samples() -> None:
    p = classifier("sigmoid", 2).mc_predict(X, 100, rng=0, keep_samples=True)
    assert p.kind == "binary"
    s = p.samples.astype(np.float64)
    mean = s.mean(axis=0)
    np.testing.assert_array_equal(p.label, mean > 0.5)
    both = plain_entropy(s) + plain_entropy(1 - s)
    np.testing.assert_allclose(p.expected_entropy, both.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(p.entropy, plain_entropy(mean) + plain_entropy(1 - mean), rtol=1e-10)
    most = np.maximum((s > 0.5).mean(axis=0), (s <= 0.5).mean(axis=0))
    np.testing.assert_allclose(p.variation_ratio, 1 - most, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(p.margin, abs(2 * mean - 1), rtol=1e-12)
    assert p.label.shape == p.entropy.shape == p.margin.shape == (6, 2)


def test_samples_that_are_there_go_with_those_of_a_model() -> None:
    p = classifier().mc_predict(X, 20, rng=0, keep_samples=True)
    there = Prediction.from_samples(p.samples[:5], "multiclass")
    for both in (there.merge(p), p.merge(there)):
        assert both.n_samples == 25
        expected = np.concatenate([p.samples, p.samples[:5]]).mean(axis=0, dtype=float)
        np.testing.assert_allclose(both.mean, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_limits_at_certainty(kind: str) -> None:
    """Certain and agreeing: all 0. Certain and disagreeing: log 2, all of it mutual information."""
    sure = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    p = Prediction.from_samples(sure, kind)
    for name in ("entropy", "expected_entropy", "mutual_information", "variation_ratio"):
        assert (getattr(p, name) == 0).all(), name
        assert not np.signbit(getattr(p, name)).any(), name
    assert (p.margin == 1).all()
    torn = Prediction.from_samples(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), kind)
    np.testing.assert_allclose(torn.entropy, np.log(2), rtol=1e-15)
    np.testing.assert_allclose(torn.mutual_information, np.log(2), rtol=1e-15)
    assert (torn.expected_entropy == 0).all()
    assert (torn.margin == 0).all()
    assert (torn.variation_ratio == 0.5).all()


@given(st.integers(1, 30), st.floats(0, 1, width=32))
@settings(deadline=None)
def test_equal_samples_share_no_information(count: int, p: float) -> None:
    """Exactly none, and the mean and its entropy are theirs to the bit."""
    samples = np.full((count, 1, 1), p, np.float32)
    found = Prediction.from_samples(samples, "binary")
    assert found.mutual_information == 0
    assert found.mean == np.float32(p)
    if count > 1:
        assert found.std == 0


def test_what_numbers_are_not_is_refused() -> None:
    p = classifier("linear").mc_predict(X, 10, rng=0)
    assert p.kind == "regression"
    names = ("entropy", "expected_entropy", "mutual_information", "variation_ratio")
    for name in ("probabilities", "label", *names, "margin"):
        with pytest.raises(ValueError, match=f"^{name}: expected a prediction of kind"):
            getattr(p, name)
    with pytest.raises(ValueError, match=r"kind='multiclass': expected probabilities"):
        classifier("linear").mc_predict(X, 10, rng=0, kind="multiclass")
    with pytest.raises(ValueError, match=r"kind='binary': expected probabilities in \[0, 1\]"):
        classifier("linear").mc_predict(X, 10, rng=0, kind="binary")
    with pytest.raises(ValueError, match=r"kind='multiclass': expected probabilities that add"):
        Prediction.from_samples(np.full((2, 3, 2), 0.3), "multiclass")
    with pytest.raises(ValueError, match="kind: expected an axis of classes"):
        Prediction.from_samples(np.full((2, 3), 0.3), "multiclass")
    with pytest.raises(ValueError, match="kind: expected an axis of classes"):
        Prediction.from_samples(np.empty((2, 3, 0)), "multiclass")
    with pytest.raises(ValueError, match="covariance: expected a prediction made with"):
        _ = p.covariance
    with pytest.raises(ValueError, match="aleatoric: expected a prediction made with"):
        _ = p.aleatoric


@pytest.mark.parametrize("wrong", [-0.25, 1.5])
def test_what_is_no_probability_is_told(wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"in \[0, 1\], got {wrong}"):
        Prediction.from_samples(np.array([[[0.875], [wrong]]]), "binary")


def kinds(*entries: Any, shape: tuple[int | None, ...] = (5,), **options: Any) -> Any:
    """The kind that "auto" finds behind a dropout layer."""
    model = fd.Model([layers.Dropout(name="drop", rate=0.5), *entries], shape, **options)
    rows = np.zeros((1, *(n or 2 for n in shape)), np.float32)
    return model.mc_predict(rows, 2, rng=0).kind


def dense(activation: str) -> layers.Dense:
    return layers.Dense(name=activation, kernel=np.eye(5, dtype=np.float32), activation=activation)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([dense("softmax")], "multiclass"),
        ([dense("sigmoid")], "binary"),
        ([dense("hard_sigmoid")], "binary"),
        ([dense("tanh")], "regression"),
        ([dense("log_softmax")], "regression"),
        ([layers.Activation(name="a", activation="softmax")], "multiclass"),
        ([layers.Softmax(name="a")], "multiclass"),
        ([dense("softmax"), layers.Identity(name="i")], "multiclass"),
        ([dense("softmax"), layers.Activation(name="a", activation="linear")], "multiclass"),
        ([dense("softmax"), dense("linear")], "regression"),
        ([dense("softmax"), layers.Reshape(name="r", target_shape=(5, 1))], "regression"),
        ([dense("sigmoid"), layers.Reshape(name="r", target_shape=(5, 1))], "binary"),
        ([dense("sigmoid"), layers.Dropout(name="d", rate=0.1)], "regression"),
    ],
)
def test_what_an_output_is_goes_by_its_activation(entries: Any, expected: str) -> None:
    assert kinds(*entries) == expected


def test_what_outputs_at_every_step_are() -> None:
    steps = layers.TimeDistributed(name="t", layer=dense("softmax"))
    assert kinds(steps, shape=(None, 5)) == "multiclass"
    other_axis = layers.Softmax(name="s", axes=(0,))
    assert kinds(other_axis, shape=(3, 5)) == "regression"
    other = layers.Activation(name="s", activation="softmax", axis=0)
    assert kinds(other, shape=(3, 5)) == "regression"


def test_an_average_of_probabilities_is_one() -> None:
    calls = [
        fd.Call(layers.Dropout(name="drop", rate=0.5), "input"),
        fd.Call(dense("softmax"), "drop", "a"),
        fd.Call(
            layers.Dense(name="b", kernel=np.eye(5, dtype=np.float32), activation="softmax"), "drop"
        ),
    ]
    for function, expected in (("average", "multiclass"), ("add", "regression")):
        merge = fd.Call(layers.Merge(name="m", function=function), ["a", "b"])
        model = fd.Model([*calls, merge], (5,))
        assert model.mc_predict(np.zeros((1, 5)), 2, rng=0).kind == expected


# ---- folds of one's own, and functions of samples ----


class Exceeds:
    """How often a limit is exceeded."""

    def __init__(self, limit: float = 0.5) -> None:
        self.limit, self.count, self.above = limit, 0, 0.0

    def add(self, values: Array) -> None:
        assert values.ndim == 2
        self.count += len(values)
        self.above = self.above + (values > self.limit).sum(axis=0)

    def merge(self, other: "Exceeds") -> None:
        self.count += other.count
        self.above = self.above + other.above

    def result(self) -> Array:
        return np.asarray(self.above / self.count)


class Largest(Exceeds):
    """The largest output that a row ever had."""

    def add(self, values: Array) -> None:
        self.above = max(self.above, float(values.max()))

    def merge(self, other: Exceeds) -> None:
        self.above = max(self.above, other.above)

    def result(self) -> Any:
        return self.above


@pytest.mark.parametrize("threads", [1, 2])
def test_folds_of_ones_own(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastdrop.model import _sampling

    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 9)
    folds = {"often": Exceeds(0.25), "most": Largest, "cov": "covariance"}
    p = classifier().mc_predict(X, 50, rng=0, folds=folds, keep_samples=True, threads=threads)
    np.testing.assert_array_equal(p.folds["often"], (p.samples > 0.25).mean(axis=0))
    np.testing.assert_array_equal(p.folds["most"], p.samples.max(axis=(0, 2)))
    assert p.folds["covariance"].shape == (6, CLASSES, CLASSES)
    by_class = classifier().mc_predict(X, 50, rng=0, folds=[Exceeds(0.25)])
    assert [*by_class.folds] == ["Exceeds"]
    more = classifier().mc_predict(X, 50, rng=0, folds=folds, first_sample=50, keep_samples=True)
    both = p.merge(more)
    every = np.concatenate([p.samples, more.samples])
    np.testing.assert_array_equal(both.folds["often"], (every > 0.25).mean(axis=0))
    np.testing.assert_array_equal(both.folds["most"], every.max(axis=(0, 2)))


def test_folds_may_have_the_names_of_statistics() -> None:
    p = classifier().mc_predict(X, 20, rng=0, folds={"mean": Largest}, keep_samples=True)
    mean = p.samples.mean(axis=0, dtype=float)
    np.testing.assert_allclose(p.mean, mean, rtol=1e-12)
    np.testing.assert_array_equal(p.folds["mean"], p.samples.max(axis=(0, 2)))
    np.testing.assert_allclose(p.mean, mean, rtol=1e-12)


@pytest.mark.parametrize(
    ("folds", "error", "match"),
    [
        ("covariance", TypeError, "folds: expected a sequence of folds"),
        (["variance"], ValueError, "folds: expected 'covariance'|folds: expected one of"),
        ([3], TypeError, "folds: expected objects with add, merge and result"),
        ([Exceeds(1), Exceeds(2)], ValueError, "folds: expected folds of different names"),
        ({1: Exceeds()}, TypeError, "folds: expected"),
    ],
)
def test_folds_that_are_none(folds: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        classifier().mc_predict(X, 5, rng=0, folds=folds)


def test_functions_of_samples() -> None:
    plain = classifier("linear").mc_predict(X, 50, rng=0, keep_samples=True)

    def total(values: Array) -> Array:
        assert values.shape[2:] == (CLASSES,)
        return np.asarray(values.sum(axis=-1))

    p = classifier("linear").mc_predict(X, 50, rng=0, transform=total, keep_samples=True)
    assert p.mean.shape == (6,)
    np.testing.assert_array_equal(p.samples, plain.samples.sum(axis=-1))
    np.testing.assert_allclose(p.mean, plain.samples.sum(axis=-1, dtype=float).mean(axis=0), 1e-5)
    doubled = classifier("linear").mc_predict(
        X, 50, rng=0, transform=lambda v: 2.0 * v.astype(float), keep_samples=True
    )
    assert doubled.samples.dtype == np.float64
    np.testing.assert_array_equal(doubled.samples, 2.0 * plain.samples.astype(float))
    # What comes out need not be what the activation says, unless one says so.
    assert classifier().mc_predict(X, 5, rng=0, transform=lambda v: v).kind == "regression"
    p = classifier().mc_predict(X, 5, rng=0, transform=lambda v: v, kind="multiclass")
    assert p.kind == "multiclass"
    empty = classifier().mc_predict(X[:0], 5, rng=0, transform=total)
    assert empty.mean.shape == (0,)


def test_functions_whose_second_parameter_is_their_own() -> None:
    """As scalers have `copy=None` and NumPy's functions an axis: it keeps its default."""

    def unscaled(values: Array, copy: Any = None) -> Array:
        assert copy is None
        return np.asarray(values * 2)

    p = classifier("linear").mc_predict(X, 20, rng=0, transform=unscaled, keep_samples=True)
    plain = classifier("linear").mc_predict(X, 20, rng=0, keep_samples=True)
    assert np.array_equal(p.samples, 2 * plain.samples)
    tanh = classifier("linear").mc_predict(X, 20, rng=0, transform=np.tanh, keep_samples=True)
    np.testing.assert_allclose(tanh.samples, np.tanh(plain.samples), rtol=1e-6)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    for wrong in (lambda: 0, lambda a, b, c: a):
        with pytest.raises(TypeError, match="transform: expected a callable of one or two"):
            classifier().mc_predict(X, 20, rng=rng, transform=wrong)
    assert rng.bit_generator.state == state


def test_functions_of_samples_that_know_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their numbers in x, whatever block they come in and wherever the call begins."""
    from fastdrop.model import _sampling

    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 4)
    level = np.arange(6.0)

    def at_level(values: Array, rows: Array) -> Array:
        return np.asarray(values + level[rows][:, np.newaxis])

    model = classifier("linear")
    plain = model.mc_predict(X, 20, rng=0, row_offset=9, keep_samples=True)
    for threads in (1, 2):
        p = model.mc_predict(
            X, 20, rng=0, row_offset=9, transform=at_level, keep_samples=True, threads=threads
        )
        assert np.array_equal(p.samples, plain.samples + level[:, np.newaxis])


def test_functions_that_make_other_classes() -> None:
    """Measures of classes are of those that come out."""

    def joined(values: Array) -> Array:
        return np.stack([values[..., :2].sum(-1), values[..., 2:].sum(-1)], axis=-1)

    options: dict[str, Any] = {"transform": joined, "kind": "multiclass"}
    p = classifier().mc_predict(X, 50, rng=0, keep_samples=True, **options)
    there = Prediction.from_samples(p.samples, "multiclass")
    for name in ("label", "entropy", "expected_entropy", "variation_ratio", "margin"):
        np.testing.assert_array_equal(getattr(p, name), getattr(there, name))


@pytest.mark.parametrize(
    ("transform", "error"),
    [
        (lambda v: v[0], ValueError),
        (lambda v: v[:, :1], ValueError),
        (lambda v: v.astype(str), TypeError),
        (lambda v: v + 1j, TypeError),
        (3, TypeError),
    ],
)
def test_functions_that_do_not_fit(transform: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^transform: expected"):
        classifier().mc_predict(X, 5, rng=0, transform=transform)


def test_functions_that_change_their_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastdrop.model import _sampling

    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 4)
    shapes = iter([(2,), (3,)])
    with pytest.raises(ValueError, match=r"transform: expected an array of shape \(.*, 2\)"):
        classifier().mc_predict(
            X, 8, rng=0, threads=1, transform=lambda v: np.zeros((*v.shape[:2], *next(shapes)))
        )


# ---- other libraries ----


def test_measures_are_those_of_baal_and_torch_uncertainty() -> None:
    """Both add a constant to what they take logarithms of, which moves them in the last digits."""
    with np.load(Path(__file__).parent / "references" / "uncertainty.npz") as file:
        theirs = dict(file)
    p = Prediction.from_samples(theirs["samples"], "multiclass")
    tolerance = {"rtol": 1e-5, "atol": 2e-6}
    np.testing.assert_allclose(p.entropy, theirs["entropy"], **tolerance)
    np.testing.assert_allclose(p.mutual_information, theirs["bald"], **tolerance)
    np.testing.assert_allclose(p.mutual_information, theirs["mutual_information"], **tolerance)
    # torch-uncertainty counts who does not say what the mean says, which mostly is the mode too.
    votes = np.eye(5)[theirs["samples"].argmax(axis=-1)].sum(axis=0)
    mode = votes.max(axis=-1) == votes[np.arange(40), p.label]
    assert mode.sum() > 25
    np.testing.assert_allclose(
        p.variation_ratio[mode], theirs["variation_ratio"][mode], **tolerance
    )
    assert (p.variation_ratio <= theirs["variation_ratio"] + 1e-6).all()
    assert p.mutual_information.max() > 0.5
    assert p.variation_ratio.max() > 0.5


def test_what_a_prediction_says_cannot_be_overwritten() -> None:
    p = classifier().mc_predict(X, 10, rng=0, keep_samples=True, folds=["covariance"])
    for name in ("mean", "std", "var", "samples", "entropy", "covariance", "variation_ratio"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(p, name)[0] = 1


def in_place(values: Array) -> Array:
    values *= 2
    return values


def test_functions_may_write_into_what_they_are_given() -> None:
    calls = [
        fd.Call(layers.Dropout(name="drop", rate=0.5), "input"),
        fd.Call(layers.Flatten(name="flat"), "drop"),
    ]
    # The same numbers three times, and some that no sample changes.
    model = fd.Model(calls, (5,), outputs=["drop", "flat", "drop", "input"])
    x = X.copy()
    expected = model.mc_predict(x, 50, rng=0, transform=lambda values: 2 * values)
    found = model.mc_predict(x, 50, rng=0, transform=in_place)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(x, X)


def test_functions_may_return_one_array_again_and_again() -> None:
    model = fd.Model([layers.Dropout(name="drop", rate=0.5)], (4,))
    kept = np.empty((20, 6, 2), np.float32)
    given = {"rng": 0, "likelihood": "normal", "threads": 1}
    found = model.mc_predict(X[:, :4], 20, transform=lambda v: np.add(v, 1, out=kept), **given)
    expected = model.mc_predict(X[:, :4], 20, transform=lambda v: v + 1, **given)
    np.testing.assert_array_equal(found.epistemic, expected.epistemic)
    np.testing.assert_array_equal(found.std, expected.std)


class Clears(Exceeds):
    """What writes into what it is given."""

    def add(self, values: Array) -> None:
        super().add(values)
        values[:] = 0


def test_folds_may_write_into_what_they_are_given() -> None:
    samples = np.ones((5, 2, 3))
    p = fd.Prediction.from_samples(samples, folds={"first": Clears(), "second": Exceeds()})
    assert (samples == 1).all()
    np.testing.assert_array_equal(p.folds["second"], np.ones((2, 3)))
    calls = [fd.Call(layers.Dropout(name="drop", rate=0.5), "input")]
    model = fd.Model(calls, (5,), outputs=["drop", "drop"])
    one, other = model.mc_predict(X, 50, rng=0, folds=[Clears])
    np.testing.assert_array_equal(one.mean, other.mean)


def test_copies_cannot_be_overwritten_either() -> None:
    p = classifier().mc_predict(X, 10, rng=0, keep_samples=True)
    p.entropy.sum(), p.samples.sum()
    for again in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        np.testing.assert_array_equal(again.samples, p.samples)
        for name in ("mean", "entropy", "samples"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(again, name)[0] = 1


def test_events_that_rounding_makes_more_than_certain() -> None:
    p = fd.Prediction.from_samples(np.full((5, 2), 1 + 1e-7), kind="binary")
    for name in ("entropy", "expected_entropy", "mutual_information"):
        np.testing.assert_array_equal(getattr(p, name), np.zeros(2))


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_what_samples_without_probabilities_say(kind: str) -> None:
    samples = np.full((4, 3, 2), 0.5)
    samples[2, 1] = np.nan
    p = fd.Prediction.from_samples(samples, kind=kind)
    for name in ("entropy", "expected_entropy", "variation_ratio", "margin"):
        unknown = np.isnan(getattr(p, name))
        assert unknown[1].all()
        assert not unknown[[0, 2]].any()


def test_predictions_of_no_row_are_merged() -> None:
    given = {"rng": 0, "folds": ["covariance", Exceeds], "keep_samples": True}
    one = classifier().mc_predict(X[:0], 10, **given)
    more = classifier().mc_predict(X[:0], 20, first_sample=10, **given)
    both = one.merge(more)
    assert both.n_samples == 30
    assert both.samples is not None
    assert both.samples.shape == (30, 0, CLASSES)
    assert both.covariance.shape == (0, CLASSES, CLASSES)
    assert both.kind == "multiclass"
    whole = classifier().mc_predict(X, 10, **given)
    np.testing.assert_array_equal(one.merge(whole).folds["Exceeds"], whole.folds["Exceeds"])
    with pytest.raises(ValueError, match="of the same key, which are in both"):
        one.merge(one)


def test_samples_of_two_precisions_are_not_merged() -> None:
    """Or numbers of the more precise would be rounded, and large ones become infinite."""
    one = fd.Prediction.from_samples(np.array([[1.0], [2.0]], np.float32))
    for row_offset in (0, 1):
        other = fd.Prediction.from_samples(np.array([[1e300], [2.0]]), row_offset=row_offset)
        match = r"other: expected one of the same kind \(.*float32.*\), got .*float64"
        with pytest.raises(ValueError, match=match):
            one.merge(other)


def test_why_predictions_are_not_merged_is_told() -> None:
    plain = classifier("linear").mc_predict(X, 10, rng=0)
    other = classifier("linear").mc_predict(X, 10, rng=1, transform=lambda values: 2 * values)
    with pytest.raises(ValueError, match=r"other: expected .*, got .*transformed"):
        plain.merge(other)


class Ragged(Exceeds):
    """What says something of another shape of each row."""

    def result(self) -> Any:
        return np.zeros(int(np.ravel(self.above)[0] * 10))


class Words(Exceeds):
    def result(self) -> Any:
        return {"above": self.above}


def test_what_folds_say_is_told_by_their_name() -> None:
    rows = np.array([[[0.0], [1.0]]])
    p = fd.Prediction.from_samples(rows, folds={"odd": Ragged(), "words": Words()})
    with pytest.raises(ValueError, match="folds 'odd': expected results of one shape"):
        p.folds  # noqa: B018
    many = fd.Prediction.from_samples(np.zeros((2, 300)), folds=[Largest])
    assert many.folds["Largest"].shape == (300,)
    p = fd.Prediction.from_samples(rows, folds={"words": Words()})
    with pytest.raises(TypeError, match="folds 'words': expected results that are numbers"):
        p.folds  # noqa: B018


def test_names_of_folds_that_are_taken() -> None:
    with pytest.raises(ValueError, match="folds: expected another name than 'covariance'"):
        classifier().mc_predict(X, 5, rng=0, folds={"covariance": Exceeds})


def test_functions_that_become_more_precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their numbers would be rounded to those of the first samples."""
    from fastdrop.model import _sampling

    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 9)
    calls = []

    def transform(values: Array) -> Array:
        calls.append(values)
        return values.astype(np.float32 if len(calls) == 1 else np.float64)

    with pytest.raises(TypeError, match="transform: expected float32 to be returned, as before"):
        classifier("linear").mc_predict(X, 50, rng=0, transform=transform)

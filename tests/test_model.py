"""Models: Keras's predictions, the distribution of Monte-Carlo samples, and the laws."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend
from fastdrop.layers import LSTM, Activation, Dense, Dropout, Embedding
from fastdrop.model import Model, _sampling
from references.simulate import FAULTS, moments, simulate, z_scores
from tolerances import FLOAT32, assert_close

REFERENCES = Path(__file__).with_name("references")
# Standard errors. 27 comparisons at 4.5 go wrong by chance once in 5,000 runs; seeds are fixed.
AGREES, DETECTED = 4.5, 8.0


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCES / "mc_model.npz") as file:
        return dict(file)


@pytest.fixture
def small(reference: dict[str, np.ndarray]) -> Model:
    """The model of the reference, without going through a file."""
    r = reference
    return Model(
        [
            Embedding(name="embedding", table=r["embedding"]),
            Dropout(name="dropout", rate=0.3),
            LSTM(
                name="lstm",
                kernel=r["kernel"],
                recurrent_kernel=r["recurrent_kernel"],
                bias=r["bias"],
                dropout=0.4,
                recurrent_dropout=0.3,
            ),
            Dense(
                name="dense",
                kernel=r["dense_kernel"],
                bias=r["dense_bias"],
                activation="sigmoid",
            ),
        ],
        (10,),
    )


def largest(scores: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(z).max()) for z in scores.values())


def test_predict_is_keras(backend: str, small: Model, reference: dict[str, np.ndarray]) -> None:
    assert_close(small.predict(reference["x"]), reference["predict"], FLOAT32)


def test_the_file_gives_the_same_model(small: Model, reference: dict[str, np.ndarray]) -> None:
    model = fd.load(REFERENCES / "mc_model.keras")
    x = reference["x"]
    assert np.array_equal(model.predict(x), small.predict(x))
    a = model.mc_predict(x, samples=5, rng=1, keep_samples=True)
    b = small.mc_predict(x, samples=5, rng=1, keep_samples=True)
    # Sites count layers, so an input layer that holds nothing must not shift them.
    assert np.array_equal(a.samples, b.samples)


def test_the_distribution_is_keras(
    backend: str, small: Model, reference: dict[str, np.ndarray]
) -> None:
    """Means, variances and the rows' covariance against 5,000 passes of Keras."""
    # NumPy's backend takes its time, and has the same masks.
    samples = 200 if backend == "numpy" else 5000
    p = small.mc_predict(reference["x"], samples, rng=2024, keep_samples=True)
    assert largest(z_scores(reference, moments(p.samples))) < AGREES
    np.testing.assert_allclose(p.mean, p.samples.mean(axis=0, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(p.std, p.samples.std(axis=0, ddof=1, dtype=float), rtol=1e-9)


@pytest.mark.long  # of the comparison itself, not of what is compared
@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_the_comparison_sees_wrong_masks(
    fault: str | None, reference: dict[str, np.ndarray]
) -> None:
    """Masks scaled wrongly, shared wrongly or missing, simulated, fail the comparison above."""
    weights = {name: reference[name] for name in reference if reference[name].ndim and name != "x"}
    rng = np.random.default_rng(1)
    wrong = simulate(weights, reference["x"], 5000, rng, fault=fault)
    difference = largest(z_scores(reference, moments(wrong)))
    assert difference < AGREES if fault is None else difference > DETECTED


def broken(model: Model, **changes: Any) -> Model:
    """The model with some fields of its LSTM changed."""
    layers = list(model.layers)
    layers[2] = replace(layers[2], **changes)
    return Model(layers, model.input_shape)


@pytest.mark.parametrize(
    "change",
    [{"dropout": 0.0}, {"recurrent_dropout": 0.0}, {"scheme": "tied"}, "shared", "no layer"],
    ids=str,
)
def test_the_comparison_sees_a_library_that_errs(
    change: Any, small: Model, reference: dict[str, np.ndarray]
) -> None:
    """The same faults made in fastdrop itself."""
    scope = "shared" if change == "shared" else "per_row"
    model = broken(small, **change) if isinstance(change, dict) else small
    if change == "no layer":
        model = Model([small.layers[0], *small.layers[2:]], small.input_shape)
    p = model.mc_predict(reference["x"], samples=5000, rng=1, scope=scope, keep_samples=True)
    assert largest(z_scores(reference, moments(p.samples))) > DETECTED


def test_unscaled_masks_are_seen(
    small: Model, reference: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastdrop._check.scale", lambda threshold, dtype: 1.0)
    p = small.mc_predict(reference["x"], samples=5000, rng=1, keep_samples=True)
    assert largest(z_scores(reference, moments(p.samples))) > DETECTED


# ---- laws ----


def tokens(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 20, (rows, 10))


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_sample_m_of_row_n_is_always_the_same(backend: str, small: Model, scope: str) -> None:
    """However many samples, rows and threads there are, and however they are cut."""
    x = tokens(13)
    options: dict[str, Any] = {"rng": 3, "scope": scope, "keep_samples": True}
    whole = small.mc_predict(x, samples=9, **options, threads=1)
    for start, stop, samples, threads in (
        (0, 13, 9, 2),
        (4, 5, 9, 1),
        (2, 12, 4, 3),
        (12, 13, 1, 7),
    ):
        part = small.mc_predict(
            x[start:stop], samples=samples, row_offset=start, threads=threads, **options
        )
        assert np.array_equal(part.samples, whole.samples[:samples, start:stop])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sampling, "_CHUNK_ROWS", 3)
        cut = small.mc_predict(x, samples=9, **options, threads=2)
    for name in ("samples", "mean", "std"):
        assert np.array_equal(getattr(cut, name), getattr(whole, name))
    assert np.array_equal(cut.quantile([0, 0.3, 1]), whole.quantile([0, 0.3, 1]))


def test_samples_are_lstm_calls(backend: str, small: Model) -> None:
    """A sample equals the public functions called with the keys of the calls that can draw."""
    x = tokens(4)
    embedding, drop, lstm, dense = small.layers
    p = small.mc_predict(x, samples=3, rng=8, row_offset=5, keep_samples=True)
    keys = [fd.Key(8).fold_in(n) for n in range(2)]
    for m in range(3):
        e = embedding.table[x]
        e = fd.dropout(e, drop.rate, rng=keys[0], stream=m, offset=5 * 10 * 8)
        h = fd.lstm(
            e,
            lstm.kernel,
            lstm.recurrent_kernel,
            lstm.bias,
            dropout=0.4,
            recurrent_dropout=0.3,
            rng=keys[1],
            sample=m,
            row_offset=5,
        )
        y = fd.dense(h, dense.kernel, dense.bias, activation="sigmoid")
        assert np.array_equal(p.samples[m], y)


def test_a_shared_sample_is_one_network(backend: str, small: Model) -> None:
    x = np.repeat(tokens(1), 5, axis=0)
    shared = small.mc_predict(x, samples=4, rng=0, scope="shared", keep_samples=True).samples
    assert np.array_equal(shared, np.repeat(shared[:, :1], 5, axis=1))
    assert len(np.unique(shared[:, 0, 0])) == 4


def test_predict_does_not_depend_on_the_batch(backend: str, small: Model) -> None:
    x = tokens(150)
    whole = small.predict(x, threads=1)
    assert np.array_equal(small.predict(x, threads=3), whole)
    assert np.array_equal(np.concatenate([small.predict(x[n : n + 1]) for n in range(150)]), whole)


def test_one_mask_value_a_row(backend: str, small: Model) -> None:
    still = broken(small, dropout=0.0, recurrent_dropout=0.0)
    embedding, _, *rest = still.layers
    one_value_a_row = Dropout(name="d", rate=0.5, noise_shape=(None, 1, 1))
    x = tokens(4)
    model = Model([embedding, one_value_a_row, *rest], (10,))
    p = model.mc_predict(x, samples=40, rng=0, keep_samples=True)
    # A row that is kept is doubled, one that is dropped is all zero.
    doubled, zero = (
        Model([Embedding(name="e", table=np.float32(factor) * embedding.table), *rest], (10,))
        for factor in (2, 0)
    )
    for n in range(4):
        expected = {doubled.predict(x)[n].tobytes(), zero.predict(x)[n].tobytes()}
        assert {p.samples[m, n].tobytes() for m in range(40)} == expected


def test_a_model_without_dropout_has_no_samples(small: Model) -> None:
    plain = Model([small.layers[0], small.layers[3]][:1], (10,))
    with pytest.raises(ValueError, match=r"mc_predict: expected a model with dropout"):
        plain.mc_predict(tokens(2))


def test_layers_that_follow_each_other(backend: str) -> None:
    """Padding is passed over, sequences go from layer to layer, softmax sums to one."""
    rng = np.random.default_rng(0)

    def lstm(name: str, inputs: int, units: int, **more: Any) -> LSTM:
        return LSTM(
            name=name,
            kernel=rng.normal(size=(inputs, 4 * units)).astype("f4"),
            recurrent_kernel=rng.normal(size=(units, 4 * units)).astype("f4"),
            dropout=0.2,
            **more,
        )

    model = Model(
        [
            Embedding(name="e", table=rng.normal(size=(20, 4)).astype("f4"), mask_zero=True),
            lstm("a", 4, 5, return_sequences=True),
            Activation(name="t", activation="tanh"),
            lstm("b", 5, 6),
            Dense(name="d", kernel=rng.normal(size=(6, 3)).astype("f4"), activation="softmax"),
        ],
        (None,),
    )
    assert model.output_shape == (3,)
    short = np.array([[3, 7, 1, 9]])
    padded = np.pad(short, ((0, 0), (0, 5)))
    assert np.array_equal(model.predict(padded), model.predict(short))
    a = model.mc_predict(short, samples=20, rng=0, keep_samples=True).samples
    b = model.mc_predict(padded, samples=20, rng=0, keep_samples=True).samples
    assert np.array_equal(a, b)
    np.testing.assert_allclose(a.sum(axis=-1), 1, rtol=1e-6)


def test_empty_batches(backend: str, small: Model) -> None:
    assert small.predict(tokens(0)).shape == (0, 3)
    p = small.mc_predict(tokens(0), samples=3, rng=0)
    assert p.mean.shape == p.std.shape == (0, 3)
    assert p.quantile([0.1, 0.9]).shape == (2, 0, 3)


def small_lstm(**options: Any) -> tuple[LSTM, list[np.ndarray]]:
    rng = np.random.default_rng(4)
    arrays = [rng.normal(0, 0.4, shape).astype("f4") for shape in ((5, 24), (6, 24), (24,))]
    kernel, recurrent_kernel, bias = arrays
    lstm = LSTM(name="l", kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias, **options)
    return lstm, arrays


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"recurrent_activation": "hard_sigmoid_legacy"},
        {"go_backwards": True},
        {"return_sequences": True},
        {"return_sequences": True, "zero_output_for_mask": True},
    ],
    ids=str,
)
def test_a_layer_does_what_its_options_say(backend: str, options: dict[str, Any]) -> None:
    """A layer's fields reach `lstm`: a model with them differs from one without, and equals it."""
    table = np.random.default_rng(5).normal(size=(9, 5)).astype("f4")
    words = Embedding(name="e", table=table, mask_zero=True)
    lstm, arrays = small_lstm(**options)
    x = np.random.default_rng(6).integers(0, 3, (4, 8))
    expected = fd.lstm(table[x], *arrays, mask=x != 0, **options)
    assert np.array_equal(Model([words, lstm], (8,)).predict(x), expected)
    plain = Model([words, small_lstm()[0]], (8,)).predict(x)
    assert plain.shape != expected.shape or not np.allclose(plain, expected)


@pytest.mark.parametrize("noise_shape", [(1, None, None), (1, 1, None), (None, 1, None)])
def test_noise_shapes_do_not_depend_on_the_split(backend: str, noise_shape: Any) -> None:
    model = Model([Dropout(name="d", rate=0.5, noise_shape=noise_shape)], (3, 4))
    x = np.ones((7, 3, 4), np.float32)
    whole = model.mc_predict(x, samples=5, rng=0, keep_samples=True).samples
    part = model.mc_predict(x[4:6], samples=5, rng=0, row_offset=4, keep_samples=True).samples
    assert np.array_equal(part, whole[:, 4:6])
    if noise_shape[0] == 1:
        assert np.array_equal(whole, np.repeat(whole[:, :1], 7, axis=1))
    else:
        assert len(np.unique(whole.reshape(5, 7, -1)[0], axis=0)) > 1


def test_layers_before_the_first_mask_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = Embedding.forward
    monkeypatch.setattr(
        Embedding,
        "forward",
        lambda self, flow, draw: calls.append(flow.values.size) or forward(self, flow, draw),
    )
    model = Model(
        [
            Embedding(name="e", table=np.ones((3, 2), np.float32)),
            Dropout(name="d", rate=0.5),
        ],
        (4,),
    )
    model.mc_predict(np.zeros((5, 4), int), samples=300, rng=0, threads=3)
    assert sum(calls) == 5 * 4


def test_a_refused_call_draws_nothing_from_a_generator(small: Model) -> None:
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    x = tokens(3)
    x[2, 9] = 20
    with pytest.raises(ValueError, match="x: expected indices"):
        small.mc_predict(x, rng=generator)
    assert generator.bit_generator.state == before


def test_nan_and_infinity_are_folded_without_warnings(backend: str) -> None:
    model = Model([Dropout(name="d", rate=0.5)], (3,))
    p = model.mc_predict([[np.nan, np.inf, 1.0]], samples=20, rng=0)
    assert np.isnan(p.quantile([0, 0.1, 0.5, 1])[:, 0, 0]).all()
    assert np.isnan(p.mean[0, 0])
    assert p.quantile(1)[0, 1] == np.inf
    assert np.isfinite(p.mean[0, 2])


# ---- statistics ----


@pytest.mark.parametrize("samples", [1, 2, 7, 1024])
def test_quantiles_are_exact_up_to_1024(small: Model, samples: int) -> None:
    p = small.mc_predict(tokens(2), samples=samples, rng=0, keep_samples=True)
    q = np.array([[0, 0.05, 0.5], [0.77, 0.95, 1]])
    expected = np.quantile(p.samples.astype(float), q, axis=0)
    np.testing.assert_allclose(p.quantile(q), expected, rtol=1e-12)
    np.testing.assert_allclose(p.quantile(0.5), np.quantile(p.samples.astype(float), 0.5, axis=0))


def test_one_sample_has_no_deviation(small: Model) -> None:
    assert np.isnan(small.mc_predict(tokens(2), samples=1, rng=0).std).all()


@pytest.mark.parametrize("order", ["shuffled", "ascending", "descending", "two values"])
def test_quantiles_of_many_values_keep_their_bound(order: str) -> None:
    from fastdrop.uncertainty._quantiles import CAPACITY, QuantileSketch

    n = 40_000
    values = np.arange(n, dtype=np.float32)
    if order == "shuffled":
        np.random.default_rng(0).shuffle(values)
    elif order == "descending":
        values = values[::-1]
    elif order == "two values":
        values = (values % 2) * 100
    sketch = QuantileSketch(1, n, values.dtype)
    for first in range(0, n, 700):
        sketch.add(values[first : first + 700, np.newaxis])
    q = np.linspace(0, 1, 101)
    got = sketch.quantile(q)[:, 0]
    assert (got[0], got[-1]) == (values.min(), values.max())
    bound = np.log2(n / CAPACITY) / (2 * CAPACITY) * n
    if order == "two values":
        assert set(got[q < 0.49]) == {0}
        assert set(got[q > 0.51]) == {100}
    else:
        error = got - q * (n - 1)
        assert np.abs(error).max() <= bound
        # Merges that always kept the lower of two values would push everything down.
        assert abs(error.mean()) <= bound / 5
    held = sum(len(level) for level in sketch._levels if level is not None)
    assert held <= CAPACITY * np.ceil(np.log2(n / CAPACITY))


def test_backends_agree_on_samples(small: Model) -> None:
    draws = []
    for backend in BACKENDS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_backend, "active", backend)
            p = small.mc_predict(tokens(3), samples=10, rng=0, keep_samples=True)
            draws.append(p.samples)
    for other in draws[1:]:
        assert_close(other, draws[0], FLOAT32)

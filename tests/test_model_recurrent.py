"""Models of recurrent layers: the distribution of Keras's samples, and the laws."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from data.mc_recurrent.make import compared
from fastdrop.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    RepeatVector,
    SimpleRNN,
    SpatialDropout1D,
    TimeDistributed,
)
from fastdrop.model import Model, _sampling
from references.simulate import moments, z_scores
from tolerances import FLOAT32, assert_close

FOLDER = Path(__file__).parent / "data" / "mc_recurrent"
MODELS = ("channels", "decoder")
# Standard errors. 300 comparisons at 5 go wrong by chance once in 5,000 runs; seeds are fixed.
AGREES, DETECTED = 5.0, 6.5

CELLS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SimpleRNN}
FUNCTIONS = {"lstm": fd.lstm, "gru": fd.gru, "simple_rnn": fd.simple_rnn}
RATES = {"dropout": 0.3, "recurrent_dropout": 0.4}
WORDS, FEATURES = 9, 4


def largest(name: str, change: Any = lambda model: model, **options: Any) -> float:
    """The largest distance from 5,000 passes of Keras, in standard errors, of a changed model."""
    with np.load(FOLDER / f"{name}.npz") as file:
        reference = dict(file)
    model = change(fd.load(FOLDER / f"{name}.keras"))
    p = model.mc_predict(reference["x"], rng=7, keep_samples=True, **options)
    scores = z_scores(reference, moments(compared(p.samples)))
    return max(float(np.abs(z).max()) for z in scores.values())


@pytest.mark.parametrize("name", MODELS)
def test_the_distribution_is_keras(backend: str, name: str) -> None:
    """Means, variances and the rows' covariance against Keras's."""
    # NumPy's backend takes its time, and has the same masks.
    samples = 200 if backend == "numpy" else 5000
    assert largest(name, samples=samples) < AGREES


@pytest.mark.parametrize("name", MODELS)
def test_predict_is_keras(backend: str, name: str) -> None:
    with np.load(FOLDER / f"{name}.npz") as file:
        y = fd.load(FOLDER / f"{name}.keras").predict(file["x"])
        assert_close(y, file["predict"], FLOAT32)


def without(model: Model, index: int) -> Model:
    return Model([*model.layers[:index], *model.layers[index + 1 :]], model.input_shape)


def changed(model: Model, index: int, **changes: Any) -> Model:
    layers = list(model.layers)
    layers[index] = replace(layers[index], **changes)
    return Model(layers, model.input_shape)


def elementwise(model: Model) -> Model:
    drop = Dropout(name="drop", rate=model.layers[1].rate)
    return Model([model.layers[0], drop, *model.layers[2:]], model.input_shape)


def one_direction(model: Model) -> Model:
    backward = replace(model.layers[2].backward, dropout=0.0, recurrent_dropout=0.0)
    return changed(model, 2, backward=backward)


FAULTS = {
    "no spatial dropout": ("channels", lambda m: without(m, 1)),
    "elementwise": ("channels", elementwise),
    "one direction": ("channels", one_direction),
    "no input masks": ("decoder", lambda m: changed(m, 1, dropout=0.0)),
    "no recurrent masks": ("decoder", lambda m: changed(m, 1, recurrent_dropout=0.0)),
    "tied": ("decoder", lambda m: changed(m, 3, scheme="tied")),
    "decoder without input masks": ("decoder", lambda m: changed(m, 3, dropout=0.0)),
    "decoder without recurrent masks": (
        "decoder",
        lambda m: changed(m, 3, recurrent_dropout=0.0),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_sees_a_library_that_errs(fault: str) -> None:
    assert largest(*FAULTS[fault], samples=5000) > DETECTED


@pytest.mark.parametrize("name", MODELS)
def test_the_comparison_sees_shared_rows(name: str) -> None:
    assert largest(name, samples=5000, scope="shared") > DETECTED


# ---- laws ----


def arrays(cell: str, features: int, units: int, seed: int = 0, **options: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    width = {"lstm": 4, "gru": 3, "simple_rnn": 1}[cell] * units
    two = cell == "gru" and options.get("reset_after", True)
    shapes = {
        "kernel": (features, width),
        "recurrent_kernel": (units, width),
        "bias": (2, width) if two else (width,),
    }
    return {name: rng.normal(0, 0.5, shape).astype("f4") for name, shape in shapes.items()}


def cell(kind: str, features: int = FEATURES, units: int = 3, seed: int = 0, **options: Any) -> Any:
    weights = arrays(kind, features, units, seed, **options)
    return CELLS[kind](name=options.pop("name", kind), **weights, **options)


def words(**options: Any) -> Embedding:
    table = np.random.default_rng(1).normal(size=(WORDS, FEATURES)).astype("f4")
    return Embedding(name="words", table=table, **options)


def tokens(rows: int, steps: int = 6, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, WORDS, (rows, steps))


def both(kind: str = "gru", merge_mode: str = "concat", **options: Any) -> Bidirectional:
    return Bidirectional(
        name="both",
        forward=cell(kind, seed=1, name="forward", **options),
        backward=cell(kind, seed=2, name="backward", go_backwards=True, **options),
        merge_mode=merge_mode,
    )


def whole() -> Model:
    """A model of every recurrent class."""
    return Model(
        [
            words(mask_zero=True),
            SpatialDropout1D(name="channels", rate=0.3),
            both("lstm", return_sequences=True, **RATES),
            cell("gru", 6, reset_after=False, return_sequences=True, **RATES),
            cell("simple_rnn", 3, 4, **RATES),
            RepeatVector(name="again", count=5),
            both("gru", "mul", return_sequences=True, **RATES),
            TimeDistributed(name="steps", layer=dense(3, 4)),
            Activation(name="soft", activation="softmax"),
        ],
        (None,),
    )


def dense(inputs: int, columns: int) -> Dense:
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(size=(inputs, columns)), rng.normal(size=columns)
    return Dense(name="dense", kernel=kernel.astype("f4"), bias=bias.astype("f4"))


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_sample_m_of_row_n_is_always_the_same(backend: str, scope: str) -> None:
    """However many samples, rows and threads there are, and however they are cut."""
    model, x = whole(), tokens(7)
    options: dict[str, Any] = {"rng": 3, "scope": scope, "keep_samples": True}
    draws = model.mc_predict(x, samples=5, **options, threads=1).samples
    for start, stop, samples, threads in ((0, 7, 5, 2), (3, 4, 5, 1), (2, 7, 2, 3)):
        part = model.mc_predict(
            x[start:stop], samples=samples, row_offset=start, threads=threads, **options
        )
        assert np.array_equal(part.samples, draws[:samples, start:stop])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sampling, "_CHUNK_ROWS", 3)
        assert np.array_equal(model.mc_predict(x, samples=5, **options).samples, draws)


def test_a_shared_sample_is_one_network(backend: str) -> None:
    x = np.repeat(tokens(1), 4, axis=0)
    shared = whole().mc_predict(x, samples=3, rng=0, scope="shared", keep_samples=True).samples
    assert np.array_equal(shared, np.repeat(shared[:, :1], 4, axis=1))
    assert len(np.unique(shared[:, 0, 0, 0])) == 3


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lstm", {"scheme": "tied"}),
        ("gru", {}),
        ("gru", {"reset_after": False, "recurrent_activation": "hard_sigmoid"}),
        ("gru", {"scheme": "tied", "activation": "relu"}),
        ("simple_rnn", {"activation": "sigmoid"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_samples_are_calls_of_the_public_functions(
    backend: str, kind: str, options: dict[str, Any], scope: str
) -> None:
    """A sample equals `rnn` on the embedded words, with the layer's own key."""
    layer = cell(kind, return_sequences=True, **RATES, **options)
    x = tokens(4)
    model = Model([words(), layer], (6,))
    p = model.mc_predict(x, samples=3, rng=8, row_offset=5, scope=scope, keep_samples=True)
    scheme = options.pop("scheme", "per_gate")
    for m in range(3):
        expected = FUNCTIONS[kind](
            model.layers[0].table[x],
            **arrays(kind, FEATURES, 3, **options),
            **options,
            **RATES,
            rng=fd.Key(8).fold_in(0),
            scheme=scheme if kind != "simple_rnn" else "tied",
            scope=scope,
            sample=m,
            row_offset=5,
            return_sequences=True,
        )
        assert np.array_equal(p.samples[m], expected)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_directions_have_masks_of_their_own(backend: str, scope: str) -> None:
    """They draw where the directions of a pair do in `rnn`."""
    x = tokens(4)
    layer = both(return_sequences=True, **RATES)
    model = Model([words(), layer], (6,))
    p = model.mc_predict(x, samples=2, rng=8, scope=scope, keep_samples=True)
    for m in range(2):
        outputs = [
            fd.rnn(
                model.layers[0].table[x],
                part.packed,
                **RATES,
                rng=fd.Key(8).fold_in(0),
                site=8 * d,
                sample=m,
                scope=scope,
                go_backwards=d == 1,
                return_sequences=True,
            )
            for d, part in enumerate((layer.forward, layer.backward))
        ]
        assert np.array_equal(p.samples[m], np.concatenate([outputs[0], outputs[1][:, ::-1]], -1))


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_merge_modes(backend: str, kind: str, sequences: bool) -> None:
    x = tokens(3)
    layers = {
        mode: Model([words(mask_zero=True), both(kind, mode, return_sequences=sequences)], (6,))
        for mode in ("concat", "sum", "mul", "ave")
    }
    y = {mode: model.predict(x) for mode, model in layers.items()}
    forward, backward = y["concat"][..., :3], y["concat"][..., 3:]
    assert np.array_equal(y["sum"], forward + backward)
    assert np.array_equal(y["mul"], forward * backward)
    assert np.array_equal(y["ave"], (forward + backward) / 2)
    packed = tuple(
        part.packed for part in (layers["sum"].layers[1].forward, layers["sum"].layers[1].backward)
    )
    table = layers["sum"].layers[0].table
    pair = fd.rnn(table[x], packed, mask=x != 0, merge_mode="concat", return_sequences=sequences)
    assert np.array_equal(y["concat"], pair)
    assert y["concat"].shape[-1] == 6
    assert layers["concat"].output_shape[-1] == 6
    assert layers["ave"].output_shape[-1] == 3


# ---- spatial dropout, and tables that nobody has looked up ----


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize("embedded", [False, True])
def test_spatial_dropout_is_dropout_of_channels(backend: str, scope: str, embedded: bool) -> None:
    x = tokens(5) if embedded else np.random.default_rng(0).normal(size=(5, 6, 4))
    first = [words()] if embedded else []
    shape = (6,) if embedded else (6, 4)
    spatial = Model([*first, SpatialDropout1D(name="s", rate=0.4)], shape)
    plain = Model([*first, Dropout(name="d", rate=0.4, noise_shape=(None, 1, None))], shape)
    options: dict[str, Any] = {"samples": 4, "rng": 1, "scope": scope, "keep_samples": True}
    draws = spatial.mc_predict(x, row_offset=3, **options).samples
    assert np.array_equal(draws, plain.mc_predict(x, row_offset=3, **options).samples)
    dropped = (draws == 0).all(axis=2)
    assert np.array_equal(dropped, (draws == 0).any(axis=2))
    assert 0 < dropped.mean() < 1
    assert np.array_equal(dropped, np.repeat(dropped[:, :1], 5, axis=1)) is (scope == "shared")
    assert np.array_equal(spatial.predict(x), Model([*first, same_again()], shape).predict(x))


def same_again() -> Dropout:
    """A layer that changes nothing, but is given activations that were looked up."""
    return Dropout(name="same", rate=0.0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_spatial_dropout_of_nothing_and_of_everything(backend: str, rate: float) -> None:
    last = Dropout(name="d", rate=0.5, noise_shape=(1, 1, 1))
    model = Model([words(), SpatialDropout1D(name="s", rate=rate), last], (6,))
    draws = model.mc_predict(tokens(2), samples=9, rng=0, keep_samples=True).samples
    assert draws.any() == (rate == 0)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("spatial", [0, 1, 2])
def test_looking_up_changes_no_bit(backend: str, kind: str, scope: str, spatial: int) -> None:
    """A recurrent layer behind a table gives what it gives behind the looked-up rows."""
    drops = [SpatialDropout1D(name=f"s{i}", rate=0.4) for i in range(spatial)]
    rest = [cell(kind, return_sequences=True, **RATES), cell(kind, 3, seed=4, **RATES)]
    x = tokens(5)
    options: dict[str, Any] = {"samples": 3, "rng": 1, "scope": scope, "keep_samples": True}
    results = []
    # Calls that can draw are numbered, so one that draws nothing stands at the same place in both.
    for between in (SpatialDropout1D(name="none", rate=0.0), same_again()):
        model = Model([words(mask_zero=True), *drops, between, *rest], (6,))
        results.append((model.predict(x), model.mc_predict(x, **options).samples))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize("random_before", [False, True])
def test_repeating_changes_no_bit(backend: str, scope: str, random_before: bool) -> None:
    before = [Dropout(name="d", rate=0.5 if random_before else 0.0)]
    results = []
    x = np.random.default_rng(0).normal(size=(5, FEATURES)).astype("f4")
    for between in (SpatialDropout1D(name="none", rate=0.0), same_again()):
        model = Model(
            [*before, RepeatVector(name="r", count=7), between, both(**RATES)], (FEATURES,)
        )
        draws = model.mc_predict(x, samples=3, rng=1, scope=scope, keep_samples=True).samples
        results.append((model.predict(x), draws))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


def test_repeat_vector_repeats(backend: str) -> None:
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    model = Model([RepeatVector(name="r", count=4)], (3,))
    assert np.array_equal(model.predict(x), np.repeat(x[:, np.newaxis], 4, axis=1))
    assert model.predict(x[:0]).shape == (0, 4, 3)


def test_infinite_table_rows_can_be_dropped(backend: str) -> None:
    table = np.full((2, 400), np.inf, np.float32)
    layers = [Embedding(name="e", table=table), SpatialDropout1D(name="s", rate=0.5)]
    p = Model(layers, (3,)).mc_predict([[0, 1, 0]], samples=2, rng=0, keep_samples=True)
    assert set(np.unique(p.samples)) == {0, np.inf}


def test_time_distributed_is_dense(backend: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("f4")
    layer = dense(4, 6)
    model = Model([TimeDistributed(name="t", layer=layer)], (3, 5, 4))
    assert np.array_equal(model.predict(x), fd.dense(x, layer.kernel, layer.bias))
    assert model.output_shape == (3, 5, 6)


@pytest.mark.parametrize("as_layer", [False, True])
def test_softmax_is_along_the_last_axis(backend: str, as_layer: bool) -> None:
    x = np.random.default_rng(0).normal(0, 3, size=(2, 5, 4)).astype("f4")
    if as_layer:
        model = Model([Activation(name="a", activation="softmax")], (5, 4))
    else:
        identity = np.eye(4, dtype=np.float32)
        model = Model([Dense(name="d", kernel=identity, activation="softmax")], (5, 4))
    expected = np.exp(x.astype(float))
    expected /= expected.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5)


def test_padding_is_passed_over(backend: str) -> None:
    model = Model([words(mask_zero=True), *whole().layers[1:]], (None,))
    short = np.array([[3, 7, 1]])
    padded = np.pad(short, ((0, 0), (2, 2)))
    assert np.array_equal(model.predict(padded), model.predict(short))
    a, b = (
        model.mc_predict(x, samples=4, rng=0, keep_samples=True).samples for x in (short, padded)
    )
    assert np.array_equal(a, b)


def test_empty_batches(backend: str) -> None:
    model = whole()
    assert model.predict(tokens(0)).shape == (0, 5, 4)
    p = model.mc_predict(tokens(0), samples=3, rng=0)
    assert p.mean.shape == (0, 5, 4)


def test_models_can_be_pickled(backend: str) -> None:
    model = whole()
    copy = pickle.loads(pickle.dumps(model))
    x = tokens(3)
    assert np.array_equal(copy.predict(x), model.predict(x))


def test_weights_that_were_packed_do_not_change() -> None:
    layer = cell("gru")
    for array in (layer.kernel, layer.recurrent_kernel, layer.bias):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_what_is_random_in_words() -> None:
    assert both(**RATES).stochastic == "input dropout 0.3, recurrent dropout 0.4 (per_gate)"
    still = both()
    assert still.stochastic == ""
    forward = replace(still.forward, dropout=0.5)
    assert (
        replace(still, forward=forward).stochastic
        == "forward: input dropout 0.5 (per_gate); backward: nothing"
    )
    assert cell("simple_rnn", dropout=0.25).stochastic == "input dropout 0.25"
    assert SpatialDropout1D(name="s", rate=0.2).stochastic == "spatial dropout 0.2"


def test_the_parts_of_a_layer() -> None:
    layer = both()
    assert layer.parts == (layer.forward, layer.backward)
    distributed = TimeDistributed(name="t", layer=dense(2, 2))
    assert distributed.parts == (distributed.layer,)
    assert list(distributed.weights()) == ["layer.kernel", "layer.bias"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: both(merge_mode="max"), "layer 'both' merge_mode: expected 'concat', 'sum'"),
        (
            lambda: Bidirectional(name="b", forward=both().backward, backward=both().backward),
            "layer 'b' backward: expected a layer with go_backwards=False, got True",
        ),
        (
            lambda: replace(both(), backward=both().forward),
            "layer 'both' backward: expected a layer with go_backwards=True, got False",
        ),
        (
            lambda: replace(both(merge_mode="sum"), forward=cell("gru", units=2)),
            "layer 'both' backward: expected units=2, as the forward layer has, got 3",
        ),
        (
            lambda: replace(both(), forward=cell("gru", return_sequences=True)),
            "layer 'both' backward: expected return_sequences=True, as the forward layer has",
        ),
        (lambda: replace(both(), forward=dense(2, 2)), "forward: expected a recurrent layer, got"),
        (lambda: TimeDistributed(name="t", layer=3), "layer 't' layer: expected a layer, got 3"),
        (lambda: RepeatVector(name="r", count=0), "layer 'r' count: expected an integer >= 1"),
        (lambda: SpatialDropout1D(name="s", rate=2), "layer 's' rate: expected a number in"),
        (
            lambda: GRU(name="g", kernel=np.ones((2, 4), "f4"), recurrent_kernel=np.ones((1, 4))),
            "layer 'g' recurrent_kernel: expected an array of float32",
        ),
        (
            lambda: replace(cell("gru"), bias=np.ones(9, np.float32)),
            "layer 'gru' bias: expected an array of 2 dimensions",
        ),
        (
            lambda: replace(cell("gru", reset_after=False), bias=np.ones((2, 9), np.float32)),
            "layer 'gru' bias: expected an array of 1 dimensions",
        ),
        (lambda: replace(cell("gru"), reset_after=1), "layer 'gru' reset_after: expected True or"),
        (lambda: replace(cell("gru"), scheme="x"), "layer 'gru' scheme: expected 'per_gate'"),
        (lambda: replace(cell("simple_rnn"), dropout=1.0), "layer 'simple_rnn' dropout: expected"),
        (
            lambda: Model([SpatialDropout1D(name="s", rate=0.5)], (3,)),
            r"layer 's': expected an input of shape \(time, channels\), got \(3,\)",
        ),
        (
            lambda: Model([RepeatVector(name="r", count=2)], (3, 4)),
            r"layer 'r': expected an input of shape \(features,\), got \(3, 4\)",
        ),
        (
            lambda: Model([TimeDistributed(name="t", layer=dense(4, 4))], (4,)),
            r"layer 'dense': expected an input of shape \(..., 4\), got \(\)",
        ),
        (
            lambda: Model([both()], (3, 5)),
            r"layer 'forward': expected an input of shape \(time, 4\), got \(3, 5\)",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()

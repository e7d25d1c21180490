"""Sequences that come a step at a time, and forecasts on a model's own output."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import layers
from layer_laws import normal

Array = NDArray[Any]
ROWS, STEPS, SAMPLES = 3, 6, 5


def lstm(name: str, features: int, units: int, **options: Any) -> layers.LSTM:
    return layers.LSTM(
        name=name,
        kernel=normal(features, 4 * units, seed=1),
        recurrent_kernel=normal(units, 4 * units, seed=2),
        bias=normal(4 * units, seed=3),
        **options,
    )


def gru(name: str, features: int, units: int, **options: Any) -> layers.GRU:
    return layers.GRU(
        name=name,
        kernel=normal(features, 3 * units, seed=4),
        recurrent_kernel=normal(units, 3 * units, seed=5),
        bias=normal(2, 3 * units, seed=6),
        **options,
    )


def simple(name: str, features: int, units: int, **options: Any) -> layers.SimpleRNN:
    return layers.SimpleRNN(
        name=name,
        kernel=normal(features, units, seed=4),
        recurrent_kernel=normal(units, units, seed=5),
        **options,
    )


def dense(name: str, features: int, units: int, activation: str = "linear") -> layers.Dense:
    return layers.Dense(name=name, kernel=normal(features, units, seed=7), activation=activation)


both: dict[str, Any] = {"dropout": 0.2, "recurrent_dropout": 0.3}
again: dict[str, Any] = {"return_sequences": True}
# Chains that are causal, for inputs of 4 features.
CHAINS: dict[str, list[Any]] = {
    "lstm": [lstm("l", 4, 5, **both)],
    "gru": [gru("g", 4, 5, **both)],
    "gru, reset before": [
        layers.GRU(
            name="g",
            kernel=normal(4, 15),
            recurrent_kernel=normal(5, 15),
            reset_after=False,
            **both,
        )
    ],
    "simple": [simple("s", 4, 5, **both)],
    "sequences": [lstm("l", 4, 5, **both, **again)],
    "stack": [
        lstm("l", 4, 5, **both, **again),
        layers.SpatialDropout1D(name="drop", rate=0.3),
        layers.LayerNormalization(
            name="norm", gamma=normal(5, seed=8), beta=normal(5, seed=9), epsilon=1e-3
        ),
        gru("g", 5, 3, **both),
        dense("d", 3, 2, "softmax"),
    ],
    "every step": [
        lstm("l", 4, 5, **both, **again),
        layers.TimeDistributed(name="t", layer=dense("d", 5, 2, "softmax")),
    ],
    "one mask": [lstm("l", 4, 5, scheme="tied", **both, **again), gru("g", 5, 2, dropout=0.4)],
    "masks of steps": [lstm("l", 4, 5, scheme="tf_keras", dropout=0.3, **again)],
    "padding": [layers.Masking(name="m"), lstm("l", 4, 5, **both)],
    "padding, sequences": [
        layers.Masking(name="m"),
        gru("g", 4, 5, **both, **again),
        lstm("l", 5, 3, **both, **again),
    ],
    "padding, zeros": [
        layers.Masking(name="m"),
        lstm("l", 4, 5, zero_output_for_mask=True, **both, **again),
    ],
    "padding, last of zeros": [
        layers.Masking(name="m"),
        lstm("l", 4, 5, zero_output_for_mask=True, **both),
    ],
    "padding that does not count": [
        layers.Masking(name="m"),
        lstm("l", 4, 5, uses_mask=False, **both, **again),
    ],
    "convolution": [
        layers.Conv1D(
            name="c", kernel=normal(3, 4, 5), bias=normal(5), padding="causal", dilation_rate=2
        ),
        layers.Activation(name="a", activation="relu"),
        lstm("l", 5, 3, **both),
    ],
    "dropped weights": [lstm("l", 4, 5, weight_dropout=0.4, return_sequences=True), gru("g", 5, 3)],
    "categories": [
        layers.Discretization(name="in", bin_boundaries=(-0.5, 0.5)),
        layers.CategoryEncoding(name="c", num_tokens=3, output_mode="count"),
        gru("g", 3, 2, dropout=0.3),
    ],
    "random before a convolution": [
        layers.SpatialDropout1D(name="drop", rate=0.3),
        layers.Conv1D(name="c", kernel=normal(2, 4, 5), padding="causal", activation="tanh"),
        gru("g", 5, 3),
    ],
}


def x_of(name: str, rows: int = ROWS) -> Array:
    x = normal(rows, STEPS, 4, seed=11)
    if name.startswith("padding"):
        x[np.random.default_rng(0).random((rows, STEPS)) < 0.4] = 0
    return x


def last(samples: Array, like: Array) -> Array:
    """The newest step where the output is a sequence."""
    return samples[:, :, -1] if samples.ndim > like.ndim else samples


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_step_is_the_sequence_so_far(backend: str, name: str, scope: str) -> None:
    """Bit for bit, on every backend."""
    model = fd.Model(CHAINS[name], (None, 4))
    x = x_of(name)
    options: dict[str, Any] = {
        "samples": SAMPLES,
        "rng": 3,
        "scope": scope,
        "row_offset": 2,
        "first_sample": 7,
        "keep_samples": True,
    }
    stream = model.stream(rows=ROWS, **options)
    for t in range(STEPS):
        p = stream.step(x[:, t])
        whole = model.mc_predict(x[:, : t + 1], **options)
        assert p.kind == whole.kind
        assert np.array_equal(p.samples, last(whole.samples, p.samples)), t
        assert np.array_equal(stream.steps, [t + 1] * ROWS)
    if p.mean.shape == whole.mean.shape:
        assert np.array_equal(p.mean, whole.mean)
        assert np.array_equal(p.quantile(0.3), whole.quantile(0.3))
        assert p.n_samples == SAMPLES


ELEMENTS = [
    lstm("l", 4, 5, **again),
    layers.Dropout(name="drop", rate=0.5),
    layers.GaussianNoise(name="noise", stddev=0.2),
    layers.TimeDistributed(name="t", layer=layers.Dropout(name="inner", rate=0.3)),
    gru("g", 5, 3),
]


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_masks_of_places_in_a_sequence_of_known_length(scope: str) -> None:
    """They are those of the whole sequence, which the model takes at the end."""
    model = fd.Model(ELEMENTS, (STEPS, 4))
    x = x_of("")
    options: dict[str, Any] = {"samples": SAMPLES, "rng": 3, "scope": scope, "row_offset": 4}
    stream = model.stream(rows=ROWS, keep_samples=True, **options)
    for t in range(STEPS):
        p = stream.step(x[:, t])
    assert np.array_equal(p.samples, model.mc_predict(x, keep_samples=True, **options).samples)
    with pytest.raises(ValueError, match="step: expected at most 6 steps"):
        stream.step(x[:, 0])
    stream.reset()
    stream.step(x[:, 0])


@pytest.mark.parametrize(("rows", "scope"), [(1, "per_row"), (ROWS, "shared")])
def test_masks_of_places_in_a_sequence_of_any_length(rows: int, scope: str) -> None:
    model = fd.Model(ELEMENTS, (None, 4))
    x = x_of("", rows)
    options: dict[str, Any] = {"samples": SAMPLES, "rng": 3, "scope": scope, "keep_samples": True}
    stream = model.stream(rows=rows, **options)
    for t in range(STEPS):
        p = stream.step(x[:, t])
        assert np.array_equal(p.samples, model.mc_predict(x[:, : t + 1], **options).samples)


def test_masks_of_places_that_nobody_knows() -> None:
    model = fd.Model(ELEMENTS, (None, 4))
    for options in ({"rows": 2}, {"rows": 1, "row_offset": 1}):
        with pytest.raises(ValueError, match="stream: layer 'drop' draws new masks at every step"):
            model.stream(**options)


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([layers.Flatten(name="flat")], "flat"),
        ([layers.GlobalAveragePooling1D(name="mean")], "mean"),
        ([layers.Conv1D(name="conv", kernel=normal(3, 4, 5))], "conv"),
        ([layers.Conv1D(name="conv", kernel=normal(3, 4, 5), padding="same")], "conv"),
        ([layers.Conv1D(name="c", kernel=normal(3, 4, 5), padding="causal", strides=2)], "c"),
        ([lstm("back", 4, 5, go_backwards=True)], "back"),
        ([layers.Softmax(name="along", axes=(0,))], "along"),
        ([layers.Activation(name="along", activation="softmax", axis=0)], "along"),
        (
            [
                layers.Bidirectional(
                    name="two", forward=lstm("f", 4, 5), backward=lstm("b", 4, 5, go_backwards=True)
                )
            ],
            "two",
        ),
        ([layers.Dropout(name="d", rate=0.5, noise_shape=(None, STEPS, 1))], "d"),
        ([layers.Rescaling(name="r", scale=np.arange(1.0, STEPS + 1)[:, None])], "r"),
        ([layers.Concatenate(name="c", axis=0)], "c"),
    ],
)
def test_what_needs_the_whole_sequence_is_named(entries: Any, name: str) -> None:
    model = fd.Model([layers.SpatialDropout1D(name="first", rate=0.2), *entries], (STEPS, 4))
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises(ValueError, match=f"stream: layer '{name}' needs the whole sequence"):
        model.stream(rng=rng)
    assert rng.bit_generator.state == state


@pytest.mark.parametrize(
    "layer",
    [
        layers.CategoryEncoding(name="c", num_tokens=3),
        layers.Discretization(name="c", bin_boundaries=(0.0,), output_mode="count"),
        layers.IntegerLookup(name="c", vocabulary=(3, 5), output_mode="multi_hot"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_categories_of_all_steps_need_the_whole_sequence(layer: Any) -> None:
    """Where a step is a number, and not where it has some."""
    entries = [layer, layers.Dropout(name="d", rate=0.5)]
    with pytest.raises(ValueError, match="stream: layer 'c' needs the whole sequence"):
        fd.Model(entries, (STEPS,)).stream()
    assert fd.Model(entries, (STEPS, 2)).stream().steps == 0


def branching(steps: int | None) -> fd.Model:
    """Tokens and numbers that come by steps, and a vector that stays, for an encoder's state."""
    calls = [
        fd.Call(layers.Embedding(name="words", table=normal(9, 4), mask_zero=True), "tokens"),
        fd.Call(layers.Concatenate(name="both"), ["words", "numbers"]),
        fd.Call(dense("h0", 2, 5, "tanh"), "fixed"),
        fd.Call(dense("c0", 2, 5), "fixed"),
        fd.Call(
            lstm("l", 7, 5, **both, **again, return_state=True, starts_from_state=True),
            ["both", "h0", "c0"],
        ),
        fd.Call(gru("g", 5, 3, **both), "l"),
        fd.Call(layers.Merge(name="sum", function="add"), ["l:1", "h0"]),
        fd.Call(layers.Dropout(name="drop", rate=0.4), "sum"),
    ]
    inputs = {"tokens": (steps,), "numbers": (steps, 3), "fixed": (2,)}
    return fd.Model(calls, inputs, outputs={"g": "g", "steps": "l", "drop": "drop"})


def test_a_graph_with_what_stays() -> None:
    model = branching(None)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 4, (ROWS, STEPS))
    numbers, fixed = normal(ROWS, STEPS, 3, seed=4), normal(ROWS, 2, seed=5)
    options: dict[str, Any] = {"samples": SAMPLES, "rng": 3, "keep_samples": True}
    stream = model.stream(rows=ROWS, constants={"fixed": fixed}, **options)
    for t in range(STEPS):
        p = stream.step({"tokens": tokens[:, t], "numbers": numbers[:, t]})
        so_far = {"tokens": tokens[:, : t + 1], "numbers": numbers[:, : t + 1], "fixed": fixed}
        whole = model.mc_predict(so_far, **options)
        for name in p:
            assert np.array_equal(p[name].samples, last(whole[name].samples, p[name].samples)), (
                name,
                t,
            )


@pytest.mark.parametrize("given", ["x", "l:1"])
def test_a_state_that_comes_of_all_steps_needs_the_whole_sequence(given: str) -> None:
    """What a layer starts from is another one after each step, so all steps are taken again."""
    states = ["l:1", "l:2"] if given == "l:1" else ["h", "c"]
    calls = [
        fd.Call(lstm("l", 4, 5, return_state=True), "x"),
        fd.Call(dense("h", 5, 5, "tanh"), "l"),
        fd.Call(dense("c", 5, 5), "l:2"),
        fd.Call(lstm("second", 4, 5, **both, starts_from_state=True), ["x", *states]),
    ]
    model = fd.Model(calls, {"x": (None, 4)}, outputs="second")
    with pytest.raises(ValueError, match="stream: layer 'second' needs the whole sequence"):
        model.stream(rows=ROWS)


def test_a_sequence_and_what_stays_are_not_taken_together() -> None:
    entries = [
        fd.Call(layers.Dropout(name="drop", rate=0.5), "x"),
        fd.Call(layers.Merge(name="sum", function="add"), ["drop", "fixed"]),
    ]
    model = fd.Model(entries, {"x": (STEPS, 4), "fixed": (STEPS, 4)})
    with pytest.raises(ValueError, match="stream: layer 'sum' needs the whole sequence"):
        model.stream(constants={"fixed": np.ones((1, STEPS, 4))})


@pytest.mark.parametrize("name", ["padding, sequences", "masks of steps", "convolution"])
def test_rows_begin_again_by_themselves(name: str) -> None:
    """A row that begins later has what it has alone, the others go on."""
    model = fd.Model(CHAINS[name], (None, 4))
    x = x_of(name)
    options: dict[str, Any] = {"samples": SAMPLES, "rng": 3, "keep_samples": True}
    stream = model.stream(rows=ROWS, **options)
    for t in range(2):
        stream.step(x[:, t])
    stream.reset(rows=[1])
    assert stream.steps.tolist() == [2, 0, 2]
    for t in range(2, STEPS):
        now = x[:, t].copy()
        now[1] = x[1, t - 2]
        p = stream.step(now)
    whole = model.mc_predict(x, **options).samples
    late = model.mc_predict(x[1:2, : STEPS - 2], row_offset=1, **options).samples
    assert np.array_equal(p.samples[:, [0, 2]], last(whole, p.samples)[:, [0, 2]])
    assert np.array_equal(p.samples[:, 1:2], last(late, p.samples))
    stream.reset()
    for t in range(STEPS):
        p = stream.step(x[:, t])
    assert np.array_equal(p.samples, last(whole, p.samples))


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_rows_begin_again_among_words(scope: str) -> None:
    """Whose masks stay beside the table until a layer takes both, here by steps of its own."""
    words = layers.Embedding(name="words", table=normal(9, 4))
    drop = layers.SpatialDropout1D(name="drop", rate=0.3)
    by_step = lstm("l", 4, 5, scheme="tf_keras", dropout=0.3)
    model = fd.Model([words, drop, by_step], (None,))
    x = np.random.default_rng(0).integers(0, 9, (ROWS, STEPS))
    options: dict[str, Any] = {"samples": SAMPLES, "rng": 3, "keep_samples": True, "scope": scope}
    stream = model.stream(rows=ROWS, **options)
    stream.step(x[:, 0])
    stream.reset(rows=[1])
    for t in range(1, STEPS):
        now = x[:, t].copy()
        now[1] = x[1, t - 1]
        p = stream.step(now)
    whole = model.mc_predict(x, **options).samples
    late = model.mc_predict(x[1:2, : STEPS - 1], row_offset=1, **options).samples
    assert np.array_equal(p.samples[:, [0, 2]], whole[:, [0, 2]])
    assert np.array_equal(p.samples[:, 1:2], late)


def test_a_state_is_kept_and_loaded() -> None:
    model = fd.Model(CHAINS["convolution"], (None, 4))
    x = x_of("")
    options: dict[str, Any] = {"rows": ROWS, "samples": SAMPLES, "rng": 3, "keep_samples": True}
    stream = model.stream(**options)
    for t in range(3):
        stream.step(x[:, t])
    state = stream.state
    expected = [stream.step(x[:, t]).samples for t in range(3, STEPS)]
    other = model.stream(**options)
    other.load_state(state)
    for t in range(3, STEPS):
        assert np.array_equal(other.step(x[:, t]).samples, expected[t - 3])
    kept = {name: array.copy() for name, array in state.items()}
    stream.load_state(kept)  # what was kept is as it was
    for array in (*kept.values(), *stream.state.values()):
        array[...] = 0  # and is nobody else's
    assert np.array_equal(stream.step(x[:, 3]).samples, expected[0])
    sizes = {name: array.shape for name, array in stream.state.items()}
    assert sizes == {name: array.shape for name, array in other.state.items()}  # no growth
    other.reset()
    assert other.state.keys() == model.stream(**options).state.keys()  # nothing is remembered
    for wrong in ({}, {"steps": np.zeros(2, int)}, state | {"l:x": 1.0}, state | {"y": 1}, 3):
        with pytest.raises((TypeError, ValueError), match="state"):
            stream.load_state(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected an array of 1 or 4 samples"):
        model.stream(rows=ROWS, samples=4, rng=3).load_state(state)


def test_states_that_are_none() -> None:
    """Refused when they are loaded, and the stream is as it was."""
    model = fd.Model(CHAINS["convolution"], (None, 4))
    stream = model.stream(rows=ROWS, samples=SAMPLES, rng=3)
    stream.step(x_of("")[:, 0])
    state = stream.state
    name = next(name for name in state if name.endswith(":h"))
    label = name.removesuffix(":h")
    for wrong in (
        {"steps": state["steps"]},
        {key: array for key, array in state.items() if not key.startswith(label)},
        {key: array for key, array in state.items() if key != name},
        state | {f"{label}:more": state[name]},
        state | {name: state[name][..., :-1]},
        state | {name: state[name][:, :1]},
        state | {name: state[name].astype(float)},
        state | {name: state[name].astype(object)},
        state | {"steps": -state["steps"]},
    ):
        with pytest.raises((TypeError, ValueError), match=r"^state"):
            stream.load_state(wrong)
    for array_name, array in stream.state.items():
        np.testing.assert_array_equal(array, state[array_name])
    fresh = model.stream(rows=ROWS, samples=SAMPLES, rng=3)
    stream.load_state(fresh.state)  # before the first step there is none
    x = x_of("")[:, 0]
    assert np.array_equal(stream.step(x).mean, fresh.step(x).mean)


def test_a_step_that_fails_is_not_taken() -> None:
    model = fd.Model(CHAINS["convolution"], (None, 4))
    x, fails = x_of(""), [False]

    def transform(values: Array) -> Array:
        if fails[0]:
            raise RuntimeError("no")
        return values

    options: dict[str, Any] = {"rows": ROWS, "samples": SAMPLES, "rng": 3}
    stream, other = model.stream(**options, transform=transform), model.stream(**options)
    stream.step(x[:, 0])
    other.step(x[:, 0])
    fails[0] = True
    with pytest.raises(RuntimeError, match="no"):
        stream.step(x[:, 1])
    fails[0] = False
    assert stream.steps.tolist() == [1] * ROWS
    assert np.array_equal(stream.step(x[:, 1]).mean, other.step(x[:, 1]).mean)


@pytest.mark.parametrize("transform", [None, lambda values: 2 * values])
def test_what_a_step_says_is_merged_with_what_a_model_says(transform: Any) -> None:
    model, x = fd.Model([lstm("l", 4, 5, **both)], (None, 4)), x_of("")[:, :1]
    options: dict[str, Any] = {"rng": 3, "transform": transform, "keep_samples": True}
    p = model.stream(ROWS, 5, **options).step(x[:, 0])
    both_said = p.merge(model.mc_predict(x, 4, first_sample=5, **options))
    assert np.array_equal(both_said.samples, model.mc_predict(x, 9, **options).samples)
    other = options | {"transform": None if transform else np.negative}
    unlike = model.mc_predict(x, 4, first_sample=5, **other)
    with pytest.raises(ValueError, match="other: expected one of the same kind"):
        p.merge(unlike)


def test_a_state_goes_with_its_key() -> None:
    """With other masks it would be nobody's."""
    model = fd.Model(CHAINS["lstm"], (None, 4))
    one, other = (model.stream(samples=3, rng=seed) for seed in (0, 1))
    one.step(normal(4))
    with pytest.raises(ValueError, match="state 'key': expected that of a stream with the same"):
        other.load_state(one.state)
    with pytest.raises(ValueError, match="state 'key': expected"):
        one.load_state({name: value for name, value in one.state.items() if name != "key"})


@pytest.mark.parametrize(
    "other",
    [{"first_sample": 7}, {"row_offset": 2}, {"scope": "shared"}],
    ids=lambda o: next(iter(o)),
)
def test_a_state_goes_with_its_rows_and_samples(other: Any) -> None:
    model = fd.Model(CHAINS["lstm"], (None, 4))
    one, two = model.stream(samples=3, rng=0), model.stream(samples=3, rng=0, **other)
    one.step(normal(4))
    with pytest.raises(ValueError, match="state 'place': expected that of a stream with the same"):
        two.load_state(one.state)
    two.load_state({n: value for n, value in one.state.items() if n != "place"})  # of before


def test_a_single_row_needs_no_axis() -> None:
    model = fd.Model(CHAINS["lstm"], (None, 4))
    one, other = (model.stream(samples=3, rng=0) for _ in range(2))
    x = normal(4)
    assert np.array_equal(one.step(x).mean, other.step(x[np.newaxis]).mean)
    assert repr(one) == "<Stream: 1 row, 3 samples of each, after step 1>"
    words = fd.Model(
        [layers.Embedding(name="e", table=normal(9, 4)), *CHAINS["lstm"]], (None,)
    ).stream(samples=3, rng=0)
    assert words.step(3).mean.shape == (1, 5)


@pytest.mark.parametrize("rows", [1, 2])
def test_several_sequences_by_order_and_by_name(rows: int) -> None:
    """A single row of each needs no axis either."""
    calls = [
        fd.Call(layers.Merge(name="m", function="subtract"), ["a", "b"]),
        fd.Call(lstm("l", 4, 5, **both), "m"),
    ]
    model = fd.Model(calls, {"a": (None, 4), "b": (None, 4)})
    a, b = normal(rows, 3, 4), normal(rows, 3, 4, seed=1)
    streams = [model.stream(rows=rows, samples=SAMPLES, rng=2) for _ in range(3)]
    for t in range(3):
        at, bt = a[:, t], b[:, t]
        alone = (at[0], bt[0]) if rows == 1 else (at, bt)
        found = [
            streams[0].step([at, bt]),
            streams[1].step(list(alone)),
            streams[2].step({"b": alone[1], "a": alone[0]}),
        ]
        whole = model.mc_predict([a[:, : t + 1], b[:, : t + 1]], SAMPLES, rng=2)
        for p in found:
            assert np.array_equal(p.mean, whole.mean)


def test_arguments_of_streams() -> None:
    model = fd.Model(CHAINS["stack"], (None, 4))
    stream = model.stream(rows=2, samples=3, rng=0)
    for wrong in (np.zeros((3, 4)), np.zeros((2, 3)), np.zeros((2, 1, 4)), "x", np.zeros(4)):
        with pytest.raises((TypeError, ValueError), match=r"^x: expected"):
            stream.step(wrong)
    assert stream.steps.tolist() == [0, 0]
    for rows in ([2], [-1], [0.5], "a"):
        with pytest.raises((TypeError, ValueError), match="rows: expected"):
            stream.reset(rows)
    for options in (
        {"rows": 0},
        {"samples": 0},
        {"scope": "x"},
        {"kind": "x"},
        {"first_sample": -1},
        {"transform": 1},
        {"constants": {"input": 1}},
        {"constants": 3},
        {"folds": [1]},
        {"keep_samples": 1},
    ):
        with pytest.raises((TypeError, ValueError), match=next(iter(options))):
            model.stream(**options)
    with pytest.raises(ValueError, match="stream: expected a model with dropout somewhere"):
        fd.Model([gru("g", 4, 3)], (None, 4)).stream()


def test_streams_fold_as_models_do() -> None:
    model = fd.Model(CHAINS["every step"], (None, 4))
    x = x_of("")
    options: dict[str, Any] = {"samples": SAMPLES, "rng": 3}
    stream = model.stream(rows=ROWS, folds=["covariance"], **options)
    for t in range(STEPS):
        p = stream.step(x[:, t])
    whole = model.mc_predict(
        x, transform=lambda v: v[:, :, -1], folds=["covariance"], kind="multiclass", **options
    )
    assert np.array_equal(p.entropy, whole.entropy)
    assert np.array_equal(p.covariance, whole.covariance)
    total = model.stream(rows=ROWS, transform=lambda v: v.sum(axis=-1), **options).step(x[:, 0])
    assert total.kind == "regression"
    assert total.mean.shape == (ROWS,)


# ---- forecasts ----


def forecaster(steps: int | None, sequences: bool = False) -> fd.Model:
    return fd.Model(
        [lstm("l", 2, 5, return_sequences=sequences, **both), dense("d", 5, 2)], (steps, 2)
    )


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("steps", [4, None])
@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_a_path_is_the_model_on_what_it_said(
    steps: int | None, scope: str, sequences: bool
) -> None:
    """Sample by sample and step by step, by the model itself."""
    model, x = forecaster(steps, sequences), normal(ROWS, 4, 2, seed=3)
    options: dict[str, Any] = {"rng": 3, "scope": scope, "row_offset": 5}
    p = model.rollout(x, 3, samples=SAMPLES, first_sample=2, keep_samples=True, **options)
    assert p.mean.shape == (ROWS, 3, 2)
    for m in range(SAMPLES):
        window = x
        for t in range(3):
            one = model.mc_predict(window, 1, first_sample=2 + m, keep_samples=True, **options)
            y = one.samples[0, :, -1] if sequences else one.samples[0]
            assert np.array_equal(p.samples[m, :, t], y), (m, t)
            kept = window if steps is None else window[:, 1:]
            window = np.concatenate([kept, y[:, np.newaxis]], axis=1)


def test_what_is_fed_back() -> None:
    """A function of the output, or of that and the step."""
    model = fd.Model([lstm("l", 3, 5, **both), dense("d", 5, 1)], (4, 3))
    x, ahead = normal(ROWS, 4, 3, seed=3), normal(3, ROWS, 2, seed=4)

    def feedback(y: Array, step: int) -> Array:
        assert y.shape == (SAMPLES, ROWS, 1)
        known = np.broadcast_to(ahead[step], (SAMPLES, ROWS, 2))
        return np.concatenate([y, known], axis=-1)

    p = model.rollout(x, 3, feedback, SAMPLES, rng=0, keep_samples=True, threads=1)
    first = model.mc_predict(x, SAMPLES, rng=0, keep_samples=True).samples
    assert np.array_equal(p.samples[:, :, 0], first)
    window = np.concatenate([x[:, 1:], np.concatenate([first[2], ahead[0]], axis=-1)[:, None]], 1)
    second = model.mc_predict(window, 1, rng=0, first_sample=2, keep_samples=True).samples
    assert np.array_equal(p.samples[2, :, 1], second[0])
    plain = model.rollout(x, 2, lambda y: np.repeat(y, 3, axis=-1), SAMPLES, rng=0)
    assert plain.mean.shape == (ROWS, 2, 1)


def test_what_is_fed_back_may_be_written_into() -> None:
    model, x = forecaster(4), normal(ROWS, 4, 2, seed=3)

    def feedback(y: Array) -> Array:
        y += 1
        return y

    found = model.rollout(x, 3, feedback, SAMPLES, rng=0, keep_samples=True)
    expected = model.rollout(x, 3, lambda y: y + 1, SAMPLES, rng=0, keep_samples=True)
    np.testing.assert_array_equal(found.samples, expected.samples)


def test_what_feedback_has_of_its_own_stays_so() -> None:
    """A second parameter with a default is not the number of the step."""
    model, x = forecaster(4), normal(ROWS, 4, 2, seed=3)

    def damped(y: Array, share: float = 0.5) -> Array:
        assert share == 0.5
        return share * y

    p = model.rollout(x, 3, damped, SAMPLES, rng=0, keep_samples=True)
    q = model.rollout(x, 3, lambda y: 0.5 * y, SAMPLES, rng=0, keep_samples=True)
    assert np.array_equal(p.samples, q.samples)


def test_paths_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastdrop.model import _sampling

    model, x = forecaster(4), normal(ROWS, 4, 2, seed=3)
    whole = model.rollout(x, 3, samples=50, rng=0, keep_samples=True)
    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 7)
    cut = model.rollout(x, 3, samples=50, rng=0, keep_samples=True, threads=2)
    assert np.array_equal(cut.samples, whole.samples)
    until = model.rollout(x, 3, samples=500, rng=0, until=0.05)
    assert until.n_samples.shape == (ROWS,)
    total = model.rollout(x, 3, samples=50, rng=0, transform=lambda v: v.sum(axis=2))
    np.testing.assert_allclose(
        total.mean, whole.samples.sum(axis=2, dtype=float).mean(axis=0), rtol=1e-5, atol=1e-6
    )
    assert model.rollout(x[:0], 3, samples=5, rng=0).mean.shape == (0, 3, 2)


def test_masks_of_places_in_a_window_that_grows() -> None:
    """They would be others at each step, but for the first row and where rows share them."""
    entries = [layers.Dropout(name="places", rate=0.5), *forecaster(None)._entries]
    growing = fd.Model(entries, (None, 2))
    x = normal(ROWS, 4, 2, seed=3)
    for rows, offset in ((x, 0), (x[:1], 1)):
        with pytest.raises(ValueError, match="rollout: layer 'places' draws new masks"):
            growing.rollout(rows, 3, samples=2, rng=0, row_offset=offset)
    one = growing.rollout(x[:1], 3, samples=2, rng=0, keep_samples=True)
    first = growing.mc_predict(x[:1], 2, rng=0, keep_samples=True)
    assert np.array_equal(one.samples[:, :, 0], first.samples)
    assert growing.rollout(x, 3, samples=2, rng=0, scope="shared").mean.shape == (ROWS, 3, 2)
    fixed = fd.Model(entries, (4, 2))
    assert fixed.rollout(x, 3, samples=2, rng=0).mean.shape == (ROWS, 3, 2)


def test_arguments_of_paths() -> None:
    model, x = forecaster(4), normal(ROWS, 4, 2)
    for wrong in (0, 1.5):
        with pytest.raises((TypeError, ValueError), match="steps: expected"):
            model.rollout(x, wrong)
    with pytest.raises(TypeError, match="feedback: expected a callable"):
        model.rollout(x, 2, 3)
    with pytest.raises(ValueError, match=r"feedback: expected shape"):
        model.rollout(x, 2, lambda y: y[..., :1], threads=1)
    narrow = fd.Model([lstm("l", 2, 5, **both), dense("d", 5, 1)], (4, 2))
    with pytest.raises(ValueError, match="feedback: expected a function that makes steps"):
        narrow.rollout(x, 2)
    with pytest.raises(ValueError, match="rollout: expected a model of one input"):
        branching(None).rollout(x, 2)
    with pytest.raises(ValueError, match="rollout: expected a model with dropout somewhere"):
        fd.Model([gru("g", 2, 2)], (4, 2)).rollout(x, 2)


def test_kinds_that_an_output_cannot_be_are_refused_at_once() -> None:
    model = fd.Model([layers.GaussianNoise(name="noise", stddev=0.1)], (None,))
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match="kind: expected an axis of classes for 'multiclass'"):
        model.stream(rng=rng, kind="multiclass")
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("function", [lambda: 1, lambda y, step, more: y, lambda y, *, more: y])
def test_functions_that_cannot_be_called_are_refused_at_once(function: Any) -> None:
    model, x = forecaster(4), normal(ROWS, 4, 2)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises(TypeError, match="feedback: expected a callable of one or two arguments"):
        model.rollout(x, 2, function, rng=rng)
    assert rng.bit_generator.state == before


def test_numpys_functions_are_given_no_step() -> None:
    """Their second argument is where to put what they compute."""
    model, x = forecaster(4), normal(ROWS, 4, 2, seed=3)
    found = model.rollout(x, 3, np.tanh, SAMPLES, rng=0)
    expected = model.rollout(x, 3, lambda y: np.tanh(y), SAMPLES, rng=0)
    np.testing.assert_array_equal(found.mean, expected.mean)


def test_steps_that_are_single_numbers() -> None:
    """An output of one number is not such a step, but has an axis: a function may take it away."""
    kernel = np.full((5, 1), 0.5, np.float32)
    model = fd.Model(
        [layers.Dropout(name="d", rate=0.5), layers.Dense(name="e", kernel=kernel)], (5,)
    )
    x = np.ones((2, 5), np.float32)
    with pytest.raises(ValueError, match=r"^feedback: .* steps of shape \(\) of outputs \(1,\)"):
        model.rollout(x, steps=3, samples=4, rng=0)
    path = model.rollout(x, steps=3, samples=4, rng=0, feedback=lambda y: y[..., 0])
    assert path.mean.shape == (2, 3, 1)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_is_not_copied(how: Callable[[Any], Any]) -> None:
    model = fd.Model(CHAINS["lstm"], (None, 4))
    with pytest.raises(TypeError, match=r"neither copied nor pickled: .* load_state"):
        how(model.stream(samples=2, rng=0))


def test_rows_that_begin_again_are_numbered_or_marked() -> None:
    model = fd.Model(CHAINS["lstm"], (None, 4))
    stream = model.stream(rows=3, samples=2, rng=0)
    x = normal(3, 4)
    stream.step(x)
    stream.reset([])
    assert stream.steps.tolist() == [1, 1, 1]
    stream.reset([False, True, False])
    assert stream.steps.tolist() == [1, 0, 1]
    stream.reset(0)
    assert stream.steps.tolist() == [0, 0, 1]
    for wrong in ([True, False], [[0]], [0.5]):
        with pytest.raises((TypeError, ValueError), match="rows: expected"):
            stream.reset(wrong)


def test_threads_wait_for_one_another() -> None:
    model = fd.Model(CHAINS["lstm"], (None, 4))
    one, several = (model.stream(samples=3, rng=0) for _ in range(2))
    x = normal(4)

    def steps() -> None:
        for _ in range(50):
            several.step(x)

    threads = [threading.Thread(target=steps) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        one.step(x)
    for thread in threads:
        thread.join()
    for name, value in one.state.items():
        np.testing.assert_array_equal(several.state[name], value, name)


def test_what_came_is_told_as_it_came() -> None:
    table = np.ones((9, 2), np.float32)
    words = fd.Model(
        [
            layers.Embedding(name="words", table=table),
            layers.Dropout(name="drop", rate=0.5),
        ],
        (None,),
    )
    stream = words.stream(rows=2, samples=3, rng=0, scope="shared")
    with pytest.raises(
        ValueError, match=r"^x: expected shape \(2\), got int32 array of shape \(3,\)"
    ):
        stream.step(np.ones(3, np.int32))
    with pytest.raises(
        ValueError, match=r"^x: expected shape \(2\), got int8 array of shape \(2, 1\)"
    ):
        stream.step(np.ones((2, 1), np.int8))

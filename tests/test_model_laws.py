"""The laws for whole models: random graphs, and every stored model with dropout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import test_keras_models as stored
from conftest import BACKENDS
from fastdrop import Call, Model, _backend, layers
from fastdrop.model import _sampling
from layer_laws import normal
from tolerances import FLOAT32, assert_close

SAMPLES = 4
OPTIONS: dict[str, Any] = {"rng": 3, "keep_samples": True}


def as_list(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def predicted(model: Model, x: list[np.ndarray], **options: Any) -> list[np.ndarray]:
    return as_list(model.predict(x if len(x) > 1 else x[0], **options))


def drawn(model: Model, x: list[np.ndarray], samples: int = SAMPLES, **options: Any) -> Any:
    p = model.mc_predict(x if len(x) > 1 else x[0], samples, **OPTIONS | options)
    return [each.samples for each in as_list(p)]


def same(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def check_laws(model: Model, x: list[np.ndarray]) -> None:
    rows = len(x[0])
    whole = predicted(model, x, threads=1)
    samples = drawn(model, x, threads=1)
    # Rows by themselves, samples from the second on, in more threads.
    for n in range(rows):
        one = [a[n : n + 1] for a in x]
        same(predicted(model, one), [y[n : n + 1] for y in whole])
        part = drawn(model, one, SAMPLES - 1, row_offset=n, first_sample=1, threads=3)
        same(part, [s[1:, n : n + 1] for s in samples])
    # Chunks of other sizes, and backends in turn.
    for limit, value in (("_CHUNK_ROWS", 3), ("_CHUNK_BYTES", 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_sampling, limit, value)
            same(predicted(model, x, threads=2), whole)
            same(drawn(model, x, threads=2), samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "active", BACKENDS["numpy"])
        for got, expected in zip(predicted(model, x), whole, strict=True):
            assert_close(got, expected, FLOAT32)
        for got, expected in zip(drawn(model, x), samples, strict=True):
            assert_close(got, expected, 2 * FLOAT32)
    # Rows that are equal, under masks that are shared; something is random.
    twice = [np.repeat(a[:1], 3, axis=0) for a in x]
    shared = drawn(model, twice, scope="shared", row_offset=2)
    same(shared, [np.repeat(s[:, :1], 3, axis=1) for s in shared])
    same(shared, drawn(model, twice, scope="shared"))
    assert any(np.ptp(s, axis=0).any() for s in samples)
    # Without dropout every sample would be the prediction.
    names = {layer.name for layer in model.layers if layer.rates()}
    still = model.with_rates(dict.fromkeys(names, 0.0))
    assert not still.stochastic
    same(predicted(still, x), whole)
    some = next(iter(names))
    one_left = model.with_rates(dict.fromkeys(names - {some}, 0.0))
    same(predicted(one_left, x), whole)


# ---- random graphs ----

STEPS = 4


def recurrent(kind: Any, gates: int, rng: Any, name: str, features: int, **more: Any) -> Any:
    units = int(rng.integers(1, 4))
    return kind(
        name=name,
        kernel=normal(features, gates * units, seed=len(name)),
        recurrent_kernel=normal(units, gates * units),
        dropout=float(rng.choice([0.0, 0.3])),
        recurrent_dropout=float(rng.choice([0.0, 0.4])),
        **more,
    )


def lstm(rng: Any, name: str, features: int, **more: Any) -> Any:
    scheme = str(rng.choice(["keras", "tf_keras", "tied", "per_gate"]))
    return recurrent(layers.LSTM, 4, rng, name, features, scheme=scheme, **more)


def gru(rng: Any, name: str, features: int, **more: Any) -> Any:
    return recurrent(layers.GRU, 3, rng, name, features, **more)


def both(rng: Any, name: str, features: int) -> Any:
    return layers.Bidirectional(
        name=name,
        forward=lstm(rng, "f", features, return_sequences=True),
        backward=gru(rng, "g", features, return_sequences=True, go_backwards=True),
    )


Make = Callable[[Any, str, int], Any]
# What can follow a sequence (STEPS, features) and makes one again.
SEQUENCES: list[Make] = [
    lambda r, n, f: layers.Dropout(name=n, rate=0.4),
    lambda r, n, f: layers.SpatialDropout1D(name=n, rate=0.4),
    lambda r, n, f: layers.GaussianNoise(name=n, stddev=0.2),
    lambda r, n, f: layers.Dense(name=n, kernel=normal(f, 3), activation="tanh"),
    lambda r, n, f: lstm(r, n, f, return_sequences=True),
    lambda r, n, f: gru(r, n, f, return_sequences=True, go_backwards=True),
    lambda r, n, f: recurrent(layers.SimpleRNN, 1, r, n, f, return_sequences=True),
    both,
    lambda r, n, f: layers.TimeDistributed(name=n, layer=layers.Dropout(name="i", rate=0.3)),
    lambda r, n, f: layers.LayerNormalization(name=n, gamma=normal(f), beta=normal(f)),
    lambda r, n, f: layers.Masking(name=n, mask_value=0.0),
    lambda r, n, f: layers.Activation(name=n, activation="softmax", axis=0),
    lambda r, n, f: layers.Slice(name=n, key=(slice(None, None, -1),)),
    lambda r, n, f: layers.Elementwise(name=n, function="multiply", operands=(0, np.float32(0.5))),
]
# What makes a vector of a sequence.
ENDS: list[Make] = [
    lambda r, n, f: lstm(r, n, f),
    lambda r, n, f: gru(r, n, f),
    lambda r, n, f: layers.GlobalAveragePooling1D(name=n),
    lambda r, n, f: layers.Flatten(name=n),
    lambda r, n, f: layers.Reduce(name=n, function="max", axes=(0,)),
]


def random_graph(seed: int) -> Model:
    rng = np.random.default_rng(seed)
    shapes: dict[str, Any] = {"a": (STEPS, 2), "b": (STEPS, 3)}
    calls: list[Call] = []

    def add(layer: Any, *inputs: str) -> None:
        calls.append(Call(layer, list(inputs)))
        shapes[layer.name] = layer.output_shapes([shapes[name] for name in inputs])[0]

    def pick(rank: int) -> str:
        # The last ones mostly, for what is deep shows more.
        names = [name for name, shape in shapes.items() if len(shape) == rank]
        return names[-1 - min(int(rng.exponential(1.5)), len(names) - 1)]

    add(layers.Dropout(name="first", rate=0.3), "a")
    for i in range(8):
        name, given = f"l{i}", pick(2)
        if rng.random() < 0.3:
            other = pick(2)
            merged = layers.Concatenate(name=name)
            if shapes[other][1] == shapes[given][1] and rng.random() < 0.5:
                function = str(rng.choice(["add", "multiply", "maximum", "average"]))
                merged = layers.Merge(name=name, function=function)
            add(merged, given, other)
            continue
        make = SEQUENCES[rng.integers(len(SEQUENCES))]
        add(make(rng, name, shapes[given][1]), given)
    for i in range(2):
        given = pick(2)
        add(ENDS[rng.integers(len(ENDS))](rng, f"e{i}", shapes[given][1]), given)
    add(layers.Concatenate(name="all"), "e0", "e1")
    outputs = ["all", "first", pick(2)]
    return Model(calls, {"a": (STEPS, 2), "b": (STEPS, 3)}, outputs=outputs)


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed: int) -> None:
    x = [normal(3, STEPS, 2, seed=seed), normal(3, STEPS, 3, seed=seed)]
    x[1][0, 2:] = 0  # padding, where there is Masking
    check_laws(random_graph(seed), x)


def test_random_graphs_hold_every_layer() -> None:
    kinds = {type(layer) for seed in range(30) for layer in random_graph(seed).layers}
    wanted = {type(make(np.random.default_rng(0), "n", 2)) for make in (*SEQUENCES, *ENDS)}
    assert wanted <= kinds


# ---- models that Keras wrote ----


def stochastic_models() -> list[Any]:
    """One file of each stored model that has passes with dropout.

    Of tf_keras where it has one, which draws its masks in the most ways: what other versions wrote
    are the same layers.
    """
    found: dict[str, Any] = {}
    for archive in sorted(stored.ARCHIVES, key=lambda a: "tf_keras" not in a.name):
        for name, (options, _, outputs) in stored.answers(archive).items():
            if "mean" in outputs and name not in found:
                file = options["files"][0]
                label = f"{stored.version_of(archive)}-{file}"
                found[name] = pytest.param(archive, name, file, id=label)
    return [*found.values()]


@pytest.mark.parametrize(("archive", "name", "file"), stochastic_models())
def test_stored_models(archive: Path, name: str, file: str) -> None:
    _, arrays, _ = stored.answers(archive)[name]
    x = [arrays[f"x{i}"][:2] for i in range(len(arrays))]
    check_laws(stored.load_model(archive, name, file), x)


def test_there_are_stored_models() -> None:
    assert len(stochastic_models()) >= 100

"""What sampling costs beside the network itself: folding samples, and a step of a stream.

Extra figures: `folding`, the share of a call that folding takes, in the time of the thread; and for
a step Keras's own call of a stateful layer on as many tiled rows, where it is installed.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers
from fastdrop.model import _sampling

pytestmark = pytest.mark.benchmark(max_time=0.5)

RNG = np.random.default_rng(0)
SAMPLES = 100


def some(*shape: int) -> Any:
    return RNG.normal(0, 0.1, shape).astype(np.float32)


def gru(name: str, features: int, units: int, **options: Any) -> layers.GRU:
    return layers.GRU(
        name=name,
        kernel=some(features, 3 * units),
        recurrent_kernel=some(units, 3 * units),
        bias=some(2, 3 * units),
        dropout=0.2,
        recurrent_dropout=0.2,
        **options,
    )


def lstm(features: int, units: int, rate: float) -> layers.LSTM:
    return layers.LSTM(
        name="lstm",
        kernel=some(features, 4 * units),
        recurrent_kernel=some(units, 4 * units),
        bias=some(4 * units),
        dropout=rate,
        recurrent_dropout=rate,
    )


def message_model() -> tuple[fd.Model, Any]:
    """What a message is: model A of the report."""
    dense = layers.Dense(name="dense", kernel=some(100, 1), activation="sigmoid")
    words = layers.Embedding(name="words", table=some(64, 64))
    return fd.Model([words, lstm(64, 100, 0.5), dense], (498,)), RNG.integers(0, 64, (32, 498))


def word_model() -> tuple[fd.Model, Any]:
    """What each word is: model B of the report."""
    dense = layers.Dense(name="dense", kernel=some(64, 17), activation="softmax")
    chain = [
        layers.Embedding(name="words", table=some(5000, 64)),
        layers.SpatialDropout1D(name="drop", rate=0.2),
        gru("encoder", 64, 64),
        layers.RepeatVector(name="repeat", count=50),
        gru("decoder", 64, 64, return_sequences=True),
        layers.TimeDistributed(name="steps", layer=dense),
    ]
    return fd.Model(chain, (50,)), RNG.integers(0, 5000, (32, 50))


@pytest.mark.parametrize("make", [message_model, word_model])
def test_folding(
    timed: Any,
    make: Callable[[], tuple[fd.Model, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = make()
    if timed.extra_info["tier"] in ("portable", "numpy"):
        x = x[:1]
    spent = {"folding": 0.0, "all": 0.0}
    fold = _sampling.Sampling._fold

    def watched(self: Any, *arguments: Any) -> None:
        start = time.thread_time()
        fold(self, *arguments)
        spent["folding"] += time.thread_time() - start

    monkeypatch.setattr(_sampling.Sampling, "_fold", watched)
    kept = model.mc_predict(x, 3, rng=0, keep_samples=True)
    np.testing.assert_allclose(kept.mean, kept.samples.mean(axis=0, dtype=float), rtol=1e-6)
    spent["folding"] = 0.0

    def call() -> None:
        start = time.thread_time()
        model.mc_predict(x, SAMPLES, rng=0, threads=1)
        spent["all"] += time.thread_time() - start

    timed.pedantic(call, rounds=3, warmup_rounds=0)
    timed.extra_info["folding"] = f"{spent['folding'] / spent['all']:.1%}"


def test_stream_step(timed: Any) -> None:
    model = fd.Model([lstm(64, 100, 0.2)], (None, 64))
    x = some(1, 3, 64)
    stream = model.stream(samples=SAMPLES, rng=0)
    for t in range(3):
        p = stream.step(x[:, t])
    np.testing.assert_array_equal(p.mean, model.mc_predict(x, SAMPLES, rng=0).mean)

    def call() -> Any:
        p = stream.step(x[:, 0])
        return p.mean, p.std

    timed(call)


@pytest.mark.parametrize("how", ["eager", "tf.function", "xla"])
def test_stream_step_of_keras(benchmark: Any, how: str) -> None:
    """Mean and deviation of a stateful layer's call, its state that of each sample."""
    tensorflow = pytest.importorskip("tensorflow", reason="the extra `keras` is not installed")
    keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(SAMPLES, 1, 64)),
            keras.layers.LSTM(100, stateful=True, dropout=0.2, recurrent_dropout=0.2),
        ]
    )
    x = tensorflow.constant(np.tile(some(1, 1, 64), (SAMPLES, 1, 1)))

    def plain(x: Any) -> Any:
        return model(x, training=True)

    run = plain if how == "eager" else tensorflow.function(plain, jit_compile=how == "xla")

    def call() -> Any:
        y = np.asarray(run(x))
        return y.mean(axis=0), y.std(axis=0, ddof=1)

    assert call()[1].min() >= 0
    benchmark.extra_info.update(threads=1)
    benchmark(call)

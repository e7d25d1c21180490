"""The distribution of Keras's Monte-Carlo predictions for two small models, as moments.

    cd tests && KERAS_BACKEND=tensorflow python -m data.mc_recurrent.make

writes NAME.keras and NAME.npz: the token ids `x` (rows 0 and 1 are the same), the output `predict`
without dropout, and over the passes with dropout the moments of what `compared` picks from a
prediction. Keras draws its masks for each row, so equal rows of one pass are independent: their
covariance over the passes is 0. Products of outputs at different steps are among what is compared:
masks that should be one for all steps, but are not, change those most.

The seeds of the weights are such that every wrong mask that the test tries shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from references.simulate import moments

FOLDER = Path(__file__).parent
PASSES = 5000
WORDS, STEPS, FEATURES, UNITS, TAGS = 12, 5, 6, 4, 3


def compared(samples: np.ndarray) -> np.ndarray:
    """Return (passes, rows, numbers) from samples (passes, rows, steps, tags)."""
    first, last = samples[:, :, 0], samples[:, :, -1]
    flat = samples.reshape(*samples.shape[:2], -1)
    return np.concatenate([flat, first * last], axis=-1)


def channels(layers: Any) -> list[Any]:
    """Return channels that are dropped, and two directions."""
    gru = layers.GRU(UNITS, return_sequences=True, dropout=0.2, recurrent_dropout=0.4)
    return [layers.SpatialDropout1D(0.4), layers.Bidirectional(gru, merge_mode="sum")]


def decoder(layers: Any) -> list[Any]:
    """Return an encoder and a decoder."""
    rates = {"dropout": 0.3, "recurrent_dropout": 0.4}
    return [
        layers.SimpleRNN(UNITS, **rates),
        layers.RepeatVector(STEPS),
        layers.GRU(UNITS, return_sequences=True, **rates),
    ]


def run(name: str, middle: Any, seed: int) -> None:
    import keras
    import tensorflow as tf

    assert keras.backend.backend() == "tensorflow"
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(3).integers(0, WORDS, (4, STEPS)).astype(np.int32)
    x[1] = x[0]
    model = keras.Sequential(
        [
            keras.Input((STEPS,), dtype="int32"),
            keras.layers.Embedding(WORDS, FEATURES),
            *middle(keras.layers),
            keras.layers.TimeDistributed(keras.layers.Dense(TAGS)),
            keras.layers.Activation("softmax"),
        ]
    )
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        # The dense kernel is larger, so that the outputs spread.
        factor = 2 if weight.shape == (UNITS, TAGS) else 1
        weight.assign((factor * rng.normal(0, 0.8, weight.shape)).astype(np.float32))
    model.save(FOLDER / f"{name}.keras")
    tokens = tf.constant(x)
    one_pass = tf.function(lambda: model(tokens, training=True))
    samples = np.stack([one_pass().numpy() for _ in range(PASSES)]).astype(np.float64)
    assert len(np.unique(samples, axis=0)) == PASSES, "a pass repeats another"
    file: dict[str, Any] = {"x": x, "predict": model.predict(x, verbose=0)}
    file |= moments(compared(samples))
    np.savez_compressed(FOLDER / f"{name}.npz", **file)
    deviation = samples.std(axis=0)
    print(f"{name}: standard deviations {deviation.min():.3f} to {deviation.max():.3f}")


if __name__ == "__main__":
    run("channels", channels, 5)
    run("decoder", decoder, 4)

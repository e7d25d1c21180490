"""Write the sample files with whichever Keras is installed.

    python make.py              # Keras 3, or Keras 2.13 and 2.14
    python make.py --tf-keras   # tf-keras 2.x

Kept are those in which versions differ: all three of the newest, and one or two
of each older kind.

Every weight holds multiples of 1/1024 that count up through the model, so a
test knows each value without having kept it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

if "--tf-keras" in sys.argv:
    import tf_keras as keras  # type: ignore[import-not-found]
else:
    import keras  # type: ignore[import-not-found]

L = keras.layers
HERE = Path(__file__).parent


def fill(model):  # type: ignore[no-untyped-def]
    """Number all weights of the model, in the order of its layers."""
    start = 0
    for layer in model.layers:
        shapes = [w.shape for w in layer.get_weights()]
        if not isinstance(layer, (L.Embedding, L.LSTM, L.Dense)):
            continue
        weights = []
        for shape in shapes[:3]:
            size = int(np.prod(shape))
            weights.append((np.arange(start, start + size) / 1024).reshape(shape))
            start += size
        layer.set_weights(weights + layer.get_weights()[3:])
    return model


def stack():  # type: ignore[no-untyped-def]
    """Return every supported layer, with as few default values as possible."""
    return [
        L.Embedding(7, 5, mask_zero=True, name="words"),
        L.Dropout(0.25, noise_shape=(None, 1, 5), name="drop"),
        L.LSTM(4, dropout=0.5, recurrent_dropout=0.25, return_sequences=True, seed=7),
        L.LSTM(
            3,
            activation="relu",
            recurrent_activation="hard_sigmoid",
            use_bias=False,
            dropout=0.125,
            go_backwards=True,
        ),
        L.Dense(2, use_bias=True),
        L.Activation("softmax"),
    ]


def sequential():  # type: ignore[no-untyped-def]
    """Return a compiled Sequential model with an Input, trained for one step."""
    model = keras.Sequential([keras.Input((6,), dtype="int32"), *stack()])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 6), np.int32), np.zeros((2, 2), np.float32), verbose=0)
    return model


def functional():  # type: ignore[no-untyped-def]
    """Return the same layers as a functional model, with a sequence of any length."""
    x = inputs = keras.Input((None,), dtype="int32", name="tokens")
    for layer in stack():
        x = layer(x)
    return keras.Model(inputs, x)


def no_input():  # type: ignore[no-untyped-def]
    """Return a Sequential model without an Input, built by its first call."""
    model = keras.Sequential([L.LSTM(3, dropout=0.5), L.Dropout(0.5), L.Dense(2, "tanh")])
    model(np.zeros((2, 5, 4), np.float32))
    return model


for make in (sequential, functional, no_input):
    model = fill(make())
    model.save(HERE / f"{keras.__name__}-{keras.__version__}-{make.__name__}.keras")

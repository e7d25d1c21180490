"""Write models of recurrent layers, and what Keras predicts, with whichever Keras is installed.

    python make.py tagger every cells   # Keras 3, or Keras 2.13 and 2.14
    python make.py --tf-keras cells     # tf-keras 2.x

A model NAME-VERSION-MODEL.keras has its inputs `x` and outputs `predict`, dropout off, in a file
NAME-VERSION-MODEL.npz. Kept are all models of the newest version, and of older ones those that
their way of writing makes different.

The weights are so strong that a wrong gate, direction or mask shows in the outputs.
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
WORDS = 9


def tokens(rng: np.random.Generator) -> np.ndarray:
    """Return sentences with padding behind, before and within them, and with nothing else."""
    x = rng.integers(1, WORDS, (6, 7)).astype(np.int32)
    x[0, 4:] = 0
    x[1, :3] = 0
    x[2, 2:4] = 0
    x[3] = 0
    return x


def tagger():  # type: ignore[no-untyped-def]
    """Return an encoder and a decoder of sentences."""
    rates = {"dropout": 0.2, "recurrent_dropout": 0.2}
    return keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            L.Embedding(WORDS, 4),
            L.SpatialDropout1D(0.2),
            L.GRU(5, **rates),
            L.RepeatVector(7),
            L.GRU(4, return_sequences=True, **rates),
            L.TimeDistributed(L.Dense(3)),
            L.Activation("softmax"),
        ]
    )


def every():  # type: ignore[no-untyped-def]
    """Return every class, with a mask, as a functional model of sequences of any length."""
    x = inputs = keras.Input((None,), dtype="int32", name="tokens")
    for layer in (
        L.Embedding(WORDS, 4, mask_zero=True, name="words"),
        L.SpatialDropout1D(0.25, name="channels"),
        L.Bidirectional(L.LSTM(3, dropout=0.25, return_sequences=True), merge_mode="sum"),
        L.Bidirectional(
            L.GRU(2, recurrent_dropout=0.5, return_sequences=True, reset_after=False),
            backward_layer=L.GRU(
                2, go_backwards=True, return_sequences=True, activation="linear", name="back"
            ),
            name="both",
        ),
        L.SimpleRNN(4, dropout=0.125, recurrent_dropout=0.25),
        L.RepeatVector(3, name="again"),
        L.GRU(3, return_sequences=True),
        L.TimeDistributed(L.Dense(3, activation="relu")),
        L.TimeDistributed(L.Dense(2, use_bias=False), name="steps"),
        L.Bidirectional(L.SimpleRNN(3), merge_mode="ave"),
        L.Activation("softmax"),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


def cells():  # type: ignore[no-untyped-def]
    """Return the options of the cells, without an embedding."""
    return keras.Sequential(
        [
            keras.Input((5, 3)),
            L.GRU(
                4,
                reset_after=False,
                activation="relu",
                recurrent_activation="hard_sigmoid",
                dropout=0.5,
                return_sequences=True,
            ),
            L.Bidirectional(L.GRU(3, use_bias=False, return_sequences=True), merge_mode="mul"),
            L.Bidirectional(L.SimpleRNN(3, return_sequences=True, activation="sigmoid")),
            L.GRU(3, go_backwards=True, return_sequences=True, recurrent_dropout=0.5),
            L.SimpleRNN(3, go_backwards=True, use_bias=False, return_sequences=True),
            L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="ave"),
            L.Activation("softmax"),
        ]
    )


for name in sys.argv[1:]:
    if name.startswith("-"):
        continue
    rng = np.random.default_rng(0)
    model = {"tagger": tagger, "every": every, "cells": cells}[name]()
    for weight in model.weights:
        weight.assign(rng.normal(0, 1.2, weight.shape).astype(np.float32))
    x = rng.normal(size=(4, 5, 3)).astype(np.float32) if name == "cells" else tokens(rng)
    stem = f"{keras.__name__}-{keras.__version__}-{name}"
    model.save(HERE / f"{stem}.keras")
    np.savez_compressed(HERE / f"{stem}.npz", x=x, predict=model.predict(x, verbose=0))

"""The distribution of Keras's Monte-Carlo predictions for a small model, as moments.

    cd tests && python -m references.make_mc_model

writes mc_model.keras and mc_model.npz; it needs keras and tensorflow. The npz holds the weights by
name, the token ids `x` (rows 0 and 1 are the same), the output `predict` without dropout, and the
moments over 5,000 passes with dropout. Keras draws its masks for each row, so equal rows of one
pass are independent: their covariance over the passes is 0.

The script ends with a table: how far the right and the wrong semantics, simulated in NumPy, lie
from Keras, in standard errors. It fails unless the right ones agree and every fault shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .simulate import DROPOUT, FAULTS, LSTM_DROPOUT, RECURRENT_DROPOUT, moments, simulate, z_scores

FOLDER = Path(__file__).parent
SEED = 2
PASSES = 5000
TOKENS, STEPS, FEATURES, UNITS, OUTPUTS = 20, 10, 8, 6, 3
AGREES, DETECTED = 4.0, 8.0  # standard errors


def make_weights() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return weights so strong that dropout spreads the outputs, and the token ids."""
    rng = np.random.default_rng(SEED)
    x = rng.integers(0, TOKENS, (4, STEPS)).astype(np.int32)
    x[1] = x[0]
    weights = {
        "embedding": rng.normal(0, 1.0, (TOKENS, FEATURES)),
        "kernel": rng.normal(0, 0.4, (FEATURES, 4 * UNITS)),
        "recurrent_kernel": rng.normal(0, 1.0, (UNITS, 4 * UNITS)),
        "bias": rng.normal(0, 0.5, 4 * UNITS),
        "dense_kernel": rng.normal(0, 1.5, (UNITS, OUTPUTS)),
        "dense_bias": rng.normal(0, 0.3, OUTPUTS),
    }
    return {name: value.astype(np.float32) for name, value in weights.items()}, x


def run_keras(
    weights: dict[str, np.ndarray], x: np.ndarray, path: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return predict's output and PASSES samples; save the model if there is a path."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    assert keras.backend.backend() == "tensorflow", "Keras runs on another backend already"
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input((STEPS,), dtype="int32"),
            keras.layers.Embedding(TOKENS, FEATURES),
            keras.layers.Dropout(DROPOUT),
            keras.layers.LSTM(UNITS, dropout=LSTM_DROPOUT, recurrent_dropout=RECURRENT_DROPOUT),
            keras.layers.Dense(OUTPUTS, activation="sigmoid"),
        ]
    )
    model.set_weights(list(weights.values()))
    if path is not None:
        model.save(path)
    tokens = tf.constant(x)
    one_pass = tf.function(lambda: model(tokens, training=True))
    samples = np.stack([one_pass().numpy() for _ in range(PASSES)]).astype(np.float64)
    assert len(np.unique(samples, axis=0)) == PASSES, "a pass repeats another"
    return model.predict(x, verbose=0), samples


def main() -> None:
    weights, x = make_weights()
    predicted, samples = run_keras(weights, x, FOLDER / "mc_model.keras")
    keras_moments = moments(samples)
    file: dict[str, Any] = {"x": x, "predict": predicted} | weights | keras_moments
    np.savez_compressed(FOLDER / "mc_model.npz", **file)
    deviation = np.sqrt(keras_moments["variance"])
    print(f"standard deviations {deviation.min():.3f} to {deviation.max():.3f}, means", end=" ")
    print(f"{keras_moments['mean'].min():.3f} to {keras_moments['mean'].max():.3f}")
    print(f"{'largest |z|':18}{'mean':>10}{'variance':>10}{'covariance':>12}")
    for seed, fault in enumerate((None, *FAULTS)):
        simulated = simulate(weights, x, PASSES, np.random.default_rng(seed), fault=fault)
        scores = z_scores(keras_moments, moments(simulated))
        largest = {name: float(np.abs(z).max()) for name, z in scores.items()}
        print(f"{fault or 'right':18}{largest['mean']:10.1f}{largest['variance']:10.1f}", end="")
        print(f"{largest['covariance']:12.1f}")
        worst = max(largest.values())
        assert worst < AGREES if fault is None else worst > DETECTED, fault
    for path in sorted(FOLDER.glob("mc_model.*")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

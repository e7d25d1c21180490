"""Write the outputs of Keras that the tests of fastdrop compare with.

    KERAS_BACKEND=tensorflow python make_reference.py

The file ``reference.npz`` holds eight windows of the held-out weeks as ``x``, float32, the output
of ``model.predict`` for them as ``predict``, float32, and over ``passes`` stochastic passes the
mean and the variance of each output as ``mean`` and ``variance``, float64.
"""

from __future__ import annotations

import keras
import numpy as np
from series import HERE, MODEL, WINDOW, load, parts, scaled

PASSES = 2000


def main() -> None:
    _, values, _ = load()
    held_out = parts(len(values))[2]
    ends = np.linspace(held_out.start, held_out.stop, 8, dtype=np.int64)
    x, _ = scaled(np.stack([values[end - WINDOW : end] for end in ends]))
    model = keras.saving.load_model(MODEL)
    keras.utils.set_random_seed(0)
    tiles = np.tile(x, (PASSES, 1, 1))  # each row of a batch draws masks of its own
    y = keras.ops.convert_to_numpy(model(tiles, training=True)).astype(np.float64)
    y = y.reshape(PASSES, len(x), 1)
    np.savez_compressed(
        HERE / "reference.npz",
        x=x,
        predict=model.predict(x, verbose=0),
        passes=PASSES,
        mean=y.mean(axis=0),
        variance=y.var(axis=0),
    )


if __name__ == "__main__":
    main()

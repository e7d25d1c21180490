"""Write the outputs of Keras that the tests of fastdrop compare with.

    KERAS_BACKEND=tensorflow python make_reference.py

The file ``reference.npz`` holds the ten messages of ``fastdrop.demo`` as ``x``, int32, the output
of ``model.predict`` for them as ``predict``, float32, and over ``passes`` stochastic passes the
mean and the variance of each output as ``mean`` and ``variance``, float64.
"""

from __future__ import annotations

import keras
import numpy as np
from words import HERE, MODEL, encode

from fastdrop.demo import messages

PASSES = 2000


def main() -> None:
    x = encode(messages())
    model = keras.saving.load_model(MODEL)
    keras.utils.set_random_seed(0)
    tiles = np.tile(x, (PASSES, 1))  # each row of a batch draws masks of its own
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

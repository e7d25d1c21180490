"""Write the outputs of Keras that the tests of fastdrop compare with.

    KERAS_BACKEND=tensorflow python make_reference.py

The file ``reference.npz`` holds eight windows of the weeks that test as ``x``, float32, the output
of ``model.predict`` for them as ``predict``, float32, and over ``passes`` stochastic passes the
mean and the variance of each output as ``mean`` and ``variance``, float64.
"""

from __future__ import annotations

import keras
import numpy as np
from demand import DAY, HERE, MODEL, load, parts, windows

PASSES = 2000


def main() -> None:
    x = windows(load()[1], parts()["test"], 81)[0]
    model = keras.saving.load_model(MODEL)
    keras.utils.set_random_seed(0)
    tiles = np.tile(x, (PASSES, 1, 1))  # each row of a batch draws masks of its own
    y = keras.ops.convert_to_numpy(model(tiles, training=True)).astype(np.float64)
    y = y.reshape(PASSES, len(x), DAY)
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

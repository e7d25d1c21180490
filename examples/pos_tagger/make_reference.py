"""Write the outputs of Keras that the tests of fastdrop compare with.

    KERAS_BACKEND=tensorflow python make_reference.py

The file ``reference.npz`` holds the encoded sentences of ``sentences.txt`` as ``x``, int32, and
the output of ``model.predict`` for them as ``predict``, float32.
"""

from __future__ import annotations

import keras
import numpy as np
from sentences import HERE, MODEL, encode, split, vocabulary


def main() -> None:
    lines = (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    x = encode([split(line) for line in lines], vocabulary())
    model = keras.saving.load_model(MODEL)
    np.savez_compressed(HERE / "reference.npz", x=x, predict=model.predict(x, verbose=0))


if __name__ == "__main__":
    main()

"""Write the outputs of Keras that the tests of fastdrop compare with.

    KERAS_BACKEND=tensorflow python make_reference.py

The file ``reference.npz`` holds, for the model and the messages of
``fastdrop.demo``:

``x``
    the encoded messages, int32, shape (messages, 498);
``predict``
    the output of ``model.predict``, float32, shape (messages, 1);
``passes``
    the number of stochastic passes (``training=True``), an int64;
``mean``, ``variance``, ``fourth``
    mean, variance and fourth central moment of each message's output over
    the passes (divided by their number), float64, shape (messages, 1);
``keras``, ``backend``
    the versions, as strings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np

from fastdrop.demo import encode, messages, model_path


def backend() -> str:
    """Return the name and the version of the backend of Keras."""
    name = keras.backend.backend()
    return f"{name} {__import__(name).__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the reference outputs of Keras.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("reference.npz"))
    parser.add_argument("--passes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    model = keras.saving.load_model(model_path())
    x = encode(messages())
    tiles = 50  # passes in one batch: each row of a batch draws masks of its own
    batch = np.tile(x, (tiles, 1))
    outputs = [
        keras.ops.convert_to_numpy(model(batch, training=True)).reshape(tiles, len(x), 1)
        for _ in range(-(-args.passes // tiles))
    ]
    p = np.concatenate(outputs)[: args.passes].astype(np.float64)
    mean = p.mean(axis=0)
    np.savez_compressed(
        args.out,
        x=x,
        predict=model.predict(x, verbose=0),
        passes=np.int64(len(p)),
        mean=mean,
        variance=((p - mean) ** 2).mean(axis=0),
        fourth=((p - mean) ** 4).mean(axis=0),
        keras=keras.__version__,
        backend=backend(),
    )


if __name__ == "__main__":
    main()

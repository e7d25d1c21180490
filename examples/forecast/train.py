"""Train the forecaster of the example with Keras.

    KERAS_BACKEND=jax python train.py

The series is read from statsmodels. Its first seven tenths train, the next tenth validates, the
rest is held out. The epoch of the lowest error one week ahead on the weeks that validate is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from series import DATA, MODEL, SCALE, WINDOW, Array, parts, scaled
from statsmodels.datasets import co2

BATCH, UNITS = 32, 50


def read() -> tuple[np.ndarray, Array, int]:
    """Return weeks, values, and how many of these are missing and taken from their neighbours."""
    table = co2.load_pandas().data["co2"]
    values = table.to_numpy(dtype=np.float64)
    known = ~np.isnan(values)
    place = np.arange(len(values))
    values = np.interp(place, place[known], values[known])
    return table.index.to_numpy().astype("datetime64[D]"), values, int((~known).sum())


def pairs(values: Array, weeks: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows before the weeks of a part, and those weeks, as the model takes them."""
    ends = np.arange(max(weeks.start, WINDOW), weeks.stop)
    x, level = scaled(np.stack([values[end - WINDOW : end] for end in ends]))
    return x, (values[ends, np.newaxis] - level) / SCALE


def build() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((WINDOW, 1)),
            keras.layers.LSTM(UNITS, return_sequences=True),
            keras.layers.Dropout(0.2),
            keras.layers.LSTM(UNITS),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )


class Keep(keras.callbacks.Callback):
    """Save the model, without its optimizer, after each epoch of a lower validation loss."""

    def __init__(self, copy: keras.Model, out: Path) -> None:
        super().__init__()
        self.copy, self.out, self.lowest = copy, out, np.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_loss"] < self.lowest:
            self.lowest = logs["val_loss"]
            self.copy.set_weights(self.model.get_weights())
            self.copy.save(self.out)
            print(f" epoch {epoch + 1} kept")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the forecaster of the example.")
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--data", type=Path, default=DATA, help="the series to write")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    weeks, values, missing = read()
    print(f"{len(values)} weeks from {weeks[0]} to {weeks[-1]}, {missing} of them interpolated")
    train, validation, held_out = (pairs(values, part) for part in parts(len(values)))
    spread = train[0].std(axis=1).mean()
    print(f"{len(train[0])} weeks train; a window spreads {spread:.2f} of SCALE about its mean")
    model, copy = build(), build()
    steps = -(-len(train[0]) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, args.epochs - 1) * steps, warmup_target=3e-3, warmup_steps=steps
    )
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "mse")
    model.fit(
        *train,
        batch_size=BATCH,
        epochs=args.epochs,
        validation_data=validation,
        callbacks=[Keep(copy, args.out)],
        verbose=2,
    )
    for name, (x, y) in (("validation", validation), ("held out", held_out)):
        errors = SCALE * (y - copy.predict(x, verbose=0))
        same = SCALE * (y - x[:, -1])
        print(f"{name}: {len(x)} weeks, root mean square error one week ahead ", end="")
        print(f"{np.sqrt(np.mean(errors**2)):.3f} ppm, of the week before's value ", end="")
        print(f"{np.sqrt(np.mean(same**2)):.3f} ppm")
    x, y = validation
    errors = SCALE * (y - copy.predict(x, verbose=0))[:, 0]
    np.savez_compressed(
        args.data,
        weeks=weeks,
        values=values.astype(np.float32),
        errors=errors.astype(np.float32),
    )


if __name__ == "__main__":
    main()

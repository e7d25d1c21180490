"""Train the forecaster of the example with Keras.

    KERAS_BACKEND=jax python train.py

The series is read from pmdarima. Its first seven weeks train, the eighth validates; the other four
are held out. The epoch of the lowest error on the week that validates is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from demand import DATA, DAY, DAYS, MODEL, SCALE, WEEK, Array, begins, days, load, parts, windows
from pmdarima.datasets import load_taylor

BATCH, UNITS = 32, 64


def build(dropout: float) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((DAYS, DAY)),
            keras.layers.LSTM(UNITS, dropout=dropout, recurrent_dropout=dropout),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(DAY),
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


def regression(demand: Array, part: slice) -> Array:
    """Return a linear regression's forecasts of a part, MW: it sees and trains on the same."""
    train = parts()["train"]
    x, level = windows(demand, train)
    weights = np.linalg.lstsq(x.reshape(len(x), -1), days(demand, train) - level, rcond=None)[0]
    x, level = windows(demand, part)
    return x.reshape(len(x), -1) @ weights + level


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the forecaster of the example.")
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--data", type=Path, default=DATA, help="the series to write")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    np.savez_compressed(
        args.data, start=np.datetime64("2000-06-05T00:00"), demand=load_taylor().astype(np.uint16)
    )
    _, demand = load(args.data)
    pairs = {}
    for name, part in parts().items():
        x, level = windows(demand, part)
        pairs[name] = x, (days(demand, part) - level) / SCALE
    steps = -(-len(pairs["train"][0]) // BATCH)
    print(f"{len(pairs['train'][0])} windows train; their spread is {pairs['train'][0].std():.2f}")
    model, copy = build(args.dropout), build(args.dropout)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, args.epochs - 1) * steps, warmup_target=3e-3, warmup_steps=steps
    )
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "mse")
    model.fit(
        *pairs["train"],
        batch_size=BATCH,
        epochs=args.epochs,
        validation_data=pairs["validation"],
        callbacks=[Keep(copy, args.out)],
        verbose=2,
    )
    print("mean absolute error, MW: the week before, a linear regression, this model")
    for name in ("validation", "calibration", "test"):
        truth = days(demand, parts()[name])
        before = np.stack([demand[n - WEEK : n - WEEK + DAY] for n in begins(parts()[name])])
        x, level = windows(demand, parts()[name])
        said = copy.predict(x, verbose=0) * SCALE + level
        forecasts = before, regression(demand, parts()[name]), said
        print(f"{name:11}" + "".join(f"{abs(y - truth).mean():8.0f}" for y in forecasts))


if __name__ == "__main__":
    main()

"""Train the spam filter of the demonstration with Keras.

    python train.py SMSSpamCollection.tsv --out sms_spam.keras

The data are lines of ``ham`` or ``spam``, a tab and the message. Repeated
messages (the same after encoding) are removed before the split, so that no
held-out message is among those trained on. The epoch to keep is chosen by the
validation loss; the held-out messages are looked at once, at the end.
"""

from __future__ import annotations

import argparse
import html
import math
from pathlib import Path

import keras
import numpy as np

from fastdrop.demo import LENGTH, encode

BATCH = 64


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct encoded messages and their labels, 1 for spam."""
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    x = encode([html.unescape(text) for text in texts])
    _, first = np.unique(x, axis=0, return_index=True)
    first.sort()
    print(f"{len(lines)} messages, {len(first)} of them distinct")
    return x[first], np.array([label == "spam" for label in labels], dtype=np.float32)[first]


def split(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows to train on, to validate on and held out: 70, 10 and 20 % of each class."""
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = []
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == label))
        parts.append(np.split(rows, [round(0.7 * len(rows)), round(0.8 * len(rows))]))
    train, validation, held_out = (np.concatenate(pair) for pair in zip(*parts, strict=True))
    return train, validation, held_out


def build(dropout_layer: bool = True) -> keras.Model:
    """Return the untrained model."""
    layers = [keras.layers.Embedding(64, 64)]
    if dropout_layer:
        layers.append(keras.layers.Dropout(0.25))
    layers += [
        keras.layers.LSTM(100, dropout=0.5, recurrent_dropout=0.5),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    return keras.Sequential([keras.Input((LENGTH,), dtype="int32"), *layers])


class Keep(keras.callbacks.Callback):
    """Save the model, without its optimizer, after each epoch of a lower validation loss."""

    def __init__(self, copy: keras.Model, out: Path) -> None:
        super().__init__()
        self.copy, self.out, self.lowest = copy, out, math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_loss"] < self.lowest:
            self.lowest = logs["val_loss"]
            self.copy.set_weights(self.model.get_weights())
            self.copy.save(self.out)
            print(f" epoch {epoch + 1} kept")


def report(name: str, y: np.ndarray, p: np.ndarray) -> None:
    """Print accuracy, and precision and recall of spam."""
    truth, spam = y > 0.5, p > 0.5
    hits = np.sum(spam & truth)
    print(
        f"{name}: {len(y)} messages, accuracy {np.mean(spam == truth):.2%}, "
        f"spam precision {hits / max(1, spam.sum()):.2%}, spam recall {hits / truth.sum():.2%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the spam filter of the demonstration.")
    parser.add_argument("data", type=Path, help="SMSSpamCollection.tsv")
    parser.add_argument("--out", type=Path, default=Path("sms_spam.keras"))
    parser.add_argument("--no-dropout-layer", action="store_true", help="leave out Dropout(0.25)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    x, y = read(args.data)
    train, validation, held_out = split(y, args.seed)
    model, copy = (build(not args.no_dropout_layer) for _ in range(2))
    steps = math.ceil(len(train) / BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, args.epochs - 1) * steps, warmup_target=4e-3, warmup_steps=steps
    )
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0), "binary_crossentropy", metrics=["accuracy"]
    )
    model.fit(
        x[train],
        y[train],
        batch_size=BATCH,
        epochs=args.epochs,
        validation_data=(x[validation], y[validation]),
        callbacks=[Keep(copy, args.out)],
        verbose=2,
    )
    for name, rows in (("validation", validation), ("held out", held_out)):
        report(name, y[rows], copy.predict(x[rows], batch_size=256, verbose=0)[:, 0])


if __name__ == "__main__":
    main()

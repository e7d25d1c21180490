"""Is a Dropout layer between an Embedding and an LSTM(dropout=...) redundant?

    python compare_dropout.py SMSSpamCollection.tsv sms_spam.keras without_layer.keras

Measures, in Keras, which elements of the LSTM's input each of the two drops,
and how far the predictions spread over stochastic passes with either of them.
The second model is the one that ``train.py --no-dropout-layer`` writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from train import read, report, split

from fastdrop.demo import LENGTH

CHANNELS = 64
ROWS = 500
BATCH = 500
OFF = 1e-9  # nothing is dropped; at 0 Keras would compute an LSTM in another way


def lstm_that_shows_its_mask(units: int) -> keras.layers.Layer:
    """Return an LSTM whose output is its input times the input mask of the candidate gate.

    Input and output gate are held open, the forget gate is held closed, the
    candidate's kernel is the identity and the recurrent kernel is 0.
    """
    lstm = keras.layers.LSTM(
        units, activation="linear", dropout=0.5, recurrent_dropout=0.5, return_sequences=True
    )
    lstm.build((None, LENGTH, units))
    kernel = np.zeros((units, 4, units))
    kernel[:, 2] = np.eye(units)
    bias = np.zeros((4, units))
    bias[[0, 1, 3]] = [[50.0], [-50.0], [50.0]]
    lstm.set_weights([kernel.reshape(units, -1), np.zeros((units, 4 * units)), bias.ravel()])
    return lstm


def compare_masks() -> None:
    """Print what the two do to an input of ones."""
    ones = np.ones((ROWS, LENGTH, CHANNELS), dtype=np.float32)
    layer, lstm = keras.layers.Dropout(0.25), lstm_that_shows_its_mask(CHANNELS)
    print(f"Masks of {ROWS} rows, {LENGTH} steps, {CHANNELS} channels")
    print("  kept      elements that are not dropped")
    print("  distinct  different masks over time, per row")
    print("  never     channels dropped at every step")
    print("  corr      correlation of the masks of successive steps")
    print("  std       of a channel's factor, averaged over all steps")
    print(f"  {'':18}{'kept':>8}{'distinct':>10}{'never':>8}{'corr':>8}{'std':>8}")
    for name, stack in (
        ("Dropout(0.25)", [layer]),
        ("LSTM(dropout=0.5)", [lstm]),
        ("both", [layer, lstm]),
    ):
        factor = ones
        for part in stack:
            factor = part(factor, training=True)
        factor = keras.ops.convert_to_numpy(factor)
        kept = factor > 0.5
        distinct = np.mean([len(np.unique(row, axis=0)) for row in kept])
        never = np.mean(~kept.any(axis=1))
        corr = np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]
        std = factor.mean(axis=1).std()
        print(f"  {name:18}{kept.mean():8.3f}{distinct:10.1f}{never:8.3f}{corr:8.3f}{std:8.3f}")
    for rate in (0.5, 0.0):
        lstm = keras.layers.LSTM(100, dropout=0.5, recurrent_dropout=rate)
        masks = lstm.cell.get_dropout_mask(keras.ops.ones((ROWS, CHANNELS)))
        count = len(masks) if isinstance(masks, list) else 1
        print(f"  LSTM(dropout=0.5, recurrent_dropout={rate}): input masks per row {count}")


def passes(path: Path, x: np.ndarray, samples: int, off: tuple[str, ...] = ()) -> np.ndarray:
    """Return the predictions of stochastic passes, of shape (samples, messages)."""
    model = keras.saving.load_model(path)
    for layer in model.layers:
        for rate in off:
            if rate == "rate" and isinstance(layer, keras.layers.Dropout):
                layer.rate = OFF
            elif rate != "rate" and isinstance(layer, keras.layers.LSTM):
                setattr(layer.cell, rate, OFF)
    # model.predict would turn the dropout off, whatever the model is wrapped in
    rows = np.tile(x, (samples, 1))
    outputs = [model(rows[i : i + BATCH], training=True) for i in range(0, len(rows), BATCH)]
    outputs = [keras.ops.convert_to_numpy(output) for output in outputs]
    return np.concatenate(outputs).reshape(samples, len(x))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare Dropout with LSTM(dropout=...).")
    parser.add_argument("data", type=Path, help="SMSSpamCollection.tsv")
    parser.add_argument("model", type=Path, help="the model with the Dropout layer")
    parser.add_argument("without", type=Path, help="the model without it")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="the seed train.py was run with")
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    compare_masks()

    x, y = read(args.data)
    _, _, held_out = split(y, args.seed)
    for name, path in (("with the layer", args.model), ("without the layer", args.without)):
        model = keras.saving.load_model(path)
        p = model.predict(x[held_out], batch_size=256, verbose=0)[:, 0]
        report(f"Held out, {name}", y[held_out], p)

    ham, spam = (held_out[y[held_out] == label][:50] for label in (0, 1))
    print(f"Spread over {args.samples} passes, mean of the std of 50 held-out ham and 50 spam:")
    lstm = ("dropout", "recurrent_dropout")
    for name, path, off in (
        ("all on", args.model, ()),
        ("only the Dropout layer", args.model, lstm),
        ("only the LSTM's two", args.model, ("rate",)),
        ("only the LSTM's dropout=", args.model, ("rate", "recurrent_dropout")),
        ("only the LSTM's recurrent_dropout=", args.model, ("rate", "dropout")),
        ("the model without the layer, all on", args.without, ()),
    ):
        std = passes(path, x[np.concatenate([ham, spam])], args.samples, off).std(axis=0)
        print(f"  {name}: ham {std[:50].mean():.4f}, spam {std[50:].mean():.4f}", flush=True)


if __name__ == "__main__":
    main()

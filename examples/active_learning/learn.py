"""Learn a spam filter from few labels: messages chosen by BALD against messages chosen at random.

    KERAS_BACKEND=jax python learn.py SMSSpamCollection.tsv

For each seed 1,000 messages are held out, and both ways begin with the same 20 labels. In each
round a model is trained from new weights, and 10 more messages are labelled: those of 1,000
candidates that have the highest mutual information of label and network, or any.
"""

from __future__ import annotations

import argparse
import html
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from words import CURVES, LENGTH, MODEL, WORDS, encode

import fastdrop

HELD_OUT, FIRST, BATCH, CANDIDATES, SAMPLES = 1000, 20, 10, 1000, 50
STEPS, ROWS = 200, 32


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the messages that are distinct when encoded, and their labels, 1 for spam."""
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    x = encode([html.unescape(text) for text in texts])
    _, first = np.unique(x, axis=0, return_index=True)
    first.sort()
    return x[first], np.array([label == "spam" for label in labels], dtype=np.float32)[first]


def build() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(WORDS, 16),
            keras.layers.GRU(24, dropout=0.3, recurrent_dropout=0.3),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


class Trainer:
    """Train one compiled model again and again, from new weights each time."""

    def __init__(self, folder: Path) -> None:
        self.model, self.copy = build(), build()
        self.model.compile(keras.optimizers.Adam(5e-3, clipnorm=1.0), "binary_crossentropy")
        self.model.optimizer.build(self.model.trainable_variables)
        self.zero = [keras.ops.convert_to_numpy(v) for v in self.model.optimizer.variables]
        self.path = folder / "round.keras"

    def train(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> fastdrop.Model:
        """Return a model trained on STEPS batches of ROWS rows, drawn with replacement."""
        keras.utils.set_random_seed(int(rng.integers(1 << 31)))
        # Of everything, the states of the layers that draw masks too.
        for variable, new in zip(self.model.variables, build().variables, strict=True):
            variable.assign(new)
        for variable, value in zip(self.model.optimizer.variables, self.zero, strict=True):
            variable.assign(value)
        rows = rng.integers(len(x), size=STEPS * ROWS)
        self.model.fit(x[rows], y[rows], batch_size=ROWS, shuffle=False, verbose=0)
        self.copy.set_weights(self.model.get_weights())  # without the optimizer's state
        self.copy.save(self.path)
        return fastdrop.load(self.path)


def run(
    trainer: Trainer,
    x: np.ndarray,
    y: np.ndarray,
    bald: bool,
    rounds: int,
    seed: int,
    keep: Path | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each round's model says of the held-out messages, and how much spam it was told.

    Probabilities of shape (rounds + 1, HELD_OUT), and counts of shape (rounds + 1,). The model
    halfway is copied to `keep`.
    """
    rng = np.random.default_rng(seed)  # the same split and the same first labels for both ways
    rows = rng.permutation(len(x))
    held_out, labelled, pool = np.split(rows, [HELD_OUT, HELD_OUT + FIRST])
    found, spam = [], []
    for number in range(rounds + 1):
        model = trainer.train(x[labelled], y[labelled], rng)
        found.append(model.predict(x[held_out])[:, 0])
        spam.append(y[labelled].sum())
        if keep is not None and number == rounds // 2:
            keep.write_bytes(trainer.path.read_bytes())
        candidates = rng.choice(pool, CANDIDATES, replace=False)
        chosen = candidates[:BATCH]
        if bald:
            p = model.mc_predict(x[candidates], samples=SAMPLES, rng=rng)
            chosen = candidates[np.argsort(-p.mutual_information[:, 0], kind="stable")[:BATCH]]
        labelled = np.concatenate([labelled, chosen])
        pool = np.setdiff1d(pool, chosen)
    return np.stack(found), np.array(spam)


def measures(y: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return accuracy, and F1 of spam, of each round, shape (2, rounds)."""
    truth, guess = y > 0.5, found > 0.5
    hits = (truth & guess).sum(axis=1)
    return np.stack([(truth == guess).mean(axis=1), 2 * hits / (truth.sum() + guess.sum(axis=1))])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare BALD with random choice of labels.")
    parser.add_argument("data", type=Path, help="SMSSpamCollection.tsv")
    parser.add_argument("--out", type=Path, default=CURVES)
    parser.add_argument("--model", type=Path, default=MODEL, help="to write: BALD, halfway, seed 0")
    parser.add_argument("--rounds", type=int, default=18)
    parser.add_argument("--seeds", type=int, default=12)
    args = parser.parse_args()

    x, y = read(args.data)
    print(f"{len(x)} distinct messages, {int(y.sum())} of them spam")
    curves: dict[str, list[np.ndarray]] = {"random": [], "bald": []}
    spam: dict[str, list[np.ndarray]] = {"random": [], "bald": []}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder))
        for seed in range(args.seeds):
            truth = y[np.random.default_rng(seed).permutation(len(x))[:HELD_OUT]]
            for way in curves:
                keep = args.model if way == "bald" and seed == 0 else None
                found, bought = run(trainer, x, y, way == "bald", args.rounds, seed, keep)
                curves[way].append(measures(truth, found))
                spam[way].append(bought)
                accuracy, f1 = curves[way][-1][:, -1]
                print(
                    f"seed {seed}, {way}: {FIRST + BATCH * args.rounds} labels, "
                    f"accuracy {accuracy:.2%}, F1 {f1:.3f}, {time.perf_counter() - start:.0f} s",
                    flush=True,
                )
    np.savez_compressed(
        args.out,
        labels=FIRST + BATCH * np.arange(args.rounds + 1),
        **{f"{way}_accuracy": np.array(curves[way])[:, 0] for way in curves},
        **{f"{way}_f1": np.array(curves[way])[:, 1] for way in curves},
        **{f"{way}_spam": np.array(spam[way], dtype=np.int64) for way in curves},
    )


if __name__ == "__main__":
    main()

"""Train the tagger of the example with Keras.

    KERAS_BACKEND=jax python train.py dev.tsv test.tsv

The data are lines of a word, a tab and its tag, with an empty line after each sentence. A tenth of
the first file's sentences validates, the rest trains; the second file is held out. The epoch to
keep is chosen by the accuracy on the words that validate.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import keras
import numpy as np
from sentences import LENGTH, MODEL, PADDING, TAGS, WORDS, encode

Sentence = list[tuple[str, str]]

BATCH = 32
EMBEDDING, UNITS = 64, 128
MOST_WORDS = 5000


def read(path: Path) -> list[Sentence]:
    """Return the sentences of a file, each a list of words with their tags."""
    sentences = []
    for block in path.read_text(encoding="utf-8").strip("\n").split("\n\n"):
        pairs = [line.split("\t") for line in block.split("\n")]
        sentences.append([(word, tag) for word, tag in pairs])
    return sentences


def divide(sentences: list[Sentence], seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Return nine tenths to train on and one to validate on."""
    order = np.random.default_rng(seed).permutation(len(sentences))
    cut = len(order) // 10
    return [sentences[i] for i in order[cut:]], [sentences[i] for i in order[:cut]]


def frequent_words(sentences: list[Sentence]) -> list[str]:
    """Return the words to give an index, most frequent first.

    Words that occur once have none: by them the model learns what an unknown word may be.
    """
    counts = Counter(word.lower() for sentence in sentences for word, _ in sentence)
    known = [(word, n) for word, n in counts.items() if n > 1]
    known.sort(key=lambda item: (-item[1], item[0]))
    return [word for word, _ in known[: MOST_WORDS - 2]]


def inputs(sentences: list[Sentence], words: dict[str, int]) -> np.ndarray:
    return encode([[word for word, _ in sentence] for sentence in sentences], words)


def targets(sentences: list[Sentence]) -> np.ndarray:
    """Return the numbers of the tags in the order of the words, then padding."""
    rows = np.full((len(sentences), LENGTH), PADDING, dtype=np.int32)
    for row, sentence in zip(rows, sentences, strict=True):
        numbers = [TAGS.index(tag) for _, tag in sentence[:LENGTH]]
        row[: len(numbers)] = numbers
    return rows


def build(vocabulary: int) -> keras.Model:
    """Return the untrained model."""
    rates = {"dropout": 0.2, "recurrent_dropout": 0.2}
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(vocabulary, EMBEDDING),
            keras.layers.SpatialDropout1D(0.2),
            keras.layers.GRU(UNITS, **rates),
            keras.layers.RepeatVector(LENGTH),
            keras.layers.GRU(UNITS, return_sequences=True, **rates),
            keras.layers.TimeDistributed(keras.layers.Dense(len(TAGS))),
            keras.layers.Activation("softmax"),
        ]
    )


class Keep(keras.callbacks.Callback):
    """Save the model, without its optimizer, after each epoch of a higher accuracy on words."""

    def __init__(self, copy: keras.Model, out: Path) -> None:
        super().__init__()
        self.copy, self.out, self.highest = copy, out, -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_words"] > self.highest:
            self.highest = logs["val_words"]
            self.copy.set_weights(self.model.get_weights())
            self.copy.save(self.out)
            print(f" epoch {epoch + 1} kept")


def baselines(train: list[Sentence], held_out: list[Sentence]) -> None:
    """Print what two ways of tagging without a model reach."""
    by_word: dict[str, Counter[str]] = {}
    for sentence in train:
        for word, tag in sentence:
            by_word.setdefault(word.lower(), Counter())[tag] += 1
    tags = sum(by_word.values(), Counter())
    (commonest, _), *_ = tags.most_common()
    pairs = [pair for sentence in held_out for pair in sentence]
    always = np.mean([tag == commonest for _, tag in pairs])
    own = [by_word.get(word.lower(), tags).most_common(1)[0][0] == tag for word, tag in pairs]
    print(f"always {commonest}: {always:.2%}; each word's most frequent tag: {np.mean(own):.2%}")


def report(name: str, sentences: list[Sentence], p: np.ndarray) -> None:
    """Print the accuracy on words, on all positions, and by the place in the sentence."""
    right = p.argmax(axis=-1) == targets(sentences)
    lengths = np.array([len(sentence) for sentence in sentences])
    place = np.arange(LENGTH)
    words = place < lengths[:, np.newaxis]
    print(
        f"{name}: {len(sentences)} sentences, {lengths.sum()} words, "
        f"{np.maximum(lengths - LENGTH, 0).sum()} of them cut off (they count as wrong); "
        f"accuracy on words {right[words].sum() / lengths.sum():.2%}, "
        f"with padding {right.mean():.2%}"
    )
    for low, high in ((0, 5), (5, 10), (10, 20), (20, LENGTH)):
        here = words & (place >= low) & (place < high)
        print(f"  words {low + 1} to {high} of a sentence: {right[here].mean():.2%}")
    for low, high in ((1, 5), (6, 10), (11, 20), (21, 100)):
        here = words & ((lengths >= low) & (lengths <= high))[:, np.newaxis]
        print(f"  in sentences of {low} to {high} words: {right[here].mean():.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tagger of the example.")
    parser.add_argument("data", type=Path, help="sentences to train and to validate on")
    parser.add_argument("held_out", type=Path, help="sentences to report on, at the end")
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--words", type=Path, default=WORDS, help="the vocabulary to write")
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    train, validation = divide(read(args.data), args.seed)
    held_out = read(args.held_out)
    known = frequent_words(train)
    args.words.write_text("\n".join(known) + "\n", encoding="utf-8")
    words = {word: index for index, word in enumerate(known, start=2)}
    print(f"{len(train)} sentences to train on, {len(validation)} to validate on")
    print(f"{len(known)} words have an index")
    baselines(train, held_out)

    x, y = inputs(train, words), targets(train)
    # Three positions in four are padding: weighed down, or the model would learn little else.
    weight = np.where(y == PADDING, 0.1, 1.0)
    x_validation, y_validation = inputs(validation, words), targets(validation)
    model, copy = (build(len(known) + 2) for _ in range(2))
    steps = -(-len(x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, args.epochs - 1) * steps, warmup_target=4e-3, warmup_steps=steps
    )
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        "sparse_categorical_crossentropy",
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="words")],
    )
    model.fit(
        x,
        y,
        sample_weight=weight,
        batch_size=BATCH,
        epochs=args.epochs,
        validation_data=(
            x_validation,
            y_validation,
            (y_validation != PADDING).astype(np.float32),
        ),
        callbacks=[Keep(copy, args.out)],
        verbose=2,
    )
    kept = keras.saving.load_model(args.out)
    for name, sentences in (("validation", validation), ("held out", held_out)):
        p = kept.predict(inputs(sentences, words), batch_size=256, verbose=0)
        report(name, sentences, p)


if __name__ == "__main__":
    main()

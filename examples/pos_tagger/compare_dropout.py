"""What does SpatialDropout1D drop that Dropout does not?

    KERAS_BACKEND=jax python compare_dropout.py test.tsv

Measures, in Keras, which elements of the encoder's input each of the two drops; then, with
fastdrop, how far the predictions of the trained tagger spread with either of them in its place,
and how well the uncertainty of a word tells right tags from wrong ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from sentences import LENGTH, MODEL, vocabulary
from tag import entropy
from train import Sentence, inputs, read, targets

import fastdrop
from fastdrop.layers import GRU, Dropout, SpatialDropout1D
from fastdrop.model import Model

RATE = 0.2
ROWS, CHANNELS = 500, 64


def compare_masks() -> None:
    """Print what the two do to an input of ones."""
    ones = np.ones((ROWS, LENGTH, CHANNELS), dtype=np.float32)
    print(f"Masks of {ROWS} rows, {LENGTH} steps, {CHANNELS} channels")
    print("  kept      elements that are not dropped")
    print("  distinct  different masks over time, per row")
    print("  never     channels dropped at every step")
    print("  corr      correlation of the masks of successive steps")
    print("  std       of a channel's factor, averaged over all steps")
    print(f"  {'':34}{'kept':>8}{'distinct':>10}{'never':>8}{'corr':>8}{'std':>8}")
    layers = keras.layers
    for name, layer in (
        (f"Dropout({RATE})", layers.Dropout(RATE)),
        (f"SpatialDropout1D({RATE})", layers.SpatialDropout1D(RATE)),
        (f"Dropout({RATE}, (None, 1, None))", layers.Dropout(RATE, noise_shape=(None, 1, None))),
    ):
        factor = keras.ops.convert_to_numpy(layer(ones, training=True))
        kept = factor > 0.5
        distinct = np.mean([len(np.unique(row, axis=0)) for row in kept])
        never = np.mean(~kept.any(axis=1))
        corr = np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]
        std = factor.mean(axis=1).std()
        print(f"  {name:34}{kept.mean():8.3f}{distinct:10.1f}{never:8.3f}{corr:8.3f}{std:8.3f}")


def words_of(sentences: list[Sentence]) -> np.ndarray:
    """Return where there are words, (sentences, LENGTH)."""
    lengths = np.array([len(sentence) for sentence in sentences])
    return np.arange(LENGTH) < lengths[:, np.newaxis]


def with_layers(model: Model, change: Callable[[int, object], object]) -> Model:
    """Return the model with each layer, by its number, changed."""
    layers = [change(i, layer) for i, layer in enumerate(model.layers)]
    return Model(layers, model.input_shape)  # type: ignore[arg-type]


def only(model: Model, kept: tuple[int, ...], elementwise: bool = False) -> Model:
    """Return the model with dropout in some layers only; SpatialDropout1D may become Dropout."""

    def change(i: int, layer: object) -> object:
        if isinstance(layer, GRU) and i not in kept:
            return replace(layer, dropout=0.0, recurrent_dropout=0.0)
        if isinstance(layer, SpatialDropout1D):
            rate = layer.rate if i in kept else 0.0
            return Dropout(name="drop", rate=rate) if elementwise else replace(layer, rate=rate)
        return layer

    return with_layers(model, change)


def compare_spread(model: Model, x: np.ndarray, words: np.ndarray, samples: int) -> None:
    """Print how far the probability of the predicted tag spreads with some dropouts on."""
    tags = model.predict(x).argmax(axis=-1)
    spatial, encoder, decoder = 1, 2, 4
    print(f"Spread over {samples} samples of {len(x)} sentences, {words.sum()} words:")
    print("  std       of the probability of the tag predicted without dropout, mean over words")
    print("  changed   share of words whose tag differs from it in a sample")
    for name, variant in (
        ("all on", model),
        ("all on, Dropout for SpatialDropout1D", only(model, (spatial, encoder, decoder), True)),
        ("only SpatialDropout1D", only(model, (spatial,))),
        ("only Dropout in its place", only(model, (spatial,), True)),
        ("only the encoder's two", only(model, (encoder,))),
        ("only the decoder's two", only(model, (decoder,))),
    ):
        p = variant.mc_predict(x, samples=samples, rng=0, keep_samples=True)
        assert p.samples is not None
        std = np.take_along_axis(p.std, tags[..., np.newaxis], axis=-1)[..., 0]
        changed = (p.samples.argmax(axis=-1) != tags).mean(axis=0)
        print(f"  {name:38}{std[words].mean():8.4f}{changed[words].mean():8.3f}", flush=True)


def compare_uncertainty(
    model: Model, x: np.ndarray, y: np.ndarray, words: np.ndarray, samples: int
) -> None:
    """Print the accuracy by how uncertain a word's tag is."""
    p = model.mc_predict(x, samples=samples, rng=0)
    single = (model.predict(x).argmax(axis=-1) == y)[words]
    right = (p.mean.argmax(axis=-1) == y)[words]
    bits = entropy(p.mean)[words]
    print(
        f"Accuracy on {len(right)} words: {single.mean():.2%} with dropout off, {right.mean():.2%}"
    )
    print(f"by the mean of {samples} samples; by quarters of its entropy:")
    for quarter in np.array_split(np.argsort(bits, kind="stable"), 4):
        low, high = bits[quarter[0]], bits[quarter[-1]]
        print(f"  {low:4.2f} to {high:4.2f} bits: {right[quarter].mean():.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare SpatialDropout1D with Dropout.")
    parser.add_argument("data", type=Path, help="held-out sentences")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    keras.utils.set_random_seed(args.seed)
    compare_masks()
    sentences = read(args.data)
    x, y, words = inputs(sentences, vocabulary()), targets(sentences), words_of(sentences)
    model = fastdrop.load(args.model)
    compare_spread(model, x[:200], words[:200], args.samples)
    compare_uncertainty(model, x, y, words, args.samples)


if __name__ == "__main__":
    main()

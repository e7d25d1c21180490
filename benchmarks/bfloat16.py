"""What bfloat16 changes in what models say: the table of docs/bfloat16.md.

    python -m benchmarks.bfloat16 --spam SMSSpamCollection.tsv --words test.tsv

The first file has a label and a message a line, the second a word and its tag, with empty lines
between sentences. The models are those of the demo and of examples/pos_tagger; both precisions draw
the same masks.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import demo

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLES = 100

Array = NDArray[np.float32]


def spam(path: Path) -> tuple[str, fd.Model, NDArray[np.int32], NDArray[np.int64]]:
    """Return the spam filter, messages, and whether they are spam (1) or not (0)."""
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    y = np.array([label == "spam" for label in labels], np.int64)
    return "spam filter", fd.load(demo.model_path()), demo.encode(texts), y


def tagged(path: Path) -> tuple[str, fd.Model, NDArray[np.int32], NDArray[np.int64]]:
    """Return the tagger, sentences, and the numbers of their words' tags, 0 where is no word."""
    sys.path.insert(0, str(EXAMPLES / "pos_tagger"))
    from sentences import LENGTH, MODEL, TAGS, encode, vocabulary

    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    sentences = [[line.split("\t") for line in block.split("\n")] for block in blocks]
    y = np.zeros((len(sentences), LENGTH), np.int64)
    for row, sentence in zip(y, sentences, strict=True):
        tags = [TAGS.index(tag) for _, tag in sentence[:LENGTH]]
        row[: len(tags)] = tags
    words = [[word for word, _ in sentence] for sentence in sentences]
    return "tagger", fd.load(MODEL), encode(words, vocabulary()), y


def compared(name: str, model: fd.Model, x: NDArray[np.int32], y: NDArray[np.int64]) -> str:
    """Return the model's line of the table."""
    predictions = [
        model.with_precision(precision).mc_predict(x, samples=SAMPLES, rng=0)
        for precision in ("float32", "bfloat16")
    ]
    means = [p.mean for p in predictions]
    deviation = predictions[0].std
    if means[0].shape[-1] == 1:
        labels, count = [m[:, 0] > 0.5 for m in means], np.ones(len(y), bool)
    else:
        labels, count = [m.argmax(axis=-1) for m in means], y > 0
        means, deviation = [m[count] for m in means], deviation[count]
    moved = np.abs(means[1] - means[0])
    right = [float((label == y)[count].mean()) for label in labels]
    changed = int((labels[0] != labels[1])[count].sum())
    return (
        f"| {name} | {int(count.sum()):,} | {moved.mean() / deviation.mean():.3f} | "
        f"{moved.max():.4f} | {right[0]:.2%} | {right[1]:.2%} | {changed} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--spam", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True)
    args = parser.parse_args()
    print("| model | answers | mean change over mean deviation | largest change |", end=" ")
    print("right in float32 | in bfloat16 | decisions that differ |")
    print("|---|---|---|---|---|---|---|")
    for job in (spam(args.spam), tagged(args.words)):
        print(compared(*job), flush=True)


if __name__ == "__main__":
    main()

"""Tag the words of sentences with their parts of speech, and say how sure each tag is.

    python tag.py sentences.txt
    echo "The cat sat on the mat." | python tag.py -

Per word: the tag of the highest mean probability over the Monte-Carlo samples, that probability,
its standard deviation over the samples, and the entropy of the mean probabilities in bits (0: one
tag is certain; 4.1: all are as likely). A * marks words that the vocabulary does not hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from sentences import LENGTH, MODEL, TAGS, encode, split, vocabulary

import fastdrop


def entropy(p: np.ndarray) -> np.ndarray:
    """Return the entropy along the last axis, in bits."""
    return -(p * np.log2(np.maximum(p, 1e-30))).sum(axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tag sentences, one a line.")
    parser.add_argument("sentences", help="a file of sentences, or - for standard input")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    try:
        if args.sentences == "-":
            text = sys.stdin.read()
        else:
            text = Path(args.sentences).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{args.sentences}: {error}")
    sentences = [words for line in text.splitlines() if (words := split(line))]
    if not sentences:
        parser.error("no sentences")

    known = vocabulary()
    model = fastdrop.load(args.model)
    p = model.mc_predict(encode(sentences, known), samples=args.samples, rng=args.seed)
    best = p.mean.argmax(axis=-1)
    print(f"{'word':20} {'tag':9} {'P(tag)':>6}  {'std':>5}  {'bits':>4}")
    for n, words in enumerate(sentences):
        bits = entropy(p.mean[n])
        for i, word in enumerate(words[:LENGTH]):
            tag = best[n, i]
            shown = word if word.lower() in known else f"{word} *"
            print(
                f"{shown:20} {TAGS[tag]:9} {p.mean[n, i, tag]:6.3f}  "
                f"{p.std[n, i, tag]:5.3f}  {bits[i]:4.2f}"
            )
        if len(words) > LENGTH:
            print(f"({len(words) - LENGTH} more words are beyond the model's {LENGTH})")
        print()


if __name__ == "__main__":
    main()

"""Write the groups of messages that the figures of the example come from.

    python groups.py SMSSpamCollection.tsv test.tsv --out groups

The first file has lines of ``ham`` or ``spam``, a tab and the message; the second one lines of a
word, a tab and a tag, with an empty line after each sentence. Written are texts, one a line:
messages that the spam filter was not trained on; these with their words, and with their
characters, in random order; random characters, as many; and sentences that are no messages.
"""

from __future__ import annotations

import argparse
import html
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastdrop.demo import ALPHABET, encode


def held_out(path: Path, rng: np.random.Generator, count: int) -> list[str]:
    """Return messages of those that the training of the spam filter has held out, in random order.

    The split is that of its training script: 70, 10 and 20 % of each class, with the seed 0.
    """
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    labels, texts = zip(*(line.split("\t", 1) for line in lines), strict=True)
    texts = [html.unescape(text) for text in texts]
    _, first = np.unique(encode(texts), axis=0, return_index=True)
    first.sort()
    spam = np.array([label == "spam" for label in labels])[first]
    split, rest = np.random.default_rng(0), []
    for label in (False, True):
        rows = split.permutation(np.flatnonzero(spam == label))
        rest.append(rows[round(0.8 * len(rows)) :])
    chosen = rng.choice(np.concatenate(rest), count, replace=False)
    return [" ".join(texts[row].split()) for row in first[chosen]]


def sentences(path: Path, rng: np.random.Generator, count: int) -> list[str]:
    """Return sentences of a treebank, of four words or more, written as one would."""
    found = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        words = [line.split("\t")[0] for line in block.split("\n")]
        if len(words) >= 4:
            found.append(re.sub(r" (n't|'\w+|[.,!?;:)])(?!\S)", r"\1", " ".join(words)))
    return [found[n] for n in rng.choice(len(found), count, replace=False)]


def shuffled(parts: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [parts[n] for n in rng.permutation(len(parts))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write groups of messages.")
    parser.add_argument("messages", type=Path, help="SMSSpamCollection.tsv")
    parser.add_argument("treebank", type=Path, help="test.tsv")
    parser.add_argument("--out", type=Path, default=Path("groups"), help="a folder")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    known = held_out(args.messages, rng, args.count)
    groups = {
        "held_out": known,
        "shuffled_words": [" ".join(shuffled(text.split(), rng)) for text in known],
        "shuffled_characters": ["".join(shuffled(text, rng)) for text in known],
        "random_characters": ["".join(rng.choice(list(ALPHABET), len(text))) for text in known],
        "sentences": sentences(args.treebank, rng, args.count),
    }
    args.out.mkdir(exist_ok=True)
    for name, texts in groups.items():
        (args.out / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

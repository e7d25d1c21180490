"""Say which messages are worth a label: those on which thinned networks disagree.

    python acquire.py ../../fastdrop/demo/messages.txt --batch 3

BALD, the mutual information of a label and the network that gives it, is the entropy of the mean
probability less the mean entropy: high where each network is sure, but not of the same answer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from words import MODEL, encode

import fastdrop


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose messages to label, of one a line.")
    parser.add_argument("messages", type=Path)
    parser.add_argument("--batch", type=int, default=10, help="how many to choose")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    texts = args.messages.read_text(encoding="utf-8").rstrip("\n").split("\n")
    p = fastdrop.load(args.model).mc_predict(encode(texts), samples=args.samples, rng=args.seed)
    bald = p.mutual_information[:, 0]
    print("  BALD  entropy  P(spam)  message")
    for row in np.argsort(-bald, kind="stable")[: args.batch]:
        figures = f"{bald[row]:6.3f}  {p.entropy[row, 0]:7.3f}  {p.mean[row, 0]:7.3f}"
        print(f"{figures}  {texts[row]}")


if __name__ == "__main__":
    main()

"""What training and tagging share: words, tags, and how a sentence becomes numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

LENGTH = 50
"""Number of words of an encoded sentence; what is longer is cut."""

TAGS = [
    "(padding)",
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
]
"""The universal part-of-speech tags; an output is one probability for each."""

PADDING, UNKNOWN = 0, 1

HERE = Path(__file__).parent
MODEL = HERE / "pos_tagger.keras"
WORDS = HERE / "words.txt"

_TOKEN = re.compile(r"n't\b|'(?:s|m|d|re|ve|ll)\b|\w+?(?=n't\b)|\w+|[^\w\s]", re.IGNORECASE)


def split(text: str) -> list[str]:
    """Split a text into words, much as the treebank does: "don't!" is "do", "n't", "!"."""
    return _TOKEN.findall(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def vocabulary(path: Path = WORDS) -> dict[str, int]:
    """Return the index of each word that has one, from 2 on: the lines of a file, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {word: index for index, word in enumerate(lines, start=2)}


def encode(sentences: Sequence[Sequence[str]], words: dict[str, int]) -> npt.NDArray[np.int32]:
    """Encode sentences as rows of word indices.

    Index 0 is padding, 1 any word without an index of its own. The words stand in reverse order
    behind the padding: the encoder reads the first word last, so that it is the freshest when the
    decoder begins with it (Sutskever, Vinyals & Le, "Sequence to Sequence Learning with Neural
    Networks", NIPS 2014).

    Returns
    -------
    numpy.ndarray
        Of dtype int32 and shape ``(len(sentences), LENGTH)``.
    """
    rows = np.full((len(sentences), LENGTH), PADDING, dtype=np.int32)
    for row, sentence in zip(rows, sentences, strict=True):
        indices = [words.get(word.lower(), UNKNOWN) for word in sentence[:LENGTH]]
        row[LENGTH - len(indices) :] = indices[::-1]
    return rows

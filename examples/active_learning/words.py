"""What learning and acquiring share: messages as rows of hashed words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

LENGTH = 30
"""Number of words of an encoded message; what is longer is cut."""

WORDS = 1024
"""Indices that there are. Words share them: nobody knows the words before the first label."""

HERE = Path(__file__).parent
MODEL = HERE / "learner.keras"
CURVES = HERE / "curves.npz"

_TOKEN = re.compile(r"\w+|[^\w\s]")
_DIGIT = re.compile(r"\d")


def encode(messages: Sequence[str]) -> npt.NDArray[np.int32]:
    """Encode messages as rows of word indices.

    Words are lower-cased, and each digit is taken for a 0, so that all numbers of a length are
    one word. The index of a word is 1 to WORDS - 1, by its CRC-32; 0 is padding, in front.

    Returns
    -------
    numpy.ndarray
        Of dtype int32 and shape ``(len(messages), LENGTH)``.
    """
    rows = np.zeros((len(messages), LENGTH), dtype=np.int32)
    for row, message in zip(rows, messages, strict=True):
        tokens = _TOKEN.findall(_DIGIT.sub("0", message.lower()))[:LENGTH]
        indices = [1 + zlib.crc32(token.encode()) % (WORDS - 1) for token in tokens]
        row[LENGTH - len(indices) :] = indices
    return rows

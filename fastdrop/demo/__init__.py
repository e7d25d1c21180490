"""A small demonstration: how sure is a spam filter of text messages?

The module holds what the training script, the example and the command
``fastdrop demo`` share: the encoding of messages as characters, the trained
model and a few messages to try it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHABET", "LENGTH", "encode", "messages", "model_path"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


LENGTH = 498
"""Number of time steps of an encoded message."""

ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789.,'?!&;:-)/\"£*#+(=@>$_%<€"
"""The 62 characters with an index of their own, from 2 on."""

_PADDING = 0
_OTHER = 1
_INDEX = {character: index for index, character in enumerate(ALPHABET, start=2)}


def encode(messages: Sequence[str]) -> npt.NDArray[np.int32]:
    """Encode messages as rows of character indices.

    Letters are lower-cased. Index 0 is padding, 1 is any character outside
    `ALPHABET`, 2 to 63 are the characters of `ALPHABET` in order. Rows are
    padded on the left, so that each message ends at the last time step. Of a
    longer message the first 498 characters are kept.

    Parameters
    ----------
    messages : sequence of str
        The messages.

    Returns
    -------
    numpy.ndarray
        The indices, of dtype int32 and shape ``(len(messages), 498)``.

    Raises
    ------
    TypeError
        If `messages` is a single string or no sequence, or an item of it is
        not a string.

    Examples
    --------
    >>> from fastdrop.demo import encode
    >>> rows = encode(["Hi!", "Ça va?"])
    >>> rows.shape
    (2, 498)
    >>> rows[:, -7:]
    array([[ 0,  0,  0,  0, 10, 11, 43],
           [ 0,  1,  3,  2, 24,  3, 42]], dtype=int32)
    """
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence):
        raise TypeError(
            f"messages: expected a sequence of str, such as a list, got {type(messages).__name__}"
        )
    rows = np.full((len(messages), LENGTH), _PADDING, dtype=np.int32)
    for number, message in enumerate(messages):
        if not isinstance(message, str):
            raise TypeError(f"messages[{number}]: expected a str, got {type(message).__name__}")
        indices = [_INDEX.get(character, _OTHER) for character in message.lower()[:LENGTH]]
        rows[number, LENGTH - len(indices) :] = indices
    return rows


def model_path() -> Path:
    """Return the path of the trained model, a ``.keras`` file.

    Returns
    -------
    pathlib.Path
        The file ``sms_spam.keras`` beside this module.
    """
    return Path(__file__).with_name("sms_spam.keras")


def messages() -> list[str]:
    """Return the messages of the demonstration.

    Returns
    -------
    list of str
        The lines of ``messages.txt`` beside this module.
    """
    return Path(__file__).with_name("messages.txt").read_text(encoding="utf-8").splitlines()

"""Which Keras wrote a file."""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"([23])\.(\d{1,3})(\.[0-9A-Za-z.+-]{1,40})?", re.ASCII)


class Version(NamedTuple):
    """Major and minor number, and whether it is TensorFlow's own Keras 2 (later: tf-keras)."""

    major: int
    minor: int
    tensorflow: bool = False

    @property
    def legacy(self) -> bool:
        """Whether it is a Keras 2."""
        return self.major < 3


# Whose rules hold where a file does not say which Keras 3 wrote it.
NEWEST = Version(3, 99)


def parse_version(text: str) -> Version | None:
    """Return the version that a text names; None if it is none of Keras 2 or 3."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    major, minor = int(match[1]), int(match[2])
    # Up to 2.3 there were two: the package Keras, and TensorFlow's, which says so.
    tensorflow = major == 2 and (minor > 3 or text.endswith("-tf"))
    return Version(major, minor, tensorflow)

"""Rows of the layers that lay out numbers anew."""

from __future__ import annotations

from fastdrop.formats._safe_json import Section, is_dimension
from fastdrop.formats.keras._rows import Option, Row, channels_last, positive
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Flatten, Permute, RepeatVector, Reshape


def _target_shape(config: Section, key: str, version: Version) -> tuple[int, ...]:
    value = config.items(key)
    if not value or not all(is_dimension(n) or (n == -1 and type(n) is int) for n in value):
        raise config.wrong(key, "positive integers, or one of them -1")
    return tuple(value)


def _dims(config: Section, key: str, version: Version) -> tuple[int, ...]:
    value = config.items(key)
    if not value or not all(is_dimension(n) for n in value):
        raise config.wrong(key, "a list of positive integers")
    return tuple(value)


ROWS = (
    Row("RepeatVector", RepeatVector, (Option("n", positive, "count"),)),
    Row("Flatten", Flatten, (Option("data_format", channels_last, ""),)),
    Row("Reshape", Reshape, (Option("target_shape", _target_shape),)),
    Row("Permute", Permute, (Option("dims", _dims),)),
)

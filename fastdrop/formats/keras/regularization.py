"""Rows of the layers that are random in training."""

from __future__ import annotations

from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._rows import Option, Row, rate
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Dropout, Shape, SpatialDropout1D


def _noise_shape(config: Section, key: str, version: Version) -> Shape | None:
    if config.values.get(key) is None:
        return None
    noise = config.shape(key)
    if not noise or noise[0] not in (None, 1):
        raise config.wrong(key, "null, or a shape whose first entry is null or 1")
    return noise


ROWS = (
    Row("Dropout", Dropout, (Option("rate", rate(one=True)), Option("noise_shape", _noise_shape))),
    Row("SpatialDropout1D", SpatialDropout1D, (Option("rate", rate(one=True)),)),
)

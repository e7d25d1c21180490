"""Rows of the layers that are random in training."""

from __future__ import annotations

from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._rows import Option, Row, channels_last, number, rate
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Identity,
    Shape,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)


def _noise_shape(config: Section, key: str, version: Version) -> Shape | None:
    if config.values.get(key) is None:
        return None
    noise = config.shape(key)
    if not noise or noise[0] not in (None, 1):
        raise config.wrong(key, "null, or a shape whose first entry is null or 1")
    return noise


RATE, BELOW_ONE = Option("rate", rate(one=True)), Option("rate", rate(one=False))
NOISE_SHAPE = Option("noise_shape", _noise_shape)

ROWS = (
    Row("Dropout", Dropout, (RATE, NOISE_SHAPE)),
    Row("SpatialDropout1D", SpatialDropout1D, (RATE,)),
    Row("SpatialDropout2D", SpatialDropout2D, (RATE, Option("data_format", channels_last, ""))),
    Row("SpatialDropout3D", SpatialDropout3D, (RATE, Option("data_format", channels_last, ""))),
    Row("AlphaDropout", AlphaDropout, (BELOW_ONE, NOISE_SHAPE)),
    Row("GaussianDropout", GaussianDropout, (BELOW_ONE,)),
    Row("GaussianNoise", GaussianNoise, (Option("stddev", number(least=0)),)),
    Row("ActivityRegularization", Identity, without_effect=frozenset({"l1", "l2"})),
)

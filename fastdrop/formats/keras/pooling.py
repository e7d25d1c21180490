"""Rows of pooling layers."""

from __future__ import annotations

from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._rows import Option, Row, boolean, channels_last, choice, each
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)


def _pooling(dims: int) -> tuple[Option, ...]:
    sizes = each(dims)

    def strides(config: Section, key: str, version: Version) -> tuple[int, ...] | None:
        return None if config.values.get(key) is None else sizes(config, key, version)

    return (
        Option("pool_size", sizes),
        Option("strides", strides),
        Option("padding", choice("valid", "same", default="valid")),
        Option("data_format", channels_last, ""),
    )


GLOBAL = (Option("keepdims", boolean(False)), Option("data_format", channels_last, ""))


def _adaptive(dims: int) -> tuple[Option, ...]:
    return (Option("output_size", each(dims)), Option("data_format", channels_last, ""))


ROWS = (
    Row("MaxPooling1D", MaxPooling1D, _pooling(1)),
    Row("MaxPooling2D", MaxPooling2D, _pooling(2)),
    Row("MaxPooling3D", MaxPooling3D, _pooling(3)),
    Row("AveragePooling1D", AveragePooling1D, _pooling(1)),
    Row("AveragePooling2D", AveragePooling2D, _pooling(2)),
    Row("AveragePooling3D", AveragePooling3D, _pooling(3)),
    Row("GlobalMaxPooling1D", GlobalMaxPooling1D, GLOBAL),
    Row("GlobalMaxPooling2D", GlobalMaxPooling2D, GLOBAL),
    Row("GlobalMaxPooling3D", GlobalMaxPooling3D, GLOBAL),
    Row("GlobalAveragePooling1D", GlobalAveragePooling1D, GLOBAL),
    Row("GlobalAveragePooling2D", GlobalAveragePooling2D, GLOBAL),
    Row("GlobalAveragePooling3D", GlobalAveragePooling3D, GLOBAL),
    Row("AdaptiveMaxPooling1D", AdaptiveMaxPooling1D, _adaptive(1)),
    Row("AdaptiveMaxPooling2D", AdaptiveMaxPooling2D, _adaptive(2)),
    Row("AdaptiveMaxPooling3D", AdaptiveMaxPooling3D, _adaptive(3)),
    Row("AdaptiveAveragePooling1D", AdaptiveAveragePooling1D, _adaptive(1)),
    Row("AdaptiveAveragePooling2D", AdaptiveAveragePooling2D, _adaptive(2)),
    Row("AdaptiveAveragePooling3D", AdaptiveAveragePooling3D, _adaptive(3)),
)

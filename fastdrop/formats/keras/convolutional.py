"""Rows of convolutions, and of layers that lengthen or shorten the axes these slide over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    Stored,
    activation,
    boolean,
    channels_last,
    choice,
    each,
    must_be,
    positive,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Layer,
    Resizing,
    SeparableConv1D,
    SeparableConv2D,
    Shape,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)

DATA_FORMAT = Option("data_format", channels_last, "")


def _positive_or_1(config: Section, key: str, version: Version) -> int:
    return config.positive(key) if key in config.values else 1


def _conv(dims: int, *paddings: str) -> tuple[Option, ...]:
    return (
        Option("filters", positive),
        Option("kernel_size", each(dims)),
        Option("strides", each(dims)),
        Option("padding", choice("valid", "same", *paddings)),
        Option("dilation_rate", each(dims)),
        Option("groups", _positive_or_1),
        Option("activation", activation()),
        Option("use_bias", boolean(True)),
        DATA_FORMAT,
    )


def _trained(kernel: str) -> frozenset[str]:
    """Return the options of how a kernel began and was trained."""
    return frozenset(f"{kernel}_{what}" for what in ("constraint", "initializer", "regularizer"))


def _of_channels(dims: int, *paddings: str) -> tuple[Option, ...]:
    return (
        Option("kernel_size", each(dims)),
        Option("depth_multiplier", positive),
        Option("strides", each(dims)),
        Option("padding", choice("valid", "same", *paddings)),
        Option("dilation_rate", each(dims)),
        Option("groups", must_be(1), ""),
        Option("activation", activation()),
        Option("use_bias", boolean(True)),
        DATA_FORMAT,
    )


def _transposed(dims: int) -> tuple[Option, ...]:
    def more(config: Section, key: str, version: Version) -> tuple[int, ...] | None:
        value = config.values.get(key)
        if value is None:
            return None
        found = value if isinstance(value, list) else [value] * dims
        if len(found) != dims or not all(type(n) is int and 0 <= n < 2**31 for n in found):
            raise config.wrong(key, f"{dims} integers >= 0, or one")
        return tuple(found)

    def dilation(config: Section, key: str, version: Version) -> tuple[int, ...]:
        # Keras 2 leaves it out in three dimensions.
        return each(dims)(config, key, version) if key in config.values else (1,) * dims

    return (
        Option("filters", positive),
        Option("kernel_size", each(dims)),
        Option("strides", each(dims)),
        Option("padding", choice("valid", "same")),
        Option("output_padding", more),
        Option("dilation_rate", dilation),
        Option("groups", must_be(1), ""),
        Option("activation", activation()),
        Option("use_bias", boolean(True)),
        DATA_FORMAT,
    )


def _groups(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Refuse groups that do not share the filters evenly."""
    if options["filters"] % options["groups"]:
        raise ModelFormatError(
            f"{record.where}: groups: expected a divisor of the {options['filters']} filters, "
            f"found {options['groups']}"
        )
    return options


def _pairs(dims: int) -> Callable[[Section, str, Version], Any]:
    """Return a converter of how many there are before and behind on each axis."""

    def is_pair(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 2
            and all(type(n) is int and 0 <= n < 2**31 for n in value)
        )

    def read(config: Section, key: str, version: Version) -> tuple[tuple[int, int], ...]:
        value = config.values.get(key)
        pairs = [value] if dims == 1 else value
        if not isinstance(pairs, list) or len(pairs) != dims or not all(map(is_pair, pairs)):
            raise config.wrong(key, "a pair of integers >= 0" + " for each axis" * (dims > 1))
        return tuple((a, b) for a, b in pairs)

    return read


def _height_and_width(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    return options | {"size": (options.pop("height"), options.pop("width"))}


class _Depthwise(Row):
    """The kernel stands by channels, and becomes that of a convolution with a group for each."""

    def storage(self, stored: list[Stored], layer: Layer) -> list[Stored]:
        assert isinstance(layer, Conv1D | Conv2D)
        shape, groups = layer.kernel.shape, layer.groups
        kernel = replace(
            stored[0],
            shape=(*shape[:-2], groups, shape[-1] // groups),
            convert=lambda array: array.reshape(shape),
        )
        return [kernel, *stored[1:]]


class _Resized(Row):
    """Between the numbers of an image there are lines, or its numbers are repeated."""

    def settled(
        self, planned: Planned, planning: Planning, record: Record, inputs: Sequence[Shape]
    ) -> Planned:
        layer, bilinear = planned.layer, record.config.values.get("interpolation") == "bilinear"
        if isinstance(layer, UpSampling2D) and bilinear:
            height, width = layer.sizes
            layer = Resizing(name=record.name, scale=(height, width))
        return replace(planned, layer=layer, rounds=isinstance(layer, Resizing))


ROWS = (
    Row(
        "Conv1D",
        Conv1D,
        _conv(1, "causal"),
        rule=_groups,
        input_of=lambda shape: (None, *shape[1:2]),
    ),
    Row(
        "Conv2D",
        Conv2D,
        _conv(2),
        rule=_groups,
        input_of=lambda shape: (None, None, *shape[2:3]),
    ),
    Row(
        "Conv3D",
        Conv3D,
        _conv(3),
        rule=_groups,
        input_of=lambda shape: (None, None, None, *shape[3:4]),
    ),
    _Depthwise(
        "DepthwiseConv1D",
        Conv1D,
        _of_channels(1),
        without_effect=_trained("depthwise"),
        input_of=lambda shape: (None, *shape[1:2]),
    ),
    _Depthwise(
        "DepthwiseConv2D",
        Conv2D,
        _of_channels(2),
        without_effect=_trained("depthwise"),
        input_of=lambda shape: (None, None, *shape[2:3]),
    ),
    Row(
        "SeparableConv1D",
        SeparableConv1D,
        (Option("filters", positive), *_of_channels(1, "causal")),
        without_effect=_trained("depthwise") | _trained("pointwise"),
        input_of=lambda shape: (None, *shape[1:2]),
    ),
    Row(
        "SeparableConv2D",
        SeparableConv2D,
        (Option("filters", positive), *_of_channels(2)),
        without_effect=_trained("depthwise") | _trained("pointwise"),
        input_of=lambda shape: (None, None, *shape[2:3]),
    ),
    Row(
        "Conv1DTranspose",
        Conv1DTranspose,
        _transposed(1),
        input_of=lambda shape: (None, *shape[2:3]),
    ),
    Row(
        "Conv2DTranspose",
        Conv2DTranspose,
        _transposed(2),
        input_of=lambda shape: (None, None, *shape[3:4]),
    ),
    Row(
        "Conv3DTranspose",
        Conv3DTranspose,
        _transposed(3),
        input_of=lambda shape: (None, None, None, *shape[4:5]),
    ),
    Row("ZeroPadding1D", ZeroPadding1D, (Option("padding", _pairs(1)), DATA_FORMAT)),
    Row("ZeroPadding2D", ZeroPadding2D, (Option("padding", _pairs(2)), DATA_FORMAT)),
    Row("ZeroPadding3D", ZeroPadding3D, (Option("padding", _pairs(3)), DATA_FORMAT)),
    Row("Cropping1D", Cropping1D, (Option("cropping", _pairs(1)),)),
    Row("Cropping2D", Cropping2D, (Option("cropping", _pairs(2)), DATA_FORMAT)),
    Row("Cropping3D", Cropping3D, (Option("cropping", _pairs(3)), DATA_FORMAT)),
    Row("UpSampling1D", UpSampling1D, (Option("size", each(1)),)),
    _Resized(
        "UpSampling2D",
        UpSampling2D,
        (
            Option("size", each(2)),
            Option("interpolation", choice("nearest", "bilinear", default="nearest"), ""),
            DATA_FORMAT,
        ),
    ),
    _Resized(
        "Resizing",
        Resizing,
        (
            Option("height", positive),
            Option("width", positive),
            Option("interpolation", choice("nearest", "bilinear")),
            DATA_FORMAT,
        ),
        without_effect=frozenset({"fill_mode", "fill_value"}),  # of what pads, which is refused
        rule=_height_and_width,
    ),
    Row("UpSampling3D", UpSampling3D, (Option("size", each(3)), DATA_FORMAT)),
)

"""Rows of the layers that map features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastdrop.formats._safe_json import Section, is_dimension
from fastdrop.formats.keras._records import Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    activation,
    boolean,
    choice,
    must_be,
    number,
    positive,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    CategoryEncoding,
    Dense,
    EinsumDense,
    Embedding,
    Identity,
    Masking,
    Shape,
)
from fastdrop.layers.core import ENCODINGS


def passes_mask_since_3(
    options: dict[str, Any], record: Record, version: Version
) -> dict[str, Any]:
    """Add that a mask ends at a layer in Keras 2, which Keras 3 passes on."""
    return options | {"passes_mask": not version.legacy}


def _equation(config: Section, key: str, version: Version) -> str:
    value = config.values.get(key)
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z.]+,[A-Za-z]+->[A-Za-z.]+", value):
        raise config.wrong(key, "an equation of x, kernel and result")
    return value


def _letters(config: Section, key: str, version: Version) -> str:
    value = config.values.get(key)
    if value is not None and not (isinstance(value, str) and value.isalpha()):
        raise config.wrong(key, "letters of the equation, or null")
    return value or ""


def _output(config: Section, key: str, version: Version) -> tuple[int | None, ...]:
    value = config.values.get(key)
    listed = value if isinstance(value, list) else [value]
    if not all(n is None or is_dimension(n) for n in listed):
        raise config.wrong(key, "a length, or a list of lengths and null")
    return tuple(listed)


class _CategoryEncoding(Row):
    """An axis of one number is one that "one_hot" takes away: it makes a vector of that number."""

    def settled(
        self, planned: Planned, planning: Planning, record: Record, inputs: Sequence[Shape]
    ) -> Planned:
        assert isinstance(planned.layer, CategoryEncoding)
        if planned.layer.output_mode != "one_hot" or inputs[0][-1:] != (1,):
            return planned
        tokens = planned.layer.num_tokens
        return replace(planned, layer=CategoryEncoding(name=record.name, num_tokens=tokens))


ROWS = (
    Row(
        "Embedding",
        Embedding,
        (
            Option("input_dim", positive),
            Option("output_dim", positive),
            Option("mask_zero", boolean(False)),
        ),
        input_of=lambda shape: (None,),
    ),
    Row(
        "Dense",
        Dense,
        (
            Option("units", positive),
            Option("use_bias", boolean(True)),
            Option("activation", activation()),
        ),
        input_of=lambda shape: shape[:1],
    ),
    Row(
        "EinsumDense",
        EinsumDense,
        (
            Option("equation", _equation, "whole"),
            Option("output_shape", _output, "output"),
            Option("bias_axes", _letters),
            Option("activation", activation()),
        ),
    ),
    _CategoryEncoding(
        "CategoryEncoding",
        CategoryEncoding,
        (
            Option("num_tokens", positive),
            Option("output_mode", choice(*ENCODINGS, default="multi_hot")),
            Option("sparse", must_be(False), ""),
        ),
    ),
    Row("Masking", Masking, (Option("mask_value", number(0.0)),)),
    Row("Identity", Identity, rule=passes_mask_since_3),
)

"""Rows of the layers that map features."""

from __future__ import annotations

from typing import Any

from fastdrop.formats.keras._records import Record
from fastdrop.formats.keras._rows import Option, Row, activation, boolean, number, positive
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Dense, Embedding, Identity, Masking


def passes_mask_since_3(
    options: dict[str, Any], record: Record, version: Version
) -> dict[str, Any]:
    """Add that a mask ends at a layer in Keras 2, which Keras 3 passes on."""
    return options | {"passes_mask": not version.legacy}


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
    Row("Masking", Masking, (Option("mask_value", number(0.0)),)),
    Row("Identity", Identity, rule=passes_mask_since_3),
)

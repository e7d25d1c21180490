"""Rows of the layers that map features."""

from __future__ import annotations

from fastdrop.formats.keras._rows import Option, Row, activation, boolean, positive
from fastdrop.layers import Dense, Embedding

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
)

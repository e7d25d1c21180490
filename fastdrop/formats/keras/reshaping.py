"""Rows of the layers that lay out numbers anew."""

from __future__ import annotations

from fastdrop.formats.keras._rows import Option, Row, positive
from fastdrop.layers import RepeatVector

ROWS = (Row("RepeatVector", RepeatVector, (Option("n", positive, "count"),)),)

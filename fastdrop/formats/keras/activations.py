"""Rows of activations that stand as layers."""

from __future__ import annotations

from fastdrop.formats.keras._rows import Option, Row, activation
from fastdrop.layers import Activation

ROWS = (Row("Activation", Activation, (Option("activation", activation()),)),)

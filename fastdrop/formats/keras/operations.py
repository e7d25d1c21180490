"""Rows of functions that Keras 3 saves where a layer was called: tensors in, tensors out."""

from __future__ import annotations

from typing import Any

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats.keras._records import Node
from fastdrop.formats.keras._rows import Row, Tensor
from fastdrop.layers import NotEqual


def _with_a_number(node: Node, where: str) -> tuple[list[Tensor], dict[str, Any]]:
    """Take a tensor and a number."""
    values = [*node.args, *node.kwargs.values()]
    if len(values) != 2 or not isinstance(values[0], Tensor):
        raise ModelFormatError(f"{where}: expected a tensor and a number")
    if isinstance(values[1], bool) or not isinstance(values[1], int | float):
        raise ModelFormatError(f"{where}: expected a number, found {show(values[1])}")
    return [values[0]], {"value": float(values[1])}


ROWS = (Row("NotEqual", NotEqual, call=_with_a_number),)

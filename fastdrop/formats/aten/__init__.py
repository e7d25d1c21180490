"""Operators of PyTorch (ATen), one row each, written as calls of layers; PyTorch is not needed.

A row takes what calls are written with and the operator's arguments by their names in its schema,
and returns its value, or a tuple of them.
"""

from fastdrop.formats.aten import (
    arithmetic,
    axes,
    creation,
    fourier,
    networks,
    places,
    random,
    recurrent,
    reductions,
)
from fastdrop.formats.aten._calls import OWN, find
from fastdrop.formats.aten._rows import ROWS, Arguments, Row

# Each puts its rows into the table when it is imported.
FAMILIES = (
    *(arithmetic, random, axes, places, reductions, networks, recurrent, creation),
    fourier,
)

__all__ = ["FAMILIES", "OWN", "ROWS", "Arguments", "Row", "find"]

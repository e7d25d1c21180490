"""All rows: the operators that are read, by name."""

from fastdrop.formats.onnx import arithmetic, layout, networks, places, recurrent, shapes
from fastdrop.formats.onnx._rows import OPERATORS

# Each puts its rows into the table when it is imported.
FAMILIES = (arithmetic, layout, networks, recurrent, shapes, places)

__all__ = ["FAMILIES", "OPERATORS"]

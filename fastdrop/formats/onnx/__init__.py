"""Read models of ONNX, of operator set 9 on: ``.onnx`` files.

The `onnx` package parses them, and is imported when one is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastdrop import _check
from fastdrop.formats._errors import ModelFormatError, malformed
from fastdrop.formats._limits import Limits
from fastdrop.formats.onnx import _wire
from fastdrop.formats.onnx._wire import is_model
from fastdrop.model import Model

__all__ = ["is_model", "read"]

# How many messages and texts there may be for each layer that is allowed.
_PARTS = 128


def read(
    data: bytes,
    file_name: str,
    limits: Limits,
    allow_nonfinite: bool = False,
    inputs: Mapping[str, Any] | None = None,
) -> Model:
    """Return the model in the bytes of an ``.onnx`` file, of which `inputs` says what is open.

    Raises
    ------
    ImportError
        The onnx package is not installed.
    ModelFormatError
        The file is malformed, unsafe or not supported.
    """
    from fastdrop.formats.onnx import _graph, _records

    with np.errstate(all="ignore"):  # whatever numbers there are
        graph = _records.read_graph(_parsed(data, limits), limits)
        source = f"ONNX, opset {graph.opset}, {graph.producer or 'unknown producer'}, {file_name}"
        return _graph.build(graph, limits, len(data), source, allow_nonfinite, inputs or {})


def _parsed(data: bytes, limits: Limits) -> Any:
    """Return a ``ModelProto``; nothing but these bytes is read."""
    try:
        from onnx import ModelProto
    except ImportError as error:
        raise _check.missing("load", "onnx", "onnx") from error
    _wire.check(data, ModelProto.DESCRIPTOR, _PARTS * limits.max_layers)
    model = ModelProto()
    with malformed("the file"):
        model.ParseFromString(data)
    if not model.HasField("graph"):
        raise ModelFormatError("the file is malformed: no graph")
    if len(model.functions):
        from fastdrop.formats.onnx import _functions

        model = _functions.inlined(model, limits, _PARTS * limits.max_layers)
    return model

"""Look through the bytes of a protobuf before anything is built of them.

A message of two bytes becomes an object of hundreds. So messages, texts and numbers are counted
where they lie, and what a file would grow to is known before it is parsed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError

# Fields of a `ModelProto` and the types they have on the wire.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL = {1: _VARINT, 2: _BYTES, 3: _BYTES, 4: _BYTES, 5: _VARINT, 6: _BYTES, 7: _BYTES}
_MODEL |= dict.fromkeys((8, 14, 20, 25, 26), _BYTES)
_GRAPH, _OPSET = 7, 8
_DEEPEST = 32


class WireError(ValueError):
    """The bytes are no protobuf."""


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and where what follows it begins."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise WireError("a number is cut off")


def _field(data: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Return a field's number and type, and where what it holds begins and ends."""
    key, at = _varint(data, at, end)
    number, kind = key >> 3, key & 7
    if kind == _VARINT:
        _, stop = _varint(data, at, end)
    elif kind == _BYTES:
        length, at = _varint(data, at, end)
        stop = at + length
    elif kind in (_FIXED64, _FIXED32):
        stop = at + (8 if kind == _FIXED64 else 4)
    else:
        raise WireError(f"a field of type {kind}")
    if not number or stop > end:
        raise WireError("a field is cut off")
    return number, kind, at, stop


def is_model(data: bytes) -> bool:
    """Say whether bytes have the outline of a ``ModelProto`` with a graph and operator sets.

    A file of ONNX begins with no magic number.
    """
    at, seen = 0, set()
    try:
        while at < len(data):
            number, kind, _, at = _field(data, at, len(data))
            if _MODEL.get(number) != kind:
                return False
            seen.add(number)
    except WireError:
        return False
    return {_GRAPH, _OPSET} <= seen


def check(data: bytes, message: Any, most: int) -> None:
    """Refuse bytes that are no such message, or grow beyond measure when they are parsed.

    Parameters
    ----------
    data : bytes
    message : Descriptor
        What they are to be.
    most : int
        How many messages and texts there may be.

    Raises
    ------
    ModelFormatError
        The bytes are malformed, hold an unknown field, or more than allowed.
    """
    try:
        counted = _Counted(data, most)
        counted.walk(message, 0, len(data), 0)
    except WireError as error:
        raise ModelFormatError(f"the file is malformed: {error}") from error
    if 8 * counted.numbers > 4 * len(data) + 2**20:
        raise ModelFormatError(
            "most of the file are whole numbers one by one; save its tensors as raw data"
        )


class _Counted:
    """What has been counted of a file: messages and texts, and whole numbers."""

    def __init__(self, data: bytes, most: int) -> None:
        self.data = data
        self.most = most
        self.parts = 0
        self.numbers = 0

    def walk(self, message: Any, at: int, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise WireError(f"messages nested deeper than {_DEEPEST}")
        fields = message.fields_by_number
        while at < end:
            number, kind, start, at = _field(self.data, at, end)
            field = fields.get(number)
            if field is None:
                raise ModelFormatError(f"an unknown field, {number} of {message.name}")
            self.parts += 1
            if self.parts > self.most:
                raise ModelFormatError(
                    f"more than {self.most} messages, texts and numbers; "
                    "raise max_layers if it is so large a model"
                )
            if field.message_type is not None:
                if kind != _BYTES:
                    raise WireError(f"{message.name}.{field.name} is no message")
                self.walk(field.message_type, start, at, depth + 1)
            elif kind == _BYTES and at > start and field.cpp_type != field.CPPTYPE_STRING:
                piece = np.frombuffer(self.data, np.uint8, at - start, start)
                if field.cpp_type not in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
                    self.numbers += int(np.count_nonzero(piece < 128))

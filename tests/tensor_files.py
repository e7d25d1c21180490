"""Make safetensors files, sound and damaged ones."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

import numpy as np

_WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}
_DIGITS = re.compile(rb"[0-9]+")


def file_of(header: object, body: bytes = b"", *, pad: int = 8) -> bytes:
    """Return a file of a header, JSON or the bytes themselves, and of the tensors' bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype: str = "F32", shape: object = (2,), begin: object = 0, end: object = 8) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def examples() -> list[bytes]:
    """Return files: tensors of several types, some of no numbers, and metadata."""
    tensors = (("a", "F32", [2, 2]), ("b", "F16", [3]), ("c", "BF16", []), ("d", "I64", [0, 2]))
    files = []
    for count, metadata in ((4, {"format": "pt"}), (1, {}), (0, {"a": "b"})):
        header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
        end = 0
        for name, dtype, shape in tensors[:count]:
            begin, end = end, end + int(np.prod(shape)) * _WIDTHS[dtype]
            header[name] = entry(dtype, shape, begin, end)
        files.append(file_of(header, bytes(range(end))))
    return files


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Return a file with a number or a byte of its header changed, or some bytes behind it."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        return data[: generator.randrange(len(data) + 1)]
    header, body = bytearray(data[8 : 8 + length].rstrip(b" ")), data[8 + length :]
    numbers = list(_DIGITS.finditer(header))
    kind = generator.randrange(8)
    if kind < 5 and numbers:
        at = generator.choice(numbers)
        number = int(at.group()[:20]) + generator.choice((-8, -2, -1, 0, 1, 2, 8))
        number = generator.choice((number, number, 0, 1, 2, 4, 8, 2**32, 2**63))
        header[at.start() : at.end()] = str(number).encode()
    elif kind < 7 and header:
        header[generator.randrange(len(header))] = generator.choice(b'0127-"{}[],:ab \\')
    elif kind == 7:
        body = body[: generator.randrange(len(body) + 1)] + bytes(generator.randrange(3))
    return file_of(bytes(header), body, pad=generator.choice((8, 8, 8, 1)))

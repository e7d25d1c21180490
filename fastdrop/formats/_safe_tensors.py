"""Read a safetensors file that may be hostile: a JSON header, and the tensors' bytes behind it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_json import Section, parse_object

_HEADER = "the header of the safetensors file"
_METADATA = "__metadata__"
_KEYS = frozenset({"dtype", "shape", "data_offsets"})
_MAX_RANK = 8
# What numbers are called, and how NumPy has them; it has no bfloat16, so those stay bits.
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


class Stored(NamedTuple):
    """A tensor as a file has it: the name of its type, and an array, of bits for "BF16"."""

    dtype: str
    values: NDArray[Any]


def is_safe_tensors(beginning: bytes) -> bool:
    """Return whether a file that begins so can be nothing else than a safetensors file.

    That is a number of 8 bytes, the header's length, and then a JSON object.
    """
    return beginning[5:9] == b"\0\0\0{"


def read_tensors(data: memoryview, limits: Limits) -> tuple[dict[str, Stored], dict[str, str]]:
    """Return the tensors in a safetensors file by name, and its metadata.

    Parameters
    ----------
    data : memoryview
        The file. Tensors are views of it: nothing is copied, and none can be written to.
    limits : Limits

    Raises
    ------
    ModelFormatError
        The header is too long, cut off, no strict JSON, or says of a tensor what it must not; the
        tensors overlap, leave bytes out, or are not aligned; there are more than the limits allow.
    """
    length = int.from_bytes(data[:8], "little")
    start = 8 + length
    if len(data) < 8:
        raise ModelFormatError(f"{_HEADER} is truncated")
    if length > limits.max_json_bytes:
        raise ModelFormatError(
            f"{_HEADER} has {length} bytes, max_json_bytes is {limits.max_json_bytes}"
        )
    if start > len(data):
        raise ModelFormatError(f"{_HEADER} has {length} bytes, of which {len(data) - 8} are there")
    if bytes(data[8:9]) != b"{":
        raise ModelFormatError(f"{_HEADER} does not begin with an object")
    header = parse_object(bytes(data[8:start]), _HEADER)
    metadata = _metadata(header.pop(_METADATA, {}))
    if len(header) > limits.max_tensors:
        raise ModelFormatError(f"{len(header)} tensors, max_tensors is {limits.max_tensors}")
    size = len(data) - start
    if size > limits.max_tensor_bytes:
        raise ModelFormatError(
            f"the tensors take {size} bytes, max_tensor_bytes is {limits.max_tensor_bytes}"
        )
    found: dict[str, Stored] = {}
    spans = []
    for name, entry in header.items():
        dtype, shape, begin, end = _described(name, entry)
        spans.append((begin, end))
        _check_place(name, DTYPES[dtype], shape, (begin, end), start, size)
        values: NDArray[Any] = np.ndarray(shape, DTYPES[dtype], data, start + begin)
        found[name] = Stored(dtype, values)
    last = 0
    for begin, end in sorted(spans):
        if begin != last:
            what = "overlap" if begin < last else "leave bytes between them out"
            raise ModelFormatError(f"tensors of the safetensors file {what}, at byte {begin}")
        last = end
    if last != size:
        raise ModelFormatError(f"{size - last} bytes behind the last tensor")
    return found, metadata


def _metadata(value: object) -> dict[str, str]:
    section = Section(f"{_HEADER}: {_METADATA}", value)
    return {key: section.string(key) for key in section.values}


def _described(name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
    """Return a tensor's type and shape, and where it begins and ends."""
    section = Section(f"tensor {show(name)}", entry)
    for key in section.values:
        if key not in _KEYS:
            raise ModelFormatError(f"{section.where}: unexpected key {show(key)}")
    dtype = section.string("dtype")
    if dtype not in DTYPES:
        raise section.wrong("dtype", f"one of {', '.join(DTYPES)}")
    shape, offsets = section.items("shape"), section.items("data_offsets")
    if not all(map(_is_count, shape)) or len(shape) > _MAX_RANK:
        raise section.wrong("shape", f"a list of at most {_MAX_RANK} integers >= 0")
    if not all(map(_is_count, offsets)) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise section.wrong("data_offsets", "two integers >= 0 in order")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_place(
    name: str, dtype: str, shape: tuple[int, ...], span: tuple[int, int], start: int, size: int
) -> None:
    """Refuse a tensor that has other bytes than its shape says, or none in the file."""
    where, item = f"tensor {show(name)}", np.dtype(dtype).itemsize
    begin, end = span
    expected = math.prod(shape) * item
    if end - begin != expected:
        raise ModelFormatError(
            f"{where}: expected {expected} bytes for its shape and type, found {end - begin}"
        )
    if end > size:
        raise ModelFormatError(f"{where} is truncated: it ends at byte {end} of {size}")
    if (start + begin) % item:
        raise ModelFormatError(
            f"{where}: expected a place that is a multiple of {item} bytes, found {start + begin}; "
            "safetensors.safe_open and save_file write an aligned file"
        )
    # Of no elements, but with lengths whose product NumPy cannot hold.
    if math.prod(n or 1 for n in shape) * item >= 2**63:
        raise ModelFormatError(f"{where}: the shape {show(list(shape))} is too large")

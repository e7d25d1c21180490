"""Read one array of numbers from a .npy file, and run nothing."""

from __future__ import annotations

import math
import re
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_file import read_file

_MAGIC = b"\x93NUMPY"
# In how many bytes a version writes the length of the header. Version 3 is for names of fields in
# UTF-8, and an array of numbers has no fields.
_WIDTHS = {b"\1\0": 2, b"\2\0": 4}
# As NumPy and whoever follows it writes one; axes whose lengths and bytes can be counted. No parser
# of Python runs on it, for those recurse, and warn.
_HEADER = re.compile(
    rb"\{ ?'descr': ?'([<>|][biu]1|[<>][iuf][248])', ?'fortran_order': ?(True|False), ?"
    rb"'shape': ?\((|[0-9]{1,15},|[0-9]{1,15}(?:, ?[0-9]{1,15}){1,31},?)\) ?,? ?\}[ \n]*"
)
_MAX_BYTES = 2**62
_CONTROLS = {*range(32)} - {*b"\t\n\r"}


class _NoArrayError(ValueError):
    """What was found in place of an array of numbers."""


def read_array(path: str | PathLike[str]) -> NDArray[Any]:
    """Return the array of a file that `numpy.save` wrote.

    Unlike `numpy.load` this reads a regular file only, once, from one
    descriptor, takes numbers only, and refuses a file with anything behind
    the array.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    numpy.ndarray
        The array; read-only.

    Raises
    ------
    ValueError
        The file holds no such array. The message names it, and says what was
        expected and what was found.
    OSError
        The file cannot be opened.
    MemoryError
        The file does not fit into memory.
    """
    name = fspath(path)
    try:
        return _parse(read_file(path, _MAX_BYTES))
    except ModelFormatError as error:  # no regular file
        raise ValueError(f"{name}: {error}") from error
    except _NoArrayError as error:
        expected = "expected an array of numbers as numpy.save writes it (.npy)"
        raise ValueError(f"{name}: {expected}, got {error}") from error
    except (MemoryError, OverflowError) as error:
        raise MemoryError(f"{name}: expected a file that fits into memory") from error


def _parse(data: bytes) -> NDArray[Any]:
    if not data.startswith(_MAGIC):
        raise _NoArrayError(_kind(data))
    width = _WIDTHS.get(data[6:8])
    if width is None:
        raise _NoArrayError("another version of that format")
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if len(data) < start:
        raise _NoArrayError("a file that is cut off")
    header = data[start - size : start]
    parts = _HEADER.fullmatch(header)
    if parts is None:
        raise _NoArrayError(f"the header {show(header[:200].decode('latin-1').rstrip())}")
    dtype, fortran_order = np.dtype(parts[1].decode()), parts[2] == b"True"
    shape = tuple(int(length) for length in parts[3].split(b",") if length.strip())
    if math.prod(n or 1 for n in shape) >> 60:  # NumPy has none of these, not even without elements
        raise _NoArrayError(f"the shape {shape}")
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if expected != found:
        raise _NoArrayError(f"{found} bytes where {dtype} of shape {shape} has {expected}")
    return np.ndarray(shape, dtype, data, start, order="F" if fortran_order else "C")


def _kind(data: bytes) -> str:
    """Say what a file is that is no array at all."""
    if not data:
        return "an empty file"
    if data.startswith(b"PK\x03\x04"):
        return "an archive, as .npz files are; save its array by itself"
    if _CONTROLS.isdisjoint(data[:4096]):
        return (
            "text; of a table of numbers make one by "
            'numpy.save("x.npy", numpy.loadtxt("x.csv", delimiter=","))'
        )
    return "something else"

"""Read arrays of numbers from .npy and .npz files, and run nothing."""

import io
import math
import re
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_CONTROLS = {*range(32)} - {*b"\t\n\r"}


class NoArrayError(ValueError):
    """What was found in place of an array of numbers, or of an archive of such."""


def array(data: bytes) -> NDArray[Any]:
    """Return the array of a file that `numpy.save` wrote.

    Unlike `numpy.load` this takes numbers only, and refuses a file with anything behind the array.

    Parameters
    ----------
    data : bytes
        All of the file.

    Returns
    -------
    numpy.ndarray
        The array; read-only, and where it is in `data`.

    Raises
    ------
    NoArrayError
        There is no such array.
    """
    if not data.startswith(_MAGIC):
        raise NoArrayError(_kind(data))
    width = _WIDTHS.get(data[6:8])
    if width is None:
        raise NoArrayError("another version of that format")
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if len(data) < start:
        raise NoArrayError("a file that is cut off")
    header = data[start - size : start]
    parts = _HEADER.fullmatch(header)
    if parts is None and b"'descr': '|O'" in header:
        raise NoArrayError("one of Python's objects; x.astype(float) makes numbers of such")
    if parts is None:
        raise NoArrayError(f"the header {_shown(header[:200].decode('latin-1').rstrip())}")
    dtype, fortran_order = np.dtype(parts[1].decode()), parts[2] == b"True"
    shape = tuple(int(length) for length in parts[3].split(b",") if length.strip())
    if math.prod(n or 1 for n in shape) >> 60:  # NumPy has none of these, not even without elements
        raise NoArrayError(f"the shape {shape}")
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if expected != found:
        raise NoArrayError(f"{found} bytes where {dtype} of shape {shape} has {expected}")
    return np.ndarray(shape, dtype, data, start, order="F" if fortran_order else "C")


def archive(data: bytes, *, stored: bool = False) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that `numpy.savez` wrote, or `numpy.savez_compressed`.

    Parameters
    ----------
    data : bytes
        All of the file.
    stored : bool
        Take nothing that is compressed: then the arrays are no larger than the file.

    Returns
    -------
    dict of str to numpy.ndarray
        The arrays by name, read-only.

    Raises
    ------
    NoArrayError
        The file is no archive, is damaged, or has something else in it.
    """
    found = {}
    for name, content in _members(data, stored).items():
        if not name.endswith(".npy"):
            raise NoArrayError(f"an archive that holds {_shown(name)}")
        try:
            found[name.removesuffix(".npy")] = array(content)
        except NoArrayError as error:
            raise NoArrayError(f"an archive in which {_shown(name)} is {error}") from error
    return found


def _members(data: bytes, stored: bool) -> dict[str, bytes]:
    methods = (zipfile.ZIP_STORED,) if stored else (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            entries = file.infolist()
            # So that none are read twice.
            if sum(entry.compress_size for entry in entries) > len(data):
                raise NoArrayError("an archive whose members overlap")
            for entry in entries:
                name = entry.filename
                if name in found:
                    raise NoArrayError(f"an archive in which {_shown(name)} occurs twice")
                if entry.compress_type not in methods:
                    raise NoArrayError(f"an archive in which {_shown(name)} is compressed")
                found[name] = file.read(entry)
                if len(found[name]) != entry.file_size:
                    raise NoArrayError(f"an archive in which {_shown(name)} is cut off")
    except (MemoryError, NoArrayError):
        raise
    except Exception as error:  # whatever zipfile and zlib raise where a file is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NoArrayError(f"a damaged archive: {_shown(reason)}") from error
    return found


def _shown(text: str) -> str:
    """Return what a file says as one short line of ASCII."""
    line = ascii(text)
    return line if len(line) <= 100 else f"{line[:97]}..."


def _kind(data: bytes) -> str:
    """Say what a file is that is no array at all."""
    if not data:
        return "an empty file"
    if data.startswith(b"PK\x03\x04"):
        return "an archive, as files named .npz are"
    if _CONTROLS.isdisjoint(data[:4096]):
        return "text; tables of numbers are read from files named .csv"
    return "something else"

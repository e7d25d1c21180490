"""Read a file once, from one descriptor, or a stream that the caller has opened."""

from __future__ import annotations

import errno
import mmap
from collections.abc import Callable
from os import PathLike
from typing import Any, BinaryIO

from fastdrop import _check, _files
from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._recognise import recognise_folder

_PIECE_BYTES = 2**20
_PATH_OR_STREAM = "a str, path-like or binary file object"


def read_file(
    path: str | PathLike[str],
    max_bytes: int,
    is_mapped: Callable[[bytes], bool] = lambda beginning: False,
) -> bytes | memoryview:
    """Return the bytes of a regular file, all of them read before any is looked at.

    Where `is_mapped` says so of its first 16 bytes, the file is mapped into memory instead, from
    the same descriptor: what is replaced afterwards stays as it was, but what is written into the
    file itself is seen.

    Raises
    ------
    ModelFormatError
        The path is not a regular file, the file is larger than `max_bytes`, or
        it changed while it was read.
    OSError
        The file cannot be opened, for instance because it does not exist.
    """
    try:
        with _files.opened(path, max_bytes) as (file, size):
            if is_mapped(file.read(16)):
                return _mapped(file, size)
            file.seek(0)
            return _files.whole(file, size)
    except _files.NoFileError as error:
        meaning = recognise_folder(path) if error.kind == "directory" else None
        raise ModelFormatError(meaning or str(error)) from error


def _mapped(file: BinaryIO, size: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
    except ValueError as error:  # there are fewer bytes by now
        raise _files.NoFileError(_files.CHANGED) from error


def read_stream(file: Any, max_bytes: int) -> bytes:
    """Return what is left in a binary stream.

    Parameters
    ----------
    file : binary file object
        Anything whose ``read(size)`` returns at most so many bytes, and none at
        the end: an open file, an io.BytesIO, a raw stream, a socket's makefile.
        It is read from where it stands, and neither moved back nor closed.
    max_bytes : int
        How many bytes it may have. At most one more is read.

    Raises
    ------
    ModelFormatError
        There are more bytes, or it stands at its end.
    OSError
        The stream cannot be read; a BlockingIOError where it would have to be
        waited for.
    TypeError
        It is not a binary stream.
    """
    read = getattr(file, "read", None)
    if not callable(read):
        _check.refuse(TypeError, "path", _PATH_OR_STREAM, file)
    data = bytearray()
    while len(data) <= max_bytes:
        piece = read(min(_PIECE_BYTES, max_bytes + 1 - len(data)))
        if piece is None:
            raise BlockingIOError(errno.EAGAIN, "the stream has no bytes at the moment")
        if not isinstance(piece, bytes | bytearray | memoryview):
            _check.refuse(TypeError, "path", _PATH_OR_STREAM, file)
        if not piece:
            break
        data += piece
    else:
        raise ModelFormatError(
            f"the stream has more bytes than max_file_bytes, which is {max_bytes}"
        )
    if not data and (stands := _position(file)):
        raise ModelFormatError(
            f"the stream stands at its end, after {stands} bytes; go back to where the file begins "
            "(seek(0)) before it is read"
        )
    return bytes(data)


def _position(file: Any) -> int:
    """How many bytes of a stream are before where it stands, where it knows."""
    try:
        return int(file.tell())
    except (AttributeError, OSError):
        return 0

"""Read a file once, from one descriptor, or a stream that the caller has opened."""

from __future__ import annotations

import errno
import os
import stat
from os import PathLike
from typing import Any

from fastdrop import _check
from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._recognise import recognise_folder

# O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOCTTY: nor a terminal become ours.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)

_PIECE_BYTES = 2**20
_PATH_OR_STREAM = "a str, path-like or binary file object"


def read_file(path: str | PathLike[str], max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    What is checked and what is read are the same descriptor, and all of it is
    read before any of it is looked at, so replacing the file meanwhile changes
    nothing.

    Raises
    ------
    ModelFormatError
        The path is not a regular file, the file is larger than `max_bytes`, or
        it changed while it was read.
    OSError
        The file cannot be opened, for instance because it does not exist.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EISDIR) and os.path.isdir(path):  # on Windows
            raise _not_a_file(path, "directory") from error
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise ModelFormatError("expected a regular file, found a special one") from error
        raise
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            kind = "directory" if stat.S_ISDIR(before.st_mode) else "special file"
            raise _not_a_file(path, kind)
        size = before.st_size
        if size > max_bytes:
            raise ModelFormatError(f"the file has {size} bytes, max_file_bytes is {max_bytes}")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(size)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if len(data) != size or (size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ModelFormatError("the file changed while it was read")
    return data


def _not_a_file(path: str | PathLike[str], kind: str) -> ModelFormatError:
    """Return the error for what is not a regular file."""
    meaning = recognise_folder(path) if kind == "directory" else None
    return ModelFormatError(meaning or f"expected a regular file, found a {kind}")


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
        There are more bytes.
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
            return bytes(data)
        data += piece
    raise ModelFormatError(f"the stream has more bytes than max_file_bytes, which is {max_bytes}")

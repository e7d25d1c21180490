"""Read a file once, from one descriptor."""

from __future__ import annotations

import errno
import os
import stat
from os import PathLike

from fastdrop.formats._errors import ModelFormatError

# O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOCTTY: nor a terminal become ours.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


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
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise ModelFormatError("expected a regular file, found a special one") from error
        raise
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            kind = "directory" if stat.S_ISDIR(before.st_mode) else "special file"
            raise ModelFormatError(f"expected a regular file, found a {kind}")
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

"""Files: read once from one descriptor, and written whole or not at all."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, BinaryIO

from fastdrop import _check

# O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOCTTY: nor a terminal become ours.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)

CHANGED = "the file changed while it was read"


class NoFileError(ValueError):
    """What is there is no regular file, or none that can be read in one piece.

    `kind` says what it is instead, where it is something else.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def path(
    source: object,
    argument: str,
    expected: str = "a str or path-like",
    kinds: tuple[type, ...] = (str, PathLike),
) -> str:
    """Return the path that is given; TypeError or ValueError where that is none."""
    if not isinstance(source, kinds):
        _check.refuse(TypeError, argument, expected, source)
    name = os.fsdecode(source)  # type: ignore[arg-type]
    try:
        usable = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        _check.refuse(ValueError, argument, "a str or path-like that can be a path", source)
    return name


@contextmanager
def opened(path: str | PathLike[str], max_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file to read it here and now, and say how many bytes it has.

    What is checked and what is read are the same descriptor, so replacing the
    file meanwhile changes nothing.

    Raises
    ------
    NoFileError
        The path is not a regular file, the file is larger than `max_bytes`, or
        it changed while it was read.
    OSError
        The file cannot be opened, for instance because it does not exist.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EISDIR) and os.path.isdir(path):  # on Windows
            raise _other("directory") from error
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise _other("special file") from error
        raise
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise _other("directory" if stat.S_ISDIR(before.st_mode) else "special file")
        size = before.st_size
        if size > max_bytes:
            raise NoFileError(f"the file has {size} bytes, max_file_bytes is {max_bytes}")
        with open(descriptor, "rb", closefd=False) as file:
            yield file, size
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise NoFileError(CHANGED)


def read(path: str | PathLike[str], max_bytes: int = 1 << 62) -> bytes:
    """Return the bytes of a regular file, all of them read before any is looked at.

    Raises
    ------
    NoFileError, OSError
        As in `opened`.
    """
    with opened(path, max_bytes) as (file, size):
        return whole(file, size)


def whole(file: BinaryIO, size: int) -> bytes:
    """Return as many bytes of a file as it had when it was opened."""
    data = file.read(size)
    if len(data) != size:
        raise NoFileError(CHANGED)
    return data


def _other(kind: str) -> NoFileError:
    return NoFileError(f"expected a regular file, found a {kind}", kind)


def target(out: str, name: str, inputs: Iterable[str | PathLike[str]] = ()) -> str:
    """Return the path of a file to write, with links followed; `inputs` are not to be written."""
    place = os.path.realpath(out)
    if out == "-":
        found = "'-', which would be standard output"
    elif not os.path.basename(out) or os.path.isdir(place):
        found = "a directory" if out else "nothing"
    elif os.path.exists(out) and not os.path.isfile(out):
        found = "a special file"
    elif os.path.islink(place):
        found = "a link to itself"
    elif not os.path.isdir(os.path.dirname(place)):
        found = "one in a directory that does not exist"
    elif not os.access(os.path.dirname(place), os.W_OK | os.X_OK):
        found = "one in a directory that cannot be written to"
    elif any(place == os.path.realpath(path) for path in inputs):
        found = "a file that is read"
    else:
        return place
    raise ValueError(f"{name}{out!r}: expected a regular file or a new one, found {found}")


def replace(target: str, write: Callable[[Any], object]) -> None:
    """Let `write` fill a binary file, and put it in place: all of it, or what was there stays."""
    import tempfile  # which takes longer to import than a file to read

    handle, name = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".fastdrop-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        try:
            mode = stat.S_IMODE(os.stat(target).st_mode)
        except FileNotFoundError:  # a temporary file is private; the result is as any other file
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise

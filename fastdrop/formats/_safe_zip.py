"""Take the members out of a zip archive that may be hostile."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from bisect import bisect_left
from zipfile import ZipInfo

from fastdrop.formats._errors import ModelFormatError, malformed, show
from fastdrop.formats._recognise import recognise_members

_CENTRAL_SIGNATURE = b"PK\x01\x02"
_MAX_ENTRIES = 64
# Of what is only told by the names of its members, such as a checkpoint.
_MAX_NAMED = 4096
_ENCRYPTED = 0x1 | 0x40 | 0x2000

# Weights do not compress as well as this; what is small may, for it does no harm.
_FREE_EXPANSION_BYTES = 16 * 2**20
_MAX_EXPANSION = 100

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"


def read_members(data: bytes, max_bytes: dict[str, int]) -> dict[str, bytes]:
    """Return the contents of the members of an archive.

    Parameters
    ----------
    data : bytes
        The archive.
    max_bytes : dict[str, int]
        The members the archive must consist of, and how large each may be.

    Raises
    ------
    ModelFormatError
        The archive is malformed, a member is missing, unexpected, unsafe or too
        large, two overlap, or a checksum is wrong.
    """
    archive = Archive(data, _MAX_NAMED)
    meaning = recognise_members(archive.names)
    if meaning is not None:
        raise ModelFormatError(meaning)
    if data.count(_CENTRAL_SIGNATURE) > _MAX_ENTRIES:
        raise ModelFormatError(f"the zip archive has more than {_MAX_ENTRIES} members")
    for name in {*archive.names} - max_bytes.keys():
        raise ModelFormatError(
            f"unexpected zip member {show(name)}, expected {', '.join(max_bytes)}"
        )
    for name in max_bytes:
        archive.find(name)
    return {name: bytes(archive.take(name, limit)) for name, limit in max_bytes.items()}


class Archive:
    """A zip archive, out of which each member is taken at most once.

    Parameters
    ----------
    data : bytes
        The archive.
    max_entries : int
        How many members it may have.

    Raises
    ------
    ModelFormatError
        Here and in `take`: the archive is malformed; a member is missing, unsafe or too large, or
        overlaps one that was taken before; a checksum is wrong.
    """

    def __init__(self, data: bytes, max_entries: int) -> None:
        # Each entry of the directory begins with the signature, so this bounds what zipfile builds.
        if data.count(_CENTRAL_SIGNATURE) > max_entries:
            raise ModelFormatError(f"the zip archive has more than {max_entries} members")
        with malformed("the zip archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
        self._data = data
        self._found: dict[str, ZipInfo] = {}
        self._taken: list[tuple[int, int]] = []
        for entry in entries:
            _check_entry(entry)
            if entry.filename in self._found:
                raise ModelFormatError(f"zip member {show(entry.filename)} occurs twice")
            self._found[entry.filename] = entry

    @property
    def names(self) -> list[str]:
        return [*self._found]

    def find(self, name: str) -> ZipInfo:
        """Return what the directory says of a member."""
        if name not in self._found:
            raise ModelFormatError(f"zip member {show(name)} is missing")
        return self._found[name]

    def take(self, name: str, limit: int) -> bytes | memoryview:
        """Return the contents of a member of at most so many bytes; what is stored is a view."""
        entry = self.find(name)
        begin, end = _located(self._data, entry, limit)
        at = bisect_left(self._taken, (entry.header_offset, end))
        before, after = self._taken[at - 1 : at] if at else [], self._taken[at : at + 1]
        if any(last > entry.header_offset for _, last in before) or any(
            first < end for first, _ in after
        ):
            raise ModelFormatError("members of the zip archive overlap")
        self._taken.insert(at, (entry.header_offset, end))
        return _content(memoryview(self._data)[begin:end], entry)


def _check_entry(entry: ZipInfo) -> None:
    """Refuse a member by what the directory says of it."""
    where = f"zip member {show(entry.orig_filename)}"
    name = entry.orig_filename
    if name.startswith("/") or ".." in name.split("/") or any(c in name for c in "\\:\0"):
        raise ModelFormatError(f"{where} has an unsafe name")
    # The upper half holds Unix modes whatever system the entry claims to come from.
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise ModelFormatError(f"{where} is not a regular file")
    if entry.flag_bits & _ENCRYPTED:
        raise ModelFormatError(f"{where} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelFormatError(
            f"{where} has the compression method {entry.compress_type}, expected stored or deflated"
        )


def _located(data: bytes, entry: ZipInfo, limit: int) -> tuple[int, int]:
    """Return where the bytes of a member begin and end, its headers being in order."""
    where = f"zip member {show(entry.filename)}"
    size, stored_size = entry.file_size, entry.compress_size
    if size > limit:
        raise ModelFormatError(f"{where} declares {size} bytes, the limit is {limit}")
    if size > _FREE_EXPANSION_BYTES and size > _MAX_EXPANSION * stored_size:
        raise ModelFormatError(f"{where} expands from {stored_size} to {size} bytes")
    with malformed(where):
        header = _LOCAL_HEADER.unpack_from(data, entry.header_offset)
    signature, _, flags, method, *_, name_size, extra_size = header
    name_start = entry.header_offset + _LOCAL_HEADER.size
    name = data[name_start : name_start + name_size]
    encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
    if (
        signature != _LOCAL_SIGNATURE
        or flags != entry.flag_bits
        or method != entry.compress_type
        or name != entry.orig_filename.encode(encoding)
    ):
        raise ModelFormatError(f"{where}: its header and the directory of the archive disagree")
    start = name_start + name_size + extra_size
    if start + stored_size > len(data):
        raise ModelFormatError(f"{where} is truncated")
    return start, start + stored_size


def _content(stored: memoryview, entry: ZipInfo) -> bytes | memoryview:
    """Return the contents of a member.

    zipfile stops quietly at the declared size, so data hidden behind it would
    go unnoticed. Here a member has exactly the bytes it declares.
    """
    where = f"zip member {show(entry.filename)}"
    content: bytes | memoryview = stored
    if entry.compress_type != zipfile.ZIP_STORED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        with malformed(where):
            content = inflate.decompress(stored, entry.file_size + 1)
        if not inflate.eof or inflate.unused_data:
            raise ModelFormatError(f"{where} does not end where the archive says")
    if len(content) != entry.file_size:
        raise ModelFormatError(f"{where} declares {entry.file_size} bytes and holds another number")
    if zlib.crc32(content) != entry.CRC:
        raise ModelFormatError(f"{where} has a wrong checksum")
    return content

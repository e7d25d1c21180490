"""Take the members out of a zip archive that may be hostile."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from zipfile import ZipInfo

from fastdrop.formats._errors import ModelFormatError, malformed, show
from fastdrop.formats._recognise import recognise_members

_CENTRAL_SIGNATURE = b"PK\x01\x02"
_MAX_ENTRIES = 64
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
    # Each entry of the directory begins with the signature, so this bounds what zipfile builds.
    if data.count(_CENTRAL_SIGNATURE) > _MAX_ENTRIES:
        raise ModelFormatError(f"the zip archive has more than {_MAX_ENTRIES} members")
    with malformed("the zip archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    found: dict[str, ZipInfo] = {}
    for entry in entries:
        _check_entry(entry)
        if entry.filename in found:
            raise ModelFormatError(f"zip member {show(entry.filename)} occurs twice")
        found[entry.filename] = entry
    meaning = recognise_members([*found])
    if meaning is not None:
        raise ModelFormatError(meaning)
    for name in found.keys() - max_bytes.keys():
        raise ModelFormatError(
            f"unexpected zip member {show(name)}, expected {', '.join(max_bytes)}"
        )
    for name in max_bytes.keys() - found.keys():
        raise ModelFormatError(f"zip member {name!r} is missing")
    members = {name: _extract(data, found[name], limit) for name, limit in max_bytes.items()}
    last = 0
    for start, end in sorted(span for span, _ in members.values()):
        if start < last:
            raise ModelFormatError("members of the zip archive overlap")
        last = end
    return {name: content for name, (_, content) in members.items()}


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


def _extract(data: bytes, entry: ZipInfo, limit: int) -> tuple[tuple[int, int], bytes]:
    """Return where a member begins and ends, and its contents.

    zipfile stops quietly at the declared size, so data hidden behind it would
    go unnoticed. Here a member has exactly the bytes it declares.
    """
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
    stored = memoryview(data)[start : start + stored_size]
    if len(stored) != stored_size:
        raise ModelFormatError(f"{where} is truncated")
    if method == zipfile.ZIP_STORED:
        content = bytes(stored)
    else:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        with malformed(where):
            content = inflate.decompress(stored, size + 1)
        if not inflate.eof or inflate.unused_data:
            raise ModelFormatError(f"{where} does not end where the archive says")
    if len(content) != size:
        raise ModelFormatError(f"{where} declares {size} bytes and holds another number")
    if zlib.crc32(content) != entry.CRC:
        raise ModelFormatError(f"{where} has a wrong checksum")
    return (entry.header_offset, start + stored_size), content

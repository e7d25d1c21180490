"""Take float32 arrays out of an HDF5 file that may be hostile.

Keras has always written the oldest form of HDF5: version 0 of the superblock,
groups as symbol tables, contiguous datasets. This reads that form and no other.
The HDF5 library reads all forms, and on damaged files it can loop for ever.
Here each step is checked against the bytes there are, no object is opened twice
and none that is not expected, so the work is bounded by what is expected.

Names in comments are those of the HDF5 file format specification.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, show

_PART = "model.weights.h5"

# Versions and sizes; base address, free space, end of file, driver; address of the root group.
_SUPERBLOCK = Struct("<8s8B2HI4Q2Q")
_SUPERBLOCK_START = (b"\x89HDF\r\n\x1a\n", 0, 0, 0, 0, 0, 8, 8, 0)
_UNDEFINED = 2**64 - 1

_HEADER = Struct("<2BH2I4x")  # version, reserved, messages, links to it, bytes
_MESSAGE = Struct("<2HB3x")  # type, bytes, flags
_NODE = Struct("<4s2BH2Q")  # "TREE", type, level, entries, neighbours
_LEAF = Struct("<4s2BH")  # "SNOD", version, reserved, symbols
_SYMBOL = Struct("<2QI4x16x")  # name in the heap, header, cache type
_LOCAL_HEAP = Struct("<4sB3x3Q")  # "HEAP", version, bytes, free list, segment
_GLOBAL_HEAP = Struct("<4sB3xQ")  # "GCOL", version, bytes
_HEAP_OBJECT = Struct("<2H4xQ")  # index, references, bytes
_ATTRIBUTE = Struct("<2B3H")  # version, reserved, bytes of name, type, space
_STRING = Struct("<IQI")  # length, global heap, index
_ADDRESSES = Struct("<2Q")

_NIL, _DATASPACE, _DATATYPE, _FILL_OLD, _FILL = 0x0, 0x1, 0x3, 0x4, 0x5
_EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTES = 0x7, 0x8, 0xB, 0xC
_CONTINUATION, _SYMBOL_TABLE, _TIME = 0x10, 0x11, 0x12
_GROUP_MESSAGES = frozenset({_ATTRIBUTES, _SYMBOL_TABLE, _TIME})
_ARRAY_MESSAGES = frozenset({_DATASPACE, _DATATYPE, _FILL_OLD, _FILL, _LAYOUT, _ATTRIBUTES, _TIME})
_MEANING = {
    0x2: "links of a newer form",
    0x6: "links of a newer form",
    _EXTERNAL: "external storage",
    _FILTERS: "a filter",
    _DATASPACE: "a dataset, expected a group",
    _SYMBOL_TABLE: "a group, expected a dataset",
}
_EXPECTED = {
    _SYMBOL_TABLE: "a group",
    _DATASPACE: "a shape",
    _DATATYPE: "float32",
    _LAYOUT: "contiguous storage",
}
_SHARED = 0x2
_MAX_BLOCKS = 64

# IEEE single precision; the second byte holds the order of bytes.
_FLOAT32 = bytes.fromhex("11201f000400000000002000170800177f000000")
_DTYPES = {
    _FLOAT32: np.dtype("<f4"),
    _FLOAT32[:1] + b"\x21" + _FLOAT32[2:]: np.dtype(">f4"),
}
_CONTIGUOUS = b"\x03\x01"
_SCALAR = bytes.fromhex("0100000000000000")
_VARIABLE_STRING = (0x19, 0x1)

_MAX_NAME = 1024
_MAX_HEAP_OBJECTS = 4096


@dataclass
class Group:
    """What an HDF5 group is expected to hold.

    Attributes
    ----------
    children : dict
        Groups, which may be absent where nothing in them is needed, and arrays
        of the given shape, which may not.
    ignored : frozenset[str]
        Names of children that are allowed and not opened.
    name : str | None
        What the group's attribute ``name`` must be, if the group has one.
    """

    children: dict[str, Group | tuple[int, ...]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    name: str | None = None

    def needed(self) -> bool:
        """Return whether there is an array in it."""
        return any(not isinstance(c, Group) or c.needed() for c in self.children.values())


def read_arrays(image: bytes, root: Group) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a file by their path.

    Parameters
    ----------
    image : bytes
        The HDF5 file.
    root : Group
        What the file must hold. Anything else in it is refused.

    Raises
    ------
    ModelFormatError
        The file is malformed, uses what Keras does not, or differs from what is
        expected.
    """
    reader = _Reader(image)
    superblock = reader.unpack(_SUPERBLOCK, 0, "/")
    *start, _, _, _, base, _, end, driver, _, header = superblock
    if tuple(start) != _SUPERBLOCK_START or base != 0 or driver != _UNDEFINED:
        raise ModelFormatError(f"{_PART} is not HDF5 of the form that Keras writes")
    if end != len(image):
        raise ModelFormatError(f"{_PART} declares {end} bytes and has {len(image)}")
    arrays: dict[str, NDArray[np.float32]] = {}
    reader.read_group(header, root, "", arrays)
    return arrays


class _Reader:
    """The bytes of a file, and which objects in it have been opened."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.opened: set[int] = set()

    def unpack(self, layout: Struct, start: int, path: str) -> tuple[Any, ...]:
        """Return the values of a structure that lies within the file."""
        self.check(start, layout.size, path)
        return layout.unpack_from(self.image, start)

    def check(self, start: int, size: int, path: str) -> None:
        """Refuse what reaches beyond the end of the file."""
        if start + size > len(self.image):
            raise _error(path, "points beyond the end of the file")

    def read_group(
        self, header: int, expected: Group, path: str, arrays: dict[str, NDArray[np.float32]]
    ) -> None:
        """Compare a group with what is expected and add its arrays to `arrays`."""
        messages = self.messages(header, _GROUP_MESSAGES, path)
        if expected.name is not None:
            self.check_name(messages, expected.name, path)
        (table,) = _only(messages, _SYMBOL_TABLE, _ADDRESSES.size, path)
        tree, heap = _ADDRESSES.unpack_from(table)
        found: dict[str, int] = {}
        for name, address, cache in self.symbols(tree, heap, path):
            if cache not in (0, 1):
                raise _error(path, f"{show(name)} is a soft or external link")
            if name in found:
                raise _error(path, f"{show(name)} occurs twice")
            if name not in expected.children and name not in expected.ignored:
                raise _error(path, f"unexpected {show(name)}")
            found[name] = address
        for name, child in expected.children.items():
            child_path = f"{path}/{name}"
            if name in found:
                if isinstance(child, Group):
                    self.read_group(found[name], child, child_path, arrays)
                else:
                    arrays[child_path] = self.read_array(found[name], child, child_path)
            elif not isinstance(child, Group) or child.needed():
                raise _error(path, f"{name} is missing")

    def read_array(self, header: int, shape: tuple[int, ...], path: str) -> NDArray[np.float32]:
        """Return the numbers of a dataset that is exactly what is expected."""
        messages = self.messages(header, _ARRAY_MESSAGES, path)
        (space,) = _only(messages, _DATASPACE, 8, path)
        version, rank = space[0], space[1]
        if version != 1 or len(space) < 8 + 8 * rank:
            raise _error(path, "its dataspace is malformed")
        found = Struct(f"<{rank}Q").unpack_from(space, 8)
        if found != shape:
            raise _error(path, f"expected shape {shape}, found {show(found)}")
        (datatype,) = _only(messages, _DATATYPE, len(_FLOAT32), path)
        dtype = _DTYPES.get(datatype[: len(_FLOAT32)])
        if dtype is None:
            raise _error(path, "expected float32, found something else")
        (layout,) = _only(messages, _LAYOUT, 2, path)
        if layout[:2] != _CONTIGUOUS or len(layout) < 2 + _ADDRESSES.size:
            raise _error(path, "expected contiguous storage, found compact, chunked or virtual")
        start, size = _ADDRESSES.unpack_from(layout, 2)
        count = math.prod(shape)
        if size != 4 * count:
            raise _error(path, f"expected {4 * count} bytes of data, found {size}")
        self.check(start, size, path)
        # A copy in any case: the array must not keep the whole file alive.
        return np.frombuffer(self.image, dtype, count, start).astype(np.float32).reshape(shape)

    def messages(self, header: int, allowed: frozenset[int], path: str) -> dict[int, list[bytes]]:
        """Return the messages of an object header by their type."""
        if header in self.opened:
            raise _error(path, "an object that is linked twice")
        self.opened.add(header)
        version, _, total, links, size = self.unpack(_HEADER, header, path)
        if version != 1:
            raise _error(path, "an object header of another form than Keras writes")
        if links != 1:
            raise _error(path, f"has {links} links, expected 1")
        messages: dict[int, list[bytes]] = {}
        blocks = [(header + _HEADER.size, size)]
        for start, length in blocks:  # grows: a block may name another
            self.check(start, length, path)
            end = start + length
            while total and start + _MESSAGE.size <= end:
                kind, size, flags = _MESSAGE.unpack_from(self.image, start)
                start += _MESSAGE.size
                if start + size > end:
                    raise _error(path, "a message reaches beyond its block")
                content = self.image[start : start + size]
                start += size
                total -= 1
                if kind == _NIL:
                    continue
                if flags & _SHARED:
                    raise _error(path, "a shared message")
                if kind == _CONTINUATION:
                    if size < _ADDRESSES.size or len(blocks) == _MAX_BLOCKS:
                        raise _error(path, "its object header is malformed")
                    blocks.append(_ADDRESSES.unpack_from(content))
                elif kind in allowed:
                    messages.setdefault(kind, []).append(content)
                else:
                    meaning = _MEANING.get(kind, f"a message of type {kind:#x}")
                    raise _error(path, f"found {meaning}")
        if total:
            raise _error(path, "its object header is truncated")
        return messages

    def symbols(self, tree: int, heap: int, path: str) -> Iterator[tuple[str, int, int]]:
        """Yield the name, address and cache type of each entry of a group."""
        magic, version, size, _, segment = self.unpack(_LOCAL_HEAP, heap, path)
        if (magic, version) != (b"HEAP", 0):
            raise _error(path, "its local heap is malformed")
        self.check(segment, size, path)
        for leaf in self.leaves(tree, None, path):
            magic, version, _, count = self.unpack(_LEAF, leaf, path)
            # An empty leaf would let a small file name any number of them.
            if (magic, version) != (b"SNOD", 1) or count == 0:
                raise _error(path, "its symbol table is malformed")
            for i in range(count):
                at = leaf + _LEAF.size + i * _SYMBOL.size
                offset, address, cache = self.unpack(_SYMBOL, at, path)
                end = min(offset + _MAX_NAME, size)
                name, zero, _ = self.image[segment + offset : segment + end].partition(b"\0")
                if not zero or not name:
                    raise _error(path, "a name is malformed")
                yield name.decode("utf-8", "backslashreplace"), address, cache

    def leaves(self, node: int, expected_level: int | None, path: str) -> Iterator[int]:
        """Yield the addresses of the leaves of a tree, whose levels must count down to 0."""
        magic, kind, level, count, _, _ = self.unpack(_NODE, node, path)
        root = expected_level is None
        if (magic, kind) != (b"TREE", 0) or (count == 0 and not root):
            raise _error(path, "its tree is malformed")
        if level > 8 or (not root and level != expected_level):
            raise _error(path, "the levels of its tree are malformed")
        for i in range(count):
            # A key, then a child; the keys are not needed.
            _, child = self.unpack(_ADDRESSES, node + _NODE.size + i * _ADDRESSES.size, path)
            if level == 0:
                yield child
            else:
                yield from self.leaves(child, level - 1, path)

    def check_name(self, messages: dict[int, list[bytes]], expected: str, path: str) -> None:
        """Compare the attribute `name` of a group, if it has one."""
        for content in messages.get(_ATTRIBUTES, []):
            if len(content) < _ATTRIBUTE.size:
                raise _error(path, "an attribute is malformed")
            version, _, *sizes = _ATTRIBUTE.unpack_from(content)
            parts = []
            start = _ATTRIBUTE.size
            for size in sizes:
                parts.append(content[start : start + size])
                start += -(-size // 8) * 8
            name, datatype, space = parts
            if name.rstrip(b"\0") != b"name":
                continue
            form = tuple(datatype[:2]) == _VARIABLE_STRING and space == _SCALAR
            if version != 1 or not form or len(content) < start + _STRING.size:
                raise _error(path, "the attribute name is not a string as Keras writes it")
            length, heap, index = _STRING.unpack_from(content, start)
            found = self.heap_string(length, heap, index, path)
            if found != expected.encode("utf-8", "surrogatepass"):
                raise _error(path, f"is of layer {show(found)[1:]}, expected {show(expected)}")

    def heap_string(self, length: int, heap: int, wanted: int, path: str) -> bytes:
        """Return a string out of the global heap."""
        magic, version, size = self.unpack(_GLOBAL_HEAP, heap, path)
        if (magic, version) != (b"GCOL", 1):
            raise _error(path, "its global heap is malformed")
        self.check(heap, size, path)
        at, end = heap + _GLOBAL_HEAP.size, heap + size
        for _ in range(_MAX_HEAP_OBJECTS):
            if at + _HEAP_OBJECT.size > end:
                break
            index, _, size = _HEAP_OBJECT.unpack_from(self.image, at)
            at += _HEAP_OBJECT.size
            if index == 0 or at + size > end:
                break
            if index == wanted and size >= length:
                return self.image[at : at + length]
            at += -(-size // 8) * 8
        raise _error(path, "a string is not in the global heap")


def _only(messages: dict[int, list[bytes]], kind: int, size: int, path: str) -> list[bytes]:
    """Return the one message of a type, of at least some size."""
    found = messages.get(kind, [])
    if len(found) != 1 or len(found[0]) < size:
        raise _error(path, f"expected {_EXPECTED[kind]}, found something else")
    return found


def _error(path: str, message: str) -> ModelFormatError:
    return ModelFormatError(f"{_PART}: {path or '/'}: {message}")

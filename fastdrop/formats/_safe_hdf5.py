"""Take arrays and strings out of an HDF5 file that may be hostile.

Keras has always written the oldest form of HDF5: version 0 of the superblock,
groups as symbol tables, contiguous datasets, attributes in object headers, and
variable-length strings in a global heap. This reads that form and no other. The
HDF5 library reads all forms, and on damaged files it can loop for ever.

Work and memory are bounded by the file. Every block that is read is taken, once,
and no two may overlap; blocks are not copied, heaps are indexed once, and strings
together have no more bytes than the file.

Names in comments are those of the HDF5 file format specification.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, show

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
_STRING_TYPE = Struct("<BB2xI")  # version and class, form, bytes
_ADDRESSES = Struct("<2Q")
_KEY = 8  # between the children of a tree, and after the last

_NIL, _DATASPACE, _DATATYPE, _FILL_OLD, _FILL = 0x0, 0x1, 0x3, 0x4, 0x5
_EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTES = 0x7, 0x8, 0xB, 0xC
_CONTINUATION, _SYMBOL_TABLE, _TIME, _ATTRIBUTE_INFO = 0x10, 0x11, 0x12, 0x15
_GROUP_MESSAGES = frozenset({_ATTRIBUTES, _SYMBOL_TABLE, _TIME})
_ARRAY_MESSAGES = frozenset({_DATASPACE, _DATATYPE, _FILL_OLD, _FILL, _LAYOUT, _ATTRIBUTES, _TIME})
_MEANING = {
    **dict.fromkeys(
        (0x2, 0x6, 0xA), "links of a newer form, as names that are not ASCII need them"
    ),
    _EXTERNAL: "external storage",
    _FILTERS: "a filter",
    _ATTRIBUTE_INFO: "dense storage of attributes",
    _DATASPACE: "a dataset, expected a group",
    _SYMBOL_TABLE: "a group, expected a dataset",
}
# What of an object is kept: one message of each of these types, and what it is called.
_KEPT = {
    _SYMBOL_TABLE: "a group",
    _DATASPACE: "a shape",
    _DATATYPE: "a type of numbers",
    _LAYOUT: "contiguous storage",
}
_SHARED = 0x2
_MAX_BLOCKS = 64
_MAX_TREE_LEVEL = 8
_MAX_RANK = 8
_MAX_NAME = 1024

# IEEE numbers as the library describes them: size, bits, where the exponent begins, exponent and
# mantissa bits, bias. The second byte says in its last bit whether the largest byte comes first.
_FLOAT = Struct("<BBBBIHHBBBBI")
_INTEGER = Struct("<BBBBIHH")
_NUMBER_BYTES = _INTEGER.size


def _number_types() -> dict[bytes, np.dtype[Any]]:
    types: dict[bytes, np.dtype[Any]] = {}
    for last, order in enumerate("<>"):
        for size, mantissa, exponent in ((2, 10, 5), (4, 23, 8), (8, 52, 11)):
            bits, bias = 8 * size, 2 ** (exponent - 1) - 1
            float_type = _FLOAT.pack(
                *(0x11, 0x20 | last, bits - 1, 0, size, 0, bits, mantissa, exponent, 0, mantissa),
                bias,
            )
            types[float_type] = np.dtype(f"{order}f{size}")
        for size in (1, 2, 4, 8):
            for signed, kind in enumerate("ui"):
                integer = _INTEGER.pack(0x10, signed << 3 | last, 0, 0, size, 0, 8 * size)
                types[integer] = np.dtype(f"{order}{kind}{size}")
    return types


_TYPES = _number_types()
_CONTIGUOUS = b"\x03\x01"

_VARIABLE_STRING = (0x19, 0x1)  # a sequence that is a string, ended by a zero
_FIXED_STRING = 0x13
_ZERO_ENDED = (0, 1)  # by one zero, or filled with zeros
_MIN_HEAP_BYTES = 4096
# An entry of a heap's index is its number, and where its bytes are.
_INDEX_SHIFT = 48

_NAME = re.compile(rb"name")

Span = tuple[int, int]
"""Where some bytes begin, and how many there are."""


@dataclass(slots=True)
class Object:
    """What is kept of an object header: where the messages are, not what is in them."""

    messages: dict[int, Span]
    attributes: dict[str, Span]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Numbers in a file that have been checked and not yet copied.

    Attributes
    ----------
    shape : tuple[int, ...]
        Their shape.
    dtype : np.dtype
        Their type, in the machine's order of bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _stored: np.dtype[Any]
    _image: bytes
    _start: int

    def read(self) -> NDArray[Any]:
        """Return a copy of the numbers, which does not keep the file alive."""
        count = math.prod(self.shape)
        stored = np.frombuffer(self._image, self._stored, count, self._start)
        return stored.astype(self.dtype).reshape(self.shape)


class Hdf5:
    """The blocks of a file, none of which is read twice.

    Parameters
    ----------
    image : bytes
        The file.
    part : str
        What messages call it; may be empty.

    Raises
    ------
    ModelFormatError
        Here and in the methods: the file is malformed, or uses what Keras does not.
    """

    def __init__(self, image: bytes, part: str) -> None:
        self.image = image
        self.part = part
        self._opened: set[int] = set()
        self._blocks = array("Q")
        self._taken = 0
        self._text = 0
        self._heaps: dict[int, array[int]] = {}
        self.take(0, _SUPERBLOCK.size, "/")
        *start, _, _, _, base, _, end, driver, _, root = _SUPERBLOCK.unpack_from(image)
        who = part or "the file"
        if tuple(start) != _SUPERBLOCK_START or base != 0 or driver != _UNDEFINED:
            raise ModelFormatError(f"{who} is not HDF5 of the form that Keras writes")
        if end != len(image):
            raise ModelFormatError(f"{who} declares {end} bytes and has {len(image)}")
        self.root: int = root

    def error(self, path: str, message: str) -> ModelFormatError:
        """Return the error that says what is wrong with an object."""
        where = f"{self.part}: " if self.part else ""
        name = show(path or "/")[1:-1]
        return ModelFormatError(f"{where}{name}: {message}")

    def take(self, start: int, size: int, path: str) -> None:
        """Take a block, which lies within the file and is read this once.

        Blocks that do not overlap have together no more bytes than the file, so
        this ends whatever goes round in circles. `finish` looks at the rest.
        """
        if start + size > len(self.image):
            raise self.error(path, "points beyond the end of the file")
        self._taken += size
        if self._taken > len(self.image):
            raise self.error(path, "some of its bytes are used twice")
        self._blocks.append(start)
        self._blocks.append(size)

    def unpack(self, layout: Struct, start: int, path: str) -> tuple[Any, ...]:
        """Take a structure and return its values."""
        self.take(start, layout.size, path)
        return layout.unpack_from(self.image, start)

    def finish(self) -> None:
        """Refuse a file of which two blocks overlap."""
        blocks = np.frombuffer(self._blocks, np.uint64).reshape(-1, 2)
        blocks = blocks[blocks[:, 0].argsort()]
        overlap = blocks[:-1].sum(axis=1) > blocks[1:, 0]
        if overlap.any():
            at = int(blocks[1:, 0][overlap][0])
            raise self.error("/", f"the bytes at {at} are used twice")

    def open(
        self, address: int, allowed: Set[int], path: str, asked: re.Pattern[bytes] | None = None
    ) -> Object:
        """Return where the messages of an object are, and the attributes that are asked for."""
        if address in self._opened:
            raise self.error(path, "an object that is linked twice")
        version, _, total, links, size = self.unpack(_HEADER, address, path)
        self._opened.add(address)
        if version != 1:
            raise self.error(path, "an object header of another form than Keras writes")
        if links != 1:
            raise self.error(path, f"has {links} links, expected 1")
        found = Object({}, {})
        blocks = [(address + _HEADER.size, size)]
        for start, length in blocks:  # grows: a block may name another
            self.take(start, length, path)
            end = start + length
            while total and start + _MESSAGE.size <= end:
                kind, size, flags = _MESSAGE.unpack_from(self.image, start)
                start += _MESSAGE.size
                span = start, size
                start += size
                total -= 1
                if start > end:
                    raise self.error(path, "a message reaches beyond its block")
                if kind == _NIL:
                    continue
                if flags & _SHARED:
                    raise self.error(path, "a shared message")
                if kind == _CONTINUATION:
                    if size < _ADDRESSES.size or len(blocks) == _MAX_BLOCKS:
                        raise self.error(path, "its object header is malformed")
                    blocks.append(_ADDRESSES.unpack_from(self.image, span[0]))
                elif kind not in allowed:
                    meaning = _MEANING.get(kind, f"a message of type {kind:#x}")
                    raise self.error(path, f"found {meaning}")
                elif kind in _KEPT:
                    if kind in found.messages:
                        raise self.error(path, f"expected {_KEPT[kind]}, found several")
                    found.messages[kind] = span
                elif kind == _ATTRIBUTES and asked is not None:
                    self._keep_attribute(span, asked, found.attributes, path)
        if total:
            raise self.error(path, "its object header is truncated")
        return found

    def open_group(self, address: int, path: str, asked: re.Pattern[bytes] | None = None) -> Object:
        """Return where the table of a group is, and its attributes that are asked for."""
        return self.open(address, _GROUP_MESSAGES, path, asked)

    def _keep_attribute(
        self, span: Span, asked: re.Pattern[bytes], kept: dict[str, Span], path: str
    ) -> None:
        """Keep where an attribute is, if it is asked for."""
        start, size = span
        if size < _ATTRIBUTE.size:
            raise self.error(path, "an attribute is malformed")
        version, _, name_size, _, _ = _ATTRIBUTE.unpack_from(self.image, start)
        if version != 1:
            raise self.error(path, "an attribute of another form than Keras writes")
        start += _ATTRIBUTE.size
        end = self.image.find(b"\0", start, start + min(name_size, size - _ATTRIBUTE.size))
        if end < 0:
            raise self.error(path, "the name of an attribute is malformed")
        if asked.fullmatch(self.image, start, end):
            name = self.image[start:end].decode("ascii")
            if name in kept:
                raise self.error(path, f"the attribute {name} occurs twice")
            kept[name] = span

    def _message(self, found: Object, kind: int, least: int, path: str) -> Span:
        """Return where the message of a type is, which has at least some size."""
        span = found.messages.get(kind)
        if span is None or span[1] < least:
            raise self.error(path, f"expected {_KEPT[kind]}, found something else")
        return span

    def _shape(self, start: int, size: int, path: str) -> tuple[int, ...]:
        """Return the shape that a dataspace describes."""
        version, rank = self.image[start], self.image[start + 1]
        if version != 1 or rank > _MAX_RANK or size < 8 + 8 * rank:
            raise self.error(path, "its dataspace is malformed")
        return Struct(f"<{rank}Q").unpack_from(self.image, start + 8)

    def dataset(self, address: int, path: str, expected: tuple[int, ...] | None = None) -> Dataset:
        """Return a dataset of numbers, all of which are in the file.

        Parameters
        ----------
        address : int
            Its object header.
        path : str
            Its path, for messages.
        expected : tuple[int, ...] | None
            The shape it must have, if that is known.
        """
        found = self.open(address, _ARRAY_MESSAGES, path)
        shape = self._shape(*self._message(found, _DATASPACE, 8, path), path)
        if expected is not None and shape != expected:
            raise self.error(path, f"expected shape {expected}, found {show(shape)}")
        start, size = self._message(found, _DATATYPE, _NUMBER_BYTES, path)
        stored = _TYPES.get(self.image[start : start + min(size, _FLOAT.size)])
        if stored is None:  # integers are described in fewer bytes, and padded
            stored = _TYPES.get(self.image[start : start + _NUMBER_BYTES])
        if stored is None:
            raise self.error(path, "expected float32, found something else")
        start, size = self._message(found, _LAYOUT, len(_CONTIGUOUS), path)
        contiguous = self.image.startswith(_CONTIGUOUS, start)
        if not contiguous or size < len(_CONTIGUOUS) + _ADDRESSES.size:
            raise self.error(path, "expected contiguous storage, found compact, chunked or virtual")
        start, size = _ADDRESSES.unpack_from(self.image, start + len(_CONTIGUOUS))
        needed = stored.itemsize * math.prod(shape)
        if size != needed:
            raise self.error(path, f"expected {needed} bytes of data, found {size}")
        self.take(start, size, path)
        return Dataset(shape, stored.newbyteorder("="), stored, self.image, start)

    def symbols(self, group: Object, path: str) -> Iterator[tuple[bytes, int]]:
        """Yield the name and the address of each object in a group."""
        start, _ = self._message(group, _SYMBOL_TABLE, _ADDRESSES.size, path)
        tree, heap = _ADDRESSES.unpack_from(self.image, start)
        magic, version, size, _, segment = self.unpack(_LOCAL_HEAP, heap, path)
        if (magic, version) != (b"HEAP", 0):
            raise self.error(path, "its local heap is malformed")
        if segment + size > len(self.image):
            raise self.error(path, "points beyond the end of the file")
        for leaf in self._leaves(tree, None, path):
            magic, version, _, count = self.unpack(_LEAF, leaf, path)
            # An empty leaf would let a small file name any number of them.
            if (magic, version) != (b"SNOD", 1) or count == 0:
                raise self.error(path, "its symbol table is malformed")
            first = leaf + _LEAF.size
            self.take(first, count * _SYMBOL.size, path)
            for at in range(first, first + count * _SYMBOL.size, _SYMBOL.size):
                offset, address, cache = _SYMBOL.unpack_from(self.image, at)
                begin = segment + offset
                end = self.image.find(b"\0", begin, segment + min(size, offset + _MAX_NAME + 1))
                if end <= begin:
                    raise self.error(path, "a name is malformed")
                self.take(begin, end + 1 - begin, path)
                name = self.image[begin:end]
                if cache not in (0, 1):
                    raise self.error(path, f"{show_name(name)} is a soft or external link")
                yield name, address

    def _leaves(self, node: int, expected_level: int | None, path: str) -> Iterator[int]:
        """Yield the addresses of the leaves of a tree, whose levels must count down to 0."""
        magic, kind, level, count, _, _ = self.unpack(_NODE, node, path)
        root = expected_level is None
        if (magic, kind) != (b"TREE", 0) or (count == 0 and not root):
            raise self.error(path, "its tree is malformed")
        if level > _MAX_TREE_LEVEL or (not root and level != expected_level):
            raise self.error(path, "the levels of its tree are malformed")
        first = node + _NODE.size
        self.take(first, count * _ADDRESSES.size + _KEY, path)
        for at in range(first, first + count * _ADDRESSES.size, _ADDRESSES.size):
            _, child = _ADDRESSES.unpack_from(self.image, at)  # the keys are not needed
            if level == 0:
                yield child
            else:
                yield from self._leaves(child, level - 1, path)

    def text(self, attribute: Span, name: str, path: str, limit: str, most: int) -> bytes:
        """Return an attribute that is one string, of as many bytes as a limit allows."""
        _, spans = self._strings(attribute, name, path, rank=0)
        span = next(spans)
        if span[1] > most:
            raise self.error(path, f"{name} has {span[1]} bytes, {limit} is {most}")
        return self._copy(span, path)

    def texts(self, attribute: Span, name: str, path: str, limit: str, most: int) -> list[bytes]:
        """Return an attribute that is a list, of as many strings as a limit allows."""
        count, spans = self._strings(attribute, name, path, rank=1)
        if count > most:
            raise self.error(path, f"{name} has {count} entries, {limit} allows {most}")
        return [self._copy(span, path) for span in spans]

    def _copy(self, span: Span, path: str) -> bytes:
        """Return the bytes of a string."""
        start, length = span
        self._text += length
        if self._text > len(self.image):  # as with blocks: some are then used twice
            raise self.error(path, "its strings have more bytes than the file")
        return self.image[start : start + length]

    def _strings(
        self, attribute: Span, name: str, path: str, rank: int
    ) -> tuple[int, Iterator[Span]]:
        """Return how many strings an attribute has, and where each is."""
        wrong = self.error(path, f"the attribute {name} is not a string as Keras writes it")
        at, size = attribute
        end = at + size
        _, _, *sizes = _ATTRIBUTE.unpack_from(self.image, at)
        at += _ATTRIBUTE.size
        starts = []
        for part in sizes:  # name, type, space: each is padded; then the strings
            starts.append(at)
            at += -(-part // 8) * 8
        if at > end or sizes[1] < _STRING_TYPE.size or sizes[2] < 8:
            raise wrong
        shape = self._shape(starts[2], sizes[2], path)
        if len(shape) != rank:
            raise wrong
        count = math.prod(shape)
        if count == 0:  # of whatever type: to NumPy an empty list is one of numbers
            return 0, iter(())
        kind, form, item = _STRING_TYPE.unpack_from(self.image, starts[1])
        if item == 0 or at + count * item > end:
            raise wrong
        items = range(at, at + count * item, item)
        if (kind, form) == _VARIABLE_STRING and item == _STRING.size:
            values = (_STRING.unpack_from(self.image, i) for i in items)
            return count, (self._in_heap(value, path) for value in values)
        if kind == _FIXED_STRING and form & 0xF in _ZERO_ENDED:
            ends = ((i, self.image.find(b"\0", i, i + item)) for i in items)
            return count, ((i, item if end < 0 else end - i) for i, end in ends)
        raise wrong

    def _in_heap(self, value: tuple[int, int, int], path: str) -> Span:
        """Return where a string is in a global heap."""
        length, heap, wanted = value
        if length == 0:  # is nowhere
            return 0, 0
        index = self._heaps.get(heap)
        if index is None:
            index = self._heaps[heap] = self._index(heap, path)
        i = bisect_left(index, wanted << _INDEX_SHIFT)
        if i < len(index) and index[i] >> _INDEX_SHIFT == wanted:
            at = index[i] & (1 << _INDEX_SHIFT) - 1
            _, _, size = _HEAP_OBJECT.unpack_from(self.image, at)
            if length <= size:
                return at + _HEAP_OBJECT.size, length
        raise self.error(path, "a string is not in the global heap")

    def _index(self, heap: int, path: str) -> array[int]:
        """Return the objects of a heap in the order of their numbers, eight bytes for each."""
        magic, version, size = self.unpack(_GLOBAL_HEAP, heap, path)
        if (magic, version) != (b"GCOL", 1) or size < _MIN_HEAP_BYTES:
            raise self.error(path, "its global heap is malformed")
        at, end = heap + _GLOBAL_HEAP.size, heap + size
        self.take(at, end - at, path)
        found = array("Q")
        while at + _HEAP_OBJECT.size <= end:
            number, _, size = _HEAP_OBJECT.unpack_from(self.image, at)
            if number == 0:  # what is free, to the end
                break
            found.append(number << _INDEX_SHIFT | at)
            at += _HEAP_OBJECT.size + -(-size // 8) * 8
            if at > end:
                raise self.error(path, "its global heap is malformed")
        if found:
            ordered = np.frombuffer(found, np.uint64)
            ordered.sort()
            if not np.diff(ordered >> np.uint64(_INDEX_SHIFT)).all():
                raise self.error(path, "a number occurs twice in the global heap")
        return found


def show_name(name: bytes) -> str:
    """Return the name of an object, safe to print."""
    return show(name.decode("utf-8", "backslashreplace"))


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


def read_arrays(
    image: bytes,
    root: Group,
    *,
    part: str = "model.weights.h5",
    dtypes: Set[str] = frozenset({"float32"}),
) -> dict[str, NDArray[Any]]:
    r"""Return the arrays of a file by their path.

    On Windows Keras 2.13 to 2.15 joined the names of nested groups by backslashes,
    so that ``layers\lstm\cell`` is one group of the root. Either spelling is read,
    and paths in the result have slashes.

    Parameters
    ----------
    image : bytes
        The HDF5 file.
    root : Group
        What the file must hold. Anything else in it is refused.
    part : str
        What messages call the file.
    dtypes : set of str
        The types that arrays may have; each is returned in its own.

    Raises
    ------
    ModelFormatError
        The file is malformed, uses what Keras does not, or differs from what is
        expected.
    """
    file = Hdf5(image, part)
    walk = _Walk(file, dtypes)
    walk.read_group(file.root, root, "")
    walk.check_complete(root, "")
    file.finish()
    return {path: dataset.read() for path, dataset in walk.datasets.items()}


class _Walk:
    """Which of the expected groups and arrays have been found."""

    def __init__(self, file: Hdf5, dtypes: Set[str]) -> None:
        self.file = file
        self.dtypes = dtypes
        self.datasets: dict[str, Dataset] = {}
        self.groups: set[str] = set()
        self.opened: set[str] = set()

    def read_group(self, address: int, expected: Group, path: str) -> None:
        """Compare a group and all in it with what is expected."""
        if path in self.opened:
            raise self.file.error(path, "occurs twice")
        self.opened.add(path)
        self.groups.add(path)
        asked = None if expected.name is None else _NAME
        group = self.file.open_group(address, path, asked)
        if expected.name is not None and "name" in group.attributes:
            limit = "the size of the file", len(self.file.image)
            found_name = self.file.text(group.attributes["name"], "name", path, *limit)
            if found_name != expected.name.encode("utf-8", "surrogatepass"):
                wanted = show(expected.name)
                shown = show(found_name)[1:]
                raise self.file.error(path, f"is of layer {shown}, expected {wanted}")
        # In the order of what is expected, whatever the order in the file.
        found: dict[str, int] = dict.fromkeys((f"{path}/{name}" for name in expected.children), -1)
        places: dict[str, Group | tuple[int, ...]] = {}
        for name, child_address in self.file.symbols(group, path):
            place = self.place(name, expected, path)
            if place is None:
                continue
            child_path, child = place
            if child_path in places:
                raise self.file.error(path, f"{show_name(name)} occurs twice")
            places[child_path] = child
            found[child_path] = child_address
        for child_path, child_address in found.items():
            here = places.get(child_path)
            if isinstance(here, Group):
                self.read_group(child_address, here, child_path)
            elif here is not None:
                self.read_array(child_address, here, child_path)

    def read_array(self, address: int, shape: tuple[int, ...], path: str) -> None:
        """Find the numbers of an array that is exactly what is expected."""
        if path in self.datasets:
            raise self.file.error(path, "occurs twice")
        dataset = self.file.dataset(address, path, shape)
        if dataset.dtype.name not in self.dtypes:
            wanted = " or ".join(sorted(self.dtypes))
            raise self.file.error(path, f"expected {wanted}, found {dataset.dtype.name}")
        self.datasets[path] = dataset

    def place(
        self, name: bytes, expected: Group, path: str
    ) -> tuple[str, Group | tuple[int, ...]] | None:
        """Return the path of a child and what is expected there, or None where it is ignored."""
        text = name.decode("utf-8", "backslashreplace")
        parts = [text] if path or text in expected.ignored else text.split("\\")
        child: Group | tuple[int, ...] = expected
        top = path
        for part in parts:
            if isinstance(child, Group) and part in child.ignored:
                return None
            if not isinstance(child, Group) or part not in child.children:
                raise self.file.error(top, f"unexpected {show(text)}")
            if child is not expected:
                self.groups.add(path)
            path = f"{path}/{part}"
            child = child.children[part]
        return path, child

    def check_complete(self, expected: Group, path: str) -> None:
        """Refuse a file that lacks an array."""
        for name, child in expected.children.items():
            child_path = f"{path}/{name}"
            if isinstance(child, Group):
                if child_path in self.groups:
                    self.check_complete(child, child_path)
                elif child.needed():
                    raise self.file.error(path, f"{name} is missing")
            elif child_path not in self.datasets:
                raise self.file.error(path, f"{name} is missing")

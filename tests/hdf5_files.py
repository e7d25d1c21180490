"""Write HDF5 files by hand, block by block, as no library would."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import numpy as np

NIL, SPACE, TYPE, LAYOUT, ATTRIBUTE, CONTINUATION, TABLE = 0x0, 0x1, 0x3, 0x8, 0xC, 0x10, 0x11
Message = tuple[int, bytes]

FLOAT32 = bytes.fromhex("11201f00 04000000 00002000 17080017 7f000000")
VARIABLE = bytes.fromhex("19010000 10000000 10000000 01000000 00000800")


def fixed(size: int, form: int = 1) -> bytes:
    """Return the type of strings of so many bytes; 0: up to a zero, 1: padded by zeros."""
    return struct.pack("<BB2xI", 0x13, form, size)


def space(*shape: int) -> bytes:
    """Return a dataspace."""
    return struct.pack(f"<BB6x{len(shape)}Q", 1, len(shape), *shape)


def pad(content: bytes) -> bytes:
    """Return content up to a multiple of eight bytes."""
    return content + bytes(-len(content) % 8)


def messages(items: Iterable[Message]) -> bytes:
    """Return messages as they stand in a header."""
    return b"".join(
        struct.pack("<2HB3x", kind, len(pad(content)), 0) + pad(content) for kind, content in items
    )


def attribute(name: bytes, datatype: bytes, shape: bytes, content: bytes) -> Message:
    """Return an attribute; its name comes with the zero at its end."""
    head = struct.pack("<2B3H", 1, 0, len(name), len(datatype), len(shape))
    return ATTRIBUTE, head + pad(name) + pad(datatype) + pad(shape) + content


def continuation(address: int, size: int) -> Message:
    """Return a message that says where a header goes on."""
    return CONTINUATION, struct.pack("<2Q", address, size)


class Image:
    """A file that grows by blocks; each method returns where its block is."""

    def __init__(self) -> None:
        self.data = bytearray(96)

    def put(self, block: bytes) -> int:
        """Append any bytes."""
        address = len(self.data)
        self.data += pad(block)
        return address

    def header(self, items: Iterable[Message], total: int | None = None, links: int = 1) -> int:
        """Append an object header; `total` is how many messages it claims to have."""
        items = list(items)
        content = messages(items)
        count = len(items) if total is None else total
        return self.put(struct.pack("<2BH2I4x", 1, 0, count, links, len(content)) + content)

    def local_heap(self, names: Iterable[bytes]) -> tuple[int, list[int]]:
        """Append names; return also where each is in the heap."""
        segment, offsets = bytearray(8), []
        for name in names:
            offsets.append(len(segment))
            segment += pad(name + b"\0")
        at = len(self.data) + 32
        head = struct.pack("<4sB3x3Q", b"HEAP", 0, len(segment), 1, at)
        return self.put(head + segment), offsets

    def leaf(self, symbols: Iterable[tuple[int, int]], cache: int = 0) -> int:
        """Append a symbol table of (name in the heap, address)."""
        rows = [struct.pack("<2QI4x16x", *symbol, cache) for symbol in symbols]
        block = struct.pack("<4s2BH", b"SNOD", 1, 0, len(rows)) + b"".join(rows)
        return self.put(block.ljust(328, b"\0"))  # the library reads room for eight

    def node(
        self, children: Iterable[int], level: int = 0, keys: Iterable[int] | None = None
    ) -> int:
        """Append a node of a tree; a key is where the last name below a child is in the heap."""
        children = list(children)
        undefined = 2**64 - 1
        head = struct.pack("<4s2BH2Q", b"TREE", 0, level, len(children), undefined, undefined)
        keys = [0, *(keys or [0] * len(children))]
        rows = [struct.pack("<2Q", *row) for row in zip(keys, children, strict=False)]
        block = head + b"".join(rows) + struct.pack("<Q", keys[-1])
        return self.put(block.ljust(544, b"\0"))  # and for 32 children

    def table(self, children: Mapping[str, int]) -> Message:
        """Append what a group needs, and return the message that says where it is."""
        names = sorted(children)
        heap, offsets = self.local_heap(name.encode() for name in names)
        symbols = [(at, children[name]) for at, name in zip(offsets, names, strict=True)]
        parts = [symbols[i : i + 8] for i in range(0, len(symbols), 8)]
        # A node of the library has room for 32 children.
        leaves = [(self.leaf(part), part[-1][0]) for part in parts]
        if len(leaves) <= 32:
            tree = self.node([at for at, _ in leaves], 0, [key for _, key in leaves])
        else:
            below = [leaves[i : i + 32] for i in range(0, len(leaves), 32)]
            nodes = [self.node([at for at, _ in b], 0, [key for _, key in b]) for b in below]
            tree = self.node(nodes, 1, [b[-1][1] for b in below])
        return TABLE, struct.pack("<2Q", tree, heap)

    def group(self, children: Mapping[str, int], extra: Iterable[Message] = ()) -> int:
        """Append a group with some more messages."""
        return self.header([self.table(children), *extra])

    def dataset(self, content: np.ndarray, at: int | None = None) -> int:
        """Append a dataset of float32; its numbers may be somewhere already."""
        stored = content.astype("<f4").tobytes()
        at = self.put(stored) if at is None else at
        layout = b"\x03\x01" + struct.pack("<2Q", at, len(stored))
        return self.header([(SPACE, space(*content.shape)), (TYPE, FLOAT32), (LAYOUT, layout)])

    def heap(self, texts: Iterable[bytes], size: int = 4096) -> int:
        """Append a global heap with texts numbered from 1."""
        content = bytearray()
        for number, text in enumerate(texts, 1):
            content += struct.pack("<2H4xQ", number, 0, len(text)) + pad(text)
        free = size - 16 - len(content)
        if free >= 16:
            content += struct.pack("<2H4xQ", 0, 0, free)
        block = struct.pack("<4sB3xQ", b"GCOL", 1, size) + content
        return self.put(block.ljust(size, b"\0"))

    def strings(self, name: str, texts: list[bytes], heap: int | None = None) -> Message:
        """Return an attribute that is a list of strings of variable length."""
        size = max(4096, 64 + sum(16 + len(pad(t)) for t in texts))
        heap = self.heap(texts, size) if heap is None else heap
        references = b"".join(struct.pack("<IQI", len(t), heap, i + 1) for i, t in enumerate(texts))
        return attribute(name.encode() + b"\0", VARIABLE, space(len(texts)), references)

    def string(self, name: str, text: bytes, heap: int | None = None, number: int = 1) -> Message:
        """Return an attribute that is one string of variable length."""
        heap = self.heap([text], max(4096, len(text) + 64)) if heap is None else heap
        reference = struct.pack("<IQI", len(text), heap, number)
        return attribute(name.encode() + b"\0", VARIABLE, space(), reference)

    def finish(self, root: int) -> bytes:
        """Return the file."""
        head = struct.pack(
            "<8s8B2HI4Q2QI4x16x",
            *(b"\x89HDF\r\n\x1a\n", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0),
            *(0, 2**64 - 1, len(self.data), 2**64 - 1, 0, root, 0),
        )
        self.data[: len(head)] = head
        return bytes(self.data)

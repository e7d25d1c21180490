"""Change files where it matters: a mutation that only spoils a checksum tests the checksum."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tensor_files import damaged, file_of

Mutate = Callable[[bytes, int], bytes]
# Pieces of pickles: opcodes, and what of PyTorch stands in them.
_PICKLED = [
    *(
        bytes([code])
        for code in b"(.BCNQRabehqrstuJKMXc]})\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8e"
        b"\x8f\x90\x91\x93\x94\x95\x96"
    ),
    *(b"K\0", b"h\0", b"q\0", b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"\x8a\x08" + bytes(8)),
    *(b"ctorch\nFloatStorage\n", b"ctorch\nSize\n", b"ccollections\nOrderedDict\n)R"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\x07\0\0\0storage", b"cos\nsystem\n"),
    *(b"cargparse\nNamespace\n)\x81", b"ccollections\ndefaultdict\n)R", b"cnumpy\ndtype\n"),
]
_DIGITS = re.compile(r"[0-9]+")


def plainly(generator: random.Random) -> Mutate:
    """Return a mutation of any bytes, for where there is no fuzzer to make one."""

    def mutate(data: bytes, most: int) -> bytes:
        changed = bytearray(data or b"\0")
        for _ in range(generator.choice((1, 1, 2, 8))):
            at, kind = generator.randrange(len(changed)), generator.randrange(4)
            if kind == 0:
                changed[at] ^= 1 << generator.randrange(8)
            elif kind == 1:
                changed[at] = generator.choice((0, 1, 4, 127, 255, 34, 92, 91, 123, 44))
            elif kind == 2 and len(changed) > 8:
                del changed[at : at + generator.choice((1, 4, 8))]
            else:
                changed[at:at] = changed[: generator.choice((1, 8, 64))]
        return bytes(changed[:most])

    return mutate


# Object headers have no signature. What else looks like one is changed too, and does no harm.
_BLOCK = re.compile(rb"TREE|SNOD|HEAP|GCOL|\x01\x00[\x01-\x20]\x00\x01\x00")
_NUMBERS = (0, 1, 2, 3, 7, 8, 16, 24, 32, 64, 255, 4095, 4096, 65535, 2**31, 2**32 - 1, 2**63)


def places(data: bytes) -> list[int]:
    """Return where blocks begin."""
    return [match.start() for match in _BLOCK.finditer(data, 96) if match.start() % 8 == 0]


def hdf5(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return an HDF5 file with some numbers, addresses or pieces changed."""
    image = bytearray(data)
    blocks = places(data) if len(data) >= 104 else []
    if not blocks or generator.random() < 0.1:
        image = bytearray(mutate(data, most))
    else:
        for _ in range(generator.choice((1, 1, 1, 2, 4))):
            _change(image, blocks, generator)
    if generator.random() < 0.9 and len(image) >= 48:
        struct.pack_into("<Q", image, 40, len(image))  # where the file says that it ends
    return bytes(image[:most])


def _change(image: bytearray, blocks: list[int], generator: random.Random) -> None:
    """Change one thing near the beginning of a block."""
    block = generator.choice(blocks)
    form = generator.choice(["<B", "<H", "<I", "<Q", "<Q"])
    size = struct.calcsize(form)
    at = min(block + generator.randrange(0, 128), len(image) - size)
    at -= at % size if generator.random() < 0.9 else 0
    limit = 256**size - 1
    old = int.from_bytes(image[at : at + size], "little")
    kind = generator.randrange(6)
    if kind == 0:
        struct.pack_into(form, image, at, generator.choice(_NUMBERS) & limit)
    elif kind == 1:
        struct.pack_into(form, image, at, old + generator.choice((-16, -8, -1, 1, 8, 16)) & limit)
    elif kind == 2:
        struct.pack_into("<Q", image, min(at - at % 8, len(image) - 8), generator.choice(blocks))
    elif kind == 3:  # a header that goes on elsewhere
        message = struct.pack(
            "<HHB3xQQ", 0x10, 16, 0, generator.choice(blocks), 8 * generator.randrange(64)
        )
        at = min(at - at % 8, len(image) - 24)
        image[at : at + 24] = message
    elif kind == 4:  # one piece over another
        length = 8 * generator.choice((1, 2, 3, 5))
        source, to = generator.choice(blocks), min(at - at % 8, len(image) - length)
        image[to : to + length] = image[source : source + length].ljust(length, b"\0")
    else:
        image[at] ^= 1 << generator.randrange(8)


def keras(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return a .keras file with one member changed and its checksum right, or any bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # not an archive any more
        parts = {}
    if not parts or generator.random() < 0.25:
        return mutate(data, most)
    name = generator.choice(sorted(parts))
    if name.endswith(".h5"):
        parts[name] = hdf5(parts[name], generator, mutate, most)
    else:
        parts[name] = mutate(parts[name], most)
    return _zipped(parts, generator)[:most]


def text(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return JSON with a piece of it repeated, moved or spoiled."""
    if len(data) < 2 or generator.random() < 0.5:
        return mutate(data, most)
    start = generator.randrange(len(data))
    piece = data[start : start + generator.choice((1, 2, 8, 64))]
    at = generator.randrange(len(data))
    return (data[:at] + piece * generator.choice((1, 1, 2, 100)) + data[at:])[:most]


def safe_tensors(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return a safetensors file with something in its header changed, or any bytes."""
    if generator.random() < 0.2:
        return mutate(data, most)
    for _ in range(generator.choice((1, 1, 2))):
        data = damaged(data, generator)
    return data[:most]


def saved_model(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return a file of a model whose description is changed, and still the header's length."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        described = header["__metadata__"]["model"]
    except (ValueError, LookupError, TypeError):
        described = None
    if not isinstance(described, str) or generator.random() < 0.1:
        return safe_tensors(data, generator, mutate, most)
    numbers = list(_DIGITS.finditer(described))
    if numbers and generator.random() < 0.3:
        at = generator.choice(numbers)
        new = str(generator.choice(_NUMBERS))
        described = described[: at.start()] + new + described[at.end() :]
    elif generator.random() < 0.7:
        described = _values_moved(described, generator)
    else:
        written = described.encode("utf-8", "surrogatepass")  # half a pair may come of mutations
        described = text(written, generator, mutate, most).decode("utf-8", "replace")
    header["__metadata__"]["model"] = described
    return file_of(header, data[8 + length :])[:most]


def _values_moved(described: str, generator: random.Random) -> str:
    """Put a value of a JSON document in the place of another."""
    try:
        document = json.loads(described)
    except (ValueError, RecursionError):
        return described
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            places.append((value, key))
            if isinstance(inner, dict | list):
                visit(inner)

    if isinstance(document, dict | list):
        visit(document)
    if places:
        (into, key), (out_of, other) = generator.choice(places), generator.choice(places)
        into[key] = copy.deepcopy(out_of[other])
    return json.dumps(document)


def description(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return JSON with a value, a number or any piece of it changed."""
    if generator.random() < 0.7:
        return _values_moved(data.decode("utf-8", "replace"), generator).encode()[:most]
    return text(data, generator, mutate, most)


def arrays(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return an archive of arrays with one changed, or its JSON, or any bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # not an archive
        parts = {}
    if not parts or generator.random() < 0.1:
        return mutate(data, most)
    name = generator.choice(sorted(parts))
    if "header.npy" in parts and generator.random() < 0.6:
        name = "header.npy"
    start = 10 + int.from_bytes(parts[name][8:10], "little")
    head, body = parts[name][:start], parts[name][start:]
    if name == "header.npy" and generator.random() < 0.8:
        body = description(body, generator, mutate, most)
        buffer = io.BytesIO()
        np.save(buffer, np.frombuffer(body, np.uint8))
        parts[name] = buffer.getvalue()
    elif generator.random() < 0.5:
        numbers = list(_DIGITS.finditer(head.decode("latin-1")))
        at = generator.choice(numbers or [None])
        new = str(generator.choice(_NUMBERS)).encode()
        parts[name] = (
            mutate(head, most) + body
            if at is None
            else head[: at.start()] + new + head[at.end() :] + body
        )
    else:
        parts[name] = head + mutate(body, most)
    method = None if generator.random() < 0.1 else zipfile.ZIP_STORED
    return _zipped(parts, generator, method)[:most]


def checkpoint(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return a checkpoint whose pickle is changed, or what `keras` makes of an archive."""

    def changed(content: bytes) -> bytes:
        at = generator.randrange(len(content) + 1)
        piece = generator.choice(_PICKLED) * generator.choice((1, 1, 1, 1000))
        kind = generator.randrange(3)
        if kind == 0:
            return content[:at] + piece + content[at:]
        if kind == 1:
            return content[:at] + piece + content[at + len(piece) :]
        return mutate(content, most)

    if not data.startswith(b"PK"):
        return changed(data)[:most]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # not an archive any more
        parts = {}
    pickles = [name for name in parts if name.endswith("data.pkl")]
    if not pickles or generator.random() < 0.2:
        return keras(data, generator, mutate, most)
    parts[pickles[0]] = changed(parts[pickles[0]])
    return _zipped(parts, generator)[:most]


def _zipped(parts: dict[str, bytes], generator: random.Random, method: int | None = None) -> bytes:
    buffer = io.BytesIO()
    if method is None:
        method = generator.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as target:
        warnings.simplefilter("ignore")
        for each, content in parts.items():
            target.writestr(each, content)
    return buffer.getvalue()


def protobuf(data: bytes, generator: random.Random, mutate: Mutate, most: int) -> bytes:
    """Return a file of messages with one of them changed, and the lengths of those around it."""
    if generator.random() < 0.2:
        return mutate(data, most)
    return _in_a_message(data, generator, mutate, most, 0)[:most]


def _in_a_message(
    data: bytes, generator: random.Random, mutate: Mutate, most: int, depth: int
) -> bytes:
    fields = _fields(data)
    inside = [(start, at, stop) for start, at, stop in fields if stop - at > 1]
    if depth > 5 or not inside or generator.random() < 0.15:
        return _rearranged(data, fields, generator, mutate, most)
    start, at, stop = generator.choice(inside)
    content = _in_a_message(data[at:stop], generator, mutate, most, depth + 1)
    key = data[start : start + 1] if data[start] < 128 else data[start : start + 2]
    return data[:start] + key + _varint(len(content)) + content + data[stop:]


def _rearranged(
    data: bytes,
    fields: list[tuple[int, int, int]],
    generator: random.Random,
    mutate: Mutate,
    most: int,
) -> bytes:
    """Repeat or leave out a field, or change any bytes."""
    kind = generator.randrange(4)
    if not fields or kind > 1:
        return mutate(data, most)
    start, _, stop = generator.choice(fields)
    times = 0 if kind else generator.choice((2, 3, 50))
    return data[:start] + data[start:stop] * times + data[stop:]


def _fields(data: bytes) -> list[tuple[int, int, int]]:
    """Return where texts and messages begin, what they hold begins, and it ends; [] if unsound."""
    found, at = [], 0
    while at < len(data):
        start = at
        key, at = _number(data, at)
        if key & 7 == 0:
            _, at = _number(data, at)
        elif key & 7 == 2:
            length, at = _number(data, at)
            if at + length > len(data):
                return []
            found.append((start, at, at + length))
            at += length
        elif key & 7 in (1, 5):
            at += 8 if key & 7 == 1 else 4
        else:
            return []
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            break
    return value, at


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])

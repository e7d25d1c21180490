"""Damaged and hostile files of ONNX: refused with `ModelFormatError`, and nothing else happens."""

import io
import os
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="what is read is parsed by it")
pytest.importorskip("h5py", reason="the watch stands beside tests that need it")

from onnx import helper

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.formats.onnx import is_model
from references.make_onnx import FOLDER, graph
from test_formats_hostile import Watch

SMALL = (FOLDER / "dropped_features.onnx").read_bytes()
FILES = [path.read_bytes() for path in sorted(FOLDER.glob("*.onnx"))]


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


MODEL = varint(1 << 3) + b"\x08" + message(8, varint(2 << 3) + b"\x11")  # IR 8, operator set 17


def tried(data: bytes) -> fd.Model | None:
    """Load a file; what it may raise is one error."""
    try:
        return fd.load(io.BytesIO(data), allow_nonfinite=True)
    except ModelFormatError as error:
        message = str(error)
    assert message.isascii()
    assert "\n" not in message
    return None


def test_truncated_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for end in range(len(SMALL)):
        path.write_bytes(SMALL[:end])
        with pytest.raises(ModelFormatError):
            fd.load(path)


def test_any_bit_flipped() -> None:
    """Refused, or a model: what is flipped may be a weight or a name."""
    models = 0
    for i in range(len(SMALL)):
        for bit in range(8):
            data = bytearray(SMALL)
            data[i] ^= 1 << bit
            model = tried(bytes(data))
            if model is not None and model.input_shape == (6,):
                models += 1
                model.predict(np.zeros((1, 6), np.float32))
    assert models > 100


def test_bytes_changed_at_random() -> None:
    generator = random.Random(1)
    for data in FILES:
        for _ in range(30):
            changed = bytearray(data)
            for _ in range(generator.choice((1, 2, 8))):
                changed[generator.randrange(len(changed))] = generator.choice((0, 1, 2, 127, 255))
            tried(bytes(changed))


def test_nothing_is_imported_opened_or_run(tmp_path: Path) -> None:
    """By a file that names much: operators of other domains, files elsewhere."""
    path = tmp_path / "model.onnx"
    fd.load(FOLDER / "dropped_features.onnx")  # what is imported on first use is imported now
    tensor = b"\x08\x02" + b"\x10\x01" + message(8, b"W") + varint(14 << 3) + b"\x01"
    tensor += message(13, message(1, b"location") + message(2, b"../../etc/passwd"))
    node = message(1, b"x") + message(2, b"y") + message(4, b"exec") + message(7, b"os.path")
    value = message(1, b"x") + message(
        2, message(1, b"\x08\x01" + message(2, message(1, b"\x08\x02")))
    )
    graph = (
        message(1, node) + message(5, tensor) + message(11, value) + message(12, message(1, b"y"))
    )
    path.write_bytes(MODEL + message(7, graph))
    modules = set(sys.modules)
    with Watch() as events, pytest.raises(ModelFormatError) as caught:
        fd.load(path)
    assert "no other file is opened" in str(caught.value)
    opened = [what for event, what in events if event == "open" and not isinstance(what, int)]
    assert opened in ([path], [os.fspath(path)], [])
    assert {event for event, _ in events} <= {"open"}
    assert set(sys.modules) == modules


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (MODEL + message(7, message(1, b"") * 10**6), "messages, texts and numbers"),
        (MODEL + message(7, message(1, message(1, b"") * 10**6)), "messages, texts and numbers"),
        (MODEL + message(7, message(5, message(7, bytes(4 * 10**6)))), "whole numbers one by one"),
        (MODEL + message(7, message(5, (varint(7 << 3) + b"\0") * 10**6)), "messages, texts and"),
        (MODEL + message(7, message(30, b"")), "an unknown field, 30 of GraphProto"),
        (MODEL + message(20, b"") + message(7, b""), "no inputs|without inputs"),
        (MODEL + message(7, b"\x0a\xff\xff\xff\xff\x0f"), "malformed: a field is cut off"),
        (MODEL + message(7, b"\x0b"), "malformed: a field of type 3"),
        (MODEL + message(7, b"\x08\x01"), "GraphProto.node is no message"),
    ],
    ids=[
        "empty nodes",
        "empty texts",
        "packed numbers",
        "single numbers",
        "unknown field",
        "empty graph",
        "length beyond the end",
        "group",
        "number for a message",
    ],
)
def test_what_would_grow_or_is_no_protobuf(data: bytes, expected: str) -> None:
    """It is refused before it is parsed, and soon."""
    start = time.process_time()
    with pytest.raises(ModelFormatError, match=expected):
        fd.load(io.BytesIO(data))
    assert time.process_time() - start < 5


def test_numbers_that_are_not_packed() -> None:
    """As the older encoding of protobuf has them, which its parsers read too."""
    for kind, field, wire, numbers in (
        (11, 10, 1, [struct.pack("<d", n) for n in (1.5, -2, 3)]),
        (1, 4, 5, [struct.pack("<f", n) for n in (1.5, -2, 3)]),
    ):
        content = varint(1 << 3) + varint(3) + varint(2 << 3) + varint(kind) + message(8, b"c")
        content += b"".join(varint(field << 3 | wire) + n for n in numbers)
        cast, add = (
            helper.make_node(op, inputs, [output], **options).SerializeToString()
            for op, inputs, output, options in (
                ("Cast", ["c"], "f", {"to": 1}),
                ("Add", ["x", "f"], "y", {}),
            )
        )
        x, y = (
            helper.make_tensor_value_info(name, 1, ["N", 3]).SerializeToString() for name in "xy"
        )
        parts = message(1, cast) + message(1, add) + message(5, content)
        model = fd.load(
            io.BytesIO(
                MODEL + message(7, parts + message(2, b"g") + message(11, x) + message(12, y))
            )
        )
        assert model.predict(np.zeros((1, 3), np.float32)).tolist() == [[1.5, -2, 3]]


def test_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    with pytest.raises(ModelFormatError, match="the file is malformed: no graph"):
        fd.load(path)


def test_messages_in_one_another() -> None:
    """A graph in an attribute in a node in a graph, and so on."""
    graph = b""
    for _ in range(20):
        graph = message(1, message(5, message(6, graph)))
    with pytest.raises(ModelFormatError, match="messages nested deeper than 32"):
        fd.load(io.BytesIO(MODEL + message(7, graph)))


def test_a_tensor_larger_than_its_bytes() -> None:
    dims = varint(1 << 3) + varint(2**20) + varint(1 << 3) + varint(2**20)
    tensor = dims + b"\x10\x01" + message(8, b"W")
    with pytest.raises(ModelFormatError, match="max_tensor_bytes is"):
        fd.load(io.BytesIO(MODEL + message(7, message(5, tensor))))
    small = varint(1 << 3) + varint(2**20) + b"\x10\x01" + message(8, b"W")
    with pytest.raises(ModelFormatError, match="0 bytes for a shape of"):
        fd.load(io.BytesIO(MODEL + message(7, message(5, small))))


def test_what_is_no_model() -> None:
    others: list[Any] = [b"", b"\x08", b"PK\x03\x04", MODEL, b"\x80\x04\x95", SMALL[:-1], SMALL[1:]]
    assert not any(is_model(data) for data in others)
    assert all(map(is_model, FILES))


def test_other_files_by_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelFormatError, match="a Git LFS pointer"):
        fd.load(path)
    path.write_bytes(b"something else altogether")
    with pytest.raises(ModelFormatError, match="the file is malformed"):
        fd.load(path)


def test_weights_that_are_used_again_and_again() -> None:
    """Each layer packs its own, so a small file would take much memory."""
    units, nodes = 128, []
    for i in range(300):
        names = [f"y{i - 1}" if i else "x", "W", "R", "", "", ""]
        nodes.append(helper.make_node("LSTM", names, [f"z{i}"], hidden_size=units))
        nodes.append(helper.make_node("Squeeze", [f"z{i}", "one"], [f"y{i}"]))
    weights = {
        "W": np.ones((1, 4 * units, units), np.float32),
        "R": np.ones((1, 4 * units, units), np.float32),
        "one": np.array([1]),
    }
    x = np.zeros((2, 2, units), np.float32)
    data = graph(nodes, {"x": x}, {"y299": 3}, weights)
    with pytest.raises(ModelFormatError, match="take more than the file accounts for"):
        fd.load(io.BytesIO(data))


@pytest.mark.parametrize("laid_out", [False, True], ids=["", "laid out"])
def test_a_constant_that_is_used_again_and_again_is_one(laid_out: bool) -> None:
    nodes = []
    for i in range(300):
        if laid_out:
            nodes.append(helper.make_node("Reshape", ["numbers", "shape"], [f"n{i}"]))
        taken = [f"y{i - 1}" if i else "x", f"n{i}" if laid_out else "numbers"]
        nodes.append(helper.make_node("Add", taken, [f"y{i}"]))
    x = np.zeros((1, 2**17), np.float32)
    dtype = np.float32 if laid_out else np.int64
    constants = {"numbers": np.ones(2**17, dtype), "shape": np.array([1, -1])}
    data = graph(nodes, {"x": x}, {"y299": 2}, constants)
    assert (fd.load(io.BytesIO(data)).predict(x) == 300).all()

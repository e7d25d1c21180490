"""Files and streams that are not models: what is said of them, and how much of them is read."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import socket
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastdrop.formats import ModelFormatError, load
from fastdrop.formats._recognise import (
    LEGACY,
    is_legacy_checkpoint,
    recognise,
    recognise_folder,
    recognise_members,
)
from fastdrop.formats._safe_file import read_file, read_stream

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.h5"))
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (b"", "an empty file"),
        (POINTER, "a Git LFS pointer, which stands for the model"),
        (gzip.compress(b"x", mtime=0), "a gzip archive; unpack it"),
        (bz2.compress(b"x"), "a bzip2 archive; unpack it"),
        (lzma.compress(b"x"), "an xz archive; unpack it"),
        (tar(), "a tar archive; unpack it"),
        (b"\x28\xb5\x2f\xfd\x04", "a zstd archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive; unpack it"),
        (b"Rar!\x1a\x07\x01", "a rar archive; unpack it"),
        *[(pickle.dumps([1], protocol), "pickles are never read") for protocol in (2, 3, 4, 5)],
        (array(), "a NumPy array"),
        (b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"<html><body>", "a web page"),
        (b'<?xml version="1.0"?><Error>', "a web page"),
        (b' {"class_name": "Sequential"}', "JSON without weights"),
        (b"PK\x05\x06" + bytes(18), "an empty zip archive"),
    ],
)
def test_what_is_recognised(data: bytes, fragment: str) -> None:
    assert fragment in (recognise(data) or "")


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04",
        b"\x89HDF\r\n\x1a\n",
        b"hello",
        b"\x80\x06",
        b"<",
        b"version 1",
        b"[1]",
        b"x<html>",
    ],
)
def test_what_is_not(data: bytes) -> None:
    assert recognise(data) is None


@pytest.mark.parametrize(
    ("names", "fragment"),
    [
        (["archive/data.pkl", "archive/data/0"], "a PyTorch checkpoint"),
        (["m/data.pkl", "m/constants.pkl", "m/code/m.py"], "a TorchScript archive"),
        (["assets/lookup/vocabulary.txt", "model.weights.h5"], "look words or numbers up"),
        (["model/saved_model.pb", "model/variables/variables.index"], "a TensorFlow SavedModel"),
        (["arr_0.npy"], "an .npz file"),
        (["models/lstm.keras"], "a zip archive; unpack it"),
        (["lstm.h5", "readme"], "a zip archive; unpack it"),
    ],
)
def test_archives(names: list[str], fragment: str) -> None:
    assert fragment in (recognise_members(names) or "")


def test_a_model_is_no_other_archive() -> None:
    assert recognise_members(["metadata.json", "config.json", "model.weights.h5"]) is None
    assert recognise_members(["my_assets/words.txt", "model.weights.h5"]) is None


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        pytest.param(b"\x80\x02" + LEGACY, True, id="as torch wrote"),
        pytest.param(b"\x80\x04" + LEGACY + b"more", True, id="other protocol"),
        pytest.param(b"\x81\x02" + LEGACY, False, id="no pickle"),
        pytest.param(b"\x80\x02" + LEGACY[:-1] + b"\0", False, id="another number"),
        pytest.param(b"\x80\x02" + LEGACY[:-1], False, id="cut off"),
        pytest.param(b"\x80" + LEGACY, False, id="no protocol"),
    ],
)
def test_how_a_legacy_checkpoint_is_known(beginning: bytes, expected: bool) -> None:
    """By the pickle of the number that torch < 1.6 begins with."""
    assert pickle.dumps(0x1950A86A20F9469CFC6C, 2) == b"\x80\x02" + LEGACY + b"."
    assert is_legacy_checkpoint(beginning) is expected


def test_folders(tmp_path: Path) -> None:
    assert recognise_folder(tmp_path) is None
    with pytest.raises(ModelFormatError, match="expected a regular file, found a directory"):
        read_file(tmp_path, 100)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelFormatError, match=r"a TensorFlow SavedModel, .* model\.save"):
        read_file(tmp_path, 100)


# ---- streams ----


class Pieces(io.RawIOBase):
    """A stream that gives little at a time, and remembers what it was asked for."""

    def __init__(self, content: bytes, piece: int = 3) -> None:
        self.content = io.BytesIO(content)
        self.piece = piece
        self.asked: list[int] = []

    def read(self, size: int = -1) -> bytes:
        self.asked.append(size)
        return self.content.read(min(size, self.piece))


def test_all_of_a_stream() -> None:
    content = bytes(range(256)) * 5000
    for stream in (
        io.BytesIO(content),
        Pieces(content, 100_000),
        io.BufferedReader(io.BytesIO(content)),
    ):
        assert read_stream(stream, len(content)) == content
    stream = io.BytesIO(content)
    stream.seek(5)
    assert read_stream(stream, len(content)) == content[5:]
    assert not stream.closed


def test_a_stream_is_read_to_one_byte_beyond() -> None:
    stream = Pieces(b"x" * 100)
    assert read_stream(stream, 100) == b"x" * 100
    assert max(stream.asked) <= 101
    stream = Pieces(b"x" * 100)
    with pytest.raises(ModelFormatError, match="more bytes than max_file_bytes, which is 99"):
        read_stream(stream, 99)
    assert stream.content.tell() == 100
    endless = Pieces(b"x" * 10**6, 1000)
    with pytest.raises(ModelFormatError, match="max_file_bytes"):
        read_stream(endless, 2500)
    assert endless.content.tell() == 2501


def test_a_stream_that_was_just_written(tmp_path: Path) -> None:
    stream = io.BytesIO()
    stream.write(b"x" * 1234)
    with pytest.raises(ModelFormatError, match=r"at its end, after 1234 bytes.* \(seek\(0\)\)"):
        read_stream(stream, 2000)
    for nothing in (io.BytesIO(), Pieces(b"")):  # one of them does not know where it stands
        assert read_stream(nothing, 2000) == b""
    with (tmp_path / "written").open("wb+") as file:
        file.write(b"ab")
        with pytest.raises(ModelFormatError, match="at its end, after 2 bytes"):
            read_stream(file, 2000)


def test_pieces_are_bounded() -> None:
    stream = Pieces(b"x", 10**9)
    assert read_stream(stream, 2**30) == b"x"
    assert max(stream.asked) <= 2**20


def test_other_bytes() -> None:
    class Buffers:
        def __init__(self) -> None:
            self.left: list[Any] = [bytearray(b"ab"), memoryview(b"cd"), b""]

        def read(self, size: int) -> Any:
            return self.left.pop(0)

    assert read_stream(Buffers(), 10) == b"abcd"


def test_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (theirs.sendall(b"x" * 10**6), theirs.close()))
        sender.start()
        with ours.makefile("rb") as stream:
            assert read_stream(stream, 10**6) == b"x" * 10**6
        sender.join()


def test_a_stream_that_would_wait() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0) as stream, pytest.raises(BlockingIOError):
        read_stream(stream, 100)
    os.close(writing)


@pytest.mark.parametrize(
    "other", [io.StringIO("text"), 3, None, ["read"], type("R", (), {"read": 1})()]
)
def test_what_is_no_stream(other: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^path: expected a str, path-like or binary file object, "
    ):
        read_stream(other, 100)


def test_errors_of_a_stream_are_its_own() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        read_stream(Broken(), 100)


@pytest.mark.parametrize(
    ("module", "way"),
    [
        ("torch.nn.modules.module", "; fastdrop.torch.from_torch takes modules of PyTorch, got"),
        ("keras.src.models.functional", r', such as of model.save\("model.keras"\), got'),
        ("tf_keras.src.engine", r', such as of model.save\("model.keras"\), got'),
        ("other", "a binary file object, got"),
    ],
)
def test_models_in_memory_are_told_the_way(module: str, way: str) -> None:
    base = type("Base", (), {"__module__": module})
    own = type("Own", (base,), {"__module__": "mine"})
    with pytest.raises(TypeError, match=rf"^path: expected a str .*{way}"):
        load(own())  # type: ignore[arg-type]

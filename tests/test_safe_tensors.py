"""The reader of safetensors files, beside the reference package that writes them."""

from __future__ import annotations

import json
import os
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fastdrop.formats import ModelFormatError
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_file import read_file
from fastdrop.formats._safe_tensors import DTYPES, Stored, is_safe_tensors, read_tensors
from tensor_files import damaged, entry, examples, file_of

LIMITS = Limits()


def read(data: bytes, limits: Limits = LIMITS) -> tuple[dict[str, Stored], dict[str, str]]:
    assert is_safe_tensors(data)
    return read_tensors(memoryview(data), limits)


def arrays_of_all_types() -> dict[str, np.ndarray]:
    """An array of every type, with no numbers, one, and several axes of them."""
    found = {}
    for name, dtype in DTYPES.items():
        if name == "BF16":
            continue
        for shape in ((), (0,), (3,), (2, 0, 3), (2, 3, 1)):
            numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape) - 1.5 * (dtype[1] == "f")
            found[f"{name} {shape}"] = np.asarray(numbers, dtype)
    return found


# ---- beside the reference package ----


def test_what_the_reference_package_writes(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    arrays, metadata = arrays_of_all_types(), {"a": "b", "ü": "\n"}
    path = tmp_path / "m.safetensors"
    numpy.save_file(arrays, path, metadata)
    for data in (path.read_bytes(), read_file(path, 10**6, is_safe_tensors)):
        found, texts = read_tensors(memoryview(data), LIMITS)
        assert texts == metadata
        assert found.keys() == arrays.keys()
        for name, (dtype, values) in found.items():
            assert dtype == name.partition(" ")[0]
            assert values.dtype == arrays[name].dtype
            np.testing.assert_array_equal(values, arrays[name])
            assert values.flags.aligned
            assert not values.flags.writeable
            assert not values.flags.owndata


def test_without_metadata_or_tensors() -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    assert read(numpy.save({})) == ({}, {})
    assert read(numpy.save({}, {"a": "b"})) == ({}, {"a": "b"})
    assert read(file_of({})) == ({}, {})


def test_bfloat16_stays_bits() -> None:
    found, _ = read(file_of({"a": entry("BF16", [2], 0, 4)}, b"\x80\x3f\x20\xc1"))
    assert found["a"].dtype == "BF16"
    np.testing.assert_array_equal(found["a"].values, np.array([0x3F80, 0xC120], "u2"))


def test_damaged_files_beside_the_reference_package() -> None:
    """What is taken here is taken there, with the same numbers; what more is taken there is known.

    The reference package knows more types and has no opinion on ranks, places and other keys.
    """
    safetensors = pytest.importorskip("safetensors")
    generator = random.Random(3)
    taken = refused = 0
    for _ in range(4000):
        data = damaged(generator.choice(examples()), generator)
        try:
            found, _ = read_tensors(memoryview(data), LIMITS)
        except ModelFormatError as error:
            refused += 1
            known = ("expected a place", "dtype: expected", "shape: expected", "unexpected key")
            if any(text in str(error) for text in known) or "occurs twice" in str(error):
                continue
            with pytest.raises(safetensors.SafetensorError):
                safetensors.deserialize(data)
            continue
        taken += 1
        theirs = dict(safetensors.deserialize(data))
        assert found.keys() == theirs.keys()
        for name, (dtype, values) in found.items():
            assert (dtype, [*values.shape]) == (theirs[name]["dtype"], theirs[name]["shape"])
            assert values.tobytes() == theirs[name]["data"]
    assert taken > 300
    assert refused > 300


# ---- what is refused ----

F4 = bytes(8)


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        pytest.param(b"\x10\0\0", "truncated", id="no length"),
        pytest.param(file_of({})[:-1], "has 8 bytes, of which 7", id="header cut off"),
        pytest.param(struct.pack("<Q", 2**63) + b"{}", "max_json_bytes is", id="endless header"),
        pytest.param(struct.pack("<Q", 2**23 + 1) + b"{}", "max_json_bytes is", id="long header"),
        pytest.param(file_of(b"[]"), "does not begin with an object", id="list"),
        pytest.param(file_of(b" {}"), "does not begin with an object", id="space in front"),
        pytest.param(file_of(b""), "does not begin with an object", id="no header"),
        pytest.param(file_of(b"{} x"), "malformed", id="text behind"),
        pytest.param(file_of(b'{"\xff": 1}'), "malformed", id="no UTF-8"),
        pytest.param(file_of(b'{"a": NaN}'), "finite numbers", id="NaN"),
        pytest.param(file_of(b'{"a":' + b"[" * 65 + b"]" * 65 + b"}"), "nests", id="deep"),
        pytest.param(
            file_of(b'{"a":' + json.dumps(entry()).encode() + b',"a":{}}', F4), "twice", id="twice"
        ),
        pytest.param(
            file_of(b'{"__metadata__":{},"__metadata__":{}}'), "twice", id="metadata twice"
        ),
        pytest.param(file_of({"__metadata__": []}), "expected an object", id="metadata list"),
        pytest.param(file_of({"__metadata__": {"a": 1}}), "a: expected a string", id="number"),
        pytest.param(file_of({"__metadata__": {"a": None}}), "a: expected a string", id="null"),
        pytest.param(file_of({"a": []}), "tensor 'a': expected an object", id="entry list"),
        pytest.param(file_of({"a": {}}), "dtype: expected a string", id="entry empty"),
        pytest.param(file_of({"a": entry() | {"x": 1}}, F4), "unexpected key 'x'", id="more keys"),
        pytest.param(file_of({"a": entry("F8_E4M3")}, F4), "dtype: expected one of", id="F8"),
        pytest.param(file_of({"a": entry("f32")}, F4), "dtype: expected one of", id="f32"),
        pytest.param(file_of({"a": entry(shape=2)}, F4), "shape: expected", id="no shape"),
        pytest.param(file_of({"a": entry(shape=[-2])}, F4), "shape: expected", id="negative"),
        pytest.param(file_of({"a": entry(shape=[True, 2])}, F4), "shape: expected", id="true"),
        pytest.param(file_of({"a": entry(shape=[2.0])}, F4), "shape: expected", id="2.0"),
        pytest.param(file_of({"a": entry(shape=[1] * 8 + [2])}, F4), "at most 8", id="9 axes"),
        pytest.param(file_of({"a": entry(shape=[2**63])}, F4), "shape: expected", id="2**63"),
        pytest.param(file_of({"a": entry(shape=[2**62, 4])}, F4), "expected 737", id="overflow"),
        pytest.param(
            file_of({"a": entry(shape=[0, 2**62, 4], end=0)}), "is too large", id="empty overflow"
        ),
        pytest.param(file_of({"a": entry(end=None)}, F4), "data_offsets: expected", id="no end"),
        pytest.param(file_of({"a": entry(begin=8, end=0)}, F4), "in order", id="backwards"),
        pytest.param(file_of({"a": entry(begin=-8, end=0)}, F4), "integers >= 0", id="before"),
        pytest.param(file_of({"a": entry(end=4)}, F4), "8 bytes for its shape", id="few bytes"),
        pytest.param(file_of({"a": entry(shape=[1])}, F4), "4 bytes for its shape", id="many"),
        pytest.param(file_of({"a": entry()}, F4[1:]), "truncated", id="tensor cut off"),
        pytest.param(file_of({"a": entry()}), "truncated", id="tensor missing"),
        pytest.param(file_of({"a": entry()}, F4 + b"x"), "1 bytes behind the last", id="trailing"),
        pytest.param(file_of({}, b"x"), "1 bytes behind the last", id="trailing alone"),
        pytest.param(
            file_of({"a": entry(), "b": entry(begin=12, end=20)}, bytes(20)), "out", id="hole"
        ),
        pytest.param(file_of({"a": entry(begin=4, end=12)}, bytes(12)), "out", id="hole first"),
        pytest.param(
            file_of({"a": entry(), "b": entry(begin=4, end=12)}, bytes(12)), "overlap", id="overlap"
        ),
        pytest.param(file_of({"a": entry(), "b": entry()}, F4), "overlap", id="same place"),
        pytest.param(
            file_of({"a": entry("U8", [1], 0, 1), "b": entry(begin=1, end=9)}, bytes(9)),
            "a multiple of 4",
            id="misaligned",
        ),
        pytest.param(file_of({"a": entry()}, F4, pad=1), "a multiple of 4", id="header misaligned"),
    ],
)
def test_refused(data: bytes, fragment: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        read_tensors(memoryview(data), LIMITS)
    message = str(caught.value)
    assert fragment in message
    assert message.isascii()
    assert "\n" not in message
    assert len(message) < 400


def test_limits() -> None:
    data = file_of({"a": entry(), "b": entry(begin=8, end=16)}, bytes(16))
    length = int.from_bytes(data[:8], "little")
    exact = Limits(max_tensors=2, max_tensor_bytes=16, max_json_bytes=length)
    assert [*read_tensors(memoryview(data), exact)[0]] == ["a", "b"]
    for limit, value, fragment in (
        ("max_tensors", 1, "2 tensors, max_tensors is 1"),
        ("max_tensor_bytes", 15, "the tensors take 16 bytes"),
        ("max_json_bytes", 100, "max_json_bytes is 100"),
    ):
        with pytest.raises(ModelFormatError, match=fragment):
            read(data, Limits(**{limit: value}))


def test_truncated_at_every_byte() -> None:
    whole = examples()[0]
    read(whole)
    for size in range(len(whole)):
        with pytest.raises(ModelFormatError):
            read_tensors(memoryview(whole)[:size], LIMITS)


def test_memory_and_time_are_bounded_by_the_file() -> None:
    """Many tensors of nothing, and a file much larger than its header."""
    many = file_of({str(i): entry(shape=[0], end=0) for i in range(10000)})
    large = file_of({"a": entry(shape=[2**22], end=2**24)}, bytes(2**24))
    for data, most in ((many, 4 * len(many) + 2**23), (large, 2**16)):
        tracemalloc.start()
        read(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most


# ---- files ----


@pytest.mark.skipif(os.name == "nt", reason="Windows replaces no file that is mapped")
def test_a_mapped_file_that_is_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(file_of({"a": entry()}, np.array([1, 2], "<f4").tobytes()))
    data = read_file(path, 1000, is_safe_tensors)
    (tmp_path / "other").write_bytes(b"x" * 10)
    os.replace(tmp_path / "other", path)
    found, _ = read_tensors(memoryview(data), LIMITS)
    np.testing.assert_array_equal(found["a"].values, [1, 2])


def test_a_file_that_is_cut_before_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(file_of({"a": entry()}, F4))
    real, done = os.fstat, []

    def fstat(descriptor: int) -> os.stat_result:
        result = real(descriptor)
        if not done:
            done.append(os.truncate(path, 20))
        return result

    monkeypatch.setattr("os.fstat", fstat)
    with pytest.raises(ModelFormatError, match="changed while it was read"):
        read_file(path, 1000, is_safe_tensors)


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        pytest.param(b"\x10\0\0\0\0\0\0\0{", True, id="short"),
        pytest.param(b"\x80\x02\0\0\0\0\0\0{", True, id="length like a pickle"),
        pytest.param(b"\x10\0\0\0\0\0\0\0[", False, id="list"),
        pytest.param(b"\x10\0\0\0\0\0\0\0", False, id="cut off"),
        pytest.param(b"\x10\0\0\0\0\0\1\0{", False, id="endless"),
        pytest.param(b"PK\3\4\0\0\0\0\0\0", False, id="zip"),
    ],
)
def test_how_a_file_is_known(beginning: bytes, expected: bool) -> None:
    assert is_safe_tensors(beginning) is expected

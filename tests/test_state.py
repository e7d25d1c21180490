"""Tensors by name: what torch.save and safetensors wrote, and what is no plain state_dict."""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import http
import io
import os
import pickle
import pickletools
import random
import re
import struct
import tarfile
import time
import tracemalloc
import types
import zipfile
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest

import test_formats_hostile as hostile
from fastdrop import cli
from fastdrop.formats import ModelFormatError, load
from fastdrop.formats import torch as description
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_pickle import Beside, Storage, Tensor, read_pickle
from fastdrop.formats._state import read_state
from fastdrop.model._file import write_tensors
from tensor_files import entry, file_of

LIMITS = Limits()
ARCHIVES = sorted((Path(__file__).parent / "references" / "checkpoints").glob("*.tar.xz"))
FILES: dict[str, bytes] = {}
for _path in ARCHIVES:
    with tarfile.open(_path, "r:xz") as _archive:
        for _member in _archive:
            _content = _archive.extractfile(_member)
            assert _content is not None
            FILES[_member.name] = _content.read()
READ = [name for name in FILES if name.endswith(("t", "s")) and not name.startswith("refused")]


def expected(name: str) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(FILES[f"{name.rpartition('.')[0]}.npz"])) as file:
        return {n: a for n, a in file.items() if not n.endswith("num_batches_tracked")}


def check_same(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


def refused(data: bytes, fragment: str, limits: Limits = LIMITS) -> None:
    with pytest.raises(ModelFormatError) as caught:
        read_state(data, limits)
    message = str(caught.value)
    assert fragment in message
    assert message.isascii()
    assert "\n" not in message
    assert len(message) < 500


# ---- what PyTorch wrote ----


@pytest.mark.parametrize("name", READ)
def test_stored_files(name: str) -> None:
    state = read_state(FILES[name], LIMITS)
    # Names are as they are in the file, also those of a module that was wrapped.
    prefix = {"lightning.pt": "model.", "parallel.pt": "module."}.get(name, "")
    check_same(state.tensors, {prefix + n: array for n, array in expected(name).items()})
    notes = {
        "types": [
            "weights of float64 in the file are rounded to float32",
            "weights of float16 in the file are computed with in float32",
            "weights of bfloat16 in the file are computed with in float32",
        ],
        "checkpoint": ["the weights are those under 'state_dict' in the file"],
        "lightning": ["the weights are those under 'state_dict' in the file"],
        "beside": ["the weights are those under 'state_dict' in the file"],
        "array": ["arrays of NumPy are left out, for only tensors are read: 'mean', 'std'"],
    }
    wanted = next((text for part, text in notes.items() if part in name), [])
    assert sorted(state.notes) == sorted(wanted)


def test_there_are_files() -> None:
    assert len(ARCHIVES) == 1
    assert len(READ) >= 18


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("module", "names '__main__.Net', which is no part of plain tensors"),
        ("module-legacy", "names '__main__.Net', which is no part of plain tensors"),
        ("list", "expected a state_dict, found a list"),
        ("tensor", "expected a state_dict, found a Tensor"),
        ("plain", "found no tensors by name"),
        ("two", "found several in the checkpoint ('teacher', 'student'); save the one"),
        ("arrays", "found no tensors by name beside numpy.ndarray; save"),
        ("namespace", "expected a state_dict, found argparse.Namespace; save"),
        ("complex", "names 'torch.ComplexFloatStorage'"),
        ("sparse", "names 'torch._utils._rebuild_sparse_tensor'"),
        ("expanded", "other arguments of torch._utils._rebuild_tensor_v2"),
        ("script", "a TorchScript archive, which holds a program"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_what_is_refused(name: str, fragment: str) -> None:
    refused(FILES[f"refused-{name}.pt"], fragment)
    recipe = name not in ("expanded", "script", "two")
    if recipe:
        refused(FILES[f"refused-{name}.pt"], 'torch.save(model.state_dict(), "model.pt")')


def test_nothing_is_imported_opened_or_run() -> None:
    for name, data in FILES.items():
        if name.endswith((".pt", ".safetensors")):
            with hostile.Watch() as events:
                try:
                    read_state(data, LIMITS)
                except ModelFormatError:
                    assert name.startswith("refused")
            assert events == []


def test_weights_are_views() -> None:
    """Of one storage each; what is float32 in the file is not copied."""
    whole = read_state(FILES["views.pt"], LIMITS).tensors
    for name, array in whole.items():
        assert array.size == 0 or np.shares_memory(array, whole["whole"]), name
        assert not array.flags.writeable or array.size == 0


def rewritten(data: bytes, change: Callable[[dict[str, bytes]], object], method: int = 0) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return buffer.getvalue()


WIDTHS = (8, 4, 2, 2, 8, 4, 2, 1, 1, 1)


def swap(members: dict[str, bytes]) -> None:
    for i, width in enumerate(WIDTHS):
        numbers = np.frombuffer(members[f"archive/data/{i}"], f"u{width}")
        members[f"archive/data/{i}"] = numbers.byteswap().tobytes()
    members["archive/byteorder"] = b"big"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_big_endian(method: int) -> None:
    data = rewritten(FILES["types.pt"], swap, method)
    check_same(read_state(data, LIMITS).tensors, expected("types.pt"))


def legacy_big(data: bytes) -> bytes:
    """Turn the numbers of a legacy file around, which writes them in the order of the machine."""
    end = data.index(b"little_endianq") + data[data.index(b"little_endianq") :].index(b"\x88")
    data = data[:end] + b"\x89" + data[end + 1 :]
    # Storages are written in the order of their keys; all have four numbers.
    at = len(data) - sum(8 + 4 * width for width in WIDTHS)
    widths = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2}
    widths |= {"Char": 1, "Byte": 1, "Bool": 1}
    kinds = {}
    strings = [arg for op, arg, _ in pickletools.genops(data[third(data) :]) if arg is not None]
    for i, arg in enumerate(strings):
        if isinstance(arg, str) and arg.startswith("torch ") and arg.endswith("Storage"):
            kinds[next(s for s in strings[i + 1 :] if isinstance(s, str))] = widths[arg[6:-7]]
    found = bytearray(data[:at])
    for key in keys_of(data):
        width = kinds[key]
        found += data[at : at + 8][::-1]
        found += np.frombuffer(data[at + 8 : at + 8 + 4 * width], f"u{width}").byteswap().tobytes()
        at += 8 + 4 * width
    return bytes(found)


def pickles_of(data: bytes) -> list[int]:
    """Return where the five pickles of a legacy file begin."""
    places = [0]
    for _ in range(4):
        *_, (_, _, stop) = pickletools.genops(data[places[-1] :])
        assert stop is not None
        places.append(places[-1] + stop + 1)
    return places


def pickles_end(data: bytes) -> int:
    """Return where the numbers of a legacy file begin."""
    last = pickles_of(data)[-1]
    *_, (_, _, stop) = pickletools.genops(data[last:])
    assert stop is not None
    return last + stop + 1


def third(data: bytes) -> int:
    return pickles_of(data)[3]


def keys_of(data: bytes) -> list[str]:
    return pickle.loads(data[pickles_of(data)[4] :])


def test_big_endian_legacy() -> None:
    data = legacy_big(FILES["legacy-types.pt"])
    check_same(read_state(data, LIMITS).tensors, expected("legacy-types.pt"))


def test_counters_are_left_out() -> None:
    names = ["a.num_batches_tracked", "a.own_num_batches_tracked", "a.w"]
    header = {n: entry(begin=8 * i, end=8 * i + 8) for i, n in enumerate(names)}
    assert [*read_state(file_of(header, bytes(24)), LIMITS).tensors] == names[1:]


def test_what_is_rounded_is_told_once() -> None:
    wide = {f"a{i}": entry("F64", (2,), 16 * i, 16 * i + 16) for i in range(2)}
    short = {f"b{i}": entry("F16", (2,), 32 + 4 * i, 36 + 4 * i) for i in range(2)}
    notes = read_state(file_of(wide | short, bytes(40)), LIMITS).notes
    assert [note.split(" in ")[0] for note in notes] == ["weights of float64", "weights of float16"]


def test_numbers_that_are_not_finite() -> None:
    for dtype, bits in (("F32", "<f4"), ("F64", "<f8"), ("F16", "<f2")):
        body = np.array([1, np.nan], bits).tobytes()
        data = file_of({"a": entry(dtype, end=len(body))}, body)
        refused(data, "tensor 'a' holds NaN or infinities; allow_nonfinite=True")
        assert np.isnan(read_state(data, LIMITS, allow_nonfinite=True).tensors["a"][1])
    large = np.array([1, 1e300], "<f8").tobytes()
    refused(file_of({"a": entry("F64", end=16)}, large), "holds NaN or infinities")


def test_numbers_out_of_range_in_any_mode() -> None:
    """What float32 has not is 0 or infinite, however NumPy is told to take it."""
    body = np.array([1e-300, 1e300, np.nan, -1e-45, 0.5], "<f8")
    data = file_of({"a": entry("F64", [5], end=40)}, body.tobytes())
    with np.errstate(all="raise"):
        found = read_state(data, LIMITS, allow_nonfinite=True).tensors["a"]
    np.testing.assert_array_equal(found, np.array([0, np.inf, np.nan, -1e-45, 0.5], np.float32))


def test_limits() -> None:
    for limits, fragment in (
        ({"max_tensors": 3}, "zip archive has more than 19 members"),
        ({"max_tensor_bytes": 100}, "max_tensor_bytes is 100"),
        ({"max_json_bytes": 100}, "the limit is 100"),
    ):
        refused(FILES["state.pt"], fragment, Limits(**limits))
    refused(FILES["legacy.pt"], "max_tensors is 3", Limits(max_tensors=3))
    refused(FILES["legacy.pt"], "is truncated", Limits(max_json_bytes=100))


@pytest.mark.parametrize(
    ("which", "content", "fragment"),
    [
        pytest.param(1, 1002, "begins otherwise", id="protocol"),
        pytest.param(1, "1001", "begins otherwise", id="protocol text"),
        pytest.param(2, [], "begins otherwise", id="system"),
        pytest.param(2, {}, f"numbers, found {24 << 56}", id="system without an order"),
        pytest.param(2, {"little_endian": 1}, f"found {24 << 56}", id="system of another order"),
        pytest.param(4, {}, "begins otherwise", id="keys"),
        pytest.param(4, [], "list of storages in the checkpoint is malformed", id="no keys"),
        pytest.param(4, [1], "list of storages in the checkpoint is malformed", id="number as key"),
        pytest.param(
            4, ["x", 1], "list of storages in the checkpoint is malformed", id="mixed keys"
        ),
        pytest.param(4, ["x"], "list of storages in the checkpoint is malformed", id="other key"),
    ],
)
def test_parts_of_legacy_files(which: int, content: object, fragment: str) -> None:
    data = FILES["legacy-views.pt"]
    places = [*pickles_of(data), pickles_end(data)]
    changed = data[: places[which]] + pickle.dumps(content, 2) + data[places[which + 1] :]
    refused(changed, fragment)


def test_what_stands_behind_a_legacy_file() -> None:
    data = FILES["legacy-views.pt"]
    refused(data + b"x", f"expected {len(data)} bytes in the checkpoint, found {len(data) + 1}")
    refused(data[:-1], f"expected {len(data)} bytes in the checkpoint, found {len(data) - 1}")


@pytest.mark.parametrize(
    "name", ["state.pt", "legacy.pt", "types.pt", "legacy-types.pt", "views.pt"]
)
def test_limits_may_be_met(name: str) -> None:
    """Numbers take four bytes at least; of views of the same numbers each counts."""
    with np.load(io.BytesIO(FILES[f"{name.rpartition('.')[0]}.npz"])) as file:
        arrays = dict(file)
    size = sum(a.size * max(a.itemsize, 4) for a in arrays.values())
    if "types" in name:
        size = sum(4 * max(width, 4) for width in WIDTHS)
    read_state(FILES[name], Limits(max_tensors=len(arrays), max_tensor_bytes=size))
    for limit, most, fragment in (
        ("max_tensor_bytes", size - 1, f"the tensors take {size} bytes, max_tensor_bytes is"),
        ("max_tensors", len(arrays) - 1, f"{len(arrays)} tensors, max_tensors is"),
    ):
        refused(FILES[name], f"{fragment} {most}", Limits(**{limit: most}))


@pytest.mark.parametrize(("kind", "width"), [("Half", 2), ("Float", 4), ("Double", 8)])
def test_each_view_of_a_storage_counts(kind: str, width: int) -> None:
    """In the file's numbers, but for those that become float32 by being read."""
    one = NAMES[0] + b"(" + storage(kind=f"ctorch\n{kind}Storage\n".encode())
    one += b"K\0K\5\x85K\1\x85\x89NtR"
    pickled = b"}(" + b"".join(text(name) + one for name in "abc") + b"u."
    change = {"archive/data.pkl": pickled, "archive/data/0": bytes(10 * width)}
    data = rewritten(FILES["parameters.pt"], lambda members: members.update(change))
    size = 3 * 5 * max(width, 4)
    assert len(read_state(data, Limits(max_tensor_bytes=size)).tensors) == 3
    refused(data, f"the tensors take {size} bytes", Limits(max_tensor_bytes=size - 1))


def test_of_a_small_view_the_whole_storage_counts() -> None:
    pickled = b"}" + text("a") + tensor(shape=b"K\2\x85") + b"s."
    change = {"archive/data.pkl": pickled, "archive/data/0": np.arange(10, dtype="<f4").tobytes()}
    data = rewritten(FILES["parameters.pt"], lambda members: members.update(change))
    found = read_state(data, Limits(max_tensor_bytes=40)).tensors
    np.testing.assert_array_equal(found["a"], [0, 1])
    refused(data, "the tensors take 40 bytes, max_tensor_bytes is 39", Limits(max_tensor_bytes=39))


# ---- with a description of their layers ----

NET: list[Any] = [
    ("table", "Embedding"),
    ("lstm", "LSTM", {"take": "last"}),
    ("norm", "BatchNorm1d"),
    ("out", "Linear"),
]
NETS = [n for n in READ if "norm.running_var" in expected(n)]


@pytest.mark.parametrize("name", NETS)
def test_models_of_stored_files(name: str) -> None:
    """However it was saved, it is the model of the arrays beside it."""
    model = load(io.BytesIO(FILES[name]), architecture=NET)
    wanted = description.read(expected(name), [], description.check(NET), "<BytesIO>", 4)
    tokens = np.arange(20).reshape(4, 5) % 5
    np.testing.assert_array_equal(model.predict(tokens), wanted.predict(tokens))
    assert model.source == wanted.source
    prefix = {"lightning.pt": "model.", "parallel.pt": "module."}.get(name)
    notes = [f"{prefix!r} stands in front of all names of layers"] if prefix else []
    assert [*model.notes] == [*read_state(FILES[name], LIMITS).notes, *notes]


LISTED = b"""[
  ["table", "Embedding"], ["lstm", "LSTM", {"take": "last", "dropout": 0.3}],
  ["norm", "BatchNorm1d"], ["out", "Linear"]
]"""


@pytest.mark.parametrize("name", ["state.pt", "legacy.pt", "state.safetensors"])
@pytest.mark.parametrize("space", [b"", b" \n"])
def test_a_list_of_layers_in_a_file(name: str, space: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(space + LISTED)
    model = load(io.BytesIO(FILES[name]), architecture=path)
    options = {"take": "last", "dropout": 0.3}
    wanted = load(
        io.BytesIO(FILES[name]), architecture=[NET[0], ("lstm", "LSTM", options), *NET[2:]]
    )
    tokens = np.arange(20).reshape(4, 5) % 5
    np.testing.assert_array_equal(model.predict(tokens), wanted.predict(tokens))
    assert model.described() == wanted.described()


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (b"[", "architecture is malformed"),
        (b"[]", "architecture: expected a list of layers"),
        (b'["ReLU", "ReLU"', "architecture is malformed"),
        (b'[["lstm", "LTSM"]]', "architecture[0] class: expected"),
        (b'["ReLU", ["lstm", "LSTM", {"rate": 0.5}]]', "architecture[1] option: expected"),
        (b'["ReLU", 3]', "architecture[1]: expected names of its weights"),
        (b'[["lstm", "LSTM", {"take": 1, "take": 2}]]', "the key 'take' occurs twice"),
        (b'[["drop", "Dropout", {"p": NaN}]]', "architecture holds NaN"),
        (b"[" * 100, "architecture nests deeper than 64"),
        (b"[" + b" " * (1 << 20) + b"]", "the file has 1048578 bytes, max_json_bytes is 1000000"),
        (b"{}", "a PyTorch checkpoint; where it holds weights by name, say which layers"),
    ],
)
def test_lists_of_layers_are_refused_with_the_place(text: bytes, fragment: str) -> None:
    with pytest.raises(ModelFormatError, match=r"^<BytesIO>: ") as caught:
        load(io.BytesIO(FILES["state.pt"]), architecture=io.BytesIO(text), max_json_bytes=1_000_000)
    assert fragment in str(caught.value)


def test_what_load_is_told_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(FILES["state.pt"])
    model = load(
        path, architecture=tuple(NET), rates={"lstm": {"dropout": 0.25}}, precision="bfloat16"
    )
    assert "x.pt" in model.source
    plain = load(path, architecture=NET)
    wanted = plain.with_rates({"lstm": {"dropout": 0.25}}).with_precision("bfloat16")
    assert repr(model.layers) == repr(wanted.layers) != repr(plain.layers)
    assert load(path, architecture=NET, max_layers=4).layers
    with pytest.raises(ModelFormatError, match=r"^x\.pt: 4 layers, max_layers is 3"):
        load(path, architecture=NET, max_layers=3)
    with pytest.raises(ModelFormatError, match=r"^x\.pt: the tensors take"):
        load(path, architecture=NET, max_tensor_bytes=100)
    # What is wrong with the description is said before there is a file.
    with pytest.raises(ValueError, match=r"^architecture\[0\] class: "):
        load(tmp_path / "none.pt", architecture=["Nothing"])
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt", architecture=NET)


def test_the_command_reads_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(FILES["state.pt"])
    layers, out = tmp_path / "net.json", tmp_path / "net.safetensors"
    layers.write_text('[["table", "Embedding"], ["lstm", "LSTM"], ["norm", "Unused"]]')
    assert cli.main(["inspect", str(path), "--architecture", str(layers)]) == 1
    assert "'out.weight'" in capsys.readouterr().err
    layers.write_bytes(LISTED)
    assert cli.main(["inspect", str(path), "--architecture", str(layers)]) == 0
    assert "Bidirectional" in capsys.readouterr().out
    assert cli.main(["convert", str(path), str(out), "--architecture", str(layers)]) == 0
    assert load(out).output_shape == (1,)
    with pytest.raises(SystemExit):
        cli.main(["inspect", "--help"])
    assert ".pt or .pth" in capsys.readouterr().out


def test_weights_that_are_not_finite_are_taken_where_they_may() -> None:
    body = np.array([[np.nan, 2]], "<f4").tobytes()
    data = file_of({"weight": entry(shape=[1, 2])}, body)
    linear = [("", "Linear", {"bias": False})]
    with pytest.raises(ModelFormatError, match="tensor 'weight' holds NaN"):
        load(io.BytesIO(data), architecture=linear)
    assert load(io.BytesIO(data), architecture=linear, allow_nonfinite=True).layers


def saved_model() -> bytes:
    stream = io.BytesIO()
    metadata = {"format": "fastdrop-model-file/1", "model": "{}"}
    write_tensors(stream, {"a": np.ones(2, np.float32)}, metadata)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "architecture", "fragment"),
    [
        pytest.param(FILES["state.pt"], None, "a PyTorch checkpoint; where it", id="zip alone"),
        pytest.param(FILES["legacy.pt"], None, "a PyTorch checkpoint; where it", id="old alone"),
        pytest.param(FILES["state.safetensors"], None, "weights without a model", id="tensors"),
        pytest.param(
            FILES["state.safetensors"],
            io.BytesIO(b"{}"),
            "weights without a model",
            id="tensors and JSON",
        ),
        pytest.param(saved_model(), NET, "is for weights alone; this file is a model", id="model"),
        *(
            pytest.param(data, NET, "a list of layers is for weights of PyTorch", id=name)
            for name, data in (
                ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
                ("nothing", b""),
                ("text", b"hello"),
                ("pickle", pickle.dumps({}, 2)),
            )
        ),
        pytest.param(
            hostile.small().to_bytes(), NET, "expected data.pkl in the zip archive", id="keras"
        ),
    ],
)
def test_files_that_do_not_fit_a_description(data: bytes, architecture: Any, fragment: str) -> None:
    with pytest.raises(ModelFormatError, match=r"^<BytesIO>: ") as caught:
        load(io.BytesIO(data), architecture=architecture)
    assert fragment in str(caught.value)


# ---- archives ----


def put(name: str, content: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda members: members.update({f"archive/{name}": content})


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        pytest.param(lambda m: m.pop("archive/data.pkl"), "expected data.pkl", id="none"),
        pytest.param(lambda m: m.update({"b/data.pkl": b""}), "found 2", id="two pickles"),
        pytest.param(lambda m: m.pop("archive/data/3"), "data/3' is missing", id="no storage"),
        pytest.param(put("data/3", b""), "expected 32 bytes, found 0", id="empty storage"),
        pytest.param(put("data/3", bytes(40)), "declares 40 bytes, the limit is 32", id="long"),
        pytest.param(put("byteorder", b"middle"), "expected little or big", id="byte order"),
        pytest.param(put("data.pkl", b""), "is truncated", id="empty pickle"),
        pytest.param(put("data.pkl", b"\x80\x02}.x"), "1 bytes behind its end", id="behind"),
        pytest.param(put("data.pkl", b"\x80\x02}."), "no tensors by name", id="empty dict"),
        pytest.param(
            lambda m: put("data.pkl", b"}K\1" + tensor() + b"s.")(m), "no tensors", id="numbered"
        ),
        pytest.param(put("code/a.py", b""), "TorchScript", id="code"),
        pytest.param(put("constants.pkl", b""), "TorchScript", id="constants"),
        pytest.param(put("../x", b""), "unsafe name", id="name"),
    ],
)
def test_archives(change: Any, fragment: str) -> None:
    refused(rewritten(FILES["parameters.pt"], change), fragment)


def test_a_bomb() -> None:
    def grow(members: dict[str, bytes]) -> None:
        members["archive/data/0"] = bytes(2**26)

    data = rewritten(FILES["parameters.pt"], grow, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    refused(data, "the limit is")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["parameters.pt", "legacy.pt"])
def test_truncated(name: str) -> None:
    whole = FILES[name]
    for size in range(0, len(whole), 3 if name == "legacy.pt" else 17):
        with pytest.raises(ModelFormatError):
            read_state(whole[:size], LIMITS)


def test_damaged_files() -> None:
    """Refused, or tensors; without checksums in the way."""
    generator = random.Random(5)
    taken = 0
    for _ in range(3000):
        data = bytearray(FILES["legacy-views.pt"])
        for _ in range(generator.choice((1, 1, 3))):
            at = generator.randrange(len(data) - 100)
            data[at] = generator.choice((data[at] ^ 1 << generator.randrange(8), 0, 1, 40, 81, 255))
        try:
            state = read_state(bytes(data), LIMITS, allow_nonfinite=True)
        except ModelFormatError:
            continue
        taken += 1
        assert sum(a.nbytes for a in state.tensors.values()) < 10**6
    assert taken > 50


# ---- pickles ----


def said(data: bytes) -> Any:
    return read_pickle(memoryview(data), "the pickle", len(data)).value


def wrong(data: bytes, fragment: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        said(data)
    assert fragment in str(caught.value)
    assert str(caught.value).isascii()


PLAIN = [
    None, True, False, 0, 1, 255, 256, 65536, -1, 2**31, -(2**63), 2**63 - 1, 0.5, -0.0, "", "ü\n",
    "x" * 300, "\ud800", [], [1], [[], {}], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {},
    {"a": 1}, {1: "b", "c": [None]}, {"a": {"b": {"c": (1.5,)}}}, list(range(2000)),
    {str(i): i for i in range(2000)},
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values(protocol: int) -> None:
    for value in (*PLAIN, PLAIN):
        assert repr(said(pickle.dumps(value, protocol))) == repr(value)
        assert repr(said(pickletools.optimize(pickle.dumps(value, protocol)))) == repr(value)


class Runs:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        pytest.param(Runs(), "mkdir', which is no part of plain tensors; save the", id="run"),
        pytest.param(print, "print', which is no part", id="function"),
        pytest.param(getattr, "getattr', which is no part", id="getattr"),
        pytest.param(type, "type', which is no part", id="type"),
        pytest.param(object(), "object', which is no part", id="object"),
        pytest.param(re.compile("a"), "_compile', which is no part", id="pattern"),
        pytest.param(functools.partial(print), "partial', which is no part", id="partial"),
        pytest.param(http.HTTPStatus(200), "HTTPStatus', which is no part", id="enumeration"),
        pytest.param(np.random.default_rng(0), "ctor', which is no part", id="generator"),
        pytest.param(argparse.Namespace(a=Runs()), "mkdir', which is no part", id="in options"),
        pytest.param({1: Runs()}, "mkdir', which is no part", id="in a dict"),
        pytest.param(collections.defaultdict(os.getcwd), "getcwd', which is no part", id="makes"),
        pytest.param(collections.deque([Runs()]), "mkdir', which is no part", id="in a deque"),
        pytest.param(np.array([Runs()]), "mkdir', which is no part", id="in an array"),
        pytest.param({Path, Runs}, "Runs', which is no part", id="in a set"),
    ],
)
def test_other_values(value: Any, fragment: str, protocol: int, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    wrong(pickle.dumps(value, protocol), fragment)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        pytest.param(argparse.Namespace(a=1, b=[{}]), "argparse.Namespace", id="options"),
        pytest.param(types.SimpleNamespace(a=1), "types.SimpleNamespace", id="namespace"),
        pytest.param(collections.Counter("aab"), "collections.Counter", id="counts"),
        pytest.param(collections.deque([1, 2], 3), "collections.deque", id="deque"),
        pytest.param(Path("a/b"), r"pathlib\.(_local\.)?\w+Path", id="path"),
        pytest.param(PureWindowsPath("a"), r"pathlib\.(_local\.)?PureWindowsPath", id="other path"),
        pytest.param(float, r"(__builtin__|builtins)\.float", id="type"),
        pytest.param({1, 2}, r"(__builtin__|builtins)\.set|a set", id="set"),
        pytest.param(set(), r"(__builtin__|builtins)\.set|a set", id="empty set"),
        pytest.param(frozenset({1}), r"(__builtin__|builtins)\.frozenset|a set", id="frozenset"),
        pytest.param(2**64, "a large integer", id="large"),
        pytest.param(-(2**3000), "a large integer", id="larger"),
        pytest.param(1j, r"(__builtin__|builtins)\.complex", id="complex"),
        pytest.param(b"x" * 300, r"bytes|_codecs\.encode", id="bytes"),
        pytest.param(bytearray(b"x"), r"bytes|(__builtin__|builtins)\.bytearray", id="bytearray"),
        pytest.param(np.ones(3), r"numpy\.ndarray", id="array"),
        pytest.param(np.array(["a", None]), r"numpy\.ndarray", id="array of objects"),
        pytest.param(np.float32(1), r"numpy\.(_?core)\.multiarray\.scalar", id="scalar"),
        pytest.param(np.float32, r"numpy\.float32", id="type of numbers"),
        pytest.param(np.dtype("i8"), r"numpy\.dtype", id="dtype"),
        pytest.param(datetime.date(2024, 1, 2), r"datetime\.date", id="date"),
    ],
)
def test_of_what_stands_beside_weights_only_what_it_is_is_known(
    value: Any, what: str, protocol: int
) -> None:
    found = said(pickle.dumps([value, value, "end"], protocol))
    assert [type(item) for item in found] == [Beside, Beside, str]
    assert re.fullmatch(what, repr(found[0]))
    assert re.fullmatch(what, found[1].text)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_keys_that_are_no_names(protocol: int) -> None:
    """Each is a key of its own, whatever Python has for equal; dicts of any kind are dicts."""
    keys = [None, 1.5, (1, 2), True, 1, Path("a"), Path("b"), "a", frozenset([1]), float]
    found = said(pickle.dumps({key: [i] for i, key in enumerate(keys)}, protocol))
    assert [*found.values()] == [[0], [1], [2], [4], [5], [6], [7], [8], [9]]  # True == 1
    assert [key for key in found if type(key) is not Beside] == ["a"]
    default = collections.defaultdict(list, {"a": 1, 2: []})
    assert said(pickle.dumps(default, protocol)) == {"a": 1, 2: []}


def test_what_is_filled_or_made_of_what_is_beside() -> None:
    """A class of options that is a dict, as Lightning's, with entries and attributes."""
    one = b"clightning_fabric.utilities.data\nAttributeDict\n)\x81"
    filled = b"}(" + text("a") + one + b"(" + text("w") + tensor() + b"u" + text("b")
    filled += one + text("w") + b"Ns}" + text("w") + b"Nsb" + text("c") + one + b"NbNa(NNe(NN\x90"
    found = said(filled + b"u.")
    assert {name: repr(item) for name, item in found.items()} == dict.fromkeys(
        "abc", "lightning_fabric.utilities.data.AttributeDict"
    )


# Opcodes that are understood; all others are refused by the machine itself.
KNOWN = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("EMPTY_SET", "ADDITEMS", "FROZENSET", "NEWOBJ"),
}
TEXT = b"X\x01\0\0\0a"


@pytest.mark.parametrize("opcode", pickletools.opcodes, ids=lambda opcode: opcode.name)
def test_every_opcode(opcode: pickletools.OpcodeInfo) -> None:
    """Each is known or refused by its letter; alone, and with all kinds of values before it."""
    code = opcode.code.encode("latin-1")
    stacks = [
        *(b"", b"(", b"N", b"NN", b"NNN", b"(N", b"((", b"]N", b"](N", b"}NN", b"}(N", b"}(NN"),
        *(TEXT, TEXT + TEXT, b"]", b"}", b")", b"}}", b")}", b"ccollections\nOrderedDict\n"),
        *(b"ccollections\nOrderedDict\n)", b"ccollections\nOrderedDict\n(NNNNNNNNNNt", b"(((("),
    ]
    arguments = [b"", b"\0", bytes(8), b"\1", b"\1a", b"\xff" * 9, b"a\nb\n", b"\x08" + bytes(8)]
    seen = set()
    for stack in stacks:
        for argument in arguments:
            for rest in (b".", b"N.", b""):
                try:
                    said(stack + code + argument + rest)
                except ModelFormatError as error:
                    seen.add("the opcode " + ascii(opcode.code) in str(error))
                else:
                    seen.add(False)
    if opcode.name in KNOWN:
        assert True not in seen or opcode.name == "STOP"
    else:
        assert seen == {True}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b"X\2\0\0\0ab", "ab", id="BINUNICODE"),
        pytest.param(b"\x8c\2ab", "ab", id="SHORT_BINUNICODE"),
        pytest.param(b"\x8d\2\0\0\0\0\0\0\0ab", "ab", id="BINUNICODE8"),
        pytest.param(b"U\2ab", "ab", id="SHORT_BINSTRING"),
        pytest.param(b"T\2\0\0\0ab", "ab", id="BINSTRING"),
        pytest.param(b"J\xfe\xff\xff\xff", -2, id="BININT"),
        pytest.param(b"K\xfe", 254, id="BININT1"),
        pytest.param(b"M\xfe\xff", 65534, id="BININT2"),
        pytest.param(b"\x8a\2\xfe\xff", -2, id="LONG1"),
        pytest.param(b"\x8a\0", 0, id="LONG1 of nothing"),
        pytest.param(b"\x8a\x08" + b"\xff" * 7 + b"\x7f", 2**63 - 1, id="LONG1 largest"),
        pytest.param(b"\x8b\2\0\0\0\xfe\x7f", 32766, id="LONG4"),
        pytest.param(b"K\5q\7h\7\x86", (5, 5), id="BINPUT"),
        pytest.param(b"K\5r\7\1\0\0j\7\1\0\0\x86", (5, 5), id="LONG_BINPUT"),
        pytest.param(b"K\5\x94K\6\x94h\0\x87", (5, 6, 5), id="MEMOIZE"),
        pytest.param(b"K\0K\1K\2\x87", (0, 1, 2), id="TUPLE3"),
        pytest.param(b"K\0K\1\x86\x85", ((0, 1),), id="TUPLE2 TUPLE1"),
        pytest.param(b"](K\0(K\1te", [0, (1,)], id="marks in marks"),
        pytest.param(b"}(TEXTK\1TEXTK\2u".replace(b"TEXT", TEXT), {"a": 2}, id="same key"),
        pytest.param(b"\x95\2\0\0\0\0\0\0\0N", None, id="FRAME"),
        pytest.param(b"\x80\5N", None, id="PROTO"),
    ],
)
def test_what_opcodes_say(data: bytes, value: object) -> None:
    """As CPython reads them too, but for bytes of Python 2."""
    assert repr(said(data + b".")) == repr(value)
    assert repr(pickle.loads(data + b".")) == repr(value)


def test_codes_that_are_no_opcodes() -> None:
    known = {ord(opcode.code) for opcode in pickletools.opcodes}
    for code in {*range(256)} - known:
        wrong(bytes([code]), f"the opcode {chr(code)!a}")


NAMES = b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage(key: str = "0", count: bytes = b"K\x0a", kind: bytes = NAMES[1]) -> bytes:
    return b"(" + text("storage") + kind + text(key) + text("cpu") + count + b"tQ"


# All that is known of a tensor's arguments, but the last.
WHOLE = NAMES[0] + b"(" + storage() + b"K\0K\5\x85K\1\x85\x89N"


def tensor(offset: bytes = b"K\0", shape: bytes = b"K\5\x85", strides: bytes = b"K\1\x85") -> bytes:
    hooks = b"ccollections\nOrderedDict\n)R"
    return NAMES[0] + b"(" + storage() + offset + shape + strides + b"\x89" + hooks + b"tR"


def test_numbers_of_the_other_sign_are_refused() -> None:
    """What a view of `-x` is saved as: the numbers of x, and that they are negative."""
    assert said(WHOLE + b"}tR.") == said(tensor() + b".")
    wrong(WHOLE + b"}" + text("neg") + b"\x88stR.", "other arguments of torch._utils._rebuild")


def test_weights_that_are_one_and_the_same_are_there_once() -> None:
    """As save_model of safetensors keeps them, and says so beside."""
    w = np.arange(12, dtype="<f4").reshape(2, 2, 3)
    header: dict[str, Any] = {
        "__metadata__": {"e.weight": "d.weight", "format": "pt"},
        "d.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }
    tensors, _ = read_state(file_of(header, w[0].tobytes()), LIMITS)
    check_same(tensors, {"d.weight": w[0], "e.weight": w[0]})
    # What is there by itself is that, whatever is said beside.
    header["e.weight"] = header["d.weight"] | {"data_offsets": [24, 48]}
    tensors, _ = read_state(file_of(header, w.tobytes()), LIMITS)
    check_same(tensors, {"d.weight": w[0], "e.weight": w[1]})


def test_a_tensor() -> None:
    expected = Tensor(Storage("f4", "0", 10), 0, (5,), (1,))
    assert said(tensor() + b".") == expected
    assert said(tensor(b"K\5") + b".") == expected._replace(offset=5)
    assert said(tensor(shape=b"K\0\x85", strides=b"J\xff\xff\xff\x7f\x85") + b".").shape == (0,)
    axes = b"(K\0J\0\0\0\x20J\0\0\0\x20t", b"(K\1K\1K\1t"  # NumPy counts these numbers too
    assert said(tensor(shape=axes[0], strides=axes[1]) + b".").shape == (0, 2**29, 2**29)
    assert said(WHOLE + b"tR.") == said(WHOLE + b"}tR.") == expected
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + tensor() + b"\x88N" + b"tR."
    assert said(parameter) == expected
    assert said(b"ctorch\nSize\n(K\2K\3t\x85R.") == (2, 3)


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        pytest.param(tensor(b"K\6"), "other arguments", id="beyond"),
        pytest.param(tensor(strides=b"K\3\x85"), "other arguments", id="strides beyond"),
        pytest.param(tensor(b"J\xff\xff\xff\xff"), "other arguments", id="negative offset"),
        pytest.param(tensor(strides=b"J\xff\xff\xff\xff\x85"), "other arguments", id="negative"),
        pytest.param(tensor(shape=b"K\x0b\x85", strides=b"K\0\x85"), "other", id="expanded"),
        pytest.param(tensor(shape=b"K\5K\1\x86"), "other arguments", id="ranks"),
        pytest.param(tensor(shape=b"\x88\x85"), "other arguments", id="true"),
        pytest.param(tensor(shape=b"](K\5e"), "other arguments", id="list"),
        pytest.param(tensor(strides=b"](K\1e"), "other arguments", id="list of strides"),
        pytest.param(tensor(b"N"), "other arguments", id="no offset"),
        pytest.param(
            NAMES[0] + b"(NK\0K\0\x85K\1\x85tR", "other arguments", id="no storage at all"),
        pytest.param(WHOLE + b"NNtR", "other arguments", id="eight arguments"),
        pytest.param(tensor(shape=b"(" + b"K\1" * 9 + b"t", strides=b"(" + b"K\1" * 9 + b"t"),
                     "other arguments", id="9 axes"),
        pytest.param(
            tensor(shape=b"(K\0" + b"J\xff\xff\xff\x7f" * 3 + b"t", strides=b"(K\1K\1K\1K\1t"),
            "other arguments", id="overflow"),
        pytest.param(
            tensor(shape=b"(K\0J\0\0\0\x40J\0\0\0\x20t", strides=b"(K\1K\1K\1t"),
            "other arguments", id="just too many"),
        pytest.param(NAMES[0] + b")R", "other arguments", id="nothing"),
        pytest.param(b"ccollections\nOrderedDict\n]\x85R", "other arguments", id="filled"),
        pytest.param(b"ctorch\nSize\n))\x86R", "other arguments", id="two sizes"),
        pytest.param(b"ctorch\nSize\n]\x85R", "other arguments", id="size of a list"),
        pytest.param(b"ctorch._utils\n_rebuild_parameter\n)R", "other", id="no parameter"),
        pytest.param(NAMES[0] + b"NR", "a call of what is no function", id="no tuple"),
        pytest.param(b"N)R", "a call of what is no function", id="no name"),
        pytest.param(NAMES[1] + b")R", "calls 'torch.FloatStorage'", id="storage called"),
        pytest.param(storage(count=b"J\xff\xff\xff\xff"), "no storage of a", id="negative count"),
        pytest.param(storage(count=b"N"), "no storage of a tensor", id="no count"),
        pytest.param(storage(kind=NAMES[0]), "no storage of a tensor", id="no type"),
        pytest.param(storage(kind=b"N"), "no storage of a tensor", id="none type"),
        pytest.param(b"NQ", "no storage of a tensor", id="none"),
        pytest.param(b"(" + text("module") + b"NNNtQ", "no storage of a tensor", id="module"),
        pytest.param(storage() + storage(count=b"K\x0b"), "two types or lengths", id="lengths"),
        pytest.param(b"cos\nsystem\n", "names 'os.system', which is no part", id="system"),
        pytest.param(b"ctorch\nload\n", "names 'torch.load'", id="load"),
        pytest.param(b"ccollections\nOrderedDict.x\n", "names", id="dotted"),
        pytest.param(b"c\n\n", "names '.', which is no part", id="empty names"),
        pytest.param(b"c" + b"x" * 300 + b"\n\n", "a name without end", id="long name"),
        pytest.param(b"c\xff\n\x00\n", "names '\\\\xff.\\x00'", id="bytes in a name"),
        *(pytest.param(data + b"\x93", "a name that is no text", id=f"name of none {i}")
          for i, data in enumerate((b"NN", TEXT + b"N", b"N" + TEXT, TEXT + b"K\1"))),
        pytest.param(b"h\0", "a value that was not put down", id="no memo"),
        pytest.param(b"q\0", "an opcode without its values", id="put nothing"),
        pytest.param(b"N(a", "an opcode without its values", id="beyond a mark"),
        pytest.param(b"t", "an opcode without its mark", id="no mark"),
        pytest.param(b"NNa", "no list where one is filled", id="append to none"),
        pytest.param(b"NNNs", "no dict where one is filled", id="item of none"),
        pytest.param(b"}(Nu", "a key without a value", id="odd items"),
        pytest.param(b"}Nb", "attributes that are no dict", id="state none"),
        pytest.param(b"]}b", "no dict where one is filled", id="state of a list"),
        pytest.param(b"NN.", "more than one value", id="two values"),
        pytest.param(b"(N.", "more than one value", id="open mark"),
        pytest.param(b"X\xff\xff\xff\xff", "is truncated", id="long text"),
        pytest.param(b"\x8d" + b"\xff" * 8, "is truncated", id="longest text"),
        pytest.param(b"X\1\0\0\0\xff", "no UTF-8", id="no text"),
        pytest.param(b"\x8b\xff\xff\xff\x7f", "is truncated", id="huge integer"),
        *(pytest.param(code + b"\xff" * 8, "is truncated", id=f"octets {code!r}")
          for code in (b"C", b"B", b"\x8e", b"\x96")),
        pytest.param(b"](N\x90", "no set where one is filled", id="items of a list"),
        pytest.param(b"N(N\x90", "no set where one is filled", id="items of none"),
        pytest.param(b"\x90", "an opcode without its mark", id="items without a mark"),
        pytest.param(b"\x91", "an opcode without its mark", id="frozenset without a mark"),
        pytest.param(b"\x8f(NNNu", "a key without a value", id="odd items beside"),
        pytest.param(b"N)\x81", "makes what is no part of plain tensors", id="made of none"),
        pytest.param(NAMES[1] + b")\x81", "makes what is no part", id="made of a storage"),
        pytest.param(b"cargparse\nNamespace\nN\x81", "makes what is no part", id="made of none"),
        pytest.param(b"cargparse\nNamespace\nNR", "a call of what is no function", id="no call"),
        pytest.param(
            NAMES[0] + b"(" + storage() + b"K\0cnumpy\nndarray\nK\1\x85\x89NtR",
            "other arguments of torch._utils._rebuild_tensor_v2", id="shape beside"),
        pytest.param(tensor(b"\x8a\x09" + bytes(9)), "other arguments", id="large offset"),
        pytest.param(storage(count=b"\x8a\x09" + bytes(9)), "no storage", id="large count"),
        pytest.param(storage(kind=b"ctorch\nfloat32\n"), "no storage", id="type beside"),
        pytest.param(WHOLE + b"\x8ftR", "other arguments", id="metadata beside"),
        pytest.param(b"\x95" + b"\xff" * 8, "is truncated", id="frame"),
        pytest.param(b"\x95\3" + bytes(7) + b"N.", "is truncated", id="frame beyond"),
        pytest.param(b"G" + bytes(7), "is truncated", id="short number"),
        pytest.param(b"\x80\x06", "a protocol that is not known", id="protocol"),
        pytest.param(b"N", "is truncated", id="no stop"),
        pytest.param(b"", "is truncated", id="nothing"),
    ],
)  # fmt: skip
def test_crafted(data: bytes, fragment: str) -> None:
    wrong(
        data + b"." if data and data[-1:] != b"." and "truncated" not in fragment else data,
        fragment,
    )


NUMBERS = [struct.pack("<I", 7**11 * i % 2**31) for i in range(50_000)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"}" * 10**5, id="dicts"),
        pytest.param(b"]" * 10**5, id="lists"),
        pytest.param(b"(" * 10**5, id="marks"),
        pytest.param(b"]" + b"q\0" * 10**5, id="one memo"),
        pytest.param(b"]" + b"".join(b"r" + n for n in NUMBERS), id="memo"),
        pytest.param(b"]" + b"\x94" * 10**5, id="memoize"),
        pytest.param(b")" + b"\x85" * 10**5, id="deep tuples"),
        pytest.param(b"]" + b"]a" * 10**5, id="wide list"),
        pytest.param(b"}(" + b"".join(b"J" + n + b"N" for n in NUMBERS) + b"u", id="items"),
        pytest.param(b"(" + b"K\0" * 10**5 + b"t", id="tuple"),
        pytest.param(b"M\0\2" * 10**5, id="integers"),
        pytest.param(b"\x8c\2ab" * 10**5, id="texts"),
        pytest.param(b"X\0\0\x10\0" + "é".encode() * 2**19, id="wide text"),
        pytest.param(b"X\4\0\x10\0" + "😀".encode() + b"a" * 2**20, id="widest text"),
        pytest.param(b"]q\0" + b"h\0" * 10**5, id="references"),
        pytest.param(tensor()[:-1] + b"q\0" + b"h\0R" * 10**5, id="calls"),
        pytest.param(b"\x8f" * 10**5, id="sets"),
        pytest.param(b"}" + b"NNs" * 10**5, id="keys"),
        pytest.param(b"cargparse\nNamespace\nq\0" + b"h\0)\x81" * 10**5, id="made"),
        pytest.param(b"\x8f" + b"(\x91" * 10**5, id="frozensets"),
        pytest.param(b"B\0\0\x10\0" + bytes(2**20) + b"C\1x" * 10**5, id="bytes"),
    ],
)  # fmt: skip
def test_memory_and_time(data: bytes) -> None:
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(ModelFormatError):
            said(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(data) + 2**23
    assert time.process_time() - start < 30


def several(one: bytes) -> bytes:
    return b"](" + one * 1000 + b"e."


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(several(b"}"), id="dicts"),
        pytest.param(several(b"]"), id="lists"),
        pytest.param(several(b"]K\0a"), id="lists of one"),
        pytest.param(several(b"](K\0K\0K\0K\0e"), id="lists of four"),
        pytest.param(several(b"](" + b"K\0" * 9 + b"e"), id="lists of nine"),
        pytest.param(several(b"}K\0K\0s"), id="dicts of one"),
        pytest.param(several(b"}" + text("a") + b"K\0s"), id="dicts of one by name"),
        pytest.param(
            several(b"}(" + b"".join(b"K" + bytes([i]) + b"K\0" for i in range(6)) + b"u"),
            id="dicts of six"),
        pytest.param(several(b"K\0\x85"), id="tuples of one"),
        pytest.param(several(b"K\0K\0K\0\x87"), id="tuples of three"),
        pytest.param(several(b"(" + b"K\0" * 50 + b"t"), id="tuples of fifty"),
        pytest.param(several(b"}NNs"), id="dicts of one by no name"),
        pytest.param(b"}(" + b"NN" * 3000 + b"u.", id="keys that are no names"),
        pytest.param(several(b"ccollections\ndefaultdict\n)R"), id="dicts with a default"),
        pytest.param(several(b"M\0\2"), id="integers"),
        pytest.param(several(b"J\0\0\0\x40"), id="larger integers"),
        pytest.param(several(b"\x8a\x08" + b"\x7f" * 8), id="largest integers"),
        pytest.param(several(b"G" + bytes(8)), id="floats"),
        pytest.param(several(b"\x8c\2ab"), id="texts"),
        pytest.param(several(text("x" * 70)), id="longer texts"),
        pytest.param(several(b"\x8c\x05a" + "😀".encode()), id="wide texts"),
        pytest.param(several(b"\x8c\x07a" + "中中".encode()), id="half wide texts"),
        pytest.param(several(tensor()), id="tensors"),
        pytest.param(several(storage()), id="one storage"),
        pytest.param(b"(" * 3000 + b"t" * 3000 + b".", id="marks"),
        pytest.param(b"]" + b"K\0a" * 9000 + b".", id="appended"),
        pytest.param(b"]" + b"\x94" * 9000 + b".", id="memo"),
        pytest.param(
            b"}" + b"".join(b"J" + n + b"K\0s" for n in NUMBERS[:3000]) + b".", id="items"),
        pytest.param(
            b"}(" + b"".join(b"J" + n + b"K\0" for n in NUMBERS[:3000]) + b"u.", id="at once"),
        pytest.param(
            b"](" + b"".join(storage(str(i)) for i in range(3000)) + b"e.", id="storages"),
    ],
)  # fmt: skip
def test_estimates_are_near_what_is_taken(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind of value: what lists take while they are filled is not counted."""
    monkeypatch.setattr("fastdrop.formats._safe_pickle._GROWTH", 0)
    tracemalloc.start()
    try:
        said(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    monkeypatch.setattr("fastdrop.formats._safe_pickle._FREE_BYTES", peak * 3 // 4)
    wrong(data, "too many values")
    monkeypatch.setattr("fastdrop.formats._safe_pickle._FREE_BYTES", 10 * peak)
    said(data)


def test_deep_values_are_let_go() -> None:
    deep = b"]" * 60_000 + b"a" * 59_999 + b"."
    value = said(deep)
    assert type(value) is list
    del value
    refused(rewritten(FILES["state.pt"], put("data.pkl", deep)), "found a list")
    cycle = b"]q\0h\0a."
    assert len(said(cycle)) == 1


@pytest.mark.parametrize(
    ("entries", "taken"),
    [
        pytest.param("a=t b=1", {"a"}, id="its own"),
        pytest.param("x={w=t}", {"w"}, id="one inside"),
        pytest.param("x={w=t,n=1} y={n=1} z=1", {"w"}, id="one inside with others"),
        pytest.param("rng=t model={w=t} ema={v=t}", {"w"}, id="model"),
        pytest.param("model={w=t} state_dict={v=t}", {"v"}, id="state_dict before model"),
        pytest.param("a=t x={w=t}", None, id="its own and inside"),
        pytest.param("x={w=t} y={v=t}", None, id="two inside"),
        pytest.param("x={w=t} y={v=t} z={u=t} q={s=t} a=t", None, id="many"),
        pytest.param("x={w=t} model_state_dict={v=t} y={u=t} a=t", {"v"}, id="model_state_dict"),
    ],
)
def test_which_tensors(entries: str, taken: set[str] | None) -> None:
    def value(said: str) -> bytes:
        if not said.startswith("{"):
            return tensor() if said == "t" else b"K\1"
        inner = (part.partition("=") for part in said[1:-1].split(","))
        return b"}(" + b"".join(text(n) + value(v) for n, _, v in inner) + b"u"

    items = (part.partition("=") for part in entries.split())
    pickled = b"}(" + b"".join(text(n) + value(v) for n, _, v in items) + b"u."
    data = rewritten(
        FILES["parameters.pt"],
        lambda m: m.update({"archive/data.pkl": pickled, "archive/data/0": bytes(40)}),
    )
    if taken is None:
        named = [item.partition("=")[0] for item in entries.split() if "={" in item][:3]
        own = ["among its own entries"] if "a=t" in entries else []
        places = ", ".join([*map(repr, named), *own])
        refused(data, f"expected one state_dict, found several in the checkpoint ({places})")
    else:
        assert read_state(data, LIMITS).tensors.keys() == taken


@pytest.mark.parametrize("inside", [False, True])
def test_arrays_beside_tensors_are_told(inside: bool) -> None:
    """For they may be meant as weights; other things are not."""
    array, counts = (pickle.dumps(v, 2)[2:-1] for v in (np.ones(2), collections.Counter("a")))
    own = b"}(" + text("w") + tensor() + text("mean") + array + text("counts") + counts + b"u"
    pickled = b"}(" + text("model") + own + text("std") + array + b"u." if inside else own + b"."
    data = rewritten(
        FILES["parameters.pt"],
        lambda m: m.update({"archive/data.pkl": pickled, "archive/data/0": bytes(40)}),
    )
    tensors, notes = read_state(data, LIMITS)
    assert [*tensors] == ["w"]
    assert notes == ["the weights are those under 'model' in the file"] * inside + [
        "arrays of NumPy are left out, for only tensors are read: 'mean'"
    ]


def test_one_thing_under_many_names() -> None:
    """It is looked at once, and counted as often as it would be used."""
    many = b"".join(text(f"t{i}") + tensor(shape=b"K\x0a\x85") for i in range(300))
    nested = b"}(" + b"".join(text(f"k{i}") + b"h\0" for i in range(3000)) + b"u."
    names = rewritten(FILES["parameters.pt"], put("data.pkl", b"}(" + many + b"u."))
    refused(names, "the limit is 40")
    refused(names, "max_tensor_bytes is 10000", Limits(max_tensor_bytes=10_000))
    aliases = b"}(" + text("a") + b"}q\0(" + many + b"u" + nested[2:]
    start = time.process_time()
    refused(rewritten(FILES["parameters.pt"], put("data.pkl", aliases)), "expected one state_dict")
    assert time.process_time() - start < 10


def test_many_tensors() -> None:
    """As many as the limit allows, in a file of little else."""
    count = 3_000
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        body = b"".join(
            text(str(i)) + NAMES[0] + b"(" + storage(str(i), b"K\1") + b"K\0))\x89NtR"
            for i in range(count)
        )
        archive.writestr("a/data.pkl", b"\x80\x02}(" + body + b"u.")
        for i in range(count):
            archive.writestr(f"a/data/{i}", bytes(4))
    data = stream.getvalue()
    tracemalloc.start()
    state = read_state(data, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(state.tensors) == count
    assert peak < 4 * len(data) + 2**23

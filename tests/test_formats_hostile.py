"""What is refused: with `ModelFormatError`, a message that names the part, and no other effect."""

import dataclasses
import errno
import inspect
import io
import json
import os
import pickle
import random
import re
import socket
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the files under test are written with h5py")

import h5py

from fastdrop import _files, _npy
from fastdrop.formats import ModelFormatError, load
from fastdrop.formats._errors import printable, show
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_file import read_file
from fastdrop.formats._safe_json import parse_object
from fastdrop.formats._safe_zip import read_members
from keras_files import KerasFile, functional, input_layer, layer, numbers, sample, small, tensor
from test_formats import expected_sample, fields, same, with_recorded_mask

Edit = Callable[[KerasFile], object]

# What happens outside the interpreter, or runs code, is announced by these events.
WATCHED = (
    "open",
    "import",
    "exec",
    "compile",
    "os.",
    "shutil.",
    "subprocess.",
    "socket.",
    "pickle.",
    "marshal.",
    "ctypes.",
)
_events: list[tuple[str, object]] = []
_recording = False


def _hook(event: str, args: tuple[object, ...]) -> None:
    if _recording and event.startswith(WATCHED):
        _events.append((event, args[0] if args else None))


sys.addaudithook(_hook)


class Watch:
    """Record events inside a with block."""

    def __enter__(self) -> list[tuple[str, object]]:
        global _recording
        _events.clear()
        _recording = True
        return _events

    def __exit__(self, *_: object) -> None:
        global _recording
        _recording = False


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # What is imported on first use is imported now.
    warm = sample().write(tmp_path / "warm.keras")
    load(warm)
    warm.write_bytes(b"x")
    with pytest.raises(ModelFormatError):
        load(warm)
    warm.unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.keras"


def refused(path: Path, fragment: str, **options: Any) -> None:
    """Check that a file is refused in one line, and that it was the only thing touched."""
    modules = set(sys.modules)
    files = {p: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    with Watch() as events, pytest.raises(ModelFormatError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert fragment in message
    assert message == f"{path.name}: {caught.value.__cause__}"
    assert "\n" not in message
    assert message.isascii()
    assert len(message) < 500
    opened = [what for event, what in events if event == "open" and not isinstance(what, int)]
    assert opened in ([path], [os.fspath(path)], [])
    assert {event for event, _ in events} <= {"open"}
    assert set(sys.modules) == modules
    assert {p: p.stat().st_mtime_ns for p in path.parent.iterdir()} == files


def test_the_watch_sees(tmp_path: Path) -> None:
    """The proof above would notice a file opened, a module imported or code run."""
    with Watch() as events:
        (tmp_path / "a").write_text("x")
        eval("1 + 1")
        os.mkdir(tmp_path / "b")
    assert {"open", "exec", "compile", "os.mkdir"} <= {event for event, _ in events}


def table(*cases: tuple[str, Any, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("edit", "fragment"),
        [pytest.param(edit, fragment, id=name) for name, edit, fragment in cases],
    )


def option(name: str, /, **values: Any) -> Edit:
    return lambda f: f.layer(name)["config"].update(values)


def without(name: str, key: str) -> Edit:
    return lambda f: f.layer(name)["config"].pop(key)


def without_module(file: KerasFile) -> None:
    del file.layer("drop")["module"]


def entry(name: str, /, **values: Any) -> Edit:
    return lambda f: f.layer(name).update(values)


def append(item: dict[str, Any]) -> Edit:
    return lambda f: f.layers.append(item)


def policy(name: str) -> dict[str, Any]:
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}}


@table(
    ("custom class", entry("drop", class_name="MyDropout"), "the class is not supported"),
    ("class of keras", entry("drop", class_name="Hashing"), "(Hashing): the class is not"),
    ("nested model", entry("drop", class_name="Sequential"), "unsupported option 'rate'"),
    ("NotEqual outside", entry("drop", class_name="NotEqual"), "the class is not supported"),
    ("registered", entry("drop", registered_name="mine>Dropout"), "class 'mine>Dropout' is not"),
    ("module", entry("drop", module="mine.layers"), "(module 'mine.layers')"),
    ("module prefix", entry("drop", module="kerasx"), "(module 'kerasx')"),
    ("no module", entry("drop", module=None), "class 'Dropout' is not a part of Keras"),
    ("module left out", without_module, "class 'Dropout' is not a part of Keras"),
    ("layer key", entry("drop", extra=1), "unsupported option 'extra': 1"),
    ("other name", entry("drop", name="else"), "name: expected 'drop' as in its config"),
    ("no name", without("drop", "name"), "name: expected a string, found nothing"),
    ("option", option("drop", extra=[1]), "'drop' (Dropout): unsupported option 'extra': [1]"),
    ("return_state", option("first", return_state=True), "it puts out 3 tensors"),
    ("stateful", option("first", stateful=1), "stateful: expected true or false"),
    ("time_major", option("first", time_major=True), "time_major: expected False, found True"),
    ("adapter", option("out", adapter_rank=4), "unsupported option 'adapter_rank'"),
    ("quantized", option("out", quantization_config={"a": 1}), "'quantization_config'"),
    ("ragged", option("tokens", ragged=True), "unsupported option 'ragged'"),
    ("bfloat16", option("first", dtype="bfloat16"), "float64, found 'bfloat16'"),
    ("policy", option("first", dtype=policy("float8")), "a quantized layer ('float8')"),
    ("quantized policy", option("out", dtype="int8_from_float32"), "found 'int8_from_float32'"),
    ("input of text", option("tokens", dtype="string"), "an input of type 'string'"),
    ("glu", option("out", activation="glu"), "activation: 'glu' is not supported, expected"),
    ("softmin gate", option("first", recurrent_activation="softmin"), "recurrent_activation"),
    ("rate 1 in LSTM", option("first", dropout=1.0), "dropout: expected a rate in [0, 1), found"),
    ("rate near 1", option("first", dropout=0.9999999999999), "dropout"),
    ("rate -1", option("first", recurrent_dropout=-0.5), "recurrent_dropout: expected a rate"),
    ("rate 2", option("drop", rate=2), "rate: expected a rate in [0, 1], found 2"),
    ("rate true", option("drop", rate=True), "rate: expected a rate in [0, 1], found True"),
    ("rate text", option("drop", rate="0.5"), "rate: expected a rate"),
    ("noise rank", option("drop", noise_shape=[None, 1]), "to which (1,) broadcasts"),
    ("noise length", option("drop", noise_shape=[None, 1, 2]), "to which (1, 2) broadcasts"),
    ("noise batch", option("drop", noise_shape=[5, 1, 3]), "noise_shape: expected"),
    ("units 0", option("first", units=0), "units: expected a positive integer, found 0"),
    ("units true", option("first", units=True), "units: expected a positive integer"),
    ("units 2.0", option("first", units=2.0), "units: expected a positive integer"),
    ("units huge", option("first", units=2**40), "units: expected a positive integer"),
    ("bias", option("first", use_bias=1), "use_bias: expected true or false, found 1"),
    ("implementation", option("first", implementation=3), "implementation: expected 0, 1 or 2"),
    ("LSTM in 2-D", option("first", return_sequences=False), "an input of shape (time, 4)"),
    ("rank", option("tokens", batch_shape=[None] * 9), "expected an input of 1 to 8 axes"),
    ("no axes", option("tokens", batch_shape=[None]), "to which (1, 3) broadcasts, got (3,)"),
    ("negative", option("tokens", batch_shape=[None, -1]), "a list of positive integers"),
    ("build shape", entry("first", build_config={"input_shape": [None, 6, 9]}), "built for"),
    ("second input", append(input_layer([6]) | {"name": "tokens"}), "same name"),
    ("late input", append(layer("InputLayer", name="b", batch_shape=[None, 5])), "at this place"),
    ("late embedding", append(layer("Embedding", input_dim=2, output_dim=2)), "missing"),
    ("layer is a list", append([]), "layer 7: expected an object, found []"),
    ("no layers", lambda f: f.layers.clear(), "the model has no layers"),
    ("only input", lambda f: f.layers.__delitem__(slice(1, None)), "the model has no layers"),
    ("layers", lambda f: f.config["config"].update(layers={}), "layers: expected a list"),
    ("subclass", lambda f: f.config.update(class_name="MyModel"), "model of class 'MyModel'"),
    ("model module", lambda f: f.config.update(module="mine"), "(module 'mine')"),
    ("model key", lambda f: f.config.update(safe_mode=True), "unsupported option 'safe_mode'"),
    ("model option", lambda f: f.config["config"].update(x=1), "unsupported option 'x'"),
    ("keras 4", lambda f: f.metadata.update(keras_version="4.0.0"), "keras_version: expected"),
    ("keras 2.11", lambda f: f.metadata.update(keras_version="2.11.0"), "keras_version: expected"),
    ("no version", lambda f: f.metadata.clear(), "keras_version: expected a string"),
    ("not built", lambda f: (f.layers.pop(0), f.config.pop("build_config")), "build the model"),
)
def test_configuration(path: Path, edit: Edit, fragment: str) -> None:
    file = sample()
    edit(file)
    refused(file.write(path), fragment)


def node(name: str, /, **values: Any) -> Edit:
    return lambda f: f.layer(name)["inbound_nodes"][0].update(values)


def call(name: str, /, **values: Any) -> Edit:
    return lambda f: f.layer(name)["inbound_nodes"][0]["kwargs"].update(values)


@table(
    ("bad call", lambda f: f.layer("drop")["inbound_nodes"].append({}), "args: expected a list"),
    ("not called", entry("drop", inbound_nodes=[]), "there is no such call"),
    ("two inputs", node("drop", args=[tensor("words")] * 2), "expected one input, found 2"),
    ("constant", node("drop", args=[1]), "expected one input, found 0"),
    ("list of inputs", node("drop", args=[[tensor("words")]]), "expected one input"),
    ("unfit branch", node("second", args=[tensor("drop")]), "expected shape (3, 8), found"),
    ("cycle", node("drop", args=[tensor("first")]), "it waits for what it makes itself"),
    ("cut", node("drop", args=[tensor("nowhere")]), "there is no such layer"),
    (
        "input",
        lambda f: f.config["config"].update(input_layers=["words", 0, 0]),
        "'words' is not an input layer",
    ),
    (
        "second node",
        lambda f: f.config["config"].update(output_layers=[["soft", 0, 0], ["soft", 1, 0]]),
        "there is no such call",
    ),
    ("initial_state", call("first", initial_state=[1]), "initial_state: expected tensors"),
    ("training", call("first", training="yes"), "training: expected true or false"),
    ("own mask", call("first", mask=tensor("drop")), "a mask of shape (6, 3) for an"),
    ("mask value", call("first", mask=[True]), "unsupported argument 'mask' of its call"),
    (
        "object in a call",
        node("drop", args=[{"module": "os", "class_name": "system", "config": "true"}]),
        "expected one input, found 0",
    ),
)
def test_functional(path: Path, edit: Edit, fragment: str) -> None:
    file = functional(sample())
    edit(file)
    refused(file.write(path), fragment)


@table(
    (
        "other shape",
        lambda f: f.layer("not_equal")["inbound_nodes"][0].update(args=[tensor("words"), 0]),
        "a mask of shape (6, 3) for an input of (6, 3)",
    ),
    (
        "no number",
        lambda f: f.layer("not_equal")["inbound_nodes"][0].update(args=[tensor("tokens"), "x"]),
        "x2: expected a tensor or numbers, found 'x'",
    ),
)
def test_recorded_masks(path: Path, edit: Edit, fragment: str) -> None:
    file = with_recorded_mask()
    edit(file)
    refused(file.write(path), fragment)


# Published holes of Keras: what each file would have made Keras do.
@table(
    (
        "CVE-2024-3660 Lambda",
        append(layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEA"}})),
        "layer 'lambda' (Lambda): a Python function in the file, which is never run",
    ),
    (
        "CVE-2025-1550 module and function",
        append(
            layer("Dense")
            | {"module": "os", "class_name": "system", "config": {"name": "x", "command": "true"}}
        ),
        "(module 'os')",
    ),
    (
        "CVE-2025-1550 nested",
        option(
            "out",
            kernel_initializer={
                "module": "antigravity",
                "class_name": "function",
                "config": "fly",
                "registered_name": "function",
            },
        ),
        "(module 'antigravity')",
    ),
    (
        "CVE-2025-8747 keras.utils function",
        append(
            layer("Dense")
            | {
                "module": "keras.utils",
                "class_name": "get_file",
                "config": {"name": "x", "origin": "http://127.0.0.1:1/x", "cache_dir": "."},
            }
        ),
        "(get_file): the class is not supported",
    ),
    (
        "CVE-2025-8747 as an activation",
        option(
            "out",
            activation={
                "module": "keras.utils",
                "class_name": "function",
                "config": "get_file",
                "registered_name": "function",
            },
        ),
        "activation: expected the name of a built-in activation",
    ),
    (
        "CVE-2025-9906 unsafe deserialization",
        append(
            layer("Dense")
            | {
                "module": "keras.config",
                "class_name": "enable_unsafe_deserialization",
                "config": {"name": "x"},
            }
        ),
        "(enable_unsafe_deserialization): the class is not supported",
    ),
)
def test_known_holes(path: Path, edit: Edit, fragment: str) -> None:
    file = sample()
    edit(file)
    refused(file.write(path), fragment)


def test_cve_2025_9905_lambda_in_h5(path: Path) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda"})
    for name in ("model.h5", "model.keras"):
        target = path.with_name(name)
        target.write_bytes(content.getvalue())
        refused(target, "a configuration without weights")


def test_cve_2026_0897_huge_shape(path: Path) -> None:
    """Declared, not stored: nothing may be allocated for it."""

    def huge(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (2, 2**26), "f4")

    file = small()
    file.edit_h5 = huge
    tracemalloc.start()
    refused(file.write(path), "expected shape (2, 2), found (2, 67108864)")
    option("dense", units=2**26)(file)  # 512 MiB: within the limits, but not in the file
    refused(file.write(path), "beyond the end of the file")
    option("dense", units=2**30)(file)
    refused(file.write(path), "max_tensor_bytes is 1073741824")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def replace(make: Callable[[Any], object], name: str = "layers/dense/vars/0") -> Edit:
    """Replace an object of the HDF5 file."""

    def edit(file: KerasFile) -> None:
        def inner(h5: Any) -> None:
            group, _, last = name.rpartition("/")
            if name in h5:
                del h5[name]
            make((h5.require_group(group) if group else h5, last))

        file.edit_h5 = inner

    return edit


SECRET = b"\0" * 16  # what a foreign file would give the weights


def outside() -> str:
    Path("secret").write_bytes(SECRET)
    return "secret"


def foreign() -> str:
    with h5py.File("foreign.h5", "w") as file:
        file["x"] = np.zeros((2, 2), "f4")
    return "foreign.h5"


def virtual(at: Any) -> None:
    layout = h5py.VirtualLayout((2, 2), "f4")
    layout[:] = h5py.VirtualSource(foreign(), "x", (2, 2))
    at[0].create_virtual_dataset(at[1], layout)


def data(**options: Any) -> Callable[[Any], object]:
    content: dict[str, Any] = {"data": numbers(2, 2)} if "shape" not in options else {}
    return lambda at: at[0].create_dataset(at[1], **content, **options)


def value(array: Any) -> Callable[[Any], object]:
    return lambda at: at[0].__setitem__(at[1], array)


def hard_link(to: str) -> Callable[[Any], object]:
    return lambda at: at[0].__setitem__(at[1], at[0].file[to])


@table(
    (
        "CVE-2026-1669 external storage",
        replace(
            lambda at: at[0].create_dataset(
                at[1], (2, 2), "f4", external=[(outside(), 0, len(SECRET))]
            )
        ),
        "found external storage",
    ),
    (
        "CVE-2026-1669 external link",
        replace(lambda at: at[0].__setitem__(at[1], h5py.ExternalLink(foreign(), "x"))),
        "found links of a newer form",
    ),
    (
        "CVE-2026-1669 virtual",
        replace(virtual),
        "expected contiguous storage, found compact, chunked or virtual",
    ),
    (
        "soft link",
        replace(lambda at: at[0].__setitem__(at[1], h5py.SoftLink("/layers/dense"))),
        "'0' is a soft or external link",
    ),
    (
        "soft link to a group",
        replace(lambda at: at[0].__setitem__(at[1], h5py.SoftLink("/vars")), "optimizer"),
        "'optimizer' is a soft or external link",
    ),
    ("cycle", replace(hard_link("/layers"), "layers/dense/seed_generator"), "links, expected 1"),
    ("object twice", replace(hard_link("/vars"), "layers/dense/vars/0"), "links, expected 1"),
    ("missing", replace(lambda at: None), "/layers/dense/vars: 0 is missing"),
    ("missing group", replace(lambda at: None, "layers"), "/: layers is missing"),
    ("extra weight", replace(data(), "layers/dense/vars/1"), "/layers/dense/vars: unexpected '1'"),
    ("extra layer", replace(data(), "layers/dense_1/vars/0"), "unexpected 'dense_1'"),
    ("extra root", replace(data(), "more"), "unexpected 'more'"),
    ("name with newline", replace(data(), "mo\nre"), "unexpected 'mo\\nre'"),
    (
        "group for array",
        replace(lambda at: at[0].create_group(at[1])),
        "found a group, expected a dataset",
    ),
    ("array for group", replace(data(), "layers/dense/vars"), "found a dataset, expected a group"),
    ("transposed", replace(value(numbers(1, 4))), "expected shape (2, 2), found (1, 4)"),
    ("flat", replace(value(numbers(4))), "expected shape (2, 2), found (4,)"),
    ("scalar", replace(value(np.float32(1))), "expected shape (2, 2), found ()"),
    ("empty", replace(value(h5py.Empty("f4"))), "dataspace"),
    ("int32", replace(value(np.ones((2, 2), "i4"))), "expected float32"),
    ("complex", replace(value(np.ones((2, 2), "c8"))), "expected float32, found something else"),
    ("bytes", replace(value(np.full((2, 2), b"abcd"))), "expected"),
    ("strings", replace(data(shape=(2, 2), dtype=h5py.string_dtype())), "expected float32"),
    ("references", replace(data(shape=(2, 2), dtype=h5py.ref_dtype)), "expected"),
    ("ragged", replace(data(shape=(2, 2), dtype=h5py.vlen_dtype("f4"))), "expected float32"),
    (
        "named type",
        replace(
            lambda at: (
                at[0].file["layers/dense"].__setitem__("seed_generator", np.dtype("f4")),
                at[0].create_dataset(at[1], (2, 2), at[0].file["layers/dense/seed_generator"]),
            )
        ),
        "a shared message",
    ),
    ("chunked", replace(data(chunks=(1, 2))), "chunked"),
    ("gzip", replace(data(compression="gzip")), "found a filter"),
    ("lzf", replace(data(compression="lzf")), "found a filter"),
    ("checksum", replace(data(fletcher32=True)), "found a filter"),
    ("chunks without data", replace(data(shape=(2, 2), dtype="f4", chunks=(1, 2))), "chunked"),
    ("no data", replace(data(shape=(2, 2), dtype="f4")), "beyond the end of the file"),
    ("NaN", replace(value(np.full((2, 2), np.nan, "f4"))), "/layers/dense/vars/0 holds NaN"),
    ("infinity", replace(value(np.full((2, 2), -np.inf, "f4"))), "holds NaN or infinities"),
    (
        "other layer's name",
        lambda f: f.names.update({"layers/dense/vars": "other"}),
        "is of layer 'other', expected 'dense'",
    ),
    (
        "name is a number",
        replace(lambda at: at[0].attrs.__setitem__("name", 3), "layers/dense/vars/1"),
        "the attribute name is not a string",
    ),
)
def test_hdf5(path: Path, edit: Edit, fragment: str) -> None:
    file = small()
    edit(file)
    refused(file.write(path), fragment)


@pytest.mark.parametrize(("dtype", "said"), [("f2", "taken as"), ("f8", "rounded to")])
def test_weights_of_other_types_are_float32(path: Path, dtype: str, said: str) -> None:
    file = small()
    for name, array in file.weights.items():
        file.weights[name] = array.astype(dtype)
    model = load(file.write(path))
    expected = next(iter(small().weights.values()))
    assert np.array_equal(model.layers[0].kernel, expected)
    assert model.layers[0].kernel.dtype == np.float32
    assert f"{said} float32" in " ".join(model.notes)


def test_newer_hdf5(path: Path) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:
        file["layers/dense/vars/0"] = numbers(2, 2)
    broken = small()
    broken.members["model.weights.h5"] = content.getvalue()
    refused(broken.write(path), "not HDF5 of the form that Keras writes")


def damaged(signature: bytes, offset: int, form: str, *values: object) -> bytes:
    """Change bytes after the first occurrence of a signature."""
    content = bytearray(small().h5())
    struct.pack_into(form, content, content.index(signature) + offset, *values)
    return bytes(content)


ROOT = 96  # where h5py puts the root group: count of messages at 2, the first message at 16
TREE = small().h5().index(b"TREE")


def endless_header() -> bytes:
    """Let the root's only message continue the header at that message, again and again."""
    content = bytearray(small().h5())
    struct.pack_into("<H", content, ROOT + 2, 65535)
    struct.pack_into("<HHB3xQQ", content, ROOT + 16, 0x10, 16, 0, ROOT + 16, 24)
    return bytes(content)


@table(
    # The HDF5 library (1.14) loops for ever on an object with the index and size 0.
    ("heap loop", damaged(b"GCOL", 16, "<HHIQ", 0, 0, 0, 0), "not in the global heap"),
    ("heap size", damaged(b"GCOL", 24, "<Q", 2**64 - 8), "its global heap is malformed"),
    ("heap beyond", damaged(b"GCOL", 8, "<Q", 2**63), "beyond the end"),
    ("heap", damaged(b"GCOL", 0, "4s", b"XXXX"), "its global heap is malformed"),
    ("tree loop", damaged(b"TREE", 5, "<BH16x2Q", 1, 1, 0, TREE), "the levels of its tree"),
    ("tree too high", damaged(b"TREE", 5, "<B", 9), "the levels of its tree"),
    ("tree", damaged(b"TREE", 4, "<B", 1), "its tree is malformed"),
    ("many leaves", damaged(b"TREE", 6, "<H", 65535), "beyond the end"),
    ("leaf", damaged(b"SNOD", 4, "<B", 2), "its symbol table is malformed"),
    ("empty leaf", damaged(b"SNOD", 6, "<H", 0), "its symbol table is malformed"),
    ("large leaf", damaged(b"SNOD", 6, "<H", 65535), "beyond the end"),
    ("name beyond", damaged(b"SNOD", 8, "<Q", 2**64 - 1), "a name is malformed"),
    ("local heap", damaged(b"HEAP", 4, "<B", 1), "its local heap is malformed"),
    ("local heap beyond", damaged(b"HEAP", 8, "<Q", 2**40), "beyond the end"),
    ("endless header", endless_header(), "its object header is malformed"),
    ("header beyond", damaged(b"\x89HDF", 64, "<Q", 2**64 - 1), "beyond the end"),
)
def test_hdf5_structures(path: Path, edit: bytes, fragment: str) -> None:
    file = small()
    file.members["model.weights.h5"] = edit
    refused(file.write(path), fragment)


@table(
    ("empty", b"", "beyond the end"),
    ("not HDF5", b"x" * 200, "is not HDF5"),
    ("user block", bytes(512) + small().h5(), "is not HDF5"),
    ("more at the end", small().h5() + b"\0", "declares"),
    ("cut", small().h5()[:-1], "declares"),
)
def test_hdf5_bytes(path: Path, edit: bytes, fragment: str) -> None:
    file = small()
    file.members["model.weights.h5"] = edit
    refused(file.write(path), fragment)


@table(
    ("not JSON", b"{", "config.json is malformed"),
    ("empty", b"", "config.json is malformed"),
    ("trailing", b"{} {}", "config.json is malformed"),
    ("array", b"[]", "config.json: expected an object, found []"),
    ("duplicate key", b'{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' occurs twice"),
    ("NaN", b'{"a": NaN}', "config.json holds NaN"),
    ("infinity", b'{"a": -Infinity}', "config.json holds -Infinity"),
    ("overflow", b'{"a": 1e999}', "config.json holds '1e999'"),
    ("huge integer", b'{"a": ' + b"9" * 5000 + b"}", "an integer of 5000 digits"),
    ("deep", b'{"a":' * 65 + b"1" + b"}" * 65, "nests deeper than 64"),
    ("very deep", b"[" * 100_000, "nests deeper than 64"),
    ("deep lists", b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "nests deeper than 64"),
    ("closed too often", b'{"a": 1}]}]}', "config.json is malformed"),
    ("open string", b'{"' + b'\\"' * 500_000, "config.json is malformed"),
    ("latin-1", '{"a": "é"}'.encode("latin-1"), "config.json is malformed"),
    ("UTF-16", '{"a": 1}'.encode("utf-16"), "config.json is malformed"),
    ("byte order mark", b'\xef\xbb\xbf{"a": 1}', "config.json is malformed"),
    ("too large", b"{" + b" " * 2**23 + b"}", "the limit is 8388608"),
    ("strange name", b'{"class_name": "a\\u0000\\ud800\\n"}', "'a\\x00\\ud800\\n'"),
)
def test_json(path: Path, edit: bytes, fragment: str) -> None:
    file = small()
    file.members["config.json"] = edit
    refused(file.write(path), fragment)


@pytest.mark.parametrize("text", [b"[]", b"1", b'"a"', b"null", b"true"])
def test_a_document_is_an_object(text: bytes) -> None:
    with pytest.raises(ModelFormatError, match=r"^the text: expected an object, found "):
        parse_object(text, "the text")


def test_64_levels_of_json() -> None:
    for opening, closing in ((b'{"a":', b"}"), (b"[", b"]")):
        inside = opening * 63 + b"1" + closing * 63
        parse_object(b'{"a":' + inside + b"}", "the text")


# What takes most memory for its bytes, each in a way of its own.
@table(
    ("lists", b"[],", "too many values"),
    ("lists of one", b"[1],", "too many values"),
    ("nested lists", b"[[[[[[1]]]]]],", "too many values"),
    ("objects", b"{},", "too many values"),
    ("objects of one", b'{"a":1},', "too many values"),
    ("objects of six", b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1},', "too many values"),
    ("digits", b"0,", "too many values"),
    ("integers", b"999,", "too many values"),
    ("numbers", b"0.1,", "too many values"),
    ("words", b'"ab",', "too many values"),
    ("characters", b'"\\u20ac",', "too many values"),
)
def test_the_memory_of_json(monkeypatch: pytest.MonkeyPatch, edit: bytes, fragment: str) -> None:
    """Refused before it is built; and no estimate is below what is really taken."""
    text = b'{"a":[' + edit * (2**16 // len(edit)) + b"1]}"
    tracemalloc.start()
    parse_object(text, "the text")
    peak = tracemalloc.get_traced_memory()[1]
    monkeypatch.setattr("fastdrop.formats._safe_json._MAX_GROWTH", 0)
    for room in (peak - 2**14, 2**18):
        monkeypatch.setattr("fastdrop.formats._safe_json._FREE_BYTES", room)
        tracemalloc.reset_peak()
        with pytest.raises(ModelFormatError, match=fragment):
            parse_object(text, "the text")
    assert tracemalloc.get_traced_memory()[1] < 2**16
    tracemalloc.stop()


def test_the_room_of_json() -> None:
    """Three times the bytes of a large text, 8 MiB of a small one."""
    small = b'{"a":[' + b"[]," * (2**23 // 80) + b"1]}"
    parse_object(small, "the text")
    for text in (small.replace(b"]}", b"," + b"[]," * 8000 + b"1]}"), b" " * 2**21 + small):
        with pytest.raises(ModelFormatError, match="too many values"):
            parse_object(text, "the text")
    parse_object(b" " * 2**23 + small, "the text")


@table(
    ("keys", b",".join(b'"%x":1' % i for i in range(400_000)), "too many values"),
    ("long keys", b",".join(b'"key %x":""' % i for i in range(300_000)), "too many values"),
    ("wide key", b'"' + b"a" * 2**23 + b'\\ud83d\\ude00":1', "too many values"),
    ("wide string", b'"a":"' + b"a" * 2**23 + b'\\ud83d\\ude00"', "too many values"),
    ("wide text", b'"a":"' + b"a" * 2**23 + "\U0001f600".encode() + b'"', "too many values"),
    ("half wide text", b'"a":"' + b"a" * 2**23 + "中".encode() + b'"', "too many values"),
)
def test_the_memory_of_keys_and_strings(edit: bytes, fragment: str) -> None:
    text = b"{" + edit + b"}"
    tracemalloc.start()
    with pytest.raises(ModelFormatError, match=fragment):
        parse_object(text, "the text")
    assert tracemalloc.get_traced_memory()[1] < 3 * len(text) + 2**23
    tracemalloc.stop()


def test_how_much_json_may_hold() -> None:
    """A plain string of any length, and configurations of far more layers than are allowed."""
    parse_object(b'{"a":"' + b"a" * 2**24 + b'"}', "the text")
    parse_object(b'{"a":"' + "é".encode() * 2**20 + b'"}', "the text")
    # Twice as many bytes as characters, and four times: of the text, and of a string in it.
    for letter, size in (("中", 2**21), ("\U0001f600", 2**20)):
        for room, good in ((-1000, True), (1000, False)):
            text = b'{"a":"' + letter.encode() + b"a" * (size + room) + b'"}'
            if good:
                parse_object(text, "the text")
            else:
                with pytest.raises(ModelFormatError, match="too many values"):
                    parse_object(text, "the text")
    config = sample().config
    config["config"]["layers"] *= 300
    assert len(parse_object(json.dumps(config).encode(), "the text")["config"]["layers"]) == 2100


def test_brackets_in_strings_do_not_nest(path: Path) -> None:
    file = small()
    file.layers[1]["config"]["seed"] = "[{" * 100 + '\\"'
    load(file.write(path))


def archive(*extra: tuple[Any, bytes], base: bool = True, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", **options) as target:
        warnings.simplefilter("ignore")  # zipfile warns of duplicate names
        for name, content in (*(small().parts().items() if base else ()), *extra):
            target.writestr(name, content)
    return buffer.getvalue()


def info(name: str, mode: int = 0o100600) -> zipfile.ZipInfo:
    item = zipfile.ZipInfo(name)
    item.external_attr = mode << 16
    return item


def patched(content: bytes, name: bytes, fields: dict[tuple[int, int], tuple[str, int]]) -> bytes:
    """Change numbers in the two headers of a member: (in the local, in the central) -> value."""
    result = bytearray(content)
    for signature, size, which in ((b"PK\x03\x04", 30, 0), (b"PK\x01\x02", 46, 1)):
        start = content.find(signature)
        while content[start + size : start + size + len(name)] != name:
            start = content.index(signature, start + 1)
        for offsets, (form, number) in fields.items():
            if offsets[which] >= 0:
                struct.pack_into(form, result, start + offsets[which], number)
    return bytes(result)


def hidden_bytes() -> bytes:
    """Deflate more than a member declares, with the checksum of the declared part."""
    content = b'{"keras_version": "3.15.1"}'
    whole = archive(compression=zipfile.ZIP_DEFLATED)
    metadata = small().parts()["metadata.json"]
    assert len(content) <= len(metadata)
    shorter = metadata[:-1]
    return patched(
        whole,
        b"metadata.json",
        {(14, 16): ("<I", zipfile.crc32(shorter)), (22, 24): ("<I", len(shorter))},
    )


def huge_deflated() -> bytes:
    parts = small().parts()
    parts["model.weights.h5"] = bytes(17 * 2**20)
    return archive(*parts.items(), base=False, compression=zipfile.ZIP_DEFLATED)


def hidden_in_the_stream() -> bytes:
    """Let the compressed bytes of a member go on behind the end of its stream."""
    parts = small().parts()
    whole = archive(
        ("config.json", parts.pop("config.json")),
        *parts.items(),
        base=False,
        compression=zipfile.ZIP_DEFLATED,
    )
    entries = zipfile.ZipFile(io.BytesIO(whole))
    first = entries.getinfo("config.json")
    end = 30 + len(first.filename) + first.compress_size
    longer = bytearray(whole[:end] + b"hidden" + whole[end:])
    struct.pack_into("<I", longer, 18, first.compress_size + 6)
    directory = longer.index(b"PK\x01\x02")
    struct.pack_into("<I", longer, directory + 20, first.compress_size + 6)
    at, count = directory, 0
    while longer[at : at + 4] == b"PK\x01\x02":
        sizes = struct.unpack_from("<3H", longer, at + 28)
        offset = struct.unpack_from("<I", longer, at + 42)[0]
        struct.pack_into("<I", longer, at + 42, offset + 6 * (count > 0))
        at, count = at + 46 + sum(sizes), count + 1
    struct.pack_into("<I", longer, at + 16, directory)
    return bytes(longer)


def without_an_end() -> bytes:
    """Deflate a member as if there were more of it to come."""
    parts = small().parts()
    whole = parts["config.json"]
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stored = deflate.compress(whole) + deflate.flush(zlib.Z_SYNC_FLUSH)
    content = archive(*(parts | {"config.json": stored}).items(), base=False)
    sizes = {(22, 24): ("<I", len(whole)), (14, 16): ("<I", zipfile.crc32(whole))}
    return patched(content, b"config.json", {(8, 10): ("<H", zipfile.ZIP_DEFLATED)} | sizes)


def one_inside_the_other() -> bytes:
    """Let a stored member hold another one, header and all."""
    parts = small().parts()
    inner = archive(("metadata.json", parts["metadata.json"]), base=False)
    inner = inner[: inner.index(b"PK\x01\x02")]
    whole = archive(
        ("metadata.json", parts["metadata.json"]),
        ("config.json", parts["config.json"]),
        ("model.weights.h5", inner),
        base=False,
    )
    return patched(whole, b"metadata.json", {(-1, 42): ("<I", whole.rindex(inner))})


CONFIG = b"config.json"


@table(
    ("empty", b"", "an empty file"),
    ("text", b"hello", "neither a .keras nor an .h5 file"),
    ("only the magic", b"PK\x03\x04", "the zip archive is malformed"),
    ("prefix", b"x" + archive(), "neither a .keras nor an .h5 file"),
    ("parent", archive(("../evil", b"")), "'../evil' has an unsafe name"),
    ("inner parent", archive(("a/../../evil", b"")), "has an unsafe name"),
    ("absolute", archive(("/evil", b"")), "'/evil' has an unsafe name"),
    ("drive", archive(("C:evil", b"")), "'C:evil' has an unsafe name"),
    ("backslash", archive(("..\\evil", b"")), "has an unsafe name"),
    ("duplicate", archive(("config.json", b"{}")), "'config.json' occurs twice"),
    ("symlink", archive((info("link", 0o120777), b"/etc/passwd")), "is not a regular file"),
    ("directory", archive((info("assets", 0o040755), b"")), "is not a regular file"),
    ("unexpected", archive(("more/x", b"")), "unexpected zip member 'more/x'"),
    ("words", archive(("assets/x", b"")), "a Keras model with layers that look words"),
    ("missing", archive(("config.json", b"{}"), base=False), "is missing"),
    ("encrypted", patched(archive(), CONFIG, {(6, 8): ("<H", 1)}), "is encrypted"),
    ("strongly", patched(archive(), CONFIG, {(6, 8): ("<H", 0x40)}), "is encrypted"),
    ("masked", patched(archive(), CONFIG, {(6, 8): ("<H", 0x2000)}), "is encrypted"),
    ("hidden in the stream", hidden_in_the_stream(), "does not end where the archive says"),
    ("no end", without_an_end(), "does not end where the archive says"),
    ("overlap", one_inside_the_other(), "overlap"),
    ("bzip2", archive(compression=zipfile.ZIP_BZIP2), "compression method 12, expected stored"),
    ("lzma", archive(compression=zipfile.ZIP_LZMA), "compression method 14, expected stored"),
    ("checksum", patched(archive(), CONFIG, {(14, 16): ("<I", 7)}), "has a wrong checksum"),
    ("size", patched(archive(), CONFIG, {(22, 24): ("<I", 5)}), "declares 5 bytes"),
    ("hidden bytes", hidden_bytes(), "another number"),
    ("beyond", patched(archive(), CONFIG, {(18, 20): ("<I", 2**20)}), "config.json' is truncated"),
    ("name disagrees", patched(archive(), CONFIG, {(30, -1): ("B", 67)}), "disagree"),
    ("flags disagree", patched(archive(), CONFIG, {(6, -1): ("<H", 8)}), "disagree"),
    ("expansion", huge_deflated(), "expands from"),
    ("many members", archive(*[(f"m{i}", b"") for i in range(70)]), "more than 64 members"),
)
def test_zip(path: Path, edit: bytes, fragment: str) -> None:
    path.write_bytes(edit)
    refused(path, fragment)


def test_limits_of_members() -> None:
    """Exactly what is allowed is read, one byte more is not."""
    parts = small().parts()
    exact = {name: len(content) for name, content in parts.items()}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        content = archive(*parts.items(), base=False, compression=method)
        assert read_members(content, exact) == parts
        for name in exact:
            with pytest.raises(ModelFormatError, match=f"the limit is {exact[name] - 1}"):
                read_members(content, exact | {name: exact[name] - 1})
            with pytest.raises(ModelFormatError, match=f"unexpected zip member '{name}'"):
                read_members(content, {k: v for k, v in exact.items() if k != name})


def test_the_number_of_members() -> None:
    """Signatures are counted wherever they are: at most 64."""
    for more, good in ((62, True), (63, False)):
        content = archive(("a", b"PK\x01\x02" * more), ("b", b""), base=False)
        if good:
            assert read_members(content, {"a": 1000, "b": 1000})["b"] == b""
        else:
            with pytest.raises(ModelFormatError, match="more than 64 members"):
                read_members(content, {"a": 1000, "b": 1000})


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["a/data.pkl"], "a PyTorch checkpoint; where it"),
        (["a/data.pkl", "a/constants.pkl"], "a TorchScript archive, which holds a program"),
        (["a/archive_format", "a/models/model.json"], "a program of torch.export; "),
    ],
)
@pytest.mark.parametrize("more", [1, 500, 5000])
def test_what_has_many_members_is_told_by_their_names(
    members: list[str], message: str, more: int
) -> None:
    weights = [(f"a/data/{number}", b"") for number in range(more)]
    content = archive(*weights, *((name, b"") for name in members), base=False)
    expected = message if more < 4096 else "more than 4096 members"
    with pytest.raises(ModelFormatError, match=expected):
        read_members(content, {"a": 1000})


def test_how_far_members_may_expand() -> None:
    """A hundred times, above 16 MiB; zeros are deflated to a thousandth."""
    for size, good in ((2**24, True), (2**24 + 1, False)):
        content = archive(("a", bytes(size)), base=False, compression=zipfile.ZIP_DEFLATED)
        if good:
            assert read_members(content, {"a": size})["a"] == bytes(size)
        else:
            with pytest.raises(ModelFormatError, match="expands from"):
                read_members(content, {"a": size})
    noise = random.Random(4).randbytes(2**18)
    content = archive(("a", noise + bytes(2**24)), base=False, compression=zipfile.ZIP_DEFLATED)
    assert len(read_members(content, {"a": 2**25})["a"]) == 2**18 + 2**24


def test_neighbours_in_an_archive_do_not_overlap() -> None:
    """One ends where the next begins: stored as close as zipfile does."""
    parts = {f"m{i}": bytes([i]) * i for i in range(5)}
    content = archive(*parts.items(), base=False)
    assert read_members(content, dict.fromkeys(parts, 10)) == parts
    # In whatever order they are asked for.
    assert read_members(content, dict.fromkeys(reversed(parts), 10)) == parts


def test_the_limit_of_a_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"x" * 100)
    assert read_file(target, 100) == b"x" * 100
    # It is mapped where that is asked for, of all of it or of its first 16 bytes.
    asked: list[bytes] = []
    assert type(read_file(target, 100)) is bytes
    mapped = read_file(target, 100, lambda beginning: asked.append(beginning) or True)  # type: ignore[func-returns-value]
    assert type(mapped) is memoryview
    assert bytes(mapped) == b"x" * 100
    assert asked == [b"x" * 16]
    with pytest.raises(ModelFormatError, match="the file has 100 bytes, max_file_bytes is 99"):
        read_file(target, 99)


@table(
    ("h5", ".h5", "neither a .keras nor an .h5 file"),
    ("safetensors", ".safetensors", "safetensors"),
)
def test_other_formats_by_suffix(path: Path, edit: str, fragment: str) -> None:
    """Where the content says nothing; otherwise the content decides."""
    target = path.with_suffix(edit)
    target.write_bytes(b"\x08\x07\x12")
    refused(target, fragment)
    refused(target, "supported: .keras")
    assert load(small().write(target)).input_shape == (2,)


def test_what_the_model_refuses(path: Path) -> None:
    file = sample()
    file.layers.append(layer("SpatialDropout1D", name="ü" * 1000, rate=0.5))
    refused(file.write(path), r"layer '\xfc\xfc")


def test_a_pickle_by_any_name(path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, ("pickled",))

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Payload(), protocol))
        refused(path, "pickles are never read")
    assert not Path("pickled").exists()


def test_limits(path: Path) -> None:
    file = sample().write(path)
    refused(file, "max_file_bytes is 100", max_file_bytes=100)
    refused(file, "max_tensor_bytes is 100", max_tensor_bytes=100)
    refused(file, "the limit is 100", max_json_bytes=100)
    refused(file, "7 layers, max_layers is 6", max_layers=6)
    refused(file, "8 weights, max_tensors is 7", max_tensors=7)


@pytest.mark.parametrize(
    "name",
    ["max_file_bytes", "max_tensor_bytes", "max_json_bytes", "max_layers", "max_tensors"],
)
def test_limits_are_positive_integers(path: Path, name: str) -> None:
    file = small().write(path)
    for number in (0, -1):
        with pytest.raises(ValueError, match=f"{name}: expected an integer >= 1, got {number}"):
            load(file, **{name: number})  # type: ignore[arg-type]
    for other in (1.5, "1", None, True):
        with pytest.raises(TypeError, match=f"{name}: expected an integer >= 1"):
            load(file, **{name: other})  # type: ignore[arg-type]
    load(file, **{name: np.int64(10**6)})  # type: ignore[arg-type]


def test_limits_are_those_that_are_promised() -> None:
    """By SECURITY.md, whose words are looked for as they are."""
    text = " ".join((Path(__file__).parent.parent / "SECURITY.md").read_text("utf-8").split())
    said = re.search(
        r"the file and its weights (\d+) GiB, arrays of the model (\d+) GiB, each JSON document "
        r"(\d+) MiB, ([\d,]+) layers, ([\d,]+) arrays\.",
        text,
    )
    assert said is not None
    numbers = [int(n.replace(",", "")) for n in said.groups()]
    units = (2**30, 2**30, 2**20, 1, 1)
    expected = [n * unit for n, unit in zip(numbers, units, strict=True)]
    names = [field.name for field in dataclasses.fields(Limits)]
    given = inspect.signature(load).parameters
    assert [given[name].default for name in names] == expected
    assert [getattr(Limits(), name) for name in names] == expected


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.keras")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        *((None, TypeError), (0, TypeError), ("a\0b", ValueError), (b"a\0b", ValueError)),
        pytest.param("\ud800", ValueError, id="a surrogate"),
    ],
)
def test_what_is_no_path(path: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^path: expected a str or path-like.*, got ") as caught:
        load(path)
    assert repr(path) in str(caught.value)
    assert caught.type is error


def test_paths_of_bytes(path: Path) -> None:
    model = load(os.fsencode(small().write(path)))
    assert model.source == "Keras 3.15.1, model.keras"
    path.with_name("model.h5").write_bytes(b"x")
    with pytest.raises(ModelFormatError, match=r"^model\.h5: neither a "):
        load(os.fsencode(path.with_name("model.h5")))


def test_the_name_of_the_file_is_printable(tmp_path: Path) -> None:
    for name, shown in (("Größe\x1b\n.h5", r"Größe\\x1b\\n\.h5"), ("x" * 200, r"x{97}\.\.\.")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ModelFormatError, match=rf"^{shown}: neither a "):
            load(tmp_path / name)


def test_directory(path: Path) -> None:
    path.mkdir()
    refused(path, "found a directory")


needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")


@needs_fifo
def test_fifo_does_not_wait(path: Path) -> None:
    os.mkfifo(path)
    refused(path, "found a special file")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_device(device: str) -> None:
    with pytest.raises(ModelFormatError, match="found a special file"):
        load(device)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets on this system")
def test_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("model.keras")
        with pytest.raises(ModelFormatError, match="expected a regular file, found a special file"):
            load(path)


def at_first_fstat(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Let something happen to the file between the check and the reading of it."""
    real = os.fstat
    done: list[object] = []

    def fstat(descriptor: int) -> os.stat_result:
        result = real(descriptor)
        if not done and result.st_size > 1000:
            done.append(action())
        return result

    monkeypatch.setattr("os.fstat", fstat)


def test_truncated_while_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample().write(path)
    at_first_fstat(monkeypatch, lambda: os.truncate(path, 500))
    with pytest.raises(ModelFormatError, match="changed while it was read"):
        load(path)


@pytest.mark.parametrize("sooner", [0, 10**9], ids=["larger", "later"])
def test_a_change_is_seen_by_size_and_by_time(path: Path, sooner: int) -> None:
    """Written over in a moment that the clock of the file system does not tell from the first."""
    path.write_bytes(bytes(100))
    written = path.stat().st_mtime_ns - sooner
    os.utime(path, ns=(written, written))
    with _files.opened(path, 100) as (file, size):
        assert file.read() == bytes(size) == bytes(100)
    with pytest.raises(_files.NoFileError, match="changed"), _files.opened(path, 100):  # noqa: PT012
        path.write_bytes(bytes(100 if sooner else 101))
        if not sooner:
            os.utime(path, ns=(written, written))


def test_fewer_bytes_than_there_were(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(bytes(100))
    real = os.stat(path)
    monkeypatch.setattr("os.fstat", lambda descriptor: real)
    assert _files.read(path, 100) == bytes(100)
    with path.open("rb") as file:  # it has become longer
        assert _files.whole(file, 99) == bytes(99)
    os.truncate(path, 99)
    with pytest.raises(_files.NoFileError, match="changed while it was read"):
        _files.read(path)


@pytest.mark.parametrize("size", [0, 500])
def test_truncated_for_a_moment(path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """What was there before and after is not what was read."""
    sample().write(path)
    real = os.stat(path)
    monkeypatch.setattr("os.fstat", lambda descriptor: real)
    os.truncate(path, size)
    for mapped in (False, True):
        with pytest.raises(ModelFormatError, match="changed while it was read"):
            read_file(path, 10**6, lambda beginning, mapped=mapped: mapped)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("code", "directory", "error", "message"),
    [
        (errno.EACCES, True, ModelFormatError, "expected a regular file, found a directory"),
        (errno.EISDIR, True, ModelFormatError, "expected a regular file, found a directory"),
        (errno.EACCES, False, PermissionError, "here"),
        (errno.ENXIO, False, ModelFormatError, "found a special file"),
        (errno.ENODEV, False, ModelFormatError, "found a special file"),
        (errno.EIO, True, OSError, "here"),
    ],
    ids=["access", "is a directory", "no access", "socket", "device", "broken"],
)
def test_what_systems_say_of_what_cannot_be_opened(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    directory: bool,
    error: type[Exception],
    message: str,
) -> None:
    """Windows gives directories that nobody may open, Linux opens them."""

    def refuse(*_: object) -> int:
        raise OSError(code, "here")

    path = tmp_path / "x"
    path.mkdir() if directory else path.write_bytes(b"x")
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(error, match=message) as caught:
        read_file(path, 100)
    assert caught.type is error


def test_grown_while_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample().write(path)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    at_first_fstat(monkeypatch, grow)
    with pytest.raises(ModelFormatError, match="changed while it was read"):
        load(path)


def test_replaced_while_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample().write(path)
    other = small().write(path.with_name("other"))
    at_first_fstat(monkeypatch, lambda: os.replace(other, path))
    assert same(load(path), expected_sample())
    assert len(load(path).layers) == 1


def test_memory_error_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    small().write(path)
    monkeypatch.setattr("json.loads", fail)
    with pytest.raises(MemoryError):
        load(path)


@pytest.mark.parametrize(
    ("error", "said"), [(EOFError(), "EOFError"), (RuntimeError("two\nlines"), "two lines")]
)
def test_what_is_said_of_what_a_parser_raises(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    """A line; its class, where it says nothing."""

    def fail(*_: object, **__: object) -> None:
        raise error

    small().write(path)
    monkeypatch.setattr("json.loads", fail)
    with pytest.raises(ModelFormatError, match=rf"metadata\.json is malformed: '{said}'$"):
        load(path)


@pytest.mark.parametrize("shown", [show, _npy._shown], ids=["show", "npy"])
def test_what_a_file_says_is_shown_up_to_a_hundred_characters(shown: Any) -> None:
    for count in range(95, 105):
        whole = repr("x" * count)
        assert shown("x" * count) == (whole if count <= 98 else whole[:97] + "...")
    assert shown("ü\n") == r"'\xfc\n'"


def test_lines_that_can_be_printed() -> None:
    for count, room in ((99, 100), (100, 100), (101, 100), (1000, 100), (3, 3), (8, 5)):
        text = "y" * count
        expected = text if count <= room else text[: room - 3] + "..."
        assert printable(text, room) == expected
        assert room != 100 or printable(text) == expected
    assert printable("ü\n\x1b\u202e") == "ü\\n\\x1b\\u202e"
    assert printable("ü€", encoding="latin-1") == "ü\\u20ac"
    assert printable("\ud800") == "\\ud800"


@pytest.mark.parametrize("count", [1, 2, 12, 13, 20])
def test_how_obstacles_are_told(count: int) -> None:
    """One as it is; of many the first twelve."""
    error = ModelFormatError.of([f"o{i}" for i in range(count)]).within("x.h5")
    listed = "; ".join(f"({i + 1}) o{i}" for i in range(min(count, 12)))
    more = f"; and {count - 12} more" if count > 12 else ""
    said = "o0" if count == 1 else f"{count} obstacles: {listed}{more}"
    assert str(error) == f"x.h5: {said}"
    assert error.obstacles == tuple(f"o{i}" for i in range(count))


def test_truncated_at_every_byte(path: Path) -> None:
    whole = small().write(path).stat().st_size
    load(path)
    for size in range(whole - 1, -1, -1):
        os.truncate(path, size)
        with pytest.raises(ModelFormatError):
            load(path)


def test_flipped_bits(path: Path) -> None:
    """The checksums of the archive leave nothing to chance: refused, or the very same model."""
    content = sample().to_bytes()
    expected = [fields(item) for item in expected_sample()]
    generator = random.Random(1)
    outcomes = {"refused": 0, "same": 0}
    for _ in range(3000):
        broken = bytearray(content)
        broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
        path.write_bytes(broken)
        try:
            model = load(path)
        except ModelFormatError:
            outcomes["refused"] += 1
        else:
            assert [fields(item) for item in model.layers] == expected
            outcomes["same"] += 1
    assert outcomes["refused"] > 2500
    assert outcomes["same"] > 0


def damaged_hdf5(count: int) -> Iterator[bytes]:
    """Yield HDF5 files in which some bits or bytes outside the weights are changed."""
    content = sample().h5()
    structure = [
        i
        for i in range(len(content))
        if content[max(0, i - 16) : i + 16].strip(b"\0") or i % 8 == 0
    ]
    generator = random.Random(2)
    for _ in range(count):
        broken = bytearray(content)
        for _ in range(generator.choice((1, 1, 2, 8))):
            i = generator.choice(structure)
            if generator.random() < 0.5:
                broken[i] ^= 1 << generator.randrange(8)
            else:
                broken[i] = generator.choice((0, 1, 4, 127, 255))
        yield bytes(broken)


def read_damaged_hdf5(target: Path) -> None:
    """Load each damaged file; runs in a process of its own, with little memory."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    outcomes = {"refused": 0, "loaded": 0}
    file = sample()
    shape = [type(item) for item in expected_sample()]
    for content in damaged_hdf5(1000):
        file.members["model.weights.h5"] = content
        try:
            model = load(file.write(target), allow_nonfinite=True)
        except ModelFormatError:
            outcomes["refused"] += 1
        else:
            assert [type(item) for item in model.layers] == shape
            outcomes["loaded"] += 1
    print(json.dumps(outcomes))


def test_damage_within_hdf5(tmp_path: Path) -> None:
    """With the checksum of the archive made right again, so that only the reader itself guards."""
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outcomes = json.loads(run.stdout)
    assert outcomes["refused"] > 125
    assert outcomes["loaded"] > 125


if __name__ == "__main__":
    read_damaged_hdf5(Path(sys.argv[1]))

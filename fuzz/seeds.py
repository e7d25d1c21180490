"""What fuzzing starts from: files with everything the readers know, by hand, h5py and exporters."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np

from fastdrop import layers
from hdf5_files import NIL, TABLE, Image, continuation, messages
from keras_files import functional, recurrent_sample, sample, small
from references.make_onnx import FOLDER
from test_model_file import EXAMPLES, model_of, shared_drop
from test_state import FILES

CONFIG = json.dumps(sample().config).encode()
WEIGHTS = {"dense": {"dense/kernel:0": (2, 3), "dense/bias:0": (3,)}, "bi": {"bi/f/cell/k": (1, 2)}}


def legacy(form: str, chunks: int, whole: bool) -> bytes:
    """Return an ``.h5`` file, with or without its model, its names kept one way or another."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("model_weights") if whole else file
        if whole:
            file.attrs["model_config"] = CONFIG
            file.attrs["keras_version"] = "2.4.0"
        _list(group, "layer_names", ["input", *WEIGHTS], form, chunks)
        group.create_group("input").attrs["weight_names"] = []
        for layer, weights in WEIGHTS.items():
            inner = group.create_group(layer)
            _list(inner, "weight_names", list(weights), form, 1)
            for path, shape in weights.items():
                inner[path] = np.ones(shape, "f8" if form == "fixed" else "f4")
    return buffer.getvalue()


def _list(group: h5py.Group, name: str, texts: list[str], form: str, chunks: int) -> None:
    kind = f"S{max(map(len, texts))}" if form == "fixed" else h5py.string_dtype(form)
    for i, part in enumerate(np.array_split(np.array(texts, object), chunks)):
        group.attrs[f"{name}{i}" if chunks > 1 else name] = np.array(list(part), kind)


def by_hand() -> bytes:
    """Return a file with continued headers, two heaps, many attributes and a tree of two levels."""
    image = Image()
    heap = image.heap([b"dense", b"dense/kernel:0", b"", b"x" * 300])
    kernel = image.group({"kernel:0": image.dataset(np.ones((2, 3), "f4"))})
    names, (first, second) = image.local_heap([b"dense", b"w"])
    leaves = [image.leaf([(first, kernel)]), image.leaf([(second, image.dataset(np.ones(2)))])]
    tree = image.node([image.node(leaves[:1]), image.node(leaves[1:])], 1)
    inside = messages([(NIL, bytes(8)), image.strings("weight_names", [b"dense/kernel:0"])])
    at = image.put(inside)
    table = TABLE, struct.pack("<2Q", tree, names)
    layer = image.header([table, continuation(at, len(inside))], total=4)
    texts = [image.string(f"a{i}", b"x" * 300, heap, 4) for i in range(3)]
    listed = image.strings("layer_names0", [b"dense"], heap)
    name = image.string("name", b"dense", heap, 1)
    return image.finish(image.group({"dense": layer}, [*texts, listed, name]))


def hdf5() -> list[bytes]:
    """Return HDF5 files."""
    forms = [
        legacy(f, c, w) for f in ("ascii", "utf-8", "fixed") for c, w in ((1, True), (2, False))
    ]
    return [small().h5(), sample().h5(), recurrent_sample().h5(), by_hand(), *forms]


def archives() -> list[bytes]:
    """Return ``.keras`` files."""
    files = [small(), sample(), functional(sample()), recurrent_sample()]
    return [
        f.to_bytes(method) for f in files for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    ]


def texts() -> list[bytes]:
    """Return JSON."""
    files = [sample(), functional(sample()), recurrent_sample()]
    odd = '{"a": [1, -2.5e3, "é\\u20ac\\n", true, null, {}, [[[]]]], "b": {"c": 1}}'
    return [odd.encode(), *(json.dumps(file.config).encode() for file in files)]


def saved_models() -> list[bytes]:
    """Return files that `Model.save` wrote: one of each class of layers, and a graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        contents = []
        for name, (options, x) in EXAMPLES.items():
            model_of(getattr(layers, name)(name="l", **options[0]), x).save(path)
            contents.append(path.read_bytes())
        shared_drop().save(path)
        return [*contents, path.read_bytes()]


def checkpoints() -> list[bytes]:
    """Return what torch.save wrote, of state_dicts and of other things."""
    return [content for name, content in FILES.items() if name.endswith(".pt")]


def onnx() -> list[bytes]:
    """Return ``.onnx`` files."""
    return [path.read_bytes() for path in sorted(FOLDER.glob("*.onnx"))]

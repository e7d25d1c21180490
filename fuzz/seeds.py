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
from fastdrop.formats.keras._registry import LAYERS, OPERATIONS
from fastdrop.formats.onnx._registry import OPERATORS
from fastdrop.formats.torch import LAYERS as CLASSES
from hdf5_files import NIL, TABLE, Image, continuation, messages
from keras_files import functional, recurrent_sample, sample, small
from references.make_onnx import FOLDER
from tensor_files import entry, file_of
from test_model_file import EXAMPLES, model_of, shared_drop
from test_state import FILES
from test_store import PREDICTIONS
from test_torch_state import ARCHITECTURE

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


def predictions() -> list[bytes]:
    """Return files that `Prediction.save` wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.npz"
        contents = []
        for name, make in PREDICTIONS.items():
            if name != "long":
                make().save(path)
                contents.append(path.read_bytes())
        return contents


def arrays() -> list[bytes]:
    """Return ``.npy`` and ``.npz`` files."""
    found = []
    x = np.arange(6.0).reshape(2, 3)
    for array in (x, np.asfortranarray(x, "f4"), np.zeros((0, 2), ">i2"), np.array(True)):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append(buffer.getvalue())
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, x=x, y=np.arange(3))
        found.append(buffer.getvalue())
    return found


def tables() -> list[bytes]:
    """Return lines of numbers, and what else the command reads."""
    return [
        b"1,2.5,-3e4\n4,nan,inf\n",
        b"\xef\xbb\xbf1\r\n2\r\n",
        b"a,b\n1,2\n",
        b"0,1,2\n",
        *arrays(),
    ]


def descriptions() -> list[bytes]:
    """Return descriptions of layers, as JSON: one that fits the weights, and one of each class."""
    kinds = [[kind, dict.fromkeys(row.options, 1)] for kind, row in CLASSES.items()]
    lists = [ARCHITECTURE, *([*ARCHITECTURE[:3], kind] for kind in kinds)]
    return [json.dumps({"layers": layers}).encode() for layers in lists]


def state_of(tensors: dict[str, np.ndarray]) -> bytes:
    """Return a safetensors file of tensors of float32."""
    header, body = {}, b""
    for name, tensor in tensors.items():
        end = len(body) + tensor.nbytes
        header[name] = entry("F32", tensor.shape, len(body), end)
        body += tensor.tobytes()
    return file_of(header, body)


# What stands in files beside names: of HDF5, pickles, archives, arrays, safetensors.
_WORDS = [
    *(b"TREE", b"SNOD", b"HEAP", b"GCOL", b"\x89HDF\r\n\x1a\n", b"PK\3\4", b"PK\1\2", b"PK\5\6"),
    *(b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"storage", b"\x80\2"),
    *(
        b"\x93NUMPY",
        b"'descr': '<f8'",
        b"'fortran_order': False",
        b"'shape': (1,)",
        b"1e309",
        b"nan",
    ),
    *(
        b'"__metadata__"',
        b'"data_offsets"',
        b'"F32"',
        b'"BF16"',
        b'"dtype"',
        b'"shape"',
        b"\\u0000",
    ),
    *(b'"class_name"', b'"config"', b'"inbound_nodes"', b'"keras_history"', b'"registered_name"'),
]


def dictionary() -> str:
    """Return what libFuzzer takes for a dictionary: names that readers know, and `_WORDS`."""
    names = {*LAYERS, *OPERATIONS, *OPERATORS, *CLASSES, *EXAMPLES}
    words = [*_WORDS, *(name.encode() for name in sorted(names))]
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)

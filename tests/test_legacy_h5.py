"""Legacy ``.h5`` files: what is read is what h5py reads, and what is refused."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the files under test are written with h5py")

import h5py

from fastdrop.formats import ModelFormatError
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_legacy import Legacy, read_legacy
from hdf5_files import FLOAT32, TABLE, VARIABLE, Image, attribute, space

LIMITS = Limits()
Layers = dict[str, dict[str, np.ndarray]]
CONFIG = json.dumps({"class_name": "Sequential", "config": []})


def numbers(*shape: int, start: int = 0) -> np.ndarray:
    count = int(np.prod(shape))
    return (np.arange(start + 1, start + 1 + count) / 1024).astype(np.float32).reshape(shape)


# As Keras 2.2, Keras 2.15 and Keras 3 spell paths, as users may, and a layer without weights.
LAYERS: Layers = {
    "input_1": {},
    "lstm_1": {"lstm_1/kernel:0": numbers(2, 8), "lstm_1/bias:0": numbers(8, start=50)},
    "bidirectional_4": {
        "bidirectional_4/forward_lstm_4/lstm_cell_25/kernel:0": numbers(2, 8, start=100),
        "bidirectional_4/backward_lstm_4/lstm_cell_26/kernel:0": numbers(2, 8, start=200),
    },
    "dense": {"sequential/dense/kernel": numbers(2, 1, start=300), "s p>a-c.e": numbers(1)},
    "count": {"count/scalar:0": np.float32(7)},
    "lstm_10": {"lstm_10/kernel:0": numbers(2, 8, start=400)},
    "lstm_2": {"lstm_2/kernel:0": numbers(2, 8, start=500)},
}


def listed(texts: list[str], form: str) -> Any:
    """Return a list of names as versions of Keras and h5py have kept it."""
    if not texts:
        return np.zeros(0)
    if form == "fixed":
        return np.array([text.encode() for text in texts])
    if form == "UTF-8":
        return np.array(texts, h5py.string_dtype("utf-8"))
    return np.array([text.encode() for text in texts], h5py.string_dtype("ascii"))


def save(group: Any, name: str, texts: list[str], form: str, chunks: int = 1) -> None:
    if chunks == 1:
        group.attrs[name] = listed(texts, form)
        return
    for i, part in enumerate(np.array_split(np.array(texts, object), chunks)):
        group.attrs[f"{name}{i}"] = listed(list(part), form)


def fill(group: Any, layers: Layers, form: str, chunks: int) -> None:
    """Write weights as `save_weights` does."""
    save(group, "layer_names", list(layers), form, chunks)
    group.attrs["backend"] = "tensorflow"
    group.attrs["keras_version"] = b"2.4.0"
    for name, weights in layers.items():
        inner = group.create_group(name)
        save(inner, "weight_names", list(weights), form, chunks if len(weights) >= chunks else 1)
        for path, array in weights.items():
            inner[path] = array


def model(layers: Layers = LAYERS, form: str = "ASCII", chunks: int = 1, edit: Any = None) -> bytes:
    """Return a whole model in a file, with its optimizer."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = CONFIG.encode()
        file.attrs["training_config"] = "{}"
        file.attrs["keras_version"] = "2.4.0"
        fill(file.create_group("model_weights"), layers, form, chunks)
        file["model_weights"].create_group("top_level_model_weights").attrs["weight_names"] = []
        optimizer = file.create_group("optimizer_weights")
        optimizer.attrs["weight_names"] = [b"Adam/iterations:0"]
        optimizer["Adam/iterations:0"] = np.int64(3)
        if edit is not None:
            edit(file)
    return buffer.getvalue()


def weights_only(layers: Layers = LAYERS, form: str = "ASCII", chunks: int = 1) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file, layers, form, chunks)
    return buffer.getvalue()


def check(found: Legacy, layers: Layers) -> None:
    """Compare with what was written."""
    assert [name for name, _ in found.weights] == list(layers)
    for (_, weights), expected in zip(found.weights, layers.values(), strict=True):
        assert [weight.name for weight in weights] == list(expected)
        for weight, array in zip(weights, expected.values(), strict=True):
            assert weight.shape == np.shape(array)
            assert weight.dtype == np.asarray(array).dtype
            assert np.array_equal(weight.read(), array)
            assert weight.read().flags.owndata or weight.read().base is not None


FORMS = pytest.mark.parametrize("form", ["ASCII", "UTF-8", "fixed"])
CHUNKS = pytest.mark.parametrize("chunks", [1, 2, 3])


@FORMS
@CHUNKS
def test_models(form: str, chunks: int) -> None:
    found = read_legacy(model(form=form, chunks=chunks), LIMITS)
    assert (found.kind, found.has_weights) == ("model", True)
    assert found.model_config == CONFIG.encode()
    assert (found.keras_version, found.backend) == ("2.4.0", "tensorflow")
    check(found, LAYERS)


@FORMS
@CHUNKS
def test_weights_without_a_model(form: str, chunks: int) -> None:
    found = read_legacy(weights_only(form=form, chunks=chunks), LIMITS)
    assert (found.kind, found.has_weights, found.model_config) == ("weights", True, None)
    assert (found.keras_version, found.backend) == ("2.4.0", "tensorflow")
    check(found, LAYERS)


def test_what_old_files_lack() -> None:
    def edit(file: Any) -> None:
        for group in (file, file["model_weights"]):
            group.attrs.pop("keras_version", None)
            group.attrs.pop("backend", None)

    found = read_legacy(model(edit=edit), LIMITS)
    assert (found.keras_version, found.backend) == (None, None)
    check(found, LAYERS)


def test_a_model_without_weights() -> None:
    found = read_legacy(model(edit=lambda f: f.__delitem__("model_weights")), LIMITS)
    assert (found.kind, found.has_weights, found.weights) == ("model", False, [])
    assert found.keras_version == "2.4.0"


@pytest.mark.parametrize(
    "name",
    ["layers", "_layer_checkpoint_dependencies", "vars", r"layers\lstm", r"layers\gru\cell"],
)
def test_weights_of_keras_3(name: str) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group(name)
    found = read_legacy(buffer.getvalue(), LIMITS)
    assert (found.kind, found.has_weights) == ("store", False)


def test_six_hundred_layers() -> None:
    """Names of more than 64 KiB; the library needs large blocks for them and continues headers."""
    name = "a_name_that_is_long_enough_for_all_of_them_to_need_several_attributes_" * 2
    layers = {f"{name}{i}": {f"{name}{i}/kernel:0": numbers(1, start=i)} for i in range(600)}
    image = model(layers, "fixed", 4)
    tracemalloc.start()
    found = read_legacy(image, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    check(found, layers)
    assert peak < 3 * len(image)


def test_layers_named_by_paths() -> None:
    """Keras 2 let users put slashes into names."""
    layers = {
        "block": {"block/kernel:0": numbers(2)},
        "block/conv": {"conv//kernel:0": numbers(2, start=9), "./x": numbers(2, start=19)},
    }
    check(read_legacy(model(layers), LIMITS), layers)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "<f2", "<i8", "<i4", "|u1"])
def test_types(kind: str) -> None:
    layers = {"dense": {"dense/kernel:0": np.array([[1, 2]], kind)}}
    found = read_legacy(model(layers), LIMITS)
    ((_, (weight,)),) = found.weights
    assert weight.dtype == np.dtype(kind).newbyteorder("=")
    assert weight.dtype.isnative
    assert np.array_equal(weight.read(), [[1, 2]])


def refused(image: bytes, fragment: str, **limits: int) -> None:
    with pytest.raises(ModelFormatError) as caught:
        read_legacy(image, Limits(**limits))
    message = str(caught.value)
    assert fragment in message
    assert message.isascii()
    assert "\n" not in message
    assert len(message) < 400


def in_weights(action: Any) -> Any:
    return lambda file: action(file["model_weights"])


def attr(path: str, name: str, value: Any) -> Any:
    """Return an edit that sets an attribute, or takes it away."""

    def edit(file: Any) -> None:
        group = file[path]
        group.attrs.pop(name, None)
        if value is not None:
            group.attrs[name] = value

    return edit


def remove(path: str) -> Any:
    return lambda file: file.__delitem__(path)


def soft(file: Any) -> None:
    del file["model_weights/dense"]
    file["model_weights/dense"] = h5py.SoftLink("/model_weights/lstm_1")


def hard(file: Any) -> None:
    del file["model_weights/dense"]
    file["model_weights/dense"] = file["model_weights/lstm_1"]


def replace(path: str, **options: Any) -> Any:
    def edit(file: Any) -> None:
        del file[path]
        file.create_dataset(path, **options)

    return edit


KERNEL = "model_weights/lstm_1/lstm_1/kernel:0"


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        pytest.param(edit, fragment, id=name)
        for name, edit, fragment in [
            ("no names", attr("model_weights", "layer_names", None), "expected layer_names, found"),
            (
                "no weights",
                attr("model_weights/dense", "weight_names", None),
                "/model_weights/dense",
            ),
            ("both", attr("/", "layer_names", [b"x"]), "both model_config and layer_names"),
            ("two lists", attr("model_weights", "layer_names0", [b"x"]), "expected layer_names"),
            (
                "a gap",
                attr("model_weights/dense", "weight_names2", [b"x"]),
                "expected weight_names",
            ),
            (
                "from 1",
                lambda f: (
                    attr("model_weights", "layer_names", None)(f),
                    attr("model_weights", "layer_names1", [b"x"])(f),
                ),
                "expected layer_names",
            ),
            (
                "leading zero",
                lambda f: (
                    attr("model_weights", "layer_names", None)(f),
                    attr("model_weights", "layer_names00", [b"x"])(f),
                ),
                "expected layer_names",
            ),
            ("missing layer", remove("model_weights/dense"), "/model_weights: 'dense' is missing"),
            (
                "missing weight",
                remove(KERNEL),
                "/model_weights/lstm_1/lstm_1: 'kernel:0' is missing",
            ),
            ("missing group", remove("model_weights/lstm_1/lstm_1"), "'lstm_1' is missing"),
            (
                "layer twice",
                attr("model_weights", "layer_names", [b"dense", b"dense"]),
                "is used twice",
            ),
            (
                "weight twice",
                attr(
                    "model_weights/lstm_2",
                    "weight_names",
                    [b"lstm_2/kernel:0", b"lstm_2/./kernel:0"],
                ),
                "is used twice",
            ),
            (
                "weight and group",
                attr(
                    "model_weights/lstm_2",
                    "weight_names",
                    [b"lstm_2/kernel:0", b"lstm_2/kernel:0/x"],
                ),
                "is used twice",
            ),
            (
                "group as weight",
                attr("model_weights/lstm_2", "weight_names", [b"lstm_2"]),
                "found a group, expected a dataset",
            ),
            (
                "weight as group",
                attr("model_weights/lstm_2", "weight_names", [b"lstm_2/kernel:0/x"]),
                "found a dataset, expected a group",
            ),
            (
                "weight as layer",
                lambda f: (
                    f["model_weights"].__setitem__("x", 1.0)
                    or attr("model_weights", "layer_names", [b"x"])(f)
                ),
                "found a dataset, expected a group",
            ),
            ("empty name", attr("model_weights/lstm_2", "weight_names", [b""]), "a name is empty"),
            (
                "absolute",
                attr("model_weights/lstm_2", "weight_names", [b"/model_weights/x"]),
                "begins with a slash",
            ),
            ("a dot", attr("model_weights/lstm_2", "weight_names", [b"."]), "'.' is missing"),
            ("not UTF-8", attr("model_weights", "layer_names", [b"\xff"]), "is missing"),
            ("numbers as names", attr("model_weights", "layer_names", [1.5]), "is not a string"),
            ("one name", attr("model_weights", "layer_names", b"dense"), "is not a string"),
            (
                "table of names",
                attr("model_weights", "layer_names", np.array([[b"a"]])),
                "is not a",
            ),
            ("list as config", attr("/", "model_config", [b"{}"]), "model_config is not a string"),
            ("number as config", attr("/", "model_config", 3), "model_config is not a string"),
            ("no config", attr("/", "model_config", h5py.Empty("S10")), "is not a string"),
            ("version not UTF-8", attr("/", "keras_version", b"\xff"), r"'\xff' is not UTF-8"),
            ("long version", attr("/", "keras_version", "2" * 257), "has 257 bytes"),
            ("soft link", soft, "'dense' is a soft or external link"),
            ("hard link", hard, "has 2 links"),
            ("chunks", replace(KERNEL, data=numbers(2, 8), chunks=(1, 8)), "contiguous"),
            ("gzip", replace(KERNEL, data=numbers(2, 8), compression="gzip"), "a filter"),
            ("no data", replace(KERNEL, shape=(2, 8), dtype="f4"), "beyond the end"),
            ("empty", replace(KERNEL, data=h5py.Empty("f4")), "dataspace"),
            (
                "complex",
                replace(KERNEL, data=np.ones(2, "c8")),
                "expected float32, found something",
            ),
            ("strings", replace(KERNEL, data=["a"]), "expected float32, found something"),
            ("rank 9", replace(KERNEL, data=np.ones([1] * 9, "f4")), "dataspace is malformed"),
            (
                "named type",
                lambda f: (
                    f.__setitem__("t", np.dtype("f4")),
                    replace(KERNEL, shape=(1,), dtype=f["t"])(f),
                ),
                "shared",
            ),
            ("CJK", lambda f: f["model_weights"].create_group("层"), "names that are not ASCII"),
        ]
    ],
)
def test_refused(edit: Any, fragment: str) -> None:
    refused(model(edit=edit), fragment)


def test_dense_attributes_are_refused() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("earliest", "v108")) as file:
        for i in range(20):
            file.attrs[f"a{i}"] = i
    # Not of superblock 0 in the first place; nor where only a group is of the newer form.
    refused(
        buffer.getvalue(), "expected a Keras model" if b"OHDR" not in buffer.getvalue() else "form"
    )


@pytest.mark.parametrize("other", [{}, {"x": 1.0}, {"model": 2.0}])
def test_what_is_not_of_keras(other: dict[str, float]) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in other.items():
            file[name] = value
    refused(buffer.getvalue(), "expected a Keras model or its weights, found neither")


def test_limits() -> None:
    image = model()
    count = sum(len(weights) for weights in LAYERS.values())
    size = sum(np.asarray(a).nbytes for weights in LAYERS.values() for a in weights.values())
    exact = {
        "max_layers": len(LAYERS),
        "max_tensors": count,
        "max_tensor_bytes": size,
        "max_json_bytes": len(CONFIG),
    }
    check(read_legacy(image, Limits(**exact)), LAYERS)
    for name, most in exact.items():
        refused(image, name, **{name: most - 1})
    # A layer without weights needs no room for any.
    more = LAYERS | {"last": {}}
    check(read_legacy(model(more), Limits(**exact | {"max_layers": len(more)})), more)
    for chunks in (2, 3):
        refused(model(chunks=chunks), "max_layers", max_layers=len(LAYERS) - 1)
        read_legacy(model(chunks=chunks), Limits(**exact))


def deep(depth: int) -> bytes:
    path = "/".join(["g"] * (depth - 1) + ["w"])
    return weights_only({"layer": {path: numbers(2)}})


def test_depth() -> None:
    """The layer's own group counts."""
    read_legacy(deep(31), LIMITS)
    refused(deep(32), "nested deeper than 32")


def test_names_below_each_other_are_read_once() -> None:
    """Layers that are listed with a path into another one's weights."""
    layers = {"a": {"b/kernel:0": numbers(2)}}

    def edit(file: Any) -> None:
        file["model_weights"].attrs["layer_names"] = [b"a", b"a/b"]
        file["model_weights/a/b"].attrs["weight_names"] = [b"kernel:0"]

    refused(model(layers, edit=edit), "is used twice")


def test_shared_strings_are_bounded() -> None:
    """A list whose entries are all one long text of the heap."""
    image = Image()
    heap = image.heap([b"n" * 30_000], 2**15)
    reference = struct.pack("<IQI", 30_000, heap, 1)
    names = attribute(b"layer_names\0", VARIABLE, space(1000), reference * 1000)
    content = image.finish(image.group({}, [names]))
    tracemalloc.start()
    refused(content, "more bytes than the file")
    assert tracemalloc.get_traced_memory()[1] < 3 * len(content)
    tracemalloc.stop()


@pytest.mark.parametrize(("shift", "good"), [(16, True), (12, False), (0, False)])
def test_weights_do_not_overlap(shift: int, good: bool) -> None:
    image = Image()
    at = image.put(bytes(32))
    both = {"a": image.dataset(numbers(2, 2), at), "b": image.dataset(numbers(2, 2), at + shift)}
    layer = image.group(both, [image.strings("weight_names", [b"a", b"b"])])
    root = image.group({"layer": layer}, [image.strings("layer_names", [b"layer"])])
    if good:
        assert len(read_legacy(image.finish(root), LIMITS).weights[0][1]) == 2
    else:
        refused(image.finish(root), "are used twice")


@pytest.mark.parametrize("name", ["model_weights", "layer"])
def test_the_same_group_twice(name: str) -> None:
    """One of the root's, and one that is listed."""
    image = Image()
    heap, names = image.local_heap([name.encode()] * 2)
    leaf = image.leaf([(at, image.group({})) for at in names])
    table = TABLE, struct.pack("<2Q", image.node([leaf]), heap)
    listed = [image.strings("layer_names", [b"layer"])] if name == "layer" else []
    refused(image.finish(image.header([table, *listed])), f"'{name}' occurs twice")


def test_empty_lists_of_any_type() -> None:
    for datatype in (FLOAT32, b"", FLOAT32[:8]):
        image = Image()
        empty = attribute(b"weight_names\0", datatype.ljust(8, b"\0"), space(0), b"")
        layer = image.group({}, [empty])
        root = image.group({"layer": layer}, [image.strings("layer_names", [b"layer"])])
        assert read_legacy(image.finish(root), LIMITS).weights == [("layer", [])]


# ---- damage ----

SMALL: Layers = {
    "input": {},
    "dense": {"dense/kernel:0": numbers(2, 2), "dense/bias:0": numbers(2)},
}


def test_truncated_at_every_byte() -> None:
    image = model(SMALL)
    check(read_legacy(image, LIMITS), SMALL)
    for size in range(len(image)):
        with pytest.raises(ModelFormatError):
            read_legacy(image[:size], LIMITS)
    refused(image + b"\0", "declares")


def damage() -> None:
    """Read damaged files, in a process of its own with little memory; print what came of them."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    outcomes = {"refused": 0, "read": 0}
    image = model(SMALL)
    places = [i for i in range(len(image)) if image[max(0, i - 16) : i + 16].strip(b"\0")]
    generator = random.Random(3)
    for _ in range(6000):
        broken = bytearray(image)
        for _ in range(generator.choice((1, 1, 2, 8))):
            i = generator.choice(places)
            if generator.random() < 0.5:
                broken[i] ^= 1 << generator.randrange(8)
            else:
                broken[i] = generator.choice((0, 1, 4, 127, 255))
        try:
            found = read_legacy(bytes(broken), LIMITS)
            size = sum(weight.read().nbytes for _, weights in found.weights for weight in weights)
            assert size <= len(image)
        except ModelFormatError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    print(json.dumps(outcomes))


def test_damage() -> None:
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outcomes = json.loads(run.stdout)
    assert outcomes["refused"] > 500
    assert outcomes["read"] > 500


if __name__ == "__main__":
    damage()

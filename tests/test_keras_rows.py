"""Every row by which layers of Keras are read: is each option tested, and all else refused?

Cases that Keras computed are the tests of options: the archives hold the configurations.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastdrop.formats import ModelFormatError
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_json import Section
from fastdrop.formats._safe_legacy import Legacy, read_legacy
from fastdrop.formats.keras import Asked, assemble
from fastdrop.formats.keras._assemble import Assembly
from fastdrop.formats.keras._registry import FAMILIES, is_function
from fastdrop.formats.keras._version import Version, parse_version
from fastdrop.formats.keras.functions import KERAS
from fastdrop.formats.keras.tensorflow_functions import TENSORFLOW
from fastdrop.layers import Declared, Layer
from tolerances import FLOAT32, assert_close

REFERENCES = Path(__file__).with_name("references")
ARCHIVES = [*REFERENCES.glob("keras/*.tar.xz"), *REFERENCES.glob("models/*.tar.xz")]
ROWS = [row for name, rows in FAMILIES.items() if name != "operations" for row in rows]
LIMITS = Limits()


class Stored(NamedTuple):
    """What a stored file says of a model."""

    version: Version
    config: dict[str, Any]
    legacy: Legacy | None

    def assemble(self, config: dict[str, Any]) -> Assembly:
        where = Section("config.json", config)
        return assemble(where, self.version, Asked(LIMITS, custom=CUSTOM), self.legacy)

    def is_operation(self, entry: dict[str, Any]) -> bool:
        """Return whether an object is a function; .h5 files do not name its module."""
        module = entry.get("module")
        if module is None and not self.version.legacy:
            return is_function(entry["class_name"], entry["config"])
        return ".ops" in str(module) or ".activations" in str(module)


CUSTOM = {"MCDropout": "Dropout"}


def stored_models() -> Iterator[Stored]:
    """Yield the configurations of all stored files."""
    for path in sorted(ARCHIVES):
        with tarfile.open(path, "r:xz") as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                data = file.read()
                if member.name.endswith(".keras"):
                    with zipfile.ZipFile(io.BytesIO(data)) as parts:
                        config = json.loads(parts.read("config.json"))
                        text = json.loads(parts.read("metadata.json"))["keras_version"]
                    legacy = None
                elif member.name.endswith(".h5"):
                    try:
                        legacy = read_legacy(data, LIMITS)
                    except ModelFormatError:  # names that are refused
                        continue
                    if legacy.model_config is None:
                        continue
                    config, text = json.loads(legacy.model_config), str(legacy.keras_version)
                else:
                    continue
                version = parse_version(text)
                assert version is not None
                yield Stored(version, config, legacy)


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the serialized objects in a configuration, outer ones first."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str) and isinstance(value.get("config"), dict):
            yield value
        children: Any = value.values()
    else:
        children = value if isinstance(value, list) else ()
    for child in children:
        yield from objects(child)


class Seen(NamedTuple):
    """What occurs in the stored files."""

    values: dict[str, dict[str, set[str]]]
    operations: set[str]
    functions: set[str]
    smallest: dict[str, Stored]


@cache
def seen() -> Seen:
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    operations, functions, sizes = set(), set(), {}
    smallest: dict[str, Stored] = {}
    for model in stored_models():
        size = len(json.dumps(model.config))
        for entry in objects(model.config):
            name = entry["class_name"]
            if model.is_operation(entry):
                operations.add(name)
                continue
            for key, value in entry["config"].items():
                values[name][key].add(json.dumps(value, sort_keys=True))
            if name == "TFOpLambda":
                functions.add(entry["config"]["function"])
            if size < sizes.get(name, size + 1):
                sizes[name], smallest[name] = size, model
    return Seen(values, operations, functions, smallest)


# Rows without a stored case, and why.
NO_CASE = {
    "BatchNormalizationV1": "a name that TensorFlow 1.13 to 2.0 gave BatchNormalization",
    "BatchNormalizationV2": "a name that TensorFlow 1.13 to 2.0 gave BatchNormalization",
}
# Options of which the stored cases have one value, and why.
ONE_VALUE = {
    "data_format": "the other one is every row's affair, and has cases for most",
    "time_major": "all others are refused",
    "mode_type": "all others are refused",
}
ONE_VALUE_OF = {
    **{
        (row.name, option.key): "as in one dimension, or in two"
        for row in ROWS
        for option in row.options
        if "3D" in row.name or row.name == "ConvLSTM1D"
    },
    **{
        (name, option): "as in the layer that it is taken for"
        for name in ("CuDNNLSTM", "CuDNNGRU")
        for option in (
            "units",
            "go_backwards",
            "return_sequences",
            "return_state",
            "stateful",
            "zero_output_for_mask",
        )
    },
    **{
        (name, "groups"): "all others are refused"
        for kind in ("Depthwise", "Separable")
        for name in (f"{kind}Conv1D", f"{kind}Conv2D")
    },
    **{
        (name, option): reason
        for option, reason in (
            ("groups", "all others are refused"),
            ("dilation_rate", "TensorFlow has no other on CPUs; tested against PyTorch"),
        )
        for name in ("Conv1DTranspose", "Conv2DTranspose")
    },
    **{
        (name, "sparse"): "all others are refused"
        for name in ("CategoryEncoding", "Discretization")
    },
    **{
        ("IntegerLookup", option): "all others are refused"
        for option in ("sparse", "invert", "vocabulary_dtype", "oov_method")
    },
    ("Attention", "causal"): "of TensorFlow 2.2 to 2.9; now an argument of the call",
    ("AdditiveAttention", "causal"): "of TensorFlow 2.2 to 2.9; now an argument of the call",
    ("ReversibleEmbedding", "reverse_dtype"): "what else is not refused is null",
    ("MultiHeadAttention", "use_gate"): "of Keras 3.14, tested against NumPy",
    ("MultiHeadAttention", "sliding_window"): "of Keras 3.14, tested against NumPy",
    ("MultiHeadAttention", "softmax_robust_masking"): "of Keras 2, tested against NumPy",
}


def test_every_option_has_cases() -> None:
    """An option of which only one value was ever seen is not tested."""
    values = seen().values
    assert {row.name for row in ROWS if row.name not in values} <= {*NO_CASE}
    lacking = {
        (row.name, option.key)
        for row in ROWS
        if row.name not in NO_CASE
        for option in row.options
        if option.key not in ONE_VALUE and len(values[row.name][option.key]) < 2
    }
    assert lacking <= {*ONE_VALUE_OF}


# ---- what is no option, and values of the wrong type ----

BY_HAND: dict[str, dict[str, Any]] = {
    "BatchNormalizationV1": {"axis": [2], "epsilon": 0.001, "center": True, "scale": True},
    "BatchNormalizationV2": {"axis": [2], "epsilon": 0.001, "center": True, "scale": True},
}


def model_with(class_name: str) -> Stored:
    """Return the smallest stored model with a layer of a class, or one made by hand."""
    if class_name not in NO_CASE:
        return seen().smallest[class_name]
    layers = [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 6, 3]}},
        {"class_name": class_name, "config": {"name": "layer", **BY_HAND[class_name]}},
    ]
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    return Stored(Version(2, 4, True), config, None)


def changed(model: Stored, class_name: str, key: str, value: Any) -> dict[str, Any]:
    """Return a model's configuration with another value of an option of a class."""
    config = copy.deepcopy(model.config)
    entries = (e for e in objects(config) if e["class_name"] == class_name)
    next(e for e in entries if not model.is_operation(e))["config"][key] = value
    return config


def meaning(layer: Any) -> Any:
    """Return all fields of a layer, and of the layers in it, as values to compare."""
    if isinstance(layer, Layer):
        fields = {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)}
        return type(layer).__name__, {k: meaning(v) for k, v in fields.items() if k != "name"}
    if isinstance(layer, tuple | list):
        return [meaning(item) for item in layer]
    return layer.shape if isinstance(layer, Declared) else repr(layer)


def meanings(assembly: Assembly) -> list[Any]:
    return [meaning(planned.layer) for _, planned in assembly.records()]


def said(model: Stored, config: dict[str, Any]) -> str:
    """Return what is made of a configuration, or why nothing is."""
    try:
        return str(meanings(model.assemble(config)))
    except ModelFormatError as error:
        return str(error)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_no_option_is_refused(row: Any) -> None:
    model = model_with(row.name)
    model.assemble(model.config)
    with pytest.raises(ModelFormatError, match="unsupported option 'unknown': 3"):
        model.assemble(changed(model, row.name, "unknown", 3))


NUMBER, FLAG, NOTHING = (int, float), (bool,), (type(None),)
# Of which types a value may be that changes what a layer does, by option. All others are refused.
TYPES: dict[str, tuple[type, ...]] = {
    "activation": NOTHING,
    "alpha": NUMBER,
    "attention_axes": NOTHING,
    "axes": (int,),
    "axis": (int, list, *NOTHING),
    "bias_axes": NOTHING,
    "bin_boundaries": (list,),
    "causal": FLAG,
    "center": FLAG,
    "dropout": NUMBER,
    "epsilon": NUMBER,
    "go_backwards": FLAG,
    "implementation": (int,),
    "invert": FLAG,
    "keepdims": FLAG,
    "mask_token": (int, *NOTHING),
    "mask_value": NUMBER,
    "mask_zero": FLAG,
    "max_value": (*NUMBER, *NOTHING),
    "mean": (*NUMBER, list),
    "merge_mode": NOTHING,
    "negative_slope": NUMBER,
    "normalize": FLAG,
    "num_oov_indices": (int,),
    "offset": (*NUMBER, list),
    "output_padding": (int, list, *NOTHING),
    "output_shape": (list, *NOTHING),
    "rate": NUMBER,
    "recurrent_activation": NOTHING,
    "recurrent_dropout": NUMBER,
    "reset_after": FLAG,
    "return_sequences": FLAG,
    "return_state": FLAG,
    "rms_scaling": FLAG,
    "scale": (bool, int, float, list),
    "shared_axes": (int, list, *NOTHING),
    "softmax_robust_masking": FLAG,
    "stddev": NUMBER,
    "strides": NOTHING,
    "theta": NUMBER,
    "tie_weights": FLAG,
    "threshold": NUMBER,
    "unroll": FLAG,
    "use_bias": FLAG,
    "use_gate": FLAG,
    "use_scale": FLAG,
    "head_dim": NUMBER,
    "logit_soft_cap": (*NUMBER, type(None)),
    "num_key_value_heads": NUMBER,
    "num_query_heads": NUMBER,
    "groups": (int,),  # -1: one of each channel
    "variance": (*NUMBER, list),
    "vocabulary": (list,),
    "zero_output_for_mask": FLAG,
}
VALUES = [
    [], {}, "x", "\ud800", -1.5, -1, 0, 2**31, 10**400, 1e308, True, False, None, [[]], [None], [0],
    ["x", 1], [1, 2, 3, 4, 5, 6, 7, 8, 9], [[1, 2], [3]], {"class_name": 3},
    {"class_name": "x", "config": 1}, {"class_name": "x", "config": {}},
    {"class_name": "__numpy__", "config": {"value": [[1], [2, 3]]}},
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_value_of_the_wrong_type_is_refused_or_without_effect(row: Any) -> None:
    """Whatever the key, one that Keras writes or one that is only looked at."""
    model = model_with(row.name)
    plain = meanings(model.assemble(model.config))
    written = {*seen().values.get(row.name, ()), *BY_HAND.get(row.name, ())}
    for key in {option.key for option in row.options} | row.without_effect | written:
        for value in VALUES:
            try:
                found = meanings(model.assemble(changed(model, row.name, key, value)))
            except ModelFormatError:
                continue
            fits = type(value) in TYPES.get(key, ())
            assert found == plain or fits, f"{key}: {value!r}"


# Options that can have one value alone, which is also what is meant where a file has none.
FIXED = {"data_format": "channels_last", "time_major": False}


@pytest.mark.parametrize(
    ("row", "key"),
    [
        pytest.param(row, option.key, id=f"{row.name}-{option.key}")
        for row in ROWS
        for option in row.options
        if option.key in FIXED
    ],
)
def test_the_one_value_is_the_one(row: Any, key: str) -> None:
    """Another order of axes, for one, must not be read as the one that is known."""
    model = model_with(row.name)
    if key == "data_format":
        first = said(model, changed(model, row.name, key, "channels_first"))
        # Or the images are too small in this order.
        assert "ChannelsFirst" in first or "expected an input of shape" in first
    plain = meanings(model.assemble(model.config))
    if "ChannelsFirst" not in str(plain):
        assert meanings(model.assemble(changed(model, row.name, key, FIXED[key]))) == plain
    for value in (*VALUES, "channels_middle"):
        if value is not FIXED[key]:
            # Whatever has a class is looked at first.
            expected = f"{key}|is not a part of Keras" if isinstance(value, dict) else key
            with pytest.raises(ModelFormatError, match=expected):
                model.assemble(changed(model, row.name, key, value))


@pytest.mark.parametrize("name", ["Resizing", "UpSampling2D"])
def test_other_ways_of_making_images_larger(name: str) -> None:
    model = model_with(name)
    for value in ("bicubic", "lanczos3", "area", None):
        with pytest.raises(ModelFormatError, match="interpolation: expected nearest, bilinear"):
            model.assemble(changed(model, name, "interpolation", value))


def test_images_of_whole_numbers() -> None:
    """Keras makes whole numbers of these, where there is something between them."""
    model = next(m for m in stored_models() if "Resizing" in str(m.config) and m.version.major == 3)
    config = copy.deepcopy(model.config)
    (entry,) = (e for e in objects(config) if e["class_name"] == "InputLayer")
    for dtype, refused in (("uint8", True), ("int32", True), ("float32", False)):
        entry["config"]["dtype"] = dtype
        with (
            pytest.raises(ModelFormatError, match="of whole numbers it makes whole numbers")
            if refused
            else contextlib.nullcontext()
        ):
            model.assemble(config)


# ---- functions ----

# Functions without a stored case, and what NumPy has for them. Numbers stand for bools here.
TWO = {
    "FloorDivide": np.floor_divide,
    "Mod": np.mod,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "LogicalAnd": np.logical_and,
    "LogicalXor": np.logical_xor,
}
ONE = {
    "Sign": np.sign,
    "Expm1": np.expm1,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.round,
    "Trunc": np.trunc,
    "Identity": lambda x: x,
    "StopGradient": lambda x: x,
    "Copy": lambda x: x,
    "Abs": np.abs,
    "LogicalNot": np.logical_not,
    "HardSilu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "HardTanh": lambda x: np.clip(x, -1, 1),
    "Mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "TanhShrink": lambda x: x - np.tanh(x),
}
REDUCED = {"Amax": np.max, "Amin": np.min, "Prod": np.prod, "All": np.all}
OTHERS = {"Where", "Celu", "Isnan"}

# TensorFlow's, by the last part of the name, whatever the module is that a file names.
TF_TWO = {
    "subtract": np.subtract,
    "sub": np.subtract,
    "multiply": np.multiply,
    "mul": np.multiply,
    "truediv": np.divide,
    "divide": np.divide,
    "div": np.divide,
    "floordiv": np.floor_divide,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "ne": np.not_equal,
    "greater": np.greater,
    "gt": np.greater,
    "greater_equal": np.greater_equal,
    "ge": np.greater_equal,
    "less": np.less,
    "lt": np.less,
    "less_equal": np.less_equal,
    "le": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
}
TF_ONE = {
    "log1p": lambda x: np.log1p(np.abs(x)),
    "reciprocal": np.reciprocal,
    "cos": np.cos,
    "logical_not": np.logical_not,
    "swish": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "neg": np.negative,
    "abs": np.abs,
    "stop_gradient": lambda x: x,
    "is_finite": np.isfinite,
    "is_inf": np.isinf,
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
}
TF_REDUCED = {"reduce_prod": np.prod, "reduce_any": np.any, "reduce_all": np.all}
TF_OTHERS = {"where", "squeeze", "transpose", "reverse", "math.is_nan"}

X = np.array([[[-2.5, -0.5, 0.5], [1.5, 2.5, 3.25]], [[-3.0, -1.0, 1.0], [2.0, 0.75, 7.0]]])
Y = np.array([[[2.5, -0.5, 2.0], [1.5, -2.0, 0.5]], [[3.0, 2.0, 1.0], [-2.0, 0.25, 3.0]]])
POSITIVE, ZEROS = np.abs(X), np.where(np.abs(X) > 2, 0.0, X)
FUNCTIONS = {
    *(name for name in TENSORFLOW if name.rpartition(".")[2] in {*TF_TWO, *TF_ONE}),
    *(f"math.{name}" for name in TF_REDUCED),
    *TF_OTHERS,
}


def graph(entry: dict[str, Any], version: Version, *inputs: np.ndarray) -> Any:
    """Return what a functional model gives that is one call of a function."""
    names = [f"x{i}" for i in range(len(inputs))]
    layers = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "name": name,
            "config": {"name": name, "batch_shape": [None, *x.shape[1:]], "dtype": "float32"},
            "registered_name": None,
            "inbound_nodes": [],
        }
        for name, x in zip(names, inputs, strict=True)
    ]
    model = {
        "module": "keras",
        "class_name": "Functional",
        "registered_name": None,
        "config": {
            "name": "model",
            "layers": [*layers, {"name": "f", "registered_name": None} | entry],
            "input_layers": [[name, 0, 0] for name in names],
            "output_layers": [["f", 0, 0]],
        },
    }
    assembly = assemble(Section("config.json", model), version, Asked(LIMITS))
    return assembly.finish({}).predict(list(inputs) if len(inputs) > 1 else inputs[0])


def keras_3(name: str, *inputs: np.ndarray, **options: Any) -> Any:
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"keras_history": [f"x{i}", 0, 0]}}
        for i in range(len(inputs))
    ]
    entry = {
        "module": "keras.src.ops.numpy",
        "class_name": name,
        "config": {"name": "f", **options},
        "inbound_nodes": [{"args": tensors, "kwargs": {}}],
    }
    return graph(entry, Version(3, 15), *inputs)


def tensorflow(function: str, *inputs: np.ndarray, **options: Any) -> Any:
    named = {f: f"x{i}" for i, f in enumerate(("x", "y")[: len(inputs)])}
    more = {"y": [named["y"], 0, 0]} if len(inputs) == 2 else {}
    entry = {
        "module": "keras.layers",
        "class_name": "TFOpLambda",
        "config": {"name": "f", "trainable": True, "dtype": "float32", "function": function},
        "inbound_nodes": [["x0", 0, 0, {**more, **options, "name": None}]],
    }
    return graph(entry, Version(2, 15, True), *inputs)


def close(got: Any, expected: np.ndarray) -> None:
    assert_close(got, np.asarray(expected, np.float32), FLOAT32)


def test_every_function_has_a_case_or_a_test() -> None:
    stored = seen()
    assert {*KERAS} - stored.operations <= {*TWO, *ONE, *REDUCED, *OTHERS}
    assert {*TENSORFLOW} - stored.functions <= FUNCTIONS
    assert {*TENSORFLOW} >= FUNCTIONS


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_tensors(name: str) -> None:
    for x, y in ((X, Y), (ZEROS, Y), (Y, X)):
        close(keras_3(name, x, y), TWO[name](x, y))


@pytest.mark.parametrize("name", ONE)
def test_functions_of_a_tensor(name: str) -> None:
    for x in (X, ZEROS):
        close(keras_3(name, x), ONE[name](x))


@pytest.mark.parametrize("name", REDUCED)
@pytest.mark.parametrize(("axis", "keepdims"), [(1, False), (-1, True), ([1, 2], False)])
def test_reductions(name: str, axis: Any, keepdims: bool) -> None:
    for x in (X, ZEROS):
        expected = REDUCED[name](x, axis=tuple(np.atleast_1d(axis)), keepdims=keepdims)
        close(keras_3(name, x, axis=axis, keepdims=keepdims), expected)


def test_where_and_celu() -> None:
    close(keras_3("Where", ZEROS, X, Y), np.where(ZEROS != 0, X, Y))
    for alpha in (1.0, 0.5):
        celu = np.maximum(X, 0) + np.minimum(0, alpha * np.expm1(X / alpha))
        close(keras_3("Celu", X, alpha=alpha), celu)


@pytest.mark.parametrize("function", sorted(FUNCTIONS - TF_OTHERS))
def test_functions_of_tensorflow(function: str) -> None:
    name = function.rpartition(".")[2]
    if name in TF_TWO:
        x = POSITIVE if name == "pow" else X
        close(tensorflow(function, x, Y), TF_TWO[name](x, Y))
    elif name in TF_ONE:
        x = POSITIVE if name == "log1p" else ZEROS if name == "logical_not" else X
        close(tensorflow(function, x), TF_ONE[name](x))
    else:
        close(
            tensorflow(function, ZEROS, axis=[1], keepdims=True),
            TF_REDUCED[name](ZEROS, axis=1, keepdims=True),
        )


def test_shapes_and_choices_of_tensorflow() -> None:
    close(tensorflow("squeeze", X[:, :, :1], axis=[2]), X[:, :, 0])
    close(tensorflow("transpose", X, perm=[0, 2, 1]), X.transpose(0, 2, 1))
    close(tensorflow("reverse", X, axis=[1]), X[:, ::-1])
    close(tensorflow("reverse", X, axis=[1, -1]), X[:, ::-1, ::-1])
    close(tensorflow("reverse", X, axis=[]), X)
    # where takes its condition first: x0 is that, and x and y are keywords.
    entry = {
        "module": "keras.layers",
        "class_name": "TFOpLambda",
        "config": {"name": "f", "trainable": True, "dtype": "float32", "function": "where"},
        "inbound_nodes": [["x0", 0, 0, {"x": ["x1", 0, 0], "y": ["x2", 0, 0], "name": None}]],
    }
    close(graph(entry, Version(2, 15, True), ZEROS, X, Y), np.where(ZEROS != 0, X, Y))


def test_places_of_each_row_are_none_of_all_rows() -> None:
    close(tensorflow("compat.v1.gather", X, indices=[1, 0], axis=1), X[:, [1, 0]])
    with pytest.raises(ModelFormatError, match="batch_dims: expected 0, found 1"):
        tensorflow("compat.v1.gather", X, indices=[1, 0], axis=1, batch_dims=1)


def test_what_is_no_number() -> None:
    x = np.where(X > 2, np.nan, X)
    close(keras_3("Isnan", x), np.isnan(x))
    close(tensorflow("math.is_nan", x), np.isnan(x))


def test_einsum_and_parts() -> None:
    close(keras_3("Einsum", X, Y, subscripts="bij,bkj->bik"), X @ Y.swapaxes(1, 2))
    close(keras_3("Moveaxis", X, source=[-1], destination=[1]), np.moveaxis(X, -1, 1))
    close(keras_3("Repeat", X, repeats=[2], axis=1), np.repeat(X, 2, axis=1))
    close(keras_3("Argmax", X, axis=1, keepdims=False), np.argmax(X, axis=1))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Argmax", {"axis": None}, "axis: expected one axis"),
        ("Cumsum", {"axis": None}, "axis: expected one axis"),
        ("Cumsum", {"axis": 1, "dtype": "int32"}, "dtype: expected a floating-point type"),
        ("Moveaxis", {"source": [0], "destination": [1]}, "source: expected no axis 0"),
        ("Moveaxis", {"source": [1], "destination": [1, 2]}, "destination: expected as many axes"),
        ("Pad", {"pad_width": [[1, 0], [0, 0], [0, 0]]}, "pad_width: expected two numbers"),
        ("Pad", {"pad_width": [[0, 0], [-1, 0], [0, 0]]}, "pad_width: expected two numbers"),
        ("Pad", {"pad_width": [[0, 0]]}, "pad_width: expected two numbers"),
        ("Pad", {"pad_width": [[0, 0], [1, 1], [0, 0]], "mode": "reflect"}, "mode: expected"),
        ("Repeat", {"repeats": [1, 2], "axis": 1}, "repeats: expected an integer"),
        ("Repeat", {"repeats": 2, "axis": 0}, "axis: expected no axis 0"),
        ("Repeat", {"repeats": 2}, "axis: expected one axis"),
        ("Tile", {"repeats": [2, 1, 1]}, "expected an axis of a row"),
        ("Tile", {"repeats": [1, 2, 2]}, "repeats: expected integers up to"),
        ("Split", {"indices_or_sections": "2", "axis": 1}, "expected an integer, or a list"),
        ("Split", {"indices_or_sections": 2, "axis": 0}, "axis: expected no axis 0"),
        ("Split", {"indices_or_sections": 2, "axis": 2}, "expected a length of 2 equal parts"),
        ("Unstack", {"num": 3, "axis": 1}, "expected a length of 3 equal parts"),
        ("Unstack", {"num": "2", "axis": 1}, "num: expected an integer"),
        ("Einsum", {"subscripts": "bij->bj,b"}, "expected an equation of letters"),
        ("Einsum", {"subscripts": "bij->jb"}, "a letter for each axis"),
        ("ExpandDims", {"axis": [1, -1]}, "axis: expected axes counted from the front"),
        ("ExpandDims", {"axis": [0, 1]}, "axis: expected no axis 0"),
        ("Average", {"axis": 1, "weights": [1, -1]}, "weights: expected numbers along one axis"),
        ("Average", {"axis": 1, "weights": [[1, 2]]}, "weights: expected numbers along one axis"),
        ("Average", {"axis": 1, "weights": [1, 2, 3]}, "expected an input of shape as in"),
        ("Average", {"axis": -3, "weights": [1, 2]}, "that of the batch in front"),
        ("Average", {"axis": 0, "weights": [1, 2]}, "axis: expected no axis 0"),
        ("Average", {"weights": [1, 2]}, "axis: expected one axis"),
        ("Sort", {"axis": None}, "axis: expected one axis"),
        ("Sort", {"axis": 0}, "axis: expected no axis 0"),
        ("Sort", {"axis": 1, "direction": "UP"}, "direction: expected 'ASCENDING' or"),
        ("Argsort", {"axis": None}, "axis: expected one axis"),
        ("TopK", {"k": 0}, "k: expected a positive integer"),
        ("TopK", {"k": 6}, "of 6 places or more on axis -1"),
        ("TopK", {"k": 2, "sorted": False}, "sorted: expected true"),
        ("Median", {"axis": None}, "axis: expected axes"),
        ("Diff", {"n": "2"}, "n: expected an integer"),
        ("Diff", {"n": 65}, "times: expected an integer"),
        ("Diff", {"axis": 0}, "axis: expected no axis 0"),
        ("FullLike", {"fill_value": "a"}, "fill_value: expected a tensor or numbers"),
        ("FullLike", {"fill_value": 0.5, "dtype": "int32"}, "dtype: expected a floating-point"),
        ("NanToNum", {"nan": "0"}, "nan: expected a number"),
        ("Softmax", {"axis": None}, "axis: expected one axis"),
        ("LogSoftmax", {"axis": None}, "axis: expected one axis"),
        ("Normalize", {"axis": None}, "axis: expected axes: without"),
        ("Glu", {}, "of an even length on axis -1"),
        ("Glu", {"axis": 0}, "axis: expected no axis 0"),
        ("Roll", {"shift": 1}, "axis: expected one axis"),
        ("Roll", {"shift": [1], "axis": 1}, "shift: expected an integer"),
        ("Roll", {"shift": 1, "axis": 0}, "axis: expected no axis 0"),
        ("Take", {"indices": [0, 0.5], "axis": 1}, "indices: expected whole numbers"),
        ("Take", {"indices": [[0, 1]], "axis": 1}, "indices: expected whole numbers"),
        ("Take", {"indices": [], "axis": 1}, "indices: expected whole numbers"),
        ("Take", {"axis": 1}, "indices: expected whole numbers"),
        ("Take", {"indices": [0]}, "axis: expected one axis"),
        ("Take", {"indices": [0], "axis": 0}, "axis: expected no axis 0"),
        ("Take", {"indices": [2], "axis": 1}, "of 3 places or more on axis 0"),
        ("OneHot", {"num_classes": 3, "axis": 1, "dtype": "float32"}, "axis: expected -1"),
        ("OneHot", {"num_classes": 0}, "num_classes: expected an integer"),
        ("OneHot", {"num_classes": 3, "dtype": "int32"}, "dtype: expected a floating-point type"),
        ("Norm", {"ord": 1, "axis": 1}, "ord: expected that of Euclid"),
        ("Norm", {"ord": 2, "axis": [1, 2]}, "axis: expected one axis"),
        ("Norm", {}, "axis: expected axes"),
        ("Normalize", {"order": 1}, "order: expected 2"),
        ("Normalize", {"axis": 0}, "axis: expected no axis 0"),
        ("Einsum", {"subscripts": 3}, "subscripts: expected an equation"),
    ],
)
def test_what_a_function_cannot_do(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        keras_3(name, X, **options)


def test_numbers_in_their_order() -> None:
    """Without an axis it is the last one."""
    x = np.round(X)
    for got in (keras_3("Sort", x), tensorflow("sort", x)):
        close(got, np.sort(x))
    for got in (keras_3("Argsort", x), tensorflow("argsort", x, stable=True)):
        close(got, np.argsort(x, kind="stable"))
    for options in ({"sorted": True}, {"index_type": {"class_name": "int64"}}):
        close(tensorflow("math.top_k", x, k=2, **options), -np.sort(-x)[..., :2])
    close(keras_3("Diff", X), np.diff(X))


def test_slices_and_sums_of_tensorflow() -> None:
    close(tensorflow("slice", X, begin=[0, 1, 0], size=[-1, 1, 2]), X[:, 1:2, :2])
    close(tensorflow("slice", X, begin=[0, 0, 1], size=[-1, -1, -1]), X[:, :, 1:])
    for begin, size in (([1, 0, 0], [-1, 1, 1]), ([0, 0, 0], [2, 1, 1]), ([0, 0], [-1, 1, 1])):
        with pytest.raises(ModelFormatError, match="size: expected -1 for the batch"):
            tensorflow("slice", X, begin=begin, size=size)
    for begin, size in (([0, -1, 0], [-1, 1, 1]), ([0, 0, 0], [-1, -2, 1]), ([], [])):
        with pytest.raises(ModelFormatError, match="size: expected -1 for the batch"):
            tensorflow("slice", X, begin=begin, size=size)
    for begin, size in ((0, [-1, 1, 1]), ([0, "x1", 0], [-1, 1, 1])):
        with pytest.raises(ModelFormatError, match="begin: expected a list of integers"):
            tensorflow("slice", X, begin=begin, size=size)


def test_lengths_of_parts_in_tensorflow() -> None:
    for parts in ([1, -1], [1, 2]):
        with pytest.raises(ModelFormatError, match=r"layer 'f' \(TFOpLambda\)|expected parts of"):
            tensorflow("split", X, num_or_size_splits=parts, axis=1)


def test_casts() -> None:
    """Whole numbers are cut, bools are whether something is not 0."""
    close(keras_3("Cast", X, dtype="int32"), np.trunc(X))
    for dtype in ("int8", "uint8", "int16", "uint32"):
        with pytest.raises(ModelFormatError, match="expected one that holds its numbers"):
            keras_3("Cast", X, dtype=dtype)
    close(keras_3("Cast", ZEROS, dtype="bool"), ZEROS != 0)
    for dtype in ("float16", "bfloat16", "float64"):
        close(keras_3("Cast", X, dtype=dtype), X)


def test_options_that_keras_writes_always() -> None:
    """Each operation's configuration has all its arguments, those by default too."""
    close(keras_3("Round", X, decimals=0), np.round(X))
    close(keras_3("Prod", X, axis=[1], keepdims=False, dtype=None), np.prod(X, axis=1))
    close(keras_3("Max", X, axis=[1], keepdims=False, initial=None), np.max(X, axis=1))
    close(keras_3("OnesLike", X, dtype="int32"), np.ones_like(X))
    options = {"sparse": None, "ragged": False}
    close(keras_3("ConvertToTensor", X, dtype=None, **options), X)
    close(keras_3("ConvertToTensor", X, dtype="float64", **options), X)
    close(keras_3("ConvertToTensor", X, dtype="int32", **options), np.trunc(X))
    close(keras_3("ConvertToTensor", ZEROS, dtype="bool", **options), ZEROS != 0)


def test_what_functions_do_by_default() -> None:
    """As Keras and TensorFlow define it where a call says nothing."""
    cubic = np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)
    close(keras_3("Gelu", X), X * (1 + np.tanh(cubic)) / 2)
    close(keras_3("LeakyRelu", X), np.where(X < 0, 0.2 * X, X))
    x = np.stack([X, Y, POSITIVE], axis=1)
    close(tensorflow("nn.softmax", x), np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))


def test_relu_with_all_options() -> None:
    options = {"negative_slope": 0.25, "max_value": 2.0, "threshold": 0.625}
    expected = np.where(X >= 2, 2, np.where(X >= 0.625, X, 0.25 * (X - 0.625)))
    close(keras_3("ReLU", X, **options), expected)


def test_numbers_that_do_not_depend_on_the_values() -> None:
    close(keras_3("OnesLike", X), np.ones_like(X))
    close(keras_3("ZerosLike", X), np.zeros_like(X))


TENSORS = [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x0", 0, 0]}}]


def called(name: str, *args: Any, function: str = "") -> dict[str, Any]:
    """Return a function that is called with these arguments."""
    config = {"name": "f", "function": function} if function else {"name": "f"}
    return {
        "module": "keras.layers" if "Lambda" in name else "keras.src.ops.numpy",
        "class_name": name,
        "config": config,
        "inbound_nodes": [{"args": [*args], "kwargs": {}}],
    }


@pytest.mark.parametrize("kind", ["__numpy__", "__tensor__"])
def test_arrays_as_constants(kind: str) -> None:
    array = {"class_name": kind, "config": {"value": [1.0, -2.0, 0.5], "dtype": "float32"}}
    got = graph(called("Subtract", array, *TENSORS), Version(3, 15), X)
    close(got, np.array([1.0, -2.0, 0.5]) - X)


@pytest.mark.parametrize("transpose_b", [False, True])
def test_products_of_tensorflow(transpose_b: bool) -> None:
    """The first one transposed, the second one or not."""
    y = Y if not transpose_b else Y.transpose(0, 2, 1)
    entry = called("TFOpLambda", function="linalg.matmul") | {
        "inbound_nodes": [
            ["x0", 0, 0, {"b": ["x1", 0, 0], "transpose_a": True, "transpose_b": transpose_b}]
        ]
    }
    close(graph(entry, Version(2, 15, True), X, y), X.transpose(0, 2, 1) @ Y)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Matmul", {"x2": [[[1.0]]]}, "x2: expected a tensor, or numbers along one axis or two"),
        ("Matmul", {"x2": None}, "x2: expected a tensor, or numbers"),
        ("Matmul", {"x2": [[1.0, 2.0], [3.0]]}, "x2: expected a tensor, or numbers"),
        ("Matmul", {"x2": [[1.0] * 5]}, r"expected an input of shape as in .*, got \("),
        ("Dot", {"x2": "x0"}, "x2: expected a tensor, or numbers along one axis or two"),
        ("Tensordot", {"x2": [1.0], "axes": 2}, "axes: expected 1, found 2"),
        ("Tensordot", {"x2": [1.0], "axes": [[1], [0]]}, "axes: expected 1"),
        ("Einsum", {"operand 2": [[1.0]], "subscripts": "bij,bj->bi"}, "that of the batch in fr"),
        ("Einsum", {"operand 2": [[1.0]], "subscripts": "bij,jk"}, "a letter for each axis"),
        ("Einsum", {"operand 2": [[1.0]], "subscripts": "bij"}, "a letter for each axis"),
        ("Einsum", {"operand 2": [[1.0]], "subscripts": "bij,jk->bi"}, "another one has"),
        (
            "Einsum",
            {"operand 2": [[1.0]], "operand 3": [1.0, 2.0], "subscripts": "bij,jk,k->bi"},
            "a letter for each axis of numbers",
        ),
        (
            "Einsum",
            {"operand 2": [[1.0]], "operand 3": [1.0], "subscripts": "bij,j...,j->bi"},
            "a letter for each axis of numbers",
        ),
        (
            "Einsum",
            {"operand 2": [1.0] * 5000, "operand 3": [1.0] * 5000, "subscripts": "bij,k,l->bkl"},
            "of which 16777216 are made at most",
        ),
        ("TakeAlongAxis", {"indices": [[0]], "axis": 1}, "indices: expected a tensor"),
    ],
)
def test_products_with_numbers_that_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelFormatError, match=f"layer 'f' .*{message}"):
        keras_3(name, X, **options)


def test_numbers_in_front_of_rows_without_an_axis_more() -> None:
    """The axis that is summed would be that of the batch."""
    with pytest.raises(ModelFormatError, match="that of the batch in front of inputs"):
        graph(called("Matmul", [1.0, 2.0], *TENSORS), Version(3, 15), X[:, 0])


SLICE = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Max", {"axis": 0}, "axis: expected no axis 0, which is that of the batch, found 0"),
        ("Max", {"axis": [1, 0]}, "axis: expected no axis 0, which is that of the batch"),
        ("Max", {}, "axis: expected axes: without, rows of a batch would be mixed"),
        ("Max", {"axis": 1.0}, "axis: expected whole numbers, found 1.0"),
        ("Max", {"axis": [1, -2]}, "expected axes that differ"),
        ("Max", {"axis": 1, "initial": 0}, "unsupported argument 'initial': 0"),
        ("Prod", {"axis": 1, "dtype": "int32"}, "dtype: expected a floating-point type, found 'in"),
        ("Round", {"decimals": 1}, "decimals: expected 0, found 1"),
        ("Round", {"decimals": False}, "decimals: expected 0, found False"),
        ("ConvertToTensor", {"sparse": True}, "unsupported argument 'sparse': True"),
        ("Max", {"axis": 1, "keepdims": 1}, "keepdims: expected true or false, found 1"),
        ("Softmax", {"axis": [1, 2]}, r"axis: expected one axis, found \[1, 2\]"),
        ("Flip", {}, "axis: expected axes of a row, found None"),
        ("Flip", {"axis": [1, 2**40]}, "axis: expected axes of a row"),
        ("Reshape", {"newshape": [2, 6]}, "newshape: expected -1 for the batch, the first axis"),
        ("LeakyRelu", {"negative_slope": True}, "negative_slope: expected a number, found True"),
        ("Cast", {"dtype": "string"}, "dtype: 'string' is not supported"),
        ("Cast", {"dtype": "complex64"}, "dtype: 'complex64' is not supported"),
    ],
)
def test_calls_that_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=f"^layer 'f' .{name}.: .*{message}"):
        keras_3(name, X, **options)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (called("Tanh", *TENSORS, *TENSORS), "expected at most 1 inputs"),
        (called("Concatenate", [], -1), "expected one input or more, got 0"),
        (called("Stack", [], -1), "expected one input or more, got 0"),
        (called("Stack", TENSORS, 0), "axis: expected no axis 0"),
        (called("Concatenate", [*TENSORS, 1.0], -1), "xs: expected tensors, found"),
        (called("GetItem", *TENSORS, [SLICE, True]), "key: True is not supported"),
        (called("TFOpLambda", function="stack"), "axis: expected no axis 0"),
        (called("TFOpLambda", TENSORS * 2, function="concat"), "axis: expected no axis 0"),
        (called("TFOpLambda", TENSORS * 2, function="stack"), "axis: expected no axis 0"),
        (called("TFOpLambda", function="nn.relu"), "x: expected a tensor, found None"),
        (called("SlicingOpLambda"), "x: expected a tensor, found None"),
        (
            called("TFOpLambda", function="nn.relu")
            | {"inbound_nodes": [["x0", 0, 0, {"more": 0}]]},
            "unsupported argument 'more': 0 of its call",
        ),
    ],
)
def test_calls_without_what_they_need(entry: dict[str, Any], message: str) -> None:
    version = Version(2, 15, True) if "Lambda" in entry["class_name"] else Version(3, 15)
    with pytest.raises(ModelFormatError, match=f"^layer 'f' .*: {message}"):
        graph(entry, version, X)


def test_functions_are_told_from_layers() -> None:
    """A function has no more than a name and its arguments, of which one may be a type."""
    assert is_function("Cast", {"name": "cast", "dtype": "float32"})
    assert is_function("Exp", {"name": "exp"})
    assert is_function("Dot", {"name": "dot"})
    assert is_function("Rot90", {"name": "rot90", "k": 1})
    assert not is_function("Exp", {"name": "exp", "trainable": True, "dtype": "float32"})
    assert is_function("Softmax", {"name": "softmax", "axis": -1})
    assert not is_function("Softmax", {"name": "s", "trainable": True, "dtype": "float32"})
    assert not is_function("Softmax", {"name": "s", "dtype": "float32", "axis": -1})
    assert not is_function("LSTM", {"name": "lstm"})
    assert not is_function("HashedCrossing", {"name": "h", "dtype": "int64", "num_bins": 3})


@pytest.mark.parametrize("name", KERAS)
def test_functions_refuse_what_they_do_not_know(name: str) -> None:
    inputs = (X,) if len(KERAS[name].arguments) == 1 else (X, Y)
    with pytest.raises(ModelFormatError, match="layer 'f'"):
        keras_3(name, *inputs, unknown=3)
    for key in (*KERAS[name].arguments, "unknown"):
        for value in VALUES:
            with contextlib.suppress(ModelFormatError):  # nothing else may be raised
                keras_3(name, X, **{key: value})

"""Models in files of fastdrop's own: the same bits again, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import fastdrop as fd
import test_formats_hostile as hostile
import test_keras_cases as keras_cases
import test_keras_models as keras_models
from fastdrop import Call, Model, layers
from fastdrop.formats import ModelFormatError
from fastdrop.layers import Layer
from fastdrop.model._file import _value, fits, layer_class, write_tensors
from layer_laws import normal
from tolerances import FLOAT32, assert_close

OPTIONS: dict[str, Any] = {"samples": 3, "rng": 5, "row_offset": 4, "keep_samples": True}


def as_list(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def saved(model: Model, path: Path) -> Model:
    model.save(path)
    return fd.load(path)


def check_same(got: Model, model: Model, x: Any) -> None:
    """Check that two models say and compute the same, to the bit."""
    assert repr(got) == repr(model)
    assert got.summary() == model.summary()
    assert got.notes == model.notes
    assert got.input_shape == model.input_shape
    assert list(map(repr, got.layers)) == list(map(repr, model.layers))
    assert [layer.rates() for layer in got.layers] == [layer.rates() for layer in model.layers]
    assert [step.number for step in got.graph.steps] == [s.number for s in model.graph.steps]
    mine, theirs = got.predict(x), model.predict(x)
    assert type(mine) is type(theirs)
    if isinstance(mine, dict):
        assert list(mine) == list(theirs)
    for a, b in zip(as_list(mine), as_list(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    if model.stochastic:
        pairs = [as_list(each.mc_predict(x, **OPTIONS)) for each in (got, model)]
        for a, b in zip(*pairs, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples)
            assert repr(a) == repr(b)


# ---- every layer ----

K4, V4 = normal(4, 4), np.abs(normal(4)) + 0.5
HEADS = {
    "query_kernel": normal(4, 2, 3),
    "key_kernel": normal(4, 2, 3),
    "value_kernel": normal(4, 2, 3),
    "output_kernel": normal(2, 3, 4),
}
SEQUENCE, IMAGE, VOLUME = normal(3, 5, 4), normal(3, 6, 5, 4), normal(3, 4, 3, 5, 4)
LSTM = {"kernel": normal(4, 8), "recurrent_kernel": normal(2, 8)}
GRU = {"kernel": normal(4, 6), "recurrent_kernel": normal(2, 6)}


def lstm(name: str = "l", **options: Any) -> Layer:
    return layers.LSTM(name=name, **LSTM, **options)


# Of each class some layers, and what they are given: an array, or several.
EXAMPLES: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "Accumulate": ([{"function": "prod", "axis": 0}], SEQUENCE),
    "Activation": (
        [
            {"activation": "softmax", "axis": 0},
            {"activation": ("leaky_relu", 0.3)},
            {"activation": ("relu", 0.1, None, 0.5)},  # no maximum, which is infinite
            {"activation": ("relu", -0.0, 2, 0.0)},
        ],
        SEQUENCE,
    ),
    "AdaptiveAveragePooling1D": ([{"output_size": 3}], SEQUENCE),
    "AdaptiveAveragePooling2D": ([{"output_size": (2, 3)}], IMAGE),
    "AdaptiveAveragePooling3D": ([{"output_size": 2}], VOLUME),
    "AdaptiveMaxPooling1D": ([{"output_size": 2}], SEQUENCE),
    "AdaptiveMaxPooling2D": ([{"output_size": 2}], IMAGE),
    "AdaptiveMaxPooling3D": ([{"output_size": (2, 3, 1)}], VOLUME),
    "AdditiveAttention": ([{"dropout": 0.4, "scale": V4}], [SEQUENCE, SEQUENCE]),
    "AlphaDropout": ([{"rate": 0.3, "noise_shape": (None, 1, 4)}], SEQUENCE),
    "ArgSort": ([{"axis": -1}, {"axis": 0, "descending": True}], SEQUENCE),
    "Attention": (
        [
            {"scale": np.float32(0.5).reshape(())},
            {"dropout": 0.5, "use_causal_mask": True, "masks": ()},
        ],
        [SEQUENCE, SEQUENCE],
    ),
    "AveragePooling1D": ([{"padding": "same"}], SEQUENCE),
    "AveragePooling2D": ([{"pool_size": (2, 3), "strides": 1}], IMAGE),
    "AveragePooling3D": ([{"pool_size": (2, 1, 3), "padding": "same"}], VOLUME),
    "BatchNormalization": (
        [{"moving_mean": V4, "moving_variance": V4, "beta": V4, "epsilon": 1e-5}],
        SEQUENCE,
    ),
    "Bidirectional": (
        [
            {
                "forward": lstm("a", dropout=0.2),
                "backward": lstm("b", go_backwards=True, dropout=0.2),
                "merge_mode": "ave",
            },
            {
                "forward": layers.StackedRNN(name="a", cells=(lstm("c"),)),
                "backward": layers.StackedRNN(name="b", cells=(lstm("c", go_backwards=True),)),
            },
        ],
        SEQUENCE,
    ),
    "ChannelsFirst": ([
            {"layer": layers.Conv2D(name="c", kernel=normal(3, 2, 6, 4))},
            {
                "layer": layers.ConvLSTM1D(
                    name="c", kernel=normal(2, 5, 8), recurrent_kernel=normal(2, 2, 8), dropout=0.3
                ),
                "axis": 1,
            },
        ], IMAGE),
    "Concatenate": ([{"axis": 0, "masks": "none"}], [SEQUENCE, SEQUENCE]),
    "Constant": ([{"value": normal(2, 3)}], SEQUENCE),
    "Conv1D": ([{"kernel": normal(3, 4, 2), "padding": "causal", "dilation_rate": 2}], SEQUENCE),
    "Conv1DTranspose": (
        [
            {"kernel": normal(3, 2, 4), "padding": "same", "strides": 2},
            {"kernel": normal(3, 3, 4), "groups": 2, "output_padding": 1, "dilation_rate": 2},
        ],
        SEQUENCE,
    ),
    "Conv2D": ([{"kernel": normal(3, 2, 2, 4), "groups": 2, "strides": (2, 1)}], IMAGE),
    "Conv3D": ([{"kernel": normal(2, 1, 2, 2, 4), "groups": 2, "strides": (1, 2, 1)}], VOLUME),
    "Conv2DTranspose": ([{"kernel": normal(3, 2, 2, 4), "strides": (2, 1)}], IMAGE),
    "Conv3DTranspose": (
        [{"kernel": normal(2, 1, 2, 3, 4), "padding": "same", "strides": 2}],
        VOLUME,
    ),
    "ConvLSTM1D": (
        [{"kernel": normal(2, 4, 8), "recurrent_kernel": normal(2, 2, 8), "strides": 2}],
        IMAGE,
    ),
    "ConvLSTM2D": ([
            {
                "kernel": normal(2, 3, 4, 8),
                "recurrent_kernel": normal(2, 3, 2, 8),
                "bias": normal(8),
                "padding": "same",
                "recurrent_activation": "hard_sigmoid",
                "dropout": 0.2,
                "recurrent_dropout": 0.3,
                "return_sequences": True,
                "return_state": True,
            },
            {
                "kernel": normal(2, 2, 4, 4),
                "recurrent_kernel": normal(2, 2, 1, 4),
                "go_backwards": True,
            },
        ], VOLUME),
    "ConvLSTM3D": (
        [{"kernel": normal(1, 2, 2, 4, 8), "recurrent_kernel": normal(1, 2, 2, 2, 8)}],
        normal(3, 2, 3, 3, 2, 4),
    ),
    "SeparableConv1D": (
        [
            {
                "depthwise_kernel": normal(3, 4, 2),
                "pointwise_kernel": normal(1, 8, 3),
                "bias": normal(3),
                "padding": "causal",
            },
            {
                "depthwise_kernel": normal(2, 4, 1),
                "pointwise_kernel": normal(1, 4, 5),
                "strides": 2,
                "dilation_rate": 2,
                "activation": "relu",
            },
        ],
        SEQUENCE,
    ),
    "SeparableConv2D": (
        [
            {
                "depthwise_kernel": normal(3, 2, 4, 2),
                "pointwise_kernel": normal(1, 1, 8, 3),
                "strides": (2, 1),
                "padding": "same",
            }
        ],
        IMAGE,
    ),
    "Cropping1D": ([{"cropping": (1, 2)}], SEQUENCE),
    "Cropping2D": ([{"cropping": ((1, 0), (0, 2))}], IMAGE),
    "Cropping3D": ([{"cropping": ((1, 0), (0, 2), (2, 1))}], VOLUME),
    "Dense": ([{"kernel": K4, "bias": V4, "activation": "elu"}, {"kernel": K4}], SEQUENCE),
    "Dot": ([{"axes": (1, 1), "normalize": True}], [SEQUENCE, SEQUENCE]),
    "Dropout": ([{"rate": 0.5}, {"rate": 0.25, "noise_shape": (None, None, 1)}], SEQUENCE),
    "Einsum": (
        [{"equation": "ij,kj->ik"}, {"equation": "ij,kj,jl->ikl", "factor": normal(4, 2)}],
        [SEQUENCE, SEQUENCE],
    ),
    "EinsumDense": (
        [
            {"equation": "tc,cd->td", "kernel": K4, "bias": V4, "activation": "elu"},
            {"equation": "tc,cd->dt", "kernel": K4},
        ],
        SEQUENCE,
    ),
    "CategoryEncoding": (
        [{"num_tokens": 9, "output_mode": mode} for mode in ("one_hot", "multi_hot", "count")],
        np.arange(15).reshape(3, 5) % 9,
    ),
    "Difference": ([{"axis": 0}, {"axis": -1, "times": 2}], SEQUENCE),
    "Discretization": (
        [
            {"bin_boundaries": (-0.5, 0.25), "output_mode": mode}
            for mode in ("int", "one_hot", "multi_hot", "count")
        ],
        SEQUENCE,
    ),
    "IntegerLookup": (
        [
            {"vocabulary": (7, 3, 4)},
            {"vocabulary": (7, 3), "mask_token": 0, "num_oov_indices": 2, "output_mode": "count"},
        ],
        np.arange(15).reshape(3, 5) % 9,
    ),
    "Elementwise": (
        [
            {"function": "exp"},
            {"function": "clip", "operands": (0, np.float32(-1).reshape(()), normal(1, 4))},
            {"function": "minimum", "operands": (np.array([np.inf, 1, 2, 3], np.float32), 0)},
        ],
        SEQUENCE,
    ),
    "Embedding": ([{"table": normal(9, 4), "mask_zero": True}], np.arange(15).reshape(3, 5) % 9),
    "ReversibleEmbedding": (
        [
            {"table": normal(9, 4), "reverse": True},
            {
                "table": normal(9, 4),
                "reverse_table": normal(4, 9),
                "reverse": True,
                "soft_cap": 0.5,
            },
        ],
        SEQUENCE,
    ),
    "EmbeddingDropout": (
        [{"table": normal(9, 4), "mask_zero": True, "rate": 0.25}],
        np.arange(15).reshape(3, 5) % 9,
    ),
    "ExpandDims": ([{"axis": -2}], SEQUENCE),
    "Flatten": ([{}], SEQUENCE),
    "GLU": ([{}, {"axis": 1}], SEQUENCE),
    "GRU": (
        [
            {**GRU, "bias": normal(2, 6), "recurrent_dropout": 0.3, "return_sequences": True},
            {**GRU, "bias": normal(6), "reset_after": False, "precision": "bfloat16"},
        ],
        SEQUENCE,
    ),
    "GaussianDropout": ([{"rate": 0.3}], SEQUENCE),
    "GaussianNoise": ([{"stddev": 0.3}], SEQUENCE),
    "GlobalAveragePooling1D": ([{}], SEQUENCE),
    "GlobalAveragePooling2D": ([{"keepdims": True}], IMAGE),
    "GlobalAveragePooling3D": ([{}], VOLUME),
    "GlobalMaxPooling1D": ([{"keepdims": True}], SEQUENCE),
    "GlobalMaxPooling2D": ([{}], IMAGE),
    "GlobalMaxPooling3D": ([{"keepdims": True}], VOLUME),
    "Identity": ([{"passes_mask": False}], SEQUENCE),
    "LSTM": (
        [
            {**LSTM, "bias": normal(8), "dropout": 0.2, "scheme": "tf_keras"},
            {**LSTM, "activation": ("leaky_relu", 0.1), "recurrent_activation": "hard_sigmoid"},
        ],
        SEQUENCE,
    ),
    "GroupNormalization": ([{"groups": 2, "gamma": V4, "beta": V4}, {"groups": -1}], SEQUENCE),
    "Interpolate": (
        [
            {"axis": 0, "scale": 1.5},
            {"axis": -1, "size": 3, "method": "cubic", "coordinates": "align_corners"},
            {"axis": 0, "size": 7, "method": "nearest", "rounding": "ceil"},
        ],
        SEQUENCE,
    ),
    "LayerNormalization": ([{"gamma": V4}, {"axis": [0, 1], "rms_scaling": True}], SEQUENCE),
    "Masking": ([{"mask_value": -0.5}], SEQUENCE),
    "MatMul": ([{"transpose_b": True}], [SEQUENCE, SEQUENCE]),
    "MaxPooling1D": ([{"pool_size": 3}, {"dilation_rate": 2, "strides": 1}], SEQUENCE),
    "MaxPooling2D": ([{"padding": "same"}, {"dilation_rate": (2, 1)}], IMAGE),
    "MaxPooling3D": ([{"pool_size": (2, 1, 3)}], VOLUME),
    "Merge": ([{"function": "average", "masks": "all"}], [SEQUENCE, SEQUENCE]),
    "MultiHeadAttention": (
        [
            {**HEADS, "query_bias": normal(2, 3), "dropout": 0.1, "sliding_window": 2},
            {**HEADS, "attention_axes": (0,), "masking": "zero"},
        ],
        [SEQUENCE, SEQUENCE],
    ),
    "Normalization": ([{"mean": V4, "variance": V4, "invert": True}], SEQUENCE),
    "PReLU": ([{"alpha": normal(1, 4)}], SEQUENCE),
    "Pad": ([{"widths": ((1, 0), (0, 2)), "value": -1.5}], SEQUENCE),
    "Permute": ([{"dims": (2, 1)}], SEQUENCE),
    "Positions": ([{"axis": -1}], SEQUENCE),
    "RecurrentLoop": (
        [
            {
                "kernel": normal(4, 8),
                "recurrent_kernel": normal(3, 8),
                "peepholes": normal(3, 2),
                "projection": normal(2, 3),
                "clip": 2.5,
                "activation": ("scaled_tanh", 1.5, 0.5),
                "dropout": 0.25,
            },
            {**GRU, "cell": "gru", "recurrent_dropout": 0.3, "return_sequences": True},
        ],
        SEQUENCE,
    ),
    "RMSNormalization": ([{"scale": V4}, {"axis": [0, 1], "epsilon": 0.1}], SEQUENCE),
    "Reduce": ([{"function": "max"}, {"function": "sum", "axes": (-1,)}], SEQUENCE),
    "Repeat": ([{"axis": 0, "count": 3}, {"axis": -1, "count": 2, "whole": True}], SEQUENCE),
    "RepeatVector": ([{"count": 3}], normal(3, 4)),
    "Rescaling": ([{"scale": 2, "offset": [1.0, 2.0, 3.0, 4.0], "passes_mask": False}], SEQUENCE),
    "Resizing": (
        [{"size": (3, 7)}, {"scale": (2, 1), "interpolation": "nearest"}],
        IMAGE,
    ),
    "Reshape": ([{"target_shape": (-1, 2)}], SEQUENCE),
    "SimpleRNN": (
        [
            {"kernel": K4, "recurrent_kernel": K4, "return_sequences": True, "dropout": 0.1},
            {"kernel": K4, "recurrent_kernel": K4, "weight_dropout": 0.3},
        ],
        SEQUENCE,
    ),
    "Slice": ([{"key": (slice(1, None, 2), None, -1)}, {"key": (slice(None),)}], SEQUENCE),
    "Softmax": ([{"axes": (0, 1)}], SEQUENCE),
    "Sort": ([{"axis": 0}, {"axis": -1, "descending": True, "count": 2}], SEQUENCE),
    "SpatialDropout1D": ([{"rate": 0.5}], SEQUENCE),
    "SpatialDropout2D": ([{"rate": 0.5}], IMAGE),
    "SpatialDropout3D": ([{"rate": 0.5}], VOLUME),
    "Split": (
        [{"axis": -1, "cuts": (1, 3)}, {"axis": -1, "cuts": (1, 2, 3), "unstacked": True}],
        SEQUENCE,
    ),
    "Roll": ([{"axis": 0, "shift": 2}, {"axis": -1, "shift": -1}], SEQUENCE),
    "Take": ([{"axis": -1, "places": (2, 0, -1)}], SEQUENCE),
    "Squeeze": ([{}, {"axes": (-1,)}], normal(3, 4, 1)),
    "Stack": ([{"axis": 1}], [SEQUENCE, SEQUENCE]),
    "StackedRNN": (
        [
            {
                "cells": (
                    layers.SimpleRNN(
                        name="a", kernel=K4, recurrent_kernel=K4, return_sequences=True
                    ),
                    lstm("b", recurrent_dropout=0.4),
                )
            }
        ],
        SEQUENCE,
    ),
    "TakeAlong": ([{"axis": 0}], [SEQUENCE, np.array([[[0] * 4, [-1] * 4]] * 3)]),
    "TimeDistributed": (
        [
            {"layer": layers.Dropout(name="d", rate=0.5), "masks": "either"},
            {"layer": layers.TimeDistributed(name="t", layer=layers.Flatten(name="f"))},
        ],
        normal(3, 5, 2, 4),
    ),
    "Transpose": ([{"axes": (1, 0)}], SEQUENCE),
    "UnitNormalization": ([{"axis": 0, "least_norm": 1e-6}], SEQUENCE),
    "UpSampling1D": ([{"size": 3}], SEQUENCE),
    "UpSampling2D": ([{"size": (1, 2)}], IMAGE),
    "UpSampling3D": ([{"size": (1, 2, 3)}], VOLUME),
    "WithMask": ([{}, {"borrowed": "if none"}], [SEQUENCE, normal(3, 5)]),
    "ZeroPadding1D": ([{"padding": 2}], SEQUENCE),
    "ZeroPadding2D": ([{"padding": ((0, 1), (2, 0))}], IMAGE),
    "ZeroPadding3D": ([{"padding": ((0, 1), (2, 0), (1, 1))}], VOLUME),
}  # fmt: skip


def model_of(layer: Layer, x: Any) -> Model:
    arrays = x if isinstance(x, list) else [x]
    shapes = {f"x{i}": array.shape[1:] for i, array in enumerate(arrays)}
    return Model([Call(layer, list(shapes))], shapes)


CASES = [
    pytest.param(name, options, x, id=f"{name}-{i}")
    for name, (some, x) in EXAMPLES.items()
    for i, options in enumerate(some)
]


def test_every_class_has_an_example() -> None:
    """A class that cannot be saved would fail; one that nobody tried would not."""
    assert set(EXAMPLES) == {name for name in layers.__all__ if layer_class(name)}


@pytest.mark.parametrize(("name", "options", "x"), CASES)
def test_every_layer(name: str, options: dict[str, Any], x: Any, tmp_path: Path) -> None:
    layer = getattr(layers, name)(name="ü\n\ud800", **options)
    model = model_of(layer, x)
    check_same(saved(model, tmp_path / "m"), model, x)


@pytest.mark.parametrize(
    ("version", "form"), [("keras3.15/", "keras"), ("keras2.21/", "h5")], ids=["keras", "h5"]
)
def test_every_option_that_keras_has(version: str, form: str, tmp_path: Path) -> None:
    """Stored cases of the last versions: saved and loaded again, they are what they were."""
    given = [param.values for param in keras_cases.cases("y0")]
    cases = [case for case, form_of in given if case.startswith(version) and form_of == form]
    assert len(cases) > 50
    for case in cases:
        model = keras_cases.load(case, form)
        check_same(
            saved(model, tmp_path / "m"), model, keras_cases.inputs_of(keras_cases.arrays_of(case))
        )


@pytest.mark.parametrize("archive", keras_models.ARCHIVES, ids=keras_models.version_of)
def test_whole_models(archive: Path, tmp_path: Path) -> None:
    """Each model that a version wrote, from one of its files."""
    given = (case.values for case in keras_models.cases("y0"))
    files = {name: file for where, name, file in given if where == archive}
    for name, file in files.items():
        model = keras_models.load_model(archive, name, file)
        _, arrays, _ = keras_models.answers(archive)[name]
        check_same(saved(model, tmp_path / "m"), model, keras_models.inputs_of(arrays))


# ---- files of version 1, which are read for ever ----

STORED = Path(__file__).parent / "references" / "model_files" / "files-1.tar.xz"


def stored() -> dict[str, bytes]:
    with tarfile.open(STORED, "r:xz") as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def test_stored_files() -> None:
    """They give what they gave; there is one of every example above."""
    members = stored()
    names = {f"{name}-{i}" for name, (some, _) in EXAMPLES.items() for i in range(len(some))}
    assert {*members} == {f"{n}.{end}" for n in names | {"graph"} for end in ("npz", "safetensors")}
    for name in names | {"graph"}:
        model = fd.load(io.BytesIO(members[f"{name}.safetensors"]))
        with np.load(io.BytesIO(members[f"{name}.npz"])) as file:
            arrays = dict(file)
        x = [arrays[f"x{i}"] for i in range(len(model.input_names))]
        given = x if len(x) > 1 else x[0]
        got = {f"y{i}": y for i, y in enumerate(as_list(model.predict(given)))}
        if "samples0" in arrays:
            drawn = as_list(model.mc_predict(given, 2, rng=7, keep_samples=True))
            got |= {f"samples{i}": p.samples for i, p in enumerate(drawn)}
        bound = 1e-2 if "bfloat16" in repr(model.layers) else FLOAT32
        for key, array in got.items():
            assert_close(array, arrays[key], bound)


# ---- graphs ----


def shared_drop() -> Model:
    """A layer that is called twice, once with its dropout fixed to off; two inputs and outputs."""
    drop = layers.Dropout(name="drop", rate=0.5)
    dense = layers.Dense(name="dense", kernel=K4)
    return Model(
        [
            Call(dense, "b", "first"),
            Call(drop, name="dropped"),
            Call(drop, ["a"], training=False),
            Call(drop, "a", "third"),
            Call(layers.Merge(name="sum", function="add"), ["first", "dropped", "third"]),
            Call(layers.LSTM(name="l", **LSTM, dropout=0.3, return_state=True), "sum"),
            Call(layers.Identity(name="kept"), "l:2"),
        ],
        {"b": (None, 4), "a": (None, 4)},
        outputs={"state": "kept", "all": "l", "off": "drop"},
        source="by hand",
        notes=["a note", "ü"],
    )


@pytest.mark.parametrize(
    "outputs",
    [None, "dropped", ["sum"], ["l:1", "sum"], {"own": "sum"}],
    ids=["none", "name", "list of one", "list", "names"],
)
def test_graphs(outputs: Any, tmp_path: Path) -> None:
    given = shared_drop()
    model = Model(given._entries, given._inputs_given, outputs=outputs, notes=["x"])
    check_same(saved(model, tmp_path / "m"), model, [SEQUENCE, SEQUENCE[::-1]])


def test_a_shared_layer_stays_one(tmp_path: Path) -> None:
    model = shared_drop()
    got = saved(model, tmp_path / "m")
    check_same(got, model, {"a": SEQUENCE, "b": normal(3, 5, 4, seed=2)})
    assert len(got.layers) == len(model.layers) == 5
    assert got.source == "by hand"
    assert got.notes == ("a note", "ü")
    # Both calls of it are changed together.
    changed, expected = (m.with_rates({"drop": 0.1}) for m in (got, model))
    check_same(saved(changed, tmp_path / "m"), expected, [SEQUENCE, SEQUENCE])


def test_a_chain_with_layers_of_one_name(tmp_path: Path) -> None:
    dense = layers.Dense(name="d", kernel=K4)
    model = Model([dense, layers.Dropout(name="d", rate=0.5), dense], (4,))
    check_same(saved(model, tmp_path / "m"), model, normal(2, 4))


def test_rates_and_precision_are_kept(tmp_path: Path) -> None:
    model = Model([lstm(dropout=0.5)], (None, 4)).with_rates(0.25).with_precision("bfloat16")
    check_same(saved(model, tmp_path / "m"), model, SEQUENCE)
    got = fd.load(tmp_path / "m", rates={"l": {"dropout": 0.1}}, precision="float32")
    check_same(got, model.with_rates({"l": {"dropout": 0.1}}).with_precision("float32"), SEQUENCE)


# ---- writing ----


def test_types_of_inputs_are_kept(tmp_path: Path) -> None:
    drop = layers.Dropout(name="drop", rate=0.5)
    model = Model([drop], (4,), input_dtypes={"input": "uint8"})
    got = saved(model, tmp_path / "m")
    assert got.input_dtypes == {"input": "uint8"}
    check_same(got, model, np.arange(8).reshape(2, 4))
    with pytest.raises(ValueError, match="x: expected whole numbers that uint8 holds"):
        got.predict(np.full((2, 4), 0.5))
    # Files of models without such inputs are as they were.
    assert "input_dtypes" not in parts(Model([drop], (4,)))[0]


def test_the_reference_package_reads_the_weights(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    model = shared_drop()
    model.save(tmp_path / "m")
    found = numpy.load_file(tmp_path / "m")
    assert list(found) == ["layers.0.kernel", "layers.3.kernel", "layers.3.recurrent_kernel"]
    np.testing.assert_array_equal(found["layers.0.kernel"], K4)
    np.testing.assert_array_equal(found["layers.3.kernel"], LSTM["kernel"])


def test_what_the_reference_package_wrote_again(tmp_path: Path) -> None:
    """With the metadata as they were: in another order, and with a header of its own."""
    safetensors = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.numpy")
    model = shared_drop()
    model.save(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", "numpy") as file:
        metadata = file.metadata()
    numpy.save_file(numpy.load_file(tmp_path / "m"), tmp_path / "n", metadata)
    check_same(fd.load(tmp_path / "n"), model, [SEQUENCE, SEQUENCE])


def test_one_model_one_file(tmp_path: Path) -> None:
    model = shared_drop()
    model.save(tmp_path / "a")
    saved(saved(model, tmp_path / "b"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    model = shared_drop()
    model.save(path)
    path.chmod(0o640)
    model.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 or os.name == "nt"
    check_same(fd.load(path), model, [SEQUENCE, SEQUENCE])
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("numpy.ascontiguousarray", fail)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows replaces no file that is mapped")
def test_a_model_is_saved_over_what_it_is_mapped_from(tmp_path: Path) -> None:
    model = shared_drop()
    got = saved(model, tmp_path / "m")
    got.with_rates({"drop": 0.25}).save(tmp_path / "m")
    check_same(got, model, [SEQUENCE, SEQUENCE])
    (tmp_path / "m").unlink()
    check_same(got, model, [SEQUENCE, SEQUENCE])


def test_a_loaded_model_is_pickled(tmp_path: Path) -> None:
    """As dask does: with its weights, wherever these are mapped from."""
    model = shared_drop()
    got = pickle.dumps(saved(model, tmp_path / "m"))
    (tmp_path / "m").unlink()
    check_same(pickle.loads(got), model, [SEQUENCE, SEQUENCE])


@pytest.mark.parametrize(
    ("path", "error"),
    [
        pytest.param(3, TypeError, id="number"),
        pytest.param(b"m", TypeError, id="bytes"),
        pytest.param("", ValueError, id="nothing"),
        pytest.param(".", ValueError, id="directory"),
        pytest.param("no/m", ValueError, id="no directory"),
        *(
            pytest.param(f"m.{kind}", ValueError, id=f"name of another format, {kind}")
            for kind in ("keras", "h5", "pt", "PTH", "onnx")
        ),
    ],
)
def test_where_nothing_can_be_written(
    path: Any, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=r"^path: "):
        shared_drop().save(path)


class Own(layers.Identity):
    """A class of a user's own."""


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        pytest.param(Own(name="o"), "layer 'o': expected a class of fastdrop.layers", id="own"),
        pytest.param(
            layers.TimeDistributed(name="t", layer=Own(name="o")),
            "layer 'o': expected a class of fastdrop.layers",
            id="own inside",
        ),
        pytest.param(
            layers.Dense(name="d", kernel=layers.Declared((4, 4))),
            "layer 'd' kernel: expected ndarray",
            id="declared",
        ),
        pytest.param(
            layers.Reduce(name="r", function="sum", axes={0}),  # type: ignore[arg-type]
            "layer 'r' axes: expected tuple",
            id="set",
        ),
    ],
)
def test_what_cannot_be_saved(layer: Layer, message: str, tmp_path: Path) -> None:
    model = Model([layer], (5, 4))
    with pytest.raises(ValueError, match=f"^save: {message}"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [{1}, 1j, b"x", np.ones(2)], ids=lambda v: type(v).__name__)
def test_what_a_file_has_no_words_for(value: object) -> None:
    """No layer has such in its fields today."""
    for place, whole in (("x", value), ("x.1", (0, value))):
        message = rf"^save: {place}: expected numbers, texts, slices, layers and arrays of float32"
        with pytest.raises(ValueError, match=message):
            _value(whole, "x", {})


NUMBERS: list[Any] = [1, -(2**40)]
OTHERS: list[Any] = [None, b"1", {}, object()]


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Any, [*NUMBERS, *OTHERS, True, "x", ()], []),
        (int, NUMBERS, [*OTHERS, True, 1.5, "1", (1,)]),
        (float, [*NUMBERS, 1.5], [*OTHERS, True, "1", (1.5,)]),
        (bool, [True, False], [*OTHERS, 1, 0.0]),
        (str, ["", "x"], [*OTHERS, 1, ("x",)]),
        (None, [None], [0, False, ""]),
        (int | None, [1, None], [True, "1"]),
        (Literal["a", "b"], ["a", "c"], [*OTHERS, 1]),  # which of them, the layer says
        (tuple[int, str], [(1, "x")], [(1,), (1, "x", 1), ("x", 1), [1, "x"], (), 1]),
        (tuple[int, ...], [(), (1,), (1, 2, 3)], [(1, "x"), ("x", 1), [1], 1, None]),
        (tuple[tuple[int, float], ...], [(), ((1, 2), (3, 0.5))], [((1,),), ((1, 2), 3), (1, 2)]),
        (tuple[int, int] | int, [(1, 2), 3], [(1, 2, 3), (1,), "x"]),
        (Sequence[float], [(), (1, 2.5)], [("x",), [1.5], 1.5, "x"]),
        (np.ndarray, [np.ones(2)], [[1.0], 1.0, None]),
        (NDArray[Any], [np.ones(2)], [[1.0], (1.0,)]),
        (Layer | tuple[Layer, ...], [lstm(), (lstm(),), ()], [(lstm(), 1), None]),
        (slice | None, [slice(1), None], [1, (1,)]),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(value).rpartition("'>")[0][8:] or None,
)
def test_what_fits_an_annotation(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not fits(value, hint)] == []
    assert [value for value in bad if fits(value, hint)] == []


# ---- reading ----


def parts(model: Model | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file says of a model, and its tensors."""
    from fastdrop.model import _file

    tensors: dict[str, np.ndarray] = {}
    described = _file._described(shared_drop() if model is None else model, tensors)
    return json.loads(json.dumps(described)), tensors


def file_with(
    document: object, tensors: dict[str, np.ndarray], form: str = "fastdrop-model-file/1"
) -> bytes:
    buffer = io.BytesIO()
    text = document if isinstance(document, str) else json.dumps(document)
    write_tensors(buffer, tensors, {"format": form, "model": text})
    return buffer.getvalue()


def load(data: bytes, **options: Any) -> Model:
    return fd.load(io.BytesIO(data), **options)


def refused(data: bytes, fragment: str, **options: Any) -> None:
    with pytest.raises(ModelFormatError) as caught:
        load(data, **options)
    message = str(caught.value)
    assert fragment in message
    assert message.isascii()
    assert "\n" not in message
    assert len(message) < 500


Edit = Callable[[dict[str, Any]], object]


def on(*path: Any, value: Any = ..., **values: Any) -> Edit:
    """Make an edit that sets, deletes (no value) or updates what is at a place."""

    def edit(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        if values:
            document[path[-1]].update(values)
        elif value is ...:
            del document[path[-1]]
        else:
            document[path[-1]] = value

    return edit


def of_numpy(value: Any) -> Any:
    """Return numbers, also those within tuples, as NumPy has them."""
    if isinstance(value, tuple):
        return tuple(map(of_numpy, value))
    kinds = {bool: np.bool_, int: np.int64, float: np.float64}
    return kinds[type(value)](value) if type(value) in kinds else value


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"Slice", "Elementwise"}))
def test_numbers_of_numpy_are_written_as_those_of_python(name: str) -> None:
    """But for those that are Python's alone: of slices, and those that are no operands."""
    some, x = EXAMPLES[name]
    for options in some:
        other = {key: of_numpy(value) for key, value in options.items()}
        both = [getattr(layers, name)(name="l", **given) for given in (options, other)]
        said, wanted = (parts(model_of(layer, x))[0]["layers"] for layer in both)
        assert said == wanted
        assert repr(said) == repr(wanted)  # 1 is True, and 1.0


FIELDS = ("layers", 0, "fields")


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        pytest.param(on("notes"), "notes is missing", id="no notes"),
        pytest.param(on("more", value=1), "unexpected key 'more'", id="more"),
        pytest.param(on("layers", value={}), "layers: expected a list", id="layers"),
        pytest.param(on("layers", value=[]), "a number below 0", id="no layers"),
        pytest.param(on("calls", value=[]), "a layer that is not called", id="no calls"),
        pytest.param(on("calls", 6), "a layer that is not called", id="uncalled"),
        pytest.param(on("layers", 0, value=3), "layer 0: expected an object", id="layer"),
        pytest.param(on("layers", 0, "class", value="Layer"), "'Layer' is not", id="base"),
        pytest.param(on("layers", 0, "class", value="Declared"), "'Declared' is not", id="other"),
        pytest.param(on("layers", 0, "class", value="Lambda"), "'Lambda' is not", id="unknown"),
        pytest.param(on("layers", 0, "class", value=["Dense"]), "a string", id="class list"),
        pytest.param(on("layers", 0, "module", value="os"), "unexpected key 'module'", id="module"),
        pytest.param(on("layers", 0, "fields"), "fields is missing", id="no fields"),
        pytest.param(on(*FIELDS, packed=1), "unexpected key 'packed'", id="field"),
        pytest.param(on(*FIELDS, "kernel"), "kernel is missing", id="no kernel"),
        pytest.param(on(*FIELDS, "name"), "name is missing", id="no name"),
        pytest.param(on(*FIELDS, name=3), "name: expected str, found 3", id="name"),
        pytest.param(on(*FIELDS, name=None), "name: expected str", id="name null"),
        pytest.param(on(*FIELDS, kernel=None), "kernel: expected ndarray", id="null kernel"),
        pytest.param(on(*FIELDS, kernel=[[1.0]]), "kernel: expected ndarray", id="number kernel"),
        pytest.param(on(*FIELDS, kernel={"tensor": "x"}), "no tensor 'x'", id="no such tensor"),
        pytest.param(on(*FIELDS, kernel={"tensor": 0}), "tensor: expected a string", id="tensor 0"),
        pytest.param(on(*FIELDS, kernel={"tensor": "layers.3.kernel"}), "is left", id="twice"),
        pytest.param(on(*FIELDS, bias={"tensor": "layers.0.kernel"}), "is left", id="used twice"),
        pytest.param(on(*FIELDS, activation="glu"), "(Dense): layer 'dense' activation", id="glu"),
        pytest.param(on(*FIELDS, activation=["relu", {}]), "expected a value", id="empty object"),
        pytest.param(on(*FIELDS, activation=["relu", "x"]), "(Dense): layer 'dense'", id="relu x"),
        pytest.param(on(*FIELDS, activation={"float": "1"}), "expected a value", id="float 1"),
        pytest.param(on(*FIELDS, activation={"float": "inf"}), "activation: expected", id="inf"),
        pytest.param(on(*FIELDS, activation={"slice": [1]}), "expected a value", id="slice of 1"),
        pytest.param(on(*FIELDS, activation={"slice": [0, 1, 2]}), "expected", id="slice"),
        *(
            pytest.param(on(*FIELDS, activation={"slice": s}), "expected a value", id=f"slice {s}")
            for s in ([0, "x", None], [0, True, None], [None, None, 1.5], [0, 1, 2, 3], [[0], 1, 1])
        ),
        pytest.param(on(*FIELDS, activation={"tensor": "a", "x": 1}), "a value", id="two keys"),
        pytest.param(on("layers", 1, "fields", rate=2), "rate: expected a number", id="rate 2"),
        pytest.param(on("layers", 1, "fields", rate=True), "rate: expected float", id="rate true"),
        pytest.param(on("layers", 3, "fields", units=2), "unexpected key 'units'", id="units"),
        pytest.param(on("layers", 3, "fields", dropout=1), "dropout: expected a", id="dropout 1"),
        pytest.param(on("layers", 3, "fields", return_state=1), "expected bool", id="flag 1"),
        pytest.param(on("calls", 0, "layer", value=9), "layer: expected a number", id="layer 9"),
        pytest.param(on("calls", 0, "layer", value=-1), "layer: expected a number", id="layer -1"),
        pytest.param(on("calls", 0, "layer", value=True), "a number below", id="layer true"),
        pytest.param(on("calls", 0, "layer"), "layer is missing", id="no layer"),
        pytest.param(on("calls", 0, "x", value=0), "unexpected key 'x'", id="call key"),
        pytest.param(on("calls", 0, "inputs", value=[]), "at least one tensor", id="no inputs"),
        pytest.param(on("calls", 0, "inputs", value=[1]), "a list of strings", id="inputs 1"),
        pytest.param(on("calls", 0, "inputs", value={}), "expected a list", id="inputs object"),
        pytest.param(on("calls", 0, "inputs", value="no"), "no tensor is called 'no'", id="no"),
        pytest.param(on("calls", 0, "inputs", value="sum"), "it waits for", id="cycle"),
        pytest.param(on("calls", 0, "name", value=1), "name: expected a string", id="call name"),
        pytest.param(on("calls", 0, "name", value="a"), "different names", id="name of an input"),
        pytest.param(on("calls", 0, "training", value=1), "true or false", id="training"),
        pytest.param(on("inputs", value=[]), "inputs: expected an object", id="inputs list"),
        pytest.param(on("inputs", value={}), "at least one input", id="inputs none"),
        pytest.param(on("inputs", "a", value=[None, 3]), "shapes that broadcast", id="width"),
        pytest.param(on("inputs", "a", value=[None, -4]), "an integer >= 0", id="negative"),
        pytest.param(on("inputs", "a", value=["4"]), "an integer >= 0", id="text"),
        pytest.param(on("inputs", "a", value=4), "a: expected a list", id="no list"),
        pytest.param(on("inputs", value={"b": [2**40, 4], "a": [2**40, 4]}), "bytes", id="long"),
        pytest.param(on("input_dtypes", value=[]), "a dict of types", id="types list"),
        pytest.param(on("input_dtypes", value={"c": "int8"}), "some inputs (b, a)", id="types c"),
        pytest.param(on("input_dtypes", value={"a": "float32"}), "'int8', ", id="types float"),
        pytest.param(on("input_dtypes", value={"a": 3}), "'int8', ", id="types number"),
        pytest.param(on("outputs", value=[]), "at least one tensor", id="no outputs"),
        pytest.param(on("outputs", value=3), "outputs: expected a list", id="outputs 3"),
        pytest.param(on("outputs", value=[3]), "a list of strings", id="outputs list"),
        pytest.param(on("outputs", value={"a": 3}), "a: expected a string", id="outputs object"),
        pytest.param(on("outputs", value="ü"), r"no tensor is called '\xfc'", id="outputs unknown"),
        pytest.param(on("source", value=None), "source: expected a string", id="source"),
        pytest.param(on("notes", value="x"), "notes: expected a list", id="notes"),
        pytest.param(on("notes", value=[1]), "a list of strings", id="notes of 1"),
    ],
)  # fmt: skip
def test_refused(edit: Edit, fragment: str) -> None:
    document, tensors = parts()
    edit(document)
    refused(file_with(document, tensors), fragment)


def test_other_files() -> None:
    document, tensors = parts()
    for text in ("", "x", "[]", '{"a":1,"a":2}', "[" * 100):
        refused(file_with(text, tensors), "the model in the metadata")
    refused(file_with(document, tensors, "fastdrop-model-file/2"), "a later version")
    refused(file_with(document, tensors, "pt"), "weights without a model")
    refused(file_with(document, tensors | {"more": K4}), "'more' belongs to no layer")
    refused(file_with(document, {}), "no tensor 'layers.0.kernel'")
    refused(file_with(document, tensors), "this one is a model", architecture=io.BytesIO(b"{}"))
    other = file_with(document, tensors).replace(b'"F32","shape":[4,4]', b'"I32","shape":[4,4]')
    refused(other, "expected F32, found I32")


def test_weights_that_are_not_finite() -> None:
    kernel = K4.copy()
    kernel[3, 3] = np.nan
    data = file_with(*parts(Model([layers.Dense(name="d", kernel=kernel)], (4,))))
    refused(data, "(Dense): kernel holds NaN or infinities; allow_nonfinite=True")
    assert np.isnan(load(data, allow_nonfinite=True).layers[0].kernel[3, 3])


def test_constants_may_be_infinite(tmp_path: Path) -> None:
    """What is added to a mask is, where nothing is to be seen."""
    value = np.array([[0, -np.inf], [0, 0]], np.float32)
    Model([layers.Constant(name="mask", value=value)], (3,)).save(tmp_path / "m")
    found = fd.load(tmp_path / "m").predict(np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(found, [value, value])
    value[1, 1] = np.nan
    data = file_with(*parts(Model([layers.Constant(name="mask", value=value)], (3,))))
    refused(data, "(Constant): value holds NaN; allow_nonfinite=True")


def test_nothing_is_run_and_no_other_file_is_opened(tmp_path: Path) -> None:
    """Whatever classes a file names: annotations are no text that would be evaluated."""
    path = tmp_path / "m"
    for name, (some, x) in EXAMPLES.items():
        document, tensors = parts(model_of(getattr(layers, name)(name="l", **some[0]), x))
        path.write_bytes(file_with(document, tensors))
        with hostile.Watch() as events:
            fd.load(path)
        assert {event for event, _ in events} == {"open"}
        assert [what for _, what in events if not isinstance(what, int)] == [str(path)]
        document["layers"][0]["class"] = "os.system"
        path.write_bytes(file_with(document, tensors))
        hostile.refused(path, "the class 'os.system' is not supported")


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "m"
    shared_drop().save(path)
    for limits, fragment in (
        ({"max_file_bytes": 100}, "max_file_bytes is 100"),
        ({"max_json_bytes": 100}, "max_json_bytes is 100"),
        ({"max_tensors": 2}, "3 tensors, max_tensors is 2"),
        ({"max_layers": 4}, "more layers than max_layers, 4"),
        ({"max_layers": 6}, "7 calls, max_layers is 6"),
        ({"max_tensor_bytes": 100}, "max_tensor_bytes is 100"),
    ):
        with pytest.raises(ModelFormatError, match=rf"^m: .*{fragment}"):
            fd.load(path, **limits)  # type: ignore[arg-type]
    assert fd.load(path, max_layers=7, max_tensors=3).layers
    # Layers within layers count.
    inner = layers.TimeDistributed(name="i", layer=layers.Dense(name="d", kernel=K4))
    Model([layers.TimeDistributed(name="o", layer=inner)], (5, 3, 4)).save(path)
    assert fd.load(path, max_layers=3).layers
    with pytest.raises(ModelFormatError, match="more layers than max_layers, 2"):
        fd.load(path, max_layers=2)
    # Of what is put out, at each place for one input, a length left open being one.
    Model([layers.RepeatVector(name="r", count=100)], (4,)).save(path)
    assert fd.load(path, max_tensor_bytes=1600).layers
    with pytest.raises(ModelFormatError, match="tensor 'r': an output of 1600 bytes, max_tensor"):
        fd.load(path, max_tensor_bytes=1599)
    Model([layers.ZeroPadding1D(name="z", padding=4)], (None, 4)).save(path)
    assert fd.load(path, max_tensor_bytes=16).layers


# What might stand in a field in place of what belongs there.
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 7, 2**31, 2**62, -(2**63), 0.5, -1e300, 1e-320,
    {"float": "inf"}, {"float": "nan"}, "", "x", "relu", [], [[]], [0], [1, 1], [None, 1], [-1],
    [2**40], [1, "x"], ["relu", {"float": "inf"}], {"slice": [None, None, 0]},
    {"slice": [2**70 // 2**10, 5, -1]}, [{"slice": [0, 2**62, 1]}], {"tensor": "odd"},
    [0, {"tensor": "odd"}], {"class": "Flatten", "fields": {"name": "f"}},
    [{"class": "Flatten", "fields": {"name": "f"}}],
]  # fmt: skip


def predicts_or_is_refused(data: bytes, x: Any) -> bool:
    """Whether a file is a model; such a model predicts, or says that its input does not fit."""
    try:
        model = load(data, max_tensor_bytes=2**16)
    except ModelFormatError as error:
        message = str(error)
    else:
        with contextlib.suppress(ValueError, TypeError):
            model.predict(x)
            if model.stochastic:
                model.mc_predict(x, 2, rng=0)
        return True
    assert message.isascii()
    assert "\n" not in message
    return False


@pytest.mark.parametrize("name", EXAMPLES)
def test_odd_values_in_every_field(name: str) -> None:
    """Each is refused in one line, or makes a model that predicts or refuses its input."""
    some, x = EXAMPLES[name]
    document, tensors = parts(model_of(getattr(layers, name)(name="l", **some[0]), x))
    taken = 0
    for field in document["layers"][0]["fields"]:
        for value in ODD:
            for odd in (normal(4), np.float32(2).reshape(())):
                changed = copy.deepcopy(document)
                old = changed["layers"][0]["fields"][field]
                changed["layers"][0]["fields"][field] = value
                rest = {k: v for k, v in tensors.items() if f'"{k}"' not in json.dumps(old)}
                more = {"odd": odd} if "odd" in json.dumps(value) else {}
                data = file_with(changed, rest | more)
                taken += predicts_or_is_refused(data, x)
                if not more:
                    break
    assert taken


def test_memory(tmp_path: Path) -> None:
    """What describes the model is bounded by its bytes; of a mapped file nothing else is held."""
    many = Model([layers.Dense(name=f"d{i}", kernel=K4) for i in range(900)], (4,))
    wide = Model([layers.Dense(name="d", kernel=np.ones((1000, 1000), np.float32))], (1000,))
    for model, least in ((many, 2**23), (wide, 2**18)):
        model.save(tmp_path / "m")
        tracemalloc.start()
        fd.load(tmp_path / "m")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < least


def test_weights_are_not_copied(tmp_path: Path) -> None:
    got = saved(Model([layers.Dense(name="d", kernel=normal(500, 500))], (500,)), tmp_path / "m")
    kernel: np.ndarray = got.layers[0].kernel  # type: ignore[attr-defined]
    assert not kernel.flags.owndata
    assert not kernel.flags.writeable


def test_what_loading_imports(tmp_path: Path) -> None:
    """Not what knows Keras, nor the layers that the model has not: a process is soon at work."""
    Model([lstm(), layers.Dense(name="d", kernel=normal(2, 1))], (None, 4)).save(tmp_path / "m")
    code = (
        "import sys, fastdrop as fd\n"
        f"fd.load({str(tmp_path / 'm')!r}).predict([[[1.0] * 4] * 3])\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {*run.stdout.split()}
    assert {"fastdrop.layers.rnn", "fastdrop.layers.core"} <= found
    others = {f"fastdrop.layers.{name}" for name in ("attention", "convolutional", "operations")}
    assert not found & {*others, "fastdrop.formats.keras", "fastdrop.uncertainty._store"}


def test_custom_is_for_files_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    fd.Model([layers.Dropout(name="d", rate=0.5)], (3,)).save(path)
    with pytest.raises(fd.ModelFormatError, match="custom= is for files of Keras"):
        fd.load(path, custom={"Mine": "Dropout"})

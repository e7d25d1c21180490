"""Layers made in Python with no option given: the defaults are those of Keras's classes."""

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest

from fastdrop import layers
from layer_laws import normal

K2, K3, K4 = normal(4, 4), normal(3, 4, 4), normal(3, 3, 4, 4)
P3 = normal(1, 16, 2)
V4 = np.abs(normal(4)) + 0.5
HEADS = {
    "query_kernel": normal(4, 2, 3),
    "key_kernel": normal(4, 2, 3),
    "value_kernel": normal(4, 2, 3),
    "output_kernel": normal(2, 3, 4),
}
CONV = {"bias": None, "padding": "valid", "groups": 1, "activation": "linear"}
CONV_OF_CHANNELS = {"bias": None, "padding": "valid", "activation": "linear"}
ATTENDING = {
    "dropout": 0,
    "use_causal_mask": False,
    "return_attention_scores": False,
    "masks": None,
    "passes_mask": True,
}
RECURRENT = {
    "bias": None,
    "activation": "tanh",
    "dropout": 0,
    "recurrent_dropout": 0,
    "weight_dropout": 0,
    "go_backwards": False,
    "return_sequences": False,
    "return_state": False,
    "zero_output_for_mask": False,
    "uses_mask": True,
    "starts_from_state": False,
}
GATED = RECURRENT | {"recurrent_activation": "sigmoid", "scheme": "per_gate"}
LSTM, SIMPLE = (
    layers.LSTM(name="l", kernel=normal(4, 8), recurrent_kernel=normal(2, 8)),
    layers.SimpleRNN(name="s", kernel=normal(4, 2), recurrent_kernel=normal(2, 2)),
)

# A layer of what must be given, and all that need not be.
DEFAULTS: list[tuple[Any, dict[str, Any]]] = [
    (layers.Activation(name="a", activation="softmax"), {"axis": -1}),
    (layers.Softmax(name="a"), {"axes": (-1,)}),
    (layers.Attention(name="a"), ATTENDING | {"scale": None, "concat_score_weight": None}),
    (layers.AdditiveAttention(name="a"), ATTENDING | {"scale": None}),
    (
        layers.MultiHeadAttention(name="m", **HEADS),
        ATTENDING
        | dict.fromkeys(("query_bias", "key_bias", "value_bias", "output_bias"))
        | dict.fromkeys(("gate_kernel", "gate_bias", "sliding_window"))
        | {"masking": "replace", "fused": False, "uses_masks": True, "own_query_mask": False},
    ),
    (layers.Conv1D(name="c", kernel=K3), CONV | {"strides": (1,), "dilation_rate": (1,)}),
    (layers.Conv2D(name="c", kernel=K4), CONV | {"strides": (1, 1), "dilation_rate": (1, 1)}),
    (
        layers.Conv3D(name="c", kernel=K4[None]),
        CONV | {"strides": (1, 1, 1), "dilation_rate": (1, 1, 1)},
    ),
    (
        layers.ConvLSTM2D(name="c", kernel=normal(3, 2, 4, 8), recurrent_kernel=normal(3, 2, 2, 8)),
        {
            "bias": None,
            "strides": (1, 1),
            "padding": "valid",
            "dilation_rate": (1, 1),
            "activation": "tanh",
            "recurrent_activation": "sigmoid",
            "dropout": 0,
            "recurrent_dropout": 0,
            "go_backwards": False,
            "return_sequences": False,
            "return_state": False,
            "zero_output_for_mask": False,
            "uses_mask": True,
        },
    ),
    (layers.ChannelsFirst(name="c", layer=layers.Flatten(name="f")), {"axis": 0}),
    (
        layers.Conv3DTranspose(name="c", kernel=K4[None]),
        CONV | {"strides": (1, 1, 1), "dilation_rate": (1, 1, 1), "output_padding": None},
    ),
    (
        layers.Conv1DTranspose(name="c", kernel=K3),
        CONV | {"strides": (1,), "dilation_rate": (1,), "output_padding": None},
    ),
    (
        layers.Conv2DTranspose(name="c", kernel=K4),
        CONV | {"strides": (1, 1), "dilation_rate": (1, 1), "output_padding": None},
    ),
    (
        layers.SeparableConv1D(name="c", depthwise_kernel=K3, pointwise_kernel=P3),
        CONV_OF_CHANNELS | {"strides": (1,), "dilation_rate": (1,)},
    ),
    (
        layers.SeparableConv2D(name="c", depthwise_kernel=K4, pointwise_kernel=P3[None]),
        CONV_OF_CHANNELS | {"strides": (1, 1), "dilation_rate": (1, 1)},
    ),
    (layers.ZeroPadding1D(name="z"), {"padding": ((1, 1),)}),
    (layers.ZeroPadding2D(name="z"), {"padding": ((1, 1), (1, 1))}),
    (layers.ZeroPadding3D(name="z"), {"padding": ((1, 1), (1, 1), (1, 1))}),
    (layers.Cropping3D(name="z"), {"cropping": ((0, 0), (0, 0), (0, 0))}),
    (layers.UpSampling1D(name="u"), {"size": (2,)}),
    (layers.UpSampling3D(name="u"), {"size": (2, 2, 2)}),
    (layers.UpSampling2D(name="u"), {"size": (2, 2)}),
    (layers.Dense(name="d", kernel=K2), {"bias": None, "activation": "linear"}),
    (layers.Embedding(name="e", table=K2), {"mask_zero": False}),
    (layers.EmbeddingDropout(name="e", table=K2, rate=0.1), {"mask_zero": False}),
    (
        layers.ReversibleEmbedding(name="e", table=K2),
        {"mask_zero": False, "reverse": False, "reverse_table": None, "soft_cap": None},
    ),
    (layers.Identity(name="i"), {"passes_mask": True}),
    (layers.Masking(name="m"), {"mask_value": 0}),
    (layers.Concatenate(name="c"), {"axis": -1, "masks": "any"}),
    (layers.Dot(name="d", axes=(1, 1)), {"normalize": False}),
    (layers.Merge(name="m", function="add"), {"masks": "any"}),
    (
        layers.BatchNormalization(name="b", moving_mean=V4, moving_variance=V4),
        {"axis": (-1,), "gamma": None, "beta": None, "epsilon": 1e-3},
    ),
    (
        layers.LayerNormalization(name="l"),
        {"axis": (-1,), "gamma": None, "beta": None, "epsilon": 1e-3, "rms_scaling": False},
    ),
    (layers.UnitNormalization(name="u"), {"axis": (-1,)}),
    (layers.RMSNormalization(name="r"), {"axis": (-1,), "scale": None, "epsilon": 1e-6}),
    (
        layers.GroupNormalization(name="g"),
        {"axis": (-1,), "groups": 32, "gamma": None, "beta": None, "epsilon": 1e-3},
    ),
    (
        layers.Normalization(name="n", mean=V4, variance=V4),
        {"axis": (-1,), "invert": False, "passes_mask": True},
    ),
    (layers.Rescaling(name="r", scale=2), {"offset": 0, "passes_mask": True}),
    *(
        (kind(name="p"), {"pool_size": (2,) * kind.dims, "strides": (2,) * kind.dims})
        for kind in (layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
    ),
    *(
        (
            kind(name="p"),
            dict.fromkeys(("pool_size", "strides"), (2,) * kind.dims)
            | {"dilation_rate": (1,) * kind.dims},
        )
        for kind in (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
    ),
    *(
        (kind(name="p", output_size=3), {"output_size": (3,) * kind.dims})
        for kind in (
            layers.AdaptiveAveragePooling1D,
            layers.AdaptiveAveragePooling2D,
            layers.AdaptiveAveragePooling3D,
            layers.AdaptiveMaxPooling1D,
            layers.AdaptiveMaxPooling2D,
            layers.AdaptiveMaxPooling3D,
        )
    ),
    *(
        (kind(name="g"), {"keepdims": False})
        for kind in (
            layers.GlobalAveragePooling1D,
            layers.GlobalAveragePooling2D,
            layers.GlobalAveragePooling3D,
            layers.GlobalMaxPooling1D,
            layers.GlobalMaxPooling2D,
            layers.GlobalMaxPooling3D,
        )
    ),
    (layers.Dropout(name="d", rate=0.5), {"noise_shape": None}),
    (layers.AlphaDropout(name="d", rate=0.5), {"noise_shape": None}),
    (SIMPLE, RECURRENT),
    (LSTM, GATED),
    (
        layers.GRU(name="g", kernel=normal(4, 6), recurrent_kernel=normal(2, 6)),
        GATED | {"reset_after": True},
    ),
    (
        layers.RecurrentLoop(name="l", kernel=normal(4, 8), recurrent_kernel=normal(2, 8)),
        GATED
        | {"cell": "lstm", "input_forget": False, "reset_after": True}
        | dict.fromkeys(("peepholes", "projection", "clip", "output_activation")),
    ),
    (
        layers.Bidirectional(
            name="b", forward=SIMPLE, backward=dataclasses.replace(SIMPLE, go_backwards=True)
        ),
        {"merge_mode": "concat"},
    ),
    (layers.TimeDistributed(name="t", layer=SIMPLE), {"masks": "outer"}),
    (layers.MatMul(name="p"), {"transpose_a": False, "transpose_b": False}),
    (layers.Reduce(name="r", function="sum"), {"axes": None, "keepdims": False}),
    (layers.Repeat(name="r", axis=0, count=2), {"whole": False}),
    (layers.Resizing(name="r", size=(2, 2)), {"scale": None, "interpolation": "bilinear"}),
    (layers.CategoryEncoding(name="c", num_tokens=2), {"output_mode": "multi_hot"}),
    (layers.Discretization(name="d", bin_boundaries=(0.0,)), {"output_mode": "int"}),
    (
        layers.IntegerLookup(name="i", vocabulary=(3,)),
        {"mask_token": None, "num_oov_indices": 1, "output_mode": "int"},
    ),
    (layers.Split(name="s", axis=0, cuts=(1,)), {"unstacked": False}),
    (
        layers.EinsumDense(name="e", equation="c,cd->d", kernel=K2),
        {"bias": None, "activation": "linear"},
    ),
]


@pytest.mark.parametrize(
    ("layer", "defaults"), DEFAULTS, ids=[type(layer).__name__ for layer, _ in DEFAULTS]
)
def test_defaults(layer: Any, defaults: dict[str, Any]) -> None:
    for field, expected in defaults.items():
        assert getattr(layer, field) == expected, field


@pytest.mark.parametrize(
    "layer", [layer for layer, _ in DEFAULTS], ids=[type(layer).__name__ for layer, _ in DEFAULTS]
)
def test_a_layer_is_shown_in_a_line(layer: Any) -> None:
    """By its name, and with the shapes of its weights in their place."""
    shown = repr(layer)
    assert shown.startswith(f"{type(layer).__name__}({layer.name!r}")
    assert "array(" not in shown
    assert "\n" not in shown


CLASSES = [getattr(layers, name) for name in layers.__all__]
LAYERS = [kind for kind in CLASSES if issubclass(kind, layers.Layer)]


@pytest.mark.parametrize("kind", LAYERS)
def test_fields_are_given_by_name(kind: type[layers.Layer]) -> None:
    """So that one more field moves none, in a class or in what it inherits from."""
    parameters = inspect.signature(kind).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == []


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_equals_itself_alone(kind: type[layers.Layer]) -> None:
    """What it holds are arrays, whose comparison is no answer; a model may call it twice."""
    assert kind.__eq__ is object.__eq__
    assert kind.__hash__ is object.__hash__


# What has weights of its own when nothing is said but its sizes: Keras's use_bias, scale, center,
# and use_scale.
DECLARED: list[tuple[Any, dict[str, Any], set[str]]] = [
    (layers.Dense, {"units": 3}, {"kernel", "bias"}),
    (layers.Conv1D, {"filters": 2, "kernel_size": (3,)}, {"kernel", "bias"}),
    (layers.Conv1DTranspose, {"filters": 2, "kernel_size": (3,)}, {"kernel", "bias"}),
    (
        layers.SeparableConv1D,
        {"filters": 2, "kernel_size": (3,)},
        {"depthwise_kernel", "pointwise_kernel", "bias"},
    ),
    (layers.LSTM, {"units": 2}, {"kernel", "recurrent_kernel", "bias"}),
    (layers.GRU, {"units": 2}, {"kernel", "recurrent_kernel", "bias"}),
    (layers.SimpleRNN, {"units": 2}, {"kernel", "recurrent_kernel", "bias"}),
    (layers.RecurrentLoop, {"units": 2}, {"kernel", "recurrent_kernel", "bias"}),
    (layers.LayerNormalization, {}, {"gamma", "beta"}),
    (layers.GroupNormalization, {"groups": 1}, {"gamma", "beta"}),
    (layers.RMSNormalization, {}, {"scale"}),
    (layers.BatchNormalization, {}, {"gamma", "beta", "moving_mean", "moving_variance"}),
    (layers.Attention, {}, set()),
    (layers.AdditiveAttention, {}, {"scale"}),
]


@pytest.mark.parametrize(
    ("kind", "sizes", "weights"), DECLARED, ids=[kind.__name__ for kind, _, _ in DECLARED]
)
def test_weights_that_are_declared(kind: Any, sizes: dict[str, Any], weights: set[str]) -> None:
    inputs = [(5, 4), (5, 4)] if "Attention" in kind.__name__ else [(5, 4)]
    assert {*kind.declare(inputs, name="l", **sizes).weights()} == weights


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [(kind, sizes) for kind, sizes, weights in DECLARED if weights],
    ids=[kind.__name__ for kind, _, weights in DECLARED if weights],
)
def test_what_can_be_written_to_is_copied(kind: Any, sizes: dict[str, Any]) -> None:
    """Whoever trains on, in place, does not change a layer."""
    inputs = [(5, 4), (5, 4)] if "Attention" in kind.__name__ else [(5, 4)]
    declared = kind.declare(inputs, name="l", **sizes)
    arrays = {name: normal(*weight.shape) for name, weight in declared.weights().items()}
    layer = declared.with_weights(arrays)
    flows = [layers.Flow(normal(1, 3, *shape)) for shape in inputs]
    before = layer.run(flows, None)[0].values
    for array in arrays.values():
        array += 1
    np.testing.assert_array_equal(layer.run(flows, None)[0].values, before)


def test_what_cannot_be_written_to_is_taken_as_it_is() -> None:
    kernel = normal(4, 3)
    kernel.flags.writeable = False
    assert layers.Dense(name="d", kernel=kernel).kernel is kernel


def test_constants_of_operations_are_copied() -> None:
    constant = normal(4)
    layer = layers.Elementwise(name="e", function="add", operands=(0, constant))
    kept = constant.copy()
    constant += 1
    (flow,) = layer.run([layers.Flow(normal(1, 3, 4))], None)
    np.testing.assert_array_equal(flow.values, normal(1, 3, 4) + kept)

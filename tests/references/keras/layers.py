"""Every layer with each of its options, one or two layers a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import (
    MASK,
    PATTERN,
    SOME,
    X2,
    X3,
    X4,
    XM,
    A,
    Array,
    L,
    Later,
    add,
    floats,
    padded,
    padded_tokens,
    tokens,
)

# Activations. ------------------------------------------------------------------------------------

ACTIVATIONS = [
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "softplus",
    "softsign",
    "exponential",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "hard_shrink",
    "soft_shrink",
    "tanh_shrink",
    "squareplus",
    "sparse_plus",
    "sparse_sigmoid",
    "tanh",
    "sigmoid",
    "log_sigmoid",
    "softmax",
    "log_softmax",
]
RECURRENT_ACTIVATIONS = [
    name
    for name in ACTIVATIONS
    if name not in ("softmax", "log_softmax", "tanh", "swish", "hard_swish", "exponential")
]
FEW = ("relu", "elu", "silu", "gelu", "softplus", "softsign", "hard_sigmoid", "linear", "swish")

for name in ACTIVATIONS:
    add(f"dense-{name}", 3 * X2, [L.Dense(5, activation=name)])
    add(f"activation-{name}", 3 * X3, [L.Activation(name)])
add("activation-none", X3, [L.Activation(None), L.Dense(2)], both=True)
for name in ("silu", "leaky_relu", "hard_sigmoid"):
    add(f"dense-function-{name}", 3 * X2, [L.Dense(5, activation=getattr(A, name))], only="3")
add("dense-function-gelu", 3 * X2, [L.Dense(5, activation=A.gelu)])


def slope(value: float) -> dict[str, Later]:
    """Return LeakyReLU as both major versions write it."""
    return {"3": L.LeakyReLU(negative_slope=value), "2": L.LeakyReLU(alpha=value)}


for only, layer in slope(0.1).items():
    add(f"leaky_relu-slope-k{only}", X3, [layer], only=only)
    add(f"dense-object-leaky_relu-k{only}", X2, [L.Dense(5, activation=layer)], only=only)
    add(f"activation-object-leaky_relu-k{only}", X2, [L.Activation(layer)], only=only)
    add(f"lstm-object-leaky_relu-k{only}", X3, [L.LSTM(4, activation=layer)], only=only)
add("leaky_relu-default", X3, [L.LeakyReLU()])
add("leaky_relu-masked", XM, [MASK, L.LeakyReLU(), L.LSTM(4)])
add("relu-default", X3, [L.ReLU()])
add("relu-max", 3 * X3, [L.ReLU(max_value=2.0)])
add("relu-slope", X3, [L.ReLU(negative_slope=0.25)])
add("relu-threshold", X3, [L.ReLU(threshold=0.5)])
add("relu-all", 3 * X3, [L.ReLU(max_value=2.5, negative_slope=0.125, threshold=0.75)])
add("relu-masked", XM, [MASK, L.ReLU(), L.GRU(4)])
add("dense-object-relu", 3 * X2, [L.Dense(5, activation=L.ReLU(max_value=1.5))])
add("dense-object-elu", 3 * X2, [L.Dense(5, activation=L.ELU(alpha=0.5))])
add("dense-object-softmax", X2, [L.Dense(5, activation=L.Softmax())])
add("thresholded_relu", 3 * X3, [L.ThresholdedReLU(theta=0.75)], only="2")
add("thresholded_relu-default", 3 * X3, [L.ThresholdedReLU()], only="2")
add("dense-object-thresholded_relu", X2, [L.Dense(5, activation=L.ThresholdedReLU(0.25))], only="2")
add("elu-default", X3, [L.ELU()])
add("elu-alpha", X3, [L.ELU(alpha=0.5)])
add("prelu", X3, [L.PReLU()])
add("prelu-shared", X3, [L.PReLU(shared_axes=[1])])
add("prelu-shared-2", X4, [L.PReLU(shared_axes=[1, 2]), L.Conv2D(2, 2)])
add("prelu-2d", X2, [L.Dense(5), L.PReLU(), L.Dense(2)])
add("prelu-masked", XM, [MASK, L.PReLU(shared_axes=[1]), L.LSTM(4)])
add("softmax", X3, [L.Softmax()])
add("softmax-2d", X2, [L.Softmax()])
add("softmax-axis-1", X3, [L.Softmax(axis=1)])
add("softmax-axes", X3, [L.Softmax(axis=[1, 2])])


def softmax_mask(keras: Any, x: Any, mask: Any) -> Any:
    return keras.layers.Softmax()(x, mask=mask)


def softmax_computed_mask(keras: Any, x: Any) -> Any:
    masked = keras.layers.Masking(0.0)(x)
    scores = keras.layers.Reshape((6,))(keras.layers.Dense(1)(x))
    return keras.layers.Softmax()(scores, mask=masked._keras_mask)


def softmax_argument(keras: Any, x: Any) -> Any:
    return keras.layers.Softmax(axis=-1)(keras.layers.Dense(4)(x))


add("softmax-mask", [X2, X2 > -0.5], softmax_mask)
add("softmax-functional", X2, softmax_argument)


# Core. -------------------------------------------------------------------------------------------

T = tokens(3, 6, of=9)
add("embedding", T, [L.Embedding(9, 4)], both=True)
add("embedding-float-tokens", T.astype("float32"), [L.Embedding(9, 4), L.LSTM(3)], both=True)
add("embedding-int64", T.astype("int64"), [L.Embedding(9, 4), L.LSTM(3)])
add("embedding-3d", tokens(2, 3, 4, of=7), [L.Embedding(7, 2)])
add("embedding-1d", tokens(4, of=7).reshape(4), [L.Embedding(7, 3), L.Dense(2)])
add("embedding-any-length", T, [L.Embedding(9, 4), L.GRU(3)], shapes=[(None,)], both=True)
add("embedding-flatten", T, [L.Embedding(9, 4), L.Flatten(), L.Dense(3)])
add("embedding-input-length", T, [L.Embedding(9, 4, input_length=6), L.Flatten(), L.Dense(3)])
for cell in ("LSTM", "GRU", "SimpleRNN"):
    layer = getattr(L, cell)
    add(
        f"embedding-mask_zero-{cell.lower()}",
        padded_tokens(9),
        [L.Embedding(9, 4, mask_zero=True), layer(3)],
        both=True,
    )
add(
    "embedding-mask_zero-float",
    padded_tokens(9).astype("float32"),
    [L.Embedding(9, 4, mask_zero=True), L.LSTM(3)],
)
add(
    "embedding-mask_zero-dense",
    padded_tokens(9),
    [L.Embedding(9, 4, mask_zero=True), L.Dense(3, activation="relu"), L.Dropout(0.5), L.LSTM(3)],
)
add("embedding-mask_zero-3d", tokens(2, 3, 4, of=4), [L.Embedding(4, 2, mask_zero=True)])
add("dense-2d", X2, [L.Dense(5)], both=True)
add("dense-3d", X3, [L.Dense(4), L.Dense(2, activation="tanh")], both=True)
add("dense-4d", X4, [L.Dense(2)])
add("dense-no_bias", X3, [L.Dense(4, use_bias=False)])
EINSUM_DENSE: dict[str, tuple[Any, dict[str, Any]]] = {
    "dense": (X2, {"equation": "ab,bc->ac", "output_shape": 5, "bias_axes": "c"}),
    "steps": (X3, {"equation": "abc,cd->abd", "output_shape": (None, 4), "bias_axes": "d"}),
    "heads": (
        X3,
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 4), "bias_axes": "de"},
    ),
    "joined": (X4, {"equation": "abcd,cde->abe", "output_shape": (None, 6)}),
    "of-each-step": (
        X3,
        {"equation": "abc,bcd->abd", "output_shape": (5, 2), "bias_axes": "bd"},
    ),
    "over-steps": (X3, {"equation": "abc,bd->adc", "output_shape": (4, 3), "bias_axes": "d"}),
    "each-step-scaled": (X3, {"equation": "abc,bc->abc", "output_shape": (5, 3)}),
    "ellipsis": (
        X4,
        {
            "equation": "...x,xy->...y",
            "output_shape": 5,
            "bias_axes": "y",
            "activation": "relu",
        },
    ),
    "ellipsis-behind": (
        X4,
        {"equation": "ab...,bc->ac...", "output_shape": 5, "bias_axes": "c"},
    ),
    "softmax": (
        X3,
        {"equation": "abc,cd->abd", "output_shape": (None, 4), "activation": "softmax"},
    ),
}
for name, (x, options) in EINSUM_DENSE.items():
    add(f"einsumdense-{name}", x, [L.EinsumDense(**options)], both=name in ("heads", "ellipsis"))
add(
    "einsumdense-masked",
    XM,
    [
        L.Masking(),
        L.EinsumDense(equation="abc,cd->abd", output_shape=(None, 4), bias_axes="d"),
        L.LSTM(3),
    ],
)
add("dense-one", X2, [L.Dense(1, activation="sigmoid")])
add("dense-any-length", X3, [L.Dense(4)], shapes=[(None, 3)])
add(
    "dense-regularizers",
    X2,
    [
        L.Dense(
            4,
            kernel_regularizer="l2",
            bias_regularizer="l1",
            activity_regularizer="l2",
            kernel_constraint="max_norm",
            bias_constraint="non_neg",
            kernel_initializer="he_normal",
        )
    ],
)
add(
    "lstm-regularizers",
    X3,
    [
        L.LSTM(
            4,
            kernel_regularizer="l2",
            recurrent_regularizer="l2",
            bias_regularizer="l1",
            activity_regularizer="l2",
            kernel_constraint="max_norm",
            unit_forget_bias=False,
            kernel_initializer="he_normal",
            recurrent_initializer="identity",
        )
    ],
)
add("identity", X3, [L.Identity(), L.Dense(2)])
add("identity-masked", XM, [MASK, L.Identity(), L.LSTM(3)])
for value in (0.0, -1.0, -999999999.0, 0.1, -9999.0):
    add(f"masking{value:g}-lstm", padded(3, value), [L.Masking(mask_value=value), L.LSTM(4)])
add("masking-alone", padded(3, -1.0), [L.Masking(mask_value=-1)], both=True)
add("masking-0.1-alone", padded(3, 0.1), [L.Masking(mask_value=0.1)])
add("masking-integer", padded(3, -10.0), [L.Masking(mask_value=-10), L.GRU(4)])
add("masking-dense", padded(3, 2.0), [L.Masking(2.0), L.Dense(3), L.Activation("tanh"), L.LSTM(2)])
add("fixed-batch", X3, [L.LSTM(4), L.Dense(2)], fixed_batch=True, both=True)
add("bare-dense", X2, [L.Dense(5), L.Dense(2)], bare=True, both=True)
add("bare-lstm", X3, [L.LSTM(4), L.Dense(2)], bare=True, both=True)
add("bare-embedding", T, [L.Embedding(9, 4), L.LSTM(4), L.Dense(2)], bare=True, both=True)
add("input_shape-lstm", X3, [L.LSTM(4, input_shape=(5, 3)), L.Dense(2)], bare=True, both=True)
add(
    "batch_input_shape-lstm",
    X3,
    [L.LSTM(4, batch_input_shape=(2, 5, 3)), L.Dense(2)],
    bare=True,
    both=True,
    only="2",
)
add("input-layer", X3, [L.InputLayer(input_shape=(5, 3)), L.LSTM(4)], bare=True, only="2")
add(
    "names",
    X3,
    [
        L.LSTM(4, name="encoder_1", return_sequences=True),
        L.Dropout(0.1, name="drop-me.not"),
        L.LSTM(3, name="encoder_10"),
        L.Dense(2, name="output_2"),
    ],
    both=True,
)
add(
    "names-unicode",
    X3,
    [L.LSTM(4, name="a layer"), L.Dense(2, name="überblick 予測")],
    only="3",
    both=True,
)
add("eleven-dense", X2, [L.Dense(2 + i % 3) for i in range(12)], both=True)


# Recurrent. --------------------------------------------------------------------------------------

CELLS = {
    "lstm": (L.LSTM, {}),
    "gru": (L.GRU, {}),
    "gru-before": (L.GRU, {"reset_after": False}),
    "simple_rnn": (L.SimpleRNN, {}),
}


def returns(keras: Any, x: Any, *, layer: Later, reverse: bool = False) -> Any:
    outputs = list(layer.make(keras)(x))
    return outputs[::-1] if reverse else outputs


def first_of(keras: Any, x: Any, *, layer: Later) -> Any:
    return keras.layers.Dense(2)(layer.make(keras)(x)[0])


def last_of(keras: Any, x: Any, *, layer: Later) -> Any:
    return keras.layers.Dense(2)(layer.make(keras)(x)[-1])


def starts(keras: Any, x: Any, *states: Any, layer: Later, style: str) -> Any:
    built = layer.make(keras)
    if style == "keyword":
        return built(x, initial_state=list(states))
    if style == "one":
        return built(x, initial_state=states[0])
    return built([x, *states])


def starts_masked(keras: Any, x: Any, *states: Any, layer: Later) -> Any:
    return layer.make(keras)(keras.layers.Masking(0.0)(x), initial_state=list(states))


def encoder_decoder(keras: Any, x: Any, y: Any, *, layer: Later, decoder: Later) -> Any:
    _, *states = layer.make(keras)(x)
    return keras.layers.Dense(2)(decoder.make(keras)(y, initial_state=states))


for name, (layer, fixed) in CELLS.items():
    layer = functools.partial(layer, **fixed)
    states = 2 if name == "lstm" else 1
    sequences = {"return_sequences": True}
    add(name, X3, [layer(4)], both=True)
    add(f"{name}-sequences", X3, [layer(4, **sequences)], both=True)
    add(f"{name}-two", X3, [layer(4, **sequences), layer(3)], both=True)
    add(f"{name}-any-length", X3, [layer(4)], shapes=[(None, 3)])
    add(f"{name}-one-unit", X3, [layer(1)])
    add(f"{name}-one-step", floats(3, 1, 4), [layer(5)])
    add(f"{name}-backwards", X3, [layer(4, go_backwards=True, **sequences)])
    add(f"{name}-backwards-last", X3, [layer(4, go_backwards=True)])
    add(f"{name}-unroll", X3, [layer(4, unroll=True, **sequences)])
    add(f"{name}-no_bias", X3, [layer(4, use_bias=False)])
    add(f"{name}-no_bias-masked", XM, [MASK, layer(4, use_bias=False)])
    add(f"{name}-stateful", X3, [layer(4, stateful=True)], fixed_batch=True, both=True)
    add(f"{name}-dropouts", X3, [layer(4, dropout=0.3, recurrent_dropout=0.2)])
    add(f"{name}-masked", XM, [MASK, layer(4)], both=True)
    add(f"{name}-masked-sequences", XM, [MASK, layer(4, **sequences)], both=True)
    add(f"{name}-masked-zero", XM, [MASK, layer(4, zero_output_for_mask=True, **sequences)])
    add(f"{name}-masked-zero-last", XM, [MASK, layer(4, zero_output_for_mask=True)])
    add(f"{name}-masked-backwards", XM, [MASK, layer(4, go_backwards=True, **sequences)])
    add(
        f"{name}-masked-backwards-zero",
        XM,
        [MASK, layer(4, go_backwards=True, zero_output_for_mask=True, **sequences)],
    )
    add(
        f"{name}-masked-backwards-two",
        XM,
        [MASK, layer(4, go_backwards=True, **sequences), layer(3)],
    )
    add(f"{name}-masked-unroll", XM, [MASK, layer(4, unroll=True, **sequences)])
    add(f"{name}-masked-two", XM, [MASK, layer(4, **sequences), layer(3), L.Dense(2)])
    add(
        f"{name}-masked-two-zero",
        XM,
        [MASK, layer(4, zero_output_for_mask=True, **sequences), layer(3, **sequences)],
    )
    part = functools.partial(returns, layer=layer(4, return_state=True))
    add(f"{name}-return_state", X3, part, both=True)
    add(
        f"{name}-return_state-sequences",
        X3,
        functools.partial(returns, layer=layer(4, return_state=True, **sequences), reverse=True),
    )
    add(
        f"{name}-return_state-output-only",
        X3,
        functools.partial(first_of, layer=layer(4, return_state=True, **sequences)),
        both=True,
    )
    add(
        f"{name}-return_state-state-only",
        X3,
        functools.partial(last_of, layer=layer(4, return_state=True, **sequences)),
        both=True,
    )
    add(
        f"{name}-return_state-backwards",
        X3,
        functools.partial(
            returns, layer=layer(4, return_state=True, go_backwards=True, **sequences)
        ),
    )

    def masked_returns(keras: Any, x: Any, *, layer: Later) -> Any:
        return list(layer.make(keras)(keras.layers.Masking(0.0)(x)))

    add(
        f"{name}-return_state-masked",
        XM,
        functools.partial(masked_returns, layer=layer(4, return_state=True, **sequences)),
    )
    begin = [floats(2, 4, tag=i + 1) for i in range(states)]
    for style in ("keyword", "list") + (("one",) if states == 1 else ()):
        add(
            f"{name}-initial_state-{style}",
            [X3, *begin],
            functools.partial(starts, layer=layer(4), style=style),
            both=True,
            only="2" if style == "list" else "",
        )
    add(
        f"{name}-initial_state-backwards",
        [X3, *begin],
        functools.partial(starts, layer=layer(4, go_backwards=True, **sequences), style="keyword"),
    )
    add(
        f"{name}-initial_state-masked",
        [XM, *[floats(5, 4, tag=i) for i in range(states)]],
        functools.partial(starts_masked, layer=layer(4, **sequences)),
    )
    add(
        f"{name}-initial_state-masked-zero",
        [XM, *[floats(5, 4, tag=i) for i in range(states)]],
        functools.partial(starts_masked, layer=layer(4, zero_output_for_mask=True, **sequences)),
    )
    add(
        f"{name}-encoder-decoder",
        [X3, floats(2, 4, 2)],
        functools.partial(
            encoder_decoder, layer=layer(4, return_state=True), decoder=layer(4, **sequences)
        ),
        both=True,
    )
    add(f"{name}-time_major", X3, [layer(4, time_major=False)], only="2")
    for implementation in (1, 2) if name != "simple_rnn" else ():
        add(
            f"{name}-implementation-{implementation}", X3, [layer(4, implementation=implementation)]
        )

for name in ("lstm", "gru", "simple_rnn"):
    layer = CELLS[name][0]
    for activation in FEW if name != "lstm" else RECURRENT_ACTIVATIONS:
        add(
            f"{name}-activation-{activation}",
            X3,
            [layer(4, activation=activation, return_sequences=True)],
        )
    if name != "simple_rnn":
        for activation in ("hard_sigmoid", "relu", "tanh", "linear", "softsign", "silu"):
            add(
                f"{name}-recurrent_activation-{activation}",
                X3,
                [layer(4, recurrent_activation=activation)],
            )
        add(
            f"{name}-activations",
            XM,
            [MASK, layer(4, activation="relu", recurrent_activation="hard_sigmoid")],
            both=True,
        )
add("lstm-activation-exponential", X3[:, :2] / 4, [L.LSTM(3, activation="exponential")])
add("lstm-activation-none", X3, [L.LSTM(4, activation=None)])
add("lstm-activation-softmax", X3, [L.LSTM(4, activation="softmax")])
add("gru-before-activation-relu", X3, [L.GRU(4, activation="relu", reset_after=False)])
add("lstm-activation-function", X3, [L.LSTM(4, activation=A.gelu)])
add("lstm-long", floats(2, 40, 2), [L.LSTM(7, return_sequences=True), L.GRU(5), L.Dense(1)])

# Cells in RNN.
STACK = [L.LSTMCell(4), L.GRUCell(3), L.SimpleRNNCell(2)]
CELL = {
    "lstm": L.LSTMCell(4),
    "gru": L.GRUCell(4),
    "gru-before": L.GRUCell(4, reset_after=False),
    "simple_rnn": L.SimpleRNNCell(4, activation="relu"),
    "lstm-options": L.LSTMCell(
        4, activation="relu", recurrent_activation="hard_sigmoid", use_bias=False
    ),
    "stacked-one": L.StackedRNNCells([L.LSTMCell(4)]),
    "stacked": L.StackedRNNCells(STACK),
}
for name, cell in CELL.items():
    add(f"rnn-{name}", X3, [L.RNN(cell)], both=True)
    add(f"rnn-{name}-sequences", X3, [L.RNN(cell, return_sequences=True)])
    if name != "stacked-one":
        add(f"rnn-{name}-masked", XM, [MASK, L.RNN(cell, return_sequences=True)])
for name in ("lstm", "gru", "stacked"):
    rnn = functools.partial(L.RNN, CELL[name])
    add(f"rnn-{name}-return_state", X3, functools.partial(returns, layer=rnn(return_state=True)))
    add(f"rnn-{name}-backwards", X3, [rnn(go_backwards=True, return_sequences=True)])
    add(f"rnn-{name}-unroll", X3, [rnn(unroll=True)])
    add(f"rnn-{name}-zero", XM, [MASK, rnn(zero_output_for_mask=True, return_sequences=True)])
add("rnn-list-of-cells", X3, [L.RNN([L.LSTMCell(4), L.LSTMCell(3)])], both=True)
add("rnn-lstm-stateful", X3, [L.RNN(L.LSTMCell(4), stateful=True)], fixed_batch=True)
add(
    "rnn-lstm-initial_state",
    [X3, floats(2, 4, tag=1), floats(2, 4, tag=2)],
    functools.partial(starts, layer=L.RNN(L.LSTMCell(4)), style="keyword"),
)


def stacked_states(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers

    def rnn(**options: Any) -> Any:
        return layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], **options)

    _, *states = rnn(return_state=True)(x)
    return rnn(return_sequences=True)(y, initial_state=states)


add("rnn-stacked-encoder-decoder", [X3, floats(2, 4, 3)], stacked_states)
add("bidirectional-rnn-lstm", X3, [L.Bidirectional(L.RNN(L.LSTMCell(4)))], both=True)
add(
    "bidirectional-rnn-stacked",
    X3,
    [L.Bidirectional(L.RNN([L.GRUCell(3), L.LSTMCell(2)], return_sequences=True))],
)

# Bidirectional.
for name in ("lstm", "gru", "simple_rnn"):
    layer = CELLS[name][0]
    both = functools.partial(L.Bidirectional, layer(4))
    series = functools.partial(L.Bidirectional, layer(4, return_sequences=True))
    for mode in ("concat", "sum", "mul", "ave"):
        add(f"bidirectional-{name}-{mode}", X3, [both(merge_mode=mode)], both=mode == "concat")
        add(f"bidirectional-{name}-{mode}-sequences", X3, [series(merge_mode=mode)])
        add(f"bidirectional-{name}-{mode}-masked", XM, [MASK, series(merge_mode=mode)])
    add(f"bidirectional-{name}-masked-last", XM, [MASK, both(), L.Dense(2)], both=True)
    add(f"bidirectional-{name}-masked-two", XM, [MASK, series(), both()])
    for kind, wrapped in (("last", both), ("sequences", series)):
        add(
            f"bidirectional-{name}-none-{kind}",
            X3,
            functools.partial(returns, layer=wrapped(merge_mode=None)),
            both=True,
        )
    state = L.Bidirectional(layer(4, return_state=True))
    add(
        f"bidirectional-{name}-return_state", X3, functools.partial(returns, layer=state), both=True
    )
    add(
        f"bidirectional-{name}-return_state-masked",
        XM,
        functools.partial(
            masked_returns,
            layer=L.Bidirectional(layer(4, return_state=True, return_sequences=True)),
        ),
    )
    add(
        f"bidirectional-{name}-none-return_state",
        X3,
        functools.partial(
            returns, layer=L.Bidirectional(layer(4, return_state=True), merge_mode=None)
        ),
    )
    begin = [floats(2, 4, tag=i + 1) for i in range(4 if name == "lstm" else 2)]
    for style in ("keyword", "list"):
        add(
            f"bidirectional-{name}-initial_state-{style}",
            [X3, *begin],
            functools.partial(starts, layer=series(), style=style),
            both=True,
            only="2" if style == "list" else "",
        )
    add(
        f"bidirectional-{name}-initial_state-masked",
        [XM, *[floats(5, 4, tag=i) for i in range(len(begin))]],
        functools.partial(starts_masked, layer=series()),
    )


def bidirectional_decoder(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    _, *s = layers.Bidirectional(layers.LSTM(3, return_state=True))(x)
    h = layers.Concatenate()([s[0], s[2]])
    c = layers.Concatenate()([s[1], s[3]])
    return layers.LSTM(6, return_sequences=True)(y, initial_state=[h, c])


def bidirectional_pair(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    _, *s = layers.Bidirectional(layers.GRU(3, return_state=True))(x)
    return layers.Bidirectional(layers.GRU(3, return_sequences=True))(y, initial_state=s)


add("bidirectional-encoder-decoder", [X3, floats(2, 4, 2)], bidirectional_decoder, both=True)
add("bidirectional-encoder-bidirectional", [X3, floats(2, 4, 2)], bidirectional_pair, both=True)
add(
    "bidirectional-backward_layer",
    X3,
    [
        L.Bidirectional(
            L.LSTM(4, return_sequences=True),
            backward_layer=L.GRU(3, return_sequences=True, go_backwards=True),
        )
    ],
    both=True,
)
add(
    "bidirectional-backward_layer-masked",
    XM,
    [
        MASK,
        L.Bidirectional(
            L.LSTM(4, return_sequences=True),
            backward_layer=L.LSTM(4, activation="relu", return_sequences=True, go_backwards=True),
            merge_mode="sum",
        ),
    ],
)
add(
    "bidirectional-of-backwards",
    X3,
    [
        L.Bidirectional(
            L.LSTM(4, go_backwards=True, return_sequences=True),
            backward_layer=L.LSTM(3, return_sequences=True),
        )
    ],
)
add("bidirectional-stateful", X3, [L.Bidirectional(L.LSTM(4, stateful=True))], fixed_batch=True)
add(
    "bidirectional-zero_output",
    XM,
    [MASK, L.Bidirectional(L.LSTM(4, zero_output_for_mask=True, return_sequences=True))],
)
add("bidirectional-gru-before", X3, [L.Bidirectional(L.GRU(4, reset_after=False))])
add(
    "bidirectional-dropouts",
    X3,
    [L.Bidirectional(L.LSTM(4, dropout=0.2, recurrent_dropout=0.2), name="bi"), L.Dense(1)],
)
add(
    "bidirectional-two",
    X3,
    [
        L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.Dropout(0.2),
        L.Bidirectional(L.LSTM(3)),
        L.Dense(1, activation="sigmoid"),
    ],
    both=True,
)

# TimeDistributed.


def inner(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([keras.Input((4, 3)), layers.LSTM(3), layers.Dense(2)])


def inner_functional(keras: Any) -> Any:
    x = keras.Input((4, 3))
    layers = keras.layers
    h = layers.Conv1D(2, 2)(x)
    return keras.Model(x, layers.Concatenate()([layers.LSTM(3)(h), layers.Flatten()(x)]))


def distributed(keras: Any, x: Any, *, what: Callable[[Any], Any]) -> Any:
    return keras.layers.LSTM(3)(keras.layers.TimeDistributed(what(keras))(x))


TD = L.TimeDistributed
add("time_distributed-dense", X3, [TD(L.Dense(4, activation="relu")), L.LSTM(2)], both=True)
add("time_distributed-dense-4d", X4, [TD(L.Dense(2))])
add("time_distributed-dense-masked", XM, [MASK, TD(L.Dense(4)), L.LSTM(2)])
add("time_distributed-dense-masked-alone", XM, [MASK, TD(L.Dense(4))])
add("time_distributed-dense-any-length", X3, [TD(L.Dense(4))], shapes=[(None, 3)])
add(
    "time_distributed-conv1d",
    X4,
    [TD(L.Conv1D(2, 2)), TD(L.MaxPooling1D()), TD(L.Flatten()), L.LSTM(3)],
    both=True,
)
add(
    "time_distributed-conv2d",
    floats(2, 3, 5, 4, 2),
    [
        TD(L.Conv2D(2, 2, activation="relu")),
        TD(L.MaxPooling2D(2)),
        TD(L.Dropout(0.2)),
        TD(L.Flatten()),
        L.LSTM(3),
    ],
    both=True,
)
add("time_distributed-global", floats(2, 3, 5, 4, 2), [TD(L.GlobalAveragePooling2D()), L.LSTM(3)])
add("time_distributed-lstm", X4, [TD(L.LSTM(3)), L.LSTM(2)], both=True)
add("time_distributed-lstm-sequences", X4, [TD(L.LSTM(3, return_sequences=True))])
add("time_distributed-bidirectional", X4, [TD(L.Bidirectional(L.GRU(3))), L.GRU(2)], both=True)
add(
    "time_distributed-embedding",
    tokens(2, 3, 4, of=7),
    [TD(L.Embedding(7, 2)), TD(L.LSTM(3)), L.LSTM(2)],
)
add(
    "time_distributed-embedding-masked",
    tokens(3, 3, 4, of=3),
    [TD(L.Embedding(3, 2, mask_zero=True)), TD(L.LSTM(3)), L.Dense(2)],
)
add("time_distributed-batch_normalization", X3, [TD(L.BatchNormalization()), L.LSTM(2)])
add("time_distributed-layer_normalization", X4, [TD(L.LayerNormalization()), TD(L.Flatten())])
add("time_distributed-activation", X3, [TD(L.Activation("softmax"))])
add("time_distributed-reshape", X4, [TD(L.Reshape((3, 4))), TD(L.Permute((2, 1)))])
add("time_distributed-twice", X4, [TD(TD(L.Dense(2)))])
add(
    "time_distributed-sequential",
    floats(2, 3, 4, 3),
    functools.partial(distributed, what=inner),
    both=True,
)
add(
    "time_distributed-functional",
    floats(2, 3, 4, 3),
    functools.partial(distributed, what=inner_functional),
    both=True,
)


# Regularization, with dropout off. ---------------------------------------------------------------

NOISE = {
    "dropout": L.Dropout(0.3),
    "dropout-noise_shape": L.Dropout(0.3, noise_shape=(None, 1, 3)),
    "dropout-seed": L.Dropout(0.3, seed=7),
    "dropout-0": L.Dropout(0.0),
    "spatial_dropout1d": L.SpatialDropout1D(0.3),
    "alpha_dropout": L.AlphaDropout(0.3),
    "alpha_dropout-noise_shape": L.AlphaDropout(0.3, noise_shape=(None, 1, 3)),
    "gaussian_dropout": L.GaussianDropout(0.3),
    "gaussian_noise": L.GaussianNoise(0.3),
    "activity_regularization": L.ActivityRegularization(l1=0.1, l2=0.2),
}
for name, layer in NOISE.items():
    add(name, X3, [layer, L.LSTM(3)], both=True)
    add(f"{name}-masked", XM, [MASK, layer, L.LSTM(3)])
add("spatial_dropout2d", X4, [L.SpatialDropout2D(0.3), L.Flatten(), L.Dense(2)], both=True)


# Categories and images. --------------------------------------------------------------------------

LABELS = tokens(5, 3, of=6)
for mode in ("one_hot", "multi_hot", "count"):
    add(f"category_encoding-{mode}", LABELS, [L.CategoryEncoding(6, output_mode=mode)])
add("category_encoding-default", LABELS, [L.CategoryEncoding(9), L.Dense(2)], both=True)
add("category_encoding-one", LABELS[:, :1], [L.CategoryEncoding(6, output_mode="one_hot")])
add(
    "category_encoding-steps",
    LABELS,
    [L.CategoryEncoding(num_tokens=6, output_mode="one_hot"), L.LSTM(3)],
    only="3",
    both=True,
)
BOUNDS = [-0.75, 0.0, 0.5]
for mode in ("int", "one_hot", "multi_hot", "count"):
    add(
        f"discretization-{mode}",
        X2,
        [L.Discretization(bin_boundaries=BOUNDS, output_mode=mode)],
        only="3" if mode == "one_hot" else "",
    )
add("discretization-one", X2[:, :1], [L.Discretization([-0.5, 0.25], output_mode="one_hot")])
add(
    "discretization-embedding",
    X3,
    [L.Discretization([-1.0, 1]), L.Embedding(3, 4), L.Flatten(), L.Dense(2)],
    both=True,
)
NUMBERS = np.array([[12, 30, 7], [-1, 11, 12], [99, 100, 101], [30, 0, 2**40]], "int64")
LOOKUPS: dict[str, dict[str, Any]] = {
    "default": {},
    "masked": {"mask_token": 0},
    "masked-vectors": {"mask_token": 0, "output_mode": "multi_hot"},
    "unknown": {"num_oov_indices": 3},
    "unknown-masked": {"num_oov_indices": 2, "mask_token": 7},
    "special": {"vocabulary": [0, -1, 30, 11], "mask_token": 0},
    "special-other": {"vocabulary": [-2, 30, 11], "oov_token": -2},
    "count": {"output_mode": "count"},
    "large": {"vocabulary": [2**40, 2**40 + 1, 7]},
}
for name, options in LOOKUPS.items():
    lookup = L.IntegerLookup(**{"vocabulary": [30, 12, 11]} | options)
    add(f"integer_lookup-{name}", NUMBERS, [lookup], both=name == "default")
for mode in ("int", "one_hot"):
    lookup = L.IntegerLookup(vocabulary=[30, 12, 11, 7], output_mode=mode)
    add(f"integer_lookup-one-{mode}", NUMBERS[:, :1], [lookup], both=True)
add(
    "integer_lookup-embedding",
    NUMBERS,
    [
        L.IntegerLookup(vocabulary=[30, 12, 11], mask_token=0),
        L.Embedding(6, 4, mask_zero=True),
        L.LSTM(3),
    ],
    both=True,
)
add(
    "integer_lookup-all",
    LABELS.astype("int64"),
    [L.IntegerLookup(vocabulary=[5, 3, 1, 0, 2, 4], num_oov_indices=0)],
)
for mode in ("nearest", "bilinear"):
    add(f"resizing-{mode}", X4, [L.Resizing(3, 7, interpolation=mode)])
add("resizing-smaller", X4, [L.Resizing(2, 3), L.Flatten(), L.Dense(2)], both=True)
add("resizing-steps", floats(2, 3, 4, 5, 2), [TD(L.Resizing(3, 2)), TD(L.Flatten()), L.GRU(2)])
add("up_sampling2d-bilinear", X4, [L.UpSampling2D((2, 3), interpolation="bilinear")], both=True)
add(
    "up_sampling2d-bilinear-convolved",
    X4,
    [L.UpSampling2D(2, interpolation="bilinear"), L.Conv2D(2, 3)],
)

# Normalization. ----------------------------------------------------------------------------------


def adapt(keras: Any, model: Any, *inputs: Array) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.adapt(3 * inputs[0] + 1)


for name, options in {
    "": {},
    "-no_scale": {"scale": False},
    "-no_center": {"center": False},
    "-bare": {"scale": False, "center": False},
    "-epsilon": {"epsilon": 0.25},
    "-momentum": {"momentum": 0.5},
}.items():
    add(f"batch_normalization{name}", X3, [L.BatchNormalization(**options), L.LSTM(3)], both=True)
    add(
        f"batch_normalization{name}-2d",
        X2,
        [L.Dense(5), L.BatchNormalization(**options), L.Activation("relu"), L.Dense(2)],
    )
add("batch_normalization-axis-1", X3, [L.BatchNormalization(axis=1), L.LSTM(3)], both=True)
add("batch_normalization-axis-list", X3, [L.BatchNormalization(axis=[2]), L.LSTM(3)], only="2")
add("batch_normalization-4d", X4, [L.BatchNormalization(), L.Conv2D(2, 2)])
add("batch_normalization-4d-axis-1", X4, [L.BatchNormalization(axis=1)])
add("batch_normalization-masked", XM, [MASK, L.BatchNormalization(), L.LSTM(3)], both=True)
add("batch_normalization-masked-alone", XM, [MASK, L.BatchNormalization()])
add(
    "batch_normalization-after-lstm",
    X3,
    [
        L.LSTM(4, return_sequences=True),
        L.BatchNormalization(),
        L.LSTM(3),
        L.BatchNormalization(),
        L.Dense(2),
    ],
    both=True,
)
add(
    "batch_normalization-after-conv",
    X3,
    [
        L.Conv1D(4, 2),
        L.BatchNormalization(),
        L.ReLU(),
        L.Conv1D(3, 2, use_bias=False),
        L.BatchNormalization(scale=False),
    ],
)
add("batch_normalization-renorm", X3, [L.BatchNormalization(renorm=False), L.LSTM(3)], only="2")
for name, options in {
    "": {},
    "-no_scale": {"scale": False},
    "-no_center": {"center": False},
    "-bare": {"scale": False, "center": False},
    "-epsilon": {"epsilon": 0.25},
    "-axis-1": {"axis": 1},
    "-axis-list": {"axis": [2]},
    "-axes": {"axis": [1, 2]},
    "-axes-reversed": {"axis": [-1, 1]},
}.items():
    add(f"layer_normalization{name}", X3, [L.LayerNormalization(**options)], both=not name)
add("layer_normalization-rms_scaling", X3, [L.LayerNormalization(rms_scaling=True)], only="3")
add("layer_normalization-2d", X2, [L.LayerNormalization(), L.Dense(2)])
add("layer_normalization-4d", X4, [L.LayerNormalization()])
add("layer_normalization-4d-axes", X4, [L.LayerNormalization(axis=[2, 3])])
add("layer_normalization-masked", XM, [MASK, L.LayerNormalization(), L.LSTM(3)])
X6 = floats(5, 4, 6)
for groups in (1, 2, 6, -1):
    add(f"group_normalization-{groups}", X6, [L.GroupNormalization(groups)], both=groups == 2)
add("group_normalization-axis-1", X6, [L.GroupNormalization(2, axis=1)])
add("group_normalization-alone", X6, [L.GroupNormalization(3, center=False, scale=False)])
add("group_normalization-epsilon", X6, [L.GroupNormalization(3, epsilon=0.5)])
add("group_normalization-4d", X4, [L.GroupNormalization(1)])
add("group_normalization-masked", XM, [MASK, L.GroupNormalization(1), L.LSTM(3)])
if hasattr(L, "RMSNormalization"):  # since 3.9
    add("rms_normalization", X3, [L.RMSNormalization()])
    add("rms_normalization-epsilon", X3, [L.RMSNormalization(epsilon=0.5)])
    add("rms_normalization-4d-axes", X4, [L.RMSNormalization(axis=[2, 3])])
    add("rms_normalization-masked", XM, [MASK, L.RMSNormalization(), L.LSTM(3)])
add("unit_normalization", X3, [L.UnitNormalization()])
add("unit_normalization-axis-1", X3, [L.UnitNormalization(axis=1)])
add("unit_normalization-axes", X3, [L.UnitNormalization(axis=[1, 2])])
add("unit_normalization-masked", XM, [MASK, L.UnitNormalization(), L.LSTM(3)])
add("normalization-adapted", X3, [L.Normalization(), L.LSTM(3)], prepare=adapt, both=True)
add("normalization-adapted-2d", X2, [L.Normalization(), L.Dense(2)], prepare=adapt, both=True)
add("normalization-axis-none", X3, [L.Normalization(axis=None), L.LSTM(3)], prepare=adapt)
add("normalization-axis-1", X3, [L.Normalization(axis=1), L.LSTM(3)], prepare=adapt)
add("normalization-axes", X3, [L.Normalization(axis=[1, 2]), L.LSTM(3)], prepare=adapt)
add("normalization-given", X3, [L.Normalization(mean=0.5, variance=2.0), L.LSTM(3)], both=True)
add(
    "normalization-given-list",
    X3,
    [L.Normalization(mean=[0.5, -1.0, 2.0], variance=[1.0, 2.0, 0.25]), L.LSTM(3)],
    both=True,
)
add(
    "normalization-zero-variance",
    X3,
    [L.Normalization(mean=[0.5, -1.0, 2.0], variance=[1.0, 0.0, 0.25])],
)
add("normalization-invert", X3, [L.Normalization(invert=True), L.LSTM(3)], prepare=adapt)
add("normalization-invert-given", X3, [L.Normalization(mean=0.5, variance=4.0, invert=True)])
add("rescaling", X3, [L.Rescaling(0.25), L.LSTM(3)], both=True)
add("rescaling-offset", X3, [L.Rescaling(1 / 127.5, offset=-1.0), L.Dense(2)])
add("rescaling-list", X3, [L.Rescaling([0.5, 2.0, 0.25], offset=[0.0, 1.0, -1.0]), L.Dense(2)])
add("rescaling-integers", tokens(3, 4, of=200), [L.Rescaling(1 / 255), L.Dense(2)])
add("rescaling-masked", XM, [MASK, L.Rescaling(2.0), L.LSTM(3)])


# Convolutions and pooling. -----------------------------------------------------------------------

C1, C2 = floats(2, 9, 4), floats(2, 7, 6, 4)
for padding in ("valid", "same", "causal"):
    for name, options in {
        "": {},
        "-strides": {"strides": 2},
        "-strides-3": {"strides": 3},
        "-dilation": {"dilation_rate": 2},
        "-groups": {"groups": 2},
        "-even": {"kernel_size": 4},
        "-even-strides": {"kernel_size": 2, "strides": 2},
    }.items():
        options = {"kernel_size": 3} | options
        add(f"conv1d-{padding}{name}", C1, [L.Conv1D(6, padding=padding, **options)])
    if padding == "causal":
        continue
    for name, options in {
        "": {},
        "-oblong": {"kernel_size": (2, 3)},
        "-strides": {"strides": 2},
        "-strides-oblong": {"strides": (3, 2), "kernel_size": (2, 3)},
        "-dilation": {"dilation_rate": (2, 1)},
        "-dilation-2": {"dilation_rate": 2},
        "-groups": {"groups": 2},
        "-even": {"kernel_size": (4, 2)},
    }.items():
        options = {"kernel_size": 3} | options
        add(f"conv2d-{padding}{name}", C2, [L.Conv2D(6, padding=padding, **options)])
for rank, x in ((1, C1), (2, C2)):
    conv = getattr(L, f"Conv{rank}D")
    add(f"conv{rank}d-no_bias", x, [conv(3, 3, use_bias=False)])
    add(f"conv{rank}d-kernel-1", x, [conv(3, 1)])
    add(f"conv{rank}d-depthwise", x, [conv(4, 2, groups=4)])
    for activation in ("relu", "tanh", "gelu", "softmax"):
        add(f"conv{rank}d-{activation}", x, [conv(3, 3, activation=activation)])
    each = getattr(L, f"DepthwiseConv{rank}D")
    separable = getattr(L, f"SeparableConv{rank}D")
    transposed = getattr(L, f"Conv{rank}DTranspose")
    for name, options in {
        "": {},
        "-same": {"padding": "same"},
        "-strides": {"strides": 2},
        "-strides-same": {"strides": 2, "padding": "same", "kernel_size": 2},
        "-dilation": {"dilation_rate": 2},
        "-no_bias": {"use_bias": False, "activation": "relu"},
    }.items():
        options = {"kernel_size": 3} | options
        multiplied = options | {"depth_multiplier": 2}
        add(f"depthwise_conv{rank}d{name}", x, [each(**options)])
        add(f"depthwise_conv{rank}d-multiplied{name}", x, [each(**multiplied)])
        add(f"separable_conv{rank}d{name}", x, [separable(5, **options)])
        add(f"separable_conv{rank}d-multiplied{name}", x, [separable(3, **multiplied)])
        if name != "-dilation":  # which TensorFlow lacks on CPUs
            add(f"conv{rank}d_transpose{name}", x, [transposed(5, **options)])
    add(
        f"conv{rank}d_transpose-output_padding",
        x,
        [transposed(3, 3, strides=3, output_padding=1)],
    )
    add(
        f"separable_conv{rank}d-wrapped",
        floats(2, 3, *x.shape[1:]),
        [L.TimeDistributed(separable(3, 2))],
    )
    for mode in ("Max", "Average"):
        pool = getattr(L, f"{mode}Pooling{rank}D")
        for padding in ("valid", "same"):
            for name, options in {
                "": {"pool_size": 2},
                "-3": {"pool_size": 3},
                "-3-strides-1": {"pool_size": 3, "strides": 1},
                "-2-strides-3": {"pool_size": 2, "strides": 3},
            }.items():
                add(
                    f"{mode.lower()}_pooling{rank}d-{padding}{name}",
                    x,
                    [pool(padding=padding, **options)],
                )
        if rank == 2:
            add(f"{mode.lower()}_pooling2d-oblong", x, [pool((2, 3), strides=(1, 2))])
            add(
                f"{mode.lower()}_pooling2d-oblong-same",
                x,
                [pool((3, 2), strides=(2, 1), padding="same")],
            )
        adaptive = getattr(L, f"Adaptive{mode}Pooling{rank}D", None)
        if adaptive is not None:  # since 3.13
            for size in (2, 4, (3,) if rank == 1 else (5, 2)):
                add(f"adaptive_{mode.lower()}_pooling{rank}d-{size}", x, [adaptive(size)])
        pool = getattr(L, f"Global{mode}Pooling{rank}D")
        add(f"global_{mode.lower()}_pooling{rank}d", x, [pool(), L.Dense(2)])
        add(f"global_{mode.lower()}_pooling{rank}d-keepdims", x, [pool(keepdims=True)])
add("conv1d-alias", C1, [L.Convolution1D(3, 2), L.MaxPool1D(2), L.GlobalMaxPool1D()])
add("conv1d-masked", XM, [MASK, L.Conv1D(4, 2), L.LSTM(3)])
add("conv1d-masked-same", XM, [MASK, L.Conv1D(4, 3, padding="same"), L.LSTM(3)])
add("conv1d-any-length", C1, [L.Conv1D(5, 3), L.GlobalMaxPooling1D()], shapes=[(None, 4)])
add(
    "conv1d-lstm",
    C1,
    [L.Conv1D(5, 3, activation="relu"), L.MaxPooling1D(2), L.LSTM(4), L.Dense(1)],
    both=True,
)
add(
    "conv2d-flatten",
    C2,
    [L.Conv2D(3, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(2)],
    both=True,
)
add("conv1d-embedding", T, [L.Embedding(9, 4), L.Conv1D(5, 3), L.GlobalMaxPooling1D()])
for mode in ("Max", "Average"):
    lower = mode.lower()
    add(f"{lower}_pooling1d-masked", XM, [MASK, getattr(L, f"{mode}Pooling1D")(2), L.LSTM(3)])
    add(
        f"global_{lower}_pooling1d-masked",
        padded(3, pattern=SOME),
        [MASK, getattr(L, f"Global{mode}Pooling1D")(), L.Dense(2)],
    )
    add(
        f"global_{lower}_pooling1d-mask_zero",
        padded_tokens(9, SOME),
        [L.Embedding(9, 4, mask_zero=True), getattr(L, f"Global{mode}Pooling1D")()],
        both=True,
    )
    add(
        f"global_{lower}_pooling1d-masked-keepdims",
        padded(3, pattern=SOME),
        [MASK, getattr(L, f"Global{mode}Pooling1D")(keepdims=True)],
    )
    add(
        f"global_{lower}_pooling1d-masked-lstm",
        padded(3, pattern=SOME),
        [MASK, L.LSTM(4, return_sequences=True), getattr(L, f"Global{mode}Pooling1D")()],
    )
for padding in (1, (2, 1), (0, 3)):
    tag = "-".join(map(str, padding)) if isinstance(padding, tuple) else str(padding)
    add(f"zero_padding1d-{tag}", X3, [L.ZeroPadding1D(padding), L.LSTM(3)])
for cropping in ((1, 1), (2, 1), (0, 3), 1):
    tag = "-".join(map(str, cropping)) if isinstance(cropping, tuple) else str(cropping)
    add(f"cropping1d-{tag}", X3, [L.Cropping1D(cropping), L.LSTM(3)])
for size in (2, 3):
    add(f"up_sampling1d-{size}", X3, [L.UpSampling1D(size), L.LSTM(3)])
for name, layer in {
    "zero_padding1d": L.ZeroPadding1D(1),
    "cropping1d": L.Cropping1D(1),
    "up_sampling1d": L.UpSampling1D(2),
}.items():
    add(f"{name}-masked", XM, [MASK, layer, L.LSTM(3)])
add("zero_padding2d", C2, [L.ZeroPadding2D(((1, 2), (0, 3)))])
add("zero_padding2d-1", C2, [L.ZeroPadding2D((1, 2)), L.Conv2D(2, 3)])
add("cropping2d", C2, [L.Cropping2D(((1, 0), (0, 1)))])
add("cropping2d-1", C2, [L.Cropping2D(1), L.Flatten()])
add("up_sampling2d", C2, [L.UpSampling2D((2, 3)), L.Conv2D(2, 2)])
add("up_sampling2d-2", C2, [L.UpSampling2D()])

C3 = floats(2, 4, 5, 4, 2)
for padding in ("valid", "same"):
    for name, options in {
        "": {},
        "-oblong": {"kernel_size": (1, 3, 2)},
        "-strides": {"strides": (2, 1, 2)},
        "-dilation": {"dilation_rate": (1, 2, 1), "kernel_size": 2},
        "-groups": {"groups": 2, "use_bias": False, "activation": "relu"},
    }.items():
        options = {"kernel_size": 3} | options
        add(f"conv3d-{padding}{name}", C3, [L.Conv3D(4, padding=padding, **options)])
    for name, options in {"": {}, "-strides": {"strides": (2, 1, 3)}}.items():
        transposed = L.Conv3DTranspose(3, 2, padding=padding, **options)
        add(f"conv3d_transpose-{padding}{name}", C3, [transposed])
    for mode in ("Max", "Average"):
        pool = getattr(L, f"{mode}Pooling3D")
        add(f"{mode.lower()}_pooling3d-{padding}", C3, [pool(2, padding=padding)])
        add(
            f"{mode.lower()}_pooling3d-{padding}-strides",
            C3,
            [pool((1, 2, 3), strides=(2, 1, 1), padding=padding)],
        )
for mode in ("Max", "Average"):
    pool = getattr(L, f"Global{mode}Pooling3D")
    add(f"global_{mode.lower()}_pooling3d", C3, [pool(), L.Dense(2)])
    add(f"global_{mode.lower()}_pooling3d-keepdims", C3, [pool(keepdims=True)])
    add(
        f"adaptive_{mode.lower()}_pooling3d",
        C3,
        [getattr(L, f"Adaptive{mode}Pooling3D")((2, 3, 1))],
    )
add("zero_padding3d", C3, [L.ZeroPadding3D(((1, 0), (0, 2), (1, 1)))])
add("zero_padding3d-1", C3, [L.ZeroPadding3D(1), L.Conv3D(2, 2)])
add("cropping3d", C3, [L.Cropping3D(((1, 0), (0, 2), (1, 1)))])
add("cropping3d-1", C3, [L.Cropping3D((1, 2, 1)), L.Flatten()])
add("up_sampling3d", C3, [L.UpSampling3D((1, 2, 3))])
add("up_sampling3d-2", C3, [L.UpSampling3D(2), L.GlobalMaxPooling3D()])
add("conv3d-flatten", C3, [L.Conv3D(3, 2), L.MaxPooling3D(), L.Flatten(), L.Dense(2)], both=True)

FIRST_1, FIRST_2, FIRST_3 = floats(2, 4, 9), floats(2, 4, 7, 6), floats(2, 2, 4, 5, 4)
CF = {"data_format": "channels_first"}
for name, x, layers in (
    ("conv1d", FIRST_1, [L.Conv1D(5, 3, **CF)]),
    ("conv2d", FIRST_2, [L.Conv2D(5, (3, 2), strides=2, padding="same", activation="relu", **CF)]),
    (
        "conv2d-two",
        FIRST_2,
        [L.Conv2D(5, 3, **CF), L.Conv2D(3, 2, groups=1, **CF), L.Flatten(**CF)],
    ),
    ("conv3d", FIRST_3, [L.Conv3D(3, 2, **CF)]),
    ("depthwise_conv2d", FIRST_2, [L.DepthwiseConv2D(3, depth_multiplier=2, **CF)]),
    ("separable_conv2d", FIRST_2, [L.SeparableConv2D(3, 2, **CF)]),
    ("conv2d_transpose", FIRST_2, [L.Conv2DTranspose(3, 2, strides=2, **CF)]),
    ("max_pooling1d", FIRST_1, [L.MaxPooling1D(2, **CF)]),
    ("max_pooling2d", FIRST_2, [L.MaxPooling2D((2, 3), padding="same", **CF)]),
    ("average_pooling2d", FIRST_2, [L.AveragePooling2D(2, strides=1, **CF)]),
    ("average_pooling3d", FIRST_3, [L.AveragePooling3D(2, **CF)]),
    ("global_max_pooling2d", FIRST_2, [L.GlobalMaxPooling2D(**CF), L.Dense(2)]),
    ("global_average_pooling1d", FIRST_1, [L.GlobalAveragePooling1D(keepdims=True, **CF)]),
    ("global_average_pooling2d", FIRST_2, [L.GlobalAveragePooling2D(keepdims=True, **CF)]),
    ("zero_padding2d", FIRST_2, [L.ZeroPadding2D((1, 2), **CF)]),
    ("cropping2d", FIRST_2, [L.Cropping2D(((1, 0), (2, 1)), **CF)]),
    ("up_sampling2d", FIRST_2, [L.UpSampling2D((2, 3), **CF)]),
    ("up_sampling3d", FIRST_3, [L.UpSampling3D(2, **CF)]),
    ("flatten", FIRST_2, [L.Flatten(**CF), L.Dense(2)]),
    ("dropout2d", FIRST_2, [L.SpatialDropout2D(0.3, **CF), L.Conv2D(2, 3, **CF)]),
    ("time_distributed", floats(2, 3, 4, 7, 6), [TD(L.Conv2D(3, 2, **CF)), TD(L.Flatten(**CF))]),
    ("conv_lstm2d", floats(2, 3, 4, 5, 6), [L.ConvLSTM2D(3, 2, return_sequences=True, **CF)]),
    ("conv_lstm2d-last", floats(2, 3, 4, 5, 6), [L.ConvLSTM2D(3, 3, padding="same", **CF)]),
):
    add(f"channels_first-{name}", x, layers)

S1, S2, S3 = floats(2, 4, 6, 2), floats(2, 3, 5, 4, 2), floats(2, 2, 4, 3, 4, 2)


def conv_lstm_states(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    _, h, c = layers.ConvLSTM2D(3, 2, return_state=True)(x)
    return layers.ConvLSTM2D(3, 2, return_sequences=True, return_state=True)(
        y, initial_state=[h, c]
    )


for rank, x in ((1, S1), (2, S2), (3, S3)):
    conv_lstm = functools.partial(getattr(L, f"ConvLSTM{rank}D"), 3, 2)
    for name, options in {
        "": {},
        "-sequences": {"return_sequences": True},
        "-same": {"padding": "same", "return_sequences": True},
        "-strides": {"strides": 2},
        "-backwards": {"go_backwards": True, "return_sequences": True},
        "-options": {"activation": "relu", "recurrent_activation": "sigmoid", "use_bias": False},
        "-hard": {"recurrent_activation": "hard_sigmoid", "unit_forget_bias": False},
        "-dropout": {"dropout": 0.2, "recurrent_dropout": 0.3},
    }.items():
        add(f"conv_lstm{rank}d{name}", x, [conv_lstm(**options)], both=rank == 2)
    if rank < 3:
        add(f"conv_lstm{rank}d-dilation", x, [conv_lstm(dilation_rate=2)])
add(
    "conv_lstm2d-two",
    S2,
    [
        L.ConvLSTM2D(3, (3, 2), padding="same", return_sequences=True),
        L.BatchNormalization(),
        L.ConvLSTM2D(2, 2),
        L.Flatten(),
        L.Dense(1),
    ],
    both=True,
)
add("conv_lstm2d-conv3d", S2, [L.ConvLSTM2D(3, 2, return_sequences=True), L.Conv3D(1, 2)])
add("conv_lstm2d-any-length", S2, [L.ConvLSTM2D(3, 2)], shapes=[(None, 5, 4, 2)])
add("conv_lstm2d-stateful", S2, [L.ConvLSTM2D(3, 2, stateful=True)], fixed_batch=True)
add("conv_lstm2d-states", [S2, floats(2, 4, 5, 4, 2)], conv_lstm_states, both=True)
add("conv_lstm2d-bidirectional", S2, [L.Bidirectional(L.ConvLSTM2D(3, 2, return_sequences=True))])
add("conv_lstm2d-bidirectional-sum", S2, [L.Bidirectional(L.ConvLSTM2D(3, 2), merge_mode="sum")])


# Reshaping and merging. --------------------------------------------------------------------------

add("flatten-3d", X3, [L.Flatten(), L.Dense(2)], both=True)
add("flatten-4d", X4, [L.Flatten()])
add("flatten-2d", X2, [L.Flatten(), L.Dense(2)])
add("flatten-1d", floats(4), [L.Flatten(), L.Dense(2)])
add("flatten-masked", XM, [MASK, L.Flatten(), L.Dense(2)])
add("reshape", X3, [L.Reshape((3, 5)), L.LSTM(2)], both=True)
add("reshape-minus-1", X3, [L.Reshape((-1, 1)), L.LSTM(2)])
add("reshape-minus-1-last", X4, [L.Reshape((5, -1)), L.LSTM(2)])
add("reshape-flat", X3, [L.Reshape((15,)), L.Dense(2)])
add("reshape-flat-minus-1", X3, [L.Reshape((-1,)), L.Dense(2)])
add("reshape-2d-to-3d", X2, [L.Reshape((4, 1)), L.LSTM(2)])
add("reshape-masked", XM, [MASK, L.Reshape((3, 6)), L.LSTM(2)])
add("reshape-any-length", X3, [L.Reshape((-1, 1)), L.LSTM(2)], shapes=[(None, 3)])
add("permute", X3, [L.Permute((2, 1)), L.LSTM(2)], both=True)
add("permute-4d", X4, [L.Permute((3, 1, 2))])
add("permute-masked", XM, [MASK, L.Permute((2, 1)), L.LSTM(2)])
add("repeat_vector", X2, [L.RepeatVector(3), L.LSTM(2)], both=True)
add(
    "repeat_vector-autoencoder",
    X3,
    [L.LSTM(4), L.RepeatVector(5), L.LSTM(3, return_sequences=True), TD(L.Dense(3))],
    both=True,
)


def merge(keras: Any, *tensors: Any, layer: Later, then: str = "") -> Any:
    merged = layer.make(keras)(list(tensors))
    return keras.layers.LSTM(2)(merged) if then else merged


def merge_masked(keras: Any, x: Any, y: Any, *, layer: Later, sides: str, then: str) -> Any:
    masking = keras.layers.Masking
    x = masking(0.0)(x) if "x" in sides else x
    y = masking(0.0)(y) if "y" in sides else y
    merged = layer.make(keras)([x, y])
    return getattr(keras.layers, then)(3, return_sequences=True)(merged)


X3B, X3C = floats(2, 5, 3, tag=1), floats(2, 5, 3, tag=2)
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
for name in MERGES:
    layer = getattr(L, name)()
    add(f"{name.lower()}", [X3, X3B], functools.partial(merge, layer=layer), both=True)
    if name != "Subtract":
        add(f"{name.lower()}-three", [X3, X3B, X3C], functools.partial(merge, layer=layer))
    add(f"{name.lower()}-broadcast", [X3, floats(2, 1, 3)], functools.partial(merge, layer=layer))
    add(f"{name.lower()}-broadcast-rank", [X3, floats(2, 3)], functools.partial(merge, layer=layer))
MASKED_B = padded(3, pattern=PATTERN[::-1], tag=1)
for name in (*MERGES, "Concatenate"):
    for sides in ("xy", "x", "y"):
        add(
            f"{name.lower()}-masked-{sides}",
            [XM, MASKED_B],
            functools.partial(merge_masked, layer=getattr(L, name)(), sides=sides, then="LSTM"),
        )
add(
    "concatenate-masked-axis-1",
    [XM, MASKED_B],
    functools.partial(merge_masked, layer=L.Concatenate(axis=1), sides="xy", then="GRU"),
)
add(
    "concatenate-masked-axis-1-x",
    [XM, MASKED_B],
    functools.partial(merge_masked, layer=L.Concatenate(axis=1), sides="x", then="GRU"),
)
for name, shapes, options in (
    ("", [(2, 5, 3), (2, 5, 2)], {}),
    ("-2d", [(3, 2), (3, 4)], {}),
    ("-axis-1", [(2, 5, 3), (2, 2, 3)], {"axis": 1}),
    ("-axis-2", [(2, 5, 3), (2, 5, 1)], {"axis": 2}),
    ("-axis--2", [(2, 5, 3), (2, 2, 3)], {"axis": -2}),
    ("-three", [(2, 5, 3), (2, 5, 1), (2, 5, 2)], {}),
):
    add(
        f"concatenate{name}",
        [floats(*shape) for shape in shapes],
        functools.partial(merge, layer=L.Concatenate(**options)),
        both=True,
    )
for name, shapes, options in (
    ("-2d", [(3, 4), (3, 4)], {"axes": 1}),
    ("-2d-normalize", [(3, 4), (3, 4)], {"axes": 1, "normalize": True}),
    ("-2d-minus", [(3, 4), (3, 4)], {"axes": -1}),
    ("-3d-2-2", [(2, 5, 3), (2, 4, 3)], {"axes": 2}),
    ("-3d-list", [(2, 5, 3), (2, 4, 3)], {"axes": [2, 2]}),
    ("-3d-1-1", [(2, 5, 3), (2, 5, 4)], {"axes": [1, 1]}),
    ("-3d-2-1", [(2, 5, 3), (2, 3, 4)], {"axes": [2, 1]}),
    ("-3d-1-2", [(2, 3, 4), (2, 5, 3)], {"axes": [1, 2]}),
    ("-3d-normalize", [(2, 5, 3), (2, 4, 3)], {"axes": [2, 2], "normalize": True}),
    ("-3d-2d", [(2, 5, 3), (2, 3)], {"axes": [2, 1]}),
    ("-3d-2d-1", [(2, 5, 3), (2, 5)], {"axes": 1}),
    ("-2d-3d", [(2, 5), (2, 5, 3)], {"axes": 1}),
    ("-2d-3d-2", [(2, 3), (2, 5, 3)], {"axes": [1, 2]}),
    ("-4d-3d", [(2, 4, 5, 3), (2, 3, 2)], {"axes": [3, 1]}),
):
    add(
        f"dot{name}",
        [floats(*shape, tag=i) for i, shape in enumerate(shapes)],
        functools.partial(merge, layer=L.Dot(**options)),
    )


# Attention. --------------------------------------------------------------------------------------

Q, V, K = floats(2, 4, 3), floats(2, 5, 3, tag=1), floats(2, 5, 3, tag=2)
QM = padded(3, pattern=np.tril(np.ones((4, 5)), 2)[:, ::-1].astype(bool)[::-1][:4], tag=3)
VM = padded(3, pattern=SOME, tag=4)


def attend(
    keras: Any, *tensors: Any, layer: Later, masks: str = "", scores: bool = False, **call: Any
) -> Any:
    """Call a layer on query, value and perhaps key; `masks` says which of them have one."""
    masking = keras.layers.Masking
    tensors = tuple(
        masking(0.0)(x) if name in masks else x for name, x in zip("qvk", tensors, strict=False)
    )
    if scores:
        call["return_attention_scores"] = True
    result = layer.make(keras)(list(tensors), **call)
    if "l" in masks:  # what does the output's mask do
        return keras.layers.LSTM(2)(result)
    return list(result) if scores else result


def attend_explicitly(keras: Any, q: Any, v: Any, qm: Any, vm: Any, *, layer: Later) -> Any:
    return layer.make(keras)([q, v], mask=[qm, vm])


for kind, cls, variants in (
    (
        "attention",
        L.Attention,
        {
            "": {},
            "-scale": {"use_scale": True},
            "-concat": {"score_mode": "concat"},
            "-concat-scale": {"score_mode": "concat", "use_scale": True},
            "-dropout": {"dropout": 0.3},
        },
    ),
    (
        "additive_attention",
        L.AdditiveAttention,
        {
            "": {},
            "-no_scale": {"use_scale": False},
            "-dropout": {"dropout": 0.3},
        },
    ),
):
    for name, options in variants.items():
        layer = cls(**options)
        part = functools.partial(attend, layer=layer)
        add(f"{kind}{name}", [Q, V], part, both=True)
        add(f"{kind}{name}-key", [Q, V, K], part)
        add(f"{kind}{name}-masks", [QM, VM], functools.partial(part, masks="qv"))
    layer = cls()
    part = functools.partial(attend, layer=layer)
    add(
        f"{kind}-self",
        [V],
        functools.partial(lambda keras, x, layer: layer.make(keras)([x, x]), layer=layer),
    )
    add(f"{kind}-scores", [Q, V], functools.partial(part, scores=True), both=True)
    add(f"{kind}-causal", [Q, V], functools.partial(part, use_causal_mask=True), both=True)
    add(f"{kind}-causal-masks", [QM, VM], functools.partial(part, masks="qv", use_causal_mask=True))
    add(f"{kind}-query-mask", [QM, VM], functools.partial(part, masks="q"))
    add(f"{kind}-value-mask", [QM, VM], functools.partial(part, masks="v"))
    add(f"{kind}-masks-lstm", [QM, VM], functools.partial(part, masks="qvl"))
    add(
        f"{kind}-explicit-masks",
        [QM, VM, np.array([[1, 1, 0, 1, 1]] * 4, bool), SOME],
        functools.partial(attend_explicitly, layer=layer),
    )


def attend_heads(
    keras: Any, *tensors: Any, layer: Later, masks: str = "", scores: bool = False, **call: Any
) -> Any:
    masking = keras.layers.Masking
    tensors = tuple(
        masking(0.0)(x) if name in masks else x for name, x in zip("qvk", tensors, strict=False)
    )
    if len(tensors) == 1:
        tensors *= 2
    if scores:
        call["return_attention_scores"] = True
    result = layer.make(keras)(*tensors, **call)
    if "l" in masks:
        return keras.layers.LSTM(2)(result)
    return list(result) if scores else result


def attend_heads_mask(keras: Any, q: Any, v: Any, mask: Any) -> Any:
    return keras.layers.MultiHeadAttention(2, 3)(q, v, attention_mask=mask)


def attend_heads_keyword(keras: Any, q: Any, v: Any) -> Any:
    return keras.layers.MultiHeadAttention(2, 3)(query=q, value=v, key=v)


MHA = L.MultiHeadAttention
for name, layer in {
    "": MHA(2, 3),
    "-one-head": MHA(1, 4),
    "-value_dim": MHA(2, 3, value_dim=5),
    "-output_shape": MHA(2, 3, output_shape=4),
    "-no_bias": MHA(2, 3, use_bias=False),
    "-dropout": MHA(2, 3, dropout=0.3),
}.items():
    part = functools.partial(attend_heads, layer=layer)
    add(f"multi_head_attention{name}", [Q, floats(2, 5, 4, tag=1)], part, both=True)
    add(f"multi_head_attention{name}-self", [V], part)
part = functools.partial(attend_heads, layer=MHA(2, 3))
add("multi_head_attention-key", [Q, V, floats(2, 5, 2, tag=2)], part)
add("multi_head_attention-masks", [QM, VM], functools.partial(part, masks="qv"))
add(
    "multi_head_attention-masks-key",
    [QM, VM, padded(3, pattern=SOME[::-1], tag=5)],
    functools.partial(part, masks="qvk"),
)
add("multi_head_attention-query-mask", [QM, VM], functools.partial(part, masks="q"))
add("multi_head_attention-value-mask", [QM, VM], functools.partial(part, masks="v"))
add("multi_head_attention-masks-lstm", [QM, VM], functools.partial(part, masks="qvl"))
add("multi_head_attention-self-mask", [VM], functools.partial(part, masks="q"))
add("multi_head_attention-causal", [V], functools.partial(part, use_causal_mask=True), both=True)
add("multi_head_attention-causal-cross", [Q, V], functools.partial(part, use_causal_mask=True))
add(
    "multi_head_attention-causal-masks",
    [VM],
    functools.partial(part, masks="q", use_causal_mask=True),
)
add("multi_head_attention-scores", [Q, V], functools.partial(part, scores=True), both=True)
add("multi_head_attention-attention_mask", [Q, V, floats(2, 4, 5) > -0.7], attend_heads_mask)
add("multi_head_attention-keywords", [Q, V], attend_heads_keyword)
add(
    "multi_head_attention-axes",
    [floats(2, 3, 4, 3)],
    functools.partial(attend_heads, layer=MHA(2, 3, attention_axes=[2])),
)
add(
    "multi_head_attention-axes-all",
    [floats(2, 3, 4, 3)],
    functools.partial(attend_heads, layer=MHA(2, 3, attention_axes=(1, 2))),
)
add(
    "multi_head_attention-4d",
    [floats(2, 3, 4, 3)],
    functools.partial(attend_heads, layer=MHA(2, 3)),
)
add(
    "multi_head_attention-flash-false",
    [V],
    functools.partial(attend_heads, layer=MHA(2, 3, flash_attention=False)),
    only="3",
)


# Keys and values of fewer heads than queries have.
GQA = L.GroupQueryAttention
for name, layer in {
    "": GQA(3, 4, 2),
    "-one": GQA(2, 3, 1, use_bias=False),
    "-each": GQA(2, 3, 3),
    "-dropout": GQA(3, 4, 2, dropout=0.3),
}.items():
    part = functools.partial(attend_heads, layer=layer)
    add(f"group_query_attention{name}", [Q, V], part, only="3", both=True)
    add(f"group_query_attention{name}-self", [V], part, only="3")
    add(
        f"group_query_attention{name}-causal",
        [Q, V],
        functools.partial(part, use_causal_mask=True),
        only="3",
    )
for name, layer in {"": GQA(3, 4, 2), "-dropout": GQA(3, 4, 2, dropout=0.3)}.items():
    part = functools.partial(attend_heads, layer=layer)
    for masks in ("q", "v", "qv", "qvl"):
        add(
            f"group_query_attention{name}-masks-{masks}",
            [QM, VM],
            functools.partial(part, masks=masks),
            only="3",
        )
    add(
        f"group_query_attention{name}-masks-causal",
        [padded(3, pattern=SOME, tag=6)],
        functools.partial(part, masks="q", use_causal_mask=True),
        only="3",
    )
part = functools.partial(attend_heads, layer=GQA(3, 4, 2))
add("group_query_attention-key", [Q, V, K], part, only="3")
add(
    "group_query_attention-masks-key",
    [QM, VM, padded(3, pattern=SOME[::-1], tag=5)],
    functools.partial(part, masks="qvk"),
    only="3",
)
add("group_query_attention-scores", [Q, V], functools.partial(part, scores=True), only="3")
for name, layer in {
    "gate": GQA(2, 4, 2, use_gate=True),
    "window": GQA(2, 4, 2, sliding_window=2),
    "window-dropout": GQA(2, 4, 2, sliding_window=2, dropout=0.3),
}.items():
    add(
        f"group_query_attention-{name}",
        [Q, V],
        functools.partial(attend_heads, layer=layer),
        only="3",
        both=True,
        skip=("3.0", "3.8"),
    )


def masked_after_groups(keras: Any, x: Any) -> Any:
    """Does a tensor keep its mask though it was attended to?"""
    masked = keras.layers.Masking(0.0)(x)
    attended = keras.layers.GroupQueryAttention(3, 4, 2)(masked, masked)
    return keras.layers.LSTM(2)(keras.layers.Add()([attended, keras.layers.Dense(3)(masked)]))


add("group_query_attention-masks-after", [VM], masked_after_groups, only="3")


def attend_groups_mask(keras: Any, q: Any, v: Any, mask: Any) -> Any:
    return keras.layers.GroupQueryAttention(3, 4, 2)(q, v, attention_mask=mask)


add(
    "group_query_attention-attention_mask",
    [Q, V, floats(2, 4, 5) > -0.7],
    attend_groups_mask,
    only="3",
)


# Embeddings that are called in both directions. ---------------------------------------------------


def both_ways(
    keras: Any, x: Any, *, layer: Later, between: Later | None = None, alone: bool = False
) -> Any:
    embedding = layer.make(keras)
    h = embedding(x)
    if between is not None:
        h = between.make(keras)(h)
    scores = embedding(h, reverse=True)
    return scores if alone else [scores, h]


def only_back(keras: Any, x: Any) -> Any:
    return keras.layers.ReversibleEmbedding(7, 3, logit_soft_cap=2.0)(x, reverse=True)


RE, WORDS = L.ReversibleEmbedding, tokens(3, 5, of=7)
for name, layer in {
    "": RE(7, 4),
    "-untied": RE(9, 3, tie_weights=False),
    "-cap": RE(7, 4, logit_soft_cap=0.75, reverse_dtype="float32"),
}.items():
    part = functools.partial(both_ways, layer=layer)
    add(f"reversible_embedding{name}", WORDS, part, only="3", both=True, skip=("3.0", "3.8"))
    part = functools.partial(
        both_ways, layer=layer, between=L.Dense(3 if "untied" in name else 4), alone=True
    )
    add(f"reversible_embedding{name}-alone", WORDS, part, only="3", skip=("3.0", "3.8"))
part = functools.partial(
    both_ways, layer=RE(7, 4, mask_zero=True), between=L.LSTM(4, return_sequences=True)
)
add("reversible_embedding-mask", WORDS, part, only="3", both=True, skip=("3.0", "3.8"))
part = functools.partial(both_ways, layer=RE(7, 4, mask_zero=True), between=L.LSTM(4))
add("reversible_embedding-last", WORDS, part, only="3", skip=("3.0", "3.8"))
add("reversible_embedding-only_back", X3, only_back, only="3", both=True, skip=("3.0", "3.8"))


# LoRA: two small matrices beside a kernel, in .keras files one with it. ---------------------------


def with_lora(keras: Any, model: Any, *x: Any) -> None:
    model.layers[0].enable_lora(2, lora_alpha=3)


for name, x, layer in (
    ("dense", X2, L.Dense(3)),
    ("einsum-dense", X3, L.EinsumDense("btc,chd->bthd", output_shape=(None, 2, 3), bias_axes="h")),
    ("embedding", tokens(3, 5, of=7), L.Embedding(7, 4)),
    ("conv1d", X3, L.Conv1D(3, 2)),
):
    add(f"lora-{name}", x, [layer], only="3", prepare=with_lora)
add("lora-rank", X2, [L.Dense(3, lora_rank=2)], only="3", both=True)


def attention_to_itself(keras: Any, x: Any) -> Any:
    return keras.layers.MultiHeadAttention(2, 3)(x, x)


def with_lora_of_queries(keras: Any, model: Any, *x: Any) -> None:
    model.layers[-1]._query_dense.enable_lora(2)


add("lora-attention", X3, attention_to_itself, only="3", prepare=with_lora_of_queries)


# A wrapper whose weights the file has twice. ------------------------------------------------------

for name, x, layer in (
    ("dense", X2, L.Dense(3, activation="tanh")),
    ("conv1d", X3, L.Conv1D(3, 2, use_bias=False)),
    ("conv2d", X4, L.Conv2D(2, 3, padding="same")),
):
    spectral = [L.SpectralNormalization(layer, power_iterations=2), L.Dense(2)]
    # Keras 2 writes it, and has no name for it when it reads.
    add(f"spectral-{name}", x, spectral, both=True, unread=True)

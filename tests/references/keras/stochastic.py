"""Models with dropout on. Each ends in what mixes steps and units, so that masks which are tied
over them, or are not, show in the variance.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import MASK, PATTERN, A, Array, L, Later, add, floats, padded, tokens

X, X4 = floats(2, 5, 3, tag=7), floats(2, 4, 3, 2, tag=7)
XM = padded(3, pattern=PATTERN[[1, 3]], tag=7)
FLAT = [L.Flatten(), L.Dense(2)]
POOL = [L.GlobalAveragePooling1D(), L.Dense(2)]


def mc(name: str, inputs: Array | list[Array], model: Any, **options: Any) -> None:
    add(f"mc-{name}", inputs, model, **({"stochastic": "rows", "both": True} | options))


for name, layer in {
    "dropout": L.Dropout(0.3),
    "dropout-noise_shape-steps": L.Dropout(0.4, noise_shape=(None, 1, 3)),
    "dropout-noise_shape-features": L.Dropout(0.4, noise_shape=(None, 5, 1)),
    "dropout-noise_shape-both": L.Dropout(0.4, noise_shape=(None, 1, 1)),
    "spatial_dropout1d": L.SpatialDropout1D(0.3),
    "alpha_dropout": L.AlphaDropout(0.3),
    "alpha_dropout-noise_shape": L.AlphaDropout(0.3, noise_shape=(None, 1, 3)),
    "gaussian_dropout": L.GaussianDropout(0.3),
    "gaussian_noise": L.GaussianNoise(0.4),
}.items():
    mc(name, X, [layer, *FLAT])
    mc(f"{name}-sum", X, [layer, *POOL], both=False)
mc(
    "dropout-noise_shape-batch",
    X,
    [L.Dropout(0.4, noise_shape=(1, 5, 3)), *FLAT],
    stochastic="passes",
)
mc(
    "dropout-in-a-row",
    X,
    [L.Dropout(0.2), L.Dense(4), L.Dropout(0.3), L.Dense(3), L.Dropout(0.1), *FLAT],
)
mc("dropout-2d", floats(2, 4), [L.Dense(5, activation="relu"), L.Dropout(0.5), L.Dense(2)])
mc("dropout-activity", X, [L.ActivityRegularization(l1=0.1), L.Dropout(0.3), *FLAT])
mc("spatial_dropout2d", X4, [L.SpatialDropout2D(0.3), *FLAT])
mc("spatial_dropout2d-sum", X4, [L.SpatialDropout2D(0.3), L.GlobalAveragePooling2D(), L.Dense(2)])
mc("spatial_dropout3d", floats(2, 2, 3, 2, 2), [L.SpatialDropout3D(0.3), *FLAT], both=False)
mc(
    "spatial_dropout2d-channels_first",
    X4,
    [L.SpatialDropout2D(0.3, data_format="channels_first"), *FLAT],
    both=False,
    only="3",  # Keras 2 does not write it
)
for kind, rates in {
    "input": {"dropout": 0.4},
    "recurrent": {"recurrent_dropout": 0.4},
    "both": {"dropout": 0.3, "recurrent_dropout": 0.3},
}.items():
    images = floats(2, 3, 3, 3, 2, tag=7)
    mc(f"conv_lstm2d-{kind}", images, [L.ConvLSTM2D(2, 2, **rates), *FLAT], both=kind == "both")
    series = L.ConvLSTM1D(2, 2, padding="same", return_sequences=True, **rates)
    mc(f"conv_lstm1d-{kind}-sequences", floats(2, 3, 4, 2, tag=7), [series, *FLAT], both=False)

CELLS: dict[str, Callable[..., Later]] = {
    "lstm": L.LSTM,
    "gru": L.GRU,
    "gru-before": functools.partial(L.GRU, reset_after=False),
    "simple_rnn": L.SimpleRNN,
}
RATES = {
    "input": {"dropout": 0.4},
    "recurrent": {"recurrent_dropout": 0.4},
    "both": {"dropout": 0.3, "recurrent_dropout": 0.3},
}
for name, layer in CELLS.items():
    for kind, rates in RATES.items():
        # Up to 3.7, the GRU's recurrent mask also fell on the state that is carried on.
        skip = ("3.0",) if "gru" in name and kind != "input" else ()
        mc(f"{name}-{kind}", X, [layer(4, **rates), L.Dense(2)], skip=skip)
        if name != "simple_rnn":
            mc(
                f"{name}-{kind}-implementation-1",
                X,
                [layer(4, implementation=1, **rates), L.Dense(2)],
                skip=skip,
                both=False,
                # Keras 3 does not write it into the file, and its GRU fails with it.
                only="2" if kind == "input" else "",
            )
    skip = ("3.0",) if "gru" in name else ()
    mc(
        f"{name}-sequences",
        X,
        [layer(4, return_sequences=True, dropout=0.3, recurrent_dropout=0.3), *FLAT],
        skip=skip,
    )
    mc(f"{name}-input-sequences", X, [layer(4, return_sequences=True, dropout=0.3), *FLAT])
    mc(
        f"{name}-masked",
        XM,
        [MASK, layer(4, dropout=0.3, recurrent_dropout=0.3), L.Dense(2)],
        skip=skip,
    )
    mc(f"{name}-input-masked", XM, [MASK, layer(4, dropout=0.3), L.Dense(2)])
    # What decides, in Keras 2, whether the input's mask is new at each step.
    mc(f"{name}-input-unroll", X, [layer(4, unroll=True, dropout=0.4), L.Dense(2)])
    mc(f"{name}-input-no_bias", X, [layer(4, use_bias=False, dropout=0.4), L.Dense(2)])
    mc(f"{name}-input-relu", X, [layer(4, activation="relu", dropout=0.4), L.Dense(2)])
    mc(f"{name}-input-backwards", X, [layer(4, go_backwards=True, dropout=0.4), L.Dense(2)])
mc(
    "lstm-input-hard_sigmoid",
    X,
    [L.LSTM(4, recurrent_activation="hard_sigmoid", dropout=0.4), L.Dense(2)],
)
mc("lstm-one-step", floats(2, 1, 4), [L.LSTM(4, dropout=0.3, recurrent_dropout=0.4), L.Dense(2)])


def from_state(keras: Any, x: Any, h: Any, c: Any) -> Any:
    layers = keras.layers
    lstm = layers.LSTM(4, dropout=0.3, recurrent_dropout=0.4)
    return layers.Dense(2)(lstm(x, initial_state=[h, c]))


def from_state_input(keras: Any, x: Any, h: Any, c: Any) -> Any:
    layers = keras.layers
    return layers.Dense(2)(layers.LSTM(4, dropout=0.4)(x, initial_state=[h, c]))


STATES = [X, floats(2, 4, tag=8), floats(2, 4, tag=9)]
mc("lstm-initial_state", STATES, from_state)
mc("lstm-input-initial_state", STATES, from_state_input)
for name in ("lstm", "gru", "simple_rnn"):
    layer = CELLS[name]
    skip = ("3.0",) if name == "gru" else ()
    mc(
        f"bidirectional-{name}",
        X,
        [L.Bidirectional(layer(3, dropout=0.3, recurrent_dropout=0.3)), L.Dense(2)],
        skip=skip,
    )
    mc(
        f"bidirectional-{name}-input",
        X,
        [L.Bidirectional(layer(3, dropout=0.4), merge_mode="sum"), L.Dense(2)],
    )
for name, cell in {
    "lstm": L.LSTMCell(4, dropout=0.3, recurrent_dropout=0.3),
    "lstm-input": L.LSTMCell(4, dropout=0.4),
    "gru": L.GRUCell(4, dropout=0.3, recurrent_dropout=0.3),
    "simple_rnn": L.SimpleRNNCell(4, dropout=0.3, recurrent_dropout=0.3),
    "stacked": L.StackedRNNCells(
        [L.LSTMCell(4, dropout=0.2, recurrent_dropout=0.2), L.LSTMCell(3, dropout=0.3)]
    ),
}.items():
    mc(f"rnn-{name}", X, [L.RNN(cell), L.Dense(2)], skip=("3.0",) if name == "gru" else ())
TD = L.TimeDistributed
mc("time_distributed-dropout", X, [TD(L.Dropout(0.3)), *POOL])
mc("time_distributed-spatial", X4, [TD(L.SpatialDropout1D(0.4)), TD(L.Flatten()), *POOL])
mc("time_distributed-lstm", X4, [TD(L.LSTM(3, dropout=0.3, recurrent_dropout=0.3)), *POOL])
mc("time_distributed-masked", XM, [MASK, TD(L.Dropout(0.3)), L.LSTM(3), L.Dense(2)])
mc(
    "two-lstm",
    X,
    [L.LSTM(4, return_sequences=True), L.Dropout(0.3), L.LSTM(3), L.Dropout(0.3), L.Dense(1)],
)
mc(
    "two-lstm-rates",
    X,
    [
        L.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.2),
        L.LSTM(3, dropout=0.2, recurrent_dropout=0.2),
        L.Dense(1),
    ],
)
mc(
    "embedding",
    tokens(2, 5, of=7),
    [
        L.Embedding(7, 3),
        L.SpatialDropout1D(0.3),
        L.LSTM(4, dropout=0.2, recurrent_dropout=0.2),
        L.Dense(2, activation="softmax"),
    ],
)
mc(
    "embedding-mask_zero",
    np.array([[3, 1, 2, 0, 0], [0, 4, 5, 5, 1]], "int32"),
    [
        L.Embedding(7, 3, mask_zero=True),
        L.Dropout(0.3),
        L.LSTM(4, dropout=0.2, recurrent_dropout=0.2),
        L.Dense(2),
    ],
)
mc(
    "batch_normalization",
    X,
    [
        L.Dropout(0.3),
        L.BatchNormalization(),
        L.LSTM(4),
        L.BatchNormalization(),
        L.Dropout(0.3),
        L.Dense(2),
    ],
)
mc("layer_normalization", X, [L.Dropout(0.3), L.LayerNormalization(), *FLAT])
mc(
    "conv",
    X,
    [L.Conv1D(4, 2, activation="relu"), L.Dropout(0.3), L.MaxPooling1D(2), L.LSTM(3), L.Dense(2)],
)
mc("conv-noise", X, [L.GaussianNoise(0.3), L.Conv1D(4, 2), L.SpatialDropout1D(0.3), *POOL])
mc(
    "repeat_vector",
    X,
    [L.LSTM(4), L.Dropout(0.3), L.RepeatVector(4), L.LSTM(3, return_sequences=True), *FLAT],
)
mc("selu-alpha", X, [L.Dense(4, activation="selu"), L.AlphaDropout(0.2), *FLAT])
mc("activation-function", X, [L.LSTM(4, activation=A.elu, dropout=0.3), L.Dense(2)])
mc(
    "mixed_float16",
    X,
    [L.LSTM(4), L.Dropout(0.3), L.Dense(2, dtype="float32")],
    policy="mixed_float16",
)


# Graphs. -----------------------------------------------------------------------------------------


def attend(keras: Any, q: Any, v: Any, *, layer: Later) -> Any:
    layers = keras.layers
    return layers.Dense(2)(layers.Flatten()(layer.make(keras)([q, v])))


def attend_heads(keras: Any, q: Any, v: Any) -> Any:
    layers = keras.layers
    h = layers.MultiHeadAttention(2, 3, dropout=0.4)(q, v)
    return layers.Dense(2)(layers.Flatten()(h))


def attend_scores(keras: Any, q: Any, v: Any) -> Any:
    """Are the scores that are returned those before the dropout?"""
    _, scores = keras.layers.Attention(dropout=0.4)([q, v], return_attention_scores=True)
    return keras.layers.Dense(2)(keras.layers.Flatten()(scores))


QV = [floats(2, 3, 4, tag=7), floats(2, 5, 4, tag=8)]
mc("attention", QV, functools.partial(attend, layer=L.Attention(dropout=0.4)))
mc(
    "attention-concat",
    QV,
    functools.partial(attend, layer=L.Attention(dropout=0.4, score_mode="concat")),
)
mc("attention-scores", QV, attend_scores)
mc("additive_attention", QV, functools.partial(attend, layer=L.AdditiveAttention(dropout=0.4)))
mc("multi_head_attention", QV, attend_heads)


def attend_groups(keras: Any, q: Any, v: Any) -> Any:
    layers = keras.layers
    h = layers.GroupQueryAttention(3, 4, 2, dropout=0.4)(q, v)
    return layers.Dense(2)(layers.Flatten()(h))


mc("group_query_attention", QV, attend_groups, only="3")


def shared_dropout(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    dropout = layers.Dropout(0.4)
    h = layers.Subtract()([dropout(x), dropout(y)])
    return layers.Dense(2)(layers.Flatten()(h))


def shared_lstm(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    lstm = layers.LSTM(4, dropout=0.3, recurrent_dropout=0.3)
    return layers.Dense(2)(layers.Subtract()([lstm(x), lstm(y)]))


def same_twice(keras: Any, x: Any) -> Any:
    """The same layer on the same tensor: 0 if it drew once."""
    layers = keras.layers
    dropout = layers.Dropout(0.4)
    return layers.Dense(2)(layers.Flatten()(layers.Subtract()([dropout(x), dropout(x)])))


def nested_twice(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    i = keras.Input((5, 3))
    encoder = keras.Model(i, layers.LSTM(3)(layers.Dropout(0.4)(i)))
    return layers.Dense(2)(layers.Subtract()([encoder(x), encoder(y)]))


def nested_sequential(keras: Any, x: Any) -> Any:
    layers = keras.layers
    head = keras.Sequential([keras.Input((4,)), layers.Dropout(0.4), layers.Dense(2)])
    return head(layers.LSTM(4, dropout=0.3)(x))


def one_draw(keras: Any, x: Any) -> Any:
    """A tensor that is read twice was drawn once."""
    layers = keras.layers
    h = layers.Dropout(0.4)(x)
    h = layers.Concatenate(axis=1)([h, layers.Activation("relu")(h)])
    return layers.Dense(2)(layers.GlobalAveragePooling1D()(h))


def two_outputs(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.LSTM(4, dropout=0.3)(x)
    return [layers.Dense(2)(h), layers.Dense(3)(layers.Dropout(0.3)(h))]


def fixed_on(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.Dropout(0.4)(x, training=True)
    return layers.Dense(2)(layers.Flatten()(layers.Dropout(0.2)(h)))


def fixed_off(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.Dropout(0.4)(x, training=False)
    return layers.Dense(2)(layers.Flatten()(layers.Dropout(0.2)(h)))


def fixed_off_lstm(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.LSTM(4, dropout=0.4, return_sequences=True)(x, training=False)
    return layers.Dense(2)(layers.Flatten()(layers.Dropout(0.2)(h)))


def fixed_off_inner(keras: Any, x: Any) -> Any:
    """As models are trained on top of others."""
    layers = keras.layers
    inner = keras.Input((3,))
    base = keras.Model(inner, layers.Dense(4)(layers.Dropout(0.4)(inner)), name="base")
    a = base(layers.GRU(3)(x), training=False)
    return [a, layers.Dense(2)(layers.Dropout(0.2)(base(layers.LSTM(3)(x))))]


def decoder(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    e, *s = layers.LSTM(3, return_sequences=True, return_state=True, dropout=0.2)(x)
    d = layers.LSTM(3, return_sequences=True, dropout=0.2)(y, initial_state=s)
    h = layers.Concatenate()([layers.Attention()([d, e]), d])
    return layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Dropout(0.2)(h)))


def branches(keras: Any, x: Any, z: Any) -> Any:
    layers = keras.layers
    a = layers.Bidirectional(layers.GRU(3, dropout=0.3))(x)
    b = layers.Dropout(0.4)(layers.Dense(4, activation="relu")(z))
    return layers.Dense(2)(layers.Concatenate()([a, b]))


XY = [X, floats(2, 5, 3, tag=9)]
for name, inputs, model in (
    ("shared-dropout", XY, shared_dropout),
    ("shared-lstm", XY, shared_lstm),
    ("same-twice", X, same_twice),
    ("nested-twice", XY, nested_twice),
    ("nested-sequential", X, nested_sequential),
    ("one-draw", X, one_draw),
    ("two-outputs", X, two_outputs),
    ("fixed-off", X, fixed_off),
    ("fixed-off-lstm", X, fixed_off_lstm),
    ("fixed-off-inner", X, fixed_off_inner),
    ("decoder", [X, floats(2, 4, 2, tag=9)], decoder),
    ("branches", [X, floats(2, 4, tag=9)], branches),
):
    mc(f"graph-{name}", inputs, model)
# In Keras 2 this one is on in `predict` too.
mc("graph-fixed-on", X, fixed_on, only="3")
mc("graph-fixed-on-always", X, fixed_on, only="2", random=True)

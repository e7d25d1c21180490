"""Recurrent models as people build them, small, each written once for every version of Keras.

`RECIPES` maps a name to a `Recipe`. Its `build` takes a kit, which holds the classes of one version
of Keras, and returns a model; its `inputs` say what goes in. The file also runs under Python 3.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ROWS = 4  # rows 0 and 1 are equal: with a mask of their own they are independent


def floats(*shape: int) -> Callable[[np.random.RandomState], np.ndarray]:
    """Return a maker of standard normal numbers."""
    return lambda rng: rng.normal(size=(ROWS, *shape)).astype("float32")


def tokens(steps: int, size: int, dtype: str = "int32") -> Callable[..., np.ndarray]:
    """Return a maker of token ids without the 0."""
    return lambda rng: rng.randint(1, size, (ROWS, steps)).astype(dtype)


def padded(steps: int, size: int, dtype: str = "int32") -> Callable[..., np.ndarray]:
    """Return a maker of token ids: 0 at the end, in front and in the middle."""

    def make(rng: np.random.RandomState) -> np.ndarray:
        x = rng.randint(1, size, (ROWS, steps))
        x[:2, -2:] = x[2, :3] = x[3, 2:4] = 0
        return x.astype(dtype)

    return make


def masked(steps: int, features: int, value: float) -> Callable[..., np.ndarray]:
    """Return a maker of numbers: whole steps are `value` in front, behind, in the middle."""

    def make(rng: np.random.RandomState) -> np.ndarray:
        x = rng.normal(size=(ROWS, steps, features)).astype("float32")
        x[:2, -2:] = x[2, :2] = x[3, 1:3] = value
        x[:, 0, 0] = value  # one feature of a step does not mask it, unless it is the only one
        return x

    return make


def images(*shape: int) -> Callable[..., np.ndarray]:
    """Return a maker of whole numbers from 0 to 255."""
    return lambda rng: rng.randint(0, 256, (ROWS, *shape)).astype("float32")


class Recipe:
    """A model, what goes into it, and what it asks of a version of Keras.

    `needs` are the layers that not every version has; `since` is the first version; `batch` is
    True where the model has a fixed batch; `moments` is False where passes with dropout are not
    stored.
    """

    def __init__(self, build: Callable[[Any], Any], inputs: Any, options: dict[str, Any]) -> None:
        self.build = build
        self.inputs = inputs
        self.needs = options.pop("needs", "").split()
        self.since = options.pop("since", (2, 0))
        self.until = options.pop("until", (99, 0))
        self.batch = options.pop("batch", False)
        self.moments = options.pop("moments", True)
        self.compiled = options.pop("compiled", None)
        assert not options, options

    def data(self, seed: int) -> list:
        rng = np.random.RandomState(seed)
        arrays = [make(rng) for make in self.inputs]
        for x in arrays:
            x[1] = x[0]
        return arrays


RECIPES: dict[str, Recipe] = {}


def recipe(*inputs: Callable[..., np.ndarray], **options: Any) -> Callable[..., Any]:
    """Add the function that follows to the recipes, under its name."""

    def add(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
        RECIPES[build.__name__] = Recipe(build, inputs, options)
        return build

    return add


# Forecasts of series.


@recipe(floats(60, 1), compiled="mse")
def two_lstm_dropout(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(10, return_sequences=True, **k.first(60, 1)),
            L.Dropout(0.2),
            L.LSTM(10, return_sequences=False),
            L.Dropout(0.2),
            L.Dense(5),
            L.Dense(1),
        ]
    )


@recipe(floats(3, 1), compiled="mse")
def relu_forecast(k):
    L = k.layers
    return k.Sequential([L.LSTM(8, activation="relu", **k.first(3, 1)), L.Dense(1)])


@recipe(floats(1, 5))
def one_step(k):
    """With one step and no state, recurrent dropout has nothing to act on."""
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(6, return_sequences=True, recurrent_dropout=0.3, **k.first(1, 5)),
            L.LSTM(6, dropout=0.3),
            L.Dense(1),
        ]
    )


@recipe(floats(10, 3))
def four_lstm(k):
    L = k.layers
    model = k.Sequential()
    model.add(L.LSTM(units=6, return_sequences=True, **k.first(10, 3)))
    model.add(L.Dropout(0.2))
    for _ in range(2):
        model.add(L.LSTM(units=6, return_sequences=True))
        model.add(L.Dropout(0.2))
    model.add(L.LSTM(units=6))
    model.add(L.Dropout(0.2))
    model.add(L.Dense(units=1))
    return model


@recipe(floats(5, 2), batch=True)
def stateful_lstm(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(5, stateful=True, return_sequences=True, **k.first(5, 2)),
            L.Dropout(0.3),
            L.LSTM(5, stateful=True),
            L.Dense(1),
        ]
    )


@recipe(floats(6, 2), batch=True)
def fixed_batch_gru(k):
    L = k.layers
    return k.Sequential([L.GRU(5, dropout=0.2, **k.first(6, 2)), L.Dense(3, activation="softmax")])


@recipe(floats(12, 1))
def gru_relu(k):
    L = k.layers
    return k.Sequential(
        [
            L.GRU(6, activation="relu", return_sequences=True, dropout=0.1, **k.first(12, 1)),
            L.GRU(6, activation="relu", recurrent_dropout=0.25),
            L.Dense(2),
        ]
    )


@recipe(floats(9, 2))
def simple_rnn_stack(k):
    L = k.layers
    return k.Sequential(
        [
            L.SimpleRNN(6, return_sequences=True, dropout=0.2, **k.first(9, 2)),
            L.SimpleRNN(5, recurrent_dropout=0.3, activation="relu"),
            L.Dropout(0.1),
            L.Dense(1, activation="linear"),
        ]
    )


@recipe(floats(24, 2))
def cnn_lstm(k):
    L = k.layers
    return k.Sequential(
        [
            L.Conv1D(filters=6, kernel_size=3, activation="relu", **k.first(24, 2)),
            L.MaxPooling1D(pool_size=2),
            L.Dropout(0.2),
            L.LSTM(8, activation="relu"),
            L.Dense(1),
        ]
    )


@recipe(floats(3, 8, 1))
def cnn_lstm_subsequences(k):
    L, each = k.layers, k.layers.TimeDistributed
    return k.Sequential(
        [
            each(L.Conv1D(6, 3, activation="relu"), **k.first(3, 8, 1)),
            each(L.Conv1D(4, 3, activation="relu")),
            each(L.Dropout(0.5)),
            each(L.MaxPooling1D(2)),
            each(L.Flatten()),
            L.LSTM(7),
            L.Dropout(0.5),
            L.Dense(6, activation="relu"),
            L.Dense(3, activation="softmax"),
        ]
    )


@recipe(floats(20, 3))
def conv_conv_pool_bilstm(k):
    L = k.layers
    return k.Sequential(
        [
            L.Conv1D(6, 5, padding="same", activation="relu", **k.first(20, 3)),
            L.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="tanh"),
            L.AveragePooling1D(2, strides=2, padding="same"),
            L.BatchNormalization(),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.GlobalAveragePooling1D(),
            L.Dropout(0.3),
            L.Dense(4, activation="sigmoid"),
        ]
    )


@recipe(floats(8, 3))
def autoencoder(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(8, activation="relu", return_sequences=True, **k.first(8, 3)),
            L.LSTM(4, activation="relu", return_sequences=False),
            L.RepeatVector(8),
            L.LSTM(4, activation="relu", return_sequences=True),
            L.LSTM(8, activation="relu", return_sequences=True),
            L.TimeDistributed(L.Dense(3)),
        ]
    )


@recipe(floats(8, 2))
def autoencoder_dropout(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(8, **k.first(8, 2)),
            L.Dropout(rate=0.2),
            L.RepeatVector(n=8),
            L.LSTM(8, return_sequences=True),
            L.Dropout(rate=0.2),
            L.TimeDistributed(L.Dense(2)),
        ]
    )


@recipe(floats(7, 1))
def bidirectional_forecast(k):
    L = k.layers
    return k.Sequential(
        [L.Bidirectional(L.LSTM(6, activation="relu"), **k.first(7, 1)), L.Dense(1)]
    )


@recipe(floats(8, 4))
def batch_normalization_first(k):
    L = k.layers
    return k.Sequential(
        [
            L.BatchNormalization(**k.first(8, 4)),
            L.LSTM(6, return_sequences=True),
            L.Dropout(0.2),
            L.BatchNormalization(scale=False),
            L.LSTM(6),
            L.BatchNormalization(center=False, epsilon=1e-5),
            L.Dense(4, activation="elu"),
            L.BatchNormalization(axis=1),
            L.Dense(1),
        ]
    )


@recipe(masked(9, 2, -1.0))
def masking_minus_one(k):
    L = k.layers
    return k.Sequential(
        [
            L.Masking(mask_value=-1.0, **k.first(9, 2)),
            L.LSTM(6, return_sequences=True, dropout=0.2),
            L.Dropout(0.2),
            L.BatchNormalization(),
            L.LSTM(5),
            L.Dense(2, activation="softmax"),
        ]
    )


@recipe(masked(9, 3, -10.0))
def masking_minus_ten(k):
    L = k.layers
    return k.Sequential(
        [
            L.Masking(mask_value=-10, **k.first(9, 3)),
            L.GRU(5, return_sequences=True, recurrent_dropout=0.3),
            L.TimeDistributed(L.Dense(4, activation="relu")),
            L.GRU(4),
            L.Dense(1),
        ]
    )


@recipe(masked(9, 2, 0.0))
def masking_zero_bidirectional(k):
    L = k.layers
    return k.Sequential(
        [
            L.Masking(**k.first(9, 2)),
            L.Bidirectional(L.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.2)),
            L.Bidirectional(L.SimpleRNN(4, return_sequences=True), merge_mode="sum"),
            L.TimeDistributed(L.Dense(2, activation="sigmoid")),
        ]
    )


@recipe(floats(10, 2))
def reshape_to_horizon(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(8, return_sequences=False, **k.first(10, 2)),
            L.Dropout(0.25),
            L.Dense(6, kernel_initializer="zeros"),
            L.Reshape([3, 2]),
        ]
    )


@recipe(floats(6, 2))
def noise_and_norm_penalties(k):
    L = k.layers
    return k.Sequential(
        [
            L.GaussianNoise(0.3, **k.first(6, 2)),
            L.LSTM(6, kernel_regularizer="l2", recurrent_regularizer="l2", return_sequences=True),
            L.GaussianDropout(0.2),
            L.ActivityRegularization(l1=1e-4),
            L.LSTM(4, kernel_constraint="max_norm"),
            L.Dense(1),
        ]
    )


@recipe(floats(6, 3))
def alpha_dropout(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(6, **k.first(6, 3)),
            L.Dense(8, activation="selu", kernel_initializer="lecun_normal"),
            L.AlphaDropout(0.2),
            L.Dense(2),
        ]
    )


@recipe(floats(12, 3))
def lstm_flatten(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(5, return_sequences=True, dropout=0.1, recurrent_dropout=0.1, **k.first(12, 3)),
            L.Flatten(),
            L.Dense(6),
            L.LeakyReLU(),
            L.Dropout(0.4),
            L.Dense(4),
            L.PReLU(),
            L.Dense(2),
            L.ELU(alpha=0.7),
        ]
    )


@recipe(floats(10, 2))
def layers_of_activations(k):
    L = k.layers
    return k.Sequential(
        [
            L.GRU(6, return_sequences=True, **k.first(10, 2)),
            L.Activation("relu"),
            L.TimeDistributed(L.Dropout(0.3)),
            L.SimpleRNN(5, activation="softsign"),
            L.Dense(5),
            L.Activation("softplus"),
            L.Dense(5),
            L.ReLU(max_value=6.0) if hasattr(L, "ReLU") else L.Activation("relu"),
            L.Dense(3),
            L.Softmax(),
        ]
    )


@recipe(floats(16, 2))
def padding_cropping_upsampling(k):
    L = k.layers
    return k.Sequential(
        [
            L.ZeroPadding1D(2, **k.first(16, 2)),
            L.Conv1D(4, 5, strides=2, activation="relu"),
            L.LSTM(5, return_sequences=True),
            L.UpSampling1D(2),
            L.Cropping1D((1, 2)),
            L.SpatialDropout1D(0.3),
            L.Conv1D(2, 3, padding="same"),
        ]
    )


@recipe(floats(8, 2))
def go_backwards(k):
    """Two directions by hand."""
    L = k.layers
    x = k.input(8, 2)
    forward = L.LSTM(4, dropout=0.3)(x)
    backward = L.LSTM(4, go_backwards=True, dropout=0.3)(x)
    both = L.Concatenate()([forward, backward])
    return k.Model(x, L.Dense(2)(both))


@recipe(floats(7, 3))
def merge_modes(k):
    L = k.layers
    x = k.input(7, 3)
    h = L.Bidirectional(L.GRU(4, return_sequences=True, dropout=0.2), merge_mode="ave")(x)
    h = L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="mul")(h)
    forward, backward = L.Bidirectional(L.LSTM(3, recurrent_dropout=0.2), merge_mode=None)(h)
    return k.Model(x, L.Dense(2)(L.Subtract()([forward, backward])))


@recipe(floats(8, 3))
def ensemble(k):
    L = k.layers
    x = k.input(8, 3)
    branches = [
        L.LSTM(4, dropout=0.2)(x),
        L.GRU(4, dropout=0.2)(x),
        L.SimpleRNN(4, dropout=0.2)(x),
    ]
    merged = [L.Add()(branches), L.Average()(branches), L.Maximum()(branches)]
    merged.append(L.Multiply()(branches[:2]))
    return k.Model(x, L.Dense(1)(L.Concatenate(axis=-1)(merged)))


@recipe(floats(9, 4))
def residual(k):
    L = k.layers
    x = k.input(9, 4)
    h = L.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.2)(x)
    h = L.Add()([x, h])
    h2 = L.Dropout(0.2)(L.LSTM(4, return_sequences=True)(h))
    h = L.Add()([h, h2])
    return k.Model(x, L.Dense(1)(L.GlobalMaxPooling1D()(h)))


@recipe(floats(6, 3), floats(4))
def series_and_meta(k):
    L = k.layers
    series, meta = k.input(6, 3, name="series"), k.input(4, name="meta")
    h = L.Dropout(0.3)(L.LSTM(5)(series))
    h = L.Concatenate()([h, L.Dense(4, activation="relu")(meta)])
    out = L.Dense(1, activation="sigmoid", name="risk")(h)
    return k.Model(inputs=[series, meta], outputs=out)


@recipe(floats(7, 3))
def price_and_direction(k):
    L = k.layers
    x = k.input(7, 3)
    h = L.Dropout(0.2)(L.Bidirectional(L.GRU(4))(x))
    price = L.Dense(1, name="price")(h)
    direction = L.Dense(3, activation="softmax", name="direction")(h)
    return k.Model(x, [price, direction])


@recipe(floats(6, 2))
def encoder_decoder_states(k):
    L = k.layers
    x = k.input(6, 2)
    _, h, c = L.LSTM(5, return_state=True, dropout=0.2)(x)
    repeated = L.RepeatVector(4)(h)
    out = L.LSTM(5, return_sequences=True)(repeated, initial_state=[h, c])
    return k.Model(x, L.TimeDistributed(L.Dense(2))(L.Dropout(0.2)(out)))


@recipe(floats(7, 3), floats(5, 2))
def two_inputs_shared_states(k):
    """A GRU that starts from the state of another."""
    L = k.layers
    past, future = k.input(7, 3), k.input(5, 2)
    sequence, state = L.GRU(4, return_state=True, return_sequences=True)(past)
    out = L.GRU(4, return_sequences=True, recurrent_dropout=0.2)(future, initial_state=state)
    pooled = L.GlobalAveragePooling1D()(sequence)
    h = L.Concatenate()([L.Flatten()(out), pooled])
    return k.Model([past, future], L.Dense(2)(L.Dropout(0.1)(h)))


@recipe(floats(10, 3))
def attention_by_hand(k):
    L = k.layers
    x = k.input(10, 3)
    h = L.LSTM(5, return_sequences=True, dropout=0.2)(x)
    scores = L.Flatten()(L.Dense(1, activation="tanh")(h))
    weights = L.Activation("softmax")(scores)
    weights = L.Permute([2, 1])(L.RepeatVector(5)(weights))
    context = L.Multiply()([h, weights])
    return k.Model(x, L.Dense(1)(L.Dropout(0.2)(L.Flatten()(context))))


@recipe(floats(8, 3), needs="Merge")
def merged_by_mode(k):
    """By the layer of Keras 1, as attention was long written, in all its modes but two."""
    from keras.legacy.layers import merge

    L = k.layers
    x = k.input(8, 3)
    h = L.LSTM(5, return_sequences=True, dropout=0.2)(x)
    weights = L.Dense(8, activation="softmax")(L.Permute([2, 1])(h))
    pair = [h, L.Permute([2, 1])(weights)]
    modes = ("mul", "sum", "ave", "max")
    merged = merge([merge(pair, mode=mode) for mode in modes], mode="concat", concat_axis=1)
    both = merge([merged, merged], mode="concat")
    return k.Model(x, L.Dense(1)(L.Dropout(0.2)(L.Flatten()(both))))


@recipe(padded(12, 20), needs="Merge")
def merged_words(k):
    from keras.legacy.layers import merge

    L = k.layers
    x = k.input(12)
    e = L.Embedding(20, 4, mask_zero=True)(x)
    pair = [L.LSTM(5, return_sequences=True)(e), L.GRU(5, return_sequences=True)(e)]
    both = merge([merge(pair, mode="sum"), merge(pair, mode="concat")], mode="concat")
    return k.Model(x, L.Dense(2)(L.LSTM(4, dropout=0.1)(both)))


@recipe(floats(8, 3))
def attention_by_dot(k):
    L = k.layers
    x = k.input(8, 3)
    h = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    last = L.Dense(6)(L.GlobalMaxPooling1D()(h))
    scores = L.Activation("softmax")(L.Dot(axes=[2, 1])([h, last]))
    context = L.Dot(axes=[1, 1])([h, scores])
    h = L.Dropout(0.25)(L.Concatenate()([context, last]))
    return k.Model(x, L.Dense(2, activation="tanh")(h))


@recipe(floats(8, 3), needs="Attention", since=(2, 3))
def attention_layer(k):
    L = k.layers
    x = k.input(8, 3)
    h = L.LSTM(5, return_sequences=True, dropout=0.2)(x)
    a = L.Attention()([h, h])
    pooled = L.Concatenate()([L.GlobalAveragePooling1D()(a), L.GlobalMaxPooling1D()(h)])
    return k.Model(x, L.Dense(1)(L.Dropout(0.2)(pooled)))


@recipe(floats(8, 4), needs="MultiHeadAttention LayerNormalization")
def transformer_beside_lstm(k):
    L = k.layers
    x = k.input(8, 4)
    h = L.LSTM(4, return_sequences=True, dropout=0.1)(x)
    a = L.MultiHeadAttention(num_heads=2, key_dim=3, dropout=0.2)(h, h)
    h = L.LayerNormalization(epsilon=1e-6)(L.Add()([h, L.Dropout(0.1)(a)]))
    f = L.Dense(4)(L.Dropout(0.1)(L.Dense(8, activation="relu")(h)))
    h = L.LayerNormalization(epsilon=1e-6)(L.Add()([h, f]))
    return k.Model(x, L.Dense(1)(L.GlobalAveragePooling1D()(h)))


@recipe(floats(8, 3), needs="LayerNormalization", since=(2, 3))
def layer_normalized_stack(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(5, return_sequences=True, **k.first(8, 3)),
            L.LayerNormalization(),
            L.Dropout(0.2),
            L.GRU(4),
            L.LayerNormalization(center=False, epsilon=1e-5),
            L.Dense(1),
        ]
    )


@recipe(images(6, 3), needs="Rescaling", since=(2, 6))
def rescaled(k):
    L = k.layers
    x = k.input(6, 3)
    h = L.Rescaling(1 / 127.5, offset=-1)(x)
    h = L.Bidirectional(L.LSTM(4, dropout=0.2))(h)
    return k.Model(x, L.Dense(2)(h))


@recipe(floats(6, 3), needs="Normalization", since=(2, 6))
def normalized(k):
    L = k.layers
    normalization = L.Normalization(axis=-1)
    normalization.adapt(np.random.RandomState(5).normal(2, 3, (50, 6, 3)).astype("float32"))
    x = k.input(6, 3)
    return k.Model(x, L.Dense(2)(L.Dropout(0.1)(L.LSTM(4)(normalization(x)))))


@recipe(floats(6, 3), needs="UnitNormalization", since=(2, 9))
def unit_normalized(k):
    L = k.layers
    x = k.input(6, 3)
    h = L.UnitNormalization()(L.GRU(4, return_sequences=True, dropout=0.2)(x))
    return k.Model(x, L.Dense(2)(L.LSTM(3)(h)))


@recipe(floats(8, 3), since=(2, 4))
def last_step(k):
    """Tensors are sliced where a layer is expected."""
    L = k.layers
    x = k.input(8, 3)
    h = L.LSTM(5, return_sequences=True, dropout=0.2)(x)
    return k.Model(x, L.Dense(1)(L.Dropout(0.3)(h[:, -1, :])))


@recipe(floats(8, 3), since=(2, 4))
def arithmetic(k):
    """Operations of the backend where layers are expected."""
    L = k.layers
    x = k.input(8, 3)
    h = L.GRU(4, return_sequences=True, dropout=0.2)(x)
    gate = k.sigmoid(L.Dense(4)(h))
    h = h * gate + 0.5 * (1.0 - gate)
    h = L.LSTM(4)(h)
    return k.Model(x, L.Dense(2)(h - k.mean(h)))


@recipe(floats(7, 3))
def stacked_cells(k):
    L = k.layers
    cells = L.StackedRNNCells([L.LSTMCell(4, dropout=0.2), L.GRUCell(3), L.SimpleRNNCell(3)])
    x = k.input(7, 3)
    h = L.RNN(cells, return_sequences=True)(x)
    h = L.RNN(L.LSTMCell(4))(h)
    return k.Model(x, L.Dense(2)(L.Dropout(0.2)(h)))


@recipe(floats(7, 3))
def nested_sequential(k):
    L = k.layers
    encoder = k.Sequential(
        [
            L.LSTM(5, return_sequences=True, **k.first(7, 3)),
            L.Dropout(0.3),
            L.LSTM(4, recurrent_dropout=0.2),
        ]
    )
    x = k.input(7, 3)
    h = encoder(x)
    head = k.Sequential([L.Dense(5, activation="relu", **k.first(4)), L.Dense(2)])
    return k.Model(x, head(h))


@recipe(floats(6, 3), floats(6, 3))
def siamese(k):
    L = k.layers
    left, right = k.input(6, 3), k.input(6, 3)
    shared = L.LSTM(5, dropout=0.2, recurrent_dropout=0.2)
    a, b = shared(left), shared(right)
    similar = L.Dot(axes=-1, normalize=True)([a, b])
    h = L.Concatenate()([L.Subtract()([a, b]), L.Multiply()([a, b]), similar])
    return k.Model([left, right], L.Dense(1, activation="sigmoid")(L.Dropout(0.1)(h)))


@recipe(floats(6, 3), floats(6, 3))
def siamese_model(k):
    """A whole model is shared."""
    L = k.layers
    x = k.input(6, 3)
    tower = k.Model(x, L.Dense(3)(L.Dropout(0.3)(L.Bidirectional(L.GRU(3))(x))))
    left, right = k.input(6, 3), k.input(6, 3)
    h = L.Average()([tower(left), tower(right)])
    return k.Model([left, right], L.Dense(2)(h))


@recipe(floats(5, 3))
def dropout_always_on(k):
    """Calls that fix training: dropout stays on in predict, so only passes can be compared."""
    L = k.layers
    x = k.input(5, 3)
    h = L.LSTM(5, dropout=0.3)(x, training=True)
    h = L.Dropout(0.3)(h, training=True)
    return k.Model(x, L.Dense(2)(h))


@recipe(floats(6, 3), compiled="mse", since=(2, 0))
def mc_dropout_class(k):
    L = k.layers
    x = k.input(6, 3)
    h = k.MCDropout(0.3)(L.LSTM(5, return_sequences=True)(x))
    h = k.MCDropout(0.2)(L.LSTM(4)(h))
    return k.Model(x, L.Dense(2)(h))


@recipe(floats(8, 3), since=(2, 4))
def mixed_float16(k):
    L = k.layers
    with k.policy("mixed_float16"):
        return k.Sequential(
            [
                L.LSTM(5, return_sequences=True, **k.first(8, 3)),
                L.Dropout(0.2),
                L.GRU(4),
                L.Dense(2, dtype="float32"),
            ]
        )


@recipe(floats(6, 3))
def no_dropout_gru(k):
    L = k.layers
    return k.Sequential(
        [
            L.GRU(6, return_sequences=True, reset_after=False, **k.first(6, 3)),
            L.GRU(5, use_bias=False, reset_after=False),
            L.Dense(3, activation="softmax"),
        ]
    )


@recipe(floats(6, 3))
def hard_sigmoid(k):
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(5, recurrent_activation="hard_sigmoid", return_sequences=True, **k.first(6, 3)),
            L.GRU(5, recurrent_activation="hard_sigmoid", dropout=0.2),
            L.Dense(3, activation="hard_sigmoid"),
        ]
    )


# Text.


@recipe(padded(12, 20))
def tagger(k):
    L = k.layers
    x = k.input(12, dtype="int32")
    h = L.Embedding(20, 5, mask_zero=True)(x)
    h = L.Bidirectional(L.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.2))(h)
    return k.Model(x, L.TimeDistributed(L.Dense(5, activation="softmax"))(h))


@recipe(padded(10, 20))
def tagger_two_layers(k):
    L = k.layers
    return k.Sequential(
        [
            L.Embedding(20, 5, mask_zero=True, **k.first(10)),
            L.SpatialDropout1D(0.2),
            L.Bidirectional(L.GRU(4, return_sequences=True, dropout=0.2)),
            L.Bidirectional(L.LSTM(3, return_sequences=True)),
            L.TimeDistributed(L.Dense(6, activation="relu")),
            L.Dropout(0.3),
            L.Dense(4, activation="softmax"),
        ]
    )


@recipe(padded(6, 15), padded(6, 12))
def words_and_cases(k):
    L = k.layers
    words, cases = k.input(6, dtype="int32"), k.input(6, dtype="int32")
    h = L.Concatenate()(
        [L.Embedding(15, 4, mask_zero=True)(words), L.Embedding(12, 3, mask_zero=True)(cases)]
    )
    h = L.Bidirectional(L.LSTM(4, return_sequences=True, recurrent_dropout=0.2))(h)
    return k.Model([words, cases], L.TimeDistributed(L.Dense(3, activation="softmax"))(h))


@recipe(
    tokens(5, 15),
    lambda rng: rng.randint(1, 12, (ROWS, 5, 6)).astype("int32"),
)
def words_and_characters(k):
    L, each = k.layers, k.layers.TimeDistributed
    words, characters = k.input(5, dtype="int32"), k.input(5, 6, dtype="int32")
    c = each(L.Embedding(12, 3))(characters)
    c = each(L.LSTM(3, recurrent_dropout=0.2))(c)
    h = L.Concatenate()([L.Embedding(15, 4)(words), c])
    h = L.SpatialDropout1D(0.2)(h)
    h = L.Bidirectional(L.LSTM(4, return_sequences=True))(h)
    return k.Model([words, characters], L.Dense(3, activation="softmax")(h))


@recipe(tokens(20, 30), compiled="binary_crossentropy")
def text_classifier(k):
    L = k.layers
    return k.Sequential(
        [
            L.Embedding(30, 6, **k.first(20)),
            L.SpatialDropout1D(0.2),
            L.LSTM(8, dropout=0.2, recurrent_dropout=0.2),
            L.Dense(1, activation="sigmoid"),
        ]
    )


@recipe(tokens(20, 30, "float32"))
def text_cnn_lstm(k):
    L = k.layers
    return k.Sequential(
        [
            L.Embedding(30, 6, **k.first(20)),
            L.SpatialDropout1D(0.3),
            L.Conv1D(6, 5, activation="relu"),
            L.MaxPooling1D(4),
            L.LSTM(5, dropout=0.2, recurrent_dropout=0.2),
            L.Dense(1, activation="sigmoid"),
        ]
    )


@recipe(tokens(14, 25))
def stacked_bilstm_max(k):
    L = k.layers
    return k.Sequential(
        [
            L.Embedding(25, 5, **k.first(14)),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.GlobalMaxPooling1D(),
            L.Dense(6, activation="relu"),
            L.Dropout(0.3),
            L.Dense(2, activation="softmax"),
        ]
    )


@recipe(padded(14, 25))
def toxic_comments(k):
    """Average and maximum of a sequence; the average leaves masked steps out."""
    L = k.layers
    x = k.input(14, dtype="int32")
    h = L.SpatialDropout1D(0.3)(L.Embedding(25, 5, mask_zero=True)(x))
    h = L.Bidirectional(L.GRU(4, return_sequences=True, dropout=0.1, recurrent_dropout=0.1))(h)
    h = L.Concatenate()([L.GlobalAveragePooling1D()(h), L.GlobalMaxPooling1D()(h)])
    return k.Model(x, L.Dense(6, activation="sigmoid")(h))


@recipe(tokens(8, 20), floats(3))
def text_and_meta(k):
    L = k.layers
    text, meta = k.input(8, dtype="int32", name="text"), k.input(3, name="meta")
    h = L.LSTM(5, dropout=0.3, name="reader")(L.Embedding(20, 4, name="words")(text))
    side = L.Dense(4, activation="relu", name="side")(L.BatchNormalization(name="scaled")(meta))
    h = L.Dropout(0.2, name="rest")(L.Concatenate(name="both")([h, side]))
    name = "first output" if k.version >= (3, 0) else "first_output"
    first = L.Dense(1, activation="sigmoid", name=name)(h)
    second = L.Dense(3, activation="softmax", name="second.output")(h)
    return k.Model([text, meta], [first, second])


@recipe(lambda rng: rng.randint(1, 15, (ROWS, 4, 6)).astype("int32"))
def hierarchical(k):
    """A model of sentences inside a model of documents."""
    L = k.layers
    sentence = k.input(6, dtype="int32")
    h = L.Bidirectional(L.GRU(3, return_sequences=True))(L.Embedding(15, 4)(sentence))
    w = L.Activation("softmax")(
        L.Flatten()(L.Dense(1, use_bias=False)(L.Dense(4, activation="tanh")(h)))
    )
    encoder = k.Model(sentence, L.Dropout(0.2)(L.Dot(axes=1)([h, w])))
    document = k.input(4, 6, dtype="int32")
    h = L.Bidirectional(L.GRU(3, return_sequences=True, dropout=0.2))(
        L.TimeDistributed(encoder)(document)
    )
    return k.Model(document, L.Dense(3, activation="softmax")(L.GlobalMaxPooling1D()(h)))


@recipe(padded(7, 15), padded(6, 12))
def translation(k):
    L = k.layers
    source, target = k.input(7, dtype="int32"), k.input(6, dtype="int32")
    e = L.Embedding(15, 4, mask_zero=True)(source)
    _, h, c = L.LSTM(5, return_state=True, dropout=0.2, recurrent_dropout=0.2)(e)
    d = L.Embedding(12, 4, mask_zero=True)(target)
    d, _, _ = L.LSTM(5, return_sequences=True, return_state=True)(d, initial_state=[h, c])
    out = L.Dense(12, activation="softmax")(L.Dropout(0.2)(d))
    return k.Model([source, target], out)


@recipe(tokens(7, 15), tokens(6, 12))
def translation_bidirectional(k):
    L = k.layers
    source, target = k.input(7, dtype="int32"), k.input(6, dtype="int32")
    e = L.Embedding(15, 4)(source)
    _, fh, fc, bh, bc = L.Bidirectional(L.LSTM(3, return_state=True, dropout=0.2))(e)
    states = [L.Concatenate()([fh, bh]), L.Concatenate()([fc, bc])]
    d = L.Embedding(12, 4)(target)
    d = L.LSTM(6, return_sequences=True)(d, initial_state=states)
    return k.Model([source, target], L.TimeDistributed(L.Dense(12, activation="softmax"))(d))


@recipe(tokens(7, 15), tokens(6, 12), needs="AdditiveAttention", since=(2, 3))
def translation_attention(k):
    L = k.layers
    source, target = k.input(7, dtype="int32"), k.input(6, dtype="int32")
    e, h, c = L.LSTM(5, return_sequences=True, return_state=True, dropout=0.1)(
        L.Embedding(15, 4)(source)
    )
    d = L.LSTM(5, return_sequences=True)(L.Embedding(12, 4)(target), initial_state=[h, c])
    context = L.AdditiveAttention()([d, e])
    out = L.Dropout(0.1)(L.Concatenate(axis=-1)([d, context]))
    return k.Model([source, target], L.TimeDistributed(L.Dense(12, activation="softmax"))(out))


@recipe(floats(5, 3), floats(4), floats(4))
def decoder_alone(k):
    """The states go in and come out, as when one token is decoded at a time."""
    L = k.layers
    x, h, c = k.input(5, 3), k.input(4), k.input(4)
    out, h2, c2 = L.LSTM(4, return_sequences=True, return_state=True, dropout=0.2)(
        x, initial_state=[h, c]
    )
    return k.Model([x, h, c], [L.Dense(3, activation="softmax")(out), h2, c2])


@recipe(tokens(10, 20))
def language_model(k):
    L = k.layers
    return k.Sequential(
        [
            L.Embedding(20, 6, **k.first(10)),
            L.LSTM(7, return_sequences=True, dropout=0.2),
            L.Dropout(0.1),
            L.LSTM(7, return_sequences=True, dropout=0.2, recurrent_dropout=0.1),
            L.TimeDistributed(L.Dense(20)),
            L.Activation("softmax"),
        ]
    )


@recipe(floats(12), padded(7, 15))
def captions(k):
    L = k.layers
    image, text = k.input(12), k.input(7, dtype="int32")
    a = L.Dense(5, activation="relu")(L.Dropout(0.4)(image))
    b = L.LSTM(5)(L.Dropout(0.4)(L.Embedding(15, 4, mask_zero=True)(text)))
    h = L.Dense(6, activation="relu")(L.Add()([a, b]))
    return k.Model([image, text], L.Dense(15, activation="softmax")(h))


@recipe(padded(9, 15))
def all_padding(k):
    """With a row that is nothing but padding."""
    L = k.layers
    return k.Sequential(
        [
            L.Embedding(15, 4, mask_zero=True, **k.first(9)),
            L.LSTM(5, return_sequences=True, dropout=0.2),
            L.GRU(4, recurrent_dropout=0.2),
            L.Dense(2),
        ]
    )


# Images and sound.


@recipe(floats(4, 8, 8, 1))
def video(k):
    L, each = k.layers, k.layers.TimeDistributed
    return k.Sequential(
        [
            each(L.Conv2D(3, (3, 3), activation="relu"), **k.first(4, 8, 8, 1)),
            each(L.MaxPooling2D((2, 2))),
            each(L.Conv2D(4, 2, strides=1, padding="same", activation="relu")),
            each(L.Flatten()),
            L.Dropout(0.25),
            L.LSTM(5),
            L.Dense(3, activation="softmax"),
        ]
    )


@recipe(floats(12, 8, 1))
def text_in_images(k):
    L = k.layers
    x = k.input(12, 8, 1)
    h = L.Conv2D(4, (3, 3), padding="same", activation="relu")(x)
    h = L.MaxPooling2D((2, 2))(h)
    h = L.Conv2D(3, (3, 3), padding="same")(h)
    h = L.Activation("relu")(L.BatchNormalization()(h))
    h = L.SpatialDropout2D(0.2)(L.AveragePooling2D((1, 2))(h))
    h = L.Reshape((6, 6))(h)
    h = L.Dropout(0.2)(L.Dense(5, activation="relu")(h))
    h = L.Bidirectional(L.LSTM(4, return_sequences=True, dropout=0.25))(h)
    return k.Model(x, L.Dense(7, activation="softmax")(h))


@recipe(floats(14, 5))
def speech(k):
    L = k.layers
    x = k.input(14, 5)
    h = L.BatchNormalization()(x)
    h = L.Conv1D(6, 5, strides=2, padding="valid", activation="relu")(h)
    for _ in range(2):
        h = L.Bidirectional(L.GRU(4, return_sequences=True, activation="relu"))(h)
        h = L.Dropout(0.3)(L.BatchNormalization()(h))
    return k.Model(x, L.TimeDistributed(L.Dense(6, activation="softmax"))(h))


@recipe(floats(3, 5, 2))
def distributed_lstm(k):
    L = k.layers
    return k.Sequential(
        [
            L.TimeDistributed(L.LSTM(4, return_sequences=True), **k.first(3, 5, 2)),
            L.TimeDistributed(L.Bidirectional(L.LSTM(3))),
            L.TimeDistributed(L.BatchNormalization()),
            L.Permute((2, 1)),
            L.LSTM(4, dropout=0.2),
            L.Dense(2),
        ]
    )


# Recurrent layers alone, with the options that decide which masks are drawn.

SIX_STEPS = (6, 3)
OPTIONS = {
    "dropout": {"dropout": 0.3},
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "both": {"dropout": 0.3, "recurrent_dropout": 0.3},
    "mode1": {"dropout": 0.3, "implementation": 1},
    "mode2": {"dropout": 0.3, "implementation": 2},
    "mode1_both": {"dropout": 0.3, "recurrent_dropout": 0.3, "implementation": 1},
    "mode2_both": {"dropout": 0.3, "recurrent_dropout": 0.3, "implementation": 2},
    "no_bias": {"dropout": 0.3, "use_bias": False},
    "relu": {"dropout": 0.3, "activation": "relu"},
    "unrolled": {"dropout": 0.3, "unroll": True},
    "backwards": {"dropout": 0.3, "go_backwards": True},
    "sigmoid": {"dropout": 0.3, "recurrent_activation": "sigmoid"},
    "hard_sigmoid": {"dropout": 0.3, "recurrent_activation": "hard_sigmoid"},
    "reset_before": {"dropout": 0.3, "reset_after": False},
    "reset_before_both": {"dropout": 0.3, "recurrent_dropout": 0.3, "reset_after": False},
    "reset_after": {"dropout": 0.3, "reset_after": True},
    "reset_after_sigmoid": {
        "dropout": 0.3,
        "reset_after": True,
        "recurrent_activation": "sigmoid",
    },
    "reset_after_both": {"dropout": 0.3, "recurrent_dropout": 0.3, "reset_after": True},
    "float64": {"dropout": 0.3, "dtype": "float64"},
}
ONLY_GATES = ("mode1", "mode2", "mode1_both", "mode2_both", "sigmoid", "hard_sigmoid")


def alone(kind: str, options: dict[str, Any], form: str = "") -> Callable[[Any], Any]:
    """Return the builder of a model of one recurrent layer."""

    def build(k: Any) -> Any:
        L = k.layers
        layer = getattr(L, kind)(4, return_sequences=form != "state", **options)
        if form == "masked":
            return k.Sequential([L.Masking(-1.0, **k.first(*SIX_STEPS)), layer])
        x = k.input(*SIX_STEPS)
        if form == "bidirectional":
            return k.Model(x, L.Bidirectional(layer)(x))
        if form == "cell":
            cell = getattr(L, kind + "Cell")(4, **options)
            return k.Model(x, L.RNN(cell, return_sequences=True)(x))
        if form == "distributed":
            y = k.input(3, *SIX_STEPS)
            return k.Model(y, L.TimeDistributed(layer)(y))
        return k.Model(x, layer(x))

    return build


for kind in ("LSTM", "GRU", "SimpleRNN"):
    for name, options in OPTIONS.items():
        if kind == "SimpleRNN" and name in ONLY_GATES:
            continue
        if kind != "GRU" and name.startswith("reset"):
            continue
        key = "_".join(["alone", kind.lower(), name])
        RECIPES[key] = Recipe(alone(kind, options), (floats(*SIX_STEPS),), {})
    for form in ("masked", "bidirectional", "cell", "distributed"):
        for name in ("dropout", "both"):
            shape = (3, *SIX_STEPS) if form == "distributed" else SIX_STEPS
            source = masked(*SIX_STEPS, -1.0) if form == "masked" else floats(*shape)
            key = "_".join(["alone", kind.lower(), form, name])
            RECIPES[key] = Recipe(alone(kind, OPTIONS[name], form), (source,), {})
    RECIPES[f"alone_{kind.lower()}_plain"] = Recipe(alone(kind, {}), (floats(*SIX_STEPS),), {})


# Layers that run on one make of graphics card only; their files can be written without one.


def cudnn(kind: str, form: str = "") -> Callable[[Any], Any]:
    """Return the builder of a model with a CuDNN layer."""

    def build(k: Any) -> Any:
        L = k.layers
        x = k.input(3, *SIX_STEPS) if form == "distributed" else k.input(*SIX_STEPS)
        layer = k.cudnn(kind, 4, return_sequences=True)
        if form == "bidirectional":
            layer = L.Bidirectional(layer)
        if form == "distributed":
            layer = L.TimeDistributed(layer)
        h = L.Dropout(0.2)(layer(x))
        return k.Model(x, L.Dense(2)(h))

    return build


for kind in ("LSTM", "GRU"):
    for form in ("", "bidirectional", "distributed"):
        shape = (3, *SIX_STEPS) if form == "distributed" else SIX_STEPS
        key = "_".join(filter(None, ["cudnn", kind.lower(), form]))
        RECIPES[key] = Recipe(
            cudnn(kind, form), (floats(*shape),), {"until": (2, 3), "needs": "CuDNNLSTM"}
        )

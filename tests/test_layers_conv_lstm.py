"""Convolutional LSTM layers against their equations, with convolutions by their definition."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.layers import Bidirectional, ChannelsFirst, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D, Flow
from layer_laws import KERAS_3, filled, normal, planned
from test_layers_convolutional import convolved
from tolerances import FLOAT32, assert_close

KINDS = (ConvLSTM1D, ConvLSTM2D, ConvLSTM3D)
INPUTS = (normal(5, 3, 6, 2), normal(5, 3, 5, 4, 2), normal(5, 2, 3, 4, 3, 2))
SIZES = ((3,), (2, 3), (2, 1, 2))
FILTERS = 3
ACTIVATIONS: dict[str, Any] = {
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
    "linear": lambda v: v,
}


def layer_of(dims: int, name: str = "c", seed: int = 0, **options: Any) -> Any:
    size = SIZES[dims - 1]
    bias = normal(4 * FILTERS, seed=seed) if options.pop("use_bias", True) else None
    return KINDS[dims - 1](
        name=name,
        kernel=normal(*size, 2, 4 * FILTERS, seed=seed) / 2,
        recurrent_kernel=normal(*size, FILTERS, 4 * FILTERS, seed=seed) / 3,
        bias=bias,
        **options,
    )


def of_window(kernel: np.ndarray, bias: Any, layer: Any, *, state: bool) -> Any:
    dims = kernel.ndim - 2
    return SimpleNamespace(
        kernel=kernel,
        bias=bias,
        groups=1,
        padding="same" if state else layer.padding,
        strides=(1,) * dims if state else layer.strides,
        dilation_rate=(1,) * dims if state else layer.dilation_rate,
    )


def plain(
    x: np.ndarray,
    layer: Any,
    states: Any = None,
    input_mask: Any = None,
    state_mask: Any = None,
    time_mask: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outputs of all steps, in the order they are taken, and h and c at last.

    Masks are (rows, gates, lengths ..., channels).
    """
    gate, act = ACTIVATIONS[layer.recurrent_activation], ACTIVATIONS[layer.activation]
    kernels, states_of = np.split(layer.kernel, 4, -1), np.split(layer.recurrent_kernel, 4, -1)
    biases = [None] * 4 if layer.bias is None else np.split(layer.bias, 4)
    first = convolved(x[:, 0], of_window(kernels[0], None, layer, state=False))
    h, c = np.zeros_like(first, float), np.zeros_like(first, float)
    if states is not None:
        h, c = states
    found, y = [], np.zeros_like(h)
    steps = range(x.shape[1])
    for t in reversed(steps) if layer.go_backwards else steps:
        sums = []
        for g in range(4):
            given = x[:, t] if input_mask is None else x[:, t] * input_mask[:, g]
            before = h if state_mask is None else h * state_mask[:, g]
            sums.append(
                convolved(given, of_window(kernels[g], biases[g], layer, state=False)).astype(float)
                + convolved(before, of_window(states_of[g], None, layer, state=True))
            )
        i, f, new, o = sums
        c_after = gate(f) * c + gate(i) * act(new)
        h_after = gate(o) * act(c_after)
        taken = np.ones(len(x), bool) if time_mask is None else time_mask[:, t]
        taken = taken.reshape(-1, *(1,) * (h.ndim - 1))
        h, c = np.where(taken, h_after, h), np.where(taken, c_after, c)
        y = np.where(taken, h_after, y)
        found.append(y)
    return np.stack(found, 1), h, c


OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": "same", "use_bias": False},
    {"strides": 2},
    {"dilation_rate": 2, "padding": "same"},
    {"go_backwards": True},
    {"activation": "relu", "recurrent_activation": "linear", "padding": "same"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_equations(backend: str, dims: int, options: dict[str, Any]) -> None:
    x = INPUTS[dims - 1]
    layer = layer_of(dims, return_sequences=True, return_state=True, **options)
    outputs = ["c", "c:1", "c:2"]
    model = fd.Model([fd.Call(layer, ["x"])], {"x": x.shape[1:]}, outputs=outputs)
    found = model.predict(x)
    for got, expected in zip(found, plain(x, layer), strict=True):
        assert_close(got, expected.astype(np.float32), FLOAT32)
    last = fd.Model([layer_of(dims, **options)], x.shape[1:])
    np.testing.assert_array_equal(last.predict(x), found[0][:, -1])


def test_rows_are_computed_by_themselves(backend: str) -> None:
    x = INPUTS[1]
    layer = layer_of(2, dropout=0.3, recurrent_dropout=0.4)
    model = fd.Model([layer], x.shape[1:])
    whole = model.predict(x)
    for n in range(len(x)):
        np.testing.assert_array_equal(model.predict(x[n : n + 1])[0], whole[n])
    assert model.predict(x[:0]).shape == (0, *whole.shape[1:])
    samples = model.mc_predict(x, 6, rng=4, keep_samples=True).samples
    again = model.mc_predict(x, 6, rng=4, keep_samples=True, threads=2).samples
    np.testing.assert_array_equal(again, samples)
    part = model.mc_predict(x[2:], 2, rng=4, keep_samples=True, row_offset=2, first_sample=3)
    np.testing.assert_array_equal(part.samples, samples[3:5, 2:])


@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.0, 0.3), (0.25, 0.5)])
@pytest.mark.parametrize("dims", [1, 2])
def test_masks_are_of_gates_and_rows(backend: str, dims: int, rates: tuple[float, float]) -> None:
    """As for an LSTM whose features are all numbers of a step, or of a state."""
    x = INPUTS[dims - 1]
    layer = layer_of(dims, dropout=rates[0], recurrent_dropout=rates[1], return_sequences=True)
    model = fd.Model([layer], x.shape[1:])
    key = fd.Key.from_words(5, 6)
    got = model.mc_predict(x, 3, rng=key, keep_samples=True).samples
    shapes = (x.shape[2:], model.output_shape[1:])
    for m in range(3):
        masks: list[Any] = []
        for site, (rate, shape) in enumerate(zip(rates, shapes, strict=True)):
            width = int(np.prod(shape))
            ones = np.ones((len(x), 4, width), np.float32)
            drawn = fd.dropout(ones, rate, rng=key.fold_in(0), stream=site << 32 | m)
            masks.append(None if rate == 0 else drawn.reshape(len(x), 4, *shape))
        expected, _, _ = plain(x, layer, None, *masks)
        assert_close(got[m], expected.astype(np.float32), FLOAT32)


def test_infinite_numbers_that_are_dropped_are_zeros(backend: str) -> None:
    layer = layer_of(1, dropout=1.0 - 1e-6)
    x = np.full((2, 3, 6, 2), np.inf, np.float32)
    drawn = fd.Model([layer], x.shape[1:]).mc_predict(x, 2, rng=0)
    assert np.isfinite(drawn.mean).all()


def test_steps_that_are_padding_change_nothing(backend: str) -> None:
    x = INPUTS[1]
    time_mask = np.random.default_rng(2).random(x.shape[:2]) < 0.6
    time_mask[0] = False
    for options in ({}, {"go_backwards": True}):
        layer = layer_of(2, return_sequences=True, return_state=True, **options)
        flows = layer.run([Flow(x[np.newaxis], time_mask[np.newaxis])], None)
        expected = plain(x, layer, time_mask=time_mask)
        for flow, wanted in zip(flows, expected, strict=True):
            assert_close(flow.values[0], wanted.astype(np.float32), FLOAT32)
        assert flows[0].mask is not None
        zeros = layer_of(2, return_sequences=True, zero_output_for_mask=True, **options)
        (flow,) = zeros.run([Flow(x[np.newaxis], time_mask[np.newaxis])], None)
        taken = time_mask[:, ::-1] if options else time_mask
        seen = taken.reshape(*taken.shape, 1, 1, 1)
        assert_close(flow.values[0], np.where(seen, expected[0], 0).astype(np.float32), FLOAT32)
        every = layer_of(2, return_sequences=True, uses_mask=False, **options)
        (flow,) = every.run([Flow(x[np.newaxis], time_mask[np.newaxis])], None)
        assert_close(flow.values[0], plain(x, every)[0].astype(np.float32), FLOAT32)
    of_places = np.ones((1, *x.shape[:3]), bool)
    with pytest.raises(ValueError, match="layer 'c': expected a mask of time steps, or of places"):
        layer_of(2).run([Flow(x[np.newaxis], of_places)], None)


def test_places_that_are_padding_change_nothing(backend: str) -> None:
    """A mask of places, as Masking makes it of images, decides for each of them."""
    x = INPUTS[1]
    mask = np.random.default_rng(3).random(x.shape[:-1]) < 0.7
    layer = layer_of(2, padding="same", return_state=True)
    y, h, c = layer.run([Flow(x[np.newaxis], mask[np.newaxis])], None)
    state = np.zeros((2, *x.shape[:1], *x.shape[2:4], FILTERS))
    for t in range(x.shape[1]):
        whole = plain(x[:, t : t + 1], layer, state)[1:]
        state = np.where(mask[:, t, ..., np.newaxis], whole, state)
    for flow, wanted in ((y, state[0]), (h, state[0]), (c, state[1])):
        assert_close(flow.values[0], wanted.astype(np.float32), FLOAT32)


def test_initial_states(backend: str) -> None:
    x, layer = INPUTS[1], layer_of(2, return_sequences=True)
    states = [normal(5, 4, 2, FILTERS), normal(5, 4, 2, FILTERS, seed=1)]
    shapes = {name: v.shape[1:] for name, v in zip("xhc", (x, *states), strict=True)}
    model = fd.Model([fd.Call(layer, ["x", "h", "c"])], shapes)
    got = model.predict({"x": x, "h": states[0], "c": states[1]})
    assert_close(got, plain(x, layer, states)[0].astype(np.float32), FLOAT32)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul"])
def test_two_directions(backend: str, merge_mode: str) -> None:
    x = INPUTS[0]
    ahead = layer_of(1, "a", return_sequences=True)
    back = layer_of(1, "b", seed=1, return_sequences=True, go_backwards=True)
    both = Bidirectional(name="b", forward=ahead, backward=back, merge_mode=merge_mode)
    one, two = plain(x, ahead)[0], plain(x, back)[0][:, ::-1]
    expected = {
        "concat": np.concatenate([one, two], -1),
        "sum": one + two,
        "ave": (one + two) / 2,
        "mul": one * two,
    }[merge_mode]
    got = fd.Model([both], x.shape[1:]).predict(x)
    assert_close(got, expected.astype(np.float32), FLOAT32)


@pytest.mark.parametrize("first", [False, True])
def test_a_stream_is_the_sequence(backend: str, first: bool) -> None:
    x = INPUTS[1]
    layer = layer_of(2, dropout=0.3, recurrent_dropout=0.3, return_sequences=True)
    if first:
        x, layer = np.moveaxis(x, -1, 2), ChannelsFirst(name="f", layer=layer, axis=1)
    model = fd.Model([layer], (None, *x.shape[2:]))
    whole = model.mc_predict(x, 4, rng=1, keep_samples=True).samples
    stream = model.stream(samples=4, rng=1, rows=len(x), keep_samples=True)
    for t in range(x.shape[1]):
        step = stream.step(x[:, t]).samples
        np.testing.assert_array_equal(step.reshape(whole[:, :, t].shape), whole[:, :, t])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ConvLSTM1D(
                name="c", kernel=normal(3, 2, 10), recurrent_kernel=normal(3, 2, 10)
            ),
            r"layer 'c' kernel: expected filters of 4 gates on its last axis, got \(3, 2, 10\)",
        ),
        (
            lambda: ConvLSTM1D(name="c", kernel=normal(3, 2, 8), recurrent_kernel=normal(2, 2, 8)),
            r"layer 'c' recurrent_kernel: expected shape \(3, 2, 8\), got \(2, 2, 8\)",
        ),
        (
            lambda: ConvLSTM2D(name="c", kernel=normal(3, 2, 8), recurrent_kernel=normal(3, 2, 8)),
            "layer 'c' kernel",
        ),
        (lambda: layer_of(1, dropout=1.5), "layer 'c' dropout: expected"),
        (lambda: layer_of(1, padding="causal"), "layer 'c' padding: expected 'valid' or 'same'"),
        (
            lambda: fd.Model([layer_of(2)], (3, 5, 2)),
            r"layer 'c': expected an input of shape \(time, height, width, channels\), got",
        ),
        (
            lambda: fd.Model([layer_of(2)], (3, None, 4, 2)),
            r"layer 'c': expected an input of shape \(time, ...\) of known lengths, got",
        ),
        (lambda: fd.Model([layer_of(2)], (3, 1, 4, 2)), "in which a window of 2 and 3 fits"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_rates_are_set_by_name() -> None:
    layer = layer_of(2).with_rates({"recurrent_dropout": 0.5})
    assert layer.rates() == {"dropout": 0.0, "recurrent_dropout": 0.5}
    assert layer.stochastic == "recurrent dropout 0.5 (per_gate)"
    model = fd.Model([layer], (3, 5, 4, 2))
    assert model.with_rates({"c": 0.25}).layers[0].rates()["dropout"] == 0.25
    with pytest.raises(ValueError, match="weight_dropout"):
        layer.with_rates({"weight_dropout": 0.5})
    with pytest.raises(ValueError, match="precision: expected none for a model without"):
        model.with_precision("bfloat16")


def test_keras_spells_it() -> None:
    config = {
        "filters": 3,
        "kernel_size": [2, 3],
        "strides": [1, 2],
        "padding": "same",
        "dilation_rate": [1, 1],
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": False,
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
        "return_sequences": True,
        "go_backwards": True,
    }
    layer = planned("ConvLSTM2D", (4, 6, 5, 2), KERAS_3, **config)
    assert layer.kernel.shape == (2, 3, 2, 12)
    assert layer.recurrent_kernel.shape == (2, 3, 3, 12)
    assert layer.bias is None
    options = ("strides", "padding", "activation", "recurrent_activation", "dropout")
    found = {option: getattr(layer, option) for option in options}
    assert found == {
        "strides": (1, 2),
        "padding": "same",
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
        "dropout": 0.1,
    }
    assert filled(layer).output_shapes([(4, 6, 5, 2)]) == [(4, 6, 3, 3)]

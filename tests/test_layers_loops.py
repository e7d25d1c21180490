"""Recurrent cells of the loop: against ONNX Runtime, PyTorch, and the layers that kernels run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Declared,
    Embedding,
    Flow,
    Masking,
    RecurrentLoop,
    SimpleRNN,
    SpatialDropout1D,
    StackedRNN,
)
from layer_laws import check_laws, normal
from references.make_loops import FILE
from references.stored import load
from tolerances import FLOAT32, assert_close

PLAIN: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": SimpleRNN}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
STORED = list(load(FILE))
X = normal(4, 5, 3)
MASK = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
# What no kernel has, by cell.
OWN: dict[str, dict[str, Any]] = {
    "lstm": {
        "peepholes": normal(3, 2, seed=7),
        "projection": normal(2, 4, seed=8),
        "clip": 1.5,
        "input_forget": True,
        "output_activation": ("affine", 0.5, 0.1),
    },
    "gru": {"clip": 0.8, "activation": ("scaled_tanh", 1.2, 0.7)},
    "rnn": {"clip": 0.8, "activation": ("hard_sigmoid", 0.3, 0.4)},
}


def weights(cell: str, features: int = 3, units: int = 2, out: int = 2) -> dict[str, Any]:
    width = GATES[cell] * units
    return {
        "kernel": normal(features, width, seed=1),
        "recurrent_kernel": normal(out, width, seed=2),
        "bias": normal(*((2, width) if cell == "gru" else (width,)), seed=3),
    }


def loop(cell: str, own: bool = False, **options: Any) -> RecurrentLoop:
    given = (OWN[cell] if own else {}) | options
    out = len(given["projection"][0]) if given.get("projection") is not None else 2
    features = given.pop("features", 3)
    name = given.pop("name", "loop")
    return RecurrentLoop(name=name, cell=cell, **weights(cell, features, out=out) | given)


def kernels(cell: str, **options: Any) -> Any:
    return PLAIN[cell](name="kernels", **weights(cell) | options)


def run(layer: Any, x: np.ndarray, mask: Any = None, states: Any = ()) -> list[Flow]:
    flow = Flow(x[np.newaxis], None if mask is None else mask[np.newaxis])
    shapes = layer.output_shapes([x.shape[1:], *(s.shape[1:] for s in states)])
    flows = layer.run([flow, *(Flow(s[np.newaxis]) for s in states)], None)
    assert [f.values.shape[2:] for f in flows] == shapes
    return flows


# ---- other libraries ----


@pytest.mark.parametrize(
    ("options", "arrays", "outputs"), [case[1:] for case in STORED], ids=[c[0] for c in STORED]
)
def test_known_answers(backend: str, options: Any, arrays: Any, outputs: Any) -> None:
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    arrays = dict(arrays)
    x, mask = arrays.pop("x"), arrays.pop("mask", None)
    states = [arrays.pop(name) for name in ("h", "c") if name in arrays]
    layer = RecurrentLoop(
        name="loop", return_state=True, return_sequences=True, **options, **arrays
    )
    y, *final = run(replace(layer, zero_output_for_mask=mask is not None), x, mask, states)
    assert_close(y.values[0], outputs["y"], FLOAT32)
    for got, name in zip(final, ("h", "c"), strict=False):
        assert_close(got.values[0], outputs[name], FLOAT32)
    last = run(replace(layer, return_sequences=False, return_state=False), x, mask, states)
    assert np.array_equal(last[0].values, final[0].values)


# ---- the layers that kernels run ----


@pytest.mark.parametrize("with_states", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("masked", [False, True], ids=["all steps", "masked"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("cell", PLAIN)
def test_what_kernels_have_too(
    backend: str, cell: str, sequences: bool, masked: bool, with_states: bool
) -> None:
    mask = MASK if masked else None
    states = [normal(4, 2, seed=i) for i in range(1 + (cell == "lstm"))] * with_states
    for options in (
        {},
        {"go_backwards": True},
        {"zero_output_for_mask": True},
        {"bias": None},
        {"activation": ("leaky_relu", 0.1)},
        *([] if cell == "rnn" else [{"recurrent_activation": "hard_sigmoid"}]),
        *([{"reset_after": False, "bias": normal(6)}] if cell == "gru" else []),
    ):
        both = options | {"return_sequences": sequences, "return_state": True}
        found, expected = (run(f(cell, **both), X, mask, states) for f in (loop, kernels))
        for got, wanted in zip(found, expected, strict=True):
            assert_close(got.values, wanted.values, FLOAT32)
            assert (got.mask is None) is (wanted.mask is None)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize(
    ("cell", "scheme"),
    [
        ("rnn", "tied"),
        *((c, s) for c in ("lstm", "gru") for s in ("per_gate", "tied", "per_step", "keras")),
        ("lstm", "tf_keras"),
    ],
)
def test_the_same_masks(backend: str, cell: str, scheme: str, scope: str) -> None:
    """Of the same elements and streams, as their results show; row by row and sample by sample."""
    options: dict[str, Any] = {"dropout": 0.4}
    if scheme not in ("per_step", "tf_keras"):
        options["recurrent_dropout"] = 0.3
    if cell != "rnn":
        options["scheme"] = scheme
    if cell == "gru":
        options |= {"reset_after": False, "bias": normal(6)}
    call: dict[str, Any] = {"rng": 5, "scope": scope, "keep_samples": True}
    models = [fd.Model([f(cell, **options)], (5, 3)) for f in (loop, kernels)]
    got, expected = (model.mc_predict(X, 6, **call).samples for model in models)
    assert_close(got, expected, FLOAT32)
    part = models[0].mc_predict(X[1:3], 2, row_offset=1, first_sample=3, threads=2, **call)
    assert np.array_equal(part.samples, got[3:5, 1:3])


def test_masks_replayed() -> None:
    """A sample is `fastdrop.lstm` under the call's key."""
    key = fd.Key(4)
    layer = loop("lstm", dropout=0.5, recurrent_dropout=0.25)
    got = fd.Model([layer], (5, 3)).mc_predict(X, 3, rng=key, keep_samples=True).samples
    for m in range(3):
        expected = fd.lstm(
            X, **weights("lstm"), dropout=0.5, recurrent_dropout=0.25, rng=key.fold_in(0), sample=m
        )
        assert_close(got[m], expected, FLOAT32)


# ---- laws ----


@pytest.mark.parametrize("own", [False, True], ids=["plain", "own"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("cell", PLAIN)
def test_laws(backend: str, cell: str, sequences: bool, own: bool) -> None:
    check_laws(loop(cell, own, return_sequences=sequences, uses_mask=False), normal(7, 5, 3))


@pytest.mark.parametrize("cell", PLAIN)
def test_rate_0_is_no_dropout(cell: str) -> None:
    """Bit for bit, and so is one mask for all gates what as many equal ones are."""
    layer = loop(cell, True)
    factors = np.array([[[0, 2, 2]], [[2, 0, 2]], [[2, 2, 2]], [[0, 0, 0]]], np.float32)
    held = np.tile(np.array([2, 0, 0, 2][: layer.units], np.float32), (4, 1, 1))
    nothing = {"mask": None, "initial_state": None, "embedding": None, "embedding_mask": None}

    def steps(input_mask: Any, recurrent_mask: Any) -> np.ndarray:
        return layer._take_steps(
            X, input_mask=input_mask, recurrent_mask=recurrent_mask, **nothing
        )[0]

    gates = layer.gates
    ones = np.ones((4, gates, 3), np.float32), np.ones((1, gates, layer.units), np.float32)
    assert np.array_equal(steps(None, None), run(layer, X)[0].values[0])
    assert np.array_equal(steps(*ones), steps(None, None))
    tied, each = steps(factors, held), (np.tile(mask, (1, gates, 1)) for mask in (factors, held))
    assert np.array_equal(steps(*each), tied)
    assert not np.array_equal(tied, steps(None, None))


@pytest.mark.parametrize("cell", PLAIN)
def test_nan_stays_in_its_row(cell: str) -> None:
    layer = loop(cell, True)
    x = X.copy()
    x[1] = np.nan
    with np.errstate(all="raise"):
        got, expected = run(layer, x)[0].values[0], run(layer, X)[0].values[0]
    assert np.isnan(got[1]).all()
    assert np.array_equal(np.delete(got, 1, 0), np.delete(expected, 1, 0))


def test_no_steps() -> None:
    layer = loop("lstm", True, return_state=True)
    states = [normal(4, 4), normal(4, 2)]
    y, h, c = run(layer, X[:, :0], None, states)
    assert np.array_equal(y.values, h.values)
    assert np.array_equal(h.values[0], states[0])
    assert np.array_equal(c.values[0], states[1])


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("padded", [False, True], ids=["all steps", "padded"])
@pytest.mark.parametrize("scheme", ["per_gate", "per_step"])
@pytest.mark.parametrize("cell", PLAIN)
def test_a_step_at_a_time(cell: str, scheme: str, padded: bool, sequences: bool) -> None:
    rates = {"dropout": 0.3, "recurrent_dropout": 0.2 * (scheme == "per_gate")}
    layer = loop(cell, True, scheme=scheme, return_sequences=sequences, **rates)
    model = fd.Model([*([Masking(name="m")] * padded), layer], (5, 3))
    x = X * MASK[..., np.newaxis] if padded else X
    options: dict[str, Any] = {"samples": 3, "rng": 1, "keep_samples": True}
    whole = model.mc_predict(x, **options).samples
    stream = model.stream(rows=4, **options)
    for t in range(5):
        got = stream.step(x[:, t]).samples
        if sequences:
            assert np.array_equal(got.reshape(3, 4, -1), whole[:, :, t])
    assert np.array_equal(got.reshape(3, 4, -1), whole[:, :, -1] if sequences else whole)


# ---- in other layers ----


def test_in_two_directions_and_after_a_table() -> None:
    """With channels that were dropped from the table, which it does not take itself."""
    words = Embedding(name="e", table=normal(6, 3))
    tokens = np.arange(20).reshape(4, 5) % 6
    pairs = []
    for make in (loop, kernels):
        rates = {"dropout": 0.3, "recurrent_dropout": 0.2, "return_sequences": True}
        halves = [make("lstm", **rates), make("lstm", **rates, go_backwards=True)]
        pairs.append(Bidirectional(name="b", forward=halves[0], backward=halves[1]))
    options: dict[str, Any] = {"samples": 4, "rng": 0, "keep_samples": True}
    got, expected = (
        fd.Model([words, SpatialDropout1D(name="s", rate=0.5), pair], (5,))
        .mc_predict(tokens, **options)
        .samples
        for pair in pairs
    )
    assert_close(got, expected, FLOAT32)


def test_in_a_stack() -> None:
    cells = (
        loop("lstm", True, return_sequences=True, recurrent_dropout=0.2, name="first"),
        loop("gru", True, features=4, name="second", dropout=0.1),
    )
    stack = StackedRNN(name="s", cells=cells)
    (both,) = run(stack, X)
    (first,) = run(cells[0], X)
    assert np.array_equal(both.values, run(cells[1], first.values[0])[0].values)
    assert stack.rates() == {"dropout": 0, "recurrent_dropout": 0.2}


def test_rates_and_precision() -> None:
    layer = loop("lstm", True)
    changed = layer.with_rates({"dropout": 0.5})
    assert (changed.dropout, changed.gates, changed.clip) == (0.5, 4, 1.5)
    rounded = fd.Model([loop("gru")], (5, 3)).with_precision("bfloat16")
    assert rounded.notes == ("layer 'loop': products are taken in float32, for it has no others",)
    assert np.array_equal(rounded.predict(X), fd.Model([loop("gru")], (5, 3)).predict(X))


def test_declared_weights() -> None:
    layer = RecurrentLoop.declare(
        [(5, 3)], name="l", units=2, cell="lstm", peepholes=True, projection=4
    )
    assert {name: weight.shape for name, weight in layer.weights().items()} == {
        "kernel": (3, 8),
        "recurrent_kernel": (4, 8),
        "bias": (8,),
        "peepholes": (3, 2),
        "projection": (2, 4),
    }
    assert layer.output_shapes([(5, 3), (4,), (2,)]) == [(4,)]
    gru = RecurrentLoop.declare([(5, 3)], name="l", units=2, cell="gru")
    assert gru.bias == Declared((2, 6))
    before = RecurrentLoop.declare([(5, 3)], name="l", units=2, cell="gru", reset_after=False)
    assert before.bias == Declared((6,))
    assert RecurrentLoop.declare([(5, 3)], name="l", units=2, use_bias=False).bias is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: loop("lstm", cell="gpu"), "multiple values"),
        (lambda: RecurrentLoop(name="l", cell="x", **weights("rnn")), "cell: expected 'lstm'"),
        (lambda: loop("gru", peepholes=normal(3, 2)), "peepholes: expected None, but for an LSTM"),
        (lambda: loop("rnn", output_activation="tanh"), "output_activation: expected None"),
        (lambda: loop("gru", input_forget=True), "input_forget: expected False, but for an LSTM"),
        (lambda: loop("lstm", clip=0), "clip: expected None or a number above 0"),
        (lambda: loop("lstm", clip=np.inf), "clip: expected a finite number"),
        (lambda: loop("lstm", peepholes=normal(2, 2)), r"peepholes: expected shape \(3, 2\)"),
        (lambda: loop("gru", reset_after=False), "bias: expected an array of 1 dimensions"),
        (lambda: loop("lstm", reset_after=1), "reset_after: expected True or False"),
        (lambda: loop("lstm", activation=("affine", 1, "2")), "activation beta: expected a finite"),
        (lambda: loop("lstm", activation="affine"), "activation: expected one of 32 names"),
        (
            lambda: run(loop("lstm", True), X, None, [normal(4, 4), normal(4, 4)]),
            r"expected an input of shape \(2,\) as a state",
        ),
    ],
    ids=[
        "cell twice",
        "cell",
        "peepholes of a gru",
        "output activation of an rnn",
        "coupled gates of a gru",
        "clip 0",
        "clip infinite",
        "peepholes of another shape",
        "one bias",
        "no flag",
        "beta a text",
        "no alpha",
        "state c of another width",
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_loops_drop_no_weights() -> None:
    with pytest.raises(ValueError, match="layer 'l' weight_dropout: expected 0 of a cell"):
        RecurrentLoop(
            name="l", kernel=normal(3, 8), recurrent_kernel=normal(2, 8), weight_dropout=0.1
        )

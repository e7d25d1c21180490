"""Recurrent layers, stacks, pairs and TimeDistributed: against loops over time in float64."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Concatenate,
    Dense,
    Draw,
    Dropout,
    Embedding,
    Flow,
    LayerNormalization,
    Masking,
    Merge,
    SimpleRNN,
    StackedRNN,
    TimeDistributed,
)
from layer_laws import check_laws, normal, planned

CELLS = {"lstm": (LSTM, 4), "gru": (GRU, 3), "simple_rnn": (SimpleRNN, 1)}
MASK = np.array([[0, 1, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
X = normal(4, 5, 3)


def cell(kind: str, features: int = 3, units: int = 2, seed: int = 0, **options: Any) -> Any:
    made, gates = CELLS[kind]
    width = gates * units
    return made(
        name=options.pop("name", kind),
        kernel=normal(features, width, seed=seed),
        recurrent_kernel=normal(units, width, seed=seed + 1),
        bias=normal(*((2, width) if kind == "gru" else (width,)), seed=seed + 2),
        **options,
    )


# ---- the formulas ----


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(layer: Any, x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
    """One step of one row: the new state, whose first part is the output."""
    k, r, b = (np.asarray(a, float) for a in (layer.kernel, layer.recurrent_kernel, layer.bias))
    h = state[0]
    if isinstance(layer, SimpleRNN):
        return [np.tanh(x @ k + b + h @ r)]
    if isinstance(layer, GRU):
        xz, xr, xh = np.split(x @ k + b[0], 3)
        hz, hr, hh = np.split(h @ r + b[1], 3)
        z = sigmoid(xz + hz)
        return [z * h + (1 - z) * np.tanh(xh + sigmoid(xr + hr) * hh)]
    i, f, g, o = np.split(x @ k + b + h @ r, 4)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def over_time(
    layer: Any, x: np.ndarray, mask: Any = None, states: Any = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """All rows: the outputs and the final states; outputs in the order of the steps taken."""
    outputs, finals = [], []
    for n in range(len(x)):
        state = [np.zeros(layer.units) for _ in layer.state_names]
        if states:
            state = [np.asarray(s[n], float) for s in states]
        y, ys = np.zeros(layer.units), []
        for t in reversed(range(x.shape[1])) if layer.go_backwards else range(x.shape[1]):
            if mask is None or mask[n, t]:
                state = step(layer, x[n, t].astype(float), state)
                y = state[0]
                ys.append(y)
            else:
                ys.append(np.zeros(layer.units) if layer.zero_output_for_mask else y)
        # Without sequences it is the last step taken that counts, never zeros.
        outputs.append(ys if layer.return_sequences else y)
        finals.append(state)
    return np.array(outputs), [np.array([f[i] for f in finals]) for i in range(len(finals[0]))]


def run(layer: Any, x: np.ndarray, mask: Any = None, states: Any = (), draw: Any = None) -> Any:
    flow = Flow(x[np.newaxis], None if mask is None else mask[np.newaxis])
    shapes = layer.output_shapes([x.shape[1:], *(s.shape[1:] for s in states)])
    flows = layer.run([flow, *(Flow(s[np.newaxis]) for s in states)], draw)
    assert [f.values.shape[2:] for f in flows] == shapes
    assert all(f.values.dtype == np.float32 for f in flows)
    return flows


def close(got: Flow, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got.values[0], expected, rtol=1e-5, atol=1e-6)


# ---- one layer ----


@pytest.mark.parametrize("with_states", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_a_layer(
    backend: str, kind: str, sequences: bool, backwards: bool, masked: bool, with_states: bool
) -> None:
    for zeros in (False, True) if masked and sequences else (False,):
        layer = cell(
            kind,
            return_sequences=sequences,
            go_backwards=backwards,
            return_state=True,
            zero_output_for_mask=zeros,
        )
        mask = MASK if masked else None
        states = [normal(4, 2, seed=i) for i in range(len(layer.state_names))] * with_states
        y, *final = run(layer, X, mask, states)
        expected, expected_final = over_time(layer, X, mask, states)
        close(y, expected)
        for got, e in zip(final, expected_final, strict=True):
            close(got, e)
            assert got.mask is None
        assert (y.mask is not None) is (masked and sequences)
        # The same without states put out; and ignoring the mask, which goes on all the same.
        (alone,) = run(replace(layer, return_state=False), X, mask, states)
        assert np.array_equal(alone.values, y.values)
        ignored = run(replace(layer, uses_mask=False), X, mask, states)[0]
        assert np.array_equal(ignored.values, run(layer, X, None, states)[0].values)
        assert (ignored.mask is not None) is (masked and sequences)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", CELLS)
def test_laws(kind: str, sequences: bool) -> None:
    check_laws_without_masks_that_count(cell(kind, return_sequences=sequences))


def check_laws_without_masks_that_count(layer: Any) -> None:
    """The laws of layers, for what uses time masks: they are the same with masks ignored."""

    def ignoring(part: Any) -> Any:
        if hasattr(part, "cells"):
            return replace(part, cells=tuple(map(ignoring, part.cells)))
        if isinstance(part, Bidirectional):
            return replace(part, forward=ignoring(part.forward), backward=ignoring(part.backward))
        return replace(part, uses_mask=False)

    check_laws(ignoring(layer), normal(7, 5, 3))


def test_states_of_samples_and_rows() -> None:
    """States may be random where the sequence is not."""
    layer = cell("gru", return_state=True)
    states = normal(3, 4, 2)
    y, final = layer.run([Flow(X[np.newaxis]), Flow(states)], None)
    assert y.values.shape == final.values.shape == (3, 4, 2)
    for m in range(3):
        close(Flow(y.values[m : m + 1]), over_time(layer, X, None, [states[m]])[0])


def test_masks_of_samples_and_rows() -> None:
    """Masks may be random where the sequence is not."""
    layer = cell("gru", return_sequences=True)
    masks = np.random.default_rng(0).random((3, 4, 5)) < 0.6
    (flow,) = layer.run([Flow(X[np.newaxis], masks)], None)
    for m in range(3):
        close(Flow(flow.values[m : m + 1]), over_time(layer, X, masks[m])[0])


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_channels_dropped_from_a_table(backend: str, scope: str) -> None:
    """The factors of an embedding reach the layer, as if its rows had been looked up."""
    words = Embedding(name="e", table=normal(6, 3))
    tokens = np.arange(20).reshape(4, 5) % 6
    drop = fd.layers.SpatialDropout1D(name="s", rate=0.5)
    options: dict[str, Any] = {"samples": 4, "rng": 0, "scope": scope, "keep_samples": True}
    kept, looked_up = (
        fd.Model([words, drop, *between, cell("lstm")], (5,)).mc_predict(tokens, **options).samples
        for between in ([], [Dense(name="d", kernel=np.eye(3, dtype=np.float32))])
    )
    assert np.ptp(kept, axis=0).any()
    assert np.array_equal(kept, looked_up)


def test_states_in_a_model() -> None:
    encoder = cell("lstm", return_state=True, name="encoder", dropout=0.3)
    decoder = cell("lstm", seed=5, return_sequences=True, name="decoder", recurrent_dropout=0.3)
    calls = [
        fd.Call(encoder, "question"),
        fd.Call(decoder, ["answer", "encoder:1", "encoder:2"]),
    ]
    model = fd.Model(calls, {"question": (None, 3), "answer": (None, 3)})
    answer = normal(4, 6, 3, seed=3)
    _, h, c = over_time(encoder, X)[0], *over_time(encoder, X)[1]
    np.testing.assert_allclose(
        model.predict([X, answer]),
        over_time(decoder, answer, None, [h, c])[0],
        rtol=1e-4,
        atol=1e-6,
    )
    p = model.mc_predict([X, answer], samples=3, rng=4, keep_samples=True).samples
    for m in range(3):
        _, h, c = fd.lstm(
            X,
            encoder.kernel,
            encoder.recurrent_kernel,
            encoder.bias,
            dropout=0.3,
            rng=fd.Key(4).fold_in(0),
            sample=m,
            return_state=True,
        )
        expected = fd.lstm(
            answer,
            decoder.kernel,
            decoder.recurrent_kernel,
            decoder.bias,
            recurrent_dropout=0.3,
            rng=fd.Key(4).fold_in(1),
            sample=m,
            initial_state=(h, c),
            return_sequences=True,
        )
        assert np.array_equal(p[m], expected)


# ---- schemes ----


@pytest.mark.parametrize(
    ("scheme", "dropout", "recurrent", "drawn"),
    [
        ("keras", 0.3, 0.0, "tied"),
        ("keras", 0.0, 0.3, "per_gate"),
        ("keras", 0.3, 0.3, "per_gate"),
        ("tf_keras", 0.3, 0.0, "per_step"),
        ("tf_keras", 0.3, 0.3, "per_gate"),
        ("tf_keras_early", 0.3, 0.0, "per_step"),
        ("tf_keras_early", 0.3, 0.3, "tied"),
        ("per_gate", 0.3, 0.0, "per_gate"),
        ("tied", 0.3, 0.3, "tied"),
        ("per_step", 0.3, 0.0, "per_step"),
    ],
)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_how_masks_are_drawn(
    kind: str, scheme: str, dropout: float, recurrent: float, drawn: str
) -> None:
    rates = {"dropout": dropout, "recurrent_dropout": recurrent}
    layer = cell(kind, scheme=scheme, **rates)
    assert layer.drawn_scheme == drawn
    assert layer.stochastic.endswith(f"({drawn})")
    options: dict[str, Any] = {"samples": 3, "rng": 2, "keep_samples": True}
    got, expected = (
        fd.Model([each], (5, 3)).mc_predict(X, **options).samples
        for each in (layer, replace(layer, scheme=drawn))
    )
    assert np.array_equal(got, expected)


def test_simple_rnns_have_one_mask() -> None:
    layer = cell("simple_rnn", dropout=0.3, recurrent_dropout=0.2)
    assert layer.drawn_scheme == "tied"
    assert layer.stochastic == "input dropout 0.3, recurrent dropout 0.2"
    assert cell("gru").stochastic == ""


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_steps_dropped_of_a_random_input(backend: str, scope: str) -> None:
    """Each sample drops from its own values, and rows are numbered from the first."""
    layer = cell("lstm", scheme="per_step", dropout=0.5, return_sequences=True)
    model = fd.Model([Dropout(name="d", rate=0.4), layer], (5, 3))
    options: dict[str, Any] = {"rng": 3, "scope": scope, "keep_samples": True}
    whole = model.mc_predict(X, samples=4, **options).samples
    part = model.mc_predict(X[1:3], samples=2, row_offset=1, first_sample=2, **options).samples
    assert np.array_equal(part, whole[2:, 1:3])
    table = Embedding(name="e", table=normal(6, 3))
    tokens = np.arange(10).reshape(2, 5) % 6
    looked_up, kept = (
        fd.Model([table, between, layer], (5,)).mc_predict(tokens, samples=3, **options).samples
        for between in (Dropout(name="n", rate=0.0), fd.layers.SpatialDropout1D(name="n", rate=0.0))
    )
    assert np.array_equal(looked_up, kept)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("kind", CELLS)
def test_dropped_weights_are_those_of_drop_connect(backend: str, kind: str, direction: int) -> None:
    """One mask for all rows and steps of a sample, beside masks that are each row's own."""
    rates = {"dropout": 0.2, "recurrent_dropout": 0.3}
    layer = cell(kind, weight_dropout=0.4, return_sequences=True, **rates)
    draw = Draw(key=fd.Key(5), samples=range(3, 6), first_row=2, rows=4)
    (got, _) = layer.outputs(Flow(X[np.newaxis]), [], draw, direction)
    for j, sample in enumerate(draw.samples):
        stream = (8 * direction + 5) << 32 | sample
        kept = fd.drop_connect(layer.recurrent_kernel, 0.4, rng=draw.key, stream=stream)
        assert (kept == 0).any()
        plain = replace(layer, recurrent_kernel=kept, weight_dropout=0.0)
        one = replace(draw, samples=range(sample, sample + 1))
        (expected, _) = plain.outputs(Flow(X[np.newaxis]), [], one, direction)
        assert np.array_equal(got[j], expected[0])


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_dropped_weights_are_those_of_a_sample(backend: str, scope: str) -> None:
    layers = [
        Bidirectional(
            name="b",
            forward=cell("lstm", weight_dropout=0.4),
            backward=cell("lstm", seed=5, weight_dropout=0.2, go_backwards=True),
        )
    ]
    model = fd.Model(layers, (5, 3))
    assert model.stochastic
    options: dict[str, Any] = {"rng": 3, "scope": scope, "keep_samples": True}
    whole = model.mc_predict(X, samples=4, **options).samples
    part = model.mc_predict(X[1:3], samples=2, row_offset=1, first_sample=2, **options).samples
    assert np.array_equal(part, whole[2:, 1:3])
    assert whole.std(axis=0).min() > 0
    alike = model.mc_predict(np.repeat(X[:1], 4, axis=0), samples=4, **options).samples
    assert np.array_equal(alike, np.repeat(alike[:, :1], 4, axis=1))


def test_rates_of_weights_are_set_by_their_name() -> None:
    model = fd.Model([cell("gru", name="g")], (5, 3))
    assert model.layers[0].rates() == {"dropout": 0.0, "recurrent_dropout": 0.0}
    some = model.with_rates({"g": {"weight_dropout": 0.3}})
    assert some.layers[0].rates()["weight_dropout"] == 0.3
    assert some.layers[0].stochastic == "weight dropout 0.3 (per_gate)"
    both = some.with_rates(0.1).layers[0].rates()
    assert both == {"dropout": 0.1, "recurrent_dropout": 0.1, "weight_dropout": 0.3}
    pair = Bidirectional(name="b", forward=cell("gru"), backward=cell("gru", go_backwards=True))
    changed = fd.Model([pair], (5, 3)).with_rates({"b": {"weight_dropout": 0.2}}).layers[0]
    assert [part.weight_dropout for part in changed.parts] == [0.2, 0.2]
    with pytest.raises(ValueError, match="'dropout', 'recurrent_dropout' or 'weight_dropout'"):
        model.with_rates({"g": {"zoneout": 0.1}})
    with pytest.raises(ValueError, match="layer 'g' weight_dropout: expected"):
        model.with_rates({"g": {"weight_dropout": 1.0}})


def test_work_of_a_layer() -> None:
    """Masks, and where each step has its own the input again and what drops from it."""
    plain = cell("lstm", dropout=0.5)
    assert plain.work_elements([(5, 3)]) == 12
    steps = cell("lstm", dropout=0.5, scheme="per_step")
    assert steps.work_elements([(5, 3)]) == 12 + 2 * 5 * 3
    assert cell("lstm", scheme="per_step").work_elements([(5, 3)]) == 12


def test_masks_beside_dropped_steps() -> None:
    """Padding is passed over whatever is dropped."""
    layer = cell("lstm", scheme="per_step", dropout=0.5)
    model = fd.Model([Masking(name="m"), layer], (None, 3))
    padded = np.concatenate([X, np.zeros((4, 2, 3), "f4")], axis=1)
    a, b = (model.mc_predict(x, samples=3, rng=0, keep_samples=True).samples for x in (X, padded))
    assert np.array_equal(a, b)


def test_dropped_infinities_are_zero() -> None:
    layer = cell("lstm", scheme="per_step", dropout=0.5)
    x = np.full((1, 40, 3), 3e38, np.float32)
    x[0, ::2] = np.inf
    p = fd.Model([layer], (40, 3)).mc_predict(x, samples=5, rng=0, keep_samples=True)
    flow = layer._drop_steps(
        Flow(x[np.newaxis]), Draw(key=fd.Key(0), samples=range(3), first_row=0, rows=1), 0, 0
    )
    assert not np.isnan(flow.values).any()
    assert (flow.values == 0).any()
    assert p.samples.shape == (5, 1, 2)


def test_a_rate_that_drops_nothing_is_none() -> None:
    """What is drawn goes by what is dropped: less than a 2**32nd is not."""
    for scheme in ("keras", "tf_keras", "tf_keras_early"):
        none, least = (cell("lstm", scheme=scheme, recurrent_dropout=r) for r in (0.0, 1e-12))
        assert least.drawn_scheme == none.drawn_scheme


# ---- two directions ----


def pair(kind: str = "lstm", merge_mode: Any = "concat", **options: Any) -> Bidirectional:
    return Bidirectional(
        name="b",
        forward=cell(kind, seed=1, name="f", **options),
        backward=cell(kind, seed=7, name="g", go_backwards=True, **options),
        merge_mode=merge_mode,
    )


def both_over_time(layer: Bidirectional, x: np.ndarray, mask: Any, states: Any) -> list[np.ndarray]:
    half = len(states) // 2
    ahead, first = over_time(layer.forward, x, mask, states[:half])
    back, last = over_time(layer.backward, x, mask, states[half:])
    if layer.forward.return_sequences:
        back = back[:, ::-1]
    merged = {
        "concat": lambda: [np.concatenate([ahead, back], axis=-1)],
        "sum": lambda: [ahead + back],
        "mul": lambda: [ahead * back],
        "ave": lambda: [(ahead + back) / 2],
        None: lambda: [ahead, back],
    }[layer.merge_mode]()
    return merged + (first + last if layer.forward.return_state else [])


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    "options", [{}, {"return_sequences": True}, {"return_state": True}], ids=str
)
def test_bidirectional(kind: str, merge_mode: Any, options: Any) -> None:
    layer = pair(kind, merge_mode, **options)
    count = 2 * len(layer.forward.state_names)
    for mask in (None, MASK):
        for states in ([], [normal(4, 2, seed=i) for i in range(count)]):
            flows = run(layer, X, mask, states)
            expected = both_over_time(layer, X, mask, states)
            assert len(flows) == len(expected)
            for flow, e in zip(flows, expected, strict=True):
                close(flow, e)
            masks = [flow.mask is not None for flow in flows]
            passes = mask is not None and "return_sequences" in options
            assert masks == [passes] * (2 if merge_mode is None else 1) + [False] * (
                count if layer.forward.return_state else 0
            )
    if merge_mode is not None and not options.get("return_state"):
        check_laws_without_masks_that_count(layer)


def test_one_direction_that_is_random() -> None:
    layer = pair()
    forward = replace(layer.forward, dropout=0.5)
    model = fd.Model([replace(layer, forward=forward)], (5, 3))
    p = model.mc_predict(X, samples=4, rng=0, keep_samples=True).samples
    assert (np.ptp(p[..., :2], axis=0) > 0).any()
    assert np.array_equal(p[..., 2:], np.broadcast_to(model.predict(X)[:, 2:], (4, 4, 2)))


def test_work_and_masks_of_a_pair() -> None:
    """At least the outputs of both, and the masks of the larger one."""
    layer = pair(return_sequences=True)
    assert layer.work_elements([(5, 3)]) >= 2 * 5 * 2 + 2 * 12
    assert layer.mask_elements([(5, 3)]) == 12
    wide = replace(
        layer, backward=cell("lstm", 3, 9, name="g", return_sequences=True, go_backwards=True)
    )
    assert wide.mask_elements([(5, 3)]) == 36
    assert wide.output_shapes([(5, 3)]) == [(5, 11)]
    assert run(wide, X)[0].values.shape == (1, 4, 5, 11)
    assert (
        replace(
            wide,
            forward=wide.backward.__class__(
                name="f",
                kernel=wide.backward.kernel,
                recurrent_kernel=wide.backward.recurrent_kernel,
                return_sequences=True,
            ),
        ).mask_elements([(5, 3)])
        == 36
    )


# ---- stacks ----


def stack(*kinds: str, last: bool = False, backwards: bool = False, **options: Any) -> StackedRNN:
    cells, features = [], 3
    for i, kind in enumerate(kinds):
        cells.append(
            cell(
                kind,
                features,
                2 + i,
                seed=3 * i,
                name=f"c{i}",
                return_sequences=i < len(kinds) - 1 or last,
                go_backwards=backwards and i == 0,
                **options,
            )
        )
        features = 2 + i
    return StackedRNN(name="s", cells=tuple(cells))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kinds", [("lstm", "gru"), ("simple_rnn", "lstm", "lstm"), ("gru",)])
def test_stacks(kinds: Any, masked: bool, backwards: bool, last: bool) -> None:
    layer = stack(*kinds, last=last, backwards=backwards, return_state=True)
    mask = MASK if masked else None
    wanted = [(len(c.state_names), c.units) for c in layer.cells]
    shapes = [units for count, units in wanted for _ in range(count)]
    for states in ([], [normal(4, units, seed=i) for i, units in enumerate(shapes)]):
        flows = run(layer, X, mask, states)
        y, left, final = X, list(states), []
        taken = mask
        for i, each in enumerate(layer.cells):
            own = [left.pop(0) for _ in each.state_names] if states else None
            y, some = over_time(each, y, taken, own)
            final += some
            if i == 0 and backwards and taken is not None:
                taken = taken[:, ::-1]
        for flow, e in zip(flows, [y, *final], strict=True):
            close(flow, e)
        assert (flows[0].mask is not None) is (masked and last)
    assert (layer.units, layer.return_sequences) == (layer.cells[-1].units, last)
    assert (layer.return_state, layer.go_backwards) == (True, backwards)
    assert layer.passes_mask is last
    if len(kinds) > 1:
        check_laws_without_masks_that_count(stack(*kinds, last=last, backwards=backwards))


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_masks_of_stacks(backend: str, scope: str) -> None:
    """Cell i of direction d draws at the sites 8 * (2 * i + d) and the next."""
    options = {"dropout": 0.3, "recurrent_dropout": 0.4}
    one = stack("lstm", "gru", last=True, **options)
    other = stack("lstm", "gru", last=True, backwards=True, **options)
    layer = Bidirectional(name="b", forward=one, backward=other)
    model = fd.Model([layer], (5, 3))
    p = model.mc_predict(X, samples=2, rng=8, scope=scope, row_offset=2, keep_samples=True).samples
    for m in range(2):
        outputs = []
        for d, half in enumerate((one, other)):
            y = X
            for i, each in enumerate(half.cells):
                y = fd.rnn(
                    y,
                    each.packed,
                    **options,
                    rng=fd.Key(8).fold_in(0),
                    site=8 * (2 * i + d),
                    sample=m,
                    scope=scope,
                    row_offset=2,
                    go_backwards=each.go_backwards,
                    return_sequences=True,
                )
            outputs.append(y if d == 0 else y[:, ::-1])
        assert np.array_equal(p[m], np.concatenate(outputs, axis=-1))


def test_rates_of_stacks() -> None:
    """Those of all cells change; what they say of themselves is said once where it is the same."""
    layer = stack("lstm", "gru", dropout=0.5)
    changed = layer.with_rates({"dropout": 0.25})
    assert [each.dropout for each in changed.cells] == [0.25, 0.25]
    assert [each.dropout for each in layer.cells] == [0.5, 0.5]
    assert layer.stochastic == "input dropout 0.5 (per_gate)"
    mixed = replace(layer, cells=(layer.cells[0], changed.cells[1]))
    assert mixed.stochastic == "input dropout 0.5 (per_gate); input dropout 0.25 (per_gate)"


def test_elements_of_stacks() -> None:
    layer = stack("lstm", "gru", dropout=0.5)
    # 4 masks of 3 features or of 2 units; 4 of 2 features, 3 of 3 units.
    assert layer.mask_elements([(5, 3)]) == 12
    assert layer.work_elements([(5, 3)]) >= 2 * 5 * 3
    wide = stack("lstm", "gru", "lstm", dropout=0.5)
    assert wide.mask_elements([(5, 3)]) == 16


# ---- at every step ----


@pytest.mark.parametrize("count", [1, 2])
def test_time_distributed_is_a_loop(backend: str, count: int) -> None:
    layer: Any = (
        Dense(name="d", kernel=normal(3, 2), bias=normal(2)),
        Merge(name="m", function="multiply"),
    )[count - 1]
    timed = TimeDistributed(name="t", layer=layer)
    xs = [normal(4, 5, 3, seed=i) for i in range(count)]
    (flow,) = timed.run([Flow(x[np.newaxis]) for x in xs], None)
    for t in range(5):
        (one,) = layer.run([Flow(x[np.newaxis, :, t]) for x in xs], None)
        assert np.array_equal(flow.values[0, :, t], one.values[0])
    assert timed.output_shapes([(None, 3)] * count) == [(None, *one.values.shape[2:])]
    assert timed.output_shapes([(5, 3), (None, 3)][:count]) == [(5, *one.values.shape[2:])]


def test_time_distributed_of_several_outputs_and_masks() -> None:
    layer = cell("lstm", return_state=True)
    timed = TimeDistributed(name="t", layer=layer)
    x = normal(2, 4, 5, 3)
    mask = np.random.default_rng(0).random((2, 4, 5)) < 0.6
    for given in (None, mask):
        flow = Flow(x[np.newaxis], None if given is None else given[np.newaxis])
        flows = timed.run([flow], None)
        for t in range(4):
            y, final = over_time(layer, x[:, t], None if given is None else given[:, t])
            for got, e in zip(flows, [y, *final], strict=True):
                close(Flow(got.values[:, :, t]), e)
    # A mask of the steps themselves is not the layer's, and goes on.
    steps = np.ones((1, 2, 4), bool)
    steps[0, 0, 1] = False
    flows = timed.run([Flow(x[np.newaxis], steps)], None)
    assert np.array_equal(flows[0].values, timed.run([Flow(x[np.newaxis])], None)[0].values)
    assert all(flow.mask is steps for flow in flows)


def test_time_distributed_counts_for_all_steps() -> None:
    timed = TimeDistributed(name="t", layer=cell("lstm"))
    inner = cell("lstm")
    assert timed.work_elements([(4, 5, 3)]) == 4 * inner.work_elements([(5, 3)])
    assert timed.mask_elements([(4, 5, 3)]) == 4 * inner.mask_elements([(5, 3)])
    assert timed.can_draw
    assert timed.is_recurrent
    assert not TimeDistributed(name="t", layer=Dense(name="d", kernel=normal(3, 2))).can_draw
    words = TimeDistributed(name="t", layer=Embedding(name="e", table=normal(6, 3)))
    assert words.takes_indices
    model = fd.Model([words], (2, 4))
    with pytest.raises(ValueError, match=r"x: expected indices in \[0, 6\) for layer 'e', got 6"):
        model.predict(np.full((1, 2, 4), 6))
    x = np.arange(8).reshape(1, 2, 4) % 6
    assert np.array_equal(model.predict(x), words.layer.table[x])


# ---- what is refused ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cell("lstm", scheme="per_step", recurrent_dropout=0.1),
            "layer 'lstm' recurrent_dropout: expected 0 with scheme='per_step', got 0.1",
        ),
        (lambda: cell("lstm", uses_mask=1), "layer 'lstm' uses_mask: expected True or False"),
        (lambda: cell("lstm", return_state=1), "layer 'lstm' return_state: expected True or False"),
        (lambda: cell("lstm", zero_output_for_mask=None), "zero_output_for_mask: expected True"),
        (
            lambda: cell("gru", go_backwards="no"),
            "layer 'gru' go_backwards: expected True or False",
        ),
        (lambda: cell("gru", recurrent_dropout=1.0), "layer 'gru' recurrent_dropout: expected"),
        (
            lambda: cell("lstm").output_shapes([(5, 3), (2,)]),
            r"layer 'lstm': expected no initial state or 2 \(h, c\), got 1",
        ),
        (
            lambda: cell("gru").output_shapes([(5, 3), (2,), (2,)]),
            r"layer 'gru': expected no initial state or 1 \(h\), got 2",
        ),
        (
            lambda: cell("gru").output_shapes([(5, 3), (3,)]),
            r"layer 'gru': expected an input of shape \(2,\) as a state, got \(3,\)",
        ),
        (
            lambda: pair().output_shapes([(5, 3), (2,), (2,), (2,)]),
            "layer 'b': expected as many states forward as backward",
        ),
        (
            lambda: pair().output_shapes([(5, 3), (2,), (2,)]),
            "layer 'f': expected no initial state or 2",
        ),
        (
            lambda: replace(pair(), backward=pair(return_state=True).backward),
            "layer 'b' backward: expected return_state=False, as the forward layer has, got True",
        ),
        (
            lambda: stack("lstm", "gru").output_shapes([(5, 3), (2,), (2,)]),
            "layer 's': expected no or 3 states",
        ),
        (lambda: StackedRNN(name="s", cells=()), "layer 's' cells: expected recurrent layers"),
        (
            lambda: StackedRNN(name="s", cells=(Dense(name="d", kernel=normal(3, 2)),)),
            "layer 's' cells: expected recurrent layers",
        ),
        (
            lambda: StackedRNN(name="s", cells=(cell("gru"), cell("gru", 2))),
            "layer 's' cells: expected layers that return sequences, up to the last, got 'gru'",
        ),
        (
            lambda: StackedRNN(
                name="s",
                cells=(cell("gru", return_sequences=True), cell("gru", 2, go_backwards=True)),
            ),
            "layer 's' cells: expected layers that go forwards, from the second on, got 'gru'",
        ),
        (
            lambda: StackedRNN(
                name="s",
                cells=(cell("gru", return_sequences=True), cell("gru", 2, return_state=True)),
            ),
            "layer 's' cells: expected layers that all return states, or none, got 'gru'",
        ),
        (lambda: stack("gru", "gru").output_shapes([(5, 4)]), "layer 'c0': expected an input"),
        (
            lambda: TimeDistributed(name="t", layer=Concatenate(name="c")).output_shapes(
                [(4, 3), (5, 3)]
            ),
            "layer 't': expected inputs of as many time steps",
        ),
        (
            lambda: TimeDistributed(
                name="t", layer=Dense(name="d", kernel=normal(3, 2))
            ).output_shapes([()]),
            r"layer 't': expected an input of shape \(time, ...\), got \(\)",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_declared_grus_have_one_bias_or_two() -> None:
    for after, shape in ((True, (2, 12)), (False, (12,))):
        layer = GRU.declare([(5, 3)], name="g", units=4, reset_after=after)
        assert layer.weights()["bias"].shape == shape


def test_lengths_left_open() -> None:
    assert cell("lstm", return_sequences=True).output_shapes([(None, 3)]) == [(None, 2)]
    assert cell("lstm").output_shapes([(None, None)]) == [(2,)]
    assert pair(return_sequences=True).output_shapes([(None, 3)]) == [(None, 4)]
    assert pair(merge_mode="sum").output_shapes([(None, 3)]) == [(2,)]
    assert pair(merge_mode=None).output_shapes([(7, 3)]) == [(2,), (2,)]
    assert stack("lstm", "gru", last=True).output_shapes([(None, 3)]) == [(None, 3)]


def test_norms_at_every_step_are_norms() -> None:
    """A layer that works on the last axis gives the same at every step as by itself."""
    norm = LayerNormalization(name="n", gamma=normal(3), beta=normal(3, seed=1))
    timed = TimeDistributed(name="t", layer=norm)
    assert np.array_equal(run(timed, X)[0].values, run(norm, X)[0].values)


def test_directions_that_draw_otherwise_are_told_apart() -> None:
    forward = cell("lstm", dropout=0.5)
    backward = cell("lstm", go_backwards=True)
    both = Bidirectional(name="b", forward=forward, backward=backward)
    assert both.stochastic == f"forward: {forward.stochastic}; backward: nothing"
    again = cell("lstm", dropout=0.5, go_backwards=True)
    same = Bidirectional(name="b", forward=forward, backward=again)
    assert same.stochastic == forward.stochastic != ""


@pytest.mark.parametrize("what", ["initializer", "regularizer", "constraint"])
def test_what_only_training_uses_is_no_obstacle(what: str) -> None:
    value = {"module": f"keras.{what}s", "class_name": "Some", "config": {}}
    options = {f"{part}_{what}": value for part in ("kernel", "recurrent", "bias")}
    assert planned("LSTM", (5, 3), units=2, **options).units == 2

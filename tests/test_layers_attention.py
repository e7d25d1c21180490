"""Attention: against its definition in float64, masks, options, refusals, laws of sampling."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend
from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras import Asked, assemble
from fastdrop.formats.keras._version import Version
from fastdrop.layers import AdditiveAttention, Attention, Declared, Flow, MultiHeadAttention
from fastdrop.layers._layer import Draw
from layer_laws import KERAS_3, TF_KERAS, filled, normal
from tolerances import FLOAT32, assert_close

ROWS, QUERIES, STEPS = 7, 4, 6
Q, V = normal(ROWS, QUERIES, 3), normal(ROWS, STEPS, 3, seed=1)
K = normal(ROWS, STEPS, 3, seed=2)
QUERY_MASK = np.random.default_rng(1).random((ROWS, QUERIES)) < 0.6
VALUE_MASK = np.random.default_rng(2).random((ROWS, STEPS)) < 0.6
KEY_MASK = np.random.default_rng(3).random((ROWS, STEPS)) < 0.8
VALUE_MASK[0] = False  # a row in which nothing counts


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "active", BACKENDS[request.param])


# ---- the definition, number by number ----


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max())
    return e / e.sum()


def score(layer: Any, q: np.ndarray, k: np.ndarray) -> float:
    scale = None if layer.scale is None else layer.scale.astype(np.float64)
    if isinstance(layer, AdditiveAttention):
        return float(np.sum((1 if scale is None else scale) * np.tanh(q + k)))
    factor = 1.0 if scale is None else float(scale)
    if layer.concat_score_weight is not None:
        return float(layer.concat_score_weight) * float(np.sum(np.tanh(factor * (q + k))))
    return factor * float(q @ k)


def attended(
    layer: Any,
    q: np.ndarray,
    v: np.ndarray,
    k: np.ndarray,
    query_mask: np.ndarray | None = None,
    value_mask: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One row: its output and weights."""
    q, v, k = (x.astype(np.float64) for x in (q, v, k))
    output, weights = np.zeros((len(q), v.shape[1])), np.zeros((len(q), len(v)))
    for i in range(len(q)):
        scores = np.array([score(layer, q[i], k[j]) for j in range(len(v))])
        for j in range(len(v)):
            hidden = value_mask is not None and not value_mask[j]
            if hidden or (layer.use_causal_mask and j > i):
                scores[j] = np.float32(np.float32(scores[j]) - np.float32(1e9))
        weights[i] = softmax(scores)
        if query_mask is None or query_mask[i]:
            output[i] = weights[i] @ v
    return output, weights


def flow(x: np.ndarray, mask: np.ndarray | None = None) -> Flow:
    return Flow(x[np.newaxis], None if mask is None else mask[np.newaxis])


SCALE = np.float32(0.7)
LAYERS = {
    "dot": Attention(name="a"),
    "dot-scale": Attention(name="a", scale=SCALE),
    "concat": Attention(name="a", concat_score_weight=np.float32(-1.3)),
    "concat-scale": Attention(name="a", scale=SCALE, concat_score_weight=np.float32(1.3)),
    "additive": AdditiveAttention(name="a", scale=normal(3, seed=5)),
    "additive-no-scale": AdditiveAttention(name="a"),
}


def with_options(layer: Any, **options: Any) -> Any:
    weights = {field: getattr(layer, field) for field in layer.weight_fields}
    return type(layer)(name="a", **weights, **options)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masks", ["", "q", "v", "qv"])
@pytest.mark.parametrize("kind", LAYERS)
def test_scores_of_products_and_sums(kind: str, masks: str, causal: bool) -> None:
    layer = with_options(LAYERS[kind], use_causal_mask=causal, return_attention_scores=True)
    query_mask = QUERY_MASK if "q" in masks else None
    value_mask = VALUE_MASK if "v" in masks else None
    inputs = [flow(Q, query_mask), flow(V, value_mask), flow(K, KEY_MASK)]
    output, weights = layer.run(inputs, None)
    assert layer.output_shapes([Q.shape[1:], V.shape[1:], K.shape[1:]]) == [
        output.values.shape[2:],
        weights.values.shape[2:],
    ]
    for n in range(ROWS):
        row = (None if m is None else m[n] for m in (query_mask, value_mask))
        expected = attended(layer, Q[n], V[n], K[n], *row)
        assert_close(output.values[0, n], expected[0].astype(np.float32), FLOAT32)
        assert_close(weights.values[0, n], expected[1].astype(np.float32), FLOAT32)
    assert weights.mask is None
    if query_mask is None:
        assert output.mask is None
    else:
        np.testing.assert_array_equal(output.mask[0], query_mask)
    # The same masks, given: they stand for all that the tensors bear.
    if masks:
        names = [
            n for n, m in (("query_mask", query_mask), ("value_mask", value_mask)) if m is not None
        ]
        given = [flow(m.astype(np.float32)) for m in (query_mask, value_mask) if m is not None]
        told = with_options(
            LAYERS[kind], use_causal_mask=causal, return_attention_scores=True, masks=tuple(names)
        )
        inputs = [flow(Q, ~QUERY_MASK), flow(V, ~VALUE_MASK), flow(K), *given]
        for got, same in zip(told.run(inputs, None), (output, weights), strict=True):
            np.testing.assert_array_equal(got.values, same.values)
    # Without a key the value is the key.
    (short,) = with_options(LAYERS[kind]).run([flow(Q), flow(V)], None)
    (long,) = with_options(LAYERS[kind]).run([flow(Q), flow(V), flow(V)], None)
    np.testing.assert_array_equal(short.values, long.values)


def heads_of(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    found = np.einsum("td,dnh->tnh", x.astype(np.float64), kernel.astype(np.float64))
    return found if bias is None else found + bias


def multi_head(
    layer: MultiHeadAttention,
    q: np.ndarray,
    v: np.ndarray,
    k: np.ndarray,
    seen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """One row, of which `seen` (heads, queries, steps) says what counts."""
    query = heads_of(q, layer.query_kernel, layer.query_bias)
    value = heads_of(v, layer.value_kernel, layer.value_bias)
    key = heads_of(k, layer.key_kernel, layer.key_bias)
    heads, size = query.shape[1:]
    weights = np.zeros((heads, len(q), len(v)))
    found = np.zeros((len(q), heads, value.shape[2]))
    for h in range(heads):
        for i in range(len(q)):
            scores = np.array([query[i, h] @ key[j, h] / np.sqrt(size) for j in range(len(v))])
            scores = np.where(seen[h, i], scores, -1e9)
            weights[h, i] = softmax(scores)
            if layer.masking == "zero":
                weights[h, i] *= seen[h, i]
            found[i, h] = weights[h, i] @ value[:, h]
    if layer.gate_kernel is not None:
        found /= 1 + np.exp(-heads_of(q, layer.gate_kernel, layer.gate_bias))
    output = np.einsum("tnv,nv...->t...", found, layer.output_kernel.astype(np.float64))
    return output if layer.output_bias is None else output + layer.output_bias, weights


def multi(inputs: Any = None, *, seed: int = 0, **options: Any) -> MultiHeadAttention:
    shapes = [x.shape[1:] for x in (Q, V, K)] if inputs is None else inputs
    options = {"num_heads": 2, "key_dim": 5} | options
    shapes = [*shapes, *((1,) for _ in options.get("masks", ()))]
    return filled(MultiHeadAttention.declare(shapes, name="m", **options), seed)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_heads": 1, "key_dim": 1},
        {"value_dim": 2, "use_bias": False},
        {"output_shape": (4,)},
        {"output_shape": (2, 3), "use_gate": True, "value_dim": 4},
        {"use_gate": True, "use_bias": False},
        {"use_causal_mask": True},
        {"sliding_window": 2},
        {"masking": "zero", "use_causal_mask": True, "sliding_window": 1},
        {"masking": "zero"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
@pytest.mark.parametrize("masks", ["", "q", "vk", "qvk"])
def test_several_heads(options: dict[str, Any], masks: str) -> None:
    layer = multi(return_attention_scores=True, **options)
    given = {"q": QUERY_MASK, "v": VALUE_MASK, "k": KEY_MASK}
    q_mask, v_mask, k_mask = (given[name] if name in masks else None for name in "qvk")
    output, weights = layer.run([flow(Q, q_mask), flow(V, v_mask), flow(K, k_mask)], None)
    seen = np.ones((ROWS, layer.heads, QUERIES, STEPS), bool)
    for mask, shape in ((q_mask, (QUERIES, 1)), (v_mask, (1, STEPS)), (k_mask, (1, STEPS))):
        if mask is not None:
            seen &= mask.reshape(ROWS, 1, *shape)
    for i in range(QUERIES):
        for j in range(STEPS):
            if layer.use_causal_mask and j > i:
                seen[:, :, i, j] = False
            if layer.sliding_window is not None and abs(i - j) >= layer.sliding_window:
                seen[:, :, i, j] = False
    for n in range(ROWS):
        expected, expected_weights = multi_head(layer, Q[n], V[n], K[n], seen[n])
        assert_close(output.values[0, n], expected.astype(np.float32), FLOAT32)
        assert_close(weights.values[0, n], expected_weights.astype(np.float32), FLOAT32)
    assert layer.output_shapes([x.shape[1:] for x in (Q, V, K)]) == [
        output.values.shape[2:],
        weights.values.shape[2:],
    ]
    np.testing.assert_array_equal(
        np.zeros(0) if q_mask is None else q_mask,
        np.zeros(0) if output.mask is None else output.mask[0],
    )


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_heads_that_share_keys_and_values(shared: int) -> None:
    """As if each head had a copy of them, those that share one side by side."""
    options = {"num_heads": 4, "value_dim": 3, "use_gate": True, "return_attention_scores": True}
    layer = multi(shared_heads=shared, **options)
    assert layer.key_kernel.shape[1] == layer.value_kernel.shape[1] == shared
    copied = {
        f"{part}_{field}": np.repeat(getattr(layer, f"{part}_{field}"), 4 // shared, axis=-2)
        for part in ("key", "value")
        for field in ("kernel", "bias")
    }
    tensors = [flow(Q, QUERY_MASK), flow(V, VALUE_MASK), flow(K)]
    for got, expected in zip(
        layer.run(tensors, None), replace(layer, **copied).run(tensors, None), strict=True
    ):
        np.testing.assert_array_equal(got.values, expected.values)


def test_attention_masks_of_heads_and_of_all() -> None:
    seen = np.random.default_rng(4).random((ROWS, 2, QUERIES, STEPS)) < 0.7
    seen[..., 0] = True
    for given in (seen, seen[:, 0], seen[:, :1]):
        layer = multi(masks=("attention_mask",))
        whole = np.broadcast_to(given if given.ndim == 4 else given[:, None], seen.shape)
        tensors = [flow(Q), flow(V), flow(K), flow(given.astype(np.float32))]
        (output,) = layer.run(tensors, None)
        for n in range(ROWS):
            expected, _ = multi_head(layer, Q[n], V[n], K[n], whole[n])
            assert_close(output.values[0, n], expected.astype(np.float32), FLOAT32)


def test_a_mask_that_a_given_mask_bears_says_nothing() -> None:
    """A tensor that stands for a mask may come of one with padding: it is no key."""
    layer = filled(multi([Q.shape[1:], Q.shape[1:]], masks=("attention_mask",)))
    given = normal(ROWS, QUERIES, QUERIES, seed=7) > 0
    bare, padded = flow(given), flow(given, QUERY_MASK)
    expected = layer.run([flow(Q), flow(Q), bare], None)[0].values
    np.testing.assert_array_equal(layer.run([flow(Q), flow(Q), padded], None)[0].values, expected)


def test_an_attention_mask_without_a_key() -> None:
    """The value is the key, whatever comes behind it."""
    seen = flow((np.random.default_rng(4).random((ROWS, QUERIES, STEPS)) < 0.7).astype(np.float32))
    layer = multi([Q.shape[1:], V.shape[1:]], masks=("attention_mask",))
    assert layer.key_kernel.shape[0] == V.shape[-1]
    (got,) = layer.run([flow(Q), flow(V), seen], None)
    (expected,) = layer.run([flow(Q), flow(V), flow(V), seen], None)
    np.testing.assert_array_equal(got.values, expected.values)


def test_an_output_is_as_wide_as_the_query() -> None:
    layer = MultiHeadAttention.declare([(4, 5), (6, 3), (6, 2)], name="m", num_heads=2, key_dim=7)
    assert layer.output_shapes([(4, 5), (6, 3), (6, 2)]) == [(4, 5)]


def test_which_masks_count() -> None:
    bare, masked = [flow(Q), flow(V)], [flow(Q, QUERY_MASK), flow(V, VALUE_MASK)]
    (without,) = multi().run(bare, None)
    (ignoring,) = multi(uses_masks=False, passes_mask=False).run(masked, None)
    np.testing.assert_array_equal(ignoring.values, without.values)
    assert ignoring.mask is None
    # One that is given replaces the tensor's own, except the query's where that is asked for.
    given = [flow(QUERY_MASK.astype(np.float32)), flow(VALUE_MASK.astype(np.float32))]
    names = ("query_mask", "value_mask")
    (expected,) = multi().run(masked, None)
    (got,) = multi(masks=names).run([flow(Q, ~QUERY_MASK), flow(V, ~VALUE_MASK), *given], None)
    np.testing.assert_array_equal(got.values, expected.values)
    (got,) = multi(masks=names, own_query_mask=True).run(
        [flow(Q, QUERY_MASK), flow(V), flow((~QUERY_MASK).astype(np.float32)), given[1]], None
    )
    np.testing.assert_array_equal(got.values, expected.values)


def test_what_is_hidden_everywhere() -> None:
    """-1e9 added to a score keeps what float32 can: multiples of 64."""
    layers = {
        how: multi(masking=how, return_attention_scores=True) for how in ("add", "replace", "zero")
    }
    hidden = np.zeros((ROWS, STEPS), bool)
    found = {}
    for how, layer in layers.items():
        large = [flow(Q * np.float32(40)), flow(V * np.float32(40), hidden)]
        found[how] = layer.run(large, None)[1].values
    np.testing.assert_allclose(found["replace"], 1 / STEPS, rtol=1e-6)
    np.testing.assert_array_equal(found["zero"], 0)
    assert np.abs(found["add"] - 1 / STEPS).max() > 0.5
    fused = multi(masking="zero", fused=True)
    (got,) = fused.run([flow(Q), flow(V, hidden)], None)
    (same,) = multi(masking="replace").run([flow(Q), flow(V, hidden)], None)
    np.testing.assert_array_equal(got.values, same.values)
    scores = multi(masking="zero", fused=True, return_attention_scores=True)
    np.testing.assert_array_equal(scores.run([flow(Q), flow(V, hidden)], None)[1].values, 0)


@pytest.mark.parametrize("axes", [None, (0,), (1,), (0, 1), (-2,)])
@pytest.mark.parametrize("apart", [False, True])
def test_attention_along_axes(axes: tuple[int, ...] | None, apart: bool) -> None:
    """Along some axes it is what it is for each of the others alone."""
    count = 3 if apart else 2  # with a key of its own, or not
    xs = [normal(2, 3, 4, 3, seed=i if apart else 0) for i in range(count)]
    shape = xs[0].shape[1:]
    layer = multi([shape] * count, attention_axes=axes, return_attention_scores=True)
    output, weights = (f.values[0] for f in layer.run([flow(x) for x in xs], None))
    plain = layer.__class__(
        **{f: getattr(layer, f) for f in layer.weight_fields},
        name="m",
        return_attention_scores=True,
    )
    shapes = layer.output_shapes([shape] * count)
    assert shapes == [output.shape[1:], weights.shape[1:]]

    def alone(*rows: np.ndarray) -> list[np.ndarray]:
        return [f.values[0] for f in plain.run([flow(x) for x in rows], None)]

    if axes in (None, (0, 1)):
        y, w = alone(*(x.reshape(2, 12, 3) for x in xs))
        np.testing.assert_array_equal(output, y.reshape(2, 3, 4, 3))
        np.testing.assert_array_equal(weights, w.reshape(2, 2, 3, 4, 3, 4))
    elif axes == (0,):
        for i in range(4):
            y, w = alone(*(x[:, :, i] for x in xs))
            np.testing.assert_array_equal(output[:, :, i], y)
            np.testing.assert_array_equal(weights[:, i], w)
    else:
        for i in range(3):
            y, w = alone(*(x[:, i] for x in xs))
            np.testing.assert_array_equal(output[:, i], y)
            np.testing.assert_array_equal(weights[:, i], w)


# ---- laws ----

EVERY = {**LAYERS, "heads": multi(use_gate=True), "heads-dropout": multi(dropout=0.5)}


@pytest.mark.parametrize("kind", EVERY)
def test_rows_and_samples_are_alone(kind: str) -> None:
    layer = EVERY[kind]
    masks = [QUERY_MASK, VALUE_MASK, KEY_MASK]
    whole = layer.run([flow(x, m) for x, m in zip((Q, V, K), masks, strict=True)], None)[0].values
    assert whole.shape[0] == 1
    assert whole.dtype == np.float32
    for n in (slice(0, 1), slice(3, 4), slice(2, 7), slice(0, 0)):
        part = [flow(x[n], m[n]) for x, m in zip((Q, V, K), masks, strict=True)]
        np.testing.assert_array_equal(layer.run(part, None)[0].values[0], whole[0, n])
    # Samples of one of the inputs, the others being the same for all.
    for at in range(3):
        inputs = [flow(x, m) for x, m in zip((Q, V, K), masks, strict=True)]
        x = inputs[at].values[0]
        stacked = np.stack([x, 2 * x, x[::-1]])
        inputs[at] = Flow(stacked, inputs[at].mask)
        found = layer.run(inputs, None)[0].values
        assert len(found) == 3
        for j in range(3):
            inputs[at] = Flow(stacked[j : j + 1], inputs[at].mask)
            np.testing.assert_array_equal(layer.run(inputs, None)[0].values[0], found[j])
    assert layer.work_elements([x.shape[1:] for x in (Q, V, K)]) >= QUERIES * STEPS * layer.heads


@pytest.mark.parametrize("kind", ["dot", "additive", "heads"])
def test_dropout_is_that_of_the_weights(kind: str) -> None:
    """The weights times a mask whose elements are numbered row by row."""
    weights = {f: getattr(EVERY[kind], f) for f in EVERY[kind].weight_fields}
    layer = type(EVERY[kind])(name="a", dropout=0.4, return_attention_scores=True, **weights)
    key = fd.Key.from_words(5, 6)
    draw = Draw(key=key, samples=range(3, 5), first_row=2, rows=ROWS)
    plain = with_options(EVERY[kind], return_attention_scores=True)
    clean = plain.run([flow(Q), flow(V), flow(K)], None)[1].values[0]
    output, given = layer.run([flow(Q), flow(V), flow(K)], draw)
    elements = clean[0].size
    assert layer.mask_elements([x.shape[1:] for x in (Q, V, K)]) == elements
    for j, sample in enumerate((3, 4)):
        dropped = fd.dropout(clean, 0.4, rng=key, stream=sample, offset=2 * elements)
        if kind == "heads":  # what is given is what was before
            np.testing.assert_array_equal(given.values[0], clean)
        else:
            np.testing.assert_array_equal(given.values[j], dropped)
            expected = np.einsum("rqs,rsd->rqd", dropped.astype(np.float64), V)
            assert_close(output.values[j], expected.astype(np.float32), FLOAT32)
    assert len(output.values) == 2
    assert (output.values[0] != output.values[1]).any()
    # At rate 0 nothing is drawn, and the samples' axis stays 1.
    never = layer.with_rates(0.0)
    (same, _) = never.run([flow(Q), flow(V), flow(K)], draw)
    assert len(same.values) == 1
    assert never.stochastic == ""
    assert layer.stochastic == "attention dropout 0.4"


def test_everything_dropped_is_the_bias() -> None:
    layer = multi(dropout=1.0)
    draw = Draw(key=fd.Key.from_words(1, 2), samples=range(1), first_row=0, rows=ROWS)
    (output,) = layer.run([flow(Q), flow(V)], draw)
    np.testing.assert_array_equal(
        output.values, np.broadcast_to(layer.output_bias, output.values.shape)
    )


# ---- what is refused ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Attention(name="a", scale=np.ones(1, np.float32)), "'a' scale: expected"),
        (lambda: Attention(name="a", dropout=1.5), "'a' dropout: expected a number in"),
        (lambda: Attention(name="a", use_causal_mask=1), "'a' use_causal_mask"),
        (lambda: Attention(name="a", masks=("key_mask",)), "'a' masks: expected 'query_mask'"),
        (lambda: AdditiveAttention(name="a", scale=SCALE), "'a' scale: expected"),
        (lambda: multi(masking="none"), "'m' masking: expected 'add', 'replace'"),
        (lambda: multi(sliding_window=0), "'m' sliding_window"),
        (lambda: multi(fused=1), "'m' fused"),
        (lambda: multi([(4, 3)]), "expected query, value and perhaps key"),
        (
            lambda: MultiHeadAttention(
                name="m",
                query_kernel=normal(3, 2, 5),
                key_kernel=normal(3, 2, 4),
                value_kernel=normal(3, 2, 5),
                output_kernel=normal(2, 5, 3),
            ),
            "'m' key_kernel: expected shape",
        ),
        (
            lambda: multi(num_heads=4, shared_heads=3),
            "'m' key_kernel: expected a number of heads that divides 4, got 3",
        ),
        (
            lambda: Attention.declare([(4, 3)] * 2, name="a", score_mode="sum"),
            "score_mode: expected 'dot'",
        ),
    ],
)
def test_options_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


DOT, HEADS = LAYERS["dot"], EVERY["heads"]


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (DOT, [(4, 3)], "expected query, value and perhaps key, got 1"),
        (DOT, [(4, 3)] * 4, "got 4 inputs"),
        (DOT, [(4, 3), (6, 2)], r"expected an input of shape \(time, 3\) as a key"),
        (DOT, [(4, 3), (6, 3), (5, 3)], r"\(6, 3\) as a key for each step"),
        (DOT, [(3,), (3,)], r"expected an input of shape \(time, features\)"),
        (DOT, [(2, 4, 3), (2, 4, 3)], r"expected an input of shape \(time, features\)"),
        (LAYERS["additive"], [(4, 2), (6, 2)], r"\(time, 3\)"),
        (HEADS, [(4, 2), (6, 3)], r"\(\.\.\., 3\), got \(4, 2\)"),
        (HEADS, [(4, 3), (6, 3), (5, 3)], "as a key for each step"),
        (HEADS, [(2, 4, 3), (3,)], r"that fits \(2, 4, 3\)"),
        (multi(attention_axes=(1,)), [(4, 3), (6, 3)], "attention_axes: expected axes of a row"),
        (
            multi([(2, 4, 3)] * 2, attention_axes=(1,)),
            [(2, 4, 3), (3, 4, 3)],
            r"that fits \(2, 4, 3\)",
        ),
        (
            multi([(2, 4, 3)] * 2, use_causal_mask=True),
            [(2, 4, 3)] * 2,
            "where something is masked",
        ),
        (multi(masks=("value_mask",)), [(4, 3), (6, 3), (5,)], r"\(6,\) as value_mask"),
        (multi(masks=("query_mask",)), [(4, 3), (6, 3), (6,)], r"\(4,\) as query_mask"),
        (multi(masks=("attention_mask",)), [(4, 3), (6, 3), (4, 5)], "to broadcast to"),
        (multi(masks=("attention_mask",)), [(4, 3), (6, 3), (6,)], "to broadcast to"),
    ],
)
def test_inputs_refused(layer: Any, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer.output_shapes(shapes)


def test_a_time_mask_of_more_axes_is_refused() -> None:
    x = normal(2, 3, 4, 3)
    layer = multi([x.shape[1:]] * 2)
    with pytest.raises(ValueError, match="'m': expected no time masks"):
        layer.run([flow(x, np.ones((2, 3), bool)), flow(x)], None)


# ---- as Keras writes them ----


def tensor(name: str, node: int = 0) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, node, 0]}}


def read(
    class_name: str, config: dict[str, Any], calls: list[Any], version: Version = KERAS_3
) -> Any:
    """Return the assembly of a model: inputs q (4, 3) and v (6, 3), and calls of one layer."""
    layers: list[dict[str, Any]] = [
        {
            "class_name": "InputLayer",
            "config": {"name": name, "batch_shape": [None, *shape], "dtype": "float32"},
            "inbound_nodes": [],
        }
        for name, shape in (("q", (4, 3)), ("v", (6, 3)), ("m", (6,)))
    ]
    layers.append(
        {
            "class_name": class_name,
            "config": {"name": "layer", "trainable": True, "dtype": "float32"} | config,
            "inbound_nodes": calls,
        }
    )
    for entry in layers:
        entry |= {
            "module": "keras.layers",
            "registered_name": None,
            "name": entry["config"]["name"],
        }
    return assembled(layers, list("qvm"), len(calls), version)


def assembled(
    layers: list[dict[str, Any]], inputs: list[str], outputs: int, version: Version
) -> Any:
    """Return the assembly of a model that puts out what the calls of `layer` make."""
    model = {
        "module": "keras",
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": layers,
            "input_layers": [[name, 0, 0] for name in inputs],
            "output_layers": [["layer", i, 0] for i in range(outputs)],
        },
        "registered_name": None,
    }
    config = Section("config.json", json.loads(json.dumps(model)))
    return assemble(config, version, Asked(Limits()))


PAIR = [tensor("q"), tensor("v")]
LISTED = {"args": [PAIR], "kwargs": {}}
APART = {"args": PAIR, "kwargs": {}}
HEADED = {"num_heads": 2, "key_dim": 5}
LEGACY_LISTED = [["q", 0, 0, {}], ["v", 0, 0, {}]]
LEGACY_APART = [["q", 0, 0, {"value": ["v", 0, 0]}]]


def only(assembly: Any) -> Any:
    ((_, plan),) = assembly.records()
    return plan.layer


@pytest.mark.parametrize(
    ("version", "dropout", "masking", "fused", "uses", "own"),
    [
        (Version(2, 9, True), 0.0, "add", False, False, False),
        (Version(2, 10, True), 0.0, "add", False, True, False),
        (TF_KERAS, 0.2, "add", False, True, False),
        (Version(3, 0), 0.0, "add", False, True, False),
        (Version(3, 8), 0.0, "add", True, True, True),
        (Version(3, 8), 0.2, "add", False, True, True),
        (Version(3, 9), 0.2, "add", False, True, True),
        (Version(3, 10), 0.2, "zero", False, True, True),
        (KERAS_3, 0.0, "zero", True, True, True),
    ],
)
def test_several_heads_by_version(
    version: Version, dropout: float, masking: str, fused: bool, uses: bool, own: bool
) -> None:
    call: Any = LEGACY_APART if version.legacy else APART
    layer = only(read("MultiHeadAttention", HEADED | {"dropout": dropout}, [call], version))
    assert (layer.masking, layer.fused) == (masking, fused)
    assert (layer.uses_masks, layer.passes_mask, layer.own_query_mask) == (uses, uses, own)


@pytest.mark.parametrize("class_name", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize(
    ("version", "passes"),
    [(TF_KERAS, True), (Version(3, 0), False), (Version(3, 7), False), (Version(3, 8), True)],
)
def test_whether_the_mask_goes_on(class_name: str, version: Version, passes: bool) -> None:
    call: Any = LEGACY_LISTED if version.legacy else LISTED
    assert only(read(class_name, {}, [call], version)).passes_mask is passes


def test_keras_2_makes_a_layer_causal() -> None:
    layer = only(read("Attention", {"causal": True}, [LEGACY_LISTED], TF_KERAS))
    assert layer.use_causal_mask


def test_options_of_several_heads() -> None:
    config = HEADED | {
        "value_dim": 4,
        "use_bias": False,
        "output_shape": [2],
        "attention_axes": [1],
        "sliding_window": 3,
        "use_gate": True,
        "flash_attention": True,
    }
    layer = only(read("MultiHeadAttention", config, [APART]))
    assert layer.attention_axes == (0,)
    assert layer.sliding_window == 3
    shapes = {name: weight.shape for name, weight in layer.weights().items()}
    assert shapes == {
        "query_kernel": (3, 2, 5),
        "key_kernel": (3, 2, 5),
        "gate_kernel": (3, 2, 4),
        "value_kernel": (3, 2, 4),
        "output_kernel": (2, 4, 2),
    }
    robust = HEADED | {"softmax_robust_masking": True}
    layer = only(read("MultiHeadAttention", robust, [LEGACY_APART], TF_KERAS))
    assert layer.masking == "replace"


def test_calls_with_options_of_their_own() -> None:
    """A layer called twice is one layer with other options, of the same weights."""
    masked = {"args": [PAIR], "kwargs": {"mask": [None, tensor("m")], "use_causal_mask": True}}
    assembly = read("Attention", {"use_scale": True}, [LISTED, masked])
    layer = only(assembly)
    assert isinstance(layer.scale, Declared)
    ((record, _),) = assembly.records()
    model = assembly.finish({record.key: {"scale": np.array(2, np.float32)}})
    first, second = model.predict([Q, V, VALUE_MASK.astype(np.float32)])
    plain = Attention(name="a", scale=np.float32(2))
    causal = Attention(name="a", scale=np.float32(2), use_causal_mask=True)
    np.testing.assert_array_equal(first, plain.run([flow(Q), flow(V)], None)[0].values[0])
    expected = causal.run([flow(Q), flow(V, VALUE_MASK)], None)[0].values[0]
    np.testing.assert_array_equal(second, expected)


@pytest.mark.parametrize(
    ("class_name", "config", "call", "message"),
    [
        ("Attention", {"score_mode": "sum"}, LISTED, "score_mode: expected dot, concat"),
        ("Attention", {"dropout": 2}, LISTED, "dropout: expected a rate"),
        ("Attention", {}, APART, "expected a list of inputs"),
        ("Attention", {}, {"args": [PAIR], "kwargs": {"mask": tensor("m")}}, "mask: expected"),
        (
            "Attention",
            {},
            {"args": [PAIR], "kwargs": {"mask": [1, None]}},
            "mask: expected tensors",
        ),
        ("Attention", {}, {"args": [PAIR], "kwargs": {"other": 1}}, "unsupported argument 'other'"),
        (
            "AdditiveAttention",
            {},
            {"args": [PAIR], "kwargs": {"return_attention_scores": 3}},
            "return_attention_scores: expected true or false",
        ),
        (
            "MultiHeadAttention",
            HEADED,
            {"args": [PAIR[0]], "kwargs": {}},
            "value: expected a tensor",
        ),
        (
            "MultiHeadAttention",
            HEADED,
            {"args": PAIR, "kwargs": {"attention_mask": [[1]]}},
            "attention_mask: expected a tensor",
        ),
        ("MultiHeadAttention", HEADED | {"attention_axes": [0]}, APART, "attention_axes: expected"),
        ("MultiHeadAttention", HEADED | {"output_shape": [0]}, APART, "output_shape: expected"),
        ("MultiHeadAttention", HEADED | {"sliding_window": -1}, APART, "sliding_window: expected"),
        ("MultiHeadAttention", HEADED | {"other": 1}, APART, "unsupported option 'other'"),
        ("MultiHeadAttention", {"num_heads": 2}, APART, "key_dim: expected a positive integer"),
        (
            "GroupQueryAttention",
            {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 3},
            APART,
            "num_key_value_heads: expected a number that divides 4",
        ),
    ],
)
def test_files_refused(
    class_name: str, config: dict[str, Any], call: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelFormatError, match=message):
        read(class_name, config, [call])


@pytest.mark.parametrize(
    ("version", "kept"),
    [(TF_KERAS, True), (Version(3, 0), True), (Version(3, 8), False), (KERAS_3, False)],
)
def test_masks_are_gone_after_several_heads(version: Version, kept: bool) -> None:
    """Since 3.8 Keras's layer takes the masks off the tensors that it reads.

    Of two calls that are as far from the outputs the second runs first.
    """
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"name": "q", "batch_shape": [None, 4, 3]}},
        {"class_name": "Masking", "config": {"name": "masking", "mask_value": 0.0}},
        {"class_name": "MultiHeadAttention", "config": {"name": "layer"} | HEADED},
    ]

    def call(name: str, keyword: bool = False) -> Any:
        if version.legacy:
            return [[name, 0, 0, {"value": [name, 0, 0]} if keyword else {}]]
        return {"args": [tensor(name)] * (1 + keyword), "kwargs": {}}

    calls = [[], [call("q")], [call("masking", True)] * 2]
    for entry, nodes in zip(layers, calls, strict=True):
        entry |= {"module": "keras.layers", "registered_name": None, "inbound_nodes": nodes}
        entry["name"] = entry["config"]["name"]
        entry["config"] |= {"dtype": "float32"}
    assembly = assembled(layers, ["q"], 2, version)
    weights = {
        record.key: {s.field: normal(*s.shape) for s in plan.stored}
        for record, plan in assembly.records()
    }
    x = Q.copy()
    x[~QUERY_MASK] = 0
    second, first = assembly.finish(weights).predict(x)
    ((_, _), (record, plan)) = assembly.records()
    layer = plan.layer.with_weights(weights[record.key])
    masked = flow(x, QUERY_MASK)
    expected = layer.run([masked, masked], None)[0].values[0]
    np.testing.assert_array_equal(first, expected)
    bare = expected if kept else layer.run([flow(x), flow(x)], None)[0].values[0]
    np.testing.assert_array_equal(second, bare)
    assert kept or (bare != expected).any()

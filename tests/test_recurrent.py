"""Recurrent layers: Keras's outputs under Keras's own masks, a plain loop, and the laws."""

import dataclasses
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import contract
import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, _check, _threads, feedforward
from fastdrop.random import stream_under
from fastdrop.recurrent import _plan, _run, recurrent_masks
from references.make_lstm import FILE, cases, legacy_cases
from references.stored import Arrays, Result, load
from tolerances import FLOAT32, FLOAT64, assert_close

STORED = list(load(FILE))

# Also where it does not pay, as it does not in most of these small cases.
pytestmark = pytest.mark.usefixtures("sharing_always")


def replay(options: dict[str, Any], arrays: Arrays, **more: Any) -> Any:
    arrays = dict(arrays)
    state = (arrays.pop("h0"), arrays.pop("c0")) if "h0" in arrays else None
    positional = [arrays.pop(name) for name in ("x", "kernel", "recurrent_kernel")]
    return fd.lstm(*positional, **arrays, **options, initial_state=state, **more)


def check(case: Result) -> None:
    _, options, arrays, outputs = case
    tolerance = FLOAT64 if arrays["x"].dtype == np.float64 else FLOAT32
    sequences, h, c = replay(options, arrays, return_sequences=True, return_state=True)
    for got, name in ((sequences, "sequences"), (h, "h"), (c, "c")):
        assert_close(got, outputs[name], tolerance)
    assert_close(replay(options, arrays), outputs["last"], tolerance)


@pytest.mark.parametrize("case", STORED, ids=[case[0] for case in STORED])
def test_stored_keras_outputs(backend: str, case: Result) -> None:
    check(case)


@pytest.mark.live
def test_live_keras_outputs(backend: str) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("keras")
    for case in cases():
        check(case)


def test_the_stored_masks_matter() -> None:
    """Without its masks, or with another gate's, a case must fail: the test above can fail."""
    tried = 0
    for _, options, arrays, outputs in STORED:
        for name in ("input_mask", "recurrent_mask"):
            mask = arrays.get(name)
            if mask is None or mask.ndim == 2 or arrays["x"].size < 10:
                continue
            wrong = replay(options, arrays | {name: np.roll(mask, 1, axis=1)}, return_state=True)
            with pytest.raises(AssertionError):
                assert_close(wrong[2], outputs["c"], 1e-3)
            tried += 1
    assert tried > 20


@pytest.mark.live
def test_live_tf_keras_outputs(backend: str) -> None:
    pytest.importorskip("tf_keras")
    for case in legacy_cases():
        check(case)


# ---- problems ----

CELLS = ("lstm", "gru", "gru_reset_first", "simple_rnn")
GATES = {"lstm": 4, "gru": 3, "gru_reset_first": 3, "simple_rnn": 1}
FMA_TIERS = ("avx512", "avx2", "neon")
cells = pytest.mark.parametrize("cell", CELLS)
tiers = pytest.mark.parametrize("tier", BACKENDS)  # as the fixture, for hypothesis


@contextmanager
def running(tier: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "active", BACKENDS[tier])
        yield


def arrays_of(
    rng: np.random.Generator, cell: str, features: int, units: int, dtype: str = "float32"
) -> list[np.ndarray]:
    """Kernel, recurrent kernel and bias."""
    width = GATES[cell] * units
    bias = (2, width) if cell == "gru" else (width,)
    return [
        rng.normal(0, 0.4, shape).astype(dtype)
        for shape in ((features, width), (units, width), bias)
    ]


def pack(cell: str, arrays: list[np.ndarray], **options: Any) -> fd.PackedWeights:
    if cell.startswith("gru"):
        return fd.pack_gru(*arrays, reset_after=cell == "gru", **options)
    return {"lstm": fd.pack_lstm, "simple_rnn": fd.pack_simple_rnn}[cell](*arrays, **options)


def weights_of(
    seed: int, cell: str, features: int, units: int, dtype: str = "float32", **options: Any
) -> fd.PackedWeights:
    arrays = arrays_of(np.random.default_rng(seed), cell, features, units, dtype)
    return pack(cell, arrays, **options)


def problem(
    seed: int, cell: str, rows: int, steps: int, features: int, units: int, dtype: str = "float32"
) -> tuple[np.ndarray, fd.PackedWeights]:
    x = np.random.default_rng(seed + 1000).normal(0, 0.5, (rows, steps, features)).astype(dtype)
    return x, weights_of(seed, cell, features, units, dtype)


def some_lstm(seed: int, rows: int, steps: int, features: int, units: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.5, (rows, steps, features)).astype(np.float32)
    return [x, *arrays_of(rng, "lstm", features, units)]


def same(a: Any, b: Any) -> bool:
    """Whether two results hold the same numbers, however they are nested."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    return len(a) == len(b) and all(same(u, v) for u, v in zip(a, b, strict=True))


def every_option(cell: str, scheme: str = "per_gate") -> dict[str, Any]:
    """Everything that is drawn for a layer, all at once."""
    options: dict[str, Any] = {**DROP, "weight_dropout": 0.2, "zoneout": 0.15, "scheme": scheme}
    if scheme == "per_step":
        del options["recurrent_dropout"]
    if cell == "lstm":
        options["zoneout"] = (0.15, 0.25)
    if cell != "simple_rnn":
        options["candidate_dropout"] = 0.25
    return options


DROP = {"dropout": 0.4, "recurrent_dropout": 0.3, "rng": 5}
SHAPES = [(1, 1, 1, 1), (2, 3, 4, 5), (5, 4, 17, 16), (9, 6, 3, 33)]
SCOPES = ("per_row", "shared")
LASTING = list(itertools.product(("per_gate", "tied"), SCOPES))  # masks that serve all steps
SCHEMES = list(itertools.product(_check.SCHEMES, SCOPES))
ALL = {"return_sequences": True, "return_state": True}


# ---- a plain loop ----


def times(v: np.ndarray, mask: np.ndarray | None, gate: int) -> np.ndarray:
    """V (K,) under the mask (gates or 1, K) of a gate."""
    if mask is None:
        return v
    m = mask[gate % len(mask)]
    return np.array([0.0 if b == 0 else a * b for a, b in zip(v, m, strict=True)])


FUNCTIONS = {
    "linear": lambda v: v,
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(np.minimum(-v, 700))),  # which does not overflow
    "relu": lambda v: np.where(v > 0, v, 0),
    "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
    "hard_sigmoid_legacy": lambda v: np.clip(0.2 * v + 0.5, 0, 1),
    # Of all units of a row together.
    "softmax": lambda v: np.exp(v - v.max()) / np.exp(v - v.max()).sum(),
    "log_softmax": lambda v: v - v.max() - np.log(np.exp(v - v.max()).sum()),
}


def loop(
    x: np.ndarray,
    weights: fd.PackedWeights,
    *,
    input_mask: np.ndarray | None = None,
    recurrent_mask: np.ndarray | None = None,
    candidate_mask: np.ndarray | None = None,
    keep_h: np.ndarray | None = None,
    keep_c: np.ndarray | None = None,
    recurrent_kernel: np.ndarray | None = None,
    valid: np.ndarray | None = None,
    zero: bool = False,
    backwards: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every row and step by itself, in float64: y, h and c. Masks are (rows, gates, width)."""
    rows, steps, _ = x.shape
    units = weights.units
    wide = [np.asarray(a, np.float64) for a in (weights.kernel, weights.recurrent_kernel)]
    W, R = wide[0], wide[1] if recurrent_kernel is None else recurrent_kernel.astype(np.float64)
    bias = np.zeros((2, W.shape[1])) if weights.bias is None else weights.bias.astype(np.float64)
    b0, b1 = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    act = FUNCTIONS[weights.activation]
    ra = FUNCTIONS[weights.recurrent_activation]
    ys, hs, cs = np.zeros((rows, steps, units)), np.zeros((rows, units)), np.zeros((rows, units))

    def of(masks: np.ndarray | None, n: int) -> np.ndarray | None:
        return None if masks is None else masks[n % len(masks)].astype(np.float64)

    for n in range(rows):
        h, c, y = hs[n], cs[n], np.zeros(units)
        mx, mh = of(input_mask, n), of(recurrent_mask, n)
        mg = None if candidate_mask is None else candidate_mask[n % len(candidate_mask)][np.newaxis]
        for s in range(steps):
            t = steps - 1 - s if backwards else s
            if valid is not None and not valid[n, t]:
                y = np.zeros(units) if zero else y
                ys[n, s] = y
                continue

            def columns(g: int) -> slice:
                return slice(g * units, (g + 1) * units)

            def inputs(g: int, n: int = n, t: int = t, mx: Any = mx) -> np.ndarray:
                part: np.ndarray = times(x[n, t].astype(np.float64), mx, g) @ W[:, columns(g)]
                return part + b0[columns(g)]

            def previous(g: int, h: np.ndarray = h, mh: Any = mh) -> np.ndarray:
                part: np.ndarray = times(h, mh, g) @ R[:, columns(g)] + b1[columns(g)]
                return part

            if weights.cell == "lstm":
                i, f, o = (ra(inputs(g) + previous(g)) for g in (0, 1, 3))
                new_c = f * c + i * times(act(inputs(2) + previous(2)), mg, 0)
                new_h = o * act(new_c)
            elif weights.cell == "gru":
                z, r = (ra(inputs(g) + previous(g)) for g in (0, 1))
                if weights.reset_after:
                    g = act(inputs(2) + r * previous(2))
                else:
                    g = act(inputs(2) + (r * times(h, mh, 2)) @ R[:, columns(2)])
                new_c, new_h = c, z * h + (1 - z) * times(g, mg, 0)
            else:
                new_c, new_h = c, act(inputs(0) + previous(0))
            c = new_c if keep_c is None else np.where(keep_c[n, s], c, new_c)
            h = new_h if keep_h is None else np.where(keep_h[n, s], h, new_h)
            y = h
            ys[n, s] = y
        hs[n], cs[n] = h, c
    return ys, hs, cs


def factors(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.4, 0, rng.uniform(1, 2, shape))


@tiers
@cells
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_shape_and_option_agrees_with_a_plain_loop(tier: str, cell: str, data: Any) -> None:
    size = st.integers(1, 40)
    rows, steps = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 4))
    features, units = data.draw(size), data.draw(size)
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    names = st.sampled_from(list(FUNCTIONS))
    bounded = st.sampled_from(["sigmoid", "hard_sigmoid", "hard_sigmoid_legacy", "softmax"])
    options = {"activation": data.draw(names)}
    if cell != "simple_rnn":
        options["recurrent_activation"] = data.draw(bounded)
    backwards, zero = data.draw(st.booleans()), data.draw(st.booleans())
    gates = data.draw(st.sampled_from([1, GATES[cell]]))
    some = {name: data.draw(st.booleans()) for name in ("mx", "mh", "mg", "valid")}
    shared, alike = data.draw(st.booleans()), data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    arrays = arrays_of(rng, cell, features, units, dtype)
    if data.draw(st.booleans()):
        arrays = arrays[:2]
    weights = pack(cell, arrays, **options)
    x = rng.normal(0, 0.5, (rows, steps, features)).astype(dtype)
    n = 1 if shared else rows
    masks = {}
    if some["mx"]:
        masks["input_mask"] = factors(rng, (n, gates, features)).astype(dtype)
    if some["mh"]:
        masks["recurrent_mask"] = factors(rng, (n, gates, units)).astype(dtype)
    if some["mg"] and cell != "simple_rnn":
        masks["candidate_mask"] = factors(rng, (n, units)).astype(dtype)
    if alike:  # one scale, as masks that are drawn have
        masks = {name: np.where(mask == 0, 0, 1.6).astype(dtype) for name, mask in masks.items()}
    valid = rng.random((rows, steps)) < 0.6 if some["valid"] else None
    y, h, c = loop(x, weights, **masks, valid=valid, zero=zero, backwards=backwards)
    with running(tier):
        got = fd.rnn(
            x,
            weights,
            **masks,
            **ALL,
            mask=valid,
            zero_output_for_mask=zero,
            go_backwards=backwards,
        )
    tolerance = FLOAT64 if dtype == "float64" else FLOAT32
    expected = (y, h, c) if cell == "lstm" else (y, h)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == dtype
        assert a.shape == b.shape
        # Of numbers about 1 that are added up, whatever the sum's own size.
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(b).max())


@pytest.mark.parametrize(
    ("activation", "gates"),
    [
        ("softmax", "sigmoid"),
        ("tanh", "softmax"),
        ("softmax", "softmax"),
        ("tanh", "log_softmax"),
    ],
)
@pytest.mark.parametrize("units", [1, 16, 300])
@cells
def test_softmax_takes_all_units_of_a_row(
    backend: str, cell: str, units: int, activation: str, gates: str
) -> None:
    """More of them than operands are written at a time; without padding, whose number is zero."""
    rng = np.random.default_rng(21)
    options = {} if cell == "simple_rnn" else {"recurrent_activation": gates}
    arrays = arrays_of(rng, cell, 3, units, "float64")
    weights = pack(cell, arrays, activation=activation, **options)
    x = rng.normal(0, 2, (9, 3, 3))
    masks = {"recurrent_mask": factors(rng, (9, GATES[cell], units))}
    valid = rng.random((9, 3)) < 0.7
    for count in (9, 1):  # candidate masks: of each row, and one for all
        if cell != "simple_rnn":
            masks["candidate_mask"] = factors(rng, (count, units))
        expected = loop(x, weights, **masks, valid=valid)
        got = fd.rnn(x, weights, **masks, **ALL, mask=valid)
        for a, b in zip(got, expected[: len(got)], strict=True):
            assert_close(a, b, FLOAT64)


# ---- what is drawn ----


def drawn(rate: float, shape: tuple[int, ...], place: int, offset: int) -> np.ndarray:
    """Events, from the key 5 and sample 3."""
    return fd.bernoulli(rate, shape, rng=5, stream=place << 32 | 3, offset=offset)


def scaled(events: np.ndarray, rate: float, dtype: str) -> np.ndarray:
    return np.where(events, 0, 1 / (1 - round(rate * 2**32) / 2**32)).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("scheme", "scope"), LASTING)
@cells
def test_drawn_masks_are_the_contracts(
    backend: str, cell: str, shape: tuple[int, ...], scheme: str, scope: str
) -> None:
    """Dropout equals replaying bernoulli's masks at (n * gates + g) * units + j."""
    x, weights = problem(1, cell, *shape)
    rows, _, features, units = shape
    gates = GATES[cell] if scheme == "per_gate" else 1
    rates = {"dropout": 0.4, "recurrent_dropout": 0.3}
    masks = {}
    for name, place, rate, width in (
        ("input_mask", 6, 0.4, features),
        ("recurrent_mask", 7, 0.3, units),
        ("candidate_mask", 8, 0.2, units),
    ):
        own = gates if place < 8 else 1
        n, offset = (1, 0) if scope == "shared" else (rows, 11 * own * width)
        if place < 8 or cell != "simple_rnn":
            masks[name] = scaled(drawn(rate, (n, own, width), place, offset), rate, "f4")
    if cell != "simple_rnn":
        rates["candidate_dropout"] = 0.2
        masks["candidate_mask"] = masks["candidate_mask"][:, 0]
    options: dict[str, Any] = {"scheme": scheme, "scope": scope, "site": 6, "sample": 3}
    got = fd.rnn(x, weights, **rates, rng=5, row_offset=11, **options)
    assert same(got, fd.rnn(x, weights, **masks))


def dropped_anew(x: np.ndarray, stream: int, scope: str) -> np.ndarray:
    """X (rows, steps, width) of rows 11 and on and steps 100 and on, dropped by the contract."""
    rows, steps, width = x.shape
    key, T = fd.Key(5), round(0.4 * 2**32)
    y = np.empty_like(x)
    for n in range(rows):
        first = ((0 if scope == "shared" else 11 + n) * 2**24 + 100) * width
        block, skip = divmod(first, 128)
        number = (key.base + stream) % 2**64
        blocks = (skip + steps * width) // 128 + 1
        u = contract.events((key.k0, key.k1), number, block, blocks)[skip : skip + steps * width]
        scale = x.dtype.type(1 / (1 - T / 2**32))
        y[n] = np.where(u.reshape(steps, width) < T, x.dtype.type(0), x[n] * scale)
    return y


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("scope", SCOPES)
@cells
def test_input_masks_of_each_step_are_the_contracts(
    backend: str, cell: str, scope: str, backwards: bool, embedded: bool, masked: bool
) -> None:
    """What the layer makes of an input that was dropped from before, steps in the order taken."""
    rng = np.random.default_rng(3)
    x, weights = problem(3, cell, 3, 5, 4, 6)
    x[:, 2, 1] = np.nan
    options: dict[str, Any] = {"go_backwards": backwards, **ALL}
    given: dict[str, Any] = {}
    if masked:
        options["mask"] = rng.random((3, 5)) < 0.7
    whole = x
    if embedded:
        mask = factors(rng, (3, 4)).astype(np.float32)
        mask[:, 1] = 0
        whole = np.where(mask[:, np.newaxis] == 0, np.float32(0), x * mask[:, np.newaxis])
        tokens = np.arange(15).reshape(3, 5)
        given = {"embedding": x.reshape(15, 4), "embedding_mask": mask}
    else:
        x[:, 2, 1] = 0.5  # it may be kept
        whole = x
    order = slice(None, None, -1 if backwards else 1)
    dropped = dropped_anew(whole[:, order], 6 << 32 | 3, scope)[:, order]
    got = fd.rnn(
        tokens if embedded else x,
        weights,
        **{"dropout": 0.4, "rng": 5, "site": 6, "sample": 3, "row_offset": 11},
        **options,
        **given,
        scheme="per_step",
        scope=scope,
        first_step=100,
    )
    assert same(got, fd.rnn(dropped, weights, **options))
    assert not same(got, fd.rnn(whole, weights, **options))


@pytest.mark.parametrize("scope", SCOPES)
def test_input_masks_of_each_step_in_every_direction_and_layer(backend: str, scope: str) -> None:
    x, first = problem(3, "lstm", 3, 5, 4, 6)
    back, second = weights_of(4, "gru", 4, 2), weights_of(5, "simple_rnn", 8, 3)
    got, _ = fd.rnn(
        x,
        [(first, back), second],
        **{"dropout": 0.4, "rng": 5, "site": 6, "sample": 3, "row_offset": 11},
        scheme="per_step",
        scope=scope,
        first_step=100,
        **ALL,
    )
    ahead = fd.rnn(dropped_anew(x, 6 << 32 | 3, scope), first, return_sequences=True)
    other = dropped_anew(x[:, ::-1], 14 << 32 | 3, scope)
    other = fd.rnn(other, back, return_sequences=True)
    y = np.concatenate([ahead, other[:, ::-1]], axis=2)
    y = dropped_anew(y, 22 << 32 | 3, scope)
    assert same(got, fd.rnn(y, second, return_sequences=True))


@pytest.mark.parametrize("scope", SCOPES)
def test_other_masks_stay_with_those_of_each_step(backend: str, scope: str) -> None:
    """Candidate masks, zoneout, dropped weights and what is between are as they always are."""
    x, first = problem(3, "gru", 3, 5, 4, 6)
    rest: dict[str, Any] = {"zoneout": 0.2, "weight_dropout": 0.2, "candidate_dropout": 0.3}
    rest |= {"rng": 5, "site": 6, "sample": 3, "row_offset": 11, "first_step": 100, "scope": scope}
    got = fd.rnn(x, first, dropout=0.4, scheme="per_step", **rest, **ALL)
    expected = fd.rnn(dropped_anew(x, 6 << 32 | 3, scope), first, scheme="tied", **rest, **ALL)
    assert same(got, expected)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize(
    ("cell", "rates"),
    [
        *((cell, 0.3) for cell in CELLS),
        *(("lstm", r) for r in ((0.0, 0.4), (0.25, 0.0), (0.2, 0.6))),
    ],
)
def test_zoneout_is_the_contracts(
    backend: str, cell: str, rates: Any, scope: str, backwards: bool
) -> None:
    """Element (n * 2**24 + step) * units + j keeps its value, steps in the order taken."""
    rows, steps, units = 3, 5, 7
    x, weights = problem(2, cell, rows, steps, 4, units, "float64")
    rate_h, rate_c = rates if isinstance(rates, tuple) else (rates, rates)
    keep = {}
    for name, place, rate in (("keep_h", 9, rate_h), ("keep_c", 10, rate_c)):
        keep[name] = np.stack(
            [
                drawn(rate, (steps, units), place, (n * 2**24 + 100) * units)
                for n in ([0] * rows if scope == "shared" else range(11, 11 + rows))
            ]
        )
    expected = loop(x, weights, **keep, backwards=backwards)
    got = fd.rnn(
        x,
        weights,
        **{"zoneout": rates, "rng": 5, "site": 6, "sample": 3, "row_offset": 11},
        **ALL,
        scope=scope,
        first_step=100,
        go_backwards=backwards,
    )
    for a, b in zip(got, expected, strict=False):
        assert_close(a, b, FLOAT64)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@cells
def test_dropped_weights_are_the_contracts(backend: str, cell: str, scope: str) -> None:
    rng = np.random.default_rng(3)
    kernel, recurrent, bias = arrays_of(rng, cell, 4, 6)
    x = rng.normal(size=(3, 5, 4)).astype(np.float32)
    kept = fd.drop_connect(recurrent, 0.35, rng=5, stream=11 << 32 | 3)
    expected = fd.rnn(x, pack(cell, [kernel, kept, bias]))
    options: dict[str, Any] = {"rng": 5, "site": 6, "sample": 3, "scope": scope}
    weights = pack(cell, [kernel, recurrent, bias])
    whole = fd.rnn(x, pack(cell, [kernel, recurrent, bias]))
    for _ in range(2):  # whether anything was packed before, or not
        got = fd.rnn(x, weights, weight_dropout=0.35, **options, row_offset=7)
        assert same(got, expected)
        assert same(fd.rnn(x, weights), whole)  # the weights kept are as they were
    assert not same(got, whole)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "simple_rnn"])
def test_candidate_dropout_is_semeniutas(backend: str, cell: str) -> None:
    """A layer whose candidates are all dropped never writes to its memory."""
    x, weights = problem(4, cell, 3, 5, 4, 6)
    nothing = np.zeros((1, 6), np.float32)
    _, *state = fd.rnn(x, weights, candidate_mask=nothing, return_state=True)
    assert all((part == 0).all() for part in state)


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("activation", ["linear", "silu", "softmax"])
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "simple_rnn"])
def test_a_dropped_candidate_is_gone_whatever_it_was(
    backend: str, cell: str, activation: str, value: float
) -> None:
    x, _ = problem(4, cell, 3, 5, 4, 6)
    arrays = arrays_of(np.random.default_rng(4), cell, 4, 6)
    arrays[2].reshape(-1)[12:18] = value  # of the candidates alone
    weights = pack(cell, arrays, activation=activation)
    mask = np.zeros((3, 6), np.float32)
    *_, memory = fd.rnn(x, weights, candidate_mask=mask, return_state=True)
    assert not memory.any()  # as NaN would be


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_what_is_between_layers_is_the_contracts(
    backend: str, scope: str, go_backwards: bool
) -> None:
    x, first = problem(5, "gru", 3, 5, 4, 6)
    second, third = weights_of(6, "lstm", 6, 7), weights_of(7, "simple_rnn", 7, 2)
    got = fd.rnn(
        x,
        [first, second, third],
        **{"between_dropout": 0.3, "rng": 5, "site": 6, "sample": 3, "row_offset": 11},
        scope=scope,
        first_step=100,
        go_backwards=go_backwards,
        return_sequences=True,
    )
    y = x[:, ::-1] if go_backwards else x
    for layer, weights in enumerate((first, second, third)):
        y = fd.rnn(y, weights, return_sequences=True)
        if layer < 2:
            for n, row in enumerate(y):
                of = 0 if scope == "shared" else 11 + n
                width = weights.units
                stream, offset = 6 + 16 * layer + 6 << 32 | 3, (of * 2**24 + 100) * width
                y[n] = fd.dropout(row, 0.3, rng=5, stream=stream, offset=offset)
    assert same(got, y)


@cells
def test_rows_of_one_sample_are_drawn_in_one_call(backend: str, cell: str) -> None:
    """What a model's layers use: the masks of many samples, as the layer itself draws them."""
    x, weights = problem(8, cell, 3, 4, 5, 6)
    key, gates = fd.Key(5), GATES[cell]
    dtype = np.dtype(np.float32)
    for width, site, name in ((5, 9, "input_mask"), (6, 10, "recurrent_mask")):
        rate = {"input_mask": 0.4, "recurrent_mask": 0.3}[name]
        stream = stream_under(key, site << 32 | 2, round(rate * 2**32))
        found = recurrent_masks(stream, 20, (4, 3, gates, width), dtype)
        assert found.shape == (4, 3, gates, width)
        option = {"input_mask": "dropout", "recurrent_mask": "recurrent_dropout"}[name]
        for sample, mask in zip(range(2, 6), found, strict=True):
            expected = fd.rnn(
                x, weights, **{option: rate}, rng=key, site=9, sample=sample, row_offset=20
            )
            assert same(fd.rnn(x, weights, **{name: mask}), expected)
    empty = recurrent_masks(stream, 0, (0, 3, 4, 5), dtype)
    assert empty.shape == (0, 3, 4, 5)


def test_streams_wrap(backend: str) -> None:
    """The base of a key plus a stream is taken modulo 2**64."""
    key = fd.Key.from_words(1, 2, 2**64 - (9 << 32) - 1)
    found = recurrent_masks(stream_under(key, 9 << 32, 1 << 31), 0, (4, 1, 1, 300), np.dtype(float))
    for sample in range(4):
        events = fd.bernoulli(0.5, 300, rng=key, stream=9 << 32 | sample)
        assert np.array_equal(found[sample, 0, 0] == 0, events)
    # Those of a layer, and of a direction.
    x, ahead = problem(2, "lstm", 3, 5, 4, 6)
    back = weights_of(3, "gru", 4, 2)
    key, same_key = (fd.Key.from_words(1, 2, base) for base in (2**64 - 1, 2**32 - 1))
    options: dict[str, Any] = {**DROP, "zoneout": 0.2, "rng": key}
    first = fd.rnn(x, ahead, **options, site=1)
    assert same(first, fd.rnn(x, ahead, **options | {"rng": same_key}))
    second = fd.rnn(x, back, **options, site=9, go_backwards=True)
    both = fd.rnn(x, (ahead, back), **options, site=1)
    assert same(both, np.concatenate([first, second], axis=1))
    first, second = (
        fd.rnn(x, ahead, **options),
        fd.rnn(x, back, **options, site=8, go_backwards=True),
    )
    assert same(fd.rnn(x, (ahead, back), **options), np.concatenate([first, second], axis=1))


# ---- laws ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scheme", "scope"), SCHEMES)
@cells
def test_batch_invariance_and_row_offset(
    backend: str, cell: str, dtype: str, scheme: str, scope: str
) -> None:
    x, weights = problem(2, cell, 23, 7, 5, 19, dtype)
    options: dict[str, Any] = {**every_option(cell, scheme), "scope": scope}
    whole = fd.rnn(x, weights, **options, return_sequences=True)
    for start, stop in ((0, 1), (4, 5), (22, 23), (3, 20), (0, 23)):
        part = fd.rnn(x[start:stop], weights, **options, row_offset=start, return_sequences=True)
        assert same(part, whole[start:stop])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@cells
def test_a_row_does_not_see_other_rows_factors(backend: str, cell: str, dtype: str) -> None:
    """Whether all rows' masks have one scale makes no difference to a row."""
    x, weights = problem(3, cell, 9, 4, 21, 19, dtype)
    rng = np.random.default_rng(3)
    kept = {
        name: (rng.random((9, GATES[cell], width)) < 0.6) * np.array(1.7, dtype)
        for name, width in (("input_mask", 21), ("recurrent_mask", 19))
    }
    other = {
        name: mask * np.array([1.0] * 8 + [0.5], dtype)[:, None, None]
        for name, mask in kept.items()
    }
    whole = fd.rnn(x, weights, **kept, return_sequences=True)
    for masks in (other, {**kept, "input_mask": other["input_mask"]}):
        got = fd.rnn(x, weights, **masks, return_sequences=True)
        assert same(got[:8], whole[:8])
        assert not same(got[8:], whole[8:])


@settings(max_examples=30, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    rows=st.integers(1, 20),
    features=st.integers(1, 40),
    units=st.integers(1, 40),
    cut=st.integers(0, 20),
    scheme=st.sampled_from(_check.SCHEMES),
    scope=st.sampled_from(SCOPES),
)
@tiers
def test_any_batch_is_its_rows(
    tier: str, cell: str, rows: int, features: int, units: int, cut: int, scheme: str, scope: str
) -> None:
    x, weights = problem(rows, cell, rows, 3, features, units)
    options: dict[str, Any] = {**every_option(cell, scheme), "scope": scope, **ALL}
    cut = min(cut, rows)
    with running(tier):
        whole = fd.rnn(x, weights, **options)
        parts = [
            fd.rnn(x[a:b], weights, **options, row_offset=a) for a, b in ((0, cut), (cut, rows))
        ]
    for both, *halves in zip(whole, *parts, strict=True):
        assert same(np.concatenate(halves), both)


@cells
def test_threads_change_nothing(backend: str, cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)  # no call is too small for another thread
    used = set()
    real = _run.Run.rows

    def rows(self: Any, *args: Any) -> None:
        used.add(threading.get_ident())
        real(self, *args)

    monkeypatch.setattr(_run.Run, "rows", rows)
    x, weights = problem(3, cell, 40, 3, 4, 6)
    again = weights_of(4, cell, 12, 5)
    options = every_option(cell)
    for layers in (weights, (weights, weights), [(weights, weights), again]):
        for rows, counts in ((1, (2,)), (3, (2, 7)), (40, (3, 1024))):
            one = fd.rnn(x[:rows], layers, **options, threads=1)
            for threads in counts:
                assert same(fd.rnn(x[:rows], layers, **options, threads=threads), one)
    assert len(used) > 1


@pytest.mark.parametrize(("scheme", "scope"), SCHEMES)
@pytest.mark.parametrize("layers", ["one", "pair", "stack"])
@pytest.mark.parametrize("embedded", [False, True])
@cells
def test_pieces_of_rows_change_nothing(
    backend: str,
    cell: str,
    embedded: bool,
    layers: str,
    scheme: str,
    scope: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is a row's own goes with it into the piece that the row is in."""
    x, first = problem(4, cell, 7, 4, 3, 5)
    rng = np.random.default_rng(0)
    chosen: Any = first
    options: dict[str, Any] = {**every_option(cell, scheme), **ALL, "scope": scope}
    options |= {"mask": rng.random((7, 4)) < 0.7, "row_offset": 3, "first_step": 2}
    if layers != "one":
        chosen = (first, weights_of(5, "lstm", 3, 2))
        options["zoneout"] = 0.2
        options.pop("candidate_dropout", None)
    if layers == "stack":
        chosen = [chosen, weights_of(6, "gru", 7, 3)]
        options["between_dropout"] = 0.3
    if embedded:
        options["embedding"] = rng.normal(size=(6, 3)).astype(np.float32)
        options["embedding_mask"] = factors(rng, (7, 3)).astype(np.float32)
        x = rng.integers(0, 6, (7, 4))
    _, *state = fd.rnn(x, chosen, **options)
    carried = tuple(state) if layers == "one" and cell == "lstm" else state[0]
    options["initial_state"] = carried
    whole = fd.rnn(x, chosen, **options)
    monkeypatch.setattr(_plan, "_PIECE_ROWS", 2)
    assert same(fd.rnn(x, chosen, **options, threads=1), whole)
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)
    assert same(fd.rnn(x, chosen, **options, threads=3), whole)


@pytest.mark.parametrize("gates", [False, True])
@cells
def test_pieces_of_rows_have_the_masks_given_for_them(
    backend: str, cell: str, gates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weights = problem(4, cell, 7, 4, 3, 5)
    rng = np.random.default_rng(0)
    masks = {
        name: factors(rng, (7, GATES[cell] if gates else 1, width)).astype(np.float32)
        for name, width in (("input_mask", 3), ("recurrent_mask", 5))
    }
    if cell != "simple_rnn":
        masks["candidate_mask"] = factors(rng, (7, 5)).astype(np.float32)
    whole = fd.rnn(x, weights, **masks, **ALL)
    monkeypatch.setattr(_plan, "_PIECE_ROWS", 2)
    assert same(fd.rnn(x, weights, **masks, **ALL), whole)
    for name in masks:
        one = {**masks, name: masks[name][:1]}
        each = {**masks, name: masks[name][:1].repeat(7, 0)}
        assert same(fd.rnn(x, weights, **one, **ALL), fd.rnn(x, weights, **each, **ALL))
    table, tokens = rng.normal(size=(6, 3)).astype(np.float32), rng.integers(0, 6, (7, 4))
    whole = fd.rnn(table[tokens], weights, **masks, **ALL)
    assert same(fd.rnn(tokens, weights, embedding=table, **masks, **ALL), whole)


def test_rows_beyond_a_piece_as_it_is(backend: str) -> None:
    """100 rows, without any patch: the last ones are as if alone."""
    rng = np.random.default_rng(0)
    x, first = problem(4, "lstm", 100, 3, 4, 5)
    layers = [first, weights_of(5, "gru", 5, 3)]
    options: dict[str, Any] = {"dropout": 0.4, "zoneout": 0.2, "between_dropout": 0.5, "rng": 0}
    whole = fd.rnn(x, layers, **options)
    assert same(fd.rnn(x[70:], layers, **options, row_offset=70), whole[70:])
    table, tokens = x[0].copy(), rng.integers(0, 3, (100, 6))
    mask = factors(rng, (100, 4)).astype(np.float32)
    whole = fd.rnn(tokens, first, embedding=table, embedding_mask=mask)
    part = fd.rnn(tokens[70:], first, embedding=table, embedding_mask=mask[70:])
    assert same(part, whole[70:])


@pytest.mark.parametrize("scheme", ["per_gate", "per_step"])
@pytest.mark.parametrize("embedded", [False, True])
@cells
def test_time_windows_change_nothing(
    backend: str, cell: str, embedded: bool, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weights = problem(4, cell, 5, 11, 4, 6)
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {**every_option(cell, scheme), **ALL}
    options["mask"] = rng.random((5, 11)) < 0.7
    if embedded:
        options["embedding"] = x[0]
        x = rng.integers(0, 11, (5, 11))
    for backwards in (False, True):
        whole = fd.rnn(x, weights, **options, go_backwards=backwards)
        with monkeypatch.context() as patch:
            patch.setattr(_threads, "PIECE_FLOPS", 1)  # one row and step a call
            patch.setattr(_run, "_CALL_SECONDS", 0)
            patch.setattr(_plan, "_STEP_FLOPS", 1)
            assert same(fd.rnn(x, weights, **options, go_backwards=backwards), whole)
        with monkeypatch.context() as patch:
            patch.setattr(_plan, "_PIECE_NUMBERS", 1)  # one row a call, and its step
            assert same(fd.rnn(x, weights, **options, go_backwards=backwards), whole)
        with monkeypatch.context() as patch:
            patch.setattr(_plan, "_PIECE_NUMBERS", 3 * 5 * 6)  # three steps
            patch.setattr(_plan, "_DROP_NUMBERS", 2 * 5 * 6)  # two
            assert same(fd.rnn(x, weights, **options, go_backwards=backwards), whole)


@cells
def test_a_carried_state_continues_the_sequence(backend: str, cell: str) -> None:
    x, weights = problem(5, cell, 3, 10, 4, 6)
    options = {**every_option(cell), **ALL}
    sequence, *state = fd.rnn(x, weights, **options)
    first, *between = fd.rnn(x[:, :4], weights, **options)
    carried = tuple(between) if cell == "lstm" else between[0]
    rest, *end = fd.rnn(x[:, 4:], weights, **options, initial_state=carried, first_step=4)
    assert same(np.concatenate([first, rest], axis=1), sequence)
    assert same(end, state)


@pytest.mark.parametrize(("scheme", "scope"), [*SCHEMES[:2], *SCHEMES[4:]])
@cells
def test_steps_are_the_sequence(backend: str, cell: str, scheme: str, scope: str) -> None:
    x, weights = problem(6, cell, 20, 5, 4, 6)
    options: dict[str, Any] = {**every_option(cell, scheme), "scope": scope, "row_offset": 3}
    stacked = [weights, weights_of(7, cell, 6, 5)]
    more: dict[str, Any] = {"between_dropout": 0.3}
    for layers, drop in ((weights, {}), (stacked[:1], more), (stacked, more)):
        sequence, *end = fd.rnn(x, layers, **options, **drop, **ALL)
        state = None
        for t in range(5):
            y, state = fd.step(x[:, t], layers, state, first_step=t, **options, **drop)
            assert same(y, sequence[:, t])
        assert same(state, tuple(end) if layers is weights and cell == "lstm" else end[0])


@cells
def test_steps_of_an_embedding_and_of_replayed_masks(backend: str, cell: str) -> None:
    _, weights = problem(6, cell, 1, 1, 4, 6)
    rng = np.random.default_rng(0)
    tokens, table = rng.integers(0, 9, (3, 5)), rng.normal(size=(9, 4)).astype(np.float32)
    options = {
        "embedding": table,
        "embedding_mask": factors(rng, (3, 4)).astype(np.float32),
        "input_mask": factors(rng, (3, 4)).astype(np.float32),
        "recurrent_mask": factors(rng, (3, 6)).astype(np.float32),
    }
    expected = fd.rnn(tokens, weights, **options)
    state = None
    for t in range(5):
        y, state = fd.step(tokens[:, t], weights, state, **options)
    assert same(y, expected)


@pytest.mark.parametrize("scheme", _check.SCHEMES)
@cells
def test_rate_zero_is_no_dropout(backend: str, cell: str, scheme: str) -> None:
    x, weights = problem(6, cell, 4, 5, 6, 7)
    off = fd.rnn(x, weights)
    drawn = {"rng": 0, "scheme": scheme}
    zero: dict[str, Any] = dict.fromkeys(every_option(cell), 0) | drawn
    assert same(fd.rnn(x, weights, **zero), off)
    assert same(fd.rnn(x, weights, recurrent_mask=np.ones((4, 7), np.float32)), off)
    assert same(fd.rnn(x, weights, recurrent_mask=np.ones((1, 7), np.float32)), off)
    # A rate that rounds to T = 0 drops nothing and scales by 1.
    tiny: dict[str, Any] = dict.fromkeys(every_option(cell, scheme), 1e-12) | drawn
    assert same(fd.rnn(x, weights, **tiny), off)


@cells
def test_a_generator_is_used_where_a_mask_is_drawn(backend: str, cell: str) -> None:
    x, weights = problem(6, cell, 4, 5, 6, 7)
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    fd.rnn(x, weights, rng=generator)
    assert generator.bit_generator.state == before
    a = fd.rnn(x, weights, rng=generator, dropout=0.5)
    assert not same(fd.rnn(x, weights, rng=generator, dropout=0.5), a)


@cells
def test_equal_masks_per_gate_are_tied(backend: str, cell: str) -> None:
    x, weights = problem(7, cell, 4, 5, 6, 7)
    rng = np.random.default_rng(0)
    mx, mh = (factors(rng, (4, 1, width)).astype(np.float32) for width in (6, 7))
    tied = fd.rnn(x, weights, input_mask=mx, recurrent_mask=mh)
    each = [np.repeat(mask, GATES[cell], 1) for mask in (mx, mh)]
    assert same(fd.rnn(x, weights, input_mask=each[0], recurrent_mask=each[1]), tied)
    assert same(fd.rnn(x, weights, input_mask=mx[:, 0], recurrent_mask=mh[:, 0]), tied)


@cells
def test_a_shared_mask_is_the_first_rows(backend: str, cell: str) -> None:
    x, weights = problem(8, cell, 6, 5, 6, 7)
    x[:] = x[0]
    options = every_option(cell)
    shared = fd.rnn(x, weights, **options, scope="shared", row_offset=9)
    assert same(shared, np.repeat(shared[:1], 6, axis=0))
    assert same(shared[:1], fd.rnn(x[:1], weights, **options))
    assert len(np.unique(fd.rnn(x, weights, **options), axis=0)) == 6


@tiers
@settings(max_examples=20, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    shape=st.tuples(*[st.integers(1, top) for top in (12, 9, 40, 40)]),
    gates=st.sampled_from(["one", "each"]),
    which=st.sampled_from(["input_mask", "recurrent_mask", "both"]),
    rate=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_one_mask_for_all_rows_equals_a_copy_for_each(
    tier: str, cell: str, shape: tuple[int, ...], gates: str, which: str, rate: float, seed: int
) -> None:
    """What all rows drop may be left out of the weights: to the same bits."""
    rows, _, features, units = shape
    x, weights = problem(9, cell, *shape)
    rng = np.random.default_rng(seed)
    count = GATES[cell] if gates == "each" else 1
    one = {
        name: np.where(rng.random((1, count, width)) < rate, 0, 1.25).astype(np.float32)
        for name, width in (("input_mask", features), ("recurrent_mask", units))
        if which in (name, "both")
    }
    # Enough rows that the one mask goes into the weights, whatever the shape.
    x = np.tile(x, (16, 1, 1))
    each = {name: np.repeat(mask, 16 * rows, axis=0) for name, mask in one.items()}
    with running(tier):
        assert same(fd.rnn(x, weights, **one, **ALL), fd.rnn(x, weights, **each, **ALL))
        few = {name: mask[:1] for name, mask in each.items()}
        assert same(fd.rnn(x[:1, :1], weights, **one), fd.rnn(x[:1, :1], weights, **few))


@pytest.mark.parametrize("rows", [1, 3, 20])
@cells
def test_drawn_shared_masks_equal_their_replay_for_each_row(
    backend: str, cell: str, rows: int
) -> None:
    x, weights = problem(9, cell, rows, 6, 5, 33)
    shared = fd.rnn(x, weights, **DROP, scope="shared", sample=3, **ALL)
    masks = {}
    for name, place, rate, width in (
        ("input_mask", 0, 0.4, 5),
        ("recurrent_mask", 1, 0.3, 33),
    ):
        mask = scaled(drawn(rate, (1, GATES[cell], width), place, 0), rate, "f4")
        masks[name] = np.repeat(mask, rows, axis=0)
    assert same(shared, fd.rnn(x, weights, **masks, **ALL))


# ---- embeddings ----


@tiers
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_an_embedding_equals_its_gathered_rows(tier: str, data: Any) -> None:
    cell = data.draw(st.sampled_from(CELLS))
    rows, steps = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 12))
    features, units = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    vocabulary = data.draw(st.sampled_from([1, 2, 5, 40, 5000]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    table = rng.normal(size=(vocabulary, features)).astype(np.float32)
    kind = data.draw(st.sampled_from(["i1", "u2", "i4", "u8", ">i4"]))
    tokens = rng.integers(0, min(vocabulary, 128), (rows, steps)).astype(kind)
    options: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {},
                {"recurrent_dropout": 0.4},
                {"dropout": 0.4},
                {"dropout": 0.4, "recurrent_dropout": 0.2, "scheme": "tied"},
                {"dropout": 0.4, "scope": "shared"},
                {"zoneout": 0.2, "weight_dropout": 0.3},
                {"dropout": 0.4, "scheme": "per_step"},
                {"dropout": 0.4, "scheme": "per_step", "scope": "shared", "zoneout": 0.1},
            ]
        )
    )
    x = table[tokens]
    shape = data.draw(st.sampled_from([None, (1, features), (rows, features)]))
    mask = None if shape is None else factors(rng, shape).astype(np.float32)
    if mask is not None:
        x = np.where(mask[:, np.newaxis] == 0, np.float32(0), x * mask[:, np.newaxis])
    weights = weights_of(1, cell, features, units)
    layers: Any = weights
    if data.draw(st.booleans()):
        layers = [(weights, weights_of(2, cell, features, units))]
    if data.draw(st.booleans()):
        layers = [weights, weights_of(3, cell, units, 3)]
    with running(tier):
        expected = fd.rnn(x, layers, rng=5, **options, **ALL)
        got = fd.rnn(tokens, layers, rng=5, **options, **ALL, embedding=table, embedding_mask=mask)
    assert same(got, expected)


@cells
def test_many_tokens_of_rows_that_have_masks(backend: str, cell: str) -> None:
    """More of a row's, and of all rows', than a kernel projects side by side."""
    weights, rng = weights_of(1, cell, 3, 4), np.random.default_rng(0)
    table = rng.normal(size=(200, 3)).astype(np.float32)
    tokens, mask = rng.integers(0, 200, (3, 90)), factors(rng, (3, 3)).astype(np.float32)
    expected = fd.rnn(table[tokens], weights, input_mask=mask)
    assert same(fd.rnn(tokens, weights, embedding=table, input_mask=mask), expected)


@pytest.mark.parametrize("vocabulary", [5, 1000, 100_000])
@cells
def test_a_repeated_token_is_projected_once(
    cell: str, vocabulary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more rows than there are steps, and no more than different ones."""
    projected: list[int] = []

    class Spy(_backend.Numpy):
        def project(self, out: Any, packed: Any, table: Any, index: Any, *more: Any) -> None:
            if more[2] is None or len(out) > 1:
                projected.append(len(out))
            super().project(out, packed, table, index, *more)

    monkeypatch.setattr(_backend, "active", Spy())
    weights = weights_of(1, cell, 3, 4)
    table = np.ones((vocabulary, 3), np.float32)
    tokens = np.repeat(np.arange(5)[np.newaxis], 4, axis=0).repeat(6, axis=1)  # (4, 30)
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, 5),
        ({"recurrent_dropout": 0.5}, 5),
        ({"dropout": 0.5, "scope": "shared"}, 5),
        ({"dropout": 0.5}, 20),
        ({"embedding_mask": np.ones((1, 3), np.float32)}, 5),
        ({"embedding_mask": np.ones((4, 3), np.float32)}, 20),
    ]
    for options, expected in cases:
        projected.clear()
        fd.rnn(tokens, weights, embedding=table, rng=0, threads=1, **options)
        assert projected == [expected], options


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_masked_embedding_drops_by_selection(backend: str, value: float) -> None:
    """And without a warning."""
    weights = weights_of(1, "gru", 3, 4)
    table = np.full((2, 3), value, np.float32)
    mask = np.zeros((1, 3), np.float32)
    y = fd.rnn(np.ones((2, 3), int), weights, embedding=table, embedding_mask=mask)
    assert same(y, fd.rnn(np.zeros((2, 3, 3), np.float32), weights))


# ---- directions and stacks ----


def flipped(y: np.ndarray) -> np.ndarray:
    return y[:, ::-1]


MERGE = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("merge_mode", MERGE)
@pytest.mark.parametrize("masked", [False, True])
@cells
def test_a_pair_is_two_calls(backend: str, cell: str, masked: bool, merge_mode: str) -> None:
    x, ahead = problem(10, cell, 6, 5, 4, 7)
    back = weights_of(11, cell, 4, 7)
    options: dict[str, Any] = {**every_option(cell), "row_offset": 2}
    if masked:
        options["mask"] = np.random.default_rng(0).random((6, 5)) < 0.6
    merge = MERGE[merge_mode]
    got, state = fd.rnn(x, (ahead, back), **options, **ALL, site=3, merge_mode=merge_mode)
    a, *state_a = fd.rnn(x, ahead, **options, **ALL, site=3)
    b, *state_b = fd.rnn(x, back, **options, **ALL, site=3 + 8, go_backwards=True)
    assert same(got, merge(a, flipped(b)))
    states = (tuple(state_a), tuple(state_b)) if cell == "lstm" else (*state_a, *state_b)
    assert same(state, states)
    last = fd.rnn(x, (ahead, back), **options, site=3, merge_mode=merge_mode)
    assert same(last, merge(a[:, -1], b[:, -1]))


@pytest.mark.parametrize("merge_mode", ["sum", "mul", "ave"])
def test_merging_beyond_the_largest_number(backend: str, merge_mode: str) -> None:
    """Is no reason for a warning."""
    kernel, nothing = np.full((1, 1), 3e38, np.float32), np.zeros((1, 1), np.float32)
    weights = fd.pack_simple_rnn(kernel, nothing, activation="linear")
    x = np.ones((1, 1, 1), np.float32)
    assert fd.rnn(x, (weights, weights), merge_mode=merge_mode) == np.inf


def test_directions_of_different_cells_and_widths(backend: str) -> None:
    x, ahead = problem(12, "lstm", 3, 5, 4, 7)
    back = weights_of(13, "gru", 4, 2)
    y, state = fd.rnn(x, (ahead, back), return_state=True)
    assert same(y[:, :7], fd.rnn(x, ahead))
    assert same(y[:, 7:], fd.rnn(x, back, go_backwards=True))
    assert [np.shape(part) for part in state] == [(2, 3, 7), (3, 2)]
    again, _ = fd.rnn(x, (ahead, back), initial_state=state, return_state=True)
    assert same(again[:, 7:], fd.rnn(x, back, go_backwards=True, initial_state=(state[1],)))
    assert same(again[:, :7], fd.rnn(x, ahead, initial_state=state[0]))


@cells
def test_a_stack_is_layer_after_layer(backend: str, cell: str) -> None:
    x, first = problem(14, cell, 5, 6, 4, 7)
    pair = (weights_of(15, "gru", 7, 3), weights_of(16, "lstm", 7, 5))
    last = weights_of(17, cell, 8, 6)
    valid = np.random.default_rng(0).random((5, 6)) < 0.8
    options: dict[str, Any] = {**DROP, "mask": valid, "row_offset": 4, "zoneout": 0.2}
    got, state = fd.rnn(x, [first, pair, last], **options, **ALL, site=2)
    y, *state_0 = fd.rnn(x, first, **options, **ALL, site=2)
    y, state_1 = fd.rnn(y, pair, **options, **ALL, site=2 + 16)
    y, *state_2 = fd.rnn(y, last, **options, **ALL, site=2 + 32)
    assert same(got, y)
    states = [tuple(s) if cell == "lstm" else s[0] for s in (state_0, state_2)]
    assert same(state, [states[0], state_1, states[1]])
    # A state that came out goes in again.
    carried = fd.rnn(x, [first, pair, last], initial_state=state)
    y = fd.rnn(x, first, initial_state=states[0], return_sequences=True)
    y = fd.rnn(y, pair, initial_state=state_1, return_sequences=True)
    assert same(carried, fd.rnn(y, last, initial_state=states[1]))


@cells
def test_a_stack_goes_backwards_as_a_whole(backend: str, cell: str) -> None:
    """As Keras's stacked cells do: all layers take the same step."""
    x, first = problem(18, cell, 4, 6, 3, 5)
    layers = [first, weights_of(19, cell, 5, 4)]
    valid = np.random.default_rng(1).random((4, 6)) < 0.6
    options: dict[str, Any] = {**DROP, **ALL, "zero_output_for_mask": True}
    got = fd.rnn(x, layers, **options, mask=valid, go_backwards=True)
    assert same(got, fd.rnn(flipped(x), layers, **options, mask=flipped(valid)))


def test_a_list_of_one_is_the_layer(backend: str) -> None:
    x, weights = problem(20, "lstm", 4, 6, 3, 5)
    y, h, c = fd.rnn(x, weights, **DROP, return_state=True)
    assert same(fd.rnn(x, [weights], **DROP, return_state=True), (y, [(h, c)]))


# ---- padded steps ----


@pytest.mark.parametrize("layers", ["one", "backwards", "pair", "stack"])
@cells
def test_ragged_rows_equal_each_row_cut(backend: str, cell: str, layers: str) -> None:
    x, weights = problem(21, cell, 5, 7, 3, 6)
    chosen: Any = {
        "pair": (weights, weights_of(22, cell, 3, 4)),
        "stack": [(weights, weights_of(22, cell, 3, 4)), weights_of(23, cell, 10, 5)],
    }.get(layers, weights)
    lengths = np.array([7, 0, 3, 1, 5])
    x[np.arange(7) >= lengths[:, np.newaxis]] = np.nan
    options: dict[str, Any] = {**DROP, "go_backwards": layers == "backwards"}
    got = fd.rnn(x, chosen, **options, lengths=lengths)
    assert np.isfinite(got).all()
    mask = np.arange(7) < lengths[:, np.newaxis]
    assert same(fd.rnn(x, chosen, **options, mask=mask), got)
    for n, length in enumerate(lengths.tolist()):
        row = fd.rnn(x[n : n + 1, :length], chosen, **options, row_offset=n)
        assert same(got[n : n + 1], row)


@cells
def test_masked_steps_keep_the_state_and_the_numbers_of_the_others(backend: str, cell: str) -> None:
    x, weights = problem(24, cell, 2, 5, 3, 6)
    valid = np.array([[False, True, True, False, True], [True] * 5])
    options: dict[str, Any] = {**DROP, "zoneout": 0.5}
    y, *_ = fd.rnn(x, weights, **options, mask=valid, **ALL)
    assert (y[0, 0] == 0).all()
    assert same(y[0, 3], y[0, 2])
    # Step 1 of row 0 is step 1 of its zoneout mask, whether or not step 0 was taken.
    kept = drawn_zoneout(6, 1)
    assert (y[0, 1][kept] == 0).all()
    zeros, *_ = fd.rnn(x, weights, **options, mask=valid, **ALL, zero_output_for_mask=True)
    assert (zeros[0, 3] == 0).all()
    assert same(zeros[0, 4], y[0, 4])
    # Of the last step, also where its output is the only one asked for.
    valid[0, 4] = False
    for zero, expected in ((True, np.zeros(6, np.float32)), (False, y[0, 2])):
        last = fd.rnn(x, weights, **options, mask=valid, zero_output_for_mask=zero)
        assert same(last[0], expected)
        assert same(last[1], y[1, 4])


@cells
def test_before_the_first_step_taken_outputs_are_zero(backend: str, cell: str) -> None:
    """Also where the state is not, which stays as it is."""
    x, weights = problem(24, cell, 2, 3, 3, 6)
    h = np.full((2, 6), 0.5, np.float32)
    valid = np.array([[False, False, True], [False] * 3])
    given: Any = (h, h + 1) if cell == "lstm" else h
    y, *state = fd.rnn(x, weights, mask=valid, initial_state=given, **ALL)
    assert not y[:, :2].any()
    assert not y[1].any()
    assert y[0, 2].all()
    assert same(y[0, 2], fd.rnn(x[:1, 2:], weights, initial_state=_first(given))[0])
    assert same(state[0][1], h[1])
    last = fd.rnn(x, weights, mask=valid, initial_state=given)
    assert same(last, y[:, -1])


def _first(state: Any) -> Any:
    return tuple(part[:1] for part in state) if isinstance(state, tuple) else state[:1]


def drawn_zoneout(units: int, step: int) -> np.ndarray:
    return fd.bernoulli(0.5, units, rng=5, stream=3 << 32, offset=step * units)


# ---- numbers and arrays ----


@cells
def test_nan_stays_in_its_row_and_a_dropped_nan_is_gone(backend: str, cell: str) -> None:
    x, weights = problem(9, cell, 5, 4, 3, 6)
    clean = fd.rnn(x, weights)
    x[2, 1, 0] = np.nan
    dirty = fd.rnn(x, weights)
    assert np.isnan(dirty[2]).all()
    assert same(np.delete(dirty, 2, 0), np.delete(clean, 2, 0))
    mask = np.ones((5, 3), np.float32)
    mask[2, 0] = 0
    assert np.isfinite(fd.rnn(x, weights, input_mask=mask)).all()
    shared = np.ones((1, 3), np.float32)
    shared[0, 0] = 0
    assert np.isfinite(fd.rnn(x, weights, input_mask=shared)).all()
    if cell != "simple_rnn":
        state = np.zeros((5, 6), np.float32)
        state[3, 2] = np.nan
        h = (state, np.zeros_like(state)) if cell == "lstm" else state
        y = fd.rnn(x, weights, input_mask=mask, initial_state=h)
        assert same(np.delete(y, 3, 0), np.delete(fd.rnn(x, weights, input_mask=mask), 3, 0))


@pytest.mark.parametrize("alike", [False, True])
@cells
def test_a_dropped_nan_is_gone_whatever_the_factors(backend: str, cell: str, alike: bool) -> None:
    """Kernels read masks of one scale as bits, and others as numbers; per gate or one for all."""
    x, weights = problem(9, cell, 3, 4, 37, 5)
    x[..., 0] = np.nan
    x[..., 34] = np.inf
    for gates in (1, GATES[cell]):
        mask = np.full((3, gates, 37), 2 if alike else 0.5, np.float32)
        mask[..., 1::2] = 2
        mask[..., [0, 34]] = 0
        clean = np.where(mask[:, :1] == 0, np.float32(0), x)
        expected = fd.rnn(clean, weights, input_mask=mask, **ALL)
        assert all(np.isfinite(part).all() for part in expected)
        assert same(fd.rnn(x, weights, input_mask=mask, **ALL), expected)
        shared = fd.rnn(x, weights, input_mask=mask[:1], **ALL)
        assert same(shared, fd.rnn(clean, weights, input_mask=mask[:1], **ALL))


@pytest.mark.parametrize("kept", [(299, 399, 449, 499), (255, 256, 257, 512), (0, 1, 600, 300)])
@pytest.mark.parametrize("rows", [1, 9])
def test_shared_masks_of_gates_that_keep_few_and_many(
    backend: str, rows: int, kept: tuple[int, ...]
) -> None:
    """More than a product takes at a time, some gates' lists having ended before others'."""
    x, weights = problem(9, "lstm", rows, 16, 700, 5)
    x[..., 0] = np.nan
    mask = np.zeros((1, 4, 700), np.float32)
    for gate, count in enumerate(kept):
        mask[0, gate, 700 - count :] = 1.5
    got = fd.rnn(x, weights, input_mask=mask, **ALL)
    assert all(np.isfinite(part).all() for part in got)
    x[..., 0] = 0
    # To the same bits as masks that every row has for itself.
    each = fd.rnn(x, weights, input_mask=mask.repeat(rows, 0), **ALL) if rows > 1 else None
    assert each is None or same(got, each)
    assert_close(got[0], loop(x, weights, input_mask=mask)[0].astype(np.float32), FLOAT32)


@cells
def test_no_sum_is_minus_zero(backend: str, cell: str) -> None:
    """It would tell whether products of zero were left out; NumPy has no such kernels."""
    if backend == "numpy":
        return
    width = GATES[cell] * 5
    arrays = [np.full(shape, -1, np.float32) for shape in ((3, width), (5, width))]
    bias = np.full((2, width) if cell == "gru" else width, -0.0, np.float32)
    weights = pack(cell, [*arrays, bias], activation="linear")
    for rows in (1, 2, 9):
        y = fd.rnn(np.zeros((rows, 2, 3), np.float32), weights, return_sequences=True)
        assert not y.any()
        assert not np.signbit(y).any()
    if cell == "simple_rnn":
        out = fd.dense(np.zeros((2, 3), np.float32), arrays[0], bias)
        assert not np.signbit(out).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tanh_in_cells_is_within_a_step(backend: str, dtype: str) -> None:
    """Of an LSTM's state and of both cells' candidates, up to where it is 1."""
    values = np.concatenate([np.linspace(0.01, 8, 100), np.linspace(8, 24, 400)]).astype(dtype)
    units = len(values)
    exact = np.tanh(values.astype(np.longdouble)).astype(np.float64)
    signs = np.where(np.arange(units) % 2, 1, -1)
    step = np.spacing(np.nextafter(exact.astype(dtype), np.zeros(1, dtype))).astype(np.float64)
    bound = np.full(units, 4.0)
    if dtype == "float32":
        bound[values >= 10] = 0.5  # it is 1
    zero = np.zeros((1, 1, 0), dtype)
    # All gates are 1, through a hard sigmoid.
    bias = np.full((4, units), 9, dtype)
    bias[2] = 0
    arrays = [np.zeros((0, 4 * units), dtype), np.zeros((units, 4 * units), dtype)]
    weights = fd.pack_lstm(*arrays, bias.reshape(-1), recurrent_activation="hard_sigmoid")
    state = np.stack([values * signs.astype(dtype)])
    h = fd.rnn(zero, weights, initial_state=(np.zeros_like(state), state))[0]
    assert (np.abs(h - exact * signs) <= bound * step).all()
    bias[2] = state
    bias[1] = -9  # nothing of the old state
    weights = fd.pack_lstm(*arrays, bias.reshape(-1), recurrent_activation="hard_sigmoid")
    *_, c = fd.rnn(zero, weights, return_state=True)
    assert (np.abs(c[0] - exact * signs) <= bound * step).all()
    # An update gate of 0 takes the candidate alone.
    bias = np.stack([np.full(units, -9), np.zeros(units), state[0]]).astype(dtype)
    arrays = [np.zeros((0, 3 * units), dtype), np.zeros((units, 3 * units), dtype)]
    weights = fd.pack_gru(
        *arrays, bias.reshape(-1), reset_after=False, recurrent_activation="hard_sigmoid"
    )
    h = fd.rnn(zero, weights)[0]
    assert (np.abs(h - exact * signs) <= bound * step).all()


@pytest.mark.parametrize(("dtype", "end", "bound"), [("f4", -60, 1e-5), ("f8", -590, 1e-12)])
def test_gates_far_below_zero(backend: str, dtype: str, end: float, bound: float) -> None:
    """An LSTM's output gate of a state whose tanh is 1, and a GRU's update gate of a state of 1."""
    z = np.linspace(-1, end, 60).astype(dtype)
    exact = (1 / (1 + np.exp(-z.astype(np.longdouble)))).astype(np.float64)
    x, one = np.zeros((1, 1, 0), dtype), np.ones((1, 60), dtype)
    for cell, gates in (("lstm", 4), ("gru_reset_first", 3)):
        bias = np.zeros((gates, 60), dtype)
        bias[-1 if cell == "lstm" else 0] = z
        bias[1] = 50  # nothing of the state is forgotten
        arrays = [np.zeros((n, gates * 60), dtype) for n in (0, 60)]
        weights = pack(cell, [*arrays, bias.reshape(-1)])
        state = (one, 40 * one) if cell == "lstm" else one
        h = fd.rnn(x, weights, initial_state=state)[0]
        assert (np.abs(h - exact) <= bound * exact).all()


@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (3, 0, 2, 4), (3, 4, 0, 5), (3, 2, 2, 0)])
@cells
def test_axes_of_size_zero(backend: str, cell: str, shape: tuple[int, ...]) -> None:
    x, weights = problem(10, cell, *shape)
    rows, steps, _, units = shape
    for options in (every_option(cell), every_option(cell) | {"scope": "shared"}):
        y, *state = fd.rnn(x, weights, **ALL, **options)
        assert y.shape == (rows, steps, units)
        assert all(part.shape == (rows, units) for part in state)
    second = weights_of(11, cell, 2 * units, 3)
    y, _ = fd.rnn(x, [(weights, weights), second], **ALL, **DROP, between_dropout=0.5)
    assert y.shape == (rows, steps, 3)
    arrays = arrays_of(np.random.default_rng(12), cell, *shape[2:], "float32")
    for activation in ("softmax", "log_softmax"):  # of a row as a whole
        gates = {} if cell == "simple_rnn" else {"recurrent_activation": activation}
        of_rows = pack(cell, arrays, activation=activation, **gates)
        assert fd.rnn(x, of_rows, return_sequences=True).shape == (rows, steps, units)
    if steps == 0:
        state = [np.full((rows, units), 2 + k, np.float32) for k in range(len(state))]
        given: Any = tuple(state)
        last, *state = fd.rnn(x, weights, initial_state=given, return_state=True)
        assert (last == 2).all()
        assert all((part == 2 + k).all() for k, part in enumerate(state))


# Options that have elements, how many of them a row has in an LSTM of 3 features and 5 units, and
# whether these are new at each step.
ELEMENTS: list[tuple[dict[str, Any], int, bool]] = [
    ({"dropout": 0.5}, 4 * 5, False),
    ({"dropout": 0.5, "scheme": "tied"}, 5, False),
    ({"dropout": 0.5, "scheme": "per_step"}, 2**24 * 3, True),
    ({"zoneout": 0.5}, 2**24 * 5, True),
    ({"zoneout": (0.5, 0.0)}, 2**24 * 5, True),
    ({"zoneout": (0.0, 0.5)}, 2**24 * 5, True),
]


@pytest.mark.parametrize(("options", "elements", "new"), ELEMENTS, ids=str)
def test_ends_of_ranges(backend: str, options: dict[str, Any], elements: int, new: bool) -> None:
    """The last row and step whose elements have numbers below 2**63 and 2**24 * width each."""
    x, weights = problem(10, "lstm", 2, 4, 3, 5)
    last = 2**63 // elements - 2
    fd.rnn(x, weights, **options, rng=0, row_offset=last)
    with pytest.raises(ValueError, match=f"row_offset: expected at most {last} here"):
        fd.rnn(x, weights, **options, rng=0, row_offset=last + 1)
    last = 2**24 - 4 if new else 2**70
    y = fd.rnn(x, weights, **options, rng=0, first_step=last, return_sequences=True)
    *_, h, c = fd.rnn(x[:, :3], weights, **options, rng=0, first_step=last, return_state=True)
    end, _ = fd.step(x[:, 3], weights, (h, c), **options, rng=0, first_step=last + 3)
    assert same(end, y[:, 3])
    if new:
        with pytest.raises(ValueError, match=f"first_step: expected at most {last} here"):
            fd.rnn(x, weights, **options, rng=0, first_step=last + 1)


@pytest.mark.parametrize(
    ("cell", "features", "units", "options", "elements"),
    [
        ("lstm", 4, 4, {"dropout": 0.5}, 16),  # these divide 2**63
        ("lstm", 16, 4, {"dropout": 0.5}, 64),
        ("simple_rnn", 8, 4, {"dropout": 0.5}, 8),
        ("gru", 2, 4, {"scheme": "tied", "recurrent_dropout": 0.5}, 4),
        ("gru", 16, 4, {"scheme": "per_step", "dropout": 0.5}, 2**28),
        ("gru", 16, 4, {"zoneout": 0.5}, 2**26),
    ],
)
def test_the_last_row_there_is(
    backend: str, cell: str, features: int, units: int, options: dict[str, Any], elements: int
) -> None:
    x, weights = problem(10, cell, 1, 2, features, units)
    last = 2**63 // elements - 1
    end = fd.rnn(x, weights, **options, rng=0, row_offset=last)
    assert same(end, fd.rnn(np.repeat(x, 3, 0), weights, **options, rng=0, row_offset=last - 2)[2:])
    with pytest.raises(ValueError, match=f"row_offset: expected at most {last} here"):
        fd.rnn(x, weights, **options, rng=0, row_offset=last + 1)


@pytest.mark.parametrize(
    ("options", "elements"),
    [
        ({"dropout": 0.5}, 32),
        ({"recurrent_dropout": 0.5, "scheme": "tied"}, 8),
        ({"dropout": 0.5, "scheme": "per_step"}, 2**27),
    ],
)
def test_the_last_row_of_a_stack(backend: str, options: dict[str, Any], elements: int) -> None:
    """Its last layer has the most elements a row."""
    x, first = problem(10, "lstm", 1, 2, 4, 2)
    layers = [first, weights_of(2, "gru", 2, 8), weights_of(3, "lstm", 8, 2)]
    last = 2**63 // elements - 1
    fd.rnn(x, layers, **options, rng=0, row_offset=last)
    with pytest.raises(ValueError, match=f"row_offset: expected at most {last} here"):
        fd.rnn(x, layers, **options, rng=0, row_offset=last + 1)


def test_the_last_row_and_step_between_layers(backend: str) -> None:
    x, first = problem(10, "lstm", 1, 2, 4, 8)
    layers = [(first, first), weights_of(2, "gru", 16, 2)]
    options: dict[str, Any] = {"between_dropout": 0.5, "rng": 0}
    fd.rnn(x, layers, **options, row_offset=2**35 - 1, first_step=2**24 - 2)
    with pytest.raises(ValueError, match=f"row_offset: expected at most {2**35 - 1} here"):
        fd.rnn(x, layers, **options, row_offset=2**35)
    with pytest.raises(ValueError, match=f"first_step: expected at most {2**24 - 2} here"):
        fd.rnn(x, layers, **options, first_step=2**24 - 1)


def test_an_embedding_of_no_rows(backend: str) -> None:
    weights = weights_of(1, "gru", 2, 3)
    for shape in ((0, 3), (3, 0), (0, 0)):
        tokens, table = np.zeros(shape, int), np.zeros((0, 2), np.float32)
        assert fd.rnn(tokens, weights, embedding=table, **DROP).shape == (shape[0], 3)


@cells
def test_inputs_are_left_alone(backend: str, cell: str) -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(4, 5, 6)).astype(np.float32)
    arrays = arrays_of(rng, cell, 6, 7)
    state = [np.ones((4, 7), np.float32) for _ in range(2 if cell == "lstm" else 1)]
    table, valid = rng.normal(size=(9, 6)).astype(np.float32), np.ones((4, 5), bool)
    tokens = rng.integers(0, 9, (4, 5))
    masks = [factors(rng, (4, width)).astype(np.float32) for width in (6, 7)]
    everything = [x, *arrays, *state, table, valid, tokens, *masks]
    before = [a.copy() for a in everything]
    for a in everything:
        a.flags.writeable = False
    weights = pack(cell, arrays)
    carried: Any = tuple(state)
    y, *end = fd.rnn(x, weights, **every_option(cell), initial_state=carried, return_state=True)
    fd.rnn(x, weights, input_mask=masks[0], recurrent_mask=masks[1], mask=valid)
    fd.rnn(tokens, weights, embedding=table, embedding_mask=masks[0], **DROP)
    functional(cell)(x, *arrays, **DROP)
    assert all(np.array_equal(a, b) for a, b in zip(everything, before, strict=True))
    assert not any(np.shares_memory(a, b) for a in (y, *end) for b in everything)
    assert not np.shares_memory(y, end[0])


def functional(cell: str) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        if cell.startswith("gru"):
            return fd.gru(*args, reset_after=cell == "gru", **options)
        return {"lstm": fd.lstm, "simple_rnn": fd.simple_rnn}[cell](*args, **options)

    return call


@cells
def test_layouts_do_not_matter(backend: str, cell: str) -> None:
    rng = np.random.default_rng(12)
    x = rng.normal(size=(4, 5, 6)).astype(np.float32)
    kernel, recurrent_kernel, bias = arrays_of(rng, cell, 6, 7)
    options = every_option(cell)
    expected = fd.rnn(x, pack(cell, [kernel, recurrent_kernel, bias]), **options)
    odd = [
        kernel[::-1].copy()[::-1],
        recurrent_kernel.astype(">f4"),
        np.repeat(bias, 2, axis=-1)[..., ::2],
    ]
    assert same(fd.rnn(np.asfortranarray(x), pack(cell, odd), **options), expected)
    assert same(functional(cell)(np.asfortranarray(x), *odd, **options), expected)
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = x.reshape(-1).view(np.uint8)
    assert same(fd.rnn(raw[1:].view("f4").reshape(x.shape), pack(cell, odd), **options), expected)
    masks = [factors(rng, (4, GATES[cell], width)).astype(np.float32) for width in (6, 7)]
    weights = pack(cell, odd)
    replayed = fd.rnn(x, weights, input_mask=masks[0], recurrent_mask=masks[1])
    masks = [np.asfortranarray(mask.astype(">f4")) for mask in masks]
    assert same(fd.rnn(x, weights, input_mask=masks[0], recurrent_mask=masks[1]), replayed)
    table, tokens = rng.normal(size=(9, 6)).astype(np.float32), rng.integers(0, 9, (4, 5))
    replayed = fd.rnn(table[tokens], weights, **options)
    table, tokens = np.asfortranarray(table), np.asfortranarray(tokens)
    assert same(fd.rnn(tokens, weights, embedding=table, **options), replayed)


def test_kernels_get_contiguous_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are handed pointers: nothing else would show them a stride."""
    calls = 0

    class Spy:
        def __getattr__(self, name: str) -> Any:
            found = getattr(BACKENDS["numpy"], name)
            if name not in ("rnn", "project", "masks", "pack", "share"):
                return found

            def checked(*args: Any) -> Any:
                nonlocal calls
                calls += 1
                given = args
                if name == "rnn":
                    given = tuple(getattr(args[0], f.name) for f in dataclasses.fields(args[0]))
                arrays = [a for a in given if isinstance(a, np.ndarray)]
                assert all(a.flags.c_contiguous and a.flags.aligned for a in arrays)
                assert len({a.dtype for a in arrays if a.dtype.kind == "f"}) <= 1
                assert all(a.dtype in (np.uint8, np.int64) for a in arrays if a.dtype.kind != "f")
                if name == "rnn":  # nothing twice, and nothing for what is not there
                    call = args[0]
                    assert call.packed.input_mask is None or call.input_mask is None
                    assert call.packed.recurrent_mask is None or call.recurrent_mask is None
                    assert call.c is not None or call.zoneout_c is None
                return found(*args)

            return checked

    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_plan, "_PIECE_ROWS", 3)
    rng = np.random.default_rng(0)
    first, back = weights_of(1, "lstm", 6, 7), weights_of(2, "gru", 6, 2)
    second = weights_of(3, "simple_rnn", 9, 4, "float64")
    table = np.asfortranarray(rng.normal(size=(9, 6)).astype(np.float32))
    tokens = np.asfortranarray(rng.integers(0, 9, (7, 5)).astype(np.int8))
    x = np.asfortranarray(rng.normal(size=(7, 5, 6)).astype(">f4"))
    mask = np.asfortranarray(rng.random((7, 5)) < 0.8)
    emb = np.asfortranarray(factors(rng, (7, 6)).astype(np.float32))
    drop: dict[str, Any] = {**DROP, **ALL, "zoneout": 0.2, "weight_dropout": 0.1, "mask": mask}
    for layers in (first, (first, back), [(first, back), second]):
        for scope in ("per_row", "shared"):
            fd.rnn(x, layers, **drop, scope=scope)
            fd.rnn(tokens, layers, embedding=table, embedding_mask=emb, **drop, scope=scope)
    options = {"go_backwards": True, "between_dropout": 0.5}
    fd.rnn(x[..., :6], [weights_of(4, "gru", 6, 9), second], **drop, **options)
    for rows in (7, 1):
        fd.rnn(
            x,
            first,
            input_mask=np.asfortranarray(factors(rng, (rows, 4, 6)).astype(np.float32)),
            recurrent_mask=np.asfortranarray(factors(rng, (rows, 7)).astype(np.float32)),
            candidate_mask=np.asfortranarray(factors(rng, (rows, 7)).astype(np.float32)),
            initial_state=(np.asfortranarray(x[:, 0, :1].repeat(7, 1)),) * 2,
        )
    assert calls > 50


@cells
def test_mixed_dtypes_are_computed_in_the_wider(backend: str, cell: str) -> None:
    x, weights = problem(13, cell, 3, 4, 5, 6)
    wide = pack(cell, [a.astype(np.float64) for a in plain(weights)])
    expected = fd.rnn(x.astype(np.float64), wide)
    assert expected.dtype == np.float64
    assert same(fd.rnn(x, wide), expected)
    assert same(fd.rnn(x.astype(np.float64), weights), expected)
    mixed = [a.astype(np.float64) if k == 1 else a for k, a in enumerate(plain(weights))]
    assert pack(cell, mixed).dtype == np.float64
    assert same(fd.rnn(x, pack(cell, mixed)), expected)
    for k in range(3):  # also where only one of the arrays is
        mixed = [a.astype(np.float64) if i == k else a for i, a in enumerate(plain(weights))]
        assert pack(cell, mixed).dtype == np.float64
        assert same(fd.rnn(x, pack(cell, mixed)), expected)
    assert same(functional(cell)(x, *mixed), expected)
    assert fd.rnn(x, weights).dtype == np.float32  # and packed anew for neither
    rng = np.random.default_rng(14)
    narrow: dict[str, Any] = {
        "input_mask": factors(rng, (3, 5)).astype(np.float32),
        "recurrent_mask": factors(rng, (3, 6)).astype(np.float32),
        "candidate_mask": factors(rng, (1, 6)).astype(np.float32),
    }
    for name, mask in narrow.items():
        if name != "candidate_mask" or cell != "simple_rnn":
            expected = fd.rnn(x, wide, **{name: mask.astype(np.float64)})
            assert same(fd.rnn(x, wide, **{name: mask}), expected), name
    state = rng.normal(size=(3, 6)).astype(np.float32)
    results = []
    for dtype in (np.float32, np.float64):
        carried: Any = (state.astype(dtype),) * (2 if cell == "lstm" else 1)
        results.append(fd.rnn(x, wide, initial_state=carried))
    assert same(*results)


def plain(weights: fd.PackedWeights) -> list[np.ndarray]:
    assert weights.bias is not None
    return [weights.kernel, weights.recurrent_kernel, weights.bias]


@cells
def test_without_a_bias_it_is_zero(backend: str, cell: str) -> None:
    x, weights = problem(14, cell, 3, 4, 5, 6)
    arrays = plain(weights)
    expected = fd.rnn(x, pack(cell, [*arrays[:2], np.zeros_like(arrays[2])]))
    assert same(fd.rnn(x, pack(cell, arrays[:2])), expected)
    assert same(functional(cell)(x, *arrays[:2]), expected)


@cells
def test_functional_forms_are_rnn(backend: str, cell: str) -> None:
    x, weights = problem(15, cell, 3, 4, 5, 6)
    options: dict[str, Any] = {**every_option(cell), **ALL, "go_backwards": True}
    assert same(functional(cell)(x, *plain(weights), **options), fd.rnn(x, weights, **options))


# ---- calls of kernels ----


def test_no_call_of_a_kernel_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason why Ctrl-C is seen: no call but of a single step lasts longer than 0.1 s."""
    flops: list[tuple[int, int]] = []  # and of how many steps
    speed, clock = 1.0, 0.0

    class Time:
        @staticmethod
        def perf_counter() -> float:
            return clock

    class Spy:
        plain_rnn = None
        distinct = BACKENDS["numpy"].distinct

        def pack(self, *args: Any) -> Any:
            return BACKENDS["numpy"].pack(*args)

        def rnn(self, call: _backend.RnnCall) -> None:
            features = 0 if call.x is None else call.x.shape[2]
            steps = call.last - call.first
            row = 2 * call.packed.width * (features + call.h.shape[1])
            taken = len(call.h) * steps
            if call.step_mask is not None:
                in_order = call.step_mask[:, ::-1] if call.backwards else call.step_mask
                taken = np.count_nonzero(in_order[:, call.first : call.last])
            flops.append((row * taken, steps))
            nonlocal clock
            clock += flops[-1][0] / speed

        def project(self, out: np.ndarray, packed: Any, table: np.ndarray, *args: Any) -> None:
            flops.append((2 * out.size * table.shape[1], 2))

    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_run, "time", Time)
    calls = []
    for cell, speed in itertools.product(CELLS, (2e9, 200e9)):
        calls.append(len(flops))
        for rows, steps, features, units in (
            (200, 1000, 8, 300),
            (1, 10000, 8, 64),
            (64, 2, 8, 2000),
            (64, 40, 3000, 10),
        ):
            x = np.zeros((rows, steps, features), np.float32)
            weights = weights_of(0, cell, features, units)
            fd.rnn(x, (weights, weights), threads=1)
            # Where most is masked at first, calls do not grow beyond what comes later.
            masked = np.arange(steps) >= np.minimum(steps // 2, np.arange(rows))[:, np.newaxis] * 9
            fd.rnn(x, weights, mask=masked, threads=1)
            fd.rnn(x, weights, mask=masked[:, ::-1], go_backwards=True, threads=1)
            tokens = np.arange(rows * steps).reshape(rows, steps) % 7000
            table = np.zeros((7000, features), np.float32)
            fd.rnn(tokens, weights, embedding=table, threads=1)
        seconds = [f / speed for f, steps in flops[calls[-1] :] if steps > 1]
        assert max(seconds) <= 0.1001
    assert max(f for f, steps in flops if steps == 1) <= _plan._STEP_FLOPS
    slow, fast, *_ = np.diff(calls)
    assert slow > 1000
    assert fast < slow / 2  # where more is done in the time, there are fewer calls


def test_a_clock_that_stands_still(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one may between two short calls."""

    class Time:
        @staticmethod
        def perf_counter() -> float:
            return 1.0

    x, weights = problem(0, "lstm", 2, 7, 3, 5)
    expected = fd.rnn(x, weights)
    monkeypatch.setattr(_run, "time", Time)
    assert same(fd.rnn(x, weights), expected)


@pytest.mark.parametrize("shape", [(1, 300, 70), (9, 33, 48), (5, 1, 17), (3, 0, 5), (2, 3, 0)])
def test_dense_layers_in_pieces(
    backend: str, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns and rows a few at a time, to the same bits."""
    _, inputs, columns = shape
    rng = np.random.default_rng(0)
    x, kernel, bias = (
        rng.normal(size=shape[:2]),
        rng.normal(size=shape[1:]),
        rng.normal(size=columns),
    )
    for start in (bias, None):
        whole = fd.dense(x, kernel, start)
        assert_close(whole, x @ kernel + (0 if start is None else start), FLOAT64)
        with monkeypatch.context() as patch:
            patch.setattr(feedforward, "_PACKED_NUMBERS", 32 * max(1, inputs))
            patch.setattr(_threads, "PIECE_FLOPS", 2 * 2 * 32 * max(1, inputs))
            assert same(fd.dense(x, kernel, start), whole)
        with monkeypatch.context() as patch:
            patch.setattr(feedforward, "_PACKED_NUMBERS", 1)
            patch.setattr(_threads, "PIECE_FLOPS", 1)
            assert same(fd.dense(x, kernel, start), whole)


def test_no_call_of_a_dense_layer_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    class Spy:
        def dense(self, out: Any, x: np.ndarray, kernel: np.ndarray, bias: Any) -> None:
            calls.append((len(x), *kernel.shape))
            assert out.shape == (len(x), kernel.shape[1])
            assert bias.shape == (kernel.shape[1],)

        def activate(self, *args: Any) -> None:
            pass

    monkeypatch.setattr(_backend, "active", Spy())
    most = feedforward._PACKED_NUMBERS
    for rows, inputs, columns in (
        (1000, 1000, 4194),
        (1000, 1000, 4195),
        (70, 5000, 4000),
        (3, most // 16, 40),
        (100_000, 10, 10),
    ):
        calls.clear()
        bias = np.broadcast_to(np.float32(0), columns)
        arrays = [np.zeros(shape, np.float32) for shape in ((rows, inputs), (inputs, columns))]
        fd.dense(*arrays, bias)
        done = [n * k * m for n, k, m in calls]
        assert sum(done) == rows * inputs * columns
        assert max(k * m for _, k, m in calls) <= most
        assert max(2 * work for work in done) <= _threads.PIECE_FLOPS
        # And none is short without need: each packs its weights.
        assert 2 * calls[0][0] * calls[0][1] * calls[0][2] > _threads.PIECE_FLOPS / 2 or (
            calls[0][0] == rows
        )
        assert calls[0][1] * (calls[0][2] + 16) > most or calls[0][2] == columns


def test_where_shared_masks_go_into_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """From so many rows times steps, and features and units on, where enough is dropped."""
    calls: list[list[bool]] = []

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def share(self, packed: Any, *masks: Any) -> Any:
            calls.append([mask is not None for mask in masks])
            return super().share(packed, *masks)

    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_plan, "_SHARE_ROW_STEPS", 64)
    monkeypatch.setattr(_plan, "_SHARE_WIDTH", 96)
    monkeypatch.setattr(_plan, "_SHARE_KEPT", 0.75)

    def shared(
        rows: int = 8,
        steps: int = 8,
        features: int = 80,
        kept: tuple[int, ...] = (60, 10, 10, 10),
        of: int = 1,
        **options: Any,
    ) -> list[list[bool]]:
        calls.clear()
        x, weights = problem(0, "lstm", rows, steps, features, 16)
        mask = np.zeros((of, 4, features), np.float32)
        for gate, count in enumerate(kept):
            mask[:, gate, :count] = 2
        fd.rnn(x, weights, input_mask=mask, **options)
        return list(calls)

    assert shared() == [[True, False]]
    assert shared(rows=7) == []
    assert shared(rows=1, steps=64) == [[True, False]]
    assert shared(steps=7) == []
    assert shared(features=79) == []
    assert shared(kept=(10, 61, 10, 10)) == []  # the gate that keeps the most counts
    assert shared(of=8) == []
    half = np.zeros((1, 16), np.float32)
    assert shared(recurrent_mask=half) == [[True, True]]
    assert shared(kept=(80,) * 4, recurrent_mask=half) == [[False, True]]
    assert shared(weight_dropout=0.5, rng=0) == []


def test_pieces_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is for each goes to its directions."""
    given: list[int] = []

    def rows(self: Any, piece: slice, out: np.ndarray, threads: int) -> None:
        given.append(threads)
        out[...] = 0

    monkeypatch.setattr(_run.Run, "rows", rows)
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)
    x, weights = problem(0, "lstm", 130, 2, 3, 5)
    pair = (weights, weights)
    for count, threads, expected in (
        (1, 4, [4]),
        (2, 4, [2, 2]),
        (3, 2, [1, 1]),
        (130, 1, [1, 1, 1]),
        (130, 4, [1] * 4),
    ):
        given.clear()
        fd.rnn(x[:count], pair, threads=threads)
        assert given == expected


def test_looking_up_takes_as_many_rows_as_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def project(self, out: Any, *more: Any) -> None:
            sizes.append(len(out))
            super().project(out, *more)

        def rnn(self, *args: Any) -> None:
            pass

    monkeypatch.setattr(_backend, "active", Spy())
    weights = weights_of(1, "gru", 3, 4)
    tokens, table = np.arange(20).reshape(2, 10), np.ones((20, 3), np.float32)
    for flops, most, expected in (
        (1e9, 1024, [20]),
        (1e9, 8, [8, 8, 4]),
        (7.5 * _plan.flops_of(weights), 1024, [7, 7, 6]),
        (1, 1024, [1] * 20),
    ):
        monkeypatch.setattr(_threads, "PIECE_FLOPS", flops)
        monkeypatch.setattr(_run, "_LOOK_UP_ROWS", most)
        sizes.clear()
        fd.rnn(tokens, weights, embedding=table, threads=1)
        assert sizes == expected


def test_projected_inputs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a piece, whose rows may all have other tokens."""
    heights: list[int] = []

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def rnn(self, call: _backend.RnnCall) -> None:
            heights.append(len(call.h))
            super().rnn(call)

    monkeypatch.setattr(_backend, "active", Spy())
    weights = weights_of(1, "lstm", 3, 5)
    tokens, table = np.zeros((9, 6), int), np.ones((2, 3), np.float32)
    for numbers, bound in ((3 * 6 * 20, 3), (3 * 6 * 20 - 1, 2), (1, 1), (10**6, 9)):
        monkeypatch.setattr(_plan, "_PIECE_NUMBERS", numbers)
        for layers in (weights, (weights, weights_of(2, "gru", 3, 2))):
            heights.clear()
            fd.rnn(tokens, layers, embedding=table, threads=1)
            assert max(heights) == bound
            heights.clear()
            fd.rnn(table[tokens], layers, threads=1)  # nothing is kept of these
            assert max(heights) == 9


def test_pieces_have_at_most_so_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """64, and as many as there are threads for, and fewer of large weights."""
    heights: list[int] = []

    class Spy:
        plain_rnn = None

        def pack(self, *args: Any) -> Any:
            return BACKENDS["numpy"].pack(*args)

        def rnn(self, call: _backend.RnnCall) -> None:
            heights.append(len(call.h))

        def rows_together(self, packed: Any) -> int:
            return together

    together = 1 << 40
    monkeypatch.setattr(_backend, "active", Spy())
    weights = weights_of(1, "lstm", 3, 5)
    flops = 2 * 4 * 16 * (3 + 5) + 10_000  # of a row's step, units being padded
    assert _plan.flops_of(weights) == flops

    def taken(rows: int, threads: int, steps: int = 1) -> list[int]:
        heights.clear()
        fd.rnn(np.zeros((rows, steps, 3), np.float32), weights, threads=threads)
        return sorted(heights, reverse=True)

    assert taken(64, 1) == [64]
    assert taken(65, 1) == [64, 1]
    assert taken(200, 1) == [64, 64, 64, 8]
    assert taken(64, 2) == [64]  # too little for two
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 15 * flops)  # as much for each of them
    assert taken(29, 4) == [29]
    assert taken(30, 4) == [15, 15]
    assert taken(59, 4) == [20, 20, 19]
    assert taken(60, 4) == [15, 15, 15, 15]
    assert taken(61, 3) == [21, 21, 19]
    assert taken(10, 2, steps=3) == [5, 5]
    # Of several threads, each has pieces of as many rows as run side by side and are enough.
    together = 4
    assert taken(60, 4) == [15, 15, 15, 15]
    monkeypatch.setattr(_plan, "_PIECE_FLOPS", 6 * flops)
    assert taken(60, 4) == [8] * 7 + [4]
    assert taken(60, 4, steps=2) == [4] * 15
    assert taken(60, 1) == [60]
    assert taken(30, 9) == [8, 8, 8, 6]
    monkeypatch.setattr(_plan, "_PIECE_FLOPS", 30 * flops)
    assert taken(60, 4) == [15, 15, 15, 15]
    monkeypatch.setattr(_plan, "_STEP_FLOPS", 7 * flops)
    assert taken(15, 1) == [7, 7, 1]
    monkeypatch.setattr(_plan, "_STEP_FLOPS", 7 * flops - 1)
    assert taken(15, 1) == [6, 6, 3]
    monkeypatch.setattr(_plan, "_STEP_FLOPS", 1)
    assert taken(2, 1) == [1, 1]


def test_what_is_drawn_for_each_step_is_kept_for_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a row is: at most so many numbers, or those of a single step."""
    most, calls = 0, 0

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def rnn(self, call: _backend.RnnCall) -> None:
            nonlocal most, calls
            calls += 1
            kept: list[Any] = [call.zoneout_h, call.zoneout_c]
            if scheme == "per_step" and not call.backwards:
                kept.append(call.x)
            kept = [a for a in kept if a is not None]
            assert all(a.shape[:2] == (len(call.h), call.last - call.first) for a in kept)
            most = max([most, *(a.size for a in kept)])
            super().rnn(call)

    ways: list[tuple[str, int, Any]] = [
        ("per_gate", 400, 0.5),
        ("per_gate", 400, (0, 0.5)),
        ("per_step", 300, 0),
    ]

    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_plan, "_PIECE_NUMBERS", 400)
    monkeypatch.setattr(_plan, "_DROP_NUMBERS", 300)
    monkeypatch.setattr(_run, "_CALL_SECONDS", 1e9)  # on a slow machine, too
    for (scheme, bound, zoneout), features, rows in itertools.product(ways, (2, 9), (1, 3, 64)):
        x, weights = problem(0, "lstm", rows, 41, features, 5)
        most = calls = 0
        options = {"dropout": 0.5, "rng": 0, "threads": 1, "scheme": scheme}
        fd.rnn(x, weights, zoneout=zoneout, **options)
        wide = 5 if scheme == "per_gate" else max(5, features)
        steps = max(1, bound // (rows * wide))
        assert calls == -(-41 // steps)
        assert most == rows * min(steps, 41) * (5 if scheme == "per_gate" else features)


def test_abandoned_work_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def rnn(self, *args: Any) -> None:
            nonlocal calls
            calls += 1

    x, weights = problem(0, "lstm", 1, 50, 8, 4)
    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_threads, "PIECE_FLOPS", 1)
    monkeypatch.setattr(_run, "_CALL_SECONDS", 0)
    monkeypatch.setattr(_threads, "abandoned", lambda: calls >= 3)
    fd.rnn(x, [weights, (weights_of(1, "gru", 4, 3),) * 2], threads=1)
    assert calls == 3


def test_abandoned_looking_up_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def project(self, *args: Any) -> None:
            nonlocal calls
            calls += 1

        def rnn(self, *args: Any) -> None:
            raise AssertionError

    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_threads, "PIECE_FLOPS", 1)
    monkeypatch.setattr(_threads, "abandoned", lambda: calls >= 3)
    table = np.ones((50, 8), np.float32)
    fd.rnn(np.arange(50)[np.newaxis], weights_of(0, "lstm", 8, 4), embedding=table, threads=1)
    assert calls == 3


@pytest.mark.parametrize("rows", [1, 2])
def test_a_thread_stops_with_the_other(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call waits for both directions, or rows, so the one that goes on must be told."""
    main, calls, both = threading.get_ident(), 0, threading.Barrier(2, timeout=30)

    class Spy(type(BACKENDS["numpy"])):  # type: ignore[misc]
        def rnn(self, call: _backend.RnnCall) -> None:
            nonlocal calls
            if call.first == 0:
                both.wait()
            if threading.get_ident() == main:
                raise KeyboardInterrupt
            calls += 1
            time.sleep(0.01)

    x, weights = problem(0, "lstm", rows, 1000, 8, 4)
    monkeypatch.setattr(_backend, "active", Spy())
    monkeypatch.setattr(_threads, "PIECE_FLOPS", 1)
    monkeypatch.setattr(_run, "_CALL_SECONDS", 0)
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)
    with pytest.raises(KeyboardInterrupt):
        fd.rnn(x, (weights, weights) if rows == 1 else weights, threads=2)
    assert calls < 500


@pytest.mark.parametrize(
    ("rows", "steps", "vocabulary"), [(1, 1, 1), (3, 40, 7), (4, 9, 5_000), (5, 0, 3), (0, 4, 3)]
)
def test_each_token_counts_once_in_a_row(
    backend: str, rows: int, steps: int, vocabulary: int
) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, vocabulary, (rows, steps)) % (1 + rng.integers(0, vocabulary))
    words, of, index = _backend.active.distinct(tokens, vocabulary)
    assert (words.dtype, of.dtype, index.dtype) == (np.int64,) * 3
    assert index.shape == tokens.shape
    np.testing.assert_array_equal(words[index], tokens)
    np.testing.assert_array_equal(of[index], np.arange(rows)[:, np.newaxis] + 0 * tokens)
    there = {(row, token) for row, line in enumerate(tokens.tolist()) for token in line}
    assert sorted(zip(of.tolist(), words.tolist(), strict=True)) == sorted(there)
    assert of.tolist() == sorted(of.tolist())


# ---- tiers ----


def on_every_tier(
    chosen: list[str], x: np.ndarray, weights: fd.PackedWeights, **options: Any
) -> list[np.ndarray]:
    results = []
    for tier in chosen:
        with running(tier):
            results.append(fd.rnn(x, weights, **options))
    return results


# Between NumPy and C the libraries' exp and tanh may differ.
USING_LIBM = ("tanh", "sigmoid", "softmax", "log_softmax")
WITHOUT_LIBM = [name for name in FUNCTIONS if name not in USING_LIBM]


@pytest.mark.parametrize(
    ("group", "activation"),
    [
        *((("numpy", "portable"), name) for name in WITHOUT_LIBM),
        *((FMA_TIERS, name) for name in FUNCTIONS),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 9, 11, 13), (9, 3, 270, 290)], ids=str)
@cells
def test_tiers_of_one_arithmetic_have_the_same_bits(
    cell: str, shape: tuple[int, ...], dtype: str, activation: str, group: tuple[str, ...]
) -> None:
    """The sums are taken in one fixed order, with or without fused multiply-adds."""
    rows, steps, features = shape[:3]
    rng = np.random.default_rng(14)
    arrays = [a / np.array(np.sqrt(features)) for a in arrays_of(rng, cell, *shape[2:], dtype)]
    arrays[1] *= np.array(0.1)  # else relu and linear grow too large
    arrays = [a.astype(dtype) for a in arrays]
    options = {"activation": activation}
    if cell != "simple_rnn":
        options["recurrent_activation"] = "sigmoid" if group == FMA_TIERS else "hard_sigmoid"
    x = rng.normal(size=(rows, steps, features)).astype(dtype)
    chosen = [tier for tier in group if tier in BACKENDS]
    results = on_every_tier(chosen, x, pack(cell, arrays, **options), **every_option(cell), **ALL)
    assert all(same(result, results[0]) for result in results[1:])


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    shape=st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 20), st.integers(1, 20)),
    rates=st.tuples(st.floats(0, 0.95), st.floats(0, 0.95)),
    scheme=st.sampled_from(["per_gate", "tied"]),
    backwards=st.booleans(),
    seed=st.integers(0, 2**64),
)
def test_any_shape_agrees_with_numpy(
    cell: str,
    shape: tuple[int, ...],
    rates: tuple[float, float],
    scheme: str,
    backwards: bool,
    seed: int,
) -> None:
    x, weights = problem(seed % 1000, cell, *shape)
    *others, numpy = on_every_tier(
        list(BACKENDS),
        x,
        weights,
        dropout=rates[0],
        recurrent_dropout=rates[1],
        scheme=scheme,
        rng=seed,
        go_backwards=backwards,
        return_sequences=True,
    )
    for result in others:
        assert_close(result, numpy, FLOAT32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@cells
def test_long_sequences_agree_with_numpy(cell: str, dtype: str) -> None:
    x, weights = problem(15, cell, 2, 512, 8, 32, dtype)
    # Small recurrent weights: with others such layers are chaotic, and no error stays small.
    kernel, recurrent_kernel, bias = plain(weights)
    weights = pack(cell, [kernel, recurrent_kernel * recurrent_kernel.dtype.type(0.2), bias])
    *others, numpy = on_every_tier(
        list(BACKENDS), x, weights, **every_option(cell), return_sequences=True
    )
    for result in others:
        assert_close(result, numpy, FLOAT32 if dtype == "float32" else FLOAT64)


# ---- lstm, as it always was ----


def test_the_lstms_own_masks(backend: str) -> None:
    """Bits of a call that never change: those of the mask contract at the sites 6 and 7."""
    args = some_lstm(1, 5, 4, 17, 16)
    masks = {
        name: scaled(drawn(rate, (5, 4, width), place, 11 * 4 * width), rate, "f4")
        for name, place, rate, width in (
            ("input_mask", 6, 0.4, 17),
            ("recurrent_mask", 7, 0.3, 16),
        )
    }
    assert same(fd.lstm(*args, **DROP, site=6, sample=3, row_offset=11), fd.lstm(*args, **masks))


def test_combinations_of_what_is_drawn_differ(backend: str) -> None:
    """Every option does something, by itself and with any other."""
    x, weights = problem(30, "lstm", 4, 5, 6, 7)
    rates = {
        "dropout": 0.5,
        "recurrent_dropout": 0.5,
        "candidate_dropout": 0.5,
        "zoneout": 0.5,
        "weight_dropout": 0.5,
    }
    results = [
        fd.rnn(x, weights, rng=0, **{name: rates[name] for name in chosen})
        for count in range(len(rates) + 1)
        for chosen in itertools.combinations(rates, count)
    ]
    assert len(np.unique(np.stack(results).reshape(len(results), -1), axis=0)) == len(results)


@pytest.mark.parametrize("value", [np.inf, np.nan, -0.0, -1e-30])
@cells
def test_leaving_out_what_is_dropped_changes_nothing(
    backend: str, cell: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zero times infinity is not zero, and a sum of -0 is not one of +0."""
    kernel, recurrent_kernel, bias = arrays_of(np.random.default_rng(0), cell, 6, 5)
    kernel[2] = value  # where the mask drops, and -1e-30 times 1e-30 also where it does not
    kernel[4] = -1e-30
    bias[...] = -0.0
    x = np.full((1, 20, 6), 1e-30, np.float32)
    mask = np.array([[0, 0, 0, 0, 1, 0]], np.float32)
    weights = pack(cell, [kernel, recurrent_kernel, bias], activation="linear")
    results = []
    for row_steps in (1, 10**9):
        monkeypatch.setattr(_plan, "_SHARE_ROW_STEPS", row_steps)
        y = fd.rnn(x, weights, input_mask=mask, return_sequences=True)
        results.append(y)
    assert same(results[0], results[1])
    assert np.array_equal(np.signbit(results[0]), np.signbit(results[1]))


@cells
def test_sharing_with_no_features(backend: str, cell: str) -> None:
    """Where only one gate drops, and there is no input to stand before the recurrent weights."""
    rng = np.random.default_rng(0)
    weights = pack(cell, arrays_of(rng, cell, 0, 16))
    x, h = np.zeros((8, 3, 0), np.float32), rng.normal(size=(8, 16)).astype(np.float32)
    mask = np.full((8, GATES[cell], 16), 2, np.float32)
    mask[:, 0, ::2] = 0
    options: dict[str, Any] = {"initial_state": (h, h) if cell == "lstm" else h, **ALL}
    options["input_mask"] = np.ones((8, GATES[cell], 0), np.float32)
    shared = fd.rnn(x, weights, recurrent_mask=mask[:1], **options)
    assert same(shared, fd.rnn(x, weights, recurrent_mask=mask, **options))


@cells
def test_shared_denormal_factors(backend: str, cell: str) -> None:
    """In C they drop, whoever looks at them: infinity times them is not even infinite."""
    x, weights = problem(7, cell, 8, 3, 6, 5)
    x[0, 0, 2] = np.inf
    mask = np.full((8, 1, 6), 2, np.float32)
    mask[:, 0, 2] = 1e-42
    shared = fd.rnn(x, weights, input_mask=mask[:1], **ALL)
    assert same(shared, fd.rnn(x, weights, input_mask=mask, **ALL))


@pytest.mark.parametrize("rows", [2, 5, 40])
def test_more_units_than_operands_at_a_time(backend: str, rows: int) -> None:
    """Whose second half of gates does not find all operands of the first half where they were."""
    rng = np.random.default_rng(0)
    kernel, recurrent = (rng.normal(0, 0.05, (n, 4 * 300)).astype(np.float32) for n in (8, 300))
    x = rng.normal(size=(rows, 3, 8)).astype(np.float32)
    h = c = np.zeros((rows, 300))
    for t in range(3):
        gates = x[:, t].astype(float) @ kernel + h @ recurrent.astype(float)
        i, f, g, o = np.split(gates, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    np.testing.assert_allclose(fd.lstm(x, kernel, recurrent), h, atol=2e-6)

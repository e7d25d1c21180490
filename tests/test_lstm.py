"""`lstm`: Keras's outputs under Keras's own masks, the fallback, and the laws."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, _threads
from references.make_lstm import FILE, cases, legacy_cases
from references.stored import Arrays, Result, load
from tolerances import FLOAT32, FLOAT64, assert_close

STORED = list(load(FILE))


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


# ---- laws ----


def problem(
    seed: int, rows: int, steps: int, features: int, units: int, dtype: str = "float32"
) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    shapes = ((rows, steps, features), (features, 4 * units), (units, 4 * units), (4 * units,))
    return tuple(rng.normal(0, 0.5, shape).astype(dtype) for shape in shapes)


DROP = {"dropout": 0.4, "recurrent_dropout": 0.3, "rng": 5}
SHAPES = [(1, 1, 1, 1), (2, 3, 4, 5), (5, 4, 17, 16), (9, 6, 3, 33)]
SCHEMES = [(scheme, scope) for scheme in ("per_gate", "tied") for scope in ("per_row", "shared")]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("scheme", "scope"), SCHEMES)
def test_drawn_masks_are_the_contracts(
    backend: str, shape: tuple[int, ...], scheme: str, scope: str
) -> None:
    """Dropout equals replaying bernoulli's masks at (n * gates + g) * units + j."""
    args = problem(1, *shape)
    rows, _, features, units = shape
    gates = 4 if scheme == "per_gate" else 1
    masks = {}
    for name, site, rate, width in (
        ("input_mask", 6, 0.4, features),
        ("recurrent_mask", 7, 0.3, units),
    ):
        n, offset = (1, 0) if scope == "shared" else (rows, 11 * gates * width)
        drop = fd.bernoulli(rate, (n, gates, width), rng=5, stream=site << 32 | 3, offset=offset)
        masks[name] = np.where(drop, 0, 1 / (1 - round(rate * 2**32) / 2**32)).astype("f4")
    drawn = fd.lstm(*args, **DROP, scheme=scheme, scope=scope, site=6, sample=3, row_offset=11)
    assert np.array_equal(drawn, fd.lstm(*args, **masks))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("scheme", "scope"), SCHEMES)
def test_batch_invariance_and_row_offset(backend: str, dtype: str, scheme: str, scope: str) -> None:
    x, *weights = problem(2, 23, 7, 5, 19, dtype)
    options: dict[str, Any] = {**DROP, "scheme": scheme, "scope": scope, "return_sequences": True}
    whole = fd.lstm(x, *weights, **options)
    for start, stop in ((0, 1), (4, 5), (22, 23), (3, 20), (0, 23)):
        part = fd.lstm(x[start:stop], *weights, **options, row_offset=start)
        assert np.array_equal(part, whole[start:stop])


def test_threads_change_nothing(backend: str) -> None:
    x, *weights = problem(3, 70, 5, 4, 6)
    one = fd.lstm(x, *weights, **DROP, threads=1)
    for threads in (2, 3, 7, 1024):
        assert np.array_equal(fd.lstm(x, *weights, **DROP, threads=threads), one)


def test_time_windows_change_nothing(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, *weights = problem(4, 5, 11, 4, 6)
    mask = np.random.default_rng(0).random((5, 11)) < 0.7
    options: dict[str, Any] = {**DROP, "mask": mask, "return_sequences": True, "return_state": True}
    for backwards in (False, True):
        whole = fd.lstm(x, *weights, **options, go_backwards=backwards)
        with monkeypatch.context() as patch:
            patch.setattr(_threads, "PIECE_FLOPS", 1)  # one row and step a call
            pieces = fd.lstm(x, *weights, **options, go_backwards=backwards)
        assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_a_carried_state_continues_the_sequence(backend: str) -> None:
    x, *weights = problem(5, 3, 10, 4, 6)
    sequence, h, c = fd.lstm(x, *weights, **DROP, return_sequences=True, return_state=True)
    first, h1, c1 = fd.lstm(x[:, :4], *weights, **DROP, return_sequences=True, return_state=True)
    rest, h2, c2 = fd.lstm(
        x[:, 4:], *weights, **DROP, initial_state=(h1, c1), return_sequences=True, return_state=True
    )
    assert np.array_equal(np.concatenate([first, rest], axis=1), sequence)
    assert np.array_equal(h2, h)
    assert np.array_equal(c2, c)


@pytest.mark.parametrize("scheme", ["per_gate", "tied"])
def test_rate_zero_is_no_dropout(backend: str, scheme: str) -> None:
    args = problem(6, 4, 5, 6, 7)
    off = fd.lstm(*args)
    assert np.array_equal(fd.lstm(*args, dropout=0, recurrent_dropout=0.0, scheme=scheme), off)
    assert np.array_equal(fd.lstm(*args, recurrent_mask=np.ones((4, 7), np.float32)), off)
    # A rate that rounds to T = 0 drops nothing and scales by 1.
    assert np.array_equal(fd.lstm(*args, dropout=1e-12, rng=0), off)


def test_equal_masks_per_gate_are_tied(backend: str) -> None:
    x, *weights = problem(7, 4, 5, 6, 7)
    rng = np.random.default_rng(0)
    mx = (rng.random((4, 1, 6)) < 0.5).astype(np.float32) * 2
    mh = (rng.random((4, 1, 7)) < 0.5).astype(np.float32) * 2
    tied = fd.lstm(x, *weights, input_mask=mx, recurrent_mask=mh)
    per_gate = fd.lstm(
        x, *weights, input_mask=np.repeat(mx, 4, 1), recurrent_mask=np.repeat(mh, 4, 1)
    )
    assert np.array_equal(per_gate, tied)


def test_a_shared_mask_is_the_first_rows(backend: str) -> None:
    x, *weights = problem(8, 6, 5, 6, 7)
    x[:] = x[0]
    shared = fd.lstm(x, *weights, **DROP, scope="shared")
    assert np.array_equal(shared, np.repeat(shared[:1], 6, axis=0))
    assert np.array_equal(shared[:1], fd.lstm(x[:1], *weights, **DROP))
    assert len(np.unique(fd.lstm(x, *weights, **DROP), axis=0)) == 6


def test_nan_stays_in_its_row_and_a_dropped_nan_is_gone(backend: str) -> None:
    x, *weights = problem(9, 5, 4, 3, 6)
    clean = fd.lstm(x, *weights)
    x[2, 1, 0] = np.nan
    dirty = fd.lstm(x, *weights)
    assert np.isnan(dirty[2]).all()
    assert np.array_equal(np.delete(dirty, 2, 0), np.delete(clean, 2, 0))
    mask = np.ones((5, 3), np.float32)
    mask[2, 0] = 0
    assert np.isfinite(fd.lstm(x, *weights, input_mask=mask)).all()


@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (3, 0, 2, 4), (3, 4, 0, 5), (3, 2, 2, 0)])
def test_axes_of_size_zero(backend: str, shape: tuple[int, ...]) -> None:
    args = problem(10, *shape)
    y, h, c = fd.lstm(*args, return_sequences=True, return_state=True, **DROP)
    assert y.shape == (shape[0], shape[1], shape[3])
    assert h.shape == c.shape == (shape[0], shape[3])
    if shape[1] == 0:
        state = (np.full_like(h, 2), np.full_like(c, 3))
        last, h, c = fd.lstm(*args, initial_state=state, return_state=True)
        assert (last == 2).all()
        assert (h == 2).all()
        assert (c == 3).all()


def test_inputs_are_left_alone(backend: str) -> None:
    arrays = [*problem(11, 4, 5, 6, 7), np.ones((4, 7), "f4"), np.ones((4, 7), "f4")]
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    fd.lstm(*arrays[:4], **DROP, initial_state=(arrays[4], arrays[5]))
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_layouts_do_not_matter(backend: str) -> None:
    x, kernel, recurrent_kernel, bias = problem(12, 4, 5, 6, 7)
    expected = fd.lstm(x, kernel, recurrent_kernel, bias, **DROP)
    got = fd.lstm(
        np.asfortranarray(x),
        kernel[::-1].copy()[::-1],
        recurrent_kernel.astype(">f4"),
        np.repeat(bias, 2)[::2],
        **DROP,
    )
    assert np.array_equal(got, expected)


def test_mixed_dtypes_are_computed_in_the_wider(backend: str) -> None:
    x, *weights = problem(13, 3, 4, 5, 6)
    wide = [w.astype(np.float64) for w in weights]
    assert fd.lstm(x, *wide).dtype == np.float64
    assert np.array_equal(fd.lstm(x, *wide), fd.lstm(x.astype(np.float64), *wide))


@pytest.mark.parametrize("activation", ["linear", "relu", "hard_sigmoid", "hard_sigmoid_legacy"])
def test_without_libm_every_backend_has_the_same_bits(activation: str) -> None:
    """The sums are taken in one fixed order, so only exp and tanh may differ."""
    args = problem(14, 5, 9, 11, 13)
    args = (*args[:2], args[2] * np.float32(0.1), args[3])  # else relu and linear grow too large
    results = []
    for backend in BACKENDS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_backend, "active", backend)
            results.append(
                fd.lstm(*args, **DROP, activation=activation, recurrent_activation="hard_sigmoid")
            )
    assert all(np.array_equal(result, results[0]) for result in results)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 20), st.integers(1, 20)),
    rates=st.tuples(st.floats(0, 0.95), st.floats(0, 0.95)),
    scheme=st.sampled_from(["per_gate", "tied"]),
    backwards=st.booleans(),
    seed=st.integers(0, 2**64),
)
def test_any_shape_agrees_with_numpy(
    shape: tuple[int, ...], rates: tuple[float, float], scheme: str, backwards: bool, seed: int
) -> None:
    args = problem(seed % 1000, *shape)
    results = []
    for backend in BACKENDS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_backend, "active", backend)
            results.append(
                fd.lstm(
                    *args,
                    dropout=rates[0],
                    recurrent_dropout=rates[1],
                    scheme=scheme,
                    rng=seed,
                    go_backwards=backwards,
                    return_sequences=True,
                )
            )
    for result in results[1:]:
        assert_close(result, results[0], FLOAT32)


def test_long_sequences_agree_with_numpy() -> None:
    args = problem(15, 2, 512, 8, 32)
    results = []
    for backend in BACKENDS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_backend, "active", backend)
            results.append(fd.lstm(*args, **DROP, return_sequences=True))
    for result in results[1:]:
        assert_close(result, results[0], FLOAT32)

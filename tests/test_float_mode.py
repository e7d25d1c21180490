"""A caller's floating-point mode changes no result, and is as it was after a call."""

import ctypes
import platform
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, _check
from fastdrop.feedforward import matmul

# Where glibc's fenv_t holds the control word, and its bits: denormals flushed; rounded upwards.
CONTROL = {"x86_64": (28, 0x8040, 0x4000), "aarch64": (0, 1 << 24, 1 << 22)}

pytestmark = pytest.mark.skipif(
    platform.machine() not in CONTROL or platform.libc_ver()[0] != "glibc",
    reason="knows the layout of glibc's fenv_t on x86-64 and aarch64 alone",
)
NATIVE = [tier for tier in BACKENDS if tier != "numpy"]


def control_word(change: int = 0) -> int:
    """Set bits of this thread's control word and return what it was."""
    offset = CONTROL[platform.machine()][0]
    libm = ctypes.CDLL("libm.so.6")
    environment = ctypes.create_string_buffer(64)
    libm.fegetenv(environment)
    (word,) = struct.unpack_from("<I", environment, offset)
    if change:
        struct.pack_into("<I", environment, offset, word | change)
        libm.fesetenv(environment)
    return int(word)


@contextmanager
def mode(change: int) -> Iterator[None]:
    libm = ctypes.CDLL("libm.so.6")
    before = ctypes.create_string_buffer(64)
    libm.fegetenv(before)
    control_word(change)
    try:
        yield
    finally:
        libm.fesetenv(before)


def results(dtype: str) -> list[np.ndarray]:
    """Products that are denormal or need rounding, of every function that multiplies."""
    info = np.finfo(dtype)
    normal = np.random.default_rng(0).normal(size=300).astype(dtype)
    x = np.concatenate([normal, normal * info.tiny / 8])
    calls = [fd.dropout(x, 0.3, rng=1)]
    calls += [fd.dropout(x.reshape(30, 20), 0.3, rng=1, noise_shape=(20,))]
    if dtype != "float16":
        calls += [fd.alpha_dropout(x, 0.3, rng=1), fd.gaussian_dropout(x, 0.3, rng=1)]
        calls += [fd.gaussian_noise(x, 0.3, rng=1)]
        calls += [fd.alpha_dropout(x.reshape(30, 20), 0.3, rng=1, noise_shape=(20,))]
    return calls


def layer_results(dtype: str) -> list[np.ndarray]:
    """The same of layers: inputs, states, weights and sums that are denormal, or need rounding."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        """Every other column is denormal."""
        values = rng.normal(0, 0.5, shape).astype(dtype)
        values[..., ::2] *= info.tiny / 8
        return values

    x, features, units = some(9, 5, 7), 7, 11
    drop: dict[str, Any] = {"dropout": 0.3, "recurrent_dropout": 0.3, "zoneout": 0.2, "rng": 1}
    layers = {
        gates: (some(features, gates * units), some(units, gates * units), some(gates * units))
        for gates in (1, 3, 4)
    }
    gru = fd.pack_gru(*layers[3][:2], some(2, 3 * units), activation="linear")
    reset_first = fd.pack_gru(*layers[3], reset_after=False)
    calls = [
        fd.lstm(x, *layers[4], **drop, return_sequences=True),
        fd.lstm(x, *layers[4], **drop, scope="shared", activation="relu"),
        fd.rnn(x, gru, **drop, candidate_dropout=0.3, initial_state=some(9, units)),
        fd.rnn(x, reset_first, **drop, scope="shared", scheme="tied"),
        fd.simple_rnn(x, *layers[1], **drop, activation="linear"),
        fd.rnn(np.arange(9).reshape(3, 3), gru, **drop, embedding=some(9, features)),
        fd.simple_rnn(x, *layers[1], **drop, activation="silu"),
        fd.lstm(x, *layers[4], activation="gelu", recurrent_activation=("elu", 0.3)),
        fd.dense(x, *layers[3][::2]),
        matmul(x, some(9, 7, 5)),
    ]
    names = (*_check.ACTIVATIONS[:-1], ("threshold", 0.1, 0.3), *_check.ROW_ACTIVATIONS)
    border = np.log(info.tiny)  # the sigmoid's values are denormal below
    values = np.concatenate([some(40), rng.normal(size=40) * 3, rng.normal(size=9) + border])
    return [*calls, *(fd.activate(values.astype(dtype), name) for name in names)]


CASES = [
    *((results, dtype, 8) for dtype in ("float32", "float64")),
    (results, "float16", 3),
    *((layer_results, dtype, 60) for dtype in ("float32", "float64")),
]


@pytest.mark.parametrize(
    ("compute", "dtype", "at_least"), CASES, ids=[f"{c[0].__name__}-{c[1]}" for c in CASES]
)
@pytest.mark.parametrize("which", [1, 2], ids=["flush", "round-up"])
@pytest.mark.parametrize("tier", NATIVE)
def test_kernels_do_not_depend_on_the_callers_mode(
    tier: str,
    which: int,
    compute: Callable[[str], list[np.ndarray]],
    dtype: str,
    at_least: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = CONTROL[platform.machine()][which]
    # Only kernels are run in the mode: what else is computed for them comes from Python and NumPy.
    calls: list[Call] = []
    monkeypatch.setattr("fastdrop._backend.active", Recorder(BACKENDS[tier], calls))
    compute(dtype)
    for name, given, left, expected in calls:
        again = copies(given)
        with mode(change):
            before = control_word()
            result = getattr(BACKENDS[tier], name)(*again)
            after = control_word()
        assert before == after
        assert before & change == change
        assert bits(again) == bits(left), name
        assert type(result) is type(expected)
    assert len(calls) >= at_least


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", [1, 2], ids=["flush", "round-up"])
@pytest.mark.parametrize("tier", NATIVE)
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_weights_packed_in_a_mode_are_the_same(
    cell: str, tier: str, which: int, dtype: str
) -> None:
    """They would be remembered."""
    rng = np.random.default_rng(2)
    backend, gates = BACKENDS[tier], {"lstm": 4, "gru": 3, "simple_rnn": 1}[cell]
    shapes = ((3, gates * 9), (9, gates * 9), (2, 27) if cell == "gru" else (gates * 9,))
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    if which == 1:
        arrays[2] *= np.finfo(dtype).tiny / 8
    mask = np.where(rng.random((gates, 9)) < 0.5, 0, rng.random((gates, 9))).astype(dtype)

    def pack() -> Any:
        return backend.share(
            backend.pack(cell, *arrays, cell == "gru", "linear", "sigmoid", False), None, mask
        )

    expected, got = pack(), None
    with mode(CONTROL[platform.machine()][which]):
        got = pack()
    outputs = []
    for packed in (expected, got):
        # The pre-activations themselves: of inputs that are zero these are the biases.
        out = np.zeros((1, packed.width), dtype)
        backend.project(out, packed, np.zeros((1, 3), dtype), *[None] * 5)
        y, h, c = rng.normal(size=(3, 1, 9)).astype(dtype) * 0 + 0.5
        backend.rnn(
            _backend.RnnCall(
                packed=packed,
                y_last=y,
                h=h,
                c=c if cell == "lstm" else None,
                projected=out,
                index=np.zeros((1, 1), np.int64),
                last=1,
            )
        )
        outputs.append(bits([out, y, h, c]))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("which", [1, 2], ids=["flush", "round-up"])
@pytest.mark.parametrize("tier", NATIVE)
def test_the_mode_is_left_alone_by_what_fails(
    tier: str, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastdrop._backend.active", BACKENDS[tier])
    x, w = np.ones((2, 3, 4), np.float32), np.ones((4, 20), np.float32)
    r = np.ones((5, 20), np.float32)
    refused: list[tuple[type[Exception], Callable[[], object]]] = [
        (ValueError, lambda: fd.lstm(x, w, r, np.ones(3, np.float32))),
        (ValueError, lambda: fd.lstm(x, w, r, dropout=1.5)),
        (ValueError, lambda: fd.rnn(x, fd.pack_lstm(w, r), recurrent_mask=np.ones((9, 5)))),
        (TypeError, lambda: fd.step(x[:, 0], w)),
        (ValueError, lambda: fd.dense(x, r)),
        (ValueError, lambda: fd.activate(x, "nonsense")),
        (MemoryError, lambda: fd.lstm(np.broadcast_to(x[:1, :1], (2**45, 1, 4)), w, r)),
    ]
    expected = fd.lstm(x, w, r)
    for error, call in refused:
        with mode(CONTROL[platform.machine()][which]):
            before = control_word()
            with pytest.raises(error):
                call()
            after = control_word()
        assert before == after
    assert fd.lstm(x, w, r).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("dtype", "denormal", "large"), [("f4", 1e-39, 1e38), ("f8", 1e-310, 1e300)]
)
@pytest.mark.parametrize("tier", NATIVE)
def test_denormal_numbers_are_zero(
    tier: str, dtype: str, denormal: float, large: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they come in, whatever they would be multiplied by, and where they come out."""
    monkeypatch.setattr("fastdrop._backend.active", BACKENDS[tier])
    kernel, nothing = np.full((3, 5), large, dtype), np.zeros((5, 5), dtype)
    weights = fd.pack_simple_rnn(kernel, nothing, activation="linear")
    x = np.full((2, 2, 3), denormal, dtype)
    assert x.all()
    assert not fd.rnn(x, weights).any()
    assert not fd.rnn(np.zeros((2, 2), int), weights, embedding=x[0]).any()
    assert not fd.dense(x, kernel).any()
    weights = fd.pack_simple_rnn(nothing[:3], np.full((5, 5), large, dtype), activation="linear")
    assert not fd.rnn(x * 0, weights, initial_state=np.full((2, 5), denormal, dtype)).any()
    # A state that becomes denormal by its forget gate of one half.
    zero = np.zeros((5, 20), dtype)
    state = np.zeros((2, 5), dtype), np.full((2, 5), np.finfo(dtype).tiny, dtype)
    lstm = fd.pack_lstm(zero[:3], zero)
    *_, c = fd.rnn(x * 0, lstm, initial_state=state, return_state=True)
    assert not c.any()
    # What is denormal only as a product or a sum: 1e-20 * 1e-20 of float32.
    least = np.finfo(dtype).tiny
    root = np.full((2, 1, 1), np.sqrt(least) / 4, dtype)
    weights = fd.pack_simple_rnn(root[0], np.zeros((1, 1), dtype), activation="linear")
    assert root.dtype.type(root[0, 0, 0] * root[0, 0, 0]) > 0
    assert not fd.rnn(root, weights).any()
    assert not fd.dense(root, root[0]).any()


def cost(call: Callable[[], object], other: Callable[[], object]) -> float:
    """How many times as long a call takes as another: the least of many, taken in turns."""
    call(), other()
    least = [float("inf")] * 2
    for _ in range(30):
        for which, measured in enumerate((call, other)):
            start = time.perf_counter()
            measured()
            least[which] = min(least[which], time.perf_counter() - start)
    return least[0] / least[1]


@pytest.mark.long  # not for its time: it measures, and wants a machine with nothing else to do
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize("tier", NATIVE)
def test_denormal_numbers_cost_little(
    tier: str, cell: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastdrop._backend.active", BACKENDS[tier])
    rng = np.random.default_rng(0)
    rows, steps, width = 8, 60, 32
    gates = {"lstm": 4, "gru": 3, "simple_rnn": 1}[cell]
    denormal = np.finfo(dtype).tiny / 1024
    pack = {"lstm": fd.pack_lstm, "gru": fd.pack_gru, "simple_rnn": fd.pack_simple_rnn}[cell]

    def some(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(dtype)

    def run(weights: fd.PackedWeights, x: np.ndarray, h: np.ndarray) -> Callable[[], object]:
        state = (h, h) if cell == "lstm" else h
        return lambda: fd.rnn(x, weights, initial_state=state, threads=1)

    kernel, bias = some(width, gates * width), some(gates * width)
    bias = np.stack([bias, bias]) if cell == "gru" else bias
    # A candidate that turns the state and keeps its length, so that what is denormal remains so.
    turn = np.zeros((width, gates, width))
    turn[:, 2 if cell == "lstm" else -1] = np.linalg.qr(rng.normal(size=(width, width)))[0]
    recurrent_kernel = some(width, gates * width)
    usual = pack(kernel, recurrent_kernel, bias)
    without_bias = pack(kernel, recurrent_kernel, np.zeros_like(bias))
    decaying = pack(
        kernel, turn.reshape(width, -1).astype(dtype), np.zeros_like(bias), activation="linear"
    )
    x, h = some(rows, steps, width), some(rows, width)
    zero = np.zeros_like(x)
    costs = {
        "inputs and states": cost(run(usual, x * denormal, h * denormal), run(usual, x, h)),
        "sums too": cost(run(without_bias, x * denormal, h * denormal), run(without_bias, x, h)),
        "a long decay": cost(run(decaying, zero, h * denormal), run(decaying, zero, h)),
    }
    print(tier, cell, dtype, {name: round(times, 2) for name, times in costs.items()})
    assert max(costs.values()) <= 1.2, costs


@pytest.mark.parametrize("which", [1, 2], ids=["flush", "round-up"])
def test_dropouts_scales_do_not_depend_on_the_callers_mode(which: int) -> None:
    """They are a part of the contract; and one that is wrong would be remembered."""
    exact = _check.scale.__wrapped__
    thresholds = [1, 3, 2**31 - 1, 2**32 - 1, *(round(k / 97 * 2**32) for k in range(97))]
    dtypes = [np.dtype(name) for name in ("float16", "float32", "float64")]
    expected = [exact(t, dtype) for t in thresholds for dtype in dtypes]
    with mode(CONTROL[platform.machine()][which]):
        got = [exact(t, dtype) for t in thresholds for dtype in dtypes]
    assert got == expected


Call = tuple[str, list[Any], list[Any], object]


def copies(args: tuple[Any, ...] | list[Any]) -> list[Any]:
    """Arguments with arrays of their own; what was one array is one array again."""
    of = {id(a): a.copy() for a in args if isinstance(a, np.ndarray)}
    return [of.get(id(a), a) for a in args]


def bits(args: list[Any]) -> list[bytes]:
    return [a.tobytes() for a in args if isinstance(a, np.ndarray)]


class Recorder:
    """A backend that notes every call: what it was given, and what it left."""

    def __init__(self, backend: object, calls: list[Call]) -> None:
        self._backend, self._calls = backend, calls

    def __getattr__(self, name: str) -> object:
        function = getattr(self._backend, name)

        def call(*args: Any) -> object:
            given = copies(args)
            result = function(*args)
            self._calls.append((name, given, copies(args), result))
            return result

        return call


def test_the_mode_matters_elsewhere() -> None:
    """Without care the results would differ: what the test above can see."""
    flush, upward = CONTROL[platform.machine()][1:]
    tiny = np.full(8, np.finfo(np.float64).tiny / 8)
    with mode(flush):
        flushed = tiny * 1.5
    assert not flushed.any()
    with mode(upward):
        up = np.ones(8) / 3
    assert (up > np.ones(8) / 3).all()

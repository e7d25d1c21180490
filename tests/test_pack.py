"""`PackedWeights`: what it keeps, that nothing changes it, and that it may go anywhere."""

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend
from fastdrop.recurrent import _packed, _plan

FEATURES, UNITS = 3, 5


def pack_gru_reset_first(*arrays: Any, **options: Any) -> fd.PackedWeights:
    return fd.pack_gru(*arrays, reset_after=False, **options)


PACK: dict[str, Any] = {
    "lstm": fd.pack_lstm,
    "gru": fd.pack_gru,
    "gru_reset_first": pack_gru_reset_first,
    "simple_rnn": fd.pack_simple_rnn,
}
GATES = {"lstm": 4, "gru": 3, "gru_reset_first": 3, "simple_rnn": 1}
cells = pytest.mark.parametrize("cell", PACK)


def arrays_of(cell: str, dtype: str = "float32") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    width = GATES[cell] * UNITS
    bias = (2, width) if cell == "gru" else (width,)
    shapes = ((FEATURES, width), (UNITS, width), bias)
    return [rng.normal(0, 0.5, shape).astype(dtype) for shape in shapes]


X = np.random.default_rng(1).normal(size=(4, 6, FEATURES)).astype(np.float32)
OPTIONS: dict[str, Any] = {"dropout": 0.3, "recurrent_dropout": 0.3, "zoneout": 0.2, "rng": 0}


@cells
def test_what_it_says_of_itself(cell: str) -> None:
    arrays = arrays_of(cell)
    weights = PACK[cell](*arrays, activation="relu")
    assert weights.cell == cell.removesuffix("_reset_first")
    assert (weights.features, weights.units, weights.gates) == (FEATURES, UNITS, GATES[cell])
    assert weights.dtype == np.float32
    assert weights.activation == "relu"
    assert weights.recurrent_activation == "sigmoid"
    assert weights.reset_after is (cell == "gru")
    for kept, given in zip(
        (weights.kernel, weights.recurrent_kernel, weights.bias), arrays, strict=True
    ):
        assert np.array_equal(kept, given)
        assert kept.flags.c_contiguous
        assert not kept.flags.writeable
        assert not np.shares_memory(kept, given)
    assert PACK[cell](*arrays[:2]).bias is None
    assert repr(weights) == (
        f"PackedWeights(cell={weights.cell!r}, features=3, units=5, dtype=float32)"
    )


@cells
def test_it_never_changes(backend: str, cell: str) -> None:
    arrays = arrays_of(cell)
    weights = PACK[cell](*arrays)
    before = fd.rnn(X, weights, **OPTIONS)
    for array in arrays:
        array[:] = 7
    assert np.array_equal(fd.rnn(X, weights, **OPTIONS), before)
    with pytest.raises(ValueError, match="read-only"):
        weights.kernel[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        weights.kernel = arrays[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del weights.kernel
    with pytest.raises((AttributeError, TypeError)):
        weights.new = 1
    with pytest.raises(TypeError, match="PackedWeights: made by pack_lstm"):
        fd.PackedWeights()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@cells
def test_pickles(backend: str, cell: str, dtype: str, bias: bool, protocol: int) -> None:
    arrays = arrays_of(cell, dtype)[: 3 if bias else 2]
    options = {} if cell == "simple_rnn" else {"recurrent_activation": "relu"}
    weights = PACK[cell](*arrays, activation="hard_sigmoid", **options)
    expected = fd.rnn(X, weights, **OPTIONS)  # also: what was packed is not in the pickle
    pickled = pickle.dumps(weights, protocol)
    assert len(pickled) < 2 * sum(a.nbytes for a in arrays) + 1000
    for loaded in (pickle.loads(pickled), copy.copy(weights), copy.deepcopy(weights)):
        assert repr(loaded) == repr(weights)
        assert (loaded.activation, loaded.reset_after) == ("hard_sigmoid", weights.reset_after)
        assert loaded.dtype == weights.dtype
        assert not loaded.kernel.flags.writeable
        assert np.array_equal(fd.rnn(X, loaded, **OPTIONS), expected)


def test_another_process_loads_it() -> None:
    weights = fd.pack_gru(*arrays_of("gru"))
    code = """
import pickle, sys
import fastdrop as fd
x, weights = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(fd.rnn(x, weights, dropout=0.5, rng=0).tobytes())
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((X, weights)),
        capture_output=True,
        check=True,
    )
    assert result.stdout == fd.rnn(X, weights, dropout=0.5, rng=0).tobytes()


@cells
def test_it_is_packed_once_for_each_backend_and_dtype(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = []

    class Spy(_backend.Numpy):
        def pack(self, *args: Any) -> Any:
            packed.append((self, args[1].dtype.name))
            return super().pack(*args)

    weights = PACK[cell](*arrays_of(cell))
    assert not packed  # lazily
    spies = [Spy(), Spy()]
    results = []
    for _ in range(2):
        for spy in spies:
            monkeypatch.setattr(_backend, "active", spy)
            for dtype in (np.float32, np.float64):
                results.append(fd.rnn(X.astype(dtype), weights))
    assert packed == [(spy, name) for spy in spies for name in ("float32", "float64")]
    assert all(np.array_equal(a, b) for a, b in zip(results[:4], results[4:], strict=True))


@cells
def test_backends_may_alternate(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No backend is handed what another one packed."""
    weights = PACK[cell](*arrays_of(cell))
    results: dict[str, list[np.ndarray]] = {tier: [] for tier in BACKENDS}
    for _ in range(2):
        for tier, backend in BACKENDS.items():
            monkeypatch.setattr(_backend, "active", backend)
            results[tier].append(fd.rnn(X, weights))
    for first, second in results.values():
        assert np.array_equal(first, second)
        assert np.allclose(first, results["numpy"][0], atol=1e-5)


@cells
def test_many_threads_use_it(backend: str, cell: str) -> None:
    """From the first call on, when none of them has packed it yet."""
    arrays = arrays_of(cell)
    expected = [fd.rnn(X, PACK[cell](*arrays), **OPTIONS | {"rng": seed}) for seed in range(8)]
    weights = PACK[cell](*arrays)
    barrier = threading.Barrier(8)
    wrong = []

    def work(seed: int) -> None:
        barrier.wait()
        for _ in range(5):
            y = fd.rnn(X, weights, **OPTIONS | {"rng": seed}, threads=2)
            if not np.array_equal(y, expected[seed]):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@cells
def test_it_is_compared_by_identity_and_hashable(cell: str) -> None:
    a, b = (PACK[cell](*arrays_of(cell)) for _ in range(2))
    assert a != b
    assert len({a, b}) == 2


# What the signal of a timer sees of long calls: it is looked for between pieces.
LOOKS = """
import signal, time
import numpy as np
from fastdrop import _backend
n, looks = 6144, []
weights, bias = np.zeros((n, n), np.float32), np.zeros(n, np.float32)
mask = np.ones((1, n), np.float32)
mask[:, ::2] = 0
def look(*_):
    looks.append(time.process_time())
def interrupt(*_):
    signal.signal(signal.SIGPROF, signal.SIG_IGN)
    raise KeyboardInterrupt
def measure(call):
    looks.clear()
    look()
    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    result = call()
    interrupted = False
    try:
        signal.signal(signal.SIGPROF, interrupt)
        call()
    except KeyboardInterrupt:
        interrupted = True
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(len(looks), max(np.diff(looks)), interrupted)
    return result
active = _backend.active
more = False, "tanh", "sigmoid", False
packed = measure(lambda: active.pack("simple_rnn", weights, weights, bias, *more))
measure(lambda: active.share(packed, mask, mask))
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("tier", [tier for tier in BACKENDS if tier != "numpy"])
def test_ctrl_c_is_seen_while_weights_are_packed(tier: str) -> None:
    """Within 100 ms of the process's own time, as the machine may be busy with others."""
    result = subprocess.run(
        [sys.executable, "-c", LOOKS],
        env=os.environ | {"FASTDROP_ISA": tier},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == 2
    for looks, longest, interrupted in lines:
        assert int(looks) >= 4  # the first and the last come also from a call that never looks
        assert float(longest) < 0.1
        assert interrupted == "True"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_that_are_packed_in_pieces(
    backend: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some 4 MB at a time; of small integers, whose sums are exact in any order."""
    monkeypatch.setattr(_plan, "_SHARE_ROW_STEPS", 1)
    rng = np.random.default_rng(0)
    kernel, x = (rng.integers(-2, 3, shape).astype(dtype) for shape in ((70_000, 40), (1, 70_000)))
    nothing = np.zeros((40, 40), dtype)
    weights = fd.pack_simple_rnn(kernel, nothing, activation="linear")
    assert np.array_equal(fd.rnn(x[np.newaxis], weights), x @ kernel)
    mask = 2 * rng.integers(0, 2, (1, 70_000)).astype(dtype)  # whose zeros are left out
    assert np.array_equal(fd.rnn(x[np.newaxis], weights, input_mask=mask), x * mask @ kernel)


def test_what_shared_weights_come_from_lives_as_long(backend: str) -> None:
    """They have its recurrent part, where only the input is masked."""
    rng = np.random.default_rng(0)
    active = _backend.active
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 40), (40, 40), (40,))]
    mask = np.array([[1, 0, 1]], np.float32)

    def run(packed: Any) -> np.ndarray:
        y, h = np.zeros((1, 40), np.float32), np.ones((1, 40), np.float32)
        x = np.ones((1, 2, 3), np.float32)
        active.rnn(_backend.RnnCall(packed=packed, y_last=y, h=h, c=None, x=x, last=2))
        return y

    def pack() -> Any:
        return active.pack("simple_rnn", *arrays, False, "tanh", "sigmoid", False)

    original = pack()
    expected = run(active.share(original, mask, None))
    shared = active.share(pack(), mask, None)
    others = [np.full(size, 255, np.uint8) for size in range(16, 1 << 14, 16)]
    assert np.array_equal(run(shared), expected)
    assert len(others) == 1023


@pytest.mark.parametrize("units", [1, 3, 7, 20])
def test_infinite_weights_are_found_wherever_they_are(
    units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked at a few rows at a time."""
    kernel, recurrent_kernel = np.zeros((5, units)), np.zeros((units, units))
    for numbers in (1, 3 * units, 1000):
        monkeypatch.setattr(_packed, "_FINITE_NUMBERS", numbers)
        assert fd.pack_simple_rnn(kernel, recurrent_kernel).finite()
        for array in (kernel, recurrent_kernel):
            for k in range(array.size):
                array.flat[k] = (np.inf, -np.inf, np.nan)[k % 3]
                weights = fd.pack_simple_rnn(kernel, recurrent_kernel)
                assert not weights.finite()
                assert not weights.finite()  # also when asked again
                array.flat[k] = 0


@pytest.mark.parametrize(("pack", "gates"), [(fd.pack_lstm, 4), (fd.pack_gru, 3)])
def test_weights_as_pytorch_has_them(pack: Any, gates: int) -> None:
    """Transposed; of a simple RNN only the kernel shows it."""
    kernel, recurrent = np.ones((5, gates * 8)), np.ones((8, gates * 8))
    message = (
        rf"^recurrent_kernel: expected shape \(8, {gates * 8}\), as recurrent_kernel\.T has .*, got"
    )
    with pytest.raises(ValueError, match=message):
        pack(kernel.T, recurrent.T)
    with pytest.raises(
        ValueError, match=rf"^kernel: expected shape \(5, {gates * 8}\), as kernel\.T"
    ):
        pack(kernel.T, recurrent)
    with pytest.raises(ValueError, match=rf"^kernel: expected shape \(5, {gates * 8}\), got"):
        pack(kernel[:, 1:], recurrent)
    with pytest.raises(
        ValueError, match=rf"^recurrent_kernel: expected shape \(8, {gates * 8}\), got"
    ):
        pack(kernel, recurrent[:, 1:])
    with pytest.raises(ValueError, match=r"^kernel: expected shape \(5, 8\), as kernel\.T has"):
        fd.pack_simple_rnn(np.ones((8, 5)), np.ones((8, 8)))


def test_a_bias_for_the_other_kind_of_gru() -> None:
    message = r"^bias: expected shape \(2, 24\), or \(24,\) with reset_after=False, got"
    with pytest.raises(ValueError, match=message):
        fd.pack_gru(np.ones((5, 24)), np.ones((8, 24)), np.ones(24))

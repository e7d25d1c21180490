"""A caller's floating-point mode changes no result, and is as it was after a call."""

import ctypes
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _check

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
    return calls


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("which", [1, 2], ids=["flush", "round-up"])
@pytest.mark.parametrize("tier", NATIVE)
def test_kernels_do_not_depend_on_the_callers_mode(
    tier: str, which: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastdrop._backend.active", BACKENDS[tier])
    change = CONTROL[platform.machine()][which]
    expected = results(dtype)
    # Only kernels are run in the mode: what else is computed for them comes from Python and NumPy.
    calls = []
    monkeypatch.setattr("fastdrop._backend.active", Recorder(BACKENDS[tier], calls))
    results(dtype)
    for name, out, rest in calls:
        again = np.empty_like(out)
        with mode(change):
            before = control_word()
            getattr(BACKENDS[tier], name)(again, *rest)
            after = control_word()
        assert before == after
        assert before & change == change
        assert again.tobytes() == out.tobytes(), name
    assert len(calls) == len(expected) + 1  # the mask of the noise shape is drawn by itself


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


class Recorder:
    """A backend that notes every call that writes floating-point numbers."""

    def __init__(self, backend: object, calls: list) -> None:
        self._backend, self._calls = backend, calls

    def __getattr__(self, name: str) -> object:
        function = getattr(self._backend, name)

        def call(out: object, *rest: object) -> object:
            result = function(out, *rest)
            self._calls.append((name, out, rest))
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

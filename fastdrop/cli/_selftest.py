"""``fastdrop selftest``: published and stored answers, asked of every backend that runs here.

The answers of keys, masks and normals are those of the contracts. Those of a model are of the one
that ships with the package: what Keras predicts, and what two Monte-Carlo samples are.
"""

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import _backend, demo

# Counter and key, and the words: those published with Random123.
PHILOX = (
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)
_ODD = (0xDEADBEEF, 0x01234567)
# Key and base, what is folded in, and the child's words.
CHILDREN: tuple[tuple[tuple[int, int, int], int | str, str], ...] = (
    ((0, 0, 0), 0, "0ca83ac1 783ef37c 643b590c e8aadfba"),
    ((0, 0, 0), "layer", "4dd74475 9055d205 ff790e66 40d293f7"),
    ((*_ODD, 0x700000009), 2**56 - 1, "d2102032 a7cc4a86 bc659f1c 0e924c24"),
    ((*_ODD, 0x700000009), "ü", "d6afe868 9416e992 95823833 8f47c8ce"),
)
# Key, stream, block, rate, and the block's words.
MASKS = (
    ((0, 0), 0, 0, 0.5, "99d8172a 1e963a72 43a853b3 64ff2427"),
    ((0, 0), 0, 0, 0.1, "10080200 02020002 00805000 00a20021"),
    ((1, 2), 3, 2**32, 0.1, "00200102 00000000 00000002 08100108"),
    (_ODD, 0x700000009, 5, 0.25, "1c01ab8c 8004c408 00a00300 90000142"),
)
# The first four of the key 0, 0.
NORMALS = "0x1.687576bca3f7cp-1 0x1.fa9d785e3aaaep-1 0x1.7737d5d3cfdc9p-2 0x1.23852e5940aaep-2"

# Of two of the demonstration's messages; samples of their last steps, for NumPy takes long over
# many. Vector tiers promise bits, float32's words here; what rounds twice where they fuse comes as
# close to these as to Keras.
ROWS = (2, 5)
STEPS = 100
PREDICT = "3df9e357 3f7f1887"
SAMPLES = "3f2a4bf6 3f742def 3f4d28f3 3f797cee"
TOLERANCE = 1e-5


class _WrongError(Exception):
    """An answer that is not the expected one."""


def _same(what: str, got: str, expected: str) -> None:
    if got != expected:
        raise _WrongError(f"{what}: expected {expected}, got {got}")


def _hex(words: Any) -> str:
    return " ".join(f"{word:08x}" for word in words)


def _philox() -> None:
    for counter, key, expected in PHILOX:
        _same(f"counter {counter}", _hex(_backend.active.philox(counter, *key)), expected)


def _keys() -> None:
    for words, data, expected in CHILDREN:
        key = fd.Key.from_words(*words)
        child = key.fold_in(data)
        got = _hex((child.k0, child.k1, child.base % 2**32, child.base >> 32))
        _same(f"{key}.fold_in({data!r})", got, expected)


def _masks() -> None:
    for words, stream, block, rate, expected in MASKS:
        where: Any = {"rng": fd.Key.from_words(*words), "stream": stream, "offset": 128 * block}
        packed = fd.bernoulli(rate, 128, dtype="packed", **where)
        _same(f"{words}, rate {rate}", _hex(packed.view("<u4")), expected)
        events = fd.unpack_mask(packed, 128)
        for kind in (np.bool_, np.uint8, np.float32, np.float64):
            for dtype in (kind, np.dtype(kind).name):  # calls with a type take a short way
                got: Any = fd.bernoulli(rate, 128, dtype=dtype, **where)
                _same(f"{words}, rate {rate}, {dtype}", _bits(got != 0), _bits(events))
        for dtype in ("float16", "float32", "float64"):
            kept = fd.dropout(np.ones(128, dtype), rate, **where)
            scale = np.dtype(dtype).type(1 / (1 - round(rate * 2**32) / 2**32))
            expected_kept = np.where(events, 0, scale).astype(dtype)
            _same(f"{words}, dropout of {dtype}", _bits(kept), _bits(expected_kept))


def _bits(array: NDArray[Any]) -> str:
    return array.tobytes().hex()


def _normals() -> None:
    got = fd.gaussian_noise(np.zeros(4), 1.0, rng=fd.Key.from_words(0, 0))
    _same("key 0, 0", " ".join(float(z).hex() for z in got), NORMALS)


def _close(got: NDArray[np.float32], stored: str) -> None:
    """See that results are those stored: their bits on a vector tier, and nearly so elsewhere."""
    words = _hex(got.ravel().view(np.uint32))
    if _backend.active.tier not in ("portable", "numpy"):
        _same("bits", words, stored)
    expected = np.array([int(word, 16) for word in stored.split()], np.uint32).view(np.float32)
    error = float(np.abs(got.ravel() - expected).max())
    if not error <= TOLERANCE:
        raise _WrongError(f"off by {error:.1e}: expected {stored}, got {words}")


def _predict() -> None:
    _close(fd.load(demo.model_path()).predict(_inputs()), PREDICT)


def _mc_predict() -> None:
    model = fd.Model(fd.load(demo.model_path()).layers, (STEPS,))
    x, key = _inputs()[:, -STEPS:], fd.Key.from_words(1, 2)
    p = model.mc_predict(x, samples=2, rng=key, keep_samples=True)
    _close(np.asarray(p.samples), SAMPLES)


def _inputs() -> NDArray[np.int32]:
    messages = demo.messages()
    return demo.encode([messages[row] for row in ROWS])


CHECKS: dict[str, Callable[[], None]] = {
    "philox": _philox,
    "keys": _keys,
    "masks": _masks,
    "normals": _normals,
    "predict": _predict,
    "mc_predict": _mc_predict,
}


def run() -> tuple[str, list[str]]:
    """Ask all backends that can run here; return what there is to print, and what is wrong.

    Which of them is in use makes no difference, and is the same afterwards.
    """
    lines = [
        f"fastdrop {fd.__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} on {platform.machine()}"
    ]
    wrong: list[str] = []
    sound: list[str] = []
    before = _backend.active
    try:
        for backend in _backend.available:
            _backend.active = backend
            failed = len(wrong)
            for name, check in CHECKS.items():
                try:
                    check()
                except Exception as error:  # whatever it is, the answer is not there
                    text = str(error) if isinstance(error, _WrongError) else repr(error)
                    wrong.append(f"selftest: {backend.tier}: {name}: {text}")
                    lines.append(f"{backend.tier:8}  {name:10}  FAILED")
                else:
                    lines.append(f"{backend.tier:8}  {name:10}  ok")
            if len(wrong) == failed:
                sound.append(backend.tier)
    finally:
        _backend.active = before
    checks = len(CHECKS) * len(_backend.available)
    if not wrong:
        lines.append(f"all {checks} checks passed")
        return "\n".join(lines), []
    wrong.append(
        f"selftest: {len(wrong)} of {checks} checks failed: do not trust what these backends "
        f"compute here. Backends that passed: {', '.join(sound) or 'none'}"
    )
    return "\n".join(lines), wrong

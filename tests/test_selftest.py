"""The command ``selftest``: its answers are right, and each check sees what is wrong."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import contract
import fastdrop as fd
from fastdrop import _backend, cli, demo
from fastdrop.cli import _selftest

ROOT = Path(__file__).parents[1]
TIERS = [backend.tier for backend in _backend.available]


def floats(words: str) -> np.ndarray:
    return np.array([int(word, 16) for word in words.split()], np.uint32).view(np.float32)


def test_it_passes_with_a_line_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    before = _backend.active
    assert cli.main(["selftest"]) == 0
    said = capsys.readouterr()
    first, *checks, last = said.out.splitlines()
    assert first.startswith(f"fastdrop {fd.__version__}, NumPy {np.__version__}, Python 3")
    expected = [[tier, name, "ok"] for tier in TIERS for name in _selftest.CHECKS]
    assert [line.split() for line in checks] == expected
    assert last == f"all {len(expected)} checks passed"
    assert said.err == ""
    assert _backend.active is before


def test_it_takes_less_than_two_seconds() -> None:
    """Of the processor: who else uses it does not matter."""
    start = time.process_time()
    _selftest.run()
    assert time.process_time() - start < 2


def test_published_answers_are_those_of_the_contracts() -> None:
    path = ROOT / "docs" / "contracts.md"
    if not path.is_file():
        pytest.skip("needs the documents of the sources")
    text = path.read_text(encoding="utf-8")
    for *_, words in (*_selftest.CHILDREN, *_selftest.MASKS):
        assert f"`{words}`" in text
    assert f"`{_selftest.NORMALS}`" in re.sub(r"\s+", " ", text)


def test_published_answers_are_those_of_the_contract_in_plain_python() -> None:
    for counter, key, expected in _selftest.PHILOX:
        assert _selftest._hex(contract.philox4x32_10(counter, key)) == expected
    for (k0, k1, base), data, expected in _selftest.CHILDREN:
        child = contract.fold_in((k0, k1, base % 2**32, base >> 32), data)
        assert _selftest._hex(child) == expected
    for key, stream, block, rate, expected in _selftest.MASKS:
        events = contract.events(key, stream, block, 1) < round(rate * 2**32)
        words = np.packbits(events, bitorder="little").view("<u4")
        assert _selftest._hex(words) == expected
    normals = [contract.normal((0, 0), 0, i).hex() for i in range(4)]
    assert " ".join(normals) == _selftest.NORMALS


def test_stored_predictions_are_those_of_keras() -> None:
    with np.load(ROOT / "examples" / "sms_spam" / "reference.npz") as reference:
        expected = reference["predict"][list(_selftest.ROWS), 0]
    assert np.abs(floats(_selftest.PREDICT) - expected).max() < 1e-6


def test_stored_samples_are_those_of_the_equations() -> None:
    """In float64, with masks of the contract: a dropout layer, call 0, and an LSTM, call 1."""
    embedding, _, lstm, dense = (
        layer for layer in fd.load(demo.model_path()).layers if type(layer).__name__ != "Input"
    )
    weights = lstm.packed
    table, kernel, recurrent, bias, last, last_bias = (
        np.asarray(array, np.float64)
        for array in (
            embedding.table,
            weights.kernel,
            weights.recurrent_kernel,
            weights.bias,
            dense.kernel,
            dense.bias,
        )
    )
    index = _selftest._inputs()[:, -_selftest.STEPS :]
    steps, width, units = index.shape[1], table.shape[1], recurrent.shape[0]

    def kept(call: int, stream: int, row: int, shape: tuple[int, ...], rate: float) -> Any:
        count = int(np.prod(shape))
        drop = contract.dropped((1, 2, 0), call, stream, row * count, count, rate)
        return np.where(drop, 0, 1 / (1 - rate)).reshape(shape)

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    got = floats(_selftest.SAMPLES).reshape(2, 2)
    for sample in range(2):
        for row in range(2):
            x = table[index[row]] * kept(0, sample, row, (steps, width), 0.25)
            of_input = kept(1, sample, row, (4, width), 0.5)
            of_output = kept(1, 2**32 + sample, row, (4, units), 0.5)
            h, c = np.zeros(units), np.zeros(units)
            for t in range(steps):
                i, f, g, o = (
                    (x[t] * of_input[gate]) @ kernel[:, gate * units : (gate + 1) * units]
                    + (h * of_output[gate]) @ recurrent[:, gate * units : (gate + 1) * units]
                    + bias[gate * units : (gate + 1) * units]
                    for gate in range(4)
                )
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            expected = sigmoid(h @ last + last_bias)
            assert abs(got[sample, row] - expected[0]) < 1e-5


def faulty(monkeypatch: pytest.MonkeyPatch, tier: str, method: str, spoil: Any) -> None:
    """Let a method of one backend do what it does, and then something wrong."""
    real = next(backend for backend in _backend.available if backend.tier == tier)

    class Faulty:
        def __getattr__(self, name: str) -> Any:
            if name != method:
                return getattr(real, name)

            def called(*args: Any, **options: Any) -> Any:
                return spoil(getattr(real, name)(*args, **options), *args)

            return called

    some: list[Any] = [Faulty() if backend is real else backend for backend in _backend.available]
    monkeypatch.setattr(_backend, "available", tuple(some))


def one_bit(result: None, out: np.ndarray, *_: Any) -> None:
    out.view(np.uint8).reshape(-1)[-1] ^= 1


def only(dtype: str) -> Any:
    """Spoil what is of one type."""

    def spoil(result: np.ndarray | None, out: Any, *_: Any) -> np.ndarray | None:
        made = out if result is None else result
        if isinstance(made, np.ndarray) and made.dtype == dtype:
            one_bit(None, made)
        return result

    return spoil


def of_result(result: np.ndarray | None, *_: Any) -> np.ndarray | None:
    if result is not None:
        one_bit(None, result)
    return result


def of_words(result: tuple[int, ...], *_: Any) -> tuple[int, ...]:
    return (*result[:3], result[3] ^ 1)


def of_state(result: None, call: Any) -> None:
    call.y_last *= np.float32(1.001)


def raises(result: Any, *_: Any) -> None:
    raise RuntimeError("an instruction is missing")


FAULTS = {
    "philox": ("philox", of_words, {"philox", "keys", "mc_predict"}),
    "packed": ("bernoulli_packed", one_bit, {"masks"}),
    "bernoulli": ("bernoulli", one_bit, {"masks"}),
    **{
        f"bernoulli of {dtype}": ("bernoulli", only(dtype), {"masks"})
        for dtype in ("bool", "uint8", "float32", "float64")
    },
    **{
        f"{method} of {dtype}": (method, only(dtype), {"masks"})
        for method, dtypes in {
            "plain_bernoulli": ("bool", "uint8", "float32", "float64"),
            "plain_dropout": ("float16", "float32", "float64"),
        }.items()
        for dtype in dtypes
    },
    "dropout": ("dropout_streams", one_bit, {"mc_predict"}),
    "small dropout": ("plain_dropout", of_result, {"masks"}),
    "normals": ("gaussian_noise", one_bit, {"normals"}),
    "rnn": ("rnn", of_state, {"predict", "mc_predict"}),
    "raises": ("gaussian_noise", raises, {"normals"}),
}


# NumPy takes a second over its model: a fault of masks and one of layers are enough of it.
@pytest.mark.parametrize(
    ("name", "tier"),
    [
        pytest.param(name, tier, id=f"{name}-{tier}")
        for name in FAULTS
        for tier in TIERS
        if tier != "numpy" or name in ("packed", "rnn")
    ],
)
def test_a_fault_is_seen(
    name: str, tier: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method, spoil, expected = FAULTS[name]
    faulty(monkeypatch, tier, method, spoil)
    if tier != "numpy":  # which takes its time, and has no part in this
        monkeypatch.setattr(_backend, "available", _backend.available[:-1])
    assert cli.main(["selftest"]) == 1
    said = capsys.readouterr()
    failed = {tuple(line.split()[:2]) for line in said.out.splitlines() if "FAILED" in line}
    assert failed == {(tier, check) for check in expected}
    *errors, last = said.err.splitlines()
    assert [error.split(": ")[:4] for error in errors] == [
        ["fastdrop", "selftest", tier, check] for check in _selftest.CHECKS if check in expected
    ]
    # What is not raised by a check is told by its class.
    assert all(("Error" in error) is (name == "raises") for error in errors)
    others = [backend.tier for backend in _backend.available if backend.tier != tier]
    assert last.endswith(f"Backends that passed: {', '.join(others) or 'none'}")
    if name == "raises":
        assert "an instruction is missing" in errors[0]


def test_a_stored_answer_that_is_off_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a little more than the tolerance, on all tiers."""
    monkeypatch.setattr(_selftest, "PREDICT", "3dfa0000 3f7f1887")
    assert cli.main(["selftest"]) == 1
    said = capsys.readouterr()
    failed = [line.split()[:2] for line in said.out.splitlines() if "FAILED" in line]
    assert failed == [[tier, "predict"] for tier in TIERS]

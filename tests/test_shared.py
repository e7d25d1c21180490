"""One object in many threads at the same time: what is kept in it is made by who is first."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers

THREADS = 8
SOON = 60  # seconds
GENERATOR = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    return GENERATOR.normal(size=shape).astype(np.float32)


KERNEL, RECURRENT, BIAS, HEAD = numbers(3, 20), numbers(5, 20), numbers(20), numbers(5, 2)
X = numbers(4, 6, 3)


@pytest.fixture(autouse=True)
def hardly_a_switch_too_few() -> Iterator[None]:
    """Let another thread run after a microsecond, not after five thousand."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[], Any]) -> list[Any]:
    """Return what many threads make that begin together."""
    begin, results, failures = threading.Barrier(THREADS), [], []

    def run() -> None:
        try:
            begin.wait(SOON)
            results.append(work())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    if failures:
        raise failures[0]
    assert len(results) == THREADS
    return results


def packed() -> fd.PackedWeights:
    return fd.pack_lstm(KERNEL, RECURRENT, BIAS)


def model() -> fd.Model:
    lstm = layers.LSTM(
        name="lstm", kernel=KERNEL, recurrent_kernel=RECURRENT, bias=BIAS, dropout=0.3
    )
    return fd.Model([lstm, layers.Dense(name="out", kernel=HEAD)], (None, 3))


def sampled(one: fd.Model) -> Any:
    found = one.mc_predict(X, samples=20, rng=3, threads=2)
    return np.stack([found.mean, found.std, *found.quantile([0.1, 0.9])])


# What is made for each round, and what all threads do with it.
CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "weights": (packed, lambda w: fd.rnn(X, w, dropout=0.3, recurrent_dropout=0.2, rng=1)),
    "shared masks": (packed, lambda w: fd.rnn(X, w, dropout=0.5, rng=1, scope="shared")),
    "finite": (packed, lambda w: w.finite()),
    "predict": (model, lambda m: m.predict(X)),
    "sample": (model, sampled),
    "prediction": (
        lambda: fd.Prediction.from_samples(numbers(40, 3, 2) * 0 + 1),
        lambda p: np.stack([p.mean, p.std, p.quantile(0.5)]),
    ),
    "key": (lambda: fd.Key(7), lambda k: fd.bernoulli(0.5, 999, rng=k.fold_in("a"))),
    "seed": (lambda: 12345, lambda seed: fd.dropout(X, 0.5, rng=seed)),
}


@pytest.mark.parametrize("case", CASES)
def test_all_make_the_same(case: str, backend: str) -> None:
    make, work = CASES[case]
    expected = np.asarray(work(make()))
    for _ in range(5):
        shared = make()
        for found in at_once(lambda shared=shared: work(shared)):
            assert np.asarray(found).tobytes() == expected.tobytes()


def test_names_are_imported_once() -> None:
    """Those that are imported when first asked for."""
    for name in ("Model", "layers", "scores", "load"):
        vars(fd).pop(name, None)
        assert len({id(found) for found in at_once(lambda name=name: getattr(fd, name))}) == 1


def test_a_stepper(backend: str) -> None:
    """One step comes after another: no state is half of each."""
    rows, features, units, steps = 64, 40, 60, 20
    weights = fd.pack_lstm(numbers(features, 4 * units), numbers(units, 4 * units))
    x = numbers(rows, features)
    stepper, alone = fd.Stepper(weights, rows), fd.Stepper(weights, rows)
    at_once(lambda: [stepper.step(x) for _ in range(steps)])
    for _ in range(THREADS * steps):
        alone.step(x)
    assert repr(stepper) == repr(alone)
    for mine, theirs in zip(stepper.state, alone.state, strict=True):
        assert mine.tobytes() == theirs.tobytes()

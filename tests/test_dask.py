"""Sampling dask arrays: the bits of one call, however they are split, and whoever computes them."""

import doctest
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers

pytest.importorskip("distributed", reason="dask and distributed are not installed: extra `dask`")

import dask
import dask.array as da
import distributed

import fastdrop.dask
from fastdrop.dask import mc_predict

DEMO = Path(fd.__file__).parent / "demo" / "sms_spam.keras"
OF_CLASSES = ("entropy", "expected_entropy", "mutual_information", "variation_ratio")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tagger(steps: int | None = 5) -> fd.Model:
    """Return a model of classes at each step, dropout of all kinds in it."""
    lstm = layers.LSTM(
        name="lstm",
        kernel=normal(2, 16),
        recurrent_kernel=normal(4, 16, seed=1),
        dropout=0.2,
        recurrent_dropout=0.3,
        return_sequences=True,
    )
    head = layers.Dense(name="out", kernel=normal(4, 3, seed=2), activation="softmax")
    return fd.Model([lstm, layers.Dropout(name="drop", rate=0.4), head], (steps, 2))


def dense() -> fd.Model:
    kernel = normal(4, 2, seed=3)
    drop = layers.Dropout(name="drop", rate=0.5)
    return fd.Model([drop, layers.Dense(name="out", kernel=kernel)], (4,))


def events() -> fd.Model:
    kernel = normal(4, 1, seed=3)
    drop = layers.Dropout(name="drop", rate=0.5)
    return fd.Model([drop, layers.Dense(name="out", kernel=kernel, activation="sigmoid")], (4,))


def several(outputs: Any) -> fd.Model:
    calls = [
        fd.Call(layers.Dropout(name="a", rate=0.5), "left"),
        fd.Call(layers.Merge(name="b", function="add"), ["a", "right"]),
        fd.Call(layers.Dense(name="c", kernel=normal(3, 2), activation="softmax"), "b"),
    ]
    return fd.Model(calls, {"left": (3,), "right": (3,)}, outputs=outputs)


MODELS = {"tagger": (tagger, (5, 2)), "dense": (dense, (4,)), "events": (events, (4,))}
Q = (0.1, 0.5, 0.75)


def assert_same(found: Any, p: fd.Prediction, quantiles: Any = Q) -> None:
    """See that NumPy's arrays of a lazy prediction are those of one call, bit for bit."""
    assert found.kind == p.kind
    assert np.array_equal(found.mean, p.mean)
    assert np.array_equal(found.std, p.std, equal_nan=True)
    assert np.array_equal(found.quantiles, p.quantile(quantiles))
    assert np.array_equal(found.n_samples, p.n_samples)
    for name in OF_CLASSES:
        if p.kind == "regression":
            assert getattr(found, name) is None
        else:
            assert np.array_equal(getattr(found, name), getattr(p, name))


def in_parts(x: np.ndarray, count: int) -> Any:
    """Return a dask array of so many blocks of rows, of different lengths."""
    bounds = np.linspace(0, len(x), count + 1).astype(int)
    return da.from_array(x, chunks=(tuple(np.diff(bounds).tolist()), *x.shape[1:]))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return what calls of the model's there were: the first row and how many."""
    found = []
    method = fd.Model.mc_predict

    def noted(self: fd.Model, x: Any, *given: Any, **options: Any) -> Any:
        first = next(iter(x.values())) if isinstance(x, dict) else x
        if len(first):
            found.append((options["row_offset"], len(first)))
        return method(self, x, *given, **options)

    monkeypatch.setattr(fd.Model, "mc_predict", noted)
    return found


# ---- workers in processes of their own ----


@contextmanager
def two_workers() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        # No default, for the other tests are for schedulers of this process.
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_workers() as client:
        yield client


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("name", MODELS)
def test_the_bits_of_one_call_on_a_cluster(cluster: Any, name: str, parts: int) -> None:
    make, shape = MODELS[name]
    model, x = make(), normal(23, *shape, seed=9)
    options: dict[str, Any] = {"rng": 5, "row_offset": 100, "first_sample": 7}
    p = mc_predict(model, in_parts(x, parts), 40, quantiles=Q, **options)
    workers = set(cluster.run(os.getpid).values())
    assert len(workers) == 2
    assert os.getpid() not in workers
    assert_same(p.compute(scheduler=cluster), model.mc_predict(x, 40, **options))


def counted(model: fd.Model, file: Path) -> fd.Model:
    """Return the model as one that notes in which processes it is made from a pickle."""

    class Counted(fd.Model):  # inside, so that it travels with its code
        def __setstate__(self, state: dict[str, Any]) -> None:
            with open(state["file"], "a") as log:
                log.write(f"{os.getpid()}\n")
            self.__dict__.update(state)

    copy = Counted.__new__(Counted)
    copy.__dict__.update(model.__dict__, file=str(file))
    return copy


def test_a_worker_is_sent_the_model_once(cluster: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    model, x = counted(dense(), log), normal(40, 4)
    p = mc_predict(model, in_parts(x, 20), 500, rng=0, quantiles=Q)
    p = dask.compute(p, p.std + 1, scheduler=cluster)[0]
    assert_same(p, model.mc_predict(x, 500, rng=0))
    processes = [int(line) for line in log.read_text().split()]
    workers = set(cluster.run(os.getpid).values())
    times = [processes.count(worker) for worker in workers]
    assert max(times) == 1, times
    assert 1 <= sum(times) <= 2


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    model, x = tagger(), normal(24, 5, 2)
    begun = tmp_path / "begun"

    def slowly(block: np.ndarray) -> np.ndarray:
        with open(begun, "a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(0.2)
        return block

    rows = in_parts(x, 12).map_blocks(slowly, dtype=x.dtype, meta=x[:0])
    with two_workers() as client:
        future = client.compute(mc_predict(model, rows, 40, rng=3, quantiles=Q).mean)
        end = time.monotonic() + 60
        while not begun.exists() or len(begun.read_text().split()) < 5:
            assert time.monotonic() < end
            time.sleep(0.02)
        victim = int(begun.read_text().split()[-1])
        assert victim != os.getpid()
        os.kill(victim, signal.SIGKILL)
        mean = future.result(timeout=120)
    assert np.array_equal(mean, model.mc_predict(x, 40, rng=3).mean)
    again = begun.read_text().split()
    assert len(again) > 12  # what the killed one had is there again
    assert str(victim) in again


# ---- how it is split ----


@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_dtypes_are_known_before(name: str) -> None:
    make, shape = MODELS[name]
    model, x = make(), normal(11, *shape)
    p = mc_predict(model, in_parts(x, 3), 10, quantiles=Q)
    fields = ["mean", "std", "quantiles"]
    if p.kind != "regression":
        fields += OF_CLASSES
    computed = p.compute(scheduler="sync")
    for field in fields:
        lazy, array = getattr(p, field), getattr(computed, field)
        assert isinstance(lazy, da.Array)
        assert type(lazy._meta) is type(array) is np.ndarray
        assert lazy.dtype == lazy._meta.dtype == array.dtype == np.float64
        assert lazy.shape == array.shape
        assert lazy._meta.ndim == lazy.ndim
        rows = 1 if field == "quantiles" else 0
        assert lazy.chunks[rows] == (3, 4, 4)
        # What is computed further goes by the meta.
        assert (lazy + 1).sum(axis=-1).compute(scheduler="sync").shape == array.shape[:-1]


def test_nothing_is_drawn_before_and_then_once_a_block(calls: list[tuple[int, int]]) -> None:
    x = normal(10, 5, 2)
    p = mc_predict(tagger(), da.from_array(x, chunks=((3, 5, 2), 5, 2)), 10, row_offset=50)
    assert calls == []
    blocks = [(50, 3), (53, 5), (58, 2)]
    dask.compute(p.mean, p.std, p.quantiles, p.entropy.sum(), scheduler="sync")
    assert sorted(calls) == blocks
    calls.clear()
    p.compute(scheduler="sync")
    assert sorted(calls) == blocks
    calls.clear()
    p.mean[4:6].compute(scheduler="sync")
    assert calls == [(53, 5)]


def test_calls_alike_share_their_work(calls: list[tuple[int, int]]) -> None:
    model, x = tagger(None), in_parts(normal(6, 5, 2), 2)
    first = mc_predict(model, x, 10, rng=1)
    first.compute(scheduler="sync")
    calls.clear()
    same = mc_predict(model, x, 10, rng=fd.Key(1))
    dask.compute(first.mean, same.std, scheduler="sync")
    assert len(calls) == 2
    for other in (
        mc_predict(model, x, 11, rng=1),
        mc_predict(model, x, 10, rng=2),
        mc_predict(model, x, 10, rng=1, row_offset=1),
        mc_predict(model, x, 10, rng=1, first_sample=1),
        mc_predict(model, x, 10, rng=1, scope="shared"),
        mc_predict(model.with_rates({"drop": 0.1}), x, 10, rng=1),
    ):
        mean, others = dask.compute(first.mean, other.mean, scheduler="sync")
        assert not np.array_equal(mean, others)


def test_calls_for_one_model_share_its_key() -> None:
    """It remembers what it was used for, which is no part of it."""
    model = tagger(None)
    predictions = [mc_predict(model, in_parts(normal(4, n, 2), 2), 10) for n in (5, 7)]
    keys = [key for p in predictions for key in dict(p.mean.dask) if "fastdrop-model" in key]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_other_axes_may_be_split() -> None:
    model, x = tagger(), normal(7, 5, 2)
    lazy = da.from_array(x, chunks=(3, 2, 1))
    p = mc_predict(model, lazy, 20, rng=1, quantiles=Q).compute(scheduler="threads")
    assert_same(p, model.mc_predict(x, 20, rng=1))


def test_empty_blocks_and_arrays() -> None:
    model, x = dense(), normal(4, 4)
    lazy = da.from_array(x, chunks=((0, 3, 0, 1), 4))
    p = mc_predict(model, lazy, 20, quantiles=Q).compute(scheduler="sync")
    assert_same(p, model.mc_predict(x, 20, rng=0))
    none = mc_predict(model, in_parts(x[:0], 1), 20).compute(scheduler="sync")
    assert none.mean.shape == (0, 2)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize("threads", [1, 2])
def test_options_are_the_models(scope: str, threads: int) -> None:
    model, x = dense(), normal(9, 4)
    options: dict[str, Any] = {"scope": scope, "until": {"std": 0.05}, "rng": 2}
    p = mc_predict(model, in_parts(x, 3), 900, quantiles=[0.5], threads=threads, **options)
    assert p.n_samples.dtype == np.int64
    assert p.n_samples.shape == (9,)
    expected = model.mc_predict(x, 900, **options)
    assert len(set(expected.n_samples.tolist())) > (scope == "per_row")
    assert_same(p.compute(scheduler="sync"), expected, [0.5])


def test_kinds_and_no_quantiles() -> None:
    model, x = events(), normal(9, 4)
    p = mc_predict(model, in_parts(x, 2), 20, kind="regression", quantiles=())
    assert p.entropy is None
    assert p.quantiles.shape == (0, 9, 1)
    found = p.compute(scheduler="sync")
    assert_same(found, model.mc_predict(x, 20, rng=0, kind="regression"), ())


@pytest.mark.parametrize("outputs", ["c", ["b", "c"], {"y": "b", "z": "c"}])
@pytest.mark.parametrize("given", ["list", "dict"])
def test_several_inputs_and_outputs(outputs: Any, given: str) -> None:
    model = several(outputs)
    left, right = normal(8, 3), normal(8, 3, seed=1)
    x = {"left": in_parts(left, 3), "right": in_parts(right, 2)}
    lazy: Any = x if given == "dict" else list(x.values())
    found = mc_predict(model, lazy, 20, rng=4, quantiles=Q)
    p = model.mc_predict({"left": left, "right": right}, 20, rng=4)
    assert type(found) is (type(p) if not isinstance(p, fd.Prediction) else type(found))
    if isinstance(outputs, str):
        found, p = [found], [p]
    elif isinstance(outputs, dict):
        assert list(found) == list(p) == ["y", "z"]
        found, p = list(found.values()), list(p.values())
    for lazy, one in zip(found, p, strict=True):
        assert_same(lazy.compute(scheduler="sync"), one)


def test_one_call_samples_all_outputs(calls: list[tuple[int, int]]) -> None:
    x = [in_parts(normal(8, 3), 2), in_parts(normal(8, 3), 2)]
    first, second = mc_predict(several(["b", "c"]), x, 10)
    dask.compute(first.mean, second.entropy, scheduler="sync")
    assert len(calls) == 2


def test_indices_of_words() -> None:
    model = fd.load(DEMO)
    x = np.random.default_rng(0).integers(0, 50, (5, *model.input_shape))
    p = mc_predict(model, in_parts(x, 2), 10, quantiles=Q)
    assert_same(p.compute(scheduler="sync"), model.mc_predict(x, 10, rng=0))


# ---- keys ----


def test_a_generator_is_drawn_from_once() -> None:
    x = normal(6, 4)
    model, lazy = dense(), in_parts(x, 3)
    generator = np.random.default_rng(7)
    p = mc_predict(model, lazy, 10, rng=generator, quantiles=Q)
    expected = model.mc_predict(x, 10, rng=np.random.default_rng(7))
    assert_same(p.compute(scheduler="sync"), expected)
    assert_same(p.compute(scheduler="sync"), expected)
    other = np.random.default_rng(7)
    model.mc_predict(x, 10, rng=other)
    assert generator.bit_generator.state == other.bit_generator.state


def test_a_model_is_the_same_from_a_pickle() -> None:
    for model, shape in ((make(), shape) for make, shape in MODELS.values()):
        x = normal(5, *shape)
        before = pickle.loads(pickle.dumps(model))
        p = model.mc_predict(x, 20, rng=0, keep_samples=True)
        for copy in (before, pickle.loads(pickle.dumps(model))):
            assert np.array_equal(
                copy.mc_predict(x, 20, rng=0, keep_samples=True).samples, p.samples
            )


# ---- refusals ----

X = normal(6, 4)


def unknown() -> Any:
    lazy = in_parts(X, 2)
    return lazy[lazy[:, 0] > 0]


REFUSED: dict[str, tuple[Any, Any, dict[str, Any], type[Exception], str]] = {
    "no model": ("m.keras", in_parts(X, 2), {}, TypeError, "model: expected a fastdrop.Model"),
    "no dask array": (dense(), X, {}, TypeError, "x: expected a dask array, got float32 array"),
    "no rows": (dense(), da.from_array(np.array(1.0)), {}, ValueError, "x: expected an array of"),
    "unknown": (dense(), unknown(), {}, ValueError, "x: expected blocks of known lengths"),
    "shape": (dense(), in_parts(X[:, :3], 2), {}, ValueError, r"x: expected shape \(batch, 4\)"),
    "dtype": (dense(), in_parts(X.astype(complex), 2), {}, TypeError, "x: expected"),
    "rng": (dense(), in_parts(X, 2), {"rng": None}, TypeError, "rng: expected a seed or a Key"),
    "float": (dense(), in_parts(X, 2), {"rng": 1.5}, TypeError, "rng: expected"),
    "negative": (dense(), in_parts(X, 2), {"rng": -1}, ValueError, "seed|rng"),
    "samples": (dense(), in_parts(X, 2), {"samples": 0}, ValueError, "samples: expected"),
    "scope": (dense(), in_parts(X, 2), {"scope": "row"}, ValueError, "scope: expected"),
    "kind": (dense(), in_parts(X, 2), {"kind": "class"}, ValueError, "kind: expected"),
    "until": (dense(), in_parts(X, 2), {"until": 0}, ValueError, "until mean: expected"),
    "threads": (dense(), in_parts(X, 2), {"threads": 0}, ValueError, "threads: expected"),
    "first_sample": (dense(), in_parts(X, 2), {"first_sample": -1}, ValueError, "first_sample"),
    "offset": (dense(), in_parts(X, 2), {"row_offset": -1}, ValueError, "row_offset: expected"),
    "too far": (
        dense(),
        in_parts(X, 2),
        {"row_offset": (1 << 63) // 4 - 5},
        ValueError,
        "row_offset: expected at most",
    ),
    "quantiles": (dense(), in_parts(X, 2), {"quantiles": [1.5]}, ValueError, "quantiles: expected"),
    "one quantile": (
        dense(),
        in_parts(X, 2),
        {"quantiles": 0.5},
        ValueError,
        "quantiles: expected a sequence",
    ),
    "nothing random": (
        dense().with_rates({"drop": 0.0}),
        in_parts(X, 2),
        {},
        ValueError,
        "expected a model with dropout",
    ),
    "one of two": (several("c"), in_parts(X[:, :3], 2), {}, TypeError, "x: expected 2 dask arrays"),
    "other names": (
        several("c"),
        {"left": in_parts(X[:, :3], 2), "r": in_parts(X[:, :3], 2)},
        {},
        ValueError,
        "x: expected arrays by the names 'left', 'right'",
    ),
    "other rows": (
        several("c"),
        [in_parts(X[:, :3], 2), in_parts(X[1:, :3], 2)],
        {},
        ValueError,
        r"x\['right'\]: expected 6 rows",
    ),
    "one unknown": (
        several("c"),
        [in_parts(X[:, :3], 2), unknown()[:, :3]],
        {},
        ValueError,
        r"x\['right'\]: expected blocks of known lengths",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_computed(case: str, calls: list[tuple[int, int]]) -> None:
    model, x, options, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        mc_predict(model, x, **options)
    assert calls == []


def test_a_generator_is_not_drawn_from_in_vain() -> None:
    generator = np.random.default_rng(0)
    state = generator.bit_generator.state
    for options in ({"samples": 0}, {"row_offset": 1 << 62}, {"quantiles": [2]}):
        with pytest.raises(ValueError, match="expected"):
            mc_predict(dense(), in_parts(X, 2), rng=generator, **options)
    assert generator.bit_generator.state == state


def test_the_extra_is_named_where_it_is_missing() -> None:
    code = (
        "import sys; sys.modules['dask'] = None\n"
        "try: import fastdrop.dask\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert 'pip install "fastdrop-rnn[dask]"' in found.stdout


def test_doctests() -> None:
    result = doctest.testmod(fastdrop.dask)
    assert not result.failed
    assert result.attempted > 5

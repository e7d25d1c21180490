"""Arrays of other libraries: read where they lie, and refused where a CPU cannot read them."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import _backend, _check, feedforward

X = (np.arange(24, dtype=np.float32) / 7).reshape(4, 6)
SEQUENCE = (np.arange(24, dtype=np.float32) / 24).reshape(2, 4, 3)
TOKENS, TABLE = np.array([[0, 1, 2, 1], [2, 0, 1, 1]]), X[:3, :3].copy()
KERNEL, RECURRENT = X[:3, :5].copy(), np.eye(5, dtype=np.float32) / 2
GATED, GATED_RECURRENT = np.tile(KERNEL, (1, 3)), np.tile(RECURRENT, (1, 3))
LAYER = fd.pack_simple_rnn(KERNEL, RECURRENT)
GRU = fd.pack_gru(GATED, GATED_RECURRENT)
BITS = np.packbits(X > 1, axis=None, bitorder="little")
CELL = fd.layers.SimpleRNN(name="rnn", kernel=KERNEL, recurrent_kernel=RECURRENT)
MODEL = fd.Model([fd.layers.Dropout(name="drop", rate=0.5), CELL], (None, 3))
LOOP = fd.Model(
    [
        fd.layers.SimpleRNN(name="rnn", kernel=RECURRENT, recurrent_kernel=RECURRENT),
        fd.layers.GaussianNoise(name="noise", stddev=0.1),
    ],
    (None, 5),
)
ENSEMBLE = fd.Ensemble([MODEL, MODEL])
PREDICTION = MODEL.mc_predict(SEQUENCE, samples=8, rng=0)
SCORES = fd.scores


def rnn(**options: Any) -> Any:
    return fd.rnn(**{"x": SEQUENCE, "layers": LAYER, **options})


def stream(x: Any) -> Any:
    return MODEL.stream(rows=2, samples=4, rng=0, scope="shared").step(x).mean


def single(x: Any) -> Any:
    return MODEL.stream(rows=1, samples=4, rng=0).step(x).mean


# An argument by function and name, with an array that it takes.
TAKEN: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "dropout x": (lambda a: fd.dropout(a, 0.5, rng=0), X),
    "dropout_backward grad": (lambda a: fd.dropout_backward(a, 0.5, rng=0), X),
    "apply_mask x": (lambda a: fd.apply_mask(a, BITS), X),
    "apply_mask mask": (lambda a: fd.apply_mask(X, a), X > 1),
    "unpack_mask packed": (lambda a: fd.unpack_mask(a, (4, 6)), BITS),
    "drop_connect weight": (lambda a: fd.drop_connect(a, 0.5, rng=0), X),
    "alpha_dropout x": (lambda a: fd.alpha_dropout(a, 0.5, rng=0), X),
    "gaussian_dropout x": (lambda a: fd.gaussian_dropout(a, 0.5, rng=0), X),
    "gaussian_noise x": (lambda a: fd.gaussian_noise(a, 0.5, rng=0), X),
    "zoneout previous": (lambda a: fd.zoneout(a, 2 * X, 0.5, rng=0), X),
    "zoneout new": (lambda a: fd.zoneout(2 * X, a, 0.5, rng=0), X),
    "spatial_dropout1d x": (lambda a: fd.spatial_dropout1d(a, 0.5, rng=0), SEQUENCE),
    "spatial_dropout2d x": (lambda a: fd.spatial_dropout2d(a, 0.5, rng=0), SEQUENCE[..., None]),
    "spatial_dropout3d x": (
        lambda a: fd.spatial_dropout3d(a, 0.5, rng=0),
        SEQUENCE[..., None, None],
    ),
    "embedding_dropout indices": (lambda a: fd.embedding_dropout(a, TABLE, 0.5, rng=0), TOKENS),
    "embedding_dropout table": (lambda a: fd.embedding_dropout(TOKENS, a, 0.5, rng=0), TABLE),
    "dense x": (lambda a: fd.dense(a, X.T.copy()), X),
    "dense kernel": (lambda a: fd.dense(X[:, :4], a), X),
    "dense bias": (lambda a: fd.dense(X[:, :4], X, a), X[0]),
    "activate x": (lambda a: fd.activate(a, "tanh"), X),
    "matmul a": (lambda a: feedforward.matmul(a, SEQUENCE[:, :3]), SEQUENCE),
    "matmul b": (lambda a: feedforward.matmul(SEQUENCE, a), SEQUENCE[:, :3]),
    "rnn x": (lambda a: rnn(x=a), SEQUENCE),
    "rnn input_mask": (lambda a: rnn(input_mask=a), 2 * SEQUENCE[:, 0]),
    "rnn recurrent_mask": (lambda a: rnn(recurrent_mask=a), X[:2, :5]),
    "rnn candidate_mask": (lambda a: rnn(layers=GRU, candidate_mask=a), X[:2, :5]),
    "rnn embedding": (lambda a: rnn(x=TOKENS, embedding=a), TABLE),
    "rnn embedding_mask": (
        lambda a: rnn(x=TOKENS, embedding=TABLE, embedding_mask=a),
        SEQUENCE[:, 0],
    ),
    "rnn initial_state h": (lambda a: rnn(initial_state=a), X[:2, :5]),
    "rnn mask": (lambda a: rnn(mask=a), SEQUENCE[..., 0] > 0.3),
    "rnn lengths": (lambda a: rnn(lengths=a), np.array([1, 3])),
    "simple_rnn x": (lambda a: fd.simple_rnn(a, KERNEL, RECURRENT), SEQUENCE),
    "simple_rnn kernel": (lambda a: fd.simple_rnn(SEQUENCE, a, RECURRENT), KERNEL),
    "gru x": (lambda a: fd.gru(a, GATED, GATED_RECURRENT), SEQUENCE),
    "lstm x": (
        lambda a: fd.lstm(a, np.tile(KERNEL, (1, 4)), np.tile(RECURRENT, (1, 4))),
        SEQUENCE,
    ),
    "pack_simple_rnn kernel": (
        lambda a: rnn(layers=fd.pack_simple_rnn(a, RECURRENT)),
        KERNEL,
    ),
    "pack_simple_rnn recurrent_kernel": (
        lambda a: rnn(layers=fd.pack_simple_rnn(KERNEL, a)),
        RECURRENT,
    ),
    "pack_simple_rnn bias": (
        lambda a: rnn(layers=fd.pack_simple_rnn(KERNEL, RECURRENT, a)),
        X[0, :5],
    ),
    "step x": (lambda a: fd.step(a, LAYER)[0], SEQUENCE[:, 0]),
    "step state h": (lambda a: fd.step(SEQUENCE[:, 0], LAYER, a)[0], X[:2, :5]),
    "Stepper x": (lambda a: fd.Stepper(LAYER, 2).step(a), SEQUENCE[:, 0]),
    "predict x": (MODEL.predict, SEQUENCE),
    "mc_predict x": (lambda a: MODEL.mc_predict(a, samples=4, rng=0).mean, SEQUENCE),
    "rollout x": (lambda a: LOOP.rollout(a, 2, samples=4, rng=0).mean, X[np.newaxis, :, :5]),
    "stream x": (stream, SEQUENCE[:, 0]),
    "stream of one row x": (single, SEQUENCE[0, 0]),
    "Ensemble.predict x": (ENSEMBLE.predict, SEQUENCE),
    "Ensemble.mc_predict x": (lambda a: ENSEMBLE.mc_predict(a, samples=4, rng=0).mean, SEQUENCE),
    "crps y": (lambda a: SCORES.crps(a, X), X[0]),
    "crps samples": (lambda a: SCORES.crps(X[0], a), X),
    "pinball quantiles": (lambda a: SCORES.pinball(X[0], a, [0.1, 0.2, 0.3, 0.4]), X),
    "pinball levels": (lambda a: SCORES.pinball(X[0], X[:2], a), np.array([0.25, 0.75])),
    "coverage low": (lambda a: SCORES.coverage(X, a, X + 1), X),
    "nll_normal std": (lambda a: SCORES.nll_normal(X, X, a), X + 1),
    "nll probabilities": (lambda a: SCORES.nll([0, 1], a), np.array([[0.25, 0.75]] * 2)),
    "calibrate y": (lambda a: fd.calibration.calibrate(PREDICTION, a, 0.5).score, X[:2, :5]),
}


class ByArray:
    """What pandas and others do: ``__array__`` alone."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


class ByDLPack:
    """What the array API standard asks for, and no more."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class Elsewhere:
    """On a device; nothing may be fetched from it."""

    device = (2, 1)

    def __init__(self, array: np.ndarray) -> None:
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options: Any) -> Any:
        raise AssertionError("fetched")

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("fetched")

    def __repr__(self) -> str:
        raise AssertionError("fetched")


class Cuda:
    """What knows CUDA's own interface alone."""

    __cuda_array_interface__: dict[str, Any] = {"version": 3}  # noqa: RUF012

    def __init__(self, array: np.ndarray) -> None:
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("fetched")


class Learning(ByArray):
    """A tensor that records what becomes of it, and says so of itself as PyTorch's do."""

    requires_grad = True

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


class Refusing(ByArray):
    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no numbers\n  here")


def argument(name: str) -> str:
    return re.escape(name.removeprefix("stream of one row ").partition(" ")[2] or "x")


@pytest.mark.parametrize("kind", [ByArray, ByDLPack], ids=["array", "dlpack"])
@pytest.mark.parametrize("name", TAKEN)
def test_other_arrays_are_read(name: str, kind: Callable[[np.ndarray], object]) -> None:
    call, array = TAKEN[name]
    np.testing.assert_array_equal(call(kind(array)), call(array), strict=True)


REFUSED = {
    "cuda": (Elsewhere, "in main memory, got Elsewhere on cuda:1"),
    "interface": (Cuda, "in main memory, got Cuda on cuda"),
    "gradient": (Learning, r"as \.detach\(\) gives it, got Learning that requires grad"),
    "refusing": (Refusing, "got Refusing: no numbers here"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", TAKEN)
def test_what_cannot_be_read_is_refused_by_name(name: str, kind: str) -> None:
    call, array = TAKEN[name]
    make, message = REFUSED[kind]
    with pytest.raises(TypeError, match=rf"^{argument(name)}: expected an array.*{message}$"):
        call(make(array))


@pytest.mark.parametrize(
    ("device", "named"),
    [((10, 0), "rocm:0"), ((8, 0), "metal:0"), ((13, 2), "cuda:2"), ((99, 0), "device 99:0")],
    ids=["rocm", "metal", "managed", "unknown"],
)
def test_devices_have_names(device: tuple[int, int], named: str) -> None:
    there = Elsewhere(X)
    there.device = device
    with pytest.raises(TypeError, match=rf"^x: expected .*, got Elsewhere on {named}$"):
        fd.dropout(there, 0.5)


@pytest.mark.parametrize("device", [1, 3, 11], ids=["cpu", "cuda-host", "rocm-host"])
def test_memory_that_a_cpu_reads(device: int) -> None:
    class Pinned(ByArray):
        def __dlpack_device__(self) -> tuple[int, int]:
            return device, 0

    assert _check.read(Pinned(X), "x") is X


def test_nothing_is_drawn_before_an_array_is_refused() -> None:
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    with pytest.raises(TypeError, match="main memory"):
        fd.dropout(Elsewhere(X), 0.5, rng=generator)
    assert generator.bit_generator.state == before


# ---- no copies ----


class Spy:
    """The active backend, which tells what it was given to read."""

    def __init__(self, backend: Any) -> None:
        self.backend, self.seen = backend, []  # type: tuple[Any, list[np.ndarray]]

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self.backend, name)

        def call(out: np.ndarray, x: np.ndarray, *rest: Any) -> Any:
            self.seen += [x, *(r for r in rest if isinstance(r, np.ndarray))]
            return kernel(out, x, *rest)

        return call


def makers() -> dict[str, Callable[[np.ndarray], Any]]:
    """What makes arrays of other libraries from NumPy's, in the same memory."""

    def pandas(array: np.ndarray) -> Any:
        return pytest.importorskip("pandas").DataFrame(array, copy=False)

    def arrow(array: np.ndarray) -> Any:
        return pytest.importorskip("pyarrow").Tensor.from_numpy(array)

    def torch(array: np.ndarray) -> Any:
        return pytest.importorskip("torch").from_numpy(array)

    return {"array": ByArray, "dlpack": ByDLPack, "pandas": pandas, "arrow": arrow, "torch": torch}


LIVE = [pytest.param(name, marks=[pytest.mark.live] * (name == "torch")) for name in makers()]


@pytest.mark.parametrize("library", LIVE)
def test_nothing_is_copied(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels read the numbers where the other library keeps them."""
    x, kernel = X.copy(), X[:, :4].T.copy()
    other, other_kernel = makers()[library](x), makers()[library](kernel)
    spy = Spy(_backend.active)
    monkeypatch.setattr(_backend, "active", spy)
    fd.dropout(other, 0.5, rng=1)
    fd.dense(x[:, :4].copy(), other_kernel)
    assert any(np.shares_memory(seen, x) for seen in spy.seen)
    assert any(np.shares_memory(seen, kernel) for seen in spy.seen)


# ---- libraries themselves ----


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    np.testing.assert_array_equal(fd.dropout(frame, 0.5, rng=0), fd.dropout(X, 0.5, rng=0))
    series = frame["b"]
    np.testing.assert_array_equal(fd.dropout(series, 0.5, rng=0), fd.dropout(X[:, 1], 0.5, rng=0))
    model = fd.Model([fd.layers.Dense(name="dense", kernel=X.T.copy())], (6,))
    np.testing.assert_array_equal(model.predict(frame), model.predict(X))
    np.testing.assert_array_equal(SCORES.crps(X[0], frame), SCORES.crps(X[0], X))
    mixed = pandas.DataFrame({"a": [1.0], "b": ["text"]})
    with pytest.raises(TypeError, match=r"^x: expected an array of .*, got object array"):
        model.predict(mixed)


def test_arrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    column = arrow.array(X[0])
    np.testing.assert_array_equal(fd.dropout(column, 0.5, rng=0), fd.dropout(X[0], 0.5, rng=0))
    assert np.shares_memory(_check.read(column, "x"), column.to_numpy())
    chunked = arrow.chunked_array([X[0], X[1]])
    both = np.concatenate([X[0], X[1]])
    np.testing.assert_array_equal(fd.dropout(chunked, 0.5, rng=0), fd.dropout(both, 0.5, rng=0))
    tensor = arrow.Tensor.from_numpy(X)
    np.testing.assert_array_equal(fd.dropout(tensor, 0.5, rng=0), fd.dropout(X, 0.5, rng=0))


def test_what_to_do_with_bfloat16() -> None:
    """Where another library gives it, a tensor of its own or NumPy's array."""

    class Tensor:
        dtype = "torch.bfloat16"

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise TypeError("Got unsupported ScalarType BFloat16")

    with pytest.raises(
        TypeError, match=r"^x: .*, as \.float\(\) gives it, got Tensor of bfloat16$"
    ):
        MODEL.predict(Tensor())  # type: ignore[arg-type]
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = SEQUENCE.astype(ml_dtypes.bfloat16)
    with pytest.raises(TypeError, match=r"as \.astype\('float32'\) gives it, got bfloat16 array"):
        MODEL.predict(array)


@pytest.mark.live
def test_torch() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    np.testing.assert_array_equal(fd.dropout(tensor, 0.5, rng=0), fd.dropout(X, 0.5, rng=0))
    sequence = torch.from_numpy(SEQUENCE.copy())
    np.testing.assert_array_equal(MODEL.predict(sequence), MODEL.predict(SEQUENCE))
    weights = fd.pack_simple_rnn(torch.from_numpy(KERNEL), torch.from_numpy(RECURRENT))
    np.testing.assert_array_equal(fd.rnn(sequence, weights), rnn())
    with pytest.raises(TypeError, match=r"^x: .*, as \.detach\(\) gives it, got Tensor that req"):
        fd.dropout(tensor.requires_grad_(), 0.5)
    np.testing.assert_array_equal(fd.dropout(tensor.detach(), 0.0), X)
    with pytest.raises(TypeError, match=r"^x: expected an array of .*, got Tensor: "):
        fd.dropout(torch.from_numpy(X).to_sparse(), 0.5)
    with pytest.raises(TypeError, match=r"^x: expected an array of .*, got Tensor: "):
        fd.dropout(torch.empty(3, device="meta"), 0.5)
    half = sequence.to(torch.bfloat16)
    with pytest.raises(
        TypeError, match=r"^x: .*, as \.float\(\) gives it, got Tensor of bfloat16$"
    ):
        MODEL.predict(half)
    np.testing.assert_array_equal(MODEL.predict(half.float()), MODEL.predict(half.float().numpy()))


@pytest.mark.live
def test_jax() -> None:
    jax = pytest.importorskip("jax")
    array = jax.device_put(X, jax.devices("cpu")[0])
    np.testing.assert_array_equal(fd.dropout(array, 0.5, rng=0), fd.dropout(X, 0.5, rng=0))
    pointer = array.unsafe_buffer_pointer()
    assert _check.read(array, "x").__array_interface__["data"][0] == pointer
    half = array.astype("bfloat16")
    assert fd.dropout(half, 0.0).dtype.name == "bfloat16"

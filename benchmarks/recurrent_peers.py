"""Who runs a recurrent layer forward, engine by engine: fastdrop with dropout, the others without.

An engine is one generator of `Row`s, its imports inside. All run the same weights over the same
inputs and return the outputs of all steps, in float32 and, those that can, with products of
bfloat16. Keras, which has dropout, has one backend a process: it is measured in `recurrent_keras`.
"""

import math
import timeit
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from benchmarks.peers import STRONGEST, TIERS, Library, fastdrop_label
from fastdrop import _backend

Array = NDArray[Any]

F32 = np.float32
SGEMM, TORCH, ORT, OPENVINO = "sgemm", "PyTorch", "ONNX Runtime", "OpenVINO"
OFF, PER_GATE, TIED, SHARED = "off", "per_gate", "tied", "shared"
PACKED_ANEW = "per_gate, weights packed each call"
STEPPER = "fd.Stepper"
RATES = {"dropout": 0.5, "recurrent_dropout": 0.5}
DROPOUTS: dict[str, dict[str, Any]] = {
    OFF: {},
    PER_GATE: RATES,
    TIED: RATES | {"scheme": "tied"},
    SHARED: RATES | {"scope": "shared"},
}
FLOAT32, BFLOAT16 = "float32", "bfloat16"
# The engines without dropout. ONNX Runtime's LSTM and GRU know no bfloat16 on a CPU.
OTHERS = {FLOAT32: (TORCH, ORT, OPENVINO), BFLOAT16: (TORCH, OPENVINO)}
WAYS = {FLOAT32: (OFF, PER_GATE, TIED, SHARED), BFLOAT16: (OFF, PER_GATE, SHARED)}
# How far an output, which is below 1, may be from the equations in float64. For bfloat16 that is
# four units in the last place of numbers from 0.5 to 1: PyTorch rounds states too, at every step,
# and is off by three of them.
BOUNDS = {FLOAT32: 1e-4, BFLOAT16: 2.0**-6}
NOT_INSTALLED, NOT_HERE = "not installed", "not on this CPU"
# Seconds for one call of a slow tier, which therefore takes a part of the steps.
SLOW_TIERS, SLOW_CALL = ("portable", "numpy"), 0.02
# Seconds; a way whose first call takes longer is not called again to see which is fastest.
LONG_CALL = 1.0


class Shape(NamedTuple):
    """Of one measurement."""

    batch: int
    steps: int
    features: int
    units: int

    def __str__(self) -> str:
        return f"({', '.join(map(str, self))})"


SHAPES = [
    Shape(1, 498, 64, 100),
    Shape(32, 498, 64, 100),
    Shape(256, 100, 64, 100),
    Shape(1, 100, 256, 256),
    Shape(32, 100, 256, 256),
    Shape(64, 50, 512, 512),
    Shape(64, 25, 1024, 1024),
    Shape(1, 100, 32, 32),
    Shape(32, 100, 16, 16),
    Shape(32, 100, 32, 32),
    Shape(32, 100, 64, 64),
]
QUICK_SHAPES = [Shape(1, 20, 64, 100), Shape(32, 4, 16, 16)]


@dataclass(frozen=True)
class Task:
    """A layer to run. Weights are in Keras's layout: gates i, f, c, o and z, r, h."""

    cell: str  # lstm or gru
    shape: Shape
    threads: int

    @property
    def gates(self) -> int:
        return 4 if self.cell == "lstm" else 3

    @property
    def flop(self) -> float:
        """Of the matrix products, activations not counted."""
        n, t, d, h = self.shape
        return 2.0 * self.gates * h * (d + h) * n * t

    @cached_property
    def x(self) -> Array:
        return np.random.default_rng(0).standard_normal(self.shape[:3], F32)

    @cached_property
    def kernel(self) -> Array:
        return self._uniform(1, self.shape.features, self.gates * self.shape.units)

    @cached_property
    def recurrent_kernel(self) -> Array:
        return self._uniform(2, self.shape.units, self.gates * self.shape.units)

    @cached_property
    def bias(self) -> Array:
        width = self.gates * self.shape.units
        return self._uniform(3, *((width,) if self.cell == "lstm" else (2, width)))

    def _uniform(self, seed: int, *shape: int) -> Array:
        limit = 1 / math.sqrt(self.shape.units)
        return np.random.default_rng(seed).uniform(-limit, limit, shape).astype(F32)

    @cached_property
    def expected(self) -> Array:
        """All outputs without dropout, from the equations in float64."""

        def sigmoid(v: Array) -> Array:
            return 0.5 + 0.5 * np.tanh(0.5 * v)

        n, steps, _, units = self.shape
        W, R, b = (a.astype(np.float64) for a in (self.kernel, self.recurrent_kernel, self.bias))
        h, c, y = np.zeros((n, units)), np.zeros((n, units)), np.empty((n, steps, units), F32)
        for t in range(steps):
            if self.cell == "lstm":
                i, f, g, o = np.split(self.x[:, t] @ W + h @ R + b, 4, axis=1)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                z, r, g = np.split(self.x[:, t] @ W + b[0], 3, axis=1)
                z_h, r_h, g_h = np.split(h @ R + b[1], 3, axis=1)
                z, r = sigmoid(z + z_h), sigmoid(r + r_h)
                h = z * h + (1 - z) * np.tanh(g + r * g_h)
            y[:, t] = h
        return y


class Row(NamedTuple):
    """One engine on a task. `again` draws anew; `steps` are fewer than the task's if it is slow.

    `read` makes an array of what a call returns; it is not timed.
    """

    engine: str
    dropout: str
    call: Callable[[], Any] | None  # None: it cannot be called, and `missing` says why
    again: Callable[[], Any] | None = None
    backend: _backend.Backend | None = None
    steps: int | None = None
    precision: str = FLOAT32
    read: Callable[[Any], Any] = np.asarray
    missing: str = NOT_INSTALLED


def check(row: Row, task: Task) -> None:
    """Without dropout an output is what the equations say; with it, finite and never the same."""
    if row.call is None or row.engine == SGEMM:
        return
    y = row.read(row.call())
    if row.again is None:
        expected = task.expected[:, : row.steps]
        right = np.allclose(y, expected, rtol=0, atol=BOUNDS[row.precision])
    else:
        other = row.read(row.again())
        right = bool(np.isfinite(y).all()) and not np.array_equal(y[: len(other)], other)
    if not right:
        raise AssertionError(f"{row.engine}, dropout {row.dropout}: wrong result of {task}")


def pack(task: Task, precision: str = FLOAT32) -> Any:
    function = fd.pack_lstm if task.cell == "lstm" else fd.pack_gru
    return function(task.kernel, task.recurrent_kernel, task.bias, precision=precision)


def fastdrop(task: Task) -> Iterator[Row]:
    """Every tier, but slow ones on one thread only; weights packed once, except for one row.

    The strongest with products of bfloat16 too.
    """
    for tier in TIERS:
        if task.threads == 1 or tier not in SLOW_TIERS:
            dropouts = (OFF, PER_GATE) if tier == "numpy" else WAYS[FLOAT32]
            yield from on_tier(task, tier, dropouts)
    yield from on_tier(task, STRONGEST, WAYS[BFLOAT16], BFLOAT16)
    function = fd.lstm if task.cell == "lstm" else fd.gru
    args = (task.x, task.kernel, task.recurrent_kernel, task.bias)
    common: dict[str, Any] = {"return_sequences": True, "threads": task.threads, **RATES}
    call = partial(function, *args, rng=fd.Key(0), **common)
    again = partial(function, task.x[:1], *args[1:], rng=fd.Key(1), **common)
    yield Row(fastdrop_label(_backend.active.tier), PACKED_ANEW, call, again)


def on_tier(
    task: Task, tier: str, dropouts: Sequence[str], precision: str = FLOAT32
) -> Iterator[Row]:
    """One tier of fastdrop, with these kinds of dropout."""
    backend, packed = TIERS[tier], pack(task, precision)
    steps = _affordable_steps(task, backend) if tier in SLOW_TIERS else None
    x = task.x[:, :steps].copy()
    for dropout in dropouts:
        options = DROPOUTS[dropout] | {"return_sequences": True, "threads": task.threads}
        run = partial(fd.rnn, layers=packed, **options)
        call = partial(run, x, rng=fd.Key(0))
        again = partial(run, x[:1], rng=fd.Key(1)) if dropout != OFF else None
        yield Row(fastdrop_label(tier), dropout, call, again, backend, steps, precision)


def stepping(task: Task, dropout: str) -> Row:
    """The next step of layers that remember, with masks held, written to a given array."""
    packed, x = pack(task), task.x[:, 0].copy()

    def step(seed: int) -> Callable[[], Any]:
        stepper = fd.Stepper(packed, task.shape.batch, rng=fd.Key(seed), **DROPOUTS[dropout])
        return partial(stepper.step, x, np.empty((task.shape.batch, task.shape.units), F32))

    again = step(1) if dropout != OFF else None
    return Row(STEPPER, dropout, step(0), again, read=lambda y: y[:, np.newaxis])


def _affordable_steps(task: Task, backend: _backend.Backend) -> int:
    """Return how many steps a slow tier can take in the time of a call."""
    chosen, _backend.active = _backend.active, backend
    steps = max(1, task.shape.steps // 50)
    call = partial(fd.rnn, task.x[:, :steps].copy(), pack(task), threads=1)
    seconds = min(timeit.repeat(call, number=1, repeat=2)) / steps
    _backend.active = chosen
    return min(task.shape.steps, max(1, int(SLOW_CALL / seconds)))


def torch(task: Task) -> Iterator[Row]:
    """nn.LSTM and nn.GRU, batch or time first, with oneDNN and without: whichever is fastest.

    In bfloat16 weights, inputs and states are all rounded.
    """
    import torch

    warnings.filterwarnings("ignore", "TF32 acceleration", module="torch")  # of other flags' setter
    torch.set_num_threads(task.threads)
    units = task.shape.units
    gates = [0, 1, 2, 3] if task.cell == "lstm" else [1, 0, 2]  # its GRU has r before z

    def weight(a: Array) -> Any:
        parts = np.split(np.atleast_2d(a), task.gates, axis=1)
        return torch.from_numpy(np.concatenate([parts[g] for g in gates], axis=1).T.copy())

    b0, b1 = task.bias if task.cell == "gru" else (task.bias, np.zeros_like(task.bias))
    weights = (task.kernel, task.recurrent_kernel, b0, b1)

    def way(dtype: Any, batch_first: bool, onednn: bool) -> Callable[[], Any]:
        Layer = torch.nn.LSTM if task.cell == "lstm" else torch.nn.GRU
        layer = Layer(task.shape.features, units, batch_first=batch_first).eval()
        x = torch.from_numpy(task.x if batch_first else task.x.swapaxes(0, 1).copy()).to(dtype)
        with torch.no_grad():
            for parameter, a in zip(layer.parameters(), weights, strict=True):
                parameter.copy_(weight(a).reshape(parameter.shape))
        layer = layer.to(dtype)

        def call() -> Any:
            with torch.inference_mode():
                y = layer(x)[0]
            return y if batch_first else y.transpose(0, 1)

        def without_onednn() -> Any:
            with torch.backends.mkldnn.flags(enabled=False):
                return call()

        return call if onednn else without_onednn

    for precision, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16)):
        ways = [way(dtype, *how) for how in ((True, True), (False, True), (True, False))]
        yield Row(
            TORCH,
            OFF,
            _fastest(ways),
            precision=precision,
            read=lambda y: y.float().numpy(),
            missing=NOT_HERE,
        )


def _fastest(ways: Sequence[Callable[[], Any]]) -> Callable[[], Any] | None:
    """Return the way that takes least time, of those that work; None if none does."""
    found = []
    for way in ways:
        try:
            seconds = timeit.timeit(way, number=1)
        except RuntimeError:  # PyTorch's, for what a CPU or a build cannot do
            continue
        if seconds < LONG_CALL:
            seconds = min(timeit.repeat(way, number=1, repeat=2))
        found.append((seconds, way))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def onnx_model(task: Task) -> bytes:
    """One LSTM or GRU operator with constant weights: x (T, N, D) to y (T, 1, N, H)."""
    from onnx import TensorProto, helper, numpy_helper

    n, steps, features, units = task.shape
    gates = [0, 3, 1, 2] if task.cell == "lstm" else [0, 1, 2]  # its LSTM has i, o, f, c

    def weight(a: Array) -> Array:
        parts = np.split(np.atleast_2d(a), task.gates, axis=1)
        return np.concatenate([parts[g] for g in gates], axis=1).T

    b0, b1 = task.bias if task.cell == "gru" else (task.bias, np.zeros_like(task.bias))
    constants = {
        "W": weight(task.kernel)[np.newaxis],
        "R": weight(task.recurrent_kernel)[np.newaxis],
        "B": np.concatenate([weight(b0), weight(b1)]).reshape(1, -1),
    }
    options = {"linear_before_reset": 1} if task.cell == "gru" else {}
    node = helper.make_node(
        task.cell.upper(), ["X", "W", "R", "B"], ["Y"], hidden_size=units, **options
    )
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [steps, n, features])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [steps, 1, n, units])
    arrays = [numpy_helper.from_array(a.copy(), name) for name, a in constants.items()]
    graph = helper.make_graph([node], task.cell, [x], [y], arrays)
    opset = helper.make_opsetid("", 14)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())


def onnxruntime(task: Task) -> Iterator[Row]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    session = ort.InferenceSession(onnx_model(task), options, providers=["CPUExecutionProvider"])
    inputs = {"X": task.x.swapaxes(0, 1).copy()}
    call = partial(session.run, None, inputs)
    yield Row(ORT, OFF, call, read=lambda outputs: outputs[0][:, 0].swapaxes(0, 1))


def openvino(task: Task) -> Iterator[Row]:
    """What it computes in is said, for it takes bfloat16 by default where the CPU has it.

    Where it says that the CPU has none it would compute in float32, whatever it is told.
    """
    import openvino as ov

    core = ov.Core()
    model = core.read_model(onnx_model(task), b"")

    def way(precision: str) -> Callable[[], Any]:
        options = {
            "INFERENCE_NUM_THREADS": task.threads,
            "INFERENCE_PRECISION_HINT": {FLOAT32: "f32", BFLOAT16: "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        request = core.compile_model(model, "CPU", options).create_infer_request()
        request.set_input_tensor(ov.Tensor(task.x.swapaxes(0, 1).copy()))

        def call() -> Any:
            request.infer()
            return request.get_output_tensor(0).data[:, 0].swapaxes(0, 1)

        return call

    yield Row(OPENVINO, OFF, way(FLOAT32))
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    call = way(BFLOAT16) if able else None
    yield Row(OPENVINO, OFF, call, precision=BFLOAT16, missing=NOT_HERE)


LIBRARIES = {
    "fastdrop": Library(("fastdrop",), (), fastdrop),
    TORCH: Library(("torch",), ("torch",), torch),
    ORT: Library(("onnxruntime", "onnx"), ("onnxruntime",), onnxruntime),
    OPENVINO: Library(("openvino", "onnx"), ("openvino",), openvino),
}


def rows(task: Task, names: Iterable[str] = LIBRARIES) -> Iterator[Row]:
    """Every way of every engine, and a row for what is not installed."""
    for name in names:
        if LIBRARIES[name].installed():
            yield from LIBRARIES[name].rows(task)
        else:
            yield from (
                Row(name, OFF, None, precision=precision)
                for precision, engines in OTHERS.items()
                if name in engines
            )

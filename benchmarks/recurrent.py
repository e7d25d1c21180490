"""Measure recurrent layers of every engine side by side, and write the figures to standard output.

    python -m benchmarks.recurrent --threads 1 > figures.json
    python -m benchmarks.recurrent --threads 1 --keras jax > figures.json

The first form takes all engines but Keras in turn in one process, and the machine's own matrix
product with them. The second takes Keras on one backend: it has one a process.
"""

import argparse
import ctypes
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from benchmarks import measure

if TYPE_CHECKING:
    from benchmarks.recurrent_peers import Row, Task
    from fastdrop._backend import Backend

# Long enough for the threads of the engine before to stop spinning: ONNX Runtime's go on for 60 ms.
REST = 0.07
# Seconds for a row of a slow tier.
SLOW_BUDGET = 0.05
# Sums that fma_peak.c has in flight.
FMA_CHAINS, FMA_ROUNDS = 12, 1_000_000
# How often all layers are measured, minutes apart, and in how many rounds each time.
PASSES, ROUNDS = 3, 5


class Figure(TypedDict):
    """Seconds for one call; None where there is none, and `missing` says why.

    `steps` is how many were run, if not all; the seconds are scaled to all.
    """

    engine: str
    dropout: str
    precision: str
    cell: str
    shape: list[int]
    threads: int
    seconds: float | None
    steps: int | None
    missing: str | None


class Figures(measure.About):
    """What one process measured; peaks in GFLOP/s of all its threads."""

    sgemm: float | None
    fma: dict[str, float]
    inner: dict[str, float]
    figures: list[Figure]


def tasks(threads: int, quick: bool) -> Iterator["Task"]:
    from benchmarks.recurrent_peers import QUICK_SHAPES, SHAPES, Task

    for cell in ("lstm", "gru"):
        yield from (Task(cell, shape, threads) for shape in (QUICK_SHAPES if quick else SHAPES))


def sgemm(threads: int) -> tuple[Callable[[], Any], float]:
    """Return the fastest float32 matrix product that is installed, and its GFLOP."""
    import numpy as np

    from benchmarks.recurrent_peers import LIBRARIES, TORCH

    found = []
    for n in (512, 1024, 2048):
        a = np.random.default_rng(0).random((n, n), np.float32)
        calls: list[Callable[[], Any]] = [partial(np.matmul, a, a, out=np.empty_like(a))]
        if LIBRARIES[TORCH].installed():
            import torch

            torch.set_num_threads(threads)
            t = torch.from_numpy(a)
            calls.append(partial(torch.mm, t, t, out=torch.empty_like(t)))
        for call in calls:
            gflop = 2e-9 * n**3
            speed = gflop / min(timeit.repeat(call, number=1, repeat=6))
            found.append((speed, call, gflop))
    _, call, gflop = max(found, key=lambda one: one[0])
    return call, gflop


def fma_peaks(threads: int) -> dict[str, float]:
    """Return what each tier's multiply-adds alone reach, in GFLOP/s; empty without a compiler."""
    from fastdrop import _backend

    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        print("NO FMA PEAKS: no C compiler is installed", file=sys.stderr)
        return {}
    source = Path(__file__).with_name("fma_peak.c")
    peaks = {}
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory, "fma_peak.so")
        flags = ["-O3", "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, source, "-o", library], check=True)
        functions = ctypes.CDLL(str(library))
        for backend in _backend.available:
            function = getattr(functions, backend.tier, None)
            if function is None:
                continue
            function.argtypes, function.restype = (ctypes.c_size_t, ctypes.c_float), ctypes.c_float
            width = {"avx512": 16, "avx2": 8, "neon": 4}[backend.tier]

            def seconds(_: int, f: Callable[[int, float], float] = function) -> float:
                start = time.perf_counter()
                f(FMA_ROUNDS, 0.999)
                return time.perf_counter() - start

            with ThreadPoolExecutor(threads) as pool:
                best = min(max(pool.map(seconds, range(threads))) for _ in range(10))
            peaks[backend.tier] = 1e-9 * threads * 2 * FMA_CHAINS * width * FMA_ROUNDS / best
    return peaks


def inner_kernels(threads: int) -> dict[str, float]:
    """Return what each tier's products reach on a large input projection, in GFLOP/s."""
    from benchmarks.recurrent_peers import SLOW_TIERS, Shape, Task, pack
    from fastdrop import _backend

    task = Task("lstm", Shape(512, 1, 1024, 1024), threads)
    x, weights, reached = task.x[:, 0], pack(task), {}
    chosen = _backend.active
    for backend in _backend.available:
        if backend.tier in SLOW_TIERS:
            continue
        _backend.active = backend
        reached[backend.tier] = _inner_kernel(backend, weights, x, threads)
    _backend.active = chosen
    return reached


def _inner_kernel(backend: "Backend", weights: Any, x: Any, threads: int) -> float:
    import numpy as np

    packed = weights.form(x.dtype, False)
    outputs = [np.empty((len(x), packed.width), x.dtype) for _ in range(threads)]

    def seconds(out: Any) -> float:
        start = time.perf_counter()
        backend.project(out, packed, x, None, None, None, None, None)
        return time.perf_counter() - start

    with ThreadPoolExecutor(threads) as pool:
        best = min(max(pool.map(seconds, outputs)) for _ in range(5))
    return float(1e-9 * threads * 8 * x.size * weights.units / best)


def run(task: "Task", rows: list["Row"], rounds: int, budget: float) -> Iterator[Figure]:
    """Check and time all rows of a task."""
    from benchmarks.recurrent_peers import check
    from fastdrop import _backend

    chosen = _backend.active
    for row in rows:
        _backend.active = row.backend or chosen
        check(row, task)
    _backend.active = chosen
    rest = REST if task.threads > 1 else 0.0
    budgets = [budget if row.steps is None else min(budget, SLOW_BUDGET) for row in rows]
    times = measure.take_turns(rows, rounds, budgets, rest)
    for row, seconds in zip(rows, times, strict=True):
        if seconds is not None and row.steps is not None:
            seconds *= task.shape.steps / row.steps
        yield {
            "engine": row.engine,
            "dropout": row.dropout,
            "precision": row.precision,
            "cell": task.cell,
            "shape": list(task.shape),
            "threads": task.threads,
            "seconds": seconds,
            "steps": None if row.steps == task.shape.steps else row.steps,
            "missing": row.missing if seconds is None else None,
        }


def fastest(figures: Iterable[Figure]) -> list[Figure]:
    """Return of each engine and shape the fastest of several passes, in the order of the first."""
    found: dict[tuple[Any, ...], Figure] = {}
    for figure in figures:
        names = ("engine", "dropout", "precision", "cell", "threads")
        key = (*(figure[name] for name in names), *figure["shape"])
        before = found.setdefault(key, figure)
        if figure["seconds"] is not None and figure["seconds"] < (before["seconds"] or math.inf):
            found[key] = figure
    return [*found.values()]


def side_by_side(threads: int, quick: bool) -> Figures:
    """Measure all layers; several times over, for a machine may be slow for a minute."""
    from benchmarks import peers, recurrent_peers

    passes, rounds, budget = (1, 2, 0.01) if quick else (PASSES, ROUNDS, 0.15)
    product, gflop = sgemm(threads)
    peak, fma = 0.0, fma_peaks(threads)
    figures: list[Figure] = []
    for task in [task for _ in range(passes) for task in tasks(threads, quick)]:
        print(f"{threads} thread(s): {task.cell}, {task.shape}", file=sys.stderr)
        limit = recurrent_peers.Row(recurrent_peers.SGEMM, recurrent_peers.OFF, product)
        for figure in run(task, [limit, *recurrent_peers.rows(task)], rounds, budget):
            if figure["engine"] != recurrent_peers.SGEMM:
                figures.append(figure)
            elif figure["seconds"] is not None:
                peak = max(peak, gflop / figure["seconds"])
    again = fma_peaks(threads)
    fma = {tier: max(speed, again[tier]) for tier, speed in fma.items()}
    inner = inner_kernels(threads)
    versions = peers.versions(recurrent_peers.LIBRARIES)
    about = measure.about(versions, passes * rounds)
    found = fastest(figures)
    return {**about, "sgemm": peak, "fma": fma, "inner": inner, "figures": found}


def keras_alone(backend: str, threads: int, quick: bool) -> Figures:
    from benchmarks import peers, recurrent_keras

    library, rounds = recurrent_keras.LIBRARIES[backend], 2 if quick else 5
    figures: list[Figure] = []
    for task in tasks(threads, quick):
        if threads > 1 and task.shape.units < recurrent_keras.WORTH_THREADS:
            continue
        print(f"{threads} thread(s), {backend}: {task.cell}, {task.shape}", file=sys.stderr)
        rows = list(recurrent_keras.rows(backend, task))
        figures += run(task, rows, rounds, budget=0.01 if quick else 0.3)
        if not library.installed():
            break
    versions = peers.versions(recurrent_keras.needed(backend))
    return {
        **measure.about(versions, rounds),
        "sgemm": None,
        "fma": {},
        "inner": {},
        "figures": figures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keras", metavar="BACKEND", help="measure Keras on this backend instead")
    parser.add_argument("--quick", action="store_true", help="small shapes, few rounds")
    options = parser.parse_args()
    measure.pin(options.threads)
    if options.keras is None:
        result = side_by_side(options.threads, options.quick)
    else:
        os.environ["KERAS_BACKEND"] = options.keras
        result = keras_alone(options.keras, options.threads, options.quick)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

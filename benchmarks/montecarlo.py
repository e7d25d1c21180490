"""The whole Monte-Carlo job of two models, engine by engine, each in a process of its own.

    python -m benchmarks.montecarlo write DIR                # Keras trains nothing, writes models
    python -m benchmarks.montecarlo job ENGINE MODEL DIR     # ENGINE: fastdrop, tensorflow, ...
    python -m benchmarks.montecarlo cold ENGINE DIR          # one job in a process just started

The last two write JSON to standard output. Imports stay inside functions: a cold start is measured.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from benchmarks import measure

# A: what a message is. A2: the same with a Dropout behind the embedding. B: what each word is.
MODELS, QUICK_MODELS = ("A", "A2", "B"), ("A", "B")
WORDS = {"A": 64, "A2": 64, "B": 5000}
FASTDROP = "fastdrop"
SAMPLES, INPUTS = "mc_predict", (1, 32)
TILED, LOOP = "inputs tiled", "calls in a loop"
# Seconds: after which no further call is timed; beyond which a loop is not run to its end.
BUDGET, LONG_LOOP = 1.5, 5.0
FEW = 5


class Job(TypedDict):
    """Seconds and peak memory of a job; `calls`: how many were timed, if the loop was scaled."""

    engine: str
    model: str
    method: str
    inputs: int
    seconds: float
    calls: int | None
    peak: int
    mean: list[float]
    std: list[float]


def build(name: str, quick: bool) -> Any:
    from keras import Sequential, layers

    steps, units = (6, 8) if quick else (50 if name == "B" else 498, 64 if name == "B" else 100)
    if name == "B":
        rates = {"dropout": 0.2, "recurrent_dropout": 0.2}
        stack = [
            layers.Embedding(WORDS[name], 64),
            layers.SpatialDropout1D(0.2),
            layers.GRU(units, **rates),
            layers.RepeatVector(steps),
            layers.GRU(units, return_sequences=True, **rates),
            layers.TimeDistributed(layers.Dense(17)),
            layers.Activation("softmax"),
        ]
    else:
        stack = [
            layers.Embedding(WORDS[name], 64),
            *([layers.Dropout(0.25)] if name == "A2" else []),
            layers.LSTM(units, dropout=0.5, recurrent_dropout=0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    return Sequential([layers.Input((steps,), dtype="int32"), *stack])


def write(directory: Path, quick: bool) -> None:
    """Write every model with inputs and what it predicts with dropout off."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    for name in MODELS:
        model = build(name, quick)
        rng = np.random.default_rng(0)
        for weights in model.weights:  # an untrained network says nothing but one half
            if weights.dtype == "float32":
                weights.assign(weights + 0.1 * rng.standard_normal(weights.shape, np.float32))
        x = rng.integers(0, WORDS[name], (max(INPUTS), *model.input_shape[1:])).astype(np.int32)
        model.save(directory / f"{name}.keras")
        np.save(directory / f"{name}-x.npy", x)
        np.save(directory / f"{name}-off.npy", model.predict(x, verbose=0))


def peak_memory() -> int:
    """Return this process's largest resident memory so far, in bytes.

    Linux counts in `ru_maxrss` what the parent had when it started this process; not so here.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of the fastest call but the first, which may compile."""
    call()
    best, spent = float("inf"), 0.0
    for turn in range(10):
        if turn >= 1 and spent > BUDGET:
            break
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
    return best


def fastdrop_jobs(name: str, directory: Path, samples: int, threads: int) -> list[Job]:
    import numpy as np

    import fastdrop as fd

    model = fd.load(directory / f"{name}.keras")
    x = np.load(directory / f"{name}-x.npy")
    off = np.load(directory / f"{name}-off.npy")
    np.testing.assert_allclose(model.predict(x, threads=threads), off, rtol=0, atol=1e-4)
    jobs = []
    for inputs in INPUTS:

        def call(x: Any = x[:inputs]) -> Any:
            return model.mc_predict(x, samples, rng=0, threads=threads)

        seconds, result = timed(call), call()
        engine = f"**fastdrop, {fd.info().tier}**"
        jobs.append(_job(engine, name, SAMPLES, inputs, seconds, result.mean, result.std))
    return jobs


def keras_jobs(engine: str, name: str, directory: Path, samples: int, threads: int) -> list[Job]:
    """All inputs of all samples in one compiled call, and a compiled call for every sample."""
    import keras
    import numpy as np

    from benchmarks.keras_calls import ENGINES, compiled

    model = keras.saving.load_model(directory / f"{name}.keras")
    x = np.load(directory / f"{name}-x.npy")
    jobs, label = [], ENGINES[engine]
    for inputs in INPUTS:  # ascending, so that the peak so far is that of each
        run = compiled(model, np.tile(x[:inputs], (samples, 1)), threads)

        def tiled(run: Callable[[], Any] = run, inputs: int = inputs) -> tuple[Any, Any]:
            draws = np.asarray(run())
            draws = draws.reshape(samples, inputs, *draws.shape[1:])
            return draws.mean(axis=0), draws.std(axis=0)

        seconds, statistics = timed(tiled), tiled()
        jobs.append(_job(label, name, TILED, inputs, seconds, *statistics))
        run = compiled(model, x[:inputs], threads)
        seconds, calls = _loop(run, samples)
        jobs.append(_job(label, name, LOOP, inputs, seconds, [], [], calls))
    return jobs


def _loop(run: Callable[[], Any], samples: int) -> tuple[float, int | None]:
    """Return the seconds of a call for each sample, and of how many calls if scaled from few."""
    run()
    start = time.perf_counter()
    for _ in range(min(FEW, samples)):
        run()
    seconds = (time.perf_counter() - start) * samples / min(FEW, samples)
    if seconds > LONG_LOOP:
        return seconds, FEW
    start = time.perf_counter()
    for _ in range(samples):
        run()
    return time.perf_counter() - start, None


def _job(
    engine: str,
    model: str,
    method: str,
    inputs: int,
    seconds: float,
    mean: Any,
    std: Any,
    calls: int | None = None,
) -> Job:
    return {
        "engine": engine,
        "model": model,
        "method": method,
        "inputs": inputs,
        "seconds": seconds,
        "calls": calls,
        "peak": peak_memory(),
        "mean": [float(v) for row in mean[:1] for v in row.ravel()],  # enough to compare
        "std": [float(v) for row in std[:1] for v in row.ravel()],
    }


def cold(engine: str, directory: Path, samples: int, threads: int) -> dict[str, Any]:
    """Load model A and sample its prediction for one input, once, the way that is quickest once."""
    import numpy as np

    x = np.load(directory / "A-x.npy")[:1]
    if engine == FASTDROP:
        import fastdrop as fd

        model = fd.load(directory / "A.keras")
        mean = model.mc_predict(x, samples, rng=0, threads=threads).mean
    else:
        import keras

        from benchmarks.keras_calls import compiled

        model = keras.saving.load_model(directory / "A.keras")
        run = compiled(model, np.tile(x, (samples, 1)), threads, xla=False)
        mean = np.asarray(run()).mean(axis=0)
    return {"peak": peak_memory(), "mean": float(mean.ravel()[0])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["write", "job", "cold"])
    parser.add_argument("arguments", nargs="+", help="as above")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="write small models")
    options = parser.parse_args()
    *names, directory = options.arguments
    measure.pin(options.threads)
    if options.what == "write":
        write(Path(directory), options.quick)
        return
    engine = names[0]
    if engine != FASTDROP:
        os.environ["KERAS_BACKEND"] = engine
    common = (Path(directory), options.samples, options.threads)
    result: Any
    if options.what == "cold":
        result = cold(engine, *common)
    elif engine == FASTDROP:
        result = fastdrop_jobs(names[1], *common)
    else:
        result = keras_jobs(engine, names[1], *common)
    print(json.dumps(result), flush=True)  # at once: the time until here is measured


if __name__ == "__main__":
    main()

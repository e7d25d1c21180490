"""The whole Monte-Carlo job of a model, engine by engine, each in a process of its own.

    python -m benchmarks.montecarlo write MODEL ... DIR      # Keras trains nothing, writes models
    python -m benchmarks.montecarlo job ENGINE MODEL DIR     # ENGINE: fastdrop, tensorflow, ...
    python -m benchmarks.montecarlo cold ENGINE DIR          # one job in a process just started

The last two write JSON to standard output. Imports stay inside functions: a cold start is measured.
"""

import argparse
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from benchmarks import measure


class Kind(NamedTuple):
    """What a model is called, and the numbers of inputs and of threads it is measured with."""

    name: str
    inputs: tuple[int, ...] = (1, 32)
    threads: tuple[int, ...] = (1, 2)


# A: what a message is. A2: the same with a Dropout behind the embedding. B: what each word is.
MODELS = {
    "A": Kind("model A", threads=(2,)),
    "A2": Kind("model A2", threads=(2,)),
    "B": Kind("model B", threads=(2,)),
    "cnn": Kind("CNN-LSTM"),
    "stacked": Kind("two stacked LSTMs"),
    "tagger": Kind("BiLSTM tagger"),
    "attention": Kind("encoder-decoder with attention"),
    "names": Kind("names", (1000,), (2,)),
}
QUICK_MODELS = [model for model in MODELS if model != "A2"]
WORDS = {"A": 64, "A2": 64, "B": 5000, "cnn": 5000, "tagger": 5000}
FASTDROP = "fastdrop"
SAMPLES = "mc_predict"
TILED, LOOP, EAGER = "inputs tiled", "calls in a loop", "eager calls in a loop"
# Seconds: after which no further call is timed; beyond which a loop is not run to its end.
BUDGET, LONG_LOOP = 1.5, 5.0
FEW = 5
# Inputs and samples of the means that all engines must agree with, and by how many standard
# errors: the inputs are independent, so their root mean square is 1 or a little more.
CHECKED, DRAWS, AGREES = 32, 100, 2.0


class Job(TypedDict):
    """Seconds and peak memory of a job; `calls`: how many were timed, if the loop was scaled."""

    engine: str
    model: str
    threads: int
    method: str
    inputs: int
    seconds: float
    calls: int | None
    peak: int


def build(name: str, quick: bool) -> Any:
    from keras import Input, Model, Sequential, layers

    def size(whole: int, small: int) -> int:
        return small if quick else whole

    rates = {"dropout": 0.2, "recurrent_dropout": 0.2}
    match name:
        case "A" | "A2":
            return Sequential(
                [
                    Input((size(498, 6),), dtype="int32"),
                    layers.Embedding(WORDS[name], 64),
                    *([layers.Dropout(0.25)] if name == "A2" else []),
                    layers.LSTM(size(100, 8), dropout=0.5, recurrent_dropout=0.5),
                    layers.Dense(1, activation="sigmoid"),
                ]
            )
        case "B":
            return Sequential(
                [
                    Input((size(50, 6),), dtype="int32"),
                    layers.Embedding(WORDS[name], 64),
                    layers.SpatialDropout1D(0.2),
                    layers.GRU(size(64, 8), **rates),
                    layers.RepeatVector(size(50, 6)),
                    layers.GRU(size(64, 8), return_sequences=True, **rates),
                    layers.TimeDistributed(layers.Dense(17)),
                    layers.Activation("softmax"),
                ]
            )
        case "cnn":
            return Sequential(
                [
                    Input((size(500, 12),), dtype="int32"),
                    layers.Embedding(WORDS[name], 32),
                    layers.Conv1D(32, 3, padding="same", activation="relu"),
                    layers.MaxPooling1D(2),
                    layers.LSTM(size(100, 8), **rates),
                    layers.Dense(1, activation="sigmoid"),
                ]
            )
        case "stacked":
            return Sequential(
                [
                    Input((size(60, 12), 1)),
                    layers.LSTM(size(50, 8), return_sequences=True),
                    layers.Dropout(0.2),
                    layers.LSTM(size(50, 8)),
                    layers.Dropout(0.2),
                    layers.Dense(1),
                ]
            )
        case "tagger":
            return Sequential(
                [
                    Input((size(50, 6),), dtype="int32"),
                    layers.Embedding(WORDS[name], 64, mask_zero=True),
                    layers.Dropout(0.1),
                    layers.Bidirectional(
                        layers.LSTM(size(64, 8), return_sequences=True, recurrent_dropout=0.1)
                    ),
                    layers.TimeDistributed(layers.Dense(17, activation="softmax")),
                ]
            )
    assert name == "attention"
    units = size(64, 8)
    x = Input((size(60, 12), 1))
    encoder = layers.LSTM(units, return_sequences=True, return_state=True, **rates)
    encoded, h, c = encoder(x)
    decoder = layers.LSTM(units, return_sequences=True, **rates)
    decoded = decoder(layers.RepeatVector(size(24, 6))(h), initial_state=[h, c])
    context = layers.Attention()([decoded, encoded])
    both = layers.Concatenate()([decoded, context])
    return Model(x, layers.TimeDistributed(layers.Dense(1))(both))


def examples(name: str, shape: tuple[int, ...]) -> Any:
    """Return inputs: words, in sentences of any length where the model masks, or a series."""
    import numpy as np

    rng = np.random.default_rng(0)
    if name not in WORDS:
        return rng.standard_normal(shape, np.float32).cumsum(axis=1) / 4
    x = rng.integers(1 if name == "tagger" else 0, WORDS[name], shape).astype(np.int32)
    if name == "tagger":
        lengths = rng.integers(5, shape[1] + 1, (shape[0], 1))
        x[np.arange(shape[1]) >= lengths] = 0
    return x


def real_names(directory: Path, number: int) -> tuple[Any, Any]:
    """Take the model that the example of names has, and its most frequent names."""
    census, compare = _example()
    wheel = census.find()
    with zipfile.ZipFile(wheel) as file:
        (directory / "names.h5").write_bytes(file.read(census.member("ln_lstm.h5")))
    x = census.encode(census.frequent_names(wheel, number), census.read(wheel).bigrams)
    return compare.keras_model(str(directory / "names.h5")), x


def _example() -> tuple[Any, Any]:
    folder = str(Path(__file__).resolve().parent.parent / "examples" / "names")
    if folder not in sys.path:
        sys.path.append(folder)
    import census
    import compare

    return census, compare


def _file(name: str, directory: Path) -> Path:
    return directory / ("names.h5" if name == "names" else f"{name}.keras")


def _load_keras(name: str, directory: Path) -> Any:
    import keras

    path = _file(name, directory)
    if name == "names":
        return _example()[1].keras_model(str(path))
    return keras.saving.load_model(path)


def write(names: list[str], directory: Path, quick: bool, threads: int) -> None:
    """Write models, each with inputs, what it predicts with dropout off, and means with dropout on.

    What keeps a model from being measured is left in its place, as a text.
    """
    import keras
    import numpy as np

    import fastdrop as fd
    from benchmarks.keras_calls import compiled

    keras.utils.set_random_seed(0)
    for name in names:
        try:
            if name == "names":
                model, x = real_names(directory, max(MODELS[name].inputs))
            else:
                model = build(name, quick)
                rng = np.random.default_rng(0)
                for weights in model.weights:  # an untrained network says nothing but one half
                    if weights.dtype == "float32":
                        weights.assign(weights + 0.1 * rng.standard_normal(weights.shape))
                x = examples(name, (max(MODELS[name].inputs), *model.input_shape[1:]))
                model.save(_file(name, directory))
            fd.load(_file(name, directory))
        except (OSError, ValueError, fd.ModelFormatError) as error:
            (directory / f"{name}.txt").write_text(f"{error}\n", "utf-8")
            print(f"NOT MEASURED: {MODELS[name].name}: {error}", file=sys.stderr)
            continue
        few = x[:CHECKED]
        draws = np.asarray(compiled(model, np.tile(few, (DRAWS, *[1] * (x.ndim - 1))), threads)())
        draws = draws.reshape(DRAWS, len(few), *draws.shape[1:])
        off = model.predict(few, verbose=0)
        np.savez(directory / name, x=x, off=off, mean=draws.mean(axis=0), std=draws.std(axis=0))


def check(name: str, directory: Path, mean: Any, std: Any, samples: int) -> None:
    """Refuse means that are off by more than samples of one distribution are."""
    import numpy as np

    with np.load(directory / f"{name}.npz") as file:
        theirs, spread = file["mean"], file["std"]
    mean, std = mean[: len(theirs)], std[: len(theirs)]
    variance = (samples * std**2 + DRAWS * spread**2) / (samples + DRAWS)
    error = np.sqrt(variance * (1 / samples + 1 / DRAWS))
    off = np.abs(mean - theirs) / np.maximum(error, 1e-6)
    if not np.sqrt(np.mean(off**2)) <= AGREES:
        raise AssertionError(
            f"model {name}: means are off by {np.sqrt(np.mean(off**2)):.1f} standard errors"
        )


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
    while spent <= BUDGET:
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
    return best


def fastdrop_jobs(name: str, directory: Path, samples: int, threads: int) -> list[Job]:
    import numpy as np

    import fastdrop as fd

    model = fd.load(_file(name, directory))
    with np.load(directory / f"{name}.npz") as file:
        x, off = file["x"], file["off"]
    few = x[:CHECKED]
    np.testing.assert_allclose(model.predict(few, threads=threads), off, rtol=0, atol=1e-4)
    p = model.mc_predict(few, samples, rng=0, threads=threads)
    check(name, directory, p.mean, p.std, samples)
    jobs = []
    for inputs in MODELS[name].inputs:

        def call(x: Any = x[:inputs]) -> Any:
            return model.mc_predict(x, samples, rng=0, threads=threads)

        engine = f"**fastdrop, {fd.info().tier}**"
        jobs.append(_job(engine, name, threads, SAMPLES, inputs, timed(call)))
    return jobs


def keras_jobs(engine: str, name: str, directory: Path, samples: int, threads: int) -> list[Job]:
    """All inputs of all samples in one compiled call, and a call for every sample.

    That is compiled too; but for names it is what the package that has the model does: an eager
    call of Keras on TensorFlow.
    """
    import numpy as np

    from benchmarks.keras_calls import ENGINES, compiled

    model = _load_keras(name, directory)
    with np.load(directory / f"{name}.npz") as file:
        x = file["x"]
    jobs, label = [], ENGINES[engine]
    for inputs in MODELS[name].inputs:  # ascending, so that the peak so far is that of each
        tiles = np.tile(x[:inputs], (samples, *[1] * (x.ndim - 1)))
        run = compiled(model, tiles, threads)

        def tiled(run: Callable[[], Any] = run, inputs: int = inputs) -> tuple[Any, Any]:
            draws = np.asarray(run())
            draws = draws.reshape(samples, inputs, *draws.shape[1:])
            return draws.mean(axis=0), draws.std(axis=0)

        if inputs >= CHECKED:
            check(name, directory, *tiled(), samples)
        jobs.append(_job(label, name, threads, TILED, inputs, timed(tiled)))
        eager = name == "names"
        if eager and engine != "tensorflow":
            continue
        few = x[:inputs]
        run = partial(model, few, training=True) if eager else compiled(model, few, threads)
        seconds, calls = _loop(run, samples)
        jobs.append(_job(label, name, threads, EAGER if eager else LOOP, inputs, seconds, calls))
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
    threads: int,
    method: str,
    inputs: int,
    seconds: float,
    calls: int | None = None,
) -> Job:
    return {
        "engine": engine,
        "model": model,
        "threads": threads,
        "method": method,
        "inputs": inputs,
        "seconds": seconds,
        "calls": calls,
        "peak": peak_memory(),
    }


def cold(engine: str, directory: Path, samples: int, threads: int) -> dict[str, Any]:
    """Load model A and sample its prediction for one input, once, the way that is quickest once."""
    import numpy as np

    with np.load(directory / "A.npz") as file:
        x = file["x"][:1]
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
        write(names, Path(directory), options.quick, options.threads)
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

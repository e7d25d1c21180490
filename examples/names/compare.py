"""Compare fastdrop with the way ethnicolr itself samples: means, time, peak memory.

    KERAS_BACKEND=tensorflow python compare.py

ethnicolr calls its model once a sample, eagerly and for all names at once: ``model(X,
training=True)``. This script does the same in a process of its own, and lets fastdrop take as many
samples in another. The names are encoded by ethnicolr's own function, taken out of the wheel.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from wheel import LENGTH, NAME, encode, find, frequent_names, member, read

Sampler = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def own_bigrams(wheel: Path) -> Callable[[list[str], str, int], list[int]]:
    """Return ethnicolr's `find_ngrams` without importing the module, which needs old libraries."""
    with zipfile.ZipFile(wheel) as file:
        tree = ast.parse(file.read(f"{NAME}/utils.py"))
    wanted = ("isstring", "find_ngrams")
    functions = [f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name in wanted]
    scope: dict[str, Any] = {"sys": sys}
    exec(compile(ast.Module(functions, []), f"{NAME}/utils.py", "exec"), scope)
    return scope["find_ngrams"]


def own_encoding(wheel: Path, names: list[str], vocabulary: list[str]) -> np.ndarray:
    """Encode names with the functions that ethnicolr uses."""
    import keras

    pairs = own_bigrams(wheel)
    x = [pairs(vocabulary, name.strip().title(), 2) for name in names]
    return keras.utils.pad_sequences(x, maxlen=LENGTH)


def with_fastdrop(wheel: Path, threads: int) -> Sampler:
    model = read(wheel).model

    def sample(x: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
        p = model.mc_predict(x, samples=samples, rng=0, threads=threads)
        return p.mean, p.std

    return sample


def with_keras(wheel: Path, threads: int) -> Sampler:
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)

    class LSTM(keras.layers.LSTM):
        """Keras 3 refuses the file for one word that Keras 2 wrote for every layer."""

        def __init__(self, time_major: bool, **options: Any) -> None:
            assert not time_major
            super().__init__(**options)

    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as file:
        path = file.extract(member("ln_lstm.h5"), folder)
        model = keras.saving.load_model(path, custom_objects={"LSTM": LSTM}, compile=False)

    def sample(x: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
        p = np.stack([model(x, training=True).numpy() for _ in range(samples)])
        return p.mean(axis=0, dtype=np.float64), p.std(axis=0, dtype=np.float64)

    return sample


ENGINES = {"fastdrop": with_fastdrop, "Keras, called in a loop": with_keras}


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes; Linux only."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def run(engine: str, wheel: Path, folder: Path, samples: int, threads: int) -> None:
    """Sample in this process, and leave what was found in the folder."""
    x = np.load(folder / "x.npy")
    start = time.perf_counter()
    sample = ENGINES[engine](wheel, threads)
    sample(x[:1], 1)
    ready = time.perf_counter()
    mean, std = sample(x, samples)
    done = time.perf_counter()
    np.savez(folder / f"{engine}.npz", mean=mean, std=std)
    print(json.dumps({"ready": ready - start, "sampled": done - ready, "peak": peak_memory()}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare fastdrop with ethnicolr's own way.")
    parser.add_argument("--wheel", type=Path, help="the wheel of ethnicolr 0.8.1")
    parser.add_argument("--names", type=int, default=1000, help="how many, the most frequent ones")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    wheel = find(args.wheel)
    if args.run:
        engine, folder = args.run
        run(engine, wheel, Path(folder), args.samples, args.threads)
        return

    names = frequent_names(wheel, args.names)
    bigrams = read(wheel).bigrams
    x = encode(names, bigrams)
    same = (x == own_encoding(wheel, names, list(bigrams))).all(axis=1)
    print(f"{len(names)} names, {same.sum()} of them encoded as ethnicolr encodes them")
    print(f"{args.samples} samples, {args.threads} threads")
    print(f"{'':24} {'to start':>9} {'to sample':>10} {'peak memory':>12}")
    means, variances = [], []
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        for engine in ENGINES:
            command = [sys.executable, __file__, "--run", engine, folder, "--wheel", str(wheel)]
            command += ["--samples", str(args.samples), "--threads", str(args.threads)]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            print(
                f"{engine:24} {found['ready']:7.2f} s {found['sampled']:8.2f} s "
                f"{found['peak'] / 1e6:9.0f} MB"
            )
            with np.load(Path(folder) / f"{engine}.npz") as result:
                means.append(result["mean"])
                variances.append(result["std"] ** 2 / args.samples)
    z = (means[0] - means[1]) / np.sqrt(np.add(*variances))
    print(f"Difference of the {z.size} means, in standard errors, if both sample the same:")
    print("  root mean square  above 2 in  largest")
    print(f"  {np.sqrt(np.mean(z**2)):16.3f} {np.mean(abs(z) > 2):11.2%} {abs(z).max():8.2f}")
    print("  expected: 1, 4.6 %, and 4 or so; more in the tails, for the samples are skewed")


if __name__ == "__main__":
    main()

"""Give the readers damaged files: `python fuzz/fuzz.py TARGET [options of libFuzzer]`.

`python fuzz/fuzz.py all --jobs=N` fuzzes all targets, N at a time; imports are instrumented once.
`python fuzz/fuzz.py TARGET --plain=N` makes N mutations without following what they reach: some
five times as many in the same time, and atheris need not be installed.

Whatever comes in, a reader raises `ModelFormatError` or returns something valid, within the
memory that its rule allows; `-timeout` is for what hangs. What fails is left as a file, which
`python fuzz/fuzz.py TARGET FILE` runs again.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import shutil
import stat
import sys
import tempfile
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))

PLAIN = next((a for a in sys.argv if a.startswith("--plain=")), None)
if PLAIN is None:
    import atheris

    instrumented = atheris.instrument_imports(
        include=["fastdrop.formats", "fastdrop.uncertainty", "fastdrop._npy", "fastdrop.cli._read"]
    )
else:
    instrumented = nullcontext()

with instrumented:  # and after it has begun: imports that need what is above
    import mutate
    import seeds

    import fastdrop as fd
    from fastdrop import _npy
    from fastdrop.cli import _read
    from fastdrop.formats._limits import Limits
    from fastdrop.formats._safe_hdf5 import Group, read_arrays
    from fastdrop.formats._safe_json import parse_object
    from fastdrop.formats._safe_legacy import read_legacy
    from fastdrop.formats._safe_tensors import read_tensors
    from fastdrop.formats._safe_zip import read_members
    from fastdrop.formats._state import read_state
    from keras_files import recurrent_sample, sample, small
    from tensor_files import examples
    from test_torch_state import weights

LIMITS = Limits(max_json_bytes=2**20)
MEASURED = 8  # one input in so many: measuring is slow
FREE = 2**18  # what a small file may take besides
FREE_JSON = 2**23
FREE_FOLDED = 2**26  # what is folded of constants may take 16 MiB, and what makes it as much again
_MEMBERS = {"metadata.json": 2**20, "config.json": 2**20, "model.weights.h5": 2**24}


def _tree(weights: dict[str, object], names: dict[str, str]) -> Group:
    root = Group({"vars": Group()}, ignored=frozenset({"optimizer", "metrics"}))
    paths = [(path, None) for path in weights] + list(names.items())
    for path, name in paths:
        group = root
        *parents, last = path.split("/")
        for parent in parents:
            inner = group.children.setdefault(parent, Group())
            assert isinstance(inner, Group)
            group = inner
        if name is None:
            group.children[last] = weights[path].shape  # type: ignore[attr-defined]
        else:
            inner = group.children.setdefault(last, Group())
            assert isinstance(inner, Group)
            inner.name = name
    return root


TREES = [_tree(f.weights, f.names) for f in (small(), sample(), recurrent_sample())]
WANTED = [
    Group({"dense": Group({"dense": Group({"kernel:0": (2, 3)}), "w": (2,)})}, name="dense"),
    *TREES,
]


FOLDER = Path(tempfile.mkdtemp(prefix="fastdrop-fuzz-"))  # main removes it


def written(data: bytes) -> Path:
    """Return the path of a file with that content."""
    path = FOLDER / f"{os.getpid()}.keras"
    path.write_bytes(data)
    return path


def h5(data: bytes) -> None:
    """Read an HDF5 file as a whole model."""
    found = read_legacy(data, LIMITS)
    arrays = [weight.read() for _, weights in found.weights for weight in weights]
    assert sum(array.nbytes for array in arrays) <= len(data)
    assert found.has_weights or not arrays
    assert found.kind == "model" or found.model_config is None


def store(data: bytes) -> None:
    """Read an HDF5 file as Keras 3 keeps weights, whichever of some models it belongs to."""
    for tree in WANTED[:-1]:
        try:
            read_arrays(data, tree)
        except fd.ModelFormatError:
            continue
    assert all(array.dtype == "f4" for array in read_arrays(data, WANTED[-1]).values())


def keras(data: bytes) -> None:
    """Load a .keras file."""
    model = fd.load(written(data), allow_nonfinite=True, max_json_bytes=2**20)
    assert model.layers


def onnx(data: bytes) -> None:
    """Load an .onnx file."""
    model = fd.load(io.BytesIO(data), allow_nonfinite=True, max_layers=256)
    assert model.layers


def archive(data: bytes) -> None:
    """Take members out of an archive."""
    assert set(read_members(data, _MEMBERS)) == set(_MEMBERS)


def tensors(data: bytes) -> None:
    """Read a safetensors file."""
    found, _ = read_tensors(memoryview(data), LIMITS)
    assert sum(stored.values.nbytes for stored in found.values()) <= len(data)


def saved(data: bytes) -> None:
    """Load a file that `Model.save` wrote."""
    model = fd.load(io.BytesIO(data), allow_nonfinite=True, max_json_bytes=2**20)
    assert model.output_names


def state(data: bytes) -> None:
    """Read what torch.save wrote."""
    found = read_state(data, LIMITS, allow_nonfinite=True)
    assert all(isinstance(name, str) for name in found.tensors)


def text(data: bytes) -> None:
    """Parse JSON."""
    assert isinstance(parse_object(data, "the text"), dict)


def prediction(data: bytes) -> None:
    """Load a file that `Prediction.save` wrote, and use what it holds."""
    try:
        found = fd.Prediction.load(written(data))
    except ValueError as error:
        if "expected a file that Prediction.save wrote" not in str(error):
            raise AssertionError("another message") from error
        return
    # A row that has no samples yet has a place, too: in memory when it is asked for, not in a file.
    if found._rows * max(math.prod(found._shape), 1) < 2**16:
        assert found.mean.shape == found.std.shape


def arrays(data: bytes) -> None:
    """Read an array of numbers, or an archive of them."""
    for read in (_npy.array, _npy.archive):
        try:
            found = read(data)
        except _npy.NoArrayError:
            continue
        for array in found.values() if isinstance(found, dict) else [found]:
            assert array.dtype.kind in "biuf"
            assert array.nbytes == array.size * array.itemsize


def table(data: bytes) -> None:
    """Read what the command takes from standard input."""
    try:
        found = _read._recognised("x", data)
    except ValueError as error:
        if not str(error).startswith("x: "):
            raise AssertionError("another message") from error
        return
    if isinstance(found, _read._Table):
        assert found.values.ndim == 2


STATE = seeds.state_of(weights())


def description(data: bytes) -> None:
    """Load weights of PyTorch with a description of their layers."""
    given = parse_object(data, "the text").get("layers", ["ReLU"])
    architecture: object = given
    if isinstance(given, list):
        architecture = [tuple(entry) if isinstance(entry, list) else entry for entry in given]
        file = io.BytesIO(json.dumps(given).encode())
        with suppress(fd.ModelFormatError):
            fd.load(io.BytesIO(STATE), architecture=file, max_layers=64)
    try:
        model = fd.load(io.BytesIO(STATE), architecture=architecture, max_layers=64)
    except (TypeError, ValueError) as error:
        # What is not said of the file is said of an argument, by `refuse` or `refuse_name`.
        last = traceback.extract_tb(error.__traceback__)[-1].name
        if not last.startswith("refuse") and not isinstance(error, fd.ModelFormatError):
            raise AssertionError(f"another error: {error!r}") from error
        return
    assert model.output_names


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[..., bytes], list[bytes], int]] = {
    "h5": (h5, mutate.hdf5, seeds.hdf5(), FREE),
    "store": (store, mutate.hdf5, seeds.hdf5(), FREE),
    "keras": (keras, mutate.keras, seeds.archives(), FREE_JSON),
    "onnx": (onnx, mutate.protobuf, seeds.onnx(), FREE_FOLDED),
    "archive": (archive, mutate.keras, seeds.archives(), FREE),
    "tensors": (tensors, mutate.safe_tensors, examples(), FREE_JSON),
    "saved": (saved, mutate.saved_model, seeds.saved_models(), FREE_JSON),
    "state": (state, mutate.checkpoint, seeds.checkpoints(), FREE_JSON),
    "text": (text, mutate.text, seeds.texts(), FREE_JSON),
    "prediction": (prediction, mutate.arrays, seeds.predictions(), FREE_JSON),
    "arrays": (arrays, mutate.arrays, seeds.arrays(), FREE_JSON),
    "table": (table, mutate.text, seeds.tables(), FREE_JSON),
    "description": (description, mutate.description, seeds.descriptions(), FREE_JSON),
}


def bounded(name: str) -> Callable[[bytes], None]:
    """Return what a target does with one input, within its memory."""
    target, _, _, free = TARGETS[name]

    def one(data: bytes) -> None:
        measured = zlib.crc32(data) % MEASURED == 0
        if measured:
            tracemalloc.start()
        try:
            target(data)
        except (fd.ModelFormatError, OSError):
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        # What is compressed: 2^20 is far more than mutations of these seeds expand to.
        expanded = (
            100 * len(data) if name in ("keras", "archive", "state", "arrays", "table") else 0
        )
        if measured and peak > 4 * (len(data) + min(expanded, 2**20)) + free:
            raise AssertionError(f"{peak} bytes of memory for a file of {len(data)}")

    def kept(data: bytes) -> None:
        try:
            one(data)
        except BaseException as error:
            failed = Path(f"crash-{name}-{zlib.crc32(data):08x}")
            failed.write_bytes(data)
            traceback.print_exc()
            print(f"{error!r}: failed on what is now in {failed}, which begins {data[:2000]!r}")
            raise

    return kept


def write_seeds(begin: list[bytes], folder: Path) -> Path:
    """Write them into a folder, and a dictionary beside it, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, content in enumerate(begin):
        (folder / f"seed{i}").write_bytes(content)
    words = folder.with_suffix(".dict")
    words.write_text(seeds.dictionary())
    return words


def plainly(name: str, count: int) -> None:
    """Make mutations of a target's seeds, and of mutations of them."""
    one = bounded(name)
    _, change, begin, _ = TARGETS[name]
    generator = random.Random(time.time_ns())
    children: list[bytes] = []
    slowest = 0.0
    for _ in range(count):
        data = change(
            generator.choice(begin + children), generator, mutate.plainly(generator), 2**18
        )
        start = time.process_time()
        one(data)
        slowest = max(slowest, time.process_time() - start)
        if generator.random() < 0.02:  # go on from here, beside the seeds themselves
            children = [*children[-200:], data]
    print(f"{count} mutations of {name}, the slowest took {slowest:.3f} s")


def follow(name: str, given: list[str]) -> None:
    """Fuzz a target by libFuzzer, which ends the process."""
    _, change, begin, _ = TARGETS[name]

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        return change(data, random.Random(seed), atheris.Mutate, most)

    words = write_seeds(begin, FOLDER / name)
    options = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=262144", "-print_final_stats=1"]
    options += [f"-dict={words}", *given]
    if all(argument.startswith("-") for argument in given):  # no file or corpus
        options.append(str(FOLDER / name))
    again = FOLDER / f"again-{name}"  # what libFuzzer starts anew while it merges corpora
    again.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" {name} "$@"\n'
    )
    again.chmod(again.stat().st_mode | stat.S_IXUSR)
    atheris.Setup([str(again), *options], bounded(name), custom_mutator=mutator)
    atheris.Fuzz()


def follow_each(names: list[str], jobs: int, given: list[str]) -> list[str]:
    """Fuzz each target in a process of its own, some at a time. Return those that failed."""
    waiting, running, failed = list(names), {}, []
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            process = os.fork()
            if not process:
                try:
                    follow(name, given)
                except BaseException:
                    traceback.print_exc()
                finally:  # the folder is the parent's to remove
                    os._exit(1)
            running[process] = name
        process, status = os.wait()
        name = running.pop(process)
        if status:
            failed.append(name)
    return failed


def main() -> None:
    """Run what is named."""
    names = [a for a in sys.argv[1:2] if a in TARGETS] or list(TARGETS)
    if sys.argv[1:2] not in [["all"], names]:
        sys.exit(f"expected all, or one of {', '.join(TARGETS)}")
    if PLAIN is not None:
        for name in names:
            plainly(name, int(PLAIN.partition("=")[2]))
    else:
        jobs = next((int(a.partition("=")[2]) for a in sys.argv if a.startswith("--jobs=")), 1)
        given = [a for a in sys.argv[2:] if not a.startswith("--jobs=")]
        failed = follow_each(names, jobs, given)
        if failed:
            sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(FOLDER)

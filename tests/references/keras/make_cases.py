"""Outputs of every layer with every option, as Keras computed them, beside the files it saved.

    cd tests && python -m references.keras.make_cases keras|tf_keras [PART OF A NAME]...

writes cases-VERSION.tar.xz beside this script. Without names it adds what the archive lacks; with
names it makes those cases anew. `layers.py`, `graphs.py` and `stochastic.py` hold the cases. A
member of the archive is a model as Keras saved it, CASE.keras or CASE.h5 (some cases have both), or
CASE.npz:

* x0, x1, …: the inputs, in the order of the model's inputs; `input_names` where it takes a dict.
* y0, y1, …: what Keras computed with dropout off; `output_names` where it returns a dict. Under
  policies that compute in less than float32 the same weights computed in float32, so that the
  answer does not depend on roundings in between. They are cut0, cut1, … where Keras first casts
  inputs to types that do not hold them.
* for a stochastic case: `mean0`, `variance0`, …: the moments of the outputs over `n` passes with
  training=True, see `simulate.moments`. BatchNormalization is frozen.

Weights are multiples of 1/64 and none is left at its initial zeros; inputs are multiples of 1/16.
A case that a version of Keras cannot build is listed, and so is one that Keras cannot read again.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..simulate import moments

# Importing the tables fills CASES.
from . import graphs, layers, stochastic  # noqa: F401
from .case import CASES, Case, Later

FOLDER = Path(__file__).parent
PASSES = 4000  # where a pass is a part of one large batch
CHECK = "NO_CHECK" not in os.environ  # that Keras reads its files again: half of the time
SINGLE_PASSES = 2000  # where rows share masks, so that a pass is a call


def seed(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def fill(model: Any, name: str) -> None:
    """Give every weight a value that matters."""
    rng = seed(name)
    for variable in model.weights:
        path = getattr(variable, "path", variable.name)
        leaf = path.split("/")[-1].split(":")[0]
        shape = tuple(variable.shape)
        if leaf in ("mean", "variance", "count") or "seed" in path or "states" in path:
            continue  # what Normalization has seen, random states, states of stateful layers
        if leaf.endswith(("moving_variance", "gamma")):
            value = rng.uniform(0.4, 2.0, shape)
        elif leaf == "embeddings" or len(shape) == 1 or leaf in ("bias", "alpha"):
            value = rng.normal(0.0, 0.6, shape)
        else:
            fan_in = int(np.prod(shape[:-1])) if shape else 1
            value = rng.normal(0.0, 1.3 / np.sqrt(fan_in), shape)
        variable.assign(np.round(value * 64) / 64 + (value == 0))


def policy(keras: Any, name: str) -> None:
    if hasattr(keras, "config") and hasattr(keras.config, "set_dtype_policy"):
        keras.config.set_dtype_policy(name)
    else:
        keras.mixed_precision.set_global_policy(name)


def build(keras: Any, case: Case, dtype: str) -> Any:
    """Return the case's model with its weights."""
    keras.backend.clear_session()
    policy(keras, dtype)
    try:
        arrays = case.inputs
        if case.fixed_batch:
            tensors = [keras.Input(batch_shape=x.shape, dtype=x.dtype.name) for x in arrays]
        else:
            shapes = case.shapes or [x.shape[1:] for x in arrays]
            names = case.input_names or [None] * len(arrays)
            tensors = [
                keras.Input(shape=shape, dtype=x.dtype.name, **({"name": name} if name else {}))
                for shape, x, name in zip(shapes, arrays, names, strict=True)
            ]
        if callable(case.model) and not isinstance(case.model, Later):
            outputs = case.model(keras, *tensors)
            if case.input_names:
                inputs: Any = dict(zip(case.input_names, tensors, strict=True))
            else:
                inputs = tensors if len(tensors) > 1 else tensors[0]
            model = outputs
            if not isinstance(outputs, keras.Model):
                model = keras.Model(inputs, outputs)
        else:
            layers = [layer.make(keras) for layer in case.model]
            model = keras.Sequential(layers if case.bare else [tensors[0], *layers])
            if case.bare:
                model(arrays[0])
        if case.prepare is not None:
            case.prepare(keras, model, *arrays)
        fill(model, case.name)
        return model
    finally:
        policy(keras, "float32")


def flat(outputs: Any) -> list[np.ndarray]:
    if isinstance(outputs, dict):
        return [part for value in outputs.values() for part in flat(value)]
    if isinstance(outputs, list | tuple):
        return [part for value in outputs for part in flat(value)]
    if hasattr(outputs, "numpy"):
        outputs = outputs.numpy()
    return [np.asarray(outputs)]


def run(case: Case, model: Any, arrays: list[np.ndarray], training: bool) -> Any:
    """Return what the model returns."""
    if case.input_names:
        return model(dict(zip(case.input_names, arrays, strict=True)), training=training)
    return model(arrays if len(arrays) > 1 else arrays[0], training=training)


def freeze(keras: Any, layer: Any) -> None:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.trainable = False
    for child in getattr(layer, "layers", None) or []:
        freeze(keras, child)
    for attribute in ("layer", "forward_layer", "backward_layer"):
        if hasattr(layer, attribute):
            freeze(keras, getattr(layer, attribute))


def sample(keras: Any, case: Case, model: Any) -> list[np.ndarray]:
    """Return (passes, rows, values) for each output."""
    freeze(keras, model)
    keras.utils.set_random_seed(zlib.crc32(case.name.encode()) % 2**31)
    rows = len(case.inputs[0])
    if case.stochastic == "rows":
        tiled = [np.tile(x, (PASSES, *[1] * (x.ndim - 1))) for x in case.inputs]
        outputs = flat(run(case, model, tiled, training=True))
        return [y.reshape(PASSES, rows, -1).astype(np.float64) for y in outputs]
    assert case.stochastic == "passes"
    import tensorflow as tf

    tensors = [tf.constant(x) for x in case.inputs]
    one_pass = tf.function(lambda: run(case, model, tensors, training=True))
    passes = [flat(one_pass()) for _ in range(SINGLE_PASSES)]
    return [
        np.stack(ys).reshape(SINGLE_PASSES, rows, -1).astype(np.float64)
        for ys in zip(*passes, strict=True)
    ]


def close(a: list[np.ndarray], b: list[np.ndarray], bound: float) -> bool:
    return len(a) == len(b) and all(
        p.shape == q.shape
        and np.allclose(p.astype(float), q.astype(float), rtol=bound, atol=bound, equal_nan=True)
        for p, q in zip(a, b, strict=True)
    )


def save(keras: Any, case: Case, model: Any, form: str, expected: list[np.ndarray]) -> bytes:
    """Return the file; it is there only if Keras reads it again and computes the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{form}"
        model.save(path)
        if CHECK and not (case.unread or case.random):
            again = keras.models.load_model(path)
            got = flat(run(case, again, case.inputs, training=False))
            if not close(got, expected, 1e-2 if case.policy.startswith("mixed") else 1e-5):
                raise ValueError("Keras reads it again and computes something else")
        return path.read_bytes()


def make(keras: Any, case: Case, forms: list[str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the members of the archive for a case, and what went wrong."""
    if not forms:
        return {}, []
    model = build(keras, case, case.policy)
    result = run(case, model, case.inputs, training=False)
    outputs = flat(result)
    arrays: dict[str, Any] = {f"x{i}": x for i, x in enumerate(case.inputs)}
    if case.input_names:
        arrays["input_names"] = np.array(case.input_names)
    if isinstance(result, dict):
        arrays["output_names"] = np.array(list(result))
    expected = outputs
    if case.policy != "float32":
        expected = flat(run(case, build(keras, case, "float32"), case.inputs, training=False))
        bound = {"mixed_float16": 1e-2, "mixed_bfloat16": 6e-2, "float64": 1e-5}[case.policy]
        assert close(outputs, expected, bound), "the policy changes the result"
    if not case.random:
        arrays |= {f"{'cut' if case.cut else 'y'}{i}": y for i, y in enumerate(expected)}
    for y in expected:
        assert np.isfinite(y).all(), "not finite"
        assert y.size < 2 or y.std() > 0 or case.constant, "constant output"
    files, problems = {}, []
    for form in forms:
        try:
            files[f"{case.name}.{form}"] = save(keras, case, model, form, outputs)
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            problems.append(f"{case.name}.{form}: {type(error).__name__}: {text[0][:150]}")
    if not files:
        return {}, problems
    if case.stochastic:
        for i, values in enumerate(sample(keras, case, model)):
            m = moments(values)
            kept = ("mean", "variance", "fourth", "covariance", "products")
            arrays |= {f"{name}{i}": m[name] for name in kept}
            arrays["n"] = m["n"]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    files[f"{case.name}.npz"] = stream.getvalue()
    return files, problems


def forms(case: Case, version: str) -> list[str]:
    """Return the forms of a file to save: in old versions a part of the cases in one of them."""
    number = zlib.crc32(case.name.encode())
    if version in ("3.0", "3.8"):
        return [[], ["keras"], ["h5"], ["keras"]][number % 4] if not case.both else ["keras", "h5"]
    return ["keras", "h5"] if case.both or number % 2 else ["keras"]


def archive(version: str) -> Path:
    return FOLDER / f"cases-{version}.tar.xz"


def read(version: str) -> dict[str, bytes]:
    """Return the members of an archive, none if there is no archive."""
    if not archive(version).exists():
        return {}
    with tarfile.open(archive(version), "r:xz") as file:
        return {info.name: file.extractfile(info).read() for info in file}  # type: ignore[union-attr]


def write(version: str, members: dict[str, bytes]) -> None:
    with tarfile.open(archive(version), "w:xz") as file:
        # Alike members beside each other compress best.
        for name in sorted(members, key=lambda name: name.rpartition(".")[::-1]):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            file.addfile(info, io.BytesIO(members[name]))


def main(module: str, *parts: str) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ["TF_NUM_INTEROP_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
    keras = importlib.import_module(module)
    version = ".".join(keras.__version__.split(".")[:2])
    major = keras.__version__.split(".")[0]
    if module == "tf_keras":
        # Nothing is trained here, and gradients of recurrent layers take most of the time.
        from tensorflow.python.eager.polymorphic_function import concrete_function

        concrete_function.ConcreteFunction.add_gradient_functions_to_graph = lambda self: None
    gc.freeze()  # clear_session collects garbage, in all that TensorFlow brought along
    chosen = [
        case
        for case in CASES
        if case.only in ("", major)
        and version not in case.skip
        and (not parts or any(part in case.name for part in parts))
    ]
    members = read(version)
    if not parts:
        chosen = [case for case in chosen if f"{case.name}.npz" not in members]
    for case in chosen:
        for form in ("keras", "h5", "npz"):
            members.pop(f"{case.name}.{form}", None)
    start = time.monotonic()
    for number, case in enumerate(chosen):
        try:
            files, problems = make(keras, case, forms(case, version))
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            files, problems = {}, [f"{case.name}: {type(error).__name__}: {text[0][:200]}"]
        members |= files
        for line in problems:
            print(line, flush=True)
        if number % 40 == 39 or number == len(chosen) - 1:
            write(version, members)
            print(f"{number + 1}/{len(chosen)} {time.monotonic() - start:.0f} s", flush=True)
    count = sum(not name.endswith(".npz") for name in members)
    print(f"{count} models, {archive(version).stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])

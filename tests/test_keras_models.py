"""Whole models from many versions of Keras, against the outputs that Keras computed.

The archives hold the files as those versions wrote them, and what they gave: outputs without
dropout, and moments of passes with it.
"""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from references.simulate import moments, squared_errors
from references.stored import Arrays, load
from tolerances import FLOAT32

FOLDER = Path(__file__).parent / "references" / "models"
ARCHIVES = sorted(FOLDER.glob("models-*.tar.xz"))
SAMPLES = 2000
# Standard errors. There are some 100,000 statistics, and at 4.5 one in 150,000 lies beyond.
AGREES = 5.0
CUSTOM = {"MCDropout": "Dropout"}
# Its weights were changed after the layer had taken its mean from them: Keras itself, loading the
# file, gives other outputs.
STALE = ("normalized",)


@cache
def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive, "r:xz") as file:
        return {m.name: file.extractfile(m).read() for m in file.getmembers()}  # type: ignore[union-attr]


@cache
def answers(archive: Path) -> dict[str, tuple[dict[str, Any], Arrays, Arrays]]:
    stored = load(io.BytesIO(members(archive)["answers.npz"]))
    return {name: (options, arrays, outputs) for name, options, arrays, outputs in stored}


# TensorFlow 2.0 wrote "2.2.4-tf" as its version 1 did, whose rule for masks is another with these
# options, set by hand: the file does not tell which of the two it is.
UNKNOWN = tuple(("tf.keras-2.2.4-tf", f"alone_{cell}_mode1.h5") for cell in ("lstm", "gru"))


def version_of(archive: Path) -> str:
    return archive.name.removeprefix("models-").removesuffix(".tar.xz")


def cases(output: str) -> list[Any]:
    """Return a parameter for every file whose answers have that output."""
    return [
        pytest.param(archive, name, file, id=f"{version_of(archive)}-{file}")
        for archive in ARCHIVES
        for name, (options, _, outputs) in answers(archive).items()
        for file in options["files"]
        if output in outputs and name not in STALE
        if not (
            output == "mean" and (options["masked_carry"] or (version_of(archive), file) in UNKNOWN)
        )
    ]


def one_file_each(params: list[Any]) -> list[Any]:
    """Leave out a model's files but one: how it is predicted shows that they hold the same."""
    return [*{param.values[:2]: param for param in params}.values()]


def load_model(archive: Path, name: str, file: str) -> fd.Model:
    custom = CUSTOM if "mc_dropout" in name else None
    return fd.load(io.BytesIO(members(archive)[file]), custom=custom)


def inputs_of(arrays: Arrays) -> Any:
    inputs = [arrays[f"x{i}"] for i in range(len(arrays))]
    return inputs if len(inputs) > 1 else inputs[0]


def as_list(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("archive", "name", "file"), cases("y0"))
def test_predict(archive: Path, name: str, file: str) -> None:
    _, arrays, outputs = answers(archive)[name]
    got = as_list(load_model(archive, name, file).predict(inputs_of(arrays)))
    expected = [outputs[f"y{i}"] for i in range(sum(key.startswith("y") for key in outputs))]
    assert len(got) == len(expected)
    for y, e in zip(got, expected, strict=True):
        assert y.dtype == np.float32
        assert y.shape == e.shape
        size = max(float(np.abs(e).max()), 1e-3)
        error = float(np.abs(y.astype(np.float64) - e).max()) / size
        assert error <= FLOAT32, f"off by {error:.2e} of {size:.3g}"


# Where Keras also masks what a GRU carries on (implementation 2 with recurrent dropout, up to 2.3),
# fastdrop does not, so that its distribution is another.
@pytest.mark.parametrize(("archive", "name", "file"), one_file_each(cases("mean")))
def test_moments(archive: Path, name: str, file: str) -> None:
    _, arrays, outputs = answers(archive)[name]
    model = load_model(archive, name, file)
    predictions = as_list(
        model.mc_predict(inputs_of(arrays), samples=SAMPLES, rng=0, keep_samples=True)
    )
    rows = outputs["mean"].shape[0]
    samples = [np.reshape(p.samples, (SAMPLES, rows, -1)) for p in predictions]
    got = moments(np.concatenate(samples, axis=-1))
    expected = {key: value.astype(np.float64) for key, value in outputs.items()}
    got_errors, expected_errors = squared_errors(got), squared_errors(expected)
    size = np.abs(expected["mean"]).max() + np.sqrt(expected["variance"].max())
    # What is constant, or nearly so, is compared as exactly as float32 can be averaged.
    floors = {"mean": FLOAT32 * size, "variance": (FLOAT32 * size) * size}
    floors["covariance"] = floors["variance"]
    for statistic, floor in floors.items():
        error = np.sqrt(got_errors[statistic] + expected_errors[statistic])
        z = (got[statistic] - expected[statistic]) / np.maximum(error, floor)
        assert np.abs(z).max() < AGREES, f"{statistic} is off by {np.abs(z).max():.1f} errors"


def test_there_are_models_of_every_version() -> None:
    versions = " ".join(version_of(archive) for archive in ARCHIVES)
    for version in ("keras-2.2.4", "keras-2.3.1", "keras-3.15", "2.2.4-tf", "2.4.0", "tf_keras-2"):
        assert version in versions
    assert len(cases("y0")) >= 300
    assert len(cases("mean")) >= 200

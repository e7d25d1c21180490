"""Every layer with every option, as Keras saved and computed it, in all versions and forms."""

import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend
from references.simulate import moments, z_scores
from tolerances import FLOAT32, assert_close

ARCHIVES = sorted((Path(__file__).with_name("references") / "keras").glob("cases-*.tar.xz"))
TIERS = list(dict.fromkeys([next(iter(BACKENDS)), "numpy"]))
# Standard errors. All seeds are fixed, so what agrees once agrees always.
AGREES = 4.5
SAMPLES = 2000

Arrays = dict[str, np.ndarray]


def read_archives() -> dict[str, bytes]:
    """Return the members of all archives, as keras3.15/NAME.FORM."""
    members = {}
    for path in ARCHIVES:
        version = path.name.removeprefix("cases-").removesuffix(".tar.xz")
        with tarfile.open(path, "r:xz") as archive:
            for info in archive:
                file = archive.extractfile(info)
                assert file is not None
                members[f"keras{version}/{info.name}"] = file.read()
    return members


MEMBERS = read_archives()


@cache
def arrays_of(case: str) -> Arrays:
    with np.load(io.BytesIO(MEMBERS[f"{case}.npz"])) as file:
        return dict(file)


# What is refused by name: a part of the case's name, and of the message.
REFUSED = {
    "names-unicode-h5": "as names that are not ASCII need them",
    # Keras wrote the shared layer's weights in one place and looks for them in another.
    "graph-shared-nested-layer-keras": "dense is missing",
    **{
        f"lora-{name}-h5": "those of LoRA are beside what they change"
        for name in ("rank", "conv1d", "einsum-dense")
    },
}


def cases(array: str, refused: bool = False) -> list[Any]:
    """Return the models whose arrays have this one, with ids like keras3.15-lstm-h5."""
    params = []
    for member in sorted(MEMBERS):
        case, _, form = member.rpartition(".")
        if form != "npz" and f"{array}.npy".encode() in MEMBERS[f"{case}.npz"]:
            name = f"{case.replace('/', '-')}-{form}"
            if any(part in name for part in REFUSED) is refused:
                params.append(pytest.param(case, form, id=name))
    return params


def one_form_each(params: list[Any]) -> list[Any]:
    """Leave out a case's forms but one: how it is predicted shows that they hold the same."""
    return [*{param.values[0]: param for param in params}.values()]


def load(case: str, form: str) -> fd.Model:
    return fd.load(io.BytesIO(MEMBERS[f"{case}.{form}"]))


def numbered(arrays: Arrays, name: str) -> list[np.ndarray]:
    return [arrays[f"{name}{i}"] for i in range(len(arrays)) if f"{name}{i}" in arrays]


def inputs_of(arrays: Arrays) -> Any:
    """Return the inputs as the model takes them: an array, a list or a dict."""
    inputs = numbered(arrays, "x")
    if "input_names" in arrays:
        return dict(zip(arrays["input_names"].tolist(), inputs, strict=True))
    return inputs if len(inputs) > 1 else inputs[0]


def outputs_of(result: Any, arrays: Arrays, count: int) -> list[Any]:
    """Return what the model gave for its outputs, in the file's order."""
    if "output_names" in arrays:
        names = arrays["output_names"].tolist()
        assert isinstance(result, dict)
        assert sorted(result) == sorted(names)
        return [result[name] for name in names]
    if count > 1:
        assert isinstance(result, list)
        assert len(result) == count
        return result
    return [result]


def test_there_are_cases() -> None:
    assert len(ARCHIVES) == 4
    assert len(cases("y0")) >= 500
    assert len(cases("mean0")) >= 40


@pytest.mark.parametrize(("case", "form"), cases("y0"))
def test_predict(case: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = arrays_of(case)
    expected = numbered(arrays, "y")
    model = load(case, form)
    for tier in TIERS:
        monkeypatch.setattr(_backend, "active", BACKENDS[tier])
        result = model.predict(inputs_of(arrays))
        for got, y in zip(outputs_of(result, arrays, len(expected)), expected, strict=True):
            assert_close(got, y.astype(np.float32), FLOAT32)


@pytest.mark.parametrize(("case", "form"), cases("cut0"))
def test_what_keras_cuts(case: str, form: str, tmp_path: Path) -> None:
    """What an input's type does not hold is refused; what is left of it gives what Keras gave."""
    arrays = arrays_of(case)
    x, expected = arrays["x0"], numbered(arrays, "cut")
    loaded = load(case, form)
    loaded.save(tmp_path / "model.safetensors")
    for model in (loaded, fd.load(tmp_path / "model.safetensors")):
        (dtype,) = model.input_dtypes.values()
        with pytest.raises(ValueError, match=f"^x: expected .*for the input .* is of {dtype}, got"):
            model.predict(x)
        left = (x != 0 if dtype == "bool" else np.trunc(x)).astype(np.float32)
        assert not np.array_equal(left, x)
        assert_close(model.predict(left), expected[0], FLOAT32)
        assert_close(model.predict(left.astype(dtype)), expected[0], FLOAT32)


@pytest.mark.parametrize(("case", "form"), cases("y0", refused=True))
def test_what_is_refused(case: str, form: str) -> None:
    name = f"{case.replace('/', '-')}-{form}"
    message = next(text for part, text in REFUSED.items() if part in name)
    with pytest.raises(fd.ModelFormatError, match=message):
        load(case, form)


@pytest.mark.parametrize(("case", "form"), one_form_each(cases("mean0")))
def test_moments(case: str, form: str) -> None:
    arrays = arrays_of(case)
    means = numbered(arrays, "mean")
    result = load(case, form).mc_predict(
        inputs_of(arrays), samples=SAMPLES, rng=0, keep_samples=True
    )
    predictions = outputs_of(result, arrays, len(means))
    for i, prediction in enumerate(predictions):
        rows = len(means[i])
        ours = moments(prediction.samples.reshape(SAMPLES, rows, -1))
        theirs = {
            name: arrays[f"{name}{i}"]
            for name in ("mean", "variance", "fourth", "covariance", "products")
        } | {"n": arrays["n"]}
        # What nothing random reaches has one value; the others are compared in standard errors.
        random = theirs["variance"] > 1e-12 * max(1.0, float(np.abs(theirs["mean"]).max())) ** 2
        np.testing.assert_array_equal(ours["variance"] > 1e-10, random)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = z_scores(ours, theirs)
        for name, z in scores.items():
            worst = np.abs(z[random if z.ndim == 2 else random[:2].all(axis=0)])
            assert worst.size == 0 or worst.max() < AGREES, f"{name}: {worst.max():.1f}"
        np.testing.assert_allclose(ours["mean"][~random], theirs["mean"][~random], atol=1e-5)

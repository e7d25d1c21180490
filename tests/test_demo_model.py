"""The model that ships with the package, against Keras's outputs kept beside its script."""

from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import demo
from tolerances import FLOAT32, assert_close

REFERENCE = Path(__file__).parents[1] / "examples" / "sms_spam" / "reference.npz"


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as file:
        return dict(file)


def test_the_messages_are_those_of_the_reference(reference: dict[str, np.ndarray]) -> None:
    assert np.array_equal(demo.encode(demo.messages()), reference["x"])


def test_predict_is_keras(backend: str, reference: dict[str, np.ndarray]) -> None:
    model = fd.load(demo.model_path())
    assert_close(model.predict(reference["x"]), reference["predict"], FLOAT32)


@pytest.mark.long
def test_the_distribution_is_keras(reference: dict[str, np.ndarray]) -> None:
    """Mean and variance of every message against 2,000 passes of Keras, in standard errors.

    20 comparisons at 4.5 standard errors go wrong by chance once in 7,000 runs; the seed is fixed.
    """
    model = fd.load(demo.model_path())
    n = int(reference["passes"])
    p = model.mc_predict(reference["x"], samples=n, rng=1, keep_samples=True)
    draws = p.samples[:, :, 0].astype(np.float64)
    variance = draws.var(axis=0, ddof=1)
    fourth = ((draws - draws.mean(axis=0)) ** 4).mean(axis=0)

    keras_mean, keras_variance, keras_fourth = (
        reference[name].reshape(-1) for name in ("mean", "variance", "fourth")
    )
    of_mean = np.sqrt((variance + keras_variance) / n)
    of_variance = np.sqrt((fourth - variance**2 + keras_fourth - keras_variance**2) / n)
    z = np.concatenate(
        [
            (draws.mean(axis=0) - keras_mean) / of_mean,
            (variance - keras_variance) / of_variance,
        ]
    )
    print("standard errors:", z.round(1))
    assert np.abs(z).max() < 4.5

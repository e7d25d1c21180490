"""Several models as one, against the models themselves and NumPy on their samples."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers
from fastdrop.random import Key

X = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)


def models(count: int = 3, activation: str = "softmax") -> list[fd.Model]:
    rng = np.random.default_rng(0)
    return [
        fd.Model(
            [
                layers.Dropout(name="drop", rate=0.5),
                layers.Dense(
                    name="dense",
                    kernel=rng.normal(size=(5, 3)).astype(np.float32),
                    activation=activation,
                ),
            ],
            (5,),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"first_sample": 5, "row_offset": 2},
        {"scope": "shared", "kind": "regression", "threads": 2},
        {"transform": lambda v: v.sum(axis=-1)},
    ],
)
def test_members_are_the_models_with_keys_of_their_own(options: dict[str, Any]) -> None:
    each = models()
    p = fd.Ensemble(each).mc_predict(X, 20, rng=3, keep_samples=True, **options)
    assert len(p.members) == 3
    for number, (model, member) in enumerate(zip(each, p.members, strict=True)):
        key = Key(3).fold_in("ensemble").fold_in(number)
        alone = model.mc_predict(X, 20, rng=key, keep_samples=True, **options)
        assert member.kind == p.kind == alone.kind
        assert np.array_equal(member.samples, alone.samples), number
    assert np.array_equal(p.samples, np.concatenate([m.samples for m in p.members]))
    assert p.n_samples == 60


def test_variances_within_and_between_models() -> None:
    """Their sum is the variance of all samples, but for the denominators."""
    p = fd.Ensemble(models(4)).mc_predict(X, 50, rng=0, keep_samples=True)
    samples = p.samples.astype(np.float64).reshape(4, 50, 4, 3)
    np.testing.assert_allclose(p.mean, samples.mean(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(p.within, samples.var(axis=1, ddof=1).mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(p.between, samples.mean(axis=1).var(axis=0, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(
        p.var * 199 / 200, p.within * 49 / 50 + p.between * 3 / 4, rtol=1e-10, atol=1e-15
    )


def test_predictions_are_averages() -> None:
    each = models()
    expected = np.mean([model.predict(X).astype(np.float64) for model in each], axis=0)
    np.testing.assert_allclose(fd.Ensemble(each).predict(X), expected, rtol=1e-6)

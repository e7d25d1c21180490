"""Several models as one, against NumPy on the samples of each."""

import inspect
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import layers
from layer_laws import normal

X = normal(4, 3, seed=1)
SAMPLES = 50


def member(seed: int, rate: float = 0.5, activation: str = "linear") -> fd.Model:
    drop = layers.Dropout(name="drop", rate=rate)
    return fd.Model(
        [drop, layers.Dense(name="d", kernel=normal(3, 2, seed=seed), activation=activation)], (3,)
    )


def samples_of(models: list[fd.Model], **options: Any) -> list[NDArray[Any]]:
    """Each model by itself, with the key that it is said to have."""
    key = fd.Key(0).fold_in("ensemble")
    return [
        model.mc_predict(X, SAMPLES, rng=key.fold_in(i), keep_samples=True, **options).samples
        for i, model in enumerate(models)
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_ensemble_is_the_samples_of_its_models(threads: int) -> None:
    models = [member(seed) for seed in (2, 3, 4)]
    options: dict[str, Any] = {"keep_samples": True, "threads": threads}
    p = fd.Ensemble(models).mc_predict(X, SAMPLES, rng=fd.Key(0), **options)
    each = samples_of(models)
    every = np.concatenate(each).astype(float)
    np.testing.assert_array_equal(p.samples, every)
    np.testing.assert_allclose(p.mean, every.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(p.var, every.var(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_array_equal(p.quantile(0.3), np.quantile(every, 0.3, axis=0))
    within = [one.astype(float).var(axis=0, ddof=1) for one in each]
    means = [one.mean(axis=0, dtype=float) for one in each]
    np.testing.assert_allclose(p.within, np.mean(within, axis=0), rtol=1e-12)
    np.testing.assert_allclose(p.between, np.var(means, axis=0, ddof=1), rtol=1e-12)
    assert p.n_samples == 3 * SAMPLES
    assert [one.n_samples for one in p.members] == [SAMPLES] * 3


def test_what_is_not_said_is_what_it_is_for_a_model() -> None:
    for name, parameter in inspect.signature(fd.Ensemble.mc_predict).parameters.items():
        theirs = inspect.signature(fd.Model.mc_predict).parameters[name]
        assert (name, parameter.default) == (name, theirs.default)


def test_classes_of_an_ensemble() -> None:
    models = [member(seed, activation="softmax") for seed in (2, 3)]
    p = fd.Ensemble(models).mc_predict(X, SAMPLES, rng=fd.Key(0))
    every = np.concatenate(samples_of(models)).astype(float)
    assert p.kind == "multiclass"
    np.testing.assert_array_equal(p.label, every.mean(axis=0).argmax(axis=-1))
    own = -(every * np.log(every)).sum(axis=-1).mean(axis=0)
    np.testing.assert_allclose(p.expected_entropy, own, rtol=1e-10)


def test_models_whose_outputs_mean_different_things() -> None:
    ensemble = fd.Ensemble([member(0, activation="softmax"), member(1)])
    with pytest.raises(ValueError, match=r"kind: .* models\[0\] are multiclass, .* regression"):
        ensemble.mc_predict(X, 3, rng=0)
    for options in ({"kind": "regression"}, {"transform": lambda values: 2 * values}):
        found = ensemble.mc_predict(X, 3, rng=0, **options)
        assert found.kind == "regression"


def test_models_in_which_nothing_is_random() -> None:
    models = [member(seed, rate=0) for seed in (2, 3, 4)]
    ensemble = fd.Ensemble(models)
    p = ensemble.mc_predict(X, 1)
    each = [model.predict(X).astype(float) for model in models]
    np.testing.assert_array_equal(p.within, np.zeros((4, 2)))
    np.testing.assert_allclose(p.between, np.var(each, axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(p.var, p.between, rtol=1e-12)
    np.testing.assert_allclose(ensemble.predict(X), np.mean(each, axis=0), rtol=1e-6)


def test_progress_goes_once_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    fd.Ensemble([member(2), member(3)]).mc_predict(
        X, SAMPLES, rng=0, progress=lambda done, total: told.append((done, total))
    )
    assert told == sorted(told)
    assert {total for _, total in told} == {2 * 4 * SAMPLES}
    assert told[-1][0] == 2 * 4 * SAMPLES


@pytest.mark.parametrize(
    ("models", "error", "match"),
    [
        (lambda: member(2), TypeError, "models: expected"),
        (lambda: [], ValueError, "models: expected at least 2 fastdrop.Models, got "),
        (lambda: [member(2)], ValueError, "models: expected at least 2 fastdrop.Models, got "),
        (lambda: [member(2), 3], TypeError, "models"),
        (
            lambda: [member(2), fd.Model([layers.Dropout(name="d", rate=0.5)], (3,))],
            ValueError,
            "models: expected models of one output shape",
        ),
        (
            lambda: [
                fd.Model([layers.GlobalAveragePooling1D(name="mean")], (None, 3)),
                fd.Model([layers.Reshape(name="r", target_shape=(3,))], (1, 3)),
            ],
            ValueError,
            r"models: expected models of one input shape \(\(None, 3\)\), got \(1, 3\) of model 1",
        ),
    ],
)
def test_models_that_are_no_ensemble(models: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        fd.Ensemble(models())


WIDE = normal(4, 5, seed=1)


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
    p = fd.Ensemble(each).mc_predict(WIDE, 20, rng=3, keep_samples=True, **options)
    assert len(p.members) == 3
    for number, (model, member) in enumerate(zip(each, p.members, strict=True)):
        key = fd.Key(3).fold_in("ensemble").fold_in(number)
        alone = model.mc_predict(WIDE, 20, rng=key, keep_samples=True, **options)
        assert member.kind == p.kind == alone.kind
        assert np.array_equal(member.samples, alone.samples), number
    assert np.array_equal(p.samples, np.concatenate([m.samples for m in p.members]))
    assert p.n_samples == 60


def test_ensembles_of_other_numbers_of_models_are_merged_as_samples() -> None:
    two, three = (fd.Ensemble([member(seed) for seed in range(n)]) for n in (2, 3))
    first, second = two.mc_predict(X, SAMPLES, rng=0), three.mc_predict(X, SAMPLES, rng=1)
    found = first.merge(second)
    assert found.n_samples == 5 * SAMPLES
    np.testing.assert_allclose(found.mean, (2 * first.mean + 3 * second.mean) / 5, atol=1e-6)


def test_a_function_of_likely_values_is_averaged_over_the_models() -> None:
    ensemble = fd.Ensemble([member(seed) for seed in (2, 3)])
    p = ensemble.mc_predict(X, SAMPLES, rng=0, likelihood="normal", transform=np.exp)
    np.testing.assert_allclose(p.mean, np.mean([m.mean for m in p.members], axis=0), rtol=1e-6)

"""Several models as one, against NumPy on the samples of each."""

import inspect
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import layers
from fastdrop.model import Call
from layer_laws import normal

X = normal(4, 3, seed=1)
SAMPLES = 50


def member(seed: int, rate: float = 0.5, activation: str = "linear") -> fd.Model:
    drop = layers.Dropout(name="drop", rate=rate)
    return fd.Model(
        [drop, layers.Dense(name="d", kernel=normal(3, 2, seed=seed), activation=activation)], (3,)
    )


def two_outputs(seed: int, named: bool) -> fd.Model:
    drop = layers.Dropout(name="drop", rate=0.5)
    wide, narrow = (
        layers.Dense(name=name, kernel=normal(3, n, seed=seed))
        for name, n in (("wide", 2), ("narrow", 1))
    )
    calls = [Call(drop, "x"), Call(wide, "drop"), Call(narrow, "drop")]
    outputs: Any = ["wide", "narrow"]
    return fd.Model(calls, {"x": (3,)}, outputs={n: n for n in outputs} if named else outputs)


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


class Largest:
    """A fold: how often which output is the largest."""

    def __init__(self) -> None:
        self.counts = np.zeros(3, int)

    def add(self, values: NDArray[Any]) -> None:
        self.counts += np.bincount(values.argmax(axis=-1), minlength=3)

    def merge(self, other: Any) -> None:
        self.counts += other.counts

    def result(self) -> NDArray[Any]:
        return self.counts


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
        {"folds": {"votes": Largest()}},
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
    if "folds" in options:
        said = p.samples.argmax(axis=-1)
        expected = [np.bincount(said[:, row], minlength=3) for row in range(len(WIDE))]
        assert np.array_equal(p.folds["votes"], expected)


def test_samples_are_kept_where_they_are_asked_for() -> None:
    p = fd.Ensemble(models()).mc_predict(WIDE, 5, rng=3)
    assert p.samples is None
    assert [m.samples for m in p.members] == [None] * 3


def test_a_scale_is_what_it_is_said_to_be() -> None:
    """Here the logarithms of standard deviations."""
    each = [member(seed) for seed in (2, 3)]
    options: dict[str, Any] = {"rng": 0, "likelihood": "normal", "scale": "log_std"}
    p = fd.Ensemble(each).mc_predict(X, SAMPLES, **options)
    key = fd.Key(0).fold_in("ensemble")
    every = [
        m.mc_predict(X, SAMPLES, rng=key.fold_in(i), keep_samples=True) for i, m in enumerate(each)
    ]
    stds = np.concatenate([np.exp(one.samples[..., 1:].astype(float)) for one in every])
    np.testing.assert_allclose(p.aleatoric, np.sqrt((stds**2).mean(axis=0)), rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_of_the_models(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They change no result, so they are looked at where they arrive."""
    seen: list[int | None] = []
    predict, sampled = fd.Model.predict, fd.Model._sampled

    def spied(model: fd.Model, *args: Any, **options: Any) -> Any:
        seen.append(options["threads"])
        return (sampled if "samples" in options or len(args) > 1 else predict)(
            model, *args, **options
        )

    monkeypatch.setattr(fd.Model, "predict", spied)
    monkeypatch.setattr(fd.Model, "_sampled", spied)
    ensemble = fd.Ensemble([member(2), member(3)])
    ensemble.predict(X, threads=threads)
    ensemble.mc_predict(X, 3, rng=0, threads=threads)
    assert seen == [threads] * 4


@pytest.mark.parametrize("named", [False, True])
def test_outputs_are_those_of_a_model(named: bool) -> None:
    """A list of them, or by their names: each put together by itself."""
    each = [two_outputs(seed, named) for seed in (2, 3)]
    ensemble = fd.Ensemble(each)
    p = ensemble.mc_predict(X, SAMPLES, rng=0, keep_samples=True)
    plain, alone = ensemble.predict(X), [model.predict(X) for model in each]
    assert type(p) is type(plain) is (dict if named else list)
    assert len(p) == len(plain) == 2
    for place in ("wide", "narrow") if named else (0, 1):
        np.testing.assert_allclose(plain[place], np.mean([y[place] for y in alone], axis=0))
        assert p[place].mean.shape == plain[place].shape
        members = [m.samples for m in p[place].members]
        assert np.array_equal(p[place].samples, np.concatenate(members))


def test_ensembles_of_other_numbers_of_models_are_merged_as_samples() -> None:
    two, three = (fd.Ensemble([member(seed) for seed in range(n)]) for n in (2, 3))
    options: dict[str, Any] = {"keep_samples": True}
    first = two.mc_predict(X, SAMPLES, rng=0, **options)
    second = three.mc_predict(X, SAMPLES, rng=1, **options)
    found = first.merge(second)
    assert np.array_equal(found.samples, np.concatenate([first.samples, second.samples]))
    assert found.n_samples == 5 * SAMPLES
    np.testing.assert_allclose(found.mean, (2 * first.mean + 3 * second.mean) / 5, atol=1e-6)


def test_ensembles_are_merged_model_by_model() -> None:
    """In the order in which they are given, and what is fixed stays so."""
    ensemble = fd.Ensemble([member(2), member(3, rate=0)])
    options: dict[str, Any] = {"rng": 0, "keep_samples": True}
    first = ensemble.mc_predict(X, 20, **options)
    more = ensemble.mc_predict(X, 30, first_sample=20, **options)
    whole = ensemble.mc_predict(X, 50, **options)
    found = first.merge(more)
    assert isinstance(found, type(first))
    for got, expected in zip(found.members, whole.members, strict=True):
        assert np.array_equal(got.samples, expected.samples)
    np.testing.assert_allclose(found.within, whole.within, rtol=1e-9)
    np.testing.assert_allclose(found.between, whole.between, rtol=1e-9)
    # Of the other one nothing is random.
    np.testing.assert_array_equal(found.within, found.members[0].var / 2)
    plain = fd.Ensemble([member(2, rate=0), member(3, rate=0)])
    rows = [plain.mc_predict(X[i : i + 2], 1, row_offset=i) for i in (0, 2)]
    joined = rows[0].merge(rows[1])
    np.testing.assert_array_equal(joined.within, np.zeros((4, 2)))
    np.testing.assert_allclose(joined.between, plain.mc_predict(X, 1).between, rtol=1e-12)


def test_a_function_of_likely_values_is_averaged_over_the_models() -> None:
    ensemble = fd.Ensemble([member(seed) for seed in (2, 3)])
    p = ensemble.mc_predict(X, SAMPLES, rng=0, likelihood="normal", transform=np.exp)
    np.testing.assert_allclose(p.mean, np.mean([m.mean for m in p.members], axis=0), rtol=1e-6)

"""Models as scikit-learn's estimators: its own checks, its tools, and the model's own answers."""

import doctest
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers

pytest.importorskip("sklearn", reason="scikit-learn is not installed: the extra `sklearn`")

from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import fastdrop.sklearn
from fastdrop.sklearn import MCDropoutClassifier, MCDropoutRegressor


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def dense(inputs: int, units: int, *, rate: float = 0.3, **more: Any) -> fd.Model:
    kernel = normal(inputs, units, seed=units)
    return fd.Model(
        [layers.Dropout(name="drop", rate=rate), layers.Dense(name="out", kernel=kernel, **more)],
        (inputs,),
    )


def sequences(shape: tuple[int | None, ...], units: int, **more: Any) -> fd.Model:
    features = shape[-1]
    assert features is not None
    gru = layers.GRU(
        name="gru",
        kernel=normal(features, 12),
        recurrent_kernel=normal(4, 12, seed=1),
        recurrent_dropout=0.3,
    )
    head = layers.Dense(name="out", kernel=normal(4, units, seed=2), **more)
    return fd.Model([gru, head], shape)


X = normal(12, 4, seed=7)
Y = normal(12, seed=8)


# ---- scikit-learn's own checks ----

# Those whose data have two classes, or four, where a model of three cannot be trained on them.
OTHER_CLASSES = (
    "estimators_dtypes",
    "dtype_object",
    "pipeline_consistency",
    "estimators_nan_inf",
    "estimators_pickle",
    "classifier_data_not_an_array",
    "classifiers_classes",
    "classifiers_train",
    "fit2d_1sample",
    "fit2d_1feature",
    "fit_idempotent",
    "fit_check_is_fitted",
    "n_features_in",
    "n_features_in_after_fitting",  # of 1.6
)
REASON = "its data have other classes than the three of the model, which is trained already"


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize(
    ("estimator", "failing"),
    [
        (MCDropoutRegressor(sequences((None, 1), 1)), ()),
        (MCDropoutClassifier(sequences((None, 1), 1, activation="sigmoid")), ()),
        (MCDropoutClassifier(sequences((None, 1), 3, activation="softmax")), OTHER_CLASSES),
    ],
    ids=["regressor", "binary", "multiclass"],
)
def test_checks_of_scikit_learn(estimator: Any, failing: tuple[str, ...], scope: str) -> None:
    """The model takes any number of features, as the checks' data have."""
    estimator = clone(estimator).set_params(samples=5, scope=scope)
    results = check_estimator(
        estimator,
        expected_failed_checks={f"check_{name}": REASON for name in failing},
        on_skip=None,
    )
    assert len(results) > 40
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    # With masks of a row's own a row depends on its place, which is what this one asks about.
    assert skipped <= {"check_array_api_input"} | (
        {"check_pipeline_consistency"} if scope == "per_row" else set()
    )
    for result in results:
        if result["status"] == "xfail":
            assert "expected 3 classes" in str(result["exception"]), result["check_name"]
        else:
            assert result["status"] in ("passed", "skipped"), result["check_name"]


# ---- what is predicted ----


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_a_regressor_says_what_the_model_does(scope: str) -> None:
    model = dense(4, 1)
    regressor = MCDropoutRegressor(model, 50, 3, scope=scope).fit(X, Y)
    p = model.mc_predict(X, 50, rng=3, scope=scope)
    mean, std, (low, high) = regressor.predict(X, return_std=True, return_interval=0.8)
    assert mean.shape == (12,)
    assert np.array_equal(mean, p.mean[:, 0])
    assert np.array_equal(std, p.std[:, 0])
    assert np.array_equal([low, high], np.squeeze(p.interval(0.8), -1))
    assert np.array_equal(regressor.predict(X), mean)
    only_std, only_interval = (
        regressor.predict(X, return_std=True),
        regressor.predict(X, return_interval=0.8),
    )
    assert np.array_equal(only_std[1], std)
    assert np.array_equal(only_interval[1], [low, high])
    assert regressor.score(X, Y) == r2_score(Y, mean)


def test_several_outputs_are_columns() -> None:
    gru = layers.GRU(
        name="gru",
        kernel=normal(2, 9),
        recurrent_kernel=normal(3, 9, seed=1),
        recurrent_dropout=0.3,
        return_sequences=True,
    )
    model = fd.Model([gru], (5, 2))
    x, y = normal(6, 5, 2), normal(6, 15, seed=1)
    regressor = MCDropoutRegressor(model, 10).fit(x, y)
    mean, std = regressor.predict(x, return_std=True)
    p = model.mc_predict(x, 10, rng=0)
    assert np.array_equal(mean, p.mean.reshape(6, 15))
    assert np.array_equal(std, p.std.reshape(6, 15))
    assert regressor.score(x, y) == r2_score(y, mean)


def test_shared_masks_make_a_prediction_one_of_its_row_alone() -> None:
    shared = MCDropoutRegressor(dense(4, 1), scope="shared").fit(X, Y)
    own = clone(shared).set_params(scope="per_row").fit(X, Y)
    order = np.random.default_rng(0).permutation(12)
    assert np.array_equal(shared.predict(X[order]), shared.predict(X)[order])
    assert np.array_equal(shared.predict(X[5:]), shared.predict(X)[5:])
    assert not np.array_equal(own.predict(X[order]), own.predict(X)[order])
    assert np.array_equal(own.predict(X[:5]), own.predict(X)[:5])  # row r is row r


def test_random_states() -> None:
    def twice(state: Any) -> tuple[np.ndarray, np.ndarray]:
        regressor = MCDropoutRegressor(dense(4, 1), 10, state).fit(X, Y)
        return regressor.predict(X), regressor.predict(X)

    for seed in (5, np.int64(5)):
        a, b = twice(seed)
        assert np.array_equal(a, b)
        assert np.array_equal(a, twice(5)[0])
    assert not np.array_equal(a, twice(6)[0])
    a, b = twice(None)
    assert not np.array_equal(a, b)
    first, second = twice(np.random.RandomState(1)), twice(np.random.RandomState(1))
    assert np.array_equal(first, second)
    assert not np.array_equal(*first)
    drawn, state = np.random.RandomState(1), np.random.RandomState(1)
    twice(drawn)
    state.randint(0, 1 << 32, 2 * 4, np.uint32)  # words of 32 bits, of which a key has 128 bits
    assert drawn.randint(1 << 30) == state.randint(1 << 30)


def classifier_of(kind: str, **more: Any) -> tuple[Any, Any, np.ndarray]:
    model = (
        dense(4, 1, activation="sigmoid") if kind == "binary" else dense(4, 3, activation="softmax")
    )
    names = np.array(["no", "yes"] if kind == "binary" else ["a", "b", "c"])
    y = names[np.arange(12) % len(names)]
    return model, MCDropoutClassifier(model, 40, **more), y


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_classifier_says_what_the_samples_do(kind: str) -> None:
    model, classifier, y = classifier_of(kind)
    classifier.fit(X, y)
    samples = model.mc_predict(X, 40, rng=0, keep_samples=True).samples.astype(float)
    if kind == "binary":
        samples = np.concatenate([1 - samples, samples], axis=-1)
    mean = samples.mean(axis=0)
    proba = classifier.predict_proba(X)
    np.testing.assert_allclose(proba, mean / mean.sum(1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-15)
    place = mean.argmax(axis=1)
    assert len(set(place)) == mean.shape[1]  # all classes are said of some row
    label, std, (low, high) = classifier.predict(X, return_std=True, return_interval=0.9)
    assert np.array_equal(label, np.unique(y)[place])
    assert np.array_equal(label, classifier.predict(X))
    of_label = samples[:, np.arange(12), place]
    np.testing.assert_allclose(std, of_label.std(axis=0, ddof=1), rtol=1e-7)
    bounds = np.quantile(of_label, [0.05, 0.95], axis=0)
    np.testing.assert_allclose([low, high], bounds, rtol=1e-6)
    assert classifier.score(X, y) == accuracy_score(y, label)
    entropy = classifier.mc_predict(X).entropy
    assert entropy.size == 12


def test_outputs_of_unknown_meaning_are_probabilities_by_their_width() -> None:
    """As where a model ends in something else than softmax: what comes is looked at."""
    kernel = np.eye(3, dtype=np.float32)
    model = fd.Model(
        [
            layers.Dropout(name="drop", rate=0.1),
            layers.Dense(name="in", kernel=kernel, activation="softmax"),
            layers.Dense(name="out", kernel=kernel),
        ],
        (3,),
    )
    classifier = MCDropoutClassifier(model).fit(np.eye(3), ["a", "b", "c"])
    assert classifier.predict(np.eye(3)).tolist() == ["a", "b", "c"]
    numbers = MCDropoutClassifier(dense(3, 3), 5).fit(np.eye(3), ["a", "b", "c"])
    with pytest.raises(ValueError, match="kind='multiclass': expected probabilities"):
        numbers.predict(np.eye(3))


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_classes_are_in_the_order_that_is_given(kind: str) -> None:
    _, classifier, y = classifier_of(kind)
    proba = classifier.fit(X, y).predict_proba(X)
    order = np.unique(y)[::-1]
    # One class alone does not say what the others are; names do, and in which order.
    with pytest.raises(ValueError, match="y: expected"):
        classifier.fit(X, y[:1].repeat(12))
    classifier.set_params(classes=order).fit(X, y[:1].repeat(12))
    assert classifier.classes_.tolist() == order.tolist()
    assert np.array_equal(classifier.predict_proba(X), proba)
    assert np.array_equal(classifier.predict(X), order[proba.argmax(axis=1)])


# ---- rows ----


@pytest.mark.parametrize(
    ("shape", "features", "lengths"),
    [
        ((5, 2), 10, (5, 2)),
        ((None, 2), 10, (5, 2)),
        ((None, 2), 2, (1, 2)),
        ((None, 1), 7, (7, 1)),
    ],
)
def test_two_axes_are_sequences(
    shape: tuple[int | None, ...], features: int, lengths: tuple[int, ...]
) -> None:
    model = sequences(shape, 1)
    flat = normal(6, features)
    # All features of the first step come first.
    steps = np.stack([flat[:, i :: lengths[1]] for i in range(lengths[1])], axis=-1)
    assert steps.shape[1:] == lengths
    expected = model.mc_predict(steps, 10, rng=0).mean[:, 0]
    regressor = MCDropoutRegressor(model, 10).fit(flat, normal(6))
    assert regressor.n_features_in_ == features
    assert np.array_equal(regressor.predict(flat), expected)
    assert np.array_equal(regressor.predict(steps), expected)
    assert np.array_equal(
        MCDropoutRegressor(model, 10).fit(steps, normal(6)).predict(steps), expected
    )


def test_open_lengths_may_change_between_calls() -> None:
    regressor = MCDropoutRegressor(sequences((None, 2), 1), 10).fit(normal(6, 5, 2), normal(6))
    assert regressor.predict(normal(3, 8, 2)).shape == (3,)


def test_indices_of_words() -> None:
    model = fd.Model(
        [
            layers.Embedding(name="words", table=normal(9, 3)),
            layers.GlobalAveragePooling1D(name="pool"),
            layers.Dropout(name="drop", rate=0.5),
            layers.Dense(name="out", kernel=normal(3, 1), activation="sigmoid"),
        ],
        (None,),
    )
    x = np.arange(12).reshape(3, 4) % 9
    classifier = MCDropoutClassifier(model, 10).fit(x, [0, 1, 0])
    p = model.mc_predict(x, 10, rng=0)
    assert np.array_equal(classifier.predict_proba(x)[:, 1], p.mean[:, 0])


def test_frames_have_names() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    regressor = MCDropoutRegressor(dense(4, 1), 10).fit(frame, pandas.Series(Y))
    assert regressor.feature_names_in_.tolist() == list("abcd")
    assert np.array_equal(regressor.predict(frame), regressor.fit(X, Y).predict(X))
    regressor.fit(frame, Y)
    with pytest.raises(ValueError, match="feature names"):
        regressor.predict(frame[list("bacd")])
    with pytest.raises(ValueError, match="convert"):
        regressor.fit(frame.assign(a="text"), Y)


# ---- what scikit-learn does with estimators ----


def test_fit_changes_no_weight() -> None:
    model = sequences((5, 2), 1)
    x = normal(6, 5, 2)
    before = model.predict(x)
    weights = pickle.dumps([vars(layer) for layer in model.layers if hasattr(layer, "__dict__")])
    regressor = MCDropoutRegressor(model).fit(x, 1000 * normal(6))
    assert regressor.model is model
    assert np.array_equal(model.predict(x), before)
    assert weights == pickle.dumps(
        [vars(layer) for layer in model.layers if hasattr(layer, "__dict__")]
    )


def test_a_trained_model_need_not_be_fitted() -> None:
    """It says the same; classes are then those given, or numbers."""
    regressor = MCDropoutRegressor(dense(4, 1), 10)
    expected = clone(regressor).fit(X, Y).predict(X, return_std=True, return_interval=0.9)
    got = regressor.predict(X, return_std=True, return_interval=0.9)
    assert np.array_equal(got[0], expected[0])
    assert np.array_equal(got[1], expected[1])
    assert np.array_equal(got[2], expected[2])
    classifier = MCDropoutClassifier(dense(4, 3, activation="softmax"), 10)
    names = np.array(["a", "b", "c"])
    fitted = clone(classifier).fit(X, np.tile(names, 4))
    numbers = classifier.predict(X)
    assert np.array_equal(names[numbers], fitted.predict(X))
    assert np.array_equal(classifier.predict_proba(X), fitted.predict_proba(X))
    named = MCDropoutClassifier(dense(4, 3, activation="softmax"), 10, classes=names)
    assert np.array_equal(named.predict(X), fitted.predict(X))
    assert classifier.score(X, numbers) == 1
    with pytest.raises(ValueError, match="classes: expected 3 different classes"):
        MCDropoutClassifier(dense(4, 3, activation="softmax"), classes=["a", "b"]).predict(X)
    with pytest.raises(TypeError, match=r"model: expected a fastdrop\.Model"):
        MCDropoutRegressor("model.keras").predict(X)


def test_clones_share_the_model_and_nothing_else() -> None:
    state = np.random.RandomState(0)
    fitted = MCDropoutRegressor(dense(4, 1), 10, state).fit(X, Y)
    copy = clone(fitted)
    assert copy.model is fitted.model
    assert copy.random_state is not state
    assert copy.get_params().keys() == {"model", "samples", "random_state", "scope", "threads"}
    with config_context(enable_metadata_routing=True):
        asking = MCDropoutRegressor(dense(4, 1)).set_predict_request(return_std=True)
        copy = clone(asking)
        assert copy.get_metadata_routing().predict.requests["return_std"] is True
        copy.set_predict_request(return_std=False)
        assert asking.get_metadata_routing().predict.requests["return_std"] is True


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_pickles_predict_the_same(kind: str) -> None:
    if kind == "regression":
        fitted: Any = MCDropoutRegressor(dense(4, 1), 10).fit(X, Y)
    else:
        _, classifier, y = classifier_of(kind)
        fitted = classifier.fit(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.predict(X), fitted.predict(X))


def test_a_pipeline_scales_what_the_model_takes() -> None:
    x = 5 + 3 * normal(12, 4)
    model = dense(4, 1)
    pipeline = make_pipeline(StandardScaler(), MCDropoutRegressor(model, 20)).fit(x, Y)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    mean, std = pipeline.predict(x, return_std=True)
    p = model.mc_predict(scaled, 20, rng=0)
    np.testing.assert_allclose(mean, p.mean[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(std, p.std[:, 0], rtol=1e-3)


def test_cross_validation_asks_one_model_about_each_part() -> None:
    model = dense(4, 1)
    regressor = MCDropoutRegressor(model, 20)
    folds = KFold(3)
    parts = [(test, model.mc_predict(X[test], 20, rng=0).mean[:, 0]) for _, test in folds.split(X)]
    found = cross_val_predict(regressor, X, Y, cv=folds)
    assert np.array_equal(found, np.concatenate([part for _, part in parts]))
    scores = cross_val_score(regressor, X, Y, cv=folds)
    np.testing.assert_allclose(scores, [r2_score(Y[test], part) for test, part in parts])
    _, classifier, y = classifier_of("multiclass")
    proba = cross_val_predict(classifier, X, y, cv=folds, method="predict_proba")
    assert proba.shape == (12, 3)


def test_a_search_over_samples() -> None:
    model = dense(4, 1, rate=0.5)
    y = model.predict(X)[:, 0]  # more samples come closer to it
    search = GridSearchCV(MCDropoutRegressor(model), {"samples": [1, 3, 1000]}, cv=KFold(3))
    search.fit(X, y)
    assert search.best_params_ == {"samples": 1000}
    assert search.best_estimator_.model is model


@pytest.mark.live
def test_mapie_makes_intervals_that_hold_what_they_claim() -> None:
    regression = pytest.importorskip("mapie.regression", reason="MAPIE is not installed")
    rng = np.random.default_rng(0)
    model = dense(4, 1)
    x = normal(6000, 4, seed=1)
    y = model.predict(x)[:, 0] + rng.normal(size=6000)
    x_calibration, x_test, y_calibration, y_test = train_test_split(x, y, random_state=0)
    regressor = MCDropoutRegressor(model, 30, scope="shared").fit(x_calibration, y_calibration)

    def covered(low: np.ndarray, high: np.ndarray) -> float:
        return float(np.mean((low <= y_test) & (y_test <= high)))

    _, raw = regressor.predict(x_test, return_interval=0.9)
    conformal = regression.SplitConformalRegressor(
        estimator=regressor, confidence_level=0.9, prefit=True
    ).conformalize(x_calibration, y_calibration)
    mean, interval = conformal.predict_interval(x_test)
    assert np.array_equal(mean, regressor.predict(x_test))
    # Of 4,500 rows for calibration and 1,500 to test: four standard errors.
    error = np.sqrt(0.09 / 4500 + 0.09 / 1500)
    assert abs(covered(*interval[:, :, 0].T) - 0.9) < 4 * error
    assert abs(covered(*raw) - 0.9) > 4 * error


@pytest.mark.live
def test_mapie_makes_sets_of_classes() -> None:
    classification = pytest.importorskip("mapie.classification", reason="MAPIE is not installed")
    model = dense(4, 3, activation="softmax")
    x = normal(4000, 4, seed=1)
    p = model.mc_predict(x, 30, rng=0, scope="shared").mean
    y = (np.random.default_rng(0).random((4000, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    classifier = MCDropoutClassifier(model, 30, scope="shared").fit(x[:2000], y[:2000])
    conformal = classification.SplitConformalClassifier(
        estimator=classifier, confidence_level=0.9, prefit=True, conformity_score="lac"
    ).conformalize(x[:2000], y[:2000])
    _, sets = conformal.predict_set(x[2000:])
    held = sets[np.arange(2000), y[2000:], 0].mean()
    assert abs(held - 0.9) < 4 * np.sqrt(2 * 0.09 / 2000)


# ---- refusals ----

TWO = {"left": (2,), "right": (2,)}


def two_inputs() -> fd.Model:
    calls = [
        fd.Call(layers.Dropout(name="a", rate=0.5), "left"),
        fd.Call(layers.Merge(name="b", function="add"), ["a", "right"]),
    ]
    return fd.Model(calls, TWO)


def two_outputs() -> fd.Model:
    drop = layers.Dropout(name="a", rate=0.5)
    return fd.Model([fd.Call(drop), fd.Call(drop, "input", "b")], (4,), outputs=["a", "b"])


REFUSED: dict[str, tuple[Any, Any, Any, type[Exception], str]] = {
    "no model": (MCDropoutRegressor("model.keras"), X, Y, TypeError, "model: expected a fastdrop"),
    "two inputs": (MCDropoutRegressor(two_inputs()), X, Y, ValueError, "of one input and one"),
    "two outputs": (MCDropoutRegressor(two_outputs()), X, Y, ValueError, "of one input and one"),
    "nothing random": (
        MCDropoutRegressor(dense(4, 1, rate=0.0)),
        X,
        Y,
        ValueError,
        "model: expected a model with dropout",
    ),
    "features": (MCDropoutRegressor(dense(3, 1)), X, Y, ValueError, r"shape \(batch, 3\)"),
    "features of steps": (
        MCDropoutRegressor(sequences((5, 2), 1)),
        X,
        Y,
        ValueError,
        r"X: expected 10 features, which are an input of shape \(5, 2\)",
    ),
    "features of open steps": (
        MCDropoutRegressor(sequences((None, 3), 1)),
        X,
        Y,
        ValueError,
        "X: expected a multiple of 3 features",
    ),
    "several open lengths": (
        MCDropoutRegressor(fd.Model([layers.Dropout(name="d", rate=0.5)], (None, None))),
        X,
        Y,
        ValueError,
        "X: expected 3 axes",
    ),
    "steps": (
        MCDropoutRegressor(sequences((5, 2), 1)),
        normal(12, 4, 2),
        Y,
        ValueError,
        r"x: expected shape \(batch, 5, 2\)",
    ),
    "too few y": (MCDropoutRegressor(dense(4, 2)), X, Y, ValueError, "y: expected 2 columns"),
    "too many y": (
        MCDropoutRegressor(dense(4, 2)),
        X,
        normal(12, 3),
        ValueError,
        "y: expected 2 columns",
    ),
    "y of another length": (MCDropoutRegressor(dense(4, 1)), X, Y[1:], ValueError, "inconsistent"),
    "NaN": (MCDropoutRegressor(dense(4, 1)), X * np.nan, Y, ValueError, "NaN"),
    "several events": (
        MCDropoutClassifier(dense(4, 2, activation="sigmoid")),
        X,
        Y > 0,
        ValueError,
        "model: expected a model that puts out one probability",
    ),
    "a class a step": (
        MCDropoutClassifier(fd.Model([layers.Dropout(name="d", rate=0.5)], (2, 2))),
        X,
        Y > 0,
        ValueError,
        "model: expected a model that puts out one probability",
    ),
    "numbers as classes": (
        MCDropoutClassifier(dense(4, 1, activation="sigmoid")),
        X,
        Y,
        ValueError,
        "Unknown label type",
    ),
    "three classes of two": (
        MCDropoutClassifier(dense(4, 1, activation="sigmoid")),
        X,
        np.arange(12) % 3,
        ValueError,
        "y: expected 2 classes",
    ),
    "classes twice": (
        MCDropoutClassifier(dense(4, 1, activation="sigmoid"), classes=[1, 1]),
        X,
        np.arange(12) % 2,
        ValueError,
        "classes: expected 2 different classes",
    ),
    "a class more": (
        MCDropoutClassifier(dense(4, 1, activation="sigmoid"), classes=[0, 1, 2]),
        X,
        np.arange(12) % 2,
        ValueError,
        "classes: expected 2 different classes",
    ),
    "an unknown class": (
        MCDropoutClassifier(dense(4, 1, activation="sigmoid"), classes=[0, 1]),
        X,
        np.arange(12) % 3,
        ValueError,
        "y: expected none but the classes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_fit(case: str) -> None:
    estimator, x, y, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        estimator.fit(x, y)


@pytest.mark.parametrize(
    ("settings", "asked", "error", "message"),
    [
        ({"samples": 0}, {}, ValueError, "samples: expected"),
        ({"samples": 1.5}, {}, TypeError, "samples: expected"),
        ({"scope": "row"}, {}, ValueError, "scope: expected"),
        ({"threads": 0}, {}, ValueError, "threads: expected"),
        ({"random_state": -1}, {}, ValueError, "random_state: expected None, a numpy"),
        ({"random_state": "a"}, {}, TypeError, "random_state: expected None, a numpy"),
        ({"random_state": True}, {}, TypeError, "random_state: expected None, a numpy"),
        ({}, {"return_std": 1}, TypeError, "return_std: expected True or False"),
        ({}, {"return_interval": 1.5}, ValueError, "return_interval: expected"),
        ({}, {"return_interval": "a"}, TypeError, "return_interval: expected"),
    ],
)
@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_refused_by_predict(
    kind: str, settings: Any, asked: Any, error: type[Exception], message: str
) -> None:
    estimator: Any = MCDropoutRegressor(dense(4, 1))
    y: Any = Y
    if kind == "binary":
        estimator, y = MCDropoutClassifier(dense(4, 1, activation="sigmoid")), Y > 0
    estimator.fit(X, y).set_params(**settings)
    with pytest.raises(error, match=message):
        estimator.predict(X, **asked)


def test_columns_of_one_number_are_told_of() -> None:
    with pytest.warns(DataConversionWarning):
        MCDropoutRegressor(dense(4, 1)).fit(X, Y[:, np.newaxis])


def test_no_class_without_a_probability() -> None:
    model = fd.Model([layers.Dropout(name="d", rate=0.5), layers.Softmax(name="s")], (2,))
    classifier = MCDropoutClassifier(model, 5).fit(np.ones((2, 2)), [0, 1])
    with pytest.raises(ValueError, match="X: expected rows of which the model makes prob"):
        classifier.predict(np.array([[3.4e38, 3.4e38]]))  # divided by 0.5 infinite


def test_the_extra_is_named_where_it_is_missing() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try: import fastdrop.sklearn\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert 'pip install "fastdrop-rnn[sklearn]"' in found.stdout


def test_doctests() -> None:
    result = doctest.testmod(fastdrop.sklearn)
    assert not result.failed
    assert result.attempted > 10

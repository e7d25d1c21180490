"""Trained models as estimators of scikit-learn: for pipelines, searches and conformal methods."""

from __future__ import annotations

from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.model import Model
from fastdrop.uncertainty import Prediction

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, column_or_1d, validate_data
except ImportError as _error:
    raise _check.missing("fastdrop.sklearn", "scikit-learn 1.6 or newer", "sklearn") from _error

Array = NDArray[Any]

__all__ = ["MCDropoutClassifier", "MCDropoutRegressor"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class _MCDropout(BaseEstimator):
    """What both estimators share: the model, the rows that it takes, and sampling it."""

    model: Any
    samples: Any
    random_state: Any
    scope: Any
    threads: Any

    def mc_predict(self, X: Any) -> Prediction:  # noqa: N803
        """Sample the outputs, for all that the samples say.

        Parameters
        ----------
        X : array_like, shape (rows, features) or (rows, *input_shape)
            As in `fit`.

        Returns
        -------
        Prediction
            That of ``model.mc_predict``.

        Raises
        ------
        TypeError, ValueError
            If X or a parameter is of the wrong type, shape or range.
        """
        self._check_model()
        x = check_array(X, allow_nd=True, estimator=self, input_name="X")
        if x.ndim == 2 and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, skip_check_array=True)
        found: Prediction = self.model.mc_predict(
            self._shaped(x),
            self.samples,
            rng=self._rng(),
            scope=self.scope,
            kind=self._kind(),
            threads=self.threads,
        )
        return found

    def __sklearn_clone__(self) -> Self:
        # A model is never changed, so all clones share it: a search holds its weights once.
        settings = self.get_params(deep=False)
        copies = {n: v if n == "model" else clone(v, safe=False) for n, v in settings.items()}
        made = type(self)(**copies)
        # What it asks of metadata routing, which setting it replaces.
        if hasattr(self, "_metadata_request"):
            made._metadata_request = self._metadata_request
        return made

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.requires_fit = False  # the model is trained
        # A row with masks of its own says something else at another place of a call.
        repeats = self.scope == "shared" and isinstance(self.random_state, (int, np.integer))
        tags.non_deterministic = not repeats
        return tags

    # ---- inside ----

    def _kind(self) -> str:
        raise NotImplementedError

    def _check_model(self) -> None:
        """Refuse what is no model, or one that says more than an estimator does."""
        model = self.model
        if not isinstance(model, Model):
            _check.refuse(TypeError, "model", "a fastdrop.Model, as fastdrop.load returns", model)
        if len(model.input_names) > 1 or len(model.output_names) > 1:
            _check.refuse(ValueError, "model", "a model of one input and one output", model)
        model._check_stochastic("model")

    def _shaped(self, x: Array) -> Array:
        """Return rows of features as the model takes them."""
        shape = self.model.graph.shapes[self.model.graph.inputs[0]]
        if x.ndim != 2 or len(shape) == 1:
            return x
        known = prod(n for n in shape if n is not None)
        left_open = sum(n is None for n in shape)
        features = x.shape[1]
        if left_open > 1:
            expected = f"{len(shape) + 1} axes, for several lengths of the input are open: {shape}"
            _check.refuse(ValueError, "X", expected, x)
        if features != known and not (left_open and features % max(known, 1) == 0):
            several = "a multiple of " if left_open else ""
            expected = f"{several}{known} features, which are an input of shape {shape}"
            _check.refuse(ValueError, "X", expected, x)
        lengths = [features // known if n is None else n for n in shape]
        return x.reshape(len(x), *lengths)

    def _output(self) -> tuple[int | None, ...]:
        """Return the shape of a row of the output."""
        shape: tuple[int | None, ...] = self.model.graph.shapes[self.model.graph.outputs[0]]
        return shape

    def _rng(self) -> Any:
        state = self.random_state
        if state is None:
            return None
        if isinstance(state, np.random.RandomState):
            return np.random.SeedSequence(state.randint(0, 1 << 32, 4, np.uint32).tolist())
        return _check.integer(
            state, "random_state", 0, None, "None, a numpy.random.RandomState or an integer"
        )


class MCDropoutRegressor(RegressorMixin, _MCDropout):
    """A trained model of numbers, sampled with dropout on, as a regressor of scikit-learn.

    **It is trained already: `fit` changes no weight**, and need not be called. It checks that the
    data fit the model, and takes down what scikit-learn asks of a fitted estimator. So
    `cross_val_score` scores one and the same model on each part of the data, and says nothing of
    data that the model was trained on.

    Parameters
    ----------
    model : Model
        Of one input and one output, with dropout somewhere. Clones share it.
    samples : int, optional
        How many samples `predict` draws of every output.
    random_state : int, None or numpy.random.RandomState, optional
        An integer is the seed of the key of every call: the same rows give the same predictions
        again. None: each call draws anew. From a RandomState each call takes the next words.
    scope : {"per_row", "shared"}, optional
        "per_row": row r of a call has the masks of row r. So the same row at another place, or in
        another call at another place, says something else, by as much as the error of so many
        samples. "shared": all rows have one set of masks, and with an integer as `random_state`
        a prediction depends on nothing but its row.
    threads : int, optional
        At most this many threads; None means ``fastdrop.info().threads``.

    Attributes
    ----------
    n_features_in_ : int
        Length of the second axis of the X that `fit` has seen.
    feature_names_in_ : ndarray of str
        Names of the columns, where X was a DataFrame.

    Notes
    -----
    Intervals of samples say how far the model disagrees with itself, and are not calibrated:
    conformal methods make such as hold what they claim, with this estimator as fitted. They ask
    that rows can be exchanged, so ``scope="shared"`` is meant for them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.sklearn import MCDropoutRegressor
    >>> layers = [
    ...     fd.layers.Dropout(name="drop", rate=0.5),
    ...     fd.layers.Dense(name="dense", kernel=np.ones((4, 1), np.float32)),
    ... ]
    >>> X, y = np.ones((3, 4)), np.full(3, 4.0)
    >>> regressor = MCDropoutRegressor(fd.Model(layers, (4,)), samples=1000).fit(X, y)
    >>> mean, std, (low, high) = regressor.predict(X, return_std=True, return_interval=0.9)
    >>> mean.shape, bool(abs(mean - 4).max() < 0.5), bool((low < mean).all())
    ((3,), True, True)
    """

    def __init__(
        self,
        model: Model,
        samples: int = 100,
        random_state: Any = 0,
        *,
        scope: str = "per_row",
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.samples = samples
        self.random_state = random_state
        self.scope = scope
        self.threads = threads

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Check the data against the model. **No weight is changed: the model is trained.**

        Parameters
        ----------
        X : array_like or DataFrame, shape (rows, features) or (rows, *input_shape)
            Two axes are given the input's shape, in C order: all features of the first step come
            first. Where the model leaves one length open, that is as long as makes it fit.
        y : array_like, shape (rows,) or (rows, outputs)
            One number a row, or as many as the model puts out, in C order.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the model cannot be an estimator, or takes or puts out something else.
        """
        self._check_model()
        x, y = validate_data(self, X, y, allow_nd=True, multi_output=True, y_numeric=True)
        self.model._inputs(self._shaped(x))
        output = self._output()
        if None not in output:
            width = prod(n for n in output if n is not None)
            if width == 1:
                column_or_1d(y, warn=True)
            elif y.shape[1:] != (width,):
                expected = f"{width} columns, as the model has outputs {output}"
                _check.refuse(ValueError, "y", expected, y)
        return self

    def predict(
        self,
        X: Any,  # noqa: N803
        return_std: bool = False,
        return_interval: float | None = None,
    ) -> Any:
        """Predict the mean of the samples.

        Parameters
        ----------
        X : array_like or DataFrame, shape (rows, features) or (rows, *input_shape)
            As in `fit`.
        return_std : bool, optional
            Also return the standard deviation of the samples.
        return_interval : float, optional
            Also return the central interval that holds this share of the samples.

        Returns
        -------
        mean : ndarray of float64, shape (rows,) or (rows, outputs)
            Outputs in C order.
        std : ndarray like mean
            If asked for.
        (low, high) : pair of ndarray like mean
            If asked for; always the last. ``mean, std, (low, high)`` are all.

        Raises
        ------
        TypeError, ValueError
            If X or a parameter is of the wrong type, shape or range.
        """
        _check.flag(return_std, "return_std")
        if return_interval is not None:
            _check.probability(return_interval, "return_interval")
        p = self.mc_predict(X)
        found: list[Any] = [self._flat(p.mean)]
        if return_std:
            found.append(self._flat(p.std))
        if return_interval is not None:
            low, high = p.interval(return_interval)
            found.append((self._flat(low), self._flat(high)))
        return found[0] if len(found) == 1 else tuple(found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # It knows nothing of the data that it is fitted on.
        tags.regressor_tags.poor_score = True
        if isinstance(self.model, Model):
            several = any(n != 1 for n in self._output())
            tags.target_tags.multi_output = several
            tags.target_tags.single_output = not several
        return tags

    def _kind(self) -> str:
        return "regression"

    @staticmethod
    def _flat(values: Array) -> Array:
        width = prod(values.shape[1:])
        return values.reshape(len(values)) if width == 1 else values.reshape(len(values), width)


class MCDropoutClassifier(ClassifierMixin, _MCDropout):
    """A trained model of probabilities, sampled with dropout on, as a classifier of scikit-learn.

    **It is trained already: `fit` changes no weight**, and need not be called. It checks that the
    data fit the model, and takes down the names of the classes. So `cross_val_score` scores one and
    the same model on each part of the data, and says nothing of data that the model was trained on.

    Parameters
    ----------
    model : Model
        Of one input and one output, with dropout somewhere. An output of one number is the
        probability of the second class; one of several numbers those of the classes.
    samples, random_state, scope, threads
        As in `MCDropoutRegressor`.
    classes : array_like, shape (classes,), optional
        The names of the classes in the order of the model's outputs. If not given they are those
        in `fit`'s y, sorted, all of which must then occur there; without `fit` their numbers.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
        The names of the classes, in the order of the columns of `predict_proba`.
    n_features_in_, feature_names_in_
        As in `MCDropoutRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> from fastdrop.sklearn import MCDropoutClassifier
    >>> kernel = np.array([[4.0], [4.0]], np.float32)
    >>> layers = [
    ...     fd.layers.Dropout(name="drop", rate=0.5),
    ...     fd.layers.Dense(name="dense", kernel=kernel, activation="sigmoid"),
    ... ]
    >>> X = np.array([[1.0, 1.0], [-1.0, -1.0]])
    >>> classifier = MCDropoutClassifier(fd.Model(layers, (2,))).fit(X, ["yes", "no"])
    >>> classifier.predict(X).tolist(), classifier.predict_proba(X).shape
    (['yes', 'no'], (2, 2))
    """

    def __init__(
        self,
        model: Model,
        samples: int = 100,
        random_state: Any = 0,
        *,
        classes: Any = None,
        scope: str = "per_row",
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.samples = samples
        self.random_state = random_state
        self.classes = classes
        self.scope = scope
        self.threads = threads

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Check the data, and take down the classes. **No weight is changed: it is trained.**

        Parameters
        ----------
        X : array_like or DataFrame, shape (rows, features) or (rows, *input_shape)
            As in `MCDropoutRegressor.fit`.
        y : array_like, shape (rows,)
            Classes by name.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the model cannot be a classifier, or takes something else, or the classes are not as
            many as it tells apart.
        """
        self._check_model()
        x, y = validate_data(self, X, y, allow_nd=True, multi_output=True)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        self.model._inputs(self._shaped(x))
        count = 2 if self._kind() == "binary" else self._width()
        seen = np.unique(y)
        if self.classes is None:
            if len(seen) != count:
                raise ValueError(_other_classes(len(seen), count))
            self.classes_: Array = seen
            return self
        names = self._named(count)
        other = seen[~np.isin(seen, names)]
        if len(other):
            _check.refuse(ValueError, "y", f"none but the classes {names.tolist()}", other.tolist())
        self.classes_ = names
        return self

    def predict(
        self,
        X: Any,  # noqa: N803
        return_std: bool = False,
        return_interval: float | None = None,
    ) -> Any:
        """Predict the most probable class.

        Parameters
        ----------
        X : array_like or DataFrame, shape (rows, features) or (rows, *input_shape)
            As in `fit`.
        return_std : bool, optional
            Also return the standard deviation of that class's probability over the samples.
        return_interval : float, optional
            Also return the central interval that holds this share of the samples of it.

        Returns
        -------
        label : ndarray, shape (rows,)
            Of the type of `classes_`.
        std : ndarray of float64, shape (rows,)
            If asked for.
        (low, high) : pair of ndarray of float64, shape (rows,)
            If asked for; always the last.

        Raises
        ------
        TypeError, ValueError
            If X or a parameter is of the wrong type, shape or range.
        """
        _check.flag(return_std, "return_std")
        if return_interval is not None:
            _check.probability(return_interval, "return_interval")
        p = self.mc_predict(X)
        label = p.label.reshape(-1)
        if (label < 0).any():
            raise ValueError("X: expected rows of which the model makes probabilities, got NaN")
        found: list[Any] = [self._names()[label]]
        if return_std:
            found.append(self._of(label, p.std))
        if return_interval is not None:
            low, high = (self._of(label, bound) for bound in p.interval(return_interval))
            if p.kind == "binary":  # the interval of what remains is the other way round
                first = label == 0
                low, high = np.where(first, 1 - high, low), np.where(first, 1 - low, high)
            found.append((low, high))
        return found[0] if len(found) == 1 else tuple(found)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Predict the mean of the samples' probabilities.

        Parameters
        ----------
        X : array_like or DataFrame, shape (rows, features) or (rows, *input_shape)
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (rows, classes)
            In the order of `classes_`. Those of a row are 1 together, in float64.

        Raises
        ------
        TypeError, ValueError
            If X or a parameter is of the wrong type, shape or range.
        """
        p = self.mc_predict(X)
        mean = p.probabilities.reshape(len(p.mean), -1)
        if p.kind == "binary":
            return np.hstack([1 - mean, mean])
        total: NDArray[np.float64] = mean.sum(axis=1, keepdims=True)  # off 1 by float32's places
        return mean / total

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # It knows nothing of the data that it is fitted on.
        tags.classifier_tags.poor_score = True
        if isinstance(self.model, Model):
            tags.classifier_tags.multi_class = self._width() != 1
        return tags

    def _check_model(self) -> None:
        super()._check_model()
        output, kind = self._output(), self._kind()
        if len(output) > 1 or None in output or (kind == "binary") != (self._width() == 1):
            expected = "a model that puts out one probability, or one for each class of a row"
            _check.refuse(ValueError, "model", expected, self.model)

    def _names(self) -> Array:
        """Return the names of the classes: those of `fit`, those given, or their numbers."""
        if hasattr(self, "classes_"):
            found: Array = self.classes_
            return found
        count = 2 if self._kind() == "binary" else self._width()
        return np.arange(count) if self.classes is None else self._named(count)

    def _named(self, count: int) -> Array:
        """Check the names that were given."""
        names: Array = column_or_1d(self.classes)
        if len(names) != count or len(np.unique(names)) != count:
            expected = f"{count} different classes, as the model has"
            _check.refuse(ValueError, "classes", expected, self.classes)
        return names

    def _width(self) -> int:
        return prod(n or 0 for n in self._output())

    def _kind(self) -> str:
        """Return what the output is: by what it comes from, or else by how many numbers it has."""
        meaning: str = self.model.graph.meanings[0]
        by_width = "binary" if self._width() == 1 else "multiclass"
        return by_width if meaning == "regression" else meaning

    @staticmethod
    def _of(label: Array, values: Array) -> Array:
        """Return what belongs to a label of each row."""
        rows = values.reshape(len(values), -1)
        return rows[:, 0] if rows.shape[1] == 1 else rows[np.arange(len(rows)), label]


def _other_classes(seen: int, count: int) -> str:
    """Say that y has other classes than the model, in the words that scikit-learn looks for."""
    if count == 2 and seen > 2:
        return (
            "y: expected 2 classes, as the model has. Only binary classification is supported. "
            f"The type of the target is multiclass: got {seen} classes"
        )
    return (
        f"y: expected {count} classes, as the model has (if some do not occur in y, classes= names "
        f"all of them), got {seen} class{'es' * (seen != 1)}"
    )

"""What is folded of an output while it is sampled: which statistics, and of which values."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.family import gaussian_noise
from fastdrop.feedforward import activate
from fastdrop.random import Key
from fastdrop.uncertainty._quantiles import QuantileSketch
from fastdrop.uncertainty._statistics import (
    Covariance,
    ExpectedEntropy,
    Fold,
    FourthMoments,
    Moments,
    PerRow,
    Samples,
    Statistic,
    Votes,
)

Array = NDArray[Any]
Statistics = dict[str, Statistic]

KINDS: tuple[str, ...] = get_args(_check.Kind)[1:]  # but "auto"
LIKELIHOODS: tuple[str, ...] = get_args(_check.Likelihood)
# How an output says the standard deviation of a normal distribution.
SCALES: dict[str, Callable[[Array], Array]] = {
    "log_variance": lambda v: np.exp(v / 2),
    "log_std": np.exp,
    "softplus": lambda v: activate(v, "softplus"),
    "std": lambda v: v,
}
# What mc_predict(folds=...) knows by name, and what a fold of the user's is called inside.
NAMED = ("covariance",)
OWN = "fold "
# By how much probabilities may be off 1 together.
_OFF = 1e-3


@dataclass
class Folding:
    """How the samples of one output become statistics of rows.

    Parameters
    ----------
    kind : str
        What the numbers mean: one of `KINDS`.
    shape : tuple of int
        Of a row of what comes in.
    expected : int
        How many samples there will be, at most.
    checked : bool
        Whether it is known that they are what `kind` says.
    scale : str, optional
        The last axis is means and then as many scales of normal distributions, of this kind.
    key : Key, optional
        The key of what is drawn from these.
    transform : callable, optional
        Is given values (samples, rows, *shape); what it returns is folded.
    """

    kind: str
    shape: tuple[int, ...]
    expected: int
    checked: bool = True
    keep: bool = False
    covariance: bool = False
    fourth: bool = False
    folds: Mapping[str, Callable[[], Fold]] = field(default_factory=dict)
    transform: Callable[..., Any] | None = None
    scale: str | None = None
    key: Key | None = None
    # Of what is folded.
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    _transformed: tuple[int, ...] | None = None
    # How many the function takes.
    _arguments: int = 0

    def __post_init__(self) -> None:
        if self.transform is not None:
            self._arguments = arguments(self.transform, "transform")
        if self.scale is not None:
            *lead, last = self.shape or (1,)
            if last % 2:
                expected = "an output whose last axis is means and then as many scales"
                _check.refuse(ValueError, "likelihood", expected, self.shape)
            self.shape = (*lead, last // 2)
        if self.kind == "multiclass" and self.transform is None:
            self._check_classes(self.shape)

    @property
    def folded_shape(self) -> tuple[int, ...]:
        """The shape of a row of what is folded; with a transform known after the first values."""
        return self.shape if self._transformed is None else self._transformed

    def start(self, rows: int) -> Statistics:
        """Return statistics of so many rows that have taken nothing yet."""
        shape = self.folded_shape
        outputs = int(np.prod(shape))
        width = rows * outputs
        found: Statistics = {
            "moments": Moments(width, self.dtype),
            "quantiles": QuantileSketch(width, self.expected, self.dtype),
        }
        if self.kind != "regression":
            classes = shape[-1] if self.kind == "multiclass" else 1
            found["entropies"] = ExpectedEntropy(width, self.kind, classes)
            found["votes"] = Votes(width, self.kind, classes)
        if self.scale is not None:
            found["means"] = Moments(width, self.dtype)
            if self.transform is None:
                found["variances"] = Moments(width)
        if self.covariance:
            found["covariance"] = Covariance(width, outputs)
        if self.fourth:
            found["fourth"] = FourthMoments(width)
        if self.keep:
            found["samples"] = Samples(width, self.dtype)
        for name, make in self.folds.items():
            found[OWN + name] = PerRow(rows, make)
        return found

    def add(
        self,
        to: Statistics | None,
        values: Array,
        first_sample: int,
        first_row: int,
        offset: int = 0,
    ) -> Statistics:
        """Fold the next samples (samples, rows, ...) of some rows, and return their statistics.

        The first of the rows has the number `first_row` in the whole data set, whose row `offset`
        is the first one of the call.
        """
        rows = np.arange(first_row - offset, first_row - offset + values.shape[1])
        apart: dict[str, Array] = {}
        if self.scale is not None:
            mean, scale = np.split(values, 2, axis=-1)
            if self.scale == "std" and (scale < 0).any():
                found = scale[scale < 0].flat[0]
                _check.refuse(
                    ValueError, "scale", "an output of standard deviations >= 0 for 'std'", found
                )
            with np.errstate(all="ignore"):
                std = SCALES[self.scale](scale.astype(np.float64))
                drawn = mean + std * self._normals(mean.shape, first_sample, first_row)
                apart = {"means": self.transformed(mean, rows), "variances": np.square(std)}
            values = drawn.astype(values.dtype)
        values = self.transformed(values, rows)
        self._check_kind(values)
        if to is None:
            to = self.start(values.shape[1])
        for name, statistic in to.items():
            given = apart.get(name, values)
            statistic.add(given.reshape(len(given), -1))
        return to

    def transformed(self, values: Array, rows: Array) -> Array:
        """Return what the user's function makes of samples (samples, rows, ...) of some rows."""
        if self.transform is None:
            return values
        # A copy, for they may be those of other outputs too, and it may write into them.
        given = (values.copy(), rows)[: self._arguments]
        found = np.asarray(self.transform(*given))
        if found.dtype.kind not in "fiub":
            _check.refuse(TypeError, "transform", "real numbers to be returned", found)
        shape = self._transformed
        as_before = shape is None or found.shape[2:] == shape
        if found.ndim < 2 or found.shape[:2] != values.shape[:2] or not as_before:
            rest = "..." if shape is None else ", ".join(map(str, shape))
            expected = f"an array of shape ({values.shape[0]}, {values.shape[1]}, {rest}) returned"
            _check.refuse(ValueError, "transform", expected, found)
        dtype = np.dtype(np.float32 if found.dtype == np.float32 else np.float64)
        if shape is None:
            self._transformed, self.dtype = found.shape[2:], dtype
        elif dtype.itemsize > self.dtype.itemsize:
            _check.refuse(TypeError, "transform", "float32 to be returned, as before", found)
        # A copy, for the function may have kept the array.
        return found.astype(self.dtype)

    def _check_kind(self, values: Array) -> None:
        """Refuse what are no probabilities where these are said to come."""
        if self.checked or self.kind == "regression":
            return
        if self.kind == "multiclass":
            self._check_classes(values.shape[2:])
        name = f"kind={self.kind!r}"
        with np.errstate(invalid="ignore"):
            if (values < 0).any() or (values > 1 + _OFF).any():
                worst = values[(values < 0) | (values > 1 + _OFF)][0]
                _check.refuse(ValueError, name, "probabilities in [0, 1]", float(worst))
            if self.kind == "multiclass":
                total = values.sum(axis=-1)
                if (abs(total - 1) > _OFF).any():
                    worst = total[abs(total - 1) > _OFF][0]
                    _check.refuse(ValueError, name, "probabilities that add to 1", float(worst))

    def _check_classes(self, shape: tuple[int, ...]) -> None:
        if not shape or not shape[-1]:
            _check.refuse(ValueError, "kind", "an axis of classes for 'multiclass'", shape)

    def _normals(self, shape: tuple[int, ...], first_sample: int, first_row: int) -> Array:
        """Return normal numbers (samples, rows, ...): the contract's, a stream a sample."""
        assert self.key is not None
        width = int(np.prod(shape[2:]))
        zeros = np.zeros(shape[1:])
        each = [
            gaussian_noise(
                zeros, 1.0, rng=self.key, stream=first_sample + m, offset=first_row * width
            )
            for m in range(shape[0])
        ]
        return np.stack(each)


def arguments(function: Callable[..., Any], name: str) -> int:
    """Return with how many arguments a function is called: as few as it has to be given.

    So a second parameter that has a default, which many functions have, is left alone. Not all
    functions tell; these are given one.
    """
    if not callable(function):
        _check.refuse(TypeError, name, "a callable", function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return 1
    for count in (1, 2):
        with suppress(TypeError):
            signature.bind(*[None] * count)
            return count
    return _check.refuse(TypeError, name, "a callable of one or two arguments", function)


@dataclass(frozen=True)
class Wanted:
    """What a call asks to be folded, whatever the output."""

    kind: str
    folds: Mapping[str, Callable[[], Fold]]
    named: frozenset[str]
    transform: Callable[..., Any] | None
    keep: bool

    @classmethod
    def checked(cls, kind: object, folds: object, transform: Any, keep_samples: object) -> Self:
        """Check the arguments of these names."""
        found = _check.choice(kind, "kind", ("auto", *KINDS))
        makers, named = own_folds(folds)
        if transform is not None:
            arguments(transform, "transform")
        keep = _check.flag(keep_samples, "keep_samples")
        return cls(found, makers, frozenset(named), transform, keep)

    def folding(self, meaning: str, shape: tuple[int, ...], expected: int, **more: Any) -> Folding:
        """Return how an output is folded that is what its activation makes it."""
        kind = self.kind
        if kind == "auto":
            plain = self.transform is None and more.get("scale") is None
            kind = meaning if plain else "regression"
        return Folding(
            kind,
            shape,
            expected,
            checked=self.kind in ("auto", meaning) and self.transform is None,
            keep=self.keep,
            covariance="covariance" in self.named,
            folds=self.folds,
            transform=self.transform,
            **more,
        )


def own_folds(value: object) -> tuple[dict[str, Callable[[], Fold]], set[str]]:
    """Return the user's folds, as functions that make one, and those that are known by name."""
    makers: dict[str, Callable[[], Fold]] = {}
    named: set[str] = set()
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        _check.refuse(TypeError, "folds", "a sequence of folds, or a dict of such by name", value)
    items = value.items() if isinstance(value, Mapping) else [(None, fold) for fold in value]
    for name, fold in items:
        if isinstance(fold, str):
            named.add(_check.choice(fold, "folds", NAMED))
            continue
        if isinstance(fold, type):
            fold = fold()
        if not isinstance(fold, Fold):
            _check.refuse(TypeError, "folds", "objects with add, merge and result", fold)
        label = type(fold).__name__ if name is None else _check.text(name, "folds")
        if label in NAMED:
            expected = f"another name than {_check.words([*NAMED])} for a fold of your own"
            _check.refuse(ValueError, "folds", expected, fold)
        if label in makers:
            _check.refuse(ValueError, "folds", "folds of different names, or a dict", label)
        makers[label] = partial(deepcopy, fold)
    return makers, named

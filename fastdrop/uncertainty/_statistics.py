"""What is folded while samples are drawn: small objects that take values and give a statistic.

All take ``add(values)`` with values (samples, width): the next samples of `width` streams side by
side, which are the outputs of some rows. Streams never see each other, but for those of a row in
statistics of a row. Values are taken one sample after another, so a result does not depend on how
they were grouped in calls. ``merge(other)`` takes what another one has seen of the same streams,
and ``result()`` is the statistic.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend
from fastdrop._fallback import added_in_turn

Array = NDArray[Any]


@runtime_checkable
class Fold(Protocol):
    """What ``mc_predict(folds=...)`` takes: a statistic of the samples of one row.

    It is copied for each row, so all that it knows must be its own.
    """

    def add(self, values: Array) -> None:
        """Take the next samples of the row, (samples, width): all its outputs in C order."""
        ...

    def merge(self, other: Any) -> None:
        """Take what another one has seen of other samples of the same row."""
        ...

    def result(self) -> Any:
        """Return the statistic, an array or a number of the same shape for every row."""
        ...


class Statistic:
    """A fold of many rows side by side, from which some can be taken, or to which others be put.

    `state_fields` name the arrays that it keeps, all of them with streams, or what belongs to
    them, along the last axis.
    """

    count: int = 0
    state_fields: ClassVar[tuple[str, ...]] = ()

    def add(self, values: Array) -> None:
        raise NotImplementedError

    def merge(self, other: Self) -> None:
        raise NotImplementedError

    def result(self) -> Array:
        raise NotImplementedError

    def arrays(self) -> dict[str, Array]:
        """Return what it keeps."""
        return {field: getattr(self, field) for field in self.state_fields}

    def with_arrays(self, arrays: Mapping[str, Array]) -> Self:
        """Return one of the same count that keeps other arrays."""
        changed = copy(self)
        for field in self.state_fields:
            setattr(changed, field, arrays[field])
        return changed

    def scalars(self) -> dict[str, int]:
        """Return the numbers that it has besides; those of two must be equal to be joined."""
        return {"count": self.count}

    def with_scalars(self, scalars: Mapping[str, int]) -> Self:
        """Return one of the same arrays with other numbers."""
        changed = copy(self)
        changed.count = scalars["count"]
        return changed

    def take(self, rows: NDArray[np.intp], of: int) -> Self:
        """Return a copy that knows some rows only, of so many."""

        def some(array: Array) -> Array:
            *lead, width = array.shape
            taken = array.reshape(*lead, of, width // max(of, 1))[..., rows, :]  # a copy
            return taken.reshape(*lead, taken.shape[-2] * taken.shape[-1])

        return self.with_arrays({name: some(array) for name, array in self.arrays().items()})

    def joined(self, others: Sequence[Self]) -> Self:
        """Return one of the rows of this one and of others, which have the same numbers."""
        every = [self, *others]
        names = self.arrays()
        return self.with_arrays(
            {name: np.concatenate([s.arrays()[name] for s in every], axis=-1) for name in names}
        )


class Moments(Statistic):
    """Mean and variance of many streams side by side.

    Sums of distances, and of their squares, from the first value of a stream (Chan, Golub and
    LeVeque, The American Statistician 37, 1983). That is one of the values, so of n values their
    sum of squares is at most about n times what is taken off it: rounding is at most n times that
    of two passes.
    """

    state_fields: ClassVar[tuple[str, ...]] = ("_origin", "_sum", "_squares", "_others")

    def __init__(self, width: int, dtype: Any = np.float64) -> None:
        """Take values of a type, in which a first value is kept."""
        self._origin = np.zeros(width, dtype)
        self._sum = np.zeros(width)
        self._squares = np.zeros(width)
        # Of the values that are infinite or NaN: 0 where there is none. Two bytes say which.
        self._others = np.zeros(width, np.float16)

    def add(self, values: Array) -> None:
        if not len(values):
            return
        with np.errstate(all="ignore"):
            if not self.count:
                first = np.where(np.isfinite(values[0]), values[0], 0)
                self._origin = first.astype(self._origin.dtype)
            dtype = values.dtype if values.dtype == self._origin.dtype else np.float64
            given = np.ascontiguousarray(values, dtype)
            origin = self._origin.astype(dtype, copy=False)
            _backend.active.moments(self._sum, self._squares, origin, given)
            # A sum that is no number stays so, and is none only if a value is.
            if not np.isfinite(self._sum).all():
                others = np.where(np.isfinite(values), 0, values).sum(axis=0)
                self._others += others.astype(np.float16)
        self.count += len(values)

    def merge(self, other: Self) -> None:
        if not other.count:
            return
        if not self.count:
            self._origin = other._origin.copy()
        with np.errstate(all="ignore"):
            away = other._origin.astype(np.float64) - self._origin
            self._squares += other._squares + away * (2 * other._sum + other.count * away)
            self._sum += other._sum + other.count * away
            self._others += other._others
        self.count += other.count

    @property
    def mean(self) -> NDArray[np.float64]:
        if not self.count:
            return np.full_like(self._sum, np.nan)
        with np.errstate(all="ignore"):
            mean = self._origin + self._sum / self.count
        return np.where(self._others == 0, mean, self._others)

    def variance(self) -> NDArray[np.float64]:
        """Return that of a sample, with count - 1 in the denominator."""
        if self.count < 2:
            return np.full_like(self._sum, np.nan)
        with np.errstate(all="ignore"):
            found = self._squares - self._sum * (self._sum / self.count)
            # Not below 0 by rounding; NaN stays.
            return np.where(found < 0, 0, found) / (self.count - 1)

    def std(self) -> NDArray[np.float64]:
        return np.sqrt(self.variance())

    def result(self) -> Array:
        """Return mean and variance, (2, width)."""
        return np.stack([self.mean, self.variance()])


class FourthMoments(Statistic):
    """Central moments up to the fourth, by which the error of a deviation is known.

    Pebay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
    statistical moments", SAND2008-6212, 2008.
    """

    state_fields: ClassVar[tuple[str, ...]] = ("_mean", "_second", "_third", "_fourth")

    def __init__(self, width: int) -> None:
        self._mean, self._second = np.zeros(width), np.zeros(width)
        self._third, self._fourth = np.zeros(width), np.zeros(width)

    def add(self, values: Array) -> None:
        with np.errstate(all="ignore"):
            for value in values.astype(np.float64):
                self._take(1, value, 0.0, 0.0, 0.0)

    def merge(self, other: Self) -> None:
        if other.count:
            with np.errstate(all="ignore"):
                self._take(other.count, other._mean, other._second, other._third, other._fourth)

    def _take(self, n: int, mean: Array, second: Any, third: Any, fourth: Any) -> None:
        """Take n values of these central moments, which are sums."""
        a, total = self.count, self.count + n
        delta = mean - self._mean
        step = delta / total
        square = step * step
        product = delta * step * (a * n)
        self._fourth += (
            fourth
            + product * square * (a * a - a * n + n * n)
            + 6 * square * (a * a * second + n * n * self._second)
            + 4 * step * (a * third - n * self._third)
        )
        self._third += third + product * step * (a - n) + 3 * step * (a * second - n * self._second)
        self._second += second + product
        self._mean += step * n
        self.count = total

    def error_of_std(self) -> NDArray[np.float64]:
        """Return the standard error of the standard deviation, relative to it.

        0 where all values are equal. By the delta method from the variance of a sample variance,
        ``(m4 - (n - 3) / (n - 1) s**4) / n``.
        """
        n = self.count
        if n < 2:
            return np.full_like(self._mean, np.nan)
        with np.errstate(all="ignore"):
            variance = self._second / (n - 1)
            fourth = self._fourth / n
            spread = np.sqrt(np.maximum(fourth / variance**2 - (n - 3) / (n - 1), 0) / n)
        return np.where(self._second == 0, 0, spread / 2)

    def result(self) -> Array:
        """Return mean and the sums of powers two to four of what is off it, (4, width)."""
        return np.stack([self._mean, self._second, self._third, self._fourth])


def entropy(probabilities: Array, kind: str) -> NDArray[np.float64]:
    """Return the entropy of distributions, in nats: 0 where an outcome is certain.

    Over the classes of the last axis, or for "binary" of each probability and the one that remains.
    """
    p = probabilities.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        if kind == "binary":
            rest = np.maximum(1 - p, 0)
            found = p * _logarithm(p) + rest * _logarithm(rest)
        else:
            found = np.einsum("...c,...c->...", p, _logarithm(p))
        # A probability that is rounded up to more than 1 has a negative part.
        return np.maximum(0 - found, 0)


def _logarithm(p: Array) -> NDArray[np.float64]:
    """Return log p, and 0 at 0."""
    found = np.log(p)
    found[p == 0] = 0
    return found


def _by_class(values: Array, classes: int) -> Array:
    """Return samples (samples, width) with an axis of classes."""
    return values.reshape(len(values), values.shape[1] // classes, classes)


class ExpectedEntropy(Statistic):
    """The mean of the samples' own entropies, in nats."""

    state_fields: ClassVar[tuple[str, ...]] = ("_origin", "_sum")

    def __init__(self, width: int, kind: str, classes: int) -> None:
        self._kind, self._classes = kind, classes
        # The first one, so that the mean of equal numbers is their number.
        self._origin = np.zeros(width // classes)
        self._sum = np.zeros(width // classes)

    def add(self, values: Array) -> None:
        if self._kind == "multiclass":
            values = _by_class(values, self._classes)
        found = entropy(values, self._kind)
        if not len(found):
            return
        if not self.count:
            self._origin = found[0].copy()
        self._sum = added_in_turn(self._sum, found - self._origin)
        self.count += len(found)

    def merge(self, other: Self) -> None:
        if not other.count:
            return
        if not self.count:
            self._origin = other._origin.copy()
        self._sum += other._sum + other.count * (other._origin - self._origin)
        self.count += other.count

    def result(self) -> Array:
        return self._origin + self._sum / self.count


class Votes(Statistic):
    """How many samples say which class; of equally probable classes the first."""

    state_fields: ClassVar[tuple[str, ...]] = ("_votes",)

    def __init__(self, width: int, kind: str, classes: int) -> None:
        self._kind, self._classes = kind, 2 if kind == "binary" else classes
        groups = width if kind == "binary" else width // classes
        self._votes = np.zeros(groups * self._classes, np.int64)

    def add(self, values: Array) -> None:
        if self._kind == "binary":
            said = (values > 0.5).astype(np.intp)
        else:
            shaped = _by_class(values, self._classes)
            said = shaped.argmax(axis=-1)
        said += self._classes * np.arange(said.shape[1])
        self._votes += np.bincount(said.reshape(-1), minlength=len(self._votes))
        self.count += len(values)

    def merge(self, other: Self) -> None:
        self._votes += other._votes
        self.count += other.count

    def result(self) -> Array:
        """Return the votes of each class, (width / classes, classes)."""
        return self._votes.reshape(-1, self._classes)


class Covariance(Statistic):
    """Covariances of the outputs of a row with each other, count - 1 in the denominator."""

    state_fields: ClassVar[tuple[str, ...]] = ("_mean", "_products")

    def __init__(self, width: int, outputs: int) -> None:
        self._outputs = outputs
        self._mean = np.zeros(width)
        self._products = np.zeros(width * outputs)

    def add(self, values: Array) -> None:
        with np.errstate(all="ignore"):
            for value in values.astype(np.float64):
                self.count += 1
                delta = value - self._mean
                self._mean += delta / self.count
                self._products += self._squared(delta) * ((self.count - 1) / self.count)

    def merge(self, other: Self) -> None:
        total = self.count + other.count
        if not other.count:
            return
        with np.errstate(all="ignore"):
            delta = other._mean - self._mean
            self._mean += delta * (other.count / total)
            self._products += other._products
            self._products += self._squared(delta) * (self.count * other.count / total)
        self.count = total

    def _squared(self, delta: Array) -> Array:
        each = delta.reshape(-1, self._outputs)
        return (each[:, :, np.newaxis] * each[:, np.newaxis, :]).reshape(-1)

    def result(self) -> Array:
        """Return a matrix a row, (rows, outputs, outputs)."""
        found = self._products.reshape(-1, self._outputs, self._outputs)
        if self.count < 2:
            return np.full_like(found, np.nan)
        return found / (self.count - 1)


class Samples(Statistic):
    """The values themselves."""

    def __init__(self, width: int, dtype: np.dtype[Any]) -> None:
        self._parts: list[Array] = []
        self._width, self._dtype = width, dtype

    def add(self, values: Array) -> None:
        self._parts.append(values.astype(self._dtype))
        self.count += len(values)

    def merge(self, other: Self) -> None:
        self._parts += other._parts
        self.count += other.count

    def arrays(self) -> dict[str, Array]:
        return {"values": self.result()}

    def with_arrays(self, arrays: Mapping[str, Array]) -> Self:
        changed = copy(self)
        changed._parts = [arrays["values"]]
        changed._width = arrays["values"].shape[1]
        return changed

    def result(self) -> Array:
        """Return all values, (count, width)."""
        if len(self._parts) != 1:
            empty = np.empty((0, self._width), self._dtype)
            self._parts = [np.concatenate([empty, *self._parts])]
        return self._parts[0]


class PerRow(Statistic):
    """A user's fold, one for each row."""

    def __init__(self, rows: int, make: Callable[[], Fold]) -> None:
        self._folds = [make() for _ in range(rows)]

    def add(self, values: Array) -> None:
        if self._folds:
            each = values.reshape(len(values), len(self._folds), -1)
            for number, fold in enumerate(self._folds):
                fold.add(each[:, number].copy())  # it may keep them, or write into them
        self.count += len(values)

    def merge(self, other: Self) -> None:
        for fold, theirs in zip(self._folds, other._folds, strict=True):
            fold.merge(theirs)
        self.count += other.count

    def take(self, rows: NDArray[np.intp], of: int) -> Self:
        changed = copy(self)
        changed._folds = [deepcopy(self._folds[number]) for number in rows]
        return changed

    def joined(self, others: Sequence[Self]) -> Self:
        changed = copy(self)
        changed._folds = [fold for each in (self, *others) for fold in each._folds]
        return changed

    def results(self) -> list[Array]:
        """Return what the folds say, one row after another."""
        return [np.asarray(fold.result()) for fold in self._folds]

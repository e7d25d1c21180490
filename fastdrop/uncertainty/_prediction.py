"""What Monte-Carlo samples of an output say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _check
from fastdrop.uncertainty import _plots, _tables
from fastdrop.uncertainty._folding import KINDS, OWN, Statistics, Wanted
from fastdrop.uncertainty._quantiles import QuantileSketch
from fastdrop.uncertainty._statistics import PerRow, Statistic, entropy

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

Array = NDArray[Any]
Made = TypeVar("Made")
# Which samples there are: of which source (the words of a key), from one number up to another.
Span = tuple[tuple[int, ...] | None, int, int]


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a prediction, all of which have taken equally many samples."""

    rows: NDArray[np.intp]
    spans: tuple[Span, ...]
    statistics: Statistics

    @property
    def count(self) -> int:
        return self.statistics["moments"].count

    def take(self, places: NDArray[np.intp]) -> Part:
        """Return some of the rows, by their places here."""
        of = len(self.rows)
        taken = {name: s.take(places, of) for name, s in self.statistics.items()}
        return Part(self.rows[places], self.spans, taken)


class Prediction:
    """What Monte-Carlo samples of a model's output say.

    `Model.mc_predict` makes it, and `from_samples`. It is never changed.

    Attributes
    ----------
    kind : {"regression", "binary", "multiclass"}
        What an output is: a number, the probability of an event, or along the last axis those of
        classes.
    mean, std, var : ndarray of float64, shape (rows, *output axes)
        Mean, standard deviation and variance over the samples (with n_samples - 1 in the
        denominator; NaN for a single sample, and where samples are infinite). With a likelihood
        they are those of what is predicted: its own noise is in them.
    n_samples : int, or ndarray of int, shape (rows,)
        How many samples were drawn; of each row where rows may have stopped by themselves.
    samples : ndarray or None, shape (n_samples, rows, *output axes)
        The samples themselves, where ``keep_samples=True`` asked for them. Where rows have
        different numbers of them, those with fewer end in NaN.
    folds : dict of str to ndarray, shapes (rows, ...)
        What the folds say that ``folds=`` asked for.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> samples = np.array([[[0.9, 0.1]], [[0.5, 0.5]]])  # two samples of a row with two classes
    >>> p = fd.Prediction.from_samples(samples, kind="multiclass")
    >>> p.mean, p.label
    (array([[0.7, 0.3]]), array([0]))
    >>> bool(p.mutual_information[0] > 0)
    True
    """

    def __init__(
        self,
        kind: str,
        shape: tuple[int, ...],
        rows: int,
        parts: Sequence[Part],
        *,
        row_offset: int = 0,
        each: bool = False,
        transformed: bool = False,
    ) -> None:
        self._kind, self._shape, self._rows = kind, shape, rows
        self._parts = tuple(parts)
        self._row_offset, self._transformed = row_offset, transformed
        self._each = each or len({part.count for part in parts}) > 1 or self._missing()
        self._made: dict[str, Any] = {}

    @classmethod
    def from_samples(
        cls,
        samples: ArrayLike,
        kind: str = "regression",
        *,
        folds: Sequence[Any] | Mapping[str, Any] = (),
        row_offset: int = 0,
        keep_samples: bool = True,
    ) -> Self:
        """Make a prediction of samples that are there.

        Parameters
        ----------
        samples : array_like, shape (n_samples, rows, *output axes)
            Real numbers.
        kind : {"regression", "binary", "multiclass"}, optional
            What they are; probabilities are along the last axis for "multiclass".
        folds : sequence or mapping, optional
            As in `Model.mc_predict`.
        row_offset : int, optional
            The number of the first row in the whole data set, by which `merge` knows it.
        keep_samples : bool, optional
            Whether `samples` is kept.

        Returns
        -------
        Prediction

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, or something else than `kind` says.
        """
        array = _check.array(samples, "samples", (*_check.NUMBERS, "bool"))
        if array.ndim < 2 or not len(array):
            expected = "an array of shape (n_samples, rows, ...) with a sample or more"
            _check.refuse(ValueError, "samples", expected, array)
        _check.choice(kind, "kind", KINDS)
        wanted = Wanted.checked(kind, folds, None, keep_samples)
        dtype = np.dtype(np.float32 if array.dtype in ("float16", "float32") else np.float64)
        folding = wanted.folding("", array.shape[2:], len(array), dtype=dtype)
        rows = array.shape[1]
        statistics = folding.add(None, array.astype(folding.dtype, copy=False), 0, 0)
        part = Part(np.arange(rows), ((None, 0, len(array)),), statistics)
        first = _check.integer(row_offset, "row_offset", 0, 1 << 62)
        return cls(kind, array.shape[2:], rows, [part], row_offset=first)

    # ---- statistics ----

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def mean(self) -> NDArray[np.float64]:
        means = "means" if self._has("means") and not self._transformed else "moments"
        return self._kept("mean", lambda: self._gathered(means, lambda s: s.mean))

    @property
    def var(self) -> NDArray[np.float64]:
        def made() -> Array:
            if not self._has("variances"):
                return self._gathered("moments", lambda s: s.variance())
            with np.errstate(all="ignore"):
                return self.epistemic**2 + self.aleatoric**2

        return self._kept("var", made)

    @property
    def std(self) -> NDArray[np.float64]:
        return self._kept("std", lambda: np.sqrt(self.var))

    @property
    def epistemic(self) -> NDArray[np.float64]:
        """Standard deviation of what the model says over its samples: what more data would mend.

        Shaped like `mean`. Without a likelihood that is all of `std`.
        """
        name = "means" if self._has("means") else "moments"
        return self._kept("epistemic", lambda: self._gathered(name, lambda s: s.std()))

    @property
    def aleatoric(self) -> NDArray[np.float64]:
        """Standard deviation of the noise that the model itself predicts, shaped like `mean`.

        The root of the mean of its variances; after a `transform` the root of what `var` has more
        than `epistemic` squared. ``var = epistemic**2 + aleatoric**2`` (Kendall and Gal, NIPS
        2017).

        Raises
        ------
        ValueError
            If the prediction was made without a likelihood.
        """
        if not self._has("means"):
            more = " (of classes, expected_entropy is the noise)" * (self.kind != "regression")
            raise ValueError(
                f"aleatoric: expected a prediction made with likelihood='normal'{more}"
            )

        def made() -> Array:
            with np.errstate(all="ignore"):
                if self._has("variances"):
                    return np.sqrt(self._gathered("variances", lambda s: s.mean))
                return np.sqrt(np.maximum(self.var - self.epistemic**2, 0))

        return self._kept("aleatoric", made)

    @property
    def n_samples(self) -> Any:
        if not self._each:
            return self._parts[0].count
        counts = np.zeros(self._rows, np.intp)
        for part in self._parts:
            counts[part.rows] = part.count
        return counts

    @property
    def samples(self) -> Array | None:
        if not self._has("samples"):
            return None

        def made() -> Array:
            most = max((part.count for part in self._parts), default=0)
            dtype = self._parts[0].statistics["samples"].result().dtype
            found = np.full((most, self._rows, *self._shape), np.nan, dtype)
            for part in self._parts:
                values = part.statistics["samples"].result()
                found[: len(values), part.rows] = values.reshape(
                    len(values), len(part.rows), *self._shape
                )
            return found

        return self._kept("samples", made)

    @property
    def folds(self) -> dict[str, Array]:
        names = [name for name in self._names() if name.startswith(OWN)]
        found = {n.removeprefix(OWN): self._kept(n, partial(self._own, n)) for n in names}
        return found | ({"covariance": self.covariance} if self._has("covariance") else {})

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariances of the outputs of a row, (rows, outputs, outputs), outputs in C order.

        Raises
        ------
        ValueError
            If ``folds=["covariance"]`` did not ask for them.
        """
        if not self._has("covariance"):
            raise ValueError("covariance: expected a prediction made with folds=['covariance']")
        outputs = int(np.prod(self._shape))
        return self._kept(
            "covariance",
            lambda: self._gathered("covariance", lambda s: s.result(), (outputs, outputs)),
        )

    def quantile(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return empirical quantiles of the samples.

        Parameters
        ----------
        q : float or array_like of float
            Probabilities in [0, 1].

        Returns
        -------
        ndarray of float64, shape q.shape + mean.shape
            Interpolated linearly, as ``numpy.quantile`` does, infinite samples included.
            Exact for up to 1,024 samples; beyond that the rank is off by at most
            log2(n_samples / 1024) / 2048 of the samples, 0.2 % at 10,000. NaN where a sample is.

        Raises
        ------
        TypeError, ValueError
            If `q` is not made of real numbers in [0, 1].

        Examples
        --------
        ``p.quantile([0.05, 0.95])`` is the central 90 % interval.
        """
        probabilities = _check.probabilities(q, "q")
        flat = probabilities.reshape(-1)
        found = np.full((len(flat), self._rows, *self._shape), np.nan)
        for part in self._parts:
            sketch = part.statistics["quantiles"]
            assert isinstance(sketch, QuantileSketch)
            found[:, part.rows] = sketch.quantile(flat).reshape(
                len(flat), len(part.rows), *self._shape
            )
        return found.reshape(probabilities.shape + self.mean.shape)

    def interval(self, level: float = 0.9) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the central interval that holds a share of the samples.

        It says how far the model disagrees with itself, and is not calibrated: it seldom holds
        `level` of what happens. `fastdrop.calibration` makes one that does.

        Parameters
        ----------
        level : float, optional
            The share, in [0, 1].

        Returns
        -------
        low, high : ndarray of float64, shaped like `mean`
            The quantiles (1 - level) / 2 and (1 + level) / 2.

        Raises
        ------
        TypeError, ValueError
            If `level` is no real number in [0, 1].
        """
        level = _check.probability(level, "level")
        tail = round((1 - level) / 2, 12)  # 0.05 for 0.9, as one writes it
        low, high = self.quantile([tail, round(1 - tail, 12)])
        return low, high

    # ---- classes ----

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Mean probabilities, which is `mean` by another name.

        This and what follows are for classes: they raise ValueError where `kind` is "regression".
        """
        self._needs_classes("probabilities")
        return self.mean

    @property
    def label(self) -> NDArray[np.intp]:
        """The most probable class; of "binary" 1 where the event is more probable than not.

        Shape (rows, ...) without the axis of classes. -1 where there is no probability.
        """
        self._needs_classes("label")
        p = self.mean
        if self.kind == "binary":
            found = (p > 0.5).astype(np.intp)
            return np.where(np.isnan(p), -1, found)
        return np.where(np.isnan(p).any(axis=-1), -1, p.argmax(axis=-1))

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy of `probabilities`, in nats, shaped like `label`: how unsure all in all."""
        self._needs_classes("entropy")
        return self._kept("entropy", lambda: entropy(self.mean, self.kind))

    @property
    def expected_entropy(self) -> NDArray[np.float64]:
        """Mean entropy of the samples, in nats, shaped like `label`: unsure in every sample."""
        self._needs_classes("expected_entropy")
        return self._kept(
            "expected_entropy",
            lambda: self._gathered("entropies", lambda s: s.result(), self._label_shape),
        )

    @property
    def mutual_information(self) -> NDArray[np.float64]:
        """What `entropy` is more than `expected_entropy`, in nats: samples that disagree.

        BALD: Houlsby, Huszar, Ghahramani and Lengyel, arXiv:1112.5745; Gal, Islam and Ghahramani,
        ICML 2017.
        """
        self._needs_classes("mutual_information")
        return np.maximum(self.entropy - self.expected_entropy, 0)

    @property
    def variation_ratio(self) -> NDArray[np.float64]:
        """Share of the samples that do not say what most of them say, shaped like `label`."""
        self._needs_classes("variation_ratio")

        def share(votes: Statistic) -> Array:
            with np.errstate(invalid="ignore"):
                most: Array = votes.result().max(axis=-1) / np.float64(votes.count)
            return 1 - most

        def made() -> Array:
            # A sample without probabilities says nothing.
            unknown = np.isnan(self.margin)
            return np.where(unknown, np.nan, self._gathered("votes", share, self._label_shape))

        return self._kept("variation_ratio", made)

    @property
    def margin(self) -> NDArray[np.float64]:
        """By how much the most probable class is more so than the next one, shaped like `label`."""
        self._needs_classes("margin")
        p = self.mean
        if self.kind == "binary":
            return np.abs(2 * p - 1)
        if p.shape[-1] < 2:
            return p[..., 0]
        best = np.sort(p, axis=-1)
        return best[..., -1] - best[..., -2]

    # ---- more of the same ----

    def merge(self, other: Prediction) -> Prediction:
        """Put together what two predictions have seen.

        Of the same rows: other samples, as ``first_sample=`` or another key give. Of rows that
        follow each other, as ``row_offset=`` says: the rows of both. That both are of one model and
        of one `x` is for the caller to see.

        Parameters
        ----------
        other : Prediction
            Of the same outputs, with the same folds.

        Returns
        -------
        Prediction
            Quantiles and votes are those of all samples together, exactly as far as quantiles are
            exact; moments and entropies are so but for rounding.

        Raises
        ------
        TypeError, ValueError
            If `other` is of other outputs, or has samples that are in this one too.

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> model = fd.Model([fd.layers.Dropout(name="drop", rate=0.5)], (3,))
        >>> first = model.mc_predict(np.ones((1, 3)), 100, rng=0)
        >>> more = model.mc_predict(np.ones((1, 3)), 100, rng=0, first_sample=100)
        >>> first.merge(more).n_samples
        200
        """
        if not isinstance(other, Prediction):
            _check.refuse(TypeError, "other", "a Prediction", other)
        what, found = self._described(), other._described()
        if what != found:
            raise ValueError(f"other: expected one of the same kind ({what}), got {found}")
        start, end = self._row_offset, self._row_offset + self._rows
        their_start, their_end = other._row_offset, other._row_offset + other._rows
        if (start, end) == (their_start, their_end):
            return self._with_samples(other)
        if end == their_start:
            return self._with_rows(other)
        if their_end == start:
            return other._with_rows(self)
        raise ValueError(
            f"other: expected rows {start} to {end - 1} again, or those beside them, "
            f"got rows {their_start} to {their_end - 1}"
        )

    def _with_rows(self, other: Prediction) -> Prediction:
        behind = [Part(p.rows + self._rows, p.spans, p.statistics) for p in other._parts]
        return self._like([*self._parts, *behind], self._rows + other._rows, other._each)

    def _with_samples(self, other: Prediction) -> Prediction:
        parts = []
        left = [np.ones(len(part.rows), bool) for part in other._parts]
        for mine in self._parts:
            alone = np.ones(len(mine.rows), bool)
            for theirs, unused in zip(other._parts, left, strict=True):
                _, a, b = np.intersect1d(
                    mine.rows, theirs.rows, assume_unique=True, return_indices=True
                )
                if not len(a) and self._rows:
                    continue
                _check_disjoint(mine.spans, theirs.spans)
                if theirs is mine:  # of no key, by which samples could be told
                    expected = "other samples of the same rows"
                    _check.refuse(ValueError, "other", expected, other)
                alone[a] = unused[b] = False
                together = mine.take(a)
                for name, statistic in theirs.take(b).statistics.items():
                    together.statistics[name].merge(statistic)
                spans = _united([*mine.spans, *theirs.spans])
                parts.append(Part(together.rows, spans, together.statistics))
            if alone.any():
                parts.append(mine.take(np.flatnonzero(alone)))
        for theirs, unused in zip(other._parts, left, strict=True):
            if unused.any():
                parts.append(theirs.take(np.flatnonzero(unused)))
        return self._like(parts or self._parts[:1], self._rows, other._each)

    def _like(self, parts: Sequence[Part], rows: int, each: bool) -> Prediction:
        return Prediction(
            self.kind,
            self._shape,
            rows,
            parts,
            row_offset=self._row_offset,
            each=self._each or each,
            transformed=self._transformed,
        )

    # ---- to keep ----

    def save(self, path: str | PathLike[str]) -> None:
        """Write all that is known to a file, from which `load` makes the same prediction.

        It is a .npz file that says ``fastdrop-prediction/1`` of itself; NumPy's arrays in it are
        described in the project's ``docs/contracts.md``. It is written whole or not at all. The
        members of an ensemble's prediction, and what is `within` and `between` them, are not in it;
        each member can be saved by itself.

        Parameters
        ----------
        path : str or path-like
            The file; nothing is added to its name.

        Raises
        ------
        ValueError
            If there are folds of the user's own, which may be anything, or if nothing can be
            written to that place.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> p = fd.Prediction.from_samples(np.random.default_rng(0).normal(size=(20, 3)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "p.npz")
        ...     p.save(path)
        ...     again = fd.Prediction.load(path)
        >>> bool((again.quantile(0.9) == p.quantile(0.9)).all())
        True
        """
        from fastdrop.uncertainty import _store

        _store.save(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> Prediction:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file. Nothing in it is run.

        Returns
        -------
        Prediction
            Of the same bits, also when it is merged with others.

        Raises
        ------
        ValueError
            If it is no such file, one of a later version, or damaged.
        OSError
            If the file cannot be read.
        """
        from fastdrop.uncertainty import _store

        loaded = _store.load(path)
        parts = [Part(*part) for part in loaded.pop("parts")]
        return Prediction(**loaded, parts=parts)

    # ---- to show ----

    def to_pandas(self, quantiles: Sequence[float] | None = None) -> pandas.DataFrame:
        """Return a table: a line for each number that is predicted, or for each choice of a class.

        The index has the number of the row, counted from the row_offset, and the numbers along
        the axes of an output: ``row``, ``output`` or ``row``, ``time``, ``output``; without the
        classes. Columns are

        - ``mean``, ``std``, with a likelihood ``epistemic`` and ``aleatoric``, and quantiles as
          ``q0.05``; of kind "multiclass" in place of all these the mean probabilities, ``p0``,
          ``p1``, …;
        - for classes ``label``, ``entropy``, ``expected_entropy``, ``mutual_information``,
          ``variation_ratio`` and ``margin``;
        - ``n_samples``, where rows may have stopped by themselves.

        Parameters
        ----------
        quantiles : sequence of float, optional
            Different probabilities; (0.05, 0.5, 0.95) if not given, and none for "multiclass".

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed; the extra ``pandas`` brings it.
        TypeError, ValueError
            If `quantiles` are no different probabilities, or are given for kind "multiclass".

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> p = fd.Prediction.from_samples(np.array([[[1.0, 5.0]], [[3.0, 5.0]]]))
        >>> print(p.to_pandas(quantiles=[0.5]).reset_index())
           row  output  mean       std  q0.5
        0    0       0   2.0  1.414214   2.0
        1    0       1   5.0  0.000000   5.0
        """
        return _tables.to_pandas(self, quantiles)

    def to_xarray(
        self,
        quantiles: Sequence[float] = _tables.QUANTILES,
        *,
        dims: Sequence[str] | None = None,
    ) -> xarray.Dataset:
        """Return a dataset whose dimensions have names.

        Its variables are ``mean``, ``std``, with a likelihood ``epistemic`` and ``aleatoric``, for
        classes the measures that `to_pandas` has, all of dimensions ``row`` and those of an
        output: ``output``, or ``time`` and ``output``; ``class`` in place of ``output`` for kind
        "multiclass". ``quantiles`` has ``quantile`` before these, and ``samples``, where they were
        kept, ``chain`` (of length 1) and ``draw``, as ArviZ wants them. ``n_samples`` is a number,
        or one for each row where rows may have stopped by themselves; then the samples of those
        with fewer end in NaN.

        Parameters
        ----------
        quantiles : sequence of float, optional
            Different probabilities.
        dims : sequence of str, optional
            Other names for the axes of an output.

        Returns
        -------
        xarray.Dataset

        Raises
        ------
        ImportError
            If xarray is not installed; the extra ``xarray`` brings it.
        TypeError, ValueError
            If `quantiles` are no different probabilities, or `dims` no names for all axes.

        Examples
        --------
        >>> import numpy as np
        >>> import fastdrop as fd
        >>> p = fd.Prediction.from_samples(np.zeros((20, 3, 48, 2)))
        >>> dict(p.to_xarray(dims=["half_hour", "zone"]).sizes)
        {'row': 3, 'half_hour': 48, 'zone': 2, 'quantile': 3, 'chain': 1, 'draw': 20}
        """
        return _tables.to_xarray(self, quantiles, dims)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        row: int | None = None,
        output: int | None = None,
        levels: float | Sequence[float] = (0.5, 0.9),
        interval: tuple[ArrayLike, ArrayLike] | None = None,
        y: ArrayLike | None = None,
    ) -> Axes:
        """Draw the prediction: the mean, and what the samples leave open.

        What is drawn goes by the shape of an output. One number a row: all rows, each with its
        intervals. A sequence, of shape (time,) or (time, outputs): a fan chart of one row, bands
        around the mean. Probabilities of classes: bars for those of one row, with intervals, and
        of shape (time, classes) a fan chart of one class. Bands and intervals are central ones of
        the samples, as `interval` gives them. No style is changed, and nothing is shown on a
        screen: that is for ``matplotlib.pyplot.show()``.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure of pyplot if not given.
        row : int, optional
            Which row, by its place in this prediction; if not given all rows, or the first one.
        output : int, optional
            Which output or class of a sequence. Has to be given where there are several.
        levels : float or sequence of float, optional
            What share of the samples the intervals hold, in [0, 1].
        interval : pair of array_like, optional
            An interval to draw in place of the samples' own, as `fastdrop.calibration` makes it:
            (low, high), each shaped like `mean`.
        y : array_like, optional
            What really came, shaped like `mean` or like what is drawn; for one number a row also
            (rows,). For kind "multiclass" integers, the classes, shaped like `label` or one row
            of it.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If Matplotlib is not installed; the extra ``plot`` brings it.
        TypeError, ValueError
            If an argument does not fit, outputs have three axes or more, or there is nothing to
            draw.
        """
        return _plots.plot(self, ax, row, output, levels, interval, y)

    def __repr__(self) -> str:
        lines = [
            f"{self.kind}, {self._rows} row{'s' * (self._rows != 1)} of shape {self._shape}, "
            f"{self._counted()}{', kept' * self._has('samples')}",
            f"mean {_span(self.mean)}, std {_span(self.std)}",
        ]
        if self.kind != "regression":
            names = ("entropy", "mutual_information")
            lines.append(", ".join(f"{name} {_span(getattr(self, name))}" for name in names))
        if self._has("means"):
            names = ("epistemic", "aleatoric")
            lines.append(", ".join(f"{name} {_span(getattr(self, name))}" for name in names))
        return "<Prediction: " + "\n  ".join(lines) + ">"

    def _counted(self) -> str:
        counts = np.unique(self.n_samples).tolist()
        low, high = (counts[0], counts[-1]) if counts else (0, 0)
        number = f"{low}" if low == high else f"{low} to {high}"
        return f"{number} sample{'s' * (high != 1)}"

    # ---- inside ----

    def _missing(self) -> bool:
        """Say whether some rows have no sample."""
        return sum(len(part.rows) for part in self._parts) < self._rows

    def _names(self) -> tuple[str, ...]:
        return tuple(self._parts[0].statistics)

    def _described(self) -> str:
        """Say what two predictions must have in common to be put together."""
        words = [self.kind, f"{self._dtype} outputs {self._shape}", *self._names()]
        return ", ".join(words + ["transformed"] * self._transformed)

    @property
    def _dtype(self) -> np.dtype[Any]:
        lowest: Array = self._parts[0].statistics["quantiles"].arrays()["lowest"]
        return lowest.dtype

    def _has(self, name: str) -> bool:
        return name in self._names()

    @property
    def _label_shape(self) -> tuple[int, ...]:
        return self._shape[:-1] if self.kind == "multiclass" else self._shape

    def _needs_classes(self, name: str) -> None:
        if self.kind == "regression":
            raise ValueError(
                f"{name}: expected a prediction of kind 'binary' or 'multiclass', got "
                "'regression'; mc_predict(..., kind=...) says what the outputs are, and "
                "transform=... makes probabilities of logits"
            )

    def __getstate__(self) -> dict[str, Any]:
        # A copy of an array is one that can be written into.
        return self.__dict__ | {"_made": {}}

    def _kept(self, name: str, make: Callable[[], Made]) -> Made:
        if name not in self._made:
            made = make()
            if isinstance(made, np.ndarray):  # the same for all who ask
                made.flags.writeable = False
            self._made[name] = made
        found: Made = self._made[name]
        return found

    def _gathered(
        self,
        name: str,
        value: Callable[[Any], Array],
        shape: tuple[int, ...] | None = None,
    ) -> NDArray[np.float64]:
        """Return what a statistic of all rows says, NaN where there is no sample."""
        shape = self._shape if shape is None else shape
        found = np.full((self._rows, *shape), np.nan)
        for part in self._parts:
            found[part.rows] = value(part.statistics[name]).reshape(len(part.rows), *shape)
        return found

    def _own(self, name: str) -> Array:
        """Return what a fold of the user's says of each row."""
        results: list[Array] = []
        for part in self._parts:
            statistic = part.statistics[name]
            assert isinstance(statistic, PerRow)
            results += statistic.results()
        # Of no row nobody knows the shape.
        shape = results[0].shape if results else ()
        label = f"folds {name.removeprefix(OWN)!r}"
        for result in results:
            if result.dtype.kind not in "fiubc":
                _check.refuse(TypeError, label, "results that are numbers", result)
            if result.shape != shape:
                _check.refuse(ValueError, label, f"results of one shape {shape}", result)
        dtypes: set[Any] = {result.dtype for result in results}
        if self._missing() or not results:  # NaN is for those
            dtypes.add(np.dtype(float))
        dtype = np.result_type(*dtypes)
        found = np.full((self._rows, *shape), np.nan if self._missing() else 0, dtype)
        numbers = [row for part in self._parts for row in part.rows]
        for row, result in zip(numbers, results, strict=True):
            found[row] = result
        outputs = int(np.prod(self._shape))
        return found.reshape(self._rows, *self._shape) if shape == (outputs,) else found


def _check_disjoint(mine: Sequence[Span], theirs: Sequence[Span]) -> None:
    for source, start, end in mine:
        for other, first, last in theirs:
            if source is not None and source == other and start < last and first < end:
                low, high = max(start, first), min(end, last) - 1
                raise ValueError(
                    f"other: expected other samples of the same rows, got samples {low} to {high} "
                    "of the same key, which are in both"
                )


def _united(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return spans with those joined that follow each other."""
    found: list[Span] = []
    for source, start, end in spans:
        for place, (other, first, last) in enumerate(found):
            if source is not None and source == other and start == last:
                found[place] = (source, first, end)
                break
        else:
            found.append((source, start, end))
    return tuple(found)


def _span(values: Array) -> str:
    """Say between what numbers they lie, and how many are none."""
    numbers = values[~np.isnan(values)]
    words = []
    if numbers.size:
        low, high = (f"{number:.3g}" for number in (numbers.min(), numbers.max()))
        words.append(low if low == high else f"{low} to {high}")
    if numbers.size < values.size:
        words.append("NaN")
    return " and ".join(words) or "none"

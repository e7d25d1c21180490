"""Predictions as tables and as arrays whose dimensions have names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check

if TYPE_CHECKING:
    import pandas
    import xarray

    from fastdrop.uncertainty._prediction import Prediction

QUANTILES = (0.05, 0.5, 0.95)
# What there is of classes, besides their probabilities.
MEASURES = (
    "label",
    "entropy",
    "expected_entropy",
    "mutual_information",
    "variation_ratio",
    "margin",
)
_PARTS = ("epistemic", "aleatoric")
# What axes of outputs cannot be called.
_TAKEN = (
    *("row", "quantile", "chain", "draw", "samples", "quantiles", "n_samples", "mean", "std"),
    *_PARTS,
    *MEASURES,
)


def axis_names(count: int, last: str = "output") -> tuple[str, ...]:
    """Return what so many axes of an output are called: ..., time, and the last one."""
    outer = [f"axis_{n}" for n in range(1, count - 1)]
    return (*outer, "time", last)[-count:] if count else ()


def names_of(p: "Prediction") -> tuple[str, ...]:
    return axis_names(p.mean.ndim - 1, "class" if p.kind == "multiclass" else "output")


def probabilities(quantiles: object) -> NDArray[np.float64]:
    """Return the quantiles that are asked for: a sequence of different probabilities."""
    q = _check.probabilities(quantiles, "quantiles")
    if q.ndim != 1 or len(np.unique(q)) != len(q):
        _check.refuse(ValueError, "quantiles", "a sequence of different probabilities", quantiles)
    return q


def statistics(p: "Prediction") -> dict[str, NDArray[Any]]:
    """Return mean and deviations, each shaped like `mean`."""
    return {name: getattr(p, name) for name in ("mean", "std", *_PARTS * p._has("means"))}


@dataclass(frozen=True)
class Table:
    """Columns of equal shape, whose axes are rows and what is in `axes`."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    row_offset: int
    columns: dict[str, NDArray[Any]]

    def names(self) -> list[str]:
        """Return the names of all columns, those of the index first."""
        return ["row", *self.axes, *self.columns]

    def levels(self) -> list[NDArray[Any]]:
        """Return the numbers along each axis."""
        rows = np.arange(self.shape[0]) + self.row_offset
        return [rows, *(np.arange(length) for length in self.shape[1:])]

    def lines(self) -> list[NDArray[Any]]:
        """Return all columns, those of the index first, of a number a line."""
        places = np.meshgrid(*self.levels(), indexing="ij")
        return [column.reshape(-1) for column in (*places, *self.columns.values())]

    def frame(self) -> "pandas.DataFrame":
        import pandas

        index: Any = pandas.Index(self.levels()[0], name="row")
        if self.axes:
            names = ["row", *self.axes]
            index = pandas.MultiIndex.from_product(self.levels(), names=names)
        flat = {name: column.reshape(-1) for name, column in self.columns.items()}
        return pandas.DataFrame(flat, index=index)


def table(p: "Prediction", quantiles: Sequence[float] | None) -> Table:
    """Return what there is to say, a line for each number or choice of a class."""
    names, shape = names_of(p), p.mean.shape
    columns: dict[str, NDArray[Any]]
    if p.kind == "multiclass":
        if quantiles is not None:
            expected = "None for kind 'multiclass', whose table has none; see Prediction.quantile"
            _check.refuse(ValueError, "quantiles", expected, quantiles)
        names, shape = names[:-1], shape[:-1]
        columns = {f"p{k}": p.mean[..., k] for k in range(p.mean.shape[-1])}
    else:
        q = probabilities(QUANTILES if quantiles is None else quantiles)
        columns = statistics(p) | {
            f"q{one!r}": of for one, of in zip(q.tolist(), p.quantile(q), strict=True)
        }
    if p.kind != "regression":
        columns |= {name: getattr(p, name) for name in MEASURES}
    if np.ndim(p.n_samples):
        each = np.reshape(p.n_samples, (-1, *[1] * len(names)))
        columns["n_samples"] = np.broadcast_to(each, shape)
    return Table(names, shape, p._row_offset, columns)


def to_pandas(p: "Prediction", quantiles: Sequence[float] | None) -> "pandas.DataFrame":
    found = table(p, quantiles)
    try:
        return found.frame()
    except ImportError as error:
        raise _check.missing("to_pandas", "pandas", "pandas") from error


def to_xarray(
    p: "Prediction", quantiles: Sequence[float], dims: Sequence[str] | None
) -> "xarray.Dataset":
    try:
        import xarray
    except ImportError as error:
        raise _check.missing("to_xarray", "xarray", "xarray") from error
    q = probabilities(quantiles)
    names = names_of(p) if dims is None else _renamed(dims, p)
    full = ("row", *names)
    variables: dict[str, Any] = {name: (full, array) for name, array in statistics(p).items()}
    variables["quantiles"] = (("quantile", *full), p.quantile(q))
    if p.kind != "regression":
        lead = full[:-1] if p.kind == "multiclass" else full
        variables |= {name: (lead, getattr(p, name)) for name in MEASURES}
    counts = np.asarray(p.n_samples)
    variables["n_samples"] = (("row",) * counts.ndim, counts)
    coordinates: dict[str, Any] = {"row": np.arange(len(p.mean)) + p._row_offset, "quantile": q}
    if p.samples is not None:
        variables["samples"] = (("chain", "draw", *full), p.samples[np.newaxis])
        coordinates |= {"chain": np.arange(1), "draw": np.arange(len(p.samples))}
    # Whoever writes into it leaves the prediction as it is.
    return xarray.Dataset(variables, coordinates, {"kind": p.kind}).copy(deep=True)


def _renamed(dims: object, p: "Prediction") -> tuple[str, ...]:
    count = p.mean.ndim - 1
    expected = f"{count} different names, one for each axis of an output"
    if isinstance(dims, str) or not isinstance(dims, Sequence):
        _check.refuse(TypeError, "dims", expected, dims)
    names = tuple(_check.text(name, "dims") for name in dims)
    if len(names) != count or len({*names}) != count:
        _check.refuse(ValueError, "dims", expected, dims)
    for name in names:
        if name in _TAKEN:
            _check.refuse(ValueError, "dims", "names that the dataset does not have yet", name)
    return names

"""Sampling a model over dask arrays: lazily, a block of rows at a time, on one machine or many."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.model import Model
from fastdrop.random import as_key
from fastdrop.typing import Kind, RNGLike, Scope
from fastdrop.uncertainty import Prediction

try:
    import dask
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed
except ImportError as _error:
    raise _check.missing("fastdrop.dask", "dask with its arrays", "dask") from _error

Array = NDArray[Any]

__all__ = ["LazyPrediction", "mc_predict"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


_CLASSES = ("entropy", "expected_entropy", "mutual_information", "variation_ratio")


@dataclass(frozen=True, eq=False)
class LazyPrediction:
    """What samples of an output will say, as dask arrays.

    `mc_predict` makes it. ``dask.compute(p.mean, p.std)`` samples each row once for both, as does
    `compute` for all of them.

    Attributes
    ----------
    kind : {"regression", "binary", "multiclass"}
        What an output is.
    mean, std : dask array of float64, shape (rows, *output axes)
        As in `Prediction`.
    quantiles : dask array of float64, shape (quantiles, rows, *output axes)
        Those that were asked for, in their order.
    n_samples : int, or dask array of int64, shape (rows,)
        How many samples are drawn; of each row with `until`.
    entropy, expected_entropy, mutual_information, variation_ratio : dask array of float64, or None
        As in `Prediction`, for classes; None where `kind` is "regression".
    """

    kind: str
    mean: Any
    std: Any
    quantiles: Any
    n_samples: Any
    entropy: Any = None
    expected_entropy: Any = None
    mutual_information: Any = None
    variation_ratio: Any = None

    def compute(self, **options: Any) -> Self:
        """Return the same with NumPy's arrays, sampling each row once.

        Parameters
        ----------
        **options
            Those of ``dask.compute``.

        Returns
        -------
        LazyPrediction
        """
        found: tuple[Self] = dask.compute(self, **options)
        return found[0]


def mc_predict(
    model: Model,
    x: Any,
    samples: int = 200,
    *,
    rng: RNGLike = 0,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    kind: Kind = "auto",
    scope: Scope = "per_row",
    row_offset: int = 0,
    first_sample: int = 0,
    until: float | Mapping[str, float] | None = None,
    threads: int = 1,
) -> LazyPrediction | Any:
    """Sample the outputs of a model for the rows of dask arrays, lazily.

    Nothing is drawn before something is computed. Each block of rows is one task, which calls
    `Model.mc_predict` once for all statistics. The results are those of one call on all rows, bit
    for bit, however these are split into blocks and whichever workers, of one kind of CPU, take
    them.

    Parameters
    ----------
    model : Model
        One key of the graph, so that a worker is sent it once.
    x : dask array, shape (batch, *input_shape), or list or dict of such
        As in `Model.predict`. Blocks of the first axis are tasks, and those of several inputs are
        made to be the first one's. What other axes are split into is joined in the task.
    samples : int, optional
        How many samples to draw, or with `until` at most.
    rng : int, Key, SeedSequence, Generator or BitGenerator, optional
        As in `Model.mc_predict`, but for None: parts that are computed later, or again, must agree.
        A Generator is drawn from once, by this call.
    quantiles : sequence of float, optional
        Probabilities in [0, 1].
    kind, scope, row_offset, first_sample, until
        As in `Model.mc_predict`. The first row is number `row_offset`, whatever is computed.
    threads : int, optional
        How many threads a task has. Dask runs several tasks side by side.

    Returns
    -------
    LazyPrediction, or list or dict of LazyPrediction
        Arranged as `Model.predict` arranges its arrays.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range, a length is not known, or nothing in
        the model is stochastic. What is wrong with the numbers themselves is found when they are
        computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> import fastdrop.dask
    >>> model = fd.Model([fd.layers.Dropout(name="drop", rate=0.5)], (3,))
    >>> x = np.ones((10, 3))
    >>> p = fastdrop.dask.mc_predict(model, da.from_array(x, chunks=(4, 3)), rng=0)
    >>> p.mean.chunks, p.quantiles.shape
    (((4, 4, 2), (3,)), (3, 10, 3))
    >>> bool((p.mean.compute() == model.mc_predict(x, rng=0).mean).all())
    True
    """
    if not isinstance(model, Model):
        _check.refuse(TypeError, "model", "a fastdrop.Model, as fastdrop.load returns", model)
    arrays = _blocks_of_rows(model, x)
    if rng is None:
        raise TypeError(
            "rng: expected a seed or a Key, for parts that are computed later, or again, must "
            "agree; got None"
        )
    probabilities = _check.probabilities(quantiles, "quantiles")
    if probabilities.ndim != 1:
        _check.refuse(ValueError, "quantiles", "a sequence of probabilities", quantiles)
    options: dict[str, Any] = {
        "kind": kind,
        "scope": scope,
        "first_sample": first_sample,
        "until": until,
        "threads": threads,
    }
    # What a prediction of no rows is like: so all arguments are checked here, and nothing is drawn.
    none = [np.empty((0, *array.shape[1:]), array.dtype) for array in arrays]
    named = dict(zip(model.input_names, none, strict=True))
    like = model.mc_predict(named, samples, rng=0, row_offset=row_offset, **options)
    lengths, _ = model._sizes(model._inputs(named))
    rows = arrays[0].shape[0]
    first = _check.rows_range(row_offset, rows, model.graph.mask_elements(lengths))

    key = as_key(rng)
    starts = first + np.cumsum([0, *arrays[0].chunks[0][:-1]])
    # Of what is pickled, which use does not change: calls for one model share its key.
    made_of = model._entries, model._inputs_given, model._input_dtypes, model._outputs
    token = tokenize(pickle.dumps(made_of))
    weights = delayed(model, name=f"fastdrop-model-{token}", traverse=False)
    settings = {
        "names": model.input_names,
        "samples": samples,
        "rng": key,
        "quantiles": tuple(probabilities.tolist()),
        "options": options,
    }
    given: list[Any] = []
    for array in arrays:
        given += [array, tuple(range(array.ndim))]
    parts = da.blockwise(
        _sample,
        (0,),
        *given,
        da.from_array(starts, chunks=1),
        (0,),
        model=weights,
        **settings,
        concatenate=True,
        align_arrays=False,
        dtype=object,
        meta=np.empty(0, object),
        name=f"fastdrop-mc_predict-{tokenize(token, arrays, first, settings)}",
    )
    outputs = _listed(like)
    found = [
        _lazy(parts, number, p, len(probabilities), samples, until is not None)
        for number, p in enumerate(outputs)
    ]
    return model._arranged(found)


def _blocks_of_rows(model: Model, x: Any) -> list[Any]:
    """Check the inputs, and return them in blocks of the same rows."""
    names = model.input_names
    if isinstance(x, Mapping):
        if set(x) != set(names):
            expected = f"arrays by the names {', '.join(map(repr, names))}"
            raise ValueError(f"x: expected {expected}, got {', '.join(map(str, x))}")
        values = [x[name] for name in names]
    elif len(names) == 1:
        values = [x]
    else:
        if not isinstance(x, (list, tuple)) or len(x) != len(names):
            _check.refuse(TypeError, "x", f"{len(names)} dask arrays in a list or dict", x)
        values = list(x)
    labels = ["x"] if len(names) == 1 else [f"x[{name!r}]" for name in names]
    found: list[Any] = []
    for value, label in zip(values, labels, strict=True):
        if not isinstance(value, da.Array):
            _check.refuse(TypeError, label, "a dask array", value)
        if not value.ndim:
            _check.refuse(ValueError, label, "an array of rows", value)
        if any(math.isnan(n) for n in value.shape):
            raise ValueError(
                f"{label}: expected blocks of known lengths, by which rows are numbered, got some "
                f"of unknown ones; {label}.compute_chunk_sizes() finds them"
            )
        first = found[0] if found else value
        if value.shape[0] != first.shape[0]:
            expected = f"{first.shape[0]} rows, as the first has"
            raise ValueError(f"{label}: expected {expected}, got {value.shape[0]}")
        found.append(value.rechunk({0: first.chunks[0]}))
    return found


def _sample(
    *blocks: Array,
    model: Model,
    names: Sequence[str],
    samples: int,
    rng: Any,
    quantiles: Sequence[float],
    options: dict[str, Any],
) -> list[dict[str, Array]]:
    """Return the statistics of each output for a block of rows, the number of the first behind."""
    *inputs, start = blocks
    named = dict(zip(names, inputs, strict=True))
    predicted = model.mc_predict(named, samples, rng=rng, row_offset=int(start[0]), **options)
    found = []
    for p in _listed(predicted):
        wanted = ("mean", "std", *(_CLASSES if p.kind != "regression" else ()))
        values = {name: getattr(p, name) for name in wanted}
        values["quantiles"] = p.quantile(quantiles)
        values["n_samples"] = np.broadcast_to(np.int64(p.n_samples), len(p.mean))
        found.append(values)
    return found


def _lazy(
    parts: Any, number: int, like: Prediction, quantiles: int, samples: int, each: bool
) -> LazyPrediction:
    """Return the arrays of one output, each of them a block taken out of what a task has found."""

    def taken(name: str, shape: tuple[int, ...], lead: int | None = None) -> Any:
        axes = tuple(range(1, 1 + len(shape)))
        new = dict(zip(axes, shape, strict=True))
        index: tuple[int, ...] = (0, *axes)
        if lead is not None:
            index = (-1, *index)
            new[-1] = lead
        dtype = np.dtype(np.int64 if name == "n_samples" else np.float64)
        return da.blockwise(
            _take,
            index,
            parts,
            (0,),
            number=number,
            field=name,
            new_axes=new,
            dtype=dtype,
            meta=np.empty((0,) * len(index), dtype),
        )

    outputs = like.mean.shape[1:]
    kinds = {}
    if like.kind != "regression":
        labels = like.label.shape[1:]
        kinds = {name: taken(name, labels) for name in _CLASSES}
    return LazyPrediction(
        kind=like.kind,
        mean=taken("mean", outputs),
        std=taken("std", outputs),
        quantiles=taken("quantiles", outputs, quantiles),
        n_samples=taken("n_samples", ()) if each else samples,
        **kinds,
    )


def _take(found: Any, number: int, field: str) -> Array:
    taken: Array = found[number][field]
    return taken


def _listed(arranged: Any) -> list[Any]:
    """Return predictions in the order of the model's outputs."""
    if isinstance(arranged, Mapping):
        return list(arranged.values())
    return arranged if isinstance(arranged, list) else [arranged]

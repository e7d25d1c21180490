"""Predictions in files: `fastdrop-prediction/1`."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _files, _npy
from fastdrop.uncertainty._folding import KINDS, OWN
from fastdrop.uncertainty._quantiles import CAPACITY, QuantileSketch
from fastdrop.uncertainty._statistics import (
    Covariance,
    ExpectedEntropy,
    FourthMoments,
    Moments,
    Samples,
    Statistic,
    Votes,
)

if TYPE_CHECKING:
    from fastdrop.uncertainty._prediction import Prediction

Array = NDArray[Any]
# The numbers of some rows, the samples that they have taken, and their statistics.
Loaded = tuple[NDArray[np.intp], tuple[Any, ...], dict[str, Statistic]]

FORMAT = "fastdrop-prediction"
VERSION = 1
_HEADER = "header"
_LEVEL = re.compile(r"level ([0-9]|[1-4][0-9])")


# No count, number or word of a key is as large.
_END = 1 << 64


class _DamagedError(ValueError):
    """What is wrong in a file."""


# ---- to a file ----


def save(p: "Prediction", path: str | PathLike[str]) -> None:
    name = _files.path(path, "path")
    own = [key.removeprefix(OWN) for key in p._names() if key.startswith(OWN)]
    if own:
        expected = "a prediction without folds of your own, which may be anything"
        _check.refuse(ValueError, "save", expected, ", ".join(own))
    target = _files.target(name, "path: ")
    arrays: dict[str, Any] = {_HEADER: np.frombuffer(json.dumps(_header(p)).encode(), np.uint8)}
    for number, part in enumerate(p._parts):
        arrays[f"{number}/rows"] = part.rows.astype(np.int64)
        for key, statistic in part.statistics.items():
            for field, array in statistic.arrays().items():
                arrays[f"{number}/{key}/{field.lstrip('_')}"] = array
    _files.replace(target, partial(np.savez, **arrays))


def _header(p: "Prediction") -> dict[str, Any]:
    return {
        "format": f"{FORMAT}/{VERSION}",
        "kind": p._kind,
        "shape": [int(n) for n in p._shape],
        "rows": p._rows,
        "row_offset": p._row_offset,
        "each": p._each,
        "transformed": p._transformed,
        "statistics": [*p._names()],
        "parts": [
            {
                "count": part.count,
                "merges": part.statistics["quantiles"].scalars()["merges"],
                "spans": [
                    [None if source is None else [int(word) for word in source], start, stop]
                    for source, start, stop in part.spans
                ],
            }
            for part in p._parts
        ],
    }


# ---- from a file ----


def load(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what a prediction is made of."""
    name = _files.path(path, "path")
    try:
        arrays = _npy.archive(_files.read(name), stored=True)
        return _loaded(arrays)
    except _files.NoFileError as error:
        raise ValueError(f"{name}: {error}") from error
    except (_npy.NoArrayError, _DamagedError) as error:
        expected = f"expected a file that Prediction.save wrote ({FORMAT}/{VERSION})"
        raise ValueError(f"{name}: {expected}, got {error}") from error


def _loaded(arrays: Mapping[str, Array]) -> dict[str, Any]:
    header = _Record(_json(arrays.get(_HEADER)))
    found = header.value.get("format")
    if found != f"{FORMAT}/{VERSION}":
        raise _DamagedError(f"one that says {ascii(found)[:60]} of itself")
    kind, rows = header.text("kind", KINDS), header.count("rows")
    shape = tuple(_whole(n, "shape") for n in header.items("shape"))
    if kind == "multiclass" and not (shape and shape[-1]):
        raise _DamagedError("no classes")
    row_offset = header.count("row_offset")
    if row_offset + rows > _END >> 1 or rows >= _END >> 4:
        raise _DamagedError("more rows than there can be")
    layout = _Layout(kind, shape, [_name(n) for n in header.items("statistics")])
    parts = []
    used = {_HEADER}
    for number, record in enumerate(header.items("parts")):
        inside = f"{number}/"
        some = {n.removeprefix(inside): a for n, a in arrays.items() if n.startswith(inside)}
        used |= {inside + name for name in some}
        parts.append(layout.part(_Record(record), some))
    if used != arrays.keys():
        raise _DamagedError(f"an archive that also holds {ascii(min(arrays.keys() - used))[:60]}")
    if not parts:
        raise _DamagedError("a header without parts")
    numbers = np.sort(np.concatenate([part[0] for part in parts]))
    if (np.diff(numbers) < 1).any() or (len(numbers) and not 0 <= numbers[0] <= numbers[-1] < rows):
        raise _DamagedError("rows that there are not, or twice")
    return {
        "kind": kind,
        "shape": shape,
        "rows": rows,
        "parts": parts,
        "row_offset": row_offset,
        "each": header.flag("each"),
        "transformed": header.flag("transformed"),
    }


class _Layout:
    """What arrays the statistics of a prediction have."""

    def __init__(self, kind: str, shape: tuple[int, ...], names: Sequence[str]) -> None:
        self.shape, self.names = shape, names
        # Python's integers do not overflow.
        self.outputs = 1
        for length in shape:
            self.outputs *= length
        self.classes = shape[-1] if kind == "multiclass" else 1
        self.votes = 2 if kind == "binary" else self.classes
        self.kind = kind
        needed = {"moments", "quantiles"}
        if kind != "regression":
            needed |= {"entropies", "votes"}
        known = needed | {"means", "variances", "covariance", "fourth", "samples"}
        if not needed <= {*names} <= known or len({*names}) != len(names):
            raise _DamagedError("other statistics than those of its kind")

    def part(self, record: "_Record", arrays: Mapping[str, Array]) -> Loaded:
        """Return what some rows have, from the arrays of these."""
        rows, lowest = arrays.get("rows"), arrays.get("quantiles/lowest")
        if rows is None or rows.ndim != 1 or rows.dtype != np.int64:
            raise _DamagedError("no numbers of rows")
        if lowest is None or lowest.dtype not in (np.float32, np.float64):
            raise _DamagedError("no quantiles")
        count, merges = record.count("count"), record.count("merges")
        if len(rows) and not count:
            raise _DamagedError("rows without samples")
        made: dict[str, Statistic] = {}
        left = {*arrays} - {"rows"}
        for name in self.names:
            inside = f"{name}/"
            given = {
                n.removeprefix(inside): arrays[n] for n in sorted(left) if n.startswith(inside)
            }
            left -= {inside + field for field in given}
            statistic = self._statistic(name, given, len(rows), count, lowest.dtype)
            made[name] = statistic.with_scalars({"count": count, "merges": merges})
        if left:
            raise _DamagedError(f"an archive that also holds {ascii(min(left))[:60]}")
        spans = tuple(_span(item) for item in record.items("spans"))
        return np.array(rows, np.intp), spans, made

    def _statistic(
        self, name: str, given: Mapping[str, Array], rows: int, count: int, dtype: np.dtype[Any]
    ) -> Statistic:
        prototype = self._prototype(name, dtype)
        fields = {field.lstrip("_"): field for field in prototype.arrays()}
        width = rows * self.outputs
        lead: dict[str, int] = {}
        if name == "samples":
            lead["values"] = count
        if name == "quantiles":
            levels = [match for match in map(_LEVEL.fullmatch, given) if match]
            fields |= {match[0]: match[0] for match in levels}
            # The buffer has what is in no level.
            lead |= {match[0]: CAPACITY for match in levels}
            lead["buffer"] = count - sum(CAPACITY << int(match[1]) for match in levels)
        if fields.keys() != given.keys() or lead.get("buffer", 0) > CAPACITY:
            raise _DamagedError(f"other arrays than those of {name}")
        length = {
            "entropies": width // self.classes,
            "votes": width // self.classes * self.votes,
        }.get(name, width)
        dtypes = {field: array.dtype for field, array in prototype.arrays().items()}
        for field, array in given.items():
            last = width * self.outputs if field == "products" else length
            shape = (lead[field], last) if field in lead else (last,)
            if array.shape != shape or array.dtype != dtypes.get(fields[field], dtype):
                raise _DamagedError(f"{name}/{field}: {_check.describe(array)}")
        return prototype.with_arrays({fields[f]: array for f, array in given.items()})

    def _prototype(self, name: str, dtype: np.dtype[Any]) -> Statistic:
        """Return a statistic of no rows."""
        made: dict[str, Statistic] = {
            "moments": Moments(0, dtype),
            "means": Moments(0, dtype),
            "variances": Moments(0),
            "quantiles": QuantileSketch(0, 0, dtype),
            "covariance": Covariance(0, self.outputs),
            "fourth": FourthMoments(0),
            "samples": Samples(0, dtype),
            "entropies": ExpectedEntropy(0, self.kind, self.classes),
            "votes": Votes(0, self.kind, self.classes),
        }
        return made[name]


class _Record:
    """An object of JSON whose entries are what they should be."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise _DamagedError("no header")
        self.value: dict[str, Any] = value

    def count(self, name: str) -> int:
        return _whole(self.value.get(name), name)

    def flag(self, name: str) -> bool:
        found = self.value.get(name)
        if not isinstance(found, bool):
            raise _DamagedError(f"a header without {name}")
        return found

    def text(self, name: str, options: Sequence[str]) -> str:
        found = self.value.get(name)
        if not isinstance(found, str) or found not in options:
            raise _DamagedError(f"a header without {name}")
        return found

    def items(self, name: str) -> list[Any]:
        found = self.value.get(name)
        if not isinstance(found, list):
            raise _DamagedError(f"a header without {name}")
        return found


def _json(array: Array | None) -> object:
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise _DamagedError("an archive without its header")
    try:
        return json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise _DamagedError("a header that is no JSON") from error


def _whole(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value < _END:
        raise _DamagedError(f"a header without {name}")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise _DamagedError("a header without statistics")
    return value


def _span(value: object) -> tuple[tuple[int, ...] | None, int, int]:
    if not isinstance(value, list) or len(value) != 3:
        raise _DamagedError("a header without spans")
    source, start, stop = value
    if source is not None and not isinstance(source, list):
        raise _DamagedError("a header without spans")
    words = None if source is None else tuple(_whole(word, "spans") for word in source)
    return words, _whole(start, "spans"), _whole(stop, "spans")

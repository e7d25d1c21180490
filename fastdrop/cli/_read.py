"""What `predict` reads: inputs from files of arrays and tables, and from standard input."""

import io
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _files, _npy
from fastdrop.formats._errors import show

Array = NDArray[Any]
STDIN = Path("-")
SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
# A table is written so that it can be read again.
_NO_NAMES = "DataFrame.to_csv(path, header=False, index=False) writes no names and no index"


class _Table:
    """Numbers of a table, (rows, columns): of an input with several axes all in one line."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def shaped(self, name: str, shape: Sequence[int | None]) -> Array:
        """Return them as inputs of a shape."""
        rows, width = self.values.shape
        known = int(np.prod([n for n in shape if n is not None]))
        open_axes = sum(n is None for n in shape)
        if open_axes == 0 and width == known + 1 and _counts(self.values[:, 0]):
            raise ValueError(
                f"{name}: expected {known} columns, got another one in front that counts the "
                f"lines, as an index does; {_NO_NAMES}"
            )
        if open_axes > 1 or known == 0 or width % known or (open_axes == 0 and width != known):
            words = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(
                f"{name}: expected lines of numbers that are an input of shape ({words}), "
                f"got {width} column{'s' * (width != 1)}"
            )
        return self.values.reshape(rows, *(width // known if n is None else n for n in shape))


def inputs(
    paths: Sequence[Path], names: Sequence[str], shapes: Sequence[Sequence[int | None]]
) -> list[Array]:
    """Return the inputs of a model: a file each, or all in one archive by their names."""
    for path in paths:
        if path != STDIN and path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: expected a name that ends in {_check.words(SUFFIXES)}")
    if paths.count(STDIN) > 1:
        raise ValueError("INPUT: expected - for standard input once")
    together = len(paths) == 1 and (paths[0] == STDIN or paths[0].suffix.lower() == ".npz")
    if len(paths) != len(names) and not together:
        raise ValueError(_of_others(names, str(len(paths))))
    read = [_read(path) for path in paths]
    first = read[0]
    if isinstance(first, Mapping) and together and first.keys() == {*names}:
        return [first[name] for name in names]
    if len(paths) != len(names):
        got = f"arrays named {_listed(first)}" if isinstance(first, Mapping) else "1"
        raise ValueError(_of_others(names, got))
    arrays: list[Array] = []
    for path, found, shape in zip(paths, read, shapes, strict=True):
        name = _named(path)
        if isinstance(found, Mapping):
            if len(found) != 1:
                expected = f"one array, or arrays named {', '.join(names)}"
                raise ValueError(f"{name}: expected {expected}, got {_listed(found)}")
            arrays += found.values()
        else:
            arrays.append(found.shaped(name, shape) if isinstance(found, _Table) else found)
    return arrays


def _of_others(names: Sequence[str], found: str) -> str:
    several = len(names) > 1
    together = ", or a .npz file of arrays so named" * several
    files = f"{len(names)} file{'s' * several} of inputs ({', '.join(names)})"
    return f"INPUT: expected {files}{together}, got {found}"


def _listed(arrays: Mapping[str, Array]) -> str:
    return ", ".join(show(name) for name in [*arrays][:8]) + ", ..." * (len(arrays) > 8) or "none"


def _named(path: Path) -> str:
    return "standard input" if path == STDIN else str(path)


def _read(path: Path) -> Array | Mapping[str, Array] | _Table:
    name = _named(path)
    try:
        if path == STDIN:
            return _recognised(name, _standard_input())
        data, suffix = _files.read(path), path.suffix.lower()
        if suffix == ".npy":
            return _array(name, data)
        if suffix == ".npz":
            return _archive(name, data)
        return _csv(name, data) if suffix == ".csv" else _parquet(name, data)
    except _files.NoFileError as error:
        raise ValueError(f"{name}: {error}") from error
    except (MemoryError, OverflowError) as error:
        raise MemoryError(f"{name}: expected a file that fits into memory") from error


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("standard input: expected an open file, it is closed")
    return sys.stdin.buffer.read()


def _recognised(name: str, data: bytes) -> Array | Mapping[str, Array] | _Table:
    if data.startswith(b"\x93NUMPY"):
        return _array(name, data)
    if data.startswith(b"PK\x03\x04"):
        return _archive(name, data)
    return _csv(name, data)


def _array(name: str, data: bytes) -> Array:
    try:
        return _npy.array(data)
    except _npy.NoArrayError as error:
        expected = "expected an array of numbers as numpy.save writes it (.npy)"
        raise ValueError(f"{name}: {expected}, got {error}") from error


def _archive(name: str, data: bytes) -> Mapping[str, Array]:
    try:
        return _npy.archive(data)
    except _npy.NoArrayError as error:
        expected = "expected arrays of numbers as numpy.savez writes them (.npz)"
        raise ValueError(f"{name}: {expected}, got {error}") from error


# ---- tables ----


def _csv(name: str, data: bytes) -> _Table:
    """Read lines of numbers with commas between."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "something else" if b"\0" in data[:4096] else "text that is not UTF-8"
        raise ValueError(f"{name}: expected lines of numbers (.csv), got {found}") from error
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"{name}: expected lines of numbers (.csv), got an empty file")
    if len(lines) > 1 and lines[0].rstrip("\r").split(",") == _numbered(lines[0].count(",") + 1):
        raise ValueError(
            f"{name}: expected numbers from the first line on, got 0, 1, 2, ... in it, which are "
            f"names as pandas writes them; {_NO_NAMES}, and .npy files hold any numbers"
        )
    plain = text.isascii() and not re.search(r"[\x1c-\x1f]", text)  # NumPy takes those for spaces
    if plain and all(line and not line.isspace() for line in lines):
        try:
            numbers = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
        except ValueError:
            numbers = None  # what it says of it counts lines from 0
        if numbers is not None and (np.isfinite(numbers).all() or not _overflows(lines)):
            return _Table(numbers)
    raise ValueError(f"{name}: {_first_fault(lines)}")


def _overflows(lines: Sequence[str]) -> bool:
    """Say whether some number, written with digits, is beyond float64."""
    fields = (field for line in lines for field in line.split(","))
    return any(math.isinf(float(field)) and any(map(str.isdigit, field)) for field in fields)


def _numbered(count: int) -> list[str]:
    """Return the names that columns without names have: 0, 1, 2, ... of three or more."""
    return [str(n) for n in range(count)] if count > 2 else []


def _first_fault(lines: Sequence[str]) -> str:
    """Say what is no number, or not as many as in the line above, in which line."""
    width = lines[0].count(",")
    for number, line in enumerate(lines, 1):
        fields = line.split(",")
        wrong = [field for field in fields if not _is_number(field)]
        if number == 1 and len(wrong) and len(lines) > 1:
            below = lines[1].split(",")
            if all(_is_number(field) for field in below) and len(wrong) >= len(fields) - 1:
                return f"expected numbers from the first line on, got names in it; {_NO_NAMES}"
        where = f"line {number}: expected numbers with commas between"
        if not line or line.isspace():
            return f"{where}, got an empty line"
        if not wrong and _overflows([line]):
            return f"{where}, within the range of float64, got {show(line[:40])}"
        if wrong:
            return f"{where}, got {show(wrong[0]) if wrong[0] else 'nothing in a column'}"
        if len(fields) != width + 1:
            return f"line {number}: expected {width + 1} numbers, as in line 1, got {len(fields)}"
    return "expected numbers with commas between, got something else"


def _is_number(field: str) -> bool:
    """Say whether it is a number as these files have them: in ASCII, without groups of digits."""
    try:
        float(field)
    except ValueError:
        return False
    return field.isascii() and "_" not in field


def _counts(column: Array) -> bool:
    """Say whether numbers go up by one, as an index does."""
    return len(column) > 1 and np.array_equal(column, column[0] + np.arange(len(column)))


def _parquet(name: str, data: bytes) -> _Table:
    try:
        import pandas
    except ImportError as error:
        raise _check.missing(name, "pandas", "pandas") from error
    try:
        frame = pandas.read_parquet(io.BytesIO(data))
    except ImportError as error:
        raise _check.missing(name, "pyarrow", "pandas") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever its readers raise
        reason = show(" ".join(str(error).split()) or type(error).__name__)
        raise ValueError(f"{name}: expected a table (.parquet), got {reason}") from error
    if not isinstance(frame.index, pandas.RangeIndex):
        expected = "expected columns alone; DataFrame.to_parquet(path, index=False) writes those"
        raise ValueError(f"{name}: {expected}, got an index too")
    for label, dtype in frame.dtypes.items():
        if not isinstance(dtype, np.dtype) or dtype.kind not in "fiub":
            raise ValueError(f"{name}: expected numbers, got {dtype} in column {show(label)}")
    return _Table(frame.to_numpy(np.float64))

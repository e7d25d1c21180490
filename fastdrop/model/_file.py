"""Models in files, `fastdrop-model-file/1`: what is written, and what fields of layers may hold.

A file is a safetensors file, of which the metadata describe the layers and their calls. Layers are
written field by field, whatever their classes are.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from os import PathLike
from types import NoneType, UnionType
from typing import IO, TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _files, layers
from fastdrop.layers import Layer
from fastdrop.model._graph import Call

if TYPE_CHECKING:
    from fastdrop.model._model import Model

Array = NDArray[Any]

FORMAT = "fastdrop-model-file"
VERSION = 1
# Its keys in the metadata of the safetensors file.
FORMAT_KEY, MODEL_KEY = "format", "model"
# What is only there of models that have it.
DTYPES = "input_dtypes"
# What begins so in a file is no value of JSON's own: {"tensor": NAME}, and so on.
TENSOR, SLICE, FLOAT, CLASS, FIELDS = "tensor", "slice", "float", "class", "fields"


# ---- layers ----


def layer_class(name: str) -> type[Layer] | None:
    """Return the class of layers that a file means by a name, if there is one."""
    found = getattr(layers, name) if name in layers.__all__ else None
    bases = (layers.Layer, layers.Single)
    is_layer = isinstance(found, type) and issubclass(found, Layer) and found not in bases
    return found if is_layer else None


def fields_of(layer: type[Layer]) -> dict[str, tuple[Any, bool]]:
    """Return the fields that make a layer: what each may hold, and whether it must be given.

    Of which kinds the layers within it are, and which shapes weights have, its class checks.
    """
    found = {}
    for each in fields(layer):
        if each.init:
            holds = each.type
            if each.name in layer.weight_fields:
                holds = np.ndarray if each.default is MISSING else np.ndarray | None
            elif each.name in layer.part_fields:
                holds = Layer | tuple[Layer, ...]
            found[each.name] = holds, each.default is MISSING
    return found


def fits(value: object, hint: Any) -> bool:
    """Return whether a value is what an annotation says, to the last entry of a tuple.

    True and False are no numbers, and integers may stand for any number.
    """
    origin, given = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (UnionType, Union):
        return any(fits(value, one) for one in given)
    if origin is Literal:
        return isinstance(value, str)  # which text, the layer checks
    if origin is tuple and given[1:] != (...,):
        if not isinstance(value, tuple) or len(value) != len(given):
            return False
        return all(fits(item, one) for item, one in zip(value, given, strict=True))
    if origin in (tuple, Sequence):
        return isinstance(value, tuple) and all(fits(item, given[0]) for item in value)
    if hint in (int, float):
        return type(value) is int or type(value) is hint
    return isinstance(value, NoneType if hint is None else origin or hint)


# ---- to a file ----


# How files of other formats are called.
_OTHERS = (".keras", ".h5", ".hdf5", ".pt", ".pth", ".onnx")


def save(model: "Model", path: str | PathLike[str]) -> None:
    name = _files.path(path, "path")
    check_name(name, "path")
    target = _files.target(name, "path: ")
    tensors: dict[str, Array] = {}
    metadata = {
        FORMAT_KEY: f"{FORMAT}/{VERSION}",
        MODEL_KEY: json.dumps(_described(model, tensors), separators=(",", ":")),
    }
    _files.replace(target, partial(write_tensors, tensors=tensors, metadata=metadata))


def check_name(name: str, label: str) -> None:
    """Refuse the name of a file that says another format."""
    if name.lower().endswith(_OTHERS):
        expected = "a name as model.safetensors, for other formats are not written"
        _check.refuse(ValueError, label, expected, name)


def write_tensors(
    file: IO[bytes], tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file of float32 numbers."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        shape = [*array.shape]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # numbers are aligned
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for array in tensors.values():
        file.write(np.ascontiguousarray(array, "<f4").data)


def _described(model: "Model", tensors: dict[str, Array]) -> dict[str, Any]:
    """Return what the metadata say of a model; its arrays are put into `tensors`."""
    entries = [entry if isinstance(entry, Call) else Call(entry) for entry in model._entries]
    # One layer that is called twice is one.
    numbers: dict[int, int] = {}
    described: list[dict[str, Any]] = []
    for entry in entries:
        if id(entry.layer) not in numbers:
            numbers[id(entry.layer)] = len(described)
            described.append(_layer(entry.layer, f"layers.{len(described)}", tensors))
    calls = [
        {
            "layer": numbers[id(entry.layer)],
            "inputs": entry.inputs
            if entry.inputs is None or isinstance(entry.inputs, str)
            else list(entry.inputs),
            "name": entry.name,
            "training": entry.training,
        }
        for entry in entries
    ]
    outputs = model._outputs
    if isinstance(outputs, Mapping):
        outputs = dict(outputs)
    elif outputs is not None and not isinstance(outputs, str):
        outputs = list(outputs)
    found = {
        "inputs": model._inputs_given,
        "layers": described,
        "calls": calls,
        "outputs": outputs,
        "source": model.source,
        "notes": list(model._notes),
    }
    return found | ({DTYPES: model._input_dtypes} if model._input_dtypes else {})


def _layer(layer: Layer, place: str, tensors: dict[str, Array]) -> dict[str, Any]:
    """Return a layer's class and all of its fields."""
    kind = type(layer).__name__
    if layer_class(kind) is not type(layer):
        _check.refuse(ValueError, f"save: {layer.label}", "a class of fastdrop.layers", layer)
    found = {}
    for name, (hint, _) in fields_of(type(layer)).items():
        value = _plain(getattr(layer, name))
        if not fits(value, hint):
            shown = getattr(hint, "__name__", str(hint))
            _check.refuse(ValueError, f"save: {layer.label} {name}", shown, value)
        found[name] = _value(value, f"{place}.{name}", tensors)
    return {CLASS: kind, FIELDS: found}


def _plain(value: Any) -> Any:
    """Return numbers and sequences as Python has them."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _value(value: Any, place: str, tensors: dict[str, Array]) -> Any:
    """Return what JSON says of a value in a field."""
    if isinstance(value, tuple):
        return [_value(item, f"{place}.{i}", tensors) for i, item in enumerate(value)]
    if isinstance(value, Layer):
        return _layer(value, place, tensors)
    if isinstance(value, slice):
        return {SLICE: [value.start, value.stop, value.step]}
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        tensors[place] = value
        return {TENSOR: place}
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT: str(value)}
    if value is not None and not isinstance(value, bool | int | float | str):
        expected = "numbers, texts, slices, layers and arrays of float32"
        _check.refuse(ValueError, f"save: {place}", expected, value)
    return value

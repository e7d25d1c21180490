"""Read a model that `Model.save` wrote: a safetensors file that describes its layers and calls.

A class is named by the file and looked up among those of `fastdrop.layers`; what stands in a field
must be what the class says of that field, and is then checked by the class itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, malformed, printable, show
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_json import Section, parse_object
from fastdrop.formats._safe_tensors import Stored
from fastdrop.layers import Layer
from fastdrop.model import Call, Model
from fastdrop.model._file import (
    CLASS,
    DTYPES,
    FIELDS,
    FLOAT,
    FORMAT,
    FORMAT_KEY,
    MODEL_KEY,
    SLICE,
    TENSOR,
    VERSION,
    fields_of,
    fits,
    layer_class,
)

_PART = "the model in the metadata"
# All of a model, and of a call of a layer.
_KEYS = frozenset({"inputs", "layers", "calls", "outputs", "source", "notes"})
_CALL_KEYS = frozenset({"layer", "inputs", "name", "training"})
_FLOATS = frozenset({"inf", "-inf", "nan"})
# Numbers that are looked at together, for NaN.
_PIECE = 1 << 16


def is_model(metadata: Mapping[str, str]) -> bool:
    """Return whether the metadata of a safetensors file say that it is a model."""
    return metadata.get(FORMAT_KEY, "").startswith(f"{FORMAT}/")


def read_model(
    tensors: Mapping[str, Stored],
    metadata: Mapping[str, str],
    limits: Limits,
    allow_nonfinite: bool,
) -> Model:
    """Return the model of a file.

    Weights are the tensors themselves, which are not copied; a recurrent layer keeps packed copies
    of its own.

    Raises
    ------
    ModelFormatError
        The file was written by a later version, or is malformed.
    """
    found = metadata[FORMAT_KEY]
    if found != f"{FORMAT}/{VERSION}":
        raise ModelFormatError(f"expected {FORMAT}/{VERSION}, found {show(found)}: a later version")
    with malformed(_PART):
        text = metadata.get(MODEL_KEY, "").encode()
    section = Section(_PART, parse_object(text, _PART))
    _check_keys(section, _KEYS | {DTYPES}, _KEYS)
    reading = _Reading(tensors, limits, allow_nonfinite)
    layers = [reading.layer(e, f"layer {i}") for i, e in enumerate(section.items("layers"))]
    calls = [_call(layers, e, f"call {i}") for i, e in enumerate(section.items("calls"))]
    reading.check_all_used()
    if len(calls) > limits.max_layers:
        raise ModelFormatError(f"{len(calls)} calls, max_layers is {limits.max_layers}")
    if {id(call.layer) for call in calls} != {id(layer) for layer in layers}:
        raise ModelFormatError(f"{_PART}: a layer that is not called")
    inputs = section.section("inputs")
    with _refused(_PART):
        model = Model(
            calls,
            {name: tuple(inputs.items(name)) for name in inputs.values},
            outputs=_outputs(section),
            source=section.string("source"),
            notes=_texts(section, "notes"),
            input_dtypes=section.values.get(DTYPES),
        )
    for name, shape in zip(model.graph.names, model.graph.shapes, strict=True):
        size = 4 * math.prod(length or 1 for length in shape)
        if size > limits.max_tensor_bytes:
            raise ModelFormatError(
                f"tensor {show(name)}: an output of {size} bytes, max_tensor_bytes is "
                f"{limits.max_tensor_bytes}"
            )
    return model


class _Reading:
    """What layers are made of: values in fields, and tensors, each of which is used once."""

    def __init__(
        self, tensors: Mapping[str, Stored], limits: Limits, allow_nonfinite: bool
    ) -> None:
        self._tensors = dict(tensors)
        self._limits = limits
        self._allow_nonfinite = allow_nonfinite
        self._count = 0

    def layer(self, entry: object, where: str) -> Layer:
        section = Section(where, entry)
        _check_keys(section, frozenset({CLASS, FIELDS}), frozenset({CLASS, FIELDS}))
        self._count += 1
        if self._count > self._limits.max_layers:
            raise ModelFormatError(f"more layers than max_layers, {self._limits.max_layers}")
        kind = section.string(CLASS)
        made = layer_class(kind)
        if made is None:
            raise ModelFormatError(f"{where}: the class {show(kind)} is not supported")
        known = fields_of(made)
        given = section.section(FIELDS, f"{where} ({kind})")
        _check_keys(given, frozenset(known), frozenset(n for n, (_, must) in known.items() if must))
        values = {}
        for name, value in given.values.items():
            found = self._value(value, f"{given.where}: {name}")
            if not fits(found, known[name][0]):
                hint = known[name][0]
                raise given.wrong(name, getattr(hint, "__name__", str(hint)))
            if name in made.weight_fields and found is not None:
                # What is added to a mask is infinite where nothing is to be seen.
                infinite = kind == "Constant"
                self._check_finite(found, f"{given.where}: {name}", infinite=infinite)
            values[name] = found
        with _refused(given.where):
            return made(**values)

    def check_all_used(self) -> None:
        for name in self._tensors:
            raise ModelFormatError(f"tensor {show(name)} belongs to no layer")

    def _value(self, value: Any, where: str) -> Any:
        if isinstance(value, list):
            return tuple(self._value(item, where) for item in value)
        if not isinstance(value, dict):
            return value
        if CLASS in value:
            return self.layer(value, where)
        section = Section(where, value)
        if [*value] == [TENSOR]:
            return self._tensor(section.string(TENSOR), where)
        if [*value] == [SLICE]:
            parts = section.items(SLICE)
            if len(parts) == 3 and all(part is None or type(part) is int for part in parts):
                return slice(*parts)
        elif [*value] == [FLOAT] and value[FLOAT] in _FLOATS:
            return float(value[FLOAT])
        raise ModelFormatError(f"{where}: expected a value, found {show(value)}")

    def _tensor(self, name: str, where: str) -> NDArray[Any]:
        stored = self._tensors.pop(name, None)
        if stored is None:
            raise ModelFormatError(f"{where}: no tensor {show(name)} is left")
        if stored.dtype != "F32":
            raise ModelFormatError(f"{where}: expected F32, found {stored.dtype}")
        return stored.values

    def _check_finite(self, array: NDArray[Any], where: str, *, infinite: bool) -> None:
        flat = array.reshape(-1)
        for start in range(0, 0 if self._allow_nonfinite else flat.size, _PIECE):
            some = flat[start : start + _PIECE]
            if np.isnan(some).any() if infinite else not np.isfinite(some).all():
                what = "NaN" if infinite else "NaN or infinities"
                raise ModelFormatError(f"{where} holds {what}; allow_nonfinite=True accepts them")


@contextmanager
def _refused(where: str) -> Iterator[None]:
    """Turn what a layer or a model refuses into the file's fault."""
    try:
        yield
    except ModelFormatError:
        raise
    except (TypeError, ValueError) as error:
        raise ModelFormatError(printable(f"{where}: {error}", 400, "ascii")) from error


def _call(layers: list[Layer], entry: Any, where: str) -> Call:
    section = Section(where, entry)
    _check_keys(section, _CALL_KEYS, _CALL_KEYS)
    number, inputs = section.values["layer"], section.values["inputs"]
    if type(number) is not int or not 0 <= number < len(layers):
        raise section.wrong("layer", f"a number below {len(layers)}")
    if inputs is not None and not isinstance(inputs, str):
        inputs = _texts(section, "inputs")
        if not inputs:
            raise section.wrong("inputs", "at least one tensor")
    name = None if section.values["name"] is None else section.string("name")
    training = None if section.values["training"] is None else section.boolean("training")
    return Call(layers[number], inputs, name, training)


def _outputs(section: Section) -> Any:
    value = section.values["outputs"]
    if isinstance(value, dict):
        names = section.section("outputs")
        return {name: names.string(name) for name in names.values}
    return value if value is None or isinstance(value, str) else _texts(section, "outputs")


def _texts(section: Section, key: str) -> list[str]:
    found = section.items(key)
    if not all(isinstance(item, str) for item in found):
        raise section.wrong(key, "a list of strings")
    return found


def _check_keys(section: Section, known: frozenset[str], needed: frozenset[str]) -> None:
    for key in section.values:
        if key not in known:
            raise ModelFormatError(f"{section.where}: unexpected key {show(key)}")
    for key in sorted(needed - section.values.keys()):
        raise ModelFormatError(f"{section.where}: {key} is missing")

"""Read tensors by name: a state_dict of PyTorch, or a safetensors file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._limits import Limits
from fastdrop.formats._recognise import LEGACY, SCRIPT, is_legacy_checkpoint, recognise_members
from fastdrop.formats._safe_pickle import RECIPE, Beside, Storage, Tensor, read_pickle
from fastdrop.formats._safe_tensors import Stored, is_safe_tensors, read_tensors
from fastdrop.formats._safe_zip import Archive

Array = NDArray[Any]

_PART = "the pickle in the checkpoint"
_PICKLE, _BYTE_ORDER = "data.pkl", "byteorder"
# A zip archive has a few members besides the storages.
_OTHER_MEMBERS = 16
# Under which key checkpoints keep the tensors of the model, where it has others too.
_KEYS = ("state_dict", "model_state_dict", "model")
# A counter of training steps that normalization keeps.
_COUNTER = "num_batches_tracked"
_LEGACY_PROTOCOL = 1001


class State(NamedTuple):
    """Tensors by name: float32, or whole numbers; and what a user should know about them."""

    tensors: dict[str, Array]
    notes: list[str]


def read_state(data: bytes | memoryview, limits: Limits, allow_nonfinite: bool = False) -> State:
    """Return the tensors of a safetensors file, or of what ``torch.save`` wrote.

    Tensors are views of the file where they are float32 and their numbers in this machine's order.

    Raises
    ------
    ModelFormatError
        The file is malformed, holds anything else than plain values and tensors, or no or several
        state_dicts; or numbers are NaN or infinite, and that is not allowed.
    """
    if is_safe_tensors(bytes(data[:16])):
        stored, metadata = read_tensors(memoryview(data), limits)
        # save_model of safetensors keeps weights that are one and the same once.
        same = {name: stored[other] for name, other in metadata.items() if other in stored}
        tensors, notes = _of_safe_tensors({**same, **stored})
    else:
        tensors, notes = _of_checkpoint(bytes(data), limits)
    tensors = {n: values for n, values in tensors.items() if n.rpartition(".")[2] != _COUNTER}
    for name, values in tensors.items():
        if not allow_nonfinite and not np.isfinite(values).all():
            raise ModelFormatError(
                f"tensor {show(name)} holds NaN or infinities; allow_nonfinite=True accepts them"
            )
    return State(tensors, notes)


def _of_safe_tensors(stored: Mapping[str, Stored]) -> State:
    notes: list[str] = []
    tensors = {
        name: _as_float32(values, "bfloat16" if dtype == "BF16" else values.dtype.name, notes)
        for name, (dtype, values) in stored.items()
    }
    return State(tensors, notes)


def _of_checkpoint(data: bytes, limits: Limits) -> State:
    """Read a zip archive, or before torch 1.6 a row of pickles with the numbers behind them."""
    if is_legacy_checkpoint(data[:16]):
        value, source = _legacy(data, limits)
    else:
        value, source = _zipped(data, limits)
    found, notes = _state_dict(value)
    _check_amounts(found, limits)
    reading = _Storages(source, notes)
    return State({name: reading.view(tensor) for name, tensor in found.items()}, notes)


# ---- files ----


class _Source(NamedTuple):
    """Where the bytes of storages are, by their keys, and in which order those of a number."""

    bytes_of: Callable[[str, int], bytes | memoryview]
    order: Literal["<", ">"]


def _zipped(data: bytes, limits: Limits) -> tuple[Any, _Source]:
    archive = Archive(data, limits.max_tensors + _OTHER_MEMBERS)
    pickles = [name for name in archive.names if name.rpartition("/")[2] == _PICKLE]
    if not pickles:
        meaning = recognise_members(archive.names)
        raise ModelFormatError(meaning or f"expected {_PICKLE} in the zip archive")
    if len(pickles) != 1:
        raise ModelFormatError(f"expected one {_PICKLE} in the zip archive, found {len(pickles)}")
    folder = pickles[0].removesuffix(_PICKLE)
    if any(
        name.startswith(f"{folder}code/") or name == f"{folder}constants.pkl"
        for name in archive.names
    ):
        raise ModelFormatError(SCRIPT)
    pickled = memoryview(archive.take(pickles[0], limits.max_json_bytes))
    value, size, _ = read_pickle(pickled, _PART, len(data))
    if size != len(pickled):
        raise ModelFormatError(f"{_PART}: {len(pickled) - size} bytes behind its end")
    order = b"little"
    if f"{folder}{_BYTE_ORDER}" in archive.names:
        order = bytes(archive.take(f"{folder}{_BYTE_ORDER}", 16))
    if order not in (b"little", b"big"):
        raise ModelFormatError(f"{_BYTE_ORDER}: expected little or big, found {show(order)}")

    def bytes_of(key: str, size: int) -> bytes | memoryview:
        return archive.take(f"{folder}data/{key}", size)

    return value, _Source(bytes_of, "<" if order == b"little" else ">")


def _legacy(data: bytes, limits: Limits) -> tuple[Any, _Source]:
    """Read the pickles and what is behind them: of each storage its length, and its numbers."""
    at = len(LEGACY) + 3  # the protocol, and the end of that pickle
    pickles = []
    for _ in range(4):
        rest = memoryview(data)[at : at + limits.max_json_bytes]
        pickles.append(read_pickle(rest, _PART, len(data)))
        at += pickles[-1].size
    (protocol, *_), (system, *_), (value, _, storages), (keys, *_) = pickles
    if protocol != _LEGACY_PROTOCOL or type(system) is not dict or type(keys) is not list:
        raise ModelFormatError("the checkpoint begins otherwise than torch < 1.6 would have it")
    if not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise ModelFormatError("the list of storages in the checkpoint is malformed")
    order: Literal["little", "big"] = "little" if system.get("little_endian") is True else "big"
    places = {}
    for key in keys:
        count = int.from_bytes(data[at : at + 8], order)
        if count != storages[key].length:
            raise ModelFormatError(
                f"storage {show(key)}: expected {storages[key].length} numbers, found {count}"
            )
        places[key] = memoryview(data)[at + 8 : at + 8 + count * _width(storages[key])]
        at += 8 + count * _width(storages[key])
    if at != len(data):
        raise ModelFormatError(f"expected {at} bytes in the checkpoint, found {len(data)}")
    return value, _Source(lambda key, size: places[key], "<" if order == "little" else ">")


# ---- the state_dict ----


def _state_dict(value: object) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a model that stand in a checkpoint."""
    if type(value) is not dict:
        found = value.text if type(value) is Beside else f"a {type(value).__name__}"
        raise ModelFormatError(f"expected a state_dict, found {found}; {RECIPE}")
    # Of one dict under many keys each key is told, and the dict looked at once.
    dicts = {id(item): item for item in value.values()}
    with_tensors = {number for number, item in dicts.items() if _named_tensors(item)}
    inner = [key for key, item in value.items() if id(item) in with_tensors]
    own = _named_tensors(value)
    key = next((key for key in _KEYS if key in inner), inner[0] if inner else None)
    if key not in _KEYS and len(inner) + bool(own) > 1:
        places = [*map(show, inner[:3]), *(["among its own entries"] if own else [])]
        raise ModelFormatError(
            f"expected one state_dict, found several in the checkpoint ({', '.join(places)}); save "
            'the one that is meant: torch.save(checkpoint["..."], "model.pt")'
        )
    if key is not None:
        notes = [f"the weights are those under {show(key)} in the file"]
        return _named_tensors(value[key]), notes + _arrays(value[key])
    if not own:
        others = sorted({item.text for item in value.values() if type(item) is Beside})
        beside = f" beside {', '.join(others[:3])}" if others else ""
        raise ModelFormatError(f"expected a state_dict, found no tensors by name{beside}; {RECIPE}")
    return own, _arrays(value)


def _arrays(value: dict[Any, Any]) -> list[str]:
    """Return a note of what might be taken for weights and is not read."""
    found = [k for k, v in value.items() if type(v) is Beside and v.text == "numpy.ndarray"]
    if not found:
        return []
    named = ", ".join(map(show, found[:3]))
    return [f"arrays of NumPy are left out, for only tensors are read: {named}"]


def _named_tensors(value: object) -> dict[str, Tensor]:
    """Return the tensors among the entries of a dict by name; what else is there is left out."""
    if type(value) is not dict:
        return {}
    return {k: v for k, v in value.items() if type(k) is str and type(v) is Tensor}


def _check_amounts(tensors: Mapping[str, Tensor], limits: Limits) -> None:
    if len(tensors) > limits.max_tensors:
        raise ModelFormatError(f"{len(tensors)} tensors, max_tensors is {limits.max_tensors}")
    # Several tensors may be views of the same numbers, and use few of them.
    views = sum(math.prod(t.shape) * max(_width(t.storage), 4) for t in tensors.values())
    storages = {tensor.storage for tensor in tensors.values()}
    held = sum(storage.length * max(_width(storage), 4) for storage in storages)
    size = max(views, held)
    if size > limits.max_tensor_bytes:
        raise ModelFormatError(
            f"the tensors take {size} bytes, max_tensor_bytes is {limits.max_tensor_bytes}"
        )


def _width(storage: Storage) -> int:
    return 2 if storage.dtype == "bfloat16" else np.dtype(storage.dtype).itemsize


class _Storages:
    """Storages, each of which is read and converted once, however many tensors view it."""

    def __init__(self, source: _Source, notes: list[str]) -> None:
        self._source = source
        self._notes = notes
        self._arrays: dict[str, Array] = {}

    def view(self, tensor: Tensor) -> Array:
        storage = tensor.storage
        if storage.key not in self._arrays:
            self._arrays[storage.key] = self._read(storage)
        numbers = self._arrays[storage.key]
        if 0 in tensor.shape:
            return np.zeros(tensor.shape, numbers.dtype)
        item = numbers.itemsize
        strides = [item * step for step in tensor.strides]
        view: Array = np.ndarray(
            tensor.shape, numbers.dtype, numbers, item * tensor.offset, strides
        )
        return view

    def _read(self, storage: Storage) -> Array:
        size = storage.length * _width(storage)
        content = self._source.bytes_of(storage.key, size)
        if len(content) != size:
            raise ModelFormatError(
                f"storage {show(storage.key)}: expected {size} bytes, found {len(content)}"
            )
        kind = "u2" if storage.dtype == "bfloat16" else storage.dtype
        numbers = np.frombuffer(content, np.dtype(kind).newbyteorder(self._source.order))
        name = "bfloat16" if storage.dtype == "bfloat16" else numbers.dtype.name
        return _as_float32(numbers, name, self._notes)


# ---- numbers ----


def _as_float32(values: Array, kind: str, notes: list[str]) -> Array:
    """Return numbers as they are computed with; whole ones stay what they are."""
    native = values.dtype.newbyteorder("=")
    if kind not in ("float64", "float16", "bfloat16"):
        return values.astype(native, copy=False)
    if kind == "float64":
        note = "weights of float64 in the file are rounded to float32"
    else:
        note = f"weights of {kind} in the file are computed with in float32"
    if note not in notes:
        notes.append(note)
    if kind == "bfloat16":
        wide = values.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return values.astype(np.float32)

"""Read what Keras keeps in one HDF5 file, ``.h5``, which may be hostile.

The configuration is an attribute of the root. Weights are known by two lists of
names alone: ``layer_names`` says which groups are layers, and ``weight_names`` of
each says where its weights are below it, in the layer's own order. How these paths
are spelled differs from version to version and tells nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import show
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_hdf5 import Dataset, Hdf5, Object, show_name

_ROOT = re.compile(rb"model_config|keras_version|backend|layer_names[0-9]{0,4}")
_WEIGHTS = re.compile(rb"keras_version|backend|layer_names[0-9]{0,4}")
_LAYER = re.compile(rb"weight_names[0-9]{0,4}")
_MAX_DEPTH = 32
_MAX_WORD = 256
# What the root of a file holds that Keras 3 calls model.weights.h5 inside a .keras file.
_STORE = re.compile(rb"(?:layers|_layer_checkpoint_dependencies)(?:\\.*)?|vars", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Weight:
    """One array of a layer, checked and not yet copied.

    Attributes
    ----------
    name : str
        Its name in ``weight_names``.
    numbers : Dataset
        Where they are in the file.
    """

    name: str
    numbers: Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.numbers.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers, in the machine's order of bytes."""
        return self.numbers.dtype

    def read(self) -> NDArray[Any]:
        """Return a copy of the numbers, in the type they have in the file."""
        return self.numbers.read()


@dataclass(frozen=True)
class Legacy:
    """What an ``.h5`` file holds.

    Attributes
    ----------
    kind : str
        ``"model"``: a configuration, and weights unless `has_weights` is False.
        ``"weights"``: weights in the same form, without a configuration.
        ``"store"``: weights of Keras 3 as in a .keras file, for `read_arrays`.
    model_config : bytes | None
        The JSON of the model.
    keras_version, backend : str | None
        As the file gives them; old ones may not.
    has_weights : bool
        Whether there are lists of layers and weights.
    weights : list of (str, list of Weight)
        Each layer's name and weights, in the order of the file.
    """

    kind: Literal["model", "weights", "store"]
    model_config: bytes | None = None
    keras_version: str | None = None
    backend: str | None = None
    has_weights: bool = False
    weights: list[tuple[str, list[Weight]]] = field(default_factory=list)


def read_legacy(image: bytes, limits: Limits, *, part: str = "") -> Legacy:
    """Return what an ``.h5`` file holds, all of it checked and no weight copied.

    Parameters
    ----------
    image : bytes
        The file.
    limits : Limits
        How much it may ask for.
    part : str
        What messages call the file, if anything.

    Raises
    ------
    ModelFormatError
        The file is malformed, uses what Keras does not, is not of Keras, or asks
        for too much.
    """
    file = Hdf5(image, part)
    walk = _Walk(file, limits)
    root = file.open_group(file.root, "", _ROOT)
    model_config = None
    if "model_config" in root.attributes:
        span = root.attributes["model_config"]
        most = limits.max_json_bytes
        model_config = file.text(span, "model_config", "", "max_json_bytes", most)
    words = {word: _word(file, root, word) for word in ("keras_version", "backend")}
    weights: list[tuple[str, list[Weight]]] = []
    kind: Literal["model", "weights", "store"] = "weights" if model_config is None else "model"
    has_weights = any(name.startswith("layer_names") for name in root.attributes)
    if has_weights:
        if model_config is not None:
            raise file.error("", "found both model_config and layer_names")
        weights = walk.read(root, "")
    else:
        address, is_store = _look(file, root)
        has_weights = address is not None
        if address is not None:
            path = "/model_weights"
            group = file.open_group(address, path, _WEIGHTS)
            for word, value in words.items():
                words[word] = _word(file, group, word) if value is None else value
            weights = walk.read(group, path)
        elif is_store and model_config is None:
            kind = "store"
        elif model_config is None:
            raise file.error("", "expected a Keras model or its weights, found neither")
    file.finish()
    return Legacy(
        kind, model_config, words["keras_version"], words["backend"], has_weights, weights
    )


def _look(file: Hdf5, root: Object) -> tuple[int | None, bool]:
    """Return where model_weights is, if it is there, and whether there is what Keras 3 writes."""
    address, is_store = None, False
    for name, at in file.symbols(root, ""):
        is_store = is_store or _STORE.fullmatch(name) is not None
        if name == b"model_weights":
            if address is not None:
                raise file.error("", "'model_weights' occurs twice")
            address = at
    return address, is_store


def _word(file: Hdf5, group: Object, name: str) -> str | None:
    """Return a short string, if a group has it."""
    if name not in group.attributes:
        return None
    return _decode(file, file.text(group.attributes[name], name, "", "the limit", _MAX_WORD), "")


def _decode(file: Hdf5, data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise file.error(path, f"{show(data)[1:]} is not UTF-8") from None


class _Wanted:
    """A layer, or a weight of one, and how far down its path has been followed."""

    __slots__ = ("at", "layer", "path", "weight")

    def __init__(self, path: bytes, layer: int, weight: int | None) -> None:
        self.path = path
        self.layer = layer
        self.weight = weight
        self.at = 0
        self._skip()

    def _skip(self) -> None:
        """Go to the next name; as in HDF5, what is empty or a dot is none."""
        while self.at < len(self.path):
            if self.path.startswith(b"/", self.at):
                self.at += 1
            elif self.path.startswith(b"./", self.at):
                self.at += 2
            else:
                break

    def next(self) -> bytes:
        """Return the next name on the path; none after the last."""
        end = self.path.find(b"/", self.at)
        end = len(self.path) if end < 0 else end
        name = self.path[self.at : end]
        self.at = end
        self._skip()
        return name

    def ends(self) -> bool:
        return self.at == len(self.path)


class _Walk:
    """The weights that have been found below a group."""

    def __init__(self, file: Hdf5, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.layers: list[list[Weight | None]] = []
        self.count = 0
        self.size = 0

    def read(self, group: Object, path: str) -> list[tuple[str, list[Weight]]]:
        """Return all layers that a group lists, with their weights."""
        names = self.names(group, "layer_names", path, "max_layers", self.limits.max_layers)
        self.layers = [[] for _ in names]
        self.follow(group, [_Wanted(name, i, None) for i, name in enumerate(names)], path, 0)
        result = []
        for name, weights in zip(names, self.layers, strict=True):
            found = [weight for weight in weights if weight is not None]
            assert len(found) == len(weights)  # what is missing has been refused
            result.append((_decode(self.file, name, path), found))
        return result

    def names(self, group: Object, name: str, path: str, limit: str, most: int) -> list[bytes]:
        """Return a list of names, which is kept in several attributes where it is long."""
        keys = [key for key in group.attributes if key.startswith(name)]
        if keys != [name]:
            # Keras numbers them from 0 and stops at the first that is missing.
            numbered = [f"{name}{i}" for i in range(len(keys))]
            if not keys or set(keys) != set(numbered):
                raise self.file.error(path, f"expected {name}, found {show(keys or 'nothing')}")
            keys = numbered
        names: list[bytes] = []
        for key in keys:
            room = most - len(names)
            names += self.file.texts(group.attributes[key], key, path, limit, room)
        if any(not each or each.startswith(b"/") for each in names):
            raise self.file.error(path, f"{name}: a name is empty or begins with a slash")
        return names

    def follow(self, group: Object, wanted: list[_Wanted], path: str, depth: int) -> None:
        """Find what is wanted below a group; each has been followed up to here."""
        if depth == _MAX_DEPTH:
            raise self.file.error(path, f"groups are nested deeper than {_MAX_DEPTH}")
        children: dict[bytes, list[_Wanted]] = {}
        for each in wanted:
            children.setdefault(each.next(), []).append(each)
        found: dict[bytes, int] = {}
        for name, address in self.file.symbols(group, path):
            if name in found:
                raise self.file.error(path, f"{show_name(name)} occurs twice")
            if name in children:
                found[name] = address
        for name, below in children.items():
            if name not in found:
                raise self.file.error(path, f"{show_name(name)} is missing")
            child = f"{path}/{_decode(self.file, name, path)}"
            ends = [each for each in below if each.ends()]
            if len(ends) > 1 or (len(below) > 1 and ends and ends[0].weight is not None):
                raise self.file.error(child, "its name is used twice")
            if ends and ends[0].weight is not None:
                self.read_weight(found[name], ends[0], child)
                continue
            inner = self.file.open_group(found[name], child, _LAYER if ends else None)
            further = [each for each in below if not each.ends()]
            if ends:
                further += self.weights_of(inner, ends[0].layer, child)
            if further:
                self.follow(inner, further, child, depth + 1)

    def weights_of(self, group: Object, layer: int, path: str) -> list[_Wanted]:
        """Return the weights that a layer lists."""
        room = self.limits.max_tensors - self.count
        names = self.names(group, "weight_names", path, "max_tensors", room)
        self.count += len(names)
        self.layers[layer] = [None] * len(names)
        return [_Wanted(name, layer, i) for i, name in enumerate(names)]

    def read_weight(self, address: int, wanted: _Wanted, path: str) -> None:
        """Find the numbers of a weight."""
        numbers = self.file.dataset(address, path)
        self.size += numbers.dtype.itemsize * math.prod(numbers.shape)
        if self.size > self.limits.max_tensor_bytes:
            raise self.file.error(
                path,
                f"the weights take {self.size} bytes up to here, "
                f"max_tensor_bytes is {self.limits.max_tensor_bytes}",
            )
        name = _decode(self.file, wanted.path, path)
        assert wanted.weight is not None
        self.layers[wanted.layer][wanted.weight] = Weight(name, numbers)

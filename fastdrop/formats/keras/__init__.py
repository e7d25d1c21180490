"""Read models that Keras wrote: ``.keras`` files of Keras 3, and of Keras 2.13 and later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_hdf5 import Group, read_arrays
from fastdrop.formats._safe_json import Section, parse_object
from fastdrop.formats._safe_zip import read_members
from fastdrop.formats.keras._assemble import Assembly
from fastdrop.formats.keras._records import ModelRecord, Reader, Record
from fastdrop.formats.keras._version import Version, parse_version
from fastdrop.model import Model

# Keras's rule for the name of a class's group.
_WORD = re.compile("(.)([A-Z][a-z]+)")
_CAPITAL_AFTER_SMALL = re.compile("([a-z])([A-Z])")

# Of no use at inference: the state of the training, and the state of a layer's generator.
_TRAINING = frozenset({"optimizer", "metrics"})
_RANDOM = frozenset({"seed_generator"})


def read(
    data: bytes,
    file_name: str,
    limits: Limits,
    allow_nonfinite: bool,
    custom: Mapping[str, str],
) -> Model:
    """Return the model in the bytes of a ``.keras`` file.

    Parameters
    ----------
    data : bytes
        The file.
    file_name : str
        Its name, for `Model.source`.
    limits : Limits
        How much it may ask for.
    allow_nonfinite : bool
        Whether weights may be NaN or infinite.
    custom : mapping of str to str
        Classes of the user's, and the known classes that they stand for.

    Raises
    ------
    ModelFormatError
        The file is malformed, unsafe or not supported.
    """
    members = read_members(
        data,
        {
            "metadata.json": limits.max_json_bytes,
            "config.json": limits.max_json_bytes,
            "model.weights.h5": limits.max_file_bytes,
        },
    )
    metadata = Section("metadata.json", parse_object(members["metadata.json"], "metadata.json"))
    version_text = metadata.string("keras_version")
    version = parse_version(version_text)
    if version is None or version < (2, 13):
        raise metadata.wrong("keras_version", "2.13 or later, or 3.x")
    config = Section("config.json", parse_object(members["config.json"], "config.json"))
    assembly = assemble(config, version, limits, custom)
    arrays = read_arrays(members["model.weights.h5"], _expected(assembly))
    found: dict[int, dict[str, NDArray[Any]]] = {}
    for record, path in _groups(assembly):
        for stored in assembly.stored_of(record):
            array = arrays[f"{path}/{stored.group}"]
            if not allow_nonfinite and not np.isfinite(array).all():
                raise ModelFormatError(
                    f"model.weights.h5: {path}/{stored.group} holds NaN or infinities; "
                    "allow_nonfinite=True accepts them"
                )
            found.setdefault(record.key, {})[stored.field] = array
    return assembly.finish(found, f"Keras {version_text}, {file_name}")


def assemble(
    config: Section, version: Version, limits: Limits, custom: Mapping[str, str]
) -> Assembly:
    """Return a model before its weights are read.

    Raises
    ------
    ModelFormatError
        Names everything that stands in the way.
    """
    reader = Reader(version, limits.max_layers, custom)
    try:
        model = reader.model(config)
    except ModelFormatError as error:
        reader.obstacles.add(error, structure=True)
        reader.obstacles.raise_any()
        raise
    assembly = Assembly(model, version, reader, limits)
    shapes = []
    for name, shape in zip(model.inputs or [""], model.shapes, strict=True):
        if shape is None:
            reader.obstacles.add(
                f"{model.where}: no input shape{f' of {name}' if name else ''}; build the model "
                "before saving it",
                structure=True,
            )
        shapes.append(shape or ())
    assembly.build(shapes)
    reader.obstacles.raise_any()
    assembly.check_amount()
    return assembly


def _group_name(record: Record) -> str:
    """Return the name of a layer's group: its class, in words."""
    name = record.class_name
    return _CAPITAL_AFTER_SMALL.sub(r"\1_\2", _WORD.sub(r"\1_\2", name)).lower()


def _groups(assembly: Assembly) -> Iterator[tuple[Record, str]]:
    """Yield the planned layers, and the path of each one's group: its class and a counter."""
    yield from _groups_of(assembly.model, "", assembly)


def _groups_of(model: ModelRecord, path: str, assembly: Assembly) -> Iterator[tuple[Record, str]]:
    """Yield those of a model and of the models in it.

    Keras 2.13 counts a layer with weights twice.
    """
    version = assembly.version
    root = "layers" if version >= (2, 15) else "_layer_checkpoint_dependencies"
    used: dict[str, int] = {}
    for record in model.layers:
        if record.operation:
            continue
        name = _group_name(record)
        count = used.get(name, 0)
        group = f"{path}/{root}/{name}_{count}" if count else f"{path}/{root}/{name}"
        within: list[tuple[Record, str]] = []
        inner = record.config.values.get("layer")
        if isinstance(record, ModelRecord):
            within = list(_groups_of(record, group, assembly))
        elif isinstance(inner, ModelRecord):
            within = list(_groups_of(inner, f"{group}/layer", assembly))
        elif record.class_name == "InputLayer" or record.key in assembly.plans:
            within = [(record, group)]
        weighted = any(r.key in assembly.plans and assembly.plans[r.key].stored for r, _ in within)
        used[name] = count + (2 if weighted and version < (2, 14) else 1)
        yield from within


def _expected(assembly: Assembly) -> Group:
    """Return what the HDF5 file must hold."""
    root = Group({"vars": Group()}, ignored=_TRAINING)
    for record, path in _groups(assembly):
        if record.class_name == "InputLayer":
            _add(root, f"{path}/vars", Group(name=record.name))
            continue
        planned = assembly.plans[record.key]
        for group, name in planned.groups.items():
            _add(root, f"{path}/{group}", Group(name=name))
        for stored in planned.stored:
            _add(root, f"{path}/{stored.group}", stored.shape)
    return root


def _add(root: Group, path: str, child: Group | tuple[int, ...]) -> None:
    """Put a child at a path, with all groups on the way."""
    *parents, last = path.removeprefix("/").split("/")
    group = root
    for parent in parents:
        inner = group.children.setdefault(parent, Group(ignored=_RANDOM))
        assert isinstance(inner, Group)
        group = inner
    group.children[last] = child

"""Read models that Keras wrote: ``.keras`` and ``.h5`` files of Keras 2 and 3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_hdf5 import Group, read_arrays
from fastdrop.formats._safe_json import Section, check_size, parse_object, unquoted
from fastdrop.formats._safe_legacy import Legacy, Weight, read_legacy
from fastdrop.formats._safe_zip import read_members
from fastdrop.formats.keras._assemble import Assembly
from fastdrop.formats.keras._records import ModelRecord, Reader, Record
from fastdrop.formats.keras._registry import LAYERS, is_function, row_of, supported
from fastdrop.formats.keras._rows import ACTIVATIONS, Stored
from fastdrop.formats.keras._version import NEWEST, Version, parse_version
from fastdrop.formats.keras.rnn import by_bias
from fastdrop.layers import Shape
from fastdrop.model import Model, Summary

# Keras's rule for the name of a class's group.
_WORD = re.compile("(.)([A-Z][a-z]+)")
_CAPITAL_AFTER_SMALL = re.compile("([a-z])([A-Z])")

# Of no use at inference: the state of the training, and the state of a layer's generator.
_TRAINING = frozenset({"optimizer", "metrics"})
_RANDOM = frozenset({"seed_generator"})

_LORA = (
    "those of LoRA are beside what they change, which Keras itself reads wrongly; save the model "
    "as .keras, where they are one"
)

_METADATA, _CONFIG, _WEIGHTS = "metadata.json", "config.json", "model.weights.h5"


@dataclass(frozen=True)
class Asked:
    """What the caller wants of a file.

    Attributes
    ----------
    limits : Limits
        How much it may ask for.
    allow_nonfinite : bool
        Whether weights may be NaN or infinite.
    custom : mapping of str to str
        Classes of the user's, and the known classes that they stand for.
    architecture : bytes or None
        A file that holds the configuration, where the first one holds weights alone.
    """

    limits: Limits
    allow_nonfinite: bool = False
    custom: Mapping[str, str] = field(default_factory=dict)
    architecture: bytes | None = None


# ---- .keras ----


def read(data: bytes, file_name: str, asked: Asked) -> Model:
    """Return the model in the bytes of a ``.keras`` file.

    Raises
    ------
    ModelFormatError
        The file is malformed, unsafe or not supported.
    """
    limits = asked.limits
    members = read_members(
        data,
        {
            _METADATA: limits.max_json_bytes,
            _CONFIG: limits.max_json_bytes,
            _WEIGHTS: limits.max_file_bytes,
        },
    )
    if asked.architecture is not None:
        raise ModelFormatError("architecture= is for files of weights alone; this one is a model")
    version, text, config = _described(members)
    assembly = assemble(config, version, asked, source=f"Keras {text}, {file_name}")
    with _summarised(assembly.reader.summary):
        return assembly.finish(_stored_arrays(members[_WEIGHTS], assembly, asked))


def _described(members: Mapping[str, bytes]) -> tuple[Version, str, Section]:
    """Return the version and the configuration in a ``.keras`` file."""
    metadata = Section(_METADATA, parse_object(members[_METADATA], _METADATA))
    text = metadata.string("keras_version")
    version = parse_version(text)
    if version is None or version < (2, 12):
        raise metadata.wrong("keras_version", "2.12 or later, or 3.x")
    return version, text, Section(_CONFIG, parse_object(members[_CONFIG], _CONFIG))


def _stored_arrays(
    image: bytes, assembly: Assembly, asked: Asked
) -> dict[int, dict[str, NDArray[Any]]]:
    """Return each layer's arrays out of the HDF5 file in which Keras 3 keeps weights."""
    arrays = read_arrays(image, _expected(assembly), dtypes=_FLOATS | _WHOLE)
    found: dict[int, dict[str, NDArray[Any]]] = {}
    for record, path in _groups(assembly):
        if record.key in found:
            continue
        for stored in assembly.stored_of(record):
            where = f"{_WEIGHTS}: {path}/{stored.group}"
            array = arrays[f"{path}/{stored.group}"]
            own = found.setdefault(record.key, {})
            _check_type(array.dtype, stored, where)
            own[stored.field] = _as_float32(array, where, assembly, asked)
    return found


_FLOATS = frozenset({"float16", "float32", "float64"})
_WHOLE = frozenset({"int32", "int64"})


def _check_type(dtype: np.dtype[Any], stored: Stored, where: str) -> None:
    """Refuse what are no numbers of the kind that belongs there."""
    if dtype.name not in _FLOATS and not (stored.whole_numbers and dtype.name in _WHOLE):
        raise ModelFormatError(f"{where}: expected float32, found {dtype}")


def _as_float32(array: NDArray[Any], where: str, assembly: Assembly, asked: Asked) -> NDArray[Any]:
    """Return a weight as it is computed with; what is not finite must be allowed."""
    if array.dtype.kind == "i":
        return array.astype(np.float32)
    if array.dtype != np.float32:
        done = "taken as" if array.dtype == np.float16 else "rounded to"
        assembly.note(f"weights of {array.dtype} in the file are {done} float32")
        with np.errstate(over="ignore", under="ignore"):
            array = array.astype(np.float32)
    if not asked.allow_nonfinite and not np.isfinite(array).all():
        raise ModelFormatError(
            f"{where} holds NaN or infinities; allow_nonfinite=True accepts them"
        )
    array.flags.writeable = False  # for layers to take it as it is
    return array


# Classes whose name in Keras's code is another one than they are saved by.
_DEFINED_AS = {"GroupQueryAttention": "GroupedQueryAttention"}


def _group_name(record: Record) -> str:
    """Return the name of a layer's group: its class, in words."""
    name = _DEFINED_AS.get(record.spelled, record.spelled)
    return _CAPITAL_AFTER_SMALL.sub(r"\1_\2", _WORD.sub(r"\1_\2", name)).lower()


def _groups(assembly: Assembly) -> Iterator[tuple[Record, str]]:
    """Yield the layers, and the path of each one's group: its class and a counter."""
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
        inner = record.config.values.get("layer")
        if isinstance(record, ModelRecord):
            within = [(record, group), *_groups_of(record, group, assembly)]
        elif isinstance(inner, ModelRecord):
            below = f"{group}/layer"
            within = [(record, group), (inner, below), *_groups_of(inner, below, assembly)]
        else:
            within = [(record, group)]
        weighted = any(assembly.stored_of(each) for each, _ in within)
        used[name] = count + (2 if weighted and version < (2, 14) else 1)
        yield from within


def _expected(assembly: Assembly) -> Group:
    """Return what the HDF5 file must hold."""
    root = Group({"vars": Group()}, ignored=_TRAINING)
    seen: set[int] = set()
    for record, path in _groups(assembly):
        if record.key in seen:  # kept where it is met first, by models that share it
            _add(root, f"{path}/vars", Group(name=record.name))
            continue
        seen.add(record.key)
        if record.key not in assembly.plans:  # an input, or a model
            _add(root, f"{path}/vars", Group(name=record.name))
        for group, name in assembly.groups_of(record).items():
            _add(root, f"{path}/{group}", Group(name=name))
        for stored in assembly.stored_of(record):
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
    there = group.children.get(last)
    if isinstance(child, Group) and isinstance(there, Group):
        there.name = child.name
    else:
        group.children[last] = child


# ---- .h5 ----


def read_h5(data: bytes, file_name: str, asked: Asked) -> Model:
    """Return the model in the bytes of an ``.h5`` file, or of one of weights and its architecture.

    Raises
    ------
    ModelFormatError
        The file is malformed, unsafe or not supported.
    """
    file = read_legacy(data, asked.limits)
    if file.kind == "model":
        if asked.architecture is not None:
            raise ModelFormatError("architecture= is for files of weights alone; this is a model")
        if not file.has_weights:
            raise ModelFormatError("a configuration without weights; save the whole model")
        version, text = _version_of(file)
        assert file.model_config is not None
        config = Section("model_config", parse_object(file.model_config, "model_config"))
    elif asked.architecture is None:
        raise ModelFormatError(
            "it holds weights alone, not the layers that they belong to: give these too, as "
            "architecture= a file of what model.to_json() returns or a .keras file of the same "
            "model; or save the whole model"
        )
    else:
        version, text, config = _architecture(asked, file)
    assembly = assemble(config, version, asked, file, f"Keras {text}, {file_name}")
    with _summarised(assembly.reader.summary):
        if file.kind == "store":
            arrays = _stored_arrays(data, assembly, asked)
        else:
            arrays = _listed_arrays(file, assembly, asked)
        return assembly.finish(arrays)


def _version_of(file: Legacy) -> tuple[Version, str]:
    text = file.keras_version
    if text is None:
        raise ModelFormatError("no keras_version: written by Keras 1 or by something else")
    version = parse_version(text)
    if version is None:
        raise ModelFormatError(
            f"keras_version: expected 2.x or 3.x, found {show(text)}"
            + ("; load it with Keras 2 and save it again" if text.startswith("1.") else "")
        )
    return version, text


def _architecture(asked: Asked, file: Legacy) -> tuple[Version, str, Section]:
    """Return the version and the configuration in the other file."""
    data = asked.architecture
    assert data is not None
    limit = asked.limits.max_json_bytes
    if data.startswith(b"PK\x03\x04"):
        sizes = {_METADATA: limit, _CONFIG: limit, _WEIGHTS: asked.limits.max_file_bytes}
        return _described(read_members(data, sizes))
    check_size(data, limit)
    config = Section("architecture", parse_object(unquoted(data, "architecture"), "architecture"))
    text = config.values.get("keras_version", file.keras_version)
    if text is None:  # Keras 3 writes it into neither
        return NEWEST, "3", config
    version = parse_version(text) if isinstance(text, str) else None
    if version is None:
        raise config.wrong("keras_version", "2.x or 3.x")
    return version, str(text), config


def _listed_arrays(
    file: Legacy, assembly: Assembly, asked: Asked
) -> dict[int, dict[str, NDArray[Any]]]:
    """Return each layer's arrays out of lists of names, in the layer's own order.

    How the names are spelled tells nothing.
    """
    listed = dict(file.weights)
    if len(listed) != len(file.weights):
        raise ModelFormatError("layer_names: a layer is listed twice")
    found: dict[int, dict[str, NDArray[Any]]] = {}
    for record in assembly.model.layers:
        if record.operation:
            continue
        wanted = _in_keras_order(record, assembly)
        weights = listed.pop(record.name, [])
        if len(wanted) != len(weights):
            lora = any("lora_" in weight.name for weight in weights)
            raise ModelFormatError(
                f"{record.where}: expected {len(wanted)} weights, found {len(weights)}"
                + (f"; {_LORA}" if lora else "")
            )
        if assembly.version.legacy and len({leaf.key for leaf, _ in wanted}) == 1:
            leaf = wanted[0][0]
            kept = by_bias([s for _, s in wanted], [weight.shape for weight in weights])
            assembly.restore(leaf, kept)
            wanted = [(leaf, s) for s in kept]
        for (leaf, stored), weight in zip(wanted, weights, strict=True):
            array = _numbers(weight, stored, leaf, assembly, asked)
            found.setdefault(leaf.key, {})[stored.field] = array
    for name, weights in listed.items():
        if weights:
            raise ModelFormatError(f"weights of {show(name)}, which is no layer of the model")
    return found


def _numbers(
    weight: Weight, stored: Stored, record: Record, assembly: Assembly, asked: Asked
) -> NDArray[Any]:
    where = f"{record.where}: weight {show(weight.name)}"
    if weight.shape != stored.shape:
        raise ModelFormatError(f"{where}: expected shape {stored.shape}, found {weight.shape}")
    _check_type(weight.dtype, stored, where)
    return _as_float32(weight.read(), where, assembly, asked)


def _in_keras_order(record: Record, assembly: Assembly) -> list[tuple[Record, Stored]]:
    """Return what Keras lists of a layer: what is trained, and then what is not."""
    found = list(_leaves(record, assembly, True))
    return [(leaf, s) for leaf, s, trained in found if trained] + [
        (leaf, s) for leaf, s, trained in found if not trained
    ]


def _leaves(
    record: Record, assembly: Assembly, trained: bool
) -> Iterator[tuple[Record, Stored, bool]]:
    inner = record.config.values.get("layer")
    trained = trained and record.config.values.get("trainable", True) is not False
    model = record if isinstance(record, ModelRecord) else inner
    if isinstance(model, ModelRecord):
        for layer in model.layers:
            yield from _leaves(layer, assembly, trained)
        return
    for stored in assembly.stored_of(record):
        if stored.listed:
            yield record, stored, trained and stored.trainable


# ---- both ----


@contextmanager
def _summarised(summary: Summary) -> Iterator[None]:
    """Let an error bear what was read of the model before."""
    try:
        yield
    except ModelFormatError as error:
        error.summary = summary
        raise


def assemble(
    config: Section, version: Version, asked: Asked, file: Legacy | None = None, source: str = ""
) -> Assembly:
    """Return a model before its weights are read.

    Raises
    ------
    ModelFormatError
        Names everything that stands in the way.
    """
    limit = asked.limits.max_layers
    reader = Reader(version, limit, asked.custom, file is None, is_function, source)
    with _summarised(reader.summary):
        return _assembled(config, reader, asked, file)


def _assembled(config: Section, reader: Reader, asked: Asked, file: Legacy | None) -> Assembly:
    try:
        model = reader.model(config)
    except ModelFormatError as error:
        reader.obstacles.add(error, structure=True)
        reader.obstacles.raise_any()
        raise
    assembly = Assembly(model, reader.version, reader, asked.limits)
    shapes = []
    for name, shape in zip(model.inputs or [""], model.shapes, strict=True):
        if shape is None and file is not None:
            shape = _shape_by_weights(model, file)
        if shape is None:
            reader.obstacles.add(
                f"{model.where}: no input shape{f' of {name}' if name else ''}; build the model "
                "before saving it",
                structure=True,
            )
        shapes.append(shape)
    assembly.build(shapes)
    reader.obstacles.raise_any()
    assembly.check_amount()
    return assembly


def _shape_by_weights(model: ModelRecord, file: Legacy) -> Shape | None:
    """Return the shape of the input by the first layer's first weight, if that tells it."""
    first: Record | None = model
    while isinstance(first, ModelRecord):
        first = next((layer for layer in first.layers), None)
    row = row_of(first) if first is not None else None
    weights: Sequence[Weight] = next((each for _, each in file.weights if each), ())
    if row is None or row.input_of is None or not weights:
        return None
    assert first is not None
    shape = row.input_of(weights[0].shape)
    if shape is not None and first.config.values.get("data_format") == "channels_first":
        return (*shape[-1:], *shape[:-1])
    return shape


def check_custom(value: object) -> dict[str, str]:
    """Return classes and the known ones that they stand for.

    Raises
    ------
    TypeError, ValueError
        It is no mapping of names to names of layers that are known.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _check.refuse(TypeError, "custom", "a mapping of str to str", value)
    custom = {
        _check.text(name, "custom"): _check.text(known, f"custom[{name!r}]")
        for name, known in value.items()
    }
    for name, known in custom.items():
        if known not in LAYERS and known not in ACTIVATIONS:
            expected = f"an activation, or one of {supported()}"
            _check.refuse(ValueError, f"custom[{name!r}]", expected, known)
    return custom

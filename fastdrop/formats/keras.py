"""Read ``.keras`` files, as written by Keras 3 and by Keras 2.13 and later."""

from __future__ import annotations

import math
import re

import numpy as np

from fastdrop.formats._errors import ModelFormatError, printable, show
from fastdrop.formats._keras_graph import Chain, Shape, read_chain
from fastdrop.formats._keras_layers import Plan, Version, plan
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_hdf5 import Group, read_arrays
from fastdrop.formats._safe_json import Section, parse_object
from fastdrop.formats._safe_zip import read_members
from fastdrop.model import Model

_VERSION = re.compile(r"([23])\.(\d{1,3})(\.[0-9A-Za-z.+-]{1,40})?", re.ASCII)
# Keras's rule for the name of a class's group.
_WORD = re.compile("(.)([A-Z][a-z]+)")
_CAPITAL_AFTER_SMALL = re.compile("([a-z])([A-Z])")

_INPUT_DTYPES = frozenset({"float32", "float64"})
_INDEX_DTYPES = frozenset(
    {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)

# Of no use at inference: the state of the training, and the state of a layer's generator.
_TRAINING = frozenset({"optimizer", "metrics"})
_RANDOM = frozenset({"seed_generator"})


def read(data: bytes, file_name: str, limits: Limits, allow_nonfinite: bool) -> Model:
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
    match = _VERSION.fullmatch(version_text)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < (2, 13):
        raise metadata.wrong("keras_version", "2.13 or later, or 3.x")

    config = Section("config.json", parse_object(members["config.json"], "config.json"))
    chain = read_chain(config, limits.max_layers, legacy=version < (3, 0))
    plans = _plan(chain, version)
    shapes = [shape for step in plans for _, shape in step.weights.values()]
    _check_amount(shapes, limits)
    _check_outputs(chain, plans, limits)

    groups = _group_paths(chain, plans, version)
    arrays = read_arrays(members["model.weights.h5"], _expected(chain, plans, groups))
    for path, array in arrays.items():
        if not allow_nonfinite and not np.isfinite(array).all():
            raise ModelFormatError(
                f"model.weights.h5: {path} holds NaN or infinities; "
                "allow_nonfinite=True accepts them"
            )
    notes = [note for step in plans for note in step.notes]
    try:
        return Model(
            layers=[
                step.make(
                    **{field: arrays[f"{group}/{p}"] for field, (p, _) in step.weights.items()}
                )
                for step, group in zip(plans, groups, strict=True)
            ],
            input_shape=chain.input_shape,
            source=f"Keras {version_text}, {file_name}",
            notes=(*notes, *chain.notes),
        )
    except ValueError as error:  # what the model refuses is the file's fault
        raise ModelFormatError(printable(str(error), 200, "ascii")) from error


def _plan(chain: Chain, version: Version) -> list[Plan]:
    """Return the plans of all layers, each for the output of the one before."""
    if not chain.records:
        raise ModelFormatError("the model has no layers")
    first = chain.records[0]
    allowed = _INPUT_DTYPES | (_INDEX_DTYPES if first.class_name == "Embedding" else frozenset())
    if chain.input_dtype is not None and chain.input_dtype not in allowed:
        raise ModelFormatError(
            f"an input of type {show(chain.input_dtype)} into {first.config.where} is not supported"
        )
    plans: list[Plan] = []
    shape: Shape = chain.input_shape
    for record in chain.records:
        plans.append(plan(record, shape, version))
        shape = plans[-1].output
    return plans


def _check_amount(shapes: list[tuple[int, ...]], limits: Limits) -> None:
    """Refuse more or larger weights than allowed, before any is read."""
    if len(shapes) > limits.max_tensors:
        raise ModelFormatError(f"{len(shapes)} weights, max_tensors is {limits.max_tensors}")
    size = sum(4 * math.prod(shape) for shape in shapes)
    if size > limits.max_tensor_bytes:
        raise ModelFormatError(
            f"the weights take {size} bytes, max_tensor_bytes is {limits.max_tensor_bytes}"
        )


def _check_outputs(chain: Chain, plans: list[Plan], limits: Limits) -> None:
    """Refuse layers that make more of one input than all weights may take: repetition is free."""
    for record, step in zip(chain.records, plans, strict=True):
        size = 4 * math.prod(length or 1 for length in step.output)
        if size > limits.max_tensor_bytes:
            raise ModelFormatError(
                f"{record.config.where}: an output of {size} bytes, max_tensor_bytes is "
                f"{limits.max_tensor_bytes}"
            )


def _group_paths(chain: Chain, plans: list[Plan], version: Version) -> list[str]:
    """Return the path of each layer's group: its class and a counter.

    Keras 2.13 counts a layer with weights twice.
    """
    root = "layers" if version >= (2, 15) else "_layer_checkpoint_dependencies"
    used: dict[str, int] = {}
    paths = []
    for record, step in zip(chain.records, plans, strict=True):
        name = _CAPITAL_AFTER_SMALL.sub(r"\1_\2", _WORD.sub(r"\1_\2", record.class_name)).lower()
        count = used.get(name, 0)
        paths.append(f"/{root}/{name}_{count}" if count else f"/{root}/{name}")
        used[name] = count + (2 if step.weights and version < (2, 14) else 1)
    return paths


def _expected(chain: Chain, plans: list[Plan], groups: list[str]) -> Group:
    """Return what the HDF5 file must hold."""
    root = Group({"vars": Group()}, ignored=_TRAINING)
    if chain.input_name is not None:
        _add(root, groups[0].rpartition("/")[0] + "/input_layer/vars", Group(name=chain.input_name))
    for record, step, group in zip(chain.records, plans, groups, strict=True):
        _add(root, f"{group}/vars", Group(name=record.name))
        for path, name in step.wrapped.items():
            _add(root, f"{group}/{path}", Group(name=name))
        for path, shape in step.weights.values():
            _add(root, f"{group}/{path}", shape)
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

"""From the configuration of a Keras model to its layers in a row."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section

Shape = tuple[int | None, ...]

LAYERS = frozenset(
    {
        "Activation",
        "Bidirectional",
        "Dense",
        "Dropout",
        "Embedding",
        "GRU",
        "InputLayer",
        "LSTM",
        "RepeatVector",
        "SimpleRNN",
        "SpatialDropout1D",
        "TimeDistributed",
    }
)
_WITH_DROPOUT = frozenset(
    {"Bidirectional", "Dropout", "GRU", "LSTM", "SimpleRNN", "SpatialDropout1D"}
)

_OBJECT_KEYS = frozenset({"module", "class_name", "config", "registered_name", "build_config"})
_LAYER_KEYS = _OBJECT_KEYS | {"name", "inbound_nodes", "shared_object_id"}
_MODEL_KEYS = _OBJECT_KEYS | {"compile_config"}  # the last one is of use in training only
_SEQUENTIAL_KEYS = frozenset({"name", "trainable", "dtype", "layers", "build_input_shape"})
_FUNCTIONAL_KEYS = frozenset({"name", "trainable", "layers", "input_layers", "output_layers"})
_INPUT_KEYS = frozenset({"name", "dtype", "batch_shape", "batch_input_shape"})
_MAX_RANK = 8


@dataclass(frozen=True)
class Record:
    """One layer as the file describes it.

    Attributes
    ----------
    name, class_name : str
        The layer's own name and its class, one of `LAYERS`.
    config : Section
        Its configuration.
    build_shape : Shape | None
        The shape of its input when it was built, with the batch axis, if the file tells.
    nodes : list | None
        In a functional model, how it was called.
    """

    name: str
    class_name: str
    config: Section
    build_shape: Shape | None
    nodes: list[Any] | None


@dataclass(frozen=True)
class Chain:
    """A model without branches.

    Attributes
    ----------
    input_shape : Shape
        The shape of an input, without the batch axis.
    input_dtype : str | None
        The type the model converts its input to, if the file tells.
    records : list[Record]
        The layers in the order in which they run, without the input layer.
    input_name : str | None
        The name of the input layer where the weights have a group for it.
    notes : list[str]
        Remarks for the user.
    """

    input_shape: Shape
    input_dtype: str | None
    records: list[Record]
    input_name: str | None
    notes: list[str]


def read_chain(model: Section, max_layers: int, legacy: bool) -> Chain:
    """Return the layers of a Sequential or a single-path functional model.

    Parameters
    ----------
    model : Section
        The whole of ``config.json``.
    max_layers : int
        How many layers there may be.
    legacy : bool
        Whether it was written by Keras 2.

    Raises
    ------
    ModelFormatError
        The model branches, or holds something that is not supported.
    """
    class_name = model.string("class_name")
    if class_name not in ("Sequential", "Functional"):
        raise ModelFormatError(
            f"model of class {show(class_name)}, expected Sequential or Functional"
        )
    _check_origin(model.values, model.where)
    model.refuse_others(_MODEL_KEYS)
    config = model.section("config", f"model ({class_name})")
    entries = config.items("layers")
    if len(entries) > max_layers:
        raise ModelFormatError(f"{len(entries)} layers, max_layers is {max_layers}")
    records = [_read_record(entry, f"layer {i}") for i, entry in enumerate(entries)]
    names = [record.name for record in records]
    if len(set(names)) != len(names):
        raise ModelFormatError("two layers have the same name")
    if class_name == "Sequential":
        return _sequential(config, _build_shape(model), records)
    return _functional(config, records, legacy)


def _check_origin(entry: dict[str, Any], where: str) -> None:
    """Refuse a serialized object that is not Keras's own.

    Nothing is ever imported, whatever stands there; but an object of somebody
    else's may do what only their code knows.
    """
    module = entry.get("module")
    if not isinstance(module, str) or module.split(".")[0] not in ("keras", "tf_keras"):
        raise ModelFormatError(f"{where}: module {show(module)} is not a part of Keras")
    registered = entry.get("registered_name")
    if registered is not None and registered != entry.get("class_name"):
        raise ModelFormatError(f"{where}: custom object {show(registered)} is not supported")


def read_wrapped(config: Section, key: str, allowed: Collection[str]) -> Record:
    """Return a layer that another layer is made of.

    Parameters
    ----------
    config : Section
        The outer layer's configuration.
    key : str
        Where in it the inner layer is.
    allowed : Collection[str]
        The classes it may be of.

    Raises
    ------
    ModelFormatError
        The inner layer is missing, malformed or not of these classes.
    """
    where = f"{config.where}: {key}"
    return _read_record(config.values.get(key), where, allowed, f"{config.where}: ")


def _read_record(
    value: object, where: str, allowed: Collection[str] = LAYERS, outer: str = ""
) -> Record:
    """Read one layer; `outer` names the layer around it."""
    entry = Section(where, value)
    class_name = entry.string("class_name")
    config = entry.section("config")
    name = config.string("name")
    where = f"{outer}layer {show(name)} ({show(class_name)[1:-1]})"
    entry.where = config.where = where
    _check_origin(entry.values, where)
    if class_name not in allowed and not (
        allowed is LAYERS and _is_mask_operation(class_name, entry)
    ):
        raise ModelFormatError(
            f"{where}: the class is not supported, expected one of {', '.join(sorted(allowed))}"
        )
    entry.refuse_others(_LAYER_KEYS)
    if entry.values.get("name", name) != name:
        raise entry.wrong("name", f"{show(name)} as in its config")
    for nested in _objects(config.values):
        _check_origin(nested, where)
    nodes = entry.items("inbound_nodes") if "inbound_nodes" in entry.values else None
    return Record(name, class_name, config, _build_shape(entry), nodes)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield the serialized objects in a configuration."""
    children: Any = ()
    if isinstance(value, dict):
        if "class_name" in value or "module" in value:
            yield value
        children = value.values()
    elif isinstance(value, list):
        children = value
    for child in children:
        yield from _objects(child)


def _build_shape(entry: Section) -> Shape | None:
    """Return the input shape a layer or model was built with, if it is there."""
    if entry.values.get("build_config") is None:
        return None
    build = entry.section("build_config")
    build.refuse_others(frozenset({"input_shape"}))
    return build.shape("input_shape") if build.values.get("input_shape") is not None else None


def _read_input(record: Record) -> tuple[Shape, str]:
    """Return the shape, without the batch axis, and the type of an input layer."""
    config = record.config
    config.refuse_others(_INPUT_KEYS)
    key = "batch_shape" if "batch_shape" in config.values else "batch_input_shape"
    return _without_batch(config.shape(key), config.where), config.string("dtype")


def _without_batch(shape: Shape, where: str) -> Shape:
    if not 2 <= len(shape) <= _MAX_RANK:
        raise ModelFormatError(
            f"{where}: expected an input of 2 to {_MAX_RANK} axes, found {shape}"
        )
    return shape[1:]


def _sequential(config: Section, built: Shape | None, records: list[Record]) -> Chain:
    """Return the chain of a Sequential model; its input layer is optional."""
    config.refuse_others(_SEQUENTIAL_KEYS)
    if records and records[0].class_name == "InputLayer":
        shape, dtype = _read_input(records[0])
        return Chain(shape, dtype, records[1:], None, [])
    if config.values.get("build_input_shape") is not None:
        built = config.shape("build_input_shape")
    if built is None:
        raise ModelFormatError(f"{config.where}: no input shape; build the model before saving it")
    return Chain(_without_batch(built, config.where), None, records, None, [])


# What a functional model records of a call: the layer that made the input, the
# input's mask if one was passed on, and whether it was asked to train.
@dataclass(frozen=True)
class _Call:
    source: str
    mask: str | None
    training: bool | None


def _functional(config: Section, records: list[Record], legacy: bool) -> Chain:
    """Return the chain of a functional model, following the calls from its input."""
    config.refuse_others(_FUNCTIONAL_KEYS)
    by_name = {record.name: record for record in records}
    first = _end(config, "input_layers")
    last = _end(config, "output_layers")
    if first not in by_name or by_name[first].class_name != "InputLayer":
        raise ModelFormatError(f"{config.where}: input_layers: {show(first)} is not an input layer")
    shape, dtype = _read_input(by_name.pop(first))

    calls = {name: _read_call(record) for name, record in by_name.items()}
    masks = {name for name, record in by_name.items() if record.class_name == "NotEqual"}
    following: dict[str, str] = {}
    for name in by_name.keys() - masks:
        source = calls[name].source
        if source in following:
            raise ModelFormatError(
                f"layer {show(source)} has several consumers, expected a single path"
            )
        following[source] = name

    path: list[Record] = []
    name = first
    while name != last and name in following:
        name = following.pop(name)
        path.append(by_name[name])
    if name != last or following:
        raise ModelFormatError(
            f"{config.where}: expected a single path from {show(first)} to {show(last)}"
        )
    _check_masks(path, calls, masks)
    return Chain(shape, dtype, path, first, _training_notes(path, calls, legacy))


def _end(config: Section, key: str) -> str:
    """Return the one layer that is the input or the output of the model."""
    value = config.items(key)
    if len(value) == 1:  # newer Keras writes [name, 0, 0], older [[name, 0, 0]]
        value = value[0]
    return _history(value, f"{config.where}: {key}")


def _history(value: object, where: str) -> str:
    """Return the layer's name out of [layer, node, tensor]; only its first call counts."""
    if not isinstance(value, list) or len(value) != 3 or not isinstance(value[0], str):
        raise ModelFormatError(f"{where}: expected one [layer, 0, 0], found {show(value)}")
    if value[1:] != [0, 0]:
        raise ModelFormatError(f"{where}: {show(value)}: a layer that is used more than once")
    return value[0]


def _read_call(record: Record) -> _Call:
    """Return the only call of a layer."""
    where = record.config.where
    nodes = record.nodes or []
    if len(nodes) != 1:
        raise ModelFormatError(f"{where}: called {len(nodes)} times, expected once")
    if isinstance(nodes[0], list):  # Keras 2: [[layer, node, tensor, keywords]]
        inputs = nodes[0]
        if len(inputs) != 1 or not isinstance(inputs[0], list) or len(inputs[0]) != 4:
            raise ModelFormatError(f"{where}: expected one input, found {show(inputs)}")
        source = _history(inputs[0][:3], where)
        keywords = Section(f"{where}: call", inputs[0][3])
    else:  # Keras 3: {"args": [tensor], "kwargs": keywords}
        node = Section(f"{where}: call", nodes[0])
        node.refuse_others(frozenset({"args", "kwargs"}))
        arguments = node.items("args")
        expected = 1
        if record.class_name == "NotEqual":
            expected = 2
            if arguments[1:] != [0] or isinstance(arguments[1], bool):
                raise ModelFormatError(f"{where}: only the comparison with 0 is supported")
        if len(arguments) != expected:
            raise ModelFormatError(f"{where}: expected one input, found {len(arguments)}")
        source = _tensor(arguments[0], where)
        keywords = node.section("kwargs")
    keywords.refuse_others(frozenset({"training", "mask"}))
    mask = keywords.values.get("mask")
    training = keywords.values.get("training")
    if training is not None:
        training = keywords.boolean("training")
    return _Call(source, None if mask is None else _tensor(mask, f"{where}: mask"), training)


def _tensor(value: object, where: str) -> str:
    """Return the name of the layer that made a tensor."""
    tensor = Section(where, value)
    if tensor.values.get("class_name") != "__keras_tensor__":
        raise ModelFormatError(f"{where}: expected the output of a layer, found {show(value)}")
    return _history(tensor.section("config").values.get("keras_history"), where)


def _is_mask_operation(class_name: str, entry: Section) -> bool:
    """Return whether this is the operation by which Keras 3 records the mask of an Embedding."""
    return class_name == "NotEqual" and "inbound_nodes" in entry.values


def _check_masks(path: list[Record], calls: dict[str, _Call], masks: set[str]) -> None:
    """Refuse a mask that is not the one an Embedding with mask_zero makes by itself."""
    sources = {
        calls[record.name].source
        for record in path
        if record.class_name == "Embedding" and record.config.values.get("mask_zero") is True
    }
    for name in masks:
        if calls[name].source not in sources:
            raise ModelFormatError(f"layer {show(name)}: a mask that is not made by an Embedding")
    for record in path:
        mask = calls[record.name].mask
        if mask is not None and mask not in masks:
            raise ModelFormatError(f"{record.config.where}: a mask made by {show(mask)}")


def _training_notes(path: list[Record], calls: dict[str, _Call], legacy: bool) -> list[str]:
    """Say where the file fixes dropout to on, and refuse where it fixes it to off.

    Keras 3 lets the call of the model decide whatever is recorded. Keras 2 does not.
    """
    notes = []
    for record in path:
        training = calls[record.name].training
        if not legacy or record.class_name not in _WITH_DROPOUT:
            continue
        if training is False:
            raise ModelFormatError(
                f"{record.config.where}: called with training=False, which is not supported"
            )
        if training:
            notes.append(
                f"{record.config.where}: called with training=True, so Keras 2 applies its dropout "
                "always; here mc_predict does, predict does not"
            )
    return notes

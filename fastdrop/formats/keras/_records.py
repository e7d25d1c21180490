"""From the configuration of a Keras model to records of its layers and of their calls.

Nothing is decided here about what a layer does: a record holds what the file says. A model within a
model is a record of its own, with records in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Shape
from fastdrop.model import LayerSummary, Summary

MODELS = ("Sequential", "Functional", "Model")

# Modules whose classes are functions that were called.
_FUNCTIONS = re.compile(r"\.(ops|activations)\b")
_OBJECT_KEYS = frozenset({"module", "class_name", "config", "registered_name", "build_config"})
_LAYER_KEYS = _OBJECT_KEYS | {"name", "inbound_nodes", "shared_object_id", "batch_input_shape"}
_MODEL_KEYS = _LAYER_KEYS | {"compile_config", "keras_version", "backend"}
_SEQUENTIAL_KEYS = frozenset({"name", "trainable", "dtype", "layers", "build_input_shape"})
_FUNCTIONAL_KEYS = frozenset(
    {"name", "trainable", "dtype", "layers", "input_layers", "output_layers"}
)
_MAX_RANK = 8
_MAX_DEPTH = 16


class Ref(NamedTuple):
    """A tensor: what a call of a layer puts out at some place."""

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True)
class Node:
    """A call of a layer, with a `Ref` wherever a tensor is."""

    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One layer as the file describes it.

    Attributes
    ----------
    name, class_name : str
        The layer's own name and its class; of a custom class, the one that it stands for.
    config : Section
        Its configuration.
    build_shape : Shape | None
        The shape of its input when it was built, with the batch axis, if the file tells.
    nodes : list | None
        In a functional model, how it was called.
    operation : bool
        Whether it is a function that was called, not a layer.
    """

    name: str
    class_name: str
    config: Section
    build_shape: Shape | None = None
    nodes: list[Node] | None = None
    operation: bool = False
    # The class as the file has it, by which Keras names a layer's group.
    spelled: str = ""

    @property
    def where(self) -> str:
        return self.config.where

    @property
    def key(self) -> int:
        """The identity of the layer, whatever became of the record."""
        return id(self.config)


@dataclass(frozen=True)
class ModelRecord(Record):
    """A model as the file describes it: layers, which of them are inputs, and what is put out.

    `outputs` are by name where the file names them. `lost` are names of layers that could not be
    read, which is an obstacle already.
    """

    layers: list[Record] = field(default_factory=list)
    lost: frozenset[str] = frozenset()
    inputs: list[str] = field(default_factory=list)
    input_keys: list[str] | None = None  # where they are a dict
    outputs: list[Ref] = field(default_factory=list)
    output_names: list[str] | None = None
    several_outputs: bool = False
    # Shape and type of each input, in the order of `inputs`; None where the file does not tell.
    shapes: list[Shape | None] = field(default_factory=list)
    dtypes: list[str | None] = field(default_factory=list)

    @property
    def sequential(self) -> bool:
        return self.class_name == "Sequential"


class Obstacles:
    """What stands in the way of loading a file, gathered so that all of it can be said at once."""

    def __init__(self) -> None:
        self.structure: list[str] = []
        self.layers: list[str] = []

    def add(self, error: ModelFormatError | ValueError | str, *, structure: bool = False) -> None:
        """Keep one, unless it has been said already."""
        found = self.structure if structure else self.layers
        if str(error) not in found:
            found.append(str(error))

    def raise_any(self) -> None:
        """Raise one error that names them all, if there are any."""
        found = self.structure + self.layers
        if found:
            raise ModelFormatError.of(found)


class Reader:
    """Reads records out of the configuration of a model.

    Parameters
    ----------
    version : Version
        What wrote it.
    max_layers : int
        How many layers there may be, those of inner models included.
    custom : mapping of str to str
        Classes of the user's and the classes that they stand for.
    modules : bool
        Whether the file says of each class which module it is from; ``.h5`` files do not.
    is_function : callable
        Says, by a class and a configuration, whether it is a function, where the module does not.
    source : str
        Where the model is from.

    Attributes
    ----------
    summary : Summary
        What there is to see of the model, also if it is refused.
    """

    def __init__(
        self,
        version: Version,
        max_layers: int,
        custom: Mapping[str, str],
        modules: bool,
        is_function: Callable[[str, Mapping[str, Any]], bool],
        source: str,
    ) -> None:
        self.summary: Summary = Summary(source)
        self.rows: dict[int, LayerSummary] = {}
        self.is_function = is_function
        self.modules = modules
        self.version = version
        self.max_layers = max_layers
        self.custom = custom
        self.used_custom: dict[str, str] = {}
        self.obstacles: Obstacles = Obstacles()
        self.shared: dict[tuple[int, str, str], Section] = {}
        self.count: int = 0

    def model(self, entry: Section, outer: str = "", depth: int = 0, path: str = "") -> ModelRecord:
        """Return a Sequential or functional model, the whole one or one within it.

        `path` is what stands before the names of its layers.
        """
        class_name = entry.string("class_name")
        if class_name not in MODELS:
            raise ModelFormatError(
                f"model of class {show(class_name)}, expected Sequential or Functional: a model "
                "that is a class of its own cannot be read; build it from layers as a functional "
                "model, give that its weights, and save it"
            )
        if depth > _MAX_DEPTH:
            raise ModelFormatError(f"models within models deeper than {_MAX_DEPTH}")
        if not depth:
            self.check_origin(entry.values, "model", layer=False)
        entry.refuse_others(_MODEL_KEYS)
        value = entry.values.get("config")
        if isinstance(value, list):  # Sequential of Keras 2.2.2 and before
            value = {"name": outer or "sequential", "layers": value}
        where = f"{outer}model ({class_name})" if not depth else f"{outer}({class_name})"
        config = Section(where, value)
        config.refuse_others(_SEQUENTIAL_KEYS if class_name == "Sequential" else _FUNCTIONAL_KEYS)
        name = str(config.values.get("name", class_name))
        if depth:
            config.where = where = f"{outer}layer {show(name)} ({class_name})"
        entries = config.items("layers")
        self.count += len(entries)
        if self.count > self.max_layers:
            raise ModelFormatError(f"{self.count} layers, max_layers is {self.max_layers}")
        prefix = f"{outer}layer {show(name)}: " if depth else outer
        layers, lost = [], set()
        for i, layer in enumerate(entries):
            try:
                layers.append(self.layer(layer, f"{prefix}layer {i}", prefix, depth, path))
            except ModelFormatError as error:
                self.obstacles.add(error, structure=True)
                lost.add(_name_of(Section("", layer)) if isinstance(layer, dict) else "?")
        names = [record.name for record in layers]
        if len(set(names)) != len(names):
            raise ModelFormatError(f"{where}: two layers have the same name")
        sequential = class_name == "Sequential"
        built = _build_shape(entry)
        if sequential:
            ends = _sequential_ends(config, built, layers)
        else:
            ends = _functional_ends(config, layers, self.version, depth)
        return ModelRecord(
            name,
            "Sequential" if sequential else "Functional",
            config,
            built,
            self._nodes(entry, config.where),
            spelled="Sequential" if sequential else "Functional",
            layers=layers,
            lost=frozenset(lost),
            **ends,
        )

    def layer(
        self, value: object, where: str, outer: str = "", depth: int = 0, path: str | None = None
    ) -> Record:
        """Return one layer, of a model if it has a `path`; `outer` names what is around it."""
        entry = Section(where, value)
        class_name = entry.string("class_name")
        module = entry.values.get("module")
        registered = entry.values.get("registered_name")
        short = class_name.rpartition(">")[2]
        known = self._known_as(class_name, registered, entry.values, where)
        if known in MODELS:
            return self.model(entry, outer, depth + 1, f"{path or ''}{_name_of(entry)}/")
        row = LayerSummary(f"{path or ''}{_name_of(entry)}", short)
        if path is not None and short != "InputLayer":
            self.summary.layers.append(row)
        config = entry.section("config")
        name = config.string("name") if "name" in config.values else entry.string("name")
        where = f"{outer}layer {show(name)} ({show(short)[1:-1]})"
        entry.where = config.where = where
        if known is None and short not in REASONS:
            self.check_origin(entry.values, where)
        known = known or short
        entry.refuse_others(_LAYER_KEYS)
        if entry.values.get("name", name) != name and path is not None:
            raise entry.wrong("name", f"{show(name)} as in its config")
        model = config.values.get("layer") if known == "TimeDistributed" else None
        if isinstance(model, dict) and model.get("class_name") in MODELS:
            inner_entry = Section(f"{where}: layer", model)
            config.values["layer"] = self.model(
                inner_entry, f"{where}: ", depth + 1, f"{path or ''}{name}/"
            )
        values: Any = {} if known in REASONS else self._with_names(config.values, where)
        config.values = values
        for nested in _objects(config.values):
            # An array of numbers is no object of a class.
            if not self._is_custom(nested) and nested.get("class_name") != "__numpy__":
                self.check_origin(nested, where, layer=False)
        config = self._shared(entry, known, name, config)
        self.rows.setdefault(id(config), row)
        operation = isinstance(module, str) and _FUNCTIONS.search(module) is not None
        if module is None and known == short and not self.version.legacy and not self.modules:
            operation = self.is_function(known, config.values)
        return Record(
            name,
            known,
            config,
            _build_shape(entry),
            self._nodes(entry, where),
            operation,
            short,
        )

    def _shared(self, entry: Section, known: str, name: str, config: Section) -> Section:
        """Return the configuration of a layer, of one that several models share the same object."""
        number = entry.values.get("shared_object_id")
        if type(number) is not int:
            return config
        return self.shared.setdefault((number, known, name), config)

    def _known_as(
        self, class_name: str, registered: object, entry: Mapping[str, Any], where: str
    ) -> str | None:
        """Return the class that a custom class stands for, or the class of a model."""
        for spelled in (class_name, registered):
            if not isinstance(spelled, str):
                continue
            for name in (spelled, spelled.rpartition(">")[2]):
                if name in self.custom:
                    self.used_custom[name] = self.custom[name]
                    return self.custom[name]
        if class_name in MODELS:
            origin = {key: entry[key] for key in ("module", "class_name") if key in entry}
            self.check_origin(origin, where, layer=False)
            return class_name
        return None

    def _with_names(self, value: Any, where: str) -> Any:
        """Return a configuration in which functions that are not Keras's own are named as such."""
        if isinstance(value, list):
            return [self._with_names(item, where) for item in value]
        if not isinstance(value, dict):
            return value
        name = value.get("config")
        own = value.get("class_name") == "function" and value.get("module") == "builtins"
        if not own or not isinstance(name, str):
            return {key: self._with_names(item, where) for key, item in value.items()}
        for spelled in (name, name.rpartition(">")[2]):
            if spelled in self.custom:
                self.used_custom[spelled] = self.custom[spelled]
                return self.custom[spelled]
        if name not in _OF_TENSORFLOW:
            raise ModelFormatError(
                f"{where}: function {show(name)} is not a part of Keras; if it is a known "
                "activation under a name of its own, say which: "
                f"load(..., custom={{{show(name.rpartition('>')[2])}: 'silu'}})"
            )
        return _OF_TENSORFLOW[name]

    def _is_custom(self, entry: Mapping[str, Any]) -> bool:
        name = entry.get("class_name")
        return isinstance(name, str) and name.rpartition(">")[2] in self.custom

    def check_origin(self, entry: Mapping[str, Any], where: str, *, layer: bool = True) -> None:
        """Refuse a serialized object that is not Keras's own.

        Nothing is ever imported, whatever stands there; but an object of somebody
        else's may do what only their code knows.
        """
        class_name, module = entry.get("class_name"), entry.get("module")
        registered = entry.get("registered_name")
        # A .keras file says of each class where it is from, and of somebody's own that it is None.
        unsaid = not self.modules or (self.version.legacy and "module" not in entry)
        ours = module is None and unsaid
        if isinstance(module, str):
            ours = module.split(".")[0] in ("keras", "tf_keras", "tensorflow")
        custom = registered if registered not in (None, class_name) else None
        if isinstance(class_name, str) and ">" in class_name:
            custom = class_name
        if ours and custom is None:
            return
        if class_name == "__lambda__":
            raise ModelFormatError(f"{where}: a Python function in the file, which is never run")
        what = f"class {show(custom or class_name)} is not a part of Keras"
        if not ours and module is not None:
            what += f" (module {show(module)})"
        if layer:
            what += f"; {hint(str(custom or class_name))}"
        raise ModelFormatError(f"{where}: {what}")

    def _nodes(self, entry: Section, where: str) -> list[Node] | None:
        """Return the calls of a layer, in either spelling."""
        if "inbound_nodes" not in entry.values:
            return None
        return [self._node(node, f"{where}: call") for node in entry.items("inbound_nodes")]

    def _node(self, value: object, where: str) -> Node:
        if isinstance(value, dict):
            if self.version.legacy and not {"args", "kwargs"} & {*value}:
                raise ModelFormatError(
                    f"{where}: inputs in a dict, which Keras 2 writes by name, are not supported; "
                    "call it with a list of inputs"
                )
            node = Section(where, value)
            node.refuse_others(frozenset({"args", "kwargs"}))
            kwargs = Section(where, node.values.get("kwargs") or {}).values
            return Node(_tensors(node.items("args"), where), _tensors(kwargs, where))
        if not isinstance(value, list) or not value:
            raise ModelFormatError(f"{where}: expected a list of inputs, found {show(value)}")
        # Keras 2: [[layer, node, tensor, keywords], ...], the keywords being those of the call.
        entries = [value] if isinstance(value[0], str) else value
        refs: list[Any] = []
        kwargs = {}
        for item in entries:
            if isinstance(item, list) and item and isinstance(item[0], list):
                refs.append(_listed(item, where))  # states of several layers
                continue
            if not isinstance(item, list) or len(item) not in (3, 4):
                raise ModelFormatError(f"{where}: expected an input, found {show(item)}")
            if len(item) == 4:
                keywords = Section(where, item[3]).values
                kwargs |= {k: _legacy_tensors(v) for k, v in keywords.items()}
            if item[0] == "_CONSTANT_VALUE":
                refs.append(item[2])
            else:
                refs.append(_ref(item[:3], where))
        return Node(refs if len(refs) == 1 else [refs], kwargs)


def _name_of(entry: Section) -> str:
    """Return the name of a layer if it has one."""
    config = entry.values.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return str(entry.values.get("name", "?") if name is None else name)


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
    """Return the input shape a layer or model was built with, if it is there and is one."""
    build = entry.values.get("build_config")
    if not isinstance(build, dict) or build.get("input_shape") is None:
        return None
    shape = build["input_shape"]
    if isinstance(shape, list) and any(isinstance(n, list) for n in shape):
        return None  # of several inputs
    if isinstance(shape, dict):
        return None
    return Section(f"{entry.where}: build_config", build).shape("input_shape")


def without_batch(shape: Shape, where: str) -> Shape:
    """Return a shape without its first axis."""
    if not 1 <= len(shape) <= _MAX_RANK:
        raise ModelFormatError(
            f"{where}: expected an input of 1 to {_MAX_RANK} axes, found {shape}"
        )
    return shape[1:]


def input_shape(config: Section) -> Shape | None:
    """Return the shape of an input that a layer's configuration names, without the batch axis."""
    for key in ("batch_shape", "batch_input_shape"):
        if config.values.get(key) is not None:
            return without_batch(config.shape(key), config.where)
    return None


def hint(class_name: str) -> str:
    """Return what to do about a class of somebody's own."""
    name = show(class_name.rpartition(">")[2])
    return (
        "if it is a known layer under a name of its own, say which, as in "
        f"load(..., custom={{{name}: 'Dropout'}})"
    )


# Layers of Keras that are not read, which are nobody's own.
OTHERS = frozenset(
    (
        *("HashedCrossing", "Hashing", "LocallyConnected1D", "LocallyConnected2D"),
        *("MelSpectrogram", "RandomFourierFeatures", "SeparableConv3D", "STFTSpectrogram"),
    )
)
# Classes that no table will have, and why.
_TEXTS = "it takes texts: do before the model what it does, and give the model its numbers"
_NUMBERS = "the class is not supported: do before the model what it does"
REASONS = {
    "Lambda": "a Python function in the file, which is never run",
    "TextVectorization": _TEXTS,
    "StringLookup": _TEXTS,
    **dict.fromkeys(("HashedCrossing", "Hashing"), f"{_NUMBERS}, and give it the numbers made"),
}
# Names under which functions of TensorFlow are saved, which Keras itself does not find again.
_OF_TENSORFLOW = {"softmax_v2": "softmax", "log_softmax_v2": "log_softmax"}
_INPUT_KEYS = frozenset({"name", "dtype", "batch_shape", "batch_input_shape", "trainable"})


def _input(record: Record) -> tuple[Shape, str | None]:
    """Return the shape, without the batch axis, and the type of an input layer."""
    record.config.refuse_others(_INPUT_KEYS)
    shape = input_shape(record.config)
    if shape is None:
        raise ModelFormatError(f"{record.where}: no shape of the input")
    dtype = record.config.values.get("dtype")
    return shape, policy_name(dtype) if dtype is not None else None


def policy_name(dtype: object) -> str | None:
    """Return the name of a type or of a policy of types, whatever it is written as."""
    for _ in range(3):
        if not isinstance(dtype, dict):
            break
        inner = dtype.get("config")
        # A policy of quantized layers has none, but how they are quantized.
        dtype = inner.get("name") or inner.get("mode") if isinstance(inner, dict) else inner
    return dtype if isinstance(dtype, str) else None


def _sequential_ends(config: Section, built: Shape | None, records: list[Record]) -> dict[str, Any]:
    """Return the input and the output of a Sequential model; its input layer is optional."""
    for record in records[1:]:
        if record.class_name == "InputLayer":
            raise ModelFormatError(f"{record.where}: not supported at this place")
    if records and records[0].class_name == "InputLayer":
        shape, dtype = _input(records[0])
        return {"shapes": [shape], "dtypes": [dtype]}
    if config.values.get("build_input_shape") is not None:
        built = config.shape("build_input_shape")
    shape_of_first: Shape | None = None
    first: Record | None = records[0] if records else None
    while isinstance(first, ModelRecord) and first.shapes[:1] == [None] and first.layers:
        first = first.layers[0]
    if built is not None:
        shape_of_first = without_batch(built, config.where)
    elif isinstance(first, ModelRecord):
        shape_of_first = first.shapes[0]
    elif first is not None:
        shape_of_first = input_shape(first.config)
        if shape_of_first is None and first.build_shape is not None:
            shape_of_first = without_batch(first.build_shape, config.where)
    return {"shapes": [shape_of_first], "dtypes": [None]}


def _functional_ends(
    config: Section, records: list[Record], version: Version, depth: int
) -> dict[str, Any]:
    """Return the inputs and outputs of a functional model, outputs numbered as inputs of calls are.

    Among outputs alone, Keras 3 counts the call by which an inner functional model was made.
    """
    by_name = {record.name: record for record in records}
    inputs, keys, _ = _ends(config, "input_layers")
    for key, ref in zip(keys or (), inputs, strict=bool(keys)):
        other = by_name.get(key)
        if not depth and other is not None and other.class_name != "InputLayer":
            raise ModelFormatError(
                f"{config.where}: input_layers: {show(key)} is the input layer {show(ref.layer)}, "
                "and another layer bears that name; call the one or the other otherwise and save "
                "the model again"
            )
    shapes: list[Shape | None] = []
    dtypes: list[str | None] = []
    for ref in inputs:
        record = by_name.get(ref.layer)
        if record is None or record.class_name != "InputLayer":
            raise ModelFormatError(
                f"{config.where}: input_layers: {show(ref.layer)} is not an input layer"
            )
        shape, dtype = _input(record)
        shapes.append(shape)
        dtypes.append(dtype)
    outputs, names, several = _ends(config, "output_layers")
    if not version.legacy:
        functional = {record.name for record in records if record.class_name == "Functional"}
        outputs = [ref._replace(node=ref.node - (ref.layer in functional)) for ref in outputs]
    return {
        "inputs": [ref.layer for ref in inputs],
        "input_keys": keys,
        "outputs": outputs,
        "output_names": names,
        "several_outputs": several,
        "shapes": shapes,
        "dtypes": dtypes,
    }


def _ends(config: Section, key: str) -> tuple[list[Ref], list[str] | None, bool]:
    """Return the inputs or the outputs, their names if they have any, and whether they are listed.

    Newer Keras writes [name, 0, 0] for one, all write [[name, 0, 0], ...] for several.
    """
    value = config.values.get(key)
    where = f"{config.where}: {key}"
    if isinstance(value, dict):  # which Keras flattens in the order of the keys
        return [_ref(value[name], where) for name in sorted(value)], sorted(value), True
    value = config.items(key)
    if len(value) == 3 and isinstance(value[0], str):
        return [_ref(value, where)], None, False
    refs = [_ref(item, where) for item in _flat(value, where)]
    if not refs:
        raise ModelFormatError(f"{where}: expected one or more, found none")
    return refs, None, len(refs) > 1


def _flat(value: list[Any], where: str, depth: int = 0) -> Iterator[Any]:
    """Yield what stands for tensors in lists of lists."""
    for item in value:
        nested = isinstance(item, list) and bool(item) and isinstance(item[0], list)
        if nested and depth < 8:
            yield from _flat(item, where, depth + 1)
        else:
            yield item


def _ref(value: object, where: str) -> Ref:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not isinstance(value[0], str)
        or not all(type(n) is int and 0 <= n < 2**31 for n in value[1:])
    ):
        raise ModelFormatError(f"{where}: expected [layer, node, tensor], found {show(value)}")
    return Ref(*value)


def _listed(value: list[Any], where: str, depth: int = 0) -> list[Any]:
    """Return the tensors in lists of [layer, node, tensor, keywords]."""
    if depth > 8:
        raise ModelFormatError(f"{where}: inputs in lists deeper than 8")
    return [
        _listed(item, where, depth + 1)
        if isinstance(item, list) and item and isinstance(item[0], list)
        else _ref(item[:3] if isinstance(item, list) else item, where)
        for item in value
    ]


def _tensors(value: Any, where: str) -> Any:
    """Return arguments of a call with a `Ref` in place of each tensor."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = Section(where, value).section("config")
            return _ref(config.values.get("keras_history"), where)
        return {key: _tensors(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_tensors(item, where) for item in value]
    return value


def _legacy_tensors(value: Any) -> Any:
    """Return a keyword of a Keras 2 call, in which [layer, node, tensor] is a tensor."""
    if isinstance(value, list):
        if (
            len(value) in (3, 4)
            and isinstance(value[0], str)
            and all(type(n) is int for n in value[1:3])
        ):
            return Ref(value[0], value[1], value[2])
        return [_legacy_tensors(item) for item in value]
    return value

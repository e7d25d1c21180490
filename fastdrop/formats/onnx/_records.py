"""What a file of ONNX says: nodes, constants and inputs, checked, out of the parsed protobuf."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, printable, show
from fastdrop.formats._limits import Limits

Array = NDArray[Any]

# Types of elements by their numbers; those of 16 bits are computed with as float32.
DTYPES: dict[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
# In which field numbers stand where they are no raw data.
_FIELDS = {
    **dict.fromkeys(("float32",), "float_data"),
    **dict.fromkeys(("float64",), "double_data"),
    **dict.fromkeys(("int64",), "int64_data"),
    **dict.fromkeys(("uint32", "uint64"), "uint64_data"),
}
_OPSETS = (9, 28)
STANDARD = ("", "ai.onnx")
_EXTERNAL = 1
_ELSEWHERE = (
    "numbers in another file, and no other file is opened; all come into one by "
    "torch.onnx.export(..., external_data=False), or by onnx.save(onnx.load(path), path)"
)


@dataclass
class Node:
    """A node: an operator, the tensors it takes and makes, and its attributes."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    # What cannot be done, which counts if some output needs the node.
    obstacle: str = ""
    branches: dict[str, Branch] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"node {show(self.name)} ({printable(self.op, 40, 'ascii')})"


@dataclass
class Branch:
    """A graph within a node, which may take what the graph around it makes."""

    nodes: list[Node]
    constants: dict[str, Array]
    outputs: list[str]
    # What cannot be done, which counts if it is taken.
    obstacle: str


@dataclass(frozen=True)
class Input:
    """An input of the model: its lengths are numbers, names, or None."""

    name: str
    dtype: str
    lengths: tuple[int | str | None, ...]


@dataclass
class Graph:
    """All of it."""

    opset: int
    producer: str
    nodes: list[Node]
    constants: dict[str, Array]
    inputs: list[Input]
    outputs: list[str]


def with_inner(nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield nodes, and those of the branches within them behind each."""
    for node in nodes:
        yield node
        for branch in node.branches.values():
            yield from with_inner(branch.nodes)


def text(value: object) -> str:
    """Return a text of the file."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def read_graph(model: Any, limits: Limits) -> Graph:
    """Return what a parsed ``ModelProto`` says.

    Raises
    ------
    ModelFormatError
        It is unsafe or not supported; the message names everything.
    """
    obstacles: list[str] = []
    opset = _opset(model, obstacles)
    graph = model.graph
    if len(graph.sparse_initializer):
        first = show(text(graph.sparse_initializer[0].values.name))
        obstacles.append(f"tensor {first} is sparse, and only dense ones are read")
    tensors = _all_tensors(graph)
    if len(tensors) > limits.max_tensors:
        raise ModelFormatError(f"{len(tensors)} tensors, max_tensors is {limits.max_tensors}")
    _check_amount(tensors, limits)
    constants = _constants(graph, obstacles)
    inputs = []
    for value in graph.input:
        if text(value.name) not in constants:  # before IR 4 constants were listed too
            try:
                inputs.append(_input(value))
            except ModelFormatError as error:
                obstacles.append(str(error))
    nodes = [_node(node, i) for i, node in enumerate(graph.node)]
    outputs = [text(value.name) for value in graph.output]
    if not obstacles and not (outputs and inputs and nodes):
        obstacles.append("a graph without inputs, nodes or outputs")
    if obstacles:
        raise ModelFormatError.of(obstacles)
    _check_names(nodes, constants, inputs)
    version = text(model.producer_version)
    producer = printable(" ".join(filter(None, [text(model.producer_name), version])), 60, "ascii")
    instead = next((way for name, way in _INSTEAD.items() if name in producer.lower()), "")
    for node in with_inner(nodes):
        if node.op in ("Loop", "Scan") and node.obstacle == _OWN_GRAPH:
            node.obstacle += instead
    return Graph(opset, producer, nodes, constants, inputs, outputs)


def _all_tensors(graph: Any, depth: int = 0) -> list[Any]:
    """Return the tensors that a graph and the branches in it hold."""
    found = [*graph.initializer]
    if depth < _MOST_DEPTH:
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == _GRAPHS[0]:
                    found += _all_tensors(attribute.g, depth + 1)
    return found


def _constants(graph: Any, obstacles: list[str]) -> dict[str, Array]:
    """Return the tensors that a graph holds; what stands in the way is added to the obstacles."""
    found: dict[str, Array] = {}
    elsewhere: list[str] = []
    for tensor in graph.initializer:
        name = text(tensor.name)
        if not name or name in found:
            raise ModelFormatError(f"tensor {show(name)} is there twice")
        if _is_elsewhere(tensor):
            elsewhere.append(name)
            continue
        try:
            found[name] = array_of(tensor, f"tensor {show(name)}")
        except ModelFormatError as error:
            obstacles.append(str(error))
    if elsewhere:
        more = f" and {len(elsewhere) - 1} more" * (len(elsewhere) > 1)
        obstacles.append(f"tensor {show(elsewhere[0])}{more}: {_ELSEWHERE}")
    return found


def _opset(model: Any, obstacles: list[str]) -> int:
    """Return the version of the standard operators."""
    found = {int(o.version) for o in model.opset_import if text(o.domain) in STANDARD}
    if len(found) != 1:
        raise ModelFormatError("opset_import: expected one version of the operators of ONNX")
    (opset,) = found
    low, high = _OPSETS
    if not low <= opset <= high:
        obstacles.append(f"opset {opset}; expected {low} to {high}")
    return opset


def _check_amount(tensors: Sequence[Any], limits: Limits) -> None:
    """Refuse more numbers than allowed, before any are read."""
    size = 0
    for tensor in tensors:
        dims = [int(n) for n in tensor.dims]
        if any(n < 0 for n in dims) or len(dims) > 8:
            raise ModelFormatError(f"tensor {show(text(tensor.name))}: a shape of {show(dims)}")
        size += 4 * math.prod(dims)
    if size > limits.max_tensor_bytes:
        raise ModelFormatError(
            f"the weights take {size} bytes, max_tensor_bytes is {limits.max_tensor_bytes}"
        )


def _is_elsewhere(tensor: Any) -> bool:
    return tensor.data_location == _EXTERNAL or len(tensor.external_data) > 0


def array_of(tensor: Any, where: str) -> Array:
    """Return the numbers of a ``TensorProto``; those of 16 bits as float32."""
    if _is_elsewhere(tensor):
        raise ModelFormatError(f"{where}: {_ELSEWHERE}")
    dtype = DTYPES.get(tensor.data_type)
    if dtype is None:
        raise ModelFormatError(f"{where}: elements of type {tensor.data_type}")
    if tensor.HasField("segment"):
        raise ModelFormatError(f"{where}: a segment of a tensor")
    dims = tuple(int(n) for n in tensor.dims)
    if any(n < 0 for n in dims) or len(dims) > 8:
        raise ModelFormatError(f"{where}: a shape of {show(dims)}")
    count = math.prod(dims)
    stored = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")
    typed = _FIELDS.get(dtype, "int32_data")
    raw, listed = tensor.raw_data, getattr(tensor, typed)
    if raw and len(listed):
        raise ModelFormatError(f"{where}: numbers in two places")
    if len(listed):
        if len(listed) != count:
            raise ModelFormatError(f"{where}: {len(listed)} numbers for a shape of {show(dims)}")
        kinds: dict[str, Any] = {
            "float_data": np.float64,
            "double_data": np.float64,
            "uint64_data": np.uint64,
        }
        kind = kinds.get(typed, np.int64)
        numbers = np.fromiter(listed, kind, count)
        if dtype in ("float16", "bfloat16"):  # their bits
            numbers = numbers.astype(np.uint16)
            numbers = numbers.view(np.float16) if dtype == "float16" else numbers
        else:
            numbers = numbers.astype(dtype)
    else:
        if len(raw) != count * stored.itemsize:
            raise ModelFormatError(f"{where}: {len(raw)} bytes for a shape of {show(dims)}")
        numbers = np.frombuffer(raw, stored) if count else np.zeros(0, stored)
        numbers = numbers.astype(stored.newbyteorder("="), copy=False)
    if dtype == "bfloat16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    elif dtype == "float16":
        numbers = numbers.astype(np.float32)
    numbers = numbers.reshape(dims)
    numbers.flags.writeable = False  # for layers to share it
    return numbers


def _input(value: Any) -> Input:
    name = text(value.name)
    where = f"input {show(name)}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ModelFormatError(f"{where}: expected a tensor, found {show(kind)}")
    tensor = value.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type)
    if dtype is None:
        raise ModelFormatError(f"{where}: elements of type {tensor.elem_type}")
    if not tensor.HasField("shape"):
        raise ModelFormatError(f"{where}: its shape is not known")
    lengths: list[int | str | None] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value"):
            if dim.dim_value == -1:  # as Paddle has it where it is open
                lengths.append(None)
                continue
            if not 0 < dim.dim_value < 2**31:
                raise ModelFormatError(f"{where}: an axis of length {dim.dim_value}")
            lengths.append(int(dim.dim_value))
        else:
            lengths.append(text(dim.dim_param) or None)
    if len(lengths) > 8:
        raise ModelFormatError(f"{where}: expected at most 8 axes, found {len(lengths)}")
    return Input(name, dtype, tuple(lengths))


def _check_names(
    nodes: Sequence[Node], constants: Mapping[str, Array], inputs: Sequence[Input]
) -> None:
    """Refuse tensors that are made twice, or taken before they are made."""
    made = set(constants) | {given.name for given in inputs}
    if len(made) != len(constants) + len(inputs):
        raise ModelFormatError("two inputs of one name")
    for node in nodes:
        for name in node.inputs:
            if name and name not in made:
                raise ModelFormatError(f"{node.where}: no tensor is called {show(name)}")
        for name in node.outputs:
            if name and name in made:
                raise ModelFormatError(f"{node.where}: tensor {show(name)} is made twice")
            made.add(name)


# How the kinds of attributes are numbered, and what is read of each.
_ATTRIBUTES: dict[int, str] = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
_TENSOR, _GRAPHS = 4, (5, 10)
_MOST_DEPTH = 8  # of branches within branches
_OPTIMIZED = ("com.microsoft", "com.microsoft.nchwc")
_OWN_GRAPH = "the operator runs a graph of its own, which is not supported"
_OF_KERAS = "; where it was a recurrent layer of Keras, that is read from its .keras file"
# What to do about loops, by who wrote the file.
_INSTEAD = {
    "tf2onnx": _OF_KERAS,
    "keras": _OF_KERAS,
    "pytorch": "; where it was an EmbeddingBag, fastdrop.torch.from_torch takes the module itself",
}
QUANTIZED = "it computes with quantized numbers; take the model from before it was quantized"


def is_quantized(op: str) -> bool:
    """Say whether an operator computes with numbers of a few bits."""
    marks = ("quant", "qlinear", "qattention", "integer", "nbits")
    return any(mark in op.lower() for mark in marks)


def _branch(graph: Any, depth: int) -> Branch:
    """Return what a branch of `If` says; it has no inputs."""
    nodes = [_node(node, i, depth) for i, node in enumerate(graph.node)]
    obstacles: list[str] = []
    constants = _constants(graph, obstacles)
    if len(graph.input) or len(graph.sparse_initializer):
        obstacles.append("a branch with inputs or sparse tensors of its own")
    return Branch(
        nodes, constants, [text(value.name) for value in graph.output], "; ".join(obstacles)
    )


def _node(proto: Any, number: int, depth: int = 0) -> Node:
    op, domain = text(proto.op_type), text(proto.domain)
    node = Node(
        op,
        text(proto.name) or f"{op}_{number}",
        [text(name) for name in proto.input],
        [text(name) for name in proto.output],
    )
    if domain not in STANDARD:
        node.obstacle = f"the operator is of the domain {show(domain)}, which is not supported"
        if is_quantized(op):
            node.obstacle = QUANTIZED
        elif domain in _OPTIMIZED:
            node.obstacle += (
                "; ONNX Runtime writes such where it optimizes: take the file from before, or have "
                "it written at the level ORT_ENABLE_BASIC"
            )
        return node
    for attribute in proto.attribute:
        name = text(attribute.name)
        if name in node.attributes:
            raise ModelFormatError(f"{node.where}: attribute {show(name)} is there twice")
        if attribute.ref_attr_name:
            node.obstacle = f"attribute {show(name)} of a function"
        elif op == "If" and attribute.type == _GRAPHS[0] and depth < _MOST_DEPTH:
            node.branches[name] = _branch(attribute.g, depth + 1)
        elif attribute.type in _GRAPHS:
            node.obstacle = _OWN_GRAPH
        elif attribute.type == _TENSOR:
            where = f"{node.where}: attribute {show(name)}"
            node.attributes[name] = array_of(attribute.t, where)
        elif attribute.type in _ATTRIBUTES:
            value = getattr(attribute, _ATTRIBUTES[attribute.type])
            if attribute.type == 3:
                value = text(value)
            elif attribute.type == 8:
                value = [text(each) for each in value]
            elif attribute.type in (6, 7):
                value = list(value)
            node.attributes[name] = value
        else:
            node.obstacle = f"attribute {show(name)} of kind {attribute.type}"
    if node.branches and {*node.branches} != {"then_branch", "else_branch"}:
        node.obstacle = "two branches are expected"
    return node

"""A graph of ONNX, written as calls of layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, product
from typing import Any

import numpy as np

from fastdrop import layers
from fastdrop.formats._errors import ModelFormatError, printable, show
from fastdrop.formats._lengths import BATCH, Length, Open, known
from fastdrop.formats._limits import Limits
from fastdrop.formats._values import (
    BatchAxisError,
    Elsewhere,
    OfRows,
    Spread,
    Steps,
    Tensor,
    ToldError,
    UnsupportedError,
    Value,
    joined,
    steps_beside,
)
from fastdrop.formats.onnx._calls import Calls
from fastdrop.formats.onnx._records import (
    QUANTIZED,
    Branch,
    Graph,
    Input,
    Node,
    is_quantized,
    with_inner,
)
from fastdrop.formats.onnx._registry import OPERATORS
from fastdrop.formats.onnx._rows import Arguments, Made, Row, is_lengths, simplified
from fastdrop.formats.onnx.arithmetic import BY_NUMBER, REDUCTIONS
from fastdrop.layers import Layer
from fastdrop.model import Call, Model, Summary
from fastdrop.model._summary import LayerSummary

# What folded constants may take beside the file.
_FREE_BYTES = 16 * 2**20
# What takes `Steps` as they are.
_OF_STEPS = frozenset(
    (
        *(
            "Cast",
            "Einsum",
            "Expand",
            "Gather",
            "GatherND",
            "Identity",
            "Range",
            "Reshape",
            "Shape",
            "Slice",
        ),
        *(
            "EyeLike",
            "Size",
            "Softmax",
            "Squeeze",
            "Tile",
            "Transpose",
            "Trilu",
            "Unsqueeze",
            *REDUCTIONS,
        ),
    )
)
# What takes them as tensors beside others.
_BESIDE = BY_NUMBER | {"Concat", "MatMul"}
# What takes vectors of one row as a matrix of one line.
_OF_VECTORS = BY_NUMBER | {"Concat", "LogSoftmax", "MatMul", "Softmax"}
# What takes an order of rows, or their numbers.
_OF_ORDERS = (
    *("Add", "Cast", "Concat", "Expand", "Gather", "GatherND", "Identity", "Mul", "Reshape"),
    *("Sub", "ScatterElements", "ScatterND", "Shape", "TopK", "Unsqueeze"),
    *("ConcatFromSequence", "SequenceAt", "SequenceErase", "SequenceInsert", "SequenceLength"),
)
# What is said of an input when the file is read: its shape, or the number that it is.
Given = tuple[int | None, ...] | int | float | bool
_FIRST = "the batch is its first axis"
_TRIED = 12  # places of the batch, where several axes of inputs may be it
_TELLINGS = 4  # how often lengths are told by nodes, some of which are behind others
_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


def build(
    graph: Graph,
    limits: Limits,
    size: int,
    source: str,
    allow_nonfinite: bool,
    given: Mapping[str, Given],
) -> Model:
    """Return the model of a graph, of which `given` says what its inputs leave open.

    The batch is on the first axis of each input, or where recurrent layers or the names of lengths
    say, or else on an axis that is open; what fits is taken. Where a length is called as that of
    the batch, it is nowhere else. A length that is open by its input
    alone is what the nodes say.

    Raises
    ------
    ModelFormatError
        Names everything that stands in the way.
    """
    failed: list[tuple[bool, int, ModelFormatError, _Assembly]] = []
    graph, notes = _settled(graph, given)
    waiting: list[tuple[dict[str, int], dict[Length, int], int]]
    waiting = [(places, {}, _TELLINGS) for places in _places(graph)]
    while waiting:
        places, bound, left = waiting.pop(0)
        assembly = _Assembly(graph, limits, size, source, places, bound)
        assembly.notes += notes
        try:
            return assembly.model(allow_nonfinite)
        except ModelFormatError as error:
            failed.append((assembly.misplaced, len(error.obstacles), error, assembly))
        if left and assembly.told.keys() - bound.keys():
            waiting.append((places, assembly.told | bound, left - 1))
    *_, best, assembly = min(failed, key=lambda each: each[:2])
    raise ModelFormatError(f"{best}{assembly.hint()}", best.obstacles, best.summary) from best


def _settled(graph: Graph, given: Mapping[str, Given]) -> tuple[Graph, list[str]]:
    """Put in what is given of inputs: lengths that are open, and numbers that all rows share.

    Inputs of one number that nothing is computed of are left out.
    """
    known = {each.name: each for each in graph.inputs}
    for name in given:
        if name not in known:
            expected = ", ".join(map(show, known))
            raise ModelFormatError(f"inputs={show(name)}: expected one of {expected}")
    needed = _needed(graph)
    notes: list[str] = []
    inputs: list[Input] = []
    constants = dict(graph.constants)
    for each in graph.inputs:
        if each.lengths:
            inputs.append(_shaped(each, given[each.name]) if each.name in given else each)
        elif each.name in given:
            constants[each.name] = _number(each, given[each.name])
            notes.append(f"input {show(each.name)} is {given[each.name]} for all rows")
        elif each.name in needed:
            raise ModelFormatError(
                f"input {show(each.name)}: one number for all rows, which is part of the model "
                f"here: say which it is, as in load(..., inputs={{{show(each.name)}: 1}})"
            )
        else:
            notes.append(f"input {show(each.name)} is of no use, and none here")
    if not inputs:
        raise ModelFormatError("no input that something is computed of")
    return replace(graph, inputs=inputs, constants=constants), notes


def _shaped(own: Input, shape: Given) -> Input:
    """Return an input with lengths that its file leaves open."""
    lengths = shape if isinstance(shape, tuple) else ()
    pairs = list(zip(own.lengths, lengths, strict=False))
    fits = len(lengths) == len(own.lengths)
    if not fits or any(n not in (None, o) for o, n in pairs if isinstance(o, int)):
        asked = shape if isinstance(shape, tuple) else "one number"
        raise ModelFormatError(
            f"inputs={show(own.name)}: expected a shape as {own.lengths}, found {asked}"
        )
    return replace(own, lengths=tuple(o if n is None else n for o, n in pairs))


def _number(own: Input, number: Given) -> Any:
    """Return the number that an input is, as an array."""
    dtype = np.dtype("float32" if own.dtype in ("float16", "bfloat16") else own.dtype)
    if not isinstance(number, tuple):
        with np.errstate(all="ignore"), suppress(OverflowError):
            found = np.asarray(number).astype(dtype)
            if found == number or dtype.kind == "f":
                return found
    raise ModelFormatError(f"inputs={show(own.name)}: expected a number of {dtype}, found {number}")


def _places(graph: Graph) -> Iterator[dict[str, int]]:
    """Yield on which axis of each input the batch may be, the likeliest first.

    -1 is for an input of a file for one row that has no axis for it.
    """
    required = _required(graph)
    found: list[dict[str, int]] = []
    ranks = {given.name: len(given.lengths) for given in graph.inputs}
    recurrent = any(node.op in _STATES for node in with_inner(graph.nodes))
    named: dict[str, dict[str, int]] = {}
    for given in graph.inputs:
        for axis, length in enumerate(given.lengths):
            if isinstance(length, str) and given.lengths.count(length) == 1:
                named.setdefault(length, {})[given.name] = axis
    names = sorted((n for n in named if len(named[n]) == len(ranks)), key=_unlike_batch)
    found += [named[name] for name in names if not _unlike_batch(name)]
    found.append({name: required.get(name, 0) for name in ranks})
    if recurrent:
        found.append({name: required.get(name, min(1, rank - 1)) for name, rank in ranks.items()})
    found += [named[name] for name in names]
    if len(ranks) > 1:
        # Each input may call the batch otherwise, or not at all, or have one row or so many.
        common = set.intersection(*({*g.lengths} for g in graph.inputs))
        for length in sorted(n for n in common if isinstance(n, int) and n > 1):
            found.append({g.name: g.lengths.index(length) for g in graph.inputs})
        for kinds in ({"open"}, {"one"}, {"open", "one"}):
            axes = [[i for i, n in enumerate(g.lengths) if _kind(n) in kinds] for g in graph.inputs]
            found += [
                dict(zip(ranks, some, strict=True)) for some in islice(product(*axes), _TRIED)
            ]
    if recurrent:
        single = {g.name: g.lengths.index(1) if 1 in g.lengths else -1 for g in graph.inputs}
        found.append({name: required.get(name, axis) for name, axis in single.items()})
    allowed = _allowed(graph)
    if allowed is not None:
        named_so = islice(product(*allowed.values()), _TRIED)
        found += [dict(zip(ranks, some, strict=True)) for some in named_so]
        found = [p for p in found if all(at in allowed[name] for name, at in p.items())]
    fitting = [p for p in found if all(p[name] == axis for name, axis in required.items())]
    if allowed is not None:  # where the names say, to tell what stands in the way
        fitting = fitting or found
    yield from (places for i, places in enumerate(fitting) if places not in fitting[:i])


def _allowed(graph: Graph) -> dict[str, list[int]] | None:
    """Return on which axes of each input the batch may be, None where no length is called so.

    Where one is it is there; and beside such an input no other has it on an axis of so many places.
    """
    named = {g.name: [i for i, n in enumerate(g.lengths) if _is_batch(n)] for g in graph.inputs}
    if not any(named.values()):
        return None
    found: dict[str, list[int]] = {}
    for given in graph.inputs:
        axes = [i for i, n in enumerate(given.lengths) if _kind(n) != "fixed"]
        found[given.name] = named[given.name] or axes
        if not axes:
            other = next(name for name, its in named.items() if its)
            raise ModelFormatError(
                f"input {show(given.name)} of shape {[*given.lengths]}: the same for all rows, of "
                f"which input {show(other)} has any number; only what each row has is taken here"
            )
    return found


def _kind(length: int | str | None) -> str:
    """Return of what kind a length is, by which it may be that of the batch."""
    if not isinstance(length, int):
        return "open"
    return "one" if length == 1 else "fixed"


def _is_batch(length: int | str | None) -> bool:
    """Whether a length is called as that of the batch is."""
    return isinstance(length, str) and ("batch" in length.lower() or length in ("N", "B", "bs"))


def _unlike_batch(name: str) -> bool:
    return "batch" not in name.lower() and name not in ("N", "n", "B", "b", "bs")


def _required(graph: Graph) -> dict[str, int]:
    """Return on which axis recurrent layers take the batch of those inputs that they are given."""
    inputs = {given.name for given in graph.inputs}
    order: dict[str, tuple[str, list[int] | None]] = {}
    nodes = list(with_inner(graph.nodes))
    for node in nodes:
        if node.inputs and node.outputs and node.op in ("Identity", "Cast", "Transpose"):
            axes = node.attributes.get("perm") if node.op == "Transpose" else None
            if node.op != "Transpose" or isinstance(axes, list):
                order[node.outputs[0]] = (node.inputs[0], axes)
    found: dict[str, int] = {}

    def trace(name: str, axis: int) -> None:
        while name not in inputs:
            if name not in order:
                return
            name, axes = order[name]
            if axes is not None:
                if sorted(axes) != [*range(len(axes))] or axis >= len(axes):
                    return
                axis = axes[axis]
        found.setdefault(name, axis)

    for node in nodes:
        if node.op in _STATES:
            axis = 0 if node.attributes.get("layout", 0) else 1
            for number in (0, *_STATES[node.op]):
                if number < len(node.inputs):
                    trace(node.inputs[number], axis)
    return {
        given.name: found[given.name]
        for given in graph.inputs
        if found.get(given.name, len(given.lengths)) < len(given.lengths)
    }


class _Assembly:
    """A graph with the batch of each input on one axis."""

    def __init__(
        self,
        graph: Graph,
        limits: Limits,
        size: int,
        source: str,
        places: Mapping[str, int],
        bound: Mapping[Length, int],
    ) -> None:
        self.graph = graph
        self.inputs = [_bound(given, bound) for given in graph.inputs]
        # Lengths that nodes take for a number, though the inputs leave them open.
        self.told: dict[Length, int] = {}
        self.limits = limits
        self.places = places
        self.net = Calls()
        self.notes = [
            f"the file is for {n} places along what it calls {length}"
            for length, n in bound.items()
        ]
        self.obstacles: list[str] = []
        # Whether a layer finds the batch where it cannot be.
        self.misplaced = False
        self.summary = Summary(source=source)
        self.values: dict[str, Value] = dict(graph.constants)
        self.dtypes = {name: array.dtype for name, array in graph.constants.items()}
        self.needed = _needed(graph)
        # Which calls and arrays have been counted, of what all may take.
        self._counted = 0
        # What layers are called, by the names of nodes, and how many are so by what is shown.
        self._names: dict[str, str] = {}
        self._shown: Counter[str] = Counter()
        self._seen: dict[int, Any] = {}
        self.room = 4 * size + _FREE_BYTES
        batches = {
            given.lengths[places[given.name]] if places[given.name] >= 0 else 1
            for given in self.inputs
        }
        (batch,) = batches if len(batches) == 1 else (None,)
        self.fixed_batch = batch if isinstance(batch, int) else None
        self.net.single_row = self.fixed_batch == 1
        if len({n for n in batches if isinstance(n, int)}) > 1:
            self.obstacles.append(f"inputs for {_either(batches)} rows")

    def model(self, allow_nonfinite: bool) -> Model:
        for given in self.inputs:
            self._take(given)
        for node in self.graph.nodes:
            if not self.needed.isdisjoint(node.outputs):
                self._read(node)
        outputs = self._outputs()
        self._raise_any()
        entries = self.net.trimmed(list(outputs.values()))
        self._check(entries, allow_nonfinite)
        put_out: Any = outputs
        if len(outputs) == 1:  # one array, not several by name
            (output,) = outputs.items()
            entries, put_out = _renamed(entries, output, self.places)
        self._raise_any()
        if self.fixed_batch is not None:
            self.notes.append(f"the file is for {self.fixed_batch} rows; here there may be any")
        try:
            model = self.net.model(
                entries,
                {g.name: known(_row(g, self.places[g.name])) for g in self.inputs},
                outputs=put_out,
                source=self.summary.source,
                notes=[*self.notes, *self.net.notes],
                input_dtypes={
                    g.name: g.dtype for g in self.inputs if self.dtypes[g.name].kind in "biu"
                },
            )
        except ValueError as error:  # what the model refuses is the file's fault
            raise ModelFormatError(printable(str(error), 200, "ascii")) from error
        for name, shape in zip(model.graph.names, model.graph.shapes, strict=True):
            size = 4 * math.prod(n or 0 for n in shape)
            if size > self.limits.max_tensor_bytes:
                raise ModelFormatError(
                    f"{show(name)} takes {size} bytes for one input, max_tensor_bytes is "
                    f"{self.limits.max_tensor_bytes}"
                )
        return model

    def hint(self) -> str:
        """Say how open lengths are given, if these are in the way."""
        for given in self.inputs:
            axes = {
                i: _named(given, i) for i, n in enumerate(given.lengths) if not isinstance(n, int)
            }
            axes.pop(self.places[given.name], None)
            words = ("one of two graphs", " open", *map(str, axes.values()))
            if axes and any(word in text for text in self.obstacles for word in words):
                shape = ["100" if i in axes else str(n) for i, n in enumerate(given.lengths)]
                if self.places[given.name] >= 0:
                    shape[self.places[given.name]] = "None"
                return (
                    f"; lengths that the file leaves open may be given, as in load(..., "
                    f"inputs={{{show(given.name)}: ({', '.join(shape)})}})"
                )
        return ""

    def _take(self, given: Input) -> None:
        at = self.places[given.name]
        lengths: list[Length] = []
        for axis, length in enumerate(given.lengths):
            if axis == at:
                lengths.append(BATCH)
            elif isinstance(length, int):
                lengths.append(length)
            else:
                lengths.append(_named(given, axis))
        if at < 0:
            made = self.net.input(given.name, [BATCH, *lengths], 0)
            self.values[given.name] = joined(made, 0)
        else:
            self.values[given.name] = self.net.input(given.name, lengths, at)
        name = "float32" if given.dtype in ("float16", "bfloat16") else given.dtype
        self.dtypes[given.name] = np.dtype(name)
        self.summary.inputs[given.name] = known(_row(given, at))
        if at:
            there = f"it is axis {at}" if at > 0 else "there is none for it"
            self.notes.append(f"input {show(given.name)}: {_FIRST}; in the file {there}")
        if given.dtype in ("float16", "bfloat16", "float64"):
            note = f"{given.dtype} is computed with as float32"
            self.notes += [note] if note not in self.notes else []

    def _read(self, node: Node) -> None:
        """Write the calls of a node, or keep what stands in the way."""
        shown = LayerSummary(printable(node.name, 100, "ascii"), node.op, takes=list(node.inputs))
        self.summary.layers.append(shown)
        row = OPERATORS.get(node.op)
        obstacle = node.obstacle
        if any(name and name not in self.values for name in node.inputs):
            # For a reason that has been told; its own may be another.
            if obstacle:
                self._refuse(f"{node.where}: {obstacle}")
            return
        if node.branches and not obstacle:
            obstacle = self._branch(node)
            row = None
        elif not obstacle and row is None:
            obstacle = "the operator is not supported"
            if is_quantized(node.op):
                obstacle = QUANTIZED
        given = [self.values[name] for name in node.inputs if name]
        if any(isinstance(v, OfRows) for v in given) and node.op not in _OF_ORDERS:
            obstacle = obstacle or "numbers of rows, computed with"
        if not obstacle and row is not None:
            self.net.scope = self._called(node.name)
            taken = [name if name in self.needed else "" for name in node.outputs]
            arguments = Arguments(
                replace(node, outputs=taken),
                [self.values[name] if name else None for name in node.inputs],
                [self.dtypes[n] if n else np.dtype(np.float32) for n in node.inputs],
                self.graph.opset,
                self.net,
                self.fixed_batch,
                self.room,
                self.notes,
            )
            try:
                alone = self._with_steps(arguments)
                made = _made(row, arguments)
                if alone and isinstance(made, Tensor):
                    made = Steps(made)
                arguments.check_read()
                several = made if isinstance(made, list) else [made]
                dtypes = [arguments.others.get(i, arguments.dtype) for i in range(len(several))]
                self._keep(node, several, dtypes)
            except UnsupportedError as error:
                obstacle = str(error)
                self.misplaced |= isinstance(error, BatchAxisError)
                if node.op == "Reshape":
                    self._tell(arguments.optional(0), arguments.optional(1))
                elif isinstance(error, ToldError):
                    self.told.setdefault(error.length, error.number)
            except (TypeError, ValueError) as error:  # what a layer refuses is the file's fault
                obstacle = str(error)
        if obstacle:
            self._refuse(f"{node.where}: {printable(obstacle, 200, 'ascii')}")

    def _called(self, name: str) -> str:
        """Return what the layers of nodes of a name are called, as others are not."""
        if name not in self._names:
            shown = printable(name, 100, "ascii").replace(":", ".")
            count = self._shown[shown]
            self._shown[shown] += 1
            self._names[name] = f"{shown}~{count}" if count else shown
        return self._names[name]

    def _tell(self, value: Value | None, shape: Value | None) -> None:
        """Keep which number the first axes have by a shape, where an input has them open."""
        if not isinstance(value, Tensor) or not isinstance(shape, np.ndarray):
            return
        end = value.at + value.before
        apart = [*value.row[:end], BATCH, *value.row[end:]]  # what is joined with it by itself
        for own, n in zip(apart, shape.reshape(-1).tolist(), strict=False):
            if own == BATCH and n == -1 and value.behind:
                continue
            if isinstance(own, Open) and own != BATCH and isinstance(n, int) and n > 0:
                self.told.setdefault(own, n)
            if own != n:
                break

    def _with_steps(self, a: Arguments) -> bool:
        """Put tensors in the place of `Steps`; return whether what comes out is such."""
        if a.op in BY_NUMBER:
            _count_lengths(a)
        if a.op in _OF_STEPS or not any(isinstance(v, Steps) for v in a.values):
            return False
        change, alone = steps_beside(self.net, a.values)
        if alone and a.op == "Concat":
            return False
        if a.op not in _BESIDE:
            change, alone = (lambda v: v.single(self.net)), False
        a.values = [change(v) if isinstance(v, Steps) else v for v in a.values]
        return alone

    def _branch(self, node: Node) -> str:
        """Read the nodes of a branch that is known to be taken; return what stands in the way."""
        condition = self.values[node.inputs[0]] if len(node.inputs) == 1 else None
        told = isinstance(condition, np.ndarray) and condition.dtype == bool and condition.size == 1
        if not told or not self._certain(node.inputs[0]):
            return "it runs one of two graphs, by what is not known when the file is read"
        branch = node.branches["then_branch" if bool(condition) else "else_branch"]
        if branch.obstacle or len(branch.outputs) != len(node.outputs):
            return branch.obstacle or "a branch that makes other outputs"
        before, outside = len(self.obstacles), {*self.values}
        obstacle = self._inner(branch)
        made = {
            source: (self.values[source], self.dtypes[source])
            for source in branch.outputs
            if source in self.values
        }
        for name in self.values.keys() - outside:  # others may be called so in other branches
            del self.values[name], self.dtypes[name]
        for name, source in zip(node.outputs, branch.outputs, strict=True):
            if source in made:
                self.values[name], self.dtypes[name] = made[source]
            elif len(self.obstacles) == before:
                obstacle = obstacle or f"no tensor is called {show(source)}"
        return obstacle

    def _inner(self, branch: Branch) -> str:
        """Read the nodes of a branch; return what stands in the way of all of it."""
        for name, array in branch.constants.items():
            if name in self.values:
                return "a branch that holds what is made elsewhere"
            self.values[name], self.dtypes[name] = array, array.dtype
        for inner in branch.nodes:
            if any(name in self.values for name in inner.outputs if name):
                return "a branch that makes what is made elsewhere"
            if not self.needed.isdisjoint(inner.outputs):
                self._read(inner)
        return ""

    def _certain(self, name: str) -> bool:
        """Whether a condition depends on no length that is open."""
        made: dict[str, list[Node]] = {}
        for node in with_inner(self.graph.nodes):
            for output in node.outputs:
                made.setdefault(output, []).append(node)
        waiting = made.pop(name, [])
        while waiting:
            node = waiting.pop()
            inputs = [n for n in node.inputs if n]
            if node.op in ("And", "Cast", "Identity", "Not", "Or", "Squeeze", "Unsqueeze", "Xor"):
                waiting += [each for n in inputs for each in made.pop(n, [])]
            elif node.op in ("Gather", "Size", "Slice"):  # of lengths, some of which are known
                continue
            elif any(is_lengths(self.values.get(n)) for n in inputs):
                return False
        return True

    def _keep(self, node: Node, made: Sequence[Any], dtypes: Sequence[np.dtype[Any]]) -> None:
        for name, value, dtype in zip(node.outputs, made, dtypes, strict=False):
            if not name:
                continue
            if not isinstance(value, (Tensor, Spread, OfRows, Steps)):
                value = simplified(value)
            if not isinstance(value, (Tensor, OfRows, Steps)):
                held = value.value if isinstance(value, Spread) else value
                self._count(self._new_bytes(held))
            self.values[name] = value
            self.dtypes[name] = self._dtype(value, dtype)
        for call in self.net.entries[self._counted :]:
            self._count(sum(self._new_bytes(array) for array in _arrays(call.layer)))
        self._counted = len(self.net.entries)
        missing = [name for name in node.outputs[len(made) :] if name in self.needed]
        if missing:
            raise UnsupportedError(f"output {show(missing[0])}, which is used, is not made")

    def _count(self, size: int) -> None:
        """Refuse what takes more than a file of this size may."""
        self.room -= size
        if self.room < 0:
            raise UnsupportedError("constants and weights take more than the file accounts for")

    def _new_bytes(self, array: Any) -> int:
        """Return how many bytes an array takes that has not been counted."""
        owner = array if array.base is None else array.base
        if id(owner) in self._seen:
            return 0
        self._seen[id(owner)] = owner  # kept, so that its number stays its own
        return int(owner.nbytes if isinstance(owner, np.ndarray) else array.nbytes)

    @staticmethod
    def _dtype(value: Value, dtype: np.dtype[Any]) -> np.dtype[Any]:
        if isinstance(value, np.ndarray):
            return np.dtype(np.int64) if value.dtype == object else value.dtype
        return dtype

    def _outputs(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self.graph.outputs:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, OfRows):
                self._refuse(f"output {show(name)}: numbers of rows, computed with")
                continue
            if isinstance(value, Steps) and 1 in value.shape:
                value = value.single(self.net)
            if not isinstance(value, Tensor):
                self._refuse(f"output {show(name)} does not depend on the inputs")
                continue
            if value.name in self.places:  # an input as it came
                self.net.scope = name.replace(":", ".")
                value = self.net.single(layers.Identity(name=self.net.scope), value)
            value = self.net.with_row(value)
            found[name] = value.name
            self.summary.outputs[name] = known(value.row)
            if value.merged:
                self.notes.append(f"output {show(name)}: the axes joined with the batch are apart")
            elif value.at:
                self.notes.append(
                    f"output {show(name)}: {_FIRST}; in the file it is axis {value.at}"
                )
        return found

    def _check(self, entries: Sequence[Call], allow_nonfinite: bool) -> None:
        """Refuse more layers than allowed, and weights that are not finite."""
        if len(entries) > self.limits.max_layers:
            raise ModelFormatError(f"{len(entries)} layers, max_layers is {self.limits.max_layers}")
        if allow_nonfinite:
            return
        for layer in {id(call.layer): call.layer for call in entries}.values():
            for name, weight in layer.weights().items():
                if not np.isfinite(weight).all():
                    self._refuse(
                        f"{layer.label}: {name} holds NaN or infinities; allow_nonfinite=True "
                        "accepts them"
                    )

    def _refuse(self, obstacle: str) -> None:
        if obstacle not in self.obstacles:
            self.obstacles.append(obstacle)

    def _raise_any(self) -> None:
        if self.obstacles:
            error = ModelFormatError.of(self.obstacles)
            error.summary = self.summary
            raise error


def _made(row: Row, a: Arguments) -> Made:
    """Return what a row of the table makes of its arguments.

    Of one row, what cannot be computed as its axis stands may be where that stands elsewhere.
    """
    given, node = list(a.values), a.node
    try:
        return row(a)
    except UnsupportedError:
        if not a.net.single_row:
            raise
        for way in Elsewhere.all(given, of_vectors=a.op in _OF_VECTORS):
            a.values = [way.seen(v) for v in given]
            if way.behind is None and node.attributes.get("axis") == 0:
                a.node = replace(node, attributes={**node.attributes, "axis": -1})
            with suppress(UnsupportedError):
                return way.made(row(a))  # type: ignore[no-any-return]
        raise


def _count_lengths(a: Arguments) -> None:
    """Put numbers in the place of lengths that stand beside tensors, but for those of the batch."""
    if any(isinstance(v, OfRows) for v in a.values):
        return
    if not any(isinstance(v, (Tensor, Spread, Steps)) for v in a.values):
        return
    for i, value in enumerate(a.values):
        if isinstance(value, np.ndarray) and is_lengths(value) and BATCH not in value.flat:
            a.values[i] = a.net.counts(value)  # type: ignore[call-overload]


def _renamed(
    entries: Sequence[Call], output: tuple[str, str], inputs: Collection[str]
) -> tuple[list[Call], str]:
    """Return calls of which one makes a tensor by the name of the output, and what it is called."""
    name, tensor = output
    made = {call.name for call in entries}
    if name in made or name in inputs:
        return list(entries), tensor
    if tensor not in made:  # a further result of a call
        return [*entries, Call(layers.Identity(name=name), [tensor], name)], name
    renamed = []
    for call in entries:
        taken = [name if n == tensor else n for n in call.inputs or ()]
        own = name if call.name == tensor else call.name
        renamed.append(Call(call.layer, taken, own, call.training))
    return renamed, name


def _arrays(layer: Layer) -> Iterator[Any]:
    """Yield the weights and constants of a layer."""
    yield from layer.weights().values()
    yield from (o for o in getattr(layer, "operands", ()) if isinstance(o, np.ndarray))


def _named(given: Input, axis: int) -> Length:
    """Return what a length is called that is left open."""
    return Open.named(repr(given.lengths[axis] or f"{given.name}.{axis}"))


def _bound(given: Input, numbers: Mapping[Length, int]) -> Input:
    """Return an input with numbers in the place of some lengths that are open."""
    lengths = (numbers.get(_named(given, axis), n) for axis, n in enumerate(given.lengths))
    return replace(given, lengths=tuple(lengths))


def _either(batches: set[Any]) -> str:
    return " and ".join(sorted(map(str, batches)))


def _row(given: Input, at: int) -> list[Length]:
    return [
        n if isinstance(n, int) else Open.named(str(n))
        for axis, n in enumerate(given.lengths)
        if axis != at
    ]


def _needed(graph: Graph) -> set[str]:
    """Return the tensors on which some output depends."""
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if needed & {*node.outputs}:
            inner = list(with_inner([node]))
            taken = [name for each in inner for name in each.inputs]
            branches = [branch for each in inner for branch in each.branches.values()]
            taken += [name for branch in branches for name in branch.outputs]
            needed |= {*taken} - {""}  # what is left out has that name, made or taken
    return needed

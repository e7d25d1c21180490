"""Calls of layers, written out in one list: models within models stand there in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import ModelRecord, Node, Record, Ref
from fastdrop.formats.keras._rows import Tensor, refuse_arguments, tensors_of

INDEX_DTYPES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@dataclass(frozen=True)
class FlatCall:
    """A call of a layer that is no model: what it makes, and its arguments with tensors by name.

    `steps` counts the models at every time step around it, `training` is that of the calls of the
    models around it. With `mask_of` it gives a tensor a mask: that tensor, or the
    mask of that tensor if it is `borrowed`. One `handed` to an inner model stays with the tensor.
    What is `cut` to whole numbers is so by an inner model that takes no others.
    """

    record: Record
    name: str
    node: Node
    steps: int = 0
    training: Any = None
    mask_of: Tensor | None = None
    borrowed: bool = False
    handed: bool = False
    masked: bool = False
    chained: bool = False
    cut: bool = False


def _chained(model: ModelRecord) -> ModelRecord:
    """Return a Sequential model as a functional one."""
    layers = [record for record in model.layers if record.class_name != "InputLayer"]
    before: Ref = Ref("", 0, 0)
    linked: list[Record] = []
    for record in layers:
        linked.append(replace(record, nodes=[Node([before], {})]))
        before = Ref(record.name, 0, 0)
    return replace(model, layers=linked, inputs=[""], outputs=[before])


class LostError(ModelFormatError):
    """A call reads what a layer makes that could not be read."""

    def __init__(self) -> None:
        super().__init__("a layer could not be read")


class Scope:
    """One use of a model: its tensors by name."""

    def __init__(
        self,
        model: ModelRecord,
        prefix: str,
        given: Sequence[Any],
        steps: int = 0,
        training: Any = None,
        outer: Any = None,
    ) -> None:
        self.model = _chained(model) if model.sequential else model
        self.prefix = prefix
        self.given = given
        self.steps = steps
        self.training = training
        self.outer: Scope | None = outer
        self.by_name = {record.name: record for record in self.model.layers}
        # The inputs of the whole model, and which of them inner models take for whole numbers.
        self.entrances: frozenset[Any] = outer.entrances if outer else frozenset(given)
        self.whole: dict[Tensor, str] = outer.whole if outer else {}
        # What a call cuts to whole numbers: what it is called then, itself, the type.
        self.cut: list[tuple[Tensor, Tensor, str]] = []
        # The inputs that a call gives masks to: what they are called then, themselves, their masks.
        self.masked: list[tuple[Tensor, Any, Ref]] = []
        self.inner: dict[tuple[str, int], Scope] = {}
        self.skipped = {name: self._first_node(name) for name in self.by_name}
        self.naming: set[Ref] = set()

    def _first_node(self, name: str) -> int:
        """Return the number by which the first call of a layer is referred to.

        Keras may count the call by which an inner model was made, or calls within one, and not list
        them.
        """
        used = [ref.node for ref in self._refs() if ref.layer == name]
        first = min(used, default=0)
        return first if max(used, default=0) < first + len(self.by_name[name].nodes or ()) else 0

    def _refs(self) -> Iterator[Ref]:
        yield from self.model.outputs
        for record in self.model.layers:
            for node in record.nodes or ():
                yield from _refs(node.args)
                yield from _refs(node.kwargs)

    def where(self, ref: Ref) -> str:
        return f"{self.model.where}: {show(list(ref))}"

    def tensor(self, ref: Ref) -> Tensor:
        """Return the name of a tensor of this model."""
        if ref.layer in self.model.inputs and (
            ref.layer == "" or self.by_name[ref.layer].class_name == "InputLayer"
        ):
            given = self.given[self.model.inputs.index(ref.layer)]
            if isinstance(given, Tensor):
                return given
            assert self.outer is not None
            return self.outer.tensor(given)
        record = self.by_name.get(ref.layer)
        if record is None and ref.layer in self.model.lost:
            raise LostError
        if record is None:
            raise ModelFormatError(f"{self.where(ref)}: there is no such layer")
        node = ref.node - self.skipped[ref.layer]
        if not 0 <= node < len(record.nodes or ()):
            raise ModelFormatError(f"{self.where(ref)}: there is no such call")
        inner = inner_model(record)
        if inner is None:
            base = self.call_name(record, node)
            return Tensor(f"{base}:{ref.tensor}" if ref.tensor else base)
        if ref in self.naming:
            raise ModelFormatError(f"{self.where(ref)}: it waits for what it makes itself")
        self.naming.add(ref)
        try:
            scope = self.scope(record, node, inner)
            if ref.tensor >= len(scope.model.outputs):
                raise ModelFormatError(f"{self.where(ref)}: there is no such output")
            if inner is not record:
                return Tensor(f"{self.call_name(record, node)}/out")
            return scope.tensor(scope.model.outputs[ref.tensor])
        finally:
            self.naming.discard(ref)

    def call_name(self, record: Record, node: int) -> str:
        return f"{self.prefix}{record.name}" + (f"@{node}" if node else "")

    def scope(self, record: Record, node: int, inner: ModelRecord) -> Scope:
        """Return one use of an inner model."""
        key = record.name, node
        if key not in self.inner:
            call = (record.nodes or [])[node]
            given: list[Any] = list(_refs(call.args))
            wanted = 1 if inner.sequential else len(inner.inputs)
            if len(given) != wanted:
                raise ModelFormatError(
                    f"{record.where}: expected {wanted} inputs, found {len(given)}"
                )
            for arg in call.args:
                if isinstance(arg, dict) and sorted(arg) != inner.input_keys:
                    raise ModelFormatError(
                        f"{record.where}: called with a dict of inputs that are not the keys of "
                        "its own; call it with inputs arranged as its own are"
                    )
            refuse_arguments(call.kwargs, record.where, ("training", "mask"))
            training = call.kwargs.get("training")
            training = self.training if training is None else training
            timed = inner is not record
            prefix = f"{self.call_name(record, node)}/"
            cut = []
            for i, dtype in enumerate(inner.dtypes):
                if dtype is None or not is_whole(dtype):
                    continue
                tensor = given[i] if isinstance(given[i], Tensor) else self.tensor(given[i])
                if tensor in self.entrances:
                    self.whole.setdefault(tensor, dtype)
                else:
                    cut.append((Tensor(f"{prefix}/whole{i or ''}"), tensor, dtype))
                    given[i] = cut[-1][0]
            masked = []
            for i, mask in enumerate(_masks_of(call, len(given), record.where)):
                if mask is not None:
                    masked.append((Tensor(f"{prefix}/mask{i or ''}"), given[i], mask))
                    given[i] = masked[-1][0]
            scope = Scope(inner, prefix, given, self.steps + timed, training, self)
            scope.cut, scope.masked = cut, masked
            self.inner[key] = scope
        return self.inner[key]

    def calls(self) -> Iterator[FlatCall]:
        """Yield all calls, in the file's order."""
        for record in self.model.layers:
            if record.class_name == "InputLayer":
                continue
            inner = inner_model(record)
            for number, node in enumerate(record.nodes or ()):
                if inner is None:
                    named = Node(self._named(node.args), self._named(node.kwargs))
                    name = self.call_name(record, number)
                    chained = self.model.sequential
                    yield FlatCall(record, name, named, self.steps, self.training, chained=chained)
                    continue
                scope = self.scope(record, number, inner)
                for whole, tensor, dtype in scope.cut:
                    # A record of its own, for by its configuration a layer is known.
                    config = Section(record.where, {"name": whole, "dtype": dtype})
                    cast = Record(whole, "Cast", config, operation=True)
                    yield FlatCall(cast, whole, Node([tensor], {}), self.steps, cut=True)
                for handed, ref, mask in scope.masked:
                    with_mask = replace(record, class_name="WithMask", operation=True)
                    given = ref if isinstance(ref, Tensor) else self.tensor(ref)
                    taken, mask_of = Node([given], {}), self.tensor(mask)
                    yield FlatCall(
                        with_mask, handed, taken, self.steps, mask_of=mask_of, handed=True
                    )
                yield from scope.calls()
                if inner is not record:
                    # At every time step: what comes out bears the mask of what went in.
                    made = scope.tensor(scope.model.outputs[0])
                    given = scope.given[0]
                    given = given if isinstance(given, Tensor) else self.tensor(given)
                    name = f"{self.call_name(record, number)}/out"
                    passed = Node([made], {})
                    yield FlatCall(record, name, passed, self.steps, mask_of=given, borrowed=True)

    def executed(self) -> Iterator[str]:
        """Yield the names of all calls in the order in which Keras 3 runs them.

        That is by how far a call is from the outputs; of equally far ones those come first that are
        met first on the way back from what a search through the inputs, depth first, finishes last.
        """
        by_key = {key: number for number, key in enumerate(self._order())}
        for name, number in sorted(by_key, key=by_key.__getitem__):
            record = self.by_name[name]
            inner = inner_model(record)
            if inner is not None:
                scope = self.scope(record, number, inner)
                yield from (name for name, _, _ in [*scope.cut, *scope.masked])
                yield from scope.executed()
            yield self.call_name(record, number) + ("/out" if inner is not None else "")

    def _order(self) -> list[tuple[str, int]]:
        """Return the calls of this model, (layer, number), in Keras's order."""
        if self.model.sequential:
            return [(record.name, 0) for record in self.model.layers if record.nodes]
        calls = {
            (record.name, number): [*_refs([node.args, dict(sorted(node.kwargs.items()))])]
            for record in self.model.layers
            for number, node in enumerate(record.nodes or ())
            if record.class_name != "InputLayer"
        }
        before = {
            key: [(ref.layer, ref.node - self.skipped.get(ref.layer, 0)) for ref in refs]
            for key, refs in calls.items()
        }
        outputs = [(ref.layer, ref.node - self.skipped.get(ref.layer, 0)) for ref in self._ends()]
        depths: dict[tuple[str, int], int] = {}
        of_layers: dict[str, int] = {}
        for key in reversed(_finished(outputs, before)):
            depth = max(depths.setdefault(key, 0), of_layers.get(key[0], 0))
            depths[key] = of_layers[key[0]] = depth
            for earlier in before[key]:
                if earlier in before:
                    depths[earlier] = max(depth + 1, depths.get(earlier, 0))
        return sorted(depths, key=lambda key: -depths[key])

    def _ends(self) -> list[Ref]:
        """Return the outputs in Keras's order, which is that of their names where they have any."""
        names = self.model.output_names
        if names is None:
            return self.model.outputs
        pairs = sorted(zip(names, self.model.outputs, strict=True), key=lambda pair: pair[0])
        return [ref for _, ref in pairs]

    def _named(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.tensor(value)
        if isinstance(value, dict):
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._named(item) for item in value]
        return value


def _masks_of(call: Node, count: int, where: str) -> Sequence[Ref | None]:
    """Return the masks that a call gives to the inputs of an inner model."""
    mask = call.kwargs.get("mask")
    if isinstance(mask, dict):
        mask = [mask[key] for key in sorted(mask)]
    masks: list[Any] = [mask] if isinstance(mask, Ref) or not isinstance(mask, list) else mask
    if all(m is None for m in masks):
        return []
    if len(masks) != count or not all(isinstance(m, Ref | None) for m in masks):
        raise ModelFormatError(f"{where}: mask: expected one for each input of the model")
    return masks


Key = tuple[str, int]


def _finished(outputs: Sequence[Key], before: Mapping[Key, Sequence[Key]]) -> list[Key]:
    """Return calls, each behind those that it waits for, by a search depth first."""
    found: dict[Key, None] = {}
    for output in outputs:
        waiting = [(output, iter(before.get(output, ())))]
        begun = {output}
        while waiting:
            key, rest = waiting[-1]
            following = next((k for k in rest if k not in found and k not in begun), None)
            if following is not None:
                begun.add(following)
                waiting.append((following, iter(before.get(following, ()))))
                continue
            waiting.pop()
            if key in before:
                found[key] = None
    return [*found]


def inner_model(record: Record) -> ModelRecord | None:
    """Return the model that a record is, or that stands in it at every time step."""
    if isinstance(record, ModelRecord):
        return record
    inner = record.config.values.get("layer") if record.class_name == "TimeDistributed" else None
    return inner if isinstance(inner, ModelRecord) else None


def _refs(value: Any) -> Iterator[Ref]:
    """Yield the tensors in arguments of a call, those of a dict in the order of its keys."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _refs(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _refs(item)


def is_whole(dtype: str | None) -> bool:
    return dtype is not None and dtype.startswith(("int", "uint"))


# What TensorFlow calls the function that gives a shape, and what lengths are computed by.
SHAPE = ("compat.v1.shape", "shape")


def function_of(call: FlatCall) -> Any:
    """Return the name of the function of TensorFlow that is called; None for anything else."""
    record = call.record
    return record.config.values.get("function") if record.class_name == "TFOpLambda" else None


def without_counts(calls: Sequence[FlatCall], outputs: Sequence[Tensor]) -> list[FlatCall]:
    """Leave out the number of rows, ``tf.shape(x)[0]``, in front of new shapes."""
    shapes = {call.name for call in calls if function_of(call) in SHAPE}
    counts = {
        call.name
        for call in calls
        if call.record.class_name == "SlicingOpLambda"
        and not shapes.isdisjoint(tensors_of(call.node.args))
        and type(call.node.kwargs.get("slice_spec")) is int
        and call.node.kwargs["slice_spec"] == 0
    }
    if not shapes:
        return list(calls)
    found = []
    for call in calls:
        shape = call.node.kwargs.get("shape") if function_of(call) == "reshape" else None
        if isinstance(shape, list) and shape and isinstance(shape[0], Tensor):
            first = -1 if shape[0] in counts else shape[0]
            kwargs = call.node.kwargs | {"shape": [first, *shape[1:]]}
            call = replace(call, node=Node(call.node.args, kwargs))
        found.append(call)
    for unread in (counts, shapes):  # what others read stays
        read = {*outputs, *tensors_of([[c.node.args, c.node.kwargs] for c in found])}
        found = [call for call in found if call.name not in unread - read]
    return found

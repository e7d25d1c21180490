"""From records to a model: calls written out in one list, layers planned, weights put in.

Models within models are written out in place, so what comes out is flat. Layers are planned in the
order in which they run, for a layer's weights depend on the shape of its input; nothing large is
made before everything fits.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import ModelFormatError, printable, show
from fastdrop.formats._limits import Limits
from fastdrop.formats.keras._calls import (
    INDEX_DTYPES,
    SHAPE,
    FlatCall,
    LostError,
    Scope,
    function_of,
    inner_model,
    is_whole,
    without_counts,
)
from fastdrop.formats.keras._records import OTHERS, REASONS, ModelRecord, Node, Reader, Record, hint
from fastdrop.formats.keras._registry import row_of
from fastdrop.formats.keras._rows import (
    WITHOUT_EFFECT,
    Planned,
    Row,
    Stored,
    Tensor,
    agree,
    one_input,
    policy_note,
    tensors_of,
)
from fastdrop.formats.keras._version import Version
from fastdrop.formats.keras.tensorflow_functions import TENSORFLOW
from fastdrop.layers import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    Identity,
    Layer,
    Shape,
    TimeDistributed,
    WithMask,
)
from fastdrop.model import Call, Model
from fastdrop.model._graph import running_order

# Types that do not hold all whole numbers that are kept here.
_NARROW = ("int8", "int16", "uint8", "uint16", "uint32", "uint64")
# Types whose numbers begin anew beyond a few, and what may go there.
_FEW_BITS = ("int8", "int16", "uint8", "uint16")
_BEYOND = (
    "difference",
    "add",
    "subtract",
    "multiply",
    "average",
    "power",
    "square",
    "negative",
    "sum",
    "prod",
)
# How truths are made, as far as layers tell.
_OF_TRUTHS = (
    *("equal", "not equal", "not_equal", "greater", "greater_equal", "less", "less_equal"),
    *("any", "all", "made by", "zeros", "ones"),
)
_DTYPES = ("float32", "float64", "float16", "bfloat16", "bool", *INDEX_DTYPES)
_CELLS = ("LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells")
_MEANS = (GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D)


@dataclass(frozen=True)
class _Taken:
    """What is known of a call from its arguments.

    `read` says whether they could be read, where there is a row for the layer.
    """

    tensors: Sequence[Tensor]
    more: dict[str, Any]
    training: bool | None
    of_function: bool
    read: bool


@dataclass
class Assembly:
    """A model before its weights are read.

    Attributes
    ----------
    model : ModelRecord
    plans : dict
        The plan of each record by its identity, None for what has none.
    """

    model: ModelRecord
    version: Version
    reader: Reader
    limits: Limits
    plans: dict[int, Planned] = field(default_factory=dict)
    _entries: list[Call] = field(default_factory=list)
    _inputs: dict[str, Shape] = field(default_factory=dict)
    _outputs: list[Tensor] = field(default_factory=list)
    _fixed: list[tuple[Record, bool]] = field(default_factory=list)
    # How the time masks of tensors are computed, and how tensors that may be masks are.
    _masks: dict[str, object] = field(default_factory=dict)
    _values: dict[str, object] = field(default_factory=dict)
    # Tensors that stand for others.
    _same: dict[str, str] = field(default_factory=dict)
    # How many calls read a tensor.
    _readers: Counter[str] = field(default_factory=Counter)
    # When calls run, by their names; when a tensor's mask is taken away, and what is read then.
    _ranks: dict[str, int] = field(default_factory=dict)
    _taken: dict[str, int] = field(default_factory=dict)
    _bare: dict[str, Tensor] = field(default_factory=dict)
    # Lengths that the file computes: all of a tensor in a list, or one; None is no such.
    _lengths: dict[str, Any] = field(default_factory=dict)
    # Inputs that inner models take for whole numbers.
    _whole: dict[str, str] = field(default_factory=dict)
    # Whether some layer computes in another type than float32.
    _mixed: bool = False
    # Options of a layer's first call, and its layers for calls with others.
    _more: dict[int, dict[str, Any]] = field(default_factory=dict)
    _variants: dict[int, list[Layer]] = field(default_factory=dict)

    # What rows ask for.

    def obstacle(self, error: Exception | str) -> None:
        self.reader.obstacles.add(printable(str(error), 400, "ascii"))

    def options(self, row: Row, record: Record) -> dict[str, Any] | None:
        config, options, fine = record.config, {}, True
        known = WITHOUT_EFFECT | row.without_effect | {option.key for option in row.options}
        try:
            note = policy_note(config)
            if note:
                self._mixed = True
                self.note(note)
        except ModelFormatError as error:
            self.obstacle(error)
            fine = False
            known |= {"quantization_config"}  # which says more of a type that is refused
        for key, value in config.values.items():
            if key not in known and value is not None and value is not False:
                self.obstacle(f"{config.where}: unsupported option {show(key)}: {show(value)}")
                fine = False
        for option in row.options:
            try:
                value = option.read(config, option.key, self.version)
            except ModelFormatError as error:
                self.obstacle(error)
                fine = False
                continue
            name = option.key if option.field is None else option.field
            if name:
                options[name] = value
        if fine and row.rule is not None:
            try:
                options = row.rule(options, record, self.version)
            except ModelFormatError as error:
                self.obstacle(error)
                fine = False
        return options if fine else None

    def inner(self, record: Record, key: str) -> Record | None:
        try:
            outer = f"{record.where}: "
            value = record.config.values.get(key)
            if isinstance(value, Record):
                return value
            inner = self.reader.layer(value, f"{outer}{key}", outer)
            # A cell, or a layer at every time step, is built for what it gets in one of them.
            return replace(inner, build_shape=None) if record.nodes is not None else inner
        except ModelFormatError as error:
            self.obstacle(error)
            return None

    def _unknown(self, record: Record) -> str:
        """Return why there is no row for a record."""
        if record.class_name in REASONS:
            return REASONS[record.class_name]
        if record.operation:
            return "the function is not supported"
        if record.class_name in _CELLS:
            return (
                "a cell that is called by itself is not supported; let a layer take the step: "
                "RNN(cell, return_state=True) on x[:, None], its initial_state being the states"
            )
        # A file that names no modules may mean a class of somebody's own.
        keras_own = self.reader.modules or record.class_name in OTHERS
        own = "" if keras_own else f" ({hint(record.class_name)})"
        return f"the class is not supported{own}"

    def plan(
        self,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any] | None = None,
    ) -> Planned | None:
        row = row_of(record)
        if row is None:
            self.obstacle(f"{record.where}: {self._unknown(record)}")
            return None
        built = record.build_shape
        one = inputs[0] if inputs is not None and len(inputs) == 1 else None
        if built is None or one is None or row.per_call:
            pass  # a function is built for its first argument, which may be a constant
        elif not row.built_for(built[1:], one, record):
            self.obstacle(f"{record.where}: built for an input of shape {built[1:]}, gets {one}")
            inputs = None
        try:
            return row.plan(self, record, inputs, more or {})
        except (ModelFormatError, ValueError, TypeError) as error:
            text = str(error)
            self.obstacle(text if text.startswith(record.where) else f"{record.where}: {text}")
            return None

    @property
    def notes(self) -> list[str]:
        return self.reader.summary.notes

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    # ---- the whole ----

    def build(self, shapes: Sequence[Shape | None]) -> None:
        """Write out all calls and plan all layers; what stands in the way is gathered."""
        model, obstacles = self.model, self.reader.obstacles
        # Inputs in a dict are called by its keys, whatever their layers are called.
        names = model.input_keys or model.inputs if not model.sequential else ["input"]
        self._inputs = dict(zip(names, [shape or () for shape in shapes], strict=True))
        self.reader.summary.inputs = dict(zip(names, shapes, strict=True))
        self._check_types()
        try:
            scope = Scope(model, "", [Tensor(name) for name in names])
            if not scope.model.layers:
                raise ModelFormatError("the model has no layers")
            calls = list(scope.calls())
            outputs = [scope.tensor(ref) for ref in scope.model.outputs]
            self._whole = {str(name): dtype for name, dtype in scope.whole.items()}
            calls = self._with_masks(without_counts(calls, outputs))
            taken = [
                [*tensors_of(call.node.args), *tensors_of(call.node.kwargs)]
                + ([call.mask_of] if call.mask_of else [])
                for call in calls
            ]
            order = running_order([call.name for call in calls], taken, self._inputs)
        except (ModelFormatError, ValueError) as error:
            if not isinstance(error, LostError):
                obstacles.add(str(error), structure=True)
            # Without an order no shape is known, but what is not supported can be said.
            for record in _leaves(model):
                self.plan(record, None)
            return
        self._readers.update(
            tensor for call in calls for tensor in {*tensors_of([call.node.args, call.node.kwargs])}
        )
        if not self.version.legacy:
            self._find_takers(scope, calls)
        known = {n: s for n, s in zip(names, shapes, strict=True) if s is not None}
        # Truths that the model is given may be masks.
        self._values.update({n: n for n, t in zip(names, model.dtypes, strict=True) if t == "bool"})
        entries: dict[int, Call] = {}
        for i in order:
            call = self._call(calls[i], known)
            if call is not None:
                entries[i] = call
        self._entries += [entries[i] for i in sorted(entries)]
        self._outputs = [self._named(tensor) for tensor in outputs]
        self.reader.summary.outputs = {
            name: known.get(tensor)
            for name, tensor in zip(model.output_names or outputs, self._outputs, strict=True)
        }
        for tensor in self._outputs:
            if tensor in self._lengths:
                self._refuse_lengths(f"output {show(str(tensor))}")
            elif tensor not in known and not obstacles.layers:
                obstacles.add(f"no tensor {show(str(tensor))} to put out", structure=True)

    def _check_types(self) -> None:
        for name, dtype in zip(self._inputs, self.model.dtypes, strict=True):
            if dtype is not None and dtype not in _DTYPES:
                self.reader.obstacles.add(
                    f"an input of type {show(dtype)} ({show(name)}) is not supported; give the "
                    "model numbers: do before it what it does with them"
                )

    def _find_takers(self, scope: Scope, calls: Sequence[FlatCall]) -> None:
        """Find who reads tensors after the first call that takes their masks away."""
        numbers = {name: number for number, name in enumerate(scope.executed())}
        self._ranks = {
            c.name: numbers.get(c.name if c.handed else c.name.removesuffix("/mask"), 0)
            for c in calls
        }
        for call in calls:
            row = row_of(call.record)
            if row is None or row.takes_masks is None or self.version < row.takes_masks:
                continue
            for tensor in [*tensors_of(call.node.args), *tensors_of(call.node.kwargs)]:
                first = self._taken.get(tensor, self._ranks[call.name])
                self._taken[tensor] = min(first, self._ranks[call.name])

    def _with_masks(self, calls: Sequence[FlatCall]) -> list[FlatCall]:
        """Write out masks that a call was given as calls of their own."""
        made: list[FlatCall] = []
        for call in calls:
            mask = call.node.kwargs.get("mask")
            row = row_of(call.record)
            if not isinstance(mask, Tensor) or (row is not None and row.own_mask):
                made.append(call)
                continue
            first = next(tensors_of(call.node.args), None)
            if first is None:
                raise ModelFormatError(f"{call.record.where}: a mask without an input")
            name = f"{call.name}/mask"
            record = replace(call.record, class_name="WithMask", operation=True)
            made.append(FlatCall(record, name, Node([first], {}), call.steps, mask_of=mask))
            kwargs = {k: v for k, v in call.node.kwargs.items() if k != "mask"}
            args = _swapped(call.node.args, first, Tensor(name))
            made.append(replace(call, node=Node(args, kwargs), masked=True))
        return made

    def _call(self, call: FlatCall, known: dict[str, Shape]) -> Call | None:
        """Plan a call's layer and add the shapes of what it makes."""
        if call.mask_of is not None:
            return self._mask_call(call, call.mask_of, known)
        if self._counts_lengths(call, known):
            return None
        if self._lengths:
            call = self._with_lengths(call)
        taken = self._taken_apart(call)
        layer = self._layer(call, taken, self._shapes_of(call, taken, known))
        if layer is None:
            return None
        try:
            shapes = layer.output_shapes([known[tensor] for tensor in taken.tensors])
        except ValueError as error:
            self.obstacle(f"{call.record.where}: {error}")
            return None
        planned = self.plans[call.record.key]
        if call.record.key in self.reader.rows:
            self.reader.rows[call.record.key].tell(planned.layer, shapes)
        tensors = [self._read(tensor, call.name) for tensor in taken.tensors]
        if taken.of_function and planned.layer.passes_mask and not self._is_same(planned.layer):
            # What a function makes has no mask, but where it is the tensor that it was given.
            tensors = [self._without_mask(tensor) for tensor in tensors]
        masks = [self._masks.get(tensor) for tensor in tensors]
        wrong = self._wrong(call, taken, planned, masks, len(shapes))
        if call.cut and any(mask is not None for mask in masks):
            wrong = "an input of whole numbers is given a tensor with a mask"
        if wrong:
            self.obstacle(f"{call.record.where}: {wrong}")
            return None
        self._values[call.name] = layer.value_symbol(
            tensors, [self._values.get(tensor) for tensor in tensors]
        )
        mask_symbol = layer.mask_symbol(tensors, masks)
        for k, shape in enumerate(shapes):
            if not self._fits(call.record, shape):
                return None
            name = f"{call.name}:{k}" if k else call.name
            known[name] = shape
            self._masks[name] = mask_symbol
        return Call(layer, tensors, call.name, taken.training)

    def _mask_call(self, call: FlatCall, mask_of: Tensor, known: dict[str, Shape]) -> Call | None:
        """Plan the call that gives a tensor a mask, which may be that of another tensor."""
        (tensor,) = tensors_of(call.node.args)
        where = call.record.where
        if tensor not in known or mask_of not in known:
            return None
        if call.borrowed:
            known[call.name] = known[tensor]
            pair = [self._named(tensor), self._read(mask_of, call.name)]
            borrowed = "if none" if self.version.legacy else "always"
            own = self._masks.get(pair[0]) if self.version.legacy else None
            self._masks[call.name] = own or self._masks.get(pair[1])
            return Call(WithMask(name=call.name, borrowed=borrowed), pair, call.name)
        shape, steps = known[tensor], known[mask_of]
        if not 0 < len(steps) < len(shape) or not agree(steps, shape[: len(steps)]):
            self.obstacle(f"{where}: a mask of shape {steps} for an input of {shape}")
            return None
        known[call.name] = shape
        tensor, mask = self._read(tensor, call.name), self._named(mask_of)
        given = self._values.get(mask)
        if given is None:
            self.obstacle(f"{where}: a mask made by {show(str(mask))}")
            return None
        if given == self._masks.get(tensor):
            self._same[call.name] = tensor  # it has that mask already
            return None
        if call.handed and self._readers[tensor] > 1:
            self.obstacle(
                f"{where}: mask: the model is given one with a tensor that others read, to whom "
                "Keras gives it or not, by the order in which it runs; let a layer make a tensor "
                "for the model alone"
            )
            return None
        self._masks[call.name] = given
        return Call(WithMask(name=call.name), [tensor, mask], call.name)

    def _counts_lengths(self, call: FlatCall, known: Mapping[str, Shape]) -> bool:
        """Whether a call gives lengths, as ``tf.shape(x)[1] * 2`` does, which are kept then."""
        if call.record.class_name not in ("TFOpLambda", "SlicingOpLambda"):
            return False
        (first, *_), function = [*tensors_of(call.node.args), Tensor("")], function_of(call)
        if function in SHAPE:
            shape = known.get(first)
            if shape is None:
                return False
            # The number of rows is none of them.
            lengths = [_OPEN if n is None else n for n in shape[call.steps :]]
            self._lengths[call.name] = [None, *lengths]
            return True
        given = self._lengths.get(first)
        if isinstance(given, list) and call.record.class_name == "SlicingOpLambda":
            at: Any = call.node.kwargs.get("slice_spec")
            fits = type(at) is int and -len(given) <= at < len(given)
            self._lengths[call.name] = given[at] if fits else None
            return True
        row = TENSORFLOW.get(function) if given is not None else None
        compute = None if row is None else _OF_LENGTHS.get(row[0])
        pair = _filled([*call.node.args, call.node.kwargs.get("y")], self._lengths)
        if compute is None or not all(type(n) is int for n in pair[:2]):
            return False
        fits = all(0 <= n < _MOST for n in pair[:2])
        self._lengths[call.name] = compute(*pair[:2]) if fits else None
        return True

    def _with_lengths(self, call: FlatCall) -> FlatCall:
        """Return a call with numbers in place of lengths; what is left of these is an obstacle."""
        shape = call.node.kwargs.get("shape")
        # One length may be what fits, where only the number of rows is left open besides.
        fits = function_of(call) == "reshape" and isinstance(shape, list) and shape[:1] == [-1]
        lengths = {k: n for k, n in self._lengths.items() if type(n) is int and (fits or n >= 0)}
        node = Node(_filled(call.node.args, lengths), _filled(call.node.kwargs, lengths))
        if not self._lengths.keys().isdisjoint(tensors_of([node.args, node.kwargs])):
            self._refuse_lengths(call.record.where)
        return replace(call, node=node)

    def _refuse_lengths(self, where: str) -> None:
        self.obstacle(
            f"{where}: lengths by tf.shape: expected those of axes whose length is known, besides "
            "the number of rows in front of a new shape; give the model inputs of fixed lengths"
        )

    def _taken_apart(self, call: FlatCall) -> _Taken:
        """Take a call apart: the tensors that it reads, and options that go with it."""
        record, row = call.record, row_of(call.record)
        training, kwargs = self._training(call)
        read = True
        try:
            tensors, more = (row.call if row and row.call else one_input)(
                Node(call.node.args, kwargs), record
            )
        except ModelFormatError as error:
            if row is not None:
                self.obstacle(error)
            tensors, more, read = list(tensors_of(call.node.args)), {}, row is None
        if self.version.major >= 3 and kwargs.get("initial_state") and not call.masked:
            # Keras 3 hands the mask on where a call has one tensor alone.
            more = more | {"uses_mask": False}
        function = read and row is not None and row.per_call
        return _Taken(tensors, more, training, function, read)

    def _shapes_of(
        self, call: FlatCall, taken: _Taken, known: Mapping[str, Shape]
    ) -> list[Shape] | None:
        """Return the shapes that a call's layer gets; None where they are not known."""
        if not taken.read or not all(tensor in known for tensor in taken.tensors):
            return None
        return [known[tensor][call.steps :] for tensor in taken.tensors]

    def _layer(self, call: FlatCall, taken: _Taken, inputs: Sequence[Shape] | None) -> Layer | None:
        """Return the layer of a call: its record's, a variant of it, or one of its own.

        Without shapes it is planned for what stands in the way, and none is returned.
        """
        key = call.record.key
        planned = self.plans.get(key)
        if planned is None or taken.of_function:
            planned = self.plan(call.record, inputs, taken.more)
            if planned is None:
                return None
            self.plans[key] = planned
            for note in planned.notes:
                self.note(note)
        if inputs is None:
            return None
        layer = planned.layer
        if taken.more != self._more.setdefault(key, taken.more) and not taken.of_function:
            variant = self.plan(call.record, inputs, taken.more)
            if variant is None:
                return None
            layer = variant.layer
            self._variants.setdefault(key, []).append(layer)
        for _ in range(call.steps):
            layer = TimeDistributed(name=layer.name, layer=layer, masks="inner")
        return layer

    def _wrong(
        self,
        call: FlatCall,
        taken: _Taken,
        planned: Planned,
        masks: Sequence[object],
        outputs: int,
    ) -> str:
        """Return what stands in the way of a call whose layer and shapes are known."""
        if call.chained and outputs > 1:
            return f"it puts out {outputs} tensors, which a Sequential model cannot take"
        kinds = {n: kind for n, kind in zip(self._inputs, self.model.dtypes, strict=True) if kind}
        taken_kinds = {kinds[tensor] for tensor in taken.tensors if tensor in kinds}
        function = getattr(planned.layer, "function", None)
        few = all(kinds.get(tensor) in _FEW_BITS for tensor in taken.tensors)
        if function in _BEYOND and few and not _has_floats([call.node.args, call.node.kwargs]):
            return (
                "numbers of 8 and 16 bits, which begin anew beyond what they hold; give the model "
                "an input of a floating-point type, or of 32 bits"
            )
        dtype = _cast_to(call)
        if dtype in _NARROW and not all(self._held(t, dtype, kinds) for t in taken.tensors):
            return (
                f"dtype: expected one that holds its numbers, found {show(dtype)}, in which those "
                "begin anew that it does not hold; cast to int32, or give the model an input of "
                "that type"
            )
        # Keras 2 takes means of whole numbers as whole ones.
        mean = function == "mean" or isinstance(planned.layer, _MEANS)
        rounds = planned.rounds or (self.version.legacy and mean)
        truths = any(_is_truth(self._values.get(tensor)) for tensor in taken.tensors)
        if function == "difference" and truths:
            return "of truths it makes truths; cast them to a floating-point type before"
        if (rounds and any(map(is_whole, taken_kinds))) or (planned.rounds and truths):
            return (
                "of whole numbers it makes whole numbers; give the model an input of a "
                "floating-point type, or do before it what this layer does"
            )
        if any(mask is not None for mask in masks) and _zeros_elsewhere(call.record):
            return (
                "unroll: under a mask Keras's unrolled loop, backwards, puts zeros at other steps "
                "than those masked; save the model with unroll=False"
            )
        return ""

    def _held(self, tensor: str, dtype: str, kinds: Mapping[str, str]) -> bool:
        """Whether a type holds all numbers of a tensor: of truths, or of an input of few bits."""
        kind = kinds.get(tensor)
        known = kind is not None and kind != "bfloat16" and np.can_cast(kind, dtype)
        return known or _is_truth(self._values.get(tensor))

    def _fits(self, record: Record, shape: Shape) -> bool:
        """Whether an output is within the limits; it is an obstacle if not."""
        size, most = 4 * math.prod(n or 1 for n in shape), self.limits.max_tensor_bytes
        if size > most:
            self.reader.obstacles.add(
                f"{record.where}: an output of {size} bytes, max_tensor_bytes is {most}",
                structure=True,
            )
        return size <= most

    def _read(self, tensor: str, call: str) -> Tensor:
        """Return what a call reads: a tensor, or the same without the mask that it had."""
        late = tensor in self._taken and self._ranks[call] > self._taken[tensor]
        return self._without_mask(tensor) if late else self._named(tensor)

    def _is_same(self, layer: Layer) -> bool:
        """Whether a function hands back the tensor itself: one of float32, where all is."""
        return isinstance(layer, Identity) and not self._mixed

    def _without_mask(self, tensor: str) -> Tensor:
        """Return a tensor without the mask that it may have."""
        if tensor not in self._masks or not any(self._masks.values()):
            return self._named(tensor)
        if tensor not in self._bare:
            self._bare[tensor] = Tensor(f"{tensor}/bare")
            layer = Identity(name=self._bare[tensor], passes_mask=False)
            self._entries.append(Call(layer, [self._named(tensor)], self._bare[tensor]))
        return self._bare[tensor]

    def _named(self, tensor: str) -> Tensor:
        return Tensor(self._same.get(tensor, tensor))

    def _training(self, call: FlatCall) -> tuple[bool | None, dict[str, Any]]:
        """Take `training` out of a call's arguments.

        Keras 3 lets the call of the model decide whatever is recorded. Keras 2 does not: there the
        innermost call that has one decides, of the layer or of a model around it.
        """
        kwargs = dict(call.node.kwargs)
        training = kwargs.pop("training", None)
        training = call.training if training is None else training
        row = row_of(call.record)
        where = call.record.where
        if training is not None and not isinstance(training, bool | int):
            self.obstacle(f"{where}: training: expected true or false, found {show(training)}")
            return None, kwargs
        if training is None or not self.version.legacy or row is None:
            return None, kwargs
        self._fixed.append((call.record, bool(training)))
        return bool(training), kwargs

    # ---- weights ----

    def records(self) -> Iterator[tuple[Record, Planned]]:
        """Yield the layers that were planned, those of inner models at their places."""
        for record in _leaves(self.model):
            planned = self.plans.get(record.key)
            if planned is not None:
                yield record, planned

    def stored_of(self, record: Record) -> Sequence[Stored]:
        """Return what the file keeps for a layer."""
        planned = self.plans.get(record.key)
        return () if planned is None else planned.stored

    def groups_of(self, record: Record) -> Mapping[str, str | None]:
        """Return the groups that may be in a layer's group, and their names."""
        planned = self.plans.get(record.key)
        return {} if planned is None else planned.groups

    def check_amount(self) -> None:
        """Refuse more or larger weights than allowed, before any is read."""
        shapes = [stored.shape for _, planned in self.records() for stored in planned.stored]
        limits = self.limits
        if len(shapes) > limits.max_tensors:
            raise ModelFormatError(f"{len(shapes)} weights, max_tensors is {limits.max_tensors}")
        size = sum(4 * math.prod(shape) for shape in shapes)
        if size > limits.max_tensor_bytes:
            raise ModelFormatError(
                f"the weights take {size} bytes, max_tensor_bytes is {limits.max_tensor_bytes}"
            )

    def restore(self, record: Record, stored: Sequence[Stored]) -> None:
        """Take a layer's weights from the file in another way."""
        self.plans[record.key] = replace(self.plans[record.key], stored=stored)

    def finish(self, arrays: Mapping[int, Mapping[str, NDArray[Any]]]) -> Model:
        """Return the model, given each layer's stored arrays by the identity of its record."""
        layers: dict[int, Layer] = {}
        for record, planned in self.records():
            given = arrays.get(record.key, {})
            made = {
                s.field: given[s.field] if s.convert is None else s.convert(given[s.field])
                for s in planned.stored
                if s.field
            }
            for layer in (planned.layer, *self._variants.get(record.key, ())):
                layers[id(layer)] = layer.with_weights(made)
        entries = []
        for call in self._entries:
            layer, steps = call.layer, 0
            while id(layer) not in layers and isinstance(layer, TimeDistributed):
                layer, steps = layer.layer, steps + 1
            layer = layers.get(id(layer), layer)
            for _ in range(steps):
                layer = TimeDistributed(name=layer.name, layer=layer, masks="inner")
            entries.append(Call(layer, call.inputs, call.name, call.training))
        for record, training in self._fixed:
            fixed = self.plans.get(record.key)
            frozen = self.version.tensorflow and record.config.values.get("trainable") is False
            if record.class_name == "BatchNormalization" and training and not frozen:
                self.note(
                    f"{record.where}: called with training=True, so Keras 2 normalizes by the "
                    "batch; here it takes the moments in the file"
                )
            if fixed is None or not fixed.layer.can_draw:
                continue
            self.note(
                f"{record.where}: called with training=True, so Keras 2 applies its dropout "
                "always; here mc_predict does, predict does not"
                if training
                else f"{record.where}: called with training=False, so its dropout is always off"
            )
        for name, known in self.reader.used_custom.items():
            self.note(f"the custom class {show(name)} is taken for {known}")
        try:
            return Model(
                entries,
                self._inputs,
                outputs=self._output_names(),
                source=self.reader.summary.source,
                notes=self.notes,
                input_dtypes=self._whole | self._own_types(),
            )
        except ValueError as error:  # what the model refuses is the file's fault
            raise ModelFormatError(printable(str(error), 200, "ascii")) from error

    def _own_types(self) -> dict[str, str]:
        """Return the types of the inputs to which Keras casts what it is given, losing some."""
        pairs = zip(self._inputs, self.model.dtypes, strict=True)
        return {name: t for name, t in pairs if t is not None and (is_whole(t) or t == "bool")}

    def _output_names(self) -> Any:
        model = self.model
        if model.output_names is not None:
            return dict(zip(model.output_names, self._outputs, strict=True))
        return [*self._outputs] if model.several_outputs else str(self._outputs[0])


def _zeros_elsewhere(record: Record) -> bool:
    """Whether it goes backwards in an unrolled loop, and puts out zeros where steps are masked."""
    inner = record.config.values.get("layer")
    if record.class_name != "Bidirectional":
        own = record.config.values
        return all(
            own.get(key) is True for key in ("unroll", "go_backwards", "zero_output_for_mask")
        )
    config = inner.config.values if isinstance(inner, Record) else {}
    if isinstance(inner, dict):
        config = inner.get("config", {})
    return config.get("unroll") is True and config.get("return_sequences") is True


def _is_truth(symbol: object) -> bool:
    """Whether what is known of how a tensor is computed says that it holds 0 and 1 alone."""
    if not isinstance(symbol, tuple):
        return isinstance(symbol, str)  # an input of truths
    function, *values = symbol
    if function in ("expand", "identity", "trunc"):
        return _is_truth(values[-1])
    return function in _OF_TRUTHS or str(function).startswith("logical")


def _cast_to(call: FlatCall) -> str | None:
    """Return the type to which a call of a function casts; None for any other call."""
    config, kwargs = call.record.config.values, call.node.kwargs
    if call.record.class_name == "TFOpLambda" and config.get("function") == "cast":
        args = call.node.args
        return str(kwargs.get("dtype", args[1] if len(args) > 1 else None))
    if call.record.operation and call.record.class_name in ("Cast", "ConvertToTensor"):
        return str(kwargs.get("dtype", config.get("dtype")))
    return None


def _has_floats(value: Any) -> bool:
    """Whether there are floating-point numbers among arguments, with which whole ones are such."""
    if isinstance(value, dict):
        array = value.get("class_name") == "__numpy__"
        return array or any(map(_has_floats, value.values()))
    return any(map(_has_floats, value)) if isinstance(value, list) else isinstance(value, float)


def _leaves(model: ModelRecord) -> Iterator[Record]:
    """Yield the layers of a model and of the models in it, each once, inputs left out."""
    for record in model.layers:
        inner = inner_model(record)
        if inner is not None:
            yield from _leaves(inner)
        elif record.class_name != "InputLayer":
            yield record


_OF_LENGTHS: dict[str, Callable[[int, int], int]] = {
    "Add": operator.add,
    "Subtract": operator.sub,
    "Multiply": operator.mul,
    "FloorDivide": lambda a, b: a // b if b else -1,
}
_OPEN = -1  # a length that is not known
_MOST = 2**31


def _swapped(value: Any, old: Tensor, new: Tensor) -> Any:
    if isinstance(value, Tensor):
        return new if value == old else value
    if isinstance(value, list):
        return [_swapped(item, old, new) for item in value]
    return value


def _filled(value: Any, lengths: Mapping[str, Any]) -> Any:
    """Return arguments with numbers in place of lengths that are known."""
    if isinstance(value, Tensor):
        length = lengths.get(value)
        return length if type(length) is int else value
    if isinstance(value, list):
        return [_filled(item, lengths) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, lengths) for key, item in value.items()}
    return value

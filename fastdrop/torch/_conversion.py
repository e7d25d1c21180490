"""From an exported program to a model: operators in turn, each by its row."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product as choices
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils import _pytree as pytree

from fastdrop.formats._lengths import BATCH, Length, Open, known
from fastdrop.formats._networks import Networks
from fastdrop.formats._places import put
from fastdrop.formats._values import (
    BatchAxisError,
    Chosen,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    as_array,
    joined,
)
from fastdrop.formats.aten import Arguments
from fastdrop.formats.aten.fourier import Complex, is_complex
from fastdrop.layers import Identity
from fastdrop.layers._layer import kept
from fastdrop.layers.operations import MOST_WHOLE
from fastdrop.model import Model
from fastdrop.torch._called import NARROW
from fastdrop.torch._conditions import other_ways, same_lengths
from fastdrop.torch._decomposition import computed, decomposed, name_of, row_of
from fastdrop.torch._exported import Failed, first_line, length_of, line_of

# Operators that only check, or tell compilers what they may suppose.
_CHECKS = (
    "_assert_scalar",
    "_assert_async",
    "_assert_tensor_metadata",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
)
# What asks for a number of a tensor.
_ASKS = ("item", "_local_scalar_dense")
# What may give the same numbers another name: writing into one changes the other.
_SAME = frozenset(("alias", "contiguous", "detach", "positive", "to", "type_as"))
_VIEWS = frozenset(
    (
        *("broadcast_to", "chunk", "diagonal", "expand", "expand_as", "flatten", "getitem", "mT"),
        *("movedim", "moveaxis", "narrow", "numpy_T", "permute", "reshape", "reshape_as", "select"),
        *("slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t"),
        *("tensor_split", "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view"),
        *("view_as", "_unsafe_view", "real", "imag", "view_as_real", "view_as_complex"),
    )
)
# What undoes a view: another shape, or the same operator once more.
_REGROUPED = frozenset(
    (
        *("flatten", "reshape", "reshape_as", "squeeze", "unflatten", "unsqueeze", "view"),
        *("view_as", "_unsafe_view"),
    )
)
_SWAPPED = frozenset(("mT", "numpy_T", "swapaxes", "swapdims", "t", "transpose"))
# Of these, what copies where numbers lie otherwise than asked for.
_MAY_COPY = frozenset(("contiguous", "flatten", "reshape", "reshape_as", "to", "type_as"))
_SYMBOLS: dict[Any, Any] = {
    operator.add: operator.add,
    operator.sub: operator.sub,
    operator.mul: operator.mul,
    operator.floordiv: operator.floordiv,
    operator.neg: operator.neg,
    operator.mod: lambda a, b: a - b * (a // b),
}
# What is computed of lengths in floating point, by the function of layers that computes it.
_NUMBERS: dict[Any, str] = {
    torch.sym_float: "identity",
    torch._sym_sqrt: "sqrt",
    operator.truediv: "divide",
    operator.pow: "power",
    operator.add: "add",
    operator.sub: "subtract",
    operator.mul: "multiply",
    operator.neg: "negative",
    torch.sym_max: "maximum",
    torch.sym_min: "minimum",
}
_MISSING = object()
# Whole numbers that begin anew beyond a few, and what may go there.
_FEW_BITS = (torch.uint8, torch.int8, torch.int16)
_TO = ("to", "_to_copy", "type_as")
# What may make whole numbers that float32 does not hold is looked at when it is computed.
_MULTIPLIES = ("mul", "pow", "square", "prod", "cumprod")
# Of which the largest and the smallest are those of some ends of what they are given.
_OF_ENDS: dict[str, Callable[..., float]] = {
    "neg": operator.neg,
    "add": operator.add,
    "sub": operator.sub,
    "rsub": lambda a, b: b - a,
    "mul": operator.mul,
}
_LOOKED_AT = 1 << 16  # how many numbers of a constant are
_ARITHMETIC = frozenset(
    (
        *("add", "sub", "rsub", "mul", "neg", "pow", "square", *_TO),
        *("sum", "cumsum", "prod", "cumprod", "matmul", "mm", "bmm", "mv", "dot", "einsum"),
        *("addcmul", "addmm", "baddbmm", "scatter_add"),
    )
)


class _Unknown:
    """What a module computes that is not kept: a number made of lengths, or a second result."""


_UNKNOWN = _Unknown()
_COMPUTED = (
    "a number computed of lengths that are left open, as by max(), min(), int() or a comparison; "
    "sums, products and whole quotients (//) may stand here"
)


class Conversion:
    """One exported program on its way to a model."""

    def __init__(
        self,
        module: nn.Module,
        program: torch.export.ExportedProgram,
        axes: Sequence[int],
        names: Sequence[str],
    ) -> None:
        self.module, self.program = module, program
        self.axes, self.names = axes, names
        self.builder = Networks()
        self.values: dict[torch.fx.Node, Any] = {}
        self.places: dict[torch.fx.Node, int] = {}
        self.ranges: dict[torch.fx.Node, tuple[float, float]] = {}
        self.obstacles: list[str] = []
        self.misplaced = False
        self.notes: list[str] = []
        self.inputs: dict[str, Tensor] = {}
        self.same: dict[str, str] = {}  # open lengths that are others
        self.dtypes: dict[str, str] = {}  # of those of whole numbers or truths

    def model(self) -> Model:
        self._constants()
        self.obstacles += other_ways(self.program)
        nodes = [*self.program.graph.nodes]
        try:
            self._run(nodes)
            outputs = self._outputs(nodes[-1])
        except Exception as error:  # as of lengths that are left open: of others it may go
            self.obstacles.append(f"something was not expected here ({first_line(error)})")
        if self.obstacles:
            rank = (1.5 if self.misplaced else 1.0) - 1 / (1 + len(self.obstacles))
            # Where each row is taken by itself, rows are what are steps elsewhere.
            every = set(range(self.builder.rows or 0))
            one_by_one = bool(every) and every <= self.builder.taken_rows
            misplaced = self.misplaced or one_by_one
            raise Failed([*dict.fromkeys(self.obstacles)], rank, misplaced=misplaced)
        calls = self.builder.trimmed([name for name, _ in outputs])
        if not calls:
            raise Failed(["no output is computed of the input"], 1.0)
        shapes = {name: known(tensor.row) for name, tensor in self.inputs.items()}
        try:
            return self.builder.model(
                calls,
                shapes if len(shapes) > 1 else next(iter(shapes.values())),
                outputs=self._arranged(outputs),
                source=type(self.module).__name__,
                notes=[*self.notes, *self.builder.notes],
                input_dtypes=self.dtypes,
            )
        except ValueError as error:
            raise Failed([str(error)], 1.0) from error

    # ---- what comes in and goes out ----

    def _constants(self) -> None:
        """Take weights, buffers and inputs."""
        signature = self.program.graph_signature
        specs = {spec.arg.name: spec for spec in signature.input_specs}
        nodes = [node for node in self.program.graph.nodes if node.op == "placeholder"]
        user = [n for n in nodes if specs[n.name].kind.name == "USER_INPUT"]
        rounded = set()
        for node in nodes:
            spec = specs[node.name]
            if spec.kind.name == "USER_INPUT":
                continue
            target = str(spec.target)
            state = self.program.state_dict
            tensor = state[target] if target in state else self.program.constants[target]
            if tensor.is_floating_point() and tensor.dtype != torch.float32:
                rounded.add(str(tensor.dtype).removeprefix("torch."))
                tensor = tensor.float()
            self.values[node] = kept(tensor.detach().numpy())
        for dtype in sorted(rounded):
            self.notes.append(f"weights of {dtype} are taken in float32")
        fixed = [
            length_of(n.meta["val"].shape[at]) if at >= 0 else 1
            for n, at in zip(user, self.axes, strict=True)
        ]
        self.builder.rows = next((n for n in fixed if isinstance(n, int)), None)
        self.builder.single_row = self.builder.rows == 1
        pairs = zip(user, self.axes, strict=True)
        self.same = same_lengths(
            self.program, [n.meta["val"].shape[at] for n, at in pairs if at >= 0]
        )
        for node, name, at in zip(user, self.names, self.axes, strict=True):
            value = node.meta["val"]
            lengths = [length_of(n, self.same) for n in value.shape]
            if at > 0:
                self.notes.append(
                    f"input {name!r}: the module takes rows along axis {at}, here it is axis 0"
                )
            single = "input" if len(user) == 1 else name
            shape = lengths if at >= 0 else [BATCH, *lengths]
            self.inputs[single] = self.builder.input(single, shape, max(at, 0))
            self.values[node] = self.inputs[single]
            if _is_whole(value.dtype) and not value.dtype.is_complex:
                self.dtypes[single] = str(value.dtype).removeprefix("torch.")
            if at < 0:
                self.values[node] = joined(self.inputs[single], 0)
                self.notes.append(f"input {name!r}: the module takes one row, here axis 0 has rows")

    def _outputs(self, node: torch.fx.Node) -> list[tuple[str, Tensor]]:
        found: list[tuple[str, Tensor]] = []
        for given in node.args[0]:
            value = self._value(given)
            if value is _MISSING or given is None:
                continue
            self.builder.scope = "output"
            if isinstance(value, Tensor) and value in self.inputs.values():
                value = self.builder.single(Identity(name="output"), value)
            if isinstance(value, Spread):
                value = self.builder.some_tensor(value)
            if isinstance(value, Complex):
                self.obstacles.append("an output of complex numbers")
                continue
            if isinstance(value, Chosen):
                self.obstacles.append("an output of as many places as a mask is true for")
                continue
            if not isinstance(value, Tensor):
                self.obstacles.append("an output that depends on no input")
                continue
            value = self.builder.with_row(value)
            if value.at or value.merged:
                value = self._rows_first(value)
            found.append((value.name, value))
        return found

    def _rows_first(self, value: Tensor) -> Tensor:
        where = f"rows along axis {value.at}"
        if value.merged:
            where += " together with other axes"
        self.notes.append(f"an output of the module has {where}, here they are axis 0")
        return self.builder.bundled_first(value)

    def _arranged(self, outputs: Sequence[tuple[str, Tensor]]) -> Any:
        """Return the outputs as the module returns them: one, several, or several by name."""
        names = [name for name, _ in outputs]
        spec = self.program.call_spec.out_spec
        if spec.is_leaf():
            return names[0]
        if spec.type is dict and len(spec.context) == len(names):
            return dict(zip(map(str, spec.context), names, strict=True))
        return names

    # ---- calls ----

    def _run(self, nodes: Sequence[torch.fx.Node]) -> None:
        """Compute what a graph calls, one after another."""
        self.places.update({node: place for place, node in enumerate(nodes)})
        known = {node: length for node in nodes if (length := self._asked(node)) is not None}
        needed = _needed(nodes, known)
        for node in nodes:
            if node.op == "call_function" and node in needed:
                self.values[node] = known[node] if node in known else self._call(node)

    def _asked(self, node: torch.fx.Node) -> Length | None:
        """Return a number that a module asks of a tensor, if it must be a length that is known.

        The most steps of all rows are that where a mask of them is as long as there are steps.
        """
        value = node.meta.get("val")
        if _operator(node) not in _ASKS or not isinstance(value, torch.SymInt):
            return None
        return None if free_unbacked_symbols(value) else length_of(value, self.same)

    def _without_row(self, node: torch.fx.Node) -> Any:
        """Return what an operator without a row makes, as PyTorch says what it is made of.

        What is made of constants alone PyTorch computes.
        """
        given = [self._value(value) for value in node.all_input_nodes]
        if all(isinstance(value, (np.ndarray, int, float)) for value in given):
            found = computed(node, given)
            if found is not None:
                return found
        if name_of(node.target) in ("max", "min"):
            raise UnsupportedError(
                "the largest or smallest of all rows; where it is the number of steps, x.size(1) "
                "says it"
            )
        graph = decomposed(node)
        if graph is None:
            raise UnsupportedError(f"operator {_qualified(node.target)} is not supported")
        return self._within(graph, given)

    def _within(self, graph: torch.fx.Graph, given: Sequence[Any]) -> Any:
        """Return what a graph makes of what it is given."""
        nodes = [*graph.nodes]
        inputs = [node for node in nodes if node.op == "placeholder"]
        self.values.update(zip(inputs, given, strict=True))
        self._run(nodes)
        made = self._value(nodes[-1].args[0])
        return tuple(made) if isinstance(made, list) else made

    def _wrapped(self, node: torch.fx.Node) -> Any:
        """Return what a part of the module makes that runs without gradients or other types."""
        target = node.target
        assert isinstance(target, torch._ops.HigherOrderOperator)
        name = target.name()
        if name == "wrap_with_autocast" and node.args[2] is False:
            part, *rest = node.args[4:]
        elif name == "wrap_with_set_grad_enabled":
            _, part, *rest = node.args
        else:
            return self._refused(node, UnsupportedError(f"operator {name} is not supported"))
        assert isinstance(part, torch.fx.Node)
        graph = getattr(node.graph.owning_module, str(part.target)).graph
        given = [self._value(value) for value in rest]
        made = self._within(graph, given)
        inputs = [inner for inner in graph.nodes if inner.op == "placeholder"]
        if any(self.values[inner] is not value for inner, value in zip(inputs, given, strict=True)):
            text = "a tensor is written into where gradients or other types are switched off"
            return self._refused(node, UnsupportedError(text))
        return made

    def _call(self, node: torch.fx.Node) -> Any:
        """Return what an operator makes; `_MISSING` where something stands in the way."""
        target = node.target
        given = [self.values.get(arg) for arg in node.all_input_nodes]
        if any(value is _MISSING for value in given):
            return _MISSING
        if target is operator.getitem:
            source, index = node.args
            return self._value(source)[index]
        if isinstance(target, torch._ops.HigherOrderOperator):
            return self._wrapped(node)
        if target in _SYMBOLS and all(isinstance(value, (int, Open)) for value in given):
            return _SYMBOLS[target](*(self._value(arg) for arg in node.args))
        if target in _NUMBERS and all(isinstance(v, (int, float, Open, Steps)) for v in given):
            return self._number(_NUMBERS[target], [self._value(arg) for arg in node.args])
        if not isinstance(target, torch._ops.OpOverload):
            return _UNKNOWN  # comparisons of lengths, which only asserts take
        name = name_of(target)
        if name.partition(".")[0] in _CHECKS:
            return _UNKNOWN
        self.builder.scope = _scope(node, name)
        row = row_of(target)
        if any(isinstance(value, Chosen) for value in given) and name.startswith("sym_size"):
            return _UNKNOWN  # which only checks take
        try:
            self._check_range(node)
            if row is None:
                made = self._without_row(node)
                if made is _MISSING:
                    return made
            else:
                made = self._whole(node, row(self.builder, self._arguments(node, target)))
            self._compare(node, made)
            self._write(node, target, made)
        except BatchAxisError as error:
            self.misplaced = True
            return self._refused(node, error)
        except (UnsupportedError, ValueError, TypeError, IndexError, KeyError) as error:
            return self._refused(node, error)
        except Exception:  # what a row did not expect is an obstacle, too
            text = f"operator {_qualified(target)} is not supported for what it is given"
            return self._refused(node, UnsupportedError(text))
        if isinstance(made, tuple):
            return tuple(_UNKNOWN if part is None else part for part in made)
        return made

    def _check_range(self, node: torch.fx.Node) -> None:
        """Refuse whole numbers of few bits that may go beyond what these hold."""
        dtype, written = _dtype(node), _operator(node).endswith("_")
        name = _operator(node).rstrip("_")
        if written and not _operator(node).endswith("__"):
            self.ranges.clear()  # what is a view of what, or the same, is not looked at
        low, high = self._computed_range(node, name)
        if dtype in _FEW_BITS and name in _ARITHMETIC:
            most = torch.iinfo(dtype)
            if not most.min <= low <= high <= most.max:
                raise UnsupportedError(
                    f"{name} in {dtype}, whose numbers begin anew beyond {most.max}; "
                    "computed in torch.int32 they do not"
                )
        if not written and dtype is not torch.bool and low > -np.inf and high < np.inf:
            self.ranges[node] = low, high

    def _whole(self, node: torch.fx.Node, made: Any) -> Any:
        """Return what an operator made, of whole numbers only those that float32 holds.

        Sums of two are left alone: of numbers that it holds they are off by one at most.
        """
        name, dtype = _operator(node), _dtype(node)
        if not isinstance(made, Tensor) or dtype not in (torch.int32, torch.int64):
            return made
        sums = name in ("sum", "cumsum") and _dtype(node.args[0]) is not torch.bool
        low, high = self.ranges.get(node, (-np.inf, np.inf))
        if not sums and (name not in _MULTIPLIES or -MOST_WHOLE < low <= high < MOST_WHOLE):
            return made
        return self.builder.elementwise("whole", made, made, MOST_WHOLE)

    def _computed_range(self, node: torch.fx.Node, name: str) -> tuple[float, float]:
        """Return between which numbers those are that an operator makes, as far as it is known."""
        some = [self._range(given) for given in node.args[:3]]
        if some and name in (*_TO, *_VIEWS, *_SAME):
            return some[0]
        if name == "clamp" and len(some) == 3:
            return max(some[0][0], some[1][0]), min(some[0][1], some[2][1])
        compute = _OF_ENDS.get(name)
        scaled = len(some) > 2 or node.kwargs.get("alpha", 1) != 1
        if compute is None or scaled or not np.isfinite(some).all():
            return -np.inf, np.inf
        ends = [compute(*numbers) for numbers in choices(*some)]
        return min(ends), max(ends)

    def _range(self, given: Any) -> tuple[float, float]:
        """Return between which numbers all of a value are known to be."""
        if isinstance(given, (bool, int, float)):
            return float(given), float(given)
        if not isinstance(given, torch.fx.Node):
            return -np.inf, np.inf
        value, dtype = self.values.get(given), _dtype(given)
        if given in self.ranges:
            return self.ranges[given]
        if isinstance(value, np.ndarray) and 0 < value.size <= _LOOKED_AT:
            return float(value.min()), float(value.max())
        if dtype is torch.bool:
            return 0.0, 1.0
        if dtype is None or dtype.is_floating_point or dtype.is_complex:
            return -np.inf, np.inf
        return float(torch.iinfo(dtype).min), float(torch.iinfo(dtype).max)

    def _number(self, function: str, operands: Sequence[Any]) -> Any:
        """Return a number computed of lengths, which each row computes by itself."""
        try:
            values = [
                v.value if isinstance(v, Steps) else self.builder.count(v) if _open(v) else v
                for v in operands
            ]
            made = self.builder.elementwise(function, *values)
        except UnsupportedError:  # of the number of rows, or never to be used
            return _UNKNOWN
        return Steps.of(made) if isinstance(made, Tensor) else as_array(made).item()

    def _compare(self, node: torch.fx.Node, made: Any) -> None:
        """Refuse what has another shape than PyTorch says, as where an open length may be 1."""
        parts = made if isinstance(made, tuple) else (made,)
        value = node.meta.get("val")
        values = value if isinstance(value, (tuple, list)) else (value,)
        for part, told in zip(parts, values, strict=False):
            known = isinstance(told, torch.Tensor) and not isinstance(part, (Chosen, np.ndarray))
            if known and told.is_complex() != is_complex(part):
                raise UnsupportedError("complex numbers made of real ones, or these of them")
            if not isinstance(part, (Tensor, Spread)) or not isinstance(told, torch.Tensor):
                continue
            lengths = [length_of(n) for n in told.shape]
            pairs = [*enumerate(zip(part.shape, lengths, strict=False))]
            known_ones = [
                p for i, p in pairs if i != part.at and all(isinstance(n, int) for n in p)
            ]
            if part.ndim != len(lengths) or any(a != b for a, b in known_ones):
                raise UnsupportedError(f"a tensor of shape {lengths}, of {list(part.shape)}")

    def _refused(self, node: torch.fx.Node, error: Exception) -> Any:
        where = ".".join(filter(None, [_scope(node, "")])) or "the module"
        line = line_of(node.meta.get("stack_trace") or "")
        text = f"{where}: {error}"
        self.obstacles.append(f"{text} ({line})" if line else text)
        return _MISSING

    def _arguments(self, node: torch.fx.Node, target: Any) -> Arguments:
        schema = target._schema.arguments
        values: dict[str, Any] = {}
        bools = set()
        for position, argument in enumerate(schema):
            if position < len(node.args) and not argument.kwarg_only:
                given: Any = node.args[position]
            elif argument.name in node.kwargs:
                given = node.kwargs[argument.name]
            else:
                given = argument.default_value
            values[argument.name] = self._value(given)
            length = "int" in str(argument.type) or _operator(node) == "arange"
            if _has_unknown(values[argument.name], (_Unknown, Steps) if length else _Unknown):
                raise UnsupportedError(f"{argument.name}: {_COMPUTED}")
            nodes = given if isinstance(given, (list, tuple)) else [given]
            if any(isinstance(n, torch.fx.Node) and _dtype(n) is torch.bool for n in nodes):
                bools.add(argument.name)
        result = _dtype(node)
        source = node.all_input_nodes[1:2] if "src" in values else node.all_input_nodes[:1]
        whole = bool(source) and _is_whole(_dtype(source[0]))
        floats = result is None or result.is_floating_point or whole
        if result in NARROW and source and _dtype(source[0]) not in (None, *NARROW):
            note = f"what becomes {result} within the module stays float32, and is not rounded"
            self.notes += [note] if note not in self.notes else []
        return Arguments(values, frozenset(bools), floats, result is torch.bool)

    def _value(self, given: Any) -> Any:
        if isinstance(given, torch.fx.Node):
            return self.values.get(given, _MISSING)
        if isinstance(given, (list, tuple)):
            return [self._value(item) for item in given]
        return given

    def _write(self, node: torch.fx.Node, target: Any, made: Any) -> None:
        """Let an operator that works in place change what it was given, and what that is of."""
        arguments = target._schema.arguments
        info = arguments[0].alias_info if arguments else None
        if info is None or not info.is_write:
            return
        written = node.args[0]
        assert isinstance(written, torch.fx.Node)
        path = [written]
        value = made
        self.values[written] = value
        while (source := _viewed(path[-1])) is not None:
            value = self._put_into(path[-1], source, value)
            self.values[source] = value
            path.append(source)
        base = path[-1]
        now = self.places[node]
        for other in self._views_of(base):
            users = (user for view in self._views_of(other) for user in view.users)
            if other not in path and any(self.places[user] > now for user in users):
                self.values[other] = self._seen_again(other)

    def _seen_again(self, view: torch.fx.Node) -> Any:
        """Return what a view shows once what it is of has changed."""
        source: Any = view.args[0]
        if _operator(view).endswith("_"):
            return self.values[source]
        if view.target is operator.getitem:
            return self._value(source)[view.args[1]]
        return self._made(view, self.values[source])

    def _made(self, view: torch.fx.Node, source: Any) -> Any:
        """Return what the operator of a view makes of something."""
        assert isinstance(view.target, torch._ops.OpOverload)
        row = row_of(view.target)
        assert row is not None
        a = self._arguments(view, view.target)
        first = next(iter(a.values))
        return row(self.builder, replace(a, values={**a.values, first: source}))

    def _put_into(self, view: torch.fx.Node, source: torch.fx.Node, value: Any) -> Any:
        """Return what a tensor is once a view of it is written."""
        whole, name = self.values[source], _operator(view)
        if name in _SAME or name.endswith("_"):
            return value
        if name in _REGROUPED:
            return self.builder.reshape(value, whole.shape)
        if name in _SWAPPED:
            return self._made(view, value)
        if name not in ("select", "slice"):
            if all(self.places[user] <= self.places[view] for user in source.users):
                return whole  # which nobody reads any more
            raise UnsupportedError("a part of a tensor is written into")
        assert isinstance(view.target, torch._ops.OpOverload)
        a = self._arguments(view, view.target)
        axis = a.dim % whole.ndim
        length = whole.shape[axis]
        if name == "select":
            start, stop, step = a.index, a.index + 1, 1
            if isinstance(start, int) and start < 0:
                start, stop = start + length, stop + length
            value = self.builder.unsqueeze(value, axis)
        else:
            start, stop, step = _end(a.start, length, 0), _end(a.end, length, length), a.step
            if (start, stop, step) == (0, length, 1):
                return value
        if all(isinstance(n, int) for n in (start, stop, length)):
            return put(self.builder, whole, value, axis, range(start, stop, step))
        if step != 1:
            raise UnsupportedError("a part of an axis of open length is written into, in steps")
        parts = [value]
        if start != 0:
            parts.insert(0, self.builder.slice(whole, axis, 0, start))
        if stop != length:
            parts.append(self.builder.slice(whole, axis, stop, None))
        return self.builder.concatenate(parts, axis)

    def _views_of(self, base: torch.fx.Node) -> list[torch.fx.Node]:
        """Return what may be the same numbers as a tensor, as far as it is computed."""
        found = [base]
        for node in found:
            found += [u for u in node.users if u in self.values and _viewed(u) is node]
        return found


def _needed(nodes: Sequence[torch.fx.Node], known: Collection[torch.fx.Node]) -> set[torch.fx.Node]:
    """Return what is put out, written into, or computed on the way there; checks need nothing.

    Nor does what is known.
    """
    waiting = [node for node in nodes if node.op == "output" or _writes(node)]
    found = set(waiting)
    while waiting:
        node = waiting.pop()
        new = set() if node in known else set(node.all_input_nodes) - found
        found |= new
        waiting += new
    return found


def _writes(node: torch.fx.Node) -> bool:
    """Whether an operator works in place, or runs a graph of its own, in which some may."""
    if node.op != "call_function":
        return False
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return True
    target = node.target
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable is True


def _operator(node: torch.fx.Node) -> str:
    """Return an operator's name, with its underscore where it works in place."""
    name: str = getattr(node.target, "__name__", "")
    return name.partition(".")[0]


def _qualified(target: Any) -> str:
    """Return an operator's name behind its namespace."""
    return f"{target.namespace}.{name_of(target)}"


def _viewed(node: torch.fx.Node) -> torch.fx.Node | None:
    """Return the tensor of which one is a view: writing into one changes the other."""
    name = _operator(node)
    if node.op != "call_function" or not node.args:
        return None
    source = node.args[0]
    if not isinstance(source, torch.fx.Node):
        return None
    if node.target is operator.getitem and _viewed(source) is None:
        return None  # one of several results
    written = name.endswith("_") and not name.startswith("__")
    return source if written or (name in _VIEWS | _SAME and _shares_memory(node)) else None


def _shares_memory(node: torch.fx.Node) -> bool:
    """Say whether an operator that may copy gives the same numbers, laid out as they are here."""
    if _operator(node) not in _MAY_COPY:
        return True
    given = torch.fx.node.map_arg((node.args, node.kwargs), _without_data)
    args, kwargs = pytree.tree_map(
        lambda value: torch.device("meta") if isinstance(value, torch.device) else value, given
    )
    assert callable(node.target)
    made = node.target(*args, **kwargs)
    same: bool = made.untyped_storage()._cdata == args[0].untyped_storage()._cdata
    return same


def _without_data(node: torch.fx.Node) -> Any:
    """Return a tensor like one of the module, of the example's lengths, without numbers."""
    value = node.meta["val"]
    if not isinstance(value, torch.Tensor):
        return _example(value)
    shape, strides = ([_example(n) for n in numbers] for numbers in (value.shape, value.stride()))
    return torch.empty_strided(shape, strides, dtype=value.dtype, device="meta")


def _example(number: Any) -> Any:
    """Return a number that may be open as it is for the example."""
    if isinstance(number, torch.SymInt):
        return number.node.hint
    return number


def _end(bound: Any, length: Length, otherwise: Length) -> Any:
    """Return an end of a slice counted from the front."""
    if bound is None or (isinstance(bound, int) and bound >= 2**31 - 1):
        return otherwise
    if isinstance(bound, int) and bound < 0:
        return bound + length
    return min(bound, length) if isinstance(bound, int) and isinstance(length, int) else bound


def _has_unknown(value: Any, kinds: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_unknown(item, kinds) for item in value)
    return isinstance(value, kinds)


def _dtype(node: torch.fx.Node) -> torch.dtype | None:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, torch.Tensor) else None


def _open(value: object) -> bool:
    return isinstance(value, Open)


def _is_whole(dtype: torch.dtype | None) -> bool:
    return dtype is not None and not dtype.is_floating_point


def _scope(node: torch.fx.Node, otherwise: str) -> str:
    """Return how the module names the part that a node stands for."""
    stack: Mapping[str, Any] = node.meta.get("nn_module_stack") or {}
    paths = [str(path) for path, _ in stack.values()]
    name = paths[-1] if paths else ""
    name = name.removeprefix("L['self']").strip(".")
    name = "" if name == "module" else name.removeprefix("module.")  # that of `Called`
    return name or otherwise.partition(".")[0].strip("_")

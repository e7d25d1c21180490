"""From a module of PyTorch to a model, through `torch.export`."""

from __future__ import annotations

import inspect
import operator
import os
import random
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import count, islice
from itertools import product as choices
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.export import Dim
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.utils import _pytree as pytree

from fastdrop import _check
from fastdrop.formats import ModelFormatError
from fastdrop.formats._lengths import BATCH, Length, Open, known
from fastdrop.formats._networks import Networks
from fastdrop.formats._places import put
from fastdrop.formats._tensors import SORTED
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
from fastdrop.torch._conditions import other_ways, same_lengths
from fastdrop.torch._decomposition import computed, decomposed, name_of, row_of
from fastdrop.torch._tracing import ALMOST_1, shapes_alone

# Operators that only check, or tell compilers what they may suppose.
_CHECKS = (
    "_assert_scalar",
    "_assert_async",
    "_assert_tensor_metadata",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
)
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
}
# What a module may be called with beside tensors.
_SAME_IN_ALL_CALLS = (bool, int, float, str, type(None))
_EXPECTED = "a tensor, or a tuple or dict of tensors"
# How often a module is called that draws numbers, and with how many seeds outside PyTorch.
_SEEDS = 16
# To how many steps inputs are made up that are longer than the example.
_LONG = 256
# How many tables are tried for numbers that may be looked up in them.
_MOST_TABLES = 8
# Where inputs may have their rows: how many ways are looked at, and how many tried.
_MOST_PLACEMENTS, _TRIED = 1 << 12, 16
_EVERY, _NONE = slice(None), slice(0)  # axes of an open length
_MISSING = object()
_NARROW = (torch.float16, torch.bfloat16)
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


_FIXED = "lengths are those of the examples; what allows no others: "
_DRAWS = (
    "the module draws random numbers in eval mode, too; here predict draws none, mc_predict does"
)

_OF_ONE_STEP = "of a single step the module computes something else than here"


class _Unknown:
    """What a module computes that is not kept: a number made of lengths, or a second result."""


_UNKNOWN = _Unknown()


def from_torch(
    module: nn.Module,
    example_inputs: Any,
    rates: object = None,
) -> Model:
    """Take over a PyTorch module as a `fastdrop.Model`.

    Parameters
    ----------
    module : torch.nn.Module
        The module, on the CPU. It is exported in training mode, so that its dropout is seen, and
        left as it was. Normalization takes its running statistics.
    example_inputs : Tensor, tuple, or dict of str
        What the module is called with: one tensor, several, or several by name. Tuples, lists and
        dicts of tensors may be among them, as the states of an LSTM are: each tensor is an input
        of the model, of a name such as ``hidden_0``. None, bools, numbers and strings are the same
        in every call. Lengths are examples where the module allows others: the number of rows is
        always left open, and so are time steps where `torch.export` finds that nothing depends on
        them.
    rates : float or mapping, optional
        Rates of dropout, as `Model.with_rates` takes them: this is how a recurrent layer gets
        recurrent dropout, which PyTorch lacks. Layers are named as the module names them, as in
        ``{"encoder.lstm": {"recurrent_dropout": 0.2}}``.

    Returns
    -------
    Model
        It takes and returns arrays whose first axis is that of the rows, wherever the module has
        it; ``notes`` say where that is another one. Dropout between the layers of a recurrent
        module is of each number at each step, as in PyTorch.

    Raises
    ------
    ModelFormatError
        The module does what layers here cannot, or cannot be exported; ``obstacles`` has all that
        stands in the way, with the line of the module's code.
    TypeError, ValueError
        An argument is of the wrong type, or `rates` do not fit.

    Examples
    --------
    >>> import torch
    >>> from fastdrop.torch import from_torch
    >>> class Forecast(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm = torch.nn.LSTM(3, 8, num_layers=2, dropout=0.2, batch_first=True)
    ...         self.head = torch.nn.Linear(8, 1)
    ...
    ...     def forward(self, x):
    ...         y, _ = self.lstm(x)
    ...         return self.head(y[:, -1])
    >>> model = from_torch(Forecast(), torch.zeros(2, 20, 3))
    >>> model
    <Model of Forecast: 4 layers, 1 stochastic, (batch, any, 3) -> (batch, 1)>
    """
    if not isinstance(module, nn.Module):
        _check.refuse(TypeError, "module", "a torch.nn.Module", module)
    example = _Example.of(module, example_inputs)
    _check_module(module)
    with _chance_left():
        model = _converted(module, example)
    return model if rates is None else model.with_rates(rates)


@dataclass(frozen=True)
class _Example:
    """What a module is called with: tensors by their names, among what stays the same."""

    tensors: list[torch.Tensor]
    names: list[str]
    # All that is handed over, tensors and others, and how these are put together.
    leaves: list[Any]
    layout: pytree.TreeSpec

    @classmethod
    def of(cls, module: nn.Module, given: Any) -> _Example:
        """Take example inputs as they are handed over."""
        if isinstance(given, torch.Tensor):
            given = (given,)
        if not isinstance(given, (tuple, list, dict)) or not given:
            _check.refuse(TypeError, "example_inputs", _EXPECTED, given)
        for name in given if isinstance(given, dict) else ():
            if not isinstance(name, str):
                _check.refuse(TypeError, "example_inputs", "inputs by their names", name)
        call = ((), given) if isinstance(given, dict) else (tuple(given), {})
        leaves, layout = pytree.tree_flatten(call)
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        for leaf in leaves:
            if not isinstance(leaf, (torch.Tensor, *_SAME_IN_ALL_CALLS)):
                _check.refuse(TypeError, "example_inputs", _EXPECTED, leaf)
        if not tensors:
            _check.refuse(TypeError, "example_inputs", _EXPECTED, given)
        for tensor in tensors:
            if not tensor.ndim:
                expected = "tensors with an axis for the rows"
                _check.refuse(ValueError, "example_inputs", expected, tensor)
            if tensor.is_complex():
                _check.refuse(TypeError, "example_inputs", "tensors of real numbers", tensor)
        return cls(tensors, _names(module, *call), leaves, layout)

    def call(self, tensors: Iterable[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what the module is called with for other tensors in their places."""
        others = iter(tensors)
        leaves = [next(others) if isinstance(v, torch.Tensor) else v for v in self.leaves]
        found: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_unflatten(leaves, self.layout)
        return found


class _Called(nn.Module):
    """A module, called with tensors alone."""

    def __init__(self, module: nn.Module, example: _Example) -> None:
        super().__init__()
        self.module, self.example = module, example

    def forward(self, *tensors: torch.Tensor) -> Any:
        args, named = self.example.call(tensors)
        made = self.module(*args, **named)
        if is_dataclass(made) and pytree.tree_is_leaf(made):
            found = {field.name: getattr(made, field.name) for field in fields(made)}
            return {name: value for name, value in found.items() if value is not None}
        return made


def _names(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> list[str]:
    """Return what a module calls each tensor that it is called with; of several, by its place."""
    signature = inspect.signature(module.forward)
    try:
        signature.bind(*args, **named)
    except TypeError as error:
        raise TypeError(f"example_inputs: forward{signature}: {error}") from None
    given = [*signature.bind_partial(*args).arguments.items(), *named.items()]
    found = [
        "_".join([name, *map(_key, path)])
        for name, value in given
        for path, leaf in pytree.tree_leaves_with_path(value)
        if isinstance(leaf, torch.Tensor)
    ]
    if len({*found}) < len(found):
        _check.refuse(ValueError, "example_inputs", "inputs of different names", found)
    return found


def _key(key: Any) -> str:
    """Return where something stands in a tuple, dict or named tuple."""
    return str(next(v for n in ("key", "idx", "name") if (v := getattr(key, n, None)) is not None))


def _check_module(module: nn.Module) -> None:
    """Refuse weights that are elsewhere or not there, before anything is traced."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if isinstance(tensor, nn.parameter.UninitializedTensorMixin):
            raise ValueError(f"module: expected weights that are there, {name!r} has no shape yet")
        if tensor.device.type != "cpu":
            raise ValueError(
                f"module: expected weights on the CPU, {name!r} is on {tensor.device}; "
                "call module.cpu()"
            )
        if tensor.is_quantized:
            raise ValueError(f"module: expected weights of numbers, {name!r} is quantized")
        if (tensor.is_floating_point() or tensor.is_complex()) and not torch.isfinite(tensor).all():
            raise ValueError(f"module: expected finite weights, {name!r} has NaN or infinity")


# What every module has of its own.
_OF_MODULES = frozenset(nn.Module().__dict__)
_HOLDS = (torch.Tensor, tuple, list, dict, set, deque)


@dataclass(frozen=True)
class _Held:
    """What a module holds: attributes, parameters and the like of its parts, what is in them."""

    parts: list[tuple[nn.Module, dict[str, Any], dict[str, dict[str, Any]]]]
    # Tensors with their numbers, and lists and their like with what is in them.
    tensors: list[tuple[torch.Tensor, torch.Tensor]]
    others: list[tuple[Any, Any]]

    @classmethod
    def of(cls, module: nn.Module) -> _Held:
        parts = [(part, part.__dict__.copy(), _registered(part)) for part in module.modules()]
        found = cls(parts, [], [])
        own = (v for _, held, _ in parts for name, v in held.items() if name not in _OF_MODULES)
        waiting: list[Any] = [*module.parameters(), *module.buffers(), *own]
        seen: set[int] = set()
        while waiting:
            value = waiting.pop()
            if id(value) in seen or not isinstance(value, _HOLDS):
                continue
            seen.add(id(value))
            if isinstance(value, torch.Tensor):
                if value.layout is torch.strided:
                    found.tensors.append((value, value.detach().clone()))
                continue
            inside = [*value.values()] if isinstance(value, dict) else [*value]
            waiting += [v for v in inside if isinstance(v, _HOLDS)]
            if not isinstance(value, tuple):
                found.others.append((value, dict(value) if isinstance(value, dict) else inside))
        return found

    def put_back(self) -> None:
        for part, attributes, registered in self.parts:
            part.__dict__.clear()
            part.__dict__.update(attributes)
            for name, inside in registered.items():
                part.__dict__[name].clear()
                part.__dict__[name].update(inside)
        for value, inside in self.others:
            value.clear()
            if isinstance(value, (dict, set)):
                value.update(inside)
            else:
                value.extend(inside)
        for tensor, numbers in self.written():
            tensor.data.copy_(numbers)

    def written(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the tensors into which something has been written, with what was in them."""
        return [
            (tensor, was)
            for tensor, was in self.tensors
            if not ((tensor == was) | (tensor.isnan() & was.isnan())).all()
        ]


def _registered(part: nn.Module) -> dict[str, dict[str, Any]]:
    """Return what a module has registered: parameters, buffers, parts and hooks, by their kinds."""
    own = {name: part.__dict__[name] for name in _OF_MODULES}
    return {name: dict(held) for name, held in own.items() if isinstance(held, dict)}


@contextmanager
def _training(module: nn.Module, *, on: bool = True) -> Iterator[_Held]:
    """Put a module into training mode for a while, or out of it, and leave it as it was.

    What it held is what the context gives.

    What computes weights stays in evaluation mode: spectral normalization estimates in the other.
    What the module remembers of a call is forgotten.
    """
    before = _Held.of(module)
    module.train(on)
    estimates = []
    for part in [*module.modules()] if on else []:
        if isinstance(part, ParametrizationList):
            part.eval()
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                estimates.append((hook, hook.n_power_iterations))
                hook.n_power_iterations = 0
    try:
        yield before
    finally:
        before.put_back()
        for hook, number in estimates:
            hook.n_power_iterations = number


def _export(
    module: nn.Module,
    example: _Example,
    axes: Sequence[int],
    *,
    free: slice,
    fixed: bool,
    trains: bool = True,
) -> tuple[torch.export.ExportedProgram, dict[tuple[int, int], str]]:
    """Export a module, with the lengths left open of which axes beside that of the rows.

    The number of rows is open, too, if it is not fixed to that of the example. The export may fix
    others: inputs and axes are returned, with a trace of where it did.
    """
    shapes, given = [], []
    rows = _number_of_rows(module, example.tensors)
    for tensor, at in zip(example.tensors, axes, strict=True):
        others = [i for i in range(tensor.ndim) if i != at]
        if fixed or at < 0:
            given.append(tensor.detach())
            left_open = others[free]
        else:
            numbers = torch.arange(rows) % max(tensor.shape[at], 1)
            given.append(tensor.detach().index_select(at, numbers))
            left_open = [at, *others[free]]
        shapes.append([Dim.AUTO if i in left_open else Dim.STATIC for i in range(tensor.ndim)])
    with (
        torch.no_grad(),
        _training(module, on=trains),
        warnings.catch_warnings(),
        shapes_alone() as closed,
        _quiet(),
    ):
        warnings.simplefilter("ignore")
        called = _Called(module, example)
        dynamic = {"tensors": tuple(shapes)}
        return torch.export.export(called, tuple(given), dynamic_shapes=dynamic), closed


def _kept_from_call_to_call(
    module: nn.Module, example: _Example, program: torch.export.ExportedProgram
) -> list[str]:
    """Return the attributes of a module that a call reads and then writes, or writes into."""
    own = (*module.buffers(), *module.parameters())
    read = _pointers([*program.constants.values(), *own])
    if not read or _shortens(module):
        return []
    with _training(module, on=False) as before, warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        _Called(module, example)(*(tensor.clone() for tensor in example.tensors))
        written = {tensor.data_ptr() for tensor, _ in before.written()}
        registered = {tensor.data_ptr() for tensor in own}
        return [
            name
            for part, attributes, kinds in before.parts
            for name, value in _held_by(attributes, kinds)
            # What computes a weight may hold it as an attribute, too.
            if (held := _pointers(value) & read - (registered if name in attributes else set()))
            if held - _pointers(getattr(part, name, None)) or held & written
        ]
    return []  # the example does not run as it is


def _why_fixed(
    module: nn.Module,
    example: _Example,
    axes: Sequence[int],
    closed: Mapping[tuple[int, int], str],
) -> list[str]:
    """Return what fixes lengths of which the module itself takes others, with the line."""
    found = []
    called, tensors = _Called(module, example), example.tensors
    for (place, axis), trace in closed.items():
        length = tensors[place].shape[axis]
        if axis == axes[place] or not _takes_longer(called, tensors, axis, length):
            continue
        line = _line(trace)
        text = f"torch.export, which fixes axis {axis} of input {example.names[place]!r}"
        found.append(f"{text} ({line})" if line else text)
    return found


def _takes_longer(called: _Called, tensors: Sequence[torch.Tensor], axis: int, length: int) -> bool:
    """Whether a module takes inputs that are longer along an axis, all that are as long there."""
    chance = torch.Generator().manual_seed(0)
    longer = []
    for tensor in tensors:
        shape = [*tensor.shape]
        if axis < len(shape) and shape[axis] == length:
            shape[axis] = _longer(length)
        longer.append(_filled(tensor, shape, None, None, chance))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _put_out(called, longer)
    except Exception:  # whatever the module's own code raises
        return False
    return True


def _draws(module: nn.Module, example: _Example) -> bool:
    """Whether a module draws numbers of PyTorch where it does not train."""
    before = torch.get_rng_state()
    with suppress(Exception), warnings.catch_warnings():  # the example may not run as it is
        warnings.simplefilter("ignore")
        _put_out(_Called(module, example), example.tensors)
    return not torch.equal(before, torch.get_rng_state())


def _held_by(
    attributes: dict[str, Any], kinds: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, Any]]:
    """Yield what a module holds under names of its own, as it was."""
    yield from ((name, value) for name, value in attributes.items() if name not in _OF_MODULES)
    yield from (*kinds["_buffers"].items(), *kinds["_parameters"].items())


def _pointers(value: Any) -> set[int]:
    """Return where in memory the numbers of all tensors of something begin."""
    return {v.data_ptr() for v in filter(_is_tensor, pytree.tree_leaves(value))}


def _shortens(module: nn.Module) -> bool:
    """Whether a call changes a module's weights, as that of an embedding with a largest norm."""
    return any(getattr(part, "max_norm", None) is not None for part in module.modules())


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _number_of_rows(module: nn.Module, tensors: Sequence[torch.Tensor]) -> int:
    """Return a number of rows that is the length of nothing else, to be known wherever it is."""
    weights = (*module.parameters(), *module.buffers())
    taken = {n for tensor in (*tensors, *weights) for n in tensor.shape}
    return next(n for n in count(13, 2) if n not in taken)


@contextmanager
def _chance_left() -> Iterator[None]:
    """Leave the numbers that come next as they would have been, whatever a module draws."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([]):
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what export logs and prints in this thread to itself: what it raises says all.

    Other loggers than PyTorch's, and other threads, are left alone. One thread at a time is here.
    """
    import logging

    from torch.export import _trace

    own = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING or threading.get_ident() != own

    def said(*texts: object, **options: Any) -> None:
        if threading.get_ident() != own:
            print(*texts, **options)

    names = [name for name in [*logging.root.manager.loggerDict] if name.startswith("torch")]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(passes)
    vars(_trace)["print"] = said  # by which it shows the graph of what fails
    try:
        yield
    finally:
        del vars(_trace)["print"]
        for logger in loggers:
            logger.removeFilter(passes)


def _converted(module: nn.Module, example: _Example) -> Model:
    """Return the model of a module, trying where its inputs have their batch."""
    tensors = example.tensors
    failures: list[_Failed] = []
    elsewhere = _takes_time_first(module)
    draws = _draws(module, example)
    in_front = False
    for axes in [*_placements(tensors), *_of_one_row(module, tensors)]:
        if any(axes) and in_front and not elsewhere:
            break
        in_front |= not any(axes)
        waiting = [(_EVERY, False), (_NONE, False)]
        if -1 in axes:
            waiting = [(_EVERY, True), (_NONE, True)]
        opened: _Failed | None = None
        while waiting:
            free, fixed = waiting.pop(0)
            try:
                program, closed = _export(module, example, axes, free=free, fixed=fixed)
            except Exception as error:  # export raises whatever the module's own code does
                failures.append(_Failed([_why_not_exported(error)], 2.0))
                opened = opened or failures[-1]
                elsewhere |= len(tensors) > 1  # of which one may have been given other rows
                if free == _NONE and not fixed:  # the module may be for so many rows alone
                    waiting += [(_EVERY, True), (_NONE, True)]
                continue
            try:
                conversion = _Conversion(module, program, axes, example.names)
                conversion.notes += [
                    f"the module keeps {name!r} from call to call; here each begins with what it "
                    "holds now"
                    for name in _kept_from_call_to_call(module, example, program)
                ]
                if fixed and -1 not in axes:
                    rows = tensors[0].shape[axes[0]]
                    conversion.notes.append(f"the module is for {rows} rows; here there may be any")
                whys = _why_fixed(module, example, axes, closed)
                if free == _NONE and opened is not None:
                    whys = [opened.obstacles[0]]
                conversion.notes += [_FIXED + why for why in whys]
                conversion.notes += [_DRAWS] if draws else []
                model = conversion.model()
                walks = conversion.builder.walks
                if free.start is not None and walks and all(isinstance(n, int) for n in walks):
                    continue  # an axis is open that no time steps are on
                times = _SEEDS if draws else 1
                return model._noted(_check_numbers(module, model, example, axes, program, times))
            except _Failed as failed:
                failures.append(failed)
                opened = opened or failed
                elsewhere |= failed.misplaced
                if free == _EVERY and not failed.misplaced:
                    waiting[:0] = [(one, fixed) for one in _single_axes(program, axes)]
    if not failures:
        failures.append(_Failed(["example inputs of different numbers of rows"], 1.0))
    # Of equals the one with the fewest lengths left open, which stand in nobody's way.
    best = min(reversed(failures), key=lambda failed: failed.rank)
    raise ModelFormatError.of(best.obstacles).within(type(module).__name__)


def _single_axes(program: torch.export.ExportedProgram, axes: Sequence[int]) -> list[slice]:
    """Return each axis beside that of the rows that is open, where there are several.

    Of sequences (steps, features) it is that of the steps alone.
    """
    names = program.graph_signature.user_inputs
    shapes = [n.meta["val"].shape for n in program.graph.nodes if n.name in names]
    found: list[int] = []
    for shape, at in zip(shapes, axes, strict=True):
        lengths = [_length(n) for i, n in enumerate(shape) if i != at]
        places = [i for i, n in enumerate(lengths) if not isinstance(n, int)]
        found = max(found, places if len(lengths) > 2 else places[: len(places) - 1], key=len)
    return [slice(i, i + 1) for i in found]


def _check_numbers(
    module: nn.Module,
    model: Model,
    example: _Example,
    axes: Sequence[int],
    program: torch.export.ExportedProgram,
    times: int,
) -> list[str]:
    """Refuse a module that computes something else where it does not train.

    It is called so many times, for it may draw numbers: what differs then is not compared. What is
    to be known of other lengths is returned.
    """
    tensors = example.tensors
    called = _Called(module, example)
    if any(part.dtype in _NARROW for part in (*module.parameters(), *tensors)):
        return []  # PyTorch's own numbers are rounded
    if _shortens(module):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decided = _decides(called, tensors)
    except Exception:  # the example does not run as it is
        decided = False
    if decided:
        text = "the module decides by numbers of Python's random or NumPy's, which differ from call"
        raise _Failed([f"{text} to call; say how in what it is called with"], 0.0)
    try:
        _compare_numbers(called, model, tensors, axes, times)
    except _Failed as failed:
        line = _of_training_alone(module, example, axes, program)
        raise (_Failed([f"{failed.obstacles[0]} ({line})"], 0.0) if line else failed) from None
    if SORTED in model.notes and min(axes) >= 0:
        others = _of_other_lengths(tensors, axes)
        _compare_numbers(called, model, others, axes, times, any_order=True)
    tops = _tops(called, tensors)
    for others in _made_up(program, tensors, tops):
        _compare_made_up(called, model, others, axes, times)
    try:
        others = _of_one_step(program, tensors, tops, axes)
        _compare_made_up(called, model, others, axes, times)
    except _Failed:
        return [_OF_ONE_STEP]
    return []


def _of_training_alone(
    module: nn.Module,
    example: _Example,
    axes: Sequence[int],
    program: torch.export.ExportedProgram,
) -> str:
    """Return the first line of a module that computes something where it trains alone, if any."""
    try:
        fixed = -1 in axes
        evaluated, _ = _export(module, example, axes, free=_NONE, fixed=fixed, trains=False)
    except Exception:  # it goes a way there that cannot be exported
        return ""
    lines, others = (
        [_line(node.meta.get("stack_trace") or "") for node in some.graph.nodes]
        for some in (program, evaluated)
    )
    # What PyTorch itself puts in, as sizes of rows, has a place without code.
    return next((n for n in lines if n not in others and not n.endswith(": ")), "")


# What zoneout does by the book, and how to write it.
_OF_A_MEAN = (
    "; where it has the mean there of what training chooses by chance (zoneout), write old + "
    "(1 - rate) * F.dropout(new - old, rate, self.training) for both; numbers that are kept by "
    "chance in training alone are divided by how likely that is"
)


def _compare_numbers(
    called: _Called,
    model: Model,
    tensors: Sequence[torch.Tensor],
    axes: Sequence[int],
    times: int,
    *,
    any_order: bool = False,
) -> None:
    """Refuse a model that puts out other numbers than its module where it does not train."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = [_numbers(called, tensors) for _ in range(times)]
        found = _predicted(model, tensors, axes)
    except Exception:  # these do not run as they are, by the one or the other
        return
    for y, wanted, *again in zip(found, *runs, strict=False):
        if wanted is None or not all(np.array_equal(wanted, v, equal_nan=True) for v in again):
            continue  # it draws random numbers there, too
        if y.size != wanted.size:
            raise _Failed([f"the module puts out {wanted.shape}, and not {y.shape}"], 0.0)
        if not _is_of_rows(y, wanted, axes, any_order=any_order):
            when = "of rows in another order" if any_order else "in eval mode"
            more = _OF_A_MEAN if model.stochastic and not any_order else ""
            raise _Failed([f"the module computes something else {when}{more}"], 0.0)


def _compare_made_up(
    called: _Called,
    model: Model,
    tensors: Sequence[torch.Tensor],
    axes: Sequence[int],
    times: int,
) -> None:
    """Refuse a model that puts out other numbers than its module of inputs that are made up.

    Numbers that are not finite say nothing, nor do those that hang on how the inputs are rounded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = _numbers(called, tensors)
            found = _predicted(model, tensors, axes)
    except Exception:  # what is made up is not for this module, or not for the model
        return
    any_order = SORTED in model.notes
    differ = [
        not _is_of_rows(y, wanted, axes, any_order=any_order)
        for y, wanted in zip(found, one, strict=False)
        if wanted is not None
    ]
    if not any(differ):
        return
    near = [_moved_a_little(t) for t in tensors]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inputs = [*[tensors] * times, near, near]
            others = [_numbers(called, some) for some in inputs]
    except Exception:
        return
    for y, wanted, *again in zip(found, one, *others, strict=False):
        if wanted is None or not np.isfinite(wanted).all():
            continue
        steady = all(v.shape == wanted.shape and _near(v, wanted, 1e-3) for v in again)
        if steady and not _is_of_rows(y, wanted, axes, any_order=any_order):
            text = "the module computes something else in eval mode, of other inputs than these"
            raise _Failed([text], 0.0)


def _numbers(called: _Called, tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Return the numbers that a module puts out where it does not train; None is for complex."""
    found = [v.detach() for v in _put_out(called, tensors) if _is_tensor(v)]
    return [None if v.is_complex() else v.double().resolve_neg().numpy() for v in found]


def _predicted(model: Model, tensors: Sequence[torch.Tensor], axes: Sequence[int]) -> list[Any]:
    """Return what a model puts out of the inputs of its module."""
    x = [
        np.moveaxis(t.detach().numpy(), at, 0) if at >= 0 else t.detach().numpy()[np.newaxis]
        for t, at in zip(tensors, axes, strict=True)
    ]
    found: list[Any] = pytree.tree_leaves(model.predict(x if len(x) > 1 else x[0]))
    return found


def _is_of_rows(found: Any, wanted: Any, axes: Sequence[int], *, any_order: bool) -> bool:
    """Whether numbers are those that a module puts out, with the rows on some axis."""
    near = [
        _are_near(found, moved, any_order=any_order)
        for at in range(wanted.ndim)
        if (moved := np.moveaxis(wanted, at, 0)).shape == found.shape
    ]
    if -1 in axes and found.size == wanted.size:
        near.append(_near(found.reshape(wanted.shape), wanted))
    return any(near) if near else found.size == wanted.size


def _made_up(
    program: torch.export.ExportedProgram,
    tensors: Sequence[torch.Tensor],
    tops: Sequence[int | None],
) -> Iterator[list[torch.Tensor]]:
    """Yield inputs beside the example: of other lengths where these are open, and other numbers.

    A module that does something else in training mode may not do so for the example.
    """
    longer, shorter = (_shapes(program, tensors, change) for change in (_longer, _shorter))
    same = [[*tensor.shape] for tensor in tensors]
    chance = torch.Generator().manual_seed(0)
    for shapes, how in (
        (longer, 1.0),
        (shorter, 10.0),
        (same, 1000.0),
        (same, 0.0),
        (longer, None),
        (shorter, None),
    ):
        yield _of_shapes(tensors, shapes, how, tops, chance)


def _of_one_step(
    program: torch.export.ExportedProgram,
    tensors: Sequence[torch.Tensor],
    tops: Sequence[int | None],
    axes: Sequence[int],
) -> list[torch.Tensor]:
    """Return inputs of as many rows, and length 1 where lengths are open.

    An export takes all that are open for longer.
    """
    shapes = _shapes(program, tensors, lambda length: 1)
    for shape, tensor, at in zip(shapes, tensors, axes, strict=True):
        if at >= 0:
            shape[at] = tensor.shape[at]
    chance = torch.Generator().manual_seed(0)
    return _of_shapes(tensors, shapes, 1.0, tops, chance)


def _of_shapes(
    tensors: Sequence[torch.Tensor],
    shapes: Sequence[Sequence[int]],
    how: float | None,
    tops: Sequence[int | None],
    chance: torch.Generator,
) -> list[torch.Tensor]:
    """Return inputs like those of an example, of other shapes and numbers."""
    made = [
        _filled(tensor, shape, how, top, chance)
        for tensor, shape, top in zip(tensors, shapes, tops, strict=True)
    ]
    return [
        now if top is not None else _lengths_within(now, given, tensors, made, chance)
        for now, given, top in zip(made, tensors, tops, strict=True)
    ]


def _filled(
    tensor: torch.Tensor,
    shape: Sequence[int],
    scale: float | None,
    top: int | None,
    chance: torch.Generator,
) -> torch.Tensor:
    """Return numbers like those of an example, so many times as large; None is for the same ones.

    Of a scale of 0 some are zeros.
    """
    given = tensor.detach().reshape(-1)
    places = torch.randint(len(given), tuple(shape), generator=chance)
    if scale is None or (top is None and not tensor.is_floating_point()):
        return given[places]
    if top is not None:
        found = torch.randint(top, tuple(shape), generator=chance)
    else:
        found = torch.randn(tuple(shape), generator=chance) * (scale or 1.0)
    if scale == 0:
        zeros = torch.rand((*shape[:2], *[1] * len(shape[2:])), generator=chance) < 0.5
        found = found.masked_fill(zeros, 0)
    return found.to(tensor.dtype)


def _lengths_within(
    lengths: torch.Tensor,
    given: torch.Tensor,
    tensors: Sequence[torch.Tensor],
    made: Sequence[torch.Tensor],
    chance: torch.Generator,
) -> torch.Tensor:
    """Return whole numbers, one a row, that are no larger than there are steps if they were not.

    One is all steps, and they are in order, if it is so in the example.
    """
    if given.ndim != 1 or given.dtype not in (torch.int32, torch.int64):
        return lengths
    longest = int(given.max())
    both = (zip(t.shape, now.shape, strict=True) for t, now in zip(tensors, made, strict=True))
    was, steps = min((p for pairs in both for p in pairs if p[0] >= longest), default=(0, 0))
    if was != longest:
        return lengths.clamp(max=steps) if was else lengths
    found = torch.randint(1, steps + 1, lengths.shape, generator=chance)
    found[-1] = steps
    if bool((given.diff() <= 0).all()):
        found = found.sort(descending=True).values
    return found.to(lengths.dtype)


def _moved_a_little(tensor: torch.Tensor) -> torch.Tensor:
    """Return numbers next to some, so that none are equal that are so by chance."""
    if not tensor.is_floating_point():
        return tensor
    size = tensor.abs().max().clamp(min=1.0) if tensor.numel() else 1.0
    return tensor + 1e-6 * size * torch.randn(tensor.shape)


def _tops(called: _Called, tensors: Sequence[torch.Tensor]) -> list[int | None]:
    """Return below which number those of each input may be, if they are whole and of a table.

    One number a row that is no larger than there are steps may be how many the row has.
    """
    longest = max(n for tensor in tensors for n in tensor.shape)
    tables = {len(p) for p in called.module.parameters() if p.ndim == 2}
    sizes = sorted(tables, reverse=True)[:_MOST_TABLES]
    found: list[int | None] = []
    for place, tensor in enumerate(tensors):
        whole = tensor.dtype in (torch.int32, torch.int64)
        found.append(None)
        for size in sizes if whole and tensor.numel() else []:
            if tensor.ndim == 1 and size <= longest + 1:
                break
            others = [torch.full_like(t, size - 1) if t is tensor else t for t in tensors]
            with suppress(Exception), warnings.catch_warnings():  # it is not of that table
                warnings.simplefilter("ignore")
                _put_out(called, others)
                found[place] = size
                break
    return found


def _shapes(
    program: torch.export.ExportedProgram,
    tensors: Sequence[torch.Tensor],
    change: Callable[[int], int],
) -> list[list[int]]:
    """Return the shapes of inputs with what is open made longer or shorter."""
    names = program.graph_signature.user_inputs
    told = [n.meta["val"].shape for n in program.graph.nodes if n.name in names]
    return [
        [change(n) if _open(_length(m)) else n for n, m in zip(t.shape, some, strict=True)]
        for t, some in zip(tensors, told, strict=True)
    ]


def _longer(length: int) -> int:
    """Return more than a length; of a long one little, for attention goes by its square."""
    return max(length + 1, min(3 * length + 7, _LONG))


def _shorter(length: int) -> int:
    return max(2, length // 2)


def _of_other_lengths(tensors: Sequence[torch.Tensor], axes: Sequence[int]) -> list[torch.Tensor]:
    """Return rows the other way round, and lengths of which there is one alone made different."""
    found = []
    for tensor, at in zip(tensors, axes, strict=True):
        other = tensor.detach()
        if other.ndim == 1 and not other.is_floating_point() and len(other.unique()) == 1:
            other = (other - torch.arange(len(other))).clamp(min=1)
        found.append(other.flip(at))
    return found


def _are_near(found: Any, wanted: Any, *, any_order: bool) -> bool:
    """Whether numbers are the same, by rows in their order or each as some other."""
    if not any_order:
        return _near(found, wanted)
    return all(any(_near(one, other) for one in found) for other in wanted)


def _put_out(called: _Called, tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Return what a module puts out where it does not train; what it keeps stays as it was."""
    with _training(called.module, on=False):
        made: list[Any] = pytree.tree_leaves(called(*(t.clone() for t in tensors)))
    return made


def _decides(called: nn.Module, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a module computes something else where other numbers are drawn outside PyTorch."""

    def outputs() -> list[Any]:
        torch.manual_seed(0)
        return [v.detach().numpy() for v in _put_out(called, tensors) if _is_tensor(v)]

    def differ(one: list[Any], other: list[Any]) -> bool:
        pairs = zip(one, other, strict=False)
        return len(one) != len(other) or any(
            not np.array_equal(a, b, equal_nan=True) for a, b in pairs
        )

    def where() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]  # noqa: NPY002

    def seeded(seed: int) -> tuple[Any, ...]:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - what a module may draw from
        return where()

    started = seeded(0)
    first = outputs()
    if started == where():
        return False
    for number in (0.0, ALMOST_1):
        with mock.patch.object(random, "random", lambda number=number: number):
            if differ(first, outputs()):
                return True
    return any(seeded(seed) and differ(first, outputs()) for seed in range(1, _SEEDS))


def _near(found: Any, wanted: Any, share: float = 0.01) -> bool:
    """Whether numbers are the same but for how they were rounded."""
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = max(float(finite.max(initial=0.0)), 1e-4)  # what is rounded of zeros is no larger
    return bool(np.allclose(found, wanted, rtol=0, atol=share * scale, equal_nan=True))


def _takes_time_first(module: nn.Module) -> bool:
    """Whether some part has the batch on the second axis."""
    kinds = (nn.RNNBase, nn.MultiheadAttention, nn.RNNCellBase)
    return any(
        isinstance(part, kinds) and not getattr(part, "batch_first", False)
        for part in module.modules()
    )


def _placements(tensors: Sequence[torch.Tensor]) -> Iterator[tuple[int, ...]]:
    """Yield on which axis each input may have the batch: the first, or the second of some.

    As many rows everywhere come before one in some place and more in others.
    """
    options = [(0, 1) if tensor.ndim > 1 else (0,) for tensor in tensors]
    found = []
    for axes in islice(choices(*options), _MOST_PLACEMENTS):
        lengths = {t.shape[at] for t, at in zip(tensors, axes, strict=True)}
        if len(lengths - {1}) <= 1:
            found.append((len(lengths), sum(axes), axes))
    yield from (axes for _, _, axes in sorted(found)[:_TRIED])


def _of_one_row(module: nn.Module, tensors: Sequence[torch.Tensor]) -> list[tuple[int, ...]]:
    """Return where inputs have their batch if the module takes one row: -1 is for no axis.

    Recurrent layers have one for states, and what is given of them as well.
    """
    if not any(isinstance(part, (nn.RNNBase, nn.RNNCellBase)) for part in module.modules()):
        return []
    states = [tensor.ndim > 2 and tensor.shape[1] == 1 for tensor in tensors]
    return [] if all(states) else [tuple(1 if state else -1 for state in states)]


def _why_not_exported(error: Exception) -> str:
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    line = _line("".join(traceback.format_tb(error.__traceback__)))
    at = f" ({line})" if line else ""
    if not isinstance(error, GuardOnDataDependentSymNode):
        return f"torch.export refuses it: {_first_line(error)}{at}"
    return (
        "torch.export refuses it: the module asks for a number of a tensor (.item(), int(), if), "
        "which may be another for each row and sample; compute with the tensor itself, as "
        "torch.where(condition, a, b); the most steps of all rows, lengths.max(), are x.size(1) "
        "here; layers are left out by chance by torch.where(keep, "
        f"layer(x), x) with keep = F.dropout(torch.ones(()), rate, self.training) > 0{at}"
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]


class _Failed(Exception):  # noqa: N818 - it never leaves this file
    """A placement of the batch that leads to obstacles; `rank` says how near it came."""

    def __init__(self, obstacles: list[str], rank: float, *, misplaced: bool = False) -> None:
        super().__init__(obstacles)
        self.obstacles = obstacles
        self.rank = rank
        self.misplaced = misplaced


class _Conversion:
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
        self.dtypes: dict[str, str] = {}  # of those of whole numbers or truths

    def model(self) -> Model:
        self._constants()
        self.obstacles += other_ways(self.program)
        nodes = [*self.program.graph.nodes]
        try:
            self._run(nodes)
            outputs = self._outputs(nodes[-1])
        except Exception as error:  # as of lengths that are left open: of others it may go
            self.obstacles.append(f"something was not expected here ({_first_line(error)})")
        if self.obstacles:
            rank = (1.5 if self.misplaced else 1.0) - 1 / (1 + len(self.obstacles))
            # Where each row is taken by itself, rows are what are steps elsewhere.
            every = set(range(self.builder.rows or 0))
            one_by_one = bool(every) and every <= self.builder.taken_rows
            misplaced = self.misplaced or one_by_one
            raise _Failed([*dict.fromkeys(self.obstacles)], rank, misplaced=misplaced)
        calls = self.builder.trimmed([name for name, _ in outputs])
        if not calls:
            raise _Failed(["no output is computed of the input"], 1.0)
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
            raise _Failed([str(error)], 1.0) from error

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
            _length(n.meta["val"].shape[at]) if at >= 0 else 1
            for n, at in zip(user, self.axes, strict=True)
        ]
        self.builder.rows = next((n for n in fixed if isinstance(n, int)), None)
        self.builder.single_row = self.builder.rows == 1
        pairs = zip(user, self.axes, strict=True)
        same = same_lengths(self.program, [n.meta["val"].shape[at] for n, at in pairs if at >= 0])
        for node, name, at in zip(user, self.names, self.axes, strict=True):
            value = node.meta["val"]
            lengths = [_length(n, same) for n in value.shape]
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
        needed = _needed(nodes)
        for node in nodes:
            if node.op == "call_function" and node in needed:
                self.values[node] = self._call(node)

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
            lengths = [_length(n) for n in told.shape]
            pairs = [*enumerate(zip(part.shape, lengths, strict=False))]
            known_ones = [
                p for i, p in pairs if i != part.at and all(isinstance(n, int) for n in p)
            ]
            if part.ndim != len(lengths) or any(a != b for a, b in known_ones):
                raise UnsupportedError(f"a tensor of shape {lengths}, of {list(part.shape)}")

    def _refused(self, node: torch.fx.Node, error: Exception) -> Any:
        where = ".".join(filter(None, [_scope(node, "")])) or "the module"
        line = _line(node.meta.get("stack_trace") or "")
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
            if _has_unknown(values[argument.name]):
                raise UnsupportedError(f"{argument.name}: a number that is computed of lengths")
            nodes = given if isinstance(given, (list, tuple)) else [given]
            if any(isinstance(n, torch.fx.Node) and _dtype(n) is torch.bool for n in nodes):
                bools.add(argument.name)
        result = _dtype(node)
        source = node.all_input_nodes[1:2] if "src" in values else node.all_input_nodes[:1]
        whole = bool(source) and _is_whole(_dtype(source[0]))
        floats = result is None or result.is_floating_point or whole
        if result in _NARROW and source and _dtype(source[0]) not in (None, *_NARROW):
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


def _needed(nodes: Sequence[torch.fx.Node]) -> set[torch.fx.Node]:
    """Return what is put out, written into, or computed on the way there; checks need nothing."""
    waiting = [node for node in nodes if node.op == "output" or _writes(node)]
    found = set(waiting)
    while waiting:
        new = set(waiting.pop().all_input_nodes) - found
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


def _has_unknown(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_unknown, value))
    return value is _UNKNOWN


def _length(length: Any, same: Mapping[str, str] = {}) -> Length:
    if isinstance(length, torch.SymInt):
        fixed, name = length.node.maybe_as_int(), str(length)
        return Open.named(same.get(name, name)) if fixed is None else int(fixed)
    return int(length)


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
    name = "" if name == "module" else name.removeprefix("module.")  # that of `_Called`
    return name or otherwise.partition(".")[0].strip("_")


def _line(trace: str) -> str:
    """Return the last line of a trace that is the user's."""
    ours = [os.path.dirname(os.path.abspath(path)) for path in (torch.__file__, __file__)]
    lines = trace.split("\n")
    found = ""
    for place, code in zip(lines, [*lines[1:], ""], strict=True):
        place = place.strip()
        if place.startswith('File "') and not any(map(place.count, ours)):
            path, _, rest = place.removeprefix('File "').partition('"')
            number = rest.removeprefix(", line ").partition(",")[0]
            found = f"{os.path.basename(path)}:{number}: {code.strip()}"
    return found


__all__ = ["from_torch"]

"""What `torch.export` sees of recurrent modules while a module is taken over.

Left alone, it runs through all time steps of a recurrent layer only to find out the shapes of what
comes out, which also fixes their number; and of packed sequences, whose shapes depend on lengths,
it can make nothing. So while a module is exported the operators say their shapes at once, and
packed sequences stay as they were padded, beside their lengths, for the layers here take both.
"""

from __future__ import annotations

import builtins
import random
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch._dynamo.source import TensorPropertySource
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.distributions import Distribution
from torch.fx.experimental.symbolic_shapes import ShapeEnv, statically_known_true
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules import rnn as modules
from torch.nn.modules import transformer
from torch.nn.utils import rnn as packing
from torch.nn.utils.rnn import PackedSequence

from fastdrop.torch._conditions import what_passes

# Two modules cannot be exported at a time: what is put in the place of PyTorch's is so for all.
_LOCK = threading.RLock()
ALMOST_1 = 1 - 2**-53
# Whose code `int` is left alone in.
_LIBRARIES = {*sys.stdlib_module_names, "fastdrop", "numpy", "torch"}
_OPERATORS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@torch.library.custom_op("fastdrop::packed", mutates_args=())
def _packed(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Stand for a sequence (batch, steps, features) of which each row has a length of its own."""
    raise RuntimeError("this operator is exported, it does not run")


@_packed.register_fake
def _(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("fastdrop::padded", mutates_args=())
def _padded(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Stand for a sequence (batch, steps, ...) with zeros behind the length of each row."""
    raise RuntimeError("this operator is exported, it does not run")


@_padded.register_fake
def _(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("fastdrop::max_pool1d", mutates_args=())
def _max_pool1d(
    x: torch.Tensor, kernel_size: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> torch.Tensor:
    """Stand for `torch.max_pool1d`, which fixes how long its input is."""
    raise RuntimeError("this operator is exported, it does not run")


@_max_pool1d.register_fake
def _(
    x: torch.Tensor, kernel_size: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> torch.Tensor:
    extent = dilation * (kernel_size - 1) + 1
    length = (x.shape[-1] + 2 * padding - extent + ceil_mode * (stride - 1)) // stride + 1
    return x.new_empty((*x.shape[:-1], length))


def _whole(x: torch.Tensor, kernel_size: Any, stride: Any, padding: Any) -> bool:
    """Whether a window is as long as what it goes over, which is of an open length."""
    size = kernel_size[0] if isinstance(kernel_size, (tuple, list)) else kernel_size
    if not isinstance(size, torch.SymInt) or padding not in (0, (0,), [0]):
        return False
    return bool(statically_known_true(size == x.shape[-1]))


def _over_all(before: Callable[..., Any], reduced: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of pooling that reduces where a window is over all."""

    def pool(x: torch.Tensor, kernel_size: Any, stride: Any = None, *rest: Any, **more: Any) -> Any:
        padding = rest[0] if rest else more.get("padding", 0)
        if _whole(x, kernel_size, stride, padding):
            return reduced(x)
        return before(x, kernel_size, stride, *rest, **more)

    return pool


def _over_axes(before: Callable[..., Any], reduced: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of pooling over two axes that reduces one over all of which windows are."""

    def pool(x: torch.Tensor, kernel_size: Any, stride: Any = None, *rest: Any, **more: Any) -> Any:
        given = isinstance(kernel_size, (tuple, list)) and len(kernel_size) == 2
        if not given or rest or more or stride is not None:
            return before(x, kernel_size, stride, *rest, **more)
        sizes = [*kernel_size]
        for axis in (-2, -1):
            if _whole(x.transpose(axis, -1), sizes[axis], None, 0):
                x, sizes[axis] = reduced(x, axis), 1
        return x if sizes == [1, 1] else before(x, sizes)

    return pool


def _listed(before: Callable[..., Any]) -> Callable[..., Any]:
    """Return `Tensor.tolist`, which leaves whole numbers that are computed in their tensor."""

    def tolist(self: torch.Tensor) -> Any:
        if self.ndim == 1 and not self.is_floating_point():
            return self
        return before(self)

    return tolist


def _length(before: Callable[..., Any]) -> Callable[..., Any]:
    """Return `len`, which leaves the length of a tensor open."""

    def length(value: Any, /) -> Any:
        if isinstance(value, FakeTensor) and value.ndim:
            return value.shape[0]
        if isinstance(value, (dict, list, tuple)):  # as compilers can follow it
            return value.__len__()
        return before(value)

    return length


class _Whole(type):
    """What `int` is in a module's own code meanwhile: it leaves lengths and numbers open."""

    def __call__(cls, *given: Any, **options: Any) -> Any:
        if len(given) == 1 and isinstance(given[0], (FakeTensor, FunctionalTensor)):
            (value,) = given
            return value.item() if not value.is_floating_point() else int(value)
        # What is asked of these here would not be seen as the module's own condition.
        if len(given) == 1 and isinstance(given[0], (torch.SymInt, torch.SymFloat)):
            return torch.sym_int(given[0])
        if len(given) == 1 and isinstance(given[0], torch.SymBool):
            return torch.sym_ite(given[0], 1, 0)
        return int(*given, **options)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, int)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, int)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is int

    def __hash__(cls) -> int:
        return hash(int)


class _Int(int, metaclass=_Whole):
    pass


def _own_names(module: nn.Module) -> list[dict[str, Any]]:
    """Return the global names of the code of a module's parts, and of what it calls from there."""
    kinds = {kind for part in module.modules() for kind in type(part).__mro__}
    first = [vars(sys.modules[k.__module__]) for k in kinds if k.__module__ in sys.modules]
    called = [value for names in first if _is_own(names) for value in names.values()]
    second = [v.__globals__ for v in called if isinstance(v, FunctionType)]
    second += [vars(v) for v in called if isinstance(v, ModuleType)]
    return [*{id(names): names for names in first + second if _is_own(names)}.values()]


def _is_own(names: dict[str, Any]) -> bool:
    """Whether global names are not those of a library, and leave `int` what it is."""
    library = str(names.get("__name__")).partition(".")[0]
    return library not in _LIBRARIES and "int" not in names


@contextmanager
def _whole_numbers_open(module: nn.Module) -> Iterator[None]:
    """Let `int` of a length or tensor leave it open in a module's own code."""
    own = _own_names(module)
    for names in own:
        names["int"] = _Int
    try:
        yield
    finally:
        for names in own:
            names.pop("int", None)


def _compared(before: Callable[..., Any], compare: Callable[..., Any]) -> Callable[..., Any]:
    """Return `max` or `min`, which leave open what is computed of lengths."""

    def largest(*given: Any, **options: Any) -> Any:
        if len(given) > 1 and any(isinstance(v, (torch.SymInt, torch.SymFloat)) for v in given):
            return reduce(compare, given)
        return before(*given, **options)

    return largest


def _of_one(before: Callable[..., Any], largest: str) -> Callable[..., Any]:
    """Return what `max` or `min` call, also where they are given one tensor of numbers alone."""

    def compare(one: torch.Tensor, *others: Any, **options: Any) -> Any:
        if others or options or one.ndim != 1 or one.is_floating_point():
            return before(one, *others, **options)
        return getattr(one, largest)().item()

    return compare


def _truth(before: Callable[..., Any]) -> Callable[..., Any]:
    """Return `bool` of a tensor, which of one without numbers holds what a check asks of it."""

    def truth(self: torch.Tensor) -> Any:
        frame = sys._getframe(1)
        passes = None
        if isinstance(self, (FakeTensor, FunctionalTensor)):
            passes = what_passes(frame.f_code.co_filename, frame.f_lineno)
        return before(self) if passes is None else passes

    return truth


def _line(before: Callable[..., Any]) -> Callable[..., Any]:
    """Return `torch.linspace`, which leaves the number of steps open."""

    def linspace(start: Any, end: Any, steps: Any, **options: Any) -> Any:
        if not isinstance(steps, torch.SymInt) or options.get("out") is not None:
            return before(start, end, steps, **options)
        dtype = options.pop("dtype", None) or torch.get_default_dtype()
        places = torch.arange(steps, dtype=dtype, **options)
        between = torch.scalar_tensor(steps - 1, dtype=dtype).clamp(min=1)
        return places * ((end - start) / between) + start

    return linspace


def _pool(
    x: torch.Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> torch.Tensor:
    if _whole(x, kernel_size, stride, padding):
        return x.amax(-1, keepdim=True)
    given = (kernel_size, stride or kernel_size, padding, dilation)
    numbers = [n[0] if isinstance(n, (tuple, list)) else n for n in given]
    whole = all(isinstance(n, int) for n in numbers)
    size, step, around, gap = numbers
    # A window that is cut off may begin behind the last place, and is none then.
    if not whole or (ceil_mode and around > gap * (size - 1) + 1 - step):
        return torch.ops.aten.max_pool1d(x, kernel_size, stride or [], padding, dilation, ceil_mode)
    return torch.ops.fastdrop.max_pool1d(x, *numbers, ceil_mode)


# `Tensor.data`, which an export does not see otherwise.
_DATA = property(torch.Tensor.detach, torch.Tensor.data.__set__)


def _fixing(before: Callable[..., None], fixed: dict[tuple[int, int], str]) -> Callable[..., None]:
    """Return what puts numbers in the place of lengths, which keeps where in the code it did."""

    def replace(self: ShapeEnv, symbol: Any, target: Any, *rest: Any) -> None:
        sources = self.var_to_sources.get(symbol, ()) if target.is_number else ()
        for source in sources:
            if isinstance(source, TensorPropertySource):
                base: Any = source.base
                fixed.setdefault((base.index, source.idx), "".join(traceback.format_stack()))
        before(self, symbol, target, *rest)

    return replace


@contextmanager
def shapes_alone(module: nn.Module) -> Iterator[dict[tuple[int, int], str]]:
    """Let recurrent modules say their shapes, for a while.

    What the context gives is filled with where lengths are fixed that were left open: input and
    axis, with a trace.
    """
    fixed: dict[tuple[int, int], str] = {}
    with _LOCK, ExitStack() as stack:
        replaced = _fixing(ShapeEnv._set_replacement, fixed)
        stack.enter_context(_replaced(ShapeEnv, "_set_replacement", replaced))
        # The number of rows or steps stays open, and what is decided by chance falls as in
        # evaluation, where nothing is forced.
        stack.enter_context(_replaced(builtins, "len", _length(builtins.len)))
        stack.enter_context(_whole_numbers_open(module))
        for name, compare in (("max", torch.sym_max), ("min", torch.sym_min)):
            larger = _compared(getattr(builtins, name), compare)
            stack.enter_context(_replaced(builtins, name, larger))
        for name, largest in (("maximum", "max"), ("minimum", "min")):
            stack.enter_context(_replaced(torch, name, _of_one(getattr(torch, name), largest)))
        stack.enter_context(_replaced(random, "random", lambda: ALMOST_1))
        stack.enter_context(_replaced(torch.Tensor, "__bool__", _truth(torch.Tensor.__bool__)))
        for name in _OPERATORS:
            stack.enter_context(_shapes_of(getattr(torch.ops.aten, name).input))
        for kind in (nn.LSTM, nn.GRU, nn.RNN):
            stack.enter_context(_replaced(kind, "forward", _forward(kind.forward)))
        stack.enter_context(_replaced(packing, "_VF", _Padded()))
        # By its code, for modules have imported the function.
        packed = pack_padded_sequence.__code__
        stack.enter_context(_replaced(packing.pack_padded_sequence, "__code__", packed))
        stack.enter_context(_replaced(torch, "max_pool1d", _pool))
        stack.enter_context(_replaced(torch, "linspace", _line(torch.linspace)))
        means = _over_all(F.avg_pool1d, lambda x: x.mean(-1, keepdim=True))
        stack.enter_context(_replaced(F, "avg_pool1d", means))
        for name, reduced in (("avg_pool2d", torch.mean), ("max_pool2d", torch.amax)):
            over = partial(reduced, keepdim=True)
            stack.enter_context(_replaced(F, name, _over_axes(getattr(F, name), over)))
        # Lengths are handed over as a list: as a tensor they stay what comes in.
        for kind in (FakeTensor, FunctionalTensor):
            stack.enter_context(_replaced(kind, "tolist", _listed(kind.tolist)))
        # What is read from it stays part of what is computed.
        stack.enter_context(_replaced(torch.Tensor, "data", _DATA))
        # Products would be taken in an order that fixes lengths.
        stack.enter_context(_replaced(torch.backends.opt_einsum, "enabled", False))
        # Distributions look at numbers for whether they may have such.
        stack.enter_context(_replaced(Distribution, "_validate_args", False))
        # Whether a mask is causal is looked for in its numbers, for kernels that know such.
        stack.enter_context(_replaced(transformer, "_detect_is_causal_mask", _said_causal))
        yield fixed


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _shapes_of(op: Any) -> Iterator[None]:
    """Let a recurrent operator only say the shapes of what it makes."""
    before = dict(op.py_kernels)
    for key in before:
        op.py_kernels[key] = _shapes
    op._dispatch_cache.clear()
    try:
        yield
    finally:
        op.py_kernels.update(before)
        op._dispatch_cache.clear()


def _shapes(
    x: torch.Tensor,
    hx: Any,
    params: Any,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[torch.Tensor, ...]:
    states = [hx] if isinstance(hx, torch.Tensor) else [*hx]
    features = params[0].shape[1]
    if x.shape[-1] != features:  # which also fixes that length
        raise ValueError(f"expected {features} features, got {x.shape[-1]}")
    shape = (*x.shape[:-1], states[0].shape[-1] * (1 + bidirectional))
    if batch_first:  # the output lies steps first all the same
        output = x.new_empty((shape[1], shape[0], shape[2])).transpose(0, 1)
    else:
        output = x.new_empty(shape)
    return (output, *(h.new_empty(h.shape) for h in states))


def _forward(before: Callable[..., Any]) -> Callable[..., Any]:
    """Return the forward function of a recurrent module, for sequences that are not packed."""

    def forward(self: Any, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, PackedSequence):
            return before(self, input, hx)
        x, sizes, order, back = input
        lengths = sizes[0]
        x = _laid_out(x, lengths)
        count = self.num_layers * (2 if self.bidirectional else 1)
        pair = self.mode == "LSTM"
        widths = [getattr(self, "proj_size", 0) or self.hidden_size, self.hidden_size][: 1 + pair]
        if hx is None:
            states = [x.new_zeros((count, x.size(0), n)) for n in widths]
            hx = tuple(states) if pair else states[0]
        else:
            for state, width in zip(hx if pair else [hx], widths, strict=True):
                if (state.shape[0], state.shape[2]) != (count, width):  # which also fixes them
                    expected = f"({count}, rows, {width})"
                    raise ValueError(f"expected initial states {expected}, got {state.shape}")
            hx = self.permute_hidden(hx, order)
        name = self.mode.lower()
        found = getattr(modules._VF, name)(
            torch.ops.fastdrop.packed(x, lengths),
            hx,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            True,
        )
        final = found[1:] if pair else found[1]
        made = PackedSequence(found[0].flatten(0, 1), sizes, order, back)
        return made, self.permute_hidden(final, back)

    return forward


def _laid_out(data: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return what is packed as (batch, steps, ...)."""
    rows = lengths.shape[0]
    return data.view(rows, data.shape[0] // rows, *data.shape[1:])


def _said_causal(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
    """Return whether a mask is said to be causal; that it is there is enough otherwise."""
    return is_causal is True


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack rows without sorting them, for none is taken before another here.

    It runs among the names of PyTorch's module.
    """
    lengths = torch.as_tensor(lengths).to(torch.int64)
    data, sizes = _VF._pack_padded_sequence(input, lengths, batch_first)  # type: ignore[name-defined]  # noqa: F821
    return PackedSequence(data, sizes)


class _Padded:
    """What packs sequences: all steps of a row, and then those of the next, beside lengths."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch._VF, name)

    @staticmethod
    def _pack_padded_sequence(
        x: torch.Tensor, lengths: torch.Tensor, batch_first: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # One matrix row, for a sequence may not be padded to fewer steps than there are sizes.
        x = x if batch_first else x.transpose(0, 1)
        torch._check(lengths.shape[0] == x.shape[0])
        return x.flatten(0, 1), lengths.unsqueeze(0)

    @staticmethod
    def _pad_packed_sequence(
        x: torch.Tensor, sizes: torch.Tensor, batch_first: bool, value: float, length: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.ops.fastdrop.padded(_laid_out(x, sizes[0]), sizes[0])
        x = x.transpose(0, 1).contiguous().transpose(0, 1)  # as it lies in PyTorch
        if value != 0:
            behind = torch.arange(x.size(1)) >= sizes[0].unsqueeze(1)
            x = x.masked_fill(behind.view(*behind.shape, *[1] * (x.ndim - 2)), value)
        return (x if batch_first else x.transpose(0, 1)), sizes[0]

"""Modules of PyTorch, what they are called with, and leaving them as they were."""

from __future__ import annotations

import inspect
import random
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.utils import _pytree as pytree

from fastdrop import _check

NARROW = (torch.float16, torch.bfloat16)
# What a module may be called with beside tensors.
_SAME_IN_ALL_CALLS = (bool, int, float, str, type(None))
_EXPECTED = "a tensor, or a tuple or dict of tensors"


@dataclass(frozen=True)
class Example:
    """What a module is called with: tensors by their names, among what stays the same."""

    tensors: list[torch.Tensor]
    names: list[str]
    # All that is handed over, tensors and others, and how these are put together.
    leaves: list[Any]
    layout: pytree.TreeSpec

    @classmethod
    def of(cls, module: nn.Module, given: Any) -> Example:
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


class Called(nn.Module):
    """A module, called with tensors alone."""

    def __init__(self, module: nn.Module, example: Example) -> None:
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


def check_module(module: nn.Module) -> None:
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
def training(module: nn.Module, *, on: bool = True) -> Iterator[_Held]:
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


def put_out(called: Called, tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Return what a module puts out where it does not train; what it keeps stays as it was."""
    with training(called.module, on=False):
        made: list[Any] = pytree.tree_leaves(called(*(t.clone() for t in tensors)))
    return made


@contextmanager
def chance_left() -> Iterator[None]:
    """Leave the numbers that come next as they would have been, whatever a module draws."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng([]):
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


def draws_numbers(module: nn.Module, example: Example) -> bool:
    """Whether a module draws numbers of PyTorch where it does not train."""
    before = torch.get_rng_state()
    with suppress(Exception), warnings.catch_warnings():  # the example may not run as it is
        warnings.simplefilter("ignore")
        put_out(Called(module, example), example.tensors)
    return not torch.equal(before, torch.get_rng_state())


def shortens(module: nn.Module) -> bool:
    """Whether a call changes a module's weights, as that of an embedding with a largest norm."""
    return any(getattr(part, "max_norm", None) is not None for part in module.modules())


def kept_from_call_to_call(
    module: nn.Module, example: Example, program: torch.export.ExportedProgram
) -> list[str]:
    """Return the attributes of a module that a call reads and then writes, or writes into."""
    own = (*module.buffers(), *module.parameters())
    read = _pointers([*program.constants.values(), *own])
    if not read or shortens(module):
        return []
    with training(module, on=False) as before, warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        Called(module, example)(*(tensor.clone() for tensor in example.tensors))
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


def _held_by(
    attributes: dict[str, Any], kinds: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, Any]]:
    """Yield what a module holds under names of its own, as it was."""
    yield from ((name, value) for name, value in attributes.items() if name not in _OF_MODULES)
    yield from (*kinds["_buffers"].items(), *kinds["_parameters"].items())


def _pointers(value: Any) -> set[int]:
    """Return where in memory the numbers of all tensors of something begin."""
    return {v.data_ptr() for v in filter(is_tensor, pytree.tree_leaves(value))}


def is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)

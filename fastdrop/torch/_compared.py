"""Models beside the modules that they are made from: whether the numbers are the same."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from fastdrop.formats._numbers import SORTED
from fastdrop.model import Model
from fastdrop.torch._called import NARROW, Called, Example, is_tensor, put_out, shortens
from fastdrop.torch._exported import NONE, Failed, exported, line_of
from fastdrop.torch._made_up import (
    filled_like,
    longer_than,
    made_up_inputs,
    moved_a_little,
    of_one_step,
    of_other_lengths,
    tops_of,
)
from fastdrop.torch._tracing import ALMOST_1

# How often a module is called that draws numbers, and with how many seeds outside PyTorch.
SEEDS = 16
_OF_ONE_STEP = "of a single step the module computes something else than here"
# What zoneout does by the book, and how to write it.
_OF_A_MEAN = (
    "; where it has the mean there of what training chooses by chance (zoneout), write old + "
    "(1 - rate) * F.dropout(new - old, rate, self.training) for both; numbers that are kept by "
    "chance in training alone are divided by how likely that is"
)


def check_numbers(
    module: nn.Module,
    model: Model,
    example: Example,
    axes: Sequence[int],
    program: torch.export.ExportedProgram,
    times: int,
) -> list[str]:
    """Refuse a module that computes something else where it does not train.

    It is called so many times, for it may draw numbers: what differs then is not compared. What is
    to be known of other lengths is returned.
    """
    tensors = example.tensors
    called = Called(module, example)
    if any(part.dtype in NARROW for part in (*module.parameters(), *tensors)):
        return []  # PyTorch's own numbers are rounded
    if shortens(module):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decided = _decides(called, tensors)
    except Exception:  # the example does not run as it is
        decided = False
    if decided:
        text = "the module decides by numbers of Python's random or NumPy's, which differ from call"
        raise Failed([f"{text} to call; say how in what it is called with"], 0.0)
    try:
        _compare_numbers(called, model, tensors, axes, times)
    except Failed as failed:
        line = _of_training_alone(module, example, axes, program)
        raise (Failed([f"{failed.obstacles[0]} ({line})"], 0.0) if line else failed) from None
    if SORTED in model.notes and min(axes) >= 0:
        others = of_other_lengths(tensors, axes)
        _compare_numbers(called, model, others, axes, times, any_order=True)
    tops = tops_of(called, tensors)
    for others in made_up_inputs(program, tensors, tops):
        _compare_made_up(called, model, others, axes, times)
    try:
        others = of_one_step(program, tensors, tops, axes)
        _compare_made_up(called, model, others, axes, times)
    except Failed:
        return [_OF_ONE_STEP]
    return []


def _of_training_alone(
    module: nn.Module,
    example: Example,
    axes: Sequence[int],
    program: torch.export.ExportedProgram,
) -> str:
    """Return the first line of a module that computes something where it trains alone, if any."""
    try:
        fixed = -1 in axes
        evaluated, _ = exported(module, example, axes, free=NONE, fixed=fixed, trains=False)
    except Exception:  # it goes a way there that cannot be exported
        return ""
    lines, others = (
        [line_of(node.meta.get("stack_trace") or "") for node in some.graph.nodes]
        for some in (program, evaluated)
    )
    # What PyTorch itself puts in, as sizes of rows, has a place without code.
    return next((n for n in lines if n not in others and not n.endswith(": ")), "")


def _compare_numbers(
    called: Called,
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
            raise Failed([f"the module puts out {wanted.shape}, and not {y.shape}"], 0.0)
        if not _is_of_rows(y, wanted, axes, any_order=any_order):
            when = "of rows in another order" if any_order else "in eval mode"
            more = _OF_A_MEAN if model.stochastic and not any_order else ""
            raise Failed([f"the module computes something else {when}{more}"], 0.0)


def _compare_made_up(
    called: Called,
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
    near = [moved_a_little(t) for t in tensors]
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
            raise Failed([text], 0.0)


def why_fixed(
    module: nn.Module,
    example: Example,
    axes: Sequence[int],
    closed: Mapping[tuple[int, int], str],
) -> list[str]:
    """Return what fixes lengths of which the module itself takes others, with the line."""
    found = []
    called, tensors = Called(module, example), example.tensors
    for (place, axis), trace in closed.items():
        length = tensors[place].shape[axis]
        if axis == axes[place] or not _takes_longer(called, tensors, axis, length):
            continue
        line = line_of(trace)
        text = f"torch.export, which fixes axis {axis} of input {example.names[place]!r}"
        found.append(f"{text} ({line})" if line else text)
    return found


def _takes_longer(called: Called, tensors: Sequence[torch.Tensor], axis: int, length: int) -> bool:
    """Whether a module takes inputs that are longer along an axis, all that are as long there."""
    chance = torch.Generator().manual_seed(0)
    longer = []
    for tensor in tensors:
        shape = [*tensor.shape]
        if axis < len(shape) and shape[axis] == length:
            shape[axis] = longer_than(length)
        longer.append(filled_like(tensor, shape, None, None, chance))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            put_out(called, longer)
    except Exception:  # whatever the module's own code raises
        return False
    return True


def _decides(called: nn.Module, tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a module computes something else where other numbers are drawn outside PyTorch."""

    def outputs() -> list[Any]:
        torch.manual_seed(0)
        return [v.detach().numpy() for v in put_out(called, tensors) if is_tensor(v)]

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
    return any(seeded(seed) and differ(first, outputs()) for seed in range(1, SEEDS))


def _numbers(called: Called, tensors: Sequence[torch.Tensor]) -> list[Any]:
    """Return the numbers that a module puts out where it does not train; None is for complex."""
    found = [v.detach() for v in put_out(called, tensors) if is_tensor(v)]
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


def _are_near(found: Any, wanted: Any, *, any_order: bool) -> bool:
    """Whether numbers are the same, by rows in their order or each as some other."""
    if not any_order:
        return _near(found, wanted)
    return all(any(_near(one, other) for one in found) for other in wanted)


def _near(found: Any, wanted: Any, share: float = 0.01) -> bool:
    """Whether numbers are the same but for how they were rounded."""
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = max(float(finite.max(initial=0.0)), 1e-4)  # what is rounded of zeros is no larger
    return bool(np.allclose(found, wanted, rtol=0, atol=share * scale, equal_nan=True))

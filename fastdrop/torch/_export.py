"""From a module of PyTorch to a model, through `torch.export`."""

from __future__ import annotations

from typing import Any

from torch import nn

from fastdrop import _check
from fastdrop.formats import ModelFormatError
from fastdrop.model import Model
from fastdrop.torch._called import (
    Example,
    chance_left,
    check_module,
    draws_numbers,
    kept_from_call_to_call,
)
from fastdrop.torch._compared import SEEDS, check_numbers, why_fixed
from fastdrop.torch._conversion import Conversion
from fastdrop.torch._exported import (
    EVERY,
    NONE,
    Failed,
    exported,
    of_one_row,
    placements,
    single_axes,
    takes_time_first,
    why_not_exported,
)

_FIXED = "lengths are those of the examples; what allows no others: "
_DRAWS = (
    "the module draws random numbers in eval mode, too; here predict draws none, mc_predict does"
)


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
    example = Example.of(module, example_inputs)
    check_module(module)
    with chance_left():
        model = _converted(module, example)
    return model if rates is None else model.with_rates(rates)


def _converted(module: nn.Module, example: Example) -> Model:
    """Return the model of a module, trying where its inputs have their batch."""
    tensors = example.tensors
    failures: list[Failed] = []
    elsewhere = takes_time_first(module)
    draws = draws_numbers(module, example)
    in_front = False
    for axes in [*placements(tensors), *of_one_row(module, tensors)]:
        if any(axes) and in_front and not elsewhere:
            break
        in_front |= not any(axes)
        waiting = [(EVERY, False), (NONE, False)]
        if -1 in axes:
            waiting = [(EVERY, True), (NONE, True)]
        opened: Failed | None = None
        while waiting:
            free, fixed = waiting.pop(0)
            try:
                program, closed = exported(module, example, axes, free=free, fixed=fixed)
            except Exception as error:  # export raises whatever the module's own code does
                failures.append(Failed([why_not_exported(error)], 2.0))
                opened = opened or failures[-1]
                elsewhere |= len(tensors) > 1  # of which one may have been given other rows
                if free == NONE and not fixed:  # the module may be for so many rows alone
                    waiting += [(EVERY, True), (NONE, True)]
                continue
            try:
                conversion = Conversion(module, program, axes, example.names)
                conversion.notes += [
                    f"the module keeps {name!r} from call to call; here each begins with what it "
                    "holds now"
                    for name in kept_from_call_to_call(module, example, program)
                ]
                if fixed and -1 not in axes:
                    rows = tensors[0].shape[axes[0]]
                    conversion.notes.append(f"the module is for {rows} rows; here there may be any")
                whys = why_fixed(module, example, axes, closed)
                if free == NONE and opened is not None:
                    whys = [opened.obstacles[0]]
                conversion.notes += [_FIXED + why for why in whys]
                conversion.notes += [_DRAWS] if draws else []
                model = conversion.model()
                walks = conversion.builder.walks
                if free.start is not None and walks and all(isinstance(n, int) for n in walks):
                    continue  # an axis is open that no time steps are on
                times = SEEDS if draws else 1
                return model._noted(check_numbers(module, model, example, axes, program, times))
            except Failed as failed:
                failures.append(failed)
                opened = opened or failed
                elsewhere |= failed.misplaced
                if free == EVERY and not failed.misplaced:
                    waiting[:0] = [(one, fixed) for one in single_axes(program, axes)]
    if not failures:
        failures.append(Failed(["example inputs of different numbers of rows"], 1.0))
    # Of equals the one with the fewest lengths left open, which stand in nobody's way.
    best = min(reversed(failures), key=lambda failed: failed.rank)
    raise ModelFormatError.of(best.obstacles).within(type(module).__name__)


__all__ = ["from_torch"]

"""Rows of activations that stand as layers."""

from __future__ import annotations

from typing import Any

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import Node, Record
from fastdrop.formats.keras._rows import (
    Option,
    Row,
    Tensor,
    activation,
    layer_activation,
    one_input,
    refuse_arguments,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Activation, PReLU, Softmax


def _function(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say which activation the layer is, with its parameters."""
    return {"activation": layer_activation(record.class_name, record.config, version)}


def _axes(config: Section, key: str, version: Version) -> tuple[int, ...]:
    value = config.values.get(key, -1)
    axes = value if isinstance(value, list) else [value]
    if not axes or not all(type(n) is int and n != 0 for n in axes):
        raise config.wrong(key, "axes other than 0, the axis of the batch")
    return tuple(n - 1 if n > 0 else n for n in axes)


def _shared(config: Section, key: str, version: Version) -> tuple[int, ...]:
    value = config.values.get(key)
    axes = [] if value is None else value if isinstance(value, list) else [value]
    if not all(type(n) is int and n != 0 for n in axes):
        raise config.wrong(key, "null or axes other than 0, the axis of the batch")
    return tuple(n - 1 if n > 0 else n for n in axes)


def _with_mask(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take the input and, if it is given, a mask of the same shape."""
    kwargs = dict(node.kwargs)
    mask = kwargs.pop("mask", node.args[1] if len(node.args) == 2 else None)
    tensors, more = one_input(Node(node.args[:1], {}), record)
    refuse_arguments(kwargs, record.where)
    if mask is not None and not isinstance(mask, Tensor):
        raise ModelFormatError(f"{record.where}: mask: expected a tensor, found {show(mask)}")
    return tensors if mask is None else [*tensors, mask], more


def _by_rule(config: Section, key: str, version: Version) -> None:
    """Leave an option to the rule, which reads all of them."""


def _zeros(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say whether what is masked becomes zero, also where all of a row is."""
    return options | {"zeros_masked": version >= (3, 10)}


_PARAMETERS = {
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "LeakyReLU": ("alpha", "negative_slope"),
    "ELU": ("alpha",),
    "ThresholdedReLU": ("theta",),
}

ROWS = (
    Row("Activation", Activation, (Option("activation", activation()),)),
    *(
        Row(name, Activation, tuple(Option(key, _by_rule, "") for key in keys), rule=_function)
        for name, keys in _PARAMETERS.items()
    ),
    Row(
        "Softmax",
        Softmax,
        (Option("axis", _axes, "axes"),),
        rule=_zeros,
        call=_with_mask,
        own_mask=True,
    ),
    Row(
        "PReLU",
        PReLU,
        (Option("shared_axes", _shared),),
        without_effect=frozenset({"alpha_initializer", "alpha_regularizer", "alpha_constraint"}),
    ),
)

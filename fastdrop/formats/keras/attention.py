"""Rows of the attention layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section, is_dimension
from fastdrop.formats.keras._records import Node, Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    Tensor,
    boolean,
    choice,
    positive,
    rate,
    refuse_arguments,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import AdditiveAttention, Attention, MultiHeadAttention, Shape

_FLAGS = ("return_attention_scores", "use_causal_mask")


def _flags(arguments: dict[str, Any], where: str) -> dict[str, Any]:
    """Take the options out of a call's arguments."""
    found = {}
    for key in _FLAGS:
        value = arguments.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise ModelFormatError(f"{where}: {key}: expected true or false, found {show(value)}")
        found[key] = bool(value)
    return found


def _named(node: Node, names: Sequence[str], where: str) -> dict[str, Any]:
    """Return the arguments of a call by name."""
    if len(node.args) > len(names):
        raise ModelFormatError(f"{where}: expected at most {len(names)} arguments of its call")
    return dict(zip(names, node.args, strict=False)) | node.kwargs


def _listed(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take [query, value] or [query, value, key], and their masks if they are given."""
    where = record.where
    names = ("inputs", "mask", "training", *_FLAGS)
    arguments = _named(node, names, where)
    tensors, masks = arguments.pop("inputs", None), arguments.pop("mask", None)
    more = _flags(arguments, where)
    refuse_arguments(arguments, where)
    if not isinstance(tensors, list) or not all(isinstance(t, Tensor) for t in tensors):
        raise ModelFormatError(f"{where}: expected a list of inputs")
    if masks is None:
        return tensors, more
    if not isinstance(masks, list) or len(masks) not in (2, 3):
        raise ModelFormatError(f"{where}: mask: expected those of query and value")
    given = {}
    for name, mask in zip(("query_mask", "value_mask"), masks, strict=False):
        if mask is not None and not isinstance(mask, Tensor):
            raise ModelFormatError(f"{where}: mask: expected tensors, found {show(mask)}")
        if mask is not None:
            given[name] = mask
    return [*tensors, *given.values()], more | {"masks": tuple(given)}


def _arguments(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take query, value and perhaps key, and masks."""
    where = record.where
    masks = ("query_mask", "value_mask", "key_mask", "attention_mask")
    names = ("query", "value", "key", *masks, "return_attention_scores")
    arguments = _named(node, names, where)
    more = _flags(arguments, where)
    found: dict[str, Tensor] = {}
    for name in ("query", "value", "key", *masks):
        value = arguments.pop(name, None)
        if isinstance(value, Tensor):
            found[name] = value
        elif value is not None or name in ("query", "value"):
            raise ModelFormatError(f"{where}: {name}: expected a tensor, found {show(value)}")
    refuse_arguments(arguments, where)
    given = tuple(name for name in masks if name in found)
    return list(found.values()), more | ({"masks": given} if given else {})


def _passes(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say whether the mask goes on: Keras 3 lost that of a list of inputs at first."""
    return options | {"passes_mask": version.legacy or version >= (3, 8)}


def _masking(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say what masks do: by what each version does."""
    robust = options.pop("softmax_robust_masking")
    uses = not version.legacy or version >= (2, 10)
    masking = "replace" if robust else "add" if version < (3, 10) else "zero"
    # Without dropout, and without scores to return, another function computes it.
    fused = version >= (3, 7) and options["dropout"] == 0
    return options | {
        "masking": masking,
        "fused": fused,
        "uses_masks": uses,
        "passes_mask": uses,
        "own_query_mask": version >= (3, 8),
    }


def _grouped(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Take the numbers of heads, of which that of key and value divides the other."""
    if options["num_heads"] % options["shared_heads"]:
        expected = f"a number that divides {options['num_heads']}, the heads of the query"
        raise record.config.wrong("num_key_value_heads", expected)
    # Whatever the version, tensors keep their masks, and one that is given stands for theirs.
    options = _masking(options | {"softmax_robust_masking": False}, record, version)
    return options | {"own_query_mask": False}


def _optional(config: Section, key: str, version: Version) -> int | None:
    return None if config.values.get(key) is None else config.positive(key)


def _sizes(config: Section, key: str, version: Version) -> tuple[int, ...] | None:
    value = config.values.get(key)
    if value is None:
        return None
    sizes = value if isinstance(value, list) else [value]
    if not sizes or not all(is_dimension(n) for n in sizes):
        raise config.wrong(key, "null, a positive integer or several")
    return tuple(sizes)


def _axes(config: Section, key: str, version: Version) -> tuple[int, ...] | None:
    value = config.values.get(key)
    if value is None:
        return None
    axes = value if isinstance(value, list) else [value]
    if not axes or not all(type(n) is int and n != 0 for n in axes):
        raise config.wrong(key, "null or axes other than 0, the axis of the batch")
    return tuple(n - 1 if n > 0 else n for n in axes)


class ListedRow(Row):
    """A layer that Keras 2 may make causal for all its calls."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        if record.config.values.get("causal") is True:
            more = {**more, "use_causal_mask": True}
        return super().plan(planning, record, inputs, more)


@dataclass(frozen=True)
class MultiHeadRow(Row):
    """Several dense layers, each with a group of its own, whose name has changed.

    Attributes
    ----------
    underscored : bool
        Whether the name begins with "_" in every version.
    """

    underscored: bool = False

    def settled(
        self, planned: Planned, planning: Planning, record: Record, inputs: Sequence[Shape]
    ) -> Planned:
        hidden = planning.version.legacy or self.underscored
        prefix = "_" if hidden else ""
        numbers: dict[str, int] = {}
        own: dict[str, str] = {}
        stored = []
        for entry in planned.stored:
            part = entry.field.partition("_")[0]
            own[part] = f"_{part}" if part == "gate" else f"{prefix}{part}"
            number = numbers[part] = numbers.get(part, -1) + 1
            stored.append(replace(entry, group=f"{own[part]}_dense/vars/{number}"))
        groups: dict[str, str | None] = {
            f"{own[part]}_dense/vars": "attention_output" if part == "output" else part
            for part in numbers
        }
        groups |= {"_dropout_layer/vars": None, "_softmax/vars": None}
        return replace(planned, stored=stored, groups={**planned.groups, **groups})


_COMMON = (Option("dropout", rate(one=True)),)
_CAUSAL = Option("causal", boolean(False), "")

ROWS = (
    ListedRow(
        "Attention",
        Attention,
        (
            *_COMMON,
            _CAUSAL,
            Option("use_scale", boolean(False)),
            Option("score_mode", choice("dot", "concat", default="dot")),
        ),
        rule=_passes,
        call=_listed,
        own_mask=True,
    ),
    ListedRow(
        "AdditiveAttention",
        AdditiveAttention,
        (*_COMMON, _CAUSAL, Option("use_scale", boolean(True))),
        rule=_passes,
        call=_listed,
        own_mask=True,
    ),
    MultiHeadRow(
        "MultiHeadAttention",
        MultiHeadAttention,
        (
            *_COMMON,
            Option("num_heads", positive),
            Option("key_dim", positive),
            Option("value_dim", _optional),
            Option("use_bias", boolean(True)),
            Option("use_gate", boolean(False)),
            Option("output_shape", _sizes),
            Option("attention_axes", _axes),
            Option("sliding_window", _optional),
            Option("softmax_robust_masking", boolean(False)),
        ),
        without_effect=frozenset({"flash_attention", "query_shape", "key_shape", "value_shape"}),
        rule=_masking,
        call=_arguments,
        # What it does with masks inside, Keras 3 has it do to the tensors themselves since then.
        takes_masks=(3, 8),
    ),
    *(
        MultiHeadRow(
            name,
            MultiHeadAttention,
            (
                *_COMMON,
                Option("head_dim", positive, "key_dim"),
                Option("num_query_heads", positive, "num_heads"),
                Option("num_key_value_heads", positive, "shared_heads"),
                Option("use_bias", boolean(True)),
                Option("use_gate", boolean(False)),
                Option("sliding_window", _optional),
            ),
            without_effect=frozenset({"flash_attention"}),
            rule=_grouped,
            call=_arguments,
            underscored=True,
        )
        # ".h5" files have the name that it bears in Keras's code.
        for name in ("GroupQueryAttention", "GroupedQueryAttention")
    ),
)

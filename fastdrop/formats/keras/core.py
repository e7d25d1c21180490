"""Rows of the layers that map features."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats._safe_json import Section, is_dimension
from fastdrop.formats.keras._records import Node, Record, policy_name
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    Tensor,
    activation,
    boolean,
    choice,
    must_be,
    number,
    positive,
    refuse_arguments,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    CategoryEncoding,
    Dense,
    Discretization,
    EinsumDense,
    Embedding,
    Identity,
    IntegerLookup,
    Masking,
    ReversibleEmbedding,
    Shape,
)
from fastdrop.layers.core import ENCODINGS


def passes_mask_since_3(
    options: dict[str, Any], record: Record, version: Version
) -> dict[str, Any]:
    """Add that a mask ends at a layer in Keras 2, which Keras 3 passes on."""
    return options | {"passes_mask": not version.legacy}


def _equation(config: Section, key: str, version: Version) -> str:
    value = config.values.get(key)
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z.]+,[A-Za-z]+->[A-Za-z.]+", value):
        raise config.wrong(key, "an equation of x, kernel and result")
    return value


def _letters(config: Section, key: str, version: Version) -> str:
    value = config.values.get(key)
    if value is not None and not (isinstance(value, str) and value.isalpha()):
        raise config.wrong(key, "letters of the equation, or null")
    return value or ""


def _output(config: Section, key: str, version: Version) -> tuple[int | None, ...]:
    value = config.values.get(key)
    listed = value if isinstance(value, list) else [value]
    if not all(n is None or is_dimension(n) for n in listed):
        raise config.wrong(key, "a length, or a list of lengths and null")
    return tuple(listed)


def _reversed(node: Node, record: Record) -> tuple[list[Tensor], dict[str, Any]]:
    """Take the one tensor of a call, and whether it goes from vectors to scores."""
    arguments = dict(zip(("inputs", "reverse"), node.args, strict=False)) | node.kwargs
    reverse = arguments.pop("reverse", False)
    if not isinstance(reverse, bool) or len(node.args) > 2:
        raise ModelFormatError(f"{record.where}: reverse: expected true or false")
    given = arguments.pop("inputs", None)
    refuse_arguments(arguments, record.where)
    if not isinstance(given, Tensor):
        raise ModelFormatError(f"{record.where}: inputs: expected a tensor, found {show(given)}")
    return [given], {"reverse": reverse}


def _cap(config: Section, key: str, version: Version) -> float | None:
    if config.values.get(key) is None:
        return None
    return number()(config, key, version)


class _Reversible(Row):
    """An embedding whose calls take what they are told: numbers of entries, or vectors."""

    def built_for(self, built: Shape, shape: Shape, record: Record) -> bool:
        """Return True: for which of them it was built says nothing of the others."""
        return True


_MODES = ("int", *ENCODINGS)


class _Categories(Row):
    """What makes numbers of categories, or vectors of them."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        """Take a type of whole numbers, in which their numbers are put out."""
        values = record.config.values
        if policy_name(values.get("dtype")) in ("int32", "int64"):
            kept = {key: value for key, value in values.items() if key != "dtype"}
            record = replace(record, config=Section(record.where, kept))
        return super().plan(planning, record, inputs, more)

    def settled(
        self, planned: Planned, planning: Planning, record: Record, inputs: Sequence[Shape]
    ) -> Planned:
        """Take away an axis of one number with "one_hot": it makes a vector of that number."""
        layer: Any = planned.layer
        if layer.output_mode != "one_hot" or inputs[0][-1:] != (1,):
            return planned
        return replace(planned, layer=replace(layer, output_mode="multi_hot"))


def _bounds(config: Section, key: str, version: Version) -> tuple[float, ...]:
    value = config.values.get(key)
    if value is None:
        raise ModelFormatError(
            f"{config.where}: {key}: not in the file, for adapt found them; save a model with "
            "Discretization(bin_boundaries=layer.bin_boundaries)"
        )
    listed = value if isinstance(value, list) else []
    if not listed or not all(type(n) in (int, float) and abs(n) < 2**1000 for n in listed):
        raise config.wrong(key, "a list of numbers")
    return tuple(map(float, listed))


def _integer(default: int | None) -> Callable[[Section, str, Version], int | None]:
    def read(config: Section, key: str, version: Version) -> int | None:
        value = config.values.get(key, default)
        if value is not None and not (type(value) is int and abs(value) < 2**63):
            raise config.wrong(key, "an integer, or null")
        return value

    return read


def _vocabulary(config: Section, key: str, version: Version) -> tuple[int, ...]:
    value = config.values.get(key)
    if value is None:
        raise ModelFormatError(
            f"{config.where}: {key}: not among its options, for adapt or another file gave it; "
            "save a model with IntegerLookup(vocabulary=layer.get_vocabulary())"
        )
    if not isinstance(value, list) or not value or not all(type(n) is int for n in value):
        raise config.wrong(key, "a list of integers")
    return tuple(value)


def _looked_up(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Leave out of the vocabulary the tokens that stand for others, if it begins with them."""
    config, unknown = record.config, options["num_oov_indices"]
    values = config.values
    if unknown is None or unknown < 0:
        raise config.wrong("num_oov_indices", "an integer >= 0")
    if values.get("pad_to_max_tokens") and options["output_mode"] != "int":
        raise config.wrong("pad_to_max_tokens", "false")
    masked = options["mask_token"] is not None and options["output_mode"] == "int"
    words, count = options["vocabulary"], masked + unknown
    masks, others = {*words[:masked]}, {*words[masked:count]}
    special = masks <= {options["mask_token"]} and others <= {values.get("oov_token", -1)}
    if special and len(words) >= count:
        options["vocabulary"] = words[count:]
    return options


ROWS = (
    Row(
        "Embedding",
        Embedding,
        (
            Option("input_dim", positive),
            Option("output_dim", positive),
            Option("mask_zero", boolean(False)),
        ),
        input_of=lambda shape: (None,),
    ),
    _Reversible(
        "ReversibleEmbedding",
        ReversibleEmbedding,
        (
            Option("input_dim", positive),
            Option("output_dim", positive),
            Option("mask_zero", boolean(False)),
            Option("tie_weights", boolean(True)),
            Option("logit_soft_cap", _cap, "soft_cap"),
            Option("reverse_dtype", must_be(None, "float32"), ""),
        ),
        call=_reversed,
    ),
    Row(
        "Dense",
        Dense,
        (
            Option("units", positive),
            Option("use_bias", boolean(True)),
            Option("activation", activation()),
        ),
        input_of=lambda shape: shape[:1],
    ),
    Row(
        "EinsumDense",
        EinsumDense,
        (
            Option("equation", _equation, "whole"),
            Option("output_shape", _output, "output"),
            Option("bias_axes", _letters),
            Option("activation", activation()),
        ),
    ),
    _Categories(
        "CategoryEncoding",
        CategoryEncoding,
        (
            Option("num_tokens", positive),
            Option("output_mode", choice(*ENCODINGS, default="multi_hot")),
            Option("sparse", must_be(False), ""),
        ),
    ),
    _Categories(
        "Discretization",
        Discretization,
        (
            Option("bin_boundaries", _bounds),
            Option("output_mode", choice(*_MODES, default="int")),
            Option("sparse", must_be(False), ""),
        ),
        without_effect=frozenset(("num_bins", "epsilon")),  # by which adapt finds the bounds
    ),
    _Categories(
        "IntegerLookup",
        IntegerLookup,
        (
            Option("vocabulary", _vocabulary),
            Option("mask_token", _integer(None)),
            Option("num_oov_indices", _integer(1)),
            Option("output_mode", choice(*_MODES, default="int")),
            Option("vocabulary_dtype", must_be("int64", "int32"), ""),
            Option("oov_method", must_be(None, "floormod"), ""),
            Option("sparse", must_be(False), ""),
            Option("invert", must_be(False), ""),
        ),
        rule=_looked_up,
        without_effect=frozenset(
            ("oov_token", "max_tokens", "pad_to_max_tokens", "vocabulary_size", "idf_weights")
        ),
    ),
    Row("Masking", Masking, (Option("mask_value", number(0.0)),)),
    Row("Identity", Identity, rule=passes_mask_since_3),
)

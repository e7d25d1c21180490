"""Rows of layers that shift and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    Stored,
    agree,
    boolean,
    number,
)
from fastdrop.formats.keras._version import Version
from fastdrop.formats.keras.core import passes_mask_since_3
from fastdrop.layers import (
    BatchNormalization,
    GroupNormalization,
    Layer,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    Shape,
    UnitNormalization,
)

_MOST_AXES = 8


def _axis(config: Section, key: str, version: Version) -> tuple[int, ...]:
    """Return axes of a row, counted from 0; Keras counts from that of the batch."""
    value = config.values.get(key, -1)
    axes = value if isinstance(value, list) else [value]
    fits = all(type(a) is int and a != 0 and abs(a) <= _MOST_AXES for a in axes)
    if not axes or not fits or len(axes) > _MOST_AXES:
        raise config.wrong(key, "an axis other than 0, or a list of such")
    return tuple(a - 1 if a > 0 else a for a in axes)


def _one_axis(config: Section, key: str, version: Version) -> tuple[int, ...]:
    axes = _axis(config, key, version)
    if len(axes) > 1:
        raise config.wrong(key, "one axis other than 0")
    return axes


def _number_of_groups(config: Section, key: str, version: Version) -> int:
    value = config.values.get(key, 32)
    if type(value) is not int or (value < 1 and value != -1):
        raise config.wrong(key, "an integer >= 1, or -1")
    return value


def _axis_or_none(config: Section, key: str, version: Version) -> tuple[int, ...] | None:
    value = config.values.get(key, -1)
    return None if value is None or value == [] else _axis(config, key, version)


def _numbers(config: Section, key: str, version: Version) -> Any:
    """Return a number, or an array of nested lists of numbers."""
    value = config.values.get(key)
    if isinstance(value, dict) and value.get("class_name") == "__numpy__":
        value = Section(f"{config.where}: {key}", value.get("config")).values.get("value")
    try:
        array = np.array(value)
    except ValueError:  # ragged
        raise config.wrong(key, "numbers") from None
    if array.dtype.kind not in "iuf" or not array.size:
        raise config.wrong(key, "numbers")
    return array.astype(np.float64)


def _numbers_or_none(config: Section, key: str, version: Version) -> Any:
    return None if config.values.get(key) is None else _numbers(config, key, version)


def _numbers_or_0(config: Section, key: str, version: Version) -> Any:
    return _numbers(config, key, version) if key in config.values else 0.0


def _unit(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Add the least norm, whose square was meant to be what it was itself up to Keras 3.5."""
    return options | {"least_norm": 1e-12 if version >= (3, 6) else 1e-6}


def _given(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    if (options["mean"] is None) != (options["variance"] is None):
        raise ModelFormatError(f"{record.where}: expected mean and variance, or neither")
    return passes_mask_since_3(options, record, version)


class _Adapted(Row):
    """Mean and variance stand in the configuration, or are stored and have a count behind them."""

    def built_for(self, built: Shape, shape: Shape, record: Record) -> bool:
        """Return whether the last axes fit: it may have been adapted to data of other axes."""
        last = record.config.values.get("axis", -1) in (-1, [-1])
        return agree(built[-1:], shape[-1:]) if last and shape else agree(built, shape)

    def storage(self, stored: list[Stored], layer: Layer) -> list[Stored]:
        weights = layer.weights().values()
        if any(isinstance(weight, np.ndarray) for weight in weights):
            return []
        return [*stored, self._count(len(stored))]

    def _count(self, place: int) -> Stored:
        """Return how many values the mean is of, which is of no use here."""
        group = f"{self.group}/{place}"
        return Stored("count", group, (), trainable=False, whole_numbers=True)


VECTORS = frozenset(
    f"{vector}_{what}"
    for vector in ("gamma", "beta", "moving_mean", "moving_variance")
    for what in ("initializer", "regularizer", "constraint")
)
SCALED = (
    Option("epsilon", number(1e-3, least=0)),
    Option("center", boolean(True)),
    Option("scale", boolean(True)),
)


def _batch(name: str) -> Row:
    return Row(
        name,
        BatchNormalization,
        (Option("axis", _one_axis), *SCALED),
        without_effect=VECTORS | {"momentum", "synchronized", "renorm_momentum"},
    )


class _Spectral(Row):
    """A layer whose kernel training has divided by its norm, and keeps as it is then."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        options = planning.options(self, record)
        inner = planning.inner(record, "layer")
        planned = None if inner is None else planning.plan(inner, inputs)
        if options is None or planned is None:
            return None
        stored = [replace(s, group=f"layer/{s.group}") for s in planned.stored]
        if not stored or stored[0].field.rpartition(".")[2] != "kernel":
            raise ModelFormatError(f"{record.where}: layer: expected one with a kernel")
        kernel = stored[0].shape
        return Planned(
            replace(planned.layer, name=record.name),
            [
                *stored,
                Stored("", "vars/0", kernel, listed=False),
                Stored("", "vars/1", (1, *kernel[-1:]), trainable=False),
            ],
            {"vars": record.name} | {f"layer/{path}": n for path, n in planned.groups.items()},
            planned.notes,
        )


ROWS = (
    _Spectral(
        "SpectralNormalization", Layer, without_effect=frozenset({"layer", "power_iterations"})
    ),
    _batch("BatchNormalization"),
    # Its names in TensorFlow 1.13 to 2.0.
    _batch("BatchNormalizationV1"),
    _batch("BatchNormalizationV2"),
    Row(
        "LayerNormalization",
        LayerNormalization,
        (Option("axis", _axis), *SCALED, Option("rms_scaling", boolean(False))),
        without_effect=VECTORS,
    ),
    Row(
        "RMSNormalization",
        RMSNormalization,
        (Option("axis", _axis), Option("epsilon", number(1e-6, least=0))),
    ),
    Row(
        "GroupNormalization",
        GroupNormalization,
        (Option("axis", _one_axis), Option("groups", _number_of_groups), *SCALED),
        without_effect=VECTORS,
    ),
    Row("UnitNormalization", UnitNormalization, (Option("axis", _axis),), rule=_unit),
    _Adapted(
        "Normalization",
        Normalization,
        (
            Option("axis", _axis_or_none),
            Option("mean", _numbers_or_none),
            Option("variance", _numbers_or_none),
            Option("invert", boolean(False)),
        ),
        rule=_given,
    ),
    Row(
        "Rescaling",
        Rescaling,
        (Option("scale", _numbers), Option("offset", _numbers_or_0)),
        rule=passes_mask_since_3,
    ),
)

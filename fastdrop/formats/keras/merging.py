"""Rows of the layers that make one tensor of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras._records import Record
from fastdrop.formats.keras._rows import (
    Option,
    Planned,
    Planning,
    Row,
    boolean,
    choice,
    many_inputs,
    must_be,
)
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Concatenate, Dot, Merge, Shape


def _axis(config: Section, key: str, version: Version) -> int:
    """Return an axis of a row; in a file the batch is axis 0."""
    value = config.values.get(key, -1)
    if type(value) is not int or value == 0:
        raise config.wrong(key, "a whole number other than 0, the axis of the batch")
    return value - 1 if value > 0 else value


def _axes(config: Section, key: str, version: Version) -> tuple[int, int]:
    value = config.values.get(key)
    if type(value) is int:
        value = [value, value]
    if not isinstance(value, list) or len(value) != 2 or not all(type(n) is int for n in value):
        raise config.wrong(key, "a whole number, or two")
    if 0 in value:
        raise config.wrong(key, "no axis 0, which is that of the batch")
    return value[0], value[1]


def _masks(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
    """Say how masks become one: by what each version does. Keras 3 lost them at first."""
    masks = "all" if version.legacy else "any" if version >= (3, 8) else "none"
    return options | {"masks": masks}


def _merge(name: str) -> Row:
    function = name.lower()

    def rule(options: dict[str, Any], record: Record, version: Version) -> dict[str, Any]:
        return _masks(options, record, version) | {"function": function}

    return Row(name, Merge, rule=rule, call=many_inputs)


_MERGES = {
    name: _merge(name) for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
}
_CONCATENATE = Row(
    "Concatenate", Concatenate, (Option("axis", _axis),), rule=_masks, call=many_inputs
)
_MODES = {
    "sum": _MERGES["Add"],
    "mul": _MERGES["Multiply"],
    "ave": _MERGES["Average"],
    "max": _MERGES["Maximum"],
    "concat": _CONCATENATE,
}


class _ByMode(Row):
    """`Merge` of Keras 1, which Keras 2.0 and 2.1 still had: what its mode says."""

    def plan(
        self,
        planning: Planning,
        record: Record,
        inputs: Sequence[Shape] | None,
        more: Mapping[str, Any],
    ) -> Planned | None:
        options = planning.options(self, record)
        if options is None:
            return None
        row = _MODES[options["mode"]]
        axis = record.config.values.get("concat_axis", -1)
        config = Section(record.where, {"axis": axis} if row is _CONCATENATE else {})
        return row.plan(planning, replace(record, config=config), inputs, more)


ROWS = (
    *_MERGES.values(),
    _CONCATENATE,
    _ByMode(
        "Merge",
        Merge,
        (
            Option("mode", choice(*_MODES)),
            Option("mode_type", must_be("raw"), ""),
            Option("concat_axis", _axis, ""),
        ),
        without_effect=frozenset(
            # Of modes that are refused.
            {"arguments", "dot_axes", "output_mask_type", "output_shape_type"}
        ),
        call=many_inputs,
    ),
    Row(
        "Dot",
        Dot,
        (Option("axes", _axes), Option("normalize", boolean(False))),
        call=many_inputs,
    ),
)

"""All rows: which classes of Keras are known, layers and functions apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastdrop.formats.keras import (
    activations,
    attention,
    convolutional,
    core,
    merging,
    normalization,
    operations,
    pooling,
    regularization,
    reshaping,
    rnn,
)
from fastdrop.formats.keras._records import Record
from fastdrop.formats.keras._rows import Row

FAMILIES = {
    "core": core.ROWS,
    "activations": activations.ROWS,
    "normalization": normalization.ROWS,
    "convolutional": convolutional.ROWS,
    "pooling": pooling.ROWS,
    "regularization": regularization.ROWS,
    "reshaping": reshaping.ROWS,
    "rnn": rnn.ROWS,
    "merging": merging.ROWS,
    "attention": attention.ROWS,
    "operations": operations.LAMBDAS,
}
LAYERS: dict[str, Row] = {row.name: row for rows in FAMILIES.values() for row in rows}
OPERATIONS: dict[str, Row] = {row.name: row for row in operations.ROWS}


def row_of(record: Record) -> Row | None:
    """Return the row for a record; None for what is not known."""
    return (OPERATIONS if record.operation else LAYERS).get(record.class_name)


def is_function(class_name: str, config: Mapping[str, Any]) -> bool:
    """Return whether a class is that of a function: of some names there is a layer, too.

    A function has no more than a name and its arguments, of which one may be a type; layers, also
    those of one's own, have said since Keras 3 whether they are trainable.
    """
    if class_name in OPERATIONS and class_name not in LAYERS:
        return "trainable" not in config
    return (class_name in OPERATIONS or class_name not in LAYERS) and not (
        {"trainable", "dtype"} & config.keys()
    )


def supported() -> str:
    """Return the classes of layers that are known, for people."""
    return ", ".join(sorted([*LAYERS, "InputLayer"]))

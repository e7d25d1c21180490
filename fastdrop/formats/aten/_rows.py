"""What rows of operators take, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastdrop.formats._lengths import Open
from fastdrop.formats._networks import Networks


@dataclass(frozen=True)
class Arguments:
    """What an operator is called with: values by name, and which of them are of bools."""

    values: Mapping[str, Any]
    bools: frozenset[str] = frozenset()
    floats: bool = True  # whether what comes out is no whole number
    truth: bool = False  # whether it is true or false

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def first(self) -> Any:
        return next(iter(self.values.values()))


Row = Callable[[Networks, Arguments], Any]

ROWS: dict[str, Row] = {}


def row(*names: str) -> Callable[[Row], Row]:
    """Make a function the row of operators, by name, of one overload or of all."""

    def add(function: Row) -> Row:
        for name in names:
            assert name not in ROWS, name
            ROWS[name] = function
        return function

    return add


def is_open(value: object) -> bool:
    return isinstance(value, Open)

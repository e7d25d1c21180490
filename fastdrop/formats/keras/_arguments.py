"""The arguments of a call of a function, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastdrop.formats._errors import ModelFormatError, show
from fastdrop.formats.keras._rows import Tensor
from fastdrop.layers import Layer


class Arguments:
    """The arguments of one call, by name; what nobody asks for is refused."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values: dict[str, Any] = {k: v for k, v in values.items() if v is not None}
        self.said = {*values}  # also what is said to be none
        self.where = where
        self.tensors: list[Tensor] = []

    def refuse(self, name: str, expected: str, taken: Any = None) -> ModelFormatError:
        """Return the error about an argument; `taken` is its value if it has been taken out."""
        found = show(self.values.get(name, taken))
        return ModelFormatError(f"{self.where}: {name}: expected {expected}, found {found}")

    def take(self, name: str, default: Any = None) -> Any:
        return self.values.pop(name, default)

    def input(self, name: str) -> None:
        """Take a tensor as the next input."""
        value = self.values.get(name)
        if not isinstance(value, Tensor):
            raise self.refuse(name, "a tensor")
        self.tensors.append(self.take(name))

    def inputs(self, name: str) -> None:
        """Take a list of tensors as inputs."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(v, Tensor) for v in value):
            raise self.refuse(name, "tensors")
        self.tensors += self.take(name)

    def operand(self, name: str) -> Any:
        """Take a tensor as an input and return its number, or return a constant."""
        value = self.values.get(name)
        if isinstance(value, Tensor):
            self.take(name)
            if value not in self.tensors:
                self.tensors.append(value)
            return self.tensors.index(value)
        constant = constant_of(value)
        if constant is None:
            raise self.refuse(name, "a tensor or numbers")
        self.take(name)
        return constant

    def matrix(self, name: str, transposed: bool = False) -> Any:
        """Take constants along one axis or two."""
        constant = constant_of(self.values.get(name))
        if constant is None or constant.ndim not in (1, 2):
            raise self.refuse(name, "a tensor, or numbers along one axis or two")
        self.take(name)
        return constant.T if transposed else constant

    def axes(self, name: str) -> tuple[int, ...] | None:
        """Take axes that count the batch, and return those of a row; None for all."""
        value = self.values.get(name)
        if value is None:
            return None
        listed = value if isinstance(value, list) else [value]
        if not all(type(n) is int for n in listed):
            raise self.refuse(name, "whole numbers")
        if 0 in listed:
            raise self.refuse(name, "no axis 0, which is that of the batch")
        self.take(name)
        return tuple(n - 1 if n > 0 else n for n in listed)

    def axis(self, name: str) -> int:
        """Take one axis."""
        value = self.values.get(name)
        axes = self.axes(name)
        if axes is None or len(axes) != 1:
            raise self.refuse(name, "one axis", value)
        return axes[0]

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false", value)
        return value

    def number(self, name: str, default: float) -> float:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 2**128:
            raise self.refuse(name, "a number", value)
        return float(value)

    def floating(self, name: str) -> None:
        """Take a type, which must be a floating-point one; none is as good."""
        dtype = self.take(name, "float32")
        if not str(dtype).startswith(FLOATS):
            raise self.refuse(name, "a floating-point type", dtype)

    def finish(self) -> None:
        for name, value in self.values.items():
            if value is not False:
                raise ModelFormatError(
                    f"{self.where}: unsupported argument {show(name)}: {show(value)}"
                )


def constant_of(value: Any) -> Any:
    """Return a constant as an array; None if it is none."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else None
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return None
    if array.dtype.kind not in "bif" or array.ndim > 8:
        return None
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


Built = tuple[type[Layer], dict[str, Any]]
FLOATS = ("float", "bfloat")


@dataclass(frozen=True)
class Function:
    """A function: its arguments by position, and what becomes of them."""

    arguments: tuple[str, ...]
    build: Callable[[Arguments], Built]

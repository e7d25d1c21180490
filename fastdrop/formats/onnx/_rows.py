"""What a row of the table of operators is given, and how rows are put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.formats._errors import show
from fastdrop.formats._lengths import BATCH, Length, Open
from fastdrop.formats._places import of_rows
from fastdrop.formats._values import OfRows, Order, Steps, UnsupportedError, Value
from fastdrop.formats.onnx._calls import Calls
from fastdrop.formats.onnx._records import Node

Array = NDArray[Any]
# The value that a row makes, or several in the order of the outputs.
Made = Value | OfRows | Steps | Sequence[Value | Order]
Row = Callable[["Arguments"], Made]

OPERATORS: dict[str, Row] = {}


def operator(*names: str) -> Callable[[Row], Row]:
    """Put a function into the table, under the names of the operators that it reads."""

    def put(function: Row) -> Row:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return put


class Arguments:
    """What one node is given: inputs, attributes, and where to write the calls.

    Attributes
    ----------
    values : list of Value or None
        The inputs; None is a missing one.
    dtypes : list of dtype
        Of what elements they are in the file.
    dtype : dtype
        What the outputs are of; of the first input's, unless a row says otherwise.
    others : dict of int to dtype
        What outputs are of that differ from the first, by their number.
    """

    def __init__(
        self,
        node: Node,
        values: Sequence[Value | None],
        dtypes: Sequence[np.dtype[Any]],
        opset: int,
        net: Calls,
        fixed_batch: int | None,
        most: int,
        notes: list[str],
    ) -> None:
        self.node = node
        self.op: str = node.op
        self.values: list[Value | None] = list(values)
        self.dtypes: list[np.dtype[Any]] = list(dtypes)
        self.opset = opset
        self.net = net
        self.fixed_batch = fixed_batch
        self.dtype: np.dtype[Any] = self.dtypes[0] if self.dtypes else np.dtype(np.float32)
        self.others: dict[int, np.dtype[Any]] = {}
        self._most = most
        self._notes = notes
        self._unread = dict(node.attributes)

    # ---- inputs ----

    def optional(self, number: int) -> Value | None:
        return self.values[number] if number < len(self.values) else None

    def input(self, number: int = 0) -> Value:
        value = self.optional(number)
        if value is None:
            raise UnsupportedError(f"input {number} is missing")
        return value

    def of_rows(self, value: Value, at: int, times: int = 1) -> Value:
        """Return a constant for a fixed number of rows as the same for all, else what it is.

        Each row may have several places along the axis.
        """
        many = self.fixed_batch
        if many is None or not isinstance(value, np.ndarray) or value.ndim <= at:
            return value
        if value.shape[at] != many * times:
            return value
        if times == 1:
            return of_rows(many, value, at)
        before, behind = value.shape[:at], value.shape[at + 1 :]
        found = of_rows(many, value.reshape(*before, many, times, *behind), at)
        return self.net.reshape(found, [*before, BATCH * times, *behind])

    def given(self) -> list[Value]:
        """Return all inputs, none of which may be missing."""
        return [self.input(i) for i in range(len(self.values))]

    def constant(self, number: int) -> Array | None:
        """Return an input that must not depend on the model's; None if it is missing."""
        value = self.optional(number)
        if value is not None and not isinstance(value, np.ndarray):
            raise UnsupportedError(f"input {number} is computed of the model's inputs")
        return value

    def array(self, number: int) -> Array:
        """Return such an input that must be there."""
        value = self.constant(number)
        if value is None:
            raise UnsupportedError(f"input {number} is missing")
        return value

    def lengths(self, number: int) -> list[Length] | None:
        """Return whole numbers, and lengths that are open; None if they are missing."""
        array = self.constant(number)
        return None if array is None else whole_numbers(array)

    def integers(self, number: int) -> list[int] | None:
        """Return whole numbers; None if they are missing."""
        found = self.lengths(number)
        if found is None:
            return None
        return [fixed(n) for n in found]

    # ---- attributes ----

    def attribute(self, name: str, default: Any = None) -> Any:
        self._unread.pop(name, None)
        value = self.node.attributes.get(name, default)
        if value is None or default is None:
            return value
        kinds: Any = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, kinds):
            raise UnsupportedError(f"attribute {show(name)}: {show(value)}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return an attribute that is 0 or 1."""
        value = self.attribute(name, int(default))
        if value not in (0, 1):
            raise UnsupportedError(f"attribute {show(name)}: {show(value)}")
        return bool(value)

    def numbers(self, name: str) -> list[Any] | None:
        """Return an attribute that is a list; None if it is not there."""
        value = self.attribute(name)
        if value is not None and not isinstance(value, list):
            raise UnsupportedError(f"attribute {show(name)}: {show(value)}")
        return value

    def attribute_or_input(self, name: str, number: int, since: int) -> list[int] | None:
        """Return whole numbers, which are an input since an operator set, and were an attribute."""
        if self.opset < since:
            found = self.numbers(name)
            if found is not None and not all(isinstance(n, int) for n in found):
                raise UnsupportedError(f"attribute {show(name)}: {show(found)}")
            return found
        return self.integers(number)

    def check_read(self) -> None:
        """Refuse attributes that nobody has looked at."""
        for name, value in self._unread.items():
            raise UnsupportedError(f"attribute {show(name)}: {show(value)}")

    # ---- outputs ----

    def makes(self, number: int) -> bool:
        """Whether something takes an output."""
        return number < len(self.node.outputs) and bool(self.node.outputs[number])

    def note(self, text: str, *, of_node: bool = True) -> None:
        note = f"{self.node.where}: {text}" if of_node else text
        if note not in self._notes:
            self._notes.append(note)

    def check_size(self, lengths: Iterable[int]) -> None:
        """Refuse to compute a constant out of proportion to the file."""
        size = 8
        for n in lengths:
            size *= n
        if size > self._most:
            raise UnsupportedError(f"a constant of {size} bytes, which the file does not hold")


def fixed(length: Any) -> int:
    """Return a length that must be known."""
    if isinstance(length, Open):
        raise UnsupportedError(f"a number that depends on a length left open ({length})")
    return int(length)


def whole_numbers(array: Array) -> list[Length]:
    """Return the numbers of a constant, some of which may be open lengths."""
    if array.dtype.kind not in "iuO" or array.ndim > 1:
        raise UnsupportedError("expected whole numbers")
    return [n if isinstance(n, Open) else int(n) for n in array.reshape(-1).tolist()]


def simplified(value: Any) -> Array:
    """Return an array of lengths as one of whole numbers if all are known."""
    array = np.asarray(value)
    if array.dtype == object and all(isinstance(n, int) for n in array.reshape(-1).tolist()):
        return array.astype(np.int64)
    return array


def is_lengths(value: object) -> bool:
    """Say whether it is an array of lengths of which some are open."""
    return isinstance(value, np.ndarray) and value.dtype == object


def number_of(array: Array) -> float:
    """Return a constant of one number."""
    if array.size != 1 or array.dtype == object:
        raise UnsupportedError(f"expected one number, found an array of shape {array.shape}")
    return float(array.reshape(()).item())

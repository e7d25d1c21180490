"""Parse JSON strictly, and take typed values out of it."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeGuard

from fastdrop.formats._errors import ModelFormatError, malformed, show

_MAX_NESTING = 64
_MAX_DIGITS = 20
# Possessive, and an open string runs to the end: linear time whatever the text.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[{]|[\]}]', re.DOTALL)


def parse_object(data: bytes, part: str) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises
    ------
    ModelFormatError
        The data are not UTF-8 or not JSON, nest deeper than 64, repeat a key of
        an object, hold NaN, an infinity or an integer of more than 20 digits,
        or are something else than an object.
    """
    with malformed(part):
        text = data.decode("utf-8")
    _check_nesting(text, part)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                raise ModelFormatError(f"{part}: the key {show(key)} occurs twice in one object")
            result[key] = value
        return result

    def constant(text: str) -> float:
        raise ModelFormatError(f"{part} holds {text}, expected finite numbers")

    def real(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else constant(show(text))

    def integer(text: str) -> int:
        if len(text) > _MAX_DIGITS:
            raise ModelFormatError(f"{part} holds an integer of {len(text)} digits")
        return int(text)

    with malformed(part):
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_float=real,
            parse_int=integer,
        )
    if not isinstance(value, dict):
        raise ModelFormatError(f"{part}: expected an object, found {show(value)}")
    return value


def _check_nesting(text: str, part: str) -> None:
    """Count brackets before parsing: the parser recurses once for each."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        first = match.group()[0]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        if depth > _MAX_NESTING:
            raise ModelFormatError(f"{part} nests deeper than {_MAX_NESTING}")


class Section:
    """An object of a configuration, read by key and type.

    Parameters
    ----------
    where : str
        Names the object in messages.
    values : object
        What the file holds there.

    Raises
    ------
    ModelFormatError
        Here and in the methods: a value is missing or not of the type asked for.
    """

    def __init__(self, where: str, values: object) -> None:
        if not isinstance(values, dict):
            raise ModelFormatError(f"{where}: expected an object, found {show(values)}")
        self.where = where
        self.values: dict[str, Any] = values

    def wrong(self, key: str, expected: str) -> ModelFormatError:
        """Return the error that says what was expected under a key and what is there."""
        found = show(self.values[key]) if key in self.values else "nothing"
        return ModelFormatError(f"{self.where}: {key}: expected {expected}, found {found}")

    def section(self, key: str, where: str | None = None) -> Section:
        """Return the object under a key."""
        return Section(where or f"{self.where}: {key}", self.values.get(key))

    def items(self, key: str) -> list[Any]:
        """Return the list under a key."""
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def string(self, key: str) -> str:
        """Return the string under a key."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """Return true or false, or `default` where the key is absent."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def positive(self, key: str) -> int:
        """Return a positive integer."""
        value = self.values.get(key)
        if not is_dimension(value):
            raise self.wrong(key, "a positive integer")
        return value

    def rate(self, key: str, *, one: bool) -> float:
        """Return a probability; `one` says whether it may be 1."""
        value = self.values.get(key, 0.0)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (0 <= value < 1 or (one and value == 1)):
            raise self.wrong(key, "a rate in [0, 1]" if one else "a rate in [0, 1)")
        return float(value)

    def shape(self, key: str) -> tuple[int | None, ...]:
        """Return a list of positive integers and nulls."""
        value = self.values.get(key)
        if not isinstance(value, list) or not all(d is None or is_dimension(d) for d in value):
            raise self.wrong(key, "a list of positive integers and nulls")
        return tuple(value)

    def refuse_others(self, known: frozenset[str]) -> None:
        """Refuse a key that is not known, unless it is switched off."""
        for key, value in self.values.items():
            if key not in known and value is not None and value is not False:
                raise ModelFormatError(
                    f"{self.where}: unsupported option {show(key)}: {show(value)}"
                )


def is_dimension(value: object) -> TypeGuard[int]:
    """Return whether a value can be the length of an axis."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31

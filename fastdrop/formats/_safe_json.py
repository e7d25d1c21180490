"""Parse JSON strictly, and take typed values out of it."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeGuard

from fastdrop.formats._errors import ModelFormatError, malformed, show

_MAX_NESTING = 64
_MAX_DIGITS = 20

# What a document may become: three times its bytes, the text that is parsed among them. Small
# documents may become more, for objects of few entries take many times their text.
_MAX_GROWTH = 3
_FREE_BYTES = 8 * 2**20
# Upper bounds of what values take in CPython 3.11 to 3.14, in bytes.
_SLOT = 9  # of a list, which grows by an eighth
_FIRST_SLOTS = 24  # more, for the first
_EMPTY = 64  # a list, an object
_NUMBER = 32
_ENTRIES = 120  # of an object, up to five together
_ENTRY = 52  # each, where there are more
_PAIR = 72  # of an object until it is closed
_NEW_KEY = 120  # in the table of keys, each of which is kept once
_STRING = 56  # besides its characters
_ESCAPED_CHARACTER = 7  # a byte of a string that has to be put together

# Possessive, and an open string runs to the end: linear time whatever the text.
_TOKEN = re.compile(
    rb'(?P<string>"(?:[^"\\]++|\\.?)*+"?)(?P<key>[ \t\n\r]*+:)?|[\[{]|[\]}]|[^\s",:\[\]{}]++',
    re.DOTALL,
)
_WIDE, _WIDEST = re.compile(rb"[\xc4-\xff]"), re.compile(rb"[\xf0-\xff]")


def parse_object(data: bytes, part: str) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises
    ------
    ModelFormatError
        The data are not UTF-8 or not JSON, nest deeper than 64, repeat a key of
        an object, hold NaN, an infinity or an integer of more than 20 digits,
        would take more memory than 8 MiB and three times their bytes, or are
        something else than an object.
    """
    value = _parse(data, part)
    if not isinstance(value, dict):
        raise ModelFormatError(f"{part}: expected an object, found {show(value)}")
    return value


def check_size(data: bytes, limit: int) -> None:
    """Refuse a description of layers that is larger than ``max_json_bytes``."""
    if len(data) > limit:
        raise ModelFormatError(
            f"architecture: the file has {len(data)} bytes, max_json_bytes is {limit}"
        )


def parse_list(data: bytes, part: str) -> list[Any]:
    """Return the JSON list in `data`, as strictly as `parse_object`."""
    value = _parse(data, part)
    if not isinstance(value, list):
        raise ModelFormatError(f"{part}: expected a list, found {show(value)}")
    return value


def _parse(data: bytes, part: str) -> Any:
    """Return what a JSON document holds."""
    _check_amount(data, part)
    with malformed(part):
        text = data.decode("utf-8")

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
        return json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_float=real,
            parse_int=integer,
        )


def unquoted(data: bytes, part: str) -> bytes:
    """Return the document that a JSON string holds, as ``json.dump(model.to_json(), file)`` writes.

    Any other document is returned as it is.
    """
    if not data.lstrip(b" \t\r\n").startswith(b'"'):
        return data
    _check_amount(data, part)
    with malformed(part):
        text: str = json.loads(data.decode("utf-8"))
        return text.encode("utf-8")


def _check_amount(data: bytes, part: str) -> None:
    """Count what parsing would build, before any of it is built.

    Brackets are counted too: the parser recurses once for each that is open.
    """
    room = max(_MAX_GROWTH * len(data), _FREE_BYTES) - _width(data) * len(data)
    # How many entries each open object has; a list has -2, one without a value -1.
    inside = [0]
    keys: set[bytes] = set()
    for match in _TOKEN.finditer(data):
        start, end = match.span()
        first = data[start]
        if first in b"]}":
            count = max(inside.pop(), 0) if len(inside) > 1 else 0
            if count:
                room -= _ENTRIES if count <= 5 else _ENTRY * count
                _check_room(room, data, part)
                room += _PAIR * count
            continue
        if match["key"] is not None:
            inside[-1] = max(inside[-1], 0) + 1
            room -= _PAIR
            key = match["string"]
            if key not in keys:
                keys.add(key)
                room -= _NEW_KEY + _string(data, start, match.end("string"))
        else:
            if inside[-1] < 0:
                room -= _SLOT + _FIRST_SLOTS * (inside[-1] + 2)
                inside[-1] = -2
            if first in b"[{":
                inside.append(-1 if first in b"[" else 0)
                room -= _EMPTY
                if len(inside) > 1 + _MAX_NESTING:
                    raise ModelFormatError(f"{part} nests deeper than {_MAX_NESTING}")
            elif first in b'"':
                room -= _string(data, start, end)
            elif first in b"-0123456789" and end - start > 1:  # digits exist already
                room -= _NUMBER
        _check_room(room, data, part)


def _check_room(room: int, data: bytes, part: str) -> None:
    if room < 0:
        raise ModelFormatError(f"{part} has too many values for its {len(data)} bytes")


def _width(data: bytes) -> int:
    """Return how many bytes each character of a text may take."""
    if data.isascii():
        return 1
    return 4 if _WIDEST.search(data) else 2 if _WIDE.search(data) else 1


def _string(data: bytes, start: int, end: int) -> int:
    """Return how many bytes a string may take, quotes counted; the shortest exist already."""
    if end - start <= 3:
        return 0
    escaped = data.find(b"\\u", start, end) >= 0
    width = _ESCAPED_CHARACTER if escaped else _width(data[start:end])
    return _STRING + width * (end - start - 2)


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

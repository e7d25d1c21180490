"""How much a model file may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fastdrop import _check

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that the caller may change and a file never can.

    Raises
    ------
    TypeError
        A limit is not an integer.
    ValueError
        A limit is not positive.
    """

    max_file_bytes: int = 1024 * MIB
    max_tensor_bytes: int = 1024 * MIB
    max_json_bytes: int = 8 * MIB
    max_layers: int = 1024
    max_tensors: int = 16384

    def __post_init__(self) -> None:
        for field in fields(self):
            _check.integer(getattr(self, field.name), field.name, 1, None)

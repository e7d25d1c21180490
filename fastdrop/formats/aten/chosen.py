"""Operators on as many numbers as a mask is true for, which only what runs would know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastdrop.formats._networks import Networks
from fastdrop.formats._values import Chosen, Spread, Tensor, UnsupportedError
from fastdrop.formats.aten._rows import Arguments, Row
from fastdrop.formats.aten.arithmetic import EACH_NUMBER

# What writes such numbers back.
_BACK = ("index_put", "masked_scatter")
# What computes with each place by itself, beside what does with each number.
_EACH_PLACE = (
    *("linear", "layer_norm", "embedding", "dropout"),
    *("alias", "clone", "contiguous", "detach"),
)


def of_chosen(base: str, row: Row, compute: Row, b: Networks, a: Arguments) -> Any:
    """Return what an operator makes of numbers where a mask is true.

    All are computed, and only those count that are written back to where they were.
    """
    if base in _BACK:
        return row(b, a)
    given = [v for v in a.values.values() if isinstance(v, Chosen)]
    if not given or (row not in EACH_NUMBER and base not in _EACH_PLACE):
        raise UnsupportedError(f"{base} of as many numbers as a mask is true for")
    first = given[0]
    if any(not b.same(v.mask, first.mask) for v in given):
        raise UnsupportedError("numbers of several masks, computed with one another")
    behind = first.value.ndim - first.mask.ndim
    needed = len(a.normalized_shape) if base == "layer_norm" else int(base == "linear")
    if behind < needed:
        raise UnsupportedError(f"{base} over as many numbers as a mask is true for")
    beside = [v for v in a.values.values() if isinstance(v, (Tensor, Spread, np.ndarray))]
    if row in EACH_NUMBER and any(v.ndim > behind for v in beside):
        raise UnsupportedError("as many numbers as a mask is true for, beside others")
    whole = {n: v.value if isinstance(v, Chosen) else v for n, v in a.values.items()}
    return Chosen(compute(b, replace(a, values=whole)), first.mask)

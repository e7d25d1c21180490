"""Small calls of the plainest kind, for which checks, plan and pieces take longer than the work.

One layer in one direction runs as a whole; `dropout` and `recurrent_dropout` may drop.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check
from fastdrop._backend import RnnCall
from fastdrop.random import as_key, check_rng, stream_under
from fastdrop.recurrent._arguments import SITES, Options
from fastdrop.recurrent._masks import recurrent_masks
from fastdrop.recurrent._packed import PackedWeights
from fastdrop.recurrent._plan import is_small, may_share

Array = NDArray[Any]

# What may differ from its default.
_FREE = (
    "dropout",
    "recurrent_dropout",
    "rng",
    "scheme",
    "site",
    "sample",
    "row_offset",
    "go_backwards",
    "return_sequences",
    "return_state",
    "threads",
)


class Plain:
    """What does such calls of `rnn`, whose defaults are given."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        fixed = {name: value for name, value in defaults.items() if name not in _FREE}
        self._fixed, self._values = operator.itemgetter(*fixed), tuple(fixed.values())

    def run(self, x: Any, weights: Any, given: Options) -> Array | tuple[Any, ...] | None:
        """Return what `rnn` does; None, with nothing done, where an argument is of another kind.

        What else is right, and what is wrong with the others, `checked` says.
        """
        if type(weights) is not PackedWeights or type(x) is not np.ndarray or x.ndim != 3:
            return None
        if not all(map(operator.is_, self._fixed(given), self._values)):
            return None
        dtype, bfloat16 = weights.dtype, weights.precision == "bfloat16"
        if x.dtype != dtype or not x.flags.carray or (bfloat16 and x.itemsize > 4):
            return None
        rows, steps, features = x.shape
        units, rates = weights.units, (given["dropout"], given["recurrent_dropout"])
        if features != weights.features or not rows * steps * units:
            return None
        if not is_small(weights, rows, steps) or not _are_plain(rates, given):
            return None
        gates = weights.gates if given["scheme"] == "per_gate" else 1
        first_row = given["row_offset"]
        if (first_row + rows) * gates * max(features, units) > _check.INDEX_END:
            return None
        input_mask = recurrent_mask = None
        if any(rates):
            thresholds = [_check.threshold(rate) for rate in rates]
            if max(thresholds) >> 32 or may_share(weights, rows * steps):
                return None
            key = as_key(given["rng"])  # the last check of a call: it may draw
            first = given["site"] << 32 | given["sample"]
            shape = (1, rows, gates, features)
            if thresholds[0]:
                stream = stream_under(key, first, thresholds[0])
                input_mask = recurrent_masks(stream, first_row, shape, dtype)[0]
            if thresholds[1]:
                stream = stream_under(key, first + (1 << 32), thresholds[1])
                recurrent_mask = recurrent_masks(stream, first_row, (*shape[:3], units), dtype)[0]
        else:
            check_rng(given["rng"])
        h, y_last = np.zeros((rows, units), dtype), np.zeros((rows, units), dtype)
        c = np.zeros((rows, units), dtype) if weights.cell == "lstm" else None
        y = np.empty((rows, steps, units), dtype) if given["return_sequences"] else None
        call = RnnCall(
            packed=weights.form(dtype, bfloat16),
            y_last=y_last,
            h=h,
            c=c,
            y=y,
            x=x,
            input_mask=input_mask,
            recurrent_mask=recurrent_mask,
            last=steps,
            backwards=given["go_backwards"],
        )
        _backend.active.rnn(call)
        out = y_last if y is None else y
        if not given["return_state"]:
            return out
        return (out, h) if c is None else (out, h, c)


def _are_plain(rates: tuple[Any, Any], given: Options) -> bool:
    """Whether numbers and words are of the types that they are most often of, and in range."""
    site, sample, first_row = given["site"], given["sample"], given["row_offset"]
    threads: Any = given["threads"]
    scheme: Any = given["scheme"]
    return (
        type(rates[0]) is type(rates[1]) is float
        and 0.0 <= rates[0] <= 1.0
        and 0.0 <= rates[1] <= 1.0
        and type(site) is type(sample) is type(first_row) is int
        and 0 <= site <= (1 << 32) - 2 * SITES
        and 0 <= sample < 1 << 32
        and first_row >= 0
        and (threads is None or (type(threads) is int and 1 <= threads <= _check.MAX_THREADS))
        and type(scheme) is str
        and scheme in ("per_gate", "tied")
        and type(given["go_backwards"]) is bool
        and type(given["return_sequences"]) is bool
        and type(given["return_state"]) is bool
    )

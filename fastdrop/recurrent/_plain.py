"""Small calls of the plainest kind, for which checks, plan and pieces take longer than the work.

One layer in one direction runs as a whole; `dropout` and `recurrent_dropout` may drop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend
from fastdrop.random import Key, as_key
from fastdrop.recurrent._arguments import SITES, Options
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
_LAST_SITE = (1 << 32) - 2 * SITES
# To leave out what a row's masks drop pays for the long way from so many weights times steps on.
_LISTED_WORK = 6_000_000


class Plain:
    """What does such calls of `rnn`, whose defaults are given."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        self._fixed = tuple(item for item in defaults.items() if item[0] not in _FREE)

    def run(self, x: Any, weights: Any, options: Options) -> Array | tuple[Any, ...] | None:
        """Return what `rnn` does; None, with nothing done, where an argument is of another kind.

        What else is right, and what is wrong with the others, `checked` says.
        """
        run = _backend.active.plain_rnn
        if run is None or type(weights) is not PackedWeights or type(x) is not np.ndarray:
            return None
        if x.ndim != 3 or x.dtype != weights.dtype or x.shape[2] != weights.features:
            return None
        rows, steps, _ = x.shape
        rng: Any = options["rng"]
        if not rows * steps * weights.units or not is_small(weights, rows, steps):
            return None
        if type(rng) is int and rng >= 0:
            rng = as_key(rng)
        elif rng is not None and type(rng) is not Key:
            return None
        form = weights.form(x.dtype, weights.precision == "bfloat16")
        work = weights.gates * weights.units * (weights.features + weights.units) * steps
        shares = rows == 1 and work >= _LISTED_WORK and may_share(weights, steps)
        return run(x, form, options, self._fixed, rng, _LAST_SITE, shares)

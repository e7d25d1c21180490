"""Empirical quantiles of a stream in bounded memory."""

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop.uncertainty._statistics import Statistic

CAPACITY = 1024

# Values of all streams together that a quantile is taken of at a time.
_TOGETHER = 1 << 17


class QuantileSketch(Statistic):
    """Quantiles of many streams side by side, exact for up to `CAPACITY` values each.

    Past that, full buffers are merged in pairs: of the sorted union every second value is kept and
    counts double (Munro and Paterson, "Selection and sorting with limited storage", 1980; Manku,
    Rajagopalan and Lindsay, SIGMOD 1998). After n values a rank is off by at most about
    ``log2(n / CAPACITY) / (2 * CAPACITY)`` of n: 0.2 % at 10,000. At most
    ``min(n, CAPACITY * (1 + log2(2 * n / CAPACITY)))`` values a stream are held. Nothing is random,
    and the result depends on the order of the values alone, not on how they were grouped in calls.
    """

    def __init__(self, width: int, expected: int, dtype: np.dtype[Any]) -> None:
        self._buffer = np.empty((min(CAPACITY, expected), width), dtype)
        self._filled = 0
        # Level l: None, or CAPACITY values that stand for 2**l each.
        self._levels: list[NDArray[Any] | None] = []
        self._merges = 0
        # Of the values that have left the buffer.
        self._lowest = np.full(width, np.inf, dtype)
        self._highest = np.full(width, -np.inf, dtype)

    def add(self, values: NDArray[Any]) -> None:
        """Take the next values of every stream. values (samples, width)."""
        self.count += len(values)
        while len(values):
            if self._filled == CAPACITY:
                self._compress()
            first = self._filled
            some = values[: CAPACITY - first]
            self._filled += len(some)
            if self._filled > len(self._buffer):  # more than were expected
                room = min(CAPACITY, max(self._filled, 2 * len(self._buffer)))
                buffer = np.empty((room, *some.shape[1:]), self._buffer.dtype)
                buffer[:first] = self._buffer[:first]
                self._buffer = buffer
            self._buffer[first : self._filled] = some
            values = values[len(some) :]

    def merge(self, other: Self) -> None:
        """Take what another one holds of the same streams, as values of its weights."""
        total = self.count + other.count
        self._lowest = np.minimum(self._lowest, other._lowest)
        self._highest = np.maximum(self._highest, other._highest)
        for level, held in enumerate(other._levels):
            if held is not None:
                self._carry(level, held.copy())
        self.add(other._buffer[: other._filled])
        self.count = total

    def arrays(self) -> dict[str, NDArray[Any]]:
        levels = {f"level {n}": v for n, v in enumerate(self._levels) if v is not None}
        held = {"buffer": self._buffer[: self._filled]}
        return held | {"lowest": self._lowest, "highest": self._highest} | levels

    def with_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> Self:
        changed = copy(self)
        changed._buffer = arrays["buffer"]
        changed._filled = len(changed._buffer)
        changed._lowest, changed._highest = arrays["lowest"], arrays["highest"]
        numbers = [int(name.removeprefix("level ")) for name in arrays if name.startswith("level ")]
        changed._levels = [arrays.get(f"level {n}") for n in range(max(numbers, default=-1) + 1)]
        return changed

    def scalars(self) -> dict[str, int]:
        held = sum(1 << n for n, values in enumerate(self._levels) if values is not None)
        return {"count": self.count, "merges": self._merges, "levels": held}

    def with_scalars(self, scalars: Mapping[str, int]) -> Self:
        changed = super().with_scalars(scalars)
        changed._merges = scalars["merges"]
        return changed

    def _extremes(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the lowest and the highest value of every stream."""
        held = self._buffer[: self._filled]
        return (
            np.minimum(self._lowest, held.min(axis=0, initial=np.inf)),
            np.maximum(self._highest, held.max(axis=0, initial=-np.inf)),
        )

    def _compress(self) -> None:
        """Empty the buffer into the levels, as a carry runs through a binary counter."""
        self._lowest, self._highest = self._extremes()
        full, self._buffer = self._buffer, np.empty_like(self._buffer)
        self._filled = 0
        self._carry(0, full)

    def _carry(self, level: int, carry: NDArray[Any]) -> None:
        """Put in `CAPACITY` values that stand for 2**level each."""
        while True:
            while level >= len(self._levels):
                self._levels.append(None)
            held, self._levels[level] = self._levels[level], None
            if held is None:
                self._levels[level] = carry
                return
            # Taking odd and even places in turn keeps the errors of many merges from adding up.
            first = self._merges % 2
            self._merges += 1
            # Some streams at a time, to need little memory.
            for j in range(0, carry.shape[1], 1024):
                some = slice(j, j + 1024)
                union = np.concatenate([held[:, some], carry[:, some]])
                union.sort(axis=0)
                carry[:, some] = union[first::2]
            level += 1

    def quantile(self, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Q (Q,) in [0, 1] -> (Q, width), interpolating linearly as numpy.quantile does."""
        if not self.count:
            return np.full((len(q), len(self._lowest)), np.nan)
        parts = [self._buffer[: self._filled]]
        weights = [np.ones(self._filled)]
        for level, held in enumerate(self._levels):
            if held is not None:
                parts.append(held)
                weights.append(np.full(len(held), 2.0**level))
        weight = np.concatenate(weights)
        targets = q * (self.count - 1)
        lowest, highest = self._extremes()
        result = np.empty((len(q), len(lowest)))
        step = max(1, _TOGETHER // len(weight))
        for j in range(0, len(lowest), step):  # some streams at a time, to need little memory
            some = slice(j, j + step)
            values = np.concatenate([part[:, some].T for part in parts], axis=1)
            result[:, some] = _interpolated(values, weight, targets)
        result[q == 0] = lowest
        result[q == 1] = highest
        result[:, np.isnan(lowest)] = np.nan  # as numpy.quantile does
        return result


def _interpolated(
    values: NDArray[Any], weight: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (width, n) of some weights (n,) -> (targets, width): those of these ranks."""
    if weight.max() == 1:
        values.sort(axis=1)
        ranks = np.arange(float(len(weight)))[np.newaxis]
    else:
        order = np.argsort(values, axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
        weight = weight[order]
        # A value of weight w stands for w neighbouring ranks; it is placed at their middle.
        ranks = np.cumsum(weight, axis=1) - (weight + 1) / 2
    stream, place = np.arange(len(values)), np.arange(len(ranks))
    result = np.empty((len(targets), len(values)))
    for one, target in zip(result, targets, strict=True):
        below = (ranks <= target).sum(axis=1) - 1
        # Beyond the first and the last of the ranks it is their value.
        low, high = np.maximum(below, 0), np.minimum(below + 1, ranks.shape[1] - 1)
        start, end = ranks[place, low], ranks[place, high]
        with np.errstate(all="ignore"):
            share = np.where(end > start, (target - start) / (end - start), 0)
            a = values[stream, low].astype(np.float64)
            b = values[stream, high].astype(np.float64)
            near = np.where(share < 0.5, a + (b - a) * share, b - (b - a) * (1 - share))
            # Beside an infinite value, where differences say nothing.
            beside = np.where(share == 0, a, a + b)
            one[:] = np.where(np.isfinite(b - a), near, beside)
    return result

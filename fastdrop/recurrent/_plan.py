"""How a call is run: what each direction of each layer runs with, and in which pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check, _threads
from fastdrop._backend import Stream
from fastdrop.random import Key, stream_under
from fastdrop.recurrent._arguments import SITES, Arguments, Sites
from fastdrop.recurrent._masks import Place, Undrawn, drop_steps
from fastdrop.recurrent._packed import PackedWeights

Array = NDArray[Any]

# Rows that a call takes together. Enough for any kernel to work on side by side.
_PIECE_ROWS = 64
# Numbers that a piece holds of its projected inputs, and events that it holds of a window of time.
_PIECE_NUMBERS = 1 << 23
# Inputs to drop from together: few enough to stay in a cache.
_DROP_NUMBERS = 1 << 20
# Arithmetic that a call of the backend may do in one step, for the sake of reading large weights
# for many rows at a time: 100 ms where nothing but plain C is to be had.
_STEP_FLOPS = 1e9
# Arithmetic that each of several threads has at least: starting one and waking a CPU takes as long.
_THREAD_FLOPS = 40e6
# Units of one row that each of several threads has at least: they wait for each other at each step.
_PART_UNITS = 64
# Arithmetic for which a piece of the rows is: it takes a thread some 25 times as long as taking it.
_PIECE_FLOPS = 40e6
# Preparing weights for a mask that rows share pays from so many rows times steps on, from so many
# features and units on, and where at least a quarter is dropped.
_SHARE_ROW_STEPS, _SHARE_WIDTH, _SHARE_KEPT = 64, 96, 0.75


@dataclass(slots=True, eq=False)
class Direction:
    """What one direction of one layer runs with in one call, for all rows."""

    weights: PackedWeights
    flops: int
    packed: _backend.Packed
    light: bool  # in bfloat16, without what masks of all rows drop: a quarter to be read
    backwards: bool
    h: Array
    c: Array | None
    # Factors (rows or 1, gates or 1, width), or what draws them for some rows.
    input_mask: Array | Undrawn | None
    recurrent_mask: Array | Undrawn | None
    candidate_mask: Array | Undrawn | None
    input_steps: Stream | None  # what drops from the input anew at each step
    zoneout_h: Stream | None
    zoneout_c: Stream | None

    @property
    def affordable(self) -> int:
        """Rows times steps that a call of the backend may take before it is seen how fast it is."""
        return max(1, int(_threads.PIECE_FLOPS / self.flops))

    def most_steps(self, rows: int, steps: int) -> int:
        """Steps that a call may take: what is drawn for each of them is kept meanwhile."""
        units = self.weights.units
        if self.input_steps is not None:
            steps = _DROP_NUMBERS // (rows * max(self.weights.features, units))
        if self.zoneout_h is not None or self.zoneout_c is not None:
            steps = min(steps, _PIECE_NUMBERS // (rows * units))
        return max(1, steps)


@dataclass(slots=True, eq=False)
class Plan:
    """What all rows of a call run through, how many rows at a time, and on how many threads."""

    arguments: Arguments
    layers: list[tuple[Direction, ...]]
    between: list[Stream | None]  # what drops from what each layer puts out
    height: int
    threads: int


def planned(arguments: Arguments, held: bool = False) -> Plan:
    """Draw what all rows share, and prepare the weights; held, for many steps to come."""
    row_steps = _SHARE_ROW_STEPS if held else math.prod(arguments.x.shape[:2])
    streams = _streams(arguments)
    states = iter(arguments.states)
    layers = [
        tuple(
            _direction(arguments, weights, 2 * n + d, next(states), streams, row_steps)
            for d, weights in enumerate(layer)
        )
        for n, layer in enumerate(arguments.layers)
    ]
    between: list[Stream | None] = [None] * len(layers)
    for n in range(len(layers) - 1):
        between[n] = _at(streams.between, 2 * n)
    return Plan(arguments, layers, between, *_pieces(arguments, layers))


# ---- what is drawn ----


_NO_STREAMS: Sites[Stream | None] = Sites(*(None,) * 7)


def _streams(arguments: Arguments) -> Sites[Stream | None]:
    """What each rate draws from in the first direction; None where it drops nothing."""
    key = arguments.key
    if key is None:
        return _NO_STREAMS
    site, sample = arguments.site, arguments.sample
    return Sites(*(stream_at(key, site + k, sample, r) for k, r in enumerate(arguments.rates)))


def stream_at(key: Key, site: int, sample: int, rate: float) -> Stream | None:
    """What a rate draws from at a site; None where it drops nothing."""
    threshold = _check.threshold(rate) if rate else 0
    return stream_under(key, site << 32 | sample, threshold) if threshold else None


def _at(stream: Stream | None, direction: int) -> Stream | None:
    """The stream of another direction, all of them numbered layer by layer."""
    if stream is None or not direction:
        return stream
    number = stream.stream + (SITES * direction << 32) & 0xFFFFFFFFFFFFFFFF
    return stream._replace(stream=number)


def _direction(
    arguments: Arguments,
    weights: PackedWeights,
    number: int,
    state: list[Array],
    streams: Sites[Stream | None],
    row_steps: int,
) -> Direction:
    """Prepare one direction of a layer, the `number`-th if all layers had two."""
    if streams is not _NO_STREAMS and number:
        streams = Sites(*(_at(stream, number) for stream in streams))
    masks = _masks(arguments, weights, streams)
    whole = packed = _packed(arguments, weights, streams.weight)
    if streams.weight is None:
        packed, masks = _shared(arguments, weights, packed, masks, row_steps)
    is_lstm = len(state) == 2
    return Direction(
        weights,
        flops_of(weights),
        packed,
        packed is not whole and _takes_bfloat16(arguments, weights),
        number % 2 == 1,
        state[0],
        state[1] if is_lstm else None,
        *masks,
        streams.input if arguments.scheme == "per_step" else None,
        streams.zoneout_h,
        streams.zoneout_c if is_lstm else None,
    )


Masks = tuple[Array | Undrawn | None, Array | Undrawn | None, Array | Undrawn | None]


def _masks(arguments: Arguments, weights: PackedWeights, streams: Sites[Stream | None]) -> Masks:
    """The input's, recurrent and candidate's masks: given, drawn, or to be drawn for some rows."""
    if streams is _NO_STREAMS:
        return arguments.masks
    gates = weights.gates if arguments.scheme == "per_gate" else 1

    def mask(k: int, gates: int, width: int) -> Array | Undrawn | None:
        stream = streams[k]
        if stream is None:
            return arguments.masks[k]
        undrawn = Undrawn(stream, gates, width, arguments.dtype)
        if arguments.shared:
            return undrawn.of_rows(0, 1)
        return undrawn.of_rows(arguments.first_row, 1) if len(arguments.x) <= 1 else undrawn

    per_step = arguments.scheme == "per_step"
    return (
        None if per_step else mask(0, gates, weights.features),
        None if per_step else mask(1, gates, weights.units),
        mask(2, 1, weights.units),
    )


# ---- weights ----


def _takes_bfloat16(arguments: Arguments, weights: PackedWeights) -> bool:
    return (arguments.precision or weights.precision) == "bfloat16"


def _packed(arguments: Arguments, weights: PackedWeights, drop: Stream | None) -> _backend.Packed:
    """The weights' form for this call, some of the recurrent ones dropped."""
    bfloat16 = _takes_bfloat16(arguments, weights)
    if drop is None:
        return weights.form(arguments.dtype, bfloat16)
    recurrent_kernel = np.array(weights.recurrent_kernel, arguments.dtype, order="C")
    drop_steps(drop, Place(0, 0, True), recurrent_kernel.reshape(1, 1, -1))
    return weights.form(arguments.dtype, bfloat16, recurrent_kernel)


def _shared(
    arguments: Arguments,
    weights: PackedWeights,
    packed: _backend.Packed,
    masks: Masks,
    row_steps: int,
) -> tuple[_backend.Packed, Masks]:
    """The same with masks that all rows share put into the weights, where that pays."""
    if not may_share(weights, row_steps):
        return packed, masks
    if _takes_bfloat16(arguments, weights) and not _backend.active.adds_in_turn:
        return packed, masks
    one = [_to_share(mask) for mask in masks[:2]]
    # Zero times infinity is not zero: what is not finite must not be left out.
    if all(mask is None for mask in one) or not weights.finite():
        return packed, masks
    inputs, recurrent = (
        mask if own is None else None for mask, own in zip(masks, one, strict=False)
    )
    return _backend.active.share(packed, *one), (inputs, recurrent, masks[2])


def may_share(weights: PackedWeights, row_steps: int) -> bool:
    """Whether so many rows times steps are enough to put a mask into weights of that size."""
    return row_steps >= _SHARE_ROW_STEPS and weights.features + weights.units >= _SHARE_WIDTH


def _to_share(mask: Array | Undrawn | None) -> Array | None:
    """Return a mask (gates, width) if all rows share it and it drops enough."""
    if not isinstance(mask, np.ndarray) or len(mask) != 1:
        return None
    kept = int(np.count_nonzero(mask[0], axis=-1).max())
    return mask[0] if kept <= _SHARE_KEPT * mask.shape[-1] else None


# ---- pieces ----


def flops_of(weights: PackedWeights) -> int:
    """Return the arithmetic of a row's step, and for what a narrow layer takes beside it."""
    padded = -(-weights.units // 16) * 16
    return 2 * weights.gates * padded * (weights.features + weights.units) + 10_000


def threads_for(flops: int) -> int:
    """Return how many threads have enough to do."""
    return max(1, int(flops / _THREAD_FLOPS))


def threads_of_row(direction: Direction, steps: int) -> int:
    """Return how many threads have enough to do of one row, whose units they divide."""
    flops = direction.flops * steps // (2 if direction.light else 1)
    return min(threads_for(flops), direction.weights.units // _PART_UNITS)


def is_small(weights: PackedWeights, rows: int, steps: int) -> bool:
    """Whether so many rows and steps are one piece, and too little for another thread."""
    flops = flops_of(weights) * rows
    return rows <= _PIECE_ROWS and flops <= _STEP_FLOPS and flops * steps < 2 * _THREAD_FLOPS


def _pieces(arguments: Arguments, layers: list[tuple[Direction, ...]]) -> tuple[int, int]:
    """How many rows to take at a time, and on how many threads."""
    rows, steps = arguments.x.shape[:2]
    every = [direction for layer in layers for direction in layer]
    flops = [direction.flops for direction in every]
    threads = min(arguments.threads, threads_for(rows * steps * sum(flops)))
    height = min(_PIECE_ROWS, -(-rows // threads), int(_STEP_FLOPS / max(flops)))
    if threads > 1:  # more pieces than threads, for the next of which none has to wait long
        enough = math.ceil(_PIECE_FLOPS / (steps * sum(flops)))
        together = max(_backend.active.rows_together(d.packed) for d in every)
        height = min(height, -(-enough // together) * together)
    if arguments.embedding is not None and every[0].input_steps is None:
        # Projections are kept for all steps.
        width = max(direction.weights.kernel.shape[1] for direction in every)
        height = min(height, _PIECE_NUMBERS // (steps * width or 1))
    return max(1, height), threads

"""Recurrent layers with dropout on and off: one thread, by tier."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from benchmarks.recurrent_peers import (
    DROPOUTS,
    OFF,
    PER_GATE,
    SHARED,
    TIED,
    Array,
    Shape,
    Task,
    check,
    pack,
    stepping,
)
from benchmarks.steps import STEPS

pytestmark = pytest.mark.benchmark(max_time=0.2)

SHAPES = [Shape(1, 100, 64, 100), Shape(32, 20, 64, 100), Shape(32, 10, 256, 256)]
KEY = fd.Key(0)


def factors(stream: int, rows: int, gates: int, width: int) -> Array:
    """Draw a mask by the function for masks, and not by that for layers."""
    ones = np.ones((rows, gates, width), np.float32)
    return fd.dropout(ones, 0.5, rng=KEY, stream=stream << 32)


@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_layer(timed: Any, cell: str, shape: Shape, dropout: str) -> None:
    task = Task(cell, shape, threads=1)
    packed = pack(task)
    options: dict[str, Any] = {"return_sequences": True, "threads": 1}
    y = fd.rnn(task.x, packed, rng=KEY, **options, **DROPOUTS[dropout])
    if dropout == OFF:
        np.testing.assert_allclose(y, task.expected, rtol=0, atol=1e-5)
    else:
        rows = 1 if dropout == SHARED else shape.batch
        gates = 1 if dropout == TIED else task.gates
        replayed = fd.rnn(
            task.x,
            packed,
            input_mask=factors(0, rows, gates, shape.features),
            recurrent_mask=factors(1, rows, gates, shape.units),
            **options,
        )
        np.testing.assert_array_equal(y, replayed)
    timed.extra_info["gflop"] = 1e-9 * task.flop
    timed(fd.rnn, task.x, packed, rng=KEY, **options, **DROPOUTS[dropout])


@pytest.mark.parametrize("dropout", [OFF, PER_GATE])
@pytest.mark.parametrize("shape", STEPS, ids=str)
def test_step(timed: Any, shape: tuple[int, int, int, int], dropout: str) -> None:
    """A step of a sequence that comes step by step, with masks held."""
    task = Task("lstm", Shape(*shape), threads=1)
    row = stepping(task, dropout)
    check(row, task)
    timed.extra_info["gflop"] = 1e-9 * task.flop
    timed(row.call)

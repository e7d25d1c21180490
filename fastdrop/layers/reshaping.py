"""Layers that only lay out numbers anew."""

from dataclasses import dataclass

import numpy as np

from fastdrop import _check
from fastdrop.layers._layer import Draw, Flow, Shape, Single


@dataclass(frozen=True, eq=False, kw_only=True)
class RepeatVector(Single):
    """Make a sequence of `count` equal time steps of each vector."""

    count: int

    def __post_init__(self) -> None:
        self.prepare(count=_check.integer(self.count, f"{self.label} count", 1, None))

    def output_shape(self, shape: Shape) -> Shape:
        self.check_fits(shape, "(features,)", len(shape) == 1)
        return (self.count, *shape)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        samples, rows, features = flow.values.shape
        # The vectors are a table: a recurrent layer projects each of them once, not each step.
        table = flow.values.reshape(samples * rows, features)
        numbers = np.arange(samples * rows).reshape(samples, rows, 1)
        return Flow(np.broadcast_to(numbers, (samples, rows, self.count)), table=table)

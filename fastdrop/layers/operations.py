"""Functions of tensors, as layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastdrop.layers._layer import Draw, Flow, Layer, Shape, Single


@dataclass(frozen=True, eq=False, kw_only=True)
class NotEqual(Single):
    """Say 1 where a number is not `value`, else 0."""

    value: float

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        return ("not equal", tensors[0], self.value)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values((flow.values != np.float32(self.value)).astype(np.float32))


@dataclass(frozen=True, eq=False, kw_only=True)
class WithMask(Layer):
    """Give a tensor another time mask: the second input, zero where a step is padding.

    With `borrowed` it is not that input itself but the mask that it bears.
    """

    borrowed: bool = False

    takes_table: ClassVar = True

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        return [inputs[0]]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        flow, other = inputs
        mask = other.mask if self.borrowed else other.values != 0
        return [Flow(flow.values, mask, flow.table, flow.factors)]

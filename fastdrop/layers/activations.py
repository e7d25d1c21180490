"""Activations that stand as layers of their own."""

from dataclasses import dataclass

from fastdrop import _check
from fastdrop.feedforward import OUTPUT_ACTIVATIONS, activate
from fastdrop.layers._layer import Draw, Flow, Single


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation(Single):
    """An activation by itself; softmax is along the last axis."""

    activation: str

    passes_mask = True

    def __post_init__(self) -> None:
        _check.choice(self.activation, f"{self.label} activation", OUTPUT_ACTIVATIONS)

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        return flow.with_values(activate(flow.values, self.activation))

"""What there is to see of a model: its layers, shapes, rates and notes, as a table or as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastdrop.layers import Layer, Shape

_HEAD = ("layer", "kind", "output", "weights", "stochastic", "takes")
# How many characters each may have on a terminal.
_ROOM = (40, 40, 300, 40, 300, 300)
_UNKNOWN = "?"


@dataclass
class LayerSummary:
    """A layer, or a call of it: what is known.

    Attributes
    ----------
    name, kind : str
        Its name and class.
    outputs : list of tuple of int or None, or None
        The shapes of a row's outputs, without the batch axis; None if not known.
    weights : int or None
        How many numbers it holds that no row above it does; None if not known.
    rates : dict of str to float, or None
        Its rates of dropout by name.
    stochastic : str
        What is random about it; empty if nothing is, or if it is not known.
    takes : list of str
        The tensors that it takes.
    """

    name: str
    kind: str
    outputs: list[Shape] | None = None
    weights: int | None = None
    rates: dict[str, float] | None = None
    stochastic: str = ""
    takes: list[str] = field(default_factory=list)

    def tell(
        self, layer: Layer, outputs: Sequence[Shape], *, again: bool = False, draws: bool = True
    ) -> None:
        """Take what is known of a layer; `again` of one whose weights were counted before."""
        self.outputs = list(outputs)
        self.weights = 0 if again else sum(weight.size for weight in layer.weights().values())
        self.rates = layer.rates()
        self.stochastic = layer.stochastic if draws else ""

    def asdict(self) -> dict[str, Any]:
        """Return the same as plain values, for JSON."""
        return {
            "name": self.name,
            "class": self.kind,
            "outputs": self.outputs,
            "weights": self.weights,
            "rates": self.rates,
            "stochastic": self.stochastic,
            "takes": self.takes,
        }

    def cells(self) -> tuple[str, ...]:
        """Return what a table shows of it."""
        outputs, weights = _UNKNOWN, _UNKNOWN
        if self.outputs is not None:
            outputs = ", ".join(map(shown, self.outputs))
        if self.weights is not None:
            weights = f"{self.weights:,}" if self.weights else "-"
        stochastic = self.stochastic or ("-" if self.outputs is not None else _UNKNOWN)
        return self.name, self.kind, outputs, weights, stochastic, ", ".join(self.takes)


@dataclass
class Summary:
    """A model, or what could be read of one that is refused.

    Attributes
    ----------
    source : str
        Where it came from.
    inputs, outputs : dict of str to tuple of int or None
        Their names and shapes of a row, without the batch axis; None if not known.
    layers : list of LayerSummary
        In the order in which they run, or in that of the file if the model is refused.
    notes : list of str
        What a reader should know.
    """

    source: str = ""
    inputs: dict[str, Shape | None] = field(default_factory=dict)
    outputs: dict[str, Shape | None] = field(default_factory=dict)
    layers: list[LayerSummary] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(
        self,
        show: Callable[[str, int], str] = lambda text, room: text,
        *,
        refused: bool = False,
    ) -> list[str]:
        """Return where it is from, the table, its sum and the notes.

        `show` makes a text from elsewhere fit to be shown, in some room. There is no sum of a model
        that is `refused`, for not all of it may have been read.
        """
        rows: list[tuple[str, ...]] = [_HEAD]
        for name, shape in self.inputs.items():
            label = "(input)" if len(self.inputs) == 1 else f"{name} (input)"
            rows.append((label, "", _UNKNOWN if shape is None else shown(shape), "", "", ""))
        rows += [layer.cells() for layer in self.layers]
        if self._is_chain():
            rows = [row[:-1] for row in rows]
        rows = [
            tuple(show(cell, room) for cell, room in zip(row, _ROOM, strict=False)) for row in rows
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            *([show(self.source, _ROOM[-1])] if self.source else []),
            *(
                "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
                for row in rows
            ),
            *([] if refused else self._sum()),
            *(f"note: {show(note, _ROOM[-1])}" for note in self.notes),
        ]

    def _is_chain(self) -> bool:
        """Return whether each layer takes what the one above it makes, or nobody knows."""
        before = next(iter(self.inputs), "")
        for layer in self.layers:
            if layer.takes not in ([], [before]) or len(layer.outputs or [()]) > 1:
                return False
            before = layer.name
        return True

    def _sum(self) -> list[str]:
        weights = [layer.weights for layer in self.layers if layer.weights is not None]
        if len(weights) < len(self.layers):
            return []
        random = any(layer.stochastic for layer in self.layers)
        return [f"{sum(weights):,} weights; {'stochastic' if random else 'nothing is stochastic'}"]

    def asdict(self) -> dict[str, Any]:
        """Return the same as plain values, for JSON."""
        return {
            "source": self.source,
            "inputs": _named(self.inputs),
            "outputs": _named(self.outputs),
            "layers": [layer.asdict() for layer in self.layers],
            "notes": list(self.notes),
        }


def _named(shapes: Mapping[str, Shape | None]) -> list[dict[str, Any]]:
    return [{"name": name, "shape": shape} for name, shape in shapes.items()]


def shown(shape: Sequence[int | None]) -> str:
    """Return a shape with its batch axis, for people."""
    return "(" + ", ".join(["batch", *("any" if n is None else str(n) for n in shape)]) + ")"

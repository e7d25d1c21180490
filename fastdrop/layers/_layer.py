"""What runs through the layers of a model, and what a layer is.

A layer takes tensors and gives tensors; what stands in a tensor at inference is a `Flow`. Its first
axis is that of the samples: of length 1 where nothing random has happened yet, so what has no
random ancestor is computed once whatever the number of samples. The second axis is that of the
rows, one an input.

A weight whose numbers nobody has read yet is `Declared`: only its shape is known. A layer of
declared weights knows all shapes, which is enough to refuse what does not fit before any memory is
spent on it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop._backend import Stream
from fastdrop.random import Key, stream_under
from fastdrop.recurrent import recurrent_masks

Array = NDArray[Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """A weight of which only the shape is known."""

    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]


# What a field for a weight holds: an array of float32, or what is `Declared`.
Weight = Any


# ---- what runs through a model ----


@dataclass(frozen=True, slots=True)
class Draw:
    """Which masks a call of a layer draws: those of some samples and rows.

    Rows n and n + `period` share their masks; without a period (0) each row has its own.
    """

    key: Key
    samples: range
    first_row: int
    rows: int
    period: int = 0

    def within(self, steps: int) -> "Draw":
        """Return what is drawn where step t of row n is a row of its own: n * steps + t."""
        return replace(
            self,
            first_row=self.first_row * steps,
            rows=self.rows * steps,
            period=self.period * steps,
        )

    def stream(self, sample: int, site: int = 0) -> int:
        return site << 32 | sample

    def source(self, site: int, rate: float) -> Stream:
        """Return what the first sample draws from; each further one has the next stream."""
        assert self.samples.step == 1
        number = self.stream(self.samples.start, site)
        return stream_under(self.key, number, _check.threshold(rate))

    def masks(self, site: int, rate: float, gates: int, width: int) -> Array | None:
        """Draw scaled masks (samples, rows or 1, gates, width), time-constant; None at rate 0."""
        if not _check.threshold(rate):
            return None
        rows = self.period or self.rows
        masks = recurrent_masks(
            self.source(site, rate),
            0 if self.period else self.first_row,
            (len(self.samples), rows, gates, width),
            np.dtype(np.float32),
        )
        return np.tile(masks, (1, self.rows // rows, 1, 1)) if 1 < rows < self.rows else masks


@dataclass(frozen=True, slots=True)
class Flow:
    """What stands in a tensor.

    values (samples or 1, rows, ...); mask (samples or 1, rows, time, ...), False where a time step
    is padding, or None.

    With a `table` (V, D) the activations are rows of it that nobody has looked up yet: `values`
    (samples or 1, rows, time) are their indices, and `factors` (samples, rows or 1, D), or None,
    multiply all time steps alike. A layer that ``takes_table`` works on the table itself; the model
    looks the rows up for every other layer.
    """

    values: Array
    mask: Array | None = None
    table: Array | None = None
    factors: Array | None = None

    @property
    def rows(self) -> int:
        return int(self.values.shape[1])

    def with_values(self, values: Array) -> "Flow":
        return Flow(values, self.mask)

    def looked_up(self) -> "Flow":
        """The same without a table."""
        if self.table is None:
            return self
        values = np.take(self.table, self.values, axis=0)
        if self.factors is not None:
            # Selected where dropped, as `dropout` does: 0 times infinity is not 0.
            factors = self.factors[:, :, np.newaxis]
            dropped = np.zeros((max(len(values), len(factors)), *values.shape[1:]), values.dtype)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                values = np.multiply(values, factors, out=dropped, where=factors != 0)
        return self.with_values(values)


def for_samples(values: Array, samples: int) -> Array:
    """Return the same for so many samples, without a copy."""
    if len(values) == samples:
        return values
    return np.broadcast_to(values, (samples, *values.shape[1:]))


# ---- layers ----


# What a layer remembers of a sequence: arrays (samples or 1, rows, ...) by name.
Memory = dict[str, Array]


class Stepper(Protocol):
    """A layer that takes a sequence step by step."""

    @property
    def sequences(self) -> Sequence[bool]:
        """Of each output whether it is a step of a sequence; else it is of all steps so far."""
        ...

    @property
    def remembers(self) -> Mapping[str, tuple[int, ...]]:
        """The names of what it remembers, and the shape of each for a row."""
        ...

    def start(self, inputs: Sequence[Flow]) -> Memory:
        """Return what is remembered before the first step; of the inputs the first is that step."""
        ...

    def step(
        self, inputs: Sequence[Flow], draw: Draw | None, memory: Memory, number: int
    ) -> tuple[list[Flow], Memory]:
        """Take a step, the one of this number, and return outputs and what is remembered then."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Layer:
    """What a model asks of a layer; the layers themselves are in this package's other modules.

    A layer is immutable, and an option or a weight that does not fit is refused when it is made.
    """

    name: str

    # Fields that hold weights, in the order in which Keras lists a layer's weights, and those of
    # them that training by gradients does not touch.
    weight_fields: ClassVar[tuple[str, ...]] = ()
    state_fields: ClassVar[tuple[str, ...]] = ()
    # Fields that hold layers.
    part_fields: ClassVar[tuple[str, ...]] = ()
    # Fields with the rates that a user may set.
    rate_fields: ClassVar[tuple[str, ...]] = ()
    # Rates that are set by their names alone, and not by one number for all.
    own_rate_fields: ClassVar[tuple[str, ...]] = ()
    # Whether it takes a table that nobody has looked up yet.
    takes_table: ClassVar[bool] = False

    # The next ones are plain class attributes in most layers; those of parts count where there are
    # such.

    @property
    def can_draw(self) -> bool:
        """Whether a call can draw, whatever its rates are: such calls are numbered in a model."""
        return any(part.can_draw for part in self.parts)

    @property
    def takes_indices(self) -> bool:
        """Whether its inputs are indices: whole numbers in a range that it names."""
        return any(part.takes_indices for part in self.parts)

    @property
    def is_recurrent(self) -> bool:
        """Whether rates given for all recurrent layers are meant for it."""
        return any(part.is_recurrent for part in self.parts)

    @property
    def has_precision(self) -> bool:
        """Whether it takes products in the precision that a model is given."""
        return any(part.has_precision for part in self.parts)

    @property
    def passes_mask(self) -> bool:
        """Whether its output bears the time mask of its first input."""
        return False

    @property
    def stochastic(self) -> str:
        """What is random about it, for people; empty if nothing is."""
        return "; ".join(dict.fromkeys(part.stochastic for part in self.parts if part.stochastic))

    def __repr__(self) -> str:
        """Weights as their shapes, and the options that are not as usual."""
        shown = [repr(self.name)]
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "name" or not each.init or value is None:
                continue
            value = _brief(value)
            if value != each.default:
                shown.append(f"{each.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def declare(cls, inputs: Sequence[Shape], *, name: str, **options: Any) -> Self:
        """Make a layer for inputs of these shapes whose weights are declared only.

        Raises
        ------
        TypeError, ValueError
            If an option is refused, or the inputs do not fit.
        """
        return cls(name=name, **options)

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"layer {_check.text(self.name, 'name')!r}"

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        """Shapes of a row's outputs for a row's inputs; None is a length left open.

        Raises
        ------
        ValueError
            If the inputs do not fit.
        """
        raise NotImplementedError

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        """Run with dropout off (draw None) or on."""
        raise NotImplementedError

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        """Numbers that it holds for a row while it runs, besides inputs and outputs."""
        return 0

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        """Elements of the largest mask of a row, by which rows are numbered."""
        return 0

    def check_indices(self, values: Array, where: str) -> None:
        """Refuse inputs that are no indices for it, where it takes such."""
        for part in self.parts:
            part.check_indices(values, where)

    def mask_symbol(self, tensors: Sequence[str], masks: Sequence[object]) -> object:
        """Return how the time mask of its output is computed, given how those of its inputs are.

        A mask that a file computes and hands on is left out where it is the one that comes anyway.
        """
        return masks[0] if self.passes_mask and masks else None

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        """Return how its output is computed, where that may be a time mask."""
        return None

    def meaning(self, inputs: Sequence[str]) -> str:
        """Return what its outputs are, given what its inputs are.

        "binary": probabilities of events. "multiclass": those of classes, along the last axis.
        "regression": any numbers.
        """
        return "regression"

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        """Say whether it does to every time step alike, the first axis of its inputs, by itself."""
        return False

    def draws_for(self, inputs: Sequence[Shape]) -> str:
        """Return what it draws new masks for, where inputs are sequences.

        "rows", for all steps alike; "steps", step t of row n having the row n * 2**24 + t; or
        "places", that being n * steps + t.
        """
        return "rows"

    def stepper(self, inputs: Sequence[Shape]) -> "Stepper | None":
        """Return what takes a step at a time and remembers, where it needs no step ahead."""
        return None

    def remarks(self, inputs: Sequence[Shape]) -> list[str]:
        """What a user should know about it for inputs of these shapes."""
        return []

    # ---- what follows from the fields ----

    @property
    def parts(self) -> tuple["Layer", ...]:
        """The layers that it is made of."""
        found: list[Layer] = []
        for field in self.part_fields:
            value = getattr(self, field)
            found += value if isinstance(value, tuple) else (value,)
        return tuple(found)

    def weights(self) -> dict[str, Weight]:
        """Weights by field, those of parts as in ``forward.kernel``, in Keras's order."""
        own = {field: getattr(self, field) for field in self.weight_fields}
        found = {field: value for field, value in own.items() if value is not None}
        for label, part in self._labelled_parts():
            found |= {f"{label}.{field}": value for field, value in part.weights().items()}
        return found

    def with_weights(self, arrays: Mapping[str, Array]) -> Self:
        """Return the same layer with other weights; `arrays` has them as `weights` does."""
        changes: dict[str, Any] = {f: arrays[f] for f in self.weight_fields if f in arrays}
        for field in self.part_fields:
            value = getattr(self, field)
            if isinstance(value, tuple):
                changes[field] = tuple(
                    part.with_weights(_below(arrays, f"{field}.{i}"))
                    for i, part in enumerate(value)
                )
            else:
                changes[field] = value.with_weights(_below(arrays, field))
        return replace(self, **changes) if changes else self

    def _labelled_parts(self) -> Iterator[tuple[str, "Layer"]]:
        for field in self.part_fields:
            value = getattr(self, field)
            if isinstance(value, tuple):
                yield from ((f"{field}.{i}", part) for i, part in enumerate(value))
            else:
                yield field, value

    def rates(self) -> dict[str, float]:
        """Its rates by name, or those of the first of its parts that has any.

        Of those that a number for all leaves alone, the ones that are not zero.
        """
        found = {field: getattr(self, field) for field in self.rate_fields}
        found |= {field: rate for field in self.own_rate_fields if (rate := getattr(self, field))}
        if found:
            return found
        return next((rates for part in self.parts if (rates := part.rates())), {})

    def _settable(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of its rates: those that a number for all sets, and the others."""
        if self.rate_fields:
            return self.rate_fields, self.own_rate_fields
        found = (part._settable() for part in self.parts)
        return next((names for names in found if names[0]), ((), ()))

    def with_rates(self, rates: object) -> Self:
        """Return the same layer, and all its parts, with other rates.

        Parameters
        ----------
        rates : float or mapping of str to float
            One for all the layer's rates, or some by their names.

        Raises
        ------
        TypeError, ValueError
            If it has no such rate, or a rate is out of range.
        """
        known, more = self._settable()
        if not known:
            raise ValueError(f"{self.label}: it has no rate to set")
        if isinstance(rates, Mapping):
            every = (*known, *more)
            for name in rates:
                if name not in every:
                    _check.refuse(ValueError, f"{self.label} rates", _check.words(every), name)
        else:
            rates = dict.fromkeys(known, rates)
        return self._changed(rates)

    def _changed(self, rates: Mapping[str, Any]) -> Self:
        own = {f: rates[f] for f in self.rate_fields if f in rates}
        return self._with_parts(lambda part: part._changed(rates), **own)

    @property
    def rounds(self) -> bool:
        """Whether it takes products in bfloat16."""
        return any(part.rounds for part in self.parts)

    def with_precision(self, precision: _check.Precision) -> Self:
        """Return the same layer, whose recurrent parts take products in "float32" or "bfloat16"."""
        return self._with_parts(lambda part: part.with_precision(precision))

    def _with_parts(self, change: "Callable[[Layer], Layer]", **own: Any) -> Self:
        """Return the same layer with other parts and fields of its own."""
        changes = dict(own)
        for field in self.part_fields:
            value = getattr(self, field)
            changes[field] = (
                tuple(change(part) for part in value) if isinstance(value, tuple) else change(value)
            )
        return replace(self, **changes) if changes else self

    # ---- for the layers ----

    def check_fits(self, shape: Shape, expected: str, fits: bool) -> None:
        """Refuse an input whose shape does not fit."""
        if not fits:
            refuse_shape(self.name, shape, expected)

    def check_weight(self, field: str, shape: tuple[int | None, ...]) -> None:
        """Refuse a weight of another shape, None being any length; float32, C order and aligned.

        A field that is None by default may stay None. What can be written to is copied.
        """
        value = getattr(self, field)
        label = f"{self.label} {field}"
        if value is None and any(f.name == field and f.default is None for f in fields(self)):
            return
        if not isinstance(value, Declared):
            given = _check.array(value, label, ("float32",), len(shape))
            value = kept(_check.contiguous(given, np.dtype(np.float32)))
            self.prepare(**{field: value})
        if len(shape) != value.ndim or any(
            n is not None and n != m for n, m in zip(shape, value.shape, strict=True)
        ):
            expected = tuple("any" if n is None else n for n in shape)
            raise ValueError(f"{label}: expected shape {expected}, got {value.shape}")

    def prepare(self, **fields: Any) -> None:
        """Put what was checked and prepared in place of what was given."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def kept(array: Array) -> Array:
    """Return an array that nobody changes: itself if it cannot be written to, else a copy."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def _brief(value: Any) -> Any:
    """Return the shape of a weight; of constants in a tuple those that are no single numbers."""
    if isinstance(value, tuple):
        single = (isinstance(v, np.ndarray) and not v.ndim for v in value)
        return tuple(v.item() if s else _brief(v) for v, s in zip(value, single, strict=True))
    return tuple(value.shape) if isinstance(value, np.ndarray | Declared) else value


def _below(arrays: Mapping[str, Array], label: str) -> dict[str, Array]:
    """Return the arrays of a part."""
    prefix = f"{label}."
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def refuse_shape(name: str, shape: Shape, expected: str) -> None:
    raise ValueError(f"layer {name!r}: expected an input of shape {expected}, got {shape}")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Single(Layer):
    """A layer of one input and one output."""

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of a row's output for a row's input; None is a length left open."""
        return shape

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        """Run with dropout off (draw None) or on."""
        raise NotImplementedError

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        return [self.output_shape(self.only(inputs))]

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        (flow,) = inputs
        return [self.forward(flow, draw)]

    def only(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the one input."""
        if len(inputs) != 1:
            raise ValueError(f"{self.label}: expected one input, got {len(inputs)}")
        return inputs[0]


def meaning_of(activation: _check.Activation) -> str:
    """Return what an activation along the last axis puts out, as `Layer.meaning` does."""
    name = activation if isinstance(activation, str) else activation[0]
    return _MEANINGS.get(name, "regression")


_MEANINGS = {
    "softmax": "multiclass",
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "hard_sigmoid_legacy"), "binary"),
}


def last_axis(name: str, shape: Shape) -> int:
    """Return the length of the last axis of a layer's input, which must be known."""
    if not shape or shape[-1] is None:
        refuse_shape(name, shape, "(..., features) with a fixed number of features")
    length = shape[-1]
    assert length is not None
    return length

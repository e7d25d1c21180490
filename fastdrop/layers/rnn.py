"""Recurrent layers, and what repeats a layer over time."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, cast

import numpy as np

from fastdrop import _check, _threads, recurrent
from fastdrop.layers._layer import (
    Array,
    Declared,
    Draw,
    Flow,
    Layer,
    Memory,
    Shape,
    Stepper,
    Weight,
    for_samples,
    last_axis,
)
from fastdrop.recurrent import (
    SITES,
    PackedWeights,
    merge,
    pack_gru,
    pack_lstm,
    pack_simple_rnn,
    recurrent_masks,
    rnn,
)
from fastdrop.typing import LayerState

# How many masks a row has, fixed or as a library decides by the rates: Keras gives each gate its
# own once there is recurrent dropout; tf.keras 2 draws anew at each step where there is none and
# nothing else forbids its fast path, and so did its first versions, which otherwise had one mask.
SCHEMES = ("per_gate", "tied", "per_step", "keras", "tf_keras", "tf_keras_early")
# Steps of a row are numbered up to here, as in `rnn`.
_STEPS = 24


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class OverTime(Layer):
    """A layer that takes time steps in one of two directions: `Bidirectional` has two of them."""

    @property
    def go_backwards(self) -> bool:
        raise NotImplementedError

    @property
    def return_sequences(self) -> bool:
        raise NotImplementedError

    @property
    def return_state(self) -> bool:
        raise NotImplementedError

    @property
    def units(self) -> int:
        """How long the last axis of its output is."""
        raise NotImplementedError

    def outputs(
        self, flow: Flow, states: Sequence[Array], draw: Draw | None, direction: int = 0
    ) -> tuple[Array, list[Array]]:
        """Return the outputs (samples or 1, rows, ...) and final states, of one of two directions.

        The direction says which masks are drawn.
        """
        raise NotImplementedError

    @property
    def passes_mask(self) -> bool:
        return self.return_sequences

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        flow, *states = inputs
        y, final = self.outputs(flow, [state.values for state in states], draw)
        flows = [Flow(y, flow.mask if self.return_sequences else None)]
        return flows + [Flow(state) for state in final] if self.return_state else flows


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Recurrent(OverTime):
    """What the recurrent layers have in common; see `fastdrop.rnn` for the options.

    It takes a sequence, and where a call gives them the initial states; it gives its output, and
    with `return_state` the final states.
    """

    kernel: Weight
    recurrent_kernel: Weight
    bias: Weight | None = None
    activation: _check.Activation = "tanh"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    # Of recurrent weights: all rows of a sample share what is dropped.
    weight_dropout: float = 0.0
    go_backwards: bool = False
    return_sequences: bool = False
    return_state: bool = False
    zero_output_for_mask: bool = False
    precision: _check.Precision = "float32"
    # False: time masks are passed on, but all steps are taken.
    uses_mask: bool = True
    # True: before the first step that is taken the initial h is put out, not zeros.
    starts_from_state: bool = False
    # Packed once, for all calls and threads; None where the weights are declared only.
    packed: PackedWeights | None = field(init=False, repr=False, default=None)

    weight_fields: ClassVar[tuple[str, ...]] = ("kernel", "recurrent_kernel", "bias")
    rate_fields: ClassVar[tuple[str, ...]] = ("dropout", "recurrent_dropout")
    own_rate_fields: ClassVar[tuple[str, ...]] = ("weight_dropout",)
    takes_table: ClassVar[bool] = True
    can_draw = True
    is_recurrent = True
    has_precision = True
    gates: ClassVar[int] = 1
    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __post_init__(self) -> None:
        self.check_weight("recurrent_kernel", (None, None))
        width = self.gates * len(self.recurrent_kernel)
        self.check_weight("recurrent_kernel", (len(self.recurrent_kernel), width))
        self.check_weight("kernel", (None, width))
        self.check_weight("bias", self._bias_shape(width))
        self._check_options()
        if not isinstance(self.kernel, Declared):
            packed = self._pack()
            self.prepare(
                kernel=packed.kernel,
                recurrent_kernel=packed.recurrent_kernel,
                bias=packed.bias,
                packed=packed,
            )

    def _check_options(self) -> None:
        label = self.label
        self._check_activations(label)
        for option in ("dropout", "recurrent_dropout", "weight_dropout"):
            _check.recurrent_rate(getattr(self, option), f"{label} {option}")
        for option in (
            "go_backwards",
            "return_sequences",
            "return_state",
            "zero_output_for_mask",
            "uses_mask",
            "starts_from_state",
        ):
            _check.flag(getattr(self, option), f"{label} {option}")
        _check.choice(self.precision, f"{label} precision", _check.PRECISIONS)
        self._check_more(label)

    @property
    def rounds(self) -> bool:
        """Whether it takes products in bfloat16."""
        return self.precision == "bfloat16"

    def with_precision(self, precision: _check.Precision) -> Self:
        changed = copy(self)  # what is packed stays so
        changed.prepare(precision=precision)
        changed._check_options()
        return changed

    def _changed(self, rates: Mapping[str, Any]) -> Self:
        changed = copy(self)  # what is packed stays so
        names = (*self.rate_fields, *self.own_rate_fields)
        changed.prepare(**{f: rates[f] for f in names if f in rates})
        changed._check_options()
        return changed

    @classmethod
    def declare(
        cls,
        inputs: Sequence[Shape],
        *,
        name: str,
        units: int = 0,
        use_bias: bool = True,
        **options: Any,
    ) -> Self:
        width = cls.gates * units
        return cls(
            name=name,
            kernel=Declared((last_axis(name, inputs[0]), width)),
            recurrent_kernel=Declared((units, width)),
            bias=Declared(cls._declared_bias(width, options)) if use_bias else None,
            **options,
        )

    @classmethod
    def _declared_bias(cls, width: int, options: dict[str, Any]) -> tuple[int, ...]:
        return (width,)

    def _bias_shape(self, width: int) -> tuple[int, ...]:
        return (width,)

    def _check_activations(self, label: str) -> None:
        _check.activation(self.activation, f"{label} activation")

    def _check_more(self, label: str) -> None:
        """Check the options that not all cells have."""

    def _pack(self) -> PackedWeights:
        raise NotImplementedError

    def remarks(self, inputs: Sequence[Shape]) -> list[str]:
        found = []
        if inputs[0][0] == 1 and len(inputs) == 1 and _check.threshold(self.recurrent_dropout):
            found.append(
                f"{self.label}: recurrent dropout has no effect, for there is one time step and "
                "the state before it is zero"
            )
        if self.precision != "float32":
            found.append(f"{self.label}: products are taken in {self.precision}")
        return found

    @property
    def drawn_scheme(self) -> str:
        """How masks are drawn with the rates as they are: "per_gate", "tied" or "per_step"."""
        return "tied"

    @property
    def stochastic(self) -> str:
        rates = (
            ("input dropout", self.dropout),
            ("recurrent dropout", self.recurrent_dropout),
            ("weight dropout", self.weight_dropout),
        )
        return ", ".join(f"{what} {rate:g}" for what, rate in rates if _check.threshold(rate))

    @property
    def units(self) -> int:
        return int(self.recurrent_kernel.shape[0])

    @property
    def state_widths(self) -> tuple[int, ...]:
        return (self.units,) * len(self.state_names)

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape, *states = inputs
        features = len(self.kernel)
        fits = len(shape) == 2 and shape[1] in (features, None)
        self.check_fits(shape, f"(time, {features})", fits)
        if states and len(states) != len(self.state_names):
            raise ValueError(
                f"{self.label}: expected no initial state or {len(self.state_names)} "
                f"({', '.join(self.state_names)}), got {len(states)}"
            )
        own: list[Shape] = [(width,) for width in self.state_widths]
        for state, expected in zip(states, own, strict=False):
            self.check_fits(state, f"{expected} as a state", state == expected)
        output = (shape[0], self.units) if self.return_sequences else (self.units,)
        return [output, *(own if self.return_state else [])]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        masks = max(4 * len(self.kernel), int(self.kernel.shape[1]))
        return masks + 2 * len(self.kernel) * (inputs[0][0] or 1) * self._drops_steps

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        if self._drops_steps:
            return len(self.kernel) << _STEPS
        return max(4 * len(self.kernel), int(self.kernel.shape[1]))

    def draws_for(self, inputs: Sequence[Shape]) -> str:
        return "steps" if self._drops_steps else "rows"

    def stepper(self, inputs: Sequence[Shape]) -> Stepper | None:
        return None if self.go_backwards else _RecurrentSteps(self)

    @property
    def _drops_steps(self) -> bool:
        return self.drawn_scheme == "per_step" and _check.threshold(self.dropout) > 0

    @property
    def _drops_weights(self) -> bool:
        return _check.threshold(self.weight_dropout) > 0

    def outputs(
        self,
        flow: Flow,
        states: Sequence[Array],
        draw: Draw | None,
        direction: int = 0,
        first_step: int = 0,
    ) -> tuple[Array, list[Array]]:
        """Return the outputs (samples or 1, rows, ...) and final states, of one of two directions.

        The direction says which masks are drawn, and for masks that are new at each step so does
        the number of the first one.
        """
        input_mask = recurrent_mask = None
        if draw is not None and self.stochastic:  # else random through an earlier layer, or not
            if self._drops_steps:
                flow = self._drop_steps(flow, draw, SITES * direction, first_step)
            input_mask, recurrent_mask = self._masks(draw, direction)
        masks = (input_mask, recurrent_mask, flow.factors)
        weights = draw if draw is not None and self._drops_weights else None
        time_mask = flow.mask if self.uses_mask else None
        arrays = [flow.values, time_mask, *masks, *states]
        samples = max(len(array) for array in arrays if array is not None)
        samples = samples if weights is None else len(weights.samples)
        rows = flow.rows

        def batch(array: Array | None, part: slice) -> Array | None:
            """Return some samples of (samples or 1, rows, ...) as one batch."""
            if array is None:
                return None
            some = for_samples(array, samples)[part]
            return some.reshape(some.shape[0] * some.shape[1], *some.shape[2:])

        def call(part: slice) -> list[Array]:
            """Run some samples as one batch."""
            x = batch(flow.values, part)
            state = tuple(batch(array, part) for array in states)
            assert x is not None
            dropped: dict[str, Any] = {}
            if weights is not None:
                dropped = {
                    "weight_dropout": self.weight_dropout,
                    "rng": weights.key,
                    "site": SITES * direction,
                    "sample": weights.samples[part.start],
                }
            found = self._take_steps(
                x,
                input_mask=batch(input_mask, part),
                recurrent_mask=batch(recurrent_mask, part),
                embedding=flow.table,
                embedding_mask=batch(flow.factors, part),
                mask=batch(time_mask, part),
                initial_state=state or None,
                **dropped,
            )
            count = part.stop - part.start
            return [y.reshape(count, rows, *y.shape[1:]) for y in found]

        # Rows that share a sample's mask make a call of their own, which need not compute with
        # what the mask drops; so do those that share its weights.
        if weights is None and all(mask is None or mask.shape[1] == rows for mask in masks):
            y, *final = call(slice(0, samples))
        else:
            calls = [call(slice(j, j + 1)) for j in range(samples)]
            y, *final = (np.concatenate(parts) for parts in zip(*calls, strict=True))
        if self.starts_from_state and states and time_mask is not None:
            y = self._from_state(y, states[0], time_mask)
        return y, final

    def _take_steps(self, x: Array, **arrays: Any) -> Sequence[Array]:
        """Return the outputs of a batch, and with `return_state` the final states.

        `arrays` are keywords of `rnn`.
        """
        assert self.packed is not None, "weights are declared only"
        results = rnn(
            x,
            self.packed,
            **arrays,
            precision=self.precision,
            go_backwards=self.go_backwards,
            return_sequences=self.return_sequences,
            return_state=self.return_state,
            zero_output_for_mask=self.zero_output_for_mask,
            threads=_threads.lent(),  # the model splits the work
        )
        return results if isinstance(results, tuple) else (results,)

    def _masks(self, draw: Draw, direction: int) -> tuple[Array | None, Array | None]:
        """Draw the input's and the recurrent masks that serve all steps."""
        site, gates = SITES * direction, self.gates if self.drawn_scheme == "per_gate" else 1
        input_mask = None
        if not self._drops_steps:
            input_mask = draw.masks(site, self.dropout, gates, len(self.kernel))
        return input_mask, draw.masks(site + 1, self.recurrent_dropout, gates, self.units)

    def _from_state(self, y: Array, h: Array, time_mask: Array) -> Array:
        """Put the initial h where no step has been taken yet."""
        taken = time_mask[:, :, ::-1] if self.go_backwards else time_mask
        begun = np.logical_or.accumulate(taken, axis=2)
        if self.return_sequences:
            return np.where(begun[..., np.newaxis], y, h[:, :, np.newaxis])
        return np.where(begun[:, :, -1:], y, h)

    def _drop_steps(self, flow: Flow, draw: Draw, site: int, first_step: int) -> Flow:
        """Drop from the input anew at each step; steps are counted in the order they are taken.

        Step t of row n has the elements (n * 2**24 + t) * features + j, as in `rnn`.
        """
        values = flow.looked_up().values
        _, rows, steps, features = values.shape
        out = np.zeros((len(draw.samples), rows, steps, features), values.dtype)
        period = draw.period or rows
        for n in range(min(period, rows)):
            first = (0 if draw.period else draw.first_row) + n
            factors = recurrent_masks(
                draw.source(site, self.dropout),
                (first << _STEPS) + first_step,
                (len(draw.samples), steps, 1, features),
                values.dtype,
            )[:, :, 0]
            if self.go_backwards:
                factors = factors[:, ::-1]
            same = slice(n, None, period)
            given = for_samples(values, len(out))[:, same]
            factors = np.broadcast_to(factors[:, np.newaxis], given.shape)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                np.multiply(given, factors, out=out[:, same], where=factors != 0)
        return Flow(out, flow.mask)


class _RecurrentSteps:
    """A recurrent layer that takes a step at a time."""

    def __init__(self, layer: Recurrent) -> None:
        self._layer = copy(layer)  # what is packed stays so
        self._layer.prepare(return_state=True, return_sequences=False, starts_from_state=False)
        self._from_state = layer.starts_from_state
        self.sequences = [layer.return_sequences]
        if layer.return_state:
            self.sequences += [False] * len(layer.state_names)
        self.remembers = {
            name: (width,)
            for name, width in zip(layer.state_names, layer.state_widths, strict=True)
        } | {"output": (layer.units,)}
        self._held: _Held | None = None

    def start(self, inputs: Sequence[Flow]) -> Memory:
        flow, *states = inputs
        memory = {
            name: np.zeros((1, flow.rows, *shape), np.float32)
            for name, shape in self.remembers.items()
        }
        names = self._layer.state_names
        memory |= {name: state.values for name, state in zip(names, states, strict=False)}
        return memory | ({"output": memory["h"]} if self._from_state and states else {})

    def step(
        self, inputs: Sequence[Flow], draw: Draw | None, memory: Memory, number: int
    ) -> tuple[list[Flow], Memory]:
        flow, layer = inputs[0], self._layer
        before = [memory[name] for name in layer.state_names]
        masked = flow.mask is not None and layer.uses_mask
        weights = draw is not None and layer._drops_weights
        if masked or layer._drops_steps or weights or layer.packed is None:
            y, after = layer.outputs(flow, before, draw, first_step=number)
        else:
            flow = flow.looked_up()
            drawn = draw if layer.stochastic else None
            samples = max(len(a) for a in (flow.values, *before))
            if drawn is not None:
                samples = max(samples, len(drawn.samples))
            if self._held is None or not self._held.serves(drawn, samples, flow.rows):
                self._held = _Held(layer, drawn, samples, flow.rows)
            y, after = self._held.step(flow.values, before)
        if flow.mask is not None and masked and not layer.zero_output_for_mask:
            y = np.where(flow.mask, y, memory["output"])
        found = Flow(y[:, :, np.newaxis], flow.mask) if self.sequences[0] else Flow(y)
        states = map(Flow, after) if len(self.sequences) > 1 else ()
        return [found, *states], dict(zip(layer.state_names, after, strict=True)) | {"output": y}


class _Held:
    """A recurrent layer between two steps, with the masks of some samples and rows laid out."""

    def __init__(self, layer: Recurrent, draw: Draw | None, samples: int, rows: int) -> None:
        assert layer.packed is not None, "weights are declared only"
        self._of = (draw, samples, rows)
        self._shape = (samples, rows, layer.units)
        input_mask = recurrent_mask = None
        if draw is not None:
            input_mask, recurrent_mask = layer._masks(draw, 0)
        self._stepper = recurrent.Stepper(
            layer.packed,
            samples * rows,
            precision=layer.precision,
            input_mask=self._batch(input_mask),
            recurrent_mask=self._batch(recurrent_mask),
        )
        self._after: list[Array] = []

    def _batch(self, masks: Array | None) -> Array | None:
        """Return masks (samples, rows or 1, gates, width) of all rows of a batch."""
        if masks is None:
            return None
        samples, rows = self._shape[:2]
        return np.broadcast_to(masks, (samples, rows, *masks.shape[2:])).reshape(
            samples * rows, *masks.shape[2:]
        )

    def serves(self, draw: Draw | None, samples: int, rows: int) -> bool:
        return self._of == (draw, samples, rows)

    def step(self, values: Array, before: list[Array]) -> tuple[Array, list[Array]]:
        """Take a step from states (samples or 1, rows, units), and return outputs and states."""
        samples, rows, units = self._shape
        if len(before) != len(self._after) or any(
            a is not b for a, b in zip(before, self._after, strict=True)
        ):
            given = [np.broadcast_to(a, self._shape).reshape(-1, units) for a in before]
            self._stepper.reset(tuple(given))
        x = for_samples(values[:, :, 0], samples).reshape(samples * rows, -1)
        y = self._stepper.step(x).reshape(self._shape)
        state = cast(LayerState, self._stepper.state)  # of one layer, not in a list
        states = state if isinstance(state, tuple) else (state,)
        self._after = [a.reshape(self._shape) for a in states]
        return y, self._after


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Gated(Recurrent):
    """A cell with gates, which may have masks of their own."""

    recurrent_activation: _check.Activation = "sigmoid"
    scheme: str = "per_gate"

    def _check_activations(self, label: str) -> None:
        super()._check_activations(label)
        _check.activation(self.recurrent_activation, f"{label} recurrent_activation")

    def _check_more(self, label: str) -> None:
        _check.choice(self.scheme, f"{label} scheme", SCHEMES)
        if self.scheme == "per_step" and self.recurrent_dropout:
            expected = "0 with scheme='per_step'"
            _check.refuse(
                ValueError, f"{label} recurrent_dropout", expected, self.recurrent_dropout
            )

    @property
    def drawn_scheme(self) -> str:
        if self.scheme in ("per_gate", "tied", "per_step"):
            return self.scheme
        if _check.threshold(self.recurrent_dropout):
            return "tied" if self.scheme == "tf_keras_early" else "per_gate"
        return "tied" if self.scheme == "keras" else "per_step"

    @property
    def stochastic(self) -> str:
        text = super().stochastic
        return f"{text} ({self.drawn_scheme})" if text else ""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LSTM(Gated):
    """An LSTM layer; see `fastdrop.lstm` for the arrays and options."""

    gates: ClassVar[int] = 4
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")

    def _pack(self) -> PackedWeights:
        return pack_lstm(
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GRU(Gated):
    """A GRU layer; see `fastdrop.gru` for the arrays and options."""

    reset_after: bool = True

    gates: ClassVar[int] = 3

    @classmethod
    def _declared_bias(cls, width: int, options: dict[str, Any]) -> tuple[int, ...]:
        return (2, width) if options.get("reset_after", True) else (width,)

    def _bias_shape(self, width: int) -> tuple[int, ...]:
        return (2, width) if self.reset_after else (width,)

    def _check_more(self, label: str) -> None:
        super()._check_more(label)
        _check.flag(self.reset_after, f"{label} reset_after")

    def _pack(self) -> PackedWeights:
        return pack_gru(
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            reset_after=self.reset_after,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SimpleRNN(Recurrent):
    """A simple recurrent layer; see `fastdrop.simple_rnn` for the arrays and options."""

    def _pack(self) -> PackedWeights:
        return pack_simple_rnn(
            self.kernel, self.recurrent_kernel, self.bias, activation=self.activation
        )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Bidirectional(Layer):
    """Two recurrent layers, one of which takes the time steps from the last to the first.

    Their outputs are merged step by step: "concat", "sum", "mul" or "ave" (their mean); or None,
    and both are put out. Initial states come, and final ones go, forward before backward.
    """

    forward: OverTime
    backward: OverTime
    merge_mode: str | None = "concat"

    part_fields: ClassVar[tuple[str, ...]] = ("forward", "backward")
    takes_table: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("forward", "backward"):
            layer = getattr(self, name)
            if not isinstance(layer, OverTime):
                _check.refuse(TypeError, f"{self.label} {name}", "a recurrent layer", layer)
        if self.backward.go_backwards is self.forward.go_backwards:
            _check.refuse(
                ValueError,
                f"{self.label} backward",
                f"a layer with go_backwards={not self.forward.go_backwards}",
                self.backward.go_backwards,
            )
        same: tuple[str, ...] = ("return_sequences", "return_state")
        if self.merge_mode in ("sum", "mul", "ave"):
            same += ("units",)
        for option in same:
            value = getattr(self.forward, option)
            if getattr(self.backward, option) != value:
                _check.refuse(
                    ValueError,
                    f"{self.label} backward",
                    f"{option}={value}, as the forward layer has",
                    getattr(self.backward, option),
                )
        if self.merge_mode is not None:
            _check.choice(self.merge_mode, f"{self.label} merge_mode", _check.MERGE_MODES)

    @property
    def stochastic(self) -> str:
        forward, backward = self.forward.stochastic, self.backward.stochastic
        if forward == backward:
            return forward
        return f"forward: {forward or 'nothing'}; backward: {backward or 'nothing'}"

    @property
    def passes_mask(self) -> bool:
        return self.forward.return_sequences

    def remarks(self, inputs: Sequence[Shape]) -> list[str]:
        forward, backward = self._halves(inputs)
        return self.forward.remarks(forward) + self.backward.remarks(backward)

    def _halves(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return what each direction is given."""
        x, *states = inputs
        half = len(states) // 2
        if len(states) % 2:
            raise ValueError(f"{self.label}: expected as many states forward as backward")
        return [x, *states[:half]], [x, *states[half:]]

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        forward, backward = self._halves(inputs)
        first, *ahead = self.forward.output_shapes(forward)
        second, *back = self.backward.output_shapes(backward)
        *lengths, units = first
        assert units is not None
        if self.merge_mode is None:
            return [first, second, *ahead, *back]
        width = units + self.backward.units if self.merge_mode == "concat" else units
        return [(*lengths, width), *ahead, *back]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        forward, backward = self._halves(inputs)
        shapes = self.forward.output_shapes(forward)
        outputs = 2 * sum(int(np.prod([n or 1 for n in shape])) for shape in shapes)
        return outputs + self.forward.work_elements(forward) + self.backward.work_elements(backward)

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return max(
            part.mask_elements(given)
            for part, given in zip(self.parts, self._halves(inputs), strict=True)
        )

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        flow, *states = inputs
        values = [state.values for state in states]
        half = len(values) // 2
        ahead, ahead_states = self.forward.outputs(flow, values[:half], draw, 0)
        back, back_states = self.backward.outputs(flow, values[half:], draw, 1)
        samples = max(len(ahead), len(back))
        ahead, back = for_samples(ahead, samples), for_samples(back, samples)
        sequences = self.forward.return_sequences
        if sequences:
            back = back[:, :, ::-1]  # it put them out in the order it took them
        mask = flow.mask if sequences else None
        if self.merge_mode is None:
            outputs = [Flow(ahead, mask), Flow(back, mask)]
        else:
            outputs = [Flow(merge(ahead, back, self.merge_mode), mask)]
        if self.forward.return_state:
            outputs += [Flow(state) for state in (*ahead_states, *back_states)]
        return outputs


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StackedRNN(OverTime):
    """Recurrent layers of which each takes all steps of the one before.

    The first may take them from the last to the first; the last puts out all steps or its last
    one. Initial states come, and final ones go, layer by layer.
    """

    cells: tuple[Recurrent, ...]

    part_fields: ClassVar[tuple[str, ...]] = ("cells",)
    takes_table: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.cells or not all(isinstance(cell, Recurrent) for cell in self.cells):
            _check.refuse(TypeError, f"{self.label} cells", "recurrent layers", self.cells)
        for i, cell in enumerate(self.cells):
            if not cell.return_sequences and i < len(self.cells) - 1:
                expected = "layers that return sequences, up to the last"
                _check.refuse(ValueError, f"{self.label} cells", expected, cell.name)
            if cell.go_backwards and i:
                expected = "layers that go forwards, from the second on"
                _check.refuse(ValueError, f"{self.label} cells", expected, cell.name)
            if cell.return_state is not self.cells[0].return_state:
                expected = "layers that all return states, or none"
                _check.refuse(ValueError, f"{self.label} cells", expected, cell.name)

    @property
    def return_sequences(self) -> bool:
        return self.cells[-1].return_sequences

    @property
    def return_state(self) -> bool:
        return self.cells[0].return_state

    @property
    def go_backwards(self) -> bool:
        return self.cells[0].go_backwards

    @property
    def units(self) -> int:
        return self.cells[-1].units

    def _given(self, states: Sequence[Any]) -> list[list[Any]]:
        """Return the initial states of each layer."""
        counts = [len(cell.state_names) for cell in self.cells]
        if len(states) not in (0, sum(counts)):
            raise ValueError(f"{self.label}: expected no or {sum(counts)} states")
        rest = list(states)
        return [[rest.pop(0) for _ in range(count)] if states else [] for count in counts]

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        shape, *states = inputs
        final: list[Shape] = []
        for cell, given in zip(self.cells, self._given(states), strict=True):
            shape, *some = cell.output_shapes([shape, *given])
            final += some
        return [shape, *final]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        steps = inputs[0][0] or 1
        width = max(cell.units for cell in self.cells)
        masks = max(max(4 * len(c.kernel), int(c.kernel.shape[1])) for c in self.cells)
        return 2 * steps * width + masks

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        return max(cell.mask_elements([(None, len(cell.kernel))]) for cell in self.cells)

    def outputs(
        self, flow: Flow, states: Sequence[Array], draw: Draw | None, direction: int = 0
    ) -> tuple[Array, list[Array]]:
        """Return the outputs and final states, of one of two directions."""
        taken = flow.mask
        if taken is not None and self.go_backwards:  # what comes out is in the order taken
            taken = taken[:, :, ::-1]
        final: list[Array] = []
        for i, (cell, own) in enumerate(zip(self.cells, self._given(states), strict=True)):
            y, some = cell.outputs(flow, own, draw, 2 * i + direction)
            final += some
            flow = Flow(y, taken)
        return flow.values, final


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TimeDistributed(Layer):
    """A layer at every time step: what it draws, it draws anew for each.

    Its output bears the time mask that came in ("outer"), that the layer makes ("inner"), or the
    latter where there is one and else the former, of whole time steps ("either").
    """

    layer: Layer
    masks: str = "outer"

    part_fields: ClassVar[tuple[str, ...]] = ("layer",)

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            _check.refuse(TypeError, f"{self.label} layer", "a layer", self.layer)
        _check.choice(self.masks, f"{self.label} masks", ("outer", "inner", "either"))

    @property
    def passes_mask(self) -> bool:
        return self.masks == "outer"

    def value_symbol(self, tensors: Sequence[str], values: Sequence[object]) -> object:
        return self.layer.value_symbol(tensors, values)

    def _steps(self, inputs: Sequence[Shape]) -> int | None:
        for shape in inputs:
            self.check_fits(shape, "(time, ...)", len(shape) >= 1)
        lengths = {shape[0] for shape in inputs} - {None}
        if len(lengths) > 1:
            raise ValueError(f"{self.label}: expected inputs of as many time steps, got {inputs}")
        return lengths.pop() if lengths else None

    def output_shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        steps = self._steps(inputs)
        return [(steps, *shape) for shape in self.layer.output_shapes([s[1:] for s in inputs])]

    def work_elements(self, inputs: Sequence[Shape]) -> int:
        steps = self._steps(inputs) or 1
        return steps * self.layer.work_elements([shape[1:] for shape in inputs])

    def mask_elements(self, inputs: Sequence[Shape]) -> int:
        steps = self._steps(inputs) or 1
        return steps * self.layer.mask_elements([shape[1:] for shape in inputs])

    def meaning(self, inputs: Sequence[str]) -> str:
        return self.layer.meaning(inputs)

    def each_step(self, inputs: Sequence[Shape]) -> bool:
        return True

    def draws_for(self, inputs: Sequence[Shape]) -> str:
        return "places" if self.layer.stochastic else "rows"

    def run(self, inputs: Sequence[Flow], draw: Draw | None) -> list[Flow]:
        rows, steps = inputs[0].values.shape[1:3]

        def as_rows(array: Array) -> Array:
            return array.reshape(len(array), rows * steps, *array.shape[3:])

        # A mask of steps is for what takes the sequence; one of steps of steps is for the layer.
        given = [
            Flow(
                as_rows(flow.values),
                as_rows(flow.mask) if flow.mask is not None and flow.mask.ndim > 3 else None,
            )
            for flow in inputs
        ]

        def of_steps(array: Array) -> Array:
            return array.reshape(len(array), rows, steps, *array.shape[2:])

        within = None if draw is None else draw.within(steps)
        outer = inputs[0].mask
        if self.masks == "either" and outer is not None:
            outer = np.asarray(outer.any(axis=tuple(range(3, outer.ndim))))
        flows = []
        for made in self.layer.run(given, within):
            flow = made.looked_up()
            inner = None if flow.mask is None else of_steps(flow.mask)
            mask = {"outer": outer, "inner": inner, "either": outer if inner is None else inner}
            flows.append(Flow(of_steps(flow.values), mask[self.masks]))
        return flows

"""A model that takes its sequence as it comes, one time step at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _check
from fastdrop.layers._layer import Draw, Flow, Memory, Stepper, for_samples
from fastdrop.model._graph import Graph, Step, as_given
from fastdrop.model._sampling import Draws
from fastdrop.random import Key, as_key
from fastdrop.typing import Inputs
from fastdrop.uncertainty._folding import Folding
from fastdrop.uncertainty._prediction import Part, Prediction

Array = NDArray[Any]


class Stream:
    """Monte-Carlo samples of sequences that come one time step at a time; see `Model.stream`.

    Masks are those of `Model.mc_predict` and stay for the whole sequence; of each sample and row
    the state is kept. So a step gives, bit for bit, what `mc_predict` gives for the sequence so
    far: its last step where an output is a sequence. Memory does not grow with the steps. Of two
    threads that use a stream at the same time one waits for the other. It is neither copied nor
    pickled; another stream of the same options goes on from its `state`.

    Attributes
    ----------
    steps : ndarray of int, shape (rows,)
        How many steps each row has taken since it was reset.
    """

    def __init__(
        self,
        graph: Graph,
        draws: Callable[[Key], Draws],
        rng: object,
        rows: int,
        samples: range,
        constants: Mapping[int, Array],
        inputs: Callable[[Inputs], list[Array]],
        fold: Callable[[int, tuple[int, ...]], Folding],
        arranged: Callable[[Sequence[Any]], Any],
    ) -> None:
        self._graph, self._samples = graph, samples
        self._rows, self._inputs, self._fold, self._arranged = rows, inputs, fold, arranged
        self._constants = constants
        self._plan: list[tuple[Step, Stepper | None, str]] = []
        moving = {tensor for tensor in graph.inputs if tensor not in constants}
        changing = set(moving)
        # The length that places of steps are numbered by, 0 where it is left open.
        self._length = next((graph.shapes[i][0] or 0 for i in sorted(moving)), 0)
        # Refused before anything is drawn from what may be a generator.
        self._draws = draws(Key(0))
        for step in graph.steps:
            self._plan.append(self._planned(step, moving, changing))
        self._sequences = [tensor in moving for tensor in graph.outputs]
        for number, (tensor, sequence) in enumerate(
            zip(graph.outputs, self._sequences, strict=True)
        ):
            shape = tuple(n or 0 for n in graph.shapes[tensor])
            fold(number, shape[1:] if sequence else shape)
        key = as_key(rng)
        self._draws, self._source = draws(key), (key.k0, key.k1, key.base)
        self._memories: dict[int, Memory] = {}
        self.steps: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._lock = threading.Lock()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a Stream is neither copied nor pickled: Model.stream with the same options makes "
            "another, which takes load_state(stream.state)"
        )

    def _planned(
        self, step: Step, moving: set[int], changing: set[int]
    ) -> tuple[Step, Stepper | None, str]:
        """Decide how a call takes a step, and note which of its outputs are sequences.

        And which are others at each step, as the final state of a layer that is not a sequence.
        """
        shapes = [self._graph.shapes[i] for i in step.inputs]
        along = [i in moving for i in step.inputs]
        if not changing.isdisjoint(step.inputs):
            changing.update(step.outputs)
        if not any(along):
            return step, None, "rows"
        layer = step.layer
        # What it starts from must be there before the first step.
        starts = along[0] and changing.isdisjoint(step.inputs[1:])
        stepper = layer.stepper(shapes) if starts else None
        if stepper is None and not (all(along) and layer.each_step(shapes)):
            raise ValueError(
                f"stream: {layer.label} needs the whole sequence, so it cannot be taken step by "
                "step; use mc_predict"
            )
        of = layer.draws_for(shapes) if step.draws else "rows"
        first = self._draws.first_row
        alone = self._draws.shared or first + self._rows <= 1
        if of == "places" and not self._length and not alone:
            raise ValueError(
                f"stream: {layer.label} draws new masks at every step, and which ones depends on "
                "the length of the sequence, which the model leaves open: expected rows=1 and "
                "row_offset=0, or scope='shared'"
            )
        sequences = stepper.sequences if stepper is not None else [True] * len(step.outputs)
        moving |= {i for i, moves in zip(step.outputs, sequences, strict=True) if moves}
        return step, stepper, of

    def __repr__(self) -> str:
        taken = sorted(set(self.steps.tolist()))
        steps = f"{taken[0]}" if len(taken) == 1 else f"{taken[0]} to {taken[-1]}"
        rows = f"{self._rows} row{'s' * (self._rows != 1)}"
        return f"<Stream: {rows}, {len(self._samples)} samples of each, after step {steps}>"

    def step(self, x: Inputs) -> Prediction | Any:
        """Take the next time step of every row.

        Parameters
        ----------
        x : array_like, shape (rows, ...), or list or dict of such
            What stands at one time step in the model's input: for an input of shape (batch, time,
            features) an array (rows, features), for tokens (rows,); of a single row also without
            the axis of rows. Several inputs as in `Model.predict`, without those that are constant.

        Returns
        -------
        Prediction, or list or dict of Prediction
            As `Model.mc_predict` arranges them. Of an output that is a sequence, its newest step.

        Raises
        ------
        TypeError, ValueError
            If `x` is of another shape or type, or a row has taken as many steps as the model has
            and a layer's masks are numbered by them.
        """
        given = self._inputs(x)
        with self._lock:
            return self._arranged(self._step(given))

    def _step(self, given: list[Array]) -> list[Prediction]:
        """Take a step, of checked inputs."""
        if self._length and any(of == "places" for _, _, of in self._plan):
            most = int(self.steps.max(initial=0))
            if most >= self._length:
                raise ValueError(
                    f"step: expected at most {self._length} steps, for as many has the model, and "
                    "masks that are new at each step are numbered by them; reset() starts again"
                )
        moving = iter(given)
        tensors = {
            tensor: Flow(self._constants[tensor][np.newaxis])
            if tensor in self._constants
            else Flow(next(moving)[np.newaxis, :, np.newaxis])
            for tensor in self._graph.inputs
        }
        memories = {}
        for number, (step, stepper, of) in enumerate(self._plan):
            flows = [as_given(tensors[i], step.layer) for i in step.inputs]
            if stepper is None:
                made = self._run(step, of, flows)
            else:
                memory = self._memories.get(number)
                made, memories[number] = self._moved(step, stepper, of, flows, memory)
            tensors.update(zip(step.outputs, made, strict=True))
        outputs = zip(self._graph.outputs, self._sequences, strict=True)
        found = [self._predicted(i, tensors[t].looked_up(), s) for i, (t, s) in enumerate(outputs)]
        # A step that fails is not taken.
        self._memories |= memories
        self.steps = self.steps + 1
        return found

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Begin again.

        Parameters
        ----------
        rows : array_like of int, or of bool of shape (rows,), optional
            The rows whose sequences begin again; all if not given.

        Raises
        ------
        TypeError, ValueError
            If a row is not there.
        """
        if rows is None:
            with self._lock:
                self._memories, self.steps = {}, np.zeros(self._rows, np.int64)
            return
        numbers = np.atleast_1d(_check.read(rows, "rows"))
        if numbers.shape == (0,):
            return
        numbers = _check.array(numbers, "rows", (*_check.INTEGERS, "bool"), 1)
        if numbers.dtype == bool:
            numbers = np.flatnonzero(_check.shaped(numbers, "rows", (self._rows,)))
        if ((numbers < 0) | (numbers >= self._rows)).any():
            _check.refuse(ValueError, "rows", f"rows in [0, {self._rows})", rows)
        with self._lock:
            self.steps = self.steps.copy()
            self.steps[numbers] = 0

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """All that is remembered, as arrays by name: copies, to be kept and given to `load_state`.

        ``"steps"`` (rows,), ``"key"``, the words of the key, ``"place"``, the first row and sample
        and whether masks are shared, and of each layer that remembers (samples or 1, rows, ...).
        """
        with self._lock:
            steps, memories = self.steps.copy(), dict(self._memories)
        found = {"steps": steps, "key": np.array(self._source, np.uint64), "place": self._place()}
        for number, memory in memories.items():
            name = self._graph.names[self._plan[number][0].outputs[0]]
            found |= {f"{name}:{field}": array.copy() for field, array in memory.items()}
        return found

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state that a stream of the same model and options had.

        Parameters
        ----------
        state : mapping of str to ndarray
            What `state` gave.

        Raises
        ------
        TypeError, ValueError
            If it is of another model or key, of other rows or samples, or of another scope.
        """
        if not isinstance(state, Mapping) or "steps" not in state:
            _check.refuse(TypeError, "state", "what the state of a stream gave", state)
        steps = _check.array(state["steps"], "state 'steps'", _check.INTEGERS, 1)
        _check.shaped(steps, "state 'steps'", (self._rows,))
        if (steps < 0).any():
            _check.refuse(ValueError, "state 'steps'", "numbers of steps", steps)
        if not np.array_equal(state.get("key", ()), np.array(self._source, np.uint64)):
            expected = "that of a stream with the same rng, for its masks go with it"
            _check.refuse(ValueError, "state 'key'", expected, state.get("key"))
        if not np.array_equal(state.get("place", self._place()), self._place()):
            expected = "that of a stream with the same row_offset, first_sample and scope"
            _check.refuse(ValueError, "state 'place'", expected, state["place"])
        own = ("steps", "key", "place")
        rest = {name: value for name, value in state.items() if name not in own}
        memories: dict[int, Memory] = {}
        for number, (step, stepper, _) in enumerate(self._plan):
            if stepper is None:
                continue
            name = self._graph.names[step.outputs[0]]
            labels = {f"{name}:{field}": field for field in stepper.remembers}
            if not steps.any() and not labels.keys() & rest.keys():
                continue  # before the first step there is none
            if not labels.keys() <= rest.keys():
                expected = f"that of a stream of the same model, with {', '.join(labels)}"
                _check.refuse(ValueError, "state", expected, [*state])
            memories[number] = {
                field: self._remembered(rest.pop(label), label, stepper.remembers[field])
                for label, field in labels.items()
            }
        if rest:
            _check.refuse(ValueError, "state", "that of a stream of the same model", [*rest])
        with self._lock:
            self._memories, self.steps = memories, steps.astype(np.int64)

    # ---- inside ----

    def _place(self) -> Array:
        """Return the first row and sample, and whether masks are shared, by which these go."""
        draws = self._draws
        return np.array([draws.first_row, self._samples.start, draws.shared], np.uint64)

    def _remembered(self, value: object, label: str, shape: tuple[int, ...]) -> Array:
        """Check and copy what is remembered of each sample and row."""
        array = _check.array(value, f"state {label!r}", ("float32",))
        if array.ndim < 2 or len(array) not in (1, len(self._samples)):
            expected = f"an array of 1 or {len(self._samples)} samples"
            _check.refuse(ValueError, f"state {label!r}", expected, array)
        return np.array(_check.shaped(array, f"state {label!r}", (len(array), self._rows, *shape)))

    def _run(self, step: Step, of: str, flows: list[Flow]) -> list[Flow]:
        """Run what treats each step by itself, or knows of none."""
        if of == "rows":
            draw = self._draws.draw(step, self._samples, slice(0, self._rows))
            return step.layer.run(flows, draw)
        each = [step.layer.run(_row(flows, row), self._at(step, row)) for row in range(self._rows)]
        return [_side_by_side(parts) for parts in zip(*each, strict=True)]

    def _at(self, step: Step, row: int) -> Draw | None:
        """Return what a call draws whose rows are the steps of rows."""
        draw = self._draws.draw(step, self._samples, slice(row, row + 1))
        if draw is None:
            return None
        first = 0 if draw.period else draw.first_row
        place = first * self._length + int(self.steps[row])
        return replace(draw, first_row=place, period=0)

    def _moved(
        self,
        step: Step,
        stepper: Stepper,
        of: str,
        flows: list[Flow],
        memory: Memory | None,
    ) -> tuple[list[Flow], Memory]:
        """Take a step of what remembers."""
        begins = self.steps == 0
        if memory is None or begins.any():
            fresh = stepper.start(flows)
            memory = fresh if memory is None or begins.all() else _chosen(begins, fresh, memory)
        numbers = set(self.steps.tolist())
        if of == "rows" or len(numbers) == 1:
            draw = self._draws.draw(step, self._samples, slice(0, self._rows))
            return stepper.step(flows, draw, memory, max(numbers, default=0))
        made, memories = [], []
        for row, number in enumerate(self.steps.tolist()):
            draw = self._draws.draw(step, self._samples, slice(row, row + 1))
            own = {name: array[:, row : row + 1] for name, array in memory.items()}
            flows_made, after = stepper.step(_row(flows, row), draw, own, number)
            made.append(flows_made)
            memories.append(after)
        joined = {name: _joined([m[name] for m in memories]) for name in memories[0]}
        return [_side_by_side(parts) for parts in zip(*made, strict=True)], joined

    def _predicted(self, number: int, flow: Flow, sequence: bool) -> Prediction:
        values = for_samples(flow.values, len(self._samples))
        if sequence:
            values = values[:, :, 0]
        folding = self._fold(number, values.shape[2:])
        first = self._draws.first_row
        statistics = folding.add(None, values, self._samples.start, first, first)
        span = (self._source, self._samples.start, self._samples.stop)
        return Prediction(
            folding.kind,
            folding.folded_shape,
            self._rows,
            [Part(np.arange(self._rows), (span,), statistics)],
            row_offset=first,
            transformed=folding.transform is not None,
        )


def _row(flows: Sequence[Flow], row: int) -> list[Flow]:
    """Return one of the rows."""
    some = slice(row, row + 1)
    return [
        Flow(
            flow.values[:, some],
            None if flow.mask is None else flow.mask[:, some],
            flow.table,
            flow.factors
            if flow.factors is None or flow.factors.shape[1] == 1
            else flow.factors[:, some],
        )
        for flow in flows
    ]


def _side_by_side(flows: Sequence[Flow]) -> Flow:
    """Put rows side by side."""
    looked_up = [flow.looked_up() for flow in flows]
    masks = [flow.mask for flow in looked_up if flow.mask is not None]
    return Flow(
        _joined([flow.values for flow in looked_up]),
        _joined(masks) if len(masks) == len(flows) else None,
    )


def _joined(arrays: Sequence[Array]) -> Array:
    samples = max(len(array) for array in arrays)
    return np.concatenate([for_samples(array, samples) for array in arrays], axis=1)


def _chosen(begins: Array, fresh: Memory, memory: Memory) -> Memory:
    """Return what is remembered, anew for rows that begin."""
    return {
        name: np.where(begins.reshape(1, -1, *(1,) * (array.ndim - 2)), fresh[name], array)
        for name, array in memory.items()
    }

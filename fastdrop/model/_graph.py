"""A model as calls of layers: in which order they run, and how long what they make is kept."""

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastdrop import _check
from fastdrop.layers._layer import Flow, Layer, Shape


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a layer in a model that is not a plain chain.

    Parameters
    ----------
    layer : Layer
    inputs : str or sequence of str, optional
        The tensors that it takes, by name: those of the model's inputs, and those that other calls
        make. If not given, what the call listed before it makes.
    name : str, optional
        The name of the tensor that it makes, the layer's if not given. Where it makes several, the
        second is ``name:1``, the third ``name:2`` and so on.
    training : bool, optional
        False fixes the layer's dropout to off in this call.

    Examples
    --------
    >>> import fastdrop as fd
    >>> from fastdrop import layers
    >>> call = fd.model.Call(layers.Dropout(name="drop", rate=0.5), "words")
    >>> call.layer.name, call.inputs
    ('drop', 'words')
    """

    layer: Layer
    inputs: str | Sequence[str] | None = None
    name: str | None = None
    training: bool | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A call in the order of running; tensors by their numbers.

    `number` counts the calls that can draw, None for the others. `random`: draws itself, or takes
    something random.
    """

    layer: Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    number: int | None
    draws: bool
    random: bool


@dataclass(slots=True)
class Graph:
    """The steps of a model, and its tensors: the shape of a row of each, by number."""

    steps: list[Step]
    names: list[str]
    shapes: list[Shape]
    inputs: list[int]
    outputs: list[int]
    # What the outputs are: "regression", "binary" or "multiclass".
    meanings: list[str] = field(default_factory=list)
    # Steps in which nothing random takes part, and the others; what may be forgotten after each.
    fixed: list[tuple[Step, list[int]]] = field(default_factory=list)
    sampled: list[tuple[Step, list[int]]] = field(default_factory=list)
    whole: list[tuple[Step, list[int]]] = field(default_factory=list)
    _sizes: tuple[list[Shape], list[Shape], int] | None = None

    def __post_init__(self) -> None:
        random = [step for step in self.steps if step.random]
        kept = {*self.outputs, *(i for step in random for i in step.inputs)}
        self.fixed = _forgetting([s for s in self.steps if not s.random], kept)
        self.sampled = _forgetting(random, {*self.outputs})
        self.whole = _forgetting(self.steps, {*self.outputs})
        self.meanings = self._meanings()

    def readers(self, tensor: int) -> list[Layer]:
        """Return the layers that take a tensor."""
        return [step.layer for step in self.steps if tensor in step.inputs]

    def lengths(self, inputs: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of all tensors for inputs of these shapes."""
        shapes: list[Shape] = [()] * len(self.shapes)
        for tensor, lengths in zip(self.inputs, inputs, strict=True):
            shapes[tensor] = lengths
        for step in self.steps:
            made = step.layer.output_shapes([shapes[i] for i in step.inputs])
            for tensor, shape in zip(step.outputs, made, strict=True):
                shapes[tensor] = shape
        return shapes

    def peak(self, shapes: Sequence[Shape]) -> int:
        """Return the most numbers that are held for a row at any time."""
        size = [math.prod(n or 0 for n in shape) for shape in shapes]
        alive = {*self.inputs}
        most = sum(size[i] for i in alive)
        for step, forgotten in self.whole:
            alive |= {*step.outputs}
            work = step.layer.work_elements([shapes[i] for i in step.inputs])
            most = max(most, work + sum(size[i] for i in alive))
            alive -= {*forgotten}
        return max(most, 1)

    def sizes(self, inputs: list[Shape]) -> tuple[list[Shape], int]:
        """Return the shapes of all tensors for inputs of these shapes, and the peak.

        Those that were asked for last are kept, for a model is mostly called alike.
        """
        kept = self._sizes
        if kept is None or kept[0] != inputs:
            shapes = self.lengths(inputs)
            kept = self._sizes = inputs, shapes, self.peak(shapes)
        return kept[1:]

    def _meanings(self) -> list[str]:
        found = dict.fromkeys(self.inputs, "regression")
        for step in self.steps:
            meaning = step.layer.meaning([found[i] for i in step.inputs])
            found |= dict.fromkeys(step.outputs, meaning)
        return [found[i] for i in self.outputs]

    def mask_elements(self, shapes: Sequence[Shape]) -> int:
        """Return the elements of the largest mask of a row."""
        return max(
            (
                step.layer.mask_elements([shapes[i] for i in step.inputs])
                for step in self.steps
                if step.draws
            ),
            default=1,
        )


def _forgetting(steps: Sequence[Step], kept: set[int]) -> list[tuple[Step, list[int]]]:
    """Pair steps with the tensors that nobody needs any more after them."""
    last: dict[int, int] = {}
    for position, step in enumerate(steps):
        for tensor in (*step.outputs, *step.inputs):
            last[tensor] = position
    forgotten: list[list[int]] = [[] for _ in steps]
    for tensor, position in last.items():
        if tensor not in kept:
            forgotten[position].append(tensor)
    return list(zip(steps, forgotten, strict=True))


def as_given(flow: Flow, layer: Layer) -> Flow:
    """Return what a layer is given: the activations themselves, unless it can take a table."""
    return flow if layer.takes_table else flow.looked_up()


def build(
    entries: Sequence[Layer | Call], inputs: Mapping[str, Shape], outputs: Sequence[str] | None
) -> Graph:
    """Put calls into the order in which they run, and find the shapes of what they make.

    It is always the first call, in the order given, whose inputs are there. What no output needs
    does not run.

    Raises
    ------
    ValueError
        If a tensor is unknown or made twice, calls wait for each other, or an input does not fit.
    """
    calls = [entry if isinstance(entry, Call) else Call(entry) for entry in entries]
    before = next(iter(inputs))
    names: list[str] = []
    taken: list[tuple[str, ...]] = []
    seen = set(inputs)
    for call in calls:
        given = call.inputs
        if given is None:
            if not taken and len(inputs) > 1:
                raise ValueError(f"{call.layer.label}: expected the names of the inputs it takes")
            given = (before,)
        taken.append((given,) if isinstance(given, str) else tuple(given))
        before = call.name if call.name is not None else _free(call.layer.name, seen)
        if before in seen:
            raise ValueError(f"layers: expected calls of different names, got {before!r} twice")
        seen.add(before)
        names.append(before)
    wanted = [before] if outputs is None else list(outputs)
    order = _needed(running_order(names, taken, inputs), wanted, names, taken, inputs)

    tensors: dict[str, int] = {}
    shapes: list[Shape] = []
    random: set[str] = set()
    steps: list[Step] = []
    drawing = 0

    def add(name: str, shape: Shape) -> int:
        tensors[name] = len(shapes)
        shapes.append(shape)
        return tensors[name]

    for name, shape in inputs.items():
        add(name, shape)
    for i in order:
        call, label = calls[i], calls[i].layer.label
        for name in taken[i]:
            if name not in tensors:
                raise ValueError(f"{label}: no tensor is called {name!r}")
        numbers = tuple(tensors[name] for name in taken[i])
        made = call.layer.output_shapes([shapes[n] for n in numbers])
        own = [names[i], *(f"{names[i]}:{k}" for k in range(1, len(made)))]
        draws = bool(call.layer.stochastic) and call.training is not False
        is_random = draws or not random.isdisjoint(taken[i])
        if is_random:
            random.update(own)
        number = drawing if call.layer.can_draw else None
        drawing += call.layer.can_draw
        places = tuple(add(name, shape) for name, shape in zip(own, made, strict=True))
        steps.append(Step(call.layer, numbers, places, number, draws, is_random))
    for name in wanted:
        if name not in tensors:
            raise ValueError(f"outputs: no tensor is called {name!r}")
    return Graph(
        steps,
        [*tensors],
        shapes,
        [tensors[name] for name in inputs],
        [tensors[name] for name in wanted],
    )


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name that no tensor bears yet."""
    found, count = name, 0
    while found in taken:
        count += 1
        found = f"{name}@{count}"
    return found


def _maker(name: str, made: Mapping[str, int]) -> int | None:
    """Return which call makes a tensor; None for one of the model's inputs."""
    return made.get(name, made.get(name.rpartition(":")[0]))


def running_order(
    names: Sequence[str], taken: Sequence[Sequence[str]], inputs: Collection[str]
) -> list[int]:
    """Return calls in the order of running: always the first one whose inputs are there.

    Parameters
    ----------
    names : sequence of str
        The first tensor that each call makes; its others are ``name:1`` and so on.
    taken : sequence of sequences of str
        The tensors that each call takes.
    inputs : collection of str
        The tensors that are there from the beginning.

    Raises
    ------
    ValueError
        If nothing makes a tensor, or calls wait for each other.
    """
    made = {name: i for i, name in enumerate(names)}
    waiting: list[set[int]] = []
    followers: list[list[int]] = [[] for _ in names]
    for i, tensors in enumerate(taken):
        makers = {_maker(name, made) for name in tensors if name not in inputs}
        for name in tensors:
            if name not in inputs and _maker(name, made) is None:
                raise ValueError(f"layer {names[i]!r}: no tensor is called {name!r}")
        waiting.append({m for m in makers if m is not None})
        for maker in waiting[-1]:
            followers[maker].append(i)
    ready = [i for i, makers in enumerate(waiting) if not makers]
    heapq.heapify(ready)
    order = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for follower in followers[i]:
            waiting[follower].discard(i)
            if not waiting[follower]:
                heapq.heappush(ready, follower)
    if len(order) < len(names):
        stuck = next(i for i, makers in enumerate(waiting) if makers)
        raise ValueError(f"layer {names[stuck]!r}: it waits for what it makes itself")
    return order


def _needed(
    order: Sequence[int],
    wanted: Sequence[str],
    names: Sequence[str],
    taken: Sequence[tuple[str, ...]],
    inputs: Mapping[str, Shape],
) -> list[int]:
    """Return those calls that some output needs."""
    made = {name: i for i, name in enumerate(names)}
    needed = {_maker(name, made) for name in wanted if name not in inputs}
    for i in reversed(order):
        if i in needed:
            needed |= {_maker(name, made) for name in taken[i] if name not in inputs}
    return [i for i in order if i in needed]


def check_inputs(value: object) -> dict[str, Shape]:
    """Return the inputs' shapes by name: one without a name, or several."""
    if isinstance(value, Mapping):
        if not value:
            _check.refuse(ValueError, "input_shape", "at least one input", value)
        return {
            _check.text(name, "input_shape"): _check.open_shape(shape, f"input_shape[{name!r}]")
            for name, shape in value.items()
        }
    return {"input": _check.open_shape(value, "input_shape")}


def check_dtypes(value: object, inputs: Mapping[str, Shape]) -> dict[str, str]:
    """Return the types of those inputs that hold whole numbers or truths alone."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not set(value) <= set(inputs):
        expected = f"a dict of types of some inputs ({', '.join(inputs)})"
        _check.refuse(TypeError, "input_dtypes", expected, value)
    return {
        name: _check.choice(dtype, f"input_dtypes[{name!r}]", (*_check.INTEGERS, "bool"))
        for name, dtype in value.items()
    }


def check_sequence(
    value: object, name: str, kind: type | tuple[type, ...], what: str = "layer", least: int = 1
) -> tuple[Any, ...]:
    """Return a list or tuple of so many things or more of a kind."""
    if not isinstance(value, (list, tuple)):
        _check.refuse(TypeError, name, f"a list or tuple of {what}s", value)
    for i, item in enumerate(value):
        if not isinstance(item, kind):
            _check.refuse(TypeError, f"{name}[{i}]", f"a {what}", item)
    if len(value) < least:
        expected = f"at least one {what}" if least == 1 else f"at least {least} {what}s"
        _check.refuse(ValueError, name, expected, value)
    return tuple(value)

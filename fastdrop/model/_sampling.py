"""Sampling a model: rows and samples cut into chunks, run by threads, and folded as they come."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _threads
from fastdrop.layers._layer import Draw, Flow, Shape, for_samples
from fastdrop.model._graph import Graph, Step, as_given
from fastdrop.random import Key
from fastdrop.uncertainty._folding import Folding, Statistics, arguments
from fastdrop.uncertainty._prediction import Part, Prediction

Array = NDArray[Any]
Tensors = dict[int, Flow]
Progress = Callable[[int, int], object]

# Activations that one thread works on at a time, in bytes and in rows.
_CHUNK_BYTES = 16 << 20
_CHUNK_ROWS = 256
# After so many samples rows are first asked whether they are enough, and then after twice as many.
_FIRST_STOP = 32
INTERRUPTS: tuple[str, ...] = get_args(_check.Interrupt)


@dataclass(frozen=True, slots=True)
class Enough:
    """When samples of a row are enough: the errors that its statistics may have.

    `mean` is a standard error of the mean, in the output's own units; `std` one of the standard
    deviation, relative to it.
    """

    mean: float | None = None
    std: float | None = None

    def reached(self, folding: Folding, statistics: Statistics, rows: int) -> NDArray[np.bool_]:
        """Say of each row whether all its outputs are known so well."""
        found = np.ones(rows, bool)
        with np.errstate(invalid="ignore"):
            if self.mean is not None:
                moments: Any = statistics["means" if "means" in statistics else "moments"]
                error = moments.std() / np.sqrt(moments.count)
                found &= (error <= self.mean).reshape(rows, -1).all(axis=1)
            if self.std is not None:
                fourth: Any = statistics["fourth"]
                found &= (fourth.error_of_std() <= self.std).reshape(rows, -1).all(axis=1)
        return found


def enough(until: object) -> Enough | None:
    """Check what `until` says."""
    if until is None:
        return None
    wanted = until if isinstance(until, Mapping) else {"mean": until}
    if not wanted:
        _check.refuse(ValueError, "until", "a standard error, or one for 'mean' or 'std'", until)
    for name, value in wanted.items():
        _check.choice(name, "until", ("mean", "std"))
        if _check.finite(value, f"until {name}") <= 0:
            _check.refuse(ValueError, f"until {name}", "a standard error above 0", value)
    return Enough(**{name: _check.finite(value, "until") for name, value in wanted.items()})


@dataclass(slots=True)
class Block:
    """Some rows of the inputs that follow each other, and what has no random ancestor for them.

    That is computed once, by whichever thread needs it first. `states` are the statistics of the
    rows, one for each output, as soon as there are samples.
    """

    rows: slice
    inputs: Sequence[Array]
    states: list[Statistics | None]
    _tensors: Tensors | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def forget(self) -> None:
        """Free what is not needed any more once all samples are there."""
        self._tensors = None

    def tensors(self, graph: Graph) -> Tensors:
        with self._lock:
            if self._tensors is None:
                tensors = run(graph.fixed, enter(graph, self.inputs, self.rows))
                for number, flow in tensors.items():
                    # Looked up once, not for each sample, unless a reader makes use of the table.
                    if not any(layer.takes_table for layer in graph.readers(number)):
                        tensors[number] = flow.looked_up()
                self._tensors = tensors
            return dict(self._tensors)


@dataclass(frozen=True, slots=True)
class _Task:
    """Some samples of a block of rows."""

    block: Block
    samples: range


@dataclass(frozen=True)
class Draws:
    """Which masks the calls of a graph draw: the keys by the calls' numbers, and the rows."""

    keys: Mapping[int, Key]
    shared: bool
    first_row: int

    @classmethod
    def of(cls, graph: Graph, key: Key, shared: bool, first_row: int) -> "Draws":
        drawing = (step for step in graph.steps if step.draws)
        keys = {
            step.number: key.fold_in(step.number) for step in drawing if step.number is not None
        }
        return cls(keys, shared, first_row)

    def draw(self, step: Step, samples: range, rows: slice) -> Draw | None:
        """Return what a call draws for some samples and rows."""
        if not step.draws:
            return None
        assert step.number is not None
        return Draw(
            key=self.keys[step.number],
            samples=samples,
            first_row=self.first_row + rows.start,
            rows=rows.stop - rows.start,
            period=1 if self.shared else 0,
        )


@dataclass
class Sampling:
    """One call of mc_predict whose arguments have been checked."""

    graph: Graph
    inputs: Sequence[Array]
    peak: int
    draws: Draws
    source: tuple[int, ...]
    samples: int
    first_sample: int
    foldings: Sequence[Folding]
    # Which outputs each folding takes: one, or two that are joined along their last axis.
    taken: Sequence[tuple[int, ...]]
    threads: int
    until: Enough | None = None
    progress: Progress | None = None
    on_interrupt: str = "raise"
    feed: "Feedback | None" = None

    def run(self) -> list[Prediction]:
        """Draw and fold all samples."""
        keep_freed_memory()
        rows = len(self.inputs[0])
        parts: list[list[Part]] = [[] for _ in self.foldings]
        if not rows:
            for mine, folding, outputs in zip(parts, self.foldings, self.taken, strict=True):
                shape = self._lengths(outputs)
                none = np.empty((self.samples, 0, *shape), np.float32)
                mine.append(self._part(np.arange(0), folding.add(None, none, 0, 0)))
        active = np.arange(rows)
        states: list[Statistics] | None = None
        total = rows * self.samples
        for start, stop in pairwise([0, *self._stops()]):
            if not len(active):
                break
            blocks = list(self._blocks(active, stop - start, states))
            done = total - len(active) * (self.samples - start)
            interrupted = self._round(blocks, start, stop, done, total)
            final = stop == self.samples or interrupted
            if final:
                for block in blocks:
                    if None not in block.states:
                        numbers = np.arange(block.rows.start, block.rows.stop)
                        self._put(parts, numbers, block.states)
                break
            states = [self._joined([b.states[i] for b in blocks]) for i in range(len(parts))]
            reached = self._reached(states, len(active))
            ended, left = np.flatnonzero(reached), np.flatnonzero(~reached)
            self._put(parts, active[ended], self._taken(states, ended, len(active)))
            states = self._taken(states, left, len(active))
            active = active[left]
            if self.progress is not None and not len(active):
                self.progress(total, total)
        for mine, folding in zip(parts, self.foldings, strict=True):
            if not mine:  # interrupted before anything was folded
                mine.append(self._part(np.arange(0), folding.start(0)))
        return [
            Prediction(
                folding.kind,
                folding.folded_shape,
                rows,
                mine,
                row_offset=self.draws.first_row,
                each=self.until is not None,
                transformed=folding.transform is not None,
            )
            for folding, mine in zip(self.foldings, parts, strict=True)
        ]

    # ---- rounds ----

    def _stops(self) -> list[int]:
        """Return the numbers of samples after which rows are looked at, up to the last one."""
        stops, count = [], _FIRST_STOP
        while self.until is not None and count < self.samples:
            stops.append(count)
            count *= 2
        return [*stops, self.samples]

    def _round(self, blocks: Sequence[Block], start: int, stop: int, done: int, total: int) -> bool:
        """Draw and fold some more samples of some rows, and say whether that was cut short."""
        tasks = self._tasks(blocks, start, stop)
        try:
            for task, outputs in _threads.ordered_map(self._run, tasks, self.threads):
                block = task.block
                with self._whole():
                    self._fold(task, outputs)
                done += len(task.samples) * block.count
                if task.samples.stop == stop:
                    block.forget()
                if self.progress is not None:
                    self.progress(done, total)
        except KeyboardInterrupt:
            if self.on_interrupt == "return":
                return True
            raise KeyboardInterrupt(
                f"mc_predict: interrupted after {done} of {total} samples of rows; nothing is "
                "kept (on_interrupt='return' gives what there is)"
            ) from None
        return False

    def _fold(self, task: _Task, outputs: Sequence[Array]) -> None:
        block = task.block
        for i, (folding, numbers) in enumerate(zip(self.foldings, self.taken, strict=True)):
            values = [outputs[n] for n in numbers]
            block.states[i] = folding.add(
                block.states[i],
                values[0] if len(values) == 1 else np.concatenate(values, axis=-1),
                self.first_sample + task.samples.start,
                self.draws.first_row + block.rows.start,
                self.draws.first_row,
            )

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Put Ctrl-C off while samples are folded, where what has been folded is to be returned."""
        main = threading.current_thread() is threading.main_thread()
        kept = self.on_interrupt == "return" and main
        handler = signal.getsignal(signal.SIGINT) if kept else None
        if not callable(handler):
            yield
            return
        came: list[Any] = []
        signal.signal(signal.SIGINT, lambda *given: came.append(given))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])

    def _reached(self, states: Sequence[Statistics], rows: int) -> NDArray[np.bool_]:
        assert self.until is not None
        found = np.ones(rows, bool)
        for folding, statistics in zip(self.foldings, states, strict=True):
            found &= self.until.reached(folding, statistics, rows)
        return found

    # ---- chunks ----

    def _blocks(
        self, active: NDArray[np.intp], samples: int, states: Sequence[Statistics] | None
    ) -> Iterator[Block]:
        """Cut rows into blocks of such as follow each other, for chunks of bounded memory."""
        chunk = chunk_rows(self.peak, -(-len(active) * samples // self.threads))
        first = 0
        for end in [*(np.flatnonzero(np.diff(active) > 1) + 1), len(active)]:
            height = even(end - first, chunk)
            for n in range(first, end, height):
                last = min(n + height, end)
                span = slice(int(active[n]), int(active[last - 1]) + 1)
                taken: list[Statistics | None] = [None] * len(self.foldings)
                if states is not None:
                    taken = [*self._taken(states, np.arange(n, last), len(active))]
                yield Block(span, self.inputs, taken)
            first = end

    def _tasks(self, blocks: Sequence[Block], start: int, stop: int) -> Iterator[_Task]:
        """Take the blocks one after another, and of each its samples."""
        rows = sum(block.count for block in blocks)
        chunk = chunk_rows(self.peak, -(-rows * (stop - start) // self.threads))
        for block in blocks:
            step = max(1, chunk // block.count)
            for m in range(start, stop, step):
                yield _Task(block, range(m, min(m + step, stop)))

    def _run(self, task: _Task) -> tuple[_Task, list[Array]]:
        first = self.first_sample
        numbers = range(first + task.samples.start, first + task.samples.stop)

        def draw(step: Step) -> Draw | None:
            return self.draws.draw(step, numbers, task.block.rows)

        if self.feed is not None:
            given = self.inputs[0][task.block.rows]
            return task, [self.feed.path(given, len(numbers), partial(self._whole_graph, draw))]
        tensors = run(self.graph.sampled, task.block.tensors(self.graph), draw)
        flows = [tensors[i].looked_up() for i in self.graph.outputs]
        return task, [for_samples(flow.values, len(numbers)) for flow in flows]

    def _whole_graph(self, draw: Callable[[Step], Draw | None], x: Array) -> Array:
        """Run all of a model of one input and one output on (samples or 1, rows, ...)."""
        tensors = run(self.graph.whole, {self.graph.inputs[0]: Flow(x)}, draw)
        return tensors[self.graph.outputs[0]].looked_up().values

    # ---- parts ----

    def _lengths(self, outputs: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of what a folding takes, known lengths of inputs given."""
        shapes, _ = self.graph.sizes([array.shape[1:] for array in self.inputs])
        some = [shapes[self.graph.outputs[n]] for n in outputs]
        lengths = [int(n or 0) for n in some[0]]
        if self.feed is not None:
            lengths = list(self.feed.path_shape(tuple(lengths)))
        return (*lengths[:-1], len(some) * lengths[-1]) if lengths else ()

    def _put(
        self,
        parts: Sequence[list[Part]],
        rows: NDArray[np.intp],
        states: Sequence[Statistics | None],
    ) -> None:
        if len(rows):
            for mine, statistics in zip(parts, states, strict=True):
                assert statistics is not None
                mine.append(self._part(rows, statistics))

    def _part(self, rows: NDArray[np.intp], statistics: Statistics) -> Part:
        first = self.first_sample
        count = statistics["moments"].count
        return Part(rows, ((self.source, first, first + count),), statistics)

    def _joined(self, states: Sequence[Statistics | None]) -> Statistics:
        first, *others = [s for s in states if s is not None]
        return {name: first[name].joined([s[name] for s in others]) for name in first}

    def _taken(
        self, states: Sequence[Statistics], places: NDArray[np.intp], of: int
    ) -> list[Statistics]:
        """Return the statistics of some rows of so many, by their places."""
        return [{n: s.take(places, of) for n, s in some.items()} for some in states]


# ---- paths ----


class Feedback:
    """How a path goes on: what becomes of an output to be the next step of the input."""

    def __init__(
        self,
        function: Callable[..., Any] | None,
        steps: int,
        shape: Shape,
        dtype: str | None = None,
    ) -> None:
        self._arguments = 0 if function is None else arguments(function, "feedback")
        if not shape:
            raise ValueError("rollout: expected an input whose first axis is time, got numbers")
        self._function, self.steps = function, steps
        self._window, self._next, self._dtype = shape[0], shape[1:], dtype

    def path_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a row's path, given that of an output."""
        last = self._last(shape)
        if self._function is None and last != self._next:
            expected = f"a function that makes steps of shape {self._next} of outputs {last}"
            _check.refuse(ValueError, "feedback", expected, None)
        return (self.steps, *last)

    def _last(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        # A sequence has an axis more than what is next, and a function says itself.
        return shape[1:] if len(shape) > max(len(self._next), 1) else shape

    def path(self, x: Array, samples: int, run: Callable[[Array], Array]) -> Array:
        """Return paths (samples, rows, steps, ...) that begin behind x (rows, time, ...)."""
        window = x[np.newaxis]
        found = []
        for number in range(self.steps):
            y = for_samples(run(window), samples)
            if len(self._last(y.shape[2:])) < y.ndim - 2:
                y = y[:, :, -1]
            found.append(y)
            if number + 1 < self.steps:
                ahead = for_samples(window, samples)
                if self._window is not None:
                    ahead = ahead[:, :, 1:]
                following = self._following(y, number)[:, :, np.newaxis]
                window = np.concatenate([ahead, following], axis=2)
        return np.stack(found, axis=2)

    def _following(self, y: Array, number: int) -> Array:
        following = y if self._function is None else self._made(self._function, y, number)
        if self._dtype is not None:
            _check.held(following, "feedback", self._dtype, "the input")
        return following

    def _made(self, function: Callable[..., Any], y: Array, number: int) -> Array:
        given = (y.copy(), number)[: self._arguments]  # what has been said stays so
        made = function(*given)
        found = _check.array(made, "feedback", (*_check.NUMBERS, "bool"))
        expected = (*y.shape[:2], *(n or 0 for n in self._next))
        return _check.float32(_check.shaped(found, "feedback", expected), "feedback")


# ---- progress ----


def reporter(progress: object, total: int) -> AbstractContextManager[Progress | None]:
    """Return what `progress` asks for: nothing, a bar, or the callable itself."""
    if callable(progress):
        return nullcontext(progress)
    if not _check.flag(progress, "progress"):
        return nullcontext()
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise _check.missing("progress", "tqdm", "progress") from error

    @contextmanager
    def shown() -> Iterator[Progress]:
        with tqdm(total=total, unit="sample", unit_scale=True) as bar:

            def report(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield report

    return shown()


# ---- running a graph ----


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what a chunk frees for the next one, in place of the system.

    glibc gives freed memory back beyond bounds that grow with the largest block freed so far
    (mallopt(3), M_MMAP_THRESHOLD), so a block of a chunk's size is freed once. Pages that come new
    for every chunk, which the system clears, took a third of the time of a model with attention.
    """
    np.empty(_CHUNK_BYTES, np.uint8)


def chunk_rows(peak: int, wanted: int) -> int:
    """Return the rows to take together, within the memory set aside for them."""
    # Half as much again: what a layer computes on the way, and the next chunk's results.
    return even(wanted, max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (6 * peak))))


def even(total: int, limit: int) -> int:
    """Return the size of pieces of at most `limit` that are almost equal, for no thread to wait."""
    return max(1, -(-total // max(1, -(-total // limit))))


def enter(graph: Graph, inputs: Sequence[Array], rows: slice) -> Tensors:
    """Return the tensors that some rows of the inputs are."""
    given = zip(graph.inputs, inputs, strict=True)
    return {tensor: Flow(array[np.newaxis, rows]) for tensor, array in given}


def run(
    steps: Sequence[tuple[Step, list[int]]],
    tensors: Tensors,
    draw: Callable[[Step], Draw | None] = lambda step: None,
) -> Tensors:
    """Run steps on the tensors there are, and forget what nobody needs any more."""
    for step, forgotten in steps:
        given = [as_given(tensors[i], step.layer) for i in step.inputs]
        made = step.layer.run(given, draw(step))
        tensors.update(zip(step.outputs, made, strict=True))
        for number in forgotten:
            tensors.pop(number, None)
    return tensors

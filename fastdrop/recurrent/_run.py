"""Running a plan: pieces of the rows, windows of time, calls of the backend."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _threads
from fastdrop._backend import RnnCall, Stream
from fastdrop.recurrent._arguments import Arguments
from fastdrop.recurrent._masks import Place, drop_steps, masks_of, rows_of, step_events
from fastdrop.recurrent._plan import Direction, Plan, threads_of_row

Array = NDArray[Any]

# Rows of an embedding to look up together: few enough to stay in a cache.
_LOOK_UP_ROWS = 1024
# Seconds that a call of the backend may take, once it has been seen how fast that is.
_CALL_SECONDS = 0.1


def run(plan: Plan) -> Array | tuple[Any, ...]:
    """Run all rows, and return what `rnn` does."""
    arguments, height = plan.arguments, plan.height
    rows, steps = arguments.x.shape[:2]
    width = arguments.widths[-1]
    shape = (rows, steps, width) if arguments.return_sequences else (rows, width)
    y = np.empty(shape, arguments.dtype)
    work = Run(plan, arguments)
    if rows <= height:
        if rows:
            work.rows(slice(0, rows), y, plan.threads)
    else:
        pieces = [slice(n, min(n + height, rows)) for n in range(0, rows, height)]
        busy = min(plan.threads, len(pieces))
        _threads.for_each(
            lambda piece: work.rows(piece, y[piece], plan.threads // busy), pieces, busy, work.stop
        )
    return _with_state(plan, y) if arguments.return_state else y


def _with_state(plan: Plan, y: Array) -> tuple[Any, ...]:
    """Return the output and the final state, nested like the layers."""
    if plan.arguments.only is not None:
        ((end,),) = plan.layers
        return (y, end.h) if end.c is None else (y, end.h, end.c)
    state: list[Any] = []
    for layer in plan.layers:
        ends = tuple(d.h if d.c is None else (d.h, d.c) for d in layer)
        state.append(ends if len(ends) > 1 else ends[0])
    return y, state if plan.arguments.listed else state[0]


@dataclass(slots=True, eq=False)
class _Inputs:
    """What some rows of a layer take: x (rows, steps, ...), which may be tokens."""

    x: Array
    embedded: bool
    step_mask: Array | None


@dataclass(slots=True, eq=False)
class Run:
    """A run of a plan, some rows of which may be on other threads."""

    plan: Plan
    arguments: Arguments
    stopped: bool = False

    def stop(self) -> None:
        """End what other threads run, for this call has failed or is interrupted."""
        self.stopped = True

    def _ended(self) -> bool:
        """Whether to do no more, for any of these reasons."""
        if _threads.abandoned():
            self.stopped = True
        return self.stopped

    def rows(self, piece: slice, out: Array, threads: int) -> None:
        """Run some rows through all layers; out (rows, steps, width) or (rows, width)."""
        plan, arguments = self.plan, self.arguments
        mask, embedded = arguments.step_mask, arguments.embedding is not None
        given = _Inputs(arguments.x[piece], embedded, None if mask is None else mask[piece])
        backwards, last = arguments.go_backwards, len(plan.layers) - 1
        for number, layer in enumerate(plan.layers):
            y = out
            if number < last:
                y = np.empty((*given.x.shape[:2], arguments.widths[number]), arguments.dtype)
            if len(layer) == 1:
                self._direction(layer[0], piece, y, given, backwards, threads)
            else:
                self._pair(layer, piece, y, given, threads)
            if number < last:
                mask = given.step_mask
                if backwards and mask is not None:  # what comes out is in the order taken
                    mask = mask[:, ::-1].copy()
                given, backwards = _Inputs(y, False, mask), False
            stream = plan.between[number]
            if stream is not None:
                drop_steps(stream, self._place(piece), y)

    def _place(self, piece: slice, step: int = 0) -> Place:
        arguments = self.arguments
        row, step = arguments.first_row + piece.start, arguments.first_step + step
        return Place(row, step, arguments.shared)

    def _pair(
        self,
        layer: tuple[Direction, ...],
        piece: slice,
        out: Array,
        given: _Inputs,
        threads: int,
    ) -> None:
        """Run both directions, side by side where there is a thread for it."""
        outputs = [np.empty((*out.shape[:-1], d.weights.units), out.dtype) for d in layer]

        def one(d: int) -> None:
            self._direction(layer[d], piece, outputs[d], given, False, max(1, threads // 2))

        _threads.for_each(one, range(2), threads, self.stop)
        ahead, back = outputs
        if back.ndim == 3:
            back = back[:, ::-1]  # they were put out in the order taken
        merge(ahead, back, self.arguments.merge_mode, out)

    def _direction(
        self,
        direction: Direction,
        piece: slice,
        out: Array,
        given: _Inputs,
        backwards: bool,
        threads: int,
    ) -> None:
        """Run some rows through the whole sequence."""
        rows, steps = given.x.shape[:2]
        units = direction.weights.units
        h = direction.h[piece]
        y_last = out if out.ndim == 2 else np.empty((rows, units), out.dtype)
        # Before the first step taken there is no output to repeat. With no steps h_T is h_0.
        if steps:
            y_last.fill(0)
        else:
            y_last[...] = h
        if not (steps and units):
            return
        first_row = self.arguments.first_row + piece.start
        candidate_mask = masks_of(direction.candidate_mask, piece, first_row)
        call = RnnCall(
            packed=direction.packed,
            y_last=y_last,
            h=h,
            c=None if direction.c is None else direction.c[piece],
            y=out if out.ndim == 3 else None,
            x=given.x,
            input_mask=masks_of(direction.input_mask, piece, first_row),
            recurrent_mask=masks_of(direction.recurrent_mask, piece, first_row),
            candidate_mask=None if candidate_mask is None else candidate_mask[:, 0],
            step_mask=given.step_mask,
            last=steps,
            backwards=direction.backwards or backwards,
            zero_masked_steps=self.arguments.zero_output_for_mask,
        )
        if given.embedded and direction.input_steps is None:
            self._project(direction, piece, call)
        self._steps(direction, piece, call, given, threads)

    def _steps(
        self, direction: Direction, piece: slice, call: RnnCall, given: _Inputs, threads: int
    ) -> None:
        """Take all steps, a window of time after another."""
        rows, steps = given.x.shape[:2]
        most = direction.most_steps(rows, steps)
        window, first = max(1, direction.affordable // rows), 0
        while not self._ended():
            last = min(first + min(window, most), steps)
            times = slice(steps - last, steps - first) if call.backwards else slice(first, last)
            call.first, call.last = first, last
            spent = self._window(direction, piece, call, given.embedded, times, threads)
            if last == steps:
                return
            # Each call prepares masks anew: the next ones take as many steps as time allows, if
            # all rows take them, for masked steps cost nothing.
            taken = rows * (last - first)
            if given.step_mask is not None:
                taken = np.count_nonzero(given.step_mask[:, times])
            if taken:
                window = max(1, min(steps, int(taken * _CALL_SECONDS / (rows * max(spent, 1e-9)))))
            first = last

    def _window(
        self,
        direction: Direction,
        piece: slice,
        call: RnnCall,
        embedded: bool,
        times: slice,
        threads: int,
    ) -> float:
        """Take the steps of a call, and return how long the backend took."""
        if direction.zoneout_h is not None or direction.zoneout_c is not None:
            place = self._place(piece, call.first)
            shape = (len(call.h), call.last - call.first, direction.weights.units)
            call.zoneout_h, call.zoneout_c = (
                None if stream is None else step_events(stream, place, shape)
                for stream in (direction.zoneout_h, direction.zoneout_c)
            )
        own = call
        if direction.input_steps is not None:
            own = self._dropped(direction.input_steps, piece, call, embedded, times)
        start = time.perf_counter()
        self._call(direction, own, threads)
        spent = time.perf_counter() - start
        if call.y is not None and own.y is not None and own is not call:
            call.y[:, call.first : call.last] = own.y
        return spent

    def _call(self, direction: Direction, call: RnnCall, threads: int) -> None:
        """Call the backend: of one row on as many threads as have enough to do."""
        team = None
        if threads > 1 and len(call.h) == 1:
            threads = min(threads, threads_of_row(direction, call.last - call.first))
            team = _backend.active.team(call, threads) if threads > 1 else None
        if team is None:
            _backend.active.rnn(call)
            return
        _threads.for_each(team.work, range(team.parts), team.parts, self.stop)
        team.end()

    def _dropped(
        self, stream: Stream, piece: slice, call: RnnCall, embedded: bool, times: slice
    ) -> RnnCall:
        """Copy a window in the order taken, and drop from its inputs."""
        assert call.x is not None
        order = slice(None, None, -1 if call.backwards else 1)
        x = call.x[:, times][:, order]
        if embedded:
            assert self.arguments.embedding is not None
            factors = rows_of(self.arguments.embedding_mask, piece)
            x = _looked_up(self.arguments.embedding, x, factors)
        else:
            x = x.copy()
        drop_steps(stream, self._place(piece, call.first), x)
        steps, y, mask = call.last - call.first, call.y, call.step_mask
        return replace(
            call,
            y=None if y is None else np.empty((len(x), steps, y.shape[2]), y.dtype),
            x=x,
            step_mask=None if mask is None else mask[:, times][:, order].copy(),
            first=0,
            last=steps,
            backwards=False,
        )

    def _project(self, direction: Direction, piece: slice, call: RnnCall) -> None:
        """Project each token once, or once a row where rows have masks of their own.

        The call takes rows of the projections in place of the tokens.
        """
        embedding, tokens, input_mask = self.arguments.embedding, call.x, call.input_mask
        assert embedding is not None
        assert tokens is not None
        factors = rows_of(self.arguments.embedding_mask, piece)
        of_row = [mask is not None and len(mask) > 1 for mask in (input_mask, factors)]
        groups = tokens if any(of_row) else tokens.reshape(1, -1)
        words, of, index = _backend.active.distinct(groups, len(embedding))
        projected = np.empty((len(words), direction.packed.width), embedding.dtype)
        height = min(direction.affordable, _LOOK_UP_ROWS)
        for first in range(0, len(words), height):
            if self._ended():
                break
            part = slice(first, first + height)
            _backend.active.project(
                projected[part],
                direction.packed,
                embedding,
                words[part],
                factors,
                of[part] if of_row[1] else None,
                input_mask,
                of[part] if of_row[0] else None,
            )
        call.x = call.input_mask = None
        call.projected, call.index = projected, index.reshape(tokens.shape)


def _looked_up(embedding: Array, tokens: Array, factors: Array | None) -> Array:
    """Return rows (rows, steps, features) of an embedding, times factors (rows or 1, features)."""
    x = np.take(embedding, tokens, axis=0)
    if factors is not None:
        whole = -(factors != 0).astype(f"i{factors.itemsize}")[:, np.newaxis]  # all bits or none
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            x *= factors[:, np.newaxis]
        x.view(whole.dtype)[...] &= whole  # 0 times infinity is not 0, and where() takes longer
    return x


def merge(ahead: Array, back: Array, mode: str, out: Array | None = None) -> Array:
    """Merge the outputs (..., units) of two directions, both in the order of time."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if mode == "concat":
            return np.concatenate([ahead, back], axis=-1, out=out)
        if mode == "mul":
            return np.multiply(ahead, back, out=out)
        out = np.add(ahead, back, out=out)
        if mode == "ave":
            out /= 2
        return out

"""Recurrent layers for sequences that come step by step."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NoReturn, SupportsIndex, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fastdrop import _backend, _check
from fastdrop._backend import Held, RnnCall, Stream
from fastdrop.masks import delivered
from fastdrop.recurrent._arguments import checked, checked_states, fitting, stacked
from fastdrop.recurrent._functions import options_of
from fastdrop.recurrent._masks import STEPS, Place, drop_steps, masks_of, step_events
from fastdrop.recurrent._packed import PackedWeights
from fastdrop.recurrent._plan import Direction, planned
from fastdrop.typing import ArrayLike, LayerState, Precision, RNGLike, Scheme, Scope

Array = NDArray[Any]


class Stepper:
    """Recurrent layers that take a time step at a time, and remember.

    What `step` looks at in each call is done once: arguments are checked, masks are drawn and laid
    out for the kernels, and the state stays where they keep it. A step then costs its arithmetic
    and about a microsecond.

    Parameters
    ----------
    layers : PackedWeights or list of PackedWeights
        As in `rnn`; in one direction.
    rows : int, optional
        How many sequences are taken side by side.
    initial_state : optional
        As in `step`. Zeros if not given.
    first_step : int, optional
        The number of the first step to come, as in `rnn`.
    dropout, recurrent_dropout, candidate_dropout, zoneout, weight_dropout, between_dropout, rng, \
scheme, scope, site, sample, row_offset, input_mask, recurrent_mask, candidate_mask, precision : \
optional
        As in `rnn`. One key and stream give the same bits in every function; without a key one is
        drawn, which serves all steps.

    Raises
    ------
    TypeError, ValueError
        As in `rnn`.

    Notes
    -----
    Its steps have the bits of the whole sequence in one call of `rnn` with the same key, signs of
    NaNs aside. Of two threads that use an object at the same time one waits for the other.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> weights = fd.pack_lstm(np.ones((3, 20), np.float32), np.ones((5, 20), np.float32))
    >>> x = np.ones((2, 4, 3), np.float32)
    >>> stepper = fd.Stepper(weights, rows=2, dropout=0.5, recurrent_dropout=0.5, rng=0)
    >>> for t in range(4):
    ...     y = stepper.step(x[:, t])
    >>> whole = fd.rnn(x, weights, dropout=0.5, recurrent_dropout=0.5, rng=0)
    >>> bool((y == whole).all())
    True
    """

    def __init__(
        self,
        layers: PackedWeights | list[PackedWeights],
        rows: int = 1,
        *,
        initial_state: ArrayLike | Sequence[Any] | None = None,
        first_step: int = 0,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        candidate_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        weight_dropout: float = 0.0,
        between_dropout: float = 0.0,
        rng: RNGLike = None,
        scheme: Scheme = "per_gate",
        scope: Scope = "per_row",
        site: int = 0,
        sample: int = 0,
        row_offset: int = 0,
        input_mask: ArrayLike | None = None,
        recurrent_mask: ArrayLike | None = None,
        candidate_mask: ArrayLike | None = None,
        precision: Precision | None = None,
    ) -> None:
        given = options_of(locals(), threads=1)
        rows = _check.integer(rows, "rows", 0, None)
        stack = stacked(layers)
        for layer in stack:
            if len(layer) == 2:
                _check.refuse(ValueError, "layers", "layers in one direction", layer)
        every = [weights for layer in stack for weights in layer]
        dtype = np.result_type(*(weights.dtype for weights in every))
        arguments = checked(np.zeros((rows, 1, every[0].features), dtype), layers, given)
        plan = planned(arguments, held=True)
        self._arguments = arguments
        self._first, self._steps = arguments.first_step, arguments.first_step
        self._shape, self._dtype = (rows, every[0].features), dtype
        self._pieces = [slice(n, min(n + plan.height, rows)) for n in range(0, rows, plan.height)]
        self._layers = [
            _Layer(direction, self._pieces, arguments.first_row, between)
            for (direction,), between in zip(plan.layers, plan.between, strict=True)
        ]
        self._out_shape = (rows, self._layers[-1].units)
        self._place = Place(arguments.first_row, arguments.first_step, arguments.shared)
        # What is new at each step is numbered, and so there is a last one.
        self._numbered = any(layer.numbered for layer in self._layers)
        # What takes a step where there is nothing else to do.
        self._only = self._layers[0].only if len(self._layers) == 1 else None
        # Kernels write to the state without Python's lock.
        self._lock = threading.Lock()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "a Stepper is neither copied nor pickled: another of the same options, with "
            "initial_state= its state and first_step= the steps taken, goes on from there"
        )

    def __repr__(self) -> str:
        rows = f"{self._shape[0]} row{'s' * (self._shape[0] != 1)}"
        layers = f"{len(self._layers)} layer{'s' * (len(self._layers) != 1)}"
        return f"<Stepper: {layers}, {rows}, after {self._steps - self._first} steps>"

    def step(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Take the next time step of every row.

        Parameters
        ----------
        x : array_like, shape (rows, features)
            The input; float32, or float64 if the weights are.
        out : ndarray, shape (rows, units), optional
            Where to put the result; it must not overlap `x`.

        Returns
        -------
        ndarray, shape (rows, units)
            The output of the (last) layer: `out`, or a new array.

        Raises
        ------
        TypeError, ValueError
            If an array is of another shape or type, or steps that masks are numbered by have run
            out, after 2**24. The step is not taken then.
        """
        if not self._is_plain(x, self._shape):
            x = self._input(x)
        y = np.empty(self._out_shape, self._dtype) if out is None else self._output(out, x)
        with self._lock:
            if self._only is not None:
                self._only.step(x, y, None, None)
            else:
                self._step_through(x, y)
            self._steps += 1
        return y if out is None else delivered(y, out)

    def _step_through(self, x: Array, y: Array) -> None:
        """Take a step in all layers."""
        place = self._next_place() if self._numbered else self._place
        for layer in self._layers[:-1]:
            to = np.empty((len(x), layer.units), self._dtype)
            layer.step(x, to, place)
            x = to
        self._layers[-1].step(x, y, place)

    def reset(self, initial_state: ArrayLike | Sequence[Any] | None = None) -> None:
        """Begin new sequences, with the same masks.

        Parameters
        ----------
        initial_state : optional
            As in `step`; zeros if not given.

        Raises
        ------
        TypeError, ValueError
            If the state does not fit.
        """
        arguments = self._arguments
        states = checked_states(
            initial_state, arguments.layers, arguments.listed, self._shape[0], self._dtype
        )
        with self._lock:
            for layer, own in zip(self._layers, states, strict=True):
                layer.set_state(own)
            self._steps = self._first

    @property
    def state(self) -> LayerState | list[LayerState]:
        """The state after the last step, as `step` returns it: copies."""
        with self._lock:
            states = [layer.state() for layer in self._layers]
        return states if self._arguments.listed else states[0]

    def _is_plain(self, a: object, shape: tuple[int, ...]) -> TypeGuard[Array]:
        """Whether kernels can take an array as it is."""
        return (
            type(a) is np.ndarray and a.dtype is self._dtype and a.shape == shape and a.flags.carray
        )

    def _input(self, x: ArrayLike) -> Array:
        given = _check.shaped(_check.array(x, "x", _check.FLOATS, 2), "x", self._shape)
        return _check.contiguous(fitting(given, "x", self._dtype), self._dtype)

    def _output(self, out: NDArray[Any], x: Array) -> Array:
        """Where to compute: `out` itself, but for what kernels cannot write to."""
        own = out is not x and x.base is None  # two arrays with memory of their own do not overlap
        if own and self._is_plain(out, self._out_shape) and out.base is None:
            return out
        checked_out = _check.output(out, self._out_shape, self._dtype)
        if checked_out.flags.carray and not np.may_share_memory(checked_out, x):
            return checked_out
        if np.shares_memory(checked_out, x):
            raise ValueError("out: expected memory that x has no part of, got some that it has")
        return np.empty(self._out_shape, self._dtype)

    def _next_place(self) -> Place:
        """The place of what is new at the next step."""
        if self._steps >= STEPS:
            raise ValueError(
                f"step: expected at most {STEPS} steps, for masks are numbered by them"
            )
        return Place(self._arguments.first_row, self._steps, self._arguments.shared)


class _Layer:
    """A layer with its state, in pieces of the rows."""

    def __init__(
        self, direction: Direction, pieces: list[slice], first_row: int, between: Stream | None
    ) -> None:
        self.units = direction.weights.units
        self._direction, self._between, self._pieces = direction, between, pieces
        self._zoneout = (direction.zoneout_h, direction.zoneout_c)
        drawn = (direction.input_steps, *self._zoneout, between)
        self.numbered = any(stream is not None for stream in drawn)
        self._held: list[Held] = []
        if self.units:
            self._held = [self._hold(direction, piece, first_row) for piece in pieces]
        # What takes a step by itself.
        self.only = self._held[0] if len(self._held) == 1 and not self.numbered else None

    def _hold(self, direction: Direction, piece: slice, first_row: int) -> Held:
        first_row += piece.start
        candidate_mask = masks_of(direction.candidate_mask, piece, first_row)
        h, c = direction.h[piece], None if direction.c is None else direction.c[piece]
        return _backend.active.hold(
            RnnCall(
                packed=direction.packed,
                y_last=h,
                h=h,
                c=c,
                x=np.empty((len(h), 1, direction.weights.features), h.dtype),
                input_mask=masks_of(direction.input_mask, piece, first_row),
                recurrent_mask=masks_of(direction.recurrent_mask, piece, first_row),
                candidate_mask=None if candidate_mask is None else candidate_mask[:, 0],
                last=1,
            )
        )

    def step(self, x: Array, out: Array, place: Place) -> None:
        if self.only is not None:
            self.only.step(x, out, None, None)
            return
        stream = self._direction.input_steps
        if stream is not None:
            x = x.copy()
            drop_steps(stream, place, x[:, np.newaxis])
        shape = (len(x), 1, self.units)
        h, c = (
            None if stream is None else step_events(stream, place, shape)[:, 0]
            for stream in self._zoneout
        )
        for piece, held in zip(self._pieces, self._held, strict=False):
            events = (None if a is None else a[piece] for a in (h, c))
            held.step(x[piece], out[piece], *events)
        if self._between is not None:
            drop_steps(self._between, place, out[:, np.newaxis])

    def state(self) -> LayerState:
        h = np.empty_like(self._direction.h)
        c = None if self._direction.c is None else np.empty_like(h)
        for piece, held in zip(self._pieces, self._held, strict=False):
            held.state(h[piece], None if c is None else c[piece])
        return h if c is None else (h, c)

    def set_state(self, state: list[Array]) -> None:
        h, c = state[0], state[1] if len(state) == 2 else None
        for piece, held in zip(self._pieces, self._held, strict=False):
            held.set_state(h[piece], None if c is None else c[piece])

"""Recurrent layers with dropout."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdrop import _backend, _check, _threads
from fastdrop.masks import run as run_kernel
from fastdrop.packed import PackedWeights
from fastdrop.random import Key, as_key, check_rng

Array = NDArray[Any]

# Sites of a direction of a layer. What is drawn stands at a place of its own among them, ...
SITES = 8
_INPUT, _RECURRENT, _CANDIDATE, _ZONEOUT_H, _ZONEOUT_C, _WEIGHT, _BETWEEN = range(7)
# ... and what is new at each step numbers the steps of a row up to here.
_STEPS = 1 << 24

# Rows that a call takes together. Enough for any kernel to work on side by side.
_PIECE_ROWS = 64
# Rows of an embedding to look up together: few enough to stay in a cache.
_LOOK_UP_ROWS = 1024
# Numbers that a piece holds of its projected inputs, and events that it holds of a window of time.
_PIECE_NUMBERS = 1 << 23
# Inputs to drop from together: few enough to stay in a cache.
_DROP_NUMBERS = 1 << 20
# Arithmetic that a call of the backend may do in one step, for the sake of reading large weights
# for many rows at a time: 100 ms where nothing but plain C is to be had.
_STEP_FLOPS = 1e9
# Seconds that a call of the backend may take, once it has been seen how fast that is.
_CALL_SECONDS = 0.1
# Arithmetic for which another thread is worth starting: that takes as long.
_THREAD_FLOPS = 40e6
# Preparing weights for a mask that rows share pays from so many rows times steps on, from so many
# features and units on, and where at least a quarter is dropped.
_SHARE_ROW_STEPS, _SHARE_WIDTH, _SHARE_KEPT = 64, 96, 0.75


State = Any  # as `rnn` returns it


# ---- what is drawn ----


class _Stream(NamedTuple):
    """Where the randomness of a mask comes from, and its rate.

    Row n of the data set has new masks at every step: step t has the elements
    (n * 2**24 + t) * width + j. Shared, all rows have those of row 0.
    """

    k0: int
    k1: int
    stream: int
    threshold: int

    def at(self, direction: int) -> "_Stream":
        """Return the stream of another direction, all of them numbered layer by layer."""
        number = self.stream + (SITES * direction << 32) & 0xFFFFFFFFFFFFFFFF
        return self._replace(stream=number) if direction else self

    def events(
        self, first_row: int, first_step: int, shape: tuple[int, int, int], shared: bool
    ) -> Array:
        """Events (rows, steps, width), uint8."""
        rows, _, width = shape
        out = np.empty(shape, np.uint8)
        for n in range(1 if shared else rows):
            first = ((0 if shared else first_row + n) * _STEPS + first_step) * width
            self._run(_backend.active.bernoulli, (out[n].reshape(-1),), (), first)
        if shared:
            out[1:] = out[0]
        return out

    def drop(self, values: Array, first_row: int, first_step: int, shared: bool) -> None:
        """Drop from values (rows, steps, width), in place."""
        width = values.shape[2]
        scale = _check.scale(self.threshold, values.dtype)
        for n in range(len(values)):
            row = values[n].reshape(-1)
            first = ((0 if shared else first_row + n) * _STEPS + first_step) * width
            self._run(_backend.active.dropout, (row, row), (scale,), first)

    def _run(
        self,
        kernel: Callable[..., None],
        arrays: tuple[Array, ...],
        head: tuple[float, ...],
        first: int,
    ) -> None:
        run_kernel(kernel, arrays, (*head, _backend.Stream(*self)), first, 1)


class _Masks(NamedTuple):
    """Factors to draw that serve all steps: row n has the elements (n * gates + g) * width + j."""

    stream: _Stream
    gates: int
    width: int
    dtype: np.dtype[Any]

    def of_rows(self, first_row: int, rows: int) -> Array:
        """Factors (rows, gates, width) of rows from `first_row` on."""
        shape = (1, rows, self.gates, self.width)
        return _factors(self.stream, first_row, shape, self.dtype).reshape(shape[1:])


def _factors(
    stream: _Stream, first_row: int, shape: tuple[int, int, int, int], dtype: np.dtype[Any]
) -> Array:
    """Draw factors (samples, rows, gates, width), each sample's from the next stream."""
    samples, _, gates, width = shape
    out = np.empty(shape, dtype)
    if out.size:
        scale, first = _check.scale(stream.threshold, dtype), first_row * gates * width
        source = _backend.Stream(*stream)
        _backend.active.masks(out.reshape(samples, -1), scale, source, first)
    return out


def recurrent_masks(
    key: Key,
    streams_first: int,
    samples: range,
    rate: float,
    first_row: int,
    rows: int,
    gates: int,
    width: int,
    dtype: np.dtype[Any],
) -> Array:
    """Draw time-constant masks of several samples in one call of the backend.

    Parameters
    ----------
    key : Key
        Where the randomness comes from.
    streams_first : int
        ``site << 32``: the stream of sample 0.
    samples : range
        Consecutive samples, whose streams are consecutive.
    rate : float
        The probability of dropping, in [0, 1).
    first_row, rows : int
        The rows of the whole data set that the masks are for.
    gates, width : int
        Masks a row, and elements a mask.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    ndarray, shape (len(samples), rows, gates, width)
        Zero where an element is dropped, else the scale: element (row * gates + g) * width + j.

    Examples
    --------
    >>> masks = recurrent_masks(Key(0), 5 << 32, range(3), 0.5, 0, 2, 4, 7, np.dtype(np.float32))
    >>> masks.shape
    (3, 2, 4, 7)
    """
    assert samples.step == 1
    assert not streams_first & 0xFFFFFFFF
    first = key.base + streams_first + samples.start & 0xFFFFFFFFFFFFFFFF
    stream = _Stream(key.k0, key.k1, first, _check.threshold(rate))
    return _factors(stream, first_row, (len(samples), rows, gates, width), dtype)


# ---- running ----


@dataclass(slots=True, eq=False)
class _Direction:
    """What one direction of one layer runs with in one call, for all rows."""

    weights: PackedWeights
    packed: _backend.Packed
    backwards: bool
    affordable: int  # rows times steps that a call of the backend may take
    h: Array
    c: Array | None
    # Factors (rows or 1, gates or 1, width), or what draws them for some rows.
    input_mask: Array | _Masks | None
    recurrent_mask: Array | _Masks | None
    candidate_mask: Array | _Masks | None
    input_steps: _Stream | None  # what drops from the input anew at each step
    zoneout_h: _Stream | None
    zoneout_c: _Stream | None


class _Window(NamedTuple):
    """Steps first .. last - 1, in the order taken, of arrays (rows, steps, ...)."""

    y: Array | None
    x: Array | None
    step_mask: Array | None
    first: int
    last: int
    backwards: bool


@dataclass(slots=True, eq=False)
class _Call:
    """What all layers of a call share, and running them for some rows."""

    layers: list[tuple[_Direction, ...]]
    widths: list[int]  # of what each puts out
    between: list[_Stream | None]
    dtype: np.dtype[Any]
    x: Array
    embedding: Array | None
    embedding_mask: Array | None
    step_mask: Array | None
    zero_output_for_mask: bool
    go_backwards: bool
    merge_mode: str
    first_row: int
    first_step: int
    shared: bool
    stopped: bool = False

    def stop(self) -> None:
        """End what other threads run, for this call has failed or is interrupted."""
        self.stopped = True

    def rows(self, piece: slice, out: Array, threads: int) -> None:
        """Run some rows through all layers; out (rows, steps, width) or (rows, width)."""
        x = self.x[piece]
        step_mask = None if self.step_mask is None else self.step_mask[piece]
        backwards, embedded = self.go_backwards, self.embedding is not None
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            width = self.widths[number]
            y = out if number == last else np.empty((*x.shape[:2], width), self.dtype)
            if len(layer) == 1:
                self._direction(layer[0], piece, y, x, step_mask, embedded, backwards)
            else:
                self._pair(layer, piece, y, x, step_mask, embedded, threads)
            if backwards and number < last:  # what comes out is in the order taken
                step_mask = None if step_mask is None else step_mask[:, ::-1].copy()
                backwards = False
            stream = self.between[number]
            if stream is not None:
                stream.drop(y, self.first_row + piece.start, self.first_step, self.shared)
            x, embedded = y, False

    def _pair(
        self,
        layer: tuple[_Direction, ...],
        piece: slice,
        out: Array,
        x: Array,
        step_mask: Array | None,
        embedded: bool,
        threads: int,
    ) -> None:
        """Run both directions, side by side where there is a thread for it."""
        outputs = [np.empty((*out.shape[:-1], d.weights.units), self.dtype) for d in layer]

        def run(d: int) -> None:
            self._direction(layer[d], piece, outputs[d], x, step_mask, embedded, False)

        _threads.for_each(run, range(2), threads, self.stop)
        ahead, back = outputs
        if back.ndim == 3:
            back = back[:, ::-1]  # they were put out in the order taken
        merge(ahead, back, self.merge_mode, out)

    def _direction(
        self,
        layer: _Direction,
        piece: slice,
        out: Array,
        x: Array,
        step_mask: Array | None,
        embedded: bool,
        backwards: bool,
    ) -> None:
        """Run some rows through the whole sequence, a window of time after another."""
        rows, steps = x.shape[:2]
        units = layer.weights.units
        h, c = layer.h[piece], None if layer.c is None else layer.c[piece]
        y = out if out.ndim == 3 else None
        y_last = out if y is None else np.empty((rows, units), self.dtype)
        # Before the first step taken there is no output to repeat. With no steps h_T is h_0.
        y_last[...] = 0 if steps else h
        if not (steps and units):
            return
        first_row = self.first_row + piece.start
        input_mask = _part(layer.input_mask, piece, first_row)
        recurrent_mask = _part(layer.recurrent_mask, piece, first_row)
        candidate_mask = _part(layer.candidate_mask, piece, first_row)
        reverse, drop = layer.backwards or backwards, layer.input_steps
        most = steps  # that a call may take: what is drawn for each step of it is kept meanwhile
        if drop is not None:
            most = _DROP_NUMBERS // (rows * max(layer.weights.features, units))
        if layer.zoneout_h is not None or layer.zoneout_c is not None:
            most = min(most, _PIECE_NUMBERS // (rows * units))
        most = max(1, most)
        window = max(1, layer.affordable // rows)
        given: Array | None = x
        projected = index = None
        if embedded and drop is None:
            projected, index = self._project(layer, piece, x, input_mask)
            given = input_mask = None
        first = 0
        while first < steps:
            if self.stopped or _threads.abandoned():
                self.stopped = True
                return
            last = min(first + min(window, most), steps)
            times = slice(steps - last, steps - first) if reverse else slice(first, last)
            zoneout_h, zoneout_c = (
                None
                if stream is None
                else stream.events(
                    first_row, self.first_step + first, (rows, last - first, units), self.shared
                )
                for stream in (layer.zoneout_h, layer.zoneout_c)
            )
            part = _Window(y, given, step_mask, first, last, reverse)
            if drop is not None:
                part = self._dropped(part, times, drop, piece, embedded)
            start = time.perf_counter()
            _backend.active.rnn(
                _backend.RnnCall(
                    packed=layer.packed,
                    y_last=y_last,
                    h=h,
                    c=c,
                    y=part.y,
                    x=part.x,
                    projected=projected,
                    index=index,
                    input_mask=input_mask,
                    recurrent_mask=recurrent_mask,
                    candidate_mask=None if candidate_mask is None else candidate_mask[:, 0],
                    zoneout_h=zoneout_h,
                    zoneout_c=zoneout_c,
                    step_mask=part.step_mask,
                    first=part.first,
                    last=part.last,
                    backwards=part.backwards,
                    zero_masked_steps=self.zero_output_for_mask,
                )
            )
            # Each call prepares masks anew: the next ones take as many steps as time allows, if
            # all rows take them, for masked steps cost nothing.
            spent = max(time.perf_counter() - start, 1e-9)
            taken = rows * (last - first)
            if step_mask is not None:
                taken = np.count_nonzero(step_mask[:, times])
            if taken:
                window = max(1, min(steps, int(taken * _CALL_SECONDS / (rows * spent))))
            if y is not None and part.y is not y:
                y[:, first:last] = part.y
            first = last

    def _dropped(
        self, window: _Window, times: slice, drop: _Stream, piece: slice, embedded: bool
    ) -> _Window:
        """Copy a window in the order taken, and drop from its inputs."""
        y, x, step_mask, first, last, backwards = window
        assert x is not None
        order = slice(None, None, -1 if backwards else 1)
        x = x[:, times][:, order]
        if embedded:
            assert self.embedding is not None
            kept = _kept(self.embedding_mask, piece)
            x = _looked_up(self.embedding, x, [a[:, np.newaxis] for a in kept])
        else:
            x = x.copy()
        drop.drop(x, self.first_row + piece.start, self.first_step + first, self.shared)
        if y is not None:
            y = np.empty((len(x), last - first, y.shape[2]), self.dtype)
        if step_mask is not None:
            step_mask = step_mask[:, times][:, order].copy()
        return _Window(y, x, step_mask, 0, last - first, backwards=False)

    def _project(
        self, layer: _Direction, piece: slice, tokens: Array, input_mask: Array | None
    ) -> tuple[Array, Array]:
        """Project each token once, or once a row where rows have masks of their own.

        Returns the projections, and which of them each step of a row takes.
        """
        assert self.embedding is not None
        kept = _kept(self.embedding_mask, piece)
        of_row = [m is not None and len(m) > 1 for m in (input_mask, kept[0] if kept else None)]
        words, of, index = _distinct(tokens, len(self.embedding), any(of_row))
        projected = np.empty((len(words), layer.packed.width), self.dtype)
        height = min(layer.affordable, _LOOK_UP_ROWS)
        for first in range(0, len(words), height):
            if self.stopped or _threads.abandoned():
                break
            part = slice(first, first + height)
            masks = [np.take(a, of[part], axis=0) for a in kept] if of_row[1] else kept
            x = _looked_up(self.embedding, words[part], masks)
            rows = of[part] if of_row[0] else None
            _backend.active.project(projected[part], layer.packed, x, input_mask, rows)
        return projected, index


def _part(mask: Array | _Masks | None, piece: slice, first_row: int) -> Array | None:
    """Return the rows of a piece; a mask of one row serves all pieces."""
    if mask is None:
        return None
    if isinstance(mask, _Masks):
        return mask.of_rows(first_row, piece.stop - piece.start)
    return mask if len(mask) == 1 else mask[piece]


def _kept(mask: Array | None, piece: slice) -> list[Array]:
    """Return an embedding's factors (rows or 1, features) of a piece, and all bits or none."""
    if mask is None:
        return []
    mask = mask if len(mask) == 1 else mask[piece]
    return [mask, -(mask != 0).astype(f"i{mask.itemsize}")]


def _looked_up(embedding: Array, tokens: Array, kept: list[Array]) -> Array:
    """Return new rows of an embedding, times what is kept of them."""
    x = np.take(embedding, tokens, axis=0)
    if kept:
        factors, whole = kept
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            x *= factors
        x.view(whole.dtype)[...] &= whole  # 0 times infinity is not 0, and where() takes longer
    return x


def _distinct(tokens: Array, vocabulary: int, by_row: bool) -> tuple[Array, Array, Array]:
    """Return the tokens there are, rows that have them, and where each of `tokens` is in these.

    By row a token counts once for each row that has it, otherwise once.
    """
    groups = tokens if by_row else tokens.reshape(1, -1)
    rows, size = groups.shape
    count = rows * vocabulary
    if count <= 32 * tokens.size:  # a table is several times faster than sorting
        keys = groups + np.arange(0, count, vocabulary)[:, np.newaxis]
        seen = np.zeros(count, bool)
        seen[keys] = True
        found = np.flatnonzero(seen)
        place = np.empty(count, np.int64)
        place[found] = np.arange(len(found))
        of, words = np.divmod(found, vocabulary)
        return words, of, np.take(place, keys).reshape(tokens.shape)
    # A token and where it stands as one number, for numbers are sorted faster than places are.
    both = groups * size + np.arange(size)
    both.sort(axis=1)
    words = both // size
    new = np.ones((rows, size), bool)
    np.not_equal(words[:, 1:], words[:, :-1], out=new[:, 1:])
    place = both - words * size + np.arange(0, rows * size, size)[:, np.newaxis]
    index = np.empty(rows * size, np.int64)
    index[place] = new.cumsum().reshape(rows, size) - 1
    of = np.repeat(np.arange(rows), np.count_nonzero(new, axis=1))
    return words[new], of, index.reshape(tokens.shape)


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


# ---- the public functions ----


class _StepOptions(TypedDict, total=False):
    """Options of `rnn` that `step` has too."""

    dropout: float
    recurrent_dropout: float
    candidate_dropout: float
    zoneout: float | tuple[float, float]
    weight_dropout: float
    between_dropout: float
    rng: object
    scheme: str
    scope: str
    site: int
    sample: int
    row_offset: int
    input_mask: ArrayLike | None
    recurrent_mask: ArrayLike | None
    candidate_mask: ArrayLike | None
    embedding: ArrayLike | None
    embedding_mask: ArrayLike | None
    threads: int | None


class _Options(_StepOptions, total=False):
    """Options of `rnn`."""

    initial_state: Any
    mask: ArrayLike | None
    lengths: ArrayLike | None
    zero_output_for_mask: bool
    go_backwards: bool
    return_sequences: bool
    return_state: bool
    merge_mode: str
    first_step: int


def rnn(
    x: ArrayLike,
    layers: Any,
    *,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    candidate_dropout: float = 0.0,
    zoneout: float | tuple[float, float] = 0.0,
    weight_dropout: float = 0.0,
    between_dropout: float = 0.0,
    rng: object = None,
    scheme: str = "per_gate",
    scope: str = "per_row",
    site: int = 0,
    sample: int = 0,
    row_offset: int = 0,
    input_mask: ArrayLike | None = None,
    recurrent_mask: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    embedding: ArrayLike | None = None,
    embedding_mask: ArrayLike | None = None,
    initial_state: Any = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
    return_sequences: bool = False,
    return_state: bool = False,
    merge_mode: str = "concat",
    first_step: int = 0,
    threads: int | None = None,
) -> Any:
    """Run recurrent layers, in one direction or two, with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. All arrays of a call are computed with in their common dtype.
    layers : PackedWeights, pair or list
        One layer; a tuple (forward, backward) for a bidirectional one; or a list of such, stacked:
        each layer takes what the one before it puts out.
    dropout, recurrent_dropout : float, optional
        The probability, in [0, 1), of dropping an input feature and a unit of the previous output,
        in every layer and direction. A mask is drawn once for a row and serves all its time steps,
        unless `scheme` says otherwise; what is kept is scaled by 1 / (1 - rate).
    candidate_dropout : float, optional
        The same for a unit of the candidate (LSTM and GRU).
    zoneout : float or (float, float), optional
        The probability, in [0, 1), that a unit of h keeps its previous value at a step; for an LSTM
        also that of c, or a pair of rates (h, c). Nothing is scaled. The output is h after zoneout.
    weight_dropout : float, optional
        The probability, in [0, 1), of dropping a recurrent weight: one mask for all rows and steps
        of the call, scaled.
    between_dropout : float, optional
        For a list: the probability, in [0, 1), of dropping an element of what a layer but the last
        puts out, anew at each step, scaled.
    rng : None, int, Key, SeedSequence, Generator or BitGenerator, optional
        As in `bernoulli`. Used only where a mask is drawn. One key and stream give the same bits
        in every function: layers that are called one by one take keys, or a `site`, of their own.
    scheme : {"per_gate", "tied", "per_step"}, optional
        One input and recurrent mask for each gate, or one for all of them; or one input mask for
        all gates that is new at each step, and no recurrent one.
    scope : {"per_row", "shared"}, optional
        Whether each row has its own masks, or all rows share those of row 0.
    site, sample : int, optional
        Which streams are used: ``s << 32 | sample``, where direction d (0 or 1) of layer l has the
        sites s from ``site + 8 * (2 * l + d)`` on: input masks, recurrent masks, candidate masks,
        zoneout of h, zoneout of c, recurrent weights, and (d = 0) what is between layers. The last
        must stay below 2**32, and so must `sample`.
    row_offset : int, optional
        The number of the first row in the whole data set. Row n of the data set has the same masks
        however the data set is split.
    input_mask : array_like, shape (batch, gates, features) or (batch, features), optional
        For a single layer in one direction: factors to use in place of drawn ones, for replay; zero
        drops. 1 may stand for the batch and for the gates.
    recurrent_mask : array_like, shape (batch, gates, units) or (batch, units), optional
        The same for the previous output.
    candidate_mask : array_like, shape (batch, units), optional
        The same for the candidate.
    embedding : array_like, shape (V, features), optional
        Then `x` is of integers, shape (batch, time), and the input is ``embedding[x]``, which is
        projected once for each different entry instead of at each step.
    embedding_mask : array_like, shape (batch, features), optional
        Factors of the embedded input that serve all steps, as spatial dropout has them. 1 may stand
        for the batch.
    initial_state : optional
        Of a layer in one direction: (h, c) for an LSTM; h or (h,) otherwise; each of shape (batch,
        units). Of a pair: a pair of such. Of a list: a list of these. Zeros if not given. h is
        masked like any other previous output; c never is.
    mask : array_like of bool, shape (batch, time), optional
        False marks a step to pass over: the state stays and the last output is repeated (zeros
        before the first step taken).
    lengths : array_like of int, shape (batch,), optional
        In place of `mask`: how many of a row's steps to take, the others being passed over.
    zero_output_for_mask : bool, optional
        Put out zeros for the steps passed over.
    go_backwards : bool, optional
        Take the steps from the last to the first, in all layers; outputs are in the order taken.
        Not for pairs.
    return_sequences : bool, optional
        Return the outputs of all steps.
    return_state : bool, optional
        Return the final state too.
    merge_mode : {"concat", "sum", "mul", "ave"}, optional
        For pairs: how the outputs of the two directions become one, step by step in the order of
        time. Without `return_sequences` that is the last that each direction has put out.
    first_step : int, optional
        The number of the first step in the whole sequence, for one that is run in parts. Only
        zoneout, `between_dropout` and dropout of the scheme "per_step" look at it.
    threads : int, optional
        At most this many threads, each with rows or a direction of its own. Never changes a result.

    Returns
    -------
    y : ndarray, shape (batch, width) or (batch, time, width)
        The last output (with no time steps: the initial h), or all outputs. width is the units, or
        those of both directions with "concat".
    *state
        Only with `return_state`. Of one layer in one direction: h, and for an LSTM c, as further
        values. Otherwise one further value, nested like `layers`: (h, c) or h in tuples and a list.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range, or a rate is given together with the
        mask that it would draw, or `recurrent_dropout`, `input_mask` or `recurrent_mask` with the
        scheme "per_step".

    Notes
    -----
    With mx, mh and mg the masks, gate by gate, and b the bias::

        LSTM        i, f, o = recurrent_activation(b + (x_t * mx) W + (h * mh) R)
                    g = activation(b + (x_t * mx) W + (h * mh) R)
                    c = f * c + i * (g * mg);   h = o * activation(c)
        GRU         z, r = recurrent_activation(b + (x_t * mx) W + (h * mh) R)
          reset_after    g = activation(b0 + (x_t * mx) W + r * (b1 + (h * mh) R))
          otherwise      g = activation(b + (x_t * mx) W + (r * (h * mh)) R)
                    h = z * h + (1 - z) * (g * mg)
        simple RNN  h = activation(b + (x_t * mx) W + (h * mh) R)

    Each sum starts from the bias and adds the input's products, then the recurrent ones, in order.
    A row's bits do not depend on the batch, the threads or `row_offset`'s split of the data, but
    for the sign and payload of a NaN. In C denormal numbers are taken for zero.

    Input and recurrent dropout are those of Gal and Ghahramani, "A Theoretically Grounded
    Application of Dropout in Recurrent Neural Networks", NIPS 2016: "tied" is their tied-weights
    variant, "per_gate" is what Keras does when `recurrent_dropout` is above zero. "per_step" is
    what tf.keras 2.x does in an LSTM or GRU without it, as if the input went through `dropout`.
    Candidate dropout: Semeniuta, Severyn and Barth, "Recurrent Dropout without Memory Loss", COLING
    2016, per sequence. Zoneout: Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving
    Hidden Activations", ICLR 2017; h's new value is computed from c's, before either is kept.
    Dropped weights: Merity, Keskar and Socher, "Regularizing and Optimizing LSTM Language Models",
    ICLR 2018. Between layers: the ``dropout`` of ``torch.nn.LSTM``.

    Elements of masks that serve all steps, for row n of the data set: (n * gates + g) * width + j.
    Of those that are new at each step (zoneout, between layers, input masks of "per_step"):
    (n * 2**24 + t) * width + j, where t counts the steps in the order taken (between layers, of a
    pair, in the order of time), also those passed over; so there ``first_step + time <= 2**24``.
    Whatever goes backwards has its step 0 at the last time, so a row that is padded at its end
    then takes its first valid step with a later number. Of weights: their number in the recurrent
    kernel.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((2, 4, 3), np.float32)
    >>> ahead, back = (fd.pack_gru(np.ones((3, 15)), np.ones((5, 15))) for _ in range(2))
    >>> second = fd.pack_lstm(np.ones((10, 8)), np.ones((2, 8)))
    >>> fd.rnn(x, (ahead, back), return_sequences=True).shape
    (2, 4, 10)
    >>> y, state = fd.rnn(x, [(ahead, back), second], between_dropout=0.5, rng=0, return_state=True)
    >>> y.shape, [len(part) for part in state]
    ((2, 2), [2, 2])
    """
    # Everything that can be refused is looked at before anything is computed.
    stack = _check.stack(layers, PackedWeights)
    listed = isinstance(layers, list)
    every = [weights for layer in stack for weights in layer]
    only = every[0] if len(every) == 1 and not listed else None
    merge_mode = _check.choice(merge_mode, "merge_mode", _check.MERGE_MODES)
    widths = _check.chain(stack, merge_mode)
    features = every[0].features
    if embedding is None:
        x = _check.array(x, "x", _check.FLOATS, 3)
        if x.shape[2] != features:
            _check.refuse(ValueError, "x", f"{features} features, as the weights have", x)
        dtype = x.dtype
    else:
        embedding = _check.array(embedding, "embedding", _check.FLOATS, 2)
        _check.shaped(embedding, "embedding", (len(embedding), features))
        x = _check.array(x, "x", _check.INTEGERS, 2)
        _check.indices(x, len(embedding), name="x")
        dtype = embedding.dtype
    rows, steps = x.shape[:2]
    for weights in every:
        if weights.dtype != dtype:
            dtype = np.dtype(np.float64)
    scheme = _check.choice(scheme, "scheme", _check.SCHEMES)
    shared = _check.choice(scope, "scope", _check.SCOPES) == "shared"
    site = _check.integer(site, "site", 0, (1 << 32) - 2 * SITES * len(stack) + 1)
    sample = _check.integer(sample, "sample", 0, 1 << 32)
    rates = (
        _check.recurrent_rate(dropout, "dropout"),
        _check.recurrent_rate(recurrent_dropout, "recurrent_dropout"),
        _check.recurrent_rate(candidate_dropout, "candidate_dropout"),
        *_check.zoneout_rates(zoneout, every),
        _check.recurrent_rate(weight_dropout, "weight_dropout"),
        _check.recurrent_rate(between_dropout, "between_dropout"),
    )
    if rates[_CANDIDATE]:
        _check.has_candidates(every, "candidate_dropout", "0", candidate_dropout)
    if rates[_BETWEEN] and not listed:
        _check.refuse(ValueError, "between_dropout", "0 but for a list of layers", between_dropout)
    if scheme == "per_step":
        _check.only_per_step(rates[_RECURRENT], recurrent_dropout, input_mask, recurrent_mask)
    varying = rates[_ZONEOUT_H] or rates[_ZONEOUT_C] or rates[_BETWEEN]
    per_step = scheme == "per_step" and rates[_INPUT]
    first_step = _check.step_range(first_step, steps, _STEPS if varying or per_step else None)
    elements = [
        (weights.gates if scheme == "per_gate" else 1) * max(weights.features, weights.units, 1)
        for weights in every
    ]
    if varying:
        elements.append(_STEPS * max(*widths, 1))
    if per_step:
        elements.append(_STEPS * max(weights.features for weights in every))
    first_row = _check.rows_range(row_offset, rows, max(elements))
    factors: list[Array | None] = [None, None, None]
    for k, (mask_given, name, rate, rate_name) in enumerate(
        (
            (input_mask, "input_mask", dropout, "dropout"),
            (recurrent_mask, "recurrent_mask", recurrent_dropout, "recurrent_dropout"),
            (candidate_mask, "candidate_mask", candidate_dropout, "candidate_dropout"),
        )
    ):
        if mask_given is None:
            continue
        if only is None:
            _check.refuse(ValueError, name, "None but for one layer in one direction", mask_given)
        if rates[k]:
            _check.refuse(ValueError, rate_name, "0 where the mask itself is given", rate)
        if k == _CANDIDATE:
            _check.has_candidates(every, name, "None", mask_given)
            vector = _check.vector_mask(mask_given, name, rows, only.units, dtype)
            factors[k] = vector[:, np.newaxis]
        else:
            width = only.units if k else features
            factors[k] = _check.dropout_mask(mask_given, name, rows, only.gates, width, dtype)
    if embedding_mask is not None:
        if embedding is None:
            _check.refuse(ValueError, "embedding_mask", "None without an embedding", embedding_mask)
        embedding_mask = _check.vector_mask(embedding_mask, "embedding_mask", rows, features, dtype)
    states = _check.states(initial_state, stack, listed, rows, dtype)
    step_mask = None
    if mask is not None:
        step_mask = _check.step_mask(mask, rows, steps)
        if lengths is not None:
            _check.refuse(ValueError, "lengths", "None where mask is given", lengths)
    elif lengths is not None:
        step_mask = _check.lengths(lengths, rows, steps)
    zero_output_for_mask = _check.flag(zero_output_for_mask, "zero_output_for_mask")
    go_backwards = _check.flag(go_backwards, "go_backwards")
    if go_backwards and len(every) > len(stack):
        _check.refuse(ValueError, "go_backwards", "False for a pair", go_backwards)
    return_sequences = _check.flag(return_sequences, "return_sequences")
    return_state = _check.flag(return_state, "return_state")
    threads = _check.thread_count(threads, _threads.DEFAULT)

    streams: tuple[_Stream | None, ...] = (None,) * len(rates)
    if any(rates):
        key = as_key(rng)
        streams = tuple(_stream(key, site + k << 32 | sample, rate) for k, rate in enumerate(rates))
    else:
        check_rng(rng)
    plan = []
    for number, layer in enumerate(stack):
        directions = [
            _prepare(
                weights,
                d == 1,
                states.pop(0),
                factors,
                [None if s is None else s.at(2 * number + d) for s in streams],
                dtype,
                rows,
                steps,
                scheme,
                None if not shared and rows > 1 else 0 if shared else first_row,
            )
            for d, weights in enumerate(layer)
        ]
        plan.append(tuple(directions))
    between = streams[_BETWEEN]
    call = _Call(
        plan,
        widths,
        [None if between is None else between.at(2 * n) for n in range(len(plan) - 1)] + [None],
        dtype,
        _check.contiguous(x, dtype if embedding is None else np.dtype(np.int64)),
        None if embedding is None else _check.contiguous(embedding, dtype),
        embedding_mask,
        step_mask,
        zero_output_for_mask,
        go_backwards,
        merge_mode,
        first_row,
        first_step,
        shared,
    )
    y = np.empty((rows, steps, widths[-1]) if return_sequences else (rows, widths[-1]), dtype)
    flops = rows * steps * sum(_flops(weights) for weights in every)
    threads = min(threads, 1 + int(flops / _THREAD_FLOPS))
    height = min(_PIECE_ROWS, -(-rows // threads))
    for layer in plan:
        for direction in layer:
            height = min(height, int(_STEP_FLOPS / _flops(direction.weights)))
            if embedding is not None and direction.input_steps is None:  # kept for all steps
                height = min(
                    height, _PIECE_NUMBERS // (steps * direction.weights.kernel.shape[1] or 1)
                )
    height = max(1, height)
    if rows <= height:
        if rows:
            call.rows(slice(0, rows), y, threads)
    else:
        pieces = [slice(n, min(n + height, rows)) for n in range(0, rows, height)]
        busy = min(threads, len(pieces))
        _threads.for_each(
            lambda piece: call.rows(piece, y[piece], threads // busy), pieces, busy, call.stop
        )
    if not return_state:
        return y
    if only is not None:
        (end,) = plan[0]
        return (y, end.h) if end.c is None else (y, end.h, end.c)
    state = [_nested([d.h if d.c is None else (d.h, d.c) for d in layer]) for layer in plan]
    return y, state if listed else state[0]


def _stream(key: Key, number: int, rate: float) -> _Stream | None:
    """Return what a rate draws from; None where it drops nothing."""
    threshold = _check.threshold(rate)
    if not threshold:
        return None
    return _Stream(key.k0, key.k1, key.base + number & 0xFFFFFFFFFFFFFFFF, threshold)


def _prepare(
    weights: PackedWeights,
    backwards: bool,
    state: list[Array],
    given: list[Array | None],
    streams: list[_Stream | None],
    dtype: np.dtype[Any],
    rows: int,
    steps: int,
    scheme: str,
    one_row: int | None,
) -> _Direction:
    """Prepare one direction of a layer; one_row is the row whose masks are all there are."""
    masks: list[Array | _Masks | None] = [*given]
    for k in (_INPUT, _RECURRENT, _CANDIDATE):
        stream = streams[k]
        if stream is not None and (scheme != "per_step" or k == _CANDIDATE):
            gates = weights.gates if scheme == "per_gate" and k != _CANDIDATE else 1
            width = weights.features if k == _INPUT else weights.units
            drawn = _Masks(stream, gates, width, dtype)
            masks[k] = drawn if one_row is None else drawn.of_rows(one_row, 1)
    drop = streams[_WEIGHT]
    if drop is None:
        packed = weights.form(dtype)
    else:
        recurrent_kernel = np.array(weights.recurrent_kernel, dtype, order="C")
        drop.drop(recurrent_kernel.reshape(1, 1, -1), 0, 0, True)
        packed = weights.form(dtype, recurrent_kernel)
    if (
        rows * steps >= _SHARE_ROW_STEPS
        and weights.features + weights.units >= _SHARE_WIDTH
        and drop is None
    ):
        one = [_to_share(m) for m in masks[:2]]
        # Zero times infinity is not zero: what is not finite must not be left out.
        if any(mask is not None for mask in one) and weights.finite():
            packed = _backend.active.share(packed, *one)
            masks[:2] = [m if o is None else None for m, o in zip(masks, one, strict=False)]
    is_lstm = len(state) == 2
    return _Direction(
        weights,
        packed,
        backwards,
        max(1, int(_threads.PIECE_FLOPS / max(1, _flops(weights)))),
        state[0],
        state[1] if is_lstm else None,
        masks[_INPUT],
        masks[_RECURRENT],
        masks[_CANDIDATE],
        streams[_INPUT] if scheme == "per_step" else None,
        streams[_ZONEOUT_H],
        streams[_ZONEOUT_C] if is_lstm else None,
    )


def _to_share(mask: Array | _Masks | None) -> Array | None:
    """Return a mask (gates, width) if all rows share it and it drops enough."""
    if not isinstance(mask, np.ndarray) or len(mask) != 1:
        return None
    kept = int(np.count_nonzero(mask[0], axis=-1).max())
    return mask[0] if kept <= _SHARE_KEPT * mask.shape[-1] else None


def _flops(weights: PackedWeights) -> int:
    """Return the arithmetic of a row's step, and for what a narrow layer takes beside it."""
    padded = -(-weights.units // 16) * 16
    return 2 * weights.gates * padded * (weights.features + weights.units) + 10_000


def _nested(states: list[Any]) -> Any:
    """Return the state of a layer in one direction, or those of two as a tuple."""
    return states[0] if len(states) == 1 else tuple(states)


def step(
    x: ArrayLike,
    layers: Any,
    state: Any = None,
    *,
    first_step: int = 0,
    **options: Unpack[_StepOptions],
) -> tuple[Array, Any]:
    """Run recurrent layers for one time step, from the state that the last one left.

    Parameters
    ----------
    x : array_like, shape (batch, features)
        The input of this step; with an embedding, integers of shape (batch,).
    layers : PackedWeights or list of PackedWeights
        As in `rnn`; in one direction.
    state : optional
        What the last call returned, or an initial state: (h, c) for an LSTM, h otherwise, for a
        list a list of these. Zeros if not given.
    first_step : int, optional
        The number of this step, as in `rnn`.
    **options
        As in `rnn`: dropout, recurrent_dropout, candidate_dropout, zoneout, weight_dropout,
        between_dropout, rng, scheme, scope, site, sample, row_offset, input_mask, recurrent_mask,
        candidate_mask, embedding, embedding_mask, threads. One key and stream give the same bits in
        every function, and so at every step; without a key each step draws other masks.

    Returns
    -------
    y : ndarray, shape (batch, units)
        The output of the (last) layer.
    state
        New arrays, for the next call.

    Raises
    ------
    TypeError, ValueError
        As in `rnn`.

    Notes
    -----
    A sequence taken step by step, with the same `rng` (an int or a Key) and the number of each step
    in `first_step`, gives the bits of the whole sequence in one call of `rnn`, signs of NaNs aside.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> weights = fd.pack_lstm(np.ones((3, 20)), np.ones((5, 20)))
    >>> x = np.ones((2, 4, 3))
    >>> state = None
    >>> for t in range(4):
    ...     y, state = fd.step(x[:, t], weights, state, first_step=t, zoneout=0.1, rng=0)
    >>> bool((y == fd.rnn(x, weights, zoneout=0.1, rng=0)).all())
    True
    """
    if unknown := options.keys() - _StepOptions.__annotations__.keys():
        raise TypeError(f"step() got an unexpected keyword argument {min(unknown)!r}")
    for layer in _check.stack(layers, PackedWeights):
        if len(layer) == 2:
            _check.refuse(ValueError, "layers", "layers in one direction", layer)
    if options.get("embedding") is None:
        x = _check.array(x, "x", _check.FLOATS, 2)
    else:
        x = _check.array(x, "x", _check.INTEGERS, 1)
    y, *parts = rnn(
        x[:, np.newaxis],
        layers,
        initial_state=state,
        first_step=first_step,
        return_state=True,
        **options,
    )
    return y, parts[0] if len(parts) == 1 else tuple(parts)


def lstm(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: _check.Activation = "tanh",
    recurrent_activation: _check.Activation = "sigmoid",
    **options: Unpack[_Options],
) -> Any:
    """Run an LSTM layer with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. All arrays are computed with in their common dtype.
    kernel : array_like, shape (features, 4 * units)
    recurrent_kernel : array_like, shape (units, 4 * units)
    bias : array_like, shape (4 * units,), optional
    activation, recurrent_activation : str or tuple, optional
        The weights, as in `pack_lstm`.
    **options
        As in `rnn`. One key and stream give the same bits in every function.

    Returns
    -------
    y : ndarray, shape (batch, units) or (batch, time, units)
        The last output (with no time steps: the initial h), or with `return_sequences` all outputs.
    h, c : ndarray, shape (batch, units)
        Only with `return_state`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range, or a rate is given together with the
        mask that it would draw.

    Notes
    -----
    ``rnn(x, pack_lstm(kernel, recurrent_kernel, bias, ...), **options)``: packs the weights at each
    call. Pack them once where there are many calls.

    Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), with forget
    gates. What is computed, and whose dropout it is, is written in `rnn`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((2, 3, 4), np.float32)
    >>> kernel = np.full((4, 20), 0.1, np.float32)
    >>> recurrent = np.full((5, 20), 0.1, np.float32)
    >>> both = fd.lstm(x, kernel, recurrent, dropout=0.5, recurrent_dropout=0.5, rng=0)
    >>> both.shape
    (2, 5)
    >>> second = fd.lstm(x[1:], kernel, recurrent, dropout=0.5, recurrent_dropout=0.5, rng=0,
    ...                  row_offset=1)
    >>> bool((second == both[1:]).all())
    True
    """
    weights = PackedWeights.make(
        "lstm", kernel, recurrent_kernel, bias, activation, recurrent_activation, keep=False
    )
    return _functional(x, weights, options)


def gru(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    reset_after: bool = True,
    activation: _check.Activation = "tanh",
    recurrent_activation: _check.Activation = "sigmoid",
    **options: Unpack[_Options],
) -> Any:
    """Run a GRU layer with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. All arrays are computed with in their common dtype.
    kernel : array_like, shape (features, 3 * units)
    recurrent_kernel : array_like, shape (units, 3 * units)
    bias : array_like, shape (2, 3 * units) with `reset_after`, else (3 * units,), optional
    reset_after : bool, optional
    activation, recurrent_activation : str or tuple, optional
        The weights, as in `pack_gru`.
    **options
        As in `rnn`. One key and stream give the same bits in every function.

    Returns
    -------
    y : ndarray, shape (batch, units) or (batch, time, units)
        The last output (with no time steps: the initial h), or with `return_sequences` all outputs.
    h : ndarray, shape (batch, units)
        Only with `return_state`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range, or a rate is given together with the
        mask that it would draw.

    Notes
    -----
    ``rnn(x, pack_gru(kernel, recurrent_kernel, bias, ...), **options)``: packs the weights at each
    call. Pack them once where there are many calls.

    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation", EMNLP 2014. What is computed, and whose dropout it is, is written in `rnn`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((2, 3, 4), np.float32)
    >>> kernel = np.full((4, 15), 0.1, np.float32)
    >>> recurrent = np.full((5, 15), 0.1, np.float32)
    >>> fd.gru(x, kernel, recurrent, recurrent_dropout=0.5, rng=0, return_sequences=True).shape
    (2, 3, 5)
    """
    weights = PackedWeights.make(
        "gru",
        kernel,
        recurrent_kernel,
        bias,
        activation,
        recurrent_activation,
        reset_after,
        keep=False,
    )
    return _functional(x, weights, options)


def simple_rnn(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: _check.Activation = "tanh",
    **options: Unpack[_Options],
) -> Any:
    """Run a simple recurrent layer with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. All arrays are computed with in their common dtype.
    kernel : array_like, shape (features, units)
    recurrent_kernel : array_like, shape (units, units)
    bias : array_like, shape (units,), optional
    activation : str or tuple, optional
        The weights, as in `pack_simple_rnn`.
    **options
        As in `rnn`. One key and stream give the same bits in every function.

    Returns
    -------
    y : ndarray, shape (batch, units) or (batch, time, units)
        The last output (with no time steps: the initial h), or with `return_sequences` all outputs.
    h : ndarray, shape (batch, units)
        Only with `return_state`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape or range, or a rate is given together with the
        mask that it would draw.

    Notes
    -----
    ``rnn(x, pack_simple_rnn(kernel, recurrent_kernel, bias, ...), **options)``: packs the weights
    at each call. Pack them once where there are many calls.

    Elman, "Finding Structure in Time", Cognitive Science 14 (1990). What is computed, and whose
    dropout it is, is written in `rnn`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdrop as fd
    >>> x = np.ones((2, 3, 4), np.float32)
    >>> kernel, recurrent = np.full((4, 5), 0.1, np.float32), np.full((5, 5), 0.1, np.float32)
    >>> fd.simple_rnn(x, kernel, recurrent, recurrent_dropout=0.5, rng=0).shape
    (2, 5)
    """
    weights = PackedWeights.make(
        "simple_rnn", kernel, recurrent_kernel, bias, activation, keep=False
    )
    return _functional(x, weights, options)


def _functional(x: ArrayLike, weights: PackedWeights, options: _Options) -> Any:
    """Run weights that were given with the input they must fit."""
    if options.get("embedding") is None:
        x = _check.array(x, "x", _check.FLOATS, 3)
        _check.shaped(weights.kernel, "kernel", (x.shape[2], weights.kernel.shape[1]))
    return rnn(x, weights, **options)

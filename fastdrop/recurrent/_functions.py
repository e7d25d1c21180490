"""The public functions of recurrent layers."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check
from fastdrop.recurrent._arguments import Layers, Listed, Options, Pair, checked, stacked
from fastdrop.recurrent._packed import PackedWeights
from fastdrop.recurrent._plain import Plain
from fastdrop.recurrent._plan import planned
from fastdrop.recurrent._run import run
from fastdrop.typing import (
    Activation,
    ArrayLike,
    LayerState,
    MergeMode,
    Precision,
    RNGLike,
    Scheme,
    Scope,
)

if typing.TYPE_CHECKING:  # what overloads take
    from fastdrop.recurrent._arguments import (
        GatedOptions,
        GRUOptions,
        SequenceOptions,
        StepOptions,
        WeightOptions,
    )

Array = NDArray[Any]
Two = tuple[Array, Array]
Three = tuple[Array, Array, Array]
F = TypeVar("F", np.float32, np.float64)


@typing.overload
def rnn(
    x: ArrayLike,
    layers: Layers,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[SequenceOptions],
) -> Array: ...
@typing.overload
def rnn(
    x: ArrayLike,
    layers: PackedWeights,
    *,
    return_state: Literal[True],
    **options: Unpack[SequenceOptions],
) -> tuple[Array, ...]: ...
@typing.overload
def rnn(
    x: ArrayLike,
    layers: Pair,
    *,
    return_state: Literal[True],
    **options: Unpack[SequenceOptions],
) -> tuple[Array, tuple[LayerState, LayerState]]: ...
@typing.overload
def rnn(
    x: ArrayLike,
    layers: Listed,
    *,
    return_state: Literal[True],
    **options: Unpack[SequenceOptions],
) -> tuple[Array, list[LayerState | tuple[LayerState, LayerState]]]: ...
@typing.overload
def rnn(
    x: ArrayLike, layers: Layers, *, return_state: bool, **options: Unpack[SequenceOptions]
) -> Array | tuple[Any, ...]: ...
def rnn(
    x: ArrayLike,
    layers: Layers,
    *,
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
    embedding: ArrayLike | None = None,
    embedding_mask: ArrayLike | None = None,
    precision: Precision | None = None,
    initial_state: ArrayLike | Sequence[Any] | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
    return_sequences: bool = False,
    return_state: bool = False,
    merge_mode: MergeMode = "concat",
    first_step: int = 0,
    threads: int | None = None,
) -> NDArray[Any] | tuple[Any, ...]:
    """Run recurrent layers, in one direction or two, with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. It and all weights are computed with in their common dtype, into which
        states and masks must fit.
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
    precision : {"float32", "bfloat16"}, optional
        What products are taken in, of all layers of the call, in place of what their weights say;
        see `pack_lstm`. Masks are the same.
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
        At most this many threads, each with rows or a direction of its own, or with some units of
        a large layer's only row. Never changes a result.

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
    return _run(x, layers, cast(Options, locals()))  # not `options_of`: small calls' time counts


def options_of(arguments: dict[str, Any], **more: Any) -> Options:
    """What `rnn` is asked for: of a function's arguments by their names, or as by default."""
    return cast(Options, {**_DEFAULTS, **arguments, **more})


_DEFAULTS = rnn.__kwdefaults__ or {}
_PLAIN = Plain(_DEFAULTS)


def _run(x: ArrayLike, layers: Layers, options: Options) -> Array | tuple[Any, ...]:
    result = _PLAIN.run(x, layers, options)
    return run(planned(checked(x, layers, options))) if result is None else result


@typing.overload
def step(
    x: ArrayLike,
    layers: PackedWeights,
    state: ArrayLike | Sequence[Any] | None = ...,
    **options: Unpack[StepOptions],
) -> tuple[Array, LayerState]: ...
@typing.overload
def step(
    x: ArrayLike,
    layers: list[PackedWeights],
    state: ArrayLike | Sequence[Any] | None = ...,
    **options: Unpack[StepOptions],
) -> tuple[Array, list[LayerState]]: ...
def step(
    x: ArrayLike,
    layers: PackedWeights | list[PackedWeights],
    state: ArrayLike | Sequence[Any] | None = None,
    *,
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
    embedding: ArrayLike | None = None,
    embedding_mask: ArrayLike | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
) -> tuple[NDArray[Any], LayerState | list[LayerState]]:
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
    dropout, recurrent_dropout, candidate_dropout, zoneout, weight_dropout, between_dropout, rng, \
scheme, scope, site, sample, row_offset, input_mask, recurrent_mask, candidate_mask, embedding, \
embedding_mask, precision, threads : optional
        As in `rnn`. One key and stream give the same bits in every function, and so at every step;
        without a key each step draws other masks.

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
    options = options_of(locals(), initial_state=state, return_state=True)
    for layer in stacked(layers):
        if len(layer) == 2:
            _check.refuse(ValueError, "layers", "layers in one direction", layer)
    if embedding is None:
        x = _check.array(x, "x", _check.FLOATS, 2)
    else:
        x = _check.array(x, "x", _check.INTEGERS, 1)
    y, *parts = run(planned(checked(x[:, np.newaxis], layers, options, "state")))
    return y, parts[0] if len(parts) == 1 else tuple(parts)


@typing.overload
def lstm(
    x: NDArray[F],
    kernel: NDArray[F],
    recurrent_kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[GatedOptions],
) -> NDArray[F]: ...
@typing.overload
def lstm(
    x: NDArray[F],
    kernel: NDArray[F],
    recurrent_kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    return_state: Literal[True],
    **options: Unpack[GatedOptions],
) -> tuple[NDArray[F], NDArray[F], NDArray[F]]: ...
@typing.overload
def lstm(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[GatedOptions],
) -> Array: ...
@typing.overload
def lstm(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: Literal[True],
    **options: Unpack[GatedOptions],
) -> Three: ...
@typing.overload
def lstm(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: bool,
    **options: Unpack[GatedOptions],
) -> Array | Three: ...
def lstm(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    candidate_dropout: float = 0.0,
    zoneout: float | tuple[float, float] = 0.0,
    weight_dropout: float = 0.0,
    rng: RNGLike = None,
    scheme: Scheme = "per_gate",
    scope: Scope = "per_row",
    site: int = 0,
    sample: int = 0,
    row_offset: int = 0,
    input_mask: ArrayLike | None = None,
    recurrent_mask: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    embedding: ArrayLike | None = None,
    embedding_mask: ArrayLike | None = None,
    precision: Precision | None = None,
    initial_state: ArrayLike | Sequence[Any] | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
    return_sequences: bool = False,
    return_state: bool = False,
    first_step: int = 0,
    threads: int | None = None,
) -> NDArray[Any] | tuple[NDArray[Any], ...]:
    """Run an LSTM layer with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. It and all weights are computed with in their common dtype, into which
        states and masks must fit.
    kernel : array_like, shape (features, 4 * units)
    recurrent_kernel : array_like, shape (units, 4 * units)
    bias : array_like, shape (4 * units,), optional
    activation, recurrent_activation : str or tuple, optional
        The weights, as in `pack_lstm`.
    dropout, recurrent_dropout, candidate_dropout, zoneout, weight_dropout, rng, \
scheme, scope, site, sample, row_offset, input_mask, recurrent_mask, candidate_mask, embedding, \
embedding_mask, precision, initial_state, mask, lengths, zero_output_for_mask, go_backwards, \
return_sequences, return_state, first_step, threads : optional
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
    options = options_of(locals())
    weights = PackedWeights.make(
        "lstm", kernel, recurrent_kernel, bias, activation, recurrent_activation, keep=False
    )
    return _functional(x, weights, options)


@typing.overload
def gru(
    x: NDArray[F],
    kernel: NDArray[F],
    recurrent_kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[GRUOptions],
) -> NDArray[F]: ...
@typing.overload
def gru(
    x: NDArray[F],
    kernel: NDArray[F],
    recurrent_kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    return_state: Literal[True],
    **options: Unpack[GRUOptions],
) -> tuple[NDArray[F], NDArray[F]]: ...
@typing.overload
def gru(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[GRUOptions],
) -> Array: ...
@typing.overload
def gru(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: Literal[True],
    **options: Unpack[GRUOptions],
) -> Two: ...
@typing.overload
def gru(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: bool,
    **options: Unpack[GRUOptions],
) -> Array | Two: ...
def gru(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    reset_after: bool = True,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    candidate_dropout: float = 0.0,
    zoneout: float | tuple[float, float] = 0.0,
    weight_dropout: float = 0.0,
    rng: RNGLike = None,
    scheme: Scheme = "per_gate",
    scope: Scope = "per_row",
    site: int = 0,
    sample: int = 0,
    row_offset: int = 0,
    input_mask: ArrayLike | None = None,
    recurrent_mask: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    embedding: ArrayLike | None = None,
    embedding_mask: ArrayLike | None = None,
    precision: Precision | None = None,
    initial_state: ArrayLike | Sequence[Any] | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
    return_sequences: bool = False,
    return_state: bool = False,
    first_step: int = 0,
    threads: int | None = None,
) -> NDArray[Any] | tuple[NDArray[Any], ...]:
    """Run a GRU layer with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. It and all weights are computed with in their common dtype, into which
        states and masks must fit.
    kernel : array_like, shape (features, 3 * units)
    recurrent_kernel : array_like, shape (units, 3 * units)
    bias : array_like, shape (2, 3 * units) with `reset_after`, else (3 * units,), optional
    reset_after : bool, optional
    activation, recurrent_activation : str or tuple, optional
        The weights, as in `pack_gru`.
    dropout, recurrent_dropout, candidate_dropout, zoneout, weight_dropout, rng, \
scheme, scope, site, sample, row_offset, input_mask, recurrent_mask, candidate_mask, embedding, \
embedding_mask, precision, initial_state, mask, lengths, zero_output_for_mask, go_backwards, \
return_sequences, return_state, first_step, threads : optional
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
    options = options_of(locals())
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


@typing.overload
def simple_rnn(
    x: NDArray[F],
    kernel: NDArray[F],
    recurrent_kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[WeightOptions],
) -> NDArray[F]: ...
@typing.overload
def simple_rnn(
    x: NDArray[F],
    kernel: NDArray[F],
    recurrent_kernel: NDArray[F],
    bias: NDArray[F] | None = ...,
    *,
    return_state: Literal[True],
    **options: Unpack[WeightOptions],
) -> tuple[NDArray[F], NDArray[F]]: ...
@typing.overload
def simple_rnn(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: Literal[False] = ...,
    **options: Unpack[WeightOptions],
) -> Array: ...
@typing.overload
def simple_rnn(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: Literal[True],
    **options: Unpack[WeightOptions],
) -> Two: ...
@typing.overload
def simple_rnn(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = ...,
    *,
    return_state: bool,
    **options: Unpack[WeightOptions],
) -> Array | Two: ...
def simple_rnn(
    x: ArrayLike,
    kernel: ArrayLike,
    recurrent_kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: Activation = "tanh",
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    candidate_dropout: float = 0.0,
    zoneout: float | tuple[float, float] = 0.0,
    weight_dropout: float = 0.0,
    rng: RNGLike = None,
    scheme: Scheme = "per_gate",
    scope: Scope = "per_row",
    site: int = 0,
    sample: int = 0,
    row_offset: int = 0,
    input_mask: ArrayLike | None = None,
    recurrent_mask: ArrayLike | None = None,
    candidate_mask: ArrayLike | None = None,
    embedding: ArrayLike | None = None,
    embedding_mask: ArrayLike | None = None,
    precision: Precision | None = None,
    initial_state: ArrayLike | Sequence[Any] | None = None,
    mask: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
    return_sequences: bool = False,
    return_state: bool = False,
    first_step: int = 0,
    threads: int | None = None,
) -> NDArray[Any] | tuple[NDArray[Any], ...]:
    """Run a simple recurrent layer with dropout.

    Parameters
    ----------
    x : array_like, shape (batch, time, features)
        float32 or float64. It and all weights are computed with in their common dtype, into which
        states and masks must fit.
    kernel : array_like, shape (features, units)
    recurrent_kernel : array_like, shape (units, units)
    bias : array_like, shape (units,), optional
    activation : str or tuple, optional
        The weights, as in `pack_simple_rnn`.
    dropout, recurrent_dropout, candidate_dropout, zoneout, weight_dropout, rng, \
scheme, scope, site, sample, row_offset, input_mask, recurrent_mask, candidate_mask, embedding, \
embedding_mask, precision, initial_state, mask, lengths, zero_output_for_mask, go_backwards, \
return_sequences, return_state, first_step, threads : optional
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
    options = options_of(locals())
    weights = PackedWeights.make(
        "simple_rnn", kernel, recurrent_kernel, bias, activation, keep=False
    )
    return _functional(x, weights, options)


def _functional(x: ArrayLike, weights: PackedWeights, options: Options) -> Array | tuple[Any, ...]:
    """Run weights that were given with the input they must fit."""
    if options["embedding"] is None:
        x = _check.array(x, "x", _check.FLOATS, 3)
        _check.shaped(weights.kernel, "kernel", (x.shape[2], weights.kernel.shape[1]))
    return _run(x, weights, options)

"""What `rnn` is asked for, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastdrop import _check, _threads
from fastdrop.random import Key, as_key, check_rng
from fastdrop.recurrent._masks import STEPS
from fastdrop.recurrent._packed import PackedWeights
from fastdrop.typing import (
    Activation,
    ArrayLike,
    MergeMode,
    Precision,
    RNGLike,
    Scheme,
    Scope,
)

Array = NDArray[Any]
T = TypeVar("T")
Stack = tuple[tuple[PackedWeights, ...], ...]  # the directions of each layer
# The same as users give them.
Pair: TypeAlias = tuple[PackedWeights, PackedWeights]
Listed: TypeAlias = list[PackedWeights] | list[Pair] | list[PackedWeights | Pair]
Layers: TypeAlias = PackedWeights | Pair | Listed

# Sites of a direction of a layer: what is drawn stands at a place of its own among them.
SITES = 8


class Sites(NamedTuple, Generic[T]):
    """A rate, or what it draws from, of each site, in their order."""

    input: T
    recurrent: T
    candidate: T
    zoneout_h: T
    zoneout_c: T
    weight: T
    between: T


class HeldOptions(TypedDict, total=False):
    """Options of `rnn` that every other function and `Stepper` have too."""

    dropout: float
    recurrent_dropout: float
    candidate_dropout: float
    zoneout: float | tuple[float, float]
    weight_dropout: float
    rng: RNGLike
    scheme: Scheme
    scope: Scope
    site: int
    sample: int
    row_offset: int
    input_mask: ArrayLike | None
    recurrent_mask: ArrayLike | None
    candidate_mask: ArrayLike | None
    precision: Precision | None


class CallOptions(HeldOptions, total=False):
    """Options of `rnn` that `step`, `lstm`, `gru` and `simple_rnn` have too."""

    embedding: ArrayLike | None
    embedding_mask: ArrayLike | None
    threads: int | None
    first_step: int


class StepOptions(CallOptions, total=False):
    """Options of `rnn` that `step` has too."""

    between_dropout: float


class LayerOptions(CallOptions, total=False):
    """Options of `rnn` that `lstm`, `gru` and `simple_rnn` have too."""

    initial_state: ArrayLike | Sequence[Any] | None
    mask: ArrayLike | None
    lengths: ArrayLike | None
    zero_output_for_mask: bool
    go_backwards: bool
    return_sequences: bool


class SequenceOptions(LayerOptions, total=False):
    """Options of `rnn` that do not change what it returns."""

    between_dropout: float
    merge_mode: MergeMode


class Options(SequenceOptions, total=False):
    """Options of `rnn`."""

    return_state: bool


if TYPE_CHECKING:  # what overloads take

    class WeightOptions(LayerOptions, total=False):
        """Those of `simple_rnn`."""

        activation: Activation

    class GatedOptions(WeightOptions, total=False):
        """Those of `lstm`."""

        recurrent_activation: Activation

    class GRUOptions(GatedOptions, total=False):
        """Those of `gru`."""

        reset_after: bool


@dataclass(slots=True, eq=False, kw_only=True)
class Arguments:
    """What `rnn` is asked for: nothing is left to be refused, and no mask has been drawn."""

    layers: Stack
    listed: bool
    widths: list[int]  # of what each layer puts out
    merge_mode: str
    precision: str | None  # None: each layer's own
    dtype: np.dtype[Any]
    x: Array  # with an embedding, its tokens: int64
    embedding: Array | None
    embedding_mask: Array | None
    rates: Sites[float]
    scheme: str
    shared: bool
    key: Key | None  # None where no mask is drawn
    site: int
    sample: int
    first_row: int
    first_step: int
    masks: tuple[Array | None, Array | None, Array | None]  # input, recurrent, candidate
    states: list[list[Array]]  # of each direction of each layer; fresh
    step_mask: Array | None
    zero_output_for_mask: bool
    go_backwards: bool
    return_sequences: bool
    return_state: bool
    threads: int

    @property
    def only(self) -> PackedWeights | None:
        """The weights, of a single layer in one direction that is not in a list."""
        return None if self.listed or len(self.layers[0]) > 1 else self.layers[0][0]


def checked(
    x: object, layers: object, given: Options, state_name: str = "initial_state"
) -> Arguments:
    """Check the arguments of `rnn`, all of them before anything is drawn or computed."""
    stack, listed = stacked(layers), isinstance(layers, list)
    every = [weights for layer in stack for weights in layer]
    merge_mode = _check.choice(given["merge_mode"], "merge_mode", _check.MERGE_MODES)
    if merge_mode != "concat" and len(every) == len(stack):
        expected = "'concat' but for layers in two directions"
        _check.refuse(ValueError, "merge_mode", expected, merge_mode)
    widths = _chain(stack, merge_mode)
    x, embedding, dtype = _inputs(x, given["embedding"], every)
    rows, steps = x.shape[:2]
    scheme = _check.choice(given["scheme"], "scheme", _check.SCHEMES)
    shared = _check.choice(given["scope"], "scope", _check.SCOPES) == "shared"
    site = _check.integer(given["site"], "site", 0, (1 << 32) - 2 * SITES * len(stack) + 1)
    sample = _check.integer(given["sample"], "sample", 0, 1 << 32)
    rates = _rates(given, every, listed)
    first_row, first_step = _firsts(given, every, rates, widths, rows, steps)
    arguments = Arguments(
        layers=stack,
        listed=listed,
        widths=widths,
        merge_mode=merge_mode,
        precision=_precision(given["precision"], every, dtype),
        dtype=dtype,
        x=_check.contiguous(x, dtype if embedding is None else np.dtype(np.int64)),
        embedding=None if embedding is None else _check.contiguous(embedding, dtype),
        rates=rates,
        scheme=scheme,
        shared=shared,
        key=None,
        site=site,
        sample=sample,
        first_row=first_row,
        first_step=first_step,
        masks=_masks(given, every, listed, rows, dtype, rates),
        embedding_mask=_embedding_mask(given, rows, every[0].features, dtype),
        states=checked_states(given["initial_state"], stack, listed, rows, dtype, state_name),
        step_mask=_step_mask(given["mask"], given["lengths"], rows, steps),
        zero_output_for_mask=_check.flag(given["zero_output_for_mask"], "zero_output_for_mask"),
        go_backwards=_backwards(given["go_backwards"], stack),
        return_sequences=_check.flag(given["return_sequences"], "return_sequences"),
        return_state=_check.flag(given["return_state"], "return_state"),
        threads=_check.thread_count(given["threads"], _threads.DEFAULT),
    )
    if any(rates):
        arguments.key = as_key(given["rng"])  # the last check of a call: it may draw
    else:
        check_rng(given["rng"])
    return arguments


# ---- layers ----


def stacked(layers: object) -> Stack:
    """The directions of each layer, of weights, a pair of them, or a list of these."""
    if isinstance(layers, list):
        if not layers:
            _check.refuse(ValueError, "layers", "at least one layer", layers)
        return tuple(_directions(layer, f"layers[{i}]", "") for i, layer in enumerate(layers))
    return (_directions(layers, "layers", ", or a list of such"),)


def _directions(layer: object, name: str, more: str) -> tuple[PackedWeights, ...]:
    if type(layer) is PackedWeights:
        return (layer,)
    if not isinstance(layer, tuple) or [type(part) for part in layer] != [PackedWeights] * 2:
        expected = f"PackedWeights or a pair (forward, backward) of them{more}"
        _check.refuse(TypeError, name, expected, layer)
    return layer


def _chain(layers: Stack, merge_mode: str) -> list[int]:
    """What each layer puts out, when each can take what the one before it does."""
    if len(layers) == len(layers[0]) == 1:
        return [layers[0][0].units]
    widths: list[int] = []
    for i, layer in enumerate(layers):
        for weights in layer:
            expected = widths[-1] if widths else layer[0].features
            if weights.features != expected:
                name = f"layers[{i}]" if i else "layers"
                _check.refuse(ValueError, name, f"weights of {expected} features", weights)
        units = [weights.units for weights in layer]
        if merge_mode != "concat" and len(set(units)) > 1:
            _check.refuse(ValueError, "merge_mode", "'concat' where units differ", merge_mode)
        widths.append(sum(units) if merge_mode == "concat" else units[0])
    return widths


def _backwards(value: object, layers: Stack) -> bool:
    if _check.flag(value, "go_backwards") and any(len(layer) > 1 for layer in layers):
        _check.refuse(ValueError, "go_backwards", "False for a pair", value)
    return bool(value)


# ---- arrays ----


def _inputs(
    x: object, embedding: object, every: Sequence[PackedWeights]
) -> tuple[Array, Array | None, np.dtype[Any]]:
    """The input, the embedding if it is of tokens, and what all is computed in."""
    features = every[0].features
    if embedding is None:
        values = _check.array(x, "x", _check.FLOATS, 3)
        if values.shape[2] != features:
            _check.refuse(ValueError, "x", f"{features} features, as the weights have", values)
        table, dtype = None, values.dtype
    else:
        table = _check.array(embedding, "embedding", _check.FLOATS, 2)
        _check.shaped(table, "embedding", (len(table), features))
        values = _check.array(x, "x", _check.INTEGERS, 2)
        _check.indices(values, len(table), name="x")
        dtype = table.dtype
    for weights in every:
        if weights.dtype != dtype:
            dtype = np.dtype(np.float64)
    return values, table, dtype


def _precision(value: object, every: Sequence[PackedWeights], dtype: np.dtype[Any]) -> str | None:
    """What products are taken in, where that is not each layer's own."""
    precision = None if value is None else _check.choice(value, "precision", _check.PRECISIONS)
    wanted = {weights.precision for weights in every} if precision is None else {precision}
    if "bfloat16" in wanted and dtype != np.float32:
        expected = "float32 in all arrays of a call with precision bfloat16"
        _check.refuse(TypeError, "x", expected, dtype)
    return precision


def checked_states(
    value: object,
    layers: Stack,
    listed: bool,
    rows: int,
    dtype: np.dtype[Any],
    name: str = "initial_state",
) -> list[list[Array]]:
    """The initial states of all directions of all layers, as `_state` gives them."""
    if value is None:
        return [_zeros(weights, rows, dtype) for layer in layers for weights in layer]
    of_layers = _parts(value, name, len(layers), "layers") if listed else [value]
    found = []
    for i, (layer, own) in enumerate(zip(layers, of_layers, strict=True)):
        label = f"{name}[{i}]" if listed else name
        pair = len(layer) == 2
        of_directions = _parts(own, label, 2, "directions") if pair else [own]
        for d, (weights, part) in enumerate(zip(layer, of_directions, strict=True)):
            found.append(_state(part, f"{label}[{d}]" if pair else label, weights, rows, dtype))
    return found


def _parts(value: object, label: str, count: int, what: str) -> Sequence[Any]:
    if value is None:
        return [None] * count
    if not isinstance(value, (tuple, list)) or len(value) != count:
        _check.refuse(ValueError, label, f"None or the states of {count} {what}", value)
    return value


def _state(
    value: object, label: str, weights: PackedWeights, rows: int, dtype: np.dtype[Any]
) -> list[Array]:
    """Fresh, writable arrays for the initial state: h, and for an LSTM c."""
    if value is None:
        return _zeros(weights, rows, dtype)
    names, shape = ("h", "c") if weights.cell == "lstm" else ("h",), (rows, weights.units)
    if len(names) == 1 and not isinstance(value, tuple):
        value = (value,)
    if not isinstance(value, (tuple, list)) or len(value) != len(names):
        expected = f"None or the {len(names)} arrays ({', '.join(names)}) of shape {shape}"
        _check.refuse(ValueError, label, expected, value)
    arrays = []
    for part, name in zip(value, names, strict=True):
        own = f"{label} {name}"
        given = _check.shaped(_check.array(part, own, _check.FLOATS), own, shape)
        arrays.append(np.array(fitting(given, own, dtype), dtype, order="C"))
    return arrays


def _zeros(weights: PackedWeights, rows: int, dtype: np.dtype[Any]) -> list[Array]:
    shape = (rows, weights.units)
    return [np.zeros(shape, dtype) for _ in range(2 if weights.cell == "lstm" else 1)]


def fitting(given: Array, name: str, dtype: np.dtype[Any]) -> Array:
    """Refuse what would have to be rounded."""
    if given.dtype != dtype and np.result_type(given, dtype) != dtype:
        _check.refuse(TypeError, name, f"an array of {dtype}, as x and the weights are", given)
    return given


def _step_mask(mask: object, lengths: object, rows: int, steps: int) -> Array | None:
    """Which steps are taken; None where all are."""
    if mask is not None:
        found = _check.shaped(_check.array(mask, "mask", ("bool",), 2), "mask", (rows, steps))
        if lengths is not None:
            _check.refuse(ValueError, "lengths", "None where mask is given", lengths)
        return _check.contiguous(found, np.dtype(bool)).view(np.uint8)
    if lengths is None:
        return None
    given = _check.shaped(_check.array(lengths, "lengths", _check.INTEGERS, 1), "lengths", (rows,))
    if given.size and (given.min() < 0 or given.max() > steps):
        _check.refuse(ValueError, "lengths", f"integers in [0, {steps}]", lengths)
    return (np.arange(steps) < given[:, np.newaxis]).view(np.uint8)


# ---- dropout ----


def _rates(given: Options, every: Sequence[PackedWeights], listed: bool) -> Sites[float]:
    rates = Sites(
        _check.recurrent_rate(given["dropout"], "dropout"),
        _check.recurrent_rate(given["recurrent_dropout"], "recurrent_dropout"),
        _check.recurrent_rate(given["candidate_dropout"], "candidate_dropout"),
        *_zoneout(given["zoneout"], every),
        _check.recurrent_rate(given["weight_dropout"], "weight_dropout"),
        _check.recurrent_rate(given["between_dropout"], "between_dropout"),
    )
    if rates.candidate:
        _with_candidates(every, "candidate_dropout", "0", given["candidate_dropout"])
    if rates.between and not listed:
        expected = "0 but for a list of layers"
        _check.refuse(ValueError, "between_dropout", expected, given["between_dropout"])
    if given["scheme"] == "per_step":
        if rates.recurrent:
            expected = "0 with scheme='per_step'"
            _check.refuse(ValueError, "recurrent_dropout", expected, given["recurrent_dropout"])
        for name, mask in (
            ("input_mask", given["input_mask"]),
            ("recurrent_mask", given["recurrent_mask"]),
        ):
            if mask is not None:
                _check.refuse(ValueError, name, "None with scheme='per_step'", mask)
    return rates


def _zoneout(value: object, every: Sequence[PackedWeights]) -> tuple[float, float]:
    """The rates of h and c. A pair of them is for layers that all have c."""
    if not isinstance(value, (tuple, list)):
        rate = _check.recurrent_rate(value, "zoneout")
        return rate, rate
    if any(weights.cell != "lstm" for weights in every):
        expected = "a rate, for only an LSTM has a c of its own"
        _check.refuse(ValueError, "zoneout", expected, value)
    if len(value) != 2:
        _check.refuse(ValueError, "zoneout", "a rate, or a pair of rates (h, c)", value)
    h, c = value
    return _check.recurrent_rate(h, "zoneout h"), _check.recurrent_rate(c, "zoneout c")


def _with_candidates(every: Sequence[PackedWeights], name: str, off: str, value: object) -> None:
    if any(weights.cell == "simple_rnn" for weights in every):
        expected = f"{off} for a simple RNN, which has no candidates"
        _check.refuse(ValueError, name, expected, value)


def _firsts(
    given: Options,
    every: Sequence[PackedWeights],
    rates: Sites[float],
    widths: list[int],
    rows: int,
    steps: int,
) -> tuple[int, int]:
    """The numbers of the first row and step, such that all that is drawn has a number."""
    varying = rates.zoneout_h or rates.zoneout_c or rates.between
    per_step = given["scheme"] == "per_step" and rates.input
    first_step = _check.integer(given["first_step"], "first_step", 0, None)
    if (varying or per_step) and first_step + steps > STEPS:
        _check.refuse(ValueError, "first_step", f"at most {STEPS - steps} here", first_step)
    per_gate = given["scheme"] == "per_gate"
    elements = [(w.gates if per_gate else 1) * max(w.features, w.units, 1) for w in every]
    if varying:
        elements.append(STEPS * max(*widths, 1))
    if per_step:
        elements.append(STEPS * max(weights.features for weights in every))
    return _check.rows_range(given["row_offset"], rows, max(elements)), first_step


def _masks(
    given: Options,
    every: Sequence[PackedWeights],
    listed: bool,
    rows: int,
    dtype: np.dtype[Any],
    rates: Sites[float],
) -> tuple[Array | None, Array | None, Array | None]:
    """The masks that are given, as (rows or 1, gates or 1, width)."""
    if given["input_mask"] is given["recurrent_mask"] is given["candidate_mask"] is None:
        return None, None, None
    weights = every[0]
    found: list[Array | None] = []
    for mask, name, rate in (
        (given["input_mask"], "input", given["dropout"]),
        (given["recurrent_mask"], "recurrent", given["recurrent_dropout"]),
        (given["candidate_mask"], "candidate", given["candidate_dropout"]),
    ):
        label, vector = f"{name}_mask", name == "candidate"
        if mask is None:
            found.append(None)
            continue
        if listed or len(every) > 1:
            _check.refuse(ValueError, label, "None but for one layer in one direction", mask)
        if rates[len(found)]:
            of = "dropout" if name == "input" else f"{name}_dropout"
            _check.refuse(ValueError, of, "0 where the mask itself is given", rate)
        if vector:
            _with_candidates(every, label, "None", mask)
        width = weights.features if name == "input" else weights.units
        take = _vector_mask if vector else _mask
        found.append(take(mask, label, (rows, 1 if vector else weights.gates, width), dtype))
    return found[0], found[1], found[2]


def _embedding_mask(given: Options, rows: int, features: int, dtype: np.dtype[Any]) -> Array | None:
    mask = given["embedding_mask"]
    if mask is None:
        return None
    if given["embedding"] is None:
        _check.refuse(ValueError, "embedding_mask", "None without an embedding", mask)
    return _vector_mask(mask, "embedding_mask", (rows, 1, features), dtype)[:, 0]


def _mask(value: object, name: str, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Array:
    """A mask that is given as (rows or 1, gates or 1, width)."""
    rows, gates, width = shape
    mask = _check.array(value, name, _check.FLOATS)
    if mask.ndim == 2:
        mask = mask[:, np.newaxis, :]
    if (
        mask.ndim != 3
        or mask.shape[0] not in (1, rows)
        or mask.shape[1] not in (1, gates)
        or mask.shape[2] != width
    ):
        expected = f"shape {shape}, ({rows}, {width}) or the same with 1 for {rows} rows"
        _check.refuse(ValueError, name, expected, value)
    fitting(mask, name, dtype)
    if not np.isfinite(mask).all():
        _check.refuse(ValueError, name, "finite factors", value)
    return _check.contiguous(mask, dtype)


def _vector_mask(
    value: object, name: str, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> Array:
    """A mask that is given as (rows or 1, width), as (rows or 1, 1, width)."""
    rows, _, width = shape
    mask = _check.array(value, name, _check.FLOATS)
    if mask.ndim != 2:
        _check.refuse(ValueError, name, f"shape ({rows}, {width}) or (1, {width})", value)
    return _mask(mask, name, shape, dtype)

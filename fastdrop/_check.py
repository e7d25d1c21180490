"""All validation and normalisation of arguments.

Every refusal reads ``name: expected ..., got ...``. Nothing has been written when one is raised.
"""

import functools
import math
import operator
import reprlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

INDEX_END = 1 << 63
NORMALS_END = 1 << 57
FLOATS = ("float32", "float64")
DROPPABLE = ("float16", "bfloat16", *FLOATS)
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NUMBERS = ("float16", *FLOATS, *INTEGERS)
# What is accepted by name is said once, as a type; what is checked with comes of it.
Scheme: TypeAlias = Literal["per_gate", "tied", "per_step"]
Scope: TypeAlias = Literal["per_row", "shared"]
MergeMode: TypeAlias = Literal["concat", "sum", "mul", "ave"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
DataFormat: TypeAlias = Literal["channels_last", "channels_first"]
Marks: TypeAlias = Literal["dropped", "kept"]
Kind: TypeAlias = Literal["auto", "regression", "binary", "multiclass"]
Likelihood: TypeAlias = Literal["normal"]
Scale: TypeAlias = Literal["log_variance", "log_std", "softplus", "std"]
Interrupt: TypeAlias = Literal["raise", "return"]
RowActivation: TypeAlias = Literal["softmax", "log_softmax"]
ElementActivation: TypeAlias = Literal[
    "linear",
    "tanh",
    "sigmoid",
    "relu",
    "hard_sigmoid",
    "hard_sigmoid_legacy",
    "celu",
    "elu",
    "exponential",
    "gelu",
    "gelu_tanh",
    "hard_shrink",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "relu6",
    "selu",
    "silu",
    "soft_shrink",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]
# A name, or a tuple of it and its parameters.
Activation: TypeAlias = ElementActivation | RowActivation | tuple[Any, ...]

SCHEMES: tuple[str, ...] = get_args(Scheme)
SCOPES: tuple[str, ...] = get_args(Scope)
MERGE_MODES: tuple[str, ...] = get_args(MergeMode)
PRECISIONS: tuple[str, ...] = get_args(Precision)
DATA_FORMATS: tuple[str, ...] = get_args(DataFormat)
MARKS: tuple[str, ...] = get_args(Marks)
ROW_ACTIVATIONS: tuple[str, ...] = get_args(RowActivation)
ACTIVATIONS: tuple[str, ...] = get_args(ElementActivation)
MAX_THREADS = 1024
_FEW = 12  # names that a message may have in front of what came


def describe(value: object) -> str:
    """Say what came, in a few words."""
    if isinstance(value, np.ndarray):
        kind = "" if type(value) is np.ndarray else f"{type(value).__name__} "
        return f"{kind}{value.dtype} array of shape {value.shape}"
    try:
        text = " ".join(reprlib.repr(value).split())
    except ValueError:  # an integer of more digits than Python writes out
        return f"a very long {type(value).__name__}"
    return f"{text} ({type(value).__name__})"


def refuse(error: type[Exception], name: str, expected: str, got: object) -> NoReturn:
    raise error(f"{name}: expected {expected}, got {describe(got)}")


def missing(name: str, package: str, extra: str) -> ImportError:
    """Return the error of what needs a package that is not installed."""
    return ImportError(
        f'{name}: expected {package} to be installed: pip install "fastdrop-rnn[{extra}]"'
    )


def words(options: Sequence[str]) -> str:
    quoted = [repr(option) for option in options]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


# ---- scalars ----


def choice(value: object, name: str, options: Sequence[str], more: str = "") -> str:
    """One of some names; `more` may be expected besides."""
    if not isinstance(value, str):
        refuse_name(TypeError, name, options, value, more)
    if value not in options:
        refuse_name(ValueError, name, options, value, more)
    return value


def refuse_name(
    error: type[Exception], name: str, options: Sequence[str], got: object, more: str
) -> NoReturn:
    """Refuse a name; where many are known, what came stands in front, and what is close to it."""
    if len(options) <= _FEW:
        refuse(error, name, words(options) + more, got)
    from difflib import get_close_matches

    near = get_close_matches(got[:100], options, 1, 0.7) if isinstance(got, str) else []
    meant = f"did you mean {near[0]!r}? " if near else ""
    known = ", ".join(map(repr, options))
    expected = f"expected one of {len(options)} names{more}"
    raise error(f"{name}: {expected}, got {describe(got)}; {meant}known: {known}")


def text(value: object, name: str) -> str:
    if not isinstance(value, str):
        refuse(TypeError, name, "a str", value)
    return value


def flag(value: object, name: str) -> bool:
    if value is False or value is True:
        return value
    if not isinstance(value, np.bool_):
        refuse(TypeError, name, "True or False", value)
    return bool(value)


def integer(value: object, name: str, low: int, end: int | None, what: str = "an integer") -> int:
    """An integer in [low, end), where end = None is no limit."""
    if type(value) is int and low <= value and (end is None or value < end):
        return value
    limits = f">= {low}" if end is None else f"in [{low}, {end})"
    if isinstance(value, (bool, np.bool_)):
        refuse(TypeError, name, f"{what} {limits}", value)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        refuse(TypeError, name, f"{what} {limits}", value)
    if number < low or (end is not None and number >= end):
        refuse(ValueError, name, f"{what} {limits}", value)
    return number


def probability(value: object, name: str, *, below_one: bool = False) -> float:
    """A probability as binary64, whatever real type it came in."""
    if type(value) is float and 0.0 <= value < 1.0:
        return value
    expected = f"a number in [0, 1{')' if below_one else ']'}"
    number = _real(value, name, expected)
    if not 0.0 <= number <= 1.0 or (below_one and number == 1.0):
        refuse(ValueError, name, expected, value)
    return number


def stddev(value: object, name: str = "stddev") -> float:
    expected = "a finite number >= 0"
    number = _real(value, name, expected)
    if not 0.0 <= number < math.inf:
        refuse(ValueError, name, expected, value)
    return number


def finite(value: object, name: str) -> float:
    number = _real(value, name, "a finite number")
    if not math.isfinite(number):
        refuse(ValueError, name, "a finite number", value)
    return number


def _real(value: object, name: str, expected: str) -> float:
    """Any real number as binary64; integers beyond its range are infinite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        refuse(TypeError, name, expected, value)
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def probabilities(value: object, name: str) -> NDArray[np.float64]:
    """An array of probabilities as binary64."""
    given = array(value, name, NUMBERS).astype(np.float64)
    if not ((given >= 0) & (given <= 1)).all():  # also refuses NaN
        refuse(ValueError, name, "probabilities in [0, 1]", value)
    return given


def level(value: object, name: str = "level") -> float:
    number = _real(value, name, "a number in (0, 1)")
    if not 0.0 < number < 1.0:
        refuse(ValueError, name, "a number in (0, 1)", value)
    return number


@functools.lru_cache
def threshold(rate: float) -> int:
    """T of the mask contract; the product is exact and round() is half-even."""
    return round(rate * 2.0**32)


def recurrent_rate(value: object, name: str) -> float:
    """A rate that leaves something: also after rounding to the contract's 32 bits."""
    if type(value) is float and value == 0.0:  # most of a call's rates
        return value
    rate = probability(value, name, below_one=True)
    if threshold(rate) >> 32:
        refuse(ValueError, name, "a number in [0, 1 - 2**-33)", value)
    return rate


@functools.lru_cache
def scale(threshold: int, dtype: np.dtype[Any]) -> float:
    """What is kept is multiplied by this; nothing is kept at T = 2**32.

    Computed in integers, for this is part of the contract and a caller may have set another
    rounding. (Python divides integers of more than 53 bits so.)
    """
    if threshold >> 32:
        return 0.0
    return rounded((1 << 96) / (((1 << 32) - threshold) << 64), dtype)


_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def rounded(value: float, dtype: np.dtype[Any]) -> float:
    """The number of a floating-point dtype nearest to a binary64 number, half to even.

    For zeros, and numbers that are normal in that dtype or too large for float16.
    """
    return rounded_to(value, dtype.name)


def rounded_to(value: float, name: str) -> float:
    """The same of a dtype by its name, for NumPy may not know bfloat16."""
    if value == 0:
        return value
    digits = _DIGITS[name]
    fraction, exponent = math.frexp(value)
    nearest = math.ldexp(round(math.ldexp(fraction, digits)), exponent - digits)
    return math.inf if digits == 11 and nearest > 65504 else nearest


def thread_count(value: object, default: int) -> int:
    if value is None:
        return default
    return integer(value, "threads", 1, MAX_THREADS + 1, "None or an integer")


# ---- activations ----


class _Parameter(NamedTuple):
    """A parameter of an activation; without a default it has to be given."""

    name: str
    default: float | None
    expected: str
    low: float
    high: float


def _within(name: str, default: float | None, low: str = "-2**64") -> _Parameter:
    lows = {"-2**64": -(2.0**64), "0": 0.0, "2**-64": 2.0**-64}
    return _Parameter(name, default, f"a number in [{low}, 2**64]", lows[low], 2.0**64)


_MAX_VALUE = _Parameter("max_value", math.inf, "None or a number >= 0", 0.0, math.inf)
_PARAMETERS = {
    "relu": (_within("negative_slope", 0.0), _MAX_VALUE, _within("threshold", 0.0, "0")),
    "leaky_relu": (_within("negative_slope", 0.2),),
    "elu": (_within("alpha", 1.0),),
    "celu": (_within("alpha", 1.0, "2**-64"),),
    "hard_shrink": (_within("threshold", 0.5, "0"),),
    "soft_shrink": (_within("threshold", 0.5, "0"),),
    "squareplus": (_within("b", 4.0, "2**-64"),),
    "threshold": (_within("threshold", None), _within("value", None)),
}
_SAME = {"swish": "silu", "hard_swish": "hard_silu"}


def activation(value: object, name: str) -> Activation:
    """An activation as backends take it.

    A name, where there are no parameters or they make no difference; else a tuple of it and of
    all its parameters.
    """
    options = (*ACTIVATIONS, *ROW_ACTIVATIONS)
    given: tuple[object, ...] = ()
    if isinstance(value, tuple) and value:
        value, *given = value  # type: ignore[assignment]
    function = choice(value, name, options, ", or a tuple of one and its parameters")
    function = _SAME.get(function, function)
    parameters = _PARAMETERS.get(function, ())
    if len(given) > len(parameters):
        what = ", ".join(parameter.name for parameter in parameters) or "nothing"
        refuse(ValueError, name, f"{function!r} with {what}", (function, *given))
    numbers = []
    for k, (label, default, expected, low, high) in enumerate(parameters):
        if k >= len(given):
            if default is None:
                refuse(ValueError, name, f"{function!r} with its {label}", (function, *given))
            numbers.append(default)
            continue
        number = math.inf if given[k] is None and high == math.inf else None
        number = _real(given[k], f"{name} {label}", expected) if number is None else number
        if not low <= number <= high:  # also refuses NaN
            refuse(ValueError, f"{name} {label}", expected, given[k])
        numbers.append(number)
    if (function, *numbers) in (("relu", 0.0, math.inf, 0.0), ("leaky_relu", 0.0)):
        return "relu"
    return (function, *numbers) if numbers else cast(Activation, function)


# ---- shapes and arrays ----


def shape(value: object, name: str) -> tuple[int, ...]:
    """A shape whose elements can be counted, and held at 8 bytes each."""
    if type(value) is int and 0 <= value < INDEX_END // 8:  # a small mask takes less than the rest
        return (value,)
    axes = _axes(value) if not isinstance(value, (int, np.integer)) else (value,)
    if axes is None:
        refuse(TypeError, name, "an integer or a sequence of integers >= 0", value)
    lengths = tuple(integer(axis, name, 0, None) for axis in axes)
    if len(lengths) > 64 or math.prod(n or 1 for n in lengths) * 8 >= INDEX_END:
        refuse(ValueError, name, "at most 64 axes and fewer than 2**60 elements in all", value)
    return lengths


def _axes(value: object) -> tuple[Any, ...] | None:
    """The entries of a sequence; None for what has no order, or is text."""
    ordered = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
    if not ordered or (isinstance(value, np.ndarray) and value.ndim != 1):
        return None
    return tuple(value)  # type: ignore[arg-type]


def integers(value: object, name: str, low: int) -> tuple[int, ...]:
    """A sequence of one integer or more, none below `low`."""
    axes = _axes(value)
    if axes is None:
        refuse(TypeError, name, f"a sequence of integers >= {low}", value)
    if not axes:
        refuse(ValueError, name, "at least one integer", value)
    return tuple(integer(axis, name, low, None) for axis in axes)


def each(value: object, name: str, count: int, low: int = 1) -> tuple[int, ...]:
    """An integer for each of `count` axes, or one for all of them."""
    if _axes(value) is None:
        return (integer(value, name, low, None, f"{count} integers, or one"),) * count
    found = integers(value, name, low)
    if len(found) != count:
        refuse(ValueError, name, f"{count} integers, or one", value)
    return found


def open_shape(value: object, name: str) -> tuple[int | None, ...]:
    """A shape in which None stands for a length left open."""
    axes = _axes(value)
    if axes is None:
        refuse(TypeError, name, "a sequence of integers >= 0 and None", value)
    return tuple(None if axis is None else integer(axis, name, 0, None) for axis in axes)


def element_range(offset: object, count: int, end: int = INDEX_END) -> int:
    """The number of the first of `count` elements, all of them below `end`, a power of two."""
    if type(offset) is int and 0 <= offset <= end - count:  # a small mask takes less than the rest
        return offset
    start = integer(offset, "offset", 0, end + 1)  # no elements may stand at the end itself
    if start + count > end:
        limit = f"offset + {count} elements to end at or before 2**{end.bit_length() - 1}"
        refuse(ValueError, "offset", limit, offset)
    return start


# A dtype's name is slow to ask for; these are known without.
_NAMES: dict[np.dtype[Any], str] = {np.dtype(name): name for name in NUMBERS}


def array(value: object, name: str, dtypes: Sequence[str], ndim: int | None = None) -> NDArray[Any]:
    """A plain array of one of the dtypes, in native byte order; other kinds are refused."""
    plain = operand(value, name, dtypes, ndim)
    return plain if plain.dtype.isnative else plain.astype(native(plain.dtype))


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def operand(
    value: object, name: str, dtypes: Sequence[str], ndim: int | None = None
) -> NDArray[Any]:
    """A plain array of one of the dtypes, in either byte order; other kinds are refused."""
    if type(value) is np.ndarray and _NAMES.get(value.dtype) in dtypes:
        if ndim is None or value.ndim == ndim:
            return value
        refuse(ValueError, name, f"an array of {ndim} dimensions", value)
    expected = f"an array of {' or '.join(dtypes)}"
    if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):
        refuse(TypeError, name, expected, value)
    plain = read(value, name, expected)
    if plain.dtype.name not in dtypes:
        more = ", as .astype('float32') gives it" if plain.dtype.name == "bfloat16" else ""
        refuse(TypeError, name, f"{expected}{more}", plain)
    if ndim is not None and plain.ndim != ndim:
        refuse(ValueError, name, f"an array of {ndim} dimensions", plain)
    return plain


# Devices of DLPack: those whose memory a CPU reads, and what the others are called.
_READABLE = (1, 3, 11)
_DEVICES = {2: "cuda", 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 13: "cuda", 14: "oneapi"}


def read(value: object, name: str, expected: str = "an array") -> NDArray[Any]:
    """What NumPy reads as an array, or what DLPack hands over; a copy only where there must be one.

    Nothing is fetched from a GPU, and no gradient is lost without a word.
    """
    if type(value) not in (np.ndarray, list, tuple, float, int):  # most have nothing to ask for
        device = _device(value)
        if device is not None:
            got = f"{type(value).__name__} on {device}"
            raise TypeError(f"{name}: expected {expected} in main memory, got {got}")
        if getattr(value, "requires_grad", False) is True:
            got = f"{type(value).__name__} that requires grad"
            raise TypeError(f"{name}: expected {expected}, as .detach() gives it, got {got}")
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except ValueError:  # a ragged list
        refuse(ValueError, name, f"{expected}, its rows of one length", value)
    except (TypeError, RuntimeError, BufferError) as error:  # what tensors say that cannot be read
        if str(getattr(value, "dtype", "")).endswith("bfloat16"):
            got = f"{type(value).__name__} of bfloat16"
            raise TypeError(
                f"{name}: expected {expected}, as .float() gives it, got {got}"
            ) from error
        reason = " ".join(str(error).split())
        got = f"{type(value).__name__}: {reason}"
        raise TypeError(f"{name}: expected {expected}, got {got}") from error


def _device(value: object) -> str | None:
    """Where an array is, if that is not where a CPU reads it."""
    try:
        kind, number = value.__dlpack_device__()  # type: ignore[attr-defined]
    except Exception:  # it has none, or refuses to say: a tensor without memory does
        return "cuda" if hasattr(value, "__cuda_array_interface__") else None
    return None if kind in _READABLE else f"{_DEVICES.get(kind, f'device {int(kind)}')}:{number}"


def contiguous(value: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """C order and the dtype wanted, without a copy where that is so already.

    Unlike np.ascontiguousarray this keeps 0-d arrays 0-d, and it mends misalignment.
    """
    flags = value.flags
    if flags.c_contiguous and flags.aligned and value.dtype == dtype and value.dtype.isnative:
        return value  # np.require takes longer to find that out
    return np.require(value, dtype, ["C", "A"])


def shaped(
    value: NDArray[Any], name: str, expected: tuple[int, ...], given: object = None
) -> NDArray[Any]:
    """An array of that shape; `given` is what it has been converted from."""
    if value.shape != expected:
        got = given if isinstance(given, np.ndarray) else value
        refuse(ValueError, name, f"shape {expected}", got)
    return value


def output(out: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that can be written to, element by element."""
    if (
        type(out) is np.ndarray
        and out.shape == shape
        and out.dtype == dtype  # a byte-swapped dtype is another dtype
        and out.flags.carray
    ):
        return out
    expected = f"a writable {dtype} array of shape {shape}"
    if not isinstance(out, np.ndarray) or type(out) not in (np.ndarray, np.memmap):
        refuse(TypeError, "out", expected, out)
    if out.dtype != dtype:
        raise TypeError(f"out: expected {expected}, got dtype {out.dtype.str}")
    if out.shape != shape:
        refuse(ValueError, "out", expected, out)
    if not out.flags.writeable:
        raise ValueError(f"out: expected {expected}, got a read-only array")
    if _overlaps_itself(out):
        raise ValueError(f"out: expected {expected}, got one whose elements may share memory")
    return out


def _overlaps_itself(out: NDArray[Any]) -> bool:
    """Whether two elements may share memory, as in a broadcast array: an axis steps too little."""
    extent = out.itemsize
    axes = [(abs(s), n) for s, n in zip(out.strides, out.shape, strict=True) if n > 1]
    for stride, length in sorted(axes):
        if stride < extent:
            return out.size > 0
        extent += stride * (length - 1)
    return False


def noise_shape(value: object, of: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a mask that broadcasts to `of`, with as many axes.

    None stands for the axis's own length, and missing leading axes have length 1.
    """
    if value is None:
        return of
    expected = f"None or at most {len(of)} entries, the last of {of}, with 1 or None for any"
    axes = _axes(value)
    if axes is None:
        refuse(TypeError, "noise_shape", expected, value)
    if len(axes) > len(of):
        refuse(ValueError, "noise_shape", expected, value)
    lengths = tuple(
        n if a is None else integer(a, "noise_shape", 0, None)
        for a, n in zip((1,) * (len(of) - len(axes)) + axes, of, strict=True)
    )
    if any(a not in (1, n) for a, n in zip(lengths, of, strict=True)):
        refuse(ValueError, "noise_shape", expected, value)
    return lengths


def mask(value: object, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bits of a mask of that shape, eight a byte, from a mask of bool or from such bits."""
    given = array(value, "mask", ("bool", "uint8"))
    if given.dtype == bool:
        return np.packbits(shaped(given, "mask", shape), axis=None, bitorder="little")
    size = (-(-math.prod(shape) // 8),)
    if given.shape != size:
        expected = f"bool of shape {shape}, or packed uint8 of shape {size}"
        refuse(ValueError, "mask", expected, value)
    return contiguous(given, np.dtype(np.uint8))


EVENTS = ("bool", "uint8", *FLOATS)
# Types whose dtypes need not be looked up, for that takes longer than a small mask.
EVENT_TYPES = {t: np.dtype(t) for t in (bool, np.bool_, np.uint8, np.float32, np.float64)}


def event_dtype(value: Any) -> np.dtype[Any]:
    if type(value) is type and value in EVENT_TYPES:
        return EVENT_TYPES[value]
    expected = f"{', '.join(EVENTS)} or 'packed'"
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        refuse(TypeError, "dtype", expected, value)
    if value is None or dtype.name not in EVENTS or not dtype.isnative:
        refuse(TypeError, "dtype", expected, value)
    return dtype


def rows_range(value: object, rows: int, elements: int) -> int:
    """The number of the first row, such that every row's mask elements have an index."""
    start = integer(value, "row_offset", 0, INDEX_END + 1)
    if (start + rows) * elements > INDEX_END:
        refuse(ValueError, "row_offset", f"at most {INDEX_END // elements - rows} here", value)
    return start


def indices(
    value: NDArray[Any], count: int, layer: str | None = None, name: str = "indices"
) -> None:
    """Refuse inputs that are no rows of an embedding's table."""
    low, high = (int(value.min()), int(value.max())) if value.size else (0, -1)
    if low < 0 or high >= count:
        name, of = (name, "") if layer is None else ("x", f" for layer {layer!r}")
        got = low if low < 0 else high
        raise ValueError(f"{name}: expected indices in [0, {count}){of}, got {got}")


def float32(value: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Numbers rounded to float32, in an array of their own; none may become infinite by it."""
    if value.dtype == np.float32:
        return value.copy()
    with np.errstate(over="ignore", under="ignore"):
        rounded = value.astype(np.float32)
    if np.isinf(rounded).any() and (np.isinf(rounded) & np.isfinite(value)).any():
        refuse(ValueError, name, "numbers within the range of float32", value)
    return rounded


def held(value: NDArray[Any], name: str, dtype: str, what: str) -> None:
    """Refuse numbers that a type of whole numbers or of truths does not hold."""
    if not value.size or value.dtype == dtype:
        return
    lowest, highest, expected = 0, 1, "0 or 1"
    if dtype != "bool":
        lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
        expected = f"whole numbers that {dtype} holds"
    wrong = value[value != np.trunc(value)] if value.dtype.kind == "f" else value[:0].ravel()
    found = [wrong[0].item()] if wrong.size else [value.min().item(), value.max().item()]
    for number in found:
        if wrong.size or not lowest <= number <= highest:
            refuse(ValueError, name, f"{expected}, for {what} is of {dtype}", number)

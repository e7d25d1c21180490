"""What every public function refuses: the argument is named, and nothing has been written."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.demo import encode
from fastdrop.demo.table import verdict
from fastdrop.layers import LSTM, Activation, Declared, Dense, Dropout, Embedding
from fastdrop.model import Model

NAN = float("nan")
X = np.ones((4, 6), np.float32)
UNITS, FEATURES = 5, 3
SEQUENCE = np.ones((2, 4, FEATURES), np.float32)
KERNEL = np.ones((FEATURES, 4 * UNITS), np.float32)
TOKENS = np.zeros((2, 4), np.int32)
TABLE = np.ones((7, 3), np.float32)
RECURRENT = np.ones((UNITS, 4 * UNITS), np.float32)
BIAS = np.ones(4 * UNITS, np.float32)


def bernoulli(**changes: Any) -> Any:
    return fd.bernoulli(**{"p": 0.5, "shape": (4, 6), "rng": 0, **changes})


def dropout(**changes: Any) -> Any:
    return fd.dropout(**{"x": X, "rate": 0.5, "rng": 0, **changes})


def dropout_backward(**changes: Any) -> Any:
    return fd.dropout_backward(**{"grad": X, "rate": 0.5, "rng": 0, **changes})


def apply_mask(**changes: Any) -> Any:
    return fd.apply_mask(**{"x": X, "mask": np.zeros(3, np.uint8), **changes})


def unpack_mask(**changes: Any) -> Any:
    return fd.unpack_mask(**{"packed": np.zeros(3, np.uint8), "shape": (4, 6), **changes})


def drop_connect(**changes: Any) -> Any:
    return fd.drop_connect(**{"weight": X, "rate": 0.5, "rng": 0, **changes})


def alpha_dropout(**changes: Any) -> Any:
    return fd.alpha_dropout(**{"x": X, "rate": 0.5, "rng": 0, **changes})


def gaussian_dropout(**changes: Any) -> Any:
    return fd.gaussian_dropout(**{"x": X, "rate": 0.5, "rng": 0, **changes})


def gaussian_noise(**changes: Any) -> Any:
    return fd.gaussian_noise(**{"x": X, "stddev": 0.5, "rng": 0, **changes})


def zoneout(**changes: Any) -> Any:
    return fd.zoneout(**{"previous": X, "new": X, "rate": 0.5, "rng": 0, **changes})


def embedding_dropout(**changes: Any) -> Any:
    arguments = {"indices": TOKENS, "table": TABLE, "rate": 0.5, "rng": 0}
    return fd.embedding_dropout(**{**arguments, **changes})


def spatial_dropout1d(**changes: Any) -> Any:
    return fd.spatial_dropout1d(**{"x": X.reshape(2, 2, 6), "rate": 0.5, "rng": 0, **changes})


def spatial_dropout2d(**changes: Any) -> Any:
    return fd.spatial_dropout2d(**{"x": X.reshape(2, 2, 3, 2), "rate": 0.5, "rng": 0, **changes})


def spatial_dropout3d(**changes: Any) -> Any:
    shape = (2, 2, 3, 2, 1)
    return fd.spatial_dropout3d(**{"x": X.reshape(shape), "rate": 0.5, "rng": 0, **changes})


SPATIAL = (spatial_dropout1d, spatial_dropout2d, spatial_dropout3d)
# By what they call their array. All but apply_mask draw.
OF_SHAPE_4_6 = {
    dropout: "x",
    dropout_backward: "grad",
    apply_mask: "x",
    drop_connect: "weight",
    alpha_dropout: "x",
    gaussian_dropout: "x",
    gaussian_noise: "x",
    zoneout: "previous",
}
DRAWING = [function for function in OF_SHAPE_4_6 if function is not apply_mask]
# Rates of 0 to 1, and of what must leave something.
CLOSED = (dropout, dropout_backward, apply_mask, drop_connect, zoneout, *SPATIAL)
HALF_OPEN = (alpha_dropout, gaussian_dropout)


def dense(**changes: Any) -> Any:
    return fd.dense(**{"x": X, "kernel": np.ones((6, 2), np.float32), **changes})


def lstm(**changes: Any) -> Any:
    arguments = {
        "x": SEQUENCE,
        "kernel": KERNEL,
        "recurrent_kernel": RECURRENT,
        "bias": BIAS,
        "dropout": 0.5,
        "rng": 0,
    }
    return fd.lstm(**{**arguments, **changes})


def gru(**changes: Any) -> Any:
    arguments = {"x": SEQUENCE, "kernel": KERNEL[:, :15], "recurrent_kernel": RECURRENT[:, :15]}
    return fd.gru(**{**arguments, "dropout": 0.5, "rng": 0, **changes})


def simple_rnn(**changes: Any) -> Any:
    arguments = {"x": SEQUENCE, "kernel": KERNEL[:, :5], "recurrent_kernel": RECURRENT[:, :5]}
    return fd.simple_rnn(**{**arguments, "dropout": 0.5, "rng": 0, **changes})


def pack_lstm(**changes: Any) -> Any:
    arguments = {"kernel": KERNEL, "recurrent_kernel": RECURRENT, "bias": BIAS}
    return fd.pack_lstm(**{**arguments, **changes})


def pack_gru(**changes: Any) -> Any:
    arguments = {"kernel": KERNEL[:, :15], "recurrent_kernel": RECURRENT[:, :15]}
    return fd.pack_gru(**{**arguments, **changes})


def pack_simple_rnn(**changes: Any) -> Any:
    arguments = {"kernel": KERNEL[:, :5], "recurrent_kernel": RECURRENT[:, :5]}
    return fd.pack_simple_rnn(**{**arguments, **changes})


AHEAD, GRU, SIMPLE = pack_lstm(), pack_gru(), pack_simple_rnn()
WIDE = fd.pack_lstm(np.ones((2 * UNITS, 8), np.float32), np.ones((2, 8), np.float32))
NEXT = fd.pack_lstm(np.ones((UNITS, 8), np.float32), np.ones((2, 8), np.float32))
NARROW = fd.pack_gru(KERNEL[:, :6], RECURRENT[:2, :6])  # 2 units


def rnn(**changes: Any) -> Any:
    return fd.rnn(**{"x": SEQUENCE, "layers": AHEAD, "rng": 0, **changes})


def stacked(**changes: Any) -> Any:
    return rnn(**{"layers": [(AHEAD, AHEAD), WIDE], **changes})


def embedded(**changes: Any) -> Any:
    return rnn(**{"x": TOKENS, "embedding": TABLE, **changes})


def step(**changes: Any) -> Any:
    return fd.step(**{"x": SEQUENCE[:, 0], "layers": AHEAD, "rng": 0, **changes})


def model() -> Model:
    return Model(
        [
            Embedding(name="e", table=np.ones((7, FEATURES), np.float32)),
            Dropout(name="d", rate=0.5),
            LSTM(name="l", kernel=KERNEL, recurrent_kernel=RECURRENT, bias=BIAS),
        ],
        (4,),
    )


def predict(**changes: Any) -> Any:
    return model().predict(**{"x": TOKENS, **changes})


def mc_predict(**changes: Any) -> Any:
    return model().mc_predict(**{"x": TOKENS, "samples": 2, "rng": 0, **changes})


class Subclass(np.ndarray):
    pass


def overlapping(shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(np.ones(100, np.float32), shape, (0, 4))


SWAPPED = np.dtype(np.float32).newbyteorder()
READ_ONLY = np.ones((4, 6), np.float32)
READ_ONLY.flags.writeable = False
KINDS = {
    "complex": X.astype(complex),
    "object": X.astype(object),
    "integers": X.astype(int),
    "bool": X.astype(bool),
    "text": X.astype(str),
    "masked": np.ma.masked_array(X, X > 0),
    "subclass": X.view(Subclass),
    "None": None,
    "dict": {},
}

Case = tuple[Callable[..., Any], dict[str, Any], type[Exception], str]
CASES: dict[str, Case] = {}


def case(
    function: Callable[..., Any], error: type[Exception], message: str, **changes: Any
) -> None:
    CASES[f"{function.__name__}-{len(CASES)}-{'-'.join(changes)}"] = (
        function,
        changes,
        error,
        message,
    )


# ---- probabilities ----
for value in (-1e-9, 1.0000001, 2, NAN, np.inf, -np.inf, 10**400, -(10**5000)):
    case(bernoulli, ValueError, "p: expected a number in [0, 1], got", p=value)
    for function in (*CLOSED, embedding_dropout):
        case(function, ValueError, "rate: expected a number in [0, 1], got", rate=value)
    for function in HALF_OPEN:
        case(function, ValueError, "rate: expected a number in [0, 1), got", rate=value)
    case(lstm, ValueError, "dropout: expected a number in [0, 1), got", dropout=value)
    case(lstm, ValueError, "recurrent_dropout: expected", recurrent_dropout=value)
for value in (True, np.True_, "0.5", None, 0.5j, np.array([0.5]), [0.5]):
    case(bernoulli, TypeError, "p: expected a number in [0, 1], got", p=value)
    for function in (*CLOSED, embedding_dropout):
        case(function, TypeError, "rate: expected a number in [0, 1], got", rate=value)
    for function in HALF_OPEN:
        case(function, TypeError, "rate: expected a number in [0, 1), got", rate=value)
    case(gaussian_noise, TypeError, "stddev: expected a finite number >= 0, got", stddev=value)
    case(lstm, TypeError, "recurrent_dropout: expected a number in [0, 1)", recurrent_dropout=value)
for value in (-1e-300, -1, NAN, np.inf, -np.inf, 10**400, -(10**5000), np.float16(np.inf)):
    case(gaussian_noise, ValueError, "stddev: expected a finite number >= 0, got", stddev=value)
for value in (1, 1.0, np.float32(1)):
    case(gaussian_dropout, ValueError, "rate: expected a number in [0, 1), got", rate=value)
for value in (1, 1.0, 1 - 2.0**-40, 1 - 2.0**-33):
    case(alpha_dropout, ValueError, "rate: expected a number in [0, 1", rate=value)
    case(lstm, ValueError, "dropout: expected a number in [0, 1", dropout=value)

# ---- seeds, streams, places ----
for function in (bernoulli, *DRAWING, *SPATIAL, embedding_dropout, lstm, mc_predict):
    case(function, ValueError, "rng: expected", rng=-1)
    for value in (0.5, 1.0, True, "seed", [1, 2], np.random.RandomState(0)):
        case(function, TypeError, "rng: expected", rng=value)
for value in (None, np.random.default_rng(0), np.random.Philox(0)):
    expected = "rng: expected the int, SeedSequence or Key of the forward call (None, a Generator"
    case(dropout_backward, TypeError, expected, rng=value)
for function in (bernoulli, *DRAWING, *SPATIAL):
    for value in (-1, 2**64, 10**5000):
        case(function, ValueError, "stream: expected an integer in [0, ", stream=value)
    end = 2**57 if function in (gaussian_dropout, gaussian_noise) else 2**63
    for value in (-1, end, end - (1 if function in SPATIAL else 23)):
        case(function, ValueError, "offset: expected", offset=value)
    for value in (1.0, None, True, "0"):
        case(function, TypeError, "stream: expected an integer", stream=value)
        case(function, TypeError, "offset: expected an integer", offset=value)
for function, power in ((dropout, 63), (gaussian_noise, 57)):
    end = f"offset: expected offset + 24 elements to end at or before 2**{power}, got"
    case(function, ValueError, end, offset=2**power - 23)
for value in (-1, 2**32):
    case(lstm, ValueError, "sample: expected", sample=value)
    case(lstm, ValueError, "site: expected", site=value)
for function in (lstm, mc_predict, embedding_dropout):
    for value in (-1, 2**63, 2**62):
        case(function, ValueError, "row_offset: expected", row_offset=value)
    case(function, TypeError, "row_offset: expected", row_offset=0.0)

case(lstm, TypeError, "rng: expected", rng="unused", dropout=0.0)

# ---- shapes, dtypes and out ----
for value in (-1, (2, -1), (2**40, 2**40), 2**63, 2**60, (0, 2**60), (1,) * 65, 10**5000):
    case(bernoulli, ValueError, "shape: expected", shape=value)
# Of 2^64 + 2^22 elements, which 64 bits take for 2^22.
case(bernoulli, ValueError, "shape: expected", shape=(2**22, 213005, 1429, 14449))
for value in (None, 1.5, "3", b"46", (2, 1.0), (2, None), True, {2, 3}, {2: 3}):
    case(bernoulli, TypeError, "shape: expected", shape=value)
for value in (np.array(3), np.array([[4, 6]])):
    expected = "shape: expected an integer or a sequence of integers >= 0, got int64 array"
    case(bernoulli, TypeError, expected, shape=value.astype(np.int64))
    expected = "noise_shape: expected None or at most 2 entries, the last of (4, 6), with"
    case(dropout, TypeError, expected, noise_shape=value)
for value in ("float16", "int8", complex, object, "nonsense", None, SWAPPED, int, ",", (float, -1)):
    case(bernoulli, TypeError, "dtype: expected bool, uint8, float32, float64 or", dtype=value)
for function in (bernoulli, *OF_SHAPE_4_6):
    more = {"dtype": "float32"} if function is bernoulli else {}
    expected = "out: expected a writable float32 array of shape (4, 6), got"
    case(function, TypeError, expected, out=X.tolist(), **more)
    case(function, TypeError, expected, out=X.astype(np.float64), **more)
    case(function, TypeError, expected, out=X.astype(SWAPPED), **more)
    case(function, TypeError, expected, out=X.view(Subclass).copy(), **more)
    case(function, TypeError, expected, out=np.ma.masked_array(X.copy()), **more)
    case(function, ValueError, expected, out=np.ones((6, 4), np.float32), **more)
    case(function, ValueError, expected, out=np.ones(24, np.float32), **more)
    case(function, ValueError, expected, out=READ_ONLY, **more)
    case(function, ValueError, expected, out=overlapping((4, 6)), **more)
case(bernoulli, ValueError, "out: expected", dtype="packed", out=np.ones(4, np.uint8))
case(bernoulli, TypeError, "out: expected", dtype="packed", out=np.ones(3, bool))
for function in SPATIAL:
    case(function, TypeError, "out: expected a writable float32 array", out=X.tolist())
    case(function, ValueError, "out: expected a writable float32 array of shape (2, 2,", out=X)
EVERY = "float16 or bfloat16 or float32 or float64"
for array in KINDS.values():
    for function, name in OF_SHAPE_4_6.items():
        dtypes = EVERY if function in CLOSED else "float32 or float64"
        case(function, TypeError, f"{name}: expected an array of {dtypes}, got", **{name: array})
    case(zoneout, TypeError, f"new: expected an array of {EVERY}, got", new=array)
    case(embedding_dropout, TypeError, f"table: expected an array of {EVERY}, got", table=array)
    for function in SPATIAL:
        case(function, TypeError, f"x: expected an array of {EVERY}, got", x=array)
    case(dense, TypeError, "x: expected an array of float32 or float64, got", x=array)
    case(lstm, TypeError, "x: expected an array of float32 or float64, got", x=array)
    case(lstm, TypeError, "kernel: expected an array of float32 or float64, got", kernel=array)
for name in ("masked", "subclass"):
    expected = f"got {type(KINDS[name]).__name__} float32 array of shape (4, 6)"
    case(dropout, TypeError, expected, x=KINDS[name])
for function in (alpha_dropout, gaussian_dropout, gaussian_noise):
    case(function, TypeError, "got float16 array of shape (4, 6)", x=X.astype(np.float16))
ragged = f"x: expected an array of {EVERY}, its rows of one length, got [[1.0], [1.0, 2.0]] (list)"
case(dropout, ValueError, ragged, x=[[1.0], [1.0, 2.0]])
for function in (dropout, dropout_backward, apply_mask, alpha_dropout):
    for value in ((4,), (4, 6, 1), (1, 4, 6), (4, 5), (2, 6), (4, -1), (0,)):
        case(function, ValueError, "noise_shape: expected", noise_shape=value)
    for value in ("46", 4, (4.0, 6), (True, 6), {4, 6}):
        case(function, TypeError, "noise_shape: expected", noise_shape=value)

# ---- the family ----
for value in (1, None, "yes"):
    case(dropout, TypeError, "return_mask: expected True or False, got", return_mask=value)
for value in (
    np.zeros(3, np.int8),
    np.zeros(3),
    None,
    [0, 0, 0],
    b"abc",
    X,
    np.ma.masked_array(X > 0),
):
    case(apply_mask, TypeError, "mask: expected an array of bool or uint8, got", mask=value)
for size in (2, 4, 24, (1, 3), (4, 6), ()):
    expected = "mask: expected bool of shape (4, 6), or packed uint8 of shape (3,), got uint8"
    case(apply_mask, ValueError, expected, mask=np.zeros(size, np.uint8))
for size in (24, 3, (6, 4), (1, 6), (4, 6, 1), ()):
    case(apply_mask, ValueError, "mask: expected shape (4, 6), got bool", mask=np.zeros(size, bool))
expected = "mask: expected bool of shape (4, 1), or packed uint8 of shape (1,), got"
case(apply_mask, ValueError, expected, noise_shape=(4, 1))
expected = "mask: expected shape (4, 1), got bool array of shape (4, 6)"
case(apply_mask, ValueError, expected, noise_shape=(4, 1), mask=np.zeros((4, 6), bool))
expected = "marks: expected 'dropped' or 'kept', got"
for value in ("drop", "keep", "Kept", ""):
    case(apply_mask, ValueError, expected, marks=value)
for value in (True, None, ("kept",)):
    case(apply_mask, TypeError, expected, marks=value)
for value in (X, X > 0, np.zeros(3, np.int8), None, "packed"):
    case(unpack_mask, TypeError, "packed: expected an array of uint8, got", packed=value)
for size in (2, 4, 24, (1, 3), (4, 6), ()):
    expected = "packed: expected uint8 of shape (3,), for a mask of shape (4, 6), got"
    case(unpack_mask, ValueError, expected, packed=np.zeros(size, np.uint8))
for value in (-1, (4, -6)):
    case(unpack_mask, ValueError, "shape: expected", shape=value)
for value in (4.0, "46", None, (4, 6.0), True):
    case(unpack_mask, TypeError, "shape: expected", shape=value)
for function, dimensions in zip(SPATIAL, (3, 4, 5), strict=True):
    for value in (X, X.reshape(1, 1, 1, 1, 4, 6)):
        case(function, ValueError, f"x: expected an array of {dimensions} dimensions, got", x=value)
    expected = "data_format: expected 'channels_last' or 'channels_first', got"
    case(function, ValueError, expected, data_format="NCHW")
    case(function, TypeError, expected, data_format=None)
case(zoneout, TypeError, "new: expected an array of float32, as previous is", new=X.astype(float))
case(zoneout, TypeError, "new: expected an array of float32", new=X.astype(np.float16))
case(zoneout, ValueError, "new: expected shape (4, 6), got", new=X[:1])
case(zoneout, ValueError, "new: expected shape (4, 6), got", new=X.T)
for value in (TOKENS.astype(float), TOKENS.astype(bool), None, TOKENS.astype(object)):
    case(embedding_dropout, TypeError, "indices: expected an array of int8 or", indices=value)
case(
    embedding_dropout, ValueError, "indices: expected indices in [0, 7), got 7", indices=TOKENS + 7
)
case(embedding_dropout, ValueError, "indices: expected indices in [0, 7), got -1", indices=[-1, 7])
case(embedding_dropout, ValueError, "indices: expected an array of 1 dimension", indices=3)
case(embedding_dropout, ValueError, "indices: expected indices in [0, 0)", table=TABLE[:0])
for value in (TABLE[0], TABLE[np.newaxis], [1.0, 2.0]):
    case(embedding_dropout, ValueError, "table: expected an array of 2 dimensions", table=value)
for value in (-1, 2**64):
    case(embedding_dropout, ValueError, "stream: expected an integer in [0, ", stream=value)

# ---- dense and activate ----
case(dense, ValueError, "x: expected an array of 1 dimension", x=np.float32(1))
case(dense, ValueError, "kernel: expected an array of 2 dimensions", kernel=np.ones(6))
case(dense, ValueError, "kernel: expected shape (6, 2), got", kernel=np.ones((5, 2)))
case(dense, ValueError, "bias: expected shape (2,), got", bias=np.ones(3))
case(dense, ValueError, "activation: expected one of 32 names", activation="glu")
for refused, message in (
    ("threshold", "activation: expected 'threshold' with its threshold, got"),
    (("threshold", 1.0), "activation: expected 'threshold' with its value, got"),
    (("tanh", 1.0), "activation: expected 'tanh' with nothing, got"),
    (("elu", 1.0, 2.0), "activation: expected 'elu' with alpha, got"),
    (("relu", 0, 1, 2, 3), "'relu' with negative_slope, max_value, threshold, got"),
    (("elu", np.nan), "activation alpha: expected a number in [-2**64, 2**64], got"),
    (("elu", 2.0**64 + 2**12), "activation alpha: expected a number in [-2**64, 2**64], got"),
    (("elu", np.inf), "activation alpha: expected a number in [-2**64, 2**64], got"),
    (("celu", 0.0), "activation alpha: expected a number in [2**-64, 2**64], got"),
    (("celu", 2.0**-65), "activation alpha: expected a number in [2**-64, 2**64], got"),
    (("leaky_relu", 1e20), "activation negative_slope: expected a number in [-2**64, 2**64], got"),
    (("relu", 0.0, -1.0), "activation max_value: expected None or a number >= 0, got"),
    (("relu", 0.0, -(10**400)), "activation max_value: expected None or a number >= 0, got"),
    (("relu", 0.0, None, -1.0), "activation threshold: expected a number in [0, 2**64], got"),
    (("soft_shrink", -0.5), "activation threshold: expected a number in [0, 2**64], got"),
    (("squareplus", 0.0), "activation b: expected a number in [2**-64, 2**64], got"),
    (("no", 1.0), "activation: expected one of 32 names"),
):
    case(fd.activate, ValueError, message, x=X, activation=refused)
for refused, message in (
    ((), "or a tuple of one and its parameters, got"),
    (["elu", 1.0], "or a tuple of one and its parameters, got"),
    ((1.0, "elu"), "activation: expected one of 32 names"),
    (("elu", None), "activation alpha: expected a number in"),
    (("elu", "1"), "activation alpha: expected a number in"),
    (("elu", True), "activation alpha: expected a number in"),
):
    case(fd.activate, TypeError, message, x=X, activation=refused)
case(dense, TypeError, "activation: expected one of 32 names", activation=np.tanh)
case(fd.activate, ValueError, "activation: expected", x=X, activation="no")
for name in ("softmax", "log_softmax"):
    expected = "x: expected an array of 1 dimension or more, got"
    case(fd.activate, ValueError, expected, x=np.float64(1), activation=name)
case(fd.activate, TypeError, "x: expected", x=1, activation="tanh")

# ---- lstm ----
for name, good, bad in (
    ("x", SEQUENCE, SEQUENCE[0]),
    ("kernel", KERNEL, KERNEL[1:]),
    ("kernel", KERNEL, KERNEL[:, 1:]),
    ("kernel", KERNEL, KERNEL[0]),
    ("recurrent_kernel", RECURRENT, RECURRENT[1:]),
    ("recurrent_kernel", RECURRENT, RECURRENT[:, :15]),
    ("bias", BIAS, BIAS[1:]),
    ("bias", BIAS, BIAS[np.newaxis]),
):
    assert good.shape != bad.shape
    case(lstm, ValueError, f"{name}: expected", **{name: bad})
case(lstm, TypeError, "recurrent_kernel: expected", recurrent_kernel=None)
case(lstm, TypeError, "bias: expected", bias=BIAS.astype(int))
for name in ("activation", "recurrent_activation"):
    case(
        lstm,
        ValueError,
        f"{name}: expected one of 32 names, or a tuple of one",
        **{name: "softmin"},
    )
    case(lstm, TypeError, f"{name}: expected one of 32 names, or a tuple of one", **{name: None})
case(lstm, ValueError, "scheme: expected 'per_gate', 'tied' or 'per_step', got", scheme="both")
case(lstm, TypeError, "scheme: expected", scheme=None)
for function in (lstm, mc_predict, embedding_dropout):
    case(function, ValueError, "scope: expected 'per_row' or 'shared', got 'all'", scope="all")
    case(function, TypeError, "scope: expected 'per_row' or 'shared'", scope=1)
for name, width in (("input_mask", FEATURES), ("recurrent_mask", UNITS)):
    for shape in ((2, 3, width), (3, width), (2, 4, width + 1), (width,), (2, 4, width, 1)):
        mask = np.ones(shape, np.float32)
        case(lstm, ValueError, f"{name}: expected shape", dropout=0.0, **{name: mask})
    for value in (NAN, np.inf):
        mask = np.full((2, width), value, np.float32)
        case(lstm, ValueError, f"{name}: expected finite", dropout=0.0, **{name: mask})
    case(lstm, TypeError, f"{name}: expected", dropout=0.0, **{name: np.ones((2, width), bool)})
    case(lstm, TypeError, f"{name}: expected", dropout=0.0, **{name: np.ones((2, width))})
case(lstm, ValueError, "dropout: expected 0 where", input_mask=np.ones((2, FEATURES), np.float32))
STATE = np.zeros((2, UNITS), np.float32)
for value in (STATE, (STATE,), (STATE,) * 3, [], "hc"):
    case(lstm, ValueError, "initial_state: expected", initial_state=value)
one_line = "shape (2, 5), got [array([[0.], [0.]])] (list)"
case(lstm, ValueError, one_line, initial_state=[np.zeros((2, 1))])
case(lstm, ValueError, "initial_state c: expected shape", initial_state=(STATE, STATE[:1]))
case(lstm, TypeError, "initial_state h: expected", initial_state=(None, STATE))
case(lstm, TypeError, "initial_state h: expected", initial_state=(STATE.astype(float), STATE))
case(lstm, ValueError, "mask: expected shape (2, 4), got", mask=np.ones((2, 3), bool))
case(lstm, ValueError, "mask: expected an array of 2 dimensions", mask=np.ones(4, bool))
case(lstm, TypeError, "mask: expected an array of bool, got", mask=np.ones((2, 4)))
for name in ("return_sequences", "return_state", "go_backwards", "zero_output_for_mask"):
    case(lstm, TypeError, f"{name}: expected True or False, got 1", **{name: 1})

# ---- recurrent layers ----
RECURRENT_CALLS = (lstm, gru, simple_rnn, rnn, stacked, step)
for function in RECURRENT_CALLS[1:]:
    for name in ("dropout", "recurrent_dropout", "zoneout", "weight_dropout"):
        for value in (-1e-9, 1, 1 - 2.0**-40, NAN, np.inf):
            case(function, ValueError, f"{name}: expected a number in [0, 1", **{name: value})
        for value in (True, "0.5", None, np.array([0.5])):
            case(function, TypeError, f"{name}: expected a number in [0, 1)", **{name: value})
    case(function, ValueError, "rng: expected", rng=-1, dropout=0.5)
    case(function, TypeError, "rng: expected", rng="unused", dropout=0.0)
    for value in (-1, 2**32, 2**32 - 15):
        case(function, ValueError, "site: expected an integer in [0, ", site=value)
    case(function, ValueError, "sample: expected", sample=2**32)
    for value in (-1, 2**63, 2**62):
        case(function, ValueError, "row_offset: expected", row_offset=value)
    case(function, ValueError, "scheme: expected 'per_gate', 'tied' or 'per_step'", scheme="both")
    case(
        function,
        ValueError,
        "recurrent_dropout: expected 0 with scheme='per_step', got 0.5",
        recurrent_dropout=0.5,
        scheme="per_step",
    )
    case(function, ValueError, "scope: expected 'per_row' or 'shared'", scope="all")
    case(function, TypeError, "x: expected", x=None)
    case(function, TypeError, "x: expected an array of float32 or float64", x=SEQUENCE.astype(int))
    case(function, ValueError, "x: expected an array of", x=SEQUENCE[0, 0])
case(stacked, ValueError, "site: expected an integer in [0, ", site=2**32 - 31)
for function in (rnn, stacked, step):
    case(function, ValueError, "between_dropout: expected", between_dropout=1.0)
    case(function, TypeError, "between_dropout: expected", between_dropout="0.5")
case(rnn, ValueError, "between_dropout: expected 0 but for a list", between_dropout=0.5)
for function in (lstm, gru, rnn):
    case(function, ValueError, "candidate_dropout: expected", candidate_dropout=1.0)
for value in (SIMPLE, [AHEAD, fd.pack_simple_rnn(RECURRENT, RECURRENT[[0] * 20])]):
    expected = "candidate_dropout: expected 0 for a simple RNN, which has no candidates, got 0.5"
    case(rnn, ValueError, expected, candidate_dropout=0.5, layers=value)
mask_5 = np.ones((2, UNITS), np.float32)
case(simple_rnn, ValueError, "candidate_mask: expected None for a", candidate_mask=mask_5)
for value in ((0.1, 0.2), [0.1, 0.2]):
    for function in (gru, simple_rnn):
        case(function, ValueError, "zoneout: expected a rate, for only an LSTM", zoneout=value)
    mixed = [AHEAD, fd.pack_gru(RECURRENT[:, :3], np.ones((1, 3), np.float32))]
    case(rnn, ValueError, "zoneout: expected a rate, for only an", zoneout=value, layers=mixed)
for value in ((), (0.1,), (0.1, 0.1, 0.1)):
    case(rnn, ValueError, "zoneout: expected a rate, or a pair of rates (h, c)", zoneout=value)
case(rnn, ValueError, "zoneout c: expected a number in [0, 1)", zoneout=(0.1, 1.5))
case(rnn, TypeError, "zoneout h: expected a number in [0, 1)", zoneout=("a", 0.1))
# Weights.
for function in (lstm, pack_lstm):
    for array in KINDS.values():
        case(function, TypeError, "recurrent_kernel: expected an array", recurrent_kernel=array)
for function, gates in ((pack_lstm, 4), (pack_gru, 3), (pack_simple_rnn, 1)):
    width = gates * UNITS
    for bad in (KERNEL[:, : width - 1], KERNEL[0]):
        case(function, ValueError, "kernel: expected", kernel=bad)
    for bad in (RECURRENT[1:, :width], RECURRENT[:, : width - 1], RECURRENT[0]):
        case(function, ValueError, "recurrent_kernel: expected", recurrent_kernel=bad)
    case(function, TypeError, "kernel: expected an array", kernel=KERNEL[:, :width].astype(int))
    case(function, TypeError, "bias: expected an array", bias=np.ones(width, int))
    case(function, ValueError, "bias: expected shape", bias=np.ones(width + 1, np.float32))
    case(function, ValueError, "activation: expected one of 32 names", activation="softmin")
    case(function, TypeError, "activation: expected one of 32 names", activation=None)
for function in (pack_lstm, pack_gru, gru):
    case(function, ValueError, "recurrent_activation: expected", recurrent_activation="softmin")
for function in (gru, pack_gru):
    one, two = np.ones(15, np.float32), np.ones((2, 15), np.float32)
    case(
        function,
        ValueError,
        "bias: expected shape (2, 15), or (15,) with reset_after=False, got",
        bias=one,
    )
    case(function, ValueError, "bias: expected shape (15,), got", bias=two, reset_after=False)
    case(function, TypeError, "reset_after: expected True or False", reset_after=1)
# How layers fit.
for value in (None, KERNEL, (AHEAD,), (AHEAD,) * 3, (AHEAD, None), "lstm", {"a": AHEAD}):
    expected = "layers: expected PackedWeights or a pair (forward, backward) of them, or a list"
    case(rnn, TypeError, expected, layers=value)
case(rnn, ValueError, "layers: expected at least one layer", layers=[])
case(rnn, TypeError, "layers[1]: expected PackedWeights or a pair", layers=[AHEAD, [NEXT]])
case(rnn, TypeError, "layers[0]: expected PackedWeights or a pair", layers=[None, NEXT])
case(rnn, ValueError, "layers[1]: expected weights of 5 features", layers=[AHEAD, WIDE])
case(rnn, ValueError, "layers[1]: expected weights of 10", layers=[(AHEAD, AHEAD), NEXT])
case(rnn, ValueError, "layers: expected weights of 3 features", layers=(AHEAD, NEXT))
case(rnn, ValueError, "x: expected 5 features, as the weights have, got", layers=NEXT)
case(stacked, ValueError, "layers[1]: expected weights of 5 features", merge_mode="sum")
for value in ("sum", "mul", "ave"):
    expected = "merge_mode: expected 'concat' where units differ"
    case(rnn, ValueError, expected, layers=(AHEAD, NARROW), merge_mode=value)
    expected = "merge_mode: expected 'concat' but for layers in two directions, got"
    case(rnn, ValueError, expected, layers=AHEAD, merge_mode=value)
case(rnn, ValueError, "merge_mode: expected 'concat', 'sum', 'mul' or 'ave'", merge_mode="add")
case(rnn, TypeError, "merge_mode: expected 'concat', 'sum', 'mul' or 'ave'", merge_mode=None)
for value in ((AHEAD, AHEAD), [(AHEAD, AHEAD), WIDE]):
    case(rnn, ValueError, "go_backwards: expected False for a", go_backwards=True, layers=value)
    case(step, ValueError, "layers: expected layers in one direction", layers=value)
case(step, TypeError, "layers: expected PackedWeights", layers=None)
# Masks.
for name, width in (("input_mask", 3), ("recurrent_mask", 5), ("candidate_mask", 5)):
    mask = np.ones((2, width), np.float32)
    for value in ((AHEAD, AHEAD), [AHEAD], [AHEAD, NEXT]):
        expected = f"{name}: expected None but for one layer in one direction"
        case(rnn, ValueError, expected, layers=value, **{name: mask})
    if name != "candidate_mask":
        expected = f"{name}: expected None with scheme='per_step', got"
        case(rnn, ValueError, expected, scheme="per_step", **{name: mask})
    rate = {"input_mask": "dropout"}.get(name, name.replace("mask", "dropout"))
    case(rnn, ValueError, f"{rate}: expected 0 where", **{name: mask, rate: 0.5})
for shape in ((2, 1, UNITS), (3, UNITS), (2, UNITS + 1), (UNITS,)):
    mask = np.ones(shape, np.float32)
    case(rnn, ValueError, "candidate_mask: expected shape", candidate_mask=mask)
case(rnn, TypeError, "candidate_mask: expected an array of float32", candidate_mask=mask_5 + 0j)
case(rnn, TypeError, "candidate_mask: expected", candidate_mask=mask_5.astype(float))
case(rnn, ValueError, "candidate_mask: expected finite factors", candidate_mask=mask_5 * NAN)
for function, layers, gates in ((rnn, GRU, 3), (rnn, SIMPLE, 1)):
    mask = np.ones((2, 4, FEATURES), np.float32)
    case(
        function,
        ValueError,
        f"input_mask: expected shape (2, {gates}",
        layers=layers,
        input_mask=mask,
    )
# Embeddings.
for value in (TOKENS.astype(float), TOKENS.astype(bool), None, TOKENS.astype(object)):
    case(embedded, TypeError, "x: expected an array of int8 or", x=value)
case(embedded, ValueError, "x: expected an array of 2 dimensions", x=TOKENS[0])
case(embedded, ValueError, "x: expected indices in [0, 7), got 7", x=TOKENS + 7)
case(embedded, ValueError, "x: expected indices in [0, 7), got -1", x=TOKENS - 1)
case(embedded, TypeError, "embedding: expected an array of float32", embedding=TABLE.astype(int))
case(embedded, ValueError, "embedding: expected an array of 2 dimensions", embedding=TABLE[0])
case(embedded, ValueError, "embedding: expected shape (7, 3), got", embedding=TABLE[:, 1:])
for shape in ((3, FEATURES), (2, FEATURES + 1), (FEATURES,), (2, 1, FEATURES)):
    mask = np.ones(shape, np.float32)
    case(embedded, ValueError, "embedding_mask: expected shape", embedding_mask=mask)
mask = np.ones((2, FEATURES), np.float32)
case(embedded, ValueError, "embedding_mask: expected finite", embedding_mask=mask * np.inf)
case(embedded, TypeError, "embedding_mask: expected an array of float32", embedding_mask=mask > 0)
case(embedded, TypeError, "embedding_mask: expected", embedding_mask=mask.astype(float))
case(rnn, ValueError, "embedding_mask: expected None without", embedding_mask=mask)
case(step, TypeError, "x: expected an array of int8 or", embedding=TABLE)
case(step, ValueError, "x: expected an array of 1 dim", embedding=TABLE, x=TOKENS)
case(step, ValueError, "x: expected an array of 2 dimensions", x=SEQUENCE)
# States.
H2 = np.zeros((2, 2), np.float32)
for value in ((STATE, STATE), ((STATE, STATE),), STATE, "ab"):
    case(rnn, ValueError, "initial_state", layers=(AHEAD, AHEAD), initial_state=value)
case(stacked, ValueError, "initial_state: expected None or the states of 2", initial_state=[None])
case(stacked, ValueError, "initial_state[0]: expected None or the", initial_state=[(STATE,), None])
bad_state = [((STATE, STATE), (STATE, STATE[:1])), None]
case(stacked, ValueError, "initial_state[0][1] c: expected shape", initial_state=bad_state)
case(stacked, ValueError, "initial_state[1] h: expected shape", initial_state=[None, (STATE, H2)])
for function in (gru, simple_rnn):
    case(function, ValueError, "initial_state: expected None or", initial_state=(STATE, STATE))
    case(function, ValueError, "initial_state h: expected shape", initial_state=STATE[:1])
    case(function, TypeError, "initial_state h: expected", initial_state=(STATE.astype(float),))
# Steps.
for value in ([1], [1, 2, 3], [[1, 2]], [-1, 2], [1, 5]):
    case(rnn, ValueError, "lengths: expected", lengths=np.array(value))
for value in (np.array([1.0, 2.0]), np.array([True, True]), "ab"):
    case(rnn, TypeError, "lengths: expected an array of int8 or", lengths=value)
both = {"mask": np.ones((2, 4), bool), "lengths": np.array([4, 4])}
case(rnn, ValueError, "lengths: expected None where mask is given", **both)
for function in (rnn, stacked, step):
    for value in (1.0, None, True, "0"):
        case(function, TypeError, "first_step: expected an integer >= 0", first_step=value)
    case(function, ValueError, "first_step: expected an integer >= 0", first_step=-1)
    case(function, ValueError, "first_step: expected at most", first_step=2**24, zoneout=0.5)
case(stacked, ValueError, "first_step: expected at", first_step=2**24 - 3, between_dropout=0.5)
for offset in (2**40, 2**37):
    case(rnn, ValueError, "row_offset: expected at most", row_offset=offset, zoneout=0.5)
for function, gates in ((lstm, 4), (gru, 3), (simple_rnn, 1)):
    end = 2**63 // (gates * UNITS)
    case(function, ValueError, f"row_offset: expected at most {end - 2}", row_offset=end - 1)
for name in ("return_sequences", "return_state", "go_backwards", "zero_output_for_mask"):
    case(rnn, TypeError, f"{name}: expected True or False, got 1", **{name: 1})
for name in ("mask", "lengths", "initial_state", "go_backwards", "return_state", "merge_mode", "a"):
    case(step, TypeError, f"step() got an unexpected keyword argument '{name}'", **{name: None})
for function in (
    *(bernoulli, *OF_SHAPE_4_6, *SPATIAL, embedding_dropout),
    *(*RECURRENT_CALLS, predict, mc_predict),
):
    for value in (0, -1, 1025, 10**9):
        case(function, ValueError, "threads: expected None or an integer in [1, ", threads=value)
    for value in ("two", 1.0, True):
        case(function, TypeError, "threads: expected None or an integer", threads=value)

# ---- models ----
for function in (predict, mc_predict):
    for value in (TOKENS[0], TOKENS[:, :3], TOKENS[..., np.newaxis], np.zeros((), int)):
        case(function, ValueError, "x: expected shape (batch, 4), got", x=value)
    for value in (TOKENS.astype(complex), None, TOKENS.astype(object), [["a"] * 4]):
        case(function, TypeError, "x: expected an array of float16 or", x=value)
    case(
        function, ValueError, "x: expected indices in [0, 7) for layer 'e', got 0.5", x=TOKENS + 0.5
    )
    case(
        function,
        ValueError,
        "x: expected indices in [0, 7) for layer 'e', got nan",
        x=TOKENS * np.nan,
    )
    case(function, ValueError, "x: expected indices in [0, 7) for layer 'e', got 7", x=TOKENS + 7)
    case(function, ValueError, "x: expected indices in [0, 7) for layer 'e', got -1", x=TOKENS - 1)
for value in (0, -1, 2**32 + 1):
    case(mc_predict, ValueError, "samples: expected an integer in [1, ", samples=value)
case(mc_predict, ValueError, "samples: expected", samples=2, first_sample=2**32 - 1)
for value in (-1, 2**32):
    case(mc_predict, ValueError, "first_sample: expected an integer in [0, ", first_sample=value)
case(mc_predict, TypeError, "samples: expected", samples=10.0)
case(mc_predict, TypeError, "keep_samples: expected", keep_samples=None)


@pytest.mark.parametrize("name", CASES)
def test_refusals(name: str) -> None:
    function, changes, error, message = CASES[name]
    writable = [
        (a, a.copy())
        for a in changes.values()
        if isinstance(a, np.ndarray) and a.dtype != object and not np.ma.isMaskedArray(a)
    ]
    with pytest.raises(error, match=re.escape(message)) as caught:
        function(**changes)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    for array, before in writable:
        assert array.tobytes() == before.tobytes()


def test_step_calls_the_state_by_its_name_there() -> None:
    for state, message in ((STATE, "^state: expected"), ((STATE[:1], STATE), "^state h: expected")):
        with pytest.raises(ValueError, match=message):
            step(state=state)
    with pytest.raises(ValueError, match=r"^state\[0\] h: expected"):
        step(layers=[AHEAD], state=[(STATE[:1], STATE)])


def test_what_may_just_be() -> None:
    """The border of what is refused."""
    rnn(site=2**32 - 16, dropout=0.5)
    stacked(site=2**32 - 32, dropout=0.5)
    rnn(first_step=2**24 - 4, zoneout=0.5)
    rnn(first_step=2**70, dropout=0.5)
    rnn(lengths=np.array([0, 4]))
    rnn(row_offset=2**63 // (2**24 * UNITS) - 2, zoneout=0.5)
    for function, gates in ((lstm, 4), (gru, 3), (simple_rnn, 1)):
        function(row_offset=2**63 // (gates * UNITS) - 2)
        function(row_offset=2**63 // UNITS - 2, scheme="tied")
    rnn(layers=GRU, initial_state=(STATE,))
    lstm(dropout=np.nextafter(1 - 2.0**-33, 0))
    assert bernoulli(shape=(1,) * 64).ndim == 64
    assert bernoulli(shape=(0, 2**60 - 1)).shape == (0, 2**60 - 1)
    assert rnn(x=SEQUENCE[:0], lengths=np.zeros(0, int)).shape == (0, UNITS)
    assert np.array_equal(bernoulli(threads=1024), bernoulli())
    for activation, x, y in (
        (("elu", 2.0**64), -100, -(2.0**64)),
        (("leaky_relu", -(2.0**64)), -1, 2.0**64),
        (("celu", 2.0**-64), -1, -(2.0**-64)),
        (("squareplus", 2.0**-64), 0, 2.0**-33),
        (("threshold", 2.0**64, -(2.0**64)), 1, -(2.0**64)),
        (("relu", 0.0, 10**400), 3, 3),
    ):
        assert fd.activate(np.float64(x), activation) == y


def test_other_types_that_say_the_same() -> None:
    """NumPy's scalars, arrays and lists, for a number, a flag, a shape, a pair."""
    expected = bernoulli()
    for shape in (np.array([4, 6]), [np.int8(4), 6]):
        assert np.array_equal(bernoulli(shape=shape), expected)
    assert np.array_equal(bernoulli(shape=np.int64(24)), expected.reshape(-1))
    rows = dropout(noise_shape=(4, 1))
    assert np.array_equal(dropout(noise_shape=np.array([4, 1])), rows)
    ahead = rnn(return_sequences=True, go_backwards=False)
    assert np.array_equal(rnn(return_sequences=np.True_, go_backwards=np.False_), ahead)
    assert pack_gru(reset_after=np.True_).reset_after is True
    pair, rates = (0.2, 0.5), [np.float32(0.2), 0.5]
    assert np.array_equal(rnn(zoneout=rates), rnn(zoneout=(float(np.float32(0.2)), 0.5)))
    assert not np.array_equal(rnn(zoneout=pair), rnn(zoneout=pair[::-1]))
    state = np.full((2, UNITS), 0.5, np.float32)
    listed = stacked(initial_state=[[[state, state], [state, state]], None])
    assert np.array_equal(listed, stacked(initial_state=(((state, state),) * 2, None)))
    layers = model().layers
    assert np.array_equal(Model(tuple(layers), (4,)).predict(TOKENS), predict())


def test_a_file_in_memory_is_an_array(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 6))
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(4, 6))
    x[:] = X
    assert dropout(x=x, out=out) is out
    assert np.array_equal(out, dropout())
    assert np.array_equal(dense(x=x), dense())


@pytest.mark.parametrize(
    "view",
    [
        lambda base: base[:, ::2][np.newaxis],  # the stride of an axis of length 1 says nothing
        lambda base: np.lib.stride_tricks.as_strided(base, (1, 4, 6), (0, 48, 8)),
        lambda base: np.lib.stride_tricks.as_strided(base, (4, 1, 6), (48, 4, 8)),
        lambda base: np.lib.stride_tricks.as_strided(base, (4, 6), (24, 4)),  # touching, not more
        lambda base: base[::-1, ::-2],
        lambda base: base.T[::2],
        lambda base: np.lib.stride_tricks.as_strided(base, (0, 4, 6), (0, 0, 0)),
    ],
)
def test_an_out_whose_elements_are_apart(view: Callable[[np.ndarray], np.ndarray]) -> None:
    out = view(np.zeros((4, 12), np.float32))
    for mask in (fd.bernoulli(0.5, out.shape, rng=0, dtype="float32", out=out), out):
        assert np.array_equal(mask, fd.bernoulli(0.5, out.shape, rng=0).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        ((4, 6), (20, 4)),  # a row begins in the last element of the one before
        ((4, 6), (4, 12)),
        ((4, 6), (-20, 4)),
        ((2, 3, 4), (44, 16, 4)),
        ((4, 6), (24, 0)),
        ((4, 6), (48, 3)),
        ((24,), (2,)),
    ],
)
def test_an_out_whose_elements_share_memory(
    shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    base = np.zeros(100, np.float32)
    out = np.lib.stride_tricks.as_strided(base[40:], shape, strides)
    with pytest.raises(ValueError, match=r"out: expected .* got one whose elements may share"):
        fd.bernoulli(0.5, shape, rng=0, dtype="float32", out=out)
    assert not base.any()


def test_every_public_function_is_in_the_table() -> None:
    covered = {function.__name__ for function, *_ in CASES.values()}
    public = {name for name in fd.__all__ if callable(getattr(fd, name)) and name[0].islower()}
    # load has a file of tests of its own; info takes no argument.
    assert public - {"load", "info"} <= covered


@pytest.mark.parametrize("seed", [-1, -(2**70)])
def test_negative_seeds(seed: int) -> None:
    with pytest.raises(ValueError, match="seed: expected an integer >= 0"):
        fd.Key(seed)


@pytest.mark.parametrize("seed", [None, 1.0, "1", True, [1]])
def test_seeds_of_other_types(seed: Any) -> None:
    with pytest.raises(TypeError, match="seed: expected an integer >= 0"):
        fd.Key(seed)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("k0", (-1, 0)),
        ("k0", (2**32, 0)),
        ("k1", (0, -1)),
        ("k1", (0, 2**32)),
        ("base", (0, 0, -1)),
        ("base", (0, 0, 2**64)),
    ],
)
def test_words_out_of_range(name: str, words: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected an integer in"):
        fd.Key.from_words(*words)


@pytest.mark.parametrize(
    ("data", "error"), [(-1, ValueError), (2**56, ValueError), (1.0, TypeError), (b"x", TypeError)]
)
def test_fold_in(data: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="data: expected"):
        fd.Key(0).fold_in(data)


@pytest.mark.parametrize("q", [-0.1, 1.1, NAN, [0.5, 2]])
def test_quantiles_out_of_range(q: Any) -> None:
    with pytest.raises(ValueError, match=r"q: expected probabilities in \[0, 1\]"):
        mc_predict().quantile(q)


@pytest.mark.parametrize("q", ["0.5", b"0.5", True, 0.5j, None, {}, np.ma.masked_array([0.5], [1])])
def test_quantiles_of_other_types(q: Any) -> None:
    with pytest.raises(TypeError, match="q: expected an array of"):
        mc_predict().quantile(q)


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


EMBEDDING = {"name": "n", "table": weights(7, 3)}
DENSE = {"name": "n", "kernel": weights(3, 2), "bias": weights(2)}
LSTM_FIELDS = {"name": "n", "kernel": KERNEL, "recurrent_kernel": RECURRENT, "bias": BIAS}
LAYERS: list[tuple[type, dict[str, Any], type[Exception], str]] = [
    (Embedding, EMBEDDING | {"table": weights(7)}, ValueError, "table: expected an array of 2"),
    (Embedding, EMBEDDING | {"table": np.ones((7, 3))}, TypeError, "table: expected an array of"),
    (Embedding, EMBEDDING | {"table": None}, TypeError, "table: expected an array of float32"),
    (Embedding, EMBEDDING | {"mask_zero": "no"}, TypeError, "mask_zero: expected True or False"),
    (Dense, DENSE | {"kernel": [[1, 2]]}, TypeError, "kernel: expected an array of float32"),
    (Dense, DENSE | {"kernel": weights(3)}, ValueError, "kernel: expected an array of 2"),
    (Dense, DENSE | {"kernel": Declared((3,))}, ValueError, r"kernel: expected shape \('any', 'a"),
    (Dense, DENSE | {"bias": Declared((2, 1))}, ValueError, r"bias: expected shape \(2,\), got "),
    (Dense, DENSE | {"bias": weights(3)}, ValueError, r"bias: expected shape \(2,\)"),
    (Dense, DENSE | {"activation": "sofmax"}, ValueError, "activation: expected one of 32 names"),
    (
        Activation,
        {"name": "n", "activation": "no"},
        ValueError,
        "activation: expected one of 32 names",
    ),
    (Dropout, {"name": "n", "rate": "0.5"}, TypeError, "rate: expected a number"),
    (Dropout, {"name": "n", "rate": 0.5, "noise_shape": 5}, TypeError, "noise_shape: expected a"),
    (Dropout, {"name": "n", "rate": 0.5, "noise_shape": ()}, ValueError, "noise_shape: expected"),
    (LSTM, LSTM_FIELDS | {"recurrent_kernel": None}, TypeError, "recurrent_kernel: expected an"),
    (LSTM, LSTM_FIELDS | {"kernel": weights(3, 19)}, ValueError, "kernel: expected shape"),
    (LSTM, LSTM_FIELDS | {"recurrent_kernel": weights(4, 20)}, ValueError, "recurrent_kernel: ex"),
    (LSTM, LSTM_FIELDS | {"bias": weights(19)}, ValueError, "bias: expected shape"),
    (
        LSTM,
        LSTM_FIELDS | {"activation": "softmin"},
        ValueError,
        "activation: expected one of 32 names",
    ),
    (LSTM, LSTM_FIELDS | {"scheme": "both"}, ValueError, "scheme: expected 'per_gate'"),
    (LSTM, LSTM_FIELDS | {"return_sequences": 1}, TypeError, "return_sequences: expected True"),
]


@pytest.mark.parametrize(
    ("kind", "fields", "error", "message"),
    LAYERS,
    ids=[f"{kind.__name__}-{n}" for n, (kind, *_) in enumerate(LAYERS)],
)
def test_layers_refuse(
    kind: type, fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^layer 'n' {message}"):
        kind(**fields)


def test_weights_are_prepared_once() -> None:
    given = np.asfortranarray(np.random.default_rng(0).normal(size=(3, 2)).astype(">f4"))
    kernel = Dense(name="n", kernel=given).kernel
    assert kernel.flags.c_contiguous
    assert kernel.dtype == np.dtype("float32")
    assert np.array_equal(kernel, given)
    plain = weights(3, 2)
    plain.flags.writeable = False
    assert np.shares_memory(Dense(name="n", kernel=plain).kernel, plain)


@pytest.mark.parametrize(
    ("layers", "input_shape", "error", "message"),
    [
        (Dense(**DENSE), (3,), TypeError, "layers: expected a list or tuple"),
        ("abc", (3,), TypeError, "layers: expected a list or tuple"),
        ([1], (3,), TypeError, r"layers\[0\]: expected a layer"),
        ([Dense(**DENSE)], 3, TypeError, "input_shape: expected a sequence"),
        ([Dense(**DENSE)], None, TypeError, "input_shape: expected a sequence"),
        ([Dense(**DENSE)], (3.5,), TypeError, "input_shape: expected an integer"),
        ([Dense(**DENSE)], (-3,), ValueError, "input_shape: expected an integer"),
        ([Dense(**DENSE)], (4,), ValueError, "layer 'n': expected an input of shape"),
        ([LSTM(**LSTM_FIELDS)], (5, 4, 3), ValueError, "layer 'n': expected an input of shape"),
        (
            [Dropout(name="n", rate=0.5, noise_shape=(None, 7))],
            (4,),
            ValueError,
            "layer 'n': expected an input of shape",
        ),
    ],
)
def test_models_refuse(layers: Any, input_shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Model(layers, input_shape)


def test_numbers_beyond_float32_are_refused() -> None:
    dense = Model([Dense(**DENSE)], (3,))
    assert np.isinf(dense.predict([[np.inf, 0, 0]])).all()
    with np.errstate(all="raise"):  # a caller's own
        assert np.array_equal(dense.predict([[1e-300, 0, 0]]), dense.predict([[0, 0, 0]]))
    with pytest.raises(ValueError, match="x: expected numbers within the range of float32"):
        dense.predict([[1e300, 0, 0]])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
def test_whole_numbers_that_float32_does_not_hold(dtype: str) -> None:
    """What indexes a table is not rounded; floating-point numbers are."""
    model = fd.Model([fd.layers.Identity(name="same")], (2,))
    held = np.array([[2**24, 2**24 + 2]], dtype)
    np.testing.assert_array_equal(model.predict(held), held)
    lost = held + 1
    expected = f"x: expected whole numbers that float32 holds .* got {dtype} array"
    with pytest.raises(ValueError, match=expected):
        model.predict(lost)
    np.testing.assert_array_equal(model.predict(lost.astype(float)), lost.astype(np.float32))


def whole(dtype: str, *shape: int | None) -> Model:
    drop = Dropout(name="drop", rate=0.5)
    return Model([drop], shape or (2,), input_dtypes={"input": dtype})


OF_TYPE = [
    ("int32", [1.5, 0], "whole numbers that int32 holds", "1.5"),
    ("int32", [np.nan, 0], "whole numbers that int32 holds", "nan"),
    ("int32", [2.0**31, 0], "whole numbers that int32 holds", "2147483648.0"),
    ("int64", [np.inf, 0], "whole numbers that int64 holds", "inf"),
    ("int64", [2.0**63, 0], "whole numbers that int64 holds", "9.22337"),
    ("uint8", [0, 256], "whole numbers that uint8 holds", "256"),
    ("uint8", [0, -1], "whole numbers that uint8 holds", "-1"),
    ("int8", np.array([200, 0], np.uint8), "whole numbers that int8 holds", "200"),
    ("uint64", np.array([-1, 0], np.int8), "whole numbers that uint64 holds", "-1"),
    ("bool", [0.5, 0], "0 or 1", "0.5"),
    ("bool", [2, 0], "0 or 1", "2"),
]


@pytest.mark.parametrize(("dtype", "row", "expected", "got"), OF_TYPE)
def test_inputs_of_a_type_refuse_what_it_does_not_hold(
    dtype: str, row: Any, expected: str, got: str
) -> None:
    """Keras casts what it is given, and so loses fractions; nothing is drawn before."""
    model = whole(dtype)
    message = f"x: expected {expected}, for the input 'input' is of {dtype}, got {got}"
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    for call in (
        lambda: model.predict([row]),
        lambda: model.mc_predict([row], 3, rng=rng),
        lambda: fd.Ensemble([model, model]).mc_predict([row], 3, rng=rng),
        lambda: model.with_rates({"drop": 0.1}).predict([row]),
        lambda: pickle.loads(pickle.dumps(model)).predict([row]),
        lambda: whole(dtype, None, 2).stream(rng=0).step([row]),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()
    assert rng.bit_generator.state == before


def test_inputs_of_a_type_take_what_it_holds() -> None:
    for dtype, row in (("int32", [1.0, -2.0]), ("uint8", [255, 0]), ("bool", [True, False])):
        for given in (np.array([row], float), np.array([row], np.float16), np.array([row])):
            np.testing.assert_array_equal(whole(dtype).predict(given), given)
    assert whole("int32").predict(np.empty((0, 2))).shape == (0, 2)
    assert whole("uint8").input_dtypes == {"input": "uint8"}
    beyond = np.array([[2.0**24 + 1, 0]])
    with pytest.raises(
        ValueError, match=r"x: expected whole numbers that float32 holds \(.*\), got"
    ):
        whole("int32").predict(beyond)


def round_of(y: np.ndarray) -> np.ndarray:
    return np.round(y)


def test_paths_of_whole_numbers() -> None:
    same = whole("int32", 3, 2)
    with pytest.raises(ValueError, match="x: expected whole numbers that int32 holds"):
        same.rollout(np.full((1, 3, 2), 0.5), 2, samples=3, rng=0)
    x = np.full((1, 3, 2), 3)  # what is kept is 6
    thirds = same.with_rates({"drop": 1 / 3})  # 4.5
    with pytest.raises(ValueError, match=r"feedback: expected whole numbers .*, got 4\.5"):
        thirds.rollout(x, 2, samples=3, rng=0)
    assert same.rollout(x, 2, samples=3, rng=0).mean.shape == (1, 2, 2)
    assert thirds.rollout(x, 2, samples=3, feedback=round_of, rng=0).mean.shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("int32", TypeError, r"input_dtypes: expected a dict of types of some inputs \(input\)"),
        ({"x": "int32"}, TypeError, "input_dtypes: expected a dict of types of some inputs"),
        ({"input": "float32"}, ValueError, r"input_dtypes\['input'\]: expected 'int8', "),
        ({"input": np.int32}, TypeError, r"input_dtypes\['input'\]: expected 'int8', "),
    ],
)
def test_types_of_inputs_that_are_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Model([Dropout(name="drop", rate=0.5)], (2,), input_dtypes=given)


def test_models_that_do_not_fit() -> None:
    wide = Dense(name="wide", kernel=np.ones((9, 2), np.float32))
    with pytest.raises(ValueError, match="layer 'wide': expected an input"):
        Model([wide], (4,))
    with pytest.raises(ValueError, match="layers: expected at least one"):
        Model([], (4,))
    late = Embedding(name="late", table=np.ones((3, 2), np.float32))
    model = Model([Activation(name="a", activation="relu"), late], (4,))
    assert model.predict([[0, 1, 2, -1]]).shape == (1, 4, 2)
    with pytest.raises(ValueError, match=r"layer 'late' input: expected indices in .*, got 0\.5"):
        model.predict([[0, 1, 2, 0.5]])
    with pytest.raises(ValueError, match="layer 'd' rate: expected"):
        Dropout(name="d", rate=1.5)
    with pytest.raises(TypeError, match="name: expected a str, got 3"):
        Dropout(name=3, rate=0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layer 'd' noise_shape: expected a shape whose first"):
        Dropout(name="d", rate=0.5, noise_shape=(32, 1))
    with pytest.raises(ValueError, match="layer 'l' recurrent_dropout: expected"):
        LSTM(name="l", kernel=KERNEL, recurrent_kernel=RECURRENT, recurrent_dropout=1.0)


@pytest.mark.parametrize("messages", ["one message", None, 3, [b"bytes"], ["a", None]])
def test_encode(messages: Any) -> None:
    with pytest.raises(TypeError, match="messages"):
        encode(messages)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.51, 0.9, "spam"), (0.1, 0.49, "ham"), (0.4, 0.6, "unsure"), (0.5, 0.5, "unsure")],
)
def test_verdicts(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected

"""Functional models, operations where layers are expected, and policies."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import (
    MASK,
    SOME,
    X2,
    X3,
    X4,
    XM,
    L,
    add,
    floats,
    padded,
    padded_tokens,
    tokens,
)

X3B = floats(2, 5, 3, tag=1)
P3, P3B = floats(2, 5, 3, positive=True), floats(2, 5, 3, tag=1, positive=True)


# Operations. -------------------------------------------------------------------------------------


def dense(keras: Any, x: Any, units: int = 3) -> Any:
    return keras.layers.Dense(units)(x)


def apply(keras: Any, *tensors: Any, f: Callable[..., Any]) -> Any:
    return f(*tensors)


def apply_between(keras: Any, *tensors: Any, f: Callable[..., Any]) -> Any:
    """Apply it to what layers computed, and go on with a layer."""
    result = f(*[dense(keras, x) for x in tensors])
    return keras.layers.Dense(2)(result)


ARITHMETIC = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
}
for name, f in ARITHMETIC.items():
    add(f"op-{name}", [P3, P3B], functools.partial(apply, f=f), both=True)
    add(f"op-{name}-layers", [X3, X3B], functools.partial(apply_between, f=f))
    add(
        f"op-{name}-constant",
        [P3],
        functools.partial(apply, f=functools.partial(lambda x, f: f(x, 1.5), f=f)),
        both=True,
    )
    add(
        f"op-constant-{name}",
        [P3],
        functools.partial(apply, f=functools.partial(lambda x, f: f(2.5, x), f=f)),
        both=True,
    )
    add(
        f"op-{name}-integer",
        [P3],
        functools.partial(apply, f=functools.partial(lambda x, f: f(x, 3), f=f)),
    )
    add(
        f"op-{name}-broadcast",
        [P3, floats(2, 1, 3, tag=1, positive=True)],
        functools.partial(apply, f=f),
    )
    add(
        f"op-{name}-array",
        [P3],
        functools.partial(
            apply,
            f=functools.partial(lambda x, f: f(x, np.array([0.5, -1.0, 2.0], "float32")), f=f),
        ),
    )
    add(
        f"op-{name}-itself",
        [P3],
        functools.partial(apply, f=functools.partial(lambda x, f: f(x, f(x, x)), f=f)),
    )
add("op-pow", [P3, P3B], functools.partial(apply, f=operator.pow))
add("op-pow-2", [X3], functools.partial(apply, f=lambda x: x**2), both=True)
add("op-pow-half", [P3], functools.partial(apply, f=lambda x: x**0.5))
add("op-pow-minus-1", [P3], functools.partial(apply, f=lambda x: x**-1.0))
add("op-constant-pow", [X3], functools.partial(apply, f=lambda x: 2.0**x))
add("op-negative", [X3], functools.partial(apply, f=operator.neg), both=True)
add("op-abs", [X3], functools.partial(apply, f=abs))
add("op-chain", [X3, X3B], functools.partial(apply, f=lambda x, y: (x - y) * 0.5 + x * y))
add(
    "op-one-minus",
    [X3],
    functools.partial(apply_between, f=lambda x: (1.0 - x) * (1.0 - x)),
    both=True,
)

SLICES: dict[str, Any] = {
    "last": lambda x: x[:, -1],
    "last-all": lambda x: x[:, -1, :],
    "first": lambda x: x[:, 0],
    "range": lambda x: x[:, 1:3],
    "range-steps": lambda x: x[:, 1:4, ::2],
    "tail": lambda x: x[:, -2:],
    "head": lambda x: x[:, :-1, :],
    "feature": lambda x: x[:, :, 1],
    "feature-kept": lambda x: x[:, :, 1:2],
    "ellipsis": lambda x: x[..., 0],
    "ellipsis-none": lambda x: x[..., None],
    "none": lambda x: x[:, None],
    "none-middle": lambda x: x[:, :, None, :],
    "all": lambda x: x[:],
    "reverse": lambda x: x[:, ::-1],
}
for name, f in SLICES.items():
    add(
        f"op-slice-{name}",
        [X3],
        functools.partial(apply, f=f),
        both=name in ("last", "range-steps", "ellipsis-none"),
        only="2" if name == "all" else "",
    )


def lstm_last_step(keras: Any, x: Any) -> Any:
    h = keras.layers.LSTM(4, return_sequences=True)(x)
    return keras.layers.Dense(2)(h[:, -1, :])


add("op-slice-lstm", X3, lstm_last_step, both=True)


def ops3(name: str, *args: Any, count: int = 1, listed: bool = False, **kwargs: Any) -> Any:
    def build(keras: Any, *tensors: Any) -> Any:
        function = getattr(keras.ops, name)
        return (
            function(list(tensors) if listed else tensors[0], *args, **kwargs)
            if (count == 1 or listed)
            else function(*tensors, *args, **kwargs)
        )

    return build


def einsum3(equation: str) -> Any:
    return lambda keras, *tensors: keras.ops.einsum(equation, *tensors)


REDUCTIONS: dict[str, dict[str, Any]] = {
    "axis-1": {"axis": 1},
    "axis--1": {"axis": -1},
    "axes": {"axis": [1, 2]},
    "keepdims": {"axis": 1, "keepdims": True},
    "axes-keepdims": {"axis": (1, 2), "keepdims": True},
}
for name in ("mean", "sum", "max", "min"):
    for kind, options in REDUCTIONS.items():
        add(
            f"ops-{name}-{kind}",
            X3,
            ops3(name, **options),
            only="3",
            both=kind in ("axis-1", "axes"),
        )
for name in (
    "exp",
    "square",
    "abs",
    "absolute",
    "negative",
    "tanh",
    "sigmoid",
    "relu",
    "softmax",
    "silu",
    "gelu",
    "softplus",
    "elu",
    "selu",
    "softsign",
    "log_sigmoid",
    "leaky_relu",
    "hard_sigmoid",
    "relu6",
    "log_softmax",
    "sin",
    "cos",
):
    add(f"ops-{name}", X3, ops3(name), only="3")
for name in ("log", "sqrt", "rsqrt", "log1p", "reciprocal"):
    add(f"ops-{name}", P3, ops3(name), only="3")
add("ops-softmax-axis-1", X3, ops3("softmax", axis=1), only="3")
add("ops-leaky_relu-slope", X3, ops3("leaky_relu", negative_slope=0.1), only="3")
add("ops-reshape", X3, ops3("reshape", (-1, 15)), only="3", both=True)
add("ops-reshape-3d", X3, ops3("reshape", (-1, 3, 5)), only="3")
add("ops-reshape-unknown", X3, ops3("reshape", (2, -1, 1)), only="3", fixed_batch=True)
add("ops-transpose", X3, ops3("transpose", (0, 2, 1)), only="3", both=True)
add("ops-transpose-axes", X4, ops3("transpose", axes=[0, 3, 1, 2]), only="3")
add("ops-swapaxes", X3, ops3("swapaxes", 1, 2), only="3")
add("ops-squeeze", floats(2, 1, 3), ops3("squeeze", axis=1), only="3", both=True)
add("ops-squeeze--1", floats(2, 3, 1), ops3("squeeze", -1), only="3")
add("ops-flip", X3, ops3("flip", axis=1), only="3", both=True)
add("ops-flip--1", X3, ops3("flip", -1), only="3")
add("ops-flip-both", X4, ops3("flip", axis=(1, -1)), only="3")
add("ops-expand_dims", X3, ops3("expand_dims", axis=1), only="3", both=True)
add("ops-expand_dims--1", X2, ops3("expand_dims", -1), only="3")
add("ops-concatenate", [X3, X3B], ops3("concatenate", listed=True, axis=-1), only="3", both=True)
add("ops-concatenate-1", [X3, X3B], ops3("concatenate", listed=True, axis=1), only="3")
add("ops-stack", [X2, floats(3, 4, tag=1)], ops3("stack", listed=True, axis=1), only="3", both=True)
add("ops-stack--1", [X3, X3B], ops3("stack", listed=True, axis=-1), only="3")
add("ops-matmul", [X3, floats(2, 3, 4)], ops3("matmul", count=2), only="3", both=True)
add("ops-cast", tokens(3, 4, of=9), ops3("cast", "float32"), only="3")
add("ops-cast-between", X3, ops3("cast", dtype="float32"), only="3")
for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power"):
    add(f"ops-{name}", [P3, P3B], ops3(name, count=2), only="3")
    add(f"ops-{name}-constant", [P3], ops3(name, 0.75, count=2), only="3")
add("ops-clip", X3, ops3("clip", -0.5, 0.5), only="3")
add(
    "ops-dot",
    [X3, floats(2, 3)],
    lambda keras, x, y: keras.ops.matmul(x, keras.ops.expand_dims(y, -1)),
    only="3",
)


# All that have an axis, in each of the ways in which it can be given.
for name in ("var", "std", "logsumexp"):
    for kind in ("axis-1", "axes-keepdims"):
        add(f"ops-{name}-{kind}", X3, ops3(name, **REDUCTIONS[kind]), only="3")
for name in ("argmax", "argmin"):
    add(f"ops-{name}", X3, ops3(name, axis=1), only="3")
    add(f"ops-{name}-keepdims", X3, ops3(name, axis=-1, keepdims=True), only="3")
for name in ("cumsum", "cumprod"):
    add(f"ops-{name}", X3, ops3(name, axis=1), only="3")
for name in ("tan", "arctan", "sinh", "cosh", "arcsinh", "isnan"):
    add(f"ops-{name}", X3, ops3(name), only="3")
for name in ("arcsin", "arccos", "arctanh"):
    add(f"ops-{name}", X3 / 10, ops3(name), only="3")
add("ops-arccosh", 1 + P3, ops3("arccosh"), only="3")
add("ops-arctan2", [X3, X3B], ops3("arctan2", count=2), only="3")
add("ops-moveaxis", X4, ops3("moveaxis", 1, -1), only="3")
add("ops-moveaxis-two", X4, ops3("moveaxis", [1, 2], [3, 1]), only="3")
add("ops-pad", X3, ops3("pad", [[0, 0], [2, 1], [0, 3]]), only="3", both=True)
add("ops-pad-value", X3, ops3("pad", [(0, 0), (0, 1), (1, 0)], constant_values=2.5), only="3")
add("ops-repeat", X3, ops3("repeat", 3, axis=1), only="3")
add("ops-tile", X3, ops3("tile", [1, 1, 2]), only="3", both=True)
add("ops-tile-shorter", X3, ops3("tile", [2, 1]), only="3")
add("ops-tile-once", X3, ops3("tile", [1, 1, 1]), only="3")
add("ops-split", X4, ops3("split", 2, axis=2), only="3", both=True)
add("ops-split-at", X3, ops3("split", [1, 3], axis=1), only="3")
add("ops-unstack", X3, ops3("unstack", axis=-1), only="3")
add("ops-unstack-num", X3, ops3("unstack", 5, axis=1), only="3")
EINSUMS: dict[str, tuple[str, list[Any]]] = {
    "matmul": ("bij,bjk->bik", [X3, floats(2, 3, 4)]),
    "scores": ("bqd,bkd->bqk", [X3, X3B]),
    "heads": ("bqhd,bkhd->bhqk", [floats(2, 4, 2, 3), floats(2, 5, 2, 3, tag=1)]),
    "weighted": ("bt,btd->bd", [floats(2, 5), X3]),
    "outer": ("bi,bj->bij", [X2, floats(3, 2, tag=1)]),
    "one": ("btd->bd", [X3]),
    "transposed": ("btd->bdt", [X3]),
    "three": ("bi,bij,bj->bi", [floats(2, 5), X3, floats(2, 3, tag=1)]),
    "ellipsis": ("...ij,...jk->...ik", [X3, floats(2, 3, 4)]),
    "summed-alone": ("bij,bk->bk", [X3, floats(2, 4)]),
}
for name, (equation, arrays) in EINSUMS.items():
    add(f"ops-einsum-{name}", arrays, einsum3(equation), only="3", both=name == "heads")


for name in ("log2", "log10", "exp2"):
    add(f"ops-{name}", P3, ops3(name), only="3")
add(
    "ops-divide_no_nan", [X3, np.round(X3)], lambda keras, *t: keras.ops.divide_no_nan(*t), only="3"
)
GAMMA, BETA = np.array([1.5, -0.5, 2.0], np.float32), np.array([0.25, 1.0, -1.0], np.float32)
TWICE = np.arange(15, dtype=np.float32).reshape(5, 3) / 8
for name, options in {
    "": {},
    "-both": {"gamma": GAMMA, "beta": BETA},
    "-gamma": {"gamma": GAMMA, "epsilon": 0.5},
    "-beta": {"beta": BETA, "axis": 2},
    "-steps": {"gamma": TWICE[:, 0], "beta": TWICE[:, 1], "axis": 1},
    "-two": {"gamma": TWICE, "beta": TWICE / 2, "axis": [1, 2], "epsilon": 0.25},
    "-two-back": {"gamma": TWICE, "axis": [-1, -2]},
    "-rms": {"gamma": GAMMA, "rms_scaling": True},
    "-rms-alone": {"rms_scaling": True},
}.items():
    old = ("3.0", "3.8")
    add(
        f"ops-layer_normalization{name}",
        X3,
        ops3("layer_normalization", **options),
        only="3",
        skip=old,
    )
add("ops-logaddexp", [X3, P3], lambda keras, *t: keras.ops.logaddexp(*t), only="3")
add("ops-hypot", [X3, P3], lambda keras, *t: keras.ops.hypot(*t), only="3")
add("ops-norm", X3, ops3("norm", axis=-1), only="3", both=True)
add("ops-norm-keepdims", X3, ops3("norm", axis=1, ord=2, keepdims=True), only="3")
add("ops-norm-matrix", X3, ops3("norm", axis=(1, 2)), only="3")
add("ops-norm-frobenius", X3, ops3("norm", ord="fro", axis=(1, 2)), only="3")
add("ops-normalize", X3, ops3("normalize"), only="3")
add("ops-normalize-axis", X3, ops3("normalize", axis=1, order=2), only="3", both=True)
add("ops-roll", X3, ops3("roll", 2, axis=1), only="3")
add("ops-roll-back", X3, ops3("roll", -1, axis=-1), only="3")
add("ops-take", X3, ops3("take", [2, 0, 2], axis=-1), only="3", both=True)
add("ops-take-one", X3, ops3("take", -1, axis=1), only="3")
add("ops-take-one-behind", X4, ops3("take", 1, axis=-2), only="3")
add("ops-one_hot", tokens(4, 5, of=6), ops3("one_hot", 6), only="3", both=True)
add("ops-count_nonzero", np.round(X3), ops3("count_nonzero", axis=1), only="3")
add("ops-isfinite", np.where(X3 > 0.5, np.inf, X3), ops3("isfinite"), only="3")
add("ops-isinf", np.where(X3 < -0.5, -np.inf, X3), ops3("isinf"), only="3")


for name in ("squareplus", "soft_shrink", "hard_shrink", "sparse_plus", "sparse_sigmoid"):
    add(f"ops-{name}", X3, ops3(name), only="3")
add("ops-soft_shrink-threshold", X3, ops3("soft_shrink", threshold=0.25), only="3")
add("ops-squareplus-b", X3, ops3("squareplus", b=1), only="3")
add("ops-threshold", X3, ops3("threshold", 0.25, -1.5), only="3")
add("ops-average", X3, ops3("average", axis=1), only="3", both=True)
X4H, X4K = floats(2, 2, 5, 3), floats(2, 2, 3, 4)
ONE = np.array([[3, 1, 4, 1], [2, 7, 1, 8]], np.float32)  # some are equal
GAPS = np.where(X3 > 1, np.nan, np.where(X3 < -1, np.inf, np.where(X3 == 0.5, -np.inf, X3)))
add("ops-sort", X3, ops3("sort", axis=1), only="3", both=True)
add("ops-sort--1", X3, ops3("sort"), only="3")
add("ops-argsort", ONE, ops3("argsort"), only="3")
add("ops-argsort-1", X3, ops3("argsort", axis=1), only="3")
add("ops-top_k", ONE, ops3("top_k", 3), only="3", both=True)
add("ops-top_k-values", X3, lambda keras, x: keras.ops.top_k(x, k=2)[0], only="3")
add("ops-top_k-places", X3, lambda keras, x: keras.ops.top_k(x, k=1)[1], only="3")
for kind in ("axis-1", "axes", "keepdims"):
    add(f"ops-median-{kind}", X4, ops3("median", **REDUCTIONS[kind]), only="3")
add("ops-diff", X3, ops3("diff"), only="3")
add("ops-diff-twice", X3, ops3("diff", n=2, axis=1), only="3", both=True)
add("ops-full_like", X3, ops3("full_like", 0.5), only="3", both=True, constant=True)
add("ops-full_like-array", X3, ops3("full_like", [1.0, -2.0, 0.5]), only="3")
add("ops-nan_to_num", GAPS, ops3("nan_to_num", posinf=9.0, neginf=-3.5), only="3")
add("ops-nan_to_num-value", GAPS, ops3("nan_to_num", nan=2, posinf=5.0, neginf=0.5), only="3")
add("ops-glu", X4H[..., :2], ops3("glu"), only="3")
add("ops-glu-axis", X4H, ops3("glu", axis=1), only="3", both=True)
for axis, numbers in ((1, [1.0, 2, 0, 0.5, 4]), (-1, [0.25, 2.0, -0.5])):
    add(
        f"ops-average-weights-{axis}",
        X3,
        ops3("average", axis=axis, weights=np.array(numbers, np.float32)),
        only="3",
    )
add("ops-matmul-heads", [X4H, X4K], ops3("matmul", count=2), only="3", both=True)
add("ops-matmul-broadcast", [X4H, X4K[:, :1]], ops3("matmul", count=2), only="3")
add("ops-expand_dims-two", X3, ops3("expand_dims", (1, 3)), only="3")


def gated_by_hand(keras: Any, x: Any) -> Any:
    """A gated unit, as many write it."""
    layers = keras.layers
    h = layers.GRU(6, return_sequences=True)(x)
    value, gate = keras.ops.split(layers.Dense(8)(h), 2, axis=-1)
    return layers.LSTM(3)(value * keras.ops.sigmoid(gate))


def heads_by_hand(keras: Any, x: Any) -> Any:
    """Attention of several heads, as many write it."""
    layers, ops = keras.layers, keras.ops
    h = layers.GRU(6, return_sequences=True)(x)
    q, k, v = (
        ops.transpose(layers.Reshape((5, 2, 3))(layers.Dense(6)(h)), (0, 2, 1, 3)) for _ in range(3)
    )
    scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / 1.75
    found = ops.transpose(ops.matmul(ops.softmax(scores, axis=-1), v), (0, 2, 1, 3))
    return layers.LSTM(3)(layers.Reshape((5, 6))(found))


add("heads-by-hand", X3, heads_by_hand, only="3", both=True)
add("gated-by-hand", X3, gated_by_hand, only="3", both=True)


def attention_by_hand(keras: Any, x: Any) -> Any:
    """Weights over the time steps, as many write it."""
    layers = keras.layers
    h = layers.LSTM(4, return_sequences=True)(x)
    weights = layers.Softmax(axis=1)(layers.Dense(1, activation="tanh")(h))
    return layers.Dense(2)(keras.ops.sum(h * weights, axis=1))


def attention_repeated(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    a = layers.Dense(1, activation="tanh")(h)
    a = layers.Activation("softmax")(layers.Flatten()(a))
    a = layers.Permute([2, 1])(layers.RepeatVector(6)(a))
    h = layers.Multiply()([h, a])
    return layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(h))


add("attention-by-hand", X3, attention_by_hand, only="3", both=True)
add("attention-repeated", X3, attention_repeated, both=True)
for name in ("relu", "sigmoid", "tanh", "softmax", "gelu", "elu", "selu", "softplus"):
    add(
        f"function-{name}",
        X3,
        functools.partial(lambda keras, x, name: getattr(keras.activations, name)(x), name=name),
        both=name in ("relu", "sigmoid"),
    )
add(
    "function-relu-options",
    3 * X3,
    lambda keras, x: keras.activations.relu(x, max_value=2.0, threshold=0.5),
)
add("function-gelu-approximate", X3, lambda keras, x: keras.activations.gelu(x, approximate=True))
add("function-softmax-axis", X3, lambda keras, x: keras.activations.softmax(x, axis=1))
add("function-leaky_relu", X3, lambda keras, x: keras.activations.leaky_relu(x, 0.1), only="3")


def tf2(path: str, *args: Any, listed: bool = False, **kwargs: Any) -> Any:
    def build(keras: Any, *tensors: Any) -> Any:
        import tensorflow as tf

        function: Any = tf
        for part in path.split("."):
            function = getattr(function, part)
        return (
            function(list(tensors), *args, **kwargs)
            if listed
            else (function(*tensors, *args, **kwargs))
        )

    return build


def backend2(name: str, *args: Any, listed: bool = False, **kwargs: Any) -> Any:
    def build(keras: Any, *tensors: Any) -> Any:
        function = getattr(keras.backend, name)
        return function(list(tensors) if listed else tensors[0], *args, **kwargs)

    return build


for name in ("mean", "sum", "max", "min"):
    for kind, options in REDUCTIONS.items():
        add(
            f"tf-reduce_{name}-{kind}",
            X3,
            tf2(f"reduce_{name}", **options),
            only="2",
            both=kind in ("axis-1", "axes"),
        )
    add(f"backend-{name}", X3, backend2(name, axis=1), only="2")
for name in (
    "exp",
    "square",
    "abs",
    "negative",
    "tanh",
    "sigmoid",
    "nn.relu",
    "nn.softmax",
    "nn.silu",
    "nn.gelu",
    "nn.softplus",
    "nn.elu",
    "nn.selu",
    "nn.softsign",
    "nn.leaky_relu",
    "nn.relu6",
    "nn.log_softmax",
    "identity",
    "math.sin",
):
    add(f"tf-{name}", X3, tf2(name), only="2")
for name in ("math.log", "sqrt", "math.rsqrt"):
    add(f"tf-{name}", P3, tf2(name), only="2")
for name in ("exp", "square", "sqrt", "log", "abs", "softmax", "sigmoid", "tanh", "relu"):
    add(f"backend-{name}", P3, backend2(name), only="2")
add("tf-softmax-axis-1", X3, tf2("nn.softmax", axis=1), only="2")
add("tf-reshape", X3, tf2("reshape", (-1, 15)), only="2", both=True)
add("tf-reshape-3d", X3, tf2("reshape", shape=[-1, 3, 5]), only="2")
add("tf-transpose", X3, tf2("transpose", (0, 2, 1)), only="2", both=True)
add("tf-transpose-perm", X4, tf2("transpose", perm=[0, 3, 1, 2]), only="2")
add("tf-squeeze", floats(2, 1, 3), tf2("squeeze", axis=1), only="2", both=True)
add("tf-squeeze-list", floats(2, 3, 1), tf2("squeeze", axis=[2]), only="2")
add("tf-expand_dims", X3, tf2("expand_dims", axis=1), only="2", both=True)
add("tf-expand_dims--1", X2, tf2("expand_dims", -1), only="2")
add("tf-concat", [X3, X3B], tf2("concat", listed=True, axis=-1), only="2", both=True)
add("tf-concat-1", [X3, X3B], tf2("concat", 1, listed=True), only="2")
add("tf-stack", [X2, floats(3, 4, tag=1)], tf2("stack", listed=True, axis=1), only="2", both=True)
add("tf-matmul", [X3, floats(2, 3, 4)], tf2("matmul"), only="2", both=True)
add("tf-matmul-transpose_b", [X3, floats(2, 4, 3)], tf2("matmul", transpose_b=True), only="2")
add("tf-cast", tokens(3, 4, of=9), tf2("cast", "float32"), only="2")
for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "pow", "math.add"):
    add(f"tf-{name}", [P3, P3B], tf2(name), only="2")
    add(f"tf-{name}-constant", [P3], tf2(name, 0.75), only="2")
for name in ("variance", "std", "logsumexp"):
    add(f"tf-reduce_{name}", X3, tf2(f"math.reduce_{name}", axis=1), only="2")
for name in ("argmax", "argmin", "cumsum", "math.cumprod"):
    add(f"tf-{name}", X3, tf2(name, axis=1), only="2")
for name in ("tan", "atan", "sinh", "cosh", "asinh", "is_nan"):
    add(f"tf-{name}", X3, tf2(f"math.{name}"), only="2")
for name in ("asin", "acos", "atanh"):
    add(f"tf-{name}", X3 / 10, tf2(f"math.{name}"), only="2")
add("tf-acosh", 1 + P3, tf2("math.acosh"), only="2")
add("tf-atan2", [X3, X3B], tf2("math.atan2"), only="2")
add("tf-pad", X3, tf2("pad", [[0, 0], [2, 1], [0, 3]]), only="2", both=True)
add("tf-pad-value", X3, tf2("pad", [[0, 0], [0, 1], [1, 0]], constant_values=2.5), only="2")
add("tf-repeat", X3, tf2("repeat", 3, axis=1), only="2")
add("tf-tile", X3, tf2("tile", [1, 1, 2]), only="2", both=True)
add("tf-split", X4, tf2("split", 2, axis=2), only="2", both=True)
add("tf-split-lengths", X3, tf2("split", [1, 2, 2], axis=1), only="2")
add("tf-unstack", X3, tf2("unstack", axis=1), only="2")
add("tf-sort", X3, tf2("sort", axis=1), only="2")
add("tf-sort-descending", X3, tf2("sort", direction="DESCENDING"), only="2", both=True)
add("tf-argsort", ONE, tf2("argsort"), only="2")
add("tf-argsort-descending", ONE, tf2("argsort", -1, "DESCENDING", stable=True), only="2")
add("tf-top_k", ONE, tf2("math.top_k", k=3), only="2", both=True)
add("tf-top_k-values", X3, lambda keras, x: tf2("nn.top_k", 2)(keras, x)[0], only="2")
add("tf-matmul-heads", [X4H, X4H], tf2("matmul", transpose_b=True), only="2", both=True)
add("tf-slice", X3, tf2("slice", [0, 1, 0], [-1, 3, -1]), only="2", both=True)
add("tf-add_n", [X3, X3B, P3], tf2("add_n", listed=True), only="2", both=True)
add("tf-bias_add", X3, tf2("nn.bias_add", [0.5, -1.0, 2.0]), only="2")
add("tf-norm", X3, tf2("norm", axis=-1), only="2", both=True)
add("tf-norm-keepdims", X3, tf2("norm", ord=2, axis=1, keepdims=True), only="2")
add("tf-norm-matrix", X3, tf2("norm", axis=[1, 2]), only="2")
add("tf-l2_normalize", X3, tf2("math.l2_normalize", axis=-1), only="2", both=True)
add("tf-l2_normalize-epsilon", X3, tf2("nn.l2_normalize", 1, epsilon=25.0), only="2")
add("tf-one_hot", tokens(4, 5, of=6), tf2("one_hot", depth=6), only="2")
add("tf-gather", X3, tf2("gather", [2, 0, 2], axis=-1), only="2", both=True)
add("tf-gather-one", X3, tf2("gather", 1, axis=1), only="2")


def rolled_over_time(keras: Any, x: Any) -> Any:
    roll = keras.ops.roll if hasattr(keras, "ops") else None
    if roll is None:
        import tensorflow as tf

        roll = tf.roll
    return keras.layers.LSTM(3, return_sequences=True)(roll(x, 7, axis=1))


add("roll-open", X3, rolled_over_time, shapes=[(None, 3)], both=True)
add("tf-roll", X3, tf2("roll", 2, axis=1), only="2")
add("tf-squared_difference", [X3, X3B], tf2("math.squared_difference"), only="2")
add("tf-divide_no_nan", [X3, np.round(X3B)], tf2("math.divide_no_nan"), only="2")
add("tf-count_nonzero", np.round(X3), tf2("math.count_nonzero", axis=1), only="2")
for name in ("sign", "round", "floor", "math.ceil", "math.expm1"):
    add(f"tf-{name.removeprefix('math.')}", X3, tf2(name), only="2")
add("tf-clip_by_value", X3, tf2("clip_by_value", -0.5, 0.5), only="2")
add("backend-concatenate", [X3, X3B], backend2("concatenate", listed=True), only="2")
add("backend-stack", [X3, X3B], backend2("stack", listed=True, axis=1), only="2")
add("backend-expand_dims", X3, backend2("expand_dims", 1), only="2")
add("backend-squeeze", floats(2, 1, 3), backend2("squeeze", 1), only="2")
add("backend-reshape", X3, backend2("reshape", (-1, 15)), only="2")
add("backend-permute_dimensions", X3, backend2("permute_dimensions", (0, 2, 1)), only="2")


def attention_by_hand_2(keras: Any, x: Any) -> Any:
    import tensorflow as tf

    layers = keras.layers
    h = layers.LSTM(4, return_sequences=True)(x)
    weights = tf.nn.softmax(layers.Dense(1, activation="tanh")(h), axis=1)
    return layers.Dense(2)(tf.reduce_sum(h * weights, axis=1))


add("attention-by-hand-tf", X3, attention_by_hand_2, only="2", both=True)


def op_masked(keras: Any, x: Any) -> Any:
    """Does an operation pass a mask on?"""
    h = keras.layers.Masking(0.0)(x)
    return keras.layers.LSTM(3)(h * 2.0)


def op_mask_slice(keras: Any, x: Any) -> Any:
    h = keras.layers.Masking(0.0)(x)
    return keras.layers.LSTM(3)(h[:, 1:])


def op_mask_two(keras: Any, x: Any, y: Any) -> Any:
    masking = keras.layers.Masking
    return keras.layers.LSTM(3)(masking(0.0)(x) + masking(0.0)(y))


def op_mask_mean(keras: Any, x: Any) -> Any:
    h = keras.layers.Masking(0.0)(x)
    h = keras.layers.LSTM(4, return_sequences=True)(h)
    return keras.layers.Dense(2)(h[:, -1])


add("op-mul-masked", XM, op_masked, both=True)
add("op-slice-masked", XM, op_mask_slice)
add("op-add-masked-two", [XM, padded(3, tag=1)], op_mask_two)
add("op-last-of-masked", XM, op_mask_mean, both=True)


# Functional models. ------------------------------------------------------------------------------

T1, T2 = padded_tokens(9), tokens(5, 4, of=7, low=1)


def two_inputs(keras: Any, t: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.LSTM(4)(layers.Embedding(9, 3, mask_zero=True)(t))
    x = layers.Dense(3, activation="relu")(x)
    return layers.Dense(2, activation="softmax")(layers.Concatenate()([h, x]))


def two_outputs(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.LSTM(4)(x)
    return [layers.Dense(2, name="second")(h), layers.Dense(3, name="first")(h)]


def inputs_in_other_order(keras: Any, x: Any, y: Any, z: Any) -> Any:
    layers = keras.layers
    z = layers.Dense(3)(z)
    return layers.Subtract()([layers.Subtract()([z, y]), x])


def dict_outputs(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.GRU(4)(x)
    return {"price": layers.Dense(1, name="a")(h), "class": layers.Dense(3, name="b")(h)}


def dict_inputs(keras: Any, a: Any, b: Any) -> Any:
    layers = keras.layers
    return layers.Dense(2)(layers.Concatenate()([layers.LSTM(3)(b), a]))


def dict_both(keras: Any, a: Any, b: Any) -> Any:
    layers = keras.layers
    h = layers.Concatenate()([layers.LSTM(3)(b), a])
    return {"z": layers.Dense(2)(h), "y": layers.Dense(1)(h)}


def shared_layer(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    lstm = layers.LSTM(4)
    return layers.Dense(2)(layers.Subtract()([lstm(x), lstm(y)]))


def shared_embedding(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    embedding, last = layers.Embedding(9, 3, mask_zero=True), layers.Dense(2)
    return [last(layers.LSTM(4)(embedding(x))), last(layers.GRU(4)(embedding(y)))]


def shared_in_a_row(keras: Any, x: Any) -> Any:
    again = keras.layers.Dense(3, activation="tanh")
    return again(again(again(x)))


def shared_bidirectional(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    both = layers.Bidirectional(layers.GRU(3))
    return layers.Dot(axes=1, normalize=True)([both(x), both(y)])


def residual(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.Add()([x, layers.LSTM(3, return_sequences=True)(x)])
    h = layers.LayerNormalization()(h)
    h = layers.Add()([h, layers.Dense(3, activation="relu")(h)])
    return layers.Dense(1)(layers.GlobalMaxPooling1D()(h))


def unused_outputs(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h, state, _ = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    layers.Dense(7)(h)  # leads nowhere: Keras leaves it out
    return layers.Dense(2)(state)


def output_twice(keras: Any, x: Any) -> Any:
    h = keras.layers.Dense(2)(x)
    return [h, keras.layers.Activation("relu")(h), h]


def input_is_output(keras: Any, x: Any) -> Any:
    return [x, keras.layers.Dense(2)(x)]


def no_layer(keras: Any, x: Any) -> Any:
    return keras.Model(x, x)


def listed(keras: Any, x: Any) -> Any:
    return keras.Model([x], [keras.layers.Dense(2)(keras.layers.LSTM(3)(x))])


def named_model(keras: Any, x: Any) -> Any:
    return keras.Model(inputs=x, outputs=keras.layers.LSTM(3)(x), name="my-model.1")


def nested_sequential(keras: Any, x: Any) -> Any:
    layers = keras.layers
    head = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(2),
        ],
        name="head",
    )
    return head(layers.LSTM(4)(x))


def nested_unbuilt(keras: Any, x: Any) -> Any:
    layers = keras.layers
    head = keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2)])
    return head(layers.LSTM(4)(x))


def encoder_of(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((5, 3))
    h, *_ = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    return keras.Model(x, [layers.Dense(2)(h), layers.GRU(3)(h)], name="encoder")


def nested_functional(keras: Any, x: Any) -> Any:
    first, second = encoder_of(keras)(x)
    return keras.layers.Dense(2)(
        keras.layers.Concatenate()([keras.layers.Flatten()(first), second])
    )


def nested_twice(keras: Any, x: Any, y: Any) -> Any:
    encoder = encoder_of(keras)
    return keras.layers.Subtract()([encoder(x)[1], encoder(y)[1]])


def nested_two_inputs(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    a, b = keras.Input((5, 3)), keras.Input((5, 3))
    model = keras.Model([a, b], layers.Subtract()([layers.LSTM(3)(a), layers.LSTM(3)(b)]))
    return layers.Dense(2)(model([y, x]))


def nested_deep(keras: Any, x: Any) -> Any:
    layers = keras.layers
    a = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, return_sequences=True)], name="a")
    b = keras.Sequential([keras.Input((5, 3)), a, layers.LSTM(3)], name="b")
    c = keras.Sequential([keras.Input((5, 3)), b, layers.Dense(2)], name="c")
    return layers.Dense(2)(c(x))


def nested_mask_out(keras: Any, t: Any) -> Any:
    layers = keras.layers
    i = keras.Input((6,), dtype="int32")
    model = keras.Model(i, layers.Dense(3)(layers.Embedding(9, 3, mask_zero=True)(i)))
    return layers.LSTM(3)(model(t))


def nested_mask_in(keras: Any, x: Any) -> Any:
    layers = keras.layers
    i = keras.Input((6, 3))
    model = keras.Model(i, layers.LSTM(3)(layers.Dense(2)(i)))
    return model(layers.Masking(0.0)(x))


def nested_sequential_mask(keras: Any, t: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 3, mask_zero=True),
            layers.Dropout(0.1),
        ]
    )
    return layers.GRU(3)(model(t))


def nested_sequential_mask_in(keras: Any, x: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential([keras.Input((6, 3)), layers.Dense(2), layers.LSTM(3)])
    return model(layers.Masking(0.0)(x))


def sequential_of_models(keras: Any, x: Any) -> Any:
    layers = keras.layers
    i = keras.Input((5, 3))
    functional = keras.Model(i, layers.Concatenate()([i, layers.LSTM(2, return_sequences=True)(i)]))
    inner = keras.Sequential([keras.Input((5, 5)), layers.Conv1D(3, 2), layers.LSTM(3)])
    return keras.Sequential([keras.Input((5, 3)), functional, inner, layers.Dense(2)])


def sequential_first_model(keras: Any, x: Any) -> Any:
    layers = keras.layers
    inner = keras.Sequential([keras.Input((5, 3)), layers.Conv1D(3, 2), layers.LSTM(3)])
    model = keras.Sequential([inner, layers.Dense(2)])
    model(np.zeros((1, 5, 3), "float32"))
    return model


def shared_nested_layer(keras: Any, x: Any) -> Any:
    """One layer both in the inner and in the outer model."""
    layers = keras.layers
    dense = layers.Dense(3, name="shared")
    inner = keras.Sequential([keras.Input((5, 3)), dense], name="inner")
    return layers.LSTM(2)(dense(inner(x)))


def luong(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    e, *s = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    d = layers.LSTM(4, return_sequences=True)(y, initial_state=s)
    context = layers.Attention()([d, e])
    h = layers.Concatenate(axis=-1)([context, d])
    return layers.TimeDistributed(layers.Dense(2, activation="softmax"))(h)


def luong_masked(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    ex = layers.Embedding(9, 3, mask_zero=True)(x)
    ey = layers.Embedding(7, 3, mask_zero=True)(y)
    e, *s = layers.LSTM(4, return_sequences=True, return_state=True)(ex)
    d = layers.LSTM(4, return_sequences=True)(ey, initial_state=s)
    h = layers.Concatenate()([layers.AdditiveAttention()([d, e]), d])
    return layers.Dense(3)(h)


def dot_attention(keras: Any, x: Any, y: Any) -> Any:
    layers = keras.layers
    e = layers.GRU(4, return_sequences=True)(x)
    d = layers.GRU(4, return_sequences=True)(y)
    scores = layers.Activation("softmax")(layers.Dot(axes=[2, 2])([d, e]))
    return layers.Dense(2)(layers.Concatenate()([layers.Dot(axes=[2, 1])([scores, e]), d]))


def transformer(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.LSTM(4, return_sequences=True)(x)
    a = layers.MultiHeadAttention(num_heads=2, key_dim=2, dropout=0.1)(h, h)
    h = layers.LayerNormalization(epsilon=1e-6)(h + a)
    f = layers.Dense(4)(layers.Dropout(0.1)(layers.Dense(8, activation="relu")(h)))
    h = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([h, f]))
    return layers.Dense(1)(layers.GlobalAveragePooling1D()(h))


def branches(keras: Any, x: Any) -> Any:
    layers = keras.layers
    a = layers.GlobalMaxPooling1D()(layers.Conv1D(3, 2, activation="relu")(x))
    b = layers.GlobalAveragePooling1D()(layers.Conv1D(2, 3, padding="same")(x))
    c = layers.Bidirectional(layers.LSTM(3))(x)
    h = layers.BatchNormalization()(layers.Concatenate()([a, b, c]))
    return layers.Dense(2, activation="softmax")(layers.Dropout(0.3)(h))


def states_between(keras: Any, x: Any, y: Any) -> Any:
    """A state that went through layers."""
    layers = keras.layers
    h, c = layers.Dense(4, activation="tanh")(y), layers.Dense(4)(y)
    return layers.LSTM(4, return_sequences=True)(x, initial_state=[h, c])


XY = [X3, X3B]
for name, inputs, model in (
    ("two-inputs", [T1, floats(5, 2)], two_inputs),
    ("two-outputs", X3, two_outputs),
    ("inputs-in-other-order", [X2, floats(3, 4, tag=1), floats(3, 3)], None),
    ("shared-lstm", XY, shared_layer),
    ("shared-embedding", [T1, tokens(5, 4, of=9)], shared_embedding),
    ("shared-in-a-row", X3, shared_in_a_row),
    ("shared-bidirectional", XY, shared_bidirectional),
    ("residual", X3, residual),
    ("unused-outputs", X3, unused_outputs),
    ("output-twice", X2, output_twice),
    ("input-is-output", X2, input_is_output),
    ("listed", X3, listed),
    ("named", X3, named_model),
    ("nested-sequential", X3, nested_sequential),
    ("nested-unbuilt", X3, nested_unbuilt),
    ("nested-functional", X3, nested_functional),
    ("nested-twice", XY, nested_twice),
    ("nested-two-inputs", XY, nested_two_inputs),
    ("nested-deep", X3, nested_deep),
    ("nested-mask-out", T1, nested_mask_out),
    ("nested-mask-in", XM, nested_mask_in),
    ("nested-sequential-mask", T1, nested_sequential_mask),
    ("nested-sequential-mask-in", XM, nested_sequential_mask_in),
    ("sequential-of-models", X3, sequential_of_models),
    ("sequential-first-model", X3, sequential_first_model),
    ("shared-nested-layer", X3, shared_nested_layer),
    ("luong", [X3, floats(2, 4, 2)], luong),
    ("luong-masked", [T1, T2], luong_masked),
    ("dot-attention", [X3, floats(2, 4, 2)], dot_attention),
    ("transformer", X3, transformer),
    ("branches", X3, branches),
    ("states-between", [X3, floats(2, 3)], states_between),
    ("dict-outputs", X3, dict_outputs),
):
    if model is None:
        model = inputs_in_other_order
        inputs = [floats(3, 3), floats(3, 3, tag=1), X2]
    add(f"graph-{name}", inputs, model, both=True)
NAMES = ["beta", "alpha"]
add("graph-dict-inputs", [floats(2, 4), X3], dict_inputs, input_names=NAMES, both=True)
add("graph-dict-both", [floats(2, 4), X3], dict_both, input_names=NAMES, both=True)


# Policies. ---------------------------------------------------------------------------------------


def with_attention(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.LSTM(4, return_sequences=True)(x)
    h = layers.Add()([h, layers.Attention()([h, h])])
    return layers.Dense(2, activation="softmax", dtype="float32")(layers.Flatten()(h))


for policy in ("mixed_float16", "mixed_bfloat16", "float64"):
    for name, inputs, model in (
        ("lstm", X3, [L.LSTM(4), L.Dense(2)]),
        ("gru-masked", XM, [MASK, L.GRU(4), L.Dense(2)]),
        (
            "embedding",
            tokens(3, 6, of=9),
            [L.Embedding(9, 3), L.Dropout(0.2), L.Bidirectional(L.LSTM(3)), L.Dense(1)],
        ),
        (
            "conv",
            X3,
            [
                L.Conv1D(4, 2),
                L.BatchNormalization(),
                L.ReLU(),
                L.MaxPooling1D(),
                L.SimpleRNN(3),
                L.Dense(1, dtype="float32"),
            ],
        ),
        ("attention", X3, with_attention),
    ):
        add(f"{policy}-{name}", inputs, model, policy=policy, both=name == "lstm")
add("dtype-float64-layer", X3, [L.LSTM(4, dtype="float64"), L.Dense(2)], both=True)
add(
    "dtype-mixed-layer",
    X3,
    [L.LSTM(4), L.Dense(3, activation="relu", dtype="float32"), L.Dense(2, dtype="float64")],
)
add("dtype-float32", X3, [L.LSTM(4, dtype="float32"), L.Dense(2, dtype="float32")])


# Attention that takes masks away, beside what reads the same tensor: who is first keeps it. -------


def beside(*kinds: str, deeper: int = 0, named: bool = False) -> Any:
    """Return a model of branches of one masked sequence, some a layer deeper."""

    def build(keras: Any, x: Any) -> Any:
        layers = keras.layers
        h = layers.LSTM(4, return_sequences=True)(layers.Embedding(9, 3, mask_zero=True)(x))
        other = layers.Dense(4)(h)
        ends = []
        for number, kind in enumerate(kinds):
            if kind == "attention":
                y = layers.Attention()([h, h])
            elif kind == "across":
                y = layers.MultiHeadAttention(2, 3)(h, other)
            elif kind == "back":
                y = layers.MultiHeadAttention(2, 3)(other, h)
            elif kind == "lstm":
                y = layers.LSTM(4, return_sequences=True)(h)
            else:
                y = layers.MultiHeadAttention(2, 3)(h, h)
            if number < deeper:
                y = layers.Dense(4)(y)
            ends.append(layers.GlobalAveragePooling1D()(y))
        if named:
            return {f"y{9 - number}": end for number, end in enumerate(ends)}
        return layers.Concatenate()(ends)

    return build


for name, kinds, options in (
    ("two", ["self", "self"], {}),
    ("three", ["self", "self", "self"], {}),
    ("attention-first", ["attention", "self"], {}),
    ("attention-last", ["self", "attention"], {}),
    ("attention-deeper", ["attention", "self"], {"deeper": 1}),
    ("self-deeper", ["self", "attention"], {"deeper": 1}),
    ("lstm", ["self", "lstm", "self"], {}),
    ("across", ["across", "back", "self"], {}),
    ("named", ["self", "attention", "across"], {"named": True}),
):
    add(
        f"beside-{name}",
        padded_tokens(9, SOME),
        beside(*kinds, **options),
        only="3",
        both=name == "two",
    )


def beside_inside(keras: Any, x: Any) -> Any:
    """A model in the model takes the mask of a tensor that others read."""
    layers = keras.layers
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    inner = keras.Input((None, 4))
    attention = keras.Model(inner, layers.MultiHeadAttention(2, 3)(inner, inner))
    ends = [layers.LSTM(3)(h), layers.GlobalMaxPooling1D()(attention(h))]
    ends.append(layers.GlobalAveragePooling1D()(layers.Attention()([h, h])))
    return layers.Concatenate()(ends)


def beside_itself(keras: Any, x: Any) -> Any:
    """One layer is called twice: the calls are as far from the outputs, or not."""
    layers = keras.layers
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    shared, pool = layers.MultiHeadAttention(2, 3), layers.GlobalAveragePooling1D()
    return [pool(shared(h, h)), layers.GlobalMaxPooling1D()(shared(h, h))]


def beside_itself_deeper(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    shared = layers.MultiHeadAttention(2, 3)
    ends = [shared(h, h), layers.Dense(4)(layers.Dense(3)(shared(h, h)))]
    return [layers.GlobalAveragePooling1D()(end) for end in ends]


def beside_elsewhere(keras: Any, x: Any) -> Any:
    """A layer runs as early as the earliest of its calls, whatever that one reads."""
    layers = keras.layers
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    other = layers.Embedding(9, 4, mask_zero=True)(x)
    shared, between = layers.MultiHeadAttention(2, 3), layers.MultiHeadAttention(2, 3)
    ends = [shared(h, h), layers.Dense(4)(between(h, h))]
    ends.append(layers.Dense(4)(layers.Dense(3)(layers.Dense(2)(shared(other, other)))))
    return [layers.GlobalAveragePooling1D()(end) for end in ends]


def beside_by_keywords(keras: Any, x: Any) -> Any:
    layers = keras.layers
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    value, query = (layers.MultiHeadAttention(2, 3)(h, h) for _ in range(2))
    end = layers.MultiHeadAttention(2, 3)(value=value, query=query)
    return layers.GlobalAveragePooling1D()(end)


for model in (beside_itself, beside_itself_deeper, beside_elsewhere, beside_by_keywords):
    add(model.__name__.replace("_", "-"), padded_tokens(9, SOME), model, only="3")
add("beside-inside", padded_tokens(9, SOME), beside_inside, only="3")


def words_and_sentences(keras: Any, x: Any) -> Any:
    """A model of words at each sentence, whose padding is its own affair."""
    layers = keras.layers
    words = keras.Input((6,))
    h = layers.Embedding(9, 3, mask_zero=True)(words)
    inner = keras.Model(words, layers.Bidirectional(layers.GRU(2))(h))
    return layers.Dense(2)(layers.LSTM(3)(layers.TimeDistributed(inner)(x)))


def words_pooled(keras: Any, x: Any) -> Any:
    """The same with attention over words, whose mask is handed on twice."""
    layers = keras.layers
    words = keras.Input((6,))
    h = layers.Embedding(9, 3, mask_zero=True)(words)
    h = layers.LSTM(2, return_sequences=True)(layers.Dropout(0.2)(h))
    inner = keras.Model(words, layers.GlobalAveragePooling1D()(layers.Attention()([h, h])))
    return layers.GRU(3)(layers.TimeDistributed(inner)(x))


SENTENCES = np.stack([padded_tokens(9, SOME), padded_tokens(9, SOME[::-1])], axis=1)
for model in (words_and_sentences, words_pooled):
    add(model.__name__.replace("_", "-"), SENTENCES, model, both=True)


# What a function makes has no mask, but where it is the tensor that it was given. -----------------


def functions_of_masked(*functions: Any) -> Any:
    """Recurrent layers of what functions make of an embedding with a mask."""

    def model(keras: Any, x: Any) -> Any:
        h = keras.layers.Embedding(9, 4, mask_zero=True)(x)
        made = [f(keras, h) for f in functions]
        return [keras.layers.LSTM(3)(y) for y in [*made, h]]

    return model


MASKED = padded_tokens(9, SOME)
add(
    "masks-of-functions",
    MASKED,
    functions_of_masked(
        lambda keras, h: keras.ops.relu(h),
        lambda keras, h: keras.ops.softmax(h),
        lambda keras, h: keras.ops.concatenate([h, h], -1),
        lambda keras, h: keras.ops.normalize(h, -1),
        lambda keras, h: keras.activations.tanh(h),
    ),
    only="3",
)
add(
    "masks-of-the-same-tensor",
    MASKED,
    functions_of_masked(
        lambda keras, h: keras.ops.cast(h, "float32"),
        lambda keras, h: keras.ops.convert_to_tensor(h),
    ),
    only="3",
)
add(
    "masks-of-functions-of-tensorflow",
    MASKED,
    functions_of_masked(
        lambda keras, h: tf2("nn.relu")(keras, h),
        lambda keras, h: tf2("tanh")(keras, h),
        lambda keras, h: tf2("cast", "float32")(keras, h),
        lambda keras, h: tf2("math.l2_normalize", -1)(keras, h),
    ),
    only="2",
)


def softmax_masked_wholly(keras: Any, x: Any, kept: Any) -> Any:
    return keras.layers.Softmax()(x, mask=kept)


KEPT = np.array([[0, 0, 0, 0], [0.3, 1, 0.6, 0.4], [1, 1, 0, 1]], np.float32)
add("softmax-masked-wholly", [floats(3, 4), KEPT], softmax_masked_wholly, only="3", both=True)


def gated_heads(keras: Any, x: Any) -> Any:
    return keras.layers.MultiHeadAttention(2, 3, use_gate=True)(x, x)


add("multi-head-gate", X3, gated_heads, only="3", both=True)


def mask_as_an_input(keras: Any, x: Any, kept: Any) -> Any:
    layers = keras.layers
    both = layers.Bidirectional(layers.GRU(2, return_sequences=True))(x, mask=kept)
    return [layers.LSTM(3)(x, mask=kept), both, layers.GlobalAveragePooling1D()(x, mask=kept)]


add("mask-as-an-input", [floats(4, 6, 3), SOME], mask_as_an_input, both=True)
add("tf-mod", [X3, P3B], tf2("math.floormod"), only="2")
add("tf-floor-div", [X3, P3B], lambda keras, x, y: x // y, only="2")


def functions_behind_inner_models(keras: Any, x: Any) -> Any:
    """What a model at each time step makes has the mask of what went in; a function's has none."""
    layers = keras.layers
    h = layers.Embedding(9, 4, mask_zero=True)(x)
    step = keras.Input((4,))
    inner = keras.Model(step, layers.Dense(4, activation="tanh")(step))
    y = layers.TimeDistributed(inner)(h)
    return [layers.SimpleRNN(3)(y), layers.SimpleRNN(3)(keras.activations.tanh(y))]


add("functions-behind-inner-models", MASKED, functions_behind_inner_models, both=True)


# Calls of an inner model that are outputs of the outer one. ---------------------------------------


def dense_of(keras: Any, units: int = 4, name: str = "inner") -> Any:
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(units, activation="tanh")(x), name=name)


def inner_put_out(keras: Any, x: Any, y: Any) -> Any:
    inner = dense_of(keras)
    a, b = inner(x), inner(y)
    return [a, keras.layers.Subtract()([a, b])]


def inner_put_out_in_a_row(keras: Any, x: Any) -> Any:
    inner = dense_of(keras)
    a = inner(x)
    return [a, keras.layers.Dense(3)(inner(keras.layers.Dense(4)(a)))]


def inner_put_out_deeper(keras: Any, x: Any, y: Any) -> Any:
    a, b = keras.Input((4,)), keras.Input((4,))
    middle = keras.Model([a, b], inner_put_out(keras, a, b), name="middle")
    first, second = middle([x, y]), middle([y, x])
    return [*first, keras.layers.Subtract()([first[0], second[1]])]


def variational(keras: Any, x: Any) -> Any:
    layers = keras.layers
    mean, log_variance = layers.Dense(4)(x), layers.Dense(4)(x)
    z = layers.Add()([mean, log_variance])
    return [dense_of(keras, 3, "decoder")(z), mean, log_variance]


def inner_around_another(keras: Any, x: Any) -> Any:
    first, second, layers = dense_of(keras), dense_of(keras, name="second"), keras.layers
    return first(layers.Dense(4)(second(layers.Dense(4)(first(x)))))


def inner_of_dicts(keras: Any, x: Any, y: Any) -> Any:
    """Called with its inputs in another order than its own."""
    layers = keras.layers
    p, q = keras.Input((4,), name="p"), keras.Input((4,), name="q")
    ends = {
        "b": layers.Dense(3)(layers.Subtract()([p, layers.Dense(4)(q)])),
        "a": layers.Dense(3)(p),
    }
    made = keras.Model({"q": q, "p": p}, ends)({"p": x, "q": y})
    return layers.Subtract()([made["b"], layers.Dense(3)(made["a"])])


X2B = floats(3, 4, tag=1)
add("graph-inner-of-dicts", [X2, X2B], inner_of_dicts, only="3", both=True)
for inputs, model in (
    ([X2, X2B], inner_put_out),
    (X2, inner_put_out_in_a_row),
    ([X2, X2B], inner_put_out_deeper),
    (X2, variational),
    (X2, inner_around_another),
):
    add(f"graph-{model.__name__.replace('_', '-')}", inputs, model, both=True)


def inner_given_masks(keras: Any, x: Any, kept: Any) -> Any:
    layers = keras.layers
    i, j = keras.Input((6, 3)), keras.Input((6, 3))
    functional = keras.Model(i, layers.LSTM(3)(i))
    several = keras.Model([i, j], layers.Subtract()([layers.GRU(3)(i), layers.GRU(3)(j)]))
    chain = keras.Sequential([keras.Input((6, 3)), layers.LSTM(3)])
    a, b, c, d = (layers.Dense(3)(x) for _ in range(4))
    return [functional(a, mask=kept), chain(b, mask=kept), several([c, d], mask=[kept, kept])]


add("graph-inner-given-masks", [floats(4, 6, 3), SOME], inner_given_masks, both=True)


# Inputs of whole numbers, which Keras makes of what is given. -------------------------------------


def of_type(keras: Any, x: Any, dtype: str = "int32") -> Any:
    """A model that computes with floating-point numbers of what are none."""
    i = keras.Input(tuple(x.shape[1:]), dtype=dtype)
    y = keras.ops.cast(i, "float32") if hasattr(keras, "ops") else None
    if y is None:
        import tensorflow as tf

        y = tf.cast(i, "float32")
    return keras.Model(i, keras.layers.Dense(3)(y * 0.5))


def inner_of_type(keras: Any, x: Any) -> Any:
    return of_type(keras, x)(x)


def inner_of_type_in_a_row(keras: Any, x: Any) -> Any:
    return keras.Sequential([keras.Input(tuple(x.shape[1:])), of_type(keras, x)])


def inner_of_type_given_what_a_layer_made(keras: Any, x: Any) -> Any:
    return of_type(keras, x)(keras.layers.Dense(4)(x) * 4)


for dtype in ("int32", "int8", "int64", "bool"):
    model = functools.partial(of_type, dtype=dtype)
    add(f"whole-input-{dtype}", 3 * X2, model, cut=True, both=True)
add("whole-input-uint8", np.abs(3 * X2), functools.partial(of_type, dtype="uint8"), cut=True)
add("whole-input-inner", 3 * X2, inner_of_type, cut=True, both=True)
add("whole-input-inner-in-a-row", 3 * X2, inner_of_type_in_a_row, cut=True, both=True)
add("whole-inner-input", X2, inner_of_type_given_what_a_layer_made, both=True)


# Products with numbers of the file. ---------------------------------------------------------------

K, V = floats(3, 4, tag=2), floats(3, tag=2)
P3T = np.ascontiguousarray(X3.swapaxes(1, 2))
PRODUCTS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "matmul": (X2, lambda ops, x: ops.matmul(x, K.T)),
    "matmul-steps": (X3, lambda ops, x: ops.matmul(x, K)),
    "matmul-vector": (X3, lambda ops, x: ops.matmul(x, V)),
    "matmul-first": (P3T, lambda ops, x: ops.matmul(K.T, x)),
    "matmul-first-vector": (P3T, lambda ops, x: ops.matmul(V, x)),
    "matmul-tensor": (X3, lambda ops, x: ops.matmul(x, ops.convert_to_tensor(K))),
    "dot": (X3, lambda ops, x: ops.dot(x, K)),
    "dot-vector": (X3, lambda ops, x: ops.dot(x, V)),
    "tensordot": (X3, lambda ops, x: ops.tensordot(x, K, axes=1)),
    "einsum": (X3, lambda ops, x: ops.einsum("btc,cd->bdt", x, K)),
    "einsum-first": (X3, lambda ops, x: ops.einsum("cd,btc->btd", K, x)),
    "einsum-ellipsis": (X3, lambda ops, x: ops.einsum("...c,cd->...d", x, K)),
    "einsum-each": (X3, lambda ops, x: ops.einsum("btc,c->btc", x, V)),
}


def with_numbers(keras: Any, x: Any, f: Callable[..., Any]) -> Any:
    return f(keras.ops, x)


for name, (x, f) in PRODUCTS.items():
    add(f"ops-numbers-{name}", x, functools.partial(with_numbers, f=f), only="3")


SCALES, CUBE = floats(4, tag=3), floats(3, 4, 2, tag=4)
EINSUMS_OF_NUMBERS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "two": (X3, lambda ops, x: ops.einsum("btc,cd,d->btd", x, K, SCALES)),
    "two-around": (X3, lambda ops, x: ops.einsum("cd,btc,d->bt", K, x, SCALES)),
    "three-axes": (X3, lambda ops, x: ops.einsum("btc,cde->btde", x, CUBE)),
    "three-axes-summed": (X3, lambda ops, x: ops.einsum("btc,cde,e->btd", x, CUBE, V[:2])),
}
for name, (x, f) in EINSUMS_OF_NUMBERS.items():
    add(f"ops-einsum-numbers-{name}", x, functools.partial(with_numbers, f=f), only="3")


def mixed(keras: Any, *tensors: Any, equation: str, numbers: dict[int, Any]) -> Any:
    operands = list(tensors)
    for at, array in numbers.items():
        operands.insert(at, array)
    return keras.ops.einsum(equation, *operands)


X3D = floats(2, 5, 4, tag=6)
for name, inputs, equation, numbers in (
    ("bilinear", [X3, X3D], "btc,cd,bsd->bts", {1: K}),
    ("weighed", [X3, X3], "btc,bsc,c->bts", {2: V}),
    ("first", [X3, X3], "c,btc,bsc->bt", {0: V}),
    ("two", [X3, X3D], "btc,cd,bsd,d->bts", {1: K, 3: SCALES}),
    ("ellipsis", [X3, X3], "...c,...c,c->...", {2: V}),
    ("apart", [X3, X3], "btc,btc,d->bcd", {2: SCALES}),
    ("three", [X3, X3D, X3D], "btc,bsd,bsd,cd->bt", {3: K}),
):
    part = functools.partial(mixed, equation=equation, numbers=numbers)
    add(f"ops-einsum-mixed-{name}", inputs, part, only="3")


def tied_embeddings(keras: Any, x: Any) -> Any:
    """A variable among the arguments, of which the file has the numbers at the time of saving."""
    embedding = keras.layers.Embedding(7, 4)
    h = keras.layers.LSTM(4, return_sequences=True)(embedding(x))
    return keras.ops.einsum("btd,vd->btv", h, embedding.embeddings)


add("ops-numbers-tied", tokens(3, 5, of=7), tied_embeddings, only="3")

PRODUCTS_2: dict[str, tuple[Any, Callable[..., Any]]] = {
    "matmul": (X2, lambda tf, x: tf.matmul(x, K.T)),
    "matmul-transpose-a": (P3T, lambda tf, x: tf.matmul(x, K, transpose_a=True)),
    "matmul-transpose-b": (X3, lambda tf, x: tf.matmul(x, tf.constant(K.T), transpose_b=True)),
    "matmul-first": (P3T, lambda tf, x: tf.matmul(K, x, transpose_a=True)),
    "matmul-first-transposed": (X3, lambda tf, x: tf.matmul(K.T, x, transpose_b=True)),
    "tensordot": (X3, lambda tf, x: tf.tensordot(x, K, 1)),
}


def with_numbers_2(keras: Any, x: Any, f: Callable[..., Any]) -> Any:
    import tensorflow as tf

    return f(tf, x)


for name, (x, f) in PRODUCTS_2.items():
    add(f"tf-numbers-{name}", x, functools.partial(with_numbers_2, f=f), only="2", both=True)


# The number of rows in front of a new shape. -----------------------------------------------------

COUNTED: dict[str, Callable[..., Any]] = {
    "tuple": lambda tf, x: tf.reshape(x, (tf.shape(x)[0], 15)),
    "list": lambda tf, x: tf.reshape(x, [tf.shape(x)[0], 3, 5]),
    "rest": lambda tf, x: tf.reshape(x, [tf.shape(x)[0], -1]),
    "again": lambda tf, x: (
        tf.reshape(tf.reshape(x, [tf.shape(x)[0], 15]), [tf.shape(x)[0], 1, 15]) + 0.5
    ),
}
COUNTED |= {
    "steps": lambda tf, x: tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], 3, 1]),
    "two": lambda tf, x: tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], 1, tf.shape(x)[-1]]),
    "product": lambda tf, x: tf.reshape(x, [-1, tf.shape(x)[1] * tf.shape(x)[2]]),
    "tiled": lambda tf, x: x * tf.tile(x[:, -1:], [1, tf.shape(x)[1], 1]),
    "half": lambda tf, x: tf.repeat(x, tf.shape(x)[1] // 2, axis=1),
    "features": lambda tf, x: tf.reshape(x, (tf.shape(x)[0], 5, 1, tf.shape(x)[2])),
}
for name, f in COUNTED.items():
    counted = functools.partial(with_numbers_2, f=f)
    add(f"tf-reshape-counted-{name}", X3, counted, only="2", both=True)


def heads_of_any_length(keras: Any, x: Any) -> Any:
    """Heads of an attention by hand, for any number of steps."""
    import tensorflow as tf

    shape = tf.shape(x)
    y = tf.reshape(keras.layers.Dense(6)(x), [shape[0], shape[1], 2, 3])
    return keras.layers.LSTM(3)(tf.reduce_mean(y, axis=2))


add("tf-reshape-heads", X3, heads_of_any_length, only="2", shapes=[(None, 3)], both=True)


def last_of_each(keras: Any, x: Any, last: Any) -> Any:
    """The last step that counts of each row, as many write it."""
    h = keras.layers.GRU(4, return_sequences=True)(x)
    return keras.ops.take_along_axis(h, keras.ops.expand_dims(last, -1), axis=1)


add("ops-take_along_axis", [X3, np.array([[2], [4]], "int32")], last_of_each, only="3", both=True)
add(
    "ops-take_along_axis-behind",
    [X3, np.array([[[-1, 0], [2, 1]]] * 2, "int32")[:, :1]],
    lambda keras, x, n: keras.ops.take_along_axis(x, n, -1),
    only="3",
)


# Casts to types of few bits, of what these hold. --------------------------------------------------


def few_bits(keras: Any, x: Any, n: Any) -> Any:
    import tensorflow as tf

    cast = keras.ops.cast if hasattr(keras, "ops") else tf.cast
    return cast(cast(x > 0.0, "uint8"), "float32") + cast(cast(n, "int16"), "float32")


add("cast-few-bits", [X3, tokens(2, 5, 3, of=9, dtype="uint8")], few_bits, both=True)


# Inputs in dicts whose keys are not the names of their layers; masks for some of a model's. ---


def by_keys(keras: Any, *tensors: Any, names: tuple[str, str] = ("p", "q")) -> Any:
    p, q = (keras.Input((4,), name=name) for name in names)
    difference = keras.layers.Subtract()([keras.layers.Dense(4)(p), keras.layers.Dense(4)(q)])
    return keras.Model({"left": p, "right": q}, keras.layers.Dense(3)(difference))


def by_a_key(keras: Any, *tensors: Any) -> Any:
    p = keras.Input((4,), name="p")
    return keras.Model({"left": p}, keras.layers.Dense(3)(p))


KEYS = ["left", "right"]
for kind, names in (("", ("p", "q")), ("-turned", ("z", "a")), ("-crossed", ("right", "left"))):
    keyed = functools.partial(by_keys, names=names)
    add(f"graph-keys{kind}", [X2, X2B], keyed, input_names=KEYS, both=True)
add("graph-keys-one", X2, by_a_key, input_names=["left"], both=True)


def inner_given_one_mask(keras: Any, x: Any, kept: Any) -> Any:
    layers = keras.layers
    i, j = keras.Input((6, 3)), keras.Input((6, 3))
    inner = keras.Model([i, j], layers.Subtract()([layers.GRU(3)(i), layers.GRU(3)(j)]))
    return inner([layers.Dense(3)(x), layers.Dense(3)(x)], mask=[kept, None])


add("graph-inner-given-one-mask", [floats(4, 6, 3), SOME], inner_given_one_mask, both=True)

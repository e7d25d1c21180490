"""Functions of TensorFlow in models of Keras 2, each a row.

It has the function of Keras 3 that does the same, and TensorFlow's own names of its arguments.
"""

from __future__ import annotations

import math

from fastdrop.formats.keras._arguments import Arguments, Built, Function
from fastdrop.formats.keras.functions import elementwise, gelu, normalize, split
from fastdrop.layers import Merge, Slice, Split


def _slice(given: Arguments) -> Built:
    given.input("x")
    begin, size = (_integers(given, name) for name in ("begin", "size"))
    fits = len(begin) == len(size) and begin[:1] == [0] and size[:1] == [-1]
    if not fits or min(begin) < 0 or min(size) < -1:
        raise given.refuse("size", "-1 for the batch, all of which is taken", size)
    pairs = zip(begin, size, strict=True)
    return Slice, {"whole": tuple(slice(at or None, None if n < 0 else at + n) for at, n in pairs)}


def _integers(given: Arguments, name: str) -> list[int]:
    value = given.take(name)
    if not isinstance(value, list) or not all(type(n) is int for n in value):
        raise given.refuse(name, "a list of integers", value)
    return value


def _add_all(given: Arguments) -> Built:
    given.inputs("xs")
    return Merge, {"function": "add"}


def _split_by_lengths(given: Arguments) -> Built:
    parts = given.values.get("indices_or_sections")
    if not isinstance(parts, list):
        return split(given)
    given.input("x")
    if not all(type(n) is int and n >= 0 for n in parts):
        raise given.refuse("indices_or_sections", "an integer, or lengths of all parts")
    given.take("indices_or_sections")
    return Split, {"axis": given.axis("axis"), "lengths": parts}


def _unit(given: Arguments) -> Built:
    # What stands under the root is at least that.
    given.values["epsilon"] = math.sqrt(given.number("epsilon", 1e-12))
    return normalize(given)


# TensorFlow's functions: the class above that does the same, and their own names of its arguments.
_TWO = {"x": "x1", "y": "x2"}
_REDUCE = {"input_tensor": "x", "axis": "axis", "keepdims": "keepdims"}
_SAME = {"x": "x", "features": "x", "logits": "x", "input": "x"}
TENSORFLOW: dict[str, tuple[str, dict[str, str]]] = {
    **{
        f"{module}.{function}": (name, _TWO)
        for function, name in {
            "add": "Add",
            "subtract": "Subtract",
            "sub": "Subtract",
            "multiply": "Multiply",
            "mul": "Multiply",
            "truediv": "TrueDivide",
            "divide": "TrueDivide",
            "div": "TrueDivide",
            "floordiv": "FloorDivide",
            "pow": "Power",
            "maximum": "Maximum",
            "minimum": "Minimum",
            "equal": "Equal",
            "not_equal": "NotEqual",
            "ne": "NotEqual",
            "greater": "Greater",
            "gt": "Greater",
            "greater_equal": "GreaterEqual",
            "ge": "GreaterEqual",
            "less": "Less",
            "lt": "Less",
            "less_equal": "LessEqual",
            "le": "LessEqual",
            "logical_and": "LogicalAnd",
            "logical_or": "LogicalOr",
        }.items()
        for module in ("math", "__operators__")
    },
    **{
        f"math.{function}": (name, _SAME)
        for function, name in {
            "negative": "Negative",
            "abs": "Absolute",
            "exp": "Exp",
            "log": "Log",
            "log1p": "Log1p",
            "sqrt": "Sqrt",
            "rsqrt": "Rsqrt",
            "square": "Square",
            "reciprocal": "Reciprocal",
            "sign": "Sign",
            "round": "Round",
            "floor": "Floor",
            "ceil": "Ceil",
            "expm1": "Expm1",
            "is_finite": "Isfinite",
            "is_inf": "Isinf",
            "sin": "Sin",
            "cos": "Cos",
            "tan": "Tan",
            "asin": "Arcsin",
            "acos": "Arccos",
            "atan": "Arctan",
            "sinh": "Sinh",
            "cosh": "Cosh",
            "asinh": "Arcsinh",
            "acosh": "Arccosh",
            "atanh": "Arctanh",
            "is_nan": "Isnan",
            "tanh": "Tanh",
            "sigmoid": "Sigmoid",
            "softplus": "Softplus",
            "logical_not": "LogicalNot",
        }.items()
    },
    **{
        f"nn.{function}": (name, _SAME)
        for function, name in {
            "relu": "Relu",
            "relu6": "Relu6",
            "elu": "Elu",
            "selu": "Selu",
            "silu": "Silu",
            "swish": "Silu",
            "softsign": "Softsign",
            "softplus": "Softplus",
            "sigmoid": "Sigmoid",
            "tanh": "Tanh",
        }.items()
    },
    "__operators__.neg": ("Negative", _SAME),
    "__operators__.abs": ("Absolute", _SAME),
    "nn.leaky_relu": ("LeakyRelu", _SAME | {"alpha": "negative_slope"}),
    "nn.softmax": ("Softmax", _SAME | {"axis": "axis"}),
    "nn.log_softmax": ("LogSoftmax", _SAME | {"axis": "axis"}),
    "zeros_like": ("ZerosLike", _SAME),
    "ones_like": ("OnesLike", _SAME),
    "identity": ("Identity", _SAME),
    "stop_gradient": ("Identity", _SAME),
    "cast": ("Cast", {"x": "x", "dtype": "dtype"}),
    "clip_by_value": ("Clip", {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "where": ("Where", {"condition": "condition", "x": "x1", "y": "x2"}),
    "expand_dims": ("ExpandDims", {"input": "x", "axis": "axis"}),
    "reshape": ("Reshape", {"tensor": "x", "shape": "newshape"}),
    "squeeze": ("Squeeze", {"input": "x", "axis": "axis"}),
    "compat.v1.squeeze": ("Squeeze", {"input": "x", "axis": "axis"}),
    "transpose": ("Transpose", {"a": "x", "perm": "axes"}),
    "compat.v1.transpose": ("Transpose", {"a": "x", "perm": "axes", "conjugate": "conjugate"}),
    "linalg.matmul": (
        "Matmul",
        {"a": "x1", "b": "x2", "transpose_a": "transpose_a", "transpose_b": "transpose_b"},
    ),
    "tensordot": ("Tensordot", {"a": "x1", "b": "x2", "axes": "axes"}),
    "reverse": ("Flip", {"tensor": "x", "axis": "axis"}),
    "concat": ("Concatenate", {"values": "xs", "axis": "axis"}),
    "stack": ("Stack", {"values": "xs", "axis": "axis"}),
    **{
        f"math.reduce_{function}": (name, _REDUCE)
        for function, name in {
            "mean": "Mean",
            "sum": "Sum",
            "max": "Max",
            "min": "Min",
            "prod": "Prod",
            "any": "Any",
            "all": "All",
            "variance": "Var",
            "std": "Std",
            "logsumexp": "Logsumexp",
        }.items()
    },
    "math.count_nonzero": ("CountNonzero", {"input": "x", "axis": "axis", "keepdims": "keepdims"}),
    "math.floormod": ("Mod", _TWO),
    "compat.v1.floor_div": ("FloorDivide", _TWO),
    "math.squared_difference": ("SquaredDifference", _TWO),
    "math.divide_no_nan": ("DivideNoNan", _TWO),
    "math.l2_normalize": ("UnitOfTensorFlow", {"x": "x", "axis": "axis", "epsilon": "epsilon"}),
    "compat.v1.norm": (
        "Norm",
        {"tensor": "x", "ord": "ord", "axis": "axis", "keepdims": "keepdims"},
    ),
    "one_hot": ("OneHot", {"indices": "x", "depth": "num_classes", "axis": "axis"}),
    "compat.v1.gather": (
        "Take",
        {"params": "x", "indices": "indices", "axis": "axis", "batch_dims": "batch_dims"},
    ),
    "sort": ("Sort", {"values": "x", "axis": "axis", "direction": "direction"}),
    "argsort": (
        "Argsort",
        {"values": "x", "axis": "axis", "direction": "direction", "stable": "stable"},
    ),
    "math.top_k": (
        "TopK",
        {"input": "x", "k": "k", "sorted": "sorted", "index_type": "index_type"},
    ),
    "slice": ("SliceOfTensorFlow", {"input_": "x", "begin": "begin", "size": "size"}),
    "math.add_n": ("AddOfTensorFlow", {"inputs": "xs"}),
    "nn.bias_add": ("Add", {"value": "x1", "bias": "x2"}),
    "roll": ("Roll", {"input": "x", "shift": "shift", "axis": "axis"}),
    "math.argmax": ("Argmax", {"input": "x", "axis": "axis", "output_type": "dtype"}),
    "math.argmin": ("Argmin", {"input": "x", "axis": "axis", "output_type": "dtype"}),
    "math.cumsum": ("Cumsum", {"x": "x", "axis": "axis"}),
    "math.cumprod": ("Cumprod", {"x": "x", "axis": "axis"}),
    "math.atan2": ("Arctan2", {"y": "x1", "x": "x2"}),
    "compat.v1.pad": (
        "Pad",
        {
            "tensor": "x",
            "paddings": "pad_width",
            "mode": "mode",
            "constant_values": "constant_values",
        },
    ),
    "repeat": ("Repeat", {"input": "x", "repeats": "repeats", "axis": "axis"}),
    "tile": ("Tile", {"input": "x", "multiples": "repeats"}),
    "split": (
        "SplitOfTensorFlow",
        {"value": "x", "num_or_size_splits": "indices_or_sections", "axis": "axis"},
    ),
    "unstack": ("Unstack", {"value": "x", "num": "num", "axis": "axis"}),
    "nn.gelu": ("GeluOfTensorFlow", _SAME | {"approximate": "approximate"}),
}
TF_ONLY = {
    "SquaredDifference": elementwise("squared_difference", "x1", "x2"),
    "SliceOfTensorFlow": Function(("x", "begin", "size"), _slice),
    "AddOfTensorFlow": Function(("xs",), _add_all),
    "UnitOfTensorFlow": Function(("x", "axis", "epsilon"), _unit),
    "GeluOfTensorFlow": gelu(False),
    "SplitOfTensorFlow": Function(("x", "indices_or_sections", "axis"), _split_by_lengths),
}

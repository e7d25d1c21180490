"""Functions of tensors as layers: against NumPy in float64, with the laws and every refusal."""

import math
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.layers import (
    GLU,
    Accumulate,
    ArgSort,
    CategoryEncoding,
    Declared,
    Dense,
    Difference,
    Discretization,
    Dropout,
    Einsum,
    EinsumDense,
    Elementwise,
    ExpandDims,
    Flow,
    IntegerLookup,
    Interpolate,
    Layer,
    MatMul,
    Reduce,
    Repeat,
    Resizing,
    ReversibleEmbedding,
    Roll,
    Single,
    Slice,
    Sort,
    Split,
    Squeeze,
    Stack,
    Take,
    Transpose,
    WithMask,
)
from fastdrop.layers.operations import FUNCTIONS, REDUCTIONS
from fastdrop.layers.ordering import ACCUMULATIONS
from fastdrop.layers.resizing import COORDINATES, METHODS, ROUNDINGS
from layer_laws import check_laws, normal, output
from test_layers_merging import check_rows, run

X = normal(7, 4, 3)


def whole(x: np.ndarray) -> np.ndarray:
    return np.round(2 * x)


ONE = {
    "negative": lambda x: -x,
    "absolute": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "exp": math.exp,
    "expm1": math.expm1,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "arctan": math.atan,
    "arcsinh": math.asinh,
    "square": lambda x: x * x,
    "exp2": lambda x: 2.0**x,
    "reciprocal": lambda x: 1 / x,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,  # halves to even, as Python does
    "trunc": math.trunc,
    "identity": lambda x: x,
    "zeros": lambda x: 0,
    "ones": lambda x: 1,
    "logical_not": lambda x: x == 0,
    "isfinite": math.isfinite,
    "isinf": math.isinf,
}
OF_POSITIVE = {
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: 1 / math.sqrt(x),
}
OF_PARTS = {  # of numbers from -1 to 1
    "arcsin": math.asin,
    "arccos": math.acos,
    "arctanh": math.atanh,
    "arccosh": lambda x: math.acosh(x + 2),
}
TWO = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "floor_divide": lambda x, y: math.floor(x / y),
    "mod": lambda x, y: x - y * math.floor(x / y),
    "arctan2": math.atan2,
    "maximum": max,
    "minimum": min,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "logical_and": lambda x, y: x != 0 and y != 0,
    "logical_or": lambda x, y: x != 0 or y != 0,
    "logical_xor": lambda x, y: (x != 0) != (y != 0),
    "squared_difference": lambda x, y: (x - y) ** 2,
    "divide_no_nan": lambda x, y: x / y if y else 0.0,
    "logaddexp": lambda x, y: math.log(math.exp(x) + math.exp(y)),
    "hypot": math.hypot,
}
THREE = {
    "clip": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, x, y: x if condition != 0 else y,
    "whole": lambda x, size, most: x,
}
FOUR = {"nan_to_num": lambda x, nan, high, low: x if math.isfinite(x) else nan}


def compare(got: np.ndarray, function: Any, *xs: np.ndarray) -> None:
    for place in np.ndindex(*got.shape):
        expected = float(function(*(float(x[place]) for x in xs)))
        assert abs(got[place] - expected) <= 2e-6 * max(1, abs(expected)), place


def test_every_function_has_its_formula() -> None:
    assert set(FUNCTIONS) == {*ONE, *OF_POSITIVE, *OF_PARTS, *TWO, *THREE, *FOUR, "power"}
    families = ((ONE, 1), (OF_POSITIVE, 1), (OF_PARTS, 1), (TWO, 2), (THREE, 3), (FOUR, 4))
    for functions, count in families:
        assert {FUNCTIONS[name][0] for name in functions} == {count}


@pytest.mark.parametrize("function", [*ONE, *OF_POSITIVE])
def test_functions_of_one(function: str) -> None:
    x = np.abs(X) + np.float32(0.1) if function in OF_POSITIVE else X
    if function in ("round", "logical_not", "sign"):
        x = whole(X) / 2
    layer = Elementwise(name="f", function=function)
    check_laws(layer, x)
    compare(output(layer, x), (ONE | OF_POSITIVE)[function], x)


@pytest.mark.parametrize("function", OF_PARTS)
def test_functions_of_parts(function: str) -> None:
    x = X / np.float32(np.abs(X).max() + 0.1)
    given = x + 2 if function == "arccosh" else x
    layer = Elementwise(name="f", function=function)
    check_laws(layer, given)
    compare(output(layer, given), OF_PARTS[function], x)


@pytest.mark.parametrize("function", [*TWO, "power"])
def test_functions_of_two(function: str) -> None:
    a, b = whole(X), whole(normal(7, 4, 3, seed=1))
    if function in ("divide", "floor_divide", "mod"):
        b = np.where(b == 0, np.float32(1), b)
    formula = TWO.get(function, lambda x, y: x**y)
    if function == "power":
        a = np.abs(X)
    layer = Elementwise(name="f", function=function, operands=(0, 1))
    compare(check_rows(layer, a, b), formula, a, b)
    # The order is that of the operands, not that of the inputs.
    swapped = Elementwise(name="f", function=function, operands=(1, 0))
    np.testing.assert_array_equal(run(swapped, b, a).values, run(layer, a, b).values)
    # Constants, of one number or of several, on either side; the same tensor twice.
    c = b[0]
    right = Elementwise(name="f", function=function, operands=(0, c))
    check_laws(right, a)
    compare(output(right, a), formula, a, np.broadcast_to(c, a.shape))
    if function not in ("power", "divide", "floor_divide", "mod"):
        left = Elementwise(name="f", function=function, operands=(np.float32(2), 0))
        compare(output(left, a), formula, np.full_like(a, 2), a)
        twice = Elementwise(name="f", function=function, operands=(0, 0))
        compare(output(twice, a), formula, a, a)


@pytest.mark.parametrize("function", THREE)
def test_functions_of_three(function: str) -> None:
    condition, x, y = whole(X) / 2, normal(7, 4, 3, seed=1), normal(7, 4, 3, seed=2)
    if function == "clip":
        x, y = -np.abs(x), np.abs(y)
    if function == "whole":
        y = np.full_like(y, 2.0**24)
    layer = Elementwise(name="f", function=function, operands=(0, 1, 2))
    compare(check_rows(layer, condition, x, y), THREE[function], condition, x, y)
    constants = Elementwise(name="f", function=function, operands=(0, np.float32(-0.5), np.ones(3)))
    check_laws(constants, condition)
    compare(
        output(constants, condition),
        THREE[function],
        condition,
        np.full_like(X, -0.5),
        np.ones_like(X),
    )


def test_numbers_that_have_no_result_make_no_warning() -> None:
    zero = np.zeros((1, 2), np.float32)
    for function, expected in (("reciprocal", np.inf), ("log", -np.inf), ("rsqrt", np.inf)):
        assert (output(Elementwise(name="f", function=function), zero) == expected).all()
    assert np.isnan(
        run(Elementwise(name="f", function="divide", operands=(0, 1)), zero, zero).values
    ).all()


def test_shapes_of_functions() -> None:
    two = Elementwise(name="f", function="add", operands=(0, 1))
    assert two.output_shapes([(None, 3), (4, 1)]) == [(4, 3)]
    assert two.output_shapes([(None, 3), (None, 3)]) == [(None, 3)]
    assert two.output_shapes([(1, 3), (5, 3)]) == [(5, 3)]
    thin = Elementwise(name="f", function="add", operands=(0, np.zeros(3)))
    assert thin.output_shapes([(4, 1)]) == [(4, 3)]
    assert output(thin, normal(7, 4, 1)).shape == (7, 4, 3)


def test_constants_with_an_axis_for_the_batch() -> None:
    constant = normal(1, 4, 3)
    layer = Elementwise.declare([(4, 3)], name="f", function="add", operands=(0, constant))
    np.testing.assert_array_equal(layer.operands[1], constant[0])
    with pytest.raises(ValueError, match="a constant has more axes than a row"):
        Elementwise.declare(
            [(4, 3)], name="f", function="add", operands=(0, normal(2, 4, 3))
        ).output_shapes([(4, 3)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elementwise(name="f", function="erf"), "layer 'f' function: expected one of"),
        (
            lambda: Elementwise(name="f", function="add"),
            "layer 'f' operands: expected 2 of them, got 1",
        ),
        (
            lambda: Elementwise(name="f", function="exp", operands=(0, 1)),
            "layer 'f' operands: expected 1 of them, got 2",
        ),
        (
            lambda: Elementwise(name="f", function="add", operands=(0, 1)).output_shapes([(3,)]),
            "layer 'f': expected 2 inputs, got 1",
        ),
        (
            lambda: Elementwise(name="f", function="add", operands=(0, 1)).output_shapes(
                [(4, 3), (3,)]
            ),
            "layer 'f': expected inputs of equally many axes",
        ),
        (
            lambda: Elementwise(name="f", function="add", operands=(0, 1)).output_shapes(
                [(4, 3), (4, 2)]
            ),
            "layer 'f': expected shapes that broadcast",
        ),
        (
            lambda: Elementwise(name="f", function="add", operands=(0, np.ones(2))).output_shapes(
                [(4, 3)]
            ),
            "layer 'f': expected shapes that broadcast",
        ),
        (lambda: Reduce(name="r", function="spread"), "layer 'r' function: expected one of 16"),
        (
            lambda: Reduce(name="r", function="sum", keepdims=1),
            "layer 'r' keepdims: expected True or False",
        ),
        (
            lambda: Reduce(name="r", function="sum", axes=(2,)).output_shape((4, 3)),
            "layer 'r': expected an axis of a row of 2 axes, got 2",
        ),
        (
            lambda: Reduce(name="r", function="sum", axes=(-3,)).output_shape((4, 3)),
            "layer 'r': expected an axis of a row of 2 axes, got -3",
        ),
        (lambda: Slice(name="s", key=("a",)), "layer 's' key: expected integers, slices and None"),
        (lambda: Slice(name="s", key=(1.0,)), "layer 's' key: expected integers, slices and None"),
        (
            lambda: Slice(name="s", key=(4,)).output_shape((4, 3)),
            "layer 's': index 4 of an axis of length 4",
        ),
        (
            lambda: Slice(name="s", key=(-5,)).output_shape((4, 3)),
            "layer 's': index -5 of an axis of length 4",
        ),
        (
            lambda: Slice(name="s", key=(0, 0, 0)).output_shape((4, 3)),
            "layer 's': expected at most 2 indices",
        ),
        (
            lambda: Slice.declare([(4, 3)], name="s", whole=(0, 1)),
            "layer 's' key: expected a key that takes the whole batch",
        ),
        (
            lambda: Slice.declare([(4, 3)], name="s"),
            "layer 's' key: expected a key that takes the whole batch",
        ),
        (
            lambda: Slice.declare([(4, 3)], name="s", whole=(..., ...)),
            "layer 's' key: expected a key that takes the whole batch",
        ),
        (
            lambda: Slice.declare([(4, 3)], name="s", whole=(slice(1, None),)),
            "layer 's' key: expected a key that takes the whole batch",
        ),
        (
            lambda: Slice.declare([(4, 3)], name="s", whole=(slice(None), 0, 0, 0)),
            "layer 's' key: expected a key that takes the whole batch",
        ),
        (
            lambda: ExpandDims(name="e", axis=3).output_shape((4, 3)),
            "layer 'e': expected an axis of a row of 3 axes, got 3",
        ),
        (
            lambda: Squeeze(name="q", axes=(1,)).output_shape((1, 3)),
            "layer 'q': expected an input of shape of length 1 along axis 1",
        ),
        (
            lambda: Squeeze(name="q", axes=(2,)).output_shape((1, 3)),
            "layer 'q': expected an axis of a row of 2 axes",
        ),
        (
            lambda: Squeeze(name="q", axes=(0, -2)).output_shape((1, 3)),
            r"layer 'q': expected axes that differ, got \(0, -2\)",
        ),
        (
            lambda: Reduce(name="r", function="sum", axes=(1, 1)).output_shape((4, 3)),
            r"layer 'r': expected axes that differ, got \(1, 1\)",
        ),
        (
            lambda: Stack(name="k", axis=0).output_shapes([]),
            "layer 'k': expected one input or more, got 0",
        ),
        (
            lambda: Stack(name="k", axis=0).output_shapes([(4, 3), (3,)]),
            "layer 'k': expected inputs of one shape",
        ),
        (
            lambda: Stack(name="k", axis=3).output_shapes([(4, 3)] * 2),
            "layer 'k': expected an axis of a row of 3 axes",
        ),
        (
            lambda: Transpose(name="t", axes=(0, 0)).output_shape((4, 3)),
            r"layer 't': expected an input of shape of 2 axes, to be ordered \(0, 0\)",
        ),
        (lambda: Transpose(name="t", axes=(1, 0)).output_shape((4,)), "layer 't': expected an"),
        (
            lambda: Transpose.declare([(4, 3)], name="t", moved=((0, 2), (1, 0))),
            "layer 't': expected an axis of a row of 2 axes, got 2",
        ),
        (
            lambda: Interpolate(name="i", axis=0, scale=2.0, size=3),
            r"layer 'i': expected one of scale and size, positive, got scale=2.0, size=3",
        ),
        (
            lambda: Interpolate(name="i", axis=0).output_shapes([(4,)]),
            r"layer 'i': expected a second input, with an axis as long as wanted, got \[\(4,\)\]",
        ),
        (
            lambda: Interpolate(name="i", axis=0).output_shapes([(4,), ()]),
            "layer 'i': expected a second input, with an axis",
        ),
        (
            lambda: Interpolate(name="i", axis=0, size=2).output_shapes([(4,), (3,)]),
            "layer 'i': expected one input, got",
        ),
        (lambda: Interpolate(name="i", axis=0, size=-1), "expected one of scale and size"),
        (lambda: Interpolate(name="i", axis=0, size=2.5), "layer 'i' size: expected an integer"),
        (lambda: Interpolate(name="i", axis=0, scale=np.inf), "expected one of scale and size"),
        (lambda: Interpolate(name="i", axis=0, size=2, method="area"), "layer 'i' method"),
        (lambda: Interpolate(name="i", axis=1, size=2).output_shapes([(4,)]), "axis of a row of 1"),
        (lambda: ArgSort(name="o", axis=2).output_shape((4, 3)), "axis of a row of 2 axes, got 2"),
        (lambda: ArgSort(name="o", axis=0, descending=1), "layer 'o' descending"),
        (lambda: Sort(name="o", axis=2).output_shapes([(4, 3)]), "axis of a row of 2 axes, got 2"),
        (lambda: Sort(name="o", axis=0, count=5).output_shapes([(4, 3)]), "of 5 places or more"),
        (lambda: Sort(name="o", axis=0, count=0), "layer 'o' count"),
        (lambda: Sort(name="o", axis=0, descending=1), "layer 'o' descending"),
        (lambda: Difference(name="d", axis=2).output_shape((4, 3)), "of a row of 2 axes, got 2"),
        (lambda: Difference(name="d", axis=0, times=65), "layer 'd' times"),
        (lambda: Difference(name="d", axis=0, times=-1), "layer 'd' times"),
        (
            lambda: ReversibleEmbedding(name="e", table=normal(7, 3), reverse_table=normal(7, 3)),
            r"'e' reverse_table: expected shape \(3, 7\)",
        ),
        (
            lambda: ReversibleEmbedding(name="e", table=normal(7, 3), soft_cap=0),
            "'e' soft_cap: expected a number of a size in .*, got 0",
        ),
        (
            lambda: ReversibleEmbedding(name="e", table=normal(7, 3), reverse=1),
            "'e' reverse: expected",
        ),
        (
            lambda: ReversibleEmbedding(name="e", table=normal(7, 3), reverse=True).output_shape(
                (4, 7)
            ),
            r"of shape \(..., 3\), got \(4, 7\)",
        ),
        (lambda: GLU(name="g").output_shape((4, 3)), "of an even length on axis -1"),
        (lambda: GLU(name="g", axis=0).output_shape((None, 3)), "of an even length on axis 0"),
        (lambda: GLU(name="g", axis=2).output_shape((4, 3)), "of a row of 2 axes, got 2"),
        (lambda: Accumulate(name="a", axis=0, function="mean"), "layer 'a' function"),
        (lambda: Accumulate(name="a", axis=-3, function="sum").output_shape((4, 3)), "got -3"),
        (
            lambda: MatMul(name="p").output_shapes([(4, 3)]),
            "layer 'p': expected two inputs of matrices",
        ),
        (
            lambda: MatMul(name="p").output_shapes([(4, 3), (3,)]),
            "layer 'p': expected two inputs of matrices",
        ),
        (
            lambda: MatMul(name="p").output_shapes([(4, 3), (4, 3)]),
            "layer 'p': expected matrices that fit",
        ),
        (
            lambda: MatMul(name="p", transpose_b=True).output_shapes([(4, 3), (3, 4)]),
            "layer 'p': expected matrices that fit",
        ),
        (
            lambda: MatMul(name="p").output_shapes([(2, 4, 3), (3, 4)]),
            "layer 'p': expected two inputs of matrices",
        ),
        (
            lambda: MatMul(name="p").output_shapes([(2, 4, 3), (3, 3, 4)]),
            "layer 'p': expected shapes that broadcast",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# ---- reductions ----


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [None, (0,), (1,), (-1,), (0, -1), (1, 0), (-2,)])
@pytest.mark.parametrize("function", REDUCTIONS)
def test_reductions(function: str, axes: Any, keepdims: bool) -> None:
    x = whole(X) if function in ("any", "all", "count_nonzero") else X
    one = function in ("argmax", "argmin")
    if one and (axes is None or len(axes) > 1):
        axes = (1,)
    layer = Reduce(name="r", function=function, axes=axes, keepdims=keepdims)
    check_laws(layer, x)
    at = (1, 2) if axes is None else tuple(1 + a % 2 for a in axes)
    values = x.astype(float) != 0 if function in ("any", "all") else x.astype(float)
    if function == "middle":
        expected = np.median(values, axis=at, keepdims=keepdims)
    elif function == "median":  # the lower one of two in the middle
        expected = np.quantile(values, 0.5, axis=at, method="lower", keepdims=keepdims)
    elif function == "logsumexp":
        expected = np.log(np.exp(values).sum(axis=at, keepdims=keepdims))
    elif function == "norm":
        expected = np.sqrt((values**2).sum(axis=at, keepdims=keepdims))
    else:
        expected = getattr(np, function)(values, axis=at[0] if one else at, keepdims=keepdims)
    np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-6)


def test_what_is_finite() -> None:
    x = np.array([[1.0, np.nan, np.inf, -np.inf]], np.float32)
    for function, expected in (("isfinite", [1, 0, 0, 0]), ("isinf", [0, 0, 1, 1])):
        found = output(Elementwise(name="f", function=function), x)
        np.testing.assert_array_equal(found, [expected])


def test_norms_of_large_numbers() -> None:
    """Their squares are more than float32 holds."""
    x = np.full((1, 4), 1e30, np.float32)
    found = output(Reduce(name="r", function="norm", axes=(0,)), x)
    np.testing.assert_allclose(found, [2e30], rtol=1e-6)


def test_the_median_of_what_is_no_number_is_none() -> None:
    x = np.array([[1.0, np.nan, 2.0], [3.0, 2.0, np.inf]], np.float32)
    for function in ("median", "middle"):
        found = output(Reduce(name="r", function=function, axes=(0,)), x)
        np.testing.assert_array_equal(found, [np.nan, 3])


def test_halfway_between_two_numbers() -> None:
    """Also where their sum is more than float32 holds."""
    x = np.array([[3e38, 5, 3e38, -np.inf], [np.inf, 1, np.inf, 2]], np.float32)
    found = output(Reduce(name="r", function="middle", axes=(0,)), x)
    np.testing.assert_array_equal(
        found, np.array([(5 + np.float64(np.float32(3e38))) / 2, np.inf], np.float32)
    )


def test_numbers_for_those_that_are_none() -> None:
    x = np.array([[1, np.nan, np.inf, -np.inf]], np.float32)
    layer = Elementwise(name="f", function="nan_to_num", operands=(0, 2.0, 3.0, 4.0))
    np.testing.assert_array_equal(output(layer, x), [[1, 2, 3, 4]])
    check_laws(layer, np.where(X > 1, np.nan, X))


# ---- orders ----


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("descending", [False, True])
def test_places_in_order(descending: bool, axis: int) -> None:
    x = whole(X)  # of which many are equal
    layer = ArgSort(name="o", axis=axis, descending=descending)
    check_laws(layer, x)
    at = 1 + axis % 2
    wanted = np.argsort(-x if descending else x, axis=at, kind="stable")
    np.testing.assert_array_equal(output(layer, x), wanted)


def test_what_is_no_number_is_the_largest() -> None:
    x = np.array([[np.nan, -np.inf, 2, np.inf]], np.float32)
    np.testing.assert_array_equal(output(ArgSort(name="o", axis=0), x), [[1, 2, 3, 0]])
    back = ArgSort(name="o", axis=0, descending=True)
    np.testing.assert_array_equal(output(back, x), [[0, 3, 2, 1]])


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("count", [None, 1, 3])
def test_numbers_in_order(descending: bool, axis: int, count: int | None) -> None:
    x = whole(X)  # of which many are equal
    layer = Sort(name="o", axis=axis, descending=descending, count=count)
    at = 1 + axis % 2
    places = np.argsort(-x if descending else x, axis=at, kind="stable")
    places = np.take(places, range(count or x.shape[at]), axis=at)
    numbers = np.sort(x, axis=at)
    numbers = np.take(np.flip(numbers, at) if descending else numbers, range(places.shape[at]), at)
    for k, expected in enumerate((numbers, places)):
        check_laws(Of(layer, k), x)
        np.testing.assert_array_equal(output(Of(layer, k), x), expected)


class Of(Single):
    """One of several outputs of a layer."""

    def __init__(self, layer: Layer, number: int) -> None:
        object.__setattr__(self, "name", layer.name)
        object.__setattr__(self, "layer", layer)
        object.__setattr__(self, "number", number)

    def output_shapes(self, inputs: Any) -> list[Any]:
        return [self.layer.output_shapes(inputs)[self.number]]

    def run(self, inputs: Any, draw: Any) -> list[Flow]:
        return [self.layer.run(inputs, draw)[self.number]]


def test_numbers_in_order_where_there_are_fewer() -> None:
    layer = Sort(name="o", axis=0, count=3)
    assert layer.output_shapes([(None, 2)]) == [(3, 2)] * 2
    with pytest.raises(ValueError, match="layer 'o': expected 3 numbers or more"):
        output(layer, X[:, :2])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_differences(axis: int, times: int) -> None:
    layer = Difference(name="d", axis=axis, times=times)
    check_laws(layer, X)
    expected = np.diff(X.astype(float), times, axis=1 + axis % 2)
    np.testing.assert_allclose(output(layer, X), expected, rtol=1e-6, atol=1e-6)
    assert layer.output_shape((None, None)) == (None, None)


@pytest.mark.parametrize("cap", [None, 0.75, -2.0])
@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_that_are_reversed(tied: bool, cap: float | None) -> None:
    table, own = normal(7, 3, seed=1), normal(3, 7, seed=2)
    layer = ReversibleEmbedding(
        name="e", table=table, reverse_table=None if tied else own, reverse=True, soft_cap=cap
    )
    x = normal(7, 5, 3, seed=3)
    expected = x.astype(np.float64) @ (table.T if tied else own)
    if cap is not None:
        expected = cap * np.tanh(expected / cap)
    np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-5)
    check_laws(layer, x)
    assert not layer.takes_indices


@pytest.mark.parametrize("axis", [0, -2])
def test_halves_that_gate_each_other(backend: str, axis: int) -> None:
    layer = GLU(name="g", axis=axis)
    check_laws(layer, X)
    x = X.astype(float)
    np.testing.assert_allclose(
        output(layer, X), x[:, :2] / (1 + np.exp(-x[:, 2:])), rtol=1e-5, atol=1e-6
    )
    assert GLU(name="g").each_step([(4, 6)])
    assert not layer.each_step([(4, 6)])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("function", ACCUMULATIONS)
def test_numbers_up_to_a_place(function: str, axis: int) -> None:
    layer = Accumulate(name="a", function=function, axis=axis)
    check_laws(layer, X)
    numpy = {"sum": sum, "prod": math.prod, "max": max, "min": min}.get(
        function, lambda v: math.log(sum(map(math.exp, v)))
    )
    moved = np.moveaxis(X, 1 + axis % 2, -1)
    expected = [
        [numpy([float(v) for v in line[: i + 1]]) for i in range(len(line))]
        for line in moved.reshape(-1, moved.shape[-1])
    ]
    found = np.moveaxis(output(layer, X), 1 + axis % 2, -1).reshape(-1, moved.shape[-1])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_long_sums_are_of_binary64() -> None:
    x = np.full((1, 2**20), np.float32(0.1))
    found = output(Accumulate(name="a", function="sum", axis=0), x)[0, -1]
    np.testing.assert_allclose(found, 2**20 * float(np.float32(0.1)), rtol=1e-7)


# ---- other places ----


def curve(line: list[float], place: float) -> float:
    """Return a cubic convolution (Keys, 1981, a = -3/4) of numbers; the ends stay."""

    def share(distance: float) -> float:
        d, a = abs(distance), -0.75
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    near = range(math.floor(place) - 1, math.floor(place) + 3)
    return sum(line[min(max(i, 0), len(line) - 1)] * share(place - i) for i in near)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lengths", [{"scale": 2.0}, {"scale": 0.75}, {"size": 9}, {"size": 1}])
def test_interpolation(method: str, lengths: Any, coordinates: str) -> None:
    layer = Interpolate(
        name="i", axis=0, method=method, coordinates=coordinates, rounding="floor", **lengths
    )
    check_laws(layer, X)
    found = output(layer, X)
    own = X.shape[1]
    count = lengths.get("size", math.floor(own * lengths.get("scale", 0)))
    assert found.shape == (7, count, 3)
    step = own / count if "size" in lengths else 1 / lengths["scale"]
    for i in range(count):
        if coordinates == "align_corners":
            place = i * (own - 1) / max(count - 1, 1)
        else:
            half = 0.5 if coordinates == "half_pixel" else 0.0
            place = (i + half) * step - half
        for row, channel in np.ndindex(7, 3):
            line = X[row, :, channel].tolist()
            if method == "nearest":
                wanted = line[min(max(math.floor(place), 0), own - 1)]
            elif method == "linear":
                wanted = float(np.interp(place, range(own), line))
            else:
                wanted = curve(line, place)
            assert abs(found[row, i, channel] - wanted) < 1e-5, (i, row, channel)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("floor", [0, 0, 1, 1, 2, 2, 3, 3]),
        ("ceil", [0, 1, 1, 2, 2, 3, 3, 3]),
        ("round_prefer_floor", [0, 0, 1, 1, 2, 2, 3, 3]),
        ("round_prefer_ceil", [0, 1, 1, 2, 2, 3, 3, 3]),
    ],
)
def test_the_nearest_of_two(rounding: str, expected: list[int]) -> None:
    assert rounding in ROUNDINGS
    x = np.arange(4, dtype=np.float32)[np.newaxis]
    layer = Interpolate(
        name="i", axis=0, scale=2.0, method="nearest", coordinates="asymmetric", rounding=rounding
    )
    np.testing.assert_array_equal(output(layer, x)[0], expected)


def test_beyond_the_ends_lines_stay_as_they_are() -> None:
    x = normal(50, 4, 3)
    found = output(Interpolate(name="i", axis=0, scale=3.0), x)
    for i in (0, -1):
        np.testing.assert_array_equal(found[:, i], x[:, i])


def test_lengths_of_what_is_interpolated() -> None:
    layer = Interpolate(name="i", axis=0, scale=1.5)
    assert layer.output_shapes([(None, 3)]) == [(None, 3)]
    assert layer.output_shapes([(5, 3)]) == [(7, 3)]
    assert output(layer, normal(2, 9, 3)).shape == (2, 13, 3)
    with pytest.raises(ValueError, match="expected numbers along axis 0, got none"):
        output(Interpolate(name="i", axis=0, size=3), np.zeros((2, 0, 3), np.float32))


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("method", METHODS)
def test_as_many_places_as_another_input_has(method: str, coordinates: str) -> None:
    options: dict[str, Any] = {"method": method, "coordinates": coordinates}
    layer = Interpolate(name="i", axis=0, **options)
    assert layer.output_shapes([(None, 3), (None, 2)]) == [(None, 3)]
    assert layer.output_shapes([(4, 3), (7, 2)]) == [(7, 3)]
    values, like = Flow(X[np.newaxis]), Flow(normal(2, 7, 9, 2))
    (found,) = layer.run([values, like], None)
    (expected,) = Interpolate(name="i", axis=0, size=9, **options).run([values], None)
    np.testing.assert_array_equal(found.values, expected.values)


def test_reductions_of_long_rows_do_not_depend_on_others() -> None:
    """NumPy adds in an order that may follow the layout; a row's own must not."""
    x = normal(7, 300, 5)
    for axes in ((0,), (1,), (0, 1)):
        check_laws(Reduce(name="r", function="mean", axes=axes), x)
    assert Reduce(name="r", function="sum", axes=(0,)).output_shape((None, 3)) == (3,)
    assert Reduce(name="r", function="sum", axes=(1,)).output_shape((None, 3)) == (None,)
    assert Reduce(name="r", function="sum").output_shape((None, 3)) == ()


# ---- slices and shapes ----


@pytest.mark.parametrize(
    ("whole_key", "key"),
    [
        ((slice(None), 1), (1,)),
        ((slice(None), -1), (-1,)),
        ((slice(None), slice(1, 3)), (slice(1, 3),)),
        ((slice(None), slice(None, None, -2), slice(0, 2)), (slice(None, None, -2), slice(0, 2))),
        ((slice(None), None, 2), (None, 2)),
        ((..., 1), (slice(None), 1)),
        ((..., None), (slice(None), slice(None), None)),
        ((slice(None), ..., slice(-2, None)), (slice(None), slice(-2, None))),
        ((slice(None), 0, ...), (0, slice(None))),
        ((slice(None),), ()),
        ((...,), ()),
    ],
    ids=str,
)
def test_slices(whole_key: Any, key: Any) -> None:
    layer = Slice.declare([(4, 3)], name="s", whole=whole_key)
    check_laws(layer, X)
    np.testing.assert_array_equal(output(layer, X), X[whole_key])
    np.testing.assert_array_equal(output(Slice(name="s", key=key), X), X[whole_key])


def test_slices_of_lengths_left_open() -> None:
    assert Slice(name="s", key=(9,)).output_shape((None, 3)) == (3,)
    assert Slice(name="s", key=(slice(1, 3),)).output_shape((None, 3)) == (None, 3)
    assert Slice(name="s", key=(slice(1, 30),)).output_shape((4, 3)) == (3, 3)
    assert Slice(name="s", key=(0, slice(0, 0))).output_shape((4, 3)) == (0,)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_expand_dims(axis: int) -> None:
    layer = ExpandDims(name="e", axis=axis)
    check_laws(layer, X)
    for n in range(7):
        np.testing.assert_array_equal(output(layer, X)[n], np.expand_dims(X[n], axis))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1, 3), None), ((1, 3), (0,)), ((3, 1), (-1,)), ((1, 2, 1), (2, 0)), ((1, 2, 1), None)],
)
def test_squeeze(shape: Any, axes: Any) -> None:
    layer = Squeeze(name="q", axes=axes)
    x = normal(7, *shape)
    check_laws(layer, x)
    for n in range(7):
        np.testing.assert_array_equal(output(layer, x)[n], np.squeeze(x[n], axes))
    assert Squeeze(name="q", axes=(0,)).output_shape((None, 3)) == (3,)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack(axis: int) -> None:
    xs = [normal(7, 4, 3, seed=i) for i in range(3)]
    got = check_rows(Stack(name="k", axis=axis), *xs)
    for n in range(7):
        np.testing.assert_array_equal(got[n], np.stack([x[n] for x in xs], axis=axis))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
def test_transpose(axes: Any) -> None:
    x = normal(7, 4, 3, 2)
    layer = Transpose(name="t", axes=axes)
    check_laws(layer, x)
    for n in range(7):
        np.testing.assert_array_equal(output(layer, x)[n], x[n].transpose(axes))


@pytest.mark.parametrize(
    "moved", [((-1, 0), (0, -1)), ((0,), (-1,)), ((2, 0), (1, 0)), ((1, 2), (0, 1)), ((), ())]
)
def test_moved_axes(moved: Any) -> None:
    layer = Transpose.declare([(4, 3, 2)], name="t", moved=moved)
    (shape,) = layer.output_shapes([(4, 3, 2)])
    assert shape == np.moveaxis(np.empty((4, 3, 2)), *moved).shape
    with pytest.raises(TypeError, match="more"):
        Transpose.declare([(4, 3, 2)], name="t", moved=moved, more=1)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(4, 3), (3, 2)]),
        ("ij,kj->ki", [(4, 3), (2, 3)]),
        ("qhd,khd->hqk", [(4, 2, 3), (5, 2, 3)]),
        ("hqk,khd->qhd", [(2, 4, 5), (5, 2, 3)]),
        ("i,j->ij", [(4,), (3,)]),
        ("i,i->", [(4,), (4,)]),
        ("i,i->i", [(4,), (4,)]),
        ("ij,k->k", [(4, 3), (2,)]),
        ("ijk->ki", [(4, 3, 2)]),
        ("i,ij,j->i", [(4,), (4, 3), (3,)]),
        ("ij,kl,jk->il", [(2, 3), (4, 2), (3, 4)]),
    ],
)
def test_einsum(backend: str, equation: str, shapes: list[tuple[int, ...]]) -> None:
    inputs = [normal(7, *shape) for shape in shapes]
    got = check_rows(Einsum(name="e", equation=equation), *inputs)
    for n in range(7):
        expected = np.einsum(equation, *(x[n].astype(float) for x in inputs))
        np.testing.assert_allclose(got[n], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "shapes", "of_factor"),
    [
        ("ij,kl,jl->ik", [(4, 3), (5, 2)], (3, 2)),
        ("ij,kj,j->ik", [(4, 3), (5, 3)], (3,)),
        ("i,jk,lk->il", [(4,), (5, 3)], (2, 3)),
        ("ij,ij,k->ik", [(4, 3), (4, 3)], (5,)),
        ("ij,ij,->i", [(4, 3), (4, 3)], ()),
        ("ij,jk->ik", [(4, 3)], (3, 2)),
    ],
)
def test_einsum_with_numbers_of_all_rows(
    backend: str, equation: str, shapes: list[tuple[int, ...]], of_factor: tuple[int, ...]
) -> None:
    inputs, factor = [normal(7, *shape) for shape in shapes], normal(*of_factor, seed=9)
    layer = Einsum(name="e", equation=equation, factor=factor)
    got = check_rows(layer, *inputs)
    for n in range(7):
        expected = np.einsum(equation, *(x[n].astype(float) for x in inputs), factor.astype(float))
        np.testing.assert_allclose(got[n], expected, rtol=1e-5, atol=1e-5)
    assert layer.output_shapes(shapes) == [got.shape[1:]]


def test_numbers_of_all_rows_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="'e' factor: expected"):
        Einsum(name="e", equation="ij,jk->ik", factor=normal(3))
    layer = Einsum(name="e", equation="ij,kj,jl->ikl", factor=normal(2, 2))
    with pytest.raises(ValueError, match="layer 'e': expected ij,kj,jl->ikl, got"):
        layer.output_shapes([(4, 3), (5, 3)])


@pytest.mark.parametrize(
    ("whole", "shapes", "equation"),
    [
        ("bij, bjk -> bik", [(4, 3), (3, 2)], "ij,jk->ik"),
        ("...ij,...jk->...ik", [(4, 3), (3, 2)], "ij,jk->ik"),
        ("...ij,...jk->...ik", [(5, 4, 3), (5, 3, 2)], "Zij,Zjk->Zik"),
        ("b...,b...->b", [(4, 3), (4, 3)], "YZ,YZ->"),
    ],
)
def test_equations_that_name_the_batch(
    whole: str, shapes: list[tuple[int, ...]], equation: str
) -> None:
    assert Einsum.declare(shapes, name="e", whole=whole).equation == equation


@pytest.mark.parametrize(
    "whole",
    ["ij,jk->ik", "bij,bjk->ikb", "bij,bjk", "bij->bi", "bijk,bjk->bik", "bij,bjk->ik", "b,b->b"],
)
def test_equations_that_do_not_fit_are_refused(whole: str) -> None:
    with pytest.raises(ValueError, match="layer 'e' equation: expected a letter for each axis"):
        Einsum.declare([(4, 3), (3, 2)], name="e", whole=whole)


@pytest.mark.parametrize("equation", ["ii->i", "ij,jk", "ij,jk->ii", "i1->i", "ij->ik", "->->"])
def test_what_is_no_equation_is_refused(equation: str) -> None:
    with pytest.raises(ValueError, match="layer 'e' equation: expected an equation of letters"):
        Einsum(name="e", equation=equation)


def test_lengths_that_an_equation_does_not_know() -> None:
    layer = Einsum(name="e", equation="ij,jk->ik")
    assert layer.output_shapes([(None, 3), (3, None)]) == [(None, None)]
    for shapes in ([(4, 3), (2, 2)], [(4, 3)], [(4,), (3, 2)]):
        with pytest.raises(ValueError, match="layer 'e': expected ij,jk->ik, got"):
            layer.output_shapes(shapes)


DENSE = {
    "dense": ("c,cd->d", (3,), (3, 5), (5,)),
    "steps": ("tc,cd->td", (4, 3), (3, 5), (5,)),
    "heads": ("tc,chd->thd", (4, 3), (3, 2, 5), (2, 5)),
    "joined": ("thd,hde->te", (4, 2, 3), (2, 3, 5), None),
    "of each step": ("tc,tcd->td", (4, 3), (4, 3, 5), (4, 5)),
    "over steps": ("tc,td->dc", (4, 3), (4, 5), (5, 1)),
    "scaled": ("tc,tc->ct", (4, 3), (4, 3), None),
}


@pytest.mark.parametrize("kind", DENSE)
def test_einsum_with_weights(backend: str, kind: str) -> None:
    equation, shape, of_kernel, of_bias = DENSE[kind]
    kernel = normal(*of_kernel)
    bias = None if of_bias is None else normal(*of_bias)
    layer = EinsumDense(name="e", equation=equation, kernel=kernel, bias=bias, activation="tanh")
    x = normal(7, *shape)
    check_laws(layer, x)
    got = output(layer, x)
    for n in range(7):
        sums = np.einsum(equation, x[n].astype(float), kernel.astype(float))
        expected = np.tanh(sums + (0 if bias is None else bias))
        np.testing.assert_allclose(got[n], expected, rtol=1e-5, atol=1e-5)


def test_einsum_over_the_last_axis_is_a_dense_layer(backend: str) -> None:
    kernel, bias, x = normal(3, 5), normal(5), normal(7, 4, 3)
    got = output(EinsumDense(name="e", equation="tc,cd->td", kernel=kernel, bias=bias), x)
    np.testing.assert_allclose(
        got, output(Dense(name="d", kernel=kernel, bias=bias), x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"whole": "abc,cd->abd", "output": (4,)}, "expected lengths of abc,cd->abd"),
        ({"whole": "abc,cd->abd", "output": (5, 2)}, "expected lengths"),
        ({"whole": "abc,cd->abd", "output": (4, None)}, "expected lengths"),
        ({"whole": "abc,cd->abd", "output": (4, 2), "bias_axes": "c"}, "expected lengths"),
        ({"whole": "abc,acd->abd", "output": (4, 2)}, "a letter for each axis"),
        ({"whole": "abcd,cd->abd", "output": (4, 2)}, "a letter for each axis"),
        ({"whole": "abc,de->abde", "output": (4, 2, 2)}, "axes"),
    ],
)
def test_weights_that_an_equation_does_not_have(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EinsumDense.declare([(4, 3)], name="e", **options)


@pytest.mark.parametrize("shape", [(4,), (2, 5), (4, 5, 1), (1, 4, 5)])
def test_a_bias_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    """As one that would make the result another one's shape."""
    layer = EinsumDense(
        name="e", equation="tc,cd->td", kernel=normal(3, 5), bias=np.zeros(shape, np.float32)
    )
    with pytest.raises(ValueError, match="layer 'e' bias: expected what can be added to"):
        layer.output_shapes([(4, 3)])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("cuts", [(), (1,), (0, 2), (1, 1, 3)])
def test_split(axis: int, cuts: tuple[int, ...]) -> None:
    x = normal(7, 3, 3)
    layer = Split(name="s", axis=axis, cuts=cuts)
    parts = [flow.values[0] for flow in layer.run([Flow(x[np.newaxis])], None)]
    expected = np.split(x, cuts, axis=1 + axis % 2)
    assert [p.shape[1:] for p in parts] == layer.output_shapes([(3, 3)])
    for got, part in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(got, part)


def test_parts_of_some_lengths() -> None:
    def cuts(**options: Any) -> Any:
        return Split.declare([(6, 3)], name="s", axis=0, **options).cuts

    assert cuts(count=3) == (2, 4)
    assert cuts(lengths=(1, 2, 3)) == (1, 3)
    assert cuts(cuts=(2,)) == (2,)
    for options in ({"count": 4}, {"count": 0}, {"lengths": (1, 2)}):
        with pytest.raises(ValueError, match="layer 's': expected"):
            cuts(**options)
    with pytest.raises(ValueError, match="equal parts, got None"):
        Split.declare([(None, 3)], name="s", axis=0, count=2)
    for wrong in ((2, 1), (-1,)):
        with pytest.raises(ValueError, match="layer 's' cuts"):
            Split(name="s", axis=0, cuts=wrong)
    for shape in ((1, 3), (None, 3)):
        with pytest.raises(ValueError, match="a fixed length of 2 or more on axis 0"):
            Split(name="s", axis=0, cuts=(2,)).output_shapes([shape])


def test_unstacked_parts() -> None:
    x = normal(7, 4, 3)
    layer = Split.declare([(4, 3)], name="s", axis=-1, unstacked=True)
    parts = [flow.values[0] for flow in layer.run([Flow(x[np.newaxis])], None)]
    assert layer.output_shapes([(4, 3)]) == [(4,)] * 3
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part, x[..., i])
    with pytest.raises(ValueError, match="with 3 places on axis -1"):
        layer.output_shapes([(4, 5)])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("whole", [False, True])
def test_repeated_numbers(axis: int, whole: bool) -> None:
    x = normal(7, 4, 3)
    layer = Repeat(name="r", axis=axis, count=3, whole=whole)
    check_laws(layer, x)
    times = [1, 1, 1]
    times[1 + axis % 2] = 3
    expected = np.tile(x, times) if whole else np.repeat(x, 3, axis=1 + axis % 2)
    np.testing.assert_array_equal(output(layer, x), expected)
    assert layer.output_shapes([(None, None)]) == [(None, None)]


def test_a_number_of_times() -> None:
    with pytest.raises(ValueError, match="layer 'r' count"):
        Repeat(name="r", axis=0, count=0)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("places", [(1,), (0, -1, 0), (2, 1, 0, 1)])
def test_some_places(axis: int, places: tuple[int, ...]) -> None:
    layer = Take(name="t", axis=axis, places=places)
    check_laws(layer, X)
    at = 1 + axis % 2
    np.testing.assert_array_equal(output(layer, X), np.take(X, places, axis=at))
    assert layer.output_shape((None, None))[at - 1] == len(places)


@pytest.mark.parametrize("shift", [0, 1, -1, 5])
@pytest.mark.parametrize("axis", [0, -1])
def test_places_moved_round(axis: int, shift: int) -> None:
    layer = Roll(name="r", axis=axis, shift=shift)
    check_laws(layer, X)
    np.testing.assert_array_equal(output(layer, X), np.roll(X, shift, axis=1 + axis % 2))
    assert layer.output_shape((None, 3)) == (None, 3)
    assert layer.each_step([(4, 3)]) == (axis == -1)
    with pytest.raises(ValueError, match="of a row of 1 axes, got 1"):
        Roll(name="r", axis=1, shift=shift).output_shape((3,))
    with pytest.raises(TypeError, match="layer 'r' shift: expected an integer"):
        Roll(name="r", axis=axis, shift=0.5)


@pytest.mark.parametrize("place", [3, -4])
def test_places_beyond(place: int) -> None:
    layer = Take(name="t", axis=-1, places=(0, place))
    with pytest.raises(ValueError, match=f"of {max(place + 1, -place)} places or more on axis -1"):
        layer.output_shape((4, 3))
    with pytest.raises(ValueError, match="layer 't' places: expected at least one"):
        Take(name="t", axis=0, places=())


def cells(x: np.ndarray, lengths: tuple[int, int], nearest: bool) -> np.ndarray:
    """Return images of other heights and widths, number by number."""
    rows, *old, channels = x.shape
    out = np.empty((rows, *lengths, channels))
    for y, z in np.ndindex(*lengths):
        middles = [(n + 0.5) * a / b for n, a, b in zip((y, z), old, lengths, strict=True)]
        if nearest:
            at = [min(int(m), a - 1) for m, a in zip(middles, old, strict=True)]
            out[:, y, z] = x[:, at[0], at[1]]
            continue
        total = np.zeros((rows, channels))
        for i, j in np.ndindex(2, 2):
            share, at = 1.0, []
            for m, a, far in zip(middles, old, (i, j), strict=True):
                first = math.floor(m - 0.5)
                t = m - 0.5 - first
                share *= t if far else 1 - t
                at.append(min(max(first + far, 0), a - 1))
            total += share * x[:, at[0], at[1]]
        out[:, y, z] = total
    return out


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(3, 7), (8, 2), (5, 4), (1, 1)])
def test_images_of_another_size(size: tuple[int, int], interpolation: str) -> None:
    x = normal(7, 5, 4, 2)
    layer = Resizing(name="r", size=size, interpolation=interpolation)
    check_laws(layer, x)
    expected = cells(x.astype(float), size, interpolation == "nearest")
    np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-6)
    assert layer.output_shape((None, 4, 2)) == (*size, 2)


def test_images_some_times_as_large() -> None:
    x = normal(7, 5, 4, 2)
    layer = Resizing(name="r", scale=(2, 3))
    expected = cells(x.astype(float), (10, 12), False)
    np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-6)
    assert layer.output_shape((None, 4, 2)) == (None, 12, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected one of size and scale"),
        ({"size": (2, 2), "scale": (2, 2)}, "expected one of size and scale"),
        ({"size": (2,)}, "layer 'r' size: expected 2 integers"),
        ({"size": (0, 2)}, "layer 'r' size: expected an integer >= 1"),
        (
            {"scale": (2, 2), "interpolation": "bicubic"},
            "interpolation: expected 'nearest' or 'bilinear'",
        ),
    ],
)
def test_sizes_of_images_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resizing(name="r", **options)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_matmul(backend: str, transpose_a: bool, transpose_b: bool) -> None:
    a = normal(7, *((3, 4) if transpose_a else (4, 3)))
    b = normal(7, *((2, 3) if transpose_b else (3, 2)))
    layer = MatMul(name="p", transpose_a=transpose_a, transpose_b=transpose_b)
    got = check_rows(layer, a, b)
    for n in range(7):
        left, right = (v[n].astype(float) for v in (a, b))
        expected = (left.T if transpose_a else left) @ (right.T if transpose_b else right)
        np.testing.assert_allclose(got[n], expected, rtol=1e-5, atol=1e-6)
    assert MatMul(name="p").output_shapes([(None, 3), (3, None)]) == [(None, None)]
    # The second alone is random.
    (flow,) = MatMul(name="p").run([Flow(normal(1, 2, 4, 3)), Flow(normal(5, 2, 3, 2))], None)
    assert flow.values.shape == (5, 2, 4, 2)


@pytest.mark.parametrize(
    ("one", "other"), [((2, 5), (2, 5)), ((2, 5), (2, 1)), ((1, 5), (2, 1)), ((1, 1), (2, 5))]
)
def test_matmul_of_stacks(backend: str, one: tuple[int, ...], other: tuple[int, ...]) -> None:
    a, b = normal(7, *one, 4, 3), normal(7, *other, 3, 2)
    got = check_rows(MatMul(name="p"), a, b)
    np.testing.assert_allclose(got, a.astype(float) @ b, rtol=1e-5, atol=1e-6)
    for n in range(7):  # the same as of single matrices
        for i, j in np.ndindex(2, 5):
            pair = a[n : n + 1, i % one[0], j % one[1]], b[n : n + 1, i % other[0], j % other[1]]
            np.testing.assert_array_equal(run(MatMul(name="p"), *pair).values[0, 0], got[n, i, j])
    layer = MatMul(name="p", transpose_b=True)
    assert layer.output_shapes([(None, 4, 3), (1, 2, 3)]) == [(None, 4, 2)]
    assert layer.work_elements([(1, 4, 3), (5, 2, 3)]) == 5 * (4 * 3 + 2 * 3)


def test_operations_behind_something_random() -> None:
    """Each sample is computed of its own numbers."""
    calls = [
        fd.Call(Dropout(name="d", rate=0.5), "input"),
        fd.Call(Elementwise(name="f", function="subtract", operands=(1, 0)), ["d", "input"]),
        fd.Call(Stack(name="k", axis=0), ["input", "d"]),
        fd.Call(Reduce(name="r", function="max", axes=(0,)), "d"),
    ]
    model = fd.Model(calls, (4, 3), outputs=["d", "f", "k", "r"])
    d, f, k, r = (p.samples for p in model.mc_predict(X, samples=4, rng=0, keep_samples=True))
    np.testing.assert_array_equal(f, X - d)
    np.testing.assert_array_equal(k[:, :, 0], np.broadcast_to(X, d.shape))
    np.testing.assert_array_equal(k[:, :, 1], d)
    np.testing.assert_array_equal(r, d.max(axis=2))


# ---- masks ----


def test_with_mask() -> None:
    x, steps = Flow(X[np.newaxis]), normal(1, 7, 4).round()
    (flow,) = WithMask(name="w").run([x, Flow(steps)], None)
    np.testing.assert_array_equal(flow.mask, steps != 0)
    assert flow.values is x.values
    # The mask that the other bears, or none.
    borrowed = WithMask(name="w", borrowed=True)
    mask = np.ones((1, 7, 4), bool)
    assert borrowed.run([Flow(x.values, steps != 0), Flow(steps, mask)], None)[0].mask is mask
    assert borrowed.run([Flow(x.values, mask), Flow(steps)], None)[0].mask is None
    # A table stays one.
    table = Flow(np.zeros((1, 7, 4), int), None, X[0], np.ones((2, 7, 3), "f4"))
    (flow,) = WithMask(name="w").run([table, Flow(steps)], None)
    assert flow.table is table.table
    assert flow.factors is table.factors
    assert WithMask(name="w").output_shapes([(4, 3), (4,)]) == [(4, 3)]
    assert WithMask(name="w").output_shapes([(4, None, 3), (4, 7)]) == [(4, None, 3)]
    with pytest.raises(
        ValueError, match=r"expected .* \(4,\), a mask of the steps of \(4, 3\), got"
    ):
        WithMask(name="w").output_shapes([(4, 3), (5,)])


def symbol(layer: Any, *values: object) -> object:
    return layer.value_symbol([f"t{i}" for i in range(len(values))], list(values))


def test_how_values_that_may_be_masks_are_computed() -> None:
    """A mask that a file computes is left out only where it is the one that comes anyway."""
    zero = np.float32(0)
    not_equal = Elementwise(name="f", function="not_equal", operands=(0, zero))
    assert symbol(not_equal, None) == ("not equal", "t0", 0.0)
    assert symbol(
        Elementwise(name="f", function="not_equal", operands=(0, np.float32(2))), None
    ) == (
        "not equal",
        "t0",
        2.0,
    )
    for other in (
        Elementwise(name="f", function="not_equal", operands=(0, np.zeros(3))),
        Elementwise(name="f", function="not_equal", operands=(zero, 0)),
        Elementwise(name="f", function="equal", operands=(0, zero)),
        Elementwise(name="f", function="greater", operands=(0, zero)),
    ):
        assert symbol(other, None) not in (None, ("not equal", "t0", 0.0))
    assert symbol(Elementwise(name="f", function="identity"), "v") == "v"
    assert symbol(Elementwise(name="f", function="identity"), None) is None
    both = Elementwise(name="f", function="logical_and", operands=(0, 1))
    assert symbol(both, "v", "w") == ("logical_and", "v", "w")
    assert symbol(both, "v", None) == ("made by", "f")
    assert symbol(Elementwise(name="f", function="exp"), None) is None
    assert symbol(Elementwise(name="f", function="exp"), "v") == ("exp", "v")
    any_last = Reduce(name="r", function="any", axes=(-1,))
    assert symbol(any_last, "v") == ("any", "v")
    for other in (
        Reduce(name="r", function="any", axes=(-1,), keepdims=True),
        Reduce(name="r", function="any", axes=(0,)),
    ):
        assert symbol(other, "v") == ("made by", "r")
    assert symbol(any_last, None) == ("made by", "r")
    assert symbol(Reduce(name="r", function="sum", axes=(-1,)), "v") is None
    assert symbol(ExpandDims(name="e", axis=-1), "v") == ("expand", -1, "v")
    assert symbol(ExpandDims(name="e", axis=-1), None) is None
    assert not_equal.mask_symbol(["t"], ["m"]) is None


def test_operations_have_no_weights() -> None:
    for layer in (Elementwise(name="f", function="exp"), MatMul(name="p"), Stack(name="k", axis=0)):
        assert layer.weights() == {}
        assert not layer.can_draw
        assert not any(isinstance(w, Declared) for w in layer.weights().values())


def test_whole_numbers_are_computed_as_far_as_float32_holds_them() -> None:
    layer = Elementwise(name="f", function="whole", operands=(0, 1, np.float32(2**24)))
    x = np.array([[2.0**24 - 1, 1 - 2.0**24, np.nan]], np.float32)
    np.testing.assert_array_equal(check_rows(layer, x, x), x)
    for large in (2.0**24, -(2.0**24), np.inf):
        sizes = np.array([[1.0, large, np.nan]], np.float32)
        with pytest.raises(ValueError, match=r"layer 'f': expected whole .* below 2\*\*24 .*got"):
            run(layer, x, sizes)


@pytest.mark.parametrize("function", ["mod", "floor_divide"])
def test_whole_numbers_are_divided_as_far_as_float32_holds_them(function: str) -> None:
    layer = Elementwise(name="f", function=function, operands=(0, np.array([7.0])))
    x = np.array([[2.0**24 - 1, -(2.0**24) + 1, np.inf]], np.float32)
    exact = {"mod": np.mod, "floor_divide": np.floor_divide}[function](x[0, :2].astype(int), 7)
    np.testing.assert_array_equal(output(layer, x)[0, :2], exact)
    for large in (2.0**24, -(2.0**24)):
        with pytest.raises(ValueError, match=f"layer 'f': expected numbers below .* {function}"):
            output(layer, np.array([[1.0, large, np.inf]], np.float32))


# Categories of numbers.


def test_intervals_of_numbers() -> None:
    layer = Discretization(name="d", bin_boundaries=(-1.0, 0.0, 2.5))
    x = np.array([[-np.inf, -1.0, -0.5, 0.0, 2.5, np.inf, np.nan]], np.float32)
    found = layer.run([Flow(x[np.newaxis])], None)[0].values[0]
    assert found.tolist() == [[0, 1, 1, 2, 3, 3, 3]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [2, 1, 0, 0, 0]),
        ({"mask_token": 0}, [3, 2, 1, 1, 0]),
        ({"num_oov_indices": 3}, [4, 3, 0, 1, 0]),
        ({"num_oov_indices": 3, "mask_token": 0}, [5, 4, 1, 2, 0]),
    ],
)
def test_places_in_a_vocabulary(options: dict[str, Any], expected: list[int]) -> None:
    layer = IntegerLookup(name="i", vocabulary=(2**40, 5), **options)
    x = np.array([[5, 2**40, -3, 4, 0]])
    assert layer.run([Flow(x[np.newaxis])], None)[0].values[0].tolist() == [expected]


def test_all_whole_numbers_may_be_in_a_vocabulary() -> None:
    ends = (-(2**63), -(2**40), 2**63 - 1)
    layer = IntegerLookup(name="i", vocabulary=ends, num_oov_indices=0)
    assert layer.run([Flow(np.array([[ends]]))], None)[0].values[0].tolist() == [[0, 1, 2]]


def test_the_mask_has_a_place_where_nothing_else_is_unknown() -> None:
    layer = IntegerLookup(name="i", vocabulary=(5,), mask_token=0, num_oov_indices=0)
    assert layer.run([Flow(np.array([[[5, 0]]]))], None)[0].values[0].tolist() == [[1, 0]]


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_of_no_number_there_is_no_category(mode: str) -> None:
    layer = CategoryEncoding(name="c", num_tokens=3, output_mode=mode)
    assert output(layer, np.empty((2, 0), np.int64)).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("options", "x", "message"),
    [
        ({}, [[1.5]], "expected whole numbers for layer 'i', got 1.5"),
        (
            {"num_oov_indices": 0},
            [[5, 6]],
            "expected numbers in the vocabulary for layer 'i', got 6",
        ),
    ],
)
def test_numbers_without_a_place(options: dict[str, Any], x: Any, message: str) -> None:
    model = fd.Model([IntegerLookup(name="i", vocabulary=(5,), **options)], {"x": (None,)})
    with pytest.raises(ValueError, match=message):
        model.predict(np.array(x))

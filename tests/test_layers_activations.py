"""Activations that stand as layers: against formulas in float64, with the laws and refusals."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.layers import Activation, Declared, Flow, PReLU, Softmax
from layer_laws import KERAS_3, TF_KERAS, check_laws, filled, normal, output, planned

X = normal(7, 4, 3, 2)


def softmax(x: np.ndarray, axes: Any) -> np.ndarray:
    x = x.astype(float)
    e = np.exp(x - x.max(axis=axes, keepdims=True))
    return e / e.sum(axis=axes, keepdims=True)


@pytest.mark.parametrize("axis", [-1, -2, -3, 0, 1, 2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_along_an_axis(backend: str, name: str, axis: int) -> None:
    layer = Activation(name="a", activation=name, axis=axis)
    check_laws(layer, X)
    expected = softmax(X, axis if axis < 0 else 1 + axis)
    got = output(layer, X)
    np.testing.assert_allclose(
        got, expected if name == "softmax" else np.log(expected), rtol=1e-5, atol=1e-6
    )
    if name == "softmax":
        np.testing.assert_array_equal(got, output(Softmax(name="s", axes=(axis,)), X))


def test_a_name_in_a_tuple_is_the_name() -> None:
    layer = Activation(name="a", activation=("softmax",), axis=0)
    np.testing.assert_allclose(output(layer, X), softmax(X, 1), rtol=1e-5, atol=1e-6)
    check_laws(layer, X)
    assert not layer.each_step([(None, 3)])
    assert Activation(name="a", activation=("linear",)).meaning(["binary"]) == "binary"


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_elementwise_ones_have_no_axis(axis: int) -> None:
    layer = Activation(name="a", activation="relu", axis=axis)
    np.testing.assert_array_equal(output(layer, X), np.maximum(X, 0))
    check_laws(Activation(name="a", activation=("leaky_relu", 0.3)), X)


@pytest.mark.parametrize("axes", [(-1,), (0,), (0, 1), (2, 0), (-1, -2), (0, 1, 2), (-3, 2)])
def test_softmax_of_axes(backend: str, axes: Any) -> None:
    layer = Softmax(name="s", axes=axes)
    check_laws(layer, X)
    at = tuple(a if a < 0 else 1 + a for a in axes)
    np.testing.assert_allclose(output(layer, X), softmax(X, at), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("axes", [(-1,), (0, 1)])
def test_softmax_with_a_mask(axes: Any) -> None:
    mask = (np.random.default_rng(0).random(X.shape) < 0.6).astype("f4") * 2
    mask[..., 0] = 1
    (flow,) = Softmax(name="s", axes=axes).run([Flow(X[np.newaxis]), Flow(mask[np.newaxis])], None)
    at = tuple(a if a < 0 else 1 + a for a in axes)
    weights = np.where(mask != 0, np.exp(X.astype(float)), 0)
    expected = weights / weights.sum(axis=at, keepdims=True)
    np.testing.assert_allclose(flow.values[0], expected, rtol=1e-5, atol=1e-7)
    assert (flow.values[0][mask == 0] == 0).all()


@pytest.mark.parametrize("alpha", [(4, 3, 2), (1, 3, 2), (1, 1, 2), (1, 1, 1)])
def test_prelu(alpha: Any) -> None:
    weight = normal(*alpha)
    layer = PReLU(name="p", alpha=weight)
    check_laws(layer, X)
    got = output(layer, X)
    for place in np.ndindex(*X.shape):
        x = float(X[place])
        a = float(np.broadcast_to(weight, (4, 3, 2))[place[1:]])
        assert abs(got[place] - (x if x > 0 else a * x)) < 1e-6
    assert list(layer.weights()) == ["alpha"]


def test_prelu_of_zero_and_of_what_overflows() -> None:
    layer = PReLU(name="p", alpha=np.full((2,), 10, "f4"))
    x = np.array([[-3e38, 3e38], [0, np.nan]], np.float32)
    got = output(layer, x)
    assert np.array_equal(got, [[-np.inf, np.float32(3e38)], [0, np.nan]], equal_nan=True)


def test_declared_prelus() -> None:
    for shared, shape in (((), (4, 3)), ((0,), (1, 3)), ((-1,), (4, 1)), ((0, 1), (1, 1))):
        layer = PReLU.declare([(4, 3)], name="p", shared_axes=shared)
        assert layer.alpha == Declared(shape)
        assert layer.output_shape((4, 3)) == (4, 3)
    assert PReLU.declare([(None, 3)], name="p", shared_axes=(0,)).alpha == Declared((1, 3))
    with pytest.raises(ValueError, match="layer 'p': expected an input of shape of fixed lengths"):
        PReLU.declare([(None, 3)], name="p")
    with pytest.raises(ValueError, match="layer 'p': expected an axis of a row of 1 axes, got 1"):
        PReLU.declare([(3,)], name="p", shared_axes=(1,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Activation(name="a", activation="no"),
            "layer 'a' activation: expected one of 32 names",
        ),
        (
            lambda: Activation(name="a", activation="relu", axis=65),
            "layer 'a' axis: expected an int",
        ),
        (
            lambda: Activation(name="a", activation="relu", axis="1"),
            "layer 'a' axis: expected an int",
        ),
        (
            lambda: fd.Model([Activation(name="a", activation="softmax", axis=2)], (4, 3)),
            "layer 'a': expected an axis of a row of 2 axes, got 2",
        ),
        (
            lambda: fd.Model([Softmax(name="s", axes=(0, 2))], (4, 3)),
            "layer 's': expected an axis of a row of 2 axes, got 2",
        ),
        (
            lambda: Softmax(name="s").output_shapes([(4, 3), (4, 2)]),
            r"layer 's': expected an input of shape \(4, 3\) as a mask, got \(4, 2\)",
        ),
        (
            lambda: fd.Model([PReLU(name="p", alpha=np.ones((2, 3), "f4"))], (4, 3)),
            r"layer 'p': expected an input of shape of . axes, to which \(2, 3\) broadcasts",
        ),
        (
            lambda: fd.Model([PReLU(name="p", alpha=np.ones(3, "f4"))], (4, 3)),
            r"layer 'p': expected an input of shape of . axes, to which \(3,\) broadcasts",
        ),
        (
            lambda: PReLU(name="p", alpha=np.ones(3)),
            "layer 'p' alpha: expected an array of float32",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# ---- how Keras spells them ----


@pytest.mark.parametrize(
    ("name", "config", "function"),
    [
        ("ReLU", {}, lambda x: max(x, 0)),
        ("ReLU", {"max_value": 0.5}, lambda x: min(max(x, 0), 0.5)),
        ("ReLU", {"negative_slope": 0.1}, lambda x: x if x > 0 else 0.1 * x),
        ("ReLU", {"threshold": 0.25}, lambda x: x if x >= 0.25 else 0),
        (
            "ReLU",
            {"max_value": 1, "negative_slope": 0.5, "threshold": 0.25},
            lambda x: min(x, 1) if x >= 0.25 else 0.5 * (x - 0.25),
        ),
        ("LeakyReLU", {}, lambda x: x if x > 0 else 0.3 * x),
        ("LeakyReLU", {"alpha": 0.1}, lambda x: x if x > 0 else 0.1 * x),
        ("LeakyReLU", {"negative_slope": 0.2}, lambda x: x if x > 0 else 0.2 * x),
        ("ELU", {}, lambda x: x if x > 0 else np.expm1(x)),
        ("ELU", {"alpha": 0.5}, lambda x: x if x > 0 else 0.5 * np.expm1(x)),
        ("Activation", {"activation": "swish"}, lambda x: x / (1 + np.exp(-x))),
        ("Activation", {"activation": "hard_swish"}, lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
        ("Activation", {}, lambda x: x),
        ("Activation", {"activation": None}, lambda x: x),
    ],
)
def test_rows(name: str, config: dict[str, Any], function: Any) -> None:
    x = normal(7, 3)
    got = output(planned(name, (3,), **config), x)
    expected = [[function(float(v)) for v in row] for row in x]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_hard_sigmoid_by_version() -> None:
    x = normal(7, 3)
    for version, slope in ((KERAS_3, 1 / 6), (TF_KERAS, 0.2)):
        layer = planned("Activation", (3,), version, activation="hard_sigmoid")
        expected = np.clip(slope * x.astype(float) + 0.5, 0, 1)
        np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("axis", "axes"), [(None, (-1,)), (-1, (-1,)), (1, (0,)), ([1, 2], (0, 1)), ([-1, 1], (-1, 0))]
)
def test_rows_of_softmax(axis: Any, axes: Any) -> None:
    config = {} if axis is None else {"axis": axis}
    assert planned("Softmax", (4, 3), **config).axes == axes


@pytest.mark.parametrize(
    ("shared", "shape"),
    [(None, (4, 3)), ([1], (1, 3)), (2, (4, 1)), ([1, 2], (1, 1)), ([], (4, 3))],
)
def test_rows_of_prelu(shared: Any, shape: Any) -> None:
    layer = filled(planned("PReLU", (4, 3), shared_axes=shared, alpha_initializer="zeros"))
    assert layer.alpha.shape == shape


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("Softmax", {"axis": 0}, "axis: expected axes other than 0"),
        ("Softmax", {"axis": []}, "axis: expected axes other than 0"),
        ("Softmax", {"axis": [1, 0]}, "axis: expected axes other than 0"),
        ("Softmax", {"axis": 1.0}, "axis: expected axes other than 0"),
        ("PReLU", {"shared_axes": [0]}, "shared_axes: expected null or axes other than 0"),
        ("PReLU", {"shared_axes": "1"}, "shared_axes: expected null or axes other than 0"),
        ("ReLU", {"max_value": "6"}, "max_value: expected a number"),
        ("ReLU", {"max_value": -1}, "layer 'layer'"),
        ("ReLU", {"negative_slope": True}, "negative_slope: expected a number"),
        ("ReLU", {"threshold": None}, "threshold: expected a number"),
        ("LeakyReLU", {"alpha": "0.1"}, "alpha: expected a number"),
        ("ELU", {"alpha": None}, "alpha: expected a number"),
        ("ELU", {"more": 1}, "unsupported option 'more'"),
        ("Activation", {"activation": "gelu_tanh"}, "activation: 'gelu_tanh' is not supported"),
        ("Activation", {"activation": 1}, "activation: 1 is not supported"),
        (
            "Activation",
            {"activation": {"class_name": "function", "module": "keras"}},
            "the name of a built-in",
        ),
        (
            "Activation",
            {"activation": {"class_name": "Dense", "config": {}, "module": "keras.layers"}},
            "the name of a built-in",
        ),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        planned(name, (4, 3), **config)


def test_activations_given_as_layers() -> None:
    x = normal(7, 3)
    relu = {
        "class_name": "ReLU",
        "config": {"name": "r", "max_value": 0.5},
        "module": "keras.layers",
    }
    within = {"class_name": "Activation", "config": {"name": "a", "activation": "tanh"}}
    softmax_layer = {"class_name": "Softmax", "config": {"name": "s", "axis": -1}}
    for value, expected in (
        (relu, np.clip(x, 0, 0.5)),
        (within | {"module": "keras.layers"}, np.tanh(x)),
        (softmax_layer | {"module": "keras.layers"}, softmax(x, -1)),
        ({"class_name": "function", "config": "tanh", "module": "keras.activations"}, np.tanh(x)),
    ):
        layer = planned("Activation", (3,), activation=value)
        np.testing.assert_allclose(output(layer, x), expected, rtol=1e-5, atol=1e-7)
    wrong = softmax_layer | {"module": "keras.layers", "config": {"name": "s", "axis": 1}}
    with pytest.raises(ModelFormatError, match="axis: expected -1"):
        planned("Activation", (3,), activation=wrong)

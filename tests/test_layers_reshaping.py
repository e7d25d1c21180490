"""Layers that lay out numbers anew, against loops over places."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers
from fastdrop.formats import ModelFormatError
from fastdrop.layers import Dense, Flatten, Permute, RepeatVector, Reshape
from layer_laws import KERAS_3, TF_KERAS, check_laws, normal, output, planned

X2, X3, X4 = normal(7, 4), normal(7, 5, 3), normal(7, 2, 3, 4)


@pytest.mark.parametrize("x", [normal(7), X2, X3, X4], ids=lambda x: f"{x.ndim}-d")
def test_flatten(x: np.ndarray) -> None:
    layer = Flatten(name="f")
    check_laws(layer, x)
    np.testing.assert_array_equal(output(layer, x), [[*row.flat] for row in x])


@pytest.mark.parametrize(
    ("target", "shape"),
    [((3, 5), (3, 5)), ((-1, 1), (15, 1)), ((5, -1), (5, 3)), ((-1,), (15,)), ((1, 15, 1),) * 2],
)
def test_reshape(target: tuple[int, ...], shape: tuple[int, ...]) -> None:
    layer = Reshape(name="r", target_shape=target)
    check_laws(layer, X3)
    got = output(layer, X3)
    assert got.shape == (7, *shape)
    np.testing.assert_array_equal(got.reshape(-1), X3.reshape(-1))


def test_lengths_left_open() -> None:
    assert Flatten(name="f").output_shape((None, 3)) == (None,)
    assert Reshape(name="r", target_shape=(-1, 2)).output_shape((None, 3)) == (None, 2)
    assert Reshape(name="r", target_shape=(6, 2)).output_shape((None, 3)) == (6, 2)
    assert Permute(name="p", dims=(2, 1)).output_shape((None, 3)) == (3, None)
    model = fd.Model([Reshape(name="r", target_shape=(-1, 2))], (None, 3))
    assert model.predict(normal(2, 4, 3)).shape == (2, 6, 2)
    with pytest.raises(ValueError, match=r"layer 'r': expected an input of shape of a multiple"):
        model.predict(normal(2, 5, 3))
    fixed = fd.Model([Reshape(name="r", target_shape=(6, 2))], (None, 3))
    with pytest.raises(ValueError, match=r"layer 'r': expected an input of shape of 12 numbers"):
        fixed.predict(normal(2, 5, 3))
    # A layer behind it needs a fixed number of features.
    with pytest.raises(ValueError, match="layer 'd': expected an input of shape"):
        fd.Model([Flatten(name="f"), Dense(name="d", kernel=normal(12, 2))], (None, 3))
    for shape in ((None,), ()):
        with pytest.raises(ValueError, match=r"layer 'd': .* with a fixed number of features, got"):
            Dense.declare([shape], name="d", units=2)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_number_of_steps_that_does_not_fit(steps: int) -> None:
    model = fd.Model([Reshape(name="r", target_shape=(8,))], (None, 4))
    with pytest.raises(ValueError, match=r"layer 'r': expected an input of shape of 8 numbers"):
        model.predict(np.zeros((2, steps, 4)))


@pytest.mark.parametrize("dims", [(2, 1, 3), (3, 1, 2), (1, 2, 3), (3, 2, 1)])
def test_permute(dims: tuple[int, ...]) -> None:
    layer = Permute(name="p", dims=dims)
    check_laws(layer, X4)
    got = output(layer, X4)
    assert got.flags.c_contiguous
    for place in product(*(range(n) for n in X4.shape[1:])):
        moved = tuple(place[d - 1] for d in dims)
        np.testing.assert_array_equal(got[(slice(None), *moved)], X4[(slice(None), *place)])


def test_repeat_vector() -> None:
    layer = RepeatVector(name="r", count=3)
    check_laws(layer, X2)
    np.testing.assert_array_equal(output(layer, X2), np.stack([X2] * 3, axis=1))


def test_other_sequences_are_tuples() -> None:
    """Whatever is given, shapes that follow from it are tuples of Python's integers."""
    given: Any = [np.int64(3), np.int64(2), np.int64(1)]
    reshape, permute = Reshape(name="r", target_shape=given), Permute(name="p", dims=given)
    assert fd.Model([reshape], (6,)).output_shape == (3, 2, 1)
    assert repr(reshape) == "Reshape('r', target_shape=(3, 2, 1))"
    assert fd.Model([permute], (4, 5, 6)).output_shape == (6, 5, 4)
    assert repr(permute) == "Permute('p', dims=(3, 2, 1))"


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Reshape(name="r", target_shape=(-1, -1)), "layer 'r' target_shape: expected pos"),
        (lambda: Reshape(name="r", target_shape=(0, 2)), "layer 'r' target_shape: expected pos"),
        (lambda: Reshape(name="r", target_shape=(-2, 2)), "layer 'r' target_shape: expected an i"),
        (lambda: Reshape(name="r", target_shape=()), "layer 'r' target_shape: expected at least"),
        (lambda: Permute(name="p", dims=(1, 3)), "layer 'p' dims: expected 1 to 2, each once"),
        (lambda: Permute(name="p", dims=(1, 1)), "layer 'p' dims: expected 1 to 2, each once"),
        (lambda: Permute(name="p", dims=(0, 1)), "layer 'p' dims: expected an integer >= 1, got 0"),
        (
            lambda: fd.Model([Permute(name="p", dims=(2, 1))], (2, 3, 4)),
            r"layer 'p': expected an input of shape of 2 axes, got \(2, 3, 4\)",
        ),
        (
            lambda: fd.Model([Reshape(name="r", target_shape=(2, 2))], (5,)),
            r"layer 'r': expected an input of shape of 4 numbers, got \(5,\)",
        ),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS], ids=["keras 3", "keras 2"])
def test_rows(version: Any) -> None:
    flat = planned("Flatten", (5, 3), version, data_format="channels_last")
    assert type(flat) is Flatten
    assert planned("Reshape", (5, 3), version, target_shape=[-1, 5]).target_shape == (-1, 5)
    assert planned("Permute", (5, 3), version, dims=[2, 1]).dims == (2, 1)


def test_channels_in_front() -> None:
    """Inputs and outputs are those of the layer, moved."""
    x = normal(7, 3, 6, 5)
    inner = layers.Conv2D(name="c", kernel=normal(2, 3, 3, 4))
    layer = layers.ChannelsFirst(name="c", layer=inner)
    check_laws(layer, x)
    behind = output(inner, np.ascontiguousarray(np.moveaxis(x, 1, -1)))
    np.testing.assert_array_equal(output(layer, x), np.moveaxis(behind, -1, 1))
    with pytest.raises(ValueError, match=r"window of 2 and 3 fits, got \(1, 5, 3\), its channels"):
        layer.output_shapes([(3, 1, 5)])


def test_channels_in_front_of_what_has_no_steps() -> None:
    """Of (time, channels, places), the last step is (channels, places)."""
    inner = layers.ConvLSTM1D(name="c", kernel=normal(2, 4, 8), recurrent_kernel=normal(2, 2, 8))
    layer = layers.ChannelsFirst(name="c", layer=inner, axis=1)
    assert layer.output_shapes([(3, 4, 6)]) == [(2, 5)]
    x = normal(7, 3, 4, 6)
    behind = output(inner, np.ascontiguousarray(np.moveaxis(x, 2, -1)))
    np.testing.assert_array_equal(output(layer, x), np.moveaxis(behind, -1, 1))


def test_a_softmax_along_the_width_is_refused() -> None:
    config = {"filters": 2, "kernel_size": [1, 1], "strides": [1, 1], "dilation_rate": [1, 1]}
    config |= {"padding": "valid", "data_format": "channels_first"}
    for activation in ("softmax", "log_softmax"):
        with pytest.raises(ModelFormatError, match="activation: expected one of single numbers"):
            planned("Conv2D", (3, 6, 5), KERAS_3, activation=activation, **config)
    assert planned("Conv2D", (3, 6, 5), KERAS_3, activation="relu", **config).layer.groups == 1


@pytest.mark.parametrize(
    ("name", "config", "match"),
    [
        ("Flatten", {"data_format": "channels_middle"}, "data_format: expected 'channels_last'"),
        ("Reshape", {"target_shape": [-1, True]}, "target_shape: expected positive integers"),
        ("Reshape", {"target_shape": [-1.0]}, "target_shape: expected positive integers"),
        ("Reshape", {"target_shape": [-1, -1]}, "target_shape: expected positive lengths"),
        ("Reshape", {"target_shape": [4]}, "expected an input of shape of 4 numbers"),
        ("Reshape", {}, "target_shape: expected a list"),
        ("Permute", {"dims": [1, 3]}, "dims: expected 1 to 2, each once"),
        ("Permute", {"dims": [0, 1]}, "dims: expected a list of positive integers"),
        ("Permute", {"dims": [2, 1], "axes": 4}, "unsupported option 'axes': 4"),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelFormatError, match=match):
        planned(name, (5, 3), **config)

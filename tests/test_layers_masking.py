"""Masking and Identity: which steps are padding, and what changes nothing."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.layers import (
    Activation,
    Dense,
    Flow,
    GlobalAveragePooling1D,
    Identity,
    LayerNormalization,
    Masking,
    Rescaling,
    UnitNormalization,
)
from layer_laws import KERAS_3, TF_KERAS, check_laws, forward, normal, output, planned


def padded(value: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows with padding in front, behind, in the middle, everywhere and nowhere."""
    x = normal(5, 4, 3) + np.float32(10)
    kept = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    x[~kept] = value
    x[4, 1, :2] = value  # two features of three mask nothing
    return x, kept


@pytest.mark.parametrize("value", [0.0, -1.0, -9999.0, -999999999.0, 0.1, 1e-3])
def test_what_is_masked(value: float) -> None:
    """Both sides are rounded to float32 first, 0.1 and -999999999 among them."""
    x, kept = padded(value)
    flow = forward(Masking(name="m", mask_value=value), x, mask=np.ones((5, 4), bool))
    np.testing.assert_array_equal(flow.mask[0], kept)
    np.testing.assert_array_equal(flow.values[0], np.where(kept[..., np.newaxis], x, 0))


def test_a_value_beyond_float32_is_infinite() -> None:
    """There without a warning, as a file may name one."""
    x = np.full((1, 2, 3), np.inf, np.float32)
    x[0, 0, 1] = 1
    mask = forward(Masking(name="m", mask_value=1e300), x).mask
    np.testing.assert_array_equal(mask, [[[True, False]]])


def test_work() -> None:
    """A byte for each number that is compared, counted in numbers of four bytes."""
    assert 10 <= Masking(name="m").work_elements([(5, 8)]) <= 12
    assert 2 <= Masking(name="m").work_elements([(None, 8)]) <= 4


def test_rows_do_not_depend_on_each_other() -> None:
    x = np.concatenate([padded(2.0)[0], padded(2.0)[0][:2]])
    layer = Masking(name="m", mask_value=2.0)
    whole = forward(layer, x)
    for n in range(7):
        one = forward(layer, x[n : n + 1])
        np.testing.assert_array_equal(one.values[0, 0], whole.values[0, n])
        np.testing.assert_array_equal(one.mask[0, 0], whole.mask[0, n])
    samples = layer.forward(Flow(np.stack([x, x[::-1]])), None)
    np.testing.assert_array_equal(samples.mask[1], whole.mask[0, ::-1])
    # One dimension more, and one less.
    assert forward(layer, x[:, :, np.newaxis]).mask.shape == (1, 7, 4, 1)
    assert forward(layer, x[:, 0]).mask.shape == (1, 7)


def test_the_mask_is_used() -> None:
    x, kept = padded(0.0)
    model = fd.Model([Masking(name="m"), GlobalAveragePooling1D(name="g")], (4, 3))
    rows = [0, 1, 2, 4]
    expected = [x[n, kept[n]].mean(axis=0) for n in rows]
    np.testing.assert_allclose(model.predict(x[rows]), expected, rtol=1e-6)


def test_how_its_mask_is_computed() -> None:
    symbol = Masking(name="m", mask_value=-1).mask_symbol(["x"], [None])
    assert symbol == ("any", ("not equal", "x", -1.0))
    assert Identity(name="i").mask_symbol(["x"], ["mask"]) == "mask"
    assert Identity(name="i", passes_mask=False).mask_symbol(["x"], ["mask"]) is None


@pytest.mark.parametrize(
    "layer",
    [
        Activation(name="l", activation="tanh"),
        Dense(name="l", kernel=normal(3, 2)),
        LayerNormalization(name="l"),
        Rescaling(name="l", scale=2),
        UnitNormalization(name="l"),
    ],
    ids=["activation", "dense", "layer normalization", "rescaling", "unit normalization"],
)
def test_what_hands_a_mask_on_says_so(layer: Any) -> None:
    """Both when it runs and when a model is read, where the mask may be given by hand."""
    x, kept = padded(0.0)
    np.testing.assert_array_equal(forward(layer, x, mask=kept).mask[0], kept)
    assert layer.mask_symbol(["x"], ["mask"]) == "mask"


@pytest.mark.parametrize("passes", [True, False])
def test_identity(passes: bool) -> None:
    layer = Identity(name="i", passes_mask=passes)
    check_laws(layer, normal(7, 5, 3))
    x = normal(7, 5, 3)
    np.testing.assert_array_equal(output(layer, x), x)


def test_rows() -> None:
    for version in (KERAS_3, TF_KERAS):
        layer = planned("Masking", (5, 3), version, mask_value=-10)
        assert (type(layer), layer.mask_value) == (Masking, -10.0)
        assert planned("Masking", (5, 3), version).mask_value == 0.0
    # Only Keras 3 passes a mask on.
    assert planned("Identity", (5, 3), KERAS_3).passes_mask
    assert not planned("Identity", (5, 3), TF_KERAS).passes_mask


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Masking(name="m", mask_value=np.nan), "layer 'm' mask_value: expected a finite"),
        (lambda: fd.Model([Masking(name="m")], ()), r"layer 'm': expected an input of shape"),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
    with pytest.raises(TypeError, match="layer 'i' passes_mask: expected True or False"):
        Identity(name="i", passes_mask=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0", True, [0.0], None])
def test_rows_refuse(value: Any) -> None:
    with pytest.raises(ModelFormatError, match="mask_value: expected a number"):
        planned("Masking", (5, 3), mask_value=value)

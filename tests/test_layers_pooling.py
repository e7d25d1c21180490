"""Pooling against loops over windows."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.layers import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    Flow,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from layer_laws import KERAS_3, TF_KERAS, check_laws, forward, normal, output, planned
from test_layers_convolutional import lacking
from tolerances import FLOAT32, assert_close

X1, X2, X3 = normal(7, 9, 4), normal(7, 7, 6, 4), normal(7, 4, 3, 5, 4)


def pooled(x: np.ndarray, layer: Any, function: Any) -> np.ndarray:
    """Join the numbers of each window; places beyond the edges are none."""
    axes = list(zip(x.shape[1:-1], layer.pool_size, layer.strides, strict=True))
    ranges = []
    for n, size, stride in axes:
        before, behind = lacking(n, size, stride, 1, layer.padding)
        starts = range(-before, n + behind - size + 1, stride)
        ranges.append([slice(max(0, s), min(n, s + size)) for s in starts])
    y = np.empty((len(x), *map(len, ranges), x.shape[-1]))
    for place in product(*(range(len(r)) for r in ranges)):
        window = x[(slice(None), *(r[p] for r, p in zip(ranges, place, strict=True)))]
        y[(slice(None), *place)] = function(
            window.reshape(len(x), -1, x.shape[-1]).astype(float), axis=1
        )
    return y.astype(np.float32)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "strides"), [(2, None), ((3, 1, 2), None), ((2, 3, 4), (1, 2, 3)), (1, 2)]
)
def test_pooling_3d(padding: str, size: Any, strides: Any) -> None:
    options: dict[str, Any] = {"pool_size": size, "strides": strides, "padding": padding}
    for kind, function in ((MaxPooling3D, np.max), (AveragePooling3D, np.mean)):
        layer = kind(name="p", **options)
        check_laws(layer, X3)
        assert_close(output(layer, X3), pooled(X3, layer, function), FLOAT32)


def test_pooling_of_whole_volumes() -> None:
    for kind, function in ((GlobalMaxPooling3D, np.max), (GlobalAveragePooling3D, np.mean)):
        for keepdims in (False, True):
            layer = kind(name="p", keepdims=keepdims)
            check_laws(layer, X3)
            expected = function(X3.astype(float), axis=(1, 2, 3), keepdims=keepdims)
            assert_close(output(layer, X3), expected.astype(np.float32), FLOAT32)


def test_adaptive_pooling_3d() -> None:
    """Two windows of 4, three of 3, one of 5 places."""
    for kind, function in ((AdaptiveMaxPooling3D, np.max), (AdaptiveAveragePooling3D, np.mean)):
        layer = kind(name="p", output_size=(2, 3, 1))
        check_laws(layer, X3)
        apart = X3.astype(float).reshape(7, 2, 2, 3, 5, 4)
        expected = function(apart, axis=(2, 4), keepdims=True).reshape(7, 2, 3, 1, 4)
        assert_close(output(layer, X3), expected.astype(np.float32), FLOAT32)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "strides"), [(2, None), (3, None), (3, 1), (2, 3), (1, 1), (9, 2), (4, 2)]
)
def test_pooling_1d(padding: str, size: int, strides: int | None) -> None:
    options: dict[str, Any] = {"pool_size": size, "strides": strides, "padding": padding}
    for kind, function in ((MaxPooling1D, np.max), (AveragePooling1D, np.mean)):
        layer = kind(name="p", **options)
        check_laws(layer, X1)
        assert_close(output(layer, X1), pooled(X1, layer, function), FLOAT32)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "strides"),
    [(2, None), ((3, 2), None), ((2, 3), (1, 2)), (2, 3), ((7, 6), (7, 6)), ((1, 5), 2)],
)
def test_pooling_2d(padding: str, size: Any, strides: Any) -> None:
    options: dict[str, Any] = {"pool_size": size, "strides": strides, "padding": padding}
    for kind, function in ((MaxPooling2D, np.max), (AveragePooling2D, np.mean)):
        layer = kind(name="p", **options)
        check_laws(layer, X2)
        assert_close(output(layer, X2), pooled(X2, layer, function), FLOAT32)


def in_windows(x: np.ndarray, sizes: tuple[int, ...], function: Any) -> np.ndarray:
    """Join so many windows of each axis: cells of which a part is in i / n to (i + 1) / n of it."""
    found = np.empty((len(x), *sizes, x.shape[-1]))
    for number in product(*map(range, sizes)):
        places = [
            [p for p in range(length) if (p + 1) * n > i * length and p * n < (i + 1) * length]
            for i, n, length in zip(number, sizes, x.shape[1:-1], strict=True)
        ]
        window = x.astype(float)
        for axis, some in enumerate(places, 1):
            window = window.take(some, axis)
        flat = window.reshape(len(x), -1, x.shape[-1])
        found[(slice(None), *number)] = function(flat, axis=1)
    return found.astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 12])
def test_so_many_windows(size: int) -> None:
    """Of unequal lengths, and with places that two of them share."""
    for kind, function in ((AdaptiveMaxPooling1D, np.max), (AdaptiveAveragePooling1D, np.mean)):
        layer = kind(name="p", output_size=size)
        check_laws(layer, X1)
        assert_close(output(layer, X1), in_windows(X1, (size,), function), FLOAT32)


@pytest.mark.parametrize("size", [2, (3, 4), (7, 6), (1, 5), (10, 1)])
def test_so_many_windows_of_an_image(size: Any) -> None:
    sizes = (size, size) if isinstance(size, int) else size
    for kind, function in ((AdaptiveMaxPooling2D, np.max), (AdaptiveAveragePooling2D, np.mean)):
        layer = kind(name="p", output_size=size)
        check_laws(layer, X2)
        assert_close(output(layer, X2), in_windows(X2, sizes, function), FLOAT32)


def test_so_many_windows_of_any_length() -> None:
    layer = AdaptiveAveragePooling1D(name="p", output_size=3)
    model = fd.Model([layer], (None, 4))
    assert model.output_shape == (3, 4)
    for steps in (1, 2, 3, 8):
        assert_close(
            model.predict(X1[:, :steps]), in_windows(X1[:, :steps], (3,), np.mean), FLOAT32
        )
    with pytest.raises(ValueError, match="layer 'p': expected an input of shape with a place"):
        model.predict(X1[:, :0])
    with pytest.raises(ValueError, match="layer 'p': expected a place at least, got none"):
        layer.forward(Flow(X1[np.newaxis, :, :0]), None)
    with pytest.raises(ValueError, match="layer 'p' output_size: expected"):
        AdaptiveMaxPooling2D(name="p", output_size=0)
    with pytest.raises(ValueError, match="layer 'p': expected an input of shape"):
        fd.Model([layer], (0, 4))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "strides"), [(2, None), (3, 1), (3, 2), (1, 3)])
def test_gaps_in_windows(padding: str, size: int, strides: int | None) -> None:
    """A window with gaps is that of the places that are left."""
    layer = MaxPooling1D(
        name="p", pool_size=size, strides=strides, padding=padding, dilation_rate=3
    )
    check_laws(layer, X1)
    n, step, extent = X1.shape[1], strides or size, 3 * size - 2
    before, behind = lacking(n, extent, step, 1, padding)
    wide = np.pad(X1, [(0, 0), (before, behind), (0, 0)], constant_values=-np.inf)
    starts = range(0, n + before + behind - extent + 1, step)
    expected = np.stack([wide[:, s : s + extent : 3].max(axis=1) for s in starts], axis=1)
    np.testing.assert_array_equal(output(layer, X1), expected)
    two = MaxPooling2D(name="p", pool_size=(size, 2), strides=(step, 1), dilation_rate=(3, 1))
    if padding == "valid":
        rows = np.maximum(X1[:, :, np.newaxis, :], 0).repeat(2, axis=2)
        np.testing.assert_array_equal(output(two, rows)[:, :, 0], np.maximum(expected, 0))


@pytest.mark.parametrize("places", [1, 2, 3, 4, 5, 7, 8, 63, 65])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(places: int, keepdims: bool) -> None:
    x = normal(7, places, 3) + 1
    for kind, function in ((GlobalMaxPooling1D, np.max), (GlobalAveragePooling1D, np.mean)):
        layer = kind(name="g", keepdims=keepdims)
        check_laws(layer, x)
        expected = function(x.astype(float), axis=1, keepdims=keepdims)
        assert_close(output(layer, x), expected.astype(np.float32), FLOAT32)
    x = normal(7, places, 2, 3) + 1
    for kind, function in ((GlobalMaxPooling2D, np.max), (GlobalAveragePooling2D, np.mean)):
        layer = kind(name="g", keepdims=keepdims)
        check_laws(layer, x)
        expected = function(x.astype(float), axis=(1, 2), keepdims=keepdims)
        assert_close(output(layer, x), expected.astype(np.float32), FLOAT32)


def test_a_mean_of_many_is_exact() -> None:
    """Errors do not grow with the number of steps."""
    x = normal(7, 50_000, 1) + 100
    expected = x.astype(float).mean(axis=1).astype(np.float32)
    assert_close(output(GlobalAveragePooling1D(name="g"), x), expected, 5e-7)


@pytest.mark.parametrize("keepdims", [False, True])
def test_only_the_average_uses_a_mask(keepdims: bool) -> None:
    mask = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]], bool)
    x = normal(5, 3, 2)
    x[1, 1] = np.inf  # what is masked counts for nothing
    got = forward(GlobalAveragePooling1D(name="g", keepdims=keepdims), x, mask)
    assert got.mask is None
    assert got.values.shape == ((1, 5, 1, 2) if keepdims else (1, 5, 2))
    for n in range(4):
        expected = x[n, mask[n]].astype(float).mean(axis=0)
        np.testing.assert_allclose(got.values[0, n].reshape(2), expected, rtol=1e-6)
    assert np.isnan(got.values[0, 4]).all()  # as Keras has it
    # A mask of its own for each sample.
    masks = np.stack([mask[:4], np.ones((4, 3), bool)])
    flow = GlobalAveragePooling1D(name="g").forward(Flow(x[np.newaxis, :4], masks), None)
    np.testing.assert_allclose(flow.values[1, 3], x[3].mean(axis=0), rtol=1e-5)
    for layer in (GlobalMaxPooling1D(name="g"), MaxPooling1D(name="m"), AveragePooling1D(name="a")):
        np.testing.assert_array_equal(forward(layer, x, mask).values[0], output(layer, x))


@pytest.mark.parametrize("layer", [MaxPooling1D(name="m"), GlobalMaxPooling1D(name="g")])
def test_zeros_have_no_sign(layer: Any) -> None:
    """Which of 0.0 and -0.0 is the larger depends on the instructions that compare them."""
    x = np.where(normal(7, 8, 33) < 0, np.float32(-0.0), np.float32(0.0))
    assert not np.signbit(output(layer, x)).any()
    assert not np.signbit(output(layer, np.full_like(x, -0.0))).any()


@pytest.mark.parametrize("layer", [MaxPooling1D(name="m"), GlobalMaxPooling1D(name="g")])
def test_the_largest_of_no_finite_number(layer: Any) -> None:
    x = normal(2, 4, 3)
    x[..., 0], x[..., 1] = -np.inf, np.nan
    found = output(layer, x)
    assert np.isneginf(found[..., 0]).all()
    assert np.isnan(found[..., 1]).all()
    assert np.isfinite(found[..., 2]).all()


def test_any_length() -> None:
    assert MaxPooling1D(name="m").output_shape((None, 4)) == (None, 4)
    assert GlobalMaxPooling1D(name="g").output_shape((None, 4)) == (4,)
    with pytest.raises(ValueError, match=r"layer 'm': .* a window of 2 fits, got \(1, 4\)"):
        fd.Model([MaxPooling1D(name="m")], (None, 4)).predict(normal(2, 1, 4))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MaxPooling1D(name="m", pool_size=0), "layer 'm' pool_size: expected 1 integers"),
        (lambda: MaxPooling1D(name="m", dilation_rate=0), "layer 'm' dilation_rate: expected 1"),
        (lambda: MaxPooling2D(name="m", strides=(1, 2, 3)), "layer 'm' strides: expected 2 integ"),
        (
            lambda: MaxPooling1D(name="m", padding="causal"),
            "layer 'm' padding: expected 'valid' or",
        ),
        (
            lambda: fd.Model([MaxPooling2D(name="m")], (4, 4)),
            r"layer 'm': expected an input of shape \(height, width, channels\), got \(4, 4\)",
        ),
        (
            lambda: fd.Model([GlobalMaxPooling1D(name="g")], (0, 4)),
            r"layer 'g': expected an input of shape with a place at least, got \(0, 4\)",
        ),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
    with pytest.raises(TypeError, match="layer 'g' keepdims: expected True or False"):
        GlobalMaxPooling1D(name="g", keepdims=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS], ids=["keras 3", "keras 2"])
def test_rows(version: Any) -> None:
    for kind in ("Max", "Average"):
        for dims, shape in ((1, (9, 4)), (2, (7, 6, 4))):
            layer = planned(
                f"{kind}Pooling{dims}D",
                shape,
                version,
                pool_size=[3] * dims,
                strides=[2] * dims,
                padding="same",
                data_format="channels_last",
            )
            assert type(layer).__name__ == f"{kind}Pooling{dims}D"
            assert (layer.pool_size, layer.strides) == ((3,) * dims, (2,) * dims)
            assert layer.padding == "same"
            assert planned(f"{kind}Pooling{dims}D", shape, pool_size=2).strides == (2,) * dims
            config = {"data_format": "channels_last", "keepdims": True}
            layer = planned(f"Global{kind}Pooling{dims}D", shape, version, **config)
            assert type(layer).__name__ == f"Global{kind}Pooling{dims}D"
            assert layer.keepdims
            # Keras 2.2 knows no keepdims.
            assert not planned(f"Global{kind}Pooling{dims}D", shape, version).keepdims


@pytest.mark.parametrize(
    ("name", "config", "match"),
    [
        ("MaxPooling2D", {}, "pool_size: expected 2 positive integers, or one, found nothing"),
        ("MaxPooling2D", {"pool_size": [2]}, "pool_size: expected 2 positive integers, or one"),
        ("MaxPooling2D", {"pool_size": 2, "strides": 0}, "strides: expected 2 positive integers"),
        ("MaxPooling2D", {"pool_size": 2, "padding": "full"}, "padding: expected valid, same"),
        ("MaxPooling2D", {"pool_size": 8}, "a window of 8 and 8 fits"),
        (
            "AveragePooling2D",
            {"pool_size": 2, "data_format": "channels_middle"},
            "data_format: expected 'channels_last', found 'channels_middle'",
        ),
        ("GlobalMaxPooling2D", {"keepdims": None}, "keepdims: expected true or false, found None"),
        ("GlobalMaxPooling2D", {"data_format": "channels_middle"}, "data_format: expected 'chan"),
        ("GlobalMaxPooling2D", {"pool_size": 2}, "unsupported option 'pool_size': 2"),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelFormatError, match=match):
        planned(name, (7, 6, 4), **config)


@pytest.mark.parametrize("kind", [MaxPooling1D, AveragePooling1D])
def test_a_window_far_longer_than_the_axis(kind: Any) -> None:
    """It takes the time of the axis, not of the window."""
    x = normal(2, 5, 3)
    long, short = (kind(name="p", pool_size=n, strides=1, padding="same") for n in (2**40, 21))
    np.testing.assert_array_equal(output(long, x), output(short, x))

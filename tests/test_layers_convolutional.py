"""Convolutions, padding, cropping and repeating, against loops over places."""

import tracemalloc
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.layers import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    SeparableConv1D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
    convolutional,
)
from layer_laws import KERAS_3, TF_KERAS, check_laws, filled, forward, normal, output, planned
from tolerances import FLOAT32, assert_close

X1, X2, X3 = normal(7, 9, 4), normal(7, 7, 6, 4), normal(7, 4, 3, 5, 4)


def lacking(n: int, size: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Return how many places are lacking before and behind an axis."""
    extent = (size - 1) * dilation + 1
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return extent - 1, 0
    total = max(0, (-(-n // stride) - 1) * stride + extent - n)
    return total // 2, total - total // 2


def convolved(x: np.ndarray, layer: Any) -> np.ndarray:
    """Return a convolution by its definition, number by number, without its activation."""
    *sizes, channels, filters = layer.kernel.shape
    padding = [
        lacking(n, *of, layer.padding)
        for n, *of in zip(x.shape[1:], sizes, layer.strides, layer.dilation_rate, strict=False)
    ]
    wide = np.pad(x.astype(float), [(0, 0), *padding, (0, 0)])
    counts = [
        (n - ((size - 1) * dilation + 1)) // stride + 1
        for n, size, stride, dilation in zip(
            wide.shape[1:], sizes, layer.strides, layer.dilation_rate, strict=False
        )
    ]
    y = np.zeros((len(x), *counts, filters))
    share = filters // layer.groups
    for place in product(*map(range, counts)):
        for tap in product(*map(range, sizes)):
            at = tuple(
                p * s + t * d
                for p, s, t, d in zip(place, layer.strides, tap, layer.dilation_rate, strict=True)
            )
            for f in range(filters):
                first = f // share * channels
                part = wide[(slice(None), *at, slice(first, first + channels))]
                kernel = layer.kernel[(*tap, slice(None), f)].astype(float)
                y[(slice(None), *place, f)] += (part * kernel).sum(axis=1)
    return (y + (0 if layer.bias is None else layer.bias)).astype(np.float32)


CONV1D = [
    {"padding": padding} | options
    for padding in ("valid", "same", "causal")
    for options in (
        {"kernel_size": [3]},
        {"kernel_size": [1]},
        {"kernel_size": [3], "strides": [2]},
        {"kernel_size": [2], "strides": [3]},
        {"kernel_size": [3], "dilation_rate": [2]},
        {"kernel_size": [4], "dilation_rate": [2], "strides": [2]},
        {"kernel_size": [2], "groups": 2},
        {"kernel_size": [2], "groups": 2, "use_bias": False},
        {"kernel_size": [9]},
        {"kernel_size": [5], "strides": [2]},
        {"kernel_size": [6], "strides": [6]},
        {"kernel_size": [7], "groups": 2},
    )
]
CONV2D = [
    {"padding": padding} | options
    for padding in ("valid", "same")
    for options in (
        {"kernel_size": [3, 2]},
        {"kernel_size": [1, 1], "use_bias": False},
        {"kernel_size": [2, 3], "strides": [3, 2]},
        {"kernel_size": [3, 2], "dilation_rate": [2, 3]},
        {"kernel_size": [2, 2], "groups": 2},
        {"kernel_size": [2, 2], "groups": 4, "filters": 4},
        {"kernel_size": [4, 5], "strides": [1, 2]},
        {"kernel_size": [1, 6]},
        {"kernel_size": [7, 6], "strides": [7, 5]},
        {"kernel_size": [2, 5], "strides": [3, 1]},
        {"kernel_size": [2, 5], "dilation_rate": [2, 1]},
    )
]
CONV3D = [
    {"padding": padding} | options
    for padding in ("valid", "same")
    for options in (
        {"kernel_size": [3, 1, 2]},
        {"kernel_size": [2, 2, 3], "strides": [2, 1, 3], "use_bias": False},
        {"kernel_size": [2, 1, 2], "dilation_rate": [2, 1, 3]},
        {"kernel_size": [1, 2, 2], "groups": 2},
        {"kernel_size": [1, 2, 1], "groups": 4, "filters": 4},
        {"kernel_size": [2, 1, 5]},
    )
]


def conv(dims: int, config: dict[str, Any], x: np.ndarray) -> Any:
    common = {
        "filters": 6,
        "strides": [1] * dims,
        "dilation_rate": [1] * dims,
        "padding": "valid",
    }
    return filled(planned(f"Conv{dims}D", x.shape[1:], **(common | config)))


@pytest.mark.parametrize("config", CONV1D, ids=str)
def test_conv1d(backend: str, config: dict[str, Any]) -> None:
    layer = conv(1, config, X1)
    check_laws(layer, X1)
    assert_close(output(layer, X1), convolved(X1, layer), FLOAT32)


@pytest.mark.parametrize("config", CONV2D, ids=str)
def test_conv2d(backend: str, config: dict[str, Any]) -> None:
    layer = conv(2, config, X2)
    check_laws(layer, X2)
    assert_close(output(layer, X2), convolved(X2, layer), FLOAT32)


@pytest.mark.parametrize("config", CONV3D, ids=str)
def test_conv3d(backend: str, config: dict[str, Any]) -> None:
    layer = conv(3, config, X3)
    check_laws(layer, X3)
    assert_close(output(layer, X3), convolved(X3, layer), FLOAT32)


SEPARABLE: list[tuple[int, dict[str, Any]]] = [
    (1, {}),
    (1, {"depth_multiplier": 2, "padding": "causal"}),
    (1, {"strides": [2], "padding": "same", "use_bias": False}),
    (1, {"depth_multiplier": 3, "dilation_rate": [2], "kernel_size": [2]}),
    (2, {"depth_multiplier": 2, "padding": "same"}),
    (2, {"strides": [2, 1], "kernel_size": [2, 3]}),
]


@pytest.mark.parametrize(("dims", "config"), SEPARABLE, ids=str)
def test_separable(backend: str, dims: int, config: dict[str, Any]) -> None:
    """Its two kernels are one kernel of full rank, of which it keeps the factors."""
    x = X1 if dims == 1 else X2
    given = {
        "filters": 5,
        "kernel_size": [3] * dims,
        "depth_multiplier": 1,
        "strides": [1] * dims,
        "dilation_rate": [1] * dims,
        "padding": "valid",
    }
    layer = filled(planned(f"SeparableConv{dims}D", x.shape[1:], **(given | config)))
    check_laws(layer, x)
    *_, channels, multiplier = layer.depthwise_kernel.shape
    pointwise = layer.pointwise_kernel.reshape(channels, multiplier, 5)
    whole = SimpleNamespace(
        kernel=np.einsum("...cm,cmf->...cf", layer.depthwise_kernel, pointwise),
        groups=1,
        bias=layer.bias,
        padding=layer.padding,
        strides=layer.strides,
        dilation_rate=layer.dilation_rate,
    )
    assert_close(output(layer, x), convolved(x, whole), FLOAT32)


def laid(x: np.ndarray, layer: Any) -> np.ndarray:
    """Return a transposed convolution by its definition, all that its windows cover."""
    *sizes, share, channels = layer.kernel.shape
    counts = [
        (n - 1) * stride + (size - 1) * dilation + 1
        for n, size, stride, dilation in zip(
            x.shape[1:], sizes, layer.strides, layer.dilation_rate, strict=False
        )
    ]
    y = np.zeros((len(x), *counts, share * layer.groups))
    own = channels // layer.groups
    for place in product(*map(range, x.shape[1:-1])):
        for tap in product(*map(range, sizes)):
            at = tuple(
                p * s + t * d
                for p, s, t, d in zip(place, layer.strides, tap, layer.dilation_rate, strict=True)
            )
            for g in range(layer.groups):
                part = x[(slice(None), *place, slice(g * own, (g + 1) * own))].astype(float)
                kernel = layer.kernel[(*tap, slice(None), slice(g * own, (g + 1) * own))]
                y[(slice(None), *at, slice(g * share, (g + 1) * share))] += part @ kernel.T
    return y


# Options of Keras's, and for each axis how long the output is and what of `laid` is before it.
TRANSPOSED: list[tuple[dict[str, Any], list[tuple[int, int]]]] = [
    ({"kernel_size": [3]}, [(11, 0)]),
    ({"kernel_size": [1], "strides": [3]}, [(27, 0)]),
    ({"kernel_size": [4], "strides": [2]}, [(20, 0)]),
    ({"kernel_size": [4], "strides": [2], "output_padding": [1]}, [(21, 0)]),
    ({"kernel_size": [2], "strides": [3], "output_padding": [0]}, [(26, 0)]),
    ({"kernel_size": [3], "dilation_rate": [2], "use_bias": False}, [(13, 0)]),
    ({"kernel_size": [4], "strides": [2], "padding": "same"}, [(18, 1)]),
    ({"kernel_size": [5], "strides": [2], "padding": "same"}, [(18, 1)]),
    ({"kernel_size": [2], "strides": [3], "padding": "same"}, [(27, 0)]),
    (
        {"kernel_size": [5], "strides": [3], "padding": "same", "output_padding": [1]},
        [(26, 1)],
    ),
    ({"kernel_size": [3, 2], "strides": [2, 3]}, [(15, 0), (18, 0)]),
    ({"kernel_size": [3, 4], "strides": [1, 2], "padding": "same"}, [(7, 1), (12, 1)]),
    ({"kernel_size": [2, 1, 3], "strides": [1, 2, 2]}, [(5, 0), (6, 0), (11, 0)]),
    ({"kernel_size": [3, 2, 4], "strides": 2, "padding": "same"}, [(8, 0), (6, 0), (10, 1)]),
]


@pytest.mark.parametrize(
    ("config", "kept"), TRANSPOSED, ids=[str(config) for config, _ in TRANSPOSED]
)
def test_conv_transpose(backend: str, config: dict[str, Any], kept: list[tuple[int, int]]) -> None:
    dims = len(kept)
    x = (X1, X2, X3)[dims - 1]
    common = {"filters": 6, "strides": [1] * dims, "dilation_rate": [1] * dims, "padding": "valid"}
    layer = filled(planned(f"Conv{dims}DTranspose", x.shape[1:], **(common | config)))
    check_laws(layer, x)
    whole = np.pad(laid(x, layer), [(0, 0), *[(0, 9)] * dims, (0, 0)])
    part = whole[(slice(None), *(slice(first, first + n) for n, first in kept))]
    expected = part + (0 if layer.bias is None else layer.bias)
    assert_close(output(layer, x), expected.astype(np.float32), FLOAT32)


@pytest.mark.parametrize("groups", [2, 4])
def test_conv_transpose_of_groups(backend: str, groups: int) -> None:
    layer = Conv1DTranspose(name="c", kernel=normal(3, 3, 4), groups=groups, strides=2)
    check_laws(layer, X1)
    assert_close(output(layer, X1), laid(X1, layer).astype(np.float32), FLOAT32)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("activation", ["relu", "softmax", "tanh"])
def test_activation(backend: str, activation: str, groups: int) -> None:
    """Softmax is along all filters, whatever the groups."""
    config = {"kernel_size": [2], "groups": groups, "activation": activation}
    layer = conv(1, config, X1)
    check_laws(layer, X1)
    expected = fd.activate(convolved(X1, layer), activation)
    assert_close(output(layer, X1), expected, FLOAT32)


@pytest.mark.parametrize("piece", [1, 40, 150, 300, 1000])
def test_pieces_make_no_difference(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are worked on in pieces, and long rows in pieces of their first axis."""
    layers = [
        (conv(1, {"kernel_size": [3], "strides": [2], "padding": "causal"}, X1), X1),
        (conv(2, {"kernel_size": [3, 2], "padding": "same", "groups": 2}, X2), X2),
        (conv(1, {"kernel_size": [8], "padding": "causal"}, X1), X1),
        (conv(2, {"kernel_size": [5, 5], "strides": [2, 1], "padding": "same"}, X2), X2),
    ]
    expected = [output(layer, x) for layer, x in layers]
    monkeypatch.setattr(convolutional, "_PIECE", piece)
    for (layer, x), whole in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(output(layer, x), whole)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_windows_copied_by_lines_are_those_copied_by_places(padding: str) -> None:
    random = np.random.default_rng(0)
    tried = 0
    for _ in range(300):
        dims = 1 if padding == "causal" else int(random.integers(1, 3))
        sizes = [*random.integers(1, 9, dims - 1), random.integers(5, 12)]
        config = {
            "kernel_size": [int(n) for n in sizes],
            "strides": [int(random.integers(1, n + 1)) for n in sizes],
            "padding": padding,
            "filters": 1,
        }
        lengths = [int(n if padding == "valid" else 1) + int(random.integers(0, 9)) for n in sizes]
        x = normal(2, *lengths, int(random.integers(1, 4)))
        layer = conv(dims, config, x)
        which = [
            range(int(random.integers(0, n)), int(random.integers(0, n + 1)))
            for n in layer.output_shape(x.shape[1:])[:-1]
        ]
        assert layer._in_lines
        by_lines = layer._line_by_line(x, which)
        np.testing.assert_array_equal(by_lines, layer._place_by_place(x, which))
        tried += by_lines.size > 0
    assert tried > 100


# Copied by places, and by lines.
@pytest.mark.parametrize("dilation", [2, 1])
def test_memory_is_bounded(dilation: int) -> None:
    """The windows of a row, 39 MB here, are never all there at once."""
    x = normal(1, 400, 60, 8)
    config = {
        "kernel_size": [7, 7],
        "padding": "same",
        "filters": 2,
        "dilation_rate": [dilation] * 2,
    }
    layer = conv(2, config, x)
    work = layer.work_elements([x.shape[1:]])
    assert work <= 1.2 * convolutional._PIECE
    tracemalloc.start()
    forward(layer, x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * (x.size + 400 * 60 * 2 + 2 * work)


def test_any_length() -> None:
    layer = conv(1, {"kernel_size": [3]}, X1)
    assert layer.output_shape((None, 4)) == (None, 6)
    model = fd.Model([layer], (None, 4))
    np.testing.assert_array_equal(model.predict(X1), output(layer, X1))
    assert model.predict(X1[:, :3]).shape == (7, 1, 6)
    with pytest.raises(ValueError, match="an input of shape in which a window of 3 fits, got"):
        model.predict(X1[:, :2])


# ---- longer and shorter axes ----


def test_zero_padding() -> None:
    for padding, (a, b) in ((1, (1, 1)), ((2, 1), (2, 1)), ((0, 3), (0, 3))):
        layer = ZeroPadding1D(name="z", padding=padding)
        check_laws(layer, X1)
        y = output(layer, X1)
        assert y.shape == (7, 9 + a + b, 4)
        np.testing.assert_array_equal(y[:, a : a + 9], X1)
        assert not y[:, :a].any()
        assert not y[:, a + 9 :].any()
    layer = ZeroPadding3D(name="z", padding=((1, 0), (0, 2), (3, 1)))
    check_laws(layer, X3)
    assert output(layer, X3).shape == (7, 5, 5, 9, 4)
    np.testing.assert_array_equal(output(layer, X3)[:, 1:, :-2, 3:-1], X3)
    assert np.count_nonzero(output(layer, X3)) == np.count_nonzero(X3)
    for padding, ((a, b), (c, d)) in (
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        (((0, 1), (2, 3)), ((0, 1), (2, 3))),
    ):
        layer = ZeroPadding2D(name="z", padding=padding)
        check_laws(layer, X2)
        y = output(layer, X2)
        assert y.shape == (7, 7 + a + b, 6 + c + d, 4)
        np.testing.assert_array_equal(y[:, a : a + 7, c : c + 6], X2)
        assert np.count_nonzero(y) == np.count_nonzero(X2)
    assert ZeroPadding1D(name="z").output_shape((None, 4)) == (None, 4)


def test_cropping() -> None:
    for cropping, kept in ((1, slice(1, 8)), ((2, 1), slice(2, 8)), ((0, 3), slice(6))):
        layer = Cropping1D(name="c", cropping=cropping)
        check_laws(layer, X1)
        np.testing.assert_array_equal(output(layer, X1), X1[:, kept])
    three = Cropping3D(name="c", cropping=((0, 1), (1, 0), (2, 1)))
    check_laws(three, X3)
    np.testing.assert_array_equal(output(three, X3), X3[:, :-1, 1:, 2:-1])
    layer = Cropping2D(name="c", cropping=((0, 1), (2, 3)))
    check_laws(layer, X2)
    np.testing.assert_array_equal(output(layer, X2), X2[:, :6, 2:3])


def test_up_sampling() -> None:
    layer = UpSampling1D(name="u", size=3)
    check_laws(layer, X1)
    y = output(layer, X1)
    for t in range(27):
        np.testing.assert_array_equal(y[:, t], X1[:, t // 3])
    three = UpSampling3D(name="u", size=(2, 1, 3))
    check_laws(three, X3)
    np.testing.assert_array_equal(output(three, X3), X3.repeat(2, 1).repeat(3, 3))
    layer = UpSampling2D(name="u", size=(2, 3))
    check_laws(layer, X2)
    y = output(layer, X2)
    for i, j in product(range(14), range(18)):
        np.testing.assert_array_equal(y[:, i, j], X2[:, i // 2, j // 3])


KERNEL = np.zeros((3, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Conv1D(name="c", kernel=KERNEL[0]), "layer 'c' kernel: expected an array of 3"),
        (
            lambda: Conv1D(name="c", kernel=KERNEL, bias=np.zeros(5, np.float32)),
            r"layer 'c' bias: expected shape \(6,\), got \(5,\)",
        ),
        (
            lambda: Conv1D(name="c", kernel=KERNEL, padding="full"),
            "layer 'c' padding: expected 'valid', 'same' or 'causal'",
        ),
        (
            lambda: Conv2D(name="c", kernel=KERNEL[np.newaxis], padding="causal"),
            "layer 'c' padding: expected 'valid' or 'same'",
        ),
        (lambda: Conv1D(name="c", kernel=KERNEL, strides=0), "layer 'c' strides: expected 1"),
        (lambda: Conv1D(name="c", kernel=KERNEL, strides=(1, 2)), "layer 'c' strides: expected 1"),
        (lambda: Conv1D(name="c", kernel=KERNEL, dilation_rate=0), "layer 'c' dilation_rate: exp"),
        (lambda: Conv1D(name="c", kernel=KERNEL, groups=4), "layer 'c' groups: expected a divisor"),
        (lambda: Conv1D(name="c", kernel=KERNEL, activation="x"), "layer 'c' activation: expected"),
        (
            lambda: fd.Model([Conv1D(name="c", kernel=KERNEL)], (9, 5)),
            r"layer 'c': expected an input of shape \(..., 4\), got \(9, 5\)",
        ),
        (
            lambda: fd.Model([Conv1D(name="c", kernel=KERNEL, groups=2)], (9, 4)),
            r"layer 'c': expected an input of shape \(..., 8\), got \(9, 4\)",
        ),
        (
            lambda: fd.Model([Conv1D(name="c", kernel=KERNEL)], (4,)),
            r"layer 'c': expected an input of shape \(steps, channels\), got \(4,\)",
        ),
        (
            lambda: fd.Model([Conv1D(name="c", kernel=KERNEL, dilation_rate=2)], (4, 4)),
            "layer 'c': expected an input of shape in which a window of 5 fits",
        ),
        (
            lambda: SeparableConv1D(
                name="c", depthwise_kernel=normal(3, 4, 2), pointwise_kernel=normal(1, 4, 2)
            ),
            r"layer 'c' pointwise_kernel: expected shape \(1, 8, 'any'\)",
        ),
        (
            lambda: SeparableConv1D(
                name="c",
                depthwise_kernel=normal(3, 4, 1),
                pointwise_kernel=normal(1, 4, 2),
                strides=0,
            ),
            "layer 'c' strides: expected 1",
        ),
        (
            lambda: Conv1DTranspose(name="c", kernel=KERNEL, bias=np.zeros(5, np.float32)),
            "layer 'c' bias: expected shape",
        ),
        (
            lambda: Conv1DTranspose(name="c", kernel=normal(3, 2, 4), groups=3),
            "layer 'c' groups: expected a divisor of the 4 channels",
        ),
        (
            lambda: Conv1DTranspose(name="c", kernel=normal(3, 2, 4), padding="causal"),
            "layer 'c' padding: expected 'valid' or 'same'",
        ),
        (
            lambda: Conv1DTranspose(name="c", kernel=normal(3, 2, 4), output_padding=-1),
            "layer 'c' output_padding: expected 1 integers",
        ),
        (
            lambda: fd.Model([Conv1DTranspose(name="c", kernel=normal(3, 2, 4))], (9, 2)),
            r"layer 'c': expected an input of shape \(..., 4\)",
        ),
        (lambda: ZeroPadding1D(name="z", padding=-1), "layer 'z' padding: expected 2 integers"),
        (lambda: ZeroPadding2D(name="z", padding=(1, 2, 3)), "layer 'z' padding: expected a numb"),
        (lambda: Cropping2D(name="c", cropping=((1, 2, 3), 1)), "layer 'c' cropping: expected 2"),
        (
            lambda: fd.Model([Cropping1D(name="c", cropping=(4, 5))], (9, 4)),
            r"layer 'c': expected an input of shape longer than what \(\(4, 5\),\) takes off",
        ),
        (lambda: UpSampling1D(name="u", size=0), "layer 'u' size: expected 1 integers, or one"),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


# ---- as Keras spells them ----


@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS], ids=["keras 3", "keras 2"])
def test_rows(version: Any) -> None:
    def read(name: str, shape: tuple[int, ...], **config: Any) -> Any:
        return planned(name, shape, version, data_format="channels_last", **config)

    config = {"filters": 6, "kernel_size": [3], "strides": [2], "dilation_rate": [1]}
    layer = read("Conv1D", (9, 4), padding="causal", groups=2, activation="relu", **config)
    assert {field: weight.shape for field, weight in layer.weights().items()} == {
        "kernel": (3, 2, 6),
        "bias": (6,),
    }
    assert (layer.strides, layer.padding, layer.activation) == ((2,), "causal", "relu")
    # Keras 2.2 knows no groups.
    assert read("Conv1D", (9, 4), padding="valid", **config).groups == 1
    layer = read("Conv1DTranspose", (9, 4), padding="same", output_padding=[1], **config)
    assert {field: weight.shape for field, weight in layer.weights().items()} == {
        "kernel": (3, 6, 4),
        "bias": (6,),
    }
    assert (layer.strides, layer.padding, layer.output_padding) == ((2,), "same", (1,))
    assert read("Conv1DTranspose", (9, 4), padding="valid", **config).output_padding is None
    padding = read("ZeroPadding2D", (7, 6, 4), padding=[[1, 2], [3, 4]]).padding
    assert padding == ((1, 2), (3, 4))
    assert planned("ZeroPadding1D", (9, 4), version, padding=[1, 2]).padding == ((1, 2),)
    assert planned("Cropping1D", (9, 4), version, cropping=[1, 2]).cropping == ((1, 2),)
    assert read("Cropping2D", (7, 6, 4), cropping=[[1, 2], [3, 0]]).cropping == ((1, 2), (3, 0))
    assert planned("UpSampling1D", (9, 4), version, size=3).size == (3,)
    up = read("UpSampling2D", (7, 6, 4), size=[2, 3], interpolation="nearest")
    assert up.size == (2, 3)


CONV = {
    "filters": 6,
    "kernel_size": [3, 3],
    "strides": [1, 1],
    "dilation_rate": [1, 1],
    "padding": "same",
}


@pytest.mark.parametrize(
    ("name", "config", "match"),
    [
        ("Conv2D", CONV | {"filters": 0}, "filters: expected a positive integer, found 0"),
        ("Conv2D", CONV | {"kernel_size": [3]}, "kernel_size: expected 2 positive integers"),
        ("Conv2D", CONV | {"kernel_size": [3, 0]}, "kernel_size: expected 2 positive integers"),
        ("Conv2D", CONV | {"strides": None}, "strides: expected 2 positive integers"),
        ("Conv2D", CONV | {"dilation_rate": [1, True]}, "dilation_rate: expected 2 positive int"),
        ("Conv2D", CONV | {"padding": "causal"}, "padding: expected valid, same, found 'causal'"),
        ("Conv2D", CONV | {"groups": 0}, "groups: expected a positive integer, found 0"),
        ("Conv2D", CONV | {"groups": 4}, "groups: expected a divisor of the 6 filters, found 4"),
        ("Conv2D", CONV | {"groups": 3}, "a multiple of 3 channels, got"),
        ("Conv2D", CONV | {"activation": "maxout"}, "activation: 'maxout' is not supported"),
        ("Conv2D", CONV | {"use_bias": 0}, "use_bias: expected true or false, found 0"),
        ("Conv2D", CONV | {"data_format": "channels_middle"}, "data_format: expected 'channels_l"),
        ("Conv2D", CONV | {"output_padding": 1}, "unsupported option 'output_padding': 1"),
        ("Conv2D", CONV | {"kernel_size": [8, 3], "padding": "valid"}, "a window of 8 and 3 fits"),
        ("ZeroPadding2D", {"padding": [1, 2]}, "padding: expected a pair of integers >= 0 for eac"),
        ("ZeroPadding2D", {"padding": [[1, -1], [0, 0]]}, "padding: expected a pair of integers"),
        ("ZeroPadding1D", {"padding": 1}, "padding: expected a pair of integers >= 0, found 1"),
        ("Cropping2D", {"cropping": [[4, 3], [0, 0]]}, "longer than what"),
        ("Cropping1D", {}, "cropping: expected a pair of integers >= 0, found nothing"),
        ("UpSampling1D", {"size": 0}, "size: expected 1 positive integers, or one, found 0"),
        ("UpSampling2D", {"size": 2, "interpolation": "bicubic"}, "interpolation: expected near"),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelFormatError, match=match):
        planned(name, (7, 6, 4), **config)

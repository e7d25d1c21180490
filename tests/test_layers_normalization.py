"""Layers that shift and scale, against their definitions in binary64."""

import io
from itertools import product
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.formats.keras._version import Version
from fastdrop.layers import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    UnitNormalization,
)
from layer_laws import KERAS_3, TF_KERAS, check_laws, filled, normal, output, planned
from tolerances import FLOAT32, assert_close

X2, X3, X4 = normal(7, 4), 3 * normal(7, 5, 3) + 1, normal(7, 2, 3, 4)


def batch(x: np.ndarray, axis: int, layer: Any) -> np.ndarray:
    """Return batch normalization by its definition, number by number."""
    y = np.empty(x.shape)
    for place in product(*map(range, x.shape)):
        c = place[axis]
        deviation = np.sqrt(float(layer.moving_variance[c]) + layer.epsilon)
        y[place] = (float(x[place]) - float(layer.moving_mean[c])) / deviation
        if layer.gamma is not None:
            y[place] *= float(layer.gamma[c])
        if layer.beta is not None:
            y[place] += float(layer.beta[c])
    return y.astype(np.float32)


@pytest.mark.parametrize(
    ("x", "axis", "config"),
    [
        (X2, -1, {}),
        (X3, -1, {}),
        (X3, -1, {"scale": False}),
        (X3, -1, {"center": False}),
        (X3, -1, {"scale": False, "center": False}),
        (X3, [2], {"epsilon": 0.25}),
        (X3, 1, {}),
        (X4, 2, {}),
        (X4, -3, {"epsilon": 1e-5}),
    ],
)
def test_batch_normalization(x: np.ndarray, axis: Any, config: dict[str, Any]) -> None:
    layer = filled(planned("BatchNormalization", x.shape[1:], axis=axis, **config))
    assert [*layer.weights()][-2:] == ["moving_mean", "moving_variance"]
    check_laws(layer, x)
    (place,) = axis if isinstance(axis, list) else (axis,)
    assert_close(output(layer, x), batch(x, place, layer), FLOAT32)


def test_a_mean_far_from_zero() -> None:
    """What is close to a large mean keeps its digits."""
    mean = np.float32([1e4, -3e5])
    layer = BatchNormalization(
        name="b", moving_mean=mean, moving_variance=np.float32([0.01, 4.0]), epsilon=0.0
    )
    x = mean + normal(7, 2) * np.float32([0.1, 2.0])
    assert_close(output(layer, x), batch(x, -1, layer), 1e-6)


def by_rows(
    x: np.ndarray, axes: tuple[int, ...], function: Any, weights: list[np.ndarray | None]
) -> np.ndarray:
    """Apply a function to the numbers along some axes, wherever the others are.

    Weights are laid along the axes in their order in the row.
    """
    axes = tuple(sorted(a % x.ndim for a in axes))
    others = [a for a in range(x.ndim) if a not in axes]
    y = np.empty(x.shape)
    flat = [None if w is None else w.astype(float).reshape(-1) for w in weights]
    for place in product(*(range(x.shape[a]) for a in others)):
        index: list[Any] = [slice(None)] * x.ndim
        for a, i in zip(others, place, strict=True):
            index[a] = i
        part = x[tuple(index)].astype(float)
        y[tuple(index)] = function(part.reshape(-1), *flat).reshape(part.shape)
    return y.astype(np.float32)


AXES = [
    (X2, -1),
    (X3, -1),
    (X3, 1),
    (X3, [2]),
    (X3, [1, 2]),
    (X3, [-1, 1]),
    (X4, [1, 3]),
    (X4, [3, 1]),
    (X4, 2),
    (X4, [1, 2, 3]),
]


@pytest.mark.parametrize(("x", "axis"), AXES)
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"scale": False},
        {"center": False},
        {"scale": False, "center": False, "epsilon": 0.5},
        {"rms_scaling": True, "epsilon": 1e-6},
        {"rms_scaling": True, "scale": False},
    ],
    ids=str,
)
def test_layer_normalization(x: np.ndarray, axis: Any, config: dict[str, Any]) -> None:
    layer = filled(planned("LayerNormalization", x.shape[1:], axis=axis, **config))
    axes = tuple(axis) if isinstance(axis, list) else (axis,)
    if layer.gamma is not None:  # with several axes its lengths are in the order given
        assert layer.gamma.shape == tuple(x.shape[a] for a in axes)
    rms = config.get("rms_scaling", False)
    assert (layer.gamma is None) == (not config.get("scale", True) and not rms)
    assert (layer.beta is None) == (rms or not config.get("center", True))

    def normalized(part: Any, gamma: Any, beta: Any) -> Any:
        mean = sum(part) / len(part)
        variance = sum((part - mean) ** 2) / len(part)
        y = (part if rms else part - mean) / (variance + layer.epsilon) ** 0.5
        return y * (1 if gamma is None else gamma) + (0 if beta is None else beta)

    check_laws(layer, x)
    assert_close(output(layer, x), by_rows(x, axes, normalized, [layer.gamma, layer.beta]), FLOAT32)


@pytest.mark.parametrize(("x", "axis"), AXES)
@pytest.mark.parametrize("config", [{}, {"epsilon": 0.5}], ids=str)
def test_rms_normalization(x: np.ndarray, axis: Any, config: dict[str, Any]) -> None:
    layer = filled(planned("RMSNormalization", x.shape[1:], axis=axis, **config))
    axes = tuple(axis) if isinstance(axis, list) else (axis,)

    def normalized(part: Any, scale: Any) -> Any:
        return part / (sum(part**2) / len(part) + layer.epsilon) ** 0.5 * scale

    check_laws(layer, x)
    assert_close(output(layer, x), by_rows(x, axes, normalized, [layer.scale]), FLOAT32)


@pytest.mark.parametrize(("shape", "axis"), [((6,), 1), ((5, 6), -1), ((6, 5), 1), ((4, 6, 5), 2)])
@pytest.mark.parametrize(
    "config",
    [{"groups": 2}, {"groups": 3, "center": False}, {"groups": 1, "scale": False}, {"groups": -1}],
    ids=str,
)
def test_group_normalization(shape: tuple[int, ...], axis: int, config: dict[str, Any]) -> None:
    x = normal(7, *shape)
    layer = filled(planned("GroupNormalization", shape, axis=axis, epsilon=0.1, **config))
    assert (layer.gamma is None) != config.get("scale", True)
    assert (layer.beta is None) != config.get("center", True)
    groups = 6 if config["groups"] == -1 else config["groups"]
    expected = np.empty(x.shape)
    last, found = np.moveaxis(x, axis, -1).astype(float), np.moveaxis(expected, axis, -1)
    for n, first in product(range(7), range(0, 6, 6 // groups)):
        part = last[n, ..., first : first + 6 // groups]
        y = (part - part.mean()) / np.sqrt(part.var() + 0.1)
        found[n, ..., first : first + 6 // groups] = y
    found *= 1 if layer.gamma is None else layer.gamma
    found += 0 if layer.beta is None else layer.beta
    check_laws(layer, x)
    assert_close(output(layer, x), expected.astype(np.float32), FLOAT32)


@pytest.mark.parametrize(("x", "axis"), AXES)
def test_unit_normalization(x: np.ndarray, axis: Any) -> None:
    layer = planned("UnitNormalization", x.shape[1:], axis=axis)
    check_laws(layer, x)
    axes = tuple(axis) if isinstance(axis, list) else (axis,)
    expected = by_rows(x, axes, lambda part: part / sum(part**2) ** 0.5, [])
    assert_close(output(layer, x), expected, FLOAT32)


@pytest.mark.parametrize(
    ("version", "least"), [((2, 21, True), 1e-6), ((3, 0), 1e-6), ((3, 5), 1e-6), ((3, 6), 1e-12)]
)
def test_what_is_almost_nothing_is_divided_by_no_less(version: Any, least: float) -> None:
    layer = planned("UnitNormalization", (2,), Version(*version))
    x = np.float32([[3e-8, 4e-8], [3e-20, 4e-20], [0, 0], [3, 4]])
    norm = np.sqrt((x.astype(float) ** 2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(output(layer, x), x / np.maximum(norm, least), rtol=1e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 8, 127, 129, 20_000])
def test_sums_do_not_depend_on_the_batch(width: int) -> None:
    """At any width: NumPy sums short, long and single rows in different ways."""
    x = normal(7, 2, width) * 100
    for axis in (1, [0, 1]):
        check_laws(LayerNormalization(name="n", axis=axis), x)
        check_laws(UnitNormalization(name="n", axis=axis), x)
        check_laws(RMSNormalization(name="n", axis=axis), x)
    check_laws(GroupNormalization(name="n", axis=0, groups=2), x)


@pytest.mark.parametrize(
    ("x", "axis", "shape"),
    [
        (X2, -1, (4,)),
        (X3, -1, (3,)),
        (X3, 1, (5,)),
        (X3, [1, 2], (5, 3)),
        (X3, [2, 1], (5, 3)),
        (X3, None, ()),
        (X4, [3, 1], (2, 4)),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_normalization(x: np.ndarray, axis: Any, shape: tuple[int, ...], invert: bool) -> None:
    layer = filled(planned("Normalization", x.shape[1:], axis=axis, invert=invert))
    assert layer.mean.shape == shape
    check_laws(layer, x)
    axes = () if axis is None else tuple(axis) if isinstance(axis, list) else (axis,)
    kept = [a in {a % x.ndim for a in axes} for a in range(x.ndim)]
    mean, deviation = (
        w.astype(float).reshape([n if keep else 1 for n, keep in zip(x.shape, kept, strict=True)])
        for w in (layer.mean, np.sqrt(layer.variance.astype(float)))
    )
    expected = mean + x * deviation if invert else (x - mean) / deviation
    assert_close(output(layer, x), expected.astype(np.float32), FLOAT32)


def test_normalization_with_what_is_given() -> None:
    for mean, variance in ((0.5, 4.0), ([0.5] * 3, [[4.0] * 3]), ([[[0.5]]], [[[4.0]]])):
        layer = planned("Normalization", (5, 3), mean=mean, variance=variance)
        assert_close(output(layer, X3), (X3 - np.float32(0.5)) / np.float32(2), 1e-6)
    # A variance of 0 is no division by 0.
    layer = planned("Normalization", (5, 3), mean=[0.5, 1.0, 2.0], variance=[1.0, 0.0, 4.0])
    expected = (X3 - np.float32([0.5, 1, 2])) / np.float32([1, 1e-7, 2])
    np.testing.assert_allclose(output(layer, X3), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "offset"), [(0.25, 0.0), (1 / 127.5, -1), ([0.5, 2.0, 0.25], [0, 1, -1])]
)
def test_rescaling(scale: Any, offset: Any) -> None:
    layer = planned("Rescaling", (5, 3), scale=scale, offset=offset)
    check_laws(layer, X3)
    expected = X3 * np.float32(scale) + np.float32(offset)
    np.testing.assert_array_equal(output(layer, X3), expected)
    assert planned("Rescaling", (5, 3), scale=2).offset == 0
    stored = {"class_name": "__numpy__", "config": {"value": scale, "dtype": "float64"}}
    np.testing.assert_array_equal(planned("Rescaling", (5, 3), scale=stored).scale, layer.scale)


def test_only_keras_3_passes_these_masks_on() -> None:
    for name, config in (("Normalization", {}), ("Rescaling", {"scale": 2.0})):
        assert planned(name, (5, 3), KERAS_3, **config).passes_mask
        old = filled(planned(name, (5, 3), TF_KERAS, **config))
        assert not old.passes_mask
        check_laws(old, X3)
    for name in ("BatchNormalization", "LayerNormalization", "UnitNormalization"):
        assert planned(name, (5, 3), TF_KERAS).passes_mask


def test_the_count_is_read_and_of_no_use() -> None:
    pytest.importorskip("h5py", reason="the files under test are written with h5py")
    import keras_files as kf

    def load(**changed: np.ndarray) -> fd.Model:
        arrays = {"0": np.float32([1, 2, 3]), "1": np.float32([4, 9, 16]), "2": np.array(7)}
        entries = [
            kf.input_layer([3], "float32"),
            kf.layer("Normalization", axis=[-1], mean=None, variance=None, invert=False),
        ]
        weights = {f"normalization/vars/{k}": v for k, v in (arrays | changed).items()}
        file = kf.sequential(entries, {k: v for k, v in weights.items() if v is not None})
        return fd.load(io.BytesIO(file.to_bytes()))

    x = normal(7, 3)
    for count in (np.array(7), np.array(7, np.int32), np.array(7, np.float32)):
        got = load(**{"2": count}).predict(x)
        np.testing.assert_array_equal(got, (x - np.float32([1, 2, 3])) / np.float32([2, 3, 4]))
        assert load(**{"2": count}).notes == ()
    for changed, match in (
        ({"2": None}, "2 is missing"),
        ({"2": np.array([7])}, r"expected shape \(\), found"),
        ({"2": np.array(7, np.uint8)}, "expected float16 or float32 or float64 or int32 or int64"),
        ({"0": np.array([1, 2, 3])}, "expected float32, found int64"),
    ):
        with pytest.raises(ModelFormatError, match=match):
            load(**changed)  # type: ignore[arg-type]


V3 = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: BatchNormalization(name="b", axis=(1, 2), moving_mean=V3, moving_variance=V3),
            r"layer 'b' axis: expected one axis",
        ),
        (
            lambda: BatchNormalization(name="b", moving_mean=V3, moving_variance=V3[:2]),
            r"layer 'b' moving_variance: expected shape \(3,\), got \(2,\)",
        ),
        (
            lambda: BatchNormalization(name="b", moving_mean=V3, moving_variance=V3, epsilon=-1.0),
            r"layer 'b' epsilon: expected a finite number >= 0",
        ),
        (
            lambda: fd.Model(
                [BatchNormalization(name="b", moving_mean=V3, moving_variance=V3)], (5, 4)
            ),
            r"layer 'b': expected an input of shape with lengths \(3,\) along axis",
        ),
        (lambda: GroupNormalization(name="n", groups=0), "layer 'n' groups: expected at least one"),
        (lambda: GroupNormalization(name="n", groups=-2), "layer 'n' groups: expected an integer"),
        (lambda: GroupNormalization(name="n", axis=(0, 1)), "layer 'n' axis: expected one axis"),
        (
            lambda: fd.Model([GroupNormalization(name="n", groups=3)], (5, 4)),
            "layer 'n': expected an input of shape with channels for 3 groups",
        ),
        (
            lambda: fd.Model([RMSNormalization(name="n", scale=V3)], (5, 4)),
            "layer 'n': expected an input of shape with lengths",
        ),
        (lambda: LayerNormalization(name="n", axis=-65), "layer 'n' axis: expected an integer >="),
        (lambda: LayerNormalization(name="n", axis=()), "layer 'n' axis: expected at least one"),
        (
            lambda: fd.Model([LayerNormalization(name="n", axis=(0, -2))], (5, 4)),
            "layer 'n': expected an input of shape with fixed lengths along different axes",
        ),
        (
            lambda: fd.Model([LayerNormalization(name="n", axis=2)], (5, 4)),
            "layer 'n': expected an input of shape with fixed lengths along different axes",
        ),
        (
            lambda: fd.Model([LayerNormalization(name="n", axis=0)], (None, 4)),
            "layer 'n': expected an input of shape with fixed lengths along different axes",
        ),
        (
            lambda: fd.Model([LayerNormalization(name="n", beta=V3)], (5, 4)),
            r"layer 'n': expected an input of shape with lengths \(3,\) along axis",
        ),
        (
            lambda: LayerNormalization(name="n", beta=V3, rms_scaling=True),
            "layer 'n' beta: expected None with rms_scaling",
        ),
        (
            lambda: UnitNormalization(name="u", least_norm=0.0),
            "layer 'u' least_norm: expected a number > 0",
        ),
        (
            lambda: fd.Model([UnitNormalization(name="u", axis=2)], (5, 4)),
            "layer 'u': expected an input of shape with fixed lengths along different axes",
        ),
        (
            lambda: BatchNormalization(name="b", moving_mean=V3[:, np.newaxis], moving_variance=V3),
            "layer 'b' moving_mean: expected",
        ),
        (
            lambda: Normalization(name="n", mean=V3, variance=V3[:1]),
            r"layer 'n' variance: expected shape \(3,\), got \(1,\)",
        ),
        (
            lambda: fd.Model([Rescaling(name="r", scale=V3)], (5, 4)),
            r"layer 'r': expected an input of shape to which scale of shape \(3,\) broadcasts",
        ),
        (lambda: Rescaling(name="r", scale=np.inf), "layer 'r' scale: expected finite numbers"),
    ],
)
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ("name", "config", "match"),
    [
        ("BatchNormalization", {"axis": [1, 2]}, r"axis: expected one axis other than 0, found"),
        ("BatchNormalization", {"axis": 0}, "axis: expected an axis other than 0, or a list"),
        ("BatchNormalization", {"axis": 7}, "with fixed lengths along different axes"),
        ("BatchNormalization", {"axis": 1000}, "axis: expected an axis other than 0, or a list"),
        ("BatchNormalization", {"axis": None}, "axis: expected an axis other than 0, or a list"),
        ("BatchNormalization", {"renorm": True}, "unsupported option 'renorm': True"),
        (
            "BatchNormalization",
            {"renorm_clipping": {"rmax": 3}},
            "unsupported option 'renorm_clipping'",
        ),
        ("BatchNormalization", {"virtual_batch_size": 8}, "unsupported option 'virtual_batch_si"),
        ("BatchNormalization", {"epsilon": -1}, "epsilon: expected a number >= 0, found -1"),
        ("BatchNormalization", {"epsilon": None}, "epsilon: expected a number >= 0, found None"),
        ("BatchNormalization", {"scale": 1}, "scale: expected true or false, found 1"),
        ("GroupNormalization", {"groups": 0}, "groups: expected an integer >= 1, or -1"),
        ("GroupNormalization", {"groups": 2.0}, "groups: expected an integer >= 1, or -1"),
        ("GroupNormalization", {"axis": [1, 2]}, "axis: expected one axis other than 0"),
        ("LayerNormalization", {"axis": []}, "axis: expected an axis other than 0, or a list"),
        ("LayerNormalization", {"axis": [1, -2]}, "with fixed lengths along different axes"),
        ("LayerNormalization", {"rms_scaling": "yes"}, "rms_scaling: expected true or false"),
        ("UnitNormalization", {"axis": "last"}, "axis: expected an axis other than 0, or a list"),
        ("Normalization", {"mean": 0.5}, "expected mean and variance, or neither"),
        ("Normalization", {"mean": [1, 2], "variance": [1, 2]}, r"mean: expected numbers of shape"),
        ("Normalization", {"mean": "a", "variance": 1}, "mean: expected numbers, found 'a'"),
        ("Normalization", {"mean": [1, [2]], "variance": 1}, "mean: expected numbers, found"),
        ("Normalization", {"invert": None}, "invert: expected true or false"),
        ("Rescaling", {}, "scale: expected numbers, found nothing"),
        ("Rescaling", {"scale": True}, "scale: expected numbers, found True"),
        ("Rescaling", {"scale": [1, 2]}, r"to which scale of shape \(2,\) broadcasts"),
        ("Rescaling", {"scale": 1, "offset": None}, "offset: expected numbers, found None"),
        ("Rescaling", {"scale": 1e39}, "scale: expected numbers within the range of float32"),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelFormatError, match=match):
        planned(name, (5, 3), **config)


def test_what_has_no_effect() -> None:
    def inner(name: str) -> dict[str, Any]:
        return {"module": "keras", "class_name": name, "config": {}, "registered_name": None}

    layer = planned(
        "BatchNormalization",
        (5, 3),
        momentum=0.9,
        synchronized=True,
        renorm=False,
        renorm_momentum=0.99,
        gamma_initializer=inner("Ones"),
        beta_regularizer=inner("L2"),
        moving_variance_initializer=inner("Ones"),
        gamma_constraint=inner("NonNeg"),
    )
    assert [*layer.weights()] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert {type(planned(f"BatchNormalizationV{v}", (5, 3))) for v in (1, 2)} == {type(layer)}

"""Merging layers: against loops in float64, their masks by every version's rule, the laws."""

from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.formats import ModelFormatError
from fastdrop.formats.keras._registry import LAYERS
from fastdrop.formats.keras._version import Version
from fastdrop.layers import Concatenate, Dot, Draw, Dropout, Flow, Layer, Merge
from layer_laws import KERAS_3, TF_KERAS, normal

MERGES = {
    "add": lambda xs: sum(xs),
    "subtract": lambda xs: xs[0] - xs[1],
    "multiply": np.prod,
    "average": lambda xs: sum(xs) / len(xs),
    "maximum": max,
    "minimum": min,
}


def run(layer: Layer, *xs: np.ndarray, masks: Any = None) -> Flow:
    """Run on rows, or on samples and rows where there is an axis more than in `xs[0]`."""
    masks = masks or [None] * len(xs)
    flows = [
        Flow(x[np.newaxis], None if m is None else m[np.newaxis])
        for x, m in zip(xs, masks, strict=True)
    ]
    (flow,) = layer.run(flows, None)
    assert flow.values.dtype == np.float32
    shapes = layer.output_shapes([x.shape[1:] for x in xs])
    assert shapes == [flow.values.shape[2:]]
    return flow


def check_rows(layer: Layer, *xs: np.ndarray) -> np.ndarray:
    """Rows do not depend on each other, samples neither; one sample serves for several."""
    whole = run(layer, *xs).values[0]
    rows = len(xs[0])
    for n in range(rows):
        np.testing.assert_array_equal(
            run(layer, *(x[n : n + 1] for x in xs)).values[0, 0], whole[n]
        )
    assert run(layer, *(x[:0] for x in xs)).values.shape == (1, 0, *whole.shape[1:])
    (flow,) = layer.run(
        [Flow(np.stack([xs[0], 2 * xs[0]])), *(Flow(x[np.newaxis]) for x in xs[1:])], None
    )
    np.testing.assert_array_equal(flow.values[0], whole)
    np.testing.assert_array_equal(flow.values[1], run(layer, 2 * xs[0], *xs[1:]).values[0])
    return whole


# ---- number by number ----


@pytest.mark.parametrize("function", MERGES)
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("masks", ["any", "all"])
def test_merge(function: str, count: int, masks: str) -> None:
    layer = Merge(name="m", function=function, masks=masks)
    xs = [normal(7, 4, 3, seed=i) for i in range(count)]
    if function == "subtract" and count == 3:
        with pytest.raises(ValueError, match="layer 'm': expected 2 inputs, got 3"):
            layer.output_shapes([(4, 3)] * 3)
        return
    got = check_rows(layer, *xs)
    for place in np.ndindex(7, 4, 3):
        expected = MERGES[function]([float(x[place]) for x in xs])
        assert abs(got[place] - expected) <= 1e-6 * max(1, abs(expected))


@pytest.mark.parametrize("function", MERGES)
def test_merges_of_unlike_shapes(function: str) -> None:
    """Lengths of 1 serve for all; fewer axes are one that is the same at every step."""
    layer = Merge(name="m", function=function)
    x, flat, thin = normal(7, 4, 3), normal(7, 3, seed=1), normal(7, 4, 1, seed=2)
    for a, b in ((x, flat), (flat, x), (x, thin), (thin, x), (thin, flat)):
        got = check_rows(layer, a, b)
        assert got.shape == (7, 4, 3)
        for n, t, j in np.ndindex(7, 4, 3):
            given = [
                float(v[n, j] if v.ndim == 2 else v[n, t, min(j, v.shape[2] - 1)]) for v in (a, b)
            ]
            expected = MERGES[function](given)
            assert abs(got[n, t, j] - expected) <= 1e-6 * max(1, abs(expected))


def test_merged_shapes_left_open() -> None:
    layer = Merge(name="m", function="add")
    assert layer.output_shapes([(None, 3), (None, 3)]) == [(None, 3)]
    assert layer.output_shapes([(None, 3), (5, 1)]) == [(5, 3)]
    assert layer.output_shapes([(None, 3), (1, 3)]) == [(None, 3)]
    assert layer.output_shapes([(1, 3), (1, 3)]) == [(1, 3)]
    assert layer.output_shapes([(None, 3), (3,)]) == [(None, 3)]


def test_merges_beyond_float32() -> None:
    """What overflows does so without a warning."""
    big = np.full((2, 2), 3e38, np.float32)
    for function in ("add", "multiply", "average"):
        for masks in ("any", "all"):
            assert np.isinf(
                run(Merge(name="m", function=function, masks=masks), big, big).values
            ).all()


M = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool)
N = np.array([[1, 0, 1, 0], [1, 0, 0, 1]], bool)


@pytest.mark.parametrize("function", MERGES)
@pytest.mark.parametrize(
    ("rule", "masks", "expected"),
    [
        ("all", (M, N), M & N),
        ("all", (M, None), M),
        ("all", (None, N), N),
        ("all", (None, None), None),
        ("any", (M, N), M | N),
        ("any", (M, None), None),
        ("any", (None, N), None),
        ("any", (None, None), None),
    ],
)
def test_masks_of_merges(function: str, rule: str, masks: Any, expected: Any) -> None:
    xs = [normal(2, 4, 3, seed=i) for i in range(2)]
    flow = run(Merge(name="m", function=function, masks=rule), *xs, masks=masks)
    if expected is None:
        assert flow.mask is None
    else:
        np.testing.assert_array_equal(flow.mask[0], expected)


@pytest.mark.parametrize("function", ["multiply", "maximum", "minimum"])
@pytest.mark.parametrize("given", [(M, N, None), (M, None, N), (None, M, N), (M, N, M & N)])
def test_what_counts_alone(function: str, given: Any) -> None:
    """With "any", a step that an input lacks leaves that input out of what is merged."""
    xs = [normal(2, 4, 3, seed=i) for i in range(3)]
    got = run(Merge(name="m", function=function), *xs, masks=list(given)).values[0]
    kept = [np.ones((2, 4), bool) if m is None else m for m in given]
    for n, t in np.ndindex(2, 4):
        for j in range(3):
            values = [float(x[n, t, j]) for x, m in zip(xs, kept, strict=True) if m[n, t]]
            # A step that all inputs lack: what Keras leaves there.
            nothing = 0.0 if function == "multiply" else float(xs[0][n, t, j])
            expected = float(MERGES[function](values)) if values else nothing
            assert abs(got[n, t, j] - expected) <= 1e-6 * max(1, abs(expected)), (n, t, j)


@pytest.mark.parametrize("function", ["add", "subtract", "average", "multiply", "maximum"])
def test_what_is_masked_counts_where_all_must(function: str) -> None:
    xs = [normal(2, 4, 3, seed=i) for i in range(2)]
    layer = Merge(name="m", function=function, masks="all")
    masked = run(layer, *xs, masks=(M, N)).values
    np.testing.assert_array_equal(masked, run(layer, *xs).values)


def test_merges_have_no_samples_of_their_own() -> None:
    """One random input, one that is not: each sample goes with the one there is."""
    x, y = normal(3, 4), normal(3, 4, seed=1)
    calls = [
        fd.Call(Dropout(name="d", rate=0.5), "x"),
        fd.Call(Merge(name="m", function="maximum"), ["y", "d"]),
        fd.Call(Concatenate(name="c"), ["y", "m"]),
        fd.Call(Dot(name="o", axes=(1, 1)), ["y", "d"]),
    ]
    model = fd.Model(calls, {"x": (4,), "y": (4,)}, outputs=["d", "m", "c", "o"])
    d, m, c, o = (p.samples for p in model.mc_predict([x, y], samples=5, rng=0, keep_samples=True))
    np.testing.assert_array_equal(m, np.maximum(d, y))
    np.testing.assert_array_equal(c, np.concatenate([np.broadcast_to(y, d.shape), m], axis=-1))
    np.testing.assert_allclose(o[..., 0], (d * y).sum(axis=-1), rtol=1e-5, atol=1e-6)


# ---- side by side ----


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [
        (-1, [(4, 3), (4, 2), (4, 1)]),
        (1, [(4, 3), (4, 2)]),
        (0, [(4, 3), (2, 3)]),
        (-2, [(4, 3), (2, 3)]),
        (1, [(2, 3, 4), (2, 1, 4)]),
        (0, [(3,), (2,)]),
        (-1, [(4, 3)]),
    ],
)
def test_concatenate(axis: int, shapes: Any) -> None:
    xs = [normal(7, *shape, seed=i) for i, shape in enumerate(shapes)]
    got = check_rows(Concatenate(name="c", axis=axis), *xs)
    for n in range(7):
        np.testing.assert_array_equal(got[n], np.concatenate([x[n] for x in xs], axis=axis))


def test_concatenated_shapes_left_open() -> None:
    layer = Concatenate(name="c")
    assert layer.output_shapes([(None, 3), (None, 2)]) == [(None, 5)]
    assert layer.output_shapes([(None, 3), (4, 2)]) == [(4, 5)]
    assert layer.output_shapes([(4, 3), (None, 2)]) == [(4, 5)]
    assert layer.output_shapes([(4, None), (4, 2)]) == [(4, None)]
    along = Concatenate(name="c", axis=0)
    assert along.output_shapes([(None, 3), (2, 3)]) == [(None, 3)]
    assert along.output_shapes([(4, 3), (2, 3)]) == [(6, 3)]


@pytest.mark.parametrize("rule", ["any", "all"])
@pytest.mark.parametrize("given", [(M, N), (M, None), (None, N), (None, None)])
@pytest.mark.parametrize("axis", [-1, 0])
def test_masks_of_concatenate(rule: str, given: Any, axis: int) -> None:
    """Spread over the features, put together like the values, and then asked of the features."""
    xs = [normal(2, 4, 3), normal(2, 4, 2 if axis else 3, seed=1)]
    flow = run(Concatenate(name="c", axis=axis, masks=rule), *xs, masks=list(given))
    if all(m is None for m in given):
        assert flow.mask is None
        return
    lists = [np.ones((2, 4), bool) if m is None else m for m in given]
    if axis == 0:
        expected = np.concatenate(lists, axis=1)
    else:
        expected = lists[0] | lists[1] if rule == "any" else lists[0] & lists[1]
    np.testing.assert_array_equal(flow.mask[0], expected)


def test_masks_of_samples_are_concatenated() -> None:
    masks = np.stack([M, N])
    layer = Concatenate(name="c", masks="all")
    x, y = normal(2, 4, 3), normal(2, 4, 2)
    (flow,) = layer.run(
        [Flow(np.stack([x, 2 * x]), masks), Flow(y[np.newaxis], M[np.newaxis])], None
    )
    np.testing.assert_array_equal(flow.mask, masks & M)


# ---- products ----


def dot(a: np.ndarray, b: np.ndarray, axes: tuple[int, int], normalize: bool) -> np.ndarray:
    """One row, by loops; axes count from 1."""
    at, bt = (axis - 1 if axis > 0 else axis for axis in axes)
    left, right = np.moveaxis(a.astype(float), at, -1), np.moveaxis(b.astype(float), bt, -1)
    if normalize:
        left, right = (
            v / np.sqrt(np.maximum((v * v).sum(axis=-1, keepdims=True), 1e-12))
            for v in (left, right)
        )
    out = np.zeros((*left.shape[:-1], *right.shape[:-1]))
    for i in np.ndindex(*left.shape[:-1]):
        for j in np.ndindex(*right.shape[:-1]):
            out[(*i, *j)] = sum(p * q for p, q in zip(left[i], right[j], strict=True))
    return out if out.ndim else out[np.newaxis]


@pytest.mark.parametrize("function", MERGES)
def test_what_is_no_number_stays_so(function: str) -> None:
    a, b = np.array([[np.nan, 1, 2]], np.float32), np.array([[1, np.nan, 2]], np.float32)
    found = run(Merge(name="m", function=function), a, b).values[0, 0]
    assert np.isnan(found).tolist() == [True, True, False]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("axes", "shapes"),
    [
        ((1, 1), [(3,), (3,)]),
        ((-1, -1), [(3,), (3,)]),
        ((2, 2), [(4, 3), (5, 3)]),
        ((-1, 1), [(4, 3), (3, 2)]),
        ((1, 2), [(3, 4), (5, 3)]),
        ((2, 1), [(4, 3), (3,)]),
        ((1, 3), [(3, 2), (4, 5, 3)]),
        ((1, 2), [(3, 4, 2), (5, 3, 2)]),
    ],
)
def test_dot(axes: tuple[int, int], shapes: Any, normalize: bool, backend: str) -> None:
    a, b = (normal(7, *shape, seed=i) for i, shape in enumerate(shapes))
    a[0] = 0  # whose length is no number to divide by
    a[1] *= np.float32(1e-3)  # and one that is small
    layer = Dot(name="d", axes=axes, normalize=normalize)
    got = check_rows(layer, a, b)
    expected = np.stack([dot(x, y, axes, normalize) for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_dots_of_lengths_left_open() -> None:
    assert Dot(name="d", axes=(2, 2)).output_shapes([(None, 3), (None, 3)]) == [(None, None)]
    assert Dot(name="d", axes=(1, 1)).output_shapes([(None, 3), (4, 2)]) == [(3, 2)]
    assert Dot(name="d", axes=(1, 1)).output_shapes([(3,), (3,)]) == [(1,)]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Merge(name="m", function="mean"), "layer 'm' function: expected 'add'"),
        (lambda: Merge(name="m", function="add", masks="some"), "layer 'm' masks: expected 'any'"),
        (lambda: Concatenate(name="c", masks="some"), "layer 'c' masks: expected 'any', 'all'"),
        (lambda: Concatenate(name="c", axis=65), "layer 'c' axis: expected an integer"),
        (lambda: Concatenate(name="c", axis=1.0), "layer 'c' axis: expected an integer"),
        (
            lambda: Merge(name="m", function="add").output_shapes([(3,)]),
            "layer 'm': expected 2 or more inputs, got 1",
        ),
        (
            lambda: Merge(name="m", function="add").output_shapes([(3,), (2,)]),
            "layer 'm': expected shapes that broadcast",
        ),
        (
            lambda: Merge(name="m", function="add").output_shapes([(4, 3), (4,)]),
            "layer 'm': expected shapes that broadcast",
        ),
        (
            lambda: Concatenate(name="c").output_shapes([]),
            "layer 'c': expected one input or more, got 0",
        ),
        (
            lambda: Concatenate(name="c").output_shapes([(4, 3), (3,)]),
            "layer 'c': expected inputs of equally many axes",
        ),
        (
            lambda: Concatenate(name="c").output_shapes([(4, 3), (2, 4, 3)]),
            "layer 'c': expected inputs of equally many axes",
        ),
        (
            lambda: Concatenate(name="c").output_shapes([(4, 3), (5, 3)]),
            "layer 'c': expected inputs that differ along axis 1 alone",
        ),
        (
            lambda: Concatenate(name="c", axis=0).output_shapes([(4, 3), (4, 2)]),
            "layer 'c': expected inputs that differ along axis 0 alone",
        ),
        (
            lambda: Concatenate(name="c", axis=2).output_shapes([(4, 3)] * 2),
            "layer 'c': expected an axis of a row of 2 axes, got 2",
        ),
        (
            lambda: Dot(name="d", axes=(1, 1)).output_shapes([(3,)]),
            "layer 'd': expected 2 inputs, got 1",
        ),
        (
            lambda: Dot(name="d", axes=(1, 1)).output_shapes([(3,)] * 3),
            "layer 'd': expected 2 inputs, got 3",
        ),
        (
            lambda: Dot(name="d", axes=(2, 1)).output_shapes([(4, 3), (4, 3)]),
            "layer 'd': expected axes of one length",
        ),
        (
            lambda: Dot(name="d", axes=(3, 1)).output_shapes([(4, 3), (4, 3)]),
            "layer 'd': expected an axis of a row of 2 axes, got 2",
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# ---- how Keras spells them ----


def options(name: str, version: Version, **config: Any) -> Any:
    """What a row makes of a configuration of a layer with several inputs."""
    from fastdrop.formats._limits import Limits
    from fastdrop.formats._safe_json import Section
    from fastdrop.formats.keras._assemble import Assembly
    from fastdrop.formats.keras._records import Reader, Record

    record = Record("n", name, Section("layer", {"name": "n", **config}))
    reader = Reader(version, 9, {}, True, lambda *_: False, "test")
    assembly = Assembly(None, version, reader, Limits())  # type: ignore[arg-type]
    found = assembly.options(LAYERS[name], record)
    if found is None:
        raise ModelFormatError("; ".join(reader.obstacles.layers))
    return found


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_rows_of_merges(name: str) -> None:
    for version, masks in (
        (KERAS_3, "any"),
        (Version(3, 8), "any"),
        (Version(3, 7), "none"),
        (TF_KERAS, "all"),
    ):
        assert options(name, version) == {"function": name.lower(), "masks": masks}


def test_rows_of_concatenate_and_dot() -> None:
    for given, axis in ((None, -1), (-1, -1), (1, 0), (2, 1), (-2, -2)):
        config = {} if given is None else {"axis": given}
        assert options("Concatenate", KERAS_3, **config) == {"axis": axis, "masks": "any"}
    assert options("Concatenate", TF_KERAS)["masks"] == "all"
    assert options("Dot", KERAS_3, axes=2) == {"axes": (2, 2), "normalize": False}
    assert options("Dot", KERAS_3, axes=[1, -1], normalize=True) == {
        "axes": (1, -1),
        "normalize": True,
    }


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("Concatenate", {"axis": 0}, "axis: expected a whole number other than 0"),
        ("Concatenate", {"axis": 1.0}, "axis: expected a whole number other than 0"),
        ("Concatenate", {"axis": True}, "axis: expected a whole number other than 0"),
        ("Dot", {"axes": [0, 1]}, "axes: expected no axis 0"),
        ("Dot", {"axes": 0}, "axes: expected no axis 0"),
        ("Dot", {"axes": [1]}, "axes: expected a whole number, or two"),
        ("Dot", {"axes": [1, 1, 1]}, "axes: expected a whole number, or two"),
        ("Dot", {"axes": [1, "2"]}, "axes: expected a whole number, or two"),
        ("Dot", {}, "axes: expected a whole number, or two"),
        ("Dot", {"axes": 1, "normalize": 1}, "normalize: expected true or false"),
        ("Add", {"more": 1}, "unsupported option 'more'"),
    ],
)
def test_rows_refuse(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        options(name, KERAS_3, **config)


def test_how_masks_are_computed() -> None:
    """One that all inputs share goes on; along time, or of several, it is another one."""
    merge, features, time = (
        Merge(name="m", function="add"),
        Concatenate(name="c"),
        Concatenate(name="c", axis=0),
    )
    for layer in (merge, features):
        assert layer.mask_symbol(["a", "b"], ["m", "m"]) == "m"
        assert layer.mask_symbol(["a", "b"], ["m", "n"]) is None
        assert layer.mask_symbol(["a", "b"], ["m", None]) is None
    assert time.mask_symbol(["a", "b"], ["m", "m"]) is None


def test_nothing_is_drawn() -> None:
    for layer in (
        Merge(name="m", function="add"),
        Concatenate(name="c"),
        Dot(name="d", axes=(1, 1)),
    ):
        assert not layer.can_draw
        assert not layer.stochastic
        draw = Draw(key=fd.Key(0), samples=range(2), first_row=0, rows=2)
        flows = [Flow(normal(1, 2, 3)), Flow(normal(1, 2, 3, seed=1))]
        assert len(layer.run(flows, draw)[0].values) == 1

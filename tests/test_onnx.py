"""Models of ONNX: what exporters write, against ONNX Runtime's outputs, and operators by hand."""

import functools
import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="what is read is parsed by it")

from onnx import ModelProto, TensorProto, helper, numpy_helper

import fastdrop as fd
from fastdrop import layers
from fastdrop.formats import ModelFormatError
from fastdrop.formats.onnx._records import DTYPES
from layer_laws import normal
from references.make_onnx import FILE, FOLDER, function, graph, recurrent
from references.stored import load
from tolerances import FLOAT32, assert_close

STORED = {
    case: (options["batch"], arrays, outputs) for case, options, arrays, outputs in load(FILE)
}
# What ONNX Runtime drops at random is compared with the same model exported without.
TRAINING = {name: name.replace("training", "open") for name in STORED if "training" in name}
REFUSED = {"tf2onnx_loop"}
# Layers of these files, as the summary has them.
KINDS = {
    "torch_dynamo_tagger_open": "Embedding Bidirectional Bidirectional Slice Dense Activation",
    "torch_script_tagger_open": "Embedding Bidirectional Bidirectional Slice Dense Activation",
    "torch_script_tagger_training": (
        "Embedding Bidirectional Bidirectional Slice Dropout Dense Activation"
    ),
    "dropped_features": "Dropout Dense",
}


def read(name: str, **options: Any) -> fd.Model:
    return fd.load(FOLDER / f"{name}.onnx", **options)


def outputs_of(model: fd.Model, batch: dict[str, int], arrays: Any) -> dict[str, np.ndarray]:
    """Return outputs for inputs as the file has them, with the batch where the file has it."""
    given = {n: np.moveaxis(x, batch[n], 0) for n, x in arrays.items()}
    found = model.predict(given if len(given) > 1 else next(iter(given.values())))
    if not isinstance(found, dict):
        found = dict(zip(model.output_names, [found], strict=True))
    return {n: np.moveaxis(y, 0, batch[n]) for n, y in found.items()}


# ---- files ----


@pytest.mark.parametrize("name", sorted(STORED.keys() - REFUSED))
def test_files(backend: str, name: str) -> None:
    batch, arrays, outputs = STORED[TRAINING.get(name, name)]
    model = read(name)
    assert set(model.input_names) == set(arrays)
    found = outputs_of(model, batch, arrays)
    assert list(found) == list(outputs)
    for output, expected in outputs.items():
        assert_close(found[output], np.ascontiguousarray(expected), FLOAT32)
    assert name not in KINDS or KINDS[name].split() == [type(x).__name__ for x in model.layers]
    assert model.source.endswith(f", {name}.onnx")


@pytest.mark.parametrize("name", sorted(n for n in STORED.keys() - REFUSED if "fixed" in n))
def test_a_fixed_number_of_rows_is_any(name: str) -> None:
    batch, arrays, _ = STORED[name]
    model = read(name)
    assert "the file is for 2 rows; here there may be any" in model.notes
    five = {n: np.concatenate([x, x, x.take([0], batch[n])], batch[n]) for n, x in arrays.items()}
    got, expected = outputs_of(model, batch, five), outputs_of(model, batch, arrays)
    for output, y in expected.items():
        at = batch[output]
        assert np.array_equal(got[output], np.concatenate([y, y, y.take([0], at)], at))


def test_what_kernels_do_not_have_is_a_loop() -> None:
    model = read("everything_an_lstm_has")
    (loop,) = (layer for layer in model.layers if isinstance(layer, layers.RecurrentLoop))
    assert (loop.clip, loop.input_forget, loop.go_backwards) == (pytest.approx(0.8), True, True)
    (pair,) = (
        layer
        for layer in read("gates_that_kernels_have").layers
        if isinstance(layer, layers.Bidirectional)
    )
    assert isinstance(pair.forward, layers.LSTM)
    assert pair.backward.activation == "softsign"


def test_where_the_batch_is_is_told() -> None:
    assert read("torch_script_steps_open").notes == (
        "input 'x': the batch is its first axis; in the file it is axis 1",
        "output 'y': the batch is its first axis; in the file it is axis 1",
        "output 'h_n': the batch is its first axis; in the file it is axis 1",
    )
    assert read("torch_script_tagger_open").notes == ()


def test_a_stream_of_bytes_is_known_by_its_content(tmp_path: Path) -> None:
    data = (FOLDER / "dropped_features.onnx").read_bytes()
    assert fd.load(io.BytesIO(data)).input_shape == (6,)
    other = tmp_path / "model"
    other.write_bytes(data)
    assert fd.load(other).output_names == ("y",)


def test_a_loop_is_refused_and_the_way_out_named() -> None:
    with pytest.raises(ModelFormatError, match=r"is read from its \.keras file") as caught:
        read("tf2onnx_loop")
    (obstacle,) = caught.value.obstacles
    assert "(Loop): the operator runs a graph of its own" in obstacle
    assert caught.value.summary is not None
    assert "Loop" in [layer.kind for layer in caught.value.summary.layers]


# ---- dropout ----


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_dropout_is_that_of_the_layers(scope: str) -> None:
    _, arrays, _ = STORED["dropped_features"]
    by_hand = fd.Model(
        [
            layers.Dropout(name="drop", rate=0.4),
            layers.Dense(name="dense", kernel=normal(6, 2) * np.float32(0.5), bias=normal(2) * 2),
        ],
        (6,),
    )
    options: dict[str, Any] = {"samples": 20, "rng": 1, "keep_samples": True, "scope": scope}
    model = read("dropped_features")
    assert model.layers[0].rates() == {"rate": pytest.approx(0.4)}
    got, expected = (m.mc_predict(arrays["x"], **options).samples for m in (model, by_hand))
    assert_close(got, expected, FLOAT32)
    changed = read("dropped_features", rates={"drop": 0.0})
    assert not changed.stochastic


def test_statistics_of_dropout() -> None:
    _, arrays, outputs = STORED["dropped_features"]
    x = arrays["x"].astype(float)
    p = read("dropped_features").mc_predict(arrays["x"], samples=4000, rng=2)
    products = x[:, :, np.newaxis] * normal(6, 2) / 2
    std = np.sqrt(np.square(products).sum(axis=1) * 0.4 / 0.6)
    np.testing.assert_allclose(p.std, std, rtol=0.06)
    assert (np.abs(p.mean - outputs["y"]) < 5 * std / np.sqrt(4000)).all()


def test_recurrent_rates_are_set_by_the_name_of_a_node() -> None:
    name = "torch_script_tagger_open"
    _, arrays, _ = STORED[name]
    first = read(name).layers[1].name
    model = read(name, rates={first: {"dropout": 0.2, "recurrent_dropout": 0.3}})
    p = model.mc_predict(arrays["x"], samples=10, rng=0)
    assert (p.std > 0).all()


# ---- single operators ----


def ran(op: str, x: np.ndarray, *constants: Any, opset: int = 17, **attributes: Any) -> np.ndarray:
    names = [f"c{i}" if c is not None else "" for i, c in enumerate(constants)]
    node = helper.make_node(op, ["x", *names], ["y"], **attributes)
    weights = {n: c for n, c in zip(names, constants, strict=True) if n}
    data = graph([node], {"x": x}, {"y": x.ndim}, weights, opset)
    return np.asarray(fd.load(io.BytesIO(data)).predict(x))


def test_layout_with_the_batch_in_front() -> None:
    """Runtimes leave it out, so it is the same layer with axes moved."""
    x, weights = normal(3, 5, 2), recurrent("LSTM", 2)
    state = normal(3, 2, 3, seed=8)
    options = {"hidden_size": 3, "direction": "bidirectional"}
    made = []
    for layout in (0, 1):
        node = helper.make_node(
            "LSTM",
            ["x", "W", "R", "B", "", "h", "c"],
            ["y", "y_h", "y_c"],
            layout=layout,
            **options,
        )
        given = {"x": x, "h": state, "c": -state}
        if not layout:
            given = {k: np.ascontiguousarray(v.swapaxes(0, 1)) for k, v in given.items()}
        data = graph([node], given, {"y": 4, "y_h": 3, "y_c": 3}, weights, 14)
        model = fd.load(io.BytesIO(data))
        made.append(model.predict({"x": x, "h": state, "c": -state}))
    for first, second in zip(made[0].values(), made[1].values(), strict=True):
        order = first if first.shape == second.shape else first.swapaxes(1, 2)
        assert np.array_equal(order, second)


@pytest.mark.parametrize("rows", [1, 2])
def test_constant_states_are_those_of_all_rows(rows: int) -> None:
    """Written once or for each row, with which they must not differ."""
    x, state = normal(5, 2, 2), np.repeat(normal(1, 1, 3), 2, axis=1)
    node = helper.make_node(
        "GRU", ["x", "W", "R", "B", "", "h"], ["y", "y_h"], name="gru", hidden_size=3
    )
    weights, outputs = recurrent("GRU", 1), {"y": 4, "y_h": 3}
    given = fd.load(io.BytesIO(graph([node], {"x": x, "h": state}, outputs, weights)))
    batch, states = x.swapaxes(0, 1), state.swapaxes(0, 1)
    expected = given.predict({"x": batch, "h": states})
    zeros = given.predict({"x": batch, "h": 0 * states})
    weights["h"] = state[:, :rows]
    found = fd.load(io.BytesIO(graph([node], {"x": x}, outputs, weights))).predict(batch)
    for name in ("y", "y_h"):
        assert np.array_equal(found[name], expected[name])
        assert not np.array_equal(found[name], zeros[name])
    weights["h"] = normal(1, 2, 3)
    with pytest.raises(ModelFormatError, match="a constant that differs from row to row"):
        fd.load(io.BytesIO(graph([node], {"x": x}, outputs, weights)))


@pytest.mark.parametrize(
    ("opset", "axis"), [(11, 1), (11, 2), (13, 1), (13, -1)], ids=["1", "2", "new 1", "new -1"]
)
def test_softmax_of_both_meanings(opset: int, axis: int) -> None:
    x = normal(2, 3, 4)
    e = np.exp(x.astype(float))
    over = tuple(range(axis, 3)) if opset < 13 else axis
    got = ran("Softmax", x, opset=opset, axis=axis)
    np.testing.assert_allclose(got, e / e.sum(axis=over, keepdims=True), rtol=1e-5)


def test_whole_numbers_are_divided_to_zero() -> None:
    """Of tensors and of constants, as C divides."""
    x = np.array([[-7, 7, -6, 5]], np.int64)
    by = np.array([2, -2, 4, 3])
    assert ran("Div", x, by).tolist() == [[-3, -3, -1, 1]]
    nodes = [
        helper.make_node("Div", ["a", "b"], ["q"]),
        helper.make_node("Add", ["x", "q"], ["y"]),
    ]
    data = graph(nodes, {"x": 0 * x}, {"y": 2}, {"a": x, "b": by})
    assert fd.load(io.BytesIO(data)).predict(0 * x).tolist() == [[-3, -3, -1, 1]]


def test_powers_of_whole_numbers_are_whole() -> None:
    x = np.array([[2, 3, 9]], np.int64)
    assert ran("Pow", x, np.array([0.5, 2, 0.5], np.float32)).tolist() == [[1, 9, 3]]


def test_constants_are_nodes_of_any_kind() -> None:
    nodes = [
        helper.make_node("Constant", [], ["a"], value_float=1.5),
        helper.make_node("Constant", [], ["b"], value_floats=[1.0, 2.0]),
        helper.make_node("Constant", [], ["n"], value_ints=[0, -1]),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(normal(2))),
        *(helper.make_node("Add", [i, k], [o]) for i, k, o in ("xap", "pbq", "qcr")),
        helper.make_node("Reshape", ["r", "n"], ["y"]),
    ]
    x = normal(3, 2)
    data = graph(nodes, {"x": x}, {"y": 2}, {})
    expected = x + 1.5 + np.array([1.0, 2.0]) + normal(2)
    assert_close(fd.load(io.BytesIO(data)).predict(x), expected.astype(np.float32), FLOAT32)


def test_what_is_computed_of_constants_is_one() -> None:
    """Of shapes too, of which one length is open and goes out again."""
    nodes = [
        helper.make_node("Trilu", ["W", "k"], ["t"], upper=0),
        helper.make_node("Tile", ["t", "twice"], ["m"]),
        helper.make_node("Mod", ["five", "three"], ["two"]),
        helper.make_node("Gather", ["m", "two"], ["row"], axis=0),
        helper.make_node("Pad", ["row", "widths", "nine"], ["wide"]),
        helper.make_node("Split", ["wide"], ["a", "b"], axis=0),
        helper.make_node("Add", ["x", "b"], ["y0"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["all"], keepdims=1),
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
        helper.make_node("Div", ["all", "rows"], ["rest"]),
        helper.make_node("Concat", ["rows", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["y0", "target"], ["y"]),
    ]
    constants = {
        "W": normal(3, 3),
        "k": np.array(-1),
        "twice": np.array([1, 2]),
        "five": np.array(5),
        "three": np.array(3),
        "widths": np.array([1, 1]),
        "nine": np.array(9, np.float32),
        "zero": np.array([0]),
        "one": np.array([1]),
    }
    x = normal(2, 4)
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 4]})
    model = fd.load(io.BytesIO(data))
    row = np.tile(np.tril(normal(3, 3), -1), (1, 2))[2]
    assert np.array_equal(model.predict(x), x + np.pad(row, 1, constant_values=9)[4:])
    assert [type(layer).__name__ for layer in model.layers] == ["Elementwise"]


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min", "Prod"])
def test_reductions_of_constants(op: str, keepdims: int) -> None:
    """Along one axis, and along all."""
    nodes = [
        helper.make_node(f"Reduce{op}", ["W"], ["a"], axes=[-2], keepdims=keepdims),
        helper.make_node(f"Reduce{op}", ["W"], ["b"], keepdims=0),
        helper.make_node("Add", ["x", "a"], ["z"]),
        helper.make_node("Add", ["z", "b"], ["y"]),
    ]
    x, constant = normal(2, 4), normal(3, 4)
    data = graph(nodes, {"x": x}, {"y": 2}, {"W": constant}, opset=11, lengths={"x": ["N", 4]})
    model = fd.load(io.BytesIO(data))
    reduced = getattr(np, op.lower())
    assert_close(model.predict(x), x + reduced(constant, axis=0) + reduced(constant), FLOAT32)
    assert {type(layer).__name__ for layer in model.layers} == {"Elementwise"}


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[0], [2], [0, 2], [-1], [-1, -4]], ids=str)
def test_reductions_beside_the_batch(axes: list[int], keepdims: int) -> None:
    """What is left is multiplied along its last axis, wherever the batch is then."""
    x = normal(3, 2, 4, 5)  # (steps, batch, ...)
    rows = x.swapaxes(0, 1)
    reduced = rows.sum(tuple({0: 1, -4: 1}.get(a, a) for a in axes), keepdims=bool(keepdims))
    kernel = normal(reduced.shape[-1], 3)
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["s"], keepdims=keepdims),
        helper.make_node("MatMul", ["s", "W"], ["y"]),
    ]
    constants = {"axes": np.array(axes), "W": kernel}
    lengths = {"x": [3, "batch", 4, 5]}
    data = graph(nodes, {"x": x}, {"y": reduced.ndim}, constants, lengths=lengths)
    assert_close(fd.load(io.BytesIO(data)).predict(rows), reduced @ kernel, FLOAT32)


PRODUCTS = {
    "tensor, stack": ((2, 3, 4), (2, 4, 5)),
    "tensor, one": ((2, 3, 4), (1, 4, 5)),
    "tensor, vector": ((2, 3, 4), (4,)),
    "stack, tensor": ((2, 5, 3), (2, 3, 4)),
    "matrix, tensor": ((5, 3), (2, 3, 4)),
    "vector, tensor": ((3,), (2, 3, 4)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_different_ranks(name: str) -> None:
    """A row (2, 3, 4), and a constant that is the same for all rows."""
    first, second = (
        normal(6, *shape) if word == "tensor" else normal(*shape)
        for word, shape in zip(name.split(", "), PRODUCTS[name], strict=True)
    )
    names = ["x", "W"] if name.startswith("tensor") else ["W", "x"]
    x, constant = (first, second) if names[0] == "x" else (second, first)
    expected = np.matmul(first, second)
    node = helper.make_node("MatMul", names, ["y"])
    data = graph(
        [node], {"x": x}, {"y": expected.ndim}, {"W": constant}, lengths={"x": ["N", 2, 3, 4]}
    )
    assert_close(fd.load(io.BytesIO(data)).predict(x), expected, FLOAT32)


@pytest.mark.parametrize("rows", ["N", 3], ids=["open", "fixed"])
def test_a_matrix_multiplies_steps_of_all_rows(rows: Any) -> None:
    """All steps of all rows on one axis, which is turned behind the features and back."""
    x, kernel = normal(3, 2, 4), normal(5, 4)
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0]),
        helper.make_node("MatMul", ["W", "b"], ["c"]),
        helper.make_node("Transpose", ["c"], ["d"], perm=[1, 0]),
        helper.make_node("Reshape", ["d", "steps"], ["y"]),
    ]
    constants = {"flat": np.array([-1, 4]), "W": kernel, "steps": np.array([-1, 2, 5])}
    data = graph(nodes, {"x": x}, {"y": 3}, constants, lengths={"x": [rows, 2, 4]})
    assert_close(fd.load(io.BytesIO(data)).predict(x), x @ kernel.T, FLOAT32)


@pytest.mark.parametrize("order", ["mW", "Wm", "mm"])
def test_products_of_constants_of_all_rows(order: str) -> None:
    """One made for as many rows as there are, with a matrix on its right or not at all."""
    x, matrix = normal(2, 4), normal(4, 4)
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], end=1),
        helper.make_node("Concat", ["rows", "size"], ["shape"], axis=0),
        helper.make_node("Expand", ["W", "shape"], ["m"]),
        helper.make_node("MatMul", list(order), ["p"], name="product"),
        helper.make_node("ReduceSum", ["p", "one"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    constants = {"size": np.array([4, 4]), "W": matrix, "one": np.array([1])}
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 4]})
    if order == "mW":
        expected = x + (matrix @ matrix).sum(axis=0)
        assert_close(fd.load(io.BytesIO(data)).predict(x), expected, FLOAT32)
    else:
        with pytest.raises(ModelFormatError, match=r"\(MatMul\): a product of constants alone"):
            fd.load(io.BytesIO(data))


def test_what_no_output_needs_is_not_read() -> None:
    """Inputs and outputs that are left out have one name, the empty one, and nothing in common."""
    x = normal(2, 3)
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"]),
        helper.make_node("Split", ["a"], ["", "b"]),
        helper.make_node("Split", ["x"], ["", "c"], spare=1),
        helper.make_node("Clip", ["x", "", "top"], ["y"]),
    ]
    data = graph(nodes, {"x": x}, {"y": 2}, {"top": np.array(0.5, np.float32)})
    assert np.array_equal(fd.load(io.BytesIO(data)).predict(x), np.minimum(x, np.float32(0.5)))


EXPANDED = {
    "steps": ((1, 4, 5), ("T", 4, 5)),
    "last": ((3, 4, 1), (3, 4, "T")),
    "two": ((1, 4, 1), (3, 4, "T")),
    "both open": ((1, 4, 1), ("S", 4, "T")),
    "beside open": ((3, "S", 1), (3, "S", "T")),
}


@pytest.mark.parametrize("name", EXPANDED)
def test_rows_are_repeated_to_lengths_left_open(name: str) -> None:
    """Along one axis or several, of a row (3, 4, 5)."""
    before, after = EXPANDED[name]
    x = normal(2, 3, 4, 5)
    given = normal(2, *(4 if n == "S" else n for n in before))
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Expand", ["z", "shape"], ["e"]),
        helper.make_node("Concat", ["x", "e"], ["y"], axis=2),
    ]
    lengths: dict[str, list[Any]] = {"x": ["N", *after], "z": ["N", *before]}
    data = graph(nodes, {"x": x, "z": given}, {"y": 4}, {}, lengths=lengths)
    expected = np.concatenate([x, np.broadcast_to(given, x.shape)], axis=2)
    assert np.array_equal(fd.load(io.BytesIO(data)).predict({"x": x, "z": given}), expected)


@pytest.mark.parametrize("name", ["batch", "rows"])
def test_the_batch_is_the_length_that_all_inputs_have(name: str) -> None:
    """On different axes of them, and between the input and its layer is what is not followed."""
    x, shift = normal(5, 2, 2), normal(2, 3)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("GRU", ["r", "W", "R", "B"], ["", "h"], hidden_size=3),
        helper.make_node("Squeeze", ["h", "zero"], ["q"]),
        helper.make_node("Add", ["q", "s"], ["y"]),
    ]
    constants = {**recurrent("GRU", 1), "zero": np.array([0])}
    lengths = {"x": [5, name, 2], "s": [name, 3]}
    rows = x.swapaxes(0, 1)
    alone = graph(nodes[:3], {"x": x}, {"q": 2}, constants, lengths=lengths)
    both = graph(nodes, {"x": x, "s": shift}, {"y": 2}, constants, lengths=lengths)
    expected = fd.load(io.BytesIO(alone)).predict(rows) + shift
    assert_close(fd.load(io.BytesIO(both)).predict({"x": rows, "s": shift}), expected, FLOAT32)


def test_a_length_that_is_known_is_a_number() -> None:
    """Beside one that is not, as where scores are scaled by the number of features."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "one", "two"], ["width"]),
        helper.make_node("Cast", ["width"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sqrt", ["float"], ["root"]),
        helper.make_node("Div", ["x", "root"], ["y"]),
    ]
    x = normal(2, 4)
    constants = {"one": np.array([1]), "two": np.array([2])}
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 4]})
    assert np.array_equal(fd.load(io.BytesIO(data)).predict(x), x / 2)


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("shape", ["shape", "open"])
def test_constants_are_divided_by_their_type(shape: str, dtype: str) -> None:
    """Which is not that of the shape they are made for."""
    value = numpy_helper.from_array(np.array([7], dtype))
    nodes = [
        helper.make_node("Shape", ["x"], ["open"]),
        helper.make_node("ConstantOfShape", [shape], ["c"], value=value),
        helper.make_node("Div", ["c", "two"], ["half"]),
        helper.make_node("Cast", ["half"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "float"], ["y"]),
    ]
    x = np.zeros((2, 4), np.float32)
    constants = {"shape": np.array([1, 4]), "two": np.array(2, dtype)}
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 4]})
    expected = 3 if dtype == "int64" else 3.5
    assert (fd.load(io.BytesIO(data)).predict(x) == expected).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_numbers_of_a_constant_are_gathered_one_by_one(axis: int) -> None:
    """Counted from behind too, and not beyond its ends."""
    x, constant = normal(2, 3), normal(3, 3)
    places = np.array([[0, -1, 2], [-3, 1, 0], [1, 1, -2]])
    nodes = [
        helper.make_node("GatherElements", ["W", "places"], ["g"], axis=axis),
        helper.make_node("MatMul", ["x", "g"], ["y"]),
    ]
    data = graph(nodes, {"x": x}, {"y": 2}, {"W": constant, "places": places})
    kernel = np.take_along_axis(constant, places, axis)
    assert np.array_equal(fd.load(io.BytesIO(data)).layers[0].kernel, kernel)
    for beyond in (3, -4):
        places[1, 1] = beyond
        data = graph(nodes, {"x": x}, {"y": 2}, {"W": constant, "places": places})
        with pytest.raises(ModelFormatError, match="places beyond an axis of length 3"):
            fd.load(io.BytesIO(data))


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("Conv", {"dilations": [1]}),
        ("Conv", {"dilations": [2]}),
        ("MaxPool", {"kernel_shape": [3]}),
        ("AveragePool", {"kernel_shape": [4]}),
    ],
    ids=str,
)
def test_windows_as_many_as_steps_by_strides(op: str, options: Any, stride: int) -> None:
    """As tf2onnx writes "same" padding of open time: what a file of that length puts out."""
    constants = {"W": normal(3, 2, 4)} if op == "Conv" else {}
    node = helper.make_node(
        op, ["x", *constants], ["y"], auto_pad="SAME_UPPER", strides=[stride], **options
    )

    def read(x: Any, length: Any) -> Any:
        lengths = {"x": ["N", 2, length]}
        return fd.load(io.BytesIO(graph([node], {"x": x}, {"y": 3}, constants, lengths=lengths)))

    model = read(normal(1, 2, 7), "T")
    for length in (1, 2, 5, 6, 7, 8):
        x = normal(3, 2, length)
        assert_close(model.predict(x), read(x, length).predict(x), FLOAT32)


def test_means_that_count_padding_of_an_open_length() -> None:
    options = {"auto_pad": "SAME_UPPER", "strides": [2], "kernel_shape": [3]}
    node = helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=1, **options)
    data = graph([node], {"x": normal(1, 2, 7)}, {"y": 3}, {}, lengths={"x": ["N", 2, "T"]})
    with pytest.raises(ModelFormatError, match="means that count padding of an open length"):
        fd.load(io.BytesIO(data))


@pytest.mark.parametrize("end", [10**9, 2**31 - 1])
def test_all_rows_and_steps_are_all(end: int) -> None:
    """As tf2onnx writes `x[:, :, newaxis]`, with starts and ends for all axes."""
    x = normal(2, 5, 3)
    node = helper.make_node("Slice", ["x", "starts", "ends"], ["y"])
    constants = {"starts": np.zeros(3, int), "ends": np.full(3, end)}
    data = graph([node], {"x": x}, {"y": 3}, constants, lengths={"x": ["N", 5, 3]})
    assert np.array_equal(fd.load(io.BytesIO(data)).predict(x), x)
    constants["ends"][0] = 2
    data = graph([node], {"x": x}, {"y": 3}, constants, lengths={"x": ["N", 5, 3]})
    with pytest.raises(ModelFormatError, match="rows of a batch are not computed with one another"):
        fd.load(io.BytesIO(data))


@pytest.mark.parametrize("end", [10**9, 2**63 - 1, 2**31 - 1])
def test_the_last_of_open_steps_is_one(end: int) -> None:
    """As exporters write `x[:, -1:]`, so that its axis can be taken out."""
    x = normal(2, 5, 3)
    nodes = [
        helper.make_node("Slice", ["x", "start", "end", "axis"], ["s"]),
        helper.make_node("Squeeze", ["s", "axis"], ["y"]),
    ]
    constants = {"start": np.array([-1]), "end": np.array([end]), "axis": np.array([1])}
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", "T", 3]})
    model = fd.load(io.BytesIO(data))
    assert np.array_equal(model.predict(x), x[:, -1])
    assert model.output_shape == (3,)


@pytest.mark.parametrize(("condition", "factor"), [("yes", 2), ("no", -1)], ids=["then", "else"])
def test_a_branch_that_is_known_is_taken(condition: str, factor: int) -> None:
    model = fd.load(io.BytesIO(branches(condition, "taken").SerializeToString()))
    x = normal(4, 3)
    np.testing.assert_array_equal(model.predict(x), factor * x)


def test_steps_of_an_open_length_are_numbered() -> None:
    """Sums of what is within each row's length, and of what is not behind each step."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["steps"], axis=0),
        helper.make_node("Range", ["zero", "steps", "one"], ["numbers"]),
        helper.make_node("Unsqueeze", ["numbers", "first"], ["in_a_row"]),
        helper.make_node("Unsqueeze", ["n", "second"], ["ends"]),
        helper.make_node("Less", ["in_a_row", "ends"], ["within"]),
        helper.make_node("Where", ["within", "x", "nothing"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "second"], ["y"], keepdims=0),
        helper.make_node("Unsqueeze", ["steps", "first"], ["side"]),
        helper.make_node("Concat", ["side", "side"], ["square"], axis=0),
        helper.make_node(
            "ConstantOfShape", ["square"], ["ones"], value=numpy_helper.from_array(np.ones(1, "f"))
        ),
        helper.make_node("Trilu", ["ones"], ["triangle"], upper=1),
        helper.make_node("Unsqueeze", ["x", "third"], ["upright"]),
        helper.make_node("Mul", ["upright", "triangle"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "second"], ["z"], keepdims=0),
    ]
    constants = {name: np.array([i]) for i, name in enumerate(("first", "second", "third"))}
    constants |= {"zero": np.array(0), "one": np.array(1), "nothing": np.zeros((), np.float32)}
    lengths = {"x": ["N", "T"], "n": ["N"]}
    inputs = {"x": normal(2, 3), "n": np.arange(2)}
    data = graph(nodes, inputs, {"y": 1, "z": 2}, constants, lengths=lengths)
    model = fd.load(io.BytesIO(data))
    x, n = normal(4, 5), np.array([3, 1, 5, 2])
    found = model.predict({"x": x, "n": n})
    wanted = np.array([row[:k].sum() for row, k in zip(x, n, strict=True)])
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-5)
    np.testing.assert_allclose(found["z"], np.cumsum(x, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "shape"), [(["N", "T", 4], [-1, 6, 1]), (["T", "N", 4], [6, -1, 1])]
)
def test_a_length_joined_with_the_batch_is_what_nodes_take_it_for(
    axes: list[str | int], shape: list[int]
) -> None:
    """As where a file was made smaller by the lengths of an example, but for that of the batch."""
    nodes = [
        helper.make_node("Reshape", ["x", "each"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["z"]),
        helper.make_node("Reshape", ["z", "shape"], ["y"]),
    ]
    constants = {"each": np.array([-1, 4]), "w": normal(4, 1), "shape": np.array(shape)}
    x = normal(*(6 if n == 6 else 3 for n in shape[:2]), 4)
    model = fd.load(io.BytesIO(graph(nodes, {"x": x}, {"y": 3}, constants, lengths={"x": axes})))
    assert model.input_shape == (6, 4)
    assert "the file is for 6 places along what it calls 'T'" in model.notes
    for rows in (3, 5):
        x = normal(rows, 6, 4)
        np.testing.assert_allclose(model.predict(x), x @ constants["w"], rtol=1e-5, atol=1e-6)


def test_a_further_result_that_is_the_one_output_has_its_name() -> None:
    node = helper.make_node("GRU", ["x", "w", "r"], ["", "last"], name="GRU_1", hidden_size=2)
    data = graph(
        [node],
        {"x": normal(5, 3, 4)},
        {"last": 3},
        {"w": normal(1, 6, 4), "r": normal(1, 6, 2)},
        lengths={"x": ["T", "N", 4]},
    )
    model = fd.load(io.BytesIO(data))
    assert model.output_names == ("last",)
    assert model.output_shape == (1, 2)


def test_a_length_is_what_nodes_take_it_for() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    constants = {"shape": np.array([3, -1])}
    data = graph(nodes, {"x": normal(3, 2, 2)}, {"y": 2}, constants, lengths={"x": ["T", "N", 2]})
    model = fd.load(io.BytesIO(data))
    assert model.input_shape == (3, 2)
    assert "the file is for 3 places along what it calls 'T'" in model.notes


def test_a_length_is_as_many_parts_as_nodes_take_it_apart_into() -> None:
    """As a loop over time steps is exported, though the file leaves open how many there are."""
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        helper.make_node("ReduceSum", ["a", "axes"], ["c"]),
        helper.make_node("ReduceSum", ["b", "axes"], ["d"]),
        helper.make_node("Sub", ["c", "d"], ["y"]),
    ]
    constants = {"sizes": np.array([2, 1]), "axes": np.array([1])}
    x = normal(4, 3, 2)
    data = graph(nodes, {"x": x}, {"y": 3}, constants, lengths={"x": ["N", "T", 2]})
    model = fd.load(io.BytesIO(data))
    assert model.input_shape == (3, 2)
    assert "the file is for 3 places along what it calls 'T'" in model.notes
    expected = x[:, :2].sum(1, keepdims=True) - x[:, 2:]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_parts_of_computed_sizes() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["n"], start=1, end=2),
        helper.make_node("Div", ["n", "two"], ["h"]),
        helper.make_node("Sub", ["n", "h"], ["rest"]),
        helper.make_node("Concat", ["h", "rest"], ["sizes"], axis=0),
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        helper.make_node("ReduceMax", ["a", "axes"], ["c"], keepdims=0),
        helper.make_node("ReduceMax", ["b", "axes"], ["d"], keepdims=0),
        helper.make_node("Sub", ["c", "d"], ["y"]),
    ]
    constants = {"two": np.array([2]), "axes": np.array([1])}
    data = graph(
        nodes, {"x": normal(4, 3, 2)}, {"y": 2}, constants, lengths={"x": ["N", "T", 2]}, opset=18
    )
    model = fd.load(io.BytesIO(data))
    for steps in (2, 5, 8):
        x = normal(3, steps, 2)
        expected = x[:, : steps // 2].max(1) - x[:, steps // 2 :].max(1)
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_rows_that_are_sorted_and_put_back_are_themselves() -> None:
    nodes = [
        helper.make_node("Shape", ["n"], ["rows"]),
        helper.make_node("TopK", ["n", "rows"], ["", "order"], axis=0),
        helper.make_node("Gather", ["x", "order"], ["sorted"]),
        helper.make_node("Relu", ["sorted"], ["computed"]),
        helper.make_node("Squeeze", ["rows", "first"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["numbers"]),
        helper.make_node("ConstantOfShape", ["rows"], ["empty"]),
        helper.make_node("ScatterElements", ["empty", "order", "numbers"], ["back"]),
        helper.make_node("Gather", ["computed", "back"], ["y"]),
    ]
    constants = {"first": np.array([0]), "zero": np.array(0), "one": np.array(1)}
    inputs = {"x": normal(2, 3), "n": np.arange(2)}
    lengths = {"x": ["N", 3], "n": ["N"]}
    data = graph(nodes, inputs, {"y": 2}, constants, lengths=lengths)
    model = fd.load(io.BytesIO(data))
    x = normal(4, 3)
    y = model.predict({"x": x, "n": np.array([3, 1, 2, 3])})
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    assert sum("they stay in the order of the inputs" in note for note in model.notes) == 1


def test_rates_are_set_by_names_of_nodes() -> None:
    """In which ":" is ".", as it stands in front of the number of an output here."""
    nodes = [
        helper.make_node("Dropout", ["x"], ["d"], name="net/drop:0"),
        helper.make_node("Dropout", ["d"], ["y"], name="net/drop.0"),
    ]
    data = graph(nodes, {"x": normal(2, 3)}, {"y": 2}, {}, lengths={"x": ["N", 3]})
    model = fd.load(io.BytesIO(data), rates={"net/drop.0": 0.25})
    assert [(v.name, v.rates()["rate"]) for v in model.layers] == [
        ("net/drop.0", 0.25),
        ("net/drop.0~1", 0.5),
    ]
    with pytest.raises(ValueError, match=r"one of the layers with rates \(net/drop\.0, "):
        fd.load(io.BytesIO(data), rates={"net/drop:0": 0.25})


def test_dropped_zeros_are_zeros() -> None:
    """A first state, made for as many rows as there are."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], end=1),
        helper.make_node("Concat", ["rows", "width"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["h"]),
        helper.make_node("Dropout", ["h"], ["d"]),
        helper.make_node("MatMul", ["d", "W"], ["p"]),
        helper.make_node("Add", ["x", "p"], ["y"]),
    ]
    x = normal(2, 4)
    constants = {"width": np.array([3]), "W": normal(3, 4)}
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 4]})
    assert np.array_equal(fd.load(io.BytesIO(data)).predict(x), x)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_weights_of_other_types(dtype: str) -> None:
    """Rounded to float32, or from where they are coarser."""
    number = {"float16": 10, "float64": 11, "bfloat16": 16}[dtype]
    kernel = np.round(normal(3, 2) * 8) / 8
    node = helper.make_node("MatMul", ["x", "W"], ["y"])
    data = graph([node], {"x": normal(2, 3)}, {"y": 2}, {"W": np.zeros((3, 2), np.float32)})
    for raw in (False, True):
        model = ModelProto()
        model.ParseFromString(data)
        values = kernel.ravel()
        if raw:
            values = {
                "float16": kernel.astype(np.float16).tobytes(),
                "float64": kernel.astype(np.float64).tobytes(),
                "bfloat16": (kernel.view(np.uint32) >> 16).astype(np.uint16).tobytes(),
            }[dtype]
        made = helper.make_tensor("W", number, (3, 2), values, raw)
        model.graph.initializer[0].CopyFrom(made)
        found = fd.load(io.BytesIO(model.SerializeToString()))
        assert np.array_equal(found.layers[0].kernel, kernel)


@pytest.mark.parametrize("raw", [False, True], ids=["numbers", "raw"])
@pytest.mark.parametrize("number", sorted(DTYPES), ids=[DTYPES[n] for n in sorted(DTYPES)])
def test_constants_of_every_type(number: int, raw: bool) -> None:
    """With the largest numbers that float32 holds too, and the smallest."""
    dtype = helper.tensor_dtype_to_np_dtype(number)
    values = np.array([1, 0, 100, 1.5], np.float32)
    if dtype.kind == "i":
        values[1] = np.iinfo(dtype).min
    elif dtype.kind == "u":
        values[1] = 2.0 ** (dtype.itemsize * 8 - 1)
    elif dtype.kind != "b":
        values[1] = -(2.0**15)
    constant = values.astype(dtype)
    expected = constant.astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    x = np.zeros((2, 4), np.float32)
    model = ModelProto()
    model.ParseFromString(graph(nodes, {"x": x}, {"y": 2}, {"c": np.zeros(4, np.float32)}))
    data = constant.tobytes() if raw else constant
    made = helper.make_tensor("c", number, (4,), data, raw)
    assert bool(made.raw_data) is raw
    model.graph.initializer[0].CopyFrom(made)
    found = fd.load(io.BytesIO(model.SerializeToString())).predict(x)
    assert np.array_equal(found, np.stack([expected] * 2))


def test_constants_may_be_inputs_too() -> None:
    """As files had them before IR 4."""
    model = one_node("x", "W", op="MatMul")
    model.graph.input.add().CopyFrom(helper.make_tensor_value_info("W", TensorProto.FLOAT, [3, 3]))
    found = fd.load(io.BytesIO(model.SerializeToString()))
    assert found.input_names == ("x",)


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [("maker", "1.2", "maker 1.2"), ("maker", "", "maker"), ("", "", "unknown producer")],
    ids=["both", "name", "neither"],
)
def test_the_producer_is_told(name: str, version: str, told: str) -> None:
    model = one_node()
    model.producer_name, model.producer_version = name, version
    found = fd.load(io.BytesIO(model.SerializeToString()))
    assert found.source.startswith(f"ONNX, opset 17, {told}, ")


def test_a_whole_number_is_a_number() -> None:
    x = normal(2, 3)
    assert np.array_equal(ran("Elu", x, alpha=2), ran("Elu", x, alpha=2.0))


def test_constants_out_of_range_are_rounded_in_any_mode_of_numpy() -> None:
    x, constant = normal(2, 3), np.array([[1e-300], [0.5], [1e300]])
    node = helper.make_node("MatMul", ["x", "W"], ["y"])
    data = graph([node], {"x": x}, {"y": 2}, {"W": constant})
    with np.errstate(all="raise"):
        model = fd.load(io.BytesIO(data), allow_nonfinite=True)
    assert model.layers[0].kernel.tolist() == [[0], [0.5], [np.inf]]


# ---- what is refused ----


def one_node(*inputs: str, op: str = "Relu", **attributes: Any) -> Any:
    node = helper.make_node(op, list(inputs) or ["x"], ["y"], name="node", **attributes)
    data = graph([node], {"x": normal(2, 3)}, {"y": 2}, {"W": normal(3, 3)})
    model = ModelProto()
    model.ParseFromString(data)
    return model


def changed(edit: Any, *inputs: str, **options: Any) -> Any:
    model = one_node(*inputs, **options)
    edit(model)
    return model


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    tensor.ClearField("raw_data")


def sparse(model: Any) -> None:
    model.graph.sparse_initializer.add(dims=[3]).values.name = "W"


def subgraph(model: Any, op: str = "Loop") -> None:
    model.graph.node[0].op_type = op
    attribute = model.graph.node[0].attribute.add(name="then_branch", type=5)
    attribute.g.name = "g"


def place_of_zeros() -> Any:
    """Return a graph that takes a place out of zeros for each row, of which there is no such."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "start", "end"], ["rows"]),
        helper.make_node("Concat", ["rows", "end"], ["column"], axis=0),
        helper.make_node("ConstantOfShape", ["column"], ["zeros"]),
        helper.make_node("Gather", ["zeros", "place"], ["nothing"], axis=1),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = {"start": np.array([0]), "end": np.array([1]), "place": np.array(5)}
    model = ModelProto()
    data = graph(nodes, {"x": normal(2, 3)}, {"y": 2}, constants, lengths={"x": ["N", 3]})
    model.ParseFromString(data)
    return model


def one_branch(model: Any) -> None:
    subgraph(model, "If")


def branches(condition: str, output: str, made: str = "taken") -> Any:
    """Return a graph with two branches, by a condition: twice the input, and the input negated."""
    shapes = [helper.make_tensor_value_info(output, 1, [None, 3])]
    then = [helper.make_node("Add", ["x", "x"], [made])]
    other = [helper.make_node("Neg", ["x"], ["other"])]
    node = helper.make_node(
        "If",
        [condition],
        ["y"],
        then_branch=helper.make_graph(then, "then", [], shapes),
        else_branch=helper.make_graph(
            other, "else", [], [helper.make_tensor_value_info("other", 1, [None, 3])]
        ),
    )
    constants = {"yes": np.array(True), "no": np.array(False)}
    model = ModelProto()
    model.ParseFromString(graph([node], {"x": normal(2, 3)}, {"y": 2}, constants))
    return model


def branches_of_more(kind: str) -> Any:
    """Return a graph of which the branch that is taken has inputs or weights."""
    model = branches("yes", "taken")
    branch = next(a.g for a in model.graph.node[0].attribute if a.name == "then_branch")
    getattr(branch, kind).add()
    return model


def state_of_lengths() -> Any:
    """Return a recurrent layer that starts at (steps, batch, features)."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Unsqueeze", ["shape", "axes"], ["h"]),
        helper.make_node("GRU", ["x", "W", "R", "B", "", "h"], ["", "y"], hidden_size=3),
    ]
    constants = {**recurrent("GRU", 1), "axes": np.array([0, 1])}
    data = graph(nodes, {"x": normal(5, 2, 2)}, {"y": 3}, constants, lengths={"x": [5, "N", 2]})
    model = ModelProto()
    model.ParseFromString(data)
    return model


def root_of_lengths() -> Any:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Sqrt", ["shape"], ["root"]),
        helper.make_node("Add", ["x", "root"], ["y"]),
    ]
    model = ModelProto()
    data = graph(nodes, {"x": normal(2, 2)}, {"y": 2}, {}, lengths={"x": ["N", 2]})
    model.ParseFromString(data)
    return model


def eight_numbers(model: Any) -> None:
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].float_data.extend([0] * 8)


def attribute_of_many_axes(model: Any) -> None:
    attribute = model.graph.node[0].attribute.add(name="a", type=4)
    attribute.t.CopyFrom(numpy_helper.from_array(np.zeros((1,) * 9, np.float32)))


def attribute_twice(model: Any) -> None:
    attributes = model.graph.node[0].attribute
    attributes.add().CopyFrom(attributes[0])


def length(model: Any, number: int) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = number


REFUSALS: dict[str, tuple[Any, str]] = {
    "operator": (lambda: one_node(op="NonZero"), "(NonZero): the operator is not supported"),
    "domain": (
        lambda: changed(lambda m: setattr(m.graph.node[0], "domain", "com.x")),
        "of the domain 'com.x', which is not supported",
    ),
    "attribute": (lambda: one_node(alpha=1.0), "(Relu): attribute 'alpha': 1.0"),
    "flag": (lambda: one_node(op="ReduceSum", keepdims=2), "attribute 'keepdims': 2"),
    "kind of attribute": (lambda: one_node(op="Elu", alpha="a"), "attribute 'alpha': 'a'"),
    "subgraph": (lambda: changed(subgraph), "(Loop): the operator runs a graph of its own"),
    "one branch": (lambda: changed(one_branch), "(If): two branches are expected"),
    "branches": (lambda: branches("x", "taken"), "(If): it runs one of two graphs"),
    "an empty branch": (lambda: branches("yes", "nothing"), "no tensor is called 'nothing'"),
    **{
        f"{kind} of a branch": (
            functools.partial(branches_of_more, kind),
            "(If): a branch with inputs or sparse tensors of its own",
        )
        for kind in ("input", "sparse_initializer")
    },
    "a branch's own": (lambda: branches("yes", "x", "x"), "that makes what is made elsewhere"),
    "external": (lambda: changed(external), "no other file is opened"),
    "sparse": (lambda: changed(sparse), "tensor 'W' is sparse, and only dense ones are read"),
    "opset": (
        lambda: changed(lambda m: setattr(m.opset_import[0], "version", 8)),
        "opset 8; expected 9 to",
    ),
    "no opset": (
        lambda: changed(lambda m: setattr(m.opset_import[0], "domain", "x")),
        "opset_import: expected one version",
    ),
    "unknown tensor": (lambda: one_node("z"), "no tensor is called 'z'"),
    "made twice": (
        lambda: changed(lambda m: m.graph.node.add(op_type="Relu", input=["x"], output=["y"])),
        "tensor 'y' is made twice",
    ),
    "no outputs": (
        lambda: changed(lambda m: m.graph.ClearField("output")),
        "a graph without inputs, nodes or outputs",
    ),
    "no shape": (
        lambda: changed(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")),
        "input 'x': its shape is not known",
    ),
    "text": (
        lambda: changed(
            lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING)
        ),
        "input 'x': elements of type 8",
    ),
    "too few bytes": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "raw_data", b"1234")),
        "tensor 'W': 4 bytes for a shape of (3, 3)",
    ),
    "negative length": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -3)),
        "tensor 'W': a shape of [-3, 3]",
    ),
    "constant output": (lambda: one_node("W"), "output 'y' does not depend on the inputs"),
    "rows with one another": (
        lambda: one_node(op="Softmax", axis=0),
        "rows of a batch are not computed with one another",
    ),
    "axis": (lambda: one_node(op="Concat", axis=3), "(Concat): axis 3 of a tensor of 2 axes"),
    "axis of softmax": (
        lambda: changed(lambda m: setattr(m.opset_import[0], "version", 11), op="Softmax", axis=3),
        "(Softmax): axis 3 of a tensor of 2 axes",
    ),
    "nothing to lay out": (lambda: one_node(op="Reshape"), "(Reshape): no shape"),
    "place of zeros": (place_of_zeros, "(Gather): index 5 of an axis of length 1"),
    "no axes": (lambda: one_node(op="Unsqueeze"), "(Unsqueeze): no axes"),
    "flag below 0": (lambda: one_node(op="ReduceSum", keepdims=-1), "attribute 'keepdims': -1"),
    "high opset": (
        lambda: changed(lambda m: setattr(m.opset_import[0], "version", 29)),
        "opset 29; expected 9 to 28",
    ),
    "two opsets": (
        lambda: changed(lambda m: m.opset_import.add(domain="ai.onnx", version=11)),
        "opset_import: expected one version",
    ),
    "segment": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0].segment, "begin", 1)),
        "tensor 'W': a segment of a tensor",
    ),
    "external without a word": (
        lambda: changed(lambda m: m.graph.initializer[0].external_data.add(key="location")),
        "tensor 'W': numbers in another file, and no other file is opened",
    ),
    "external by its place": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "data_location", 1)),
        "tensor 'W': numbers in another file, and no other file is opened",
    ),
    "type of a tensor": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING)),
        "tensor 'W': elements of type 8",
    ),
    "two places": (
        lambda: changed(lambda m: m.graph.initializer[0].float_data.extend([0] * 9)),
        "tensor 'W': numbers in two places",
    ),
    "too few numbers": (
        lambda: changed(eight_numbers),
        "tensor 'W': 8 numbers for a shape of (3, 3)",
    ),
    "many axes": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.extend([1] * 7)),
        "tensor 'W': a shape of [3, 3, 1, 1, 1, 1, 1, 1, 1]",
    ),
    "many axes of an attribute": (
        lambda: changed(attribute_of_many_axes),
        "(Relu): attribute 'a': a shape of (1, 1, 1, 1,",
    ),
    "tensor twice": (
        lambda: changed(lambda m: m.graph.initializer.add().CopyFrom(m.graph.initializer[0])),
        "tensor 'W' is there twice",
    ),
    "tensor without a name": (
        lambda: changed(lambda m: m.graph.initializer[0].ClearField("name")),
        "tensor '' is there twice",
    ),
    "input twice": (
        lambda: changed(lambda m: m.graph.input.add().CopyFrom(m.graph.input[0])),
        "two inputs of one name",
    ),
    "no inputs": (
        lambda: changed(lambda m: m.graph.ClearField("input")),
        "a graph without inputs, nodes or outputs",
    ),
    "no nodes": (
        lambda: changed(lambda m: m.graph.ClearField("node")),
        "a graph without inputs, nodes or outputs",
    ),
    "attribute twice": (
        lambda: changed(attribute_twice, op="Elu", alpha=1.0),
        "attribute 'alpha' is there twice",
    ),
    "attribute of a function": (
        lambda: changed(
            lambda m: setattr(m.graph.node[0].attribute[0], "ref_attr_name", "a"),
            op="Elu",
            alpha=1.0,
        ),
        "(Elu): attribute 'alpha' of a function",
    ),
    "attribute of tensors": (
        lambda: changed(lambda m: setattr(m.graph.node[0].attribute.add(name="a"), "type", 9)),
        "(Relu): attribute 'a' of kind 9",
    ),
    "graphs": (
        lambda: changed(lambda m: setattr(m.graph.node[0].attribute.add(name="a"), "type", 10)),
        "(Relu): the operator runs a graph of its own, which is not supported",
    ),
    "sequence": (
        lambda: changed(lambda m: m.graph.input[0].type.sequence_type.SetInParent()),
        "input 'x': expected a tensor, found 'sequence_type'",
    ),
    "input of nothing": (lambda: changed(lambda m: length(m, 0)), "input 'x': an axis of length 0"),
    "input without end": (
        lambda: changed(lambda m: length(m, 2**31)),
        "input 'x': an axis of length 2147483648",
    ),
    "input of no axes": (
        lambda: changed(lambda m: m.graph.input[0].type.tensor_type.shape.ClearField("dim")),
        "input 'x': one number for all rows, which is part of the model here: say which it is",
    ),
    "input of many axes": (
        lambda: changed(
            lambda m: [m.graph.input[0].type.tensor_type.shape.dim.add() for _ in range(7)]
        ),
        "input 'x': expected at most 8 axes, found 9",
    ),
    "output before its input": (
        lambda: changed(lambda m: m.graph.node.insert(0, helper.make_node("Relu", ["y"], ["z"]))),
        "(Relu): no tensor is called 'y'",
    ),
    "root of lengths": (root_of_lengths, "(Sqrt): a length left open, computed with"),
    "state of lengths": (state_of_lengths, "(GRU): initial states of lengths"),
}


def relu() -> Any:
    return helper.make_node("Relu", ["a"], ["b"])


def calling(*functions: Any, takes: Sequence[str] = ("x",), gives: Sequence[str] = ("y",)) -> bytes:
    """A graph that calls the first function, F."""
    node = helper.make_node("F", list(takes), list(gives), domain="own")
    return graph([node], {"x": normal(2, 3)}, {"y": 2}, {}, functions=functions)


def called(name: str, takes: str = "a", gives: str = "b") -> Any:
    return helper.make_node(name, [takes], [gives], domain="own")


def one_function(edit: Any = lambda f: None, name: str = "F", nodes: Any = None) -> Any:
    made = function(name, ["a"], ["b"], [relu()] if nodes is None else nodes)
    edit(made)
    return made


def twice(name: str, by: str) -> Any:
    """A function that calls another on what it made of the input."""
    return one_function(name=name, nodes=[called(by, "a", "t"), called(by, "t", "b")])


def chain(count: int, of: Any) -> list[Any]:
    names = ["F", *(f"f{n}" for n in range(count))]
    return [of(*pair) for pair in itertools.pairwise(names)] + [one_function(name=names[-1])]


def large_constant(function: Any) -> None:
    numbers = helper.make_tensor("v", 1, [3000], b"\0" * 12000, raw=True)
    function.node.insert(0, helper.make_node("Constant", [], ["w"], value=numbers))


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "itself": (
        lambda: calling(one_function(nodes=[called("F")])),
        "function 'F': it calls itself",
    ),
    "each other": (
        lambda: calling(
            one_function(nodes=[called("G")]), one_function(name="G", nodes=[called("F")])
        ),
        "function 'F': it calls itself",
    ),
    "deep": (
        lambda: calling(*chain(33, lambda name, by: one_function(name=name, nodes=[called(by)]))),
        "functions more than 32 deep",
    ),
    "growing": (
        lambda: calling(*chain(30, twice)),
        "more than 131072 nodes once functions are put in place of their calls",
    ),
    "two of one name": (
        lambda: calling(one_function(), one_function()),
        "two functions of one name",
    ),
    "standard": (
        lambda: calling(one_function(lambda f: setattr(f, "domain", ""), "Relu")),
        "function 'Relu': it has the domain of the operators of ONNX",
    ),
    "opset": (
        lambda: calling(one_function(lambda f: setattr(f.opset_import[0], "version", 16))),
        "function 'F': it is of opset 16, the graph is of opset 17",
    ),
    "too many inputs": (
        lambda: calling(one_function(), takes=("x", "x")),
        "function 'F': a call of 2 inputs and 1 outputs, it has 1 and 1",
    ),
    "too many outputs": (
        lambda: calling(one_function(), gives=("y", "z")),
        "function 'F': a call of 1 inputs and 2 outputs, it has 1 and 1",
    ),
    "what the graph has": (
        lambda: calling(one_function(nodes=[helper.make_node("Add", ["a", "x"], ["b"])])),
        "function 'F': no tensor is called 'x'",
    ),
    "no such output": (
        lambda: calling(one_function(lambda f: f.output.__setitem__(0, "c"))),
        "function 'F': no tensor is called 'c'",
    ),
    "no such function": (lambda: calling(one_function(name="G")), "is of the domain 'own'"),
}


@pytest.mark.parametrize(("make", "message"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_that_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        fd.load(io.BytesIO(make()))
    assert message in str(caught.value)


def test_constants_of_functions_are_counted_for_each_call() -> None:
    """Of 64 calls of a function with 12,000 bytes, as of so many tensors."""
    bodies = chain(6, twice)
    large_constant(bodies[-1])
    data = calling(*bodies)
    fd.load(io.BytesIO(data), max_tensor_bytes=64 * 13_000)
    with pytest.raises(ModelFormatError, match="functions, put in place of their calls, take"):
        fd.load(io.BytesIO(data), max_tensor_bytes=64 * 12_000)


@pytest.mark.parametrize(("make", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(make: Any, message: str) -> None:
    data = make().SerializeToString()
    with pytest.raises(ModelFormatError) as caught:
        fd.load(io.BytesIO(data))
    assert message in str(caught.value)


def test_all_obstacles_are_told() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="waits"),
        helper.make_node("Unique", ["x"], ["c", "d"], name="second"),
        helper.make_node("Hardmax", ["x"], ["unused"], name="never looked at"),
    ]
    x = normal(2, 3)
    data = graph(nodes, {"x": x}, {"b": 2, "c": 2}, {"W": np.array([1])})
    with pytest.raises(ModelFormatError) as caught:
        fd.load(io.BytesIO(data))
    assert caught.value.obstacles == (
        "node 'first' (NonZero): the operator is not supported",
        "node 'second' (Unique): the operator is not supported",
    )


def test_nothing_of_keras_is_taken() -> None:
    path = FOLDER / "dropped_features.onnx"
    with pytest.raises(ModelFormatError, match="architecture= and custom= are for files of Keras"):
        fd.load(path, custom={"MCDropout": "Dropout"})


def test_numbers_that_are_not_finite() -> None:
    kernel = normal(3, 2)
    kernel[1, 1] = np.nan
    node = helper.make_node("MatMul", ["x", "W"], ["y"], name="m")
    data = graph([node], {"x": normal(2, 3)}, {"y": 2}, {"W": kernel})
    with pytest.raises(ModelFormatError, match="layer 'm': kernel holds NaN or infinities"):
        fd.load(io.BytesIO(data))
    assert fd.load(io.BytesIO(data), allow_nonfinite=True).layers


def test_limits() -> None:
    path = FOLDER / "torch_script_tagger_open.onnx"
    for limit, message in (
        ({"max_file_bytes": 1000}, "max_file_bytes is 1000"),
        ({"max_tensor_bytes": 1000}, "max_tensor_bytes is 1000"),
        ({"max_tensors": 3}, "max_tensors is 3"),
        ({"max_layers": 3}, "max_layers is 3|raise max_layers"),
    ):
        with pytest.raises(ModelFormatError, match=message):
            fd.load(path, **limit)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    expected = r'load: expected onnx to be installed: pip install "fastdrop-rnn\[onnx\]"'
    with pytest.raises(ImportError, match=expected):
        read("dropped_features")


# ---- constants out of proportion ----


def blown(kind: str) -> list[Any]:
    """Return nodes that make a constant of 4 GB of nothing, and add it."""
    ends = [helper.make_node("Add", ["x", "big"], ["y"], name="end")]
    if kind == "doubled":
        names = ["one", *(f"d{i}" for i in range(30)), "big"]
        pairs = itertools.pairwise(names)
        return [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairs] + ends
    if kind == "many":
        names = [f"big{i}" for i in range(30)]
        made = [helper.make_node("Range", ["zero", "million", "step"], [name]) for name in names]
        return [*made, helper.make_node("Sum", names, ["big"]), *ends]
    node = {
        "expand": helper.make_node("Expand", ["one", "shape"], ["big"]),
        "shape": helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        "range": helper.make_node("Range", ["zero", "many", "step"], ["big"]),
        "tile": helper.make_node("Tile", ["one", "many1"], ["big"]),
        "broadcast": helper.make_node("Mul", ["row", "column"], ["big"]),
        "product": helper.make_node("MatMul", ["column", "row"], ["big"]),
        "pad": helper.make_node("Pad", ["one", "pads"], ["big"]),
        "gather": helper.make_node("Gather", ["row", "places"], ["big"], axis=0),
    }[kind]
    return [node, *ends]


@pytest.mark.parametrize(
    "kind",
    [
        "doubled",
        "expand",
        "shape",
        "range",
        "tile",
        "broadcast",
        "product",
        "pad",
        "gather",
        "many",
    ],
)
def test_constants_that_the_file_does_not_hold(kind: str) -> None:
    constants = {
        "one": np.ones(1, np.float32),
        "shape": np.array([2**30]),
        "million": np.array(10**6),
        "zero": np.array(0),
        "many": np.array(2**30),
        "step": np.array(1),
        "many1": np.array([2**30]),
        "row": np.ones((1, 3000), np.float32),
        "column": np.ones((3000, 1), np.float32),
        "pads": np.array([0, 2**30]),
        "places": np.zeros(2000, np.int64),
    }
    data = graph(blown(kind), {"x": normal(2, 3)}, {"y": 2}, constants)
    with pytest.raises(ModelFormatError, match="which the file does not hold"):
        fd.load(io.BytesIO(data))

"""Models of PyTorch's weights and a description of their layers, without PyTorch or a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import layers
from fastdrop.formats import ModelFormatError
from fastdrop.formats import torch as description

GENERATOR = np.random.default_rng(0)
ARCHITECTURE: list[Any] = [
    ("words", "Embedding"),
    ("encoder.lstm", "LSTM", {"batch_first": True, "dropout": 0.3, "take": "last"}),
    ("drop", "Dropout", {"p": 0.5}),
    ("head.0", "Linear"),
    "ReLU",
    ("head.2", "Linear", {"bias": False}),
]


def numbers(*shape: int) -> Any:
    return GENERATOR.normal(size=shape).astype(np.float32)


def weights(prefix: str = "") -> dict[str, Any]:
    found = {"words.weight": numbers(9, 4)}
    for level, width in ((0, 4), (1, 5)):
        found |= {
            f"encoder.lstm.weight_ih_l{level}": numbers(20, width),
            f"encoder.lstm.weight_hh_l{level}": numbers(20, 5),
            f"encoder.lstm.bias_ih_l{level}": numbers(20),
            f"encoder.lstm.bias_hh_l{level}": numbers(20),
        }
    found |= {
        "head.0.weight": numbers(6, 5),
        "head.0.bias": numbers(6),
        "head.2.weight": numbers(2, 6),
    }
    return {prefix + name: value for name, value in found.items()}


def read(tensors: dict[str, Any], architecture: Any = ARCHITECTURE) -> fd.Model:
    return description.read(tensors, [], description.check(architecture), "m.pt", 100)


def test_layers_are_those_that_were_described() -> None:
    """Beside layers made by hand: gates stand as in Keras's order, and the two biases are added."""
    tensors = weights()
    x = GENERATOR.integers(0, 9, (3, 7))
    stack: list[Any] = [layers.Embedding(name="words", table=tensors["words.weight"])]
    for level in (0, 1):
        ih, hh, one, two = (
            tensors[f"encoder.lstm.{name}_l{level}"]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        stack.append(
            layers.LSTM(
                name=f"lstm{level}",
                kernel=np.ascontiguousarray(ih.T),
                recurrent_kernel=np.ascontiguousarray(hh.T),
                bias=one + two,
                return_sequences=level == 0,
            )
        )
    stack += [
        layers.Dense(
            name="a", kernel=np.ascontiguousarray(tensors["head.0.weight"].T),
            bias=tensors["head.0.bias"], activation="relu",
        ),
        layers.Dense(name="b", kernel=np.ascontiguousarray(tensors["head.2.weight"].T)),
    ]  # fmt: skip
    model = read(tensors)
    np.testing.assert_array_equal(model.predict(x), fd.Model(stack, (None,)).predict(x))
    assert [(layer.name, layer.rates()) for layer in model.layers if layer.rates()] == [
        ("encoder.lstm", {"dropout": 0.0, "recurrent_dropout": 0.0}),
        ("encoder.lstm.dropout", {"rate": 0.3}),
        ("encoder.lstm", {"dropout": 0.0, "recurrent_dropout": 0.0}),
        ("drop", {"rate": 0.5}),
    ]
    assert model.with_rates({"encoder.lstm": 0.2}).mc_predict(x, 3, rng=0).mean.shape == (3, 2)


@pytest.mark.parametrize(
    "prefix", ["model.", "module._orig_mod.", "net.core."], ids=["model", "wrapped", "deep"]
)
def test_prefixes_are_found(prefix: str) -> None:
    tensors = weights()
    x = GENERATOR.integers(0, 9, (3, 7))
    model = read({prefix + name: value for name, value in tensors.items()})
    np.testing.assert_array_equal(model.predict(x), read(tensors).predict(x))
    assert any(prefix in note for note in model.notes)


def test_prefixes_are_found_behind_layers_without_weights() -> None:
    tensors = {"a.fc.weight": numbers(3, 3), "a.fc.bias": numbers(3)}
    model = read(tensors, [("Input", {"shape": (3,)}), ("drop", "Dropout"), ("fc", "Linear")])
    x = numbers(2, 3)
    expected = x @ tensors["a.fc.weight"].T + tensors["a.fc.bias"]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    tensors = weights()
    del tensors["head.0.bias"], tensors["encoder.lstm.weight_ih_l0"]
    tensors["head.2.weight"] = numbers(2, 7)
    tensors["other.weight"] = numbers(3)
    with pytest.raises(ModelFormatError) as caught:
        read(tensors)
    obstacles = "\n".join(caught.value.obstacles)
    for part in ("head.0.bias", "encoder.lstm.weight_ih_l0", "other.weight"):
        assert part in obstacles
    assert len(caught.value.obstacles) == 3  # of what comes behind, shapes are not known


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("head.0.weight", numbers(6, 4), r"an input of shape \(\.\.\., 4\), got \(5,\)"),
        ("encoder.lstm.weight_hh_l1", numbers(20, 4), "weight_hh_l1"),
        ("encoder.lstm.bias_hh_l0", numbers(5), "bias_hh_l0"),
        ("encoder.lstm.weight_ih_l1", numbers(20, 4), "weight_ih_l1"),
        ("words.weight", numbers(9), r"shape \(9,\), expected \(any, any\)"),
    ],
    ids=["linear", "hidden", "bias", "second-layer", "embedding"],
)
def test_weights_of_other_shapes_are_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message) as caught:
        read(weights() | {name: value})
    assert len(caught.value.obstacles) == 1


@pytest.mark.parametrize(
    ("architecture", "error", "message"),
    [
        (3, TypeError, "architecture"),
        ([], ValueError, "architecture"),
        (["Nothing"], ValueError, "class"),
        (["Linear"], ValueError, "name"),
        ([("a", "b", "Linear")], TypeError, r"architecture\[0\]"),
        ([("fc", "Linear", {"rate": 1})], ValueError, "option"),
        ([3], TypeError, r"architecture\[0\]"),
        ([("fc", dict)], TypeError, r"architecture\[0\]: expected names of .*, as in \(\"lstm\", "),
        (["ReLU", ()], TypeError, r"architecture\[1\]"),
        ([({"p": 0.5},)], TypeError, r"architecture\[0\]"),
        ([("drop", {"p": 0.5}, "Dropout")], TypeError, r"architecture\[0\]"),
        (["ReLU", ("Input", {"shape": (3,)})], ValueError, "first"),
    ],
    ids=[
        "number",
        "empty",
        "class",
        "no-name",
        "form",
        "option",
        "entry",
        "class-itself",
        "nothing",
        "no class",
        "order",
        "second-input",
    ],
)
def test_descriptions_are_refused(architecture: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        description.check(architecture)


@pytest.mark.parametrize("prefix", ["", "model."], ids=["plain", "prefix"])
def test_weights_that_are_unused_are_left_out(prefix: str) -> None:
    tensors = weights(prefix)
    x = GENERATOR.integers(0, 9, (3, 7))
    expected = read(tensors).predict(x)
    more = {f"{prefix}crf.start": numbers(2), f"{prefix}crf.end": numbers(2)}
    more[f"{prefix}transitions"] = numbers(2, 2)
    with pytest.raises(ModelFormatError, match=r"no layer takes: .*crf.start.*transitions"):
        read(tensors | more)
    described = [*ARCHITECTURE, ("crf", "Unused"), ("transitions", "Unused")]
    assert np.array_equal(read(tensors | more, described).predict(x), expected)
    with pytest.raises(ModelFormatError, match=r"there is no '.*crf'"):
        read(tensors, described)
    outside = tensors | {"crf": numbers(2), "transitions.a": numbers(1)}
    assert np.array_equal(read(outside, described).predict(x), expected)


@pytest.mark.parametrize(
    ("length", "direction"),
    [("weight_g", "weight_v"), ("parametrizations.weight.original0", None)],
    ids=["hooks", "parametrizations"],
)
def test_weights_are_put_together_by_length_and_direction(
    length: str, direction: str | None
) -> None:
    direction = direction or "parametrizations.weight.original1"
    lengths, directions = np.abs(numbers(4, 1)) + 1, numbers(4, 3)
    tensors = {f"fc.{length}": lengths, f"fc.{direction}": directions, "fc.bias": numbers(4)}
    x = numbers(5, 3)
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    wanted = x @ (lengths * units).T + tensors["fc.bias"]
    found = read(tensors, [("fc", "Linear")]).predict(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_one_length_of_all_directions() -> None:
    directions, bias = numbers(4, 3), numbers(4)
    tensors = {"fc.weight_g": np.float32(2.5).reshape(()), "fc.weight_v": directions}
    x = numbers(5, 3)
    wanted = x @ (2.5 * directions / np.linalg.norm(directions)).T + bias
    found = read(tensors | {"fc.bias": bias}, [("fc", "Linear")]).predict(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_weights_that_are_pruned() -> None:
    weight, bias, x = numbers(4, 3), numbers(4), numbers(5, 3)
    mask = (weight > 0).astype(np.float32)
    tensors = {"fc.weight_orig": weight, "fc.weight_mask": mask, "fc.bias": bias}
    found = read(tensors, [("fc", "Linear")]).predict(x)
    np.testing.assert_allclose(found, x @ (weight * mask).T + bias, rtol=1e-5, atol=1e-6)
    del tensors["fc.weight_mask"]
    near = r"there is no 'fc.weight'; there is 'fc.weight_orig'"
    with pytest.raises(ModelFormatError, match=near):
        read(tensors, [("fc", "Linear")])


def test_what_a_missing_bias_is_asked_for() -> None:
    with pytest.raises(ModelFormatError, match=r"'fc.bias'; without it the option is \{'bias': Fa"):
        read({"fc.weight": numbers(4, 3)}, [("fc", "Linear")])


@pytest.mark.parametrize("axis", [0, 1])
def test_lengths_stand_along_any_axis(axis: int) -> None:
    """And one without the other is no weight, as those of different numbers of axes."""
    directions, bias = numbers(4, 3) * np.float32(1e30), numbers(4)
    lengths = numbers(*((4, 1) if axis == 0 else (1, 3)))
    tensors = {"fc.weight_g": lengths, "fc.weight_v": directions, "fc.bias": bias}
    x = numbers(5, 3)
    sizes = np.linalg.norm(directions.astype(float), axis=1 - axis, keepdims=True)
    wanted = directions / sizes * lengths
    found = read(tensors, [("fc", "Linear")]).predict(x)
    np.testing.assert_allclose(found, x @ wanted.T + bias, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    missing, other = "there is no 'fc.weight'", "operands could not be broadcast"
    for name, value, message in [
        ("weight_v", None, missing),
        ("weight_g", None, missing),
        ("weight_g", numbers(4), missing),
        ("weight_g", numbers(2, 1), other),
    ]:
        changed = {k: v for k, v in tensors.items() if k != f"fc.{name}"}
        changed |= {} if value is None else {f"fc.{name}": value}
        with pytest.raises(ModelFormatError, match=rf"fc \(Linear\): {message}"):
            read(changed, [("fc", "Linear")])


@pytest.mark.parametrize(
    "names",
    [
        ("weight_orig", "weight_u", "weight_v"),
        tuple(f"parametrizations.weight.{end}" for end in ("original", "0._u", "0._v")),
    ],
    ids=["hooks", "parametrizations"],
)
@pytest.mark.parametrize("axis", [0, 1], ids=["outputs", "inputs"])
@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 4), (4, 4, 3)], ids=str)
def test_weights_are_divided_by_their_largest_singular_value(
    names: tuple[str, ...], axis: int, shape: tuple[int, ...]
) -> None:
    """By what its vectors, of training a step before, say that it is."""
    kernel, bias = numbers(*shape), numbers(shape[0])
    matrix = np.moveaxis(kernel.astype(float), axis, 0).reshape(shape[axis], -1)
    right = np.linalg.svd(matrix + 0.02 * numbers(*matrix.shape))[2][0]
    left = matrix @ right / np.linalg.norm(matrix @ right)
    vectors = [np.asarray(v, np.float32) for v in (left, right)]
    tensors = {"c.bias": bias} | {
        f"c.{name}": value for name, value in zip(names, [kernel, *vectors], strict=True)
    }
    plain = {"c.weight": (kernel / (left @ matrix @ right)).astype(np.float32), "c.bias": bias}
    described = [("c", "Conv1d")]
    x = numbers(2, shape[1], 7)
    expected = read(plain, described).predict(x)
    np.testing.assert_allclose(read(tensors, described).predict(x), expected, rtol=1e-4, atol=1e-5)
    for name, value, message in (
        (names[1], None, "there is no 'c.weight'"),
        (names[2], None, "there is no 'c.weight'"),
        (names[1], numbers(7), "vectors of 7 and"),
        (names[2], numbers(5), "vectors of . and 5 numbers beside weights of shape"),
    ):
        changed = {k: v for k, v in tensors.items() if k != f"c.{name}"}
        changed |= {} if value is None else {f"c.{name}": value}
        with pytest.raises(ModelFormatError, match=message):
            read(changed, described)


def test_layers_may_take_what_others_made() -> None:
    kernel, other = numbers(4, 3), numbers(4, 3)
    tensors = {"a.weight": kernel, "b.weight": other}
    model = read(
        tensors,
        [
            ("a", "Linear", {"bias": False}),
            ("b", "Linear", {"bias": False, "inputs": "input"}),
            ("both", "cat", {"dim": 1, "inputs": ["a", "b"]}),
            "Tanh",
        ],
    )
    x = numbers(5, 3)
    expected = np.tanh(np.concatenate([x @ kernel.T, x @ other.T], 1))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    for name in ("nobody", "b", "c"):
        entries = [("a", "Linear", {"bias": False}), ("b", "Linear", {"inputs": ["a", name]})]
        with pytest.raises(ModelFormatError, match=f"no layer before it is called '{name}'"):
            read(tensors, [*entries, ("c", "Tanh")])


@pytest.mark.parametrize(("name", "function"), [("add", np.add), ("mul", np.multiply)])
def test_outputs_are_joined_number_by_number(name: str, function: Any) -> None:
    tensors = {f"{k}.weight": numbers(4, 3) for k in "abc"}
    entries: list[Any] = [
        (k, "Linear", {"bias": False, "inputs": "input"} if k != "a" else {"bias": False})
        for k in "abc"
    ]
    model = read(tensors, [*entries, (name, {"inputs": ["a", "b", "c"]})])
    x = numbers(5, 3)
    one, two, three = (x @ tensor.T for tensor in tensors.values())
    expected = function(function(one, two), three)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)


def test_the_input_can_be_told() -> None:
    tensors = {"norm.weight": numbers(4), "norm.bias": numbers(4)}
    with pytest.raises(ModelFormatError, match="Input"):
        read(tensors, [("norm", "LayerNorm")])
    model = read(
        tensors, [("Input", {"shape": (None, 4)}), ("norm", "LayerNorm"), ("mean", {"dim": 1})]
    )
    assert model.input_shape == (None, 4)
    assert model.predict(numbers(2, 6, 4)).shape == (2, 4)


def test_a_shape_that_was_guessed_is_told_where_it_does_not_fit() -> None:
    """Of a dense layer in front of a recurrent one, a row may be a sequence."""
    tensors = {"dense.weight": numbers(4, 3), "dense.bias": numbers(4)}
    tensors |= {"rnn.weight_ih_l0": numbers(2, 4), "rnn.weight_hh_l0": numbers(2, 2)}
    layers = [("dense", "Linear"), ("rnn", "RNN", {"bias": False})]
    with pytest.raises(ModelFormatError) as caught:
        read(tensors, layers)
    hint = """a row is taken to be (3,): ("Input", {"shape": …}) in front says another"""
    assert hint in str(caught.value)
    model = read(tensors, [("Input", {"shape": (None, 3)}), *layers])
    assert model.predict(numbers(2, 5, 3)).shape == (2, 5, 2)


def test_a_layer_by_itself_has_no_name() -> None:
    x = numbers(2, 3)
    tensors = {"weight": numbers(4, 3), "bias": numbers(4)}
    model = read(tensors, [("", "Linear")])
    expected = x @ tensors["weight"].T + tensors["bias"]
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("select", {"dim": 1}), "index"),
        (("mean", {}), "dim"),
        (("MaxPool1d", {}), "kernel_size"),
        (("transpose", {"dim0": 1, "dim1": 9}), "transpose"),
        (("lstm", "LSTM", {"take": "all"}), "take"),
        (("lstm", "LSTM", {"num_layers": 2}), "num_layers=1"),
        (("lstm", "LSTM", {"bidirectional": True}), "bidirectional=False"),
        (("lstm", "LSTM", {"proj_size": 3}), "proj_size=0"),
        (("lstm", "LSTM", {"dropout": 2}), "dropout"),
        (("Softmax", {"dim": 0}), "rows"),
        (("Dropout", {"p": "x"}), r"p: expected .* got 'x'"),
        (("select", {"dim": "x", "index": 0}), r"dim: expected .* got 'x'"),
        (("Tanh", {"inputs": 3}), r"inputs: expected .* got 3"),
        (("MaxPool1d", {"kernel_size": 0}), "kernel_size: expected an integer >= 1, got 0"),
        (("MaxPool1d", {"kernel_size": (0,)}), "kernel_size: expected .* got 0"),
        (("AvgPool1d", {"kernel_size": 2, "stride": 0}), "stride: expected .* got 0"),
        (("AvgPool1d", {"kernel_size": 2, "padding": -1}), "padding: expected .* got -1"),
        (("AdaptiveAvgPool1d", {"output_size": 0}), "output_size: expected .* got 0"),
        (("AdaptiveMaxPool1d", {"output_size": (-1,)}), "output_size: expected .* got -1"),
        (("conv", "Conv1d", {"bias": False, "stride": 0}), "stride: expected .* got 0"),
        (("conv", "Conv1d", {"bias": False, "dilation": 0}), "dilation: expected .* got 0"),
        (("Flatten", {"start_dim": 3}), "axis 3 of a tensor of 3 axes"),
        (("squeeze", {"dim": -4}), "axis -4 of a tensor of 3 axes"),
        (("unsqueeze", {"dim": 4}), "axis 4 of a tensor of 4 axes"),
        (("mean", {"dim": 3}), "axis 3 of a tensor of 3 axes"),
        (("bag", "EmbeddingBag", {"mode": "min"}), "mode: expected .* got 'min'"),
        (("bag", "EmbeddingBag", {"padding_idx": -1}), "padding_idx: expected .* got -1"),
        (("cat", {"inputs": ["lstm", "lstm"]}), "rows of a batch"),
        (("cat", {"inputs": ["lstm", "lstm"], "dim": 4}), "axis 4 of a tensor of 3 axes"),
    ],
    ids=[
        "index",
        "dim",
        "size",
        "axis",
        "take",
        "layers",
        "both",
        "projection",
        "rate",
        "rows",
        "p",
        "dim",
        "inputs",
        "window",
        "windows",
        "stride",
        "padding",
        "no places",
        "places",
        "strides",
        "dilation",
        "flatten",
        "squeeze",
        "unsqueeze",
        "mean",
        "mode",
        "padding_idx",
        "batch",
        "cat",
    ],
)
def test_options_that_do_not_fit_are_named(entry: Any, message: str) -> None:
    tensors = {
        "lstm.weight_ih_l0": numbers(20, 3),
        "lstm.weight_hh_l0": numbers(20, 5),
        "lstm.bias_ih_l0": numbers(20),
        "lstm.bias_hh_l0": numbers(20),
    }
    if "conv" in entry:
        tensors["conv.weight"] = numbers(2, 7, 3)
    if "bag" in entry:
        tensors["bag.weight"] = numbers(2, 7)
    whole = [entry] if "lstm" in entry else [("lstm", "LSTM"), entry]
    with pytest.raises(ModelFormatError, match=message) as caught:
        read(tensors, whole)
    assert len(caught.value.obstacles) == 1


@pytest.mark.parametrize(
    "entry",
    [("Flatten", {"inputs": "lost"}), ("select", {"dim": 1, "index": 0, "inputs": "lost"})],
    ids=["flatten", "select"],
)
def test_what_takes_nothing_that_was_made(entry: Any) -> None:
    """Its options are looked at beside an input without axes, which are counted there."""
    tensors = {"lost.weight": numbers(4, 3), "lost.bias": numbers(5)}
    with pytest.raises(ModelFormatError) as caught:
        read(tensors, [("Input", {"shape": (3,)}), ("lost", "Linear"), entry])
    (obstacle,) = caught.value.obstacles
    assert obstacle == "lost (Linear): 'lost.bias' has shape (5,), expected (4)"


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_padding_counts_in_no_bag(mode: str, padding: int) -> None:
    table = numbers(4, 3)
    options = {"mode": mode, "padding_idx": padding}
    model = read({"bag.weight": table}, [("bag", "EmbeddingBag", options)])
    x = np.array([[0, 1, 2], [2, 2, 2], [3, 2, 3]])
    x = np.array([2, 1, 0, 3])[x] if padding == 0 else x
    one, two = table[2 - padding] + table[1], 2 * table[3]
    expected = np.stack([one, np.zeros(3), two]) / (2 if mode == "mean" else 1)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", [None, "sum", "mean", "max"])
def test_bags_without_padding(mode: str | None) -> None:
    table, x = numbers(4, 3), np.array([[0, 1, 2], [2, 2, 2]])
    model = read({"bag.weight": table}, [("bag", "EmbeddingBag", {"mode": mode} if mode else {})])
    expected = getattr(np, mode or "mean")(table[x], axis=1)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-6, atol=1e-6)


def test_names_that_are_left_are_told_up_to_twelve() -> None:
    for count, more in ((12, ""), (13, " and 1 more"), (20, " and 8 more")):
        tensors = {"fc.weight": numbers(2, 3)} | {f"w{i:02}": numbers(1) for i in range(count)}
        with pytest.raises(ModelFormatError) as caught:
            read(tensors, [("fc", "Linear", {"bias": False})])
        some = ", ".join(repr(f"w{i:02}") for i in range(12))
        way = "; an entry ('w00', 'Unused') leaves such out"
        assert str(caught.value) == f"weights that no layer takes: {some}{more}{way}"


def test_what_a_layer_does_not_take_is_told_unless_it_failed() -> None:
    """Of one that failed it is not known what it would take."""
    more = {"head.0.more": numbers(1), "head.0.bias_g": numbers(1)}
    with pytest.raises(ModelFormatError) as caught:
        read(weights() | more)
    said = (
        "weights that no layer takes: 'head.0.more', 'head.0.bias_g'; an entry ('head.0.more', "
        "'Unused') leaves such out"
    )
    assert caught.value.obstacles == (said,)
    with pytest.raises(ModelFormatError) as caught:
        read(weights() | more | {"head.0.weight": numbers(6)})
    (only,) = caught.value.obstacles
    assert only == "head.0 (Linear): 'head.0.weight' has shape (6,), expected (any, any)"


def test_layers_under_several_names() -> None:
    tensors = {f"{a}.{n}.weight": numbers(3, 3) for a in ("one", "two") for n in ("x", "y")}
    entries = [(name, "Linear", {"bias": False}) for name in ("x", "y")]
    with pytest.raises(ModelFormatError) as caught:
        read(tensors, entries)
    several, left = caught.value.obstacles
    assert several == "the layers are there under several names: 'one.', 'two.'"
    assert left.startswith("weights that no layer takes: 'two.x.weight', 'two.y.weight'; an entry")
    for name in ("x", "y"):  # under which both are is meant
        tensors.pop(f"two.{name}.weight")
        tensors |= {f"two.{name}{name}.weight": numbers(3, 3)}
        with pytest.raises(ModelFormatError, match=r"^weights that no layer takes: 'two"):
            read(tensors, entries)


@pytest.mark.parametrize("entries", [[], ["Identity"]], ids=["input", "identity"])
def test_a_model_of_no_layers_is_refused(entries: list[Any]) -> None:
    with pytest.raises(ModelFormatError, match="at least one layer"):
        read({}, [("Input", {"shape": (3,)}), *entries])
    x = numbers(2, 3)
    model = read({}, [("Input", {"shape": (3,)}), *entries, "Tanh"])
    np.testing.assert_allclose(model.predict(x), np.tanh(x), rtol=1e-6)


def test_the_limit_of_layers() -> None:
    entries = description.check([("Input", {"shape": (3,)}), "Tanh", "Tanh"])
    assert description.read({}, [], entries, "m.pt", 3).layers
    with pytest.raises(ModelFormatError, match=r"^3 layers, max_layers is 2$"):
        description.read({}, [], entries, "m.pt", 2)


def test_the_shape_of_an_input_is_checked() -> None:
    with pytest.raises(ModelFormatError, match=r"shape: expected .* got 'x'"):
        read({}, [("Input", {"shape": "x"}), "ReLU"])


def test_custom_classes_are_those_of_keras(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "m.safetensors"
    safetensors.save_file({"fc.weight": numbers(4, 3), "fc.bias": numbers(4)}, path)
    assert fd.load(path, architecture=[("fc", "Linear")]).output_shape == (4,)
    with pytest.raises(ModelFormatError, match=r"custom="):
        fd.load(path, architecture=[("fc", "Linear")], custom={"A": "Dropout"})


def test_final_states_are_those_of_the_last_layer() -> None:
    """Forwards it is the output of the last step, backwards that of the first."""
    tensors = {}
    for level, width in ((0, 3), (1, 8)):
        for end in (f"l{level}", f"l{level}_reverse"):
            tensors |= {
                f"gru.weight_ih_{end}": numbers(12, width),
                f"gru.weight_hh_{end}": numbers(12, 4),
                f"gru.bias_ih_{end}": numbers(12),
                f"gru.bias_hh_{end}": numbers(12),
            }
    x = numbers(2, 5, 3)
    y = read(tensors, [("gru", "GRU")]).predict(x)
    final = read(tensors, [("gru", "GRU", {"take": "h_n"})]).predict(x)
    np.testing.assert_array_equal(final, np.concatenate([y[:, -1, :4], y[:, 0, 4:]], 1))
    last = read(tensors, [("gru", "GRU", {"take": "last"})]).predict(x)
    np.testing.assert_array_equal(last, y[:, -1])


def test_dropout_is_that_of_pytorch_where_none_is_told() -> None:
    """Of a layer of its own one half, between recurrent layers none."""
    tensors = {
        f"gru.{name}_l{level}": numbers(12, *shape)
        for level, width in ((0, 3), (1, 4))
        for name, *shape in (("weight_ih", width), ("weight_hh", 4), ("bias_ih",), ("bias_hh",))
    }
    model = read(tensors, [("gru", "GRU"), ("drop", "Dropout")])
    assert [layer.rates() for layer in model.layers if layer.name == "drop"] == [{"rate": 0.5}]
    assert not read(tensors, [("gru", "GRU")]).stochastic


def standardized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


def pooled(x: np.ndarray, axis: int, count: int, function: Any) -> np.ndarray:
    """Return what adaptive layers make of an axis: windows that overlap where they must."""
    n = x.shape[axis]
    windows = [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]
    return np.stack([function(x.take(range(*w), axis), axis) for w in windows], axis)


def windowed(
    x: np.ndarray,
    size: int,
    stride: int,
    pad: int = 0,
    *,
    mean: bool = False,
    ceil: bool = False,
    counted: bool = True,
) -> np.ndarray:
    """Pool the last axis; a last window that is cut off begins within the axis or before it."""
    length = x.shape[-1]
    room = length + 2 * pad - size
    count = (-(-room // stride) if ceil else room // stride) + 1
    found = []
    for start in range(-pad, count * stride - pad, stride):
        if ceil and start >= length:
            break
        end = min(start + size, length + pad)
        part = x[..., max(start, 0) : end]
        share = end - start if counted else part.shape[-1]
        found.append(part.sum(-1) / share if mean else part.max(-1))
    return np.stack(found, -1)


def twice(x: np.ndarray, *first: Any, second: tuple[Any, ...] = (), **options: Any) -> np.ndarray:
    """Pool the last two axes."""
    once = windowed(x, *(second or first), **options)
    return windowed(once.swapaxes(2, 3), *first, **options).swapaxes(2, 3)


def column(values: np.ndarray, axes: int) -> np.ndarray:
    """Return a number for each channel, beside so many axes behind it."""
    return values.reshape(-1, *(1,) * axes)


_A, _B, _M, _V, _SCALE = *(numbers(4) for _ in range(3)), np.square(numbers(4)), numbers(5)
_GAMMA, _BETA = numbers(4, 5), numbers(4, 5)
_MOMENTS = {"running_mean": _M, "running_var": _V}


def name_of(entry: Any) -> str:
    """Return the class of an entry of a description."""
    return entry if isinstance(entry, str) else [p for p in entry if isinstance(p, str)][-1]


# Descriptions, weights, and what they compute of x (2, 4, 5) or (2, 4, 5, 6), from the definition.
COMPUTED: dict[str, tuple[Any, dict[str, Any], int, Any]] = {
    "RMSNorm": (
        ("l", "RMSNorm", {"eps": 0.5}),
        {"weight": _GAMMA},
        1,
        lambda x: x / np.sqrt(np.square(x).mean((1, 2), keepdims=True) + 0.5) * _GAMMA,
    ),
    "RMSNorm tiny": (
        ("l", "RMSNorm", {"eps": 1e-60}),
        {"weight": _SCALE},
        1,
        lambda x: x / np.sqrt(np.square(x).mean(2, keepdims=True)) * _SCALE,
    ),
    "RMSNorm default": (
        ("l", "RMSNorm", {"eps": None}),
        {"weight": _SCALE},
        1,
        lambda x: (
            x / np.sqrt(np.square(x).mean(2, keepdims=True) + np.finfo(np.float32).eps) * _SCALE
        ),
    ),
    "LayerNorm": (
        ("l", "LayerNorm", {"eps": 0.5}),
        {"weight": _GAMMA, "bias": _BETA},
        1,
        lambda x: standardized(x, (1, 2), 0.5) * _GAMMA + _BETA,
    ),
    "LayerNorm no bias": (
        ("l", "LayerNorm", {"bias": False}),
        {"weight": _GAMMA},
        1,
        lambda x: standardized(x, (1, 2), 1e-5) * _GAMMA,
    ),
    "BatchNorm1d": (
        ("l", "BatchNorm1d", {"eps": 0.5}),
        {"weight": _A, "bias": _B, **_MOMENTS},
        1,
        lambda x: (
            (x - column(_M, 1)) / column(np.sqrt(_V + 0.5), 1) * column(_A, 1) + column(_B, 1)
        ),
    ),
    "BatchNorm2d": (
        ("l", "BatchNorm2d", {"affine": False}),
        _MOMENTS,
        2,
        lambda x: (x - column(_M, 2)) / column(np.sqrt(_V + 1e-5), 2),
    ),
    "PReLU": (
        ("l", "PReLU", {"num_parameters": 4}),
        {"weight": _A},
        2,
        lambda x: np.where(x < 0, column(_A, 2), 1) * x,
    ),
    "AdaptiveAvgPool1d": (
        ("AdaptiveAvgPool1d", {"output_size": 3}),
        {},
        1,
        lambda x: pooled(x, 2, 3, np.mean),
    ),
    "AdaptiveAvgPool1d to one": (
        ("AdaptiveAvgPool1d", {"output_size": 1}),
        {},
        1,
        lambda x: x.mean(2, keepdims=True),
    ),
    "AdaptiveMaxPool1d": ("AdaptiveMaxPool1d", {}, 1, lambda x: x.max(2, keepdims=True)),
    "AdaptiveAvgPool2d": (
        ("AdaptiveAvgPool2d", {"output_size": (5, 3)}),
        {},
        2,
        lambda x: pooled(x, 3, 3, np.mean),
    ),
    "AdaptiveMaxPool2d": (
        ("AdaptiveMaxPool2d", {"output_size": 4}),
        {},
        2,
        lambda x: pooled(pooled(x, 2, 4, np.max), 3, 4, np.max),
    ),
    "AdaptiveMaxPool2d one axis": (
        ("AdaptiveMaxPool2d", {"output_size": (None, 4)}),
        {},
        2,
        lambda x: pooled(x, 3, 4, np.max),
    ),
    "MaxPool1d": (
        ("MaxPool1d", {"kernel_size": (2,), "stride": 3}),
        {},
        1,
        lambda x: np.maximum(x[..., :4:3], x[..., 1:5:3]),
    ),
    "MaxPool1d gaps": (
        ("MaxPool1d", {"kernel_size": 2, "stride": 1, "dilation": 3}),
        {},
        1,
        lambda x: np.maximum(x[..., :-3], x[..., 3:]),
    ),
    "MaxPool1d padded": (
        ("MaxPool1d", {"kernel_size": 4, "stride": 2, "padding": 2}),
        {},
        1,
        lambda x: windowed(x, 4, 2, 2),
    ),
    "MaxPool2d": (("MaxPool2d", {"kernel_size": 2}), {}, 2, lambda x: twice(x, 2, 2)),
    "MaxPool2d cut off": (
        ("MaxPool2d", {"kernel_size": (2, 3), "stride": (2, 4), "ceil_mode": True}),
        {},
        2,
        lambda x: twice(x, 2, 2, second=(3, 4), ceil=True),
    ),
    "AvgPool1d": (
        ("AvgPool1d", {"kernel_size": 3, "stride": 2, "padding": 1}),
        {},
        1,
        lambda x: windowed(x, 3, 2, 1, mean=True),
    ),
    "AvgPool1d cut off": (
        ("AvgPool1d", {"kernel_size": 2, "ceil_mode": True, "padding": 1}),
        {},
        1,
        lambda x: windowed(x, 2, 2, 1, mean=True, ceil=True),
    ),
    "AvgPool2d": (
        ("AvgPool2d", {"kernel_size": (2, 3), "padding": (0, 1), "count_include_pad": False}),
        {},
        2,
        lambda x: windowed(
            windowed(x, 3, 3, 1, mean=True, counted=False).swapaxes(2, 3), 2, 2, mean=True
        ).swapaxes(2, 3),
    ),
    "mean": (("mean", {"dim": [1, -1]}), {}, 2, lambda x: x.mean((1, 3))),
    "max": (("max", {"dim": 2, "keepdim": True}), {}, 2, lambda x: x.max(2, keepdims=True)),
    "transpose": (("transpose", {"dim0": -1, "dim1": 1}), {}, 2, lambda x: x.swapaxes(-1, 1)),
    "Flatten": (("Flatten", {"start_dim": 2}), {}, 2, lambda x: x.reshape(2, 4, 30)),
    "Flatten all": (("Flatten", {}), {}, 2, lambda x: x.reshape(2, 120)),
    "sum": (("sum", {"dim": 1}), {}, 1, lambda x: x.sum(1)),
    "select": (("select", {"dim": 2, "index": 1}), {}, 2, lambda x: x[:, :, 1]),
    "select last": (("select", {"dim": -1, "index": -2}), {}, 2, lambda x: x[..., -2]),
    "unsqueeze": (("unsqueeze", {"dim": 2}), {}, 1, lambda x: x[:, :, None]),
    "unsqueeze last": (("unsqueeze", {"dim": -1}), {}, 1, lambda x: x[..., None]),
}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(np.exp(x) / np.exp(x).sum(axis, keepdims=True))


_SELU = 1.0507009873554805, 1.6732632423543772
# Activations by the formulas in PyTorch's documentation, with their options and without.
ACTIVATIONS: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "ReLU": [({"inplace": True}, lambda x: np.maximum(x, 0))],
    "ReLU6": [({}, lambda x: np.minimum(np.maximum(x, 0), 6))],
    "LeakyReLU": [
        ({}, lambda x: np.where(x > 0, x, 0.01 * x)),
        ({"negative_slope": 0.3}, lambda x: np.where(x > 0, x, 0.3 * x)),
    ],
    "ELU": [
        ({}, lambda x: np.where(x > 0, x, np.expm1(x))),
        ({"alpha": 0.5}, lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    ],
    "SELU": [({}, lambda x: _SELU[0] * np.where(x > 0, x, _SELU[1] * np.expm1(x)))],
    "CELU": [
        ({}, lambda x: np.where(x > 0, x, np.expm1(x))),
        ({"alpha": 0.5}, lambda x: np.where(x > 0, x, 0.5 * np.expm1(x / 0.5))),
    ],
    "SiLU": [({}, lambda x: x * sigmoid(x))],
    "Mish": [({}, lambda x: x * np.tanh(np.log1p(np.exp(x))))],
    "Softsign": [({}, lambda x: x / (1 + np.abs(x)))],
    "Softplus": [({}, lambda x: np.log1p(np.exp(x)))],
    "Tanh": [({}, np.tanh)],
    "Sigmoid": [({}, sigmoid)],
    "Hardsigmoid": [({}, lambda x: np.clip(x / 6 + 0.5, 0, 1))],
    "Hardswish": [({}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1))],
    "LogSigmoid": [({}, lambda x: np.log(sigmoid(x)))],
    "Tanhshrink": [({}, lambda x: x - np.tanh(x))],
    "GELU": [
        *(
            (o, lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))
            for o in ({}, {"approximate": "none"})
        ),
        (
            {"approximate": "tanh"},
            lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
    ],
    "Softmax": [
        ({}, lambda x: softmax(x, -1)),
        ({"dim": 1}, lambda x: softmax(x, 1)),
    ],
    "LogSoftmax": [
        ({}, lambda x: np.log(softmax(x, -1))),
        ({"dim": -2}, lambda x: np.log(softmax(x, -2))),
    ],
}


def test_every_layer_without_weights_is_computed() -> None:
    """A class that is in neither table has weights, or is drawn, or joins others."""
    here = {*ACTIVATIONS, *(name_of(entry) for entry, *_ in COMPUTED.values())}
    without = {name for name, row in description.LAYERS.items() if not row.weights}
    drawn = {"Dropout", "Dropout1d", "Dropout2d", "AlphaDropout"}
    assert without - here == {"Input", "Identity", "cat", "add", "mul", "squeeze", *drawn}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_pytorch(name: str) -> None:
    x = 4 * numbers(3, 5, 6)
    for options, function in ACTIVATIONS[name]:
        model = read({}, [("Input", {"shape": (5, 6)}), (name, options)])
        expected = function(x.astype(float))
        np.testing.assert_allclose(model.predict(x), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "shape", "together"),
    [
        ("Dropout", (4, 50), ()),
        ("Dropout1d", (4, 50), (1,)),
        ("Dropout2d", (4, 5, 6), (1, 2)),
    ],
)
@pytest.mark.parametrize("rate", [None, 0.25])
def test_channels_are_dropped_whole(
    name: str, shape: tuple[int, ...], together: tuple[int, ...], rate: float | None
) -> None:
    """Channels are the first axis of a row."""
    options = {} if rate is None else {"p": rate}
    model = read({}, [("Input", {"shape": shape}), ("drop", name, options)])
    x = np.ones((40, *shape), np.float32)
    np.testing.assert_array_equal(model.predict(x), x)
    samples: Any = model.mc_predict(x, 1, rng=0, keep_samples=True).samples
    (drawn,) = samples
    rate = 0.5 if rate is None else rate
    assert {*drawn.reshape(-1)} == {0, np.float32(1 / (1 - rate))}
    first = drawn[(..., *(slice(1),) * len(together))] if together else drawn
    assert (drawn == first).all()
    assert abs((first == 0).mean() - rate) < 5 * (rate * (1 - rate) / first.size) ** 0.5


@pytest.mark.parametrize(("options", "rate"), [({}, 0.5), ({"p": 0.1}, 0.1)], ids=["none", "p"])
def test_alpha_dropout_is_that_of_its_rate(options: Any, rate: float) -> None:
    model = read({}, [("Input", {"shape": (3,)}), ("drop", "AlphaDropout", options)])
    (layer,) = model.layers
    assert type(layer) is layers.AlphaDropout
    assert layer.rates() == {"rate": rate}


@pytest.mark.parametrize("name", COMPUTED)
def test_layers_compute_what_they_are_defined_as(name: str) -> None:
    """In any mode of NumPy for numbers out of range."""
    entry, tensors, axes, function = COMPUTED[name]
    x = numbers(2, 4, 5, 6)[(..., *(0,) * (2 - axes))]
    architecture = [("Input", {"shape": x.shape[1:]}), entry]
    with np.errstate(all="raise"):
        model = read({f"l.{key}": value for key, value in tensors.items()}, architecture)
    np.testing.assert_allclose(model.predict(x), function(x), rtol=2e-5, atol=2e-6)


def test_a_convolution_takes_the_batch_in_front() -> None:
    entries = [
        ("Input", {"shape": (3, 7)}),
        ("transpose", {"dim0": 0, "dim1": 1}),
        ("conv", "Conv1d", {"bias": False}),
    ]
    with pytest.raises(ModelFormatError, match="it takes the batch on axis 0, and finds it on 1"):
        read({"conv.weight": numbers(2, 3, 4)}, entries)


@pytest.mark.parametrize(
    ("padding", "before", "behind"),
    [("same", 1, 2), ("valid", 0, 0), (2, 2, 2)],
    ids=["same", "valid", "both"],
)
def test_convolutions_are_padded_as_told(padding: Any, before: int, behind: int) -> None:
    """Of an odd number of places that are lacking, one more stands behind."""
    kernel, x = numbers(2, 3, 4), numbers(2, 3, 7)
    tensors = {"conv.weight": kernel}
    model = read(tensors, [("conv", "Conv1d", {"bias": False, "padding": padding})])
    padded = np.pad(x, [(0, 0), (0, 0), (before, behind)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 4, axis=2)
    expected = np.einsum("nctk,fck->nft", windows, kernel)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "Conv1d": ((5, 3, 2), {}),
    "Conv1d spread": ((5, 3, 2), {"stride": 2, "padding": 1, "dilation": 2}),
    "Conv1d groups": ((4, 2, 3), {"groups": 2, "bias": False, "stride": (3,)}),
    "Conv2d": ((5, 3, 2, 3), {"padding": (1, 2), "stride": (2, 1), "dilation": (1, 2)}),
    "Conv2d groups": ((6, 1, 2, 2), {"groups": 3, "dilation": 2, "padding": 1, "bias": True}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_sums_over_windows(name: str) -> None:
    """Of channels that the weights alone tell, and of any lengths."""
    shape, options = CONVOLUTIONS[name]
    axes = len(shape) - 2
    kernel, bias = numbers(*shape), numbers(shape[0])
    tensors = {"conv.weight": kernel} | ({"conv.bias": bias} if options.get("bias", True) else {})

    def each(option: str, default: int) -> Any:
        found = options.get(option, default)
        return found * (axes // len(found)) if isinstance(found, tuple) else (found,) * axes

    stride, padding, dilation = each("stride", 1), each("padding", 0), each("dilation", 1)
    groups = options.get("groups", 1)
    model = read(tensors, [("conv", name.partition(" ")[0], options)])
    assert model.input_shape == (shape[1] * groups, *(None,) * axes)
    x = numbers(2, shape[1] * groups, 9, 8)[(..., *(0,) * (2 - axes))]
    padded = np.pad(x, [(0, 0), (0, 0), *((n, n) for n in padding)])
    extent = [(k - 1) * d + 1 for k, d in zip(shape[2:], dilation, strict=True)]
    found = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=range(2, 2 + axes))  # type: ignore[call-overload]
    found = found[(..., *(slice(None, None, n) for n in (*stride, *dilation)))]
    parts = zip(np.split(found, groups, 1), np.split(kernel, groups, 0), strict=True)
    over = [1, *range(2 + axes, 2 + 2 * axes)], [*range(1, 2 + axes)]
    expected = np.concatenate([np.tensordot(w, k, over) for w, k in parts], -1)
    expected = np.moveaxis(expected + (bias if "conv.bias" in tensors else 0), -1, 1)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)


TRANSPOSED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "ConvTranspose1d": ((3, 5, 2), {}),
    "ConvTranspose1d spread": (
        (3, 5, 4),
        {"stride": 3, "padding": 1, "output_padding": 2, "dilation": 2},
    ),
    "ConvTranspose1d groups": ((4, 2, 3), {"groups": 2, "bias": False, "stride": (2,)}),
    "ConvTranspose1d longer": ((3, 5, 1), {"stride": 3, "output_padding": 2}),
    "ConvTranspose2d": ((3, 5, 2, 3), {"padding": (1, 2), "stride": (2, 1), "dilation": (1, 2)}),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions_lay_places_over_windows(name: str) -> None:
    """Of channels that the weights alone tell, and of any lengths."""
    shape, options = TRANSPOSED[name]
    axes, groups = len(shape) - 2, options.get("groups", 1)

    def each(option: str, default: int) -> Any:
        found = options.get(option, default)
        return found * (axes // len(found)) if isinstance(found, tuple) else (found,) * axes

    kernel, bias = numbers(*shape), numbers(shape[1] * groups)
    tensors = {"c.weight": kernel} | ({"c.bias": bias} if options.get("bias", True) else {})
    model = read(tensors, [("c", name.split()[0], options)])
    assert model.input_shape == (shape[0], *(None,) * axes)
    x = numbers(2, shape[0], 5, 4)[(..., *(0,) * (2 - axes))]
    stride, padding, dilation = each("stride", 1), each("padding", 0), each("dilation", 1)
    covered = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(x.shape[2:], stride, dilation, shape[2:], strict=True)
    ]
    whole = np.zeros((2, len(bias), *(n + 9 for n in covered)))
    own, out = shape[0] // groups, shape[1]
    for place in np.ndindex(*x.shape[2:]):
        for tap in np.ndindex(*shape[2:]):
            at = tuple(np.multiply(place, stride) + np.multiply(tap, dilation))
            for g in range(groups):
                some = slice(g * own, (g + 1) * own)
                made = x[(slice(None), some, *place)] @ kernel[(some, slice(None), *tap)]
                whole[(slice(None), slice(g * out, (g + 1) * out), *at)] += made
    kept = [
        slice(p, n - p + m)
        for p, n, m in zip(padding, covered, each("output_padding", 0), strict=True)
    ]
    expected = whole[(slice(None), slice(None), *kept)]
    if "c.bias" in tensors:
        expected += bias.reshape(-1, *(1,) * axes)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)


def steps_of(kind: str, x: np.ndarray, w: dict[str, np.ndarray], end: str, act: Any) -> np.ndarray:
    """Return what a recurrent layer puts out, by the formulas in PyTorch's documentation."""
    hh, hr = w[f"weight_hh_{end}"], w.get(f"weight_hr_{end}")
    h, c = np.zeros((len(x), hh.shape[1])), np.zeros(1)
    found = []
    for step in x.swapaxes(0, 1)[:: -1 if end.endswith("reverse") else 1]:
        one = step @ w[f"weight_ih_{end}"].T + w.get(f"bias_ih_{end}", 0)
        two = h @ hh.T + w.get(f"bias_hh_{end}", 0)
        if kind == "LSTM":
            i, f, g, o = np.split(one + two, 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            h = h if hr is None else h @ hr.T
        elif kind == "GRU":
            reset, update, new = zip(np.split(one, 3, 1), np.split(two, 3, 1), strict=True)
            z = sigmoid(sum(update))
            h = (1 - z) * np.tanh(new[0] + sigmoid(sum(reset)) * new[1]) + z * h
        else:
            h = act(one + two)
        found.append(h)
    return np.stack(found[:: -1 if end.endswith("reverse") else 1], 1)


RECURRENT: dict[str, dict[str, Any]] = {
    "LSTM": {},
    "LSTM projected": {"proj_size": 2, "num_layers": 2, "bidirectional": True},
    "LSTM no bias": {"bias": False, "batch_first": True, "num_layers": 1, "proj_size": 0},
    "GRU": {"bidirectional": True, "bias": True},
    "GRU no bias": {"bias": False, "num_layers": 2, "bidirectional": False},
    "RNN": {"num_layers": 3},
    "RNN tanh": {"nonlinearity": "tanh", "bidirectional": True},
    "RNN relu": {"nonlinearity": "relu", "bias": False},
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_are_those_of_pytorch(name: str) -> None:
    """Whether or not it is told how many they are, and of which ends."""
    options = RECURRENT[name]
    kind = name.partition(" ")[0]
    units, count, size = 3, {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], options.get("proj_size", 0)
    ends = ["", "_reverse"] if options.get("bidirectional") else [""]
    x = numbers(2, 5, 4)
    expected, width = x, 4
    tensors: dict[str, Any] = {}
    act = np.tanh if options.get("nonlinearity") != "relu" else lambda v: np.maximum(v, 0)
    for level in range(options.get("num_layers", 1)):
        for end in (f"l{level}{end}" for end in ends):
            tensors[f"weight_ih_{end}"] = numbers(count * units, width)
            tensors[f"weight_hh_{end}"] = numbers(count * units, size or units)
            if options.get("bias", True):
                tensors |= {f"bias_{part}_{end}": numbers(count * units) for part in ("ih", "hh")}
            if size:
                tensors[f"weight_hr_{end}"] = numbers(size, units)
        expected = np.concatenate(
            [steps_of(kind, expected, tensors, f"l{level}{end}", act) for end in ends], -1
        )
        width = expected.shape[-1]
    whole = {f"r.{n}": values for n, values in tensors.items()}
    needed = {n: v for n, v in options.items() if n in ("bias", "nonlinearity")}
    halves = zip(np.split(expected, len(ends), -1), (-1, 0), strict=False)
    wanted = {
        "output": expected,
        "last": expected[:, -1],
        "h_n": np.concatenate([half[:, at] for half, at in halves], -1),
    }
    for told in (options, needed):
        for take, values in wanted.items():
            given = told if take == "output" else told | {"take": take}
            model = read(whole, [("r", kind, given)])
            assert model.input_shape == (None, 4)
            np.testing.assert_allclose(model.predict(x), values, rtol=1e-4, atol=1e-5)

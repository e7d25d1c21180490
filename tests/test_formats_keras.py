"""What Keras's files may hold beyond single layers: nested models, masks, custom classes, notes."""

import io
import json
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the files under test are written with h5py")

import h5py

import fastdrop as fd
from fastdrop import Call, Model
from fastdrop.formats import ModelFormatError
from fastdrop.formats._limits import Limits
from fastdrop.formats._safe_json import Section
from fastdrop.formats.keras import Asked, assemble
from fastdrop.formats.keras._records import Ref, _legacy_tensors
from fastdrop.formats.keras._version import NEWEST, Version, parse_version
from fastdrop.layers import LSTM, Dense, Dropout, Embedding, Merge, TimeDistributed
from keras_files import KerasFile, functional, input_layer, layer, numbers, sample, sequential
from layer_laws import KERAS_3, TF_KERAS, normal
from test_formats import as_keras_2_13, expected_sample, same

Config = dict[str, Any]


# ---- configurations, in the way of Keras 3 and of Keras 2 ----


def ref(name: str, node: int = 0, number: int = 0) -> Config:
    """A tensor in a call, as Keras 3 writes it."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": [name, node, number]},
    }


def call(*args: Any, **kwargs: Any) -> Config:
    return {"args": list(args), "kwargs": kwargs}


def node(class_name: str, name: str, *calls: Any, **config: Any) -> Config:
    """A layer of a functional model, and its calls."""
    entry = layer(class_name, name=name, **config)
    return entry | {"name": name, "inbound_nodes": list(calls)}


def inputs(name: str, *shape: int | None) -> Config:
    return node("InputLayer", name, batch_shape=[None, *shape], dtype="float32")


def graph(name: str, layers: list[Config], ins: Any, outs: Any, *calls: Any) -> Config:
    """A functional model; `calls` where it stands in another one."""
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {"name": name, "layers": layers, "input_layers": ins, "output_layers": outs},
        "registered_name": "Functional",
        "name": name,
        "inbound_nodes": list(calls),
    }


def chain(name: str, layers: list[Config], *calls: Any, **more: Any) -> Config:
    config = {"name": name, "layers": layers, **more}
    entry = {"module": "keras", "class_name": "Sequential", "config": config}
    return entry | {"name": name, "inbound_nodes": list(calls), "registered_name": None}


def built(config: Config, version: Version = KERAS_3, **asked: Any) -> Model:
    """A model of a configuration, its weights normal numbers that depend on their shape alone."""
    assembly = assemble(Section("config.json", config), version, Asked(Limits(), **asked))
    arrays = {
        record.key: {s.field: normal(*s.shape) for s in planned.stored}
        for record, planned in assembly.records()
    }
    return assembly.finish(arrays)


def obstacles(config: Config, version: Version = KERAS_3, **asked: Any) -> tuple[str, ...]:
    with pytest.raises(ModelFormatError) as caught:
        built(config, version, **asked)
    return caught.value.obstacles


def dense(name: str, count: int = 3, units: int = 3) -> Dense:
    return Dense(name=name, kernel=normal(count, units), bias=normal(units))


def agree(model: Model, expected: Model, *shapes: tuple[int, ...]) -> None:
    """Predictions and samples are the same, bit for bit."""
    x: Any = [normal(4, *shape, seed=i) for i, shape in enumerate(shapes)]
    x = x if len(x) > 1 else x[0]
    got, wanted = model.predict(x), expected.predict(x)
    pairs = zip(got, wanted, strict=True) if isinstance(wanted, list) else [(got, wanted)]
    for y, e in pairs:
        assert np.array_equal(y, e)
    if expected.stochastic:
        options: dict[str, Any] = {"samples": 3, "rng": 1, "keep_samples": True}
        p, q = (m.mc_predict(x, **options) for m in (model, expected))
        assert np.array_equal(p.samples, q.samples)


# ---- models within models ----


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_inner_model_used_twice(first: int, order: tuple[int, int]) -> None:
    """Keras counts the call by which it was made, or does not; which is seen by the numbers."""
    inner = graph(
        "inner",
        [
            inputs("i", 3),
            node("Dropout", "drop", call(ref("i")), rate=0.5),
            node("Dense", "d", call(ref("drop")), units=3),
        ],
        [["i", 0, 0]],
        [["d", 0, 0]],
        call(ref("a")),
        call(ref("b")),
    )
    uses = [ref("inner", first + k) for k in order]
    model = built(
        graph(
            "outer",
            [inputs("a", 3), inputs("b", 3), inner, node("Subtract", "s", call(uses))],
            [["a", 0, 0], ["b", 0, 0]],
            ["s", 0, 0],
        )
    )
    drop, d = Dropout(name="drop", rate=0.5), dense("d")
    names = ["u", "v"]
    expected = Model(
        [
            Call(drop, "a", "da"),
            Call(d, "da", "u"),
            Call(drop, "b", "db"),
            Call(d, "db", "v"),
            Call(Merge(name="s", function="subtract"), [names[k] for k in order]),
        ],
        {"a": (3,), "b": (3,)},
    )
    agree(model, expected, (3,), (3,))
    assert len(model.layers) == 3  # the weights are there once
    assert model.input_names == ("a", "b")


def test_inner_models_of_keras_2() -> None:
    """Nodes are lists, and the number skips the call that Keras does not list."""
    inner = {
        "class_name": "Functional",
        "name": "inner",
        "config": {
            "name": "inner",
            "layers": [
                node("InputLayer", "i", batch_input_shape=[None, 3]) | {"inbound_nodes": []},
                node("Dense", "d", units=3) | {"inbound_nodes": [[["i", 0, 0, {}]]]},
                node("Dense", "e", units=2) | {"inbound_nodes": [[["i", 0, 0, {}]]]},
            ],
            "input_layers": [["i", 0, 0]],
            "output_layers": [["e", 0, 0], ["d", 0, 0]],
        },
        "inbound_nodes": [[["x", 0, 0, {}]], [["inner", 1, 1, {}]]],
    }
    config = graph(
        "outer",
        [node("InputLayer", "x", batch_input_shape=[None, 3]) | {"inbound_nodes": []}, inner],
        [["x", 0, 0]],
        [["inner", 2, 0], ["inner", 1, 1]],
    )
    model = built(config, TF_KERAS)
    d, e = dense("d"), dense("e", 3, 2)
    expected = Model([Call(d, "x"), Call(e, "d")], {"x": (3,)}, outputs=["e", "d"])
    agree(model, expected, (3,))
    config["config"]["output_layers"] = [["inner", 3, 0]]
    assert "there is no such call" in obstacles(config, TF_KERAS)[0]
    config["config"]["output_layers"] = [["inner", 1, 2]]
    assert "there is no such output" in obstacles(config, TF_KERAS)[0]


@pytest.mark.parametrize("functional", [True, False])
def test_inner_models_of_keras_3_whose_outputs_are_put_out(functional: bool) -> None:
    """Among outputs the number skips the call that Keras does not list, but not of Sequentials."""
    d = node("Dense", "d", call(ref("i")), units=3)
    uses = [call(ref("x")), call(ref("inner"))]
    if functional:
        inner = graph("inner", [inputs("i", 3), d], [["i", 0, 0]], [["d", 0, 0]], *uses)
    else:
        inner = chain("inner", [layer("Dense", name="d", units=3)], *uses)
    subtract = node("Subtract", "s", call([ref("inner", 0), ref("inner", 1)]))
    first = 1 if functional else 0
    config = graph(
        "outer",
        [inputs("x", 3), inner, subtract],
        [["x", 0, 0]],
        [["inner", first, 0], ["inner", first + 1, 0], ["s", 0, 0]],
    )
    calls = [
        Call(dense("d"), "x", "u"),
        Call(dense("d"), "u", "v"),
        Call(Merge(name="s", function="subtract"), ["u", "v"]),
    ]
    agree(built(config), Model(calls, {"x": (3,)}, outputs=["u", "v", "s"]), (3,))


def test_a_chain_in_a_graph_and_three_levels() -> None:
    deepest = graph(
        "deepest",
        [inputs("z", 3), node("Dense", "d", call(ref("z")), units=3)],
        ["z", 0, 0],
        ["d", 0, 0],
    )
    del deepest["inbound_nodes"]
    middle = chain("middle", [deepest, layer("Dropout", name="drop", rate=0.5)], call(ref("x")))
    outer = graph(
        "outer",
        [inputs("x", 3), middle, node("Dense", "e", call(ref("middle")), units=2)],
        ["x", 0, 0],
        ["e", 0, 0],
    )
    expected = Model([dense("d"), Dropout(name="drop", rate=0.5), dense("e", 3, 2)], (3,))
    agree(built(outer), expected, (3,))
    # The graph in a chain that tells no shape: that of the innermost input counts.
    whole = chain("whole", [middle | {"inbound_nodes": None}])
    for entry in whole["config"]["layers"]:
        del entry["inbound_nodes"]
    agree(built(whole), Model(expected.layers[:2], (3,)), (3,))


def test_models_deeper_than_allowed() -> None:
    config = chain("m0", [layer("Dense", name="d", units=3)], build_input_shape=[None, 3])
    for i in range(16):
        del config["inbound_nodes"]
        config = chain(f"m{i + 1}", [config], build_input_shape=[None, 3])
    agree(built(config), Model([dense("d")], (3,)), (3,))
    del config["inbound_nodes"]
    config = chain("m17", [config], build_input_shape=[None, 3])
    assert "models within models deeper than 16" in " ".join(obstacles(config))


def within(entry: Config, **more: Any) -> Config:
    """A model of one layer, as the only layer of another model."""
    inner = chain("inner", [entry]) | more
    del inner["inbound_nodes"]
    return chain("outer", [inner], build_input_shape=[None, 3])


def test_layers_of_inner_models_are_told_by_both_names() -> None:
    with pytest.raises(ModelFormatError) as caught:
        built(within(layer("Dense", name="d", units=0)))
    start = "layer 'inner': layer 'd' (Dense): units: expected a positive integer"
    assert caught.value.obstacles[0].startswith(start)
    assert caught.value.summary is not None
    assert [each.name for each in caught.value.summary.layers] == ["inner/d"]


@pytest.mark.parametrize("class_name", ["Sequential", "Functional", "Model"])
def test_inner_models_of_others(class_name: str) -> None:
    config = within(layer("Dense", units=3), class_name=class_name, module="mine")
    assert f"class '{class_name}' is not a part of Keras (module 'mine')" in obstacles(config)[0]


@pytest.mark.parametrize(
    ("module", "known"),
    [
        ("keras.layers", True),
        ("keras.src.layers.core.dense", True),
        ("tf_keras.layers", True),
        ("tensorflow.python.keras.layers.core", True),
        ("keras_nlp.layers", False),
        ("tensorflow_addons.layers", False),
        ("mine.keras.layers", False),
    ],
)
def test_modules_of_keras(module: str, known: bool) -> None:
    config = chain(
        "c", [layer("Dense", name="d", units=3) | {"module": module}], build_input_shape=[None, 3]
    )
    if known:
        agree(built(config), Model([dense("d")], (3,)), (3,))
    else:
        assert f"is not a part of Keras (module '{module}')" in obstacles(config)[0]


def test_sequential_models_that_are_lists() -> None:
    """As Keras up to 2.2.2 wrote them."""
    entry = layer("Dense", name="d", units=3, batch_input_shape=[None, 3])
    model = built({"class_name": "Sequential", "config": [entry]}, Version(2, 2))
    agree(model, Model([dense("d")], (3,)), (3,))


def test_the_shape_that_the_first_layer_was_built_for() -> None:
    entry = layer("Dense", name="d", units=2)
    entry["build_config"] = {"input_shape": [None, 5, 3]}
    assert built(chain("c", [entry])).input_shape == (5, 3)


@pytest.mark.parametrize("rank", [1, 8, 9])
def test_axes_of_an_input(rank: int) -> None:
    config = chain(
        "c", [layer("Activation", activation="relu")], build_input_shape=[None] + [2] * (rank - 1)
    )
    if rank <= 8:
        assert built(config).input_shape == (2,) * (rank - 1)
    else:
        assert "expected an input of 1 to 8 axes" in obstacles(config)[0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_at_every_step(count: int) -> None:
    """Its layers are each at every step; once or twice within each other."""
    inner = chain(
        "inner", [layer("Dropout", name="drop", rate=0.5), layer("Dense", name="d", units=2)]
    )
    del inner["inbound_nodes"]
    inner["config"]["layers"].insert(0, input_layer([3], "float32"))
    expected: list[Any] = [Dropout(name="drop", rate=0.5), dense("d", 3, 2)]
    for i in range(count):
        wrapped = layer("TimeDistributed", name=f"t{i}", layer=inner)
        inner = chain(f"c{i}", [wrapped], build_input_shape=[None, *[4] * (i + 1), 3])
        expected = [TimeDistributed(name=e.name, layer=e) for e in expected]
    model = built(inner)
    agree(model, Model(expected, (*[4] * count, 3)), (*[4] * count, 3))
    assert sorted(layer.name for layer in model.layers if layer.weights()) == ["d"]


def test_steps_of_what_has_no_axes() -> None:
    entry = layer("TimeDistributed", name="t", layer=layer("Dense", name="d", units=2))
    (only,) = obstacles(chain("c", [entry], build_input_shape=[None]))
    assert only.endswith("layer 't' (TimeDistributed): expected an input (time, ...), gets ()")


def test_a_model_at_the_steps_of_steps() -> None:
    inner = chain("inner", [layer("Dense", name="d", units=2)], build_input_shape=[None, 3])
    for name in ("t", "u"):
        inner = layer("TimeDistributed", name=name, layer=inner)
    (only,) = obstacles(chain("c", [inner], build_input_shape=[None, 5, 4, 3]))
    assert only.startswith("layer 'u' (TimeDistributed): a model at the steps of steps is not")


def test_tensors_in_keywords_of_keras_2() -> None:
    """A list of a name and two numbers, maybe with keywords behind, in lists or not."""
    for more in ([], [{}], [{"training": True}]):
        one, two = ["a", 0, 1, *more], ["b", 2, 0, *more]
        assert _legacy_tensors(one) == Ref("a", 0, 1)
        assert _legacy_tensors([one, [two]]) == [Ref("a", 0, 1), [Ref("b", 2, 0)]]
    for other in (["a", 0], ["a", 0, 1, {}, 2], [1, 0, 1], ["a", 0, "b"], ["a", True, 0], "a", 1):
        assert not isinstance(_legacy_tensors(other), Ref)
        assert _legacy_tensors(other) == other


@pytest.mark.parametrize("keywords", [[], [{}]], ids=["three", "four"])
def test_inputs_that_keras_2_wrote_in_lists(keywords: list[Config]) -> None:
    """As it did for what a layer was given in a list in a list."""
    both = [["a", 0, 0, *keywords], ["b", 0, 0, *keywords]]
    ins = [node("InputLayer", n, batch_input_shape=[None, 3], inbound_nodes=[]) for n in "ab"]
    add = node("Add", "s") | {"inbound_nodes": [[both]]}
    for entry in ins:
        entry["inbound_nodes"] = []
        del entry["config"]["inbound_nodes"]
    config = graph("g", [*ins, add], [["a", 0, 0], ["b", 0, 0]], [["s", 0, 0]])
    expected = Model([Call(Merge(name="s", function="add"), ["a", "b"])], {"a": (3,), "b": (3,)})
    agree(built(config, TF_KERAS), expected, (3,), (3,))


def test_a_mask_goes_past_a_model_at_every_step() -> None:
    inner = chain("inner", [input_layer([3], "float32"), layer("Dense", name="d", units=3)])
    del inner["inbound_nodes"]
    config = chain(
        "outer",
        [
            layer("Masking", name="m"),
            layer("TimeDistributed", name="t", layer=inner),
            layer("LSTM", name="l", units=2),
        ],
        build_input_shape=[None, None, 3],
    )
    model = built(config)
    x = normal(2, 4, 3)
    padded = np.concatenate([x, np.zeros((2, 3, 3), "f4")], axis=1)
    assert np.array_equal(model.predict(x), model.predict(padded))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda g: g["layers"][1].update(inbound_nodes=[call(ref("nowhere"))]), "no such layer"),
        (lambda g: g["layers"][1].update(inbound_nodes=[call(ref("x"), ref("x"))]), "2"),
        (lambda g: g["layers"][1].update(inbound_nodes=[call()]), "expected 1 inputs, found 0"),
        (lambda g: g["layers"][1].update(inbound_nodes=[call(ref("in"))]), "waits for what it"),
        (
            lambda g: (
                g["layers"][1].update(inbound_nodes=[call(ref("in"))]),
                g["layers"][1]["config"].update(output_layers=["i", 0, 0]),
            ),
            "waits for what it",
        ),
        (lambda g: g.update(output_layers=["in", 1, 1]), "there is no such output"),
        (lambda g: g.update(output_layers=["in", 0, 0]), "there is no such call"),
        (lambda g: g.update(output_layers=["in", 2, 0]), "there is no such call"),
        (lambda g: g.update(output_layers=["d", 0, 1]), "no tensor 'd:1' to put out"),
        (lambda g: g.update(output_layers=[]), "output_layers: expected one or more, found none"),
        (lambda g: g.update(input_layers=["d", 0, 0]), "'d' is not an input layer"),
        (lambda g: g.update(input_layers=["x", 0]), "expected [layer, node, tensor]"),
        (lambda g: g.update(input_layers=["x", -1, 0]), "expected [layer, node, tensor]"),
        (lambda g: g.update(output_layers=["d", False, 0]), "expected [layer, node, tensor]"),
        (
            lambda g: g["layers"][2].update(inbound_nodes=[call(ref("in")) | {"more": 1}]),
            "call: unsupported option 'more': 1",
        ),
    ],
)
def test_graphs_that_are_refused(wrong: Any, message: str) -> None:
    inner = graph(
        "in",
        [inputs("i", 3), node("Dense", "e", call(ref("i")), units=3)],
        ["i", 0, 0],
        ["e", 0, 0],
    )
    config = graph(
        "outer",
        [
            inputs("x", 3),
            inner | {"inbound_nodes": [call(ref("x"))]},
            node("Dense", "d", call(ref("in")), units=3),
        ],
        ["x", 0, 0],
        ["d", 0, 0],
    )
    wrong(config["config"])
    assert message in " ".join(obstacles(config))


def test_ends_of_a_graph() -> None:
    """One, a list of one, several, or by name; lists of lists are flat."""
    layers = [
        inputs("a", 3),
        inputs("b", 3),
        node("Dense", "d", call(ref("a")), units=3),
        node("Dense", "e", call(ref("b")), units=3),
    ]
    x = [normal(2, 3), normal(2, 3, seed=1)]
    d, e = (Model([dense("d")], (3,)).predict(v) for v in x)
    ins = [["a", 0, 0], ["b", 0, 0]]
    for outs, expected in (
        ([["d", 0, 0], ["e", 0, 0]], [d, e]),
        ([[["e", 0, 0]], [["d", 0, 0]]], [e, d]),
        ([["e", 0, 0]], e),
        (["e", 0, 0], e),
        ({"y": ["e", 0, 0], "z": ["d", 0, 0]}, {"y": e, "z": d}),
        ({"y": ["d", 0, 0]}, {"y": d}),
    ):
        got = built(graph("g", layers, ins, outs)).predict(x)
        assert type(got) is type(expected)
        if isinstance(expected, dict):
            assert [*got] == [*expected]
            got, expected = [*got.values()], [*expected.values()]
        assert np.array_equal(got, expected)
    # The order of the inputs is that of the list, not that of the layers.
    swapped = built(graph("g", layers, ins[::-1], ["e", 0, 0]))
    assert swapped.input_names == ("b", "a")
    assert np.array_equal(swapped.predict([x[1], x[0]]), e)


@pytest.mark.parametrize("order", ["pq", "qp"])
@pytest.mark.parametrize("own", ["pq", "qp"])
@pytest.mark.parametrize("mask", [None, {"p": None, "q": None}, [None, None]])
def test_dicts_of_inner_models_are_taken_in_the_order_of_their_keys(
    order: str, own: str, mask: Any
) -> None:
    inner = graph(
        "inner",
        [
            inputs("i", 3),
            inputs("j", 3),
            node("Dense", "d", call(ref("i")), units=3),
            node("Dense", "e", call(ref("j")), units=2),
        ],
        {key: [{"p": "i", "q": "j"}[key], 0, 0] for key in own},
        {key: [{"p": "d", "q": "e"}[key], 0, 0] for key in own},
        call({key: ref({"p": "a", "q": "b"}[key]) for key in order}, mask=mask),
    )
    ends = [["inner", 1, 0], ["inner", 1, 1]]
    config = graph(
        "outer", [inputs("a", 3), inputs("b", 3), inner], [["a", 0, 0], ["b", 0, 0]], ends
    )
    calls = [Call(dense("d"), "a", "u"), Call(dense("e", units=2), "b", "v")]
    expected = Model(calls, {"a": (3,), "b": (3,)}, outputs=["u", "v"])
    agree(built(config), expected, (3,), (3,))


def test_dicts_that_are_refused() -> None:
    layers = [inputs("a", 3), node("Dense", "d", call(ref("a")), units=3)]
    (only,) = obstacles(graph("g", layers, {"d": ["a", 0, 0]}, ["d", 0, 0]))
    assert "input_layers: 'd' is the input layer 'a', and another layer bears that name" in only
    assert built(graph("g", layers, {"b": ["a", 0, 0]}, ["d", 0, 0])).input_names == ("b",)
    assert built(graph("g", layers, {"a": ["a", 0, 0]}, ["d", 0, 0])).input_names == ("a",)
    inner = graph("inner", layers, ["a", 0, 0], ["d", 0, 0], call({"a": ref("x")}))
    config = graph("outer", [inputs("x", 3), inner], ["x", 0, 0], ["inner", 1, 0])
    assert "layer 'inner' (Functional): called with a dict of inputs" in obstacles(config)[0]
    inner = graph("inner", layers, ["a", 0, 0], ["d", 0, 0], {"a": ["x", 0, 0, {}]})
    config = graph("outer", [inputs("x", 3), inner], ["x", 0, 0], ["inner", 1, 0])
    assert "call: inputs in a dict, which Keras 2 writes by name" in obstacles(config, TF_KERAS)[0]


# ---- masks in calls ----


def masked(mask: list[Config], given: str | None, mask_zero: bool = True) -> Config:
    """Words, and a recurrent layer that is given a mask."""
    kwargs = {} if given is None else {"mask": ref(given)}
    return graph(
        "g",
        [
            inputs("w", None),
            node("Embedding", "e", call(ref("w")), input_dim=5, output_dim=3, mask_zero=mask_zero),
            *mask,
            node("LSTM", "l", call(ref("e"), **kwargs), units=2),
        ],
        ["w", 0, 0],
        ["l", 0, 0],
    )


def operation(class_name: str, name: str, *calls: Any, **config: Any) -> Config:
    entry = node(class_name, name, *calls)
    entry["module"] = "keras.src.ops.numpy"
    entry["config"] = {"name": name, **config}
    return entry


NOT_EQUAL = operation("NotEqual", "not_equal", call(ref("w"), 0))
TOKENS = np.array([[1, 0, 2, 0], [3, 4, 0, 1]])


def kinds(model: Model) -> list[str]:
    return [type(step.layer).__name__ for step in model.graph.steps]


def test_a_mask_that_comes_anyway_is_left_out() -> None:
    plain = built(masked([], None))
    again = built(masked([NOT_EQUAL], "not_equal"))
    assert kinds(again) == kinds(plain) == ["Embedding", "LSTM"]
    assert np.array_equal(again.predict(TOKENS), plain.predict(TOKENS))


def test_a_mask_that_comes_through_a_layer_with_states_is_left_out() -> None:
    """The states have none, and it is that of the sequence that goes on."""
    gru = node("GRU", "r", call(ref("e"), initial_state=ref("h")), units=2, return_sequences=True)
    config = masked([inputs("h", 2), NOT_EQUAL, gru], "not_equal")
    config["config"]["layers"][-1]["inbound_nodes"][0]["args"] = [ref("r")]
    config["config"]["input_layers"] = [["w", 0, 0], ["h", 0, 0]]
    assert kinds(built(config)) == ["Embedding", "GRU", "LSTM"]


@pytest.mark.parametrize("value", [1, 0])
def test_another_mask_is_used(value: int) -> None:
    """One that is not the embedding's, or where that makes none."""
    compared = operation("NotEqual", "other", call(ref("w"), value))
    model = built(masked([compared], "other", mask_zero=value != 0))
    assert kinds(model) == ["Embedding", "Elementwise", "WithMask", "LSTM"]
    e, lstm = model.layers[0], model.layers[-1]
    assert isinstance(e, Embedding)
    assert isinstance(lstm, LSTM)
    expected = fd.lstm(
        e.table[TOKENS], lstm.kernel, lstm.recurrent_kernel, lstm.bias, mask=value != TOKENS
    )
    assert np.array_equal(model.predict(TOKENS), expected)


def test_a_mask_of_masking() -> None:
    """Keras spells it out as any(not_equal(x, value), axis=-1)."""

    def config(value: float, axis: int = -1) -> Config:
        compared = operation("NotEqual", "n", call(ref("x"), value))
        anywhere = operation("Any", "a", call(ref("n")), axis=[axis], keepdims=False)
        return graph(
            "g",
            [
                inputs("x", 4, 3),
                node("Masking", "m", call(ref("x")), mask_value=2.0),
                compared,
                anywhere,
                node("LSTM", "l", call(ref("m"), mask=ref("a")), units=2),
            ],
            ["x", 0, 0],
            ["l", 0, 0],
        )

    assert kinds(built(config(2.0))) == ["Masking", "LSTM"]
    assert "WithMask" in kinds(built(config(3.0)))
    (only,) = obstacles(config(2.0, axis=1))
    assert "a mask of shape (3,) for an input of (4, 3)" in only


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (operation("NotEqual", "n", call(ref("e"), 0)), "a mask of shape (None, 3) for an input"),
        (operation("Max", "n", call(ref("e")), axis=-1), "a mask made by 'n'"),
        (operation("Max", "n", call(ref("e")), axis=[1, 2]), "a mask of shape () for an input of"),
    ],
)
def test_masks_that_are_refused(mask: Config, message: str) -> None:
    assert message in " ".join(obstacles(masked([mask], "n")))


@pytest.mark.parametrize("compared", [[ref("w"), "0"], [0, 0], [ref("w"), None], [ref("w")]])
def test_comparisons_of_no_numbers(compared: list[Any]) -> None:
    config = masked([operation("NotEqual", "not_equal", call(*compared))], "not_equal")
    assert "layer 'not_equal' (NotEqual): " in obstacles(config)[0]


def test_a_comparison_with_false_is_one_with_0() -> None:
    """That is what Keras computes; so it is the mask of the embedding."""
    compared = operation("NotEqual", "not_equal", call(ref("w"), False))
    assert kinds(built(masked([compared], "not_equal"))) == ["Embedding", "LSTM"]
    compared = operation("NotEqual", "not_equal", call(ref("w"), True))
    assert "WithMask" in kinds(built(masked([compared], "not_equal")))


def given_to_a_model(mask: Any, *more: Config, kind: str = "LSTM") -> Config:
    """A mask that an inner model is given, and what else reads the tensor."""
    within = node(kind, "l", call(ref("i")), units=2)
    inner = graph("inner", [inputs("i", 4, 3), within], ["i", 0, 0], ["l", 0, 0])
    inner["inbound_nodes"] = [call(ref("x"), mask=mask)]
    kept = node("InputLayer", "k", batch_shape=[None, 4], dtype="bool")
    ends = [["inner", 1, 0], *([entry["name"], 0, 0] for entry in more)]
    ins = [["x", 0, 0], ["k", 0, 0]]
    return graph("outer", [inputs("x", 4, 3), kept, inner, *more], ins, ends)


@pytest.mark.parametrize("mask", [ref("k"), [ref("k")], {"i": ref("k")}])
def test_a_mask_that_an_inner_model_is_given(mask: Any) -> None:
    model = built(given_to_a_model(mask))
    x, kept = normal(2, 4, 3), np.array([[1, 1, 0, 0], [1, 0, 1, 1]], bool)
    lstm = model.layers[-1]
    assert isinstance(lstm, LSTM)
    expected = fd.lstm(x, lstm.kernel, lstm.recurrent_kernel, lstm.bias, mask=kept)
    assert np.array_equal(model.predict([x, kept]), expected)


def test_masks_of_inner_models_that_are_refused() -> None:
    reader = node("LSTM", "m", call(ref("x")), units=2)
    (only,) = obstacles(given_to_a_model(ref("k"), reader))
    assert only.startswith("layer 'inner' (Functional): mask: the model is given one with a tensor")
    for mask in ([ref("k"), None], {"i": ref("k"), "j": None}, [[ref("k")]], [True]):
        (only,) = obstacles(given_to_a_model(mask))
        assert only == "layer 'inner' (Functional): mask: expected one for each input of the model"


# ---- training, fixed in a call ----


@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS, Version(2, 2)])
@pytest.mark.parametrize("training", [True, False, None])
@pytest.mark.parametrize("trainable", [True, False])
def test_normalization_by_the_batch_is_said(
    version: Version, training: bool | None, trainable: bool
) -> None:
    """TensorFlow's Keras 2 does not do it where the layer is frozen."""
    bn = node("BatchNormalization", "bn", call(ref("x"), training=training), trainable=trainable)
    model = built(graph("g", [inputs("x", 3), bn], ["x", 0, 0], ["bn", 0, 0]), version)
    if training and version.legacy and (trainable or not version.tensorflow):
        assert model.notes == (
            "layer 'bn' (BatchNormalization): called with training=True, so Keras 2 normalizes by "
            "the batch; here it takes the moments in the file",
        )
    else:
        assert model.notes == ()


@pytest.mark.parametrize("training", [True, False, 1, 0, None])
@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS, Version(2, 2)])
def test_training_in_a_call(version: Version, training: Any) -> None:
    config = graph(
        "g",
        [inputs("x", 3), node("Dropout", "d", call(ref("x"), training=training), rate=0.5)],
        ["x", 0, 0],
        ["d", 0, 0],
    )
    model = built(config, version)
    fixed = version.legacy and training is not None
    assert model.stochastic is (not fixed or bool(training))
    assert len(model.notes) == fixed
    if fixed:
        said = "always; here mc_predict does" if training else "its dropout is always off"
        assert said in model.notes[0]
    x = normal(2, 3)
    assert np.array_equal(model.predict(x), x)


@pytest.mark.parametrize("version", [KERAS_3, TF_KERAS])
@pytest.mark.parametrize("kind", [graph, chain, "steps"])
@pytest.mark.parametrize("outermost", [None, False, True])
@pytest.mark.parametrize("outer", [None, False, True])
@pytest.mark.parametrize("own", [None, False, True])
def test_training_in_calls_of_models(
    version: Version, kind: Any, outermost: bool | None, outer: bool | None, own: bool | None
) -> None:
    """In Keras 2 the innermost call that says it decides, in Keras 3 none."""
    drop = node("Dropout", "drop", call(ref("i"), training=own), rate=0.5)
    inner = graph("inner", [inputs("i", 3), drop], ["i", 0, 0], ["drop", 0, 0])
    inner["inbound_nodes"] = [call(ref("m"), training=outer)]
    layers = [inputs("m", 3), inner]
    uses, shape = [call(ref("x"), training=outermost)], (3,)
    if kind is graph:
        middle = graph("middle", layers, ["m", 0, 0], ["inner", 1, 0], *uses)
    elif kind is chain:
        outer = None  # it calls its layers with nothing
        middle = chain("middle", [inner | {"inbound_nodes": None}], *uses)
        del middle["config"]["layers"][0]["inbound_nodes"]
    else:
        within = graph("within", layers, ["m", 0, 0], ["inner", 1, 0])
        del within["inbound_nodes"]
        middle = node("TimeDistributed", "middle", *uses, layer=within)
        shape = (4, 3)
    first = 1 if kind is graph or (version.legacy and kind is chain) else 0
    model = built(
        graph("outer", [inputs("x", *shape), middle], ["x", 0, 0], ["middle", first, 0]), version
    )
    said = [training for training in (own, outer, outermost) if training is not None]
    decides = said[0] if said and version.legacy else None
    assert model.stochastic is (decides is not False)
    assert len(model.notes) == (decides is not None)
    if decides is not None:
        assert "layer 'drop' (Dropout): called with training=" + str(decides) in model.notes[0]


def test_arguments_of_calls_of_models_that_are_refused() -> None:
    d = node("Dense", "d", call(ref("i")), units=3)
    inner = graph("inner", [inputs("i", 3), d], ["i", 0, 0], ["d", 0, 0])
    inner["inbound_nodes"] = [call(ref("x"), more=ref("x"))]
    config = graph("outer", [inputs("x", 3), inner], ["x", 0, 0], ["inner", 1, 0])
    (only,) = obstacles(config)
    assert only == "layer 'inner' (Functional): unsupported argument 'more' of its call"


def test_training_of_what_draws_nothing_is_not_said() -> None:
    for name, config in (("Dense", {"units": 3}), ("Activation", {"activation": "tanh"})):
        entry = node(name, "d", call(ref("x"), training=True), **config)
        model = built(graph("g", [inputs("x", 3), entry], ["x", 0, 0], ["d", 0, 0]), TF_KERAS)
        assert model.notes == ()


@pytest.mark.parametrize("class_name", ["LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "RNN"])
def test_a_state_that_is_not_kept_is_said(class_name: str) -> None:
    options = {"cell": layer("GRUCell", units=2)} if class_name == "RNN" else {"units": 2}
    for stateful in (True, False):
        entry = layer(class_name, name="l", stateful=stateful, **options)
        notes = built(chain("c", [entry], build_input_shape=[None, 5, 3]), TF_KERAS).notes
        assert ["stateful; here each call starts from zeros" in note for note in notes] == (
            [True] * stateful
        )


def test_how_early_versions_masked_what_a_gru_carries_on_is_said() -> None:
    for version, said in ((Version(2, 2, True), True), (Version(2, 3), True), (TF_KERAS, False)):
        entry = layer("GRU", name="g", units=2, recurrent_dropout=0.5, reset_after=True)
        notes = built(chain("c", [entry], build_input_shape=[None, 5, 3]), version).notes
        assert ["a Keras 2 before TensorFlow 2.2" in note for note in notes] == [True] * said


@pytest.mark.parametrize("class_name", ["LSTM", "Bidirectional"])
def test_arguments_of_recurrent_layers_that_are_refused(class_name: str) -> None:
    options: Config = {"units": 2}
    if class_name == "Bidirectional":
        options = {"layer": layer("LSTM", units=2)}
    for given, message in (
        (call(ref("x"), constants=[ref("x")]), "unsupported argument 'constants' of its call"),
        (call(), "expected an input, found none"),
    ):
        config = graph(
            "g",
            [inputs("x", 5, 3), node(class_name, "l", given, **options)],
            ["x", 0, 0],
            ["l", 0, 0],
        )
        assert f"layer 'l' ({class_name}): {message}" in obstacles(config)


def of_type(dtype: str, *layers: Config) -> Config:
    first = inputs("x", 5, 3)
    first["config"]["dtype"] = dtype
    return graph("g", [first, *layers], ["x", 0, 0], [layers[-1]["name"], 0, 0])


@pytest.mark.parametrize("dtype", [f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)])
def test_inputs_of_every_whole_type(dtype: str) -> None:
    table = node("Embedding", "e", call(ref("x")), input_dim=15, output_dim=2)
    x = np.arange(15, dtype=dtype).reshape(1, 5, 3)
    np.testing.assert_array_equal(built(of_type(dtype, table)).predict(x), normal(15, 2)[x])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_numbers_of_few_bits_that_begin_anew(dtype: str) -> None:
    """200 + 200 is 144 in Keras."""
    twice = node("Add", "l", call([ref("x"), ref("x")]))
    (only,) = obstacles(of_type(dtype, twice))
    assert only.startswith("layer 'l' (Add): numbers of 8 and 16 bits, which begin anew")
    built(of_type("int32", twice))
    built(of_type("float32", twice))
    # Rescaling computes in a floating-point type, and so does what has a number of one.
    built(of_type(dtype, node("Rescaling", "l", call(ref("x")), scale=0.5)))
    minus = node("Subtract", "l", call(ref("x"), 127.5))
    built(of_type(dtype, minus | {"module": "keras.src.ops.numpy", "registered_name": "Subtract"}))


def function(class_name: str, *args: Any, **options: Any) -> Config:
    """Return a call of one of Keras's functions, whose configuration has its arguments alone."""
    entry = node(class_name, "l", call(*args)) | {"module": "keras.ops", "registered_name": None}
    return entry | {"config": {"name": "l", **options}}


def test_functions_that_keep_the_type_of_their_input() -> None:
    """Half of a whole number is none, and between truths there is no difference but whether."""
    half, one = (function("FullLike", ref("x"), number) for number in (0.5, 1))
    of_float = function("FullLike", ref("x"), 0.5, dtype="float32")
    for dtype in ("int32", "bool"):
        (only,) = obstacles(of_type(dtype, half))
        assert only.startswith("layer 'l' (FullLike): of whole numbers it makes whole numbers")
        built(of_type(dtype, one))
        built(of_type(dtype, of_float))
    built(of_type("float32", half))
    for dtype, message in (("bool", "of truths it makes truths"), ("uint8", "numbers of 8 and")):
        (only,) = obstacles(of_type(dtype, function("Diff", ref("x"))))
        assert only.startswith(f"layer 'l' (Diff): {message}")
    built(of_type("int32", function("Diff", ref("x"))))


def test_einsum_of_tensorflow_has_lost_its_tensors() -> None:
    entry = node("TFOpLambda", "l", ["_CONSTANT_VALUE", -1, "bij,bkj->bik", {}], function="einsum")
    assert "saved without its tensors" in obstacles(of_type("float32", entry), TF_KERAS)[0]


def test_means_of_whole_numbers_are_whole_in_keras_2() -> None:
    mean = node("GlobalAveragePooling1D", "l", call(ref("x")))
    (only,) = obstacles(of_type("int32", mean), TF_KERAS)
    assert only.startswith("layer 'l' (GlobalAveragePooling1D): of whole numbers it makes whole")
    built(of_type("int32", mean))
    built(of_type("float32", mean), TF_KERAS)


def test_no_cells_are_refused() -> None:
    cells = layer("StackedRNNCells", cells=[])
    config = chain("c", [layer("RNN", name="r", cell=cells)], build_input_shape=[None, 5, 3])
    assert "layer 'r' cells: expected recurrent layers, got ()" in obstacles(config)[0]


def test_cells_in_the_other_order_are_refused() -> None:
    """An option of old versions, by which the states of stacked cells are turned round."""
    for reverse in (False, True):
        cells = layer("StackedRNNCells", cells=[layer("GRUCell", units=2)])
        cells["config"]["reverse_state_order"] = reverse
        config = chain("c", [layer("RNN", cell=cells)], build_input_shape=[None, 5, 3])
        if reverse:
            assert "unsupported option 'reverse_state_order': True" in obstacles(config)[0]
        else:
            assert built(config).output_shape == (2,)


def test_normalization_adapted_to_data_of_other_axes() -> None:
    """As by norm.adapt(x) for rows of features, where the model then gets sequences of them."""

    def config(axis: Any, *built_for: int) -> Config:
        entry = layer("Normalization", name="n", axis=axis)
        entry["build_config"] = {"input_shape": [*built_for]}
        return chain("c", [entry], build_input_shape=[None, 5, 3])

    for axis in (-1, [-1]):
        norm = fd.layers.Normalization(name="n", mean=normal(3), variance=normal(3))
        x = np.zeros((2, 5, 3), np.float32)
        got = built(config(axis, 200, 3)).predict(x)
        assert np.array_equal(got, Model([norm], (5, 3)).predict(x), equal_nan=True)
        assert "built for an input of shape (4,)" in obstacles(config(axis, 200, 4))[0]
    assert "built for an input of shape (3,)" in obstacles(config([1], 200, 3))[0]


# ---- custom classes ----


def with_class(class_name: str, registered: str | None, module: str = "mine") -> Config:
    entry = layer("Dropout", name="d", rate=0.5)
    entry |= {"class_name": class_name, "module": module, "registered_name": registered}
    return chain("c", [entry], build_input_shape=[None, 3])


@pytest.mark.parametrize(
    ("class_name", "registered"),
    [
        ("MCDropout", None),
        ("MCDropout", "MCDropout"),
        ("MCDropout", "mine>MCDropout"),
        ("mine>MCDropout", None),
        ("Other", "mine>MCDropout"),
    ],
)
@pytest.mark.parametrize("key", ["MCDropout", "mine>MCDropout"])
def test_custom_classes(class_name: str, registered: str | None, key: str) -> None:
    config = with_class(class_name, registered)
    if key not in (class_name, registered, "MCDropout"):
        assert len(obstacles(config, custom={key: "Dropout"})) >= 1
        return
    model = built(config, custom={key: "Dropout"})
    assert isinstance(model.layers[0], Dropout)
    assert model.notes == (f"the custom class '{key}' is taken for Dropout",)
    said = obstacles(config)
    assert "is not a part of Keras" in said[0]
    assert "load(..., custom={'MCDropout': 'Dropout'})" in said[0]


@pytest.mark.parametrize("version", [KERAS_3, Version(2, 15, True)])
def test_classes_of_ones_own_that_bear_names_of_keras(version: Version) -> None:
    """A file says that they are from no module, where it says so of any class."""
    config = with_class("Dropout", "Dropout")
    config["config"]["layers"][-1]["module"] = None
    assert "class 'Dropout' is not a part of Keras; if" in obstacles(config, version)[0]
    model = built(config, version, custom={"Dropout": "Dropout"})
    assert isinstance(model.layers[0], Dropout)


def test_functions_of_ones_own() -> None:
    """Keras saves functions that are not its own by their names alone."""

    def config(name: str) -> Config:
        own = {"module": "builtins", "class_name": "function", "config": name}
        layers = [layer("Dense", name="a", units=2, activation=own)]
        return chain("c", layers, build_input_shape=[None, 3])

    said = obstacles(config("my_swish"))[0]
    assert said.startswith(
        "layer 'a' (Dense): function 'my_swish' is not a part of Keras; if it is"
    )
    assert "load(..., custom={'my_swish': 'silu'})" in said
    model = built(config("my_swish"), custom={"my_swish": "silu"})
    assert model.layers[0].activation == "silu"
    assert model.notes == ("the custom class 'my_swish' is taken for silu",)
    model = built(config("mine>my_swish"), custom={"my_swish": "silu"})  # registered in a package
    assert model.layers[0].activation == "silu"
    assert "load(..., custom={'my_swish': 'silu'})" in obstacles(config("mine>my_swish"))[0]
    # Of TensorFlow, and not found again by Keras itself.
    for name, known in (("softmax_v2", "softmax"), ("log_softmax_v2", "log_softmax")):
        assert built(config(name)).layers[0].activation == known
    wrong = obstacles(config("my_swish"), custom={"my_swish": "Dropout"})
    assert "activation: 'Dropout' is not supported" in wrong[0]


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("function", {"class_name": "__lambda__", "config": {"code": "4wEA"}}),
        ("value", ["4wEAAA==", None, None]),
    ],
)
def test_activations_that_are_code(key: str, options: Any) -> None:
    value = options if key == "function" else {"value": options}
    config = chain(
        "c", [layer("Dense", name="a", units=2, activation=value)], build_input_shape=[None, 3]
    )
    assert "a Python function in the file, which is never run" in obstacles(config)[0]


@pytest.mark.parametrize("name", ["TextVectorization", "StringLookup"])
def test_what_takes_texts(name: str) -> None:
    config = chain("c", [layer(name, name="t", vocabulary=["a"])], build_input_shape=[None, 3])
    (said,) = obstacles(config)
    assert said.startswith(f"layer 't' ({name}): it takes texts: do before the model what it does")


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_unrolled_loops_backwards_under_a_mask(sequences: bool, unroll: bool, masked: bool) -> None:
    """Keras puts zeros there by a mask that goes the other way."""
    forward = layer("GRU", name="g", units=2, return_sequences=sequences, unroll=unroll)
    entries = [layer("Masking", name="m")] if masked else []
    entries.append(layer("Bidirectional", name="b", layer=forward))
    config = chain("c", entries, build_input_shape=[None, 5, 3])
    if sequences and unroll and masked:
        (said,) = obstacles(config)
        assert "puts zeros at other steps than those masked; save the model with unroll" in said
    else:
        built(config)


@pytest.mark.parametrize("name", ["Hashing", "HashedCrossing"])
def test_what_makes_other_numbers(name: str) -> None:
    (said,) = obstacles(chain("c", [layer(name, name="l")], build_input_shape=[None, 3]))
    assert said.startswith(f"layer 'l' ({name}): the class is not supported: do before the model")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Discretization", {}, "(bin_boundaries=layer.bin_boundaries)"),
        ("Discretization", {"bin_boundaries": [1, "x"]}, "expected a list of numbers"),
        ("Discretization", {"bin_boundaries": [1, 0.5]}, "one or more in rising order"),
        ("IntegerLookup", {}, "IntegerLookup(vocabulary=layer.get_vocabulary())"),
        ("IntegerLookup", {"vocabulary": [1, 2.5]}, "expected a list of integers"),
        ("IntegerLookup", {"vocabulary": [1, 2, 1]}, "all different, and not the mask_token"),
        ("IntegerLookup", {"vocabulary": [3, 0], "mask_token": 0}, "and not the mask_token"),
        ("IntegerLookup", {"vocabulary": [1, 2**63]}, "vocabulary: expected an integer"),
        ("IntegerLookup", {"vocabulary": [3], "num_oov_indices": -1}, "expected an integer >= 0"),
        ("IntegerLookup", {"vocabulary": [3], "salt": [1, 2]}, "unsupported option 'salt'"),
        (
            "IntegerLookup",
            {"vocabulary": [3], "output_mode": "count", "pad_to_max_tokens": True},
            "pad_to_max_tokens: expected false",
        ),
        ("IntegerLookup", {"vocabulary": [3], "output_mode": "tf_idf"}, "expected int, one_hot"),
    ],
)
def test_categories_that_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    (said,) = obstacles(chain("c", [layer(name, name="l", **options)], build_input_shape=[None, 3]))
    assert said.startswith(f"layer 'l' ({name})")
    assert message in said


def test_options_that_are_not_written_are_those_of_keras() -> None:
    """Its documentation has several hot, one category for what is unknown, and no mask."""

    def model(*entries: Config) -> Model:
        return built(chain("c", [*entries], build_input_shape=[None, 3]))

    x = np.array([[0, 2, 2]])
    hot = model(layer("CategoryEncoding", name="l", num_tokens=3)).predict(x)
    assert hot.tolist() == [[1, 0, 1]]
    found = model(layer("IntegerLookup", name="l", vocabulary=[2])).predict(x)
    assert found.tolist() == [[0, 1, 1]]
    (table,) = model(layer("Embedding", name="l", input_dim=3, output_dim=2)).layers
    assert isinstance(table, Embedding)
    assert not table.mask_zero


@pytest.mark.parametrize("mode", ["int", "multi_hot"])
def test_special_tokens_may_stand_in_front_of_a_vocabulary(mode: str) -> None:
    """As get_vocabulary has them: in vectors of categories there is none for the mask."""
    special = [0, -1, -1] if mode == "int" else [-1, -1]
    found = [
        built(
            chain(
                "c",
                [
                    layer(
                        "IntegerLookup",
                        name="l",
                        vocabulary=[*before, 5, 7],
                        mask_token=0,
                        num_oov_indices=2,
                        output_mode=mode,
                    )
                ],
                build_input_shape=[None, 3],
            )
        ).predict(np.array([[5, 7, 0], [9, 4, 7]]))
        for before in (special, [])
    ]
    np.testing.assert_array_equal(*found)


def test_how_a_layer_is_quantized_is_said_once() -> None:
    dtype = policy("int4/128", "QuantizedDTypePolicy")
    dense = layer("Dense", name="d", units=2, dtype=dtype, quantization_config={"a": 1})
    (said,) = obstacles(chain("c", [dense], build_input_shape=[None, 3]))
    assert "a quantized layer ('int4/128') is not supported" in said


def test_spectral_normalization_of_what_has_no_kernel() -> None:
    inner = layer("LayerNormalization", name="n")
    wrapped = layer("SpectralNormalization", name="l", layer=inner)
    (said,) = obstacles(chain("c", [wrapped], build_input_shape=[None, 3]))
    assert said == "layer 'l' (SpectralNormalization): layer: expected one with a kernel"
    inner = layer("Dense", name="d", units=2, strange=1)
    wrapped = layer("SpectralNormalization", name="l", layer=inner)
    (said,) = obstacles(chain("c", [wrapped], build_input_shape=[None, 3]))
    assert said.endswith("layer 'd' (Dense): unsupported option 'strange': 1")


def test_unrolled_loops_backwards_under_a_mask_that_is_given() -> None:
    forward = layer("GRU", name="g", units=2, return_sequences=True, unroll=True)
    both = node("Bidirectional", "b", call(ref("x"), mask=ref("k")), layer=forward)
    config = graph(
        "g", [inputs("x", 5, 3), inputs("k", 5), both], [["x", 0, 0], ["k", 0, 0]], ["b", 0, 0]
    )
    config["config"]["layers"][1]["config"]["dtype"] = "bool"
    assert "puts zeros at other steps than those masked" in obstacles(config)[0]


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell"])
def test_a_cell_that_is_called_by_itself(name: str) -> None:
    (said,) = obstacles(chain("c", [layer(name, name="l", units=2)], build_input_shape=[None, 3]))
    assert said.startswith(f"layer 'l' ({name}): a cell that is called by itself")
    assert "RNN(cell, return_state=True)" in said


def test_a_function_that_is_not_known() -> None:
    strange = layer("Rot90", name="r") | {"module": "keras.src.ops.numpy"}
    (said,) = obstacles(chain("c", [strange], build_input_shape=[None, 3]))
    assert said.endswith("(Rot90): the function is not supported")


def cast_of(value: list[Config], dtype: str, given: str = "float32") -> Config:
    """A cast of the input, or of what the last of some functions makes of it."""
    last = value[-1]["name"] if value else "x"
    return of_type(given, *value, node("Cast", "c", call(ref(last)), dtype=dtype) | OF_OPS)


OF_OPS = {"module": "keras.src.ops.numpy"}
POSITIVE = node("Greater", "g", {"args": [ref("x"), 0.0], "kwargs": {}}) | OF_OPS
MINUS = node("Negative", "m", call(ref("g"))) | OF_OPS
FEWER = [
    *((cast_of([], dtype), False) for dtype in ("int8", "uint8", "int16", "uint16", "uint32")),
    *((cast_of([], "uint8", given), False) for given in ("int8", "int32", "uint16", "bfloat16")),
    *((cast_of([], "int16", given), True) for given in ("int8", "uint8", "int16", "bool")),
    *((cast_of([POSITIVE], dtype), True) for dtype in ("int8", "uint8", "uint64")),
    (cast_of([POSITIVE, MINUS], "uint8"), False),
    (cast_of([], "int32"), True),
    (of_type("float32", node("Cast", "c", call(ref("x"), dtype="int8")) | OF_OPS), False),
]


@pytest.mark.parametrize(("config", "fits"), FEWER)
def test_casts_to_types_that_hold_fewer_numbers(config: Config, fits: bool) -> None:
    """What a type does not hold begins anew there."""
    if fits:
        built(config)
        return
    (said,) = obstacles(config)
    assert said.startswith("layer 'c' (Cast): dtype: expected one that holds its numbers, found ")
    assert "cast to int32" in said


def counted(at: Any, *shape: Any, source: str = "x") -> Config:
    """A reshape by TensorFlow, of numbers and of what stands at a place of a shape."""
    of_shape = node("TFOpLambda", "s", ["x", 0, 0, {"name": None}], function="compat.v1.shape")
    at_place = node("SlicingOpLambda", "n", [source, 0, 0, {"slice_spec": at}], function="getitem")
    made = node("TFOpLambda", "r", ["x", 0, 0, {"shape": list(shape)}], function="reshape")
    return graph("g", [inputs("x", 3, 4), of_shape, at_place, made], ["x", 0, 0], ["r", 0, 0])


N = ["n", 0, 0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (counted(1, N, 12, source="s"), "newshape: expected -1 for the batch"),
        (counted(1, -1, N, 3, source="s"), "expected an input of shape of 9 numbers"),
        (counted(0, 2, N, 3, source="s"), "newshape: expected a list of lengths"),
        (counted(0, 2, N, 3, source="s"), "lengths by tf.shape: expected those"),
        (counted(-1, N, 12, source="s"), "newshape: expected -1 for the batch"),
        (counted(-3, N, 12, source="s"), "newshape: expected a list of lengths"),
        (counted(3, N, 12, source="s"), "newshape: expected a list of lengths"),
        (
            counted({"start": 0, "stop": None, "step": None}, N, 12, source="s"),
            "newshape: expected a list",
        ),
        (counted(False, N, 12, source="s"), "newshape: expected a list of lengths"),
        (counted(0, N, 12), "newshape: expected a list of lengths"),
        (counted(0, 2, N, source="s"), "newshape: expected a list of lengths"),
        (counted(0, N, N, source="s"), "newshape: expected a list of lengths"),
        (counted(0, [2], 12, source="s"), "newshape: expected a list of lengths"),
        (counted(0, N, 11, source="s"), "expected an input"),
    ],
)
def test_lengths_of_shapes_that_are_no_numbers_of_rows(config: Config, message: str) -> None:
    assert any(message in said for said in obstacles(config, TF_KERAS))


def test_numbers_of_rows_that_others_read() -> None:
    config = counted(0, N, 12, source="s")
    x = normal(2, 3, 4)
    np.testing.assert_array_equal(built(config, TF_KERAS).predict(x), x.reshape(2, 12))
    config["config"]["output_layers"] = [["r", 0, 0], ["n", 0, 0]]
    (said,) = obstacles(config, TF_KERAS)
    assert said.startswith("output 'n': lengths by tf.shape: expected those of axes")


def products(count: int) -> Config:
    """A reshape to a length that is multiplied by itself, so many times."""
    config = counted(1, -1, ["m0", 0, 0], 12, source="s")
    *first, made = config["config"]["layers"]
    names = ["n", *(f"m{count - 1 - i}" for i in range(count))]
    for before, name in pairwise(names):
        args = [before, 0, 0, {"y": [before, 0, 0], "name": None}]
        first.append(node("TFOpLambda", name, args, function="math.multiply"))
    config["config"]["layers"] = [*first, made]
    return config


def test_lengths_that_are_computed() -> None:
    """They grow fast, so they end at 2**31."""
    x = normal(2, 3, 4)
    at = counted(2, -1, 3, N, 1, source="s")
    np.testing.assert_array_equal(built(at, TF_KERAS).predict(x), x.reshape(2, 3, 4, 1))
    for count, message in (
        (1, "expected an input of shape of 108 numbers"),
        (1000, "lengths by tf.shape"),
    ):
        assert any(message in said for said in obstacles(products(count), TF_KERAS))


def test_one_length_that_is_left_open_may_be_what_fits() -> None:
    config = counted(1, ["r0", 0, 0], N, 2, 2, source="s")
    rows = node("SlicingOpLambda", "r0", ["s", 0, 0, {"slice_spec": 0}], function="getitem")
    config["config"]["layers"].insert(2, rows)
    config["config"]["layers"][0] = inputs("x", None, 4)
    x = normal(2, 5, 4)
    np.testing.assert_array_equal(built(config, TF_KERAS).predict(x), x.reshape(2, 5, 2, 2))
    config["config"]["layers"][-1] = node(
        "TFOpLambda", "r", ["x", 0, 0, {"multiples": [1, N, 1]}], function="tile"
    )
    assert any("lengths by tf.shape: expected" in said for said in obstacles(config, TF_KERAS))


def test_what_reads_an_unknown_layer_is_no_obstacle_of_its_own() -> None:
    strange = node("MCDropout", "m", call(ref("x")), rate=0.5) | {"module": "mine"}
    config = graph(
        "g",
        [
            inputs("x", 3),
            strange,
            node("Dense", "d", call(ref("m")), units=3),
            node("Lambda", "l", call(ref("d"))),
        ],
        [["x", 0, 0]],
        [["l", 0, 0]],
    )
    custom, unsupported = obstacles(config)
    assert custom.startswith("layer 'm' (MCDropout): class 'MCDropout' is not a part of Keras")
    assert unsupported.startswith("layer 'l' (Lambda)")


def test_custom_classes_within_layers() -> None:
    inner = layer("Dropout", name="d", rate=0.5) | {"class_name": "MCDropout", "module": "mine"}
    config = chain(
        "c", [layer("TimeDistributed", name="t", layer=inner)], build_input_shape=[None, 4, 3]
    )
    model = built(config, custom={"MCDropout": "Dropout"})
    agree(
        model, Model([TimeDistributed(name="t", layer=Dropout(name="d", rate=0.5))], (4, 3)), (4, 3)
    )
    assert "class 'MCDropout' is not a part of Keras" in obstacles(config)[0]


def test_custom_classes_of_h5_and_of_no_use() -> None:
    model = built(with_class("Dropout", None, "keras.layers"), custom={"Unused": "Dense"})
    assert model.notes == ()
    # A class of one's own that stands for a wrapper or a model.
    entry = layer("TimeDistributed", name="t", layer=layer("Dense", name="d", units=2))
    entry |= {"class_name": "Steps", "module": "mine"}
    config = chain("c", [entry], build_input_shape=[None, 4, 3])
    (steps,) = built(config, custom={"Steps": "TimeDistributed"}).layers
    assert isinstance(steps, TimeDistributed)


@pytest.mark.parametrize(
    ("custom", "error", "message"),
    [
        (
            {"A": "Dropuot"},
            ValueError,
            r"custom\['A'\]: expected an activation, or one of Activation, .*, got 'Dropuot'",
        ),
        ({"A": "Sequential"}, ValueError, r"custom\['A'\]: expected an activation, or one of"),
        ({"A": Dropout}, TypeError, r"custom\['A'\]: expected a str"),
        ({1: "Dropout"}, TypeError, "custom: expected a str"),
        (["A"], TypeError, "custom: expected a mapping of str to str"),
        (
            MappingProxyType({"A": "Dropuot"}),
            ValueError,
            r"custom\['A'\]: expected an activation, or one of",
        ),
    ],
)
def test_custom_that_is_refused(custom: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fd.load(io.BytesIO(b""), custom=custom)


# ---- rates, streams, architectures ----


def stream(file: KerasFile) -> io.BytesIO:
    return io.BytesIO(file.to_bytes())


def test_rates() -> None:
    model = fd.load(stream(sample()), rates={"drop": 0.0, "first": {"dropout": 0.1}})
    assert [model.layers[i].rates() for i in (1, 2, 3)] == [
        {"rate": 0.0},
        {"dropout": 0.1, "recurrent_dropout": 0.25},
        {"dropout": 0.125, "recurrent_dropout": 0.0},
    ]
    model = fd.load(stream(sample()), rates=0.3)
    assert model.layers[1].rates() == {"rate": 0.25}
    assert model.layers[3].rates() == {"dropout": 0.3, "recurrent_dropout": 0.3}
    with pytest.raises(ValueError, match=r"\(drop, first, second\), got 'out'") as caught:
        fd.load(stream(sample()), rates={"out": 0.1})
    assert not isinstance(caught.value, ModelFormatError)
    none = fd.load(stream(sample()), rates=0)
    assert [layer.stochastic for layer in none.layers if layer.stochastic] == ["dropout 0.25"]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", b"a\0b"])
def test_names_that_no_file_can_have(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^path: expected a str or path-like that can be a path"):
        fd.load(name)
    with pytest.raises(ValueError, match=r"^architecture: expected a str or path-like that can be"):
        fd.load(io.BytesIO(b"weights"), architecture=name)


def test_streams(tmp_path: Path) -> None:
    path = sample().write(tmp_path / "model.keras")
    with path.open("rb") as file:
        model = fd.load(file)
    assert same(model, expected_sample())
    assert model.source == "Keras 3.15.1, model.keras"
    assert fd.load(stream(sample())).source == "Keras 3.15.1, <BytesIO>"
    moved = io.BytesIO(b"before" + sample().to_bytes())
    moved.seek(6)
    assert same(fd.load(moved), expected_sample())
    with pytest.raises(TypeError, match="path: expected a str, path-like or binary file object"):
        fd.load(io.StringIO("PK"))  # type: ignore[arg-type]
    (tmp_path / "text").write_text("PK")
    with (tmp_path / "text").open() as words, pytest.raises(TypeError, match="path: expected"):
        fd.load(words)  # type: ignore[arg-type]
    with pytest.raises(ModelFormatError, match=r"<BytesIO>: neither a \.keras nor an \.h5 file"):
        fd.load(io.BytesIO(b"nothing"))
    with pytest.raises(ValueError, match=r"architecture: expected a file; .*to_json\(\)"):
        fd.load(path, architecture='{"class_name": "Sequential"}')
    with pytest.raises(TypeError, match=r"architecture: expected .*, or a list of layers"):
        fd.load(path, architecture=3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        fd.load(path, architecture=tmp_path / "nowhere.json")


def text(value: Any) -> io.BytesIO:
    return io.BytesIO(json.dumps(value).encode())


def legacy_weights(**attributes: Any) -> io.BytesIO:
    """The weights of `sample` alone, as ``save_weights`` of Keras 2 writes them."""
    buffer = io.BytesIO()
    groups = {
        "words": ["embedding/vars/0"],
        "drop": [],
        "first": [f"lstm/cell/vars/{i}" for i in range(3)],
        "second": [f"lstm_1/cell/vars/{i}" for i in range(2)],
        "out": ["dense/vars/0", "dense/vars/1"],
        "soft": [],
    }
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in groups]
        file.attrs["backend"] = b"tensorflow"
        for key, value in attributes.items():
            file.attrs[key] = value
        for name, weights in groups.items():
            group = file.create_group(name)
            names = [f"{name}/{i}:0" for i in range(len(weights))]
            group.attrs["weight_names"] = [n.encode() for n in names] if names else np.zeros(0)
            for path, key in zip(names, weights, strict=True):
                group[path] = sample().weights[f"layers/{key}"]
    buffer.seek(0)
    return buffer


def test_architectures() -> None:
    """A file of weights alone, either kind, with either kind of description."""
    config = sample().config

    def store() -> io.BytesIO:
        return io.BytesIO(sample().h5())

    for weights in (store, legacy_weights):
        quoted = io.BytesIO(
            json.dumps(json.dumps(config)).encode()
        )  # by json.dump(to_json(), file)
        for described in (text(config), quoted, stream(sample())):
            model = fd.load(weights(), architecture=described)
            expected = expected_sample()
            assert same(model, expected)
    # What wrote it is said by the description, or by the weights; else it is the newest Keras 3.
    assert fd.load(store(), architecture=text(config)).source == "Keras 3, <BytesIO>"
    assert fd.load(store(), architecture=stream(sample())).source == "Keras 3.15.1, <BytesIO>"
    older = text(config | {"keras_version": "2.4.0"})
    model = fd.load(legacy_weights(keras_version=b"2.3.0"), architecture=older)
    assert model.source == "Keras 2.4.0, <BytesIO>"
    assert model.layers[3].recurrent_activation == "hard_sigmoid_legacy"
    model = fd.load(legacy_weights(keras_version=b"2.3.0"), architecture=text(config))
    assert model.source == "Keras 2.3.0, <BytesIO>"


@pytest.mark.parametrize(
    ("weights", "architecture", "message"),
    [
        (lambda: io.BytesIO(sample().h5()), None, "it holds weights alone"),
        (legacy_weights, None, "it holds weights alone"),
        (lambda: stream(sample()), lambda: stream(sample()), "this one is a model"),
        (legacy_weights, lambda: io.BytesIO(b"[]"), "architecture: expected a list of layers"),
        (
            legacy_weights,
            lambda: io.BytesIO(b'["ReLU"]'),
            "a list of layers is for weights of PyTorch",
        ),
        (legacy_weights, lambda: io.BytesIO(b"{"), "architecture is malformed"),
        (legacy_weights, lambda: io.BytesIO(b'"{}'), "architecture is malformed"),
        (legacy_weights, lambda: io.BytesIO(b'"\\ud800"'), "architecture is malformed"),
        (legacy_weights, lambda: io.BytesIO(b'"[]"'), "architecture: expected an object"),
        (legacy_weights, lambda: io.BytesIO(b'"%b"' % (b"\\u0041" * 2**20)), "too many values"),
        (
            legacy_weights,
            lambda: text(sample().config | {"keras_version": "1.2.0"}),
            "keras_version: expected 2.x or 3.x",
        ),
        (
            legacy_weights,
            lambda: text(sample().config | {"keras_version": 3}),
            "keras_version: expected 2.x or 3.x",
        ),
        (
            legacy_weights,
            lambda: text(sequential([input_layer([6]), *sample().layers[1:3]], {}).config),
            "weights of 'first', which is no layer of the model",
        ),
    ],
)
def test_architectures_that_are_refused(weights: Any, architecture: Any, message: str) -> None:
    given = None if architecture is None else architecture()
    with pytest.raises(ModelFormatError, match=message):
        fd.load(weights(), architecture=given)


def test_the_limit_of_an_architecture() -> None:
    described = json.dumps(sample().config).encode()
    exact = {"architecture": io.BytesIO(described), "max_json_bytes": len(described)}
    fd.load(legacy_weights(), **exact)
    exact = {"architecture": io.BytesIO(described), "max_json_bytes": len(described) - 1}
    with pytest.raises(ModelFormatError, match=f"the file has {len(described)} bytes, max_json"):
        fd.load(legacy_weights(), **exact)


def legacy_model(change: Any = None, **attributes: Any) -> io.BytesIO:
    """`sample` as a whole model in an ``.h5`` file."""
    buffer = legacy_weights()
    config = sample().config
    with h5py.File(buffer, "r+") as file:
        weights = [*file]
        file.create_group("model_weights")
        for name in weights:
            file.move(name, f"model_weights/{name}")
        for key in ("layer_names", "backend"):
            file["model_weights"].attrs[key] = file.attrs[key]
        del file.attrs["layer_names"]
        file.attrs["keras_version"] = b"3.15.1"
        file.attrs["model_config"] = json.dumps(config).encode()
        for key, value in attributes.items():
            file.attrs[key] = value
        if change is not None:
            change(file)
    buffer.seek(0)
    return buffer


def test_layers_of_keras_are_nobodys_own() -> None:
    """An ``.h5`` file may mean a class of somebody's, but hardly by these names."""

    def said(name: str) -> str:
        config = sample().config
        config["config"]["layers"][-1] |= {"class_name": name, "registered_name": None}
        config["config"]["layers"][-1]["config"]["trainable"] = True
        config["config"]["layers"][-1].pop("module", None)
        with pytest.raises(ModelFormatError) as caught:
            fd.load(legacy_model(model_config=json.dumps(config).encode()))
        return str(caught.value)

    for name in ("STFTSpectrogram", "LocallyConnected1D", "SeparableConv3D"):
        assert f"({name}): the class is not supported" in said(name)
    assert "load(..., custom={'Mine': 'Dropout'})" in said("Mine")
    # One's own class, of the name of a function.
    assert "(Tanh): the class is not supported (if it is a known layer" in said("Tanh")


@pytest.mark.parametrize("name", ["Rot90", "Mine"])
def test_functions_in_h5_that_are_not_known(name: str) -> None:
    """Keras says of layers, also of one's own, whether they are trainable."""
    config = sample().config
    entry = config["config"]["layers"][-1]
    entry |= {"class_name": name, "registered_name": None, "config": {"name": "f"}}
    entry.pop("module", None)
    with pytest.raises(ModelFormatError, match=rf"\({name}\): the function is not"):
        fd.load(legacy_model(model_config=json.dumps(config).encode()))
    entry["config"]["rate"] = 0.5
    model = fd.load(
        legacy_model(model_config=json.dumps(config).encode()), custom={name: "Dropout"}
    )
    assert isinstance(model.layers[-1], Dropout)


def test_whole_models_in_h5() -> None:
    model = fd.load(legacy_model())
    assert same(model, expected_sample())
    assert model.source == "Keras 3.15.1, <BytesIO>"
    with pytest.raises(ModelFormatError, match="for files of weights alone; this is a model"):
        fd.load(legacy_model(), architecture=stream(sample()))


PLACES: Config = {"strides": 1, "padding": "valid", "dilation_rate": 1}
WINDOWS: Config = PLACES | {"filters": 2}
# First layers, the shapes of their weights, and what these say of the input.
FIRST: dict[str, tuple[Config, list[tuple[int, ...]], tuple[int | None, ...]]] = {
    "LSTM": ({"units": 2}, [(3, 8), (2, 8), (8,)], (None, 3)),
    "GRU": ({"units": 2, "reset_after": False}, [(3, 6), (2, 6), (6,)], (None, 3)),
    "SimpleRNN": ({"units": 2}, [(3, 2), (2, 2), (2,)], (None, 3)),
    "Bidirectional": (
        {"layer": layer("LSTM", units=2)},
        [(3, 8), (2, 8), (8,)] * 2,
        (None, 3),
    ),
    "Dense": ({"units": 2}, [(3, 2), (2,)], (3,)),
    "Embedding": ({"input_dim": 7, "output_dim": 2}, [(7, 2)], (None,)),
    "Conv1D": (WINDOWS | {"kernel_size": [5]}, [(5, 3, 2), (2,)], (None, 3)),
    "Conv2D": (WINDOWS | {"kernel_size": [5, 4]}, [(5, 4, 3, 2), (2,)], (None, None, 3)),
    "Conv3D": (
        WINDOWS | {"kernel_size": [5, 4, 2]},
        [(5, 4, 2, 3, 2), (2,)],
        (None, None, None, 3),
    ),
    "DepthwiseConv1D": (
        PLACES | {"kernel_size": [5], "depth_multiplier": 2},
        [(5, 3, 2), (6,)],
        (None, 3),
    ),
    "DepthwiseConv2D": (
        PLACES | {"kernel_size": [5, 4], "depth_multiplier": 2},
        [(5, 4, 3, 2), (6,)],
        (None, None, 3),
    ),
    "SeparableConv1D": (
        WINDOWS | {"kernel_size": [5], "depth_multiplier": 4},
        [(5, 3, 4), (1, 12, 2), (2,)],
        (None, 3),
    ),
    "SeparableConv2D": (
        WINDOWS | {"kernel_size": [5, 4], "depth_multiplier": 4},
        [(5, 4, 3, 4), (1, 1, 12, 2), (2,)],
        (None, None, 3),
    ),
    "Conv1DTranspose": (WINDOWS | {"kernel_size": [5]}, [(5, 2, 3), (2,)], (None, 3)),
    "Conv2DTranspose": (
        WINDOWS | {"kernel_size": [5, 4]},
        [(5, 4, 2, 3), (2,)],
        (None, None, 3),
    ),
    "Conv3DTranspose": (
        WINDOWS | {"kernel_size": [5, 4, 1]},
        [(5, 4, 1, 2, 3), (2,)],
        (None, None, None, 3),
    ),
}


@pytest.mark.parametrize("class_name", FIRST)
def test_first_layers_in_h5_without_a_shape(class_name: str) -> None:
    """What was built by being fitted does not tell its shape; the first weight does."""
    options, shapes, expected = FIRST[class_name]
    names = [f"first/{i}:0".encode() for i in range(len(shapes))]
    buffer = io.BytesIO()
    config = {"name": "s", "layers": [layer(class_name, name="first", **options)]}
    with h5py.File(buffer, "w") as file:
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
        group = file.create_group("model_weights/first")
        file["model_weights"].attrs["layer_names"] = [b"first"]
        group.attrs["weight_names"] = names
        for name, shape in zip(names, shapes, strict=True):
            group[name] = normal(*shape)
    buffer.seek(0)
    assert fd.load(buffer).input_shape == expected


def test_first_layers_with_channels_in_front() -> None:
    options = WINDOWS | {"kernel_size": [5, 4], "data_format": "channels_first"}
    layers = [layer("Conv2D", name="first", **options)]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights/first")
        file["model_weights"].attrs["layer_names"] = [b"first"]
        group.attrs["weight_names"] = [b"first/0:0", b"first/1:0"]
        group["first/0:0"], group["first/1:0"] = normal(5, 4, 3, 2), normal(2)
    buffer.seek(0)
    assert fd.load(buffer).input_shape == (3, None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.pop("keras_version"), "no keras_version: written by Keras 1"),
        (
            lambda f: f.attrs.update(keras_version=b"1.2.2"),
            "found '1.2.2'; load it with Keras 2 and save it again",
        ),
        (lambda f: f.attrs.update(keras_version=b"4.0"), "expected 2.x or 3.x, found '4.0'"),
        (lambda f: f.pop("model_weights"), "a configuration without weights"),
        (
            lambda f: f["model_weights/out"].attrs.update(weight_names=[b"out/0:0"]),
            "layer 'out' .Dense.: expected 2 weights, found 1",
        ),
        (
            lambda f: f["model_weights/out"].attrs.update(weight_names=[b"out/1:0", b"out/0:0"]),
            r"weight 'out/1:0': expected shape \(2, 5\), found \(5,\)",
        ),
        (
            lambda f: f["model_weights"].attrs.update(
                layer_names=[b"words", b"first", b"second", b"out", b"out"]
            ),
            "twice",
        ),
    ],
)
def test_whole_models_in_h5_that_are_refused(change: Any, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        fd.load(legacy_model(change))


# ---- types ----


def policy(name: str, class_name: str = "DTypePolicy") -> Config:
    return {"module": "keras", "class_name": class_name, "config": {"name": name}}


@pytest.mark.parametrize(
    ("dtype", "note"),
    [
        ("float32", ""),
        (policy("float32"), ""),
        ("mixed_float16", "trained in mixed_float16"),
        (policy("mixed_float16", "Policy"), "trained in mixed_float16"),
        (policy("mixed_bfloat16"), "trained in mixed_bfloat16"),
        ("float16", "of float16; here it computes in float32"),
        ("float64", "of float64; its weights are rounded"),
        (None, ""),
    ],
    ids=str,
)
def test_policies(dtype: Any, note: str) -> None:
    layers = [layer("Dense", name=n, units=3, dtype=dtype) for n in ("a", "b")]
    model = built(chain("c", layers, build_input_shape=[None, 3]))
    assert len(model.notes) == bool(note)  # once, not for each layer
    assert all(said.startswith(note) for said in model.notes)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (
            "bfloat16",
            "dtype: expected float32, mixed_float16, mixed_bfloat16, float16, float64, found "
            "'bfloat16'",
        ),
        (
            policy("int8_from_float32", "QuantizedDTypePolicy"),
            "a quantized layer ('int8_from_float32')",
        ),
        (policy("float8_from_float32", "QuantizedFloat8DTypePolicy"), "a quantized layer"),
        (policy("int8"), "a quantized layer"),
        (policy("float8"), "a quantized layer"),
        (7, "found 7"),
        ({"config": 3}, "found"),
    ],
    ids=str,
)
def test_policies_that_are_refused(dtype: Any, message: str) -> None:
    config = chain("c", [layer("Dense", units=3, dtype=dtype)], build_input_shape=[None, 3])
    (only,) = obstacles(config)
    assert message in only
    assert only.startswith("layer 'dense' (Dense): dtype:")


@pytest.mark.parametrize(("dtype", "said"), [("float16", "taken as"), ("float64", "rounded to")])
def test_weights_of_other_types(dtype: str, said: str) -> None:
    file = sample()
    file.weights = {name: array.astype(dtype) for name, array in file.weights.items()}
    model = fd.load(stream(file))
    assert model.notes == (f"weights of {dtype} in the file are {said} float32",)
    kernel = file.weights["layers/dense/vars/0"].astype("f4")
    assert np.array_equal(model.layers[4].kernel, kernel)
    assert model.layers[4].kernel.dtype == np.float32
    file.weights["layers/dense/vars/0"] = np.ones((2, 5), "i4")
    with pytest.raises(ModelFormatError, match="expected float32, found int32"):
        fd.load(stream(file))


# ---- everything that stands in the way ----


def test_all_obstacles_are_listed() -> None:
    """Structure before classes and options, a line each, none twice."""
    layers = [
        layer("Lambda", name="f", function="4wEA"),
        layer("Dense", name="a", units=0, activation="no", more=1),
        layer("Hashing", name="c", num_bins=3),
        layer("LSTM", name="l", units=2, dtype="bfloat16"),
        layer("Mine", name="m") | {"module": "mine", "registered_name": "mine>Mine"},
    ]
    config = chain("c", layers, build_input_shape=[None, 4, 3])
    found = obstacles(config)
    assert "class 'mine>Mine' is not a part of Keras" in found[0]
    for fragment in (
        "layer 'f' (Lambda): a Python function in the file, which is never run",
        "layer 'a' (Dense): units: expected a positive integer, found 0",
        "layer 'a' (Dense): activation: 'no' is not supported",
        "layer 'a' (Dense): unsupported option 'more': 1",
        "layer 'c' (Hashing): the class is not supported",
        "layer 'l' (LSTM): dtype: expected float32",
    ):
        assert sum(fragment in line for line in found) == 1, fragment
    assert len(found) == 7
    assert all("\n" not in line and line.isascii() for line in found)
    with pytest.raises(ModelFormatError) as caught:
        built(config)
    message = str(caught.value)
    assert message.startswith("7 obstacles: (1) ")
    assert all(line in message for line in found)


def test_what_ends_the_reading_is_said_beside_what_was_found_before() -> None:
    unknown = layer("Mine", name="m") | {"module": "mine", "registered_name": "mine>Mine"}
    twice = [layer("Dense", name="d", units=2)] * 2
    found = obstacles(chain("c", [unknown, *twice], build_input_shape=[None, 3]))
    assert len(found) == 2
    assert "class 'mine>Mine' is not a part of Keras" in found[0]
    assert "two layers have the same name" in found[1]


def test_what_stands_in_the_way_of_several_calls_is_said_once() -> None:
    shared = node("Dense", "d", call(ref("a")), call(ref("b")), units=0)
    add = node("Add", "s", call([ref("d"), ref("d", 1)]))
    config = graph(
        "g", [inputs("a", 3), inputs("b", 3), shared, add], [["a", 0, 0], ["b", 0, 0]], ["s", 0, 0]
    )
    (only,) = obstacles(config)
    assert only.startswith("layer 'd' (Dense): units: expected a positive integer")


def test_many_obstacles() -> None:
    layers = [layer("Lambda", name=f"f{i}") for i in range(20)]
    with pytest.raises(ModelFormatError) as caught:
        built(chain("c", layers, build_input_shape=[None, 3]))
    assert len(caught.value.obstacles) == 20
    assert str(caught.value).endswith("; and 8 more")
    assert "(12)" in str(caught.value)
    assert "(13)" not in str(caught.value)


def test_what_is_wrong_with_the_whole_is_said_first() -> None:
    """Also where it is found after a layer that stands in the way."""
    config = graph(
        "g",
        [
            inputs("x", 3),
            node("Dense", "a", call(ref("x")), units=0),
            node("RepeatVector", "b", call(ref("x")), n=2**29),
        ],
        ["x", 0, 0],
        [["a", 0, 0], ["b", 0, 0]],
    )
    first, second = obstacles(config)
    assert first.startswith("layer 'b' (RepeatVector): an output of 6442450944 bytes, max_tensor")
    assert second.startswith("layer 'a' (Dense): units: expected a positive integer, found 0")


def test_what_inner_layers_were_built_for() -> None:
    """Of a wrapper's own layer the file may say that for all steps; below that it is looked at."""
    for depth, width, good in ((1, 3, True), (1, 9, True), (2, 3, True), (2, 9, False)):
        inner = layer("Dense", name="d", units=3) | {"build_config": {"input_shape": [None, width]}}
        expected: Any = dense("d")
        for i in range(depth):
            inner = layer("TimeDistributed", name=f"t{i}", layer=inner)
            expected = TimeDistributed(name=f"t{i}", layer=expected)
        shape = (*[4] * depth, 3)
        config = chain("c", [inner], build_input_shape=[None, *shape])
        if good:
            agree(built(config), Model([expected], shape), shape)
        else:
            (only,) = obstacles(config)
            assert only.endswith("built for an input of shape (9,), gets (3,)")


@pytest.mark.parametrize("axis", [{}, {"axis": -1}, {"axis": [-1]}, {"axis": 2}], ids=str)
def test_normalization_may_be_adapted_to_data_of_other_axes(axis: Config) -> None:
    """The last length alone counts where it goes along the last axis, as it does if untold."""
    entry = layer("Normalization", name="n", mean=None, variance=None, invert=False, **axis)
    for last, good in ((3, axis != {"axis": 2}), (4, False)):
        entry["build_config"] = {"input_shape": [None, last]}
        config = chain("c", [entry], build_input_shape=[None, 5, 3])
        if good:
            assert built(config).output_shape == (5, 3)
        else:
            assert f"built for an input of shape ({last},), gets (5, 3)" in obstacles(config)[0]


def test_steps_of_what_is_not_known() -> None:
    steps = layer("TimeDistributed", name="t", layer=layer("Dense", name="d", units=-1))
    found = obstacles(
        chain("c", [layer("Lambda", name="f"), steps], build_input_shape=[None, 4, 3])
    )
    assert len(found) == 2
    assert "layer 'f' (Lambda): a Python function in the file, which is never run" in found[0]
    assert "units: expected a positive integer" in found[1]


@pytest.mark.parametrize(
    ("class_name", "change", "fast"),
    [
        *(
            (name, change, not change or change == {"unroll": None})
            for name in ("LSTM", "GRU")
            for change in (
                {},
                {"unroll": None},
                {"unroll": True},
                {"use_bias": False},
                {"activation": "relu"},
                {"recurrent_activation": "hard_sigmoid"},
            )
        ),
        ("GRU", {"reset_after": False}, False),
    ],
    ids=str,
)
def test_when_tensorflow_takes_a_path_of_its_own(
    class_name: str, change: Config, fast: bool
) -> None:
    """As its documentation says, where its options let one operation compute the layer."""
    options: Config = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    options |= {"unroll": False, "implementation": 2, "dropout": 0.5, "units": 2}
    options |= {"reset_after": True} if class_name == "GRU" else {}
    given = {key: value for key, value in (options | change).items() if value is not None}
    config = chain("c", [layer(class_name, name="l", **given)], build_input_shape=[None, 4, 3])
    for version, scheme, other in (
        (Version(2, 16, True), "tf_keras", "keras"),
        (Version(2, 2, True), "tf_keras_early", "tied"),
    ):
        (found,) = built(config, version).layers
        assert found.scheme == (scheme if fast else other)  # type: ignore[attr-defined]


def test_obstacles_where_no_shape_is_known() -> None:
    """Without a shape, or an order, the classes can still be told."""
    layers = [layer("Lambda", name="f"), layer("Dense", name="d", units=-1)]
    found = obstacles(chain("c", layers))
    assert "no input shape; build the model" in found[0]
    assert any(
        "(Lambda): a Python function in the file, which is never run" in line for line in found
    )
    assert any("units: expected a positive integer" in line for line in found)
    cyclic = graph(
        "g",
        [
            inputs("x", 3),
            node("Lambda", "f", call(ref("d"))),
            node("Dense", "d", call(ref("f")), units=-1),
        ],
        ["x", 0, 0],
        ["d", 0, 0],
    )
    found = obstacles(cyclic)
    assert "it waits for what it makes itself" in found[0]
    assert len(found) == 3


def test_the_file_is_named_and_the_obstacles_stay() -> None:
    file = sample()
    file.layer("drop")["class_name"] = "Lambda"
    file.layer("out")["config"]["units"] = 0
    with pytest.raises(ModelFormatError) as caught:
        fd.load(stream(file))
    assert str(caught.value).startswith("<BytesIO>: 2 obstacles: (1) ")
    assert len(caught.value.obstacles) == 2


def test_sizes_of_outputs_are_bounded() -> None:
    config = chain("c", [layer("RepeatVector", n=1000)], build_input_shape=[None, 250])
    exact = Asked(Limits(max_tensor_bytes=1_000_000))
    assemble(Section("c", config), KERAS_3, exact)
    less = Asked(Limits(max_tensor_bytes=999_999))
    with pytest.raises(ModelFormatError, match="an output of 1000000 bytes, max_tensor_bytes is"):
        assemble(Section("c", config), KERAS_3, less)


def test_layers_of_inner_models_are_counted() -> None:
    inner = chain("i", [layer("Dense", name="d", units=3)])
    del inner["inbound_nodes"]
    config = chain("c", [inner, layer("Dense", name="e", units=3)], build_input_shape=[None, 3])
    assemble(Section("c", config), KERAS_3, Asked(Limits(max_layers=3)))
    with pytest.raises(ModelFormatError, match="3 layers, max_layers is 2"):
        assemble(Section("c", config), KERAS_3, Asked(Limits(max_layers=2)))


# ---- versions, and groups of older ones ----


@pytest.mark.parametrize(
    ("spelled", "version"),
    [
        ("2.2.4", Version(2, 2)),
        ("2.3.1", Version(2, 3)),
        ("2.2.4-tf", Version(2, 2, True)),
        ("2.4.0", Version(2, 4, True)),
        ("2.15.0", Version(2, 15, True)),
        ("3.0.0", Version(3, 0)),
        ("3.15.1.dev20250101", Version(3, 15)),
        ("3.15", Version(3, 15)),
        ("1.2.2", None),
        ("4.0.0", None),
        ("3", None),
        ("3.x", None),
        ("03.1", None),
        ("3.1 ", None),
        ("", None),
    ],
)
def test_versions(spelled: str, version: Version | None) -> None:
    assert parse_version(spelled) == version
    assert NEWEST >= (3, 8)
    assert not NEWEST.legacy


def groups_of(version: str) -> KerasFile:
    """`sample` as versions of Keras 2 name groups: another root, and a counter that skips."""
    file = sample()
    if version < "2.15":
        if version >= "2.14":
            root = "_layer_checkpoint_dependencies/"
            file.weights = {k.replace("layers/", root): v for k, v in file.weights.items()}
            file.names = {}
        else:
            file = as_keras_2_13(file)
    file.metadata["keras_version"] = version
    return file


@pytest.mark.parametrize("version", ["2.12.0", "2.13.1", "2.14.0", "2.15.0"])
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_groups_by_version(version: str, separator: str) -> None:
    """On Windows paths of groups were joined by backslashes."""
    file = groups_of(version)
    if separator == "\\":

        def joined(path: str) -> str:
            *groups, variables, last = path.split("/")
            return "\\".join(groups) + f"/{variables}/{last}"

        file.weights = {joined(k): v for k, v in file.weights.items()}
        file.names = {}
    model = fd.load(stream(file))
    expected = expected_sample()
    vars(expected[3])["recurrent_activation"] = "hard_sigmoid_legacy"
    for each in (expected[2], expected[3]):
        vars(each)["scheme"] = vars(model.layers[2])["scheme"]
    vars(expected[3])["scheme"] = vars(model.layers[3])["scheme"]
    assert same(model, expected)
    for other in {"2.13.1", "2.14.0", "2.15.0"} - {version, "2.13.1" if version < "2.13" else ""}:
        wrong = groups_of(other)
        wrong.metadata["keras_version"] = version
        with pytest.raises(ModelFormatError, match=r"missing|unexpected"):
            fd.load(stream(wrong))


@pytest.mark.parametrize("value", [True, False, 1.5, 3, "2", -1])
def test_implementations_that_are_refused(value: Any) -> None:
    file = sample()
    file.layer("first")["config"]["implementation"] = value
    with pytest.raises(ModelFormatError, match="implementation: expected 0, 1 or 2, found"):
        fd.load(stream(file))


def test_masks_recorded_in_real_calls_of_a_functional_model() -> None:
    """As `test_training_in_a_call`, through a whole file."""
    file = functional(sample())
    file.layer("first")["inbound_nodes"][0]["kwargs"] = {"training": None, "mask": None}
    assert same(fd.load(stream(file)), expected_sample())


def test_numbers_have_their_places() -> None:
    """Weights of two layers of one class are told apart by the counter alone."""
    layers = [
        input_layer([2], "float32"),
        *(layer("Dense", name=n, units=2, use_bias=False) for n in ("b", "a")),
    ]
    weights = {"dense/vars/0": numbers(2, 2), "dense_1/vars/0": numbers(2, 2, start=9)}
    first, second = fd.load(stream(sequential(layers, weights))).layers
    assert (first.name, second.name) == ("b", "a")
    assert np.array_equal(first.kernel, numbers(2, 2))
    assert np.array_equal(second.kernel, numbers(2, 2, start=9))

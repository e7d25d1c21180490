"""Models that are graphs of calls, written by hand: names, order, memory, rates, what is said."""

import pickle
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import Call, Model, layers
from fastdrop.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Elementwise,
    Embedding,
    Flow,
    Layer,
    Merge,
    SpatialDropout1D,
    TimeDistributed,
)
from fastdrop.layers._layer import Draw, Shape, Single
from fastdrop.model import _sampling
from layer_laws import normal

KEEP: dict[str, Any] = {"samples": 3, "rng": 5, "keep_samples": True}


def dense(name: str, inputs: int = 3, units: int = 3, **more: Any) -> Dense:
    return Dense(name=name, kernel=normal(inputs, units, seed=sum(map(ord, name))), **more)


def lstm(name: str, inputs: int = 3, units: int = 2, **more: Any) -> LSTM:
    return LSTM(
        name=name,
        kernel=normal(inputs, 4 * units, seed=len(name)),
        recurrent_kernel=normal(units, 4 * units),
        **more,
    )


def gru(name: str, inputs: int = 3, units: int = 2, **more: Any) -> GRU:
    return GRU(
        name=name,
        kernel=normal(inputs, 3 * units),
        recurrent_kernel=normal(units, 3 * units),
        **more,
    )


def drop(name: str, rate: float = 0.5) -> Dropout:
    return Dropout(name=name, rate=rate)


@dataclass(frozen=True, eq=False, kw_only=True)
class Probe(Single):
    """Add 1, and write down what was given."""

    shapes: list[tuple[int, ...]] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)
    # References, each of which must be dead when this layer runs.
    gone: Sequence[Any] = ()
    alive: Sequence[Any] = ()

    def forward(self, flow: Flow, draw: Draw | None) -> Flow:
        assert all(ref() is None for probe in self.gone for ref in probe.made)
        assert all(ref() is not None for probe in self.alive for ref in probe.made[-1:])
        self.shapes.append(flow.values.shape)
        values = flow.values + np.float32(1)
        self.made.append(weakref.ref(values))
        return Flow(values)


# ---- inputs ----


def two_inputs(**more: Any) -> Model:
    calls = [
        Call(dense("a", 2), "left"),
        Call(dense("b", 4), "right"),
        Call(Merge(name="m", function="subtract"), ["a", "b"]),
    ]
    return Model(calls, {"left": (2,), "right": (4,)}, **more)


def test_inputs_as_a_list_or_by_name() -> None:
    model = two_inputs()
    left, right = normal(5, 2), normal(5, 4)
    a, b = (call.layer.kernel for call in model._entries[:2])
    expected = left.astype(float) @ a - right.astype(float) @ b
    for x in (
        [left, right],
        (left, right),
        {"left": left, "right": right},
        {"right": right, "left": left},  # names decide, not their order
        [left.tolist(), right.tolist()],
    ):
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    assert model.input_names == ("left", "right")
    assert model.input_shape == {"left": (2,), "right": (4,)}


def test_one_input_by_name() -> None:
    model = Model([dense("d", 2)], {"words": (2,)})
    x = normal(3, 2)
    assert model.input_shape == (2,)
    assert model.input_names == ("words",)
    assert np.array_equal(model.predict({"words": x}), model.predict(x))
    with pytest.raises(ValueError, match="x: expected arrays by the names 'words', got 'input'"):
        model.predict({"input": x})
    assert Model([dense("d", 2)], (2,)).input_names == ("input",)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ({"left": 0}, ValueError, "x: expected arrays by the names 'left', 'right', got 'left'"),
        (
            {"left": 0, "right": 0, "more": 0},
            ValueError,
            "x: expected arrays by the names 'left', 'right', got 'left', 'right', 'more'",
        ),
        ({"left": 0, "other": 0}, ValueError, "got 'left', 'other'"),
        ([np.ones((1, 2))], ValueError, r"x: expected 2 arrays \(left, right\), got 1"),
        ([np.ones((1, 2))] * 3, ValueError, "x: expected 2 arrays .*, got 3"),
        (np.ones((2, 2)), TypeError, "x: expected 2 arrays in a list or dict, got float64"),
        (
            [np.ones((3, 2)), np.ones((2, 4))],
            ValueError,
            r"x\['right'\]: expected 3 rows, as the first has, got",
        ),
        (
            [np.ones((2, 2)), np.ones((3, 4))],
            ValueError,
            r"x\['right'\]: expected 2 rows, as the first has, got",
        ),
        (
            [np.ones((3, 2)), np.ones((3, 5))],
            ValueError,
            r"x\['right'\]: expected shape \(batch, 4\)",
        ),
        ([np.ones((3, 2, 1)), np.ones((3, 4))], ValueError, r"x\['left'\]: expected shape"),
        ([np.ones((3, 2)), [["a"] * 4] * 3], TypeError, r"x\['right'\]: expected an array of"),
    ],
)
def test_inputs_that_do_not_fit(x: Any, error: type[Exception], message: str) -> None:
    for run in (two_inputs().predict, two_inputs().mc_predict):
        with pytest.raises(error, match=message):
            run(x)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ({}, ValueError, "input_shape: expected at least one input"),
        ({1: (2,)}, TypeError, "input_shape: expected a str, got 1"),
        ({"a": 2}, TypeError, r"input_shape\['a'\]: expected a sequence"),
        ({"a": (-1,)}, ValueError, r"input_shape\['a'\]: expected an integer >= 0"),
    ],
)
def test_input_shapes_that_are_refused(shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Model([dense("d", 2)], shape)


def test_indices_are_checked_for_each_reader() -> None:
    """Where only embeddings read an input it is indices; where others do, numbers too."""
    table = normal(5, 3)
    words = Embedding(name="e", table=table)
    short = Embedding(name="s", table=normal(3, 3, seed=1))
    calls = [Call(words, "input"), Call(short, "input"), Call(Merge(name="m", function="add"))]
    both = Model([*calls[:2], Call(calls[2].layer, ["e", "s"])], (4,))
    with pytest.raises(ValueError, match=r"x: expected indices in \[0, 3\) for layer 's', got 4"):
        both.predict([[0, 1, 4, 2]])
    x = np.array([[0.0, 1.0, 2.0, 2.0]])
    assert np.array_equal(both.predict(x)[0], table[[0, 1, 2, 2]] + short.table[[0, 1, 2, 2]])
    # As numbers and as indices.
    mixed = Model([Call(words, "input"), Call(dense("d", 4, 2), "input")], (4,), outputs=["e", "d"])
    e, d = mixed.predict(x)
    assert np.array_equal(e[0], table[[0, 1, 2, 2]])
    np.testing.assert_allclose(d, x @ mixed.layers[1].kernel, rtol=1e-5)
    with pytest.raises(ValueError, match=r"got 0\.5 at row 0, position 1"):
        mixed.predict([[0, 0.5, 1, 1]])


def test_indices_of_a_row_without_axes() -> None:
    words = Model([Embedding(name="e", table=normal(3, 2))], ())
    assert np.array_equal(words.predict([2, 0]), words.layers[0].table[[2, 0]])
    with pytest.raises(ValueError, match=r"for layer 'e', got 3 at row 1$"):
        words.predict([0, 3])


def test_indices_of_every_sample_are_checked() -> None:
    """Doubled by dropout in the second sample, the index is beyond the table."""
    kept = [
        fd.dropout(np.ones((1, 1), "f4"), 0.5, rng=fd.Key(0).fold_in(0), stream=m).any()
        for m in range(40)
    ]
    first = next(m for m in range(39) if not kept[m] and kept[m + 1])
    model = Model([drop("d"), Embedding(name="e", table=normal(3, 2))], (1,))
    options: dict[str, Any] = {"rng": 0, "first_sample": first, "threads": 1}
    model.mc_predict([[2.0]], samples=1, **options)
    with pytest.raises(ValueError, match=r"layer 'e' input: expected indices in .*, got 4\.0"):
        model.mc_predict([[2.0]], samples=2, **options)


# ---- outputs ----


@pytest.mark.parametrize("named", [False, True])
def test_outputs(named: bool) -> None:
    calls = [dense("a"), drop("d"), dense("b")]
    x = normal(4, 3)
    chain = Model(calls, (3,))
    last = chain.predict(x)
    first = Model(calls[:1], (3,)).predict(x)
    for outputs in ("b", ["b"], {"y": "b"}):
        model = Model(calls, (3,), outputs=outputs)
        got = model.predict(x)
        p = model.mc_predict(x, **KEEP)
        shape = model.output_shape
        if isinstance(outputs, list):
            (got,), (p,), (shape,) = got, p, shape
        elif isinstance(outputs, dict):
            assert [*got] == [*p] == [*shape] == ["y"]
            got, p, shape = got["y"], p["y"], shape["y"]
        assert np.array_equal(got, last)
        assert shape == (3,)
        assert np.array_equal(p.samples, chain.mc_predict(x, **KEEP).samples)
    outputs = {"late": "b", "early": "a"} if named else ["b", "a"]
    model = Model(calls, (3,), outputs=outputs)
    got = model.predict(x)
    assert type(got) is type(outputs)
    values = [*got.values()] if named else got
    assert np.array_equal(values[0], last)
    assert np.array_equal(values[1], first)
    assert (not named) or [*got] == ["late", "early"]
    samples = model.mc_predict(x, **KEEP)
    p = samples["early"] if named else samples[1]
    assert np.array_equal(p.samples, np.stack([first] * 3))  # nothing random before it
    assert (p.std == 0).all()
    assert p.mean.shape == (4, 3)


def test_outputs_that_are_inputs_or_twice_the_same() -> None:
    model = Model([dense("a"), drop("d")], (3,), outputs=["input", "d", "a", "d"])
    x = normal(4, 3)
    given, d, a, again = model.predict(x)
    assert np.array_equal(given, x)
    assert np.array_equal(a, d)
    assert np.array_equal(d, again)
    samples = [p.samples for p in model.mc_predict(x, **KEEP)]
    assert np.array_equal(samples[0], np.stack([x] * 3))
    assert np.array_equal(samples[1], samples[3])
    assert not np.array_equal(samples[1], samples[2])
    assert Model([drop("d")], (3,), outputs="input").predict(x).tobytes() == x.tobytes()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("b", "outputs: no tensor is called 'b'"),
        (["a", "a:1"], "outputs: no tensor is called 'a:1'"),
        ([], r"outputs: expected at least one tensor, got \[\]"),
        ({}, r"outputs: expected at least one tensor, got \{\}"),
    ],
)
def test_outputs_that_are_refused(outputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model([dense("a")], (3,), outputs=outputs)


def test_tensors_of_a_call_that_makes_several() -> None:
    """`name` is the first, `name:1` the second and so on; not all need be read."""
    layer = lstm("l", return_state=True, dropout=0.4, recurrent_dropout=0.4)
    x = normal(4, 5, 3)
    whole = Model([layer], (5, 3), outputs=["l", "l:1", "l:2"])
    y, h, c = whole.predict(x)
    assert np.array_equal(y, h)
    assert not np.array_equal(h, c)
    assert whole.output_shapes == [[(2,), (2,), (2,)]]
    samples = [p.samples for p in whole.mc_predict(x, **KEEP)]
    for name, expected, drawn in (("l", y, samples[0]), ("l:2", c, samples[2])):
        model = Model([layer], (5, 3), outputs=name)
        assert np.array_equal(model.predict(x), expected)
        assert np.array_equal(model.mc_predict(x, **KEEP).samples, drawn)
    # A chain goes on with the first.
    chain = Model([layer, dense("d", 2)], (5, 3))
    assert np.array_equal(chain.predict(x), Model([dense("d", 2)], (2,)).predict(y))
    # A call of another name.
    named = Model([Call(layer, "input", "other"), Call(dense("d", 2), "other:2")], (5, 3))
    assert np.array_equal(named.predict(x), Model([dense("d", 2)], (2,)).predict(c))


# ---- calls ----


def test_a_tensor_read_twice_and_a_shared_layer() -> None:
    shared = dense("s", 3, 3, activation="tanh")
    calls = [
        Call(shared, "input"),
        Call(shared, "s", "again"),
        Call(Merge(name="m", function="add"), ["again", "again"]),
        Call(Concatenate(name="c"), ["m", "s", "input"]),
    ]
    model = Model(calls, (3,))
    x = normal(4, 3)
    one = np.tanh(x.astype(float) @ shared.kernel)
    two = np.tanh(one @ shared.kernel)
    expected = np.concatenate([2 * two, one, x], axis=1)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    assert model.layers == (shared, calls[2].layer, calls[3].layer)
    assert len(model.graph.steps) == 4


def test_a_layer_in_a_chain_twice() -> None:
    """Its second tensor gets a name of its own, which can be asked for."""
    d = dense("d")
    x = normal(4, 3)
    model = Model([d, d, d], (3,), outputs=["d", "d@1", "d@2"])
    assert model.graph.names == ["input", "d", "d@1", "d@2"]
    one, two, three = model.predict(x)
    once = Model([d], (3,))
    assert np.array_equal(two, once.predict(one))
    assert np.array_equal(three, once.predict(two))


def test_a_layer_named_like_the_input() -> None:
    model = Model([dense("input"), dense("b")], (3,))
    assert model.graph.names == ["input", "input@1", "b"]
    by_hand = Model([Call(dense("input"), "input", "x"), Call(dense("b"))], (3,))
    assert np.array_equal(model.predict(normal(2, 3)), by_hand.predict(normal(2, 3)))


def test_training_false_switches_off_in_that_call_alone() -> None:
    shared = drop("d")
    calls = [Call(shared, "input", training=False), Call(shared, "input", "on", training=True)]
    model = Model(calls, (40,), outputs=["d", "on"])
    off, on = (p.samples for p in model.mc_predict(np.ones((2, 40)), **KEEP))
    assert (off == 1).all()
    assert set(np.unique(on)) == {0, 2}
    # It is counted all the same: the second call draws with the second key.
    both = Model([Call(shared), Call(shared, "input", "on")], (40,), outputs="on")
    assert not np.array_equal(on, both.mc_predict(np.ones((2, 40)), **KEEP).samples)
    expected = fd.dropout(np.ones((2, 40), "f4"), 0.5, rng=fd.Key(5).fold_in(1), stream=2)
    assert np.array_equal(on[2], expected)
    alone = Model([Call(shared, training=False)], (3,))
    assert not alone.stochastic
    with pytest.raises(ValueError, match="nothing is stochastic"):
        alone.mc_predict(np.ones((1, 3)))


def test_what_no_output_needs_does_not_run() -> None:
    unused, used = Probe(name="unused"), Probe(name="used")
    calls = [Call(used, "input"), Call(unused, "used"), Call(drop("d"), "used")]
    model = Model(calls, (3,), outputs="d")
    model.predict(np.ones((2, 3)), threads=1)
    model.mc_predict(np.ones((2, 3)), samples=2, rng=0, threads=1)
    assert unused.shapes == []
    assert len(used.shapes) == 2
    assert [layer.name for layer in model.layers] == ["used", "d"]
    # Nor is it counted.
    before = Model([Call(drop("no"), "input"), Call(drop("d"), "input")], (9,), outputs="d")
    plain = Model([drop("d")], (9,))
    x = np.ones((2, 9))
    assert np.array_equal(before.mc_predict(x, **KEEP).samples, plain.mc_predict(x, **KEEP).samples)
    # The last entry is what a model puts out, where nothing else is said.
    assert np.array_equal(Model(calls, (3,)).predict(x[:, :3]), 1 + x[:, :3])


def test_an_input_that_no_layer_reads() -> None:
    model = Model([Call(dense("d"), "a")], {"a": (3,), "b": (None, 2)})
    x = normal(2, 3)
    expected = Model([dense("d")], (3,)).predict(x)
    assert np.array_equal(model.predict([x, np.ones((2, 7, 2))]), expected)
    with pytest.raises(ValueError, match=r"x\['b'\]: expected shape \(batch, any, 2\)"):
        model.predict([x, np.ones((2, 7))])


def test_the_order_of_running() -> None:
    """Always the first in the list whose inputs are there."""
    calls = [
        Call(Merge(name="sum", function="add"), ["late", "early"]),
        Call(Probe(name="late"), "early"),
        Call(Probe(name="aside"), "input"),
        Call(Probe(name="early"), "input"),
    ]
    model = Model(calls, (3,), outputs=["sum", "aside"])
    assert [step.layer.name for step in model.graph.steps] == ["aside", "early", "late", "sum"]
    assert np.array_equal(model.predict(np.zeros((1, 3)))[0], [[3, 3, 3]])


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([Call(dense("a"), "b"), Call(dense("b"), "a")], "layer 'a': it waits for what it makes"),
        ([Call(dense("a"), "a")], "layer 'a': it waits for what it makes itself"),
        ([dense("x"), Call(dense("a"), "b"), Call(dense("b"), "a")], "layer 'a': it waits"),
        ([Call(dense("a"), "nowhere")], "layer 'a': no tensor is called 'nowhere'"),
        ([Call(dense("a"), "input:1")], "layer 'a': no tensor is called 'input:1'"),
        ([Call(dense("a"), "nowhere"), Call(dense("b"), "input")], "no tensor is called 'nowhere'"),
        ([dense("a"), Call(dense("b"), "a:1")], "layer 'b': no tensor is called 'a:1'"),
        ([dense("a"), Call(dense("b"), "input", "a")], "calls of different names, got 'a' twice"),
        ([Call(dense("a"), "input", "input")], "calls of different names, got 'input' twice"),
    ],
)
def test_calls_that_are_refused(calls: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model(calls, (3,))


def test_the_first_of_several_inputs_must_be_named() -> None:
    with pytest.raises(ValueError, match="layer 'd': expected the names of the inputs it takes"):
        Model([dense("d", 2)], {"a": (2,), "b": (2,)})
    # The second goes on with what the first makes.
    model = Model([Call(dense("d", 2), "b"), dense("e")], {"a": (2,), "b": (2,)})
    assert [model.graph.names[i] for i in model.graph.steps[1].inputs] == ["d"]


@pytest.mark.parametrize(
    "layer", [dense("d"), TimeDistributed(name="t", layer=dense("d")), Probe(name="p")]
)
def test_layers_of_one_input_refuse_two(layer: Layer) -> None:
    with pytest.raises(ValueError, match="expected one input, got 2"):
        Model([Call(layer, ["a", "b"])], {"a": (2, 3), "b": (2, 3)})


# ---- memory ----


def test_tensors_are_freed_after_their_last_reader() -> None:
    a, b = Probe(name="a"), Probe(name="b")
    c = Probe(name="c", alive=[b, a])
    d = Probe(name="d", gone=[b], alive=[a, c])
    e = Probe(name="e", alive=[a])  # c is still in the hands of what ran it
    f = Probe(name="f", gone=[b, c, d], alive=[a])
    calls = [
        Call(a, "input"),
        Call(b, "a"),
        Call(c, "b"),
        Call(d, "c"),
        Call(e, "d"),
        Call(f, "e"),
        Call(Merge(name="m", function="add"), ["a", "f"]),
        Call(drop("x"), "m"),
    ]
    x = np.zeros((2, 3))
    assert np.array_equal(Model(calls, (3,)).predict(x, threads=1), np.full((2, 3), 7))
    for probe in (a, b, c, d, e, f):
        probe.made.clear()
    Model(calls, (3,)).mc_predict(x, samples=2, rng=0, threads=1)
    # Behind something random the same, for each of the chunks.
    for probe in (a, b, c, d, e, f):
        probe.made.clear()
    later = [Call(drop("x"), "input"), replace(calls[0], inputs="x"), *calls[1:-1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sampling, "_CHUNK_ROWS", 2)
        Model(later, (3,)).mc_predict(x, samples=3, rng=0, threads=1)
    assert len(a.made) == 3


def test_what_is_put_out_is_kept() -> None:
    a = Probe(name="a")
    calls = [a, Probe(name="b", alive=[a]), Probe(name="c", alive=[a]), drop("d")]
    outputs = Model(calls, (3,), outputs=["a", "d"]).predict(np.zeros((2, 3)))
    assert [y[0, 0] for y in outputs] == [1, 3]


def fork(width: int, kind: Any = dense) -> Model:
    """Three wide branches that all live until they are put together."""
    calls = [
        *(Call(kind(name, 4, width), "input") for name in "abc"),
        Call(Merge(name="m", function="add"), ["a", "b", "c"]),
        Call(dense("d", width, 1)),
        drop("x"),
    ]
    return Model(calls, (4,))


def test_sizes_are_those_of_the_inputs_at_hand() -> None:
    """Whatever was asked for before."""
    graph = Model([drop("x")], (None, 3)).graph
    for length in (5, 9, 9, 2):
        assert graph.sizes([(length, 3)]) == ([(length, 3)] * 2, 2 * 3 * length)


def test_the_peak_is_what_is_alive_at_once() -> None:
    """Inputs, and outputs besides them; what is no longer needed is not counted."""

    def peak(model: Model) -> int:
        shapes = [model.graph.shapes[i] for i in model.graph.inputs]
        return model.graph.peak(model.graph.lengths(shapes))

    # a, b and c beside what they become; the input is forgotten when c has taken it.
    assert peak(fork(100)) == 400
    chain = Model([dense("a", 4, 100), dense("b", 100, 90), dense("c", 90, 1)], (4,))
    assert peak(chain) == 190
    kept = Model([dense("a", 4, 100), dense("b", 100, 90), dense("c", 90, 1)], (4,), outputs="a")
    assert peak(kept) == 104
    both = ["a", "c"]
    kept = Model([dense("a", 4, 100), dense("b", 100, 90), dense("c", 90, 1)], (4,), outputs=both)
    assert peak(kept) == 191
    # Outputs that nobody reads are forgotten at once.
    unread = Model(
        [lstm("l", 3, 50, return_state=True), dense("d", 50, 1), dense("e", 1, 70)], (1, 3)
    )
    assert peak(unread) == 3 + 150 + 200
    later = Model([lstm("l", 1, 50, return_state=True), dense("d", 50, 500)], (1, 1))
    assert peak(later) == 550
    # What a layer takes while it runs, and states that nobody reads.
    states = Model([lstm("l", 3, 2, return_state=True)], (5, 3))
    assert peak(states) == 15 + 3 * 2 + 12
    assert peak(Model([dense("d", 1, 1)], (1,))) == 2
    assert peak(Model([Call(dense("d"), "a")], {"a": (3,), "b": (9,)})) == 15
    assert Model([dense("d", 3, 0)], (3,)).graph.peak([(0,), (0,)]) == 1


@pytest.mark.parametrize(("rows_fit", "height"), [(5, 5), (4, 4), (1, 1), (0, 1), (1000, 20)])
def test_chunks_are_sized_by_what_is_alive(rows_fit: int, height: int) -> None:
    model = fork(100)
    probe = Probe(name="p")
    entries = [Call(probe, "input"), *(replace(e, inputs="p") for e in model._entries[:3])]
    entries += list(model._entries[3:])
    model = Model(entries, (4,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sampling, "_CHUNK_BYTES", 6 * 400 * rows_fit)
        x = normal(20, 4)
        y = model.predict(x, threads=1)
        assert max(shape[1] for shape in probe.shapes) == height
        assert sum(shape[1] for shape in probe.shapes) == 20
        probe.shapes.clear()
        p = model.mc_predict(x, **KEEP, threads=1)
        assert max(shape[1] for shape in probe.shapes) == height
        assert sum(shape[1] for shape in probe.shapes) == 20
    assert np.array_equal(model.predict(x), y)
    assert np.array_equal(model.mc_predict(x, **KEEP).samples, p.samples)


def test_rows_together_are_bounded_and_even(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(name="p")
    model = Model([probe, drop("d")], (3,))
    model.predict(normal(1000, 3), threads=1)
    assert [shape[1] for shape in probe.shapes] == [250] * 4  # at most 256
    probe.shapes.clear()
    model.predict(normal(100, 3), threads=3)
    assert sorted(shape[1] for shape in probe.shapes) == [32, 34, 34]
    # Samples of a block of rows go together as far as there is room.
    later = Probe(name="q")
    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 10)
    Model([drop("d"), later], (3,)).mc_predict(normal(4, 3), samples=7, rng=0, threads=1)
    assert [shape[:2] for shape in later.shapes] == [(2, 4), (2, 4), (2, 4), (1, 4)]


# ---- what is random ----


@pytest.mark.parametrize("threads", [1, 3])
def test_what_has_no_random_ancestor_runs_once(threads: int) -> None:
    before, beside, behind = Probe(name="before"), Probe(name="beside"), Probe(name="behind")
    calls = [
        Call(before, "input"),
        Call(drop("d"), "before"),
        Call(beside, "before"),
        Call(behind, "d"),
        Call(Merge(name="m", function="add"), ["behind", "beside"]),
    ]
    model = Model(calls, (3,))
    x = normal(5, 3)
    model.mc_predict(x, samples=300, rng=0, threads=threads)
    assert sum(shape[0] * shape[1] for shape in before.shapes) == 5
    assert sum(shape[0] * shape[1] for shape in beside.shapes) == 5
    assert sum(shape[0] * shape[1] for shape in behind.shapes) == 5 * 300
    random = {step.layer.name: (step.draws, step.random) for step in model.graph.steps}
    assert random == {
        "before": (False, False),
        "d": (True, True),
        "beside": (False, False),
        "behind": (False, True),
        "m": (False, True),
    }
    # A call that is random by its second input alone.
    by_second = Model([*calls[:-1], Call(calls[-1].layer, ["beside", "behind"])], (3,))
    assert np.array_equal(
        by_second.mc_predict(x, **KEEP).samples, model.mc_predict(x, **KEEP).samples
    )


def test_all_tensors_of_a_random_call_are_random() -> None:
    layer = lstm("l", return_state=True, dropout=0.5)
    model = Model([layer, Call(dense("d", 2), "l:2")], (5, 3))
    assert model.graph.steps[1].random
    assert len(np.unique(model.mc_predict(normal(1, 5, 3), **KEEP).samples[:, 0, 0])) == 3


def test_an_embedding_read_by_two_layers() -> None:
    """The recurrent layer takes the table, the other the rows looked up; both as if alone."""
    table = normal(7, 3)
    words = Embedding(name="e", table=table, mask_zero=True)
    recurrent = lstm("l", recurrent_dropout=0.3)
    x = np.random.default_rng(0).integers(0, 7, (5, 4))
    calls = [Call(words, "input"), Call(recurrent, "e"), Call(dense("d"), "e")]
    model = Model(calls, (4,), outputs=["l", "d", "e"])
    alone = [Model(e, (4,)) for e in ([words, recurrent], [words, dense("d")], [words])]
    for got, single in zip(model.predict(x), alone, strict=True):
        assert np.array_equal(got, single.predict(x))
    got = model.mc_predict(x, **KEEP)
    assert np.array_equal(got[0].samples, alone[0].mc_predict(x, **KEEP).samples)
    assert np.array_equal(got[1].samples, np.stack([alone[1].predict(x)] * 3))
    assert np.array_equal(got[2].samples, np.stack([table[x]] * 3))


def test_tables_are_looked_up_once_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Embedding(name="e", table=normal(7, 3))
    taken = []
    looked_up = Flow.looked_up
    monkeypatch.setattr(
        Flow,
        "looked_up",
        lambda self: (self.table is not None and taken.append(1)) or looked_up(self),
    )
    monkeypatch.setattr(_sampling, "_CHUNK_ROWS", 2)
    x = np.zeros((1, 4), int)
    Model([words, drop("d")], (4,)).mc_predict(x, samples=10, rng=0, threads=1)
    assert len(taken) == 1
    # A layer that takes the table gets it: nothing is looked up at all.
    taken.clear()
    Model([words, lstm("l", dropout=0.5)], (4,)).mc_predict(x, samples=10, rng=0, threads=1)
    assert taken == []


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_a_second_drop_of_channels_keeps_the_first(backend: str, scope: str) -> None:
    """Looked up between the two, or never: the channels that either drops are dropped."""
    words = Embedding(name="e", table=normal(7, 30))
    x = np.random.default_rng(0).integers(0, 7, (4, 5))
    first, second = (SpatialDropout1D(name=f"s{i}", rate=0.4) for i in range(2))
    recurrent = lstm("l", 30)
    options = KEEP | {"scope": scope}
    kept, looked_up = (
        Model([words, first, between, second], (5,)).mc_predict(x, **options).samples
        for between in (SpatialDropout1D(name="n", rate=0.0), drop("n", 0.0))
    )
    assert np.array_equal(kept, looked_up)
    assert np.array_equal(
        *(
            Model([words, first, between, second, recurrent], (5,)).mc_predict(x, **options).samples
            for between in (SpatialDropout1D(name="n", rate=0.0), drop("n", 0.0))
        )
    )
    # 0.6 * 0.6 of the channels are left, at 1 / 0.36 of what they were.
    assert abs((kept != 0).mean() - 0.36) < 0.12
    left = kept[kept != 0] / np.broadcast_to(words.table[x], kept.shape)[kept != 0]
    np.testing.assert_allclose(left, 1 / 0.36, rtol=1e-5)


def test_channels_scaled_beyond_float32_are_infinite() -> None:
    words = Embedding(name="e", table=np.full((3, 9), 3e38, np.float32))
    model = Model([words, SpatialDropout1D(name="s", rate=0.5)], (4,))
    assert {*np.unique(model.mc_predict([[0, 1, 2, 0]], **KEEP).samples)} == {0, np.inf}


# ---- numbers of rows and samples ----


@pytest.mark.parametrize(
    ("layer", "shape", "elements"),
    [
        (drop("d"), (100,), 100),
        (SpatialDropout1D(name="s", rate=0.5), (7, 10), 70),
        (lstm("l", 100, 1, dropout=0.5), (3, 100), 400),  # four gates have masks of the input
        (lstm("l", 2, 100, dropout=0.5), (3, 2), 400),  # and of the state
        (lstm("l", 3, 2, dropout=0.5, scheme="per_step"), (5, 3), 3 << 24),
        (TimeDistributed(name="t", layer=drop("d")), (7, 100), 700),
        (TimeDistributed(name="t", layer=lstm("l", 3, 2, dropout=0.5)), (7, 5, 3), 7 * 12),
    ],
    ids=str,
)
def test_the_last_row_there_can_be(layer: Layer, shape: Shape, elements: int) -> None:
    model = Model([layer, *([dense("d")] if shape == (3,) else [])], shape)
    x = normal(2, *shape)
    last = 2**63 // elements - 2
    model.mc_predict(x, samples=1, rng=0, row_offset=last)
    with pytest.raises(ValueError, match=f"row_offset: expected at most {last} here"):
        model.mc_predict(x, samples=1, rng=0, row_offset=last + 1)


def test_the_last_row_follows_the_largest_mask() -> None:
    """Of all calls that draw; those that draw nothing do not count."""
    wide, narrow = dense("w", 3, 100), dense("n", 100, 3)
    x = normal(1, 3)
    for calls, elements in (
        ([drop("a"), wide, drop("b"), narrow], 100),
        ([wide, drop("b"), narrow, drop("a")], 100),
        ([drop("a"), wide, drop("b", 0.0), narrow], 3),
        ([drop("a"), wide, Call(drop("b"), training=False), narrow], 3),
    ):
        model = Model(calls, (3,))
        last = 2**63 // elements - 1
        model.mc_predict(x, samples=1, rng=0, row_offset=last)
        with pytest.raises(ValueError, match="row_offset"):
            model.mc_predict(x, samples=1, rng=0, row_offset=last + 1)


def test_a_model_that_draws_nothing_has_any_rows() -> None:
    model = Model([drop("d", 0.0), dense("e")], (3,))
    with pytest.raises(
        ValueError, match=r"nothing is stochastic; .* model\.with_rates\({'d': 0.2}\)"
    ):
        model.mc_predict(normal(1, 3), rng=0, row_offset=2**62)


def test_the_last_sample_there_can_be() -> None:
    model = Model([drop("d")], (30,))
    x = np.ones((1, 30))
    last = 2**32 - 1
    p = model.mc_predict(x, samples=1, rng=0, first_sample=last, keep_samples=True)
    expected = fd.dropout(x.astype("f4"), 0.5, rng=fd.Key(0).fold_in(0), stream=last)
    assert np.array_equal(p.samples[0], expected)
    for samples, first in ((2, last), (2**32, 1)):
        with pytest.raises(ValueError, match="samples: expected"):
            model.mc_predict(x, samples=samples, rng=0, first_sample=first)
    with pytest.raises(ValueError, match="first_sample: expected"):
        model.mc_predict(x, samples=1, rng=0, first_sample=2**32)
    with pytest.raises(ValueError, match="first_sample: expected"):
        model.mc_predict(x, samples=1, rng=0, first_sample=-1)
    with pytest.raises(ValueError, match="samples: expected"):
        model.mc_predict(x, samples=0, rng=0)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_a_sample_has_its_number_whoever_asks(scope: str) -> None:
    model = Model([drop("a"), lstm("l", dropout=0.4, recurrent_dropout=0.4)], (4, 3))
    x = normal(3, 4, 3)
    options: dict[str, Any] = {"rng": 7, "scope": scope, "keep_samples": True}
    whole = model.mc_predict(x, samples=9, **options).samples
    for first in (0, 1, 8):
        part = model.mc_predict(x, samples=9 - first, first_sample=first, **options).samples
        assert np.array_equal(part, whole[first:])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scope": "rows"}, ValueError, "scope: expected 'per_row' or 'shared', got 'rows'"),
        ({"keep_samples": 1}, TypeError, "keep_samples: expected True or False, got 1"),
        ({"threads": 0}, ValueError, "threads: expected"),
        ({"samples": 1.5}, TypeError, "samples: expected an integer"),
        ({"first_sample": None}, TypeError, "first_sample: expected an integer"),
        ({"row_offset": -1}, ValueError, "row_offset: expected"),
        ({"rng": "seed"}, TypeError, "rng: expected"),
    ],
)
def test_arguments_that_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = Model([drop("d")], (3,))
    with pytest.raises(error, match=message):
        model.mc_predict(np.ones((1, 3)), **options)


def test_rows_share_their_masks_or_not() -> None:
    model = Model([drop("d"), lstm("l", dropout=0.4)], (4, 3))
    x = np.repeat(normal(1, 4, 3), 5, axis=0)
    shared, own = (
        model.mc_predict(x, **KEEP, scope=scope).samples for scope in ("shared", "per_row")
    )
    assert np.array_equal(shared, np.repeat(shared[:, :1], 5, axis=1))
    assert all(len(np.unique(own[m, :, 0])) == 5 for m in range(3))


def test_no_rows() -> None:
    """Every output has its shape, the lengths left open among them."""
    calls = [lstm("l", return_sequences=True), drop("d")]
    model = Model(calls, (None, 3), outputs={"y": "d", "z": "l"})
    for y in model.predict(np.ones((0, 7, 3))).values():
        assert y.shape == (0, 7, 2)
    for p in model.mc_predict(np.ones((0, 7, 3)), **KEEP).values():
        assert p.mean.shape == (0, 7, 2)
        assert p.samples.shape == (3, 0, 7, 2)


def test_samples_are_kept_on_request_alone() -> None:
    model = Model([drop("d")], (3,))
    p = model.mc_predict(np.ones((2, 3)), rng=0)
    assert p.samples is None
    assert p.n_samples == 200
    assert model.mc_predict(np.ones((2, 3)), 7, rng=0, keep_samples=True).samples.shape == (7, 2, 3)


# ---- rates ----


def rated() -> Model:
    return Model(
        [
            drop("first", 0.0),
            lstm("l", scheme="keras", return_sequences=True),
            TimeDistributed(name="t", layer=drop("inner", 0.0)),
            Bidirectional(
                name="b",
                forward=gru("f", 2, return_sequences=True),
                backward=gru("g", 2, return_sequences=True, go_backwards=True),
            ),
        ],
        (4, 3),
    )


def test_rates_of_all_recurrent_layers() -> None:
    model = rated().with_rates(0.25)
    assert [layer.rates() for layer in model.layers] == [
        {"rate": 0.0},
        {"dropout": 0.25, "recurrent_dropout": 0.25},
        {"rate": 0.0},
        {"dropout": 0.25, "recurrent_dropout": 0.25},
    ]
    both = model.layers[3]
    assert isinstance(both, Bidirectional)
    for part in both.parts:
        assert part.rates() == {"dropout": 0.25, "recurrent_dropout": 0.25}
    # Nothing was changed in the one there was, and no weight is copied.
    assert not rated().stochastic
    before = rated()
    after = before.with_rates(0.5)
    assert not before.stochastic
    assert after.stochastic
    assert np.shares_memory(after.layers[1].kernel, before.layers[1].kernel)


def test_rates_by_layer() -> None:
    model = rated().with_rates({"first": 0.3, "l": {"dropout": 0.1}, "t": 0.2, "b": {"dropout": 0}})
    first, recurrent, timed, both = model.layers
    assert first.rates() == {"rate": 0.3}
    assert recurrent.rates() == {"dropout": 0.1, "recurrent_dropout": 0.0}
    assert timed.rates() == {"rate": 0.2}
    assert timed.parts[0].rate == 0.2
    assert both.rates() == {"dropout": 0, "recurrent_dropout": 0.0}
    assert model.with_rates({}).layers[0].rates() == {"rate": 0.3}
    nested = TimeDistributed(name="s", layer=TimeDistributed(name="ss", layer=drop("d", 0.0)))
    (outer,) = Model([nested], (2, 2, 3)).with_rates({"s": 0.4}).layers
    assert outer.parts[0].parts[0].rate == 0.4


def test_masks_follow_the_rates() -> None:
    """Keras gives each gate its own mask once there is recurrent dropout, by whatever way."""
    x = normal(3, 4, 3)
    for rates, scheme in (
        ({"dropout": 0.4}, "tied"),
        ({"dropout": 0.4, "recurrent_dropout": 0.3}, "per_gate"),
    ):
        model = Model([lstm("l", scheme="keras")], (4, 3)).with_rates({"l": rates})
        expected = Model([lstm("l", scheme=scheme, **rates)], (4, 3))
        assert model.layers[0].drawn_scheme == scheme
        assert np.array_equal(
            model.mc_predict(x, **KEEP).samples, expected.mc_predict(x, **KEEP).samples
        )


def test_rates_of_shared_layers_change_in_all_calls() -> None:
    shared = drop("d", 0.0)
    calls = [Call(shared, "input"), Call(shared, "input", "again"), Call(dense("e"), "again")]
    model = Model(calls, (3,), outputs={"y": "d", "z": "again", "e": "e"}, source="me", notes=["n"])
    changed = model.with_rates({"d": 0.5})
    assert [step.draws for step in changed.graph.steps] == [True, True, False]
    assert len(changed.layers) == 2
    assert (changed.source, changed.notes) == ("me", ("n",))
    assert [*changed.output_shape] == ["y", "z", "e"]
    assert changed.input_names == model.input_names


def test_layers_of_one_name_all_get_its_rates() -> None:
    model = Model([drop("d", 0.0), dense("e"), drop("d", 0.1)], (3,)).with_rates({"d": 0.5})
    assert [layer.rate for layer in (model.layers[0], model.layers[2])] == [0.5, 0.5]
    assert Model([Call(drop("d"), training=False)], (3,)).with_rates({"d": 0.2}).stochastic is False


@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        ({"x": 0.1}, ValueError, r"one of the layers with rates \(first, l, t, b\), got 'x'"),
        ({"inner": 0.1}, ValueError, r"\(first, l, t, b\), got 'inner'"),
        (
            {"l": {"rate": 0.1}},
            ValueError,
            "'l' rates: .*'recurrent_dropout' or 'weight_dropout', got",
        ),
        ({"first": {"dropout": 0.1}}, ValueError, "layer 'first' rates: expected 'rate', got"),
        ({"l": 1.0}, ValueError, "layer 'l' dropout: expected"),
        ({"first": "much"}, TypeError, "layer 'first' rate: expected a number"),
        ({"t": 2}, ValueError, "layer 'inner' rate: expected a number in"),
        ("much", TypeError, "layer 'l' dropout: expected a number"),
        (-0.1, ValueError, "layer 'l' dropout: expected"),
    ],
)
def test_rates_that_are_refused(rates: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rated().with_rates(rates)


def test_rates_where_there_is_nothing_to_set() -> None:
    model = Model([dense("d")], (3,))
    with pytest.raises(ValueError, match=r"with rates \(there is none\), got 'd'"):
        model.with_rates({"d": 0.1})
    with pytest.raises(ValueError, match=r"rates: expected rates by layer: none is recurrent"):
        model.with_rates(0.1)
    with pytest.raises(ValueError, match="layer 'd': it has no rate to set"):
        dense("d").with_rates(0.1)
    with pytest.raises(ValueError, match="no layer of it takes a rate; or use predict"):
        model.mc_predict(normal(1, 3))


# ---- what is said ----


def test_repr() -> None:
    assert repr(two_inputs()) == (
        "<Model: 3 layers, 0 stochastic, (batch, 2), (batch, 4) -> (batch, 3)>"
    )
    model = Model([drop("d"), lstm("l")], (None, 3), source="Keras 3.15, a.keras")
    assert repr(model) == (
        "<Model of Keras 3.15, a.keras: 2 layers, 1 stochastic, (batch, any, 3) -> (batch, 2)>"
    )


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (dense("d", 3, 2, activation="tanh"), "Dense('d', kernel=(3, 2), activation='tanh')"),
        (drop("x"), "Dropout('x', rate=0.5)"),
        (lstm("l"), "LSTM('l', kernel=(3, 8), recurrent_kernel=(2, 8))"),
        (gru("g", dropout=0.5), "GRU('g', kernel=(3, 6), recurrent_kernel=(2, 6), dropout=0.5)"),
        (
            TimeDistributed(name="t", layer=drop("x")),
            "TimeDistributed('t', layer=Dropout('x', rate=0.5))",
        ),
        (
            Elementwise(name="f", function="subtract", operands=(normal(3), 0)),
            "Elementwise('f', function='subtract', operands=((3,), 0))",
        ),
        (
            Elementwise(name="f", function="add", operands=(0, np.float32(1.5))),
            "Elementwise('f', function='add', operands=(0, 1.5))",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_repr_of_layers(layer: Layer, expected: str) -> None:
    """Arrays as their shapes, and the options that are not as usual."""
    assert repr(layer) == expected


def rows_of(model: Model) -> list[list[str]]:
    """The cells of a summary, which stand two spaces or more apart; none behind the last one."""
    lines = model.summary().splitlines()
    assert lines == [line.rstrip() for line in lines]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_summary_of_a_chain() -> None:
    model = Model(
        [drop("d"), lstm("l", return_state=True), dense("e", 2, bias=np.ones(3, "f4"))], (4, 3)
    )
    assert rows_of(model) == [
        ["layer", "kind", "output", "weights", "stochastic", "takes"],
        ["(input)", "(batch, 4, 3)"],
        ["d", "Dropout", "(batch, 4, 3)", "-", "dropout 0.5", "input"],
        ["l", "LSTM", "(batch, 2), (batch, 2), (batch, 2)", "40", "-", "d"],
        ["e", "Dense", "(batch, 3)", "9", "-", "l"],
        ["49 weights; stochastic"],
    ]
    plain = Model([dense("a", 3, 1000), dense("b", 1000, 2)], (3,), source="me", notes=["one"])
    assert rows_of(plain) == [
        ["me"],
        ["layer", "kind", "output", "weights", "stochastic"],
        ["(input)", "(batch, 3)"],
        ["a", "Dense", "(batch, 1000)", "3,000", "-"],
        ["b", "Dense", "(batch, 2)", "2,000", "-"],
        ["5,000 weights; nothing is stochastic"],
        ["note: one"],
    ]


def test_summary_of_a_graph() -> None:
    """It says what each call takes, counts shared weights once, and calls that are off."""
    shared = dense("s", 3, 3)
    calls = [
        Call(shared, "a"),
        Call(shared, "b", "s of b"),
        Call(drop("d"), "s of b", training=False),
        Call(Concatenate(name="c"), ["s", "d"]),
    ]
    model = Model(calls, {"a": (3,), "b": (3,)})
    assert rows_of(model) == [
        ["layer", "kind", "output", "weights", "stochastic", "takes"],
        ["a (input)", "(batch, 3)"],
        ["b (input)", "(batch, 3)"],
        ["s", "Dense", "(batch, 3)", "9", "-", "a"],
        ["s of b", "Dense", "(batch, 3)", "-", "-", "b"],
        ["d", "Dropout", "(batch, 3)", "-", "-", "s of b"],
        ["c", "Concatenate", "(batch, 6)", "-", "-", "s, d"],
        ["9 weights; nothing is stochastic"],
    ]
    # A call that takes the input again makes a graph of a list.
    again = Model([dense("e"), Call(dense("f"), "input")], (3,), outputs=["e", "f"])
    assert rows_of(again)[0][-1] == "takes"


@pytest.mark.parametrize("kind", [lstm, gru])
def test_notes_of_one_time_step(kind: Any) -> None:
    """Recurrent dropout acts on the state, which is zero in the first step."""
    layer = kind("l", recurrent_dropout=0.5)
    model = Model([layer], (1, 3), notes=["mine"])
    assert model.notes[0] == "mine"
    assert len(model.notes) == 2
    assert "layer 'l': recurrent dropout has no effect" in model.notes[1]
    x = normal(3, 1, 3)
    p = model.mc_predict(x, **KEEP)
    assert np.array_equal(p.samples, np.stack([model.predict(x)] * 3))
    # Where it acts there is no note: two steps, an open length, states, no such rate.
    for other, shape in (
        (layer, (2, 3)),
        (layer, (None, 3)),
        (kind("l", dropout=0.5), (1, 3)),
    ):
        assert Model([other], shape).notes == ()
    states = {"s": (2,), "t": (2,)} if kind is lstm else {"s": (2,)}
    given = Model([Call(layer, ["x", *states])], {"x": (1, 3), **states})
    assert given.notes == ()
    assert np.ptp(given.mc_predict([x, *(normal(3, 2) for _ in states)], **KEEP).samples[:, 0]) > 0


def test_notes_of_both_directions_and_of_a_shared_layer() -> None:
    forward = gru("f", recurrent_dropout=0.5)
    both = Bidirectional(
        name="b", forward=forward, backward=gru("g", recurrent_dropout=0.5, go_backwards=True)
    )
    assert [note.split(":")[0] for note in Model([both], (1, 3)).notes] == [
        "layer 'f'",
        "layer 'g'",
    ]
    calls = [Call(forward, "input"), Call(forward, "input", "again")]
    assert len(Model(calls, (1, 3), outputs=["f", "again"]).notes) == 1


def test_graphs_can_be_pickled() -> None:
    shared = drop("d")
    calls = [
        Call(shared, "a"),
        Call(shared, "b", "e"),
        Call(Merge(name="m", function="add"), ["d", "e"]),
    ]
    model = Model(calls, {"a": (3,), "b": (3,)}, outputs={"y": "m", "z": "e"}, notes=["n"])
    copy = pickle.loads(pickle.dumps(model))
    x = [normal(4, 3), normal(4, 3, seed=1)]
    for name, p in copy.mc_predict(x, **KEEP).items():
        assert np.array_equal(p.samples, model.mc_predict(x, **KEEP)[name].samples)
    assert copy.notes == ("n",)
    assert len(copy.layers) == 2  # the shared layer is still one
    assert len(copy.with_rates({"d": 0.1}).layers) == 2


@pytest.mark.parametrize("threads", [1, 4])
def test_outputs_of_graphs_do_not_depend_on_the_batch(backend: str, threads: int) -> None:
    shared = layers.TimeDistributed(name="t", layer=dense("d", 3, 3, activation="softmax"))
    calls = [
        Call(shared, "a"),
        Call(lstm("l", return_sequences=True, dropout=0.3), ["t"]),
        Call(Concatenate(name="c"), ["l", "t", "a"]),
        Call(gru("g", 8, recurrent_dropout=0.4), "c"),
        Call(Merge(name="m", function="multiply"), ["g", "b"]),
    ]
    model = Model(calls, {"a": (None, 3), "b": (2,)}, outputs=["m", "c"])
    a, b = normal(70, 4, 3), normal(70, 2)
    whole = model.predict([a, b], threads=threads)
    draws = [p.samples for p in model.mc_predict([a, b], **KEEP, threads=threads)]
    for n in (0, 1, 66, 69):
        part = slice(n, n + 1)
        one = model.predict([a[part], b[part]])
        drawn = model.mc_predict([a[part], b[part]], **KEEP, row_offset=n)
        for i in range(2):
            assert np.array_equal(one[i], whole[i][part])
            assert np.array_equal(drawn[i].samples, draws[i][:, part])

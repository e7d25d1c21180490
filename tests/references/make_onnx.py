"""Small models of ONNX as exporters write them, and what ONNX Runtime makes of them.

    cd tests && python -m references.make_onnx [torch_script_decoder ...]

writes onnx/*.onnx and onnx/outputs.npz, or only the cases whose names begin so, and the others
stay; it needs torch, onnxscript, tensorflow, keras, tf2onnx, onnx and onnxruntime, or those of them
that such cases need. A case is (file, options, arrays, outputs): arrays are the inputs and outputs
the outputs by their names, as the file has them; options say on which axis of each the batch is.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .stored import Arrays, Result, load, save

FOLDER = Path(__file__).with_name("onnx")
FILE = FOLDER / "outputs.npz"

# A file, the axes of the batch, and inputs.
Written = tuple[bytes, dict[str, int], Arrays]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([*shape, seed]).normal(size=shape).astype(np.float32)


# ---- PyTorch, by both of its exporters ----


def torch_models() -> dict[str, tuple[Any, Arrays, dict[str, dict[int, str]], dict[str, int]]]:
    """Return modules, inputs, names of open lengths, and the axes of the batch."""
    import torch
    from torch import nn

    class Tagger(nn.Module):
        """Words, two layers in two directions with dropout between, the last step."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(20, 6)
            self.lstm = nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)
            self.drop = nn.Dropout(0.4)
            self.out = nn.Linear(10, 3)

        def forward(self, x: Any) -> Any:
            y, _ = self.lstm(self.words(x))
            return torch.softmax(self.out(self.drop(y[:, -1])), -1)

    class Steps(nn.Module):
        """The batch on the second axis; outputs at all steps, and the state."""

        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 5)
            self.norm = nn.LayerNorm(5)
            self.out = nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            y, h = self.gru(x)
            return self.out(self.norm(torch.relu(y))), h

    class Windows(nn.Module):
        """Convolution, batch normalization, pooling, a simple layer, the mean over time."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 6, 3, padding=1)
            self.norm = nn.BatchNorm1d(6)
            self.pool = nn.MaxPool1d(2)
            self.rnn = nn.RNN(6, 5, batch_first=True)
            self.out = nn.Linear(5, 1)

        def forward(self, x: Any) -> Any:
            y = self.pool(torch.relu(self.norm(self.conv(x)))).transpose(1, 2)
            return torch.sigmoid(self.out(self.rnn(y)[0].mean(1)))

    class States(nn.Module):
        """States come in and go out."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x: Any, h: Any, c: Any) -> Any:
            y, (h, c) = self.lstm(x, (h, c))
            return y, h, c

    class Decoder(nn.Module):
        """Each output goes into the next step, and into its place among zeros."""

        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 5, batch_first=True)
            self.cell = nn.GRUCell(2, 5)
            self.out = nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            y, h = self.gru(x)
            made = torch.zeros(x.shape[0], 4, 3)
            made[:, :, -1] = y[:, 1:5, 0]
            now, h = x[:, -1, :2], h[0]
            for t in range(4):
                h = self.cell(now, h)
                now = self.out(h)
                made[:, t, :2] = now
            return made

    torch.manual_seed(0)
    words = np.random.default_rng(0).integers(0, 20, (2, 7))
    states = {"x": normal(2, 6, 4), "h": normal(1, 2, 5), "c": normal(1, 2, 5, seed=1)}
    return {
        "tagger": (Tagger(), {"x": words}, {"x": {0: "batch", 1: "time"}}, {"x": 0, "y": 0}),
        "steps": (
            Steps(),
            {"x": normal(6, 2, 4)},
            {"x": {0: "time", 1: "batch"}},
            {"x": 1, "y": 1, "h_n": 1},
        ),
        "windows": (Windows(), {"x": normal(2, 4, 8)}, {"x": {0: "batch"}}, {"x": 0, "y": 0}),
        "states": (
            States(),
            states,
            {"x": {0: "batch", 1: "time"}, "h": {1: "batch"}, "c": {1: "batch"}},
            {"x": 0, "h": 1, "c": 1, "y": 0, "h_n": 1, "c_n": 1},
        ),
        "decoder": (Decoder(), {"x": normal(2, 6, 3)}, {"x": {0: "batch"}}, {"x": 0, "y": 0}),
    }


def by_torch() -> Iterator[tuple[str, Written]]:
    import torch

    # What is exported in training mode keeps its dropout. Of layers with dropout between them the
    # older exporter makes no file then, and of one of the modules the newer one fixes a length.
    left_out = {("steps", "dynamo", "open")}
    for name, (module, inputs, lengths, axes) in torch_models().items():
        given = tuple(torch.from_numpy(a) for a in inputs.values())
        outputs = [n for n in axes if n not in inputs]
        for kind in ("open", "fixed", "training"):
            module.train(kind == "training")
            options: dict[str, Any] = {"input_names": list(inputs), "output_names": outputs}
            for exporter in ("script", "dynamo"):
                if (name, exporter, kind) in left_out:
                    continue
                if kind == "training" and name != "tagger":
                    continue
                opened = None if kind == "fixed" else lengths
                if exporter == "script":
                    options |= {"dynamo": False, "dynamic_axes": opened}
                    mode = torch.onnx.TrainingMode
                    options["training"] = mode.TRAINING if kind == "training" else mode.EVAL
                    options["do_constant_folding"] = kind != "training"
                else:
                    shapes = opened and {
                        n: dict.fromkeys(opened[n], torch.export.Dim.AUTO) for n in inputs
                    }
                    options = {k: v for k, v in options.items() if k.endswith("_names")}
                    options |= {"dynamo": True, "dynamic_shapes": shapes, "verbose": False}
                    options["external_data"] = False
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "model.onnx"
                    torch.onnx.export(module, given, path, **options)
                    data = path.read_bytes()
                yield f"torch_{exporter}_{name}_{kind}", (data, axes, inputs)


# ---- Keras, by tf2onnx ----


def by_tf2onnx() -> Iterator[tuple[str, Written]]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    import tf2onnx
    from keras import layers

    keras.utils.set_random_seed(0)
    words = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(20, 6),
            layers.Bidirectional(layers.LSTM(5)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    gru = keras.Sequential([keras.Input((7, 4)), layers.GRU(6), layers.Dense(3)])
    tokens = np.random.default_rng(1).integers(0, 20, (3, 9)).astype(np.int32)
    for name, model, x in (("lstm", words, tokens), ("loop", gru, normal(3, 7, 4))):
        shape = (None, *model.input_shape[1:])

        @tf.function(input_signature=[tf.TensorSpec(shape, model.inputs[0].dtype, name="x")])
        def run(x: Any, model: Any = model) -> Any:
            return tf.identity(model(x, training=False), name="y")

        proto, _ = tf2onnx.convert.from_function(run, input_signature=run.input_signature, opset=17)
        (output,) = proto.graph.output
        yield f"tf2onnx_{name}", (proto.SerializeToString(), {"x": 0, output.name: 0}, {"x": x})


# ---- written node by node ----


def graph(
    nodes: list[Any],
    inputs: dict[str, np.ndarray],
    outputs: dict[str, int],
    constants: Arrays,
    opset: int = 17,
    lengths: dict[str, list[Any]] | None = None,
    functions: Sequence[Any] = (),
) -> bytes:
    """Return a file; the lengths of inputs are those of the arrays unless others are given."""
    from onnx import helper, numpy_helper

    lengths = lengths or {}
    made = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(x.dtype), lengths.get(name, list(x.shape))
            )
            for name, x in inputs.items()
        ],
        [helper.make_tensor_value_info(name, 1, [None] * rank) for name, rank in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    domains = {"": opset} | {function.domain: 1 for function in functions}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8, functions=functions)
    return model.SerializeToString()


Maker = Callable[[], Written]
HANDMADE: dict[str, Maker] = {}


def handmade(function: Maker) -> Maker:
    HANDMADE[function.__name__] = function
    return function


def recurrent(op: str, directions: int = 1, units: int = 3, features: int = 2) -> Arrays:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op] * units
    return {
        "W": normal(directions, gates, features),
        "R": normal(directions, gates, units, seed=1),
        "B": normal(directions, 2 * gates, seed=2),
    }


@handmade
def lengths_of_sequences() -> Written:
    """Rows of different lengths, in both directions, and their states."""
    from onnx import helper

    x = normal(5, 3, 2)
    given = {"x": x, "n": np.array([5, 2, 3], np.int32)}
    node = helper.make_node(
        "GRU", ["x", "W", "R", "B", "n"], ["y", "h"], hidden_size=3, direction="bidirectional"
    )
    data = graph(
        [node],
        given,
        {"y": 4, "h": 3},
        recurrent("GRU", 2),
        lengths={"x": ["time", "N", 2], "n": ["N"]},
    )
    return data, {"x": 1, "n": 0, "y": 2, "h": 1}, given


@handmade
def everything_an_lstm_has() -> Written:
    """Peepholes, clipping, coupled gates and activations, backwards, from states."""
    from onnx import helper

    given = {"x": normal(4, 2, 2), "h0": normal(1, 2, 3), "c0": normal(1, 2, 3, seed=1)}
    node = helper.make_node(
        "LSTM",
        ["x", "W", "R", "B", "", "h0", "c0", "P"],
        ["y", "h", "c"],
        hidden_size=3,
        direction="reverse",
        clip=0.8,
        input_forget=1,
        activations=["HardSigmoid", "ScaledTanh", "LeakyRelu"],
        activation_alpha=[0.3, 1.2, 0.2],
        activation_beta=[0.4, 0.7],
    )
    constants = recurrent("LSTM") | {"P": normal(1, 9, seed=5)}
    data = graph([node], given, {"y": 4, "h": 3, "c": 3}, constants)
    return data, {"x": 1, "h0": 1, "c0": 1, "y": 2, "h": 1, "c": 1}, given


@handmade
def gates_that_kernels_have() -> Written:
    """An LSTM of other activations in both directions, of which a part is taken."""
    from onnx import helper

    node = helper.make_node(
        "LSTM",
        ["x", "W", "R", "B"],
        ["y"],
        hidden_size=3,
        direction="bidirectional",
        activations=["HardSigmoid", "Relu", "Relu", "Sigmoid", "Softsign", "Softsign"],
    )
    nodes = [
        node,
        helper.make_node("Transpose", ["y"], ["t"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["t", "shape"], ["f"]),
        helper.make_node("ReduceMax", ["f"], ["m"], axes=[1], keepdims=0),
    ]
    x = normal(4, 3, 2)
    constants = recurrent("LSTM", 2) | {"shape": np.array([0, 0, 6])}
    data = graph(nodes, {"x": x}, {"m": 2}, constants, lengths={"x": [4, "N", 2]})
    return data, {"x": 1, "m": 0}, {"x": x}


@handmade
def old_operators() -> Written:
    """Attributes that became inputs, softmax over several axes, dropout of another form."""
    from onnx import helper

    nodes = [
        helper.make_node("Slice", ["x"], ["s"], starts=[1], ends=[1000], axes=[1]),
        helper.make_node("Clip", ["s"], ["c"], min=-0.5, max=0.75),
        helper.make_node("Unsqueeze", ["c"], ["u"], axes=[1]),
        helper.make_node("Dropout", ["u"], ["d"], ratio=0.3),
        helper.make_node("Softmax", ["d"], ["p"], axis=1),
        helper.make_node("ReduceSum", ["p"], ["r"], axes=[1, 2], keepdims=0),
        helper.make_node("Split", ["r"], ["a", "b"], axis=1, split=[1, 2]),
        helper.make_node("Pad", ["b"], ["q"], pads=[0, 1, 0, 0], value=2.0),
        helper.make_node("Concat", ["q", "a"], ["y"], axis=1),
    ]
    x = normal(2, 5, 3)
    data = graph(nodes, {"x": x}, {"y": 2}, {}, 9)
    return data, {"x": 0, "y": 0}, {"x": x}


@handmade
def dropped_features() -> Written:
    """Dropout and a dense layer, by which samples are known."""
    from onnx import helper

    constants = {
        "rate": np.array(0.4, np.float32),
        "on": np.array(False),
        "W": normal(6, 2),
        "b": normal(2),
    }
    nodes = [
        helper.make_node("Dropout", ["x", "rate", "on"], ["d"], name="drop"),
        helper.make_node("Gemm", ["d", "W", "b"], ["y"], name="dense", alpha=0.5, beta=2.0),
    ]
    x = normal(4, 6)
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 6]})
    return data, {"x": 0, "y": 0}, {"x": x}


@handmade
def attention() -> Written:
    """Self-attention with a causal mask that is made of numbers, and shapes computed."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["x", "Q"], ["q"]),
        helper.make_node("MatMul", ["x", "K"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Range", ["zero", "five", "one"], ["r"]),
        helper.make_node("Unsqueeze", ["r", "last"], ["column"]),
        helper.make_node("LessOrEqual", ["r", "column"], ["mask"]),
        helper.make_node("Where", ["mask", "s", "never"], ["m"]),
        helper.make_node("Softmax", ["m"], ["p"]),
        helper.make_node("MatMul", ["p", "x"], ["v"]),
        helper.make_node("Shape", ["x"], ["n"], end=1),
        helper.make_node("Concat", ["n", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["v", "shape"], ["y"]),
    ]
    constants = {
        "Q": normal(3, 4),
        "K": normal(3, 4, seed=1),
        "zero": np.array(0),
        "five": np.array(5),
        "one": np.array(1),
        "last": np.array([-1]),
        "never": np.array(-np.inf, np.float32),
        "rest": np.array([-1]),
    }
    x = normal(2, 5, 3)
    data = graph(nodes, {"x": x}, {"y": 2}, constants, lengths={"x": ["N", 5, 3]})
    return data, {"x": 0, "y": 0}, {"x": x}


@handmade
def branches_with_weights() -> Written:
    """A branch with weights and a branch of its own, states of one row beside an open number."""
    from onnx import helper, numpy_helper

    def branch(nodes: list[Any], constants: Arrays) -> Any:
        output = helper.make_tensor_value_info(nodes[-1].output[-1], 1, None)
        weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        return helper.make_graph(nodes, "branch", [], [output], weights)

    squeezed = branch([helper.make_node("Squeeze", ["f", "last"], ["g"])], {})
    whole = branch([helper.make_node("Identity", ["f"], ["i"])], {})
    layer = [
        helper.make_node("Unsqueeze", ["x", "last"], ["u"]),
        helper.make_node("Conv", ["u", "K"], ["f"]),
        helper.make_node("Shape", ["f"], ["n"], start=2),
        helper.make_node("Equal", ["n", "one"], ["c"]),
        helper.make_node("If", ["c"], ["t"], then_branch=squeezed, else_branch=whole),
        helper.make_node("Unsqueeze", ["t", "first"], ["s"]),
        helper.make_node("GRU", ["s", "W", "R", "B", "", "h"], ["", "y"], hidden_size=3),
    ]
    weights = {"K": normal(2, 4, 1), "one": np.array([1]), **recurrent("GRU")}
    never = [helper.make_node("Bernoulli", ["h"], ["z"])]
    nodes = [
        helper.make_node("Shape", ["h"], ["rank"]),
        helper.make_node("Gather", ["rank", "zero"], ["layers"]),
        helper.make_node("Cast", ["layers"], ["some"], to=9),
        helper.make_node(
            "If",
            ["some"],
            ["state"],
            then_branch=branch(layer, weights),
            else_branch=branch(never, {}),
        ),
    ]
    x, h = normal(2, 4), normal(1, 2, 3)
    constants = {"last": np.array([2]), "first": np.array([0]), "zero": np.array(0)}
    lengths = {"x": ["N", 4], "h": [1, "M", 3]}
    data = graph(nodes, {"x": x, "h": h}, {"state": 3}, constants, lengths=lengths)
    return data, {"x": 0, "h": 1, "state": 1}, {"x": x, "h": h}


def function(name: str, takes: list[str], gives: list[str], nodes: list[Any], *own: str) -> Any:
    """Return a function of a domain of its own; `own` are its attributes."""
    from onnx import helper

    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, takes, gives, nodes, opsets, list(own))


@handmade
def functions_of_its_own() -> Written:
    """Functions that call one another, with attributes, without an input, with a graph within."""
    from onnx import AttributeProto, helper

    def call(op: str, takes: list[str], gives: list[str], **attributes: Any) -> Any:
        return helper.make_node(op, takes, gives, domain="own", **attributes)

    def of_caller(node: Any, name: str, attribute: str, kind: int) -> Any:
        node.attribute.append(AttributeProto(name=name, ref_attr_name=attribute, type=kind))
        return node

    leaky = of_caller(helper.make_node("LeakyRelu", ["a"], ["b"]), "alpha", "slope", 1)
    layer = helper.make_node("LSTM", ["x", "W", "R", "B", "", "h"], ["y", "h_n"])
    gate = helper.make_node("Sigmoid", ["t"], ["b"])
    one, other = (
        helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("b", 1, None)])
        for node in (gate, helper.make_node("Neg", ["t"], ["b"]))
    )
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("v", 9, [], [1]))
    functions = [
        function("Leaky", ["a"], ["b"], [leaky], "slope"),
        function(
            "Gated",
            ["a"],
            ["c"],
            [
                call("Leaky", ["a"], ["t"], slope=0.3),
                yes,
                helper.make_node("If", ["yes"], ["d"], then_branch=one, else_branch=other),
                helper.make_node("Mul", ["t", "d"], ["c"]),
            ],
        ),
        function(
            "Layer",
            ["x", "W", "R", "B", "h"],
            ["y", "h_n"],
            [of_caller(layer, "hidden_size", "units", 2)],
            "units",
        ),
    ]
    nodes = [
        call("Layer", ["x", "W", "R", "B"], ["y", "t"], units=3),
        call("Gated", ["t"], ["g"]),
        call("Leaky", ["g"], ["z"], slope=0.05),
    ]
    x = normal(4, 2, 2)
    data = graph(
        nodes,
        {"x": x},
        {"y": 4, "z": 3},
        recurrent("LSTM"),
        lengths={"x": ["time", "N", 2]},
        functions=functions,
    )
    return data, {"x": 1, "y": 2, "z": 1}, {"x": x}


@handmade
def windows_of_open_time() -> Written:
    """A convolution and pooling with strides and "same" padding in front of a layer."""
    from onnx import helper

    same: dict[str, Any] = {"auto_pad": "SAME_UPPER", "strides": [2]}
    nodes = [
        helper.make_node("Conv", ["x", "K"], ["f"], **same),
        helper.make_node("MaxPool", ["f"], ["p"], kernel_shape=[3], **same),
        helper.make_node("AveragePool", ["p"], ["q"], kernel_shape=[4], **same),
        helper.make_node("Transpose", ["q"], ["t"], perm=[2, 0, 1]),
        helper.make_node("GRU", ["t", "W", "R", "B"], ["", "h"], hidden_size=3),
    ]
    x = normal(3, 4, 29)
    constants = {"K": normal(2, 4, 5), **recurrent("GRU")}
    data = graph(nodes, {"x": x}, {"h": 3}, constants, lengths={"x": ["N", 4, "time"]})
    return data, {"x": 0, "h": 1}, {"x": x}


def by_hand() -> Iterator[tuple[str, Written]]:
    for name, make in HANDMADE.items():
        yield name, make()


def cases(prefixes: Sequence[str]) -> Iterator[tuple[str, Written]]:
    makers = {"torch_": by_torch, "tf2onnx_": by_tf2onnx}
    for kind, maker in makers.items():
        if not prefixes or any(prefix.startswith(kind) for prefix in prefixes):
            yield from maker()
    yield from by_hand()


def without_texts(data: bytes) -> bytes:
    """Return a file without where in a program its nodes come from: most of its bytes."""
    import onnx

    model = onnx.load_model_from_string(data)
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input):
        part.doc_string = ""
        del part.metadata_props[:]
    return model.SerializeToString()


def results(prefixes: Sequence[str]) -> Iterator[Result]:
    """Write each file, run it, and return what comes out."""
    import onnxruntime

    for name, (written, axes, inputs) in cases(prefixes):
        if prefixes and not name.startswith(tuple(prefixes)):
            continue
        data = without_texts(written)
        (FOLDER / f"{name}.onnx").write_bytes(data)
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        values = session.run(None, inputs)
        yield name, {"batch": axes}, inputs, dict(zip(names, values, strict=True))


def main(prefixes: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    made = {result[0]: result for result in load(FILE)} if prefixes else {}
    made |= {result[0]: result for result in results(prefixes)}
    save(FILE, made.values())
    print(len(made), "cases")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write ``.keras`` files by hand, good ones and bad ones, without Keras."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Config = dict[str, Any]
POLICY = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
    "shared_object_id": 7,
}
GLOROT = {
    "module": "keras.initializers",
    "class_name": "GlorotUniform",
    "config": {"seed": None},
    "registered_name": None,
}


def layer(class_name: str, **config: Any) -> Config:
    """Return a layer as config.json has it; its name is the class in lower case unless given."""
    common = {"name": class_name.lower(), "trainable": True, "dtype": POLICY}
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {**common, **config},
        "registered_name": None,
    }


def input_layer(shape: list[int | None], dtype: str = "int32") -> Config:
    """Return an InputLayer for a batch of the given shape."""
    entry = layer("InputLayer", name="tokens", batch_shape=[None, *shape], dtype=dtype)
    entry["config"].update(sparse=False, ragged=False, optional=False)
    del entry["config"]["trainable"]
    return entry


def tensor(name: str) -> Config:
    """Return the output of a layer as an argument of a call."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": [name, 0, 0]},
    }


def numbers(*shape: int, start: int = 0) -> np.ndarray:
    """Return an array whose every element is different and exact in float32."""
    count = int(np.prod(shape))
    return (np.arange(start + 1, start + 1 + count) / 1024).astype(np.float32).reshape(shape)


@dataclass
class KerasFile:
    """The parts of a ``.keras`` file, to be changed and then written.

    Attributes
    ----------
    config, metadata : dict
        What the two JSON members hold.
    weights : dict[str, np.ndarray]
        Arrays by their path in the HDF5 file.
    names : dict[str, str]
        The attribute ``name`` of groups, by path.
    edit_h5 : callable
        Changes the HDF5 file before it is closed.
    members : dict[str, bytes]
        Members whose bytes replace what would be written.
    """

    config: Config
    metadata: Config = field(default_factory=lambda: {"keras_version": "3.15.1"})
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    edit_h5: Callable[[h5py.File], None] = lambda file: None
    members: dict[str, bytes] = field(default_factory=dict)

    @property
    def layers(self) -> list[Config]:
        """All layer entries, the input layer first."""
        entries: list[Config] = self.config["config"]["layers"]
        return entries

    def layer(self, name: str) -> Config:
        """Return the entry of a layer."""
        return next(entry for entry in self.layers if entry["config"]["name"] == name)

    def h5(self) -> bytes:
        """Return the HDF5 file."""
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for path in self.names:
                file.create_group(path).attrs["name"] = self.names[path]
            for path, array in self.weights.items():
                file[path] = array
            file.require_group("vars")
            self.edit_h5(file)
        return buffer.getvalue()

    def parts(self) -> dict[str, bytes]:
        """Return the members of the archive."""
        return {
            "metadata.json": json.dumps(self.metadata).encode(),
            "config.json": json.dumps(self.config).encode(),
            "model.weights.h5": self.members.get("model.weights.h5") or self.h5(),
        } | self.members

    def to_bytes(self, compression: int = zipfile.ZIP_STORED) -> bytes:
        """Return the whole file."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, content in self.parts().items():
                archive.writestr(name, content)
        return buffer.getvalue()

    def write(self, path: Path) -> Path:
        """Write the file and return its path."""
        path.write_bytes(self.to_bytes())
        return path


# The groups of classes whose names are more than one word.
GROUPS = {
    "RepeatVector": "repeat_vector",
    "SimpleRNN": "simple_rnn",
    "SpatialDropout1D": "spatial_dropout1d",
    "TimeDistributed": "time_distributed",
}


def sequential(layers: list[Config], weights: dict[str, np.ndarray]) -> KerasFile:
    """Return a Sequential model; weights are by group, as in ``lstm/cell/vars/0``."""
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "trainable": True,
            "dtype": POLICY,
            "layers": copy.deepcopy(layers),
        },
        "registered_name": None,
        "build_config": {"input_shape": [None, 6]},
        "compile_config": {"optimizer": {"module": "builtins", "class_name": "whatever"}},
    }
    file = KerasFile(config, weights={f"layers/{k}": v.copy() for k, v in weights.items()})
    counts: dict[str, int] = {}
    for entry in layers:
        kind = GROUPS.get(entry["class_name"], entry["class_name"].lower())
        if kind == "inputlayer":
            continue
        counts[kind] = counts.get(kind, -1) + 1
        group = f"{kind}_{counts[kind]}" if counts[kind] else kind
        file.names[f"layers/{group}/vars"] = entry["config"]["name"]
        if kind == "time_distributed":
            file.names[f"layers/{group}/layer/vars"] = entry["config"]["layer"]["config"]["name"]
        if kind == "bidirectional":
            for key, inner in (("layer", "forward_layer"), ("backward_layer", "backward_layer")):
                name = entry["config"][key]["config"]["name"]
                file.names[f"layers/{group}/{inner}/vars"] = name
    return file


def functional(file: KerasFile) -> KerasFile:
    """Turn a Sequential model with an input layer into the same functional model."""
    file = copy.deepcopy(file)
    inner = file.config["config"]
    file.config.update(class_name="Functional", module="keras.src.models.functional")
    file.config.update(registered_name="Functional", build_config={"input_shape": None})
    del inner["dtype"]
    before = None
    for entry in inner["layers"]:
        entry["name"] = entry["config"]["name"]
        entry["inbound_nodes"] = []
        if before is not None:
            entry["inbound_nodes"] = [{"args": [tensor(before)], "kwargs": {}}]
        before = entry["name"]
    inner["input_layers"] = ["tokens", 0, 0]
    inner["output_layers"] = [before, 0, 0]
    file.names["layers/input_layer/vars"] = "tokens"
    return file


WEIGHTS = {
    "embedding/vars/0": numbers(7, 3),
    "lstm/cell/vars/0": numbers(3, 16, start=100),
    "lstm/cell/vars/1": numbers(4, 16, start=200),
    "lstm/cell/vars/2": numbers(16, start=300),
    "lstm_1/cell/vars/0": numbers(4, 8, start=400),
    "lstm_1/cell/vars/1": numbers(2, 8, start=500),
    "dense/vars/0": numbers(2, 5, start=600),
    "dense/vars/1": numbers(5, start=700),
}


def sample() -> KerasFile:
    """Return a Sequential model with every supported layer and few default values."""
    return sequential(
        [
            input_layer([6]),
            layer("Embedding", name="words", input_dim=7, output_dim=3, mask_zero=True),
            layer("Dropout", name="drop", rate=0.25, seed=None, noise_shape=[None, 1, 3]),
            layer(
                "LSTM",
                name="first",
                units=4,
                activation="tanh",
                recurrent_activation="sigmoid",
                use_bias=True,
                dropout=0.5,
                recurrent_dropout=0.25,
                return_sequences=True,
                return_state=False,
                stateful=False,
                unroll=True,
                kernel_initializer=GLOROT,
                unit_forget_bias=True,
                seed=3,
            ),
            layer(
                "LSTM",
                name="second",
                units=2,
                activation="relu",
                recurrent_activation="hard_sigmoid",
                use_bias=False,
                dropout=0.125,
                recurrent_dropout=0.0,
                go_backwards=True,
                zero_output_for_mask=True,
            ),
            layer("Dense", name="out", units=5, activation="linear", use_bias=True),
            layer("Activation", name="soft", activation="softmax"),
        ],
        WEIGHTS,
    )


RECURRENT_WEIGHTS = {
    "embedding/vars/0": numbers(7, 3),
    "bidirectional/forward_layer/cell/vars/0": numbers(3, 12, start=100),
    "bidirectional/forward_layer/cell/vars/1": numbers(4, 12, start=200),
    "bidirectional/forward_layer/cell/vars/2": numbers(12, start=300),
    "bidirectional/backward_layer/cell/vars/0": numbers(3, 12, start=400),
    "bidirectional/backward_layer/cell/vars/1": numbers(4, 12, start=500),
    "bidirectional/backward_layer/cell/vars/2": numbers(2, 12, start=600),
    "gru/cell/vars/0": numbers(4, 6, start=700),
    "gru/cell/vars/1": numbers(2, 6, start=800),
    "simple_rnn/cell/vars/0": numbers(2, 3, start=900),
    "simple_rnn/cell/vars/1": numbers(3, 3, start=1000),
    "simple_rnn/cell/vars/2": numbers(3, start=1100),
    "bidirectional_1/forward_layer/cell/vars/0": numbers(3, 8, start=1200),
    "bidirectional_1/forward_layer/cell/vars/1": numbers(2, 8, start=1300),
    "bidirectional_1/forward_layer/cell/vars/2": numbers(8, start=1400),
    "bidirectional_1/backward_layer/cell/vars/0": numbers(3, 8, start=1500),
    "bidirectional_1/backward_layer/cell/vars/1": numbers(2, 8, start=1600),
    "bidirectional_1/backward_layer/cell/vars/2": numbers(8, start=1700),
    "time_distributed/layer/vars/0": numbers(4, 5, start=1800),
    "time_distributed/layer/vars/1": numbers(5, start=1900),
}


def recurrent_sample() -> KerasFile:
    """Return a Sequential model with the recurrent layers and what goes with them."""
    gates = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    lstm = {"units": 2, **gates, "dropout": 0.5, "recurrent_dropout": 0.25}
    lstm["return_sequences"] = True
    return sequential(
        [
            input_layer([6]),
            layer("Embedding", name="words", input_dim=7, output_dim=3, mask_zero=True),
            layer("SpatialDropout1D", name="channels", rate=0.25, dtype="float32"),
            layer(
                "Bidirectional",
                name="both",
                merge_mode="sum",
                layer=layer(
                    "GRU",
                    name="forward_gru",
                    units=4,
                    activation="relu",
                    recurrent_activation="hard_sigmoid",
                    dropout=0.5,
                    reset_after=False,
                    return_sequences=True,
                    zero_output_for_mask=True,
                ),
                backward_layer=layer(
                    "GRU",
                    name="back",
                    units=4,
                    **gates,
                    recurrent_dropout=0.125,
                    reset_after=True,
                    return_sequences=True,
                    go_backwards=True,
                ),
            ),
            layer(
                "GRU",
                name="third",
                units=2,
                **gates,
                use_bias=False,
                dropout=0.125,
                recurrent_dropout=0.25,
                return_sequences=True,
                go_backwards=True,
                zero_output_for_mask=True,
            ),
            layer(
                "SimpleRNN",
                name="simple",
                units=3,
                activation="sigmoid",
                dropout=0.5,
                recurrent_dropout=0.375,
            ),
            layer("RepeatVector", name="again", n=4),
            layer(
                "Bidirectional",
                name="lstms",
                merge_mode="concat",
                layer=layer("LSTM", name="forward_lstm", **lstm),
                backward_layer=layer("LSTM", name="backward_lstm", **lstm, go_backwards=True),
            ),
            layer(
                "TimeDistributed",
                name="steps",
                layer=layer("Dense", name="inner", units=5, activation="tanh"),
            ),
            layer("Activation", name="soft", activation="softmax"),
        ],
        RECURRENT_WEIGHTS,
    )


def small() -> KerasFile:
    """Return the smallest useful model, for tests that go through every byte."""
    return sequential(
        [input_layer([2], "float32"), layer("Dense", units=2, activation="tanh", use_bias=False)],
        {"dense/vars/0": numbers(2, 2)},
    )

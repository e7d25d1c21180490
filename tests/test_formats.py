"""What is read from good ``.keras`` files: every field, compared with what was put in."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the files under test are written with h5py")

import keras_files
from fastdrop.formats import ModelFormatError, load
from fastdrop.layers import LSTM, Activation, Dense, Dropout, Embedding, Layer
from fastdrop.model import Model
from keras_files import (
    POLICY,
    WEIGHTS,
    KerasFile,
    functional,
    input_layer,
    layer,
    numbers,
    sample,
    sequential,
    small,
)

REAL = sorted((Path(__file__).parent / "data" / "keras_files").glob("*.keras"))


def fields(item: object) -> dict[str, object]:
    """Return a layer's fields, arrays as bytes, so that layers can be compared for equality."""

    def comparable(value: object) -> object:
        if isinstance(value, np.ndarray):
            return value.dtype, value.shape, value.tobytes()
        return fields(value) if isinstance(value, Layer) else value

    # `packed` says the same as the other fields, in another form.
    return {"class": type(item)} | {
        name: comparable(value) for name, value in vars(item).items() if name != "packed"
    }


def same(model: Model, layers: list[object]) -> bool:
    return [fields(item) for item in model.layers] == [fields(item) for item in layers]


def expected_sample(weights: dict[str, np.ndarray] = WEIGHTS) -> list[object]:
    """Return the layers of `sample`, written out."""
    return [
        Embedding(name="words", table=weights["embedding/vars/0"], mask_zero=True),
        Dropout(name="drop", rate=0.25, noise_shape=(None, 1, 3)),
        LSTM(
            name="first",
            kernel=weights["lstm/cell/vars/0"],
            recurrent_kernel=weights["lstm/cell/vars/1"],
            bias=weights["lstm/cell/vars/2"],
            activation="tanh",
            recurrent_activation="sigmoid",
            dropout=0.5,
            recurrent_dropout=0.25,
            scheme="keras",
            go_backwards=False,
            return_sequences=True,
            zero_output_for_mask=False,
        ),
        LSTM(
            name="second",
            kernel=weights["lstm_1/cell/vars/0"],
            recurrent_kernel=weights["lstm_1/cell/vars/1"],
            bias=None,
            activation="relu",
            recurrent_activation="hard_sigmoid",
            dropout=0.125,
            recurrent_dropout=0.0,
            scheme="keras",
            go_backwards=True,
            return_sequences=False,
            zero_output_for_mask=True,
        ),
        Dense(
            name="out",
            kernel=weights["dense/vars/0"],
            bias=weights["dense/vars/1"],
            activation="linear",
        ),
        Activation(name="soft", activation="softmax"),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


@pytest.mark.parametrize("shape", [[6], [None]], ids=["fixed", "any length"])
@pytest.mark.parametrize("turn", [lambda f: f, functional], ids=["sequential", "functional"])
def test_every_field(path: Path, turn: object, shape: list[int | None]) -> None:
    file = sample()
    file.layers[0]["config"]["batch_shape"] = [None, *shape]
    model = load(turn(file).write(path))  # type: ignore[operator]
    assert same(model, expected_sample())
    assert model.input_shape == tuple(shape)
    assert model.source == "Keras 3.15.1, model.keras"
    assert model.notes == ()


def test_arrays_are_float32_and_ready_for_kernels(path: Path) -> None:
    for item in load(sample().write(path)).layers:
        for value in vars(item).values():
            if isinstance(value, np.ndarray):
                assert value.dtype == np.float32
                assert value.flags.c_contiguous
                assert value.flags.aligned
                # Weights that were packed would not follow a change, nor are others to.
                assert not value.flags.writeable


def test_big_endian_weights(path: Path) -> None:
    file = sample()
    file.weights = {name: array.astype(">f4") for name, array in file.weights.items()}
    assert same(load(file.write(path)), expected_sample())


def test_path_may_be_a_string(path: Path) -> None:
    assert same(load(str(sample().write(path))), expected_sample())


def test_deflated(path: Path) -> None:
    path.write_bytes(sample().to_bytes(zipfile.ZIP_DEFLATED))
    assert same(load(path), expected_sample())


def test_the_content_decides_where_the_suffix_says_nothing(tmp_path: Path) -> None:
    assert same(load(sample().write(tmp_path / "model")), expected_sample())


@pytest.mark.parametrize("key", ["build_config", "build_input_shape"])
def test_without_an_input_layer(path: Path, key: str) -> None:
    file = sample()
    del file.layers[0]
    if key == "build_input_shape":
        del file.config["build_config"]
        file.config["config"][key] = [None, 6]
    model = load(file.write(path))
    assert model.input_shape == (6,)
    assert same(model, expected_sample())


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        POLICY,
        {
            "module": "keras",
            "class_name": "FloatDTypePolicy",
            "config": {"name": "float32"},
            "registered_name": None,
        },
    ],
    ids=["string", "policy", "old policy"],
)
def test_dtype_spellings(path: Path, dtype: object) -> None:
    file = sample()
    for entry in file.layers[1:]:
        entry["config"]["dtype"] = dtype
    assert same(load(file.write(path)), expected_sample())


ACTIVATIONS = ["linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softmax"]


@pytest.mark.parametrize("form", ["string", "function"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(path: Path, name: str, form: str) -> None:
    value: object = name
    if form == "function":
        value = {
            "module": "keras.activations",
            "class_name": "function",
            "config": name,
            "registered_name": "function",
        }
    file = sequential(
        [
            input_layer([4, 3], "float32"),
            *([layer("LSTM", units=1, activation=value, recurrent_activation=value)]),
            layer("Dense", units=2, activation=value),
            layer("Activation", activation=value),
        ],
        {
            "lstm/cell/vars/0": numbers(3, 4),
            "lstm/cell/vars/1": numbers(1, 4),
            "lstm/cell/vars/2": numbers(4),
            "dense/vars/0": numbers(1, 2),
            "dense/vars/1": numbers(2),
        },
    )
    if name == "softmax":
        file.layer("lstm")["config"].update(activation="tanh", recurrent_activation="sigmoid")
    lstm, dense, activation = load(file.write(path)).layers
    assert isinstance(lstm, LSTM)
    assert isinstance(dense, Dense)
    assert isinstance(activation, Activation)
    assert dense.activation == activation.activation == name
    if name != "softmax":
        assert lstm.activation == lstm.recurrent_activation == name


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.13.1", "hard_sigmoid_legacy"),
        ("2.18.0", "hard_sigmoid_legacy"),
        ("3.0.0", "hard_sigmoid"),
    ],
)
def test_hard_sigmoid_is_two_functions(path: Path, version: str, expected: str) -> None:
    file = sample() if version != "2.13.1" else as_keras_2_13(sample())
    file.metadata["keras_version"] = version
    second = load(file.write(path)).layers[3]
    assert isinstance(second, LSTM)
    assert second.recurrent_activation == expected


def as_keras_2_13(file: KerasFile) -> KerasFile:
    """Rename the groups: the older root, and a counter that skips one number."""

    def rename(path: str) -> str:
        return path.replace("layers/", "_layer_checkpoint_dependencies/").replace("_1/", "_2/")

    file.weights = {rename(path): array for path, array in file.weights.items()}
    file.names = {}
    return file


@pytest.mark.parametrize(
    ("version", "dropout", "recurrent", "implementation", "scheme", "noted"),
    [
        ("3.15.1", 0.5, 0.25, None, "per_gate", False),
        ("3.15.1", 0.5, 0.0, None, "tied", False),
        ("3.15.1", 0.5, 0.0, 1, "per_gate", False),
        ("3.15.1", 0.5, 0.0, 2, "tied", False),
        ("3.8.0", 0.5, 0.25, None, "per_gate", False),
        ("3.7.0", 0.5, 0.25, None, "tied", True),
        ("3.7.0", 0.5, 0.0, 1, "tied", True),
        ("3.7.0", 0.0, 0.0, None, "tied", False),
        ("3.0.5", 0.0, 0.25, None, "tied", 2),
        ("3.0.5", 0.25, 0.25, None, "tied", 1),
        ("2.16.0", 0.5, 0.25, 2, "per_gate", False),
        ("2.16.0", 0.5, 0.0, 1, "per_gate", False),
        ("2.16.0", 0.5, 0.0, 2, "tied", False),
    ],
)
def test_scheme_follows_the_version(
    path: Path,
    version: str,
    dropout: float,
    recurrent: float,
    implementation: int | None,
    scheme: str,
    noted: int,
) -> None:
    file = sample()
    file.metadata["keras_version"] = version
    file.layer("second")["config"]["dropout"] = 0.0
    config = file.layer("first")["config"]
    config.update(dropout=dropout, recurrent_dropout=recurrent)
    if implementation is not None:
        config["implementation"] = implementation
    model = load(file.write(path))
    first = model.layers[2]
    assert isinstance(first, LSTM)
    assert first.drawn_scheme == scheme
    assert (first.dropout, first.recurrent_dropout) == (dropout, recurrent)
    assert len(model.notes) == noted
    assert all("'first'" in note and "Keras 3.0" in note for note in model.notes)


@pytest.mark.parametrize("rate", [0, 0.0, 0.3, 1, 1.0])
def test_dropout_rates(path: Path, rate: float) -> None:
    file = sample()
    file.layer("drop")["config"].update(rate=rate, noise_shape=None)
    drop = load(file.write(path)).layers[1]
    assert isinstance(drop, Dropout)
    assert (drop.rate, drop.noise_shape) == (rate, None)


def test_state_of_training_and_of_generators_is_ignored(path: Path) -> None:
    file = sample()
    file.weights["optimizer/vars/0"] = np.array(3)
    file.weights["metrics/mean/vars/0"] = np.array([1.0, 2.0])
    for group in ("dropout", "lstm", "lstm/cell"):
        state = np.array([1, 2], np.uint32)
        file.weights[f"layers/{group}/seed_generator/vars/0"] = state
    assert same(load(file.write(path)), expected_sample())


def test_groups_without_weights_may_be_absent(path: Path) -> None:
    file = sample()
    file.names = {}
    with_names = sample().h5()
    assert len(file.h5()) < len(with_names)
    assert same(load(file.write(path)), expected_sample())


def test_names_that_are_not_ascii(path: Path) -> None:
    file = sample()
    file.layer("out")["config"]["name"] = file.names["layers/dense/vars"] = "größe\n∂"
    assert load(file.write(path)).layers[4].name == "größe\n∂"


def test_many_layers_of_one_class(path: Path) -> None:
    """More names than one leaf of a group holds, and counters of two digits."""
    count = 40
    weights = {
        f"{f'dense_{i}' if i else 'dense'}/vars/0": numbers(2, 2, start=10 * i)
        for i in range(count)
    }
    layers = [
        layer("Dense", name=f"d{i}", units=2, use_bias=False, activation="relu")
        for i in range(count)
    ]
    file = sequential([input_layer([2], "float32"), *layers], weights)
    expected = [
        Dense(name=f"d{i}", kernel=numbers(2, 2, start=10 * i), bias=None, activation="relu")
        for i in range(count)
    ]
    assert same(load(file.write(path)), list(expected))


def with_recorded_mask(kwargs_of: tuple[str, ...] = ("first", "second")) -> KerasFile:
    """Return the functional sample with the mask spelled out, as Keras 3 does."""
    file = functional(sample())
    operation = {
        "module": "keras.src.ops.numpy",
        "class_name": "NotEqual",
        "config": {"name": "not_equal"},
        "registered_name": "NotEqual",
        "name": "not_equal",
        "inbound_nodes": [{"args": [keras_files.tensor("tokens"), 0], "kwargs": {}}],
    }
    file.layers.insert(3, operation)
    for name in kwargs_of:
        (node,) = file.layer(name)["inbound_nodes"]
        node["kwargs"] = {"training": False, "mask": keras_files.tensor("not_equal")}
    return file


def test_recorded_mask_of_an_embedding(path: Path) -> None:
    assert same(load(with_recorded_mask().write(path)), expected_sample())


def test_functional_layers_in_any_order(path: Path) -> None:
    file = functional(sample())
    file.layers.reverse()
    # Groups are counted in the order of the list.
    for kept in (file.weights, file.names):
        moved = {
            k.replace("/lstm_1/", "/*/").replace("/lstm/", "/lstm_1/").replace("/*/", "/lstm/"): v
            for k, v in kept.items()
        }
        kept.clear()
        kept.update(moved)
    assert same(load(file.write(path)), expected_sample())


def test_keras_2_functional(path: Path) -> None:
    file = functional(sample())
    file.metadata["keras_version"] = "2.16.0"
    file.config["module"] = "tf_keras.src.engine.functional"
    inner = file.config["config"]
    inner["input_layers"], inner["output_layers"] = [["tokens", 0, 0]], [["soft", 0, 0]]
    before = "tokens"
    for entry in file.layers[1:]:
        entry["inbound_nodes"] = [[[before, 0, 0, {}]]]
        before = entry["name"]
    file.layer("first")["inbound_nodes"][0][0][3] = {"training": True}
    model = load(file.write(path))
    expected = expected_sample()
    vars(expected[3])["recurrent_activation"] = "hard_sigmoid_legacy"
    assert same(model, expected)
    (note,) = model.notes
    assert "'first'" in note
    assert "training=True" in note


def test_nonfinite_weights_on_request(path: Path) -> None:
    file = small()
    file.weights["layers/dense/vars/0"][0] = np.nan, np.inf
    with pytest.raises(ModelFormatError, match="NaN"):
        load(file.write(path))
    (dense,) = load(path, allow_nonfinite=True).layers
    assert isinstance(dense, Dense)
    assert dense.kernel.tobytes() == file.weights["layers/dense/vars/0"].tobytes()


def test_limits_can_be_met_exactly(path: Path) -> None:
    file = small()
    file.write(path)
    size = path.stat().st_size
    longest = max(len(part) for name, part in file.parts().items() if name.endswith("json"))
    exact = {
        "max_file_bytes": size,
        "max_tensor_bytes": 16,
        "max_json_bytes": longest,
        "max_layers": 2,
        "max_tensors": 1,
    }
    load(path, **exact)  # type: ignore[arg-type]
    for name, value in exact.items():
        less = value - 1
        if less:
            with pytest.raises(ModelFormatError, match=r"max_|limit"):
                load(path, **{name: less})  # type: ignore[arg-type]


def real_weights(model: Model) -> list[np.ndarray]:
    names = {Embedding: ["table"], LSTM: ["kernel", "recurrent_kernel", "bias"]}
    arrays = [
        getattr(item, name)
        for item in model.layers
        if isinstance(item, Embedding | LSTM | Dense)
        for name in names.get(type(item), ["kernel", "bias"])
    ]
    return [array for array in arrays if array is not None]


@pytest.mark.parametrize("file", REAL, ids=lambda p: p.stem)
def test_files_written_by_keras(file: Path) -> None:
    """The weights count up through the model, as the script that wrote them made them."""
    model = load(file)
    version = file.stem.split("-")[1]
    assert model.source == f"Keras {version}, {file.name}"
    start = 0
    for array in real_weights(model):
        expected = (np.arange(start, start + array.size) / 1024).astype(np.float32)
        assert array.tobytes() == expected.tobytes()
        start += array.size
    kinds = [type(item) for item in model.layers]
    if "no_input" in file.name:
        assert kinds == [LSTM, Dropout, Dense]
        assert model.input_shape == (5, 4)
        assert start == 4 * 12 + 3 * 12 + 12 + 3 * 2 + 2
        return
    assert kinds == [Embedding, Dropout, LSTM, LSTM, Dense, Activation]
    assert model.input_shape == ((None,) if "functional" in file.name else (6,))
    assert start == 35 + 5 * 16 + 4 * 16 + 16 + 4 * 12 + 3 * 12 + 6 + 2
    words, drop, first, second, out, soft = model.layers
    assert isinstance(words, Embedding)
    assert isinstance(drop, Dropout)
    assert isinstance(first, LSTM)
    assert isinstance(second, LSTM)
    assert isinstance(out, Dense)
    assert isinstance(soft, Activation)
    assert words.mask_zero
    assert (drop.rate, drop.noise_shape) == (0.25, (None, 1, 5))
    old = version in ("3.0.5", "3.7.0")
    assert (first.dropout, first.recurrent_dropout) == (0.5, 0.25)
    assert first.drawn_scheme == ("tied" if old else "per_gate")
    assert first.return_sequences
    assert (second.dropout, second.recurrent_dropout, second.drawn_scheme) == (0.125, 0.0, "tied")
    assert second.bias is None
    assert second.go_backwards
    assert second.activation == "relu"
    hard = "hard_sigmoid_legacy" if version.startswith("2") else "hard_sigmoid"
    assert second.recurrent_activation == hard
    assert (out.activation, soft.activation) == ("linear", "softmax")
    # What 3.0 did with unequal rates is told, too.
    assert len(model.notes) == (3 if version == "3.0.5" else 2 if old else 0)


def test_there_are_real_files() -> None:
    assert {path.stem.split("-")[1] for path in REAL} >= {"3.15.1", "3.7.0", "3.0.5", "2.16.0"}


def test_the_demonstration_model() -> None:
    import fastdrop.demo

    model = load(Path(fastdrop.demo.__file__).parent / "sms_spam.keras")
    embedding, drop, lstm, dense = model.layers
    assert isinstance(embedding, Embedding)
    assert isinstance(drop, Dropout)
    assert isinstance(lstm, LSTM)
    assert isinstance(dense, Dense)
    assert embedding.table.shape == (64, 64)
    assert drop.rate == 0.25
    assert (lstm.dropout, lstm.recurrent_dropout, lstm.units) == (0.5, 0.5, 100)
    assert (lstm.drawn_scheme, dense.activation) == ("per_gate", "sigmoid")

"""Recurrent layers in ``.keras`` files: what is read from good ones, and which are refused."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="the files under test are written with h5py")

from fastdrop.formats import ModelFormatError, load
from fastdrop.formats.keras._rows import Stored
from fastdrop.formats.keras._version import Version
from fastdrop.formats.keras.rnn import by_bias
from fastdrop.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Embedding,
    RepeatVector,
    SimpleRNN,
    SpatialDropout1D,
    TimeDistributed,
)
from keras_files import (
    RECURRENT_WEIGHTS,
    KerasFile,
    functional,
    input_layer,
    layer,
    numbers,
    recurrent_sample,
    sequential,
)
from layer_laws import KERAS_3, TF_KERAS, normal, planned
from test_formats import same
from tolerances import FLOAT32, assert_close

FOLDER = Path(__file__).parent / "data" / "recurrent_files"
REAL = sorted(FOLDER.glob("*.keras"))
Edit = Callable[[KerasFile], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


# ---- files that Keras wrote ----


@pytest.mark.parametrize("file", REAL, ids=lambda p: p.stem)
def test_predict_is_keras(backend: str, file: Path) -> None:
    with np.load(file.with_suffix(".npz")) as stored:
        x, expected = stored["x"], stored["predict"]
    model = load(file)
    assert model.source == f"Keras {file.stem.split('-')[1]}, {file.name}"
    assert_close(model.predict(x), expected, FLOAT32)
    # The outputs depend on the inputs, or the comparison would show nothing.
    assert expected.std(axis=0).max() > 1e-3


def test_there_are_real_files() -> None:
    assert {path.stem.rpartition("-")[0] for path in REAL} == {
        "keras-3.15.1",
        "keras-3.7.0",
        "keras-3.0.5",
        "tf_keras-2.16.0",
        "keras-2.13.1",
    }


def kinds(model: Any) -> list[str]:
    return [type(item).__name__ for item in model.layers]


def test_the_tagger() -> None:
    model = load(FOLDER / "keras-3.15.1-tagger.keras")
    assert kinds(model) == [
        "Embedding",
        "SpatialDropout1D",
        "GRU",
        "RepeatVector",
        "GRU",
        "TimeDistributed",
        "Activation",
    ]
    assert model.output_shapes == [(7, 4), (7, 4), (5,), (7, 5), (7, 4), (7, 3), (7, 3)]
    assert [item.stochastic for item in model.layers if item.stochastic] == [
        "spatial dropout 0.2",
        *["input dropout 0.2, recurrent dropout 0.2 (per_gate)"] * 2,
    ]
    assert model.notes == ()


def test_a_tagger_of_an_older_version() -> None:
    model = load(FOLDER / "keras-3.7.0-tagger.keras")
    assert [item.drawn_scheme for item in model.layers if isinstance(item, GRU)] == ["tied", "tied"]
    assert len(model.notes) == 4


# ---- files written by hand ----


def expected_sample() -> list[Any]:
    """Return the layers of `recurrent_sample`, written out."""

    def arrays(group: str, *names: str) -> dict[str, np.ndarray]:
        return {
            name: RECURRENT_WEIGHTS[f"{group}/vars/{i}"]
            for i, name in enumerate(names or ("kernel", "recurrent_kernel", "bias"))
        }

    return [
        Embedding(name="words", table=RECURRENT_WEIGHTS["embedding/vars/0"], mask_zero=True),
        SpatialDropout1D(name="channels", rate=0.25),
        Bidirectional(
            name="both",
            forward=GRU(
                name="forward_gru",
                **arrays("bidirectional/forward_layer/cell"),
                activation="relu",
                recurrent_activation="hard_sigmoid",
                dropout=0.5,
                scheme="keras",
                reset_after=False,
                return_sequences=True,
                zero_output_for_mask=True,
            ),
            backward=GRU(
                name="back",
                **arrays("bidirectional/backward_layer/cell"),
                activation="tanh",
                recurrent_activation="sigmoid",
                recurrent_dropout=0.125,
                scheme="keras",
                reset_after=True,
                go_backwards=True,
                return_sequences=True,
                zero_output_for_mask=True,
            ),
            merge_mode="sum",
        ),
        GRU(
            name="third",
            **arrays("gru/cell", "kernel", "recurrent_kernel"),
            activation="tanh",
            recurrent_activation="sigmoid",
            dropout=0.125,
            recurrent_dropout=0.25,
            scheme="keras",
            reset_after=True,
            go_backwards=True,
            return_sequences=True,
            zero_output_for_mask=True,
        ),
        SimpleRNN(
            name="simple",
            **arrays("simple_rnn/cell"),
            activation="sigmoid",
            dropout=0.5,
            recurrent_dropout=0.375,
        ),
        RepeatVector(name="again", count=4),
        Bidirectional(
            name="lstms",
            **{
                direction: LSTM(
                    name=f"{direction}_lstm",
                    **arrays(f"bidirectional_1/{direction}_layer/cell"),
                    activation="tanh",
                    recurrent_activation="sigmoid",
                    dropout=0.5,
                    recurrent_dropout=0.25,
                    scheme="keras",
                    go_backwards=direction == "backward",
                    return_sequences=True,
                    zero_output_for_mask=True,
                )
                for direction in ("forward", "backward")
            },
            merge_mode="concat",
        ),
        TimeDistributed(
            name="steps",
            layer=Dense(
                name="inner",
                **arrays("time_distributed/layer", "kernel", "bias"),
                activation="tanh",
            ),
        ),
        Activation(name="soft", activation="softmax"),
    ]


@pytest.mark.parametrize("shape", [[6], [None]], ids=["fixed", "any length"])
@pytest.mark.parametrize("turn", [lambda f: f, functional], ids=["sequential", "functional"])
def test_every_field(path: Path, turn: Any, shape: list[int | None]) -> None:
    file = recurrent_sample()
    file.layers[0]["config"]["batch_shape"] = [None, *shape]
    model = load(turn(file).write(path))
    assert same(model, expected_sample())
    assert model.output_shapes == [
        (*shape, 3),
        (*shape, 3),
        (*shape, 4),
        (*shape, 2),
        (3,),
        (4, 3),
        (4, 4),
        (4, 5),
        (4, 5),
    ]
    assert model.notes == ()


def test_a_backward_layer_like_the_forward_one(path: Path) -> None:
    """Keras 2 leaves it out, leaves empty groups for the layer as it was given, and no names."""
    file = recurrent_sample()
    file.metadata["keras_version"] = "2.16.0"
    del file.layer("lstms")["config"]["backward_layer"]
    file.names = {
        "layers/bidirectional_1/layer/vars": "",
        "layers/bidirectional_1/layer/cell/vars": "",
    }
    both = load(file.write(path)).layers[6]
    assert isinstance(both, Bidirectional)
    assert both.backward.go_backwards
    kernel = RECURRENT_WEIGHTS["bidirectional_1/backward_layer/cell/vars/0"]
    assert np.array_equal(both.backward.kernel, kernel)
    assert (both.backward.dropout, both.backward.recurrent_dropout) == (0.5, 0.25)


@pytest.mark.parametrize("sequences", [False, True])
def test_zeros_for_masked_steps_are_kerass_own_choice(path: Path, sequences: bool) -> None:
    """Bidirectional sets it to `return_sequences`, whatever the file says."""
    file = recurrent_sample()
    del file.layers[4:]
    for key in [key for key in file.weights if not key.startswith(("layers/e", "layers/b"))]:
        del file.weights[key]
    for key in [key for key in file.weights if "bidirectional_1" in key]:
        del file.weights[key]
    file.names = {}
    config = file.layer("both")["config"]
    for key in ("layer", "backward_layer"):
        config[key]["config"].update(return_sequences=sequences, zero_output_for_mask=not sequences)
    both = load(file.write(path)).layers[2]
    assert isinstance(both, Bidirectional)
    assert both.forward.zero_output_for_mask is both.backward.zero_output_for_mask is sequences


@pytest.mark.parametrize(
    ("version", "dropout", "recurrent", "implementation", "scheme", "notes"),
    [
        ("3.15.1", 0.5, 0.25, None, "per_gate", 0),
        ("3.15.1", 0.5, 0.0, None, "tied", 0),
        ("3.8.0", 0.5, 0.25, None, "per_gate", 0),
        ("3.7.0", 0.5, 0.25, None, "tied", 2),
        ("3.7.0", 0.0, 0.25, None, "tied", 2),
        ("3.7.0", 0.5, 0.0, 1, "tied", 1),
        ("3.0.5", 0.0, 0.0, None, "tied", 0),
        ("3.0.5", 0.25, 0.25, None, "tied", 2),
        ("2.16.0", 0.5, 0.25, 2, "per_gate", 0),
        ("2.16.0", 0.5, 0.0, 1, "per_gate", 0),
        ("2.16.0", 0.5, 0.0, 2, "tied", 0),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_scheme_follows_the_version(
    path: Path,
    version: str,
    dropout: float,
    recurrent: float,
    implementation: int | None,
    scheme: str,
    notes: int,
    wrapped: bool,
) -> None:
    file = recurrent_sample()
    file.metadata["keras_version"] = version
    both, third, lstms = (file.layer(name)["config"] for name in ("both", "third", "lstms"))
    inner = [w[k]["config"] for w in (both, lstms) for k in ("layer", "backward_layer")]
    for config in (third, *inner):
        config.update(dropout=0.0, recurrent_dropout=0.0)
    config = both["layer"]["config"] if wrapped else third
    config.update(dropout=dropout, recurrent_dropout=recurrent)
    if implementation is not None:
        config["implementation"] = implementation
    model = load(file.write(path))
    gru = model.layers[2].forward if wrapped else model.layers[3]
    assert (gru.drawn_scheme, gru.dropout, gru.recurrent_dropout) == (scheme, dropout, recurrent)
    assert len(model.notes) == notes
    assert all(("'forward_gru'" if wrapped else "'third'") in note for note in model.notes)
    assert any("carries over" in note for note in model.notes) is (notes == 2)


def test_hard_sigmoid_in_a_wrapped_layer(path: Path) -> None:
    file = recurrent_sample()
    file.metadata["keras_version"] = "2.16.0"
    both = load(file.write(path)).layers[2]
    assert isinstance(both, Bidirectional)
    assert both.forward.recurrent_activation == "hard_sigmoid_legacy"
    assert both.backward.recurrent_activation == "sigmoid"


def test_groups_of_keras_2_13(path: Path) -> None:
    """The counter skips a number after a layer with weights, be they a wrapped layer's."""
    file = recurrent_sample()
    file.metadata["keras_version"] = "2.13.1"
    file.weights = {
        name.replace("layers/", "_layer_checkpoint_dependencies/", 1).replace(
            "bidirectional_1", "bidirectional_2"
        ): array
        for name, array in file.weights.items()
    }
    file.names = {}
    assert kinds(load(file.write(path))) == [type(item).__name__ for item in expected_sample()]


def test_generators_of_wrapped_layers_are_ignored(path: Path) -> None:
    file = recurrent_sample()
    for group in (
        "spatial_dropout1d",
        "gru",
        "bidirectional/forward_layer",
        "bidirectional/forward_layer/cell",
    ):
        file.weights[f"layers/{group}/seed_generator/vars/0"] = np.array([1, 2], np.uint32)
    assert same(load(file.write(path)), expected_sample())


def test_what_is_meant_where_a_file_says_nothing() -> None:
    """The option is younger than the file, and that version had one way alone."""
    for version, after in ((Version(2, 2), False), (TF_KERAS, False), (KERAS_3, True)):
        assert planned("GRU", (5, 3), version, units=2).reset_after is after
    # `implementation` was 1 by default up to Keras 2.2, and 2 since.
    for version, scheme in ((Version(2, 2), "per_gate"), (Version(2, 3), "tied")):
        assert planned("LSTM", (5, 3), version, units=2, dropout=0.5).drawn_scheme == scheme
    both = planned("Bidirectional", (5, 3), layer=layer("LSTM", units=2))
    assert both.merge_mode == "concat"


@pytest.mark.parametrize("gates", [3, 4])
def test_weights_of_cudnn_in_both_directions(gates: int) -> None:
    """The second half of a Bidirectional is converted as the first one is."""
    width = 2 * gates
    fields = {
        "kernel": (3, width),
        "recurrent_kernel": (2, width),
        "bias": (2, width) if gates == 3 else (width,),
    }
    stored = [Stored(f"{d}.{f}", "", s) for d in ("forward", "backward") for f, s in fields.items()]
    shapes = [(2 * width,) if s.field.endswith("bias") else s.shape for s in stored]
    found = by_bias(stored, shapes)
    assert [s.field for s in found] == [s.field for s in stored]
    for ahead, back, shape in zip(found[:3], found[3:], shapes, strict=False):
        array = normal(*shape)
        assert ahead.convert is not None
        assert back.convert is not None
        assert np.array_equal(back.convert(array), ahead.convert(array))
    # One direction may have been of cuDNN's alone.
    mixed = by_bias(stored, [*shapes[:3], *(s.shape for s in stored[3:])])
    assert [s.convert is not None for s in mixed] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("rate", [0, 0.3, 1])
def test_spatial_dropout_rates(path: Path, rate: float) -> None:
    file = recurrent_sample()
    file.layer("channels")["config"]["rate"] = rate
    channels = load(file.write(path)).layers[1]
    assert isinstance(channels, SpatialDropout1D)
    assert channels.rate == rate


def test_training_fixed_in_keras_2(path: Path) -> None:
    """What Keras 2 records of a call decides there; a wrapped layer follows its wrapper."""
    for name in ("channels", "both", "third", "simple"):
        for training in (False, True):
            file = functional(recurrent_sample())
            file.metadata["keras_version"] = "2.16.0"
            file.layer(name)["inbound_nodes"][0]["kwargs"]["training"] = training
            file.write(path)
            model = load(path)
            (note,) = model.notes
            assert f"{name!r}" in note
            assert f"training={training}" in note
            drawing = [step.layer.name for step in model.graph.steps if step.draws]
            assert (name in drawing) is training
            assert len(drawing) == (5 if training else 4)


# ---- what is refused ----


def option(name: str, /, **values: Any) -> Edit:
    return lambda f: f.layer(name)["config"].update(values)


def inner(name: str, key: str = "layer", /, **values: Any) -> Edit:
    """Change the configuration of a wrapped layer."""
    return lambda f: f.layer(name)["config"][key]["config"].update(values)


def inner_entry(name: str, key: str = "layer", /, **values: Any) -> Edit:
    return lambda f: f.layer(name)["config"][key].update(values)


def weight(path: str, array: np.ndarray | None) -> Edit:
    def edit(file: KerasFile) -> None:
        if array is None:
            del file.weights[f"layers/{path}"]
        else:
            file.weights[f"layers/{path}"] = array

    return edit


def table(*cases: tuple[str, Any, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("edit", "fragment"),
        [pytest.param(edit, fragment, id=name) for name, edit, fragment in cases],
    )


LAMBDA = {"class_name": "Lambda", "config": {"name": "x", "function": "4wEA"}}


@table(
    ("wrapped class", inner_entry("both", class_name="Dense"), "expected one of GRU, LSTM"),
    ("cell in time", inner_entry("steps", class_name="GRU"), "(time, 4), got (4,)"),
    ("wrapped input", inner_entry("steps", class_name="InputLayer"), "the class is not"),
    ("twice", inner_entry("both", class_name="Bidirectional"), "expected one of GRU, LSTM"),
    ("function", inner_entry("both", class_name="NotEqual"), "expected one of GRU, LSTM"),
    ("custom", inner_entry("both", registered_name="mine>GRU"), "class 'mine>GRU' is not"),
    ("module", inner_entry("both", module="os"), "(module 'os')"),
    ("backward", inner_entry("both", "backward_layer", module="os"), "(module 'os')"),
    (
        "Lambda in time",
        inner_entry("steps", **LAMBDA),
        "(Lambda): a Python function in the file, which is never run",
    ),
    ("wrapped key", inner_entry("both", extra=1), "unsupported option 'extra'"),
    ("no wrapped layer", option("both", layer=None), "layer: expected an object, found None"),
    ("wrapped list", option("steps", layer=[1]), "layer: expected an object, found [1]"),
    ("wrapped backward", option("both", backward_layer=3), "expected an object, found 3"),
    ("no name", lambda f: f.layer("steps")["config"]["layer"]["config"].pop("name"), "name: exp"),
    ("no merge mode", option("both", merge_mode=None), "it puts out 2 tensors"),
    ("merge mode", option("both", merge_mode="max"), "merge_mode: expected concat, sum, mul, ave"),
    ("weights", option("both", weights=[1]), "unsupported option 'weights'"),
    (
        "forward",
        inner("both", go_backwards=True),
        "backward: expected a layer with go_backwards=False",
    ),
    (
        "not backward",
        inner("both", "backward_layer", go_backwards=False),
        "backward: expected a layer with go_backwards=True",
    ),
    ("sequences", inner("both", return_sequences=False), "expected return_sequences=False, as"),
    (
        "units",
        inner("both", "backward_layer", units=3),
        "backward: expected units=4, as the forward layer has, got 3",
    ),
    ("state", inner("both", return_state=True), "backward: expected return_state=True, as"),
    ("stateful", inner("both", "backward_layer", stateful=3), "stateful: expected true or"),
    ("wrapped dtype", inner("steps", dtype="bfloat16"), "float64, found 'bfloat16'"),
    ("outer dtype", option("steps", dtype="bfloat16"), "dtype: expected float32, mixed_"),
    ("wrapped activation", inner("steps", activation="glu"), "'glu' is not supported"),
    ("wrapped rate", inner("both", dropout=1.0), "dropout: expected a rate in [0, 1)"),
    ("wrapped adapter", inner("steps", adapter_rank=4), "unsupported option 'adapter_rank'"),
    ("reset_after", option("third", reset_after=1), "reset_after: expected true or false"),
    ("reset_after null", option("third", reset_after=None), "reset_after: expected true or"),
    ("gate", option("simple", recurrent_activation="tanh"), "'recurrent_activation'"),
    ("simple softmin", option("simple", activation="softmin"), "'softmin' is not supported"),
    ("softmin gate", option("third", recurrent_activation="softmin"), "'softmin' is not"),
    ("implementation", option("third", implementation=3), "implementation: expected 0, 1 or 2"),
    ("units", option("third", units=0), "units: expected a positive integer"),
    ("time_major", option("third", time_major=True), "time_major: expected False, found True"),
    ("n 0", option("again", n=0), "n: expected a positive integer, found 0"),
    ("n true", option("again", n=True), "n: expected a positive integer"),
    ("n float", option("again", n=2.0), "n: expected a positive integer"),
    ("n missing", lambda f: f.layer("again")["config"].pop("n"), "n: expected a positive integer"),
    ("n huge", option("again", n=2**30), "an output of 12884901888 bytes, max_tensor_bytes is"),
    ("repeat 3-D", lambda f: f.layers.insert(4, layer("RepeatVector", n=2)), "(features,)"),
    ("noise shape", option("channels", noise_shape=[None, 1, 3]), "'noise_shape'"),
    ("data format", option("channels", data_format="channels_first"), "'data_format'"),
    ("spatial rate", option("channels", rate=2), "rate: expected a rate in [0, 1], found 2"),
    ("spatial 2-D", lambda f: f.layers.insert(6, layer("SpatialDropout1D", rate=0.5)), "channels"),
)
def test_configuration(path: Path, edit: Edit, fragment: str) -> None:
    file = recurrent_sample()
    edit(file)
    refused(file.write(path), fragment)


def refused(path: Path, fragment: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        load(path)
    message = str(caught.value)
    assert fragment in message
    assert message.isascii()
    assert "\n" not in message
    assert len(message) < 500


def test_time_distributed_needs_time(path: Path) -> None:
    dense = layer("Dense", name="inner", units=2, activation="tanh")
    file = sequential(
        [input_layer([3], "float32"), layer("TimeDistributed", layer=dense)],
        {
            "time_distributed/layer/vars/0": numbers(3, 2),
            "time_distributed/layer/vars/1": numbers(2),
        },
    )
    refused(file.write(path), "expected an input of shape (..., features)")


FORWARD, BACKWARD = "bidirectional/forward_layer", "bidirectional/backward_layer"


@table(
    ("bias of reset_after", option("third", use_bias=True), "/layers/gru/cell/vars: 2 is missing"),
    ("one bias", weight(f"{BACKWARD}/cell/vars/2", numbers(12)), "expected shape (2, 12), found"),
    ("two biases", weight(f"{FORWARD}/cell/vars/2", numbers(2, 12)), "expected shape (12,), found"),
    ("reset_after", inner("both", reset_after=True), "expected shape (2, 12), found (12,)"),
    ("gates", weight("gru/cell/vars/0", numbers(4, 8)), "expected shape (4, 6), found (4, 8)"),
    ("recurrent", weight("simple_rnn/cell/vars/1", numbers(2, 3)), "expected shape (3, 3)"),
    ("missing", weight(f"{BACKWARD}/cell/vars/1", None), "vars: 1 is missing"),
    ("extra", weight(f"{BACKWARD}/cell/vars/3", numbers(2)), "unexpected '3'"),
    ("third direction", weight("bidirectional/layer/cell/vars/0", numbers(2)), "unexpected '0'"),
    ("wrapper's own", weight("bidirectional/vars/0", numbers(2)), "unexpected '0'"),
    ("own of time", weight("time_distributed/vars/0", numbers(2)), "unexpected '0'"),
    ("weights of dropout", weight("spatial_dropout1d/vars/0", numbers(2)), "unexpected '0'"),
    ("weights of repeat", weight("repeat_vector/vars/0", numbers(2)), "unexpected '0'"),
    ("class name", weight("simplernn/cell/vars/0", numbers(2)), "unexpected 'simplernn'"),
    ("NaN", weight(f"{FORWARD}/cell/vars/1", np.full((4, 12), np.nan, "f4")), "holds NaN"),
    (
        "name of the forward layer",
        lambda f: f.names.update({f"layers/{FORWARD}/vars": "back"}),
        "is of layer 'back', expected 'forward_gru'",
    ),
    (
        "name of the dense layer",
        lambda f: f.names.update({"layers/time_distributed/layer/vars": "steps"}),
        "is of layer 'steps', expected 'inner'",
    ),
)
def test_weights(path: Path, edit: Edit, fragment: str) -> None:
    file = recurrent_sample()
    edit(file)
    refused(file.write(path), fragment)


def test_directions_are_not_exchanged(path: Path) -> None:
    """Both have the same shapes here: it is the names of their groups that tell."""
    file = recurrent_sample()
    names = [f"layers/bidirectional_1/{d}_layer/vars" for d in ("forward", "backward")]
    file.names |= {names[0]: file.names[names[1]], names[1]: file.names[names[0]]}
    refused(file.write(path), "is of layer 'backward_lstm', expected 'forward_lstm'")


HOSTILE = (None, True, False, -1, 0, 1, 2**40, 1.5, "", "x" * 1000, "ü\n", [], {}, [None], [{}])


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a configuration, as a container and a key."""
    items: Any = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    places = [(value, key) for key, _ in items]
    return places + [place for _, child in items for place in leaves(child)]


@pytest.mark.parametrize("turn", [lambda f: f, functional], ids=["sequential", "functional"])
def test_hostile_configurations(path: Path, turn: Any) -> None:
    """Whatever stands at any place: a model, or one line that says what is wrong."""
    generator = random.Random(3)
    original = turn(recurrent_sample())
    hdf5 = original.h5()
    outcomes = {"refused": 0, "loaded": 0}
    for _ in range(400):
        file = KerasFile(json.loads(json.dumps(original.config)))
        file.members["model.weights.h5"] = hdf5
        container, key = generator.choice(leaves(file.config))
        if generator.random() < 0.2:
            del container[key]
        else:
            container[key] = generator.choice(HOSTILE)
        try:
            load(file.write(path))
        except ModelFormatError as error:
            message = str(error)
            outcomes["refused"] += 1
            lines = error.obstacles
        else:
            message, lines = "", ()
            outcomes["loaded"] += 1
        assert "\n" not in message
        assert all(len(line) < 500 for line in lines)
    assert outcomes["refused"] > 80
    assert outcomes["loaded"] > 25

"""Signatures: the names that are accepted, keywords, what help shows, and what dir lists."""

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
import fastdrop.typing
from conftest import BACKENDS
from fastdrop import _backend
from fastdrop.recurrent import _arguments

X = np.ones((2, 3, 4), np.float32)
KERNEL, RECURRENT = np.ones((4, 5), np.float32), np.ones((5, 5), np.float32)
PAIR = (fd.pack_simple_rnn(KERNEL, RECURRENT),) * 2
MODEL = fd.Model(
    [
        fd.layers.Dropout(name="drop", rate=0.5),
        fd.layers.Activation(name="softmax", activation="softmax"),
    ],
    (3,),
)
SAMPLED = {"x": np.ones((1, 3)), "samples": 2, "rng": 0}

# By the name of a type: the argument that it is of, and a call with what is accepted or not.
NAMED: dict[str, tuple[str, Callable[[Any], object]]] = {
    "Scheme": ("scheme", lambda name: fd.simple_rnn(X, KERNEL, RECURRENT, scheme=name)),
    "Scope": ("scope", lambda name: fd.simple_rnn(X, KERNEL, RECURRENT, scope=name)),
    "MergeMode": ("merge_mode", lambda name: fd.rnn(X, PAIR, merge_mode=name)),
    "Precision": ("precision", lambda name: fd.pack_simple_rnn(KERNEL, RECURRENT, precision=name)),
    "Kind": ("kind", lambda name: MODEL.mc_predict(**SAMPLED, kind=name)),
    "Interrupt": ("on_interrupt", lambda name: MODEL.mc_predict(**SAMPLED, on_interrupt=name)),
    "Likelihood": ("likelihood", lambda name: noisy(likelihood=name)),
    "Scale": ("scale", lambda name: noisy(likelihood="normal", scale=name)),
    "Activation": ("activation", lambda name: activated(name)),
}


def noisy(**options: Any) -> object:
    model = fd.Model([fd.layers.Dropout(name="drop", rate=0.5)], (2,))
    return model.mc_predict(np.ones((1, 2)), samples=2, rng=0, **options)


def activated(name: str) -> object:
    needed = (1.0, 1.0) if name == "threshold" else ()
    return fd.activate(X, (name, *needed) if needed else name)


def names_of(kind: Any) -> list[str]:
    """All texts of a type, in their order."""
    given = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return list(given)
    return [name for part in given for name in names_of(part)]


@pytest.mark.parametrize("name", NAMED)
def test_types_of_names_hold_what_is_accepted(name: str) -> None:
    """No less, as each is taken; no more, as the message lists them all."""
    argument, call = NAMED[name]
    names = names_of(getattr(fastdrop.typing, name))
    assert names
    for one in names:
        call(one)
    with pytest.raises(ValueError, match=rf"^{argument}: expected ") as caught:
        call("nonsense")
    expected = str(caught.value).replace("'nonsense'", "")
    assert sorted(re.findall(r"'(\w+)'", expected)) == sorted(names)


def test_every_type_is_described() -> None:
    text = fastdrop.typing.__doc__ or ""
    described = re.findall(r"^(\w+(?:, \w+)*)\n    \S", text, re.MULTILINE)
    found = [name for line in described for name in line.split(", ")]
    assert sorted(found) == sorted(fastdrop.typing.__all__)


# ---- keywords ----


def keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """Keywords with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


RNN = keywords(fd.rnn)
ONE_LAYER = set(RNN) - {"between_dropout", "merge_mode"}
# What a function has of the keywords of `rnn`, and what it has besides.
LIKE_RNN: dict[str, tuple[Callable[..., Any], set[str], set[str]]] = {
    "rnn": (fd.rnn, set(RNN), set()),
    "lstm": (fd.lstm, ONE_LAYER, {"activation", "recurrent_activation"}),
    "gru": (fd.gru, ONE_LAYER, {"activation", "recurrent_activation", "reset_after"}),
    "simple_rnn": (fd.simple_rnn, ONE_LAYER, {"activation"}),
    "step": (fd.step, set(_arguments.StepOptions.__annotations__), set()),
    "Stepper": (
        fd.Stepper,
        {*_arguments.HeldOptions.__annotations__, "between_dropout", "initial_state", "first_step"},
        set(),
    ),
}


@pytest.mark.parametrize("name", LIKE_RNN)
def test_recurrent_functions_have_the_keywords_of_rnn(name: str) -> None:
    function, shared, own = LIKE_RNN[name]
    found = keywords(function)
    assert set(found) == shared | own
    assert {key: found[key] for key in shared} == {key: RNN[key] for key in shared}
    text = function.__doc__ or ""
    assert all(re.search(rf"\b{key}\b", text) for key in found)


def test_options_are_the_keywords_of_rnn() -> None:
    assert set(_arguments.Options.__annotations__) == set(RNN)


# An option whose value is seen in the result, or in an error that says it has come.
PASSED: dict[str, tuple[Any, str | None]] = {
    "dropout": (0.5, None),
    "recurrent_dropout": (0.5, None),
    "candidate_dropout": (0.5, "candidate_dropout: expected 0 for a simple RNN"),
    "zoneout": (0.5, None),
    "weight_dropout": (0.5, None),
    "between_dropout": (0.5, "between_dropout: expected 0 but for a list"),
    "rng": ("text", "rng: expected"),
    "scheme": ("text", "scheme: expected"),
    "scope": ("text", "scope: expected"),
    "site": (-1, "site: expected"),
    "sample": (-1, "sample: expected"),
    "row_offset": (-1, "row_offset: expected"),
    "input_mask": (np.ones(1, np.float32), "input_mask: expected"),
    "recurrent_mask": (np.ones(1, np.float32), "recurrent_mask: expected"),
    "candidate_mask": (np.zeros((1, 5), np.float32), "candidate_mask: expected None for a simple"),
    "embedding": (np.ones((9, 4), np.float32), "x: expected an array of int8"),
    "embedding_mask": (np.ones((1, 4), np.float32), "embedding_mask: expected None without"),
    "precision": ("text", "precision: expected"),
    "initial_state": (np.full((2, 5), 2, np.float32), None),
    "mask": (np.zeros((2, 3), bool), None),
    "lengths": ([0, 0], None),
    "zero_output_for_mask": ("yes", "zero_output_for_mask: expected"),
    "go_backwards": ("yes", "go_backwards: expected"),
    "return_sequences": ("yes", "return_sequences: expected"),
    "return_state": ("yes", "return_state: expected"),
    "merge_mode": ("text", "merge_mode: expected"),
    "first_step": (-1, "first_step: expected"),
    "threads": (0, "threads: expected"),
}
STATE = np.ones((2, 5), np.float32)
SMALL = fd.pack_simple_rnn(KERNEL / 100, RECURRENT / 100)
CALLS: dict[str, Callable[..., Any]] = {
    "rnn": lambda **options: fd.rnn(X, SMALL, **options),
    "simple_rnn": lambda **o: fd.simple_rnn(X, KERNEL / 100, RECURRENT / 100, **o),
    "lstm": lambda **o: fd.lstm(X, np.ones((4, 20), "f4"), np.ones((5, 20), "f4") / 9, **o),
    "gru": lambda **o: fd.gru(X, np.ones((4, 15), "f4"), np.ones((5, 15), "f4") / 9, **o),
    "step": lambda **options: fd.step(X[:, 0], SMALL, STATE, **options)[0],
    "Stepper": lambda **o: fd.Stepper(SMALL, 2, **{"initial_state": STATE, **o}).step(X[:, 0]),
}


@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("name", PASSED)
def test_every_keyword_arrives(name: str, function: str) -> None:
    if name not in keywords(LIKE_RNN[function][0]):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            CALLS[function](**{name: PASSED[name][0]})
        return
    value, message = PASSED[name]
    if name == "initial_state" and function == "lstm":
        value = (value, value)
    if function in ("lstm", "gru") and name.startswith("candidate_"):
        message = None  # these have candidates
    seed = {} if name == "rng" else {"rng": 0}
    if message is None:
        changed = CALLS[function](**{name: value}, **seed)
        assert not np.array_equal(changed, CALLS[function](**seed)), name
    else:
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            CALLS[function](**{name: value}, **seed)


# ---- what help shows ----


def public_callables() -> dict[str, Callable[..., Any]]:
    """Functions, classes and their methods, of modules that need no extra."""
    modules = {"": fd, "scores.": fd.scores, "calibration.": fd.calibration}
    found: dict[str, Callable[..., Any]] = {}
    for prefix, module in modules.items():
        for name in module.__all__:
            item = getattr(module, name)
            if not callable(item):
                continue
            found[prefix + name] = item
            if inspect.isclass(item):
                for label, method in vars(item).items():
                    if label[0] != "_" and inspect.isfunction(method):
                        found[f"{prefix}{name}.{label}"] = method
    return found


@pytest.mark.parametrize("name", public_callables())
def test_signatures_are_readable(name: str) -> None:
    line = str(inspect.signature(public_callables()[name]))
    assert len(line) < 1200
    assert "numpy._typing" not in line
    assert "Unpack" not in line
    assert "**" not in line


@pytest.mark.parametrize("name", [n for n in public_callables() if n[0].islower()])
def test_annotations_can_be_looked_up(name: str) -> None:
    """By what checks arguments by them, and by Sphinx: no name is for type checkers alone."""
    function = public_callables()[name]
    hints = typing.get_type_hints(function)
    assert set(hints) >= {*inspect.signature(function).parameters} - {"self"}


def test_what_comes_back_has_a_public_name() -> None:
    """For annotations of users, who meet what methods return."""
    found: set[str] = set()
    for name, function in public_callables().items():
        if name == "PackedWeights.form" or inspect.isclass(function):  # backends call it
            continue
        for word in re.findall(r"\w+", str(inspect.signature(function).return_annotation)):
            item = inspect.unwrap(function).__globals__.get(word)
            if inspect.isclass(item) and item.__module__.startswith("fastdrop"):
                found.add(word)
    assert found >= {"Stream", "Summary", "EnsemblePrediction", "Prediction", "Reliability"}
    public = {*fd.__all__, *fd.scores.__all__, *fd.calibration.__all__}
    assert found <= public
    assert isinstance(MODEL.described().layers[0], fd.LayerSummary)


def test_what_a_model_gives_is_annotated() -> None:
    """As the one of it that most models have; of several outputs it is a list or dict."""
    assert typing.get_type_hints(fd.Stream.step)["return"] == fd.Prediction | Any
    for name in ("input_shape", "output_shape"):
        hint = typing.get_type_hints(getattr(fd.Model, name).fget)["return"]
        assert hint == fd.layers.Shape | Any


def test_types_do_not_wait_for_numpys_generators() -> None:
    """RNGLike is looked up when it is asked for."""

    def draw(rng: fastdrop.typing.RNGLike) -> None: ...

    hints = typing.get_type_hints(draw)
    assert set(typing.get_args(hints["rng"])) == {
        type(None),
        int,
        fd.Key,
        np.random.SeedSequence,
        np.random.Generator,
        np.random.BitGenerator,
    }


# ---- what dir lists ----


def modules() -> list[str]:
    """The package, and its modules but the command and those that begin with an underscore."""
    found = [module.name for module in pkgutil.iter_modules(fd.__path__)]
    names = [name for name in found if name[0] != "_" and name != "cli"]
    return ["fastdrop", *(f"fastdrop.{name}" for name in names)]


EXTRAS = {"fastdrop.torch": "torch", "fastdrop.sklearn": "sklearn", "fastdrop.dask": "dask"}


@pytest.mark.parametrize("name", modules())
def test_dir_lists_public_names(name: str) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    module = importlib.import_module(name)
    shown = [entry for entry in dir(module) if not entry.startswith("__")]
    public = [entry for entry in module.__all__ if not entry.startswith("__")]
    assert shown == sorted(public)
    assert {"__name__", "__doc__", "__file__", "__all__"} <= set(dir(module))
    assert all(hasattr(module, entry) for entry in dir(module))


# ---- completion ----

COMPLETED = {
    "lstm": ("fd.lstm(x, kernel, recurrent, rec", "recurrent_dropout="),
    "gru": ("fd.gru(x, kernel, recurrent, cand", "candidate_dropout="),
    "rnn": ("fd.rnn(x, layers, betw", "between_dropout="),
    "step": ("fd.step(x, layers, zone", "zoneout="),
    "Stepper": ("fd.Stepper(layers, sch", "scheme="),
    "dropout": ("fd.dropout(x, 0.5, noise", "noise_shape="),
    "mc_predict": ('fd.load("m.keras").mc_predict(x, like', "likelihood="),
    "prediction": ('fd.load("m.keras").rollout(x, 3).quan', "quantile"),
    "Ensemble": ("fd.Ensemble([]).mc_predict(x, sco", "scope="),
    "scores": ("fd.scores.cr", "crps"),
}


@pytest.mark.live
@pytest.mark.parametrize("name", COMPLETED)
def test_completion(name: str) -> None:
    """As editors see the code, and as IPython and notebooks see the objects."""
    jedi = pytest.importorskip("jedi")
    line, expected = COMPLETED[name]
    code = f"import fastdrop as fd\n{line}"
    root = Path(fd.__file__).parents[1]
    project = jedi.Project(root, sys_path=None)
    found = {c.name for c in jedi.Script(code, project=project).complete()}
    assert expected in found
    assert expected in {c.name for c in jedi.Interpreter(line, [{"fd": fd}]).complete()}


# ---- implementations ----

KERNELS = [name for name, item in vars(_backend.Backend).items() if inspect.isfunction(item)]


@pytest.mark.parametrize("name", [name for name in KERNELS if name[0] != "_"])
def test_implementations_take_what_their_protocol_says(name: str) -> None:
    """Type checkers do not see into the native one."""
    expected = list(inspect.signature(getattr(_backend.Backend, name)).parameters)
    for backend in {type(backend) for backend in BACKENDS.values()}:
        assert list(inspect.signature(getattr(backend, name)).parameters) == expected

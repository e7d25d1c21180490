"""The command: what it prints and writes, its exit codes, and errors in one line."""

import csv
import errno
import importlib.util
import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import _npy, cli, demo
from fastdrop.layers import Dense, Dropout
from fastdrop.model import Call, Model

MODEL = Path(__file__).with_name("references") / "mc_model.keras"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).integers(0, 20, (5, 10)))
    return path


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def test_predict_writes_what_the_library_computes(tokens: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert run("predict", MODEL, tokens, "--samples", 30, "--seed", 4, "--out", out) == 0
    x, model = np.load(tokens), fd.load(MODEL)
    p = model.mc_predict(x, samples=30, rng=4)
    with np.load(out) as file:
        assert np.array_equal(file["predict"], model.predict(x))
        assert np.array_equal(file["mean"], p.mean)
        assert np.array_equal(file["std"], p.std)
        assert np.array_equal(file["quantiles"], p.quantile(file["probabilities"]))
        assert file["n_samples"] == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz", "x.npy"]


def test_what_predict_says(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    assert run("predict", MODEL, tokens, "--samples", 7, "--out", out) == 0
    said, names = capsys.readouterr().out.rstrip().split("; ")
    assert said.startswith(f"{out}: 5 inputs, 7 samples, ")
    with np.load(out) as file:
        assert names.split(", ") == file.files


class Spy:
    """Sees the arguments of a method and calls it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.calls: list[dict[str, Any]] = []
        method = getattr(Model, name)

        def called(model: Model, *args: Any, **options: Any) -> Any:
            self.calls.append(options)
            return method(model, *args, **options)

        monkeypatch.setattr(Model, name, called)


def test_predict_by_default(tokens: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert run("predict", MODEL, tokens, "--out", out) == 0
    p = fd.load(MODEL).mc_predict(np.load(tokens), samples=200, rng=0)
    with np.load(out) as file:
        assert file["n_samples"] == 200
        assert file["probabilities"].tolist() == [0.05, 0.5, 0.95]
        assert np.array_equal(file["mean"], p.mean)
        assert np.array_equal(file["quantiles"], p.quantile([0.05, 0.5, 0.95]))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("--scope", "shared"), {"scope": "shared"}),
        (("--scope", "per_row"), {"scope": "per_row"}),
        (("--seed", 2**70), {"rng": 2**70}),
        (("--seed", 0), {"rng": 0}),
        (("--row-offset", 0), {"row_offset": 0}),
        (("--samples", 7), {"samples": 7}),
        (("--row-offset", 2**40), {"row_offset": 2**40}),
        (("--first-sample", 5), {"first_sample": 5}),
        (("--first-sample", 0), {"first_sample": 0}),
    ],
)
def test_an_option_of_predict_is_that_of_mc_predict(
    arguments: tuple[object, ...], options: dict[str, Any], tokens: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    assert run("predict", MODEL, tokens, "--samples", 20, *arguments, "--out", out) == 0
    p = fd.load(MODEL).mc_predict(np.load(tokens), **{"samples": 20, "rng": 0} | options)
    with np.load(out) as file:
        assert np.array_equal(file["mean"], p.mean)
        assert np.array_equal(file["std"], p.std)


def test_the_seconds_that_are_said_are_those_of_the_call(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.perf_counter()
    assert run("predict", MODEL, tokens, "--samples", 500, "--out", tmp_path / "o.npz") == 0
    most = time.perf_counter() - start
    said = re.search(r", ([0-9.]+) s;", capsys.readouterr().out)
    assert said
    assert 0 <= float(said[1]) <= most + 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_load(precision: str, tokens: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    arguments = ("--samples", 9, "--precision", precision, "--out", out)
    assert run("predict", MODEL, tokens, *arguments) == 0
    p = fd.load(MODEL, precision=precision).mc_predict(np.load(tokens), samples=9, rng=0)
    other = fd.load(MODEL, precision=({"float32", "bfloat16"} - {precision}).pop())
    with np.load(out) as file:
        assert np.array_equal(file["mean"], p.mean)
        assert not np.array_equal(file["mean"], other.mc_predict(np.load(tokens), 9, rng=0).mean)


@pytest.mark.parametrize(("arguments", "threads"), [((), None), (("--threads", 3), 3)])
def test_threads_are_handed_on(
    arguments: tuple[object, ...],
    threads: int | None,
    tokens: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They change no result, so they are looked at where they arrive."""
    predict, mc_predict = Spy(monkeypatch, "predict"), Spy(monkeypatch, "mc_predict")
    assert run("predict", MODEL, tokens, *arguments, "--out", tmp_path / "o.npz") == 0
    assert run("demo", "--samples", 2, *arguments) == 0
    assert [call["threads"] for call in (*predict.calls, *mc_predict.calls)] == [threads] * 4
    assert f"threads: {threads or fd.info().threads})" in capsys.readouterr().out


def test_predict_in_parts(tokens: Path, tmp_path: Path) -> None:
    x = np.load(tokens)
    np.save(tmp_path / "part.npy", x[2:])
    run("predict", MODEL, tokens, "--out", tmp_path / "whole.npz")
    part = tmp_path / "part.npz"
    run("predict", MODEL, tmp_path / "part.npy", "--row-offset", 2, "--threads", 1, "--out", part)
    with np.load(tmp_path / "whole.npz") as whole, np.load(part) as file:
        assert np.array_equal(file["mean"], whole["mean"][2:])


def test_predict_of_floats(tmp_path: Path) -> None:
    pytest.importorskip("h5py")  # writes the file; reading needs NumPy alone
    from keras_files import small

    model, x = small().write(tmp_path / "dense.keras"), np.array([[0.5, -2.0], [1e-3, 7.0]])
    np.save(tmp_path / "x.npy", x)
    assert (
        run("predict", model, tmp_path / "x.npy", "--samples", 0, "--out", tmp_path / "o.npz") == 0
    )
    with np.load(tmp_path / "o.npz") as file:
        assert np.array_equal(file["predict"], fd.load(model).predict(x))
        assert sorted(file.files) == ["predict"]


def two_by_two() -> Model:
    """Return a model of two inputs, of which the first is the wider one, and of two outputs."""

    def kernel(*shape: int) -> np.ndarray:
        return np.random.default_rng(shape).normal(size=shape).astype(np.float32)

    return Model(
        [
            Call(Dropout(name="drop", rate=0.5), "wide"),
            Call(Dense(name="left", kernel=kernel(3, 2)), "drop"),
            Call(Dense(name="right", kernel=kernel(2, 4)), "narrow"),
        ],
        {"wide": (3,), "narrow": (2,)},
        outputs=["left", "right"],
    )


@pytest.fixture
def two_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let every model be that of two inputs, and give files of inputs for it."""
    monkeypatch.setattr(fd, "load", lambda path, **options: two_by_two())
    paths = [tmp_path / "wide.npy", tmp_path / "narrow.npy"]
    for path, width in zip(paths, (3, 2), strict=True):
        np.save(path, np.random.default_rng(width).normal(size=(4, width)))
    return paths


def test_predict_with_several_inputs_and_outputs(two_inputs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert run("predict", "any", *two_inputs, "--samples", 9, "--seed", 2, "--out", out) == 0
    x = [np.load(path) for path in two_inputs]
    model = two_by_two()
    with np.load(out) as file:
        for name, y, p in zip(
            ("left", "right"), model.predict(x), model.mc_predict(x, 9, rng=2), strict=True
        ):
            assert np.array_equal(file[f"{name}.predict"], y)
            assert np.array_equal(file[f"{name}.mean"], p.mean)
            assert np.array_equal(file[f"{name}.std"], p.std)
            assert np.array_equal(file[f"{name}.quantiles"], p.quantile(file["probabilities"]))
        assert file["n_samples"] == 9
        assert len(file.files) == 10


def test_outputs_by_names_of_their_own(
    two_inputs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = two_by_two()._entries
    model = Model(entries, {"wide": (3,), "narrow": (2,)}, outputs={"a/b": "left", "c": "left"})
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    out = tmp_path / "out.npz"
    assert run("predict", "any", *two_inputs, "--samples", 0, "--out", out) == 0
    with np.load(out) as file:
        assert sorted(file.files) == ["a/b.predict", "c.predict"]
    # A list of one output is one of several.
    model = Model(entries, {"wide": (3,), "narrow": (2,)}, outputs=["right"])
    assert run("predict", "any", *two_inputs, "--samples", 0, "--out", out) == 0
    with np.load(out) as file:
        assert file.files == ["right.predict"]


def test_as_many_files_as_inputs(
    two_inputs: list[Path], tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    expected = "fastdrop: INPUT: expected 2 files of inputs (wide, narrow), "
    expected += "or a .npz file of arrays so named, got "
    for given in (two_inputs[:1], [*two_inputs, tokens]):
        assert run("predict", "any", *given, "--out", out) == 1
        assert capsys.readouterr().err == f"{expected}{len(given)}\n"
    assert run("predict", "any", *two_inputs[::-1], "--out", out) == 1
    assert "x['wide']: expected shape (batch, 3)" in capsys.readouterr().err
    assert run("predict", "any", *two_inputs, "--out", two_inputs[1]) == 1
    assert capsys.readouterr().err.endswith("found a file that is read\n")
    assert not out.exists()


def test_two_files_for_one_input(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", MODEL, tokens, tokens, "--out", tmp_path / "out.npz") == 1
    expected = "fastdrop: INPUT: expected 1 file of inputs (input), got 2\n"
    assert capsys.readouterr().err == expected


def test_inspect_of_a_graph_says_what_takes_what(
    two_inputs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", "any") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["layer", "kind", "output", "weights", "stochastic", "takes"],
        ["wide", "(input)", "(batch,", "3)"],
        ["narrow", "(input)", "(batch,", "2)"],
        ["drop", "Dropout", "(batch,", "3)", "-", "dropout", "0.5", "wide"],
        ["left", "Dense", "(batch,", "2)", "6", "-", "drop"],
        ["right", "Dense", "(batch,", "4)", "8", "-", "narrow"],
        ["14", "weights;", "stochastic"],
    ]


def test_inspect_as_json(two_inputs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "any", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    common = {"weights": 0, "rates": {}, "stochastic": ""}
    assert found == {
        "source": "",
        "inputs": [{"name": "wide", "shape": [3]}, {"name": "narrow", "shape": [2]}],
        "outputs": [{"name": "left", "shape": [2]}, {"name": "right", "shape": [4]}],
        "layers": [
            common
            | {
                "name": "drop",
                "class": "Dropout",
                "outputs": [[3]],
                "rates": {"rate": 0.5},
                "stochastic": "dropout 0.5",
                "takes": ["wide"],
            },
            common
            | {
                "name": "left",
                "class": "Dense",
                "outputs": [[2]],
                "weights": 6,
                "takes": ["drop"],
            },
            common
            | {
                "name": "right",
                "class": "Dense",
                "outputs": [[4]],
                "weights": 8,
                "takes": ["narrow"],
            },
        ],
        "notes": [],
        "obstacles": [],
    }


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """Write a model in whose way three things stand; one of them is a class of somebody's own."""
    pytest.importorskip("h5py")
    from keras_files import layer, sample

    file = sample()
    own = layer("Attn\x1b", name="own")
    own.update(module="my.code", registered_name="mine>Attn\x1b")
    file.layers.insert(3, own)
    file.layers.append(layer("Lambda", name="last"))
    file.layer("second")["config"]["units"] = -2
    return file.write(tmp_path / "refused.keras")


OBSTACLES = [
    "layer 'own' (Attn\\x1b): class 'mine>Attn\\x1b' is not a part of Keras (module 'my.code')",
    "layer 'second' (LSTM): units: expected a positive integer, found -2",
    "layer 'last' (Lambda): a Python function in the file, which is never run",
]


def test_inspect_of_a_model_that_is_refused(
    refused: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All layers are there, with what is known of them, and all obstacles, a line each."""
    assert run("inspect", refused) == 1
    out, err = capsys.readouterr()
    source, *table = out.splitlines()
    assert source == "Keras 3.15.1, refused.keras"
    rows = [line.split() for line in table]
    assert [row[:2] for row in rows] == [
        ["layer", "kind"],
        ["(input)", "(batch,"],
        ["words", "Embedding"],
        ["drop", "Dropout"],
        ["own", r"Attn\x1b"],
        ["first", "LSTM"],
        ["second", "LSTM"],
        ["out", "Dense"],
        ["soft", "Activation"],
        ["last", "Lambda"],
    ]
    assert rows[2][2:] == ["(batch,", "6,", "3)", "21", "-"]
    assert rows[5][2:6] == ["(batch,", "6,", "4)", "128"]
    assert "recurrent dropout 0.25" in table[5]
    for row in (rows[4], *rows[6:]):
        assert row[2:] == ["?", "?", "?"]
    lines = err.splitlines()
    assert len(lines) == len(OBSTACLES)
    for line, expected in zip(lines, OBSTACLES, strict=True):
        assert line.startswith(f"fastdrop: {expected}")


def test_inspect_as_json_of_a_model_that_is_refused(
    refused: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", refused, "--json") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out
    found = json.loads(out)
    with pytest.raises(fd.ModelFormatError) as caught:
        fd.load(refused)
    assert found["obstacles"] == list(caught.value.obstacles)
    assert len(err.splitlines()) == len(found["obstacles"]) == len(OBSTACLES)
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert [*layers] == ["words", "drop", "own", "first", "second", "out", "soft", "last"]
    assert layers["first"]["outputs"] == [[6, 4]]
    assert layers["first"]["rates"] == {"dropout": 0.5, "recurrent_dropout": 0.25}
    assert layers["own"]["class"] == "Attn\x1b"
    for name in ("own", "second", "out", "soft", "last"):
        assert layers[name]["outputs"] is layers[name]["weights"] is layers[name]["rates"] is None
    assert found["inputs"] == [{"name": "input", "shape": [6]}]
    assert found["notes"] == []


def test_inspect_of_a_model_whose_weights_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is known of such a model but its numbers."""
    pytest.importorskip("h5py")
    from keras_files import sample

    file = sample()
    file.weights["layers/dense/vars/1"] = np.zeros(4, np.float32)
    path = file.write(tmp_path / "model.keras")
    assert run("inspect", path) == 1
    out, err = capsys.readouterr()
    assert "soft       Activation" not in out  # columns are as wide as what is in them
    assert ["soft", "Activation", "(batch,", "5)", "-", "-"] in [s.split() for s in out.split("\n")]
    assert err.count("\n") == 1
    assert "dense/vars/1" in err
    assert "weights;" not in out
    with pytest.raises(fd.ModelFormatError) as caught:
        fd.load(path)
    assert caught.value.summary is not None
    lines = caught.value.summary.lines()
    assert "weights; stochastic" in lines[-1]
    assert lines[:-1] == caught.value.summary.lines(refused=True)


def test_weights_that_are_not_known_are_not_summed_up(refused: Path) -> None:
    with pytest.raises(fd.ModelFormatError) as caught:
        fd.load(refused)
    assert caught.value.summary is not None
    lines = caught.value.summary.lines()
    assert any(line.startswith("last ") for line in lines)
    assert not any("weights;" in line for line in lines)


def test_inspect_of_what_has_no_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.keras"
    path.write_bytes(b"PK\3\4 and no more")
    for options in ((), ("--json",)):
        assert run("inspect", path, *options) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fastdrop: x.keras: ")
        assert err.count("\n") == 1


def test_inspect_takes_custom_classes_and_rates(
    tmp_path: Path, tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    from keras_files import sample

    file = sample()
    file.layer("drop").update(module="my.code", class_name="MCDropout", registered_name="MCDropout")
    file.names["layers/mc_dropout/vars"] = file.names.pop("layers/dropout/vars")
    path = file.write(tmp_path / "model.keras")
    assert run("inspect", path) == 1
    assert "custom={'MCDropout': 'Dropout'}" in capsys.readouterr().err
    rates = '{"drop": 0.75, "first": {"dropout": 0}}'
    custom = ("--custom", "Other=Dense", "--custom", "MCDropout=Dropout")
    assert run("inspect", path, *custom, "--rates", rates) == 0
    out = capsys.readouterr().out
    assert "dropout 0.75" in out
    assert "input dropout 0.5" not in out
    assert "note: the custom class 'MCDropout' is taken for Dropout" in out
    assert run("inspect", path, *custom, "--rates", "0.625", "--json") == 0
    layers = {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert layers["first"]["rates"] == {"dropout": 0.625, "recurrent_dropout": 0.625}
    assert layers["drop"]["rates"] == {"rate": 0.25}
    assert run("inspect", path, *custom, "--rates", '{"none": 0.5}') == 1
    assert "rates: expected one of the layers with rates" in capsys.readouterr().err
    for bad in ("1.5", "NaN", "1e999", "-1"):
        assert run("inspect", path, *custom, f"--rates={bad}") == 1
        assert capsys.readouterr().err.startswith("fastdrop: layer 'first' ")


def test_predict_hands_on_how_to_load(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    load = fd.load

    def spied(path: object, **options: Any) -> Model:
        seen.append(options)
        return load(path)  # type: ignore[arg-type]

    monkeypatch.setattr(fd, "load", spied)
    out = tmp_path / "out.npz"
    assert run("predict", MODEL, tokens, "--out", out) == 0
    other = tmp_path / "m.json"
    how = ("--architecture", other, "--custom", "A=B", "--rates", "0.5", "--precision", "bfloat16")
    assert run("inspect", MODEL, *how) == 0
    assert run("predict", MODEL, tokens, *how, "--out", out) == 0
    nothing = {"architecture": None, "custom": {}, "rates": None, "precision": None}
    given = {"architecture": other, "custom": {"A": "B"}, "rates": 0.5, "precision": "bfloat16"}
    assert seen == [nothing, given, given]
    assert run("predict", MODEL, tokens, *how[:2], "--out", other) == 1


def test_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", MODEL) == 0
    text = capsys.readouterr().out
    weights = 20 * 8 + (8 * 24 + 6 * 24 + 24) + (6 * 3 + 3)
    for fact in (
        "Keras 3.",
        "Embedding",
        "(batch, 10, 8)",
        "dropout 0.3",
        "input dropout 0.4, recurrent dropout 0.3 (per_gate)",
        f"{8 * 24 + 6 * 24 + 24:,}",
        f"{weights:,} weights",
    ):
        assert fact in text


HOSTILE = ["Schicht ü", "\x1b]0;title\x07", "a\nb", "\ud800", "\u202eabc", "x" * 100_000]


def redirect(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.BytesIO:
    """Catch the bytes that a standard output of some encoding gets."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding, newline="\n"))
    return buffer


@pytest.mark.parametrize(("encoding", "letter"), [("utf-8", "ü"), ("ascii", r"\xfc")])
def test_inspect_escapes_what_a_file_says(
    monkeypatch: pytest.MonkeyPatch, encoding: str, letter: str
) -> None:
    layers = [Dense(name=name, kernel=np.eye(2, dtype=np.float32)) for name in HOSTILE]
    model = Model(layers, (2,), source="Keras 3, \x1b[2J", notes=["\r\x9bm", "y" * 100_000])
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    output = redirect(monkeypatch, encoding)
    assert run("inspect", "any.keras") == 0
    source, _, _, *rows, total, note, long = output.getvalue().decode(encoding).splitlines()
    assert source == r"Keras 3, \x1b[2J"
    names = [f"Schicht {letter}", r"\x1b]0;title\x07", r"a\nb", r"\ud800", r"\u202eabc"]
    assert [row[:42].rstrip() for row in rows] == [*names, "x" * 37 + "..."]
    assert {row.index("Dense") for row in rows} == {42}
    assert total == "24 weights; nothing is stochastic"
    assert note == r"note: \r\x9bm"
    assert len(long) < 400


def test_inspect_as_json_on_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are whole there, and what the terminal cannot take is escaped as JSON does it."""
    model = Model([Dense(name=name, kernel=np.eye(2, dtype=np.float32)) for name in HOSTILE], (2,))
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    output = redirect(monkeypatch, "ascii")
    assert run("inspect", "any.keras", "--json") == 0
    assert [layer["name"] for layer in json.loads(output.getvalue())["layers"]] == HOSTILE


def test_an_output_that_has_no_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert run("inspect", MODEL) == 0
    assert "(batch, 10, 8)" in sys.stdout.getvalue()  # type: ignore[attr-defined]


def test_inspect_prints_all_or_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fd.load(MODEL)
    model._notes = (None,)  # type: ignore[assignment]
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    assert run("inspect", MODEL) == 1
    assert capsys.readouterr().out == ""


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    text = capsys.readouterr().out
    info = fd.info()
    assert {line[:15].rstrip(): line[16:] for line in text.splitlines()} == {
        "version": fd.__version__,
        "backend": info.backend,
        "tier": info.tier,
        "reason": info.reason,
        "tiers": ", ".join(info.tiers),
        "bfloat16": info.bfloat16,
        "threads": str(info.threads),
        "threads reason": info.threads_reason,
    }


def spam_table(text: str, samples: int, seed: int, room: int) -> None:
    """Check the demonstration's table against what the library computes."""
    p = fd.load(demo.model_path()).mc_predict(
        demo.encode(demo.messages()), samples=samples, rng=seed
    )
    low, high = p.quantile([0.05, 0.95])[:, :, 0]
    head, *lines = text.split("\n")
    assert head.startswith("message".ljust(room) + "  P(spam)")
    verdicts = set()
    for line, message, mean, std, a, b in zip(
        lines, demo.messages(), p.mean[:, 0], p.std[:, 0], low, high, strict=False
    ):
        shown = message if len(message) <= room else message[: room - 3] + "..."
        verdict = "unsure" if a <= 0.5 <= b else "spam" if mean > 0.5 else "ham"
        expected = f"{shown:{room}}    {mean:.3f}  {std:.3f}  {a:.3f} to {b:.3f}  {verdict}"
        assert line == expected
        verdicts.add(verdict)
    assert len(verdicts) > 1
    count = len(demo.messages())
    assert lines[count] == ""
    assert lines[count + 1].startswith(f"{count} messages x {samples} Monte-Carlo samples of 498 ")
    assert lines[count + 2 :] == [""]


@pytest.mark.parametrize(
    ("arguments", "samples", "seed"),
    [((), 200, 0), (("--samples", 5), 5, 0), (("--samples", 2, "--seed", 3), 2, 3)],
)
def test_demo(
    arguments: tuple[object, ...],
    samples: int,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run("demo", *arguments) == 0
    spam_table(capsys.readouterr().out, samples, seed, 120 - 43)


def test_demo_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert run("demo", "--samples", 2) == 0
    spam_table(capsys.readouterr().out, 2, 0, 20)


@pytest.mark.parametrize(("encoding", "letter"), [("latin-1", "£"), ("ascii", r"\xa3")])
def test_demo_on_any_terminal(monkeypatch: pytest.MonkeyPatch, encoding: str, letter: str) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    output = redirect(monkeypatch, encoding)
    assert run("demo", "--samples", 2) == 0
    head, *lines = output.getvalue().decode(encoding).split("\n")
    assert any(f"Cost {letter}1.50 per msg" in line for line in lines)
    table = lines[: len(demo.messages())]
    assert {line.rindex(" to ") for line in table} == {head.index("interval")}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"fastdrop {fd.__version__}\n"


def test_python_dash_m(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastdrop", "info"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert fd.__version__ in result.stdout


@pytest.mark.parametrize("command", ["", "predict", "inspect", "info", "demo"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*command.split(), "--help")
    assert caught.value.code == 0
    assert "usage: fastdrop" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["predict", "m.keras"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--samples", "-1"],
        *(
            ["predict", "m.keras", "x.npy", option, value]
            for option, values in {
                "--interval": ("0", "1.5", "nan", "x"),
                "--quantiles": ("0.5,0.5", "2", "", "a", "0.1,,0.2", "nan"),
                "--until": ("0", "-1", "inf", "mean=", "max=1", "0.1,0.2", "mean=1,mean=1", "nan"),
                "--kind": ("ordinal",),
                "--likelihood": ("poisson",),
                "--scale": ("tanh",),
            }.items()
            for value in values
        ),
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--seed", "1.5"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--scope", "all"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--seed", "-1"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--threads", "0"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--row-offset", "-1"],
        ["demo", "--samples", "1"],
        ["demo", "--threads", "none"],
        ["inspect"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--first-sample", "-1"],
        ["inspect", "m.keras", "--custom", "MCDropout"],
        ["inspect", "m.keras", "--custom", "=Dropout"],
        ["inspect", "m.keras", "--custom", "MCDropout="],
        ["inspect", "m.keras", "--rates", "much"],
        ["inspect", "m.keras", "--rates", "[0.1]"],
        ["inspect", "m.keras", "--rates", "true"],
        ["inspect", "m.keras", "--rates", "null"],
        ["inspect", "m.keras", "--rates", "{" * 100_000],
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage: fastdrop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--samples", "-1", "an integer >= 0"),
        ("--threads", "0", "an integer >= 1"),
        ("--seed", "1.5", "an integer >= 0"),
        ("--custom", "MCDropout=", "NAME=CLASS"),
        ("--rates", "[0.1]", "a number or a JSON object"),
        ("--rates", "{", "a number or a JSON object"),
    ],
)
def test_bad_usage_is_explained(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("predict", "m.keras", "x.npy", "--out", "o.npz", option, value)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f"error: argument {option}: expected {expected}, got {value!r}")


def test_bad_data_exits_with_1_and_one_line(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")
    text = tmp_path / "text.npy"
    text.write_text("no array")
    floats = tmp_path / "floats.npy"
    np.save(floats, np.full((5, 10), 0.5))
    high = tmp_path / "high.npy"
    np.save(high, np.full((5, 10), 20))
    cases = [
        (("inspect", tmp_path / "missing.keras"), "missing.keras"),
        (("inspect", tmp_path), f"{tmp_path.name}: expected a regular file"),
        (("inspect", text), "text.npy: neither a .keras nor an .h5 file"),
        (("predict", MODEL, tmp_path / "missing.npy", "--out", out), "missing.npy"),
        (("predict", MODEL, text, "--out", out), "text.npy"),
        (("predict", text, tokens, "--out", out), "text.npy: neither a .keras nor an .h5 file"),
        (("predict", MODEL, floats, "--out", out), "[0, 20) for layer 'embedding', got 0.5"),
        (("predict", MODEL, high, "--out", out), "x: expected indices in [0, 20)"),
        (("predict", MODEL, tokens, "--out", tmp_path / "no" / "out.npz"), "out.npz"),
        (("predict", MODEL, tokens, "--threads", 10**9, "--out", out), "threads: expected"),
    ]
    for arguments, message in cases:
        assert run(*arguments) == 1, arguments
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("fastdrop: ")
        assert message in captured.err
    assert out.read_bytes() == b"precious"
    assert not list(tmp_path.glob(".*"))


def saved(array: object) -> bytes:
    """Return what numpy.save writes."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)  # type: ignore[arg-type]
    return file.getvalue()


def archived(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def headed(header: str, data: bytes = b"") -> bytes:
    """Return a .npy file with that header."""
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + data


TOKENS = np.random.default_rng(0).integers(0, 20, (5, 10))
SHAPE = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}\n"
BAD_INPUTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "archive": (archived(x=TOKENS), "an archive"),
    "cut-archive": (archived(x=TOKENS)[:-30], "an archive"),
    "nearly-archive": (b"PK\3\4", "an archive"),
    "two-letters": (b"PK", "text"),
    "text": (b"0.5,1.5\r\n2,\t3\n", "text; tables of numbers are read from files named .csv"),
    "text-in-utf-8": ("Größe\n1\n".encode(), "text"),
    "long-text": (b"1,2\n" * 5000, "text"),
    "pickle": (b"\x80\4K\1.", "something else"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0", "something else"),
    "magic": (b"\x93NUMPY", "another version"),
    "version-0": (b"\x93NUMPY\0\0" + saved(TOKENS)[8:], "another version"),
    "version-3": (b"\x93NUMPY\3\0" + saved(TOKENS)[8:], "another version"),
    "no-length": (saved(TOKENS)[:8], "a file that is cut off"),
    "half-a-length": (saved(TOKENS)[:9], "a file that is cut off"),
    "cut-header": (saved(TOKENS)[:127], "a file that is cut off"),
    "huge-header": (b"\x93NUMPY\2\0\xff\xff\xff\xff" + saved(TOKENS)[10:], "a file that is cut"),
    "no-data": (saved(TOKENS)[:128], "0 bytes where int64 of shape (5, 10) has 400"),
    "cut-data": (saved(TOKENS)[:-1], "399 bytes where int64 of shape (5, 10) has 400"),
    "more-data": (saved(TOKENS) * 2, "928 bytes where int64 of shape (5, 10) has 400"),
    "objects": (saved(np.array([{}])), "one of Python's objects; x.astype(float) makes"),
    "complex": (saved(np.ones(3, complex)), "the header \"{'descr': '<c16', "),
    "complex64": (saved(np.ones(3, np.complex64)), "the header \"{'descr': '<c8', "),
    **{
        f"type-{kind}": (headed(SHAPE.format("(1,)").replace("<f4", kind), bytes(8)), "the header")
        for kind in ("f4", "=f4", "<f6", "<i16", "|f8", "|i4", "<M8", "|V8", "<f4 ", "")
    },
    "strings": (saved(np.array(["a"])), "the header \"{'descr': '<U1', "),
    "fields": (saved(np.zeros(2, "i4,f4")), "the header \"{'descr': [('f0', "),
    "no-header": (headed(""), "the header ''"),
    "unclosed": (headed("{'descr': '<f4', 'fortran_order': False, 'shape': (1,"), "the header"),
    "deep": (headed("(" * 60_000), "the header '((("),
    "escapes": (headed(r"{'descr': '\d'}"), "the header"),
    "no-tuple": (headed(SHAPE.format("3")), "the header"),
    "no-number": (headed(SHAPE.format("(True,)")), "the header"),
    "below-zero": (headed(SHAPE.format("(-1,)")), "the header"),
    "sum": (headed(SHAPE.format("(1+1,)")), "the header"),
    "big-number": (headed(SHAPE.format(f"({'9' * 5000},)")), "the header"),
    "many-axes": (headed(SHAPE.format(f"({', '.join('1' * 65)})"), b"abcd"), "the header"),
    "big-and-empty": (headed(SHAPE.format(f"(0,{'9' * 15},{'9' * 15})")), "the shape (0, 999"),
    "barely-too-big": (headed(SHAPE.format(f"(0, {2**30}, {2**30})")), f"the shape (0, {2**30}, "),
    "more-than-there-is": (headed(SHAPE.format(f"({2**40},)")), "0 bytes where float32 of shape"),
}


@pytest.mark.parametrize(("data", "found"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_what_is_no_array_is_named(
    data: bytes, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, x = tmp_path / "out.npz", tmp_path / "inputs.npy"
    out.write_bytes(b"precious")
    x.write_bytes(data)
    assert run("predict", MODEL, x, "--out", out) == 1
    captured = capsys.readouterr()
    start = f"fastdrop: {x}: expected an array of numbers as numpy.save writes it (.npy), got "
    assert captured.err.startswith(start + found)
    assert captured.err.count("\n") == 1
    assert "pickle" not in captured.err
    assert len(captured.err) < len(start) + 300
    assert captured.out == ""
    assert out.read_bytes() == b"precious"
    assert {*tmp_path.iterdir()} == {out, x}


@pytest.mark.parametrize(
    "data",
    [
        saved(TOKENS),
        saved(np.asfortranarray(TOKENS)),
        saved(TOKENS.astype(">i2")),
        saved(TOKENS.astype(np.uint8)),
        b"\x93NUMPY\2\0\x76\0\0\0" + saved(TOKENS)[10:],
        headed("{'descr':'<i8','fortran_order':False,'shape':(5,10)}", TOKENS.tobytes()),
    ],
    ids=["plain", "fortran", "big-endian", "bytes", "version-2", "spare"],
)
def test_arrays_as_they_are_written(data: bytes, tmp_path: Path) -> None:
    x, out = tmp_path / "x.npy", tmp_path / "out.npz"
    x.write_bytes(data)
    assert run("predict", MODEL, x, "--samples", 0, "--out", out) == 0
    with np.load(out) as file:
        assert np.array_equal(file["predict"], fd.load(MODEL).predict(TOKENS))


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", "<i2", ">u2", ">i4", "<u4", "<i8", ">u8", "<f2", ">f4", "<f8"]
)
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (1,) * 31 + (2,), (0, 2**30, 2**29)])
def test_arrays_of_every_type_and_shape(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    count = 0 if 0 in shape else int(np.prod(shape))
    array = np.arange(count).astype(dtype).reshape(shape)
    np.save(tmp_path / "x.npy", array)
    found = _npy.array((tmp_path / "x.npy").read_bytes())
    assert (found.dtype, found.shape) == (array.dtype, shape)
    assert found.tobytes() == array.tobytes()


def test_no_inputs_are_none(tmp_path: Path) -> None:
    x, out = tmp_path / "x.npy", tmp_path / "out.npz"
    np.save(x, TOKENS[:0])
    assert run("predict", MODEL, x, "--samples", 2, "--out", out) == 0
    with np.load(out) as file:
        assert file["mean"].shape == fd.load(MODEL).predict(TOKENS)[:0].shape


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_inputs_that_are_no_files(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are refused at once: nobody writes into this FIFO, and /dev/null is no file either."""
    fifo, out = tmp_path / "fifo.npy", tmp_path / "out.npz"
    os.mkfifo(fifo)
    null, folder = tmp_path / "null.csv", tmp_path / "folder.npz"
    null.symlink_to(os.devnull)
    folder.mkdir()
    for path, found in ((fifo, "special file"), (null, "special file"), (folder, "dir")):
        for model, x in ((MODEL, path), (path, tokens)):
            assert run("predict", model, x, "--out", out) == 1
            name = path if x is path else Path(path).name
            expected = f"fastdrop: {name}: expected a regular file, found a {found}"
            assert capsys.readouterr().err.startswith(expected)
    assert not out.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="makes a file of holes")
def test_an_input_larger_than_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = tmp_path / "x.npy"
    x.touch()
    os.truncate(x, 2**43)
    assert run("predict", MODEL, x, "--out", tmp_path / "out.npz") == 1
    assert capsys.readouterr().err == f"fastdrop: {x}: expected a file that fits into memory\n"


def test_predict_with_a_name_that_the_terminal_cannot_show(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = redirect(monkeypatch, "ascii")
    assert run("predict", MODEL, tokens, "--samples", 0, "--out", tmp_path / "größe.npz") == 0
    assert rb"gr\xf6\xdfe.npz: 5 inputs" in output.getvalue()


def refused_out(out: object, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that --out is refused before anything else is looked at."""
    assert run("predict", "missing.keras", "missing.npy", "--out", out) == 1
    captured = capsys.readouterr()
    expected = f"--out {str(out)!r}: expected a regular file or a new one, found {found}"
    assert captured.err == f"fastdrop: {expected}\n"
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["inspect"], ["predict", MODEL]], ids=["model", "input"])
def test_a_file_that_is_not_there_is_named(
    arguments: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.npy"
    assert run(*arguments, missing) == 1
    assert capsys.readouterr().err == f"fastdrop: {missing}: {os.strerror(errno.ENOENT)}\n"


def test_out_is_refused_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused_out("", "nothing", capsys)
    refused_out(tmp_path, "a directory", capsys)
    refused_out(f"{tmp_path / 'new'}{os.sep}", "a directory", capsys)
    missing = tmp_path / "no" / "out.npz"
    refused_out(missing, "one in a directory that does not exist", capsys)
    refused_out(MODEL / "out.npz", "one in a directory that does not exist", capsys)
    link = tmp_path / "link"
    link.symlink_to(os.fspath(MODEL))
    (tmp_path / "no").mkdir()
    other = tmp_path / "other"
    other.symlink_to("y")
    for model, x, out in (
        (MODEL, "x", link),
        ("m", tmp_path / "y", tmp_path / "no" / ".." / "y"),
        (other, "x", tmp_path / "y"),
        ("m", other, tmp_path / "y"),
    ):
        assert run("predict", model, x, "--out", out) == 1
        assert capsys.readouterr().err.endswith("a new one, found a file that is read\n")
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    if not os.access(closed, os.W_OK):  # as the superuser one can write to it
        refused_out(closed / "out.npz", "one in a directory that cannot be written to", capsys)


@pytest.mark.parametrize("lacking", [os.W_OK, os.X_OK])
def test_out_in_a_directory_that_may_not_be_written_to(
    lacking: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also as the superuser, whom no directory refuses."""
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & lacking)
    found = "one in a directory that cannot be written to"
    refused_out(tmp_path / "out.npz", found, capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_out_stays_the_special_file_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fifo, link, loop = tmp_path / "fifo", tmp_path / "link", tmp_path / "loop"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    loop.symlink_to(loop)
    refused_out(fifo, "a special file", capsys)
    refused_out(link, "a special file", capsys)
    refused_out(loop, "a link to itself", capsys)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="links and modes as POSIX has them")
def test_out_keeps_links_and_modes(tokens: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.npz", tmp_path / "new.npz"
    old.touch(0o600)
    for target in (old, new):
        link = tmp_path / f"link-{target.name}"
        link.symlink_to(target.name)
        assert run("predict", MODEL, tokens, "--samples", 0, "--out", link) == 0
        assert os.readlink(link) == target.name
        with np.load(target) as file:
            assert file.files == ["predict"]
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.touch()
    assert new.stat().st_mode == other.stat().st_mode


def test_a_failure_to_write_names_the_path_given(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("x" * 300 + ".npz")
    assert run("predict", MODEL, tokens, "--samples", 0, "--out", out) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fastdrop: --out {str(out)!r}: ")
    assert error.count(str(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [tokens.name]


def test_the_result_is_written_beside_its_place(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder of temporary files, maybe on another disk, it could not be moved there."""
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path / "nowhere"))
    assert run("predict", MODEL, tokens, "--samples", 0, "--out", tmp_path / "out.npz") == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left"),
        OSError("400 requested and 8 written"),  # as NumPy says it
        MemoryError(),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_the_result_is_whole_or_untouched(
    error: BaseException,
    tokens: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever ends the writing half-way."""
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")

    def half(file: io.BufferedWriter, **arrays: object) -> NoReturn:
        file.write(b"half of it")
        file.flush()
        raise error

    monkeypatch.setattr(np, "savez", half)
    status = run("predict", MODEL, tokens, "--samples", 0, "--out", out)
    assert status == (130 if isinstance(error, KeyboardInterrupt) else 1)
    *_, reason = "", *error.args
    messages = {
        OSError: f"fastdrop: --out {str(out)!r}: {reason}\n",
        MemoryError: "fastdrop: MemoryError\n",
        KeyboardInterrupt: "",
    }
    assert capsys.readouterr().err == messages[type(error)]
    assert out.read_bytes() == b"precious"
    assert {*tmp_path.iterdir()} == {out, tokens}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImportError("no\nsuch  thing"), "no such thing"),
        (TypeError("x: \x1b[2J"), r"x: \x1b[2J"),
        (ValueError("x" * 5000), "x" * 997 + "..."),
    ],
)
def test_errors_are_one_line(
    error: Exception,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(path: object, **options: object) -> NoReturn:
        raise error

    monkeypatch.setattr(fd, "load", fail)
    assert run("inspect", MODEL) == 1
    captured = capsys.readouterr()
    assert captured.err == f"fastdrop: {text}\n"
    assert captured.out == ""


# ---- what predict reads ----


def table_of(out: str) -> dict[str, list[float]]:
    """Read a table that was printed."""
    names, *lines = [line.split() for line in out.splitlines()]
    return {name: [float(line[i]) for line in lines] for i, name in enumerate(names)}


def tables() -> Any:
    """Return pandas, which writes and reads the same files by itself."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet needs it")
    return pytest.importorskip("pandas", reason="pandas is not installed: the extra `pandas`")


def written(directory: Path) -> dict[str, Path]:
    """Write the same tokens in every way that predict reads."""
    pd = tables()
    frame = pd.DataFrame(TOKENS, columns=list("abcdefghij"))
    paths = {name: directory / f"x.{name}" for name in ("npy", "npz", "csv", "parquet", "CSV")}
    np.save(paths["npy"], TOKENS)
    np.savez_compressed(paths["npz"], anything=TOKENS)
    frame.to_csv(paths["csv"], header=False, index=False)
    frame.to_parquet(paths["parquet"], index=False)
    text = "\ufeff" + "\r\n".join(", ".join(f"{n}.0" for n in row) for row in TOKENS)
    paths["CSV"].write_bytes(text.encode())
    return paths


def test_inputs_in_files_of_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p = fd.load(MODEL).mc_predict(TOKENS, rng=0)
    for path in written(tmp_path).values():
        assert run("predict", MODEL, path) == 0
        found = table_of(capsys.readouterr().out)
        np.testing.assert_allclose(found["mean"], p.mean.reshape(-1), rtol=1e-5)


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("kind", ["npy", "npz", "csv"])
def test_inputs_from_standard_input(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it is, is seen by its content."""
    piped(monkeypatch, written(tmp_path)[kind].read_bytes())
    assert run("predict", MODEL, "-", "--samples", 3) == 0
    p = fd.load(MODEL).mc_predict(TOKENS, 3, rng=0)
    found = table_of(capsys.readouterr().out)
    np.testing.assert_allclose(found["mean"], p.mean.reshape(-1), rtol=1e-5)


def test_a_standard_input_of_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, b"")
    assert run("predict", MODEL, "-") == 1
    expected = "fastdrop: standard input: expected lines of numbers (.csv), got an empty file\n"
    assert capsys.readouterr().err == expected
    monkeypatch.setattr(sys, "stdin", None)
    assert run("predict", MODEL, "-") == 1
    expected = "fastdrop: standard input: expected an open file, it is closed\n"
    assert capsys.readouterr().err == expected
    assert run("predict", MODEL, "-", "-") == 1
    assert capsys.readouterr().err == "fastdrop: INPUT: expected - for standard input once\n"


def test_several_inputs_in_one_file(
    two_inputs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide, narrow = (np.load(path) for path in two_inputs)
    out, both = tmp_path / "out.npz", tmp_path / "both.npz"
    np.savez(both, narrow=narrow, wide=wide)
    assert run("predict", "any", both, "--samples", 0, "--out", out) == 0
    with np.load(out) as file:
        left, right = two_by_two().predict([wide, narrow])
        assert np.array_equal(file["left.predict"], left)
        assert np.array_equal(file["right.predict"], right)
    capsys.readouterr()
    np.savez(both, narrow=narrow, wider=wide)
    assert run("predict", "any", both, "--out", out) == 1
    expected = (
        "fastdrop: INPUT: expected 2 files of inputs (wide, narrow), or a .npz file of arrays"
    )
    error = capsys.readouterr().err
    assert error == f"{expected} so named, got arrays named 'narrow', 'wider'\n"
    # Of a file each it may be the one array in it.
    np.savez(both, anything=wide)
    assert run("predict", "any", both, two_inputs[1], "--samples", 0, "--out", out) == 0
    np.savez(both, one=wide, other=wide)
    assert run("predict", "any", both, two_inputs[1], "--samples", 0, "--out", out) == 1
    expected = "expected one array, or arrays named wide, narrow, got 'one', 'other'\n"
    assert capsys.readouterr().err == f"fastdrop: {both}: {expected}"


def test_lines_are_inputs_with_all_their_axes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    path = tmp_path / "x.csv"
    np.savetxt(path, x.reshape(2, 12), delimiter=",")
    for shape in ((3, 4), (None, 4), (3, None)):
        model = Model([Dropout(name="drop", rate=0.5)], shape)
        monkeypatch.setattr(fd, "load", lambda path, model=model, **options: model)
        assert run("predict", "any", path, "--samples", 0) == 0
        found = table_of(capsys.readouterr().out)
        assert [*found] == ["row", "time", "output", "predict"]
        assert found["predict"] == x.reshape(-1).tolist()
        assert found["time"] == [i // 4 % 3 for i in range(24)]
    for shape, words in (((5, 4), "(5, 4)"), ((None, None), "(any, any)"), ((None, 5), "(any, 5)")):
        model = Model([Dropout(name="drop", rate=0.5)], shape)
        monkeypatch.setattr(fd, "load", lambda path, model=model, **options: model)
        assert run("predict", "any", path) == 1
        expected = f"expected lines of numbers that are an input of shape {words}, got 12 columns\n"
        assert capsys.readouterr().err == f"fastdrop: {path}: {expected}"


ADVICE = "DataFrame.to_csv(path, header=False, index=False) writes no names and no index"
NAMES = f"expected numbers from the first line on, got names in it; {ADVICE}"
NUMBERS = "expected numbers with commas between, got"
BAD_TABLES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "expected lines of numbers (.csv), got an empty file"),
    "a line": (b"\n", f"line 1: {NUMBERS} an empty line"),
    "names": (b"a,b\n1,2\n3,4\n", NAMES),
    "names and an index": (b",a,b\n0,1,2\n1,3,4\n", NAMES),
    "years": (b"name,2019\n1,2\n", NAMES),
    "a word in line 1": (b"1,x,3\n1,2,3\n", f"line 1: {NUMBERS} 'x'"),
    "an index": (
        b"\n".join(b"%d,1,2,3,4,5,6,7,8,9,10" % n for n in range(7, 10)),
        "expected 10 columns, got another one in front that counts the lines, as an index does; "
        + ADVICE,
    ),
    "a line of one too many": (b"1,2,3,4,5,6,7,8,9,10,11\n", "expected lines of numbers that are"),
    "text": (b"1,2\n3,spam\n", f"line 2: {NUMBERS} 'spam'"),
    "an escape": (b"1,2\n3,\x1b[2J\n", f"line 2: {NUMBERS} '\\x1b[2J'"),
    "one name": (b"1,spam\n1,eggs\n", f"line 1: {NUMBERS} 'spam'"),
    "quotes": (b'1,"2"\n', f"line 1: {NUMBERS} '\"2\"'"),
    "semicolons": (b"1;2\n3;4\n", f"line 1: {NUMBERS} '1;2'"),
    "a gap": (b"1,2\n3,\n", f"line 2: {NUMBERS} nothing in a column"),
    "an empty line": (b"1,2\n\n3,4\n", f"line 2: {NUMBERS} an empty line"),
    "spaces": (b"1,2\n  \n", f"line 2: {NUMBERS} an empty line"),
    "ragged": (b"1,2\n3\n", "line 2: expected 2 numbers, as in line 1, got 1"),
    "a comment": (b"1,2\n# x\n", f"line 2: {NUMBERS} '# x'"),
    "an array": (saved(TOKENS), "expected lines of numbers (.csv), got something else"),
    "Latin": ("1,größe\n".encode("latin-1"), "expected lines of numbers (.csv), got text that is"),
    "columns": (b"1,2\n3,4\n", "expected lines of numbers that are an input of shape (10)"),
    "digits": ("1,\u0662\n".encode(), f"line 1: {NUMBERS} '\\u0662'"),
    "a separator that is a space to NumPy": (b"1,\x1dinf\n", f"line 1: {NUMBERS} '\\x1dinf'"),
    "a space that does not break": ("1,2\n3,\xa04\n".encode(), f"line 2: {NUMBERS} '\\xa04'"),
    "groups": (b"1,2\n1_000,3\n", f"line 2: {NUMBERS} '1_000'"),
    "too large": (
        b"1,2\n3,-1e400\n",
        "line 2: expected numbers with commas between, within the range of float64, got '3,-1e400'",
    ),
}


@pytest.mark.parametrize(("data", "found"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_what_is_no_table_is_named(
    data: bytes, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    assert run("predict", MODEL, path, "--out", tmp_path / "out.csv") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"fastdrop: {path}: {found}")
    assert captured.err.count("\n") == 1
    assert "\x1b" not in captured.err
    assert captured.out == ""
    assert [*tmp_path.iterdir()] == [path]


def test_names_that_are_numbers_are_no_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pandas writes them for columns without names."""
    path = tmp_path / "x.csv"
    path.write_text("0,1,2,3,4,5,6,7,8,9\n" + "1,2,3,4,5,6,7,8,9,10\n" * 2)
    assert run("predict", MODEL, path) == 1
    error = capsys.readouterr().err
    assert "x.csv: expected numbers from the first line on, got 0, 1, 2, ..." in error
    path.write_text("0,1,2,3,4,5,6,7,8,9\n")  # a line alone is an input
    assert run("predict", MODEL, path) == 0
    path.write_text("0,1\n5,7\n")  # and two numbers may well be 0 and 1
    model = Model([Dropout(name="drop", rate=0.5)], (2,))
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    capsys.readouterr()
    assert run("predict", "any", path, "--samples", 0) == 0
    assert table_of(capsys.readouterr().out)["predict"] == [0, 1, 5, 7]


def test_parquet_that_is_no_table_of_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.parquet"
    pd = tables()
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})

    def refused(found: str) -> None:
        assert run("predict", MODEL, path) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"fastdrop: {path}: expected {found}")
        assert error.count("\n") == 1

    frame.to_parquet(path)
    refused("numbers, got str in column 'b'")
    frame[["a"]].astype("Int64").to_parquet(path)
    refused("numbers, got Int64 in column 'a'")
    frame.set_index("b").to_parquet(path)
    refused("columns alone; DataFrame.to_parquet(path, index=False) writes those, got an index too")
    path.write_bytes(path.read_bytes()[:-20])
    refused("a table (.parquet), got ")
    for error, said in ((EOFError(), "'EOFError'"), (RuntimeError("two\nlines"), "'two lines'")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(pd, "read_parquet", fail)
        refused(f"a table (.parquet), got {said}\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    refused('pandas to be installed: pip install "fastdrop-rnn[pandas]"')


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (archived(x=TOKENS)[:-30], "a damaged archive: 'File is not a zip file'"),
        (saved(TOKENS), "a damaged archive"),
        (b"", "a damaged archive"),
        (archived(x=np.array([{}])), "an archive in which 'x.npy' is one of Python's objects"),
        (archived(x=np.array(["a"])), "an archive in which 'x.npy' is the header"),
    ],
)
def test_what_is_no_archive_is_named(
    data: bytes, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    assert run("predict", MODEL, path) == 1
    start = f"fastdrop: {path}: expected arrays of numbers as numpy.savez writes them (.npz), got "
    assert capsys.readouterr().err.startswith(start + found)


@pytest.mark.parametrize("name", ["x.txt", "x", "x.npy.gz", ".npy", "x.h5"])
def test_a_name_that_says_nothing_of_inputs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", TOKENS)
    (tmp_path / "x.npy").rename(tmp_path / name)
    assert run("predict", MODEL, tmp_path / name) == 1
    expected = "expected a name that ends in '.npy', '.npz', '.csv' or '.parquet'\n"
    assert capsys.readouterr().err == f"fastdrop: {tmp_path / name}: {expected}"


# ---- what predict writes ----


def test_a_table_in_every_form(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd = tables()
    x, model = np.load(tokens), fd.load(MODEL)
    p = model.mc_predict(x, 30, rng=4, row_offset=7)
    expected = p.to_pandas([0.25, 0.5])
    expected.insert(0, "predict", model.predict(x).reshape(-1))
    expected["low"], expected["high"] = (side.reshape(-1) for side in p.interval(0.8))
    expected = expected.reset_index()
    options = ["--samples", 30, "--seed", 4, "--row-offset", 7]
    options += ["--quantiles", "0.25,0.5", "--interval", 0.8]
    for name in ("out.csv", "out.parquet", "OUT.CSV"):
        out = tmp_path / name
        assert run("predict", MODEL, tokens, *options, "--out", out) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{out}: 5 inputs, 30 samples, ")
        assert said.rstrip().endswith("; " + ", ".join(expected.columns))
        read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
        found = read(out)  # to the last bit
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert run("predict", MODEL, tokens, *options) == 0
    found = table_of(capsys.readouterr().out)
    assert [*found] == [*expected.columns]
    for column, values in found.items():
        np.testing.assert_allclose(values, expected[column], rtol=1e-5)


def test_the_ends_of_quantiles_are_the_least_and_the_greatest_sample(
    tokens: Path, tmp_path: Path
) -> None:
    out, samples = tmp_path / "out.npz", tmp_path / "samples.npy"
    options = ["--samples", 9, "--quantiles", "0,1", "--out", out, "--samples-out", samples]
    assert run("predict", MODEL, tokens, *options) == 0
    each = np.load(samples)
    with np.load(out) as file:
        assert np.array_equal(file["quantiles"], [each.min(axis=0), each.max(axis=0)])


def test_rows_of_a_table_without_samples_are_numbered_too(
    tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", MODEL, tokens, "--samples", 0, "--row-offset", 7) == 0
    found = table_of(capsys.readouterr().out)
    np.testing.assert_array_equal(found["row"], np.arange(7, 12).repeat(3))
    y = fd.load(MODEL).predict(np.load(tokens))
    np.testing.assert_allclose(found["predict"], y.reshape(-1), rtol=1e-5)


def test_lines_of_a_printed_table_are_aligned(
    tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", MODEL, tokens, "--samples", 3) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) == 16
    assert len({*map(len, lines)}) == 1
    assert out.endswith("\n")


def softmax(*shape: int) -> Model:
    kernel = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    return Model(
        [
            Dropout(name="drop", rate=0.5),
            Dense(name="out", kernel=kernel, activation="softmax"),
        ],
        (*shape, 4),
    )


@pytest.fixture
def classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let every model be one of three classes, and give inputs for it."""
    monkeypatch.setattr(fd, "load", lambda path, **options: softmax())
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(6, 4)))
    return path


def test_classes(classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    p = softmax().mc_predict(np.load(classes), 30, rng=0)
    measures = ["label", "entropy", "expected_entropy", "mutual_information", "variation_ratio"]
    measures += ["margin"]
    out = tmp_path / "out.npz"
    assert run("predict", "any", classes, "--samples", 30, "--interval", 0.5, "--out", out) == 0
    with np.load(out) as file:
        for name in ("mean", "std", *measures):
            assert np.array_equal(file[name], getattr(p, name))
        assert np.array_equal([file["low"], file["high"]], p.interval(0.5))
        assert file["level"] == 0.5
    capsys.readouterr()
    assert run("predict", "any", classes, "--samples", 30) == 0
    found = table_of(capsys.readouterr().out)
    assert [*found] == ["row", "predict", "p0", "p1", "p2", *measures]
    assert found["predict"] == softmax().predict(np.load(classes)).argmax(axis=1).tolist()
    assert found["label"] == p.label.tolist()
    np.testing.assert_allclose(found["p1"], p.mean[:, 1], rtol=1e-5)


def test_a_class_for_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fd, "load", lambda path, **options: softmax(5))
    x, out = np.random.default_rng(0).normal(size=(6, 5, 4)), tmp_path / "out.csv"
    np.save(tmp_path / "x.npy", x)
    assert run("predict", "any", tmp_path / "x.npy", "--samples", 3, "--out", out) == 0
    with out.open(encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    expected = softmax(5).predict(x).argmax(axis=2)
    assert [int(line["predict"]) for line in lines] == expected.reshape(-1).tolist()


def test_what_classes_have_not_is_refused_before_anything_is_drawn(
    classes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Model, "predict", None)
    for option, value in (("--interval", 0.9), ("--quantiles", 0.5)):
        for more in ((), ("--out", tmp_path / "out.csv")):
            assert run("predict", "any", classes, option, value, *more) == 1
            error = capsys.readouterr().err
            assert error.startswith(f"fastdrop: {option}: expected --out with a name that ends in")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("--until", 0.05), {"until": 0.05}),
        (("--until", "std=0.3,mean=0.05"), {"until": {"mean": 0.05, "std": 0.3}}),
        (("--kind", "regression"), {"kind": "regression"}),
        (("--likelihood", "normal", "--kind", "regression"), {"likelihood": "normal"}),
        (
            ("--likelihood", "normal", "--scale", "softplus"),
            {"likelihood": "normal", "scale": "softplus"},
        ),
    ],
)
def test_what_else_is_handed_on(
    arguments: tuple[object, ...],
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pd = tables()
    kernel = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    model = Model([Dropout(name="drop", rate=0.5), Dense(name="d", kernel=kernel)], (3,))
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    x = np.random.default_rng(0).random((4, 3))
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "out.npz"
    given = ("--samples", 256, *arguments, "--out", out)
    assert run("predict", "any", tmp_path / "x.npy", *given) == 0
    p = model.mc_predict(x, 256, rng=0, **options)
    with np.load(out) as file:
        assert np.array_equal(file["mean"], p.mean)
        assert np.array_equal(file["n_samples"], p.n_samples)
        assert ("entropy" in file) == (p.kind != "regression")
        assert ("aleatoric" in file) == ("likelihood" in options)
        if "likelihood" in options:
            assert np.array_equal(file["aleatoric"], p.aleatoric)
    table = tmp_path / "out.csv"
    assert run("predict", "any", tmp_path / "x.npy", *given[:-1], table) == 0
    frame = pd.read_csv(table)
    assert np.array_equal(frame["mean"], p.mean.reshape(-1))
    plain = model.predict(x)[:, : p.mean.shape[1]].reshape(-1)
    np.testing.assert_array_equal(frame["predict"].astype(np.float32), plain)


def test_numbers_of_samples_are_told(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    assert run("predict", MODEL, tokens, "--until", 0.02, "--samples", 500, "--out", out) == 0
    counts = fd.load(MODEL).mc_predict(np.load(tokens), 500, rng=0, until=0.02).n_samples
    assert counts.min() < counts.max()
    expected = f": 5 inputs, {counts.min()} to {counts.max()} samples, "
    assert expected in capsys.readouterr().out


def test_samples_and_a_plot_are_written_too(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the table that is printed."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: the extra `plot`")
    samples = tmp_path / "samples.npy"
    for name, start in (("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.PDF", b"%PDF")):
        arguments = ("--samples", 9, "--samples-out", samples, "--plot", tmp_path / name)
        assert run("predict", MODEL, tokens, *arguments) == 0
        assert len(capsys.readouterr().out.splitlines()) == 16
        assert (tmp_path / name).read_bytes().startswith(start)
        p = fd.load(MODEL).mc_predict(np.load(tokens), 9, rng=0, keep_samples=True)
        assert np.array_equal(np.load(samples), p.samples)
        samples.unlink()


def test_progress_goes_to_standard_error(tokens: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed: the extra `progress`")
    assert run("predict", MODEL, tokens, "--samples", 9) == 0
    plain = capsys.readouterr()
    assert plain.err == ""
    assert run("predict", MODEL, tokens, "--samples", 9, "--progress") == 0
    shown = capsys.readouterr()
    assert "45.0/45.0" in shown.err
    assert shown.out == plain.out


def test_progress_that_nobody_sees(
    tokens: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed: the extra `progress`")
    monkeypatch.setattr(sys, "stderr", None)
    assert run("predict", MODEL, tokens, "--samples", 9, "--progress") == 0
    assert len(capsys.readouterr().out.splitlines()) == 16


def test_tables_of_several_outputs(
    two_inputs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are printed one after another; a file has room for one."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: the extra `plot`")
    assert run("predict", "any", *two_inputs, "--samples", 9) == 0
    left, right = capsys.readouterr().out.split("\n\n")
    p, q = two_by_two().mc_predict([np.load(path) for path in two_inputs], 9, rng=0)
    for block, name, one in ((left, "left", p), (right, "right", q)):
        heading, _, rest = block.partition("\n")
        assert heading == name
        np.testing.assert_allclose(table_of(rest)["mean"], one.mean.reshape(-1), rtol=1e-5)
    for samples in (0, 9):
        out = tmp_path / "out.csv"
        assert run("predict", "any", *two_inputs, "--samples", samples, "--out", out) == 1
        error = capsys.readouterr().err
        assert error.endswith("a name that ends in '.npz' for a model of several outputs\n")
    for option, name in (("--plot", "p.png"), ("--samples-out", "s.npy")):
        assert run("predict", "any", *two_inputs, option, tmp_path / name) == 1
        error = capsys.readouterr().err
        assert error == f"fastdrop: {option}: expected a model of one output, got 2\n"
    assert {*tmp_path.iterdir()} == {*two_inputs}


@pytest.mark.parametrize(
    ("option", "name", "expected"),
    [
        ("--out", "out.txt", "a name that ends in '.npz', '.csv' or '.parquet'"),
        ("--out", "out", "a name that ends in '.npz', '.csv' or '.parquet'"),
        ("--plot", "out.jpg", "a name that ends in '.png', '.svg' or '.pdf'"),
        ("--samples-out", "out.npz", "a name that ends in '.npy'"),
    ],
)
def test_a_name_that_says_nothing_of_results(
    option: str, name: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused before anything else is looked at."""
    out = tmp_path / name
    assert run("predict", "missing.keras", "missing.npy", option, out) == 1
    assert capsys.readouterr().err == f"fastdrop: {option} {str(out)!r}: expected {expected}\n"


@pytest.mark.parametrize("option", ["--plot", "--samples-out"])
def test_other_files_are_refused_as_the_result_is(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix = {"--plot": ".png", "--samples-out": ".npy"}[option]
    x = tmp_path / f"x{suffix}"
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    for out, found in (
        (folder, "a directory"),
        (tmp_path / "no" / f"x{suffix}", "one in a directory that does not exist"),
        (x, "a file that is read"),
    ):
        assert run("predict", "missing.keras", x, option, out) == 1
        expected = f"{option} {str(out)!r}: expected a regular file or a new one, found {found}"
        assert capsys.readouterr().err == f"fastdrop: {expected}\n"


def test_two_results_are_not_written_to_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "link.npy"
    link.symlink_to("out.npz")
    arguments = ("--out", tmp_path / "out.npz", "--samples-out", link)
    assert run("predict", "missing.keras", "missing.npy", *arguments) == 1
    expected = f"fastdrop: --samples-out {str(link)!r}: expected a file of its own\n"
    assert capsys.readouterr().err == expected


def test_nothing_is_written_where_a_plot_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: the extra `plot`")
    model = Model([Dropout(name="drop", rate=0.5)], (2, 3))
    monkeypatch.setattr(fd, "load", lambda path, **options: model)
    x, out, plot = (tmp_path / name for name in ("x.npy", "out.npz", "p.png"))
    np.save(x, np.ones((2, 2, 3)))
    assert run("predict", "any", x, "--out", out, "--plot", plot) == 1
    assert capsys.readouterr().err.startswith("fastdrop: --plot: output: expected the number of")
    assert [*tmp_path.iterdir()] == [x]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--interval", 0.9),
        ("--quantiles", "0.5"),
        ("--until", 0.1),
        ("--kind", "binary"),
        ("--likelihood", "normal"),
        ("--plot", "p.png"),
        ("--samples-out", "s.npy"),
        ("--progress", None),
    ],
)
def test_what_needs_samples(
    option: str, value: object, tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if option == "--plot":  # asked for first of all
        pytest.importorskip("matplotlib", reason="matplotlib is not installed: the extra `plot`")
    given = [option] if value is None else [option, value]
    assert run("predict", MODEL, tokens, "--samples", 0, *given) == 1
    expected = f"fastdrop: {option}: expected --samples above 0 with it\n"
    assert capsys.readouterr().err == expected


def test_a_scale_of_nothing(tokens: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", MODEL, tokens, "--scale", "std") == 1
    assert capsys.readouterr().err == "fastdrop: --scale: expected --likelihood with it\n"


@pytest.mark.parametrize(
    ("given", "package", "extra"),
    [
        (("--out", "o.parquet"), "pandas", "pandas"),
        (("--plot", "p.png"), "matplotlib", "plot"),
    ],
)
def test_what_has_to_be_installed_is_told_first(
    given: tuple[str, str],
    package: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run("predict", "missing.keras", "missing.npy", *given) == 1
    expected = (
        f'{given[0]}: expected {package} to be installed: pip install "fastdrop-rnn[{extra}]"'
    )
    assert capsys.readouterr().err == f"fastdrop: {expected}\n"


# ---- standard output ----

# What prints more than a pipe holds, so that writing cannot end before the reader has.
LONG = """
import sys
import fastdrop as fd
from fastdrop import cli
model = fd.load(sys.argv[1])
model._notes = tuple(f"{i:250}" for i in range(1000))
fd.load = lambda path, **options: model
sys.exit(cli.main(["inspect", "any"]))
"""
PRINTING = {
    "info": ["-m", "fastdrop", "info"],
    "help": ["-m", "fastdrop", "--help"],
    "version": ["-m", "fastdrop", "--version"],
    "demo": ["-m", "fastdrop", "demo", "--samples", "2"],
    "long": ["-c", LONG, os.fspath(MODEL)],
    "predict": ["-m", "fastdrop", "predict", os.fspath(MODEL), "x.npy", "--out", "out.npz"],
    "table": ["-m", "fastdrop", "predict", os.fspath(MODEL), "x.npy"],
}


def printing(command: str, to: str, directory: Path, **options: Any) -> tuple[int, str]:
    """Run a command whose standard output goes there; give its status and what it complains of."""
    np.save(directory / "x.npy", TOKENS)
    # Without a buffer argparse would see the error, and pass over it.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    result = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {to}', sys.executable, *PRINTING[command]],
        env=environ,
        cwd=directory,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    return result.returncode, result.stderr


@pytest.mark.skipif(os.name != "posix", reason="redirects as a POSIX shell does")
@pytest.mark.parametrize("command", PRINTING)
def test_a_closed_standard_output(command: str, tmp_path: Path) -> None:
    expected = "fastdrop: standard output: expected an open file, it is closed\n"
    assert printing(command, ">&-", tmp_path) == (1, expected)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", PRINTING)
def test_a_full_standard_output(command: str, tmp_path: Path) -> None:
    expected = "fastdrop: standard output: No space left on device\n"
    assert printing(command, ">/dev/full", tmp_path) == (1, expected)
    if command == "predict":  # the result was written before
        with np.load(tmp_path / "out.npz") as file:
            assert np.array_equal(file["predict"], fd.load(MODEL).predict(TOKENS))


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
@pytest.mark.parametrize("command", PRINTING)
def test_a_broken_pipe(command: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert printing(command, "", tmp_path, stdout=writer) == (1, "")
    finally:
        os.close(writer)


@pytest.mark.skipif(os.name != "posix", reason="redirects as a POSIX shell does")
def test_bad_usage_is_told_wherever_the_output_goes(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$0" -m fastdrop nonsense > /dev/null', sys.executable]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert "invalid choice: 'nonsense'" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="redirects as a POSIX shell does")
def test_errors_without_standard_error(tmp_path: Path) -> None:
    """The line must not go to the standard output in its place."""
    command = ["sh", "-c", 'exec "$0" -m fastdrop inspect missing.keras 2>&-', sys.executable]
    result = subprocess.run(command, stdout=subprocess.PIPE, cwd=tmp_path, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (1, b"")


# ---- convert ----


def test_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.safetensors"
    assert run("convert", MODEL, out, "--rates", "0.3", "--precision", "bfloat16") == 0
    assert capsys.readouterr().out == f"{out}: {out.stat().st_size} bytes\n"
    expected = fd.load(MODEL, rates=0.3, precision="bfloat16")
    got = fd.load(out)
    assert got.summary() == expected.summary()
    x = np.random.default_rng(0).integers(0, 20, (2, 10))
    np.testing.assert_array_equal(got.predict(x), expected.predict(x))
    assert run("inspect", out) == 0
    assert "lstm" in capsys.readouterr().out
    assert run("convert", out, tmp_path / "again") == 0
    assert (tmp_path / "again").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("source", "out", "fragment"),
    [
        pytest.param(MODEL, "m.h5", "OUT: expected a name as model.safetensors", id="format"),
        pytest.param(MODEL, "m.h5", "not written, got 'm.h5'", id="as it was given"),
        pytest.param(MODEL, "no/m", "a directory that does not exist", id="no directory"),
        pytest.param(MODEL, ".", "found a directory", id="directory"),
        pytest.param(MODEL, "-", "which would be standard output", id="standard output"),
        pytest.param(MODEL, "/dev/null", "a special file", id="device"),
        pytest.param("none.keras", "m", "none.keras", id="no model"),
        pytest.param("x", "x", "found a file that is read", id="itself"),
        pytest.param("x", "m", "x: weights without a model", id="weights"),
    ],
)
def test_what_is_not_converted(
    source: object,
    out: str,
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    assert run("convert", source, out) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("fastdrop: ")
    assert fragment in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x"]

"""The command: what it prints and writes, its exit codes, and errors in one line."""

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import cli, demo
from fastdrop.layers import Dense
from fastdrop.model import Model

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
        assert file["samples"] == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz", "x.npy"]


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
    assert run("predict", model, tmp_path / "x.npy", "--samples", 0, "--out", tmp_path / "o") == 0
    with np.load(tmp_path / "o") as file:
        assert np.array_equal(file["predict"], fd.load(model).predict(x))
        assert sorted(file.files) == ["predict"]


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
    monkeypatch.setattr(fd, "load", lambda path: model)
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


def test_inspect_prints_all_or_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fd.load(MODEL)
    model.notes = (None,)  # type: ignore[assignment]
    monkeypatch.setattr(fd, "load", lambda path: model)
    assert run("inspect", MODEL) == 1
    assert capsys.readouterr().out == ""


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    text = capsys.readouterr().out
    info = fd.info()
    for fact in (fd.__version__, info.backend, info.tier, info.reason, str(info.threads)):
        assert fact in text


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--samples", 5) == 0
    text = capsys.readouterr().out
    p = fd.load(demo.model_path()).mc_predict(demo.encode(demo.messages()), samples=5, rng=0)
    low, high = p.quantile([0.05, 0.95])[:, :, 0]
    for line, message, mean, std, a, b in zip(
        text.split("\n")[1:], demo.messages(), p.mean[:, 0], p.std[:, 0], low, high, strict=False
    ):
        assert line.startswith(message[:20])
        verdict = "unsure" if a <= 0.5 <= b else "spam" if mean > 0.5 else "ham"
        assert line.endswith(f"{mean:.3f}  {std:.3f}  {a:.3f} to {b:.3f}  {verdict}")
    assert " s (" in text


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
        ["predict", "m.keras", "x.npy"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--samples", "-1"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--seed", "1.5"],
        ["predict", "m.keras", "x.npy", "--out", "o.npz", "--scope", "all"],
        ["demo", "--samples", "1"],
        ["demo", "--threads", "none"],
        ["inspect"],
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage: fastdrop" in capsys.readouterr().err


def test_bad_data_exits_with_1_and_one_line(
    tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")
    text = tmp_path / "text.npy"
    text.write_text("no array")
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}]), allow_pickle=True)
    archive = tmp_path / "archive.npz"
    np.savez(archive, a=np.ones(3))
    floats = tmp_path / "floats.npy"
    np.save(floats, np.ones((5, 10)))
    high = tmp_path / "high.npy"
    np.save(high, np.full((5, 10), 20))
    cases = [
        (("inspect", tmp_path / "missing.keras"), "missing.keras"),
        (("inspect", tmp_path), f"{tmp_path.name}: expected a regular file"),
        (("inspect", text), "text.npy: not a zip archive"),
        (("predict", MODEL, tmp_path / "missing.npy", "--out", out), "missing.npy"),
        (("predict", MODEL, text, "--out", out), "text.npy"),
        (("predict", MODEL, objects, "--out", out), "objects.npy"),
        (("predict", MODEL, archive, "--out", out), "archive.npz"),
        (("predict", MODEL, floats, "--out", out), "x: expected an array of int8"),
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


def test_out_is_refused_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused_out("", "nothing", capsys)
    refused_out(tmp_path, "a directory", capsys)
    refused_out(f"{tmp_path / 'new'}{os.sep}", "a directory", capsys)
    missing = tmp_path / "no" / "out.npz"
    refused_out(missing, "one in a directory that does not exist", capsys)
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    if not os.access(closed, os.W_OK):  # as the superuser one can write to it
        refused_out(closed / "out.npz", "one in a directory that cannot be written to", capsys)


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
        link = target.with_suffix(".link")
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
    out = tmp_path / ("x" * 300)
    assert run("predict", MODEL, tokens, "--samples", 0, "--out", out) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fastdrop: --out {str(out)!r}: ")
    assert error.count(str(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [tokens.name]


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f'"{sys.executable}" -m fastdrop info | true'
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr

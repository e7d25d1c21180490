"""The command ``fastdrop``: predict, inspect, convert, info, selftest and demo."""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import fastdrop as fd
from fastdrop import _files
from fastdrop import demo as spam
from fastdrop.cli import _predict, _selftest
from fastdrop.cli._arguments import load, loading, sampling, shown
from fastdrop.demo.table import table
from fastdrop.formats._errors import printable
from fastdrop.model._file import check_name


class _Refused(NamedTuple):
    """What there is to print of a model that is refused, and why it is, a line each."""

    text: str
    obstacles: Sequence[str]


def _inspect(args: argparse.Namespace) -> str | _Refused:
    obstacles: tuple[str, ...] = ()
    try:
        summary = load(args).described()
    except fd.ModelFormatError as error:
        if error.summary is None:  # it does not get as far as layers
            raise
        summary, obstacles = error.summary, error.obstacles
    if args.json:
        text = json.dumps(summary.asdict() | {"obstacles": obstacles}, indent=2)
    else:
        text = "\n".join(summary.lines(shown, refused=bool(obstacles)))
    return _Refused(text, obstacles) if obstacles else text


def _convert(args: argparse.Namespace) -> str:
    check_name(args.out, "OUT")
    target = _files.target(args.out, "OUT ", [args.model])
    model = load(args)
    try:
        model.save(target)
    except OSError as error:  # it may name the temporary file
        raise OSError(f"OUT {args.out!r}: {error.strerror or error}") from error
    return f"{shown(args.out, 400)}: {os.path.getsize(target)} bytes"


def _info(args: argparse.Namespace) -> str:
    return "\n".join(
        f"{name.replace('_', ' '):15} {', '.join(value) if isinstance(value, tuple) else value}"
        for name, value in dataclasses.asdict(fd.info()).items()
    )


def _selftest_run(args: argparse.Namespace) -> str | _Refused:
    text, wrong = _selftest.run()
    return _Refused(text, wrong) if wrong else text


def _demo(args: argparse.Namespace) -> str:
    messages = spam.messages()
    model = fd.load(spam.model_path())
    x = spam.encode(messages)
    start = time.perf_counter()
    p = model.mc_predict(x, samples=args.samples, rng=args.seed, threads=args.threads)
    seconds = time.perf_counter() - start
    lines = [shown(message, len(message) * 10) for message in messages]
    info = fd.info()
    threads = args.threads or info.threads
    return (
        f"{table(lines, p, shutil.get_terminal_size((110, 24)).columns)}\n\n"
        f"{len(messages)} messages x {args.samples} Monte-Carlo samples of {x.shape[1]} time "
        f"steps: {seconds:.2f} s ({info.backend} backend, tier {info.tier}, threads: {threads})"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastdrop", description=fd.__doc__)
    parser.add_argument("--version", action="version", version=f"fastdrop {fd.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        first = text.partition(". ")[0].removesuffix(".")
        sub = commands.add_parser(name, help=first, description=text)
        sub.set_defaults(run=run)
        return sub

    predict = command(
        "predict", _predict.run, "Predict with Monte-Carlo dropout for files of inputs."
    )
    _predict.add_arguments(predict)
    inspect = command(
        "inspect",
        _inspect,
        "Print a model's layers, shapes, rates and randomness. Of a model that is refused the "
        "layers are printed too, and on standard error all that stands in the way, a line each; "
        "the exit status is 1.",
    )
    loading(inspect)
    inspect.add_argument(
        "--json",
        action="store_true",
        help="as JSON, obstacles included; shapes are without the batch, null is any or unknown",
    )
    convert = command(
        "convert",
        _convert,
        "Write a model to a file of fastdrop's own. It is a safetensors file, which loads in "
        "milliseconds.",
    )
    loading(convert)
    convert.add_argument("out", metavar="OUT", help="the file, as model.safetensors")
    command("info", _info, "Say which backend, tier and threads are used, and why.")
    command(
        "selftest",
        _selftest_run,
        "Compare what this installation computes with published and stored answers, on every "
        "backend that can run here. What differs is said on standard error, a line each; the exit "
        "status is 1.",
    )
    demo = command("demo", _demo, "Score some text messages with a small spam filter.")
    sampling(demo, 200, 2)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.

    Returns
    -------
    int
        0 when all went well; 1 for bad data, a bad model, or a standard output that takes nothing,
        with one line on standard error, or one for each obstacle that inspect finds and each check
        of selftest that fails; 1 without a word where the reader of a pipe has left; 130 after
        Ctrl-C. Bad usage exits with 2.
    """
    if sys.stdout is None:  # the next file to be opened would take its place
        return _failed("standard output: expected an open file, it is closed")
    try:
        args = _parser().parse_args(argv)
        result = args.run(args)
        if not isinstance(result, _Refused):
            return _print(result + "\n")
        _print(result.text + "\n")
        for text in result.obstacles:
            _failed(text)
        return 1
    except SystemExit:  # after --help, --version or bad usage
        if status := _print(""):
            return status
        raise
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, TypeError, ImportError, MemoryError) as error:
        return _failed(_said(error))


def _said(error: Exception) -> str:
    """Return what is wrong, in one line."""
    if isinstance(error, OSError) and isinstance(error.filename, str) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _print(text: str) -> int:
    """Write to standard output, and see it written."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # The interpreter would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            return 1
        return _failed(f"standard output: {error.strerror or error}")
    return 0


def _failed(text: str) -> int:
    if sys.stderr is not None:
        print(f"fastdrop: {printable(text, 1000)}", file=sys.stderr)
    return 1

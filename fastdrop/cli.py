"""The command ``fastdrop``: predict, inspect, info and demo."""

import argparse
import dataclasses
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastdrop as fd
from fastdrop import demo as spam
from fastdrop.demo.table import table
from fastdrop.formats._errors import printable
from fastdrop.formats._safe_npy import read_array

QUANTILES = (0.05, 0.5, 0.95)


def _predict(args: argparse.Namespace) -> str:
    target = _target(args.out, args.model, args.input)
    model = fd.load(args.model)
    x = read_array(args.input)
    start = time.perf_counter()
    results: dict[str, Any] = {"predict": model.predict(x, threads=args.threads)}
    if args.samples:
        p = model.mc_predict(
            x,
            samples=args.samples,
            rng=args.seed,
            scope=args.scope,
            row_offset=args.row_offset,
            threads=args.threads,
        )
        results |= {
            "mean": p.mean,
            "std": p.std,
            "quantiles": p.quantile(QUANTILES),
            "probabilities": np.array(QUANTILES),
            "samples": p.n_samples,
        }
    seconds = time.perf_counter() - start
    try:
        _save(target, results)
    except OSError as error:  # it may name the temporary file
        raise OSError(f"--out {args.out!r}: {error.strerror or error}") from error
    return (
        f"{_shown(args.out, 300)}: {len(x)} inputs, {args.samples} samples, {seconds:.2f} s; "
        f"{', '.join(results)}"
    )


def _target(out: str, *inputs: Path) -> str:
    """Return the path of the file to write, with links followed."""
    target = os.path.realpath(out)
    if not os.path.basename(out) or os.path.isdir(target):
        found = "a directory" if out else "nothing"
    elif os.path.exists(out) and not os.path.isfile(out):
        found = "a special file"
    elif os.path.islink(target):
        found = "a link to itself"
    elif not os.path.isdir(os.path.dirname(target)):
        found = "one in a directory that does not exist"
    elif not os.access(os.path.dirname(target), os.W_OK | os.X_OK):
        found = "one in a directory that cannot be written to"
    elif any(target == os.path.realpath(path) for path in inputs):
        found = "a file that is read"
    else:
        return target
    raise ValueError(f"--out {out!r}: expected a regular file or a new one, found {found}")


def _save(target: str, arrays: dict[str, Any]) -> None:
    """Write the whole file or leave what was there."""
    handle, name = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".fastdrop-")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        try:
            mode = stat.S_IMODE(os.stat(target).st_mode)
        except FileNotFoundError:  # a temporary file is private; the result is as any other file
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _shape(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join(["batch", *("any" if n is None else str(n) for n in shape)]) + ")"


def _shown(text: str, room: int = 40) -> str:
    """Return a text from elsewhere such that standard output can take it."""
    return printable(text, room, sys.stdout.encoding or "utf-8")


def _inspect(args: argparse.Namespace) -> str:
    model = fd.load(args.model)
    return "\n".join(_shown(line, 300) for line in model.summary().splitlines())


def _info(args: argparse.Namespace) -> str:
    return "\n".join(
        f"{name.replace('_', ' '):15} {', '.join(value) if isinstance(value, tuple) else value}"
        for name, value in dataclasses.asdict(fd.info()).items()
    )


def _demo(args: argparse.Namespace) -> str:
    messages = spam.messages()
    model = fd.load(spam.model_path())
    x = spam.encode(messages)
    start = time.perf_counter()
    p = model.mc_predict(x, samples=args.samples, rng=args.seed, threads=args.threads)
    seconds = time.perf_counter() - start
    shown = [_shown(message, len(message) * 10) for message in messages]
    info = fd.info()
    threads = args.threads or info.threads
    return (
        f"{table(shown, p, shutil.get_terminal_size((110, 24)).columns)}\n\n"
        f"{len(messages)} messages x {args.samples} Monte-Carlo samples of {x.shape[1]} time "
        f"steps: {seconds:.2f} s ({info.backend} backend, tier {info.tier}, threads: {threads})"
    )


def _count(low: int) -> Any:
    """Make an argument type: an integer not below `low`."""

    def integer(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low:
            raise argparse.ArgumentTypeError(f"expected an integer >= {low}, got {text!r}")
        return number

    return integer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastdrop", description=fd.__doc__)
    parser.add_argument("--version", action="version", version=f"fastdrop {fd.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    def sampling(sub: argparse.ArgumentParser, samples: int, least: int) -> None:
        sub.add_argument(
            "--samples", type=_count(least), default=samples, help=f"default: {samples}"
        )
        sub.add_argument(
            "--seed", type=_count(0), default=0, help="the same seed, the same result; default: 0"
        )
        sub.add_argument("--threads", type=_count(1), default=None, help="default: see info")

    predict = command("predict", _predict, "Predict with Monte-Carlo dropout for a file of inputs.")
    predict.add_argument("model", type=Path, metavar="MODEL", help="a .keras file")
    predict.add_argument("input", type=Path, metavar="INPUT.npy", help="inputs, one a row")
    predict.add_argument(
        "--out",
        required=True,
        metavar="OUT.npz",
        help="gets predict (dropout off), mean, std, quantiles, probabilities and samples",
    )
    sampling(predict, 100, 0)
    predict.add_argument(
        "--scope", choices=["per_row", "shared"], default="per_row", help="default: per_row"
    )
    predict.add_argument(
        "--row-offset", type=_count(0), default=0, help="number of the first row in the data set"
    )
    inspect = command("inspect", _inspect, "Print a model's layers, shapes, rates and randomness.")
    inspect.add_argument("model", type=Path, metavar="MODEL", help="a .keras file")
    command("info", _info, "Say which backend, tier and threads are used, and why.")
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
        with one line on standard error; 1 without a word where the reader of a pipe has left; 130
        after Ctrl-C. Bad usage exits with 2.
    """
    if sys.stdout is None:  # the next file to be opened would take its place
        return _failed("standard output: expected an open file, it is closed")
    try:
        args = _parser().parse_args(argv)
        return _print(args.run(args) + "\n")
    except SystemExit:  # after --help, --version or bad usage
        if status := _print(""):
            return status
        raise
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, TypeError, ImportError, MemoryError) as error:
        return _failed(" ".join(str(error).split()) or type(error).__name__)


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

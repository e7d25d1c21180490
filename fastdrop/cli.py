"""The command ``fastdrop``: predict, inspect, info and demo."""

import argparse
import dataclasses
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fastdrop as fd
from fastdrop import demo as spam
from fastdrop.demo.table import table
from fastdrop.formats._errors import printable
from fastdrop.formats._safe_npy import read_array

QUANTILES = (0.05, 0.5, 0.95)


class _Refused(NamedTuple):
    """What there is to print of a model that is refused, and why it is, a line each."""

    text: str
    obstacles: Sequence[str]


def _load(args: argparse.Namespace) -> fd.Model:
    return fd.load(
        args.model, architecture=args.architecture, custom=dict(args.custom), rates=args.rates
    )


def _predict(args: argparse.Namespace) -> str:
    read = [args.model, *args.inputs, *([args.architecture] if args.architecture else [])]
    target = _target(args.out, *read)
    model = _load(args)
    names = model.input_names
    if len(names) != len(args.inputs):
        expected = f"{len(names)} file{'s' * (len(names) > 1)} of inputs ({', '.join(names)})"
        raise ValueError(f"INPUT.npy: expected {expected}, got {len(args.inputs)}")
    arrays = [read_array(path) for path in args.inputs]
    x = arrays if len(arrays) > 1 else arrays[0]
    start = time.perf_counter()
    labels = [f"{name}." for name in model.output_names] if _has_several(model) else [""]
    outputs = _listed(model.predict(x, threads=args.threads))
    results: dict[str, Any] = {
        f"{label}predict": output for label, output in zip(labels, outputs, strict=True)
    }
    if args.samples:
        predictions = _listed(
            model.mc_predict(
                x,
                samples=args.samples,
                rng=args.seed,
                scope=args.scope,
                row_offset=args.row_offset,
                first_sample=args.first_sample,
                threads=args.threads,
            )
        )
        for label, p in zip(labels, predictions, strict=True):
            results |= {
                f"{label}mean": p.mean,
                f"{label}std": p.std,
                f"{label}quantiles": p.quantile(QUANTILES),
            }
        results |= {"probabilities": np.array(QUANTILES), "n_samples": args.samples}
    seconds = time.perf_counter() - start
    try:
        _save(target, results)
    except OSError as error:  # it may name the temporary file
        raise OSError(f"--out {args.out!r}: {error.strerror or error}") from error
    return (
        f"{_shown(args.out, 300)}: {len(arrays[0])} inputs, {args.samples} samples, "
        f"{seconds:.2f} s; {_shown(', '.join(results), 1000)}"
    )


def _has_several(model: fd.Model) -> bool:
    return isinstance(model.output_shape, list | dict)


def _listed(value: Any) -> list[Any]:
    """Return what a model gives for its outputs, in their order."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


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


def _shown(text: str, room: int = 40) -> str:
    """Return a text from elsewhere such that standard output can take it."""
    return printable(text, room, sys.stdout.encoding or "utf-8")


def _inspect(args: argparse.Namespace) -> str | _Refused:
    obstacles: tuple[str, ...] = ()
    try:
        summary = _load(args).described()
    except fd.ModelFormatError as error:
        if error.summary is None:  # it does not get as far as layers
            raise
        summary, obstacles = error.summary, error.obstacles
    if args.json:
        text = json.dumps(summary.asdict() | {"obstacles": obstacles}, indent=2)
    else:
        text = "\n".join(summary.lines(_shown))
    return _Refused(text, obstacles) if obstacles else text


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


def _custom(text: str) -> tuple[str, str]:
    """Read an argument NAME=CLASS."""
    name, sign, known = text.partition("=")
    if not (name and sign and known):
        raise argparse.ArgumentTypeError(f"expected NAME=CLASS, got {text!r}")
    return name, known


def _rates(text: str) -> object:
    """Read an argument that is a number, or a JSON object of rates by layer."""
    try:
        rates = json.loads(text)
    except (ValueError, RecursionError):
        rates = None
    if isinstance(rates, bool) or not isinstance(rates, int | float | dict):
        raise argparse.ArgumentTypeError(f"expected a number or a JSON object, got {text!r}")
    return rates


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastdrop", description=fd.__doc__)
    parser.add_argument("--version", action="version", version=f"fastdrop {fd.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text.partition(". ")[0], description=text)
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

    def loading(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("model", type=Path, metavar="MODEL", help="a .keras or .h5 file")
        sub.add_argument(
            "--architecture",
            type=Path,
            metavar="FILE",
            help="for a file of weights alone: the JSON or .keras file of its layers",
        )
        sub.add_argument(
            "--custom",
            type=_custom,
            action="append",
            default=[],
            metavar="NAME=CLASS",
            help="take a class of your own for one of Keras's; may be repeated",
        )
        sub.add_argument(
            "--rates",
            type=_rates,
            metavar="RATES",
            help="rates of dropout in place of the file's: a number for all recurrent layers, or "
            'JSON by layer, as \'{"lstm": {"dropout": 0.1}, "drop": 0.3}\'',
        )

    predict = command("predict", _predict, "Predict with Monte-Carlo dropout for files of inputs.")
    loading(predict)
    predict.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT.npy",
        help="inputs, one a row; of a model with several inputs a file each, in the order in which "
        "inspect lists them",
    )
    predict.add_argument(
        "--out",
        required=True,
        metavar="OUT.npz",
        help="gets the arrays predict (dropout off), mean, std and quantiles, which of a model "
        "with several outputs bear their names, as in NAME.mean; probabilities (those of the "
        "quantiles) and n_samples (how many were drawn)",
    )
    sampling(predict, 100, 0)
    predict.add_argument(
        "--scope", choices=["per_row", "shared"], default="per_row", help="default: per_row"
    )
    predict.add_argument(
        "--row-offset", type=_count(0), default=0, help="number of the first row in the data set"
    )
    predict.add_argument(
        "--first-sample",
        type=_count(0),
        default=0,
        help="number of the first sample: where another call stopped",
    )
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
        with one line on standard error, or one for each obstacle that inspect finds; 1 without a
        word where the reader of a pipe has left; 130 after Ctrl-C. Bad usage exits with 2.
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

"""Arguments of the command that several subcommands have, and how they are read."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import fastdrop as fd
from fastdrop._check import PRECISIONS
from fastdrop.formats._errors import printable


def load(args: argparse.Namespace) -> fd.Model:
    return fd.load(
        args.model,
        architecture=args.architecture,
        custom=dict(args.custom),
        rates=args.rates,
        precision=args.precision,
    )


def shown(text: str, room: int = 40) -> str:
    """Return a text from elsewhere such that standard output can take it."""
    return printable(text, room, sys.stdout.encoding or "utf-8")


# ---- types ----


def count(low: int) -> Any:
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


def level(text: str) -> float:
    """Read an argument that is a share above 0."""
    number = _number(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in (0, 1], got {text!r}")
    return number


def levels(text: str) -> list[float]:
    """Read an argument that is some different probabilities."""
    numbers = [_number(part) for part in text.split(",")]
    if not all(0 <= number <= 1 for number in numbers) or len({*numbers}) != len(numbers):
        expected = "expected different numbers in [0, 1] with commas between"
        raise argparse.ArgumentTypeError(f"{expected}, got {text!r}")
    return numbers


def errors(text: str) -> dict[str, float]:
    """Read an argument that is a standard error, or some of them by name."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, sign, number = part.rpartition("=")
        name = name if sign else "mean"
        value = _number(number)
        if name not in ("mean", "std") or name in found or not 0 < value < float("inf"):
            expected = "expected a number above 0, or some as in mean=0.01,std=0.02"
            raise argparse.ArgumentTypeError(f"{expected}, got {text!r}")
        found[name] = value
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def custom(text: str) -> tuple[str, str]:
    """Read an argument NAME=CLASS."""
    name, sign, known = text.partition("=")
    if not (name and sign and known):
        raise argparse.ArgumentTypeError(f"expected NAME=CLASS, got {text!r}")
    return name, known


def rates(text: str) -> object:
    """Read an argument that is a number, or a JSON object of rates by layer."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, bool) or not isinstance(found, int | float | dict):
        raise argparse.ArgumentTypeError(f"expected a number or a JSON object, got {text!r}")
    return found


# ---- options ----


def sampling(sub: argparse.ArgumentParser, samples: int, least: int, more: str = "") -> None:
    text = f"default: {samples}{more}"
    sub.add_argument("--samples", type=count(least), default=samples, help=text)
    sub.add_argument(
        "--seed", type=count(0), default=0, help="the same seed, the same result; default: 0"
    )
    sub.add_argument("--threads", type=count(1), default=None, help="default: see info")


def loading(sub: argparse.ArgumentParser) -> None:
    formats = ".keras, .h5, .onnx, .safetensors, .pt or .pth"
    sub.add_argument("model", type=Path, metavar="MODEL", help=f"a {formats} file")
    sub.add_argument(
        "--architecture",
        type=Path,
        metavar="FILE",
        help="for a file of weights alone: the JSON or .keras file of its layers; for weights of "
        'PyTorch a JSON list, as [["lstm", "LSTM", {"dropout": 0.3}], "ReLU", ["head", "Linear"]]',
    )
    sub.add_argument(
        "--custom",
        type=custom,
        action="append",
        default=[],
        metavar="NAME=CLASS",
        help="take a class of your own for one of Keras's; may be repeated",
    )
    sub.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what products of recurrent layers are taken in",
    )
    sub.add_argument(
        "--rates",
        type=rates,
        metavar="RATES",
        help="rates of dropout in place of the file's: a number for all recurrent layers, or "
        'JSON by layer, as \'{"lstm": {"dropout": 0.1}, "drop": 0.3}\'',
    )

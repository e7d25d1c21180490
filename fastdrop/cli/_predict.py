"""The command ``fastdrop predict``."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop.cli import _read, _write
from fastdrop.cli._arguments import count, errors, level, levels, load, loading, sampling, shown
from fastdrop.uncertainty._folding import KINDS, LIKELIHOODS, SCALES
from fastdrop.uncertainty._tables import MEASURES, QUANTILES, Table, axis_names, statistics, table

Array = NDArray[Any]
# What makes no sense where nothing is sampled, by the names that argparse gives it.
_SAMPLED = (
    *("interval", "quantiles", "until", "kind", "likelihood", "scale", "plot", "samples_out"),
    "progress",
)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    loading(sub)
    sub.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="a file .npy, .npz, .csv or .parquet (which takes pandas) of inputs, one a row, or - "
        "for standard input (.npy, .npz or .csv). A line of a table is an input with all its "
        "axes; a .csv file has numbers alone, no names and no index. Of a model with several "
        "inputs a file each, in the order in which inspect lists them, or one .npz file with "
        "arrays so named",
    )
    sub.add_argument(
        "--out",
        metavar="OUT",
        help="a file .npz, .csv or .parquet (which takes pandas); a table is printed if not given. "
        ".npz gets the arrays predict (dropout off), mean, std and quantiles, the measures of "
        "classes, epistemic and aleatoric, and low and high if asked for, which of a model with "
        "several outputs bear their names, as in NAME.mean; probabilities (those of the "
        "quantiles), level (that of the interval) and n_samples (how many were drawn). A table "
        "has a line for each number of an output, or for each choice of a class",
    )
    sampling(sub, 200, 0, "; 0: dropout off alone")
    sub.add_argument(
        "--quantiles",
        type=levels,
        metavar="Q,...",
        help=f"probabilities with commas between; default: {','.join(map(str, QUANTILES))}",
    )
    sub.add_argument(
        "--interval",
        type=level,
        metavar="LEVEL",
        help="also give low and high, between which this share of the samples is, as 0.9; it is "
        "not calibrated",
    )
    sub.add_argument(
        "--until",
        type=errors,
        metavar="ERROR",
        help="draw no more samples of a row than give its mean this standard error, as 0.01, or "
        "mean=0.01,std=0.02, where that of the deviation is relative; --samples is the most",
    )
    sub.add_argument(
        "--kind",
        choices=["auto", *KINDS],
        help="what the outputs are; default: auto, by their activation",
    )
    sub.add_argument(
        "--likelihood",
        choices=LIKELIHOODS,
        help="the outputs are means and as many scales of noise",
    )
    sub.add_argument("--scale", choices=[*SCALES], help="what scales are; default: log_variance")
    sub.add_argument(
        "--scope", choices=["per_row", "shared"], default="per_row", help="default: per_row"
    )
    sub.add_argument(
        "--row-offset", type=count(0), default=0, help="number of the first row in the data set"
    )
    sub.add_argument(
        "--first-sample",
        type=count(0),
        default=0,
        help="number of the first sample: where another call stopped",
    )
    sub.add_argument(
        "--progress", action="store_true", help="show on standard error how far it is (takes tqdm)"
    )
    sub.add_argument(
        "--plot",
        metavar="FILE",
        help="a file .png, .svg or .pdf for a plot (takes Matplotlib): all rows of one number "
        "each, else the first row",
    )
    sub.add_argument("--samples-out", metavar="FILE", help="a file .npy for the samples themselves")


def run(args: argparse.Namespace) -> str:
    read = [path for path in (args.model, *args.inputs, args.architecture) if path is not None]
    given = {"--out": args.out, "--plot": args.plot, "--samples-out": args.samples_out}
    targets = _write.targets(given, read)
    _check_options(args)
    model = load(args)
    shapes = model.input_shape
    each = list(shapes.values()) if isinstance(shapes, dict) else [shapes]
    arrays = _read.inputs(args.inputs, model.input_names, each)
    start = time.perf_counter()
    found = _Found(model, arrays, args, tabular=_is_table(targets))
    contents = found.contents(targets)
    text = "" if "--out" in targets else found.text()
    seconds = time.perf_counter() - start
    for option, content in contents.items():
        targets[option].write(content)
    if "--out" not in targets:
        return text
    return (
        f"{shown(args.out, 300)}: {len(arrays[0])} inputs, {found.counted()} samples, "
        f"{seconds:.2f} s; {shown(', '.join(found.names), 1000)}"
    )


def _is_table(targets: dict[str, _write.Target]) -> bool:
    return "--out" not in targets or targets["--out"].suffix in _write.TABLES


def _check_options(args: argparse.Namespace) -> None:
    given = [name for name in _SAMPLED if getattr(args, name)]
    if not args.samples and given:
        option = given[0].replace("_", "-")
        raise ValueError(f"--{option}: expected --samples above 0 with it")
    if args.scale is not None and args.likelihood is None:
        raise ValueError("--scale: expected --likelihood with it")


def _listed(value: Any) -> list[Any]:
    """Return what a model gives for its outputs, in their order."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


class _Found:
    """What was predicted, by the names of outputs: an empty one where there is one alone."""

    def __init__(
        self, model: fd.Model, inputs: list[Array], args: argparse.Namespace, tabular: bool
    ) -> None:
        self.args = args
        self.predictions: dict[str, fd.Prediction] = {}
        x = inputs if len(inputs) > 1 else inputs[0]
        draw = partial(
            model.mc_predict,
            rng=args.seed,
            scope=args.scope,
            row_offset=args.row_offset,
            first_sample=args.first_sample,
            kind=args.kind or "auto",
            likelihood=args.likelihood,
            scale=args.scale or "log_variance",
            until=args.until,
            keep_samples=args.samples_out is not None,
            threads=args.threads,
        )
        model._inputs(x)  # refused for what it is, before a part of it is tried
        if args.samples:  # of no row, to know what there will be before anything is drawn
            none = [array[:0] for array in inputs]
            self._check(draw(none if len(none) > 1 else none[0], 1), tabular)
        self.plain = self._named(model, model.predict(x, threads=args.threads))
        if args.samples:
            # Nobody sees it where standard error is closed.
            progress = args.progress and sys.stderr is not None
            drawn = draw(x, args.samples, progress=progress)
            self.predictions = self._named(model, drawn)
        else:
            self._check_single([*self.plain], tabular)
        self.names: Sequence[str] = ()

    @staticmethod
    def _named(model: fd.Model, value: Any) -> dict[str, Any]:
        several = isinstance(value, list | dict)
        names = model.output_names if several else [""]
        return dict(zip(names, _listed(value), strict=True))

    def _check(self, drawn: Any, tabular: bool) -> None:
        """Refuse what cannot be had of predictions of this kind."""
        self._check_single(drawn, tabular)
        for option in ("plot", "samples_out"):
            if getattr(self.args, option) and isinstance(drawn, list | dict):
                name = f"--{option.replace('_', '-')}"
                raise ValueError(f"{name}: expected a model of one output, got {len(drawn)}")
        kinds = {p.kind for p in _listed(drawn)}
        for option in ("quantiles", "interval"):
            if tabular and "multiclass" in kinds and getattr(self.args, option):
                raise ValueError(
                    f"--{option}: expected --out with a name that ends in '.npz' for "
                    "probabilities of classes, whose table has none"
                )

    def _check_single(self, found: Any, tabular: bool) -> None:
        if tabular and self.args.out is not None and len(_listed(found)) > 1:
            expected = "a name that ends in '.npz' for a model of several outputs"
            raise ValueError(f"--out {self.args.out!r}: expected {expected}")

    def counted(self) -> str:
        """Say how many samples were drawn."""
        each = [np.asarray(p.n_samples).reshape(-1) for p in self.predictions.values()]
        numbers = np.concatenate([np.empty(0, int), *each])
        low, high = (numbers.min(), numbers.max()) if len(numbers) else (0, 0)
        return f"{low}" if low == high else f"{low} to {high}"

    # ---- what is written ----

    def contents(self, targets: dict[str, _write.Target]) -> dict[str, Any]:
        """Return what goes into each file."""
        found: dict[str, Any] = {}
        if "--out" in targets:
            suffix = targets["--out"].suffix
            if suffix == ".npz":
                arrays = self.arrays()
                self.names = [*arrays]
                found["--out"] = _write.arrays_file(arrays)
            else:
                (one,) = self.tables().values()
                self.names = one.names()
                data = _write.table_file(one, suffix)
                found["--out"] = lambda file: file.write(data)
        if "--plot" in targets:
            (p,) = self.predictions.values()
            picture = _write.picture(p, targets["--plot"].suffix)
            found["--plot"] = lambda file: file.write(picture)
        if "--samples-out" in targets:
            (p,) = self.predictions.values()
            samples: Any = p.samples
            found["--samples-out"] = lambda file: np.save(file, samples)
        return found

    def arrays(self) -> dict[str, Any]:
        def label(name: str, what: str) -> str:
            return f"{name}.{what}" if name else what

        args = self.args
        found: dict[str, Any] = {label(n, "predict"): y for n, y in self.plain.items()}
        quantiles = np.array(QUANTILES if args.quantiles is None else args.quantiles)
        for name, p in self.predictions.items():
            each = statistics(p) | {"quantiles": p.quantile(quantiles)}
            if args.interval is not None:
                each |= dict(zip(("low", "high"), p.interval(args.interval), strict=True))
            if p.kind != "regression":
                each |= {measure: getattr(p, measure) for measure in MEASURES}
            found |= {label(name, what): array for what, array in each.items()}
        if self.predictions:
            found["probabilities"] = quantiles
            if args.interval is not None:
                found["level"] = args.interval
            # A row stops for all outputs at once.
            found["n_samples"] = next(iter(self.predictions.values())).n_samples
        return found

    def tables(self) -> dict[str, Table]:
        """Return a table for each output."""
        if not self.predictions:
            return {name: _of_numbers(y, self.args) for name, y in self.plain.items()}
        found = {}
        for name, p in self.predictions.items():
            # Of a mean and a scale in outputs of their own the mean is the first.
            plain = self.plain.get(name, next(iter(self.plain.values())))
            if p.kind == "multiclass":
                columns = {"predict": plain.argmax(axis=-1)}
            else:
                columns = {"predict": _part_like(plain, p.mean)}
            one = table(p, self.args.quantiles)
            columns |= one.columns
            if self.args.interval is not None:
                low, high = p.interval(self.args.interval)
                columns |= {"low": low, "high": high}
            found[name] = replace(one, columns=columns)
        return found

    def text(self) -> str:
        blocks = []
        for name, one in self.tables().items():
            heading = f"{shown(name, 300)}\n" if name else ""
            blocks.append(heading + _write.table_text(one))
        return "\n\n".join(blocks)


def _part_like(plain: Array, mean: Array) -> Array:
    """Return the means of an output that has scales behind them."""
    return plain[..., : mean.shape[-1]]


def _of_numbers(y: Array, args: argparse.Namespace) -> Table:
    return Table(axis_names(y.ndim - 1), y.shape, args.row_offset, {"predict": y})

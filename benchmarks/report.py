"""Measure fastdrop and every installed peer; write tables and plots.

    python -m benchmarks.report            # docs/ and the README's tables; about an hour
    python -m benchmarks.report --only recurrent  # some forty-five minutes of it
    python -m benchmarks.report --quick --out DIR

One process pinned to one core measures what one thread does, another on two cores the rest.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import measure, plots, recurrent_report, tables
from benchmarks.tables import Results

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- benchmark: {name} -->\n", "<!-- /benchmark -->"

PAGE = """\
# Benchmarks: masks and dropout

Written by `make report`, which installs every library named here into `.venv`, measures, and writes
this page, its plots and the README's table. In one process pinned to one core all libraries take
turns, up to {rounds} rounds, and the best one counts; what is slow sits out the later rounds.
Another process on two cores measures two threads. Every mask and every dropout is checked before it
is timed: its values, and that the events are as many as they should be, within six standard
deviations.

NumPy stands for the idiom `rng.random(n, dtype=float32) < p`, and for dropout
`x * (rng.random(n, dtype=float32) >= p) * scale`, as written or with every array reused, whichever
is faster at that point. fastdrop writes to a given array (`out=`), which the dropout of PyTorch,
TensorFlow and JAX cannot; the row "new array" shows fastdrop without that. Tables are of {large:,}
elements unless they say something else. Rows that lose stay.

## Against the targets

{targets}
{caption}

## Faster than fastdrop

Than its strongest tier, the memory limit apart.

{losses}
{caption}

## Packed masks

One bit an element. The other libraries have none, so their rows are masks of a byte each. The limit
is filling that many bytes.

{packed}
{caption}

## Bool masks

One byte an element. The limit is filling that many bytes.

{bool}
{caption}

![Throughput of masks against size](masks.svg)

## Dropout of float32

From memory to memory. The limit is `np.multiply(x, c, out=y)`.

{dropout}
{caption}

![Throughput of dropout against size](dropout.svg)

## Dropout of 64 elements

The whole call.

{small}
{caption}

## Two threads

{huge:,} elements. NumPy, randomgen and mkl_random have no threads of their own.

{two}
{caption_two}
"""

BLOCK = """\
Masks by themselves, times the speed of other libraries: float32 dropout, rate 0.1, one thread,
of {large:,} elements {large_times};
of 64 elements {small_times}.

{caption} All figures, and what is faster: `docs/benchmarks.md`.
"""


def _figures(threads: int, quick: bool) -> Results:
    command = [sys.executable, "-m", "benchmarks.measure", "--threads", str(threads)]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return Results(json.loads(done.stdout))


def _readme(name: str, block: str) -> None:
    path, begin = ROOT / "README.md", BEGIN.format(name=name)
    before, found, rest = path.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        sys.exit(f"README.md has no place for the table: {begin.strip()} … {END}")
    path.write_text(before + begin + block + END + after, "utf-8")


def masks(directory: Path, quick: bool) -> tuple[Results, str]:
    """Measure, write the page, and return the figures and the README's block."""
    one, two = (_figures(threads, quick) for threads in (1, 2))
    large, huge = measure.large(quick), measure.huge(quick)
    rates = (0.5, 0.25, 0.1)
    common = {
        "caption": one.caption(),
        "losses": tables.losses(one, large),
    }
    page = PAGE.format(
        **common,
        rounds=one.about["rounds"],
        large=large,
        huge=huge,
        targets=tables.targets(one, two, large, huge),
        packed=tables.speeds(one, "packed", large, rates),
        bool=tables.speeds(one, "bool", large, rates),
        dropout=tables.speeds(one, "dropout", large, (0.5, 0.1)),
        small=tables.small_calls(one, 64, 0.1),
        two=tables.two_threads(one, two, huge),
        caption_two=two.caption("one and two threads"),
    )
    (directory / "benchmarks.md").write_text(page, "utf-8")
    block = BLOCK.format(
        large=large,
        large_times=tables.times(one, large),
        small_times=tables.times(one, 64),
        caption=one.caption(),
    )
    return one, block


# What is measured, and what writes its page and draws its plots.
PARTS: dict[str, tuple[Callable[..., tuple[Any, str]], Callable[..., object]]] = {
    "masks": (masks, plots.write),
    "recurrent": (recurrent_report.write, plots.write_recurrent),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds; needs --out")
    parser.add_argument("--out", type=Path, help="write all files here instead")
    options = parser.parse_args()
    if options.quick and options.out is None:
        parser.error("--quick gives figures that mean nothing: say where to with --out")

    directory = options.out or ROOT / "docs"
    directory.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else PARTS:
        measured, draw = PARTS[name]
        results, block = measured(directory, options.quick)
        if importlib.util.find_spec("matplotlib") is not None:
            draw(results, directory)
        else:
            print("NO PLOTS: matplotlib is not installed", file=sys.stderr)
        if options.out is None:
            _readme(name, block)
        else:
            (directory / f"readme-{name}.md").write_text(block, "utf-8")
    print(f"wrote {directory}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Say which benchmarks another revision runs in another time, beyond noise.

    python -m benchmarks.compare v0.1.0              # this checkout against a revision of it
    python -m benchmarks.compare main -k "lstm and avx2"

Both are built in `build/compare` by the same compiler and options, and run this checkout's
benchmarks by pytest-codspeed in turns (A B, B A, A B, ...), each time in a process of its own,
whose figure is that of its fastest round. A benchmark has changed where all figures of one revision
lie above all of the other's. If nothing has changed, n runs of each come to lie so by chance once
in C(2n, n) / 2 times; n is so large that among all benchmarks this is to be expected in less than
one of twenty comparisons (Mann and Whitney, "On a Test of Whether one of Two Random Variables is
Stochastically Larger than the Other", 1947; Bonferroni's correction).

It ends with status 1 if anything is slower.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import cpu

ROOT = Path(__file__).resolve().parent.parent
TO = ROOT / "build" / "compare"
CHANCE = 0.05  # of calling anything changed, where nothing is
Times = dict[str, list[float]]  # of a benchmark: seconds, one a run


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a benchmark: seconds of each run."""

    name: str
    base: list[float]
    head: list[float]

    @property
    def ratio(self) -> float:
        """How many times as long as the base it takes."""
        return median(self.head) / median(self.base)

    @property
    def beyond_noise(self) -> bool:
        """Whether no run of the one took as long as any of the other."""
        return max(self.head) < min(self.base) or max(self.base) < min(self.head)

    def __str__(self) -> str:
        ranges = [f"{min(runs):.3g} to {max(runs):.3g}" for runs in (self.base, self.head)]
        return f"{self.ratio:8.3f}  {ranges[0]:>22}  {ranges[1]:>22}  {self.name}"


def runs_for(benchmarks: int) -> int:
    """Return how many runs of each revision it takes to compare so many benchmarks."""
    n = 1
    while benchmarks * 2 / math.comb(2 * n, n) > CHANCE:
        n += 1
    return n


def compared(base: Times, head: Times) -> list[Change]:
    """Return the benchmarks that ran each time, the greatest slowdown first."""
    runs = max(map(len, (*base.values(), *head.values())), default=0)
    both = [Change(name, base[name], head.get(name, [])) for name in base]
    every = [change for change in both if len(change.base) == len(change.head) == runs]
    return sorted(every, key=lambda change: -change.ratio)


def report(base: Times, head: Times) -> str:
    """Return the changed benchmarks, and how small a change would have been seen."""
    every = compared(base, head)
    changed = [change for change in every if change.beyond_noise]
    title = f"{'times':>8}  {'base, s':>22}  {'checkout, s':>22}"
    lines = [title, *map(str, changed)] if changed else ["nothing changed beyond noise"]
    slower = sum(change.ratio > 1 for change in changed)
    lines.append(
        f"{len(every)} benchmarks: {slower} slower, {len(changed) - slower} faster, "
        f"{len(every) - len(changed)} not changed beyond noise"
    )
    if every:
        spread = median(max(change.base) / min(change.base) for change in every)
        lines.append(f"runs of the same code differ by a factor of {spread:.3f} (median)")
    names = {change.name for change in every}
    for name in sorted((base.keys() | head.keys()) - names):
        counts = f"{len(base.get(name, []))} times on the base, {len(head.get(name, []))} here"
        lines.append(f"NOT COMPARED, it ran {counts}: {name}")
    return "\n".join(lines)


def tracked(names: str) -> bytes:
    """Return an archive of this checkout's files as they are, committed or not."""
    command = ["tar", "-c", "-C", str(ROOT), "--null", "--ignore-failed-read", "-T", "-"]
    return subprocess.run(command, check=True, input=names.encode(), capture_output=True).stdout


def build(side: str, source: Path) -> None:
    """Install a revision's package where nothing else is, with this checkout's benchmarks."""
    to = TO / side
    to.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(to)]
    subprocess.run([*pip, *options, str(source)], check=True)
    shutil.copytree(ROOT / "benchmarks", to / "benchmarks")
    shutil.copy(ROOT / "pyproject.toml", to)


def _name(uri: str, side: str) -> str:
    """Return a benchmark's name within a revision: addresses begin where a repository does."""
    return uri.rpartition(f"{side}/benchmarks/")[2]


def run(side: str, options: Sequence[str]) -> dict[str, float]:
    """Run the benchmarks once, and return the seconds of those that ran."""
    to = TO / side
    shutil.rmtree(to / ".codspeed", ignore_errors=True)
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    codspeed = ["--codspeed", "--codspeed-mode", "walltime", "--codspeed-warmup-time", "0.1"]
    command = [*pytest, *codspeed, "--rootdir", str(to), *options]
    environment = os.environ | {"PYTHONPATH": str(to), "COLUMNS": "160"}
    done = subprocess.run(command, cwd=to, env=environment, text=True, capture_output=True)
    found = list(to.glob(".codspeed/results_*.json"))
    if len(found) != 1 or done.returncode not in (0, 1):
        sys.exit(f"{done.stdout}{done.stderr}\nthe benchmarks of {side} did not run")
    # A benchmark that fails, of something that the base does not have, has no figures.
    rows = json.loads(found[0].read_text("utf-8"))["benchmarks"]
    return {_name(row["uri"], side): row["stats"]["min_ns"] * 1e-9 for row in rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the status."""
    parser = argparse.ArgumentParser(description="other options and files are pytest's")
    parser.add_argument("base", help="a revision of this repository")
    given, options = parser.parse_known_args(arguments)
    if not any(option.startswith("benchmarks") for option in options):
        options.append("benchmarks")

    shutil.rmtree(TO, ignore_errors=True)
    git = ["git", "-C", str(ROOT)]
    for side, files in (
        ("base", subprocess.check_output([*git, "archive", given.base])),
        ("head", tracked(subprocess.check_output([*git, "ls-files", "-z"], text=True))),
    ):
        source = TO / "sources" / side
        source.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(source)], check=True, input=files)
        build(side, source)

    times: dict[str, Times] = {"base": {}, "head": {}}
    done, needed = 0, 1
    while done < needed:
        for side in ("base", "head") if done % 2 == 0 else ("head", "base"):
            for name, seconds in run(side, options).items():
                times[side].setdefault(name, []).append(seconds)
        done += 1
        needed = runs_for(len(times["base"].keys() & times["head"].keys()))
        print(f"run {done} of {needed}", file=sys.stderr, flush=True)

    print(f"this checkout against {given.base}: {cpu()}; {done} runs of each")
    print("names have the tier and, where there are several, the threads; else it is one")
    print(report(times["base"], times["head"]))
    found = compared(times["base"], times["head"])
    return int(any(change.beyond_noise and change.ratio > 1 for change in found))


if __name__ == "__main__":
    sys.exit(main())

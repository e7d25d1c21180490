"""Measure every library side by side in this process, and write the figures to standard output.

    python -m benchmarks.measure --threads 1 > figures.json

The process is pinned to as many cores as threads before any library is loaded, so that each really
has that many, whatever it thinks. All ways to do one thing take turns, round after round; the best
round counts: what the machine can do when nothing else disturbs it.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    from benchmarks.peers import Row, Task
    from fastdrop._backend import Backend

# A call shorter than this is repeated until it has been timed for that long.
SHORTEST = 2e-3
# A call at least this long is warm by itself.
WARM = 20e-3


class Figure(TypedDict):
    """Seconds for one call; None where the library is not installed."""

    operation: str
    label: str
    size: int
    rate: float
    threads: int
    seconds: float | None


class About(TypedDict):
    """Where and when a process measured."""

    cpu: str
    system: str
    date: str
    tiers: list[str]
    versions: dict[str, str]
    rounds: int


class Figures(About):
    """What it measured."""

    figures: list[Figure]


class Way(Protocol):
    """What to call, if it is installed, and on which of fastdrop's backends."""

    @property
    def call(self) -> Callable[[], Any] | None: ...
    @property
    def backend(self) -> "Backend | None": ...


def cpu() -> str:
    """Return the processor's name and, where the system tells them, its family and model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    if "model name" not in said:
        return platform.processor() or platform.machine()
    numbers = [f"{key} {said[key]}" for key in ("cpu family", "model") if key in said]
    return f"{said['model name']} ({', '.join(numbers)})" if numbers else said["model name"]


def pin(threads: int) -> None:
    """Leave this process `threads` cores, and libraries that do not look there the same number."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    # OpenBLAS's threads sleep after 2^4 cycles, not 2^26, which would be the next engine's time.
    os.environ["OPENBLAS_THREAD_TIMEOUT"] = "4"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if not hasattr(os, "sched_setaffinity"):
        if threads == 1:
            print("benchmarks: this system cannot pin a process to a core", file=sys.stderr)
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        sys.exit(f"{threads} threads were asked for, this process has {len(cores)} cores")
    os.sched_setaffinity(0, cores[-threads:])  # the first core answers most interrupts


def check(row: "Row", task: "Task", result: Any) -> None:
    """Refuse a result whose values, or whose fraction of events, are not what they must be."""
    if row.rate is None:
        return
    import numpy as np

    if row.operation == "packed":
        octets = np.frombuffer(result, np.uint8)
        right, events = octets.size == -(-task.size // 8), int(np.bitwise_count(octets).sum())
    elif row.operation == "bool":
        mask = np.asarray(result)
        right, events = mask.dtype == bool and mask.size == task.size, int(mask.sum())
    else:
        y = np.asarray(result)
        kept = y != 0
        right = y.shape == task.x.shape and np.allclose(y[kept], task.x[kept] * task.scale, 1e-6, 0)
        events = task.size - int(kept.sum())
    deviation = (task.size * row.rate * (1 - row.rate)) ** 0.5
    if not right or abs(events - task.size * row.rate) > 6 * deviation:
        raise AssertionError(f"{row.label}: wrong result of {row.operation}, {task}: {events}")


def take_turns(
    ways: Sequence[Way], rounds: int, budgets: Sequence[float], rest: float = 0.0
) -> list[float | None]:
    """Return the seconds of the fastest call of each way, all in turn, round after round.

    What has used up its budget of seconds sits out after two rounds. With a rest before each,
    threads of the one before have gone to sleep; a short call is made once before it is timed then,
    for a rest leaves cold caches and a slow clock.
    """
    from fastdrop import _backend

    chosen = _backend.active
    timers: list[tuple[timeit.Timer, int] | None] = []
    for way in ways:
        if way.call is None:
            timers.append(None)
            continue
        _backend.active = way.backend or chosen
        timer = timeit.Timer(way.call)
        once = timer.timeit(1)
        if once < SHORTEST:
            once = timer.timeit(10) / 10
        timers.append((timer, max(1, round(SHORTEST / once))))
    best, spent = [float("inf")] * len(ways), [0.0] * len(ways)
    for turn in range(rounds):
        for i, timed in enumerate(timers):
            if timed is None or (turn >= 2 and spent[i] > budgets[i]):
                continue
            _backend.active = ways[i].backend or chosen
            timer, number = timed
            if rest:
                time.sleep(rest)
                if best[i] < WARM:
                    timer.timeit(1)
            seconds = timer.timeit(number)
            spent[i] += seconds
            best[i] = min(best[i], seconds / number)
    _backend.active = chosen
    return [s if timed else None for timed, s in zip(timers, best, strict=True)]


def measure(task: "Task", rows: Sequence["Row"], rounds: int, budget: float) -> Iterator[Figure]:
    """Check and time rows of a task."""
    from fastdrop import _backend

    chosen = _backend.active
    for row in rows:
        if row.call is not None:
            _backend.active = row.backend or chosen
            check(row, task, row.call())
    _backend.active = chosen
    times = take_turns(rows, rounds, [budget] * len(rows))
    for row, seconds in zip(rows, times, strict=True):
        yield {
            "operation": row.operation,
            "label": row.label,
            "size": task.size,
            "rate": task.rate,
            "threads": row.threads,
            "seconds": seconds,
        }


def about(versions: dict[str, str], rounds: int) -> About:
    from fastdrop import _backend

    return {
        "cpu": cpu(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "date": datetime.date.today().isoformat(),
        "tiers": [backend.tier for backend in _backend.available],
        "versions": versions,
        "rounds": rounds,
    }


def tasks(threads: int, quick: bool) -> Iterator[tuple[str, int, float]]:
    if threads > 1:
        yield from ((kind, huge(quick), 0.1) for kind in ("masks", "dropout"))
        return
    sizes = [4**n for n in range(3, 9 if quick else 14)]
    for kind, rates in (("masks", (0.1,)), ("dropout", (0.1, 0.5))):
        yield from ((kind, size, rate) for rate in rates for size in sizes)
    yield from (("masks", large(quick), rate) for rate in (0.25, 0.5))


def large(quick: bool) -> int:
    """Return the size of the tables."""
    return 1 << (14 if quick else 24)


def huge(quick: bool) -> int:
    """Return the size at which two threads are compared with one, the last of the sweep."""
    return 4 * large(quick)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    options = parser.parse_args()
    pin(options.threads)
    from benchmarks import peers

    rounds = 3 if options.quick else 15
    figures: list[Figure] = []
    for kind, size, rate in tasks(options.threads, options.quick):
        print(f"{options.threads} thread(s): {kind}, {size}, {rate}", file=sys.stderr)
        task = peers.Task(kind, size, rate, options.threads)
        rows = list(peers.rows(task))
        figures += measure(task, rows, rounds, budget=0.1 if options.quick else 1.5)
    result: Figures = {**about(peers.versions(), rounds), "figures": figures}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

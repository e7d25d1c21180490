"""Run the Monte-Carlo jobs, compare what they say, and render them as Markdown."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.keras_calls import ENGINES
from benchmarks.montecarlo import (
    FASTDROP,
    INPUTS,
    LOOP,
    MODELS,
    QUICK_MODELS,
    SAMPLES,
    TILED,
    Job,
)
from benchmarks.recurrent_keras import LIBRARIES
from benchmarks.tables import NONE, markdown, number, ratio, verdict

ROOT = Path(__file__).resolve().parent.parent
DRAWS, THREADS, COLD_ROUNDS = 100, 2, 2
TF = ENGINES["tensorflow"]


class Cold(NamedTuple):
    """From the start of a process to its result; bytes."""

    seconds: float
    peak: int


class Jobs(NamedTuple):
    """What was measured; nothing where Keras, which writes the models, is not installed."""

    ours: str
    jobs: list[Job]
    cold: dict[str, Cold]


def _inputs(number: int) -> str:
    return f"{number} input" if number == 1 else f"{number} inputs"


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.montecarlo", *map(str, arguments)]


def run(tiers: list[str], quick: bool) -> Jobs:
    """Run each job in a process of its own: fastdrop on its two strongest tiers, Keras on each."""
    ours = f"**fastdrop, {tiers[0]}**"
    backends = [backend for backend, library in LIBRARIES.items() if library.installed()]
    if not backends:
        return Jobs(ours, [], {})
    draws = 5 if quick else DRAWS
    options = ("--samples", draws, "--threads", THREADS)
    jobs: list[Job] = []
    cold: dict[str, Cold] = {}
    with tempfile.TemporaryDirectory() as directory:
        environ = os.environ | {"KERAS_BACKEND": backends[0]}
        command = _command("write", directory, *options, *(["--quick"] if quick else []))
        subprocess.run(command, cwd=ROOT, env=environ, stdout=sys.stderr, check=True)
        for model in QUICK_MODELS if quick else MODELS:
            for isa in [tier for tier in tiers[:2] if tier != "numpy"] or [None]:
                environ = os.environ | ({"FASTDROP_ISA": isa} if isa else {})
                jobs += _json(_command("job", FASTDROP, model, directory, *options), environ)
            for backend in backends:
                command = _command("job", backend, model, directory, *options)
                jobs += _json(command, dict(os.environ))
        for _ in range(1 if quick else COLD_ROUNDS):
            for engine in (FASTDROP, *backends):
                label = ours if engine == FASTDROP else ENGINES[engine]
                found = _cold(_command("cold", engine, directory, *options))
                before = cold.get(label, found)
                cold[label] = Cold(*map(min, before, found))
    if not quick:
        compare(jobs, ours)
    return Jobs(ours, jobs, cold)


def _json(command: list[str], environ: dict[str, str]) -> Any:
    print(" ".join(command[3:6]), file=sys.stderr)
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _cold(command: list[str]) -> Cold:
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        result = json.loads(process.stdout.readline())
        seconds = time.perf_counter() - start
    return Cold(seconds, result["peak"])


def compare(jobs: list[Job], ours: str) -> None:
    """Refuse means that differ from fastdrop's by more than samples of one distribution do."""
    mine = {j["model"]: j for j in jobs if j["engine"] == ours and j["mean"] and j["inputs"] == 1}
    for job in jobs:
        if job["method"] != TILED or job["inputs"] != 1:
            continue
        own = mine[job["model"]]
        each = zip(own["mean"], own["std"], job["mean"], job["std"], strict=True)
        off = sorted(abs(a - b) / ((s * s + t * t) / DRAWS) ** 0.5 for a, s, b, t in each)
        if off[len(off) // 2] > 5:
            raise AssertionError(f"{job['engine']}, model {job['model']}: another mean")


def _find(jobs: Jobs, engine: str, model: str, method: str, inputs: int) -> Job | None:
    key = (engine, model, method, inputs)
    return next(
        (j for j in jobs.jobs if (j["engine"], j["model"], j["method"], j["inputs"]) == key), None
    )


def table(jobs: Jobs, model: str) -> str:
    """One model: how often fastdrop's time each engine takes, the time, and the peak memory."""
    body, notes = [], []
    ways = dict.fromkeys((j["engine"], j["method"]) for j in jobs.jobs)
    for engine, method in ways:
        cells, first = [], 0.0
        for inputs in INPUTS:
            job = _find(jobs, engine, model, method, inputs)
            ours = _find(jobs, jobs.ours, model, SAMPLES, inputs)
            seconds = job["seconds"] if job else None
            first = first or seconds or 1e9
            cells += [
                number(ratio(seconds, ours["seconds"] if ours else None)),
                number(seconds and 1e3 * seconds),
                # A loop comes after the tiled call, whose memory is the peak by then.
                number(job["peak"] / 1e6) if job and method != LOOP else NONE,
            ]
            if job and job["calls"]:
                notes.append(f"{engine}, {_inputs(inputs)}: {job['calls']} calls, scaled.\n")
        body.append((first, [engine, method, *cells]))
    for backend, library in LIBRARIES.items():
        if not library.installed():
            body.append((1e9, [ENGINES[backend], "not installed", *[NONE] * 6]))
    columns = ("times fastdrop's time", "ms", "peak MB")
    head = ["", "", *(f"{c}, {_inputs(inputs)}" for inputs in INPUTS for c in columns)]
    text = markdown(head, (cells for _, cells in sorted(body, key=lambda pair: pair[0])))
    return text + "".join(f"\n* {note}" if i == 0 else f"* {note}" for i, note in enumerate(notes))


def cold_table(jobs: Jobs) -> str:
    tf = jobs.cold.get(TF)
    body = []
    for engine, cold in sorted(jobs.cold.items(), key=lambda pair: pair[1].seconds):
        of_tf = (
            number(ratio(mine, theirs))
            for mine, theirs in zip(cold, tf or (None, None), strict=True)
        )
        body.append([engine, number(cold.seconds), number(cold.peak / 1e6), *of_tf])
    return markdown(["", "s", "peak MB", "of TensorFlow's time", "of its memory"], body)


def targets(jobs: Jobs) -> Iterator[list[str]]:
    """One row a target: what, wanted, reached, and whether."""
    for model in ("A", "B"):
        for inputs in INPUTS:
            found = (_find(jobs, engine, model, TILED, inputs) for engine in ENGINES.values())
            best = min((job["seconds"] for job in found if job), default=None)
            mine = _find(jobs, jobs.ours, model, SAMPLES, inputs)
            name = f"model {model}, {_inputs(inputs)}: times the best Keras, inputs tiled"
            yield [name, *verdict(5, ratio(best, mine["seconds"] if mine else None))]
    loop, mine = (_find(jobs, *way, 1) for way in ((TF, "A", LOOP), (jobs.ours, "A", SAMPLES)))
    reached = loop["seconds"] / mine["seconds"] if loop and mine else None
    yield ["model A, 1 input: times Keras on TensorFlow, called in a loop", *verdict(100, reached)]
    tf, own = jobs.cold.get(TF), jobs.cold.get(jobs.ours)
    for what, index in (("time", 0), ("memory", 1)):
        share = own[index] / tf[index] if tf and own else None
        name = f"cold start, model A, 1 input: {what}, of Keras's on TensorFlow"
        yield [name, *verdict(0.1, share, at_most=True)]


def short(jobs: Jobs) -> str:
    """Render the README's table: how many times as fast as Keras."""
    body = []
    for model in MODELS:
        for inputs in INPUTS:
            mine = _find(jobs, jobs.ours, model, SAMPLES, inputs)
            seconds = mine["seconds"] if mine else None
            cells = [number(seconds and 1e3 * seconds)]
            for method in (TILED, LOOP):
                for engine in ENGINES.values():
                    job = _find(jobs, engine, model, method, inputs)
                    cells.append(number(ratio(job["seconds"] if job else None, seconds)))
            body.append([f"model {model}, {_inputs(inputs)}", *cells])
    head = ["", "ms"]
    for way in ("tiled", "loop"):
        head += [f"times {engine}, {way}" for engine in ENGINES.values()]
    return markdown(head, body)

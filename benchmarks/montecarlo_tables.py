"""Run the Monte-Carlo jobs and render them as Markdown.

python -m benchmarks.montecarlo_tables cnn names    # these models alone, to standard output
python -m benchmarks.montecarlo_tables --quick      # all of them, small: figures mean nothing
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fastdrop
from benchmarks.keras_calls import ENGINES
from benchmarks.measure import cpu
from benchmarks.montecarlo import (
    DRAWS,
    EAGER,
    FASTDROP,
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
COLD_THREADS, COLD_ROUNDS = 2, 2
THREADS = {1: "one thread", 2: "two threads"}
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
    missing: dict[str, str]


def _inputs(number: int) -> str:
    return f"{number} input" if number == 1 else f"{number:,} inputs"


def title(model: str, threads: int) -> str:
    """Return what a table of a model is called."""
    name = MODELS[model].name
    return f"{name[0].upper()}{name[1:]}, {THREADS[threads]}"


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.montecarlo", *map(str, arguments)]


def run(tiers: list[str], quick: bool, models: Iterable[str] = (), cold: bool = True) -> Jobs:
    """Run each job in a process of its own: fastdrop on its two strongest tiers, Keras on each."""
    result = Jobs(f"**fastdrop, {tiers[0]}**", [], {}, {})
    backends = [backend for backend, library in LIBRARIES.items() if library.installed()]
    if not backends:
        return result
    options = ("--samples", 5 if quick else DRAWS, "--threads")
    with tempfile.TemporaryDirectory() as directory:
        environ = os.environ | {"KERAS_BACKEND": backends[0]}
        models = [*models] or (QUICK_MODELS if quick else [*MODELS])
        command = _command("write", *models, directory, *(["--quick"] if quick else []))
        subprocess.run(command, cwd=ROOT, env=environ, stdout=sys.stderr, check=True)
        for model in models:
            obstacle = Path(directory) / f"{model}.txt"
            if obstacle.exists():
                result.missing[model] = obstacle.read_text("utf-8").strip()
                continue
            for threads in MODELS[model].threads:
                native = [tier for tier in tiers[:2] if tier != "numpy"]
                for more in [{"FASTDROP_ISA": tier} for tier in native] or [{}]:
                    environ = os.environ | more
                    command = _command("job", FASTDROP, model, directory, *options, threads)
                    result.jobs.extend(_json(command, environ))
                for backend in backends:
                    command = _command("job", backend, model, directory, *options, threads)
                    result.jobs.extend(_json(command, dict(os.environ)))
        for _ in range((1 if quick else COLD_ROUNDS) if cold else 0):
            for engine in (FASTDROP, *backends):
                label = result.ours if engine == FASTDROP else ENGINES[engine]
                found = _cold(_command("cold", engine, directory, *options, COLD_THREADS))
                before = result.cold.get(label, found)
                seconds, peak = min(before.seconds, found.seconds), min(before.peak, found.peak)
                result.cold[label] = Cold(seconds, peak)
    return result


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


def _find(
    jobs: Jobs, engine: str, model: str, threads: int, method: str, inputs: int
) -> Job | None:
    def key(j: Job) -> tuple[object, ...]:
        return j["engine"], j["model"], j["threads"], j["method"], j["inputs"]

    wanted = (engine, model, threads, method, inputs)
    return next((job for job in jobs.jobs if key(job) == wanted), None)


def table(jobs: Jobs, model: str, threads: int) -> str:
    """One model: how often fastdrop's time each engine takes, the time, and the peak memory."""
    if model in jobs.missing:
        return f"Not measured: {jobs.missing[model]}\n"
    body, notes = [], []
    ways = dict.fromkeys((j["engine"], j["method"]) for j in jobs.jobs if j["model"] == model)
    all_inputs = MODELS[model].inputs
    for engine, method in ways:
        cells, first = [], 0.0
        for inputs in all_inputs:
            job = _find(jobs, engine, model, threads, method, inputs)
            ours = _find(jobs, jobs.ours, model, threads, SAMPLES, inputs)
            seconds = job["seconds"] if job else None
            first = first or seconds or 1e9
            cells += [
                number(ratio(seconds, ours["seconds"] if ours else None)),
                number(seconds and 1e3 * seconds),
                # A loop comes after the tiled call, whose memory is the peak by then.
                number(job["peak"] / 1e6) if job and method not in (LOOP, EAGER) else NONE,
            ]
            if job and job["calls"]:
                notes.append(f"* {engine}, {_inputs(inputs)}: {job['calls']} calls, scaled.\n")
        body.append((first, [engine, method, *cells]))
    for backend, library in LIBRARIES.items():
        if not library.installed():
            body.append((1e9, [ENGINES[backend], "not installed", *[NONE] * (3 * len(all_inputs))]))
    columns = ("times fastdrop's time", "ms", "peak MB")
    head = ["", "", *(f"{c}, {_inputs(inputs)}" for inputs in all_inputs for c in columns)]
    text = markdown(head, (cells for _, cells in sorted(body, key=lambda pair: pair[0])))
    return "\n".join([text, *(["".join(notes)] if notes else [])])


def pages(jobs: Jobs, said: str) -> str:
    """All tables, each with its title and what is said below it."""
    if not (jobs.jobs or jobs.missing):
        return "Not measured: Keras is not installed.\n"
    return "\n".join(
        f"### {title(model, threads)}\n\n{table(jobs, model, threads)}\n{said}\n"
        for model, threads in _measured(jobs)
    )


def _measured(jobs: Jobs) -> Iterator[tuple[str, int]]:
    seen = {(job["model"], job["threads"]) for job in jobs.jobs}
    for model, kind in MODELS.items():
        for threads in kind.threads:
            if model in jobs.missing or (model, threads) in seen:
                yield model, threads


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
    wanted = {"A": 5, "B": 5, "cnn": 3, "stacked": 3, "tagger": 3, "attention": 3, "names": 2}
    for model, times in wanted.items():
        kind = MODELS[model]
        for threads in kind.threads:
            for inputs in kind.inputs:
                where = (model, threads)
                found = (_find(jobs, e, *where, TILED, inputs) for e in ENGINES.values())
                best = min((job["seconds"] for job in found if job), default=None)
                mine = _find(jobs, jobs.ours, *where, SAMPLES, inputs)
                said = f"{title(*where)}, {_inputs(inputs)}"
                name = f"{said}: times the best Keras, inputs tiled"
                yield [name, *verdict(times, ratio(best, mine["seconds"] if mine else None))]
    for model, method, times in (("A", LOOP, 100), ("names", EAGER, 10)):
        inputs = MODELS[model].inputs[0]
        loop = _find(jobs, TF, model, 2, method, inputs)
        mine = _find(jobs, jobs.ours, model, 2, SAMPLES, inputs)
        reached = loop["seconds"] / mine["seconds"] if loop and mine else None
        name = f"{title(model, 2)}, {_inputs(inputs)}: times Keras on TensorFlow, {method}"
        yield [name, *verdict(times, reached)]
    tf, own = jobs.cold.get(TF), jobs.cold.get(jobs.ours)
    for what, index in (("time", 0), ("memory", 1)):
        share = own[index] / tf[index] if tf and own else None
        name = f"cold start, model A, 1 input: {what}, of Keras's on TensorFlow"
        yield [name, *verdict(0.1, share, at_most=True)]


SHORT_THREADS = 2


class BesideKeras(NamedTuple):
    """A job, and how many times as fast it is as the fastest way that any Keras has for it."""

    name: str
    seconds: float
    times: float


def beside_keras(jobs: Jobs) -> list[BesideKeras]:
    """Return each model with each number of inputs that a Keras has run too."""
    found = []
    for model, kind in MODELS.items():
        for inputs in kind.inputs:
            where = (model, SHORT_THREADS)
            mine = _find(jobs, jobs.ours, *where, SAMPLES, inputs)
            ways = ((e, method) for e in ENGINES.values() for method in (TILED, LOOP, EAGER))
            others = [_find(jobs, engine, *where, method, inputs) for engine, method in ways]
            best = min((job["seconds"] for job in others if job), default=None)
            if mine and best:
                name = f"{kind.name}, {_inputs(inputs)}"
                found.append(BesideKeras(name, mine["seconds"], best / mine["seconds"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; all unless given")
    parser.add_argument("--quick", action="store_true", help="small models, few samples")
    options = parser.parse_args()
    if not set(options.models) <= set(MODELS):
        parser.error(f"models: expected some of {', '.join(MODELS)}")
    jobs = run(list(fastdrop.info().tiers), options.quick, options.models, cold=False)
    print(pages(jobs, f"{cpu()}; {DRAWS} samples."))


if __name__ == "__main__":
    main()

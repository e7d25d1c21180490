"""The page about recurrent layers: run every process that measures, and put the tables together."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import montecarlo_tables, recurrent_tables, steps_tables
from benchmarks.montecarlo import AGREES, CHECKED, DRAWS
from benchmarks.recurrent_keras import LIBRARIES, WORTH_THREADS
from benchmarks.recurrent_peers import BFLOAT16
from benchmarks.recurrent_tables import THREADS, Results
from benchmarks.tables import caption, markdown

ROOT = Path(__file__).resolve().parent.parent
NAME = "recurrent.md"

PAGE = """\
# Benchmarks: recurrent layers and Monte-Carlo dropout

Written by `make report`. fastdrop, PyTorch, ONNX Runtime and OpenVINO take turns in one process
pinned to one core, then in one on two cores, up to {rounds} rounds in passes over all layers, which
are minutes apart, and the best one counts; what is slow sits out the later rounds. On two cores
each waits until the threads of the one before no longer spin, and makes a short call once before it
is timed. Keras has one backend a process, so each follows in one of its own, up to five rounds. All
run the same weights over the same inputs and return the outputs of all steps, in float32 unless
bfloat16 is said. Without dropout an output is checked against the equations in float64, to 1e-4,
before it is timed; with dropout it must be finite and different each time.

In bfloat16 the bound is 2^-6, four units in the last place of the largest outputs, for weights,
inputs and what is fed back are rounded. fastdrop runs `precision="bfloat16"`, whose sums and states
stay float32; PyTorch runs layers and inputs of torch.bfloat16, and rounds states too; OpenVINO has
the inference precision bf16, where it says that the CPU can. ONNX Runtime has no LSTM or GRU of
bfloat16 on a CPU.

PyTorch, ONNX Runtime and OpenVINO run **without dropout**, for they have none inside their
recurrent kernels; PyTorch in the fastest of batch first, time first, and without oneDNN. Keras runs
with dropout and recurrent dropout 0.5: on TensorFlow as a tf.function with XLA, on JAX under
jax.jit, on PyTorch eagerly. fastdrop runs with dropout off, and with both rates 0.5: a mask for
each gate (`per_gate`), one for all gates (`tied`), and masks per gate that all rows share
(`shared`). Its weights are packed once, in one row each call.

Not measured, to keep a run short: in bfloat16 other tiers of fastdrop than the strongest; on two
threads its slow tiers, portable and numpy, and Keras with fewer than {narrow} units. The slow tiers
run only as many steps as they can in a fiftieth of a second, and are scaled.

GFLOP/s count 2 G H (D + H) a row and step, with G = 4 gates for an LSTM and 3 for a GRU. Shapes are
(batch, steps, features, units). `sgemm` is the fastest float32 matrix product that NumPy or PyTorch
does in the same process, the FMA peak what a tier does of multiply-adds alone. Rows that lose stay.

## Against the targets

{targets}
{caption}

## Against the best engine without dropout

How many times as fast fastdrop's strongest tier is as the best of PyTorch, ONNX Runtime and
OpenVINO without dropout.

{against}
{caption}

## Against the best bfloat16 engine without dropout

How many times as fast fastdrop's strongest tier is in bfloat16 as the better of PyTorch and
OpenVINO in bfloat16 without dropout, and as itself in float32 with the same masks.

{against_bfloat16}
{caption}

## Faster than fastdrop

Than its strongest tier with the same dropout and precision.

{losses}
{caption}

## What dropout costs

Time with dropout over time without, strongest tier.

{costs}
{caption}

## Steps and small calls

In one process pinned to one core batches of calls, of two milliseconds or one call, take turns, up
to {steps_rounds} rounds, and the best one counts. `fd.Stepper` takes a step of layers that
remember, with masks held, and writes it to a given array. ONNX Runtime runs a model of one LSTM of
so many steps, without dropout; it begins from zeros each time and keeps nothing.

{steps}
{steps_caption}

Masks of a byte an element and dropout, written to a given array (`out=`), against the faster of
NumPy's idioms, `rng.random(n, dtype=float32) < p` and `x * (rng.random(n, dtype=float32) >= p) *
scale`: as written, and with every array reused.

{small}
{steps_caption}

## Throughput

GFLOP/s by shape. What the machine can do:

{peaks}
{overviews}
![GFLOP/s of LSTM layers by shape](recurrent-lstm.svg)

![GFLOP/s of GRU layers by shape](recurrent-gru.svg)

## The whole Monte-Carlo job

{draws} samples of a model that Keras wrote; each engine and model in a process of its own. fastdrop
loads the file and calls `mc_predict`. Keras gets the inputs tiled {draws} times in one compiled
call, or is called {draws} times; always with `training=True`. Peak memory is the process's resident
memory, the libraries included. Before a job is timed, its means for {checked} inputs are compared
with those that Keras found in another process: root mean square difference below {agrees:g}
standard errors.

* Model A: Embedding(64, 64), LSTM(100, dropout=0.5, recurrent_dropout=0.5), Dense(1, sigmoid); 498
  steps. Model A2 has a Dropout(0.25) behind the embedding.
* Model B: Embedding(5000, 64), SpatialDropout1D(0.2), GRU(64, dropout=0.2, recurrent_dropout=0.2),
  RepeatVector(50), the same GRU with return_sequences, TimeDistributed(Dense(17)), softmax; 50
  steps.
* CNN-LSTM: Embedding(5000, 32), Conv1D(32, 3, same, relu), MaxPooling1D(2), LSTM(100, dropout=0.2,
  recurrent_dropout=0.2), Dense(1, sigmoid); 500 steps.
* Two stacked LSTMs: LSTM(50, return_sequences), Dropout(0.2), LSTM(50), Dropout(0.2), Dense(1); 60
  steps of one feature.
* BiLSTM tagger: Embedding(5000, 64, mask_zero), Dropout(0.1), Bidirectional(LSTM(64,
  return_sequences, recurrent_dropout=0.1)), TimeDistributed(Dense(17, softmax)); sentences of 5 to
  50 words, padded to 50.
* Encoder-decoder with attention: LSTM(64) over 60 steps of one feature, its last output repeated 24
  times for another that starts from its states, both with dropout and recurrent dropout 0.2;
  Attention of the second over the first; TimeDistributed(Dense(1)) of both.
* Names: the census model of the package ethnicolr 0.8.1 as its wheel has it, a file of Keras 2.5:
  Embedding(968, 32), LSTM(128, dropout=0.2, recurrent_dropout=0.2), Dense(4, softmax); 20 pairs of
  letters of the 1,000 most frequent surnames. The eager loop is what the package does.

{jobs}
## Cold start

Model A, 1 input, {draws} samples: from the start of a process to its result, with all imports and
the model file; the best of {cold_rounds} processes. TensorFlow without XLA, which is quicker once.

{cold}
{caption}

## Every layer

{points}
{caption}
"""

BLOCK = """\
Layers: (batch, steps, features, units), one thread, tier `{tier}`, dropout and recurrent dropout
0.5 with a mask for each gate, against the best of PyTorch, ONNX Runtime and OpenVINO *without*
dropout, for they have none inside their recurrent kernels. Jobs: `load(file).mc_predict(x, 100)`,
two threads, against the fastest Keras, on TensorFlow, JAX or PyTorch, inputs tiled in one compiled
call or called 100 times; model A is an Embedding, an LSTM of 100 units with dropout and a Dense
layer over 498 steps. The second of each is the one of all {layers} layers, and of all {jobs} jobs,
where fastdrop does worst. On two threads the worst layer is at {worst} times the best.

{summary}
GFLOP/s of these layers and of wider ones:

```
{plot}```

{caption} All figures, and what is faster: `docs/recurrent.md`.
"""


def _json(module: str, *arguments: str, quick: bool) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    command += ["--quick"] if quick else []
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _layers(quick: bool) -> Results:
    """Each number of threads in one process for all engines, and one for each backend of Keras."""
    processes = []
    for threads in map(str, THREADS):
        for keras in ([], *(["--keras", backend] for backend in LIBRARIES)):
            processes.append(_json("recurrent", "--threads", threads, *keras, quick=quick))
    return Results(processes)


def write(directory: Path, quick: bool) -> tuple[Results, str]:
    """Measure, write the page, and return the figures and the README's block."""
    results = _layers(quick)
    steps = steps_tables.Results(_json("steps", quick=quick))
    jobs = montecarlo_tables.run(results.tiers, quick)
    (directory / NAME).write_text(page(results, steps, jobs), "utf-8")
    return results, block(results, jobs)


def page(results: Results, steps: steps_tables.Results, jobs: montecarlo_tables.Jobs) -> str:
    """Return docs/recurrent.md."""
    said = caption(results.about, "one and two threads")
    target_rows = [
        *recurrent_tables.targets(results),
        *steps_tables.targets(steps),
        *montecarlo_tables.targets(jobs),
    ]
    overviews = [
        f"### {name}, {word}\n\n{recurrent_tables.overview(results, cell, threads)}\n{said}\n"
        for cell, name in recurrent_tables.CELLS.items()
        for threads, word in THREADS.items()
    ]
    return PAGE.format(
        rounds=results.about["rounds"],
        narrow=WORTH_THREADS,
        caption=said,
        targets=markdown(["", "wanted", "reached", ""], target_rows),
        against=recurrent_tables.against_best(results),
        against_bfloat16=recurrent_tables.against_best(results, BFLOAT16),
        losses="".join(recurrent_tables.losses(results)) or "Nothing that was measured.\n",
        costs=recurrent_tables.costs(results),
        steps=steps_tables.layers(steps),
        small=steps_tables.masks(steps),
        steps_rounds=steps.about["rounds"],
        steps_caption=caption(steps.about, "one thread"),
        peaks=recurrent_tables.peaks(results),
        overviews="\n".join(overviews),
        draws=DRAWS,
        checked=CHECKED,
        agrees=AGREES,
        cold_rounds=montecarlo_tables.COLD_ROUNDS,
        jobs=montecarlo_tables.pages(jobs, said),
        cold=montecarlo_tables.cold_table(jobs),
        points=recurrent_tables.points(results),
    )


def block(results: Results, jobs: montecarlo_tables.Jobs) -> str:
    """Return the README's part."""
    beside_keras = montecarlo_tables.beside_keras(jobs)
    return BLOCK.format(
        tier=results.tiers[0],
        layers=len(results.shapes) * len(recurrent_tables.CELLS),
        jobs=len(beside_keras),
        worst=recurrent_tables.worst_layer(results, 2),
        summary=recurrent_tables.summary(results, beside_keras),
        plot=recurrent_tables.plot(results),
        caption=caption(results.about, "one and two threads"),
    )

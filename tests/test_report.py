"""The tables and targets of the benchmarks' report, from figures made by hand."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))
pytest.importorskip("benchmarks", reason="the benchmarks are not here")

from benchmarks import (
    montecarlo_tables,
    recurrent_peers,
    recurrent_report,
    recurrent_tables,
    steps,
    steps_tables,
    tables,
)
from benchmarks.montecarlo import EAGER, LOOP, MODELS, SAMPLES, TILED
from benchmarks.peers import LIMIT, NUMPY, NUMPY_NEW
from benchmarks.recurrent import fastest
from benchmarks.recurrent_peers import BFLOAT16, OFF, OPENVINO, ORT, PER_GATE, SHARED, TORCH, Shape
from benchmarks.recurrent_tables import Way

OURS, JAX, TF = "**fastdrop, avx512**", "Keras on JAX", "Keras on TensorFlow"
ONE, MANY, WIDE = Shape(1, 498, 64, 100), Shape(32, 498, 64, 100), Shape(64, 50, 512, 512)
ABOUT: dict[str, Any] = {
    "cpu": "a CPU",
    "system": "a system",
    "date": "2026-11-26",
    "tiers": ["avx512", "avx2", "portable", "numpy"],
    "versions": {"fastdrop": "1"},
    "rounds": 15,
}


def figure(
    engine: str, dropout: str, shape: Shape, seconds: float | None, **more: Any
) -> dict[str, Any]:
    common = {"precision": "float32", "cell": "lstm", "threads": 1, "steps": None, "missing": None}
    own = {"engine": engine, "dropout": dropout, "shape": list(shape), "seconds": seconds}
    return common | own | more


def process(figures: Iterable[dict[str, Any]], **more: Any) -> Any:
    return ABOUT | {"sgemm": None, "fma": {}, "inner": {}, "figures": list(figures)} | more


def results(*figures: dict[str, Any]) -> recurrent_tables.Results:
    return recurrent_tables.Results([process(figures)])


def body(table: str) -> dict[str, list[str]]:
    """The rows of a table by their first cells."""
    rows = [line[2:-2].split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in rows[2:]}


def verdicts(rows: Iterable[list[str]]) -> dict[str, list[str]]:
    return {name: rest for name, *rest in rows}


def both(dropout: str, shape: Shape, float32: float, bfloat16: float) -> list[dict[str, Any]]:
    """Seconds of fastdrop."""
    return [
        figure(OURS, dropout, shape, float32),
        figure(OURS, dropout, shape, bfloat16, precision=BFLOAT16),
    ]


NO_BFLOAT16 = {"precision": BFLOAT16, "missing": "not on this CPU"}
MADE = [
    *both(OFF, MANY, 1.0, 0.5),
    *both(PER_GATE, MANY, 1.25, 0.625),
    *both(SHARED, MANY, 0.5, 0.25),
    figure(TORCH, OFF, MANY, 3.0),
    figure(TORCH, OFF, MANY, 0.75, precision=BFLOAT16),
    figure(ORT, OFF, MANY, 1.5),
    figure(OPENVINO, OFF, MANY, 2.0),
    figure(OPENVINO, OFF, MANY, None, **NO_BFLOAT16),
    figure(JAX, PER_GATE, MANY, 5.0),
    figure(TF, PER_GATE, MANY, 4.0),
]


# ---- engines ----


@pytest.mark.parametrize(
    ("precision", "error", "right"),
    [
        ("float32", 0.9e-4, True),
        ("float32", 1.1e-4, False),
        (BFLOAT16, 0.9 * 2**-6, True),
        (BFLOAT16, 1.1 * 2**-6, False),
    ],
)
def test_outputs_are_checked_to_the_bound_of_the_precision(
    precision: str, error: float, right: bool
) -> None:
    task = recurrent_peers.Task("gru", Shape(2, 3, 4, 5), 1)
    y = task.expected + np.float32(error)
    row = recurrent_peers.Row(TORCH, OFF, lambda: [y], precision=precision, read=lambda ys: ys[0])
    if right:
        recurrent_peers.check(row, task)
    else:
        with pytest.raises(AssertionError, match="wrong result"):
            recurrent_peers.check(row, task)


def test_fastdrop_runs_in_both_precisions() -> None:
    task = recurrent_peers.Task("lstm", Shape(2, 3, 4, 5), 2)
    rows = list(recurrent_peers.fastdrop(task))
    for row in rows:
        recurrent_peers.check(row, task)
    strongest = recurrent_tables.fastdrop_label(recurrent_peers.STRONGEST)
    found = {(row.engine, row.dropout) for row in rows if row.precision == BFLOAT16}
    assert found == {(strongest, dropout) for dropout in (OFF, PER_GATE, SHARED)}


@pytest.mark.parametrize("dropout", [OFF, PER_GATE])
def test_a_step_is_checked_like_a_sequence(dropout: str) -> None:
    task = recurrent_peers.Task("lstm", Shape(3, 1, 4, 5), 1)
    recurrent_peers.check(recurrent_peers.stepping(task, dropout), task)


def test_what_is_not_installed_has_a_row_for_each_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recurrent_peers.Library, "installed", lambda _: False)
    task = recurrent_peers.Task("lstm", ONE, 1)
    found = [(row.engine, row.precision, row.missing) for row in recurrent_peers.rows(task)]
    assert found == [
        (TORCH, "float32", "not installed"),
        (TORCH, "bfloat16", "not installed"),
        (ORT, "float32", "not installed"),
        (OPENVINO, "float32", "not installed"),
        (OPENVINO, "bfloat16", "not installed"),
    ]


def test_ways_that_do_not_work_are_left_out() -> None:
    def broken() -> None:
        raise RuntimeError

    def right() -> int:
        return 7

    assert recurrent_peers._fastest([broken, right]) is right
    assert recurrent_peers._fastest([broken]) is None


# ---- layers ----


def test_the_fastest_of_several_passes_counts() -> None:
    given = [figure(OURS, OFF, ONE, 3.0), figure(ORT, OFF, ONE, None), figure(OURS, OFF, MANY, 1.0)]
    given += [figure(OURS, OFF, ONE, 2.0), figure(ORT, OFF, ONE, 5.0), figure(OURS, OFF, MANY, 4.0)]
    given += [figure(OURS, OFF, ONE, 2.5), figure(OURS, PER_GATE, ONE, 7.0)]
    found = fastest(given)
    assert [(f["engine"], f["dropout"], f["seconds"]) for f in found] == [
        (OURS, OFF, 2.0),
        (ORT, OFF, 5.0),
        (OURS, OFF, 1.0),
        (OURS, PER_GATE, 7.0),
    ]


def test_against_the_best() -> None:
    found = results(*MADE)
    row = body(recurrent_tables.against_best(found))[f"LSTM {MANY}"]
    assert row == [ORT, "1.5", "1.2", "-", "3", "-", "-", "-", "-", "-"]
    table = recurrent_tables.against_best(found, BFLOAT16)
    row = body(table)[f"LSTM {MANY}"]
    # The best other; off, per_gate and shared; per_gate beside its own float32; the same for two.
    assert row == [TORCH, "1.5", "1.2", "3", "2", *["-"] * 5]
    assert table.endswith("\nOpenVINO, bfloat16, not on this CPU.\n")


def test_what_is_missing_is_said_wherever_it_would_stand() -> None:
    found = results(*MADE)
    name = "OpenVINO, bfloat16, not on this CPU"
    assert body(recurrent_tables.overview(found, "lstm", 1))[name] == [OFF, "-"]
    assert set(body(recurrent_tables.point(found, "lstm", MANY))[name][1:]) == {"-"}


def test_precisions_have_rows_of_their_own() -> None:
    """32 rows of 498 steps of 2 * 4 * 100 * 164 operations: 2.09 GFLOP."""
    table = recurrent_tables.overview(results(*MADE), "lstm", 1)
    lines = [line for line in table.splitlines() if f"| {PER_GATE} |" in line]
    assert lines[:2] == [
        f"| {OURS} | {PER_GATE} | 1.67 |",
        f"| {OURS}, bfloat16 | {PER_GATE} | 3.35 |",
    ]


def test_a_share_of_the_peak_is_of_float32_alone() -> None:
    more = {"fma": {"avx512": 4.0}, "sgemm": 2.0}
    found = recurrent_tables.Results([process(MADE, **more)])
    table = recurrent_tables.point(found, "lstm", MANY)
    lines = [line.split(" | ") for line in table.splitlines() if f"| {SHARED} |" in line]
    assert [line[4:6] for line in lines] == [["418 %", "-"], ["209 %", "105 %"]]


def test_faster_ones_are_compared_in_the_same_precision() -> None:
    slow = figure(TORCH, OFF, MANY, 0.4, precision=BFLOAT16)
    fast = [figure(ORT, OFF, ONE, 0.5), figure(OURS, OFF, ONE, 1.0)]
    assert list(recurrent_tables.losses(results(*MADE))) == []
    assert list(recurrent_tables.losses(results(*MADE, slow, *fast))) == [
        f"* LSTM {MANY}, dropout off, one thread: PyTorch, bfloat16 by 1.25 times\n",
        f"* LSTM {ONE}, dropout off, one thread: ONNX Runtime by 2 times\n",
    ]


def test_every_target_is_about_layers_that_are_measured() -> None:
    for target in recurrent_tables.TARGETS:
        for group in target.wanted:
            assert any(map(recurrent_tables.LAYERS[group], recurrent_peers.SHAPES)), group


def test_targets_that_are_not_measured_stay() -> None:
    rows = list(recurrent_tables.targets(results(figure(OURS, OFF, ONE, 1.0))))
    assert {row[-1] for row in rows} == {"not measured"}
    # Of LSTM and GRU, with one thread and two, but for the gain by threads; and the inner kernels.
    assert len(rows) == 2 * (2 * (4 + 1 + 3 + 2 + 1 + 2) + 1) + 2


def test_targets_are_of_the_worst_layer() -> None:
    other = Shape(256, 100, 64, 100)
    worse = [*both(PER_GATE, other, 1.0, 0.8), figure(OURS, OFF, other, 0.99)]
    worse += [figure(ORT, OFF, other, 1.1), figure(OURS, SHARED, other, 0.6)]
    worse += [figure(OURS, PER_GATE, other, 0.5, threads=2)]
    found = verdicts(recurrent_tables.targets(results(*MADE, *worse)))
    many, one = "LSTM, 32 rows or more, H = 100, one thread", "one thread"
    assert found[f"{many}: per_gate, times the best without dropout; worst {other}"] == [
        "1.2",
        "1.1",
        "**missed** by 8 %",
    ]
    bfloat16 = "per_gate, bfloat16, times the best bfloat16 without dropout"
    assert found[f"{many}: {bfloat16}; worst {MANY}"] == ["1.15", "1.2", "reached"]
    own = f"LSTM, H = 100, {one}: per_gate, bfloat16, times its own float32; worst {other}"
    assert found[own] == ["1.5", "1.25", "**missed** by 17 %"]
    name = f"LSTM, 32 rows or more, H ≥ 32, {one}: time of per_gate over that of off; worst {MANY}"
    assert found[name] == ["≤ 1.03", "1.25", "**missed** by 21 %"]
    assert found[f"{many}: shared times as fast as per_row; worst {other}"][:2] == ["1.6", "1.67"]
    name = f"LSTM, 32 rows or more, two threads: per_gate, times one thread; worst {other}"
    assert found[name] == ["1.85", "2", "reached"]


def test_one_row_of_32_units_is_compared_with_onnxruntime_alone() -> None:
    shape = Shape(1, 100, 32, 32)
    made = [figure(OURS, PER_GATE, shape, 1.0), figure(ORT, OFF, shape, 1.3)]
    made += [figure(TORCH, OFF, shape, 0.1)]
    found = verdicts(recurrent_tables.targets(results(*made)))
    name = "LSTM, one row, H = 32, one thread: per_gate, times ONNX Runtime without dropout"
    assert found[f"{name}; worst {shape}"] == ["1.3", "1.3", "reached"]


# ---- the README ----


def layers_of(times: dict[tuple[str, Shape], float]) -> recurrent_tables.Results:
    """Layers where fastdrop is so many times as fast as the best without dropout."""
    made = []
    for (cell, shape), value in times.items():
        made += [figure(OURS, PER_GATE, shape, 1.0, cell=cell)]
        made += [figure(ORT, OFF, shape, value, cell=cell)]
    return results(*made)


def test_the_readme_shows_where_fastdrop_does_worst() -> None:
    times = {("lstm", ONE): 0.5, ("lstm", MANY): 1.1, ("lstm", WIDE): 1.2}
    times |= {("gru", ONE): 1.3, ("gru", MANY): 0.9, ("gru", WIDE): 1.4}
    three = [("lstm", ONE), ("lstm", MANY), ("lstm", WIDE)]
    assert recurrent_tables.shown(layers_of(times)) == [*three, ("gru", MANY)]
    jobs = [montecarlo_tables.BesideKeras(name, 0.5, t) for name, t in (("a", 3), ("b", 2))]
    table = body(recurrent_tables.summary(layers_of(times), [*jobs, jobs[0]]))
    assert list(table) == [f"layer: LSTM {ONE}", f"layer: GRU {MANY}", "job: a", "job: b"]
    assert [row[1:] for row in table.values()] == [
        ["0.5", "-"],
        ["0.9", "-"],
        ["-", "3"],
        ["-", "2"],
    ]


def test_the_readmes_table() -> None:
    job = montecarlo_tables.BesideKeras("a", 0.0125, 2.5)
    assert body(recurrent_tables.summary(results(*MADE), [job])) == {
        # What it does itself, then beside the best without dropout, and with it.
        f"layer: LSTM {MANY}": ["1.67 GFLOP/s", "1.2", "3.2"],
        "job: a": ["12.5 ms", "-", "2.5"],
    }


def test_the_readmes_plot() -> None:
    names = ["  fastdrop with dropout     ", "  ONNX Runtime without      "]
    names += ["  Keras on TensorFlow with  "]
    bars = [(40, "1.67"), (33, "1.39"), (12, "0.523")]
    expected = [f"{name}{'█' * n} {text}" for name, (n, text) in zip(names, bars, strict=True)]
    assert recurrent_tables.plot(results(*MADE)).splitlines() == [f"LSTM {MANY}", *expected]


def test_the_readmes_line_about_masks() -> None:
    label = tables.fastdrop_label("avx512")
    seconds = {label: 2.0, NUMPY: 3.0, NUMPY_NEW: 2.6, "PyTorch": 5.0, "JAX, rbg": 8.0}
    figures = [
        {"operation": "dropout", "label": name, "size": 64, "rate": 0.1, "threads": 1}
        | {"seconds": value}
        for name, value in seconds.items()
    ]
    said = tables.times(tables.Results(ABOUT | {"figures": figures}), 64)
    assert said == "1.3 (NumPy), 2.5 (PyTorch), - (TensorFlow), 4 (JAX)"


def test_bars() -> None:
    lines = [("a title that is long", None), ("a", 4.0), ("bcd", 1.0), ("e", 0.001)]
    drawn = tables.bars(lines, width=4)
    assert drawn == "a title that is long\na    ████ 4\nbcd  █ 1\ne    █ 0.001\n"
    assert tables.bars([]) == "\n"


def job(engine: str, model: str, method: str, inputs: int, seconds: float, **more: Any) -> Any:
    own = {"engine": engine, "model": model, "method": method, "inputs": inputs}
    return {"threads": 2, "calls": None, "peak": 1, "seconds": seconds} | own | more


def test_jobs_are_compared_with_the_fastest_keras() -> None:
    made = [
        job(OURS, "A", SAMPLES, 1, 0.01),
        job(JAX, "A", TILED, 1, 0.05),
        job(TF, "A", LOOP, 1, 0.04),
        job(OURS, "A", SAMPLES, 32, 0.1),
        job(TF, "A", TILED, 32, 0.2),
        job(TF, "A", LOOP, 32, 0.3),
        job(OURS, "cnn", SAMPLES, 1, 1.0, threads=1),
        job(OURS, "names", SAMPLES, 1000, 2.0),
        job(JAX, "names", TILED, 1000, 7.0),
        job(TF, "names", EAGER, 1000, 6.0),
    ]
    jobs = montecarlo_tables.Jobs(OURS, made, {}, {"B": "no file"})
    # Of what no Keras ran, or only on one thread, there is nothing to say.
    assert montecarlo_tables.beside_keras(jobs) == [
        (f"{MODELS['A'].name}, 1 input", 0.01, pytest.approx(4)),
        (f"{MODELS['A'].name}, 32 inputs", 0.1, pytest.approx(2)),
        (f"{MODELS['names'].name}, 1,000 inputs", 2.0, pytest.approx(3)),
    ]


def test_models_have_at_most_two_numbers_of_inputs() -> None:
    assert {kind.inputs for kind in MODELS.values()} == {(1, 32), (1000,)}


# ---- steps and small calls ----


def small() -> steps_tables.Results:
    one, many, short = (
        Shape(*shape) for shape in ((1, 1, 64, 100), (100, 1, 64, 100), (1, 20, 16, 16))
    )
    stepper = recurrent_peers.STEPPER
    layers = [
        figure(stepper, OFF, one, 4e-6),
        figure(stepper, PER_GATE, one, 5e-6),
        figure(OURS, OFF, one, 20e-6),
        figure(OURS, PER_GATE, one, 40e-6),
        figure(ORT, OFF, one, 8e-6),
        figure(stepper, OFF, many, 80e-6),
        figure(stepper, PER_GATE, many, 84e-6),
        figure(ORT, OFF, many, 100e-6),
        figure(OURS, OFF, short, 25e-6),
        figure(ORT, OFF, short, None, missing="not installed"),
    ]
    masks = [
        {"operation": operation, "label": label, "size": 64, "rate": 0.1, "threads": 1}
        | {"seconds": seconds}
        for operation, label, seconds in (
            ("dropout", OURS, 2e-6),
            ("dropout", NUMPY, 3e-6),
            ("dropout", NUMPY_NEW, 2.6e-6),
            ("dropout", LIMIT, 1e-6),
            ("bool", OURS, 2e-6),
            ("bool", NUMPY, 2e-6),
        )
    ]
    return steps_tables.Results(process(layers, masks=masks))


def test_small_calls_are_of_the_strongest_tier_and_numpy() -> None:
    ours = recurrent_tables.fastdrop_label(recurrent_peers.STRONGEST)
    found = [[(row.operation, row.label) for row in rows] for _, rows in steps.masks()]
    assert found == [
        [(operation, label) for label in (ours, NUMPY, NUMPY_NEW)]
        for operation in ("dropout", "bool")
    ]
    for _, rows in steps.layers():
        assert {row.engine for row in rows} <= {ours, recurrent_peers.STEPPER, ORT}
        assert [row.engine for row in rows].count(ORT) == 1


def test_steps_and_sequences_in_microseconds() -> None:
    assert body(steps_tables.layers(small())) == {
        "a step by `fd.Stepper`, LSTM (1, 1, 64, 100)": ["4", "5", "8", "2", "1.6"],
        "a step by `fd.Stepper`, LSTM (100, 1, 64, 100)": ["80", "84", "100", "1.25", "1.19"],
        "`fd.rnn`, LSTM (1, 1, 64, 100)": ["20", "40", "8", "0.4", "0.2"],
        "`fd.rnn`, LSTM (1, 20, 16, 16)": ["25", "-", "-", "-", "-"],
    }


def test_masks_of_few_elements_beside_the_faster_idiom() -> None:
    assert body(steps_tables.masks(small())) == {
        "`fd.dropout`, rate 0.1, 64 elements": ["2", "2.6", "1.3"],
        "`fd.bernoulli`, rate 0.1, 64 elements": ["2", "2", "1"],
    }


def test_targets_of_small_calls() -> None:
    assert list(verdicts(steps_tables.targets(small())).items()) == [
        ("a step of LSTM (1, 1, 64, 100), off: µs", ["≤ 4", "4", "reached"]),
        ("a step of LSTM (1, 1, 64, 100), off: times ONNX Runtime", ["2", "2", "reached"]),
        ("a step of LSTM (1, 1, 64, 100), per_gate: µs", ["≤ 4", "5", "**missed** by 25 %"]),
        (
            "a step of LSTM (1, 1, 64, 100), per_gate: times ONNX Runtime",
            ["2", "1.6", "**missed** by 20 %"],
        ),
        (
            "a step of LSTM (100, 1, 64, 100), per_gate: of ONNX Runtime's time without dropout",
            ["≤ 0.85", "0.84", "reached"],
        ),
        (
            "`fd.dropout` of 64 elements, rate 0.1: times NumPy idiom",
            ["1.3", "1.3", "reached"],
        ),
        (
            "`fd.bernoulli` of 64 elements, rate 0.1: times NumPy idiom",
            ["1.1", "1", "**missed** by 9 %"],
        ),
    ]


# ---- the page ----


def test_the_page_and_the_readmes_part_have_all_there_is() -> None:
    found = results(*MADE)
    jobs = montecarlo_tables.Jobs(OURS, [job(OURS, "A", SAMPLES, 1, 0.01)], {}, {})
    page = recurrent_report.page(found, small(), jobs)
    titles = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert titles[:6] == [
        "Against the targets",
        "Against the best engine without dropout",
        "Against the best bfloat16 engine without dropout",
        "Faster than fastdrop",
        "What dropout costs",
        "Steps and small calls",
    ]
    for rows in (recurrent_tables.targets(found), steps_tables.targets(small())):
        assert all(f"| {' | '.join(row)} |\n" in page for row in rows)
    block = recurrent_report.block(found, jobs)
    # It says where its figures are from, and links to nothing: see tests/test_metadata.py.
    for said in ("a CPU, a system; one and two threads", "`avx512`", "docs/recurrent.md"):
        assert said in block
    assert "](" not in block
    assert block.count("| --- |") == 1


def test_ways_have_names_that_say_the_precision() -> None:
    assert Way(TORCH, OFF).name == TORCH
    assert Way(TORCH, OFF, BFLOAT16).name == "PyTorch, bfloat16"

"""All recurrent layers against Keras's and PyTorch's outputs under the same dropout masks."""

import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from references.make_recurrent import FILE
from references.stored import Arrays, Result, load
from tolerances import FLOAT32, FLOAT64, assert_close

# Also where it does not pay, as it does not in most of these small cases.
pytestmark = pytest.mark.usefixtures("sharing_always")

STORED = list(load(FILE))
PACK = {"lstm": fd.pack_lstm, "gru": fd.pack_gru, "simple_rnn": fd.pack_simple_rnn}
RUN = {"lstm": fd.lstm, "gru": fd.gru, "simple_rnn": fd.simple_rnn}


def flat(nested: Any) -> Iterator[np.ndarray]:
    if isinstance(nested, np.ndarray):
        yield nested
    else:
        for part in nested:
            yield from flat(part)


def weights_of(arrays: Arrays, place: str) -> list[Any]:
    return [arrays.get(f"{name}.{place}") for name in ("kernel", "recurrent_kernel", "bias")]


def arguments(options: dict[str, Any], arrays: Arrays) -> tuple[Any, dict[str, Any]]:
    """Return the layers and the keywords of `rnn`."""
    layers: list[Any] = []
    states: list[Any] = []
    for level, directions in enumerate(options["layers"]):
        packed, state = [], []
        for d, entry in enumerate(directions):
            choices = {name: value for name, value in entry.items() if name != "cell"}
            weights = weights_of(arrays, f"{level}.{d}")
            packed.append(PACK[entry["cell"]](*weights, **choices))
            names = [f"initial.{level}.{d}.{part}" for part in "hc"]
            parts = tuple(arrays[name] for name in names if name in arrays)
            state.append(parts if entry["cell"] == "lstm" else parts[0] if parts else ())
        layers.append(packed[0] if len(packed) == 1 else tuple(packed))
        states.append(state[0] if len(state) == 1 else tuple(state))
    call = dict(options["call"])
    if "rng" in call:
        call["rng"] = fd.Key.from_words(*call["rng"])
    if isinstance(call.get("zoneout"), list):  # JSON has no tuples
        call["zoneout"] = tuple(call["zoneout"])
    call |= {name: value for name, value in arrays.items() if "." not in name and name != "x"}
    stack = options["form"] == "stack"
    if any(name.startswith("initial") for name in arrays):
        call["initial_state"] = states if stack else states[0]
    return layers if stack else layers[0], call


def replay(options: dict[str, Any], arrays: Arrays, **more: Any) -> list[np.ndarray]:
    layers, call = arguments(options, arrays)
    return list(flat(fd.rnn(arrays["x"], layers, **call | more, return_state=True)))


def bound(outputs: Arrays) -> float:
    return FLOAT64 if outputs["y"].dtype == np.float64 else FLOAT32


def check(case: Result, allowance: int = 1) -> None:
    _, options, arrays, outputs = case
    for got, expected in zip(replay(options, arrays), outputs.values(), strict=True):
        assert_close(got, expected, allowance * bound(outputs))


@pytest.mark.parametrize("case", STORED, ids=[case[0] for case in STORED])
def test_stored_outputs(backend: str, case: Result) -> None:
    check(case)


def test_a_layers_own_function_is_rnn(backend: str) -> None:
    tried = 0
    for _, options, arrays, _ in STORED:
        if options["form"] != "layer":
            continue
        _, call = arguments(options, arrays)
        choices = dict(options["layers"][0][0])
        function = RUN[choices.pop("cell")]
        weights = weights_of(arrays, "0.0")
        got = list(flat(function(arrays["x"], *weights, **choices, **call, return_state=True)))
        expected = replay(options, arrays)
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))
        tried += 1
    assert tried > 150


def test_step_by_step(backend: str) -> None:
    """`step` over a sequence is the sequence: same outputs, same state."""
    tried: Counter[str] = Counter()
    for case, options, arrays, outputs in STORED:
        layers, call = arguments(options, arrays)
        timed = {"mask", "lengths", "go_backwards", "zero_output_for_mask"} & call.keys()
        if timed or any(len(directions) > 1 for directions in options["layers"]):
            continue
        state = call.pop("initial_state", None)
        sequences, first = call.pop("return_sequences"), call.pop("first_step", 0)
        ys = []
        for t in range(arrays["x"].shape[1]):
            y, state = fd.step(arrays["x"][:, t], layers, state, first_step=first + t, **call)
            ys.append(y)
        got = [np.stack(ys, axis=1) if sequences else y, *flat(state)]
        for value, expected in zip(got, outputs.values(), strict=True):
            assert_close(value, expected, bound(outputs))
        tried[case.split("-")[1]] += 1
    assert min(tried.values()) > 20


# ---- the tests above can fail ----


def differs(options: dict[str, Any], arrays: Arrays, outputs: Arrays, **more: Any) -> bool:
    """Whether anything put out differs by more than rounding."""
    for got, expected in zip(replay(options, arrays, **more), outputs.values(), strict=True):
        try:
            assert_close(got, expected, 1e-3)
        except AssertionError:
            return True
    return False


def test_the_order_of_gates_matters() -> None:
    """Under the mask of another gate a case must fail."""
    tried: Counter[str] = Counter()
    for _, options, arrays, outputs in STORED:
        for name in ("input_mask", "recurrent_mask"):
            mask = arrays.get(name)
            # Of too few rows and units, masks may be equal.
            if mask is None or mask.ndim == 2 or mask.size < 30 or arrays["x"].shape[1] < 3:
                continue
            for shift in range(1, mask.shape[1]):
                assert differs(options, arrays | {name: np.roll(mask, shift, axis=1)}, outputs)
            tried[options["layers"][0][0]["cell"]] += 1
    assert min(tried["lstm"], tried["gru"]) > 10


WRONG: dict[str, dict[str, Any]] = {
    "dropout": {"site": 1},
    "recurrent_dropout": {"site": 2},
    "candidate_dropout": {"sample": 4},
    "zoneout": {"first_step": 3},
    "weight_dropout": {"site": 8},
    "between_dropout": {"first_step": 1},
}


@pytest.mark.parametrize("rate", WRONG)
def test_streams_and_elements_matter(rate: str) -> None:
    """With masks drawn somewhere else, or not at all, a case must fail."""
    tried = noticed = 0
    for _, options, arrays, outputs in STORED:
        call = options["call"]
        if not call.get(rate) or outputs["y"].size < 12:
            continue
        for more in (WRONG[rate], {rate: 0}, {"rng": 0}):
            if rate == "zoneout" and len(options["layers"]) > 1 and "first_step" in more:
                continue
            tried += 1
            noticed += differs(options, arrays, outputs, **more)
    assert tried >= 12
    assert noticed > 0.9 * tried  # a few masks drop nothing that matters


def test_schemes_and_rows_matter() -> None:
    tried: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    for _, options, arrays, outputs in STORED:
        call = options["call"]
        if "rng" not in call or len(arrays["x"]) < 2 or outputs["y"].size < 12:
            continue
        gates = {entry["cell"] for layer in options["layers"] for entry in layer}
        wrong: dict[str, Any] = {}
        if call.keys() & {"dropout", "recurrent_dropout"} and "simple_rnn" not in gates:
            scheme = "per_gate" if call.get("scheme") == "tied" else "tied"
            wrong["scheme"] = scheme
        if call.keys() - {"weight_dropout", "rng", "return_sequences"}:
            if call.get("scope") == "shared":
                wrong["scope"] = "per_row"
            elif call.keys() & {"dropout", "recurrent_dropout", "between_dropout", "zoneout"}:
                wrong["row_offset"] = call.get("row_offset", 0) + 1
        for name, value in wrong.items():
            tried[name] += 1
            noticed[name] += differs(options, arrays, outputs, **{name: value})
    assert min(tried.values()) > 15
    for name, count in tried.items():
        assert noticed[name] > 0.9 * count, name


# ---- with the libraries themselves ----


@functools.cache
def engine_outputs(keras_backend: str, folder: Path) -> list[Result]:
    """Run all cases in a process of their own: Keras has one engine a process."""
    file = folder / f"{keras_backend}.npz"
    environment = os.environ | {"KERAS_BACKEND": keras_backend}
    subprocess.run(
        [sys.executable, "-m", "references.make_recurrent", str(file)],
        check=True,
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
    )
    return list(load(file))


@pytest.mark.live
@pytest.mark.parametrize(
    "keras_backend", ["tensorflow", "torch", pytest.param("jax", marks=pytest.mark.long)]
)
def test_live_outputs(
    backend: str, keras_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("keras", "torch", keras_backend):
        pytest.importorskip(name)
    results = engine_outputs(keras_backend, tmp_path_factory.getbasetemp())
    assert len(results) == len(STORED)
    for case in results:
        # JAX's tanh is an approximation that takes up most of the bound where outputs are small.
        check(case, 2 if keras_backend == "jax" else 1)

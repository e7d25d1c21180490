"""Layers that take a step at a time, against the whole sequence in one call of `rnn`."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import _backend
from fastdrop.recurrent import _plan
from test_recurrent import CELLS, GATES, problem, weights_of

cells = pytest.mark.parametrize("cell", CELLS)
DROP: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3, "rng": 5}


def all_steps(stepper: fd.Stepper, x: np.ndarray) -> np.ndarray:
    return np.stack([stepper.step(x[:, t]) for t in range(x.shape[1])], axis=1)


def options_of(cell: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {},
        DROP,
        DROP | {"scheme": "tied", "site": 3, "sample": 2, "row_offset": 70},
        DROP | {"scope": "shared"},
        {"zoneout": 0.3, "weight_dropout": 0.2, "rng": 1},
        {"dropout": 0.5, "scheme": "per_step", "rng": 2, "row_offset": 9},
        {"zoneout": 0.3, "scope": "shared", "rng": 1},
    ]
    if cell != "simple_rnn":
        found.append(DROP | {"candidate_dropout": 0.5})
    if cell == "lstm":
        found.append({"zoneout": (0.0, 0.5), "rng": fd.Key(3)})
    return found


@cells
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_the_sequence(
    cell: str, dtype: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every option; in one piece of the rows, and in several."""
    for height in (64, 2):
        monkeypatch.setattr(_plan, "_PIECE_ROWS", height)
        x, weights = problem(1, cell, 5, 4, 6, 9, dtype)
        for options in options_of(cell):
            expected, *end = fd.rnn(x, weights, return_sequences=True, return_state=True, **options)
            stepper = fd.Stepper(weights, 5, **options)
            assert np.array_equal(all_steps(stepper, x), expected)
            state = stepper.state if isinstance(stepper.state, tuple) else (stepper.state,)
            assert all(np.array_equal(*both) for both in zip(state, end, strict=True))
            stepper.reset()
            assert np.array_equal(all_steps(stepper, x), expected)


@cells
def test_in_bfloat16(cell: str, backend: str) -> None:
    x, weights = problem(2, cell, 3, 5, 40, 70)
    expected = fd.rnn(x, weights, return_sequences=True, precision="bfloat16", **DROP)
    stepper = fd.Stepper(weights, 3, precision="bfloat16", **DROP)
    assert np.array_equal(all_steps(stepper, x), expected)


@cells
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_masks_of_all_rows_are_put_into_large_weights(
    cell: str, precision: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they drop is left out from the first step on, and no bit changes."""
    x, weights = problem(5, cell, 1, 7, 50, 70)
    drop = DROP | {"recurrent_dropout": 0.6, "precision": precision}
    with monkeypatch.context() as patch:
        patch.setattr(_plan, "_SHARE_ROW_STEPS", np.inf)
        expected = [fd.rnn(x, weights, return_sequences=True, **drop)]
        expected += [all_steps(fd.Stepper(weights, 1, **drop), x)]
    stepper = fd.Stepper(weights, 1, **drop)
    (layer,) = stepper._layers
    whole = _backend.active.adds_in_turn or precision == "float32"
    assert (layer._direction.recurrent_mask is None) == whole
    for _ in range(2):
        y = all_steps(stepper, x)
        assert all(np.array_equal(y, one) for one in expected)
        stepper.reset()


@cells
def test_masks_and_states_that_are_given(cell: str, backend: str) -> None:
    x, weights = problem(3, cell, 4, 6, 5, 7)
    rng = np.random.default_rng(0)
    masks = {
        "input_mask": rng.integers(0, 3, (4, GATES[cell], 5)).astype(np.float32),
        "recurrent_mask": rng.integers(0, 3, (1, 7)).astype(np.float32),
    }
    if cell != "simple_rnn":
        masks["candidate_mask"] = rng.integers(0, 3, (4, 7)).astype(np.float32)
    parts = 2 if cell == "lstm" else 1
    given = tuple(rng.normal(size=(parts, 4, 7)).astype(np.float32))
    state = given if parts == 2 else given[0]
    expected = fd.rnn(x, weights, return_sequences=True, initial_state=state, **masks)
    stepper = fd.Stepper(weights, 4, initial_state=state, **masks)
    assert np.array_equal(all_steps(stepper, x), expected)
    stepper.reset(state)
    assert np.array_equal(all_steps(stepper, x), expected)
    # A sequence that goes on where another stopped.
    stepper.reset(state)
    all_steps(stepper, x[:, :2])
    middle = stepper.state
    other = fd.Stepper(weights, 4, initial_state=middle, **masks)
    assert np.array_equal(all_steps(other, x[:, 2:]), expected[:, 2:])
    # What was returned is a copy, and what was given is not written to.
    again = stepper.state
    for a, b in zip(np.atleast_3d(middle), np.atleast_3d(again), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(state, given if parts == 2 else given[0])


def test_stacks(backend: str) -> None:
    first, second = weights_of(1, "lstm", 6, 8), weights_of(2, "gru", 8, 5)
    x = problem(0, "lstm", 3, 5, 6, 8)[0]
    drop = DROP | {"between_dropout": 0.5, "zoneout": 0.2}
    expected, state = fd.rnn(x, [first, second], return_sequences=True, return_state=True, **drop)
    stepper = fd.Stepper([first, second], 3, **drop)
    assert np.array_equal(all_steps(stepper, x), expected)
    (h, c), last = stepper.state
    assert all(np.array_equal(a, b) for a, b in ((h, state[0][0]), (c, state[0][1])))
    assert np.array_equal(last, state[1])
    assert repr(stepper) == "<Stepper: 2 layers, 3 rows, after 5 steps>"


def test_first_step_goes_on_with_what_is_drawn(backend: str) -> None:
    x, weights = problem(4, "lstm", 2, 6, 5, 7)
    drop: dict[str, Any] = {"zoneout": 0.4, "rng": 8}
    expected = fd.rnn(x, weights, return_sequences=True, **drop)
    stepper = fd.Stepper(weights, 2, **drop)
    all_steps(stepper, x[:, :3])
    later = fd.Stepper(weights, 2, initial_state=stepper.state, first_step=3, **drop)
    assert np.array_equal(all_steps(later, x[:, 3:]), expected[:, 3:])
    later.reset(stepper.state)
    assert np.array_equal(all_steps(later, x[:, 3:]), expected[:, 3:])


def test_without_a_key_one_is_drawn_once(backend: str) -> None:
    """It serves all steps; another object has another, and a Generator is asked once."""
    x, weights = problem(5, "gru", 1, 1, 64, 3)
    generator = np.random.default_rng(0)
    results = []
    for rng in (None, None, generator, generator):
        stepper = fd.Stepper(weights, dropout=0.5, rng=rng)
        word = generator.bit_generator.state
        results.append(stepper.step(x[:, 0]))
        stepper.reset()
        assert np.array_equal(stepper.step(x[:, 0]), results[-1])
        assert generator.bit_generator.state == word
    assert len({y.tobytes() for y in results}) == 4


def test_outputs(backend: str) -> None:
    x, weights = problem(6, "lstm", 3, 4, 5, 7)
    expected = fd.rnn(x, weights, return_sequences=True)
    stepper = fd.Stepper(weights, 3)
    out = np.full((3, 7), np.nan, np.float32)
    assert stepper.step(x[:, 0], out) is out
    assert np.array_equal(out, expected[:, 0])
    wide = np.full((3, 14), 7, np.float32)
    assert stepper.step(x[:, 1], wide[:, ::2]).base is wide
    assert np.array_equal(wide[:, ::2], expected[:, 1])
    assert (wide[:, 1::2] == 7).all()
    first = stepper.step(x[:, 2])
    kept = first.copy()
    second = stepper.step(np.asfortranarray(x[:, 3]).astype(">f4"))
    assert np.array_equal(second, expected[:, 3])
    assert np.array_equal(first, kept)


def test_an_input_is_never_written_to(backend: str) -> None:
    """The result may not stand where the input does, nor in a part of it, nor the other way."""
    x, weights = problem(6, "lstm", 3, 1, 5, 5)
    memory = np.zeros((6, 5), np.float32)
    whole = np.zeros((3, 5), np.float32)
    for given, out in (
        (whole, whole),
        (whole[:], whole),
        (whole, whole[:]),
        (memory[:3], memory[1:4]),
        (memory[:3], memory[:3]),
    ):
        stepper = fd.Stepper(weights, 3)
        with pytest.raises(ValueError, match="out: expected memory that x has no part of"):
            stepper.step(given, out)
    expected = fd.rnn(x, weights)
    memory[:3] = x[:, 0]
    stepper = fd.Stepper(weights, 3)
    assert np.array_equal(stepper.step(memory[:3], memory[3:]), expected)
    assert np.array_equal(memory[:3], x[:, 0])


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing(rows: int, backend: str) -> None:
    for features, units in ((3, 0), (0, 4)):
        weights = weights_of(0, "lstm", features, units)
        stepper = fd.Stepper(weights, rows, **DROP)
        x = np.zeros((rows, features), np.float32)
        expected = fd.rnn(x[:, np.newaxis], weights, **DROP)
        got = stepper.step(x)
        assert got.shape == (rows, units)
        assert np.array_equal(got, expected)
        stepper.reset()
        assert stepper.state[0].shape == (rows, units)
        for options in options_of("lstm"):
            assert fd.Stepper(weights, rows, **options).step(x).shape == (rows, units)


def test_a_step_is_refused_before_anything_changes(backend: str) -> None:
    x, weights = problem(7, "gru", 2, 2, 5, 7)
    stepper = fd.Stepper(weights, 2)
    expected = fd.rnn(x, weights, return_sequences=True)
    assert np.array_equal(stepper.step(x[:, 0]), expected[:, 0])
    both = np.zeros(20, np.float32)
    overlapping = both[:10].reshape(2, 5), both[6:].reshape(2, 7)
    read_only = np.zeros((2, 7), np.float32)
    read_only.flags.writeable = False
    refused: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
        (ValueError, r"x: expected shape \(2, 5\)", (x[:1, 1],)),
        (ValueError, "x: expected an array of 2 dimensions", (x,)),
        (TypeError, "x: expected an array of float32", (x[:, 1].astype(np.float64),)),
        (TypeError, "x: expected an array of float32 or float64", (x[:, 1].astype(int),)),
        (ValueError, "out: expected a writable float32 array", (x[:, 1], np.zeros((2, 6), "f4"))),
        (TypeError, "out: expected a writable float32 array", (x[:, 1], np.zeros((2, 7)))),
        (ValueError, "out: expected a writable float32 array", (x[:, 1], read_only)),
        (ValueError, "out: expected memory", overlapping),
    ]
    for error, message, given in refused:
        with pytest.raises(error, match="^" + message):
            stepper.step(*given)
    with pytest.raises(ValueError, match=r"^initial_state h: expected shape"):
        stepper.reset(np.zeros((3, 7), np.float32))
    assert np.array_equal(stepper.step(x[:, 1]), expected[:, 1])


def test_steps_that_masks_can_number(backend: str) -> None:
    x, weights = problem(8, "lstm", 1, 1, 3, 4)
    last = (1 << 24) - 1
    for drop in ({"zoneout": 0.5}, {"dropout": 0.5, "scheme": "per_step"}):
        stepper = fd.Stepper(weights, first_step=last, rng=0, **drop)
        expected = fd.rnn(x, weights, first_step=last, rng=0, **drop)
        assert np.array_equal(stepper.step(x[:, 0]), expected)
        before = stepper.state
        with pytest.raises(ValueError, match=r"^step: expected at most 16777216 steps"):
            stepper.step(x[:, 0])
        assert all(np.array_equal(*both) for both in zip(before, stepper.state, strict=True))
    many = fd.Stepper(weights, first_step=1 << 40, **DROP)
    assert many.step(x[:, 0]).shape == (1, 4)


def test_refusals() -> None:
    weights = weights_of(0, "lstm", 3, 5)
    refused: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (ValueError, "layers: expected layers in one direction", ((weights, weights),), {}),
        (TypeError, "layers: expected PackedWeights", ("lstm",), {}),
        (ValueError, "rows: expected an integer >= 0, got -1", (weights, -1), {}),
        (TypeError, "rows: expected an integer >= 0", (weights, 1.0), {}),
        (ValueError, "dropout: expected a number in", (weights,), {"dropout": 1.0}),
        (ValueError, "initial_state: expected None or", (weights,), {"initial_state": 1}),
        (ValueError, "first_step: expected", (weights,), {"first_step": 1 << 24, "zoneout": 0.1}),
        (ValueError, "input_mask: expected shape", (weights,), {"input_mask": np.ones((2, 3))}),
    ]
    for error, message, given, options in refused:
        with pytest.raises(error, match="^" + message):
            fd.Stepper(*given, **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'embedding'"):
        fd.Stepper(weights, embedding=np.ones((2, 3)))  # type: ignore[call-arg]


def test_masks_are_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step draws, or asks for weights in another form."""
    calls: list[str] = []

    class Spy(_backend.Numpy):
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("_"):
                calls.append(name)
            return super().__getattribute__(name)

    monkeypatch.setattr(_backend, "active", Spy())
    x, weights = problem(9, "lstm", 70, 3, 4, 5)
    stepper = fd.Stepper(weights, 70, **DROP)
    assert calls.count("masks") == 4
    assert calls.count("hold") == 2
    calls.clear()
    all_steps(stepper, x)
    assert {*calls} <= {"rnn", "project", "activate", "softmax"}


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stepper_is_not_copied(how: Callable[[Any], Any]) -> None:
    stepper = fd.Stepper(fd.pack_lstm(np.ones((3, 20)), np.ones((5, 20))))
    with pytest.raises(TypeError, match=r"neither copied nor pickled: .* initial_state="):
        how(stepper)

"""`fastdrop-model/1`: which masks a model draws, against the contract in plain Python."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import contract
import fastdrop as fd
from fastdrop import layers
from fastdrop.layers import Dense, Dropout

WORDS = (1, 2, 5 << 40)
KEY = fd.Key.from_words(*WORDS)
DOCUMENT = Path(__file__).parents[1] / "docs" / "contracts.md"


def samples_of(model: fd.Model, x: Any, **options: Any) -> Any:
    options = {"samples": 3, "rng": KEY, "keep_samples": True} | options
    p = model.mc_predict(x, **options)
    return [q.samples for q in p] if isinstance(p, list) else p.samples


def drop(name: str, rate: float = 0.5) -> Dropout:
    return Dropout(name=name, rate=rate)


def test_known_answers_of_the_document(backend: str) -> None:
    """The table in the document, and the same by the contract in plain Python."""
    if not DOCUMENT.exists():
        pytest.skip("the document is not here: the tests run away from the checkout")
    rows = re.findall(
        r"^\| (\d) \| (\d) \| `([0-9a-f]{6})` \| `([0-9a-f]{6})` \|$", DOCUMENT.read_text(), re.M
    )
    assert len(rows) == 4
    key = fd.Key.from_words(1, 2)
    both = [fd.Call(drop("a"), "input"), fd.Call(drop("b", 0), "a"), fd.Call(drop("c"), "input")]
    # The second call must be needed by some output, or it does not run and is not counted.
    model = fd.Model(both, (24,), outputs=["a", "b", "c"])
    draws = samples_of(model, np.ones((2, 24)), rng=key, samples=2, row_offset=3)
    for sample, row, *words in rows:
        for output, call, word in ((0, 0, words[0]), (2, 2, words[1])):
            events = contract.dropped((1, 2, 0), call, int(sample), 24 * int(row), 24, 0.5)
            number = sum(1 << int(j) for j in np.flatnonzero(events))
            assert f"{number:06x}" == word
            found = draws[output][int(sample), int(row) - 3] == 0
            assert np.array_equal(found, events)


def test_calls_that_cannot_draw_are_not_counted(backend: str) -> None:
    eye = np.eye(7, dtype=np.float32)
    plain = fd.Model([drop("a"), drop("b")], (7,))
    more = fd.Model(
        [
            Dense(name="d", kernel=eye),
            drop("a"),
            Dense(name="e", kernel=eye),
            layers.Activation(name="f", activation="linear"),
            drop("b"),
        ],
        (7,),
    )
    x = np.random.default_rng(0).normal(size=(5, 7)).astype("f4")
    assert np.array_equal(samples_of(plain, x), samples_of(more, x))


def test_rates_do_not_change_the_numbers(backend: str) -> None:
    """A call that drops nothing is counted: the next one draws what it would have drawn."""
    for rate in (0.0, 0.3):
        calls = [fd.Call(drop("a", rate), "input"), fd.Call(drop("b"), "input")]
        model = fd.Model(calls, (50,), outputs=["a", "b"])
        second = samples_of(model, np.ones((2, 50)))[1]
        for m in range(3):
            expected = contract.dropped(WORDS, 1, m, 0, 100, 0.5)
            assert np.array_equal((second[m] == 0).reshape(-1), expected)


def test_a_layer_called_twice_draws_twice(backend: str) -> None:
    shared = drop("a")
    calls = [fd.Call(shared, "input"), fd.Call(shared, "input", "again")]
    model = fd.Model(calls, (60,), outputs=["a", "again"])
    found = samples_of(model, np.ones((1, 60)), samples=1)
    for number, draws in enumerate(found):
        assert np.array_equal(draws[0, 0] == 0, contract.dropped(WORDS, number, 0, 0, 60, 0.5))


def test_the_first_call_whose_inputs_are_there_runs_first(backend: str) -> None:
    """Listed last, needed first: it draws after what is listed before it and could run."""
    calls = [
        fd.Call(drop("late"), "early"),
        fd.Call(drop("other"), "input"),
        fd.Call(drop("early", 0.25), "input"),
    ]
    model = fd.Model(calls, (40,), outputs=["late", "other", "early"])
    late, other, early = (draws[0, 0] for draws in samples_of(model, np.ones((1, 40)), samples=1))
    assert np.array_equal(other == 0, contract.dropped(WORDS, 0, 0, 0, 40, 0.5))
    assert np.array_equal(early == 0, contract.dropped(WORDS, 1, 0, 0, 40, 0.25))
    by_late = contract.dropped(WORDS, 2, 0, 0, 40, 0.5)
    assert np.array_equal(late == 0, by_late | (early == 0))


def test_a_sample_goes_on_where_another_call_stopped(backend: str) -> None:
    model = fd.Model([drop("a"), drop("b")], (9,))
    x = np.ones((4, 9))
    whole = samples_of(model, x, samples=7)
    parts = [samples_of(model, x, samples=4), samples_of(model, x, samples=3, first_sample=4)]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_rows_at_every_time_step(backend: str, scope: str) -> None:
    """A layer at every time step sees the row n * T + t; shared, row 0 stands for all n."""
    model = fd.Model([layers.TimeDistributed(name="t", layer=drop("a"))], (4, 6))
    draws = samples_of(model, np.ones((3, 4, 6)), row_offset=2, scope=scope, samples=2)
    for m in range(2):
        for n in range(3):
            row = 0 if scope == "shared" else n + 2
            expected = contract.dropped(WORDS, 0, m, row * 4 * 6, 24, 0.5)
            assert np.array_equal((draws[m, n] == 0).reshape(-1), expected)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
def test_recurrent_layers_at_every_time_step(backend: str, scope: str) -> None:
    rng = np.random.default_rng(0)
    kernel, recurrent = (rng.normal(size=s).astype("f4") for s in ((3, 8), (2, 8)))
    lstm = layers.LSTM(
        name="l", kernel=kernel, recurrent_kernel=recurrent, dropout=0.3, recurrent_dropout=0.4
    )
    model = fd.Model([layers.TimeDistributed(name="t", layer=lstm)], (4, 5, 3))
    x = rng.normal(size=(2, 4, 5, 3)).astype("f4")
    draws = samples_of(model, x, samples=2, row_offset=3, scope=scope)
    for m in range(2):
        for n in range(2):
            expected = fd.lstm(
                x[n],
                kernel,
                recurrent,
                dropout=0.3,
                recurrent_dropout=0.4,
                rng=KEY.fold_in(0),
                sample=m,
                row_offset=0 if scope == "shared" else (n + 3) * 4,
            )
            assert np.array_equal(draws[m, n], expected)


@pytest.mark.parametrize("scope", ["per_row", "shared"])
@pytest.mark.parametrize("backwards", [False, True])
def test_input_masks_of_every_step(backend: str, scope: str, backwards: bool) -> None:
    """The elements are (n * 2**24 + t) * W + j, t counting the steps in the order taken."""
    rng = np.random.default_rng(0)
    kernel, recurrent = (rng.normal(size=s).astype("f4") for s in ((3, 8), (2, 8)))
    options = {"kernel": kernel, "recurrent_kernel": recurrent, "go_backwards": backwards}
    lstm = layers.LSTM(name="l", dropout=0.5, scheme="per_step", **options)
    x = rng.normal(size=(3, 5, 3)).astype("f4")
    draws = samples_of(fd.Model([lstm], (5, 3)), x, samples=2, row_offset=4, scope=scope)
    plain = fd.Model([layers.LSTM(name="l", **options)], (5, 3))
    for m in range(2):
        masked = x.copy()
        for n in range(3):
            for t in range(5):
                row = 0 if scope == "shared" else n + 4
                events = contract.dropped(WORDS, 0, m, (row * 2**24 + t) * 3, 3, 0.5)
                step = 4 - t if backwards else t
                masked[n, step] = np.where(events, 0, 2 * x[n, step])
        assert np.array_equal(draws[m], plain.predict(masked))

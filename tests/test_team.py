"""One row of a recurrent layer on several threads: the bits of one thread, whoever comes when."""

import itertools
import os
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _backend, _threads
from fastdrop.layers import LSTM, Dense
from fastdrop.recurrent import _plan, _run
from test_recurrent import ALL, DROP, problem, same, weights_of

NATIVE = [tier for tier in BACKENDS if tier != "numpy"]
tiers = pytest.mark.parametrize("tier", NATIVE)
DIVIDED = ("lstm", "gru", "simple_rnn")


@pytest.fixture
def teams_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)
    monkeypatch.setattr(_plan, "_PART_UNITS", 1)
    for name, value in (("_SHARE_ROW_STEPS", 1), ("_SHARE_WIDTH", 64), ("_SHARE_KEPT", 1)):
        monkeypatch.setattr(_plan, name, value)


class Spy:
    """A backend that says how many parts its teams have, all of which come at the same time."""

    plain_rnn = None  # of small calls, which no team has

    def __init__(self, backend: _backend.Backend) -> None:
        self._backend = backend
        self.parts: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def team(self, call: _backend.RnnCall, threads: int) -> Any:
        team = self._backend.team(call, threads)
        self.parts.append(1 if team is None else team.parts)
        return None if team is None else Punctual(team)


class Punctual:
    def __init__(self, team: _backend.Team) -> None:
        self.team, self.parts, self.end = team, team.parts, team.end
        self.come = threading.Barrier(team.parts, timeout=60)

    def work(self, part: int) -> None:
        self.come.wait()
        self.team.work(part)


@pytest.fixture
def spy(request: pytest.FixtureRequest, teams_always: None, monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy(BACKENDS[request.param])
    monkeypatch.setattr(_backend, "active", spy)
    return spy


spied = pytest.mark.parametrize("spy", NATIVE, indirect=True)


@spied
@pytest.mark.parametrize("cell", DIVIDED)
@pytest.mark.parametrize("units", [1, 16, 17, 40, 150])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_threads_change_no_bit_of_a_row(spy: Spy, cell: str, units: int, dtype: str) -> None:
    given = "float32" if dtype == "bfloat16" else dtype
    x, weights = problem(3, cell, 1, 70, 19, units, given)
    options = {**ALL, "precision": "bfloat16"} if dtype == "bfloat16" else ALL
    panel = 16 if given == "float32" else 8
    for drops in ({}, DROP, {**DROP, "scheme": "tied"}, {**DROP, "candidate_dropout": 0.3}):
        if cell == "simple_rnn" and "candidate_dropout" in drops:
            continue
        one = fd.rnn(x, weights, **options, **drops, threads=1)
        for threads in (2, 3, 8):
            spy.parts.clear()
            assert same(fd.rnn(x, weights, **options, **drops, threads=threads), one)
            parts = min(threads, units, -(-units // panel))
            assert spy.parts == ([] if min(threads, units) == 1 else [parts])


@spied
@pytest.mark.parametrize("cell", DIVIDED)
def test_with_all_that_a_call_may_have(spy: Spy, cell: str) -> None:
    """Steps passed over, states, times backwards, sequences in parts, tokens, both directions."""
    rng = np.random.default_rng(0)
    x, weights = problem(5, cell, 1, 40, 24, 48)
    table = rng.normal(size=(9, 24)).astype(np.float32)
    tokens = rng.integers(0, 9, (1, 40))
    mask = rng.random((1, 40)) < 0.6
    mask[0, 0] = mask[0, -1] = False
    state = [rng.normal(size=(1, 48)).astype(np.float32) for _ in range(1 + (cell == "lstm"))]
    embedding = {"embedding": table, "embedding_mask": np.float32(2) * (rng.random((1, 24)) < 0.5)}
    for backwards, masked, zeros, stated, looked_up in itertools.product((False, True), repeat=5):
        options = {**ALL, **DROP, "go_backwards": backwards, "zero_output_for_mask": zeros}
        options |= {"mask": mask} if masked else {}
        options |= {"initial_state": state if len(state) > 1 else state[0]} if stated else {}
        options |= embedding if looked_up else {}
        given = tokens if looked_up else x
        one = fd.rnn(given, weights, **options, threads=1)
        assert same(fd.rnn(given, weights, **options, threads=3), one)
    both = fd.rnn(x, (weights, weights), **ALL, **DROP, threads=1)
    spy.parts.clear()
    assert same(fd.rnn(x, (weights, weights), **ALL, **DROP, threads=6), both)
    assert spy.parts == [3, 3]


@spied
@pytest.mark.parametrize(("first", "seconds", "teams"), [(1, 0, 100), (37, 1e9, 2)])
def test_windows_of_time_are_teams_of_their_own(
    spy: Spy, first: int, seconds: float, teams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, weights = problem(6, "lstm", 1, 100, 8, 32)
    one = fd.rnn(x, weights, **ALL, **DROP, threads=1)
    monkeypatch.setattr(_threads, "PIECE_FLOPS", first * _plan.flops_of(weights))
    monkeypatch.setattr(_run, "_CALL_SECONDS", seconds)
    assert same(fd.rnn(x, weights, **ALL, **DROP, threads=2), one)
    assert spy.parts == [2] * teams


@spied
def test_what_is_not_divided(spy: Spy) -> None:
    """A reset gate that needs all units, activations of a whole row, zoneout, and several rows."""
    layers = [weights_of(0, "gru_reset_first", 8, 40)]
    layers += [weights_of(0, "lstm", 8, 40, activation="softmax")]
    layers += [weights_of(0, "lstm", 8, 40, recurrent_activation="log_softmax")]
    x = np.random.default_rng(0).normal(size=(1, 30, 8)).astype(np.float32)
    for weights in layers:
        one = fd.rnn(x, weights, **ALL, **DROP, threads=1)
        assert same(fd.rnn(x, weights, **ALL, **DROP, threads=2), one)
    weights = weights_of(0, "lstm", 8, 40)
    for zoneout in ((0.3, 0.0), (0.0, 0.3)):
        one = fd.rnn(x, weights, zoneout=zoneout, rng=0, threads=1)
        assert same(fd.rnn(x, weights, zoneout=zoneout, rng=0, threads=2), one)
    assert spy.parts == [1] * 5
    fd.rnn(np.repeat(x, 4, axis=0), weights, threads=4)
    assert spy.parts == [1] * 5


def call_of(weights: fd.PackedWeights, x: np.ndarray) -> _backend.RnnCall:
    h, c = (np.ones((1, weights.units), np.float32) for _ in range(2))
    y = np.zeros((1, x.shape[1], weights.units), np.float32)
    form = weights.form(np.dtype(np.float32), False)
    return _backend.RnnCall(
        packed=form, y_last=np.zeros_like(h), h=h, c=c, y=y, x=x, last=x.shape[1]
    )


def outcome(call: _backend.RnnCall) -> list[Any]:
    return [call.y_last, call.h, call.c, call.y]


@tiers
@pytest.mark.parametrize("order", [(0,), (2,), (1, 0, 2)])
def test_who_does_not_come_is_not_waited_for(
    tier: str, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backend, "active", BACKENDS[tier])
    x, weights = problem(7, "lstm", 1, 100, 8, 64)
    alone, divided = (call_of(weights, x) for _ in range(2))
    _backend.active.rnn(alone)
    team = _backend.active.team(divided, 3)
    assert team is not None
    for part in order:  # the first of them takes all parts of all steps
        team.work(part)
    team.end()
    assert same(outcome(divided), outcome(alone))


@tiers
def test_who_comes_at_any_time(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "active", BACKENDS[tier])
    x, weights = problem(8, "lstm", 1, 300, 8, 96)
    alone = call_of(weights, x)
    _backend.active.rnn(alone)
    for n in range(40):
        divided = call_of(weights, x)
        team = _backend.active.team(divided, 4)
        assert team is not None

        def late(part: int, seconds: float, work: Any = team.work) -> None:
            time.sleep(seconds)
            work(part)

        others = [threading.Thread(target=late, args=(k, n * k * 2e-5)) for k in range(1, 4)]
        for thread in others:
            thread.start()
        team.work(0)
        for thread in others:
            thread.join()
        team.end()
        assert same(outcome(divided), outcome(alone))


@pytest.mark.skipif(sys.platform != "linux", reason="needs the affinity of threads")
@spied
def test_threads_that_share_one_cpu(spy: Spy) -> None:
    """Where waiting takes most of the time, all but one of them go."""
    x, weights = problem(10, "gru", 1, 2_000, 8, 96)
    one = fd.rnn(x, weights, **ALL, threads=1)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        for threads in (2, 6):
            assert same(fd.rnn(x, weights, **ALL, threads=threads), one)
    finally:
        os.sched_setaffinity(0, cpus)
    assert {2, 6} <= set(spy.parts)


def test_numpy_has_no_teams(teams_always: None) -> None:
    x, weights = problem(0, "lstm", 1, 4, 3, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backend, "active", BACKENDS["numpy"])
        assert BACKENDS["numpy"].team(call_of(weights, x), 4) is None
        assert same(fd.rnn(x, weights, threads=4), fd.rnn(x, weights, threads=1))


@spied
def test_an_error_of_one_is_raised_when_all_have_returned(
    spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, working = threading.get_ident(), 0

    def work(self: Punctual, part: int) -> None:
        nonlocal working
        working += 1
        try:
            self.come.wait()
            if threading.get_ident() != main:
                raise MemoryError("no scratch")
            self.team.work(part)
        finally:
            working -= 1

    monkeypatch.setattr(Punctual, "work", work)
    x, weights = problem(9, "lstm", 1, 200, 8, 64)
    with pytest.raises(MemoryError, match="no scratch"):
        fd.rnn(x, weights, threads=2)
    assert working == 0
    assert spy.parts == [2]


# ---- which calls have a team ----


@pytest.mark.skipif(not NATIVE, reason="needs the C extension")
def test_as_many_threads_as_have_enough_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(BACKENDS[NATIVE[0]])
    monkeypatch.setattr(_backend, "active", spy)
    monkeypatch.setattr(_run, "_CALL_SECONDS", 1e9)  # windows of time, however slow it is here
    light = {"precision": "bfloat16", **DROP}  # half of a number for each weight, and half of them
    for units, steps, threads, expected, *options in (
        (256, 100, 2, {2}),
        (256, 100, 2, {2}, DROP),
        (256, 100, 2, {2}, {"precision": "bfloat16"}),
        (256, 100, 2, set(), light),
        (256, 180, 2, {2}, light),
        (256, 30, 2, set()),  # too little arithmetic
        (100, 2000, 2, set()),  # too few units
        (256, 1000, 8, {4}),  # of each window of time
        (512, 60, 8, {4}),
        (512, 60, 3, {3}),
        (512, 60, 1, set()),
    ):
        spy.parts.clear()
        x, weights = problem(0, "lstm", 1, steps, 256, units)
        fd.rnn(x, weights, threads=threads, **(options[0] if options else {}))
        assert set(spy.parts) == expected, (units, steps, threads, options)


def model_of(units: int) -> fd.Model:
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(0, 0.1, s).astype(np.float32) for s in ((8, 4 * units), (units, 4 * units))
    ]
    lstm = LSTM(
        name="lstm",
        kernel=arrays[0],
        recurrent_kernel=arrays[1],
        bias=np.zeros(4 * units, np.float32),
        dropout=0.5,
    )
    dense = Dense(name="dense", kernel=rng.normal(size=(units, 2)).astype(np.float32))
    return fd.Model([lstm, dense], (60, 8))


@spied
def test_a_model_lends_what_it_has_nothing_else_for(spy: Spy) -> None:
    model = model_of(96)
    x = np.random.default_rng(1).normal(size=(5, 60, 8)).astype(np.float32)
    for rows, threads, expected in (
        (1, 1, []),
        (1, 2, [2]),
        (1, 4, [4]),
        (2, 2, []),
        (2, 5, [2, 2]),
        (5, 3, []),
    ):
        one = model.predict(x[:rows], threads=1)
        spy.parts.clear()
        assert same(model.predict(x[:rows], threads=threads), one)
        assert spy.parts == expected, (rows, threads)
        assert _threads.lent() == 1
    spy.parts.clear()
    model.mc_predict(x[:1], 4, rng=0, threads=4)  # which has samples for them
    assert spy.parts == []


def test_what_was_lent_is_given_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(8)

    def fail(self: LSTM, *args: Any, **options: Any) -> None:
        assert _threads.lent() == 3
        raise FloatingPointError

    monkeypatch.setattr(LSTM, "_take_steps", fail, raising=True)
    with pytest.raises(FloatingPointError):
        model.predict(np.zeros((1, 60, 8), np.float32), threads=3)
    assert _threads.lent() == 1

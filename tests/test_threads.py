"""Work on threads when something goes wrong: errors, interrupts, threads that cannot start."""

import _thread
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

import fastdrop as fd
from fastdrop import _threads

SOON = 30  # seconds that anything here may take at most


def wait(event: threading.Event) -> None:
    assert event.wait(SOON)


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What would run on threads of their own, which do not start."""
    runs: list[Callable[[], None]] = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda function, _: runs.append(function))
    monkeypatch.setattr(_threads, "keep_apart", None)
    return runs


# ---- for_each ----


def test_for_each_works_where_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(*_: Any) -> None:
        tried.append(1)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    done: list[int] = []
    _threads.for_each(done.append, range(10), 4)
    assert done == list(range(10))
    assert len(tried) == 1  # and it is not tried again
    assert fd.bernoulli(0.5, 10**5, rng=0, threads=4).any()


@pytest.mark.parametrize(
    ("threads", "items", "others"), [(1, 9, 0), (4, 9, 3), (4, 2, 1), (4, 1, 0), (4, 0, 0)]
)
@pytest.mark.parametrize("function", [_threads.for_each, _threads.ordered_map])
def test_no_more_threads_than_items(
    function: Callable[..., Any],
    threads: int,
    items: int,
    others: int,
    started: list[Callable[[], None]],
) -> None:
    """And this thread is one of them."""
    done: list[int] = []
    list(function(done.append, iter(range(items)), threads) or ())
    assert done == list(range(items))
    assert len(started) == others


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_begins_too_late_does_nothing(
    fails: bool, started: list[Callable[[], None]]
) -> None:
    """Also where items were left over: the caller may use its arrays again."""
    done: list[int] = []

    def work(n: int) -> None:
        done.append(n)
        if fails:
            raise MemoryError("here")

    if fails:
        with pytest.raises(MemoryError, match="here"):
            _threads.for_each(work, range(10), 3)
    else:
        _threads.for_each(work, range(10), 3)
    expected = [0] if fails else list(range(10))
    assert done == expected
    assert len(started) == 2
    for function in started:
        function()
    assert done == expected


@pytest.mark.skipif(_threads.keep_apart is None, reason="this is for the extension on Linux")
def test_a_thread_is_kept_apart() -> None:
    """It gets the CPUs that this thread has, but for one; all of them if there is only that one."""
    assert _threads.keep_apart is not None
    begun, free, number = threading.Event(), threading.Event(), []

    def sleep() -> None:
        number.append(threading.get_native_id())
        begun.set()
        wait(free)

    cpus = os.sched_getaffinity(0)
    thread = _thread.start_new_thread(sleep, ())
    try:
        wait(begun)
        _threads.keep_apart(thread)
        left = os.sched_getaffinity(number[0])
        assert left <= cpus
        assert len(left) == max(1, len(cpus) - 1)
        os.sched_setaffinity(0, left)
        _threads.keep_apart(thread)
        assert len(os.sched_getaffinity(number[0])) == max(1, len(left) - 1)
    finally:
        os.sched_setaffinity(0, cpus)
        free.set()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are placed on Linux alone")
@pytest.mark.parametrize("function", [_threads.for_each, _threads.ordered_map])
def test_each_thread_is_kept_apart_before_it_works(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, both = threading.get_ident(), threading.Barrier(2)
    placed: list[int] = []
    seen: list[list[int]] = []

    def work(_: int) -> None:
        both.wait(SOON)
        if threading.get_ident() != here:
            seen.append([*placed, threading.get_ident()])

    monkeypatch.setattr(_threads, "keep_apart", placed.append)
    list(function(work, range(2), 2) or ())
    assert seen == [[placed[0]] * 2]


def test_what_starts_no_thread_is_not_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As gevent's own function, which returns the address of something else."""
    start, placed = _thread.start_new_thread, []
    monkeypatch.setattr(_thread, "start_new_thread", lambda *given: start(*given))
    monkeypatch.setattr(_threads, "keep_apart", placed.append)
    done: list[int] = []
    _threads.for_each(done.append, range(10), 3)
    assert sorted(done) == list(range(10))
    assert not placed


@pytest.mark.skipif(sys.platform != "linux", reason="threads are placed on Linux alone")
def test_helpers_may_run_where_this_thread_may() -> None:
    """They are kept apart only until they have begun."""
    here, both = threading.get_ident(), threading.Barrier(2)
    allowed: dict[int, object] = {}

    def work(_: int) -> None:
        both.wait(SOON)
        allowed[threading.get_ident()] = os.sched_getaffinity(0)

    for _ in range(10):
        _threads.for_each(work, range(2), 2)
    assert len(allowed) > 1
    assert set(map(frozenset, allowed.values())) == {frozenset(allowed[here])}


class Waiting(_threads._Once):
    """An event for which waiting is interrupted, and then interrupted again."""

    interrupts: ClassVar[list[BaseException]] = []

    def wait(self) -> None:
        if self.interrupts:
            raise self.interrupts.pop(0)
        super().wait()


@pytest.mark.parametrize("helper_fails", [False, True])
def test_ctrl_c_while_waiting_for_helpers(
    helper_fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised, but only after the helper has ended, which was asked to stop."""
    main, helping, stopped = threading.get_ident(), threading.Event(), threading.Event()
    finished, stops = [], []

    def work(n: int) -> None:
        if threading.get_ident() == main:
            wait(helping)
            return
        helping.set()
        wait(stopped)
        time.sleep(0.1)
        finished.append(n)
        if helper_fails:
            raise MemoryError("there")

    def stop() -> None:
        stops.append(threading.get_ident())
        if len(stops) == 2:
            stopped.set()

    monkeypatch.setattr(Waiting, "interrupts", [KeyboardInterrupt("1"), KeyboardInterrupt("2")])
    with monkeypatch.context() as patch:
        patch.setattr(_threads, "_Once", Waiting)
        with pytest.raises(KeyboardInterrupt, match="1"):
            _threads.for_each(work, range(2), 2, stop)
    assert len(finished) == 1
    assert stops[:2] == [main, main]
    assert len(stops) == 2 + helper_fails


@pytest.mark.parametrize("where", ["here", "there"])
def test_an_error_stops_the_others(where: str) -> None:
    """Whichever thread it comes from, `stop` is called while the others work."""
    main, both, stopped = threading.get_ident(), threading.Barrier(2), threading.Event()

    def work(n: int) -> None:
        both.wait(SOON)
        if (threading.get_ident() == main) is (where == "here"):
            raise MemoryError(where)
        wait(stopped)

    with pytest.raises(MemoryError, match=where):
        _threads.for_each(work, range(100), 2, stopped.set)


def test_an_error_here_comes_before_one_there() -> None:
    """So that an interrupt is not lost."""
    main, both = threading.get_ident(), threading.Barrier(2)

    def work(n: int) -> None:
        both.wait(SOON)
        raise KeyboardInterrupt if threading.get_ident() == main else MemoryError

    with pytest.raises(KeyboardInterrupt):
        _threads.for_each(work, range(2), 2)


# ---- ordered_map ----


def test_what_waits_is_dropped_when_interrupted() -> None:
    """Three items are under way and one waits when Ctrl-C comes: that one never starts."""
    main, began, saw = threading.get_ident(), [], []

    def work(n: int) -> None:
        began.append(n)
        if threading.get_ident() == main:
            wait_until(lambda: len(began) == 3)
            raise KeyboardInterrupt
        end = time.monotonic() + SOON
        while not _threads.abandoned() and time.monotonic() < end:
            time.sleep(0.001)
        saw.append(_threads.abandoned())

    with pytest.raises(KeyboardInterrupt):
        list(_threads.ordered_map(work, range(10), 3))
    wait_until(lambda: len(saw) == 2)
    time.sleep(0.05)
    assert sorted(began) == [0, 1, 2]
    assert saw == [True, True]


def test_ctrl_c_while_waiting_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while this thread has nothing to do itself."""
    main, helping, saw = threading.get_ident(), threading.Event(), threading.Event()

    def work(n: int) -> None:
        if threading.get_ident() == main:
            wait(helping)
            return
        helping.set()
        wait_until(_threads.abandoned)
        saw.set()

    monkeypatch.setattr(Waiting, "interrupts", [KeyboardInterrupt("1")])
    with monkeypatch.context() as patch:
        patch.setattr(_threads, "_Once", Waiting)
        with pytest.raises(KeyboardInterrupt, match="1"):
            list(_threads.ordered_map(work, range(2), 2))
    wait(saw)


def test_ctrl_c_does_not_wait_for_an_earlier_result() -> None:
    """It comes while this thread works on an item, and the one before is not done."""
    main, began, free = threading.get_ident(), threading.Event(), threading.Event()

    def work(n: int) -> bool:
        if threading.get_ident() != main:
            began.set()
            return free.wait(5)
        wait(began)
        if n:
            raise KeyboardInterrupt
        return True

    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(_threads.ordered_map(work, range(3), 2))
        assert time.monotonic() - start < 4
    finally:
        free.set()


def test_work_under_way_is_not_waited_for() -> None:
    """When the iteration ends early: what is under way may take long, and nobody wants it."""
    main, began, free = threading.get_ident(), threading.Event(), threading.Event()
    finished = threading.Event()

    def work(n: int) -> None:
        if n == 0:
            return
        if threading.get_ident() == main:
            wait(began)
            return
        began.set()
        wait(free)
        finished.set()

    results = _threads.ordered_map(work, range(3), 2)
    next(results)
    wait(began)
    results.close()
    assert not finished.is_set()
    free.set()
    wait(finished)


def test_items_are_taken_as_results_are() -> None:
    """No more than `threads` ahead of the one that is waited for."""
    taken = []

    def items() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    results = _threads.ordered_map(lambda n: -n, items(), 3)
    assert next(results) == 0
    assert len(taken) == 4
    assert next(results) == -1
    assert len(taken) == 5
    assert list(results) == [-n for n in range(2, 100)]


def test_one_thread_is_this_one() -> None:
    here = threading.get_ident()
    assert set(_threads.ordered_map(lambda _: threading.get_ident(), range(5), 1)) == {here}


def test_two_threads_are_this_one_and_another() -> None:
    both = threading.Barrier(2)

    def work(_: int) -> int:
        both.wait(SOON)
        return threading.get_ident()

    used = set(_threads.ordered_map(work, range(6), 2))
    assert len(used) == 2
    assert threading.get_ident() in used


@pytest.mark.parametrize("threads", [2, 5])
def test_no_thread_outlives_the_iteration(threads: int) -> None:
    """When the last result is there all threads end: a fork may follow."""
    before = _thread._count()

    def work(n: int) -> int:
        time.sleep(0.02 * n)
        return n

    assert list(_threads.ordered_map(work, range(4), threads)) == [0, 1, 2, 3]
    wait_until(lambda: _thread._count() <= before)


def test_workers_are_not_abandoned_while_they_are_waited_for() -> None:
    assert list(_threads.ordered_map(lambda _: _threads.abandoned(), range(6), 2)) == [False] * 6
    assert not _threads.abandoned()

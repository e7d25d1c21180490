"""Work on threads when something goes wrong: errors, interrupts, threads that cannot start."""

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

import fastdrop as fd
from fastdrop import _threads

SOON = 30  # seconds that anything here may take at most


def wait(event: threading.Event) -> None:
    assert event.wait(SOON)


def pool_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("fastdrop")]


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
    ("threads", "items", "started"), [(1, 9, 0), (4, 9, 3), (4, 2, 1), (4, 1, 0), (4, 0, 0)]
)
def test_no_more_threads_than_items(
    threads: int, items: int, started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And this thread is one of them."""
    begun = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: begun.append(1))
    done: list[int] = []
    _threads.for_each(done.append, iter(range(items)), threads)
    assert done == list(range(items))
    assert len(begun) == started


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_begins_too_late_does_nothing(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where items were left over: the caller may use its arrays again."""
    late: list[Callable[[], None]] = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda function, _: late.append(function))
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
    assert len(late) == 2
    for function in late:
        function()
    assert done == expected


class Waiting(threading.Event):
    """An event for which waiting is interrupted, and then interrupted again."""

    interrupts: list[BaseException]

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None and self.interrupts:
            raise self.interrupts.pop(0)
        return super().wait(timeout)


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

    monkeypatch.setattr(
        Waiting, "interrupts", [KeyboardInterrupt("1"), KeyboardInterrupt("2")], raising=False
    )
    with monkeypatch.context() as patch:
        patch.setattr(_threads.threading, "Event", Waiting)
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


def test_what_waits_is_dropped_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two items are under way and one waits when Ctrl-C comes: that one never starts."""
    began, saw = [threading.Event() for _ in range(10)], []

    def work(n: int) -> None:
        began[n].set()
        end = time.monotonic() + SOON
        while not _threads.abandoned() and time.monotonic() < end:
            time.sleep(0.001)
        saw.append(_threads.abandoned())

    def interrupt(*_: Any) -> None:
        wait(began[0])
        wait(began[1])
        raise KeyboardInterrupt

    others = pool_threads()
    results = _threads.ordered_map(work, range(10), 2)
    with monkeypatch.context() as patch:
        patch.setattr(Future, "result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(results)
    for thread in set(pool_threads()) - set(others):
        thread.join(SOON)
    assert [event.is_set() for event in began] == [True, True] + [False] * 8
    assert saw == [True, True]


def test_work_under_way_is_not_waited_for() -> None:
    """When the iteration ends early: what is under way may take long, and nobody wants it."""
    began, free, others = threading.Event(), threading.Event(), pool_threads()

    def work(n: int) -> None:
        if n:
            began.set()
            wait(free)

    results = _threads.ordered_map(work, range(3), 2)
    next(results)
    wait(began)
    results.close()
    still = set(pool_threads()) - set(others)
    free.set()
    assert still
    for thread in still:
        thread.join(SOON)


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
    there = set(_threads.ordered_map(lambda _: threading.get_ident(), range(5), 2))
    assert there
    assert here not in there


def test_no_thread_outlives_the_iteration() -> None:
    """When the last result is there all threads have ended: a fork may follow."""
    before = pool_threads()

    def work(n: int) -> int:
        time.sleep(0.02 * n)
        return n

    for threads in (2, 5):
        assert list(_threads.ordered_map(work, range(4), threads)) == [0, 1, 2, 3]
        assert pool_threads() == before


def test_workers_are_not_abandoned_while_they_are_waited_for() -> None:
    assert list(_threads.ordered_map(lambda _: _threads.abandoned(), range(6), 2)) == [False] * 6
    assert not _threads.abandoned()

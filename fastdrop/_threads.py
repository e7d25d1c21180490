"""How many threads there are to use, and running work on them in order."""

from __future__ import annotations

import _thread
import math
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from types import BuiltinFunctionType
from typing import Any, Generic, TypeVar, cast

from fastdrop import _check, _environment

# A call into a backend does at most about this much arithmetic, or draws this many elements: even
# on a slow machine Ctrl-C is then seen within 100 ms.
PIECE_FLOPS = 200e6
PIECE_ELEMENTS = 1 << 23

Item = TypeVar("Item")
Result = TypeVar("Result")


# Where the two versions of cgroups keep quota and period, and the controller whose path counts.
_QUOTAS = {
    "cgroup": (("cpu.cfs_quota_us", "cpu.cfs_period_us"), "cpu"),
    "cgroup2": (("cpu.max",), ""),
}
_GROUP = re.compile(r"\d+:([^:]*):(/.*)")
_MOUNT = re.compile(r"\S+ \S+ \S+ (\S+) (\S+) .*- (cgroup2?) \S* (\S+)")


def _cgroup_quota(proc: Path = Path("/proc/self")) -> int | None:
    """Return the CPUs that the quotas of this process's cgroups allow, rounded up; None without.

    A quota counts at each level, from the process's own cgroup up to what is mounted. That is the
    whole hierarchy, or the part of a container; where the process's path is told from another root
    than the mount's, only the mount's own level is looked at.
    """
    try:
        groups = (proc / "cgroup").read_text("utf-8", "surrogateescape").splitlines()
        mounts = (proc / "mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:  # not Linux, or no /proc
        return None
    own: dict[str, PurePosixPath] = {}
    for group in filter(None, map(_GROUP.fullmatch, groups)):
        own |= dict.fromkeys(group[1].split(","), PurePosixPath(group[2]))
    shares = []
    for mount in filter(None, map(_MOUNT.fullmatch, mounts)):
        files, controller = _QUOTAS[mount[3]]
        if controller not in own or controller not in ("", *mount[4].split(",")):
            continue
        root, folder = (_unescaped(text) for text in mount.group(1, 2))
        levels = [Path(folder)]
        path = own[controller]
        if path.is_relative_to(root) and ".." not in path.parts:
            for part in path.relative_to(root).parts:
                levels.append(levels[-1] / part)
        for level in levels:
            try:
                words = " ".join((level / name).read_text() for name in files).split()
                quota, period = (int(word) for word in words)
            except (OSError, ValueError):  # no such file, or no quota: "max"
                continue
            if quota > 0 and period > 0:
                shares.append(quota / period)
    return max(1, math.ceil(min(shares))) if shares else None


def _unescaped(path: str) -> str:
    """Undo what the kernel does to blanks and the like: three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), path)


def _default() -> tuple[int, str]:
    text = _environment.read("FASTDROP_NUM_THREADS")
    if text is not None:
        if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= _check.MAX_THREADS:
            _environment.refuse(
                "FASTDROP_NUM_THREADS: expected an integer in "
                f"[1, {_check.MAX_THREADS}], got {text!r}"
            )
        return int(text), "FASTDROP_NUM_THREADS"
    if sys.platform == "linux":
        limits = {"CPU affinity": len(os.sched_getaffinity(0))}
    else:
        limits = {"CPU count": os.cpu_count() or 1}
    quota = _cgroup_quota()
    if quota is not None:
        limits["cgroup quota"] = quota
    reason = min(limits, key=lambda name: limits[name])
    return limits[reason], reason


DEFAULT, DEFAULT_REASON = _default()


# Lets a thread begin on another CPU than this one is on; the extension's, where it is installed.
keep_apart: Callable[[int], object] | None = None


def _begin(run: Callable[[], None]) -> None:
    """Start a thread that runs what must not raise; RuntimeError where there is no room for one.

    It is a raw one, because starting a Thread waits for it to begin, for ever if there is no memory
    left for that.
    """
    placing = _thread.allocate_lock()
    start = _thread.start_new_thread
    cpus: set[int] = set()
    # What gevent and the like put in its place returns no thread.
    returns_thread = isinstance(start, BuiltinFunctionType)
    if sys.platform == "linux" and keep_apart is not None and returns_thread:
        cpus = os.sched_getaffinity(0)

    def begin() -> None:
        with placing:  # who is placed must not have ended
            pass
        if cpus:  # having begun there, it may go anywhere
            with suppress(OSError):
                os.sched_setaffinity(0, cpus)
        run()

    with placing:
        thread = start(begin, ())
        if cpus and keep_apart is not None:
            keep_apart(thread)


class _Once:
    """What one thread waits for, and another sets, once.

    A `threading.Event` is kept by a lock that Ctrl-C, at the wrong moment of a wait, leaves taken.
    """

    __slots__ = ("_lock", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        self.is_set = True
        self._lock.release()

    def wait(self) -> None:
        if not self.is_set:
            self._lock.acquire()


_worker = threading.local()  # of what a thread may do, while it does it


def abandoned() -> bool:
    """Whether this is a worker thread whose result nobody waits for any more."""
    ended: _Once | None = getattr(_worker, "ended", None)
    return ended is not None and ended.is_set


def lent() -> int:
    """Return how many threads a layer may use where it runs on this one."""
    threads: int = getattr(_worker, "lent", 1)
    return threads


@contextmanager
def lending(threads: int) -> Iterator[None]:
    """Lend threads to layers, where a model has nothing else for them to do."""
    before = lent()
    _worker.lent = threads
    try:
        yield
    finally:
        _worker.lent = before


class _Task(Generic[Item, Result]):
    """An item, and what became of it."""

    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.done = _Once()

    def run(self, function: Callable[[Item], Result]) -> None:
        try:
            self.result = function(self.item)
        except BaseException as error:  # for the thread that waits to raise
            self.error = error
        finally:
            self.done.set()


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Yield function(item) in the order of the items, on this thread and up to threads - 1 others.

    At most threads + 1 results exist at a time, whatever the number of items. A thread ends when it
    finds nothing to do, so nothing outlives an iteration that comes to its end, for a fork to
    inherit. When it ends early (an error, Ctrl-C) work not yet begun is dropped and work under way
    is not waited for: it sees `abandoned()`.
    """
    if threads == 1:
        yield from map(function, items)
        return
    ended = _Once()
    pending: deque[_Task[Item, Result]] = deque()
    waiting: deque[_Task[Item, Result]] = deque()
    helpers: list[None] = []  # appending and popping are atomic

    def help_out() -> None:
        _worker.ended = ended
        for task in _taken(waiting):
            task.run(function)
        helpers.pop()

    def first() -> Result:
        """Wait for the first result that is pending, and do what waits meanwhile."""
        task = pending.popleft()
        while not task.done.is_set:
            other = next(_taken(waiting), None)
            if other is None:
                task.done.wait()
                continue
            other.run(function)
            if other.error is not None and not isinstance(other.error, Exception):
                raise other.error  # Ctrl-C is for now, whatever comes first
        if task.error is not None:
            raise task.error
        return cast("Result", task.result)

    try:
        for item in items:
            task: _Task[Item, Result] = _Task(item)
            pending.append(task)
            waiting.append(task)
            if len(waiting) > 1 and len(helpers) < threads - 1:  # one is for this thread
                helpers.append(None)
                try:
                    _begin(help_out)
                except RuntimeError:  # no room for one more; this one works anyway
                    helpers.pop()
            if len(pending) > threads:
                yield first()
        while pending:
            yield first()
    finally:
        ended.set()
        waiting.clear()


def _taken(waiting: deque[Item]) -> Iterator[Item]:
    """Take what waits, one after another, until nothing does; others may take of it, too."""
    while True:
        try:
            item = waiting.popleft()
        except IndexError:
            return
        yield item


def for_each(
    function: Callable[[Item], object],
    items: Iterable[Item],
    threads: int,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Call function(item) for every item, on this thread and up to threads - 1 others.

    This thread works too, because starting one takes as long as a million elements of a mask. No
    call of the function outlives this one, also when it fails or is interrupted: they write into
    arrays of the caller, who may use them again. `stop` is called then, to end long ones.
    """
    waiting = deque(items)
    failures: list[BaseException] = []

    def work() -> None:
        for item in _taken(waiting):
            function(item)

    # Each thread is in this list before it takes an item, and who waits for those in it first
    # empties what waits: who begins after that finds nothing to do.
    begun: list[_Once] = []

    def help_out() -> None:
        ended = _Once()
        begun.append(ended)
        try:
            work()
        except BaseException as error:  # for the caller's thread to raise
            waiting.clear()
            failures.append(error)
            stop()
        finally:
            ended.set()

    interrupts: list[BaseException] = []
    try:
        for _ in range(min(threads, len(waiting)) - 1):
            try:
                _begin(help_out)
            except RuntimeError:  # no room for one more; this one works anyway
                break
        work()
    except BaseException:
        stop()
        raise
    finally:
        try:
            _wait_for_all(begun, waiting, stop, interrupts)
        finally:  # Ctrl-C may come before its first line
            _wait_for_all(begun, waiting, stop, interrupts)
    if interrupts or failures:
        raise (interrupts or failures)[0]


def _wait_for_all(
    begun: Iterable[_Once],
    waiting: deque[Any],
    stop: Callable[[], None],
    interrupts: list[BaseException],
) -> None:
    """Wait for what has begun; Ctrl-C interrupts the waiting itself, too, even twice."""
    try:
        if interrupts and not all(ended.is_set for ended in begun):
            stop()
        waiting.clear()
        for ended in begun:
            ended.wait()
    except BaseException as interrupt:
        try:
            interrupts.append(interrupt)
        finally:
            _wait_for_all(begun, waiting, stop, interrupts)

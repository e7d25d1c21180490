"""What takes a process of its own: switches, imports, memory, signals, forks."""

import _thread
import os
import platform
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdrop as fd
from conftest import BACKENDS
from fastdrop import _environment, _threads
from fastdrop.recurrent import _plan

REFERENCES = Path(__file__).with_name("references")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and fork")


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter with only these switches set.

    Dask sets some of glibc's (MALLOC_TRIM_THRESHOLD_) for its workers, in the tests' process too.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FASTDROP_", "MALLOC_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


INFO = "import fastdrop as fd; i = fd.info(); print(i.backend, i.tier, i.threads, i.reason)"


# ---- import and switches ----


def test_import_needs_numpy_alone() -> None:
    code = """
import sys
before = set(sys.modules)
import numpy
numpys = set(sys.modules)
import fastdrop
for name in fastdrop.__all__:
    getattr(fastdrop, name)
roots = {name.partition(".")[0] for name in set(sys.modules) - numpys}
# An extension made by Cython brings modules of Cython's own types, which are not files.
cython = {name for name in roots if name.startswith(("_cython", "cython_runtime"))}
print(sorted(roots - cython - set(sys.stdlib_module_names) - {"numpy"}))
import threading
print(threading.active_count())
"""
    assert run(code).stdout.split("\n")[:2] == ["['fastdrop']", "1"]


def test_what_draws_masks_is_imported_alone() -> None:
    """All else when it is first asked for: to import all takes several times as long."""
    code = """
import sys
import numpy
numpys = set(sys.modules)
import fastdrop as fd
key = fd.Key.__new__(fd.Key)
key._set(1, 2, 3, 4)
fd.dropout(numpy.ones(3), 0.5, rng=key)
fd.lstm(numpy.ones((1, 2, 3)), numpy.ones((3, 8)), numpy.ones((2, 8)))
slow = {"numpy.random", "hashlib", "concurrent.futures", "logging", "json", "zlib", "fractions"}
print(sorted(slow & (set(sys.modules) - numpys)))
print(*sorted(name for name in sys.modules if name.startswith("fastdrop.")))
"""
    slow, ours = run(code).stdout.splitlines()
    assert slow == "[]"
    late = {"calibration", "cli", "formats", "layers", "model", "scores", "sklearn", "torch"}
    late.add("uncertainty")
    assert not {f"fastdrop.{name}" for name in late} & {*ours.split()}
    assert "fastdrop.recurrent" in ours


def test_an_extra_is_named_where_it_is_missing() -> None:
    """Where PyTorch is not installed, its own tests are not run."""
    code = """
import sys
sys.modules["torch"] = None
try:
    import fastdrop.torch
except ImportError as error:
    print(error)
"""
    assert 'pip install "fastdrop-rnn[torch]"' in run(code).stdout


def test_names_that_come_late() -> None:
    code = """
import fastdrop as fd
print(sorted({*fd.__all__} - {*dir(fd)}), "Model" in vars(fd))
print(fd.Model.__module__.split(".")[:2], fd.Model is fd.Model, "Model" in vars(fd))
print(fd.scores.__name__, fd.layers.LSTM.__name__)
try:
    fd.nonsense
except AttributeError as error:
    print(error)
from fastdrop import *
print(sorted({*fd.__all__} - {*globals()}))
"""
    lines = run(code).stdout.splitlines()
    assert lines[:2] == ["[] False", "['fastdrop', 'model'] True True"]
    assert lines[2:] == [
        "fastdrop.scores LSTM",
        "module 'fastdrop' has no attribute 'nonsense'",
        "[]",
    ]


@pytest.mark.parametrize("tier", BACKENDS)
def test_switches(tier: str) -> None:
    if tier == "numpy":
        result = run(INFO, FASTDROP_BACKEND="numpy")
        assert result.stdout.split()[:2] == ["numpy", "numpy"]
        assert "FASTDROP_BACKEND=numpy" in result.stdout
    else:
        result = run(INFO, FASTDROP_BACKEND="native", FASTDROP_ISA=tier)
        assert result.stdout.split()[:2] == ["native", tier]
        assert f"FASTDROP_ISA={tier}" in result.stdout


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"FASTDROP_BACKEND": "fast"}, ["FASTDROP_BACKEND: expected", "'numpy'", "got 'fast'"]),
        ({"FASTDROP_ISA": "sse9"}, ["FASTDROP_ISA"]),
        ({"FASTDROP_BACKEND": "numpy", "FASTDROP_ISA": "portable"}, ["FASTDROP_ISA"]),
        ({"FASTDROP_NUM_THREADS": "0"}, ["FASTDROP_NUM_THREADS: expected an integer in [1, "]),
        ({"FASTDROP_NUM_THREADS": "two"}, ["FASTDROP_NUM_THREADS: expected an integer in [1, "]),
        ({"FASTDROP_NUM_THREADS": "-1"}, ["FASTDROP_NUM_THREADS: expected an integer in [1, "]),
        ({"FASTDROP_NUM_THREADS": "1025"}, ["FASTDROP_NUM_THREADS: expected", "got '1025'"]),
        ({"FASTDROP_NUM_THREADS": "²"}, ["FASTDROP_NUM_THREADS: expected", "got '²'"]),
        ({"FASTDROP_NUM_THREADS": "٣"}, ["FASTDROP_NUM_THREADS: expected", "got '٣'"]),
        ({"FASTDROP_NUM_THREADS": "1_0"}, ["FASTDROP_NUM_THREADS: expected", "got '1_0'"]),
        ({"FASTDROP_NUM_THREADS": " 1"}, ["FASTDROP_NUM_THREADS: expected", "got ' 1'"]),
        ({"FASTDROP_NUM_THREADS": "1\n"}, [r"FASTDROP_NUM_THREADS: expected", r"got '1\n'"]),
        ({"FASTDROP_NUM_THREADS": "9" * 5000}, ["FASTDROP_NUM_THREADS: expected", "got '999"]),
    ],
)
def test_a_switch_that_cannot_be_honoured(environ: dict[str, str], names: list[str]) -> None:
    result = run(INFO, **environ)
    assert result.returncode == 1
    last = result.stderr.strip().split("\n")[-1]
    assert last.startswith("ImportError: ")
    assert all(name in last for name in names)


def test_an_empty_switch_is_none() -> None:
    """As Compose and Kubernetes hand on what is not set."""
    names = ("FASTDROP_BACKEND", "FASTDROP_ISA", "FASTDROP_NUM_THREADS")
    result = run(INFO, **dict.fromkeys(names, ""))
    assert result.stdout == run(INFO).stdout != ""


@pytest.mark.parametrize("name", ["FASTDROP_BACKEND", "FASTDROP_ISA", "FASTDROP_NUM_THREADS"])
@pytest.mark.parametrize("way", ["module", "script"])
def test_the_command_says_in_a_line_what_is_wrong(way: str, name: str, tmp_path: Path) -> None:
    script = tmp_path / "fastdrop"
    script.write_text("import sys\nfrom fastdrop.cli import main\nsys.exit(main())\n")
    result = subprocess.run(
        [sys.executable, *(["-m", "fastdrop"] if way == "module" else [str(script)]), "info"],
        env=os.environ | {"PYTHONPATH": str(Path(fd.__file__).parents[1]), name: "x"},
        cwd=tmp_path if way == "script" else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"fastdrop: {name}: expected .*, got 'x'\n", result.stderr)


@pytest.mark.parametrize(("script", "error"), [("fastdrop.exe", SystemExit), ("fast", ImportError)])
def test_the_command_is_known_by_its_name(
    script: str,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where standard error is closed, as of a window's program, nothing is said anywhere."""
    monkeypatch.setattr(sys, "argv", [f"/scripts/{script}", "info"])
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(error) as caught:
        _environment.refuse("FASTDROP_X: expected nothing")
    assert caught.value.args == ((2,) if error is SystemExit else ("FASTDROP_X: expected nothing",))
    assert capsys.readouterr().out == ""


def test_without_the_extension() -> None:
    """NumPy takes over and says so; asking for native is an error."""
    hide = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "fastdrop._native" else find(name, *a)
"""
    result = run(hide + INFO)
    assert result.stdout.split()[:2] == ["numpy", "numpy"]
    assert "not installed" in result.stdout
    result = run(hide + INFO, FASTDROP_BACKEND="native")
    assert "FASTDROP_BACKEND: expected 'numpy' here, got 'native'" in result.stderr


def test_a_broken_extension_is_an_error() -> None:
    """Falling back in silence would hide it."""
    if len(BACKENDS) == 1:
        pytest.skip("no extension to break")
    code = """
from importlib.machinery import ExtensionFileLoader as Loader
create = Loader.create_module
def broken(self, spec):
    if spec.name == "fastdrop._native":
        raise ImportError("undefined symbol: nonsense")
    return create(self, spec)
Loader.create_module = broken
"""
    result = run(code + INFO)
    assert result.returncode == 1
    assert "undefined symbol: nonsense" in result.stderr


# ---- threads ----


THREADS = "import fastdrop as fd; i = fd.info(); print(i.threads, i.threads_reason)"


def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there, unless the user has a word for it."""
    monkeypatch.delenv("FASTDROP_NUM_THREADS", raising=False)
    linux = sys.platform == "linux"
    there = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    kind = "CPU affinity" if linux else "CPU count"
    for quota, expected in (
        (None, (there, kind)),
        (there, (there, kind)),
        (there + 1, (there, kind)),
        (1, (1, "cgroup quota" if there > 1 else kind)),
    ):
        monkeypatch.setattr(_threads, "_cgroup_quota", lambda quota=quota: quota)
        assert _threads._default() == expected
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        for count, number in ((7, 7), (None, 1)):
            patch.setattr(os, "cpu_count", lambda count=count: count)
            patch.setattr(_threads, "_cgroup_quota", lambda: None)
            assert _threads._default() == (number, "CPU count")
    for text, number in (("1", 1), ("0008", 8), (str(there + 1), there + 1), ("1024", 1024)):
        monkeypatch.setenv("FASTDROP_NUM_THREADS", text)
        assert _threads._default() == (number, "FASTDROP_NUM_THREADS")


def test_more_threads_than_cpus_are_honoured() -> None:
    code = """
import threading, time
import fastdrop as fd
from fastdrop import _environment, _threads
lock, alive, most = threading.Lock(), 0, 0
def work(n):
    global alive, most
    with lock:
        alive += 1
        most = max(most, alive)
    time.sleep(0.2)
    with lock:
        alive -= 1
_threads.for_each(work, range(40), _threads.DEFAULT)
print(most)
"""
    assert run(THREADS, FASTDROP_NUM_THREADS="20").stdout == "20 FASTDROP_NUM_THREADS\n"
    assert run(code, FASTDROP_NUM_THREADS="20").stdout == "20\n"


V2, V1 = "0::{}", "4:cpu,cpuacct:{}\n3:memory:/other\n1:name=systemd:/init.scope\n0::/"
# What a line of mountinfo has for a hierarchy whose root is mounted there.
MOUNT_2 = "31 23 0:28 {} {}/at rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
ONE_CPU = {"cpu.cfs_quota_us": "1", "cpu.cfs_period_us": "1"}
MOUNT_1 = "33 25 0:30 {} {}/at rw,nosuid - cgroup cgroup rw,cpu,cpuacct"


@pytest.mark.parametrize(
    ("group", "mount", "root", "path", "files", "expected"),
    [
        # A container with a namespace of its own, or the root.
        (V2, MOUNT_2, "/", "/", {"cpu.max": "max 100000"}, None),
        (V2, MOUNT_2, "/", "/", {"cpu.max": "150000 100000"}, 2),
        (V2, MOUNT_2, "/", "/", {"cpu.max": "200000 100000"}, 2),
        (V2, MOUNT_2, "/", "/", {"cpu.max": "200001 100000"}, 3),
        (V2, MOUNT_2, "/", "/", {"cpu.max": "1000 100000"}, 1),
        (V2, MOUNT_2, "/", "/", {"cpu.max": "nonsense"}, None),
        (V2, MOUNT_2, "/", "/", {"cpu.max": "100000 0"}, None),
        (V2, MOUNT_2, "/", "/", {}, None),
        # A quota of the process's own, or of any level above, the smallest.
        (V2, MOUNT_2, "/", "/a/b", {"a/b/cpu.max": "300000 100000"}, 3),
        (V2, MOUNT_2, "/", "/a/b", {"a/cpu.max": "300000 100000"}, 3),
        (V2, MOUNT_2, "/", "/a/b", {"cpu.max": "300000 100000"}, 3),
        (
            V2,
            MOUNT_2,
            "/",
            "/a/b",
            {"cpu.max": "max 1", "a/cpu.max": "20000 10000", "a/b/cpu.max": "30 10"},
            2,
        ),
        (V2, MOUNT_2, "/", "/a/b", {"a/cpu.max": "4 1", "a/b/cpu.max": "3 1"}, 3),
        (V2, MOUNT_2, "/", "/a b/c:d", {"a b/c:d/cpu.max": "300000 100000"}, 3),
        # A level that cannot be read.
        (V2, MOUNT_2, "/", "/a", {"cpu.max/folder": "", "a/cpu.max": "3 1"}, 3),
        # Not of one beside it, or below.
        (V2, MOUNT_2, "/", "/a", {"a/b/cpu.max": "1 1", "c/cpu.max": "1 1"}, None),
        # A container without a namespace of its own: its part is mounted, the path is the host's.
        (V2, MOUNT_2, "/pod/x", "/pod/x", {"cpu.max": "300000 100000"}, 3),
        (V2, MOUNT_2, "/pod/x", "/pod/x/y", {"y/cpu.max": "300000 100000"}, 3),
        (V2, MOUNT_2, r"/pod\040x", "/pod x/y", {"y/cpu.max": "300000 100000"}, 3),
        (V2, MOUNT_2, "/pod/x", "/pod/xy", {"cpu.max": "3 1", "y/cpu.max": "1 1"}, 3),
        # Seen from within a namespace, what lies outside.
        (V2, MOUNT_2, "/..", "/", {"cpu.max": "300000 100000"}, 3),
        (V2, MOUNT_2, "/", "/../z", {"cpu.max": "3 1", "../z/cpu.max": "1 1"}, 3),
        # Version 1, alone or beside version 2.
        (V1, MOUNT_1, "/", "/", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        (V1, MOUNT_1, "/", "/", {"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"}, 3),
        (V1, MOUNT_1, "/", "/", {"cpu.cfs_quota_us": "300000"}, None),
        (V1, MOUNT_1, "/", "/a", {"a/cpu.cfs_quota_us": "30", "a/cpu.cfs_period_us": "10"}, 3),
        (V1, MOUNT_1.replace("cpu,", ""), "/", "/", ONE_CPU, None),
        ("2:memory:{}", MOUNT_1, "/", "/", ONE_CPU, None),
        (V1, MOUNT_2, "/", "/a", {"cpu.max": "300000 100000", "a/cpu.max": "1 1"}, 3),
        # No hierarchy of the CPU's.
        (V2, "31 23 0:28 {} {}/at rw - tmpfs cgroup2 rw", "/", "/", {"cpu.max": "1 1"}, None),
        ("nonsense", "nonsense", "/", "/", {"cpu.max": "1 1"}, None),
    ],
)
def test_cgroup_quotas(
    tmp_path: Path,
    group: str,
    mount: str,
    root: str,
    path: str,
    files: dict[str, str],
    expected: int | None,
) -> None:
    here = tmp_path / "mounted here"  # a blank is written in octal
    for name, text in files.items():
        file = here / "at" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    (tmp_path / "cgroup").write_text(group.format(path) + "\n")
    lines = [
        "22 26 0:20 / /proc rw shared:13 - proc proc rw",
        mount.format(root, str(here).replace(" ", r"\040")),
    ]
    (tmp_path / "mountinfo").write_text("\n".join(lines) + "\n")
    assert _threads._cgroup_quota(tmp_path) == expected


@pytest.mark.parametrize(("first", "second"), [("3", "4"), ("4", "3"), ("3", ""), ("", "3")])
def test_quotas_of_several_hierarchies(tmp_path: Path, first: str, second: str) -> None:
    """Both versions side by side, and mounts whose names are no text: all of them count."""
    for name, file, quota in (("1", "cpu.cfs_quota_us", first), ("2", "cpu.max", second)):
        (tmp_path / name / "at").mkdir(parents=True)
        if quota:
            (tmp_path / name / "at" / file).write_text(quota + " 1" * (name == "2"))
    (tmp_path / "1" / "at" / "cpu.cfs_period_us").write_text("1")
    (tmp_path / "cgroup").write_bytes(b"4:cpu:/\n3:name=\xfc:/\xfc\n0::/\n")
    mounts = [MOUNT_1.format("/", tmp_path / "1"), MOUNT_2.format("/", tmp_path / "2")]
    odd = b"22 26 0:20 / /mnt/\xfc rw - ext4 /dev/\xfc rw\n"
    (tmp_path / "mountinfo").write_bytes(odd + "\n".join(mounts).encode() + b"\n" + odd)
    assert _threads._cgroup_quota(tmp_path) == 3


def test_without_proc(tmp_path: Path) -> None:
    assert _threads._cgroup_quota(tmp_path) is None
    (tmp_path / "cgroup").mkdir()  # nor one that may be read
    assert _threads._cgroup_quota(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_quota_of_this_process_can_be_read() -> None:
    """Whatever it is here, the files of this machine are understood."""
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    assert all(_threads._GROUP.fullmatch(line) for line in groups)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        assert bool(_threads._MOUNT.fullmatch(line)) == (" - cgroup" in line)
    assert (_threads._cgroup_quota() or 1) >= 1


def test_ordered_map_keeps_order_and_few_results() -> None:
    alive, most, lock = 0, 0, threading.Lock()

    def work(n: int) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        time.sleep(0.001 * (n % 3))
        return n

    for expected, got in enumerate(_threads.ordered_map(work, range(50), 3)):
        assert got == expected
        with lock:
            alive -= 1
    assert most <= 4 + 1


@pytest.mark.parametrize("threads", [1, 3])
def test_errors_come_out_of_threads(threads: int) -> None:
    def work(n: int) -> int:
        if n == 5:
            raise MemoryError("five")
        return n

    results = _threads.ordered_map(work, range(20), threads)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(MemoryError, match="five"):
        next(results)


@pytest.mark.parametrize("threads", [1, 2, 5, 50])
def test_for_each_does_each_once(threads: int) -> None:
    done: list[int] = []
    used = set()

    def work(n: int) -> None:
        used.add(threading.get_ident())
        time.sleep(0.001)
        done.append(n)

    _threads.for_each(work, range(40), threads)
    assert sorted(done) == list(range(40))
    assert threading.get_ident() in used or threads > 40
    assert 1 < len(used) <= min(threads, 40) or threads == 1
    _threads.for_each(work, [], threads)
    assert len(done) == 40


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("here", [False, True])
def test_for_each_raises_what_any_thread_raises(threads: int, here: bool) -> None:
    """And begins nothing more."""
    main, done = threading.get_ident(), []

    def work(n: int) -> None:
        done.append(n)
        time.sleep(0.01)
        if (threading.get_ident() == main) is (here or threads == 1):
            raise MemoryError("here" if here else "there")

    with pytest.raises(MemoryError, match="here" if here else "there"):
        _threads.for_each(work, range(200), threads)
    time.sleep(0.05)
    assert len(done) <= 2 * threads


def test_nothing_is_written_after_for_each() -> None:
    """A caller that is interrupted may use its arrays again."""
    main, began, finished = threading.get_ident(), threading.Event(), []

    def work(n: int) -> None:
        if threading.get_ident() == main:
            assert began.wait(30)
            raise KeyboardInterrupt
        began.set()
        time.sleep(0.2)
        finished.append(n)

    with pytest.raises(KeyboardInterrupt):
        _threads.for_each(work, range(100), 2)
    assert len(finished) == 1


def test_abandoned_work_stops() -> None:
    """When the caller goes away, a worker in the middle of an item sees it."""
    main, began, ended = threading.get_ident(), threading.Event(), threading.Event()

    def work(n: int) -> int:
        if n == 0:
            return 0
        if threading.get_ident() == main:
            assert began.wait(30)
            return n
        began.set()
        while not _threads.abandoned():
            time.sleep(0.001)
        ended.set()
        return n

    results = _threads.ordered_map(work, range(3), 2)
    assert next(results) == 0
    assert began.wait(30)
    results.close()
    assert ended.wait(30)
    assert not _threads.abandoned()  # this is no worker


def test_no_thread_is_left_after_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)  # threads for this little, too
    x = lstm_problem(8, 3, 4)
    before = _thread._count()  # with what an abandoned iteration left to end by itself
    for _ in range(20):
        fd.lstm(*x, threads=4)
    end = time.monotonic() + 30
    while _thread._count() > before:
        assert time.monotonic() < end
        time.sleep(0.001)


def lstm_problem(rows: int, steps: int, units: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = ((rows, steps, 8), (8, 4 * units), (units, 4 * units))
    return [rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes]


def test_one_model_from_many_threads(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread gets the right answer, while others use the same weights."""
    monkeypatch.setattr(_plan, "_THREAD_FLOPS", 1)
    x, *arrays = lstm_problem(6, 5, 8)
    weights = fd.pack_lstm(*arrays)
    layers = [weights, (weights, weights)]  # also in one call
    options: dict[str, Any] = {"dropout": 0.3, "recurrent_dropout": 0.4, "threads": 2}

    def answer(seed: int) -> np.ndarray:
        scope = "shared" if seed % 2 else "per_row"
        return fd.rnn(x, layers, **options, zoneout=0.1, rng=seed, scope=scope)

    expected = [answer(seed) for seed in range(8)]
    wrong = []

    def work(seed: int) -> None:
        for _ in range(5):
            if not np.array_equal(answer(seed), expected[seed]):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


FORK = """
import multiprocessing, numpy as np, fastdrop as fd
from fastdrop.recurrent import _plan
_plan._THREAD_FLOPS = 1  # threads for this little, too
def filled(*shape):
    return np.full(shape, 0.1, np.float32)
lstm = fd.pack_lstm(filled(3, 16), filled(4, 16))
gru = fd.pack_gru(filled(8, 15), filled(5, 15))
def work(seed):
    x = np.ones((40, 5, 3), np.float32)
    return fd.rnn(x, [(lstm, lstm), gru], dropout=0.5, zoneout=0.1, rng=seed, threads=2).tobytes()
if __name__ == "__main__":
    here = [work(seed) for seed in range(4)]
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        print(pool.map(work, range(4)) == here)
"""


@posix
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_after_threads(method: str, tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(FORK.replace("METHOD", repr(method)))
    result = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == "True\n", result.stderr


# ---- Ctrl-C ----

INTERRUPT_MASKS = """
import os, signal, threading, time
import fastdrop as fd
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
sent = []
def interrupt():
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)
timer = threading.Timer(0.3, interrupt)
timer.start()
try:
    fd.bernoulli(0.1, 10**9, rng=0)
    print("finished")
except KeyboardInterrupt:
    print(time.process_time() - sent[0])
"""


@posix
def test_ctrl_c_in_a_large_mask() -> None:
    """In time of the process, as the machine may be busy with others."""
    assert float(run(INTERRUPT_MASKS).stdout) < 0.5


INTERRUPT = """
import os, signal, sys, threading, time
import numpy as np, fastdrop as fd
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
rng = np.random.default_rng(0)
rows, steps = {size}
def some(*shape):
    return rng.normal(0, 0.1, shape).astype(np.float32)
def lstm(features):
    return fd.pack_lstm(some(features, 1024), some(256, 1024))
def gru(features):
    return fd.pack_gru(some(features, 768), some(256, 768))
x, layers = some(rows, steps, 8), {layers}
sent, delays = [], []
def now():
    return time.perf_counter(), time.process_time()
for _ in range(3):
    def interrupt():
        sent[:] = now()
        os.kill(os.getpid(), signal.SIGINT)
    timer = threading.Timer(0.3, interrupt)
    timer.start()
    try:
        fd.rnn(x, layers, threads={threads})
        print("finished")
    except KeyboardInterrupt:
        delays.append([after - before for after, before in zip(now(), sent)])
    timer.join()
    assert fd.rnn(x[:1, :3], layers).shape[0] == 1
print(*map(min, zip(*delays)))
"""


@posix
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("size", "layers"),
    [
        ((64, 12_000), "lstm(8)"),
        ((1, 400_000), "lstm(8)"),
        ((64, 12_000), "gru(8)"),
        ((1, 400_000), "gru(8)"),
        ((16, 5_000), "[(lstm(8), lstm(8)), (gru(512), gru(512))]"),
    ],
    ids=["lstm-rows", "lstm-steps", "gru-rows", "gru-steps", "stack"],
)
def test_ctrl_c(threads: int, size: tuple[int, int], layers: str) -> None:
    """It is seen within 100 ms, and the next call works.

    That is measured in the time of this process, as the machine may be busy with others, which
    then slow it down by half through what they share; by the clock the bound is loose.
    """
    result = run(INTERRUPT.format(threads=threads, size=size, layers=layers))
    assert not result.stderr
    assert "finished" not in result.stdout, "the problem is too small to be interrupted"
    by_the_clock, used = (float(delay) for delay in result.stdout.split())
    assert used < 0.15 * threads
    assert by_the_clock < 0.5


# ---- memory ----

MEMORY = """
import sys
import numpy as np, fastdrop as fd
model = fd.load(sys.argv[1])
high = int(sys.argv[4])
x = np.random.default_rng(0).integers(0, high, (32, model.input_shape[0]), dtype=np.int32)
p = model.mc_predict(x, samples=int(sys.argv[2]), rng=0, threads=int(sys.argv[3]))
p.quantile([0.05, 0.95])
with open("/proc/self/status") as status:
    print([int(line.split()[1]) / 1000 for line in status if line.startswith("VmHWM")][0])
"""


def peak(model: Path, samples: int, threads: int, high: int) -> float:
    """Peak resident memory in MB of a process that predicts 32 sequences."""
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, model, str(samples), str(threads), str(high)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_does_not_grow_with_the_samples() -> None:
    model = REFERENCES / "mc_model.keras"
    few, many = peak(model, 100, 2, 20), peak(model, 10_000, 2, 20)
    print(f"peak resident memory: {few:.1f} MB at 100 samples, {many:.1f} MB at 10,000")
    assert many < 150
    # The quantiles hold 1,024 values of 96 outputs a level, at most 4 levels: 1.6 MB.
    assert many - few < 8


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_of_long_sequences() -> None:
    """64 sequences of 20,000 steps hold 80 MB once; chunks keep copies of a few at a time."""
    code = """
import numpy as np
from fastdrop.layers import Dense, Dropout
from fastdrop.model import Model
model = Model(
    [
        Dropout(name="d", rate=0.5),
        Dense(name="wide", kernel=np.ones((16, 64), np.float32)),
        Dense(name="narrow", kernel=np.ones((64, 1), np.float32)),
    ],
    (20_000, 16),
)
x = np.zeros((64, 20_000, 16), np.float32)
def peak():
    with open("/proc/self/status") as status:
        return [int(line.split()[1]) / 1000 for line in status if line.startswith("VmHWM")][0]
x += 1
before = peak()
model.mc_predict(x, samples=2, rng=0, threads=2)
print(peak() - before)
"""
    grown = float(run(code).stdout)
    # mean, std, extremes and two values for the quantiles of 1.28 million outputs: 41 MB.
    # All 64 rows at once would take 64 * 20,000 * (16 + 64) * 4 bytes: 410 MB.
    # What is folded of 1,280,000 numbers is 42 MB of what there is.
    assert grown < 165


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_of_the_demonstration_model() -> None:
    from fastdrop.demo import model_path

    used = peak(model_path(), 4, 2, 64)
    print(f"peak resident memory: {used:.1f} MB")
    assert used < 150


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc does with freed memory")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another allocator may be there")
@pytest.mark.parametrize(
    "call", ["mc_predict(x, samples=64, rng=0, threads=1)", "predict(x, threads=1)"]
)
def test_chunks_take_the_memory_of_those_before_them(call: str) -> None:
    code = f"""
import resource
import numpy as np
from fastdrop.layers import Dense, Dropout
from fastdrop.model import Model
model = Model(
    [
        Dropout(name="d", rate=0.5),
        Dense(name="wide", kernel=np.ones((16, 128), np.float32)),
        Dense(name="as_wide", kernel=np.ones((128, 128), np.float32)),
        Dense(name="narrow", kernel=np.ones((128, 1), np.float32)),
    ],
    (50, 16),
)
x = np.ones((256, 50, 16), np.float32)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model.{call}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults(), resource.getpagesize())
"""
    count, page = map(int, run(code).stdout.split())
    # What the layers of a chunk put out, of 16 MB: all chunks together took that many times.
    assert count * page < 8e6


OUT_OF_MEMORY = """
import resource, sys
import numpy as np, fastdrop as fd
def status(name):
    with open("/proc/self/status") as lines:
        return [int(line.split()[1]) << 10 for line in lines if line.startswith(name)][0]
rng = np.random.default_rng(0)
def some(*shape):
    return rng.normal(0, 0.1, shape).astype(np.float32)
arrays = some(8, 4 * 64), some(64, 4 * 64)
x, options = some(200, 50, 8), dict({options})
others = some(128, 96), some(32, 96)
def call():
    ahead, back = fd.pack_lstm(*arrays), fd.pack_lstm(*arrays)
    return fd.rnn(x, [(ahead, back), fd.pack_gru(*others)], return_sequences=True, **options)
expected, small = call(), fd.lstm(x[:2, :2], *arrays)
refused, before = 0, status("VmRSS")
for part in range(40):
    limit = status("VmSize") + (part << 18)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        assert (call() == expected).all(), part
    except MemoryError:
        refused += 1
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    assert (fd.lstm(x[:2, :2], *arrays) == small).all(), part
assert (call() == expected).all()
print(refused, status("VmRSS") - before >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit that counts")
@pytest.mark.parametrize("options", ["dropout=0.2, rng=0", "zoneout=0.2, scope='shared', rng=0"])
def test_memory_runs_out(options: str) -> None:
    """Wherever that is: a MemoryError, nothing lost, and the next call works."""
    # One thread, for Python itself may wait for ever for one that has no memory to begin.
    result = run(OUT_OF_MEMORY.format(options=f"{options}, threads=1"))
    assert not result.stderr
    refused, grown = (int(word) for word in result.stdout.split())
    assert 3 <= refused < 40
    assert grown < 10


# ---- doctests ----


def test_doctests() -> None:
    """Every example in a public docstring runs; those that need an extra do so in its tests."""
    import doctest
    import importlib
    import pkgutil

    tried = 0
    for module in pkgutil.walk_packages(fd.__path__, "fastdrop."):
        if module.name.startswith("fastdrop.torch."):
            continue
        if not module.name.endswith(("__main__", "_native", "p.sklearn", "p.dask", "p.torch")):
            result = doctest.testmod(importlib.import_module(module.name), verbose=False)
            assert not result.failed, module.name
            tried += result.attempted
    assert tried > 20


def test_every_public_function_has_an_example() -> None:
    for name in fd.__all__:
        item = getattr(fd, name)
        text = item.__doc__ or ""
        if callable(item) and name[0].islower():
            assert "Parameters" in text or name == "info", name
            assert "Examples" in text, name


def test_every_function_that_draws_says_what_a_key_gives() -> None:
    """The same for all: whoever passes one key to two functions should have read it."""
    drawing = 0
    for name in fd.__all__:
        item = getattr(fd, name)
        if callable(item) and name[0].islower():
            text = " ".join((item.__doc__ or "").split())
            if "rng" in text:
                drawing += 1
                assert "One key and stream give the same " in text, name
    assert drawing >= 16


def test_one_key_and_stream_give_the_same_bits_in_every_function() -> None:
    """And keys of their own give others."""

    def masks(keys: Sequence[fd.Key]) -> list[bytes]:
        x, table = np.ones((8, 16), np.float32), np.ones((16, 1))
        none = np.zeros((16, 16), np.float32)
        layer = fd.pack_simple_rnn(np.eye(16, dtype=np.float32), none)
        words = np.tile(np.arange(16), (8, 1))
        draws: list[Callable[[fd.Key], np.ndarray]] = [
            lambda key: fd.bernoulli(0.5, x.shape, rng=key),
            lambda key: fd.dropout(x, 0.5, rng=key) == 0,
            lambda key: fd.dropout_backward(x, 0.5, rng=key) == 0,
            lambda key: fd.drop_connect(x, 0.5, rng=key) == 0,
            lambda key: fd.spatial_dropout1d(x[:, np.newaxis], 0.5, rng=key)[:, 0] == 0,
            lambda key: fd.embedding_dropout(words, table, 0.5, rng=key)[..., 0] == 0,
            lambda key: fd.alpha_dropout(x, 0.5, rng=key) < 0,
            lambda key: fd.zoneout(0 * x, x, 0.5, rng=key) == 0,
            lambda key: fd.rnn(x[:, np.newaxis], layer, dropout=0.5, rng=key) == 0,
        ]
        return [draw(key).tobytes() for draw, key in zip(draws, keys, strict=True)]

    assert len(set(masks([fd.Key(5)] * 9))) == 1
    assert len(set(masks(fd.Key(5).split(9)))) == 9


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded Python"
)
def test_a_free_threaded_python_stays_so() -> None:
    """An extension that does not say it can do without would switch the lock on."""
    code = "import sys, fastdrop; print(sys._is_gil_enabled(), fastdrop.info().backend)"
    assert run(code, FASTDROP_BACKEND=fd.info().backend).stdout.split() == [
        "False",
        fd.info().backend,
    ]

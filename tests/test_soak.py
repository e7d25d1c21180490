"""Memory of a process that goes on for long, and forks: briefly; `make soak` is the long run."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import fastdrop as fd
from fastdrop import calibration, scores

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is read from /proc, and children are forked"
)
SCRIPT = Path(__file__).with_name("soak.py")
MODULES = {"calibration.": calibration, "scores.": scores}


@pytest.mark.timeout(1200)
def test_memory_stays() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, "10_000", "50"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    called = [line.split()[0] for line in done.stdout.splitlines()]
    public = [n for n in fd.__all__ if callable(getattr(fd, n)) and not inspect.ismodule(n)]
    for prefix, module in MODULES.items():
        public += [
            prefix + name for name in module.__all__ if inspect.isfunction(getattr(module, name))
        ]
    assert {*public} <= {*called}
    assert "70 forks" in done.stdout  # with the first ones

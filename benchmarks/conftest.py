"""The same backends as the tests have, and what every figure must say."""

import platform
from pathlib import Path
from typing import Any

import pytest

import fastdrop as fd
from fastdrop import _backend

BACKENDS = {backend.tier: backend for backend in _backend.available}


def cpu() -> str:
    """Return the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(
            line.partition(":")[2].strip()
            for line in text.splitlines()
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def pytest_report_header() -> str:
    return f"fastdrop {fd.__version__} on {cpu()}; tiers: {', '.join(BACKENDS)}"


@pytest.fixture(params=BACKENDS)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(_backend, "active", BACKENDS[request.param])
    return str(request.param)


@pytest.fixture
def timed(benchmark: Any, tier: str) -> Any:
    """Time a call, and store CPU, tier and threads (one) with the figure."""
    benchmark.extra_info.update(cpu=cpu(), tier=tier, threads=1)
    return benchmark

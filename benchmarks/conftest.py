"""The same backends as the tests have, and what every figure must say."""

from typing import Any

import pytest

import fastdrop as fd
from benchmarks.measure import cpu
from fastdrop import _backend

BACKENDS = {backend.tier: backend for backend in _backend.available}


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

"""The `backend` fixture: every test that asks for it runs on each implementation in turn."""

import pytest

from fastdrop import _backend

BACKENDS = {backend.tier: backend for backend in _backend.available}
# A tier that cannot run here is listed at the top of every run, never skipped in silence.
MISSING = [tier for tier in ("avx512", "avx2", "portable") if tier not in BACKENDS]


def pytest_report_header() -> list[str]:
    lines = [f"fastdrop backends under test: {', '.join(BACKENDS)}"]
    if MISSING:
        lines.append(f"fastdrop backends NOT under test: {', '.join(MISSING)}")
    return lines


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make one implementation the active one and give its tier's name."""
    monkeypatch.setattr(_backend, "active", BACKENDS[request.param])
    return str(request.param)

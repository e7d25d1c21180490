"""The `backend` fixture: every test that asks for it runs on each implementation in turn."""

import platform
from collections.abc import Iterator

import pytest

from fastdrop import _backend
from fastdrop.recurrent import _plan

BACKENDS = {backend.tier: backend for backend in _backend.available}
# What there is for an architecture, by all the names that systems have for it.
X86_64, AARCH64 = ("avx512", "avx2"), ("neon",)
TIERS = {"x86_64": X86_64, "amd64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}
# A tier that cannot run here is listed at the top of every run, never skipped in silence.
MISSING = [
    tier
    for tier in (*TIERS.get(platform.machine().lower(), ()), "portable")
    if tier not in BACKENDS
]

# Seconds for a test that takes minutes, or runs another library.
LONG = 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") or item.get_closest_marker("live"):
            item.add_marker(pytest.mark.timeout(LONG))


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


@pytest.fixture(scope="module")
def sharing_always() -> Iterator[None]:
    """Leave out what shared masks drop wherever that can be done, not only where it pays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_plan, "_SHARE_ROW_STEPS", 16)
        patch.setattr(_plan, "_SHARE_WIDTH", 0)
        patch.setattr(_plan, "_SHARE_KEPT", 1)
        yield

"""No kernel touches a byte outside its arrays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import guard_pages
from conftest import BACKENDS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs mprotect")


tiers = pytest.mark.parametrize("tier", [tier for tier in BACKENDS if tier != "numpy"])


def run(kernels: str, tier: str) -> str:
    command = [sys.executable, guard_pages.__file__, kernels, tier]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@tiers
def test_mask_kernels(tier: str) -> None:
    calls = 2 * len(guard_pages.CASES) * len(guard_pages.PLACES)
    calls += 2 * 3 * 3 * guard_pages.BLOCKS
    assert run("masks", tier) == f"{calls} calls\n"


@tiers
@pytest.mark.timeout(1200)  # beside the sanitizers, on a busy machine
def test_layer_kernels(tier: str) -> None:
    assert run("layers", tier) == f"{2 * len(list(guard_pages.layers()))} calls\n"


def test_the_guards_are_there() -> None:
    """A read one byte past the page ends the process."""
    code = (
        "import ctypes, guard_pages\n"
        "page = guard_pages.Guarded()\n"
        "ctypes.string_at(page.bytes.ctypes.data + guard_pages.PAGE - 1, SIZE)\n"
    )
    folder = Path(guard_pages.__file__).parent
    for size, survives in ((1, True), (2, False)):
        command = [sys.executable, "-c", code.replace("SIZE", str(size))]
        result = subprocess.run(command, capture_output=True, cwd=folder, check=False)
        assert (result.returncode == 0) is survives

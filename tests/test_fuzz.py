"""What fuzzing covers."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "fuzz").is_dir(), reason="fuzz/ and src/ are in a checkout alone"
)


def test_every_function_of_the_header_is_called() -> None:
    """By its name, or by that of a template or macro that has all its types."""
    header = re.sub(r"/\*.*?\*/", "", (ROOT / "src/fastdrop.h").read_text("utf-8"), flags=re.DOTALL)
    functions = set(re.findall(r"\b(fd_[a-z0-9_]+)\(", header))
    calls = "".join(
        (ROOT / "fuzz" / name).read_text("utf-8") for name in ("kernels.c", "kernels_template.h")
    )
    calls = re.sub(r"/\*.*?\*/", "", calls, flags=re.DOTALL)
    assert len(functions) > 60
    missed = []
    for function in sorted(functions):
        stem, _, kind = function.rpartition("_")
        ways = [rf"\b{function}\b", rf"\b{stem}_##NAME\b", rf"SUFFIXED\({stem}\)\("]
        if not any(
            re.search(way, calls) for way in ways[: 3 if re.fullmatch("[bfu]+[0-9]+", kind) else 1]
        ):
            missed.append(function)
    assert not missed

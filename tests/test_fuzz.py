"""What fuzzing covers."""

import json
import random
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


def test_a_model_whose_description_has_half_a_pair_is_changed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A JSON document may have it escaped; mutations of mutations do."""
    monkeypatch.syspath_prepend(str(ROOT / "fuzz"))
    import mutate

    header = json.dumps({"__metadata__": {"model": '{"name": "\ud800", "n": [1, 2]}'}}).encode()
    data = len(header).to_bytes(8, "little") + header
    changed = {
        mutate.saved_model(data, random.Random(seed), lambda data, most: data[:most], 4096)
        for seed in range(100)
    }
    assert len(changed) > 10

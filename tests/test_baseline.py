"""Wide instructions stand only in the functions of their tier: others run on any CPU."""

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src"
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86-64"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="needs the C sources"),
    pytest.mark.skipif(
        not (shutil.which("gcc") and shutil.which("objdump")), reason="needs gcc and objdump"
    ),
]


def widest(source: Path, folder: Path) -> dict[str, str]:
    """Return for each function of an object file the widest registers it uses."""
    binary = folder / "object.o"
    subprocess.run(["gcc", *FLAGS, "-c", source, "-o", binary], check=True)
    command = ["objdump", "-d", "--no-show-raw-insn", binary]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    functions = {}
    for name, body in re.findall(r"<(\S+)>:\n((?:.+\n)*)", text):
        widths = re.findall(r"%([xyz])mm", body) + ["v"] * bool(re.search(r"\tv[a-z]", body))
        functions[name] = max(widths, key="vxyz".index, default="")
        if functions[name] == "x" and "v" in widths:
            functions[name] = "vx"  # AVX on narrow registers is AVX all the same
    return functions


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.c")), ids=lambda source: source.name)
def test_only_the_tiers_files_hold_wide_instructions(source: Path, tmp_path: Path) -> None:
    functions = widest(source, tmp_path)
    allowed = {"avx2": {"y"}, "avx512": {"y", "z"}}.get(source.stem, set()) | {"", "x"}
    if source.stem in ("avx2", "avx512"):
        allowed |= {"v", "vx"}
        assert {"y", "z"} & set(functions.values()), "the tier uses nothing of its own"
        assert functions["usable"] == "", "asked on every CPU"
    wrong = {name: width for name, width in functions.items() if width not in allowed}
    assert not wrong

"""Running the scripts of examples/ as somebody does who has fastdrop, and no more than it needs."""

import subprocess
import sys
from pathlib import Path

# What the scripts that train may import; in one that runs a model it is an error.
ABSENT = ("h5py", "jax", "keras", "pandas", "pmdarima", "sklearn", "tensorflow")


def run_in(folder: Path, code: str) -> str:
    """Run Python in an example's folder, and return what it prints."""
    guard = f"import sys; sys.modules.update(dict.fromkeys({ABSENT}))"
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", f"{guard}; sys.path.insert(0, '.'); {code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    ).stdout

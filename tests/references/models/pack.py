"""Put what make_models.py stored into one archive a version.

    cd tests && python -m references.models.pack FOLDER…

writes models-VERSION.tar.xz beside this script: the model files, and answers.npz (see `stored`)
with a case a model: options {"files", "masked_carry"}, arrays x0, x1, …, outputs y0, y1, … and the
moments of the passes with dropout. Solid and compressed as one, for the files are much alike.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..simulate import moments
from ..stored import Result, save

FOLDER = Path(__file__).parent


def masks_carry(entry: Any) -> bool:
    """Whether a GRU's carry is masked, as in its implementation 2 up to Keras 2.3."""
    if isinstance(entry, list):
        return any(map(masks_carry, entry))
    if not isinstance(entry, dict):
        return False
    config = entry.get("config")
    if entry.get("class_name") in ("GRU", "GRUCell") and config["recurrent_dropout"]:
        return config["implementation"] == 2
    return any(map(masks_carry, entry.values()))


def configuration(path: Path) -> Any:
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def cases(folder: Path) -> Iterator[Result]:
    version = (folder / "version").read_text().split()[-1]
    old = version.startswith(("2.0.", "2.1.", "2.2.", "2.3."))
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        files = sorted(p.name for p in folder.glob(f"{path.stem}.*") if p.suffix != ".npz")
        outputs = {name: value for name, value in arrays.items() if name.startswith("y")}
        if "samples" in arrays:
            stored = moments(arrays["samples"])
            del stored["third"]
            outputs |= {name: np.asarray(value, np.float32) for name, value in stored.items()}
        inputs = {name: value for name, value in arrays.items() if name.startswith("x")}
        carry = old and masks_carry(configuration(path.with_suffix(".h5")))
        yield path.stem, {"files": files, "masked_carry": carry}, inputs, outputs


def pack(folder: Path) -> Path:
    version = (folder / "version").read_text().replace(" ", "-")
    target = FOLDER / f"models-{version}.tar.xz"
    results = list(cases(folder))
    with tempfile.TemporaryDirectory() as temporary:
        answers = Path(temporary) / "answers.npz"
        save(answers, results)
        with np.load(answers) as file:  # compressed once, by the archive
            np.savez(answers, **{name: file[name] for name in file.files})
        members = [folder / name for case in results for name in case[1]["files"]]
        with tarfile.open(target, "w:xz") as archive:
            for path in (*sorted(members, key=lambda p: (p.suffix, p.name)), answers):
                info = tarfile.TarInfo(path.name)
                info.size = path.stat().st_size
                archive.addfile(info, io.BytesIO(path.read_bytes()))
    return target


if __name__ == "__main__":
    for name in sys.argv[1:]:
        written = pack(Path(name))
        print(f"{written.name}: {written.stat().st_size} bytes")

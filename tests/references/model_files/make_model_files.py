"""Store files that `Model.save` wrote, and what the models in them gave.

    cd tests && python -m references.model_files.make_model_files

adds to files-1.tar.xz what it lacks of the examples in test_model_file.py. What is there is never
written again: files of version 1 are read for ever.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastdrop import Model, layers
from test_model_file import EXAMPLES, SEQUENCE, as_list, model_of, shared_drop

ARCHIVE = Path(__file__).with_name("files-1.tar.xz")


def examples() -> dict[str, tuple[Model, Any]]:
    found: dict[str, tuple[Model, Any]] = {"graph": (shared_drop(), [SEQUENCE, SEQUENCE[::-1]])}
    for name, (some, x) in EXAMPLES.items():
        for i, options in enumerate(some):
            found[f"{name}-{i}"] = model_of(getattr(layers, name)(name="l", **options), x), x
    return found


def answers(model: Model, x: Any) -> bytes:
    arrays = {f"x{i}": array for i, array in enumerate(x if isinstance(x, list) else [x])}
    arrays |= {f"y{i}": array for i, array in enumerate(as_list(model.predict(x)))}
    if model.stochastic:
        drawn = as_list(model.mc_predict(x, 2, rng=7, keep_samples=True))
        arrays |= {f"samples{i}": p.samples for i, p in enumerate(drawn)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def main() -> None:
    members: dict[str, bytes] = {}
    if ARCHIVE.exists():
        with tarfile.open(ARCHIVE, "r:xz") as archive:
            members = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, x) in examples().items():
            if f"{name}.safetensors" not in members:
                model.save(Path(folder) / "m")
                members[f"{name}.safetensors"] = (Path(folder) / "m").read_bytes()
                members[f"{name}.npz"] = answers(model, x)
    with tarfile.open(ARCHIVE, "w:xz") as archive:
        for name, content in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    main()

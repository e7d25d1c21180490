"""Known answers in one npz file: `save` writes cases, `load` yields them again.

A case is (id, options, arrays, outputs). All arrays lie end to end in one flat buffer a dtype, as
500 members of a zip would be mostly headers; `cases` holds one JSON text a case with their names,
dtypes and shapes, in that order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Result = tuple[str, dict[str, Any], Arrays, Arrays]


def save(path: Path, results: Iterable[Result]) -> None:
    index: list[str] = []
    buffers: dict[str, list[np.ndarray]] = {}
    for case, options, arrays, outputs in results:
        entry: dict[str, Any] = {"id": case, "options": options, "arrays": [], "outputs": []}
        for group, members in (("arrays", arrays), ("outputs", outputs)):
            for name, value in members.items():
                entry[group].append([name, value.dtype.name, value.shape])
                buffers.setdefault(value.dtype.name, []).append(value.ravel())
        index.append(json.dumps(entry))
    file: dict[str, Any] = {"cases": np.array([line.encode() for line in index])}  # a byte a letter
    file |= {dtype: np.concatenate(parts) for dtype, parts in buffers.items()}
    np.savez_compressed(path, **file)


def load(path: Path) -> Iterator[Result]:
    with np.load(path) as file:
        data = {name: file[name] for name in file.files}
    start = dict.fromkeys(data, 0)
    for line in data["cases"]:
        entry = json.loads(line)
        groups: list[Arrays] = [{}, {}]
        for group, members in zip(groups, (entry["arrays"], entry["outputs"]), strict=True):
            for name, dtype, shape in members:
                stop = start[dtype] + math.prod(shape)
                group[name] = data[dtype][start[dtype] : stop].reshape(shape)
                start[dtype] = stop
        yield entry["id"], entry["options"], groups[0], groups[1]

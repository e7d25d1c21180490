"""Store what torch.save writes of state_dicts and of other things, and the numbers in them.

    cd tests && python -m references.checkpoints.make_checkpoints

writes checkpoints-VERSION.tar.xz, with the version of torch: NAME.pt or .safetensors, and NAME.npz
with the tensors of those that are to be read. What is to be refused is called refused-NAME.pt.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import pathlib
import random
import tarfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import safetensors.torch
import torch

FOLDER = Path(__file__).parent


class Net(torch.nn.Module):
    """An LSTM and what mostly stands beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 3)
        self.lstm = torch.nn.LSTM(3, 2, 2, bidirectional=True)
        self.norm = torch.nn.BatchNorm1d(4)
        self.out = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.norm(self.lstm(self.table(x))[0][-1]))


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def numbers(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    found = {}
    for name, tensor in state.items():
        tensor = tensor.detach()
        floats = tensor.dtype.is_floating_point
        found[name] = (tensor.to(torch.float32) if floats else tensor).numpy()
    return found


def trained(net: Net) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(2, 3, dtype=torch.int64)).sum().backward()
    optimizer.step()
    return optimizer


def cases() -> dict[str, tuple[bytes, dict[str, torch.Tensor] | None]]:
    torch.manual_seed(0)
    net = Net()
    optimizer = trained(net)
    state = net.state_dict()
    parts = torch.arange(24, dtype=torch.float32)
    views = {
        "whole": parts,
        "part": parts[5:9],
        "matrix": parts.view(4, 6),
        "transposed": parts.view(4, 6).T,
        "permuted": parts.view(2, 3, 4).permute(2, 0, 1),
        "strided": parts[::5],
        "scalar": parts[7],
        "none": parts[:0].view(0, 3),
        "column": parts.view(4, 6)[:, 2:3],
    }
    types = {
        str(dtype).removeprefix("torch."): torch.tensor([[1.5, -2.25], [0, 3]]).to(dtype)
        for dtype in (
            *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
            *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
        )
    }
    checkpoint = {
        "epoch": 3,
        "loss": 0.25,
        "name": "Größe",
        "done": False,
        "best": None,
        "history": [0.5, (0.25, -(2**40))],
        "state_dict": state,
        "optimizer": optimizer.state_dict(),
        "dtype": torch.float32,
        "shape": torch.Size([2, 3]),
    }
    lightning = {
        "epoch": 1,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"hidden": 2, "lr": 1e-3},
    }
    generator = np.random.default_rng(0)
    beside = {
        "args": argparse.Namespace(hidden=2, device=torch.device("cuda:0"), out=pathlib.Path("a")),
        "config": SimpleNamespace(kinds={1, 2}, frozen=frozenset([1])),
        "best": np.float64(0.5),
        "scores": [np.float32(0.5), np.int64(3), np.bool_(True)],
        "confusion": np.eye(3),
        "labels": np.array(["one", "two"]),
        "history": collections.defaultdict(list, loss=[0.5]),
        "counts": collections.Counter("aab"),
        "last": collections.deque([1, 2], 3),
        "seed": 2**63 + 1,
        "generator": generator.bit_generator.state,
        "numpy_state": np.random.RandomState(0).get_state(),
        "python_state": random.Random(0).getstate(),
        "rng_state": torch.get_rng_state(),
        "classes": {None: 0, (1, 2): 1, 0.5: 2, True: 3},
        "types": [torch.bool, torch.complex64, np.float32, np.dtype("f4"), float, torch.strided],
        "torch": torch.__version__,
        "saved": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
        "raw": [b"\xff\n", b"x" * 300, bytearray(b"x"), 1j, slice(1), range(3)],
        "state_dict": collections.defaultdict(int, state),
    }
    parameters = {name: torch.nn.Parameter(t) for name, t in net.named_parameters()}
    found: dict[str, tuple[bytes, dict[str, torch.Tensor] | None]] = {
        "state": (saved(state), state),
        **{f"protocol{n}": (saved(state, pickle_protocol=n), state) for n in (3, 4, 5)},
        "legacy": (saved(state, _use_new_zipfile_serialization=False), state),
        "legacy-views": (saved(views, _use_new_zipfile_serialization=False), views),
        "legacy-types": (saved(types, _use_new_zipfile_serialization=False), types),
        "checkpoint": (saved(checkpoint), state),
        "checkpoint-protocol5": (saved(checkpoint, pickle_protocol=5), state),
        "legacy-checkpoint": (saved(checkpoint, _use_new_zipfile_serialization=False), state),
        "lightning": (saved(lightning), state),
        "beside": (saved(beside), state),
        **{f"beside{n}": (saved(beside, pickle_protocol=n), state) for n in (3, 4, 5)},
        "legacy-beside": (saved(beside, _use_new_zipfile_serialization=False), state),
        "array": (saved({**state, "mean": np.ones(2), "std": np.ones(2)}), state),
        "parallel": (saved(torch.nn.DataParallel(net).state_dict()), state),
        "parameters": (saved(parameters), parameters),
        "views": (saved(views), views),
        "types": (saved(types), types),
        "tensors": (saved(dict(state)), state),
        "refused-module": (saved(net), None),
        "refused-module-legacy": (saved(net, _use_new_zipfile_serialization=False), None),
        "refused-list": (saved([parts]), None),
        "refused-tensor": (saved(parts), None),
        "refused-plain": (saved({"epoch": 1}), None),
        "refused-two": (saved({"teacher": state, "student": state}), None),
        "refused-arrays": (saved({name: t.numpy() for name, t in state.items()}), None),
        "refused-namespace": (saved(argparse.Namespace(**state)), None),
        "refused-complex": (saved({"a": torch.zeros(2, dtype=torch.complex64)}), None),
        "refused-sparse": (saved({"a": torch.eye(2).to_sparse()}), None),
        "refused-expanded": (saved({"a": torch.zeros(1).expand(1000)}), None),
    }
    script = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net), script)
    found["refused-script"] = script.getvalue(), None
    return found


def main() -> None:
    members: dict[str, bytes] = {}
    for name, (content, state) in cases().items():
        members[f"{name}.pt"] = content
        if state is not None:
            buffer = io.BytesIO()
            np.savez(buffer, **numbers(state))
            members[f"{name}.npz"] = buffer.getvalue()
    for name in ("state", "types"):
        state = torch.load(io.BytesIO(members[f"{name}.pt"]))
        members[f"{name}.safetensors"] = safetensors.torch.save(state)
    version = torch.__version__.partition("+")[0]
    with tarfile.open(FOLDER / f"checkpoints-{version}.tar.xz", "w:xz") as archive:
        for name, content in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    main()

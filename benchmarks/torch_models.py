"""Models taken over from PyTorch beside PyTorch itself, in one run: `predict`, and 100 samples.

PyTorch samples as people do it: the rows tiled, in training mode (no normalization is in these
models), one call. Run as ``python -m benchmarks.torch_models [--threads N] [--rounds N]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

import fastdrop as fd
from benchmarks import measure
from fastdrop.torch import from_torch

if TYPE_CHECKING:
    from fastdrop._backend import Backend

SAMPLES = 100


class Tagger(nn.Module):
    """Embedding, two-directional LSTM of 100 units, a tag for each of 40 words."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 64)
        self.drop = nn.Dropout(0.3)
        self.lstm = nn.LSTM(64, 100, batch_first=True, bidirectional=True)
        self.head = nn.Linear(200, 17)

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm(self.drop(self.embedding(x)))
        return self.head(self.drop(y))


class Forecaster(nn.Module):
    """Two LSTM layers of 100 units with dropout between and behind them, 60 steps of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 100, 2, batch_first=True, dropout=0.2)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(100, 1)

    def forward(self, x: Any) -> Any:
        y, _ = self.lstm(x)
        return self.head(self.drop(y[:, -1]))


def inputs(name: str, rows: int) -> torch.Tensor:
    if name == "tagger":
        return torch.randint(0, 5000, (rows, 40))
    return torch.randn(rows, 60, 1)


class Way(NamedTuple):
    """A library's way to do it."""

    label: str
    call: Callable[[], Any]
    backend: Backend | None = None


def compare(name: str, module: nn.Module, rows: int, threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    x = inputs(name, rows)
    model = from_torch(module, x)
    given = x.numpy()
    tiled = x.repeat_interleave(SAMPLES, 0)

    def plain() -> Any:
        module.eval()
        with torch.inference_mode():
            return module(x).numpy()

    def sampled() -> Any:
        module.train()
        with torch.inference_mode():
            values = module(tiled).numpy()
        values = values.reshape(rows, SAMPLES, *values.shape[1:])
        return values.mean(1), values.std(1)

    def sampling() -> Any:
        p = model.mc_predict(given, SAMPLES, rng=0, threads=threads)
        return p.mean, p.std

    np.testing.assert_allclose(model.predict(given, threads=threads), plain(), rtol=1e-4, atol=1e-5)
    (mean, std), (other, _) = sampling(), sampled()
    assert np.abs(mean - other).mean() < std.mean()
    ways = [
        Way("torch predict", plain),
        Way("fastdrop predict", lambda: model.predict(given, threads=threads)),
        Way("torch samples", sampled),
        Way("fastdrop samples", sampling),
    ]
    # With a rest, for threads of PyTorch wait busily for the next call.
    best = measure.take_turns(ways, rounds, [3.0] * len(ways), 0.05)
    for what, one, two in (("predict", *best[:2]), (f"{SAMPLES} samples", *best[2:])):
        assert one is not None
        assert two is not None
        print(
            f"| {name} | {rows} | {what} | {one * 1e3:.2f} | {two * 1e3:.2f} | {one / two:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    measure.pin(options.threads)
    info = fd.info()
    print(f"{measure.cpu()}, {info.tier}, {options.threads} threads, torch {torch.__version__}\n")
    print("| model | inputs | what | torch ms | fastdrop ms | times as fast |")
    print("|---|---|---|---|---|---|")
    for name, make in (("tagger", Tagger), ("forecaster", Forecaster)):
        torch.manual_seed(0)
        module = make()
        for rows in (1, 32):
            compare(name, module, rows, options.threads, options.rounds)


if __name__ == "__main__":
    main()

"""Measure dropout for training beside PyTorch's own, and write the tables.

    python -m benchmarks.torch_dropout --threads 1

Forward and backward passes of dropout, their memory, and training steps of a language model with
dropout of features and of weights. The process is pinned to as many cores as threads; both
libraries take turns, and their best rounds count. Rows that lose stay.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import measure

if TYPE_CHECKING:
    import torch

    from fastdrop._backend import Backend

OWN, OURS, NONE = "torch.nn", "**fastdrop.torch**", "no dropout"
SIZES = (64, 4096, 1 << 20, 1 << 24)
RATES = (0.5, 0.1)
# The layers, and the rates of Merity, Keskar and Socher (2017): between layers, and of weights.
LAYERS, UNITS, BATCH, STEPS, LOCKED, WEIGHTS = 3, 400, 32, 70, 0.3, 0.5


class Way(NamedTuple):
    """A library's way to do it."""

    label: str
    call: Callable[[], Any]
    backend: "Backend | None" = None


def modules(rate: float) -> "dict[str, torch.nn.Module]":
    import torch

    import fastdrop.torch

    return {OWN: torch.nn.Dropout(rate), OURS: fastdrop.torch.Dropout(rate)}


def both_passes(module: "torch.nn.Module", size: int) -> Callable[[], Any]:
    """Return what runs a forward and a backward pass, having looked at their results."""
    import torch

    x, grad = torch.rand(size) + 1, torch.rand(size) + 1
    x.requires_grad_()

    def run() -> Any:
        y = module(x)
        return y, torch.autograd.grad(y, x, grad)[0]

    y, back = run()
    scale, rate = 1 / (1 - module.p), module.p
    dropped = int((y == 0).sum())
    if not (
        abs(dropped - rate * size) <= 6 * (size * rate * (1 - rate)) ** 0.5
        and torch.allclose(y, torch.where(y == 0, 0.0, x * scale), 1e-6, 0)
        and torch.allclose(back, torch.where(y == 0, 0.0, grad * scale), 1e-6, 0)
    ):
        raise AssertionError(f"{type(module)}: wrong result, {size}, {rate}")
    return run


def passes(quick: bool) -> Iterator[list[str]]:
    """Yield a row for each size and rate."""
    for size in SIZES[: 2 if quick else None]:
        for rate in RATES:
            ways = [Way(name, both_passes(m, size)) for name, m in modules(rate).items()]
            own, ours = measure.take_turns(ways, 3 if quick else 100, [0.1 if quick else 3.0] * 2)
            assert own is not None
            assert ours is not None
            yield [
                f"{size:,}",
                f"{rate}",
                f"{own * 1e3:.3g} ms",
                f"{ours * 1e3:.3g} ms",
                f"{own / ours:.2f}",
            ]


def memory(label: str, size: int) -> int:
    """Return by how many bytes a forward and a backward pass raise this process's peak."""
    import torch

    from benchmarks.montecarlo import peak_memory

    module = modules(0.5)[label]
    x = torch.ones(size, requires_grad=True)
    module(x[:64]).sum().backward()
    grad = torch.ones(size)
    before = peak_memory()
    y = module(x)
    torch.autograd.grad(y, x, grad)
    return peak_memory() - before


def memories(threads: int, quick: bool) -> Iterator[list[str]]:
    """Yield a row for each library, each in a process of its own."""
    size = SIZES[2 if quick else -1]
    command = [sys.executable, "-m", "benchmarks.torch_dropout", "--threads", str(threads)]
    for label in (OWN, OURS):
        done = subprocess.run(
            [*command, "--memory", label, str(size)], stdout=subprocess.PIPE, check=True
        )
        yield [label, f"{int(done.stdout) / (4 * size):.2f}"]


def language_model(label: str) -> "torch.nn.Module":
    """Return layers of LSTM with dropout, in the same code but for who does the dropout."""
    import torch
    from torch.nn import functional

    import fastdrop.torch

    class Locked(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * functional.dropout(x.new_ones(1, *x.shape[1:]), LOCKED, self.training)

    class Dropped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module, name: str) -> None:
            super().__init__()
            self.module, self.name = module, name

        def forward(self, x: Any) -> Any:
            weight = functional.dropout(self.module.get_parameter(self.name), WEIGHTS)
            return torch.func.functional_call(self.module, {self.name: weight}, (x,))

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            lstms = [torch.nn.LSTM(UNITS, UNITS) for _ in range(LAYERS)]
            locked: list[torch.nn.Module] = [torch.nn.Identity() for _ in range(LAYERS + 1)]
            dropped: list[torch.nn.Module] = list(lstms)
            if label == OWN:
                locked = [Locked() for _ in locked]
                dropped = [Dropped(lstm, "weight_hh_l0") for lstm in lstms]
            elif label == OURS:
                locked = [fastdrop.torch.LockedDropout(LOCKED) for _ in locked]
                dropped = [
                    fastdrop.torch.WeightDrop(lstm, "weight_hh_l0", WEIGHTS) for lstm in lstms
                ]
            self.locked, self.lstms = torch.nn.ModuleList(locked), torch.nn.ModuleList(dropped)

        def forward(self, x: Any) -> Any:
            x = self.locked[0](x)
            for lstm, locked in zip(self.lstms, self.locked[1:], strict=True):
                x = locked(lstm(x)[0])
            return x

    return Model()


def training(quick: bool) -> Iterator[list[str]]:
    """Yield a row for each way to do the dropout, and one for none."""
    import torch

    steps, batch = (5, 2) if quick else (STEPS, BATCH)
    x, target = torch.randn(2, steps, batch, UNITS)

    def step(model: torch.nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

        def run() -> None:
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()

        return run

    labels = (OWN, OURS, NONE)
    ways = [Way(label, step(language_model(label))) for label in labels]
    times = measure.take_turns(ways, 2 if quick else 15, [30.0] * len(ways))
    none = times[-1]
    assert none is not None
    for label, seconds in zip(labels, times, strict=True):
        assert seconds is not None
        yield [label, f"{seconds * 1e3:.4g} ms", f"{1 - none / seconds:.1%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    measure.pin(options.threads)
    import torch

    from benchmarks import peers, tables

    torch.set_num_threads(options.threads)
    if options.memory:
        print(memory(options.memory[0], int(options.memory[1])))
        return
    rounds = 3 if options.quick else 100
    about = measure.about(peers.versions({"PyTorch": peers.LIBRARIES[peers.TORCH]}), rounds)
    head = ["elements, float32", "rate", OWN, OURS, "times as fast"]
    print("Forward and backward pass of `Dropout`:\n")
    print(tables.markdown(head, passes(options.quick)))
    print("Peak memory of both passes, rate 0.5, in tensors of the input's size:\n")
    print(tables.markdown(["", "tensors"], memories(options.threads, options.quick)))
    print(f"A training step: LSTM {LAYERS} x {UNITS}, batch {BATCH}, {STEPS} steps:\n")
    head = ["locked and weight dropout", "a step", "of which dropout"]
    print(tables.markdown(head, training(options.quick)))
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    print(tables.caption(about, threads))


if __name__ == "__main__":
    main()
